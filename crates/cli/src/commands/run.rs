//! `tessera run`.

use crate::{
    args::RunOptions,
    commands::{client, running},
    embedded::{Embedded, private_directory},
    environment::Guest,
    error::CliError,
    findings::Findings,
    libraries::{self, Helpers},
    logging,
    program::{self, Signals},
};
use std::process::ExitCode;
use tessera_catalogue::{Board, catalogue};
use tessera_client::{Client, ClientError, CreateVgpu, Gpu, GpuType, Vgpu};
use tessera_manager::ManagerConfig;

pub(crate) async fn run(options: RunOptions) -> Result<ExitCode, CliError> {
    logging::start("warn");
    let mut signals = Signals::catch()?;
    let scratch = private_directory()?;
    let helpers = libraries::find(scratch.path())?;
    if options.nvjitlink {
        libraries::require_nvjitlink(&helpers.libraries)?;
    }
    let host = Host::choose(&options).await?;
    let result = on_vgpu(&host, &options, &mut signals, &helpers).await;
    if let Host::Embedded(embedded) = host {
        embedded.stop().await;
    }
    result
}

/// Whose vGPU it will be.
enum Host {
    Manager(Client),
    Embedded(Embedded),
}

impl Host {
    async fn choose(options: &RunOptions) -> Result<Self, CliError> {
        let client = client();
        if options.vgpu.is_some() {
            return Ok(Self::Manager(client));
        }
        // A checked program has a GPU of its own: it is slow, and its findings are for this run only. So has one in a tier of its own.
        if !options.private && options.check.check.is_none() && options.tier.is_none() {
            match client.manager().await {
                Ok(_) => return Ok(Self::Manager(client)),
                Err(ClientError::NoManager { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let board = board_for(options)?;
        Ok(Self::Embedded(Embedded::start(&board.id, options).await?))
    }

    fn client(&self) -> &Client {
        match self {
            Self::Manager(client) => client,
            Self::Embedded(embedded) => embedded.client(),
        }
    }
}

/// The board of an embedded GPU: the one asked for, else the one that has the type asked for, else the default.
fn board_for(options: &RunOptions) -> Result<&'static Board, CliError> {
    if let Some(board) = &options.board {
        return Ok(catalogue().board(board)?);
    }
    let by_type = options
        .vgpu_type
        .as_deref()
        .and_then(|name| catalogue().types_named(name).next());
    match by_type {
        Some((board, _)) => Ok(board),
        None => Ok(catalogue().board(ManagerConfig::DEFAULT_BOARD)?),
    }
}

async fn on_vgpu(
    host: &Host,
    options: &RunOptions,
    signals: &mut Signals,
    helpers: &Helpers,
) -> Result<ExitCode, CliError> {
    let client = host.client();
    if let Some(given) = &options.vgpu {
        let vgpu = running(client.vgpu(given).await?, given)?;
        return on_this(&vgpu, options, signals, helpers).await;
    }
    let request = request(client, options).await?;
    let name = request.name.clone().unwrap_or_default();
    let created = tokio::select! {
        created = client.create_vgpu(&request) => created,
        _ = signals.next() => {
            // The manager may be half way; by its name the vGPU is found in either half.
            let _ = client.delete_vgpu(&name).await;
            return Err(CliError::Interrupted);
        }
    };
    let vgpu = created.map_err(|error| CliError::NoVgpu(error.to_string()))?;
    let result = on_this(&vgpu, options, signals, helpers).await;
    let findings = options.check.check.is_some().then(|| Findings::of(&vgpu));
    if let Err(error) = client.delete_vgpu(&vgpu.uuid.to_string()).await {
        eprintln!("tessera: vGPU {} could not be deleted: {error}", vgpu.uuid);
    }
    let Some(findings) = findings else { return result };
    // The worker has ended, and with it the last context: all is found that will be.
    let count = findings.report(&options.check)?;
    match options.check.check_exit_code {
        Some(code) if count > 0 => result.map(|_| ExitCode::from(code)),
        _ => result,
    }
}

async fn on_this(
    vgpu: &Vgpu,
    options: &RunOptions,
    signals: &mut Signals,
    helpers: &Helpers,
) -> Result<ExitCode, CliError> {
    let guest = Guest {
        libraries: &helpers.libraries,
        socket: &vgpu.guest_socket,
        ptxas: &helpers.ptxas,
        nvjitlink: options.nvjitlink,
    };
    let mut child = program::start(&options.program, &guest)?;
    let status = program::wait(&mut child, signals).await;
    let program = || {
        options
            .program
            .first()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    };
    status
        .map(program::exit_code)
        .map_err(|source| CliError::Program {
            program: program(),
            source,
        })
}

/// What to ask of the manager.
async fn request(client: &Client, options: &RunOptions) -> Result<CreateVgpu, CliError> {
    let gpus = client.gpus().await?;
    let wanted = options
        .board
        .as_deref()
        .map(|board| catalogue().board(board))
        .transpose()?;
    let fits = |gpu: &&Gpu| wanted.is_none_or(|board| board.id == gpu.board);
    let candidates: Vec<&Gpu> = gpus.iter().filter(fits).collect();
    if let (Some(board), true) = (wanted, candidates.is_empty()) {
        let message = format!(
            "the manager of this host has no GPU of board {}; `tessera gpu list` shows its GPUs, --private makes one",
            board.id
        );
        return Err(CliError::NoVgpu(message));
    }
    let random = uuid_part();
    let name = Some(format!("run-{}-{random}", std::process::id()));
    let compute_capability = options.compute_capability;
    if let Some(vgpu_type) = options.vgpu_type.clone() {
        // With a board, its first GPU with room; without, the manager looks at all of them.
        let gpu = match wanted {
            Some(_) => first_with_room(client, &candidates, |ty| ty.name == vgpu_type)
                .await?
                .map(|(gpu, _)| gpu),
            None => None,
        };
        let gpu = gpu.or_else(|| wanted.and(candidates.first()).map(|gpu| gpu.uuid.clone()));
        return Ok(CreateVgpu {
            vgpu_type,
            gpu,
            name,
            compute_capability,
            enable_uvm: false,
        });
    }
    let is_default = |ty: &GpuType| ty.series == "C" && ty.mode == "time-sliced";
    let (gpu, vgpu_type) = first_with_room(client, &candidates, is_default)
        .await?
        .ok_or_else(|| {
            CliError::NoVgpu(
                "no GPU of this host has room; `tessera types` says why, --private makes a GPU".to_owned(),
            )
        })?;
    Ok(CreateVgpu {
        vgpu_type,
        gpu: Some(gpu),
        name,
        compute_capability,
        enable_uvm: false,
    })
}

/// The first GPU with room for such a type, and the largest such type there.
async fn first_with_room(
    client: &Client,
    gpus: &[&Gpu],
    wanted: impl Fn(&GpuType) -> bool,
) -> Result<Option<(String, String)>, CliError> {
    for gpu in gpus {
        let types = client.types(&gpu.uuid).await?;
        let creatable = types
            .into_iter()
            .filter(|ty| ty.creatable.count > 0 && wanted(ty));
        if let Some(largest) = creatable.max_by_key(|ty| ty.frame_buffer_bytes) {
            return Ok(Some((gpu.uuid.clone(), largest.name)));
        }
    }
    Ok(None)
}

/// Something that two runs with one process id, of two process namespaces, do not share.
fn uuid_part() -> String {
    let time = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    format!("{:08x}", time.as_nanos() % (1 << 32))
}
