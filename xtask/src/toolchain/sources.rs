//! Sources of packages that others wrote, each of a pinned version and hash: fetched, never built.
//!
//! ```text
//!  tests/apps/Cargo.toml, Cargo.lock    crates; cargo keeps them in its own cache
//!  tests/apps/packages.txt              packages of the Python index; they are unpacked to .cache/apps/NAME-VERSION/
//!  tests/conformance/packages.txt       likewise, for the test suites in them
//! ```

use super::environment::{PIP, done, is_done, remove, shown};
use crate::sh;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A package: its version, and where its sources lie.
pub(super) struct Package {
    pub(super) version: String,
    pub(super) root: PathBuf,
}

/// All packages that `directory` names, by name.
pub(super) fn packages(directory: &Path) -> Result<HashMap<String, Package>> {
    let mut packages = crates(directory)?;
    packages.extend(archives(directory)?);
    Ok(packages)
}

/// Crates, and all that they need, as cargo takes no less.
pub(super) fn crates(directory: &Path) -> Result<HashMap<String, Package>> {
    let mut cargo = sh::cargo();
    cargo
        .args(["metadata", "--format-version", "1", "--locked", "--manifest-path"])
        .arg(directory.join("Cargo.toml"));
    let metadata: Value = serde_json::from_str(&sh::text(&mut cargo)?)?;
    let Value::Array(found) = &metadata["packages"] else {
        bail!("cargo metadata names no packages");
    };
    let mut packages = HashMap::new();
    for package in found {
        let text = |key: &str| package[key].as_str().unwrap_or_default();
        let manifest = Path::new(text("manifest_path"));
        let root = manifest.parent().context("a manifest lies in a directory")?;
        packages.insert(
            text("name").to_owned(),
            Package {
                version: text("version").to_owned(),
                root: root.to_owned(),
            },
        );
    }
    Ok(packages)
}

/// Source archives of the Python index.
pub(super) fn archives(directory: &Path) -> Result<HashMap<String, Package>> {
    let list = directory.join("packages.txt");
    let text = fs::read_to_string(&list).with_context(|| format!("cannot read {}", shown(&list)))?;
    let mut packages = HashMap::new();
    for line in text.lines().filter(|l| !l.is_empty() && !l.starts_with('#')) {
        let (name, version, hash) =
            pinned(line).with_context(|| format!("{} pins no package by hash: {line}", shown(&list)))?;
        let root = sh::cache().join(format!("apps/{name}-{version}"));
        if !is_done(&root, line) {
            println!("  fetching the sources of {name} {version} (once)");
            remove(&root)?;
            let python = PIP.ensure()?;
            let mut fetch = Command::new(python);
            fetch
                .arg(sh::root().join("tests/apps/fetch.py"))
                .args([name, version, hash])
                .arg(&root);
            sh::text(&mut fetch)?;
            done(&root, line)?;
        }
        let version = version.to_owned();
        packages.insert(name.to_owned(), Package { version, root });
    }
    Ok(packages)
}

/// Name, version and hash of a line `name==version --hash=sha256:hash`.
fn pinned(line: &str) -> Option<(&str, &str, &str)> {
    let (package, hash) = line.split_once(" --hash=sha256:")?;
    let (name, version) = package.split_once("==")?;
    Some((name, version, hash))
}
