//! `mma.m8n8k4` of halves: four products in the lanes of four quarters.

use crate::common::{Device, params, program, run_all};
use crate::numbers::{Random, element, value};
use crate::{kernel, names, total};
use tessera_engine::Geometry;

fn place_a(layout: &str, lane: usize, i: usize) -> (usize, usize) {
    let upper = if lane < 16 { 0 } else { 4 };
    if layout == "row" {
        (lane % 4 + upper, i)
    } else {
        (i + upper, lane % 4)
    }
}

fn place_b(layout: &str, lane: usize, i: usize) -> (usize, usize) {
    let upper = if lane < 16 { 0 } else { 4 };
    if layout == "row" {
        (lane % 4, i + upper)
    } else {
        (i, lane % 4 + upper)
    }
}

fn place_c(ty: &str, lane: usize, i: usize) -> (usize, usize) {
    let upper = if lane < 16 { 0 } else { 4 };
    if ty == "f16" {
        (lane % 4 + upper, i)
    } else {
        ((lane & 1) + (i & 2) + upper, (i & 4) + (lane & 2) + (i & 1))
    }
}

/// Registers of a warp from the elements of every lane.
fn image(ty: &str, count: usize, get: impl Fn(usize, usize) -> u64) -> Vec<u8> {
    let per = if ty == "f16" { 2 } else { 1 };
    let mut out = vec![0u32; count / per * 32];
    for lane in 0..32 {
        for i in 0..count {
            out[i / per * 32 + lane] |= (get(lane, i) as u32) << (16 * (i % per));
        }
    }
    out.iter().flat_map(|x| x.to_le_bytes()).collect()
}

fn check(la: &str, lb: &str, c: &str, d: &str, wild: bool, seed: u64) {
    let mut r = Random(seed);
    // One after the other: the matrices of the four quarters.
    let mut matrix = |ty, count| {
        (0..4 * count)
            .map(|_| element(ty, &mut r, wild))
            .collect::<Vec<u64>>()
    };
    let (ma, mb, mc) = (matrix("f16", 32), matrix("f16", 32), matrix(c, 64));
    let quarter = |lane: usize| lane % 16 / 4;
    let images = [
        image("f16", 4, |l, i| {
            let (row, k) = place_a(la, l, i);
            ma[quarter(l) * 32 + row * 4 + k]
        }),
        image("f16", 4, |l, i| {
            let (k, column) = place_b(lb, l, i);
            mb[quarter(l) * 32 + k * 8 + column]
        }),
        image(c, 8, |l, i| {
            let (row, column) = place_c(c, l, i);
            mc[quarter(l) * 64 + row * 8 + column]
        }),
    ];
    let count = |ty: &str| if ty == "f16" { 4 } else { 8 };
    let spelling = format!("mma.sync.aligned.m8n8k4.{la}.{lb}.{d}.f16.f16.{c}");
    let operands = [("d", count(d)), ("a", 2), ("b", 2), ("c", count(c))].map(|(name, n)| names(name, n));
    let inputs = [("a", 2, 32), ("b", 2, 32), ("c", count(c), 32)];
    let text = kernel(
        &inputs,
        (count(d), 32),
        &format!("{spelling} {};", operands.join(", ")),
    );
    let mut device = Device::default();
    let program = program(&mut device, &text, "k");
    let at: Vec<u64> = images.iter().map(|image| device.upload(image)).collect();
    let out = device.alloc(count(d) * 128);
    run_all(
        &device,
        &program,
        Geometry::new([1, 1, 1], [64, 1, 1]),
        &params(&[out, at[0], at[1], at[2]]),
    );
    let got: Vec<u32> = device.download(out, count(d) * 32);
    for (lane, i) in (0..32).flat_map(|lane| (0..8).map(move |i| (lane, i))) {
        let (row, column) = place_c(d, lane, i);
        let q = quarter(lane);
        let pairs = (0..4).map(|k| {
            (
                value("f16", ma[q * 32 + row * 4 + k]),
                value("f16", mb[q * 32 + k * 8 + column]),
            )
        });
        let want = total(d, false, (c, mc[q * 64 + row * 8 + column]), pairs);
        let got = if d == "f16" {
            got[i / 2 * 32 + lane] >> (16 * (i % 2)) & 0xffff
        } else {
            got[i * 32 + lane]
        };
        assert_eq!(u64::from(got), want, "{spelling} lane {lane} element {i}");
    }
}

#[test]
fn products_of_quarters() {
    for (la, lb) in [("row", "col"), ("row", "row"), ("col", "row"), ("col", "col")] {
        for (c, d) in [("f32", "f32"), ("f16", "f16"), ("f16", "f32")] {
            check(la, lb, c, d, false, 5);
            check(la, lb, c, d, true, 6);
        }
    }
}
