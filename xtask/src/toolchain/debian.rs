//! Packages of the distribution in a suite that the machine does not run: fetched and unpacked, not installed.
//!
//! They come from where the machine's `apt-get` gets its packages: the same address with another suite and component.

use crate::sh;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Key of the distribution's archive.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Where packages are looked for.
pub(super) struct Suite {
    pub(super) name: &'static str,
    pub(super) component: &'static str,
}

/// Gets packages, as `NAME` or `NAME=VERSION`, and unpacks them all into one directory under `root`, which is answered.
pub(super) fn unpack(root: &Path, suite: &Suite, packages: &[&str]) -> Result<PathBuf> {
    let targets = sh::text(Command::new("apt-get").args([
        "indextargets",
        "--format",
        "$(REPO_URI)",
        "Created-By: Packages",
        "Origin: Debian",
    ]))?;
    let archive = targets
        .lines()
        .next()
        .context("apt-get has no package source of Debian")?;
    if !Path::new(KEYRING).exists() {
        bail!("the key of Debian's archive is not installed");
    }
    let apt = root.join("apt");
    for directory in ["lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(apt.join(directory))?;
    }
    let list = apt.join("sources.list");
    let Suite { name, component } = suite;
    fs::write(
        &list,
        format!("deb [arch=amd64 signed-by={KEYRING}] {archive} {name} {component}\n"),
    )?;
    sh::text(apt_get(&apt, &list).arg("update"))?;
    sh::text(apt_get(&apt, &list).arg("download").args(packages))?;
    let unpacked = root.join("package");
    let mut count = 0;
    for entry in fs::read_dir(&apt)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            sh::text(Command::new("dpkg-deb").arg("-x").arg(&path).arg(&unpacked))?;
            fs::remove_file(&path)?;
            count += 1;
        }
    }
    if count != packages.len() {
        bail!("apt-get fetched {count} of {} packages", packages.len());
    }
    Ok(unpacked)
}

/// `apt-get` with lists and a cache of its own.
fn apt_get(apt: &Path, list: &Path) -> Command {
    let mut command = Command::new("apt-get");
    for (option, path) in [
        ("Dir::Etc::sourcelist", list.to_owned()),
        ("Dir::State::lists", apt.join("lists")),
        ("Dir::Cache", apt.join("cache")),
    ] {
        command.arg("-o").arg(format!("{option}={}", path.display()));
    }
    for option in [
        "Dir::Etc::sourceparts=-",
        "APT::Architecture=amd64",
        "Debug::NoLocking=1",
        "APT::Sandbox::User=root",
    ] {
        command.args(["-o", option]);
    }
    command.arg("-qq").current_dir(apt);
    command
}
