//! What the tests of the software GPU share: a device, contexts, streams whose completions are logged.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use tessera_device::{
    Context, ContextOptions, Device, DevicePtr, Dim3, Event, EventSink, Fault, Fill, Function, HostCall,
    HostRange, Launch, Module, ModuleOptions, Operation, Printer, PtxText, Span2d, Stream, StreamOptions,
    StreamSink,
};
use tessera_softgpu::{Options, PciAddress, SoftGpu};

pub(crate) const MIB: u64 = 1 << 20;
const ARENA: (u64, u64) = (0x2000_0000_0000, 1 << 40);

/// A device of 1 GiB with two executors, whatever the machine has.
pub(crate) fn gpu() -> SoftGpu {
    gpu_with(1 << 30, 2)
}

pub(crate) fn gpu_with(memory_bytes: u64, executors: u32) -> SoftGpu {
    gpu_that(memory_bytes, executors, tessera_softgpu::Execution::default())
}

/// A device that carries kernels out in one way.
pub(crate) fn gpu_that(memory_bytes: u64, executors: u32, execution: tessera_softgpu::Execution) -> SoftGpu {
    SoftGpu::open(&Options {
        name: "Test GPU".to_owned(),
        compute_capability: (9, 0),
        memory_bytes,
        sm_count: Some(132),
        executors: Some(executors),
        pci_address: PciAddress::default(),
        pci_id: None,
        code: None,
        execution,
        check: None,
    })
    .expect("device")
}

/// Collects what kernels print.
#[derive(Default)]
pub(crate) struct Printed(pub(crate) Mutex<Vec<(String, bool)>>);

impl Printer for Printed {
    fn print(&self, text: &[u8], to_stderr: bool) {
        let text = String::from_utf8_lossy(text).into_owned();
        self.0.lock().expect("lock").push((text, to_stderr));
    }
}

pub(crate) fn context(gpu: &SoftGpu) -> Arc<dyn Context> {
    context_printing(gpu, Arc::new(Printed::default()))
}

pub(crate) fn context_printing(gpu: &SoftGpu, printer: Arc<Printed>) -> Arc<dyn Context> {
    gpu.create_context(ContextOptions {
        arena: ARENA,
        printer,
        stack_bytes: 1024,
        heap_bytes: 8 * MIB,
        bar1: None,
    })
    .expect("context")
}

