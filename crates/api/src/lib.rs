//! The table of the CUDA driver API: the single source of every list of functions.
//!
//! `functions.toml` holds one row per function. From it come the exported symbols and the `cuGetProcAddress` table of the guest
//! driver ([`exports`]) and the coverage page ([`coverage_page`]). A function is added by filling in its row and writing the
//! handler that the row names; no second list of functions exists.
#![forbid(unsafe_code)]

mod coverage;
mod exports;
mod functions;
pub mod messages;

pub use coverage::coverage_page;
pub use exports::{exports, symbols};
pub use functions::{Capture, Class, Entry, FUNCTIONS_TOML, Function, Quota, TableError, functions};
