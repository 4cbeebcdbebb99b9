//! Random legal driver calls from several processes of several threads each, on two vGPUs of one software GPU.
//!
//! Every process compares what it reads back with a model (`crates/bench/src/stress`). Here is looked at what is left when they
//! have ended: no session, no frame buffer in use, the same workers. A run that does not end in time is a failure.

use crate::dist::{self, Layout};
use crate::host::Host;
use crate::sh;
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Options of `cargo xtask stress`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// How long the threads go on, in minutes
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// Processes, half of them on each of two vGPUs
    #[arg(long, default_value_t = 8)]
    processes: u64,
    /// Threads of each process
    #[arg(long, default_value_t = 8)]
    threads: u64,
    /// What the random choices follow from; another each time unless given
    #[arg(long)]
    seed: Option<u64>,
    /// Use the layout in target/tessera as it is
    #[arg(long)]
    no_build: bool,
}

/// What a run is.
struct Load {
    seconds: f64,
    processes: u64,
    threads: u64,
    seed: u64,
}

/// Seconds beyond the time of the load after which a run counts as hung.
const PATIENCE: f64 = 120.0;
const VGPUS: [&str; 2] = ["left", "right"];
const USED: &str = "/usage/frame_buffer_used_bytes";
const WORKER: &str = "/worker_pid";

/// As the options say.
pub(crate) fn run(options: &Options) -> Result<()> {
    let layout = if options.no_build {
        dist::layout()
    } else {
        dist::build()?
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let load = Load {
        seconds: options.minutes * 60.0,
        processes: options.processes,
        threads: options.threads,
        seed: options.seed.unwrap_or(now),
    };
    go(&layout, &load)
}

/// As the tests run it: a short time, always the same choices.
pub(crate) fn short(layout: &Layout) -> Result<()> {
    let load = Load {
        seconds: 20.0,
        processes: 4,
        threads: 4,
        seed: 1,
    };
    go(layout, &load)
}

fn program() -> Result<PathBuf> {
    sh::run(sh::cargo().args(["build", "--release", "--quiet", "-p", "tessera-bench"]))?;
    Ok(sh::target().join("release/tessera-bench"))
}

fn go(layout: &Layout, load: &Load) -> Result<()> {
    let program = program()?;
    let host = Host::start(layout, &["H100 80GB"])?;
    for name in VGPUS {
        host.create(name, "H100-20C")?;
    }
    println!(
        "  seed {}: {} processes of {} threads for {:.0} s",
        load.seed, load.processes, load.threads, load.seconds
    );
    let workers = workers(&host)?;
    let mut children = Vec::new();
    for process in 0..load.processes {
        children.push(start(&host, &program, load, process)?);
    }
    let operations = wait(children, load).with_context(|| format!("seed {}\n{}", load.seed, host.log()))?;
    for name in VGPUS {
        host.wait_for("all frame buffer to be given back", || {
            Ok(host.number(name, USED)? == 0)
        })
        .with_context(|| format!("seed {}: vGPU {name} has lost memory", load.seed))?;
    }
    ensure!(
        self::workers(&host)? == workers,
        "seed {}: a worker was replaced\n{}",
        load.seed,
        host.log()
    );
    println!("  ok  {operations} operations, no difference, nothing lost");
    Ok(())
}

fn workers(host: &Host<'_>) -> Result<Vec<u64>> {
    VGPUS.iter().map(|name| host.number(name, WORKER)).collect()
}

fn start(host: &Host<'_>, program: &Path, load: &Load, process: u64) -> Result<Child> {
    let name = VGPUS[usize::try_from(process)? % VGPUS.len()];
    let seed = load.seed.wrapping_mul(1000).wrapping_add(process);
    let child = host
        .guest(name, program)
        .arg("stress")
        .args([
            seed.to_string(),
            load.seconds.to_string(),
            load.threads.to_string(),
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    Ok(child)
}

/// Waits for all; the operations that they did.
fn wait(mut children: Vec<Child>, load: &Load) -> Result<u64> {
    let begin = Instant::now();
    let end = Duration::from_secs_f64(load.seconds + PATIENCE);
    let mut said = 0;
    while children.iter_mut().any(|c| matches!(c.try_wait(), Ok(None))) {
        let elapsed = begin.elapsed();
        if elapsed > end {
            for child in &mut children {
                let _ = child.kill();
            }
            bail!("some processes did not end within {:.0} s", end.as_secs_f64());
        }
        if elapsed.as_secs() / 60 > said {
            said = elapsed.as_secs() / 60;
            println!("  {said} min");
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let (mut operations, mut failures) = (0, Vec::new());
    for child in children {
        let output = child.wait_with_output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let count = serde_json::from_str::<Value>(text.trim())
            .ok()
            .and_then(|v| v["operations"].as_u64());
        match count {
            Some(count) if output.status.success() => operations += count,
            _ => failures.push(format!(
                "{}: {}",
                output.status,
                String::from_utf8_lossy(&output.stderr)
            )),
        }
    }
    if !failures.is_empty() {
        bail!("{}", failures.join("\n"));
    }
    Ok(operations)
}
