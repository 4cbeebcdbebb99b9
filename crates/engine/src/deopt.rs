//! From the fast decoding to the all-vector one, at a safe point.
//!
//! For each split: the registers that are live where it stands, lane by lane of its mask, from where the fast decoding keeps
//! them (scalar slot, bases of an affine value, vector slot) to their vector slot; its program counter by way of the number of
//! the instruction.

use crate::analysis::cfg::NONE;
use crate::analysis::shape::Shape;
use crate::decode::Code;
use crate::exec::alu::Class;
use crate::exec::{FLAT, Mask, POOL, UNIT, WARPS};
use crate::frame::{Buf, Group};
use crate::launch::Launch;
use crate::lir::V;
use crate::tiers::Build;

fn offset(operand: u32) -> usize {
    (operand & !(POOL | FLAT)) as usize * UNIT
}

fn read(frame: &[u8], at: usize, wide: bool) -> u64 {
    let bytes = if wide { 8 } else { 4 };
    let mut raw = [0; 8];
    if let Some(source) = frame.get(at..at + bytes) {
        raw[..bytes].copy_from_slice(source);
    }
    u64::from_le_bytes(raw)
}

fn write(frame: &mut [u8], at: usize, wide: bool, value: u64) {
    let bytes = if wide { 8 } else { 4 };
    if let Some(slot) = frame.get_mut(at..at + bytes) {
        slot.copy_from_slice(&value.to_le_bytes()[..bytes]);
    }
}

/// The value of `v` in a lane of a frame of the fast decoding.
fn value(fast: &Code, frame: &[u8], v: V, wide: bool, lane: usize) -> u64 {
    let bytes = if wide { 8 } else { 4 };
    let shape = fast.shapes.as_ref().map_or(Shape::Vector, |s| s[v as usize]);
    match shape.stride() {
        Some(stride) => {
            let base = read(
                frame,
                offset(fast.slots.scalar[v as usize]) + lane / 16 * bytes,
                wide,
            );
            let step = stride
                .wrapping_mul(i64::try_from(lane % 16).unwrap_or(0))
                .cast_unsigned();
            base.wrapping_add(step)
        }
        None => read(frame, offset(fast.slots.vector[v as usize]) + lane * bytes, wide),
    }
}

/// Carries a group over.
pub(crate) fn to_vector(launch: &Launch, build: &Build, group: &mut Group) {
    let analysed = &launch.program().analysed;
    let fast = build.code(analysed, false);
    let vector = build.code(analysed, true);
    let mut frame = Buf::zeroed(vector.slots.frame_bytes);
    for split in &mut group.splits {
        let inst = fast.inst_of_op[split.pc as usize];
        debug_assert_eq!(
            fast.op_of_inst[inst as usize], split.pc,
            "a split stands at the start of an instruction"
        );
        let (b, at) = analysed.locate(inst);
        for v in analysed.live.before(&analysed.kernel, b, at) {
            carry(
                launch,
                (fast, group.frame.bytes()),
                (vector, frame.bytes_mut()),
                v,
                &split.mask,
            );
        }
        split.pc = vector.op_of_inst[inst as usize];
    }
    group.frame = frame;
    group.vector = true;
}

fn carry(launch: &Launch, (fast, from): (&Code, &[u8]), (vector, to): (&Code, &mut [u8]), v: V, mask: &Mask) {
    let class = launch.program().analysed.kernel.vregs[v as usize].class;
    let target = vector.slots.vector[v as usize];
    if target == NONE {
        return;
    }
    if class == Class::Pred {
        let source = fast.slots.vector[v as usize];
        for (w, &lanes) in mask.iter().enumerate().take(WARPS) {
            let old = read(to, offset(target) + w * 4, false);
            let new = read(from, offset(source) + w * 4, false);
            write(
                to,
                offset(target) + w * 4,
                false,
                old & !u64::from(lanes) | new & u64::from(lanes),
            );
        }
        return;
    }
    let wide = class == Class::W64;
    let bytes = if wide { 8 } else { 4 };
    for lane in 0..WARPS * 32 {
        if mask[lane / 32] >> (lane % 32) & 1 != 0 {
            let value = value(fast, from, v, wide, lane);
            write(to, offset(target) + lane * bytes, wide, value);
        }
    }
}
