//! Threads that write to pages which are being replaced: they wait until it is done, and write again.
//!
//! ```text
//!   SIGSEGV ─▶ in a window that is open ─────────▶ wait a moment, return: the instruction is tried again
//!          ├─▶ in one that was closed just now ──▶ return: the signal was on its way when the pages came
//!          └─▶ elsewhere ────────────────────────▶ whoever handled SIGSEGV before
//! ```
//!
//! The handler stays: a signal may be delivered any time after the fault. What it touches are atomics, and what it calls is safe in a
//! signal handler. A program that sets a handler of its own later is asked again when the next window opens.

use std::ffi::{c_int, c_void};
use std::ops::Range;
use std::sync::atomic::{AtomicI32, AtomicU64, AtomicUsize, Ordering};

/// Windows that are remembered.
const REMEMBERED: usize = 256;
/// How long a signal may be on its way.
const PATIENCE: u64 = 1_000_000_000;
/// Time between two attempts, in nanoseconds.
const PAUSE: libc::c_long = 20_000;
/// [`Window::until`] of a window that is open.
const OPEN: u64 = u64::MAX;

struct Window {
    start: AtomicU64,
    end: AtomicU64,
    /// When faults in it mean nothing of ours any more; 0 for no window.
    until: AtomicU64,
}

static WINDOWS: [Window; REMEMBERED] = [const {
    Window {
        start: AtomicU64::new(0),
        end: AtomicU64::new(0),
        until: AtomicU64::new(0),
    }
}; REMEMBERED];
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// A handler as `sigaction` has it.
struct Disposition {
    handler: AtomicUsize,
    flags: AtomicI32,
}

/// What was there before ours the first time, and the last time.
static FIRST: Disposition = Disposition::new();
static LAST: Disposition = Disposition::new();
/// The thread that is in a handler of [`LAST`]; should that come back to ours, it goes on to [`FIRST`].
static CHAINING: AtomicI32 = AtomicI32::new(0);

impl Disposition {
    const fn new() -> Self {
        Self {
            handler: AtomicUsize::new(libc::SIG_DFL),
            flags: AtomicI32::new(0),
        }
    }

    fn set(&self, action: &libc::sigaction) {
        self.handler.store(action.sa_sigaction, Ordering::SeqCst);
        self.flags.store(action.sa_flags, Ordering::SeqCst);
    }

    fn call(&self, signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
        let handler = self.handler.load(Ordering::SeqCst);
        if handler == libc::SIG_DFL || handler == libc::SIG_IGN {
            // SAFETY: all zeros is the default action without flags; raising a signal takes a number. A fault comes again by itself.
            unsafe {
                let action: libc::sigaction = std::mem::zeroed();
                libc::sigaction(signal, &raw const action, std::ptr::null_mut());
                if (*info).si_code <= 0 {
                    libc::raise(signal);
                }
            }
        } else if self.flags.load(Ordering::SeqCst) & libc::SA_SIGINFO != 0 {
            // SAFETY: the kernel gave this address out as that of a handler with three arguments.
            let handler = unsafe {
                std::mem::transmute::<usize, extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void)>(handler)
            };
            handler(signal, info, context);
        } else {
            // SAFETY: the kernel gave this address out as that of a handler with one argument.
            let handler = unsafe { std::mem::transmute::<usize, extern "C" fn(c_int)>(handler) };
            handler(signal);
        }
    }
}

fn now() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is valid for writing.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// Whether a fault there is to be tried again, after a pause.
fn ours(address: u64) -> bool {
    let hit = WINDOWS.iter().find(|window| {
        let inside =
            window.start.load(Ordering::SeqCst) <= address && address < window.end.load(Ordering::SeqCst);
        inside && window.until.load(Ordering::SeqCst) > now()
    });
    if hit.is_some() {
        let pause = libc::timespec {
            tv_sec: 0,
            tv_nsec: PAUSE,
        };
        // SAFETY: the time is valid for reading, and nobody asks for the rest.
        unsafe { libc::nanosleep(&raw const pause, std::ptr::null_mut()) };
    }
    hit.is_some()
}

extern "C" fn handler(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel gives a handler a valid siginfo, which has an address where the signal is a fault; errno is the thread's.
    let (address, errno) = unsafe { ((*info).si_addr().addr() as u64, *libc::__errno_location()) };
    if !ours(address) {
        // SAFETY: the call only returns a number.
        let thread = unsafe { libc::gettid() };
        if CHAINING.swap(thread, Ordering::SeqCst) == thread {
            FIRST.call(signal, info, context);
        } else {
            LAST.call(signal, info, context);
        }
        CHAINING.store(0, Ordering::SeqCst);
    }
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno };
}

/// Puts the handler in place where it is not. One thread at a time.
fn install() -> std::io::Result<()> {
    static INSTALLED: AtomicI32 = AtomicI32::new(0);
    let ours = handler as extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);
    // SAFETY: a sigaction of zeros is valid, both are valid for the calls, and the handler lives as long as the process: the library
    // that it is in is never unloaded (it has handlers of forks).
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        if libc::sigaction(libc::SIGSEGV, std::ptr::null(), &raw mut action) != 0 {
            return Err(std::io::Error::last_os_error());
        }
        if action.sa_sigaction == ours as usize {
            return Ok(());
        }
        LAST.set(&action);
        if INSTALLED.swap(1, Ordering::SeqCst) == 0 {
            FIRST.set(&action);
        }
        action.sa_sigaction = ours as usize;
        action.sa_flags =
            action.sa_flags & (libc::SA_NODEFER | libc::SA_RESTART) | libc::SA_SIGINFO | libc::SA_ONSTACK;
        if libc::sigaction(libc::SIGSEGV, &raw const action, std::ptr::null_mut()) != 0 {
            return Err(std::io::Error::last_os_error());
        }
    }
    Ok(())
}

/// A range in which threads that write have to wait; closed when it is dropped.
pub(super) struct Open(&'static Window);

impl Open {
    /// One thread at a time.
    pub(super) fn new(range: &Range<u64>) -> std::io::Result<Self> {
        install()?;
        let window = &WINDOWS[NEXT.fetch_add(1, Ordering::SeqCst) % REMEMBERED];
        window.until.store(0, Ordering::SeqCst);
        window.start.store(range.start, Ordering::SeqCst);
        window.end.store(range.end, Ordering::SeqCst);
        window.until.store(OPEN, Ordering::SeqCst);
        Ok(Self(window))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.until.store(now() + PATIENCE, Ordering::SeqCst);
    }
}
