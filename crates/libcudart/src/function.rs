//! Kernels: attributes, parameters, occupancy.

use crate::abi::{DefaultStream, FuncAttributes, Handle, In, LaunchConfig, Out};
use crate::driver::Driver;
use crate::error::Error;
use crate::launch::driver_config;
use crate::registry::kernel;
use crate::thread::{context, device};
use std::ffi::{c_char, c_void};

/// The driver with the kernel of a stub. What is no stub is taken for the handle of a kernel, which is allowed too.
pub(crate) fn kernel_of(stub: *const c_void) -> Result<(&'static Driver, Handle), Error> {
    let driver = context()?;
    match kernel(stub) {
        Ok(kernel) => Ok((driver, kernel.handle(driver)?)),
        Err(error) if stub.is_null() => Err(error),
        Err(_) => Ok((driver, stub.cast_mut())),
    }
}

/// The same as a function of the current context.
pub(crate) fn function_of(stub: *const c_void) -> Result<(&'static Driver, Handle), Error> {
    let (driver, kernel) = kernel_of(stub)?;
    let mut function: Handle = std::ptr::null_mut();
    driver.cuKernelGetFunction(Out::local(&mut function), kernel)?;
    Ok((driver, function))
}

/// All attributes of a kernel; those that the driver does not know are 0.
fn attributes(driver: &Driver, kernel: Handle, device: i32) -> Result<FuncAttributes, Error> {
    let get = |attribute: i32| -> Result<i32, Error> {
        let mut value = 0;
        driver.cuKernelGetAttribute(Out::local(&mut value), attribute, kernel, device)?;
        Ok(value)
    };
    let bytes =
        |attribute: i32| get(attribute).and_then(|value| usize::try_from(value).map_err(|_| Error::UNKNOWN));
    Ok(FuncAttributes {
        max_threads_per_block: get(0)?,
        shared_bytes: bytes(1)?,
        const_bytes: bytes(2)?,
        local_bytes: bytes(3)?,
        registers: get(4)?,
        ptx_version: get(5)?,
        binary_version: get(6)?,
        cache_mode_ca: get(7).unwrap_or(0),
        max_dynamic_shared_bytes: get(8).unwrap_or(0),
        preferred_shared_carveout: get(9).unwrap_or(-1),
        cluster_dim_must_be_set: get(10).unwrap_or(0),
        required_cluster_width: get(11).unwrap_or(0),
        required_cluster_height: get(12).unwrap_or(0),
        required_cluster_depth: get(13).unwrap_or(0),
        cluster_scheduling_policy: get(15).unwrap_or(0),
        non_portable_cluster_allowed: get(14).unwrap_or(0),
        reserved: [0; 16],
    })
}

runtime_api! {
    /// Attributes of a kernel.
    fn cudaFuncGetAttributes(place: Out<FuncAttributes>, stub: *const c_void) {
        let place = place.required()?;
        let (driver, kernel) = kernel_of(stub)?;
        place.set(attributes(driver, kernel, device()?)?)
    }

    /// Sets one; the numbers are the driver's.
    fn cudaFuncSetAttribute(stub: *const c_void, attribute: i32, value: i32) {
        let (driver, kernel) = kernel_of(stub)?;
        driver.cuKernelSetAttribute(attribute, value, kernel, device()?)
    }

    /// Sets one for a device.
    fn cudaKernelSetAttributeForDevice(kernel: Handle, attribute: i32, value: i32, device: i32) {
        context()?.cuKernelSetAttribute(attribute, value, kernel, device)
    }

    /// Preference between shared memory and first-level cache; a hint.
    fn cudaFuncSetCacheConfig(stub: *const c_void, config: i32) {
        let (driver, kernel) = kernel_of(stub)?;
        driver.cuKernelSetCacheConfig(kernel, config, device()?)
    }

    /// Name of a kernel in its module.
    fn cudaFuncGetName(name: Out<*const c_char>, stub: *const c_void) {
        let name = name.required()?;
        if let Ok(kernel) = kernel(stub) {
            // Lives as long as the registration of the kernel.
            return name.set(kernel.name().as_ptr());
        }
        let (driver, kernel) = kernel_of(stub)?;
        driver.cuKernelGetName(name, kernel)
    }

    /// Offset and size of a parameter.
    fn cudaFuncGetParamInfo(stub: *const c_void, index: usize, offset: Out<usize>, bytes: Out<usize>) {
        let offset = offset.required()?;
        let (driver, kernel) = kernel_of(stub)?;
        let mut size = 0;
        driver.cuKernelGetParamInfo(kernel, index, offset, Out::local(&mut size))?;
        bytes.set_if_wanted(size);
        Ok(())
    }

    /// Number of parameters.
    fn cudaFuncGetParamCount(stub: *const c_void, count: Out<usize>) {
        let count = count.required()?;
        let (driver, kernel) = kernel_of(stub)?;
        let mut number = 0;
        loop {
            let (mut offset, mut bytes) = (0, 0);
            match driver.cuKernelGetParamInfo(kernel, number, Out::local(&mut offset), Out::local(&mut bytes)) {
                Ok(()) => number += 1,
                Err(Error::INVALID_VALUE) => break count.set(number),
                Err(error) => break Err(error),
            }
        }
    }

    /// How many blocks of a kernel a multiprocessor holds.
    fn cudaOccupancyMaxActiveBlocksPerMultiprocessor(blocks: Out<i32>, stub: *const c_void, block_size: i32, shared_bytes: usize) {
        let blocks = blocks.required()?;
        let (driver, function) = function_of(stub)?;
        driver.cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks, function, block_size, shared_bytes, 0)
    }

    /// The same with flags.
    fn cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(
        blocks: Out<i32>, stub: *const c_void, block_size: i32, shared_bytes: usize, flags: u32,
    ) {
        let blocks = blocks.required()?;
        let (driver, function) = function_of(stub)?;
        driver.cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks, function, block_size, shared_bytes, flags)
    }

    /// Dynamic shared memory that is left for each of a number of blocks.
    fn cudaOccupancyAvailableDynamicSMemPerBlock(bytes: Out<usize>, stub: *const c_void, blocks: i32, block_size: i32) {
        let bytes = bytes.required()?;
        let (driver, function) = function_of(stub)?;
        driver.cuOccupancyAvailableDynamicSMemPerBlock(bytes, function, blocks, block_size)
    }

    /// Largest cluster of a kernel.
    fn cudaOccupancyMaxPotentialClusterSize(size: Out<i32>, stub: *const c_void, config: In<LaunchConfig>) {
        let size = size.required()?;
        let config = driver_config(&config.get()?, DefaultStream::Legacy)?;
        let (driver, function) = function_of(stub)?;
        driver.cuOccupancyMaxPotentialClusterSize(size, function, &config)
    }

    /// Clusters of a kernel that the device holds at once.
    fn cudaOccupancyMaxActiveClusters(clusters: Out<i32>, stub: *const c_void, config: In<LaunchConfig>) {
        let clusters = clusters.required()?;
        let config = driver_config(&config.get()?, DefaultStream::Legacy)?;
        let (driver, function) = function_of(stub)?;
        driver.cuOccupancyMaxActiveClusters(clusters, function, &config)
    }
}
