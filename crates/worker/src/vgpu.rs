//! The vGPU of this worker: its device, its limits, its sessions, its figures.

use crate::limits::{Arena, Limits};
use crate::refusal::Refusal;
use crate::tokens::Tokens;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tessera_channel::Session;
use tessera_control::{SessionStatus, Tiers, WorkerConfig, WorkerStatus};
use tessera_device::{Context, Counters, Device, Event, Physical};
use tessera_wire::{CudaCode, Process, ProcessUse, VgpuInfo, kind};

/// Driver version that guests see through NVML; CUDA 13 clients want 580 or later.
const DRIVER_VERSION: &str = "580.95.05";
/// `CU_DEVICE_ATTRIBUTE_MANAGED_MEMORY` and `_CONCURRENT_MANAGED_ACCESS`: with unified memory enabled, host and device work on the same
/// pages at the same time.
const MANAGED_MEMORY: [i32; 2] = [83, 89];
/// A figure of use over a shorter time says little.
const SHORTEST_PERIOD: Duration = Duration::from_millis(100);
/// A figure of use over a longer time is not the present.
const LONGEST_PERIOD: Duration = Duration::from_secs(2);

/// What is known of a session outside of its own thread.
#[derive(Default)]
pub(crate) struct SessionInfo {
    pub(crate) id: u64,
    /// As the kernel says; 0 where it has none in the worker's namespace.
    pub(crate) pid: u32,
    /// As the guest says.
    pub(crate) claimed_pid: u32,
    pub(crate) name: String,
    pub(crate) kind: u32,
    contexts: Mutex<Vec<Weak<dyn Context>>>,
    /// Memory that this session made and that no context counts.
    physical: Mutex<Vec<Weak<dyn Physical>>>,
    /// Of contexts that are gone.
    past: Mutex<Work>,
    last_fault: Mutex<Option<String>>,
    /// Those of the vGPU.
    faults: Arc<Faults>,
}

/// What contexts have done.
#[derive(Clone, Copy, Debug, Default)]
struct Work {
    kernels: u64,
    kernel_ns: u64,
    copy_ns: u64,
}

impl Work {
    fn and(self, counters: &Counters) -> Self {
        Self {
            kernels: self.kernels.saturating_add(counters.kernels),
            kernel_ns: self.kernel_ns.saturating_add(counters.kernel_ns),
            copy_ns: self.copy_ns.saturating_add(counters.copy_ns),
        }
    }
}

/// Faults of a vGPU since its worker started.
#[derive(Debug, Default)]
pub(crate) struct Faults(Mutex<(u64, u64)>);

impl Faults {
    /// How many, and the Xids of the last eight, a byte each, the latest in the lowest.
    pub(crate) fn get(&self) -> (u64, u64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, xid: u8) {
        let (count, xids) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *count += 1;
        *xids = *xids << 8 | u64::from(xid);
    }
}

impl std::fmt::Debug for SessionInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "session {} of {} ({})", self.id, self.name, self.pid)
    }
}

impl SessionInfo {
    pub(crate) fn new(
        id: u64,
        [pid, claimed_pid]: [u32; 2],
        name: String,
        kind: u32,
        faults: Arc<Faults>,
    ) -> Self {
        Self {
            id,
            pid,
            claimed_pid,
            name,
            kind,
            faults,
            ..Self::default()
        }
    }

    pub(crate) fn set_fault(&self, text: String, xid: u8) {
        self.faults.add(xid);
        *self.last_fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
    }

    pub(crate) fn add_context(&self, device: &Arc<dyn Context>) {
        let mut contexts = self.contexts.lock().unwrap_or_else(PoisonError::into_inner);
        contexts.retain(|context| context.strong_count() > 0);
        contexts.push(Arc::downgrade(device));
    }

    /// Counts memory as this session's, once.
    pub(crate) fn add_physical(&self, memory: &Arc<dyn Physical>) {
        let memory = Arc::downgrade(memory);
        let mut physical = self.physical.lock().unwrap_or_else(PoisonError::into_inner);
        if physical.len() == physical.capacity() {
            physical.retain(|other| other.strong_count() > 0);
        }
        if !physical.iter().any(|other| other.ptr_eq(&memory)) {
            physical.push(memory);
        }
    }

    /// Keeps the figures of a context that is about to go.
    pub(crate) fn remember(&self, counters: Counters) {
        let mut past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        *past = past.and(&counters);
    }

    fn contexts(&self) -> Vec<Arc<dyn Context>> {
        let contexts = self.contexts.lock().unwrap_or_else(PoisonError::into_inner);
        contexts.iter().filter_map(Weak::upgrade).collect()
    }

    /// What its contexts have done.
    fn work(&self) -> Work {
        let contexts = self.contexts();
        let past = *self.past.lock().unwrap_or_else(PoisonError::into_inner);
        contexts
            .iter()
            .fold(past, |work, context| work.and(&context.counters()))
    }

