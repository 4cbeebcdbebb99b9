//! A suite of pytest, run by several processes that share it.
//!
//! Each process writes what happens to a file of events (`tests/conformance/tessera_conformance.py`) and is watched: one that is too long
//! with a test is ended, one that dies in a test is known by the start that has no end. That test has failed, and another process takes
//! the place of the old one and goes on after it.
//!
//! ```text
//!   slot 0: process ── events.0 ──▶ ┐
//!   slot 1: process ─ ✝ ─ process ─▶├─▶ outcomes       claims/: which slot runs which file of tests
//! ```

use super::Session;
use super::outcome::{Outcome, Verdict};
use crate::sh;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// How a suite is started.
pub(crate) struct Pytest {
    /// The Python that has the client.
    pub(crate) python: PathBuf,
    /// Directories of further packages, pytest among them.
    pub(crate) packages: Vec<PathBuf>,
    /// Names of tests are relative to this.
    pub(crate) root: PathBuf,
    /// Further arguments: files, directories, plugins of `tests/conformance`.
    pub(crate) arguments: Vec<String>,
    /// Further variables.
    pub(crate) environment: Vec<(&'static str, String)>,
}

/// What the events of a slot say so far.
#[derive(Default)]
struct Seen {
    outcomes: Vec<Outcome>,
    /// The test that runs, and since when.
    open: Option<(String, Instant)>,
    finished: bool,
    /// How far the file was read.
    offset: u64,
    /// A line that is not whole yet.
    rest: String,
}

impl Seen {
    /// Reads what was added to the file.
    fn read(&mut self, path: &Path) -> Result<()> {
        if !path.exists() {
            return Ok(());
        }
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(self.offset))?;
        let mut added = Vec::new();
        self.offset += file.read_to_end(&mut added)? as u64;
        self.rest.push_str(&String::from_utf8_lossy(&added));
        while let Some(end) = self.rest.find('\n') {
            let line: String = self.rest.drain(..=end).collect();
            self.take(&line)?;
        }
        Ok(())
    }

    fn take(&mut self, line: &str) -> Result<()> {
        let event: Value = serde_json::from_str(line).with_context(|| format!("no event: {line}"))?;
        if let Some(id) = event["start"].as_str() {
            self.open = Some((id.to_owned(), Instant::now()));
        } else if let Some(id) = event["end"].as_str() {
            let verdict = serde_json::from_value(event["outcome"].clone())?;
            self.end(id.to_owned(), verdict, event["why"].as_str().unwrap_or_default());
        } else {
            self.finished = true;
        }
        Ok(())
    }

    fn end(&mut self, id: String, verdict: Verdict, why: &str) {
        self.open = None;
        // A file whose tests cannot be collected is told of by each process that takes the slot.
        if self.outcomes.iter().all(|outcome| outcome.id != id) {
            let why = why.to_owned();
            self.outcomes.push(Outcome { id, verdict, why });
        }
    }
}

/// Runs the suite to its end.
pub(crate) fn run(session: &Session<'_>, suite: &Pytest) -> Result<Vec<Outcome>> {
    let claims = session.scratch.join("claims");
    fs::create_dir_all(&claims)?;
    fs::write(
        session.scratch.join("pytest.ini"),
        "[pytest]\nconsider_namespace_packages = true\n",
    )?;
    let slots: Result<Vec<Vec<Outcome>>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..session.processes)
            .map(|slot| scope.spawn(move || run_slot(session, suite, slot)))
            .collect();
        threads
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .collect()
    });
    let places = places(session)?;
    let outcomes = slots?.into_iter().flatten();
    Ok(outcomes
        .map(|outcome| Outcome {
            id: without(&places, outcome.id),
            why: without(&places, outcome.why),
            ..outcome
        })
        .collect())
}

/// Directories of this machine, and what stands for them in names of tests and in what they say.
fn places(session: &Session<'_>) -> Result<Vec<(String, &'static str)>> {
    let mut places = Vec::new();
    let mut add = |path: &Path, name| -> Result<()> {
        places.push((path.display().to_string(), name));
        places.push((path.canonicalize()?.display().to_string(), name));
        Ok(())
    };
    if let Some(checkout) = session.checkout {
        add(&checkout.root, "CHECKOUT")?;
    }
    add(session.scratch, "SCRATCH")?;
    add(&sh::cache(), ".cache")?;
    add(&sh::root(), ".")?;
    if let Some(home) = std::env::home_dir() {
        add(&home, "~")?;
    }
    Ok(places)
}

fn without(places: &[(String, &str)], text: String) -> String {
    places
        .iter()
        .fold(text, |text, (path, name)| text.replace(path, name))
}

