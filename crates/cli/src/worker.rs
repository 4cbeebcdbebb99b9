//! `tessera worker`: this program as the worker of a vGPU.

use crate::{args::WorkerOptions, error::CliError, logging};
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use std::{io::Read as _, process::ExitCode};
use tessera_control::WorkerConfig;

/// Longest configuration accepted, bytes.
const MOST_CONFIG_BYTES: u64 = 1 << 16;

pub(crate) fn run(options: &WorkerOptions) -> Result<ExitCode, CliError> {
    logging::start("info");
    if let Some(parent) = options.with_parent {
        follow(parent)?;
    }
    let mut text = String::new();
    let failed = |error: &dyn std::fmt::Display| {
        CliError::Worker(format!(
            "no configuration on standard input ({error}); workers are started by the manager"
        ))
    };
    std::io::stdin()
        .take(MOST_CONFIG_BYTES)
        .read_to_string(&mut text)
        .map_err(|error| failed(&error))?;
    let config: WorkerConfig = serde_json::from_str(&text).map_err(|error| failed(&error))?;
    tessera_worker::run(config).map_err(|error| CliError::Worker(error.to_string()))?;
    Ok(ExitCode::SUCCESS)
}

/// Has the kernel end this process with its parent, and makes sure that the parent did not end just before.
fn follow(parent: u32) -> Result<(), CliError> {
    let failed = |what: String| CliError::Worker(format!("--with-parent {parent}: {what}"));
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|error| failed(error.to_string()))?;
    let wanted = i32::try_from(parent).ok().and_then(Pid::from_raw);
    if wanted.is_none() || getppid() != wanted {
        return Err(failed(
            "that process is not the parent; it may have ended".to_owned(),
        ));
    }
    Ok(())
}
