//! Errors of the manager, and the one table that turns them into answers of the API.

use crate::admission::Refusal;
use std::{io, path::PathBuf};
use tessera_catalogue::LookupError;
use tessera_client::{ApiError, ErrorCode};
use uuid::Uuid;

/// Why the manager did not do something.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No such GPU.
    #[error("there is no GPU `{given}` on this host; `tessera gpu list` shows them")]
    UnknownGpu {
        /// What was asked for.
        given: String,
    },
    /// No such vGPU.
    #[error("there is no vGPU `{given}` on this host; `tessera vgpu list` shows them")]
    UnknownVgpu {
        /// What was asked for.
        given: String,
    },
    /// Several vGPUs are meant.
    #[error("`{given}` is the start of several UUIDs: {}; give more of one", join(.uuids))]
    AmbiguousVgpu {
        /// What was asked for.
        given: String,
        /// Which they are.
        uuids: Vec<Uuid>,
    },
    /// A name is in use.
    #[error("the name `{name}` is taken by vGPU {uuid}; choose another or delete that one")]
    NameTaken {
        /// The name.
        name: String,
        /// Who has it.
        uuid: Uuid,
    },
    /// A name cannot be used.
    #[error(
        "`{name}` cannot be the name of a vGPU: use 1 to 63 letters, digits, `.`, `_` or `-`, starting with a letter, not the form of a UUID"
    )]
    BadName {
        /// The name.
        name: String,
    },
    /// A board or type is not in the catalogue.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// No GPU of the host has the type.
    #[error("no GPU of this host has the vGPU type `{given}`; `tessera types` shows what there is")]
    NoGpuHasType {
        /// The type.
        given: String,
    },
    /// The rules of the GPU do not allow it.
    #[error("GPU {gpu}: {source}")]
    Refused {
        /// Number of the GPU.
        gpu: u32,
        /// Why.
        source: Refusal,
    },
    /// Every arena of virtual addresses is in use.
    #[error(
        "this host has {limit} vGPUs, as many as there are arenas of virtual addresses; delete one first"
    )]
    NoArena {
        /// How many there are.
        limit: u32,
    },
    /// The vGPU is being deleted.
    #[error("vGPU {uuid} is being deleted")]
    BeingDeleted {
        /// Which.
        uuid: Uuid,
    },
    /// The worker cannot be started, reached or ended.
    #[error("vGPU {uuid}: {reason}")]
    Worker {
        /// Which.
        uuid: Uuid,
        /// What happened and where to look.
        reason: String,
    },
    /// A declared GPU replaces one that holds vGPUs.
    #[error(
        "GPU {gpu} is a {was} in the state and {now} in the configuration, but it holds vGPU {vgpu}; delete its vGPUs first or declare it as before"
    )]
    GpuHoldsVgpus {
        /// Number of the GPU.
        gpu: u32,
        /// Board in the state.
        was: String,
        /// Board declared, or that it is gone.
        now: String,
        /// One of its vGPUs.
        vgpu: Uuid,
    },
    /// Another manager has the state directory.
    #[error("another manager uses {}; stop it first or give this one another TESSERA_STATE_DIR", path.display())]
    StateInUse {
        /// The lock file.
        path: PathBuf,
    },
    /// The state was written by a later version.
    #[error(
        "the state in {} has version {found}, this manager knows up to {known}; use the version of tessera that wrote it, or a later one",
        path.display()
    )]
    StateTooNew {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The latest known.
        known: i64,
    },
    /// The state does not make sense.
    #[error("the state is damaged: {what}")]
    StateDamaged {
        /// What is wrong.
        what: String,
    },
    /// The database failed.
    #[error("the state database failed: {0}")]
    Database(#[from] rusqlite::Error),
    /// A file or directory failed.
    #[error("cannot {what} {}: {source}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A directory of ours belongs to someone else.
    #[error("{} belongs to another user; remove it or give the manager another TESSERA_RUN_DIR", path.display())]
    NotOurs {
        /// The directory.
        path: PathBuf,
    },
    /// The run directory's path does not leave room for socket names.
    #[error(
        "the run directory {} is too long: socket paths under it would have {length} bytes and the system allows {limit}; choose a shorter TESSERA_RUN_DIR",
        path.display()
    )]
    PathTooLong {
        /// The run directory.
        path: PathBuf,
        /// Bytes of the longest socket path.
        length: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The manager is stopping.
    #[error("the manager is stopping; try again when it is back")]
    Stopping,
}

fn join(uuids: &[Uuid]) -> String {
    uuids.iter().map(Uuid::to_string).collect::<Vec<_>>().join(", ")
}

impl Error {
    /// The code that the API answers with.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::UnknownGpu { .. } | Self::UnknownVgpu { .. } => ErrorCode::NotFound,
            Self::AmbiguousVgpu { .. }
            | Self::BadName { .. }
            | Self::Lookup(_)
            | Self::NoGpuHasType { .. } => ErrorCode::InvalidArgument,
            Self::NameTaken { .. } | Self::BeingDeleted { .. } | Self::GpuHoldsVgpus { .. } => {
                ErrorCode::Conflict
            }
            Self::Refused { source, .. } => match source {
                Refusal::MigIsOff { .. } | Refusal::NoUnifiedMemory { .. } => ErrorCode::NotSupported,
                Refusal::OtherSize { .. } => ErrorCode::Conflict,
                Refusal::MaximumReached { .. } | Refusal::NoFrameBuffer { .. } => {
                    ErrorCode::InsufficientResources
                }
            },
            Self::NoArena { .. } => ErrorCode::InsufficientResources,
            Self::Worker { .. } => ErrorCode::WorkerFailed,
            Self::StateInUse { .. }
            | Self::StateTooNew { .. }
            | Self::StateDamaged { .. }
            | Self::Database(_)
            | Self::File { .. }
            | Self::NotOurs { .. }
            | Self::PathTooLong { .. }
            | Self::Stopping => ErrorCode::Internal,
        }
    }

    /// The body that the API answers with.
    pub fn to_api(&self) -> ApiError {
        ApiError {
            code: self.code(),
            message: self.to_string(),
        }
    }

    pub(crate) fn file(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { what, path, source }
    }
}
