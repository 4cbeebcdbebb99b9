//! A launch that changes tiers while it runs: memory must end as if it had not.
#![allow(missing_docs, reason = "test code")]

mod common;

use std::cell::Cell;
use std::sync::atomic::AtomicBool;

use common::differ::change_at_random;
use common::{Device, Hooks, kernel, params, program, run_changing, run_with};
use tessera_engine::{Cta, Env, Exit, Geometry, Launch, Level, NextBlock, Options, Pool, Tier, Why, Worker};

/// Counts to `n` in every thread, with a value that differs per lane, one per warp's half and one per block.
const COUNTS: &str = "ld.param.u64 %rd1, [out]; ld.param.u64 %rd2, [n]; cvt.u32.u64 %r9, %rd2;
    mov.u32 %r1, %tid.x; mov.u32 %r2, %ctaid.x; mov.u32 %r3, %ntid.x; mad.lo.u32 %r4, %r2, %r3, %r1;
    mov.u32 %r5, 0; mov.u32 %r6, %r4; mov.u32 %r7, %r1;
L: mad.lo.u32 %r6, %r6, 1664525, %r5; add.u32 %r7, %r7, 3; xor.b32 %r6, %r6, %r7; add.u32 %r5, %r5, 1;
    setp.lt.u32 %p1, %r5, %r9; @%p1 bra L;
    add.u32 %r6, %r6, %r7; mul.wide.u32 %rd3, %r4, 4; add.s64 %rd4, %rd1, %rd3; st.global.u32 [%rd4], %r6; ret;";

#[test]
fn random_kernels_change_tiers_at_random_safe_points() {
    if !Level::Avx512.available() {
        return;
    }
    let count = std::env::var("TESSERA_SEEDS")
        .ok()
        .and_then(|v| v.parse().ok())
        .unwrap_or(100);
    let mut over = 0;
    for seed in 0..count {
        // What differs names the seed.
        match change_at_random(seed) {
            Ok(blocks) => over += blocks,
            Err(what) => panic!("{what}"),
        }
    }
    // Each seed runs two blocks four times; some end before the change, or part for good.
    assert!(
        over > 2 * count,
        "only {over} blocks of {count} kernels ended in machine code"
    );
}

#[test]
fn one_block_with_one_long_loop_changes_in_the_middle() {
    if !Level::Avx512.available() {
        return;
    }
    for threads in [32, 96, 256, 1000] {
        let mut device = Device::default();
        let p = program(
            &mut device,
            &kernel(".param .u64 out, .param .u64 n", COUNTS),
            "k",
        );
        let out = device.alloc(1024 * 4);
        let geometry = Geometry::new([1, 1, 1], [threads, 1, 1]);
        let bytes = params(&[out, 30_000]);
        let interpreted = Options {
            tier: Tier::Interpreter,
            ..Options::default()
        };
        let launch = Launch::with_options(&p, geometry, &bytes, interpreted).unwrap();
        assert!(!launch.change_now(), "a tier that was asked for stays");
        run_with(&device, &Hooks::default(), &launch, 1 << 40, false).unwrap();
        let expected = device.contents();
        device.restore(&vec![vec![0; 1024 * 4]; expected.len()]);

        let p = program(
            &mut Device::default(),
            &kernel(".param .u64 out, .param .u64 n", COUNTS),
            "k",
        );
        let launch = Launch::new(&p, geometry, &bytes).unwrap();
        let (mut pool, mut worker) = (Pool::new(), Worker::new());
        let mut cta = Cta::new(&launch, [0; 3], &mut pool);
        let (stop, hooks) = (AtomicBool::new(false), Hooks::default());
        let env = Env {
            memory: &device,
            runtime: &hooks,
            stop: &stop,
            fuel: 10_000,
            sm: 0,
            sms: 1,
            next: None,
        };
        let mut tiers = Vec::new();
        loop {
            launch.reconsider();
            match cta.run(&mut worker, &env) {
                Exit::Done => break,
                Exit::Yielded(why) => assert_eq!(why, Why::Fuel),
                Exit::Fault(fault) => panic!("{fault}"),
            }
            tiers.push(cta.tier());
        }
        let change = tiers.iter().position(|t| *t == Tier::Native).unwrap();
        // 32,768 operations make a kernel hot.
        assert_eq!(change, 4, "{tiers:?}");
        assert!(tiers[change..].iter().all(|t| *t == Tier::Native));
        assert_eq!(launch.tier(), Tier::Native);
        assert_eq!(device.contents()[0], expected[0], "{threads} threads");
    }
}

