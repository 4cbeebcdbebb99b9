//! What a guest is told when it cannot have something: a CUDA code and a reason. The one table from device errors and faults to
//! CUDA codes is here.

use tessera_device::{DeviceError, FaultKind};
use tessera_wire::{CudaCode, WireError};
use thiserror::Error;

/// A request that is refused; the session goes on.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{reason} ({code:?})")]
pub(crate) struct Refusal {
    pub(crate) code: CudaCode,
    pub(crate) reason: String,
}

impl Refusal {
    pub(crate) fn new(code: CudaCode, reason: impl Into<String>) -> Self {
        Self {
            code,
            reason: reason.into(),
        }
    }

    /// No object of this kind has this handle.
    pub(crate) fn handle(kind: &str, handle: u64) -> Self {
        Self::new(
            CudaCode::InvalidHandle,
            format!("No {kind} has the handle {handle:#x}"),
        )
    }

    /// Too many objects of a kind.
    pub(crate) fn limit(kind: &str, limit: usize) -> Self {
        Self::new(
            CudaCode::OutOfMemory,
            format!("This session holds {limit} {kind} already, the most that a worker allows"),
        )
    }

    pub(crate) fn invalid(reason: impl Into<String>) -> Self {
        Self::new(CudaCode::InvalidValue, reason)
    }
}

impl From<DeviceError> for Refusal {
    fn from(error: DeviceError) -> Self {
        Self::new(device_code(&error), chain(&error))
    }
}

impl From<WireError> for Refusal {
    fn from(error: WireError) -> Self {
        Self::invalid(error.to_string())
    }
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(": ");
        text.push_str(&source.to_string());
        next = source.source();
    }
    text
}

/// Cuts a text to at most `most` bytes, between two characters.
pub(crate) fn cut(text: &mut String, most: usize) {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
}

/// CUDA code of a device error.
pub(crate) fn device_code(error: &DeviceError) -> CudaCode {
    match error {
        DeviceError::OutOfMemory { .. } => CudaCode::OutOfMemory,
        DeviceError::InvalidValue(_) => CudaCode::InvalidValue,
        DeviceError::NotFound(_) => CudaCode::NotFound,
        DeviceError::InvalidPtx(_) => CudaCode::InvalidPtx,
        DeviceError::UnsupportedPtxVersion(_) => CudaCode::UnsupportedPtxVersion,
        DeviceError::NoBinaryForGpu(_) => CudaCode::NoBinaryForGpu,
        DeviceError::NotSupported(_) => CudaCode::NotSupported,
        DeviceError::Link(_) => CudaCode::SharedObjectSymbolNotFound,
        DeviceError::LaunchOutOfResources(_) => CudaCode::LaunchOutOfResources,
        DeviceError::Poisoned(fault) => fault_code(fault.kind),
        DeviceError::InvalidNode { source, .. } => device_code(source),
        DeviceError::Os { .. } => CudaCode::OperatingSystem,
        // New kinds of errors must not look like success.
        _ => CudaCode::Unknown,
    }
}

/// CUDA code of a fault.
pub(crate) fn fault_code(kind: FaultKind) -> CudaCode {
    match kind {
        FaultKind::IllegalAddress => CudaCode::IllegalAddress,
        FaultKind::MisalignedAddress => CudaCode::MisalignedAddress,
        FaultKind::InvalidAddressSpace => CudaCode::InvalidAddressSpace,
        FaultKind::IllegalInstruction => CudaCode::IllegalInstruction,
        FaultKind::InvalidPc => CudaCode::InvalidPc,
        FaultKind::StackOverflow => CudaCode::HardwareStackError,
        FaultKind::Assert => CudaCode::Assert,
        FaultKind::LaunchTimeout => CudaCode::LaunchTimeout,
        // `LaunchFailed`, and whatever comes later: CUDA's own catch-all for a kernel that ended badly.
        _ => CudaCode::LaunchFailed,
    }
}

/// The number under which the vendor's driver reports such a fault to administrators.
///
/// Source: the vendor's catalogue of Xid errors: 8 "GPU stopped processing", 13 "Graphics Engine Exception", 31 "GPU memory page
/// fault".
pub(crate) const fn xid(kind: FaultKind) -> u8 {
    match kind {
        FaultKind::IllegalAddress => 31,
        FaultKind::LaunchTimeout => 8,
        _ => 13,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tessera_device::Fault;

    fn text() -> String {
        "x".into()
    }

    #[test]
    fn every_device_error_has_its_code() {
        let fault = Fault {
            kind: FaultKind::Assert,
            place: text(),
            detail: text(),
        };
        let memory = DeviceError::OutOfMemory {
            requested: 3,
            free: 2,
            total: 2,
        };
        let os = DeviceError::Os {
            what: "mmap",
            source: std::io::Error::from_raw_os_error(12),
        };
        let rows = [
            (memory, 2),
            (DeviceError::InvalidValue(text()), 1),
            (DeviceError::NotFound(text()), 500),
            (DeviceError::InvalidPtx(text()), 218),
            (DeviceError::UnsupportedPtxVersion(text()), 222),
            (DeviceError::NoBinaryForGpu(text()), 209),
            (DeviceError::NotSupported(text()), 801),
            (DeviceError::Link(text()), 302),
            (DeviceError::LaunchOutOfResources(text()), 701),
            (DeviceError::Poisoned(fault), 710),
            (os, 304),
        ];
        for (error, code) in rows {
            assert_eq!(device_code(&error).number(), code, "{error}");
            let refusal = Refusal::from(error);
            assert_eq!(refusal.code.number(), code);
            assert!(!refusal.reason.is_empty());
        }
    }

    #[test]
    fn every_fault_has_its_code() {
        let rows = [
            (FaultKind::IllegalAddress, 700),
            (FaultKind::MisalignedAddress, 716),
            (FaultKind::InvalidAddressSpace, 717),
            (FaultKind::IllegalInstruction, 715),
            (FaultKind::InvalidPc, 718),
            (FaultKind::StackOverflow, 714),
            (FaultKind::Assert, 710),
            (FaultKind::LaunchFailed, 719),
            (FaultKind::LaunchTimeout, 702),
        ];
        for (kind, code) in rows {
            assert_eq!(fault_code(kind).number(), code, "{kind:?}");
        }
    }

    #[test]
    fn texts_are_cut_between_characters() {
        for (most, left) in [(0, ""), (1, "a"), (2, "a"), (3, "aé"), (9, "aéx")] {
            let mut text = "aéx".to_owned();
            cut(&mut text, most);
            assert_eq!(text, left);
        }
    }

    #[test]
    fn causes_are_told() {
        let error = DeviceError::Os {
            what: "mmap",
            source: std::io::Error::other("no pages"),
        };
        assert!(Refusal::from(error).reason.ends_with("mmap: no pages"));
    }
}
