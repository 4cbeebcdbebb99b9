//! Functions with blocks of their own, and the calls of them.
//!
//! ```text
//!  call   arguments to the registers of the signature, number of the call to `back`
//!         [save: what the caller still wants, to the thread's stack]
//!         Jump to the function, or Switch over those that an address may mean
//!  entry  arguments and `back` to registers of the function's own    [frame: room for its `.local` variables]
//!  ret    results to the registers of the signature                  [the frame is given back]
//!         Switch over the calls of this signature
//!  back   [restore] results to where the caller wants them
//! ```
//!
//! Registers are not shared between functions, so only a call by which the caller may be entered again saves anything. Until all blocks are
//! there, a call jumps to its own `back` and a `ret` goes nowhere: on that graph, what is live at `back` is what has to be saved.

use std::collections::{BTreeMap, HashMap};

use tessera_ptx::module::Symbol;
use tessera_ptx::{FuncId, Inst as PtxInst, Operand, Param, Type as T};

use super::graph::{self, Signature};
use super::{Binding, Local, Lower, ParamVar, Result};
use crate::analysis::live::Live;
use crate::error::FaultKind;
use crate::exec::alu::{Alu, Class};
use crate::lir::{Access, B, Konst, MemType, Order, PredOp, Space, Term, V, What};

/// Candidates of an indirect call that are told apart by a table instead of one by one, if it has at most so many places.
const TABLE: u64 = 1 << 16;

/// A part of a parameter: offset, bytes, register.
pub(super) type Cell = (u32, u32, V);

/// The registers by which values go to functions of one signature and back.
struct Convention {
    params: Vec<Vec<Cell>>,
    rets: Vec<Vec<Cell>>,
    /// Number of the call, among those of this signature.
    back: V,
    calls: Vec<usize>,
}

/// A function with blocks of its own.
struct Region {
    convention: usize,
    entry: B,
    /// The block that `ret` goes to.
    done: B,
}

/// A call of one.
struct Call {
    /// It ends in the call.
    block: usize,
    /// Where it comes back.
    back: B,
    callees: Vec<FuncId>,
    /// Register that chooses, and what its values mean; none for a call by name.
    switch: Option<(V, Vec<Option<FuncId>>)>,
    /// Function whose blocks hold it; none in the kernel's.
    root: Option<FuncId>,
    line: (u32, u32),
}

/// The frame of a function that can be called while it runs.
pub(super) struct Frame {
    /// Address of its `.local` variables, in local memory.
    pub(super) base: V,
    pub(super) bytes: u32,
    pub(super) align: u32,
}

/// Everything about outlined functions of a kernel.
#[derive(Default)]
pub(super) struct Regions {
    conventions: Vec<Convention>,
    by_signature: HashMap<Signature, usize>,
    regions: BTreeMap<FuncId, Region>,
    waiting: Vec<FuncId>,
    calls: Vec<Call>,
    /// Function whose blocks are being made.
    root: Option<FuncId>,
    /// Its frame, when it has one.
    pub(super) frame: Option<Frame>,
    /// First free byte of the thread's stack, in local memory.
    pointer: Option<V>,
}

/// The parts in which `size` bytes travel.
fn parts(size: u32) -> Vec<(u32, u32)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < size {
        let left = size - at;
        let bytes = if left >= 8 {
            8
        } else {
            1 << (31 - left.leading_zeros())
        };
        found.push((at, bytes));
        at += bytes;
    }
    found
}

const fn class_of_bytes(bytes: u32) -> Class {
    if bytes == 8 { Class::W64 } else { Class::W32 }
}

