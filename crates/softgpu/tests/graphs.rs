//! Graphs, host functions, values that streams wait for and write.

mod common;

use common::*;
use std::sync::Arc;
use tessera_device::{
    Comparison, ConditionKind, Conditional, Context, DeviceError, FaultKind, Graph, GraphNode, Operation,
    StreamOptions,
};

/// `step`: `*cell = *cell * 10 + digit`, by one thread. `less`: takes one off a word. `again`: the same, and makes what is left the
/// value of a conditional node. `wild`: faults.
const KERNELS: &str = ".version 8.0\n.target sm_80\n.address_size 64
    .visible .entry step(.param .u64 cell, .param .u64 digit) { .reg .b32 %v, %d; .reg .b64 %c;
      ld.param.u64 %c, [cell]; ld.param.u32 %d, [digit]; ld.global.u32 %v, [%c]; mad.lo.u32 %v, %v, 10, %d;
      st.global.u32 [%c], %v; ret; }
    .visible .entry less(.param .u64 cell) { .reg .b32 %v; .reg .b64 %c;
      ld.param.u64 %c, [cell]; ld.global.u32 %v, [%c]; sub.u32 %v, %v, 1; st.global.u32 [%c], %v; ret; }
    .extern .func cudaGraphSetConditional(.param .b64 handle, .param .b32 value);
    .visible .entry again(.param .u64 cell, .param .u64 left) { .reg .b32 %v; .reg .b64 %c, %l;
      ld.param.u64 %c, [cell]; ld.param.u64 %l, [left]; ld.global.u32 %v, [%l]; sub.u32 %v, %v, 1; st.global.u32 [%l], %v;
      { .param .b64 h; st.param.b64 [h], %c; .param .b32 w; st.param.b32 [w], %v; call.uni cudaGraphSetConditional, (h, w); } ret; }
    .visible .entry wild() { .reg .b64 %c; mov.u64 %c, 64; st.global.u32 [%c], 1; ret; }";

struct Bench {
    context: Arc<dyn Context>,
    stream: TestStream,
    step: Arc<dyn tessera_device::Function>,
    less: Arc<dyn tessera_device::Function>,
    wild: Arc<dyn tessera_device::Function>,
    cell: u64,
    _gpu: tessera_softgpu::SoftGpu,
}

impl Bench {
    fn new() -> Self {
        let gpu = gpu();
        let context = context(&gpu);
        let module = load(&context, KERNELS);
        Self {
            stream: TestStream::plain(&context),
            step: kernel(&module, "step"),
            less: kernel(&module, "less"),
            wild: kernel(&module, "wild"),
            cell: upload(&context, &[0, 0, 0, 0]),
            context,
            _gpu: gpu,
        }
    }

    fn step(&self, digit: u64) -> Operation {
        launch(&self.step, 1, 1, &[self.cell, digit])
    }

    fn graph(&self, nodes: &[(Operation, &[u32])]) -> Arc<dyn Graph> {
        self.try_graph(nodes).unwrap_or_else(|error| panic!("{error}"))
    }

    fn try_graph(&self, nodes: &[(Operation, &[u32])]) -> Result<Arc<dyn Graph>, DeviceError> {
        let node = |(operation, after): &(Operation, &[u32])| GraphNode {
            operation: operation.clone(),
            after: after.to_vec(),
        };
        self.context.create_graph(nodes.iter().map(node).collect())
    }

    fn run(&self, graph: &Arc<dyn Graph>) {
        self.stream.submit(Operation::Graph(Arc::clone(graph)));
    }

    fn value(&self) -> u32 {
        read_words(&self.context, self.cell, 1)[0]
    }

    fn set(&self, index: u64, value: u32) {
        self.stream.submit(fill(self.cell + 4 * index, value, 4, 1));
    }
}

#[test]
fn nodes_follow_their_edges_and_launches_each_other() {
    let bench = Bench::new();
    // Listed with edges that say 1, 2, 3, and a join of two that are free.
    let graph = bench.graph(&[
        (bench.step(1), &[]),
        (bench.step(2), &[0]),
        (fill(bench.cell + 4, 7, 4, 1), &[]),
        (fill(bench.cell + 8, 8, 4, 1), &[]),
        (bench.step(3), &[1, 2, 3]),
    ]);
    for digits in [123, 123_123, 123_123_123] {
        bench.run(&graph);
        bench.stream.synchronize().expect("graph");
        assert_eq!(bench.value(), digits);
    }
    assert_eq!(read_words(&bench.context, bench.cell, 3)[1..], [7, 8]);
    // From two streams at once: one after the other all the same.
    bench.set(0, 0);
    bench.stream.synchronize().expect("fill");
    let other = TestStream::plain(&bench.context);
    for _ in 0..2 {
        other.submit(Operation::Graph(Arc::clone(&graph)));
        bench.run(&graph);
    }
    bench.stream.synchronize().expect("graph");
    other.synchronize().expect("graph");
    assert_eq!(bench.value(), 123_123_123_123_u64 as u32);
}

