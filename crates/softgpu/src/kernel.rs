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
//! `most_resident` are, which bounds memory. Blocks of a cluster start together. Blocks start in order of their number: one that waits for an earlier one (a look-back
//! scan) is never alone.

use crate::checking;
use crate::context::ContextCore;
use crate::counters::{Spent, now_ns};
use crate::executor::Local;
use crate::holdings::Kind;
use crate::module::SoftFunction;
use crate::runtime::{Hooks, device_fault};
use crate::task::QUANTUM;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tessera_device::{DeviceError, DevicePtr, Dim3, Fault, FaultKind, Launch};
use tessera_engine::check::Origin;
use tessera_engine::{Cta, Env, Exit, Geometry, LaunchError, Why};
use tessera_mmu::PAGE_BYTES;

/// Operations of the first run of the first block: a look at how long blocks take, about 20 µs.
const FIRST_FUEL: u64 = 1_500;
/// Operations that a block may run before it yields: about a millisecond.
const FUEL: u64 = 65_536;
/// Other executors are called for a kernel that has at least this much left.
const WIDE_NS: u64 = 20_000;
/// Memory for the state of the resident blocks of a kernel, bytes.
const STATE_BYTES: u64 = 256 << 20;
/// The same for a cooperative kernel, all of whose blocks are resident.
const COOPERATIVE_STATE_BYTES: u64 = 1 << 30;
/// Resident blocks that a multiprocessor can have on any board.
const BLOCKS_PER_SM: u64 = 32;

