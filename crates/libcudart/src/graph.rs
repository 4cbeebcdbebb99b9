//! Graphs: making them, their nodes and edges, and nodes of any kind by one description.
//!
//! A node is the driver's. Where a description names a kernel, the program gives the stub of the kernel and the driver has a handle;
//! where it is a copy, the program counts texels and the driver bytes. Everything else is laid out alike in both interfaces.

use crate::abi::{DriverKernelNode, EdgeData, Handle, In, KernelNode, Out, Word, address};
use crate::copy3d::{Memcpy3d, Parameters, describe, parameters_of};
use crate::driver::Driver;
use crate::error::Error;
use crate::execution::context_of;
use crate::graph_node::{driver_kernel, program_kernel};
use crate::thread::context;
use crate::version::major;
use std::ffi::{c_char, c_void};
use std::mem::offset_of;

/// `cudaGraphNodeParams`, and `CUgraphNodeParams` of the driver API; what the union means depends on the kind.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct NodeParameters {
    kind: i32,
    reserved: [i32; 3],
    union: [u64; 29],
    reserved_end: i64,
}

/// `cudaGraphInstantiateParams`
#[repr(C)]
pub(crate) struct InstantiateParameters {
    flags: u64,
    pub(crate) stream: Handle,
    error_node: Handle,
    result: i32,
}

/// The kernel's member of the union. What follows the first part is there since version 13.
#[repr(C)]
#[derive(Clone, Copy)]
struct Kernel {
    first: KernelNode,
    context: Handle,
    what: i32,
}

/// The copy's member; in version 12, `context` is reserved.
#[repr(C)]
#[derive(Clone, Copy)]
struct Copy3d<T> {
    flags: i32,
    reserved: i32,
    context: Handle,
    copy: T,
}

const _: () = {
    assert!(size_of::<NodeParameters>() == 256 && size_of::<InstantiateParameters>() == 32);
    assert!(size_of::<Copy3d<Parameters>>() == 176 && size_of::<Copy3d<Memcpy3d>>() == 216);
};

/// `cudaGraphNodeType`
const KERNEL: i32 = 0;
const MEMCPY: i32 = 1;
const MEMSET: i32 = 2;
const HOST: i32 = 3;
const GRAPH: i32 = 4;
const WAIT_EVENT: i32 = 6;
const EVENT_RECORD: i32 = 7;
const CONDITIONAL: i32 = 13;
/// `cudaKernelFunctionTypeFunction`
const IS_FUNCTION: i32 = 3;
/// Where the union begins.
const UNION: usize = offset_of!(NodeParameters, union);

/// Words of the union that version 12 knows, for the kinds that have more in version 13.
fn words_of_12(kind: i32) -> usize {
    match kind {
        MEMSET => 5,
        HOST => 2,
        GRAPH | WAIT_EVENT | EVENT_RECORD => 1,
        CONDITIONAL => 3,
        _ => 29,
    }
}

/// The driver's description from the program's.
fn to_driver(driver: &Driver, place: In<NodeParameters>) -> Result<NodeParameters, Error> {
    let given = place.get()?;
    let mut to = given;
    let newest = major() >= 13;
    if !newest {
        for word in to.union.iter_mut().skip(words_of_12(given.kind)) {
            *word = 0;
        }
    }
    let union = Out::local(&mut to).member::<u8>(UNION);
    match given.kind {
        KERNEL => {
            let kernel = place.member::<Kernel>(UNION).get()?;
            let mut node = if newest && kernel.what == IS_FUNCTION {
                DriverKernelNode {
                    first: kernel.first,
                    kernel: std::ptr::null_mut(),
                    context: std::ptr::null_mut(),
                }
            } else {
                driver_kernel(&kernel.first)?
            };
            if newest && !kernel.context.is_null() {
                node.context = context_of(driver, kernel.context)?;
            }
            to.union = [0; 29];
            Out::local(&mut to).member::<DriverKernelNode>(UNION).set(node)?;
        }
        MEMCPY => {
            let node = place.member::<Copy3d<Parameters>>(UNION).get()?;
            if !newest && !node.context.is_null() {
                return Err(Error::INVALID_VALUE);
            }
            let given_context = if newest {
                node.context
            } else {
                std::ptr::null_mut()
            };
            union.of::<Copy3d<Memcpy3d>>().set(Copy3d {
                flags: node.flags,
                reserved: node.reserved,
                context: context_of(driver, given_context)?,
                copy: describe(&node.copy)?,
            })?;
        }
        MEMSET | CONDITIONAL => {
            let at = if given.kind == MEMSET { 40 } else { 24 };
            let given_context = if newest {
                place.member::<Handle>(UNION + at).get()?
            } else {
                std::ptr::null_mut()
            };
            union
                .member::<Handle>(at)
                .set(context_of(driver, given_context)?)?;
        }
        _ => {}
    }
    Ok(to)
}

