//! What users type. The help texts here are also the manual page and `docs/cli.md`.

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;
use std::{ffi::OsString, path::PathBuf};
use tessera_client::ComputeCapability;
use tessera_manager::GpuDeclaration;

/// Share GPUs: vGPUs with frame buffer, time and faults of their own, for unmodified CUDA programs
#[derive(Debug, Parser)]
#[command(name = "tessera", version, max_term_width = 100, after_long_help = EXIT_CODES)]
pub(crate) struct Arguments {
    /// Print JSON instead of tables
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "\
Quick start:
  tessera run -- ./my_cuda_program          one program on a vGPU of its own, nothing to set up
  tessera manager --gpu H100 &              a lasting host with a software H100
  tessera vgpu create --type H100-20C --name train
  tessera run --vgpu train -- python3 train.py
  eval \"$(tessera env --vgpu train)\"        the same for all that this shell starts
  tessera vgpu list --watch

Exit codes:
  0  done
  1  failed; the message says what and why
  2  the command line is wrong
  3  no manager answers
  4  the object does not exist
  5  refused: no room, taken, or against the GPU's rules
`tessera run` and `tessera env -- COMMAND` end with the program's own code, or with
  128 + N  when signal N ended the program
  125      when there was no vGPU to run it on
  126      when the program cannot be executed
  127      when the program does not exist

Environment:
  TESSERA_RUN_DIR    where the manager's socket is
                     [root: /run/tessera; others: $XDG_RUNTIME_DIR/tessera]
  TESSERA_STATE_DIR  where the manager keeps its state
                     [root: /var/lib/tessera; others: ~/.local/state/tessera]
  TESSERA_LIB_DIR    where the guest libraries are
                     [../lib/tessera beside the directory of this program]
  TESSERA_CODE_CACHE directory of the machine code kept for later runs, or off
                     [$XDG_CACHE_HOME/tessera or ~/.cache/tessera]
  TESSERA_TIER       how the workers that start with it carry kernels out: auto, interpreter
                     or native [auto]
  TESSERA_LOG        what is logged, like `debug` [warn; for the manager and workers info]";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a program on a vGPU
    #[command(after_long_help = RUN_HELP)]
    Run(RunOptions),
    /// Print the environment in which unmodified programs find a vGPU, or run a command in it
    #[command(after_long_help = ENV_HELP)]
    Env(EnvOptions),
    /// Run the manager of this host
    #[command(after_long_help = MANAGER_HELP)]
    Manager(ManagerOptions),
    /// Show physical GPUs and boards
    #[command(subcommand)]
    Gpu(GpuCommand),
    /// Show the vGPU types of GPUs or of a board
    #[command(after_long_help = TYPES_HELP)]
    Types(TypesOptions),
    /// Create, show and delete vGPUs
    #[command(subcommand)]
    Vgpu(VgpuCommand),
    /// Show what happened on this host
    #[command(
        after_long_help = "Example:\n  tessera events --follow      what died, when and why, as it happens"
    )]
    Events(EventsOptions),
    /// Look at PTX without running it
    #[command(subcommand)]
    Ptx(PtxCommand),
    /// Show or clear the machine code kept for later runs
    #[command(subcommand, after_long_help = CACHE_HELP)]
    Cache(CacheCommand),
    /// Print completions for a shell
    #[command(
        after_long_help = "Example:\n  tessera completions bash > ~/.local/share/bash-completion/completions/tessera"
    )]
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Print the manual page
    #[command(
        after_long_help = "Examples:\n  tessera man | man -l -\n  tessera man --directory ~/.local/share/man/man1"
    )]
    Man {
        /// Write the pages of all commands into this directory instead
        #[arg(long, value_name = "DIRECTORY", value_hint = ValueHint::DirPath)]
        directory: Option<PathBuf>,
    },
    /// Be the worker of a vGPU; the manager starts it
    #[command(hide = true)]
    Worker(WorkerOptions),
    /// Print docs/cli.md
    #[command(hide = true)]
    Docs,
}

const RUN_HELP: &str = "\
Without --vgpu the vGPU is made for this run and deleted afterwards, also when the program fails
or is interrupted. It is made by the manager that runs on this host; where none runs, tessera is
its own manager for as long as the program takes, with one software GPU.

