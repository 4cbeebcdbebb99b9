//! Matrix instructions: what they compute, and in which order their registers are named.
//!
//! A factor is a set of **blocks** of 8 rows (columns for B) by four words; the 32 lanes of one register hold one block, lane
//! `4 * row + word`. That is the layout of every `mma` shape but the oldest, and the one given to `wmma` fragments, whose
//! layout the manual leaves open. Operands of [`What::Mma`](super::What):
//!
//! ```text
//!  A   for each tile of 16 rows, for each block along k: rows 0 to 7, rows 8 to 15
//!  B   for each tile of 8 columns, for each block along k
//!  C   for each tile of rows, for each tile of columns: the registers of one 16 by 8 result; so D
//! ```

/// Format of the elements of a factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Elem {
    F16,
    Bf16,
    Tf32,
    E4m3,
    E5m2,
    S8,
    U8,
    S4,
    U4,
    /// Single bits.
    B1,
    F64,
}

impl Elem {
    const ALL: [Self; 11] = [
        Self::F16,
        Self::Bf16,
        Self::Tf32,
        Self::E4m3,
        Self::E5m2,
        Self::S8,
        Self::U8,
        Self::S4,
        Self::U4,
        Self::B1,
        Self::F64,
    ];

    /// Elements in a word.
    pub(crate) const fn per_word(self) -> usize {
        match self {
            Self::Tf32 | Self::F64 => 1,
            Self::F16 | Self::Bf16 => 2,
            Self::E4m3 | Self::E5m2 | Self::S8 | Self::U8 => 4,
            Self::S4 | Self::U4 => 8,
            Self::B1 => 32,
        }
    }

    /// Bits of an element.
    pub(crate) const fn bits(self) -> u8 {
        match self {
            Self::F64 => 64,
            Self::Tf32 => 32,
            Self::F16 | Self::Bf16 => 16,
            Self::E4m3 | Self::E5m2 | Self::S8 | Self::U8 => 8,
            Self::S4 | Self::U4 => 4,
            Self::B1 => 1,
        }
    }
}

/// Format of an addend or result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Sum {
    F32,
    /// Two to a register.
    F16,
    S32,
    F64,
}

impl Sum {
    const ALL: [Self; 4] = [Self::F32, Self::F16, Self::S32, Self::F64];

    /// Registers of a result of eight columns and 8 (`half`) or 16 rows.
    pub(crate) const fn registers(self, half: bool) -> usize {
        match (self, half) {
            (Self::F16, true) => 1,
            (Self::F16, false) | (_, true) => 2,
            (_, false) => 4,
        }
    }
}

/// A product of matrices with an addend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Mma {
    /// Tiles of 16 rows.
    pub(crate) tall: u8,
    /// The one tile has 8 rows only.
    pub(crate) half: bool,
    /// Tiles of 8 columns.
    pub(crate) wide: u8,
    /// Blocks of four words along k.
    pub(crate) deep: u8,
    pub(crate) a: Elem,
    pub(crate) b: Elem,
    pub(crate) c: Sum,
    pub(crate) d: Sum,
    /// `.satfinite`
    pub(crate) clamp: bool,
    /// Bits are combined with `.and` instead of `.xor`.
    pub(crate) and: bool,
    /// A has half of the elements of a row, which are chosen by a register after those of C; which lanes hold the choice. B
    /// then has twice as many blocks along k.
    pub(crate) sparse: Option<u8>,
    /// Rounding of `.f64`.
    pub(crate) rounding: u8,
}

impl Mma {
    /// Registers of A, B, C and D.
    pub(crate) fn registers(&self) -> [usize; 4] {
        let (tall, wide, deep) = (self.tall as usize, self.wide as usize, self.deep as usize);
        let rows = if self.half { 1 } else { 2 };
        let tiles = tall * wide;
        let twice = if self.sparse.is_some() { 2 } else { 1 };
        [
            tall * deep * rows,
            wide * deep * twice,
            tiles * self.c.registers(self.half),
            tiles * self.d.registers(self.half),
        ]
    }

    /// As a number of 24 bits, without what is not common to all formats.
    pub(crate) fn pack(&self) -> u32 {
        let place = |all: &[Elem], e: Elem| all.iter().position(|x| *x == e).unwrap_or(0);
        let sum = |s: Sum| Sum::ALL.iter().position(|x| *x == s).unwrap_or(0);
        let fields = [
            (place(&Elem::ALL, self.a), 4),
            (place(&Elem::ALL, self.b), 4),
            (sum(self.c), 2),
            (sum(self.d), 2),
            (usize::from(self.tall), 2),
            (usize::from(self.wide), 3),
            (usize::from(self.deep), 3),
            (usize::from(self.half), 1),
            (usize::from(self.clamp), 1),
            (usize::from(self.and), 1),
        ];
        let mut at = 0;
        let mut bits = 0u32;
        for (value, width) in fields {
            bits |= u32::try_from(value).unwrap_or(0) << at;
            at += width;
        }
        bits
    }

    /// What [`pack`](Self::pack) made a number of.
    #[inline(always)]
    pub(crate) fn unpack(bits: u32) -> Self {
        let field = |at: u32, width: u32| (bits >> at & ((1 << width) - 1)).to_le_bytes()[0];
        let elem = |at| Elem::ALL.get(field(at, 4) as usize).copied().unwrap_or(Elem::F16);
        let sum = |at| Sum::ALL.get(field(at, 2) as usize).copied().unwrap_or(Sum::F32);
        Self {
            a: elem(0),
            b: elem(4),
            c: sum(8),
            d: sum(10),
            tall: field(12, 2),
            wide: field(14, 3),
            deep: field(17, 3),
            half: field(20, 1) != 0,
            clamp: field(21, 1) != 0,
            and: field(22, 1) != 0,
            sparse: None,
            rounding: 0,
        }
    }
}

/// `ldmatrix` and `stmatrix` of 8 by 8 matrices of 16-bit elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Move {
    /// Matrices, one register each: 1, 2 or 4.
    pub(crate) n: u8,
    pub(crate) transposed: bool,
    /// The address is a generic one.
    pub(crate) generic: bool,
    pub(crate) offset: i32,
}

/// `mma.m8n8k4` of halves: four products, each of the eight lanes of a quarter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Quarters {
    pub(crate) a_columns: bool,
    pub(crate) b_columns: bool,
    /// C and D are halves.
    pub(crate) c_half: bool,
    pub(crate) d_half: bool,
}

/// Registers that a [`TileMove`] has at most.
pub(crate) const MOST_REGISTERS: usize = 8;

/// `wmma.load` and `wmma.store`: lane `4 * g + t` of register `r` holds the `per` elements from row `origin[r].0 + g`, column
/// `origin[r].1 + step * t`, where rows and columns are those of a block (see the head of the module).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct TileMove {
    pub(crate) space: super::Space,
    pub(crate) offset: i32,
    /// Bits of an element.
    pub(crate) bits: u8,
    pub(crate) per: u8,
    pub(crate) step: u8,
    /// Columns lie side by side in memory, rows a stride apart; or the other way.
    pub(crate) row_major: bool,
    pub(crate) n: u8,
    pub(crate) origin: [(u8, u8); MOST_REGISTERS],
}

impl TileMove {
    /// Everything but origins and place, as a number of 24 bits.
    pub(crate) fn pack(&self) -> u32 {
        u32::from(self.n)
            | self.bits.trailing_zeros() << 4
            | u32::from(self.per) << 7
            | u32::from(self.step) << 13
            | u32::from(self.row_major) << 19
    }
}
