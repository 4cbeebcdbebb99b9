//! Parameters of nodes: asking for them and setting them.

use super::build::editable;
use super::node::{KernelWork, Work, kind};
use super::{node, with_work};
use crate::code::{Answer, Code};
use crate::external;
use crate::state::{self, Driver};
use crate::types::{
    CUDA_BATCH_MEM_OP_NODE_PARAMS, CUDA_CHILD_GRAPH_NODE_PARAMS, CUDA_CONDITIONAL_NODE_PARAMS,
    CUDA_EVENT_NODE_PARAMS, CUDA_HOST_NODE_PARAMS, CUDA_HOST_NODE_PARAMS_v2, CUDA_KERNEL_NODE_PARAMS,
    CUDA_KERNEL_NODE_PARAMS_v1, CUDA_MEM_ALLOC_NODE_PARAMS, CUDA_MEMCPY_NODE_PARAMS, CUDA_MEMCPY3D,
    CUDA_MEMSET_NODE_PARAMS, CUDA_MEMSET_NODE_PARAMS_v2, CUgraphNodeParams, Caller, Handle, c_void,
};
use std::sync::Arc;

/// What replaces a node's work: of the same kind, with the attributes that were set.
pub(crate) fn successor(driver: &Driver, old: &Work, new: Work) -> Answer<Work> {
    match (old, new) {
        (Work::Kernel(old), Work::Kernel(new)) => {
            Ok(Work::Kernel(Arc::new(new.keep_attributes(driver, old)?)))
        }
        // What allocates, chooses or holds a graph stays as it was made.
        (Work::Alloc(_) | Work::Free(_) | Work::Conditional(_) | Work::Child(_), _) => {
            Err(Code::INVALID_VALUE)
        }
        (old, new) if old.kind() == new.kind() => Ok(new),
        _ => Err(Code::INVALID_VALUE),
    }
}

