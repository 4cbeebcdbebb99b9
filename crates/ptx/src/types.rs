//! The scalar types of PTX.

use crate::spelled::spelled;

spelled! {
    /// A scalar or packed type. Packed types (`.f16x2`) are one register wide and hold several elements.
    Type {
        B1 = "b1", B4 = "b4", B8 = "b8", B16 = "b16", B32 = "b32", B64 = "b64", B128 = "b128",
        U2 = "u2", U4 = "u4", U8 = "u8", U16 = "u16", U32 = "u32", U64 = "u64",
        S2 = "s2", S4 = "s4", S8 = "s8", S16 = "s16", S32 = "s32", S64 = "s64",
        U16x2 = "u16x2", S16x2 = "s16x2", U8x4 = "u8x4", S8x4 = "s8x4",
        F16 = "f16", F16x2 = "f16x2", Bf16 = "bf16", Bf16x2 = "bf16x2", Tf32 = "tf32",
        F32 = "f32", F32x2 = "f32x2", F64 = "f64",
        E4m3 = "e4m3", E5m2 = "e5m2", E2m1 = "e2m1", E2m3 = "e2m3", E3m2 = "e3m2",
        Ue8m0 = "ue8m0", Ue4m3 = "ue4m3",
        E4m3x2 = "e4m3x2", E5m2x2 = "e5m2x2", E2m1x2 = "e2m1x2", E2m3x2 = "e2m3x2", E3m2x2 = "e3m2x2",
        Ue8m0x2 = "ue8m0x2", S2f6x2 = "s2f6x2",
        E4m3x4 = "e4m3x4", E5m2x4 = "e5m2x4", E2m1x4 = "e2m1x4", E2m3x4 = "e2m3x4", E3m2x4 = "e3m2x4",
        B8x16 = "b8x16", B4x16 = "b4x16", B4x16P64 = "b4x16_p64", B6x16P32 = "b6x16_p32", B6p2x16 = "b6p2x16",
        Pred = "pred",
        TexRef = "texref", SamplerRef = "samplerref", SurfRef = "surfref",
    }
}

/// What the bits of a type mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TypeClass {
    /// Untyped bits (`.b32`).
    Bits,
    /// Unsigned integer, packed ones too.
    Unsigned,
    /// Signed integer, packed ones too.
    Signed,
    /// Floating point, packed and small formats too.
    Float,
    /// Predicate.
    Pred,
    /// Texture, sampler and surface references.
    Opaque,
}

impl Type {
    /// Width in bits of one value, packed elements together. Predicates have 1, opaque references 64.
    #[must_use]
    pub const fn bits(self) -> u32 {
        use Type as T;
        match self {
            T::B1 | T::Pred => 1,
            T::U2 | T::S2 => 2,
            T::B4 | T::U4 | T::S4 | T::E2m1 => 4,
            T::E2m3 | T::E3m2 => 6,
            T::B8 | T::U8 | T::S8 | T::E4m3 | T::E5m2 | T::Ue8m0 | T::Ue4m3 | T::E2m1x2 => 8,
            T::B16 | T::U16 | T::S16 | T::F16 | T::Bf16 => 16,
            T::E4m3x2 | T::E5m2x2 | T::E2m3x2 | T::E3m2x2 | T::Ue8m0x2 | T::S2f6x2 | T::E2m1x4 => 16,
            T::B32 | T::U32 | T::S32 | T::F32 | T::Tf32 => 32,
            T::U16x2 | T::S16x2 | T::U8x4 | T::S8x4 | T::F16x2 | T::Bf16x2 => 32,
            T::E4m3x4 | T::E5m2x4 | T::E2m3x4 | T::E3m2x4 => 32,
            T::B64 | T::U64 | T::S64 | T::F64 | T::F32x2 => 64,
            T::TexRef | T::SamplerRef | T::SurfRef => 64,
            T::B128 | T::B8x16 | T::B4x16 | T::B4x16P64 | T::B6x16P32 | T::B6p2x16 => 128,
        }
    }

    /// Bytes that one value takes in memory; types below a byte take one.
    #[must_use]
    pub const fn bytes(self) -> u32 {
        let bytes = self.bits().div_ceil(8);
        if bytes == 0 { 1 } else { bytes }
    }

    /// What the bits mean.
    #[must_use]
    pub const fn class(self) -> TypeClass {
        use Type as T;
        match self {
            T::B1 | T::B4 | T::B8 | T::B16 | T::B32 | T::B64 | T::B128 => TypeClass::Bits,
            T::B8x16 | T::B4x16 | T::B4x16P64 | T::B6x16P32 | T::B6p2x16 => TypeClass::Bits,
            T::U2 | T::U4 | T::U8 | T::U16 | T::U32 | T::U64 | T::U16x2 | T::U8x4 => TypeClass::Unsigned,
            T::S2 | T::S4 | T::S8 | T::S16 | T::S32 | T::S64 | T::S16x2 | T::S8x4 => TypeClass::Signed,
            T::Pred => TypeClass::Pred,
            T::TexRef | T::SamplerRef | T::SurfRef => TypeClass::Opaque,
            _ => TypeClass::Float,
        }
    }

    /// Whether this is a floating-point type.
    #[must_use]
    pub const fn is_float(self) -> bool {
        matches!(self.class(), TypeClass::Float)
    }

    /// Whether this is a signed integer type.
    #[must_use]
    pub const fn is_signed(self) -> bool {
        matches!(self.class(), TypeClass::Signed)
    }

    /// Whether this is an integer or untyped-bits type.
    #[must_use]
    pub const fn is_integer(self) -> bool {
        matches!(
            self.class(),
            TypeClass::Bits | TypeClass::Signed | TypeClass::Unsigned
        )
    }

    /// Whether a register may have this type: the "fundamental types" of the ISA and predicates.
    #[must_use]
    pub const fn is_register(self) -> bool {
        use Type as T;
        matches!(
            self,
            T::B8
                | T::B16
                | T::B32
                | T::B64
                | T::B128
                | T::U8
                | T::U16
                | T::U32
                | T::U64
                | T::S8
                | T::S16
                | T::S32
                | T::S64
                | T::F16
                | T::F16x2
                | T::Bf16
                | T::Bf16x2
                | T::Tf32
                | T::F32
                | T::F32x2
                | T::F64
                | T::Pred
        )
    }
}
