//! `mma.sp`: where the elements that are given belong, as the figures of the PTX manual say.

use crate::common::{Device, params, program, run_all};
use crate::layout::{Case, collect, deal, place_a, place_c, registers};
use crate::numbers::{Random, bits, element, value};
use crate::{kernel, names, total};
use tessera_engine::Geometry;

/// Row and column of element `i` of B, whose fragments have words of four lanes below each other.
fn place_b(ty: &str, lane: usize, i: usize) -> (usize, usize) {
    let per = 32 / bits(ty);
    ((i / per * 4 + lane % 4) * per + i % per, lane / 4)
}

/// Lane of a group of four, and first bit, where the choice of chunk `chunk` (of four elements, or two of `tf32`, or eight of four
/// bits) of row `row` is found; four bits each.
fn choice_at(case: &Case, row: usize, chunk: usize, selector: usize) -> (usize, usize) {
    let upper = row >= 8;
    match (bits(case.a), case.k) {
        // One lane has both rows.
        (16, 16) | (32, 8) => (selector, chunk * 4 + if upper { 16 } else { 0 }),
        // Two lanes have half of the columns each, of both rows.
        (16, 32) | (32, 16) => (
            selector * 2 + chunk / 4,
            chunk % 4 * 4 + if upper { 16 } else { 0 },
        ),
        // Two lanes have a row each.
        (8, 32) | (4, 64) => (selector * 2 + usize::from(upper), chunk * 4),
        // Four lanes have half of the columns of a row each.
        (8, 64) | (4, 128) => (chunk / 8 * 2 + usize::from(upper), chunk % 8 * 4),
        other => panic!("{other:?}"),
    }
}

/// Which columns of a row are given, and the register that says so.
fn choose(case: &Case, selector: usize, r: &mut Random) -> (Vec<Vec<usize>>, Vec<u32>) {
    let mut choice: Vec<u32> = (0..32).map(|_| r.next() as u32).collect();
    let mut columns = vec![Vec::new(); case.m];
    let chunk_size = match bits(case.a) {
        32 => 2,
        4 => 8,
        _ => 4,
    };
    for (row, columns) in columns.iter_mut().enumerate() {
        for chunk in 0..case.k / chunk_size {
            let (code, given): (u32, Vec<usize>) = if chunk_size == 2 {
                [(0b0100, vec![0]), (0b1110, vec![1])][r.next() as usize % 2].clone()
            } else {
                let pairs = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)];
                let (x, y) = pairs[r.next() as usize % 6];
                let given = if chunk_size == 8 {
                    vec![2 * x, 2 * x + 1, 2 * y, 2 * y + 1]
                } else {
                    vec![x, y]
                };
                (x as u32 | (y as u32) << 2, given)
            };
            columns.extend(given.iter().map(|c| chunk * chunk_size + c));
            let (thread, bit) = choice_at(case, row, chunk, selector);
            let word = &mut choice[row % 8 * 4 + thread];
            *word = *word & !(15 << bit) | code << bit;
        }
    }
    (columns, choice)
}

