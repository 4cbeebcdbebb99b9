//! Arrays, textures, surfaces, texture references.

mod common;

use common::*;
use std::sync::Arc;
use tessera_device::{
    AddressMode, Array, ArrayOptions, ArrayPlace, ChannelFormat, Context, Device, DeviceError, FaultKind,
    ImageSource, ImageView, Module, Operation, Sampling, Span2d, TexelFormat,
};

const FLOAT: TexelFormat = TexelFormat {
    format: ChannelFormat::Float,
    channels: 1,
};

const FLAT: ArrayOptions = ArrayOptions {
    width: 0,
    height: 0,
    depth: 0,
    texel: FLOAT,
    layered: false,
    cube: false,
    levels: 1,
};

const KERNELS: &str = "
.version 8.0
.target sm_80
.address_size 64
.global .texref picture;
.visible .entry fetch(.param .u64 t_, .param .u64 out_)
{
    .reg .b32 %i, %x, %y;
    .reg .f32 %u, %v, %a, %b, %c, %d;
    .reg .b64 %t, %o;
    ld.param.u64 %t, [t_];
    ld.param.u64 %o, [out_];
    mov.u32 %i, %tid.x;
    and.b32 %x, %i, 3;
    shr.u32 %y, %i, 2;
    cvt.rn.f32.u32 %u, %x;
    cvt.rn.f32.u32 %v, %y;
    tex.2d.v4.f32.f32 {%a, %b, %c, %d}, [%t, {%u, %v}];
    mad.wide.u32 %o, %i, 4, %o;
    st.global.f32 [%o], %a;
    ret;
}
.visible .entry named(.param .u64 t_, .param .u64 out_)
{
    .reg .b32 %i, %a, %b, %c, %d;
    .reg .b64 %o;
    ld.param.u64 %o, [out_];
    mov.u32 %i, %tid.x;
    tex.1d.v4.s32.s32 {%a, %b, %c, %d}, [picture, {%i}];
    mad.wide.u32 %o, %i, 4, %o;
    st.global.b32 [%o], %a;
    ret;
}
.visible .entry twice(.param .u64 s_, .param .u64 out_)
{
    .reg .b32 %i, %x, %y, %v;
    .reg .b64 %s;
    ld.param.u64 %s, [s_];
    mov.u32 %i, %tid.x;
    and.b32 %x, %i, 3;
    shl.b32 %x, %x, 2;
    shr.u32 %y, %i, 2;
    suld.b.2d.b32.trap {%v}, [%s, {%x, %y}];
    add.s32 %v, %v, %v;
    sust.b.2d.b32.trap [%s, {%x, %y}], {%v};
    ret;
}
";

fn at(array: &Arc<dyn Array>, z: u64) -> ArrayPlace {
    ArrayPlace {
        array: Arc::clone(array),
        level: 0,
        x: 0,
        y: 0,
        z,
    }
}

fn floats(count: usize) -> Vec<u32> {
    (0..count).map(|i| (i as f32 * 1.5 - 3.0).to_bits()).collect()
}

fn bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_le_bytes()).collect()
}

fn sampled(source: ImageSource) -> ImageView {
    let sampling = Sampling {
        modes: [AddressMode::Clamp; 3],
        ..Sampling::default()
    };
    ImageView {
        source,
        sampling: Some(sampling),
    }
}

fn run(
    context: &Arc<dyn Context>,
    module: &Arc<dyn Module>,
    name: &str,
    handle: u64,
    out: u64,
    threads: u32,
) -> Result<(), FaultKind> {
    let stream = TestStream::plain(context);
    stream.submit(launch(&kernel(module, name), 1, threads, &[handle, out]));
    stream.synchronize().map_err(|fault| fault.kind)
}

