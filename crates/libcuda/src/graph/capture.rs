//! Stream capture: operations of streams become nodes of a graph.
//!
//! ```text
//!   cuStreamBeginCapture ─▶ origin: member, next node after {..} ── operation ─▶ node n; next after {n}
//!                             │ cuEventRecord: the event has {n}                 ▲ cuStreamWaitEvent: next after {n, m}
//!                             ▼                                                 │
//!                           cuStreamWaitEvent: another stream is a member, too ─┘ cuEventRecord: the event has {m}
//!   cuStreamEndCapture, in the origin ─┬─ every member's work is before the origin's ─▶ the graph
//!                                      ├─ it is not ─▶ UNJOINED, no graph
//!                                      └─ invalidated by a call that may not be made meanwhile ─▶ INVALIDATED, no graph
//! ```
//!
//! Every function of the library that posts to a stream asks [`enter`] first; what does not know of captures is refused where it posts
//! ([`Stream::submit`]). Functions that the table calls `forbidden` ask [`unsafe_call`] before anything else. While nothing is captured
//! both are one load.

use super::node::{KernelWork, Work};
use super::{Edge, Graph};
use crate::abi::DefaultStream;
use crate::code::{Answer, Code};
use crate::copy::{Extent, Place, Return, Side, memory_type};
use crate::event::Event;
use crate::function::Function;
use crate::launch::Shape;
use crate::state::{self, Driver};
use crate::stream::{self, Stream};
use crate::types::{CUDA_MEMCPY3D, CUgraphEdgeData, Caller, Handle, Memcpy3dSide};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::ThreadId;

/// `CUstreamCaptureMode`
mod mode {
    pub(super) const GLOBAL: i32 = 0;
    pub(super) const THREAD_LOCAL: i32 = 1;
    pub(super) const RELAXED: i32 = 2;
}

/// `CUstreamCaptureStatus`
mod status {
    pub(super) const NONE: i32 = 0;
    pub(super) const ACTIVE: i32 = 1;
    pub(super) const INVALIDATED: i32 = 2;
}

/// Captures that have begun and not ended.
static ACTIVE: AtomicUsize = AtomicUsize::new(0);
static CAPTURES: Mutex<Vec<Arc<Capture>>> = Mutex::new(Vec::new());

thread_local! {
    static MODE: Cell<i32> = const { Cell::new(mode::GLOBAL) };
}

/// A capture.
pub(crate) struct Capture {
    id: u64,
    mode: i32,
    thread: ThreadId,
    graph: Arc<Graph>,
    /// The program's graph, which it keeps whatever happens.
    given: bool,
    origin: Handle,
    context: Handle,
    invalid: AtomicBool,
    ended: AtomicBool,
    members: Mutex<Vec<Weak<Stream>>>,
}

impl std::fmt::Debug for Capture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Capture({})", self.id)
    }
}

/// A stream's part in a capture.
#[derive(Debug)]
pub(crate) struct Member {
    capture: Arc<Capture>,
    /// What the next node comes after.
    next: Vec<Edge>,
    /// The same as handles and data, for the program to look at until its next call.
    shown: (Vec<Handle>, Vec<CUgraphEdgeData>),
}

