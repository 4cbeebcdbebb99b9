//! Types and client of the manager's HTTP API.
//!
//! The manager serves HTTP/1.1 with JSON bodies on a unix socket, `manager.sock` in its run directory ([`paths`]). Everything under
//! `/v1`; the description is at `/openapi.json`. A refusal has a body of [`ApiError`]: a code for programs, a message for people that
//! names the object and what to do.
//!
//! ```text
//!  GET    /v1/manager               who answers                 ManagerInfo
//!  GET    /v1/gpus                  physical GPUs               [Gpu]
//!  GET    /v1/gpus/{gpu}/types      types, and what is creatable now   [GpuType]
//!  GET    /v1/vgpus                 vGPUs, with ?sample_ms=N    [Vgpu]
//!  POST   /v1/vgpus                 CreateVgpu                ─▶ Vgpu
//!  GET    /v1/vgpus/{vgpu}          one vGPU                    Vgpu
//!  DELETE /v1/vgpus/{vgpu}          takes it away
//!  GET    /v1/events                what happened               [Event]
//!  GET    /v1/events/stream         the same as it happens      server-sent events
//! ```
//!
//! `{gpu}` is an index or a UUID, `{vgpu}` a UUID, the start of one that is unique, or a name.
#![forbid(unsafe_code)]

mod client;
mod error;
pub mod paths;
mod types;

pub use client::{Client, EventStream};
pub use error::{ApiError, ClientError, ErrorCode};
pub use types::{
    ComputeCapability, ComputeCapabilityError, Creatable, CreateVgpu, Event, EventKind, Gpu, GpuType,
    ManagerInfo, Process, Tiers, Usage, Vgpu, VgpuState,
};
