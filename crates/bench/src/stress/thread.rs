//! One thread: what it holds, the model, the operations.

use super::api::{Api, Code, Handle};
use anyhow::{Result, bail, ensure};
use std::collections::VecDeque;
use std::ffi::{CString, c_uint, c_void};
use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Words of the largest buffer.
const MOST_WORDS: usize = 1 << 15;
const MOST_BUFFERS: usize = 10;
/// Operations that a failure shows.
const TRACE: usize = 24;

/// Streams by place: the default one, then one that blocks with it, then two that do not.
const STREAMS: usize = 4;
const DEFAULT: usize = 0;
const NON_BLOCKING: [usize; 2] = [2, 3];

const SUCCESS: Code = 0;
const INVALID_VALUE: Code = 1;
const OUT_OF_MEMORY: Code = 2;
const INVALID_HANDLE: Code = 400;
const NOT_FOUND: Code = 500;
const NOT_READY: Code = 600;

const PTX: &str = include_str!("kernels.ptx");
const KERNELS: [&str; 3] = ["mix", "add", "sum"];
const MIX: usize = 0;
const ADD: usize = 1;
const SUM: usize = 2;

/// Device memory and what it holds when everything issued is done.
struct Buffer {
    address: u64,
    words: Vec<u32>,
    /// Stream of the last operation.
    last: usize,
    pooled: bool,
}

/// Pinned memory, what it will hold, and the stream of the last operation on it.
struct Pinned {
    at: *mut u32,
    words: Vec<u32>,
    last: usize,
}

/// A range of a buffer.
#[derive(Clone, Copy)]
struct Range {
    buffer: usize,
    from: usize,
    count: usize,
}

/// Something that failed in a way that no operation explains.
fn check(what: &str, code: Code, expected: Code) -> Result<()> {
    ensure!(code == expected, "{what} returned {code}, expected {expected}");
    Ok(())
}

/// Calls a function of the driver and expects success.
macro_rules! call {
    ($thread:expr, $name:ident($($value:expr),*)) => {{
        // SAFETY: the signature is that of the public header; pointers passed are live for as long as the driver uses them.
        let code = unsafe { ($thread.api.$name)($($value),*) };
        check(stringify!($name), code, SUCCESS)
    }};
}

/// The same, of a call that must fail.
macro_rules! fails {
    ($thread:expr, $code:expr, $name:ident($($value:expr),*)) => {{
        // SAFETY: as above.
        let code = unsafe { ($thread.api.$name)($($value),*) };
        check(stringify!($name), code, $code)
    }};
}

unsafe extern "C" fn count(counter: *mut c_void) {
    // SAFETY: the thread's counter lives until all its streams have been waited for.
    unsafe { (*counter.cast::<AtomicU64>()).fetch_add(1, Ordering::Relaxed) };
}

type Operation = fn(&mut Thread) -> Result<()>;

/// Operations, and how often each is chosen.
const OPERATIONS: &[(&str, u32, Operation)] = &[
    ("fill words", 10, Thread::fill_words),
    ("fill bytes", 6, Thread::fill_bytes),
    ("mix", 20, Thread::mix),
    ("add", 14, Thread::add),
    ("sum", 6, Thread::sum),
    ("copy", 12, Thread::copy),
    ("upload", 8, Thread::upload),
    ("upload from pinned memory", 8, Thread::upload_pinned),
    ("download to pinned memory", 8, Thread::download_pinned),
    ("compare", 12, Thread::compare),
    ("compare pinned memory", 6, Thread::compare_pinned),
    ("allocate", 6, Thread::allocate),
    ("free", 5, Thread::free),
    ("graph", 5, Thread::graph),
    ("host function", 5, Thread::host_function),
    ("queries", 5, Thread::queries),
    ("synchronise", 2, Thread::synchronize),
    ("another stream", 2, Thread::renew_stream),
    ("another module", 1, Thread::renew_module),
    ("mistakes", 6, Thread::mistakes),
];

