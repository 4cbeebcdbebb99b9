//! Boards, vGPU types and MIG geometry: facts with their sources.
//!
//! The facts are data, one file per architecture under `data/`, one line per vGPU type and MIG profile, each with the keys of its
//! sources ([`Catalogue::source`] expands them). `null` there and `None` here mean *not sourced*: nothing in this crate guesses.
//! Where a caller needs a number anyway, a method says in its documentation what it derives the number from.
//!
//! ```text
//!  Catalogue ── Board ─┬─ VgpuType      time-sliced | MIG-backed | time-sliced MIG-backed
//!   (one GPU model)    └─ MigProfile ◀── VgpuType::gi_profile
//! ```
//!
//! The crate is pure: no I/O, no clock, no threads. The data is parsed once, at the first call of [`catalogue`].
//!
//! ```
//! use tessera_catalogue::{catalogue, Mode};
//!
//! let board = catalogue().board("h100-pcie-80gb")?;
//! let vgpu_type = board.vgpu_type("NVIDIA H100-20C")?;
//! assert_eq!(vgpu_type.frame_buffer_bytes(), 20 << 30);
//! assert_eq!((vgpu_type.mode, vgpu_type.max_per_gpu), (Mode::TimeSliced, Some(4)));
//! # Ok::<(), tessera_catalogue::LookupError>(())
//! ```
#![forbid(unsafe_code)]

mod board;
mod load;
mod lookup;
mod mig;
mod name;
mod vgpu_type;

pub use board::{Architecture, Board, Features, MultiVgpu, PciId, PeerToPeer, UnifiedMemory};
pub use load::{
    Catalogue, CompressionReservation, FrameBufferReservation, Limits, SeriesCap, SeriesFacts, catalogue,
};
pub use lookup::LookupError;
pub use mig::{MigPlacements, MigProfile};
pub use name::{GiAttribute, NameError, Series, TypeName};
pub use vgpu_type::{Mode, PlacementScope, VgpuType};
