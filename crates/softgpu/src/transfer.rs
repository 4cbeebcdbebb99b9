//! Copies and fills, cut into chunks that executors share.
//!
//! Two-dimensional extents are walked as one line of `width * height` bytes; where rows follow each other without a gap on both sides
//! they are one row. Each chunk checks every row before it touches it.

use crate::context::ContextCore;
use crate::counters::{Spent, now_ns};
use crate::task::QUANTUM;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use tessera_device::{DeviceError, DevicePtr, Fault, FaultKind, Fill, HostRange, Span2d};
use tessera_engine::check::Checker;
use tessera_mmu::{Access, AccessFault};

/// Bytes that an executor moves before it looks at the clock.
const CHUNK_BYTES: u64 = 1 << 20;
/// A transfer up to this size is not worth another thread's wake-up.
const SMALL_BYTES: u64 = 128 << 10;
/// From this size on a fill with zeros first looks whether the pages were touched at all.
const SPARSE_BYTES: u64 = 64 << 10;
/// Rows of a small transfer.
const SMALL_ROWS: u64 = 64;

/// One side of a copy.
#[derive(Clone, Debug)]
pub(crate) enum Side {
    Device(DevicePtr),
    Host(HostRange),
}

enum Kind {
    Copy {
        destination: Side,
        destination_pitch: u64,
        source: Side,
        source_pitch: u64,
    },
    Fill {
        destination: DevicePtr,
        pitch: u64,
        pattern: u32,
        element_bytes: u8,
    },
}

/// A copy or fill.
pub(crate) struct Transfer {
    kind: Kind,
    /// Bytes of a row.
    width: u64,
    total: u64,
    /// First byte that nobody has taken yet.
    next: AtomicU64,
    /// Bytes done.
    done: AtomicU64,
}

fn invalid(text: String) -> DeviceError {
    DeviceError::InvalidValue(text)
}

/// Bytes from the first to the last byte of `rows` rows.
fn extent(width: u64, rows: u64, pitch: u64) -> Result<u64, DeviceError> {
    let too_large = || invalid(format!("{rows} rows of {width} bytes, {pitch} apart"));
    if rows > 1 && pitch < width {
        return Err(invalid(format!("rows of {width} bytes, {pitch} apart, overlap")));
    }
    (rows - 1)
        .checked_mul(pitch)
        .and_then(|bytes| bytes.checked_add(width))
        .ok_or_else(too_large)
}

fn check_side(side: &Side, width: u64, rows: u64, pitch: u64) -> Result<(), DeviceError> {
    let bytes = extent(width, rows, pitch)?;
    match side {
        Side::Device(base) => match base.checked_add(bytes) {
            Some(_) => Ok(()),
            None => Err(invalid(format!(
                "{bytes} bytes at {base:#x} pass the end of the addresses"
            ))),
        },
        Side::Host(range) if bytes > range.len() as u64 => {
            let have = range.len();
            Err(invalid(format!(
                "{bytes} bytes do not fit the {have} bytes of host memory"
            )))
        }
        Side::Host(_) => Ok(()),
    }
}

impl Transfer {
    fn new(kind: Kind, width: u64, rows: u64, gapless: bool) -> Result<Self, DeviceError> {
        let total = width
            .checked_mul(rows)
            .ok_or_else(|| invalid(format!("{rows} rows of {width} bytes")))?;
        Ok(Self {
            kind,
            width: if gapless { total } else { width },
            total,
            next: AtomicU64::new(0),
            done: AtomicU64::new(0),
        })
    }

    /// A copy, or `None` where there is nothing to copy.
    pub(crate) fn copy(
        (destination, destination_pitch): (Side, u64),
        (source, source_pitch): (Side, u64),
        span: Span2d,
    ) -> Result<Option<Self>, DeviceError> {
        if span.width == 0 || span.height == 0 {
            return Ok(None);
        }
        check_side(&destination, span.width, span.height, destination_pitch)?;
        check_side(&source, span.width, span.height, source_pitch)?;
        let one_row = span.height == 1;
        let gapless = one_row || (destination_pitch == span.width && source_pitch == span.width);
        let kind = Kind::Copy {
            destination,
            destination_pitch,
            source,
            source_pitch,
        };
        Self::new(kind, span.width, span.height, gapless).map(Some)
    }

    /// A fill, or `None` where there is nothing to fill.
    pub(crate) fn fill(fill: &Fill) -> Result<Option<Self>, DeviceError> {
        let element = u64::from(fill.element_bytes);
        if !matches!(element, 1 | 2 | 4) {
            return Err(invalid(format!("a fill with elements of {element} bytes")));
        }
        if !fill.destination.is_multiple_of(element)
            || (fill.height > 1 && !fill.pitch.is_multiple_of(element))
        {
            return Err(invalid(format!(
                "a fill at {:#x} is not aligned to {element} bytes",
                fill.destination
            )));
        }
        if fill.width == 0 || fill.height == 0 {
            return Ok(None);
        }
        let width = fill
            .width
            .checked_mul(element)
            .ok_or_else(|| invalid(format!("a fill of {} elements", fill.width)))?;
        check_side(&Side::Device(fill.destination), width, fill.height, fill.pitch)?;
        let kind = Kind::Fill {
            destination: fill.destination,
            pitch: fill.pitch,
            pattern: fill.pattern,
            element_bytes: fill.element_bytes,
        };
        let gapless = fill.height == 1 || fill.pitch == width;
        Self::new(kind, width, fill.height, gapless).map(Some)
    }

    pub(crate) fn is_small(&self) -> bool {
        self.total <= SMALL_BYTES && self.total <= self.width.saturating_mul(SMALL_ROWS)
    }

