//! From a fast decoding to machine code: the walk over its operations.
//!
//! The code of an operation is straight; what happens rarely (safe points that stop, lanes that part, accesses that miss their
//! window) stands in stubs behind all blocks. An operation without a native form is carried out by its handler of tier 0.
//!
//! | register | holds |
//! |---|---|
//! | `r15` | the [`Cx`] |
//! | `r14` | the frame |
//! | `r13` | the [`State`] |
//! | `r12` | the pool of constants |
//! | `rbx` | the windows of the access sites |
//! | `k1`, `k2` | the lane mask: all 32 lanes; the upper 16 |
//! | `zmm0`..`zmm23`, `k7` | homes of slots |
//! | `r8`..`r11`, `rbp`, `rsi`, `rdi` | copies of what was just written or checked, inside a block |
//! | the others | nothing between operations |

use std::mem::offset_of;

use iced_x86::IcedError;
use iced_x86::code_asm::*;

use super::asm::{Asm, Mark, Target};
use super::bases::{Base, Folded, Lead};
use super::code::Code as Mapped;
use super::context::{PLACES, State};
use super::kept::Kept;
use super::memory::RowStore;
use super::pairs::Pair;
use super::parts::Parts;
use super::regs::{Home, Homes};
use super::scalar::Compare;
use crate::analysis::cfg::NONE;
use crate::decode::{Analysed, Code, Role};
use crate::exec::alu::Class;
use crate::exec::isa::Level;
use crate::exec::{Cx, Event, Op, UNIT};
use crate::lir::{Inst, V, What};

/// How machine code is entered: context, state, address to go on at, what loads the homes first.
type Enter = unsafe extern "sysv64" fn(*mut Cx, *mut State, *const u8, *const u8);

/// Machine code of a fast decoding.
#[derive(Debug)]
pub(crate) struct Compiled {
    code: Mapped,
    pub(super) enter: Enter,
    /// Offset in the code by operation, `NONE` where nothing can be entered.
    entries: Vec<u32>,
    /// Offset of what loads the homes of an operation, `NONE` where that is all of them.
    loaders: Vec<u32>,
    load_all: u32,
    /// Addresses of the places where lanes may wait.
    pub(super) places: Vec<usize>,
    pub(super) pc_of_place: Vec<u32>,
    place_of_op: Vec<u32>,
    /// The barrier of the whole block that is counted without leaving, and the operations that are it.
    pub(super) barrier: u32,
    barriers: Vec<u32>,
    /// Bytes of the widest access and of one lane, by site.
    spans: Vec<(u64, u64)>,
    /// Bytes of machine code.
    pub(crate) bytes: usize,
    /// Not too many operations are those of the interpreter, which has them cheaper for eight warps at a time.
    pub(crate) pays: bool,
}

impl Compiled {
    pub(super) fn new(parts: Parts, code: Mapped) -> Self {
        let mut place_of_op = vec![NONE; parts.entries.len()];
        for (place, &pc) in (0u32..).zip(&parts.pc_of_place) {
            place_of_op[pc as usize] = place;
        }
        let entry = |&pc: &u32| code.entry(parts.entries[pc as usize] as usize).addr();
        // SAFETY: the prologue is a function of this type.
        let enter = unsafe { std::mem::transmute::<*const u8, Enter>(code.entry(parts.enter as usize)) };
        Self {
            enter,
            places: parts.pc_of_place.iter().map(entry).collect(),
            code,
            entries: parts.entries,
            loaders: parts.loaders,
            load_all: parts.load_all,
            pc_of_place: parts.pc_of_place,
            place_of_op,
            barrier: parts.barrier,
            barriers: parts.barriers,
            spans: parts.spans,
            bytes: parts.bytes.len(),
            pays: parts.pays,
        }
    }

    /// Where to enter for a split that stands at operation `pc`.
    pub(super) fn entry(&self, pc: u32) -> Option<*const u8> {
        let offset = *self.entries.get(pc as usize)?;
        (offset != NONE).then(|| self.code.entry(offset as usize))
    }

