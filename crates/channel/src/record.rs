//! Completion records: how a worker publishes progress without being asked.
//!
//! ```text
//!  0       8       16          24      28      32        36     40        48        56
//!  ┌───────┬───────┬───────────┬───────┬───────┬─────────┬──────┬─────────┬─────────┬────────┐
//!  │ value │ time  │ error_seq │ error │ fault │ version │ bell │ waiters │ retired │ wanted │   one cache line
//!  └───────┴───────┴───────────┴───────┴───────┴─────────┴──────┴─────────┴─────────┴────────┘
//!    worker ──────────────────────────────────────────────────▶    guest      worker     both
//! ```
//!
//! **Who is woken.** A waiter lowers `wanted` to the value it waits for before it sleeps; the worker wakes only when `value` reaches
//! `wanted`, so a guest that waits for the last of a thousand operations is woken once. Whoever wakes raises `wanted` to the top first
//! and rings the bell after: a waiter that came in between finds the bell rung and lowers `wanted` again.
//!
//! `value` only rises while one object owns the record. The fields up to `fault` are read together under `version` (odd while
//! they change). The guest chooses which record an object uses and a `token` that rises with every use; the worker stores the
//! token in `retired` when it is through with the object. Only then is the record used again:
//!
//! ```text
//!   guest: allocate (index, token) ─▶ create posted ─▶ ... ─▶ destroy posted ─▶ release ─┐
//!     ▲                                  worker: RecordWriter ──── publishes ──▶ dropped │ retired = token
//!     └────────────────────────────── retired ≥ token ◀──────────────────────────────────┘
//! ```

use crate::spin::Spin;
use crate::{Carrier, ChannelError, Layout, Shared};
use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Bytes of a record.
pub(crate) const RECORD_BYTES: usize = 64;
/// How often a sleeping waiter looks whether the worker is alive.
pub(crate) const LIVENESS: Duration = Duration::from_millis(250);
/// Where a record's sticky code is.
const AT_FAULT: usize = 28;
/// The record that belongs to the session itself.
const SESSION: u32 = 0;

/// The atomics of one record.
pub(crate) struct Words<'a> {
    pub(crate) value: &'a AtomicU64,
    time: &'a AtomicU64,
    error_seq: &'a AtomicU64,
    error: &'a AtomicU32,
    fault: &'a AtomicU32,
    version: &'a AtomicU32,
    pub(crate) bell: &'a AtomicU32,
    pub(crate) waiters: &'a AtomicU32,
    retired: &'a AtomicU64,
    wanted: &'a AtomicU64,
}

impl<'a> Words<'a> {
    pub(crate) fn at(aperture: &'a Shared, offset: usize) -> Result<Self, ChannelError> {
        Ok(Self {
            value: aperture.u64_at(offset)?,
            time: aperture.u64_at(offset + 8)?,
            error_seq: aperture.u64_at(offset + 16)?,
            error: aperture.u32_at(offset + 24)?,
            fault: aperture.u32_at(offset + AT_FAULT)?,
            version: aperture.u32_at(offset + 32)?,
            bell: aperture.u32_at(offset + 36)?,
            waiters: aperture.u32_at(offset + 40)?,
            retired: aperture.u64_at(offset + 48)?,
            wanted: aperture.u64_at(offset + 56)?,
        })
    }

    /// All fields at one moment.
    fn snapshot(&self) -> Progress {
        // A worker that dies in the middle of a publication leaves the version odd: give up after a while and take what is there.
        for _ in 0..1000 {
            let before = self.version.load(Ordering::Acquire);
            let progress = self.read();
            fence(Ordering::Acquire);
            if before.is_multiple_of(2) && self.version.load(Ordering::Relaxed) == before {
                return progress;
            }
            std::hint::spin_loop();
        }
        self.read()
    }

    fn read(&self) -> Progress {
        Progress {
            value: self.value.load(Ordering::Acquire),
            time: self.time.load(Ordering::Relaxed),
            error_seq: self.error_seq.load(Ordering::Relaxed),
            error: self.error.load(Ordering::Relaxed),
            fault: self.fault.load(Ordering::Relaxed),
        }
    }

