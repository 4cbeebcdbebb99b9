//! Both tiers on the kernels of `tests/bench/engine`, beside native code, with the gates of each:
//! `cargo run --release --example tiers -p tessera-engine -- kernels.ptx native.so [name [rounds [way] [avx2]]]`, the first made by `nvcc -ptx`, the
//! second by `clang -O3 -march=native -shared -fPIC`.
//!
//! Every figure is processor time of this thread, the median of runs that take turns.
#![allow(clippy::print_stdout, reason = "a program that prints a table")]

use std::cell::{Cell, UnsafeCell};
use std::ffi::{CString, c_void};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tessera_engine::{
    Access, Cta, Env, Exit, Geometry, HookError, Launch, Level, Memory, NextBlock, Options, Pool, Program,
    Runtime, Span, Symbols, ThreadView, Tier, Worker, compile,
};
use tessera_ptx::{FuncId, Id, Module, Space, VarId};

const BASE: u64 = 0x2000_0000_0000;
/// Distance between allocations.
const STEP: u64 = 1 << 32;

/// Allocations at fixed distances: cells, which of them is the first one, how many there are.
struct Device(Vec<Allocation>);

type Allocation = (Box<[UnsafeCell<u64>]>, usize, usize);

// SAFETY: the cells are only touched through raw pointers, and one thread runs.
unsafe impl Sync for Device {}

// SAFETY: allocations live as long as the device.
unsafe impl Memory for Device {
    fn lookup(&self, address: u64, _: Access) -> Option<Span> {
        let i = usize::try_from(address.checked_sub(BASE)? / STEP).ok()?;
        let (cells, first, count) = self.0.get(i)?;
        Some(Span {
            lo: BASE + i as u64 * STEP,
            len: *count as u64 * 8,
            host: cells[*first..].as_ptr().cast_mut().cast(),
        })
    }
    fn generation(&self) -> u64 {
        1
    }
}

impl Device {
    fn alloc(&mut self, words: &[u32]) -> u64 {
        const PAGE: usize = 512;
        let pairs = words
            .chunks(2)
            .map(|p| u64::from(p[0]) | u64::from(*p.get(1).unwrap_or(&0)) << 32);
        let count = words.len().div_ceil(2);
        let mut cells: Vec<UnsafeCell<u64>> = Vec::with_capacity(count + PAGE);
        // At the start of a page, and in huge pages, as the memory of the device is.
        let from = cells.as_ptr().addr();
        let first = (from.next_multiple_of(PAGE * 8) - from) / 8;
        // SAFETY: advice about memory that the vector owns; it changes nothing that a program could see.
        unsafe {
            let at = cells.as_mut_ptr().add(first).cast();
            libc::madvise(at, count / PAGE * PAGE * 8, libc::MADV_HUGEPAGE);
        }
        cells.extend(std::iter::repeat_with(|| UnsafeCell::new(0)).take(first));
        cells.extend(pairs.map(UnsafeCell::new));
        self.0.push((cells.into_boxed_slice(), first, count));
        BASE + (self.0.len() as u64 - 1) * STEP
    }

    fn words(&mut self, address: u64) -> &mut [u32] {
        let i = usize::try_from((address - BASE) / STEP).unwrap_or(0);
        let (cells, first, count) = &mut self.0[i];
        let cells = &mut cells[*first..];
        // SAFETY: the allocation, borrowed uniquely, as words.
        unsafe { std::slice::from_raw_parts_mut(cells.as_mut_ptr().cast(), *count * 2) }
    }
}

