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

/// `out[i]` for `blocks * threads` threads of a kernel `k(out, in)`, run in every way.
fn run_map(body: &str, block: [u32; 3], blocks: u32, input: &[u32], words: usize) -> Vec<u32> {
    let mut device = Device::default();
    let head = "ld.param.u64 %rd1, [out]; ld.param.u64 %rd2, [in];
        cvta.to.global.u64 %rd1, %rd1; cvta.to.global.u64 %rd2, %rd2;
        mov.u32 %r1, %ctaid.x; mov.u32 %r2, %ntid.x; mov.u32 %r3, %tid.x;
        mad.lo.s32 %r4, %r1, %r2, %r3; mul.wide.u32 %rd3, %r4, 4;
        add.s64 %rd4, %rd1, %rd3; add.s64 %rd5, %rd2, %rd3;\n";
    let text = kernel(".param .u64 out, .param .u64 in", &format!("{head}{body}"));
    let p = program(&mut device, &text, "k");
    let (out, inp) = (device.alloc(words * 4), device.upload(input));
    run_all(
        &device,
        &p,
        Geometry::new([blocks, 1, 1], block),
        &params(&[out, inp]),
    );
    device.download(out, words)
}

#[test]
fn a_loop_with_a_different_count_in_every_lane() {
    // Collatz: the steps that a number takes to 1.
    let input: Vec<u32> = (1..=300).collect();
    let out = run_map(
        "ld.global.u32 %r5, [%rd5]; mov.u32 %r6, 0;
        LOOP: setp.eq.u32 %p1, %r5, 1; @%p1 bra DONE;
        and.b32 %r7, %r5, 1; setp.eq.u32 %p2, %r7, 0; @%p2 bra EVEN;
        mad.lo.u32 %r5, %r5, 3, 1; bra NEXT;
        EVEN: shr.u32 %r5, %r5, 1;
        NEXT: add.u32 %r6, %r6, 1; bra LOOP;
        DONE: st.global.u32 [%rd4], %r6; ret;",
        [100, 1, 1],
        3,
        &input,
        300,
    );
    for (i, got) in out.into_iter().enumerate() {
        let (mut n, mut steps) = (i as u64 + 1, 0);
        while n != 1 {
            n = if n % 2 == 0 { n / 2 } else { 3 * n + 1 };
            steps += 1;
        }
        assert_eq!(got, steps, "number {}", i + 1);
    }
}

#[test]
fn nested_loops_with_continue_and_break_and_uniform_counters() {
    let input: Vec<u32> = (0..256).map(|i| i * 7 % 23).collect();
    let out = run_map(
        "ld.global.u32 %r5, [%rd5]; mov.u32 %r6, 0; mov.u32 %r7, 0;
        OUTER: mov.u32 %r8, 0;
        INNER: add.u32 %r8, %r8, 1;
        rem.u32 %r9, %r8, 3; setp.eq.u32 %p1, %r9, 0; @%p1 bra TAIL;
        setp.gt.u32 %p2, %r8, %r5; @%p2 bra OUT;
        add.u32 %r6, %r6, %r8;
        TAIL: setp.lt.u32 %p3, %r8, 20; @%p3 bra INNER;
        OUT: add.u32 %r7, %r7, 1; mad.lo.u32 %r6, %r7, 5, %r6; setp.lt.u32 %p4, %r7, 4; @%p4 bra OUTER;
        add.u32 %r6, %r6, %r7; add.u32 %r6, %r6, %r8;
        st.global.u32 [%rd4], %r6; ret;",
        [256, 1, 1],
        1,
        &input,
        256,
    );
    for (i, got) in out.into_iter().enumerate() {
        let limit = input[i];
        let (mut sum, mut outer, mut inner);
        (sum, outer, inner) = (0u32, 0, 0);
        while outer < 4 {
            inner = 0;
            loop {
                inner += 1;
                if inner % 3 != 0 {
                    if inner > limit {
                        break;
                    }
                    sum += inner;
                }
                if inner >= 20 {
                    break;
                }
            }
            outer += 1;
            sum += outer * 5;
        }
        assert_eq!(got, sum + outer + inner, "thread {i}");
    }
}

