//! Devices: how many, which one, their attributes and limits.

use crate::abi::{In, Out};
use crate::driver::driver;
use crate::error::Error;
use crate::thread::{check_device, context, device, primary, reset_device, set_device};
use std::ffi::c_char;

/// `cudaInitDeviceFlagsAreValid`.
const FLAGS_ARE_VALID: u32 = 1;

/// Flags that `cudaSetDeviceFlags` knows: scheduling, mapped host memory, local memory, sync of copies.
const DEVICE_FLAGS: u32 = 0xFF;

runtime_api! {
    /// Number of devices.
    fn cudaGetDeviceCount(count: Out<i32>) {
        let count = count.required()?;
        match driver() {
            Ok(driver) => driver.cuDeviceGetCount(count)?,
            Err(error) => {
                count.set(0)?;
                return Err(error);
            }
        }
        let mut number = 0;
        driver()?.cuDeviceGetCount(Out::local(&mut number))?;
        if number == 0 { Err(Error::NO_DEVICE) } else { Ok(()) }
    }

    /// The thread's device.
    fn cudaGetDevice(place: Out<i32>) {
        place.set(device()?)
    }

    /// Chooses the thread's device and initialises it.
    fn cudaSetDevice(device: i32) {
        set_device(device)
    }

    /// Initialises a device without choosing it.
    fn cudaInitDevice(device: i32, device_flags: u32, flags: u32) {
        let driver = driver()?;
        check_device(driver, device)?;
        if flags & FLAGS_ARE_VALID != 0 {
            driver.cuDevicePrimaryCtxSetFlags_v2(device, device_flags)?;
        }
        primary(driver, device).map(|_| ())
    }

    /// Flags of the thread's device.
    fn cudaSetDeviceFlags(flags: u32) {
        if flags & !DEVICE_FLAGS != 0 {
            return Err(Error::INVALID_VALUE);
        }
        driver()?.cuDevicePrimaryCtxSetFlags_v2(device()?, flags)
    }

    /// Reads them.
    fn cudaGetDeviceFlags(flags: Out<u32>) {
        let flags = flags.required()?;
        let mut active = 0;
        driver()?.cuDevicePrimaryCtxGetState(device()?, flags, Out::local(&mut active))
    }

    /// One attribute; the numbers are the driver's.
    fn cudaDeviceGetAttribute(value: Out<i32>, attribute: i32, device: i32) {
        let value = value.required()?;
        let driver = driver()?;
        check_device(driver, device)?;
        driver.cuDeviceGetAttribute(value, attribute, device)
    }

    /// PCI address of a device as text.
    fn cudaDeviceGetPCIBusId(text: Out<c_char>, length: i32, device: i32) {
        let text = text.required()?;
        driver()?.cuDeviceGetPCIBusId(text.as_ptr(), length, device)
    }

    /// The device with a PCI address.
    fn cudaDeviceGetByPCIBusId(device: Out<i32>, text: In<c_char>) {
        let device = device.required()?;
        let text = text.text().ok_or(Error::INVALID_VALUE)?;
        driver()?.cuDeviceGetByPCIBusId(device, text.as_ptr())
    }

    /// Ends everything in the primary context of the thread's device.
    fn cudaDeviceReset() {
        reset_device()
    }

    /// The old name of `cudaDeviceReset`.
    fn cudaThreadExit() {
        reset_device()
    }

    /// Waits for everything in the context.
    fn cudaDeviceSynchronize() {
        context()?.cuCtxSynchronize()
    }

    /// The old name of `cudaDeviceSynchronize`.
    fn cudaThreadSynchronize() {
        context()?.cuCtxSynchronize()
    }

    /// Reads a limit; the numbers are the driver's.
    fn cudaDeviceGetLimit(value: Out<usize>, limit: i32) {
        let value = value.required()?;
        context()?.cuCtxGetLimit(value, limit)
    }

    /// Sets a limit.
    fn cudaDeviceSetLimit(limit: i32, value: usize) {
        context()?.cuCtxSetLimit(limit, value)
    }

    /// Preference between shared memory and first-level cache.
    fn cudaDeviceGetCacheConfig(config: Out<i32>) {
        let config = config.required()?;
        context()?.cuCtxGetCacheConfig(config)
    }

    /// Sets it; a hint.
    fn cudaDeviceSetCacheConfig(config: i32) {
        context()?.cuCtxSetCacheConfig(config)
    }

    /// Priorities that streams can have.
    fn cudaDeviceGetStreamPriorityRange(least: Out<i32>, greatest: Out<i32>) {
        context()?.cuCtxGetStreamPriorityRange(least, greatest)
    }

    /// Gives persisting lines of the second-level cache back.
    fn cudaCtxResetPersistingL2Cache() {
        context()?.cuCtxResetPersistingL2Cache()
    }

    /// Whether one device can reach the memory of another.
    fn cudaDeviceCanAccessPeer(can: Out<i32>, device: i32, peer: i32) {
        let can = can.required()?;
        driver()?.cuDeviceCanAccessPeer(can, device, peer)
    }

    /// An attribute of the link between two devices.
    fn cudaDeviceGetP2PAttribute(value: Out<i32>, attribute: i32, source: i32, destination: i32) {
        let value = value.required()?;
        driver()?.cuDeviceGetP2PAttribute(value, attribute, source, destination)
    }

    /// Lets this context reach the memory of another device.
    fn cudaDeviceEnablePeerAccess(peer: i32, flags: u32) {
        let driver = context()?;
        let peer = primary(driver, peer)?;
        driver.cuCtxEnablePeerAccess(peer, flags)
    }

    /// Takes that back.
    fn cudaDeviceDisablePeerAccess(peer: i32) {
        let driver = context()?;
        let peer = primary(driver, peer)?;
        driver.cuCtxDisablePeerAccess(peer)
    }
}
