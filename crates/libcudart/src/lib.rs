//! libcudart: the CUDA runtime API, from its public documentation, on top of the driver API.
//!
//! Programs that `nvcc -cudart shared` built load `libcudart.so.11.0`, `.12` or `.13`; all are this crate, linked with the SONAME and the ELF
//! version node that such a program asks for. Everything below the runtime API is reached through `libcuda.so.1`: the one that lies
//! beside this library, so that the two are always of the same build.
//!
//! ```text
//!  before main:  __cudaRegisterFatBinary ─▶ registry (fat binaries, kernels, variables by their host addresses; nothing loaded)
//!  first call:   cuInit ─▶ primary context of the thread's device becomes current
//!  first launch: cuLibraryLoadData(fat binary) ─▶ cuLibraryGetKernel ─▶ cuLaunchKernel, the handle is kept in the registry
//! ```
//!
//! Invariants
//! * `runtime-api.toml` is the only list of functions: a row is either implemented in this crate or answers `cudaErrorNotSupported`
//!   and says its name once; the linker's export list is made from it too, and the link fails when the two disagree.
//! * A runtime error code is the driver's code of the same number; both APIs number them alike since CUDA 10.1.
//! * Each failing call leaves its code as the thread's last error.
#![deny(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::ptr_as_ptr
)]
// The functions keep the names that the runtime API gives them.
#![allow(non_snake_case, non_camel_case_types)]

#[macro_use]
mod edge;

mod abi;
mod array;
mod batch;
mod capture;
mod copy;
mod copy3d;
mod device;
mod driver;
mod error;
mod event;
mod execution;
mod function;
mod graph;
mod graph_exec;
mod graph_node;
mod ipc;
mod launch;
mod legacy;
mod library;
mod managed;
mod memory;
mod pointer;
mod pool;
mod properties;
mod registration;
mod registry;
mod stream;
mod symbol;
mod texture;
mod thread;
mod unsupported;
mod version;