    fn write(&self, progress: &Progress) {
        self.version.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::Release);
        self.time.store(progress.time, Ordering::Relaxed);
        self.error_seq.store(progress.error_seq, Ordering::Relaxed);
        self.error.store(progress.error, Ordering::Relaxed);
        self.fault.store(progress.fault, Ordering::Relaxed);
        // Release: whoever sees the value sees the data that the operation wrote to shared memory.
        self.value.store(progress.value, Ordering::Release);
        self.version.fetch_add(1, Ordering::Release);
    }

    /// Wakes whoever sleeps on this record for what was just stored: `reached` is the value, `None` something that all want to know.
    /// Wakes nobody, without a system call, when nobody sleeps for that.
    pub(crate) fn ring(&self, carrier: &dyn Carrier, reached: Option<u64>) {
        fence(Ordering::SeqCst);
        if self.waiters.load(Ordering::Relaxed) == 0 {
            return;
        }
        if reached.is_none_or(|value| value >= self.wanted.load(Ordering::Relaxed)) {
            self.wanted.store(u64::MAX, Ordering::Relaxed);
            self.bell.fetch_add(1, Ordering::Release);
            carrier.waker().wake(self.bell, i32::MAX);
        }
    }

    /// Spins, then sleeps, until `done`, which a value of `target` or something else than a value makes true; `Err` when the worker is
    /// gone.
    pub(crate) fn wait_until(
        &self,
        carrier: &dyn Carrier,
        spin: &Spin,
        target: u64,
        mut done: impl FnMut() -> bool,
    ) -> Result<(), ChannelError> {
        if done() || spin.until(&mut done) {
            return Ok(());
        }
        let start = Instant::now();
        self.waiters.fetch_add(1, Ordering::Relaxed);
        let mut sleeps = 0u32;
        let result = loop {
            let bell = self.bell.load(Ordering::Acquire);
            self.wanted.fetch_min(target, Ordering::Relaxed);
            fence(Ordering::SeqCst);
            if done() {
                break Ok(());
            }
            if sleeps > 0 && !carrier.is_open() {
                // What the worker published before it died still counts.
                break if done() {
                    Ok(())
                } else {
                    Err(ChannelError::Disconnected)
                };
            }
            carrier.waker().sleep(self.bell, bell, Some(LIVENESS));
            sleeps = sleeps.saturating_add(1);
        };
        self.waiters.fetch_sub(1, Ordering::Relaxed);
        spin.slept(start.elapsed());
        result
    }
}

/// What a record says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Stream: last completed sequence number. Event: generation last reached. Context: bytes printed by kernels. Host functions of a
    /// stream: how many it has come to.
    pub value: u64,
    /// Event: when, nanoseconds of the host's `CLOCK_MONOTONIC`. Host functions: sequence number of the newest.
    pub time: u64,
    /// Sequence number of the operation that was refused last.
    pub error_seq: u64,
    /// Its CUDA code; not sticky. 0: none was.
    pub error: u32,
    /// Sticky CUDA code: nothing of this object completes any more. 0: none.
    pub fault: u32,
}

/// A record in use: its index and the token of this use. Both go into the message that creates the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Completion {
    /// Which record.
    pub index: u32,
    /// Which use of it.
    pub token: u64,
}

#[derive(Debug)]
struct Free {
    /// Records from here on were never used.
    fresh: u32,
    /// Released by the guest, perhaps still written by the worker.
    retiring: VecDeque<Completion>,
    token: u64,
}

/// The guest's side of all records.
pub struct Records {
    aperture: Arc<Shared>,
    offset: usize,
    count: u32,
    carrier: Arc<dyn Carrier>,
    free: Mutex<Free>,
    spin: Spin,
}

