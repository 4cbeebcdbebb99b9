//! Where the guest libraries are.
//!
//! 1. `TESSERA_LIB_DIR`, if set;
//! 2. `../lib/tessera` beside the directory of the program: how packages lay it out;
//! 3. `guest` beside the program;
//! 4. beside the program as cargo builds them, under the names that programs load: links in a directory of the run's own.

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

/// The directory of the guest libraries; `scratch` is where links may be made.
pub(crate) fn find(scratch: &Path) -> Result<PathBuf, CliError> {
    if let Some(directory) = std::env::var_os("TESSERA_LIB_DIR").filter(|value| !value.is_empty()) {
        return accept(vec![
            std::path::absolute(&directory).unwrap_or_else(|_| directory.into()),
        ]);
    }
    let program = std::env::current_exe().and_then(std::fs::canonicalize);
    let program =
        program.map_err(|source| CliError::file("find", Path::new("the program itself"), source))?;
    let directory = program.parent().unwrap_or(Path::new("/"));
    if BUILT.iter().all(|(file, _)| directory.join(file).exists())
        && !packaged(directory).join(DRIVER).exists()
    {
        return link(directory, scratch);
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

fn accept(candidates: Vec<PathBuf>) -> Result<PathBuf, CliError> {
    let looked = candidates.iter().map(|path| path.display().to_string()).collect();
    candidates
        .into_iter()
        .find(|path| path.join(DRIVER).exists())
        .ok_or(CliError::NoLibraries { looked })
}

fn link(built: &Path, scratch: &Path) -> Result<PathBuf, CliError> {
    let directory = scratch.join("lib");
    std::fs::create_dir(&directory).map_err(|source| CliError::file("make", &directory, source))?;
    for (file, names) in BUILT {
        for name in names {
            let to = directory.join(name);
            symlink(built.join(file), &to).map_err(|source| CliError::file("make the link", &to, source))?;
        }
    }
    Ok(directory)
}
