//! Finding out whether a vGPU has a live worker that an earlier manager started.

use crate::{
    control::Control,
    process::{Process, writer_of},
    spawn::{LogLock, WORKER_LOG},
    supervisor::Worker,
};
use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

/// How long a worker that lives may take to open its sockets: the earlier manager may have died just after it started the worker.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a killed process may take to be gone.
const KILL_TIME: Duration = Duration::from_secs(5);

/// What was found.
#[derive(Debug)]
pub(crate) enum Found {
    /// A worker that answers.
    Alive(Worker),
    /// None lives. With the process id of one that lived but did not answer, and was killed.
    Nobody(Option<u32>),
}

/// Looks for the worker of a vGPU. Afterwards either it is in hand or the vGPU has none.
pub(crate) async fn find(directory: &Path, uuid: Uuid) -> Result<Found, String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if !directory.exists() {
            return Ok(Found::Nobody(None));
        }
        match answer(directory, uuid).await {
            Ok(worker) => return Ok(Found::Alive(worker)),
            Err(error) => tracing::debug!(%uuid, %error, "no worker answers"),
        }
        if unlocked(directory.to_owned()).await? {
            return Ok(Found::Nobody(None));
        }
        if Instant::now() >= deadline {
            return kill_mute(directory).await;
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Connects to the worker and makes sure that the process in hand is the one that answers.
async fn answer(directory: &Path, uuid: Uuid) -> io::Result<Worker> {
    let control = Control::connect(directory).await?;
    let status = control.status().await?;
    if status.uuid != uuid.to_string() {
        return Err(io::Error::other(format!(
            "the worker says it is that of vGPU {}",
            status.uuid
        )));
    }
    let pid = control
        .peer()
        .ok_or_else(|| io::Error::other("the kernel does not say who answers"))?;
    let process = Process::open(pid)?;
    // It answers still, so it lived while the pidfd was made: the pidfd cannot be that of a successor of its number.
    control.status().await?;
    Ok(Worker { process, control })
}

async fn unlocked(directory: PathBuf) -> Result<bool, String> {
    let take = move || LogLock::take(&directory).map(|lock| lock.is_some());
    match tokio::task::spawn_blocking(take).await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

/// Ends a worker that holds the lock and does not answer.
async fn kill_mute(directory: &Path) -> Result<Found, String> {
    let log = directory.join(WORKER_LOG);
    let stuck = |why: String| {
        format!(
            "a process holds {} and its control socket does not answer; {why}",
            log.display()
        )
    };
    let pid = writer_of(&log).ok_or_else(|| stuck("find it with `fuser` and end it".to_owned()))?;
    let process = Process::open(pid).map_err(|error| stuck(error.to_string()))?;
    if writer_of(&log) != Some(pid) {
        return Ok(Found::Nobody(None)); // it ended meanwhile
    }
    process
        .kill()
        .map_err(|error| stuck(format!("process {pid} cannot be killed: {error}")))?;
    match timeout(KILL_TIME, process.ended()).await {
        Ok(_) => Ok(Found::Nobody(Some(pid))),
        Err(_) => Err(stuck(format!("process {pid} was killed and does not end"))),
    }
}
