//! The device: options, what its parts share, its executors.

use crate::bar1::SoftBar1;
use crate::checking::Checking;
use crate::context::{ContextCore, SoftContext};
use crate::counters::CounterCell;
use crate::executor;
use crate::memory::Memory;
use crate::options::Options;
use crate::physical::{Booked, SoftPhysical};
use crate::properties;
use crate::quiesce::Slots;
use crate::scheduler::Scheduler;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;
use tessera_device::{
    Bar1, Context, ContextOptions, Counters, Device, DeviceError, MemoryUsage, Physical, Properties, Tiers,
};
use tessera_engine::{CodeCache, Tier};
use tessera_mmu::PAGE_BYTES;

/// Longest time that an executor looks for work before it sleeps, by processors. Whoever has work for it needs one too, and so does
/// whoever waits for the result.
fn most_spin(processors: usize) -> Duration {
    match processors {
        0 | 1 => Duration::ZERO,
        2 | 3 => Duration::from_micros(5),
        _ => Duration::from_micros(50),
    }
}

/// The variable that chooses the tier where the options leave it open: `auto`, `interpreter` or `native`.
pub const TIER_VARIABLE: &str = "TESSERA_TIER";

fn tier_of_environment() -> Result<Tier, DeviceError> {
    match std::env::var(TIER_VARIABLE) {
        Ok(name) => name
            .parse()
            .map_err(|error| DeviceError::InvalidValue(format!("{TIER_VARIABLE}: {error}"))),
        Err(_) => Ok(Tier::Auto),
    }
}

/// The variable that leaves kernels out: with `skip`, launches are checked and completed, and nothing is executed. For the scoring of
/// test suites, which want to know how many of their tests need kernels.
pub const KERNELS_VARIABLE: &str = "TESSERA_KERNELS";

fn skips_kernels() -> Result<bool, DeviceError> {
    match std::env::var(KERNELS_VARIABLE).as_deref() {
        Ok("skip") => Ok(true),
        Ok("run") | Err(_) => Ok(false),
        Ok(other) => Err(DeviceError::InvalidValue(format!(
            "{KERNELS_VARIABLE}: {other:?} is neither run nor skip"
        ))),
    }
}

/// What contexts, streams and executors share.
pub(crate) struct Shared {
    pub(crate) scheduler: Scheduler,
    pub(crate) memory: Memory,
    /// Frame buffer that no context owns.
    pub(crate) physical: Booked,
    pub(crate) slots: Arc<Slots>,
    /// Held by the one submitting thread that may translate addresses at present.
    pub(crate) submitter: Mutex<()>,
    pub(crate) counters: CounterCell,
    pub(crate) executors: u32,
    pub(crate) execution: tessera_engine::Options,
    /// Launches are completed without being executed ([`KERNELS_VARIABLE`]).
    pub(crate) skip_kernels: bool,
    /// Machine code by content, for all contexts.
    pub(crate) code: Arc<CodeCache>,
    pub(crate) sms: u32,
    pub(crate) compute_capability: (u32, u32),
    /// Most shared memory of a block, bytes.
    pub(crate) most_shared_bytes: u32,
    pub(crate) checking: Option<Checking>,
    contexts: Mutex<Vec<Weak<ContextCore>>>,
    grids: AtomicU64,
}

impl Shared {
    /// Slot of the thread that holds `submitter`: the one after those of the executors.
    pub(crate) fn submitter_slot(&self) -> usize {
        self.executors as usize
    }

    /// `%gridid` of the next launch.
    pub(crate) fn next_grid_id(&self) -> u64 {
        self.grids.fetch_add(1, Ordering::Relaxed)
    }

    /// Has an executor scrub what was given back, where that is not done yet.
    pub(crate) fn tidy(&self) {
        if self.memory.has_retired() {
            self.scheduler.call_for_chore();
        }
    }

    pub(crate) fn register(&self, context: &Arc<ContextCore>) {
        let mut contexts = self.contexts.lock().unwrap_or_else(PoisonError::into_inner);
        contexts.retain(|context| context.strong_count() > 0);
        contexts.push(Arc::downgrade(context));
    }
}

/// Owns the executors: they end when the device and all its contexts are gone.
pub(crate) struct Core {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Core {
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        self.shared.scheduler.shut_down();
        self.shared.slots.stop_all();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("an executor had panicked outside of a task");
            }
        }
        self.shared.scheduler.clear();
    }
}

/// The software GPU.
pub struct SoftGpu {
    core: Arc<Core>,
    properties: Properties,
}

