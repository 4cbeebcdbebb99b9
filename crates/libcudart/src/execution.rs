//! Execution contexts: the primary context of a device, and parts of a device (the driver's green contexts).

use crate::abi::{Handle, Out};
use crate::driver::{Driver, driver};
use crate::error::Error;
use crate::thread::{check_device, context, primary};
use std::collections::HashSet;
use std::ffi::c_void;
use std::sync::{Mutex, PoisonError};

/// Handles of green contexts that are there; any other execution context is a primary one.
static GREEN: Mutex<Option<HashSet<usize>>> = Mutex::new(None);

fn is_green(handle: Handle) -> bool {
    let green = GREEN.lock().unwrap_or_else(PoisonError::into_inner);
    green.as_ref().is_some_and(|green| green.contains(&handle.addr()))
}

/// The driver's context of an execution context; the current one for null.
pub(crate) fn context_of(driver: &Driver, execution: Handle) -> Result<Handle, Error> {
    let mut found: Handle = std::ptr::null_mut();
    if execution.is_null() {
        driver.cuCtxGetCurrent(Out::local(&mut found))?;
    } else if is_green(execution) {
        driver.cuCtxFromGreenCtx(Out::local(&mut found), execution)?;
    } else {
        found = execution;
    }
    Ok(found)
}

/// The driver and the context of an execution context that must be one.
fn given(execution: Handle) -> Result<(&'static Driver, Handle), Error> {
    if execution.is_null() {
        return Err(Error::INVALID_VALUE);
    }
    let driver = context()?;
    Ok((driver, context_of(driver, execution)?))
}

runtime_api! {
    /// The execution context that is all of a device: its primary context.
    fn cudaDeviceGetExecutionCtx(place: Out<Handle>, device: i32) {
        let place = place.required()?;
        let driver = driver()?;
        check_device(driver, device)?;
        place.set(primary(driver, device)?)
    }

    /// Makes an execution context of a part of a device.
    fn cudaGreenCtxCreate(place: Out<Handle>, description: Handle, device: i32, flags: u32) {
        let place = place.required()?;
        let driver = driver()?;
        check_device(driver, device)?;
        primary(driver, device)?;
        // The driver's flag says that streams of this context have a default stream of their own, which it requires.
        const DEFAULT_STREAM: u32 = 1;
        if flags != 0 {
            return Err(Error::INVALID_VALUE);
        }
        let mut green: Handle = std::ptr::null_mut();
        driver.cuGreenCtxCreate(Out::local(&mut green), description, device, DEFAULT_STREAM)?;
        GREEN.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default().insert(green.addr());
        place.set(green)
    }

    /// Ends such a context. A primary one ends by `cudaDeviceReset` alone.
    fn cudaExecutionCtxDestroy(execution: Handle) {
        let driver = context()?;
        if !is_green(execution) {
            return Err(Error::INVALID_VALUE);
        }
        driver.cuGreenCtxDestroy(execution)?;
        GREEN.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default().remove(&execution.addr());
        Ok(())
    }

    /// What of the device it is.
    fn cudaExecutionCtxGetDevResource(execution: Handle, resource: *mut c_void, kind: i32) {
        let (driver, context) = given(execution)?;
        driver.cuCtxGetDevResource(context, resource, kind)
    }

    /// Its device.
    fn cudaExecutionCtxGetDevice(device: Out<i32>, execution: Handle) {
        let (driver, context) = given(execution)?;
        driver.cuCtxGetDevice_v2(device, context)
    }

    /// Its number.
    fn cudaExecutionCtxGetId(execution: Handle, id: Out<u64>) {
        let (driver, context) = given(execution)?;
        driver.cuCtxGetId(context, id)
    }

    /// Records what all of its streams hold now.
    fn cudaExecutionCtxRecordEvent(execution: Handle, event: Handle) {
        let (driver, context) = given(execution)?;
        driver.cuCtxRecordEvent(context, event)
    }

    /// Lets all of its streams wait.
    fn cudaExecutionCtxWaitEvent(execution: Handle, event: Handle) {
        let (driver, context) = given(execution)?;
        driver.cuCtxWaitEvent(context, event)
    }

    /// Waits for all of its streams.
    fn cudaExecutionCtxSynchronize(execution: Handle) {
        let (driver, context) = given(execution)?;
        driver.cuCtxSynchronize_v2(context)
    }

    /// Creates a stream in it.
    fn cudaExecutionCtxStreamCreate(stream: Out<Handle>, execution: Handle, flags: u32, priority: i32) {
        let (driver, context) = given(execution)?;
        if is_green(execution) {
            return driver.cuGreenCtxStreamCreate(stream, execution, flags, priority);
        }
        let mut before: Handle = std::ptr::null_mut();
        driver.cuCtxGetCurrent(Out::local(&mut before))?;
        driver.cuCtxSetCurrent(context)?;
        let result = driver.cuStreamCreateWithPriority(stream, flags, priority);
        driver.cuCtxSetCurrent(before)?;
        result
    }
}

forward_api! {
    /// What a device has to give.
    fn cudaDeviceGetDevResource(device: i32, resource: *mut c_void, kind: i32) => cuDeviceGetDevResource;
    /// Divides multiprocessors into groups of a size.
    fn cudaDevSmResourceSplitByCount(
        result: *mut c_void, groups: *mut u32, input: *const c_void, rest: *mut c_void, flags: u32, least: u32,
    ) => cuDevSmResourceSplitByCount;
    /// Divides them as described.
    fn cudaDevSmResourceSplit(
        result: *mut c_void, groups: u32, input: *const c_void, rest: *mut c_void, flags: u32, what: *mut c_void,
    ) => cuDevSmResourceSplit;
    /// Describes what a context shall have.
    fn cudaDevResourceGenerateDesc(description: Out<Handle>, resources: *mut c_void, count: u32) => cuDevResourceGenerateDesc;
}
