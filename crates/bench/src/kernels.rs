//! The ten kernels of `tests/bench/kernels.cu`, through the guest driver and on the device in-process: same PTX, same inputs, same
//! launches. What the two differ in is the way of a launch and the wait for its end.

use crate::driver::{Driver, Launch};
use crate::local::Local;
use crate::stats::{median, ns};
use anyhow::{Context as _, Result, ensure};
use std::ffi::c_void;
use std::fs;
use std::sync::Arc;
use std::time::Instant;
use tessera_device::{Dim3, Launch as DeviceLaunch, Module};

const KERNELS: [&str; 10] = [
    "saxpy",
    "matmul",
    "transpose",
    "reduce",
    "scan",
    "histogram",
    "nbody",
    "mandelbrot",
    "hash",
    "collatz",
];
/// Words of each buffer.
const WORDS: usize = 1 << 16;
const THREADS: u32 = 256;
const BLOCKS: u32 = 256;
/// Launches that are timed together, and how often.
const BATCH: u32 = 8;
const ROUNDS: usize = 5;

/// All kernels in turn, so often: a program of 100 ms and more.
const PROGRAM_ROUNDS: u32 = 32;
const PROGRAM: &str = "a program of 320 launches (the ten kernels in turn)";

/// Nodes of the graph, one after the other, and blocks of each.
const NODES: u32 = 1000;
const NODE_BLOCKS: u32 = 16;
const GRAPH: &str = "graph of 1,000 nodes (saxpy of 16 blocks)";

/// Inputs that every kernel can take: floats between 0 and 1.
fn inputs() -> Vec<f32> {
    (0..WORDS)
        .map(|i| f32::from(u16::try_from(i * 40_503 % 65_536).unwrap_or(0)) / 65_536.0)
        .collect()
}

fn print(name: &str, nanoseconds: f64) {
    println!("{}", serde_json::json!({ "name": name, "ns": nanoseconds }));
}

/// Through the guest driver.
pub(crate) fn in_guest(ptx: &str) -> Result<()> {
    let driver = Driver::open()?;
    let text = fs::read_to_string(ptx).with_context(|| format!("cannot read {ptx}"))?;
    let launch: Launch = driver.raw("cuLaunchKernel")?;
    let input = inputs();
    let bytes = WORDS * 4;
    let (mut a, mut b, mut out) = (driver.alloc(bytes)?, driver.alloc(bytes)?, driver.alloc(bytes)?);
    driver.copy_in(a, input.as_ptr().cast(), bytes)?;
    driver.copy_in(b, input.as_ptr().cast(), bytes)?;
    let mut count = i32::try_from(WORDS)?;
    let mut parameters: [*mut c_void; 4] = [
        (&raw mut a).cast(),
        (&raw mut b).cast(),
        (&raw mut out).cast(),
        (&raw mut count).cast(),
    ];
    let mut post = |function| {
        // SAFETY: the signature of the public header; four parameters as the kernel declares them.
        unsafe {
            launch(
                function,
                BLOCKS,
                1,
                1,
                THREADS,
                1,
                1,
                0,
                std::ptr::null_mut(),
                parameters.as_mut_ptr(),
                std::ptr::null_mut(),
            )
        }
    };
    let (mut functions, mut failed) = (Vec::new(), 0);
    for name in KERNELS {
        let function = driver.kernel(&text, name)?;
        let mut batch = || {
            let start = Instant::now();
            for _ in 0..BATCH {
                failed |= post(function);
            }
            driver.synchronize().map_or(f64::INFINITY, |()| ns(start))
        };
        batch();
        let time = median(ROUNDS, batch);
        ensure!(failed == 0 && time.is_finite(), "{name} fails");
        print(name, time / f64::from(BATCH));
        functions.push(function);
    }
    let time = median(ROUNDS, || {
        let start = Instant::now();
        for _ in 0..PROGRAM_ROUNDS {
            for &function in &functions {
                failed |= post(function);
            }
        }
        driver.synchronize().map_or(f64::INFINITY, |()| ns(start))
    });
    ensure!(failed == 0 && time.is_finite(), "the program fails");
    print(PROGRAM, time);
    graph(&driver, &text, launch, &mut parameters)
}

