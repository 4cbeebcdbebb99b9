//! Machine code by content: shared in the process, found again in another one, and never mistaken.
#![allow(missing_docs, reason = "test code")]

mod common;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use common::{Device, Hooks, kernel, load, params, run_with};
use tessera_engine::{
    CodeCache, CodeKey, CodeStore, Geometry, Launch, Level, Options, Program, Tier, compile_with,
};

/// A store that a test can look into.
#[derive(Debug, Default)]
struct Shelf(Mutex<HashMap<CodeKey, Vec<u8>>>);

impl CodeStore for Shelf {
    fn load(&self, key: &CodeKey) -> Option<Vec<u8>> {
        self.0.lock().unwrap().get(key).cloned()
    }
    fn store(&self, key: &CodeKey, code: &[u8]) {
        self.0.lock().unwrap().insert(*key, code.to_vec());
    }
}

/// A kernel of about `steps` instructions that adds `last` at the end.
fn text(name: &str, steps: u32, last: u32) -> String {
    let mut body =
        "ld.param.u64 %rd1, [out]; mov.u32 %r1, %tid.x; mul.wide.u32 %rd2, %r1, 4; add.s64 %rd3, %rd1, %rd2;
        ld.global.u32 %r2, [%rd3];\n"
            .to_owned();
    for step in 0..steps {
        let _ = writeln!(body, "mad.lo.u32 %r2, %r2, {}, %r1;", 3 + 2 * step);
    }
    let _ = writeln!(body, "add.u32 %r2, %r2, {last}; st.global.u32 [%rd3], %r2; ret;");
    kernel(".param .u64 out", &body).replace(".entry k(", &format!(".entry {name}("))
}

fn program(text: &str, name: &str, cache: &Arc<CodeCache>) -> Arc<Program> {
    let (module, table) = load(&mut Device::default(), text);
    let entry = module.func_by_name(name).expect("the kernel is there");
    Arc::new(compile_with(&module, entry, &table, cache).unwrap())
}

/// Runs it in machine code over the numbers 0 to 63; the sum of what comes out.
fn run(program: &Arc<Program>, block: [u32; 3]) -> u64 {
    let mut device = Device::default();
    let out = device.upload(&(0..64u32).collect::<Vec<_>>());
    let options = Options {
        tier: Tier::Native,
        ..Options::default()
    };
    let launch =
        Launch::with_options(program, Geometry::new([1; 3], block), &params(&[out]), options).unwrap();
    assert_eq!(launch.tier(), Tier::Native);
    run_with(&device, &Hooks::default(), &launch, 1 << 30, false).unwrap();
    device
        .download::<u32>(out, 64)
        .iter()
        .map(|v| u64::from(*v))
        .sum()
}

const LINE: [u32; 3] = [64, 1, 1];

#[test]
fn equal_kernels_of_a_process_share_code() {
    if !Level::Avx512.available() {
        return;
    }
    let cache = Arc::default();
    let one = program(&text("k", 10, 1), "k", &cache);
    // Another name, other lines, another module.
    let same = program(&format!("\n\n{}", text("another", 10, 1)), "another", &cache);
    assert_eq!(run(&one, LINE), run(&same, LINE));
    let tiering = cache.tiering();
    assert_eq!((tiering.compiled, tiering.shared, tiering.native), (1, 1, 2));
    let bytes = tiering.code_bytes;
    assert!(bytes > 100 && tiering.compile_ns > 0);
    // One number differs, or how the threads lie.
    let other = program(&text("k", 10, 2), "k", &cache);
    assert_ne!(run(&other, LINE), run(&one, LINE));
    run(&one, [8, 8, 1]);
    assert_eq!((cache.tiering().compiled, cache.tiering().shared), (3, 1));
    // Code goes with the last kernel that uses it.
    drop((one, same, other));
    run(&program(&text("k", 10, 1), "k", &cache), LINE);
    assert_eq!((cache.tiering().compiled, cache.tiering().shared), (4, 1));
}

#[test]
fn a_second_process_compiles_nothing() {
    if !Level::Avx512.available() {
        return;
    }
    let shelf = Arc::new(Shelf::default());
    let mut results = Vec::new();
    for process in 0..2 {
        let cache = Arc::new(CodeCache::with_store(Box::new(Arc::clone(&shelf))));
        results.push(run(&program(&text("k", 200, 7), "k", &cache), LINE));
        let tiering = cache.tiering();
        assert_eq!(
            (tiering.compiled, tiering.missed, tiering.loaded),
            if process == 0 { (1, 1, 0) } else { (0, 0, 1) }
        );
        assert!(tiering.code_bytes > 1000);
    }
    assert_eq!(results[0], results[1]);
}

#[test]
fn what_a_store_gives_back_wrong_is_compiled_again() {
    if !Level::Avx512.available() {
        return;
    }
    let shelf = Arc::new(Shelf::default());
    let cache = || Arc::new(CodeCache::with_store(Box::new(Arc::clone(&shelf))));
    let kernel = |cache: &Arc<CodeCache>| run(&program(&text("k", 200, 7), "k", cache), LINE);
    let expected = kernel(&cache());
    let (key, good) = shelf
        .0
        .lock()
        .unwrap()
        .iter()
        .next()
        .map(|(k, v)| (*k, v.clone()))
        .unwrap();
    // Code of another kernel, nothing, a part.
    run(&program(&text("k", 300, 7), "k", &cache()), LINE);
    let other = shelf
        .0
        .lock()
        .unwrap()
        .iter()
        .find(|(k, _)| **k != key)
        .map(|(_, v)| v.clone())
        .unwrap();
    for wrong in [other, Vec::new(), good[..good.len() / 2].to_vec()] {
        shelf.0.lock().unwrap().insert(key, wrong);
        let cache = cache();
        assert_eq!(kernel(&cache), expected);
        let tiering = cache.tiering();
        assert_eq!((tiering.compiled, tiering.missed, tiering.loaded), (1, 1, 0));
        assert_eq!(shelf.0.lock().unwrap()[&key], good, "it was replaced");
    }
}

#[test]
fn small_kernels_are_not_kept() {
    let shelf = Arc::new(Shelf::default());
    let cache = Arc::new(CodeCache::with_store(Box::new(Arc::clone(&shelf))));
    if !Level::Avx512.available() {
        return;
    }
    run(&program(&text("k", 20, 7), "k", &cache), LINE);
    assert_eq!((cache.tiering().compiled, cache.tiering().missed), (1, 0));
    assert!(shelf.0.lock().unwrap().is_empty());
}

#[test]
fn launches_are_counted_by_where_they_begin_and_why() {
    let cache = Arc::default();
    let one = program(&text("k", 10, 1), "k", &cache);
    let launch = |options: Options| {
        let params = params(&[0x2000_0000_0000]);
        Launch::with_options(&one, Geometry::new([1; 3], LINE), &params, options).unwrap()
    };
    launch(Options::default());
    launch(Options {
        tier: Tier::Interpreter,
        ..Options::default()
    });
    launch(Options {
        check: true,
        ..Options::default()
    });
    launch(Options {
        level: Level::Portable,
        ..Options::default()
    });
    let tiering = cache.tiering();
    if Level::Avx512.available() {
        assert_eq!((tiering.cold, tiering.option, tiering.processor), (1, 2, 1));
        assert_eq!((tiering.native, tiering.compiled), (0, 0));
    } else {
        assert_eq!((tiering.cold, tiering.option, tiering.processor), (0, 2, 2));
    }
}
