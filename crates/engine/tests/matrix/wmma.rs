//! `wmma`: fragments are loaded, multiplied and stored. Where elements are in a fragment is nobody's business, so only memory
//! is looked at.

use std::fmt::Write as _;

use crate::common::{Device, params, program, run_all};
use crate::numbers::{Random, bits, element, value};
use crate::{names, total};
use tessera_engine::Geometry;

/// A matrix in memory.
struct Matrix {
    rows: usize,
    columns: usize,
    ty: &'static str,
    row_major: bool,
    /// Elements between rows (columns).
    stride: usize,
    elements: Vec<u64>,
}

impl Matrix {
    fn new(
        rows: usize,
        columns: usize,
        ty: &'static str,
        layout: &str,
        extra: usize,
        r: &mut Random,
        wild: bool,
    ) -> Self {
        let row_major = layout == "row";
        Self {
            rows,
            columns,
            ty,
            row_major,
            stride: extra + if row_major { columns } else { rows },
            elements: (0..rows * columns).map(|_| element(ty, r, wild)).collect(),
        }
    }

    fn at(&self, row: usize, column: usize) -> u64 {
        self.elements[row * self.columns + column]
    }

    fn bit(&self, row: usize, column: usize) -> usize {
        let element = if self.row_major {
            row * self.stride + column
        } else {
            column * self.stride + row
        };
        element * bits(self.ty)
    }

    fn bytes(&self) -> usize {
        let lines = if self.row_major { self.rows } else { self.columns };
        lines * self.stride * bits(self.ty) / 8
    }

    fn image(&self) -> Vec<u8> {
        let mut out = vec![0x5a; self.bytes()];
        for (row, column) in (0..self.rows).flat_map(|i| (0..self.columns).map(move |j| (i, j))) {
            let (at, x, n) = (self.bit(row, column), self.at(row, column), bits(self.ty));
            for i in 0..n {
                let byte = &mut out[(at + i) / 8];
                let bit = 1 << ((at + i) % 8);
                *byte = if x >> i & 1 != 0 {
                    *byte | bit
                } else {
                    *byte & !bit
                };
            }
        }
        out
    }

    fn read(&self, memory: &[u8], row: usize, column: usize) -> u64 {
        let at = self.bit(row, column) / 8;
        let bytes = &memory[at..at + bits(self.ty) / 8];
        bytes.iter().rev().fold(0, |v, b| v << 8 | u64::from(*b))
    }
}