/// Sets what a node does.
fn set(handle: Handle, make: impl FnOnce(&'static Driver) -> Answer<Work>) -> Answer {
    let driver = state::driver()?;
    let (graph, id) = node(driver, handle)?;
    let new = make(driver)?;
    let mut body = graph.body();
    let node = body.nodes.get_mut(&id).ok_or(Code::INVALID_VALUE)?;
    node.work = successor(driver, &node.work, new)?;
    Ok(())
}

fn get<R>(handle: Handle, look: impl FnOnce(&Work) -> Option<R>) -> Answer<R> {
    with_work(state::driver()?, handle, |work| {
        look(work).ok_or(Code::INVALID_VALUE)
    })
}

fn kernel(work: &Work) -> Option<Arc<KernelWork>> {
    match work {
        Work::Kernel(kernel) => Some(Arc::clone(kernel)),
        _ => None,
    }
}

/// `cuGraphKernelNodeGetParams`: a kernel is shown as its function.
pub(crate) fn graph_kernel_node_get_params_v1(
    handle: Handle,
    out: Caller<CUDA_KERNEL_NODE_PARAMS_v1>,
) -> Answer {
    out.required()?;
    let kernel = get(handle, kernel)?;
    let mut first = kernel.params().first;
    first.function = kernel.function.handle;
    out.put(first)
}

/// `cuGraphKernelNodeGetParams_v2`
pub(crate) fn graph_kernel_node_get_params(handle: Handle, out: Caller<CUDA_KERNEL_NODE_PARAMS>) -> Answer {
    out.required()?;
    out.put(get(handle, kernel)?.params())
}

/// `cuGraphKernelNodeSetParams`
pub(crate) fn graph_kernel_node_set_params_v1(
    handle: Handle,
    params: Caller<CUDA_KERNEL_NODE_PARAMS_v1>,
) -> Answer {
    set(handle, |driver| Work::kernel_v1(driver, &params.get()?))
}

/// `cuGraphKernelNodeSetParams_v2`
pub(crate) fn graph_kernel_node_set_params(
    handle: Handle,
    params: Caller<CUDA_KERNEL_NODE_PARAMS>,
) -> Answer {
    set(handle, |driver| Work::kernel(driver, &params.get()?))
}

/// `cuGraphKernelNodeCopyAttributes`
pub(crate) fn graph_kernel_node_copy_attributes(to: Handle, from: Handle) -> Answer {
    let driver = state::driver()?;
    let source = get(from, kernel)?;
    let target = get(to, kernel)?;
    replace(to, target.keep_attributes(driver, &source)?)
}

fn replace(handle: Handle, kernel: KernelWork) -> Answer {
    let (graph, id) = node(state::driver()?, handle)?;
    let mut body = graph.body();
    let node = body.nodes.get_mut(&id).ok_or(Code::INVALID_VALUE)?;
    node.work = Work::Kernel(Arc::new(kernel));
    Ok(())
}

/// `cuGraphKernelNodeGetAttribute`: 0 where it was not set.
pub(crate) fn graph_kernel_node_get_attribute(handle: Handle, attr: i32, out: Caller<[u32; 16]>) -> Answer {
    const LAST: i32 = 18;
    out.required()?;
    let kernel = get(handle, kernel)?;
    if !(0..=LAST).contains(&attr) {
        return Err(Code::INVALID_VALUE);
    }
    out.put(kernel.attributes.get(&attr).copied().unwrap_or_default())
}

/// `cuGraphKernelNodeSetAttribute`
pub(crate) fn graph_kernel_node_set_attribute(handle: Handle, attr: i32, value: Caller<[u32; 16]>) -> Answer {
    let value = value.get()?;
    let kernel = get(handle, kernel)?;
    replace(handle, kernel.set_attribute(state::driver()?, attr, value)?)
}

fn memcpy(work: &Work) -> Option<CUDA_MEMCPY3D> {
    match work {
        Work::Memcpy(copy) => Some(**copy),
        _ => None,
    }
}

/// `cuGraphMemcpyNodeGetParams`
pub(crate) fn graph_memcpy_node_get_params(handle: Handle, out: Caller<CUDA_MEMCPY3D>) -> Answer {
    out.required()?;
    out.put(get(handle, memcpy)?)
}

/// `cuGraphMemcpyNodeSetParams`
pub(crate) fn graph_memcpy_node_set_params(handle: Handle, params: Caller<CUDA_MEMCPY3D>) -> Answer {
    set(handle, |driver| Work::memcpy(driver, &params.get()?))
}

fn memset(work: &Work) -> Option<CUDA_MEMSET_NODE_PARAMS> {
    match work {
        Work::Memset(fill) => Some(*fill),
        _ => None,
    }
}

/// `cuGraphMemsetNodeGetParams`
pub(crate) fn graph_memset_node_get_params(handle: Handle, out: Caller<CUDA_MEMSET_NODE_PARAMS>) -> Answer {
    out.required()?;
    out.put(get(handle, memset)?)
}

/// `cuGraphMemsetNodeSetParams`
pub(crate) fn graph_memset_node_set_params(
    handle: Handle,
    params: Caller<CUDA_MEMSET_NODE_PARAMS>,
) -> Answer {
    set(handle, |driver| Work::memset(driver, &params.get()?))
}

fn host(work: &Work) -> Option<CUDA_HOST_NODE_PARAMS> {
    match work {
        Work::Host(host) => Some(CUDA_HOST_NODE_PARAMS {
            function: Some(host.function),
            data: host.data,
        }),
        _ => None,
    }
}

/// `cuGraphHostNodeGetParams`
pub(crate) fn graph_host_node_get_params(handle: Handle, out: Caller<CUDA_HOST_NODE_PARAMS>) -> Answer {
    out.required()?;
    out.put(get(handle, host)?)
}

/// `cuGraphHostNodeSetParams`
pub(crate) fn graph_host_node_set_params(handle: Handle, params: Caller<CUDA_HOST_NODE_PARAMS>) -> Answer {
    set(handle, |_| Work::host_params(&params.get()?))
}

/// `cuGraphChildGraphNodeGetGraph`
pub(crate) fn graph_child_graph_node_get_graph(handle: Handle, out: Caller<Handle>) -> Answer {
    out.required()?;
    out.put(get(handle, |work| match work {
        Work::Child(child) => Some(child.handle),
        _ => None,
    })?)
}

fn recorded(work: &Work) -> Option<Handle> {
    match work {
        Work::Record(event) => Some(event.handle()),
        _ => None,
    }
}

fn waited(work: &Work) -> Option<Handle> {
    match work {
        Work::Wait(event) => Some(event.handle()),
        _ => None,
    }
}

/// `cuGraphEventRecordNodeGetEvent`
pub(crate) fn graph_event_record_node_get_event(handle: Handle, out: Caller<Handle>) -> Answer {
    out.required()?;
    out.put(get(handle, recorded)?)
}

/// `cuGraphEventRecordNodeSetEvent`
pub(crate) fn graph_event_record_node_set_event(handle: Handle, event: Handle) -> Answer {
    set(handle, |driver| Work::event(driver, event).map(Work::Record))
}

/// `cuGraphEventWaitNodeGetEvent`
pub(crate) fn graph_event_wait_node_get_event(handle: Handle, out: Caller<Handle>) -> Answer {
    out.required()?;
    out.put(get(handle, waited)?)
}

/// `cuGraphEventWaitNodeSetEvent`
pub(crate) fn graph_event_wait_node_set_event(handle: Handle, event: Handle) -> Answer {
    set(handle, |driver| Work::event(driver, event).map(Work::Wait))
}

fn batch(work: &Work) -> Option<CUDA_BATCH_MEM_OP_NODE_PARAMS> {
    match work {
        // The list is the node's, as documented, and stays as long as the node is not changed.
        Work::Values(values) => Some(CUDA_BATCH_MEM_OP_NODE_PARAMS {
            context: crate::current::top_handle(),
            count: u32::try_from(values.given.len()).unwrap_or(u32::MAX),
            operations: Caller::from_raw(values.given.as_ptr().cast_mut()),
            flags: 0,
        }),
        _ => None,
    }
}

/// `cuGraphBatchMemOpNodeGetParams`
pub(crate) fn graph_batch_mem_op_node_get_params(
    handle: Handle,
    out: Caller<CUDA_BATCH_MEM_OP_NODE_PARAMS>,
) -> Answer {
    out.required()?;
    out.put(get(handle, batch)?)
}

/// `cuGraphBatchMemOpNodeSetParams`
pub(crate) fn graph_batch_mem_op_node_set_params(
    handle: Handle,
    params: Caller<CUDA_BATCH_MEM_OP_NODE_PARAMS>,
) -> Answer {
    set(handle, |driver| Work::values(driver, &params.get()?))
}

/// `cuGraphExternalSemaphoresSignalNodeGetParams`, `cuGraphExternalSemaphoresWaitNodeGetParams`: no node is of these kinds.
pub(crate) fn graph_external_semaphores_node_get_params(handle: Handle, out: Caller<c_void>) -> Answer {
    out.required()?;
    get(handle, |_| None)
}

/// `cuGraphExternalSemaphoresSignalNodeSetParams`, `cuGraphExternalSemaphoresWaitNodeSetParams`
pub(crate) fn graph_external_semaphores_node_set_params(handle: Handle, params: Caller<c_void>) -> Answer {
    set(handle, |_| {
        params.required()?;
        external::work()
    })
}

fn allocation(work: &Work) -> Option<CUDA_MEM_ALLOC_NODE_PARAMS> {
    match work {
        Work::Alloc(memory) => memory.params.map(|params| CUDA_MEM_ALLOC_NODE_PARAMS {
            address: memory.address,
            ..params
        }),
        _ => None,
    }
}

/// `cuGraphMemAllocNodeGetParams`
pub(crate) fn graph_mem_alloc_node_get_params(
    handle: Handle,
    out: Caller<CUDA_MEM_ALLOC_NODE_PARAMS>,
) -> Answer {
    out.required()?;
    out.put(get(handle, allocation)?)
}

fn freed(work: &Work) -> Option<u64> {
    match work {
        Work::Free(address) => Some(*address),
        _ => None,
    }
}

/// `cuGraphMemFreeNodeGetParams`
pub(crate) fn graph_mem_free_node_get_params(handle: Handle, out: Caller<u64>) -> Answer {
    out.required()?;
    out.put(get(handle, freed)?)
}

/// `cuGraphNodeSetParams`, both versions
pub(crate) fn graph_node_set_params(handle: Handle, params: Caller<CUgraphNodeParams>) -> Answer {
    params.required()?;
    set(handle, |driver| editable(driver, params))
}

/// `cuGraphNodeGetParams`
pub(crate) fn graph_node_get_params(handle: Handle, out: Caller<CUgraphNodeParams>) -> Answer {
    /// `CU_GRAPH_CHILD_GRAPH_OWNERSHIP_INVALID`: what was asked for cannot be given back by mistake.
    const NO_OWNERSHIP: i32 = -1;
    out.required()?;
    let work = get(handle, |work| Some(work.clone()))?;
    out.put(CUgraphNodeParams {
        kind: work.kind(),
        reserved: [0; 3],
        union: [0; 29],
        reserved_end: 0,
    })?;
    let context = crate::current::top_handle();
    match &work {
        Work::Kernel(kernel) => out.member().put(kernel.params()),
        Work::Memcpy(copy) => out.member().put(CUDA_MEMCPY_NODE_PARAMS {
            flags: 0,
            reserved: 0,
            context,
            copy: **copy,
        }),
        Work::Memset(first) => out.member().put(CUDA_MEMSET_NODE_PARAMS_v2 {
            first: *first,
            context,
        }),
        Work::Host(given) => out.member().put(CUDA_HOST_NODE_PARAMS_v2 {
            first: CUDA_HOST_NODE_PARAMS {
                function: Some(given.function),
                data: given.data,
            },
            sync_mode: 0,
            context: 0,
        }),
        Work::Child(child) => out.member().put(CUDA_CHILD_GRAPH_NODE_PARAMS {
            graph: child.handle,
            ownership: NO_OWNERSHIP,
        }),
        Work::Empty => Ok(()),
        Work::Wait(event) => out.member().put(event.handle()),
        Work::Record(event) => out.member().put(CUDA_EVENT_NODE_PARAMS {
            event: event.handle(),
            context: 0,
        }),
        Work::Alloc(_) => out.member().put(allocation(&work).ok_or(Code::UNKNOWN)?),
        Work::Free(address) => out.member().put(*address),
        Work::Values(_) => out.member().put(batch(&work).ok_or(Code::UNKNOWN)?),
        Work::Conditional(conditional) => out.member().put(CUDA_CONDITIONAL_NODE_PARAMS {
            handle: conditional.value.address,
            kind: conditional.kind,
            size: u32::try_from(conditional.handles.len()).unwrap_or(u32::MAX),
            bodies: Caller::from_raw(conditional.handles.as_ptr().cast_mut()),
            context: conditional.context,
        }),
    }
}

/// Kinds whose nodes can be switched off.
pub(crate) fn can_be_disabled(work: &Work) -> bool {
    matches!(work.kind(), kind::KERNEL | kind::MEMCPY | kind::MEMSET)
}
