//! The manager itself: what the API does, in one place.

use crate::{
    Error, GpuDeclaration, ManagerConfig, admission, directories,
    life::Deaths,
    observe,
    rate::Samples,
    spawn::{Spawner, WORKER_LOG, directory_of},
    store::{GpuRow, NewVgpu, Store, VgpuRow},
    supervisor::{Begin, Command, Supervisor, Worker},
};
use futures_util::future::join_all;
use std::{
    collections::HashMap,
    fs::File,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tessera_catalogue::catalogue;
use tessera_client::{
    ComputeCapability, Creatable, CreateVgpu, Event, EventKind, Gpu, GpuType, ManagerInfo, Usage, Vgpu,
    VgpuState,
};
use tessera_control::GUEST_SOCKET;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{sleep, timeout},
};
use uuid::Uuid;

/// How long the start waits for earlier workers to be taken back, before the API is served; the rest goes on behind it.
const TAKE_OVER_TIME: Duration = Duration::from_secs(2);
/// Longest measurement that a request may ask for, milliseconds.
const LONGEST_SAMPLE_MS: u32 = 5_000;

/// A vGPU's supervisor as seen from outside.
pub(crate) struct Slot {
    commands: mpsc::Sender<Command>,
    worker: Mutex<Option<Arc<Worker>>>,
    samples: Mutex<Samples>,
}

impl Slot {
    pub(crate) fn worker(&self) -> Option<Arc<Worker>> {
        lock(&self.worker).clone()
    }

    pub(crate) fn set_worker(&self, worker: Option<Arc<Worker>>) {
        *lock(&self.worker) = worker;
    }
}

pub(crate) struct Inner {
    pub(crate) config: ManagerConfig,
    pub(crate) spawner: Spawner,
    gpus: Vec<GpuRow>,
    store: Mutex<Store>,
    slots: Mutex<HashMap<Uuid, Arc<Slot>>>,
    /// Rises with every change of the state; followers of events wait on it.
    changes: watch::Sender<u64>,
    stopping: watch::Sender<bool>,
    started: Instant,
    /// Held as long as the manager lives.
    _locks: [File; 2],
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl Inner {
    /// Runs a query off the async threads.
    pub(crate) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        query: impl FnOnce(&mut Store) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let inner = Arc::clone(self);
        let task = tokio::task::spawn_blocking(move || query(&mut lock(&inner.store)));
        task.await.map_err(|_| Error::Stopping)?
    }

    /// Runs a change, which gets the time, and tells the followers of events.
    pub(crate) async fn write<T: Send + 'static>(
        self: &Arc<Self>,
        change: impl FnOnce(&mut Store, u64) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let result = self.read(move |store| change(store, now_ms())).await;
        self.changes.send_modify(|count| *count += 1);
        result
    }

    pub(crate) fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(crate) fn gpu(&self, uuid: &str) -> Result<&GpuRow, Error> {
        let found = self.gpus.iter().find(|gpu| gpu.uuid == uuid);
        found.ok_or_else(|| Error::StateDamaged {
            what: format!("GPU {uuid} of a vGPU is not there"),
        })
    }

    pub(crate) fn forget(&self, uuid: Uuid) {
        lock(&self.slots).remove(&uuid);
    }

    fn slot(&self, uuid: Uuid) -> Option<Arc<Slot>> {
        lock(&self.slots).get(&uuid).map(Arc::clone)
    }

    fn supervise(self: &Arc<Self>, uuid: Uuid, begin: Begin) {
        let (commands, receiver) = mpsc::channel(8);
        let slot = Arc::new(Slot {
            commands,
            worker: Mutex::default(),
            samples: Mutex::default(),
        });
        lock(&self.slots).insert(uuid, Arc::clone(&slot));
        let inner = Arc::clone(self);
        let supervisor = Supervisor {
            inner,
            slot,
            uuid,
            commands: receiver,
            deaths: Deaths::default(),
        };
        tokio::spawn(supervisor.run(begin));
    }
}

/// What becomes of the workers when the manager stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkersAtStop {
    /// They go on; the next manager takes them back.
    Leave,
    /// They are stopped; the next manager starts new ones, with empty vGPUs.
    Stop,
}

/// A running manager. Clones are the same manager.
#[derive(Clone)]
pub struct Manager {
    inner: Arc<Inner>,
}