impl SoftGpu {
    /// Opens a device: reserves its frame buffer, starts its executors.
    ///
    /// # Errors
    /// A frame buffer that is no multiple of 4 KiB or that the host cannot map; a compute capability that is not known.
    pub fn open(options: &Options) -> Result<Self, DeviceError> {
        if options.memory_bytes == 0 || !options.memory_bytes.is_multiple_of(PAGE_BYTES) {
            let text = format!(
                "frame buffer of {} bytes, not a multiple of 4 KiB",
                options.memory_bytes
            );
            return Err(DeviceError::InvalidValue(text));
        }
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let executors = options
            .executors
            .unwrap_or_else(|| u32::try_from(processors).unwrap_or(u32::MAX))
            .clamp(1, 1024);
        let checking = match &options.check {
            Some(checking) => Some(checking.clone()),
            None => Checking::from_environment().map_err(DeviceError::InvalidValue)?,
        };
        let tier = match options.execution.tier {
            Tier::Auto => tier_of_environment()?,
            tier => tier,
        };
        let (properties, limits) = properties::properties(options, executors)?;
        let slots = Arc::new(Slots::new(executors as usize + 1));
        let shared = Arc::new(Shared {
            scheduler: Scheduler::new(most_spin(processors)),
            memory: Memory::new(options.memory_bytes, Arc::clone(&slots))?,
            physical: Booked::default(),
            slots,
            submitter: Mutex::new(()),
            counters: CounterCell::default(),
            executors,
            execution: tessera_engine::Options {
                tier,
                ..options.execution
            },
            skip_kernels: skips_kernels()?,
            code: Arc::new(match &options.code {
                Some(file) => CodeCache::with_store(Box::new(Arc::clone(file))),
                None => CodeCache::default(),
            }),
            sms: properties.sm_count,
            compute_capability: properties.compute_capability,
            most_shared_bytes: limits.shared_per_block_optin,
            checking,
            contexts: Mutex::default(),
            grids: AtomicU64::new(1),
        });
        let mut core = Core {
            shared,
            threads: Vec::new(),
        };
        for slot in 0..executors as usize {
            let shared = Arc::clone(&core.shared);
            let thread = std::thread::Builder::new()
                .name(format!("executor-{slot}"))
                .spawn(move || executor::work(&shared, slot))
                .map_err(|source| DeviceError::Os {
                    what: "start of an executor thread",
                    source,
                })?;
            core.threads.push(thread);
        }
        Ok(Self {
            core: Arc::new(core),
            properties,
        })
    }

    /// How many blocks of kernels each executor has run to their end.
    #[must_use]
    pub fn blocks_by_executor(&self) -> Vec<u64> {
        let shared = &self.core.shared;
        (0..shared.executors as usize)
            .map(|slot| shared.slots.slot(slot).blocks())
            .collect()
    }

    /// Compares the ledger of the frame buffer from both ends: free, used and retired pages make the whole, and what contexts hold
    /// makes what is used. Exact while nobody allocates or frees at the same time.
    ///
    /// # Errors
    /// What disagrees, with the figures.
    pub fn check_ledger(&self) -> Result<(), String> {
        let shared = &self.core.shared;
        let audit = shared.memory.audit();
        if audit.free + audit.used + audit.retired != audit.total {
            return Err(format!(
                "free, used and retired pages are not the whole frame buffer: {audit:?}"
            ));
        }
        let contexts = shared.contexts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sum = shared.physical.bytes();
        for context in contexts.iter().filter_map(Weak::upgrade) {
            let (booked, counted) = context.holdings.used();
            if booked != counted {
                return Err(format!(
                    "context {} has {counted} bytes and books {booked}",
                    context.id
                ));
            }
            sum += counted;
        }
        if sum == audit.used {
            Ok(())
        } else {
            Err(format!(
                "contexts and physical memory hold {sum} bytes, the device counts {}",
                audit.used
            ))
        }
    }
}

impl Device for SoftGpu {
    fn properties(&self) -> &Properties {
        &self.properties
    }

    fn memory(&self) -> MemoryUsage {
        let audit = self.core.shared.memory.audit();
        MemoryUsage {
            total: audit.total,
            used: audit.used,
        }
    }

    fn counters(&self) -> Counters {
        self.core.shared.counters.read(self.core.shared.executors)
    }

    fn tiers(&self) -> Tiers {
        let tiering = self.core.shared.code.tiering();
        Tiers {
            native: tiering.native,
            cold: tiering.cold,
            option: tiering.option,
            processor: tiering.processor,
            contended: tiering.contended,
            unprofitable: tiering.unprofitable,
            impossible: tiering.impossible,
            changes: tiering.changes,
            compiled: tiering.compiled,
            compile_ns: tiering.compile_ns,
            code_bytes: tiering.code_bytes,
            shared: tiering.shared,
            loaded: tiering.loaded,
            missed: tiering.missed,
        }
    }

    fn create_context(&self, options: ContextOptions) -> Result<Arc<dyn Context>, DeviceError> {
        Ok(Arc::new(SoftContext::new(Arc::clone(&self.core), options)?))
    }

    fn create_physical(&self, bytes: u64) -> Result<Arc<dyn Physical>, DeviceError> {
        Ok(SoftPhysical::new(self.core.shared(), bytes)?)
    }

    fn open_bar1(&self) -> Result<Option<Arc<dyn Bar1>>, DeviceError> {
        let shared = self.core.shared();
        // The checks must see every copy.
        if shared.checking.is_some() {
            return Ok(None);
        }
        Ok(Some(Arc::new(SoftBar1::new(shared.memory.file().bytes())?)))
    }
}
