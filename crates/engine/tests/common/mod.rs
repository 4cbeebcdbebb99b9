//! A small device for tests: a few allocations in host memory, hooks that record, and runners that check that every way of
//! executing a kernel gives the same bits.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]
#![allow(missing_docs, reason = "test code")]

pub mod differ;
pub mod generator;

use std::cell::UnsafeCell;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tessera_engine::check::{Allocation as Known, Checker, Checks};
use tessera_engine::{
    Access, Cta, Env, Exit, Fault, Geometry, HookError, Launch, Level, Memory, Options, Pool, Program,
    Runtime, Span, Symbols, ThreadView, Tier, Why, Worker, compile,
};
use tessera_ptx::{FuncId, Id, Module, Space, VarId};

/// One allocation: host memory behind a device address.
struct Allocation {
    address: u64,
    bytes: Box<[UnsafeCell<u128>]>,
    len: u64,
}

pub struct Device {
    allocations: Vec<Allocation>,
    next: u64,
    pub generation: AtomicU64,
    /// What checked launches report to.
    pub checker: Option<Arc<Checker>>,
}

// SAFETY: the cells are only touched through raw pointers, by kernels or between their runs.
unsafe impl Sync for Device {}

// SAFETY: allocations live as long as the device.
unsafe impl Memory for Device {
    fn lookup(&self, address: u64, _: Access) -> Option<Span> {
        self.allocations.iter().find_map(|a| {
            (address.wrapping_sub(a.address) < a.len).then(|| Span {
                lo: a.address,
                len: a.len,
                host: a.bytes.as_ptr().cast_mut().cast(),
            })
        })
    }
    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }
    fn checker(&self) -> Option<Arc<Checker>> {
        self.checker.clone()
    }
}

impl Default for Device {
    fn default() -> Self {
        Self {
            allocations: Vec::new(),
            next: 0x2000_0000_0000,
            generation: AtomicU64::new(1),
            checker: None,
        }
    }
}

impl Device {
    /// Memory whose checked launches report to `checker`.
    pub fn checked(checker: &Arc<Checker>) -> Self {
        Self {
            checker: Some(Arc::clone(checker)),
            ..Self::default()
        }
    }

    pub fn alloc(&mut self, len: usize) -> u64 {
        let address = self.next;
        self.next += (len as u64).next_multiple_of(4096) + 4096;
        let bytes = (0..len.div_ceil(8).max(1)).map(|_| UnsafeCell::new(0)).collect();
        self.allocations.push(Allocation {
            address,
            bytes,
            len: len as u64,
        });
        if let Some(checker) = &self.checker {
            checker.allocated(Known::host(address, len as u64));
        }
        address
    }

    pub fn write(&self, address: u64, data: &[u8]) {
        let span = self.lookup(address, Access::Write).expect("mapped");
        let at = (address - span.lo) as usize;
        assert!(at + data.len() <= span.len as usize);
        // SAFETY: in bounds.
        unsafe { std::ptr::copy_nonoverlapping(data.as_ptr(), span.host.add(at), data.len()) };
        if let Some(checker) = &self.checker {
            checker.written(address, data.len() as u64);
        }
    }

    pub fn read(&self, address: u64, len: usize) -> Vec<u8> {
        let span = self.lookup(address, Access::Read).expect("mapped");
        let at = (address - span.lo) as usize;
        assert!(at + len <= span.len as usize);
        // SAFETY: in bounds.
        unsafe { std::slice::from_raw_parts(span.host.add(at), len).to_vec() }
    }

    pub fn upload<T: Copy>(&mut self, data: &[T]) -> u64 {
        let len = size_of_val(data);
        let address = self.alloc(len);
        // SAFETY: plain numbers.
        self.write(address, unsafe {
            std::slice::from_raw_parts(data.as_ptr().cast(), len)
        });
        address
    }

    pub fn download<T: Copy + Default>(&self, address: u64, count: usize) -> Vec<T> {
        let bytes = self.read(address, count * size_of::<T>());
        let mut out = vec![T::default(); count];
        // SAFETY: plain numbers, as many bytes.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), out.as_mut_ptr().cast(), bytes.len()) };
        out
    }

    /// Address and bytes of every allocation.
    pub fn bases(&self) -> Vec<(u64, u64)> {
        self.allocations.iter().map(|a| (a.address, a.len)).collect()
    }

    /// Everything in memory.
    pub fn contents(&self) -> Vec<Vec<u8>> {
        self.allocations
            .iter()
            .map(|a| self.read(a.address, a.len as usize))
            .collect()
    }

    pub fn restore(&self, contents: &[Vec<u8>]) {
        for (a, c) in self.allocations.iter().zip(contents) {
            self.write(a.address, c);
        }
    }
}

/// Hooks that record.
#[derive(Default)]
pub struct Hooks {
    pub printed: Mutex<Vec<String>>,
    pub asserted: Mutex<Vec<String>>,
    pub clock: AtomicU64,
}

