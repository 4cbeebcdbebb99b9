//! All streams of a context at once.
//!
//! ```text
//!   cuCtxRecordEvent:  every stream ─ event ─▶ joining stream ── records the program's event
//!   cuCtxWaitEvent:    the program's event ─▶ joining stream ── gate ─▶ every stream, and those that are made later
//! ```
//!
//! The joining stream is the one in which the context takes part in copies of others: it is ordered with no other by itself.

use crate::code::{Answer, Code};
use crate::context::{self, Context};
use crate::event::{self, Event};
use crate::peer::{Link, order};
use crate::state::{self, Driver};
use crate::stream::Stream;
use crate::types::Handle;
use std::sync::{Arc, PoisonError};
use tessera_wire::messages::StreamWaitEvent;

/// Records an event behind all that these streams of a context have.
pub(crate) fn record(
    driver: &'static Driver,
    context: &Context,
    streams: &[Arc<Stream>],
    event: &Arc<Event>,
) -> Answer {
    let joining = context.peer_stream(driver)?;
    for stream in streams {
        order(driver, stream, joining)?;
    }
    event::record_in(driver, joining, event)
}

/// Makes these streams of a context wait for an event, and streams that are made later.
pub(crate) fn wait(
    driver: &'static Driver,
    context: &Context,
    streams: &[Arc<Stream>],
    event: Handle,
) -> Answer {
    let joining = context.peer_stream(driver)?;
    joining.submit(driver, &[], |seq| StreamWaitEvent {
        stream: joining.handle(),
        seq,
        event,
    })?;
    let mut gate = context.gate.lock().unwrap_or_else(PoisonError::into_inner);
    let link = match gate.take() {
        Some(link) => link,
        None => Link::create(driver, &context.core)?,
    };
    // Recorded anew it is behind all that it was recorded behind before.
    let link = gate.insert(link);
    link.record(joining)?;
    for stream in streams
        .iter()
        .filter(|stream| stream.handle() != joining.handle())
    {
        link.wait(stream)?;
    }
    Ok(())
}

/// Lets a new stream of a context wait for what the context waits for.
pub(crate) fn begin(context: &Context, stream: &Stream) -> Answer {
    // What a primary context waits for, its green contexts wait for.
    for context in [Some(context), context.primary.as_deref()].into_iter().flatten() {
        let gate = context.gate.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(link) = gate.as_ref().filter(|link| !link.is_done()) {
            link.wait(stream)?;
        }
    }
    Ok(())
}

/// `cuCtxRecordEvent`
pub(crate) fn ctx_record_event(ctx: Handle, h_event: Handle) -> Answer {
    let driver = state::driver()?;
    let context = context::context(ctx)?;
    context.core.check()?;
    let event = driver.events.get(h_event)?;
    if event.context() != context.core.handle {
        return Err(Code::INVALID_HANDLE);
    }
    record(driver, &context, &context.streams(), &event)
}

/// `cuCtxWaitEvent`
pub(crate) fn ctx_wait_event(ctx: Handle, h_event: Handle) -> Answer {
    let driver = state::driver()?;
    let context = context::context(ctx)?;
    context.core.check()?;
    if driver.events.with(h_event, |event| event.is_done(driver))? {
        return Ok(());
    }
    wait(driver, &context, &context.streams(), h_event)
}