#[derive(Default)]
struct Parked {
    ready: VecDeque<(u64, Cta)>,
    at_barrier: Vec<(u64, Cta)>,
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
    /// Length of `parked.ready`.
    waiting: AtomicU64,
    parked: Mutex<Parked>,
    /// It is known how long its blocks take.
    measured: AtomicBool,
    wide: AtomicBool,
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

impl Kernel {
    /// Checks a launch.
    pub(crate) fn new(context: &Arc<ContextCore>, launch: &Launch) -> Result<Self, DeviceError> {
        let function = own_function(launch, context)?;
        check_shape(launch.grid, launch.block)?;
        check_cluster(context, launch)?;
        let total = launch.grid.volume().unwrap_or(u64::MAX);
        let threads = launch.block.volume().unwrap_or(u64::MAX);
        let most_shared = context.shared.most_shared_bytes;
        let shared =
            u64::from(function.program().resources().static_shared) + u64::from(launch.dynamic_shared_bytes);
        if shared > u64::from(most_shared) {
            let text = format!("{shared} bytes of shared memory; a block has at most {most_shared}");
            return Err(DeviceError::LaunchOutOfResources(text));
        }
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
        let execution = tessera_engine::Options {
            check: context.checker.is_some() || context.shared.execution.check,
            ..context.shared.execution
        };
        let bound =
            tessera_engine::Launch::with_options(function.program(), geometry, &launch.parameters, execution);
        let bound = match bound {
            Ok(bound) => bound,
            Err(error) => {
                free_workspace(context, workspace);
                return Err(launch_error(&error));
            }
        };
        let cluster = u64::from(bound.geometry().cluster_blocks());
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
            measured: AtomicBool::new(false),
            wide: AtomicBool::new(false),
        })
    }

    fn parked(&self) -> MutexGuard<'_, Parked> {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn can_start(&self) -> bool {
        self.next.load(Ordering::Relaxed).saturating_mul(self.cluster) < self.total
            && self.resident.load(Ordering::Relaxed) + self.cluster <= self.most_resident
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

    fn claim(&self, local: &mut Local) -> Option<(u64, Cta)> {
        local.parked_first = !local.parked_first;
        if local.parked_first {
            self.claim_parked().or_else(|| self.claim_fresh(local))
        } else {
            self.claim_fresh(local).or_else(|| self.claim_parked())
        }
    }

    fn claim_parked(&self) -> Option<(u64, Cta)> {
        if self.waiting.load(Ordering::Acquire) == 0 {
            return None;
        }
        let mut parked = self.parked();
        let claimed = parked.ready.pop_front();
        self.waiting.store(parked.ready.len() as u64, Ordering::Release);
        claimed
    }

    fn claim_fresh(&self, local: &mut Local) -> Option<(u64, Cta)> {
        let (total, size) = (self.total / self.cluster, self.cluster);
        if self.next.load(Ordering::Relaxed) >= total {
            return None;
        }
        if self.resident.fetch_add(size, Ordering::Relaxed) + size > self.most_resident {
            self.resident.fetch_sub(size, Ordering::Relaxed);
            return None;
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        if number >= total {
            self.resident.fetch_sub(size, Ordering::Relaxed);
            return None;
        }
        let origin = self.launch.geometry().cluster_origin(number);
        if size == 1 {
            return Some((number, Cta::new(&self.launch, origin, &mut local.pool)));
        }
        // The others of the cluster are ready too: any executor takes them on.
        let mut blocks = (number * size..).zip(Cta::cluster(&self.launch, origin, &mut local.pool));
        let first = blocks.next();
        let mut parked = self.parked();
        parked.ready.extend(blocks);
        self.waiting.store(parked.ready.len() as u64, Ordering::Release);
        first
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
        while let Some((number, mut cta)) = self.claim(local) {
            let exit = self.run_block(context, local, number, &mut cta, call_others);
            let yielded = match exit {
                Exit::Done => {
                    local.pool.recycle(cta);
                    self.count_done();
                    progress = true;
                    None
                }
                Exit::Yielded(Why::GridBarrier) if !self.cooperative => {
                    local.pool.recycle(cta);
                    context.poison(self.no_grid_barrier());
                    return;
                }
                Exit::Yielded(why) => {
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
            let over = self.launch.is_due() || now_ns().saturating_sub(started) > quantum;
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

    /// Runs one block until it is done or has used its fuel. The first time, a short run shows whether others should help.
    fn run_block(
        &self,
        context: &ContextCore,
        local: &mut Local,
        number: u64,
        cta: &mut Cta,
        call_others: &mut dyn FnMut(),
    ) -> Exit {
        let hooks = Hooks(context);
        let sms = context.shared.sms.max(1);
        let mut env = Env {
            memory: &hooks,
            runtime: &hooks,
            stop: context.shared.slots.slot(local.slot).stop(),
            fuel: FUEL,
            sm: u32::try_from(number % u64::from(sms)).unwrap_or(0),
            sms,
            next: None,
        };
        if self.total == 1 || self.measured.swap(true, Ordering::Relaxed) {
            return cta.run(&mut local.worker, &env);
        }
        let before = now_ns();
        env.fuel = FIRST_FUEL;
        let exit = cta.run(&mut local.worker, &env);
        let took = now_ns().saturating_sub(before);
        let long = match exit {
            Exit::Done => took.saturating_mul(self.total - 1) > WIDE_NS,
            Exit::Yielded(_) => true,
            Exit::Fault(_) => false,
        };
        if long {
            self.wide.store(true, Ordering::Relaxed);
            call_others();
        }
        if exit != Exit::Yielded(Why::Fuel) || context.is_dead() {
            return exit;
        }
        env.fuel = FUEL;
        cta.run(&mut local.worker, &env)
    }

    fn no_grid_barrier(&self) -> Fault {
        Fault {
            kind: FaultKind::LaunchFailed,
            place: format!("kernel {}", self.launch.program().name()),
            detail: "a grid-wide barrier in a launch that is not cooperative".to_owned(),
        }
    }

    fn park(&self, number: u64, cta: Cta, why: Why) {
        let mut parked = self.parked();
        if why == Why::GridBarrier {
            parked.at_barrier.push((number, cta));
            self.open_barrier(&mut parked);
        } else {
            parked.ready.push_back((number, cta));
        }
        self.waiting.store(parked.ready.len() as u64, Ordering::Release);
    }

    /// Lets the blocks at the grid barrier go on when nobody else can come.
    fn open_barrier(&self, parked: &mut Parked) {
        let here = parked.at_barrier.len() as u64;
        if here > 0 && here + self.done.load(Ordering::Acquire) == self.total {
            parked.ready.extend(parked.at_barrier.drain(..));
        }
    }

    fn count_done(&self) {
        self.resident.fetch_sub(1, Ordering::Relaxed);
        if !self.cooperative {
            self.done.fetch_add(1, Ordering::AcqRel);
            return;
        }
        let mut parked = self.parked();
        self.done.fetch_add(1, Ordering::AcqRel);
        self.open_barrier(&mut parked);
        self.waiting.store(parked.ready.len() as u64, Ordering::Release);
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
