//! C types of graphs: parameters of nodes, of instantiation, results of updates.

#![allow(non_camel_case_types, clippy::upper_case_acronyms)]

use crate::types::{
    CUDA_MEMCPY3D, CUhostFn, CUmemPoolProps, CUstreamBatchMemOpParams, Caller, Handle, c_void,
};

/// `CUDA_KERNEL_NODE_PARAMS_v1`
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct CUDA_KERNEL_NODE_PARAMS_v1 {
    pub(crate) function: Handle,
    pub(crate) grid: [u32; 3],
    pub(crate) block: [u32; 3],
    pub(crate) shared_bytes: u32,
    pub(crate) pointers: Caller<Caller<c_void>>,
    pub(crate) extra: Caller<Caller<c_void>>,
}

/// `CUDA_KERNEL_NODE_PARAMS_v2` and `_v3`
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct CUDA_KERNEL_NODE_PARAMS {
    pub(crate) first: CUDA_KERNEL_NODE_PARAMS_v1,
    pub(crate) kernel: Handle,
    pub(crate) context: Handle,
}

/// `CUDA_MEMCPY_NODE_PARAMS`
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct CUDA_MEMCPY_NODE_PARAMS {
    pub(crate) flags: i32,
    pub(crate) reserved: i32,
    pub(crate) context: Handle,
    pub(crate) copy: CUDA_MEMCPY3D,
}

/// `CUDA_MEMSET_NODE_PARAMS`
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct CUDA_MEMSET_NODE_PARAMS {
    pub(crate) destination: u64,
    pub(crate) pitch: usize,
    pub(crate) value: u32,
    pub(crate) element_bytes: u32,
    pub(crate) width: usize,
    pub(crate) height: usize,
}

/// `CUDA_MEMSET_NODE_PARAMS_v2`
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct CUDA_MEMSET_NODE_PARAMS_v2 {
    pub(crate) first: CUDA_MEMSET_NODE_PARAMS,
    pub(crate) context: Handle,
}

/// `CUDA_HOST_NODE_PARAMS`
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct CUDA_HOST_NODE_PARAMS {
    pub(crate) function: CUhostFn,
    pub(crate) data: Caller<c_void>,
}

/// `CUDA_HOST_NODE_PARAMS_v2`
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct CUDA_HOST_NODE_PARAMS_v2 {
    pub(crate) first: CUDA_HOST_NODE_PARAMS,
    pub(crate) sync_mode: u32,
    pub(crate) context: Handle,
}

/// `CUDA_CHILD_GRAPH_NODE_PARAMS`
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct CUDA_CHILD_GRAPH_NODE_PARAMS {
    pub(crate) graph: Handle,
    pub(crate) ownership: i32,
}

/// `CUDA_EVENT_RECORD_NODE_PARAMS`, of which `CUDA_EVENT_WAIT_NODE_PARAMS` is the first half.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct CUDA_EVENT_NODE_PARAMS {
    pub(crate) event: Handle,
    pub(crate) context: Handle,
}

/// `CUDA_MEM_ALLOC_NODE_PARAMS`
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct CUDA_MEM_ALLOC_NODE_PARAMS {
    pub(crate) pool: CUmemPoolProps,
    pub(crate) access: Caller<crate::types::CUmemAccessDesc>,
    pub(crate) access_count: usize,
    pub(crate) bytes: usize,
    pub(crate) address: u64,
}

/// `CUDA_BATCH_MEM_OP_NODE_PARAMS`
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct CUDA_BATCH_MEM_OP_NODE_PARAMS {
    pub(crate) context: Handle,
    pub(crate) count: u32,
    pub(crate) operations: Caller<CUstreamBatchMemOpParams>,
    pub(crate) flags: u32,
}

/// `CUDA_CONDITIONAL_NODE_PARAMS`
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct CUDA_CONDITIONAL_NODE_PARAMS {
    pub(crate) handle: u64,
    pub(crate) kind: u32,
    pub(crate) size: u32,
    pub(crate) bodies: Caller<Handle>,
    pub(crate) context: Handle,
}

/// `CUgraphNodeParams`; what the union means depends on the kind.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct CUgraphNodeParams {
    pub(crate) kind: i32,
    pub(crate) reserved: [i32; 3],
    pub(crate) union: [u64; 29],
    pub(crate) reserved_end: i64,
}

impl Caller<CUgraphNodeParams> {
    /// The union as one of its members.
    pub(crate) fn member<T>(self) -> Caller<T> {
        Caller::from_raw(
            self.as_ptr()
                .wrapping_byte_add(std::mem::offset_of!(CUgraphNodeParams, union))
                .cast(),
        )
    }
}

/// `CUDA_GRAPH_INSTANTIATE_PARAMS`
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct CUDA_GRAPH_INSTANTIATE_PARAMS {
    pub(crate) flags: u64,
    pub(crate) upload_stream: Handle,
    pub(crate) error_node: Handle,
    pub(crate) result: i32,
}

/// `CUgraphExecUpdateResultInfo`
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CUgraphExecUpdateResultInfo {
    pub(crate) result: i32,
    pub(crate) error_node: Handle,
    pub(crate) error_from_node: Handle,
}

const _: () = {
    assert!(size_of::<CUDA_KERNEL_NODE_PARAMS_v1>() == 56);
    assert!(size_of::<CUDA_KERNEL_NODE_PARAMS>() == 72);
    assert!(size_of::<CUDA_MEMCPY_NODE_PARAMS>() == 216);
    assert!(size_of::<CUDA_MEMSET_NODE_PARAMS>() == 40);
    assert!(size_of::<CUDA_MEMSET_NODE_PARAMS_v2>() == 48);
    assert!(size_of::<CUDA_HOST_NODE_PARAMS>() == 16);
    assert!(size_of::<CUDA_HOST_NODE_PARAMS_v2>() == 32);
    assert!(size_of::<CUDA_CHILD_GRAPH_NODE_PARAMS>() == 16);
    assert!(size_of::<CUDA_EVENT_NODE_PARAMS>() == 16);
    assert!(size_of::<CUDA_MEM_ALLOC_NODE_PARAMS>() == 120);
    assert!(size_of::<CUDA_BATCH_MEM_OP_NODE_PARAMS>() == 32);
    assert!(size_of::<CUDA_CONDITIONAL_NODE_PARAMS>() == 32);
    assert!(size_of::<CUgraphNodeParams>() == 256);
    assert!(size_of::<CUDA_GRAPH_INSTANTIATE_PARAMS>() == 32);
    assert!(size_of::<CUgraphExecUpdateResultInfo>() == 24);
};
