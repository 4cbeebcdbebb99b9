use super::*;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::sync::atomic::AtomicU64;

const PAGE: u64 = 4096;

fn file(bytes: u64) -> &'static OwnedFd {
    // SAFETY: the name is a C string; a new descriptor is nobody else's.
    let file = unsafe { OwnedFd::from_raw_fd(libc::memfd_create(c"pages".as_ptr(), libc::MFD_CLOEXEC)) };
    std::fs::File::from(file.try_clone().expect("a descriptor"))
        .set_len(bytes)
        .expect("sized");
    Box::leak(Box::new(file))
}

fn map(bytes: u64, flags: libc::c_int, descriptor: RawFd) -> u64 {
    let both = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping at an address of the kernel's choice.
    let pages = unsafe { libc::mmap(std::ptr::null_mut(), size(bytes), both, flags, descriptor, 0) };
    assert_ne!(pages, libc::MAP_FAILED);
    pages.expose_provenance() as u64
}

fn pages(bytes: u64) -> u64 {
    map(bytes, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1)
}

fn word(address: u64) -> &'static AtomicU64 {
    // SAFETY: the tests never unmap what they look at.
    unsafe { AtomicU64::from_ptr(at(address).cast()) }
}

/// What a child makes of it: its exit status.
fn in_a_child(work: impl FnOnce() -> i32) -> i32 {
    let mut status = 0;
    // SAFETY: the child only looks at memory and ends without coming back.
    unsafe {
        let child = libc::fork();
        assert!(child >= 0);
        if child == 0 {
            libc::_exit(work());
        }
        assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
    }
    if libc::WIFEXITED(status) {
        libc::WEXITSTATUS(status)
    } else {
        -libc::WTERMSIG(status)
    }
}

#[test]
fn contents_stay_and_both_sides_see_what_is_written() {
    let bytes = 3 * PIECE + 5 * PAGE;
    let (start, file) = (pages(bytes), file(bytes + PAGE));
    for page in (0..bytes).step_by(size(PAGE)) {
        word(start + page + 8).store(page + 1, Ordering::SeqCst);
    }
    share(start, bytes, file.as_fd(), PAGE, false).expect("shared");
    assert!(is_shared(start));
    let other = map(bytes + PAGE, libc::MAP_SHARED, file.as_raw_fd()) + PAGE;
    for page in (0..bytes).step_by(size(PAGE)) {
        assert_eq!(word(start + page + 8).load(Ordering::SeqCst), page + 1);
        assert_eq!(word(other + page + 8).load(Ordering::SeqCst), page + 1);
    }
    word(start + PIECE).store(77, Ordering::SeqCst);
    word(other + PIECE + 16).store(78, Ordering::SeqCst);
    assert_eq!(word(other + PIECE).load(Ordering::SeqCst), 77);
    unshare(start).expect("private");
    assert!(!is_shared(start));
    assert_eq!(word(start + PIECE).load(Ordering::SeqCst), 77);
    assert_eq!(word(start + PIECE + 16).load(Ordering::SeqCst), 78);
    word(other + PIECE).store(79, Ordering::SeqCst);
    assert_eq!(word(start + PIECE).load(Ordering::SeqCst), 77);
    assert!(unshare(start).is_err());
}

#[test]
fn nothing_that_other_threads_write_is_lost() {
    const THREADS: u64 = 3;
    const PIECES: u64 = 24;
    let bytes = PIECES * PAGE;
    let (start, file) = (pages(bytes), file(bytes));
    let over = AtomicBool::new(false);
    let sums: Vec<u64> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..THREADS)
            .map(|thread| {
                let over = &over;
                scope.spawn(move || {
                    let mut sum = 0;
                    while !over.load(Ordering::Relaxed) {
                        for page in 0..PIECES {
                            word(start + page * PAGE + thread * 8).fetch_add(1, Ordering::Relaxed);
                        }
                        sum += 1;
                    }
                    sum
                })
            })
            .collect();
        for _ in 0..200 {
            share(start, bytes, file.as_fd(), 0, false).expect("shared");
            unshare(start).expect("private");
        }
        over.store(true, Ordering::Relaxed);
        writers
            .into_iter()
            .map(|writer| writer.join().expect("no panic"))
            .collect()
    });
    for (thread, sum) in (0..THREADS).zip(sums) {
        assert!(sum > 0);
        for page in 0..PIECES {
            let word = word(start + page * PAGE + thread * 8);
            assert_eq!(word.load(Ordering::Relaxed), sum, "thread {thread}, page {page}");
        }
    }
}

