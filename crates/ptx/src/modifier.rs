//! Modifiers: what follows the mnemonic, each after a dot.
//!
//! `ld.relaxed.gpu.global.v2.u32` is the opcode [`Opcode::Ld`](crate::Opcode) with five modifiers. They are kept in source
//! order (order matters between types, and the printer gives back what was written), and each is a typed value.
//! One spelling can mean several things (`.lo` is a half of a product or an unsigned comparison): the instruction
//! table decides by the mnemonic.

use crate::spelled::spelled;
use crate::types::Type;

spelled! {
    /// Rounding: to a float (`rn` ...) or to an integral value (`rni` ...).
    Rounding {
        Rn = "rn", Rz = "rz", Rm = "rm", Rp = "rp", Rna = "rna", Rs = "rs",
        Rni = "rni", Rzi = "rzi", Rmi = "rmi", Rpi = "rpi",
    }
}
spelled! {
    /// State space. Generic addressing has no spelling: an instruction without a space is generic.
    Space {
        Reg = "reg", Sreg = "sreg", Const = "const", Global = "global", Local = "local",
        Param = "param", ParamEntry = "param::entry", ParamFunc = "param::func",
        Shared = "shared", SharedCta = "shared::cta", SharedCluster = "shared::cluster", Tex = "tex",
    }
}
spelled! {
    /// Vector width of a load, store, texture or surface access.
    VecWidth { V2 = "v2", V4 = "v4", V8 = "v8" }
}
spelled! {
    /// Repetition count of matrix and tensor-memory accesses.
    Count {
        X1 = "x1", X2 = "x2", X4 = "x4", X8 = "x8", X16 = "x16", X32 = "x32", X64 = "x64", X128 = "x128",
    }
}
spelled! {
    /// Cache operator of a load or store.
    CacheOp { Ca = "ca", Cg = "cg", Cs = "cs", Lu = "lu", Cv = "cv", Wb = "wb", Wt = "wt" }
}
spelled! {
    /// Cache eviction priority and prefetch size. Performance hints only.
    CacheHint {
        L1EvictNormal = "L1::evict_normal", L1EvictUnchanged = "L1::evict_unchanged",
        L1EvictFirst = "L1::evict_first", L1EvictLast = "L1::evict_last", L1NoAllocate = "L1::no_allocate",
        L2EvictNormal = "L2::evict_normal", L2EvictUnchanged = "L2::evict_unchanged",
        L2EvictFirst = "L2::evict_first", L2EvictLast = "L2::evict_last",
        L2Prefetch64 = "L2::64B", L2Prefetch128 = "L2::128B", L2Prefetch256 = "L2::256B",
        CacheHint = "L2::cache_hint", L1 = "L1", L2 = "L2",
    }
}
spelled! {
    /// Memory ordering of an access or fence.
    Semantics {
        Weak = "weak", Volatile = "volatile", Relaxed = "relaxed", Acquire = "acquire", Release = "release",
        AcqRel = "acq_rel", Sc = "sc", Mmio = "mmio",
    }
}
spelled! {
    /// Scope of an ordering operation. `gl` is the old spelling of device scope in `membar`.
    Scope { Cta = "cta", Cluster = "cluster", Gpu = "gpu", Sys = "sys", Gl = "gl" }
}
spelled! {
    /// Comparison. `lo ls hi hs` are unsigned; those that end in `u` are true when an operand is NaN.
    CmpOp {
        Eq = "eq", Ne = "ne", Lt = "lt", Le = "le", Gt = "gt", Ge = "ge",
        Lo = "lo", Ls = "ls", Hi = "hi", Hs = "hs",
        Equ = "equ", Neu = "neu", Ltu = "ltu", Leu = "leu", Gtu = "gtu", Geu = "geu", Num = "num", Nan = "nan",
    }
}
spelled! {
    /// Boolean combination in `set`, `setp` and barrier reductions.
    BoolOp { And = "and", Or = "or", Xor = "xor" }
}
spelled! {
    /// Operation of atomics and reductions, and the second operation of video instructions.
    AtomOp {
        Add = "add", And = "and", Or = "or", Xor = "xor", Cas = "cas", Exch = "exch",
        Inc = "inc", Dec = "dec", Min = "min", Max = "max", Popc = "popc",
    }
}
spelled! {
    /// Mode of a warp vote or match.
    VoteMode { All = "all", Any = "any", Uni = "uni", Ballot = "ballot" }
}
spelled! {
    /// Mode of a warp shuffle.
    ShflMode { Up = "up", Down = "down", Bfly = "bfly", Idx = "idx" }
}
spelled! {
    /// Which part of a product is kept.
    MulHalf { Lo = "lo", Hi = "hi", Wide = "wide" }
}
spelled! {
    /// Texture, surface or tensor geometry.
    Geometry {
        D1 = "1d", D2 = "2d", D3 = "3d", D4 = "4d", D5 = "5d", A1d = "a1d", A2d = "a2d",
        Cube = "cube", Acube = "acube", D2ms = "2dms", A2dms = "a2dms",
    }
}
spelled! {
    /// Storage order of a matrix fragment.
    Layout { Row = "row", Col = "col" }
}
spelled! {
    /// Which fragment a `wmma` load or store moves.
    Fragment { A = "a", B = "b", C = "c", D = "d" }
}
spelled! {
    /// Property asked for by `testp`.
    TestOp {
        Finite = "finite", Infinite = "infinite", Number = "number", NotANumber = "notanumber",
        Normal = "normal", Subnormal = "subnormal",
    }
}
spelled! {
    /// Mode of `prmt` other than the default.
    PrmtMode { F4e = "f4e", B4e = "b4e", Rc8 = "rc8", Ecl = "ecl", Ecr = "ecr", Rc16 = "rc16" }
}
spelled! {
    /// Property asked for by `txq` and `suq`.
    Query {
        Width = "width", Height = "height", Depth = "depth", ChannelDataType = "channel_data_type",
        ChannelOrder = "channel_order", NormalizedCoords = "normalized_coords", ArraySize = "array_size",
        ForceUnnormalizedCoords = "force_unnormalized_coords", FilterMode = "filter_mode",
        AddrMode0 = "addr_mode_0", AddrMode1 = "addr_mode_1", AddrMode2 = "addr_mode_2",
        NumMipmapLevels = "num_mipmap_levels", NumSamples = "num_samples", MemoryLayout = "memory_layout",
        Level = "level",
    }
}
spelled! {
    /// Field that `tensormap.replace` writes.
    TensormapField {
        GlobalAddress = "global_address", Rank = "rank", BoxDim = "box_dim", GlobalDim = "global_dim",
        GlobalStride = "global_stride", ElementStride = "element_stride", ElemType = "elemtype",
        InterleaveLayout = "interleave_layout", SwizzleMode = "swizzle_mode",
        SwizzleAtomicity = "swizzle_atomicity", FillMode = "fill_mode",
    }
}
spelled! {
    /// Shape of a tensor-memory access (`tcgen05`).
    TmemShape {
        S16x64b = "16x64b", S16x128b = "16x128b", S16x256b = "16x256b", S32x32b = "32x32b",
        S16x32bx2 = "16x32bx2", S128x256b = "128x256b", S4x256b = "4x256b", S128x128b = "128x128b",
        S64x128b = "64x128b", S32x128b = "32x128b",
    }
}
spelled! {
    /// Operand format family of block-scaled and fifth-generation matrix instructions.
    Kind {
        F16 = "kind::f16", Tf32 = "kind::tf32", F8f6f4 = "kind::f8f6f4", I8 = "kind::i8",
        Mxf8f6f4 = "kind::mxf8f6f4", Mxf4 = "kind::mxf4", Mxf4nvf4 = "kind::mxf4nvf4",
    }
}
spelled! {
    /// Every other modifier: its presence is all it says.
    Flag {
        AccF16 = "acc::f16", AccF32 = "acc::f32", Abs = "abs", Aligned = "aligned", Alias = "alias",
        Approx = "approx", Ashift = "ashift", Async = "async", AsyncGeneric = "async::generic",
        B1024 = "b1024", Base = "base", Block16 = "block16", Block32 = "block32",
        BlockScale = "block_scale", BulkGroup = "bulk_group", Cc = "cc", Clamp = "clamp",
        CollectorAFill = "collector::a::fill", CollectorAUse = "collector::a::use",
        CollectorALastuse = "collector::a::lastuse", CollectorADiscard = "collector::a::discard",
        CollectorB0Fill = "collector::b0::fill", CollectorB0Use = "collector::b0::use",
        CollectorB0Lastuse = "collector::b0::lastuse", CollectorB0Discard = "collector::b0::discard",
        CollectorB1Fill = "collector::b1::fill", CollectorB1Use = "collector::b1::use",
        CollectorB1Lastuse = "collector::b1::lastuse", CollectorB1Discard = "collector::b1::discard",
        CollectorB2Fill = "collector::b2::fill", CollectorB2Use = "collector::b2::use",
        CollectorB2Lastuse = "collector::b2::lastuse", CollectorB2Discard = "collector::b2::discard",
        CollectorB3Fill = "collector::b3::fill", CollectorB3Use = "collector::b3::use",
        CollectorB3Lastuse = "collector::b3::lastuse", CollectorB3Discard = "collector::b3::discard",
        CpMask = "cp_mask", CtaGroup1 = "cta_group::1", CtaGroup2 = "cta_group::2", Cvt = "cvt",
        Dec = "dec", ExpectTx = "expect_tx", FirstCtaid = "get_first_ctaid",
        FirstCtaidX = "get_first_ctaid::x", FirstCtaidY = "get_first_ctaid::y",
        FirstCtaidZ = "get_first_ctaid::z", Formatted = "p", Fractional = "fractional", Ftz = "ftz",
        Full = "full", Grad = "grad", IgnoreOob = "ignore_oob", Im2col = "im2col",
        Im2colNoOffs = "im2col_no_offs", Im2colW = "im2col::w", Im2colW128 = "im2col::w::128", Inc = "inc",
        IsCanceled = "is_canceled", Left = "l", Level = "level", Mask = "mask",
        MbarrierArriveOne = "mbarrier::arrive::one", MbarrierCompleteTx = "mbarrier::complete_tx::bytes",
        MulticastCluster = "multicast::cluster", MulticastClusterAll = "multicast::cluster::all",
        Nan = "NaN", Nc = "nc", NoComplete = "noComplete", NoFtz = "noftz", NoInc = "noinc", Oob = "oob",
        Pack16b = "pack::16b", Parity = "parity", Po = "po", Range = "range", Read = "read", Relu = "relu",
        Right = "r", Sat = "sat", Satfinite = "satfinite", ScaleVec1 = "scale_vec::1X",
        ScaleVec2 = "scale_vec::2X", ScaleVec4 = "scale_vec::4X", ScaledN2Ue8m0 = "scaled::n2::ue8m0",
        ShiftAmt = "shiftamt", Shr7 = "shr7", Shr15 = "shr15", Sp = "sp",
        SpOrdered = "sp::ordered_metadata", Sync = "sync",
        SyncRestrictCluster = "sync_restrict::shared::cluster",
        SyncRestrictCta = "sync_restrict::shared::cta", Tensormap = "tensormap",
        TensormapGeneric = "tensormap::generic", Tile = "tile", TileGather4 = "tile::gather4",
        TileScatter4 = "tile::scatter4", To = "to", Trans = "trans", Trap = "trap", Unformatted = "b",
        Uni = "uni", Unified = "unified", Unpack16b = "unpack::16b", WarpX2x0123 = "warpx2::01_23",
        WarpX2x0213 = "warpx2::02_13", WarpX4 = "warpx4", Wrap = "wrap", XorSign = "xorsign",
        Zero = "zero",
    }
}
spelled! {
    /// Colour component that `tld4` gathers.
    TexComponent { R = "r", G = "g", B = "b", A = "a" }
}