The program finds its vGPU by two variables: LD_LIBRARY_PATH leads to Tessera's libcuda.so.1 and
libnvidia-ml.so.1, and TESSERA_VGPU_SOCKET to the vGPU. Variables by which some frameworks are
told to hand over PTX (CUPY_COMPILE_WITH_PTX, TRITON_PTXAS_PATH and the like) are set too, unless
they are set already. `tessera env` sets the same variables for a vGPU that stays.

Examples:
  tessera run -- ./my_cuda_program
  tessera run --board l40s --type L40S-24C -- ./vector_add
  tessera run --compute-capability 12.0 -- python3 kernels.py
  tessera run --vgpu train -- python3 train.py --epochs 3
  tessera run --tier interpreter -- ./my_cuda_program
  tessera run --check -- ./my_cuda_program
  tessera run --check=memory,race --check-exit-code 99 -- ./my_cuda_program";

#[derive(Debug, Args)]
pub(crate) struct RunOptions {
    /// vGPU type, like H100-20C; without it the largest on an empty GPU, else the size that the GPU's vGPUs have
    #[arg(long = "type", short = 't', value_name = "TYPE", conflicts_with = "vgpu")]
    pub(crate) vgpu_type: Option<String>,
    /// Run on this vGPU: its name, UUID or the unique start of one
    #[arg(long, value_name = "VGPU", conflicts_with_all = ["board", "compute_capability", "private"])]
    pub(crate) vgpu: Option<String>,
    /// Board to run on, like l40s or "H100 80GB"; `tessera gpu boards` shows all [without a manager: h100-pcie-80gb]
    #[arg(long, value_name = "BOARD")]
    pub(crate) board: Option<String>,
    /// Compute capability to report instead of the board's, like 12.0
    #[arg(long, value_name = "X.Y")]
    pub(crate) compute_capability: Option<ComputeCapability>,
    /// Do not use the host's manager, even if one runs
    #[arg(long)]
    pub(crate) private: bool,
    /// How kernels are carried out, on a GPU of its own: auto, interpreter, or native (machine code at once) [auto: machine code for
    /// kernels that prove hot]
    #[arg(long, value_name = "TIER", value_parser = tier, conflicts_with = "vgpu")]
    pub(crate) tier: Option<String>,
    /// Give the program Tessera's nvJitLink in place of the vendor's, for programs that would link machine code with that
    #[arg(long)]
    pub(crate) nvjitlink: bool,
    #[command(flatten)]
    pub(crate) check: CheckOptions,
    /// The program and its arguments
    #[arg(trailing_var_arg = true, required = true, value_name = "PROGRAM", value_hint = ValueHint::CommandWithArguments)]
    pub(crate) program: Vec<OsString>,
}

const ENV_HELP: &str = "\
The vGPU is one that exists: that of --vgpu or --socket; else the one of the environment that this
command is called in; else the only one that runs on this host. `tessera run` makes one for one
program; here it stays until `tessera vgpu delete`.

What is set:
  TESSERA_VGPU_SOCKET          the vGPU
  LD_LIBRARY_PATH              Tessera's libraries before others: libcuda.so.1, libnvidia-ml.so.1
  TRITON_LIBCUDA_PATH          the same, for Triton, which asks the loader's cache otherwise
  TRITON_PTXAS_PATH            Tessera's ptxas, which checks PTX and packs it for the driver
  TRITON_PTXAS_BLACKWELL_PATH  the same, for compute capability 9.0 and later
  CUPY_COMPILE_WITH_PTX        CuPy hands over PTX
  CUPY_ACCELERATORS            CuPy does without CUB
With --nvjitlink also LD_PRELOAD.
All but the first two stay as they are where they are set already. numba-cuda, tinygrad, cuda.core
and programs in C++ need the first two only; docs/toolchains.md says what each client needs.

Examples:
  eval \"$(tessera env)\"                       this shell, on the only vGPU of this host
  eval \"$(tessera env --vgpu train)\" && python3 train.py
  tessera env --vgpu train -- python3 train.py
  tessera env --socket /mnt/vgpu/guest.sock -- ./my_cuda_program    in a container
  tessera env --shell fish | source
  tessera env --json";