    /// Bytes of frame buffer that it holds.
    fn bytes(&self) -> u64 {
        let physical: u64 = self
            .physical
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .filter_map(Weak::upgrade)
            .map(|memory| memory.bytes())
            .sum();
        self.contexts().iter().fold(physical, |bytes, context| {
            bytes.saturating_add(context.memory_used())
        })
    }

    fn status(&self) -> SessionStatus {
        SessionStatus {
            pid: self.pid,
            name: self.name.clone(),
            frame_buffer_used: self.bytes(),
            kernels: self.work().kernels,
            last_fault: self
                .last_fault
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
        }
    }
}

/// Share of time in kernels and in copies, percent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Utilisation {
    pub(crate) kernels: u32,
    pub(crate) copies: u32,
}

/// Use of the device in a period, as a whole and by process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measured {
    /// End of the period, microseconds since 1970.
    pub(crate) time_us: u64,
    pub(crate) device: Utilisation,
    pub(crate) processes: Vec<ProcessUse>,
}

#[derive(Debug)]
struct Meter {
    at: Instant,
    counters: Counters,
    /// By number of the session.
    work: HashMap<u64, Work>,
    last: Measured,
}

/// The vGPU that this worker serves.
pub(crate) struct Vgpu {
    pub(crate) config: WorkerConfig,
    pub(crate) device: Arc<dyn Device>,
    pub(crate) limits: Limits,
    pub(crate) arena: Arena,
    pub(crate) started: Instant,
    pub(crate) faults: Arc<Faults>,
    memories: Tokens<dyn Physical>,
    events: Tokens<dyn Event>,
    sessions: Mutex<Sessions>,
    meter: Mutex<Meter>,
}

#[derive(Default)]
struct Sessions {
    next: u64,
    closing: bool,
    open: BTreeMap<u64, (Arc<SessionInfo>, Arc<Session>)>,
}

impl Vgpu {
    pub(crate) fn new(config: WorkerConfig, device: Arc<dyn Device>, limits: Limits, arena: Arena) -> Self {
        let now = Instant::now();
        let meter = Mutex::new(Meter {
            at: now,
            counters: device.counters(),
            work: HashMap::new(),
            last: Measured::default(),
        });
        Self {
            config,
            device,
            limits,
            arena,
            started: now,
            faults: Arc::default(),
            memories: Tokens::default(),
            events: Tokens::default(),
            sessions: Mutex::default(),
            meter,
        }
    }

    /// The vGPU as guests see it.
    pub(crate) fn info(&self) -> VgpuInfo {
        let properties = self.device.properties();
        let mut attributes = properties.attributes.clone();
        if self.config.enable_uvm {
            for attribute in &mut attributes {
                if MANAGED_MEMORY.contains(&attribute.0) {
                    attribute.1 = 1;
                }
            }
        }
        VgpuInfo {
            name: properties.name.clone(),
            uuid: self.config.uuid.clone(),
            gpu_uuid: self.config.gpu_uuid.clone(),
            pci_bus_id: self.config.pci_bus_id.clone(),
            compute_capability: properties.compute_capability,
            memory_bytes: properties.memory_bytes,
            sm_count: properties.sm_count,
            attributes,
            vgpu_type: self.config.vgpu_type.clone(),
            driver_version: DRIVER_VERSION.into(),
        }
    }

    /// The token by which other sessions get at this memory.
    pub(crate) fn export(&self, memory: &Arc<dyn Physical>) -> Result<[u8; 16], Refusal> {
        self.memories.of(memory, self.limits.mappings)
    }

    /// The memory of a token.
    pub(crate) fn import(&self, token: &[u8; 16]) -> Option<Arc<dyn Physical>> {
        self.memories.get(token)
    }

    /// The token by which other sessions get at this event.
    pub(crate) fn export_event(&self, event: &Arc<dyn Event>) -> Result<[u8; 16], Refusal> {
        self.events.of(event, self.limits.events)
    }

    /// The event of a token.
    pub(crate) fn import_event(&self, token: &[u8; 16]) -> Option<Arc<dyn Event>> {
        self.events.get(token)
    }

    /// Enters a session; `make` gets its number. `None` when there are too many, or the worker is about to end.
    pub(crate) fn enter<T>(
        &self,
        make: impl FnOnce(u64) -> Option<(T, Arc<SessionInfo>, Arc<Session>)>,
    ) -> Option<T> {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if sessions.closing {
            return None;
        }
        sessions.next += 1;
        let id = sessions.next;
        let (made, info, session) = make(id)?;
        sessions.open.insert(id, (info, session));
        Some(made)
    }

    pub(crate) fn leave(&self, id: u64) {
        self.sessions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .open
            .remove(&id);
    }

    /// Ends all sessions and lets no new one in.
    pub(crate) fn close(&self) {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.closing = true;
        for (_, session) in sessions.open.values() {
            session.end(CudaCode::Deinitialized);
        }
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.sessions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .closing
    }

    pub(crate) fn session_count(&self) -> usize {
        self.sessions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .open
            .len()
    }

    fn sessions(&self) -> Vec<Arc<SessionInfo>> {
        self.sessions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .open
            .values()
            .map(|(info, _)| Arc::clone(info))
            .collect()
    }

