//! Mistakes that experiments with ways to run PTX made and found by wrong results. Each is a kernel here, run in every way there is;
//! those that do not show in results are in `decode/tests.rs`.

mod common;

use common::{Device, Hooks, kernel, params, program, run_all, run_once};
use std::sync::atomic::AtomicBool;
use tessera_engine::{Cta, Env, Exit, FaultKind, Geometry, Launch, Pool, Why, Worker};

const START: &str =
    "ld.param.u64 %rd1, [out]; mov.u32 %r1, %tid.x; mov.u32 %r2, %ctaid.x; mov.u32 %r3, %ntid.x;
    mad.lo.s32 %r4, %r2, %r3, %r1;";

/// Runs a body that stores one word per thread at `out`, which `%rd1` holds; `%r4` is the thread's number.
fn words(body: &str, threads: u32, more: &[u64]) -> Vec<u32> {
    let mut device = Device::default();
    let out = device.alloc(threads as usize * 4);
    let text = kernel(
        ".param .u64 out, .param .u64 a, .param .u64 b",
        &format!("{START}\n{body}"),
    );
    let p = program(&mut device, &text, "k");
    let mut values = vec![out];
    values.extend_from_slice(more);
    values.resize(3, 0);
    run_all(
        &device,
        &p,
        Geometry::new([1, 1, 1], [threads, 1, 1]),
        &params(&values),
    );
    device.download(out, threads as usize)
}

/// Values that lanes share are only right while the lanes stay together. Here lanes of one warp wait for others that are
/// iterations ahead of them, so that they have to part from the loop's counter.
#[test]
fn lanes_that_run_ahead_have_a_counter_of_their_own() {
    let body = ".shared .align 4 .b8 flags[1024];
        mov.u32 %r20, flags; shl.b32 %r21, %r1, 2; add.u32 %r22, %r20, %r21; xor.b32 %r23, %r21, 4; add.u32 %r23, %r20, %r23;
        mov.u32 %r5, 0; st.shared.u32 [%r22], %r5; bar.sync 0; and.b32 %r6, %r1, 1; mov.u32 %r7, 0; mov.u32 %r8, 0;
        LOOP: add.u32 %r7, %r7, 1; mad.lo.u32 %r8, %r7, %r7, %r8;
        setp.eq.u32 %p1, %r7, 2; setp.eq.u32 %p2, %r6, 0; and.pred %p1, %p1, %p2; @%p1 bra WAIT;
        setp.eq.u32 %p3, %r7, 6; not.pred %p4, %p2; and.pred %p3, %p3, %p4; @%p3 bra SET;
        NEXT: setp.lt.u32 %p5, %r7, 9; @%p5 bra LOOP;
        mul.wide.u32 %rd5, %r4, 4; add.s64 %rd6, %rd1, %rd5; st.global.u32 [%rd6], %r8; ret;
        WAIT: ld.volatile.shared.u32 %r9, [%r23]; setp.eq.u32 %p6, %r9, 0; @%p6 bra WAIT; bra NEXT;
        SET: mov.u32 %r10, 1; st.volatile.shared.u32 [%r22], %r10; bra NEXT;";
    let want: u32 = (1..=9).map(|k| k * k).sum();
    assert_eq!(words(body, 96, &[]), vec![want; 96]);
}

/// The lane mask has to be what it was when a block goes on after a barrier, or after it was stopped anywhere.
#[test]
fn masks_survive_barriers_and_stops() {
    let body = ".shared .align 4 .b8 s[512];
        mov.u32 %r20, s; shl.b32 %r21, %r1, 2; add.u32 %r22, %r20, %r21; st.shared.u32 [%r22], %r1; bar.sync 0; mov.u32 %r5, 64;
        TREE: setp.ge.u32 %p1, %r1, %r5; @%p1 bra SKIP;
        shl.b32 %r6, %r5, 2; add.u32 %r7, %r22, %r6; ld.shared.u32 %r8, [%r7]; ld.shared.u32 %r9, [%r22]; add.u32 %r9, %r9, %r8; st.shared.u32 [%r22], %r9;
        SKIP: bar.sync 0; shr.u32 %r5, %r5, 1; setp.ne.u32 %p2, %r5, 0; @%p2 bra TREE;
        ld.shared.u32 %r10, [%r20]; mul.wide.u32 %rd5, %r4, 4; add.s64 %rd6, %rd1, %rd5; st.global.u32 [%rd6], %r10; ret;";
    assert_eq!(words(body, 128, &[]), vec![127 * 128 / 2; 128]);
}