#[test]
fn a_switch_and_early_returns() {
    let input: Vec<u32> = (0..96).map(|i| i % 5).collect();
    let out = run_map(
        "ld.global.u32 %r5, [%rd5];
        setp.eq.u32 %p1, %r5, 4; @%p1 bra OTHER;
        T: .branchtargets A, B, C, A;
        brx.idx %r5, T;
        A: mov.u32 %r6, 10; bra STORE;
        B: mov.u32 %r6, 20; st.global.u32 [%rd4], %r6; ret;
        C: add.u32 %r6, %r3, 30;
        STORE: st.global.u32 [%rd4], %r6; ret;
        OTHER: ret;",
        [96, 1, 1],
        1,
        &input,
        96,
    );
    for (i, got) in out.into_iter().enumerate() {
        let want = [10, 20, 30 + i as u32, 10, 0][i % 5];
        assert_eq!(got, want, "thread {i}");
    }
}

#[test]
fn a_block_reduction_with_shared_memory_shuffles_and_barriers() {
    let n = 3 * 512;
    let input: Vec<u32> = (0..n).map(|i| i * i % 97).collect();
    let body = "ld.global.u32 %r5, [%rd5];
        shfl.sync.down.b32 %r6, %r5, 16, 31, -1; add.u32 %r5, %r5, %r6;
        shfl.sync.down.b32 %r6, %r5, 8, 31, -1; add.u32 %r5, %r5, %r6;
        shfl.sync.down.b32 %r6, %r5, 4, 31, -1; add.u32 %r5, %r5, %r6;
        shfl.sync.down.b32 %r6, %r5, 2, 31, -1; add.u32 %r5, %r5, %r6;
        shfl.sync.down.b32 %r6|%p5, %r5, 1, 31, -1; add.u32 %r5, %r5, %r6;
        and.b32 %r7, %r3, 31; shr.u32 %r8, %r3, 5;
        setp.ne.u32 %p1, %r7, 0; @%p1 bra WAIT;
        shl.b32 %r9, %r8, 2; mov.u32 %r10, buf; add.u32 %r9, %r10, %r9; st.shared.u32 [%r9], %r5;
        WAIT: bar.sync 0;
        setp.gt.u32 %p2, %r3, 31; @%p2 bra DONE;
        mov.u32 %r5, 0; shr.u32 %r11, %r2, 5; setp.ge.u32 %p3, %r3, %r11;
        shl.b32 %r9, %r3, 2; mov.u32 %r10, buf; add.u32 %r9, %r10, %r9;
        @!%p3 ld.shared.u32 %r5, [%r9];
        shfl.sync.bfly.b32 %r6, %r5, 16, 31, -1; add.u32 %r5, %r5, %r6;
        shfl.sync.bfly.b32 %r6, %r5, 8, 31, -1; add.u32 %r5, %r5, %r6;
        shfl.sync.bfly.b32 %r6, %r5, 4, 31, -1; add.u32 %r5, %r5, %r6;
        shfl.sync.bfly.b32 %r6, %r5, 2, 31, -1; add.u32 %r5, %r5, %r6;
        shfl.sync.bfly.b32 %r6, %r5, 1, 31, -1; add.u32 %r5, %r5, %r6;
        setp.ne.u32 %p4, %r3, 0; @%p4 bra DONE;
        mul.wide.u32 %rd6, %r1, 4; add.s64 %rd6, %rd1, %rd6; st.global.u32 [%rd6], %r5;
        DONE: ret;";
    let body = format!(".shared .align 4 .b8 buf[128];\n{body}");
    let mut device = Device::default();
    let head = "ld.param.u64 %rd1, [out]; ld.param.u64 %rd2, [in];
        mov.u32 %r1, %ctaid.x; mov.u32 %r2, %ntid.x; mov.u32 %r3, %tid.x;
        mad.lo.s32 %r4, %r1, %r2, %r3; mul.wide.u32 %rd3, %r4, 4; add.s64 %rd5, %rd2, %rd3;\n";
    let text = kernel(".param .u64 out, .param .u64 in", &format!("{head}{body}"));
    let p = program(&mut device, &text, "k");
    let (out, inp) = (device.alloc(12), device.upload(&input));
    run_all(
        &device,
        &p,
        Geometry::new([3, 1, 1], [512, 1, 1]),
        &params(&[out, inp]),
    );
    let sums: Vec<u32> = device.download(out, 3);
    for b in 0..3 {
        assert_eq!(
            sums[b],
            input[b * 512..(b + 1) * 512].iter().sum::<u32>(),
            "block {b}"
        );
    }
}