struct Nothing;
impl Runtime for Nothing {
    fn vprintf(&self, _: &ThreadView<'_>, _: u64, _: u64) -> Result<i32, HookError> {
        Err(HookError::Refused)
    }
    fn assert_fail(&self, _: &ThreadView<'_>, _: u64, _: u64, _: u32, _: u64) {}
    fn malloc(&self, _: u64) -> u64 {
        0
    }
    fn free(&self, _: u64) -> Result<(), HookError> {
        Ok(())
    }
    fn clock(&self) -> u64 {
        0
    }
    fn global_timer(&self) -> u64 {
        0
    }
}

struct Table(Vec<Option<u64>>);
impl Symbols for Table {
    fn variable(&self, id: VarId) -> Option<u64> {
        self.0.get(id.index()).copied().flatten()
    }
    fn function(&self, id: FuncId) -> Option<u64> {
        Some(0x100 + id.index() as u64)
    }
}

/// Processor time of this thread.
fn cpu() -> Duration {
    let mut t = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the structure is writable.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut t) };
    Duration::new(
        u64::try_from(t.tv_sec).unwrap_or(0),
        u32::try_from(t.tv_nsec).unwrap_or(0),
    )
}

type Native = unsafe extern "C" fn(*const u32, *const u32, *mut u32, i32, i32, i32);

fn native(library: *mut c_void, name: &str) -> Native {
    let name = CString::new(name).expect("no zero in it");
    // SAFETY: every function of the object has this signature.
    unsafe {
        let at = libc::dlsym(library, name.as_ptr());
        assert!(!at.is_null(), "{name:?} is in the object");
        std::mem::transmute::<*mut c_void, Native>(at)
    }
}

/// Name, last argument, words of a, b, out, whether a holds floats, grid, block, runs at a time, gates.
type Case = (
    &'static str,
    usize,
    [usize; 3],
    bool,
    [u32; 2],
    [u32; 2],
    u32,
    [f64; 3],
);

const M: usize = 1 << 20;
/// Where there is no gate.
const NONE: f64 = f64::INFINITY;
const CASES: [Case; 18] = [
    (
        "saxpy",
        16 * M,
        [16 * M; 3],
        true,
        [65_536, 1],
        [256, 1],
        1,
        [2.5, 2.3, 1.9],
    ),
    (
        "saxpy",
        65_536,
        [65_536; 3],
        true,
        [256, 1],
        [256, 1],
        100,
        [9.0, 3.0, 2.2],
    ),
    (
        "matmul_naive",
        512,
        [M / 4; 3],
        true,
        [32, 32],
        [16, 16],
        1,
        [6.5, 2.5, 1.7],
    ),
    (
        "matmul_tiled",
        512,
        [M / 4; 3],
        true,
        [32, 32],
        [16, 16],
        1,
        [6.5, 2.3, 1.8],
    ),
    (
        "mandel",
        1024,
        [16, 16, M],
        true,
        [64, 64],
        [16, 16],
        1,
        [0.36, 0.17, 0.12],
    ),
    (
        "reduce_shfl",
        16 * M,
        [16 * M, 16, M],
        true,
        [256, 1],
        [256, 1],
        1,
        [3.5, 2.5, 2.0],
    ),
    (
        "reduce_tree",
        4 * M,
        [4 * M, 16, 8192],
        true,
        [8192, 1],
        [256, 1],
        1,
        [30.0, 13.0, 10.0],
    ),
    (
        "histogram",
        4 * M,
        [4 * M, 16, 256],
        false,
        [256, 1],
        [256, 1],
        1,
        [6.5, 4.5, 3.5],
    ),
    (
        "nbody",
        4096,
        [16_384, 16, 16_384],
        true,
        [16, 1],
        [256, 1],
        1,
        [1.3, 0.35, 0.33],
    ),
    (
        "sha256",
        65_536,
        [16, 16, 65_536],
        true,
        [256, 1],
        [256, 1],
        1,
        [0.9, 0.16, 0.1],
    ),
    (
        "hash",
        M / 4,
        [16, 16, M / 4],
        true,
        [1024, 1],
        [256, 1],
        1,
        [0.16, 0.05, 0.05],
    ),
    (
        "collatz",
        M / 8,
        [16, 16, M / 8],
        true,
        [512, 1],
        [256, 1],
        1,
        [1.2, 0.35, 0.22],
    ),
    (
        "scan",
        4 * M,
        [4 * M, 16, 4 * M],
        false,
        [16_384, 1],
        [256, 1],
        1,
        [NONE; 3],
    ),
    (
        "transpose",
        2048,
        [4 * M, 16, 4 * M],
        true,
        [128, 128],
        [16, 16],
        1,
        [NONE; 3],
    ),
    (
        "stencil",
        2048,
        [4 * M, 16, 4 * M],
        true,
        [64, 256],
        [32, 8],
        1,
        [NONE; 3],
    ),
    (
        "softmax",
        1024,
        [4 * M, 16, 4 * M],
        true,
        [4096, 1],
        [256, 1],
        1,
        [NONE; 3],
    ),
    (
        "layer_norm",
        1024,
        [4 * M, 2048, 4 * M],
        true,
        [4096, 1],
        [256, 1],
        1,
        [NONE; 3],
    ),
    (
        "matmul_mma",
        512,
        [M / 8, M / 8, M / 4],
        true,
        [256, 1],
        [256, 1],
        1,
        [NONE; 3],
    ),
];

