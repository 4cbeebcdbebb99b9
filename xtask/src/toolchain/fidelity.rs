//! The fidelity table: calls in a state and the code that the real driver answers, in `tests/fidelity`. The table is C, compiled with
//! the vendor's header, so that names, versions and layouts are the vendor's; each state runs in a process of its own on a vGPU.

use super::environment::PYTHON;
use crate::dist::Layout;
use crate::host::Host;
use crate::sh;
use anyhow::{Context, Result, bail, ensure};
use std::path::PathBuf;
use std::process::Command;

/// The table never has fewer rows than this.
const ROWS: usize = 2000;

/// What a state said.
#[derive(Default)]
struct Said {
    rows: usize,
    known: Vec<String>,
    wrong: Vec<String>,
}

impl Said {
    /// Reads the output of a state that ended with this code.
    fn of(state: &str, code: Option<i32>, output: &str) -> Self {
        let mut said = Self::default();
        let mut finished = false;
        for line in output.lines() {
            if let Some(rows) = line.strip_prefix("rows ") {
                said.rows = rows.parse().unwrap_or(0);
                finished = true;
            } else if let Some(known) = line.strip_prefix("known: ") {
                said.known.push(known.to_owned());
            } else {
                said.wrong.push(line.to_owned());
            }
        }
        if !finished || (code != Some(0) && said.wrong.is_empty()) {
            said.wrong.push(format!("{state}: ended with {code:?}"));
        }
        said
    }
}

fn compile(layout: &Layout) -> Result<PathBuf> {
    PYTHON.ensure()?;
    let directory = sh::root().join("tests/fidelity");
    let program = layout.root.join("bin/fidelity");
    let mut sources = Vec::new();
    for entry in std::fs::read_dir(&directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "c") {
            sources.push(path);
        }
    }
    sources.sort();
    // The table asks deprecated functions too.
    let mut command = Command::new("cc");
    command
        .args(["-std=gnu11", "-O1", "-pthread", "-Wall", "-Wextra", "-Werror"])
        .args(["-Wno-deprecated-declarations", "-isystem"])
        .arg(PYTHON.libraries()?.join("nvidia/cu13/include"))
        .arg("-o")
        .arg(&program)
        .args(&sources)
        .arg("-L")
        .arg(&layout.libraries)
        .arg("-lcuda");
    sh::run(&mut command)?;
    Ok(program)
}

/// Compares every row; every difference is printed.
pub(crate) fn fidelity(layout: &Layout) -> Result<()> {
    let program = compile(layout)?;
    let host = Host::start(layout, &["H100 80GB"])?;
    host.create("table", "H100-20C")?;
    let states = sh::text(host.guest("table", &program).arg("list"))?;
    let mut all = Said::default();
    let mut count = 0;
    for state in states.split_whitespace() {
        let output = host
            .guest("table", &program)
            .args(["run", state])
            .output()
            .with_context(|| format!("cannot run state {state}"))?;
        let said = Said::of(
            state,
            output.status.code(),
            &String::from_utf8_lossy(&output.stdout),
        );
        if !said.wrong.is_empty() {
            println!("{}", String::from_utf8_lossy(&output.stderr).trim_end());
        }
        count += 1;
        all.rows += said.rows;
        all.known.extend(said.known);
        all.wrong.extend(said.wrong);
    }
    for known in &all.known {
        println!("  known difference: {known}");
    }
    for wrong in &all.wrong {
        println!("  {wrong}");
    }
    if !all.wrong.is_empty() {
        bail!("{} of {} rows differ from the table", all.wrong.len(), all.rows);
    }
    ensure!(
        all.rows >= ROWS,
        "the table has {} rows, fewer than {ROWS}",
        all.rows
    );
    ensure!(
        all.known.is_empty(),
        "{} rows are known to differ; all agreed once",
        all.known.len()
    );
    println!(
        "{} rows in {count} states: {} answered as by the real driver, {} known to differ",
        all.rows,
        all.rows - all.known.len(),
        all.known.len()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_that_does_not_finish_is_wrong() {
        let said = Said::of("state", Some(0), "known: one\nrows 3\n");
        assert_eq!((said.rows, said.known.len(), said.wrong.len()), (3, 1, 0));
        assert_eq!(Said::of("state", None, "").wrong.len(), 1);
        assert_eq!(Said::of("state", Some(1), "rows 3\n").wrong.len(), 1);
        assert_eq!(
            Said::of("state", Some(1), "a.c:1: differs\nrows 3\n").wrong.len(),
            1
        );
    }
}
