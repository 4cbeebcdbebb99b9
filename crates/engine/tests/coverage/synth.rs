//! Makes a small kernel around any instruction: from its spelling, its row in the instruction table gives the operands, and the
//! tables here give values that make sense at run time (an address of the right space, a full member mask, a real barrier).
//!
//! A kernel stores 1 before the instruction and 2 after it, per thread; [`Case::ends`] says which of them must be there.

use std::fmt::Write;

use tessera_ptx::isa::{self, Form, OperandSpec, Role, Second, TypeSpec};
use tessera_ptx::modifier::{Flag, Geometry, Mod, Space};
use tessera_ptx::{Opcode as O, Type, parse_module};

/// How a kernel has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ends {
    /// After the instruction.
    After,
    /// At the instruction.
    There,
    /// With the fault of this name, at the instruction.
    Fault(&'static str),
}

/// A kernel around an instruction.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// The instruction as written in it.
    pub(crate) instruction: String,
    /// The module; the kernel is `k(.param .u64 marks, .param .b8 bytes[256])`.
    pub(crate) text: String,
    /// Threads of its block.
    pub(crate) threads: u32,
    pub(crate) ends: Ends,
}

const MODULE: &str = ".version 9.1
.target sm_100a
.address_size 64
.const .align 128 .b8 fixed[4096];
.global .align 128 .b8 memory[32768];
.shared .align 128 .b8 block[8192];
.global .texref texture;
.global .surfref surface;
.func (.param .b32 r) callee(.param .b32 a)
{
    .reg .b32 %x;
    ld.param.b32 %x, [a];
    add.s32 %x, %x, 1;
    st.param.b32 [r], %x;
    ret;
}
";

const REGISTERS: &str =
    "    .reg .pred %p<16>; .reg .b16 %h<300>; .reg .b32 %r<300>; .reg .b64 %rd<300>; .reg .b128 %q<16>;
    .reg .f32 %f<300>; .reg .f64 %fd<300>; .reg .b32 %mark<4>; .reg .b64 %at;
    .local .align 128 .b8 own[4096];
    .param .align 16 .b8 cell[64]; .param .b32 out; .param .b32 in;
";

/// The register that stands for operand `n` of a type.
fn register(ty: Type, n: usize) -> String {
    let prefix = match (ty, ty.bits()) {
        (Type::Pred, _) => "%p",
        (Type::F32, _) => "%f",
        (Type::F64, _) => "%fd",
        (_, 32) => "%r",
        (_, 64) => "%rd",
        (_, 128) => "%q",
        _ => "%h",
    };
    format!("{prefix}{n}")
}

fn list(ty: Type, first: usize, count: usize) -> String {
    let items: Vec<String> = (0..count).map(|i| register(ty, first + i)).collect();
    match items.as_slice() {
        [one] => one.clone(),
        all => format!("{{{}}}", all.join(", ")),
    }
}

fn types(mods: &[Mod]) -> Vec<Type> {
    let types = mods
        .iter()
        .filter_map(|m| if let Mod::Type(ty) = m { Some(*ty) } else { None });
    types.collect()
}

fn vector_width(mods: &[Mod]) -> usize {
    let width = mods.iter().find_map(|m| match m {
        Mod::Vec(width) => width.as_str()[1..].parse().ok(),
        _ => None,
    });
    width.unwrap_or(1)
}

/// What is put together.
struct Synth<'a> {
    spelling: &'a str,
    form: &'a Form,
    mods: &'a [Mod],
    types: Vec<Type>,
}

