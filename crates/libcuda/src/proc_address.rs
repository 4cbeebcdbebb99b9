//! `cuGetProcAddress`: the address of a function by name and CUDA version.
//!
//! The rule, measured against real drivers: of a name's entries the one with the highest version that is not above the requested one
//! answers; versions compare as unsigned numbers. Flag 2 asks the per-thread list of names that have one. The newer form reports
//! what it did not find in a status and succeeds; the older one fails and leaves the pointer alone.

use crate::abi::DefaultStream;
use crate::code::{Answer, Code};
use crate::exports::LOOKUP;
use crate::types::{Caller, c_char, c_void};

/// An exported function.
pub(crate) struct Address(pub(crate) *const c_void);

// SAFETY: the address of a function of this library; it neither moves nor changes.
unsafe impl Sync for Address {}

/// What `cuGetProcAddress` knows of one name: addresses with the versions they begin at, ascending.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) plain: &'static [(u32, Address)],
    pub(crate) per_thread: &'static [(u32, Address)],
}

const FLAG_PER_THREAD: u64 = 2;
const FLAGS_KNOWN: u64 = 3;

/// `CUdriverProcAddressQueryResult`
const FOUND: i32 = 0;
const SYMBOL_NOT_FOUND: i32 = 1;
const VERSION_NOT_SUFFICIENT: i32 = 2;

/// The newest entry for `version`, or which status says why there is none.
fn find(name: &str, version: u32, flags: u64) -> Result<*const c_void, i32> {
    let index = LOOKUP
        .binary_search_by(|row| row.name.cmp(name))
        .map_err(|_| SYMBOL_NOT_FOUND)?;
    let row = LOOKUP.get(index).ok_or(SYMBOL_NOT_FOUND)?;
    let list = if flags & FLAG_PER_THREAD != 0 && !row.per_thread.is_empty() {
        row.per_thread
    } else {
        row.plain
    };
    list.iter()
        .rev()
        .find(|entry| entry.0 <= version)
        .map(|entry| entry.1.0)
        .ok_or(VERSION_NOT_SUFFICIENT)
}

/// `cuGetProcAddress` of CUDA 11.3.
pub(crate) fn get_proc_address_v1(
    symbol: Caller<c_char>,
    pfn: Caller<Caller<c_void>>,
    driver_version: i32,
    flags: u64,
) -> Answer {
    if flags & !FLAGS_KNOWN != 0 {
        return Err(Code::INVALID_VALUE);
    }
    let name = symbol.text()?;
    pfn.required()?;
    let address = find(&name, driver_version.cast_unsigned(), flags).map_err(|_| Code::NOT_FOUND)?;
    pfn.put(Caller::from_raw(address.cast_mut()))
}

/// `cuGetProcAddress` of CUDA 12.0.
pub(crate) fn get_proc_address(
    default: DefaultStream,
    symbol: Caller<c_char>,
    pfn: Caller<Caller<c_void>>,
    driver_version: i32,
    flags: u64,
    symbol_found: Caller<i32>,
) -> Answer {
    if flags & !FLAGS_KNOWN != 0 {
        return Err(Code::INVALID_VALUE);
    }
    // A program compiled for per-thread default streams gets them unless it asks for the legacy ones.
    let flags = if default == DefaultStream::PerThread && flags == 0 {
        FLAG_PER_THREAD
    } else {
        flags
    };
    let name = symbol.text()?;
    pfn.required()?;
    let (address, status) = match find(&name, driver_version.cast_unsigned(), flags) {
        Ok(address) => (address, FOUND),
        Err(status) => (std::ptr::null(), status),
    };
    symbol_found.put_if_wanted(status);
    pfn.put(Caller::from_raw(address.cast_mut()))
}
