//! Litmus tests of the memory model: what threads may and may not see of each other's accesses. `litmus/README.md` describes
//! the files; `TESSERA_LITMUS=sb` restricts the run to files whose name contains `sb`, `TESSERA_LITMUS_COUNTS=1` prints counts.
//!
//! Each test runs many times in one launch, in every placement of its threads: lanes of a warp, warps of a block, and blocks
//! on two executor threads. An outcome that the model forbids must never come. One that it allows but that programs do not
//! expect is counted, and the counts are printed; whether it comes is a matter of timing. All of it runs in the interpreter and as
//! machine code.

mod common;
#[path = "litmus/kernel.rs"]
mod kernel;
#[path = "litmus/parse.rs"]
mod parse;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::{TestStream, gpu, launch, load, read_words, upload};
use kernel::{Place, Shape};
use parse::Test;
use tessera_device::Context;
use tessera_softgpu::{Execution, Tier};

/// Meetings of the threads in one launch.
const ROUNDS: u32 = 300;
/// What a load gives whose parts do not belong together.
const TORN: u32 = 0xdead;

/// Names of registers and locations, and how often they ended with which values.
struct Outcomes {
    names: Vec<String>,
    counts: BTreeMap<Vec<u32>, u32>,
}

impl Outcomes {
    /// How many instances ended as a conjunction says.
    fn count(&self, all: &[(String, u32)]) -> u32 {
        let holds = |values: &[u32]| {
            all.iter().all(|(name, value)| {
                let at = self.names.iter().position(|n| n == name);
                at.is_some_and(|at| values[at] == *value)
            })
        };
        let matching = self.counts.iter().filter(|(values, _)| holds(values));
        matching.map(|(_, n)| n).sum()
    }

    fn total(&self) -> u32 {
        self.counts.values().sum()
    }
}

/// Runs a test in one shape and collects how its instances ended.
fn outcomes(context: &Arc<dyn Context>, test: &Test, shape: &Shape) -> Outcomes {
    let rounds = if shape.place == Place::Blocks && test.threads.len() > 2 {
        // More blocks than executors: each meeting waits for blocks to change places.
        ROUNDS / 6
    } else {
        ROUNDS
    };
    let instances = (rounds * shape.lanes) as usize;
    let words = shape.width as usize / 32;
    let zeros = |count: usize| upload(context, &vec![0; count]);
    let locations = zeros(test.locations.len() * instances * words);
    let results = zeros(test.registers.len().max(1) * instances);
    let meetings = zeros(rounds as usize);
    let module = load(context, &kernel::text(test, shape, instances));
    let function = common::kernel(&module, "litmus");
    let stream = TestStream::plain(context);
    let parameters = [locations, results, meetings, u64::from(rounds)];
    stream.submit(launch(&function, shape.blocks, shape.threads, &parameters));
    stream.synchronize().expect("the launch");
    let memory = read_words(context, locations, test.locations.len() * instances * words);
    let values = read_words(context, results, test.registers.len().max(1) * instances);
    for address in [locations, results, meetings] {
        context.free(address).expect("free");
    }
    let mut counts = BTreeMap::new();
    for i in 0..instances {
        let mut outcome: Vec<u32> = (0..test.registers.len())
            .map(|r| values[r * instances + i])
            .collect();
        for l in 0..test.locations.len() {
            let at = (l * instances + i) * words;
            let parts = &memory[at..at + words];
            let whole = parts.iter().all(|part| *part == parts[0]);
            outcome.push(if whole { parts[0] } else { TORN });
        }
        *counts.entry(outcome).or_insert(0) += 1;
    }
    let names = test.registers.iter().chain(&test.locations).cloned().collect();
    Outcomes { names, counts }
}

