//! The release layout: what a package would install.
//!
//! ```text
//!  target/tessera/bin/tessera
//!  target/tessera/lib/tessera/libcuda.so.1        libcuda.so -> libcuda.so.1
//!                             libnvidia-ml.so.1   libnvidia-ml.so -> libnvidia-ml.so.1
//!                             bin/ptxas -> the command line program, which is `ptxas` under that name
//!                             libcudart.so.11.0 .12 .13 (our runtime API, one ELF version node each)
//!                             nvjitlink/libnvJitLink.so.12 .13 (for programs that ask: tessera run --nvjitlink)
//!                             static/11.0 /12 /13, each libcudart_static.a (the same to link into a program)
//!  target/tessera/bin/probe                       (the tests' own program)
//! ```

use crate::{sh, toolchain};
use anyhow::{Context, Result};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where things lie.
pub(crate) struct Layout {
    /// `target/tessera`
    pub(crate) root: PathBuf,
    /// The command line program.
    pub(crate) tessera: PathBuf,
    /// The directory of the guest libraries.
    pub(crate) libraries: PathBuf,
    /// The tests' own program.
    pub(crate) probe: PathBuf,
}

/// Where things lie, built or not.
pub(crate) fn layout() -> Layout {
    let root = sh::target().join("tessera");
    Layout {
        tessera: root.join("bin/tessera"),
        libraries: root.join("lib/tessera"),
        probe: root.join("bin/probe"),
        root,
    }
}

/// Builds everything in release mode and lays it out.
pub(crate) fn build() -> Result<Layout> {
    sh::run(sh::cargo().args([
        "build",
        "--release",
        "-p",
        "tessera-cli",
        "-p",
        "tessera-libcuda",
        "-p",
        "tessera-libnvml",
        "-p",
        "tessera-libcudart",
        "-p",
        "tessera-libnvjitlink",
    ]))?;
    let built = sh::target().join("release");
    let layout = layout();
    fs::create_dir_all(layout.root.join("bin"))?;
    fs::create_dir_all(layout.libraries.join("bin"))?;
    install(&built.join("tessera"), &layout.tessera)?;
    for (file, name, link) in [
        ("libtessera_libcuda.so", "libcuda.so.1", "libcuda.so"),
        ("libtessera_libnvml.so", "libnvidia-ml.so.1", "libnvidia-ml.so"),
    ] {
        install(&built.join(file), &layout.libraries.join(name))?;
        relink(name, &layout.libraries.join(link))?;
    }
    relink("../../../bin/tessera", &layout.libraries.join("bin/ptxas"))?;
    toolchain::link_cudart(&built, &layout.libraries)?;
    toolchain::link_nvjitlink(&built, &layout.libraries)?;
    build_probe(&layout)?;
    Ok(layout)
}

/// Replaces by rename, since a running program may have the old file mapped.
fn install(from: &Path, to: &Path) -> Result<()> {
    let fresh = to.with_extension("new");
    fs::copy(from, &fresh)
        .with_context(|| format!("cannot copy {} to {}", from.display(), fresh.display()))?;
    fs::rename(&fresh, to).with_context(|| format!("cannot put {} in place", to.display()))
}

fn relink(target: &str, link: &Path) -> Result<()> {
    match fs::remove_file(link) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    symlink(target, link).with_context(|| format!("cannot link {}", link.display()))
}

fn build_probe(layout: &Layout) -> Result<()> {
    let source = sh::root().join("tests/probe/probe.c");
    sh::run(
        Command::new("cc")
            .args([
                "-std=c11",
                "-D_GNU_SOURCE",
                "-Wall",
                "-Wextra",
                "-Werror",
                "-O2",
                "-o",
            ])
            .arg(&layout.probe)
            .arg(source)
            .arg("-L")
            .arg(&layout.libraries)
            .arg("-lcuda"),
    )
}
