//! The vGPU Manager: the daemon that owns a host's GPUs, vGPUs and workers.
//!
//! It holds the truth in SQLite ([`store`]), decides what may be created ([`admission`], pure), starts one worker process per vGPU and
//! keeps it alive ([`life`], pure, and `supervisor`), and serves the API of `tessera-client` on a unix socket. It never touches guest
//! data: a guest talks to its worker only.
//!
//! ```text
//!  CLI, dashboard ──HTTP/JSON── manager.sock ─▶ api ─▶ Manager ─▶ store (state.db)
//!                                                        │  one supervisor task per vGPU
//!                                                        └─▶ supervisor ─ control.sock, pidfd ─▶ worker process
//!
//!  life of a vGPU           ┌──── worker died: a new, empty one ────┐
//!                           ▼                                       │
//!   create ──reserve──▶ starting ──────worker answers──────────▶ running
//!                           │ died too often                        │ died too often
//!                           └──────────────▶ failed ◀───────────────┘
//!   delete, from any ──▶ deleting ──worker gone, files gone──▶ (no row, frame buffer free)
//! ```
//!
//! # What a crash leaves
//!
//! Every step is written down before it is done, so that a restarted manager goes on where the old one stopped:
//! * a row `starting` without a worker: one is started. The creator never got an answer, but the vGPU is in the list, under the name
//!   it was given; nothing is reserved that the list does not show;
//! * a row `running` with a live worker: it is taken back; without one: that is reported and a new one started;
//! * a row `deleting`: the deletion is finished.
//!
//! Whether a worker of a vGPU lives is told by a lock, not by a process id: the manager locks `worker.log`, and the worker inherits
//! the lock with its standard output. The lock goes when the last process that holds it goes, whoever its parent was.
//!
//! # Lock order
//!
//! `Inner::slots`, then `Inner::store`; neither is held over an `await`.
#![forbid(unsafe_code)]

pub mod admission;
mod api;
mod config;
mod control;
mod directories;
mod error;
pub mod life;
mod manager;
mod observe;
mod process;
pub mod rate;
mod server;
mod spawn;
pub mod store;
mod supervisor;
mod takeover;

pub use api::openapi;
pub use config::{
    CodePlace, ConfigError, FileConfig, GpuDeclaration, ManagerConfig, Moment, Observer, WorkerProgram,
};
pub use error::Error;
pub use manager::{Manager, WorkersAtStop};
pub use server::{Server, ServerError};
