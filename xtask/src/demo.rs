//! The demo: one software H100, three vGPUs of 20 GB, a real CUDA program in each at the same time, and what holds them apart.

use crate::dist;
use crate::host::Host;
use crate::toolchain;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Options of `cargo xtask demo`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Use target/tessera as it is instead of building it again
    #[arg(long)]
    no_build: bool,
    /// Seconds that the three programs run side by side
    #[arg(long, default_value_t = 12)]
    seconds: u64,
}

const BOARD: &str = "H100 80GB";
const TYPE: &str = "H100-20C";
const NAMES: [&str; 3] = ["alpha", "beta", "gamma"];

/// One program that runs on one vGPU until the time is over.
struct Guest {
    vgpu: &'static str,
    title: &'static str,
    command: Vec<String>,
    passes: AtomicU32,
    failure: Mutex<Option<String>>,
}

/// Runs the demo.
pub(crate) fn run(options: &Options) -> Result<()> {
    println!("== 1/6 Build Tessera (release; the first time takes a few minutes)");
    let layout = if options.no_build {
        dist::layout()
    } else {
        dist::build()?
    };
    println!(
        "\n== 2/6 Get the programs: two compiled by the vendor's nvcc, one unmodified numba-cuda script"
    );
    let programs = toolchain::demo_programs(&layout)?;
    println!("\n== 3/6 Start a manager with a software {BOARD}, create three vGPUs of type {TYPE}");
    let host = Host::start(&layout, &[BOARD])?;
    for name in NAMES {
        host.create(name, TYPE)?;
    }
    let guests: Vec<Guest> = NAMES
        .into_iter()
        .zip(programs)
        .map(|(vgpu, (title, command))| Guest {
            vgpu,
            title,
            command,
            passes: AtomicU32::new(0),
            failure: Mutex::new(None),
        })
        .collect();
    for guest in &guests {
        println!("  {:6} runs {}", guest.vgpu, guest.title);
    }
    println!("\n== 4/6 All three at the same time, for {} s", options.seconds);
    let mut verdicts = vec![side_by_side(&host, &guests, options.seconds)?];
    println!("\n== 5/6 A vGPU asks for more frame buffer than it has");
    verdicts.push(frame_buffer(&host)?);
    println!("\n== 6/6 A kernel stores through a wild pointer while a neighbour works");
    verdicts.push(wild_pointer(&host)?);
    drop(host);
    println!();
    let mut good = true;
    for (what, passed) in &verdicts {
        println!("{}  {what}", if *passed { "PASS" } else { "FAIL" });
        good &= passed;
    }
    if !good {
        bail!("the demo did not show what it should");
    }
    println!(
        "\nVerdict: three unmodified programs shared one GPU, each with its own memory, share and faults."
    );
    Ok(())
}

type Verdict = (String, bool);

fn side_by_side(host: &Host<'_>, guests: &[Guest], seconds: u64) -> Result<Verdict> {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| -> Result<()> {
        for guest in guests {
            scope.spawn(|| loop_program(host, guest, &stop));
        }
        let end = Instant::now() + Duration::from_secs(seconds);
        let mut drawn = 0;
        while Instant::now() < end && guests.iter().all(|g| g.failure.lock().is_ok_and(|f| f.is_none())) {
            std::thread::sleep(Duration::from_millis(500));
            drawn = draw(&table(host, guests)?, drawn)?;
        }
        stop.store(true, Ordering::Relaxed);
        Ok(())
    })?;
    let mut passed = true;
    for guest in guests {
        let passes = guest.passes.load(Ordering::Relaxed);
        println!(
            "  {:6} {}: {passes} runs, results checked against the CPU",
            guest.vgpu, guest.title
        );
        if let Some(failure) = guest.failure.lock().ok().and_then(|f| f.clone()) {
            println!("  {:6} failed: {failure}", guest.vgpu);
            passed = false;
        }
        passed &= passes > 0;
    }
    Ok((
        "three CUDA programs ran side by side with correct results".to_owned(),
        passed,
    ))
}

