//! Unmodified clients on a vGPU: Python packages, NVML tools, a Rust program on `cudarc`. Before them, our nvJitLink beside the vendor's.

use super::environment::{PYTHON, TRITON};
use super::nvjitlink;
use crate::dist::Layout;
use crate::host::Host;
use crate::sh;
use anyhow::{Result, bail};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Seconds after which a client counts as stuck.
const PATIENCE: &str = "300";

/// The vGPUs of the stage: the one that clients have unless they say otherwise, and one of a board without warp group products.
const HOPPER: &str = "clients";
const AMPERE: &str = "ampere";

/// A client and how its output shows that it did its work.
struct Client {
    name: &'static str,
    vgpu: &'static str,
    /// By `tessera env` instead of `tessera run`.
    by_environment: bool,
    command: Vec<String>,
    environment: Vec<(&'static str, String)>,
    /// Options of that command.
    options: &'static [&'static str],
    expected: &'static str,
}

impl Client {
    fn new(name: &'static str, command: Vec<String>, expected: &'static str) -> Self {
        Self {
            name,
            vgpu: HOPPER,
            by_environment: false,
            command,
            environment: Vec::new(),
            options: &[],
            expected,
        }
    }

    /// On another vGPU.
    fn on(mut self, vgpu: &'static str) -> Self {
        self.vgpu = vgpu;
        self
    }

    /// In the environment that `tessera env` makes.
    fn by_environment(mut self) -> Self {
        self.by_environment = true;
        self
    }

    fn with(mut self, variable: &'static str, value: &Path) -> Self {
        self.environment.push((variable, value.display().to_string()));
        self
    }
}

fn directory() -> PathBuf {
    sh::root().join("tests/clients")
}

fn script(python: &Path, name: &str) -> Vec<String> {
    vec![
        python.display().to_string(),
        directory().join(name).display().to_string(),
    ]
}

/// The numba-cuda script.
pub(super) fn numba() -> Result<Vec<String>> {
    Ok(script(&PYTHON.ensure()?, "numba_kernels.py"))
}

/// The file of NVRTC, which tinygrad does not find in a Python environment by itself.
fn nvrtc() -> Result<PathBuf> {
    let library = PYTHON.libraries()?.join("nvidia/cu13/lib/libnvrtc.so.13");
    if !library.exists() {
        bail!("the environment has no NVRTC");
    }
    Ok(library)
}

/// Clients that link with nvJitLink: the vendor's is beside them, ours is to be used.
fn nvjitlink(libraries: &Path) -> Result<Client> {
    let mut command = script(&nvjitlink::python()?, "nvjitlink.py");
    command.push(nvjitlink::ours(libraries, 13).display().to_string());
    let mut client = Client::new("nvJitLink", command, "PASS nvJitLink");
    client.options = &["--nvjitlink"];
    Ok(client)
}

fn all(libraries: &Path) -> Result<Vec<Client>> {
    let python = PYTHON.ensure()?;
    let triton = TRITON.ensure()?;
    let tool = |name: &str, arguments: &[&str]| {
        let mut command = vec![PYTHON.program(name).display().to_string()];
        command.extend(arguments.iter().map(|&argument| argument.to_owned()));
        command
    };
    let tutorial = |name, file| {
        Client::new(name, script(&triton, file), "PASS Triton")
            .with("TRITON_CACHE_DIR", &sh::cache().join("triton"))
    };
    Ok(vec![
        Client::new("numba-cuda", numba()?, "PASS numba-cuda"),
        Client::new("tinygrad", script(&python, "tinygrad_step.py"), "PASS tinygrad")
            .with("NVRTC_PATH", &nvrtc()?),
        Client::new("cuda.core", script(&python, "cuda_core.py"), "PASS cuda.core"),
        tutorial("Triton", "triton_add.py"),
        // On a board for which Triton writes `mma`: for later ones it writes `wgmma`, which the device does not execute.
        tutorial("Triton matmul", "triton_matmul.py").on(AMPERE),
        tutorial("Triton norm", "triton_layer_norm.py").by_environment(),
        Client::new("ptxas", script(&python, "assembled.py"), "PASS ptxas").by_environment(),
        Client::new("cudarc", vec![cudarc()?.display().to_string()], "PASS cudarc"),
        nvjitlink(libraries)?,
        Client::new("nvidia-ml-py", script(&python, "nvml.py"), "PASS nvidia-ml-py"),
        Client::new("gpustat", tool("gpustat", &["--no-color", "--no-header"]), "H100"),
        Client::new("nvitop", tool("nvitop", &["-1", "--no-unicode"]), "H100"),
    ])
}

/// Builds the Rust program, which is a package of its own, and answers where it lies.
fn cudarc() -> Result<PathBuf> {
    let target = sh::cache().join("cudarc");
    let mut command = sh::cargo();
    command
        .args(["build", "--quiet", "--release", "--locked"])
        .current_dir(directory().join("cudarc"))
        .env("CARGO_TARGET_DIR", &target);
    sh::run(&mut command)?;
    Ok(target.join("release/cudarc-client"))
}

/// Runs a client on a vGPU.
fn run_one(host: &Host<'_>, client: &Client) -> Result<Result<String, String>> {
    let timeout = Path::new("timeout");
    let mut command = if client.by_environment {
        host.environment(client.vgpu, client.options, timeout)
    } else {
        host.guest_with(client.vgpu, client.options, timeout)
    };
    command.arg(PATIENCE).args(&client.command);
    for (variable, value) in &client.environment {
        command.env(variable, value);
    }
    let output = sh::output(&mut command)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() && text.contains(client.expected) {
        return Ok(Ok(text));
    }
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok(Err(format!("{}\n{text}{errors}", output.status)))
}

/// Runs all clients; one line for each.
pub(crate) fn clients(layout: &Layout) -> Result<()> {
    nvjitlink::check_names(&layout.libraries)?;
    nvjitlink::check_answers(&layout.libraries)?;
    let clients = all(&layout.libraries)?;
    let host = Host::start(layout, &["H100 80GB", "a100-pcie-80gb"])?;
    host.create(HOPPER, "H100-20C")?;
    host.create(AMPERE, "A100D-20C")?;
    let mut failed = 0;
    for client in &clients {
        let start = Instant::now();
        let outcome = run_one(&host, client)?;
        let seconds = start.elapsed().as_secs_f64();
        let verdict = if outcome.is_ok() { "PASS" } else { "FAIL" };
        println!("  {verdict}  {:14} {seconds:6.2} s", client.name);
        let (Ok(text) | Err(text)) = &outcome;
        if outcome.is_err() {
            failed += 1;
        }
        for line in text.lines() {
            println!("        {line}");
        }
    }
    if failed > 0 {
        bail!("{failed} of {} clients failed", clients.len());
    }
    println!("  {} clients passed", clients.len());
    Ok(())
}
