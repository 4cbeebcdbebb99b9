//! Variables of the program on the device.

use crate::abi::{DevicePtr, Handle, Out, pointer};
use crate::copy::{Kind, copy, copy_async};
use crate::error::Error;
use crate::registry::variable;
use crate::thread::context;
use std::ffi::c_void;

/// The part of a variable that a copy means.
pub(crate) fn part(symbol: *const c_void, offset: usize, bytes: usize) -> Result<*mut c_void, Error> {
    let (address, size) = variable(symbol)?.range(context()?)?;
    let end = offset.checked_add(bytes).ok_or(Error::INVALID_VALUE)?;
    if end > size {
        return Err(Error::INVALID_VALUE);
    }
    pointer(
        address
            .checked_add(offset as DevicePtr)
            .ok_or(Error::INVALID_VALUE)?,
    )
}

/// Directions into a variable.
pub(crate) fn into(kind: i32) -> Result<Kind, Error> {
    match Kind::new(kind)? {
        kind @ (Kind::HostToDevice | Kind::DeviceToDevice | Kind::Addresses) => Ok(kind),
        Kind::HostToHost | Kind::DeviceToHost => Err(Error::INVALID_MEMCPY_DIRECTION),
    }
}

/// Directions out of a variable.
pub(crate) fn out_of(kind: i32) -> Result<Kind, Error> {
    match Kind::new(kind)? {
        kind @ (Kind::DeviceToHost | Kind::DeviceToDevice | Kind::Addresses) => Ok(kind),
        Kind::HostToHost | Kind::HostToDevice => Err(Error::INVALID_MEMCPY_DIRECTION),
    }
}

runtime_api! {
    /// Where a variable lies.
    fn cudaGetSymbolAddress(place: Out<*mut c_void>, symbol: *const c_void) {
        let place = place.required()?;
        let (address, _) = variable(symbol)?.range(context()?)?;
        place.set(pointer(address)?)
    }

    /// Bytes of a variable.
    fn cudaGetSymbolSize(place: Out<usize>, symbol: *const c_void) {
        let place = place.required()?;
        let (_, bytes) = variable(symbol)?.range(context()?)?;
        place.set(bytes)
    }
}

per_thread_api! {
    /// Copies into a variable, done when the call returns.
    fn cudaMemcpyToSymbol/cudaMemcpyToSymbol_ptds[default](
        symbol: *const c_void, source: *const c_void, bytes: usize, offset: usize, kind: i32,
    ) {
        let kind = into(kind)?;
        copy(default, part(symbol, offset, bytes)?, source, bytes, kind)
    }

    /// Copies out of a variable, done when the call returns.
    fn cudaMemcpyFromSymbol/cudaMemcpyFromSymbol_ptds[default](
        destination: *mut c_void, symbol: *const c_void, bytes: usize, offset: usize, kind: i32,
    ) {
        let kind = out_of(kind)?;
        copy(default, destination, part(symbol, offset, bytes)?, bytes, kind)
    }

    /// Copies into a variable in a stream.
    fn cudaMemcpyToSymbolAsync/cudaMemcpyToSymbolAsync_ptsz[default](
        symbol: *const c_void, source: *const c_void, bytes: usize, offset: usize, kind: i32, stream: Handle,
    ) {
        let kind = into(kind)?;
        copy_async(context()?, part(symbol, offset, bytes)?, source, bytes, kind, default.stream(stream))
    }

    /// Copies out of a variable in a stream.
    fn cudaMemcpyFromSymbolAsync/cudaMemcpyFromSymbolAsync_ptsz[default](
        destination: *mut c_void, symbol: *const c_void, bytes: usize, offset: usize, kind: i32, stream: Handle,
    ) {
        let kind = out_of(kind)?;
        copy_async(context()?, destination, part(symbol, offset, bytes)?, bytes, kind, default.stream(stream))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directions_must_fit_a_variable() {
        assert_eq!(into(1), Ok(Kind::HostToDevice));
        assert_eq!(into(2), Err(Error::INVALID_MEMCPY_DIRECTION));
        assert_eq!(out_of(2), Ok(Kind::DeviceToHost));
        assert_eq!(out_of(0), Err(Error::INVALID_MEMCPY_DIRECTION));
    }
}