pub(super) struct Thread {
    api: Arc<Api>,
    random: fastrand::Rng,
    shared_context: bool,
    context: Handle,
    streams: [Handle; STREAMS],
    /// Recorded again and again: a wait is for the record before it.
    events: [Handle; 3],
    module: Handle,
    functions: [Handle; KERNELS.len()],
    buffers: Vec<Buffer>,
    pinned: Vec<Pinned>,
    /// Counts calls of host functions; how many are due.
    counter: Box<AtomicU64>,
    due: u64,
    trace: VecDeque<String>,
}

impl Thread {
    pub(super) fn new(api: Arc<Api>, seed: u64, shared_context: bool) -> Result<Self> {
        let mut thread = Self {
            api,
            random: fastrand::Rng::with_seed(seed),
            shared_context,
            context: null_mut(),
            streams: [null_mut(); STREAMS],
            events: [null_mut(); 3],
            module: null_mut(),
            functions: [null_mut(); KERNELS.len()],
            buffers: Vec::new(),
            pinned: Vec::new(),
            counter: Box::default(),
            due: 0,
            trace: VecDeque::new(),
        };
        if shared_context {
            call!(thread, primary_retain(&raw mut thread.context, 0))?;
            call!(thread, context_set(thread.context))?;
        } else {
            call!(thread, context_create(&raw mut thread.context, 0, 0))?;
        }
        for place in 1..STREAMS {
            call!(
                thread,
                stream_create(&raw mut thread.streams[place], Self::flags(place))
            )?;
        }
        for event in 0..thread.events.len() {
            // With and without timing.
            let flags = if event == 0 { 0 } else { 2 };
            call!(thread, event_create(&raw mut thread.events[event], flags))?;
        }
        thread.load()?;
        for _ in 0..2 {
            let mut at = null_mut();
            call!(thread, host_alloc(&raw mut at, MOST_WORDS * 4, 0))?;
            // SAFETY: so many words were just given; they become what the model says.
            unsafe { at.cast::<u32>().write_bytes(0, MOST_WORDS) };
            thread.pinned.push(Pinned {
                at: at.cast(),
                words: vec![0; MOST_WORDS],
                last: DEFAULT,
            });
        }
        thread.allocate()?;
        thread.allocate()?;
        Ok(thread)
    }

    const fn flags(place: usize) -> c_uint {
        if place < NON_BLOCKING[0] { 0 } else { 1 }
    }

    /// One operation.
    pub(super) fn step(&mut self) -> Result<()> {
        let total = OPERATIONS.iter().map(|o| o.1).sum();
        let mut chosen = self.random.u32(0..total);
        for (name, weight, operation) in OPERATIONS {
            if chosen < *weight {
                self.note((*name).to_owned());
                return operation(self);
            }
            chosen -= weight;
        }
        Ok(())
    }

    /// The last operations, the latest last.
    pub(super) fn trace(&self) -> String {
        let lines: Vec<&str> = self.trace.iter().map(String::as_str).collect();
        format!("after {}", lines.join("; "))
    }

    fn note(&mut self, text: String) {
        if self.trace.len() == TRACE {
            self.trace.pop_front();
        }
        self.trace.push_back(text);
    }

    fn load(&mut self) -> Result<()> {
        let text = CString::new(PTX)?;
        call!(self, module_load(&raw mut self.module, text.as_ptr().cast()))?;
        for (place, name) in KERNELS.iter().enumerate() {
            let name = CString::new(*name)?;
            call!(
                self,
                module_function(&raw mut self.functions[place], self.module, name.as_ptr())
            )?;
        }
        Ok(())
    }

    fn stream(&mut self) -> usize {
        self.random.usize(0..STREAMS)
    }

    fn range(&mut self) -> Range {
        let buffer = self.random.usize(0..self.buffers.len());
        let words = self.buffers[buffer].words.len();
        let count = self.random.usize(1..=words);
        let from = self.random.usize(0..=words - count);
        Range { buffer, from, count }
    }

    fn address(&self, range: Range) -> u64 {
        self.buffers[range.buffer].address + 4 * range.from as u64
    }

    fn model(&mut self, range: Range) -> &mut [u32] {
        &mut self.buffers[range.buffer].words[range.from..range.from + range.count]
    }

    /// Has `stream` wait for what was issued to `last`.
    fn after(&mut self, last: usize, stream: usize) -> Result<()> {
        if last != stream {
            let event = self.events[self.random.usize(0..self.events.len())];
            call!(self, event_record(event, self.streams[last]))?;
            call!(self, stream_wait(self.streams[stream], event, 0))?;
        }
        Ok(())
    }