/// The program's description from the driver's.
fn to_program(driver: &Driver, mut given: NodeParameters) -> Result<NodeParameters, Error> {
    let mut to = given;
    let from = Out::local(&mut given).member::<u8>(UNION).input();
    let newest = major() >= 13;
    match to.kind {
        KERNEL => {
            let node = from.member::<DriverKernelNode>(0).get()?;
            to.union = [0; 29];
            let place = Out::local(&mut to).member::<KernelNode>(UNION);
            place.set(program_kernel(driver, &node))?;
        }
        MEMCPY => {
            let node = from.member::<Copy3d<Memcpy3d>>(0).get()?;
            to.union = [0; 29];
            Out::local(&mut to)
                .member::<Copy3d<Parameters>>(UNION)
                .set(Copy3d {
                    flags: node.flags,
                    reserved: node.reserved,
                    context: if newest {
                        node.context
                    } else {
                        std::ptr::null_mut()
                    },
                    copy: parameters_of(&node.copy)?,
                })?;
        }
        kind if !newest => {
            for word in to.union.iter_mut().skip(words_of_12(kind)) {
                *word = 0;
            }
        }
        _ => {}
    }
    Ok(to)
}

/// Adds a node. What the driver tells of it (an address, the bodies of a condition) goes back to the program.
fn add_node(
    node: Out<Handle>,
    graph: Handle,
    before: *const Handle,
    data: *const EdgeData,
    count: usize,
    what: Out<NodeParameters>,
) -> Result<(), Error> {
    let what = what.required()?;
    let driver = context()?;
    let mut given = to_driver(driver, what.input())?;
    driver.cuGraphAddNode_v2(node, graph, before, data, count, Out::local(&mut given))?;
    match given.kind {
        // `dptr`, behind the properties, the list of accesses and the size.
        10 => what.member::<u64>(UNION + 112).set(given.union[14]),
        // `phGraph_out`.
        CONDITIONAL => what.member::<u64>(UNION + 16).set(given.union[2]),
        _ => Ok(()),
    }
}

