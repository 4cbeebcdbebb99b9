//! vGPU types: what can be cut from a board.

use crate::{PciId, Series, TypeName};
use serde::{Deserialize, Serialize};
use std::fmt;

/// How a type shares the GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// A share of the whole GPU, in turn.
    TimeSliced,
    /// A GPU instance of its own.
    MigBacked,
    /// A share of a GPU instance, in turn.
    TimeSlicedMigBacked,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TimeSliced => "time-sliced",
            Self::MigBacked => "MIG-backed",
            Self::TimeSlicedMigBacked => "time-sliced MIG-backed",
        })
    }
}

/// What placement ids count from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlacementScope {
    /// From the start of the GPU's memory.
    Gpu,
    /// From the start of the GPU instance's memory.
    GpuInstance,
}

/// A vGPU type of a board. Names are unique on a board; `DC-8C` and a few others exist on two boards.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, try_from = "Row")]
pub struct VgpuType {
    /// `H100-20C`.
    pub name: String,
    /// The name taken apart.
    pub parsed: TypeName,
    /// The vendor's numeric id.
    pub type_id: Option<u32>,
    /// How it shares the GPU.
    pub mode: Mode,
    /// PCI identity that a guest sees.
    pub pci: Option<PciId>,
    /// Published frame buffer, MiB. [`VgpuType::frame_buffer_mib`] is the number to compute with.
    pub published_frame_buffer_mib: Option<u64>,
    /// Most vGPUs of the type on a GPU in equal-size mode; for a MIG-backed type, over all its GPU instances.
    pub max_per_gpu: Option<u32>,
    /// Most vGPUs of the type on a GPU in mixed-size mode.
    pub max_per_gpu_mixed_size: Option<u32>,
    /// Most vGPUs of the type in a GPU instance.
    pub max_per_gi: Option<u32>,
    /// GPU instance profile that the type runs on.
    pub gi_profile: Option<String>,
    /// Compute slices of that profile.
    pub slices: Option<u32>,
    /// Most compute instances in the GPU instance.
    pub compute_instances: Option<u32>,
    /// Placement units that one vGPU covers.
    pub placement_size: Option<u32>,
    /// Where a vGPU may lie in mixed-size mode, ascending.
    pub placement_ids_mixed_size: Option<Vec<u32>>,
    /// Where a vGPU may lie in equal-size mode, ascending; only from Ada on.
    pub placement_ids_equal_size: Option<Vec<u32>>,
    /// Keys of the sources.
    pub sources: Vec<String>,
    /// What is unclear in the sources.
    pub note: Option<String>,
}

impl VgpuType {
    /// Purpose of the type.
    pub fn series(&self) -> Series {
        self.parsed.series
    }

    /// Nominal frame buffer, MiB: the published figure, else the GB of the name taken as GiB.
    pub fn frame_buffer_mib(&self) -> u64 {
        self.published_frame_buffer_mib
            .unwrap_or_else(|| self.parsed.frame_buffer_mib())
    }

    /// [`VgpuType::frame_buffer_mib`] in bytes: what is reserved on the GPU when a vGPU is created.
    pub fn frame_buffer_bytes(&self) -> u64 {
        self.frame_buffer_mib() << 20
    }

    /// What the placement ids count from.
    pub fn placement_scope(&self) -> PlacementScope {
        match self.mode {
            Mode::TimeSliced => PlacementScope::Gpu,
            Mode::MigBacked | Mode::TimeSlicedMigBacked => PlacementScope::GpuInstance,
        }
    }
}

/// A line of a data file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    type_id: Option<u32>,
    mode: Mode,
    pci: Option<PciId>,
    fb_mib: Option<u64>,
    max_per_gpu: Option<u32>,
    max_per_gpu_mixed_size: Option<u32>,
    max_per_gi: Option<u32>,
    gi_profile: Option<String>,
    slices: Option<u32>,
    compute_instances: Option<u32>,
    placement_size: Option<u32>,
    placement_ids_mixed_size: Option<Vec<u32>>,
    placement_ids_equal_size: Option<Vec<u32>>,
    sources: Vec<String>,
    note: Option<String>,
}

impl TryFrom<Row> for VgpuType {
    type Error = crate::NameError;

    fn try_from(row: Row) -> Result<Self, Self::Error> {
        Ok(Self {
            parsed: row.name.parse()?,
            name: row.name,
            type_id: row.type_id,
            mode: row.mode,
            pci: row.pci,
            published_frame_buffer_mib: row.fb_mib,
            max_per_gpu: row.max_per_gpu,
            max_per_gpu_mixed_size: row.max_per_gpu_mixed_size,
            max_per_gi: row.max_per_gi,
            gi_profile: row.gi_profile,
            slices: row.slices,
            compute_instances: row.compute_instances,
            placement_size: row.placement_size,
            placement_ids_mixed_size: row.placement_ids_mixed_size,
            placement_ids_equal_size: row.placement_ids_equal_size,
            sources: row.sources,
            note: row.note,
        })
    }
}
