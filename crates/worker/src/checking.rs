//! The checking mode of a worker: findings go to a file in the vGPU's directory, one line of JSON each.
//!
//! The file is opened before the sandbox, which has no files. Whoever may connect to the vGPU's directory may read it.

use crate::WorkerError;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::{Arc, Mutex, PoisonError};
use tessera_control::{FINDINGS, WorkerConfig};
use tessera_softgpu::check::{Checks, Finding};
use tessera_softgpu::{Checking, FindingSink};

/// Writes findings as they come: when a context closes.
struct Lines(Mutex<File>);

impl FindingSink for Lines {
    fn found(&self, findings: &[Finding]) {
        let text: String = findings.iter().map(|finding| finding.json() + "\n").collect();
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = file.write_all(text.as_bytes()) {
            tracing::error!(%error, "findings of the checks cannot be written");
        }
    }
}

/// What the configuration asks for.
pub(crate) fn checking(config: &WorkerConfig) -> Result<Option<Checking>, WorkerError> {
    let Some(list) = &config.check else {
        return Ok(None);
    };
    let checks = Checks::parse(list).map_err(WorkerError::Config)?;
    let path = config.directory.join(FINDINGS);
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&path)
        .map_err(|source| WorkerError::Findings { path, source })?;
    Ok(Some(Checking {
        checks,
        sink: Arc::new(Lines(Mutex::new(file))),
    }))
}
