//! Nodes of a graph, kind by kind.

use crate::abi::{AttributeValue, DriverKernelNode, Handle, In, KernelNode, Out, device_address};
use crate::copy3d::{Memcpy3d, Parameters, describe, parameters_of, run_of_bytes};
use crate::driver::Driver;
use crate::error::Error;
use crate::execution::context_of;
use crate::function::kernel_of;
use crate::registry::stub;
use crate::symbol::{into, out_of, part};
use crate::thread::context;
use std::ffi::c_void;

/// The driver's description of a kernel node: the handle in place of the stub.
pub(crate) fn driver_kernel(given: &KernelNode) -> Result<DriverKernelNode, Error> {
    let (_, kernel) = kernel_of(given.function)?;
    let mut first = *given;
    first.function = std::ptr::null_mut();
    Ok(DriverKernelNode {
        first,
        kernel,
        context: std::ptr::null_mut(),
    })
}

/// The program's: the stub, or the handle itself where the kernel has no stub.
pub(crate) fn program_kernel(driver: &Driver, node: &DriverKernelNode) -> KernelNode {
    let handle = if node.kernel.is_null() {
        node.first.function
    } else {
        node.kernel
    };
    let mut first = node.first;
    first.function = stub(driver, handle).unwrap_or(handle);
    first
}

/// The context that a new node belongs to.
pub(crate) fn here(driver: &Driver) -> Result<Handle, Error> {
    context_of(driver, std::ptr::null_mut())
}

fn add_copy(
    node: Out<Handle>,
    graph: Handle,
    before: *const Handle,
    count: usize,
    copy: &Memcpy3d,
) -> Result<(), Error> {
    let driver = context()?;
    driver.cuGraphAddMemcpyNode(node, graph, before, count, copy, here(driver)?)
}

/// A copy into a variable.
pub(crate) fn copy_to_symbol(
    symbol: *const c_void,
    source: *const c_void,
    bytes: usize,
    offset: usize,
    kind: i32,
) -> Result<Memcpy3d, Error> {
    into(kind)?;
    run_of_bytes(part(symbol, offset, bytes)?, source, bytes, kind)
}

/// A copy out of a variable.
pub(crate) fn copy_from_symbol(
    destination: *mut c_void,
    symbol: *const c_void,
    bytes: usize,
    offset: usize,
    kind: i32,
) -> Result<Memcpy3d, Error> {
    out_of(kind)?;
    run_of_bytes(destination, part(symbol, offset, bytes)?, bytes, kind)
}

/// Bytes of an attribute's value that headers of version 11 know; later ones have room for all.
fn attribute_bytes() -> usize {
    if crate::version::major() == 11 {
        32
    } else {
        size_of::<AttributeValue>()
    }
}

/// Gives an attribute's value to the program.
pub(crate) fn give_attribute(place: Out<u8>, value: AttributeValue) -> Result<(), Error> {
    let bytes = value.map(u64::to_ne_bytes);
    for (index, byte) in bytes.as_flattened().iter().take(attribute_bytes()).enumerate() {
        place.member::<u8>(index).set(*byte)?;
    }
    Ok(())
}

/// An attribute's value from the program.
pub(crate) fn take_attribute(place: In<u8>) -> Result<AttributeValue, Error> {
    place.get()?;
    let mut value = [0; 8];
    for (index, word) in value.iter_mut().enumerate().take(attribute_bytes() / 8) {
        *word = place.member::<u64>(index * 8).get()?;
    }
    Ok(value)
}

