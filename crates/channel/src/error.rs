//! Errors of a channel.

use tessera_wire::WireError;
use thiserror::Error;

/// Why the channel could not do what was asked.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ChannelError {
    /// The other side is gone: its process ended or it closed the connection.
    #[error("The other side of the channel is gone")]
    Disconnected,
    /// The worker ended this session because of what the guest sent, or because the vGPU is shut down.
    #[error("The worker ended the session with CUDA code {0}")]
    Ended(u32),
    /// Nobody listens where the worker should be.
    #[error("Cannot connect to the worker at {path}")]
    Connect {
        /// The socket.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The worker refused the session.
    #[error("The worker refused the session: {reason} (CUDA code {code})")]
    Refused {
        /// CUDA code.
        code: u32,
        /// What it said.
        reason: String,
    },
    /// The other side's bytes are no message of this protocol.
    #[error("Protocol error")]
    Wire(#[from] WireError),
    /// The shared memory does not hold what it should.
    #[error("Corrupt aperture: {0}")]
    Corrupt(&'static str),
    /// Something asked for does not fit: message, staging, records.
    #[error("Does not fit: {0}")]
    TooLarge(&'static str),
    /// All completion records or all of the staging heap is in use.
    #[error("Out of {0}")]
    Exhausted(&'static str),
    /// The call needs an aperture and this session has none.
    #[error("This session has no aperture")]
    NoAperture,
    /// The address range that both sides must share is taken in this process.
    #[error("Cannot reserve the arena at {base:#x}, {bytes:#x} bytes")]
    Arena {
        /// First address.
        base: u64,
        /// Length.
        bytes: u64,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The operating system refused something.
    #[error("Operating system error in {what}")]
    Os {
        /// What was tried.
        what: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl ChannelError {
    /// The last error of the C library, said of `what`.
    pub(crate) fn os(what: &'static str) -> Self {
        Self::Os {
            what,
            source: std::io::Error::last_os_error(),
        }
    }
}
