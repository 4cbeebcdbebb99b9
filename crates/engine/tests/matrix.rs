//! Matrix instructions against the layouts of the PTX manual, written down here once more, and a plain triple loop.
//!
//! Every case fills random matrices, deals their elements out to lanes and registers as the manual's figures say, runs the
//! instruction in every way that the engine has, and collects the result the same way.

#![allow(missing_docs, reason = "test code")]

mod common;
#[path = "matrix/layout.rs"]
mod layout;
#[path = "matrix/numbers.rs"]
mod numbers;
#[path = "matrix/quarters.rs"]
mod quarters;
#[path = "matrix/sparse.rs"]
mod sparse;
#[path = "matrix/speed.rs"]
mod speed;
#[path = "matrix/wmma.rs"]
mod wmma;

use std::fmt::Write as _;

use common::{Device, params, program, run_all};
use layout::{Case, collect, deal, place_a, place_b, place_c, registers};
use numbers::{Random, bits, element, value};
use tessera_engine::Geometry;

/// A kernel that loads the registers of its inputs, runs `text` and stores those of `d`. `inputs` are names and numbers of
/// registers.
pub(crate) fn kernel(inputs: &[Input], d: (usize, usize), text: &str) -> String {
    let mut body = String::new();
    let mut declare = String::new();
    let mut list = String::from(".param .u64 pd");
    for (name, count, width) in inputs {
        let _ = writeln!(declare, ".reg .b{width} %{name}<{}>;", count + 1);
        let _ = write!(list, ", .param .u64 p{name}");
        let _ = writeln!(
            body,
            "ld.param.u64 %p, [p{name}];\nmad.wide.u32 %p, %l, {}, %p;",
            width / 8
        );
        for i in 0..*count {
            let _ = writeln!(body, "ld.global.b{width} %{name}{i}, [%p+{}];", i * 4 * width);
        }
    }
    let (count, width) = d;
    let _ = writeln!(declare, ".reg .b{width} %d<{}>;", count + 1);
    let _ = writeln!(
        body,
        "{text}\nld.param.u64 %p, [pd];\nmad.wide.u32 %p, %l, {}, %p;",
        width / 8
    );
    for i in 0..count {
        let _ = writeln!(body, "st.global.b{width} [%p+{}], %d{i};", i * 4 * width);
    }
    format!(
        ".version 8.7\n.target sm_120a\n.address_size 64\n.visible .entry k({list})\n{{\n.reg .b32 %l;\n.reg .b64 %p;\n{declare}\
        mov.u32 %l, %laneid;\n{body}ret;\n}}\n"
    )
}

pub(crate) fn names(name: &str, count: usize) -> String {
    let all: Vec<String> = (0..count).map(|i| format!("%{name}{i}")).collect();
    format!("{{{}}}", all.join(", "))
}

/// The bits of a sum of type `ty`: products added to `c` in order, as the engine documents.
pub(crate) fn total(
    ty: &str,
    sat: bool,
    (c_type, c): (&str, u64),
    pairs: impl Iterator<Item = (f64, f64)>,
) -> u64 {
    match ty {
        "s32" => {
            let exact = pairs.map(|(a, b)| (a * b) as i64).sum::<i64>() + i64::from(c as u32 as i32);
            let clamped = exact.clamp(i64::from(i32::MIN), i64::from(i32::MAX));
            u64::from(if sat { clamped as u32 } else { exact as u32 })
        }
        "f64" => {
            let sum = pairs.fold(f64::from_bits(c), |sum, (a, b)| a.mul_add(b, sum));
            if sum.is_nan() {
                0xfff8_0000_0000_0000
            } else {
                sum.to_bits()
            }
        }
        narrow => {
            let c = value(c_type, c) as f32;
            let mut sum = pairs.fold(c, |sum, (a, b)| (a as f32).mul_add(b as f32, sum));
            if sat {
                let most = if narrow == "f16" { 65504.0 } else { f32::MAX };
                sum = if sum.is_nan() { 0.0 } else { sum.clamp(-most, most) };
            }
            match narrow {
                "f16" if sum.is_nan() => 0x7fff,
                "f16" => u64::from(half::f16::from_f32(sum).to_bits()),
                _ if sum.is_nan() => 0x7fff_ffff,
                _ => u64::from(sum.to_bits()),
            }
        }
    }
}

