//! The process-wide state of the driver.
//!
//! ```text
//!   untouched ──cuInit(0)──▶ ready ──fork, in the child──▶ dead: every function answers 3, as the real driver has it
//!       │                      └──the worker dies──▶ still ready; every function that needs the device answers 46
//!       └──no vGPU: cuInit answers 100──▶ untouched
//! ```
//!
//! `CUDA_ERROR_DEVICE_UNAVAILABLE` (46) is the code for a worker that is gone: of the documented codes it is the one that says
//! "this device cannot be had now" without blaming the program's kernel (719), its context (709) or the driver's installation (803).

use crate::array::Array;
use crate::bar1::Bar1;
use crate::code::{Answer, Code};
use crate::context::Context;
use crate::coredump;
use crate::device::parse_uuid;
use crate::event::Event;
use crate::function::Function;
use crate::graph::exec::Exec;
use crate::graph::user_object::UserObject;
use crate::graph::{Graph, NodeRef};
use crate::kernel::Kernel;
use crate::library::Library;
use crate::linker::Linker;
use crate::managed::Managed;
use crate::managed::pool::ManagedPools;
use crate::module::Module;
use crate::objects::{Kind, Objects};
use crate::pool::Pool;
use crate::primary::Primary;
use crate::ranges::Ranges;
use crate::reference::Reference;
use crate::registered::Registered;
use crate::sharing::Sharing;
use crate::stream::Stream;
use crate::texture::Images;
use crate::types::CUuuid;
use crate::virtual_memory::VirtualMemory;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use tessera_channel::HostMapping;
use tessera_guest::{ConnectError, Session};
use tessera_wire::VgpuInfo;

static READY: AtomicBool = AtomicBool::new(false);
/// `cuInit` was called, whatever came of it.
static ASKED: AtomicBool = AtomicBool::new(false);
/// The worker was found gone; nothing of this process works any more.
static LOST: AtomicBool = AtomicBool::new(false);
static DRIVER: OnceLock<Driver> = OnceLock::new();

/// Device attributes are answered from an array this long.
const ATTRIBUTES: usize = 256;

/// Everything that an initialised driver has.
pub(crate) struct Driver {
    pub(crate) session: Session,
    uuid: CUuuid,
    attributes: [Option<i32>; ATTRIBUTES],
    pub(crate) contexts: Objects<Context>,
    /// Every context but views, for what concerns the whole process.
    pub(crate) all_contexts: Mutex<Vec<Weak<Context>>>,
    pub(crate) streams: Objects<Stream>,
    pub(crate) events: Objects<Event>,
    pub(crate) modules: Objects<Module>,
    pub(crate) functions: Objects<Function>,
    pub(crate) libraries: Objects<Library>,
    pub(crate) kernels: Objects<Kernel>,
    pub(crate) linkers: Objects<Linker>,
    pub(crate) pools: Objects<Pool>,
    pub(crate) arrays: Objects<Array>,
    pub(crate) references: Objects<Reference>,
    pub(crate) graphs: Objects<Graph>,
    pub(crate) nodes: Objects<NodeRef>,
    pub(crate) execs: Objects<Exec>,
    pub(crate) user_objects: Objects<UserObject>,
    pub(crate) images: Images,
    pub(crate) primary: Mutex<Primary>,
    pub(crate) default_pool: OnceLock<Arc<Pool>>,
    pub(crate) current_pool: Mutex<Option<Arc<Pool>>>,
    pub(crate) managed_pools: ManagedPools,
    pub(crate) managed: Managed,
    pub(crate) registered: Registered,
    pub(crate) ranges: Ranges,
    pub(crate) bar1: Bar1,
    pub(crate) virtual_memory: VirtualMemory,
    pub(crate) sharing: Sharing,
    pub(crate) pinned: Mutex<HashMap<u64, HostMapping>>,
    /// The process's settings of core dumps.
    pub(crate) coredump: Mutex<coredump::Settings>,
    identity: AtomicU64,
}

impl Driver {
    fn new(session: Session) -> Self {
        let mut attributes = [None; ATTRIBUTES];
        for &(number, value) in &session.info().attributes {
            if let Some(slot) = usize::try_from(number)
                .ok()
                .and_then(|index| attributes.get_mut(index))
            {
                *slot = Some(value);
            }
        }
        Self {
            uuid: parse_uuid(&session.info().uuid),
            session,
            attributes,
            contexts: Objects::new(Kind::Context),
            all_contexts: Mutex::default(),
            streams: Objects::remembering(Kind::Stream),
            events: Objects::new(Kind::Event),
            modules: Objects::new(Kind::Module),
            functions: Objects::new(Kind::Function),
            libraries: Objects::new(Kind::Library),
            kernels: Objects::new(Kind::Kernel),
            linkers: Objects::new(Kind::Linker),
            pools: Objects::new(Kind::Pool),
            arrays: Objects::new(Kind::Array),
            references: Objects::new(Kind::Reference),
            graphs: Objects::new(Kind::Graph),
            nodes: Objects::new(Kind::Node),
            execs: Objects::new(Kind::Exec),
            user_objects: Objects::new(Kind::UserObject),
            images: Images::default(),
            primary: Mutex::new(Primary::default()),
            default_pool: OnceLock::new(),
            current_pool: Mutex::new(None),
            managed_pools: ManagedPools::default(),
            managed: Managed::default(),
            registered: Registered::default(),
            ranges: Ranges::default(),
            bar1: Bar1::default(),
            virtual_memory: VirtualMemory::default(),
            sharing: Sharing::default(),
            pinned: Mutex::new(HashMap::new()),
            coredump: Mutex::new(coredump::Settings::of_process()),
            identity: AtomicU64::new(0),
        }
    }

