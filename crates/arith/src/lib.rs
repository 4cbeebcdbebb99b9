//! Arithmetic of PTX instructions on one lane, exact to the bit.
//!
//! Every function here is one PTX operation on the values of one lane: pure, without state, without I/O, `#[inline(always)]`.
//! The engine lifts them into loops over lanes; they are written with plain arithmetic and selects, so that such a loop
//! vectorises. Modifiers (`.ftz`, `.sat`, rounding, comparison operator) are ordinary arguments: a caller that passes
//! constants gets code without a trace of them.
//!
//! # How values travel
//!
//! | PTX type | Rust type | bits above the type's width |
//! |---|---|---|
//! | `.pred` | `bool` | |
//! | `.u8 .s8 .b8 .u16 .s16 .b16` | `u32` | ignored in operands, **zero in results** (also of signed types) |
//! | `.u32 .s32 .b32`, `.u16x2 .s16x2` | `u32` | |
//! | `.u64 .s64 .b64` | `u64` | |
//! | `.f16 .bf16` | `u32`, the encoding in bits 0..16 | ignored in operands, zero in results |
//! | `.f16x2 .bf16x2` | `u32`, element 0 in bits 0..16 | |
//! | `.f32`, `.f64` | `f32`, `f64` | |
//!
//! Where a destination register is wider than the instruction's type (allowed for `ld`, `cvt` and others), the caller extends;
//! [`convert`] has the functions for it.
//!
//! # NaN
//!
//! | type | NaN produced by arithmetic | source |
//! |---|---|---|
//! | `.f32` | `0x7fffffff`, whatever the operands' payloads | CUDA C Programming Guide, "Floating-Point Standard" |
//! | `.f16`, `.bf16` | `0x7fff` | `CUDART_NAN_FP16`, `CUDART_NAN_BF16` |
//! | `.f64` | `0xfff8000000000000`, whatever the operands' payloads | `CUDART_NAN`; the manual leaves payloads open |
//!
//! One fixed encoding also for `.f64` makes every engine tier and every host give the same bits.
//!
//! # Fused multiply-add
//!
//! `fma` is always fused (one rounding). Inside a function with the target feature `fma` it becomes the processor's
//! instruction; elsewhere the C library's function, slow and just as exact.
#![forbid(unsafe_code)]

pub mod approx;
pub mod atomics;
pub mod carry;
pub mod compare;
pub mod convert;
pub mod dot;
pub mod float32;
pub mod float64;
pub mod half;
pub mod integer;
pub mod logic;
pub mod packed;
pub mod rounding;
pub mod tensor_map;
pub mod texture;
pub mod video;

/// Rounding of a floating-point result to its destination's precision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Rounding {
    /// `.rn`: to nearest, ties to even.
    #[default]
    Rn,
    /// `.rz`: towards zero.
    Rz,
    /// `.rm`: towards negative infinity.
    Rm,
    /// `.rp`: towards positive infinity.
    Rp,
}

/// Rounding of a floating-point value to an integral value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IntRounding {
    /// `.rni`: to nearest, ties to even.
    Rni,
    /// `.rzi`: towards zero.
    Rzi,
    /// `.rmi`: towards negative infinity.
    Rmi,
    /// `.rpi`: towards positive infinity.
    Rpi,
}

/// An integer type of PTX.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IntType {
    /// `.u8`
    U8,
    /// `.s8`
    S8,
    /// `.u16`
    U16,
    /// `.s16`
    S16,
    /// `.u32`
    U32,
    /// `.s32`
    S32,
    /// `.u64`
    U64,
    /// `.s64`
    S64,
}

impl IntType {
    /// Width in bits: 8, 16, 32 or 64.
    #[inline(always)]
    #[must_use]
    pub const fn bits(self) -> u32 {
        match self {
            Self::U8 | Self::S8 => 8,
            Self::U16 | Self::S16 => 16,
            Self::U32 | Self::S32 => 32,
            Self::U64 | Self::S64 => 64,
        }
    }

    /// Whether the type is signed.
    #[inline(always)]
    #[must_use]
    pub const fn is_signed(self) -> bool {
        matches!(self, Self::S8 | Self::S16 | Self::S32 | Self::S64)
    }
}
