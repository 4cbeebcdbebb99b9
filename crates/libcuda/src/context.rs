//! Contexts: creation, destruction, the calls that concern the current one.
//!
//! ```text
//!   created ──▶ alive ──fault in a kernel──▶ at fault ──a call waits or asks──▶ sticky: every call answers the fault's code
//!                 │                              │                                  │
//!                 └────────── destroyed ◀────────┴──────────────────────────────────┘
//! ```
//!
//! A thread that still has a destroyed context current gets CONTEXT_IS_DESTROYED. Work that is only queued does not hear of a fault that
//! nobody was told of yet, however soon the kernel ended: a board needs longer for a fault than a program for the calls behind a launch,
//! and programs count on that. It hears of it when its queue would be full, as where the vendor's driver looks before it waits for room.
//!
//! Invariant: whatever a context owns (streams, events, modules, functions, ranges) is out of every table when it is destroyed.

use crate::code::{Answer, Code};
use crate::coredump;
use crate::current;
use crate::device::device;
use crate::green::Green;
use crate::memop;
use crate::peer::Link;
use crate::printf;
use crate::ranges::{Range, RangeKind};
use crate::resource::Processors;
use crate::state::{self, Driver};
use crate::stream::Stream;
use crate::types::{CUctxCreateParams, CUexecAffinityParam, Caller, Handle};
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;
use tessera_channel::Completion;
use tessera_wire::AddressList;
use tessera_wire::messages::{ContextCreate, ContextDestroy, ContextSetLimit, ContextWaits, HostFree, Ping};

/// `CU_CTX_*` flags that `cuCtxCreate` takes: scheduling, host mapping, local memory, core dumps, memory operations.
const FLAGS_KNOWN: u32 = 0xff;
const FLAG_SCHEDULE_MASK: u32 = 0x07;
/// `CU_CTX_MAP_HOST`: has been without effect since unified addressing and is always set.
const FLAG_MAP_HOST: u32 = 0x08;

/// A completion record that is given back when its object is gone.
#[derive(Debug)]
pub(crate) struct Record(pub(crate) Completion);

impl Record {
    pub(crate) fn allocate(driver: &Driver) -> Answer<Self> {
        driver
            .session
            .records()
            .allocate()
            .map(Self)
            .map_err(|_| Code::OUT_OF_MEMORY)
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if let Ok(driver) = state::driver() {
            driver.session.records().release(self.0);
        }
    }
}

/// The part of a context that its objects look at: identity and state.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) handle: Handle,
    record: Record,
    destroyed: AtomicBool,
    /// All streams were found idle when this was the session's last sequence number.
    quiet: AtomicU64,
    /// A stream was made that the legacy stream waits for and that waits for it.
    pub(crate) has_blocking: AtomicBool,
    /// Calls that went on in spite of a fault; [`PATIENCE`] once the program knows of it.
    overlooked: AtomicU32,
    /// Bytes of kernels' text that were written out.
    pub(crate) printed: Mutex<u64>,
    pub(crate) coredump: Mutex<coredump::Settings>,
}

/// Calls that may go on in spite of a fault that the program was not told of.
const PATIENCE: u32 = 1024;

impl Core {
    /// The context was not destroyed.
    #[inline]
    pub(crate) fn check_alive(&self) -> Answer {
        if self.destroyed.load(Ordering::Relaxed) {
            Err(Code::CONTEXT_IS_DESTROYED)
        } else {
            Ok(())
        }
    }

    fn fault(&self) -> Answer<u32> {
        self.check_alive()?;
        if state::lost() {
            return Err(Code::DEVICE_UNAVAILABLE);
        }
        let fault = state::driver()?.session.records().fault(self.record.0);
        if fault != 0 {
            coredump::tell_of_fault(&self.coredump);
        }
        Ok(fault)
    }

    /// Whether there is a fault, in a context that may be destroyed.
    pub(crate) fn has_fault(&self, driver: &Driver) -> bool {
        driver.session.records().fault(self.record.0) != 0
    }

