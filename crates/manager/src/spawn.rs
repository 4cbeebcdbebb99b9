//! Starting worker processes, and the lock that tells whether one lives.
//!
//! ```text
//!  manager                                worker
//!  open worker.log, flock ─┐
//!  remove stale sockets    │
//!  spawn ── stdout, stderr = worker.log ─▶ holds the lock from its first instruction to its last
//!        ── stdin: WorkerConfig ─────────▶ a config cut short (the manager died) is no JSON: it exits
//!  close worker.log
//! ```

use crate::{Error, WorkerProgram};
use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};
use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::{fs::DirBuilderExt as _, fs::OpenOptionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};
use tessera_control::{CONTROL_SOCKET, GUEST_SOCKET, WorkerConfig};
use tokio::sync::oneshot;

/// File in a vGPU's directory that its worker writes to, and whose lock it holds.
pub(crate) const WORKER_LOG: &str = "worker.log";
/// Size above which a log is begun anew at the next start of a worker.
const MOST_LOG_BYTES: u64 = 16 << 20;

/// Makes the directory of a vGPU.
pub(crate) fn make_directory(directory: &Path) -> Result<(), Error> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(Error::file("make the directory", directory))
}

/// Removes the directory of a vGPU, if it is there.
pub(crate) fn remove_directory(directory: &Path) -> Result<(), Error> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::file("remove", directory)(error)),
        _ => Ok(()),
    }
}

/// The locked log of a vGPU: proof that no worker of it lives.
pub(crate) struct LogLock(File);

impl LogLock {
    /// Takes the lock; `None` when a worker has it.
    pub(crate) fn take(directory: &Path) -> Result<Option<Self>, Error> {
        let path = directory.join(WORKER_LOG);
        let failed = |source| Error::file("lock", &path)(source);
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .read(true)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        // A process being started by this manager may hold a copy for the moment between fork and exec.
        for attempt in 0..20 {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Some(Self(file))),
                Err(Errno::WOULDBLOCK) if attempt < 19 => thread::sleep(Duration::from_millis(2)),
                Err(Errno::WOULDBLOCK) => break,
                Err(error) => return Err(Error::file("lock", &path)(error.into())),
            }
        }
        Ok(None)
    }
}

/// The last line of a worker's log, for messages: no control characters, no novels.
pub(crate) fn last_line(directory: &Path) -> Option<String> {
    let mut file = File::open(directory.join(WORKER_LOG)).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(4096))).ok()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().rev().find(|line| !line.trim().is_empty())?;
    Some(
        line.trim()
            .chars()
            .filter(|c| !c.is_control())
            .take(300)
            .collect(),
    )
}

struct Job {
    program: WorkerProgram,
    config: WorkerConfig,
    lock: LogLock,
    reply: oneshot::Sender<io::Result<u32>>,
}

/// Starts processes, all from one thread that lives as long as the manager: a worker can ask the kernel to end it with its parent,
/// and the kernel's parent is the thread.
#[derive(Clone, Debug)]
pub(crate) struct Spawner {
    jobs: mpsc::Sender<Job>,
}

impl Spawner {
    pub(crate) fn new() -> io::Result<Self> {
        let (jobs, receiver) = mpsc::channel::<Job>();
        let work = move || {
            for job in receiver {
                let result = start(&job.program, &job.config, &job.lock);
                drop(job.lock);
                let _ = job.reply.send(result); // the asker may have gone
            }
        };
        thread::Builder::new().name("spawner".to_owned()).spawn(work)?;
        Ok(Self { jobs })
    }

    /// Starts a worker; gives its process id. The caller waits for the process.
    pub(crate) async fn spawn(
        &self,
        program: WorkerProgram,
        config: WorkerConfig,
        lock: LogLock,
    ) -> io::Result<u32> {
        let (reply, answer) = oneshot::channel();
        let gone = || io::Error::other("the thread that starts workers is gone");
        self.jobs
            .send(Job {
                program,
                config,
                lock,
                reply,
            })
            .map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

fn start(program: &WorkerProgram, config: &WorkerConfig, lock: &LogLock) -> io::Result<u32> {
    for socket in [GUEST_SOCKET, CONTROL_SOCKET] {
        match std::fs::remove_file(config.directory.join(socket)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    if lock.0.metadata()?.len() > MOST_LOG_BYTES {
        lock.0.set_len(0)?;
    }
    let text = serde_json::to_vec(config)?;
    let mut child = Command::new(&program.program)
        .args(&program.arguments)
        .stdin(Stdio::piped())
        .stdout(lock.0.try_clone()?)
        .stderr(lock.0.try_clone()?)
        .current_dir("/")
        // Not in the manager's process group: a Ctrl-C at its terminal is not for the workers.
        .process_group(0)
        .spawn()?;
    // Fits the pipe's buffer, so this does not wait. A worker that died already shows up at its pidfd.
    if let Some(mut stdin) = child.stdin.take() {
        let _ = stdin.write_all(&text);
    }
    Ok(child.id())
}

/// The directory of a vGPU in a run directory.
pub(crate) fn directory_of(run: &Path, uuid: uuid::Uuid) -> PathBuf {
    run.join("vgpu").join(uuid.to_string())
}