    /// Whether a split that stands at operation `pc` can go on.
    pub(crate) fn is_entry(&self, pc: u32) -> bool {
        self.entry(pc).is_some()
    }

    /// Whether lanes may wait at operation `pc`.
    pub(crate) fn is_place(&self, pc: u32) -> bool {
        self.place(pc).is_some()
    }

    /// The place of an operation that lanes may wait at.
    pub(super) fn place(&self, pc: u32) -> Option<u32> {
        self.place_of_op.get(pc as usize).copied().filter(|&p| p != NONE)
    }

    /// What loads the homes of an operation before it is entered.
    pub(super) fn loader(&self, pc: u32) -> *const u8 {
        let offset = self.loaders.get(pc as usize).copied().unwrap_or(NONE);
        self.code
            .entry(if offset == NONE { self.load_all } else { offset } as usize)
    }

    /// Whether operation `pc` is the barrier that is counted without leaving.
    pub(super) fn counts(&self, pc: u32) -> bool {
        self.barriers.contains(&pc)
    }

    pub(super) fn spans(&self, site: u32) -> (u64, u64) {
        self.spans.get(site as usize).copied().unwrap_or((0, 0))
    }
}

/// A stub behind the blocks.
pub(super) enum Stub {
    /// An operation by its handler, then back.
    Handler {
        from: CodeLabel,
        back: CodeLabel,
        call: Call,
        held: Vec<Home>,
        copied: Vec<(u32, Class)>,
        /// What the code that follows takes to be in integer registers.
        kept: Vec<Kept>,
    },
    /// The quantum is used up; the split goes on at an operation.
    Stop { from: CodeLabel, pc: u32 },
    /// A barrier that the block has to decide on.
    Barrier { from: CodeLabel, pc: u32 },
    /// Lanes that wait come first or join.
    Elect { from: CodeLabel, place: u32 },
    /// A check of several accesses failed: handlers carry out all operations from the first number to before the second.
    Stretch {
        from: CodeLabel,
        end: CodeLabel,
        ops: (u32, u32),
        /// Homes at the start and at the end.
        held: [Vec<Home>; 2],
        copied: Vec<(u32, Class)>,
    },
    /// A row of which not all lanes execute.
    Masked {
        from: CodeLabel,
        back: CodeLabel,
        store: RowStore,
    },
    /// A loop of two warps.
    Pair(Pair),
    /// Loads the homes that are wanted at an operation, and goes there.
    Entry {
        from: CodeLabel,
        pc: u32,
        body: CodeLabel,
        held: Vec<Home>,
    },
    /// Lanes part: `ecx` goes to block `low`, `eax` stays behind at block `high`.
    Part {
        from: CodeLabel,
        high: u32,
        low: u32,
        cost: u32,
        low_taken: bool,
    },
}

/// What a handler is called for.
#[derive(Clone, Copy)]
pub(super) struct Call {
    pub(super) number: u32,
    /// The operation that accesses memory, when one does.
    pub(super) access: Option<u32>,
}