    /// The context was not destroyed and has no sticky error that the program knows of: for calls that neither wait nor ask.
    #[inline]
    pub(crate) fn check(&self) -> Answer {
        match self.fault()? {
            0 => Ok(()),
            fault => self.overlook(fault),
        }
    }

    #[cold]
    fn overlook(&self, fault: u32) -> Answer {
        let more = |calls: u32| (calls < PATIENCE).then_some(calls + 1);
        let order = Ordering::Relaxed;
        match self.overlooked.fetch_update(order, order, more) {
            Ok(_) => Ok(()),
            Err(_) => Err(code_of(fault)),
        }
    }

    /// The context was not destroyed and has no fault: for calls that wait for work or ask about it. From then on the program knows.
    #[inline]
    pub(crate) fn look(&self) -> Answer {
        match self.fault()? {
            0 => Ok(()),
            fault => {
                self.overlooked.store(PATIENCE, Ordering::Relaxed);
                Err(code_of(fault))
            }
        }
    }

    /// Whether nothing was posted since the context was found idle.
    #[inline]
    pub(crate) fn is_quiet(&self, driver: &Driver) -> bool {
        self.quiet.load(Ordering::Relaxed) == driver.session.latest()
    }

    /// Bytes that kernels have printed so far.
    pub(crate) fn printed_total(&self, driver: &Driver) -> u64 {
        driver.session.records().value(self.record.0)
    }
}

/// A code that came over the wire.
pub(crate) fn code_of(number: u32) -> Code {
    i32::try_from(number).map_or(Code::UNKNOWN, Code)
}

/// What a context owns.
#[derive(Debug, Default)]
pub(crate) struct Children {
    pub(crate) streams: Vec<Weak<Stream>>,
    pub(crate) events: HashSet<Handle>,
    pub(crate) modules: HashSet<Handle>,
    pub(crate) arrays: HashSet<Handle>,
}

/// `CU_LIMIT_*` values; the worker holds those that it enforces.
#[derive(Clone, Copy, Debug)]
struct Limits {
    stack: usize,
    printf: usize,
    heap: usize,
    sync_depth: usize,
    pending_launches: usize,
    fetch_granularity: usize,
    persisting_l2: usize,
}

impl Default for Limits {
    /// The values that the vendor documents or that its driver is known to report.
    fn default() -> Self {
        Self {
            stack: 1024,
            printf: 1 << 20,
            heap: 8 << 20,
            sync_depth: 2,
            pending_launches: 2048,
            fetch_granularity: 64,
            persisting_l2: 0,
        }
    }
}

/// A context.
pub(crate) struct Context {
    pub(crate) core: Arc<Core>,
    pub(crate) legacy: Arc<Stream>,
    /// The handle that programs have; a view's is not its core's.
    shown: Handle,
    pub(crate) green: Option<Arc<Green>>,
    /// The context that a view is of.
    pub(crate) primary: Option<Arc<Context>>,
    peer: OnceLock<Arc<Stream>>,
    /// What all its streams wait for, those that will be made too.
    pub(crate) gate: Mutex<Option<Link<'static>>>,
    identity: u64,
    api_version: u32,
    pub(crate) is_primary: bool,
    flags: AtomicU32,
    attached: AtomicU32,
    cache_config: AtomicI32,
    shared_config: AtomicI32,
    limits: Arc<Mutex<Limits>>,
    children: Arc<Mutex<Children>>,
}

