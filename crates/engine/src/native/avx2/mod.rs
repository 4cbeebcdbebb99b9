//! Machine code for AVX2: what was written for AVX-512, instruction by instruction in 256 bits.
//!
//! ```text
//!  alu, memory, control ──emit into──▶ Asm: 512-bit instructions ──lower──▶ 256-bit instructions ──encode──▶ bytes
//!                                       │ flow: what is wanted where        ▲ bank: values in 16 registers
//!                                       └───────────────────────────────────┘ the others in memory
//! ```
//!
//! The generator is not written a second time: there is one set of sequences whose bits are right, and this pass carries
//! them over. It sees 32 vector registers as 64 halves and 8 mask registers, all of which have a place in memory (the
//! [spill area](super::context::State)). Halves are held in the sixteen registers of the processor for as long as they are
//! used next before others; at a label every way to it brings the same halves into the same registers. A mask is its bits, in
//! memory or an integer register, or its *form*: a vector of all ones and zeros in lanes of 1, 2, 4 or 8 bytes, which is what
//! comparisons make and blends take; one becomes the other when asked for.
//!
//! An instruction that has no lowering refuses the whole kernel, which then stays with the interpreter; that the operations
//! said to be native have none such is a test.
//!
//! | register | holds |
//! |---|---|
//! | `ymm0`..`ymm15` | halves and forms |
//! | `r8`..`r11` | bits of masks |
//! | the others | what the generator puts there |

mod bank;
mod convert;
mod emit;
mod float;
mod flow;
mod lanes;
mod masks;
mod memory;
mod places;
mod ternary;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};

use iced_x86::{Code, FlowControl, IcedError, Instruction, MemoryOperand, Register};

use super::asm::{Entered, Literal, Literals};
use bank::{Bank, FORMS, Mask, NONE};
use flow::{Flow, Set};

/// Bytes of the spill area: halves, forms, bits of masks.
pub(super) const SPILL: usize = 32 * bank::VALUES + 8 * 8;

/// Why code has no form for AVX2.
#[derive(Debug)]
pub(super) enum Refused {
    /// An instruction without a lowering.
    Instruction(Code),
    /// The lowering of an instruction changes flags that are read behind it.
    Flags(Code),
    /// A register that the lowering needs itself.
    Register(Code),
    /// From the encoder.
    Encoder(IcedError),
}

impl From<IcedError> for Refused {
    fn from(error: IcedError) -> Self {
        Self::Encoder(error)
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Instruction(code) => write!(f, "{code:?} has no form for AVX2"),
            Self::Flags(code) => write!(f, "{code:?} would change flags that are read"),
            Self::Register(code) => write!(f, "{code:?} uses a register of the lowering"),
            Self::Encoder(error) => error.fmt(f),
        }
    }
}

type Result<T = ()> = std::result::Result<T, Refused>;

/// The code in 256 bits.
pub(super) struct Lowered {
    pub(super) code: Vec<Instruction>,
    /// By place in the wide code, the place of what is entered there.
    pub(super) marks: HashMap<usize, usize>,
    pub(super) literals: Literals,
}

/// Lowers `code`, which is entered at `marks`. The spill area is at `spill`.
pub(super) fn lower(
    code: &[Instruction],
    marks: &[(usize, Entered)],
    literals: &Literals,
    spill: (Register, i32),
) -> Result<Lowered> {
    let mut entered = vec![Entered::No; code.len()];
    let taken = flow::taken(code);
    for (entered, i) in entered.iter_mut().zip(code) {
        if taken.contains(&i.ip()) {
            *entered = Entered::Empty;
        }
    }
    for &(mark, how) in marks {
        if entered[mark] != Entered::Running {
            entered[mark] = how;
        }
    }
    let mut lower = Lower {
        code,
        flow: Flow::new(code, &entered),
        known: literals.by_target(),
        literals: Literals::default(),
        out: Vec::with_capacity(4 * code.len()),
        spill,
        bank: Bank::EMPTY,
        masks: [Mask::STORED; 8],
        integers: [NONE; 4],
        pinned: 0,
        held: 0,
        pinned_integers: 0,
        at: 0,
        reachable: false,
        states: HashMap::new(),
        entries: Vec::new(),
        edges: Vec::new(),
        taken,
        next_label: FIRST_LABEL,
        marks: HashMap::new(),
    };
    for (at, &entered) in entered.iter().enumerate() {
        lower.at = at;
        (lower.pinned, lower.held, lower.pinned_integers) = (0, 0, 0);
        lower.arrive(entered != Entered::No)?;
        lower.one()?;
    }
    lower.rest()?;
    Ok(Lowered {
        code: lower.out,
        marks: lower.marks,
        literals: lower.literals,
    })
}