pub(super) struct Gen<'a> {
    pub(super) asm: Asm,
    pub(super) analysed: &'a Analysed,
    pub(super) code: &'a Code,
    pub(super) homes: Homes,
    pub(super) stubs: Vec<Stub>,
    pub(super) blocks: Vec<CodeLabel>,
    /// Place of each block, `NONE` where nobody waits.
    pub(super) place: Vec<u32>,
    pub(super) leave: CodeLabel,
    pub(super) save_and_leave: CodeLabel,
    pub(super) elect: CodeLabel,
    /// Second entry of the elect routine: lanes `ecx` run, place `esi` comes next.
    pub(super) take: CodeLabel,
    /// Loads all homes and goes on at `rax`.
    pub(super) load_and_go: CodeLabel,
    /// Goes over to the next warp of the block.
    pub(super) rotate: CodeLabel,
    /// Addresses that have been checked in this block.
    pub(super) bases: Vec<Base>,
    pub(super) next_base: usize,
    pub(super) leads: Vec<Lead>,
    /// Loads that arithmetic carries out itself.
    pub(super) folded: Vec<Folded>,
    /// How often each register is read.
    pub(super) uses: Vec<u32>,
    /// Whether each register differs between rows of threads.
    pub(super) apart: Vec<bool>,
    /// Where the current instruction stands in its block.
    pub(super) place_in_block: usize,
    /// Where the current access finds its address, and its distance from there.
    pub(super) address: AsmRegister64,
    pub(super) distance: i32,
    /// Registers of which somebody reads the bits of a NaN.
    pub(super) read_as_bits: Vec<bool>,
    /// What the current instruction reads.
    pub(super) sources: Vec<V>,
    /// The guard of the operation that is being emitted.
    pub(super) guard: Option<u32>,
    pub(super) spans: Vec<(u64, u64)>,
    /// Registers that slots have instead of their homes, while the other one of two warps is emitted.
    pub(super) other: Vec<(u32, u8)>,
    /// Where the loop of the current block goes on when two could run it together.
    pub(super) alone: Option<CodeLabel>,
    /// Block and instruction that are being emitted.
    pub(super) block: u32,
    pub(super) held: Vec<Home>,
    /// What integer registers hold as well as memory, the one wanted longest ago first.
    pub(super) kept: Vec<Kept>,
    /// The result of the current instruction is among these.
    pub(super) kept_result: bool,
    /// The comparison that the branch at the end of the block makes itself.
    pub(super) decides: Option<Compare>,
    entries: Vec<Option<Mark>>,
    loaders: Vec<Option<Mark>>,
    load_all: Option<Mark>,
    /// Operations, and those among them without a native form, counted by loop depth.
    weight: (u64, u64),
    depth: Vec<u32>,
    /// The next operation is entered often, after a barrier or at the start: the label of what loads its homes.
    pub(super) often: Option<CodeLabel>,
    barrier: u32,
    pub(super) barriers: Vec<u32>,
    /// The operation before may have stopped the run: it was its handler's, or a safe point.
    stopped: bool,
}

pub(super) const CX: AsmRegister64 = r15;
pub(super) const FRAME: AsmRegister64 = r14;
pub(super) const STATE: AsmRegister64 = r13;
pub(super) const POOL_BASE: AsmRegister64 = r12;
pub(super) const WINDOWS: AsmRegister64 = rbx;
/// All lanes of the mask, and its upper half.
pub(super) const MASKS: [AsmRegisterK; 2] = [k1, k2];

pub(super) const ZMM: [AsmRegisterZmm; 32] = [
    zmm0, zmm1, zmm2, zmm3, zmm4, zmm5, zmm6, zmm7, zmm8, zmm9, zmm10, zmm11, zmm12, zmm13, zmm14, zmm15,
    zmm16, zmm17, zmm18, zmm19, zmm20, zmm21, zmm22, zmm23, zmm24, zmm25, zmm26, zmm27, zmm28, zmm29, zmm30,
    zmm31,
];

/// An offset as a displacement.
pub(super) fn disp(offset: usize) -> i32 {
    i32::try_from(offset).unwrap_or(i32::MAX)
}

/// Displacement of a slot.
pub(super) fn slot_disp(operand: u32) -> i32 {
    disp((operand & !(crate::exec::POOL | crate::exec::FLAT)) as usize * UNIT)
}

/// Compiles. None when the kernel has too many places where lanes may wait, or is too large for displacements.
pub(crate) fn compile(analysed: &Analysed, code: &Code, level: Level) -> Option<Parts> {
    let target = match level {
        Level::Avx512 => Target::Avx512,
        Level::Avx2 => Target::Avx2 {
            spill: (STATE.into(), disp(offset_of!(State, spill))),
        },
        Level::Portable => return None,
    };
    let generated = Gen::new(analysed, code, target).ok()??;
    generated.run().ok()?
}

/// How often each register is read.
fn uses(a: &Analysed) -> Vec<u32> {
    let mut uses = vec![0; a.kernel.vregs.len()];
    for block in &a.kernel.blocks {
        for inst in &block.insts {
            crate::analysis::live::reads(inst, |v| uses[v as usize] += 1);
        }
        if let Some(v) = block.term.operand() {
            uses[v as usize] += 1;
        }
    }
    uses
}

