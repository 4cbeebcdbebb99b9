//! C programs against the shared library and a worker that serves in this process.

mod common;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tessera_control::{GUEST_SOCKET, WorkerConfig};
use tessera_worker::{Running, run_unconfined};

/// The arena of the vGPU that has managed memory.
const MANAGED: u32 = 7;

/// A worker with a vGPU of 1 GiB.
struct Device {
    directory: tempfile::TempDir,
    worker: Option<Running>,
}

impl Device {
    fn start(arena_index: u32) -> Self {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let config = WorkerConfig {
            uuid: "7e55e7a0-0000-4000-8000-000000000001".into(),
            board: "H100 PCIe 80GB".into(),
            vgpu_type: "H100-4C".into(),
            device_name: "NVIDIA H100-4C".into(),
            gpu_uuid: "GPU-7e55e7a0-0000-4000-8000-0000000000ff".into(),
            pci_bus_id: "00000000:06:00.0".into(),
            frame_buffer_bytes: 1 << 30,
            arena_index,
            compute_capability: None,
            executors: Some(2),
            directory: directory.path().to_owned(),
            check: None,
            code: None,
            tier: None,
            enable_uvm: arena_index == MANAGED,
        };
        let worker = run_unconfined(config).expect("the worker starts");
        Self {
            directory,
            worker: Some(worker),
        }
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join(GUEST_SOCKET)
    }

    fn run(&self, name: &str, arguments: &[&str]) -> std::process::Output {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c").join(name);
        let program = common::compile(&source, self.directory.path());
        common::run(&program, arguments, Some(&self.socket()))
    }

    /// Starts the probe and waits for the line that says that it is where it should be.
    fn spawn_probe(&self, arguments: &[&str], line: &str) -> Child {
        let mut child = Command::new(self.probe())
            .args(arguments)
            .env("TESSERA_VGPU_SOCKET", self.socket())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the probe starts");
        let mut said = String::new();
        let mut stdout = BufReader::new(child.stdout.as_mut().expect("the probe's output is piped"));
        stdout.read_line(&mut said).expect("the probe says something");
        assert_eq!(said.trim(), line);
        child
    }

    fn probe(&self) -> PathBuf {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/probe/probe.c");
        common::compile(&source, self.directory.path())
    }

    fn passes(&self, name: &str) -> String {
        let output = self.run(name, &[]);
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{stdout}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stderr).into_owned()
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if let Some(worker) = self.worker.take() {
            worker.stop();
        }
    }
}

#[test]
fn memory_keeps_what_is_copied() {
    Device::start(1).passes("memory.c");
}

#[test]
fn memory_and_addresses_are_had_apart() {
    Device::start(6).passes("virtual.c");
}

#[test]
fn memory_that_is_managed_has_one_address() {
    Device::start(MANAGED).passes("managed.c");
    let without = Device::start(8).run("managed.c", &["off"]);
    assert!(
        without.status.success(),
        "{}",
        String::from_utf8_lossy(&without.stdout)
    );
    let log = String::from_utf8_lossy(&without.stderr).into_owned();
    assert!(log.contains("--enable-uvm"), "{log}");
}

#[test]
fn memory_is_shared_between_processes() {
    Device::start(9).passes("sharing.c");
}

#[test]
fn contexts_streams_and_wrong_handles() {
    let log = Device::start(2).passes("contexts.c");
    // Logged once by name, however often it is called.
    assert_eq!(
        log.matches("cuMulticastCreate is not supported yet").count(),
        1,
        "{log}"
    );
}

#[test]
fn kernels_run_and_faults_stay_in_their_context() {
    Device::start(3).passes("kernels.c");
}

#[test]
fn a_killed_guest_gives_its_memory_back() {
    let device = Device::start(4);
    let most = (900u64 << 20).to_string();
    let probe = device.probe();
    let mut holder = device.spawn_probe(&["hold", &most], "holding");
    let refused = common::run(&probe, &["alloc", &most], Some(&device.socket()));
    assert_eq!(
        String::from_utf8_lossy(&refused.stdout).trim(),
        "CUDA_ERROR_OUT_OF_MEMORY"
    );
    holder.kill().expect("the holder can be killed");
    holder.wait().expect("the holder ends");
    // The worker notices at its own pace; the loop ends because it does.
    while !common::run(&probe, &["alloc", &most], Some(&device.socket()))
        .status
        .success()
    {}
}

#[test]
fn a_guest_is_told_that_its_worker_ends() {
    let mut device = Device::start(5);
    let guest = device.spawn_probe(&["patience"], "running");
    device.worker.take().expect("the worker runs").stop();
    let output = guest.wait_with_output().expect("the guest ends by itself");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}
