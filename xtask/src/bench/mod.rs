//! Runs the benchmarks and writes `docs/benchmarks.md`: a section for the guest driver, one for the execution engine.
//!
//! A figure is a median; beside it stands its floor, the least that the same thing could cost on this machine, measured in the
//! same run. Goals are those of `SPECIFICATION.md`. A goal that is missed is printed as missed.

mod chart;
mod engine;

use crate::host::Host;
use crate::{dist, sh, toolchain};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Options of `cargo xtask bench`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Use target/tessera as it is instead of building it again
    #[arg(long)]
    no_build: bool,
    /// Print only; leave docs/benchmarks.md as it is
    #[arg(long)]
    dry_run: bool,
    /// Run one part only; the other's section of the page stays as it is
    #[arg(long)]
    only: Option<Part>,
}

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Calls, launches and copies through the guest driver
    Guest,
    /// Kernels beside native code and OpenCL
    Engine,
}

/// One row of the page.
struct Row {
    name: String,
    value: String,
    floor: String,
    goal: &'static str,
    met: Option<bool>,
}

/// Limits by the start of a figure's name: (name, goal in words, test of (ns, floor ns)).
type Goal = (&'static str, &'static str, fn(f64, f64) -> bool);

const COPIES: &str = "95 % of memcpy or more";
const COPIES_SMALL: &str = "80 % of memcpy or more";

fn small_copy(ns: f64, floor: f64) -> bool {
    floor / ns >= 0.8
}

const GOALS: &[Goal] = &[
    ("local call", "50 ns or less", |ns, _| ns <= 50.0),
    ("posted launch, cost in the guest", "150 ns or less", |ns, _| {
        ns <= 150.0
    }),
    ("empty launches run to the end", "500 k/s or more", |ns, _| {
        ns <= 2000.0
    }),
    ("blocking call, worker awake", "1.5 µs or less", |ns, _| {
        ns <= 1500.0
    }),
    ("copy to the device, pageable, 64 KiB", COPIES_SMALL, small_copy),
    ("copy from the device, pageable, 64 KiB", COPIES_SMALL, small_copy),
    ("copy to the device, pinned, 64 KiB", COPIES_SMALL, small_copy),
    ("copy from the device, pinned, 64 KiB", COPIES_SMALL, small_copy),
    ("copy to the device, ", COPIES, |ns, floor| floor / ns >= 0.95),
    ("copy from the device, ", COPIES, |ns, floor| floor / ns >= 0.95),
];

/// Runs everything.
pub(crate) fn run(options: &Options) -> Result<()> {
    if !options.no_build {
        sh::run(sh::cargo().args(["build", "--release", "-p", "tessera-bench"]))?;
    }
    let bench = sh::target().join("release/tessera-bench");
    let path = sh::root().join("docs/benchmarks.md");
    let mut sections = sections(&fs::read_to_string(&path).unwrap_or_default());
    if options.only != Some(Part::Engine) {
        sections[0] = guest_section(options, &bench)?;
    }
    if options.only != Some(Part::Guest) {
        sections[1] = engine::section(&bench, &sh::root().join("docs/results"))?;
    }
    let page = page(&sections)?;
    println!("{page}");
    if !options.dry_run {
        fs::write(path, page)?;
    }
    Ok(())
}

/// The sections of the page as it is: the guest driver's, the engine's.
fn sections(page: &str) -> [String; 2] {
    let part = |title: &str| {
        let rest = page.split_once(title).map_or("", |p| p.1);
        let end = rest.find("\n## ").map_or(rest.len(), |at| at + 1);
        if rest.is_empty() {
            String::new()
        } else {
            format!("{title}{}", &rest[..end])
        }
    };
    [part("## The guest driver\n"), part("## The execution engine\n")]
}