/// What is wrong with the outcomes of a test.
fn verdict(test: &Test, outcomes: &Outcomes) -> Vec<String> {
    let mut wrong = Vec::new();
    for forbidden in &test.forbidden {
        let n = outcomes.count(forbidden);
        if n > 0 {
            wrong.push(format!("{forbidden:?} came {n} times of {}", outcomes.total()));
        }
    }
    for values in outcomes.counts.keys() {
        let strange = values.iter().find(|v| !test.values.contains(v));
        if let Some(strange) = strange {
            wrong.push(format!("the value {strange:#x}, which nobody wrote: {values:?}"));
        }
    }
    wrong
}

/// Runs a file in every shape. Returns what is wrong, and says what weak outcomes came.
fn run(context: &Arc<dyn Context>, name: &str, text: &str) -> Vec<String> {
    let test = match parse::parse(text) {
        Ok(test) => test,
        Err(error) => return vec![format!("{name}: {error}")],
    };
    let mut wrong = Vec::new();
    for shape in kernel::shapes(&test) {
        let outcomes = outcomes(context, &test, &shape);
        let about = format!("{name}, {shape:?}");
        wrong.extend(
            verdict(&test, &outcomes)
                .into_iter()
                .map(|w| format!("{about}: {w}")),
        );
        if std::env::var_os("TESSERA_LITMUS_COUNTS").is_some() {
            eprintln!("{about}: {:?} {:?}", outcomes.names, outcomes.counts);
        }
        for weak in &test.weak {
            let (n, total) = (outcomes.count(weak), outcomes.total());
            eprintln!("{about}: weak outcome {weak:?} {n} times of {total}");
        }
    }
    wrong
}

fn files() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/litmus");
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory)
        .expect("the directory of the tests")
        .map(|entry| entry.expect("an entry of it").path())
        .filter(|path| path.extension().is_some_and(|e| e == "litmus"))
        .collect();
    files.sort();
    files
}

/// Runs every file on a device that carries kernels out in this way.
fn every_file(tier: Tier) {
    let wanted = std::env::var("TESSERA_LITMUS").unwrap_or_default();
    let execution = Execution {
        tier,
        ..Execution::default()
    };
    let gpu = common::gpu_that(1 << 30, 2, execution);
    let context = common::context(&gpu);
    let mut wrong = Vec::new();
    let mut count = 0;
    for path in files() {
        let name = path.file_stem().expect("a file").to_string_lossy().into_owned();
        if name.contains(&wanted) {
            count += 1;
            let text = std::fs::read_to_string(&path).expect("a readable file");
            wrong.extend(run(&context, &name, &text));
        }
    }
    assert!(count > 0, "no file is called like `{wanted}`");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_file_in_the_interpreter() {
    every_file(Tier::Interpreter);
}

/// Where the processor is not one that machine code is made for, this is the interpreter once more.
#[test]
fn every_file_as_machine_code() {
    every_file(Tier::Native);
}

/// An outcome that does come is found when it is forbidden, in every placement; so are a torn value and a bad file.
#[test]
fn the_runner_can_fail() {
    let gpu = gpu();
    let context = common::context(&gpu);
    let text = "scopes gpu\nthread\n st.relaxed.SCOPE x 1\nthread\n ld.relaxed.SCOPE x r0\nforbidden x=1";
    let found = run(&context, "always", text);
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found[0].contains("came 4800 times of 4800"), "{found:?}");
    // A value of which the halves differ.
    let halves =
        parse::parse("scopes gpu\nwidth 64\nthread\n st.relaxed.SCOPE x 1\nforbidden x=3").expect("a test");
    let torn = Outcomes {
        names: vec!["x".to_owned()],
        counts: BTreeMap::from([(vec![TORN], 2), (vec![1], 5)]),
    };
    assert_eq!(verdict(&halves, &torn).len(), 1);
    for bad in [
        "thread\n st.relaxed.SCOPE x 1",
        "scopes gpu\nthread\n jump x\nforbidden x=1",
        "scopes gpu\nforbidden x=1",
    ] {
        assert!(parse::parse(bad).is_err(), "{bad}");
    }
}
