//! Address spaces: what is mapped where.

use crate::extents::{Extent, Extents};
use crate::tables::Tables;
use crate::{ADDRESS_BITS, DIRTY_BYTES, Flags, LARGE_PAGE_BYTES, PAGE_BYTES};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use thiserror::Error;

/// A contiguous run of device addresses in contiguous host memory, all with the same flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First device address; a multiple of 4 KiB.
    pub base: u64,
    /// Bytes; at least 4 KiB.
    pub bytes: u64,
    /// Host memory of `base`.
    pub host: *mut u8,
    /// What is true of all of it.
    pub flags: Flags,
}

impl Span {
    /// Bytes from `address`, which must lie inside, to the end.
    #[inline]
    #[must_use]
    pub fn bytes_from(&self, address: u64) -> u64 {
        self.bytes - (address - self.base)
    }

    /// Host memory of `address`, which must lie inside.
    #[inline]
    #[must_use]
    pub fn pointer(&self, address: u64) -> *mut u8 {
        #[allow(
            clippy::cast_possible_truncation,
            reason = "usize has 64 bits on every supported target"
        )]
        let offset = (address - self.base) as usize;
        self.host.wrapping_add(offset)
    }
}

/// Why pages could not be mapped or changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum MapError {
    /// Ends are not multiples of 4 KiB, the range is empty, or it passes the end of the address space.
    #[error("Range {base:#x} + {bytes:#x} is empty, not made of 4 KiB pages, or beyond 47 bits")]
    BadRange {
        /// First address.
        base: u64,
        /// Bytes.
        bytes: u64,
    },
    /// Something is mapped in the range already.
    #[error("Address {address:#x} is mapped already")]
    Occupied {
        /// The first such address.
        address: u64,
    },
    /// A part of the range is not mapped.
    #[error("Address {address:#x} is not mapped")]
    NotMapped {
        /// The first such address.
        address: u64,
    },
    /// More than a thousand million extents.
    #[error("Page tables are full")]
    Full,
}

/// What only the writer needs.
#[derive(Default)]
struct Writer {
    /// Base address to number and extent; the truth that the tables index.
    extents: BTreeMap<u64, (u32, Extent)>,
    /// Numbers that are not used now.
    free: Vec<u32>,
    /// Numbers used so far.
    used: u32,
}

// SAFETY: the host pointers inside are only handed out; the contract of `map` makes them good from any thread.
unsafe impl Send for Writer {}

/// The page tables of one context. See the crate's documentation.
pub struct AddressSpace {
    tables: Tables,
    extents: Extents,
    generation: AtomicU64,
    tracking: AtomicBool,
    writer: Mutex<Writer>,
}

impl Default for AddressSpace {
    fn default() -> Self {
        Self::new()
    }
}

impl AddressSpace {
    /// An empty space.
    #[must_use]
    pub fn new() -> Self {
        Self {
            tables: Tables::new(),
            extents: Extents::new(),
            generation: AtomicU64::new(1),
            tracking: AtomicBool::new(false),
            writer: Mutex::default(),
        }
    }

    /// A number that changes with each unmapping, change of flags and walk over dirty bits. Never 0, so that 0 can mark an empty
    /// cache entry. Read it *before* the lookup whose span is kept.
    #[inline]
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The extent that holds `address`, as it is now. For loads; a store uses [`Self::lookup_for_write`].
    #[inline]
    #[must_use]
    pub fn lookup(&self, address: u64) -> Option<Span> {
        loop {
            let number = self.tables.get(address);
            if number == 0 {
                return None;
            }
            if let Some(extent) = self.extents.read(number)
                && address.wrapping_sub(extent.base) < extent.bytes
            {
                return Some(Span {
                    base: extent.base,
                    bytes: extent.bytes,
                    host: extent.host,
                    flags: extent.flags,
                });
            }
            // The slot was given to another extent after the table was read; the table says so by now, or does in a moment.
            std::hint::spin_loop();
        }
    }

