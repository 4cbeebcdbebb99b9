//! Errors of a worker as a whole. What a guest is told is a [`crate::refusal::Refusal`].

use std::path::PathBuf;
use tessera_device::DeviceError;
use thiserror::Error;

/// Why a worker could not start or had to end.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WorkerError {
    /// The configuration names something that does not exist or does not fit.
    #[error("Configuration of the worker: {0}")]
    Config(String),
    /// A socket could not be made.
    #[error("Cannot listen on {path}")]
    Listen {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file for the findings of the checks could not be made.
    #[error("Cannot write to {path}")]
    Findings {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The device did not open.
    #[error("Cannot open the device")]
    Device(#[from] DeviceError),
    /// A privilege could not be dropped; the worker does not run without.
    #[error("Cannot enter the sandbox: {what}")]
    Sandbox {
        /// Which step.
        what: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A thread could not be started.
    #[error("Cannot start a thread")]
    Thread(#[source] std::io::Error),
}
