//! The distribution's build of ggml's CUDA back end, unmodified, on a vGPU: its own `test-backend-ops` compares operators with its CPU
//! back end.
//!
//! ```text
//!  libggml0               test-backend-ops, CPU back ends ─┐
//!  libggml0-backend-cuda  libggml-cuda.so ─────────────────┼─▶ the suite's own loader ─▶ one verdict per case
//!  libc6, libstdc++6, ... of the same suite ───────────────┤
//!  Tessera                libcuda, libcudart ──────────────┘
//! ```
//!
//! The suite's C library is newer than that of most machines, so the program runs under the suite's loader. The suite moves, so its
//! packages are not pinned: what it has is fetched once, and the run names the version. Where the machine's package sources do not have
//! it, these tests are left out, and the run says so.

use super::debian::{self, Suite};
use super::environment::{done, is_done, remove, shown};
use crate::dist::Layout;
use crate::host::Host;
use crate::sh;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

const SUITE: &Suite = &Suite {
    name: "sid",
    component: "main contrib",
};
const PACKAGES: &[&str] = &[
    "libggml0",
    "libggml0-backend-cuda",
    "libc6",
    "libgcc-s1",
    "libgomp1",
    "libstdc++6",
];

/// Seconds after which a group counts as stuck.
const PATIENCE: &str = "600";

/// What is tested in one process.
struct Group {
    operator: &'static str,
    /// Which cases, as a pattern of their parameters.
    cases: &'static str,
    /// Fewer cases of an operator than this mean that the suite tests something else.
    at_least: u32,
}

/// The version of 2026 has about a tenth more cases. Of quantised products those whose numbers are many take long, and IQ1_M goes to cuBLAS.
const GROUPS: &[Group] = &[
    Group::all("ADD", 140),
    Group::all("MUL", 130),
    Group::all("CPY", 220),
    Group::all("SOFT_MAX", 190),
    Group::all("GET_ROWS", 190),
    Group {
        operator: "MUL_MAT",
        cases: "type_a=(q|iq1_s|iq2|iq3|iq4|mxfp4|nvfp4).*,m=16,.*,k=(256|4096),",
        at_least: 220,
    },
];

impl Group {
    /// All cases of an operator.
    const fn all(operator: &'static str, at_least: u32) -> Self {
        Self {
            operator,
            cases: ".",
            at_least,
        }
    }
}

/// The directory of the unpacked packages, or nothing where the machine cannot get them.
fn ensure() -> Result<Option<PathBuf>> {
    let root = super::directory().join("ggml");
    let wanted = PACKAGES.join("\n");
    let package = root.join("package");
    if is_done(&root, &wanted) {
        return Ok(Some(package));
    }
    println!(
        "  fetching ggml's CUDA back end (98 MB, once) into {}",
        shown(&root)
    );
    remove(&root)?;
    fs::create_dir_all(&root)?;
    if let Err(error) = debian::unpack(&root, SUITE, PACKAGES) {
        println!("  SKIPPED: no ggml on this machine, its tests are left out: {error:#}");
        return Ok(None);
    }
    done(&root, &wanted)?;
    Ok(Some(package))
}

/// Builds the stand-in for cuBLAS, under whose name and version the back end is linked, and answers its directory.
fn cublas(layout: &Layout) -> Result<PathBuf> {
    let directory = layout.root.join("ggml");
    fs::create_dir_all(&directory)?;
    let mut command = Command::new("cc");
    command
        .args([
            "-std=c11", "-Wall", "-Wextra", "-Werror", "-O2", "-fPIC", "-shared",
        ])
        .args(["-Wl,-soname,libcublas.so.12", "-Wl,--default-symver", "-o"])
        .arg(directory.join("libcublas.so.12"))
        .arg(sh::root().join("tests/ggml/cublas.c"));
    sh::text(&mut command)?;
    Ok(directory)
}

/// What a group's run says.
#[derive(Default)]
struct Cases {
    /// How many have the CPU's result.
    right: u32,
    /// How many the back end does not take.
    refused: u32,
    /// Lines of the others.
    wrong: Vec<String>,
}