/// Labels of the lowering; those of the generator count from 1, literals from 2^32.
const FIRST_LABEL: u64 = 1 << 24;

/// Owner of an integer register that is no mask.
const SCRATCH: u8 = 8;

struct Lower<'a> {
    code: &'a [Instruction],
    flow: Flow,
    /// Literals of the wide code, by the target that names them.
    known: HashMap<u64, Literal>,
    literals: Literals,
    out: Vec<Instruction>,
    spill: (Register, i32),
    bank: Bank,
    masks: [Mask; 8],
    /// Masks whose bits the integer registers hold.
    integers: [u8; 4],
    /// Vector registers that must keep what they hold: for a half, for an instruction.
    pinned: u16,
    held: u16,
    pinned_integers: u8,
    at: usize,
    /// Control may come from the instruction before.
    reachable: bool,
    /// What every way to a label brings about.
    states: HashMap<u64, Bank>,
    /// Entries from outside: place in the wide code, label and state inside.
    entries: Vec<(usize, u64, Bank)>,
    /// Conditional jumps that have to bring about their target's state: own label, what to do, target.
    edges: Vec<(u64, Vec<Instruction>, u64)>,
    /// Labels whose addresses are taken: they are jumped to with nothing in registers.
    taken: HashSet<u64>,
    next_label: u64,
    marks: HashMap<usize, usize>,
}

