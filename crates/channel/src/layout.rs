//! What lies where in an aperture.
//!
//! ```text
//!  0        64            128           192         4096
//!  ┌────────┬─────────────┬─────────────┬───────────┬───────┬─────────┬─────────────┬──────────────┐
//!  │ magic, │ ring head   │ ring tail,  │ room:     │ ring  │ records │ reply slots │ staging heap │
//!  │ version│ (guest)     │ worker      │ bell,     │       │         │             │              │
//!  │        │             │ sleeps      │ waiters   │       │         │             │              │
//!  └────────┴─────────────┴─────────────┴───────────┴───────┴─────────┴─────────────┴──────────────┘
//! ```
//!
//! Each word that one side writes often has a cache line of its own. Offsets of the areas come with the answer to Hello; the
//! first page never moves.

use crate::record::RECORD_BYTES;
use crate::{ChannelError, Shared};
use std::sync::atomic::Ordering;
use tessera_wire::messages::HelloReply;
use tessera_wire::{MAGIC, VERSION};

pub(crate) const AT_MAGIC: usize = 0;
pub(crate) const AT_VERSION: usize = 8;
pub(crate) const AT_HEAD: usize = 64;
pub(crate) const AT_TAIL: usize = 128;
pub(crate) const AT_SLEEPS: usize = 136;
pub(crate) const AT_ROOM_BELL: usize = 192;
pub(crate) const AT_ROOM_WAITERS: usize = 196;
const FIRST_AREA: u64 = 4096;

/// Sizes that a worker chooses.
#[derive(Clone, Copy, Debug)]
pub struct LayoutOptions {
    /// Ring, a power of two, at least four times `max_message_bytes`.
    pub ring_bytes: u64,
    /// Completion records.
    pub records: u64,
    /// Reply slots: calls that can be under way at once.
    pub slots: u32,
    /// Bytes of a slot, head included; a multiple of 4096.
    pub slot_bytes: u32,
    /// Staging heap.
    pub staging_bytes: u64,
    /// Longest message.
    pub max_message_bytes: u32,
}

impl Default for LayoutOptions {
    fn default() -> Self {
        Self {
            ring_bytes: 1 << 20,
            records: 65_536,
            slots: 64,
            slot_bytes: 128 << 10,
            staging_bytes: 64 << 20,
            max_message_bytes: 256 << 10,
        }
    }
}

/// Where the areas of an aperture are; checked to lie inside it one after another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Of the ring's bytes.
    pub ring_offset: u64,
    /// A power of two.
    pub ring_bytes: u64,
    /// Of the completion records.
    pub records_offset: u64,
    /// How many.
    pub records: u64,
    /// Of the reply slots.
    pub slots_offset: u64,
    /// How many.
    pub slots: u32,
    /// Bytes of one.
    pub slot_bytes: u32,
    /// Of the staging heap.
    pub staging_offset: u64,
    /// Bytes of it.
    pub staging_bytes: u64,
    /// Longest message.
    pub max_message_bytes: u32,
}

impl Layout {
    /// The layout for these sizes.
    ///
    /// # Errors
    /// The sizes break a rule.
    pub fn new(options: &LayoutOptions) -> Result<Self, ChannelError> {
        const OVERFLOW: ChannelError = ChannelError::TooLarge("aperture");
        let ring_offset = FIRST_AREA;
        let records_offset = ring_offset.checked_add(options.ring_bytes).ok_or(OVERFLOW)?;
        let records_bytes = options.records.checked_mul(RECORD_BYTES as u64).ok_or(OVERFLOW)?;
        let slots_offset = records_offset
            .checked_add(records_bytes)
            .and_then(|end| end.checked_next_multiple_of(4096))
            .ok_or(OVERFLOW)?;
        let slots_bytes = u64::from(options.slots) * u64::from(options.slot_bytes);
        let layout = Self {
            ring_offset,
            ring_bytes: options.ring_bytes,
            records_offset,
            records: options.records,
            slots_offset,
            slots: options.slots,
            slot_bytes: options.slot_bytes,
            staging_offset: slots_offset.checked_add(slots_bytes).ok_or(OVERFLOW)?,
            staging_bytes: options.staging_bytes,
            max_message_bytes: options.max_message_bytes,
        };
        layout.check()?;
        Ok(layout)
    }

