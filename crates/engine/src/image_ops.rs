//! What instructions on textures and surfaces do, and how an operation's flags say it.

/// Geometry of the image that an instruction works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Geom {
    D1,
    D2,
    D3,
    A1,
    A2,
    Cube,
    ACube,
}

impl Geom {
    const ALL: [Self; 7] = [
        Self::D1,
        Self::D2,
        Self::D3,
        Self::A1,
        Self::A2,
        Self::Cube,
        Self::ACube,
    ];

    /// Whether the first coordinate is the number of a layer.
    pub(crate) const fn layered(self) -> bool {
        matches!(self, Self::A1 | Self::A2 | Self::ACube)
    }

    /// Coordinates besides the layer.
    pub(crate) const fn coords(self) -> usize {
        match self {
            Self::D1 | Self::A1 => 1,
            Self::D2 | Self::A2 => 2,
            Self::D3 | Self::Cube | Self::ACube => 3,
        }
    }

    /// Layer and coordinates.
    pub(crate) const fn operands(self) -> usize {
        self.coords() + if self.layered() { 1 } else { 0 }
    }

    /// Axes of a slice of the image.
    pub(crate) const fn axes(self) -> usize {
        match self {
            Self::Cube | Self::ACube => 2,
            other => other.coords(),
        }
    }
}

/// Where the level of detail comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Lod {
    /// From nowhere: 0, then bias and bounds of the sampler.
    Zero,
    /// The finest level, always.
    Base,
    Level,
    Grad,
}

/// What the registers of a result hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Out {
    Words,
    Half,
    HalfPairs,
}

/// `tex` or `tld4`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct TexOp {
    pub(crate) geom: Geom,
    /// Coordinates are `.s32`.
    pub(crate) ints: bool,
    pub(crate) lod: Lod,
    pub(crate) out: Out,
    /// An operand of its own names the sampler.
    pub(crate) sampler: bool,
    /// Offsets in texels: 0, or one per axis.
    pub(crate) offsets: u8,
    /// `tld4`: the channel.
    pub(crate) gather: Option<u8>,
    /// Registers of the result.
    pub(crate) results: u8,
}

impl TexOp {
    /// Operands of the level of detail.
    pub(crate) const fn lod_operands(self) -> usize {
        match self.lod {
            Lod::Zero | Lod::Base => 0,
            Lod::Level => 1,
            Lod::Grad => 2 * self.geom.axes(),
        }
    }

    /// Operands between handles and results.
    pub(crate) const fn operands(self) -> usize {
        self.geom.operands() + self.lod_operands() + self.offsets as usize
    }

    pub(crate) const fn pack(self) -> u32 {
        let gather = match self.gather {
            None => 0,
            Some(k) => k as u32 + 1,
        };
        self.geom as u32
            | (self.ints as u32) << 3
            | (self.lod as u32) << 4
            | (self.out as u32) << 6
            | (self.sampler as u32) << 8
            | (self.offsets as u32) << 9
            | gather << 11
            | (self.results as u32) << 14
    }

    pub(crate) fn unpack(bits: u32) -> Self {
        let small = |from: u32, mask: u8| (bits >> from).to_le_bytes()[0] & mask;
        Self {
            geom: Geom::ALL[usize::from(small(0, 7)) % 7],
            ints: small(3, 1) != 0,
            lod: [Lod::Zero, Lod::Base, Lod::Level, Lod::Grad][usize::from(small(4, 3))],
            out: [Out::Words, Out::Half, Out::HalfPairs, Out::Words][usize::from(small(6, 3))],
            sampler: small(8, 1) != 0,
            offsets: small(9, 3),
            gather: small(11, 7).checked_sub(1),
            results: small(14, 7),
        }
    }
}

/// What a surface instruction does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum SurfKind {
    Load,
    Store,
    Reduce,
}

/// What happens outside of the surface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Edge {
    Trap,
    Clamp,
    Zero,
}