impl Context {
    /// Creates a context in the worker, with its legacy stream.
    pub(crate) fn create(
        driver: &'static Driver,
        flags: u32,
        api_version: u32,
        is_primary: bool,
    ) -> Answer<Arc<Self>> {
        let context = driver.contexts.insert(|handle| {
            let record = Record::allocate(driver)?;
            let message = ContextCreate {
                handle,
                token: record.0.token,
                completion: record.0.index,
                flags,
                ..ContextCreate::default()
            };
            driver.session.call(&message, &[])?;
            let core = Arc::new(Core {
                handle,
                record,
                destroyed: AtomicBool::new(false),
                quiet: AtomicU64::new(u64::MAX),
                has_blocking: AtomicBool::new(false),
                overlooked: AtomicU32::new(0),
                printed: Mutex::new(0),
                coredump: Mutex::new(coredump::Settings::of_context(driver, flags)),
            });
            let legacy = Stream::create_legacy(driver, &core)?;
            let children = Children {
                streams: vec![Arc::downgrade(&legacy)],
                ..Children::default()
            };
            Ok(Self {
                core,
                legacy,
                shown: handle,
                green: None,
                primary: None,
                peer: OnceLock::new(),
                gate: Mutex::default(),
                identity: driver.next_identity(),
                api_version,
                is_primary,
                flags: AtomicU32::new(flags),
                attached: AtomicU32::new(1),
                cache_config: AtomicI32::new(0),
                shared_config: AtomicI32::new(0),
                limits: Arc::new(Mutex::new(Limits::default())),
                children: Arc::new(Mutex::new(children)),
            })
        })?;
        let mut all = driver.all_contexts.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|context| context.strong_count() > 0);
        all.push(Arc::downgrade(&context));
        Ok(context)
    }

    /// A view of a primary context, for a green context.
    pub(crate) fn view(
        driver: &'static Driver,
        primary: &Arc<Self>,
        green: &Arc<Green>,
    ) -> Answer<Arc<Self>> {
        driver.contexts.insert(|shown| {
            let legacy = Stream::create_in_view(driver, &primary.core, green)?;
            primary.children().streams.push(Arc::downgrade(&legacy));
            Ok(Self {
                core: Arc::clone(&primary.core),
                legacy,
                shown,
                green: Some(Arc::clone(green)),
                primary: Some(Arc::clone(primary)),
                peer: OnceLock::new(),
                gate: Mutex::default(),
                identity: driver.next_identity(),
                api_version: primary.api_version,
                is_primary: true,
                flags: AtomicU32::new(primary.flags.load(Ordering::Relaxed)),
                attached: AtomicU32::new(1),
                cache_config: AtomicI32::new(0),
                shared_config: AtomicI32::new(0),
                limits: Arc::clone(&primary.limits),
                children: Arc::clone(&primary.children),
            })
        })
    }

    /// The multiprocessors that it has.
    pub(crate) fn processors(&self, driver: &Driver) -> Processors {
        self.green
            .as_ref()
            .map_or_else(|| Processors::of_device(driver), |green| green.processors)
    }

    pub(crate) fn identity(&self) -> u64 {
        self.identity
    }

    /// The handle that programs have.
    pub(crate) fn shown(&self) -> Handle {
        self.shown
    }

    pub(crate) fn children(&self) -> MutexGuard<'_, Children> {
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The handle that the worker has.
    pub(crate) fn handle(&self) -> Handle {
        self.core.handle
    }

    pub(crate) fn set_flags(&self, flags: u32) {
        self.flags.store(flags, Ordering::Relaxed);
    }

    /// The stream in which this context takes part in copies of others.
    pub(crate) fn peer_stream(&self, driver: &Driver) -> Answer<&Arc<Stream>> {
        let mut failed = None;
        // Two threads may make one each; the second is dropped and ends with the context.
        if self.peer.get().is_none() {
            match Stream::create_peer(driver, self) {
                Ok(stream) => drop(self.peer.set(stream)),
                Err(code) => failed = Some(code),
            }
        }
        self.peer.get().ok_or(failed.unwrap_or(Code::UNKNOWN))
    }

    /// All streams that live; those of a view are its own, those of a primary context all.
    pub(crate) fn streams(&self) -> Vec<Arc<Stream>> {
        let mut children = self.children();
        children.streams.retain(|stream| stream.strong_count() > 0);
        let own = |stream: &Arc<Stream>| match (&self.green, &stream.green) {
            (None, _) => true,
            (Some(green), Some(other)) => green.handle == other.handle,
            (Some(_), None) => false,
        };
        let streams = children.streams.iter().filter_map(Weak::upgrade);
        streams.filter(own).collect()
    }

    /// Whether the streams that the legacy stream waits for have nothing to do.
    pub(crate) fn blocking_streams_idle(&self, driver: &Driver) -> bool {
        let children = self.children();
        let mut streams = children.streams.iter().filter_map(Weak::upgrade);
        streams.all(|stream| !stream.is_blocking() || stream.is_idle(driver))
    }

    /// Waits for all work of the context and writes out what kernels printed.
    pub(crate) fn synchronize(&self) -> Answer {
        let driver = state::driver()?;
        let latest = driver.session.latest();
        if self.core.is_quiet(driver) {
            return self.core.look();
        }
        let mut first = Ok(());
        for stream in self.streams() {
            first = first.and(stream.synchronize());
        }
        printf::drain(driver, &self.core);
        let result = first.and(self.core.look());
        // A view has seen its own streams only.
        if result.is_ok() && self.green.is_none() {
            self.core.quiet.store(latest, Ordering::Relaxed);
        }
        result
    }

    /// Destroys the context and everything in it.
    pub(crate) fn destroy(&self, driver: &Driver) -> Answer {
        if self.core.destroyed.swap(true, Ordering::SeqCst) {
            return Err(Code::CONTEXT_IS_DESTROYED);
        }
        self.settle(driver);
        printf::drain(driver, &self.core);
        drop(self.gate.lock().unwrap_or_else(PoisonError::into_inner).take());
        let posted = driver.session.post(
            &ContextDestroy {
                context: self.handle(),
            },
            &[],
        );
        self.forget_children(driver);
        Ok(posted?)
    }

    /// A context that is ended waits for its work, so that its text is complete; one with a fault has no work left. What waits for a
    /// value in memory that goes with the context waits for ever: nobody may write there any more.
    fn settle(&self, driver: &Driver) {
        if !memop::has_waited() {
            for stream in self.streams() {
                let _ = stream.settle();
            }
            return;
        }
        let mut pause = Duration::from_micros(50);
        while !self.streams().iter().all(|stream| stream.is_over(driver)) && !self.is_stuck(driver) {
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }

    /// Whether all that is left of its work waits for values in memory of its own.
    fn is_stuck(&self, driver: &Driver) -> bool {
        let message = ContextWaits {
            context: self.handle(),
        };
        // Without an answer there is nothing to wait for.
        let Ok((reply, addresses)) = driver.session.call(&message, &[]) else {
            return true;
        };
        let Ok(addresses) = AddressList::decode(&addresses) else {
            return false;
        };
        let goes_with_it = |address: &u64| {
            driver.ranges.find(*address).is_some_and(|range| {
                let own = matches!(
                    range.kind,
                    RangeKind::Device { pool: 0 } | RangeKind::Host { .. } | RangeKind::Managed { pool: 0 }
                );
                own && range.context == self.handle()
            })
        };
        let all = addresses.0.len() as u64 == reply.waits;
        reply.waits > 0 && all && addresses.0.iter().all(goes_with_it)
    }

    fn forget_children(&self, driver: &Driver) {
        let handle = self.handle();
        let children = std::mem::take(&mut *self.children());
        for stream in children.streams.iter().filter_map(Weak::upgrade) {
            crate::graph::capture::forget(&stream);
            let _ = driver.streams.remove(stream.handle());
        }
        for event in children.events {
            let _ = driver.events.remove(event);
        }
        for module in children.modules {
            crate::module::forget(driver, module);
        }
        for array in children.arrays {
            let _ = driver.arrays.remove(array);
        }
        driver.images.forget_context(handle);
        // Managed variables go with the last module that has them.
        let gone = driver
            .ranges
            .retain(|range| range.context != handle || range.kind == RangeKind::ManagedVariables);
        for range in gone.iter().filter(|range| range.is_in_host_arena()) {
            if range.kind == RangeKind::Registered {
                let _ = crate::registered::forget(driver, range);
                continue;
            }
            crate::memory::unmap_pinned(driver, range);
            driver.managed.forget(range);
            // To the worker it is the session's, not the context's. A worker that is gone has given it back.
            let _ = driver.session.post(&HostFree { address: range.base }, &[]);
        }
    }

    /// A range that this context makes.
    pub(crate) fn range(&self, driver: &Driver, base: u64, bytes: u64, kind: RangeKind) -> Range {
        Range {
            base,
            bytes,
            kind,
            context: self.handle(),
            identity: driver.next_identity(),
            bar1: None,
        }
    }
}