#[test]
fn a_scan_with_a_barrier_in_a_loop() {
    let input: Vec<u32> = (0..512).map(|i| i % 11 + 1).collect();
    let body = ".shared .align 4 .b8 buf[2048];
        ld.global.u32 %r5, [%rd5];
        mov.u32 %r6, buf; shl.b32 %r7, %r3, 2; add.u32 %r8, %r6, %r7;
        st.shared.u32 [%r8], %r5; bar.sync 0;
        mov.u32 %r9, 1;
        LOOP: setp.lt.u32 %p1, %r3, %r9; mov.u32 %r10, 0; @%p1 bra SKIP;
        sub.u32 %r11, %r3, %r9; shl.b32 %r11, %r11, 2; add.u32 %r11, %r6, %r11; ld.shared.u32 %r10, [%r11];
        SKIP: bar.sync 0;
        add.u32 %r5, %r5, %r10; st.shared.u32 [%r8], %r5; bar.sync 0;
        shl.b32 %r9, %r9, 1; setp.lt.u32 %p2, %r9, %r2; @%p2 bra LOOP;
        st.global.u32 [%rd4], %r5; ret;";
    let out = run_map(body, [512, 1, 1], 1, &input, 512);
    let mut sum = 0;
    for (i, got) in out.into_iter().enumerate() {
        sum += input[i];
        assert_eq!(got, sum, "element {i}");
    }
}

#[test]
fn a_tiled_matrix_product_in_two_dimensions() {
    let n = 32usize;
    let mut device = Device::default();
    let text = kernel(
        ".param .u64 a, .param .u64 b, .param .u64 c, .param .u32 n",
        ".shared .align 4 .b8 ta[1024]; .shared .align 4 .b8 tb[1024];
        ld.param.u64 %rd1, [a]; ld.param.u64 %rd2, [b]; ld.param.u64 %rd3, [c]; ld.param.u32 %r1, [n];
        mov.u32 %r2, %tid.x; mov.u32 %r3, %tid.y; mov.u32 %r4, %ctaid.x; mov.u32 %r5, %ctaid.y;
        shl.b32 %r6, %r5, 4; add.u32 %r6, %r6, %r3; shl.b32 %r7, %r4, 4; add.u32 %r7, %r7, %r2;
        mov.u32 %r8, ta; mov.u32 %r9, tb;
        shl.b32 %r10, %r3, 6; shl.b32 %r11, %r2, 2; add.u32 %r12, %r8, %r10; add.u32 %r13, %r12, %r11;
        add.u32 %r14, %r9, %r11; add.u32 %r15, %r14, %r10;
        mov.f32 %f1, 0f00000000; mov.u32 %r16, 0;
        TILE: mad.lo.u32 %r17, %r6, %r1, %r16; add.u32 %r17, %r17, %r2; mul.wide.u32 %rd4, %r17, 4; add.s64 %rd4, %rd1, %rd4;
        ld.global.f32 %f2, [%rd4]; st.shared.f32 [%r13], %f2;
        add.u32 %r18, %r16, %r3; mad.lo.u32 %r18, %r18, %r1, %r7; mul.wide.u32 %rd5, %r18, 4; add.s64 %rd5, %rd2, %rd5;
        ld.global.f32 %f3, [%rd5]; st.shared.f32 [%r15], %f3;
        bar.sync 0; mov.u32 %r19, 0;
        K: shl.b32 %r20, %r19, 2; add.u32 %r21, %r12, %r20; ld.shared.f32 %f4, [%r21];
        shl.b32 %r22, %r19, 6; add.u32 %r23, %r14, %r22; ld.shared.f32 %f5, [%r23];
        fma.rn.f32 %f1, %f4, %f5, %f1; add.u32 %r19, %r19, 1; setp.lt.u32 %p1, %r19, 16; @%p1 bra K;
        bar.sync 0; add.u32 %r16, %r16, 16; setp.lt.u32 %p2, %r16, %r1; @%p2 bra TILE;
        mad.lo.u32 %r24, %r6, %r1, %r7; mul.wide.u32 %rd6, %r24, 4; add.s64 %rd6, %rd3, %rd6; st.global.f32 [%rd6], %f1; ret;",
    );
    let p = program(&mut device, &text, "k");
    let a: Vec<f32> = (0..n * n).map(|i| (i % 7) as f32 - 3.0).collect();
    let b: Vec<f32> = (0..n * n).map(|i| (i % 5) as f32 * 0.25).collect();
    let (da, db, dc) = (device.upload(&a), device.upload(&b), device.alloc(n * n * 4));
    run_all(
        &device,
        &p,
        Geometry::new([2, 2, 1], [16, 16, 1]),
        &params(&[da, db, dc, n as u64]),
    );
    let c: Vec<f32> = device.download(dc, n * n);
    for i in 0..n {
        for j in 0..n {
            let want = (0..n).fold(0f32, |s, k| a[i * n + k].mul_add(b[k * n + j], s));
            assert_eq!(c[i * n + j], want, "element {i} {j}");
        }
    }
}

