//! libcuda.so.1: the guest driver.
//!
//! ```text
//!   program ─▶ exported symbol (generated from crates/api/functions.toml)
//!                └─ abi::entry: initialised? panic? ─▶ handler of its area ─┬─ local: answered here
//!                                                                           ├─ posted ─▶ ring ─▶ worker
//!                                                                           └─ call ──▶ ring ─▶ worker ─▶ reply
//! ```
//!
//! Invariants:
//! * no handle and no device address that a program gives is ever followed: both are looked up;
//! * no panic crosses the C ABI;
//! * nothing is written to the program's standard output but what its kernels print;
//! * once the worker is gone every function returns an error within a second.
#![deny(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::ptr_as_ptr
)]

mod abi;
mod array;
mod bar1;
mod batch;
mod caller;
mod code;
mod context;
mod copy;
mod copy3d;
mod coredump;
mod current;
mod device;
mod error;
mod event;
#[allow(
    non_snake_case,
    missing_docs,
    unreachable_pub,
    clippy::missing_safety_doc,
    clippy::too_many_arguments,
    unused_qualifications,
    clippy::redundant_closure,
    unused_parens,
    reason = "generated: names and shapes are those of the C API"
)]
mod exports {
    include!(concat!(env!("OUT_DIR"), "/exports.rs"));
}
mod external;
mod function;
mod graph;
mod graphics;
mod green;
mod hostfn;
mod image;
mod init;
mod jit;
mod join;
mod kernel;
mod launch;
mod launch_multi;
mod launch_old;
mod library;
mod linker;
mod managed;
mod memop;
mod memory;
mod memset;
mod module;
mod objects;
mod occupancy;
mod peer;
mod pointer;
mod pool;
mod pool_sharing;
mod primary;
mod printf;
mod proc_address;
mod ranges;
mod reference;
mod registered;
mod resource;
mod sharing;
mod state;
mod stream;
mod stream_attribute;
mod tensor_map;
mod texture;
mod types;
mod virtual_memory;
