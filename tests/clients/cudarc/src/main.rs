//! Loads a module from PTX with `cudarc`, launches it on two streams and checks the result.

use cudarc::driver::{CudaContext, LaunchConfig, PushKernelArg};
use cudarc::nvrtc::Ptx;

const MODULE: &str = include_str!("kernels.ptx");
const COUNT: usize = 100_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let context = CudaContext::new(0)?;
    println!(
        "device: {}, compute capability {:?}",
        context.name()?,
        context.compute_capability()?
    );
    let module = context.load_module(Ptx::from_src(MODULE))?;
    let saxpy = module.load_function("saxpy")?;
    let input: Vec<f32> = (0..COUNT).map(|i| i as f32 * 0.25).collect();
    let streams = [context.default_stream(), context.new_stream()?];
    for (index, stream) in streams.iter().enumerate() {
        let factor = 2.0 + index as f32;
        let x = stream.clone_htod(&input)?;
        let mut y = stream.clone_htod(&input)?;
        let count = COUNT as u64;
        let mut launch = stream.launch_builder(&saxpy);
        launch.arg(&factor).arg(&x).arg(&mut y).arg(&count);
        // SAFETY: the kernel takes a factor, two arrays of `count` numbers and `count`, and stays inside them.
        unsafe { launch.launch(LaunchConfig::for_num_elems(COUNT as u32)) }?;
        let result = stream.clone_dtoh(&y)?;
        for (got, x) in result.iter().zip(&input) {
            assert_eq!(*got, factor.mul_add(*x, *x));
        }
    }
    println!("PASS cudarc: module, two streams");
    Ok(())
}
