//! Which instructions the engine executes: every variant that real programs contain is put into a small kernel, compiled and run.
//!
//! `coverage/opcodes.txt` lists the variants. One that does not run must be listed there with the reason, and must be refused
//! when the kernel is compiled; one that is listed and runs must lose its reason. `TESSERA_BLESS=1` brings the reasons of what
//! now runs and the page `docs/software-gpu.md` up to date; `TESSERA_COVERAGE=mma` restricts the run to what contains `mma`.
//! Results are not looked at here: that is what the files of `tests/ptx` are for.

#[path = "coverage/list.rs"]
mod list;
#[path = "filetests/machine.rs"]
mod machine;
#[path = "coverage/manual.rs"]
mod manual;
#[path = "coverage/synth.rs"]
mod synth;

use std::collections::HashSet;
use std::panic::catch_unwind;
use std::path::Path;

use list::List;
use machine::{Image, Ram, Way};
use manual::Manual;
use synth::{Case, Ends};
use tessera_engine::texture::{Extent, Format, Image as Picture, Kind, Sampler, Shape};
use tessera_engine::{Geometry, Options, Symbols as _};
use tessera_ptx::isa::{self, FormId};
use tessera_ptx::{Module, parse_module};

/// What became of a variant.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Executed,
    /// Refused when the kernel was compiled, with this error.
    Refused(String),
    /// Anything else is a fault of the engine or of this test.
    Wrong(String),
}

/// Puts an image of the instruction's geometry behind the references of the module.
fn bind_images(instruction: &str, module: &Module, variables: &Image, ram: &mut Ram) {
    let has = |geometry: &str| instruction.contains(&format!(".{geometry}."));
    let (kind, layered, [height, slices]) = match () {
        () if has("1d") => (Kind::OneD, false, [1, 1]),
        () if has("2d") => (Kind::TwoD, false, [32, 1]),
        () if has("3d") => (Kind::ThreeD, false, [32, 4]),
        () if has("a1d") => (Kind::OneD, true, [1, 4]),
        () if has("a2d") => (Kind::TwoD, true, [32, 4]),
        () if has("acube") => (Kind::Cube, true, [32, 6]),
        () if has("cube") => (Kind::Cube, false, [32, 6]),
        () if ["txq", "suq"].iter().any(|op| instruction.starts_with(op)) => (Kind::TwoD, false, [32, 1]),
        () => return,
    };
    let mut picture = Picture {
        base: 0,
        shape: Shape {
            kind,
            layered,
            extent: Extent {
                width: 32,
                height,
                slices,
            },
            format: Format::Float,
            channels: 4,
            levels: 1,
            pitch: 0,
        },
        sampler: Sampler::default(),
        surface: false,
    };
    picture.base = ram.allocate(usize::try_from(picture.shape.bytes()).expect("a small image"));
    for (name, surface) in [("texture", false), ("surface", true)] {
        let place = module.var_by_name(name).and_then(|id| variables.variable(id));
        picture.surface = surface;
        ram.write(place.expect("a reference of the module"), &picture.encode());
    }
}

