//! Where the elements of a fragment belong, as the tables of the PTX manual say.

use crate::numbers::bits;

/// One form of `mma`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) m: usize,
    pub(crate) n: usize,
    pub(crate) k: usize,
    pub(crate) a: &'static str,
    pub(crate) b: &'static str,
    pub(crate) c: &'static str,
    pub(crate) d: &'static str,
    pub(crate) sat: bool,
}

/// Row and column of element `i` of A in a lane.
pub(crate) fn place_a(case: &Case, lane: usize, i: usize) -> (usize, usize) {
    let (group, thread) = (lane >> 2, lane % 4);
    let upper = |second: bool| if second { group + 8 } else { group };
    match (case.m, bits(case.a), case.k) {
        (8, 64, 4) => (group, thread),
        (8, 8, 16) => (group, thread * 4 + i),
        (8, 4, 32) => (group, thread * 8 + i),
        (8, 1, 128) => (group, thread * 32 + i),
        (16, 64, 4) | (16, 32, 4) => (upper(i == 1), thread),
        (16, 64, 8) | (16, 32, 8) => (upper(i == 1 || i == 3), if i < 2 { thread } else { thread + 4 }),
        (16, 64, 16) => (upper(i % 2 == 1), i / 2 * 4 + thread),
        (16, 16, 8) => (upper(i >= 2), thread * 2 + (i & 1)),
        (16, 16, 16) => (
            upper(!(i < 2 || (4..6).contains(&i))),
            thread * 2 + (i & 1) + if i >= 4 { 8 } else { 0 },
        ),
        (16, 8, 16) => (upper(i >= 4), thread * 4 + (i & 3)),
        (16, 8, 32) => (
            upper(!(i < 4 || (8..12).contains(&i))),
            thread * 4 + (i & 3) + if i >= 8 { 16 } else { 0 },
        ),
        (16, 4, 32) => (upper(i >= 8), thread * 8 + (i & 7)),
        (16, 4, 64) => (
            upper(!(i < 8 || (16..24).contains(&i))),
            thread * 8 + (i & 7) + if i >= 16 { 32 } else { 0 },
        ),
        (16, 1, 128) => (upper(i >= 32), thread * 32 + (i & 31)),
        (16, 1, 256) => (
            upper(!(i < 32 || (64..96).contains(&i))),
            thread * 32 + (i & 31) + if i >= 64 { 128 } else { 0 },
        ),
        other => panic!("{other:?}"),
    }
}

/// Row and column of element `i` of B in a lane.
pub(crate) fn place_b(case: &Case, lane: usize, i: usize) -> (usize, usize) {
    let (group, thread) = (lane >> 2, lane % 4);
    let row = match (bits(case.b), case.k) {
        (64 | 32, _) => thread + 4 * i,
        (16, 8) => thread * 2 + i,
        (16, 16) => thread * 2 + (i & 1) + if i >= 2 { 8 } else { 0 },
        (8, 16) => thread * 4 + i,
        (8, 32) => thread * 4 + (i & 3) + if i >= 4 { 16 } else { 0 },
        (4, 32) => thread * 8 + i,
        (4, 64) => thread * 8 + (i & 7) + if i >= 8 { 32 } else { 0 },
        (1, 128) => thread * 32 + i,
        (1, 256) => thread * 32 + (i & 31) + if i >= 32 { 128 } else { 0 },
        other => panic!("{other:?}"),
    };
    (row, group)
}

/// Row and column of element `i` of C or D in a lane.
pub(crate) fn place_c(case: &Case, lane: usize, i: usize) -> (usize, usize) {
    let (group, thread) = (lane >> 2, lane % 4);
    let row = if case.m == 16 && i >= 2 { group + 8 } else { group };
    (row, thread * 2 + (i & 1))
}

/// Registers of 32 (64 for `f64`) bits that a lane holds of a matrix.
pub(crate) fn registers(elements: usize, ty: &str) -> usize {
    (elements / 32 * bits(ty)).div_ceil(bits(ty).max(32))
}

/// Deals a matrix out: register images, by register and lane.
pub(crate) fn deal(
    ty: &str,
    elements: usize,
    place: impl Fn(usize, usize) -> (usize, usize),
    get: impl Fn(usize, usize) -> u64,
) -> Vec<u8> {
    let count = registers(elements, ty);
    let width = bits(ty).max(32);
    let mut out = vec![0u64; count * 32];
    for lane in 0..32 {
        for i in 0..elements / 32 {
            let (row, column) = place(lane, i);
            let at = i * bits(ty);
            out[at / width * 32 + lane] |= get(row, column) << (at % width);
        }
    }
    out.iter()
        .flat_map(|x| x.to_le_bytes()[..width / 8].to_vec())
        .collect()
}

/// Collects a matrix.
pub(crate) fn collect(
    ty: &str,
    elements: usize,
    columns: usize,
    place: impl Fn(usize, usize) -> (usize, usize),
    image: &[u8],
) -> Vec<u64> {
    let width = bits(ty).max(32);
    let mut out = vec![0; elements];
    for lane in 0..32 {
        for i in 0..elements / 32 {
            let (row, column) = place(lane, i);
            let at = i * bits(ty);
            let byte = (at / width * 32 + lane) * width / 8;
            let word = image[byte..byte + width / 8]
                .iter()
                .rev()
                .fold(0u64, |v, b| v << 8 | u64::from(*b));
            out[row * columns + column] = word >> (at % width) & (u64::MAX >> (64 - bits(ty)));
        }
    }
    out
}
