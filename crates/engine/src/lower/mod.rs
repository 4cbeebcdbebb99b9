//! From PTX to [`Kernel`]: calls inlined or tied to functions with blocks of their own, `.param` variables of calls turned into
//! registers, modifiers resolved.
//!
//! One source file per family of instructions; this one has the builder, blocks and control flow.

mod alu;
mod asynchronous;
mod atomic;
mod call;
mod cluster;
mod compare;
mod convert;
mod float;
mod graph;
mod matrix;
mod media;
mod memory;
mod objects;
mod operand;
mod params;
mod region;
mod texture;
mod tiny;
mod warp;

use std::collections::HashMap;
use std::sync::Arc;

use smallvec::SmallVec;
use tessera_ptx::Opcode as O;
use tessera_ptx::body::Body;
use tessera_ptx::{
    BlockId, FuncId, Id, Inst as PtxInst, InstId, LocalId, Module, Opcode, Operand, RegId, Type, VarId,
};

use crate::error::CompileError;
use crate::exec::alu::{Alu, Class};
use crate::lir::{B, Block, Inst, Kernel, Konst, Place, PredOp, Term, V, Vreg, What};
use crate::program::Symbols;

/// Instructions that a kernel may have once its calls are inlined.
const MAX_INSTRUCTIONS: usize = 4_000_000;

pub(crate) type Result<T> = std::result::Result<T, CompileError>;

/// A `.param` variable of a call: cells of registers by offset and size.
#[derive(Default)]
struct ParamVar {
    cells: Vec<region::Cell>,
    /// Bytes of the whole variable.
    size: u32,
}

/// What a parameter of the function being lowered stands for.
#[derive(Clone, Copy)]
enum Binding {
    /// Parameter of the kernel.
    Launch { offset: u32 },
    /// Variable of the caller.
    Var(usize),
    /// Local memory: its address is taken.
    Memory(Local),
    /// `_`
    Nothing,
}

/// The function being lowered, once per place that it is inlined at.
struct Scope<'m> {
    func: FuncId,
    body: &'m Body,
    name: Arc<str>,
    regs: Vec<Option<V>>,
    blocks: Vec<B>,
    params: Vec<Binding>,
    rets: Vec<Binding>,
    locals: HashMap<LocalId, Local>,
    /// Where `ret` goes; `None` in the kernel itself.
    after: Option<B>,
    carry: Option<V>,
    /// Return values that are collected in local memory, and the variables that they go to in the end.
    returned: Vec<(Local, usize)>,
    /// The stack pointer as it was when the function was entered.
    frame: Option<V>,
}

/// A variable declared in a body.
#[derive(Clone, Copy)]
enum Local {
    Shared(u32),
    Private(u32),
    /// In the frame of a function that can be called while it runs.
    Framed(u32),
    Param(usize),
    /// In the module's memory: `.global` and `.const` at body scope.
    Unsupported,
}

/// The builder.
pub(crate) struct Lower<'m> {
    module: &'m Module,
    symbols: &'m dyn Symbols,
    kernel: Kernel,
    current: usize,
    konsts: HashMap<(Class, Konst), V>,
    /// Registers of addresses inside variables, by class, variable and address.
    object_konsts: HashMap<(Class, u32, u64), V>,
    shared_vars: HashMap<SharedKey, u32>,
    dynamic_shared: Vec<V>,
    param_vars: Vec<ParamVar>,
    stack: Vec<Scope<'m>>,
    entry: FuncId,
    plan: graph::Plan,
    regions: region::Regions,
    guard: Option<(V, bool)>,
    at: u32,
    line: u32,
    text: String,
    instructions: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum SharedKey {
    Module(VarId),
    Body(FuncId, LocalId),
    /// What `%reserved_smem_offset_begin` and the like are about.
    Reserved,
}

