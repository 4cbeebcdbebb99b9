//! Frame buffer that the host's processor can reach: what BAR1 is to a GPU on a bus.

use std::any::Any;
use std::os::fd::BorrowedFd;

/// A part of the frame buffer that other processes can map, to copy to and from it without the device's help.
///
/// Contexts that are created with it take their allocations from it, and nothing else does. Whoever has the descriptor can read and
/// write all of them at any time: it is for the one process that the contexts belong to. What is written there when an allocation is
/// freed already is lost or found by a later allocation of the same contexts, never by anybody else.
pub trait Bar1: Send + Sync {
    /// A file of [`Bar1::bytes`] bytes that neither grows nor shrinks.
    fn descriptor(&self) -> BorrowedFd<'_>;

    /// Length, bytes. Pages that nobody touched cost nothing.
    fn bytes(&self) -> u64;

    /// For the device that made it.
    fn as_any(&self) -> &(dyn Any + Send + Sync);
}
