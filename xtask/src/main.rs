//! The project's own commands. `cargo xtask demo` shows the main job, `cargo xtask test` runs every check; both do all the set-up
//! that a bare machine needs and say what they download.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "these are commands for a terminal")]

mod bench;
mod conformance;
mod demo;
mod dist;
mod faults;
mod host;
mod sh;
mod stress;
mod test;
mod toolchain;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    about = "Builds, shows, tests and measures Tessera",
    max_term_width = 100
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Builds Tessera, shares a software H100 between three real CUDA programs and shows what holds them apart
    Demo(demo::Options),
    /// Runs every check of the project: style, unit tests, real programs, real clients, faults, fuzzing
    Test(test::Options),
    /// Measures what SPECIFICATION.md promises and writes docs/benchmarks.md
    Bench(bench::Options),
    /// Runs random legal driver calls from many processes and threads, and compares what they leave with a model
    Stress(stress::Options),
    /// Runs the clients' own test suites and writes docs/conformance.md
    Conformance(conformance::Options),
    /// Builds the release layout in target/tessera: bin/tessera and the guest libraries
    Dist,
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Demo(options) => demo::run(&options),
        Command::Test(options) => test::run(&options),
        Command::Bench(options) => bench::run(&options),
        Command::Stress(options) => stress::run(&options),
        Command::Conformance(options) => conformance::run(&options),
        Command::Dist => {
            let layout = dist::build()?;
            println!("built {}", layout.root.display());
            Ok(())
        }
    }
}
