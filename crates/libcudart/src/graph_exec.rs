//! Executable graphs.

use crate::abi::{Handle, In, KernelNode, Out, Word, address};
use crate::copy3d::{Memcpy3d, Parameters, describe, run_of_bytes};
use crate::error::Error;
use crate::graph::InstantiateParameters;
use crate::graph_node::{copy_from_symbol, copy_to_symbol, driver_kernel, here};
use crate::thread::context;
use crate::version::major;
use std::ffi::c_void;

fn set_copy(exec: Handle, node: Handle, copy: &Memcpy3d) -> Result<(), Error> {
    let driver = context()?;
    driver.cuGraphExecMemcpyNodeSetParams(exec, node, copy, here(driver)?)
}

runtime_api! {
    /// Makes a graph executable. In version 11, with a node and a text for what is wrong with it.
    fn cudaGraphInstantiate(exec: Out<Handle>, graph: Handle, third: Word, log: Word, bytes: usize) {
        let driver = context()?;
        if major() >= 12 {
            driver.cuGraphInstantiateWithFlags(exec, graph, third as u64)
        } else {
            driver.cuGraphInstantiate_v2(exec, graph, address(third), address(log), bytes)
        }
    }

    /// Says how an update went. In version 11, in two places.
    fn cudaGraphExecUpdate(exec: Handle, graph: Handle, third: Word, fourth: Word) {
        let driver = context()?;
        if major() >= 12 {
            driver.cuGraphExecUpdate_v2(exec, graph, address(third))
        } else {
            driver.cuGraphExecUpdate(exec, graph, address(third), address(fourth))
        }
    }

    /// Sets what a kernel node launches.
    fn cudaGraphExecKernelNodeSetParams(exec: Handle, node: Handle, what: In<KernelNode>) {
        let what = driver_kernel(&what.get()?)?;
        context()?.cuGraphExecKernelNodeSetParams_v2(exec, node, &what)
    }

    /// Sets what a copy copies.
    fn cudaGraphExecMemcpyNodeSetParams(exec: Handle, node: Handle, what: In<Parameters>) {
        set_copy(exec, node, &describe(&what.get()?)?)
    }

    /// The same for a run of bytes.
    fn cudaGraphExecMemcpyNodeSetParams1D(exec: Handle, node: Handle, to: *mut c_void, from: *const c_void, bytes: usize, kind: i32) {
        set_copy(exec, node, &run_of_bytes(to, from, bytes, kind)?)
    }

    /// The same into a variable.
    fn cudaGraphExecMemcpyNodeSetParamsToSymbol(
        exec: Handle, node: Handle, symbol: *const c_void, from: *const c_void, bytes: usize, offset: usize, kind: i32,
    ) {
        set_copy(exec, node, &copy_to_symbol(symbol, from, bytes, offset, kind)?)
    }

    /// The same out of a variable.
    fn cudaGraphExecMemcpyNodeSetParamsFromSymbol(
        exec: Handle, node: Handle, to: *mut c_void, symbol: *const c_void, bytes: usize, offset: usize, kind: i32,
    ) {
        set_copy(exec, node, &copy_from_symbol(to, symbol, bytes, offset, kind)?)
    }

    /// Sets what a fill fills.
    fn cudaGraphExecMemsetNodeSetParams(exec: Handle, node: Handle, what: *const c_void) {
        let driver = context()?;
        driver.cuGraphExecMemsetNodeSetParams(exec, node, what, here(driver)?)
    }
}

per_thread_api! {
    /// Makes a graph executable, as the parameters say, and says what is wrong with it.
    fn cudaGraphInstantiateWithParams/cudaGraphInstantiateWithParams_ptsz[default](
        exec: Out<Handle>, graph: Handle, what: Out<InstantiateParameters>,
    ) {
        let stream = what.required()?.member::<Handle>(std::mem::offset_of!(InstantiateParameters, stream));
        let given = stream.input().get()?;
        stream.set(default.stream(given))?;
        let result = context()?.cuGraphInstantiateWithParams(exec, graph, what.as_ptr());
        stream.set(given)?;
        result
    }

    /// Launches an executable graph.
    fn cudaGraphLaunch/cudaGraphLaunch_ptsz[default](exec: Handle, stream: Handle) {
        context()?.cuGraphLaunch(exec, default.stream(stream))
    }

    /// Readies it for its first launch.
    fn cudaGraphUpload/cudaGraphUpload_ptsz[default](exec: Handle, stream: Handle) {
        context()?.cuGraphUpload(exec, default.stream(stream))
    }
}

forward_api! {
    /// Makes a graph executable.
    fn cudaGraphInstantiateWithFlags(exec: Out<Handle>, graph: Handle, flags: u64) => cuGraphInstantiateWithFlags;
    /// Flags of an executable graph.
    fn cudaGraphExecGetFlags(exec: Handle, flags: Out<u64>) => cuGraphExecGetFlags;
    /// Its number.
    fn cudaGraphExecGetId(exec: Handle, id: Out<u32>) => cuGraphExecGetId;
    /// Destroys it.
    fn cudaGraphExecDestroy(exec: Handle) => cuGraphExecDestroy;
    /// Sets the function of a host node.
    fn cudaGraphExecHostNodeSetParams(exec: Handle, node: Handle, what: *const c_void) => cuGraphExecHostNodeSetParams;
    /// Sets the graph of a child node.
    fn cudaGraphExecChildGraphNodeSetParams(exec: Handle, node: Handle, child: Handle) => cuGraphExecChildGraphNodeSetParams;
    /// Sets the event of a record.
    fn cudaGraphExecEventRecordNodeSetEvent(exec: Handle, node: Handle, event: Handle) => cuGraphExecEventRecordNodeSetEvent;
    /// Sets the event of a wait.
    fn cudaGraphExecEventWaitNodeSetEvent(exec: Handle, node: Handle, event: Handle) => cuGraphExecEventWaitNodeSetEvent;
    /// Switches a node on or off.
    fn cudaGraphNodeSetEnabled(exec: Handle, node: Handle, enabled: u32) => cuGraphNodeSetEnabled;
    /// Whether it is on.
    fn cudaGraphNodeGetEnabled(exec: Handle, node: Handle, enabled: Out<u32>) => cuGraphNodeGetEnabled;
}