#[derive(Debug, Args)]
pub(crate) struct EnvOptions {
    /// The vGPU: its name, UUID or the unique start of one
    #[arg(long, value_name = "VGPU")]
    pub(crate) vgpu: Option<String>,
    /// The vGPU's socket, where there is no manager to ask, as in a container
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath, conflicts_with = "vgpu")]
    pub(crate) socket: Option<PathBuf>,
    /// Give programs Tessera's nvJitLink in place of the vendor's, for those that would link machine code with that
    #[arg(long)]
    pub(crate) nvjitlink: bool,
    /// For which shell the lines are
    #[arg(long, value_name = "SHELL", value_enum, default_value_t = ShellSyntax::Posix)]
    pub(crate) shell: ShellSyntax,
    /// Run this command in the environment instead of printing it
    #[arg(last = true, value_name = "COMMAND", value_hint = ValueHint::CommandWithArguments, conflicts_with = "shell")]
    pub(crate) command: Vec<OsString>,
}

/// Kinds of shells by how a variable is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ShellSyntax {
    /// sh, bash, zsh, dash
    #[value(aliases = ["sh", "bash", "zsh", "dash"])]
    Posix,
    /// fish
    Fish,
}

/// The checking mode.
#[derive(Debug, Args)]
pub(crate) struct CheckOptions {
    /// Look for mistakes of the kernels, on a GPU of its own: memory, init, race, race-global, sync, leak, or all
    /// [without a list: all but race-global]
    #[arg(long, value_name = "CHECKS", num_args = 0..=1, require_equals = true, default_missing_value = "",
        value_parser = checks, conflicts_with = "vgpu")]
    pub(crate) check: Option<String>,
    /// Write the findings to this file, a line of JSON each
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "check")]
    pub(crate) check_report: Option<PathBuf>,
    /// End with this code when there are findings [the program's own code]
    #[arg(long, value_name = "N", requires = "check")]
    pub(crate) check_exit_code: Option<u8>,
}

/// The name of a tier, as it was written.
fn tier(name: &str) -> Result<String, String> {
    name.parse::<tessera_worker::Tier>().map(|_| name.to_owned())
}

/// A list of checks, as it was written.
fn checks(list: &str) -> Result<String, String> {
    tessera_worker::Checks::parse(list).map(|_| list.to_owned())
}

const MANAGER_HELP: &str = "\
The manager stays in the foreground; SIGTERM or Ctrl-C ends it. Its workers, and so the guests, go
on without it: the next manager takes them back. With --stop-workers they end with it, and the next
manager starts new ones with empty vGPUs.

GPUs are declared in order, by --gpu or in the configuration, and keep their UUIDs while they stay.
Without any declaration the manager has the GPUs that it had before; the first time, one
h100-pcie-80gb.

Examples:
  tessera manager
  tessera manager --gpu H100 --gpu l40s=2
  tessera manager --config /etc/tessera/manager.toml

A configuration:
  executors = 4                   # threads of each worker
  [[gpu]]
  board = \"h100-pcie-80gb\"
  count = 2";

#[derive(Debug, Args)]
pub(crate) struct ManagerOptions {
    /// A software GPU to have: BOARD, or BOARD=COUNT for several; may be repeated
    #[arg(long = "gpu", value_name = "BOARD[=COUNT]")]
    pub(crate) gpus: Vec<GpuDeclaration>,
    /// Configuration file, TOML
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,
    /// Threads that execute kernels, in each worker [default: one per processor]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) executors: Option<u32>,
    /// Stop the workers when the manager ends
    #[arg(long)]
    pub(crate) stop_workers: bool,
}

const CACHE_HELP: &str = "\
`tessera run` on a GPU of its own keeps the machine code of large kernels for the next run. It is
this user's alone. The vGPUs of a manager keep theirs in their own directories.

Examples:
  tessera cache show
  tessera cache clear
  TESSERA_CODE_CACHE=off tessera run -- ./my_cuda_program";

#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum CacheCommand {
    /// Show where it is and how much is in it
    Show,
    /// Forget all of it
    Clear,
}

