//! Bounds on what a text may ask for, so that hostile input exhausts neither stack nor memory.
//!
//! Everything that the parser allocates is proportional to the length of the text, except where a number in the text
//! says how much; those numbers are bounded here. Registers of `%r<n>` exist only when they are mentioned.

/// Longest text in bytes. Positions are kept in 32 bits.
pub const TEXT_BYTES: usize = 1 << 30;
/// Deepest nesting of `{ }` in a body, of parentheses in an expression and of braces in an initialiser.
pub const NESTING: usize = 64;
/// Most registers that one `%r<n>` declares.
pub const REGISTER_RANGE: u64 = 1 << 24;
/// Largest variable in bytes.
pub const VARIABLE_BYTES: u64 = 1 << 40;
/// Largest parameter block of a function in bytes. The ISA allows 32,764 for kernels; calls may pass more.
pub const PARAM_BYTES: u64 = 1 << 20;
/// Largest alignment in bytes.
pub const ALIGNMENT: u64 = 1 << 20;
/// Most array dimensions.
pub const DIMENSIONS: usize = 32;
/// Most operands, vector elements or arguments in one place.
pub const OPERANDS: usize = 1024;
