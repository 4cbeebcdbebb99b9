//! Checked copies and fills over device addresses.
//!
//! Every function checks its whole range first and touches nothing when a page is missing or may not be written. Memory is only
//! touched by raw copies: kernels, other streams and, for host memory, another process may change it at the same time, as on a GPU.

use crate::{AddressSpace, Flags, Span};
use std::fmt;
use thiserror::Error;

/// What an access wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Load.
    Read,
    /// Store or atomic.
    Write,
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
        })
    }
}

/// Why an access was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FaultReason {
    /// Nothing is mapped there.
    NotMapped,
    /// A store to a read-only page.
    ReadOnly,
}

/// A refused access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[error("{access} of address {address:#x}: {}", match reason { FaultReason::NotMapped => "not mapped", FaultReason::ReadOnly => "read-only" })]
pub struct AccessFault {
    /// First address that was refused.
    pub address: u64,
    /// What was tried.
    pub access: Access,
    /// Why it was refused.
    pub reason: FaultReason,
}

impl AddressSpace {
    /// The span at `address` for `access`. For a write the page must not be read-only, and where dirty tracking is on the page is
    /// marked and the span is cut to the bytes of one dirty bit.
    #[inline]
    pub fn translate(&self, address: u64, access: Access) -> Result<Span, AccessFault> {
        let fault = |reason| AccessFault {
            address,
            access,
            reason,
        };
        let span = match access {
            Access::Read => self.lookup(address),
            Access::Write => self.lookup_for_write(address),
        }
        .ok_or(fault(FaultReason::NotMapped))?;
        if access == Access::Write && span.flags.contains(Flags::READ_ONLY) {
            return Err(fault(FaultReason::ReadOnly));
        }
        Ok(span)
    }

    /// Whether all of `[address, address + bytes)` can be accessed; the first address that cannot otherwise. Marks nothing dirty.
    pub fn check(&self, address: u64, bytes: u64, access: Access) -> Result<(), AccessFault> {
        let mut at = address;
        let mut left = bytes;
        while left > 0 {
            let fault = |reason| AccessFault {
                address: at,
                access,
                reason,
            };
            let span = self.lookup(at).ok_or(fault(FaultReason::NotMapped))?;
            if access == Access::Write && span.flags.contains(Flags::READ_ONLY) {
                return Err(fault(FaultReason::ReadOnly));
            }
            let here = span.bytes_from(at).min(left);
            left -= here;
            at += here;
        }
        Ok(())
    }

