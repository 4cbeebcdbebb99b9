//! Two warps of a block in one loop, in lock step.
//!
//! A loop of arithmetic that counts the same for all threads is bound by how long its results take, not by how many the
//! processor can compute: one warp leaves most of it idle. So a warp that comes to such a loop **waits for another one**
//! while others of its block can run, and the second to come carries out both: the same instructions, once on each warp's
//! registers.
//!
//! ```text
//!  first ──▶ head ── others are ready ──▶ saves, is `parked` ──▶ others take their turns
//!  second ─▶ head ── one is parked, shared values agree ──▶ loads its homes beside its own ──▶ loop of both
//!                                                            parked one becomes ready behind ◀──┘ exit, or fuel used up
//!  nobody ready ──▶ the parked one goes on alone, in the loop of one
//! ```
//!
//! Both have all their lanes, and nobody waits. What is the same in all lanes is kept once, in the frame of the warp that
//! runs: the other one's is compared before, and written behind. Between runs the parked warp is a ready one.

use std::mem::offset_of;

use iced_x86::IcedError;
use iced_x86::code_asm::*;

use super::asm::Target;
use super::compile::{CX, FRAME, Gen, STATE, Stub, ZMM, disp, slot_disp};
use super::context::{NOBODY, State};
use super::regs::{HOMES, Home};
use super::seats::{Seat, Seats};
use crate::analysis::cfg::NONE;
use crate::analysis::shape::Shape;
use crate::decode::Role;
use crate::exec::alu::Class;
use crate::exec::{Cx, Event, NEGATED, SCALAR};
use crate::lir::{Inst, Term, V, What};

/// What the code for two needs to know of a loop.
#[derive(Debug, Clone)]
pub(super) struct Pair {
    block: u32,
    /// The code for one, behind the question whether there can be two.
    pub(super) alone: CodeLabel,
    both: CodeLabel,
    /// Homes that the loop uses, and the first register that each has for the other warp.
    homes: Vec<(Home, u8)>,
    /// Homes of the warp that runs whose registers these are.
    moved: Vec<Home>,
    /// Slots of shared values: those that are read before they are written, those that are written.
    read: Vec<(u32, Class)>,
    written: Vec<(u32, Class)>,
    /// Where the loop leads.
    exit: u32,
}

/// The slots of a loop: homes, and shared values as in [`Pair`].
#[derive(Default)]
struct Slots {
    used: Vec<Home>,
    read: Vec<(u32, Class)>,
    written: Vec<(u32, Class)>,
}

/// Bytes of the elements of a shared value that count.
const fn bytes(class: Class) -> i32 {
    if matches!(class, Class::W64) { 8 } else { 4 }
}

fn seats(field: usize) -> i32 {
    disp(offset_of!(State, seats) + field)
}