impl Manager {
    /// Starts a manager on its directories, takes back the workers it finds and goes on with what an earlier one left half done.
    /// Needs a tokio runtime with I/O and time.
    ///
    /// # Errors
    /// Another manager runs there, or the directories, the state or the declared GPUs cannot be used.
    pub async fn start(config: ManagerConfig) -> Result<Self, Error> {
        let run = &config.directories.run;
        directories::prepare(&config.directories.state)?;
        directories::prepare(run)?;
        directories::check_socket_path(run)?;
        let locks = [
            directories::lock(&config.directories.state)?,
            directories::lock(run)?,
        ];
        let mut store = Store::open(&config.directories.state.join("state.db"))?;
        let gpus = declare(&mut store, &config.gpus)?;
        let rows = store.vgpus()?;
        let message = format!(
            "the manager started as process {}, with {} vGPUs",
            std::process::id(),
            rows.len()
        );
        store.record(now_ms(), EventKind::ManagerStarted, None, &message)?;
        let spawner = Spawner::new().map_err(Error::file("start a thread for", "worker processes"))?;
        let inner = Arc::new(Inner {
            config,
            spawner,
            gpus,
            store: Mutex::new(store),
            slots: Mutex::default(),
            changes: watch::Sender::new(0),
            stopping: watch::Sender::new(false),
            started: Instant::now(),
            _locks: locks,
        });
        let looked = rows.iter().map(|row| {
            let (looked, done) = oneshot::channel();
            inner.supervise(row.uuid, Begin::TakeOver(looked));
            done
        });
        let _ = timeout(TAKE_OVER_TIME, join_all(looked)).await;
        Ok(Self { inner })
    }

    /// Stops. Workers go on or are stopped; the state stays.
    pub async fn stop(&self, workers: WorkersAtStop) {
        self.inner.stopping.send_replace(true);
        if workers == WorkersAtStop::Leave {
            return;
        }
        let slots: Vec<Arc<Slot>> = lock(&self.inner.slots).values().map(Arc::clone).collect();
        let stops = slots.iter().map(|slot| async {
            let (done, stopped) = oneshot::channel();
            if slot.commands.send(Command::Stop(done)).await.is_ok() {
                let _ = stopped.await;
            }
        });
        join_all(stops).await;
    }

    /// Becomes true when the manager stops.
    pub fn stopping(&self) -> watch::Receiver<bool> {
        self.inner.stopping.subscribe()
    }

