//! Kernels of applications that others wrote: their sources come with packages of their own, unmodified; small programs of ours call
//! them on generated input and compare with the CPU.
//!
//! A directory of `tests/apps` is an application, every `.cu` in it a program. Each comparison of a program names the kernel that it
//! checks; the program's last line says how many kernels that were, and the stage adds these up.

use super::nvcc::Nvcc;
use super::programs::{Build, parallel, run_one};
use super::sources::{Package, packages};
use crate::dist::Layout;
use crate::host::Host;
use crate::sh;
use anyhow::{Context, Result, bail};
use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

/// An application: where its sources are.
struct App {
    /// Directory of our programs.
    name: &'static str,
    /// The package, or nothing for what comes with the compiler.
    package: Option<&'static str>,
    /// Directories of the package that are searched for what programs include.
    include: &'static [&'static str],
    /// What the compiler is told besides.
    flags: &'static [&'static str],
}

const APPS: &[App] = &[
    App {
        name: "bmtrain",
        package: Some("bmtrain"),
        include: &["csrc/cuda"],
        flags: &[],
    },
    App {
        name: "candle",
        package: Some("candle-kernels"),
        include: &["src"],
        flags: &[],
    },
    App {
        name: "cccl",
        package: None,
        include: &[],
        flags: &[],
    },
    App {
        name: "cuvarbase",
        package: Some("cuvarbase"),
        include: &["cuvarbase/kernels"],
        flags: &[],
    },
    App {
        name: "deepmd",
        package: Some("deepmd-kit"),
        include: &["source/lib/include", "source/lib/src/gpu"],
        flags: &[],
    },
    App {
        name: "deepspeed",
        package: Some("deepspeed"),
        include: &[
            "deepspeed/ops/csrc/includes",
            "deepspeed/ops/csrc/quantization",
            "deepspeed/ops/csrc/transformer/inference/csrc",
            "deepspeed/ops/csrc/transformer/inference/includes",
        ],
        flags: &[],
    },
    App {
        name: "dfdx",
        package: Some("dfdx"),
        include: &["src/tensor_ops", "src/tensor_ops/utilities"],
        flags: &[],
    },
    App {
        name: "ec-gpu",
        package: Some("ec-gpu-gen"),
        include: &["src/cl"],
        flags: &[],
    },
    App {
        name: "ggml",
        package: Some("whisper-rs-sys"),
        include: &[
            "whisper.cpp/ggml/include",
            "whisper.cpp/ggml/src",
            "whisper.cpp/ggml/src/ggml-cuda",
        ],
        // Functions that nobody calls are left out, and with them what they would call.
        flags: &["-Xcompiler", "-ffunction-sections", "-Xlinker", "--gc-sections"],
    },
    App {
        name: "gsplat",
        package: Some("gsplat"),
        include: &["gsplat/cuda/csrc"],
        flags: &["--expt-relaxed-constexpr"],
    },
    App {
        name: "lightgbm",
        package: Some("lightgbm"),
        include: &[
            "include",
            "src",
            "external_libs/eigen",
            "external_libs/fast_double_parser/include",
            "external_libs/fmt/include",
        ],
        flags: &[],
    },
    App {
        name: "mmcv",
        package: Some("mmcv"),
        include: &["mmcv/ops/csrc/common", "mmcv/ops/csrc/common/cuda"],
        flags: &[],
    },
    App {
        name: "ripser",
        package: Some("ripserplusplus"),
        include: &["ripserplusplus", "ripserplusplus/include"],
        flags: &["-Xcompiler", "-fopenmp"],
    },
    App {
        name: "sppark",
        package: Some("sppark"),
        include: &["sppark"],
        flags: &[],
    },
    App {
        name: "warp-rnnt",
        package: Some("warp-rnnt"),
        include: &["."],
        flags: &[],
    },
];

fn directory() -> PathBuf {
    sh::root().join("tests/apps")
}

/// A program to be compiled.
struct Program {
    name: String,
    app: &'static str,
    source: PathBuf,
    about: String,
    flags: Vec<String>,
}

/// The programs of an application.
fn programs(app: &'static App, packages: &HashMap<String, Package>) -> Result<Vec<Program>> {
    let ours = directory().join(app.name);
    // Headers of ours stand in for those of a framework, where a source asks for one.
    let mut flags = vec![format!("-I{}", ours.display())];
    flags.extend(app.flags.iter().map(|&flag| flag.to_owned()));
    let about = match app.package {
        Some(name) => {
            let package = packages
                .get(name)
                .with_context(|| format!("{name} is not among the packages"))?;
            for include in app.include {
                flags.push(format!("-I{}", package.root.join(include).display()));
            }
            format!("{name} {}", package.version)
        }
        None => "with the compiler".to_owned(),
    };
    let mut sources = Vec::new();
    for entry in fs::read_dir(ours)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "cu") {
            sources.push(path);
        }
    }
    sources.sort();
    let mut programs = Vec::new();
    for source in sources {
        let stem = source.file_stem().context("a source has a name")?;
        programs.push(Program {
            name: stem.to_string_lossy().into_owned(),
            app: app.name,
            source,
            about: about.clone(),
            flags: flags.clone(),
        });
    }
    Ok(programs)
}

/// How many kernels a verdict speaks of.
fn kernels(verdict: &str) -> Option<u32> {
    verdict.split_once(" kernels, ")?.0.parse().ok()
}

/// Fetches, compiles and runs everything; one line per program, and a last one with their sums.
pub(crate) fn apps(layout: &Layout) -> Result<()> {
    let packages = packages(&directory())?;
    let nvcc = Nvcc::cuda13()?;
    let mut all = Vec::new();
    for app in APPS {
        all.extend(programs(app, &packages)?);
    }
    println!(
        "  compiling {} programs of {} applications",
        all.len(),
        APPS.len()
    );
    let built = parallel(&all, |program| {
        let flags: Vec<&str> = program.flags.iter().map(String::as_str).collect();
        let source = std::slice::from_ref(&program.source);
        nvcc.program(&program.name, source, &flags).map(|path| Build {
            name: format!("{} {}", program.app, program.name),
            about: program.about.clone(),
            path,
        })
    });
    let host = Host::start(layout, &["H100 80GB"])?;
    host.create("programs", "H100-20C")?;
    let mut failed = 0;
    let mut passed: HashMap<&str, u32> = HashMap::new();
    for (program, build) in all.iter().zip(built) {
        // What does not compile does not hide what the others say.
        let start = Instant::now();
        let (name, outcome) = match build {
            Ok(build) => (build.name.clone(), run_one(&host, &build)?),
            Err(error) => (
                format!("{} {}", program.app, program.name),
                Err(format!("{error:#}")),
            ),
        };
        let seconds = start.elapsed().as_secs_f64();
        let (verdict, text) = match &outcome {
            Ok(text) => ("PASS", text),
            Err(text) => ("FAIL", text),
        };
        println!(
            "  {verdict}  {name:18} {:22} {seconds:6.2} s  {text}",
            program.about
        );
        match outcome.ok().as_deref().map(kernels) {
            Some(Some(count)) => *passed.entry(program.app).or_default() += count,
            Some(None) => bail!("{name} does not say how many kernels it checked"),
            None => failed += 1,
        }
    }
    println!(
        "  {} kernels of {} applications agree with the CPU",
        passed.values().sum::<u32>(),
        passed.len()
    );
    if failed > 0 {
        bail!("{failed} of {} programs of applications failed", all.len());
    }
    Ok(())
}