impl Runtime for Hooks {
    fn vprintf(&self, thread: &ThreadView<'_>, format: u64, arguments: u64) -> Result<i32, HookError> {
        let format = thread.c_string(format, 1000)?;
        let mut value = [0; 4];
        thread.memory.read(arguments, &mut value)?;
        let text = format!(
            "{} {} {:?}",
            String::from_utf8_lossy(&format),
            u32::from_le_bytes(value),
            thread.thread
        );
        self.printed.lock().expect("lock").push(text);
        Ok(1)
    }
    fn assert_fail(&self, thread: &ThreadView<'_>, message: u64, _: u64, line: u32, _: u64) {
        let message = thread.c_string(message, 1000).unwrap_or_default();
        self.asserted
            .lock()
            .expect("lock")
            .push(format!("{} line {line}", String::from_utf8_lossy(&message)));
    }
    fn malloc(&self, size: u64) -> u64 {
        if size > 4096 { 0 } else { 0x2222_0000_0000 }
    }
    fn free(&self, _: u64) -> Result<(), HookError> {
        Ok(())
    }
    fn clock(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::Relaxed)
    }
    fn global_timer(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::Relaxed)
    }
}

pub struct Table(pub Vec<Option<u64>>);

impl Symbols for Table {
    fn variable(&self, id: VarId) -> Option<u64> {
        self.0.get(id.index()).copied().flatten()
    }
    fn function(&self, id: FuncId) -> Option<u64> {
        Some(0x100 + id.index() as u64)
    }
}

/// Parses a module and gives its `.global` and `.const` variables memory.
pub fn load(device: &mut Device, text: &str) -> (Module, Table) {
    let module = tessera_ptx::parse_module(text.as_bytes()).expect("the text is PTX");
    let mut table = Vec::new();
    for (_, var) in module.vars.iter() {
        table.push(matches!(var.space, Space::Global | Space::Const).then(|| {
            let address = device.alloc(var.size as usize);
            if let Some(init) = &var.init {
                device.write(address, &init.bytes);
            }
            address
        }));
    }
    (module, Table(table))
}

pub fn program(device: &mut Device, text: &str, name: &str) -> Arc<Program> {
    let (module, table) = load(device, text);
    let entry = module.func_by_name(name).expect("the kernel is there");
    match compile(&module, entry, &table) {
        Ok(program) => Arc::new(program),
        Err(error) => panic!("{error}"),
    }
}

/// A whole kernel text from a body.
pub fn kernel(params: &str, body: &str) -> String {
    format!(
        ".version 8.5\n.target sm_90\n.address_size 64\n.visible .entry k({params})\n{{\n\
        .reg .pred %p<20>;\n.reg .b16 %h<20>;\n.reg .b32 %r<100>;\n.reg .b64 %rd<100>;\n.reg .f32 %f<50>;\n.reg .f64 %fd<50>;\n{body}\n}}\n"
    )
}