fn check_flags(flags: u32) -> Answer {
    // Scheduling is one of: automatic, spin, yield, blocking wait.
    if flags & !FLAGS_KNOWN != 0 || (flags & FLAG_SCHEDULE_MASK).count_ones() > 1 {
        return Err(Code::INVALID_VALUE);
    }
    Ok(())
}

fn create_and_push(pctx: Caller<Handle>, flags: u32, dev: i32, api_version: u32) -> Answer {
    let driver = device(dev)?;
    pctx.required()?;
    check_flags(flags)?;
    let context = Context::create(driver, flags, api_version, false)?;
    pctx.put(context.handle())?;
    current::push(context)
}

/// `cuCtxCreate` and `cuCtxCreate_v2`
pub(crate) fn ctx_create_v2(pctx: Caller<Handle>, flags: u32, dev: i32) -> Answer {
    create_and_push(pctx, flags, dev, 3020)
}

/// `cuCtxCreate_v3`
pub(crate) fn ctx_create_v3(
    pctx: Caller<Handle>,
    _params: Caller<CUexecAffinityParam>,
    num_params: i32,
    flags: u32,
    dev: i32,
) -> Answer {
    match num_params {
        0 => create_and_push(pctx, flags, dev, 3020),
        1.. => Err(Code::UNSUPPORTED_EXEC_AFFINITY),
        _ => Err(Code::INVALID_VALUE),
    }
}

