//! Tessera's own log in a guest process: to standard error, or to the file that `TESSERA_LOG` names. Never to standard output, which
//! belongs to the program.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::sync::{Mutex, OnceLock, PoisonError};

/// Name of the variable that holds the path of the log file; empty or unset: standard error.
pub const LOG_VARIABLE: &str = "TESSERA_LOG";

fn file() -> Option<&'static Mutex<File>> {
    static FILE: OnceLock<Option<Mutex<File>>> = OnceLock::new();
    FILE.get_or_init(|| {
        let path = std::env::var_os(LOG_VARIABLE).filter(|path| !path.is_empty())?;
        OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .ok()
            .map(Mutex::new)
    })
    .as_ref()
}

/// Writes one line. A log that cannot be written is no reason to fail.
pub fn log(line: &str) {
    let line = format!("tessera: {line}\n");
    // One write per line, so that lines of several processes do not mix.
    let _ = match file() {
        Some(file) => file
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .write_all(line.as_bytes()),
        None => std::io::stderr().write_all(line.as_bytes()),
    };
}
