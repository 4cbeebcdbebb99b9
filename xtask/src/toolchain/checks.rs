//! The checking mode on programs of the vendor's compiler: each mistake that is planted in `tests/checks` is found at its line and in
//! its thread, and nothing is found in the programs of `tests/programs`.

use super::nvcc::Nvcc;
use super::programs::{self, parallel};
use crate::dist::Layout;
use crate::sh;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Seconds after which a program counts as stuck: checked kernels are many times slower.
const PATIENCE: &str = "240";

/// Programs of `tests/programs` with faults on purpose.
const FAULTY: &[&str] = &["memory", "report", "streams"];

/// What programs are looked at for; memory that is not given back has a run of its own. Whether a program gives back what it frees as
/// it ends is a race with its end.
const CHECKS: &str = "--check=memory,init,race,sync";

/// Headers of the vendor with a race that docs/checking.md describes: the lanes of a warp read what others wrote after a shuffle told them
/// that one of them has waited for it.
const DOCUMENTED: &str = "/cooperative_groups/details/";

/// What a line of the source says has to be found there.
#[derive(Debug)]
struct Expected {
    kernel: String,
    line: usize,
    kind: String,
    block: Option<u64>,
    thread: Option<u64>,
}

/// Reads the comments `// finds: KIND, block X, thread X`.
fn expected(text: &str) -> Result<Vec<Expected>> {
    let mut kernel = String::new();
    let mut all = Vec::new();
    for (line, text) in (1..).zip(text.lines()) {
        if let Some(head) = text.strip_prefix("__global__ void ") {
            kernel = head.split('(').next().unwrap_or_default().to_owned();
        }
        let comment = text
            .split_once("// finds: ")
            .filter(|(code, _)| !code.starts_with("//"));
        let Some((_, comment)) = comment else { continue };
        let mut parts = comment.split(", ");
        let kind = parts.next().unwrap_or_default().to_owned();
        let (mut block, mut thread) = (None, None);
        for part in parts {
            let (name, number) = part.split_once(' ').context("a name and a number")?;
            let number = number.parse()?;
            match name {
                "block" => block = Some(number),
                "thread" => thread = Some(number),
                _ => bail!("line {line}: `{name}` is no part of a place"),
            }
        }
        all.push(Expected {
            kernel: kernel.clone(),
            line,
            kind,
            block,
            thread,
        });
    }
    Ok(all)
}

/// Runs a program checked. Its findings, its exit code, and what it printed.
fn checked(
    layout: &Layout,
    option: &str,
    program: &Path,
    argument: &str,
) -> Result<(Vec<Value>, Option<i32>, String)> {
    let report = tempfile::NamedTempFile::new()?;
    let mut command = Command::new("timeout");
    command
        .arg(PATIENCE)
        .arg(&layout.tessera)
        .args(["run", "--private", option, "--check-report"])
        .arg(report.path())
        .arg("--")
        .arg(program);
    if !argument.is_empty() {
        command.arg(argument);
    }
    let output = sh::output(&mut command)?;
    let text = [&output.stdout[..], &output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    let lines = fs::read_to_string(report.path())?;
    let findings = lines.lines().map(serde_json::from_str).collect::<Result<_, _>>();
    let findings = findings.with_context(|| format!("the report of a checked run:\n{lines}\n{text}"))?;
    Ok((findings, output.status.code(), text))
}

/// Whether what was found is what was planted, no more and no less.
fn agrees(want: &Expected, found: &[Value]) -> bool {
    let [found] = found else { return false };
    let same = |name: &str, want: Option<u64>| want.is_none_or(|n| found[name][0] == n);
    found["kind"] == want.kind
        && found["line"] == want.line
        && found["file"]
            .as_str()
            .is_some_and(|file| file.ends_with("planted.cu"))
        && found["kernel"]
            .as_str()
            .is_some_and(|kernel| kernel.contains(&want.kernel))
        && same("block", want.block)
        && same("thread", want.thread)
}

/// Runs every planted mistake. How many there are, and what went wrong.
fn planted(layout: &Layout, nvcc: &Nvcc) -> Result<(usize, Vec<String>)> {
    let source = sh::root().join("tests/checks/planted.cu");
    let program = nvcc.program("planted", std::slice::from_ref(&source), &["-lineinfo"])?;
    let all = expected(&fs::read_to_string(&source)?)?;
    let mut wrong = Vec::new();
    for want in &all {
        let (found, _, text) = checked(layout, CHECKS, &program, &want.kernel)?;
        if !agrees(want, &found) {
            wrong.push(format!("{want:?} is not what was found: {found:#?}\n{text}"));
        }
    }
    let (found, _, text) = checked(layout, "--check=leak", &program, "nothing")?;
    if found.len() != 1 || found[0]["kind"] != "leak" {
        wrong.push(format!("memory that is not given back: {found:#?}\n{text}"));
    }
    Ok((all.len() + 1, wrong))
}

/// Runs every program that makes no mistakes. How many there are, and what went wrong.
fn clean(layout: &Layout, nvcc: &Nvcc) -> Result<(usize, Vec<String>)> {
    let programs: Vec<(String, Vec<PathBuf>)> = programs::sources()?
        .into_iter()
        .filter(|(name, _)| ![FAULTY, programs::UNIFIED].concat().contains(&name.as_str()))
        .collect();
    let builds = parallel(&programs, |(name, sources)| {
        let flags: &[&str] = if sources.len() > 1 {
            &["-lineinfo", "-rdc=true"]
        } else {
            &["-lineinfo"]
        };
        Ok((name.clone(), nvcc.program(name, sources, flags)?))
    });
    let builds = builds.into_iter().collect::<Result<Vec<_>>>()?;
    let mut wrong = Vec::new();
    for (name, program) in &builds {
        let (mut found, code, text) = checked(layout, CHECKS, program, "")?;
        let all = found.len();
        found.retain(|f| {
            !(f["kind"] == "race" && f["file"].as_str().is_some_and(|file| file.contains(DOCUMENTED)))
        });
        if all > found.len() {
            println!(
                "  {name}: {} findings as documented, in {DOCUMENTED}",
                all - found.len()
            );
        }
        if !found.is_empty() || code != Some(0) {
            wrong.push(format!(
                "{name}, which makes no mistake, ends with {code:?}:\n{text}"
            ));
        }
    }
    Ok((builds.len(), wrong))
}

/// All of it; one line for each half.
pub(crate) fn checks(layout: &Layout) -> Result<()> {
    let nvcc = Nvcc::cuda13()?;
    let mut failed = 0;
    for (about, (count, wrong)) in [
        (
            "planted mistakes found, each at its line",
            planted(layout, &nvcc)?,
        ),
        ("programs of ours without a finding", clean(layout, &nvcc)?),
    ] {
        println!("  {} of {count} {about}", count - wrong.len());
        for text in &wrong {
            println!("  FAIL  {}", text.replace('\n', "\n        "));
        }
        failed += wrong.len();
    }
    if failed > 0 {
        bail!("{failed} checked runs did not find what they should");
    }
    Ok(())
}