/// Loops around each block.
pub(super) fn depths(a: &Analysed) -> Vec<u32> {
    let mut depth = vec![0; a.kernel.blocks.len()];
    for &b in a.cfg.loops.iter().flat_map(|l| &l.blocks) {
        depth[b as usize] += 1;
    }
    depth
}

impl<'a> Gen<'a> {
    fn new(analysed: &'a Analysed, code: &'a Code, target: Target) -> Result<Option<Self>, IcedError> {
        let count = analysed.kernel.blocks.len();
        let mut place = vec![NONE; count];
        for block in &analysed.kernel.blocks {
            for s in block.term.successors() {
                place[s as usize] = 0;
            }
        }
        let mut next = 0;
        for p in place.iter_mut().filter(|p| **p == 0) {
            *p = next;
            next += 1;
        }
        if next as usize > PLACES || code.slots.frame_bytes > 1 << 30 || analysed.pool.bytes > 1 << 30 {
            return Ok(None);
        }
        let mut asm = Asm::new(target)?;
        let blocks = (0..count).map(|_| asm.create_label()).collect();
        let [leave, save_and_leave, elect, take, load_and_go, rotate, begin] =
            [(); 7].map(|()| asm.create_label());
        let sites = super::parts::sites_of(code);
        Ok(Some(Self {
            asm,
            analysed,
            code,
            homes: Homes::new(analysed, code),
            stubs: Vec::new(),
            blocks,
            place,
            leave,
            save_and_leave,
            elect,
            take,
            load_and_go,
            rotate,
            bases: Vec::new(),
            next_base: 0,
            leads: Vec::new(),
            folded: Vec::new(),
            uses: uses(analysed),
            apart: super::halves::differ_by_row(analysed),
            place_in_block: 0,
            address: rax,
            distance: 0,
            read_as_bits: super::nan::read_as_bits(analysed),
            sources: Vec::new(),
            guard: None,
            spans: vec![(0, 0); sites],
            other: Vec::new(),
            alone: None,
            block: 0,
            held: Vec::new(),
            kept: Vec::new(),
            kept_result: false,
            decides: None,
            entries: vec![None; code.ops.len()],
            loaders: vec![None; code.ops.len()],
            load_all: None,
            often: Some(begin),
            barrier: super::turns::barrier_of(analysed),
            barriers: Vec::new(),
            stopped: false,
            weight: (0, 0),
            depth: depths(analysed),
        }))
    }

    /// The first operation of a block.
    pub(super) fn start(&self, block: u32) -> u32 {
        self.code.op_of_inst[self.analysed.first[block as usize] as usize]
    }

    /// Binds a label here, also where another one is bound already.
    pub(super) fn bind(&mut self, mut label: CodeLabel) -> Result<(), IcedError> {
        self.asm.set_label(&mut label)?;
        self.asm.zero_bytes()
    }

    fn run(mut self) -> Result<Option<Parts>, IcedError> {
        let enter = self.prologue()?;
        let mut inst = 0u32;
        for (b, block) in (0u32..).zip(&self.analysed.kernel.blocks) {
            self.block = b;
            self.bind(self.blocks[b as usize])?;
            self.forget_checks();
            self.next_base = 0;
            let body = block.insts.iter().map(Some).chain([None]);
            for (place, i) in body.enumerate() {
                self.place_in_block = place;
                self.homes.advance(inst);
                self.held = self.homes.held();
                let from = self.code.op_of_inst[inst as usize];
                let to = match self.code.op_of_inst.get(inst as usize + 1) {
                    Some(&op) => op,
                    None => u32::try_from(self.code.ops.len()).unwrap_or(0),
                };
                if !i.is_some_and(|i| super::bases::keeps(&i.what)) {
                    self.close(from, place)?;
                }
                self.kept_result = false;
                self.operations(i, from, to)?;
                if let Some(i) = i {
                    self.forget_bases(i);
                }
                inst += 1;
            }
        }
        self.epilogue()?;
        self.finish(enter)
    }

