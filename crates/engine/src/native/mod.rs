//! Tier 1: machine code for hot kernels.
//!
//! ```text
//!  fast decoding ──compile──▶ alu, memory, control ──emit into──▶ Asm ──finish──▶ bytes, marks ──▶ Code (mapped, never writable)
//!                                                                                                  │
//!  slice of a group ──▶ State::run ──enter──▶ machine code ──leave──▶ event                        ◀┘
//! ```
//!
//! For a processor without AVX-512 `finish` first [lowers](avx2) what was emitted to AVX2.
//!
//! Sixteen lanes are one vector register of 32-bit lanes or two of 64-bit lanes; a predicate is a mask register. Every
//! emitted sequence gives the bits that tier 0 gives for the same operation.

#[allow(dead_code, reason = "some parts wait for the operations that use them")]
mod alu;
mod approx;
#[allow(dead_code, reason = "some parts wait for the operations that use them")]
mod asm;
mod avx2;
mod bases;
mod code;
mod compare;
mod compile;
mod compute;
mod context;
mod control;
mod convert;
mod divide;
mod float;
mod half;
mod halves;
mod int;
mod kept;
mod logic;
mod memory;
mod moves;
mod nan;
#[allow(dead_code, reason = "some parts wait for the operations that use them")]
mod ops;
mod pairs;
mod parts;
mod regs;
mod scalar;
mod scatter;
mod seats;
mod short;
#[cfg(test)]
mod tests;
mod turns;
#[allow(dead_code, reason = "some parts wait for the operations that use them")]
mod vector;
mod warp;

pub(crate) use compile::{Compiled, compile};
pub(crate) use context::State;
pub(crate) use parts::Parts;

/// The extensions of this processor that change the code, one bit each.
pub(crate) fn extensions() -> u8 {
    let asm::Extras { cd, popcnt, vbmi2 } = asm::Extras::detected();
    u8::from(cd) | u8::from(popcnt) << 1 | u8::from(vbmi2) << 2
}
