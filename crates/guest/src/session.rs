//! The session of this process with its worker.

use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::sync::Arc;
use tessera_channel::{
    CallError, ChannelError, Client, ClientOptions, HostMapping, Records, Shared, StagingHeap,
};
use tessera_wire::messages::HelloReply;
use tessera_wire::{Call, CudaCode, Posted, VgpuInfo, kind};
use thiserror::Error;

/// Name of the variable that holds the path of the vGPU's `guest.sock`.
pub const SOCKET_VARIABLE: &str = "TESSERA_VGPU_SOCKET";

/// `CUDA_ERROR_DEVICE_UNAVAILABLE`: what every call answers once the worker is gone.
const DEVICE_UNAVAILABLE: i32 = 46;
/// `CUDA_ERROR_OUT_OF_MEMORY`
const OUT_OF_MEMORY: i32 = 2;
/// `CUDA_ERROR_UNKNOWN`
const UNKNOWN: i32 = 999;

/// Why there is no session.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The variable is not set.
    #[error(
        "{SOCKET_VARIABLE} is not set, so this process has no vGPU; start it with `tessera run -- PROGRAM`, or set the variable to the \
         guest.sock of a vGPU"
    )]
    NoSocket,
    /// Nobody listens.
    #[error("no worker answers at {path}; `tessera vgpu list` shows which vGPUs run")]
    Connect {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: ChannelError,
    },
    /// The worker speaks another protocol version.
    #[error(
        "the guest library and the worker are of different versions; install the guest library that came with the worker"
    )]
    Version(#[source] ChannelError),
    /// The worker takes no more sessions, or refuses for another reason.
    #[error("the worker at {path} refuses the session")]
    Refused {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: ChannelError,
    },
    /// The address range that guest and worker share is taken in this process.
    #[error(
        "the address range of the vGPU is taken in this process; start it without the tool that maps memory there"
    )]
    Arena(#[source] ChannelError),
    /// The session has no shared memory.
    #[error("the worker gave no shared memory")]
    NoMemory(#[source] ChannelError),
}

/// Why an exchange with the worker failed: a CUDA code and, where the worker gave one, a reason.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{reason} (CUDA code {code})")]
pub struct Failure {
    /// Never 0.
    pub code: i32,
    /// For a compiler: its error log.
    pub reason: String,
}

impl From<ChannelError> for Failure {
    fn from(error: ChannelError) -> Self {
        let code = match &error {
            ChannelError::Disconnected => DEVICE_UNAVAILABLE,
            // A worker that ends a session says why; success would be no reason.
            ChannelError::Ended(code) | ChannelError::Refused { code, .. } => i32::try_from(*code)
                .ok()
                .filter(|&code| code != 0)
                .unwrap_or(UNKNOWN),
            ChannelError::Exhausted(_) | ChannelError::TooLarge(_) => OUT_OF_MEMORY,
            ChannelError::Os { .. } => 304,
            _ => UNKNOWN,
        };
        Self {
            code,
            reason: crate::chain(&error),
        }
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Refused { code, reason } => Self {
                code: i32::try_from(code)
                    .ok()
                    .filter(|&code| code != 0)
                    .unwrap_or(UNKNOWN),
                reason,
            },
            CallError::Channel(error) => error.into(),
        }
    }
}

/// A CUDA session. All methods may be called from any thread.
#[derive(Debug)]
pub struct Session {
    client: Client,
}

/// Path of the socket that this process should use.
///
/// # Errors
/// The variable is not set.
pub fn socket_path() -> Result<PathBuf, ConnectError> {
    std::env::var_os(SOCKET_VARIABLE)
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
        .ok_or(ConnectError::NoSocket)
}

/// Name of the running program, as the manager and NVML show it.
#[must_use]
pub fn program() -> String {
    std::env::current_exe()
        .ok()
        .and_then(|path| path.file_name().map(|name| name.to_string_lossy().into_owned()))
        .unwrap_or_else(|| "unknown".to_owned())
}