fn load(device: &mut Device, text: &[u8]) -> (Module, Table) {
    let module = tessera_ptx::parse_module(text).unwrap_or_else(|e| panic!("{e}"));
    let mut table = Vec::new();
    for (_, var) in module.vars.iter() {
        table.push(matches!(var.space, Space::Global | Space::Const).then(|| {
            let mut words = vec![0; (var.size as usize).div_ceil(4).max(64)];
            if let Some(init) = &var.init {
                for (w, b) in words.iter_mut().zip(init.bytes.chunks_exact(4)) {
                    *w = u32::from_le_bytes([b[0], b[1], b[2], b[3]]);
                }
            }
            device.alloc(&words)
        }));
    }
    (module, Table(table))
}

/// Blocks of a grid in order, each begun in the place of the last one.
struct InOrder {
    next: Cell<u32>,
    grid: [u32; 3],
}

impl NextBlock for InOrder {
    fn next(&self) -> Option<[u32; 3]> {
        let number = self.next.get();
        let [x, y, _] = self.grid;
        (number < x * y).then(|| {
            self.next.set(number + 1);
            [number % x, number / x, 0]
        })
    }
}

fn run(device: &Device, launch: &Arc<Launch>) {
    let (mut pool, mut worker, stop) = (Pool::new(), Worker::new(), AtomicBool::new(false));
    let blocks = InOrder {
        next: Cell::new(0),
        grid: launch.geometry().grid,
    };
    let env = Env {
        memory: device,
        runtime: &Nothing,
        stop: &stop,
        fuel: u64::MAX / 2,
        sm: 0,
        sms: 1,
        next: Some(&blocks),
    };
    while let Some(block) = blocks.next() {
        let mut cta = Cta::new(launch, block, &mut pool);
        let exit = cta.run(&mut worker, &env);
        assert_eq!(exit, Exit::Done);
        pool.recycle(cta);
    }
}

/// The one way that is timed, where one is named: for profiles.
fn only(way: usize) -> bool {
    let ways = ["code", "tier0", "tier1"];
    let named = std::env::args().skip(5).find(|a| ways.contains(&a.as_str()));
    named.is_none_or(|a| a == ways[way])
}

/// The vector unit of both tiers.
fn level() -> Level {
    if std::env::args().skip(5).any(|a| a == "avx2") {
        Level::Avx2
    } else {
        Level::best()
    }
}

fn bind(program: &Arc<Program>, geometry: Geometry, params: &[u8], tier: Tier) -> Arc<Launch> {
    let options = Options {
        tier,
        level: level(),
        ..Options::default()
    };
    Launch::with_options(program, geometry, params, options).unwrap_or_else(|e| panic!("{e}"))
}

fn time(count: u32, mut f: impl FnMut()) -> Duration {
    let start = cpu();
    for _ in 0..count {
        f();
    }
    (cpu() - start) / count
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1e3
}

