//! Sockets and threads: one accepts guests, one accepts the manager, two per session.
//!
//! ```text
//!   guest.sock ─▶ accept ─▶ session thread: Hello ─▶ Guest::dispatch, message by message ─▶ everything freed
//!                                   └─ watcher: end of the connection or of the guest's process wakes the dispatcher
//!   control.sock ─▶ accept ─▶ connection thread: status, shutdown
//! ```

use crate::WorkerError;
use crate::refusal::chain;
use crate::session::Guest;
use crate::sinks::Callers;
use crate::vgpu::{SessionInfo, Vgpu};
use crate::{control, limits};
use std::any::Any;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::thread;
use tessera_channel::{ChannelError, Offer, Pending, Receiver, Session, UnixCarrier};
use tessera_wire::{CudaCode, Request};

/// Connections that have not said Hello yet, over and above the sessions.
const GREETING: usize = 64;
/// The compiler works on a session's thread and descends with the text's nesting. Only pages in use cost memory.
const SESSION_STACK: usize = 16 << 20;

/// Listens at `path`, where a socket of a worker that is gone may still lie.
pub(crate) fn listen(path: &Path, mode: u32) -> Result<UnixListener, WorkerError> {
    let failed = |source| WorkerError::Listen {
        path: path.to_owned(),
        source,
    };
    if UnixStream::connect(path).is_ok() {
        return Err(failed(std::io::Error::from(std::io::ErrorKind::AddrInUse)));
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(failed)?;
    Ok(listener)
}

/// Starts a thread that accepts guests.
pub(crate) fn guests(vgpu: &Arc<Vgpu>, listener: UnixListener) -> Result<(), WorkerError> {
    let vgpu = Arc::clone(vgpu);
    let connections = Arc::new(AtomicUsize::new(0));
    let accept = move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream.inspect_err(pause_after) else {
                continue;
            };
            let most = vgpu.limits.sessions.saturating_add(GREETING);
            if connections.fetch_add(1, Ordering::SeqCst) >= most {
                connections.fetch_sub(1, Ordering::SeqCst);
                tracing::warn!("too many connections; one is dropped");
                continue;
            }
            let (vgpu, counter) = (Arc::clone(&vgpu), Arc::clone(&connections));
            let started = thread::Builder::new()
                .name("session".into())
                .stack_size(SESSION_STACK)
                .spawn(move || {
                    session(&vgpu, stream);
                    counter.fetch_sub(1, Ordering::SeqCst);
                });
            if let Err(error) = started {
                connections.fetch_sub(1, Ordering::SeqCst);
                tracing::error!(%error, "no thread for a session");
            }
        }
    };
    start("guests", accept)
}

/// Starts a thread that accepts managers; `shutdown` is told when one of them wants the worker to end.
pub(crate) fn managers(
    vgpu: &Arc<Vgpu>,
    listener: UnixListener,
    shutdown: Sender<()>,
) -> Result<(), WorkerError> {
    let vgpu = Arc::clone(vgpu);
    let accept = move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream.inspect_err(pause_after) else {
                continue;
            };
            let (vgpu, shutdown) = (Arc::clone(&vgpu), shutdown.clone());
            if let Err(error) = start("control", move || control::serve(&vgpu, &stream, &shutdown)) {
                tracing::error!(error = %chain(&error), "no thread for a manager");
            }
        }
    };
    start("managers", accept)
}

/// Out of descriptors: trying again at once would only burn time.
fn pause_after(error: &std::io::Error) {
    tracing::error!(%error, "cannot accept a connection");
    thread::sleep(std::time::Duration::from_millis(100));
}

fn start(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), WorkerError> {
    thread::Builder::new()
        .name(name.into())
        .spawn(work)
        .map(|_| ())
        .map_err(WorkerError::Thread)
}