/// A graph of launches of one kernel, captured and replayed: one message for each replay.
fn graph(driver: &Driver, text: &str, launch: Launch, parameters: &mut [*mut c_void; 4]) -> Result<()> {
    let function = driver.kernel(text, KERNELS[0])?;
    let exec = driver.capture(|stream| {
        for _ in 0..NODES {
            // SAFETY: as in `in_guest`.
            let code = unsafe {
                launch(
                    function,
                    NODE_BLOCKS,
                    1,
                    1,
                    THREADS,
                    1,
                    1,
                    0,
                    stream,
                    parameters.as_mut_ptr(),
                    std::ptr::null_mut(),
                )
            };
            ensure!(code == 0, "a captured launch returned {code}");
        }
        Ok(())
    })?;
    let replay = || {
        let start = Instant::now();
        let done = driver.launch_graph(exec).and_then(|()| driver.synchronize());
        done.map_or(f64::INFINITY, |()| ns(start))
    };
    replay();
    let time = median(4 * ROUNDS, replay);
    ensure!(time.is_finite(), "the graph fails");
    print(GRAPH, time);
    Ok(())
}

/// On the device in-process.
pub(crate) fn in_process(ptx: &str) -> Result<()> {
    let text = fs::read(ptx).with_context(|| format!("cannot read {ptx}"))?;
    let mut local = Local::open(1 << 30, |_| ())?;
    let input = Arc::new(
        inputs()
            .into_iter()
            .flat_map(f32::to_le_bytes)
            .collect::<Vec<u8>>(),
    );
    let mut parameters = Vec::new();
    for _ in 0..3 {
        let buffer = local.alloc(WORDS * 4)?;
        local.copy_in(buffer, &input)?;
        parameters.extend_from_slice(&buffer.to_le_bytes());
    }
    parameters.extend_from_slice(&u32::try_from(WORDS)?.to_le_bytes());
    let module = local.module(&text)?;
    let mut launches = Vec::new();
    for name in KERNELS {
        let launch = device_launch(&module, name, &parameters)?;
        let time = median_of(&mut local, std::slice::from_ref(&launch), BATCH, ROUNDS).context(name)?;
        print(name, time / f64::from(BATCH));
        launches.push(launch);
    }
    print(PROGRAM, median_of(&mut local, &launches, PROGRAM_ROUNDS, ROUNDS)?);
    let mut launch = device_launch(&module, KERNELS[0], &parameters)?;
    launch.grid.x = NODE_BLOCKS;
    let time = median_of(&mut local, std::slice::from_ref(&launch), NODES, 4 * ROUNDS)?;
    print(GRAPH, time);
    Ok(())
}

fn device_launch(module: &Arc<dyn Module>, name: &str, parameters: &[u8]) -> Result<DeviceLaunch> {
    Ok(DeviceLaunch {
        function: module.function(name)?,
        grid: Dim3 {
            x: BLOCKS,
            y: 1,
            z: 1,
        },
        block: Dim3 {
            x: THREADS,
            y: 1,
            z: 1,
        },
        dynamic_shared_bytes: 0,
        parameters: parameters.into(),
        cooperative: false,
        cluster: [0; 3],
    })
}

fn median_of(local: &mut Local, launches: &[DeviceLaunch], count: u32, rounds: usize) -> Result<f64> {
    local.program(launches, count)?;
    let mut failure = None;
    let time = median(rounds, || {
        local.program(launches, count).unwrap_or_else(|error| {
            failure = Some(error);
            f64::INFINITY
        })
    });
    failure.map_or(Ok(time), Err)
}