#[test]
fn what_is_before_and_behind_a_graph_stays_there() {
    let bench = Bench::new();
    let wide = bench.graph(
        &(0..50)
            .map(|_| (bench.step(0), &[] as &[u32]))
            .collect::<Vec<_>>(),
    );
    let empty = bench.graph(&[]);
    for round in 0..20 {
        bench.set(0, 3);
        bench.run(&empty);
        bench.stream.submit(fill(bench.cell, 0, 4, 1));
        bench.run(&wide);
        bench.run(&empty);
        bench.stream.submit(bench.step(5));
        bench.stream.synchronize().expect("graphs");
        assert_eq!(bench.value(), 5, "round {round}");
    }
}

#[test]
fn long_graphs_run_while_they_are_made() {
    let bench = Bench::new();
    let less = launch(&bench.less, 1, 1, &[bench.cell + 4]);
    // A chain that a node free of it waits for now and then.
    let mut nodes: Vec<GraphNode> = Vec::new();
    for index in 0..600u32 {
        let side = index % 10 == 9;
        let after = match index {
            0 => Vec::new(),
            _ if side => Vec::new(),
            _ if index % 10 == 0 => vec![index - 1, index - 2],
            _ => vec![index - 1],
        };
        nodes.push(GraphNode {
            operation: if side { bench.step(0) } else { less.clone() },
            after,
        });
    }
    let graph = bench.context.create_graph(nodes).expect("graph");
    for round in 1..=20 {
        bench.set(1, 1000);
        for _ in 0..round % 3 {
            bench.run(&graph);
        }
        bench.stream.synchronize().expect("graphs");
        assert_eq!(
            read_words(&bench.context, bench.cell + 4, 1),
            [1000u32.wrapping_sub(540 * (round % 3))]
        );
    }
}

#[test]
fn a_graph_inside_a_graph_is_one_node_of_it() {
    let bench = Bench::new();
    let inner = bench.graph(&[(bench.step(2), &[]), (bench.step(3), &[0])]);
    let outer = bench.graph(&[
        (bench.step(1), &[]),
        (Operation::Graph(Arc::clone(&inner)), &[0]),
        (bench.step(4), &[1]),
        (Operation::Graph(inner), &[2]),
    ]);
    bench.run(&outer);
    bench.stream.synchronize().expect("graph");
    assert_eq!(bench.value(), 123_423);
}

#[test]
fn conditional_nodes_choose_when_they_are_reached() {
    let bench = Bench::new();
    let body = bench.graph(&[
        (bench.step(1), &[]),
        (launch(&bench.less, 1, 1, &[bench.cell + 4]), &[0]),
    ]);
    let other = bench.graph(&[(bench.step(2), &[])]);
    let node = |kind, bodies: &[&Arc<dyn Graph>]| {
        Operation::Conditional(Conditional {
            value: bench.cell + 4,
            kind,
            bodies: bodies.iter().map(|&body| Arc::clone(body)).collect(),
        })
    };
    let run = |kind, bodies: &[&Arc<dyn Graph>], value| {
        let graph = bench.graph(&[(node(kind, bodies), &[]), (bench.step(9), &[0])]);
        bench.set(0, 0);
        bench.set(1, value);
        bench.run(&graph);
        bench.stream.synchronize().expect("graph");
        bench.value()
    };
    assert_eq!(run(ConditionKind::If, &[&body], 3), 19);
    assert_eq!(run(ConditionKind::If, &[&body], 0), 9);
    assert_eq!(run(ConditionKind::If, &[&body, &other], 0), 29);
    assert_eq!(run(ConditionKind::While, &[&body], 4), 11_119);
    assert_eq!(run(ConditionKind::While, &[&body], 0), 9);
    assert_eq!(run(ConditionKind::Switch, &[&body, &other], 1), 29);
    assert_eq!(run(ConditionKind::Switch, &[&body, &other], 2), 9);
    // One in the other.
    let inner = bench.graph(&[(node(ConditionKind::While, &[&body]), &[])]);
    assert_eq!(run(ConditionKind::If, &[&inner], 2), 119);
    for (kind, bodies) in [
        (ConditionKind::While, 2),
        (ConditionKind::If, 3),
        (ConditionKind::Switch, 0),
    ] {
        let bodies = vec![&body; bodies];
        assert!(matches!(
            bench.try_graph(&[(node(kind, &bodies), &[])]),
            Err(DeviceError::InvalidNode { node: 0, .. })
        ));
    }
    assert!(
        bench
            .stream
            .stream
            .submit(u64::MAX, node(ConditionKind::If, &[&body]))
            .is_err()
    );
}

