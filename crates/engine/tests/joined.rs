//! Operations that do what several instructions say, or do it for a chunk of lanes from its first one: the same results as one by
//! one, lane by lane, and the same faults.
#![allow(missing_docs, reason = "test code")]

mod common;

use common::{Device, Hooks, kernel, params, program, run_all, run_with};
use tessera_engine::{Fault, FaultKind, Geometry, Launch, Options};

/// Eight comparisons by order of two values that are affine in the thread's number, as bits of a word.
fn comparisons(a: i32, b: i32) -> String {
    let mut body = format!(
        "ld.param.u64 %rd1, [out]; ld.param.u32 %r1, [a]; ld.param.u32 %r2, [b]; mov.u32 %r3, %tid.x;
        mad.lo.s32 %r4, %r3, {a}, %r1; mad.lo.s32 %r5, %r3, {b}, %r2; mov.u32 %r6, 0;\n"
    );
    for (i, name) in [
        "lt.s32", "le.s32", "gt.s32", "ge.s32", "lt.u32", "le.u32", "gt.u32", "ge.u32",
    ]
    .iter()
    .enumerate()
    {
        body += &format!(
            "setp.{name} %p1, %r4, %r5; selp.u32 %r7, {}, 0, %p1; or.b32 %r6, %r6, %r7;\n",
            1 << i
        );
    }
    body + "mul.wide.u32 %rd2, %r3, 4; add.s64 %rd3, %rd1, %rd2; st.global.u32 [%rd3], %r6; ret;"
}

#[test]
fn affine_values_are_compared_as_their_lanes_are() {
    const THREADS: u32 = 240;
    // Ends of the numbers inside a chunk, at its edge, between two; values that meet, and that never do.
    let bases = [
        0u32,
        1,
        5,
        16,
        100,
        239,
        0x7fff_fff0,
        0x7fff_ffff,
        0x8000_0000,
        0x8000_0007,
        0xffff_ff10,
        0xffff_fff8,
        0xffff_ffff,
    ];
    for (sa, sb) in [
        (1, 0),
        (0, 1),
        (-1, 0),
        (3, 1),
        (1, 1),
        (-2, 5),
        (1 << 25, 0),
        (1, 1 << 27),
        (0, 0),
    ] {
        let mut device = Device::default();
        let text = kernel(
            ".param .u64 out, .param .u64 a, .param .u64 b",
            &comparisons(sa, sb),
        );
        let p = program(&mut device, &text, "k");
        let out = device.alloc(THREADS as usize * 4);
        for (i, a) in bases.into_iter().enumerate() {
            let b = bases[(i * 5 + 3) % bases.len()];
            for (a, b) in [(a, b), (a, a), (a, 120)] {
                let geometry = Geometry::new([1, 1, 1], [THREADS, 1, 1]);
                run_all(&device, &p, geometry, &params(&[out, a.into(), b.into()]));
                let got: Vec<u32> = device.download(out, THREADS as usize);
                for t in 0..THREADS {
                    let x = a.wrapping_add(t.wrapping_mul(sa.cast_unsigned()));
                    let y = b.wrapping_add(t.wrapping_mul(sb.cast_unsigned()));
                    let (s, r) = (x.cast_signed(), y.cast_signed());
                    let want = [s < r, s <= r, s > r, s >= r, x < y, x <= y, x > y, x >= y];
                    let want = want.iter().rev().fold(0, |bits, w| bits << 1 | u32::from(*w));
                    assert_eq!(
                        got[t as usize], want,
                        "thread {t}: {a:#x} + t * {sa} and {b:#x} + t * {sb}"
                    );
                }
            }
        }
    }
}

/// A tile of 16 x 16 sums, each of `n` products of a row of the first half of shared memory and a column of the second; what is
/// loaded, at which offset, is up to `load`.
fn tile(n: u32, load: impl Fn(u32) -> String) -> String {
    let mut body = "ld.param.u64 %rd1, [a]; ld.param.u64 %rd2, [out]; mov.u32 %r1, %tid.x; mov.u32 %r2, %tid.y;
        .shared .align 4 .b8 s[2048]; mov.u32 %r3, s;
        shl.b32 %r4, %r2, 6; shl.b32 %r5, %r1, 2; add.u32 %r6, %r3, %r4; add.u32 %r7, %r3, %r5;
        shl.b32 %r8, %r2, 4; add.u32 %r8, %r8, %r1; mul.wide.u32 %rd3, %r8, 4; add.s64 %rd4, %rd1, %rd3; add.s64 %rd5, %rd2, %rd3;
        add.u32 %r9, %r6, %r5; ld.global.f32 %f1, [%rd4]; st.shared.f32 [%r9], %f1;
        ld.global.f32 %f1, [%rd4+1024]; st.shared.f32 [%r9+1024], %f1; bar.sync 0; mov.f32 %f10, 0f3F800000;\n"
        .to_owned();
    for k in 0..n {
        body += &load(k);
    }
    body + &format!("st.global.f32 [%rd5], %f{}; ret;", 10 + n)
}

