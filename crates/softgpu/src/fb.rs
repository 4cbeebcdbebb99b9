//! Files of frame buffer: sparse memfds of the vGPU's size, each mapped once.
//!
//! ```text
//!   ledger (memory.rs)   0 ├── A ──┼── B ──┼─ D ─┤        an offset has one owner, in one file
//!   the device's file      │       │▒▒ B ▒▒│     │        modules, heaps, physical memory, contexts without BAR1
//!   BAR1 of session 1      │▒▒ A ▒▒│       │     │        allocations of its contexts; its process maps it too
//!   BAR1 of session 2      │       │       │▒ D ▒│        elsewhere: holes
//! ```
//!
//! Pages that nobody touched cost nothing, so an 80 GiB board fits a small host. A file is sealed against shrinking and growing:
//! the mapping never loses its backing. Given-back pages are punched out of their file: the next owner reads zeros, and the host has
//! its memory back. The next owner in another file does not even depend on that.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd};
use std::ptr::NonNull;
use tessera_device::DeviceError;
use tessera_mmu::{LARGE_PAGE_BYTES, PAGE_BYTES};

/// One file.
pub(crate) struct FrameBuffer {
    file: File,
    base: NonNull<u8>,
    bytes: u64,
}

// SAFETY: the mapping is plain memory; it is touched through raw pointers only.
unsafe impl Send for FrameBuffer {}
// SAFETY: as above.
unsafe impl Sync for FrameBuffer {}

fn os(what: &'static str) -> DeviceError {
    DeviceError::Os {
        what,
        source: std::io::Error::last_os_error(),
    }
}

impl FrameBuffer {
    /// `bytes` (a multiple of 4 KiB) of zeros.
    pub(crate) fn new(bytes: u64) -> Result<Self, DeviceError> {
        let too_large = || DeviceError::InvalidValue(format!("frame buffer of {bytes} bytes"));
        let length = usize::try_from(bytes).map_err(|_| too_large())?;
        let end = libc::off_t::try_from(bytes).map_err(|_| too_large())?;
        if bytes == 0 || !bytes.is_multiple_of(PAGE_BYTES) {
            return Err(too_large());
        }
        // SAFETY: the name is a C string.
        let fd = unsafe {
            libc::memfd_create(
                c"tessera-frame-buffer".as_ptr(),
                libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING,
            )
        };
        if fd < 0 {
            return Err(os("memfd_create for the frame buffer"));
        }
        // SAFETY: the descriptor is ours alone.
        let file = unsafe { File::from_raw_fd(fd) };
        // SAFETY: plain system calls on our descriptor.
        unsafe {
            if libc::ftruncate(fd, end) != 0 {
                return Err(os("ftruncate of the frame buffer"));
            }
            let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
            if libc::fcntl(fd, libc::F_ADD_SEALS, seals) != 0 {
                return Err(os("sealing of the frame buffer"));
            }
        }
        // SAFETY: a new shared mapping of the whole file at an address of the kernel's choice.
        let mapped = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_NORESERVE,
                fd,
                0,
            )
        };
        let base = match NonNull::new(mapped.cast::<u8>()) {
            Some(base) if mapped != libc::MAP_FAILED => base,
            _ => return Err(os("mmap of the frame buffer")),
        };
        Ok(Self { file, base, bytes })
    }

    /// The file itself.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Bytes in all.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Host address of `offset`, which lies inside.
    pub(crate) fn pointer(&self, offset: u64) -> *mut u8 {
        debug_assert!(offset < self.bytes);
        #[allow(clippy::cast_possible_truncation, reason = "offset < bytes, which fits usize")]
        self.base.as_ptr().wrapping_add(offset as usize)
    }

    /// Offset of a range of host memory, where it lies inside.
    pub(crate) fn offset_of(&self, pointer: *const u8, bytes: u64) -> Option<u64> {
        let offset = (pointer.addr() as u64).checked_sub(self.base.addr().get() as u64)?;
        (offset.checked_add(bytes)? <= self.bytes).then_some(offset)
    }

    /// Whether no page of a range was ever touched (or all were scrubbed since): it reads as zero.
    pub(crate) fn is_hole(&self, offset: u64, bytes: u64) -> bool {
        let Ok(at) = libc::off_t::try_from(offset) else {
            return false;
        };
        // SAFETY: a plain system call on our descriptor; nobody uses its position.
        let data = unsafe { libc::lseek(self.file.as_raw_fd(), at, libc::SEEK_DATA) };
        if data < 0 {
            // ENXIO: nothing but a hole up to the end of the file.
            return std::io::Error::last_os_error().raw_os_error() == Some(libc::ENXIO);
        }
        u64::try_from(data).is_ok_and(|data| data >= offset + bytes)
    }

    /// Says that large pages help for this range. A hint: what the kernel makes of it does not matter.
    pub(crate) fn advise_large(&self, offset: u64, bytes: u64) {
        let start = offset.next_multiple_of(LARGE_PAGE_BYTES);
        let end = (offset + bytes) / LARGE_PAGE_BYTES * LARGE_PAGE_BYTES;
        if start < end && end <= self.bytes {
            #[allow(clippy::cast_possible_truncation, reason = "end <= bytes, which fits usize")]
            let length = (end - start) as usize;
            // SAFETY: the range lies inside the mapping; the advice changes no contents.
            unsafe { libc::madvise(self.pointer(start).cast(), length, libc::MADV_HUGEPAGE) };
        }
    }

    /// Gives the pages of a range back to the host; they read as zero from then on.
    pub(crate) fn scrub(&self, offset: u64, bytes: u64) {
        let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
        let (Ok(at), Ok(length)) = (libc::off_t::try_from(offset), libc::off_t::try_from(bytes)) else {
            unreachable!("offsets of the frame buffer fit off_t since its size does");
        };
        // SAFETY: a plain system call on our descriptor.
        let punched = unsafe { libc::fallocate(self.file.as_raw_fd(), mode, at, length) } == 0;
        if !punched {
            // The pages must be zero before anybody else gets them, whatever it takes.
            tracing::warn!(error = %std::io::Error::last_os_error(), "cannot punch the frame buffer, writing zeros");
            #[allow(
                clippy::cast_possible_truncation,
                reason = "the range lies inside the mapping"
            )]
            // SAFETY: the range lies inside the mapping and nobody else uses it.
            unsafe {
                self.pointer(offset).write_bytes(0, bytes as usize);
            }
        }
    }
}

