//! `tessera cache`: the machine code that is kept for later runs.

use crate::{args::CacheCommand, error::CliError, table, units::bytes};
use std::{path::Path, process::ExitCode};
use tessera_worker::{CODE_CACHE_VARIABLE, CodeFile, user_code_file};

pub(crate) fn run(command: CacheCommand, json: bool) -> Result<ExitCode, CliError> {
    let Some(path) = user_code_file() else {
        return Err(CliError::Usage(format!(
            "no machine code is kept: {CODE_CACHE_VARIABLE} is off, or there is no home directory"
        )));
    };
    match command {
        CacheCommand::Show => show(&path, json),
        CacheCommand::Clear => clear(&path, json),
    }?;
    Ok(ExitCode::SUCCESS)
}

fn open(path: &Path) -> Result<CodeFile, CliError> {
    CodeFile::open(path).map_err(|source| CliError::file("open", path, source))
}

fn show(path: &Path, json: bool) -> Result<(), CliError> {
    let figures = open(path)?.figures();
    if json {
        return table::json(&serde_json::json!({
            "file": path,
            "kernels": figures.kernels,
            "bytes": figures.bytes,
            "room_bytes": figures.room,
        }));
    }
    table::facts(&[
        ("file", path.display().to_string()),
        ("kernels", figures.kernels.to_string()),
        (
            "machine code",
            format!("{} of {}", bytes(figures.bytes), bytes(figures.room)),
        ),
    ])
}

fn clear(path: &Path, json: bool) -> Result<(), CliError> {
    if !open(path)?.clear() {
        let busy = std::io::Error::new(std::io::ErrorKind::WouldBlock, "another process writes to it");
        return Err(CliError::file("clear", path, busy));
    }
    if json {
        return table::json(&serde_json::json!({ "cleared": path }));
    }
    Ok(())
}