fn numbers() -> Vec<f32> {
    (0..512u32)
        .map(|i| match i % 97 {
            13 => f32::NAN,
            14 => f32::from_bits(0xffc1_2345),
            29 => f32::INFINITY,
            31 => -0.0,
            41 => 1e-42,
            _ => ((i * 7919) % 1000) as f32 / 64.0 - 7.0,
        })
        .collect()
}

#[test]
fn products_are_added_up_as_one_by_one() {
    let a = numbers();
    // One load first or the other; offsets that rise and that fall; factors either way round.
    for (swap, fall, turned) in [
        (false, false, false),
        (true, false, true),
        (false, true, true),
        (true, true, false),
    ] {
        let mut device = Device::default();
        let at = |k: u32| if fall { 15 - k } else { k };
        let body = tile(16, |k| {
            let one = format!("ld.shared.f32 %fa{k}, [%r6+{}];", at(k) * 4);
            let row = format!("ld.shared.f32 %fb{k}, [%r7+{}];", 1024 + at(k) * 64);
            let (first, second) = if swap { (row, one) } else { (one, row) };
            let (x, y) = if turned { ("b", "a") } else { ("a", "b") };
            format!(
                ".reg .f32 %fa{k}, %fb{k};\n{first} {second} fma.rn.f32 %f{}, %f{x}{k}, %f{y}{k}, %f{};\n",
                11 + k,
                10 + k
            )
        });
        let p = program(&mut device, &kernel(".param .u64 a, .param .u64 out", &body), "k");
        let (from, out) = (device.upload(&a), device.alloc(1024));
        run_all(
            &device,
            &p,
            Geometry::new([1, 1, 1], [16, 16, 1]),
            &params(&[from, out]),
        );
        let got: Vec<u32> = device.download(out, 256);
        for (i, got) in got.into_iter().enumerate() {
            let (x, y) = (i % 16, i / 16);
            let mut sum = 1f32;
            for k in 0..16 {
                let k = if fall { 15 - k } else { k };
                sum = a[y * 16 + k].mul_add(a[256 + k * 16 + x], sum);
            }
            let want = if sum.is_nan() { 0x7fff_ffff } else { sum.to_bits() };
            assert_eq!(got, want, "sum {y}, {x}: {:e}", f32::from_bits(got));
        }
    }
}

#[test]
fn a_product_that_cannot_be_loaded_faults_where_it_stands() {
    // The second load of the third product: outside of shared memory, not aligned.
    for (offset, kind) in [
        (4096u32, FaultKind::IllegalAddress),
        (1026, FaultKind::MisalignedAddress),
    ] {
        let mut line = None;
        for warps in [1, 8] {
            // Which warps come first after the barrier is up to how they are grouped.
            let mut found: Option<Fault> = None;
            for plain in [false, true] {
                let mut device = Device::default();
                let body = tile(6, |k| {
                    let row = if k == 2 { offset } else { 1024 + k * 64 };
                    format!(
                        "ld.shared.f32 %f3{k}, [%r6+{}];\nld.shared.f32 %f4{k}, [%r7+{row}];\nfma.rn.f32 %f{}, %f3{k}, %f4{k}, %f{};\n",
                        k * 4,
                        11 + k,
                        10 + k
                    )
                });
                let p = program(&mut device, &kernel(".param .u64 a, .param .u64 out", &body), "k");
                let (from, out) = (device.upload(&numbers()), device.alloc(1024));
                let options = Options {
                    warps,
                    plain,
                    ..Options::default()
                };
                let geometry = Geometry::new([1, 1, 1], [16, 16, 1]);
                let launch =
                    Launch::with_options(&p, geometry, &params(&[from, out]), options).expect("legal");
                let fault = *run_with(&device, &Hooks::default(), &launch, 1000, false).expect_err("faults");
                assert_eq!(fault.kind, kind);
                assert_eq!(*line.get_or_insert(fault.line), fault.line, "{options:?}");
                match &found {
                    None => found = Some(fault),
                    Some(first) => assert_eq!(*first, fault, "{options:?}"),
                }
            }
        }
    }
}
