//! The replacement of pages, and what a fork makes of replaced ones.

use super::fault::Open;
use super::maps::{self, Mapping};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use thiserror::Error;

/// Pages are replaced so many bytes at a time: nobody has to wait for long.
const PIECE: u64 = 1 << 20;

/// Why pages cannot be shared.
#[derive(Debug, Error)]
pub enum SwapError {
    /// There is nothing at an address, or nothing that can be read.
    #[error("nothing is mapped at {0:#x}")]
    NotMapped(u64),
    /// The program may not write there.
    #[error("memory at {0:#x} is read-only")]
    ReadOnly(u64),
    /// A mapping that cannot be replaced.
    #[error("memory at {0:#x} is {1}")]
    Unsuitable(u64, &'static str),
    /// The kernel refuses.
    #[error(transparent)]
    System(#[from] std::io::Error),
}

/// Pages that are replaced now.
#[derive(Clone, Copy)]
struct Shared {
    bytes: u64,
    file: RawFd,
    offset: u64,
}

type Table = BTreeMap<u64, Shared>;

/// By first address. Held while pages are replaced, so that this happens one at a time and a fork waits for it.
static TABLE: Mutex<Table> = Mutex::new(BTreeMap::new());

fn table() -> MutexGuard<'static, Table> {
    TABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn at(address: u64) -> *mut libc::c_void {
    std::ptr::with_exposed_provenance_mut(usize::try_from(address).unwrap_or(usize::MAX))
}

fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

fn position(offset: u64) -> libc::off_t {
    libc::off_t::try_from(offset).unwrap_or(libc::off_t::MAX)
}

fn failed<T>() -> Result<T, SwapError> {
    Err(std::io::Error::last_os_error().into())
}

fn protection(mapping: &Mapping) -> libc::c_int {
    let bit = |has: bool, bit| if has { bit } else { 0 };
    bit(mapping.read, libc::PROT_READ) | bit(mapping.write, libc::PROT_WRITE)
}

fn protect(range: &Range<u64>, protection: libc::c_int) -> Result<(), SwapError> {
    // SAFETY: changes what may be done with pages of the program's that stay where they are.
    if unsafe { libc::mprotect(at(range.start), size(range.end - range.start), protection) } == 0 {
        Ok(())
    } else {
        failed()
    }
}

/// Moves all bytes of a range to or from a file: `step` does some of it, given an address, a number of bytes and a position.
fn move_all(
    start: u64,
    bytes: u64,
    offset: u64,
    step: impl Fn(*mut libc::c_void, usize, libc::off_t) -> isize,
) -> Result<(), SwapError> {
    let mut done = 0;
    while done < bytes {
        let got = step(at(start + done), size(bytes - done), position(offset + done));
        match u64::try_from(got) {
            Ok(0) => return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into()),
            Ok(got) => done += got,
            Err(_) if std::io::Error::last_os_error().kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return failed(),
        }
    }
    Ok(())
}

/// New private pages with what is in the file.
fn private(bytes: u64, file: RawFd, offset: u64) -> Result<*mut libc::c_void, SwapError> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping at an address of the kernel's choice.
    let pages = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            size(bytes),
            libc::PROT_READ | libc::PROT_WRITE,
            flags,
            -1,
            0,
        )
    };
    if pages == libc::MAP_FAILED {
        return failed();
    }
    let start = pages.expose_provenance() as u64;
    // SAFETY: the kernel writes to pages that are ours alone, no more than there is room for.
    let read = move_all(start, bytes, offset, |to, bytes, from| unsafe {
        libc::pread(file, to, bytes, from)
    });
    if let Err(error) = read {
        // SAFETY: nobody has seen these pages.
        unsafe { libc::munmap(pages, size(bytes)) };
        return Err(error);
    }
    Ok(pages)
}

/// Puts pages in the place of others, at once.
fn move_to(pages: *mut libc::c_void, address: u64, bytes: u64) -> Result<(), SwapError> {
    let how = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
    // SAFETY: what is replaced has the same contents as what comes; `pages` is not used under its old address again.
    let got = unsafe { libc::mremap(pages, size(bytes), size(bytes), how, at(address)) };
    if got == libc::MAP_FAILED { failed() } else { Ok(()) }
}