impl Drop for FrameBuffer {
    fn drop(&mut self) {
        #[allow(clippy::cast_possible_truncation, reason = "mapped with this length as usize")]
        // SAFETY: our own mapping; whoever holds pointers into it holds pages, and with them the file.
        unsafe {
            libc::munmap(self.base.as_ptr().cast(), self.bytes as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scrubbed_pages_read_zero_and_cost_nothing() {
        let fb = FrameBuffer::new(64 << 30).expect("sparse, so any size will do");
        let at = 7 << 30;
        // SAFETY: inside the mapping, which only this test uses.
        unsafe {
            fb.pointer(at).write_bytes(0xa5, 8192);
            assert_eq!(fb.pointer(at + 4096).read(), 0xa5);
            assert!(!fb.is_hole(at - 4096, 4097));
            assert!(fb.is_hole(at - 8192, 8192));
            assert!(fb.is_hole(at + 8192, 1 << 30));
            fb.scrub(at, 8192);
            assert_eq!(fb.pointer(at + 4096).read(), 0);
            assert_eq!(fb.pointer(at).read(), 0);
        }
        fb.scrub(0, fb.bytes());
        assert!(fb.is_hole(0, fb.bytes()));
        assert_eq!(fb.offset_of(fb.pointer(4096), fb.bytes() - 4096), Some(4096));
        assert_eq!(fb.offset_of(fb.pointer(4096), fb.bytes() - 4095), None);
        assert_eq!(fb.offset_of(std::ptr::null(), 1), None);
        let blocks = std::os::unix::fs::MetadataExt::blocks(&fb.file.metadata().expect("stat"));
        assert_eq!(blocks, 0);
    }

    #[test]
    fn refuses_impossible_sizes() {
        for bytes in [0, 4095, u64::MAX, u64::MAX - 4095] {
            assert!(matches!(
                FrameBuffer::new(bytes),
                Err(DeviceError::InvalidValue(_))
            ));
        }
    }
}
