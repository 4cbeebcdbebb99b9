//! Values of the current block that integer registers hold as well as memory: scalar slots that were just written, host
//! addresses that were just checked.
//!
//! Memory is always right; a register is a copy that saves the way through it. So whatever calls a handler needs to save
//! nothing, and the stub that comes back [loads](Gen::load_kept) what the code behind it relies on. Where a group may be
//! entered, nothing is kept.

use iced_x86::IcedError;
use iced_x86::code_asm::*;

use super::asm::Target;
use super::compile::{FRAME, Gen, STATE};

/// Registers that keep values, then those that hold nothing between operations.
pub(super) const WIDE: [AsmRegister64; 9] = [r8, r9, r10, r11, rbp, rsi, rdi, rax, rcx];
/// Their lower halves.
pub(super) const NARROW: [AsmRegister32; 9] = [r8d, r9d, r10d, r11d, ebp, esi, edi, eax, ecx];
/// How many keep values.
const COUNT: usize = 7;

/// A place in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Frame(i32),
    State(i32),
}

/// A copy of 32 or 64 bits in a register.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kept {
    place: Place,
    wide: bool,
    /// Index in [`WIDE`].
    register: usize,
}

impl Place {
    fn operand(self) -> AsmMemoryOperand {
        match self {
            Self::Frame(at) => FRAME + at,
            Self::State(at) => STATE + at,
        }
    }
}

impl Gen<'_> {
    /// The register that has a copy of what is there.
    pub(super) fn kept(&mut self, place: Place, wide: bool) -> Option<usize> {
        let at = self
            .kept
            .iter()
            .position(|k| k.place == place && k.wide == wide)?;
        let found = self.kept.remove(at);
        self.kept.push(found);
        Some(found.register)
    }

    /// The registers that keep values: lowered code has masks in the first four.
    pub(super) fn keepers(&self) -> std::ops::Range<usize> {
        match self.asm.target() {
            Target::Avx512 => 0..COUNT,
            Target::Avx2 { .. } => 4..COUNT,
        }
    }

    /// A register to keep something in: a free one, else the one that was wanted longest ago and is not among `busy`.
    pub(super) fn keeper(&mut self, busy: &[usize]) -> usize {
        let free = |r: &usize| !busy.contains(r) && self.kept.iter().all(|k| k.register != *r);
        if let Some(register) = self.keepers().find(free) {
            return register;
        }
        let oldest = self.kept.iter().map(|k| k.register).find(|r| !busy.contains(r));
        let register = oldest.unwrap_or(self.keepers().start);
        self.kept.retain(|k| k.register != register);
        register
    }

    /// Register `register` has a copy of what was just written there.
    pub(super) fn keep(&mut self, place: Place, wide: bool, register: usize) {
        self.kept.retain(|k| k.place != place);
        self.kept.push(Kept {
            place,
            wide,
            register,
        });
    }

    /// A scalar slot has been written otherwise: its two elements.
    pub(super) fn forget_slot(&mut self, at: i32) {
        self.kept
            .retain(|k| !matches!(k.place, Place::Frame(place) if (at..at + 16).contains(&place)));
    }

    /// An address that was left in memory, in a register.
    pub(super) fn kept_address(&mut self, at: i32) -> Result<AsmRegister64, IcedError> {
        let place = Place::State(at);
        if let Some(register) = self.kept(place, true) {
            return Ok(WIDE[register]);
        }
        let register = self.keeper(&[]);
        self.asm.mov(WIDE[register], qword_ptr(place.operand()))?;
        self.keep(place, true, register);
        Ok(WIDE[register])
    }

    /// Leaves the address in `rax` in memory, and keeps it.
    pub(super) fn leave_address(&mut self, at: i32) -> Result<(), IcedError> {
        let place = Place::State(at);
        self.asm.mov(qword_ptr(place.operand()), rax)?;
        let register = self.keeper(&[]);
        self.asm.mov(WIDE[register], rax)?;
        self.keep(place, true, register);
        Ok(())
    }

    /// Makes copies again, after a handler.
    pub(super) fn load_kept(&mut self, kept: &[Kept]) -> Result<(), IcedError> {
        let mut done = Vec::new();
        for k in kept {
            if done.contains(&k.register) {
                continue;
            }
            done.push(k.register);
            if k.wide {
                self.asm.mov(WIDE[k.register], qword_ptr(k.place.operand()))?;
            } else {
                self.asm.mov(NARROW[k.register], dword_ptr(k.place.operand()))?;
            }
        }
        Ok(())
    }
}
