//! `cuInit`, the version, export tables, the profiler's switches.

use crate::code::{Answer, Code};
use crate::state;
use crate::types::{CUuuid, Caller, c_char, c_void};
use std::sync::atomic::{AtomicBool, Ordering};

/// The CUDA version that this driver serves, 1000 x major + 10 x minor: that of the header its table was made from. Run-time
/// libraries ask only that its major number is not below theirs; some code generators emit PTX only for a driver that is not
/// older than their toolkit.
pub(crate) const DRIVER_VERSION: i32 = 13050;

/// `cuInit`
pub(crate) fn init(flags: u32) -> Answer {
    if flags != 0 {
        return Err(Code::INVALID_VALUE);
    }
    state::initialise()
}

/// `cuDriverGetVersion`: works before initialisation.
pub(crate) fn driver_get_version(driver_version: Caller<i32>) -> Answer {
    driver_version.put(DRIVER_VERSION)
}

/// `cuGetExportTable`: every table is unknown. The vendor's runtime library asks for tables by which it authenticates the vendor's
/// driver; this is not it and does not say that it is.
pub(crate) fn get_export_table(table: Caller<Caller<c_void>>, id: Caller<CUuuid>) -> Answer {
    static LOGGED: AtomicBool = AtomicBool::new(false);
    id.required()?;
    table.put(Caller::null())?;
    if !LOGGED.swap(true, Ordering::Relaxed) {
        tessera_guest::log(
            "an undocumented table of the vendor's driver was asked for and refused (cuGetExportTable). NVRTC goes on without it; a program \
             that links the vendor's CUDA runtime statically cannot. Link such a program with -cudart shared: it then runs on Tessera's libcudart",
        );
    }
    Err(Code::NOT_FOUND)
}

/// `cuProfilerInitialize`: deprecated; real drivers no longer support it.
pub(crate) fn profiler_initialize(_config: Caller<c_char>, _output: Caller<c_char>, _mode: i32) -> Answer {
    Err(Code::NOT_SUPPORTED)
}

/// `cuProfilerStart`: without a profiler attached there is nothing to start.
pub(crate) fn profiler_start() -> Answer {
    crate::current::current().map(drop)
}

/// `cuProfilerStop`
pub(crate) fn profiler_stop() -> Answer {
    crate::current::current().map(drop)
}