/// Parameters as a parameter block of 8-byte values.
pub fn params(values: &[u64]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// Runs all blocks of a launch, taking turns, `fuel` at a time; the first fault ends it.
pub fn run_with(
    device: &Device,
    hooks: &dyn Runtime,
    launch: &Arc<Launch>,
    fuel: u64,
    stress: bool,
) -> Result<(), Box<Fault>> {
    run_in(device, hooks, launch, (fuel, stress), u64::MAX).map(|_| ())
}

/// How a launch went that changed tiers.
#[derive(Debug, Clone, Copy, Default)]
pub struct Changed {
    /// Turns that all its blocks had.
    pub rounds: u64,
    /// Blocks that ended in machine code.
    pub over: u64,
}

/// As [`run_with`]; before turn `change` the launch goes over to machine code.
pub fn run_changing(
    device: &Device,
    launch: &Arc<Launch>,
    fuel: u64,
    change: u64,
) -> Result<Changed, Box<Fault>> {
    run_in(device, &Hooks::default(), launch, (fuel, true), change)
}

fn run_in(
    memory: &dyn Memory,
    hooks: &dyn Runtime,
    launch: &Arc<Launch>,
    (fuel, stress): (u64, bool),
    change: u64,
) -> Result<Changed, Box<Fault>> {
    let mut changed = Changed::default();
    let mut pool = Pool::new();
    let mut worker = Worker::new();
    let stop = AtomicBool::new(false);
    let [gx, gy, gz] = launch.geometry().grid;
    let mut ctas = Vec::new();
    for z in 0..gz {
        for y in 0..gy {
            for x in 0..gx {
                ctas.push(Cta::new(launch, [x, y, z], &mut pool));
            }
        }
    }
    let env = Env {
        memory,
        runtime: hooks,
        stop: &stop,
        fuel,
        sm: 0,
        sms: 1,
        next: None,
    };
    let mut rounds = 0u64;
    while !ctas.is_empty() {
        rounds += 1;
        assert!(rounds < 50_000_000, "the launch does not come to an end");
        if rounds == change {
            launch.change_now();
        }
        let mut rest = Vec::new();
        for mut cta in ctas {
            if stress && (rounds < 1000 || rounds.is_multiple_of(61)) {
                // Everything moves: a copy of the block goes on, on another worker.
                let copy = cta.clone();
                drop(std::mem::replace(&mut cta, copy));
                worker = Worker::new();
            }
            match cta.run(&mut worker, &env) {
                Exit::Done => {
                    changed.over += u64::from(cta.tier() == Tier::Native);
                    pool.recycle(cta);
                }
                Exit::Yielded(why) => {
                    assert!(why != Why::Stop);
                    rest.push(cta);
                }
                Exit::Fault(fault) => return Err(fault),
            }
        }
        ctas = rest;
    }
    Ok(Changed { rounds, ..changed })
}

/// Every way to run a kernel: vector units, widths of groups, decodings.
pub fn ways() -> Vec<(Options, u64, bool)> {
    let mut ways = Vec::new();
    for level in [Level::Avx512, Level::Avx2, Level::Portable] {
        if level.available() {
            for plain in [false, true] {
                ways.push((
                    Options {
                        level,
                        warps: 8,
                        plain,
                        check: false,
                        tier: Tier::Interpreter,
                    },
                    1_000_000,
                    false,
                ));
            }
        }
    }
    for level in [Level::best(), Level::Avx2] {
        let native = Options {
            tier: Tier::Native,
            level,
            ..Options::default()
        };
        ways.push((native, 1_000_000, false));
        // A stop at every safe point, and everything moves there.
        ways.push((native, 1, true));
    }
    for warps in [1, 2] {
        for plain in [false, true] {
            ways.push((
                Options {
                    warps,
                    plain,
                    ..Options::default()
                },
                1_000_000,
                false,
            ));
        }
    }
    for plain in [false, true] {
        ways.push((
            Options {
                plain,
                ..Options::default()
            },
            1,
            true,
        ));
        ways.push((
            Options {
                plain,
                warps: 1,
                ..Options::default()
            },
            1,
            true,
        ));
    }
    ways
}

/// Runs a kernel with all checks, from the same memory, and expects that they find nothing.
fn run_checked(device: &Device, program: &Arc<Program>, geometry: Geometry, params: &[u8]) {
    let options = Options {
        check: true,
        ..Options::default()
    };
    let launch = Launch::with_options(program, geometry, params, options).expect("the launch is legal");
    let checker = Checker::new(Checks::parse("all").expect("a name of checks"));
    for a in &device.allocations {
        checker.allocated(Known {
            initialised: true,
            ..Known::host(a.address, a.len)
        });
    }
    let checked = Checked { device, checker };
    if let Err(fault) = run_in(&checked, &Hooks::default(), &launch, (1_000_000, false), u64::MAX) {
        panic!("{fault} with checks");
    }
    let findings = checked.checker.findings();
    if let Some(finding) = findings.first() {
        panic!("the checks say: {finding}");
    }
}

/// A device whose launches are checked.
struct Checked<'a> {
    device: &'a Device,
    checker: Arc<Checker>,
}

// SAFETY: as for the device.
unsafe impl Memory for Checked<'_> {
    fn lookup(&self, address: u64, access: Access) -> Option<Span> {
        self.device.lookup(address, access)
    }
    fn generation(&self) -> u64 {
        self.device.generation()
    }
    fn checker(&self) -> Option<Arc<Checker>> {
        Some(Arc::clone(&self.checker))
    }
}

/// Runs a kernel in every way from the same memory and checks that memory ends the same; leaves the result in memory.
pub fn run_all(device: &Device, program: &Arc<Program>, geometry: Geometry, params: &[u8]) {
    let before = device.contents();
    let mut expected: Option<Vec<Vec<u8>>> = None;
    for (options, fuel, stress) in ways() {
        device.restore(&before);
        let launch = Launch::with_options(program, geometry, params, options).expect("the launch is legal");
        let hooks = Hooks::default();
        if let Err(fault) = run_with(device, &hooks, &launch, fuel, stress) {
            panic!("{fault} with {options:?}");
        }
        let after = device.contents();
        match &expected {
            None => expected = Some(after),
            Some(expected) => {
                for (a, (e, g)) in expected.iter().zip(&after).enumerate() {
                    if let Some(at) = e.iter().zip(g).position(|(e, g)| e != g) {
                        panic!("allocation {a} differs at byte {at} with {options:?}, fuel {fuel}");
                    }
                }
            }
        }
    }
    device.restore(&before);
    run_checked(device, program, geometry, params);
    let after = device.contents();
    assert!(expected.is_none_or(|e| e == after), "memory differs with checks");
}

/// Runs a kernel once, with the default options.
pub fn run_once(
    device: &Device,
    program: &Arc<Program>,
    geometry: Geometry,
    params: &[u8],
) -> Result<(), Box<Fault>> {
    let launch = Launch::new(program, geometry, params).expect("the launch is legal");
    run_with(device, &Hooks::default(), &launch, 1_000_000, false)
}
