//! The tests of a crate, each in a process of its own: one that ends its process or hangs takes no other along, and those that their
//! authors want to be run by themselves are.
//!
//! ```text
//!  cargo test --no-run ─▶ program ─ --list ─▶ names ─ for each: program --exact NAME, on the vGPU ─▶ outcome
//! ```

use super::Session;
use super::outcome::{Outcome, Verdict};
use crate::sh;
use anyhow::{Context, Result};
use serde_json::Value;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// A crate with tests in its library.
pub(crate) struct Crate {
    /// Its sources, with a lock file.
    pub(crate) root: PathBuf,
    pub(crate) features: &'static str,
    /// Where else the loader looks for libraries.
    pub(crate) libraries: Vec<PathBuf>,
}

/// Lines of a failed test's output that are kept.
const LINES: usize = 12;

/// Builds the tests and runs them one after the other.
#[allow(clippy::print_stderr, reason = "progress, beside the figures")]
pub(crate) fn run(session: &Session<'_>, suite: &Crate) -> Result<Vec<Outcome>> {
    let program = build(suite)?;
    let mut list = Command::new(&program);
    let names = sh::text(list.args(["--list", "--format", "terse", "--include-ignored"]))?;
    let names = names.lines().filter_map(|line| line.strip_suffix(": test"));
    let chosen = names.filter(|name| session.filter.is_none_or(|text| name.contains(text)));
    let mut outcomes = Vec::new();
    for name in chosen {
        outcomes.push(one(session, suite, &program, name)?);
        if outcomes.len() % 20 == 0 {
            eprintln!("  {} tests, now {name}", outcomes.len());
        }
    }
    Ok(outcomes)
}

fn build(suite: &Crate) -> Result<PathBuf> {
    let mut cargo = sh::cargo();
    cargo
        .args([
            "test",
            "--lib",
            "--no-run",
            "--locked",
            "--quiet",
            "--no-default-features",
        ])
        .args(["--message-format", "json", "--features", suite.features])
        .arg("--manifest-path")
        .arg(suite.root.join("Cargo.toml"))
        .env("CARGO_TARGET_DIR", sh::cache().join("crates"));
    let text = sh::text(&mut cargo)?;
    let mut programs = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter_map(|message| message["executable"].as_str().map(PathBuf::from));
    programs
        .next_back()
        .with_context(|| format!("{} has no tests", suite.root.display()))
}

fn one(session: &Session<'_>, suite: &Crate, program: &Path, name: &str) -> Result<Outcome> {
    let log = session.scratch.join("log");
    let file = File::create(&log)?;
    let mut paths = suite.libraries.clone();
    paths.extend(std::env::split_paths(
        &std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default(),
    ));
    let mut child = session
        .host
        .guest(session.suite.name, program)
        .args(["--exact", name, "--include-ignored", "--test-threads", "1"])
        .env("LD_LIBRARY_PATH", std::env::join_paths(paths)?)
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .spawn()?;
    let begin = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break Some(status);
        }
        if begin.elapsed() > session.patience {
            child.kill()?;
            child.wait()?;
            break None;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    };
    let (verdict, why) = match status {
        Some(status) if status.success() => (Verdict::Passed, String::new()),
        Some(_) => (Verdict::Failed, said(&log)?),
        None => (
            Verdict::Failed,
            format!("took more than {} s", session.patience.as_secs()),
        ),
    };
    Ok(Outcome {
        id: name.to_owned(),
        verdict,
        why,
    })
}

/// What a test that failed said, from where it panicked.
fn said(log: &Path) -> Result<String> {
    let bytes = fs::read(log)?;
    let text = String::from_utf8_lossy(&bytes);
    let panicked = text.lines().skip_while(|line| !line.contains("panicked at"));
    let lines: Vec<&str> = panicked.take(LINES).take_while(|line| !line.is_empty()).collect();
    Ok(if lines.is_empty() {
        let error = text.lines().find(|line| line.starts_with("Error: "));
        let last = text.lines().rfind(|line| !line.trim().is_empty());
        error.or(last).unwrap_or("no output").to_owned()
    } else {
        lines.join("\n")
    })
}
