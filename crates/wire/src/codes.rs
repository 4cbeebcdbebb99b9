//! CUDA error codes that cross the channel, by number; names and numbers as in the driver API's documentation of `CUresult`.

/// A value of `CUresult` that a worker can give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum CudaCode {
    /// `CUDA_SUCCESS`
    Success = 0,
    /// `CUDA_ERROR_INVALID_VALUE`
    InvalidValue = 1,
    /// `CUDA_ERROR_OUT_OF_MEMORY`
    OutOfMemory = 2,
    /// `CUDA_ERROR_NOT_INITIALIZED`
    NotInitialized = 3,
    /// `CUDA_ERROR_DEINITIALIZED`
    Deinitialized = 4,
    /// `CUDA_ERROR_NO_DEVICE`
    NoDevice = 100,
    /// `CUDA_ERROR_INVALID_IMAGE`
    InvalidImage = 200,
    /// `CUDA_ERROR_INVALID_CONTEXT`
    InvalidContext = 201,
    /// `CUDA_ERROR_NO_BINARY_FOR_GPU`
    NoBinaryForGpu = 209,
    /// `CUDA_ERROR_UNSUPPORTED_LIMIT`
    UnsupportedLimit = 215,
    /// `CUDA_ERROR_INVALID_PTX`
    InvalidPtx = 218,
    /// `CUDA_ERROR_UNSUPPORTED_PTX_VERSION`
    UnsupportedPtxVersion = 222,
    /// `CUDA_ERROR_SHARED_OBJECT_SYMBOL_NOT_FOUND`
    SharedObjectSymbolNotFound = 302,
    /// `CUDA_ERROR_OPERATING_SYSTEM`
    OperatingSystem = 304,
    /// `CUDA_ERROR_INVALID_HANDLE`
    InvalidHandle = 400,
    /// `CUDA_ERROR_NOT_FOUND`
    NotFound = 500,
    /// `CUDA_ERROR_ILLEGAL_ADDRESS`
    IllegalAddress = 700,
    /// `CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES`
    LaunchOutOfResources = 701,
    /// `CUDA_ERROR_LAUNCH_TIMEOUT`
    LaunchTimeout = 702,
    /// `CUDA_ERROR_CONTEXT_IS_DESTROYED`
    ContextIsDestroyed = 709,
    /// `CUDA_ERROR_ASSERT`
    Assert = 710,
    /// `CUDA_ERROR_HARDWARE_STACK_ERROR`
    HardwareStackError = 714,
    /// `CUDA_ERROR_ILLEGAL_INSTRUCTION`
    IllegalInstruction = 715,
    /// `CUDA_ERROR_MISALIGNED_ADDRESS`
    MisalignedAddress = 716,
    /// `CUDA_ERROR_INVALID_ADDRESS_SPACE`
    InvalidAddressSpace = 717,
    /// `CUDA_ERROR_INVALID_PC`
    InvalidPc = 718,
    /// `CUDA_ERROR_LAUNCH_FAILED`
    LaunchFailed = 719,
    /// `CUDA_ERROR_NOT_SUPPORTED`
    NotSupported = 801,
    /// `CUDA_ERROR_SYSTEM_DRIVER_MISMATCH`
    SystemDriverMismatch = 803,
    /// `CUDA_ERROR_UNKNOWN`
    Unknown = 999,
}

impl CudaCode {
    /// Number on the wire.
    #[must_use]
    pub const fn number(self) -> u32 {
        self as u32
    }
}