#[test]
fn what_cannot_be_replaced_is_left_alone() {
    let file = file(4 * PAGE);
    let take = |start, read_only| share(start, 4 * PAGE, file.as_fd(), 0, read_only);
    let shared = map(4 * PAGE, libc::MAP_SHARED | libc::MAP_ANONYMOUS, -1);
    assert!(matches!(take(shared, false), Err(SwapError::Unsuitable(..))));
    let code = (what_cannot_be_replaced_is_left_alone as fn() as usize) as u64 / PAGE * PAGE;
    assert!(matches!(
        share(code, PAGE, file.as_fd(), 0, true),
        Err(SwapError::Unsuitable(..))
    ));
    let here = 0u8;
    let here = (&raw const here).addr() as u64 / PAGE * PAGE;
    assert!(matches!(take(here, false), Err(SwapError::Unsuitable(..))));
    let gap = pages(4 * PAGE);
    // SAFETY: pages of this test.
    unsafe { libc::munmap(at(gap + 2 * PAGE), size(PAGE)) };
    match take(gap, false) {
        Err(SwapError::NotMapped(address)) => assert_eq!(address, gap + 2 * PAGE),
        other => panic!("{other:?}"),
    }
    let constant = pages(4 * PAGE);
    word(constant).store(5, Ordering::SeqCst);
    protect(&(constant..constant + 4 * PAGE), libc::PROT_READ).expect("protected");
    assert!(matches!(take(constant, false), Err(SwapError::ReadOnly(_))));
    take(constant, true).expect("shared");
    assert_eq!(word(constant).load(Ordering::SeqCst), 5);
    let write = || word(constant).store(6, Ordering::SeqCst);
    let killed = in_a_child(|| {
        write();
        0
    });
    assert_eq!(killed, -libc::SIGSEGV, "still read-only");
    unshare(constant).expect("private");
}

#[test]
fn a_child_has_pages_of_its_own() {
    let bytes = PIECE + PAGE;
    let (start, file) = (pages(bytes), file(bytes));
    word(start).store(1, Ordering::SeqCst);
    share(start, bytes, file.as_fd(), 0, false).expect("shared");
    word(start + PIECE).store(2, Ordering::SeqCst);
    let status = in_a_child(|| {
        let right =
            word(start).load(Ordering::SeqCst) == 1 && word(start + PIECE).load(Ordering::SeqCst) == 2;
        word(start).store(3, Ordering::SeqCst);
        // Its own child has what it had.
        let below = in_a_child(|| i32::from(word(start).load(Ordering::SeqCst) != 3));
        i32::from(!right) + below
    });
    assert_eq!(status, 0);
    assert_eq!(word(start).load(Ordering::SeqCst), 1);
    unshare(start).expect("private");
}

#[test]
fn what_the_program_has_unmapped_does_not_come_back() {
    let bytes = 3 * PAGE;
    let (start, file) = (pages(bytes), file(bytes));
    share(start, bytes, file.as_fd(), 0, false).expect("shared");
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
    // SAFETY: pages of this test.
    let got = unsafe {
        libc::mmap(
            at(start + PAGE),
            size(PAGE),
            libc::PROT_READ | libc::PROT_WRITE,
            flags,
            -1,
            0,
        )
    };
    assert_ne!(got, libc::MAP_FAILED);
    word(start).store(1, Ordering::SeqCst);
    word(start + PAGE).store(2, Ordering::SeqCst);
    let child = || {
        i32::from(word(start).load(Ordering::SeqCst) != 1 || word(start + PAGE).load(Ordering::SeqCst) != 2)
    };
    assert_eq!(in_a_child(child), 0);
    unshare(start).expect("private");
    assert_eq!(word(start).load(Ordering::SeqCst), 1);
    assert_eq!(word(start + PAGE).load(Ordering::SeqCst), 2);
}

#[test]
fn other_faults_go_where_they_went() {
    extern "C" fn handler(_: libc::c_int) {
        // SAFETY: ends the process.
        unsafe { libc::_exit(42) };
    }
    let (start, file) = (pages(PAGE), file(PAGE));
    let nowhere = pages(PAGE);
    let fault = || {
        let _ = share(start, PAGE, file.as_fd(), 0, false);
        // SAFETY: pages of this test, in a child.
        unsafe { libc::munmap(at(nowhere), size(PAGE)) };
        word(nowhere).store(1, Ordering::SeqCst);
        0
    };
    assert_eq!(in_a_child(fault), -libc::SIGSEGV);
    let handled = in_a_child(|| {
        // SAFETY: a handler that is a function of this test.
        unsafe { libc::signal(libc::SIGSEGV, handler as extern "C" fn(libc::c_int) as usize) };
        fault()
    });
    assert_eq!(handled, 42);
}