/// Runs a program again and again; each run checks its own results.
fn loop_program(host: &Host<'_>, guest: &Guest, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let mut command = host.tessera();
        command
            .args(["run", "--vgpu", guest.vgpu, "--"])
            .args(&guest.command);
        let failure = match command.stdin(Stdio::null()).output() {
            Ok(output) if output.status.success() => {
                guest.passes.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            Ok(output) => format!(
                "{}\n{}{}",
                output.status,
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            ),
            Err(error) => error.to_string(),
        };
        if let Ok(mut place) = guest.failure.lock() {
            *place = Some(failure);
        }
        return;
    }
}

fn table(host: &Host<'_>, guests: &[Guest]) -> Result<Vec<String>> {
    let list = host.json(&["vgpu", "list"])?;
    let list = list.as_array().context("`vgpu list --json` is no array")?;
    let mut lines = vec![format!(
        "  {:6} {:9} {:32} {:>11} {:>8}  {}",
        "vGPU", "type", "FB used", "time share", "kernels", "program"
    )];
    for guest in guests {
        let vgpu = list
            .iter()
            .find(|v| v["name"] == guest.vgpu)
            .context("a vGPU is missing from the list")?;
        let (used, total) = (
            number(&vgpu["usage"]["frame_buffer_used_bytes"]),
            number(&vgpu["frame_buffer_bytes"]),
        );
        let share = vgpu["usage"]["time_share"]
            .as_f64()
            .map_or_else(|| "-".to_owned(), |s| format!("{:.0} %", s * 100.0));
        let fill = usize::try_from((used * 12).checked_div(total).unwrap_or(0))
            .unwrap_or(0)
            .min(12);
        let mut line = String::new();
        write!(
            line,
            "  {:6} {:9} {:>9} / {:5} MiB {}{} {:>11} {:>8}  {} ({} runs)",
            guest.vgpu,
            vgpu["vgpu_type"].as_str().unwrap_or("?"),
            mebibytes(used),
            total >> 20,
            "#".repeat(fill),
            ".".repeat(8_usize.saturating_sub(fill)),
            share,
            number(&vgpu["usage"]["kernels"]),
            guest.title,
            guest.passes.load(Ordering::Relaxed)
        )?;
        lines.push(line);
    }
    Ok(lines)
}

/// With two digits after the point: programs as small as these hold less than one.
fn mebibytes(bytes: u64) -> String {
    format!("{}.{:02}", bytes >> 20, ((bytes % (1 << 20)) * 100) >> 20)
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

/// Draws over the last table on a terminal; elsewhere prints it now and then. Returns how many tables were drawn.
fn draw(lines: &[String], drawn: u32) -> Result<u32> {
    let mut out = std::io::stdout().lock();
    if out.is_terminal() {
        if drawn > 0 {
            write!(out, "\x1b[{}A", lines.len())?;
        }
        for line in lines {
            writeln!(out, "\x1b[2K{line}")?;
        }
    } else if drawn % 8 == 4 {
        for line in lines {
            writeln!(out, "{line}")?;
        }
    }
    out.flush()?;
    Ok(drawn + 1)
}

fn shown(command: &mut Command) -> Result<bool> {
    let output = command.stdin(Stdio::null()).output()?;
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        println!("  {line}");
    }
    Ok(output.status.success())
}

fn frame_buffer(host: &Host<'_>) -> Result<Verdict> {
    let passed = shown(&mut host.probe(NAMES[0], &["fill", &(64_u64 << 30).to_string()]))?;
    Ok((
        format!("{} was refused frame buffer beyond its own", NAMES[0]),
        passed,
    ))
}

fn wild_pointer(host: &Host<'_>) -> Result<Verdict> {
    let neighbour = host
        .probe(NAMES[2], &["work", "2"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let faulted = shown(&mut host.probe(NAMES[1], &["wild"]))?;
    let worked = neighbour.wait_with_output()?;
    println!(
        "  {} meanwhile: {}",
        NAMES[2],
        String::from_utf8_lossy(&worked.stdout).trim()
    );
    Ok((
        format!("a wild pointer in {} left {} alone", NAMES[1], NAMES[2]),
        faulted && worked.status.success(),
    ))
}