#[test]
fn what_goes_into_an_array_comes_out() {
    let gpu = gpu();
    let context = context(&gpu);
    let options = ArrayOptions {
        width: 5,
        height: 3,
        depth: 2,
        ..FLAT
    };
    let (one, two) = (
        context.create_array(&options).expect("array"),
        context.create_array(&options).expect("array"),
    );
    assert!(gpu.memory().used >= one.bytes() + two.bytes());
    let data = bytes(&floats(15));
    let span = Span2d { width: 20, height: 3 };
    let stream = TestStream::plain(&context);
    let linear = context.alloc(60, 256).expect("allocation");
    let target = host(60);
    stream.submit(Operation::ArrayIn {
        destination: at(&one, 1),
        source: host_with(&data),
        source_pitch: 20,
        span,
    });
    stream.submit(Operation::ArrayCopy {
        destination: at(&two, 0),
        source: at(&one, 1),
        span,
    });
    stream.submit(Operation::ArrayRead {
        destination: linear,
        destination_pitch: 20,
        source: at(&two, 0),
        span,
    });
    stream.submit(Operation::ArrayFill {
        destination: at(&one, 0),
        source: linear,
        source_pitch: 20,
        span,
    });
    stream.submit(Operation::ArrayOut {
        destination: target.clone(),
        destination_pitch: 20,
        source: at(&one, 0),
        span,
    });
    stream.synchronize().expect("copies");
    assert_eq!(bytes_of(&target), data);
    let outside = Operation::ArrayOut {
        destination: target,
        destination_pitch: 20,
        source: at(&one, 2),
        span,
    };
    let refused = stream.stream.submit(1000, outside);
    assert!(
        matches!(refused, Err(DeviceError::InvalidValue(_))),
        "{refused:?}"
    );
    drop((one, two));
    context.free(linear).expect("free");
    stream.synchronize().expect("nothing");
    assert_eq!(gpu.memory().used, 0, "arrays are counted and given back");
    gpu.check_ledger().expect("ledger");
}

#[test]
fn a_kernel_reads_a_texture_and_writes_a_surface() {
    let gpu = gpu();
    let context = context(&gpu);
    let module = load(&context, KERNELS);
    let options = ArrayOptions {
        width: 4,
        height: 2,
        ..FLAT
    };
    let array = context.create_array(&options).expect("array");
    let data = floats(8);
    let stream = TestStream::plain(&context);
    stream.submit(Operation::ArrayIn {
        destination: at(&array, 0),
        source: host_with(&bytes(&data)),
        source_pitch: 16,
        span: Span2d { width: 16, height: 2 },
    });
    stream.synchronize().expect("copy");
    let out = context.alloc(64, 256).expect("allocation");
    let source = ImageSource::Array(Arc::clone(&array));
    let texture = context.create_image(&sampled(source.clone())).expect("texture");
    run(&context, &module, "fetch", texture, out, 8).expect("kernel");
    assert_eq!(read_words(&context, out, 8), data);
    let level = ImageView {
        source: ImageSource::Level(Arc::clone(&array), 0),
        sampling: None,
    };
    let surface = context.create_image(&level).expect("surface");
    assert_ne!(surface, texture);
    run(&context, &module, "twice", surface, 0, 8).expect("kernel");
    run(&context, &module, "fetch", texture, out, 8).expect("kernel");
    let doubled: Vec<u32> = data.iter().map(|w| w.wrapping_add(*w)).collect();
    assert_eq!(read_words(&context, out, 8), doubled);
    context.destroy_image(surface).expect("destroy");
    assert!(context.destroy_image(surface).is_err());
    assert!(context.destroy_image(out).is_err());
    // The array goes, the texture stays: whoever reads it faults.
    drop((array, source, level));
    assert_eq!(
        run(&context, &module, "fetch", texture, out, 8),
        Err(FaultKind::IllegalAddress)
    );
    drop((module, context));
    gpu.check_ledger().expect("ledger");
}