impl Records {
    pub(crate) fn new(
        aperture: Arc<Shared>,
        layout: &Layout,
        carrier: Arc<dyn Carrier>,
    ) -> Result<Self, ChannelError> {
        let offset =
            usize::try_from(layout.records_offset).map_err(|_| ChannelError::TooLarge("aperture"))?;
        let count = u32::try_from(layout.records).map_err(|_| ChannelError::TooLarge("records"))?;
        let words = usize::try_from(layout.records)
            .ok()
            .and_then(|records| records.checked_mul(RECORD_BYTES / 8))
            .ok_or(ChannelError::TooLarge("records"))?;
        aperture.words(offset, words)?;
        Ok(Self {
            aperture,
            offset,
            count,
            carrier,
            free: Mutex::new(Free {
                fresh: SESSION + 1,
                retiring: VecDeque::new(),
                token: 0,
            }),
            spin: Spin::for_executors(),
        })
    }

    fn words(&self, index: u32) -> Result<Words<'_>, ChannelError> {
        if index >= self.count {
            return Err(ChannelError::Corrupt("index of a completion record"));
        }
        Words::at(&self.aperture, record_offset(self.offset, index)?)
    }

    /// A record for a new object.
    ///
    /// # Errors
    /// All are in use.
    pub fn allocate(&self) -> Result<Completion, ChannelError> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.token += 1;
        let token = free.token;
        // The oldest few are looked at: one object that lives long must not block those behind it.
        let looked_at = free.retiring.len().min(16);
        for _ in 0..looked_at {
            let Some(old) = free.retiring.pop_front() else {
                break;
            };
            if self.words(old.index)?.retired.load(Ordering::Acquire) >= old.token {
                return Ok(Completion {
                    index: old.index,
                    token,
                });
            }
            free.retiring.push_back(old);
        }
        if free.fresh >= self.count {
            return Err(ChannelError::Exhausted("completion records"));
        }
        let index = free.fresh;
        free.fresh += 1;
        Ok(Completion { index, token })
    }

    /// Gives a record up; the destruction of its object has been posted.
    pub fn release(&self, completion: Completion) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.retiring.push_back(completion);
    }

    /// The value alone: one load. 0 for an index that does not exist.
    #[must_use]
    #[inline]
    pub fn value(&self, completion: Completion) -> u64 {
        let word = record_offset(self.offset, completion.index).and_then(|at| self.aperture.u64_at(at));
        match word {
            Ok(value) if completion.index < self.count => value.load(Ordering::Acquire),
            _ => 0,
        }
    }

    /// Everything the record says.
    #[must_use]
    pub fn progress(&self, completion: Completion) -> Progress {
        self.words(completion.index)
            .map_or_else(|_| Progress::default(), |words| words.snapshot())
    }

    /// The sticky code alone: one load.
    #[must_use]
    #[inline]
    pub fn fault(&self, completion: Completion) -> u32 {
        let word =
            record_offset(self.offset, completion.index).and_then(|at| self.aperture.u32_at(at + AT_FAULT));
        match word {
            Ok(fault) if completion.index < self.count => fault.load(Ordering::Acquire),
            _ => 0,
        }
    }

    /// Whether the worker is through with the object.
    #[must_use]
    pub fn is_retired(&self, completion: Completion) -> bool {
        self.words(completion.index)
            .is_ok_and(|words| words.retired.load(Ordering::Acquire) >= completion.token)
    }

    /// The code with which the worker ended the session; 0: it did not.
    #[must_use]
    pub fn session_fault(&self) -> u32 {
        self.words(SESSION)
            .map_or(0, |words| words.fault.load(Ordering::Acquire))
    }

    /// Waits until `value` reaches `target`, or the object has a sticky fault, or the worker is through with it.
    ///
    /// # Errors
    /// [`ChannelError::Disconnected`] within a second of the worker's death, [`ChannelError::Ended`] when it ended the session.
    pub fn wait(&self, completion: Completion, target: u64) -> Result<Progress, ChannelError> {
        let words = self.words(completion.index)?;
        let session = self.words(SESSION)?;
        words.wait_until(self.carrier.as_ref(), &self.spin, target, || {
            words.value.load(Ordering::Acquire) >= target
                || words.fault.load(Ordering::Acquire) != 0
                || words.retired.load(Ordering::Acquire) >= completion.token
                || session.fault.load(Ordering::Acquire) != 0
        })?;
        let progress = words.snapshot();
        let ended = session.fault.load(Ordering::Acquire);
        if ended != 0 && progress.value < target && progress.fault == 0 {
            return Err(ChannelError::Ended(ended));
        }
        Ok(progress)
    }
}