    pub(crate) fn has_work(&self) -> bool {
        self.next.load(Ordering::Relaxed) < self.total
    }

    /// Whether there is more than one executor moves at a time.
    pub(crate) fn is_wide(&self) -> bool {
        self.next.load(Ordering::Relaxed).saturating_add(CHUNK_BYTES) < self.total
    }

    pub(crate) fn is_over(&self) -> bool {
        self.done.load(Ordering::Acquire) == self.total
    }

    /// Moves chunks for a quantum. The caller has entered its slot.
    pub(crate) fn run(&self, context: &ContextCore, started: u64, spent: &mut Spent) {
        let quantum = u64::try_from(QUANTUM.as_nanos()).unwrap_or(u64::MAX);
        while self.has_work() && !context.is_dead() {
            let from = self.next.fetch_add(CHUNK_BYTES, Ordering::Relaxed);
            if from >= self.total {
                return;
            }
            let to = from.saturating_add(CHUNK_BYTES).min(self.total);
            if let Err(fault) = self.do_part(context, from..to) {
                context.poison(Fault {
                    kind: FaultKind::IllegalAddress,
                    place: self.place().to_owned(),
                    detail: fault.to_string(),
                });
                return;
            }
            spent.copied_bytes += to - from;
            self.done.fetch_add(to - from, Ordering::AcqRel);
            if now_ns().saturating_sub(started) > quantum {
                return;
            }
        }
    }

    fn place(&self) -> &'static str {
        match &self.kind {
            Kind::Fill { .. } => "fill",
            Kind::Copy {
                destination, source, ..
            } => match (destination, source) {
                (Side::Device(_), Side::Host(_)) => "copy from host to device",
                (Side::Host(_), Side::Device(_)) => "copy from device to host",
                _ => "copy",
            },
        }
    }

    /// Bytes `part` of the line: row by row.
    fn do_part(&self, context: &ContextCore, part: Range<u64>) -> Result<(), AccessFault> {
        let mut at = part.start;
        while at < part.end {
            let (row, column) = (at / self.width, at % self.width);
            let bytes = (self.width - column).min(part.end - at);
            self.do_row(context, row, column, bytes)?;
            if let Some(checker) = &context.checker {
                self.tell_checker(checker, row, column, bytes);
            }
            at += bytes;
        }
        Ok(())
    }

    /// Tells the checks of a part of a row that was moved.
    fn tell_checker(&self, checker: &Checker, row: u64, column: u64, bytes: u64) {
        match &self.kind {
            Kind::Fill {
                destination, pitch, ..
            } => checker.written(destination + row * pitch + column, bytes),
            Kind::Copy {
                destination: Side::Device(to),
                destination_pitch,
                source,
                source_pitch,
            } => {
                let to = to + row * destination_pitch + column;
                match source {
                    Side::Device(from) => checker.copied(to, from + row * source_pitch + column, bytes),
                    Side::Host(_) => checker.written(to, bytes),
                }
            }
            Kind::Copy { .. } => {}
        }
    }

    /// `bytes` bytes of a row, from `column` on. Nothing here overflows: `check_side` has seen the last byte of the last row.
    fn do_row(&self, context: &ContextCore, row: u64, column: u64, bytes: u64) -> Result<(), AccessFault> {
        let space = &context.space;
        match &self.kind {
            Kind::Fill {
                destination,
                pitch,
                pattern,
                element_bytes,
            } => {
                let at = destination + row * pitch + column;
                if *pattern == 0 && bytes >= SPARSE_BYTES && is_untouched(context, at, bytes)? {
                    return Ok(());
                }
                space.fill(at, *pattern, *element_bytes, bytes / u64::from(*element_bytes))
            }
            Kind::Copy {
                destination,
                destination_pitch,
                source,
                source_pitch,
            } => {
                let (to, from) = (row * destination_pitch + column, row * source_pitch + column);
                match (destination, source) {
                    (Side::Device(to_base), Side::Device(from_base)) => {
                        space.copy_within(to_base + to, from_base + from, bytes)
                    }
                    (Side::Device(base), Side::Host(range)) => {
                        // SAFETY: `check_side` has seen that the row lies inside the range, which is kept alive by `self`.
                        unsafe { space.write_from(base + to, host_pointer(range, from), bytes) }
                    }
                    (Side::Host(range), Side::Device(base)) => {
                        // SAFETY: as above.
                        unsafe { space.read_into(base + from, host_pointer(range, to), bytes) }
                    }
                    (Side::Host(to_range), Side::Host(from_range)) => {
                        #[allow(
                            clippy::cast_possible_truncation,
                            reason = "lies inside a range of usize length"
                        )]
                        // SAFETY: as above, on both sides; `copy` allows overlap.
                        unsafe {
                            std::ptr::copy(
                                host_pointer(from_range, from),
                                host_pointer(to_range, to),
                                bytes as usize,
                            );
                        }
                        Ok(())
                    }
                }
            }
        }
    }
}

/// Whether no page of a range of frame buffer was ever touched: it reads as zero, and clearing gigabytes costs no memory.
fn is_untouched(context: &ContextCore, address: u64, bytes: u64) -> Result<bool, AccessFault> {
    context.space.check(address, bytes, Access::Write)?;
    let mut untouched = true;
    context
        .space
        .for_each_piece(address, bytes, Access::Write, |pointer, length| {
            untouched = untouched && context.is_untouched(pointer, length as u64);
        })?;
    Ok(untouched)
}

fn host_pointer(range: &HostRange, offset: u64) -> *mut u8 {
    #[allow(
        clippy::cast_possible_truncation,
        reason = "lies inside a range of usize length"
    )]
    range.as_ptr().wrapping_add(offset as usize)
}
