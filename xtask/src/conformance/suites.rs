//! The suites: where each one's tests lie and how it is started.

use super::crates::{self, Crate};
use super::outcome::Outcome;
use super::pytest::{self, Pytest};
use super::{Session, Suite};
use crate::{sh, toolchain};
use anyhow::{Context, Result};

/// All suites, in the order in which they run.
pub(crate) const SUITES: &[Suite] = &[
    NUMBA_CUDA,
    NVIDIA_ML_PY,
    CUDARC,
    CUDA_PYTHON,
    CUDA_BINDINGS,
    CUDA_CORE,
    TINYGRAD,
];

const NUMBA_CUDA: Suite = Suite {
    name: "numba-cuda",
    about: "numba-cuda; the tests are a part of its package",
    gpu: ("H100 80GB", "H100-80C"),
    options: &["--enable-uvm"],
    goal: 97.0,
    repository: None,
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
    repository: None,
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
    repository: None,
    version: || toolchain::suites::crate_of("cudarc").map(|(version, _)| version),
    kernels: true,
    run: cudarc,
};

const CUDA_PYTHON: Suite = Suite {
    name: "cuda-python",
    about: "cuda-python, the last release whose package has its tests; from 12.8 on it is cuda-bindings",
    gpu: ("H100 80GB", "H100-80C"),
    options: &["--enable-uvm"],
    goal: 95.0,
    repository: None,
    version: toolchain::suites::cuda_python_version,
    kernels: true,
    run: cuda_python,
};

const CUDA_BINDINGS: Suite = Suite {
    name: "cuda-bindings",
    about: "cuda-bindings, with the tests of a checkout of its release, on an NVRTC that gives PTX for machine code \
            (tests/conformance/nvrtc_ptx.c)",
    gpu: ("H100 80GB", "H100-80C"),
    options: &["--enable-uvm"],
    goal: 95.0,
    repository: Some("NVIDIA/cuda-python"),
    version: || toolchain::suites::cuda_core_version("cuda-bindings"),
    kernels: true,
    run: |session| cuda_python_of(session, "cuda_bindings"),
};

const CUDA_CORE: Suite = Suite {
    name: "cuda-core",
    about: "cuda.core, with the tests of a checkout of its release, on an NVRTC that gives PTX for machine code \
            (tests/conformance/nvrtc_ptx.c)",
    gpu: ("H100 80GB", "H100-80C"),
    options: &["--enable-uvm"],
    goal: 95.0,
    repository: Some("NVIDIA/cuda-python"),
    version: || toolchain::suites::cuda_core_version("cuda-core"),
    kernels: true,
    run: |session| cuda_python_of(session, "cuda_core"),
};

const TINYGRAD: Suite = Suite {
    name: "tinygrad",
    about: "tinygrad on its CUDA device, with the tests that it runs on every device",
    gpu: ("H100 80GB", "H100-80C"),
    options: &[],
    goal: 97.0,
    repository: Some("tinygrad/tinygrad"),
    version: || Ok("the checkout".to_owned()),
    kernels: true,
    run: tinygrad,
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

/// The file of the clients' NVRTC.
fn nvrtc_file() -> Result<String> {
    let library = toolchain::suites::nvrtc()?.join("libnvrtc.so.13");
    Ok(library.display().to_string())
}

/// For suites whose tests share a context: a test that fails leaves it current, or broken, and no other test is to find it so.
fn fresh() -> (&'static str, String) {
    ("TESSERA_FRESH", "1".to_owned())
}

fn cuda_python(session: &Session<'_>) -> Result<Vec<Outcome>> {
    let python = toolchain::suites::python()?;
    let client = toolchain::suites::cuda_python()?;
    let root = client.libraries.join("cuda/tests");
    let suite = Pytest {
        python: client.program,
        packages: vec![client.libraries.clone(), python.suites],
        arguments: vec![root.display().to_string()],
        root,
        environment: vec![
            (
                "LD_LIBRARY_PATH",
                client
                    .libraries
                    .join("nvidia/cuda_nvrtc/lib")
                    .display()
                    .to_string(),
            ),
            (
                "CUDA_HOME",
                client.libraries.join("nvidia/cuda_runtime").display().to_string(),
            ),
        ],
    };
    pytest::run(session, &suite)
}

/// The tests of a part of the repository `cuda-python`.
fn cuda_python_of(session: &Session<'_>, part: &str) -> Result<Vec<Outcome>> {
    let suites = toolchain::suites::python()?.suites;
    let client = toolchain::suites::cuda_core()?;
    let checkout = &session.checkout.context("no checkout was given")?.root;
    let root = checkout.join(part).join("tests");
    let suite = Pytest {
        python: client.program,
        packages: vec![suites, checkout.join("cuda_python_test_helpers"), root.clone()],
        arguments: vec![root.display().to_string()],
        root,
        environment: vec![
            ("CUDA_PATH", toolchain::suites::toolkit()?.display().to_string()),
            (
                "LD_LIBRARY_PATH",
                toolchain::suites::nvrtc_of_ptx()?.display().to_string(),
            ),
            ("TESSERA_NVRTC", nvrtc_file()?),
        ],
    };
    pytest::run(session, &suite)
}

fn tinygrad(session: &Session<'_>) -> Result<Vec<Outcome>> {
    let python = toolchain::suites::python()?;
    let root = session.checkout.context("no checkout was given")?.root.clone();
    let tests = ["test/test_tiny.py", "test/backend", "test/opt"];
    let suite = Pytest {
        python: python.program,
        packages: vec![root.clone(), python.suites, toolchain::suites::torch()?],
        arguments: tests
            .iter()
            .map(|test| root.join(test).display().to_string())
            .collect(),
        root,
        environment: vec![
            ("DEV", "CUDA".to_owned()),
            ("NVRTC_PATH", nvrtc_file()?),
            fresh(),
            // Where the headers of its kernels lie.
            ("CUDA_PATH", toolchain::suites::toolkit()?.display().to_string()),
            // Some tests copy from and to its CPU device, which needs this.
            ("CC", toolchain::suites::clang()?.to_owned()),
            // The same examples each time, as in tinygrad's own checks.
            ("DERANDOMIZE_CI", "1".to_owned()),
            // What was compiled is taken by the next run.
            (
                "CACHEDB",
                sh::target().join("conformance/tinygrad.db").display().to_string(),
            ),
        ],
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