    fn finish(self, enter: Mark) -> Result<Option<Parts>, IcedError> {
        let Self {
            asm,
            entries,
            loaders,
            load_all,
            analysed,
            code,
            place,
            spans,
            weight,
            barrier,
            barriers,
            ..
        } = self;
        let Ok(assembled) = asm.finish() else {
            return Ok(None);
        };
        let offset =
            |mark: Option<Mark>| mark.map_or(NONE, |m| u32::try_from(assembled.offset(m)).unwrap_or(NONE));
        let waited = place.iter().enumerate().filter(|(_, p)| **p != NONE);
        Ok(Some(Parts {
            enter: offset(Some(enter)),
            load_all: offset(load_all),
            entries: entries.into_iter().map(offset).collect(),
            loaders: loaders.into_iter().map(offset).collect(),
            pc_of_place: waited
                .map(|(b, _)| code.op_of_inst[analysed.first[b] as usize])
                .collect(),
            barrier,
            barriers,
            spans,
            pays: weight.1 * 4 <= weight.0,
            bytes: assembled.bytes,
        }))
    }

    /// The entry: saves what belongs to the caller, loads the homes, goes on where the caller says.
    fn prologue(&mut self) -> Result<Mark, IcedError> {
        let mark = self.asm.mark_loader();
        for r in [rbx, rbp, r12, r13, r14, r15] {
            self.asm.push(r)?;
        }
        self.asm.sub(rsp, 8)?;
        self.asm.mov(CX, rdi)?;
        self.asm.mov(STATE, rsi)?;
        self.asm.mov(FRAME, qword_ptr(CX + disp(offset_of!(Cx, frame))))?;
        self.asm
            .mov(POOL_BASE, qword_ptr(CX + disp(offset_of!(Cx, pool))))?;
        self.asm
            .mov(WINDOWS, qword_ptr(STATE + disp(offset_of!(State, windows))))?;
        self.asm.mov(rax, rdx)?;
        self.asm.jmp(rcx)?;
        self.load_all = Some(self.asm.mark_loader());
        self.bind(self.load_and_go)?;
        self.load_all()?;
        Ok(mark)
    }

    /// Loads all homes and the masks, and goes on at `rax`.
    fn load_all(&mut self) -> Result<(), IcedError> {
        for home in self.homes.all.clone() {
            self.load(home)?;
        }
        self.load_masks()?;
        self.asm.jmp(rax)
    }

    /// What stands behind the blocks.
    fn epilogue(&mut self) -> Result<(), IcedError> {
        self.elect_routine()?;
        self.rotate_routine()?;
        // Stubs add no stubs but those of their jumps.
        while !self.stubs.is_empty() {
            for stub in std::mem::take(&mut self.stubs) {
                self.stub(stub)?;
            }
        }
        self.bind(self.save_and_leave)?;
        for home in self.homes.all.clone() {
            self.save(home)?;
        }
        self.bind(self.leave)?;
        self.asm.vzeroupper()?;
        self.asm.add(rsp, 8)?;
        for r in [r15, r14, r13, r12, rbp, rbx] {
            self.asm.pop(r)?;
        }
        self.asm.ret()
    }

    fn stub(&mut self, stub: Stub) -> Result<(), IcedError> {
        match stub {
            Stub::Handler {
                from,
                back,
                call,
                held,
                copied,
                kept,
            } => {
                self.bind(from)?;
                self.widen_operands(&copied)?;
                self.call_handler(call, &held)?;
                self.load_kept(&kept)?;
                self.asm.jmp(back)
            }
            Stub::Entry { from, pc, body, held } => {
                self.bind(from)?;
                self.loaders[pc as usize] = Some(self.asm.mark_loader());
                for home in held {
                    self.load(home)?;
                }
                self.load_masks()?;
                self.asm.jmp(body)
            }
            Stub::Stretch {
                from,
                end,
                ops,
                held,
                copied,
            } => {
                self.bind(from)?;
                self.stretch(ops, held, &copied)?;
                self.asm.jmp(end)
            }
            Stub::Masked { from, back, store } => {
                self.bind(from)?;
                self.store_elements(&store)?;
                self.asm.jmp(back)
            }
            Stub::Pair(pair) => self.pair_loop(&pair),
            Stub::Stop { from, pc } => {
                self.bind(from)?;
                self.stop(pc, Event::Quantum)
            }
            Stub::Barrier { from, pc } => {
                self.bind(from)?;
                self.stop(pc, Event::Barrier)
            }
            Stub::Elect { from, place } => {
                self.bind(from)?;
                self.asm.mov(eax, place)?;
                self.asm.jmp(self.elect)
            }
            Stub::Part {
                from,
                high,
                low,
                cost,
                low_taken,
            } => {
                self.bind(from)?;
                self.part(high, low, cost, low_taken)
            }
        }
    }

