//! Packed integers, video instructions, `cvt.pack`.

use tessera_arith::packed::{Packed, PackedOp};
use tessera_arith::video::{Mad, Part as Selected, Second, Simd, Video, VideoOp};
use tessera_ptx::modifier::{AtomOp, CmpOp};
use tessera_ptx::{Flag, Inst as PtxInst, Opcode as O, Operand, Part, Type as T};

use super::{Lower, Result};
use crate::exec::alu::{Alu, Class};
use crate::exec::media;
use crate::lir::V;

/// The operation of a video instruction, and how many elements it works on.
const fn operation(op: O) -> Option<(VideoOp, u32)> {
    use VideoOp as V;
    Some(match op {
        O::Vadd => (V::Add, 1),
        O::Vsub => (V::Sub, 1),
        O::Vabsdiff => (V::AbsDiff, 1),
        O::Vmin => (V::Min, 1),
        O::Vmax => (V::Max, 1),
        O::Vshl => (V::Shl, 1),
        O::Vshr => (V::Shr, 1),
        O::Vset => (V::Eq, 1),
        O::Vadd2 => (V::Add, 2),
        O::Vsub2 => (V::Sub, 2),
        O::Vavrg2 => (V::Average, 2),
        O::Vabsdiff2 => (V::AbsDiff, 2),
        O::Vmin2 => (V::Min, 2),
        O::Vmax2 => (V::Max, 2),
        O::Vset2 => (V::Eq, 2),
        O::Vadd4 => (V::Add, 4),
        O::Vsub4 => (V::Sub, 4),
        O::Vavrg4 => (V::Average, 4),
        O::Vabsdiff4 => (V::AbsDiff, 4),
        O::Vmin4 => (V::Min, 4),
        O::Vmax4 => (V::Max, 4),
        O::Vset4 => (V::Eq, 4),
        _ => return None,
    })
}

const fn comparison(op: CmpOp) -> Option<VideoOp> {
    Some(match op {
        CmpOp::Eq => VideoOp::Eq,
        CmpOp::Ne => VideoOp::Ne,
        CmpOp::Lt => VideoOp::Lt,
        CmpOp::Le => VideoOp::Le,
        CmpOp::Gt => VideoOp::Gt,
        CmpOp::Ge => VideoOp::Ge,
        _ => return None,
    })
}

/// The types of `d`, `a` and `b`; `vset` has none of its own for `d`, which is unsigned.
fn signedness(inst: &PtxInst) -> (bool, bool, bool) {
    let signed = |n| inst.ty(n) == Some(T::S32);
    if matches!(inst.op, O::Vset | O::Vset2 | O::Vset4) {
        (false, signed(0), signed(1))
    } else {
        (signed(0), signed(1), signed(2))
    }
}

const fn packed_type(ty: T) -> Option<(bool, bool)> {
    Some(match ty {
        T::U16x2 => (false, false),
        T::S16x2 => (false, true),
        T::U8x4 => (true, false),
        T::S8x4 => (true, true),
        _ => return None,
    })
}

/// The selector of a `prmt` that brings element `places[i]` of a pair of registers to place `i`.
fn permutation(places: &[u8], halves: bool) -> u32 {
    let mut selector = 0;
    for (i, &place) in (0u32..).zip(places) {
        let place = u32::from(place);
        selector |= if halves {
            ((2 * place) | (2 * place + 1) << 4) << (8 * i)
        } else {
            place << (4 * i)
        };
    }
    selector
}

