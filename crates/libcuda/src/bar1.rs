//! Copies that the calling thread makes itself, through BAR1.
//!
//! The worker keeps the allocations of a session in a file; this process maps it, and copies between its own memory and an
//! allocation with one `memcpy`, where no work can come between.
//!
//! ```text
//!   copy ─▶ an allocation on one side, the program's memory on the other, in BAR1?
//!             │ no: through the channel
//!             ▼ yes
//!           streams that this one waits for idle? ─ no ─▶ through the channel, which keeps the order
//!             ▼ yes
//!           own stream idle? ─ no ─▶ may the call wait? ─ no ─▶ through the channel
//!             ▼ yes                    └─ yes: waits
//!           memcpy
//! ```
//!
//! The first larger copy to an allocation is the worker's: its pages come into being in the process that most likely touches them next, and
//! a program that copies to an allocation once does not pay for them twice.
//!
//! Invariants
//! * What the program has queued before in the stream is over when the bytes are moved, and they are moved when the call returns:
//!   nothing that is queued later can run before.
//! * What the worker did before it completed an operation is seen after the completion record said so; what is written here is seen by
//!   whoever takes the next message out of the ring.
//! * A worker that is gone is noticed by the next message, not here: the memory stays readable as long as this process lives.

use crate::abi::{DefaultStream, STREAM_LEGACY};
use crate::code::Answer;
use crate::copy::{Extent, INLINE_BYTES, Place, Return, Side};
use crate::current;
use crate::graph::capture;
use crate::ranges::Bar1Place;
use crate::state::{self, Driver};
use crate::stream::Stream;
use crate::types::Handle;
use std::sync::{Arc, OnceLock};
use tessera_channel::Shared;

/// The mapping, once a copy has asked for it.
#[derive(Debug, Default)]
pub(crate) struct Bar1(OnceLock<Option<Arc<Shared>>>);

impl Bar1 {
    /// `bytes` bytes from `offset` on, in this process.
    #[inline]
    fn pointer(&self, driver: &Driver, offset: u64, bytes: u64) -> Option<*mut u8> {
        let open = || match driver.session.open_bar1() {
            Ok(mapping) => mapping,
            Err(failure) => {
                tessera_guest::log(&format!("no BAR1, copies go through the channel: {failure}"));
                None
            }
        };
        let mapping = self.0.get_or_init(open).as_ref()?;
        mapping.pointer(offset, bytes)
    }
}

/// From this size on the processor's own way to copy is faster than what the C library does between its threshold for large copies and
/// this one: it need not read what it overwrites.
#[cfg(target_arch = "x86_64")]
const STRING_COPY_BYTES: usize = 128 << 10;

/// # Safety
/// As for [`std::ptr::copy_nonoverlapping`].
#[inline]
unsafe fn copy_bytes(to: *mut u8, from: *const u8, bytes: usize) {
    #[cfg(target_arch = "x86_64")]
    if bytes >= STRING_COPY_BYTES && std::arch::is_x86_feature_detected!("ermsb") {
        // SAFETY: copies `bytes` bytes upwards (the direction flag is clear at any call), which the caller has promised to be there.
        unsafe {
            std::arch::asm!(
                "rep movsb",
                inout("rcx") bytes => _,
                inout("rdi") to => _,
                inout("rsi") from => _,
                options(nostack, preserves_flags)
            );
        }
        return;
    }
    // SAFETY: the caller's promise.
    unsafe { std::ptr::copy_nonoverlapping(from, to, bytes) };
}

