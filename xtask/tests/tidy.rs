//! Rules of the repository, as tests: what a reviewer would otherwise have to remember.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every file below `directory` with one of the endings, build output and caches left out.
fn files(directory: &Path, endings: &[&str], into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if !["target", ".cache", ".git"].contains(&name.as_str()) {
                files(&path, endings, into);
            }
        } else if endings.iter().any(|e| name.ends_with(e)) {
            into.push(path);
        }
    }
}

fn texts(endings: &[&str]) -> Vec<(PathBuf, String)> {
    let mut paths = Vec::new();
    files(&root(), endings, &mut paths);
    assert!(paths.len() > 10, "the walk found next to nothing");
    paths
        .into_iter()
        .map(|p| (p.clone(), fs::read_to_string(&p).unwrap_or_default()))
        .collect()
}

#[test]
fn no_source_file_is_longer_than_a_thousand_lines() {
    let long: Vec<String> = texts(&[".rs"])
        .into_iter()
        .filter(|(_, t)| t.lines().count() > 1000)
        .map(|(p, t)| format!("{}: {}", p.display(), t.lines().count()))
        .collect();
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn nothing_is_left_open_and_no_machine_is_named() {
    // Put together here, so that this file does not find itself.
    let words = [
        ["TO", "DO"].concat(),
        ["FIX", "ME"].concat(),
        ["/wo", "rk/"].concat(),
        ["/home", "/"].concat(),
        ["/ro", "ot/"].concat(),
    ];
    let mut found = Vec::new();
    for (path, text) in texts(&[".rs", ".md", ".toml", ".c", ".cu", ".py", ".ptx", ".sh"]) {
        for (number, line) in text.lines().enumerate() {
            for word in &words {
                if line.contains(word.as_str()) {
                    found.push(format!("{}:{}: {word}", path.display(), number + 1));
                }
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

/// Crates that may hold `unsafe`; the reasons are in ARCHITECTURE.md.
const UNSAFE: &[&str] = &[
    "bench",
    "channel",
    "device",
    "engine",
    "guest",
    "libcuda",
    "libcudart",
    "libnvjitlink",
    "libnvml",
    "mmu",
    "softgpu",
    "worker",
];

#[test]
fn unsafe_stays_in_the_named_crates() {
    for entry in fs::read_dir(root().join("crates")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if UNSAFE.contains(&name.as_str()) {
            continue;
        }
        let top = ["src/lib.rs", "src/main.rs"]
            .iter()
            .find_map(|f| fs::read_to_string(path.join(f)).ok())
            .unwrap();
        assert!(
            top.contains("#![forbid(unsafe_code)]"),
            "{name} neither forbids unsafe code nor is a named crate"
        );
    }
}

/// The crates from the bottom up; a crate depends on crates of lower numbers only.
const LAYERS: &[(&str, u32)] = &[
    ("catalogue", 0),
    ("control", 0),
    ("ptx", 0),
    ("fatbin", 0),
    ("arith", 0),
    ("mmu", 0),
    ("device", 0),
    ("api", 0),
    ("wire", 1),
    ("engine", 1),
    ("channel", 2),
    ("softgpu", 2),
    ("guest", 3),
    ("worker", 3),
    ("client", 3),
    ("bench", 4),
    ("libcuda", 4),
    ("libnvml", 4),
    ("libcudart", 4),
    ("libnvjitlink", 4),
    ("manager", 4),
    ("cli", 5),
];

#[test]
fn dependencies_go_one_way() {
    let layers: BTreeMap<&str, u32> = LAYERS.iter().copied().collect();
    for entry in fs::read_dir(root().join("crates")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let own = *layers
            .get(name.as_str())
            .unwrap_or_else(|| panic!("crate {name} has no place in the layers"));
        let manifest = fs::read_to_string(path.join("Cargo.toml")).unwrap();
        let mut section = "";
        for line in manifest.lines() {
            if line.starts_with('[') {
                section = line;
            }
            // Tests may reach across: they drive neighbours for real.
            if section != "[dependencies]" {
                continue;
            }
            if let Some(rest) = line.strip_prefix("tessera-") {
                let other = rest.split(['.', ' ', '=']).next().unwrap();
                let theirs = *layers
                    .get(other)
                    .unwrap_or_else(|| panic!("{name} depends on the unknown crate {other}"));
                assert!(
                    theirs < own,
                    "{name} (layer {own}) depends on {other} (layer {theirs})"
                );
            }
        }
    }
}

#[test]
fn every_crate_says_what_it_is_for() {
    for (path, text) in texts(&["lib.rs", "main.rs"]) {
        if path.components().any(|c| c.as_os_str() == "crates")
            && path.parent().is_some_and(|p| p.ends_with("src"))
        {
            assert!(
                text.starts_with("//! "),
                "{} does not open with what it is for",
                path.display()
            );
        }
    }
}
