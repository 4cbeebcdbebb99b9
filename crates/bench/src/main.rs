//! Measures what SPECIFICATION.md promises. Each mode prints one line of JSON per figure; `cargo xtask bench` runs them, sets the
//! floors beside the figures and writes `docs/benchmarks.md`.
//!
//! * `tessera-bench guest` runs inside `tessera run`: calls, launches and copies through `libcuda.so.1`.
//! * `tessera-bench engine THREADS UNIT PTX NATIVE OPENCL [FILTER]` runs the kernels of `tests/bench/engine` on the device in-process, as
//!   native code and through OpenCL.
//! * `tessera-bench start` measures how long kernels take to start, to stop and to be saved.
//! * `tessera-bench stress SEED SECONDS THREADS` runs inside `tessera run`: random calls, whose results a model knows.
//! * `tessera-bench kernels guest|device PTX` runs the same ten kernels through the guest driver, or on the device in-process.
#![deny(clippy::cast_possible_wrap, clippy::cast_sign_loss, clippy::ptr_as_ptr)]
#![allow(clippy::print_stdout, reason = "the figures are the output")]

/// The worker's allocator: what is measured in this process is what the worker does.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

mod driver;
mod engine;
mod floor;
mod guest;
mod kernels;
mod local;
mod stats;
mod stress;

use anyhow::{Result, bail};

/// One figure: nanoseconds, with the floor measured in the same run.
fn figure(name: &str, nanoseconds: f64, floor_name: &str, floor: f64) {
    println!(
        "{}",
        serde_json::json!({ "name": name, "ns": nanoseconds, "floor": floor_name, "floor_ns": floor })
    );
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["guest"] => guest::run(),
        ["kernels", "guest", ptx] => kernels::in_guest(ptx),
        ["kernels", "device", ptx] => kernels::in_process(ptx),
        ["stress", seed, seconds, threads] => stress::run(seed.parse()?, seconds.parse()?, threads.parse()?),
        ["start"] => engine::start(),
        ["engine", threads, unit, ptx, native, opencl] => engine(threads, unit, [ptx, native, opencl], ""),
        ["engine", threads, unit, ptx, native, opencl, filter] => {
            engine(threads, unit, [ptx, native, opencl], filter)
        }
        _ => bail!(
            "usage: tessera-bench guest | kernels guest PTX | kernels device PTX | stress SEED SECONDS THREADS | start | engine THREADS best|avx2 PTX NATIVE OPENCL [FILTER]"
        ),
    }
}

fn engine(threads: &str, unit: &str, [ptx, native, opencl]: [&str; 3], filter: &str) -> Result<()> {
    engine::run(&engine::Arguments {
        threads: threads.parse()?,
        unit,
        ptx,
        native,
        opencl,
        filter,
    })
}
