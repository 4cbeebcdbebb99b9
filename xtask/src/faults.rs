//! Limits and faults on a running host: what one vGPU does must not reach another, and nothing that dies takes others along.
//!
//! Every case runs real processes: a manager, workers, guests. Waits have generous bounds, which end a hang and promise no speed.

use crate::dist::Layout;
use crate::host::Host;
use anyhow::{Context, Result, bail, ensure};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const GIB: u64 = 1 << 30;
/// Where `vgpu show --json` says how much frame buffer is in use, and the worker's process.
const USED: &str = "/usage/frame_buffer_used_bytes";
const WORKER: &str = "/worker_pid";

type Case = (&'static str, fn(&mut Host<'_>) -> Result<String>);

const CASES: &[Case] = &[
    (
        "a vGPU cannot exceed its frame buffer; its neighbour keeps its own",
        frame_buffer_is_a_limit,
    ),
    ("a wild store faults its own context only, and sticks", wild_store),
    (
        "an endless kernel does not keep a neighbour from running",
        endless_kernel,
    ),
    ("kill -9 of a guest frees everything it held", killed_guest),
    (
        "kill -9 of a worker: its guest gets an error, the manager says so, others go on",
        killed_worker,
    ),
    ("kill -9 of the manager loses nothing", killed_manager),
    ("noise, wrong versions and closed sockets do no harm", noise),
];

/// Runs every case on a fresh host with one software H100.
pub(crate) fn run(layout: &Layout) -> Result<()> {
    let mut host = Host::start(layout, &["H100 80GB"])?;
    host.create("left", "H100-20C")?;
    host.create("right", "H100-20C")?;
    for (name, case) in CASES {
        let said = case(&mut host).with_context(|| format!("case failed: {name}\n{}", host.log()))?;
        println!("  ok  {name}: {said}");
    }
    println!("{} passed, 0 failed", CASES.len());
    Ok(())
}

/// A child that is killed with us.
struct Guest {
    child: Child,
}

