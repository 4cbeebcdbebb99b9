//! Small kernels, each run in every way that the engine has, and checked against the same computation in Rust.
#![allow(missing_docs, reason = "test code")]

mod common;

use common::{Device, kernel, params, program, run_all};
use tessera_engine::Geometry;

#[test]
fn vector_add_with_a_ragged_end() {
    let mut device = Device::default();
    let text = kernel(
        ".param .u64 a, .param .u64 b, .param .u64 c, .param .u32 n",
        "ld.param.u64 %rd1, [a]; ld.param.u64 %rd2, [b]; ld.param.u64 %rd3, [c]; ld.param.u32 %r1, [n];
        mov.u32 %r2, %ctaid.x; mov.u32 %r3, %ntid.x; mov.u32 %r4, %tid.x;
        mad.lo.s32 %r5, %r2, %r3, %r4;
        setp.ge.s32 %p1, %r5, %r1;
        @%p1 bra DONE;
        cvta.to.global.u64 %rd4, %rd1; cvta.to.global.u64 %rd5, %rd2; cvta.to.global.u64 %rd6, %rd3;
        mul.wide.s32 %rd7, %r5, 4;
        add.s64 %rd8, %rd4, %rd7; ld.global.f32 %f1, [%rd8];
        add.s64 %rd9, %rd5, %rd7; ld.global.f32 %f2, [%rd9];
        add.f32 %f3, %f1, %f2;
        add.s64 %rd10, %rd6, %rd7; st.global.f32 [%rd10], %f3;
        DONE: ret;",
    );
    let p = program(&mut device, &text, "k");
    let n = 1003usize;
    let a: Vec<f32> = (0..n).map(|i| i as f32 * 0.5).collect();
    let b: Vec<f32> = (0..n).map(|i| 1000.0 - i as f32).collect();
    let (da, db, dc) = (device.upload(&a), device.upload(&b), device.alloc(n * 4));
    run_all(
        &device,
        &p,
        Geometry::new([4, 1, 1], [256, 1, 1]),
        &params(&[da, db, dc, n as u64]),
    );
    let c: Vec<f32> = device.download(dc, n);
    for i in 0..n {
        assert_eq!(c[i], a[i] + b[i], "element {i}");
    }
}
