//! One task per vGPU, the only one that touches its worker: starts it, watches it, replaces it, takes it down.
//!
//! ```text
//!            ┌─────────────── died, restart ◀──────────────┐
//!  begin ─▶ Start ──answers──▶ Watch ── pidfd readable ────┤
//!            │ cannot            │ Delete                  └─ given up ─▶ Idle ──Delete─┐
//!            ▼ (first time)      ▼                                                      ▼
//!           Delete ◀─────────────┴────────────────────────────────────────────────────Delete ─▶ end
//! ```

use crate::{
    CodePlace, Error, Moment,
    control::Control,
    life::{Deaths, MOST_DEATHS, Step, Verdict},
    manager::{Inner, Slot},
    process::Process,
    spawn::{LogLock, directory_of, last_line, make_directory, remove_directory},
    store::VgpuRow,
    takeover::{self, Found},
};
use std::{path::PathBuf, sync::Arc, time::Duration};
use tessera_client::{EventKind, VgpuState};
use tessera_control::{CODE_FILE, GUEST_SOCKET, WorkerConfig};
use tokio::{
    sync::{mpsc, oneshot},
    time::{sleep, timeout},
};
use uuid::Uuid;

/// How long a new worker may take to answer.
const START_TIME: Duration = Duration::from_secs(10);
/// How long a worker may take to close its sessions when told to end.
const SHUTDOWN_TIME: Duration = Duration::from_secs(2);
/// How long a killed worker may take to be gone.
const KILL_TIME: Duration = Duration::from_secs(5);

/// A worker in hand.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) process: Process,
    pub(crate) control: Control,
}

/// What a supervisor is told.
pub(crate) enum Command {
    /// Delete the vGPU.
    Delete(oneshot::Sender<Result<(), Error>>),
    /// Stop the worker, keep the vGPU: the manager ends.
    Stop(oneshot::Sender<()>),
}

/// How a supervisor begins.
pub(crate) enum Begin {
    /// The vGPU was just reserved. Tells when its worker answers, or why it was given up and deleted again.
    Create(oneshot::Sender<Result<(), Error>>),
    /// The vGPU is in the state since an earlier manager. Tells when it was looked after.
    TakeOver(oneshot::Sender<()>),
}

pub(crate) struct Supervisor {
    pub(crate) inner: Arc<Inner>,
    pub(crate) slot: Arc<Slot>,
    pub(crate) uuid: Uuid,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) deaths: Deaths,
}

/// What to do next.
enum Phase {
    Start {
        first: Option<oneshot::Sender<Result<(), Error>>>,
    },
    Watch,
    Idle,
    Delete {
        reply: Option<oneshot::Sender<Result<(), Error>>>,
        because: Option<Error>,
    },
    End,
}

type Why<T> = Result<T, String>;

impl Supervisor {
    pub(crate) async fn run(mut self, begin: Begin) {
        let mut phase = match begin {
            Begin::Create(ready) => Phase::Start { first: Some(ready) },
            Begin::TakeOver(looked) => {
                let phase = self.take_over().await;
                let _ = looked.send(());
                phase
            }
        };
        loop {
            phase = match phase {
                Phase::Start { first } => self.start(first).await,
                Phase::Watch => self.watch().await,
                Phase::Idle => match self.commands.recv().await {
                    Some(command) => self.obey(command).await,
                    None => Phase::End,
                },
                Phase::Delete { reply, because } => self.delete(reply, because).await,
                Phase::End => return,
            }
        }
    }

    fn directory(&self) -> PathBuf {
        directory_of(&self.inner.config.directories.run, self.uuid)
    }

    fn observe(&self, moment: Moment) {
        (self.inner.config.observer.0)(moment, self.uuid);
    }

    /// Takes a step; a failure of the database leaves the vGPU as it is and is logged, since nobody waits for it here.
    async fn step(&self, step: Step, kind: EventKind, message: String) -> Option<VgpuRow> {
        let uuid = self.uuid;
        let write = self
            .inner
            .write(move |store, now| store.step(uuid, step, now, Some((kind, &message))));
        match write.await {
            Ok(row) => Some(row),
            Err(error) => {
                tracing::error!(%uuid, %error, ?step, "cannot record a step");
                None
            }
        }
    }