    /// Calls the handlers of operations `ops.0` to before `ops.1`, with the homes that hold something before and after.
    fn stretch(
        &mut self,
        ops: (u32, u32),
        [before, after]: [Vec<Home>; 2],
        copied: &[(u32, Class)],
    ) -> Result<(), IcedError> {
        self.widen_operands(copied)?;
        for home in before {
            self.save(home)?;
        }
        self.asm.vzeroupper()?;
        self.asm.mov(rdi, STATE)?;
        self.asm.mov(esi, ops.0)?;
        self.asm.mov(edx, ops.1)?;
        self.asm
            .call(qword_ptr(STATE + disp(offset_of!(State, stretch))))?;
        self.asm.test(eax, eax)?;
        self.asm.je(self.leave)?;
        for home in after {
            self.load(home)?;
        }
        self.load_masks()
    }

    /// How often the current block is taken to run.
    fn turns(&self) -> u64 {
        1 << (3 * self.depth[self.block as usize].min(8))
    }

    /// Whether the next operation can be entered from outside. Lowered code has values in registers of its own between
    /// operations, and only where it is entered often are they worth being put in order.
    fn is_entry(&self) -> bool {
        self.asm.target() == Target::Avx512
            || self.place_in_block == 0
            || self.often.is_some()
            || self.stopped
    }

    /// The operations `from..to` of an instruction; `None` for the end of a block.
    fn operations(&mut self, inst: Option<&Inst>, from: u32, to: u32) -> Result<(), IcedError> {
        self.weight.0 += self.turns();
        self.sources.clear();
        self.sources.extend(inst.iter().flat_map(|i| &i.s));
        if self.is_entry() {
            self.entries[from as usize] = Some(self.asm.mark());
        }
        if let Some(loader) = self.often.take() {
            let body = self.asm.create_label();
            self.bind(body)?;
            let held = self.held.clone();
            self.stubs.push(Stub::Entry {
                from: loader,
                pc: from,
                body,
                held,
            });
        }
        self.stopped = false;
        if self.place_in_block == 0 {
            self.begin_pair(from)?;
        }
        let mut at = from;
        while at < to {
            let stubs = self.stubs.len();
            let op = self.code.ops[at as usize];
            match (self.code.roles[at as usize], inst) {
                (Role::Guard, Some(inst)) => {
                    // What is loaded for it is not there where it is passed by.
                    self.kept.clear();
                    self.guarded(inst, at)?;
                    self.kept.clear();
                    at += 2;
                    continue;
                }
                (Role::Poll, _) => {
                    self.close(at, self.place_in_block)?;
                    self.entries[at as usize] = Some(self.asm.mark());
                    self.poll(&op, at)?;
                    self.stopped = true;
                }
                (Role::End, _) | (_, None) => self.terminator(&op, at)?,
                (role, Some(inst)) => {
                    if !self.native(inst, role, &op, at)? {
                        self.handler(at, inst)?;
                    }
                }
            }
            for stub in &mut self.stubs[stubs..] {
                if let Stub::Handler { kept, .. } = stub {
                    kept.clone_from(&self.kept);
                }
            }
            at += 1;
        }
        Ok(())
    }