#[derive(Clone, Copy, Debug)]
struct Case {
    shape: (usize, usize, usize),
    a: &'static str,
    b: &'static str,
    c: &'static str,
    d: &'static str,
    /// Layouts of A, B, and of C and D.
    layouts: [&'static str; 3],
    space: &'static str,
    /// More elements between rows than there must be; without, no stride is written.
    extra: usize,
    /// `.satfinite`, or the operation on bits.
    more: &'static str,
}

/// Registers of a fragment.
fn count(case: &Case, role: char, ty: &str) -> usize {
    let (m, n, k) = case.shape;
    match role {
        'a' | 'b' if ty == "f16" => 8,
        'a' => m * k * bits(ty) / 32 / bits(ty).max(32),
        'b' => n * k * bits(ty) / 32 / bits(ty).max(32),
        _ => m * n * bits(ty) / 32 / bits(ty).max(32),
    }
}

fn mma(case: &Case) -> String {
    let (m, n, k) = case.shape;
    let Case {
        a,
        b,
        c,
        d,
        more,
        layouts: [la, lb, _],
        ..
    } = case;
    let (op, sat) = if *a == "b1" {
        (format!(".{more}.popc"), "")
    } else {
        (String::new(), *more)
    };
    let types = match *a {
        "f16" => format!("{d}.{c}"),
        _ => format!("{d}.{a}.{b}.{c}"),
    };
    let operands =
        [('d', *d), ('a', *a), ('b', *b), ('c', *c)].map(|(x, ty)| names(&x.to_string(), count(case, x, ty)));
    format!(
        "wmma.mma{op}.sync.aligned.{la}.{lb}.m{m}n{n}k{k}.{types}{sat} {};",
        operands.join(", ")
    )
}

/// The kernel: matrices go through shared memory where that is the space.
fn text(case: &Case, sizes: [usize; 4], strides: [usize; 4]) -> String {
    let (m, n, k) = case.shape;
    let shared = case.space == ".shared";
    let [la, lb, lc] = case.layouts;
    let mut body = String::new();
    let roles = [
        ('a', case.a, la),
        ('b', case.b, lb),
        ('c', case.c, lc),
        ('d', case.d, lc),
    ];
    for ((role, ty, _), size) in roles.iter().zip(sizes) {
        let width = if *ty == "f64" { 64 } else { 32 };
        let _ = writeln!(body, ".reg .b{width} %{role}<{}>;", count(case, *role, ty) + 1);
        let _ = writeln!(body, ".reg .b64 %p{role};\nld.param.u64 %p{role}, [p{role}];");
        if shared {
            let _ = writeln!(
                body,
                ".shared .align 32 .b8 room{role}[{size}];\n.reg .b32 %s{role};\nmov.u32 %s{role}, room{role};"
            );
            body += &copy(*role, size, false);
        }
    }
    body += "bar.sync 0;\n";
    for ((role, ty, layout), stride) in roles.into_iter().zip(strides) {
        let address = if shared {
            format!("%s{role}")
        } else {
            format!("%p{role}")
        };
        if role == 'd' && !shared {
            // Every warp has a result of its own.
            let size = sizes[3].next_multiple_of(256);
            let _ = writeln!(
                body,
                "mov.u32 %i, %tid.x;\nshr.u32 %i, %i, 5;\nmad.wide.u32 %pd, %i, {size}, %pd;"
            );
        }
        let stride = if case.extra > 0 {
            format!(", {stride}")
        } else {
            String::new()
        };
        let registers = names(&role.to_string(), count(case, role, ty));
        if role == 'd' {
            let _ = writeln!(body, "{}", mma(case));
            let _ = writeln!(
                body,
                "wmma.store.d.sync.aligned.{layout}.m{m}n{n}k{k}{}.{ty} [{address}], {registers}{stride};",
                case.space
            );
        } else {
            let _ = writeln!(
                body,
                "wmma.load.{role}.sync.aligned.{layout}.m{m}n{n}k{k}{}.{ty} {registers}, [{address}]{stride};",
                case.space
            );
        }
    }
    if shared {
        body += "bar.sync 0;\n";
        body += &copy('d', sizes[3], true);
    }
    format!(
        ".version 8.7\n.target sm_90\n.address_size 64\n.visible .entry k(.param .u64 pd, .param .u64 pa, .param .u64 pb, .param \
         .u64 pc)\n{{\n.reg .b32 %i, %x, %t;\n.reg .b64 %q;\n.reg .pred %more;\n{body}ret;\n}}\n"
    )
}

/// Copies a matrix between global and shared memory, bytes by all lanes.
fn copy(role: char, size: usize, back: bool) -> String {
    let (from, to) = if back {
        ("shared", "global")
    } else {
        ("global", "shared")
    };
    let address = |space: &str| if space == "global" { "%q" } else { "%t" };
    format!(
        "mov.u32 %i, %tid.x;\n{to}{role}:\ncvt.u64.u32 %q, %i;\nadd.u64 %q, %q, %p{role};\nadd.u32 %t, %i, %s{role};\n\
         ld.{from}.u8 %x, [{}];\nst.{to}.u8 [{}], %x;\nadd.u32 %i, %i, 32;\nsetp.lt.u32 %more, %i, {size};\n@%more bra {to}{role};\n",
        address(from),
        address(to)
    )
}

fn check(case: Case, wild: bool, seed: u64) {
    let mut r = Random(seed);
    let (m, n, k) = case.shape;
    let [la, lb, lc] = case.layouts;
    let a = Matrix::new(m, k, case.a, la, case.extra, &mut r, wild);
    let b = Matrix::new(k, n, case.b, lb, case.extra, &mut r, wild);
    let c = Matrix::new(m, n, case.c, lc, case.extra, &mut r, wild);
    let d = Matrix::new(m, n, case.d, lc, case.extra, &mut r, wild);
    let all = [&a, &b, &c, &d];
    let mut device = Device::default();
    let text = text(&case, all.map(Matrix::bytes), all.map(|x| x.stride));
    let program = program(&mut device, &text, "k");
    // D lies in an allocation that ends with its last element.
    let second = d.bytes().next_multiple_of(256);
    let warps = if case.space == ".shared" { 1 } else { 2 };
    let mut at = all.map(|x| device.upload(&x.image()));
    if warps == 2 {
        let mut both = d.image();
        both.resize(second, 0);
        both.extend(d.image());
        at[3] = device.upload(&both);
    }
    run_all(
        &device,
        &program,
        Geometry::new([1, 1, 1], [warps * 32, 1, 1]),
        &params(&[at[3], at[0], at[1], at[2]]),
    );
    for warp in 0..warps {
        let memory = device.read(at[3] + u64::from(warp) * second as u64, d.bytes());
        compare(&case, [&a, &b, &c, &d], &memory);
    }
}

/// Compares a result in memory with the product.
fn compare(case: &Case, [a, b, c, d]: [&Matrix; 4], memory: &[u8]) {
    let (m, n, k) = case.shape;
    for (row, column) in (0..m).flat_map(|i| (0..n).map(move |j| (i, j))) {
        let pair = |i: usize| {
            let (x, y) = (a.at(row, i), b.at(i, column));
            match case.more {
                "and" => ((x & y) as f64, 1.0),
                "xor" => ((x ^ y) as f64, 1.0),
                _ => (value(case.a, x), value(case.b, y)),
            }
        };
        let c = (case.c, c.at(row, column));
        let want = total(case.d, case.more == ".satfinite", c, (0..k).map(pair));
        let got = d.read(memory, row, column);
        assert_eq!(
            got, want,
            "{case:?} row {row} column {column}: {got:#x}, {want:#x}"
        );
    }
}

const SHAPES: [(usize, usize, usize); 3] = [(16, 16, 16), (32, 8, 16), (8, 32, 16)];

fn kinds() -> Vec<Case> {
    let mut all = Vec::new();
    let mut add = |shape, a, b, c, d, more| {
        all.push(Case {
            shape,
            a,
            b,
            c,
            d,
            layouts: ["row", "col", "row"],
            space: "",
            extra: 0,
            more,
        });
    };
    for shape in SHAPES {
        for (c, d) in [("f32", "f32"), ("f16", "f16"), ("f16", "f32"), ("f32", "f16")] {
            add(shape, "f16", "f16", c, d, "");
        }
        add(shape, "f16", "f16", "f16", "f16", ".satfinite");
        add(shape, "f16", "f16", "f32", "f32", ".satfinite");
        add(shape, "bf16", "bf16", "f32", "f32", "");
        for ty in ["s8", "u8"] {
            add(shape, ty, ty, "s32", "s32", "");
            add(shape, ty, ty, "s32", "s32", ".satfinite");
        }
    }
    add((16, 16, 8), "tf32", "tf32", "f32", "f32", "");
    add((8, 8, 4), "f64", "f64", "f64", "f64", "");
    for ty in ["s4", "u4"] {
        add((8, 8, 32), ty, ty, "s32", "s32", "");
        add((8, 8, 32), ty, ty, "s32", "s32", ".satfinite");
    }
    for op in ["xor", "and"] {
        add((8, 8, 128), "b1", "b1", "s32", "s32", op);
    }
    all
}

#[test]
fn fragments_are_loaded_multiplied_and_stored() {
    for (i, case) in kinds().into_iter().enumerate() {
        let narrow = bits(case.a) < 8;
        let mut variants = vec![
            (["row", "col", "row"], "", 0),
            (["row", "col", "col"], ".global", 32),
        ];
        if !narrow {
            variants.push((["col", "row", "row"], ".shared", 32));
            variants.push((["row", "row", "col"], ".shared", 0));
            variants.push((["col", "col", "col"], "", 16));
        }
        for (layouts, space, extra) in variants {
            // Elements below a byte have strides of whole words.
            let extra = if narrow { extra * 4 } else { extra };
            let case = Case {
                layouts,
                space,
                extra,
                ..case
            };
            check(case, false, i as u64 * 2 + 1);
            check(case, true, i as u64 * 2 + 2);
        }
    }
}
