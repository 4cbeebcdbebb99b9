//! A software GPU of our own, in this process: what the benchmarks need of it.

use crate::stats::ns;
use anyhow::{Context as _, Result, bail};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;
use tessera_device::{
    Context, ContextOptions, Device, DevicePtr, Fault, HostRange, Launch, Module, ModuleOptions, Operation,
    Printer, PtxText, Span2d, Stream, StreamOptions, StreamSink,
};
use tessera_softgpu::{Options, SoftGpu};

/// Waits for sequence numbers of a stream.
#[derive(Default)]
struct Progress {
    /// Last completed number; also looked at without the lock, as the guest looks at its completion record.
    done: AtomicU64,
    /// The number that is slept for; nobody is woken for another, as in a completion record.
    wanted: AtomicU64,
    fault: Mutex<Option<Fault>>,
    changed: Condvar,
}

impl StreamSink for Progress {
    fn completed(&self, seq: u64, result: Result<(), Fault>) {
        let failed = result.is_err();
        let mut fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(new) = result {
            fault.get_or_insert(new);
        }
        self.done.store(seq, Ordering::Release);
        if failed || seq >= self.wanted.load(Ordering::Relaxed) {
            self.changed.notify_all();
        }
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
        self.wanted.store(seq, Ordering::Relaxed);
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

/// A device with one context and one stream.
pub(crate) struct Local {
    context: Arc<dyn Context>,
    stream: Arc<dyn Stream>,
    progress: Arc<Progress>,
    seq: u64,
    /// Last: it outlives what it made.
    _device: SoftGpu,
}

fn row(bytes: usize) -> Span2d {
    Span2d {
        width: bytes as u64,
        height: 1,
    }
}

impl Local {
    /// An H100 with `memory` bytes; `adjust` changes its options before it is opened.
    pub(crate) fn open(memory: u64, adjust: impl FnOnce(&mut Options)) -> Result<Self> {
        let board = tessera_catalogue::catalogue()
            .board("H100 80GB")
            .context("the catalogue has no H100 80GB")?;
        let mut options = Options::for_board(board, "bench", memory, None);
        adjust(&mut options);
        let device = SoftGpu::open(&options)?;
        let context = device.create_context(ContextOptions {
            arena: (0x2000_0000_0000, 1 << 40),
            printer: Arc::new(Quiet),
            stack_bytes: 1024,
            heap_bytes: 8 << 20,
            bar1: None,
        })?;
        let progress = Arc::new(Progress::default());
        let legacy = StreamOptions {
            legacy: true,
            ..StreamOptions::default()
        };
        let stream = context.create_stream(legacy, Arc::clone(&progress) as _)?;
        Ok(Self {
            context,
            stream,
            progress,
            seq: 0,
            _device: device,
        })
    }

    /// Loads PTX.
    pub(crate) fn module(&self, text: &[u8]) -> Result<Arc<dyn Module>> {
        let unit = PtxText {
            name: "kernels",
            text,
        };
        Ok(self
            .context
            .load_module(&[unit], &ModuleOptions::default())?
            .module)
    }

    /// Allocates.
    pub(crate) fn alloc(&self, bytes: usize) -> Result<DevicePtr> {
        Ok(self.context.alloc(bytes as u64, 256)?)
    }

    /// Copies `bytes` to the device and waits.
    pub(crate) fn copy_in(&mut self, destination: DevicePtr, bytes: &Arc<Vec<u8>>) -> Result<()> {
        let base = NonNull::new(bytes.as_ptr().cast_mut()).context("a vector has an address")?;
        // SAFETY: the vector stays alive in the owner and nobody writes to it.
        let source = unsafe { HostRange::new(base, bytes.len(), Arc::clone(bytes) as _) };
        self.submit(Operation::CopyIn {
            destination,
            destination_pitch: bytes.len() as u64,
            source,
            source_pitch: bytes.len() as u64,
            span: row(bytes.len()),
        })?;
        self.progress.wait(self.seq)
    }

    /// Copies `bytes` bytes from the device.
    pub(crate) fn copy_out(&mut self, source: DevicePtr, bytes: usize) -> Result<Vec<u8>> {
        let mut into = vec![0u8; bytes];
        let base = NonNull::new(into.as_mut_ptr()).context("a vector has an address")?;
        // SAFETY: the vector outlives the copy, whose end is waited for here, and nobody else uses it meanwhile.
        let destination = unsafe { HostRange::new(base, bytes, Arc::new(())) };
        self.submit(Operation::CopyOut {
            destination,
            destination_pitch: bytes as u64,
            source,
            source_pitch: bytes as u64,
            span: row(bytes),
        })?;
        self.progress.wait(self.seq)?;
        Ok(into)
    }

    fn submit(&mut self, operation: Operation) -> Result<()> {
        self.seq += 1;
        Ok(self.stream.submit(self.seq, operation)?)
    }

    /// Launches `count` times and waits for the end; nanoseconds.
    pub(crate) fn batch(&mut self, launch: &Launch, count: u32) -> Result<f64> {
        self.program(std::slice::from_ref(launch), count)
    }

    /// Launches all of them in turn, `rounds` times over, and waits for the end; nanoseconds.
    pub(crate) fn program(&mut self, launches: &[Launch], rounds: u32) -> Result<f64> {
        let start = Instant::now();
        for _ in 0..rounds {
            for launch in launches {
                self.submit(Operation::Launch(launch.clone()))?;
            }
        }
        self.progress.wait(self.seq)?;
        Ok(ns(start))
    }
}
