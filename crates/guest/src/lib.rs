//! What the guest libraries share: the session with the worker, the log, the notice of forks.
//!
//! ```text
//!   libcuda ─┐                     ┌─ connect: TESSERA_VGPU_SOCKET, Hello, arena
//!            ├─▶ tessera-guest ────┼─ post, call, records, staging ─▶ tessera-channel ─▶ worker
//!   libnvml ─┘                     └─ log (standard error or TESSERA_LOG; never standard output), forks
//! ```
#![deny(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::ptr_as_ptr
)]

mod fork;
mod log;
pub mod pages;
mod session;

pub use fork::{forked, watch_forks};
pub use log::{LOG_VARIABLE, log};
pub use session::{ConnectError, Failure, SOCKET_VARIABLE, Session, program, socket_path};

use std::error::Error;

/// An error with its causes, in one line.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let text = inner.to_string();
        // Transparent wrappers repeat what they wrap.
        if !line.ends_with(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        cause = inner.source();
    }
    line
}