impl Synth<'_> {
    fn has(&self, flag: Flag) -> bool {
        self.mods.contains(&Mod::Flag(flag))
    }

    /// The `nth` address of the instruction. Copies have two: where to and where from.
    fn address(&self, nth: usize) -> String {
        let spaces: Vec<Space> = (self.mods.iter())
            .filter_map(|m| {
                if let Mod::Space(space) = m {
                    Some(*space)
                } else {
                    None
                }
            })
            .collect();
        let space = spaces.get(nth).or(spaces.first()).copied();
        let mbarrier =
            self.spelling.starts_with("mbarrier") || self.spelling.starts_with("cp.async.mbarrier");
        let reports = matches!(
            self.form.op,
            O::StAsync | O::RedAsync | O::ClusterlaunchcontrolTryCancel
        );
        match space {
            // The last address of an asynchronous operation on shared memory is its barrier.
            None if reports && nth == 1 => "[%rd24]".into(),
            _ if nth == 2 || reports && nth == 1 => "[block+4096]".into(),
            Some(Space::Const) => "[fixed+16]".into(),
            Some(Space::Local) => "[own+32]".into(),
            Some(Space::Param | Space::ParamFunc) if self.form.op == O::St => "[cell]".into(),
            Some(Space::Param | Space::ParamEntry | Space::ParamFunc) => "[bytes+32]".into(),
            Some(Space::Shared | Space::SharedCta | Space::SharedCluster) => "[%rd21]".into(),
            // Generic addresses of shared memory.
            None if mbarrier || reports || self.form.op == O::StBulk => "[%rd23]".into(),
            _ if mbarrier => "[%rd21]".into(),
            None if matches!(self.form.op, O::Ldmatrix | O::Stmatrix) => "[%rd23]".into(),
            _ => "[%rd20]".into(),
        }
    }

    /// Values that an operand must have for the instruction to make sense; `None` leaves it to the table.
    fn value(&self, n: usize) -> Option<&'static str> {
        let last = n + 1 == self.form.operands.len();
        Some(match (self.form.op, n) {
            (O::Shfl | O::Vote | O::Match | O::Redux | O::Elect | O::BarWarp, _)
                if last && self.has(Flag::Sync) =>
            {
                "-1"
            }
            (O::Shfl, 2) => "1",
            (O::Shfl, 3) => "31",
            (O::BarSync | O::BarArrive | O::BarrierSync | O::BarrierArrive, 0) => "0",
            (O::BarSync | O::BarArrive | O::BarrierSync | O::BarrierArrive, 1) => "32",
            (O::BarRed | O::BarrierRed, 1) => "0",
            (O::BarRed | O::BarrierRed, 2) if !last => "32",
            (O::Setmaxnreg, 0) => "64",
            (O::Lop3, 4) => "0xe8",
            (O::CpAsync, 2)
                if self
                    .mods
                    .contains(&Mod::Cache(tessera_ptx::modifier::CacheOp::Cg)) =>
            {
                "16"
            }
            (O::CpAsync, 2) => "8",
            (O::CpAsync, 3) if !self.spelling.contains("cache_hint") => "4",
            (O::CpAsyncWaitGroup | O::CpAsyncBulkWaitGroup, 0) => "0",
            (O::CpAsyncBulk | O::CpReduceAsyncBulk, 2) => "32",
            (O::StBulk, 1) => "64",
            (O::StBulk, 2) => "0",
            (O::MbarrierInit | O::MbarrierArrive | O::MbarrierArriveDrop, _) if last => "1",
            (O::MbarrierExpectTx | O::MbarrierCompleteTx, 1) => "16",
            (O::Mapa, 2) => "0",
            (O::Discard, 1) => "128",
            (O::Createpolicy, 1) if self.has(Flag::Fractional) => "0f3F000000",
            (O::WmmaLoad | O::WmmaStore, 2) => "32",
            (O::Mma, _) if self.spelling.contains(".sp") && n == 5 => "0",
            (O::Mma, _) if self.spelling.contains(".sp") && n == 4 => "0x44444444",
            (O::Nanosleep, 0) => "20",
            (O::Alloca, 1) => "64",
            _ => return None,
        })
    }

    fn texture(&self, name: &str) -> String {
        let ty = self.types.last().copied().unwrap_or(Type::S32);
        let ty = if self.form.op == O::Tex { ty } else { Type::S32 };
        let geometry = self
            .mods
            .iter()
            .find_map(|m| if let Mod::Geometry(g) = m { Some(*g) } else { None });
        // Bytes of a surface are taken by elements of up to sixteen.
        let float = |n: usize| match (self.form.op, n) {
            (O::Tex, _) => register(ty, n),
            (_, 0) => "16".into(),
            _ => "1".into(),
        };
        let at = match geometry {
            Some(Geometry::D2) => format!("{{{}, {}}}", float(0), float(1)),
            Some(Geometry::D1) | None => format!("{{{}}}", float(0)),
            Some(Geometry::A1d) => format!("{{%r0, {}}}", float(0)),
            Some(Geometry::A2d) => format!("{{%r0, {0}, {1}, {1}}}", float(0), float(1)),
            _ => format!("{{{}, {}, {1}, {1}}}", float(0), float(1)),
        };
        format!("[{name}, {at}]")
    }

    fn operand(&self, spec: &OperandSpec, n: usize, memory: usize, count: usize) -> String {
        if let Some(value) = self.value(n) {
            return value.into();
        }
        let ty = match spec.ty {
            TypeSpec::Fixed(ty) => ty,
            TypeSpec::Nth(nth) => self.types.get(usize::from(nth)).copied().unwrap_or(Type::B32),
            TypeSpec::Address => Type::B64,
            TypeSpec::None | TypeSpec::AnyInteger | TypeSpec::IntegerOrPred => Type::B32,
        };
        let double = if ty.bits() == 16 { Type::B32 } else { Type::B64 };
        let text = match spec.role {
            // Only there is a remote barrier's state not to be had.
            Role::Dest if self.spelling.contains("arrive") && self.spelling.contains("::cluster") => {
                "_".into()
            }
            Role::Source if spec.ty == TypeSpec::Address => "%rd20".into(),
            Role::Source if matches!(self.form.op, O::Cvta | O::Mapa | O::Getctarank) && n == 1 => {
                if ty.bits() == 32 { "%r20" } else { "%rd20" }.into()
            }
            Role::Dest | Role::Source | Role::DestRelaxed | Role::SourceRelaxed => register(ty, n),
            Role::DestDouble | Role::SourceDouble => register(double, n),
            Role::DestVector | Role::SourceVector => list(ty, 0, vector_width(self.mods)),
            Role::PredDest | Role::Pred => format!("%p{n}"),
            Role::PredOrNot => format!("!%p{n}"),
            Role::Memory if self.form.op == O::Txq => "[texture]".into(),
            Role::Memory if self.form.op == O::Suq => "[surface]".into(),
            Role::Memory => self.address(memory),
            Role::Constant => "1".into(),
            Role::Fragment(_) => {
                let ty = if self.types.first() == Some(&Type::F64) {
                    Type::F64
                } else {
                    Type::B32
                };
                list(ty, 16 * n, count)
            }
            Role::Vector => match self.types.first() {
                Some(Type::F32) => "{%f4, %f5, %f6, %f7}".into(),
                _ => "{%r4, %r5, %r6, %r7}".into(),
            },
            Role::Move => match vector_width(self.mods) {
                1 => format!("{}, {}", register(ty, 0), register(ty, 1)),
                width => format!("{}, {}", list(ty, 0, width), list(ty, 8, width)),
            },
            Role::Call => "(out), callee, (in)".into(),
            Role::Label => "OVER".into(),
            Role::Table => "WAYS".into(),
            Role::Texture => self.texture("texture"),
            Role::Surface => self.texture("surface"),
            Role::Tensor => "[%rd20, {%r0, %r1}]".into(),
            // The forms on several elements select all of them when they say nothing.
            // The addend of `vmad` has no part.
            Role::Select if self.form.op == O::Vmad && n == 3 => format!("%r{n}"),
            Role::Select if self.form.op.as_str().ends_with(['2', '4']) => format!("%r{n}"),
            Role::Select => format!("%r{n}.b0"),
            Role::DestSelect => "%r0".into(),
            Role::Any if self.has(Flag::Grad) && n < 4 => "{%f4, %f5, %f6, %f7}".into(),
            Role::Any => "%rd3".into(),
        };
        if spec.second == Second::None {
            text
        } else {
            format!("{text}|%p8")
        }
    }

    /// Instructions that must run before this one.
    fn before(&self) -> &'static str {
        match self.form.op {
            O::MbarrierInit => "",
            O::MbarrierTestWait | O::MbarrierTryWait | O::MbarrierPendingCount => {
                "mbarrier.init.shared.b64 [%rd21], 1; mbarrier.arrive.shared.b64 %rd2, [%rd21]; mov.b64 %rd1, %rd2;
                 and.b32 %r2, %r2, 1;"
            }
            O::MbarrierCompleteTx => {
                "mbarrier.init.shared.b64 [%rd21], 1; mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [%rd21], 16;"
            }
            _ if self.has(Flag::NoComplete) => "mbarrier.init.shared.b64 [%rd21], 3;",
            op if op.as_str().starts_with("mbarrier") => "mbarrier.init.shared.b64 [%rd21], 1;",
            O::CpAsyncMbarrierArrive => "mbarrier.init.shared.b64 [%rd21], 2;",
            O::CpAsyncBulk
            | O::CpReduceAsyncBulk
            | O::StAsync
            | O::RedAsync
            | O::ClusterlaunchcontrolTryCancel => {
                "mbarrier.init.shared.b64 [block+4096], 1; mbarrier.arrive.expect_tx.shared.b64 %rd2, [block+4096], 32;"
            }
            // A wait needs an arrival, from every thread.
            O::BarrierClusterWait => "barrier.cluster.arrive.aligned;",
            O::Stackrestore => "stacksave.u64 %rd0; stacksave.u32 %r0;",
            _ => "",
        }
    }

    /// Instructions that must run after it, for the launch to end well.
    fn after(&self) -> &'static str {
        match self.form.op {
            O::BarrierClusterArrive => "barrier.cluster.wait.aligned;",
            O::CpAsync => "cp.async.wait_all;",
            O::CpAsyncBulk | O::CpReduceAsyncBulk if self.spelling.contains("bulk_group") => {
                "cp.async.bulk.commit_group; cp.async.bulk.wait_group 0;"
            }
            O::MbarrierExpectTx => "mbarrier.complete_tx.relaxed.cta.shared::cta.b64 [%rd21], 16;",
            _ => "",
        }
    }

    fn threads(&self) -> u32 {
        let name = self.form.op.as_str();
        let alone = [
            "mbarrier",
            "cp.reduce",
            "cp.async.bulk",
            "cp.async.mbarrier",
            "clusterlaunch",
            "st.async",
            "red.async",
        ];
        if alone.iter().any(|a| name.starts_with(a)) {
            1
        } else {
            32
        }
    }

    fn ends(&self) -> Ends {
        match self.form.op {
            O::Ret | O::Exit => Ends::There,
            // A breakpoint without a debugger is a trap.
            O::Trap | O::Brkpt => Ends::Fault("trap"),
            _ => Ends::After,
        }
    }

    fn case(&self, operands: &[String]) -> Case {
        let instruction = format!("{} {}", self.spelling, operands.join(", "));
        let branches = self
            .form
            .operands
            .iter()
            .any(|o| matches!(o.role, Role::Label | Role::Table));
        Case {
            text: kernel(self.before(), &instruction, self.after(), branches),
            instruction,
            threads: self.threads(),
            ends: self.ends(),
        }
    }
}

