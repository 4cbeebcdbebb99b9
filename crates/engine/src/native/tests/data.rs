//! Operands for the tests of the native forms.

use crate::exec::alu::{Alu, Class};

/// Operations without a native form, in the order of the table.
pub(super) const WITHOUT: &str = "\
    Fns Ex2Bf16x2 TanhF16 TanhF16x2 TanhBf16 TanhBf16x2 F32ToE4m3x2 F16x2ToE4m3x2 Bf16x2ToE4m3x2 E4m3x2ToF16x2 \
    F32ToE5m2x2 F16x2ToE5m2x2 Bf16x2ToE5m2x2 E5m2x2ToF16x2 AddSatU32 Packed CvtPack VideoScalar VideoSimd VideoMad \
    FmaOobF16x2 FmaOobBf16x2 F32ToTiny F32ToTinyRs TinyToF32 F32ToF16Rs F32ToBf16Rs F32ToUe8m0 Ue8m0ToBf16 \
    S2f6ToBf16 \
    ";

/// Numbers that look random and are the same every time.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A mask of lanes, often all or none.
    pub(super) fn mask(&mut self) -> u16 {
        let bits = self.next();
        match bits >> 60 {
            0 => 0,
            1 => u16::MAX,
            2 => 0x00ff,
            3 => 0xff00,
            _ => (bits & 0xffff) as u16,
        }
    }

    /// For a division, every other time, a dividend at or next to a multiple of the divisor.
    pub(super) fn near_multiple(&mut self, alu: Alu, lane: &mut [u64; 3]) {
        use Alu::*;
        let bits = self.next();
        if !matches!(
            alu,
            DivU64 | RemU64 | DivS64 | RemS64 | DivU32 | RemU32 | DivS32 | RemS32
        ) || bits & 1 == 0
        {
            return;
        }
        let wide = matches!(alu, DivU64 | RemU64 | DivS64 | RemS64);
        let most = if wide { u64::MAX } else { 0xffff_ffff };
        let quotient = (self.next() & most) / lane[1].max(1);
        let dividend = quotient
            .wrapping_mul(lane[1])
            .wrapping_add(bits >> 1 & 3)
            .wrapping_sub(1);
        lane[0] = dividend & most;
    }

    /// A value of a class: any bits, few bits, a float of moderate size, or a special value.
    pub(super) fn value(&mut self, alu: Alu, class: Class) -> u64 {
        let (kind, bits) = (self.next() >> 61, self.next());
        if class == Class::Pred {
            return bits >> 40 & 1;
        }
        let wide = class == Class::W64;
        let value = match kind {
            0 => bits >> (self.next() & 63),
            1 => {
                let values = specials(alu, class, 1);
                values[(bits >> 8) as usize % values.len()]
            }
            2 | 3 if wide => bits & 0x800f_ffff_ffff_ffff | (0x3f0 + (self.next() & 31)) << 52,
            2 | 3 => bits & 0x807f_ffff | (112 + (self.next() & 31)) << 23,
            4 => bits & 63,
            _ => bits,
        };
        if wide { value } else { value & 0xffff_ffff }
    }
}