/// What D must be, in the arithmetic that the engine documents.
pub(crate) fn expected(case: &Case, a: &[u64], b: &[u64], c: &[u64]) -> Vec<u64> {
    let mut d = Vec::new();
    for row in 0..case.m {
        for column in 0..case.n {
            let c = c[row * case.n + column];
            let pairs = (0..case.k).map(|k| {
                (
                    value(case.a, a[row * case.k + k]),
                    value(case.b, b[k * case.n + column]),
                )
            });
            d.push(total(case.d, case.sat, (case.c, c), pairs));
        }
    }
    d
}

fn spelling(case: &Case) -> String {
    let sat = if case.sat { ".satfinite" } else { "" };
    let Case {
        m, n, k, a, b, c, d, ..
    } = case;
    format!("mma.sync.aligned.m{m}n{n}k{k}.row.col{sat}.{d}.{a}.{b}.{c}")
}

/// Name, number and width of the registers of an input.
pub(crate) type Input = (&'static str, usize, usize);

/// The instruction with its registers, and the registers of its inputs and its result.
fn instruction(case: &Case, spelling: &str) -> (String, [Input; 3], (usize, usize)) {
    let Case { m, n, k, .. } = *case;
    let width = |ty| bits(ty).max(32);
    let (na, nb) = (registers(m * k, case.a), registers(k * n, case.b));
    let (nc, nd) = (registers(m * n, case.c), registers(m * n, case.d));
    let operands = [("d", nd), ("a", na), ("b", nb), ("c", nc)].map(|(name, count)| names(name, count));
    let text = format!("{spelling} {};", operands.join(", "));
    let inputs = [
        ("a", na, width(case.a)),
        ("b", nb, width(case.b)),
        ("c", nc, width(case.c)),
    ];
    (text, inputs, (nd, width(case.d)))
}

fn check(case: Case, wild: bool, seed: u64) {
    check_with(case, &spelling(&case), wild, seed, |a, b, c| {
        expected(&case, a, b, c)
    });
}

fn check_with(
    case: Case,
    spelling: &str,
    wild: bool,
    seed: u64,
    want: impl Fn(&[u64], &[u64], &[u64]) -> Vec<u64>,
) {
    let mut r = Random(seed);
    let Case { m, n, k, .. } = case;
    let mut matrix = |ty, count| {
        (0..count)
            .map(|_| element(ty, &mut r, wild))
            .collect::<Vec<u64>>()
    };
    let (a, b, c) = (
        matrix(case.a, m * k),
        matrix(case.b, k * n),
        matrix(case.c, m * n),
    );
    let images = [
        deal(
            case.a,
            m * k,
            |l, i| place_a(&case, l, i),
            |row, column| a[row * k + column],
        ),
        deal(
            case.b,
            k * n,
            |l, i| place_b(&case, l, i),
            |row, column| b[row * n + column],
        ),
        deal(
            case.c,
            m * n,
            |l, i| place_c(&case, l, i),
            |row, column| c[row * n + column],
        ),
    ];
    let (text, inputs, result) = instruction(&case, spelling);
    let mut device = Device::default();
    let program = program(&mut device, &kernel(&inputs, result, &text), "k");
    let at: Vec<u64> = images.iter().map(|image| device.upload(image)).collect();
    let size = result.0 * 32 * result.1 / 8;
    let out = device.alloc(size);
    // Three warps do the same.
    let geometry = Geometry::new([1, 1, 1], [96, 1, 1]);
    run_all(&device, &program, geometry, &params(&[out, at[0], at[1], at[2]]));
    let got = collect(
        case.d,
        m * n,
        n,
        |l, i| place_c(&case, l, i),
        &device.read(out, size),
    );
    for (i, (got, want)) in got.iter().zip(&want(&a, &b, &c)).enumerate() {
        let (row, column) = (i / n, i % n);
        assert_eq!(
            got, want,
            "{spelling} row {row} column {column}: {got:#x}, {want:#x}"
        );
    }
}

fn floats() -> Vec<Case> {
    let mut all = Vec::new();
    let mut add = |m, n, k, a, b, c, d| {
        all.push(Case {
            m,
            n,
            k,
            a,
            b,
            c,
            d,
            sat: false,
        });
    };
    for k in [8, 16] {
        for c in ["f16", "f32"] {
            add(16, 8, k, "f16", "f16", c, c);
        }
        add(16, 8, k, "bf16", "bf16", "f32", "f32");
    }
    for k in [4, 8] {
        add(16, 8, k, "tf32", "tf32", "f32", "f32");
    }
    for (m, k) in [(8, 4), (16, 4), (16, 8), (16, 16)] {
        add(m, 8, k, "f64", "f64", "f64", "f64");
    }
    for k in [16, 32] {
        for a in ["e4m3", "e5m2"] {
            for b in ["e4m3", "e5m2"] {
                add(16, 8, k, a, b, "f32", "f32");
                add(16, 8, k, a, b, "f16", "f16");
            }
        }
    }
    all
}

fn integers() -> Vec<Case> {
    let mut all = Vec::new();
    for (types, shapes) in [
        (["s8", "u8"], [(8, 16), (16, 16), (16, 32)]),
        (["s4", "u4"], [(8, 32), (16, 32), (16, 64)]),
    ] {
        for (m, k) in shapes {
            for a in types {
                for b in types {
                    for sat in [false, true] {
                        all.push(Case {
                            m,
                            n: 8,
                            k,
                            a,
                            b,
                            c: "s32",
                            d: "s32",
                            sat,
                        });
                    }
                }
            }
        }
    }
    all
}

/// Pairs of bits, as numbers: what `.xor` or `.and` makes of them.
fn combined(op: &str, a: u64, b: u64) -> (f64, f64) {
    let bit = if op == "and" { a & b } else { a ^ b };
    (bit as f64, 1.0)
}

#[test]
fn products_of_bits() {
    for (seed, (m, k)) in [(8, 128), (16, 128), (16, 256)].into_iter().enumerate() {
        for op in ["xor", "and"] {
            let case = Case {
                m,
                n: 8,
                k,
                a: "b1",
                b: "b1",
                c: "s32",
                d: "s32",
                sat: false,
            };
            let want = |a: &[u64], b: &[u64], c: &[u64]| {
                let one = |i: usize| {
                    let pairs = (0..k).map(|j| combined(op, a[i / 8 * k + j], b[j * 8 + i % 8]));
                    total("s32", false, ("s32", c[i]), pairs)
                };
                (0..m * 8).map(one).collect()
            };
            let text = format!("{}.{op}.popc", spelling(&case));
            check_with(case, &text, true, 99 + seed as u64, want);
        }
    }
}

#[test]
fn products_of_floats() {
    for (i, case) in floats().into_iter().enumerate() {
        check(case, false, 7 + i as u64);
        check(case, true, 1007 + i as u64);
    }
}

#[test]
fn products_of_integers() {
    for (i, case) in integers().into_iter().enumerate() {
        check(case, false, 7 + i as u64);
        check(case, true, 1007 + i as u64);
    }
}

/// Rows of 16 bytes lie this far apart in shared memory, in an order of their own.
const ROW_STEP: usize = 48;

fn row_at(lane: usize) -> usize {
    lane * 5 % 32 * ROW_STEP
}

/// Half `column` of row `row` of matrix `i`.
fn half_of(shared: &[u8], i: usize, row: usize, column: usize) -> u32 {
    let at = row_at(i * 8 + row) + column * 2;
    u32::from(u16::from_le_bytes([shared[at], shared[at + 1]]))
}

/// What `ldmatrix` gives a lane of matrix `i`.
fn loaded(shared: &[u8], i: usize, lane: usize, transposed: bool) -> u32 {
    let (group, thread) = (lane >> 2, lane % 4);
    let half = |e: usize| {
        if transposed {
            half_of(shared, i, thread * 2 + e, group)
        } else {
            half_of(shared, i, group, thread * 2 + e)
        }
    };
    half(0) | half(1) << 16
}

/// A kernel that fills shared memory from `pa`, runs `text` with row addresses in `%s` (shared) and `%g` (generic), stores
/// registers `%d` to `pd` and shared memory back to `pa`.
fn shared_kernel(n: usize, text: &str) -> String {
    let bytes = 32 * ROW_STEP;
    let mut stores = String::new();
    for i in 0..n {
        let _ = writeln!(stores, "st.global.b32 [%p+{}], %d{i};", i * 128);
    }
    format!(
        ".version 8.7\n.target sm_120a\n.address_size 64\n.visible .entry k(.param .u64 pd, .param .u64 pa)\n{{\n\
        .reg .b32 %l, %s, %x, %i, %d<5>;\n.reg .b64 %p, %q, %g, %b;\n.reg .pred %c;\n.shared .align 16 .b8 room[{bytes}];\n\
        mov.u32 %l, %laneid;\nld.param.u64 %p, [pd];\nmad.wide.u32 %p, %l, 4, %p;\n\
        ld.param.u64 %q, [pa];\nmov.u64 %b, room;\ncvta.shared.u64 %b, %b;\n\
        mov.u32 %i, %l;\nFILL:\nmad.wide.u32 %g, %i, 4, %q;\nld.global.u32 %x, [%g];\nmad.wide.u32 %g, %i, 4, %b;\nst.u32 [%g], %x;\n\
        add.u32 %i, %i, 32;\nsetp.lt.u32 %c, %i, {words};\n@%c bra FILL;\nbar.sync 0;\n\
        mul.lo.u32 %i, %l, 5;\nand.b32 %i, %i, 31;\nmul.lo.u32 %i, %i, {ROW_STEP};\nmov.u32 %s, room;\nadd.u32 %s, %s, %i;\n\
        cvt.u64.u32 %g, %i;\nadd.u64 %g, %g, %b;\n\
        mov.b32 %d0, 7;\nmov.b32 %d1, %l;\nshl.b32 %d2, %l, 20;\nadd.u32 %d2, %d2, %l;\nnot.b32 %d3, %l;\n\
        {text}\n{stores}bar.sync 0;\n\
        mov.u32 %i, %l;\nBACK:\nmad.wide.u32 %g, %i, 4, %b;\nld.u32 %x, [%g];\nmad.wide.u32 %g, %i, 4, %q;\nst.global.u32 [%g], %x;\n\
        add.u32 %i, %i, 32;\nsetp.lt.u32 %c, %i, {words};\n@%c bra BACK;\nret;\n}}\n",
        words = bytes / 4
    )
}

/// Runs a [`shared_kernel`] on one warp and returns registers and shared memory.
fn run_shared(n: usize, text: &str, before: &[u8]) -> (Vec<u32>, Vec<u8>) {
    let mut device = Device::default();
    let program = program(&mut device, &shared_kernel(n, text), "k");
    let (out, a) = (device.alloc(n * 128), device.upload(before));
    run_all(
        &device,
        &program,
        Geometry::new([1, 1, 1], [32, 1, 1]),
        &params(&[out, a]),
    );
    (device.download(out, n * 32), device.read(a, before.len()))
}

fn random_bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut r = Random(seed);
    (0..len).map(|_| r.next() as u8).collect()
}

