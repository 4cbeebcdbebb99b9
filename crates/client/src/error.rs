//! Refusals of the manager and failures of the way to it.

use serde::{Deserialize, Serialize};
use std::{io, path::PathBuf};
use utoipa::ToSchema;

/// Kind of a refusal, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The request itself is wrong: a name, a type, a number.
    InvalidArgument,
    /// The object does not exist.
    NotFound,
    /// The object's state does not allow it, or the name is taken.
    Conflict,
    /// The GPU or the host has no room.
    InsufficientResources,
    /// The vendor's rules, or this version, do not have it.
    NotSupported,
    /// The worker process of a vGPU could not be started or died.
    WorkerFailed,
    /// The manager failed; its log has more.
    Internal,
}

impl ErrorCode {
    /// All codes, in order.
    pub const ALL: [Self; 7] = [
        Self::InvalidArgument,
        Self::NotFound,
        Self::Conflict,
        Self::InsufficientResources,
        Self::NotSupported,
        Self::WorkerFailed,
        Self::Internal,
    ];

    /// HTTP status of an answer with this code.
    pub fn http_status(self) -> u16 {
        match self {
            Self::InvalidArgument => 400,
            Self::NotFound => 404,
            Self::Conflict => 409,
            Self::InsufficientResources => 507,
            Self::NotSupported => 422,
            Self::WorkerFailed => 502,
            Self::Internal => 500,
        }
    }
}

/// Body of a refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// Kind.
    pub code: ErrorCode,
    /// What happened, which object, what to do.
    pub message: String,
}

/// Why a call gave no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Nothing listens on the socket.
    #[error(
        "no manager answers at {}: {source}; start one with `tessera manager` (or name its run directory with TESSERA_RUN_DIR)",
        socket.display()
    )]
    NoManager {
        /// Where one was looked for.
        socket: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The manager refused.
    #[error(transparent)]
    Refused(#[from] ApiError),
    /// The connection broke.
    #[error("the connection to the manager at {} broke; it may have been stopped", socket.display())]
    Connection {
        /// The manager's socket.
        socket: PathBuf,
        /// What broke.
        source: hyper::Error,
    },
    /// The answer is not one that this version understands.
    #[error("the manager at {} gave an answer that this version of tessera does not understand ({what}); are both of one version?", socket.display())]
    Protocol {
        /// The manager's socket.
        socket: PathBuf,
        /// What is wrong with it.
        what: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_has_its_status() {
        let table = [400, 404, 409, 507, 422, 502, 500];
        for (code, status) in ErrorCode::ALL.into_iter().zip(table) {
            assert_eq!(code.http_status(), status, "{code:?}");
        }
    }
}