    /// The span to store to at `address`. Where dirty tracking is on, it is cut to the 64 KiB of one dirty bit, which is set, so
    /// that a store to another granule asks again. The caller looks at [`Flags::READ_ONLY`] itself.
    #[inline]
    #[must_use]
    pub fn lookup_for_write(&self, address: u64) -> Option<Span> {
        let span = self.lookup(address)?;
        if !self.tracking.load(Ordering::Acquire) {
            return Some(span);
        }
        self.tables.mark_dirty(address);
        let granule = address - address % DIRTY_BYTES;
        let base = granule.max(span.base);
        let end = (granule + DIRTY_BYTES).min(span.base + span.bytes);
        Some(Span {
            base,
            bytes: end - base,
            host: span.pointer(base),
            flags: span.flags,
        })
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        // Nothing inside can panic half way; a poisoned lock is as good as a clean one.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Maps `bytes` bytes of host memory from `host` at `base`.
    ///
    /// # Safety
    /// The host memory must stay readable (and writable, unless `READ_ONLY`) until it is unmapped *and* every thread that looks
    /// addresses up has passed a safe point after that.
    pub unsafe fn map(&self, base: u64, host: *mut u8, bytes: u64, flags: Flags) -> Result<(), MapError> {
        let end = check_range(base, bytes)?;
        let mut writer = self.writer();
        if let Some(address) = writer.first_mapped(base, end) {
            return Err(MapError::Occupied { address });
        }
        let extent = Extent {
            base,
            bytes,
            host,
            flags,
        };
        let number = writer.number()?;
        self.publish(&mut writer, number, extent);
        Ok(())
    }

    /// Takes away `[base, base + bytes)`, all of which must be mapped.
    pub fn unmap(&self, base: u64, bytes: u64) -> Result<(), MapError> {
        let end = check_range(base, bytes)?;
        let mut writer = self.writer();
        writer.check_mapped(base, end)?;
        self.split(&mut writer, base)?;
        self.split(&mut writer, end)?;
        for key in writer.bases(base, end) {
            if let Some((number, extent)) = writer.extents.remove(&key) {
                self.tables.set(extent.base, extent.base + extent.bytes, 0);
                writer.free.push(number);
            }
        }
        self.generation.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    /// Sets and clears flags of `[base, base + bytes)`, all of which must be mapped.
    pub fn protect(&self, base: u64, bytes: u64, set: Flags, clear: Flags) -> Result<(), MapError> {
        let end = check_range(base, bytes)?;
        let mut writer = self.writer();
        writer.check_mapped(base, end)?;
        self.split(&mut writer, base)?;
        self.split(&mut writer, end)?;
        for key in writer.bases(base, end) {
            if let Some((number, extent)) = writer.extents.get_mut(&key) {
                extent.flags = extent.flags.difference(clear).union(set);
                self.extents.write(*number, extent);
            }
        }
        self.generation.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    /// What is mapped, in order of addresses.
    #[must_use]
    pub fn spans(&self) -> Vec<Span> {
        let writer = self.writer();
        let span = |extent: &Extent| Span {
            base: extent.base,
            bytes: extent.bytes,
            host: extent.host,
            flags: extent.flags,
        };
        writer.extents.values().map(|(_, extent)| span(extent)).collect()
    }

    /// Switches dirty tracking. Switching it on starts with nothing dirty.
    pub fn track_dirty(&self, on: bool) {
        let writer = self.writer();
        self.tracking.store(on, Ordering::Release);
        for (_, extent) in writer.extents.values() {
            let mut at = extent.base - extent.base % LARGE_PAGE_BYTES;
            while at < extent.base + extent.bytes {
                self.tables.take_dirty(at);
                at += LARGE_PAGE_BYTES;
            }
        }
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// Takes the dirty bits: mapped ranges that were written since tracking began or since the last call, in multiples of 64 KiB
    /// cut to what is mapped.
    ///
    /// Executors may go on writing to the ranges returned through spans that they still hold. Copy them after every executor has
    /// passed a safe point; a write after that is marked for the next call.
    #[must_use]
    pub fn take_dirty(&self) -> Vec<Range<u64>> {
        let writer = self.writer();
        let mut ranges: Vec<Range<u64>> = Vec::new();
        let mut block = None;
        let mut bits = 0;
        for (_, extent) in writer.extents.values() {
            let end = extent.base + extent.bytes;
            let mut at = extent.base;
            while at < end {
                let here = at - at % LARGE_PAGE_BYTES;
                if block != Some(here) {
                    (block, bits) = (Some(here), self.tables.take_dirty(at));
                }
                let stop = (at - at % DIRTY_BYTES + DIRTY_BYTES).min(end);
                if bits == 0 {
                    at = (here + LARGE_PAGE_BYTES).min(end);
                    continue;
                }
                if bits >> ((at - here) / DIRTY_BYTES) & 1 != 0 {
                    match ranges.last_mut() {
                        Some(last) if last.end == at => last.end = stop,
                        _ => ranges.push(at..stop),
                    }
                }
                at = stop;
            }
        }
        self.generation.fetch_add(1, Ordering::AcqRel);
        ranges
    }

    /// Writes `extent` to slot `number` and points its pages there.
    fn publish(&self, writer: &mut Writer, number: u32, extent: Extent) {
        self.extents.write(number, &extent);
        self.tables.set(extent.base, extent.base + extent.bytes, number);
        writer.extents.insert(extent.base, (number, extent));
    }

    /// Makes `at` the border of two extents where it lies inside one.
    fn split(&self, writer: &mut Writer, at: u64) -> Result<(), MapError> {
        let Some((&key, &(number, whole))) = writer.extents.range(..at).next_back() else {
            return Ok(());
        };
        if whole.base + whole.bytes <= at {
            return Ok(());
        }
        let low = Extent {
            bytes: at - whole.base,
            ..whole
        };
        #[allow(
            clippy::cast_possible_truncation,
            reason = "usize has 64 bits on every supported target"
        )]
        let high = Extent {
            base: at,
            bytes: whole.bytes - low.bytes,
            host: whole.host.wrapping_add(low.bytes as usize),
            flags: whole.flags,
        };
        // The upper half gets its own slot first; while a reader can meet either table entry, the slot it names covers its address.
        let fresh = writer.number()?;
        self.publish(writer, fresh, high);
        self.extents.write(number, &low);
        writer.extents.insert(key, (number, low));
        Ok(())
    }
}

impl Writer {
    /// A slot number that nobody uses.
    fn number(&mut self) -> Result<u32, MapError> {
        if let Some(number) = self.free.pop() {
            return Ok(number);
        }
        if self.used >= Extents::limit() {
            return Err(MapError::Full);
        }
        self.used += 1;
        Ok(self.used)
    }

    /// First mapped address in `[base, end)`.
    fn first_mapped(&self, base: u64, end: u64) -> Option<u64> {
        if let Some((_, (_, extent))) = self.extents.range(..=base).next_back()
            && extent.base + extent.bytes > base
        {
            return Some(base);
        }
        self.extents.range(base..end).next().map(|(&key, _)| key)
    }

    /// An error that names the first hole in `[base, end)`.
    fn check_mapped(&self, base: u64, end: u64) -> Result<(), MapError> {
        let mut at = base;
        while at < end {
            match self.extents.range(..=at).next_back() {
                Some((_, (_, extent))) if extent.base + extent.bytes > at => at = extent.base + extent.bytes,
                _ => return Err(MapError::NotMapped { address: at }),
            }
        }
        Ok(())
    }

    /// Base addresses of the extents that begin in `[base, end)`.
    fn bases(&self, base: u64, end: u64) -> Vec<u64> {
        self.extents.range(base..end).map(|(&key, _)| key).collect()
    }
}

/// The end of a range of whole pages.
fn check_range(base: u64, bytes: u64) -> Result<u64, MapError> {
    let bad = MapError::BadRange { base, bytes };
    let end = base.checked_add(bytes).ok_or(bad)?;
    if bytes == 0
        || !base.is_multiple_of(PAGE_BYTES)
        || !bytes.is_multiple_of(PAGE_BYTES)
        || end > 1 << ADDRESS_BITS
    {
        return Err(bad);
    }
    Ok(end)
}