    /// Orders what follows in `stream` behind the last operation on a buffer.
    fn order(&mut self, buffer: usize, stream: usize) -> Result<()> {
        self.after(self.buffers[buffer].last, stream)?;
        self.buffers[buffer].last = stream;
        Ok(())
    }

    fn order_pinned(&mut self, place: usize, stream: usize) -> Result<()> {
        self.after(self.pinned[place].last, stream)?;
        self.pinned[place].last = stream;
        Ok(())
    }

    fn launch(
        &mut self,
        kernel: usize,
        count: usize,
        stream: usize,
        parameters: &mut [*mut c_void],
    ) -> Result<()> {
        let threads = 32 * self.random.u32(1..=8);
        // With fewer blocks threads take several turns.
        let most = u32::try_from(count)?.div_ceil(threads);
        let blocks = self.random.u32(1..=most);
        call!(
            self,
            launch(
                self.functions[kernel],
                blocks,
                1,
                1,
                threads,
                1,
                1,
                0,
                self.streams[stream],
                parameters.as_mut_ptr(),
                null_mut()
            )
        )
    }

    fn fill_words(&mut self) -> Result<()> {
        let (range, stream, word) = (self.range(), self.stream(), self.random.u32(..));
        self.order(range.buffer, stream)?;
        call!(
            self,
            fill_words(self.address(range), word, range.count, self.streams[stream])
        )?;
        self.model(range).fill(word);
        Ok(())
    }

    fn fill_bytes(&mut self) -> Result<()> {
        let (range, stream, byte) = (self.range(), self.stream(), self.random.u8(..));
        self.order(range.buffer, stream)?;
        call!(
            self,
            fill_bytes(self.address(range), byte, 4 * range.count, self.streams[stream])
        )?;
        self.model(range).fill(u32::from_ne_bytes([byte; 4]));
        Ok(())
    }

    /// Issues one `mix` to `stream`; what it computes.
    fn issue_mix(&mut self, range: Range, stream: usize) -> Result<impl Fn(&mut [u32]) + use<>> {
        let mut address = self.address(range);
        let (mut count, mut a, mut b) = (
            u32::try_from(range.count)?,
            self.random.u32(..),
            self.random.u32(..),
        );
        let parameters = &mut [
            (&raw mut address).cast(),
            (&raw mut count).cast(),
            (&raw mut a).cast(),
            (&raw mut b).cast(),
        ];
        self.launch(MIX, range.count, stream, parameters)?;
        Ok(move |words: &mut [u32]| {
            for (i, word) in (0u32..).zip(words) {
                *word = word.wrapping_mul(a).wrapping_add(b ^ i);
            }
        })
    }

    fn mix(&mut self) -> Result<()> {
        let (range, stream) = (self.range(), self.stream());
        self.order(range.buffer, stream)?;
        let computes = self.issue_mix(range, stream)?;
        computes(self.model(range));
        Ok(())
    }

    /// Two ranges of equal length in two buffers.
    fn two(&mut self) -> Option<(Range, Range)> {
        let (mut to, mut from) = (self.range(), self.range());
        if to.buffer == from.buffer {
            return None;
        }
        to.count = to.count.min(from.count);
        from.count = to.count;
        Some((to, from))
    }

    fn of_two(&mut self, kernel: usize) -> Result<()> {
        let Some((to, from)) = self.two() else {
            return Ok(());
        };
        let stream = self.stream();
        self.order(to.buffer, stream)?;
        self.order(from.buffer, stream)?;
        let (mut p, mut q, mut count) = (self.address(to), self.address(from), u32::try_from(to.count)?);
        let parameters = &mut [(&raw mut p).cast(), (&raw mut count).cast(), (&raw mut q).cast()];
        self.launch(kernel, to.count, stream, parameters)?;
        let source = self.model(from).to_vec();
        let model = self.model(to);
        if kernel == ADD {
            for (word, s) in model.iter_mut().zip(source) {
                *word = word.wrapping_add(s);
            }
        } else {
            model[0] = source.into_iter().fold(model[0], u32::wrapping_add);
        }
        Ok(())
    }