    /// Calls `visit` with host pointer and length of each contiguous piece of `[address, address + bytes)`, in order. A page that
    /// goes away on the way ends the walk with its fault.
    pub fn for_each_piece(
        &self,
        address: u64,
        bytes: u64,
        access: Access,
        mut visit: impl FnMut(*mut u8, usize),
    ) -> Result<(), AccessFault> {
        let mut at = address;
        let mut left = bytes;
        while left > 0 {
            let span = self.translate(at, access)?;
            let here = span.bytes_from(at).min(left);
            #[allow(
                clippy::cast_possible_truncation,
                reason = "usize has 64 bits on every supported target"
            )]
            visit(span.pointer(at), here as usize);
            left -= here;
            at += here;
        }
        Ok(())
    }

    /// Copies device memory to `destination`.
    ///
    /// # Safety
    /// `destination .. + bytes` is writable memory.
    pub unsafe fn read_into(
        &self,
        address: u64,
        destination: *mut u8,
        bytes: u64,
    ) -> Result<(), AccessFault> {
        self.check(address, bytes, Access::Read)?;
        let mut to = destination;
        self.for_each_piece(address, bytes, Access::Read, |piece, length| {
            // SAFETY: the piece is mapped (contract of `map`); `to` walks the caller's memory, whose length is the sum of pieces.
            // `copy` since a caller's memory may be the mapped memory itself.
            unsafe {
                std::ptr::copy(piece, to, length);
                to = to.add(length);
            }
        })
    }

    /// Copies from `source` to device memory.
    ///
    /// # Safety
    /// `source .. + bytes` is readable memory.
    pub unsafe fn write_from(&self, address: u64, source: *const u8, bytes: u64) -> Result<(), AccessFault> {
        self.check(address, bytes, Access::Write)?;
        let mut from = source;
        self.for_each_piece(address, bytes, Access::Write, |piece, length| {
            // SAFETY: as in `read_into`, in the other direction.
            unsafe {
                std::ptr::copy(from, piece, length);
                from = from.add(length);
            }
        })
    }

    /// Copies device memory to a slice.
    pub fn read_bytes(&self, address: u64, destination: &mut [u8]) -> Result<(), AccessFault> {
        // SAFETY: the slice is writable for its length.
        unsafe { self.read_into(address, destination.as_mut_ptr(), destination.len() as u64) }
    }

    /// Copies a slice to device memory.
    pub fn write_bytes(&self, address: u64, source: &[u8]) -> Result<(), AccessFault> {
        // SAFETY: the slice is readable for its length.
        unsafe { self.write_from(address, source.as_ptr(), source.len() as u64) }
    }

    /// Copies inside the space. Ranges may overlap only where both are contiguous in host memory; otherwise the result is a mix of
    /// old and new bytes, as CUDA leaves it undefined.
    pub fn copy_within(&self, destination: u64, source: u64, bytes: u64) -> Result<(), AccessFault> {
        self.check(source, bytes, Access::Read)?;
        self.check(destination, bytes, Access::Write)?;
        let (mut to, mut from, mut left) = (destination, source, bytes);
        while left > 0 {
            let read = self.translate(from, Access::Read)?;
            let write = self.translate(to, Access::Write)?;
            let here = left.min(read.bytes_from(from)).min(write.bytes_from(to));
            #[allow(
                clippy::cast_possible_truncation,
                reason = "usize has 64 bits on every supported target"
            )]
            let length = here as usize;
            // SAFETY: both pieces are mapped for `length` bytes (contract of `map`); `copy` allows overlap.
            unsafe { std::ptr::copy(read.pointer(from), write.pointer(to), length) };
            to += here;
            from += here;
            left -= here;
        }
        Ok(())
    }

    /// Fills `count` elements of `element_bytes` (1, 2 or 4) with the low bytes of `pattern`, little endian. An `address` that is not
    /// a multiple of the element is filled all the same, byte by byte.
    pub fn fill(&self, address: u64, pattern: u32, element_bytes: u8, count: u64) -> Result<(), AccessFault> {
        let step = match element_bytes {
            1 | 2 | 4 => u64::from(element_bytes),
            _ => 4,
        };
        let overflow = AccessFault {
            address,
            access: Access::Write,
            reason: FaultReason::NotMapped,
        };
        let bytes = count.checked_mul(step).ok_or(overflow)?;
        self.check(address, bytes, Access::Write)?;
        let p = pattern.to_le_bytes();
        let word = match step {
            1 => [p[0]; 8],
            2 => [p[0], p[1], p[0], p[1], p[0], p[1], p[0], p[1]],
            _ => [p[0], p[1], p[2], p[3], p[0], p[1], p[2], p[3]],
        };
        let mut phase = 0_usize;
        self.for_each_piece(address, bytes, Access::Write, |piece, length| {
            let mut rotated = word;
            rotated.rotate_left(phase % 8);
            // SAFETY: the piece is mapped and writable for `length` bytes (contract of `map`).
            unsafe { fill_piece(piece, length, rotated) };
            phase += length;
        })
    }
}

/// Repeats `word` over a piece.
///
/// # Safety
/// `piece .. + length` is writable memory.
unsafe fn fill_piece(piece: *mut u8, length: usize, word: [u8; 8]) {
    if word.iter().all(|&byte| byte == word[0]) {
        // SAFETY: the caller's promise.
        unsafe { piece.write_bytes(word[0], length) };
        return;
    }
    let words = length / 8;
    let value = u64::from_ne_bytes(word);
    for at in 0..words {
        // SAFETY: at * 8 + 8 <= length; the write needs no alignment.
        unsafe { piece.add(at * 8).cast::<u64>().write_unaligned(value) };
    }
    for at in words * 8..length {
        // SAFETY: at < length.
        unsafe { piece.add(at).write(word[at % 8]) };
    }
}
