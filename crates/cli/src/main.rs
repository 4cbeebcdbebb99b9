//! The command line of Tessera: `tessera`.
//!
//! Every command but `run`, `manager`, `ptx` and the generators is a client of the manager's API and of nothing else. What users type is in
//! [`args`], one module per command family does it, [`table`] shows it.
//!
//! The same binary is the worker (`tessera worker`, started by the manager) and, when called `ptxas`, the assembler that checks
//! PTX and packs it for a device that compiles PTX itself.
#![forbid(unsafe_code)]

/// A launch is made by the thread that takes messages and released by an executor: an allocator that is good at that runs empty
/// launches nearly twice as fast as the C library's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

mod args;
mod commands;
mod embedded;
mod environment;
mod error;
mod findings;
mod generate;
mod libraries;
mod logging;
mod program;
mod ptxas;
mod table;
mod units;
mod worker;

use args::{Arguments, Command};
use clap::Parser as _;
use error::CliError;
use std::{path::Path, process::ExitCode};

fn main() -> ExitCode {
    if ptxas::is_meant() {
        return ptxas::main();
    }
    let arguments = Arguments::parse();
    match execute(arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("tessera: {error}");
            error.exit_code()
        }
    }
}

fn execute(arguments: Arguments) -> Result<ExitCode, CliError> {
    let json = arguments.json;
    match arguments.command {
        Command::Cache(command) => commands::cache::run(command, json),
        Command::Worker(options) => worker::run(&options),
        Command::Completions { shell } => generate::completions(shell),
        Command::Man { directory } => generate::man(directory.as_deref()),
        Command::Docs => generate::docs(),
        Command::Manager(options) => on_runtime(commands::manager::run(options)),
        Command::Run(options) => on_runtime(commands::run::run(options)),
        Command::Env(options) => on_runtime(commands::env::run(options, json)),
        Command::Gpu(command) => on_runtime(commands::gpu::run(command, json)),
        Command::Types(options) => on_runtime(commands::types::run(options, json)),
        Command::Vgpu(command) => on_runtime(commands::vgpu::run(command, json)),
        Command::Ptx(command) => commands::ptx::run(&command, json),
        Command::Events(options) => on_runtime(commands::events::run(options, json)),
    }
}

/// Runs a command; ends without waiting for what it left behind in the background.
fn on_runtime(command: impl Future<Output = Result<ExitCode, CliError>>) -> Result<ExitCode, CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|source| CliError::file("start threads for", Path::new("tessera"), source))?;
    let result = runtime.block_on(command);
    runtime.shutdown_background();
    result
}