/// What an event that was recorded in a capture stands for.
#[derive(Clone, Debug)]
pub(crate) struct Captured {
    capture: Arc<Capture>,
    after: Vec<Edge>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Capture {
    fn invalidate(&self) {
        self.invalid.store(true, Ordering::Release);
    }

    fn check(&self) -> Answer {
        if self.invalid.load(Ordering::Acquire) {
            Err(Code::STREAM_CAPTURE_INVALIDATED)
        } else {
            Ok(())
        }
    }

    fn members(&self) -> Vec<Arc<Stream>> {
        lock(&self.members).iter().filter_map(Weak::upgrade).collect()
    }

    fn join(self: &Arc<Self>, stream: &Arc<Stream>, next: Vec<Edge>) {
        lock(&self.members).push(Arc::downgrade(stream));
        *lock(&stream.capture) = Some(Member {
            capture: Arc::clone(self),
            next,
            shown: (Vec::new(), Vec::new()),
        });
    }

    /// Lets go of all streams.
    fn leave(&self) {
        self.ended.store(true, Ordering::Release);
        for stream in self.members() {
            let mut member = lock(&stream.capture);
            if member.as_ref().is_some_and(|member| member.capture.id == self.id) {
                *member = None;
            }
        }
        lock(&CAPTURES).retain(|other| other.id != self.id);
        ACTIVE.fetch_sub(1, Ordering::AcqRel);
    }
}

fn captures() -> Vec<Arc<Capture>> {
    lock(&CAPTURES).clone()
}

/// Whether any stream of the process captures.
#[inline]
pub(crate) fn is_any_active() -> bool {
    ACTIVE.load(Ordering::Relaxed) != 0
}

/// Whether an operation in this stream is to become a node.
#[inline]
pub(crate) fn enter(stream: &Stream) -> Answer<bool> {
    if ACTIVE.load(Ordering::Relaxed) == 0 {
        return Ok(false);
    }
    enter_captured(stream)
}

#[cold]
fn enter_captured(stream: &Stream) -> Answer<bool> {
    if stream.is_legacy() {
        // It would be ordered after blocking streams that have nothing to run yet.
        let mut implicit = Ok(false);
        for capture in blocking_captures(stream) {
            capture.invalidate();
            implicit = Err(Code::STREAM_CAPTURE_IMPLICIT);
        }
        return implicit;
    }
    match &*lock(&stream.capture) {
        None => Ok(false),
        Some(member) => member.capture.check().map(|()| true),
    }
}

/// Captures of the context that a blocking stream takes part in.
fn blocking_captures(stream: &Stream) -> Vec<Arc<Capture>> {
    let mut list = captures();
    list.retain(|capture| {
        capture.context == stream.core.handle && capture.members().iter().any(|member| member.is_blocking())
    });
    list
}

/// Ends the good time of a capture that this stream is in, for an operation that cannot be a node.
#[cold]
pub(crate) fn refuse(stream: &Stream) -> Code {
    if let Some(member) = &*lock(&stream.capture) {
        member.capture.invalidate();
    }
    Code::STREAM_CAPTURE_UNSUPPORTED
}

/// The first thing that functions do which may not be called while a stream is captured.
#[inline]
pub(crate) fn unsafe_call() -> Answer {
    if ACTIVE.load(Ordering::Relaxed) == 0 {
        return Ok(());
    }
    unsafe_call_captured()
}

/// The same of functions that work in the legacy default stream: first whether that may be used.
#[inline]
pub(crate) fn ordered_call() -> Answer {
    if ACTIVE.load(Ordering::Relaxed) == 0 {
        return Ok(());
    }
    ordered_call_captured()
}

#[cold]
fn ordered_call_captured() -> Answer {
    let allowed = unsafe_call_captured();
    let ordered = match stream::stream(DefaultStream::Legacy, 0) {
        Ok(legacy) => enter_captured(&legacy).map(|_| ()),
        // Without a context the handler says so.
        Err(_) => Ok(()),
    };
    ordered.and(allowed)
}

#[cold]
fn unsafe_call_captured() -> Answer {
    let mine = std::thread::current().id();
    let own = |capture: &Capture| capture.mode != mode::RELAXED && capture.thread == mine;
    let mut answer = Ok(());
    for capture in captures() {
        let met = match MODE.get() {
            mode::RELAXED => false,
            mode::THREAD_LOCAL => own(&capture),
            _ => own(&capture) || capture.mode == mode::GLOBAL,
        };
        if met {
            capture.invalidate();
            answer = Err(Code::STREAM_CAPTURE_UNSUPPORTED);
        }
    }
    answer
}

/// Fails where a stream of the context is captured, for functions that wait for all of it.
pub(crate) fn check_context(context: Handle) -> Answer {
    if ACTIVE.load(Ordering::Relaxed) == 0 {
        return Ok(());
    }
    let mut answer = Ok(());
    for capture in captures().iter().filter(|capture| capture.context == context) {
        capture.invalidate();
        answer = Err(Code::STREAM_CAPTURE_UNSUPPORTED);
    }
    answer
}

/// Adds a node for an operation of a stream that [`enter`] said is captured.
pub(crate) fn add(driver: &Driver, stream: &Stream, work: Work) -> Answer {
    let mut member = lock(&stream.capture);
    let member = member.as_mut().ok_or(Code::STREAM_CAPTURE_INVALIDATED)?;
    let before = std::mem::take(&mut member.next);
    let (id, _) = member.capture.graph.add(driver, work, before)?;
    member.next.push(Edge {
        node: id,
        data: CUgraphEdgeData::default(),
    });
    Ok(())
}

/// A launch in a stream that is captured.
pub(crate) fn launch(
    driver: &Driver,
    stream: &Stream,
    function: &Arc<Function>,
    shape: Shape,
    block: &[u8],
) -> Answer {
    let work = KernelWork::new(
        driver,
        Arc::clone(function),
        function.handle,
        shape,
        block.to_vec(),
    )?;
    add(driver, stream, Work::Kernel(Arc::new(work)))
}

/// A copy in a stream that is captured.
pub(crate) fn copy(stream: &Stream, until: Return, what: &CUDA_MEMCPY3D) -> Answer {
    if until == Return::WhenDone {
        return Err(refuse(stream));
    }
    add(state::driver()?, stream, Work::Memcpy(Box::new(*what)))
}

/// A copy of rows in a stream that is captured.
pub(crate) fn copy_rows(stream: &Stream, until: Return, to: Side, from: Side, extent: Extent) -> Answer {
    let side = |side: Side| {
        let device = side.place == Place::Device;
        Memcpy3dSide {
            x: 0,
            y: 0,
            z: 0,
            level: 0,
            kind: if device {
                memory_type::DEVICE
            } else {
                memory_type::HOST
            },
            host: if device {
                Caller::null()
            } else {
                Caller::from_raw(std::ptr::with_exposed_provenance_mut(
                    usize::try_from(side.address).unwrap_or(0),
                ))
            },
            device: if device { side.address } else { 0 },
            array: 0,
            reserved: 0,
            pitch: side.pitch,
            height: 0,
        }
    };
    let what = CUDA_MEMCPY3D {
        source: side(from),
        destination: side(to),
        width: extent.width,
        height: extent.height,
        depth: 1,
    };
    copy(stream, until, &what)
}

/// An event is recorded in a stream that is captured.
pub(crate) fn record(stream: &Stream, event: &Arc<Event>, external: bool) -> Answer {
    if external {
        return add(state::driver()?, stream, Work::Record(Arc::clone(event)));
    }
    let member = lock(&stream.capture);
    let member = member.as_ref().ok_or(Code::STREAM_CAPTURE_INVALIDATED)?;
    event.set_captured(Some(Captured {
        capture: Arc::clone(&member.capture),
        after: member.next.clone(),
    }));
    Ok(())
}

fn union(into: &mut Vec<Edge>, more: &[Edge]) {
    for edge in more {
        if !into.iter().any(|known| known.node == edge.node) {
            into.push(*edge);
        }
    }
}

/// A stream waits for an event. `true`: that was about captures, and is done.
pub(crate) fn wait(stream: &Arc<Stream>, event: &Arc<Event>, external: bool) -> Answer<bool> {
    let capturing = enter(stream)?;
    if capturing && external {
        return add(state::driver()?, stream, Work::Wait(Arc::clone(event))).map(|()| true);
    }
    match (capturing, event.captured()) {
        (false, None) => Ok(false),
        (false, Some(captured)) => {
            if captured.capture.ended.load(Ordering::Acquire) {
                return Err(Code::CAPTURED_EVENT);
            }
            captured.capture.check()?;
            if stream.is_legacy() {
                captured.capture.invalidate();
                return Err(Code::STREAM_CAPTURE_IMPLICIT);
            }
            captured.capture.join(stream, captured.after);
            Ok(true)
        }
        (true, None) if event.is_fresh() => Ok(true),
        (true, None) => {
            refuse(stream);
            Err(Code::STREAM_CAPTURE_ISOLATION)
        }
        (true, Some(captured)) => {
            let mut member = lock(&stream.capture);
            let member = member.as_mut().ok_or(Code::STREAM_CAPTURE_INVALIDATED)?;
            if captured.capture.id != member.capture.id {
                member.capture.invalidate();
                captured.capture.invalidate();
                return Err(Code::STREAM_CAPTURE_MERGE);
            }
            union(&mut member.next, &captured.after);
            Ok(true)
        }
    }
}

/// A stream is destroyed. A capture goes on without it where another member is to come after all of its work.
pub(crate) fn forget(stream: &Stream) {
    // Leaving takes the lock again.
    let member = lock(&stream.capture).take();
    if let Some(member) = member {
        let is_origin = member.capture.origin == stream.handle();
        if !is_origin && is_joined(&member) {
            return;
        }
        member.capture.invalidate();
        // Nobody can end it any more.
        if is_origin {
            member.capture.leave();
            discard(&member.capture);
        }
    }
}

/// Whether another member of the capture is to come after all work of this one.
fn is_joined(left: &Member) -> bool {
    left.capture.members().iter().any(|stream| {
        let other = lock(&stream.capture);
        other.as_ref().is_some_and(|other| {
            other.capture.id == left.capture.id && left.capture.graph.body().reaches(&other.next, &left.next)
        })
    })
}

/// Drops the graph of a capture that failed.
fn discard(capture: &Capture) {
    if !capture.given
        && let Ok(driver) = state::driver()
    {
        let _ = driver.graphs.remove(capture.graph.handle);
    }
}

fn begin(stream: &Arc<Stream>, into: Option<(Arc<Graph>, Vec<Edge>)>, mode: i32) -> Answer {
    let driver = state::driver()?;
    if !(mode::GLOBAL..=mode::RELAXED).contains(&mode) {
        return Err(Code::INVALID_VALUE);
    }
    if stream.is_legacy() {
        return Err(Code::STREAM_CAPTURE_UNSUPPORTED);
    }
    if lock(&stream.capture).is_some() {
        return Err(Code::ILLEGAL_STATE);
    }
    let given = into.is_some();
    let (graph, next) = match into {
        Some(into) => into,
        None => (Graph::create(driver, true)?, Vec::new()),
    };
    let capture = Arc::new(Capture {
        id: driver.next_identity(),
        mode,
        thread: std::thread::current().id(),
        graph,
        given,
        origin: stream.handle(),
        context: stream.core.handle,
        invalid: AtomicBool::new(false),
        ended: AtomicBool::new(false),
        members: Mutex::default(),
    });
    lock(&CAPTURES).push(Arc::clone(&capture));
    ACTIVE.fetch_add(1, Ordering::AcqRel);
    capture.join(stream, next);
    Ok(())
}

/// `cuStreamBeginCapture` of CUDA 10.0
pub(crate) fn stream_begin_capture_v1(default: DefaultStream, handle: Handle) -> Answer {
    begin(&stream::stream(default, handle)?, None, mode::GLOBAL)
}

/// `cuStreamBeginCapture_v2`
pub(crate) fn stream_begin_capture(default: DefaultStream, handle: Handle, mode: i32) -> Answer {
    begin(&stream::stream(default, handle)?, None, mode)
}

/// `cuStreamBeginCaptureToGraph`
pub(crate) fn stream_begin_capture_to_graph(
    default: DefaultStream,
    handle: Handle,
    graph: Handle,
    dependencies: Caller<Handle>,
    data: Caller<CUgraphEdgeData>,
    count: usize,
    mode: i32,
) -> Answer {
    let driver = state::driver()?;
    let stream = stream::stream(default, handle)?;
    let graph = super::graph(driver, graph)?;
    let next = super::build::edges(driver, &graph, dependencies, data, count)?;
    begin(&stream, Some((graph, next)), mode)
}

/// `cuStreamEndCapture`
pub(crate) fn stream_end_capture(default: DefaultStream, handle: Handle, out: Caller<Handle>) -> Answer {
    out.required()?;
    let stream = stream::stream(default, handle)?;
    let (capture, next) = match &*lock(&stream.capture) {
        Some(member) => (Arc::clone(&member.capture), member.next.clone()),
        None => return Err(Code::ILLEGAL_STATE),
    };
    if capture.origin != stream.handle() {
        return Err(Code::STREAM_CAPTURE_UNMATCHED);
    }
    if capture.mode != mode::RELAXED && capture.thread != std::thread::current().id() {
        return Err(Code::STREAM_CAPTURE_WRONG_THREAD);
    }
    let joined = capture.check().and_then(|()| joined(&capture, &next));
    capture.leave();
    if let Err(code) = joined {
        discard(&capture);
        out.put(0)?;
        return Err(code);
    }
    if !capture.given {
        capture.graph.owned.store(false, Ordering::Release);
    }
    out.put(capture.graph.handle)
}

/// Whether everything that the members did is before what the origin does next.
fn joined(capture: &Capture, next: &[Edge]) -> Answer {
    for member in capture.members() {
        let work = match &*lock(&member.capture) {
            Some(member) if member.capture.id == capture.id => member.next.clone(),
            _ => continue,
        };
        if !capture.graph.body().reaches(next, &work) {
            return Err(Code::STREAM_CAPTURE_UNJOINED);
        }
    }
    Ok(())
}

/// `cuStreamIsCapturing`
pub(crate) fn stream_is_capturing(default: DefaultStream, handle: Handle, out: Caller<i32>) -> Answer {
    stream_get_capture_info_v1(default, handle, out, Caller::null())
}

/// What a stream's capture is like: status, number, graph, what the next node comes after.
fn info(stream: &Stream, look: impl FnOnce(i32, Option<&mut Member>) -> Answer) -> Answer {
    if ACTIVE.load(Ordering::Relaxed) == 0 {
        return look(status::NONE, None);
    }
    // It cannot be said whether it captures; asking does no harm.
    if stream.is_legacy() && !blocking_captures(stream).is_empty() {
        return Err(Code::STREAM_CAPTURE_IMPLICIT);
    }
    match &mut *lock(&stream.capture) {
        None => look(status::NONE, None),
        Some(member) if member.capture.check().is_err() => look(status::INVALIDATED, None),
        Some(member) => look(status::ACTIVE, Some(member)),
    }
}

/// `cuStreamGetCaptureInfo`
pub(crate) fn stream_get_capture_info_v1(
    default: DefaultStream,
    handle: Handle,
    status: Caller<i32>,
    id: Caller<u64>,
) -> Answer {
    status.required()?;
    stream::with_stream(default, handle, |stream| {
        info(stream, |number, member| {
            id.put_if_wanted(member.map_or(0, |member| member.capture.id));
            status.put(number)
        })
    })
}

/// `cuStreamGetCaptureInfo_v2`
#[allow(clippy::too_many_arguments)]
pub(crate) fn stream_get_capture_info_v2(
    default: DefaultStream,
    handle: Handle,
    status: Caller<i32>,
    id: Caller<u64>,
    graph: Caller<Handle>,
    dependencies: Caller<Caller<Handle>>,
    count: Caller<usize>,
) -> Answer {
    let edges = Caller::null();
    let lossy = !dependencies.is_null();
    capture_info(
        default,
        handle,
        status,
        id,
        graph,
        (dependencies, edges, count),
        lossy,
    )
}

/// `cuStreamGetCaptureInfo_v3`
#[allow(clippy::too_many_arguments)]
pub(crate) fn stream_get_capture_info(
    default: DefaultStream,
    handle: Handle,
    status: Caller<i32>,
    id: Caller<u64>,
    graph: Caller<Handle>,
    dependencies: Caller<Caller<Handle>>,
    edges: Caller<Caller<CUgraphEdgeData>>,
    count: Caller<usize>,
) -> Answer {
    let lossy = !dependencies.is_null() && edges.is_null();
    capture_info(
        default,
        handle,
        status,
        id,
        graph,
        (dependencies, edges, count),
        lossy,
    )
}

type Lists = (
    Caller<Caller<Handle>>,
    Caller<Caller<CUgraphEdgeData>>,
    Caller<usize>,
);

/// `lossy`: the caller asks for nodes and cannot take what their edges say.
fn capture_info(
    default: DefaultStream,
    handle: Handle,
    status: Caller<i32>,
    id: Caller<u64>,
    graph: Caller<Handle>,
    (dependencies, edges, count): Lists,
    lossy: bool,
) -> Answer {
    status.required()?;
    stream::with_stream(default, handle, |stream| {
        info(stream, |number, member| {
            let Some(member) = member else {
                id.put_if_wanted(0);
                graph.put_if_wanted(0);
                dependencies.put_if_wanted(Caller::null());
                edges.put_if_wanted(Caller::null());
                count.put_if_wanted(0);
                return status.put(number);
            };
            let data: Vec<CUgraphEdgeData> = member.next.iter().map(|edge| edge.data).collect();
            if lossy && data.iter().any(|data| *data != CUgraphEdgeData::default()) {
                return Err(Code::LOSSY_QUERY);
            }
            let handles = {
                let body = member.capture.graph.body();
                member.next.iter().map(|edge| body.handle_of(edge.node)).collect()
            };
            member.shown = (handles, data);
            id.put_if_wanted(member.capture.id);
            graph.put_if_wanted(member.capture.graph.handle);
            dependencies.put_if_wanted(Caller::from_raw(member.shown.0.as_mut_ptr()));
            edges.put_if_wanted(Caller::from_raw(member.shown.1.as_mut_ptr()));
            count.put_if_wanted(member.shown.0.len());
            status.put(number)
        })
    })
}

/// `cuStreamUpdateCaptureDependencies`
pub(crate) fn stream_update_capture_dependencies_v1(
    default: DefaultStream,
    handle: Handle,
    dependencies: Caller<Handle>,
    count: usize,
    flags: u32,
) -> Answer {
    stream_update_capture_dependencies(default, handle, dependencies, Caller::null(), count, flags)
}

/// `cuStreamUpdateCaptureDependencies_v2`
pub(crate) fn stream_update_capture_dependencies(
    default: DefaultStream,
    handle: Handle,
    dependencies: Caller<Handle>,
    data: Caller<CUgraphEdgeData>,
    count: usize,
    flags: u32,
) -> Answer {
    const SET: u32 = 1;
    if flags > SET {
        return Err(Code::INVALID_VALUE);
    }
    let driver = state::driver()?;
    let stream = stream::stream(default, handle)?;
    if !enter(&stream)? {
        return Err(Code::ILLEGAL_STATE);
    }
    let mut member = lock(&stream.capture);
    let member = member.as_mut().ok_or(Code::ILLEGAL_STATE)?;
    let edges = super::build::edges(driver, &member.capture.graph, dependencies, data, count)?;
    if flags == SET {
        member.next = edges;
    } else {
        union(&mut member.next, &edges);
    }
    Ok(())
}

/// `cuThreadExchangeStreamCaptureMode`: swaps the thread's mode; needs no initialised driver.
pub(crate) fn thread_exchange_stream_capture_mode(mode: Caller<i32>) -> Answer {
    // A cuInit that found no device will do.
    if !state::asked() {
        return Err(Code::NOT_INITIALIZED);
    }
    let wanted = mode.get()?;
    if !(mode::GLOBAL..=mode::RELAXED).contains(&wanted) {
        return Err(Code::INVALID_VALUE);
    }
    mode.put(MODE.replace(wanted))
}