/// Reads lines of the form `  OPERATOR(PARAMETERS): VERDICT`, coloured.
fn read(operator: &str, text: &str) -> Cases {
    let mut cases = Cases::default();
    for line in text.lines() {
        let Some((_, verdict)) = line
            .trim_start()
            .strip_prefix(operator)
            .and_then(|rest| rest.strip_prefix('('))
            .and_then(|rest| rest.rsplit_once("): "))
        else {
            continue;
        };
        if verdict.contains("not supported") {
            cases.refused += 1;
        } else if verdict.contains("OK") && !verdict.contains("FAIL") {
            cases.right += 1;
        } else {
            cases.wrong.push(line.to_owned());
        }
    }
    cases
}

/// Runs a group; what went wrong is the error.
fn run_one(host: &Host<'_>, libraries: &str, package: &Path, group: &Group) -> Result<Cases> {
    let machine = package.join("usr/lib/x86_64-linux-gnu");
    let mut command = host.guest("ggml", Path::new("timeout"));
    command
        .arg(PATIENCE)
        .arg(machine.join("ld-linux-x86-64.so.2"))
        .args(["--library-path", libraries])
        .arg(package.join("usr/libexec/x86_64-linux-gnu/ggml/test-backend-ops"))
        .args(["test", "-b", "CUDA0", "-o", group.operator, "-p", group.cases])
        // No debugger where it ends itself.
        .env("GGML_NO_BACKTRACE", "1")
        // Back ends are looked for where the program starts.
        .current_dir(machine.join("ggml/backends0"));
    let output = sh::output(&mut command)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let cases = read(group.operator, &text);
    if !output.status.success() || !cases.wrong.is_empty() {
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        let last: Vec<&str> = text.lines().rev().take(5).collect();
        let (wrong, last) = (cases.wrong.join("\n"), last.into_iter().rev().collect::<Vec<_>>());
        bail!("{}\n{wrong}\n{}\n{errors}", output.status, last.join("\n"));
    }
    if cases.right < group.at_least {
        bail!(
            "{} cases only, and there should be {}",
            cases.right,
            group.at_least
        );
    }
    Ok(cases)
}

/// Version of the back end that was unpacked.
fn version(package: &Path) -> Result<String> {
    let libraries = package.join("usr/lib/x86_64-linux-gnu");
    for entry in fs::read_dir(&libraries)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if let Some(version) = name.strip_prefix("libggml.so.")
            && version.contains('.')
        {
            return Ok(version.to_owned());
        }
    }
    bail!("{} holds no ggml", shown(&libraries));
}

/// Runs all groups; one line for each.
pub(crate) fn ggml(layout: &Layout) -> Result<()> {
    let Some(package) = ensure()? else {
        return Ok(());
    };
    let version = version(&package)?;
    let machine = package.join("usr/lib/x86_64-linux-gnu");
    let libraries = std::env::join_paths([&layout.libraries, &cublas(layout)?, &machine])?
        .into_string()
        .ok()
        .context("the path of the libraries is no text")?;
    let host = Host::start(layout, &["H100 80GB"])?;
    host.create("ggml", "H100-20C")?;
    let (mut failed, mut sum) = (0, 0);
    for group in GROUPS {
        let start = Instant::now();
        let outcome = run_one(&host, &libraries, &package, group);
        let seconds = start.elapsed().as_secs_f64();
        match outcome {
            Ok(cases) => {
                sum += cases.right;
                println!(
                    "  PASS  ggml {version}  {:10} {seconds:6.2} s  {} cases, {} not taken by the back end",
                    group.operator, cases.right, cases.refused
                );
            }
            Err(error) => {
                failed += 1;
                println!("  FAIL  ggml {version}  {:10} {seconds:6.2} s", group.operator);
                for line in format!("{error:#}").lines() {
                    println!("        {line}");
                }
            }
        }
    }
    if failed > 0 {
        bail!("{failed} of {} groups of ggml's operators failed", GROUPS.len());
    }
    println!("  {sum} cases of ggml's operators agree with its CPU back end");
    Ok(())
}