    /// The layout that a worker announced.
    ///
    /// # Errors
    /// It breaks a rule.
    pub fn announced(welcome: &HelloReply) -> Result<Self, ChannelError> {
        let layout = Self {
            ring_offset: welcome.ring_offset,
            ring_bytes: welcome.ring_bytes,
            records_offset: welcome.records_offset,
            records: welcome.records,
            slots_offset: welcome.slots_offset,
            slots: welcome.slots,
            slot_bytes: welcome.slot_bytes,
            staging_offset: welcome.staging_offset,
            staging_bytes: welcome.staging_bytes,
            max_message_bytes: welcome.max_message_bytes,
        };
        layout.check()?;
        Ok(layout)
    }

    /// Writes the layout into an answer to Hello.
    pub fn announce(&self, welcome: &mut HelloReply) {
        welcome.ring_offset = self.ring_offset;
        welcome.ring_bytes = self.ring_bytes;
        welcome.records_offset = self.records_offset;
        welcome.records = self.records;
        welcome.slots_offset = self.slots_offset;
        welcome.slots = self.slots;
        welcome.slot_bytes = self.slot_bytes;
        welcome.staging_offset = self.staging_offset;
        welcome.staging_bytes = self.staging_bytes;
        welcome.max_message_bytes = self.max_message_bytes;
    }

    /// Bytes of the aperture.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        // `check` has proved that this does not overflow.
        self.staging_offset.saturating_add(self.staging_bytes)
    }

    fn check(&self) -> Result<(), ChannelError> {
        let rule = |holds: bool, text| {
            if holds {
                Ok(())
            } else {
                Err(ChannelError::Corrupt(text))
            }
        };
        let after = |offset: u64, bytes: u64| {
            offset
                .checked_add(bytes)
                .filter(|&end| end <= isize::MAX as u64)
                .ok_or(ChannelError::Corrupt("area overflows"))
        };
        rule(
            self.ring_bytes.is_power_of_two() && (4096..=1 << 30).contains(&self.ring_bytes),
            "ring size",
        )?;
        rule(
            u64::from(self.max_message_bytes) <= self.ring_bytes / 4 && self.max_message_bytes >= 1024,
            "longest message against ring size",
        )?;
        rule(
            (1..=1 << 24).contains(&self.records),
            "number of completion records",
        )?;
        rule(
            (1..=4096).contains(&self.slots) && self.slot_bytes.is_multiple_of(4096) && self.slot_bytes > 0,
            "reply slots",
        )?;
        rule(
            self.ring_offset >= FIRST_AREA
                && [
                    self.ring_offset,
                    self.records_offset,
                    self.slots_offset,
                    self.staging_offset,
                ]
                .iter()
                .all(|offset| offset.is_multiple_of(4096)),
            "area is not page aligned",
        )?;
        rule(
            after(self.ring_offset, self.ring_bytes)? <= self.records_offset,
            "ring runs into the records",
        )?;
        rule(
            after(self.records_offset, self.records * RECORD_BYTES as u64)? <= self.slots_offset,
            "records run into the slots",
        )?;
        rule(
            after(
                self.slots_offset,
                u64::from(self.slots) * u64::from(self.slot_bytes),
            )? <= self.staging_offset,
            "slots run into the staging heap",
        )?;
        after(self.staging_offset, self.staging_bytes)?;
        Ok(())
    }
}

/// Writes magic and version into a new aperture.
pub(crate) fn initialise(aperture: &Shared) -> Result<(), ChannelError> {
    aperture.u32_at(AT_VERSION)?.store(VERSION, Ordering::Relaxed);
    aperture.u64_at(AT_MAGIC)?.store(MAGIC, Ordering::Release);
    Ok(())
}

/// Checks magic and version of an aperture that was received.
pub(crate) fn verify(aperture: &Shared) -> Result<(), ChannelError> {
    if aperture.u64_at(AT_MAGIC)?.load(Ordering::Acquire) != MAGIC {
        return Err(ChannelError::Corrupt("magic of the aperture"));
    }
    if aperture.u32_at(AT_VERSION)?.load(Ordering::Relaxed) != VERSION {
        return Err(ChannelError::Corrupt("version of the aperture"));
    }
    Ok(())
}