#[test]
fn a_histogram_with_shared_and_global_atomics() {
    let input: Vec<u32> = (0..1024u32)
        .map(|i| i.wrapping_mul(2_654_435_761) >> 26)
        .collect();
    let body = ".shared .align 4 .b8 bins[256];
        mov.u32 %r6, bins; setp.gt.u32 %p1, %r3, 63; @%p1 bra READY;
        shl.b32 %r7, %r3, 2; add.u32 %r7, %r6, %r7; mov.u32 %r8, 0; st.shared.u32 [%r7], %r8;
        READY: bar.sync 0;
        ld.global.u32 %r5, [%rd5]; shl.b32 %r9, %r5, 2; add.u32 %r9, %r6, %r9; atom.shared.add.u32 %r10, [%r9], 1;
        bar.sync 0;
        @%p1 bra DONE;
        ld.shared.u32 %r11, [%r7]; mul.wide.u32 %rd6, %r3, 4; add.s64 %rd6, %rd1, %rd6; red.global.add.u32 [%rd6], %r11;
        atom.global.max.u32 %r12, [%rd6+256], %r11;
        DONE: ret;";
    let out = run_map(body, [256, 1, 1], 4, &input, 128);
    for bin in 0..64u32 {
        assert_eq!(
            out[bin as usize],
            input.iter().filter(|&&v| v == bin).count() as u32,
            "bin {bin}"
        );
        let most = input
            .chunks(256)
            .map(|c| c.iter().filter(|&&v| v == bin).count())
            .max()
            .unwrap_or(0);
        assert_eq!(out[64 + bin as usize], most as u32, "bin {bin}");
    }
}

#[test]
fn lanes_and_warps_and_blocks_wait_for_each_other() {
    // A lock taken lane by lane (lanes of a warp wait for each other), then a chain through flags, each thread waiting for the one
    // before it, across warps and blocks.
    let body = "add.s64 %rd7, %rd1, 2048; mov.u32 %r10, 0;
        TRY: atom.global.cas.b32 %r11, [%rd7], 0, 1; setp.ne.s32 %p1, %r11, 0; @%p1 bra TRY;
        ld.volatile.global.u32 %r12, [%rd7+4]; add.u32 %r12, %r12, 3; st.volatile.global.u32 [%rd7+4], %r12;
        membar.gl; atom.global.exch.b32 %r13, [%rd7], 0;
        setp.eq.u32 %p2, %r4, 0; @%p2 bra GO;
        WAIT: ld.volatile.global.u32 %r14, [%rd4+-4]; setp.eq.u32 %p3, %r14, 0; @%p3 bra WAIT;
        GO: add.u32 %r15, %r4, 1; st.volatile.global.u32 [%rd4], %r15; ret;";
    let out = run_map(body, [96, 1, 1], 2, &[0; 4], 514);
    assert_eq!(out[513], 3 * 192);
    for (i, got) in out.iter().take(192).enumerate() {
        assert_eq!(*got, i as u32 + 1);
    }
}