#[rustfmt::skip]
const FLOATS32: &[u64] = &[
    0x0000_0000, 0x8000_0000, 0x3f80_0000, 0xbf80_0000, 0x7f80_0000, 0xff80_0000, 0x7fc0_0000, 0xffc1_2345,
    0x7f80_0001, 0xffa0_0000, 0x0000_0001, 0x8000_0001, 0x007f_ffff, 0x807f_ffff, 0x0080_0000, 0x8080_0000,
    0x7f7f_ffff, 0xff7f_ffff, 0x4f00_0000, 0xcf00_0000, 0x4f80_0000, 0x3f00_0000, 0xbf00_0000, 0x3fc0_0000,
    0x4f7f_ffff, 0x5f00_0000, 0x5f80_0000, 0xdf00_0000, 0x3f00_0001, 0x4040_0000, 0x7fff_ffff, 0x1f80_0000,
    0x2000_0000, 0x3380_0000, 0x477f_e000, 0x477f_f000, 0x3880_0000, 0x387f_f000, 0x3300_0000,
];
#[rustfmt::skip]
const INTEGERS32: &[u64] = &[
    0, 1, 2, 3, 7, 8, 15, 16, 17, 24, 31, 32, 33, 63, 64, 65, 127, 128, 255, 256, 0x7fff, 0x8000, 0xffff,
    0x1_0000, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 0xffff_fffe, 0x8000_0001, 0x0102_0304, 0xaaaa_aaaa,
    0x7fff_8000, 0x00ff_ffff, 0x0100_0000, 0x2010, 0x0020, 0x0800, 0x1f00,
];
/// Pairs of 16-bit numbers in either format.
#[rustfmt::skip]
const HALVES: &[u64] = &[
    0x0000_3c00, 0x3c00_bc00, 0x7c00_fc00, 0x7e01_fd55, 0x0001_8001, 0x03ff_0400, 0x7bff_fbff, 0x8000_0000,
    0x3f80_ff80, 0x7f81_7f80, 0x0080_007f, 0x7f7f_ff7f, 0x7c01_3555, 0x1400_0c00, 0x3800_b800, 0x0400_83ff,
];
#[rustfmt::skip]
const FLOATS64: &[u64] = &[
    0, 1 << 63, 0x3ff0_0000_0000_0000, 0xbff0_0000_0000_0000, 0x7ff0_0000_0000_0000, 0xfff0_0000_0000_0000,
    0x7ff8_0000_0000_0000, 0xfff8_1234_5678_9abc, 0x7ff0_0000_0000_0001, 1, 0x8000_0000_0000_0001,
    0x000f_ffff_ffff_ffff, 0x0010_0000_0000_0000, 0x8010_0000_0000_0000, 0x7fef_ffff_ffff_ffff,
    0x41e0_0000_0000_0000, 0xc1e0_0000_0000_0000, 0x41df_ffff_ffc0_0000, 0x41df_ffff_ffe0_0000,
    0x41ef_ffff_ffe0_0000, 0x41f0_0000_0000_0000, 0x43e0_0000_0000_0000, 0xc3e0_0000_0000_0000,
    0x43f0_0000_0000_0000, 0x3fe0_0000_0000_0000, 0xbfe0_0000_0000_0000, 0x3ff8_0000_0000_0000,
    0x47ef_ffff_e000_0000, 0x47ef_ffff_f000_0000, 0x3810_0000_0000_0000, 0x380f_ffff_f000_0000,
    0x36a0_0000_0000_0000, 0x3690_0000_0000_0001, 0x40ef_fc00_0000_0000, 0xc1e0_0000_0020_0000,
    0x7ff0_0000_ffff_ffff, 0x3ff0_0000_8000_0000, 0x3ff0_0001_8000_0000,
];
#[rustfmt::skip]
const INTEGERS64: &[u64] = &[
    0, 1, 2, 3, 7, 31, 32, 63, 64, 255, 256, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 1 << 32,
    (1 << 53) - 1, (1 << 53) + 1, (1 << 54) + 3, u64::MAX >> 1, 1 << 63, u64::MAX, u64::MAX - 1, (1 << 63) + 1,
    0xffff_ffff_8000_0000, 0xffff_ffff_7fff_ffff, 0x0102_0304_0506_0708, u64::MAX << 32, 10, 1_000_000_007,
];

/// Values at which something changes. The more operands there are, the fewer of each.
pub(super) fn specials(alu: Alu, class: Class, operands: usize) -> Vec<u64> {
    let name = format!("{alu:?}");
    let float = ["F32", "F64", "F16", "f16"]
        .iter()
        .any(|part| name.contains(part));
    let lists: [&[u64]; 3] = match (class, float) {
        (Class::Pred, _) => return vec![0, 1],
        (Class::W32, true) => [FLOATS32, &INTEGERS32[..12], HALVES],
        (Class::W32, false) => [INTEGERS32, &FLOATS32[..8], &[]],
        (Class::W64, true) => [FLOATS64, &INTEGERS64[..14], &[]],
        (Class::W64, false) => [INTEGERS64, &FLOATS64[..4], &[]],
    };
    let all = lists.concat();
    match operands {
        0..=2 => all,
        // A cube of all would be too much.
        _ => all.iter().copied().step_by(2).take(24).collect(),
    }
}

/// Known values of operand `i` that are worth a variant; `i` beyond the operands: pairs of a place and, above it, a length.
pub(super) fn known(alu: Alu, i: usize) -> &'static [u64] {
    use Alu::*;
    match (alu, i) {
        (Shl32 | ShrU32 | ShrS32 | Shl64 | ShrU64 | ShrS64 | RotL | RotR, 1) => {
            &[0, 1, 31, 32, 33, 63, 64, 0xffff_ffff]
        }
        (ShfLWrap | ShfLClamp | ShfRWrap | ShfRClamp, 2) => &[0, 1, 7, 31, 32, 33, 0xffff_ffff],
        (BfeU32 | BfeU64, 3) => &[
            0,
            0x0008_0004,
            0x0020_0000,
            0x0008_001c,
            0x0000_0005,
            0x0100_0001,
            0x0040_0000,
            0x0001_003f,
            0x0101_0101,
        ],
        (Bfi32 | Bfi64, 2) => &[0, 0x0804, 0x2000, 0x081c, 0x05, 0x1ff, 0x4000, 0xff_ffff, 0x013f],
        (Prmt, 2) => &[
            0x3210,
            0x7654,
            0x5410,
            0x7632,
            0x0123,
            0xba98,
            0x4440,
            0xffff_8210,
            0x1054,
        ],
        (_, 0 | 1) => &[0, 0x1_2345],
        _ => &[],
    }
}