/// `cuCtxCreate_v4`
pub(crate) fn ctx_create(
    pctx: Caller<Handle>,
    params: Caller<CUctxCreateParams>,
    flags: u32,
    dev: i32,
) -> Answer {
    if !params.is_null() {
        let params = params.get()?;
        if params.affinity_count > 0 {
            return Err(Code::UNSUPPORTED_EXEC_AFFINITY);
        }
        if !params.graphics.is_null() {
            return Err(Code::NOT_SUPPORTED);
        }
    }
    create_and_push(pctx, flags, dev, 3020)
}

/// The context of this handle, or the current one for 0.
fn named_or_current(ctx: Handle) -> Answer<Arc<Context>> {
    if ctx == 0 {
        return current::alive();
    }
    context(ctx)
}

/// The context of this handle.
pub(crate) fn context(ctx: Handle) -> Answer<Arc<Context>> {
    state::driver()?
        .contexts
        .get(ctx)
        .map_err(|_| Code::INVALID_CONTEXT)
}

/// `cuCtxDestroy`: a primary context is not destroyed this way. If it is the caller's current one, it is popped.
pub(crate) fn ctx_destroy(ctx: Handle) -> Answer {
    let driver = state::driver()?;
    let found = context(ctx)?;
    if found.is_primary {
        return Err(Code::INVALID_CONTEXT);
    }
    let context = driver.contexts.remove(ctx).map_err(|_| Code::INVALID_CONTEXT)?;
    if current::top_handle() == ctx {
        current::pop()?;
    }
    context.destroy(driver)
}

