//! Reply slots: where the answers to calls go.
//!
//! A slot is a completion record (its value is the number of the call answered last) followed by the reply frame. A calling
//! thread takes a slot, names it in the low 16 bits of the call number, waits for the record, copies the frame out.
//!
//! ```text
//!  0        64                                   slot_bytes
//!  ┌────────┬────────────────────────────────────┐
//!  │ record │ reply frame                        │
//!  └────────┴────────────────────────────────────┘
//! ```

use crate::memory::{load_bytes, store_bytes};
use crate::record::{RECORD_BYTES, Words};
use crate::spin::Spin;
use crate::{Carrier, ChannelError, Layout, Shared};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use tessera_wire::HEADER_BYTES;

/// Bits of a call number that name the slot, plus one.
const SLOT_BITS: u32 = 16;

/// Where the slots of an aperture are.
#[derive(Clone, Debug)]
pub(crate) struct Slots {
    aperture: Arc<Shared>,
    offset: usize,
    bytes: usize,
    count: u16,
}

impl Slots {
    pub(crate) fn new(aperture: Arc<Shared>, layout: &Layout) -> Result<Self, ChannelError> {
        let large = |_| ChannelError::TooLarge("reply slots");
        Ok(Self {
            aperture,
            offset: usize::try_from(layout.slots_offset).map_err(large)?,
            bytes: usize::try_from(layout.slot_bytes).map_err(large)?,
            count: u16::try_from(layout.slots).map_err(large)?,
        })
    }

    fn place(&self, call: u64) -> Result<usize, ChannelError> {
        let number = call & ((1 << SLOT_BITS) - 1);
        let index = number
            .checked_sub(1)
            .filter(|&index| index < u64::from(self.count))
            .and_then(|index| usize::try_from(index).ok())
            .ok_or(ChannelError::Corrupt("reply slot of a call"))?;
        Ok(self.offset + index * self.bytes)
    }

    /// Most bytes of a reply frame.
    pub(crate) fn capacity(&self) -> usize {
        self.bytes - RECORD_BYTES
    }

    /// Worker: checks that a call names a slot.
    pub(crate) fn check(&self, call: u64) -> Result<(), ChannelError> {
        self.place(call).map(|_| ())
    }

    /// Worker: answers a call.
    pub(crate) fn answer(&self, carrier: &dyn Carrier, call: u64, frame: &[u8]) -> Result<(), ChannelError> {
        if frame.len() > self.capacity() {
            return Err(ChannelError::TooLarge("reply"));
        }
        let place = self.place(call)?;
        store_bytes(
            self.aperture
                .words(place + RECORD_BYTES, frame.len().div_ceil(8))?,
            frame,
        );
        let words = Words::at(&self.aperture, place)?;
        words.value.store(call, Ordering::Release);
        words.ring(carrier, None);
        Ok(())
    }

    /// Guest: waits for the answer to `call` and copies it out.
    fn wait(
        &self,
        carrier: &dyn Carrier,
        spin: &Spin,
        call: u64,
        ended: impl Fn() -> bool,
    ) -> Result<Option<Vec<u8>>, ChannelError> {
        let place = self.place(call)?;
        let words = Words::at(&self.aperture, place)?;
        let answered = || words.value.load(Ordering::Acquire) == call;
        words.wait_until(carrier, spin, 0, || answered() || ended())?;
        if !answered() {
            return Ok(None);
        }
        let length = self
            .aperture
            .u32_at(place + RECORD_BYTES)?
            .load(Ordering::Relaxed);
        let length = usize::try_from(length)
            .ok()
            .filter(|length| (HEADER_BYTES..=self.capacity()).contains(length))
            .ok_or(ChannelError::Corrupt("length of a reply"))?;
        let mut frame = Vec::with_capacity(length + 8);
        load_bytes(
            self.aperture.words(place + RECORD_BYTES, length.div_ceil(8))?,
            length,
            &mut frame,
        );
        Ok(Some(frame))
    }
}

/// The guest's pool of slots.
#[derive(Debug)]
pub(crate) struct SlotPool {
    slots: Slots,
    free: Mutex<Free>,
    returned: Condvar,
    counter: AtomicU64,
    spin: Spin,
}

/// Slots that nobody holds, and how many threads wait for one: without waiters a return costs no system call.
#[derive(Debug)]
struct Free {
    slots: Vec<u16>,
    waiting: usize,
}

/// A slot taken for one call.
pub(crate) struct Slot<'a> {
    pool: &'a SlotPool,
    index: u16,
    /// Number of the call.
    pub(crate) call: u64,
}

impl SlotPool {
    pub(crate) fn new(slots: Slots) -> Self {
        let free = Free {
            slots: (0..slots.count).rev().collect(),
            waiting: 0,
        };
        Self {
            slots,
            free: Mutex::new(free),
            returned: Condvar::new(),
            counter: AtomicU64::new(1),
            spin: Spin::default(),
        }
    }

    /// Takes a slot; waits while all are taken. The holders notice a dead worker, so this ends.
    pub(crate) fn take(&self) -> Slot<'_> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let index = loop {
            if let Some(index) = free.slots.pop() {
                break index;
            }
            free.waiting += 1;
            free = self.returned.wait(free).unwrap_or_else(PoisonError::into_inner);
            free.waiting -= 1;
        };
        let number = self.counter.fetch_add(1, Ordering::Relaxed);
        Slot {
            pool: self,
            index,
            call: (number << SLOT_BITS) | (u64::from(index) + 1),
        }
    }
}

impl Slot<'_> {
    /// Waits for the answer; `None`: the session has `ended` without one.
    pub(crate) fn wait(
        &self,
        carrier: &dyn Carrier,
        ended: impl Fn() -> bool,
    ) -> Result<Option<Vec<u8>>, ChannelError> {
        self.pool.slots.wait(carrier, &self.pool.spin, self.call, ended)
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let mut free = self.pool.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.slots.push(self.index);
        let awaited = free.waiting > 0;
        drop(free);
        if awaited {
            self.pool.returned.notify_one();
        }
    }
}