impl Gen<'_> {
    /// Whether the current block is a loop that two warps can run together.
    pub(super) fn pair(&mut self) -> Option<Pair> {
        let b = self.block;
        let block = &self.analysed.kernel.blocks[b as usize];
        let exit = match block.term {
            Term::Branch { taken, other, .. } if taken == b && other != b => other,
            Term::Branch { taken, other, .. } if other == b && taken != b => taken,
            _ => return None,
        };
        if self.asm.target() != Target::Avx512 || !self.uniform_branch() {
            return None;
        }
        let Slots { used, read, written } = self.slots_of_loop()?;
        let first = self.analysed.first[b as usize];
        let last = first + u32::try_from(block.insts.len()).ok()?;
        let held = self.homes.held_within(first, last);
        let overlaps = |list: &[Home], r: u8| {
            list.iter()
                .any(|h| h.vectors().contains(&r) || h.vectors().contains(&(r + 1)))
        };
        // Registers with nothing in them first, then those of values that only pass through.
        let mut free: Vec<u8> = (0..HOMES / 2)
            .map(|i| 2 * i)
            .filter(|&r| !overlaps(&used, r))
            .collect();
        free.sort_by_key(|&r| overlaps(&held, r));
        if used.is_empty() || used.len() > free.len() {
            return None;
        }
        free.truncate(used.len());
        let moved = held
            .into_iter()
            .filter(|h| free.iter().any(|&r| overlaps(&[*h], r)))
            .collect();
        let homes = used.into_iter().zip(free).collect();
        Some(Pair {
            block: b,
            alone: self.asm.create_label(),
            both: self.asm.create_label(),
            homes,
            moved,
            read,
            written,
            exit,
        })
    }

    /// The slots of the current block; none if two warps cannot run it together.
    fn slots_of_loop(&self) -> Option<Slots> {
        let mut slots = Slots::default();
        let block = &self.analysed.kernel.blocks[self.block as usize];
        for (place, inst) in block.insts.iter().enumerate() {
            if !self.fits_pair(inst, place) {
                return None;
            }
            let reads = inst.s.iter().map(|v| (v, true));
            for (&v, reads) in reads.chain(inst.d.iter().map(|v| (v, false))) {
                let vreg = &self.analysed.kernel.vregs[v as usize];
                if vreg.konst.is_some() || vreg.class == Class::Pred {
                    continue;
                }
                let scalar = self.code.slots.scalar[v as usize];
                match self.shape(v) {
                    Shape::Uniform if scalar == NONE => return None,
                    Shape::Uniform if slots.written.contains(&(scalar, vreg.class)) => {}
                    Shape::Uniform if !reads => slots.written.push((scalar, vreg.class)),
                    Shape::Uniform if slots.read.contains(&(scalar, vreg.class)) => {}
                    Shape::Uniform => slots.read.push((scalar, vreg.class)),
                    Shape::Vector => {
                        let home = self.homes.get(self.code.slots.vector[v as usize])?;
                        if home.class != Class::W32 {
                            return None;
                        }
                        if slots.used.iter().all(|h| h.slot != home.slot) {
                            slots.used.push(home);
                        }
                    }
                    Shape::Affine(_) | Shape::Unset => return None,
                }
            }
        }
        Some(slots)
    }

    /// Arithmetic in one operation, with a native form that needs no stub; a predicate only for the branch at the end.
    fn fits_pair(&self, inst: &Inst, place: usize) -> bool {
        let block = &self.analysed.kernel.blocks[self.block as usize];
        let number = self.analysed.first[self.block as usize] as usize + place;
        let (from, to) = (
            self.code.op_of_inst[number] as usize,
            self.code.op_of_inst[number + 1] as usize,
        );
        let class = |v: &V| self.analysed.kernel.vregs[*v as usize].class;
        let op = &self.code.ops[from];
        let decides = place + 1 == block.insts.len()
            && block.term.operand() == inst.d.first().copied()
            && self.uses[inst.d[0] as usize] == 1
            && op.flags & SCALAR != 0;
        matches!(inst.what, What::Alu(alu, x) if super::alu::has_native(alu, x))
            && inst.guard.is_none()
            && to == from + 1
            && self.code.roles[from] == Role::Plain
            && self.code.roles[to] != Role::Poll
            && inst.s.iter().all(|v| class(v) != Class::Pred)
            && inst.d.iter().all(|v| class(v) != Class::Pred || decides)
    }

    /// The head of the loop: another warp joins, or this one waits for another, or neither.
    pub(super) fn pair_head(&mut self, pair: &Pair, at: u32) -> Result<(), IcedError> {
        let join = self.asm.create_label();
        let parked = qword_ptr(STATE + seats(offset_of!(Seats, parked)));
        self.asm.mov(eax, dword_ptr(CX + disp(offset_of!(Cx, mask))))?;
        self.asm.cmp(eax, -1)?;
        self.asm.jne(pair.alone)?;
        let next = dword_ptr(STATE + disp(offset_of!(State, next)));
        self.asm.cmp(next, NOBODY.cast_signed())?;
        self.asm.jne(pair.alone)?;
        self.asm.mov(rdx, parked)?;
        self.asm.test(rdx, rdx)?;
        self.asm.jne(join)?;
        self.asm
            .cmp(dword_ptr(STATE + seats(offset_of!(Seats, ready))), 0)?;
        self.asm.je(pair.alone)?;
        for home in self.held.clone() {
            self.save(home)?;
        }
        self.asm
            .mov(rdx, qword_ptr(STATE + seats(offset_of!(Seats, current))))?;
        self.asm.mov(dword_ptr(rdx + disp(offset_of!(Seat, mask))), eax)?;
        self.go_on_at(pair.alone, at)?;
        self.asm.mov(parked, rdx)?;
        self.asm
            .mov(ecx, dword_ptr(STATE + seats(offset_of!(Seats, bit))))?;
        self.asm
            .mov(dword_ptr(STATE + seats(offset_of!(Seats, parked_bit))), ecx)?;
        self.asm.jmp(self.rotate)?;
        self.bind(join)?;
        self.asm.lea(rcx, ptr(pair.alone))?;
        self.asm
            .cmp(qword_ptr(rdx + disp(offset_of!(Seat, entry))), rcx)?;
        self.asm.jne(pair.alone)?;
        self.asm
            .mov(rax, qword_ptr(rdx + disp(offset_of!(Seat, frame))))?;
        for &(slot, class) in &pair.read {
            for at in (0..2 * bytes(class)).step_by(8) {
                self.asm.mov(rcx, qword_ptr(FRAME + (slot_disp(slot) + at)))?;
                self.asm.cmp(rcx, qword_ptr(rax + (slot_disp(slot) + at)))?;
                self.asm.jne(pair.alone)?;
            }
        }
        for &home in &pair.moved {
            self.save(home)?;
        }
        for &(home, to) in &pair.homes {
            for j in 0..2 {
                let from = zmmword_ptr(rax + (slot_disp(home.slot) + 64 * j));
                self.asm
                    .vmovdqa64(ZMM[usize::from(to) + usize::from(j == 1)], from)?;
            }
        }
        self.asm.jmp(pair.both)?;
        self.bind(pair.alone)
    }

    /// The seat at `rdx` goes on at a label, which is operation `at`.
    fn go_on_at(&mut self, label: CodeLabel, at: u32) -> Result<(), IcedError> {
        self.asm.lea(rcx, ptr(self.load_and_go))?;
        self.asm
            .mov(qword_ptr(rdx + disp(offset_of!(Seat, resume))), rcx)?;
        self.asm.lea(rcx, ptr(label))?;
        self.asm
            .mov(qword_ptr(rdx + disp(offset_of!(Seat, entry))), rcx)?;
        self.asm.mov(dword_ptr(rdx + disp(offset_of!(Seat, pc))), at)
    }

    /// The loop of both, behind all blocks.
    pub(super) fn pair_loop(&mut self, pair: &Pair) -> Result<(), IcedError> {
        self.block = pair.block;
        self.forget_checks();
        let block = &self.analysed.kernel.blocks[pair.block as usize];
        let first = self.analysed.first[pair.block as usize] as usize;
        self.bind(pair.both)?;
        for (place, inst) in block.insts.iter().enumerate() {
            self.place_in_block = place;
            self.kept_result = false;
            let at = self.code.op_of_inst[first + place];
            let op = self.code.ops[at as usize];
            let mut done = self.native(inst, Role::Plain, &op, at)?;
            if op.flags & SCALAR == 0 {
                self.other = pair.homes.iter().map(|&(home, to)| (home.slot, to)).collect();
                done &= self.native(inst, Role::Plain, &op, at)?;
                self.other.clear();
            }
            debug_assert!(done, "a form that was said to exist");
            self.forget_bases(inst);
        }
        let op = self.code.ops[self.code.op_of_inst[first + block.insts.len()] as usize];
        let out = self.asm.create_label();
        let taken = matches!(block.term, Term::Branch { taken, .. } if taken == pair.block);
        self.unless(&op, taken != (op.flags & NEGATED != 0), out)?;
        // Twice the cost of one.
        let fuel = qword_ptr(CX + disp(offset_of!(Cx, fuel)));
        let cost = i32::try_from(u64::from(op.site) * 2).unwrap_or(i32::MAX);
        self.asm.sub(fuel, cost)?;
        self.asm.jns(pair.both)?;
        self.part_pair(pair, pair.alone, self.start(pair.block))?;
        self.stop(self.start(pair.block), Event::Quantum)?;
        self.bind(out)?;
        let exit = (self.blocks[pair.exit as usize], self.start(pair.exit));
        self.part_pair(pair, exit.0, exit.1)?;
        self.asm.sub(fuel, cost)?;
        self.asm.jns(exit.0)?;
        self.stop(exit.1, Event::Quantum)
    }

    /// Gives the other warp what is its own; it goes on at a label, which is operation `at`.
    fn part_pair(&mut self, pair: &Pair, label: CodeLabel, at: u32) -> Result<(), IcedError> {
        let parked = qword_ptr(STATE + seats(offset_of!(Seats, parked)));
        let bit = dword_ptr(STATE + seats(offset_of!(Seats, parked_bit)));
        self.asm.mov(rdx, parked)?;
        self.asm
            .mov(rax, qword_ptr(rdx + disp(offset_of!(Seat, frame))))?;
        for &(home, from) in &pair.homes {
            for j in 0..2 {
                let to = zmmword_ptr(rax + (slot_disp(home.slot) + 64 * j));
                self.asm
                    .vmovdqa64(to, ZMM[usize::from(from) + usize::from(j == 1)])?;
            }
        }
        for &(slot, class) in &pair.written {
            for half in (0..16 * bytes(class)).step_by(64) {
                let at = slot_disp(slot) + half;
                self.asm.vmovdqa64(zmm26, zmmword_ptr(FRAME + at))?;
                self.asm.vmovdqa64(zmmword_ptr(rax + at), zmm26)?;
            }
        }
        for &home in &pair.moved {
            self.load(home)?;
        }
        self.go_on_at(label, at)?;
        self.asm.mov(ecx, bit)?;
        self.asm
            .or(dword_ptr(STATE + seats(offset_of!(Seats, ready))), ecx)?;
        self.asm.mov(bit, 0)?;
        self.asm.mov(parked, 0)
    }

    /// The loop of the current block for two, when it is emitted: the stub and the head.
    pub(super) fn begin_pair(&mut self, at: u32) -> Result<(), IcedError> {
        self.alone = None;
        if let Some(pair) = self.pair() {
            self.pair_head(&pair, at)?;
            self.alone = Some(pair.alone);
            self.stubs.push(Stub::Pair(pair));
        }
        Ok(())
    }
}
