//! The checking mode: kernels with a mistake planted in them, each with the exact report that it must give, and kernels without.
//!
//! `tests/checks/*.ptx` hold one program each. Its comments say how it is launched and what is found:
//!
//! ```text
//! // run: KERNEL<<<BLOCKS, THREADS, SHARED>>>(ARGUMENTS)
//! // faults TEXT
//! //| the findings, as they are printed
//! ```
//!
//! Arguments are `u32 N`, `u64 N`, `alloc N` (N bytes that nobody has written), `zero N` (N bytes that the host cleared) and
//! `leaked N` (like `alloc`, and never freed). A file without `//|` lines must give no finding.
#![allow(missing_docs, reason = "test code")]

mod common;

use std::path::Path;
use std::sync::{Arc, Mutex};

use common::{Device, program, run_with};
use tessera_engine::check::{Checker, Checks, Finding};
use tessera_engine::{Fault, Geometry, HookError, Launch, Options, Runtime, ThreadView};

/// A device heap that hands out one piece after the other.
struct Heap {
    at: Mutex<u64>,
}

impl Runtime for Heap {
    fn vprintf(&self, _: &ThreadView<'_>, _: u64, _: u64) -> Result<i32, HookError> {
        Ok(0)
    }
    fn assert_fail(&self, _: &ThreadView<'_>, _: u64, _: u64, _: u32, _: u64) {}
    fn malloc(&self, size: u64) -> u64 {
        let mut at = self.at.lock().expect("lock");
        let base = *at;
        *at += size.next_multiple_of(16);
        base
    }
    fn free(&self, _: u64) -> Result<(), HookError> {
        Ok(())
    }
    fn clock(&self) -> u64 {
        0
    }
    fn global_timer(&self) -> u64 {
        0
    }
}

/// What a file asks for.
struct Case {
    entry: String,
    geometry: Geometry,
    args: Vec<(String, u64)>,
    faults: Option<String>,
    expected: String,
}

fn parse(text: &str) -> Case {
    let run = text
        .lines()
        .find_map(|l| l.strip_prefix("// run: "))
        .expect("a `run` comment");
    let (entry, rest) = run.split_once("<<<").expect("a launch");
    let (shape, args) = rest.split_once(">>>").expect("a launch");
    let numbers: Vec<u32> = shape
        .split(',')
        .map(|n| n.trim().parse().expect("a number"))
        .collect();
    let args = args.trim().trim_start_matches('(').trim_end_matches(')');
    let args = args.split(',').filter(|a| !a.trim().is_empty()).map(|a| {
        let (kind, n) = a.trim().split_once(' ').expect("a kind and a number");
        (kind.to_owned(), n.parse().expect("a number"))
    });
    let lines: Vec<&str> = text.lines().filter_map(|l| l.strip_prefix("//| ")).collect();
    Case {
        entry: entry.to_owned(),
        geometry: Geometry {
            dynamic_shared: numbers.get(2).copied().unwrap_or(0),
            ..Geometry::new([numbers[0], 1, 1], [numbers[1], 1, 1])
        },
        args: args.collect(),
        faults: text
            .lines()
            .find_map(|l| l.strip_prefix("// faults "))
            .map(str::to_owned),
        expected: lines.join("\n"),
    }
}

/// Launches with checks; how it ended and what was found.
fn run(text: &str, case: &Case, warps: u32, fuel: u64) -> (Result<(), Box<Fault>>, Vec<Finding>) {
    let checker = Checker::new(Checks::parse("all").expect("names"));
    let mut device = Device::checked(&checker);
    let (mut params, mut leaked) = (Vec::new(), Vec::new());
    for (kind, n) in &case.args {
        let bytes = usize::try_from(*n).expect("small");
        let value = match kind.as_str() {
            "u32" | "u64" => *n,
            "alloc" | "leaked" => device.alloc(bytes),
            "zero" => device.upload(&vec![0u8; bytes]),
            other => panic!("`{other}` is no argument"),
        };
        if kind == "leaked" {
            leaked.push(value);
        }
        let width = if kind == "u32" { 4 } else { 8 };
        params.resize(params.len().next_multiple_of(width), 0);
        params.extend_from_slice(&value.to_le_bytes()[..width]);
    }
    // The heap is memory of the device's own: only what `malloc` gives out of it is allocated.
    device.checker = None;
    let heap = device.alloc(4096);
    device.checker = Some(Arc::clone(&checker));
    let program = program(&mut device, text, &case.entry);
    let options = Options {
        warps,
        check: true,
        ..Options::default()
    };
    let launch = Launch::with_options(&program, case.geometry, &params, options).expect("legal");
    let hooks = Heap { at: Mutex::new(heap) };
    let end = run_with(&device, &hooks, &launch, fuel, fuel == 1);
    for (base, _) in device.bases() {
        if !leaked.contains(&base) {
            checker.freed(base);
        }
    }
    checker.finish();
    (end, checker.findings())
}

fn shown(findings: &[Finding]) -> String {
    let all: Vec<String> = findings.iter().map(ToString::to_string).collect();
    all.join("\n")
}

/// What does not depend on the order in which threads run.
fn essence(findings: &[Finding]) -> Vec<String> {
    let line = |f: &Finding| {
        let lines = [
            f.place.as_ref().map_or(0, |p| p.line),
            f.other.as_ref().map_or(0, |o| o.place.line),
        ];
        format!(
            "{} {} {}",
            f.kind.name(),
            lines.iter().min().copied().unwrap_or(0),
            lines.iter().max().copied().unwrap_or(0)
        )
    };
    let mut all: Vec<String> = findings.iter().map(line).collect();
    all.sort();
    all
}

fn failure(text: &str) -> Option<String> {
    let case = parse(text);
    let (end, findings) = run(text, &case, 8, 1_000_000);
    match (&end, &case.faults) {
        (Ok(()), None) => {}
        (Err(fault), Some(expected)) if fault.to_string().contains(expected.as_str()) => {}
        (end, expected) => return Some(format!("ended with {end:?}, expected {expected:?}")),
    }
    let found = shown(&findings);
    if found != case.expected {
        let lines: Vec<String> = found.lines().map(|l| format!("//| {l}")).collect();
        return Some(format!("found\n{}", lines.join("\n")));
    }
    for (warps, fuel) in [(1, 1_000_000), (8, 1), (2, 1)] {
        let (_, other) = run(text, &case, warps, fuel);
        // In another order a race may also lead to a read of what was not written yet.
        let same = |f: &Finding| findings.iter().any(|known| known.kind == f.kind);
        let other: Vec<Finding> = other.into_iter().filter(same).collect();
        if essence(&other) != essence(&findings) {
            return Some(format!(
                "with groups of {warps} warps and fuel {fuel}, found\n{}",
                shown(&other)
            ));
        }
    }
    None
}

#[test]
fn every_program_gives_its_report() {
    let wanted = std::env::var("TESSERA_CHECKTEST").unwrap_or_default();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/checks");
    let mut files: Vec<_> = std::fs::read_dir(directory)
        .expect("the directory of the tests")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|e| e == "ptx"))
        .collect();
    files.sort();
    let (mut report, mut planted, mut clean) = (String::new(), 0, 0);
    for path in files {
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        if !name.contains(&wanted) {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("readable");
        *(if text.contains("//| ") {
            &mut planted
        } else {
            &mut clean
        }) += 1;
        if let Some(failure) = failure(&text) {
            report.push_str(&format!("{name}: {failure}\n"));
        }
    }
    assert!(report.is_empty(), "\n{report}");
    assert!(
        !wanted.is_empty() || (planted >= 20 && clean >= 20),
        "{planted} planted, {clean} clean"
    );
}

