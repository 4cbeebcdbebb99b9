//! What the clients' own test suites need.

use super::environment::{Environment, PYTHON};
use super::sources;
use crate::sh;
use anyhow::{Context, Result};
use std::path::PathBuf;

/// What runs the suites of clients that are written in Python; the clients themselves are those of [`PYTHON`].
const SUITES: Environment = Environment {
    name: "suites",
    about: "what the clients' test suites need",
    megabytes: 8,
    packages: &[
        "pytest==9.2.0",
        "pytest-benchmark==5.3.1",
        "iniconfig==2.3.1",
        "pluggy==1.7.0",
        "pygments==2.21.0",
        "py-cpuinfo2==10.1.1",
        "filecheck==1.0.6",
        "cffi==2.1.1",
        "pycparser==3.12",
        "ml-dtypes==0.6.0",
    ],
};

/// A Python for suites.
pub(crate) struct SuitePython {
    /// The Python that has the clients.
    pub(crate) program: PathBuf,
    /// Where its packages lie.
    pub(crate) libraries: PathBuf,
    /// Where pytest and what else the suites need lie.
    pub(crate) suites: PathBuf,
}

/// The Python of the clients and what their suites need.
pub(crate) fn python() -> Result<SuitePython> {
    let program = PYTHON.ensure()?;
    SUITES.ensure()?;
    Ok(SuitePython {
        program,
        libraries: PYTHON.libraries()?,
        suites: SUITES.libraries()?,
    })
}

/// Where the sources of a package of `tests/conformance/packages.txt` lie.
pub(crate) fn sources_of(package: &str) -> Result<PathBuf> {
    sources::archives(&sh::root().join("tests/conformance"))?
        .remove(package)
        .map(|found| found.root)
        .with_context(|| format!("no sources of {package} are pinned"))
}

/// Version and sources of a crate that the Rust client is written for.
pub(crate) fn crate_of(name: &str) -> Result<(String, PathBuf)> {
    sources::crates(&sh::root().join("tests/clients/cudarc"))?
        .remove(name)
        .map(|found| (found.version, found.root))
        .with_context(|| format!("the Rust client does not use {name}"))
}

/// Where the NVRTC of the clients lies.
pub(crate) fn nvrtc() -> Result<PathBuf> {
    PYTHON.ensure()?;
    Ok(PYTHON.libraries()?.join("nvidia/cu13/lib"))
}

/// The pinned version of a client.
pub(crate) fn version(package: &str) -> Result<String> {
    PYTHON
        .packages
        .iter()
        .find_map(|pinned| pinned.strip_prefix(package)?.strip_prefix("=="))
        .map(str::to_owned)
        .with_context(|| format!("no version of {package} is pinned"))
}