    fn add(&mut self) -> Result<()> {
        self.of_two(ADD)
    }

    fn sum(&mut self) -> Result<()> {
        self.of_two(SUM)
    }

    fn copy(&mut self) -> Result<()> {
        let Some((to, from)) = self.two() else {
            return Ok(());
        };
        let stream = self.stream();
        self.order(to.buffer, stream)?;
        self.order(from.buffer, stream)?;
        call!(
            self,
            copy_async(
                self.address(to),
                self.address(from),
                4 * to.count,
                self.streams[stream]
            )
        )?;
        let source = self.model(from).to_vec();
        self.model(to).copy_from_slice(&source);
        Ok(())
    }

    fn upload(&mut self) -> Result<()> {
        let range = self.range();
        let words: Vec<u32> = (0..range.count).map(|_| self.random.u32(..)).collect();
        self.order(range.buffer, DEFAULT)?;
        call!(
            self,
            to_device(self.address(range), words.as_ptr().cast(), 4 * range.count)
        )?;
        self.model(range).copy_from_slice(&words);
        Ok(())
    }

    fn upload_pinned(&mut self) -> Result<()> {
        let (range, stream) = (self.range(), self.stream());
        let place = self.random.usize(0..self.pinned.len());
        // The host writes it: nothing may be on its way to or from it.
        self.compare_one_pinned(place)?;
        let seed = self.random.u32(..);
        let pinned = &mut self.pinned[place];
        for (i, word) in (0u32..).zip(&mut pinned.words[..range.count]) {
            *word = seed.wrapping_add(i.wrapping_mul(2_654_435_761));
        }
        // SAFETY: the allocation has as many words, and no operation on it is on its way.
        unsafe { std::ptr::copy_nonoverlapping(pinned.words.as_ptr(), pinned.at, range.count) };
        let at = pinned.at;
        self.order_pinned(place, stream)?;
        self.order(range.buffer, stream)?;
        call!(
            self,
            to_device_async(
                self.address(range),
                at.cast(),
                4 * range.count,
                self.streams[stream]
            )
        )?;
        let words = self.pinned[place].words[..range.count].to_vec();
        self.model(range).copy_from_slice(&words);
        Ok(())
    }

    fn download_pinned(&mut self) -> Result<()> {
        let (range, stream) = (self.range(), self.stream());
        let place = self.random.usize(0..self.pinned.len());
        self.order_pinned(place, stream)?;
        self.order(range.buffer, stream)?;
        call!(
            self,
            to_host_async(
                self.pinned[place].at.cast(),
                self.address(range),
                4 * range.count,
                self.streams[stream]
            )
        )?;
        let words = self.model(range).to_vec();
        self.pinned[place].words[..range.count].copy_from_slice(&words);
        Ok(())
    }

    fn compare(&mut self) -> Result<()> {
        let range = self.range();
        self.compare_range(range)
    }

    fn compare_range(&mut self, range: Range) -> Result<()> {
        let mut words = vec![0u32; range.count];
        self.order(range.buffer, DEFAULT)?;
        call!(
            self,
            to_host(words.as_mut_ptr().cast(), self.address(range), 4 * range.count)
        )?;
        let pooled = self.buffers[range.buffer].pooled;
        let what = format!("buffer {} (pooled: {pooled})", range.buffer);
        differ(&what, &words, self.model(range))
    }

    fn compare_pinned(&mut self) -> Result<()> {
        let place = self.random.usize(0..self.pinned.len());
        self.compare_one_pinned(place)
    }

    fn compare_one_pinned(&mut self, place: usize) -> Result<()> {
        let last = self.streams[self.pinned[place].last];
        call!(self, stream_synchronize(last))?;
        let pinned = &self.pinned[place];
        // SAFETY: the allocation has as many words; what was issued on it is done.
        let words = unsafe { std::slice::from_raw_parts(pinned.at, pinned.words.len()) };
        differ("pinned memory", words, &pinned.words)
    }