impl std::fmt::Debug for Records {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Records({})", self.count)
    }
}

#[inline]
fn record_offset(area: usize, index: u32) -> Result<usize, ChannelError> {
    usize::try_from(index)
        .ok()
        .and_then(|index| index.checked_mul(RECORD_BYTES))
        .and_then(|inside| inside.checked_add(area))
        .ok_or(ChannelError::Corrupt("index of a completion record"))
}

/// The worker's side of one record: what it publishes is kept in private memory and only copied to the aperture.
/// Dropping it retires the record.
pub struct RecordWriter {
    aperture: Arc<Shared>,
    carrier: Arc<dyn Carrier>,
    offset: usize,
    token: u64,
    index: u32,
    used: Arc<Used>,
    state: Mutex<Progress>,
}

/// Indices of the records that a session's objects use now; the guest chooses them, so they are checked.
#[derive(Debug, Default)]
pub(crate) struct Used(Mutex<HashSet<u32>>);

impl RecordWriter {
    pub(crate) fn new(
        aperture: Arc<Shared>,
        layout: &Layout,
        carrier: Arc<dyn Carrier>,
        used: Arc<Used>,
        index: u32,
        token: u64,
    ) -> Result<Self, ChannelError> {
        if u64::from(index) >= layout.records {
            return Err(ChannelError::Corrupt("index of a completion record"));
        }
        if !used
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(index)
        {
            return Err(ChannelError::Corrupt("completion record is in use"));
        }
        let area = usize::try_from(layout.records_offset).map_err(|_| ChannelError::TooLarge("aperture"))?;
        let offset = record_offset(area, index)?;
        Words::at(&aperture, offset)?.write(&Progress::default());
        Ok(Self {
            aperture,
            carrier,
            offset,
            token,
            index,
            used,
            state: Mutex::new(Progress::default()),
        })
    }

    fn change(&self, change: impl FnOnce(&mut Progress)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let fault = state.fault;
        change(&mut state);
        if let Ok(words) = Words::at(&self.aperture, self.offset) {
            words.write(&state);
            let reached = (state.fault == fault).then_some(state.value);
            words.ring(self.carrier.as_ref(), reached);
        }
    }

    /// Publishes a value; a smaller one than before is ignored.
    pub fn complete(&self, value: u64) {
        self.change(|state| state.value = state.value.max(value));
    }

    /// Publishes a value with its time; a smaller value than before is ignored together with its time.
    pub fn complete_at(&self, value: u64, time: u64) {
        self.change(|state| {
            if value >= state.value {
                state.value = value;
                state.time = time;
            }
        });
    }

    /// Publishes that operation `seq` was refused with `code`.
    pub fn refuse(&self, seq: u64, code: u32) {
        self.change(|state| {
            state.error_seq = seq;
            state.error = code;
        });
    }

    /// Publishes a sticky fault; the first one stays.
    pub fn fault(&self, code: u32) {
        self.change(|state| {
            if state.fault == 0 {
                state.fault = code;
            }
        });
    }

    /// What was published last, from private memory.
    #[must_use]
    pub fn published(&self) -> Progress {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for RecordWriter {
    fn drop(&mut self) {
        // The session's own record is never used again: what it says last, it says for good.
        if self.index == SESSION {
            return;
        }
        // Free for use before the guest is told so.
        self.used
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.index);
        if let Ok(words) = Words::at(&self.aperture, self.offset) {
            // The next user of the record may look at it before the worker has heard of that use: it must find nothing old.
            words.write(&Progress::default());
            words.retired.store(self.token, Ordering::Release);
            words.ring(self.carrier.as_ref(), None);
        }
    }
}

impl std::fmt::Debug for RecordWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RecordWriter({:#x}, {:?})", self.offset, self.published())
    }
}
