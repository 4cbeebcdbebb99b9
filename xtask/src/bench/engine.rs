//! The execution engine beside native code and OpenCL: runs `tessera-bench engine`, judges it by its gates, draws it.
//!
//! Native code is compiled with `clang-19` where it is installed, else with `cc`; OpenCL is whatever the loader finds (package
//! `pocl-opencl-icd`). Without them the page says so.

use super::{chart, time};
use crate::{sh, toolchain};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One kernel: nanoseconds by way of running it.
#[derive(Default, Clone)]
pub(super) struct Kernel {
    pub(super) title: String,
    pub(super) ns: BTreeMap<String, f64>,
    /// Largest ratios to native code: tier 0, tier 1, to stretch for.
    gate: Option<[f64; 3]>,
    compute: bool,
}

impl Kernel {
    /// Time of a way of running it, in units of native code's.
    fn ratio(&self, way: &str) -> Option<f64> {
        Some(self.ns.get(way)? / self.ns.get("native")?)
    }
}

/// All kernels with one number of threads.
struct Run {
    threads: u32,
    unit: &'static str,
    kernels: Vec<Kernel>,
    opencl: Option<String>,
}

/// What the harness is given: PTX, native code, OpenCL.
struct Sources {
    ptx: PathBuf,
    native: PathBuf,
    opencl: PathBuf,
    compiler: String,
}

fn sources() -> Result<Sources> {
    let directory = sh::root().join("tests/bench/engine");
    let native = sh::target().join("bench-native.so");
    let compiler = ["clang-19", "clang", "cc"]
        .into_iter()
        .find(|c| {
            Command::new(c)
                .arg("--version")
                .output()
                .is_ok_and(|o| o.status.success())
        })
        .context("no C compiler: install clang-19")?;
    let mut command = Command::new(compiler);
    command
        .args(["-O3", "-march=native", "-w", "-shared", "-fPIC", "-o"])
        .arg(&native)
        .arg(directory.join("native.c"))
        .arg("-lm");
    sh::run(&mut command)?;
    let version = sh::text(Command::new(compiler).arg("--version"))?;
    Ok(Sources {
        ptx: toolchain::ptx(&directory.join("kernels.cu"))?,
        native,
        opencl: directory.join("kernels.cl"),
        compiler: version.lines().next().unwrap_or(compiler).to_owned(),
    })
}

fn measure(bench: &Path, sources: &Sources, threads: u32, unit: &'static str) -> Result<Run> {
    let mut command = Command::new(bench);
    command
        .args(["engine", &threads.to_string(), unit])
        .args([&sources.ptx, &sources.native, &sources.opencl])
        .env("POCL_MAX_PTHREAD_COUNT", threads.to_string());
    let text = sh::text(&mut command)?;
    let mut run = Run {
        threads,
        unit,
        kernels: Vec::new(),
        opencl: None,
    };
    for line in text.lines().filter(|l| l.starts_with('{')) {
        let figure: Value = serde_json::from_str(line)?;
        if let Some(version) = figure["opencl"].as_str() {
            run.opencl = Some(version.to_owned());
            continue;
        }
        let title = figure["kernel"].as_str().context("a figure has a kernel")?;
        if run.kernels.last().is_none_or(|k| k.title != title) {
            let gate = |i: usize| figure["gate"][i].as_f64();
            run.kernels.push(Kernel {
                title: title.to_owned(),
                gate: gate(0).zip(gate(1)).zip(gate(2)).map(|((a, b), c)| [a, b, c]),
                compute: figure["compute"].as_bool().unwrap_or(false),
                ..Kernel::default()
            });
        }
        let way = figure["way"].as_str().context("a figure has a way")?.to_owned();
        let ns = figure["ns"].as_f64().context("a figure has a time")?;
        if let Some(kernel) = run.kernels.last_mut() {
            kernel.ns.insert(way, ns);
        }
    }
    ensure!(
        !run.kernels.is_empty(),
        "the engine benchmark printed no figure:\n{text}"
    );
    Ok(run)
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let logs: Vec<f64> = values.map(f64::ln).collect();
    #[allow(clippy::cast_precision_loss, reason = "a few dozen kernels")]
    let count = logs.len() as f64;
    (count > 0.0).then(|| (logs.iter().sum::<f64>() / count).exp())
}

/// A ratio beside its gate.
fn judged(ratio: Option<f64>, gate: Option<f64>) -> String {
    match (ratio, gate) {
        (Some(r), Some(g)) if r <= g => format!("{r:.2} (≤ {g})"),
        (Some(r), Some(g)) => format!("**{r:.2}** (≤ {g})"),
        (Some(r), None) => format!("{r:.2}"),
        (None, _) => String::new(),
    }
}

fn table(run: &Run) -> Result<String> {
    let mut out = String::from(
        "| kernel | native | by hand in vectors | OpenCL | tier 0 | tier 1 | tier 1 to OpenCL |\n|---|---|---|---|---|---|---|\n",
    );
    for k in &run.kernels {
        let plain = |way: &str| judged(k.ratio(way), None);
        let gate = |i: usize| k.gate.map(|g| g[i]);
        let against = k.ns.get("tier 1").zip(k.ns.get("OpenCL")).map(|(t, o)| t / o);
        writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} | {} |",
            k.title,
            time(k.ns.get("native").copied().unwrap_or(f64::NAN)),
            plain("native, by hand in vectors"),
            plain("OpenCL"),
            judged(k.ratio("tier 0"), gate(0)),
            judged(k.ratio("tier 1"), gate(1)),
            judged(against, None),
        )?;
    }
    Ok(out)
}

