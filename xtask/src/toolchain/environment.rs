//! Python environments with pinned packages, and stamps.

use crate::sh;
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// An environment to be made.
pub(super) struct Environment {
    /// Directory under `.cache/toolchain`.
    pub(super) name: &'static str,
    /// What it is for, for the person who waits.
    pub(super) about: &'static str,
    /// Roughly what has to be fetched, MB.
    pub(super) megabytes: u32,
    /// Packages with their versions, as `pip` takes them; all of them, since `pip` adds none.
    pub(super) packages: &'static [&'static str],
}

/// The CUDA 13 compiler and all clients that are written in Python. Everything is pinned, also what is needed only because something else
/// needs it; nvJitLink is left out, since with the vendor's numba-cuda hands machine code to the driver instead of PTX.
pub(super) const PYTHON: Environment = Environment {
    name: "python",
    about: "the CUDA 13 compiler and the Python clients",
    megabytes: 290,
    packages: &[
        "nvidia-cuda-nvcc==13.5.37",
        "nvidia-nvvm==13.5.37",
        "nvidia-cuda-crt==13.5.37",
        "nvidia-cuda-runtime==13.5.37",
        "nvidia-cuda-cccl==13.3.5.0.6",
        "nvidia-cuda-nvrtc==13.5.37",
        "cuda-bindings==13.5.0",
        "cuda-core==1.2.2",
        "cuda-pathfinder==1.9.0",
        "numba-cuda==0.30.4",
        "numba==0.68.1",
        "llvmlite==0.50.0",
        "numpy==2.4.6",
        "tinygrad==0.14.0",
        "nvidia-ml-py==13.615.71",
        "gpustat==1.1.1",
        "nvitop==1.7.2",
        "blessed==1.52.0",
        "jinxed==2.1.0",
        "packaging==26.3",
        "psutil==7.2.2",
        "wcwidth==0.9.4",
    ],
};

/// Triton, alone because of its size.
pub(super) const TRITON: Environment = Environment {
    name: "triton",
    about: "Triton",
    megabytes: 305,
    packages: &["triton==3.9.0", "numpy==2.4.6"],
};

/// The package manager itself, in the version whose parts `tests/apps/fetch.py` uses.
pub(super) const PIP: Environment = Environment {
    name: "pip",
    about: "pip",
    megabytes: 2,
    packages: &["pip==26.3"],
};

impl Environment {
    /// Its directory.
    pub(super) fn root(&self) -> PathBuf {
        super::directory().join(self.name)
    }

    /// Makes it, unless it is made already, and answers its Python.
    pub(super) fn ensure(&self) -> Result<PathBuf> {
        let root = self.root();
        let python = root.join("bin/python3");
        let wanted = self.packages.join("\n");
        if is_done(&root, &wanted) {
            return Ok(python);
        }
        println!(
            "  fetching {} ({} MB, once) into {}",
            self.about,
            self.megabytes,
            shown(&root)
        );
        remove(&root)?;
        sh::run(Command::new("python3").args(["-m", "venv"]).arg(&root))?;
        let mut pip = Command::new(&python);
        pip.args([
            "-m",
            "pip",
            "install",
            "--no-input",
            "--disable-pip-version-check",
            "--no-deps",
        ]);
        // The progress of each package is shown where there is somebody to look at it.
        if !std::io::IsTerminal::is_terminal(&std::io::stdout()) {
            pip.arg("--quiet");
        }
        sh::run(pip.args(self.packages))?;
        done(&root, &wanted)?;
        Ok(python)
    }

    /// A program of one of its packages.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.root().join("bin").join(name)
    }

    /// Where its packages lie.
    pub(super) fn libraries(&self) -> Result<PathBuf> {
        let library = self.root().join("lib");
        let entries = fs::read_dir(&library).with_context(|| format!("cannot read {}", shown(&library)))?;
        for entry in entries {
            let packages = entry?.path().join("site-packages");
            if packages.is_dir() {
                return Ok(packages);
            }
        }
        anyhow::bail!("{} holds no packages; remove it and try again", shown(&library))
    }
}

/// A path as seen from the repository.
pub(super) fn shown(path: &Path) -> String {
    path.strip_prefix(sh::root())
        .unwrap_or(path)
        .display()
        .to_string()
}

fn stamp(root: &Path) -> PathBuf {
    root.join("done")
}

/// Whether a directory was completed for this purpose.
pub(super) fn is_done(root: &Path, wanted: &str) -> bool {
    fs::read_to_string(stamp(root)).is_ok_and(|text| text == wanted)
}

/// Says that a directory is complete.
pub(super) fn done(root: &Path, wanted: &str) -> Result<()> {
    fs::write(stamp(root), wanted).with_context(|| format!("cannot write to {}", shown(root)))
}

/// Removes a directory, if it is there.
pub(super) fn remove(root: &Path) -> Result<()> {
    match fs::remove_dir_all(root) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", shown(root)))
        }
        _ => Ok(()),
    }
}
