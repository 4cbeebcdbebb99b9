//! Machine code from one `tessera run` to the next. The program that runs is this test program, as a guest that speaks the protocol
//! itself.

#[path = "../../worker/tests/common/mod.rs"]
mod common;

use common::{Guest, function, load, options};
use serde_json::Value;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tessera_channel::Client;
use tessera_control::{CONTROL_SOCKET, Request, Response};
use tessera_wire::kind;
use tessera_wire::messages::Launch;

/// Set in the guest: where it says how kernels were carried out.
const REPORT: &str = "TESSERA_TEST_REPORT";

/// A kernel that is large enough to be kept.
fn ptx() -> String {
    let mut text = ".version 8.0\n.target sm_80\n.address_size 64\n.visible .entry k(.param .u64 out) {
        .reg .b64 %d<4>; .reg .b32 %r<4>; ld.param.u64 %d1, [out]; mov.u32 %r1, %tid.x;\n"
        .to_owned();
    for step in 0..300 {
        let _ = writeln!(text, "mad.lo.u32 %r1, %r1, {}, 7;", 3 + 2 * step);
    }
    text + "mov.u32 %r2, %tid.x; mul.wide.u32 %d2, %r2, 4; add.s64 %d3, %d1, %d2; st.global.u32 [%d3], %r1; ret; }"
}

/// Not a test of its own: the guest.
#[test]
#[ignore = "runs under tessera run, in the test below"]
fn guest() {
    let Some(report) = std::env::var_os(REPORT) else {
        return;
    };
    let socket = PathBuf::from(std::env::var_os("TESSERA_VGPU_SOCKET").unwrap());
    let guest = Guest::over(Client::connect(&socket, &options(kind::CUDA)).unwrap());
    let out = guest.alloc(256);
    load(&guest, 10, &ptx()).unwrap();
    function(&guest, 10, 11, "k");
    let launch = |seq| Launch {
        stream: guest.stream,
        seq,
        function: 11,
        grid: [1, 1, 1],
        block: [64, 1, 1],
        ..Launch::default()
    };
    guest.client.post_with(&out.to_le_bytes(), launch).unwrap();
    let left = guest.read(out, 256);
    let first = u32::from_le_bytes(left[..4].try_into().unwrap());
    assert_eq!(
        first,
        (0..300u32).fold(0, |x: u32, step| x.wrapping_mul(3 + 2 * step).wrapping_add(7))
    );
    let control = UnixStream::connect(socket.with_file_name(CONTROL_SOCKET)).unwrap();
    let line = serde_json::to_string(&Request::Status(())).unwrap() + "\n";
    (&control).write_all(line.as_bytes()).unwrap();
    let mut answer = String::new();
    BufReader::new(&control).read_line(&mut answer).unwrap();
    let Response::Status(status) = serde_json::from_str(&answer).unwrap() else {
        panic!("{answer}");
    };
    std::fs::write(report, serde_json::to_string(&status.tiers).unwrap()).unwrap();
}

fn tessera(place: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tessera"));
    command
        .args(arguments)
        .env("TESSERA_RUN_DIR", place.join("r"))
        .env("TESSERA_LIB_DIR", place.join("lib"))
        .env("TESSERA_CODE_CACHE", place.join("c"))
        .env("TMPDIR", place)
        .env_remove("TESSERA_LOG")
        .env_remove("TESSERA_TIER")
        .stdin(Stdio::null());
    command
}

/// Runs the guest; how kernels were carried out.
fn run(place: &Path, tier: &str) -> Value {
    let report = place.join("report");
    let this = std::env::current_exe().unwrap();
    let guest = ["--exact", "guest", "--ignored"];
    let output = tessera(place, &["run", "--tier", tier, "--"])
        .arg(this)
        .args(guest)
        .env(REPORT, &report)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    serde_json::from_str(&std::fs::read_to_string(report).unwrap()).unwrap()
}

fn kept(place: &Path) -> Value {
    let output = tessera(place, &["cache", "show", "--json"]).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_second_run_compiles_nothing() {
    let place = tempfile::Builder::new().prefix("tsr").tempdir().unwrap();
    let place = place.path();
    std::fs::create_dir(place.join("lib")).unwrap();
    // Never loaded: the guest speaks the protocol itself.
    std::fs::write(place.join("lib/libcuda.so.1"), "").unwrap();

    let tiers = run(place, "interpreter");
    assert_eq!(
        (&tiers["option"], &tiers["compiled"]),
        (&1.into(), &0.into()),
        "{tiers}"
    );
    assert_eq!(kept(place)["kernels"], 0);

    let tiers = run(place, "native");
    if tiers["processor"] == 1 {
        // No AVX-512: there is no machine code to keep.
        assert_eq!(kept(place)["kernels"], 0);
        return;
    }
    let figures = |tiers: &Value| ["compiled", "missed", "loaded"].map(|name| tiers[name].as_u64().unwrap());
    assert_eq!(figures(&tiers), [1, 1, 0], "{tiers}");
    assert_eq!(kept(place)["kernels"], 1);
    let tiers = run(place, "native");
    assert_eq!(figures(&tiers), [0, 0, 1], "{tiers}");

    assert!(
        tessera(place, &["cache", "clear"])
            .output()
            .unwrap()
            .status
            .success()
    );
    assert_eq!(kept(place)["kernels"], 0);
    assert_eq!(figures(&run(place, "native")), [1, 1, 0]);
}