#[test]
fn named_barriers_between_warps_with_different_roles() {
    // Warps 0 and 1 produce, warps 2 and 3 consume: barrier 1 says full, barrier 2 says empty.
    let body = ".shared .align 4 .b8 buf[256];
        mov.u32 %r6, buf; mov.u32 %r7, 0; mov.u32 %r8, 0; and.b32 %r9, %r3, 63; shl.b32 %r10, %r9, 2; add.u32 %r10, %r6, %r10;
        setp.gt.u32 %p1, %r3, 63; @%p1 bra CONSUME;
        PRODUCE: mad.lo.u32 %r11, %r7, 100, %r9; st.shared.u32 [%r10], %r11; bar.arrive 1, 128; bar.sync 2, 128;
        add.u32 %r7, %r7, 1; setp.lt.u32 %p2, %r7, 5; @%p2 bra PRODUCE; ret;
        CONSUME: bar.sync 1, 128; sub.u32 %r12, 252, %r10; add.u32 %r12, %r12, %r6; add.u32 %r12, %r12, %r6; ld.shared.u32 %r13, [%r12];
        add.u32 %r8, %r8, %r13; bar.sync 2, 128;
        add.u32 %r7, %r7, 1; setp.lt.u32 %p3, %r7, 5; @%p3 bra CONSUME;
        st.global.u32 [%rd4], %r8; ret;";
    let out = run_map(body, [128, 1, 1], 1, &[0; 128], 128);
    for i in 0..64u32 {
        assert_eq!(out[64 + i as usize], 1000 + 5 * (63 - i), "thread {i}");
    }
}

#[test]
fn barrier_reductions() {
    let input: Vec<u32> = (0..320).map(|i| i % 3).collect();
    let body = "ld.global.u32 %r5, [%rd5]; setp.eq.u32 %p1, %r5, 1;
        bar.red.popc.u32 %r6, 0, %p1; bar.red.and.pred %p2, 1, %p1; bar.red.or.pred %p3, 2, !%p1; bar.red.and.pred %p4, 0, 1;
        selp.u32 %r7, 1000, 0, %p2; selp.u32 %r8, 2000, 0, %p3; selp.u32 %r9, 4000, 0, %p4;
        add.u32 %r6, %r6, %r7; add.u32 %r6, %r6, %r8; add.u32 %r6, %r6, %r9; st.global.u32 [%rd4], %r6; ret;";
    let body = body.replace(
        "bar.red.and.pred %p4, 0, 1;",
        "setp.lt.u32 %p5, %r5, 9; bar.red.and.pred %p4, 0, %p5;",
    );
    for got in run_map(&body, [320, 1, 1], 1, &input, 320) {
        assert_eq!(got, 107 + 2000 + 4000);
    }
}