/// The module with a kernel around an instruction. A branch has to jump over a store that no other instruction meets.
fn kernel(before: &str, instruction: &str, after: &str, branches: bool) -> String {
    let mut text = format!(
        "{MODULE}.visible .entry k(.param .u64 marks, .param .align 16 .b8 bytes[256])\n{{\n{REGISTERS}\
         mov.u32 %mark1, %tid.x; ld.param.u64 %at, [marks]; mad.wide.u32 %at, %mark1, 4, %at;\n\
         mov.u32 %mark2, 1; st.global.u32 [%at], %mark2;\n"
    );
    // Values that differ and that nothing faults on.
    for n in 0..16u32 {
        let _ = writeln!(
            text,
            "mov.b32 %r{n}, {}; mov.b64 %rd{n}, {}; mov.b16 %h{n}, {}; mov.f32 %f{n}, 0f{:08X}; mov.f64 %fd{n}, 0d{:016X};\n\
             setp.eq.u32 %p{n}, %r{n}, {}; mov.b128 %q{n}, {{%rd{n}, %rd{n}}};",
            n + 1,
            n + 1,
            n + 1,
            (f32::from(u8::try_from(n).unwrap_or(0)) + 0.5).to_bits(),
            (f64::from(n) + 0.5).to_bits(),
            (n % 2) * (n + 1),
        );
    }
    let table = if branches {
        "WAYS: .branchtargets OVER, OVER, OVER, OVER;\n"
    } else {
        ""
    };
    let stray = if branches {
        "mov.u32 %mark2, 9; st.global.u32 [%at], %mark2; ret;\nOVER:\n"
    } else {
        ""
    };
    let _ = write!(
        text,
        "mov.u64 %rd20, memory; mov.u32 %r20, block; mov.u64 %rd21, block; mov.b64 %rd22, own; cvta.shared.u64 %rd23, %rd21; add.u64 %rd24, %rd23, 4096;\n\
         {table}{before}\n{instruction};\n{stray}{after}\nmov.u32 %mark2, 2; st.global.u32 [%at], %mark2; ret;\n}}\n"
    );
    text
}

