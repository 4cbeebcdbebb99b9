//! Runs the executable instruction tests of `tests/ptx`; its `README.md` describes the files.

#[path = "filetests/grammar.rs"]
mod grammar;
#[path = "filetests/machine.rs"]
mod machine;
#[path = "filetests/picture.rs"]
mod picture;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use grammar::{Arg, Buffer, Outcome, Run, Shape, Tolerance, Type, Value};
use machine::{Image, Ram, Way};
use tessera_engine::{Geometry, Level, Options, Program, Tier};
use tessera_ptx::{Module, parse_module};

/// Every way in which a launch is carried out: decodings, sizes of a group and vector units, uninterrupted and interrupted.
fn ways() -> Vec<Way> {
    let best = Level::best();
    let options = |level, warps, plain| Options {
        level,
        warps,
        plain,
        check: false,
        tier: Tier::Interpreter,
    };
    let checked = Options {
        check: true,
        ..options(best, 8, true)
    };
    let native = |level| Options {
        level,
        tier: Tier::Native,
        ..Options::default()
    };
    let all = [
        checked,
        options(best, 8, false),
        options(best, 8, true),
        options(best, 1, false),
        options(best, 2, true),
        options(Level::Portable, 8, false),
        options(Level::Avx2, 4, true),
        native(best),
        native(Level::Avx2),
    ];
    all.into_iter()
        .flat_map(|options| [100_000, 1].map(|fuel| Way { options, fuel }))
        .collect()
}

/// Bytes of a result before the launch.
const FILL: u8 = 0xcd;

/// Most threads of a block.
const MAX_THREADS: usize = 1024;

fn bytes_of(ty: Type, values: impl IntoIterator<Item = u64>) -> Vec<u8> {
    values
        .into_iter()
        .flat_map(|v| v.to_le_bytes()[..ty.bytes()].to_vec())
        .collect()
}

fn values_of(ty: Type, bytes: &[u8]) -> Vec<u64> {
    let element = |chunk: &[u8]| chunk.iter().rev().fold(0, |v, b| v << 8 | u64::from(*b));
    bytes.chunks_exact(ty.bytes()).map(element).collect()
}

fn float(ty: Type, bits: u64) -> f64 {
    if ty.bits == 32 {
        f64::from(f32::from_bits(u32::try_from(bits).unwrap_or(0)))
    } else {
        f64::from_bits(bits)
    }
}

/// Distance in encodings, which counts units in the last place across powers of two and zero.
fn ulps(ty: Type, a: u64, b: u64) -> u64 {
    let sign = 1u64 << (ty.bits - 1);
    let ordered = |x: u64| {
        if x & sign == 0 {
            i128::from(x)
        } else {
            -i128::from(x & !sign)
        }
    };
    u64::try_from((ordered(a) - ordered(b)).abs()).unwrap_or(u64::MAX)
}

fn agrees(ty: Type, got: u64, expected: Value, tolerance: Tolerance) -> bool {
    let bits = match expected {
        Value::Any => return true,
        Value::Nan => return float(ty, got).is_nan(),
        Value::Bits(bits) => bits,
    };
    let (x, y) = (float(ty, got), float(ty, bits));
    match tolerance {
        _ if got == bits => true,
        _ if !ty.float || x.is_nan() || y.is_nan() => false,
        Tolerance::Exact => false,
        Tolerance::Ulp(n) => ulps(ty, got, bits) <= n,
        Tolerance::Absolute(e) => (x - y).abs() <= e,
        Tolerance::Relative(e) => (x - y).abs() <= e * y.abs(),
    }
}

fn shown(ty: Type, bits: u64) -> String {
    if ty.float {
        format!("{:e} ({bits:#x})", float(ty, bits))
    } else {
        format!("{bits:#x}")
    }
}

/// The first element that differs.
fn difference(buffer: &Buffer, got: &[u64], tolerance: Tolerance) -> Option<String> {
    let mut pairs = buffer.after.iter().zip(got).enumerate();
    let (i, (expected, got)) = pairs.find(|(_, (e, g))| !agrees(buffer.ty, **g, **e, tolerance))?;
    let expected = match expected {
        Value::Bits(bits) => shown(buffer.ty, *bits),
        other => format!("{other:?}"),
    };
    Some(format!(
        "element {i} is {}, expected {expected}",
        shown(buffer.ty, *got)
    ))
}

/// A module and what was compiled of it. Variables get the same addresses in every launch, so programs can be kept.
struct Loaded {
    module: Module,
    programs: HashMap<String, Result<Arc<Program>, String>>,
    /// What the checks have to say, by kernel: `// unclean KERNEL: TEXT`.
    unclean: HashMap<String, String>,
}

impl Loaded {
    fn new(text: &str) -> Result<Self, String> {
        let module = parse_module(text.as_bytes().to_vec()).map_err(|e| e.to_string())?;
        Ok(Self {
            module,
            programs: HashMap::new(),
            unclean: text
                .lines()
                .filter_map(|line| line.strip_prefix("// unclean ")?.split_once(": "))
                .map(|(kernel, text)| (kernel.to_owned(), text.to_owned()))
                .collect(),
        })
    }

