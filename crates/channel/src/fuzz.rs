//! Entry for the fuzzer: noise as a hostile guest would put it into the aperture and on the stream.

use crate::ring::Consumer;
use crate::{FutexWake, Layout, LayoutOptions, Shared, memory};
use std::cell::OnceCell;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tessera_wire::messages::Hello;
use tessera_wire::{
    AddressList, ImageList, NameList, ParameterList, ProcessList, Request, UseList, VgpuInfo, decode,
    decode_reply,
};

const RING: u64 = 8192;

fn small_aperture() -> Option<(Arc<Shared>, Layout)> {
    let layout = Layout::new(&LayoutOptions {
        ring_bytes: RING,
        records: 16,
        slots: 1,
        slot_bytes: 4096,
        staging_bytes: 4096,
        max_message_bytes: 2048,
    })
    .ok()?;
    let descriptor = memory::sealed_memfd(c"tessera-fuzz", layout.total_bytes()).ok()?;
    Some((Shared::map(&descriptor, layout.total_bytes()).ok()?, layout))
}

/// Feeds `data` to everything of the channel that reads bytes of the other side: the ring's consumer (8 bytes of head, the
/// rest as contents of the ring), the decoder of messages and replies, the tails. Must return for every input.
/// Returns how many messages decoded, so that a test can see that it reaches them.
pub fn fuzz_session_bytes(data: &[u8]) -> usize {
    thread_local! {
        static APERTURE: OnceCell<Option<(Arc<Shared>, Layout)>> = const { OnceCell::new() };
    }
    let mut decoded = usize::from(decode(data).is_ok_and(|(_, request)| look_into(&request)));
    let _ = decode_reply::<Hello>(data, 1);
    for_tails(data);
    APERTURE.with(|cell| {
        if let Some((aperture, layout)) = cell.get_or_init(small_aperture) {
            decoded += run_ring(aperture, layout, data).unwrap_or(0);
        }
    });
    decoded
}

fn run_ring(aperture: &Arc<Shared>, layout: &Layout, data: &[u8]) -> Option<usize> {
    let (head, contents) = data.split_first_chunk::<8>()?;
    let contents = contents.get(..contents.len().min(usize::try_from(RING).ok()?))?;
    let ring = aperture
        .words(
            usize::try_from(layout.ring_offset).ok()?,
            usize::try_from(RING / 8).ok()?,
        )
        .ok()?;
    for word in ring {
        word.store(0, Ordering::Relaxed);
    }
    memory::store_bytes(ring, contents);
    // Mostly a head that passes the first check, sometimes any number at all.
    let head = u64::from_le_bytes(*head);
    let head = if head & 1 == 0 {
        head & (RING - 1) & !15
    } else {
        head
    };
    aperture
        .u64_at(crate::layout::AT_HEAD)
        .ok()?
        .store(head, Ordering::Relaxed);
    let mut consumer = Consumer::new(Arc::clone(aperture), layout).ok()?;
    let mut decoded = 0;
    while let Ok(true) = consumer.pop(&FutexWake) {
        if let Ok((_, request)) = decode(consumer.frame()) {
            decoded += usize::from(look_into(&request));
        }
    }
    Some(decoded)
}

fn look_into(request: &Request<'_>) -> bool {
    if let Request::ModuleLoad(_, tail) | Request::LinkCheck(_, tail) = request {
        let _ = ImageList::decode(tail);
    }
    true
}

fn for_tails(data: &[u8]) {
    let _ = VgpuInfo::decode(data);
    let _ = ProcessList::decode(data);
    let _ = UseList::decode(data);
    let _ = AddressList::decode(data);
    let _ = ImageList::decode(data);
    let _ = NameList::decode(data);
    let _ = ParameterList::decode(data);
}
