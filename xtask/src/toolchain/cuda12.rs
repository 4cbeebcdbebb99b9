//! The compiler of CUDA 12. No Python package has it; Debian has it in its `non-free` component, as a package that is unpacked here and
//! not installed. Headers and libraries are those of the vendor's Python packages.
//!
//! Where the machine's package sources do not have it, the tests of CUDA 12 are left out, and the run says so.

use super::debian::{self, Suite};
use super::environment::{done, is_done, remove, shown};
use crate::sh;
use anyhow::Result;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Suite of the distribution that has the compiler, and the version it has.
const SUITE: &Suite = &Suite {
    name: "trixie",
    component: "non-free",
};
const COMPILER: &str = "nvidia-cuda-toolkit=12.4.131~12.4.1-2";

/// Headers and the shared runtime; the static device runtime, which `-rdc=true` links, is in the later package only.
const PACKAGES: &[&str] = &[
    "nvidia-cuda-runtime-cu12==12.4.127",
    "nvidia-cuda-nvcc-cu12==12.4.131",
    "nvidia-cuda-cccl-cu12==12.4.127.post1",
];
const DEVICE_RUNTIME: &str = "nvidia-cuda-runtime-cu12==12.9.79";

/// Where the tree lies, or nothing where the machine cannot get it.
pub(super) fn ensure() -> Result<Option<PathBuf>> {
    let root = super::directory().join("cuda12");
    let wanted = format!("{COMPILER}\n{}\n{DEVICE_RUNTIME}", PACKAGES.join("\n"));
    if is_done(&root, &wanted) {
        return Ok(Some(root));
    }
    println!(
        "  fetching the CUDA 12 compiler (115 MB, once) into {}",
        shown(&root)
    );
    remove(&root)?;
    fs::create_dir_all(&root)?;
    let package = match debian::unpack(&root, SUITE, &[COMPILER]) {
        Ok(package) => package,
        Err(error) => {
            println!("  SKIPPED: no CUDA 12 compiler on this machine, its tests are left out: {error:#}");
            return Ok(None);
        }
    };
    build(&root, &package)?;
    done(&root, &wanted)?;
    Ok(Some(root))
}

/// Lays compiler, headers and libraries out as the compiler expects them.
fn build(root: &Path, package: &Path) -> Result<()> {
    for (directory, packages) in [("python", PACKAGES), ("device-runtime", &[DEVICE_RUNTIME])] {
        sh::text(
            Command::new("python3")
                .args([
                    "-m",
                    "pip",
                    "install",
                    "--quiet",
                    "--no-input",
                    "--disable-pip-version-check",
                    "--no-deps",
                    "--target",
                ])
                .arg(root.join(directory))
                .args(packages),
        )?;
    }
    let (bin, nvvm) = (root.join("bin"), root.join("nvvm"));
    fs::create_dir_all(&bin)?;
    fs::create_dir_all(nvvm.join("bin"))?;
    for tool in ["cudafe++", "fatbinary", "nvlink", "ptxas", "bin2c"] {
        symlink(package.join("usr/bin").join(tool), bin.join(tool))?;
    }
    let toolkit = package.join("usr/lib/nvidia-cuda-toolkit");
    // The compiler finds its profile beside its own file, so that a link would not do.
    fs::copy(toolkit.join("bin/nvcc"), bin.join("nvcc"))?;
    symlink(toolkit.join("bin/crt"), bin.join("crt"))?;
    symlink(toolkit.join("bin/cicc"), nvvm.join("bin/cicc"))?;
    symlink(toolkit.join("libdevice"), nvvm.join("libdevice"))?;
    let nvidia = root.join("python/nvidia");
    let runtime = nvidia.join("cuda_runtime");
    let libraries = root.join("lib64");
    fs::create_dir_all(&libraries)?;
    symlink(
        runtime.join("lib/libcudart.so.12"),
        libraries.join("libcudart.so"),
    )?;
    let device_runtime = root.join("device-runtime/nvidia/cuda_runtime/lib/libcudadevrt.a");
    symlink(device_runtime, libraries.join("libcudadevrt.a"))?;
    let includes: Vec<String> = ["cuda_runtime", "cuda_nvcc", "cuda_cccl"]
        .iter()
        .map(|part| format!("\"-I{}\"", nvidia.join(part).join("include").display()))
        .collect();
    let profile = format!(
        "TOP = $(_HERE_)/..\nCICC_PATH = $(TOP)/nvvm/bin\nNVVMIR_LIBRARY_DIR = $(TOP)/nvvm/libdevice\n\
         PATH += $(CICC_PATH):$(_HERE_):\nINCLUDES += {} $(_SPACE_)\nLIBRARIES =+ $(_SPACE_) \"-L$(TOP)/lib64\"\n\
         CUDAFE_FLAGS +=\nPTXAS_FLAGS +=\n",
        includes.join(" ")
    );
    fs::write(bin.join("nvcc.profile"), profile)?;
    Ok(())
}