    /// Guest processes with CUDA sessions, as a guest sees them.
    pub(crate) fn processes(&self) -> Vec<Process> {
        self.sessions()
            .iter()
            .filter(|session| session.kind == kind::CUDA)
            .map(|session| Process {
                pid: session.claimed_pid,
                name: session.name.clone(),
                bytes: session.bytes(),
            })
            .collect()
    }

    /// For the manager.
    pub(crate) fn status(&self) -> WorkerStatus {
        let memory = self.device.memory();
        let counters = self.device.counters();
        WorkerStatus {
            uuid: self.config.uuid.clone(),
            pid: std::process::id(),
            frame_buffer_total: memory.total,
            frame_buffer_used: memory.used,
            kernel_ns: counters.kernel_ns,
            copy_ns: counters.copy_ns,
            kernels: counters.kernels,
            copied_bytes: counters.copied_bytes,
            executors: counters.executors,
            monotonic_ns: monotonic_ns(),
            sessions: self.sessions().iter().map(|session| session.status()).collect(),
            tiers: tiers(&self.device.tiers()),
        }
    }

    /// Use of the device in the last moments. Measured when asked for, so that nothing runs while nobody asks; a caller that is
    /// the first after a while waits a tenth of a second for a figure.
    pub(crate) fn measured(&self) -> Measured {
        let mut meter = self.meter.lock().unwrap_or_else(PoisonError::into_inner);
        if meter.at.elapsed() > LONGEST_PERIOD || meter.last.time_us == 0 {
            meter.at = Instant::now();
            meter.counters = self.device.counters();
            meter.work = self
                .work()
                .into_iter()
                .map(|(session, work)| (session.id, work))
                .collect();
            std::thread::sleep(SHORTEST_PERIOD);
        }
        let elapsed = meter.at.elapsed();
        if elapsed >= SHORTEST_PERIOD {
            let (counters, work) = (self.device.counters(), self.work());
            let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            meter.last = Measured {
                time_us: u64::try_from(since_1970.as_micros()).unwrap_or(u64::MAX),
                device: utilisation(
                    Work::default().and(&meter.counters),
                    Work::default().and(&counters),
                    elapsed,
                ),
                processes: work
                    .iter()
                    .map(|(session, work)| {
                        let before = meter.work.get(&session.id).copied().unwrap_or_default();
                        let used = utilisation(before, *work, elapsed);
                        ProcessUse {
                            pid: session.claimed_pid,
                            kernels: used.kernels,
                            copies: used.copies,
                        }
                    })
                    .collect(),
            };
            meter.at = Instant::now();
            meter.counters = counters;
            meter.work = work
                .into_iter()
                .map(|(session, work)| (session.id, work))
                .collect();
        }
        meter.last.clone()
    }

    /// CUDA sessions with what each has done.
    fn work(&self) -> Vec<(Arc<SessionInfo>, Work)> {
        let cuda = |session: &Arc<SessionInfo>| session.kind == kind::CUDA;
        let sessions = self.sessions().into_iter().filter(cuda);
        sessions
            .map(|session| {
                let work = session.work();
                (session, work)
            })
            .collect()
    }
}

fn tiers(counted: &tessera_device::Tiers) -> Tiers {
    Tiers {
        native: counted.native,
        cold: counted.cold,
        option: counted.option,
        processor: counted.processor,
        contended: counted.contended,
        unprofitable: counted.unprofitable,
        impossible: counted.impossible,
        changes: counted.changes,
        compiled: counted.compiled,
        compile_ns: counted.compile_ns,
        code_bytes: counted.code_bytes,
        shared: counted.shared,
        loaded: counted.loaded,
        missed: counted.missed,
    }
}

/// NVML counts the time in which at least one kernel ran. Executors that are busy side by side count together here, at most as
/// the whole time, which is the same for one kernel at a time and for a device that is full.
fn utilisation(before: Work, after: Work, elapsed: Duration) -> Utilisation {
    let elapsed = elapsed.as_nanos().max(1);
    let percent = |ns: u64| u32::try_from((u128::from(ns) * 100 / elapsed).min(100)).unwrap_or(100);
    Utilisation {
        kernels: percent(after.kernel_ns.saturating_sub(before.kernel_ns)),
        copies: percent(after.copy_ns.saturating_sub(before.copy_ns)),
    }
}

/// `CLOCK_MONOTONIC` in nanoseconds.
pub(crate) fn monotonic_ns() -> u64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `now` is a valid timespec to write to.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanoseconds = u64::try_from(now.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utilisation_is_a_share_of_time() {
        let before = Work::default();
        let after = Work {
            kernel_ns: 50_000_000,
            copy_ns: 900_000_000,
            ..before
        };
        let found = utilisation(before, after, Duration::from_millis(200));
        assert_eq!(
            found,
            Utilisation {
                kernels: 25,
                copies: 100
            }
        );
        assert_eq!(utilisation(after, before, Duration::ZERO), Utilisation::default());
    }
}
