//! Errors of the runtime API.

use crate::abi::Out;
use crate::driver::opened;
use std::ffi::{CStr, c_char};
use std::num::NonZeroI32;

/// A `cudaError_t` that is not `cudaSuccess`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Error(NonZeroI32);

macro_rules! errors {
    ($($name:ident = $code:literal,)*) => {
        impl Error {
            $(pub(crate) const $name: Error = Error(NonZeroI32::new($code).unwrap());)*
        }
    };
}

errors! {
    INVALID_VALUE = 1,
    INVALID_CONFIGURATION = 9,
    INVALID_SYMBOL = 13,
    INVALID_CHANNEL_DESCRIPTOR = 20,
    INVALID_MEMCPY_DIRECTION = 21,
    INVALID_NORM_SETTING = 27,
    INSUFFICIENT_DRIVER = 35,
    MISSING_CONFIGURATION = 52,
    INVALID_DEVICE_FUNCTION = 98,
    NO_DEVICE = 100,
    NOT_SUPPORTED = 801,
    UNKNOWN = 999,
}

impl Error {
    /// Any code but 0, which would be no error and reads as "unknown" here.
    pub(crate) fn from_code(code: i32) -> Self {
        NonZeroI32::new(code).map_or(Error::UNKNOWN, Error)
    }

    /// What the driver answered. Runtime and driver number their errors alike.
    pub(crate) fn from_driver(code: i32) -> Result<(), Self> {
        NonZeroI32::new(code).map_or(Ok(()), |code| Err(Error(code)))
    }

    /// The code.
    pub(crate) fn code(self) -> i32 {
        self.0.get()
    }

    /// Whether the context is lost with this error, so that every later call of it answers the same.
    pub(crate) fn is_sticky(code: i32) -> bool {
        matches!(code, 214 | 220 | 226 | 700 | 702 | 710 | 714..=719)
    }
}

