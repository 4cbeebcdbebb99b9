//! What a software GPU stands for.

use crate::checking::Checking;
use crate::code_file::CodeFile;
use std::sync::Arc;
use tessera_catalogue::{Board, PciId};

/// Where the device sits for those who ask for PCI addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PciAddress {
    /// Domain.
    pub domain: u16,
    /// Bus.
    pub bus: u8,
    /// Device.
    pub device: u8,
}

/// Options of [`crate::SoftGpu::open`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Name that guests see.
    pub name: String,
    /// Compute capability: major, minor.
    pub compute_capability: (u32, u32),
    /// Frame buffer, bytes; a multiple of 4 KiB.
    pub memory_bytes: u64,
    /// Streaming multiprocessors; `None` (a board whose number is not sourced) stands for one per executor.
    pub sm_count: Option<u32>,
    /// Executor threads; `None` takes one per available processor.
    pub executors: Option<u32>,
    /// PCI address.
    pub pci_address: PciAddress,
    /// PCI identity; `None` where it is not sourced.
    pub pci_id: Option<PciId>,
    /// How kernels are carried out: tier and vector unit. The default chooses by itself, and lets the environment choose
    /// ([`crate::TIER_VARIABLE`]); anything else is for tests and measurements.
    pub execution: tessera_engine::Options,
    /// Where machine code is kept beyond the process; without it, nowhere.
    pub code: Option<Arc<CodeFile>>,
    /// The checking mode; where nothing is said, the environment decides ([`crate::CHECK_VARIABLE`]).
    pub check: Option<Checking>,
}

impl Options {
    /// Compute capability where neither the board's is sourced nor another one is asked for. Libraries of the CUDA 12 generation
    /// run from PTX on it.
    pub const DEFAULT_COMPUTE_CAPABILITY: (u32, u32) = (12, 0);

    /// A device that stands for `board` or a vGPU on it, with `memory_bytes` of frame buffer. `compute_capability` is reported in
    /// place of the board's.
    #[must_use]
    pub fn for_board(
        board: &Board,
        name: &str,
        memory_bytes: u64,
        compute_capability: Option<(u32, u32)>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            compute_capability: compute_capability
                .or(board.compute_capability)
                .unwrap_or(Self::DEFAULT_COMPUTE_CAPABILITY),
            memory_bytes,
            sm_count: board.sm_count,
            executors: None,
            pci_address: PciAddress::default(),
            pci_id: board.pci_ids.first().copied(),
            execution: tessera_engine::Options::default(),
            code: None,
            check: None,
        }
    }
}
