//! Registered host memory: the program's own pages, used by kernels and copies where they are.
//!
//! Kernels run in another process. So that both see the same pages, those of the program are replaced by a shared mapping with the same
//! contents ([`tessera_guest::pages`]), which every context of the session has at the same address.
//!
//! ```text
//!             page        page        page        page
//!   ┌───────────┬───────────┬───────────┬───────────┐
//!   │ other ┌───┼───────────┼───────────┼────┐ other│
//!   └───────┴───┴───────────┴───────────┴────┴──────┘
//!     head page │      middle           │ tail page
//! ```
//!
//! The pages at the ends hold other data too, perhaps of another registration. They are pieces of their own, shared as long as a
//! registration needs them. Kernels can write to all of a page at an end, whatever the registration says.

use crate::code::{Answer, Code};
use crate::context::Context;
use crate::current;
use crate::ranges::{Range, RangeKind};
use crate::state::{self, Driver};
use crate::types::{Caller, c_void};
use std::collections::HashMap;
use std::io::ErrorKind;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tessera_guest::pages::{self, SwapError};
use tessera_wire::messages::{HostFree, HostRegister};

/// `CU_MEMHOSTREGISTER_*`: portable and mapped, which all is; of input/output memory; read only.
const IO_MEMORY: u32 = 4;
const READ_ONLY: u32 = 8;
const FLAGS_KNOWN: u32 = 15;
const PAGE: u64 = 4096;

/// How many registrations need a page that is an end of one.
#[derive(Default)]
pub(crate) struct Registered(Mutex<HashMap<u64, usize>>);

impl Registered {
    fn ends(&self) -> MutexGuard<'_, HashMap<u64, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whole pages that are replaced together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    start: u64,
    bytes: u64,
    /// Has data of others too.
    end: bool,
}

/// The pieces of a range: head page, middle, tail page, as far as there are.
fn pieces(base: u64, bytes: u64) -> Vec<Piece> {
    let end = base + bytes;
    let (first, last) = (base.next_multiple_of(PAGE), end - end % PAGE);
    let page = |start| Piece {
        start,
        bytes: PAGE,
        end: true,
    };
    let mut pieces = Vec::new();
    if first > base {
        pieces.push(page(first - PAGE));
    }
    if last > first {
        pieces.push(Piece {
            start: first,
            bytes: last - first,
            end: false,
        });
    }
    // A range inside a page has it as its head.
    if last < end && last >= first {
        pieces.push(page(last));
    }
    pieces
}

fn code(error: &SwapError) -> Code {
    match error {
        SwapError::NotMapped(_) | SwapError::ReadOnly(_) => Code::INVALID_VALUE,
        SwapError::Unsuitable(..) => Code::NOT_SUPPORTED,
        SwapError::System(error) if error.kind() == ErrorKind::OutOfMemory => Code::OUT_OF_MEMORY,
        SwapError::System(_) => Code::OPERATING_SYSTEM,
    }
}

/// Has the worker and this process share the pages of a piece.
fn share(driver: &'static Driver, context: &Context, piece: Piece, read_only: bool) -> Answer {
    let message = HostRegister {
        context: context.handle(),
        address: piece.start,
        bytes: piece.bytes,
        flags: if read_only && !piece.end {
            tessera_wire::HOST_READ_ONLY
        } else {
            0
        },
        ..HostRegister::default()
    };
    let (reply, _) = driver.session.call(&message, &[])?;
    let file = driver.session.host_descriptor()?;
    let shared = pages::share(piece.start, piece.bytes, file, reply.offset, read_only);
    shared.map_err(|error| {
        tessera_guest::log(&format!("cuMemHostRegister: {error}"));
        if !pages::is_shared(piece.start) {
            let address = piece.start;
            let _ = driver.session.post(&HostFree { address }, &[]);
        }
        code(&error)
    })
}

/// Makes the pages of a piece private again. Where that cannot be, the worker has to keep its side.
fn unshare(driver: &Driver, piece: Piece) -> Answer {
    pages::unshare(piece.start).map_err(|error| {
        tessera_guest::log(&format!("cuMemHostUnregister: {error}"));
        code(&error)
    })?;
    let address = piece.start;
    Ok(driver.session.post(&HostFree { address }, &[])?)
}