/// Sentences under a table: the means that have goals.
fn means(run: &Run) -> Result<String> {
    let mut out = String::new();
    let stretch = mean(
        run.kernels
            .iter()
            .filter_map(|k| Some(k.ratio("tier 1")? / k.gate?[2])),
    );
    if let Some(part) = stretch {
        writeln!(
            out,
            "\nTier 1 over the stretch column, geometric mean of the kernels that have one: {part:.2} (goal 1 or less)."
        )?;
    }
    for tier in ["tier 0", "tier 1"] {
        let faster = mean(
            run.kernels
                .iter()
                .filter(|k| k.compute)
                .filter_map(|k| Some(k.ns.get("OpenCL")? / k.ns.get(tier)?)),
        );
        if let Some(times) = faster {
            let goal = if tier == "tier 1" { " (goal 8)" } else { "" };
            writeln!(
                out,
                "\nTimes as fast as OpenCL, {tier}, geometric mean of the kernels that compute: {times:.1}{goal}."
            )?;
        }
    }
    Ok(out)
}

fn scaling(one: &Run, two: &Run) -> Result<String> {
    let mut out = String::from("| kernel | native | OpenCL | tier 0 | tier 1 |\n|---|---|---|---|---|\n");
    let speed = |a: &Kernel, b: &Kernel, way: &str| Some(a.ns.get(way)? / b.ns.get(way)?);
    let pairs = || one.kernels.iter().zip(&two.kernels);
    let ways = ["native", "OpenCL", "tier 0", "tier 1"];
    for (a, b) in pairs() {
        write!(out, "| {} |", a.title)?;
        for way in ways {
            write!(out, " {} |", judged(speed(a, b, way), None))?;
        }
        out.push('\n');
    }
    write!(out, "| geometric mean (goal 1.8) |")?;
    for way in ways {
        let all = mean(pairs().filter_map(|(a, b)| speed(a, b, way)));
        write!(out, " {} |", judged(all, None))?;
    }
    out.push('\n');
    Ok(out)
}

/// Measures and returns the section of the page; draws the charts beside it.
pub(super) fn section(bench: &Path, charts: &Path) -> Result<String> {
    let sources = sources()?;
    let mut runs = Vec::new();
    for (threads, unit) in [(1, "best"), (2, "best"), (1, "avx2")] {
        println!("  engine: {threads} thread(s), unit {unit}");
        runs.push(measure(bench, &sources, threads, unit)?);
    }
    let mut out = String::from("## The execution engine\n\n");
    writeln!(
        out,
        "Ratios to native code on as many threads ({}, `-O3 -march=native`); below 1 is faster. In brackets the gate, where one is set; \
         a miss is bold. OpenCL: {}. All ways of running a kernel take turns, results are compared before anything is timed, and a \
         launch's way through the device is part of its time.\n",
        sources.compiler,
        runs[0].opencl.as_deref().unwrap_or("none on this machine"),
    )?;
    for run in &runs {
        let threads = if run.threads == 1 {
            "One thread"
        } else {
            "Two threads"
        };
        let unit = if run.unit == "best" { "" } else { ", AVX2 only" };
        writeln!(out, "### {threads}{unit}\n")?;
        if run.threads > 1 {
            out.push_str("Native code starts its second thread anew for every run, which shows in the shortest kernels.\n\n");
        }
        out.push_str(&table(run)?);
        out.push_str(&means(run)?);
        out.push('\n');
    }
    writeln!(out, "### Two threads to one, in speed\n")?;
    out.push_str(&scaling(&runs[0], &runs[1])?);
    fs::create_dir_all(charts)?;
    chart::ratios(&charts.join("engine.svg"), &runs[0].kernels)?;
    out.push_str("\n![Time of each kernel in units of native code's](results/engine.svg)\n");
    let start = start(bench)?;
    out.push_str(&start);
    Ok(out)
}

/// Start-up, relaunch, stop and checkpoint.
fn start(bench: &Path) -> Result<String> {
    let text = sh::text(Command::new(bench).arg("start"))?;
    let mut out = String::from("\n### Starting and stopping\n\n| what | measured | goal |\n|---|---|---|\n");
    for line in text.lines().filter(|l| l.starts_with('{')) {
        let figure: Value = serde_json::from_str(line)?;
        let ns = figure["ns"].as_f64().context("a figure has a time")?;
        let goal = figure["goal_ns"].as_f64();
        let verdict = match goal {
            Some(goal) if ns <= goal => format!("{} or less: met", time(goal)),
            Some(goal) => format!("{} or less: **missed**", time(goal)),
            None => String::new(),
        };
        writeln!(
            out,
            "| {} | {} | {verdict} |",
            figure["name"].as_str().unwrap_or("?"),
            time(ns)
        )?;
    }
    Ok(out)
}
