//! Blocks that follow one another in the same place: each finds shared memory as a new block does, and nothing of the last one.
#![allow(missing_docs, reason = "test code")]

mod common;

use std::cell::Cell;
use std::sync::atomic::AtomicBool;

use common::{Device, Hooks, kernel, params, program, ways};
use tessera_engine::{Cta, Env, Exit, Geometry, Launch, NextBlock, Pool, Why, Worker};

/// Blocks from a number on.
struct From(Cell<u32>, u32);

impl NextBlock for From {
    fn next(&self) -> Option<[u32; 3]> {
        let block = self.0.get() + 1;
        (block < self.1).then(|| {
            self.0.set(block);
            [block, 0, 0]
        })
    }
}

/// Every thread adds to a shared word that nobody has set, in two phases with a barrier between; some leave early.
const BODY: &str = "ld.param.u64 %rd1, [out];
    mov.u32 %r1, %ctaid.x; mov.u32 %r2, %ntid.x; mov.u32 %r3, %tid.x;
    mad.lo.s32 %r4, %r1, %r2, %r3; mul.wide.u32 %rd3, %r4, 4; add.s64 %rd4, %rd1, %rd3;
    .shared .b32 sum; .shared .b32 last;
    and.b32 %r5, %r1, 3; setp.eq.u32 %p1, %r5, 2; setp.ge.u32 %p2, %r3, 96; and.pred %p1, %p1, %p2;
    @%p1 bra DONE;
    add.u32 %r6, %r1, 1;
    atom.shared.add.u32 %r7, [sum], %r6;
    bar.sync 0;
    ld.shared.u32 %r8, [sum];
    bar.sync 0;
    setp.eq.u32 %p3, %r3, 0;
    @%p3 st.shared.u32 [last], %r8;
    bar.sync 0;
    ld.shared.u32 %r9, [last]; add.u32 %r9, %r9, %r3;
    st.global.u32 [%rd4], %r9;
    DONE: ret;";

#[test]
fn every_block_begins_anew() {
    const BLOCKS: u32 = 37;
    for threads in [32u32, 100, 256] {
        let mut device = Device::default();
        let p = program(&mut device, &kernel(".param .u64 out", BODY), "k");
        let words = (BLOCKS * threads) as usize;
        let out = device.alloc(words * 4);
        for (options, fuel, _) in ways() {
            device.write(out, &vec![0; words * 4]);
            let geometry = Geometry::new([BLOCKS, 1, 1], [threads, 1, 1]);
            let launch = Launch::with_options(&p, geometry, &params(&[out]), options).unwrap();
            let (mut pool, mut worker) = (Pool::new(), Worker::new());
            let (stop, hooks) = (AtomicBool::new(false), Hooks::default());
            let from = From(Cell::new(0), BLOCKS);
            let env = Env {
                memory: &device,
                runtime: &hooks,
                stop: &stop,
                fuel,
                sm: 0,
                sms: 1,
                next: Some(&from),
            };
            let mut calls = 0;
            loop {
                let mut cta = Cta::new(&launch, [from.0.get(), 0, 0], &mut pool);
                loop {
                    calls += 1;
                    match cta.run(&mut worker, &env) {
                        Exit::Done => break,
                        Exit::Yielded(why) => assert_eq!(why, Why::Fuel),
                        Exit::Fault(fault) => panic!("{fault:?}"),
                    }
                    assert_eq!(cta.block(), [from.0.get(), 0, 0]);
                }
                if from.next().is_none() {
                    break;
                }
            }
            if fuel > 100_000 {
                assert_eq!(calls, 1, "one call carries all blocks out: {options:?}");
            }
            let got: Vec<u32> = device.download(out, words);
            for block in 0..BLOCKS {
                let most = if block % 4 == 2 { threads.min(96) } else { threads };
                for t in 0..threads {
                    let want = if t < most { (block + 1) * most + t } else { 0 };
                    assert_eq!(
                        got[(block * threads + t) as usize],
                        want,
                        "{options:?} block {block} thread {t}"
                    );
                }
            }
        }
    }
}