#[test]
fn matrices_are_loaded() {
    let before = random_bytes(3, 32 * ROW_STEP);
    for (n, transposed, space) in [1, 2, 4]
        .into_iter()
        .flat_map(|n| [(n, false), (n, true)])
        .flat_map(|(n, t)| ["", ".shared", ".shared::cta"].map(|s| (n, t, s)))
    {
        let trans = if transposed { ".trans" } else { "" };
        let address = if space.is_empty() { "%g" } else { "%s" };
        // Compilers write the modifiers in either order.
        for order in [
            format!("ldmatrix.sync.aligned.m8n8.x{n}{trans}{space}.b16"),
            format!("ldmatrix.sync.aligned.x{n}{trans}.m8n8{space}.b16"),
        ] {
            let (got, _) = run_shared(n, &format!("{order} {}, [{address}];", names("d", n)), &before);
            for (at, got) in got.iter().enumerate() {
                assert_eq!(
                    *got,
                    loaded(&before, at / 32, at % 32, transposed),
                    "{order} at {at}"
                );
            }
        }
    }
}

#[test]
fn matrices_are_stored() {
    let before = random_bytes(4, 32 * ROW_STEP);
    for (n, transposed) in [1, 2, 4].into_iter().flat_map(|n| [(n, false), (n, true)]) {
        let trans = if transposed { ".trans" } else { "" };
        let text = format!(
            "stmatrix.sync.aligned.m8n8.x{n}{trans}.shared.b16 [%s], {};",
            names("d", n)
        );
        let (registers, after) = run_shared(n, &text, &before);
        for (at, register) in registers.iter().enumerate() {
            assert_eq!(
                *register,
                loaded(&after, at / 32, at % 32, transposed),
                "{text} at {at}"
            );
        }
        // The rows of other matrices stay.
        for lane in n * 8..32 {
            let at = row_at(lane)..row_at(lane) + 16;
            assert_eq!(before[at.clone()], after[at]);
        }
    }
}

#[test]
fn a_matrix_is_transposed() {
    let before = random_bytes(5, 32 * ROW_STEP);
    let text = "ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%d0}, [%s];\nmovmatrix.sync.aligned.m8n8.trans.b16 %d1, %d0;";
    let (got, _) = run_shared(2, text, &before);
    for lane in 0..32 {
        assert_eq!(got[lane], loaded(&before, 0, lane, false));
        assert_eq!(got[32 + lane], loaded(&before, 0, lane, true));
    }
}