fn case(text: &[u8], library: *mut c_void, rounds: usize, case: &Case) {
    let (name, n, words, floats, grid, block, batch, gates) = *case;
    let mut device = Device(Vec::new());
    let (module, table) = load(&mut device, text);
    let entry = module.func_by_name(name).expect("the kernel");
    let program = Arc::new(compile(&module, entry, &table).unwrap_or_else(|e| panic!("{e}")));
    let input: Vec<u32> = (0..words[0].max(words[1]) as u64)
        .map(|i| {
            let any = u32::try_from(i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32).unwrap_or(0);
            if floats {
                ((any & 0xffff) as f32 / 65_536.0).to_bits()
            } else {
                any
            }
        })
        .collect();
    let (a, b) = (device.alloc(&input[..words[0]]), device.alloc(&input[..words[1]]));
    let out = device.alloc(&vec![0; words[2]]);
    let mut params: Vec<u8> = [a, b, out].iter().flat_map(|p| p.to_le_bytes()).collect();
    params.extend_from_slice(&u64::try_from(n).unwrap_or(0).to_le_bytes());
    let geometry = Geometry::new([grid[0], grid[1], 1], [block[0], block[1], 1]);
    let compile_start = cpu();
    let launches = [Tier::Interpreter, Tier::Native].map(|tier| bind(&program, geometry, &params, tier));
    let compiled = cpu() - compile_start;
    assert_eq!(launches[1].tier(), Tier::Native, "{name}");
    let mut results = Vec::new();
    for launch in &launches {
        device.words(out).fill(0);
        run(&device, launch);
        results.push(device.words(out).to_vec());
    }
    let wrong = results[0].iter().zip(&results[1]).filter(|(a, b)| a != b).count();
    assert_eq!(wrong, 0, "{name}: words that differ between the tiers");
    let function = native(library, name);
    // A place of its own, as on the device.
    let second = input[..words[1]].to_vec();
    let mut to = vec![0; words[2]];
    let argument = i32::try_from(n).unwrap_or(0);
    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..rounds {
        if only(0) {
            // SAFETY: the buffers have the sizes that the kernel uses.
            times[0].push(time(batch, || unsafe {
                function(input.as_ptr(), second.as_ptr(), to.as_mut_ptr(), argument, 0, 1);
            }));
        }
        for (way, launch) in (1..).zip(&launches).filter(|(way, _)| only(*way)) {
            times[way].push(time(batch, || run(&device, launch)));
        }
    }
    let [native, tier0, tier1] = times.map(|t| if t.is_empty() { 0.0 } else { median(t) });
    println!(
        "{name:<14} {native:>9.4} {tier0:>9.4} {:>7.2} {:>6.2} {tier1:>9.4} {:>7.3} {:>6.2} {:>6.2} {} {:>7.0} us",
        tier0 / native,
        gates[0],
        tier1 / native,
        gates[1],
        gates[2],
        if tier1 / native <= gates[1] {
            "ok  "
        } else {
            "MISS"
        },
        compiled.as_secs_f64() * 1e6,
    );
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, ptx, object, rest @ ..] = &arguments[..] else {
        panic!("tiers kernels.ptx native.so [name [rounds [code | tier0 | tier1] [avx2]]]");
    };
    let text = std::fs::read(ptx).expect("the PTX");
    let path = CString::new(object.as_str()).expect("no zero in it");
    // SAFETY: our own object, without initialisers.
    let library = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW) };
    assert!(!library.is_null(), "the object can be opened");
    let filter = rest.first().map_or("", |s| s);
    let rounds = rest.get(1).and_then(|s| s.parse().ok()).unwrap_or(5);
    println!(
        "ms                native    tier 0   ratio   gate    tier 1   ratio   gate stretch     decode and compile"
    );
    for c in CASES.iter().filter(|c| c.0.contains(filter)) {
        case(&text, library, rounds, c);
    }
}
