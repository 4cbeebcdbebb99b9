//! What the clients' own test suites need.

use super::environment::{Environment, PYTHON};
use super::sources;
use crate::sh;
use anyhow::{Context, Result};
use std::path::PathBuf;
use std::process::Command;

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

/// What the suite of tinygrad compares with, and needs for it. Only the processor's part of `torch` is used, but its package on the index
/// loads the libraries of the other part too.
const TORCH: Environment = Environment {
    name: "torch",
    about: "PyTorch, with which the suite of tinygrad compares",
    megabytes: 1900,
    packages: &[
        "torch==2.11.0",
        "filelock==4.3.1",
        "fsspec==2026.9.0",
        "jinja2==3.1.6",
        "markupsafe==3.0.4",
        "mpmath==1.3.0",
        "networkx==3.6.1",
        "sympy==1.14.0",
        "typing-extensions==4.16.0",
        "nvidia-cublas==13.1.0.3",
        "nvidia-cuda-cupti==13.0.85",
        "nvidia-cuda-nvrtc==13.0.88",
        "nvidia-cuda-runtime==13.0.96",
        "nvidia-cudnn-cu13==9.19.0.56",
        "nvidia-cufft==12.0.0.61",
        "nvidia-cufile==1.15.1.6",
        "nvidia-curand==10.4.0.35",
        "nvidia-cusolver==12.0.4.66",
        "nvidia-cusparse==12.6.3.3",
        "nvidia-cusparselt-cu13==0.8.0",
        "nvidia-nccl-cu13==2.28.9",
        "nvidia-nvjitlink==13.0.88",
        "nvidia-nvshmem-cu13==3.4.5",
        "nvidia-nvtx==13.0.85",
        "hypothesis==6.170.17",
        "sortedcontainers==2.4.0",
        "z3-solver==4.15.3.0",
        "safetensors==0.8.0",
        "tqdm==4.70.1",
    ],
};

/// The last cuda-python whose package has its tests.
const CUDA_PYTHON: Environment = Environment {
    name: "cuda-python",
    about: "cuda-python 12 and its tests",
    megabytes: 75,
    packages: &[
        "cuda-python==12.5.0",
        "nvidia-cuda-nvrtc-cu12==12.0.140",
        "nvidia-cuda-runtime-cu12==12.0.146",
        "numpy==1.26.4",
    ],
};

/// cuda-bindings and cuda.core of the commits whose tests are run: later releases lack what the tests import. They have no NVRTC of their
/// own, so that they find that of [`nvrtc_of_ptx`].
const CUDA_CORE: Environment = Environment {
    name: "cuda-core",
    about: "cuda-bindings and cuda.core of their checkout's time",
    megabytes: 65,
    packages: &[
        "cuda-bindings==13.3.1",
        "cuda-core==1.1.0",
        "cuda-pathfinder==1.5.6",
        "cloudpickle==3.1.2",
        "nvidia-nvvm==13.0.88",
        "numpy==2.4.6",
        "psutil==7.2.2",
        // Programs that the tests start see no other packages than these.
        "pytest==9.2.0",
        "iniconfig==2.3.1",
        "packaging==26.3",
        "pluggy==1.7.0",
        "pygments==2.21.0",
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

/// Where PyTorch lies, and what else the suite of tinygrad needs.
pub(crate) fn torch() -> Result<PathBuf> {
    TORCH.ensure()?;
    TORCH.libraries()
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

/// Where the CUDA toolkit of the clients lies.
pub(crate) fn toolkit() -> Result<PathBuf> {
    PYTHON.ensure()?;
    Ok(PYTHON.libraries()?.join("nvidia/cu13"))
}

/// Where the NVRTC of the clients lies.
pub(crate) fn nvrtc() -> Result<PathBuf> {
    Ok(toolkit()?.join("lib"))
}

/// Builds the NVRTC that gives PTX for machine code, and answers where it lies.
pub(crate) fn nvrtc_of_ptx() -> Result<PathBuf> {
    let directory = sh::target().join("conformance/nvrtc");
    std::fs::create_dir_all(&directory)?;
    let mut compiler = Command::new("cc");
    compiler
        .args([
            "-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC",
        ])
        .args(["-Wl,-soname,libnvrtc.so.13", "-o"])
        .arg(directory.join("libnvrtc.so.13"))
        .arg(sh::root().join("tests/conformance/nvrtc_ptx.c"));
    sh::text(&mut compiler)?;
    Ok(directory)
}

/// A Clang of the machine.
pub(crate) fn clang() -> Result<&'static str> {
    ["clang-19", "clang"]
        .into_iter()
        .find(|name| {
            Command::new(name)
                .arg("--version")
                .output()
                .is_ok_and(|output| output.status.success())
        })
        .context("no Clang: install clang-19")
}

/// A Python for the parts of cuda-python.
pub(crate) struct CudaPython {
    pub(crate) program: PathBuf,
    /// Where its packages lie.
    pub(crate) libraries: PathBuf,
}

/// The Python of cuda-python 12.
pub(crate) fn cuda_python() -> Result<CudaPython> {
    Ok(CudaPython {
        program: CUDA_PYTHON.ensure()?,
        libraries: CUDA_PYTHON.libraries()?,
    })
}

/// The Python of cuda-bindings and cuda.core.
pub(crate) fn cuda_core() -> Result<CudaPython> {
    Ok(CudaPython {
        program: CUDA_CORE.ensure()?,
        libraries: CUDA_CORE.libraries()?,
    })
}

/// The pinned version of cuda-bindings or cuda-core, beside their tests.
pub(crate) fn cuda_core_version(package: &str) -> Result<String> {
    pinned(&CUDA_CORE, package)
}

/// The pinned version of cuda-python 12.
pub(crate) fn cuda_python_version() -> Result<String> {
    pinned(&CUDA_PYTHON, "cuda-python")
}

/// The pinned version of a client.
pub(crate) fn version(package: &str) -> Result<String> {
    pinned(&PYTHON, package)
}

fn pinned(environment: &Environment, package: &str) -> Result<String> {
    environment
        .packages
        .iter()
        .find_map(|pinned| pinned.strip_prefix(package)?.strip_prefix("=="))
        .map(str::to_owned)
        .with_context(|| format!("no version of {package} is pinned"))
}
