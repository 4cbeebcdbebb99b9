//! Kernels of applications that others wrote: their sources come with packages of their own, unmodified; a small program of ours calls
//! them on generated input and compares with the CPU.
//!
//! `tests/apps/Cargo.toml` names the packages, its lock file their hashes. A directory beside it is an application, every source in
//! it a program.

use super::nvcc::Nvcc;
use super::programs::{Build, run_one};
use crate::dist::Layout;
use crate::host::Host;
use crate::sh;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

/// An application: where its sources are.
struct App {
    /// Directory of our programs.
    name: &'static str,
    /// The package, or nothing for what comes with the compiler.
    package: Option<&'static str>,
    /// Directories of the package that are searched for what programs include.
    include: &'static [&'static str],
}

const APPS: &[App] = &[
    App {
        name: "candle",
        package: Some("candle-kernels"),
        include: &["src"],
    },
    App {
        name: "dfdx",
        package: Some("dfdx"),
        include: &["src/tensor_ops", "src/tensor_ops/utilities"],
    },
    App {
        name: "cccl",
        package: None,
        include: &[],
    },
];

fn directory() -> PathBuf {
    sh::root().join("tests/apps")
}

/// Fetches the packages and answers what cargo knows about them.
fn packages() -> Result<Vec<Value>> {
    let mut cargo = sh::cargo();
    cargo
        .args(["metadata", "--format-version", "1", "--locked", "--manifest-path"])
        .arg(directory().join("Cargo.toml"));
    let mut metadata: Value = serde_json::from_str(&sh::text(&mut cargo)?)?;
    match metadata["packages"].take() {
        Value::Array(packages) => Ok(packages),
        _ => bail!("cargo metadata names no packages"),
    }
}

/// Where a package lies, and its version.
fn package(packages: &[Value], name: &str) -> Result<(PathBuf, String)> {
    let found = packages.iter().find(|p| p["name"] == name);
    let found = found.with_context(|| format!("{name} is not among the packages"))?;
    let manifest = PathBuf::from(found["manifest_path"].as_str().unwrap_or_default());
    let root = manifest.parent().context("a manifest lies in a directory")?;
    let version = found["version"].as_str().unwrap_or_default();
    Ok((root.to_owned(), version.to_owned()))
}

/// Compiles the programs of an application.
fn build(nvcc: &Nvcc, app: &App, packages: &[Value]) -> Result<Vec<Build>> {
    let (flags, about) = match app.package {
        Some(name) => {
            let (root, version) = package(packages, name)?;
            let include = app
                .include
                .iter()
                .map(|i| format!("-I{}", root.join(i).display()));
            (include.collect(), format!("{name} {version}"))
        }
        None => (Vec::new(), "with the compiler".to_owned()),
    };
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let mut sources = Vec::new();
    for entry in fs::read_dir(directory().join(app.name))? {
        sources.push(entry?.path());
    }
    sources.sort();
    let mut builds = Vec::new();
    for source in sources {
        let stem = source.file_stem().map(|s| s.to_string_lossy().into_owned());
        let name = stem.context("a source has a name")?;
        let path = nvcc.program(&name, &[source], &flags)?;
        builds.push(Build {
            name: format!("{} {name}", app.name),
            about: about.clone(),
            path,
        });
    }
    Ok(builds)
}

/// Fetches, compiles and runs everything; one line per program.
pub(crate) fn apps(layout: &Layout) -> Result<()> {
    let packages = packages()?;
    let nvcc = Nvcc::cuda13()?;
    let mut builds = Vec::new();
    for app in APPS {
        builds.extend(build(&nvcc, app, &packages)?);
    }
    let host = Host::start(layout, &["H100 80GB"])?;
    host.create("programs", "H100-20C")?;
    let mut failed = 0;
    for build in &builds {
        let start = Instant::now();
        let outcome = run_one(&host, build)?;
        let seconds = start.elapsed().as_secs_f64();
        let (verdict, text) = match &outcome {
            Ok(text) => ("PASS", text),
            Err(text) => ("FAIL", text),
        };
        println!(
            "  {verdict}  {:18} {:22} {seconds:6.2} s  {text}",
            build.name, build.about
        );
        failed += u32::from(outcome.is_err());
    }
    if failed > 0 {
        bail!("{failed} of {} programs of applications failed", builds.len());
    }
    Ok(())
}
