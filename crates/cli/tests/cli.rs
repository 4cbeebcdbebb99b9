//! The program as users meet it: its output, its exit codes, a manager and real workers.

use serde_json::Value;
use std::{
    os::unix::{fs::PermissionsExt as _, process::ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// A place with no manager, or with one of the test's own.
struct Place {
    directory: TempDir,
    manager: Option<Child>,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("tsr").tempdir().unwrap();
        std::fs::create_dir(directory.path().join("lib")).unwrap();
        // Never loaded here; `run` only makes sure that it is there.
        std::fs::write(directory.path().join("lib/libcuda.so.1"), "").unwrap();
        Self {
            directory,
            manager: None,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn tessera(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tessera"));
        command
            .args(arguments)
            .env("TESSERA_RUN_DIR", self.path("r"))
            .env("TESSERA_STATE_DIR", self.path("s"))
            .env("TESSERA_LIB_DIR", self.path("lib"))
            .env("TMPDIR", self.directory.path())
            .env("TESSERA_CODE_CACHE", self.path("c"))
            .env_remove("TESSERA_LOG")
            .stdin(Stdio::null());
        command
    }

    fn start_manager(&mut self, arguments: &[&str]) {
        let child = self
            .tessera(&["manager"])
            .args(arguments)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.manager = Some(child);
        let start = Instant::now();
        while !self.tessera(&["gpu", "list"]).output().unwrap().status.success() {
            assert!(
                start.elapsed() < Duration::from_secs(60),
                "the manager does not answer"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn stop_manager(&mut self) {
        let mut manager = self.manager.take().unwrap();
        signal(manager.id(), rustix::process::Signal::TERM);
        assert!(manager.wait().unwrap().success());
    }

    /// Runs a command that must succeed; gives its standard output.
    fn good(&self, arguments: &[&str]) -> String {
        let output = self.tessera(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.good(&[arguments, &["--json"]].concat());
        serde_json::from_str(&output).unwrap()
    }

    /// Runs a command that must fail like this; gives its message.
    fn bad(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.tessera(arguments).output().unwrap();
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {message}");
        assert!(output.stdout.is_empty(), "nothing but results on standard output");
        message
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(mut manager) = self.manager.take() {
            if let Ok(Value::Array(vgpus)) = serde_json::from_str(&self.good(&["vgpu", "list", "--json"])) {
                for vgpu in vgpus {
                    let _ = self
                        .tessera(&["vgpu", "delete", vgpu["uuid"].as_str().unwrap()])
                        .output();
                }
            }
            let _ = manager.kill();
            let _ = manager.wait();
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn signal(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

/// What is left in the place of a run's own directories.
fn leftovers(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .filter(|path| {
            path.file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .starts_with("tessera-")
        })
        .collect()
}

#[test]
fn the_catalogue_needs_no_manager() {
    let place = Place::new();
    let boards = place.json(&["gpu", "boards"]);
    assert_eq!(boards.as_array().unwrap().len(), 54);
    let types = place.json(&["types", "--board", "H100 80GB"]);
    assert_eq!(types.as_array().unwrap().len(), 15);
    let table = place.good(&["types", "--board", "l40s"]);
    assert!(
        table.contains("L40S-24C") && table.lines().all(|line| line == line.trim_end()),
        "{table}"
    );
    let message = place.bad(4, &["types", "--board", "h1000"]);
    assert!(
        message.contains("no board is called `h1000`") && message.contains("tessera gpu boards"),
        "{message}"
    );
}

#[test]
fn without_a_manager_commands_say_how_to_start_one() {
    let place = Place::new();
    for arguments in [
        &["gpu", "list"][..],
        &["vgpu", "list"],
        &["types"],
        &["events"],
        &["vgpu", "rm", "a"],
    ] {
        let message = place.bad(3, arguments);
        assert!(
            message.contains("tessera manager") && message.contains("TESSERA_RUN_DIR"),
            "{message}"
        );
    }
    assert!(place.bad(2, &["vgpu", "create"]).contains("--type"));
    assert!(place.bad(2, &["run"]).contains("PROGRAM"));
    let message = place.bad(2, &["run", "--compute-capability", "nine", "--", "true"]);
    assert!(message.contains("MAJOR.MINOR"), "{message}");
    assert!(
        place
            .bad(2, &["manager", "--gpu", "X9"])
            .contains("no board is called `X9`")
    );
}

#[test]
fn a_vgpu_from_creation_to_deletion() {
    let mut place = Place::new();
    place.start_manager(&["--gpu", "H100 80GB", "--gpu", "l4=2"]);
    assert_eq!(place.json(&["gpu", "list"]).as_array().unwrap().len(), 3);
    let creatable = place.json(&["types", "--gpu", "0", "--creatable"]);
    assert!(
        creatable
            .as_array()
            .unwrap()
            .iter()
            .any(|ty| ty["name"] == "H100-20C" && ty["creatable"]["count"] == 4)
    );

    let uuid = place.good(&["vgpu", "create", "-t", "H100-20C", "-n", "train"]);
    let uuid = uuid.trim();
    let shown = place.json(&["vgpu", "show", "train"]);
    assert_eq!(
        (shown["uuid"].as_str(), shown["state"].as_str()),
        (Some(uuid), Some("running"))
    );
    assert_eq!(shown["frame_buffer_bytes"], 20u64 << 30);
    assert_eq!(shown["usage"]["frame_buffer_used_bytes"], 0);
    assert!(shown["worker_pid"].is_u64());
    let list = place.good(&["vgpu", "list"]);
    assert!(
        list.starts_with("VGPU") && list.contains("train") && list.contains(&uuid[..8]),
        "{list}"
    );
    assert!(
        place
            .good(&["vgpu", "show", &uuid[..6]])
            .contains("NVIDIA H100-20C")
    );

    let message = place.bad(5, &["vgpu", "create", "-t", "H100-40C"]);
    assert!(
        message.contains("equal-size mode") && message.contains("choose a type of 20480 MiB"),
        "{message}"
    );
    assert!(place.bad(4, &["vgpu", "show", "nobody"]).contains("`nobody`"));
    assert!(place.bad(4, &["types", "--gpu", "7"]).contains("no GPU `7`"));

    place.good(&["vgpu", "delete", "train"]);
    assert_eq!(place.json(&["vgpu", "list"]), serde_json::json!([]));
    assert!(place.good(&["events"]).contains("was deleted"));
}

#[test]
fn vgpus_outlive_the_manager() {
    let mut place = Place::new();
    place.start_manager(&["--gpu", "t4"]);
    place.good(&["vgpu", "create", "-t", "T4-8C", "-n", "a"]);
    let before = place.json(&["vgpu", "show", "a"]);
    place.stop_manager();
    place.start_manager(&[]);
    let after = place.json(&["vgpu", "show", "a"]);
    assert_eq!(after["worker_pid"], before["worker_pid"]);
    assert_eq!(
        (after["restarts"].as_u64(), after["state"].as_str()),
        (Some(0), Some("running"))
    );
}

/// A shell line that must run on a vGPU.
const ON_A_VGPU: &str = r#"test -S "$TESSERA_VGPU_SOCKET" && echo "$LD_LIBRARY_PATH|$CUPY_COMPILE_WITH_PTX""#;

#[test]
fn run_brings_its_own_manager() {
    let place = Place::new();
    let output = place.good(&["run", "--type", "L4-8C", "--", "sh", "-c", ON_A_VGPU]);
    let library = place.path("lib").display().to_string();
    assert!(
        output.starts_with(&library) && output.trim_end().ends_with("|1"),
        "{output}"
    );
    for (line, code) in [("exit 7", 7), ("kill -9 $$", 137)] {
        let output = place.tessera(&["run", "--", "sh", "-c", line]).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", text(&output.stderr));
    }
    assert!(
        place
            .bad(127, &["run", "--", "/nowhere/program"])
            .contains("/nowhere/program")
    );
    assert!(place.bad(126, &["run", "--", "/dev/null"]).contains("/dev/null"));
    assert!(
        place
            .bad(125, &["run", "--type", "H100-99C", "--", "true"])
            .contains("H100-99C")
    );
    assert!(
        place
            .bad(4, &["run", "--board", "x9", "--", "true"])
            .contains("x9")
    );
    let message = place
        .tessera(&["run", "--", "true"])
        .env("TESSERA_LIB_DIR", "/nowhere")
        .output()
        .unwrap();
    assert_eq!(message.status.code(), Some(125));
    assert!(text(&message.stderr).contains("TESSERA_LIB_DIR"));
    assert_eq!(leftovers(place.directory.path()), Vec::<PathBuf>::new());
}

#[test]
fn run_uses_the_manager_that_is_there() {
    let mut place = Place::new();
    place.start_manager(&["--gpu", "H100"]);
    place.good(&["run", "--", "sh", "-c", ON_A_VGPU]);
    assert_eq!(
        place.json(&["vgpu", "list"]),
        serde_json::json!([]),
        "what was made for the run is gone"
    );
    place.good(&["vgpu", "create", "-t", "H100-20C", "-n", "mine"]);
    place.good(&["run", "--vgpu", "mine", "--", "sh", "-c", ON_A_VGPU]);
    assert_eq!(
        place.json(&["vgpu", "list"]).as_array().unwrap().len(),
        1,
        "what was there stays"
    );
    assert!(
        place
            .bad(125, &["run", "--board", "l4", "--", "true"])
            .contains("no GPU of board l4")
    );
    place.good(&["run", "--private", "--board", "l4", "--", "true"]);
    assert!(
        place
            .bad(4, &["run", "--vgpu", "nobody", "--", "true"])
            .contains("`nobody`")
    );
}

#[test]
fn signals_reach_the_program_and_leave_nothing() {
    let place = Place::new();
    let mut run = place
        .tessera(&["run", "--", "sh", "-c", "echo up; exec sleep 1000"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for_line(&mut run);
    signal(run.id(), rustix::process::Signal::TERM);
    assert_eq!(run.wait().unwrap().code(), Some(143));
    assert_eq!(leftovers(place.directory.path()), Vec::<PathBuf>::new());
}

fn wait_for_line(child: &mut Child) {
    use std::io::BufRead as _;
    let mut line = String::new();
    std::io::BufReader::new(child.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "up\n");
}

/// Workers of this place: processes whose standard error is a log under it.
fn workers(place: &Place) -> usize {
    let under = |pid: &Path| {
        std::fs::read_link(pid.join("fd/2")).is_ok_and(|file| file.starts_with(place.directory.path()))
    };
    std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter(|entry| under(&entry.path()))
        .count()
}

#[test]
fn workers_of_a_killed_run_go_with_it() {
    let place = Place::new();
    // Whatever becomes of the run, the program ends with its standard input, a pipe from here.
    let script = "echo up; read line";
    let mut run = place
        .tessera(&["run", "--", "sh", "-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for_line(&mut run);
    assert_eq!(workers(&place), 1);
    run.kill().unwrap();
    assert_eq!(run.wait().unwrap().signal(), Some(9));
    let start = Instant::now();
    while workers(&place) > 0 {
        assert!(start.elapsed() < Duration::from_secs(60), "the worker lives on");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A place whose library directory is laid out as a package would.
fn packaged() -> Place {
    let place = Place::new();
    std::fs::create_dir(place.path("lib/bin")).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_tessera"), place.path("lib/bin/ptxas")).unwrap();
    place
}

/// What a shell has after the lines that `tessera env` prints.
fn after_eval(place: &Place, arguments: &[&str], script: &str) -> String {
    let lines = place.good(&[&["env"], arguments].concat());
    let output = Command::new("sh")
        .args(["-c", &format!("{lines}{script}")])
        .env("LD_LIBRARY_PATH", "/opt/a b:/opt/c")
        .env("TRITON_PTXAS_PATH", "/mine")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn an_environment_is_of_a_vgpu_that_exists() {
    let mut place = packaged();
    assert!(place.bad(3, &["env"]).contains("manager"), "there is no manager");
    place.start_manager(&["--gpu", "H100"]);
    assert!(place.bad(125, &["env"]).contains("tessera vgpu create"));
    place.good(&["vgpu", "create", "--type", "H100-20C", "--name", "one"]);
    let socket = place.json(&["vgpu", "show", "one"])["guest_socket"]
        .as_str()
        .unwrap()
        .to_owned();
    let named = place.json(&["env", "--vgpu", "one"]);
    assert_eq!(named["socket"], socket.as_str());
    assert_eq!(place.json(&["env"]), named, "the only one");
    let variables = &named["variables"];
    assert_eq!(variables["TESSERA_VGPU_SOCKET"], socket.as_str());
    assert_eq!(
        variables["TRITON_PTXAS_PATH"],
        place.path("lib/bin/ptxas").to_str().unwrap()
    );

    place.good(&["vgpu", "create", "--type", "H100-20C", "--name", "two"]);
    let message = place.bad(125, &["env"]);
    assert!(
        message.contains("--vgpu") && message.contains("one, two"),
        "{message}"
    );
    place.bad(4, &["env", "--vgpu", "three"]);
    let inside = place.good(&["run", "--vgpu", "one", "--", env!("CARGO_BIN_EXE_tessera"), "env"]);
    assert!(
        inside.contains(&socket),
        "the one that the environment has: {inside}"
    );
    place.stop_manager();
    let directly = place.json(&["env", "--socket", &socket]);
    assert_eq!(directly, named, "no manager is asked");
}

#[test]
fn a_shell_takes_over_an_environment() {
    let place = packaged();
    let _socket = std::os::unix::net::UnixListener::bind(place.path("it's.sock")).unwrap();
    let socket = place.path("it's.sock");
    let arguments = ["--socket", socket.to_str().unwrap()];
    let said = after_eval(&place, &arguments, "printf %s \"$TESSERA_VGPU_SOCKET\"");
    assert_eq!(said, arguments[1]);
    let fish = place.good(&[&["env", "--shell", "fish"][..], &arguments].concat());
    assert!(fish.contains("set -gx CUPY_COMPILE_WITH_PTX '1'\n"), "{fish}");

    let mut command = place.tessera(&[&["env"][..], &arguments, &["--", "sh", "-c"]].concat());
    let script = "echo $LD_LIBRARY_PATH; echo $TRITON_PTXAS_PATH; exit 7";
    let output = command
        .arg(script)
        .env("LD_LIBRARY_PATH", "/opt/a b:/opt/c")
        .env("TRITON_PTXAS_PATH", "/mine")
        .output()
        .unwrap();
    let expected = format!("{}:/opt/a b:/opt/c\n/mine\n", place.path("lib").display());
    assert_eq!(text(&output.stdout), expected);
    assert_eq!(output.status.code(), Some(7), "the command's own");
    place.bad(
        127,
        &[&["env"][..], &arguments, &["--", "no-such-program"]].concat(),
    );
}

#[test]
fn an_environment_needs_a_socket_and_a_lasting_ptxas() {
    let place = Place::new();
    assert!(
        place
            .bad(125, &["env", "--socket", "/no/such.sock"])
            .contains("/no/such.sock")
    );
    std::fs::write(place.path("file"), "").unwrap();
    let file = place.path("file");
    assert!(
        place
            .bad(125, &["env", "--socket", file.to_str().unwrap()])
            .contains("not a socket")
    );
    let _socket = std::os::unix::net::UnixListener::bind(place.path("sock")).unwrap();
    let socket = place.path("sock");
    let message = place.bad(1, &["env", "--socket", socket.to_str().unwrap()]);
    assert!(message.contains("bin/ptxas"), "{message}");
}

#[test]
fn completions_and_manual_pages_know_the_commands() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish"] {
        assert!(
            place.good(&["completions", shell]).contains("stop-workers"),
            "{shell}"
        );
    }
    assert!(place.good(&["man"]).contains(".TH tessera 1"));
    place.good(&["man", "--directory", place.path("man").to_str().unwrap()]);
    let page = std::fs::read_to_string(place.path("man/tessera-vgpu-create.1")).unwrap();
    assert!(page.contains("compute\\-capability"), "{page}");
    assert!(
        !place.path("man/tessera-worker.1").exists(),
        "hidden commands have no page"
    );
    let mode = std::fs::metadata(place.path("man")).unwrap().permissions().mode();
    assert_eq!(mode & 0o400, 0o400);
}
