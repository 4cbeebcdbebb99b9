//! The suites: where each one's tests lie and how it is started.

use super::crates::{self, Crate};
use super::outcome::Outcome;
use super::pytest::{self, Pytest};
use super::{Session, Suite};
use crate::toolchain;
use anyhow::Result;

/// All suites, in the order in which they run.
pub(crate) const SUITES: &[Suite] = &[NUMBA_CUDA, NVIDIA_ML_PY, CUDARC];

const NUMBA_CUDA: Suite = Suite {
    name: "numba-cuda",
    about: "numba-cuda; the tests are a part of its package",
    gpu: ("H100 80GB", "H100-80C"),
    options: &["--enable-uvm"],
    goal: 97.0,
    version: || toolchain::suites::version("numba-cuda"),
    kernels: true,
    run: numba_cuda,
};

const NVIDIA_ML_PY: Suite = Suite {
    name: "nvidia-ml-py",
    about: "nvidia-ml-py, which has no tests of its own; those of pynvml 13.0.1, a package around it, test it",
    gpu: ("H100 80GB", "H100-20C"),
    options: &[],
    goal: 100.0,
    version: || toolchain::suites::version("nvidia-ml-py"),
    kernels: false,
    run: nvidia_ml_py,
};

const CUDARC: Suite = Suite {
    name: "cudarc",
    about: "cudarc, the tests of its driver, runtime and NVRTC parts",
    gpu: ("H100 80GB", "H100-80C"),
    options: &["--enable-uvm"],
    goal: 100.0,
    version: || toolchain::suites::crate_of("cudarc").map(|(version, _)| version),
    kernels: true,
    run: cudarc,
};

fn cudarc(session: &Session<'_>) -> Result<Vec<Outcome>> {
    let (_, root) = toolchain::suites::crate_of("cudarc")?;
    let suite = Crate {
        root,
        features: "std,driver,runtime,nvrtc,f16,dynamic-loading,cuda-13000",
        libraries: vec![toolchain::suites::nvrtc()?],
    };
    crates::run(session, &suite)
}

fn numba_cuda(session: &Session<'_>) -> Result<Vec<Outcome>> {
    let python = toolchain::suites::python()?;
    let arguments = ["-p", "tessera_numba_cuda", "--pyargs", "numba.cuda.tests"];
    let suite = Pytest {
        root: python.libraries.join("numba_cuda/numba/cuda/tests"),
        python: python.program,
        packages: vec![python.suites],
        arguments: arguments.map(str::to_owned).to_vec(),
        environment: Vec::new(),
    };
    pytest::run(session, &suite)
}

fn nvidia_ml_py(session: &Session<'_>) -> Result<Vec<Outcome>> {
    let python = toolchain::suites::python()?;
    let root = toolchain::suites::sources_of("pynvml")?;
    let suite = Pytest {
        python: python.program,
        packages: vec![python.suites, root.clone()],
        arguments: vec![root.join("pynvml_utils/tests").display().to_string()],
        root,
        environment: Vec::new(),
    };
    pytest::run(session, &suite)
}
