//! Operations on registers: arithmetic, predicates, affine values.
//!
//! A vector operation is emitted once per half of the warp; a scalar one once, on the sixteen copies that a scalar slot holds.

use std::mem::offset_of;

use iced_x86::IcedError;
use iced_x86::code_asm::*;

use super::alu::{self, Lanes, Source, Temps};
use super::compile::{CX, FRAME, Gen, MASKS, POOL_BASE, ZMM, slot_disp};
use crate::exec::alu::{Alu, Class};
use crate::exec::{Cx, FLAT, NEGATED, Op, POOL, SCALAR, UNMASKED};
use crate::lir::{Inst, Konst, PredOp};

/// Where a result without a home is made.
const RESULT: [AsmRegisterZmm; 2] = [zmm24, zmm25];
/// A predicate that is being made, or the upper half of one that is read.
const MADE: AsmRegisterK = k6;

pub(super) fn temps() -> Temps {
    Temps {
        zmm: [zmm26, zmm27, zmm28, zmm29, zmm30, zmm31],
        k: [k3, k4, k5],
        gpr: [rax, rcx],
    }
}

/// The operand lies in memory that the pool or the frame's scalar part holds.
pub(super) fn base_of(operand: u32) -> AsmRegister64 {
    if operand & POOL != 0 { POOL_BASE } else { FRAME }
}

const fn bytes(class: Class) -> i32 {
    match class {
        Class::W32 => 64,
        Class::W64 => 128,
        Class::Pred => 2,
    }
}