#[test]
fn votes_matches_and_reductions_of_warps() {
    let input: Vec<u32> = (0..64).map(|i| i % 7).collect();
    let body = "ld.global.u32 %r5, [%rd5]; setp.lt.u32 %p1, %r5, 3;
        vote.sync.ballot.b32 %r6, %p1, -1; vote.sync.any.pred %p2, %p1, -1; vote.sync.all.pred %p3, %p1, -1;
        match.any.sync.b32 %r7, %r5, -1; redux.sync.add.s32 %r8, %r5, -1; redux.sync.max.u32 %r9, %r5, -1;
        activemask.b32 %r10; mov.u32 %r11, %laneid;
        selp.u32 %r12, 1, 0, %p2; selp.u32 %r13, 2, 0, %p3; or.b32 %r12, %r12, %r13; popc.b32 %r14, %r7;
        xor.b32 %r15, %r6, %r7; mad.lo.u32 %r15, %r8, 31, %r15; mad.lo.u32 %r15, %r9, 131, %r15; add.u32 %r15, %r15, %r12; add.u32 %r15, %r15, %r10;
        st.global.u32 [%rd4], %r15; ret;";
    let out = run_map(body, [64, 1, 1], 1, &input, 64);
    for (i, got) in out.into_iter().enumerate() {
        let warp = &input[i / 32 * 32..i / 32 * 32 + 32];
        let bits = |f: &dyn Fn(u32) -> bool| {
            warp.iter()
                .enumerate()
                .fold(0u32, |m, (l, &v)| m | u32::from(f(v)) << l)
        };
        let want = (bits(&|v| v < 3) ^ bits(&|v| v == input[i]))
            .wrapping_add(warp.iter().sum::<u32>() * 31)
            .wrapping_add(6 * 131)
            .wrapping_add(1)
            .wrapping_add(u32::MAX);
        assert_eq!(got, want, "thread {i}");
    }
}

#[test]
fn shuffles_of_all_modes_and_widths() {
    let input: Vec<u32> = (0..32).map(|i| i * 10).collect();
    let body = "ld.global.u32 %r5, [%rd5]; mov.u32 %r20, 0;
        shfl.sync.up.b32 %r6|%p1, %r5, 3, 0, -1; selp.u32 %r7, 1, 0, %p1; mad.lo.u32 %r20, %r6, 3, %r7;
        shfl.sync.idx.b32 %r6|%p1, %r5, 2, 6175, -1; selp.u32 %r7, 1, 0, %p1; mad.lo.u32 %r20, %r20, 5, %r6; add.u32 %r20, %r20, %r7;
        shfl.sync.down.b32 %r6|%p1, %r5, 2, 6175, -1; selp.u32 %r7, 1, 0, %p1; mad.lo.u32 %r20, %r20, 7, %r6; add.u32 %r20, %r20, %r7;
        st.global.u32 [%rd4], %r20; ret;";
    let out = run_map(body, [32, 1, 1], 1, &input, 32);
    for (lane, got) in (0u32..).zip(out) {
        let up = if lane >= 3 { (lane - 3, 1) } else { (lane, 0) };
        // Width 8: segment mask 24, clamp 31.
        let idx = (lane & 24) | 2;
        let down = if lane % 8 + 2 <= 7 {
            (lane + 2, 1)
        } else {
            (lane, 0)
        };
        let want = ((up.0 * 10 * 3 + up.1) * 5 + idx * 10 + 1) * 7 + down.0 * 10 + down.1;
        assert_eq!(got, want, "lane {lane}");
    }
}

#[test]
fn predicated_instructions_and_local_memory() {
    let input: Vec<u32> = (0..100).collect();
    let body = ".local .align 8 .b8 depot[64];
        ld.global.u32 %r5, [%rd5]; and.b32 %r6, %r5, 7; mov.u32 %r7, 0; mov.u64 %rd8, depot; cvta.local.u64 %rd9, %rd8;
        FILL: mul.wide.u32 %rd6, %r7, 4; add.s64 %rd7, %rd8, %rd6; mad.lo.u32 %r8, %r7, %r5, 5; st.local.u32 [%rd7], %r8;
        add.u32 %r7, %r7, 1; setp.lt.u32 %p1, %r7, 8; @%p1 bra FILL;
        mul.wide.u32 %rd6, %r6, 4; add.s64 %rd7, %rd9, %rd6; ld.u32 %r9, [%rd7];
        setp.gt.u32 %p2, %r6, 3; @%p2 add.u32 %r9, %r9, 1000; @!%p2 ld.local.v2.u32 {%r10, %r11}, [depot+8]; @!%p2 sub.u32 %r9, %r11, %r10;
        st.global.u32 [%rd4], %r9; ret;";
    let out = run_map(body, [100, 1, 1], 1, &input, 100);
    for (i, got) in (0u32..).zip(out) {
        let want = if i % 8 > 3 { (i % 8) * i + 5 + 1000 } else { i };
        assert_eq!(got, want, "thread {i}");
    }
}