/// Completions in the order in which they came, of all streams that share it: (name, number).
#[derive(Default)]
pub(crate) struct Log(Mutex<Vec<(&'static str, u64)>>);

impl Log {
    pub(crate) fn entries(&self) -> Vec<(&'static str, u64)> {
        self.0.lock().expect("lock").clone()
    }

    /// Place of a completion.
    pub(crate) fn at(&self, name: &str, seq: u64) -> usize {
        let entries = self.entries();
        let found = entries.iter().position(|entry| *entry == (name, seq));
        found.unwrap_or_else(|| panic!("{name} {seq} in {entries:?}"))
    }
}

struct Sink {
    name: &'static str,
    log: Arc<Log>,
    done: Mutex<(u64, Option<Fault>)>,
    calls: Mutex<Vec<HostCall>>,
    changed: Condvar,
}

impl StreamSink for Sink {
    fn host_call(&self, _seq: u64, call: HostCall) {
        self.calls.lock().expect("lock").push(call);
        self.changed.notify_all();
    }

    fn completed(&self, seq: u64, result: Result<(), Fault>) {
        self.log.0.lock().expect("lock").push((self.name, seq));
        let mut done = self.done.lock().expect("lock");
        assert!(done.0 < seq, "completions are in order: {} after {}", seq, done.0);
        done.0 = seq;
        match result {
            Ok(()) => assert!(done.1.is_none(), "a good completion after a fault"),
            Err(fault) => done.1 = Some(fault),
        }
        self.changed.notify_all();
    }
}

/// A stream that numbers its operations itself.
pub(crate) struct TestStream {
    pub(crate) stream: Arc<dyn Stream>,
    sink: Arc<Sink>,
    next: AtomicU64,
}

impl TestStream {
    pub(crate) fn new(
        context: &Arc<dyn Context>,
        name: &'static str,
        log: &Arc<Log>,
        options: StreamOptions,
    ) -> Self {
        let sink = Arc::new(Sink {
            name,
            log: Arc::clone(log),
            done: Mutex::default(),
            calls: Mutex::default(),
            changed: Condvar::new(),
        });
        let stream = context
            .create_stream(options, Arc::clone(&sink) as Arc<dyn StreamSink>)
            .expect("stream");
        Self {
            stream,
            sink,
            next: AtomicU64::new(1),
        }
    }

    pub(crate) fn plain(context: &Arc<dyn Context>) -> Self {
        Self::new(context, "stream", &Arc::default(), StreamOptions::default())
    }

    pub(crate) fn submit(&self, operation: Operation) -> u64 {
        let seq = self.next.fetch_add(1, Ordering::Relaxed);
        self.stream.submit(seq, operation).expect("submit");
        seq
    }

    /// Waits until the operation is done.
    pub(crate) fn wait(&self, seq: u64) -> Result<(), Fault> {
        let mut done = self.sink.done.lock().expect("lock");
        while done.0 < seq {
            done = self.sink.changed.wait(done).expect("lock");
        }
        done.1.clone().map_or(Ok(()), Err)
    }

    pub(crate) fn is_done(&self, seq: u64) -> bool {
        self.sink.done.lock().expect("lock").0 >= seq
    }

    /// Waits until the stream has come to a host function.
    pub(crate) fn host_call(&self) -> HostCall {
        let mut calls = self.sink.calls.lock().expect("lock");
        loop {
            if let Some(call) = calls.pop() {
                assert!(calls.is_empty(), "host functions of a stream come one by one");
                return call;
            }
            calls = self.sink.changed.wait(calls).expect("lock");
        }
    }

    /// Whether the stream waits in a host function now.
    pub(crate) fn is_called(&self) -> bool {
        !self.sink.calls.lock().expect("lock").is_empty()
    }

    pub(crate) fn synchronize(&self) -> Result<(), Fault> {
        self.wait(self.submit(Operation::Marker))
    }
}

/// Host memory as the aperture would give it.
pub(crate) fn host(bytes: usize) -> HostRange {
    let words = bytes.div_ceil(8).max(512);
    // Page-aligned, so that it can be mapped too.
    let layout = std::alloc::Layout::from_size_align(words.next_multiple_of(512) * 8, 4096).expect("layout");
    struct Memory(NonNull<u8>, std::alloc::Layout);
    // SAFETY: plain memory.
    unsafe impl Send for Memory {}
    // SAFETY: as above.
    unsafe impl Sync for Memory {}
    impl Drop for Memory {
        fn drop(&mut self) {
            // SAFETY: allocated below with this layout.
            unsafe { std::alloc::dealloc(self.0.as_ptr(), self.1) }
        }
    }
    // SAFETY: the layout is not empty.
    let base = NonNull::new(unsafe { std::alloc::alloc_zeroed(layout) }).expect("memory");
    let owner = Arc::new(Memory(base, layout));
    // SAFETY: the owner frees the memory when it goes.
    unsafe { HostRange::new(base, bytes, owner) }
}

pub(crate) fn host_with(bytes: &[u8]) -> HostRange {
    let range = host(bytes.len());
    // SAFETY: the range is as long, and nobody else has it.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), range.as_ptr(), bytes.len()) };
    range
}

pub(crate) fn bytes_of(range: &HostRange) -> Vec<u8> {
    // SAFETY: no operation on the range is in flight where tests call this.
    unsafe { std::slice::from_raw_parts(range.as_ptr(), range.len()).to_vec() }
}

pub(crate) fn copy_in(destination: DevicePtr, source: &HostRange) -> Operation {
    let width = source.len() as u64;
    Operation::CopyIn {
        destination,
        destination_pitch: width,
        source: source.clone(),
        source_pitch: width,
        span: Span2d { width, height: 1 },
    }
}

pub(crate) fn copy_out(destination: &HostRange, source: DevicePtr) -> Operation {
    let width = destination.len() as u64;
    Operation::CopyOut {
        destination: destination.clone(),
        destination_pitch: width,
        source,
        source_pitch: width,
        span: Span2d { width, height: 1 },
    }
}

pub(crate) fn copy(destination: DevicePtr, source: DevicePtr, width: u64) -> Operation {
    Operation::Copy {
        destination,
        destination_pitch: width,
        source,
        source_pitch: width,
        span: Span2d { width, height: 1 },
    }
}

pub(crate) fn fill(destination: DevicePtr, pattern: u32, element_bytes: u8, width: u64) -> Operation {
    Operation::Fill(Fill {
        destination,
        pattern,
        element_bytes,
        width,
        height: 1,
        pitch: 0,
    })
}

/// Reads device memory through a stream of its own.
pub(crate) fn read(context: &Arc<dyn Context>, address: DevicePtr, bytes: usize) -> Vec<u8> {
    let target = host(bytes);
    let stream = TestStream::plain(context);
    stream.submit(copy_out(&target, address));
    stream.synchronize().expect("copy");
    bytes_of(&target)
}

pub(crate) fn read_words(context: &Arc<dyn Context>, address: DevicePtr, count: usize) -> Vec<u32> {
    words(&read(context, address, count * 4))
}

pub(crate) fn words(bytes: &[u8]) -> Vec<u32> {
    let word = |chunk: &[u8]| u32::from_le_bytes(chunk.try_into().expect("four bytes"));
    bytes.chunks_exact(4).map(word).collect()
}

pub(crate) fn upload(context: &Arc<dyn Context>, data: &[u32]) -> DevicePtr {
    let bytes: Vec<u8> = data.iter().flat_map(|word| word.to_le_bytes()).collect();
    let address = context.alloc(bytes.len() as u64, 256).expect("allocation");
    let stream = TestStream::plain(context);
    stream.submit(copy_in(address, &host_with(&bytes)));
    stream.synchronize().expect("copy");
    address
}

/// Records of an event: (generation, time).
#[derive(Default)]
pub(crate) struct Records {
    seen: Mutex<Vec<(u64, u64)>>,
    changed: Condvar,
}

impl EventSink for Records {
    fn recorded(&self, generation: u64, nanoseconds: u64) {
        self.seen.lock().expect("lock").push((generation, nanoseconds));
        self.changed.notify_all();
    }
}

impl Records {
    /// Time of a record, once it is reached.
    pub(crate) fn wait(&self, generation: u64) -> u64 {
        let mut seen = self.seen.lock().expect("lock");
        loop {
            if let Some(record) = seen.iter().find(|record| record.0 >= generation) {
                return record.1;
            }
            seen = self.changed.wait(seen).expect("lock");
        }
    }
}

pub(crate) fn event(context: &Arc<dyn Context>) -> (Arc<dyn Event>, Arc<Records>) {
    let records = Arc::new(Records::default());
    (
        context.create_event(Arc::clone(&records) as Arc<dyn EventSink>),
        records,
    )
}

pub(crate) fn load(context: &Arc<dyn Context>, ptx: &str) -> Arc<dyn Module> {
    let text = PtxText {
        name: "test.ptx",
        text: ptx.as_bytes(),
    };
    let loaded = context.load_module(&[text], &ModuleOptions::default());
    loaded.unwrap_or_else(|error| panic!("{error}")).module
}

pub(crate) fn kernel(module: &Arc<dyn Module>, name: &str) -> Arc<dyn Function> {
    module.function(name).unwrap_or_else(|error| panic!("{error}"))
}

/// A one-dimensional launch with 64-bit parameters (which also serve as 32-bit ones at 8-byte places).
pub(crate) fn launch(
    function: &Arc<dyn Function>,
    blocks: u32,
    threads: u32,
    parameters: &[u64],
) -> Operation {
    Operation::Launch(Launch {
        function: Arc::clone(function),
        grid: Dim3 {
            x: blocks,
            y: 1,
            z: 1,
        },
        block: Dim3 {
            x: threads,
            y: 1,
            z: 1,
        },
        dynamic_shared_bytes: 0,
        parameters: parameters.iter().flat_map(|word| word.to_le_bytes()).collect(),
        cooperative: false,
        cluster: [0; 3],
    })
}
