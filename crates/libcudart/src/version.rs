//! Which version of the runtime API this library is.
//!
//! One static library is linked into several shared ones; the linker adds a constant that says which it became.

use crate::abi::{In, Out};
use crate::driver::driver;
use crate::error::Error;
use std::ffi::{c_char, c_void};

#[cfg(not(test))]
unsafe extern "C" {
    /// The major version, from the object that `cargo xtask` links in.
    safe static tessera_cudart_major: i32;
}

#[cfg(test)]
#[allow(non_upper_case_globals)]
static tessera_cudart_major: i32 = 13;

/// Major version of the runtime API.
pub(crate) fn major() -> i32 {
    tessera_cudart_major
}

/// The version as `CUDART_VERSION` writes it: the newest release of the major version whose header this library was written from.
fn version() -> i32 {
    match major() {
        11 => 11_080,
        12 => 12_090,
        13 => 13_050,
        other => other * 1000,
    }
}

fn entry_point(
    symbol: In<c_char>,
    function: Out<*mut c_void>,
    version: i32,
    flags: u64,
    result: Out<i32>,
) -> Result<(), Error> {
    let function = function.required()?;
    let text = symbol.text().ok_or(Error::INVALID_VALUE)?;
    let mut status = 0;
    driver()?.cuGetProcAddress_v2(text.as_ptr(), function, version, flags, &mut status)?;
    // Both sides number the outcome alike: 0 found, 1 no such symbol, 2 version not sufficient.
    result.set_if_wanted(status);
    Ok(())
}

/// Where the outcome of a search goes. Programs of version 11 give no such place.
fn outcome_place(given: Out<i32>) -> Out<i32> {
    if major() == 11 { Out::at(0) } else { given }
}

/// `cudaEnablePerThreadDefaultStream`.
const PER_THREAD_DEFAULT_STREAM: u64 = 2;

runtime_api! {
    /// Version of the driver.
    fn cudaDriverGetVersion(version: Out<i32>) {
        let version = version.required()?;
        // Without a driver the documented answer is version 0.
        match driver() {
            Ok(driver) => driver.cuDriverGetVersion(version),
            Err(_) => version.set(0),
        }
    }

    /// Version of the runtime API.
    fn cudaRuntimeGetVersion(place: Out<i32>) {
        place.set(version())
    }

    /// A function of the driver in the version that fits this runtime.
    fn cudaGetDriverEntryPoint(symbol: In<c_char>, function: Out<*mut c_void>, flags: u64, result: Out<i32>) {
        entry_point(symbol, function, version(), flags, outcome_place(result))
    }

    /// The same for a program that asks for threads' default streams.
    fn cudaGetDriverEntryPoint_ptsz(symbol: In<c_char>, function: Out<*mut c_void>, flags: u64, result: Out<i32>) {
        let flags = if flags == 0 { PER_THREAD_DEFAULT_STREAM } else { flags };
        entry_point(symbol, function, version(), flags, outcome_place(result))
    }

    /// A function of the driver in a given version.
    fn cudaGetDriverEntryPointByVersion(
        symbol: In<c_char>, function: Out<*mut c_void>, version: u32, flags: u64, result: Out<i32>,
    ) {
        entry_point(symbol, function, version.cast_signed(), flags, result)
    }

    /// The same for a program that asks for threads' default streams.
    fn cudaGetDriverEntryPointByVersion_ptsz(
        symbol: In<c_char>, function: Out<*mut c_void>, version: u32, flags: u64, result: Out<i32>,
    ) {
        let flags = if flags == 0 { PER_THREAD_DEFAULT_STREAM } else { flags };
        entry_point(symbol, function, version.cast_signed(), flags, result)
    }

    /// Starts profiling.
    fn cudaProfilerStart() {
        crate::thread::context()?.cuProfilerStart()
    }

    /// Stops profiling.
    fn cudaProfilerStop() {
        crate::thread::context()?.cuProfilerStop()
    }
}
