//! Return codes of NVML, their texts, and the log of what was refused.

use std::collections::BTreeSet;
use std::ffi::CStr;
use std::sync::Mutex;

/// `nvmlReturn_t`, the codes that this library returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Status {
    Success = 0,
    Uninitialized = 1,
    InvalidArgument = 2,
    NotSupported = 3,
    NoPermission = 4,
    NotFound = 6,
    InsufficientSize = 7,
    DriverNotLoaded = 9,
    Timeout = 10,
    GpuIsLost = 15,
    ArgumentVersionMismatch = 25,
    Unknown = 999,
}

impl Status {
    pub(crate) fn code(self) -> u32 {
        self as u32
    }
}

/// Texts by code. The numbers are those of the public header; the wording follows the public Python binding, which programs compare.
const TEXTS: &[(u32, &CStr)] = &[
    (0, c"Success"),
    (1, c"Uninitialized"),
    (2, c"Invalid Argument"),
    (3, c"Not Supported"),
    (4, c"Insufficient Permissions"),
    (5, c"Already Initialized"),
    (6, c"Not Found"),
    (7, c"Insufficient Size"),
    (8, c"Insufficient External Power"),
    (9, c"Driver Not Loaded"),
    (10, c"Timeout"),
    (11, c"Interrupt Request Issue"),
    (12, c"NVML Shared Library Not Found"),
    (13, c"Function Not Found"),
    (14, c"Corrupted infoROM"),
    (15, c"GPU is lost"),
    (16, c"GPU requires restart"),
    (17, c"The operating system has blocked the request."),
    (18, c"RM has detected an NVML/RM version mismatch."),
    (19, c"In Use"),
    (20, c"Insufficient Memory"),
    (21, c"No Data"),
    (22, c"vGPU ECC Not Supported"),
    (23, c"Insufficient Resources"),
    (24, c"Frequency Not Supported"),
    (25, c"Argument Version Mismatch"),
    (26, c"Deprecated"),
    (27, c"Not Ready"),
    (28, c"GPU Not Found"),
    (29, c"Invalid State"),
    (30, c"Reset Type Not Supported"),
    (999, c"Unknown Error"),
];

/// The text of a code; unknown codes get the text of 999.
pub(crate) fn text(code: u32) -> &'static CStr {
    TEXTS
        .iter()
        .find(|(c, _)| *c == code)
        .map_or(c"Unknown Error", |(_, t)| t)
}

/// Answers a function that is not supported; says so once per name, on the log only.
pub(crate) fn refuse(name: &'static str) -> u32 {
    static SAID: Mutex<BTreeSet<&str>> = Mutex::new(BTreeSet::new());
    let first = SAID
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .insert(name);
    if first {
        tessera_guest::log(&format!("{name} is not supported on this device"));
    }
    Status::NotSupported.code()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_returned_status_has_a_text() {
        use Status::*;
        for status in [
            Success,
            Uninitialized,
            InvalidArgument,
            NotSupported,
            NoPermission,
            NotFound,
            InsufficientSize,
            DriverNotLoaded,
            Timeout,
            GpuIsLost,
            ArgumentVersionMismatch,
        ] {
            assert_ne!(text(status.code()), c"Unknown Error", "{status:?}");
        }
        assert_eq!(text(31), c"Unknown Error");
    }
}
