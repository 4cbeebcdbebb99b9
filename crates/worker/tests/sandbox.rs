//! The sandbox holds: a worker in a process of its own cannot open a file, make a network socket or start a program.
//!
//! The probe runs in a child of this test, since there is no way out of a sandbox. It enters the sandbox as a worker does, by
//! [`tessera_worker::run`], and is asked over its control socket whether it lives.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tessera_control::{CONTROL_SOCKET, GUEST_SOCKET, Request, Response, WorkerConfig};

const PROBE: &str = "TESSERA_TEST_SANDBOX_DIRECTORY";

fn config(directory: &Path) -> WorkerConfig {
    WorkerConfig {
        uuid: "6d7a2b34-0000-4000-8000-000000000001".into(),
        board: "h100-pcie-80gb".into(),
        vgpu_type: "H100-20C".into(),
        device_name: "NVIDIA H100-20C".into(),
        gpu_uuid: "GPU-0".into(),
        pci_bus_id: "00000000:06:00.0".into(),
        frame_buffer_bytes: 1 << 30,
        arena_index: 0,
        compute_capability: None,
        executors: Some(1),
        directory: directory.to_owned(),
    }
}

/// Not a test of its own: the process that enters the sandbox.
#[test]
#[ignore = "runs in the child of the tests below"]
fn worker_process() {
    let Some(directory) = std::env::var_os(PROBE) else {
        return;
    };
    // A thread made before the sandbox would be left out of its first half, and the test harness has one: it only waits.
    let probes = std::thread::spawn(move || {
        tessera_worker::run(config(Path::new(&directory))).unwrap();
    });
    probes.join().unwrap();
}

struct Worker {
    child: Child,
    directory: tempfile::TempDir,
}

impl Worker {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "worker_process", "--ignored", "--nocapture"])
            .env(PROBE, directory.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let worker = Self { child, directory };
        let deadline = Instant::now() + Duration::from_secs(20);
        while UnixStream::connect(worker.directory.path().join(GUEST_SOCKET)).is_err() {
            assert!(Instant::now() < deadline, "the worker does not come up");
            std::thread::sleep(Duration::from_millis(10));
        }
        worker
    }

    fn ask(&self, request: &Request) -> Response {
        let stream = UnixStream::connect(self.directory.path().join(CONTROL_SOCKET)).unwrap();
        let mut line = serde_json::to_string(request).unwrap();
        line.push('\n');
        (&stream).write_all(line.as_bytes()).unwrap();
        let mut answer = String::new();
        BufReader::new(&stream).read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Value of a line of `/proc/PID/task/TID/status`, for every thread.
fn of_threads(pid: u32, key: &str) -> Vec<String> {
    std::fs::read_dir(format!("/proc/{pid}/task"))
        .unwrap()
        .map(|task| {
            let status = std::fs::read_to_string(task.unwrap().path().join("status")).unwrap();
            let line = status
                .lines()
                .find(|line| line.starts_with(key))
                .unwrap_or_default();
            line.rsplit('\t').next().unwrap_or_default().to_owned()
        })
        .collect()
}

#[test]
fn every_thread_of_a_worker_is_confined_and_it_serves() {
    let mut worker = Worker::start();
    let Response::Status(status) = worker.ask(&Request::Status(())) else {
        panic!("no status");
    };
    assert_eq!(status.frame_buffer_total, 1 << 30);
    assert_eq!(status.pid, worker.child.id());
    let pid = worker.child.id();
    let filters = of_threads(pid, "Seccomp:");
    assert!(
        filters.len() >= 4,
        "executor, two listeners and the main thread: {filters:?}"
    );
    // 2 is filter mode.
    assert!(filters.iter().all(|mode| mode == "2"), "{filters:?}");
    // The harness's own threads had landlock too late for nothing: they open no file. The filter holds for them as well.
    assert!(matches!(
        worker.ask(&Request::Shutdown(())),
        Response::ShuttingDown(())
    ));
    assert!(worker.child.wait().unwrap().success());
}

#[test]
fn a_bad_line_on_the_control_socket_is_answered() {
    let worker = Worker::start();
    let stream = UnixStream::connect(worker.directory.path().join(CONTROL_SOCKET)).unwrap();
    (&stream).write_all(b"{\"status\":3}\n").unwrap();
    let mut answer = String::new();
    BufReader::new(&stream).read_line(&mut answer).unwrap();
    assert!(matches!(
        serde_json::from_str(&answer).unwrap(),
        Response::Error(_)
    ));
}
