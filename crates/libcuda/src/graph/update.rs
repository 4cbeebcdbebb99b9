//! Changing executable graphs.
//!
//! A node keeps its kind and its place; what it does may change. A change sends the worker the node anew, and launches that were asked
//! for before are as they were.

use super::exec::{Exec, exec};
use super::node::{Work, kind};
use super::plan::{Unit, flatten};
use super::set::{can_be_disabled, successor};
use super::{build, graph};
use crate::code::{Answer, Code};
use crate::external;
use crate::state::{self, Driver};
use crate::types::{
    CUDA_BATCH_MEM_OP_NODE_PARAMS, CUDA_CHILD_GRAPH_NODE_PARAMS, CUDA_HOST_NODE_PARAMS,
    CUDA_KERNEL_NODE_PARAMS, CUDA_KERNEL_NODE_PARAMS_v1, CUDA_MEMCPY3D, CUDA_MEMSET_NODE_PARAMS,
    CUgraphExecUpdateResultInfo, CUgraphNodeParams, Caller, Handle, c_void,
};

/// `CUgraphExecUpdateResult`
mod result {
    pub(super) const SUCCESS: i32 = 0;
    pub(super) const ERROR: i32 = 1;
    pub(super) const TOPOLOGY_CHANGED: i32 = 2;
    pub(super) const NODE_TYPE_CHANGED: i32 = 3;
    pub(super) const FUNCTION_CHANGED: i32 = 4;
    pub(super) const PARAMETERS_CHANGED: i32 = 5;
    pub(super) const NOT_SUPPORTED: i32 = 6;
}

