//! The ten kernels of `tests/bench/kernels.cu`, through the guest driver and on the device in-process: same PTX, same inputs, same
//! launches. What the two differ in is the way of a launch and the wait for its end.

use crate::driver::{Driver, Launch};
use crate::stats::{median, ns};
use anyhow::{Context as _, Result, bail, ensure};
use std::ffi::c_void;
use std::fs;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;
use tessera_device::{
    Context, ContextOptions, Device, Dim3, Fault, HostRange, Launch as DeviceLaunch, ModuleOptions,
    Operation, Printer, PtxText, Span2d, Stream, StreamOptions, StreamSink,
};
use tessera_softgpu::{Options, SoftGpu};

const KERNELS: [&str; 10] = [
    "saxpy",
    "matmul",
    "transpose",
    "reduce",
    "scan",
    "histogram",
    "nbody",
    "mandelbrot",
    "hash",
    "collatz",
];
/// Words of each buffer.
const WORDS: usize = 1 << 16;
const THREADS: u32 = 256;
const BLOCKS: u32 = 256;
/// Launches that are timed together, and how often.
const BATCH: u32 = 8;
const ROUNDS: usize = 5;

/// Inputs that every kernel can take: floats between 0 and 1.
fn inputs() -> Vec<f32> {
    (0..WORDS)
        .map(|i| f32::from(u16::try_from(i * 40_503 % 65_536).unwrap_or(0)) / 65_536.0)
        .collect()
}

fn print(name: &str, nanoseconds: f64) {
    println!("{}", serde_json::json!({ "name": name, "ns": nanoseconds }));
}

/// Through the guest driver.
pub(crate) fn in_guest(ptx: &str) -> Result<()> {
    let driver = Driver::open()?;
    let text = fs::read_to_string(ptx).with_context(|| format!("cannot read {ptx}"))?;
    let launch: Launch = driver.raw("cuLaunchKernel")?;
    let input = inputs();
    let bytes = WORDS * 4;
    let (mut a, mut b, mut out) = (driver.alloc(bytes)?, driver.alloc(bytes)?, driver.alloc(bytes)?);
    driver.copy_in(a, input.as_ptr().cast(), bytes)?;
    driver.copy_in(b, input.as_ptr().cast(), bytes)?;
    let mut count = i32::try_from(WORDS)?;
    let mut parameters: [*mut c_void; 4] = [
        (&raw mut a).cast(),
        (&raw mut b).cast(),
        (&raw mut out).cast(),
        (&raw mut count).cast(),
    ];
    for name in KERNELS {
        let function = driver.kernel(&text, name)?;
        let mut failed = 0;
        let mut batch = || {
            let start = Instant::now();
            for _ in 0..BATCH {
                // SAFETY: the signature of the public header; four parameters as the kernel declares them.
                failed |= unsafe {
                    launch(
                        function,
                        BLOCKS,
                        1,
                        1,
                        THREADS,
                        1,
                        1,
                        0,
                        std::ptr::null_mut(),
                        parameters.as_mut_ptr(),
                        std::ptr::null_mut(),
                    )
                };
            }
            driver.synchronize().map_or(f64::INFINITY, |()| ns(start))
        };
        batch();
        let time = median(ROUNDS, batch);
        ensure!(failed == 0 && time.is_finite(), "{name} fails");
        print(name, time / f64::from(BATCH));
    }
    Ok(())
}

/// Waits for sequence numbers of a stream.
#[derive(Default)]
struct Progress {
    /// Last completed number; also looked at without the lock, as the guest looks at its completion record.
    done: AtomicU64,
    fault: Mutex<Option<Fault>>,
    changed: Condvar,
}

impl StreamSink for Progress {
    fn completed(&self, seq: u64, result: Result<(), Fault>) {
        let mut fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(new) = result {
            fault.get_or_insert(new);
        }
        self.done.store(seq, Ordering::Release);
        self.changed.notify_all();
    }
}

impl Progress {
    fn wait(&self, seq: u64) -> Result<()> {
        // As long as the guest driver looks before it sleeps.
        let spin = Instant::now();
        while self.done.load(Ordering::Acquire) < seq && spin.elapsed().as_micros() < 50 {
            std::hint::spin_loop();
        }
        let mut fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        while self.done.load(Ordering::Acquire) < seq {
            fault = self.changed.wait(fault).unwrap_or_else(PoisonError::into_inner);
        }
        match &*fault {
            Some(fault) => bail!("{fault}"),
            None => Ok(()),
        }
    }
}

