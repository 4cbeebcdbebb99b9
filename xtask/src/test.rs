//! Every check of the project, in stages from quick to slow. One stage fails, the run fails; later stages still run, so that one
//! run says everything that is wrong.

use crate::{dist, faults, sh, toolchain};
use anyhow::{Context, Result, bail};
use std::process::Command;
use std::time::Instant;

/// Options of `cargo xtask test`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Run these stages only (comma separated; see --list)
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Leave these stages out
    #[arg(long, value_delimiter = ',')]
    skip: Vec<String>,
    /// Seconds that each fuzz target runs
    #[arg(long, default_value_t = 60)]
    fuzz_seconds: u32,
    /// Use target/tessera as it is instead of building it again
    #[arg(long)]
    no_build: bool,
    /// Print the stages and what they check
    #[arg(long)]
    list: bool,
}

struct Stage {
    name: &'static str,
    about: &'static str,
    run: fn(&Options) -> Result<()>,
}

const STAGES: &[Stage] = &[
    Stage {
        name: "format",
        about: "rustfmt finds nothing to change",
        run: format,
    },
    Stage {
        name: "clippy",
        about: "no compiler or clippy warning in any crate",
        run: clippy,
    },
    Stage {
        name: "deny",
        about: "licences and sources of dependencies (cargo deny)",
        run: deny,
    },
    Stage {
        name: "unit",
        about: "unit, property and integration tests of all crates",
        run: unit,
    },
    Stage {
        name: "faults",
        about: "limits and faults on a running host",
        run: run_faults,
    },
    Stage {
        name: "fidelity",
        about: "codes of calls in a state, against the real driver's",
        run: fidelity,
    },
    Stage {
        name: "stress",
        about: "random legal calls from many threads, against a model",
        run: stress,
    },
    Stage {
        name: "programs",
        about: "our CUDA programs, compiled by the vendor's nvcc",
        run: programs,
    },
    Stage {
        name: "apps",
        about: "kernels of applications that others wrote",
        run: apps,
    },
    Stage {
        name: "clients",
        about: "unmodified clients: numba-cuda, tinygrad, NVML tools, ...",
        run: clients,
    },
    Stage {
        name: "checks",
        about: "the checking mode on programs of the vendor's nvcc",
        run: checks,
    },
    Stage {
        name: "modules",
        about: "modules of real software, loaded whole",
        run: modules,
    },
    Stage {
        name: "fuzz",
        about: "each fuzz target for --fuzz-seconds",
        run: fuzz,
    },
];

/// Runs the stages.
pub(crate) fn run(options: &Options) -> Result<()> {
    if options.list {
        for stage in STAGES {
            println!("{:10} {}", stage.name, stage.about);
        }
        return Ok(());
    }
    for name in options.only.iter().chain(&options.skip) {
        if !STAGES.iter().any(|s| s.name == name) {
            bail!("no stage is called {name}; `cargo xtask test --list` shows them");
        }
    }
    let chosen: Vec<&Stage> = STAGES
        .iter()
        .filter(|s| options.only.is_empty() || options.only.iter().any(|n| n == s.name))
        .filter(|s| !options.skip.iter().any(|n| n == s.name))
        .collect();
    let begin = Instant::now();
    let mut failed = Vec::new();
    for (index, stage) in chosen.iter().enumerate() {
        println!(
            "\n== {}/{} {}: {}",
            index + 1,
            chosen.len(),
            stage.name,
            stage.about
        );
        let start = Instant::now();
        match (stage.run)(options) {
            Ok(()) => println!("== {}: ok, {:.0} s", stage.name, start.elapsed().as_secs_f64()),
            Err(error) => {
                println!(
                    "== {}: FAILED, {:.0} s\n{error:?}",
                    stage.name,
                    start.elapsed().as_secs_f64()
                );
                failed.push(stage.name);
            }
        }
    }
    println!("\nAll stages took {:.0} s", begin.elapsed().as_secs_f64());
    println!(
        "stages: {} passed, {} failed",
        chosen.len() - failed.len(),
        failed.len()
    );
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}

fn format(_: &Options) -> Result<()> {
    sh::run(sh::cargo().args(["fmt", "--all", "--check"]))
}

