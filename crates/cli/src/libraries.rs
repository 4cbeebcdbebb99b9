//! Where the guest libraries and `ptxas` are.
//!
//! 1. `TESSERA_LIB_DIR`, if set;
//! 2. `../lib/tessera` beside the directory of the program: how packages lay it out;
//! 3. `guest` beside the program;
//! 4. beside the program as cargo builds them, under the names that programs load: links in a directory of the run's own, or, where they
//!    have to stay, in `guest` beside the program.
//!
//! `ptxas` is a link to this program, in `bin` of the same directory.

use crate::error::CliError;
use std::{
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

/// The library that must be there.
const DRIVER: &str = "libcuda.so.1";

/// What cargo builds, and what programs load.
const BUILT: [(&str, [&str; 2]); 2] = [
    ("libtessera_libcuda.so", [DRIVER, "libcuda.so"]),
    ("libtessera_libnvml.so", ["libnvidia-ml.so.1", "libnvidia-ml.so"]),
];

/// What guests are given.
pub(crate) struct Helpers {
    /// The directory of the guest libraries.
    pub(crate) libraries: PathBuf,
    /// This program under the name `ptxas`.
    pub(crate) ptxas: PathBuf,
}

/// Where `ptxas` is in the directory of the guest libraries.
const PTXAS: &str = "bin/ptxas";

/// What was found.
enum Found {
    /// Libraries under the names that programs load.
    Laid(PathBuf),
    /// The directory where cargo built them.
    Built(PathBuf),
}

/// The helpers for one run; `scratch` is where links may be made.
pub(crate) fn find(scratch: &Path) -> Result<Helpers, CliError> {
    let libraries = match look()? {
        Found::Laid(libraries) => libraries,
        Found::Built(directory) => return link(&directory, &scratch.join("lib")),
    };
    let mut ptxas = libraries.join(PTXAS);
    if !ptxas.exists() {
        ptxas = scratch.join("ptxas");
        relink(&program()?, &ptxas)?;
    }
    Ok(Helpers { libraries, ptxas })
}

/// The helpers where they stay when this process ends.
pub(crate) fn lasting() -> Result<Helpers, CliError> {
    match look()? {
        Found::Laid(libraries) => {
            let ptxas = libraries.join(PTXAS);
            std::fs::metadata(&ptxas).map_err(|source| CliError::file("find", &ptxas, source))?;
            Ok(Helpers { libraries, ptxas })
        }
        Found::Built(directory) => link(&directory, &directory.join("guest")),
    }
}

fn program() -> Result<PathBuf, CliError> {
    let program = std::env::current_exe().and_then(std::fs::canonicalize);
    program.map_err(|source| CliError::file("find", Path::new("the program itself"), source))
}

fn look() -> Result<Found, CliError> {
    if let Some(directory) = std::env::var_os("TESSERA_LIB_DIR").filter(|value| !value.is_empty()) {
        return accept(vec![
            std::path::absolute(&directory).unwrap_or_else(|_| directory.into()),
        ]);
    }
    let program = program()?;
    let directory = program.parent().unwrap_or(Path::new("/"));
    if BUILT.iter().all(|(file, _)| directory.join(file).exists())
        && !packaged(directory).join(DRIVER).exists()
    {
        return Ok(Found::Built(directory.to_owned()));
    }
    accept(vec![packaged(directory), directory.join("guest")])
}

/// Directory of the libraries that stand for the vendor's nvJitLink, in that of the guest libraries.
pub(crate) const NVJITLINK: &str = "nvjitlink";

/// These libraries.
pub(crate) fn nvjitlink(libraries: &Path) -> [PathBuf; 2] {
    ["libnvJitLink.so.12", "libnvJitLink.so.13"].map(|name| libraries.join(NVJITLINK).join(name))
}

/// Fails where one of them is not: cargo alone does not make them.
pub(crate) fn require_nvjitlink(libraries: &Path) -> Result<(), CliError> {
    for path in nvjitlink(libraries) {
        std::fs::metadata(&path).map_err(|source| CliError::file("find", &path, source))?;
    }
    Ok(())
}

fn packaged(directory: &Path) -> PathBuf {
    directory.parent().unwrap_or(directory).join("lib/tessera")
}

fn accept(candidates: Vec<PathBuf>) -> Result<Found, CliError> {
    let looked = candidates.iter().map(|path| path.display().to_string()).collect();
    candidates
        .into_iter()
        .find(|path| path.join(DRIVER).exists())
        .map(Found::Laid)
        .ok_or(CliError::NoLibraries { looked })
}

/// Links what cargo built into a directory, where it may be linked already.
fn link(built: &Path, directory: &Path) -> Result<Helpers, CliError> {
    let ptxas = directory.join(PTXAS);
    let bin = ptxas.parent().unwrap_or(directory);
    std::fs::create_dir_all(bin).map_err(|source| CliError::file("make", bin, source))?;
    for (file, names) in BUILT {
        for name in names {
            relink(&built.join(file), &directory.join(name))?;
        }
    }
    relink(&program()?, &ptxas)?;
    Ok(Helpers {
        libraries: directory.to_owned(),
        ptxas,
    })
}

/// Replaces a link at once, since programs may be looking for it.
fn relink(target: &Path, link: &Path) -> Result<(), CliError> {
    if std::fs::read_link(link).is_ok_and(|old| old == target) {
        return Ok(());
    }
    let fresh = link.with_extension(format!("{}.new", std::process::id()));
    symlink(target, &fresh)
        .and_then(|()| std::fs::rename(&fresh, link))
        .map_err(|source| CliError::file("make the link", link, source))
}
