//! Random kernels that give the same result in whatever order warps run: nested divergence and loops on values of every width,
//! gathers, stores of a thread's own words, shared memory between barriers, sums in shared memory, shuffles and votes where
//! all lanes of a warp meet. Every kernel ends by storing all of its registers.

use std::fmt::Write;

/// Registers of each kind that statements work on.
const REGS: u64 = 12;
const WIDE: u64 = 6;
const FLOATS: u64 = 6;
const PREDICATES: u64 = 6;
/// Words that a thread stores: its registers, and what it stored on its way.
pub const WORDS: usize = 12 + 12 + 6 + 6 + 8;
/// Bytes of the table that kernels read.
pub const TABLE: usize = 1024;

/// A source of random numbers and of kernels.
pub struct Generator {
    state: u64,
    text: String,
    labels: u32,
    counters: u32,
    loops: u32,
    /// All warps are full: a shuffle may name any lane.
    whole: bool,
    /// Lanes may end: nothing follows that wants all of them.
    ends: bool,
}

impl Generator {
    pub fn new(seed: u64) -> Self {
        Self {
            state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678_9abc_def1 | 1,
            text: String::new(),
            labels: 0,
            counters: 0,
            loops: 0,
            whole: true,
            ends: false,
        }
    }

    /// Threads of a block for this kernel.
    pub fn threads(&mut self) -> u32 {
        let threads = [32, 40, 64, 96, 160][usize::try_from(self.next(5)).unwrap_or(0)];
        self.whole = threads % 32 == 0;
        threads
    }

