//! The data files and the catalogue that they make.

use crate::{Board, Series};
use serde::Deserialize;
use std::{collections::BTreeMap, sync::OnceLock};

/// One file per architecture, newest first; within a file the published order.
const FILES: [(&str, &str); 6] = [
    ("blackwell.json", include_str!("../data/blackwell.json")),
    ("hopper.json", include_str!("../data/hopper.json")),
    ("ada.json", include_str!("../data/ada.json")),
    ("ampere.json", include_str!("../data/ampere.json")),
    ("turing.json", include_str!("../data/turing.json")),
    ("volta.json", include_str!("../data/volta.json")),
];
const COMMON: &str = include_str!("../data/common.json");

/// Facts about a series.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeriesFacts {
    /// What for.
    pub purpose: String,
    /// Licence that a guest needs.
    pub license: String,
    /// Displays of a vGPU.
    pub display_heads: Option<u32>,
    /// Largest display.
    pub max_resolution: Option<String>,
    /// Frame rate limit, frames per second.
    pub frl_fps: u32,
    /// Whether CUDA works.
    pub cuda: bool,
    /// Guest systems.
    pub guest_os: Option<String>,
}

/// Cap on C-series vGPUs per GPU, whatever the frame buffer allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeriesCap {
    /// On boards of 48 GB.
    pub boards_of_48_gb: u32,
    /// On the Quadro RTX 8000 Passive.
    #[serde(rename = "RTX8000P")]
    pub rtx_8000_passive: u32,
}

/// Limits that hold for every board.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// vGPUs of a GPU, all modes.
    pub max_vgpus_per_physical_gpu: u32,
    /// Time-sliced vGPUs of a GPU.
    pub max_non_mig_vgpus_per_physical_gpu: u32,
    /// vGPUs of a GPU instance.
    pub max_vgpus_per_gpu_instance: u32,
    /// Types of a GPU.
    pub max_vgpu_types_per_gpu: u32,
    /// vGPUs of a VM.
    pub max_vgpus_per_vm: u32,
    /// C-series vGPUs of a GPU.
    pub c_series_cap_per_gpu: SeriesCap,
    /// Where the numbers are from.
    pub source: String,
}

/// What a type pays for memory compression, MiB.
pub type CompressionReservation = BTreeMap<String, u32>;

/// The published estimate of frame buffer that guests cannot use.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrameBufferReservation {
    /// In words.
    pub formula: String,
    /// Share for ECC, in words.
    pub ecc: String,
    /// Share for page retirement, in words.
    pub page_retirement: String,
    /// Share for compression by type name; `other` for the rest.
    pub compression_mib: CompressionReservation,
    /// Where it is from.
    pub source: String,
}

#[derive(Deserialize)]
struct Common {
    sources: BTreeMap<String, String>,
    series: BTreeMap<Series, SeriesFacts>,
    limits: Limits,
    frame_buffer_reservation: FrameBufferReservation,
    notes: Vec<String>,
}

/// All facts.
pub struct Catalogue {
    boards: Vec<Board>,
    common: Common,
}

impl Catalogue {
    fn parse() -> Result<Self, String> {
        let mut boards = Vec::with_capacity(64);
        for (file, text) in FILES {
            let part: Vec<Board> = serde_json::from_str(text).map_err(|error| format!("{file}: {error}"))?;
            boards.extend(part);
        }
        let common = serde_json::from_str(COMMON).map_err(|error| format!("common.json: {error}"))?;
        Ok(Self { boards, common })
    }

    /// All boards, newest architecture first.
    pub fn boards(&self) -> &[Board] {
        &self.boards
    }

    /// What a source key stands for.
    pub fn source(&self, key: &str) -> Option<&str> {
        self.common.sources.get(key).map(String::as_str)
    }

    /// Facts about a series.
    pub fn series(&self, series: Series) -> Option<&SeriesFacts> {
        self.common.series.get(&series)
    }

    /// Limits that hold for every board.
    pub fn limits(&self) -> &Limits {
        &self.common.limits
    }

    /// The published estimate of frame buffer that guests cannot use.
    pub fn frame_buffer_reservation(&self) -> &FrameBufferReservation {
        &self.common.frame_buffer_reservation
    }

    /// Remarks that concern many facts.
    pub fn notes(&self) -> &[String] {
        &self.common.notes
    }
}

/// The catalogue. The first call parses the data (milliseconds), later ones cost nothing.
pub fn catalogue() -> &'static Catalogue {
    static CATALOGUE: OnceLock<Catalogue> = OnceLock::new();
    CATALOGUE.get_or_init(|| {
        // The data is part of the binary and a test parses it, so this cannot fail where the tests passed.
        Catalogue::parse().unwrap_or_else(|error| panic!("the catalogue's own data does not parse: {error}"))
    })
}