#[test]
fn values_of_lanes_that_left_a_loop_early_survive_the_others() {
    // Two exits; one of them computes a value in the middle of the loop's blocks that is stored long after.
    let input: Vec<u32> = (0..128).map(|i| i * 13 % 31).collect();
    let body = "ld.global.u32 %r5, [%rd5]; mov.u32 %r6, 0; mov.u32 %r20, 7; mov.u32 %r21, 0;
        HEAD: add.u32 %r7, %r6, 3; mul.lo.u32 %r8, %r7, %r7; xor.b32 %r9, %r8, %r6;
        and.b32 %r10, %r6, 1; setp.ne.u32 %p1, %r10, 0; @%p1 bra ODD;
        setp.eq.u32 %p2, %r6, %r5; @%p2 bra LEFT; add.u32 %r11, %r9, %r6; add.u32 %r21, %r21, %r11; bra NEXT;
        LEFT: mul.lo.u32 %r20, %r6, 1000; add.u32 %r20, %r20, %r9; add.u32 %r12, %r20, %r6; bra OUT;
        ODD: sub.u32 %r13, %r9, %r6; add.u32 %r21, %r21, %r13;
        NEXT: add.u32 %r6, %r6, 1; setp.lt.u32 %p3, %r6, 24; @%p3 bra HEAD;
        add.u32 %r12, %r21, 5;
        OUT: mad.lo.u32 %r14, %r12, 3, %r20; add.u32 %r14, %r14, %r21; st.global.u32 [%rd4], %r14; ret;";
    let out = run_map(body, [128, 1, 1], 1, &input, 128);
    for (i, got) in out.into_iter().enumerate() {
        let (mut n, mut first, mut sum) = (0u32, 7u32, 0u32);
        let second = loop {
            let mixed = ((n + 3) * (n + 3)) ^ n;
            if n % 2 == 1 {
                sum = sum.wrapping_add(mixed.wrapping_sub(n));
            } else if n == input[i] {
                first = n * 1000 + mixed;
                break first + n;
            } else {
                sum = sum.wrapping_add(mixed + n);
            }
            n += 1;
            if n >= 24 {
                break sum.wrapping_add(5);
            }
        };
        assert_eq!(
            got,
            second.wrapping_mul(3).wrapping_add(first).wrapping_add(sum),
            "thread {i}"
        );
    }
}

#[test]
fn a_tree_of_sums_of_64_bits_in_shared_memory() {
    let mut device = Device::default();
    let text = kernel(
        ".param .u64 in, .param .u64 out, .param .u32 n",
        "ld.param.u64 %rd3, [in]; ld.param.u64 %rd4, [out]; ld.param.u32 %r9, [n];
        .shared .align 16 .b8 part[4096];
        mov.u32 %r1, %ntid.x; mov.u32 %r2, %ctaid.x; mov.u32 %r3, %tid.x;
        mad.lo.s32 %r4, %r2, %r1, %r3;
        setp.ge.s32 %p1, %r4, %r9; mov.u64 %rd16, 0;
        @%p1 bra STORE;
        cvta.to.global.u64 %rd6, %rd3; mul.wide.s32 %rd7, %r4, 4; add.s64 %rd8, %rd6, %rd7;
        ld.global.s32 %rd16, [%rd8];
        STORE: shl.b32 %r10, %r3, 3; mov.u32 %r11, part; add.s32 %r5, %r11, %r10;
        st.shared.u64 [%r5], %rd16;
        bar.sync 0;
        shr.u32 %r14, %r1, 1; setp.eq.s32 %p2, %r14, 0;
        @%p2 bra OVER;
        LOOP: setp.ge.u32 %p3, %r3, %r14;
        @%p3 bra MEET;
        shl.b32 %r12, %r14, 3; add.s32 %r13, %r5, %r12;
        ld.shared.u64 %rd9, [%r5]; ld.shared.u64 %rd10, [%r13];
        add.s64 %rd11, %rd9, %rd10; st.shared.u64 [%r5], %rd11;
        MEET: bar.sync 0;
        shr.u32 %r14, %r14, 1; setp.ne.s32 %p4, %r14, 0;
        @%p4 bra LOOP;
        OVER: setp.ne.s32 %p5, %r3, 0;
        @%p5 bra DONE;
        ld.shared.u64 %rd12, [part]; cvta.to.global.u64 %rd13, %rd4; mul.wide.u32 %rd14, %r2, 8;
        add.s64 %rd15, %rd13, %rd14; st.global.u64 [%rd15], %rd12;
        DONE: ret;",
    );
    let p = program(&mut device, &text, "k");
    for (threads, n) in [(64u32, 150usize), (512, 1300)] {
        let input: Vec<i32> = (0..n as i32).map(|i| i * 7919 % 2001 - 1000).collect();
        let blocks = (n as u32).div_ceil(threads);
        let (din, out) = (device.upload(&input), device.alloc(blocks as usize * 8));
        run_all(
            &device,
            &p,
            Geometry::new([blocks, 1, 1], [threads, 1, 1]),
            &params(&[din, out, n as u64]),
        );
        let sums: Vec<i64> = device.download(out, blocks as usize);
        for (block, part) in input.chunks(threads as usize).enumerate() {
            let sum: i64 = part.iter().map(|&v| i64::from(v)).sum();
            assert_eq!(sums[block], sum, "block {block} of {threads} threads");
        }
    }
}

