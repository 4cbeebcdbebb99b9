//! Compilers and clients of others that the demo, the tests and the benchmarks need: what is got, from where, and where it lies.
//!
//! Everything goes through the machine's own `pip` and `apt-get`, with the machine's own configuration, into `.cache/` of the
//! repository; nothing is installed. Versions are pinned here and nowhere else. A step that is done leaves a stamp with what it was
//! done for; a step that was interrupted starts again, and what its package manager had fetched completely is not fetched again.
//!
//! ```text
//!  .cache/toolchain/python/    Python environment: nvcc 13, numba-cuda, tinygrad, ...   290 MB to download
//!  .cache/toolchain/cuda12/    nvcc 12 from the distribution, headers from packages     115 MB, where it can be had
//!  .cache/toolchain/triton/    Python environment for Triton, whose package is large    305 MB
//!  .cache/toolchain/suites/    what the clients' own test suites need                    8 MB
//!  .cache/toolchain/nvjitlink/ the vendor's nvJitLink, to compare ours with             87 MB
//!  .cache/toolchain/ggml/      ggml's CUDA back end from the distribution               98 MB, where it can be had
//!  .cache/toolchain/pip/       pip in the version that fetches sources                   2 MB
//!  .cache/apps/                sources of applications that others wrote               20 MB
//!  .cache/toolchain/modules/   Python environment with libraries that are looked at      80 MB
//!  .cache/modules/             PTX that these make or carry
//!  .cache/programs/            what the compilers made, by the hash of source and flags
//! ```

mod apps;
mod checks;
mod clients;
mod cuda12;
mod cudart;
mod debian;
mod environment;
mod fidelity;
mod ggml;
mod modules;
mod nvcc;
mod nvjitlink;
mod programs;
mod ptxas;
mod runtimes;
mod sources;
pub(crate) mod suites;

pub(crate) use apps::apps;
pub(crate) use checks::checks;
pub(crate) use clients::clients;
pub(crate) use cudart::link_cudart;
pub(crate) use fidelity::fidelity;
pub(crate) use ggml::ggml;
pub(crate) use modules::modules;
pub(crate) use nvcc::ptx;
pub(crate) use nvjitlink::link_nvjitlink;
pub(crate) use programs::{demo_programs, programs};
pub(crate) use ptxas::ptxas;

use crate::sh;
use std::path::PathBuf;

/// Where the tool chains lie.
fn directory() -> PathBuf {
    sh::cache().join("toolchain")
}
