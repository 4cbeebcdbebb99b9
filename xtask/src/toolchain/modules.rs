//! Modules of real software, loaded whole: PTX that compilers and libraries of others make or carry, every kernel of it compiled,
//! decoded and made machine code by `tessera ptx check`.
//!
//! ```text
//!  numba-cuda  its own tests, run on a vGPU ─┐
//!  tinygrad, Triton  a script of ours ───────┼─▶ .cache/modules/SOURCE/  ─▶ tessera ptx check --json ─▶ refusals ⊆ documented ones
//!  CUTLASS, llama.cpp  nvcc -ptx ────────────┤
//!  CuPy  fatbins of its libraries ───────────┘
//! ```
//!
//! What was collected is kept, by what it was made from; the loading is done every time.

use super::environment::{Environment, PYTHON, TRITON, done, is_done, remove};
use super::nvcc::Nvcc;
use super::sources::crates;
use crate::dist::Layout;
use crate::host::Host;
use crate::sh;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// Libraries and headers that are only looked at, and what the tests of numba-cuda import.
const MODULES: Environment = Environment {
    name: "modules",
    about: "CuPy, CUTLASS and what the tests of numba-cuda need",
    megabytes: 80,
    packages: &[
        "cupy-cuda13x==14.2.0",
        "nvidia-cutlass==4.2.0.0",
        "pytest==9.2.0",
        "iniconfig==2.3.1",
        "pluggy==1.7.0",
        "pygments==2.21.0",
        "filecheck==1.0.6",
    ],
};

/// Instructions that are not executed, as docs/software-gpu.md lists them; anything else that is refused fails the stage.
const DOCUMENTED: &[&str] = &["wgmma."];

/// Where modules come from.
struct Source {
    name: &'static str,
    /// What it is, for the reader of the run.
    about: &'static str,
    /// Fewer kernels than this mean that the collecting went wrong.
    at_least: u64,
    /// Makes the files in an empty directory.
    collect: fn(&Layout, &Path) -> Result<()>,
}

const SOURCES: &[Source] = &[
    Source {
        name: "numba-cuda",
        about: "four modules of its test suite, run on a vGPU",
        at_least: 120,
        collect: numba,
    },
    Source {
        name: "tinygrad",
        about: "training steps and operations, through NVRTC and its own PTX",
        at_least: 300,
        collect: tinygrad,
    },
    Source {
        name: "Triton",
        about: "27 kernels for three compute capabilities",
        at_least: 81,
        collect: triton,
    },
    Source {
        name: "CuPy",
        about: "CUB and Thrust in its libraries",
        at_least: 846,
        collect: cupy,
    },
    Source {
        name: "CUTLASS",
        about: "three of its examples for tensor cores",
        at_least: 3,
        collect: cutlass,
    },
    Source {
        name: "llama.cpp",
        about: "ten sources of ggml-cuda",
        at_least: 300,
        collect: llama,
    },
];

fn directory() -> PathBuf {
    sh::root().join("tests/modules")
}

/// Runs a script of ours, which says `PASS` in its last line.
fn script(command: &mut Command) -> Result<()> {
    let text = sh::text(command)?;
    match text.lines().last() {
        Some(line) if line.starts_with("PASS ") => Ok(()),
        _ => bail!("a script that collects modules did not pass:\n{text}"),
    }
}

fn numba(layout: &Layout, into: &Path) -> Result<()> {
    let (python, more) = (PYTHON.ensure()?, MODULES.libraries()?);
    let host = Host::start(layout, &["H100 80GB"])?;
    host.create("modules", "H100-20C")?;
    let mut command = host.guest("modules", &python);
    command
        .env("PYTHONPATH", more)
        .arg(directory().join("numba_modules.py"))
        .arg(into);
    script(command.args(["test_matmul", "test_laplace", "test_warp_ops", "test_intrinsics"]))
}

fn tinygrad(_: &Layout, into: &Path) -> Result<()> {
    let python = PYTHON.ensure()?;
    let toolkit = PYTHON.libraries()?.join("nvidia/cu13");
    for way in ["CUDA", "PTX"] {
        let mut command = Command::new(&python);
        command
            .arg(directory().join("tinygrad_modules.py"))
            .arg(into)
            .env("DEV", format!("NULL:{way}:sm_80"))
            .env("PARALLEL", "0")
            .env("CACHELEVEL", "0")
            .env("CUDA_PATH", &toolkit)
            .env("NVRTC_PATH", toolkit.join("lib/libnvrtc.so.13"));
        script(&mut command)?;
    }
    Ok(())
}

fn triton(_: &Layout, into: &Path) -> Result<()> {
    let mut command = Command::new(TRITON.ensure()?);
    command
        .arg(directory().join("triton_modules.py"))
        .arg(into)
        .env("TRITON_CACHE_DIR", sh::cache().join("triton"));
    script(&mut command)
}

/// The libraries are looked at where they lie; what is written down is where that is.
fn cupy(_: &Layout, into: &Path) -> Result<()> {
    let libraries = MODULES.libraries()?.join("cupy/cuda");
    for entry in fs::read_dir(libraries)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if name.starts_with("cub.") || name.starts_with("thrust.") {
            std::os::unix::fs::symlink(&path, into.join(name))?;
        }
    }
    Ok(())
}

fn cutlass(_: &Layout, into: &Path) -> Result<()> {
    let source = MODULES.libraries()?.join("cutlass_library/source");
    let include = ["include", "tools/util/include", "examples/common"].map(|i| source.join(i));
    let examples = [
        "14_ampere_tf32_tensorop_gemm/ampere_tf32_tensorop_gemm.cu",
        "15_ampere_sparse_tensorop_gemm/ampere_sparse_tensorop_gemm.cu",
        "18_ampere_fp64_tensorop_affine2_gemm/ampere_fp64_tensorop_affine2_gemm.cu",
    ];
    compile(&examples.map(|e| source.join("examples").join(e)), &include, into)
}