runtime_api! {
    /// Adds a node of any kind; in version 13 with what the edges to it say.
    fn cudaGraphAddNode(node: Out<Handle>, graph: Handle, before: *const Handle, fourth: Word, fifth: Word, sixth: Word) {
        if major() >= 13 {
            add_node(node, graph, before, address(fourth), fifth, Out::at(sixth))
        } else {
            add_node(node, graph, before, std::ptr::null(), fourth, Out::at(fifth))
        }
    }

    /// Adds a node of any kind, with what the edges to it say.
    fn cudaGraphAddNode_v2(
        node: Out<Handle>, graph: Handle, before: *const Handle, data: *const EdgeData, count: usize, what: Out<NodeParameters>,
    ) {
        add_node(node, graph, before, data, count, what)
    }

    /// Sets what a node does.
    fn cudaGraphNodeSetParams(node: Handle, what: In<NodeParameters>) {
        let driver = context()?;
        let mut given = to_driver(driver, what)?;
        driver.cuGraphNodeSetParams(node, Out::local(&mut given))
    }

    /// What a node does.
    fn cudaGraphNodeGetParams(node: Handle, what: Out<NodeParameters>) {
        let what = what.required()?;
        let driver = context()?;
        let mut found = NodeParameters { kind: 0, reserved: [0; 3], union: [0; 29], reserved_end: 0 };
        driver.cuGraphNodeGetParams(node, Out::local(&mut found))?;
        what.set(to_program(driver, found)?)
    }

    /// Sets what a node of an executable graph does.
    fn cudaGraphExecNodeSetParams(exec: Handle, node: Handle, what: In<NodeParameters>) {
        let driver = context()?;
        let mut given = to_driver(driver, what)?;
        driver.cuGraphExecNodeSetParams(exec, node, Out::local(&mut given))
    }

    /// Edges of a graph; in version 13 with what they say.
    fn cudaGraphGetEdges(graph: Handle, from: *mut Handle, to: *mut Handle, fourth: Word, fifth: Word) {
        let driver = context()?;
        if major() >= 13 {
            driver.cuGraphGetEdges_v2(graph, from, to, address(fourth), Out::at(fifth))
        } else {
            driver.cuGraphGetEdges(graph, from, to, Out::at(fourth))
        }
    }

    /// Nodes that a node waits for; in version 13 with what the edges say.
    fn cudaGraphNodeGetDependencies(node: Handle, nodes: *mut Handle, third: Word, fourth: Word) {
        let driver = context()?;
        if major() >= 13 {
            driver.cuGraphNodeGetDependencies_v2(node, nodes, address(third), Out::at(fourth))
        } else {
            driver.cuGraphNodeGetDependencies(node, nodes, Out::at(third))
        }
    }

    /// Nodes that wait for a node; in version 13 with what the edges say.
    fn cudaGraphNodeGetDependentNodes(node: Handle, nodes: *mut Handle, third: Word, fourth: Word) {
        let driver = context()?;
        if major() >= 13 {
            driver.cuGraphNodeGetDependentNodes_v2(node, nodes, address(third), Out::at(fourth))
        } else {
            driver.cuGraphNodeGetDependentNodes(node, nodes, Out::at(third))
        }
    }

    /// Adds edges; in version 13 with what they say.
    fn cudaGraphAddDependencies(graph: Handle, from: *const Handle, to: *const Handle, fourth: Word, fifth: Word) {
        let (data, count) = if major() >= 13 { (address(fourth), fifth) } else { (std::ptr::null_mut(), fourth) };
        context()?.cuGraphAddDependencies_v2(graph, from, to, data, count)
    }

    /// Removes edges; in version 13 with what they say.
    fn cudaGraphRemoveDependencies(graph: Handle, from: *const Handle, to: *const Handle, fourth: Word, fifth: Word) {
        let (data, count) = if major() >= 13 { (address(fourth), fifth) } else { (std::ptr::null_mut(), fourth) };
        context()?.cuGraphRemoveDependencies_v2(graph, from, to, data, count)
    }

    /// Writes a graph for Graphviz.
    fn cudaGraphDebugDotPrint(graph: Handle, path: In<c_char>, flags: u32) {
        let path = path.text().ok_or(Error::INVALID_VALUE)?;
        context()?.cuGraphDebugDotPrint(graph, path.as_ptr(), flags)
    }

    /// A value that conditional nodes of a graph look at.
    fn cudaGraphConditionalHandleCreate(handle: Out<u64>, graph: Handle, value: u32, flags: u32) {
        let driver = context()?;
        driver.cuGraphConditionalHandleCreate(handle, graph, context_of(driver, std::ptr::null_mut())?, value, flags)
    }

    /// The same in an execution context.
    fn cudaGraphConditionalHandleCreate_v2(handle: Out<u64>, graph: Handle, execution: Handle, value: u32, flags: u32) {
        let driver = context()?;
        driver.cuGraphConditionalHandleCreate(handle, graph, context_of(driver, execution)?, value, flags)
    }
}

