//! What one guest may hold. Enforced here and nowhere in the guest; told to the guest in the answer to Hello, so that it can
//! refuse early.

use tessera_channel::LayoutOptions;
use tessera_wire::messages::HelloReply;

/// Bytes of one vGPU's arena of addresses.
pub(crate) const ARENA_BYTES: u64 = 1 << 40;
/// Where arena 0 starts; arena `i` starts that many arenas later.
const FIRST_ARENA: u64 = 0x2000_0000_0000;
/// The upper part of an arena, for pinned host memory.
const HOST_PART: u64 = 256 << 30;

/// Limits of a session, and of the number of sessions.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// Connections at once, NVML's too.
    pub(crate) sessions: usize,
    pub(crate) contexts: usize,
    pub(crate) modules: usize,
    pub(crate) functions: usize,
    pub(crate) streams: usize,
    pub(crate) events: usize,
    pub(crate) arrays: usize,
    pub(crate) graphs: usize,
    /// Physical memories, ranges of addresses and mappings: of each so many.
    pub(crate) mappings: usize,
    /// Nodes of all graphs of a session, as they lie in the worker's memory.
    pub(crate) graph_bytes: u64,
    /// Operations submitted and not completed.
    pub(crate) queued: u64,
    /// Bytes that queued copies hold in the worker's own memory.
    pub(crate) inline_bytes: u64,
    /// Images of one module as handed over, and again unpacked.
    pub(crate) image_bytes: u64,
    /// PTX of all modules of a session.
    pub(crate) module_bytes: u64,
    /// Pinned host memory.
    pub(crate) host_bytes: u64,
    /// Messages on objects that do not exist before the session is ended.
    pub(crate) strays: u32,
    pub(crate) layout: LayoutOptions,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sessions: 256,
            contexts: 16,
            modules: 16_384,
            functions: 262_144,
            streams: 8192,
            events: 32_768,
            arrays: 65_536,
            graphs: 16_384,
            mappings: 65_536,
            graph_bytes: 512 << 20,
            queued: 16_384,
            inline_bytes: 64 << 20,
            image_bytes: 512 << 20,
            module_bytes: 1 << 30,
            host_bytes: host_bytes(),
            strays: 10_000,
            layout: LayoutOptions::default(),
        }
    }
}

/// Half of the machine's memory, in steps of 2 MiB, at most what the arena has room for.
fn host_bytes() -> u64 {
    // SAFETY: sysconf only reads its argument.
    let (pages, page) = unsafe {
        (
            libc::sysconf(libc::_SC_PHYS_PAGES),
            libc::sysconf(libc::_SC_PAGESIZE),
        )
    };
    let total = u64::try_from(pages)
        .unwrap_or(0)
        .saturating_mul(u64::try_from(page).unwrap_or(0));
    (total / 2).clamp(64 << 20, HOST_PART) & !((2 << 20) - 1)
}

/// Addresses of a vGPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arena {
    pub(crate) base: u64,
    /// First address for pinned memory; device memory is below.
    pub(crate) host_base: u64,
    /// Bytes that each context gets for device memory.
    pub(crate) slice: u64,
    /// How many contexts that makes.
    pub(crate) slices: usize,
}

impl Arena {
    /// The arena with this index, for a vGPU with so much frame buffer; `None` where it would leave the user's half of the
    /// address space or the frame buffer does not fit.
    pub(crate) fn new(index: u32, frame_buffer: u64) -> Option<Self> {
        let base = u64::from(index)
            .checked_mul(ARENA_BYTES)?
            .checked_add(FIRST_ARENA)?;
        let end = base.checked_add(ARENA_BYTES)?;
        if end > 0x7000_0000_0000 {
            return None;
        }
        let device_part = ARENA_BYTES - HOST_PART;
        // A quarter more than the frame buffer, for what is lost between allocations; a power of two, so that slices are aligned.
        let slice = frame_buffer
            .checked_add(frame_buffer / 4)?
            .checked_next_power_of_two()?
            .clamp(32 << 30, device_part);
        if frame_buffer > slice {
            return None;
        }
        Some(Self {
            base,
            host_base: base + device_part,
            slice,
            slices: usize::try_from(device_part / slice).ok()?,
        })
    }
}

/// The limits as a guest is told them.
pub(crate) fn welcome(limits: &Limits, arena: &Arena) -> HelloReply {
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    HelloReply {
        arena_base: arena.base,
        arena_bytes: ARENA_BYTES,
        host_base: arena.host_base,
        host_bytes: limits.host_bytes,
        max_contexts: count(limits.contexts.min(arena.slices)),
        max_modules: count(limits.modules),
        max_streams: count(limits.streams),
        max_events: count(limits.events),
        max_queued: u32::try_from(limits.queued).unwrap_or(u32::MAX),
        max_functions: count(limits.functions),
        max_image_bytes: limits.image_bytes,
        ..HelloReply::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arenas_do_not_touch_and_stay_in_the_users_half() {
        let first = Arena::new(0, 20 << 30).unwrap();
        let second = Arena::new(1, 20 << 30).unwrap();
        assert_eq!(first.base, 0x2000_0000_0000);
        assert_eq!(second.base, 0x2100_0000_0000);
        assert_eq!((first.slice, first.slices), (32 << 30, 24));
        assert!(first.base + first.slice * 24 <= first.host_base);
        assert!(first.host_base + Limits::default().host_bytes <= second.base);
        assert!(Arena::new(200, 20 << 30).is_none());
        assert!(Arena::new(u32::MAX, 1).is_none());
        assert!(Arena::new(0, 900 << 30).is_none());
        assert_eq!(Arena::new(0, 141 << 30).unwrap().slices, 3);
    }
}
