//! Tier 1: machine code for hot kernels.
//!
//! ```text
//!  alu ──emits into──▶ Asm ──finish──▶ Assembled (bytes, marks) ──▶ Code (mapped, executable, never writable)
//! ```
//!
//! Sixteen lanes are one vector register of 32-bit lanes or two of 64-bit lanes; a predicate is a mask register. Every
//! emitted sequence gives the bits that tier 0 gives for the same operation.

mod alu;
mod asm;
mod code;
mod compare;
mod float;
mod int;
mod logic;
mod ops;
#[cfg(test)]
mod tests;
mod vector;
