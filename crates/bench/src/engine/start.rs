//! How long kernels take to start, to start again, to stop and to be saved: the engine alone, without the device around it.

use crate::stats::{median, median_of, ns};
use anyhow::{Context as _, Result, bail, ensure};
use std::cell::UnsafeCell;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tessera_engine::{
    Access, Cta, Env, Exit, Geometry, HookError, Launch, Memory, Options, Pool, Program, Runtime, Span,
    Symbols, ThreadView, Tier, Why, Worker, compile,
};
use tessera_ptx::{FuncId, VarId};

const BASE: u64 = 0x2000_0000_0000;

/// One allocation.
struct Ram(Box<[UnsafeCell<u64>]>);

// SAFETY: the cells are only touched through raw pointers.
unsafe impl Sync for Ram {}

// SAFETY: the allocation lives as long as the object.
unsafe impl Memory for Ram {
    fn lookup(&self, address: u64, _: Access) -> Option<Span> {
        let len = self.0.len() as u64 * 8;
        (address.wrapping_sub(BASE) < len).then(|| Span {
            lo: BASE,
            len,
            host: self.0.as_ptr().cast_mut().cast(),
        })
    }
    fn generation(&self) -> u64 {
        1
    }
}

/// No hooks.
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
        Err(HookError::Refused)
    }
    fn clock(&self) -> u64 {
        0
    }
    fn global_timer(&self) -> u64 {
        0
    }
}

struct NoSymbols;
impl Symbols for NoSymbols {
    fn variable(&self, _: VarId) -> Option<u64> {
        None
    }
    fn function(&self, _: FuncId) -> Option<u64> {
        None
    }
}

fn figure(name: &str, nanoseconds: f64, goal: Option<f64>) {
    println!(
        "{}",
        serde_json::json!({ "name": name, "ns": nanoseconds, "goal_ns": goal })
    );
}

fn text(body: &str) -> String {
    format!(
        ".version 8.5\n.target sm_90\n.address_size 64\n.visible .entry k(.param .u64 out) {{\n.reg .pred %p<4>; .reg .b32 %r<40>; \
        .reg .b64 %rd<8>; .reg .f32 %f<40>;\nld.param.u64 %rd1, [out]; mov.u32 %r1, %ctaid.x; mov.u32 %r2, %ntid.x; mov.u32 %r3, %tid.x; \
        mad.lo.s32 %r4, %r1, %r2, %r3;\n{body}\nmul.wide.u32 %rd2, %r4, 4; add.s64 %rd3, %rd1, %rd2; st.global.u32 [%rd3], %r4; ret;\n}}\n"
    )
}

fn program(text: &str) -> Result<Arc<Program>> {
    let module = tessera_ptx::parse_module(text.as_bytes())?;
    let entry = module.func_by_name("k").context("the kernel is there")?;
    Ok(Arc::new(compile(&module, entry, &NoSymbols)?))
}

/// A machine with one block at a time.
struct Machine {
    ram: Ram,
    stop: AtomicBool,
}

impl Machine {
    fn env(&self) -> Env<'_> {
        Env {
            memory: &self.ram,
            runtime: &Nothing,
            stop: &self.stop,
            fuel: u64::MAX / 4,
            sm: 0,
            sms: 1,
            next: None,
        }
    }

    fn launch(program: &Arc<Program>, tier: Tier) -> Result<Arc<Launch>> {
        let options = Options {
            tier,
            ..Options::default()
        };
        let geometry = Geometry::new([1, 1, 1], [256, 1, 1]);
        Ok(Launch::with_options(
            program,
            geometry,
            &BASE.to_le_bytes(),
            options,
        )?)
    }

    fn run(&self, launch: &Arc<Launch>, pool: &mut Pool, worker: &mut Worker) -> Result<()> {
        let mut cta = Cta::new(launch, [0, 0, 0], pool);
        let exit = cta.run(worker, &self.env());
        ensure!(exit == Exit::Done, "the kernel ends with {exit:?}");
        pool.recycle(cta);
        Ok(())
    }
}

/// Measures all of it.
pub(crate) fn run() -> Result<()> {
    let machine = Machine {
        ram: Ram((0..1 << 16).map(|_| UnsafeCell::new(0)).collect()),
        stop: AtomicBool::new(false),
    };
    for (name, tier, goal) in [
        ("tier 0", Tier::Interpreter, 20e3),
        ("tier 1", Tier::Native, 60e3),
    ] {
        first_result(&machine, name, tier, goal)?;
        again(&machine, name, tier)?;
        stopping(&machine, name, tier)?;
    }
    compiling()
}

