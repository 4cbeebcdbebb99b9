//! Random control flow: nested branches and loops with breaks, continues and early ends, on uniform, affine and per-lane
//! values. Every way of executing a kernel must leave the same memory; the all-vector decoding of single warps is the model.
#![allow(missing_docs, reason = "test code")]

mod common;

use std::fmt::Write;

use common::{Device, kernel, params, program, run_all};
use tessera_engine::{Geometry, Launch, Level, Options, Tier};

/// Registers that the statements work on: `%r10` and up. The first four start uniform, the next four affine, the rest differ per lane.
const REGS: u64 = 12;

struct Generator {
    state: u64,
    text: String,
    labels: u32,
    counters: u32,
}

impl Generator {
    fn next(&mut self, below: u64) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 11) % below
    }

    fn label(&mut self) -> String {
        self.labels += 1;
        format!("L{}", self.labels)
    }

    fn reg(&mut self) -> String {
        format!("%r{}", 10 + self.next(REGS))
    }

    fn operation(&mut self) {
        let (d, a, b) = (self.reg(), self.reg(), self.reg());
        let c = self.next(9) + 1;
        let line = match self.next(10) {
            0 => format!("add.u32 {d}, {a}, {b};"),
            1 => format!("sub.u32 {d}, {a}, {c};"),
            2 => format!("mul.lo.u32 {d}, {a}, {c};"),
            3 => format!("xor.b32 {d}, {a}, {b};"),
            4 => format!("mov.u32 {d}, {a};"),
            5 => format!("mad.lo.u32 {d}, {a}, {c}, {b};"),
            6 => format!("and.b32 {d}, {a}, 255;"),
            7 => format!("add.u32 {d}, {d}, {c};"),
            8 => format!("shl.b32 {d}, {a}, {};", c % 4),
            // Through memory that all lanes share, read-only.
            _ => format!(
                "and.b32 %r60, {a}, 252; cvt.u64.u32 %rd20, %r60; add.s64 %rd21, %rd2, %rd20; ld.global.u32 {d}, [%rd21];"
            ),
        };
        let _ = writeln!(self.text, "{line}");
    }

    /// Sets a predicate from a register.
    fn condition(&mut self) -> String {
        let (a, c) = (self.reg(), self.next(7) + 1);
        let p = format!("%p{}", self.next(8));
        let _ = writeln!(self.text, "and.b32 %r61, {a}, 7; setp.lt.u32 {p}, %r61, {c};");
        p
    }

    /// A sequence of statements. `around` are the labels to continue and to leave the loop around it.
    fn block(&mut self, depth: u32, around: Option<(&str, &str)>) {
        for _ in 0..=self.next(3) {
            self.operation();
            match self.next(8) {
                0 | 1 if depth > 0 => {
                    let (other, end) = (self.label(), self.label());
                    let p = self.condition();
                    let _ = writeln!(self.text, "@{p} bra {other};");
                    self.block(depth - 1, around);
                    let _ = writeln!(self.text, "bra {end};\n{other}:");
                    self.block(depth - 1, around);
                    let _ = writeln!(self.text, "{end}:");
                }
                2 | 3 if depth > 0 => {
                    let (head, next, out) = (self.label(), self.label(), self.label());
                    self.counters += 1;
                    let (counter, turns) = (format!("%r{}", 70 + self.counters % 25), self.next(5) + 1);
                    let _ = writeln!(self.text, "mov.u32 {counter}, 0;\n{head}:");
                    self.block(depth - 1, Some((&next, &out)));
                    let p = format!("%p{}", 8 + self.next(8));
                    let _ = writeln!(
                        self.text,
                        "{next}: add.u32 {counter}, {counter}, 1; setp.lt.u32 {p}, {counter}, {turns}; @{p} bra {head};\n{out}:"
                    );
                }
                4 => {
                    let p = self.condition();
                    let target = match (around, self.next(8)) {
                        (_, 0) => "END",
                        (Some((next, _)), 1..4) => next,
                        (Some((_, out)), _) => out,
                        (None, _) => continue,
                    };
                    let _ = writeln!(self.text, "@{p} bra {target};");
                }
                5 => {
                    let p = self.condition();
                    let (d, a) = (self.reg(), self.reg());
                    let _ = writeln!(
                        self.text,
                        "@{p} add.u32 {d}, {a}, 3; selp.u32 {d}, {a}, {d}, {p};"
                    );
                }
                _ => {}
            }
        }
    }
}

fn random_kernel(seed: u64) -> String {
    let mut g = Generator {
        state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
        text: String::new(),
        labels: 0,
        counters: 0,
    };
    g.text.push_str(
        "ld.param.u64 %rd1, [out]; ld.param.u64 %rd2, [table]; mov.u32 %r1, %ctaid.x; mov.u32 %r2, %ntid.x; mov.u32 %r3, %tid.x;
        mad.lo.u32 %r4, %r1, %r2, %r3;\n",
    );
    for i in 0..REGS {
        let d = 10 + i;
        let _ = match i {
            0..4 => writeln!(g.text, "add.u32 %r{d}, %r1, {};", i * 3),
            4..8 => writeln!(g.text, "mad.lo.u32 %r{d}, %r4, {}, {};", i - 3, i),
            _ => writeln!(
                g.text,
                "mul.lo.u32 %r62, %r4, 40503; shr.u32 %r{d}, %r62, {};",
                i - 4
            ),
        };
    }
    g.block(4, None);
    g.text.push_str("END:\nmov.u32 %r63, 17;\n");
    for i in 0..REGS {
        let _ = writeln!(g.text, "mad.lo.u32 %r63, %r63, 31, %r{};", 10 + i);
    }
    g.text
        .push_str("mul.wide.u32 %rd3, %r4, 4; add.s64 %rd4, %rd1, %rd3; st.global.u32 [%rd4], %r63; ret;");
    kernel(".param .u64 out, .param .u64 table", &g.text)
}

fn check(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let text = random_kernel(seed);
        let mut device = Device::default();
        let p = program(&mut device, &text, "k");
        let table: Vec<u32> = (0..64u32).map(|i| i.wrapping_mul(2_654_435_761) >> 7).collect();
        let (out, table) = (device.alloc(2 * 72 * 4), device.upload(&table));
        let run = || {
            run_all(
                &device,
                &p,
                Geometry::new([2, 1, 1], [72, 1, 1]),
                &params(&[out, table]),
            );
        };
        if let Err(panic) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)) {
            eprintln!("seed {seed}:\n{text}");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn every_way_gives_the_same() {
    // TESSERA_SEEDS=n tries n kernels.
    let count = std::env::var("TESSERA_SEEDS")
        .ok()
        .and_then(|v| v.parse().ok())
        .unwrap_or(60);
    check(0..count);
}

#[test]
fn machine_code_is_used_where_it_can_be() {
    let mut device = Device::default();
    let p = program(&mut device, &random_kernel(1), "k");
    for level in [Level::Avx512, Level::Avx2, Level::Portable] {
        let options = Options {
            tier: Tier::Native,
            level,
            ..Options::default()
        };
        let launch = Launch::with_options(
            &p,
            Geometry::new([2, 1, 1], [72, 1, 1]),
            &params(&[0, 0]),
            options,
        );
        let tier = launch.expect("legal").tier();
        let able = level.available() && level != Level::Portable;
        assert_eq!(
            tier,
            if able { Tier::Native } else { Tier::Interpreter },
            "{level:?}"
        );
    }
}
