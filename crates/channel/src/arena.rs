//! The arena in the guest: the addresses of a vGPU, reserved so that nothing else of the process lands there.
//!
//! Device memory is never mapped in the guest; its addresses are only kept free. Pinned host memory is a piece of the host
//! arena's descriptor, mapped at the address that the worker chose.

use crate::ChannelError;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::Arc;

/// A reserved range of addresses, given back when the last reference goes.
#[derive(Debug)]
pub struct Arena {
    base: u64,
    bytes: usize,
}

fn at(address: u64) -> Result<*mut libc::c_void, ChannelError> {
    usize::try_from(address)
        .map(std::ptr::without_provenance_mut)
        .map_err(|_| ChannelError::TooLarge("address"))
}

impl Arena {
    /// Reserves `base .. base + bytes`, without memory behind it.
    ///
    /// # Errors
    /// Something of this process is there already, or the range is not page aligned.
    pub fn reserve(base: u64, bytes: u64) -> Result<Arc<Self>, ChannelError> {
        let fail = |source| ChannelError::Arena { base, bytes, source };
        let length = usize::try_from(bytes).map_err(|_| ChannelError::TooLarge("arena"))?;
        let wanted = at(base)?;
        // SAFETY: MAP_FIXED_NOREPLACE never touches an existing mapping; the new one cannot be accessed.
        let got = unsafe {
            libc::mmap(
                wanted,
                length,
                libc::PROT_NONE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED_NOREPLACE,
                -1,
                0,
            )
        };
        if got == libc::MAP_FAILED {
            return Err(fail(std::io::Error::last_os_error()));
        }
        if got != wanted {
            // Kernels before 4.17 take the address as a hint only.
            // SAFETY: the mapping was just made and nobody knows of it.
            unsafe { libc::munmap(got, length) };
            return Err(fail(std::io::Error::from_raw_os_error(libc::EEXIST)));
        }
        Ok(Arc::new(Self { base, bytes: length }))
    }

    /// First address.
    #[must_use]
    pub fn base(&self) -> u64 {
        self.base
    }

    /// Maps `bytes` bytes of `descriptor` from `offset` at `address`, until the result is dropped.
    ///
    /// # Errors
    /// The range is not inside the arena, or the kernel refuses.
    pub fn map(
        self: &Arc<Self>,
        descriptor: BorrowedFd<'_>,
        address: u64,
        offset: u64,
        bytes: u64,
    ) -> Result<HostMapping, ChannelError> {
        let inside = address
            .checked_sub(self.base)
            .and_then(|start| start.checked_add(bytes))
            .is_some_and(|end| end <= self.bytes as u64);
        if !inside || bytes == 0 {
            return Err(ChannelError::Corrupt("address of pinned memory"));
        }
        let length = usize::try_from(bytes).map_err(|_| ChannelError::TooLarge("pinned memory"))?;
        let from = libc::off_t::try_from(offset).map_err(|_| ChannelError::TooLarge("pinned memory"))?;
        // SAFETY: the range lies inside the arena, which this value reserved and where only its HostMappings are; the worker
        // gives every address out once.
        let got = unsafe {
            libc::mmap(
                at(address)?,
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_FIXED,
                descriptor.as_raw_fd(),
                from,
            )
        };
        if got == libc::MAP_FAILED {
            return Err(ChannelError::os("mmap of pinned memory"));
        }
        Ok(HostMapping {
            arena: Arc::clone(self),
            address,
            bytes: length,
        })
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        if let Ok(base) = at(self.base) {
            // SAFETY: the range was reserved by `reserve`; every HostMapping in it holds a reference and is gone by now.
            unsafe { libc::munmap(base, self.bytes) };
        }
    }
}

/// Pinned host memory, mapped in the guest; dropping it turns the addresses back into reserved ones.
#[derive(Debug)]
pub struct HostMapping {
    arena: Arc<Arena>,
    address: u64,
    bytes: usize,
}

impl HostMapping {
    /// First address.
    #[must_use]
    pub fn address(&self) -> u64 {
        self.address
    }

    /// Length.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The arena it is in.
    #[must_use]
    pub fn arena(&self) -> &Arc<Arena> {
        &self.arena
    }
}

impl Drop for HostMapping {
    fn drop(&mut self) {
        let Ok(address) = at(self.address) else { return };
        // SAFETY: replaces the mapping that `Arena::map` made by an inaccessible one; the user of the memory has given it up.
        unsafe {
            libc::mmap(
                address,
                self.bytes,
                libc::PROT_NONE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED,
                -1,
                0,
            );
        }
    }
}
