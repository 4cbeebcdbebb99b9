//! `docs/conformance.md`, from the figures of all suites.

use super::Suite;
use super::listed::Kind;
use super::outcome::Verdict;
use super::summary::{Summary, Test};
use crate::sh;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

/// Where more tests than this have one reason, they are counted, not named.
const NAMED: usize = 12;

const HEAD: &str = "\
# The clients' own test suites

Written by `cargo xtask conformance`, which runs the test suites of CUDA clients, unmodified, on a vGPU of the software GPU. A test
passes, fails, is left out by the suite itself (skipped) or is one that the suite itself expects to fail.

Many tests pass on a driver that executes no kernel: they look at code that was made, at errors, at copies. So each suite runs a second
time with `TESSERA_KERNELS=skip` (docs/software-gpu.md), and its **score** counts only the tests that do not pass there, less those that
fail because something that they need is absent: machine code (the software GPU takes PTX), a library, a tool. Every test that fails
is listed with its reason in `tests/conformance/`; one that is not fails the command.

Where no package of a client has its tests, they are those of a checkout of its repository (`--checkout SUITE=DIR`, as it was committed),
and the version says of which commit. Without its checkout a suite is left out and keeps its figures.

";

/// Writes the page.
pub(crate) fn write(suites: &[Suite]) -> Result<()> {
    let mut kept = Vec::new();
    for suite in suites {
        if let Some(summary) = Summary::read(suite.name)? {
            kept.push((suite, summary));
        }
    }
    let path = sh::root().join("docs/conformance.md");
    fs::write(&path, page(&kept)?).with_context(|| format!("cannot write {}", path.display()))
}

fn page(suites: &[(&Suite, Summary)]) -> Result<String> {
    let mut page = HEAD.to_owned();
    writeln!(
        page,
        "| suite | version | tests | passed | without kernels | failed | left out | expected to fail | score | goal |"
    )?;
    writeln!(page, "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|")?;
    for (suite, summary) in suites {
        writeln!(
            page,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {:.1} % ({} of {}) | {} % |",
            suite.name,
            summary.version,
            summary.collected,
            summary.passed,
            summary
                .floor
                .passed
                .map_or_else(|| "-".to_owned(), |passed| passed.to_string()),
            summary.count(Verdict::Failed),
            summary.count(Verdict::Skipped),
            summary.count(Verdict::Expected),
            summary.score(),
            summary.counted_passed,
            summary.counted,
            suite.goal
        )?;
    }
    for (suite, summary) in suites {
        writeln!(page, "\n## {}\n\n{}.", suite.name, suite.about)?;
        if let Some(repository) = suite.repository {
            writeln!(
                page,
                "\n    cargo xtask conformance --only {} --checkout {}=DIR    # DIR: a checkout of {repository}",
                suite.name, suite.name
            )?;
        }
        section(&mut page, summary)?;
    }
    Ok(page)
}

fn section(page: &mut String, summary: &Summary) -> Result<()> {
    let failed = |wanted: Kind| {
        groups(summary, move |test| match &test.listed {
            Some((kind, reason)) if *kind == wanted => Some(reason.clone()),
            _ => None,
        })
    };
    part(page, "Failed, and ours to mend", &failed(Kind::Open))?;
    part(page, "Failed, what they need being absent", &failed(Kind::Absent))?;
    let unlisted = groups(summary, |test| {
        (test.verdict == Verdict::Failed && test.listed.is_none()).then(|| first_line(&test.why))
    });
    part(page, "Failed, and not listed", &unlisted)?;
    let said = |wanted: Verdict| {
        groups(summary, move |test| {
            (test.verdict == wanted).then(|| first_line(&test.why))
        })
    };
    part(page, "Left out by the suite", &said(Verdict::Skipped))?;
    part(page, "Expected to fail by the suite", &said(Verdict::Expected))
}

/// Tests by reason.
fn groups(summary: &Summary, reason: impl Fn(&Test) -> Option<String>) -> BTreeMap<String, Vec<String>> {
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for test in &summary.not_passed {
        if let Some(reason) = reason(test) {
            groups.entry(reason).or_default().push(test.id.clone());
        }
    }
    groups
}

fn part(page: &mut String, title: &str, groups: &BTreeMap<String, Vec<String>>) -> Result<()> {
    if groups.is_empty() {
        return Ok(());
    }
    writeln!(page, "\n### {title}\n")?;
    for (reason, tests) in groups {
        write!(page, "* {} ({})", reason, tests.len())?;
        if tests.len() > NAMED {
            writeln!(page, ": in {}", files(tests))?;
        } else {
            writeln!(page, ": `{}`", tests.join("`, `"))?;
        }
    }
    Ok(())
}

/// The files of tests, with how many of each.
fn files(tests: &[String]) -> String {
    let mut files: BTreeMap<&str, usize> = BTreeMap::new();
    for test in tests {
        *files.entry(test.split("::").next().unwrap_or(test)).or_default() += 1;
    }
    let files: Vec<String> = files
        .iter()
        .map(|(file, count)| format!("`{file}` {count}"))
        .collect();
    files.join(", ")
}

/// What the suite said, on a line that Markdown leaves as it is. The marks that others set for themselves are not ours to do.
fn first_line(why: &str) -> String {
    let mark = ["TO", "DO:"].concat();
    let line = why.lines().next().unwrap_or_default().replace(&mark, "to do:");
    let line = line.trim();
    if line.is_empty() {
        return "no reason given".to_owned();
    }
    line.replace('|', "\\|").replace('<', "&lt;").replace('*', "\\*")
}
