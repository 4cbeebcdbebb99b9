//! What stands between every exported symbol and its handler.
//!
//! ```text
//!   exported symbol ─▶ entry ─▶ state: not initialised, forked ─▶ 3;  in a host function ─▶ 800
//!                        └────▶ handler ─┬─ Ok ─▶ 0
//!                                        ├─ Err(code) ─▶ code
//!                                        └─ panic ─▶ 999 and one log line; it never crosses the ABI
//! ```

use crate::code::{Answer, Code};
use crate::exports::UNSUPPORTED;
use crate::state;
use crate::types::Handle;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

/// What stream 0 means to a symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DefaultStream {
    /// The context's legacy stream.
    Legacy,
    /// The calling thread's own: symbols that end in `_ptsz` or `_ptds`.
    PerThread,
}

/// `CU_STREAM_LEGACY`
pub(crate) const STREAM_LEGACY: Handle = 1;
/// `CU_STREAM_PER_THREAD`
pub(crate) const STREAM_PER_THREAD: Handle = 2;

impl DefaultStream {
    /// The stream that `stream` names, with 0 replaced.
    pub(crate) fn resolve(self, stream: Handle) -> Handle {
        match (self, stream) {
            (Self::Legacy, 0) => STREAM_LEGACY,
            (Self::PerThread, 0) => STREAM_PER_THREAD,
            _ => stream,
        }
    }
}

/// Runs the handler of a function that needs an initialised driver and that may have to wait for the worker. The worker may wait for
/// the host function that calls it.
#[inline]
pub(crate) fn entry(symbol: &'static str, handler: impl FnOnce() -> Answer) -> i32 {
    if crate::hostfn::is_inside() && state::ready() {
        return Code::NOT_PERMITTED.0;
    }
    entry_local(symbol, handler)
}

/// Runs the handler of a function that needs an initialised driver and is answered here.
#[inline]
pub(crate) fn entry_local(symbol: &'static str, handler: impl FnOnce() -> Answer) -> i32 {
    if !state::ready() {
        return Code::NOT_INITIALIZED.0;
    }
    entry_before_init(symbol, handler)
}

/// Runs the handler of a function that says itself what holds before initialisation.
#[inline]
pub(crate) fn entry_before_init(symbol: &'static str, handler: impl FnOnce() -> Answer) -> i32 {
    match catch_unwind(AssertUnwindSafe(handler)) {
        Ok(Ok(())) => 0,
        Ok(Err(code)) => code.0,
        Err(_) => panicked(symbol),
    }
}

#[cold]
fn panicked(symbol: &'static str) -> i32 {
    tessera_guest::log(&format!(
        "{symbol} met a defect of Tessera's guest driver and answers CUDA_ERROR_UNKNOWN; please report it"
    ));
    Code::UNKNOWN.0
}

/// Answers a function that is exported and not served.
#[cold]
pub(crate) fn unsupported(index: usize) -> i32 {
    static LOGGED: [AtomicBool; UNSUPPORTED.len()] = [const { AtomicBool::new(false) }; UNSUPPORTED.len()];
    if !state::ready() {
        return Code::NOT_INITIALIZED.0;
    }
    if let (Some(logged), Some(symbol)) = (LOGGED.get(index), UNSUPPORTED.get(index))
        && !logged.swap(true, Ordering::Relaxed)
    {
        tessera_guest::log(&format!(
            "{symbol} is not supported yet and answers CUDA_ERROR_NOT_SUPPORTED"
        ));
    }
    Code::NOT_SUPPORTED.0
}