forward_api! {
    /// Edges of a graph with what they say.
    fn cudaGraphGetEdges_v2(graph: Handle, from: *mut Handle, to: *mut Handle, data: *mut EdgeData, count: Out<usize>) => cuGraphGetEdges_v2;
    /// Nodes that a node waits for, with what the edges say.
    fn cudaGraphNodeGetDependencies_v2(node: Handle, nodes: *mut Handle, data: *mut EdgeData, count: Out<usize>) => cuGraphNodeGetDependencies_v2;
    /// Nodes that wait for a node, with what the edges say.
    fn cudaGraphNodeGetDependentNodes_v2(node: Handle, nodes: *mut Handle, data: *mut EdgeData, count: Out<usize>) => cuGraphNodeGetDependentNodes_v2;
    /// Adds edges with what they say.
    fn cudaGraphAddDependencies_v2(graph: Handle, from: *const Handle, to: *const Handle, data: *const EdgeData, count: usize) => cuGraphAddDependencies_v2;
    /// Removes edges with what they say.
    fn cudaGraphRemoveDependencies_v2(graph: Handle, from: *const Handle, to: *const Handle, data: *const EdgeData, count: usize) => cuGraphRemoveDependencies_v2;
    /// Creates a graph.
    fn cudaGraphCreate(graph: Out<Handle>, flags: u32) => cuGraphCreate;
    /// Destroys it.
    fn cudaGraphDestroy(graph: Handle) => cuGraphDestroy;
    /// Removes a node.
    fn cudaGraphDestroyNode(node: Handle) => cuGraphDestroyNode;
    /// Copies a graph.
    fn cudaGraphClone(clone: Out<Handle>, graph: Handle) => cuGraphClone;
    /// The node of a copy that stands for a node.
    fn cudaGraphNodeFindInClone(node: Out<Handle>, original: Handle, clone: Handle) => cuGraphNodeFindInClone;
    /// Kind of a node.
    fn cudaGraphNodeGetType(node: Handle, kind: Out<i32>) => cuGraphNodeGetType;
    /// The graph that a node is in.
    fn cudaGraphNodeGetContainingGraph(node: Handle, graph: Out<Handle>) => cuGraphNodeGetContainingGraph;
    /// Number of a node in its graph.
    fn cudaGraphNodeGetLocalId(node: Handle, id: Out<u32>) => cuGraphNodeGetLocalId;
    /// Number of a node for tools.
    fn cudaGraphNodeGetToolsId(node: Handle, id: Out<u64>) => cuGraphNodeGetToolsId;
    /// Number of a graph.
    fn cudaGraphGetId(graph: Handle, id: Out<u32>) => cuGraphGetId;
    /// Nodes of a graph.
    fn cudaGraphGetNodes(graph: Handle, nodes: *mut Handle, count: Out<usize>) => cuGraphGetNodes;
    /// Nodes that wait for none.
    fn cudaGraphGetRootNodes(graph: Handle, nodes: *mut Handle, count: Out<usize>) => cuGraphGetRootNodes;
    /// An object whose end a function of the program is told of.
    fn cudaUserObjectCreate(object: Out<Handle>, data: *mut c_void, destroy: *mut c_void, count: u32, flags: u32) => cuUserObjectCreate;
    /// Takes references to it.
    fn cudaUserObjectRetain(object: Handle, count: u32) => cuUserObjectRetain;
    /// Gives them back.
    fn cudaUserObjectRelease(object: Handle, count: u32) => cuUserObjectRelease;
    /// References that a graph holds.
    fn cudaGraphRetainUserObject(graph: Handle, object: Handle, count: u32, flags: u32) => cuGraphRetainUserObject;
    /// Gives them back.
    fn cudaGraphReleaseUserObject(graph: Handle, object: Handle, count: u32) => cuGraphReleaseUserObject;
    /// Gives back memory that graphs hold unused.
    fn cudaDeviceGraphMemTrim(device: i32) => cuDeviceGraphMemTrim;
    /// Memory of graphs.
    fn cudaDeviceGetGraphMemAttribute(device: i32, attribute: i32, value: *mut c_void) => cuDeviceGetGraphMemAttribute;
    /// Sets its high mark back.
    fn cudaDeviceSetGraphMemAttribute(device: i32, attribute: i32, value: *mut c_void) => cuDeviceSetGraphMemAttribute;
}