fn clippy(_: &Options) -> Result<()> {
    sh::run(sh::cargo().args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--quiet",
        "--",
        "-D",
        "warnings",
    ]))
}

fn deny(_: &Options) -> Result<()> {
    let tool = sh::cache().join("tools/bin/cargo-deny");
    if !tool.exists() {
        println!("  downloading and building cargo-deny into .cache/tools (once, about 15 MB of sources)");
        sh::run(
            sh::cargo()
                .args([
                    "install",
                    "cargo-deny",
                    "--locked",
                    "--debug",
                    "--no-default-features",
                    "--quiet",
                    "--root",
                ])
                .arg(sh::cache().join("tools"))
                .env("CARGO_TARGET_DIR", sh::cache().join("tools/build")),
        )?;
        std::fs::remove_dir_all(sh::cache().join("tools/build"))
            .context("cannot remove the build of cargo-deny")?;
    }
    sh::run(Command::new(tool).current_dir(sh::root()).args([
        "--log-level",
        "error",
        "check",
        "licenses",
        "bans",
        "sources",
    ]))
}

fn unit(_: &Options) -> Result<()> {
    sh::run(sh::cargo().args(["test", "--workspace", "--quiet", "--no-fail-fast"]))
}

fn layout(options: &Options) -> Result<dist::Layout> {
    if options.no_build {
        Ok(dist::layout())
    } else {
        dist::build()
    }
}

fn run_faults(options: &Options) -> Result<()> {
    faults::run(&layout(options)?)
}

fn stress(options: &Options) -> Result<()> {
    crate::stress::short(&layout(options)?)
}

fn fidelity(options: &Options) -> Result<()> {
    toolchain::fidelity(&layout(options)?)
}

fn programs(options: &Options) -> Result<()> {
    toolchain::programs(&layout(options)?)
}

fn apps(options: &Options) -> Result<()> {
    toolchain::apps(&layout(options)?)
}

fn clients(options: &Options) -> Result<()> {
    let layout = layout(options)?;
    // What one says does not hide what the other says.
    let assembler = toolchain::ptxas(&layout);
    let scripts = toolchain::clients(&layout);
    toolchain::ggml(&layout).and(scripts).and(assembler)
}

fn checks(options: &Options) -> Result<()> {
    toolchain::checks(&layout(options)?)
}

fn modules(options: &Options) -> Result<()> {
    toolchain::modules(&layout(options)?)
}

/// Coverage instrumentation without a nightly compiler: the flags that cargo-fuzz passes, all of them stable ones.
const FUZZ_FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Ccodegen-units=1 -Cdebug-assertions --cfg fuzzing";

fn fuzz(options: &Options) -> Result<()> {
    let directory = sh::root().join("fuzz");
    let triple = sh::text(Command::new("rustc").args(["-vV"]))?;
    let triple = triple
        .lines()
        .find_map(|l| l.strip_prefix("host: "))
        .context("rustc -vV names no host")?
        .to_owned();
    // With --target the flags do not reach build scripts, which could not be linked with them.
    sh::run(
        sh::cargo()
            .current_dir(&directory)
            .args(["build", "--release", "--quiet", "--target", &triple])
            .env("CARGO_TARGET_DIR", sh::target().join("fuzz"))
            .env("RUSTFLAGS", FUZZ_FLAGS),
    )?;
    for target in std::fs::read_dir(directory.join("fuzz_targets"))? {
        let name = target?
            .path()
            .file_stem()
            .context("a fuzz target has a name")?
            .to_owned();
        let corpus = sh::cache().join("fuzz").join(&name);
        std::fs::create_dir_all(&corpus)?;
        let mut command = Command::new(
            sh::target()
                .join("fuzz")
                .join(&triple)
                .join("release")
                .join(&name),
        );
        command
            .current_dir(sh::cache().join("fuzz"))
            .args([format!("-max_total_time={}", options.fuzz_seconds)])
            .args([
                "-rss_limit_mb=4096",
                "-timeout=10",
                "-print_final_stats=1",
                "-verbosity=0",
            ])
            .arg(&corpus);
        let seeds = directory.join("seeds").join(&name);
        if seeds.is_dir() {
            command.arg(seeds);
        }
        sh::run(&mut command)?;
    }
    Ok(())
}
