//! What belongs to a thread: its last error, its device, the launch configuration between the two halves of `<<<...>>>`; and the primary
//! context that the first use of a device makes current.

use crate::abi::{Dim3, Handle, Out};
use crate::driver::{Driver, driver};
use crate::error::Error;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Mutex, PoisonError};

/// What `<<<grid, block, shared, stream>>>` says.
#[derive(Clone, Copy)]
pub(crate) struct CallConfiguration {
    pub(crate) grid: Dim3,
    pub(crate) block: Dim3,
    pub(crate) shared_bytes: usize,
    pub(crate) stream: Handle,
}

thread_local! {
    static LAST_ERROR: Cell<i32> = const { Cell::new(0) };
    /// What `cudaSetDevice` chose.
    static DEVICE: Cell<Option<i32>> = const { Cell::new(None) };
    static CONFIGURATIONS: RefCell<Vec<CallConfiguration>> = const { RefCell::new(Vec::new()) };
}

/// Primary contexts that this library retained, by device. The address of a handle, since handles are not `Send`.
static PRIMARY: Mutex<Option<HashMap<i32, usize>>> = Mutex::new(None);

/// The device of threads that choose none: the first that `cudaSetValidDevices` named.
static FIRST: AtomicI32 = AtomicI32::new(0);

fn chosen() -> i32 {
    DEVICE.get().unwrap_or_else(|| FIRST.load(Ordering::Relaxed))
}

/// `cudaSetValidDevices`.
pub(crate) fn set_first(device: i32) {
    FIRST.store(device, Ordering::Relaxed);
}

/// Ends an exported function: the code to return, which an error leaves behind as the thread's last error.
pub(crate) fn finish(result: Result<(), Error>) -> i32 {
    match result {
        Ok(()) => 0,
        Err(error) => {
            LAST_ERROR.set(error.code());
            error.code()
        }
    }
}

/// `cudaPeekAtLastError`.
pub(crate) fn peek_error() -> i32 {
    LAST_ERROR.get()
}

/// `cudaGetLastError`: the error is forgotten, unless its context is lost with it.
pub(crate) fn take_error() -> i32 {
    let code = LAST_ERROR.get();
    if !Error::is_sticky(code) {
        LAST_ERROR.set(0);
    }
    code
}

/// Keeps what `<<<...>>>` says until the stub of the kernel asks for it.
pub(crate) fn push_configuration(configuration: CallConfiguration) {
    CONFIGURATIONS.with_borrow_mut(|stack| stack.push(configuration));
}

/// Gives it to the stub.
pub(crate) fn pop_configuration() -> Result<CallConfiguration, Error> {
    CONFIGURATIONS.with_borrow_mut(|stack| stack.pop().ok_or(Error::MISSING_CONFIGURATION))
}

/// The driver with a context current in this thread: the one that the program made current itself, or the primary context of the
/// thread's device.
pub(crate) fn context() -> Result<&'static Driver, Error> {
    let driver = driver()?;
    let mut current: Handle = std::ptr::null_mut();
    driver.cuCtxGetCurrent(Out::local(&mut current))?;
    if current.is_null() {
        make_primary_current(driver, chosen())?;
    }
    Ok(driver)
}

/// The device that calls of this thread mean.
pub(crate) fn device() -> Result<i32, Error> {
    let driver = driver()?;
    let mut current: Handle = std::ptr::null_mut();
    driver.cuCtxGetCurrent(Out::local(&mut current))?;
    if current.is_null() {
        return Ok(chosen());
    }
    let mut device = 0;
    driver.cuCtxGetDevice(Out::local(&mut device))?;
    Ok(device)
}

/// `cudaSetDevice`: the device's primary context becomes current.
pub(crate) fn set_device(device: i32) -> Result<(), Error> {
    let driver = driver()?;
    check_device(driver, device)?;
    DEVICE.set(Some(device));
    make_primary_current(driver, device)
}

/// `cudaErrorInvalidDevice` for a device that does not exist.
pub(crate) fn check_device(driver: &Driver, device: i32) -> Result<(), Error> {
    let mut handle = 0;
    driver.cuDeviceGet(Out::local(&mut handle), device)
}

/// `cudaDeviceReset`: everything in the primary context of the thread's device ends; the next call starts afresh.
pub(crate) fn reset_device() -> Result<(), Error> {
    let driver = driver()?;
    let device = device()?;
    let mut primary = PRIMARY.lock().unwrap_or_else(PoisonError::into_inner);
    let retained = primary.get_or_insert_default().remove(&device).is_some();
    driver.cuCtxSetCurrent(std::ptr::null_mut())?;
    driver.cuDevicePrimaryCtxReset_v2(device)?;
    if retained {
        driver.cuDevicePrimaryCtxRelease_v2(device)?;
    }
    LAST_ERROR.set(0);
    Ok(())
}

/// The primary context of a device, retained once per process.
pub(crate) fn primary(driver: &Driver, device: i32) -> Result<Handle, Error> {
    let mut primary = PRIMARY.lock().unwrap_or_else(PoisonError::into_inner);
    let contexts = primary.get_or_insert_default();
    if let Some(address) = contexts.get(&device) {
        return Ok(std::ptr::with_exposed_provenance_mut(*address));
    }
    let mut context: Handle = std::ptr::null_mut();
    driver.cuDevicePrimaryCtxRetain(Out::local(&mut context), device)?;
    contexts.insert(device, context.expose_provenance());
    Ok(context)
}

fn make_primary_current(driver: &Driver, device: i32) -> Result<(), Error> {
    let context = primary(driver, device)?;
    driver.cuCtxSetCurrent(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_kept_until_it_is_taken() {
        assert_eq!(finish(Err(Error::INVALID_VALUE)), 1);
        assert_eq!(finish(Ok(())), 0);
        assert_eq!(peek_error(), 1);
        assert_eq!(take_error(), 1);
        assert_eq!(take_error(), 0);
    }

    #[test]
    fn an_error_that_costs_the_context_stays() {
        assert_eq!(finish(Err(Error::from_code(700))), 700);
        assert_eq!(take_error(), 700);
        assert_eq!(peek_error(), 700);
    }

    #[test]
    fn configurations_come_back_last_first() {
        let dim = |x| Dim3 { x, y: 1, z: 1 };
        for x in [1, 2] {
            push_configuration(CallConfiguration {
                grid: dim(x),
                block: dim(32),
                shared_bytes: 0,
                stream: std::ptr::null_mut(),
            });
        }
        assert_eq!(
            pop_configuration().map(|configuration| configuration.grid),
            Ok(dim(2))
        );
        assert_eq!(
            pop_configuration().map(|configuration| configuration.grid),
            Ok(dim(1))
        );
        assert_eq!(
            pop_configuration().map(|configuration| configuration.grid),
            Err(Error::MISSING_CONFIGURATION)
        );
    }
}
