//! `tessera manager`.

use crate::{args::ManagerOptions, commands::directories, error::CliError, logging};
use std::{path::Path, process::ExitCode};
use tessera_manager::{
    CodePlace, FileConfig, Manager, ManagerConfig, Observer, Server, WorkerProgram, WorkersAtStop,
};
use tessera_worker::CODE_CACHE_VARIABLE;
use tokio::signal::unix::{SignalKind, signal};

pub(crate) async fn run(options: ManagerOptions) -> Result<ExitCode, CliError> {
    logging::start("info");
    let file = options
        .config
        .as_deref()
        .map(FileConfig::read)
        .transpose()?
        .unwrap_or_default();
    let gpus = if options.gpus.is_empty() {
        file.gpus()?
    } else {
        options.gpus
    };
    let config = ManagerConfig {
        directories: directories(),
        gpus,
        worker: worker_program(&[])?,
        executors: options.executors.or(file.executors),
        check: None,
        code: if std::env::var_os(CODE_CACHE_VARIABLE).is_some_and(|value| value == "off") {
            CodePlace::Off
        } else {
            CodePlace::PerVgpu
        },
        tier: None,
        observer: Observer::default(),
    };
    let manager = Manager::start(config).await?;
    let server = Server::bind(manager.clone())?;
    tracing::info!(socket = %server.socket().display(), "the manager answers");
    let workers = if options.stop_workers {
        WorkersAtStop::Stop
    } else {
        WorkersAtStop::Leave
    };
    let failed = |source| CliError::file("listen for", Path::new("signals"), source);
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!(?workers, "stopping");
        manager.stop(workers).await;
    };
    server.serve(stop).await?;
    Ok(ExitCode::SUCCESS)
}

/// This program as a worker.
pub(crate) fn worker_program(options: &[String]) -> Result<WorkerProgram, CliError> {
    // The link, not what it led to at the start: after an upgrade the new program is what new workers should be.
    let program = std::env::current_exe()
        .map_err(|source| CliError::file("find", Path::new("the program itself"), source))?;
    let mut arguments = vec!["worker".to_owned()];
    arguments.extend_from_slice(options);
    Ok(WorkerProgram { program, arguments })
}