/// `cuCtxAttach`
pub(crate) fn ctx_attach(pctx: Caller<Handle>, flags: u32) -> Answer {
    if flags != 0 {
        return Err(Code::INVALID_VALUE);
    }
    let context = current::alive()?;
    pctx.put(context.shown())?;
    context.attached.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

/// `cuCtxDetach`: destroys when nobody is attached any more; the context must be the current one.
pub(crate) fn ctx_detach(ctx: Handle) -> Answer {
    let context = current::top().ok_or(Code::INVALID_CONTEXT)?;
    if context.shown() != ctx {
        return Err(Code::INVALID_CONTEXT);
    }
    if context.attached.fetch_sub(1, Ordering::Relaxed) > 1 {
        return Ok(());
    }
    ctx_destroy(ctx)
}

/// `cuCtxGetCurrent`: nothing current is no error.
pub(crate) fn ctx_get_current(pctx: Caller<Handle>) -> Answer {
    pctx.put(current::top_handle())
}

/// `cuCtxSetCurrent`: replaces the top of the stack; 0 takes it away.
pub(crate) fn ctx_set_current(ctx: Handle) -> Answer {
    if ctx != 0 && current::top_handle() == ctx {
        return Ok(());
    }
    let next = if ctx == 0 { None } else { Some(context(ctx)?) };
    current::replace(next)
}

/// `cuCtxPushCurrent`
pub(crate) fn ctx_push_current(ctx: Handle) -> Answer {
    current::push(context(ctx)?)
}

/// `cuCtxPopCurrent`
pub(crate) fn ctx_pop_current(pctx: Caller<Handle>) -> Answer {
    let context = current::pop()?;
    pctx.put_if_wanted(context.shown());
    Ok(())
}

/// `cuCtxGetDevice`
pub(crate) fn ctx_get_device_v1(dev: Caller<i32>) -> Answer {
    dev.required()?;
    current::with_alive(|_| dev.put(0))
}

/// `cuCtxGetDevice_v2`
pub(crate) fn ctx_get_device(dev: Caller<i32>, ctx: Handle) -> Answer {
    dev.required()?;
    named_or_current(ctx)?;
    dev.put(0)
}

/// `cuCtxGetFlags`
pub(crate) fn ctx_get_flags(flags: Caller<u32>) -> Answer {
    let context = current::alive()?;
    flags.put(context.flags.load(Ordering::Relaxed) | FLAG_MAP_HOST)
}

/// `cuCtxSetFlags`
pub(crate) fn ctx_set_flags(flags: u32) -> Answer {
    check_flags(flags)?;
    current::alive()?.set_flags(flags);
    Ok(())
}

/// `cuCtxGetId`
pub(crate) fn ctx_get_id(ctx: Handle, ctx_id: Caller<u64>) -> Answer {
    let context = named_or_current(ctx)?;
    ctx_id.put(context.identity)
}

/// `cuCtxSynchronize`
pub(crate) fn ctx_synchronize_v1() -> Answer {
    current::with_alive(|context| synchronize(context))
}

/// `cuCtxSynchronize_v2`
pub(crate) fn ctx_synchronize(ctx: Handle) -> Answer {
    synchronize(&*named_or_current(ctx)?)
}

fn synchronize(context: &Context) -> Answer {
    crate::graph::capture::check_context(context.handle())?;
    context.synchronize()
}

/// `cuCtxGetLimit`
pub(crate) fn ctx_get_limit(pvalue: Caller<usize>, limit: i32) -> Answer {
    pvalue.required()?;
    let context = current::alive()?;
    let limits = *context.limits.lock().unwrap_or_else(PoisonError::into_inner);
    let value = match limit {
        0 => limits.stack,
        1 => limits.printf,
        2 => limits.heap,
        3 => limits.sync_depth,
        4 => limits.pending_launches,
        5 => limits.fetch_granularity,
        6 => limits.persisting_l2,
        _ => return Err(Code::UNSUPPORTED_LIMIT),
    };
    pvalue.put(value)
}

/// `cuCtxSetLimit`
pub(crate) fn ctx_set_limit(limit: i32, value: usize) -> Answer {
    let context = current::faultless()?;
    let mut limits = context.limits.lock().unwrap_or_else(PoisonError::into_inner);
    let slot = match limit {
        0 => &mut limits.stack,
        1 => &mut limits.printf,
        2 => &mut limits.heap,
        3 => &mut limits.sync_depth,
        4 => &mut limits.pending_launches,
        5 => &mut limits.fetch_granularity,
        6 => &mut limits.persisting_l2,
        _ => return Err(Code::UNSUPPORTED_LIMIT),
    };
    if limit > 2 {
        *slot = value;
        return Ok(());
    }
    let message = ContextSetLimit {
        context: context.handle(),
        value: value as u64,
        limit: limit.cast_unsigned(),
        ..ContextSetLimit::default()
    };
    let (reply, _) = state::driver()?.session.call(&message, &[])?;
    *slot = usize::try_from(reply.value).unwrap_or(usize::MAX);
    Ok(())
}

/// `cuCtxGetCacheConfig`
pub(crate) fn ctx_get_cache_config(pconfig: Caller<i32>) -> Answer {
    pconfig.put(current::alive()?.cache_config.load(Ordering::Relaxed))
}

/// `cuCtxSetCacheConfig`: a preference; this device has one kind of fast memory.
pub(crate) fn ctx_set_cache_config(config: i32) -> Answer {
    if !(0..=3).contains(&config) {
        return Err(Code::INVALID_VALUE);
    }
    current::alive()?.cache_config.store(config, Ordering::Relaxed);
    Ok(())
}

/// `cuCtxGetSharedMemConfig`
pub(crate) fn ctx_get_shared_mem_config(p_config: Caller<i32>) -> Answer {
    p_config.put(current::alive()?.shared_config.load(Ordering::Relaxed))
}

/// `cuCtxSetSharedMemConfig`: without effect, as on every board since Maxwell.
pub(crate) fn ctx_set_shared_mem_config(config: i32) -> Answer {
    if !(0..=2).contains(&config) {
        return Err(Code::INVALID_VALUE);
    }
    current::alive()?.shared_config.store(config, Ordering::Relaxed);
    Ok(())
}

/// `cuCtxGetApiVersion`
pub(crate) fn ctx_get_api_version(ctx: Handle, version: Caller<u32>) -> Answer {
    let context = named_or_current(ctx)?;
    version.put(context.api_version)
}

/// Stream priorities that a context knows: least urgent, most urgent.
pub(crate) const PRIORITIES: (i32, i32) = (0, -5);

/// `cuCtxGetStreamPriorityRange`
pub(crate) fn ctx_get_stream_priority_range(least: Caller<i32>, greatest: Caller<i32>) -> Answer {
    current::alive()?;
    least.put_if_wanted(PRIORITIES.0);
    greatest.put_if_wanted(PRIORITIES.1);
    Ok(())
}

/// `cuCtxResetPersistingL2Cache`: nothing persists.
pub(crate) fn ctx_reset_persisting_l2_cache() -> Answer {
    current::alive().map(drop)
}

/// `cuCtxEnablePeerAccess`: the only other contexts are on the same device.
pub(crate) fn ctx_enable_peer_access(peer_context: Handle, flags: u32) -> Answer {
    if flags != 0 {
        return Err(Code::INVALID_VALUE);
    }
    let here = current::alive()?;
    if context(peer_context)?.handle() == here.handle() {
        return Err(Code::INVALID_CONTEXT);
    }
    Err(Code::PEER_ACCESS_UNSUPPORTED)
}

/// `cuCtxDisablePeerAccess`
pub(crate) fn ctx_disable_peer_access(peer_context: Handle) -> Answer {
    current::alive()?;
    context(peer_context)?;
    Err(Code::PEER_ACCESS_NOT_ENABLED)
}

/// `cuCtxGetExecAffinity`
pub(crate) fn ctx_get_exec_affinity(_out: Caller<CUexecAffinityParam>, _kind: i32) -> Answer {
    current::alive()?;
    Err(Code::UNSUPPORTED_EXEC_AFFINITY)
}

/// Waits until the worker has looked at everything that was posted.
pub(crate) fn fence(driver: &Driver) -> Answer {
    let message = Ping {
        value: driver.next_identity(),
    };
    driver.session.call(&message, &[])?;
    Ok(())
}