runtime_api! {
    /// Adds a kernel node.
    fn cudaGraphAddKernelNode(node: Out<Handle>, graph: Handle, before: *const Handle, count: usize, what: In<KernelNode>) {
        let what = driver_kernel(&what.get()?)?;
        context()?.cuGraphAddKernelNode_v2(node, graph, before, count, &what)
    }

    /// What a kernel node launches.
    fn cudaGraphKernelNodeGetParams(node: Handle, what: Out<KernelNode>) {
        let what = what.required()?;
        let driver = context()?;
        let mut found = DriverKernelNode::default();
        driver.cuGraphKernelNodeGetParams_v2(node, Out::local(&mut found))?;
        what.set(program_kernel(driver, &found))
    }

    /// Sets what a kernel node launches.
    fn cudaGraphKernelNodeSetParams(node: Handle, what: In<KernelNode>) {
        let what = driver_kernel(&what.get()?)?;
        context()?.cuGraphKernelNodeSetParams_v2(node, &what)
    }

    /// An attribute of a kernel node.
    fn cudaGraphKernelNodeGetAttribute(node: Handle, attribute: i32, value: Out<u8>) {
        let value = value.required()?;
        let mut found = [0; 8];
        context()?.cuGraphKernelNodeGetAttribute(node, attribute, Out::local(&mut found))?;
        give_attribute(value, found)
    }

    /// Sets an attribute of a kernel node.
    fn cudaGraphKernelNodeSetAttribute(node: Handle, attribute: i32, value: In<u8>) {
        let value = take_attribute(value)?;
        context()?.cuGraphKernelNodeSetAttribute(node, attribute, &value)
    }

    /// Adds a copy.
    fn cudaGraphAddMemcpyNode(node: Out<Handle>, graph: Handle, before: *const Handle, count: usize, what: In<Parameters>) {
        add_copy(node, graph, before, count, &describe(&what.get()?)?)
    }

    /// Adds a copy of a run of bytes.
    fn cudaGraphAddMemcpyNode1D(node: Out<Handle>, graph: Handle, before: *const Handle, count: usize, to: *mut c_void, from: *const c_void, bytes: usize, kind: i32) {
        add_copy(node, graph, before, count, &run_of_bytes(to, from, bytes, kind)?)
    }

    /// Adds a copy into a variable.
    fn cudaGraphAddMemcpyNodeToSymbol(
        node: Out<Handle>, graph: Handle, before: *const Handle, count: usize, symbol: *const c_void, from: *const c_void, bytes: usize, offset: usize, kind: i32,
    ) {
        add_copy(node, graph, before, count, &copy_to_symbol(symbol, from, bytes, offset, kind)?)
    }

    /// Adds a copy out of a variable.
    fn cudaGraphAddMemcpyNodeFromSymbol(
        node: Out<Handle>, graph: Handle, before: *const Handle, count: usize, to: *mut c_void, symbol: *const c_void, bytes: usize, offset: usize, kind: i32,
    ) {
        add_copy(node, graph, before, count, &copy_from_symbol(to, symbol, bytes, offset, kind)?)
    }

    /// What a copy copies.
    fn cudaGraphMemcpyNodeGetParams(node: Handle, what: Out<Parameters>) {
        let what = what.required()?;
        let mut found = run_of_bytes(std::ptr::null_mut(), std::ptr::null(), 0, 0)?;
        context()?.cuGraphMemcpyNodeGetParams(node, Out::local(&mut found))?;
        what.set(parameters_of(&found)?)
    }

    /// Sets what a copy copies.
    fn cudaGraphMemcpyNodeSetParams(node: Handle, what: In<Parameters>) {
        let copy = describe(&what.get()?)?;
        context()?.cuGraphMemcpyNodeSetParams(node, &copy)
    }

    /// The same for a run of bytes.
    fn cudaGraphMemcpyNodeSetParams1D(node: Handle, to: *mut c_void, from: *const c_void, bytes: usize, kind: i32) {
        let copy = run_of_bytes(to, from, bytes, kind)?;
        context()?.cuGraphMemcpyNodeSetParams(node, &copy)
    }

    /// The same into a variable.
    fn cudaGraphMemcpyNodeSetParamsToSymbol(
        node: Handle, symbol: *const c_void, from: *const c_void, bytes: usize, offset: usize, kind: i32,
    ) {
        let copy = copy_to_symbol(symbol, from, bytes, offset, kind)?;
        context()?.cuGraphMemcpyNodeSetParams(node, &copy)
    }

    /// The same out of a variable.
    fn cudaGraphMemcpyNodeSetParamsFromSymbol(
        node: Handle, to: *mut c_void, symbol: *const c_void, bytes: usize, offset: usize, kind: i32,
    ) {
        let copy = copy_from_symbol(to, symbol, bytes, offset, kind)?;
        context()?.cuGraphMemcpyNodeSetParams(node, &copy)
    }

    /// Adds a fill.
    fn cudaGraphAddMemsetNode(node: Out<Handle>, graph: Handle, before: *const Handle, count: usize, what: *const c_void) {
        let driver = context()?;
        driver.cuGraphAddMemsetNode(node, graph, before, count, what, here(driver)?)
    }

    /// Adds a node that frees memory of a graph.
    fn cudaGraphAddMemFreeNode(node: Out<Handle>, graph: Handle, before: *const Handle, count: usize, memory: *mut c_void) {
        context()?.cuGraphAddMemFreeNode(node, graph, before, count, device_address(memory))
    }
}