    /// Rises with every change.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changes.subscribe()
    }

    pub(crate) fn config(&self) -> &ManagerConfig {
        &self.inner.config
    }

    /// Who this is.
    pub fn info(&self) -> ManagerInfo {
        let directories = &self.inner.config.directories;
        ManagerInfo {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            state_directory: directories.state.clone(),
            run_directory: directories.run.clone(),
        }
    }

    /// The physical GPUs.
    ///
    /// # Errors
    /// The state failed.
    pub async fn gpus(&self) -> Result<Vec<Gpu>, Error> {
        let rows = self.inner.read(Store::vgpus).await?;
        self.inner
            .gpus
            .iter()
            .map(|gpu| describe_gpu(gpu, &rows))
            .collect()
    }

    /// The types of a GPU, and how many of each can be created now.
    ///
    /// # Errors
    /// There is no such GPU.
    pub async fn types(&self, gpu: &str) -> Result<Vec<GpuType>, Error> {
        let gpu = self.find_gpu(gpu)?;
        let board = gpu.facts()?;
        let held = crate::store::held_mib(&self.inner.read(Store::vgpus).await?, &gpu.uuid);
        let describe = |vgpu_type| {
            let (count, refusal) = admission::creatable(board, vgpu_type, &held);
            GpuType {
                name: vgpu_type.name.clone(),
                device_name: board.device_name(vgpu_type),
                type_id: vgpu_type.type_id,
                series: vgpu_type.series().to_string(),
                mode: match vgpu_type.mode {
                    tessera_catalogue::Mode::TimeSliced => "time-sliced",
                    tessera_catalogue::Mode::MigBacked => "mig-backed",
                    tessera_catalogue::Mode::TimeSlicedMigBacked => "time-sliced-mig-backed",
                }
                .to_owned(),
                frame_buffer_bytes: vgpu_type.frame_buffer_bytes(),
                max_per_gpu: vgpu_type.max_per_gpu,
                creatable: Creatable {
                    count,
                    summary: (count == 0).then(|| refusal.summary()),
                    reason: (count == 0).then(|| refusal.to_string()),
                },
            }
        };
        Ok(board.vgpu_types.iter().map(describe).collect())
    }

    /// All vGPUs. With `sample_ms` above 0, vGPUs without an earlier measurement are measured for that long.
    ///
    /// # Errors
    /// The state failed.
    pub async fn vgpus(&self, sample_ms: u32) -> Result<Vec<Vgpu>, Error> {
        let rows = self.inner.read(Store::vgpus).await?;
        self.describe(rows, sample_ms).await
    }

    /// One vGPU: by UUID, unique start of one, or name.
    ///
    /// # Errors
    /// There is no such vGPU, or several.
    pub async fn vgpu(&self, given: &str, sample_ms: u32) -> Result<Vgpu, Error> {
        let row = self.find_vgpu(given).await?;
        let mut described = self.describe(vec![row], sample_ms).await?;
        described.pop().ok_or_else(|| Error::UnknownVgpu {
            given: given.to_owned(),
        })
    }

    /// Creates a vGPU and waits for its worker to answer.
    ///
    /// # Errors
    /// The rules forbid it, or no worker can be started; then nothing stays reserved.
    pub async fn create(&self, request: CreateVgpu) -> Result<Vgpu, Error> {
        if *self.inner.stopping.borrow() {
            return Err(Error::Stopping);
        }
        let gpu = request
            .gpu
            .as_deref()
            .map(|gpu| self.find_gpu(gpu))
            .transpose()?
            .map(|gpu| gpu.uuid.clone());
        let uuid = Uuid::new_v4();
        let inner = Arc::clone(&self.inner);
        // In a task of its own: a client that goes away must not leave a reserved vGPU without a supervisor.
        let task = tokio::spawn(async move {
            let reserve = move |store: &mut Store, now_ms| {
                store.reserve(&NewVgpu {
                    uuid,
                    request: &request,
                    gpu: gpu.as_deref(),
                    now_ms,
                })
            };
            inner.write(reserve).await?;
            (inner.config.observer.0)(crate::Moment::Reserved, uuid);
            let (ready, answers) = oneshot::channel();
            inner.supervise(uuid, Begin::Create(ready));
            answers.await.map_err(|_| Error::Stopping)?
        });
        task.await.map_err(|_| Error::Stopping)??;
        self.vgpu(&uuid.to_string(), 0).await
    }

    /// Deletes a vGPU: ends its worker, then frees its frame buffer.
    ///
    /// # Errors
    /// There is no such vGPU, or its worker cannot be ended; then it stays `deleting` and can be deleted again.
    pub async fn delete(&self, given: &str) -> Result<(), Error> {
        let uuid = self.find_vgpu(given).await?.uuid;
        let unknown = || Error::UnknownVgpu {
            given: given.to_owned(),
        };
        let slot = self.inner.slot(uuid).ok_or_else(unknown)?;
        let (reply, deleted) = oneshot::channel();
        slot.commands
            .send(Command::Delete(reply))
            .await
            .map_err(|_| unknown())?;
        // No answer: the supervisor ended while the command was on its way, so another deletion came first.
        deleted.await.unwrap_or(Err(Error::BeingDeleted { uuid }))
    }

    /// Events after a sequence number, oldest first, at most `most`.
    ///
    /// # Errors
    /// The state failed.
    pub async fn events(&self, after: u64, most: u32) -> Result<Vec<Event>, Error> {
        self.inner.read(move |store| store.events(after, most)).await
    }

    fn find_gpu(&self, given: &str) -> Result<&GpuRow, Error> {
        let found = self.inner.gpus.iter().find(|gpu| {
            gpu.uuid.eq_ignore_ascii_case(given)
                || given.parse::<u32>().is_ok_and(|index| index == gpu.position)
        });
        found.ok_or_else(|| Error::UnknownGpu {
            given: given.chars().take(80).collect(),
        })
    }

    async fn find_vgpu(&self, given: &str) -> Result<VgpuRow, Error> {
        let rows = self.inner.read(Store::vgpus).await?;
        let wanted = given.to_ascii_lowercase();
        if let Some(row) = rows
            .iter()
            .find(|row| row.name.as_deref() == Some(given) || row.uuid.to_string() == wanted)
        {
            return Ok(row.clone());
        }
        let begins = |row: &&VgpuRow| !wanted.is_empty() && row.uuid.to_string().starts_with(&wanted);
        let found: Vec<&VgpuRow> = rows.iter().filter(begins).collect();
        let given = given.chars().take(80).collect();
        match found.as_slice() {
            [row] => Ok((*row).clone()),
            [] => Err(Error::UnknownVgpu { given }),
            several => Err(Error::AmbiguousVgpu {
                given,
                uuids: several.iter().map(|row| row.uuid).collect(),
            }),
        }
    }

    async fn describe(&self, rows: Vec<VgpuRow>, sample_ms: u32) -> Result<Vec<Vgpu>, Error> {
        let mut usages = join_all(rows.iter().map(|row| self.usage(row.uuid))).await;
        let fresh = |usage: &Option<Usage>| usage.as_ref().is_some_and(|usage| usage.time_share.is_none());
        if sample_ms > 0 && usages.iter().any(fresh) {
            sleep(Duration::from_millis(
                sample_ms.clamp(25, LONGEST_SAMPLE_MS).into(),
            ))
            .await;
            usages = join_all(rows.iter().map(|row| self.usage(row.uuid))).await;
        }
        rows.into_iter()
            .zip(usages)
            .map(|(row, usage)| self.describe_vgpu(row, usage))
            .collect()
    }

    async fn usage(&self, uuid: Uuid) -> Option<Usage> {
        let slot = self.inner.slot(uuid)?;
        let worker = slot.worker()?;
        match worker.control.status().await {
            Ok(status) => Some(observe::usage(&status, &mut lock(&slot.samples))),
            Err(error) => {
                tracing::warn!(%uuid, %error, "no status of a worker");
                None
            }
        }
    }

    fn describe_vgpu(&self, row: VgpuRow, usage: Option<Usage>) -> Result<Vgpu, Error> {
        let gpu = self.inner.gpu(&row.gpu)?;
        let board = gpu.facts()?;
        let directory = directory_of(&self.inner.config.directories.run, row.uuid);
        let worker = self.inner.slot(row.uuid).and_then(|slot| slot.worker());
        Ok(Vgpu {
            uuid: row.uuid,
            name: row.name,
            device_name: board.device_name(board.vgpu_type(&row.vgpu_type)?),
            vgpu_type: row.vgpu_type,
            gpu_uuid: gpu.uuid.clone(),
            gpu_index: gpu.position,
            frame_buffer_bytes: row.frame_buffer_bytes,
            compute_capability: row.capability.or_else(|| capability(gpu)),
            enable_uvm: row.enable_uvm,
            state: row.state,
            restarts: row.restarts,
            last_failure: row.last_failure,
            worker_pid: worker
                .filter(|_| row.state == VgpuState::Running)
                .map(|worker| worker.process.pid()),
            guest_socket: directory.join(GUEST_SOCKET),
            worker_log: directory.join(WORKER_LOG),
            created_at_ms: row.created_at_ms,
            usage,
        })
    }
}