impl Lower<'_> {
    /// What is wanted before or after the current instruction.
    fn wanted(&self) -> Set {
        let (before, after) = (self.flow.before[self.at], self.flow.after[self.at]);
        Set {
            halves: before.halves | after.halves,
            masks: before.masks | after.masks,
        }
    }

    fn label(&mut self) -> u64 {
        self.next_label += 1;
        self.next_label
    }

    fn bind(&mut self, label: u64) {
        let mut carrier = Instruction::with(Code::Zero_bytes);
        carrier.set_ip(label);
        self.out.push(carrier);
    }

    /// Nothing is in registers, all is in memory.
    fn forget_all(&mut self) {
        self.bank = Bank::EMPTY;
        self.masks = [Mask::STORED; 8];
        self.integers = [NONE; 4];
    }

    /// Puts masks that are wanted into memory.
    fn store_masks(&mut self, wanted: Set) -> Result {
        for k in 0..8 {
            if wanted.has_mask(k) {
                self.store_bits(k)?;
            }
        }
        Ok(())
    }

    /// Before the current instruction, where control may come from elsewhere too.
    fn arrive(&mut self, entered: bool) -> Result {
        let label = self.code[self.at].ip();
        let jumps = self.flow.jumps.get(&label).copied().unwrap_or(0);
        if jumps == 0 && !entered {
            return Ok(());
        }
        let wanted = self.flow.before[self.at];
        if self.reachable {
            self.store_masks(wanted)?;
        }
        if self.taken.contains(&label) {
            if self.reachable {
                let moves = self.conform(&Bank::EMPTY, wanted)?;
                self.out.extend(moves);
            }
            self.bank = Bank::EMPTY;
            self.states.insert(label, Bank::EMPTY);
            self.bind(label);
        } else if jumps != 0 {
            if let Some(state) = self.states.get(&label).cloned() {
                if self.reachable {
                    let moves = self.conform(&state, wanted)?;
                    self.out.extend(moves);
                }
                self.bank = state;
            } else {
                // The first way decides. Where only jumps come, of which there are several, it is memory.
                self.bank = if self.reachable {
                    self.bank.only(wanted)
                } else {
                    Bank::EMPTY
                };
                self.states.insert(label, self.bank.clone());
            }
            self.bind(label);
        } else if !self.reachable {
            self.bank = Bank::EMPTY;
        }
        self.bank = self.bank.only(wanted);
        self.masks = [Mask::STORED; 8];
        self.integers = [NONE; 4];
        if entered {
            if self.reachable || jumps != 0 {
                let inside = self.label();
                self.bind(inside);
                self.entries.push((self.at, inside, self.bank.clone()));
            } else {
                self.marks.insert(self.at, self.out.len());
            }
        }
        self.reachable = true;
        Ok(())
    }

    /// What brings the registers from how they are into the state of a label.
    fn conform(&self, to: &Bank, wanted: Set) -> Result<Vec<Instruction>> {
        let mut moves = Vec::new();
        let mut out = Vec::new();
        for value in (0..FORMS).filter(|&v| wanted.has_half(v)) {
            let (from, to_register) = (self.bank.register(value), to.register(value));
            let clean = to_register.is_none_or(|r| !to.is_dirty(r));
            if let Some(from) = from
                && self.bank.is_dirty(from)
                && clean
            {
                out.push(self.store_of(value, from)?);
            }
            if let Some(register) = to_register
                && from != Some(register)
            {
                moves.push((register, from, value));
            }
        }
        while let Some(ready) = moves
            .iter()
            .position(|&(register, ..)| !moves.iter().any(|m| m.1 == Some(register)))
        {
            let (register, from, value) = moves.swap_remove(ready);
            if let Some(from) = from {
                out.push(Instruction::with2(
                    Code::VEX_Vmovdqa_ymm_ymmm256,
                    emit::ymm(register),
                    emit::ymm(from),
                )?);
            } else {
                out.push(self.load_of(value, register)?);
            }
        }
        // What is left turns in circles: through memory.
        for &(_, from, value) in &moves {
            out.push(self.store_of(value, from.unwrap_or(0))?);
        }
        for &(register, _, value) in &moves {
            out.push(self.load_of(value, register)?);
        }
        Ok(out)
    }

    fn home(&self, value: u8) -> MemoryOperand {
        self.spilled(32 * i32::from(value))
    }

    fn spilled(&self, at: i32) -> MemoryOperand {
        MemoryOperand::with_base_displ(self.spill.0, i64::from(self.spill.1 + at))
    }

    fn store_of(&self, value: u8, register: u8) -> Result<Instruction> {
        Ok(Instruction::with2(
            Code::VEX_Vmovdqa_ymmm256_ymm,
            self.home(value),
            emit::ymm(register),
        )?)
    }

    fn load_of(&self, value: u8, register: u8) -> Result<Instruction> {
        Ok(Instruction::with2(
            Code::VEX_Vmovdqa_ymm_ymmm256,
            emit::ymm(register),
            self.home(value),
        )?)
    }

    /// A jump of the generator.
    fn jump(&mut self, i: &Instruction) -> Result {
        let label = i.near_branch64();
        let conditional = i.flow_control() == FlowControl::ConditionalBranch;
        let (code, wanted) = (i.code(), self.wanted_at(label));
        self.store_masks(wanted)?;
        let Some(state) = self.states.get(&label).cloned() else {
            let several = self.flow.jumps.get(&label).is_some_and(|&n| n > 1);
            let state = if !conditional && several || self.taken.contains(&label) {
                Bank::EMPTY
            } else {
                self.bank.only(wanted)
            };
            self.states.insert(label, state);
            return self.jump(i);
        };
        let moves = self.conform(&state, wanted)?;
        let mut to = label;
        if conditional && !moves.is_empty() {
            to = self.label();
            self.edges.push((to, moves, label));
        } else {
            self.out.extend(moves);
        }
        self.out.push(Instruction::with_branch(code, to)?);
        self.reachable = conditional;
        Ok(())
    }

    fn wanted_at(&self, label: u64) -> Set {
        self.flow.at_label.get(&label).copied().unwrap_or_default()
    }

    /// Everything that is wanted afterwards goes to memory.
    fn flush(&mut self) -> Result {
        let wanted = self.flow.after[self.at];
        self.store_masks(wanted)?;
        for value in (0..FORMS).filter(|&v| wanted.has_half(v)) {
            self.store_value(value)?;
        }
        Ok(())
    }

    /// The current instruction.
    fn one(&mut self) -> Result {
        let i = self.code[self.at];
        if !self.reachable {
            return Ok(());
        }
        if i.code() == Code::Zero_bytes {
            return Ok(());
        }
        match i.flow_control() {
            FlowControl::UnconditionalBranch | FlowControl::ConditionalBranch => return self.jump(&i),
            FlowControl::IndirectBranch => {
                self.flush()?;
                self.pass(&i)?;
                self.reachable = false;
                return Ok(());
            }
            FlowControl::Return => {
                self.pass(&i)?;
                self.reachable = false;
                return Ok(());
            }
            FlowControl::IndirectCall => {
                self.pass(&i)?;
                self.forget_all();
                return Ok(());
            }
            _ => {}
        }
        if i.code() == Code::VEX_Vzeroupper {
            self.bank = Bank::EMPTY;
            for mask in 0..8 {
                // Forms go with the registers; the generator calls next, which masks do not outlive.
                self.masks[mask].width = 0;
            }
            return self.pass(&i);
        }
        if (0..i.op_count()).any(|o| is_wide(i.op_register(o)))
            || is_wide(i.memory_index())
            || i.has_op_mask()
        {
            if self.vector(&i)? || self.mask(&i)? {
                self.drop_unwanted();
                return Ok(());
            }
            return Err(Refused::Instruction(i.code()));
        }
        self.pass(&i)
    }

    /// Registers with values that nobody wants any more are free.
    fn drop_unwanted(&mut self) {
        let wanted = self.flow.after[self.at];
        for register in 0..16 {
            let Some(value) = self.bank.value(register) else {
                continue;
            };
            let keep = if value < FORMS {
                wanted.has_half(value)
            } else {
                wanted.has_mask((value - FORMS) / 2)
            };
            if !keep {
                self.bank.free(register);
            }
        }
        for register in 0..4 {
            let owner = self.integers[register];
            if owner != NONE && (owner >= SCRATCH || !wanted.has_mask(owner)) {
                self.integers[register] = NONE;
                if owner < SCRATCH {
                    self.masks[usize::from(owner)] = Mask::STORED;
                }
            }
        }
    }

    /// An instruction that is the same in both.
    fn pass(&mut self, i: &Instruction) -> Result {
        let own = [Register::R8, Register::R9, Register::R10, Register::R11];
        let uses = |r: Register| own.contains(&r.full_register());
        if (0..i.op_count()).any(|o| uses(i.op_register(o)))
            || uses(i.memory_base())
            || uses(i.memory_index())
        {
            return Err(Refused::Register(i.code()));
        }
        let mut copy = *i;
        copy.set_ip(0);
        if let Some(literal) = self.literal_of(i) {
            copy.set_memory_displacement64(self.literals.target(literal).cast_unsigned());
        }
        self.out.push(copy);
        Ok(())
    }

    /// What stands behind all code: entries from outside and edges.
    fn rest(&mut self) -> Result {
        for (at, inside, state) in std::mem::take(&mut self.entries) {
            self.forget_all();
            self.marks.insert(at, self.out.len());
            let moves = self.conform(&state, self.flow.before[at])?;
            self.out.extend(moves);
            self.out
                .push(Instruction::with_branch(Code::Jmp_rel32_64, inside)?);
        }
        for (own, moves, to) in std::mem::take(&mut self.edges) {
            self.bind(own);
            self.out.extend(moves);
            self.out.push(Instruction::with_branch(Code::Jmp_rel32_64, to)?);
        }
        Ok(())
    }
}

/// A register that the processor does not have.
fn is_wide(register: Register) -> bool {
    flow::vector_number(register).is_some() || flow::mask_number(register).is_some()
}