forward_api! {
    /// Takes the attributes of one kernel node over to another. Headers before 13 name the two the other way round; the call was never different.
    fn cudaGraphKernelNodeCopyAttributes(to: Handle, from: Handle) => cuGraphKernelNodeCopyAttributes;
    /// What a fill fills.
    fn cudaGraphMemsetNodeGetParams(node: Handle, what: *mut c_void) => cuGraphMemsetNodeGetParams;
    /// Sets it.
    fn cudaGraphMemsetNodeSetParams(node: Handle, what: *const c_void) => cuGraphMemsetNodeSetParams;
    /// Adds a function of the program.
    fn cudaGraphAddHostNode(node: Out<Handle>, graph: Handle, before: *const Handle, count: usize, what: *const c_void) => cuGraphAddHostNode;
    /// Which function it is.
    fn cudaGraphHostNodeGetParams(node: Handle, what: *mut c_void) => cuGraphHostNodeGetParams;
    /// Sets it.
    fn cudaGraphHostNodeSetParams(node: Handle, what: *const c_void) => cuGraphHostNodeSetParams;
    /// Adds a graph.
    fn cudaGraphAddChildGraphNode(node: Out<Handle>, graph: Handle, before: *const Handle, count: usize, child: Handle) => cuGraphAddChildGraphNode;
    /// The graph of such a node.
    fn cudaGraphChildGraphNodeGetGraph(node: Handle, graph: Out<Handle>) => cuGraphChildGraphNodeGetGraph;
    /// Adds a node that does nothing.
    fn cudaGraphAddEmptyNode(node: Out<Handle>, graph: Handle, before: *const Handle, count: usize) => cuGraphAddEmptyNode;
    /// Adds a record of an event.
    fn cudaGraphAddEventRecordNode(node: Out<Handle>, graph: Handle, before: *const Handle, count: usize, event: Handle) => cuGraphAddEventRecordNode;
    /// Which event it is.
    fn cudaGraphEventRecordNodeGetEvent(node: Handle, event: Out<Handle>) => cuGraphEventRecordNodeGetEvent;
    /// Sets it.
    fn cudaGraphEventRecordNodeSetEvent(node: Handle, event: Handle) => cuGraphEventRecordNodeSetEvent;
    /// Adds a wait for an event.
    fn cudaGraphAddEventWaitNode(node: Out<Handle>, graph: Handle, before: *const Handle, count: usize, event: Handle) => cuGraphAddEventWaitNode;
    /// Which event it is.
    fn cudaGraphEventWaitNodeGetEvent(node: Handle, event: Out<Handle>) => cuGraphEventWaitNodeGetEvent;
    /// Sets it.
    fn cudaGraphEventWaitNodeSetEvent(node: Handle, event: Handle) => cuGraphEventWaitNodeSetEvent;
    /// Adds a node that allocates; laid out as the driver's.
    fn cudaGraphAddMemAllocNode(node: Out<Handle>, graph: Handle, before: *const Handle, count: usize, what: *mut c_void) => cuGraphAddMemAllocNode;
    /// What it allocates.
    fn cudaGraphMemAllocNodeGetParams(node: Handle, what: *mut c_void) => cuGraphMemAllocNodeGetParams;
    /// What is freed.
    fn cudaGraphMemFreeNodeGetParams(node: Handle, memory: *mut c_void) => cuGraphMemFreeNodeGetParams;
}
