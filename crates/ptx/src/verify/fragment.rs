//! How many registers a matrix fragment has.
//!
//! A warp of 32 threads (a warpgroup of 128 for `wgmma`) holds a matrix of `rows * columns` elements, packed into
//! registers of 32 bits, or of 64 for `.f64`. Exceptions are the replicated layouts of the oldest shapes.

use super::Verifier;
use crate::body::{Inst, Operand};
use crate::isa::FragmentRole;
use crate::modifier::{Count, Flag, Kind, Mod, Shape, TmemShape};
use crate::opcode::Opcode;
use crate::types::Type;

impl Verifier<'_> {
    pub(super) fn fragment(&self, inst: &Inst, operand: &Operand, role: FragmentRole) -> Result<(), String> {
        self.registers(operand)?;
        let Some((count, bits)) = registers(inst, role) else {
            return Ok(());
        };
        let items = match operand {
            Operand::Vec(items) => items,
            other => std::slice::from_ref(other),
        };
        if items.len() != count as usize {
            return Err(format!("must be {count} registers, is {}", items.len()));
        }
        let wrong = items
            .iter()
            .filter_map(|item| self.reg_type(item))
            .find(|ty| ty.bits() != bits);
        wrong.map_or(Ok(()), |ty| {
            Err(format!("has a .{ty} register where {bits} bits are needed"))
        })
    }
}

/// Number and size in bits of the registers of a fragment; `None` where the instruction does not say.
#[must_use]
pub(crate) fn registers(inst: &Inst, role: FragmentRole) -> Option<(u32, u32)> {
    match inst.op {
        Opcode::Mma => mma(inst, role),
        Opcode::WmmaLoad | Opcode::WmmaStore | Opcode::WmmaMma => wmma(inst, role),
        Opcode::WgmmaMmaAsync | Opcode::WgmmaMmaAsyncSp => wgmma(inst, role),
        Opcode::Ldmatrix | Opcode::Stmatrix => {
            let factor = if inst.op == Opcode::Ldmatrix && inst.shape()?.m == 16 {
                2
            } else {
                1
            };
            Some((repeat(inst.count()?) * factor, 32))
        }
        Opcode::Tcgen05Ld | Opcode::Tcgen05LdRed | Opcode::Tcgen05St => {
            let shape = inst.mods.iter().find_map(|m| match m {
                Mod::Tmem(shape) => Some(*shape),
                _ => None,
            });
            let factor = match shape? {
                TmemShape::S16x128b => 2,
                TmemShape::S16x256b => 4,
                _ => 1,
            };
            Some((repeat(inst.count()?) * factor, 32))
        }
        _ => None,
    }
}

fn repeat(count: Count) -> u32 {
    match count {
        Count::X1 => 1,
        Count::X2 => 2,
        Count::X4 => 4,
        Count::X8 => 8,
        Count::X16 => 16,
        Count::X32 => 32,
        Count::X64 => 64,
        Count::X128 => 128,
    }
}

/// Rows and columns of the matrix of a role.
fn extent(shape: Shape, role: FragmentRole) -> Option<(u32, u32)> {
    let (m, n, k) = (u32::from(shape.m), u32::from(shape.n), u32::from(shape.k));
    match role {
        FragmentRole::A => Some((m, k)),
        FragmentRole::B => Some((k, n)),
        FragmentRole::C | FragmentRole::D => Some((m, n)),
        FragmentRole::Plain => None,
    }
}

/// Registers for `elements` of a type over a number of threads.
fn packed(elements: u32, bits: u32, threads: u32) -> (u32, u32) {
    let size = if bits == 64 { 64 } else { 32 };
    ((elements * bits).div_ceil(threads * size), size)
}

/// The type of a role where the types are written D, A, B, C.
fn role_type(inst: &Inst, role: FragmentRole) -> Option<Type> {
    inst.ty(match role {
        FragmentRole::D => 0,
        FragmentRole::A => 1,
        FragmentRole::B => 2,
        FragmentRole::C => 3,
        FragmentRole::Plain => return None,
    })
}

fn mma(inst: &Inst, role: FragmentRole) -> Option<(u32, u32)> {
    let shape = inst.shape()?;
    let ty = role_type(inst, role)?;
    let (rows, columns) = extent(shape, role)?;
    let sparse = inst.has(Flag::Sp) || inst.has(Flag::SpOrdered);
    let elements = rows * columns / if sparse && role == FragmentRole::A { 2 } else { 1 };
    let byte_sized =
        inst.mods.contains(&Mod::Kind(Kind::F8f6f4)) || inst.mods.contains(&Mod::Kind(Kind::Mxf8f6f4));
    let bits = if byte_sized { ty.bits().max(8) } else { ty.bits() };
    let (count, size) = packed(elements, bits, 32);
    // m8n8k4 with halves is four products of a quarter of the warp each.
    let quarters = shape == Shape { m: 8, n: 8, k: 4 } && inst.ty(1) == Some(Type::F16);
    if quarters {
        Some((elements * bits * 4 / (32 * 32), size))
    } else {
        Some((count, size))
    }
}

fn wmma(inst: &Inst, role: FragmentRole) -> Option<(u32, u32)> {
    let shape = inst.shape()?;
    let ty = match inst.op {
        // Products of halves name the types of D and C only.
        Opcode::WmmaMma if inst.types().count() == 2 => match role {
            FragmentRole::A | FragmentRole::B => Type::F16,
            FragmentRole::D => inst.ty(0)?,
            FragmentRole::C | FragmentRole::Plain => inst.ty(1)?,
        },
        Opcode::WmmaMma => role_type(inst, role)?,
        _ => inst.ty(0)?,
    };
    if ty == Type::F16 && matches!(role, FragmentRole::A | FragmentRole::B) {
        return Some((8, 32));
    }
    let (rows, columns) = extent(shape, role)?;
    Some(packed(rows * columns, ty.bits(), 32))
}

fn wgmma(inst: &Inst, role: FragmentRole) -> Option<(u32, u32)> {
    let shape = inst.shape()?;
    match role {
        FragmentRole::A => Some((4, 32)),
        FragmentRole::D => Some(packed(64 * u32::from(shape.n), inst.ty(0)?.bits(), 128)),
        FragmentRole::B | FragmentRole::C | FragmentRole::Plain => None,
    }
}
