//! The software GPU: a device that executes PTX on the CPU.
//!
//! It is a [`tessera_device::Device`]: contexts with page tables of their own, modules, streams that run concurrently, events,
//! copies, and a pool of executor threads that run the blocks of kernels in turn.
//!
//! ```text
//!  Context ─ holdings ──▶ memory ─ fb          pages: who holds which, scrubbed before they change owner
//!     │          └──────▶ mmu::AddressSpace    addresses
//!     ├─ module ──▶ ptx, engine::compile       kernels, compiled when first asked for; code_file keeps machine code
//!     ├─ images                               arrays, textures, surfaces: headers that kernels read
//!     ├─ events
//!     └─ stream ─ submit ──▶ scheduler ──▶ executor ──▶ task ─┬─ kernel    blocks, a quantum each
//!                             (order, ready queues)           └─ transfer  copies and fills, in chunks
//! ```
//!
//! Invariants
//! * A fault in one context changes nothing in another: not its memory, not its order, not its time beyond a quantum.
//! * No executor stays with one block for longer than a quantum; an endless kernel keeps nobody else from running.
//! * An idle device uses no processor time: executors sleep.
//! * Whoever calls from outside never waits for a kernel.

#![deny(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::ptr_as_ptr
)]

mod bar1;
mod checking;
mod code_file;
mod context;
mod counters;
mod device;
mod events;
mod executor;
mod fb;
mod graph;
mod heap;
mod holdings;
mod images;
mod kernel;
mod memory;
mod module;
mod options;
mod physical;
mod printf;
mod properties;
mod quiesce;
mod ranges;
mod runtime;
mod scheduler;
mod stream;
mod task;
mod transfer;
mod values;

pub use checking::{CHECK_VARIABLE, Checking, FindingSink};
pub use code_file::{CODE_CACHE_VARIABLE, CODE_FILE, CodeFigures, CodeFile, user_code_file};
pub use device::{KERNELS_VARIABLE, SoftGpu, TIER_VARIABLE};
pub use options::{Options, PciAddress};
pub use tessera_engine::{Level, Options as Execution, Tier, check};