impl Guest {
    /// Starts and waits until it prints `ready`.
    fn start(mut command: Command, ready: &str) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut out = BufReader::new(child.stdout.take().context("a piped child has an output")?);
        let mut line = String::new();
        out.read_line(&mut line)?;
        if line.trim() != ready {
            let mut rest = String::new();
            if let Some(mut errors) = child.stderr.take() {
                errors.read_to_string(&mut rest)?;
            }
            let _ = child.kill();
            bail!("expected `{ready}`, got `{}`\n{rest}", line.trim());
        }
        child.stdout = Some(out.into_inner());
        Ok(Self { child })
    }

    /// Kills `tessera run` and the program in it.
    fn kill_program(&mut self, program: u32) -> Result<()> {
        kill(program)?;
        self.child.wait()?;
        Ok(())
    }

    /// Waits for the end; returns exit code and the rest of the output.
    fn finish(mut self) -> Result<(Option<i32>, String)> {
        let mut text = String::new();
        if let Some(mut out) = self.child.stdout.take() {
            out.read_to_string(&mut text)?;
        }
        Ok((self.child.wait()?.code(), text))
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // The program first: it would outlive a killed `tessera run`.
        let id = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        for program in children.split_whitespace().filter_map(|pid| pid.parse().ok()) {
            let _ = kill(program);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn kill(pid: u32) -> Result<()> {
    let status = Command::new("kill").args(["-9", &pid.to_string()]).status()?;
    ensure!(status.success(), "cannot kill process {pid}");
    Ok(())
}

/// The guest process that the worker of a vGPU knows.
fn guest_pid(host: &Host<'_>, name: &str) -> Result<u32> {
    let pid = host.number(name, "/usage/processes/0/pid")?;
    Ok(u32::try_from(pid)?)
}

fn expect_success(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().replace('\n', "; ");
    ensure!(
        output.status.success(),
        "{text} ({}) {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(text)
}

fn frame_buffer_is_a_limit(host: &mut Host<'_>) -> Result<String> {
    let neighbour = Guest::start(host.probe("right", &["hold", &GIB.to_string()]), "holding")?;
    let said = expect_success(&mut host.probe("left", &["fill", &(64 * GIB).to_string()]))?;
    ensure!(
        host.number("right", USED)? >= GIB,
        "the neighbour lost its memory"
    );
    drop(neighbour);
    Ok(said)
}

fn wild_store(host: &mut Host<'_>) -> Result<String> {
    let neighbour = Guest::start(host.probe("right", &["hold", "4096"]), "holding")?;
    let work = host
        .probe("right", &["work", "1"])
        .stdout(Stdio::piped())
        .spawn()?;
    let said = expect_success(&mut host.probe("left", &["wild"]))?;
    let worked = work.wait_with_output()?;
    ensure!(
        worked.status.success(),
        "the neighbour failed: {}",
        String::from_utf8_lossy(&worked.stdout)
    );
    drop(neighbour);
    Ok(said)
}

fn endless_kernel(host: &mut Host<'_>) -> Result<String> {
    let mut endless = Guest::start(host.probe("left", &["endless"]), "running")?;
    let said = expect_success(&mut host.probe("right", &["work", "1"]))?;
    let beside = expect_success(&mut host.probe("left", &["work", "1"]))?;
    let program = guest_pid(host, "left")?;
    endless.kill_program(program)?;
    host.wait_for(
        "the killed guest's memory",
        || Ok(host.number("left", USED)? == 0),
    )?;
    Ok(format!(
        "neighbour: {said}; another process of the same vGPU: {beside}"
    ))
}

fn killed_guest(host: &mut Host<'_>) -> Result<String> {
    let mut guest = Guest::start(host.probe("left", &["hold", &GIB.to_string()]), "holding")?;
    let before = host.number("left", USED)?;
    ensure!(before >= GIB, "holding {before} bytes only");
    let program = guest_pid(host, "left")?;
    guest.kill_program(program)?;
    host.wait_for(
        "the killed guest's memory",
        || Ok(host.number("left", USED)? == 0),
    )?;
    Ok(format!("{} MiB before, 0 after", before >> 20))
}

fn killed_worker(host: &mut Host<'_>) -> Result<String> {
    let guest = Guest::start(host.probe("left", &["patience"]), "running")?;
    let other = Guest::start(host.probe("right", &["hold", &GIB.to_string()]), "holding")?;
    let worker = u32::try_from(host.number("left", WORKER)?)?;
    let start = Instant::now();
    kill(worker)?;
    let (code, text) = guest.finish()?;
    let noticed = start.elapsed();
    ensure!(code == Some(0), "the guest ended with {code:?}: {text}");
    host.wait_for("the manager to say what died", || {
        Ok(host.log().contains(&worker.to_string()))
    })?;
    ensure!(
        host.number("right", USED)? >= GIB,
        "the other vGPU lost its memory"
    );
    drop(other);
    host.wait_for("the vGPU to serve again", || {
        Ok(host
            .probe("left", &["work", "0.1"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?
            .success())
    })?;
    Ok(format!(
        "{}; guest ended {} ms after the kill",
        text.trim().replace('\n', "; "),
        noticed.as_millis()
    ))
}

fn killed_manager(host: &mut Host<'_>) -> Result<String> {
    let guest = Guest::start(host.probe("left", &["hold", &GIB.to_string()]), "holding")?;
    let workers = [host.number("left", WORKER)?, host.number("right", WORKER)?];
    host.kill_manager()?;
    std::thread::sleep(Duration::from_millis(100));
    host.start_manager()?;
    host.wait_for("the manager to find its workers", || {
        Ok([
            host.number("left", WORKER).unwrap_or(0),
            host.number("right", WORKER).unwrap_or(0),
        ] == workers)
    })?;
    ensure!(host.number("left", USED)? >= GIB, "the guest's memory is gone");
    let said = expect_success(&mut host.probe("left", &["work", "0.2"]))?;
    drop(guest);
    Ok(format!("same workers {workers:?}, then {said}"))
}

fn noise(host: &mut Host<'_>) -> Result<String> {
    let socket = host.vgpu("left")?;
    let socket = socket["guest_socket"]
        .as_str()
        .context("vgpu show has no guest_socket")?
        .to_owned();
    let mut byte = 0x9e37_79b9_u32;
    let mut random = || {
        byte ^= byte << 13;
        byte ^= byte >> 17;
        byte ^= byte << 5;
        byte.to_le_bytes()[0]
    };
    let mut sent = 0;
    for length in [0_usize, 1, 7, 8, 15, 16, 17, 63, 64, 200, 4096, 70_000] {
        for _ in 0..8 {
            let mut stream = UnixStream::connect(&socket)?;
            let bytes: Vec<u8> = (0..length).map(|_| random()).collect();
            // The worker may hang up in the middle, which is its right.
            let _ = stream.write_all(&bytes);
            sent += 1;
        }
    }
    let said = expect_success(&mut host.probe("left", &["work", "0.1"]))?;
    host.wait_for("the noisy sessions to be gone", || {
        Ok(host.number("left", USED)? == 0)
    })?;
    Ok(format!("{sent} connections of noise, then {said}"))
}
