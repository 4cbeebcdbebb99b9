//! Who runs the blocks of a launch: all executors share a long one.

mod common;

use common::*;
use std::collections::HashSet;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::ThreadId;
use std::time::Duration;
use tessera_device::{ContextOptions, Device, Operation, Printer, StreamOptions};
use tessera_softgpu::{Execution, Options, PciAddress, SoftGpu, Tier};

/// `work`: every thread counts to the first parameter. `say`: likewise; then blocks from the second parameter on print.
const KERNELS: &str = ".version 8.0\n.target sm_80\n.address_size 64
    .extern .func (.param .b32 r) vprintf (.param .b64 f, .param .b64 a);
    .global .align 1 .b8 text[2] = {120, 0};
    .visible .entry work(.param .u64 n, .param .u64 out) { .reg .b32 %n, %k, %b, %x; .reg .b64 %o, %a; .reg .pred %p;
      ld.param.u32 %n, [n]; ld.param.u64 %o, [out]; mov.u32 %k, 0; mov.u32 %x, 1;
      AGAIN: mad.lo.u32 %x, %x, 3, %k; add.u32 %k, %k, 1; setp.lt.u32 %p, %k, %n; @%p bra AGAIN;
      mov.u32 %b, %ctaid.x; mul.wide.u32 %a, %b, 4; add.u64 %o, %o, %a; st.global.u32 [%o], %x; ret; }
    .visible .entry say(.param .u64 n, .param .u64 first) { .reg .b32 %n, %k, %b, %f; .reg .b64 %t, %z; .reg .pred %p;
      ld.param.u32 %n, [n]; ld.param.u32 %f, [first]; mov.u32 %k, 0;
      AGAIN: add.u32 %k, %k, 1; setp.lt.u32 %p, %k, %n; @%p bra AGAIN;
      mov.u32 %b, %ctaid.x; setp.lt.u32 %p, %b, %f; @%p bra OVER; mov.u64 %t, text; cvta.global.u64 %t, %t; mov.u64 %z, 0;
      { .param .b64 f; st.param.b64 [f], %t; .param .b64 a; st.param.b64 [a], %z; .param .b32 r; call.uni (r), vprintf, (f, a); }
      OVER: ret; }";

fn gpu_of(executors: u32, tier: Tier) -> SoftGpu {
    SoftGpu::open(&Options {
        name: "Test GPU".to_owned(),
        compute_capability: (9, 0),
        memory_bytes: 256 * MIB,
        sm_count: Some(132),
        executors: Some(executors),
        pci_address: PciAddress::default(),
        pci_id: None,
        execution: Execution {
            tier,
            ..Execution::default()
        },
        code: None,
        check: None,
    })
    .expect("device")
}

/// Blocks that each executor ran, in as many launches as it takes until both had one; the system may not let the second one run
/// before a launch is over.
fn shared(tier: Tier, blocks: u32, count: u64) -> Vec<u64> {
    let gpu = gpu_of(2, tier);
    let context = context(&gpu);
    let function = kernel(&load(&context, KERNELS), "work");
    let out = context.alloc(u64::from(blocks) * 4, 256).expect("allocation");
    let stream = TestStream::plain(&context);
    let mut launches = 0;
    while launches < 1000 && gpu.blocks_by_executor().contains(&0) {
        stream.submit(launch(&function, blocks, 256, &[count, out]));
        stream.synchronize().expect("kernel");
        launches += 1;
    }
    let ran = gpu.blocks_by_executor();
    assert_eq!(
        ran.iter().sum::<u64>(),
        launches * u64::from(blocks),
        "every block is run once"
    );
    let words = read_words(&context, out, blocks as usize);
    assert!(
        words.windows(2).all(|w| w[0] == w[1]),
        "all blocks compute the same"
    );
    ran
}

#[test]
fn both_executors_run_blocks_of_a_long_launch() {
    for tier in [Tier::Interpreter, Tier::Native] {
        // Many blocks that are short, and a few each of which takes longer than a quantum.
        for (blocks, count) in [(4096, 200), (16, 100_000)] {
            let ran = shared(tier, blocks, count);
            assert!(!ran.contains(&0), "{tier:?}, {blocks} blocks: {ran:?}");
        }
    }
}

/// Keeps every thread that prints until another one prints too.
#[derive(Default)]
struct Meeting {
    here: Mutex<HashSet<ThreadId>>,
    changed: Condvar,
}

impl Meeting {
    fn threads(&self) -> usize {
        self.here.lock().expect("lock").len()
    }
}

impl Printer for Meeting {
    fn print(&self, _: &[u8], _: bool) {
        let mut here = self.here.lock().expect("lock");
        here.insert(std::thread::current().id());
        self.changed.notify_all();
        // So long that only somebody who was never called does not come.
        let alone = |here: &mut HashSet<ThreadId>| here.len() < 2;
        let patience = Duration::from_secs(60);
        drop(
            self.changed
                .wait_timeout_while(here, patience, alone)
                .expect("lock"),
        );
    }
}

/// Each block that prints waits in the host until the other executor has come to one as well: it has to be called before.
#[test]
fn others_are_called_before_the_first_block_is_done_once_it_is_known_how_long_it_takes() {
    let gpu = gpu_of(2, Tier::Interpreter);
    let meeting = Arc::new(Meeting::default());
    let context = gpu
        .create_context(ContextOptions {
            arena: (0x2000_0000_0000, 1 << 40),
            printer: Arc::clone(&meeting) as Arc<dyn Printer>,
            stack_bytes: 1024,
            heap_bytes: 8 * MIB,
            bar1: None,
        })
        .expect("context");
    let function = kernel(&load(&context, KERNELS), "say");
    let stream = TestStream::plain(&context);
    // The first launch: once the first block has shown how long it takes.
    stream.submit(launch(&function, 256, 1, &[20_000, 1]));
    stream.synchronize().expect("kernel");
    assert_eq!(meeting.threads(), 2, "both executors come to the first launch");
    // The next: before the first block has run.
    meeting.here.lock().expect("lock").clear();
    stream.submit(launch(&function, 256, 1, &[20_000, 0]));
    stream.synchronize().expect("kernel");
    assert_eq!(meeting.threads(), 2, "both executors come to the second launch");
}

/// A priority counts from the moment it is set, for operations that the stream has already too.
#[test]
fn a_stream_that_becomes_urgent_goes_first() {
    let gpu = gpu_of(1, Tier::default());
    let context = context(&gpu);
    let module = load(&context, KERNELS);
    let work = kernel(&module, "work");
    let log = Arc::default();
    let options = StreamOptions {
        non_blocking: true,
        ..StreamOptions::default()
    };
    let [gate, first, second] =
        ["gate", "first", "second"].map(|name| TestStream::new(&context, name, &log, options));
    let (open, _) = event(&context);
    gate.submit(Operation::HostCall);
    gate.submit(Operation::RecordEvent {
        event: Arc::clone(&open),
        generation: 1,
    });
    let out = context.alloc(4096, 256).expect("memory");
    let [one, other] = [&first, &second].map(|stream| {
        stream.submit(Operation::WaitEvent {
            event: Arc::clone(&open),
        });
        // Many turns of the one executor, however fast it is.
        stream.submit(launch(&work, 256, 32, &[100_000, out]))
    });
    second.stream.set_priority(-5);
    gate.host_call().finish();
    first.wait(one).expect("kernel");
    second.wait(other).expect("kernel");
    assert!(log.at("second", other) < log.at("first", one));
}
