//! Launches: by the stub of a kernel, or by its handle as the stubs of compiler 12.8 and later do it.

use crate::abi::{
    DefaultStream, Dim3, DriverLaunchConfig, DriverLaunchParams, Handle, In, LaunchConfig, LaunchParams, Out,
};
use crate::driver::Driver;
use crate::error::Error;
use crate::registry::kernel;
use crate::thread::context;
use std::ffi::c_void;
use std::sync::atomic::{AtomicI32, Ordering};

/// Addresses of a kernel's arguments.
type Arguments = *mut *mut c_void;

/// Error of the last kernel that `__cudaGetKernel` could not give. A stub asks once and keeps what it got, so that the launch, which
/// then comes with a null handle, has nothing else to report.
static KERNEL_ERROR: AtomicI32 = AtomicI32::new(0);

/// A launch as the C interface gives it.
struct Launch {
    grid: Dim3,
    block: Dim3,
    shared_bytes: usize,
    stream: Handle,
    arguments: Arguments,
}

impl Launch {
    /// Whether no device could take these dimensions: more than the limits that all compute capabilities share, or nothing.
    fn is_impossible(&self) -> bool {
        let (grid, block) = (self.grid, self.block);
        let threads = u64::from(block.x)
            .saturating_mul(u64::from(block.y))
            .saturating_mul(u64::from(block.z));
        let blocks_fit = (1..=0x7FFF_FFFF).contains(&grid.x)
            && (1..=0xFFFF).contains(&grid.y)
            && (1..=0xFFFF).contains(&grid.z);
        !blocks_fit || !(1..=1024).contains(&threads) || block.z > 64
    }
}

/// Launches. Where the driver calls dimensions an invalid value, the runtime calls them an invalid configuration.
fn launch(driver: &Driver, kernel: Handle, what: &Launch, cooperative: bool) -> Result<(), Error> {
    match submit(driver, kernel, what, cooperative) {
        Err(Error::INVALID_VALUE) if what.is_impossible() => Err(Error::INVALID_CONFIGURATION),
        result => result,
    }
}

fn submit(driver: &Driver, kernel: Handle, launch: &Launch, cooperative: bool) -> Result<(), Error> {
    let shared_bytes = u32::try_from(launch.shared_bytes).map_err(|_| Error::INVALID_VALUE)?;
    let (grid, block) = (launch.grid, launch.block);
    if cooperative {
        return driver.cuLaunchCooperativeKernel(
            kernel,
            grid.x,
            grid.y,
            grid.z,
            block.x,
            block.y,
            block.z,
            shared_bytes,
            launch.stream,
            launch.arguments,
        );
    }
    driver.cuLaunchKernel(
        kernel,
        grid.x,
        grid.y,
        grid.z,
        block.x,
        block.y,
        block.z,
        shared_bytes,
        launch.stream,
        launch.arguments,
        std::ptr::null_mut(),
    )
}

/// Launches by the stub.
fn launch_stub(stub: *const c_void, what: &Launch, cooperative: bool) -> Result<(), Error> {
    let driver = context()?;
    let kernel = kernel(stub)?.handle(driver)?;
    launch(driver, kernel, what, cooperative)
}

/// Launches by the stubs of a list that has an entry for each device. A guest has one device.
fn launch_on_devices(list: In<LaunchParams>, devices: u32, flags: u32) -> Result<(), Error> {
    let driver = context()?;
    if devices != 1 {
        return Err(Error::INVALID_VALUE);
    }
    let one = list.get()?;
    let params = DriverLaunchParams {
        function: kernel(one.function)?.handle(driver)?,
        grid: one.grid,
        block: one.block,
        shared_bytes: u32::try_from(one.shared_bytes).map_err(|_| Error::INVALID_VALUE)?,
        stream: one.stream,
        arguments: one.arguments,
    };
    driver.cuLaunchCooperativeKernelMultiDevice(&raw const params, devices, flags)
}

/// Launches by the handle.
fn launch_handle(kernel: Handle, what: &Launch) -> Result<(), Error> {
    let driver = context()?;
    if kernel.is_null() {
        let code = KERNEL_ERROR.load(Ordering::Relaxed);
        return Err(if code == 0 {
            Error::INVALID_DEVICE_FUNCTION
        } else {
            Error::from_code(code)
        });
    }
    launch(driver, kernel, what, false)
}

/// The driver's form of a launch configuration.
pub(crate) fn driver_config(
    config: &LaunchConfig,
    default: DefaultStream,
) -> Result<DriverLaunchConfig, Error> {
    Ok(DriverLaunchConfig {
        grid: config.grid,
        block: config.block,
        shared_bytes: u32::try_from(config.shared_bytes).map_err(|_| Error::INVALID_VALUE)?,
        stream: default.stream(config.stream),
        // Attributes are laid out and numbered alike in both interfaces.
        attributes: config.attributes,
        attribute_count: config.attribute_count,
    })
}