#[derive(Debug, Subcommand)]
pub(crate) enum GpuCommand {
    /// List the physical GPUs of this host
    List,
    /// List the boards that a software GPU can stand for
    Boards,
}

const TYPES_HELP: &str = "\
Without an option: the types of this host's GPUs, with how many of each can be created now.
--board needs no manager.

Examples:
  tessera types --creatable
  tessera types --gpu 0
  tessera types --board l40s --json";

#[derive(Debug, Args)]
pub(crate) struct TypesOptions {
    /// Only the types of this GPU: its number or UUID
    #[arg(long, value_name = "GPU", conflicts_with = "board")]
    pub(crate) gpu: Option<String>,
    /// The types of a board of the catalogue
    #[arg(long, value_name = "BOARD", conflicts_with = "creatable")]
    pub(crate) board: Option<String>,
    /// Only those of which one can be created now
    #[arg(long)]
    pub(crate) creatable: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum VgpuCommand {
    /// Create a vGPU
    #[command(
        after_long_help = "Examples:\n  tessera vgpu create --type H100-20C --name train\n  id=$(tessera vgpu create -t H100-20C)"
    )]
    Create(CreateOptions),
    /// List the vGPUs
    #[command(
        visible_alias = "ls",
        after_long_help = "Examples:\n  tessera vgpu list --watch\n  tessera vgpu list --json"
    )]
    List(ListOptions),
    /// Show a vGPU
    Show {
        /// Its name, UUID or the unique start of one
        vgpu: String,
    },
    /// Delete vGPUs; guests that are connected get an error
    #[command(visible_alias = "rm")]
    Delete {
        /// Names, UUIDs or unique starts of UUIDs
        #[arg(required = true, value_name = "VGPU")]
        vgpus: Vec<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct CreateOptions {
    /// vGPU type, like H100-20C; `tessera types --creatable` shows what there is
    #[arg(long = "type", short = 't', value_name = "TYPE")]
    pub(crate) vgpu_type: String,
    /// A name to call it by
    #[arg(long, short = 'n', value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// GPU to create it on: number or UUID [default: the first with room]
    #[arg(long, value_name = "GPU")]
    pub(crate) gpu: Option<String>,
    /// Compute capability to report instead of the board's, like 12.0
    #[arg(long, value_name = "X.Y")]
    pub(crate) compute_capability: Option<ComputeCapability>,
    /// Unified memory: programs have managed memory; for a type that has the GPU's whole frame buffer
    #[arg(long)]
    pub(crate) enable_uvm: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ListOptions {
    /// Show again and again, until Ctrl-C
    #[arg(long, short = 'w')]
    pub(crate) watch: bool,
    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0, requires = "watch")]
    pub(crate) interval: f64,
}

#[derive(Debug, Args)]
pub(crate) struct EventsOptions {
    /// Go on as events happen, until Ctrl-C
    #[arg(long, short = 'f')]
    pub(crate) follow: bool,
    /// Only events with a higher number
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub(crate) after: u64,
}

const PTX_CHECK_HELP: &str = "\
Files are PTX texts, or anything that holds fatbins: programs, libraries, object files, archives.
Every kernel is parsed, verified, compiled, decoded and made machine code, as for launches on a
software GPU; nothing is run. What is refused is shown with its line and makes the exit code 1.

Examples:
  tessera ptx check kernels.ptx
  tessera ptx check --compute-capability 9.0 ./my_cuda_program libkernels.so
  tessera ptx check --json kernels.ptx";

#[derive(Debug, Subcommand)]
pub(crate) enum PtxCommand {
    /// Load every kernel of files and say what is refused
    #[command(after_long_help = PTX_CHECK_HELP)]
    Check(PtxCheckOptions),
}

#[derive(Debug, Args)]
pub(crate) struct PtxCheckOptions {
    /// Of each fatbin only the PTX that a device of this compute capability takes, like 9.0 [all of it]
    #[arg(long, value_name = "X.Y")]
    pub(crate) compute_capability: Option<ComputeCapability>,
    /// Files with PTX
    #[arg(required = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) files: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct WorkerOptions {
    /// End when this process, which must be the parent, ends
    #[arg(long, value_name = "PID")]
    pub(crate) with_parent: Option<u32>,
}