    fn allocate(&mut self) -> Result<()> {
        if self.buffers.len() >= MOST_BUFFERS {
            return Ok(());
        }
        let count = self.random.usize(1..=MOST_WORDS);
        let (pooled, stream) = (self.random.bool(), self.stream());
        let mut address = 0;
        if pooled {
            call!(
                self,
                alloc_async(&raw mut address, 4 * count, self.streams[stream])
            )?;
        } else {
            call!(self, alloc(&raw mut address, 4 * count))?;
        }
        ensure!(
            address != 0 && address % 256 == 0,
            "memory at {address:#x} for {count} words"
        );
        let buffer = self.buffers.len();
        self.buffers.push(Buffer {
            address,
            words: vec![0; count],
            last: stream,
            pooled,
        });
        // What it holds at first is not said.
        let word = self.random.u32(..);
        call!(self, fill_words(address, word, count, self.streams[stream]))?;
        self.buffers[buffer].words.fill(word);
        Ok(())
    }

    fn free(&mut self) -> Result<()> {
        if self.buffers.len() <= 2 {
            return Ok(());
        }
        let place = self.random.usize(0..self.buffers.len());
        let stream = self.stream();
        self.free_one(place, stream)
    }

    fn free_one(&mut self, place: usize, stream: usize) -> Result<()> {
        if self.buffers[place].pooled {
            self.order(place, stream)?;
        } else {
            let last = self.streams[self.buffers[place].last];
            call!(self, stream_synchronize(last))?;
        }
        let buffer = self.buffers.swap_remove(place);
        if buffer.pooled {
            call!(self, free_async(buffer.address, self.streams[stream]))
        } else {
            call!(self, free(buffer.address))
        }
    }

    /// A few operations on one buffer, captured, and launched a few times.
    fn graph(&mut self) -> Result<()> {
        let range = self.range();
        // A capture in a stream that blocks would forbid other threads of the context their default stream.
        let stream = self.random.choice(NON_BLOCKING).unwrap_or(NON_BLOCKING[0]);
        let own = self.streams[stream];
        self.order(range.buffer, stream)?;
        let (mut graph, mut exec) = (null_mut(), null_mut());
        let thread_local = 1;
        call!(self, capture_begin(own, thread_local))?;
        let word = self.random.bool().then(|| self.random.u32(..));
        if let Some(word) = word {
            call!(self, fill_words(self.address(range), word, range.count, own))?;
        }
        let mut computes = Vec::new();
        for _ in 0..self.random.usize(1..6) {
            computes.push(self.issue_mix(range, stream)?);
        }
        call!(self, capture_end(own, &raw mut graph))?;
        call!(self, graph_instantiate(&raw mut exec, graph, 0))?;
        for _ in 0..self.random.usize(1..4) {
            call!(self, graph_launch(exec, own))?;
            let model = self.model(range);
            if let Some(word) = word {
                model.fill(word);
            }
            for compute in &computes {
                compute(model);
            }
        }
        // Both may go while the launches run.
        call!(self, exec_destroy(exec))?;
        call!(self, graph_destroy(graph))
    }

    fn host_function(&mut self) -> Result<()> {
        let stream = self.stream();
        let counter = (&raw const *self.counter).cast_mut().cast::<c_void>();
        call!(self, host_function(self.streams[stream], count, counter))?;
        self.due += 1;
        Ok(())
    }

    fn queries(&mut self) -> Result<()> {
        let stream = self.stream();
        let event = self.events[self.random.usize(0..self.events.len())];
        // SAFETY: no pointer.
        let codes = unsafe {
            [
                (self.api.stream_query)(self.streams[stream]),
                (self.api.event_query)(event),
            ]
        };
        ensure!(
            codes.iter().all(|c| [SUCCESS, NOT_READY].contains(c)),
            "queries returned {codes:?}"
        );
        if self.random.bool() {
            call!(self, event_synchronize(event))?;
            call!(self, event_query(event))?;
        }
        Ok(())
    }

    fn synchronize(&mut self) -> Result<()> {
        // Waiting for a whole context is forbidden while any thread captures in it.
        if !self.shared_context && self.random.bool() {
            call!(self, context_synchronize())?;
        } else {
            for place in 0..STREAMS {
                call!(self, stream_synchronize(self.streams[place]))?;
            }
        }
        let called = self.counter.load(Ordering::Relaxed);
        ensure!(
            called == self.due,
            "{called} of {} host functions were called",
            self.due
        );
        Ok(())
    }

