//! `tessera ptx check`: what it finds in texts and fatbins, what it refuses, its exit codes.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;
use tessera_fatbin::Compression;
use tessera_fatbin::builder::{NewEntry, fatbin};

const GOOD: &str = ".version 8.0\n.target sm_80\n.address_size 64\n\
    .visible .entry one(.param .u64 out) {\n.reg .b64 %a;\nld.param.u64 %a, [out];\nst.global.u32 [%a], 7;\nret;\n}\n\
    .visible .entry two() {\nret;\n}\n";

/// Legal, but not executed: line 6.
const REFUSED: &str = ".version 8.0\n.target sm_90a\n.address_size 64\n\
    .visible .entry waits() {\n\nwgmma.fence.sync.aligned;\nret;\n}\n.visible .entry fine() {\nret;\n}\n";

fn write(place: &TempDir, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = place.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn check(options: &[&str], files: &[&Path]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tessera"));
    command
        .args(["ptx", "check"])
        .args(options)
        .args(files)
        .output()
        .unwrap()
}

fn reports(options: &[&str], files: &[&Path], code: i32) -> Vec<Value> {
    let output = check(&[&["--json"], options].concat(), files);
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn texts_load_whole_or_say_what_is_refused() {
    let place = TempDir::new().unwrap();
    let good = write(&place, "good.ptx", GOOD);
    let refused = write(&place, "refused.ptx", REFUSED);
    let found = reports(&[], &[&good], 0);
    assert_eq!(found[0]["kernels"], 2);
    assert_eq!(found[0]["instructions"], 4);
    assert_eq!(found[0]["refusals"].as_array().unwrap().len(), 0);

    let found = reports(&[], &[&good, &refused], 1);
    let refusals = found[1]["refusals"].as_array().unwrap();
    assert_eq!(refusals.len(), 1, "{refusals:?}");
    assert_eq!(refusals[0]["function"], "waits");
    assert_eq!(refusals[0]["line"], 6);
    assert_eq!(refusals[0]["instruction"], "wgmma.fence.sync.aligned");
    assert_eq!(refusals[0]["kind"], "unsupported");

    let text = String::from_utf8(check(&[], &[&refused]).stdout).unwrap();
    assert!(
        text.contains("line 6: `wgmma.fence.sync.aligned` in `waits`"),
        "{text}"
    );
}

#[test]
fn what_is_not_ptx_is_named() {
    let place = TempDir::new().unwrap();
    let kinds = [
        ("broken.ptx", GOOD.replace("ret;", "rte;").into_bytes(), "invalid"),
        (
            "open.ptx",
            GOOD.replace(
                ".visible .entry two() {",
                ".extern .func f;\n.visible .entry two() {\ncall f;",
            )
            .into_bytes(),
            "undefined",
        ),
        ("noise.bin", vec![7; 100], "unreadable"),
        (
            "cut.fatbin",
            tessera_fatbin::MAGIC.to_le_bytes().to_vec(),
            "unreadable",
        ),
    ];
    for (name, bytes, kind) in kinds {
        let found = reports(&[], &[&write(&place, name, bytes)], 1);
        assert_eq!(found[0]["refusals"][0]["kind"], kind, "{name}: {found:?}");
    }
    let missing = check(&[], &[&place.path().join("missing")]);
    assert_eq!(missing.status.code(), Some(1));
}

/// Fatbins are found wherever they stand; a compute capability leaves what a device of it would take.
#[test]
fn fatbins_in_any_file() {
    let place = TempDir::new().unwrap();
    let fatbin = fatbin(&[
        NewEntry::ptx(80, GOOD.as_bytes()).packed(Compression::Lz4),
        NewEntry::ptx(90, REFUSED.as_bytes()).packed(Compression::Zstd),
    ]);
    let mut library = b"\x7fELF and so on".to_vec();
    for _ in 0..2 {
        library.extend_from_slice(&fatbin);
        library.extend_from_slice(b"padding");
    }
    let library = write(&place, "lib.so", library);
    let found = reports(&[], &[&library], 1);
    assert_eq!(found[0]["modules"], 4);
    assert_eq!(found[0]["kernels"], 8);
    assert_eq!(found[0]["refusals"].as_array().unwrap().len(), 2);
    let found = reports(&["--compute-capability", "8.6"], &[&library], 0);
    assert_eq!(found[0]["modules"], 2);
    assert_eq!(found[0]["kernels"], 4);
}