    pub fn next(&mut self, below: u64) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 11) % below
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[usize::try_from(self.next(of.len() as u64)).unwrap_or(0)]
    }

    fn label(&mut self) -> String {
        self.labels += 1;
        format!("L{}", self.labels)
    }

    fn r(&mut self) -> String {
        format!("%r{}", 10 + self.next(REGS))
    }

    fn w(&mut self) -> String {
        format!("%rd{}", 10 + self.next(WIDE))
    }

    fn f(&mut self) -> String {
        format!("%f{}", 10 + self.next(FLOATS))
    }

    fn p(&mut self) -> String {
        format!("%p{}", self.next(PREDICATES))
    }

    fn operand(&mut self) -> String {
        match self.next(4) {
            0 => {
                let choices = [
                    0u32,
                    1,
                    2,
                    3,
                    5,
                    7,
                    15,
                    16,
                    31,
                    32,
                    255,
                    65_535,
                    0x7fff_ffff,
                    0x8000_0000,
                    0xffff_ffff,
                ];
                let i = usize::try_from(self.next(choices.len() as u64)).unwrap_or(0);
                format!("{}", choices[i])
            }
            _ => self.r(),
        }
    }

    fn guard(&mut self) -> String {
        match self.next(8) {
            0 => format!("@{} ", self.p()),
            1 => format!("@!{} ", self.p()),
            _ => String::new(),
        }
    }

    fn narrow(&mut self) -> String {
        let (d, a, b, c) = (self.r(), self.r(), self.operand(), self.operand());
        match self.next(16) {
            0..=4 => {
                let names = [
                    "add.u32",
                    "sub.u32",
                    "mul.lo.u32",
                    "and.b32",
                    "or.b32",
                    "xor.b32",
                    "shl.b32",
                    "shr.u32",
                    "shr.s32",
                    "min.u32",
                    "max.s32",
                    "mul.hi.u32",
                    "mul.hi.s32",
                    "min.s32",
                    "max.u32",
                    "add.sat.s32",
                ];
                let name = self.pick(&names);
                format!("{name} {d}, {a}, {b};")
            }
            5 => format!("mad.lo.u32 {d}, {a}, {b}, {c};"),
            6 => format!("lop3.b32 {d}, {a}, {b}, {c}, {};", self.next(256)),
            7 => format!("prmt.b32 {d}, {a}, {b}, {c};"),
            8 => {
                let name = self.pick(&[
                    "shf.l.wrap.b32",
                    "shf.r.wrap.b32",
                    "shf.l.clamp.b32",
                    "shf.r.clamp.b32",
                ]);
                format!("{name} {d}, {a}, {b}, {c};")
            }
            9 => {
                let name = self.pick(&["bfe.u32", "bfe.s32"]);
                format!("{name} {d}, {a}, {}, {};", self.next(36), self.next(36))
            }
            10 => {
                let name = self.pick(&[
                    "popc.b32",
                    "clz.b32",
                    "brev.b32",
                    "not.b32",
                    "neg.s32",
                    "abs.s32",
                    "cnot.b32",
                    "bfind.u32",
                ]);
                format!("{name} {d}, {a};")
            }
            11 => format!("selp.b32 {d}, {a}, {b}, {};", self.p()),
            12 => format!("div.u32 {d}, {a}, {b};"),
            13 => format!("rem.s32 {d}, {a}, {b};"),
            14 => format!("mov.u32 {d}, {b};"),
            _ => {
                let name = self.pick(&["cvt.u32.u8", "cvt.s32.s16", "cvt.s32.s8", "cvt.u32.u16"]);
                format!("{name} {d}, {a};")
            }
        }
    }

    fn wide(&mut self) -> String {
        let (d, a, b) = (self.w(), self.w(), self.w());
        let (n, m) = (self.r(), self.operand());
        match self.next(9) {
            0 | 1 => {
                let name = self.pick(&[
                    "add.s64",
                    "sub.s64",
                    "mul.lo.s64",
                    "and.b64",
                    "or.b64",
                    "xor.b64",
                    "min.s64",
                    "max.u64",
                ]);
                format!("{name} {d}, {a}, {b};")
            }
            2 => {
                let name = self.pick(&["shl.b64", "shr.u64", "shr.s64"]);
                format!("{name} {d}, {a}, {m};")
            }
            3 => {
                let name = self.pick(&["mul.wide.s32", "mul.wide.u32"]);
                format!("{name} {d}, {n}, {m};")
            }
            4 => {
                let name = self.pick(&["mad.wide.s32", "mad.wide.u32"]);
                format!("{name} {d}, {n}, {m}, {a};")
            }
            5 => {
                let name = self.pick(&["cvt.s64.s32", "cvt.u64.u32"]);
                format!("{name} {d}, {n};")
            }
            6 => format!("cvt.u32.u64 {n}, {a};"),
            7 => format!("selp.b64 {d}, {a}, {b}, {};", self.p()),
            _ => {
                format!("mov.b64 {{%r60, %r61}}, {a}; xor.b32 %r60, %r60, {n}; mov.b64 {d}, {{%r61, %r60}};")
            }
        }
    }

    fn float(&mut self) -> String {
        let (d, a, b, c) = (self.f(), self.f(), self.f(), self.f());
        let n = self.r();
        match self.next(9) {
            0..=2 => {
                let names = [
                    "add.rn.f32",
                    "sub.rn.f32",
                    "mul.rn.f32",
                    "add.rn.ftz.f32",
                    "mul.rn.ftz.f32",
                    "min.f32",
                    "max.f32",
                    "div.rn.f32",
                    "add.rz.f32",
                    "copysign.f32",
                ];
                let name = self.pick(&names);
                format!("{name} {d}, {a}, {b};")
            }
            3 => {
                let name = self.pick(&["fma.rn.f32", "fma.rn.ftz.f32", "fma.rn.sat.f32"]);
                format!("{name} {d}, {a}, {b}, {c};")
            }
            4 => {
                let name = self.pick(&[
                    "neg.f32",
                    "abs.f32",
                    "sqrt.rn.f32",
                    "rcp.rn.f32",
                    "rsqrt.approx.f32",
                    "ex2.approx.f32",
                ]);
                format!("{name} {d}, {a};")
            }
            5 => {
                let name = self.pick(&["cvt.rn.f32.s32", "cvt.rn.f32.u32", "mov.b32"]);
                format!("{name} {d}, {n};")
            }
            6 => {
                let name = self.pick(&["cvt.rzi.s32.f32", "cvt.rni.u32.f32", "mov.b32"]);
                format!("{name} {n}, {a};")
            }
            7 => format!("selp.f32 {d}, {a}, {b}, {};", self.p()),
            _ => format!("mov.f32 {d}, {a};"),
        }
    }

    fn predicate(&mut self) -> String {
        let p = self.p();
        match self.next(5) {
            0 => {
                let name = self.pick(&["and.pred", "or.pred", "xor.pred"]);
                let (a, b) = (self.p(), self.p());
                format!("{name} {p}, {a}, {b};")
            }
            1 => format!("not.pred {p}, {};", self.p()),
            2 => {
                let name = self.pick(&["setp.lt.f32", "setp.eq.f32", "setp.gtu.f32", "setp.num.f32"]);
                let (a, b) = (self.f(), self.f());
                format!("{name} {p}, {a}, {b};")
            }
            3 => {
                let name = self.pick(&["setp.lt.s64", "setp.ge.u64", "setp.ne.s64"]);
                let (a, b) = (self.w(), self.w());
                format!("{name} {p}, {a}, {b};")
            }
            _ => {
                let name = self.pick(&[
                    "setp.lt.s32",
                    "setp.ge.u32",
                    "setp.ne.u32",
                    "setp.eq.s32",
                    "setp.hi.u32",
                ]);
                let (a, b) = (self.r(), self.operand());
                format!("{name} {p}, {a}, {b};")
            }
        }
    }

    /// A load from the table, at an address of each kind.
    fn load(&mut self) -> String {
        let a = self.r();
        let (d, w) = (self.r(), self.w());
        let guard = self.guard();
        let address = match self.next(4) {
            // One word for all lanes.
            0 => "shl.b32 %r60, %r1, 4; cvt.u64.u32 %rd60, %r60; add.s64 %rd61, %rd2, %rd60;".to_owned(),
            // A row.
            1 => "mul.wide.u32 %rd60, %r5, 16; add.s64 %rd61, %rd2, %rd60;".to_owned(),
            _ => format!("and.b32 %r60, {a}, 1008; cvt.u64.u32 %rd60, %r60; add.s64 %rd61, %rd2, %rd60;"),
        };
        let access = match self.next(8) {
            0 => format!("{guard}ld.global.u8 {d}, [%rd61+3];"),
            1 => format!("{guard}ld.global.s16 {d}, [%rd61+2];"),
            2 => format!("{guard}ld.global.u64 {w}, [%rd61];"),
            3 => format!("ld.global.v2.u32 {{{d}, %r62}}, [%rd61];"),
            4 => format!("ld.u32 {d}, [%rd61+4];"),
            5 => format!("ld.global.v4.u32 {{%r63, {d}, %r62, %r61}}, [%rd61 + -0];").replace(" + -0", ""),
            _ => format!("{guard}ld.global.u32 {d}, [%rd61];"),
        };
        format!("{address} {access}")
    }

    /// A store to the thread's own words.
    fn store(&mut self) -> String {
        let (guard, a, w) = (self.guard(), self.r(), self.w());
        let at = 4 * self.next(8);
        match self.next(4) {
            0 => format!("{guard}st.global.u8 [%rd5+{at}], {a};"),
            1 => format!("{guard}st.global.u16 [%rd5+{at}], {a};"),
            2 => format!("{guard}st.global.u64 [%rd5+{}], {w};", at / 8 * 8),
            _ => format!("{guard}st.global.u32 [%rd5+{at}], {a};"),
        }
    }

    /// Local memory, at an index of each lane's own.
    fn local(&mut self) -> String {
        let (a, b, d) = (self.r(), self.r(), self.r());
        format!(
            "and.b32 %r60, {a}, 28; mov.u32 %r61, depot; add.u32 %r61, %r61, %r60; st.local.u32 [%r61], {b}; ld.local.u32 {d}, [depot+{}];",
            4 * self.next(8)
        )
    }

    /// A thread's own 64 bits of shared memory, side by side with its neighbours': several accesses to one row.
    fn row(&mut self) -> String {
        let (w, v) = (self.w(), self.w());
        format!(
            "shl.b32 %r60, %r3, 3; mov.u32 %r61, row; add.u32 %r61, %r61, %r60; st.shared.u64 [%r61], {w}; ld.shared.u64 %rd60, [%r61];
            add.u64 %rd60, %rd60, {v}; st.shared.u64 [%r61], %rd60; ld.shared.u64 {v}, [%r61];"
        )
    }

    fn operation(&mut self) {
        let line = match self.next(20) {
            0..=7 => {
                let guard = self.guard();
                format!("{guard}{}", self.narrow())
            }
            8..=10 => self.wide(),
            11..=13 => {
                let guard = self.guard();
                format!("{guard}{}", self.float())
            }
            14 | 15 => self.predicate(),
            16 | 17 => self.load(),
            18 => self.store(),
            _ if self.next(2) == 0 => self.row(),
            _ => self.local(),
        };
        let _ = writeln!(self.text, "{line}");
    }

    /// What needs all threads of the block, or all lanes of a warp: only where control is uniform.
    fn together(&mut self) {
        let (d, a, b) = (self.r(), self.r(), self.r());
        let line = match self.next(7) {
            0 => format!(
                "st.shared.u32 [%r6], {a}; bar.sync 0; mad.lo.u32 %r60, %r3, {}, {}; rem.u32 %r60, %r60, %r2; shl.b32 %r60, %r60, 2;
                mov.u32 %r61, tile; add.u32 %r60, %r60, %r61; ld.shared.u32 {d}, [%r60]; bar.sync 0;",
                self.next(5),
                self.next(40)
            ),
            1 => format!(
                "st.shared.u32 [%r6], 0; bar.sync 0; and.b32 %r60, {a}, 28; mov.u32 %r61, tile; add.u32 %r60, %r60, %r61;
                red.shared.add.u32 [%r60], {b}; bar.sync 0; ld.shared.u32 {d}, [tile+{}]; bar.sync 0;",
                4 * self.next(8)
            ),
            2 if self.whole => {
                let mode = self.pick(&["up", "down", "bfly", "idx"]);
                let clamp = self.pick(&["0", "31", "7199", "6175", "28"]);
                let by = self.operand();
                let p = self.p();
                format!("shfl.sync.{mode}.b32 {d}|{p}, {a}, {by}, {clamp}, -1;")
            }
            3 => format!("vote.sync.ballot.b32 {d}, {}, -1;", self.p()),
            4 => {
                let mode = self.pick(&["all", "any", "uni"]);
                let (p, q) = (self.p(), self.p());
                format!("vote.sync.{mode}.pred {p}, {q}, -1;")
            }
            5 => format!("atom.shared.add.u32 {d}, [%r6], {a};"),
            _ => {
                let op = self.pick(&["add.u32", "min.s32", "xor.b32", "max.u32"]);
                format!("redux.sync.{op} {d}, {a}, -1;")
            }
        };
        let _ = writeln!(self.text, "{line}");
    }

    /// A sequence of statements. `around` are the labels to continue and to leave the loop around it; `uniform`: all threads
    /// of the block are here.
    fn block(&mut self, depth: u32, around: Option<(&str, &str)>, uniform: bool) {
        for _ in 0..=self.next(4) {
            self.operation();
            match self.next(9) {
                0 | 1 if depth > 0 => self.branch(depth, around),
                2 | 3 if depth > 0 && self.loops < 12 => self.turns(depth, uniform),
                8 if self.next(3) == 0 => self.counts(),
                4 if around.is_some() || self.ends => {
                    let p = self.p();
                    let target = match (around, self.next(8)) {
                        (_, 0) if self.ends => "END",
                        (Some((next, _)), 1..4) => next,
                        (Some((_, out)), _) => out,
                        (None, _) => continue,
                    };
                    let _ = writeln!(self.text, "@{p} bra {target};");
                }
                5 | 6 if uniform => self.together(),
                7 if depth > 0 => self.switch(depth, around),
                _ => {}
            }
        }
    }

    fn branch(&mut self, depth: u32, around: Option<(&str, &str)>) {
        let (other, end) = (self.label(), self.label());
        let p = self.p();
        let bang = self.pick(&["", "!"]);
        let _ = writeln!(self.text, "@{bang}{p} bra {other};");
        self.block(depth - 1, around, false);
        if self.next(3) != 0 {
            let _ = writeln!(self.text, "bra {end};\n{other}:");
            self.block(depth - 1, around, false);
        } else {
            let _ = writeln!(self.text, "{other}:");
        }
        let _ = writeln!(self.text, "{end}:");
    }

    fn switch(&mut self, depth: u32, around: Option<(&str, &str)>) {
        let (a, table, end) = (self.r(), self.label(), self.label());
        let cases: Vec<String> = (0..3).map(|_| self.label()).collect();
        let _ = writeln!(
            self.text,
            "and.b32 %r60, {a}, 3; min.u32 %r60, %r60, 2;\n{table}: .branchtargets {};\nbrx.idx %r60, {table};",
            cases.join(", ")
        );
        for case in &cases {
            let _ = writeln!(self.text, "{case}:");
            self.block(depth.min(2) - 1, around, false);
            let _ = writeln!(self.text, "bra {end};");
        }
        let _ = writeln!(self.text, "{end}:");
    }

    /// A loop of arithmetic on few registers, with as many turns in all lanes: two warps may run it in lock step.
    fn counts(&mut self) {
        let head = self.label();
        self.counters += 1;
        let counter = format!("%r{}", 70 + self.counters % 25);
        let turns = self.next(20) + 1;
        let registers = [self.r(), self.r(), self.r()];
        let _ = writeln!(self.text, "mov.u32 {counter}, 0;\n{head}:");
        for _ in 0..=self.next(5) {
            let op = self.pick(&[
                "add.u32",
                "sub.u32",
                "mul.lo.u32",
                "xor.b32",
                "and.b32",
                "shr.u32",
                "max.s32",
                "shl.b32",
            ]);
            let [d, a, b] = [(); 3].map(|()| self.next(3) as usize);
            let b = match self.next(3) {
                0 => counter.clone(),
                1 => format!("{}", self.next(31)),
                _ => registers[b].clone(),
            };
            let _ = writeln!(self.text, "{op} {}, {}, {b};", registers[d], registers[a]);
        }
        let _ = writeln!(
            self.text,
            "add.u32 {counter}, {counter}, 1; setp.ne.u32 %p8, {counter}, {turns}; @%p8 bra {head};"
        );
    }

    /// A loop: for as many turns in all lanes, or for as many as each lane's register says.
    fn turns(&mut self, depth: u32, uniform: bool) {
        let (head, next, out) = (self.label(), self.label(), self.label());
        self.counters += 1;
        self.loops += 1;
        let counter = format!("%r{}", 70 + self.counters % 25);
        let p = format!("%p{}", 8 + self.next(8));
        let same = self.next(2) == 0;
        let limit = if same {
            format!("{}", self.next(4) + 1)
        } else {
            let a = self.r();
            let limit = format!("%r{}", 100 + self.counters);
            let _ = writeln!(self.text, "and.b32 {limit}, {a}, 7;");
            limit
        };
        let _ = writeln!(self.text, "mov.u32 {counter}, 0;\n{head}:");
        let around = (next.as_str(), out.as_str());
        if same && uniform && self.next(2) == 0 {
            // No lane leaves: barriers may stand in it.
            self.block(depth - 1, None, true);
        } else {
            self.block(depth - 1, Some(around), false);
        }
        let _ = writeln!(
            self.text,
            "{next}: add.u32 {counter}, {counter}, 1; setp.lt.u32 {p}, {counter}, {limit}; @{p} bra {head};\n{out}:"
        );
    }

    /// Where the registers get their first values.
    fn first() -> String {
        let mut first = String::from(
            "ld.param.u64 %rd1, [out]; ld.param.u64 %rd2, [table]; mov.u32 %r1, %ctaid.x; mov.u32 %r2, %ntid.x; mov.u32 %r3, %tid.x;
            mad.lo.u32 %r4, %r1, %r2, %r3; and.b32 %r5, %r3, 63; mov.u32 %r6, tile; shl.b32 %r60, %r3, 2; add.u32 %r6, %r6, %r60;
            st.shared.u32 [%r6], 0;\n",
        );
        let _ = writeln!(
            first,
            "mul.wide.u32 %rd3, %r4, {}; add.s64 %rd4, %rd1, %rd3; add.s64 %rd5, %rd4, {};",
            WORDS * 4,
            (WORDS - 8) * 4
        );
        let _ = writeln!(
            first,
            "mov.u32 %r60, depot; st.local.u32 [%r60], %r4; st.local.v2.u32 [%r60+8], {{%r1, %r4}}; st.local.u32 [%r60+4], 0;"
        );
        for i in [16, 20, 24, 28] {
            let _ = writeln!(first, "st.local.u32 [%r60+{i}], {i};");
        }
        for i in 0..REGS {
            let d = 10 + i;
            let _ = match i {
                0..4 => writeln!(first, "add.u32 %r{d}, %r1, {};", i * 3),
                4..8 => writeln!(first, "mad.lo.u32 %r{d}, %r4, {}, {};", i - 3, i),
                _ => writeln!(
                    first,
                    "mul.lo.u32 %r62, %r4, 40503; shr.u32 %r{d}, %r62, {};",
                    i - 4
                ),
            };
        }
        for i in 0..WIDE {
            let _ = writeln!(
                first,
                "mul.wide.u32 %rd{}, %r{}, {};",
                10 + i,
                10 + i * 2,
                77 * i + 1
            );
        }
        for i in 0..FLOATS {
            let _ = writeln!(
                first,
                "cvt.rn.f32.u32 %f{}, %r{}; mul.rn.f32 %f{0}, %f{0}, 0f3E99999A;",
                10 + i,
                10 + i * 2
            );
        }
        for i in 0..PREDICATES {
            let _ = writeln!(
                first,
                "and.b32 %r60, %r{}, {}; setp.ne.u32 %p{i}, %r60, 0;",
                10 + i * 2,
                1 << i
            );
        }
        first
    }

    /// Where they are stored.
    fn last() -> String {
        let mut last = String::from("END:\n");
        let mut at = 0;
        for i in 0..REGS {
            let _ = writeln!(last, "st.global.u32 [%rd4+{at}], %r{};", 10 + i);
            at += 4;
        }
        for i in 0..WIDE {
            let _ = writeln!(
                last,
                "mov.b64 {{%r60, %r61}}, %rd{}; st.global.u32 [%rd4+{at}], %r60; st.global.u32 [%rd4+{}], %r61;",
                10 + i,
                at + 4
            );
            at += 8;
        }
        for i in 0..FLOATS {
            let _ = writeln!(last, "st.global.f32 [%rd4+{at}], %f{};", 10 + i);
            at += 4;
        }
        for i in 0..PREDICATES {
            let _ = writeln!(
                last,
                "selp.u32 %r60, 1, 0, %p{i}; st.global.u32 [%rd4+{at}], %r60;"
            );
            at += 4;
        }
        last
    }

    /// A whole module with kernel `k(out, table)`.
    pub fn module(mut self) -> String {
        self.block(4, None, true);
        self.ends = true;
        self.block(3, None, false);
        let body = std::mem::take(&mut self.text);
        let (first, last) = (Self::first(), Self::last());
        format!(
            ".version 8.5\n.target sm_90\n.address_size 64\n.visible .entry k(.param .u64 out, .param .u64 table)\n{{\n\
            .reg .pred %p<20>;\n.reg .b32 %r<200>;\n.reg .b64 %rd<100>;\n.reg .f32 %f<50>;\n\
            .shared .align 8 .b8 tile[4096];\n.shared .align 8 .b8 row[8192];\n.local .align 8 .b8 depot[32];\n{first}{body}{last}ret;\n}}\n"
        )
    }
}