impl Gen<'_> {
    /// The registers of chunk `c` of a slot that has a home.
    pub(super) fn home(&self, operand: u32, c: u8) -> Option<Lanes> {
        let home = self.homes.get(operand)?;
        let other = self.other.iter().find(|o| o.0 == operand);
        let at = usize::from(other.map_or(home.register, |o| o.1));
        let c = usize::from(c);
        Some(match home.class {
            Class::W32 => Lanes::W32(ZMM[at + c]),
            Class::W64 => Lanes::W64([ZMM[at + 2 * c], ZMM[at + 2 * c + 1]]),
            Class::Pred => Lanes::Pred(k7),
        })
    }

    /// Chunk `c` of an operand whose lanes are read.
    pub(super) fn source(
        &mut self,
        operand: u32,
        class: Class,
        c: u8,
        to_predicate: bool,
    ) -> Result<Source, IcedError> {
        let at = slot_disp(operand);
        if let Some(value) = self.pool_constant(operand, class) {
            return Ok(Source::Constant(value));
        }
        if let Some(folded) = self.folded_source(operand, c)? {
            return Ok(folded);
        }
        if operand & (POOL | FLAT) != 0 {
            return Ok(Source::Broadcast {
                base: base_of(operand),
                disp: at,
            });
        }
        let memory = Source::Memory {
            base: FRAME,
            disp: at + i32::from(c) * bytes(class),
        };
        Ok(match self.home(operand, c) {
            None => memory,
            Some(Lanes::Pred(k)) if c == 0 => Source::Reg(Lanes::Pred(k)),
            Some(Lanes::Pred(k)) if to_predicate => {
                self.asm.kmovd(dword_ptr(FRAME + at), k)?;
                memory
            }
            Some(Lanes::Pred(k)) => {
                self.asm.kshiftrd(MADE, k, 16)?;
                Source::Reg(Lanes::Pred(MADE))
            }
            Some(lanes) => Source::Reg(lanes),
        })
    }

    /// The value of an operand that the kernel's text gives.
    fn pool_constant(&self, operand: u32, class: Class) -> Option<u64> {
        if operand & POOL == 0 {
            return None;
        }
        let at = (operand & !(POOL | FLAT)) as usize * crate::exec::UNIT;
        let entries = &self.analysed.pool.entries;
        let entry = entries.binary_search_by_key(&at, |e| e.2).ok()?;
        match (entries[entry].0, class) {
            (Konst::Imm(value), Class::W64) => Some(value),
            (Konst::Imm(value), _) => Some(value & 0xffff_ffff),
            _ => None,
        }
    }

    /// The mask of chunk `c` for an operation with these flags.
    pub(super) fn mask(flags: u32, c: u8) -> Option<AsmRegisterK> {
        (flags & UNMASKED == 0).then_some(MASKS[usize::from(c)])
    }

    /// Stores chunk `c` of a result that was made in [`RESULT`].
    pub(super) fn put(
        &mut self,
        operand: u32,
        class: Class,
        c: u8,
        mask: Option<AsmRegisterK>,
    ) -> Result<(), IcedError> {
        let at = slot_disp(operand) + i32::from(c) * bytes(class);
        match (class, mask) {
            (Class::W32, Some(k)) => self
                .asm
                .vmovdqu32(masked_memory(zmmword_ptr(FRAME + at), k), RESULT[0]),
            (Class::W32, None) => self.asm.vmovdqa64(zmmword_ptr(FRAME + at), RESULT[0]),
            (_, Some(k)) => {
                self.asm
                    .vmovdqu64(masked_memory(zmmword_ptr(FRAME + at), k), RESULT[0])?;
                self.asm.kshiftrw(k3, k, 8)?;
                self.asm.vmovdqu64(zmmword_ptr(FRAME + (at + 64)).k3(), RESULT[1])
            }
            (_, None) => {
                self.asm.vmovdqa64(zmmword_ptr(FRAME + at), RESULT[0])?;
                self.asm.vmovdqa64(zmmword_ptr(FRAME + (at + 64)), RESULT[1])
            }
        }
    }

    /// Where chunk `c` of a result is made, and whether it still has to be stored.
    pub(super) fn target(&self, operand: u32, class: Class, c: u8) -> (Lanes, bool) {
        match (self.home(operand, c), class) {
            (Some(lanes), _) => (lanes, false),
            (None, Class::W64) => (Lanes::W64(RESULT), true),
            (None, _) => (Lanes::W32(RESULT[0]), true),
        }
    }

    pub(super) fn alu(&mut self, alu: Alu, x: u32, op: &Op, inst: &Inst) -> Result<bool, IcedError> {
        if op.flags & SCALAR != 0 && self.scalar_integer(alu, inst, op)? {
            return Ok(true);
        }
        if !alu::has_native(alu, x) {
            return Ok(false);
        }
        let (ins, out) = alu.signature();
        let operands = [op.a, op.b, op.c];
        if op.flags & SCALAR != 0 {
            return self.scalar_alu(alu, x, op);
        }
        self.asm.any_nan = super::nan::makes(alu) && self.any_nan(inst.d[0]);
        for c in 0..2u8 {
            let mut s = Vec::with_capacity(3);
            for (&class, &operand) in ins.iter().zip(&operands) {
                s.push(self.source(operand, class, c, out == Class::Pred)?);
            }
            if out == Class::Pred {
                alu::emit(&mut self.asm, alu, x, Lanes::Pred(MADE), None, &s, &temps())?;
                if c == 0 {
                    self.asm.kmovw(k0, MADE)?;
                }
                continue;
            }
            let mask = Self::mask(op.flags, c);
            let (d, store) = self.target(op.d, out, c);
            alu::emit(
                &mut self.asm,
                alu,
                x,
                d,
                if store { None } else { mask },
                &s,
                &temps(),
            )?;
            if store {
                self.put(op.d, out, c, mask)?;
            }
        }
        self.asm.any_nan = false;
        if out == Class::Pred {
            self.asm.kunpckwd(MADE, MADE, k0)?;
            self.set_predicate(op.d, op.flags & UNMASKED != 0)?;
        }
        Ok(true)
    }

    /// Writes [`MADE`] to a predicate.
    pub(super) fn set_predicate(&mut self, operand: u32, unmasked: bool) -> Result<(), IcedError> {
        let at = slot_disp(operand);
        let home = self.homes.get(operand).is_some();
        if !unmasked {
            self.asm.kandd(MADE, MADE, k1)?;
            if !home {
                self.asm.kmovd(k3, dword_ptr(FRAME + at))?;
            }
            self.asm.kandnd(k3, k1, if home { k7 } else { k3 })?;
            self.asm.kord(MADE, MADE, k3)?;
        }
        if home {
            self.asm.kmovd(k7, MADE)
        } else {
            self.asm.kmovd(dword_ptr(FRAME + at), MADE)
        }
    }

    /// An operation on values that lanes share.
    fn scalar_alu(&mut self, alu: Alu, x: u32, op: &Op) -> Result<bool, IcedError> {
        let (ins, out) = alu.signature();
        let mut s = Vec::with_capacity(3);
        for (&class, &operand) in ins.iter().zip(&[op.a, op.b, op.c]) {
            if class == Class::Pred {
                // The value that the executing lanes have; they agree.
                self.predicate_word(eax, operand)?;
                self.asm
                    .test(dword_ptr(CX + super::compile::disp(offset_of!(Cx, mask))), eax)?;
                self.asm.setne(al)?;
                self.asm.movzx(eax, al)?;
                self.asm.neg(eax)?;
                self.asm.kmovd(MADE, eax)?;
                s.push(Source::Reg(Lanes::Pred(MADE)));
                continue;
            }
            s.push(Source::Memory {
                base: base_of(operand),
                disp: slot_disp(operand),
            });
        }
        match out {
            Class::Pred => {
                alu::emit(&mut self.asm, alu, x, Lanes::Pred(MADE), None, &s, &temps())?;
                self.asm.kmovd(eax, MADE)?;
                self.asm.and(eax, 1)?;
                self.asm.neg(eax)?;
                self.asm.kmovd(MADE, eax)?;
                self.set_predicate(op.d, false)?;
            }
            class => {
                let d = if class == Class::W64 {
                    Lanes::W64(RESULT)
                } else {
                    Lanes::W32(RESULT[0])
                };
                alu::emit(&mut self.asm, alu, x, d, None, &s, &temps())?;
                self.put(op.d, class, 0, None)?;
            }
        }
        Ok(true)
    }

    /// A predicate in a mask register: its home, or `to`.
    fn word(&mut self, operand: u32, to: AsmRegisterK) -> Result<AsmRegisterK, IcedError> {
        if self.homes.get(operand).is_some() {
            return Ok(k7);
        }
        self.asm.kmovd(to, dword_ptr(FRAME + slot_disp(operand)))?;
        Ok(to)
    }

    pub(super) fn predicate(&mut self, which: PredOp, op: &Op, inst: &Inst) -> Result<bool, IcedError> {
        let a = self.word(op.a, k3)?;
        let asm = &mut self.asm;
        match which {
            PredOp::Mov => asm.kmovd(MADE, a)?,
            PredOp::Not => asm.knotd(MADE, a)?,
            PredOp::True => asm.kxnord(MADE, k3, k3)?,
            PredOp::False => asm.kxord(MADE, k3, k3)?,
            PredOp::And | PredOp::Or | PredOp::Xor => {
                let b = self.word(op.b, k4)?;
                match which {
                    PredOp::And => self.asm.kandd(MADE, a, b)?,
                    PredOp::Or => self.asm.kord(MADE, a, b)?,
                    _ => self.asm.kxord(MADE, a, b)?,
                }
            }
        }
        let free = self.free(inst, inst.d[0]);
        self.set_predicate(op.d, free)?;
        Ok(true)
    }

    /// Whether the bases of an affine value are far enough from where it would wrap.
    pub(super) fn widen(&mut self, op: &Op, at: u32) -> Result<bool, IcedError> {
        let reach = i64::from(op.e.cast_signed()) * 15;
        let back = self.asm.create_label();
        let slow = self.handler_stub(at, None, back);
        let signed = op.flags & NEGATED != 0;
        let limit = match (signed, reach >= 0) {
            (true, true) => i64::from(i32::MAX) - reach,
            (true, false) => i64::from(i32::MIN) - reach,
            (false, true) => i64::from(u32::MAX) - reach,
            (false, false) => -reach,
        };
        let fits = if signed {
            i32::try_from(limit).is_ok()
        } else {
            u32::try_from(limit).is_ok()
        };
        #[allow(clippy::cast_possible_truncation, reason = "just checked")]
        let limit = limit as i32;
        for c in 0..2 {
            if !fits {
                self.asm.jmp(slow)?;
                break;
            }
            self.asm
                .cmp(dword_ptr(base_of(op.a) + (slot_disp(op.a) + 4 * c)), limit)?;
            match (signed, reach >= 0) {
                (true, true) => self.asm.jg(slow)?,
                (true, false) => self.asm.jl(slow)?,
                (false, true) => self.asm.ja(slow)?,
                (false, false) => self.asm.jb(slow)?,
            }
        }
        self.bind(back)?;
        Ok(true)
    }

    /// The lanes of an affine value.
    pub(super) fn expand(&mut self, op: &Op, inst: &Inst) -> Result<bool, IcedError> {
        let class = self.analysed.kernel.vregs[inst.d[0] as usize].class;
        let (base, at) = (base_of(op.a), slot_disp(op.a));
        for c in 0..2u8 {
            let mask = Self::mask(op.flags, c);
            let (d, store) = self.target(op.d, class, c);
            let k = if store { None } else { mask };
            match d {
                Lanes::W32(d) => {
                    let steps = steps32(op.e);
                    let steps = self.literal(steps);
                    self.asm
                        .vpbroadcastd(zmm26, dword_ptr(base + (at + 4 * i32::from(c))))?;
                    self.asm.vpaddd(masked(d, k), zmm26, steps)?;
                }
                Lanes::W64(d) => {
                    self.asm
                        .vpbroadcastq(zmm26, qword_ptr(base + (at + 8 * i32::from(c))))?;
                    for (h, d) in d.into_iter().enumerate() {
                        let steps = self.literal(steps64(op.e, h));
                        let k = self.half(k, h)?;
                        self.asm.vpaddq(masked(d, k), zmm26, steps)?;
                    }
                }
                Lanes::Pred(_) => return Ok(false),
            }
            if store {
                self.put(op.d, class, c, mask)?;
            }
        }
        Ok(true)
    }

    /// The mask of half `h` of a chunk of 64-bit lanes.
    pub(super) fn half(
        &mut self,
        k: Option<AsmRegisterK>,
        h: usize,
    ) -> Result<Option<AsmRegisterK>, IcedError> {
        match k {
            Some(k) if h == 1 => {
                self.asm.kshiftrw(k3, k, 8)?;
                Ok(Some(k3))
            }
            k => Ok(k),
        }
    }
}

