//! A manager inside `tessera run`, for the length of one program.
//!
//! It is the real manager with directories of its own, which go with it. Should this process be killed, its workers follow it: they
//! are started with `--with-parent`.

use crate::{args::RunOptions, commands::manager::worker_program, error::CliError};
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tessera_client::{Client, paths::Directories};
use tessera_manager::{CodePlace, GpuDeclaration, Manager, ManagerConfig, Observer, Server, WorkersAtStop};
use tessera_worker::user_code_file;
use tokio::{sync::oneshot, task::JoinHandle};

/// Longest name of the directory for temporary files that leaves room for socket paths under it, bytes.
const LONGEST_TEMPORARY: usize = 36;

pub(crate) struct Embedded {
    client: Client,
    manager: Manager,
    end: oneshot::Sender<()>,
    serving: JoinHandle<()>,
    _directory: TempDir,
}

impl Embedded {
    /// Starts a manager with one software GPU of the board, whose vGPUs carry kernels out as the options say. They keep machine code
    /// where the user does: the program on them could write there anyway.
    pub(crate) async fn start(board: &str, options: &RunOptions) -> Result<Self, CliError> {
        let directory = private_directory()?;
        let with_parent = ["--with-parent".to_owned(), std::process::id().to_string()];
        let config = ManagerConfig {
            directories: Directories {
                state: directory.path().join("s"),
                run: directory.path().join("r"),
            },
            gpus: vec![board.parse::<GpuDeclaration>()?],
            worker: worker_program(&with_parent)?,
            executors: None,
            check: options.check.check.clone(),
            code: user_code_file().map_or(CodePlace::Off, CodePlace::File),
            tier: options.tier.clone(),
            observer: Observer::default(),
        };
        let manager = Manager::start(config).await?;
        let server = Server::bind(manager.clone())?;
        let client = Client::new(server.socket());
        let (end, ended) = oneshot::channel();
        let serving = tokio::spawn(async move {
            let until = async {
                let _ = ended.await; // a dropped sender is an end too
            };
            if let Err(error) = server.serve(until).await {
                tracing::error!(%error, "the embedded manager does not answer any more");
            }
        });
        Ok(Self {
            client,
            manager,
            end,
            serving,
            _directory: directory,
        })
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Stops the workers that are left, then the manager.
    pub(crate) async fn stop(self) {
        self.manager.stop(WorkersAtStop::Stop).await;
        let _ = self.end.send(());
        let _ = self.serving.await;
    }
}

/// A directory for the files of one run.
pub(crate) fn private_directory() -> Result<TempDir, CliError> {
    let temporary = std::env::temp_dir();
    let base = if temporary.as_os_str().len() > LONGEST_TEMPORARY {
        PathBuf::from("/tmp")
    } else {
        temporary
    };
    let made = tempfile::Builder::new().prefix("tessera-").tempdir_in(&base);
    made.map_err(|source| CliError::file("make a directory in", Path::new(&base), source))
}