    async fn obey(&mut self, command: Command) -> Phase {
        match command {
            Command::Delete(reply) => Phase::Delete {
                reply: Some(reply),
                because: None,
            },
            Command::Stop(done) => {
                if let Err(why) = self.take_down().await {
                    tracing::warn!(uuid = %self.uuid, why, "cannot stop the worker");
                } else {
                    let uuid = self.uuid;
                    // From `failed` there is no such step, and nothing to do.
                    let stopped = self
                        .inner
                        .write(move |store, now| store.step(uuid, Step::Stopped, now, None));
                    if let Err(error) = stopped.await {
                        tracing::debug!(%uuid, %error, "no worker was stopped");
                    }
                }
                let _ = done.send(());
                Phase::End
            }
        }
    }

    async fn take_over(&mut self) -> Phase {
        let uuid = self.uuid;
        let row = match self.inner.read(move |store| store.vgpu(uuid)).await {
            Ok(row) => row,
            Err(error) => {
                tracing::error!(%uuid, %error, "cannot read a vGPU");
                return Phase::End;
            }
        };
        match row.state {
            VgpuState::Failed => return Phase::Idle,
            VgpuState::Deleting => {
                return Phase::Delete {
                    reply: None,
                    because: None,
                };
            }
            VgpuState::Starting | VgpuState::Running => {}
        }
        match takeover::find(&self.directory(), uuid).await {
            Ok(Found::Alive(worker)) => self.take_back(&row, worker).await,
            Ok(Found::Nobody(killed)) if row.state == VgpuState::Running => {
                let how = match killed {
                    Some(pid) => format!("(process {pid}) did not answer and was killed"),
                    None => "died while no manager ran".to_owned(),
                };
                let message = format!("the worker of vGPU {uuid} {how}; its guests lost their work");
                self.step(Step::DiedToRestart, EventKind::WorkerDied, message)
                    .await;
                Phase::Start { first: None }
            }
            Ok(Found::Nobody(_)) => Phase::Start { first: None },
            Err(why) => {
                let message = format!("vGPU {uuid} cannot be taken back: {why}; then delete the vGPU");
                self.step(Step::DiedForGood, EventKind::VgpuFailed, message).await;
                Phase::Idle
            }
        }
    }

    async fn take_back(&mut self, row: &VgpuRow, worker: Worker) -> Phase {
        let message = format!(
            "the worker (process {}) of vGPU {} was taken back",
            worker.process.pid(),
            self.uuid
        );
        if row.state == VgpuState::Starting {
            self.step(Step::Answered, EventKind::WorkerTakenBack, message)
                .await;
        } else {
            let uuid = self.uuid;
            let record = move |store: &mut crate::store::Store, now| {
                store.record(now, EventKind::WorkerTakenBack, Some(uuid), &message)
            };
            if let Err(error) = self.inner.write(record).await {
                tracing::error!(%uuid, %error, "cannot record an event");
            }
        }
        self.slot.set_worker(Some(Arc::new(worker)));
        Phase::Watch
    }

    async fn start(&mut self, first: Option<oneshot::Sender<Result<(), Error>>>) -> Phase {
        match self.launch().await {
            Ok(worker) => {
                let message = format!(
                    "the worker (process {}) of vGPU {} answers",
                    worker.process.pid(),
                    self.uuid
                );
                self.slot.set_worker(Some(Arc::new(worker)));
                self.observe(Moment::WorkerAnswered);
                let step = self.step(Step::Answered, EventKind::WorkerStarted, message).await;
                if let Some(first) = first {
                    let lost = || Error::StateDamaged {
                        what: "the start of a worker could not be recorded".into(),
                    };
                    let _ = first.send(step.map(drop).ok_or_else(lost));
                }
                Phase::Watch
            }
            Err(reason) => {
                if let Some(first) = first {
                    let because = Error::Worker {
                        uuid: self.uuid,
                        reason,
                    };
                    return Phase::Delete {
                        reply: Some(first),
                        because: Some(because),
                    };
                }
                let message = format!("the worker of vGPU {} could not be started: {reason}", self.uuid);
                self.mourn(message).await
            }
        }
    }

