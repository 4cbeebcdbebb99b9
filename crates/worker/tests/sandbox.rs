//! A worker in a process of its own, in its sandbox, with guests in other processes: it serves, and every death is noticed.
//!
//! Worker and guest are children of this test, the test program itself: there is no way out of a sandbox, and a guest must be
//! killed.

mod common;

use common::{Guest, config, options};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tessera_channel::{CallError, ChannelError, Client};
use tessera_control::{CONTROL_SOCKET, GUEST_SOCKET, Request, Response, WorkerStatus};
use tessera_wire::kind;
use tessera_wire::messages::{ModuleLoad, Ping};

const PROBE: &str = "TESSERA_TEST_SANDBOX_DIRECTORY";
const FRAME_BUFFER: u64 = 1 << 30;

/// Not a test of its own: the process that enters the sandbox.
#[test]
#[ignore = "runs in the child of the tests below"]
fn worker_process() {
    let Some(directory) = std::env::var_os(PROBE) else {
        return;
    };
    // A thread made before the sandbox would be left out of its first half, and the test harness has one: it only waits.
    let probes = std::thread::spawn(move || {
        tessera_worker::run(config(Path::new(&directory), FRAME_BUFFER)).unwrap();
    });
    probes.join().unwrap();
}

/// Not a test of its own: a guest that holds memory and, when told to, forks a child that outlives it.
#[test]
#[ignore = "runs in the child of the tests below"]
fn guest_process() {
    let Some(directory) = std::env::var_os(PROBE) else {
        return;
    };
    let client = Client::connect(&Path::new(&directory).join(GUEST_SOCKET), &options(kind::CUDA)).unwrap();
    let guest = Guest::over(client);
    let address = guest.alloc(256 << 20);
    guest.write(address, &[1; 4096]);
    // A child that holds a copy of the socket: sessions end with their process, not with the last copy.
    // SAFETY: the child only waits for a signal, which is allowed after a fork of several threads.
    let child = unsafe { libc::fork() };
    if child == 0 {
        loop {
            // SAFETY: waits for a signal.
            unsafe { libc::pause() };
        }
    }
    assert!(child > 0);
    std::fs::write(Path::new(&directory).join("ready"), child.to_string()).unwrap();
    loop {
        std::thread::park();
    }
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
        // The control socket is bound after the guests'.
        while UnixStream::connect(worker.directory.path().join(CONTROL_SOCKET)).is_err() {
            assert!(Instant::now() < deadline, "the worker does not come up");
            std::thread::sleep(Duration::from_millis(10));
        }
        worker
    }

    fn status(&self) -> WorkerStatus {
        match self.ask(&Request::Status(())) {
            Response::Status(status) => status,
            other => panic!("no status: {other:?}"),
        }
    }

    fn client(&self) -> Client {
        Client::connect(&self.directory.path().join(GUEST_SOCKET), &options(kind::CUDA)).unwrap()
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
        // A thread may end between its listing and its reading.
        .filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("status")).ok())
        .map(|status| {
            let line = status.lines().find(|line| line.starts_with(key));
            line.and_then(|line| line.rsplit('\t').next())
                .unwrap_or_default()
                .to_owned()
        })
        .collect()
}

#[test]
fn every_thread_of_a_worker_is_confined_and_it_serves() {
    let mut worker = Worker::start();
    let status = worker.status();
    assert_eq!(status.frame_buffer_total, FRAME_BUFFER);
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

/// Waits for something that must happen; how long is a matter of the machine.
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn work_of_every_kind_runs_inside_the_sandbox() {
    let worker = Worker::start();
    let guest = Guest::over(worker.client());
    let address = guest.alloc(64 << 20);
    let bytes: Vec<u8> = (0..1_000_000u32).flat_map(u32::to_le_bytes).collect();
    guest.write(address, &bytes);
    common::load(&guest, 60, common::SCALE).unwrap();
    common::function(&guest, 60, 61, "scale");
    let progress = common::scale(&guest, 61, address, 7, 1_000_000);
    assert_eq!((progress.fault, progress.error), (0, 0));
    let scaled: Vec<u8> = (0..1_000_000u32)
        .flat_map(|number| number.wrapping_mul(7).to_le_bytes())
        .collect();
    assert!(guest.read(address, bytes.len()) == scaled);
    // A defect in a text is told with its place, from inside the sandbox.
    let request = ModuleLoad::default();
    assert!(matches!(
        guest.client.call(&request, &[1]),
        Err(CallError::Refused { .. })
    ));
    assert_eq!(worker.status().kernels, 1);
}

#[test]
fn a_guest_that_is_killed_frees_everything_even_if_its_child_lives() {
    let worker = Worker::start();
    let before = worker.status().frame_buffer_used;
    let mut guest = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "guest_process", "--ignored", "--nocapture"])
        .env(PROBE, worker.directory.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let ready = worker.directory.path().join("ready");
    let grandchild = || std::fs::read_to_string(&ready).ok()?.parse::<u32>().ok();
    until("the guest is not ready", || grandchild().is_some());
    assert!(worker.status().frame_buffer_used >= before + (256 << 20));
    assert_eq!(worker.status().sessions[0].pid, guest.id());
    guest.kill().unwrap();
    guest.wait().unwrap();
    until("the session goes on", || worker.status().sessions.is_empty());
    until("frame buffer is held", || {
        worker.status().frame_buffer_used == before
    });
    let child = grandchild().unwrap();
    assert!(Path::new(&format!("/proc/{child}")).exists());
    Command::new("kill").arg(child.to_string()).status().unwrap();
}

#[test]
fn a_worker_that_is_killed_gives_its_guests_an_error() {
    let mut worker = Worker::start();
    let guest = Guest::over(worker.client());
    std::thread::scope(|scope| {
        // One waits for a stream, one calls.
        let sleeper = scope.spawn(|| guest.records().wait(guest.completion, u64::MAX));
        let caller = scope.spawn(|| {
            loop {
                if let Err(error) = guest.client.call(&Ping { value: 1 }, &[]) {
                    return error;
                }
            }
        });
        worker.child.kill().unwrap();
        worker.child.wait().unwrap();
        assert!(matches!(sleeper.join().unwrap(), Err(ChannelError::Disconnected)));
        let error = caller.join().unwrap();
        assert!(
            matches!(error, CallError::Channel(ChannelError::Disconnected)),
            "{error}"
        );
    });
    assert!(!guest.client.is_alive());
}

#[test]
fn idle_means_asleep() {
    let worker = Worker::start();
    let guest = Guest::over(worker.client());
    guest.alloc(4096);
    let pid = worker.child.id();
    let switches = || -> u64 {
        let all = of_threads(pid, "voluntary_ctxt_switches:");
        all.iter().map(|count| count.parse::<u64>().unwrap()).sum()
    };
    // Once it has come to rest nothing in it wakes up, not even now and then.
    until("the worker does not come to rest", || {
        let before = switches();
        std::thread::sleep(Duration::from_millis(300));
        switches() == before
    });
    let before = switches();
    std::thread::sleep(Duration::from_millis(700));
    assert_eq!(switches(), before);
    guest.client.call(&Ping { value: 1 }, &[]).unwrap();
    // A switch is counted when the woken thread goes back to sleep.
    until("the call has not woken it", || switches() > before);
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