#[test]
fn blocks_that_start_after_the_change_start_in_machine_code() {
    if !Level::Avx512.available() {
        return;
    }
    let mut device = Device::default();
    let p = program(
        &mut device,
        &kernel(".param .u64 out, .param .u64 n", COUNTS),
        "k",
    );
    let out = device.alloc(4 * 64 * 4);
    let launch = Launch::new(&p, Geometry::new([4, 1, 1], [64, 1, 1]), &params(&[out, 100])).unwrap();
    let mut pool = Pool::new();
    let block = |pool: &mut Pool, number| Cta::new(&launch, [number, 0, 0], pool);
    // One that was finished in the interpreter is not taken for a new one.
    let finished = block(&mut pool, 0);
    pool.recycle(finished);
    assert!(launch.change_now() && !launch.change_now());
    assert_eq!(block(&mut pool, 1).tier(), Tier::Native);
    assert_eq!(
        Launch::new(&p, *launch.geometry(), &params(&[out, 100]))
            .unwrap()
            .tier(),
        Tier::Interpreter
    );
}

/// Warps wait at a barrier with shared and local memory in use, threads arrive and go on, lanes have parted.
#[test]
fn barriers_shared_and_local_memory_come_along() {
    if !Level::Avx512.available() {
        return;
    }
    let body = ".shared .align 4 .b8 s[1024]; .local .align 4 .b8 l[16];
        ld.param.u64 %rd1, [out]; mov.u32 %r1, %tid.x; shl.b32 %r2, %r1, 2; mov.u32 %r20, s; add.u32 %r21, %r20, %r2;
        mov.u32 %r22, l; mov.u32 %r10, 0; mov.u32 %r12, %r1;
    L: st.shared.u32 [%r21], %r12; st.local.u32 [%r22+4], %r10; and.b32 %r3, %r1, 3; setp.eq.u32 %p1, %r3, 1; @%p1 bra A;
        mul.lo.u32 %r12, %r12, 3; bra B;
    A: add.u32 %r12, %r12, 77;
    B: bar.sync 0; xor.b32 %r4, %r1, 37; shl.b32 %r4, %r4, 2; add.u32 %r4, %r20, %r4; ld.shared.u32 %r5, [%r4];
        ld.local.u32 %r6, [%r22+4]; add.u32 %r12, %r12, %r5; add.u32 %r12, %r12, %r6; setp.gt.u32 %p2, %r12, 100000;
        bar.red.popc.u32 %r7, 1, %p2; add.u32 %r12, %r12, %r7; bar.sync 0;
        add.u32 %r10, %r10, 1; setp.lt.u32 %p3, %r10, 12; @%p3 bra L;
        mul.wide.u32 %rd3, %r1, 4; add.s64 %rd4, %rd1, %rd3; st.global.u32 [%rd4], %r12; ret;";
    let text = kernel(".param .u64 out", body);
    let mut device = Device::default();
    let out = device.alloc(256 * 4);
    let geometry = Geometry::new([1, 1, 1], [256, 1, 1]);
    let mut expected = None;
    let (mut over, mut round) = (0, 1);
    // Before each of the turns that the launch takes, until it ends without a change.
    loop {
        let p = program(&mut Device::default(), &text, "k");
        let launch = Launch::new(&p, geometry, &params(&[out])).unwrap();
        let went = run_changing(&device, &launch, 1, round).unwrap();
        over += went.over;
        let after = device.contents();
        assert_eq!(
            *expected.get_or_insert(after.clone()),
            after,
            "changed before turn {round}"
        );
        if went.rounds < round {
            break;
        }
        round += 1;
    }
    assert!(round > 50 && over + 10 > round, "{over} of {round} changed");
}

/// Blocks from a number on, as the device gives them.
struct Rest(Cell<u32>, u32);

impl NextBlock for Rest {
    fn next(&self) -> Option<[u32; 3]> {
        let block = self.0.get() + 1;
        (block < self.1).then(|| {
            self.0.set(block);
            [block, 0, 0]
        })
    }
}

