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
//! Invariants
//! * What the program has queued before in the stream is over when the bytes are moved, and they are moved when the call returns:
//!   nothing that is queued later can run before.
//! * What the worker did before it completed an operation is seen after the completion record said so; what is written here is seen by
//!   whoever takes the next message out of the ring.
//! * A worker that is gone is noticed by the next message, not here: the memory stays readable as long as this process lives.

use crate::code::Answer;
use crate::copy::{Extent, INLINE_BYTES, Place, Return, Side};
use crate::state::Driver;
use crate::stream::Stream;
use std::sync::{Arc, OnceLock};
use tessera_channel::Shared;

/// The mapping, once a copy has asked for it.
#[derive(Debug, Default)]
pub(crate) struct Bar1(OnceLock<Option<Arc<Shared>>>);

impl Bar1 {
    /// `bytes` bytes from `offset` on, in this process.
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
    let Some(offset) = device.bar1 else {
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
    if stream.green.is_some() || !stream.is_next(driver) || !(waits || stream.is_idle(driver)) {
        return Ok(false);
    }
    let span = extent.span(device.pitch)? as u64;
    let Some(there) = driver.bar1.pointer(driver, offset, span) else {
        return Ok(false);
    };
    stream.settled(driver)?;
    let here = host.pointer();
    for row in 0..extent.height {
        // SAFETY: BAR1 is mapped as long as the driver lives, and the rows lie inside of it; the program promised those of the host.
        unsafe {
            let (there, here) = (there.add(row * device.pitch), here.add(row * host.pitch));
            let (to, from) = if outward { (here, there) } else { (there, here) };
            std::ptr::copy_nonoverlapping(from, to, extent.width);
        }
    }
    Ok(true)
}