/// Gives up pieces that a registration needs no longer. Says the first error, after all are given up.
fn give_up(driver: &Driver, ends: &mut HashMap<u64, usize>, pieces: &[Piece]) -> Answer {
    let mut answer = Ok(());
    for &piece in pieces {
        if piece.end
            && let Some(users) = ends.get_mut(&piece.start)
        {
            *users -= 1;
            if *users > 0 {
                continue;
            }
            ends.remove(&piece.start);
        }
        let given = unshare(driver, piece);
        answer = answer.and(given);
    }
    answer
}

/// `cuMemHostRegister`
pub(crate) fn mem_host_register(p: Caller<c_void>, bytesize: usize, flags: u32) -> Answer {
    p.required()?;
    if bytesize == 0 || flags & !FLAGS_KNOWN != 0 {
        return Err(Code::INVALID_VALUE);
    }
    let context = current::current()?;
    if flags & IO_MEMORY != 0 {
        return Err(Code::NOT_SUPPORTED);
    }
    let driver = state::driver()?;
    let (base, bytes) = (p.address(), bytesize as u64);
    // Nobody has memory at the end of all addresses.
    let end = base.checked_add(bytes).filter(|&end| end < u64::MAX - PAGE);
    let end = end.ok_or(Code::INVALID_VALUE)?;
    let mut ends = driver.registered.ends();
    match driver.ranges.overlapping(base, bytes) {
        Some(range) if range.is_host() => return Err(Code::HOST_MEMORY_ALREADY_REGISTERED),
        Some(_) => return Err(Code::INVALID_VALUE),
        None => {}
    }
    let arena = driver.session.welcome();
    if base < arena.arena_base.saturating_add(arena.arena_bytes) && end > arena.arena_base {
        return Err(Code::INVALID_VALUE);
    }
    let pieces = pieces(base, bytes);
    for (done, &piece) in pieces.iter().enumerate() {
        let known = piece.end && ends.contains_key(&piece.start);
        if !known && let Err(code) = share(driver, &context, piece, flags & READ_ONLY != 0) {
            let _ = give_up(driver, &mut ends, &pieces[..done]);
            return Err(code);
        }
        if piece.end {
            *ends.entry(piece.start).or_default() += 1;
        }
    }
    let range = context.range(driver, base, bytes, RangeKind::Registered);
    driver.ranges.insert(range);
    Ok(())
}

/// `cuMemHostUnregister`: by the address that was registered.
pub(crate) fn mem_host_unregister(p: Caller<c_void>) -> Answer {
    p.required()?;
    current::current()?;
    let driver = state::driver()?;
    let range = driver
        .ranges
        .take(p.address(), |range| range.kind == RangeKind::Registered)
        .ok_or_else(|| match driver.ranges.find(p.address()) {
            // Registered, and not from here on.
            Some(range) if range.kind == RangeKind::Registered => Code::INVALID_VALUE,
            _ => Code::HOST_MEMORY_NOT_REGISTERED,
        })?;
    forget(driver, &range)
}

/// Gives registered memory back that is in no table any more. Every context has it, and what is written to it after this would be lost:
/// the work of all is waited for.
pub(crate) fn forget(driver: &Driver, range: &Range) -> Answer {
    driver.settle();
    let mut ends = driver.registered.ends();
    give_up(driver, &mut ends, &pieces(range.base, range.bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_a_range_are_pieces_of_their_own() {
        let list = |base, bytes| -> Vec<(u64, u64, bool)> {
            let pieces = pieces(base, bytes);
            pieces
                .iter()
                .map(|piece| (piece.start, piece.bytes, piece.end))
                .collect()
        };
        assert_eq!(list(0x1000, 0x2000), [(0x1000, 0x2000, false)]);
        assert_eq!(list(0x1010, 0x20), [(0x1000, 0x1000, true)]);
        assert_eq!(list(0x1010, 0xff0), [(0x1000, 0x1000, true)]);
        assert_eq!(list(0x1000, 0x10), [(0x1000, 0x1000, true)]);
        assert_eq!(
            list(0x1ff0, 0x20),
            [(0x1000, 0x1000, true), (0x2000, 0x1000, true)]
        );
        assert_eq!(
            list(0x1ff0, 0x2020),
            [
                (0x1000, 0x1000, true),
                (0x2000, 0x2000, false),
                (0x4000, 0x1000, true)
            ]
        );
        assert_eq!(
            list(0x1000, 0x1010),
            [(0x1000, 0x1000, false), (0x2000, 0x1000, true)]
        );
    }
}