#[test]
fn host_functions_hold_back_what_is_behind_them() {
    let bench = Bench::new();
    bench.stream.submit(bench.step(1));
    let call = bench.stream.submit(Operation::HostCall);
    let behind = bench.stream.submit(bench.step(2));
    let waiting = bench.stream.host_call();
    assert_eq!(bench.value(), 1);
    assert!(!bench.stream.is_done(call) && !bench.stream.is_done(behind));
    waiting.finish();
    bench.stream.wait(behind).expect("kernel");
    assert_eq!(bench.value(), 12);
    // In graphs, too; one that is dropped counts as finished.
    let graph = bench.graph(&[
        (Operation::HostCall, &[]),
        (bench.step(3), &[0]),
        (Operation::HostCall, &[1]),
        (bench.step(4), &[2]),
    ]);
    bench.run(&graph);
    bench.stream.host_call().finish();
    drop(bench.stream.host_call());
    bench.stream.synchronize().expect("graph");
    assert_eq!(bench.value(), 1234);
}

#[test]
fn a_host_function_of_a_dead_context_is_not_called() {
    let bench = Bench::new();
    let call = bench.graph(&[(launch(&bench.wild, 1, 1, &[]), &[]), (Operation::HostCall, &[0])]);
    bench.run(&call);
    let fault = bench.stream.synchronize().expect_err("a wild store");
    assert_eq!(fault.kind, FaultKind::IllegalAddress);
    assert!(!bench.stream.is_called());
}

#[test]
fn events_in_graphs_are_recorded_and_waited_for_by_each_launch() {
    let bench = Bench::new();
    let (event, records) = event(&bench.context);
    let graph = bench.graph(&[
        (bench.step(1), &[]),
        (
            Operation::RecordEvent {
                event: Arc::clone(&event),
                generation: 0,
            },
            &[0],
        ),
    ]);
    let log = Arc::default();
    let options = StreamOptions {
        non_blocking: true,
        ..StreamOptions::default()
    };
    let other = TestStream::new(&bench.context, "other", &log, options);
    let waits = bench.graph(&[
        (
            Operation::WaitEvent {
                event: Arc::clone(&event),
            },
            &[],
        ),
        (bench.step(2), &[0]),
    ]);
    for digits in [12, 1212] {
        let seq = bench.stream.submit(Operation::Graph(Arc::clone(&graph)));
        other.submit(Operation::Graph(Arc::clone(&waits)));
        other.synchronize().expect("graph");
        assert!(records.wait(seq) > 0);
        assert_eq!(bench.value(), digits);
    }
}

#[test]
fn a_stream_waits_for_a_value_that_another_writes() {
    let bench = Bench::new();
    let other = TestStream::plain(&bench.context);
    for wide in [false, true] {
        bench.set(0, 0);
        bench.set(2, 0);
        bench.set(3, 0);
        bench.stream.synchronize().expect("fills");
        let address = bench.cell + 8;
        let given = if wide { 5 << 32 } else { 5 };
        let value = if wide { (5 << 32) + 1 } else { 6 };
        bench.stream.submit(Operation::WaitValue {
            address,
            value: given,
            wide,
            comparison: Comparison::GreaterOrEqual,
        });
        let behind = bench.stream.submit(bench.step(7));
        other.submit(Operation::WriteValue {
            address,
            value: given - 1,
            wide,
        });
        other.synchronize().expect("write");
        assert!(!bench.stream.is_done(behind));
        // The write is told to be done a moment before it is forgotten.
        while bench.context.stuck_at().is_empty() {
            std::thread::yield_now();
        }
        assert_eq!(bench.context.stuck_at(), [address]);
        other.submit(Operation::WriteValue { address, value, wide });
        bench.stream.wait(behind).expect("wait");
        assert!(bench.context.stuck_at().is_empty());
        assert_eq!(bench.value(), 7);
        let words = read_words(&bench.context, address, 2);
        assert_eq!(u64::from(words[1]) << 32 | u64::from(words[0]), value);
    }
}

#[test]
fn bad_nodes_are_named_and_wild_values_poison() {
    let bench = Bench::new();
    let write = |address| Operation::WriteValue {
        address,
        value: 1,
        wide: true,
    };
    for (nodes, bad) in [
        (vec![(bench.step(1), &[0u32] as &[u32])], 0),
        (vec![(bench.step(1), &[]), (write(bench.cell + 4), &[])], 1),
        (
            vec![(bench.step(1), &[]), (launch(&bench.step, 0, 1, &[]), &[0])],
            1,
        ),
    ] {
        match bench.try_graph(&nodes) {
            Err(DeviceError::InvalidNode { node, .. }) => assert_eq!(node, bad),
            other => panic!("{:?}", other.err()),
        }
    }
    bench.stream.submit(write(64));
    let fault = bench.stream.synchronize().expect_err("a wild write");
    assert_eq!(fault.kind, FaultKind::IllegalAddress);
}
