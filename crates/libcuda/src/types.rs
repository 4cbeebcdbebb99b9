//! C types of the driver API that handlers take.
//!
//! Handles (`CUcontext`, `CUstream`, ...) are numbers here: they are looked up in tables and never followed as pointers.

#![allow(non_camel_case_types, clippy::upper_case_acronyms)]

pub(crate) use crate::caller::Caller;
pub(crate) use crate::graph::params::*;
pub(crate) use std::ffi::{c_char, c_void};

/// Any opaque handle.
pub(crate) type Handle = u64;

/// `CUuuid`
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CUuuid {
    pub(crate) bytes: [u8; 16],
}

/// `CUhostFn`
pub(crate) type CUhostFn = Option<unsafe extern "C" fn(*mut c_void)>;
/// `CUstreamCallback`
pub(crate) type CUstreamCallback = Option<unsafe extern "C" fn(Handle, i32, *mut c_void)>;
/// `CUoccupancyB2DSize`
pub(crate) type CUoccupancyB2DSize = Option<unsafe extern "C" fn(i32) -> usize>;
/// `CUasyncCallback`
pub(crate) type CUasyncCallback = Option<unsafe extern "C" fn(*mut c_void, *mut c_void, Handle)>;
/// `CUcoredumpStatusCallback`
pub(crate) type CUcoredumpStatusCallback = Option<unsafe extern "C" fn(*mut c_void, i32, i32)>;
/// `CUlogsCallback`
pub(crate) type CUlogsCallback = Option<unsafe extern "C" fn(*mut c_void, i32, *const c_char, usize)>;

/// `CUlaunchConfig`
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct CUlaunchConfig {
    pub(crate) grid: [u32; 3],
    pub(crate) block: [u32; 3],
    pub(crate) shared_bytes: u32,
    pub(crate) stream: Handle,
    pub(crate) attributes: Caller<CUlaunchAttribute>,
    pub(crate) attribute_count: u32,
}

/// `CUDA_LAUNCH_PARAMS`
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct CUDA_LAUNCH_PARAMS {
    pub(crate) function: Handle,
    pub(crate) grid: [u32; 3],
    pub(crate) block: [u32; 3],
    pub(crate) shared_bytes: u32,
    pub(crate) stream: Handle,
    pub(crate) pointers: Caller<Caller<c_void>>,
}

/// `CUlaunchAttribute`: an identifier, and a value of 64 bytes whose first numbers matter here.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct CUlaunchAttribute {
    pub(crate) id: i32,
    pub(crate) padding: u32,
    pub(crate) value: [u32; 16],
}

/// `CUlaunchAttributeValue`
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct CUlaunchAttributeValue {
    pub(crate) words: [u64; 8],
}

/// `CUmemLocation`
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CUmemLocation {
    pub(crate) kind: i32,
    pub(crate) id: i32,
}

/// `CUmemPoolProps`
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct CUmemPoolProps {
    pub(crate) alloc_type: i32,
    pub(crate) handle_types: i32,
    pub(crate) location: CUmemLocation,
    pub(crate) security: Caller<c_void>,
    pub(crate) max_bytes: usize,
    pub(crate) usage: u16,
    pub(crate) rest: [u8; 54],
}

/// `CUmemPoolPtrExportData`
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct CUmemPoolPtrExportData {
    pub(crate) bytes: [u8; 64],
}

/// `CUipcEventHandle`
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct CUipcEventHandle {
    pub(crate) bytes: [u8; 64],
}

/// `CUipcMemHandle`
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct CUipcMemHandle {
    pub(crate) bytes: [u8; 64],
}

/// `CUmemAccessDesc`
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct CUmemAccessDesc {
    pub(crate) location: CUmemLocation,
    pub(crate) flags: i32,
}

/// `CUmemAllocationProp`
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct CUmemAllocationProp {
    pub(crate) kind: i32,
    pub(crate) handle_types: i32,
    pub(crate) location: CUmemLocation,
    pub(crate) security: Caller<c_void>,
    pub(crate) compression: u8,
    pub(crate) rdma: u8,
    pub(crate) usage: u16,
    pub(crate) reserved: [u8; 4],
}

