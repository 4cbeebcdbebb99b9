//! `cuGraphDebugDotPrint`: a graph as text for Graphviz.

use super::node::{KernelWork, Work};
use super::{Graph, graph};
use crate::code::{Answer, Code};
use crate::state;
use crate::types::{Caller, Handle, c_char};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

/// `CU_GRAPH_DEBUG_DOT_FLAGS_*`: everything, or one kind of detail.
const VERBOSE: u32 = 1;
const KERNEL_PARAMS: u32 = 1 << 2;
const MEMCPY_PARAMS: u32 = 1 << 3;
const MEMSET_PARAMS: u32 = 1 << 4;
const HOST_PARAMS: u32 = 1 << 5;
const EVENT_PARAMS: u32 = 1 << 6;
const KERNEL_ATTRIBUTES: u32 = 1 << 9;
const HANDLES: u32 = 1 << 10;
const ALLOC_PARAMS: u32 = 1 << 11;
const FREE_PARAMS: u32 = 1 << 12;
const VALUES_PARAMS: u32 = 1 << 13;
const CONDITIONAL_PARAMS: u32 = 1 << 15;
const KNOWN: u32 = (1 << 18) - 1;

/// A node's label: what it is, and what is asked for of its parameters.
fn label(work: &Work, flags: u32) -> String {
    let (name, flag) = match work {
        Work::Kernel(kernel) => return kernel_label(kernel, flags),
        Work::Child(child) => return format!("GRAPH\\ngraph_{}", child.id),
        Work::Memcpy(_) => ("MEMCPY", MEMCPY_PARAMS),
        Work::Memset(_) => ("MEMSET", MEMSET_PARAMS),
        Work::Host(_) => ("HOST", HOST_PARAMS),
        Work::Empty => return "EMPTY".to_owned(),
        Work::Wait(_) => ("WAIT_EVENT", EVENT_PARAMS),
        Work::Record(_) => ("EVENT_RECORD", EVENT_PARAMS),
        Work::Alloc(_) => ("MEM_ALLOC", ALLOC_PARAMS),
        Work::Free(_) => ("MEM_FREE", FREE_PARAMS),
        Work::Values(_) => ("BATCH_MEM_OP", VALUES_PARAMS),
        Work::Conditional(_) => ("CONDITIONAL", CONDITIONAL_PARAMS),
    };
    if flags & (flag | VERBOSE) == 0 {
        return name.to_owned();
    }
    format!("{name}\\n{}", details(work))
}

fn details(work: &Work) -> String {
    match work {
        Work::Memcpy(copy) => format!("{} x {} x {}", copy.width, copy.height, copy.depth),
        Work::Memset(fill) => format!(
            "{:#x}: {} x {} of {:#x}, {} bytes each",
            fill.destination, fill.width, fill.height, fill.value, fill.element_bytes
        ),
        Work::Host(host) => format!("data {:#x}", host.data.address()),
        Work::Wait(event) | Work::Record(event) => format!("event {:#x}", event.handle()),
        Work::Alloc(memory) => format!("{:#x}", memory.address),
        Work::Free(address) => format!("{address:#x}"),
        Work::Values(values) => format!("{} operations", values.given.len()),
        Work::Conditional(choice) => {
            format!(
                "value {:#x}, {} bodies",
                choice.value.address,
                choice.bodies.len()
            )
        }
        Work::Kernel(_) | Work::Child(_) | Work::Empty => String::new(),
    }
}

fn kernel_label(kernel: &KernelWork, flags: u32) -> String {
    let mut text = kernel.function.name().into_owned();
    if flags & (KERNEL_PARAMS | VERBOSE) != 0 {
        let shape = &kernel.shape;
        let (grid, block) = (shape.grid, shape.block);
        let _ = write!(
            text,
            "\\ngrid {grid:?} block {block:?} shared {}",
            shape.shared_bytes
        );
    }
    if flags & (KERNEL_ATTRIBUTES | VERBOSE) != 0 {
        for (id, value) in &kernel.attributes {
            let _ = write!(text, "\\nattribute {id}: {:?}", value.first_chunk::<3>());
        }
    }
    text
}

/// One graph as a cluster, and those inside it behind it.
fn cluster(graph: &Graph, flags: u32, text: &mut String) {
    let nodes: BTreeMap<u32, super::Node> = graph.body().nodes.clone();
    let name = format!("graph_{}", graph.id);
    let _ = writeln!(text, "subgraph cluster_{} {{", graph.id);
    let _ = writeln!(text, "label=\"{name}\" graph[style=\"dashed\"];");
    for (id, node) in &nodes {
        let shape = match node.work {
            Work::Kernel(_) => "octagon",
            _ => "rectangle",
        };
        let mut lines = format!("{id}\\n{}", label(&node.work, flags));
        if flags & (HANDLES | VERBOSE) != 0 {
            let _ = write!(lines, "\\nnode {:#x}", node.handle);
        }
        let lines = lines.replace('"', "'");
        let _ = writeln!(
            text,
            "\"{name}_node_{id}\"[style=\"solid\" shape=\"{shape}\" label=\"{lines}\"];"
        );
    }
    for (id, node) in &nodes {
        for edge in &node.after {
            let _ = writeln!(text, "\"{name}_node_{id}\" -> \"{name}_node_{}\";", edge.node);
        }
    }
    text.push_str("}\n");
    for node in nodes.values() {
        let inside: &[Arc<Graph>] = match &node.work {
            Work::Child(child) => std::slice::from_ref(child),
            Work::Conditional(conditional) => &conditional.bodies,
            _ => &[],
        };
        for graph in inside {
            cluster(graph, flags, text);
        }
    }
}

fn print(graph: &Graph, flags: u32) -> String {
    let mut text = String::from("digraph dot {\n");
    cluster(graph, flags, &mut text);
    text.push_str("}\n");
    text
}

/// `cuGraphDebugDotPrint`
pub(crate) fn graph_debug_dot_print(handle: Handle, path: Caller<c_char>, flags: u32) -> Answer {
    let graph = graph(state::driver()?, handle)?;
    let path = path.text()?;
    if flags & !KNOWN != 0 {
        return Err(Code::INVALID_VALUE);
    }
    std::fs::write(path, print(&graph, flags)).map_err(|_| Code::OPERATING_SYSTEM)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::node::HostWork;
    use crate::types::{CUDA_MEMSET_NODE_PARAMS, c_void};

    unsafe extern "C" fn nothing(_: *mut c_void) {}

    #[test]
    fn labels_say_what_is_asked_for() {
        let fill = Work::Memset(CUDA_MEMSET_NODE_PARAMS {
            destination: 0x1000,
            pitch: 0,
            value: 7,
            element_bytes: 4,
            width: 3,
            height: 1,
        });
        assert_eq!(label(&fill, 0), "MEMSET");
        assert_eq!(
            label(&fill, MEMSET_PARAMS),
            "MEMSET\\n0x1000: 3 x 1 of 0x7, 4 bytes each"
        );
        assert_eq!(label(&fill, HOST_PARAMS), "MEMSET");
        assert_eq!(label(&fill, VERBOSE), label(&fill, MEMSET_PARAMS));
        let host = Work::Host(HostWork {
            function: nothing,
            data: Caller::null(),
        });
        assert_eq!(label(&host, VERBOSE), "HOST\\ndata 0x0");
        assert_eq!(label(&Work::Free(16), FREE_PARAMS), "MEM_FREE\\n0x10");
    }
}