/// Lowers the kernel `entry`.
pub(crate) fn lower(module: &Module, entry: FuncId, symbols: &dyn Symbols) -> Result<Kernel> {
    let func = module
        .funcs
        .get(entry)
        .ok_or_else(|| CompileError::NotAnEntry(format!("{entry:?}")))?;
    let mut lower = Lower {
        module,
        symbols,
        kernel: Kernel {
            shared_align: 16,
            ..Kernel::default()
        },
        current: 0,
        konsts: HashMap::new(),
        object_konsts: HashMap::new(),
        shared_vars: HashMap::new(),
        dynamic_shared: Vec::new(),
        param_vars: Vec::new(),
        stack: Vec::new(),
        entry,
        plan: graph::Plan::new(module, entry),
        regions: region::Regions::default(),
        guard: None,
        at: 0,
        line: func.loc.line,
        text: String::new(),
        instructions: 0,
    };
    lower.head(&func.name, func.loc.line);
    let params = func
        .params
        .iter()
        .map(|p| Binding::Launch { offset: p.offset })
        .collect();
    // Nothing jumps to the first block, whatever the function does.
    let start = lower.new_block();
    let first = lower.function(entry, params, Vec::new(), None)?;
    lower.switch_to(start);
    lower.end(Term::Jump(first));
    lower.guard = None;
    lower.lower_regions()?;
    lower.start_stack();
    lower.place_dynamic_shared();
    Ok(lower.kernel)
}

