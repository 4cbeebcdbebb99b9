//! A running kernel: its blocks, taken by executors one at a time.
//!
//! ```text
//!   not started ── claim (atomic counter) ──▶ runs on an executor ── Done ──▶ counted
//!                                              │       ▲
//!                                     quantum over     │ claim
//!                                              ▼       │
//!                                            parked ───┘        waits at the grid barrier until all others do
//! ```
//!
//! Executors alternate between fresh and parked blocks, so that all blocks that are resident make progress side by side; at most
//! `most_resident` are, which bounds memory. Blocks of a cluster start together. Blocks start in order of their number: one that waits
//! for an earlier one (a look-back scan) is never alone.
//!
//! An executor claims several fresh blocks at once where they are short, runs them one after the other in the memory of the first, and
//! reads the clock and touches what executors share once for all of them. What it does not get to it gives back, and that is
//! claimed before anything newer. Others are called before the first block runs, when the last launch of the kernel tells that
//! this one is long enough; else after a short run.

mod claims;

use claims::{Claim, Claimed, Parked};

use crate::checking;
use crate::context::ContextCore;
use crate::counters::{Spent, now_ns};
use crate::executor::Local;
use crate::holdings::Kind;
use crate::module::SoftFunction;
use crate::runtime::{Hooks, device_fault};
use crate::task::QUANTUM;
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tessera_device::{DeviceError, DevicePtr, Dim3, Fault, FaultKind, Launch};
use tessera_engine::check::Origin;
use tessera_engine::{Cta, Env, Exit, Geometry, LaunchError, Resources, Why};
use tessera_mmu::PAGE_BYTES;

/// Operations of the first run of the first block: a look at how long blocks take, about 20 µs.
const FIRST_FUEL: u64 = 1_500;
/// Operations that the blocks of a claim may run before the last one yields: about a millisecond.
const FUEL: u64 = 65_536;
/// Other executors are called for a kernel that has at least this much left.
const WIDE_NS: u64 = 20_000;
/// Memory for the state of the resident blocks of a kernel, bytes.
const STATE_BYTES: u64 = 256 << 20;
/// The same for a cooperative kernel, all of whose blocks are resident.
const COOPERATIVE_STATE_BYTES: u64 = 1 << 30;
/// Resident blocks that a multiprocessor can have on any board.
const BLOCKS_PER_SM: u64 = 32;

/// How a run of a claim ended, with the block that it ended at.
struct Ended {
    number: u64,
    cta: Cta,
    exit: Exit,
    /// Blocks that were done before, that one not included.
    done: u64,
}

/// What a kernel needs until its last block is done.
struct Held {
    /// Keeps the module, whose variables the kernel uses.
    _function: Arc<SoftFunction>,
    workspace: Option<DevicePtr>,
}

/// A launch that runs.
pub(crate) struct Kernel {
    launch: Arc<tessera_engine::Launch>,
    context: Arc<ContextCore>,
    cooperative: bool,
    held: Mutex<Option<Held>>,
    total: u64,
    most_resident: u64,
    /// Blocks of a cluster.
    cluster: u64,
    /// Clusters begun.
    next: AtomicU64,
    resident: AtomicU64,
    done: AtomicU64,
    /// [`Parked::count`]
    waiting: AtomicU64,
    parked: Mutex<Parked>,
    /// The first block has begun.
    begun: AtomicBool,
    wide: AtomicBool,
    threads: u64,
    /// Nanoseconds of a block when blocks were last claimed; 0 when that is not known.
    block_ns: AtomicU64,
    /// Blocks are claimed one by one: some wait for others.
    singly: AtomicBool,
    /// See [`SoftFunction::pace`].
    pace: Arc<AtomicU64>,
}

fn invalid(text: String) -> DeviceError {
    DeviceError::InvalidValue(text)
}

fn check_shape(grid: Dim3, block: Dim3) -> Result<(), DeviceError> {
    // Limits of every compute capability from 5.0 on.
    let grid_fits = grid.x < 1 << 31 && grid.y < 1 << 16 && grid.z < 1 << 16;
    let block_fits = block.x <= 1024 && block.y <= 1024 && block.z <= 64;
    if grid.volume() == Some(0) || !grid_fits {
        return Err(invalid(format!(
            "grid of {} x {} x {} blocks",
            grid.x, grid.y, grid.z
        )));
    }
    if block
        .volume()
        .is_none_or(|threads| threads == 0 || threads > 1024)
        || !block_fits
    {
        return Err(invalid(format!(
            "block of {} x {} x {} threads",
            block.x, block.y, block.z
        )));
    }
    Ok(())
}

