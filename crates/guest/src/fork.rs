//! What a fork leaves: the child has the parent's memory but not its session, so the driver is dead there, as the real one is.
//!
//! The child must not touch locks that another thread of the parent may have held; all that happens in it is one store.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Once, OnceLock};

static IN_CHILD: AtomicBool = AtomicBool::new(false);
static HOOK: OnceLock<fn()> = OnceLock::new();

extern "C" fn child() {
    IN_CHILD.store(true, Ordering::SeqCst);
    if let Some(hook) = HOOK.get() {
        hook();
    }
}

/// Begins to notice forks. `hook` runs in every child and may only store to atomics.
pub fn watch_forks(hook: fn()) {
    static ONCE: Once = Once::new();
    let _ = HOOK.set(hook);
    ONCE.call_once(|| {
        // SAFETY: `child` is a function of the C ABI that lives as long as the process and is async-signal-safe.
        unsafe { libc::pthread_atfork(None, None, Some(child)) };
    });
}

/// Whether this process was forked after [`watch_forks`].
#[must_use]
pub fn forked() -> bool {
    IN_CHILD.load(Ordering::Relaxed)
}