impl Lower<'_> {
    fn cells(&mut self, size: u32) -> Vec<Cell> {
        let parts = parts(size).into_iter();
        let cells: Vec<Cell> = parts
            .map(|(at, bytes)| (at, bytes, self.temp(class_of_bytes(bytes))))
            .collect();
        self.kernel.carriers.extend(cells.iter().map(|cell| cell.2));
        cells
    }

    fn convention(&mut self, signature: Signature) -> usize {
        if let Some(&known) = self.regions.by_signature.get(&signature) {
            return known;
        }
        let params = signature.params.iter().map(|&size| self.cells(size)).collect();
        let rets = signature.rets.iter().map(|&size| self.cells(size)).collect();
        let back = self.temp(Class::W32);
        self.regions.conventions.push(Convention {
            params,
            rets,
            back,
            calls: Vec::new(),
        });
        let number = self.regions.conventions.len() - 1;
        self.regions.by_signature.insert(signature, number);
        number
    }

    /// The blocks of a function, to be filled later.
    fn region(&mut self, func: FuncId) {
        if self.regions.regions.contains_key(&func) {
            return;
        }
        let f = &self.module.funcs[func];
        let convention = self.convention(Signature::new(&f.rets, &f.params));
        let (entry, done) = (self.new_block(), self.new_block());
        let region = Region {
            convention,
            entry,
            done,
        };
        self.regions.regions.insert(func, region);
        self.regions.waiting.push(func);
    }

    /// A call by name of an outlined function. No guard is in force.
    pub(super) fn call_region(&mut self, inst: &PtxInst, callee: FuncId) -> Result<()> {
        let module = self.module;
        let f = &module.funcs[callee];
        self.enter(inst, (&f.rets, &f.params), vec![callee], None)
    }

    /// A call through an address. No guard is in force.
    pub(super) fn call_indirect(&mut self, inst: &PtxInst) -> Result<()> {
        let module = self.module;
        let body = self.scope().body;
        let Some(types) = graph::prototype(module, body, inst) else {
            return self.refuse("an indirect call without a prototype");
        };
        let found = self.plan.candidates(module, body, inst);
        let mut handles = Vec::new();
        for func in found {
            match self.symbols.function(func) {
                Some(handle) => handles.push((handle, func)),
                None => return self.refuse("the address of a function that has none"),
            }
        }
        handles.sort_unstable();
        let handle = self.arg(inst, 1, T::U64)?;
        let switch = self.choose(handle, &handles);
        let callees = handles.into_iter().map(|h| h.1).collect();
        self.enter(inst, types, callees, Some(switch))
    }

    /// From the address of a function to a number, and what the numbers mean. Numbers beyond them, too, are an invalid program counter.
    fn choose(&mut self, handle: V, handles: &[(u64, FuncId)]) -> (V, Vec<Option<FuncId>>) {
        let (Some(&(lo, _)), Some(&(hi, _))) = (handles.first(), handles.last()) else {
            return (self.imm32(0), Vec::new());
        };
        let shift = handles
            .iter()
            .fold(0, |all, h| all | (h.0 - lo))
            .trailing_zeros()
            .min(63);
        let places = (hi - lo) >> shift;
        let wrong = self.imm32(u32::MAX);
        if places >= TABLE {
            let mut number = wrong;
            for (k, &(h, _)) in (0u32..).zip(handles) {
                let (h, k) = (self.imm64(h), self.imm32(k));
                let same = self.alu(Alu::EqU64, 0, &[handle, h]);
                number = self.alu(Alu::Sel32, 0, &[k, number, same]);
            }
            return (number, handles.iter().map(|h| Some(h.1)).collect());
        }
        let mut table = vec![None; usize::try_from(places).unwrap_or(0) + 1];
        for &(h, func) in handles {
            table[usize::try_from((h - lo) >> shift).unwrap_or(0)] = Some(func);
        }
        let (lo, amount, most) = (self.imm64(lo), self.imm32(shift), self.imm64(u64::from(u32::MAX)));
        let offset = self.alu(Alu::Sub64, 0, &[handle, lo]);
        let number = self.alu(Alu::ShrU64, 0, &[offset, amount]);
        let whole = self.alu(Alu::Shl64, 0, &[number, amount]);
        let exact = self.alu(Alu::EqU64, 0, &[whole, offset]);
        let number = self.alu(Alu::MinU64, 0, &[number, most]);
        let number = self.alu(Alu::Low32, 0, &[number]);
        (self.alu(Alu::Sel32, 0, &[number, wrong, exact]), table)
    }

    /// Arguments, the jump, results.
    fn enter(
        &mut self,
        inst: &PtxInst,
        (rets, params): (&[Param], &[Param]),
        callees: Vec<FuncId>,
        switch: Option<(V, Vec<Option<FuncId>>)>,
    ) -> Result<()> {
        if params.iter().any(|p| p.elements == Some(0)) {
            return self.refuse("a variadic function that is recursive or called through its address");
        }
        let (ret_ops, arg_ops) = (super::call::operands(inst, 0), super::call::operands(inst, 2));
        if ret_ops.len() != rets.len() || arg_ops.len() != params.len() {
            return self.refuse("the number of arguments is not the function's");
        }
        let number = self.convention(Signature::new(rets, params));
        let mut moves = Vec::new();
        for (n, (operand, param)) in arg_ops.iter().zip(params).enumerate() {
            for (at, bytes, to) in self.regions.conventions[number].params[n].clone() {
                let value = self.argument_part(operand, param.ty, at, bytes)?;
                moves.push((to, self.coerce(value, class_of_bytes(bytes))));
            }
        }
        for (to, value) in moves {
            self.mov(to, value);
        }
        for &callee in &callees {
            self.region(callee);
        }
        let convention = &mut self.regions.conventions[number];
        let mine = u32::try_from(convention.calls.len()).unwrap_or(u32::MAX);
        convention.calls.push(self.regions.calls.len());
        let to = convention.back;
        let mine = self.imm32(mine);
        self.mov(to, mine);
        let back = self.new_block();
        self.end(Term::Jump(back));
        self.regions.calls.push(Call {
            block: self.current,
            back,
            callees,
            switch,
            root: self.regions.root,
            line: (self.at, self.line),
        });
        self.switch_to(back);
        for (n, operand) in ret_ops.iter().enumerate() {
            for (at, bytes, from) in self.regions.conventions[number].rets[n].clone() {
                self.result_part(operand, at, bytes, from)?;
            }
        }
        Ok(())
    }

    /// Bytes of an argument as a register.
    fn argument_part(&mut self, operand: &Operand, ty: T, at: u32, bytes: u32) -> Result<V> {
        let binding = match operand {
            Operand::Sym {
                symbol: Symbol::Local(id),
                offset: 0,
            } => match self.scope().locals.get(id) {
                Some(Local::Param(var)) => Some(Binding::Var(*var)),
                _ => None,
            },
            Operand::Sym {
                symbol: Symbol::Param(n),
                offset: 0,
            } => self.scope().params.get(*n as usize).copied(),
            _ => None,
        };
        match binding {
            Some(binding) => self.read_binding(binding, at, bytes),
            None => {
                let value = self.source(operand, ty)?;
                // A pair holds sixteen bytes.
                Ok(if at == 8 { value + 1 } else { value })
            }
        }
    }

    /// Gives bytes of a result to where the call wants them.
    fn result_part(&mut self, operand: &Operand, at: u32, bytes: u32, from: V) -> Result<()> {
        match operand {
            Operand::Sink => Ok(()),
            Operand::Reg(reg) => {
                let d = self.register(*reg);
                self.assign(if at == 8 { d + 1 } else { d }, from);
                Ok(())
            }
            Operand::Sym {
                symbol: Symbol::Local(id),
                offset: 0,
            } => match self.scope().locals.get(id) {
                Some(Local::Param(var)) => {
                    let var = *var;
                    self.write_cell(var, at, bytes, from)
                }
                _ => self.refuse("this return value"),
            },
            _ => self.refuse("this return value"),
        }
    }

    /// Lowers all outlined functions that are called, then ties calls and returns together.
    pub(super) fn lower_regions(&mut self) -> Result<()> {
        while let Some(func) = self.regions.waiting.pop() {
            self.lower_region(func)?;
        }
        if !self.regions.calls.is_empty() {
            self.tie();
        }
        Ok(())
    }

    fn lower_region(&mut self, func: FuncId) -> Result<()> {
        let module = self.module;
        let f = &module.funcs[func];
        let region = &self.regions.regions[&func];
        let (number, entry, done) = (region.convention, region.entry, region.done);
        self.head(&f.name, f.loc.line);
        self.regions.root = Some(func);
        self.regions.frame = self.plan.recursive(func).then(|| Frame {
            base: self.temp(Class::W64),
            bytes: 0,
            align: 16,
        });
        self.switch_to(entry);
        let mut params = Vec::new();
        for n in 0..f.params.len() {
            let given = self.regions.conventions[number].params[n].clone();
            let cells = given.iter().map(|&(at, bytes, from)| {
                let own = self.temp(class_of_bytes(bytes));
                self.mov(own, from);
                (at, bytes, own)
            });
            let cells = cells.collect();
            params.push(self.new_var(ParamVar {
                cells,
                size: f.params[n].size,
            }));
        }
        let back = self.temp(Class::W32);
        self.mov(back, self.regions.conventions[number].back);
        let mut rets = Vec::new();
        for ret in &f.rets {
            let cells = self.cells(ret.size);
            rets.push(self.new_var(ParamVar {
                cells,
                size: ret.size,
            }));
        }
        let at = self.at;
        let first = self.function(func, params, rets.clone(), Some(done))?;
        self.at = at;
        let kept = self.open_frame(entry, first);
        self.switch_to(done);
        for (n, binding) in rets.into_iter().enumerate() {
            for (at, bytes, to) in self.regions.conventions[number].rets[n].clone() {
                let value = self.read_binding(binding, at, bytes)?;
                self.mov(to, value);
            }
        }
        if let (Some(kept), Some(pointer)) = (kept, self.regions.pointer) {
            self.mov(pointer, kept);
        }
        self.end(Term::Switch {
            index: back,
            targets: Vec::new(),
        });
        self.regions.root = None;
        Ok(())
    }

    /// Makes room for the variables of a recursive function at its entry. Returns the stack pointer as it was before.
    fn open_frame(&mut self, entry: B, first: B) -> Option<V> {
        self.switch_to(entry);
        let frame = self.regions.frame.take().filter(|frame| frame.bytes > 0);
        let kept = frame.map(|frame| {
            let pointer = self.stack_pointer();
            let kept = self.temp(Class::W64);
            self.mov(kept, pointer);
            let base = self.aligned(kept, frame.align);
            self.mov(frame.base, base);
            self.grow(base, frame.bytes);
            kept
        });
        self.end(Term::Jump(first));
        kept
    }

    /// The next multiple of an alignment.
    pub(super) fn aligned(&mut self, at: V, align: u32) -> V {
        if align <= 16 {
            // The stack pointer always is a multiple of 16.
            return at;
        }
        let mask = u64::from(align) - 1;
        let (up, mask) = (self.imm64(mask), self.imm64(!mask));
        let sum = self.alu(Alu::Add64, 0, &[at, up]);
        self.alu(Alu::And64, 0, &[sum, mask])
    }

    /// The register of the stack pointer; the kernel sets it at its start.
    pub(super) fn stack_pointer(&mut self) -> V {
        if let Some(pointer) = self.regions.pointer {
            return pointer;
        }
        let pointer = self.temp(Class::W64);
        self.regions.pointer = Some(pointer);
        pointer
    }

    /// Moves the stack pointer to `base` plus so many bytes, or faults.
    fn grow(&mut self, base: V, bytes: u32) {
        let bytes = self.imm64(u64::from(bytes.next_multiple_of(16)));
        let top = self.alu(Alu::Add64, 0, &[base, bytes]);
        self.set_stack(top);
    }

    /// Sets the stack pointer, or faults when it is beyond the end.
    pub(super) fn set_stack(&mut self, top: V) {
        let end = self.konst(Class::W64, Konst::StackEnd);
        let over = self.alu(Alu::GtU64, 0, &[top, end]);
        self.push(
            What::Raise(FaultKind::StackOverflow),
            &[],
            &[],
            Some((over, false)),
        );
        let pointer = self.stack_pointer();
        self.mov(pointer, top);
    }

    /// Sets the stack pointer at the start of the kernel: it is known now how much local memory lies below the stack.
    pub(super) fn start_stack(&mut self) {
        let Some(pointer) = self.regions.pointer else {
            return;
        };
        self.kernel.local_bytes = self.kernel.local_bytes.next_multiple_of(16);
        self.kernel.stack = true;
        // To its end, wherever the launch puts that.
        self.object(
            Space::Local,
            "the stack",
            self.kernel.local_bytes,
            u64::from(u32::MAX),
        );
        let base = self.imm64(u64::from(self.kernel.local_bytes));
        self.switch_to(0);
        self.mov(pointer, base);
        let set = self.kernel.blocks[0].insts.pop();
        self.kernel.blocks[0].insts.splice(0..0, set);
    }

    /// Calls and returns get their targets; calls that may come back into their own function save and restore.
    fn tie(&mut self) {
        let live = Live::new(&self.kernel);
        let calls = std::mem::take(&mut self.regions.calls);
        let mut fixed: Vec<V> = self.regions.pointer.into_iter().collect();
        for c in &self.regions.conventions {
            fixed.extend(c.rets.iter().flatten().map(|cell| cell.2));
        }
        fixed.sort_unstable();
        for call in &calls {
            (self.at, self.line) = call.line;
            let again = |root| call.callees.iter().any(|&to| self.plan.reenters(root, to));
            if call.root.is_some_and(again) {
                let set = live.live_in[call.back as usize].iter();
                let wanted = set
                    .map(|i| live.shared[i])
                    .filter(|v| fixed.binary_search(v).is_err())
                    .collect();
                self.save(call, wanted);
            }
            let entry = |func: &FuncId| self.regions.regions[func].entry;
            let term = match &call.switch {
                None => Term::Jump(entry(&call.callees[0])),
                Some((index, table)) => {
                    let found: Vec<_> = table.iter().map(|func| func.as_ref().map(entry)).collect();
                    let targets = self.with_holes(found);
                    Term::Switch {
                        index: *index,
                        targets,
                    }
                }
            };
            self.switch_to(u32::try_from(call.block).unwrap_or(0));
            self.end(term);
        }
        let regions = std::mem::take(&mut self.regions.regions);
        for (func, region) in &regions {
            let convention = &self.regions.conventions[region.convention];
            let found = convention.calls.iter().map(|&c| {
                let call = &calls[c];
                call.callees.contains(func).then_some(call.back)
            });
            let found = found.collect();
            self.at = self.kernel.blocks[region.done as usize].at;
            let all = self.with_holes(found);
            if let Term::Switch { targets, .. } = &mut self.kernel.blocks[region.done as usize].term {
                *targets = all;
            }
        }
    }

    /// Targets of a switch; where there is none, control faults.
    fn with_holes(&mut self, found: Vec<Option<B>>) -> Vec<B> {
        let mut hole = None;
        let mut targets = Vec::with_capacity(found.len());
        for target in found {
            targets.push(match (target, hole) {
                (Some(target), _) | (None, Some(target)) => target,
                (None, None) => {
                    let block = self.new_block();
                    self.switch_to(block);
                    self.push(What::Raise(FaultKind::InvalidPc), &[], &[], None);
                    hole = Some(block);
                    block
                }
            });
        }
        targets
    }

    /// Saves registers before a call and restores them after it.
    fn save(&mut self, call: &Call, mut wanted: Vec<V>) {
        if wanted.is_empty() {
            return;
        }
        // Wide ones first: each is then aligned.
        wanted.sort_by_key(|&v| self.class(v) != Class::W64);
        let pointer = self.stack_pointer();
        let mut places = Vec::new();
        let mut bytes = 0u32;
        for v in wanted {
            places.push((v, bytes));
            bytes += if self.class(v) == Class::W64 { 8 } else { 4 };
        }
        let bytes = bytes.next_multiple_of(16);
        self.switch_to(u32::try_from(call.block).unwrap_or(0));
        let below = self.temp(Class::W64);
        self.mov(below, pointer);
        self.grow(below, bytes);
        for &(v, at) in &places {
            let value = if self.class(v) == Class::Pred {
                let (one, zero) = (self.imm32(1), self.imm32(0));
                self.alu(Alu::Sel32, 0, &[one, zero, v])
            } else {
                v
            };
            let access = on_stack(self.class(value), at);
            self.push(What::Store(access), &[], &[below, value], None);
        }
        let results = std::mem::take(&mut self.kernel.blocks[call.back as usize].insts);
        self.switch_to(call.back);
        let size = self.imm64(u64::from(bytes));
        let below = self.alu(Alu::Sub64, 0, &[pointer, size]);
        self.mov(pointer, below);
        for (v, at) in places {
            if self.class(v) == Class::Pred {
                let word = self.temp(Class::W32);
                self.push(What::Load(on_stack(Class::W32, at)), &[word], &[below], None);
                let zero = self.imm32(0);
                let set = self.alu(Alu::NeU32, 0, &[word, zero]);
                self.push(What::Pred(PredOp::Mov), &[v], &[set], None);
            } else {
                let access = on_stack(self.class(v), at);
                self.push(What::Load(access), &[v], &[below], None);
            }
        }
        self.kernel.blocks[call.back as usize].insts.extend(results);
    }

    /// A load from local memory.
    pub(super) fn load_local(&mut self, base: V, offset: i32, bytes: u32) -> V {
        let d = self.temp(class_of_bytes(bytes));
        self.push(What::Load(local(bytes, offset)), &[d], &[base], None);
        d
    }

    /// A store to local memory.
    pub(super) fn store_local(&mut self, base: V, offset: i32, bytes: u32, value: V) {
        let value = self.coerce(value, class_of_bytes(bytes));
        self.push(What::Store(local(bytes, offset)), &[], &[base, value], None);
    }
}

fn local(bytes: u32, offset: i32) -> Access {
    Access {
        space: Space::Local,
        ty: match bytes {
            1 => MemType::U8,
            2 => MemType::U16,
            4 => MemType::B32,
            _ => MemType::B64,
        },
        n: 1,
        order: Order::Weak,
        offset,
        align: 0,
    }
}

fn on_stack(class: Class, at: u32) -> Access {
    let bytes = if class == Class::W64 { 8 } else { 4 };
    local(bytes, i32::try_from(at).unwrap_or(0))
}
