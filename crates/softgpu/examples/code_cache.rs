//! What machine code costs, by the size of the kernel: compiled; found in the file, which is in the page cache; found in the process.
//!
//! `cargo run --release --example code_cache -p tessera-softgpu`
#![allow(missing_docs, reason = "an example")]
#![allow(clippy::print_stdout, reason = "an example")]

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tessera_engine::{CodeCache, Geometry, Launch, Level, Options, Program, Symbols, Tier, compile_with};
use tessera_ptx::{FuncId, VarId};
use tessera_softgpu::CodeFile;

struct Nowhere;

impl Symbols for Nowhere {
    fn variable(&self, _: VarId) -> Option<u64> {
        None
    }
    fn function(&self, _: FuncId) -> Option<u64> {
        None
    }
}

/// A kernel of about so many instructions: loads, integer and float arithmetic, a predicate and a store in every ten.
fn text(instructions: usize) -> String {
    let mut text = ".version 8.0 .target sm_80 .address_size 64 .visible .entry k(.param .u64 p) {
        .reg .b64 %d<8>; .reg .b32 %r<8>; .reg .f32 %f<8>; .reg .pred %p;
        ld.param.u64 %d1, [p]; mov.u32 %r1, %tid.x; mul.wide.u32 %d2, %r1, 4; add.s64 %d3, %d1, %d2; mov.f32 %f3, 0f00000000;
        mov.u32 %r5, 0;\n"
        .to_owned();
    for step in 0..instructions.saturating_sub(7) / 10 {
        let at = step * 128;
        let _ = writeln!(
            text,
            "ld.global.f32 %f1, [%d3+{at}]; fma.rn.f32 %f3, %f1, %f1, %f3; mad.lo.u32 %r2, %r1, {}, %r5; xor.b32 %r5, %r2, %r1;
            cvt.rn.f32.u32 %f4, %r5; mul.rn.f32 %f5, %f4, %f3; setp.gt.f32 %p, %f5, %f1; selp.f32 %f3, %f5, %f3, %p;
            add.rn.f32 %f6, %f3, %f4; st.global.f32 [%d3+{at}], %f6;",
            2 * step + 3
        );
    }
    text + "ret; }"
}

/// Shortest time of a launch whose program was made by `make` and has never run.
fn shortest(times: usize, make: impl Fn() -> Arc<Program>) -> Duration {
    let options = Options {
        tier: Tier::Native,
        ..Options::default()
    };
    let once = || {
        let program = make();
        let began = Instant::now();
        let launch = Launch::with_options(&program, Geometry::new([1; 3], [256, 1, 1]), &[0; 8], options);
        let took = began.elapsed();
        assert_eq!(launch.expect("a launch").tier(), Tier::Native);
        took
    };
    (0..times).map(|_| once()).min().unwrap_or_default()
}

fn main() {
    if !Level::Avx512.available() {
        println!("this processor has no AVX-512: there is no machine code");
        return;
    }
    let path = std::env::temp_dir().join(format!("tessera-code-{}", std::process::id()));
    let file = Arc::new(CodeFile::open(&path).expect("a file"));
    println!("instructions    compiled   from file   in process   bytes");
    for instructions in [10, 30, 60, 100, 200, 400, 1000, 3000, 10_000] {
        let text = text(instructions);
        let module = tessera_ptx::parse_module(text.as_bytes()).expect("PTX");
        let entry = module.func_by_name("k").expect("the kernel");
        let program = |cache: &Arc<CodeCache>| {
            let program = compile_with(&module, entry, &Nowhere, cache).expect("compiles");
            Arc::new(program)
        };
        let with_file = || Arc::new(CodeCache::with_store_from(Box::new(Arc::clone(&file)), 0));
        let times = (200_000 / instructions).clamp(10, 300);
        let compiled = shortest(times, || program(&Arc::default()));
        // The first one fills the file.
        let loaded = shortest(times, || program(&with_file()));
        let cache = with_file();
        let options = Options {
            tier: Tier::Native,
            ..Options::default()
        };
        let keeper = program(&cache);
        let kept = Launch::with_options(&keeper, Geometry::new([1; 3], [256, 1, 1]), &[0; 8], options);
        let shared = shortest(times, || program(&cache));
        println!(
            "{instructions:12} {:8.1} us {:8.1} us {:9.1} us {:8}",
            compiled.as_secs_f64() * 1e6,
            loaded.as_secs_f64() * 1e6,
            shared.as_secs_f64() * 1e6,
            kept.map_or(0, |launch| launch.code_bytes())
        );
    }
    std::fs::remove_file(&path).expect("the file goes");
}
