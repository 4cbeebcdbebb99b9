//! Special registers: `%tid.x`, `%laneid`, `%clock64`, ...

use crate::spelled::spelled;
use crate::types::Type;

spelled! {
    /// A predefined, read-only register.
    SpecialKind {
        Tid = "tid", Ntid = "ntid", Laneid = "laneid", Warpid = "warpid", Nwarpid = "nwarpid",
        Ctaid = "ctaid", Nctaid = "nctaid", Smid = "smid", Nsmid = "nsmid", Gridid = "gridid",
        IsExplicitCluster = "is_explicit_cluster", Clusterid = "clusterid", Nclusterid = "nclusterid",
        ClusterCtaid = "cluster_ctaid", ClusterNctaid = "cluster_nctaid",
        ClusterCtarank = "cluster_ctarank", ClusterNctarank = "cluster_nctarank",
        LanemaskEq = "lanemask_eq", LanemaskLe = "lanemask_le", LanemaskLt = "lanemask_lt",
        LanemaskGe = "lanemask_ge", LanemaskGt = "lanemask_gt",
        Clock = "clock", ClockHi = "clock_hi", Clock64 = "clock64",
        Pm = "pm", Pm64 = "pm_64", Envreg = "envreg",
        Globaltimer = "globaltimer", GlobaltimerLo = "globaltimer_lo", GlobaltimerHi = "globaltimer_hi",
        ReservedSmemOffsetBegin = "reserved_smem_offset_begin", ReservedSmemOffsetEnd = "reserved_smem_offset_end",
        ReservedSmemOffsetCap = "reserved_smem_offset_cap", ReservedSmemOffset = "reserved_smem_offset_",
        TotalSmemSize = "total_smem_size", AggrSmemSize = "aggr_smem_size", DynamicSmemSize = "dynamic_smem_size",
        CurrentGraphExec = "current_graph_exec",
    }
}

spelled! {
    /// Component of a vector special register.
    Component { X = "x", Y = "y", Z = "z", W = "w" }
}

/// A special register as an operand: `%tid.x` or `%envreg7`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpecialReg {
    /// Which one.
    pub kind: SpecialKind,
    /// The component of a vector register; `None` for scalar ones and where a whole vector is moved.
    pub component: Option<Component>,
    /// The number in `%envreg<n>`, `%pm<n>`, `%pm<n>_64` and `%reserved_smem_offset_<n>`, else 0.
    pub index: u8,
}

impl SpecialKind {
    /// Whether the register has components `.x .y .z .w`.
    #[must_use]
    pub const fn is_vector(self) -> bool {
        matches!(
            self,
            Self::Tid
                | Self::Ntid
                | Self::Ctaid
                | Self::Nctaid
                | Self::Clusterid
                | Self::Nclusterid
                | Self::ClusterCtaid
                | Self::ClusterNctaid
        )
    }

    /// The largest number that may follow the name, or `None` for unnumbered registers.
    #[must_use]
    pub const fn max_index(self) -> Option<u8> {
        match self {
            Self::Envreg => Some(31),
            Self::Pm | Self::Pm64 => Some(7),
            Self::ReservedSmemOffset => Some(1),
            _ => None,
        }
    }
}

impl SpecialReg {
    /// The type of the value. Vector registers give the type of one component.
    #[must_use]
    pub const fn ty(self) -> Type {
        match self.kind {
            SpecialKind::Clock64 | SpecialKind::Pm64 | SpecialKind::Globaltimer | SpecialKind::Gridid => {
                Type::U64
            }
            SpecialKind::CurrentGraphExec => Type::U64,
            SpecialKind::IsExplicitCluster => Type::Pred,
            SpecialKind::Envreg => Type::B32,
            SpecialKind::ReservedSmemOffset
            | SpecialKind::ReservedSmemOffsetBegin
            | SpecialKind::ReservedSmemOffsetEnd
            | SpecialKind::ReservedSmemOffsetCap => Type::B32,
            _ => Type::U32,
        }
    }
}

impl std::fmt::Display for SpecialReg {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.kind, self.kind.max_index()) {
            (SpecialKind::Pm64, _) => write!(f, "%pm{}_64", self.index)?,
            (kind, Some(_)) => write!(f, "%{kind}{}", self.index)?,
            (kind, None) => write!(f, "%{kind}")?,
        }
        match self.component {
            Some(component) => write!(f, ".{component}"),
            None => Ok(()),
        }
    }
}

/// Which component a name like `.x` or `.r` (colour spelling) selects.
pub(crate) fn component_named(name: &[u8]) -> Option<Component> {
    match name {
        b"x" | b"r" => Some(Component::X),
        b"y" | b"g" => Some(Component::Y),
        b"z" | b"b" => Some(Component::Z),
        b"w" | b"a" => Some(Component::W),
        _ => None,
    }
}

/// The special register that `%name` is, without its component.
pub(crate) fn special_named(name: &[u8]) -> Option<SpecialReg> {
    let text = std::str::from_utf8(name.strip_prefix(b"%")?).ok()?;
    let (stem, suffix) = match text.strip_suffix("_64") {
        Some(stem) if stem.starts_with("pm") => (stem, "_64"),
        _ => (text, ""),
    };
    let plain = |kind| SpecialReg {
        kind,
        component: None,
        index: 0,
    };
    let exact = SpecialKind::ALL
        .iter()
        .find(|kind| kind.as_str() == text && kind.max_index().is_none());
    if let Some(kind) = exact {
        return Some(plain(*kind));
    }
    let prefix = stem.trim_end_matches(|c: char| c.is_ascii_digit());
    let digits = stem.get(prefix.len()..)?;
    let index: u8 = digits
        .parse()
        .ok()
        .filter(|_| digits == "0" || !digits.starts_with('0'))?;
    let kind = match (prefix, suffix) {
        ("envreg", "") => SpecialKind::Envreg,
        ("pm", "") => SpecialKind::Pm,
        ("pm", "_64") => SpecialKind::Pm64,
        ("reserved_smem_offset_", "") => SpecialKind::ReservedSmemOffset,
        _ => return None,
    };
    (index <= kind.max_index()?).then_some(SpecialReg { index, ..plain(kind) })
}