struct Quiet;

impl Printer for Quiet {
    fn print(&self, _: &[u8], _: bool) {}
}

/// A device of our own with the inputs on it.
struct Local {
    context: Arc<dyn Context>,
    stream: Arc<dyn Stream>,
    progress: Arc<Progress>,
    seq: u64,
    /// The parameter block of every kernel: three buffers and the number of words.
    parameters: Box<[u8]>,
    /// Last: it outlives what it made.
    _device: SoftGpu,
}

impl Local {
    fn open() -> Result<Self> {
        let board = tessera_catalogue::catalogue()
            .board("H100 80GB")
            .context("the catalogue has no H100 80GB")?;
        let device = SoftGpu::open(&Options::for_board(board, "bench", 1 << 30, None))?;
        let context = device.create_context(ContextOptions {
            arena: (0x2000_0000_0000, 1 << 40),
            printer: Arc::new(Quiet),
            stack_bytes: 1024,
            heap_bytes: 8 << 20,
        })?;
        let progress = Arc::new(Progress::default());
        let legacy = StreamOptions {
            legacy: true,
            ..StreamOptions::default()
        };
        let stream = context.create_stream(legacy, Arc::clone(&progress) as _)?;
        let mut local = Self {
            context,
            stream,
            progress,
            seq: 0,
            parameters: Box::default(),
            _device: device,
        };
        local.fill()?;
        Ok(local)
    }

    /// Allocates the buffers, copies the inputs, makes the parameter block.
    fn fill(&mut self) -> Result<()> {
        let bytes = (WORDS * 4) as u64;
        let input = Arc::new(inputs());
        let base = NonNull::new(input.as_ptr().cast_mut().cast::<u8>()).context("a vector has an address")?;
        // SAFETY: the vector stays alive in the owner and nobody writes to it.
        let source = unsafe { HostRange::new(base, WORDS * 4, Arc::clone(&input) as _) };
        let mut parameters = Vec::new();
        for _ in 0..3 {
            let destination = self.context.alloc(bytes, 256)?;
            parameters.extend_from_slice(&destination.to_le_bytes());
            self.submit(Operation::CopyIn {
                destination,
                destination_pitch: bytes,
                source: source.clone(),
                source_pitch: bytes,
                span: Span2d {
                    width: bytes,
                    height: 1,
                },
            })?;
        }
        parameters.extend_from_slice(&u32::try_from(WORDS)?.to_le_bytes());
        self.parameters = parameters.into_boxed_slice();
        self.progress.wait(self.seq)
    }

    fn submit(&mut self, operation: Operation) -> Result<()> {
        self.seq += 1;
        Ok(self.stream.submit(self.seq, operation)?)
    }

    /// Launches a batch and waits for its end; nanoseconds.
    fn batch(&mut self, launch: &DeviceLaunch) -> Result<f64> {
        let start = Instant::now();
        for _ in 0..BATCH {
            self.submit(Operation::Launch(launch.clone()))?;
        }
        self.progress.wait(self.seq)?;
        Ok(ns(start))
    }
}

/// On the device in-process.
pub(crate) fn in_process(ptx: &str) -> Result<()> {
    let text = fs::read(ptx).with_context(|| format!("cannot read {ptx}"))?;
    let mut local = Local::open()?;
    let unit = PtxText {
        name: "kernels",
        text: &text,
    };
    let module = local
        .context
        .load_module(&[unit], &ModuleOptions::default())?
        .module;
    for name in KERNELS {
        let launch = DeviceLaunch {
            function: module.function(name)?,
            grid: Dim3 {
                x: BLOCKS,
                y: 1,
                z: 1,
            },
            block: Dim3 {
                x: THREADS,
                y: 1,
                z: 1,
            },
            dynamic_shared_bytes: 0,
            parameters: local.parameters.clone(),
            cooperative: false,
        };
        local.batch(&launch).context(name)?;
        let mut failure = None;
        let time = median(ROUNDS, || {
            local.batch(&launch).unwrap_or_else(|error| {
                failure = Some(error);
                f64::INFINITY
            })
        });
        if let Some(error) = failure {
            return Err(error.context(name));
        }
        print(name, time / f64::from(BATCH));
    }
    Ok(())
}
