//! Our CUDA programs, compiled by the vendor's compilers in every way that changes what the driver gets, and run on a vGPU.

use super::nvcc::Nvcc;
use super::runtimes;
use crate::dist::Layout;
use crate::host::Host;
use crate::sh;
use anyhow::{Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Seconds after which a program counts as stuck.
const PATIENCE: &str = "240";

/// Programs that need unified memory, which the vGPU of `tessera run` has not.
pub(super) const UNIFIED: &[&str] = &["managed"];

/// A way of compiling.
struct Variant {
    major: u32,
    about: &'static str,
    flags: &'static [&'static str],
    /// Device code of several units is linked.
    linked: bool,
}

/// Zstandard is what compiler 13 does unasked, LZ4 what it does for speed and what compiler 12 does unasked.
const VARIANTS: &[Variant] = &[
    Variant {
        major: 13,
        about: "zstd",
        flags: &[],
        linked: false,
    },
    Variant {
        major: 13,
        about: "LZ4",
        flags: &["-compress-mode=speed"],
        linked: false,
    },
    Variant {
        major: 13,
        about: "plain",
        flags: &["-compress-mode=none"],
        linked: false,
    },
    Variant {
        major: 13,
        about: "zstd, rdc",
        flags: &["-rdc=true"],
        linked: true,
    },
    Variant {
        major: 13,
        about: "zstd, per-thread",
        flags: &["-default-stream=per-thread"],
        linked: false,
    },
    Variant {
        major: 12,
        about: "LZ4",
        flags: &[],
        linked: false,
    },
    Variant {
        major: 12,
        about: "plain",
        flags: &["-no-compress"],
        linked: false,
    },
    Variant {
        major: 12,
        about: "LZ4, rdc",
        flags: &["-rdc=true"],
        linked: true,
    },
];

/// A program with its sources.
struct Program {
    name: String,
    sources: Vec<PathBuf>,
}

/// A program compiled in one way.
pub(super) struct Build {
    pub(super) name: String,
    pub(super) about: String,
    pub(super) path: PathBuf,
}

/// Where the programs lie.
pub(super) fn directory() -> PathBuf {
    sh::root().join("tests/programs")
}

/// Every source of the directory is a program; every directory in it is a program of several units.
fn all() -> Result<Vec<Program>> {
    let mut programs = Vec::new();
    for entry in fs::read_dir(directory())? {
        let path = entry?.path();
        let name = path
            .file_stem()
            .map(|stem| stem.to_string_lossy().into_owned())
            .unwrap_or_default();
        let sources = if path.is_dir() {
            cuda_files(&path)?
        } else {
            vec![path]
        };
        if sources
            .iter()
            .all(|source| source.extension().is_some_and(|extension| extension == "cu"))
        {
            programs.push(Program { name, sources });
        }
    }
    programs.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(programs)
}

/// Name and sources of every program.
pub(super) fn sources() -> Result<Vec<(String, Vec<PathBuf>)>> {
    let programs = all()?.into_iter();
    Ok(programs.map(|program| (program.name, program.sources)).collect())
}

fn cuda_files(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "cu") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Compiles all programs in all ways, as many at a time as there are processors.
fn build_all(compilers: &[Nvcc]) -> Result<Vec<Build>> {
    let programs = all()?;
    let mut jobs = Vec::new();
    for variant in VARIANTS {
        for compiler in compilers
            .iter()
            .filter(|compiler| compiler.major == variant.major)
        {
            // A program of several units needs a linker for its device code.
            let fits = |program: &&Program| variant.linked || program.sources.len() == 1;
            jobs.extend(
                programs
                    .iter()
                    .filter(fits)
                    .map(|program| (compiler, variant, program)),
            );
        }
    }
    println!("  compiling {} programs in {} builds", programs.len(), jobs.len());
    let built = parallel(&jobs, |(compiler, variant, program)| {
        let path = compiler.program(&program.name, &program.sources, variant.flags)?;
        Ok(Build {
            name: program.name.clone(),
            about: format!("nvcc {}, {}", variant.major, variant.about),
            path,
        })
    });
    built.into_iter().collect()
}

/// Does all jobs, as many at a time as there are processors, and answers their results in the order of the jobs.
pub(super) fn parallel<J: Sync, R: Send>(jobs: &[J], work: impl Fn(&J) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<(usize, R)>> = Mutex::new(Vec::new());
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(job) = jobs.get(index) else {
                        return;
                    };
                    let result = work(job);
                    if let Ok(mut results) = results.lock() {
                        results.push((index, result));
                    }
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_default();
    results.sort_by_key(|result| result.0);
    results.into_iter().map(|result| result.1).collect()
}

/// Runs a program on a vGPU. Its last line is its verdict, of which what follows `PASS` is answered.
pub(super) fn run_one(host: &Host<'_>, build: &Build) -> Result<Result<String, String>> {
    let vgpu = if UNIFIED.contains(&build.name.as_str()) {
        "unified"
    } else {
        "programs"
    };
    let mut command = host.guest(vgpu, Path::new("timeout"));
    let output = sh::output(command.arg(PATIENCE).arg(&build.path))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let verdict = text.lines().last().unwrap_or_default();
    if output.status.success()
        && let Some(passed) = verdict.strip_prefix("PASS ")
    {
        return Ok(Ok(passed.to_owned()));
    }
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok(Err(format!("{}\n{text}{errors}", output.status)))
}

/// Compiles and runs everything; one line per program and way of compiling.
pub(crate) fn programs(layout: &Layout) -> Result<()> {
    let mut compilers = vec![Nvcc::cuda13()?];
    compilers.extend(Nvcc::cuda12()?);
    runtimes::check_headers(layout, &compilers)?;
    let work = tempfile::tempdir()?;
    let mut builds = build_all(&compilers)?;
    builds.extend(runtimes::builds(layout, &compilers, work.path())?);
    let host = Host::start(layout, &["H100 80GB", "H100 80GB"])?;
    host.create("programs", "H100-20C")?;
    host.create_unified("unified", "H100-80C")?;
    let mut failed = 0;
    for build in &builds {
        let start = Instant::now();
        let outcome = run_one(&host, build)?;
        let seconds = start.elapsed().as_secs_f64();
        let verdict = if outcome.is_ok() { "PASS" } else { "FAIL" };
        println!("  {verdict}  {:8} {:20} {seconds:6.2} s", build.name, build.about);
        if let Err(what) = outcome {
            failed += 1;
            for line in what.lines() {
                println!("        {line}");
            }
        }
    }
    if failed > 0 {
        bail!("{failed} of {} builds of our programs failed", builds.len());
    }
    println!("  {} builds of our programs passed", builds.len());
    Ok(())
}

/// What the demo runs: title and command line of three programs.
pub(crate) fn demo_programs(_layout: &Layout) -> Result<Vec<(&'static str, Vec<String>)>> {
    let nvcc = Nvcc::cuda13()?;
    let mut shown = Vec::new();
    for (name, title) in [
        ("matrix", "matrix product and transpose"),
        ("bodies", "histogram and n bodies"),
    ] {
        let source = directory().join(format!("{name}.cu"));
        let program = nvcc.program(name, &[source], &[])?;
        shown.push((title, vec![program.display().to_string()]));
    }
    shown.push(("a numba-cuda script of ten kernels", super::clients::numba()?));
    Ok(shown)
}