fn verifies(text: &str) -> Result<(), String> {
    let module = parse_module(text.as_bytes().to_vec()).map_err(|e| e.to_string())?;
    let kernel = module.func_by_name("k").ok_or("no kernel")?;
    module.body(kernel).map(|_| ()).map_err(|e| e.to_string())
}

const SIZES: [usize; 9] = [1, 2, 4, 8, 16, 32, 64, 128, 256];

/// A form with its first `used` operands; sizes of fragments are tried until the verifier takes them.
fn with_operands(synth: &Synth<'_>, used: usize) -> Result<Case, String> {
    let specs = &synth.form.operands[..used];
    let fragments: Vec<usize> = (specs.iter().enumerate())
        .filter_map(|(n, spec)| matches!(spec.role, Role::Fragment(_)).then_some(n))
        .collect();
    let mut sizes = vec![0usize; specs.len()];
    let mut open = 0;
    loop {
        let mut memory = 0;
        let mut texts = Vec::new();
        for (n, spec) in specs.iter().enumerate() {
            let mut spec = *spec;
            if spec.role == Role::Move {
                spec.ty = TypeSpec::Nth(0);
            }
            texts.push(synth.operand(&spec, n, memory, SIZES[sizes[n]]));
            memory += usize::from(spec.role == Role::Memory);
        }
        let case = synth.case(&texts);
        let Err(error) = verifies(&case.text) else {
            return Ok(case);
        };
        // The verifier reports the first wrong operand, so sizes are found one after the other.
        let wrong = |&n: &usize| error.contains(&format!("operand {} of", n + 1));
        match fragments.iter().position(wrong) {
            Some(at) if at >= open && sizes[fragments[at]] + 1 < SIZES.len() => {
                open = at;
                sizes[fragments[at]] += 1;
            }
            _ => return Err(format!("{}: {error}", case.instruction)),
        }
    }
}