    /// After a death: again, or give up.
    async fn mourn(&mut self, message: String) -> Phase {
        tracing::warn!(uuid = %self.uuid, "{message}");
        match self.deaths.record(self.inner.elapsed_ms()) {
            Verdict::GiveUp => {
                let message = format!(
                    "{message}; after {MOST_DEATHS} deaths in a minute no new one is started: look at {}, then delete the vGPU",
                    self.directory().join(crate::spawn::WORKER_LOG).display()
                );
                self.step(Step::DiedForGood, EventKind::VgpuFailed, message).await;
                Phase::Idle
            }
            Verdict::Restart(delay_ms) => {
                let message = format!("{message}; a new, empty one is started");
                self.step(Step::DiedToRestart, EventKind::WorkerDied, message)
                    .await;
                tokio::select! {
                    () = sleep(Duration::from_millis(delay_ms)) => Phase::Start { first: None },
                    command = self.commands.recv() => match command {
                        Some(command) => self.obey(command).await,
                        None => Phase::End,
                    },
                }
            }
        }
    }

    async fn watch(&mut self) -> Phase {
        let Some(worker) = self.slot.worker() else {
            return Phase::Idle;
        };
        tokio::select! {
            ending = worker.process.ended() => {
                self.slot.set_worker(None);
                let words = if ending.is_own_doing() { last_line(&self.directory()) } else { None };
                let words = words.map_or_else(String::new, |line| format!(" (it wrote last: {line})"));
                let pid = worker.process.pid();
                self.mourn(format!("the worker (process {pid}) of vGPU {} died: {ending}{words}", self.uuid)).await
            }
            command = self.commands.recv() => match command {
                Some(command) => self.obey(command).await,
                None => Phase::End,
            },
        }
    }

    async fn delete(
        &mut self,
        reply: Option<oneshot::Sender<Result<(), Error>>>,
        because: Option<Error>,
    ) -> Phase {
        let result = self.delete_steps().await;
        let phase = if result.is_ok() { Phase::End } else { Phase::Idle };
        if let Err(error) = &result {
            tracing::error!(uuid = %self.uuid, %error, "cannot delete the vGPU");
        }
        if let Some(reply) = reply {
            let _ = reply.send(because.map_or(result, Err));
        }
        phase
    }

    async fn delete_steps(&mut self) -> Result<(), Error> {
        let uuid = self.uuid;
        self.inner
            .write(move |store, now| store.step(uuid, Step::Delete, now, None))
            .await?;
        self.observe(Moment::MarkedDeleting);
        self.take_down()
            .await
            .map_err(|reason| Error::Worker { uuid, reason })?;
        self.observe(Moment::WorkerGone);
        remove_directory(&self.directory())?;
        self.observe(Moment::DirectoryRemoved);
        self.inner
            .write(move |store, now| store.remove(uuid, now))
            .await?;
        self.inner.forget(uuid);
        Ok(())
    }

    /// Ends the worker, gently if it answers.
    async fn take_down(&mut self) -> Why<()> {
        let worker = match self.slot.worker() {
            Some(worker) => worker,
            None => match takeover::find(&self.directory(), self.uuid).await? {
                Found::Alive(worker) => Arc::new(worker),
                Found::Nobody(_) => return Ok(()),
            },
        };
        if let Err(error) = worker.control.shutdown().await {
            tracing::debug!(uuid = %self.uuid, %error, "the worker did not take the order to end");
        }
        if timeout(SHUTDOWN_TIME, worker.process.ended()).await.is_err() {
            let pid = worker.process.pid();
            worker
                .process
                .kill()
                .map_err(|error| format!("its worker (process {pid}) cannot be killed: {error}"))?;
            timeout(KILL_TIME, worker.process.ended())
                .await
                .map_err(|_| format!("its worker (process {pid}) was killed and does not end"))?;
        }
        self.slot.set_worker(None);
        Ok(())
    }