#[test]
fn blocks_that_follow_one_another_change_too() {
    const BLOCKS: u32 = 12;
    const WORDS: usize = BLOCKS as usize * 100;
    if !Level::Avx512.available() {
        return;
    }
    let mut device = Device::default();
    let out = device.alloc(WORDS * 4);
    let (stop, hooks) = (AtomicBool::new(false), Hooks::default());
    let mut expected: Option<Vec<u32>> = None;
    let (mut change, mut native) = (1, 0);
    loop {
        device.write(out, &[0; WORDS * 4]);
        let p = program(
            &mut Device::default(),
            &kernel(".param .u64 out, .param .u64 n", COUNTS),
            "k",
        );
        let launch = Launch::new(
            &p,
            Geometry::new([BLOCKS, 1, 1], [100, 1, 1]),
            &params(&[out, 150]),
        )
        .unwrap();
        let (mut pool, mut worker) = (Pool::new(), Worker::new());
        let rest = Rest(Cell::new(0), BLOCKS);
        let env = Env {
            memory: &device,
            runtime: &hooks,
            stop: &stop,
            fuel: 700,
            sm: 0,
            sms: 1,
            next: Some(&rest),
        };
        let mut calls = 0;
        loop {
            let mut cta = Cta::new(&launch, [rest.0.get(), 0, 0], &mut pool);
            loop {
                calls += 1;
                if calls == change {
                    assert!(launch.change_now());
                }
                match cta.run(&mut worker, &env) {
                    Exit::Done => break,
                    Exit::Yielded(why) => assert_eq!(why, Why::Fuel),
                    Exit::Fault(fault) => panic!("{fault}"),
                }
            }
            native += u32::from(cta.tier() == Tier::Native);
            pool.recycle(cta);
            if rest.next().is_none() {
                break;
            }
        }
        let after = device.download(out, WORDS);
        assert_eq!(
            *expected.get_or_insert(after.clone()),
            after,
            "changed before call {change}"
        );
        if calls < change {
            break;
        }
        change += 1;
    }
    assert!(
        change > 10 && native >= change - 2,
        "{native} ends in machine code, {change} changes"
    );
}

/// Warp 0 comes to the barrier in two pieces, at two instructions; warp 1 whole; warp 2 counts for a while first.
const PIECES: &str =
    "ld.param.u64 %rd1, [out]; mov.u32 %r1, %tid.x; shr.u32 %r2, %r1, 5; and.b32 %r3, %r1, 16;
    mov.u32 %r5, 0; setp.eq.u32 %p1, %r2, 2; @!%p1 bra COME;
L:  mad.lo.u32 %r6, %r6, 1664525, %r5; add.u32 %r5, %r5, 1; setp.lt.u32 %p2, %r5, 200; @%p2 bra L;
COME: setp.eq.u32 %p1, %r2, 0; setp.ne.and.u32 %p2, %r3, 0, %p1; @%p2 bra OTHER;
    bar.sync 0; bra ON;
OTHER: bar.sync 0;
ON: mul.wide.u32 %rd3, %r1, 4; add.s64 %rd4, %rd1, %rd3; st.global.u32 [%rd4], 1; ret;";

#[test]
fn a_barrier_goes_on_counting_pieces_of_a_warp_while_others_run() {
    for tier in [Tier::Interpreter, Tier::Native] {
        if tier == Tier::Native && !Level::Avx512.available() && !Level::Avx2.available() {
            continue;
        }
        let mut device = Device::default();
        let p = program(&mut device, &kernel(".param .u64 out", PIECES), "k");
        let out = device.alloc(96 * 4);
        let options = Options {
            tier,
            warps: 1,
            ..Options::default()
        };
        let geometry = Geometry::new([1, 1, 1], [96, 1, 1]);
        let launch = Launch::with_options(&p, geometry, &params(&[out]), options).unwrap();
        assert_eq!(launch.tier(), tier);
        let (mut pool, mut worker) = (Pool::new(), Worker::new());
        let mut cta = Cta::new(&launch, [0; 3], &mut pool);
        let (stop, hooks) = (AtomicBool::new(false), Hooks::default());
        let env = Env {
            memory: &device,
            runtime: &hooks,
            stop: &stop,
            fuel: 1,
            sm: 0,
            sms: 1,
            next: None,
        };
        // It is left after every turn, and all warps are looked at anew.
        let ended = (0..10_000).any(|_| matches!(cta.run(&mut worker, &env), Exit::Done));
        assert!(ended, "{tier:?}: the block does not come to an end");
        assert!(device.contents().iter().flatten().any(|&byte| byte == 1));
    }
}