fn session(vgpu: &Arc<Vgpu>, stream: UnixStream) {
    let carrier = Arc::new(UnixCarrier::new(stream, true));
    let pending = match Pending::receive(carrier) {
        Ok(pending) => pending,
        Err(error) => {
            tracing::warn!(error = %chain(&error), "connection without a session");
            return;
        }
    };
    let (program, kind, claimed_pid) = (
        pending.program().to_owned(),
        pending.kind(),
        pending.claimed_pid(),
    );
    let pid = pending.peer().map_or(0, |peer| peer.pid);
    let Some((receiver, info, channel)) = enter(vgpu, pending, |id| {
        SessionInfo::new(id, [pid, claimed_pid], program, kind, Arc::clone(&vgpu.faults))
    }) else {
        return;
    };
    tracing::info!(session = info.id, pid, name = info.name, kind, "session begins");
    let callers = Arc::new(Callers::default());
    let (watcher, watched) = (Arc::clone(&channel), Arc::clone(&callers));
    let watch = move || watcher.watch(|request| out_of_turn(&watched, request));
    if let Err(error) = start("watcher", watch) {
        tracing::error!(error = %chain(&error), "no thread to watch a session");
        channel.end(CudaCode::OperatingSystem);
    }
    let id = info.id;
    run_session(vgpu, receiver, info, &channel, callers);
    vgpu.leave(id);
}

fn enter(
    vgpu: &Arc<Vgpu>,
    pending: Pending,
    info: impl FnOnce(u64) -> SessionInfo,
) -> Option<(Receiver, Arc<SessionInfo>, Arc<Session>)> {
    if vgpu.session_count() >= vgpu.limits.sessions {
        let reason = format!(
            "The vGPU has {} sessions, the most it takes",
            vgpu.limits.sessions
        );
        tracing::warn!("{reason}");
        pending.refuse(CudaCode::OutOfMemory, &reason);
        return None;
    }
    if vgpu.is_closing() {
        pending.refuse(CudaCode::Deinitialized, "The vGPU is being shut down");
        return None;
    }
    let offer = Offer {
        welcome: limits::welcome(&vgpu.limits, &vgpu.arena),
        layout: vgpu.limits.layout,
        vgpu: vgpu.info(),
    };
    let (receiver, channel) = pending
        .accept(&offer)
        .inspect_err(|error| tracing::warn!(error = %chain(error), "session does not begin"))
        .ok()?;
    let shared = Arc::clone(&channel);
    let entered = vgpu.enter(|id| {
        let info = Arc::new(info(id));
        Some((Arc::clone(&info), info, shared))
    });
    let Some(info) = entered else {
        channel.end(CudaCode::Deinitialized);
        return None;
    };
    Some((receiver, info, channel))
}

/// Serves what overtakes the ring.
fn out_of_turn(callers: &Callers, request: &Request<'_>) -> Result<(), ChannelError> {
    match request {
        Request::HostDone(message) => {
            // Nobody waits any more where the stream's context has ended meanwhile.
            callers.done(message.stream);
            Ok(())
        }
        _ => Err(ChannelError::Corrupt(
            "a message out of turn that nobody waits for",
        )),
    }
}

fn run_session(
    vgpu: &Arc<Vgpu>,
    mut receiver: Receiver,
    info: Arc<SessionInfo>,
    channel: &Arc<Session>,
    callers: Arc<Callers>,
) {
    let id = info.id;
    let mut guest = Guest::new(Arc::clone(vgpu), info, Arc::clone(channel), callers);
    // A handler that panics has a defect; it must not take the other sessions of the vGPU along.
    let result = catch_unwind(AssertUnwindSafe(|| dispatch(&mut receiver, &mut guest)));
    match result {
        Ok(Ok(())) => channel.close(),
        Ok(Err(error)) => {
            tracing::warn!(session = id, error = %chain(&error), "session is ended");
            channel.end(CudaCode::InvalidValue);
        }
        Err(panic) => {
            tracing::error!(
                session = id,
                panic = panic_text(panic.as_ref()),
                "defect in the worker; the session is ended"
            );
            channel.end(CudaCode::Unknown);
        }
    }
    drop(receiver);
    // Frees everything; waits for kernels to stop.
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(guest))) {
        tracing::error!(
            session = id,
            panic = panic_text(panic.as_ref()),
            "defect in the worker while it freed a session"
        );
    }
    tracing::info!(session = id, "session is over");
}

fn dispatch(receiver: &mut Receiver, guest: &mut Guest) -> Result<(), ChannelError> {
    while let Some((header, request)) = receiver.receive()? {
        match guest.dispatch(&header, &request) {
            // The guest is gone while it is answered: an end like any other.
            Err(ChannelError::Disconnected) => return Ok(()),
            other => other?,
        }
    }
    Ok(())
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without text")
}