/// Marks of the threads after a run.
fn run(case: &Case, plain: bool) -> Outcome {
    let module = match parse_module(case.text.as_bytes().to_vec()) {
        Ok(module) => module,
        Err(e) => return Outcome::Wrong(e.to_string()),
    };
    let mut ram = Ram::default();
    let image = Image::load(&module, &mut ram);
    let program = match machine::program(&module, "k", &image) {
        Ok(program) => program,
        Err(e) => return Outcome::Refused(e),
    };
    bind_images(&case.instruction, &module, &image, &mut ram);
    let bytes = 4 * case.threads as usize;
    let marks = ram.allocate(bytes);
    ram.write(marks, &vec![0; bytes]);
    let mut params = marks.to_le_bytes().to_vec();
    params.resize(16 + 256, 0);
    let way = Way {
        options: Options {
            plain,
            ..Options::default()
        },
        fuel: 100_000,
    };
    let geometry = Geometry::new([1, 1, 1], [case.threads, 1, 1]);
    let fault = match machine::run(&program, geometry, &params, &ram, way) {
        Ok(fault) => fault.map(|f| f.to_string()),
        Err(e) => return Outcome::Wrong(e),
    };
    let (expected, mark) = match case.ends {
        Ends::After => (None, 2),
        Ends::There => (None, 1),
        Ends::Fault(name) => (Some(name), 1),
    };
    let same = match (&fault, expected) {
        (Some(fault), Some(expected)) => fault.starts_with(expected),
        (None, None) => true,
        _ => false,
    };
    if !same {
        return Outcome::Wrong(format!("ended with {fault:?}"));
    }
    let marks: Vec<u32> = (ram.read(marks, bytes).chunks_exact(4))
        .map(|m| u32::from_le_bytes([m[0], m[1], m[2], m[3]]))
        .collect();
    if marks.iter().any(|m| *m != mark) {
        return Outcome::Wrong(format!("threads ended at {marks:?}, not {mark}"));
    }
    Outcome::Executed
}

/// A variant is executed when every way to write its operands is, in these decodings.
fn outcome(spelling: &str, decodings: &[bool]) -> Outcome {
    let cases = match synth::cases(spelling) {
        Ok(cases) => cases,
        Err(e) => return Outcome::Wrong(e),
    };
    for case in cases {
        for &plain in decodings {
            let outcome =
                catch_unwind(|| run(&case, plain)).unwrap_or_else(|_| Outcome::Wrong("panicked".into()));
            match outcome {
                Outcome::Executed => {}
                Outcome::Refused(e) => return Outcome::Refused(format!("{}: {e}", case.instruction)),
                Outcome::Wrong(e) => return Outcome::Wrong(format!("{}: {e}", case.instruction)),
            }
        }
    }
    Outcome::Executed
}

#[test]
fn every_variant_of_real_programs_is_executed_or_listed() {
    let wanted = std::env::var("TESSERA_COVERAGE").unwrap_or_default();
    let mut list = List::read();
    let (mut failures, mut stale) = (Vec::new(), Vec::new());
    let (mut executed, mut tried) = (0, 0);
    for row in list.rows.iter_mut().filter(|row| row.spelling.contains(&wanted)) {
        tried += 1;
        match (outcome(&row.spelling, &[false, true]), row.reason.is_some()) {
            (Outcome::Executed, false) => executed += 1,
            (Outcome::Executed, true) => {
                executed += 1;
                row.reason = None;
                stale.push(row.spelling.clone());
            }
            (Outcome::Refused(_), true) => {}
            (Outcome::Refused(e), false) => failures.push(format!("{}: refused: {e}", row.spelling)),
            (Outcome::Wrong(e), _) => failures.push(format!("{}: {e}", row.spelling)),
        }
    }
    #[allow(
        clippy::print_stdout,
        reason = "the summary is for whoever runs this with --nocapture"
    )]
    {
        println!("{executed} of {tried} variants are executed");
    }
    let bless = std::env::var_os("TESSERA_BLESS").is_some();
    if bless {
        list.write();
        list::write_page(&list.page());
    }
    assert!(tried > 0, "no variant contains `{wanted}`");
    assert!(
        failures.is_empty(),
        "{} variants:\n{}",
        failures.len(),
        failures.join("\n")
    );
    assert!(
        bless || stale.is_empty(),
        "executed now, but listed as not; run with TESSERA_BLESS=1: {stale:#?}"
    );
}

/// The rows that the instructions of a text match.
fn rows_of(text: &[u8], rows: &mut HashSet<FormId>) {
    let Ok(module) = parse_module(text.to_vec()) else {
        return;
    };
    for (id, _) in module.funcs.iter() {
        if let Ok(body) = module.body(id) {
            rows.extend(body.insts.iter().map(|(_, inst)| inst.form));
        }
    }
}