fn first_result(machine: &Machine, name: &str, tier: Tier, goal: f64) -> Result<()> {
    let source = text("");
    let (mut pool, mut worker) = (Pool::new(), Worker::new());
    let mut times = Vec::new();
    for _ in 0..501 {
        let start = Instant::now();
        let launch = Machine::launch(&program(&source)?, tier)?;
        machine.run(&launch, &mut pool, &mut worker)?;
        times.push(ns(start));
    }
    figure(
        &format!("tiny kernel, PTX text to result, {name}"),
        median_of(times),
        Some(goal),
    );
    Ok(())
}

fn again(machine: &Machine, name: &str, tier: Tier) -> Result<()> {
    let program = program(&text(""))?;
    let (mut pool, mut worker) = (Pool::new(), Worker::new());
    let mut failure = None;
    let time = median(501, || {
        let start = Instant::now();
        let run = Machine::launch(&program, tier).and_then(|l| machine.run(&l, &mut pool, &mut worker));
        failure = run.err();
        ns(start)
    });
    if let Some(error) = failure {
        return Err(error);
    }
    figure(
        &format!("the same kernel launched again, {name}"),
        time,
        Some(2e3),
    );
    Ok(())
}

/// An endless kernel, from the moment the flag is set to the moment its thread has the block back; then a copy of the block, which is
/// all that a checkpoint needs to hold it still for.
fn stopping(machine: &Machine, name: &str, tier: Tier) -> Result<()> {
    let mut registers = String::new();
    for i in 5..25 {
        let _ = writeln!(registers, "mad.lo.u32 %r{i}, %r{}, {i}, %r4;", i - 1);
    }
    let mut uses = String::new();
    for i in 5..25 {
        let _ = writeln!(
            uses,
            "xor.b32 %r{i}, %r{i}, %r{};",
            if i == 5 { 24 } else { i - 1 }
        );
    }
    let body = format!("{registers} LOOP: {uses} setp.ne.u32 %p1, %r2, 0; @%p1 bra LOOP; mov.u32 %r4, %r24;");
    let launch = Machine::launch(&program(&text(&body))?, tier)?;
    let (mut pool, mut worker) = (Pool::new(), Worker::new());
    let mut cta = Cta::new(&launch, [0, 0, 0], &mut pool);
    let (mut stops, mut copies) = (Vec::new(), Vec::new());
    let began = Instant::now();
    let set = AtomicU64::new(0);
    for _ in 0..51 {
        machine.stop.store(false, Ordering::Relaxed);
        let exit = std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(1));
                let now = began.elapsed().as_nanos();
                set.store(u64::try_from(now).unwrap_or(u64::MAX), Ordering::Relaxed);
                machine.stop.store(true, Ordering::Release);
            });
            let exit = cta.run(&mut worker, &machine.env());
            let now = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
            #[allow(clippy::cast_precision_loss, reason = "microseconds")]
            stops.push(now.saturating_sub(set.load(Ordering::Relaxed)) as f64);
            exit
        });
        if exit != Exit::Yielded(Why::Stop) {
            bail!("the endless kernel ends with {exit:?}");
        }
        let start = Instant::now();
        let copy = std::hint::black_box(cta.clone());
        copies.push(ns(start));
        drop(copy);
    }
    machine.stop.store(false, Ordering::Relaxed);
    figure(
        &format!("running kernel stopped, {name}"),
        median_of(stops),
        Some(50e3),
    );
    figure(
        &format!("state of a stopped block of 256 threads copied, {name}"),
        median_of(copies),
        Some(10e3),
    );
    Ok(())
}

/// Compile times for a long kernel, per PTX instruction.
fn compiling() -> Result<()> {
    const COUNT: u32 = 2000;
    let mut body = String::from("mov.b32 %f1, %r4; mov.u32 %r5, %r4;\n");
    for i in 0..COUNT / 4 {
        let _ = writeln!(
            body,
            "fma.rn.f32 %f1, %f1, 0f3F800000, %f1; xor.b32 %r5, %r5, {i}; shl.b32 %r6, %r5, 3; add.u32 %r5, %r5, %r6;"
        );
    }
    body.push_str("mov.b32 %r4, %f1; add.u32 %r4, %r4, %r5; and.b32 %r4, %r4, 255;");
    let source = text(&body);
    for (name, tier, goal) in [
        ("decoding, tier 0, per PTX instruction", Tier::Interpreter, 300.0),
        ("compiling, tier 1, per PTX instruction", Tier::Native, 1000.0),
    ] {
        let mut times = Vec::new();
        for _ in 0..21 {
            let program = program(&source)?;
            let start = Instant::now();
            let launch = Machine::launch(&program, tier)?;
            times.push(ns(start));
            drop(launch);
        }
        figure(name, median_of(times) / f64::from(COUNT), Some(goal));
    }
    Ok(())
}