#[test]
fn without_checks_nothing_is_reported() {
    let checker = Checker::new(Checks::usual());
    let mut device = Device::checked(&checker);
    let text = common::kernel(
        ".param .u64 a",
        "ld.param.u64 %rd1, [a]; ld.global.u32 %r1, [%rd1]; st.global.u32 [%rd1], %r1; ret;",
    );
    let program = program(&mut device, &text, "k");
    let a = device.alloc(64);
    let launch = Launch::new(&program, Geometry::new([1, 1, 1], [1, 1, 1]), &a.to_le_bytes()).expect("legal");
    run_with(&device, &common::Hooks::default(), &launch, 1000, false).expect("runs");
    assert_eq!(checker.findings(), []);
}

#[test]
fn copies_carry_along_what_was_written() {
    let checker = Checker::new(Checks::usual());
    let mut device = Device::checked(&checker);
    let a = device.alloc(64);
    let b = device.alloc(64);
    checker.written(a + 8, 4);
    checker.copied(b, a, 64);
    let text = common::kernel(
        ".param .u64 a, .param .u64 off",
        "ld.param.u64 %rd1, [a]; ld.param.u64 %rd2, [off]; add.s64 %rd1, %rd1, %rd2; ld.global.u32 %r1, [%rd1]; ret;",
    );
    let program = program(&mut device, &text, "k");
    let mut found = Vec::new();
    for offset in [4u64, 8, 12] {
        let before = checker.findings().iter().map(|f| f.count).sum::<u64>();
        let options = Options {
            check: true,
            ..Options::default()
        };
        let geometry = Geometry::new([1, 1, 1], [1, 1, 1]);
        let launch =
            Launch::with_options(&program, geometry, &common::params(&[b, offset]), options).expect("legal");
        run_with(&device, &common::Hooks::default(), &launch, 1000, false).expect("runs");
        found.push(checker.findings().iter().map(|f| f.count).sum::<u64>() - before);
    }
    assert_eq!(found, [1, 0, 1]);
}