/// A value that grows with the lane keeps doing so when it is widened, unless it wraps in 32 bits within the sixteen lanes.
#[test]
fn widening_a_value_that_wraps_between_lanes() {
    for start in [0x7fff_fff8u32, 0xffff_fff8, 0x3fff_fff9, 0] {
        let body = "ld.param.u32 %r5, [a]; add.u32 %r6, %r5, %r4;
            mul.wide.s32 %rd5, %r6, 4; mul.wide.u32 %rd6, %r6, 8; cvt.u64.u32 %rd7, %r6; cvt.s64.s32 %rd8, %r6; mad.wide.s32 %rd9, %r6, -3, %rd7;
            xor.b64 %rd5, %rd5, %rd6; add.s64 %rd5, %rd5, %rd7; xor.b64 %rd5, %rd5, %rd8; add.s64 %rd5, %rd5, %rd9; shr.u64 %rd10, %rd5, 31; cvt.u32.u64 %r7, %rd10;
            mul.wide.u32 %rd11, %r4, 4; add.s64 %rd12, %rd1, %rd11; st.global.u32 [%rd12], %r7; ret;";
        let want: Vec<u32> = (0..48u32)
            .map(|i| {
                let v = start.wrapping_add(i);
                let (signed, wide) = (i64::from(v.cast_signed()), u64::from(v));
                let mut r = (signed * 4).cast_unsigned() ^ (wide * 8);
                r = r.wrapping_add(wide) ^ signed.cast_unsigned();
                r = r.wrapping_add((signed * -3).cast_unsigned().wrapping_add(wide));
                u32::try_from(r >> 31 & 0xffff_ffff).expect("32 bits")
            })
            .collect();
        assert_eq!(words(body, 48, &[u64::from(start)]), want, "from {start:#x}");
    }
}

/// Straight code has safe points too: ten thousand instructions without a branch are not run in one go.
#[test]
fn straight_code_can_be_stopped() {
    let mut body = String::from(START);
    body.push_str("mov.u32 %r5, %r4;\n");
    for i in 0..10_000 {
        body.push_str(&format!("mad.lo.u32 %r5, %r5, {}, %r4;\n", i * 2 + 1));
    }
    body.push_str("mul.wide.u32 %rd5, %r4, 4; add.s64 %rd6, %rd1, %rd5; st.global.u32 [%rd6], %r5; ret;");
    let mut device = Device::default();
    let out = device.alloc(64 * 4);
    let p = program(&mut device, &kernel(".param .u64 out", &body), "k");
    let launch = Launch::new(&p, Geometry::new([1, 1, 1], [64, 1, 1]), &params(&[out])).expect("legal");
    let (hooks, stop, mut worker) = (Hooks::default(), AtomicBool::new(false), Worker::new());
    let env = Env {
        memory: &device,
        runtime: &hooks,
        stop: &stop,
        fuel: 1,
        sm: 0,
        sms: 1,
        next: None,
    };
    let mut cta = Cta::new(&launch, [0, 0, 0], &mut Pool::new());
    let (mut stops, mut last) = (0, 0);
    loop {
        let exit = cta.run(&mut worker, &env);
        assert!(
            cta.operations() - last < 2500,
            "{} operations in one go",
            cta.operations() - last
        );
        last = cta.operations();
        match exit {
            Exit::Yielded(Why::Fuel) => stops += 1,
            Exit::Done => break,
            other => panic!("{other:?}"),
        }
    }
    assert!(stops >= 8, "{stops} stops");
}

