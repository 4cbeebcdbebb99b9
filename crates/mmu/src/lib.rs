//! The soft MMU: page tables of device address spaces.
//!
//! Each context has one [`AddressSpace`]. Every device access of a kernel or a copy is translated by it, so that a wild pointer
//! finds nothing instead of somebody's memory. Many executor threads look addresses up without a lock while one thread maps and
//! unmaps.
//!
//! ```text
//!  address (47 bits)
//!   46        37 36      29 28      21 20      12 11        0
//!  ┌────────────┬──────────┬──────────┬──────────┬───────────┐
//!  │  top 1024  │ mid 256  │ dir 256  │ leaf 512 │  offset   │
//!  └─────┬──────┴────┬─────┴────┬─────┴────┬─────┴───────────┘
//!     128 GiB     512 MiB     2 MiB      4 KiB
//!                               │          │
//!                               └──────────┴─▶ number of an *extent*: { base, length, host pointer, flags }
//! ```
//!
//! An entry of the directory (2 MiB, a large page) or of a leaf (4 KiB) names the extent that covers it. An extent is one contiguous
//! run in both address spaces with the same flags, so a lookup returns the whole run in constant time, and a mapping of 20 GiB
//! costs ten thousand stores.
//!
//! Invariants
//! * Extents do not overlap; both ends of each are multiples of 4 KiB.
//! * A table, once made, lives as long as the space. The slot of a retired extent is used again; a version number in it (a
//!   sequence lock) tells readers that it changed under them.
//! * [`AddressSpace::generation`] changes *after* tables changed and *before* `unmap`, `protect` or `take_dirty` return. Whoever
//!   keeps a [`Span`] compares the generation from before its lookup with the current one; a span of an older generation is void.
//! * A thread may still be using a span that has just become void. Memory may be given to somebody else only when every executor
//!   has passed a point where it compares generations (a *safe point*); that is the caller's part.

#![deny(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::ptr_as_ptr
)]

mod access;
mod extents;
mod space;
mod tables;

pub use access::{Access, AccessFault, FaultReason};
pub use space::{AddressSpace, MapError, Span};

/// Bytes of a page.
pub const PAGE_BYTES: u64 = 1 << 12;
/// Bytes of a large page.
pub const LARGE_PAGE_BYTES: u64 = 1 << 21;
/// Bytes that share one dirty bit.
pub const DIRTY_BYTES: u64 = 1 << 16;
/// Bits of a device virtual address.
pub const ADDRESS_BITS: u32 = 47;

bitflags::bitflags! {
    /// What is true of every page of an extent. *Mapped* is the existence of the extent; *dirty* is kept apart, see
    /// [`AddressSpace::take_dirty`].
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
    pub struct Flags: u32 {
        /// Stores and atomics fault.
        const READ_ONLY = 1 << 0;
        /// Managed memory: the host uses it under the same address.
        const MANAGED = 1 << 1;
        /// Frame buffer of another GPU.
        const PEER = 1 << 2;
        /// Multicast object: stores go to each member.
        const MULTICAST = 1 << 3;
        /// Pinned host memory.
        const HOST = 1 << 4;
    }
}
