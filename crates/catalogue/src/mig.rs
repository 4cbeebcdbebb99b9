//! GPU instance profiles: how MIG splits a GPU.

use serde::Deserialize;

/// Where instances of a profile may start, in memory slices.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MigPlacements {
    /// Possible starts, ascending.
    pub starts: Vec<u32>,
    /// Slices that an instance covers.
    pub size: u32,
}

/// A GPU instance profile.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MigProfile {
    /// `2g.20gb`, `1g.10gb+me`.
    pub name: String,
    /// Number that tools take, `nvidia-smi mig -cgi 14`.
    pub gi_profile_id: Option<u32>,
    /// Whether that number was seen on the board, not inferred from its family.
    pub gi_profile_id_observed: bool,
    /// Compute slices.
    pub slices: u32,
    /// Memory slices.
    pub memory_slices: u32,
    /// Memory that tools report for an instance, GiB.
    pub memory_gib_reported: Option<f64>,
    /// Streaming multiprocessors of an instance.
    pub sm_count: Option<u32>,
    /// Copy engines of an instance.
    pub copy_engines: Option<u32>,
    /// Decoders, JPEG engines, optical flow engines, as printed.
    pub media: Option<String>,
    /// Most instances on a GPU.
    pub max_instances: u32,
    /// Where they may lie.
    pub placements: Option<MigPlacements>,
    /// Whether instances can hold vGPUs, where the sources tell profiles apart by that.
    #[serde(default)]
    pub vgpu_capable: Option<bool>,
    /// Keys of the sources.
    pub sources: Vec<String>,
    /// What is unclear in the sources.
    pub note: Option<String>,
}
