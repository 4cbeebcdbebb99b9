//! Copies: linear and of rows, with the direction that the program names.

use crate::abi::{DefaultStream, Handle, Memcpy2d, device_address};
use crate::driver::Driver;
use crate::error::Error;
use crate::thread::context;
use std::ffi::c_void;

/// `cudaMemcpyKind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    HostToHost,
    HostToDevice,
    DeviceToHost,
    DeviceToDevice,
    /// The addresses tell.
    Addresses,
}

impl Kind {
    /// Reads the enumeration of the C interface.
    pub(crate) fn new(kind: i32) -> Result<Self, Error> {
        Ok(match kind {
            0 => Kind::HostToHost,
            1 => Kind::HostToDevice,
            2 => Kind::DeviceToHost,
            3 => Kind::DeviceToDevice,
            4 => Kind::Addresses,
            _ => return Err(Error::INVALID_MEMCPY_DIRECTION),
        })
    }
}

/// Copies in program order with the host.
pub(crate) fn copy(
    default: DefaultStream,
    destination: *mut c_void,
    source: *const c_void,
    bytes: usize,
    kind: Kind,
) -> Result<(), Error> {
    let driver = context()?;
    if bytes == 0 {
        return Ok(());
    }
    if default == DefaultStream::PerThread {
        let stream = default.stream(std::ptr::null_mut());
        copy_async(driver, destination, source, bytes, kind, stream)?;
        return driver.cuStreamSynchronize(stream);
    }
    let (to, from) = (device_address(destination), device_address(source));
    match kind {
        Kind::HostToDevice => driver.cuMemcpyHtoD_v2(to, source, bytes),
        Kind::DeviceToHost => driver.cuMemcpyDtoH_v2(destination, from, bytes),
        Kind::DeviceToDevice => driver.cuMemcpyDtoD_v2(to, from, bytes),
        Kind::HostToHost | Kind::Addresses => driver.cuMemcpy(to, from, bytes),
    }
}

/// Copies in a stream.
pub(crate) fn copy_async(
    driver: &Driver,
    destination: *mut c_void,
    source: *const c_void,
    bytes: usize,
    kind: Kind,
    stream: Handle,
) -> Result<(), Error> {
    if bytes == 0 {
        return Ok(());
    }
    let (to, from) = (device_address(destination), device_address(source));
    match kind {
        Kind::HostToDevice => driver.cuMemcpyHtoDAsync_v2(to, source, bytes, stream),
        Kind::DeviceToHost => driver.cuMemcpyDtoHAsync_v2(destination, from, bytes, stream),
        Kind::DeviceToDevice => driver.cuMemcpyDtoDAsync_v2(to, from, bytes, stream),
        Kind::HostToHost | Kind::Addresses => driver.cuMemcpyAsync(to, from, bytes, stream),
    }
}

/// `CUmemorytype`.
const HOST: u32 = 1;
const DEVICE: u32 = 2;
const UNIFIED: u32 = 4;

/// Rows of a copy, as the program gives them.
#[derive(Clone, Copy)]
struct Rows {
    destination: *mut c_void,
    destination_pitch: usize,
    source: *const c_void,
    source_pitch: usize,
    width: usize,
    height: usize,
}

/// The driver's description of a copy of rows. For a unified address the device field holds it.
fn describe(rows: Rows, kind: Kind) -> Memcpy2d {
    let (source_type, destination_type) = match kind {
        Kind::HostToHost => (HOST, HOST),
        Kind::HostToDevice => (HOST, DEVICE),
        Kind::DeviceToHost => (DEVICE, HOST),
        Kind::DeviceToDevice => (DEVICE, DEVICE),
        Kind::Addresses => (UNIFIED, UNIFIED),
    };
    Memcpy2d {
        source_x: 0,
        source_y: 0,
        source_type,
        source_host: rows.source,
        source_device: device_address(rows.source),
        source_array: std::ptr::null_mut(),
        source_pitch: rows.source_pitch,
        destination_x: 0,
        destination_y: 0,
        destination_type,
        destination_host: rows.destination,
        destination_device: device_address(rows.destination),
        destination_array: std::ptr::null_mut(),
        destination_pitch: rows.destination_pitch,
        width_bytes: rows.width,
        height: rows.height,
    }
}

per_thread_api! {
    /// Copies, done when the call returns.
    fn cudaMemcpy/cudaMemcpy_ptds[default](destination: *mut c_void, source: *const c_void, bytes: usize, kind: i32) {
        copy(default, destination, source, bytes, Kind::new(kind)?)
    }

    /// Copies in a stream.
    fn cudaMemcpyAsync/cudaMemcpyAsync_ptsz[default](
        destination: *mut c_void, source: *const c_void, bytes: usize, kind: i32, stream: Handle,
    ) {
        let kind = Kind::new(kind)?;
        copy_async(context()?, destination, source, bytes, kind, default.stream(stream))
    }

    /// Copies rows, done when the call returns.
    fn cudaMemcpy2D/cudaMemcpy2D_ptds[default](
        destination: *mut c_void, destination_pitch: usize, source: *const c_void, source_pitch: usize, width: usize, height: usize,
        kind: i32,
    ) {
        let kind = Kind::new(kind)?;
        let driver = context()?;
        if width == 0 || height == 0 {
            return Ok(());
        }
        let copy = describe(Rows { destination, destination_pitch, source, source_pitch, width, height }, kind);
        if default == DefaultStream::Legacy {
            return driver.cuMemcpy2DUnaligned_v2(&copy);
        }
        let stream = default.stream(std::ptr::null_mut());
        driver.cuMemcpy2DAsync_v2(&copy, stream)?;
        driver.cuStreamSynchronize(stream)
    }

    /// Copies rows in a stream.
    fn cudaMemcpy2DAsync/cudaMemcpy2DAsync_ptsz[default](
        destination: *mut c_void, destination_pitch: usize, source: *const c_void, source_pitch: usize, width: usize, height: usize,
        kind: i32, stream: Handle,
    ) {
        let kind = Kind::new(kind)?;
        let driver = context()?;
        if width == 0 || height == 0 {
            return Ok(());
        }
        let copy = describe(Rows { destination, destination_pitch, source, source_pitch, width, height }, kind);
        driver.cuMemcpy2DAsync_v2(&copy, default.stream(stream))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_out_of_range_is_an_error() {
        assert_eq!(Kind::new(4), Ok(Kind::Addresses));
        assert_eq!(Kind::new(5), Err(Error::INVALID_MEMCPY_DIRECTION));
        assert_eq!(Kind::new(-1), Err(Error::INVALID_MEMCPY_DIRECTION));
    }

    #[test]
    fn rows_keep_their_pitches() {
        let mut to = [0_u8; 4];
        let rows = Rows {
            destination: to.as_mut_ptr().cast(),
            destination_pitch: 32,
            source: std::ptr::null(),
            source_pitch: 16,
            width: 8,
            height: 3,
        };
        let copy = describe(rows, Kind::DeviceToHost);
        assert_eq!((copy.source_type, copy.destination_type), (DEVICE, HOST));
        assert_eq!(
            (
                copy.source_pitch,
                copy.destination_pitch,
                copy.width_bytes,
                copy.height
            ),
            (16, 32, 8, 3)
        );
    }
}
