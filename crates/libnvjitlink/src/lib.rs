//! libnvJitLink: the vendor's library for linking device code at run time, from its public header, for a device that runs PTX.
//!
//! Programs that link several pieces of device code (cuda.core, numba-cuda, cuSPARSE's own kernels) load `libnvJitLink.so.12` or `.13`
//! and hand the result, a cubin, to the driver. This library links PTX and answers with the container that our driver takes in a cubin's
//! place. Both files are this crate, linked with the SONAME and the ELF version node of each.
//!
//! ```text
//!  create(options) ─▶ add(PTX, fatbin, a linked image) ─▶ complete ─▶ linked cubin: "TESSLNK1"
//!                       each text is parsed and checked      │ names are resolved
//!                     add(LTO-IR) ── with -lto ───────────▶  └ compiled to PTX by the vendor's library, where there is one
//! ```
//!
//! Nothing here talks to a driver: a link needs no device, as with the vendor's.
//!
//! Invariants
//! * A handle stays valid when `create` fails, so that the log can be read; `destroy` is the only thing that frees it.
//! * Codes are those that the vendor's library of the same major version answers; [`code::Code::number`] knows the difference.
//! * The logs only grow; a size that was asked for is that of the log at that moment.
#![deny(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::ptr_as_ptr
)]

mod abi;
mod api;
mod code;
mod link;
mod lto;
mod options;
mod version;
