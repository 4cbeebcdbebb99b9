//! What else there is to check of our runtime libraries: their exports against the vendor's headers, the one for version 11, the archives.

use super::cudart::{archive_of, check_exports};
use super::nvcc::Nvcc;
use super::programs::{Build, directory};
use crate::dist::Layout;
use crate::sh;
use anyhow::Result;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Checks the exports of every version whose headers are at hand.
pub(super) fn check_headers(layout: &Layout, compilers: &[Nvcc]) -> Result<()> {
    for compiler in compilers {
        let library = layout.libraries.join(format!("libcudart.so.{}", compiler.major));
        for header in compiler.headers()? {
            let count = check_exports(&library, &header)?;
            println!(
                "  PASS  libcudart.so.{} exports the {count} functions of its header",
                compiler.major
            );
        }
    }
    Ok(())
}

/// Programs that link our libraries and not the vendor's: with the runtime of version 11, and with the archives.
pub(super) fn builds(layout: &Layout, compilers: &[Nvcc], work: &Path) -> Result<Vec<Build>> {
    let eleven = work.join("runtime11");
    sh::text(
        Command::new("cc")
            .args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-O2", "-o"])
            .arg(&eleven)
            .arg(sh::root().join("tests/probe/runtime11.c"))
            .arg(layout.libraries.join("libcudart.so.11.0")),
    )?;
    let mut builds = vec![Build {
        name: "runtime11".to_owned(),
        about: "libcudart.so.11.0".to_owned(),
        path: eleven,
    }];
    for compiler in compilers {
        let archive = archive_of(&layout.libraries, &compiler.major.to_string());
        for name in ["linear", "runtime_graphs"] {
            let path: PathBuf = work.join(format!("{name}-{}", compiler.major));
            compiler.relink(&directory().join(format!("{name}.cu")), &archive, &path)?;
            builds.push(Build {
                name: name.to_owned(),
                about: format!("nvcc {}, archive", compiler.major),
                path,
            });
        }
    }
    Ok(builds)
}