/// The immediates with which an operation is tried.
pub(super) fn immediates(alu: Alu) -> Vec<u32> {
    use Alu::*;
    let types = 0..8u32;
    match alu {
        AddXF32 | SubXF32 | MulXF32 | FmaXF32 => (0..16).collect(),
        DivXF32 | RcpXF32 | SqrtXF32 => (0..8).collect(),
        AddXF64 | SubXF64 | MulXF64 | FmaXF64 | DivXF64 | RcpXF64 | SqrtXF64 => (0..4).collect(),
        MinXF32 | MaxXF32 | Min3F32 | Max3F32 | MinF16 | MaxF16 | MinF16x2 | MaxF16x2 | MinBf16 | MaxBf16
        | MinBf16x2 | MaxBf16x2 => (0..64)
            .filter(|x| x & 3 == 0 && (x & 8 == 0))
            .flat_map(|x| [x, x | 64, x | 192])
            .collect(),
        AddF16 | AddF16x2 | SubF16 | SubF16x2 | MulF16 | MulF16x2 => vec![0, 4, 8, 12],
        FmaF16 | FmaF16x2 => vec![0, 4, 8, 12, 16, 20],
        FmaBf16 | FmaBf16x2 => vec![0, 16],
        AbsF16 | AbsF16x2 | NegF16 | NegF16x2 | SlctF32 => vec![0, 4],
        Lop3 => (0..256).map(|x| (x * 37 + 0xe8) & 255).collect(),
        PrmtMode | TestpF32 | TestpF64 => (0..6).collect(),
        BfindU32 | BfindU64 | BfindS32 | BfindS64 | SzextU32 | SzextS32 | Bmsk => vec![0, 1],
        Byte => vec![0, 8, 16, 24],
        Dp4a => (0..4).collect(),
        Dp2a => (0..8).collect(),
        IntToInt32 | IntToInt32To64 => types
            .flat_map(|dst| (0..6).flat_map(move |src| [dst | src << 4, dst | src << 4 | 256]))
            .collect(),
        IntToInt64 | IntToInt64To32 => types
            .flat_map(|dst| (0..8).flat_map(move |src| [dst | src << 4, dst | src << 4 | 256]))
            .collect(),
        F32ToInt32 | F16ToInt32 | Bf16ToInt32 | F64ToInt32 => (0..6)
            .flat_map(|ty| (0..4).flat_map(move |r| [ty << 8 | r << 12, ty << 8 | r << 12 | 4]))
            .collect(),
        F32ToInt64 | F16ToInt64 | Bf16ToInt64 | F64ToInt64 => types
            .flat_map(|ty| (0..4).flat_map(move |r| [ty << 8 | r << 12, ty << 8 | r << 12 | 4]))
            .collect(),
        Int32ToF32 | Int32ToF64 | Int32ToF16 | Int32ToBf16 => {
            (0..6).flat_map(|ty| (0..4).map(move |r| ty << 8 | r)).collect()
        }
        Int64ToF32 | Int64ToF64 | Int64ToF16 | Int64ToBf16 => {
            types.flat_map(|ty| (0..4).map(move |r| ty << 8 | r)).collect()
        }
        F32ToF32 | F64ToF64 | F16ToF16 | Bf16ToBf16 => [0, 1, 2, 3, 7]
            .into_iter()
            .flat_map(|r| [0, 4, 8, 12].map(|m| r << 12 | m))
            .collect(),
        F32ToF64 => vec![0, 4, 8, 12],
        F64ToF32 => (0..16).collect(),
        F64ToF16 | F64ToBf16 | F16ToBf16 | Bf16ToF16 => (0..4).collect(),
        F32ToF16 | F32ToBf16 | F32ToTf32 | F32ToF16x2 | F32ToBf16x2 => (0..4)
            .flat_map(|r| [0, 8, 16, 24, 1 << 16, 1 << 16 | 16].map(|m| r | m))
            .collect(),
        DivApproxF32 | DivFullF32 | RcpApproxF32 | RsqrtApproxF32 | SqrtApproxF32 | Ex2ApproxF32
        | Lg2ApproxF32 | SinApproxF32 | CosApproxF32 => vec![0, 4],
        F32ToE4m3x2 | F16x2ToE4m3x2 | Bf16x2ToE4m3x2 | E4m3x2ToF16x2 | F32ToE5m2x2 | F16x2ToE5m2x2
        | Bf16x2ToE5m2x2 | E5m2x2ToF16x2 => vec![0, 16],
        _ => vec![0],
    }
}