/// The rows that the files of `tests/ptx` contain.
fn rows_of_the_files() -> HashSet<FormId> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ptx");
    let mut rows = HashSet::new();
    for entry in std::fs::read_dir(directory).expect("the directory of the files") {
        let path = entry.expect("an entry of it").path();
        if path.extension().is_some_and(|e| e == "ptx") {
            rows_of(&std::fs::read(path).expect("a readable file"), &mut rows);
        }
    }
    rows
}

/// The whole instruction table: each choice of each slot of each row, and every conversion between plain types. What is not
/// executed is listed in `coverage/manual.txt`; a row that is executed is in a file of `tests/ptx`.
#[test]
fn every_row_of_the_manual_is_executed_and_tested_or_listed() {
    let wanted = std::env::var("TESSERA_COVERAGE").unwrap_or_default();
    let mut manual = Manual::read();
    let tested = rows_of_the_files();
    let (mut failures, mut stale, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
    let (mut executed, mut tried) = (0, 0);
    let rows = isa::forms()
        .iter()
        .map(|(id, form)| (Some(id), synth::sensible_spellings(form)));
    for (row, spellings) in rows.chain([(None, synth::conversions())]) {
        let mut runs = false;
        for spelling in spellings.into_iter().filter(|s| s.contains(&wanted)) {
            if !seen.insert(spelling.clone()) {
                continue;
            }
            tried += 1;
            match (outcome(&spelling, &[false]), manual.reason(&spelling)) {
                (Outcome::Executed, None) => {
                    executed += 1;
                    runs = true;
                }
                (Outcome::Executed, Some(_)) => {
                    manual.remove(&spelling);
                    stale.push(spelling);
                }
                (Outcome::Refused(_), Some(_)) => {}
                (Outcome::Refused(e), None) => failures.push(format!("{spelling}: refused: {e}")),
                (Outcome::Wrong(e), _) => failures.push(format!("{spelling}: {e}")),
            }
        }
        match row {
            Some(id) if runs && !tested.contains(&id) => {
                failures.push(format!(
                    "no file of tests/ptx has {}",
                    manual::text(isa::form(id))
                ));
            }
            _ => {}
        }
    }
    #[allow(
        clippy::print_stdout,
        reason = "the summary is for whoever runs this with --nocapture"
    )]
    {
        println!("{executed} of {tried} spellings of the manual are executed");
    }
    let bless = std::env::var_os("TESSERA_BLESS").is_some();
    if bless {
        manual.write();
    }
    assert!(tried > 0, "no spelling contains `{wanted}`");
    assert!(
        failures.is_empty(),
        "{} failures:\n{}",
        failures.len(),
        failures.join("\n")
    );
    assert!(
        bless || stale.is_empty(),
        "executed now, but listed as not; run with TESSERA_BLESS=1: {stale:#?}"
    );
}

/// The page that users read says the same as the list.
#[test]
fn the_page_is_current() {
    if std::env::var_os("TESSERA_BLESS").is_some() {
        // The other test writes both.
        return;
    }
    assert!(
        list::committed_page() == List::read().page(),
        "docs/software-gpu.md is stale: run this test with TESSERA_BLESS=1"
    );
}

/// The test itself must see an instruction that is not executed, and one that does not come back.
#[test]
fn it_can_fail() {
    let mut case = synth::cases("add.u32").expect("an instruction").remove(0);
    assert_eq!(run(&case, false), Outcome::Executed);
    case.ends = Ends::There;
    assert!(matches!(run(&case, false), Outcome::Wrong(_)));
    let refused = outcome("wgmma.fence.sync.aligned", &[false]);
    assert!(
        matches!(&refused, Outcome::Refused(e) if e.contains("wgmma.fence")),
        "{refused:?}"
    );
    assert!(matches!(outcome("add.q32", &[false]), Outcome::Wrong(_)));
    let mut jump = synth::cases("bra").expect("an instruction").remove(0);
    jump.text = jump.text.replace("bra OVER", "add.u32 %r1, %r1, 1");
    assert!(matches!(run(&jump, false), Outcome::Wrong(_)));
}