/// A destination under a mask.
pub(super) fn masked(d: AsmRegisterZmm, k: Option<AsmRegisterK>) -> AsmRegisterZmm {
    match k {
        Some(k) => under(d, k),
        None => d,
    }
}

/// A store's destination under a mask.
pub(super) fn masked_memory(to: AsmMemoryOperand, k: AsmRegisterK) -> AsmMemoryOperand {
    if k == k1 {
        to.k1()
    } else if k == k2 {
        to.k2()
    } else if k == k3 {
        to.k3()
    } else {
        to.k4()
    }
}

fn under(d: AsmRegisterZmm, k: AsmRegisterK) -> AsmRegisterZmm {
    if k == k1 {
        d.k1()
    } else if k == k2 {
        d.k2()
    } else if k == k3 {
        d.k3()
    } else if k == k4 {
        d.k4()
    } else if k == k5 {
        d.k5()
    } else if k == k6 {
        d.k6()
    } else {
        d.k7()
    }
}

/// The distance of each lane's value from the base of an affine one.
pub(super) fn steps(stride: u32, wide: bool, half: usize) -> [u8; 64] {
    if wide {
        steps64(stride, half)
    } else {
        steps32(stride)
    }
}

fn steps32(stride: u32) -> [u8; 64] {
    let mut bytes = [0; 64];
    for (i, lane) in (0u32..).zip(bytes.chunks_exact_mut(4)) {
        lane.copy_from_slice(&stride.wrapping_mul(i).to_le_bytes());
    }
    bytes
}

fn steps64(stride: u32, half: usize) -> [u8; 64] {
    let stride = i64::from(stride.cast_signed()).cast_unsigned();
    let mut bytes = [0; 64];
    for (i, lane) in (half as u64 * 8..).zip(bytes.chunks_exact_mut(8)) {
        lane.copy_from_slice(&stride.wrapping_mul(i).to_le_bytes());
    }
    bytes
}
