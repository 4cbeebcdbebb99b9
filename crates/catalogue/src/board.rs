//! A GPU model and what vGPU for Compute supports on it.

use crate::{MigProfile, VgpuType};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use std::fmt;

/// Generation of the GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Architecture {
    Volta,
    Turing,
    Ampere,
    Ada,
    Hopper,
    Blackwell,
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Volta => "Volta",
            Self::Turing => "Turing",
            Self::Ampere => "Ampere",
            Self::Ada => "Ada",
            Self::Hopper => "Hopper",
            Self::Blackwell => "Blackwell",
        })
    }
}

/// PCI identity; the vendor is always 0x10de.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PciId {
    /// Device id.
    #[serde(deserialize_with = "hex16")]
    pub device: u16,
    /// Subsystem id; the subsystem vendor is 0x10de too.
    #[serde(deserialize_with = "optional_hex16")]
    pub subsystem: Option<u16>,
}

impl fmt::Display for PciId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.subsystem {
            Some(subsystem) => write!(f, "10de:{:04x} (subsystem {subsystem:04x})", self.device),
            None => write!(f, "10de:{:04x}", self.device),
        }
    }
}

fn parse_hex16(text: &str) -> Result<u16, String> {
    let digits = text
        .strip_prefix("0x")
        .ok_or_else(|| format!("`{text}` does not start with 0x"))?;
    u16::from_str_radix(digits, 16).map_err(|error| format!("`{text}`: {error}"))
}

fn hex16<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    parse_hex16(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

fn optional_hex16<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u16>, D::Error> {
    Option::<String>::deserialize(deserializer)?
        .map(|text| parse_hex16(&text))
        .transpose()
        .map_err(D::Error::custom)
}

/// Whether several vGPUs of the board may be given to one VM.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MultiVgpu {
    /// Whether at all.
    pub supported: bool,
    /// For which types, in the vendor's words.
    pub scope: String,
}

/// Whether vGPUs of the board reach each other over NVLink (peer-to-peer copies, or multicast).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerToPeer {
    /// Whether at all.
    pub supported: Option<bool>,
    /// The types it is supported for.
    #[serde(default)]
    pub vgpu_types: Vec<String>,
    /// Why not.
    pub reason: Option<String>,
    /// What is unclear in the sources.
    pub note: Option<String>,
}

/// Whether vGPUs of the board offer unified memory.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnifiedMemory {
    /// Whether at all.
    pub supported: bool,
    /// For which types, in words.
    pub rule: String,
    /// Whether the board's own row of the published table was readable (else only the rule was).
    pub board_row_seen: bool,
}

/// What vGPU for Compute supports on a board.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Features {
    /// Time-sliced vGPUs.
    pub time_sliced: bool,
    /// MIG-backed vGPUs, one GPU instance each.
    pub mig_backed: bool,
    /// Several time-sliced vGPUs inside a GPU instance.
    pub time_sliced_mig_backed: Option<bool>,
    /// Time-sliced vGPUs of several frame buffer sizes on one GPU.
    pub mixed_size: Option<bool>,
    /// Several vGPUs in one VM.
    pub multi_vgpu: Option<MultiVgpu>,
    /// Peer-to-peer copies over NVLink.
    pub p2p_nvlink: Option<PeerToPeer>,
    /// NVLink multicast.
    pub nvlink_multicast: Option<PeerToPeer>,
    /// Unified memory.
    pub unified_memory: Option<UnifiedMemory>,
    /// GPUDirect RDMA and Storage.
    pub gpudirect_rdma_storage: Option<bool>,
    /// Live migration, on the hypervisors that have it.
    pub live_migration: bool,
}