impl<'m> Lower<'m> {
    fn scope(&self) -> &Scope<'m> {
        // A scope is pushed before anything is lowered and popped after.
        &self.stack[self.stack.len() - 1]
    }

    fn scope_mut(&mut self) -> &mut Scope<'m> {
        let top = self.stack.len() - 1;
        &mut self.stack[top]
    }

    /// The error that says that an instruction is not executed.
    fn refuse<T>(&self, why: impl Into<String>) -> Result<T> {
        Err(CompileError::Unsupported {
            function: self.stack.last().map_or_else(String::new, |s| s.name.to_string()),
            text: self.text.clone(),
            line: self.line,
            why: why.into(),
        })
    }

    fn new_block(&mut self) -> B {
        let id = self.kernel.blocks.len();
        self.kernel.blocks.push(Block {
            insts: Vec::new(),
            term: Term::Exit,
            at: self.at,
        });
        B::try_from(id).unwrap_or(B::MAX)
    }

    fn switch_to(&mut self, block: B) {
        self.current = block as usize;
    }

    /// Ends the current block.
    fn end(&mut self, term: Term) {
        let block = &mut self.kernel.blocks[self.current];
        block.term = term;
        block.at = self.at;
    }

    /// A fresh register.
    fn temp(&mut self, class: Class) -> V {
        let id = V::try_from(self.kernel.vregs.len()).unwrap_or(V::MAX);
        self.kernel.vregs.push(Vreg { class, konst: None });
        id
    }

    /// The register of a constant.
    fn konst(&mut self, class: Class, konst: Konst) -> V {
        if let Some(&v) = self.konsts.get(&(class, konst)) {
            return v;
        }
        let id = V::try_from(self.kernel.vregs.len()).unwrap_or(V::MAX);
        self.kernel.vregs.push(Vreg {
            class,
            konst: Some(konst),
        });
        self.konsts.insert((class, konst), id);
        id
    }

    fn imm32(&mut self, value: u32) -> V {
        self.konst(Class::W32, Konst::Imm(u64::from(value)))
    }

    fn imm64(&mut self, value: u64) -> V {
        self.konst(Class::W64, Konst::Imm(value))
    }

    fn class(&self, v: V) -> Class {
        self.kernel.vregs[v as usize].class
    }

    /// An instruction under the guard of the PTX instruction.
    fn emit(&mut self, what: What, d: &[V], s: &[V]) {
        let stops = matches!(
            what,
            What::Bar { .. }
                | What::Hook(_)
                | What::BarWarp
                | What::Shfl(_)
                | What::Vote(_)
                | What::Match { .. }
                | What::Redux(_)
                | What::Elect
                | What::Mma(_)
                | What::LoadMatrix(_)
                | What::StoreMatrix(_)
                | What::MoveMatrix
                | What::Quarters(_)
                | What::LoadTile(_)
                | What::StoreTile(_)
                | What::Sleep
                | What::Cluster { .. }
        ) || matches!(what, What::Thread(thread) if thread.what.stops());
        match self.guard {
            // What a split can stop at is jumped around, so that it stands there with exactly the lanes concerned.
            Some((pred, negated)) if stops => {
                let (inside, after) = (self.new_block(), self.new_block());
                self.end(Term::Branch {
                    pred,
                    negated,
                    taken: inside,
                    other: after,
                });
                self.switch_to(inside);
                self.push(what, d, s, None);
                self.end(Term::Jump(after));
                self.switch_to(after);
            }
            guard => self.push(what, d, s, guard),
        }
    }

    fn push(&mut self, what: What, d: &[V], s: &[V], guard: Option<(V, bool)>) {
        self.instructions += 1;
        let inst = Inst {
            what,
            d: SmallVec::from_slice(d),
            s: SmallVec::from_slice(s),
            guard,
            at: self.at,
        };
        self.kernel.blocks[self.current].insts.push(inst);
    }

    /// An arithmetic result in a fresh register. It is computed in every lane, guard or not: nobody sees it but this expansion.
    fn alu(&mut self, alu: Alu, x: u32, s: &[V]) -> V {
        let d = self.temp(alu.signature().1);
        self.push(What::Alu(alu, x), &[d], s, None);
        d
    }

    /// An arithmetic result in `d`, under the guard.
    fn alu_to(&mut self, d: V, alu: Alu, x: u32, s: &[V]) {
        self.emit(What::Alu(alu, x), &[d], s);
    }

    fn pred(&mut self, op: PredOp, s: &[V]) -> V {
        let d = self.temp(Class::Pred);
        self.push(What::Pred(op), &[d], s, None);
        d
    }

    /// Copies under the guard; classes are equal.
    fn mov(&mut self, d: V, s: V) {
        match self.class(d) {
            Class::W32 => self.alu_to(d, Alu::Mov32, 0, &[s]),
            Class::W64 => self.alu_to(d, Alu::Mov64, 0, &[s]),
            Class::Pred => self.emit(What::Pred(PredOp::Mov), &[d], &[s]),
        }
    }

    /// Lowers a function and returns its first block. `ret` goes to `after`, or ends the thread.
    fn function(
        &mut self,
        func: FuncId,
        params: Vec<Binding>,
        rets: Vec<Binding>,
        after: Option<B>,
    ) -> Result<B> {
        let module = self.module;
        let name: Arc<str> = Arc::from(&*module.funcs[func].name);
        let body = module.body(func).map_err(|error| CompileError::Unsupported {
            function: name.to_string(),
            text: error.to_string(),
            line: module.funcs[func].loc.line,
            why: "the body is not valid PTX".to_owned(),
        })?;
        let blocks: Vec<B> = body.blocks.ids().map(|_| self.new_block()).collect();
        self.stack.push(Scope {
            func,
            body,
            name,
            regs: vec![None; body.regs.len()],
            blocks,
            params,
            rets,
            locals: HashMap::new(),
            after,
            carry: None,
            returned: Vec::new(),
            frame: None,
        });
        self.declare()?;
        self.guard = None;
        let start = self.scope().blocks.first().copied();
        let start = start.map(|first| self.prologue(first)).transpose()?;
        for block in body.blocks.ids() {
            self.block(body, block)?;
        }
        let first = match start {
            Some(first) => first,
            None => {
                // A body without instructions.
                let only = self.new_block();
                self.switch_to(only);
                self.leave()?;
                only
            }
        };
        self.stack.pop();
        Ok(first)
    }

    fn block(&mut self, body: &'m Body, id: BlockId) -> Result<()> {
        let own = self.scope().blocks[id.index()];
        self.switch_to(own);
        let mut open = true;
        for (number, inst) in body.block_insts(id) {
            self.place(inst, number);
            open = self.instruction(inst, body, id)?;
            self.guard = None;
            if self.instructions > MAX_INSTRUCTIONS {
                return Err(CompileError::TooLarge {
                    function: self.scope().name.to_string(),
                    what: "the number of instructions, with calls inlined,",
                    limit: MAX_INSTRUCTIONS as u64,
                });
            }
            if !open {
                break;
            }
        }
        if open {
            match body.blocks[id].succs.last() {
                Some(next) => {
                    let next = self.scope().blocks[next.index()];
                    self.end(Term::Jump(next));
                }
                None => self.leave()?,
            }
        }
        Ok(())
    }

    /// Notes where the instruction stands.
    fn place(&mut self, inst: &PtxInst, number: InstId) {
        if self.line != inst.loc.line || self.at == 0 {
            self.at = u32::try_from(self.kernel.places.len()).unwrap_or(0);
            let function = Arc::clone(&self.scope().name);
            let source = self.source_line(number);
            self.kernel.places.push(Place {
                function,
                line: inst.loc.line,
                source,
            });
        }
        self.line = inst.loc.line;
        self.text = inst.spelling();
    }

    /// `ret`, or falling off the end.
    fn leave(&mut self) -> Result<()> {
        let guard = self.guard.take();
        self.epilogue()?;
        self.guard = guard;
        let term = self.scope().after.map_or(Term::Exit, Term::Jump);
        self.end(term);
        Ok(())
    }

    /// The lines that follow are those of this function.
    fn head(&mut self, name: &str, line: u32) {
        self.at = u32::try_from(self.kernel.places.len()).unwrap_or(0);
        self.line = line;
        self.kernel.places.push(Place {
            function: Arc::from(name),
            line,
            source: None,
        });
    }

    /// Goes around what follows where the guard of the instruction does not hold. Returns the block behind it.
    fn open_guard(&mut self) -> Option<B> {
        let (pred, negated) = self.guard.take()?;
        let (inside, after) = (self.new_block(), self.new_block());
        self.end(Term::Branch {
            pred,
            negated,
            taken: inside,
            other: after,
        });
        self.switch_to(inside);
        Some(after)
    }

    fn close_guard(&mut self, after: Option<B>) {
        if let Some(after) = after {
            self.end(Term::Jump(after));
            self.switch_to(after);
        }
    }

    /// The block that control falls into when the guard of a terminator does not hold.
    fn fall(&mut self, body: &Body, id: BlockId) -> Result<B> {
        Ok(match body.blocks[id].succs.last() {
            Some(next) => self.scope().blocks[next.index()],
            None => {
                let end = self.new_block();
                let back = self.current;
                self.switch_to(end);
                self.leave()?;
                self.current = back;
                end
            }
        })
    }

    /// Lowers an instruction; false when it ended the block.
    fn instruction(&mut self, inst: &PtxInst, body: &'m Body, id: BlockId) -> Result<bool> {
        self.guard = inst.guard.map(|guard| (self.register(guard.reg), guard.negated));
        match inst.op {
            Opcode::Bra => {
                let Some(Operand::Label(target)) = inst.operands.first() else {
                    return self.refuse("no target");
                };
                let target = self.scope().blocks[target.index()];
                self.branch(target, body, id)?;
                return Ok(false);
            }
            Opcode::BrxIdx => {
                self.switch(inst, body, id)?;
                return Ok(false);
            }
            Opcode::Ret | Opcode::Exit => {
                let end = self.new_block();
                let back = self.current;
                self.switch_to(end);
                if inst.op == Opcode::Ret {
                    self.leave()?;
                } else {
                    self.end(Term::Exit);
                }
                self.current = back;
                self.branch(end, body, id)?;
                return Ok(false);
            }
            Opcode::Trap => {
                self.emit(What::Trap, &[], &[]);
                if self.guard.is_none() {
                    self.end(Term::Exit);
                    return Ok(false);
                }
            }
            Opcode::Call => self.call(inst)?,
            op if texture::executed(op) => self.image(inst)?,
            _ => self.straight(inst)?,
        }
        Ok(true)
    }

    fn branch(&mut self, target: B, body: &Body, id: BlockId) -> Result<()> {
        match self.guard {
            None => self.end(Term::Jump(target)),
            Some((pred, negated)) => {
                let other = self.fall(body, id)?;
                if other == target {
                    self.end(Term::Jump(target));
                } else {
                    self.end(Term::Branch {
                        pred,
                        negated,
                        taken: target,
                        other,
                    });
                }
            }
        }
        Ok(())
    }

    fn switch(&mut self, inst: &PtxInst, body: &Body, id: BlockId) -> Result<()> {
        let (Some(index), Some(Operand::Table(table))) = (inst.operands.first(), inst.operands.get(1)) else {
            return self.refuse("brx.idx without a table");
        };
        let Some(tessera_ptx::Table::Branch(labels)) = body.tables.get(*table) else {
            return self.refuse("the table is not one of branch targets");
        };
        let index = self.source(index, Type::U32)?;
        let targets = labels.iter().map(|b| self.scope().blocks[b.index()]).collect();
        let guard = self.guard;
        if let Some((pred, negated)) = guard {
            let jump = self.new_block();
            let other = self.fall(body, id)?;
            self.end(Term::Branch {
                pred,
                negated,
                taken: jump,
                other,
            });
            self.switch_to(jump);
        }
        self.end(Term::Switch { index, targets });
        Ok(())
    }

    /// Everything that neither branches nor calls.
    #[allow(clippy::too_many_lines, reason = "a list of instructions")]
    fn straight(&mut self, inst: &PtxInst) -> Result<()> {
        match inst.op {
            O::Ld
            | O::Ldu
            | O::St
            | O::Atom
            | O::Red
            | O::Membar
            | O::Fence
            | O::FenceProxy
            | O::Cvta
            | O::Isspacep
            | O::Prefetch
            | O::Prefetchu
            | O::Discard
            | O::Applypriority
            | O::Createpolicy
            | O::MembarProxy
            | O::FenceMbarrierInit
            | O::MultimemLdReduce
            | O::MultimemSt
            | O::MultimemRed => self.memory(inst),
            O::CpAsync
            | O::CpAsyncCommitGroup
            | O::CpAsyncWaitGroup
            | O::CpAsyncWaitAll
            | O::CpAsyncMbarrierArrive
            | O::CpAsyncBulk
            | O::CpAsyncBulkCommitGroup
            | O::CpAsyncBulkWaitGroup
            | O::CpAsyncBulkPrefetch
            | O::CpReduceAsyncBulk
            | O::StAsync
            | O::StBulk
            | O::RedAsync
            | O::ClusterlaunchcontrolTryCancel
            | O::ClusterlaunchcontrolQueryCancel
            | O::MbarrierInit
            | O::MbarrierInval
            | O::MbarrierArrive
            | O::MbarrierArriveDrop
            | O::MbarrierExpectTx
            | O::MbarrierCompleteTx
            | O::MbarrierTestWait
            | O::MbarrierTryWait
            | O::MbarrierPendingCount => self.asynchronous(inst),
            O::BarSync
            | O::BarRed
            | O::BarArrive
            | O::BarrierSync
            | O::BarrierRed
            | O::BarrierArrive
            | O::BarWarp
            | O::Shfl
            | O::Vote
            | O::Match
            | O::Redux
            | O::Elect
            | O::Activemask
            | O::Nanosleep
            | O::Brkpt
            | O::Pmevent
            | O::Setmaxnreg
            | O::GriddepcontrolWait
            | O::GriddepcontrolLaunchDependents => self.warp(inst),
            op if matrix::executed(op) => self.matrix(inst),
            O::Alloca | O::Stacksave | O::Stackrestore => self.stack(inst),
            O::Mapa | O::Getctarank => self.cluster_address(inst),
            O::BarrierClusterArrive | O::BarrierClusterWait => {
                self.cluster_barrier(inst);
                Ok(())
            }
            O::Cvt => self.convert(inst),
            O::CvtPack => self.cvt_pack(inst),
            O::Mov => self.mov_instruction(inst),
            O::Setp | O::Set | O::Selp | O::Slct | O::Testp => self.compare(inst),
            _ if inst.types().next().is_some_and(Type::is_float) => self.float(inst),
            _ => self.integer(inst),
        }
    }

    fn register(&mut self, reg: RegId) -> V {
        if let Some(v) = self.scope().regs[reg.index()] {
            return v;
        }
        let ty = self.scope().body.regs[reg].ty;
        let v = match ty.bits() {
            1 => self.temp(Class::Pred),
            64 => self.temp(Class::W64),
            128 => {
                // A pair: low half, then high half.
                let low = self.temp(Class::W64);
                self.temp(Class::W64);
                low
            }
            _ => self.temp(Class::W32),
        };
        self.scope_mut().regs[reg.index()] = Some(v);
        v
    }
}