/// The kernel of a stub, with the error kept for the launch.
fn get_kernel(place: Out<Handle>, stub: *const c_void) -> Result<(), Error> {
    let place = place.required()?;
    let found = context().and_then(|driver| kernel(stub)?.handle(driver));
    if let Err(error) = &found {
        KERNEL_ERROR.store(error.code(), Ordering::Relaxed);
    }
    place.set(found?)
}

runtime_api! {
    /// The kernel of a stub; asked once per place of a launch.
    fn __cudaGetKernel(place: Out<Handle>, stub: *const c_void) {
        get_kernel(place, stub)
    }

    /// The kernel of a stub: the driver's `CUkernel`.
    fn cudaGetKernel(place: Out<Handle>, stub: *const c_void) {
        get_kernel(place, stub)
    }

    /// The driver's function of a stub in the current context.
    fn cudaGetFuncBySymbol(place: Out<Handle>, stub: *const c_void) {
        let place = place.required()?;
        let driver = context()?;
        let kernel = kernel(stub)?.handle(driver)?;
        driver.cuKernelGetFunction(place, kernel)
    }

    /// Launches a kernel whose blocks wait for each other on every device of the list, of which there is one.
    fn cudaLaunchCooperativeKernelMultiDevice(list: In<LaunchParams>, devices: u32, flags: u32) {
        launch_on_devices(list, devices, flags)
    }
}

per_thread_api! {
    /// Launches a kernel by its handle.
    fn __cudaLaunchKernel/__cudaLaunchKernel_ptsz[default](
        kernel: Handle, grid: Dim3, block: Dim3, arguments: Arguments, shared_bytes: usize, stream: Handle,
    ) {
        launch_handle(kernel, &Launch { grid, block, shared_bytes, stream: default.stream(stream), arguments })
    }

    /// Launches a kernel by its stub.
    fn cudaLaunchKernel/cudaLaunchKernel_ptsz[default](
        stub: *const c_void, grid: Dim3, block: Dim3, arguments: Arguments, shared_bytes: usize, stream: Handle,
    ) {
        launch_stub(stub, &Launch { grid, block, shared_bytes, stream: default.stream(stream), arguments }, false)
    }

    /// Launches a kernel whose blocks wait for each other.
    fn cudaLaunchCooperativeKernel/cudaLaunchCooperativeKernel_ptsz[default](
        stub: *const c_void, grid: Dim3, block: Dim3, arguments: Arguments, shared_bytes: usize, stream: Handle,
    ) {
        launch_stub(stub, &Launch { grid, block, shared_bytes, stream: default.stream(stream), arguments }, true)
    }

    /// Launches a kernel with attributes.
    fn cudaLaunchKernelExC/cudaLaunchKernelExC_ptsz[default](config: In<LaunchConfig>, stub: *const c_void, arguments: Arguments) {
        let config = driver_config(&config.get()?, default)?;
        let driver = context()?;
        // A stub, or the handle of a kernel: both are allowed here.
        let handle = match kernel(stub) {
            Ok(kernel) => kernel.handle(driver)?,
            Err(_) => stub.cast_mut(),
        };
        driver.cuLaunchKernelEx(&config, handle, arguments, std::ptr::null_mut())
    }

    /// Calls a function of the program when the stream gets there.
    fn cudaLaunchHostFunc/cudaLaunchHostFunc_ptsz[default](stream: Handle, function: *mut c_void, data: *mut c_void) {
        context()?.cuLaunchHostFunc(default.stream(stream), function, data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_dimensions_are_told_from_other_values() {
        let launch = |grid: [u32; 3], block: [u32; 3]| Launch {
            grid: Dim3 {
                x: grid[0],
                y: grid[1],
                z: grid[2],
            },
            block: Dim3 {
                x: block[0],
                y: block[1],
                z: block[2],
            },
            shared_bytes: 0,
            stream: std::ptr::null_mut(),
            arguments: std::ptr::null_mut(),
        };
        assert!(!launch([1, 1, 1], [32, 32, 1]).is_impossible());
        assert!(launch([1, 1, 1], [2048, 1, 1]).is_impossible());
        assert!(launch([0, 1, 1], [32, 1, 1]).is_impossible());
        assert!(launch([1, 65536, 1], [32, 1, 1]).is_impossible());
        assert!(launch([1, 1, 1], [1, 1, 65]).is_impossible());
        assert!(launch([1, 1, 1], [u32::MAX, u32::MAX, u32::MAX]).is_impossible());
    }

    #[test]
    fn dynamic_shared_memory_past_32_bits_is_refused() {
        let dim = Dim3 { x: 1, y: 1, z: 1 };
        let config = |shared_bytes| LaunchConfig {
            grid: dim,
            block: dim,
            shared_bytes,
            stream: std::ptr::null_mut(),
            attributes: std::ptr::null_mut(),
            attribute_count: 0,
        };
        assert_eq!(
            driver_config(&config(1 << 32), DefaultStream::Legacy).map(|_| ()),
            Err(Error::INVALID_VALUE)
        );
        let per_thread =
            driver_config(&config(48), DefaultStream::PerThread).map(|config| config.stream.addr());
        assert_eq!(per_thread, Ok(2));
    }
}