/// Sets what a node of an executable graph does.
fn set(handle: Handle, node: Handle, make: impl FnOnce(&'static Driver) -> Answer<Work>) -> Answer {
    let driver = state::driver()?;
    let exec = exec(driver, handle)?;
    if node == 0 {
        return Err(Code::INVALID_VALUE);
    }
    let context = exec.context(driver)?;
    let mut state = exec.state();
    let place = state.place(node)?;
    let old = state
        .units
        .get(place)
        .map(|unit| unit.work.clone())
        .ok_or(Code::INVALID_VALUE)?;
    let new = successor(driver, &old, make(driver)?)?;
    check_context(&exec, &new)?;
    state.change(driver, &context, place, |unit| unit.work = new)?;
    state.changed();
    Ok(())
}

/// Kernels stay in the context of the graph.
fn check_context(exec: &Exec, work: &Work) -> Answer {
    match work {
        Work::Kernel(kernel) if kernel.function.core.handle != exec.context => Err(Code::INVALID_VALUE),
        _ => Ok(()),
    }
}

/// `cuGraphExecKernelNodeSetParams`
pub(crate) fn graph_exec_kernel_node_set_params_v1(
    handle: Handle,
    node: Handle,
    params: Caller<CUDA_KERNEL_NODE_PARAMS_v1>,
) -> Answer {
    set(handle, node, |driver| Work::kernel_v1(driver, &params.get()?))
}

/// `cuGraphExecKernelNodeSetParams_v2`
pub(crate) fn graph_exec_kernel_node_set_params(
    handle: Handle,
    node: Handle,
    params: Caller<CUDA_KERNEL_NODE_PARAMS>,
) -> Answer {
    set(handle, node, |driver| Work::kernel(driver, &params.get()?))
}

/// `cuGraphExecMemcpyNodeSetParams`
pub(crate) fn graph_exec_memcpy_node_set_params(
    handle: Handle,
    node: Handle,
    params: Caller<CUDA_MEMCPY3D>,
    context: Handle,
) -> Answer {
    set(handle, node, |driver| {
        let params = params.get()?;
        crate::context::context(context)?;
        Work::memcpy(driver, &params)
    })
}

/// `cuGraphExecMemsetNodeSetParams`
pub(crate) fn graph_exec_memset_node_set_params(
    handle: Handle,
    node: Handle,
    params: Caller<CUDA_MEMSET_NODE_PARAMS>,
    context: Handle,
) -> Answer {
    set(handle, node, |driver| {
        let params = params.get()?;
        crate::context::context(context)?;
        Work::memset(driver, &params)
    })
}

/// `cuGraphExecHostNodeSetParams`
pub(crate) fn graph_exec_host_node_set_params(
    handle: Handle,
    node: Handle,
    params: Caller<CUDA_HOST_NODE_PARAMS>,
) -> Answer {
    set(handle, node, |_| Work::host_params(&params.get()?))
}

/// `cuGraphExecEventRecordNodeSetEvent`
pub(crate) fn graph_exec_event_record_node_set_event(handle: Handle, node: Handle, event: Handle) -> Answer {
    set(handle, node, |driver| {
        Work::event(driver, event).map(Work::Record)
    })
}

/// `cuGraphExecEventWaitNodeSetEvent`
pub(crate) fn graph_exec_event_wait_node_set_event(handle: Handle, node: Handle, event: Handle) -> Answer {
    set(handle, node, |driver| Work::event(driver, event).map(Work::Wait))
}

/// `cuGraphExecBatchMemOpNodeSetParams`
pub(crate) fn graph_exec_batch_mem_op_node_set_params(
    handle: Handle,
    node: Handle,
    params: Caller<CUDA_BATCH_MEM_OP_NODE_PARAMS>,
) -> Answer {
    set(handle, node, |driver| Work::values(driver, &params.get()?))
}

/// `cuGraphExecExternalSemaphoresSignalNodeSetParams`, `cuGraphExecExternalSemaphoresWaitNodeSetParams`
pub(crate) fn graph_exec_external_semaphores_node_set_params(
    handle: Handle,
    node: Handle,
    params: Caller<c_void>,
) -> Answer {
    set(handle, node, |_| {
        params.required()?;
        external::work()
    })
}

/// `cuGraphExecNodeSetParams`
pub(crate) fn graph_exec_node_set_params(
    handle: Handle,
    node: Handle,
    params: Caller<CUgraphNodeParams>,
) -> Answer {
    if params.get()?.kind == kind::GRAPH {
        let child = params.member::<CUDA_CHILD_GRAPH_NODE_PARAMS>().get()?;
        return graph_exec_child_graph_node_set_params(handle, node, child.graph);
    }
    set(handle, node, |driver| build::editable(driver, params))
}

/// `cuGraphExecChildGraphNodeSetParams`: the child's nodes are the units before the one of the child node, in its order.
pub(crate) fn graph_exec_child_graph_node_set_params(handle: Handle, node: Handle, child: Handle) -> Answer {
    let driver = state::driver()?;
    let exec = exec(driver, handle)?;
    let child = graph(driver, child)?;
    let is_child = super::with_work(driver, node, |work| Ok(work.kind() == kind::GRAPH))?;
    let mut units = Vec::new();
    flatten(&child, &[], &mut units).map_err(|refused| refused.code)?;
    let state = exec.state();
    let end = state.place(node)?;
    let first = end.checked_sub(units.len()).ok_or(Code::INVALID_VALUE)?;
    drop(state);
    if !is_child {
        return Err(Code::INVALID_VALUE);
    }
    update(driver, &exec, first, &units).map_err(|failed| failed.code)
}

/// `cuGraphNodeSetEnabled`
pub(crate) fn graph_node_set_enabled(handle: Handle, node: Handle, enabled: u32) -> Answer {
    let driver = state::driver()?;
    let exec = exec(driver, handle)?;
    let context = exec.context(driver)?;
    let mut state = exec.state();
    let place = enabling(&state.units, state.place(node)?)?;
    state.change(driver, &context, place, |unit| unit.enabled = enabled != 0)?;
    state.changed();
    Ok(())
}

/// `cuGraphNodeGetEnabled`
pub(crate) fn graph_node_get_enabled(handle: Handle, node: Handle, enabled: Caller<u32>) -> Answer {
    enabled.required()?;
    let exec = exec(state::driver()?, handle)?;
    let state = exec.state();
    let place = enabling(&state.units, state.place(node)?)?;
    enabled.put(u32::from(state.units.get(place).is_some_and(|unit| unit.enabled)))
}

fn enabling(units: &[Unit], place: usize) -> Answer<usize> {
    let fits = units.get(place).is_some_and(|unit| can_be_disabled(&unit.work));
    if fits { Ok(place) } else { Err(Code::INVALID_VALUE) }
}

/// Why a graph does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Failed {
    code: Code,
    result: i32,
    node: Handle,
    from: Handle,
}

fn failed(result: i32, node: Handle) -> Failed {
    Failed {
        code: Code::GRAPH_EXEC_UPDATE_FAILURE,
        result,
        node,
        from: 0,
    }
}