#[test]
fn a_texture_that_was_destroyed_is_a_fault() {
    let gpu = gpu();
    let context = context(&gpu);
    let module = load(&context, KERNELS);
    let memory = upload(&context, &floats(64));
    let pitched = ImageSource::Pitched {
        address: memory,
        width: 4,
        height: 2,
        pitch: 32,
        texel: FLOAT,
    };
    let texture = context.create_image(&sampled(pitched)).expect("texture");
    let out = context.alloc(64, 256).expect("allocation");
    run(&context, &module, "fetch", texture, out, 8).expect("kernel");
    let all = floats(64);
    let rows: Vec<u32> = all[..4].iter().chain(&all[8..12]).copied().collect();
    assert_eq!(read_words(&context, out, 8), rows);
    context.destroy_image(texture).expect("destroy");
    assert_eq!(
        run(&context, &module, "fetch", texture, out, 8),
        Err(FaultKind::IllegalAddress)
    );
}

#[test]
fn a_reference_is_bound_in_stream_order() {
    let gpu = gpu();
    let context = context(&gpu);
    let module = load(&context, KERNELS);
    let reference = module.image_reference("picture").expect("a reference");
    assert!(!reference.surface);
    assert!(module.image_reference("fetch").is_none());
    assert!(module.global("picture").is_none(), "no variable for the host");
    let out = context.alloc(64, 256).expect("allocation");
    let stream = TestStream::plain(&context);
    let named = kernel(&module, "named");
    let mut results = Vec::new();
    for seed in [3u32, 70] {
        let words: Vec<u32> = (0..8).map(|i| i * seed).collect();
        let linear = ImageSource::Linear {
            address: upload(&context, &words),
            bytes: 32,
            texel: TexelFormat {
                format: ChannelFormat::S32,
                channels: 1,
            },
        };
        stream.submit(Operation::BindImage {
            reference: reference.place,
            view: Some(sampled(linear)),
        });
        let to = out + if seed == 3 { 0 } else { 32 };
        stream.submit(launch(&named, 1, 8, &[0, to]));
        results.extend(words);
    }
    stream.synchronize().expect("kernels");
    assert_eq!(read_words(&context, out, 16), results);
    stream.submit(Operation::BindImage {
        reference: reference.place,
        view: None,
    });
    stream.submit(launch(&named, 1, 8, &[0, out]));
    let fault = stream.synchronize().expect_err("nothing is bound");
    assert_eq!(fault.kind, FaultKind::IllegalAddress);
}

#[test]
fn impossible_images_are_refused() {
    let gpu = gpu();
    let context = context(&gpu);
    let refused = |options: ArrayOptions| match context.create_array(&options) {
        Err(DeviceError::InvalidValue(_)) => {}
        Err(other) => panic!("{options:?}: {other}"),
        Ok(_) => panic!("{options:?} was made"),
    };
    let side = |width, height, depth| ArrayOptions {
        width,
        height,
        depth,
        ..FLAT
    };
    refused(side(0, 4, 0));
    refused(side(1 << 20, 4, 0));
    refused(ArrayOptions {
        layered: true,
        ..side(4, 4, 0)
    });
    refused(ArrayOptions {
        cube: true,
        ..side(4, 5, 6)
    });
    refused(ArrayOptions {
        cube: true,
        layered: true,
        ..side(4, 4, 8)
    });
    refused(ArrayOptions {
        levels: 4,
        ..side(4, 4, 0)
    });
    refused(ArrayOptions {
        texel: TexelFormat { channels: 3, ..FLOAT },
        ..side(4, 4, 0)
    });
    let integers = ArrayOptions {
        texel: TexelFormat {
            format: ChannelFormat::U32,
            channels: 1,
        },
        ..side(4, 4, 0)
    };
    let array = context.create_array(&integers).expect("array");
    let mut view = sampled(ImageSource::Array(array));
    view.sampling = view.sampling.map(|sampling| Sampling {
        linear: true,
        ..sampling
    });
    assert!(
        matches!(context.create_image(&view), Err(DeviceError::InvalidValue(_))),
        "linear filtering of integers"
    );
    drop(view);
    assert_eq!(gpu.memory().used, 0);
}