/// Replaces a piece of one mapping by `file` from `offset`.
fn piece_in(range: &Range<u64>, protection: libc::c_int, file: RawFd, offset: u64) -> Result<(), SwapError> {
    let bytes = range.end - range.start;
    protect(range, libc::PROT_READ)?;
    // SAFETY: the kernel reads the program's pages, and says so where it cannot.
    let written = move_all(range.start, bytes, offset, |from, bytes, to| unsafe {
        libc::pwrite(file, from, bytes, to)
    });
    let replaced = written.and_then(|()| {
        let flags = libc::MAP_SHARED | libc::MAP_FIXED;
        // SAFETY: the new mapping has the contents of the one that it replaces, which nobody could change since they were copied.
        let got = unsafe {
            libc::mmap(
                at(range.start),
                size(bytes),
                protection,
                flags,
                file,
                position(offset),
            )
        };
        if got == libc::MAP_FAILED { failed() } else { Ok(()) }
    });
    if replaced.is_err() {
        let _ = protect(range, protection);
    }
    replaced
}

/// Replaces a piece of a mapping of `file` by private pages.
fn piece_out(range: &Range<u64>, now: libc::c_int, file: RawFd, offset: u64) -> Result<(), SwapError> {
    let bytes = range.end - range.start;
    protect(range, libc::PROT_READ)?;
    let replaced = private(bytes, file, offset).and_then(|pages| {
        let start = pages.expose_provenance() as u64;
        let result = protect(&(start..start + bytes), now).and_then(|()| move_to(pages, range.start, bytes));
        if result.is_err() {
            // SAFETY: nobody has seen these pages.
            unsafe { libc::munmap(pages, size(bytes)) };
        }
        result
    });
    if replaced.is_err() {
        let _ = protect(range, now);
    }
    replaced
}

/// The pieces of a mapping.
fn pieces(range: &Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let end = range.end;
    (range.start..end)
        .step_by(size(PIECE))
        .map(move |start| start..end.min(start + PIECE))
}

/// The mappings of a range, all of which can be replaced.
fn replaceable(range: &Range<u64>, read_only: bool) -> Result<Vec<Mapping>, SwapError> {
    let stack = maps::own_stack();
    if range.start < stack.end && stack.start < range.end {
        return Err(SwapError::Unsuitable(
            range.start,
            "the stack of the calling thread",
        ));
    }
    let found = maps::mappings(range)?;
    let mut covered = range.start;
    for mapping in &found {
        let start = mapping.range.start;
        if start != covered || !mapping.read {
            return Err(SwapError::NotMapped(covered));
        }
        if mapping.shared {
            return Err(SwapError::Unsuitable(start, "shared with other processes"));
        }
        if mapping.execute || mapping.special {
            return Err(SwapError::Unsuitable(start, "code, or not plain memory"));
        }
        if !mapping.write && !read_only {
            return Err(SwapError::ReadOnly(start));
        }
        covered = mapping.range.end;
    }
    if covered == range.end {
        Ok(found)
    } else {
        Err(SwapError::NotMapped(covered))
    }
}

/// Replaces `bytes` bytes of the program's memory from `start`, whole pages, by a shared mapping of `file` from `offset`, contents
/// kept. `read_only`: memory that the program cannot write to is taken too. The file stays open until [`unshare`].
///
/// # Errors
/// See [`SwapError`]; the memory is then as it was. Where even that could not be had, [`is_shared`] is true.
pub fn share(
    start: u64,
    bytes: u64,
    file: BorrowedFd<'static>,
    offset: u64,
    read_only: bool,
) -> Result<(), SwapError> {
    watch_forks();
    let range = start..start + bytes;
    let file = file.as_raw_fd();
    let mut table = table();
    let mappings = replaceable(&range, read_only)?;
    let _open = Open::new(&range)?;
    let shared = Shared { bytes, file, offset };
    let mut done = start;
    for mapping in &mappings {
        for piece in pieces(&mapping.range) {
            let from = offset + (piece.start - start);
            if let Err(error) = piece_in(&piece, protection(mapping), file, from) {
                let so_far = Shared {
                    bytes: done - start,
                    ..shared
                };
                if give_back(start, so_far).is_err() {
                    table.insert(start, shared);
                }
                return Err(error);
            }
            done = piece.end;
        }
    }
    table.insert(start, shared);
    Ok(())
}

