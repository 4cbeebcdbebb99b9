//! The execution engine: a warp-vectorised PTX interpreter (tier 0) and a generator of machine code for hot kernels (tier 1).
//!
//! A linked PTX module is compiled into a [`Program`] per entry; a [`Launch`] binds a program to a geometry and to parameters;
//! a [`Cta`] is one block of that launch, a resumable machine whose whole state is plain memory.
//!
//! ```text
//!  ptx::Module ──compile──▶ Program ──Launch::new──▶ Launch ──Cta::new──▶ Cta ──run(worker, env)──▶ Exit
//!                                                                        ▲                          │
//!                                                                        └────── Yielded ◀──────────┤
//!                                                                                Done, Fault ◀──────┘
//! ```
//!
//! * Nothing here starts a thread, opens a file or allocates device memory, and no kernel sees a clock of ours: the caller gives all of
//!   that in an [`Env`] and a [`CodeStore`].
//! * A block stops at safe points only (every control transfer, every barrier, every thousand or so operations); there all
//!   registers, masks and program counters are plain memory of the [`Cta`], which may then be run on by another thread.
//! * Every access is checked: global through [`Memory`], shared and local against their sizes. A wild access ends the
//!   block with a [`Fault`] and touches nothing.
#![deny(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::ptr_as_ptr
)]
#![allow(
    clippy::needless_range_loop,
    reason = "loops over lanes walk several arrays in step"
)]

mod analysis;
mod barrier;
mod cache;
pub mod check;
mod cluster;
mod cta;
mod decode;
mod deopt;
mod env;
mod error;
mod exec;
mod frame;
mod image_ops;
mod launch;
mod lir;
mod lower;
#[cfg_attr(not(target_arch = "x86_64"), path = "native/none.rs")]
mod native;
mod program;
pub mod texture;
mod tiers;

pub use cache::{CodeCache, CodeKey, CodeStore, Tiering};
pub use cta::{Cta, Exit, Pool, Why, Worker};
pub use env::{Access, Env, HookError, Memory, NextBlock, Runtime, Span, ThreadMemory, ThreadView};
pub use error::{CompileError, Fault, FaultKind, LaunchError};
pub use exec::isa::Level;
pub use launch::{Geometry, Launch, Options, Tier};
pub use program::{Param, Program, Resources, Symbols, compile, compile_with};
pub use tessera_ptx::SUPPLIED;
pub use tiers::Made;

/// First generic address of the shared window: `SHARED_WINDOW + offset` is byte `offset` of the block's shared memory.
///
/// It lies far below the arenas of device memory (`0x2000_0000_0000` upward) and far above the null page.
pub const SHARED_WINDOW: u64 = 0x0000_0100_0000_0000;

/// First generic address of the local window: `LOCAL_WINDOW + offset` is byte `offset` of the thread's own local memory.
pub const LOCAL_WINDOW: u64 = 0x0000_0200_0000_0000;

/// First generic address of the parameter window: byte 0 of the launch's parameter block, read-only.
pub const PARAM_WINDOW: u64 = 0x0000_0300_0000_0000;

/// Bytes that each of the windows occupies.
pub const WINDOW_BYTES: u64 = 1 << 32;

/// Largest shared memory of a block, static and dynamic together (227 KiB, compute capability 9.0 and 10.0).
pub const MAX_SHARED_BYTES: u32 = 227 * 1024;

/// Threads of a warp.
pub const WARP: u32 = 32;

/// Largest number of blocks of a cluster, where a device allows more than the eight that all with clusters have.
pub const MAX_CLUSTER: u32 = 16;

/// Largest number of threads of a block.
pub const MAX_THREADS: u32 = 1024;