fn capability(gpu: &GpuRow) -> Option<ComputeCapability> {
    let (major, minor) = gpu.facts().ok()?.compute_capability?;
    Some(ComputeCapability { major, minor })
}

fn describe_gpu(gpu: &GpuRow, rows: &[VgpuRow]) -> Result<Gpu, Error> {
    let board = gpu.facts()?;
    let held = rows.iter().filter(|row| row.gpu == gpu.uuid);
    Ok(Gpu {
        index: gpu.position,
        uuid: gpu.uuid.clone(),
        name: board.name.clone(),
        board: board.id.clone(),
        device: "software".to_owned(),
        compute_capability: capability(gpu),
        sm_count: board.sm_count,
        frame_buffer_bytes: board.vgpu_memory_mib() << 20,
        frame_buffer_reserved_bytes: held.clone().map(|row| row.frame_buffer_bytes).sum(),
        vgpus: u32::try_from(held.count()).unwrap_or(u32::MAX),
    })
}

/// The GPUs declared; without any those remembered; without those one to start with.
fn declare(store: &mut Store, declared: &[GpuDeclaration]) -> Result<Vec<GpuRow>, Error> {
    let remembered = store.gpus()?;
    if declared.is_empty() && !remembered.is_empty() {
        return Ok(remembered);
    }
    let boards = if declared.is_empty() {
        vec![catalogue().board(ManagerConfig::DEFAULT_BOARD)?]
    } else {
        GpuDeclaration::expand(declared).map_err(|error| Error::StateDamaged {
            what: error.to_string(),
        })?
    };
    store.declare_gpus(&boards)
}