/// Whether pages from `start` are replaced.
#[must_use]
pub fn is_shared(start: u64) -> bool {
    table().contains_key(&start)
}

/// The mappings of replaced pages, as far as they are still what they were made: the program may have unmapped some.
fn still_ours(start: u64, shared: Shared) -> Result<Vec<Mapping>, SwapError> {
    let mut status = std::mem::MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the call fills the structure where it succeeds.
    let inode = unsafe {
        if libc::fstat(shared.file, status.as_mut_ptr()) != 0 {
            return failed();
        }
        status.assume_init().st_ino
    };
    let mut found = maps::mappings(&(start..start + shared.bytes))?;
    found.retain(|mapping| {
        let from = shared.offset + (mapping.range.start - start);
        mapping.shared && mapping.inode == inode && mapping.offset == from
    });
    Ok(found)
}

fn give_back(start: u64, shared: Shared) -> Result<(), SwapError> {
    for mapping in still_ours(start, shared)? {
        for piece in pieces(&mapping.range) {
            let from = shared.offset + (piece.start - start);
            piece_out(&piece, protection(&mapping), shared.file, from)?;
        }
    }
    Ok(())
}

/// Makes the pages that [`share`] replaced from `start` private again, contents kept.
///
/// # Errors
/// The kernel refuses; some or all pages are still shared then.
pub fn unshare(start: u64) -> Result<(), SwapError> {
    let mut table = table();
    let Some(&shared) = table.get(&start) else {
        return Err(SwapError::NotMapped(start));
    };
    let _open = Open::new(&(start..start + shared.bytes))?;
    give_back(start, shared)?;
    table.remove(&start);
    Ok(())
}

/// Private pages with the contents of replaced ones, to be moved there in a child.
struct Copy {
    address: u64,
    bytes: u64,
    pages: *mut libc::c_void,
}

/// A fork that is under way.
struct Fork {
    copies: Vec<Copy>,
    /// Nothing is replaced meanwhile.
    table: MutexGuard<'static, Table>,
}

/// Set in a forked child: its pages are its own.
static IN_CHILD: AtomicBool = AtomicBool::new(false);

thread_local! {
    static FORKING: RefCell<Option<Fork>> = const { RefCell::new(None) };
}

/// Copies one mapping; `None` where there is no room: the child then sees what the parent writes.
fn copy_of(mapping: &Mapping, file: RawFd) -> Option<Copy> {
    let (address, bytes) = (mapping.range.start, mapping.range.end - mapping.range.start);
    let pages = private(bytes, file, mapping.offset).ok()?;
    let start = pages.expose_provenance() as u64;
    let _ = protect(&(start..start + bytes), protection(mapping));
    Some(Copy {
        address,
        bytes,
        pages,
    })
}

extern "C" fn before_fork() {
    if IN_CHILD.load(Ordering::SeqCst) {
        return;
    }
    let table = table();
    let mut copies = Vec::new();
    for (&start, &shared) in &*table {
        let mappings = still_ours(start, shared).unwrap_or_default();
        copies.extend(
            mappings
                .iter()
                .filter_map(|mapping| copy_of(mapping, shared.file)),
        );
    }
    let fork = Fork { copies, table };
    let _ = FORKING.try_with(|forking| *forking.borrow_mut() = Some(fork));
}

extern "C" fn in_parent() {
    let Ok(Some(fork)) = FORKING.try_with(|forking| forking.borrow_mut().take()) else {
        return;
    };
    for copy in &fork.copies {
        // SAFETY: the copy was the child's, which has its own by now.
        unsafe { libc::munmap(copy.pages, size(copy.bytes)) };
    }
}

extern "C" fn in_child() {
    IN_CHILD.store(true, Ordering::SeqCst);
    let Ok(Some(fork)) = FORKING.try_with(|forking| forking.borrow_mut().take()) else {
        return;
    };
    for copy in &fork.copies {
        let _ = move_to(copy.pages, copy.address, copy.bytes);
    }
    // Giving memory back is not for a child; the lock is the forking thread's, which is this one.
    std::mem::forget(fork.copies);
    drop(fork.table);
}

fn watch_forks() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the functions are of the C ABI and live as long as the process; in the child only system calls are made.
        unsafe { libc::pthread_atfork(Some(before_fork), Some(in_parent), Some(in_child)) };
    });
}

#[cfg(test)]
mod tests;