/// `CUDA_MEMCPY2D`
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct CUDA_MEMCPY2D {
    pub(crate) source_x: usize,
    pub(crate) source_y: usize,
    pub(crate) source_type: i32,
    pub(crate) source_host: Caller<c_void>,
    pub(crate) source_device: u64,
    pub(crate) source_array: Handle,
    pub(crate) source_pitch: usize,
    pub(crate) destination_x: usize,
    pub(crate) destination_y: usize,
    pub(crate) destination_type: i32,
    pub(crate) destination_host: Caller<c_void>,
    pub(crate) destination_device: u64,
    pub(crate) destination_array: Handle,
    pub(crate) destination_pitch: usize,
    pub(crate) width: usize,
    pub(crate) height: usize,
}

/// One side of `CUDA_MEMCPY3D`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Memcpy3dSide {
    pub(crate) x: usize,
    pub(crate) y: usize,
    pub(crate) z: usize,
    pub(crate) level: usize,
    pub(crate) kind: i32,
    pub(crate) host: Caller<c_void>,
    pub(crate) device: u64,
    pub(crate) array: Handle,
    pub(crate) reserved: u64,
    pub(crate) pitch: usize,
    pub(crate) height: usize,
}

/// `CUDA_MEMCPY3D`
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct CUDA_MEMCPY3D {
    pub(crate) source: Memcpy3dSide,
    pub(crate) destination: Memcpy3dSide,
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) depth: usize,
}

/// `CUDA_ARRAY_DESCRIPTOR`
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct CUDA_ARRAY_DESCRIPTOR {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) format: u32,
    pub(crate) channels: u32,
}

/// `CUDA_ARRAY3D_DESCRIPTOR`
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CUDA_ARRAY3D_DESCRIPTOR {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) depth: usize,
    pub(crate) format: u32,
    pub(crate) channels: u32,
    pub(crate) flags: u32,
}

/// `CUDA_ARRAY_MEMORY_REQUIREMENTS`
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct CUDA_ARRAY_MEMORY_REQUIREMENTS {
    pub(crate) size: usize,
    pub(crate) alignment: usize,
    pub(crate) reserved: [u32; 4],
}

/// `CUDA_ARRAY_SPARSE_PROPERTIES`
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct CUDA_ARRAY_SPARSE_PROPERTIES {
    pub(crate) tile: [u32; 3],
    pub(crate) first_level: u32,
    pub(crate) tail_bytes: u64,
    pub(crate) flags: u32,
    pub(crate) reserved: [u32; 4],
}

/// `CUDA_RESOURCE_DESC`; what the union means depends on the kind.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct CUDA_RESOURCE_DESC {
    pub(crate) kind: i32,
    /// Handle of an array, or device pointer.
    pub(crate) pointer: u64,
    pub(crate) format: u32,
    pub(crate) channels: u32,
    /// Bytes of linear memory, or texels of a row.
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) pitch: usize,
    pub(crate) rest: [u64; 11],
    pub(crate) flags: u32,
}

/// `CUDA_TEXTURE_DESC`
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct CUDA_TEXTURE_DESC {
    pub(crate) modes: [u32; 3],
    pub(crate) filter: u32,
    pub(crate) flags: u32,
    pub(crate) anisotropy: u32,
    pub(crate) level_filter: u32,
    pub(crate) level_bias: f32,
    pub(crate) level_clamp: [f32; 2],
    pub(crate) border: [f32; 4],
    pub(crate) reserved: [i32; 12],
}

/// `CUDA_RESOURCE_VIEW_DESC`
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct CUDA_RESOURCE_VIEW_DESC {
    pub(crate) bytes: [u64; 14],
}

/// `CUdevprop`
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct CUdevprop {
    pub(crate) max_threads_per_block: i32,
    pub(crate) max_threads: [i32; 3],
    pub(crate) max_grid: [i32; 3],
    pub(crate) shared_bytes: i32,
    pub(crate) constant_bytes: i32,
    pub(crate) simd_width: i32,
    pub(crate) memory_pitch: i32,
    pub(crate) registers: i32,
    pub(crate) clock_khz: i32,
    pub(crate) texture_align: i32,
}