impl Session {
    /// Connects to the worker of this process's vGPU and reserves the arena.
    ///
    /// # Errors
    /// See [`ConnectError`]; its text says what to do.
    pub fn connect() -> Result<Self, ConnectError> {
        let path = socket_path()?;
        let options = ClientOptions {
            kind: kind::CUDA,
            program: &program(),
            reserve_arena: true,
        };
        let client = Client::connect(&path, &options).map_err(|source| match source {
            ChannelError::Refused { code, .. } if code == CudaCode::SystemDriverMismatch.number() => {
                ConnectError::Version(source)
            }
            ChannelError::Refused { .. } => ConnectError::Refused { path, source },
            ChannelError::Wire(_) => ConnectError::Version(source),
            ChannelError::Arena { .. } => ConnectError::Arena(source),
            source => ConnectError::Connect { path, source },
        })?;
        client.records().map_err(ConnectError::NoMemory)?;
        client.staging().map_err(ConnectError::NoMemory)?;
        Ok(Self { client })
    }

    /// The vGPU as the worker describes it.
    #[must_use]
    pub fn info(&self) -> &VgpuInfo {
        self.client.vgpu()
    }

    /// Limits and addresses that the worker announced.
    #[must_use]
    pub fn welcome(&self) -> &HelloReply {
        self.client.welcome()
    }

    /// Completion records.
    ///
    /// # Panics
    /// Never: [`Session::connect`] has seen that they are there.
    #[must_use]
    #[inline]
    pub fn records(&self) -> &Records {
        match self.client.records() {
            Ok(records) => records,
            Err(_) => unreachable!("a session without records is not made"),
        }
    }

    /// The staging heap.
    ///
    /// # Panics
    /// Never, as [`Session::records`].
    #[must_use]
    #[inline]
    pub fn staging(&self) -> &StagingHeap {
        match self.client.staging() {
            Ok(staging) => staging,
            Err(_) => unreachable!("a session without staging is not made"),
        }
    }

    /// Whether the worker is there; a system call.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.client.is_alive()
    }

    /// Maps a piece of pinned host memory.
    ///
    /// # Errors
    /// The range is not the arena's, or the kernel refuses.
    pub fn map_host(&self, address: u64, offset: u64, bytes: u64) -> Result<HostMapping, Failure> {
        Ok(self.client.map_host(address, offset, bytes)?)
    }

    /// Maps the file in which this session's allocations lie, where there is one. To be called once.
    ///
    /// # Errors
    /// The worker refuses or is gone, or the kernel refuses.
    pub fn open_bar1(&self) -> Result<Option<Arc<Shared>>, Failure> {
        Ok(self.client.open_bar1()?)
    }

    /// The descriptor of the host arena, for [`crate::pages::share`].
    ///
    /// # Errors
    /// Never: [`Session::connect`] makes no session without.
    pub fn host_descriptor(&self) -> Result<BorrowedFd<'_>, Failure> {
        Ok(self.client.host_descriptor()?)
    }

    /// Posts a message that is not waited for.
    ///
    /// # Errors
    /// The worker is gone.
    #[inline]
    pub fn post<M: Posted>(&self, message: &M, tail: &[u8]) -> Result<(), Failure> {
        Ok(self.client.post(message, tail)?)
    }

    /// Posts a message with a new sequence number and returns the number.
    ///
    /// # Errors
    /// The worker is gone.
    #[inline]
    pub fn post_with<M: Posted>(&self, tail: &[u8], message: impl FnOnce(u64) -> M) -> Result<u64, Failure> {
        Ok(self.client.post_with(tail, message)?)
    }

    /// The last sequence number that any message of this session got. Whoever sees one sees what was done while its message was made.
    #[must_use]
    #[inline]
    pub fn latest(&self) -> u64 {
        self.client.latest()
    }

    /// Sends a message that is not waited for and that overtakes everything posted.
    ///
    /// # Errors
    /// The worker is gone.
    pub fn send_out_of_turn<M: Posted>(&self, message: &M) -> Result<(), Failure> {
        Ok(self.client.send_out_of_turn(message)?)
    }

    /// Sends a message and waits for its answer and the answer's tail.
    ///
    /// # Errors
    /// The worker refuses, or is gone.
    pub fn call<M: Call>(&self, message: &M, tail: &[u8]) -> Result<(M::Reply, Vec<u8>), Failure> {
        let reply = self.client.call(message, tail)?;
        Ok((reply.value, reply.tail))
    }
}
