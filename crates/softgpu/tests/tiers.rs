//! Tiers as the device chooses them: launches that change while they run, code that is shared and that is kept.

mod common;

use common::*;
use std::fmt::Write as _;
use std::sync::Arc;
use tessera_device::{Context, Device, Tiers};
use tessera_softgpu::{CodeFile, Execution, Level, Options, PciAddress, SoftGpu, Tier};

/// Counts to `n` in each thread.
const COUNTS: &str = ".version 8.0 .target sm_80 .address_size 64
    .visible .entry counts(.param .u64 out, .param .u64 n) {
        .reg .b64 %d<6>; .reg .b32 %r<9>; .reg .pred %p;
        ld.param.u64 %d1, [out]; ld.param.u32 %r8, [n];
        mov.u32 %r1, %tid.x; mov.u32 %r2, %ctaid.x; mov.u32 %r3, %ntid.x; mad.lo.u32 %r4, %r2, %r3, %r1;
        mov.u32 %r5, 0; mov.u32 %r6, %r4;
        L: mad.lo.u32 %r6, %r6, 1664525, 1013904223; add.u32 %r5, %r5, 1; setp.lt.u32 %p, %r5, %r8; @%p bra L;
        mul.wide.u32 %d2, %r4, 4; add.s64 %d3, %d1, %d2; st.global.u32 [%d3], %r6; ret;
    }";

fn counted(start: u32, turns: u32) -> u32 {
    (0..turns).fold(start, |x, _| {
        x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223)
    })
}

fn open(tier: Tier, code: Option<Arc<CodeFile>>) -> SoftGpu {
    SoftGpu::open(&Options {
        name: "Test GPU".to_owned(),
        compute_capability: (9, 0),
        memory_bytes: 1 << 30,
        sm_count: Some(132),
        executors: Some(2),
        pci_address: PciAddress::default(),
        pci_id: None,
        execution: Execution {
            tier,
            ..Execution::default()
        },
        code,
        check: None,
    })
    .expect("device")
}

/// Runs `counts` and looks at what it leaves.
fn count(context: &Arc<dyn Context>, blocks: u32, threads: u32, turns: u32) {
    let kernel = kernel(&load(context, COUNTS), "counts");
    let out = upload(context, &vec![0; (blocks * threads) as usize]);
    let stream = TestStream::plain(context);
    stream.submit(launch(&kernel, blocks, threads, &[out, u64::from(turns)]));
    stream.synchronize().expect("run");
    let left = read_words(context, out, (blocks * threads) as usize);
    for (i, word) in (0..).zip(left) {
        assert_eq!(word, counted(i, turns), "thread {i} of {blocks} blocks");
    }
}

#[test]
fn a_launch_that_proves_hot_changes_while_it_runs() {
    let gpu = open(Tier::Auto, None);
    let context = context(&gpu);
    // One block with one long loop; more blocks than run at once; the last block is not whole warps.
    for (done, (blocks, threads, turns)) in (1..).zip([(1, 256, 200_000), (24, 100, 20_000)]) {
        count(&context, blocks, threads, turns);
        let tiers = gpu.tiers();
        if Level::Avx512.available() {
            assert_eq!(
                (tiers.changes, tiers.cold, tiers.native),
                (done, done, 0),
                "{tiers:?}"
            );
            // The module of the first one is gone; its code too, unless an executor still keeps blocks of that launch to use again.
            assert_eq!(tiers.compiled + tiers.shared, done, "{tiers:?}");
            assert!(tiers.compiled > 0 && tiers.compile_ns > 0 && tiers.code_bytes > 0);
        } else {
            assert_eq!((tiers.changes, tiers.processor), (0, done), "{tiers:?}");
        }
    }
}

#[test]
fn a_tier_that_was_asked_for_stays() {
    let gpu = open(Tier::Interpreter, None);
    count(&context(&gpu), 1, 64, 100_000);
    assert_eq!(
        gpu.tiers(),
        Tiers {
            option: 1,
            ..Tiers::default()
        }
    );
}

#[test]
fn contexts_and_modules_share_code() {
    if !Level::Avx512.available() {
        return;
    }
    let gpu = open(Tier::Native, None);
    let (one, other) = (context(&gpu), context(&gpu));
    // Four modules, two contexts; each module is gone before the next one comes but for the code's own keeper.
    let keeper = kernel(&load(&one, COUNTS), "counts");
    let stream = TestStream::plain(&one);
    let out = upload(&one, &[0; 64]);
    stream.submit(launch(&keeper, 1, 64, &[out, 1]));
    stream.synchronize().expect("run");
    for context in [&one, &other, &one] {
        count(context, 2, 64, 100);
    }
    let tiers = gpu.tiers();
    assert_eq!(
        (tiers.compiled, tiers.shared, tiers.native),
        (1, 3, 4),
        "{tiers:?}"
    );
}

#[test]
fn a_later_device_compiles_nothing() {
    if !Level::Avx512.available() {
        return;
    }
    let mut text = ".version 8.0 .target sm_80 .address_size 64 .visible .entry large(.param .u64 out) {
        .reg .b64 %d<4>; .reg .b32 %r<4>; ld.param.u64 %d1, [out]; mov.u32 %r1, %tid.x;\n"
        .to_owned();
    for step in 0..200 {
        let _ = writeln!(text, "mad.lo.u32 %r1, %r1, {}, 7;", 3 + 2 * step);
    }
    text.push_str("mov.u32 %r2, %tid.x; mul.wide.u32 %d2, %r2, 4; add.s64 %d3, %d1, %d2; st.global.u32 [%d3], %r1; ret; }");
    let directory = std::env::temp_dir().join(format!("tessera-tiers-{}", std::process::id()));
    let path = directory.join("code");
    let mut seen = Vec::new();
    for _ in 0..2 {
        let file = Arc::new(CodeFile::open(&path).expect("file"));
        let gpu = open(Tier::Native, Some(Arc::clone(&file)));
        let context = context(&gpu);
        let out = upload(&context, &[0; 64]);
        let stream = TestStream::plain(&context);
        stream.submit(launch(&kernel(&load(&context, &text), "large"), 1, 64, &[out]));
        stream.synchronize().expect("run");
        let tiers = gpu.tiers();
        seen.push((tiers.compiled, tiers.missed, tiers.loaded));
        assert_eq!(file.figures().kernels, 1);
        let expected: Vec<u32> = (0..64)
            .map(|i| (0..200u32).fold(i, |x: u32, step| x.wrapping_mul(3 + 2 * step).wrapping_add(7)))
            .collect();
        assert_eq!(read_words(&context, out, 64), expected);
    }
    std::fs::remove_dir_all(&directory).expect("directory");
    assert_eq!(seen, [(1, 1, 0), (0, 0, 1)]);
}