/// Names by code, rising; from the public header.
static NAMES: &[(i32, &CStr)] = &[
    (0, c"cudaSuccess"),
    (1, c"cudaErrorInvalidValue"),
    (2, c"cudaErrorMemoryAllocation"),
    (3, c"cudaErrorInitializationError"),
    (4, c"cudaErrorCudartUnloading"),
    (5, c"cudaErrorProfilerDisabled"),
    (6, c"cudaErrorProfilerNotInitialized"),
    (7, c"cudaErrorProfilerAlreadyStarted"),
    (8, c"cudaErrorProfilerAlreadyStopped"),
    (9, c"cudaErrorInvalidConfiguration"),
    (10, c"cudaErrorVersionTranslation"),
    (12, c"cudaErrorInvalidPitchValue"),
    (13, c"cudaErrorInvalidSymbol"),
    (16, c"cudaErrorInvalidHostPointer"),
    (17, c"cudaErrorInvalidDevicePointer"),
    (18, c"cudaErrorInvalidTexture"),
    (19, c"cudaErrorInvalidTextureBinding"),
    (20, c"cudaErrorInvalidChannelDescriptor"),
    (21, c"cudaErrorInvalidMemcpyDirection"),
    (22, c"cudaErrorAddressOfConstant"),
    (23, c"cudaErrorTextureFetchFailed"),
    (24, c"cudaErrorTextureNotBound"),
    (25, c"cudaErrorSynchronizationError"),
    (26, c"cudaErrorInvalidFilterSetting"),
    (27, c"cudaErrorInvalidNormSetting"),
    (28, c"cudaErrorMixedDeviceExecution"),
    (31, c"cudaErrorNotYetImplemented"),
    (32, c"cudaErrorMemoryValueTooLarge"),
    (34, c"cudaErrorStubLibrary"),
    (35, c"cudaErrorInsufficientDriver"),
    (36, c"cudaErrorCallRequiresNewerDriver"),
    (37, c"cudaErrorInvalidSurface"),
    (43, c"cudaErrorDuplicateVariableName"),
    (44, c"cudaErrorDuplicateTextureName"),
    (45, c"cudaErrorDuplicateSurfaceName"),
    (46, c"cudaErrorDevicesUnavailable"),
    (49, c"cudaErrorIncompatibleDriverContext"),
    (52, c"cudaErrorMissingConfiguration"),
    (53, c"cudaErrorPriorLaunchFailure"),
    (65, c"cudaErrorLaunchMaxDepthExceeded"),
    (66, c"cudaErrorLaunchFileScopedTex"),
    (67, c"cudaErrorLaunchFileScopedSurf"),
    (68, c"cudaErrorSyncDepthExceeded"),
    (69, c"cudaErrorLaunchPendingCountExceeded"),
    (98, c"cudaErrorInvalidDeviceFunction"),
    (100, c"cudaErrorNoDevice"),
    (101, c"cudaErrorInvalidDevice"),
    (102, c"cudaErrorDeviceNotLicensed"),
    (103, c"cudaErrorSoftwareValidityNotEstablished"),
    (127, c"cudaErrorStartupFailure"),
    (200, c"cudaErrorInvalidKernelImage"),
    (201, c"cudaErrorDeviceUninitialized"),
    (205, c"cudaErrorMapBufferObjectFailed"),
    (206, c"cudaErrorUnmapBufferObjectFailed"),
    (207, c"cudaErrorArrayIsMapped"),
    (208, c"cudaErrorAlreadyMapped"),
    (209, c"cudaErrorNoKernelImageForDevice"),
    (210, c"cudaErrorAlreadyAcquired"),
    (211, c"cudaErrorNotMapped"),
    (212, c"cudaErrorNotMappedAsArray"),
    (213, c"cudaErrorNotMappedAsPointer"),
    (214, c"cudaErrorECCUncorrectable"),
    (215, c"cudaErrorUnsupportedLimit"),
    (216, c"cudaErrorDeviceAlreadyInUse"),
    (217, c"cudaErrorPeerAccessUnsupported"),
    (218, c"cudaErrorInvalidPtx"),
    (219, c"cudaErrorInvalidGraphicsContext"),
    (220, c"cudaErrorNvlinkUncorrectable"),
    (221, c"cudaErrorJitCompilerNotFound"),
    (222, c"cudaErrorUnsupportedPtxVersion"),
    (223, c"cudaErrorJitCompilationDisabled"),
    (224, c"cudaErrorUnsupportedExecAffinity"),
    (225, c"cudaErrorUnsupportedDevSideSync"),
    (226, c"cudaErrorContained"),
    (227, c"cudaErrorInsufficientLoaderVersion"),
    (300, c"cudaErrorInvalidSource"),
    (301, c"cudaErrorFileNotFound"),
    (302, c"cudaErrorSharedObjectSymbolNotFound"),
    (303, c"cudaErrorSharedObjectInitFailed"),
    (304, c"cudaErrorOperatingSystem"),
    (400, c"cudaErrorInvalidResourceHandle"),
    (401, c"cudaErrorIllegalState"),
    (402, c"cudaErrorLossyQuery"),
    (500, c"cudaErrorSymbolNotFound"),
    (600, c"cudaErrorNotReady"),
    (700, c"cudaErrorIllegalAddress"),
    (701, c"cudaErrorLaunchOutOfResources"),
    (702, c"cudaErrorLaunchTimeout"),
    (703, c"cudaErrorLaunchIncompatibleTexturing"),
    (704, c"cudaErrorPeerAccessAlreadyEnabled"),
    (705, c"cudaErrorPeerAccessNotEnabled"),
    (708, c"cudaErrorSetOnActiveProcess"),
    (709, c"cudaErrorContextIsDestroyed"),
    (710, c"cudaErrorAssert"),
    (711, c"cudaErrorTooManyPeers"),
    (712, c"cudaErrorHostMemoryAlreadyRegistered"),
    (713, c"cudaErrorHostMemoryNotRegistered"),
    (714, c"cudaErrorHardwareStackError"),
    (715, c"cudaErrorIllegalInstruction"),
    (716, c"cudaErrorMisalignedAddress"),
    (717, c"cudaErrorInvalidAddressSpace"),
    (718, c"cudaErrorInvalidPc"),
    (719, c"cudaErrorLaunchFailure"),
    (720, c"cudaErrorCooperativeLaunchTooLarge"),
    (721, c"cudaErrorTensorMemoryLeak"),
    (800, c"cudaErrorNotPermitted"),
    (801, c"cudaErrorNotSupported"),
    (802, c"cudaErrorSystemNotReady"),
    (803, c"cudaErrorSystemDriverMismatch"),
    (804, c"cudaErrorCompatNotSupportedOnDevice"),
    (805, c"cudaErrorMpsConnectionFailed"),
    (806, c"cudaErrorMpsRpcFailure"),
    (807, c"cudaErrorMpsServerNotReady"),
    (808, c"cudaErrorMpsMaxClientsReached"),
    (809, c"cudaErrorMpsMaxConnectionsReached"),
    (810, c"cudaErrorMpsClientTerminated"),
    (811, c"cudaErrorCdpNotSupported"),
    (812, c"cudaErrorCdpVersionMismatch"),
    (900, c"cudaErrorStreamCaptureUnsupported"),
    (901, c"cudaErrorStreamCaptureInvalidated"),
    (902, c"cudaErrorStreamCaptureMerge"),
    (903, c"cudaErrorStreamCaptureUnmatched"),
    (904, c"cudaErrorStreamCaptureUnjoined"),
    (905, c"cudaErrorStreamCaptureIsolation"),
    (906, c"cudaErrorStreamCaptureImplicit"),
    (907, c"cudaErrorCapturedEvent"),
    (908, c"cudaErrorStreamCaptureWrongThread"),
    (909, c"cudaErrorTimeout"),
    (910, c"cudaErrorGraphExecUpdateFailure"),
    (911, c"cudaErrorExternalDevice"),
    (912, c"cudaErrorInvalidClusterSize"),
    (913, c"cudaErrorFunctionNotLoaded"),
    (914, c"cudaErrorInvalidResourceType"),
    (915, c"cudaErrorInvalidResourceConfiguration"),
    (917, c"cudaErrorStreamDetached"),
    (918, c"cudaErrorGraphRecaptureFailure"),
    (919, c"cudaErrorFabricNotReady"),
    (999, c"cudaErrorUnknown"),
    (10000, c"cudaErrorApiFailureBase"),
];