    fn renew_stream(&mut self) -> Result<()> {
        let place = self.random.usize(1..STREAMS);
        let old = self.streams[place];
        // Nobody can wait for it afterwards: the default stream does, once, before.
        self.after(place, DEFAULT)?;
        for last in self.buffers.iter_mut().map(|b| &mut b.last) {
            *last = if *last == place { DEFAULT } else { *last };
        }
        for last in self.pinned.iter_mut().map(|p| &mut p.last) {
            *last = if *last == place { DEFAULT } else { *last };
        }
        // What was issued goes on.
        call!(self, stream_destroy(old))?;
        call!(
            self,
            stream_create(&raw mut self.streams[place], Self::flags(place))
        )
    }

    fn renew_module(&mut self) -> Result<()> {
        for place in 0..STREAMS {
            call!(self, stream_synchronize(self.streams[place]))?;
        }
        call!(self, module_unload(self.module))?;
        self.load()
    }

    /// Calls that must fail, with the code that they must fail with, and change nothing.
    fn mistakes(&mut self) -> Result<()> {
        let range = self.range();
        let buffer = &self.buffers[range.buffer];
        let (address, bytes, last) = (buffer.address, 4 * buffer.words.len(), buffer.last);
        let mut word = 0u64;
        match self.random.u32(0..7) {
            0 => fails!(self, INVALID_VALUE, free(address + 4)),
            1 => fails!(self, INVALID_VALUE, alloc(&raw mut word, 0)),
            2 => fails!(self, OUT_OF_MEMORY, alloc(&raw mut word, 1 << 46)),
            3 => fails!(
                self,
                NOT_FOUND,
                module_function((&raw mut word).cast(), self.module, c"nothing".as_ptr())
            ),
            4 => fails!(
                self,
                INVALID_VALUE,
                launch(
                    self.functions[MIX],
                    1,
                    1,
                    1,
                    2048,
                    1,
                    1,
                    0,
                    null_mut(),
                    null_mut(),
                    null_mut()
                )
            ),
            5 => fails!(
                self,
                INVALID_HANDLE,
                launch(
                    null_mut(),
                    1,
                    1,
                    1,
                    32,
                    1,
                    1,
                    0,
                    null_mut(),
                    null_mut(),
                    null_mut()
                )
            ),
            _ => {
                let far = address + bytes as u64 + (1 << 40);
                let stream = self.streams[last];
                fails!(self, INVALID_VALUE, fill_words(far, 1, 1, stream))
            }
        }
    }

    /// Compares everything, gives everything back.
    pub(super) fn finish(mut self) -> Result<()> {
        for place in 0..self.pinned.len() {
            self.compare_one_pinned(place)?;
        }
        for buffer in 0..self.buffers.len() {
            let count = self.buffers[buffer].words.len();
            self.compare_range(Range {
                buffer,
                from: 0,
                count,
            })?;
        }
        while !self.buffers.is_empty() {
            self.free_one(0, DEFAULT)?;
        }
        for place in 0..STREAMS {
            call!(self, stream_synchronize(self.streams[place]))?;
        }
        let called = self.counter.load(Ordering::Relaxed);
        if called != self.due {
            bail!("{called} of {} host functions were called", self.due);
        }
        for pinned in std::mem::take(&mut self.pinned) {
            call!(self, host_free(pinned.at.cast()))?;
        }
        for event in self.events {
            call!(self, event_destroy(event))?;
        }
        for place in 1..STREAMS {
            call!(self, stream_destroy(self.streams[place]))?;
        }
        call!(self, module_unload(self.module))?;
        if self.shared_context {
            call!(self, primary_release(0))
        } else {
            call!(self, context_destroy(self.context))
        }
    }
}

/// Where two sequences differ.
fn differ(what: &str, found: &[u32], expected: &[u32]) -> Result<()> {
    let Some(at) = found.iter().zip(expected).position(|(f, e)| f != e) else {
        return Ok(());
    };
    let wrong = found.iter().zip(expected).filter(|(f, e)| f != e).count();
    bail!(
        "{what}: word {at} of {} is {:#x}, the model says {:#x}; {wrong} words differ",
        found.len(),
        found[at],
        expected[at]
    )
}