/// A GPU model. Figures are those of one GPU, also where a board carries several.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Board {
    /// Short name of the catalogue's own, `h100-pcie-80gb`: unique and stable, safe in shells and URLs.
    pub id: String,
    /// The vendor's name, `NVIDIA H100 PCIe 80 GB`.
    pub name: String,
    /// What type names of the board start with, `H100`; empty where no types are sourced. Two boards share `DC`.
    pub prefixes: Vec<String>,
    /// Generation.
    pub architecture: Architecture,
    /// Compute capability: major, minor.
    pub compute_capability: Option<(u32, u32)>,
    /// What a guest sees before the type name: `NVIDIA`, which makes `NVIDIA H100-20C`.
    pub type_name_lead: String,
    /// GPUs on one board.
    pub gpus_per_board: u32,
    /// PCI identities that the model is sold under.
    #[serde(deserialize_with = "null_is_empty")]
    pub pci_ids: Vec<PciId>,
    /// Streaming multiprocessors.
    pub sm_count: Option<u32>,
    /// Memory as marketed; the vendor's GB are GiB here. [`Board::memory_mib`] is the number to compute with.
    pub memory_nominal_gib: u32,
    /// Memory of the GPU, MiB.
    pub memory_mib_nominal: Option<u64>,
    /// Memory that `nvidia-smi` reports for the bare GPU, MiB.
    pub memory_mib_nvidia_smi: Option<u64>,
    /// Memory bandwidth, 10^9 bytes per second.
    pub memory_bandwidth_gbps: Option<u32>,
    /// MMIO space that a VM needs for the board, GiB.
    pub mmio_gib: Option<u32>,
    /// Whether the GPU can be split by MIG.
    pub mig_capable: bool,
    /// Most GPU instances.
    pub mig_max_instances: Option<u32>,
    /// Whether the board has NVLink.
    pub nvlink: Option<bool>,
    /// Whether the board sits on an NVSwitch baseboard.
    pub nvswitch_baseboard: Option<bool>,
    /// What is supported.
    pub features: Features,
    /// Keys of the sources, see [`crate::Catalogue::source`].
    pub sources: Vec<String>,
    /// What is unclear in the sources.
    pub note: Option<String>,
    /// GPU instance profiles; empty without MIG.
    pub mig_profiles: Vec<MigProfile>,
    /// vGPU types, in the published order.
    pub vgpu_types: Vec<VgpuType>,
}

fn null_is_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PciId>, D::Error> {
    Ok(Option::<Vec<PciId>>::deserialize(deserializer)?.unwrap_or_default())
}

impl Board {
    /// Memory of the GPU, MiB: the published figure, else the marketed GB taken as GiB. vGPUs are cut from
    /// [`Board::vgpu_memory_mib`].
    pub fn memory_mib(&self) -> u64 {
        self.memory_mib_nominal
            .unwrap_or(u64::from(self.memory_nominal_gib) * 1024)
    }

    /// [`Board::memory_mib`] in bytes.
    pub fn memory_bytes(&self) -> u64 {
        self.memory_mib() << 20
    }

    /// What the frame buffers of a GPU's vGPUs may add up to, MiB. The published maxima count with the marketed GB as GiB, also on
    /// the 94 GB boards whose memory is 10 MiB less, and on GB200 the tooling's largest type (189 GB) is above the marketed
    /// 186 GB; so this is the larger of the marketed size and the largest type.
    pub fn vgpu_memory_mib(&self) -> u64 {
        let largest = self
            .vgpu_types
            .iter()
            .map(VgpuType::frame_buffer_mib)
            .max()
            .unwrap_or(0);
        largest.max(u64::from(self.memory_nominal_gib) * 1024)
    }

    /// The name that a guest sees: `NVIDIA H100-20C`, `NVIDIA RTX Pro 6000 Blackwell DC-4-24C`.
    pub fn device_name(&self, vgpu_type: &VgpuType) -> String {
        format!("{} {}", self.type_name_lead, vgpu_type.name)
    }

    /// The GPU instance profile of that name, `2g.20gb`.
    pub fn mig_profile(&self, name: &str) -> Option<&MigProfile> {
        self.mig_profiles.iter().find(|profile| profile.name == name)
    }
}