/// In blocks with rows of sixteen, both halves of a warp load the same row of `b`, and rows of their own of `a`.
const ROWS_OF_SIXTEEN: &str = "ld.param.u64 %rd1, [out]; ld.param.u64 %rd2, [a]; ld.param.u64 %rd3, [b];
    mov.u32 %r1, %tid.x; mov.u32 %r2, %tid.y; mov.u32 %r3, %ntid.x; mad.lo.u32 %r4, %r2, %r3, %r1;
    mul.wide.u32 %rd4, %r1, 4; add.s64 %rd5, %rd3, %rd4; mul.wide.u32 %rd6, %r4, 4; add.s64 %rd7, %rd2, %rd6;
    mov.u32 %r5, 0; mov.u32 %r6, 0;
L:  ld.global.u32 %r7, [%rd5]; ld.global.u32 %r8, [%rd7]; mad.lo.u32 %r6, %r6, 31, %r7; xor.b32 %r6, %r6, %r8;
    add.s64 %rd5, %rd5, 64; add.s64 %rd7, %rd7, 1024; add.u32 %r5, %r5, 1; setp.lt.u32 %p1, %r5, 8; @%p1 bra L;
    add.s64 %rd8, %rd1, %rd6; st.global.u32 [%rd8], %r6; ret;";

#[test]
fn halves_of_a_warp_in_rows_of_sixteen_load_what_each_asks_for() {
    for x in [16, 32, 48] {
        let y = 240 / x;
        let (a, b): (Vec<u32>, Vec<u32>) = (0..4096u32)
            .map(|i| (i.wrapping_mul(2_654_435_761), i * i + 7))
            .unzip();
        let mut expected = vec![0u32; (x * y) as usize];
        for (t, value) in expected.iter_mut().enumerate() {
            for i in 0..8 {
                *value = value.wrapping_mul(31).wrapping_add(b[t % x as usize + 16 * i]) ^ a[t + 256 * i];
            }
        }
        let mut device = Device::default();
        let text = kernel(".param .u64 out, .param .u64 a, .param .u64 b", ROWS_OF_SIXTEEN);
        let p = program(&mut device, &text, "k");
        let (a, b) = (device.upload(&a), device.upload(&b));
        let out = device.alloc(expected.len() * 4);
        let geometry = Geometry::new([1, 1, 1], [x, y, 1]);
        run_all(&device, &p, geometry, &params(&[out, a, b]));
        assert_eq!(
            device.download::<u32>(out, expected.len()),
            expected,
            "rows of {x}"
        );
    }
}