/// Compilers put loops before the branch that skips them, and what is common before what leads to it: the order of the text is not
/// the order in which lanes may run.
#[test]
fn the_order_of_the_text_is_not_that_of_execution() {
    let body = "and.b32 %r5, %r1, 1; setp.eq.u32 %p1, %r5, 1; mov.u32 %r6, 0; mov.u32 %r7, 3; mov.u32 %r8, 0; @%p1 bra OTHER; bra TEST;
        AGAIN: add.u32 %r6, %r6, %r7; add.u32 %r8, %r8, 1; add.u32 %r7, %r7, 2;
        TEST: setp.lt.u32 %p2, %r8, 5; @%p2 bra AGAIN; bra JOIN;
        END: mul.wide.u32 %rd5, %r4, 4; add.s64 %rd6, %rd1, %rd5; st.global.u32 [%rd6], %r6; ret;
        JOIN: mad.lo.u32 %r6, %r7, 100, %r6; bra END;
        OTHER: mov.u32 %r7, 11; add.u32 %r9, %r1, 2;
        MORE: add.u32 %r6, %r6, %r7; sub.u32 %r9, %r9, 1; setp.ne.u32 %p3, %r9, 0; @%p3 bra MORE; bra JOIN;";
    let want: Vec<u32> = (0..64)
        .map(|i| {
            if i % 2 == 1 {
                11 * (i + 2) + 1100
            } else {
                3 + 5 + 7 + 9 + 11 + 1300
            }
        })
        .collect();
    assert_eq!(words(body, 64, &[]), want);
}

/// A span shorter than the access has no place in which the access could lie.
#[test]
fn accesses_longer_than_the_allocation() {
    for (load, bytes, fails) in [
        ("ld.global.v4.u32 {%r5, %r6, %r7, %r8}, [%rd2];", 8usize, true),
        ("ld.global.v4.u32 {%r5, %r6, %r7, %r8}, [%rd2];", 16, false),
        ("ld.global.u64 %rd3, [%rd2];", 4, true),
        ("ld.global.u32 %r5, [%rd2];", 4, false),
        // Sixteen lanes in a row, and an allocation that ends in the middle of them.
        (
            "mul.wide.u32 %rd4, %r1, 4; add.s64 %rd5, %rd2, %rd4; ld.global.u32 %r5, [%rd5];",
            60,
            true,
        ),
        (
            "mul.wide.u32 %rd4, %r1, 4; add.s64 %rd5, %rd2, %rd4; ld.global.u32 %r5, [%rd5];",
            64,
            false,
        ),
        (
            "mul.wide.u32 %rd4, %r1, 4; add.s64 %rd5, %rd2, %rd4; st.global.u32 [%rd5], %r1;",
            60,
            true,
        ),
        (
            "mul.wide.u32 %rd4, %r1, 4; add.s64 %rd5, %rd2, %rd4; st.global.u32 [%rd5], %r1;",
            64,
            false,
        ),
    ] {
        let mut device = Device::default();
        let short = device.alloc(bytes);
        let text = kernel(
            ".param .u64 out, .param .u64 a, .param .u64 b",
            &format!("{START} ld.param.u64 %rd2, [a]; {load} ret;"),
        );
        let p = program(&mut device, &text, "k");
        let result = run_once(
            &device,
            &p,
            Geometry::new([1, 1, 1], [16, 1, 1]),
            &params(&[0, short, 0]),
        );
        match result {
            Ok(()) => assert!(!fails, "{load} in {bytes} bytes is let through"),
            Err(fault) => {
                assert!(fails, "{load} in {bytes} bytes: {fault}");
                assert_eq!(fault.kind, FaultKind::IllegalAddress, "{load} in {bytes} bytes");
            }
        }
    }
}