/// Shape of a matrix operation: `.m16n8k16`, or `.m8n8` with `k` zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Shape {
    /// Rows of A and D.
    pub m: u8,
    /// Columns of B and D.
    pub n: u16,
    /// Columns of A and rows of B; 0 where the spelling has none.
    pub k: u16,
}

/// One modifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "each variant is documented by the type it holds")]
pub enum Mod {
    Type(Type),
    Rounding(Rounding),
    Space(Space),
    Vec(VecWidth),
    Count(Count),
    Cache(CacheOp),
    Hint(CacheHint),
    Semantics(Semantics),
    Scope(Scope),
    Cmp(CmpOp),
    Bool(BoolOp),
    Atom(AtomOp),
    Vote(VoteMode),
    Shfl(ShflMode),
    Half(MulHalf),
    Geometry(Geometry),
    Layout(Layout),
    Fragment(Fragment),
    Test(TestOp),
    Prmt(PrmtMode),
    Query(Query),
    Field(TensormapField),
    Tmem(TmemShape),
    Kind(Kind),
    Component(TexComponent),
    Shape(Shape),
    Flag(Flag),
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "m{}n{}", self.m, self.n)?;
        if self.k == 0 {
            Ok(())
        } else {
            write!(f, "k{}", self.k)
        }
    }
}

