//! What a pointer points to.

use crate::abi::{Out, device_address};
use crate::driver::Driver;
use crate::error::Error;
use crate::thread::context;
use std::ffi::c_void;

/// `CUpointer_attribute`.
const MEMORY_TYPE: i32 = 2;
const DEVICE_POINTER: i32 = 3;
const HOST_POINTER: i32 = 4;
const IS_MANAGED: i32 = 8;
const DEVICE_ORDINAL: i32 = 9;

/// `CUmemorytype`.
const DRIVER_HOST: u32 = 1;
const DRIVER_DEVICE: u32 = 2;

/// `cudaMemoryType`.
const UNREGISTERED: u32 = 0;
const HOST: u32 = 1;
const DEVICE: u32 = 2;
const MANAGED: u32 = 3;

/// `cudaInvalidDeviceId`.
const NO_DEVICE: i32 = -2;

/// The beginning of `cudaPointerAttributes`, which all versions share.
#[repr(C)]
#[derive(Clone, Copy)]
struct PointerAttributes {
    kind: u32,
    device: i32,
    device_pointer: *mut c_void,
    host_pointer: *mut c_void,
}

/// The structure of version 13: what follows the beginning is zero.
#[repr(C)]
struct PointerAttributes13 {
    beginning: PointerAttributes,
    reserved: [u64; 8],
}

const _: () = assert!(size_of::<PointerAttributes>() == 24);
const _: () = assert!(size_of::<PointerAttributes13>() == 88);

fn one<T>(driver: &Driver, attribute: i32, address: u64, mut value: T) -> Result<T, Error> {
    driver.cuPointerGetAttribute((&raw mut value).cast(), attribute, address)?;
    Ok(value)
}

fn attributes(driver: &Driver, pointer: *mut c_void) -> Result<PointerAttributes, Error> {
    let address = device_address(pointer);
    let unregistered = PointerAttributes {
        kind: UNREGISTERED,
        device: NO_DEVICE,
        device_pointer: std::ptr::null_mut(),
        host_pointer: pointer,
    };
    // The driver refuses addresses that it does not know; to the runtime that is an answer.
    let kind = match one(driver, MEMORY_TYPE, address, 0_u32) {
        Ok(kind) => kind,
        Err(Error::INVALID_VALUE) => return Ok(unregistered),
        Err(error) => return Err(error),
    };
    let managed = one(driver, IS_MANAGED, address, 0_u32).unwrap_or(0) & 0xFF != 0;
    let null: *mut c_void = std::ptr::null_mut();
    Ok(PointerAttributes {
        kind: match kind {
            _ if managed => MANAGED,
            DRIVER_HOST => HOST,
            DRIVER_DEVICE => DEVICE,
            _ => return Ok(unregistered),
        },
        device: one(driver, DEVICE_ORDINAL, address, 0_i32)?,
        device_pointer: one(driver, DEVICE_POINTER, address, null).unwrap_or(null),
        host_pointer: one(driver, HOST_POINTER, address, null).unwrap_or(null),
    })
}

runtime_api! {
    /// What a pointer points to.
    fn cudaPointerGetAttributes(place: Out<c_void>, pointer: *mut c_void) {
        let place = place.required()?;
        let beginning = attributes(context()?, pointer)?;
        if crate::version::major() >= 13 {
            place.of::<PointerAttributes13>().set(PointerAttributes13 { beginning, reserved: [0; 8] })
        } else {
            place.of::<PointerAttributes>().set(beginning)
        }
    }
}
