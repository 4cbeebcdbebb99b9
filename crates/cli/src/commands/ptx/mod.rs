//! `tessera ptx`: what the software GPU makes of PTX, without a vGPU and without running anything.

mod images;
pub(crate) mod load;

use crate::{
    args::{PtxCheckOptions, PtxCommand},
    error::CliError,
    table::{self, Rows},
    units::bytes,
};
use load::{Kind, Refusal, Report};
use serde::Serialize;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

pub(crate) fn run(command: &PtxCommand, json: bool) -> Result<ExitCode, CliError> {
    match command {
        PtxCommand::Check(options) => check(options, json),
    }
}

/// What `--json` prints for a file.
#[derive(Serialize)]
struct FileReport {
    file: String,
    #[serde(flatten)]
    report: Report,
}

fn check(options: &PtxCheckOptions, json: bool) -> Result<ExitCode, CliError> {
    let mut files = Vec::new();
    for path in &options.files {
        let report = check_file(path, options)?;
        files.push(FileReport {
            file: path.display().to_string(),
            report,
        });
    }
    let refused = files.iter().any(|file| !file.report.refusals.is_empty());
    if json {
        table::json(&files)?;
    } else {
        show(&files)?;
    }
    Ok(if refused {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn check_file(path: &Path, options: &PtxCheckOptions) -> Result<Report, CliError> {
    let file = std::fs::read(path).map_err(|source| CliError::file("read", path, source))?;
    let capability = options
        .compute_capability
        .map(|capability| (capability.major, capability.minor));
    let mut report = Report::default();
    let found = match images::find(&file, capability) {
        Ok(found) => found,
        Err(error) => {
            report.refuse("", Kind::Unreadable, error);
            return Ok(report);
        }
    };
    if found.is_empty() {
        report.refuse("", Kind::Unreadable, "there is no PTX in it".to_owned());
        return Ok(report);
    }
    let next = AtomicUsize::new(0);
    let parts: Mutex<Vec<(usize, Report)>> = Mutex::default();
    let work = || {
        while let Some((index, module)) =
            Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|index| Some((index, found.get(index)?)))
        {
            let part = match module.texts() {
                Ok(texts) => load::load(&module.name, &texts),
                Err(error) => {
                    let mut part = Report::default();
                    part.refuse(&module.name, Kind::Unreadable, error);
                    part
                }
            };
            let mut parts = parts.lock().unwrap_or_else(PoisonError::into_inner);
            parts.push((index, part));
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads.min(found.len()) {
            scope.spawn(work);
        }
    });
    let mut parts = parts.into_inner().unwrap_or_else(PoisonError::into_inner);
    parts.sort_by_key(|part| part.0);
    parts.into_iter().for_each(|(_, part)| report.add(part));
    Ok(report)
}

fn show(files: &[FileReport]) -> Result<(), CliError> {
    let mut rows = Rows::new(&[
        "file",
        ">modules",
        ">kernels",
        ">instructions",
        ">machine code",
        ">parse",
        ">compile",
        ">decode",
        ">refusals",
    ]);
    for FileReport { file, report } in files {
        let seconds = &report.seconds;
        rows.add([
            file.clone(),
            report.modules.to_string(),
            report.kernels.to_string(),
            report.instructions.to_string(),
            bytes(report.machine_bytes as u64),
            format!("{:.2} s", seconds.parse),
            format!("{:.2} s", seconds.compile),
            format!("{:.2} s", seconds.decode),
            report.refusals.len().to_string(),
        ]);
    }
    rows.print("no file")?;
    for FileReport { file, report } in files {
        for refusal in &report.refusals {
            table::print(&format!("{file}: {}\n", line(refusal)))?;
        }
    }
    Ok(())
}

/// A refusal as a line of text.
fn line(refusal: &Refusal) -> String {
    let mut text = String::new();
    if !refusal.module.is_empty() {
        text += &format!("{}: ", refusal.module);
    }
    if let Some(line) = refusal.line {
        text += &format!("line {line}: ");
    }
    if let Some(instruction) = &refusal.instruction {
        text += &format!("`{instruction}` ");
    }
    if let Some(function) = &refusal.function {
        text += &format!("in `{function}`: ");
    }
    text + &refusal.reason
}