/// Kernels for every way to write the operands of a spelling.
pub(crate) fn cases(spelling: &str) -> Result<Vec<Case>, String> {
    // The one entry that is not a spelling: calls through a pointer.
    if spelling == "call.<indirect>" {
        let call = "mov.u64 %rd0, callee; call (out), %rd0, (in), P;\nP: .callprototype (.param .b32 _) _ (.param .b32 _)";
        return Ok(vec![Case {
            instruction: "call (out), %rd0, (in), P".into(),
            text: kernel("", call, "", false),
            threads: 32,
            ends: Ends::After,
        }]);
    }
    let decoded = isa::decode(spelling).map_err(|e| format!("{spelling}: {e}"))?;
    let hinted = spelling.contains("L2::cache_hint");
    let mut cases = Vec::new();
    for form in &decoded.forms {
        let form = isa::form(*form);
        let (all, fewest) = (form.operands.len(), usize::from(form.fewest));
        // A cache policy comes with its modifier, a member mask with `.sync`.
        let mut counts = match form.op {
            O::Ld | O::St | O::Atom | O::Red if hinted => vec![all],
            O::Ld | O::St | O::Atom | O::Red => vec![fewest],
            // What may follow, offsets and a depth, fits only some geometries.
            O::Tex | O::Tld4 => vec![fewest],
            // A second operation wants its operand; a scale comes with its modifier.
            op if op.as_str().starts_with('v') && decoded.mods.iter().any(|m| matches!(m, Mod::Atom(_))) => {
                vec![all]
            }
            O::Cvt if spelling.contains("scaled") => vec![all],
            O::Cvt => vec![fewest],
            O::CpAsyncBulk => vec![fewest + usize::from(hinted) + usize::from(spelling.contains("cp_mask"))],
            O::Shfl | O::Vote if spelling.contains("sync") => vec![all],
            O::Shfl | O::Vote => vec![fewest],
            _ => vec![all, fewest],
        };
        counts.dedup();
        let synth = Synth {
            spelling,
            form,
            mods: &decoded.mods,
            types: types(&decoded.mods),
        };
        for used in counts {
            cases.push(with_operands(&synth, used)?);
        }
    }
    Ok(cases)
}
/// Spellings of a row of the instruction table: the shortest, the longest, and each choice of each slot in both.
fn spellings(form: &Form) -> Vec<String> {
    let choices: Vec<Vec<String>> = (form.slots.iter())
        .map(|slot| match &slot.choice {
            // `.unified` stands behind the address, not here.
            isa::Choice::Of(mods) => (mods.iter().map(ToString::to_string))
                .filter(|m| m != "unified")
                .collect(),
            isa::Choice::WarpgroupShape => vec!["m64n16k16".into()],
        })
        .collect();
    let spelled = |all: bool, varied: Option<(usize, usize)>| {
        let mut spelling = form.op.as_str().to_owned();
        for (n, slot) in form.slots.iter().enumerate() {
            let choice = match varied {
                Some((slot, choice)) if slot == n => choice,
                _ if all || !slot.optional => 0,
                _ => continue,
            };
            if let Some(text) = choices[n].get(choice) {
                let _ = write!(spelling, ".{text}");
            }
        }
        spelling
    };
    let mut found = Vec::new();
    for all in [false, true] {
        found.push(spelled(all, None));
        for (n, texts) in choices.iter().enumerate() {
            found.extend((0..texts.len()).map(|choice| spelled(all, Some((n, choice)))));
        }
    }
    found.sort();
    found.dedup();
    found
}

