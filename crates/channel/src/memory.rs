//! Shared memory: sealed memfds, mappings, access that tolerates a hostile other side.
//!
//! Words (indices, flags, ring contents) are only touched through atomics. Bulk data (staging, pinned memory) is copied by
//! pointer; no reference to it is ever formed, since the other process may change it at any time.

use crate::ChannelError;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// A shared mapping of a descriptor, unmapped when the last reference goes.
pub struct Shared {
    base: NonNull<u8>,
    bytes: usize,
}

// SAFETY: the mapping is plain memory valid for the life of the value; all access goes through atomics or raw copies.
unsafe impl Send for Shared {}
// SAFETY: as above; no method hands out a Rust reference to plain (non-atomic) contents.
unsafe impl Sync for Shared {}

/// Creates a memfd of exactly `bytes` bytes that can neither shrink nor grow. Sparse: pages exist once they are touched.
pub(crate) fn sealed_memfd(name: &std::ffi::CStr, bytes: u64) -> Result<OwnedFd, ChannelError> {
    let base = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    // Kernels before 6.3 do not know this flag; it only adds that the memory can never be executed.
    const MFD_NOEXEC_SEAL: libc::c_uint = 8;
    // SAFETY: `name` is a NUL-terminated string that outlives the call.
    let mut raw = unsafe { libc::memfd_create(name.as_ptr(), base | MFD_NOEXEC_SEAL) };
    if raw < 0 {
        // SAFETY: as above.
        raw = unsafe { libc::memfd_create(name.as_ptr(), base) };
    }
    if raw < 0 {
        return Err(ChannelError::os("memfd_create"));
    }
    // SAFETY: the call returned a new descriptor that nobody else owns.
    let file = unsafe { File::from_raw_fd(raw) };
    file.set_len(bytes).map_err(|source| ChannelError::Os {
        what: "sizing of shared memory",
        source,
    })?;
    let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
    // SAFETY: F_ADD_SEALS takes an int; the descriptor is open.
    if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) } < 0 {
        return Err(ChannelError::os("sealing of shared memory"));
    }
    Ok(file.into())
}

/// Length of the file behind a descriptor.
pub(crate) fn descriptor_bytes(fd: BorrowedFd<'_>) -> Result<u64, ChannelError> {
    let file = File::from(fd.try_clone_to_owned().map_err(|source| ChannelError::Os {
        what: "duplication of a descriptor",
        source,
    })?);
    Ok(file
        .metadata()
        .map_err(|source| ChannelError::Os {
            what: "fstat of shared memory",
            source,
        })?
        .len())
}

impl Shared {
    /// Maps the first `bytes` bytes of `fd`, readable and writable, where the kernel likes.
    ///
    /// # Errors
    /// The descriptor is shorter than `bytes`, `bytes` is 0, or the kernel refuses.
    pub fn map(fd: impl AsFd, bytes: u64) -> Result<Arc<Self>, ChannelError> {
        let fd = fd.as_fd();
        if bytes == 0 || descriptor_bytes(fd)? < bytes {
            return Err(ChannelError::Corrupt(
                "descriptor is shorter than what it should hold",
            ));
        }
        let length = usize::try_from(bytes).map_err(|_| ChannelError::TooLarge("mapping"))?;
        // SAFETY: a new mapping at an address of the kernel's choice touches no existing memory.
        let pointer = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_NORESERVE,
                fd.as_raw_fd(),
                0,
            )
        };
        if pointer == libc::MAP_FAILED {
            return Err(ChannelError::os("mmap of shared memory"));
        }
        let base = NonNull::new(pointer.cast::<u8>()).ok_or(ChannelError::Corrupt("mapping at address 0"))?;
        Ok(Arc::new(Self { base, bytes: length }))
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes
    }

    /// Never true: a mapping has at least one byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    #[inline]
    fn check(&self, offset: usize, bytes: usize, align: usize) -> Result<NonNull<u8>, ChannelError> {
        match offset.checked_add(bytes) {
            Some(end) if end <= self.bytes && offset.is_multiple_of(align) => {
                // SAFETY: offset <= self.bytes, so the result is inside the mapping or one past its end.
                Ok(unsafe { self.base.add(offset) })
            }
            _ => Err(ChannelError::Corrupt("offset outside the shared memory")),
        }
    }

    #[inline]
    pub(crate) fn u32_at(&self, offset: usize) -> Result<&AtomicU32, ChannelError> {
        let pointer = self.check(offset, 4, 4)?;
        // SAFETY: in bounds and aligned (the base is page aligned); both sides use atomics for this word; lives as long as self.
        Ok(unsafe { AtomicU32::from_ptr(pointer.as_ptr().cast()) })
    }

    #[inline]
    pub(crate) fn u64_at(&self, offset: usize) -> Result<&AtomicU64, ChannelError> {
        let pointer = self.check(offset, 8, 8)?;
        // SAFETY: as for `u32_at`.
        Ok(unsafe { AtomicU64::from_ptr(pointer.as_ptr().cast()) })
    }

    /// Words `offset .. offset + 8 * count` as atomics.
    pub(crate) fn words(&self, offset: usize, count: usize) -> Result<&[AtomicU64], ChannelError> {
        let bytes = count
            .checked_mul(8)
            .ok_or(ChannelError::Corrupt("length overflows"))?;
        let pointer = self.check(offset, bytes, 8)?;
        // SAFETY: in bounds and aligned; AtomicU64 has the layout of u64 and allows concurrent changes by the other process.
        Ok(unsafe { std::slice::from_raw_parts(pointer.as_ptr().cast(), count) })
    }

    /// Where a piece of the mapping begins; valid for as long as the mapping is held.
    #[must_use]
    #[inline]
    pub fn pointer(&self, offset: u64, bytes: u64) -> Option<*mut u8> {
        let (offset, bytes) = (usize::try_from(offset).ok()?, usize::try_from(bytes).ok()?);
        self.check(offset, bytes, 1).ok().map(NonNull::as_ptr)
    }

    /// A piece of the mapping that keeps it alive.
    #[must_use]
    pub fn range(self: &Arc<Self>, offset: u64, bytes: u64) -> Option<SharedRange> {
        let offset = usize::try_from(offset).ok()?;
        let bytes = usize::try_from(bytes).ok()?;
        let base = self.check(offset, bytes, 1).ok()?;
        Some(SharedRange {
            base,
            bytes,
            owner: Arc::clone(self),
        })
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `map` with this length and no reference into it outlives self.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.bytes) };
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Shared({:p}, {} bytes)", self.base, self.bytes)
    }
}