fn guest_section(options: &Options, bench: &Path) -> Result<String> {
    let layout = if options.no_build {
        dist::layout()
    } else {
        dist::build()?
    };
    let ptx = toolchain::ptx(&sh::root().join("tests/bench/kernels.cu"))?;
    let host = Host::start(&layout, &["H100 80GB"])?;
    let mut rows = vec![worker_start(&host)?];
    rows.extend(idle(&host)?);
    rows.extend(guest(&host, bench)?);
    rows.extend(kernels(&host, bench, &ptx)?);
    drop(host);
    let mut out = String::from(
        "## The guest driver\n\nEach figure is a median, each floor is the least that the same thing could cost.\n\n\
         | what | measured | floor | goal | |\n|---|---|---|---|---|\n",
    );
    for row in &rows {
        let verdict = match row.met {
            Some(true) => "met",
            Some(false) => "**missed**",
            None => "",
        };
        writeln!(
            out,
            "| {} | {} | {} | {} | {verdict} |",
            row.name, row.value, row.floor, row.goal
        )?;
    }
    out.push('\n');
    Ok(out)
}

fn time(ns: f64) -> String {
    match ns {
        ns if ns < 1e3 => format!("{ns:.1} ns"),
        ns if ns < 1e6 => format!("{:.2} µs", ns / 1e3),
        ns => format!("{:.2} ms", ns / 1e6),
    }
}

fn guest(host: &Host<'_>, bench: &Path) -> Result<Vec<Row>> {
    let text = sh::text(host.guest("bench", bench).arg("guest"))?;
    let mut rows = Vec::new();
    for line in text.lines().filter(|l| l.starts_with('{')) {
        let figure: Value = serde_json::from_str(line)?;
        let name = figure["name"].as_str().context("a figure has a name")?.to_owned();
        let (ns, floor) = (
            figure["ns"].as_f64().unwrap_or(f64::NAN),
            figure["floor_ns"].as_f64().unwrap_or(f64::NAN),
        );
        let goal = GOALS.iter().find(|g| name.starts_with(g.0));
        rows.push(Row {
            value: if name.starts_with("copy") {
                format!("{} ({:.0} % of memcpy)", time(ns), 100.0 * floor / ns)
            } else {
                time(ns)
            },
            floor: format!("{}: {}", figure["floor"].as_str().unwrap_or("?"), time(floor)),
            goal: goal.map_or("", |g| g.1),
            met: goal.map(|g| (g.2)(ns, floor)),
            name,
        });
    }
    if rows.is_empty() {
        bail!("the guest benchmark printed no figure:\n{text}");
    }
    Ok(rows)
}

/// Ten kernels, a program of them and a graph: nanoseconds of each side, alternating, best of three pairs.
fn kernels(host: &Host<'_>, bench: &Path, ptx: &Path) -> Result<Vec<Row>> {
    let mut best: Vec<(String, f64, f64)> = Vec::new();
    for _ in 0..3 {
        let inside = kernel_times(host.guest("bench", bench).args(["kernels", "guest"]).arg(ptx))?;
        let alone = kernel_times(Command::new(bench).args(["kernels", "device"]).arg(ptx))?;
        for (index, ((name, g), (_, d))) in inside.into_iter().zip(alone).enumerate() {
            match best.get_mut(index) {
                Some(row) => (row.1, row.2) = (row.1.min(g), row.2.min(d)),
                None => best.push((name, g, d)),
            }
        }
    }
    let (_, graph, alone) = best.pop().unwrap_or_default();
    let (program, long, short) = best.pop().unwrap_or_default();
    let (guest, device) = best.iter().fold((0.0, 0.0), |(g, d), row| (g + row.1, d + row.2));
    let mut rows = vec![Row {
        name: "ten kernels in the guest".to_owned(),
        value: format!("{} ({:+.1} %)", time(guest), 100.0 * (guest / device - 1.0)),
        floor: format!("the same device called in-process: {}", time(device)),
        goal: "5 % over or less",
        met: Some(guest <= 1.05 * device),
    }];
    rows.extend(best.into_iter().map(|(name, g, d)| Row {
        name: format!("kernel {name}"),
        value: format!("{} ({:+.1} %)", time(g), 100.0 * (g / d - 1.0)),
        floor: format!("in-process: {}", time(d)),
        goal: "",
        met: None,
    }));
    rows.push(Row {
        name: format!("{program} in the guest"),
        value: format!("{} ({:+.1} %)", time(long), 100.0 * (long / short - 1.0)),
        floor: format!("in-process: {}", time(short)),
        goal: "2 % over or less",
        met: Some(long <= 1.02 * short),
    });
    rows.push(Row {
        name: "graph of 1,000 nodes (saxpy of 16 blocks) replayed in the guest".to_owned(),
        value: format!("{} ({:+.1} %)", time(graph), 100.0 * (graph / alone - 1.0)),
        floor: format!("the launches alone, in-process: {}", time(alone)),
        goal: "20 % over or less",
        met: Some(graph <= 1.2 * alone),
    });
    Ok(rows)
}

