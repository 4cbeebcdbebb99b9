//! One module, loaded whole: parsed, verified, linked, every kernel compiled, decoded both ways and made machine code.
//!
//! A device does the same, but only for the kernels that a program asks for and only when they are launched.

use serde::Serialize;
use std::borrow::Cow;
use std::time::Instant;
use tessera_engine::{CompileError, Program, SUPPLIED, Symbols};
use tessera_ptx::{FuncId, Id, LinkError, Linkage, Module, VarId};

/// What was found in a text, and what became of it.
#[derive(Default, Serialize)]
pub(super) struct Report {
    pub(super) modules: usize,
    pub(super) kernels: usize,
    /// Instructions of the kernels' PTX, functions that they call not counted again.
    pub(super) instructions: usize,
    /// Instructions as they are carried out, with calls inlined.
    pub(super) inlined_instructions: usize,
    /// Kernels that have machine code; none where the processor is not one that it is made for.
    pub(super) machine_kernels: usize,
    pub(super) machine_bytes: usize,
    pub(super) refusals: Vec<Refusal>,
    pub(super) seconds: Seconds,
}

/// Where the time went; threads added together.
#[derive(Default, Serialize)]
pub(super) struct Seconds {
    pub(super) parse: f64,
    pub(super) compile: f64,
    /// Both decodings and machine code.
    pub(super) decode: f64,
}

/// What is refused and why.
#[derive(Serialize)]
pub(super) struct Refusal {
    /// Which text of the file; empty for a file that is a text itself.
    pub(super) module: String,
    /// Function, where one is known.
    pub(super) function: Option<String>,
    /// Line of the PTX text.
    pub(super) line: Option<u32>,
    /// The instruction.
    pub(super) instruction: Option<String>,
    /// Kind of refusal.
    pub(super) kind: Kind,
    /// Why.
    pub(super) reason: String,
}

/// Kinds of refusals.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// The file or the text cannot be read.
    Unreadable,
    /// It is not legal PTX.
    Invalid,
    /// It uses what is defined in another module.
    Undefined,
    /// It is legal, and not executed here.
    Unsupported,
}

impl Report {
    /// Adds another one.
    pub(super) fn add(&mut self, other: Self) {
        self.modules += other.modules;
        self.kernels += other.kernels;
        self.instructions += other.instructions;
        self.inlined_instructions += other.inlined_instructions;
        self.machine_kernels += other.machine_kernels;
        self.machine_bytes += other.machine_bytes;
        self.refusals.extend(other.refusals);
        self.seconds.parse += other.seconds.parse;
        self.seconds.compile += other.seconds.compile;
        self.seconds.decode += other.seconds.decode;
    }

    /// Records a refusal that is not about one instruction.
    pub(super) fn refuse(&mut self, module: &str, kind: Kind, reason: String) {
        self.refusals.push(Refusal {
            module: module.to_owned(),
            function: None,
            line: None,
            instruction: None,
            kind,
            reason,
        });
    }

    fn refuse_ptx(&mut self, module: &str, function: Option<&str>, error: &tessera_ptx::Error) {
        self.refusals.push(Refusal {
            module: module.to_owned(),
            function: function.map(str::to_owned),
            line: Some(error.loc().line).filter(|&line| line > 0),
            instruction: Some(error.near().to_owned()).filter(|near| !near.is_empty()),
            kind: Kind::Invalid,
            reason: error.kind().to_string(),
        });
    }
}

/// Addresses that differ; nothing is ever stored there.
pub(crate) struct Places<'m>(pub(crate) &'m Module);

/// Where the variables would begin, and what each has for itself.
const VARIABLES: u64 = 0x2000_0000_0000;
const ROOM: u64 = 1 << 32;
const CODE: u64 = 0x1000;