/// Boards before compute capability 9.0 have no clusters, all others such of eight blocks.
fn check_cluster(context: &ContextCore, launch: &Launch) -> Result<(), DeviceError> {
    let blocks = launch
        .cluster
        .map(|d| d.max(1))
        .iter()
        .fold(1u32, |all, d| all.saturating_mul(*d));
    if blocks > 1 && context.shared.compute_capability.0 < 9 {
        let text = "clusters on a device without them";
        return Err(DeviceError::NotSupported(text.to_owned()));
    }
    Ok(())
}

pub(crate) fn launch_error(error: &LaunchError) -> DeviceError {
    match error {
        LaunchError::SharedSize { .. } | LaunchError::State(_) => {
            DeviceError::LaunchOutOfResources(error.to_string())
        }
        _ => invalid(error.to_string()),
    }
}

fn own_function(launch: &Launch, context: &ContextCore) -> Result<Arc<SoftFunction>, DeviceError> {
    let function: Arc<SoftFunction> = Arc::clone(&launch.function)
        .as_any()
        .downcast()
        .map_err(|_| invalid("a kernel of another device".to_owned()))?;
    if function.context_id() != context.id {
        return Err(invalid("a kernel of another context".to_owned()));
    }
    Ok(function)
}

/// Bytes of state of one block, about.
fn state_bytes(function: &SoftFunction, threads: u64, dynamic_shared: u32, stack: u32) -> u64 {
    let resources = function.program().resources();
    let stack = if resources.stack { stack } else { 0 };
    let thread = u64::from(resources.registers) * 4 + u64::from(resources.local) + u64::from(stack);
    threads * thread + u64::from(resources.static_shared) + u64::from(dynamic_shared) + 4096
}

/// How kernels of a context are carried out.
fn execution(context: &ContextCore) -> tessera_engine::Options {
    tessera_engine::Options {
        check: context.checker.is_some() || context.shared.execution.check,
        ..context.shared.execution
    }
}

fn check_shared(context: &ContextCore, resources: &Resources, launch: &Launch) -> Result<(), DeviceError> {
    let most = context.shared.most_shared_bytes;
    let shared = u64::from(resources.static_shared) + u64::from(launch.dynamic_shared_bytes);
    if shared > u64::from(most) {
        let text = format!("{shared} bytes of shared memory; a block has at most {most}");
        return Err(DeviceError::LaunchOutOfResources(text));
    }
    Ok(())
}

/// Limits of what a kernel uses cannot be changed any more.
fn note_use(context: &ContextCore, resources: &Resources) {
    if resources.prints {
        context.printed.store(true, Ordering::Relaxed);
    }
    if resources.allocates {
        let mut heap = context.heap.lock().unwrap_or_else(PoisonError::into_inner);
        heap.touch();
    }
}

impl Kernel {
    /// Checks a launch.
    pub(crate) fn new(context: &Arc<ContextCore>, launch: &Launch) -> Result<Self, DeviceError> {
        let function = own_function(launch, context)?;
        check_shape(launch.grid, launch.block)?;
        check_cluster(context, launch)?;
        let total = launch.grid.volume().unwrap_or(u64::MAX);
        let threads = launch.block.volume().unwrap_or(u64::MAX);
        check_shared(context, function.program().resources(), launch)?;
        let stack = u32::try_from(context.stack.load(Ordering::Relaxed)).unwrap_or(u32::MAX);
        let state = state_bytes(&function, threads, launch.dynamic_shared_bytes, stack);
        let executors = u64::from(context.shared.executors);
        let mut most_resident = (STATE_BYTES / state).clamp(executors, executors.max(4096));
        let mut workspace = None;
        if launch.cooperative {
            let fits = (u64::from(context.shared.sms) * BLOCKS_PER_SM).min(COOPERATIVE_STATE_BYTES / state);
            if total > fits {
                let text = format!("{total} blocks of a cooperative launch; {fits} can be resident");
                return Err(DeviceError::LaunchOutOfResources(text));
            }
            most_resident = total;
            workspace = Some(grid_workspace(context)?);
        }
        let geometry = Geometry {
            grid: [launch.grid.x, launch.grid.y, launch.grid.z],
            block: [launch.block.x, launch.block.y, launch.block.z],
            dynamic_shared: launch.dynamic_shared_bytes,
            grid_id: context.shared.next_grid_id(),
            grid_workspace: workspace.unwrap_or(0),
            stack,
            cluster: launch.cluster,
        };
        let execution = execution(context);
        let bound =
            tessera_engine::Launch::with_options(function.program(), geometry, &launch.parameters, execution);
        let bound = match bound {
            Ok(bound) => bound,
            Err(error) => {
                free_workspace(context, workspace);
                return Err(launch_error(&error));
            }
        };
        note_use(context, function.program().resources());
        let cluster = u64::from(bound.geometry().cluster_blocks());
        let pace = Arc::clone(function.pace());
        Ok(Self {
            launch: bound,
            context: Arc::clone(context),
            cooperative: launch.cooperative,
            held: Mutex::new(Some(Held {
                _function: function,
                workspace,
            })),
            total,
            most_resident: most_resident.max(cluster),
            cluster,
            next: AtomicU64::new(0),
            resident: AtomicU64::new(0),
            done: AtomicU64::new(0),
            waiting: AtomicU64::new(0),
            parked: Mutex::default(),
            begun: AtomicBool::new(false),
            wide: AtomicBool::new(false),
            threads,
            block_ns: AtomicU64::new(pace.load(Ordering::Relaxed).saturating_mul(threads) / 1024),
            singly: AtomicBool::new(launch.cooperative || cluster > 1),
            pace,
        })
    }