/// What the codes say that the driver does not know, being the runtime's own.
static OWN_TEXTS: &[(i32, &CStr)] = &[
    (0, c"no error"),
    (9, c"invalid configuration argument"),
    (12, c"invalid pitch argument"),
    (13, c"invalid device symbol"),
    (21, c"invalid copy direction for memcpy"),
    (
        35,
        c"CUDA driver version is insufficient for CUDA runtime version",
    ),
    (36, c"API call is not supported in the installed CUDA driver"),
    (46, c"all CUDA-capable devices are busy or unavailable"),
    (49, c"incompatible driver context"),
    (52, c"__global__ function call is not configured"),
    (98, c"invalid device function"),
];

fn lookup(table: &'static [(i32, &'static CStr)], code: i32) -> Option<&'static CStr> {
    let index = table.binary_search_by_key(&code, |row| row.0).ok()?;
    table.get(index).map(|row| row.1)
}

/// Name of an error code.
#[unsafe(no_mangle)]
extern "C" fn cudaGetErrorName(code: i32) -> *const c_char {
    lookup(NAMES, code).unwrap_or(c"unrecognized error code").as_ptr()
}

/// What an error code means, in words: those of the driver where it has some.
#[unsafe(no_mangle)]
extern "C" fn cudaGetErrorString(code: i32) -> *const c_char {
    if let Some(text) = lookup(OWN_TEXTS, code) {
        return text.as_ptr();
    }
    let mut text: *const c_char = std::ptr::null();
    let known = opened().is_some_and(|driver| driver.cuGetErrorString(code, Out::local(&mut text)).is_ok());
    if known && !text.is_null() {
        return text;
    }
    lookup(NAMES, code).unwrap_or(c"unrecognized error code").as_ptr()
}

/// The thread's last error, which is then forgotten.
#[unsafe(no_mangle)]
extern "C" fn cudaGetLastError() -> i32 {
    crate::thread::take_error()
}

/// The thread's last error.
#[unsafe(no_mangle)]
extern "C" fn cudaPeekAtLastError() -> i32 {
    crate::thread::peek_error()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted() {
        assert!(NAMES.is_sorted_by_key(|row| row.0));
        assert!(OWN_TEXTS.is_sorted_by_key(|row| row.0));
    }

    #[test]
    fn names_are_those_of_the_header() {
        assert_eq!(lookup(NAMES, 0), Some(c"cudaSuccess"));
        assert_eq!(lookup(NAMES, 700), Some(c"cudaErrorIllegalAddress"));
        assert_eq!(lookup(NAMES, 801), Some(c"cudaErrorNotSupported"));
        assert_eq!(lookup(NAMES, 5000), None);
    }

    #[test]
    fn zero_is_no_error() {
        assert_eq!(Error::from_driver(0), Ok(()));
        assert_eq!(Error::from_driver(2).map_err(Error::code), Err(2));
        assert_eq!(Error::from_code(0), Error::UNKNOWN);
    }
}