/// `CUexecAffinityParam`
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct CUexecAffinityParam {
    pub(crate) kind: i32,
    pub(crate) sm_count: u32,
}

/// `CUctxCreateParams`
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct CUctxCreateParams {
    pub(crate) affinity: Caller<CUexecAffinityParam>,
    pub(crate) affinity_count: i32,
    pub(crate) graphics: Caller<c_void>,
}

/// `CUgraphEdgeData`: ports and kind of an edge; all 0: the edge waits for the whole node.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CUgraphEdgeData {
    pub(crate) from_port: u8,
    pub(crate) to_port: u8,
    pub(crate) kind: u8,
    pub(crate) reserved: [u8; 5],
}

/// `CUstreamBatchMemOpParams`: a tag, and what it means.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct CUstreamBatchMemOpParams {
    pub(crate) words: [u64; 6],
}

/// `CUmemcpyAttributes`
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct CUmemcpyAttributes {
    pub(crate) order: i32,
    pub(crate) source_hint: CUmemLocation,
    pub(crate) destination_hint: CUmemLocation,
    pub(crate) flags: u32,
}

/// `CUmemcpy3DOperand`: a pointer with lengths of rows and layers, or an array and a place in it.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct CUmemcpy3DOperand {
    pub(crate) kind: i32,
    pub(crate) words: [u64; 4],
}

/// `CUDA_MEMCPY3D_BATCH_OP`
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct CUDA_MEMCPY3D_BATCH_OP {
    pub(crate) source: CUmemcpy3DOperand,
    pub(crate) destination: CUmemcpy3DOperand,
    pub(crate) extent: [usize; 3],
    pub(crate) order: i32,
    pub(crate) flags: u32,
}

/// `CUdevResource`: a kind, what the driver keeps in it, what it says.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct CUdevResource {
    pub(crate) kind: i32,
    pub(crate) internal: [u32; 23],
    pub(crate) values: [u32; 10],
    pub(crate) next: u64,
}

/// `CU_DEV_SM_RESOURCE_GROUP_PARAMS`
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct CU_DEV_SM_RESOURCE_GROUP_PARAMS {
    pub(crate) count: u32,
    pub(crate) together: u32,
    pub(crate) preferred: u32,
    pub(crate) flags: u32,
    pub(crate) rest: [u32; 12],
}

const _: () = {
    assert!(size_of::<CUdevResource>() == 144);
    assert!(size_of::<CU_DEV_SM_RESOURCE_GROUP_PARAMS>() == 64);
    assert!(size_of::<CUmemcpyAttributes>() == 24);
    assert!(size_of::<CUDA_MEMCPY3D_BATCH_OP>() == 112);
    assert!(size_of::<CUstreamBatchMemOpParams>() == 48);
    assert!(size_of::<CUlaunchConfig>() == 56);
    assert!(size_of::<CUDA_LAUNCH_PARAMS>() == 56);
    assert!(size_of::<CUlaunchAttribute>() == 72);
    assert!(size_of::<CUmemPoolProps>() == 88);
    assert!(size_of::<CUmemAllocationProp>() == 32);
    assert!(size_of::<CUDA_MEMCPY2D>() == 128);
    assert!(size_of::<CUDA_MEMCPY3D>() == 200);
    assert!(size_of::<CUDA_ARRAY_DESCRIPTOR>() == 24);
    assert!(size_of::<CUDA_ARRAY3D_DESCRIPTOR>() == 40);
    assert!(size_of::<CUDA_RESOURCE_DESC>() == 144);
    assert!(size_of::<CUDA_TEXTURE_DESC>() == 104);
    assert!(size_of::<CUDA_RESOURCE_VIEW_DESC>() == 112);
    assert!(size_of::<CUdevprop>() == 56);
    assert!(size_of::<CUctxCreateParams>() == 24);
};