    pub(crate) fn has_work(&self) -> bool {
        self.waiting.load(Ordering::Acquire) > 0 || self.can_start()
    }

    pub(crate) fn is_wide(&self) -> bool {
        self.wide.load(Ordering::Relaxed) && self.has_work()
    }

    /// Lets go of module and workspace; no block runs any more. Before the end of the launch is told, so that whoever hears of it finds
    /// the memory free.
    pub(crate) fn release(&self) {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(held) = held {
            free_workspace(&self.context, held.workspace);
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.done.load(Ordering::Acquire) == self.total
    }

    /// Between two quanta, outside of any slot: has a kernel that proved hot compiled.
    pub(crate) fn reconsider(&self) {
        self.launch.reconsider();
    }

    /// Runs blocks for a quantum. The caller has entered its slot.
    pub(crate) fn run(
        &self,
        context: &ContextCore,
        local: &mut Local,
        started: u64,
        spent: &mut Spent,
        call_others: &mut dyn FnMut(),
    ) {
        let quantum = u64::try_from(QUANTUM.as_nanos()).unwrap_or(u64::MAX);
        let mut progress = false;
        let mut now = started;
        while let Some(claim) = self.claim(local) {
            let fresh = matches!(claim, Claim::Fresh(_));
            let Ended {
                number,
                cta,
                exit,
                done,
            } = self.run_claim(context, local, claim, call_others);
            progress |= done > 0;
            let whole = done + u64::from(exit == Exit::Done);
            context.shared.slots.slot(local.slot).count(whole);
            let before = std::mem::replace(&mut now, now_ns());
            let yielded = match exit {
                Exit::Done => {
                    local.pool.recycle(cta);
                    self.count_done(whole);
                    if fresh {
                        self.note_time(now.saturating_sub(before) / whole);
                    }
                    progress = true;
                    None
                }
                Exit::Yielded(Why::GridBarrier) if !self.cooperative => {
                    local.pool.recycle(cta);
                    context.poison(self.no_grid_barrier());
                    return;
                }
                Exit::Yielded(why) => {
                    self.count_finished(done);
                    // Not where it only had what others of its claim left.
                    if why == Why::Fuel && done == 0 {
                        self.note_time(quantum);
                    }
                    if !matches!(why, Why::Fuel | Why::Stop) {
                        self.singly.store(true, Ordering::Relaxed);
                    }
                    self.park(number, cta, why);
                    progress |= matches!(why, Why::Fuel | Why::GridBarrier);
                    Some(why)
                }
                Exit::Fault(fault) => {
                    local.pool.recycle(cta);
                    context.poison(device_fault(&fault));
                    return;
                }
            };
            if matches!(yielded, Some(Why::Fuel | Why::Stop)) {
                spent.preemptions += 1;
                break;
            }
            // Whoever finds the kernel hot leaves its slot to compile it.
            let over = self.launch.is_due() || now.saturating_sub(started) > quantum;
            if over || context.is_dead() || yielded == Some(Why::Idle) {
                break;
            }
        }
        local.idle_rounds = if progress {
            0
        } else {
            local.idle_rounds.saturating_add(1)
        };
    }

    /// Keeps how long a block took.
    fn note_time(&self, block_ns: u64) {
        let block_ns = block_ns.max(1);
        if self.block_ns.swap(block_ns, Ordering::Relaxed) != block_ns {
            let pace = block_ns.saturating_mul(1024) / self.threads;
            self.pace.store(pace.max(1), Ordering::Relaxed);
        }
    }

    /// Runs what was claimed until it is done or a block stops short of its end; gives the blocks after that one back.
    fn run_claim(
        &self,
        context: &ContextCore,
        local: &mut Local,
        claim: Claim,
        call_others: &mut dyn FnMut(),
    ) -> Ended {
        let (mut cta, range) = match claim {
            Claim::Parked(number, cta) => (cta, number..number + 1),
            Claim::Fresh(range) => {
                let origin = self.launch.geometry().cluster_origin(range.start);
                let cta = Cta::new(&self.launch, origin, &mut local.pool);
                (cta, range)
            }
        };
        let claimed = Claimed {
            kernel: self,
            number: Cell::new(range.start),
            end: range.end,
        };
        let hooks = Hooks(context);
        let sms = context.shared.sms.max(1);
        let mut env = Env {
            memory: &hooks,
            runtime: &hooks,
            stop: context.shared.slots.slot(local.slot).stop(),
            fuel: FUEL,
            sm: u32::try_from(range.start % u64::from(sms)).unwrap_or(0),
            sms,
            next: Some(&claimed),
        };
        let exit = if self.begun.load(Ordering::Relaxed) {
            cta.run(&mut local.worker, &env)
        } else {
            self.begin(context, local, &mut cta, &mut env, call_others)
        };
        let number = claimed.number.get();
        if number + 1 < range.end {
            self.give_back(number + 1..range.end);
        }
        Ended {
            number,
            cta,
            exit,
            done: number - range.start,
        }
    }

    /// Runs the first block. Others are called now if it is known that the launch takes long; else the first run of the block is short,
    /// and tells.
    fn begin(
        &self,
        context: &ContextCore,
        local: &mut Local,
        cta: &mut Cta,
        env: &mut Env<'_>,
        call_others: &mut dyn FnMut(),
    ) -> Exit {
        if self.begun.swap(true, Ordering::Relaxed) || self.total == 1 {
            return cta.run(&mut local.worker, env);
        }
        let mut widen = || {
            self.wide.store(true, Ordering::Relaxed);
            call_others();
        };
        let known = self.block_ns.load(Ordering::Relaxed);
        if known != 0 {
            if known.saturating_mul(self.total - 1) > WIDE_NS {
                widen();
            }
            return cta.run(&mut local.worker, env);
        }
        let before = now_ns();
        env.fuel = FIRST_FUEL;
        let exit = cta.run(&mut local.worker, env);
        env.fuel = FUEL;
        let took = now_ns().saturating_sub(before);
        let long = match exit {
            Exit::Done => took.saturating_mul(self.total - 1) > WIDE_NS,
            Exit::Yielded(_) => true,
            Exit::Fault(_) => false,
        };
        if long {
            widen();
        }
        if exit != Exit::Yielded(Why::Fuel) || context.is_dead() {
            return exit;
        }
        cta.run(&mut local.worker, env)
    }

    fn no_grid_barrier(&self) -> Fault {
        Fault {
            kind: FaultKind::LaunchFailed,
            place: format!("kernel {}", self.launch.program().name()),
            detail: "a grid-wide barrier in a launch that is not cooperative".to_owned(),
        }
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        self.release();
    }
}

/// The memory through which the blocks of a cooperative launch meet: its first word is its size, all else is zero.
fn grid_workspace(context: &ContextCore) -> Result<DevicePtr, DeviceError> {
    let base = context.alloc(PAGE_BYTES, PAGE_BYTES, Kind::Internal)?;
    if let Some(checker) = &context.checker {
        checker.allocated(checking::unseen(base, PAGE_BYTES, Origin::Device, None));
    }
    let size = u32::try_from(PAGE_BYTES).unwrap_or(u32::MAX).to_le_bytes();
    match context.space.write_bytes(base, &size) {
        Ok(()) => Ok(base),
        Err(fault) => {
            free_workspace(context, Some(base));
            Err(invalid(fault.to_string()))
        }
    }
}

fn free_workspace(context: &ContextCore, workspace: Option<DevicePtr>) {
    if let Some(base) = workspace
        && let Err(error) = context.remove(base, Kind::Internal)
    {
        // The context was closed meanwhile and has given everything back.
        tracing::trace!(%error, "workspace of a cooperative launch is gone already");
    }
}