/// Operation of `sured`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum SurfRed {
    Add,
    MinU,
    MaxU,
    MinS,
    MaxS,
    And,
    Or,
}

/// `suld`, `sust` or `sured`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct SurfOp {
    pub(crate) kind: SurfKind,
    pub(crate) geom: Geom,
    /// `.p`: coordinates count texels, values are converted.
    pub(crate) formatted: bool,
    pub(crate) edge: Edge,
    pub(crate) red: SurfRed,
    /// Bytes of a value: 1, 2, 4 or 8.
    pub(crate) bytes: u8,
    /// Values: 1, 2 or 4.
    pub(crate) n: u8,
}

impl SurfOp {
    pub(crate) const fn pack(self) -> u32 {
        self.kind as u32
            | (self.geom as u32) << 2
            | (self.formatted as u32) << 5
            | (self.edge as u32) << 6
            | (self.red as u32) << 8
            | (self.bytes as u32) << 11
            | (self.n as u32) << 15
    }

    pub(crate) fn unpack(bits: u32) -> Self {
        use SurfRed::{Add, And, MaxS, MaxU, MinS, MinU, Or};
        let small = |from: u32, mask: u8| (bits >> from).to_le_bytes()[0] & mask;
        let kinds = [SurfKind::Load, SurfKind::Store, SurfKind::Reduce, SurfKind::Load];
        let edges = [Edge::Trap, Edge::Clamp, Edge::Zero, Edge::Trap];
        Self {
            kind: kinds[usize::from(small(0, 3))],
            geom: Geom::ALL[usize::from(small(2, 7)) % 7],
            formatted: small(5, 1) != 0,
            edge: edges[usize::from(small(6, 3))],
            red: [Add, MinU, MaxU, MinS, MaxS, And, Or, Add][usize::from(small(8, 7))],
            bytes: small(11, 15),
            n: small(15, 7),
        }
    }
}

/// Property that `txq` and `suq` ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ImageQuery {
    Width,
    Height,
    Depth,
    ChannelType,
    ChannelOrder,
    Normalized,
    ArraySize,
    Levels,
    Samples,
    ForceUnnormalized,
    MemoryLayout,
    Filter,
    Wrap0,
    Wrap1,
    Wrap2,
}

impl ImageQuery {
    const ALL: [Self; 15] = [
        Self::Width,
        Self::Height,
        Self::Depth,
        Self::ChannelType,
        Self::ChannelOrder,
        Self::Normalized,
        Self::ArraySize,
        Self::Levels,
        Self::Samples,
        Self::ForceUnnormalized,
        Self::MemoryLayout,
        Self::Filter,
        Self::Wrap0,
        Self::Wrap1,
        Self::Wrap2,
    ];

    pub(crate) const fn pack(self) -> u32 {
        self as u32
    }

    pub(crate) fn unpack(bits: u32) -> Self {
        Self::ALL[(bits & 15) as usize % 15]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_survive_their_flags() {
        let tex = TexOp {
            geom: Geom::ACube,
            ints: true,
            lod: Lod::Grad,
            out: Out::HalfPairs,
            sampler: true,
            offsets: 3,
            gather: Some(3),
            results: 4,
        };
        let plain = TexOp {
            geom: Geom::D1,
            ints: false,
            lod: Lod::Zero,
            out: Out::Words,
            sampler: false,
            offsets: 0,
            gather: None,
            results: 2,
        };
        for op in [tex, plain] {
            assert_eq!(TexOp::unpack(op.pack()), op);
            assert!(op.pack() < 1 << 24, "above the number's bits");
        }
        let surf = SurfOp {
            kind: SurfKind::Reduce,
            geom: Geom::A2,
            formatted: true,
            edge: Edge::Zero,
            red: SurfRed::Or,
            bytes: 8,
            n: 4,
        };
        assert_eq!(SurfOp::unpack(surf.pack()), surf);
        for query in ImageQuery::ALL {
            assert_eq!(ImageQuery::unpack(query.pack()), query);
        }
    }
}