/// Finds the first difference between units in place, from `first` on, and new ones.
fn compare(old: &[Unit], first: usize, list: &[Unit]) -> Result<(), Failed> {
    for (old, new) in old.iter().zip(list) {
        if old.work.kind() != new.work.kind() {
            return Err(failed(result::NODE_TYPE_CHANGED, new.source));
        }
        // Edges that come from outside are the child node's, which is not changed.
        let inside = |before: &[u32], base: usize| -> Vec<usize> {
            before
                .iter()
                .filter_map(|&unit| (unit as usize).checked_sub(base))
                .collect()
        };
        let (mut had, mut has) = (inside(&old.before, first), inside(&new.before, 0));
        had.sort_unstable();
        has.sort_unstable();
        if had != has {
            let extra = has.iter().find(|unit| !had.contains(unit));
            return Err(Failed {
                from: extra
                    .and_then(|&unit| list.get(unit))
                    .map_or(0, |unit| unit.source),
                ..failed(result::TOPOLOGY_CHANGED, new.source)
            });
        }
        match (&old.work, &new.work) {
            (Work::Kernel(old), Work::Kernel(kernel))
                if old.function.core.handle != kernel.function.core.handle =>
            {
                return Err(failed(result::FUNCTION_CHANGED, new.source));
            }
            (Work::Alloc(old), Work::Alloc(memory)) if old.address != memory.address => {
                return Err(failed(result::PARAMETERS_CHANGED, new.source));
            }
            (Work::Conditional(_), _) => return Err(failed(result::NOT_SUPPORTED, new.source)),
            _ => {}
        }
    }
    Ok(())
}

/// Replaces the units from `first` on.
fn update(driver: &Driver, exec: &Exec, first: usize, new: &[Unit]) -> Result<(), Failed> {
    let generic = |code| Failed {
        code,
        ..failed(result::ERROR, 0)
    };
    let context = exec.context(driver).map_err(generic)?;
    let mut state = exec.state();
    let old = state
        .units
        .get(first..first + new.len())
        .ok_or(failed(result::TOPOLOGY_CHANGED, 0))?;
    compare(old, first, new)?;
    for (place, unit) in (first..).zip(new) {
        let work = unit.work.clone();
        let changed = state.change(driver, &context, place, |unit| unit.work = work);
        changed.map_err(|_| failed(result::PARAMETERS_CHANGED, unit.source))?;
    }
    state.changed();
    Ok(())
}

fn update_from(handle: Handle, source: Handle) -> Result<(), Failed> {
    let invalid = |code| Failed {
        code,
        ..failed(result::ERROR, 0)
    };
    let driver = state::driver().map_err(invalid)?;
    let exec = exec(driver, handle).map_err(invalid)?;
    let graph = graph(driver, source).map_err(invalid)?;
    let mut units = Vec::new();
    flatten(&graph, &[], &mut units).map_err(|refused| invalid(refused.code))?;
    let first = {
        let state = exec.state();
        // What sets the values of conditional nodes is of no node.
        let first = state.units.iter().take_while(|unit| unit.source == 0).count();
        if state.units.len() - first != units.len() {
            let extra = units.get(state.units.len() - first);
            return Err(failed(
                result::TOPOLOGY_CHANGED,
                extra.map_or(0, |unit| unit.source),
            ));
        }
        first
    };
    update(driver, &exec, first, &units)
}

/// `cuGraphExecUpdate`
pub(crate) fn graph_exec_update_v1(
    handle: Handle,
    graph: Handle,
    error_node: Caller<Handle>,
    result_out: Caller<i32>,
) -> Answer {
    result_out.required()?;
    let updated = update_from(handle, graph);
    error_node.put_if_wanted(updated.err().map_or(0, |failed| failed.node));
    result_out.put(updated.err().map_or(result::SUCCESS, |failed| failed.result))?;
    updated.map_err(|failed| failed.code)
}

/// `cuGraphExecUpdate_v2`
pub(crate) fn graph_exec_update(
    handle: Handle,
    graph: Handle,
    info: Caller<CUgraphExecUpdateResultInfo>,
) -> Answer {
    info.required()?;
    let updated = update_from(handle, graph);
    info.put(match updated {
        Ok(()) => CUgraphExecUpdateResultInfo::default(),
        Err(failed) => CUgraphExecUpdateResultInfo {
            result: failed.result,
            error_node: failed.node,
            error_from_node: failed.from,
        },
    })?;
    updated.map_err(|failed| failed.code)
}