/// A piece of shared memory with its owner.
#[derive(Clone, Debug)]
pub struct SharedRange {
    base: NonNull<u8>,
    bytes: usize,
    owner: Arc<Shared>,
}

// SAFETY: plain memory kept alive by `owner`; only raw copies touch it.
unsafe impl Send for SharedRange {}
// SAFETY: as above.
unsafe impl Sync for SharedRange {}

impl SharedRange {
    /// First byte.
    #[must_use]
    pub fn as_ptr(&self) -> *mut u8 {
        self.base.as_ptr()
    }

    /// First byte; valid for [`SharedRange::len`] bytes as long as [`SharedRange::owner`] lives.
    #[must_use]
    pub fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// What keeps the memory mapped.
    #[must_use]
    pub fn owner(&self) -> Arc<Shared> {
        Arc::clone(&self.owner)
    }

    /// Bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes
    }

    /// Whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Copies all of it out, once.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.bytes);
        // SAFETY: the source is mapped for `bytes` bytes; the destination has that capacity and every byte is written before
        // the length is set. A concurrent change by the other process gives mixed bytes, which is allowed content.
        unsafe {
            std::ptr::copy_nonoverlapping(self.base.as_ptr(), out.as_mut_ptr(), self.bytes);
            out.set_len(self.bytes);
        }
        out
    }

    /// Copies `source` in at `offset`.
    ///
    /// # Errors
    /// It does not fit.
    pub fn write(&self, offset: usize, source: &[u8]) -> Result<(), ChannelError> {
        self.fits(offset, source.len())?;
        // SAFETY: in bounds as just checked; private and shared memory do not overlap.
        unsafe {
            std::ptr::copy_nonoverlapping(source.as_ptr(), self.base.as_ptr().add(offset), source.len());
        }
        Ok(())
    }

    /// Copies out from `offset`.
    ///
    /// # Errors
    /// There are fewer bytes.
    pub fn read(&self, offset: usize, destination: &mut [u8]) -> Result<(), ChannelError> {
        self.fits(offset, destination.len())?;
        // SAFETY: in bounds as just checked; private and shared memory do not overlap.
        unsafe {
            std::ptr::copy_nonoverlapping(
                self.base.as_ptr().add(offset),
                destination.as_mut_ptr(),
                destination.len(),
            );
        }
        Ok(())
    }

    fn fits(&self, offset: usize, bytes: usize) -> Result<(), ChannelError> {
        match offset.checked_add(bytes) {
            Some(end) if end <= self.bytes => Ok(()),
            _ => Err(ChannelError::TooLarge("copy to or from shared memory")),
        }
    }
}

/// Writes `bytes` to `words`, eight at a time, the rest padded with zeros. `words` holds at least as many bytes.
pub(crate) fn store_bytes(words: &[AtomicU64], bytes: &[u8]) {
    let (chunks, rest) = bytes.as_chunks::<8>();
    for (word, chunk) in words.iter().zip(chunks) {
        word.store(u64::from_le_bytes(*chunk), Ordering::Relaxed);
    }
    if let (false, Some(word)) = (rest.is_empty(), words.get(chunks.len())) {
        let mut last = [0u8; 8];
        last[..rest.len()].copy_from_slice(rest);
        word.store(u64::from_le_bytes(last), Ordering::Relaxed);
    }
}

/// Appends the first `bytes` bytes of `words` to `out`, each word read once.
pub(crate) fn load_bytes(words: &[AtomicU64], bytes: usize, out: &mut Vec<u8>) {
    let target = out.len().saturating_add(bytes);
    for word in words {
        out.extend_from_slice(&word.load(Ordering::Relaxed).to_le_bytes());
    }
    out.truncate(target);
}

/// Frees the pages of a range of a memfd; they read as zeros afterwards.
pub(crate) fn punch(fd: BorrowedFd<'_>, offset: u64, bytes: u64) -> Result<(), ChannelError> {
    let offset = libc::off_t::try_from(offset).map_err(|_| ChannelError::TooLarge("range"))?;
    let bytes = libc::off_t::try_from(bytes).map_err(|_| ChannelError::TooLarge("range"))?;
    // SAFETY: fallocate takes integers; the file's length is kept.
    let result = unsafe {
        libc::fallocate(
            fd.as_raw_fd(),
            libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE,
            offset,
            bytes,
        )
    };
    if result < 0 {
        return Err(ChannelError::os("freeing of shared memory"));
    }
    Ok(())
}