    /// Emits a native form; false, and nothing, when there is none.
    pub(super) fn native(&mut self, inst: &Inst, role: Role, op: &Op, at: u32) -> Result<bool, IcedError> {
        match (role, inst.what) {
            (Role::Widen, _) => self.widen(op, at),
            (Role::Expand, _) => self.expand(op, inst),
            (_, What::Alu(alu, x)) => self.alu(alu, x, op, inst),
            (_, What::Pred(which)) => self.predicate(which, op, inst),
            (_, What::Load(access)) => self.memory(&access, inst, op, at, true),
            (_, What::Store(access)) => self.memory(&access, inst, op, at, false),
            (_, What::Bar { .. })
                if super::turns::is_simple(inst)
                    && super::turns::number(self.analysed, inst) == Some(self.barrier) =>
            {
                self.barrier(at)
            }
            (_, What::Atom(atom)) => self.atom(&atom, inst, op, at),
            (_, What::Special(special)) => self.special(special, op),
            (_, What::Shfl(mode)) => self.shuffle(mode, inst, op, at),
            (_, What::Vote(mode)) => self.vote(mode, inst, op, at),
            (_, What::BarWarp) if inst.guard.is_none() => self.warp_barrier(at),
            _ => Ok(false),
        }
    }

    /// Calls the handler of operation `at`.
    pub(super) fn handler(&mut self, at: u32, inst: &Inst) -> Result<(), IcedError> {
        self.weight.1 += self.turns();
        self.stopped = true;
        let held = self.held.clone();
        let access = Self::accesses(inst).then_some(at);
        let copied = self.copied(&inst.s);
        self.widen_operands(&copied)?;
        self.kept.clear();
        self.call_handler(Call { number: at, access }, &held)
    }

    pub(super) const fn accesses(inst: &Inst) -> bool {
        matches!(inst.what, What::Load(_) | What::Store(_) | What::Atom(_))
    }

    pub(super) fn call_handler(&mut self, call: Call, held: &[Home]) -> Result<(), IcedError> {
        for &home in held {
            self.save(home)?;
        }
        self.asm.vzeroupper()?;
        self.asm.mov(rdi, STATE)?;
        self.asm.mov(esi, call.number)?;
        match call.access {
            Some(access) => {
                self.asm.mov(edx, access)?;
                self.asm
                    .call(qword_ptr(STATE + disp(offset_of!(State, access))))?;
            }
            None => self.asm.call(qword_ptr(STATE + disp(offset_of!(State, call))))?,
        }
        self.asm.test(eax, eax)?;
        self.asm.je(self.leave)?;
        for &home in held {
            self.load(home)?;
        }
        self.load_masks()
    }

    /// A stub that calls the handler of operation `number` and comes back to `back`.
    pub(super) fn handler_stub(&mut self, number: u32, access: Option<u32>, back: CodeLabel) -> CodeLabel {
        let from = self.asm.create_label();
        let held = self.held.clone();
        let copied = self.copied(&self.sources);
        self.stubs.push(Stub::Handler {
            from,
            back,
            call: Call { number, access },
            held,
            copied,
            kept: Vec::new(),
        });
        from
    }

    pub(super) fn load_masks(&mut self) -> Result<(), IcedError> {
        self.asm.kmovd(k1, dword_ptr(CX + disp(offset_of!(Cx, mask))))?;
        self.asm.kshiftrd(k2, k1, 16)
    }

    pub(super) fn load(&mut self, home: Home) -> Result<(), IcedError> {
        let at = slot_disp(home.slot);
        if home.class == Class::Pred {
            return self.asm.kmovd(k7, dword_ptr(FRAME + at));
        }
        let count = if home.class == Class::W64 { 4u8 } else { 2 };
        for j in 0..count {
            let register = ZMM[usize::from(home.register + j)];
            self.asm
                .vmovdqa64(register, zmmword_ptr(FRAME + (at + 64 * i32::from(j))))?;
        }
        Ok(())
    }

    pub(super) fn save(&mut self, home: Home) -> Result<(), IcedError> {
        let at = slot_disp(home.slot);
        if home.class == Class::Pred {
            return self.asm.kmovd(dword_ptr(FRAME + at), k7);
        }
        let count = if home.class == Class::W64 { 4u8 } else { 2 };
        for j in 0..count {
            let register = ZMM[usize::from(home.register + j)];
            self.asm
                .vmovdqa64(zmmword_ptr(FRAME + (at + 64 * i32::from(j))), register)?;
        }
        Ok(())
    }
}