/// Whether a comparison, a conversion or a flush is one that the manual allows: rows say less than it does.
fn sensible(op: O, mods: &[Mod]) -> bool {
    use tessera_ptx::modifier::CmpOp as C;
    let types = types(mods);
    let compared = types.last().copied().unwrap_or(Type::B32);
    let flushed = !mods.contains(&Mod::Flag(Flag::Ftz))
        || types
            .iter()
            .any(|t| matches!(t, Type::F32 | Type::F16 | Type::F16x2));
    let cmp = mods
        .iter()
        .find_map(|m| if let Mod::Cmp(c) = m { Some(*c) } else { None });
    let fits = match (cmp, op) {
        (Some(C::Lo | C::Ls | C::Hi | C::Hs), O::Set | O::Setp) => {
            matches!(compared, Type::U16 | Type::U32 | Type::U64)
        }
        (Some(C::Equ | C::Neu | C::Ltu | C::Leu | C::Gtu | C::Geu | C::Num | C::Nan), _) => {
            compared.is_float()
        }
        (Some(C::Eq | C::Ne), _) | (None, _) => true,
        (Some(_), _) => !matches!(compared, Type::B16 | Type::B32 | Type::B64),
    };
    let bf16 = matches!(op, O::Set | O::Setp) && matches!(compared, Type::Bf16 | Type::Bf16x2);
    let flushes_bf16 = bf16 && mods.contains(&Mod::Flag(Flag::Ftz));
    // A comparison of pairs gives pairs of the same kind.
    let pairs = !matches!(
        (op, types.as_slice()),
        (O::Set, [Type::F16x2, Type::Bf16x2] | [Type::Bf16x2, Type::F16x2])
    );
    // The general conversions have a list of their own.
    let general = op == O::Cvt && types.iter().all(|t| CONVERTED.contains(t));
    flushed && fits && !flushes_bf16 && pairs && !general
}

const CONVERTED: [Type; 12] = [
    Type::U8,
    Type::U16,
    Type::U32,
    Type::U64,
    Type::S8,
    Type::S16,
    Type::S32,
    Type::S64,
    Type::Bf16,
    Type::F16,
    Type::F32,
    Type::F64,
];

/// Every conversion between two plain types, with every rounding that it takes, and saturated.
pub(crate) fn conversions() -> Vec<String> {
    let mut all = Vec::new();
    for to in CONVERTED {
        for from in CONVERTED {
            let (narrows, float_to, float_from) = (
                to.bits() <= from.bits() && to != from,
                to.is_float(),
                from.is_float(),
            );
            let roundings: &[&str] = match (float_to, float_from) {
                (false, false) => &[""],
                (false, true) => &[".rni", ".rzi", ".rmi", ".rpi"],
                (true, false) => &[".rn", ".rz", ".rm", ".rp"],
                (true, true) if to == from => &["", ".rni", ".rzi", ".rmi", ".rpi"],
                (true, true) if narrows => &[".rn", ".rz", ".rm", ".rp"],
                (true, true) => &[""],
            };
            for rounding in roundings {
                all.push(format!("cvt{rounding}.{to}.{from}"));
                if to != Type::Bf16 {
                    all.push(format!("cvt{rounding}.sat.{to}.{from}"));
                }
                if to == Type::F32 || from == Type::F32 {
                    all.push(format!("cvt{rounding}.ftz.{to}.{from}"));
                }
            }
        }
    }
    all
}

/// The spellings of a row that make sense.
pub(crate) fn sensible_spellings(form: &Form) -> Vec<String> {
    let mut found = spellings(form);
    found.retain(|spelling| isa::decode(spelling).is_ok_and(|decoded| sensible(decoded.op, &decoded.mods)));
    found
}