    fn program(&mut self, entry: &str, image: &Image) -> Result<Arc<Program>, String> {
        let compile = || machine::program(&self.module, entry, image);
        self.programs
            .entry(entry.to_owned())
            .or_insert_with(compile)
            .clone()
    }
}

/// Launches once, compares.
fn launch(loaded: &mut Loaded, run: &Run, shape: Shape, way: Way) -> Result<(), String> {
    let mut ram = Ram::default();
    let image = Image::load(&loaded.module, &mut ram);
    let program = loaded.program(&run.entry, &image)?;
    let mut params: Vec<u8> = Vec::new();
    let (mut buffers, mut pictures) = (Vec::new(), Vec::new());
    for arg in &run.args {
        let (bytes, width) = match arg {
            Arg::Scalar(ty, bits) => (bytes_of(*ty, [*bits]), ty.bytes()),
            Arg::Buffer(buffer) => {
                let size = buffer.after.len() * buffer.ty.bytes();
                let address = ram.allocate(size);
                let before = buffer.before.as_ref();
                ram.write(
                    address,
                    &before.map_or_else(|| vec![FILL; size], |b| bytes_of(buffer.ty, b.iter().copied())),
                );
                buffers.push((address, size, buffer));
                (address.to_le_bytes().to_vec(), 8)
            }
            Arg::Picture(picture) => {
                let (handle, base) = picture::place(picture, &mut ram, &loaded.module, &image)?;
                pictures.push((base, picture));
                if picture.bound.is_some() {
                    continue;
                }
                (handle.to_le_bytes().to_vec(), 8)
            }
        };
        params.resize(params.len().next_multiple_of(width), 0);
        params.extend(bytes);
    }
    let geometry = Geometry {
        dynamic_shared: shape.shared,
        ..Geometry::new(shape.grid, shape.block)
    };
    let fault = machine::run(&program, geometry, &params, &ram, way)?;
    match (&run.outcome, fault) {
        (Outcome::Fault(name), Some(fault)) if fault.to_string().starts_with(name.as_str()) => Ok(()),
        (Outcome::Fault(name), Some(fault)) => Err(format!("`{fault}`, expected `{name}`")),
        (Outcome::Fault(name), None) => Err(format!("ended well, expected `{name}`")),
        (Outcome::Done(_), Some(fault)) => Err(fault.to_string()),
        (Outcome::Done(tolerance), None) => {
            if way.options.check {
                clean(&ram, loaded.unclean.get(&run.entry))?;
            }
            for (n, (base, picture)) in pictures.into_iter().enumerate() {
                let got = values_of(picture.texels.ty, &picture::texels(picture, base, &ram));
                difference(&picture.texels, &got, *tolerance)
                    .map_or(Ok(()), |d| Err(format!("image {n}: {d}")))?;
            }
            buffers
                .iter()
                .enumerate()
                .try_for_each(|(n, (address, size, buffer))| {
                    let got = values_of(buffer.ty, &ram.read(*address, *size));
                    difference(buffer, &got, *tolerance).map_or(Ok(()), |d| Err(format!("buffer {n}: {d}")))
                })
        }
    }
}

/// A kernel that does what it should gives the checks nothing to say.
fn clean(ram: &Ram, expected: Option<&String>) -> Result<(), String> {
    let all: Vec<String> = ram.checker.findings().iter().map(ToString::to_string).collect();
    match (all.first(), expected) {
        (None, None) => Ok(()),
        (Some(said), Some(expected)) if all.len() == 1 && said.contains(expected.as_str()) => Ok(()),
        (None, Some(expected)) => Err(format!("the checks say nothing, expected `{expected}`")),
        (Some(_), _) => Err(format!("the checks say: {}", all.join("\n"))),
    }
}

/// The run with every buffer repeated `times` times.
fn repeated(run: &Run, times: usize) -> Run {
    let mut run = run.clone();
    for arg in &mut run.args {
        if let Arg::Buffer(buffer) = arg {
            buffer.after = buffer.after.repeat(times);
            buffer.before = buffer.before.as_ref().map(|b| b.repeat(times));
        }
    }
    run
}

/// A launch that a run stands for.
struct Case {
    name: &'static str,
    /// With `%ctaid.x` in place of `%tid.x`.
    uniform: bool,
    run: Run,
    shape: Shape,
}

/// The launches that a run stands for.
fn cases(run: &Run) -> Result<Vec<Case>, String> {
    let case = |name, uniform, run: &Run, shape| Case {
        name,
        uniform,
        run: run.clone(),
        shape,
    };
    if let Some(shape) = run.shape {
        return Ok(vec![case("as written", false, run, shape)]);
    }
    let lengths: Vec<usize> = (run.args.iter())
        .filter_map(|a| {
            if let Arg::Buffer(b) = a {
                Some(b.after.len())
            } else {
                None
            }
        })
        .collect();
    let n = *lengths.last().ok_or("an elementwise kernel needs buffers")?;
    if n == 0 || n > MAX_THREADS || lengths.iter().any(|l| *l != n) {
        return Err("the buffers of an elementwise kernel have one element per thread".into());
    }
    let one_block = |threads: usize| Shape {
        grid: [1, 1, 1],
        block: [u32::try_from(threads).unwrap_or(0), 1, 1],
        shared: 0,
    };
    let times = MAX_THREADS / n;
    let uniform_shape = Shape {
        grid: [u32::try_from(n).unwrap_or(0), 1, 1],
        block: [33, 1, 1],
        shared: 0,
    };
    Ok(vec![
        case("one element per thread", false, run, one_block(n)),
        case("repeated", false, &repeated(run, times), one_block(n * times)),
        case("one element per block", true, run, uniform_shape),
    ])
}