impl Lower<'_> {
    /// Lowers what belongs here; false for other instructions.
    pub(super) fn media(&mut self, inst: &PtxInst, ty: T) -> Result<bool> {
        if inst.op == O::Vmad {
            self.video_mad(inst)?;
        } else if let Some((op, lanes)) = operation(inst.op) {
            let op = match inst.cmp() {
                None => op,
                Some(cmp) => match comparison(cmp) {
                    Some(op) => op,
                    None => return self.refuse("this comparison"),
                },
            };
            if lanes == 1 {
                self.video(inst, op)?;
            } else {
                self.video_lanes(inst, op, lanes)?;
            }
        } else if let Some((bytes, signed)) = packed_type(ty) {
            return self.packed(inst, bytes, signed);
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// Packed integers in the forms that have no loop of their own.
    fn packed(&mut self, inst: &PtxInst, bytes: bool, signed: bool) -> Result<bool> {
        let (sat, relu) = (inst.has(Flag::Sat), inst.has(Flag::Relu));
        if !bytes && !sat {
            return Ok(false);
        }
        let op = match inst.op {
            O::Add => PackedOp::Add,
            O::Sub | O::Neg => PackedOp::Sub,
            O::Min => PackedOp::Min,
            O::Max => PackedOp::Max,
            _ => return self.refuse("this instruction of packed integers"),
        };
        let p = Packed {
            op,
            bytes,
            signed,
            sat,
            relu,
        };
        let s = if inst.op == O::Neg {
            [self.imm32(0), self.arg(inst, 1, T::B32)?]
        } else {
            [self.arg(inst, 1, T::B32)?, self.arg(inst, 2, T::B32)?]
        };
        self.result(inst, Alu::Packed, media::packed_bits(p), &s)?;
        Ok(true)
    }

    pub(super) fn cvt_pack(&mut self, inst: &PtxInst) -> Result<()> {
        let Some(to) = inst.ty(0) else {
            return self.refuse("types are missing");
        };
        let x = to.bits() | u32::from(to.is_signed()) << 5;
        let c = if inst.operands.len() > 3 {
            self.arg(inst, 3, T::B32)?
        } else {
            self.imm32(0)
        };
        let s = [self.arg(inst, 1, T::S32)?, self.arg(inst, 2, T::S32)?, c];
        self.result(inst, Alu::CvtPack, x, &s)
    }

    /// A source with an optional part: its register, the part, whether it is negated.
    fn selected(&mut self, inst: &PtxInst, n: usize) -> Result<(V, Selected, bool)> {
        let Some(&Operand::Part { reg, part, negated }) = inst.operands.get(n) else {
            return Ok((self.arg(inst, n, T::B32)?, Selected::Word, false));
        };
        let v = self.register(reg);
        let part = match part {
            None => Selected::Word,
            Some(Part::Byte(n)) => Selected::Byte(u32::from(n)),
            Some(Part::Half(n)) => Selected::Half(u32::from(n)),
            Some(Part::Select { .. }) => return self.refuse("several parts of a register"),
        };
        Ok((self.coerce(v, Class::W32), part, negated))
    }

    /// The register that is written and its part.
    fn selected_destination(&mut self, inst: &PtxInst) -> Result<(V, Option<Part>)> {
        match inst.operands.first() {
            Some(&Operand::Part { reg, part, .. }) => Ok((self.register(reg), part)),
            Some(operand) => Ok((self.dest(operand, Class::W32)?, None)),
            None => self.refuse("no destination"),
        }
    }

    fn video(&mut self, inst: &PtxInst, op: VideoOp) -> Result<()> {
        let (d_signed, a_signed, b_signed) = signedness(inst);
        let (d, part) = self.selected_destination(inst)?;
        let (a, a_part, _) = self.selected(inst, 1)?;
        let (b, b_part, _) = self.selected(inst, 2)?;
        let second = match inst.atom_op() {
            None => Second::None,
            Some(AtomOp::Add) => Second::Add,
            Some(AtomOp::Min) => Second::Min,
            Some(AtomOp::Max) => Second::Max,
            Some(_) => return self.refuse("this second operation"),
        };
        let d_part = match part {
            None => Selected::Word,
            Some(Part::Byte(n)) => Selected::Byte(u32::from(n)),
            Some(Part::Half(n)) => Selected::Half(u32::from(n)),
            Some(Part::Select { .. }) => return self.refuse("several parts of the destination"),
        };
        let c = match inst.operands.get(3) {
            Some(_) => self.arg(inst, 3, T::B32)?,
            None if d_part == Selected::Word && second == Second::None => self.imm32(0),
            None => return self.refuse("the third operand is missing"),
        };
        let v = Video {
            op,
            a: (a_part, a_signed),
            b: (b_part, b_signed),
            d: (d_part, d_signed),
            sat: inst.has(Flag::Sat),
            wrap: inst.has(Flag::Wrap),
            second,
        };
        let value = self.alu(Alu::VideoScalar, media::video_bits(v), &[a, b, c]);
        self.assign(d, value);
        Ok(())
    }

    /// The elements of operand `n` in their places. Selectors count through `a`, then `b`.
    fn gathered(&mut self, inst: &PtxInst, n: usize, lanes: u32) -> Result<V> {
        let halves = lanes == 2;
        let own = match inst.operands.get(n) {
            Some(&Operand::Part { reg, part, negated }) => {
                if negated {
                    return self.refuse("a negated operand");
                }
                match part {
                    None => return Ok(self.register(reg)),
                    Some(Part::Select {
                        lanes: digits,
                        count,
                        halves: of_halves,
                    }) if of_halves == halves && u32::from(count) == lanes => digits,
                    Some(_) => return self.refuse("a selector of this size"),
                }
            }
            _ => return self.arg(inst, n, T::B32),
        };
        // Digits are written highest element first.
        let places: Vec<u8> = own[..lanes as usize].iter().rev().copied().collect();
        let word = |this: &mut Self, n: usize| match inst.operands.get(n) {
            Some(&Operand::Part { reg, .. }) => Ok(this.register(reg)),
            _ => this.arg(inst, n, T::B32),
        };
        let (a, b) = (word(self, 1)?, word(self, 2)?);
        let selector = self.imm32(permutation(&places, halves));
        Ok(self.alu(Alu::Prmt, 0, &[a, b, selector]))
    }

    fn video_lanes(&mut self, inst: &PtxInst, op: VideoOp, lanes: u32) -> Result<()> {
        let (d_signed, a_signed, b_signed) = signedness(inst);
        let (d, part) = self.selected_destination(inst)?;
        let mask = match part {
            None => 15,
            Some(Part::Byte(n)) if lanes == 4 => 1 << n,
            Some(Part::Half(n)) if lanes == 2 => 1 << n,
            Some(Part::Select {
                lanes: digits,
                count,
                halves,
            }) if halves == (lanes == 2) => digits[..usize::from(count)].iter().fold(0, |m, n| m | 1 << n),
            Some(_) => return self.refuse("a mask of other elements"),
        };
        let s = [
            self.gathered(inst, 1, lanes)?,
            self.gathered(inst, 2, lanes)?,
            self.arg(inst, 3, T::B32)?,
        ];
        let v = Simd {
            op,
            bytes: lanes == 4,
            signed: (a_signed, b_signed, d_signed),
            sat: inst.has(Flag::Sat),
            accumulate: inst.atom_op() == Some(AtomOp::Add),
            mask,
        };
        let value = self.alu(Alu::VideoSimd, media::simd_bits(v), &s);
        self.assign(d, value);
        Ok(())
    }

    fn video_mad(&mut self, inst: &PtxInst) -> Result<()> {
        let (_, a_signed, b_signed) = signedness(inst);
        let (a, a_part, a_negated) = self.selected(inst, 1)?;
        let (b, b_part, b_negated) = self.selected(inst, 2)?;
        let (c, c_part, c_negated) = self.selected(inst, 3)?;
        let negate_product = a_negated != b_negated;
        let plus_one = inst.has(Flag::Po);
        if c_part != Selected::Word
            || u32::from(negate_product) + u32::from(c_negated) + u32::from(plus_one) > 1
        {
            return self.refuse("these negations and parts together");
        }
        let v = Mad {
            a: (a_part, a_signed),
            b: (b_part, b_signed),
            negate_product,
            negate_c: c_negated,
            plus_one,
            sat: inst.has(Flag::Sat),
            shift: match (inst.has(Flag::Shr7), inst.has(Flag::Shr15)) {
                (true, _) => 7,
                (_, true) => 15,
                _ => 0,
            },
        };
        self.result(inst, Alu::VideoMad, media::mad_bits(v), &[a, b, c])
    }
}