impl Symbols for Places<'_> {
    fn variable(&self, id: VarId) -> Option<u64> {
        let defined = self.0.vars.get(id)?.linkage != Linkage::Extern;
        defined.then(|| VARIABLES + id.index() as u64 * ROOM)
    }

    fn function(&self, id: FuncId) -> Option<u64> {
        Some(CODE + id.index() as u64 * 16)
    }
}

/// Adds the time since the last call to a sum.
fn lap(since: &mut Instant, sum: &mut f64) {
    let now = Instant::now();
    *sum += (now - *since).as_secs_f64();
    *since = now;
}

/// Loads a module of one text or of several that are linked.
pub(super) fn load(name: &str, texts: &[Cow<'_, [u8]>]) -> Report {
    let mut report = Report {
        modules: 1,
        ..Report::default()
    };
    let mut clock = Instant::now();
    let parsed: Vec<Module> = texts
        .iter()
        .filter_map(|text| parse(name, text, &mut report))
        .collect();
    lap(&mut clock, &mut report.seconds.parse);
    if !report.refusals.is_empty() {
        return report;
    }
    match tessera_ptx::link(parsed, SUPPLIED) {
        Ok(module) => kernels(name, &module, &mut report, &mut clock),
        Err(LinkError::Body(error)) => report.refuse_ptx(name, None, &error),
        Err(error) => report.refuse(name, Kind::Undefined, error.to_string()),
    }
    report
}

/// Parses and verifies a text with all its bodies.
fn parse(name: &str, text: &[u8], report: &mut Report) -> Option<Module> {
    let parsed = tessera_ptx::parse_module(text).and_then(|module| {
        tessera_ptx::verify::verify_module(&module)?;
        Ok(module)
    });
    let module = match parsed {
        Ok(module) => module,
        Err(error) => {
            report.refuse_ptx(name, None, &error);
            return None;
        }
    };
    for (id, function) in module.funcs.iter().filter(|(_, function)| function.defined) {
        match module.body(id) {
            Ok(body) => report.instructions += body.insts.len(),
            Err(error) => report.refuse_ptx(name, Some(&function.name), &error),
        }
    }
    report.kernels += module.entries().count();
    Some(module)
}

/// Compiles, decodes and makes machine code of every kernel.
fn kernels(name: &str, module: &Module, report: &mut Report, clock: &mut Instant) {
    for (id, _) in module.entries() {
        let program = tessera_engine::compile(module, id, &Places(module));
        lap(clock, &mut report.seconds.compile);
        match program {
            Ok(program) => {
                report.inlined_instructions += program.instructions();
                let made = program.make(block(&program));
                report.machine_kernels += usize::from(made.machine.is_some());
                report.machine_bytes += made.machine.unwrap_or(0);
                lap(clock, &mut report.seconds.decode);
            }
            Err(error) => report.refusals.push(refusal(name, error)),
        }
    }
}

/// The shape of blocks that a kernel demands, or a common one.
fn block(program: &Program) -> [u32; 3] {
    let resources = program.resources();
    let free = [resources.max_threads.min(256), 1, 1];
    resources
        .required_block
        .map_or(free, |block| block.map(|d| d.max(1)))
}

fn refusal(module: &str, error: CompileError) -> Refusal {
    let mut refusal = Refusal {
        module: module.to_owned(),
        function: None,
        line: None,
        instruction: None,
        kind: Kind::Unsupported,
        reason: error.to_string(),
    };
    match error {
        CompileError::Unsupported {
            function,
            text,
            line,
            why,
        } => {
            refusal.function = Some(function);
            refusal.line = Some(line);
            refusal.instruction = Some(text);
            refusal.reason = why;
        }
        CompileError::Undefined { function, name, line } => {
            refusal.function = Some(function);
            refusal.line = Some(line);
            refusal.kind = Kind::Undefined;
            refusal.reason = format!("`{name}` is not defined");
        }
        CompileError::TooLarge { ref function, .. } => refusal.function = Some(function.clone()),
        _ => refusal.kind = Kind::Invalid,
    }
    refusal
}