/// One process after the other, until one gets to the end.
fn run_slot(session: &Session<'_>, suite: &Pytest, slot: usize) -> Result<Vec<Outcome>> {
    let events = session.scratch.join(format!("events.{slot}"));
    let mut seen = Seen::default();
    loop {
        let before = seen.outcomes.len();
        let mut child = start(session, suite, slot, &events, &seen)?;
        let end = watch(session, &mut child, &events, &mut seen, slot)?;
        if seen.finished {
            return Ok(seen.outcomes);
        }
        if let Some((id, _)) = seen.open.take() {
            seen.end(id, Verdict::Failed, &end);
        } else if seen.outcomes.len() == before {
            let log = fs::read_to_string(session.scratch.join(format!("log.{slot}"))).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            bail!(
                "pytest {end} outside of a test\n{}",
                lines[lines.len().saturating_sub(30)..].join("\n")
            );
        }
    }
}

fn start(session: &Session<'_>, suite: &Pytest, slot: usize, events: &Path, seen: &Seen) -> Result<Child> {
    let done = session.scratch.join(format!("done.{slot}"));
    let names: Vec<&str> = seen.outcomes.iter().map(|outcome| outcome.id.as_str()).collect();
    fs::write(&done, names.join("\n"))?;
    let directory = session.scratch.join(format!("work.{slot}"));
    fs::create_dir_all(&directory)?;
    let log = File::options()
        .create(true)
        .append(true)
        .open(session.scratch.join(format!("log.{slot}")))?;
    let mut path = vec![sh::root().join("tests/conformance")];
    path.extend(suite.packages.iter().cloned());
    let mut command = session.host.guest(session.suite.name, &suite.python);
    command
        .args([
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "tessera_conformance",
            "-c",
        ])
        .arg(session.scratch.join("pytest.ini"))
        .arg("--rootdir")
        .arg(&suite.root)
        .arg("--continue-on-collection-errors")
        .args(&suite.arguments);
    if let Some(text) = session.filter {
        command.args(["-k", text]);
    }
    command
        .env("PYTHONPATH", std::env::join_paths(&path)?)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("TESSERA_EVENTS", events)
        .env("TESSERA_DONE", &done)
        .env("TESSERA_CLAIMS", session.scratch.join("claims"))
        .env("TESSERA_SLOT", slot.to_string())
        .envs(suite.environment.iter().map(|(name, value)| (name, value)))
        .current_dir(&directory)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        // So that what the tests start ends with them.
        .process_group(0);
    command.spawn().context("cannot start pytest")
}

/// Waits for the end of a process, and makes it end when a test takes too long. Answers how it ended.
#[allow(clippy::print_stderr, reason = "progress, beside the figures")]
fn watch(
    session: &Session<'_>,
    child: &mut Child,
    events: &Path,
    seen: &mut Seen,
    slot: usize,
) -> Result<String> {
    let mut told = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            seen.read(events)?;
            end_group(child);
            return Ok(format!("ended with {status}"));
        }
        seen.read(events)?;
        if let Some((id, since)) = &seen.open
            && since.elapsed() > session.patience
        {
            eprintln!("  {id} takes more than {} s", session.patience.as_secs());
            end_group(child);
            child.wait()?;
            seen.read(events)?;
            return Ok(format!("took more than {} s", session.patience.as_secs()));
        }
        if told.elapsed() > Duration::from_secs(30) {
            told = Instant::now();
            let failed = |outcome: &&Outcome| outcome.verdict == Verdict::Failed;
            eprintln!(
                "  process {slot}: {} tests, {} failed{}",
                seen.outcomes.len(),
                seen.outcomes.iter().filter(failed).count(),
                seen.open
                    .as_ref()
                    .map(|(id, _)| format!(", now {id}"))
                    .unwrap_or_default()
            );
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Ends all processes of a run; there may be none left.
fn end_group(child: &Child) {
    if let Some(group) = i32::try_from(child.id())
        .ok()
        .and_then(rustix::process::Pid::from_raw)
    {
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_of_the_machine_are_not_told() {
        let places = [("/tmp/a".to_owned(), "CHECKOUT"), ("/tmp".to_owned(), "~")];
        let text = "t[/tmp/a/b.py]: no /tmp/c".to_owned();
        assert_eq!(without(&places, text), "t[CHECKOUT/b.py]: no ~/c");
    }

    #[test]
    fn a_test_without_an_end_is_open() {
        let mut seen = Seen::default();
        for line in [
            r#"{"start": "a"}"#,
            r#"{"end": "a", "outcome": "skipped", "why": "no board"}"#,
            r#"{"start": "b"}"#,
        ] {
            seen.take(line).expect("an event");
        }
        assert_eq!(seen.outcomes.len(), 1);
        assert_eq!(seen.outcomes[0].verdict, Verdict::Skipped);
        assert_eq!(seen.open.as_ref().map(|(id, _)| id.as_str()), Some("b"));
        assert!(!seen.finished);
        seen.take(r#"{"finished": 2}"#).expect("an event");
        assert!(seen.finished);
    }
}