/// The short way for what most copies are: one allocation, memory of the program, the legacy stream of a context in which nothing is
/// under way. False where anything is otherwise; nothing was done then. A side may be said to be on the device.
#[inline]
pub(crate) fn at_once(
    default: DefaultStream,
    (stream, until): (Handle, Return),
    (to, to_device): (u64, bool),
    (from, from_device): (u64, bool),
    bytes: usize,
) -> bool {
    let Ok(driver) = state::driver() else { return false };
    let length = bytes as u64;
    let is_hosts = |address, said_device: bool| match place_of(driver, address, length) {
        Some(Place::Pageable) => !said_device,
        Some(Place::Pinned) => until == Return::WhenDone && driver.ranges.is_pinned(address, length),
        _ => false,
    };
    let (device, host, outward) = match (is_hosts(to, to_device), is_hosts(from, from_device)) {
        (false, true) => (to, from, false),
        (true, false) => (from, to, true),
        _ => return false,
    };
    if default.resolve(stream) != STREAM_LEGACY || capture::is_any_active() {
        return false;
    }
    let place = current::with_current(|context| {
        let quiet = context.green.is_none() && context.core.is_quiet(driver);
        let place = || driver.ranges.in_bar1(device, length, context.handle());
        Ok(if quiet { place() } else { None })
    });
    let pointer = |place: Bar1Place| {
        let known = outward || place.filled || bytes <= INLINE_BYTES;
        known.then(|| driver.bar1.pointer(driver, place.offset, length))?
    };
    let Some(there) = place.ok().flatten().and_then(pointer) else {
        return false;
    };
    let here: *mut u8 = std::ptr::with_exposed_provenance_mut(usize::try_from(host).unwrap_or(0));
    let (to, from) = if outward { (here, there) } else { (there, here) };
    // SAFETY: as in `copy`.
    unsafe { copy_bytes(to, from, bytes) };
    true
}

/// What memory can be, by its addresses alone.
#[inline]
fn place_of(driver: &Driver, address: u64, bytes: u64) -> Option<Place> {
    let arena = driver.session.welcome();
    let arena_end = arena.arena_base.saturating_add(arena.arena_bytes);
    let end = address.checked_add(bytes)?;
    if address >= arena.arena_base && end <= arena_end {
        let pinned = address >= arena.host_base;
        return Some(if pinned { Place::Pinned } else { Place::Device });
    }
    let plain = address != 0 && (end <= arena.arena_base || address >= arena_end);
    (plain && !driver.ranges.may_overlap(address, bytes)).then_some(Place::Pageable)
}

/// Copies here and now if that is possible and keeps the order; false where the worker has to do it. Both sides are of the stream's
/// context or of the host.
pub(crate) fn copy(
    driver: &Driver,
    stream: &Stream,
    (to, from, extent): (Side, Side, Extent),
    until: Return,
) -> Answer<bool> {
    let outward = from.place == Place::Device;
    let (device, host) = if outward { (from, to) } else { (to, from) };
    let Some(place) = device.bar1 else {
        return Ok(false);
    };
    let waits = match host.place {
        Place::Device => return Ok(false),
        // What is read must be there; and who sends so much to the device that it would be copied twice is better off waiting.
        Place::Pageable => outward || (until == Return::WhenDone && extent.bytes()? > INLINE_BYTES),
        // Stays the worker's as long as the program need not wait for it.
        Place::Pinned if until == Return::AtOnce => return Ok(false),
        Place::Pinned => true,
    };
    let quiet = stream.core.is_quiet(driver);
    if !quiet && (stream.green.is_some() || !stream.is_next(driver) || !(waits || stream.is_idle(driver))) {
        return Ok(false);
    }
    if !outward && !place.filled && extent.bytes()? > INLINE_BYTES {
        driver.ranges.note_filled(device.address);
        return Ok(false);
    }
    let span = extent.span(device.pitch)? as u64;
    let Some(there) = driver.bar1.pointer(driver, place.offset, span) else {
        return Ok(false);
    };
    if !quiet {
        stream.settled(driver)?;
    }
    let here = host.pointer();
    for row in 0..extent.height {
        // SAFETY: BAR1 is mapped as long as the driver lives, and the rows lie inside of it; the program promised those of the host.
        unsafe {
            let (there, here) = (there.add(row * device.pitch), here.add(row * host.pitch));
            let (to, from) = if outward { (here, there) } else { (there, here) };
            copy_bytes(to, from, extent.width);
        }
    }
    Ok(true)
}
