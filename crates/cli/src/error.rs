//! Errors of the command line and the exit codes they end with.

use std::{io, path::Path, path::PathBuf, process::ExitCode};
use tessera_catalogue::LookupError;
use tessera_client::{ClientError, ErrorCode};
use tessera_manager::{ConfigError, ServerError};

/// Why a command did not do its work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum CliError {
    /// The manager refused or does not answer.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Nothing of that name in the catalogue.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// The manager cannot start.
    #[error("the manager cannot start: {0}")]
    Manager(#[from] tessera_manager::Error),
    /// The API cannot be served.
    #[error("the manager cannot start: {0}")]
    Server(#[from] ServerError),
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file failed.
    #[error("cannot {what} {}: {source}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The guest libraries are not where they should be.
    #[error(
        "the guest libraries (libcuda.so.1, libnvidia-ml.so.1) are not in {}; set TESSERA_LIB_DIR to the directory that has them",
        looked.join(", nor in ")
    )]
    NoLibraries {
        /// Where they were looked for.
        looked: Vec<String>,
    },
    /// There is no vGPU to run on.
    #[error("no vGPU to run on: {0}")]
    NoVgpu(String),
    /// A command was interrupted before its work began.
    #[error("interrupted")]
    Interrupted,
    /// A worker failed.
    #[error("{0}")]
    Worker(String),
    /// An option's value is out of range.
    #[error("{0}")]
    Usage(String),
    /// A program cannot be run.
    #[error("cannot run {program}: {source}")]
    Program {
        /// The program.
        program: String,
        /// What the system said.
        source: io::Error,
    },
}

impl CliError {
    pub(crate) fn file(what: &'static str, path: &Path, source: io::Error) -> Self {
        Self::File {
            what,
            path: path.to_owned(),
            source,
        }
    }

    /// What the process ends with; documented in the help.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Client(ClientError::NoManager { .. }) => 3,
            Self::Client(ClientError::Refused(error)) => match error.code {
                ErrorCode::NotFound => 4,
                ErrorCode::Conflict | ErrorCode::InsufficientResources | ErrorCode::NotSupported => 5,
                ErrorCode::InvalidArgument | ErrorCode::WorkerFailed | ErrorCode::Internal => 1,
            },
            Self::Lookup(_) => 4,
            Self::Usage(_) => 2,
            Self::NoVgpu(_) | Self::NoLibraries { .. } => 125,
            Self::Interrupted => 130,
            Self::Program { source, .. } if source.kind() == io::ErrorKind::NotFound => 127,
            Self::Program { .. } => 126,
            _ => 1,
        })
    }
}
