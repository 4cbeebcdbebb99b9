//! What lanes of a warp do together, and what they are: shuffles, votes, special registers.
//!
//! An operation with a member mask is native while all lanes of the group that live execute it; else the handler decides who
//! waits for whom.

use std::mem::offset_of;

use iced_x86::code_asm::*;
use iced_x86::{IcedError, Register};

use super::alu::Lanes;
use super::compile::{CX, FRAME, Gen, MASKS, STATE, disp, slot_disp};
use super::compute::{masked, masked_memory};
use super::context::State;
use crate::exec::alu::Class;
use crate::exec::scalar::special_number;
use crate::exec::warp::NO_OPERAND;
use crate::exec::{Cx, FLAT, Op, POOL, SCALAR};
use crate::frame::{Group, Shared};
use crate::lir::{Inst, Konst, Shfl, Special, V, Vote};

impl Gen<'_> {
    /// The value of a constant register.
    pub(super) fn constant(&self, v: V) -> Option<u64> {
        match self.analysed.kernel.vregs[v as usize].konst {
            Some(Konst::Imm(value)) => Some(value),
            _ => None,
        }
    }

    /// To the handler of operation `at` unless all lanes that live are here.
    fn all_here(&mut self, at: u32, back: CodeLabel) -> Result<(), IcedError> {
        let slow = self.handler_stub(at, None, back);
        self.asm.mov(rdx, qword_ptr(CX + disp(offset_of!(Cx, group))))?;
        self.asm.mov(eax, dword_ptr(CX + disp(offset_of!(Cx, mask))))?;
        self.asm
            .cmp(eax, dword_ptr(rdx + disp(offset_of!(Group, live))))?;
        self.asm.jne(slow)
    }

    /// Whether nobody who waits elsewhere wants the old value of what `inst` writes.
    pub(super) fn free(&self, inst: &Inst, d: V) -> bool {
        inst.guard.is_none()
            && !self
                .analysed
                .live
                .wanted_after(d, self.block, self.code.first_wait)
    }

    pub(super) fn warp_barrier(&mut self, at: u32) -> Result<bool, IcedError> {
        let back = self.asm.create_label();
        self.all_here(at, back)?;
        self.bind(back)?;
        Ok(true)
    }

    pub(super) fn vote(&mut self, mode: Vote, inst: &Inst, op: &Op, at: u32) -> Result<bool, IcedError> {
        let Some(members) = self.constant(inst.s[1]) else {
            return Ok(false);
        };
        if inst.guard.is_some() {
            return Ok(false);
        }
        let back = self.asm.create_label();
        self.all_here(at, back)?;
        self.predicate_word(ecx, op.a)?;
        self.asm.and(ecx, eax)?;
        let free = self.free(inst, inst.d[0]);
        if mode == Vote::Ballot {
            #[allow(clippy::cast_possible_truncation, reason = "the operand has 32 bits")]
            let members = members as u32;
            if members != u32::MAX {
                self.asm.and(ecx, members.cast_signed())?;
            }
            self.asm.vpbroadcastd(zmm26, ecx)?;
            for c in 0..2 {
                self.result32(op.d, c, zmm26, free)?;
            }
        } else {
            self.asm.xor(edx, edx)?;
            match mode {
                Vote::All => {
                    self.asm.cmp(ecx, eax)?;
                    self.asm.sete(dl)?;
                }
                Vote::Any => {
                    self.asm.test(ecx, ecx)?;
                    self.asm.setne(dl)?;
                }
                _ => {
                    self.asm.cmp(ecx, eax)?;
                    self.asm.sete(dl)?;
                    self.asm.test(ecx, ecx)?;
                    self.asm.sete(cl)?;
                    self.asm.or(dl, cl)?;
                }
            }
            self.asm.neg(edx)?;
            self.asm.kmovd(k6, edx)?;
            self.set_predicate(op.d, free)?;
        }
        self.bind(back)?;
        Ok(true)
    }

    /// Writes chunk `c` of a 32-bit result from a register.
    pub(super) fn result32(
        &mut self,
        operand: u32,
        c: u8,
        from: AsmRegisterZmm,
        free: bool,
    ) -> Result<(), IcedError> {
        let k = (!free).then_some(MASKS[usize::from(c)]);
        if let Some(Lanes::W32(d)) = self.home(operand, c) {
            return self.asm.vmovdqa32(masked(d, k), from);
        }
        let to = zmmword_ptr(FRAME + (slot_disp(operand) + 64 * i32::from(c)));
        match k {
            Some(k) => self.asm.vmovdqu32(masked_memory(to, k), from),
            None => self.asm.vmovdqa64(to, from),
        }
    }

    pub(super) fn shuffle(&mut self, mode: Shfl, inst: &Inst, op: &Op, at: u32) -> Result<bool, IcedError> {
        let Some(clamp) = self.constant(inst.s[2]) else {
            return Ok(false);
        };
        if inst.guard.is_some() || op.a & (POOL | FLAT) != 0 {
            return Ok(false);
        }
        #[allow(clippy::cast_possible_truncation, reason = "the operand has 32 bits")]
        let (bound, segment) = (clamp as u32 & 31, clamp as u32 >> 8 & 31);
        let min = |lane: u32| lane & segment;
        let max = |lane: u32| min(lane) | bound & !segment;
        if let Some(by) = self.constant(inst.s[1]) {
            #[allow(clippy::cast_possible_truncation, reason = "the operand has 32 bits")]
            let route = Route {
                mode,
                by: by as u32 & 31,
                bound,
                segment,
            };
            return self.shuffle_known(&route, inst, op, at);
        }
        let back = self.asm.create_label();
        self.all_here(at, back)?;
        let low = self.value(op.a, Class::W32, 0, zmm28)?[0];
        let high = self.value(op.a, Class::W32, 1, zmm27)?[0];
        for c in 0..2u8 {
            let first = u32::from(c) * 16;
            let lanes = self.vector_of(|i| first + i);
            let bounds = self.vector_of(|i| max(first + i));
            // zmm29: the other lane; k3 or k4: it is in the segment.
            let inside = if c == 0 { k3 } else { k4 };
            self.shuffle_index(mode, op, c, segment, first)?;
            match mode {
                Shfl::Up => self.asm.vpcmpd(inside, zmm29, bounds, 5)?,
                _ => self.asm.vpcmpd(inside, zmm29, bounds, 2)?,
            }
            let made = [zmm24, zmm30][usize::from(c)];
            self.asm.vmovdqa64(made, lanes)?;
            self.asm.vmovdqa32(masked(made, Some(inside)), zmm29)?;
            self.asm.vpermi2d(made, low, high)?;
        }
        // The result may take the place of the value, so both halves come first.
        let free = self.free(inst, inst.d[0]);
        self.result32(op.d, 0, zmm24, free)?;
        self.result32(op.d, 1, zmm30, free)?;
        if op.e != NO_OPERAND {
            self.asm.kunpckwd(k6, k4, k3)?;
            let free = self.free(inst, inst.d[1]);
            self.set_predicate(op.e, free)?;
        }
        self.bind(back)?;
        Ok(true)
    }

    /// A shuffle by a known number: every lane's source is known.
    fn shuffle_known(&mut self, route: &Route, inst: &Inst, op: &Op, at: u32) -> Result<bool, IcedError> {
        let back = self.asm.create_label();
        self.all_here(at, back)?;
        let low = self.value(op.a, Class::W32, 0, zmm28)?[0];
        let high = self.value(op.a, Class::W32, 1, zmm27)?[0];
        for (c, made) in [(0, zmm24), (16, zmm30)] {
            let from: [u32; 16] = std::array::from_fn(|i| route.source(c + super::vector::lane(i)).0);
            let halves = [from.iter().any(|j| *j < 16), from.iter().any(|j| *j >= 16)];
            let half = if halves[0] { low } else { high };
            let places = self.vector_of(|i| from[i as usize]);
            if halves == [true, true] {
                self.asm.vmovdqa64(made, places)?;
                self.asm.vpermi2d(made, low, high)?;
            } else if (0u32..).zip(from).all(|(i, j)| i == j % 16) {
                self.asm.vmovdqa64(made, half)?;
            } else {
                self.asm.vmovdqa64(zmm29, places)?;
                self.asm.vpermd(made, zmm29, half)?;
            }
        }
        // The result may take the place of the value, so both halves come first.
        let free = self.free(inst, inst.d[0]);
        self.result32(op.d, 0, zmm24, free)?;
        self.result32(op.d, 1, zmm30, free)?;
        if op.e != NO_OPERAND {
            let inside = (0..32).fold(0, |bits, i| bits | u32::from(route.source(i).1) << i);
            self.asm.mov(ecx, inside)?;
            self.asm.kmovd(k6, ecx)?;
            let free = self.free(inst, inst.d[1]);
            self.set_predicate(op.e, free)?;
        }
        self.bind(back)?;
        Ok(true)
    }

    /// The lane that each lane of chunk `c` asks for, in `zmm29`.
    fn shuffle_index(
        &mut self,
        mode: Shfl,
        op: &Op,
        c: u8,
        segment: u32,
        first: u32,
    ) -> Result<(), IcedError> {
        let by = self.value(op.b, Class::W32, c, zmm26)?[0];
        let lanes = self.vector_of(|i| first + i);
        let low = self.vector_of(|_| 31);
        self.asm.vpandd(zmm29, by, low)?;
        match mode {
            Shfl::Up => {
                self.asm.vmovdqa64(zmm31, lanes)?;
                self.asm.vpsubd(zmm29, zmm31, zmm29)
            }
            Shfl::Down => self.asm.vpaddd(zmm29, zmm29, lanes),
            Shfl::Bfly => self.asm.vpxord(zmm29, zmm29, lanes),
            Shfl::Idx => {
                let keep = self.vector_of(|_| !segment);
                self.asm.vpandd(zmm29, zmm29, keep)?;
                let min = self.vector_of(|i| (first + i) & segment);
                self.asm.vpord(zmm29, zmm29, min)
            }
        }
    }

    /// A literal vector.
    pub(super) fn literal(&mut self, bytes: [u8; 64]) -> AsmMemoryOperand {
        let place = self.asm.memory512(bytes).displacement;
        zmmword_ptr(AsmMemoryOperand::from(Register::RIP) + place)
    }

    /// A literal vector of 32-bit lanes.
    pub(super) fn vector_of(&mut self, lane: impl Fn(u32) -> u32) -> AsmMemoryOperand {
        let mut bytes = [0; 64];
        for (i, to) in (0u32..).zip(bytes.chunks_exact_mut(4)) {
            to.copy_from_slice(&lane(i).to_le_bytes());
        }
        self.literal(bytes)
    }

    pub(super) fn special(&mut self, special: Special, op: &Op) -> Result<bool, IcedError> {
        let scalar = op.flags & SCALAR != 0;
        let number = special_number(special);
        let chunks = if scalar { 1 } else { 2 };
        for c in 0..chunks {
            match special {
                Special::Tid(i) => {
                    let at = 128 * i32::from(i % 3);
                    self.asm
                        .mov(rax, qword_ptr(STATE + disp(offset_of!(State, tid))))?;
                    if scalar {
                        // The first lane of each half, by turns.
                        self.asm.mov(ecx, 0xaaaa)?;
                        self.asm.kmovd(k3, ecx)?;
                        self.asm.vpbroadcastd(zmm26, dword_ptr(rax + at))?;
                        self.asm.vpbroadcastd(zmm26.k3(), dword_ptr(rax + (at + 64)))?;
                    } else {
                        self.asm
                            .vmovdqa64(zmm26, zmmword_ptr(rax + (at + 64 * i32::from(c))))?;
                    }
                }
                Special::Ctaid(i) => {
                    let at = disp(offset_of!(Shared, block)) + 4 * i32::from(i % 3);
                    self.asm.mov(rax, qword_ptr(CX + disp(offset_of!(Cx, cta))))?;
                    self.asm.vpbroadcastd(zmm26, dword_ptr(rax + at))?;
                }
                Special::LaneId if scalar => {
                    let lanes = self.vector_of(|i| i % 2 * 16);
                    self.asm.vmovdqa64(zmm26, lanes)?;
                }
                Special::WarpId => {
                    self.asm.mov(rax, qword_ptr(CX + disp(offset_of!(Cx, group))))?;
                    self.asm
                        .vpbroadcastd(zmm26, dword_ptr(rax + disp(offset_of!(Group, first_warp))))?;
                }
                _ if !scalar && (8..15).contains(&number) => {
                    let lanes = self.vector_of(|i| lane_value(number, u32::from(c) * 16 + i));
                    self.asm.vmovdqa64(zmm26, lanes)?;
                }
                _ => return Ok(false),
            }
            self.result32(op.d, c, zmm26, scalar)?;
        }
        Ok(true)
    }
}

/// A shuffle whose operands but the value are known.
struct Route {
    mode: Shfl,
    by: u32,
    bound: u32,
    segment: u32,
}

impl Route {
    /// The lane that gives lane `lane` its value, and whether that is the one asked for.
    const fn source(&self, lane: u32) -> (u32, bool) {
        let min = lane & self.segment;
        let max = min | self.bound & !self.segment;
        let (other, inside) = match self.mode {
            Shfl::Up => {
                let inside = lane >= max + self.by;
                (if inside { lane - self.by } else { lane }, inside)
            }
            Shfl::Down => (lane + self.by, lane + self.by <= max),
            Shfl::Bfly => (lane ^ self.by, lane ^ self.by <= max),
            Shfl::Idx => (
                self.by & !self.segment | min,
                self.by & !self.segment | min <= max,
            ),
        };
        (if inside { other } else { lane }, inside)
    }
}

/// The special registers that are a function of the lane.
fn lane_value(number: u32, lane: u32) -> u32 {
    match number {
        8 => lane,
        10 => 1 << lane,
        11 => u32::MAX >> (31 - lane),
        12 => (1 << lane) - 1,
        13 => u32::MAX << lane,
        _ => (u32::MAX << lane) << 1,
    }
}
