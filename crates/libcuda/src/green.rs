//! Green contexts: views of the primary context with a part of the device's multiprocessors.
//!
//! ```text
//!   primary context ◀── retained ── green context ── view: a CUcontext of its own handle, default stream and streams
//!     core, memory, modules, events, limits: the primary's, shared by all views
//! ```
//!
//! What a green context has of the device is reported and not enforced: its kernels run on all executors, as everybody's do.

use crate::abi::{DefaultStream, STREAM_LEGACY, STREAM_PER_THREAD};
use crate::code::{Answer, Code};
use crate::context::Context;
use crate::current;
use crate::device::device;
use crate::join;
use crate::primary;
use crate::resource::{self, Processors};
use crate::state::{self, Driver};
use crate::stream::{self, Stream};
use crate::types::{CUdevResource, Caller, Handle};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// `CU_GREEN_CTX_DEFAULT_STREAM`: there is one in any case.
const FLAGS_KNOWN: u32 = 1;
/// `CU_STREAM_NON_BLOCKING`
const NON_BLOCKING: u32 = 1;

/// What a green context's view and streams know of it.
#[derive(Debug)]
pub(crate) struct Green {
    pub(crate) handle: Handle,
    pub(crate) processors: Processors,
    destroyed: AtomicBool,
}

impl Green {
    /// A stream of a green context that was destroyed is good for nothing but to be destroyed.
    pub(crate) fn check(&self) -> Answer {
        if self.destroyed.load(Ordering::Relaxed) {
            Err(Code::STREAM_DETACHED)
        } else {
            Ok(())
        }
    }
}

type Contexts = BTreeMap<Handle, Arc<Context>>;

/// Views by the handle of their green context. Handles of no kind: no other function takes them for anything.
static VIEWS: Mutex<Contexts> = Mutex::new(BTreeMap::new());

fn views() -> MutexGuard<'static, Contexts> {
    VIEWS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The view of a green context.
fn view(green: Handle) -> Answer<Arc<Context>> {
    state::driver()?;
    let view = views().get(&green).cloned().ok_or(Code::INVALID_CONTEXT)?;
    view.core.check_alive()?;
    Ok(view)
}

/// `cuGreenCtxCreate`
pub(crate) fn green_ctx_create(out: Caller<Handle>, descriptor: Handle, dev: i32, flags: u32) -> Answer {
    let driver = device(dev)?;
    out.required()?;
    if flags & !FLAGS_KNOWN != 0 {
        return Err(Code::INVALID_VALUE);
    }
    let processors = resource::described(descriptor)?;
    let primary = primary::retain(driver)?;
    let green = Arc::new(Green {
        handle: driver.next_identity() << 4,
        processors,
        destroyed: AtomicBool::new(false),
    });
    let view = Context::view(driver, &primary, &green).inspect_err(|_| {
        let _ = primary::device_primary_ctx_release(dev);
    })?;
    views().insert(green.handle, view);
    out.put(green.handle)
}

/// `cuGreenCtxDestroy`: its streams stay for the program to destroy.
pub(crate) fn green_ctx_destroy(green: Handle) -> Answer {
    let driver = state::driver()?;
    let view = views().remove(&green).ok_or(Code::INVALID_CONTEXT)?;
    if let Some(green) = &view.green {
        green.destroyed.store(true, Ordering::SeqCst);
    }
    let _ = driver.contexts.remove(view.shown());
    primary::device_primary_ctx_release(0)
}

/// `cuCtxFromGreenCtx`
pub(crate) fn ctx_from_green_ctx(out: Caller<Handle>, green: Handle) -> Answer {
    out.required()?;
    out.put(view(green)?.shown())
}

/// `cuGreenCtxGetId`: of the current one for 0.
pub(crate) fn green_ctx_get_id(green: Handle, id: Caller<u64>) -> Answer {
    let view = match green {
        0 => current::alive()?,
        green => view(green)?,
    };
    if view.green.is_none() {
        return Err(Code::INVALID_CONTEXT);
    }
    id.put(view.identity())
}

/// `cuGreenCtxGetDevResource`
pub(crate) fn green_ctx_get_dev_resource(green: Handle, out: Caller<CUdevResource>, kind: i32) -> Answer {
    let view = view(green)?;
    out.required()?;
    resource::answer(out, kind, view.processors(state::driver()?))
}

/// `cuGreenCtxStreamCreate`
pub(crate) fn green_ctx_stream_create(
    out: Caller<Handle>,
    green: Handle,
    flags: u32,
    priority: i32,
) -> Answer {
    out.required()?;
    let view = view(green)?;
    view.core.check()?;
    if flags != NON_BLOCKING {
        return Err(Code::INVALID_VALUE);
    }
    out.put(stream::create_in(state::driver()?, &view, flags, priority)?)
}

/// `cuGreenCtxRecordEvent`
pub(crate) fn green_ctx_record_event(green: Handle, event: Handle) -> Answer {
    let view = view(green)?;
    join::ctx_record_event(view.shown(), event)
}

/// `cuGreenCtxWaitEvent`
pub(crate) fn green_ctx_wait_event(green: Handle, event: Handle) -> Answer {
    let view = view(green)?;
    join::ctx_wait_event(view.shown(), event)
}

/// The green context that a stream belongs to; special streams belong to the current one.
pub(crate) fn of_stream(default: DefaultStream, handle: Handle) -> Answer<Option<Arc<Green>>> {
    match default.resolve(handle) {
        STREAM_LEGACY | STREAM_PER_THREAD => Ok(current::current()?.green.clone()),
        _ => stream::with_stream(default, handle, |stream: &Arc<Stream>| Ok(stream.green.clone())),
    }
}

/// `cuStreamGetGreenCtx`
pub(crate) fn stream_get_green_ctx(stream: Handle, out: Caller<Handle>) -> Answer {
    out.required()?;
    let green = of_stream(DefaultStream::Legacy, stream)?;
    out.put(green.map_or(0, |green| green.handle))
}

/// `cuStreamGetDevResource`
pub(crate) fn stream_get_dev_resource(
    default: DefaultStream,
    stream: Handle,
    out: Caller<CUdevResource>,
    kind: i32,
) -> Answer {
    let driver: &Driver = state::driver()?;
    out.required()?;
    let green = of_stream(default, stream)?;
    let processors = green.map_or_else(|| Processors::of_device(driver), |green| green.processors);
    resource::answer(out, kind, processors)
}