    /// Starts a worker and waits for it to answer.
    async fn launch(&self) -> Why<Worker> {
        let (inner, uuid, directory) = (&self.inner, self.uuid, self.directory());
        let say = |error: Error| error.to_string();
        make_directory(&directory).map_err(say)?;
        self.observe(Moment::DirectoryMade);
        let row = inner.read(move |store| store.vgpu(uuid)).await.map_err(say)?;
        let config = self.worker_config(&row).map_err(say)?;
        let take = {
            let directory = directory.clone();
            tokio::task::spawn_blocking(move || LogLock::take(&directory))
        };
        let lock = take.await.map_err(|error| error.to_string())?.map_err(say)?;
        let lock = lock.ok_or("another worker of it still lives")?;
        let program = inner.config.worker.clone();
        let shown = program.program.display().to_string();
        let spawned = inner.spawner.spawn(program, config, lock).await;
        let pid = spawned.map_err(|error| format!("cannot start {shown}: {error}"))?;
        let process = Process::open(pid).map_err(|error| format!("cannot watch process {pid}: {error}"))?;
        self.observe(Moment::WorkerSpawned);
        let control = tokio::select! {
            control = self.first_answer() => control?,
            ending = process.ended() => {
                let line = last_line(&directory).unwrap_or_else(|| "it wrote nothing".to_owned());
                return Err(format!("it ended at once with {ending}: {line}"));
            }
            () = sleep(START_TIME) => {
                let _ = process.kill();
                process.ended().await;
                return Err(format!("it did not answer within {} s", START_TIME.as_secs()));
            }
        };
        Ok(Worker { process, control })
    }

    /// Asks a starting worker until it answers.
    async fn first_answer(&self) -> Why<Control> {
        let directory = self.directory();
        let mut pause = Duration::from_millis(1);
        loop {
            if directory.join(GUEST_SOCKET).exists()
                && let Ok(control) = Control::connect(&directory).await
            {
                let status = control
                    .status()
                    .await
                    .map_err(|error| format!("its first answer: {error}"))?;
                if status.uuid != self.uuid.to_string() {
                    return Err(format!("its worker says it is that of vGPU {}", status.uuid));
                }
                return Ok(control);
            }
            sleep(pause).await;
            pause = (pause * 3 / 2).min(Duration::from_millis(20));
        }
    }

    fn worker_config(&self, row: &VgpuRow) -> Result<WorkerConfig, Error> {
        let gpu = self.inner.gpu(&row.gpu)?;
        let board = gpu.facts()?;
        let vgpu_type = board.vgpu_type(&row.vgpu_type)?;
        Ok(WorkerConfig {
            uuid: row.uuid.to_string(),
            board: board.id.clone(),
            vgpu_type: vgpu_type.name.clone(),
            device_name: board.device_name(vgpu_type),
            gpu_uuid: gpu.uuid.clone(),
            // Where a VM would show its first vGPUs; each vGPU of the host has another, since a guest may hold several.
            pci_bus_id: format!("00000000:{:02X}:00.0", row.arena + 6),
            frame_buffer_bytes: row.frame_buffer_bytes,
            arena_index: row.arena,
            compute_capability: row
                .capability
                .map(|capability| (capability.major, capability.minor)),
            executors: self.inner.config.executors,
            directory: self.directory(),
            check: self.inner.config.check.clone(),
            code: match &self.inner.config.code {
                CodePlace::PerVgpu => Some(self.directory().join(CODE_FILE)),
                CodePlace::File(path) => Some(path.clone()),
                CodePlace::Off => None,
            },
            tier: self.inner.config.tier.clone(),
            enable_uvm: row.enable_uvm,
        })
    }
}