    /// The vGPU as the worker describes it.
    pub(crate) fn info(&self) -> &VgpuInfo {
        self.session.info()
    }

    pub(crate) fn uuid(&self) -> CUuuid {
        self.uuid
    }

    /// A device attribute, where the board has it.
    pub(crate) fn attribute(&self, number: i32) -> Option<i32> {
        usize::try_from(number)
            .ok()
            .and_then(|index| self.attributes.get(index))
            .copied()
            .flatten()
    }

    /// A device attribute that cannot be negative; 0 where the board has none.
    pub(crate) fn limit(&self, number: i32) -> u32 {
        self.attribute(number)
            .and_then(|value| u32::try_from(value).ok())
            .unwrap_or(0)
    }

    /// Waits for the work of every context.
    pub(crate) fn settle(&self) {
        let all = self.all_contexts.lock().unwrap_or_else(PoisonError::into_inner);
        let all: Vec<_> = all.iter().filter_map(Weak::upgrade).collect();
        for stream in all.iter().flat_map(|context| context.streams()) {
            let _ = stream.settle();
        }
    }

    /// A number that no other stream, context or buffer of this process has.
    pub(crate) fn next_identity(&self) -> u64 {
        self.identity.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// Whether functions that need an initialised driver may run.
#[inline]
pub(crate) fn ready() -> bool {
    READY.load(Ordering::Acquire)
}

/// Whether `cuInit` was called, with or without a device.
pub(crate) fn asked() -> bool {
    ASKED.load(Ordering::Relaxed)
}

/// The driver, once it is initialised.
#[inline]
pub(crate) fn driver() -> Answer<&'static Driver> {
    if !ready() {
        return Err(Code::NOT_INITIALIZED);
    }
    DRIVER.get().ok_or(Code::NOT_INITIALIZED)
}

/// Connects to the worker, once.
pub(crate) fn initialise() -> Answer {
    static GATE: Mutex<()> = Mutex::new(());
    ASKED.store(true, Ordering::Relaxed);
    if ready() {
        return Ok(());
    }
    // The session belongs to the parent; a new one cannot be made with locks and threads left behind by it.
    if tessera_guest::forked() {
        return Err(Code::NOT_INITIALIZED);
    }
    let _one_at_a_time = GATE.lock().unwrap_or_else(PoisonError::into_inner);
    if ready() {
        return Ok(());
    }
    let session = Session::connect().map_err(|error| no_device(&error))?;
    if DRIVER.set(Driver::new(session)).is_err() {
        return Err(Code::NOT_INITIALIZED);
    }
    tessera_guest::watch_forks(|| READY.store(false, Ordering::SeqCst));
    crate::printf::drain_at_exit();
    READY.store(true, Ordering::Release);
    Ok(())
}

fn no_device(error: &ConnectError) -> Code {
    static LOGGED: AtomicBool = AtomicBool::new(false);
    if !LOGGED.swap(true, Ordering::Relaxed) {
        tessera_guest::log(&format!("no vGPU: {}", tessera_guest::chain(error)));
    }
    match error {
        ConnectError::Arena(_) => Code::OPERATING_SYSTEM,
        ConnectError::Version(_) => Code::SYSTEM_DRIVER_MISMATCH,
        _ => Code::NO_DEVICE,
    }
}

/// Whether the worker is gone, as far as this process has found out.
#[inline]
pub(crate) fn lost() -> bool {
    LOST.load(Ordering::Relaxed)
}

/// What a query answers for work that is not done. A worker that is gone completes nothing: a program that polls must hear of it and
/// not wait for ever.
pub(crate) fn not_ready(driver: &Driver) -> Code {
    if driver.session.is_alive() {
        Code::NOT_READY
    } else {
        tessera_guest::Failure::from(tessera_channel::ChannelError::Disconnected).into()
    }
}

/// The code of a failed exchange with the worker.
impl From<tessera_guest::Failure> for Code {
    fn from(failure: tessera_guest::Failure) -> Self {
        if failure.code == Code::DEVICE_UNAVAILABLE.0 && !LOST.swap(true, Ordering::Relaxed) {
            tessera_guest::log(
                "the worker of this vGPU is gone; every further call answers CUDA_ERROR_DEVICE_UNAVAILABLE. Start the program again once \
                 `tessera vgpu list` shows the vGPU running",
            );
        }
        Code(failure.code)
    }
}