/// Everything that is wrong in a file.
fn failures(text: &str) -> Vec<String> {
    let tests = match grammar::parse(text) {
        Ok(tests) => tests,
        Err(e) => return vec![e],
    };
    let loaded =
        Loaded::new(text).and_then(|plain| Ok([plain, Loaded::new(&text.replace("%tid.x", "%ctaid.x"))?]));
    let mut loaded = match loaded {
        Ok(loaded) => loaded,
        Err(e) => return vec![e],
    };
    let mut failures = Vec::new();
    if tests.runs.is_empty() && tests.refusals.is_empty() {
        failures.push("tests nothing".into());
    }
    for run in &tests.runs {
        let at = format!("line {}: {}", run.line, run.entry);
        let cases = match cases(run) {
            Ok(cases) => cases,
            Err(e) => {
                failures.push(format!("{at}: {e}"));
                continue;
            }
        };
        for case in cases {
            for way in ways() {
                let loaded = &mut loaded[usize::from(case.uniform)];
                if let Err(e) = launch(loaded, &case.run, case.shape, way) {
                    failures.push(format!("{at} ({}, {way:?}): {e}", case.name));
                }
            }
        }
    }
    for (line, entry, why) in &tests.refusals {
        if let Err(e) = refused(&loaded[0].module, entry, why) {
            failures.push(format!("line {line}: {entry}: {e}"));
        }
    }
    failures
}

fn refused(module: &Module, entry: &str, why: &str) -> Result<(), String> {
    let image = Image::load(module, &mut Ram::default());
    match machine::program(module, entry, &image) {
        Ok(_) => Err("compiles, though it should be refused".into()),
        Err(e) if e.contains(why) => Ok(()),
        Err(e) => Err(format!("refused with `{e}`, which does not say `{why}`")),
    }
}

fn files() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ptx");
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory)
        .expect("the directory of the tests")
        .map(|entry| entry.expect("an entry of it").path())
        .filter(|path| path.extension().is_some_and(|e| e == "ptx"))
        .collect();
    files.sort();
    files
}

#[test]
fn every_file() {
    let wanted = std::env::var("TESSERA_FILETEST").unwrap_or_default();
    let mut report = String::new();
    let mut count = 0;
    for path in files() {
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        if !name.contains(&wanted) {
            continue;
        }
        count += 1;
        let text = std::fs::read_to_string(&path).expect("a readable file");
        for failure in failures(&text) {
            report.push_str(&format!("{name}: {failure}\n"));
        }
    }
    assert!(count > 0, "no file is called like `{wanted}`");
    assert!(report.is_empty(), "\n{report}");
}

/// The runner itself must see a wrong result, a missing fault and a bad comment.
#[test]
fn the_runner_can_fail() {
    let kernel = "
.version 8.0
.target sm_80
.address_size 64
.visible .entry inc(.param .u64 a_, .param .u64 d_)
{
    .reg .b32 %i, %a;
    .reg .b64 %t;
    mov.u32 %i, %tid.x;
    ld.param.u64 %t, [a_];
    mad.wide.u32 %t, %i, 4, %t;
    ld.global.u32 %a, [%t];
    add.u32 %a, %a, 1;
    ld.param.u64 %t, [d_];
    mad.wide.u32 %t, %i, 4, %t;
    st.global.u32 [%t], %a;
    ret;
}
";
    let with = |comment: &str| failures(&format!("{comment}\n{kernel}"));
    assert_eq!(
        with("// run: inc(u32 [1, 2]) == u32 [2, 3]"),
        Vec::<String>::new()
    );
    let wrong = with("// run: inc(u32 [1, 2]) == u32 [2, 4]");
    assert_eq!(wrong.len(), 3 * ways().len());
    assert!(wrong[0].contains("element 1 is 0x3, expected 0x4"), "{wrong:?}");
    assert!(with("// run: inc(u32 [1, 2], u32 [0, 0]) faults trap")[0].contains("expected `trap`"));
    let short = with("// run: inc<<<1, 3>>>(u32 [1, 2]) == u32 [2, 3]");
    assert!(short[0].contains("illegal address"), "{short:?}");
    assert!(with("// run: inc(u32 [1, 2]) == u32 [2, 3] or so")[0].contains("what is"));
    assert!(with("// run: inc(u8 [256]) == u32 [2]")[0].contains("not a value"));
    assert_eq!(with("// no test"), ["tests nothing"]);
    assert!(with("// refuses inc: not possible")[0].contains("compiles"));
}