fn llama(_: &Layout, into: &Path) -> Result<()> {
    let packages = crates(&directory())?;
    let package = packages
        .get("llama-cpp-sys-2")
        .context("llama.cpp is not among the packages")?;
    let ggml = package.root.join("llama.cpp/ggml");
    let cuda = ggml.join("src/ggml-cuda");
    let include = [
        directory().join("stub"),
        ggml.join("include"),
        ggml.join("src"),
        cuda.clone(),
    ];
    let sources = [
        "softmax.cu",
        "norm.cu",
        "rope.cu",
        "quantize.cu",
        "getrows.cu",
        "cpy.cu",
        "unary.cu",
        "topk-moe.cu",
        "template-instances/mmq-instance-q4_0.cu",
        "template-instances/fattn-vec-instance-f16-f16.cu",
    ];
    compile(&sources.map(|s| cuda.join(s)), &include, into)
}

/// Compiles sources to PTX, one after the other.
fn compile(sources: &[PathBuf], include: &[PathBuf], into: &Path) -> Result<()> {
    let nvcc = Nvcc::cuda13()?;
    for source in sources {
        let name = source.with_extension("ptx");
        let out = into.join(name.file_name().context("a source has a name")?);
        nvcc.text(source, include, &out)?;
    }
    Ok(())
}

/// What a collection depends on: the versions of everything, and our own files.
fn recipe() -> Result<String> {
    let mut recipe = [PYTHON.packages, TRITON.packages, MODULES.packages]
        .concat()
        .join("\n");
    for entry in [
        "Cargo.lock",
        "numba_modules.py",
        "tinygrad_modules.py",
        "triton_modules.py",
        "stub/cublas_v2.h",
    ] {
        recipe += &fs::read_to_string(directory().join(entry))?;
    }
    recipe += include_str!("modules.rs");
    Ok(recipe)
}

/// The files of a source, collected where they are not there yet.
fn files(source: &Source, layout: &Layout, recipe: &str) -> Result<Vec<PathBuf>> {
    let root = sh::cache().join("modules").join(source.name);
    let collected = root.join("files");
    if !is_done(&root, recipe) {
        remove(&root)?;
        fs::create_dir_all(&collected)?;
        (source.collect)(layout, &collected)?;
        done(&root, recipe)?;
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(&collected)? {
        files.push(entry?.path());
    }
    files.sort();
    Ok(files)
}

/// What the files of a source add up to.
#[derive(Default)]
struct Sum {
    modules: u64,
    kernels: u64,
    instructions: u64,
    machine_kernels: u64,
    /// Refused instructions that the documentation lists, with how often.
    documented: BTreeMap<String, u64>,
    /// Everything else that is refused.
    others: Vec<String>,
}

/// Loads files whole.
fn load(layout: &Layout, files: &[PathBuf]) -> Result<Sum> {
    let mut command = Command::new(&layout.tessera);
    // Refusals make the exit code 1; the report is there all the same.
    let output = sh::output(command.args(["ptx", "check", "--json"]).args(files))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let reports: Vec<Value> = serde_json::from_str(&text).with_context(|| {
        let errors = String::from_utf8_lossy(&output.stderr);
        format!("`tessera ptx check` ended with {}: {errors}", output.status)
    })?;
    let mut sum = Sum::default();
    for report in &reports {
        let number = |name: &str| report[name].as_u64().unwrap_or(0);
        sum.modules += number("modules");
        sum.kernels += number("kernels");
        sum.instructions += number("instructions");
        sum.machine_kernels += number("machine_kernels");
        let refusals = report["refusals"].as_array().context("a report has refusals")?;
        for refusal in refusals {
            let instruction = refusal["instruction"].as_str().unwrap_or_default();
            if let Some(known) = DOCUMENTED.iter().find(|known| instruction.starts_with(*known)) {
                *sum.documented.entry((*known).to_owned()).or_default() += 1;
            } else {
                sum.others.push(format!("{}: {refusal}", report["file"]));
            }
        }
    }
    Ok(sum)
}

/// Collects and loads everything; one line per source.
pub(crate) fn modules(layout: &Layout) -> Result<()> {
    MODULES.ensure()?;
    let recipe = recipe()?;
    let mut failed = Vec::new();
    for source in SOURCES {
        let files = files(source, layout, &recipe)?;
        let start = Instant::now();
        let sum = load(layout, &files)?;
        let passed = sum.others.is_empty() && sum.kernels >= source.at_least;
        println!(
            "  {}  {:10} {:4} modules {:5} kernels {:8} instructions {:5} as machine code {:6.2} s  {}",
            if passed { "PASS" } else { "FAIL" },
            source.name,
            sum.modules,
            sum.kernels,
            sum.instructions,
            sum.machine_kernels,
            start.elapsed().as_secs_f64(),
            source.about,
        );
        for (known, count) in &sum.documented {
            println!("        {count} kernels refused as documented: {known}*");
        }
        for other in sum.others.iter().take(20) {
            println!("        refused: {other}");
        }
        if sum.kernels < source.at_least {
            println!("        fewer than {} kernels", source.at_least);
        }
        if !passed {
            failed.push(source.name);
        }
    }
    if !failed.is_empty() {
        bail!("modules that do not load whole: {}", failed.join(", "));
    }
    Ok(())
}
