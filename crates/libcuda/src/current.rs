//! The stack of current contexts of each thread.

use crate::code::{Answer, Code};
use crate::context::Context;
use crate::types::Handle;
use std::cell::RefCell;
use std::sync::Arc;

thread_local! {
    static STACK: RefCell<Vec<Arc<Context>>> = const { RefCell::new(Vec::new()) };
}

fn stack<R>(look: impl FnOnce(&mut Vec<Arc<Context>>) -> R) -> Answer<R> {
    // A thread that ends has no stack any more; nothing is current there.
    STACK
        .try_with(|stack| stack.try_borrow_mut().map(|mut stack| look(&mut stack)))
        .ok()
        .and_then(Result::ok)
        .ok_or(Code::INVALID_CONTEXT)
}

/// The top of the stack, whatever its state; `None`: nothing is current.
pub(crate) fn top() -> Option<Arc<Context>> {
    stack(|stack| stack.last().cloned()).ok().flatten()
}

/// The current context, alive and without a fault, whether the program knows of it or not: for calls that wait for the worker.
pub(crate) fn faultless() -> Answer<Arc<Context>> {
    let context = alive()?;
    context.core.look()?;
    Ok(context)
}

/// The current context, alive and without a sticky error that the program knows of.
pub(crate) fn current() -> Answer<Arc<Context>> {
    let context = alive()?;
    context.core.check()?;
    Ok(context)
}

/// The current context, alive; a sticky error does not matter.
pub(crate) fn alive() -> Answer<Arc<Context>> {
    let context = top().ok_or(Code::INVALID_CONTEXT)?;
    context.core.check_alive()?;
    Ok(context)
}

/// Looks at the current context, alive and without a sticky error, without counting a reference: for launches. `look` must not
/// change the stack.
pub(crate) fn with_current<R>(look: impl FnOnce(&Arc<Context>) -> Answer<R>) -> Answer<R> {
    STACK
        .try_with(|stack| {
            let stack = stack.try_borrow().map_err(|_| Code::INVALID_CONTEXT)?;
            let context = stack.last().ok_or(Code::INVALID_CONTEXT)?;
            context.core.check()?;
            look(context)
        })
        .unwrap_or(Err(Code::INVALID_CONTEXT))
}

/// Looks at the current context, alive; a sticky error does not matter. `look` must not change the stack.
pub(crate) fn with_alive<R>(look: impl FnOnce(&Arc<Context>) -> Answer<R>) -> Answer<R> {
    STACK
        .try_with(|stack| {
            let stack = stack.try_borrow().map_err(|_| Code::INVALID_CONTEXT)?;
            let context = stack.last().ok_or(Code::INVALID_CONTEXT)?;
            context.core.check_alive()?;
            look(context)
        })
        .unwrap_or(Err(Code::INVALID_CONTEXT))
}

pub(crate) fn push(context: Arc<Context>) -> Answer {
    stack(|stack| stack.push(context))
}

pub(crate) fn pop() -> Answer<Arc<Context>> {
    stack(Vec::pop)?.ok_or(Code::INVALID_CONTEXT)
}

/// Replaces the top; `None` takes it away.
pub(crate) fn replace(context: Option<Arc<Context>>) -> Answer {
    stack(|stack| {
        stack.pop();
        stack.extend(context);
    })
}

/// Handle of the top of the stack, 0 for none.
pub(crate) fn top_handle() -> Handle {
    STACK
        .try_with(|stack| stack.try_borrow().ok()?.last().map(|context| context.shown()))
        .ok()
        .flatten()
        .unwrap_or(0)
}
