//! The primary context: one per device and process, shared by everybody who retains it.
//!
//! Its handle stays the same object until the last release destroys it; the next retain makes a new one.

use crate::code::{Answer, Code};
use crate::context::Context;
use crate::device::device;
use crate::state::Driver;
use crate::types::{Caller, Handle};
use std::sync::{Arc, MutexGuard, PoisonError};

const SCHEDULE_MASK: u32 = 0x07;
const FLAGS_KNOWN: u32 = 0xff;

/// What is known of the device's primary context.
#[derive(Default)]
pub(crate) struct Primary {
    context: Option<Arc<Context>>,
    retained: u32,
    flags: u32,
}

fn primary(driver: &'static Driver) -> MutexGuard<'static, Primary> {
    driver.primary.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The primary context with one more reference to it.
pub(crate) fn retain(driver: &'static Driver) -> Answer<Arc<Context>> {
    let mut primary = primary(driver);
    let context = match &primary.context {
        Some(context) => Arc::clone(context),
        None => {
            let context = Context::create(driver, primary.flags, 3020, true)?;
            primary.context = Some(Arc::clone(&context));
            context
        }
    };
    primary.retained += 1;
    Ok(context)
}

/// The primary context, where it is active.
pub(crate) fn active(driver: &'static Driver) -> Option<Arc<Context>> {
    primary(driver).context.clone()
}

/// `cuDevicePrimaryCtxRetain`
pub(crate) fn device_primary_ctx_retain(pctx: Caller<Handle>, dev: i32) -> Answer {
    let driver = device(dev)?;
    pctx.required()?;
    let context = retain(driver)?;
    pctx.put(context.handle())
}

/// `cuDevicePrimaryCtxRelease`: the last one destroys it.
pub(crate) fn device_primary_ctx_release(dev: i32) -> Answer {
    let driver = device(dev)?;
    let mut primary = primary(driver);
    primary.retained = primary.retained.checked_sub(1).ok_or(Code::INVALID_CONTEXT)?;
    if primary.retained > 0 {
        return Ok(());
    }
    destroy(driver, &mut primary)
}

fn destroy(driver: &'static Driver, primary: &mut Primary) -> Answer {
    let Some(context) = primary.context.take() else {
        return Ok(());
    };
    let _ = driver.contexts.remove(context.handle());
    context.destroy(driver)
}

/// `cuDevicePrimaryCtxReset`: destroys it whoever holds it; later releases still count.
pub(crate) fn device_primary_ctx_reset(dev: i32) -> Answer {
    let driver = device(dev)?;
    let mut primary = primary(driver);
    primary.retained = 0;
    destroy(driver, &mut primary)
}

/// `cuDevicePrimaryCtxSetFlags`
pub(crate) fn device_primary_ctx_set_flags(dev: i32, flags: u32) -> Answer {
    let driver = device(dev)?;
    if flags & !FLAGS_KNOWN != 0 || (flags & SCHEDULE_MASK).count_ones() > 1 {
        return Err(Code::INVALID_VALUE);
    }
    let mut primary = primary(driver);
    primary.flags = flags;
    if let Some(context) = &primary.context {
        context.set_flags(flags);
    }
    Ok(())
}

/// `cuDevicePrimaryCtxGetState`
pub(crate) fn device_primary_ctx_get_state(dev: i32, flags: Caller<u32>, active: Caller<i32>) -> Answer {
    let driver = device(dev)?;
    let primary = primary(driver);
    flags.required()?;
    active.put(i32::from(primary.context.is_some()))?;
    flags.put(primary.flags)
}
