//! How long a product takes, beside the multiply-adds that it consists of: `cargo test --release -p tessera-engine --test matrix -- \
//! --ignored --nocapture speed`.

use std::hint::black_box;
use std::time::Instant;

use crate::common::{Device, Hooks, params, program, run_with};
use tessera_engine::{Geometry, Launch};

const ROUNDS: u64 = 20_000;
/// Products of a round.
const UNROLLED: u64 = 8;
const WARPS: u32 = 8;

/// A kernel of eight independent products in a loop.
fn kernel(spelling: &str, a: usize, b: usize) -> String {
    let list = |name: &str, n: usize| {
        (0..n)
            .map(|i| format!("%{name}{i}"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let products: String = (0..UNROLLED)
        .map(|i| {
            let d = list(&format!("d{i}_"), 4);
            format!(
                "{spelling} {{{d}}}, {{{}}}, {{{}}}, {{{d}}};\n",
                list("a", a),
                list("b", b)
            )
        })
        .collect();
    let declared: String = (0..UNROLLED).map(|i| format!(".reg .b32 %d{i}_<4>;\n")).collect();
    let zeros: String = (0..UNROLLED)
        .flat_map(|i| (0..4).map(move |j| format!("mov.b32 %d{i}_{j}, 0;\n")))
        .collect();
    let factors: String = (0..a)
        .map(|i| format!("add.u32 %a{i}, %l, {};\n", 0x3c00_3c00 + i))
        .chain((0..b).map(|i| format!("add.u32 %b{i}, %l, {};\n", 0x3800_3800 + i)))
        .collect();
    format!(
        ".version 8.7\n.target sm_90\n.address_size 64\n.visible .entry k(.param .u64 pd)\n{{\n.reg .b32 %l, %i, %a<4>, %b<2>;\n\
        .reg .b64 %p;\n.reg .pred %q;\n{declared}mov.u32 %l, %laneid;\n{factors}{zeros}mov.u32 %i, 0;\nLOOP:\n{products}\
        add.u32 %i, %i, 1;\nsetp.lt.u32 %q, %i, {ROUNDS};\n@%q bra LOOP;\n\
        ld.param.u64 %p, [pd];\nmad.wide.u32 %p, %l, 4, %p;\nst.global.b32 [%p], %d0_0;\nret;\n}}\n"
    )
}

/// Nanoseconds that `n` multiply-adds of 16 lanes take.
#[cfg(target_arch = "x86_64")]
fn floor(n: u64) -> f64 {
    #[target_feature(enable = "avx512f")]
    fn run(rounds: u64) -> f32 {
        use std::arch::x86_64::*;
        let mut d = [_mm512_setzero_ps(); 8];
        let (a, b) = (_mm512_set1_ps(black_box(1.0)), _mm512_set1_ps(black_box(0.5)));
        for _ in 0..rounds {
            for d in &mut d {
                *d = _mm512_fmadd_ps(a, b, *d);
            }
        }
        d.iter().map(|d| _mm512_reduce_add_ps(*d)).sum()
    }
    if !is_x86_feature_detected!("avx512f") {
        return f64::NAN;
    }
    let rounds = 20_000_000;
    let start = Instant::now();
    // SAFETY: the processor has the unit.
    black_box(unsafe { run(rounds) });
    start.elapsed().as_secs_f64() * 1e9 / (rounds * 8) as f64 * n as f64
}

#[cfg(not(target_arch = "x86_64"))]
fn floor(_: u64) -> f64 {
    f64::NAN
}

#[test]
#[ignore = "a measurement"]
#[allow(clippy::print_stdout, reason = "a measurement")]
fn speed() {
    for (shape, types, a, b, adds) in [
        ("m16n8k16", "f32.f16.f16.f32", 4, 2, 128),
        ("m16n8k16", "f32.bf16.bf16.f32", 4, 2, 128),
        ("m16n8k8", "f32.tf32.tf32.f32", 4, 2, 64),
        ("m16n8k32", "s32.s8.s8.s32", 4, 2, 256),
    ] {
        let spelling = format!("mma.sync.aligned.{shape}.row.col.{types}");
        let mut device = Device::default();
        let program = program(&mut device, &kernel(&spelling, a, b), "k");
        let out = device.alloc(128);
        let launch = Launch::new(
            &program,
            Geometry::new([1, 1, 1], [WARPS * 32, 1, 1]),
            &params(&[out]),
        );
        let launch = launch.expect("the launch is legal");
        let mut best = f64::INFINITY;
        for _ in 0..5 {
            let start = Instant::now();
            run_with(&device, &Hooks::default(), &launch, 100_000_000, false).expect("no fault");
            best = best.min(start.elapsed().as_secs_f64() * 1e9);
        }
        let each = best / (ROUNDS * UNROLLED * u64::from(WARPS)) as f64;
        let least = floor(adds);
        println!(
            "{shape} {types}: {each:.1} ns, its multiply-adds alone {least:.1} ns, ratio {:.2}",
            each / least
        );
    }
}