fn kernel_times(command: &mut Command) -> Result<Vec<(String, f64)>> {
    let text = sh::text(command)?;
    let times: Vec<(String, f64)> = text
        .lines()
        .filter_map(|l| serde_json::from_str::<Value>(l).ok())
        .filter_map(|v| Some((v["name"].as_str()?.to_owned(), v["ns"].as_f64()?)))
        .collect();
    if times.len() != 12 {
        bail!(
            "expected ten kernels, a program and a graph, got {}:\n{text}",
            times.len()
        );
    }
    Ok(times)
}

fn worker_start(host: &Host<'_>) -> Result<Row> {
    let mut times = Vec::new();
    for round in 0..9 {
        let start = Instant::now();
        host.create("bench", "H100-20C")?;
        times.push(start.elapsed().as_secs_f64() * 1e9);
        if round < 8 {
            sh::text(host.tessera().args(["vgpu", "delete", "bench"]))?;
        }
    }
    let mut floor = Vec::new();
    for _ in 0..9 {
        let start = Instant::now();
        Command::new("true").stdout(Stdio::null()).status()?;
        floor.push(start.elapsed().as_secs_f64() * 1e9);
    }
    times.sort_by(f64::total_cmp);
    floor.sort_by(f64::total_cmp);
    Ok(Row {
        name: "`tessera vgpu create` until guests can connect (command, manager, worker)".to_owned(),
        value: time(times[4]),
        floor: format!("starting `true`: {}", time(floor[4])),
        goal: "",
        met: None,
    })
}

/// Memory and processor time of an idle vGPU.
fn idle(host: &Host<'_>) -> Result<Vec<Row>> {
    let worker = host.number("bench", "/worker_pid")?;
    let status = fs::read_to_string(format!("/proc/{worker}/status"))?;
    let rss = status
        .lines()
        .find_map(|l| l.strip_prefix("VmRSS:"))
        .map(|l| l.trim().to_owned())
        .context("the worker's status has no VmRSS")?;
    let before = ticks(worker)?;
    std::thread::sleep(Duration::from_secs(3));
    let used = ticks(worker)? - before;
    let row = |name: &str, value: String, goal, met| Row {
        name: name.to_owned(),
        value,
        floor: String::new(),
        goal,
        met,
    };
    Ok(vec![
        row("resident memory of the worker of an idle vGPU", rss, "", None),
        row(
            "processor time of an idle worker in 3 s",
            format!("{used} ticks of 10 ms"),
            "none",
            Some(used == 0),
        ),
    ])
}

fn ticks(pid: u64) -> Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let field = |index: usize| fields.get(index).and_then(|f| f.parse::<u64>().ok());
    // Fields 14 and 15 of the line, counted from 1; the text after the name starts with field 3.
    Ok(field(11).context("no utime")? + field(12).context("no stime")?)
}

fn page(sections: &[String]) -> Result<String> {
    let info = fs::read_to_string("/proc/cpuinfo")?;
    let processor = info
        .lines()
        .find_map(|l| l.strip_prefix("model name"))
        .unwrap_or("")
        .trim_start_matches([' ', '\t', ':']);
    let revision =
        sh::text(
            Command::new("git")
                .current_dir(sh::root())
                .args(["log", "-1", "--format=%h of %cs"]),
        )?;
    let cores = std::thread::available_parallelism()?;
    let mut out = format!(
        "# Benchmarks\n\nWritten by `cargo xtask bench`; repeat them with that command. Everything is measured in one run; read the ratios, not\n\
         the nanoseconds: the machine is shared.\n\nRevision {}, {cores} processors ({processor}).\n\n",
        revision.trim()
    );
    out.push_str(&sections.concat());
    Ok(out)
}