#[allow(
    clippy::too_many_lines,
    reason = "one product from operands to comparison: parts would share all of its values"
)]
fn check(case: Case, ordered: bool, selector: usize, wild: bool, seed: u64) {
    let mut r = Random(seed);
    let Case { m, n, k, .. } = case;
    let mut matrix = |ty, count| {
        (0..count)
            .map(|_| element(ty, &mut r, wild))
            .collect::<Vec<u64>>()
    };
    let (a, b, c) = (
        matrix(case.a, m * k / 2),
        matrix(case.b, k * n),
        matrix(case.c, m * n),
    );
    let (columns, choice) = choose(&case, selector, &mut r);
    // What is given is dealt out as a matrix of half the columns.
    let stored = Case { k: k / 2, ..case };
    let images = [
        deal(
            case.a,
            m * k / 2,
            |l, i| place_a(&stored, l, i),
            |row, column| a[row * k / 2 + column],
        ),
        deal(
            case.b,
            k * n,
            |l, i| place_b(case.b, l, i),
            |row, column| b[row * n + column],
        ),
        deal(
            case.c,
            m * n,
            |l, i| place_c(&case, l, i),
            |row, column| c[row * n + column],
        ),
        choice.iter().flat_map(|x| x.to_le_bytes()).collect(),
    ];
    let (na, nb) = (registers(m * k / 2, case.a), registers(k * n, case.b));
    let (nc, nd) = (registers(m * n, case.c), registers(m * n, case.d));
    let variant = if ordered { "sp::ordered_metadata" } else { "sp" };
    let sat = if case.sat { ".satfinite" } else { "" };
    let Case {
        a: ta,
        b: tb,
        c: tc,
        d: td,
        ..
    } = case;
    let spelling = format!("mma.{variant}.sync.aligned.m{m}n{n}k{k}.row.col{sat}.{td}.{ta}.{tb}.{tc}");
    let operands = [("d", nd), ("a", na), ("b", nb), ("c", nc)].map(|(name, count)| names(name, count));
    let text = format!("{spelling} {}, %e0, {selector};", operands.join(", "));
    let inputs = [("a", na, 32), ("b", nb, 32), ("c", nc, 32), ("e", 1, 32)];
    let mut device = Device::default();
    let program = program(&mut device, &kernel(&inputs, (nd, 32), &text), "k");
    let at: Vec<u64> = images.iter().map(|image| device.upload(image)).collect();
    let out = device.alloc(nd * 128);
    let list = [&[out], &at[..]].concat();
    run_all(
        &device,
        &program,
        Geometry::new([1, 1, 1], [64, 1, 1]),
        &params(&list),
    );
    let got = collect(
        case.d,
        m * n,
        n,
        |l, i| place_c(&case, l, i),
        &device.read(out, nd * 128),
    );
    for (i, got) in got.iter().enumerate() {
        let (row, column) = (i / n, i % n);
        let pairs = columns[row].iter().enumerate().map(|(at, k)| {
            (
                value(case.a, a[row * case.k / 2 + at]),
                value(case.b, b[k * n + column]),
            )
        });
        let want = total(case.d, case.sat, (case.c, c[i]), pairs);
        assert_eq!(
            *got, want,
            "{spelling} {selector}: row {row} column {column}: {got:#x}, {want:#x}"
        );
    }
}

#[test]
fn sparse_products() {
    let mut cases = Vec::new();
    let mut add = |k, a, b, c, d, sat, selectors| {
        cases.push((
            Case {
                m: 16,
                n: 8,
                k,
                a,
                b,
                c,
                d,
                sat,
            },
            selectors,
        ));
    };
    for (k, selectors) in [(16, 4), (32, 2)] {
        add(k, "f16", "f16", "f32", "f32", false, selectors);
        add(k, "f16", "f16", "f16", "f16", false, selectors);
        add(k, "bf16", "bf16", "f32", "f32", false, selectors);
        add(k / 2, "tf32", "tf32", "f32", "f32", false, selectors);
    }
    for (k, selectors) in [(32, 2), (64, 1)] {
        for (a, b) in [("s8", "s8"), ("u8", "s8"), ("s8", "u8"), ("u8", "u8")] {
            add(k, a, b, "s32", "s32", a != b, selectors);
        }
        for (a, b) in [("s4", "s4"), ("u4", "s4"), ("s4", "u4"), ("u4", "u4")] {
            add(k * 2, a, b, "s32", "s32", a != b, selectors);
        }
    }
    for (a, b) in [
        ("e4m3", "e4m3"),
        ("e5m2", "e4m3"),
        ("e4m3", "e5m2"),
        ("e5m2", "e5m2"),
    ] {
        add(64, a, b, "f32", "f32", false, 1);
        add(64, a, b, "f16", "f16", false, 1);
    }
    for (i, (case, selectors)) in cases.into_iter().enumerate() {
        for selector in 0..selectors {
            check(case, false, selector, false, i as u64 * 10 + 1);
            check(case, true, selector, true, i as u64 * 10 + 2);
        }
    }
}