impl std::fmt::Display for Mod {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Shape(shape) => shape.fmt(f),
            other => f.write_str(other.as_str().unwrap_or_default()),
        }
    }
}

macro_rules! categories {
    ($($variant:ident($ty:ident)),+ $(,)?) => {
        impl Mod {
            /// The spelling, without a leading dot; `None` for shapes, which are composed.
            #[must_use]
            pub const fn as_str(&self) -> Option<&'static str> {
                match self {
                    $(Self::$variant(value) => Some(value.as_str()),)+
                    Self::Shape(_) => None,
                }
            }

            /// Every modifier but shapes, in the order of the categories.
            pub fn all() -> impl Iterator<Item = Self> {
                std::iter::empty()$(.chain($ty::ALL.iter().map(|v| Self::$variant(*v))))+
            }
        }
    };
}

categories! {
    Type(Type), Rounding(Rounding), Space(Space), Vec(VecWidth), Count(Count), Cache(CacheOp), Hint(CacheHint),
    Semantics(Semantics), Scope(Scope), Cmp(CmpOp), Bool(BoolOp), Atom(AtomOp), Vote(VoteMode), Shfl(ShflMode),
    Half(MulHalf), Geometry(Geometry), Layout(Layout), Fragment(Fragment), Test(TestOp), Prmt(PrmtMode),
    Query(Query), Field(TensormapField), Tmem(TmemShape), Kind(Kind), Component(TexComponent), Flag(Flag),
}
