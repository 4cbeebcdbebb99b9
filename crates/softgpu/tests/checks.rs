//! The checking mode of the device: what it tells the checks, and who hears of findings.

mod common;

use common::*;
use std::sync::{Arc, Mutex};
use tessera_device::{Context, ContextOptions, Device};
use tessera_softgpu::check::{Checks, Finding, FindingKind};
use tessera_softgpu::{Checking, FindingSink, Options, PciAddress, SoftGpu};

/// `a[i] = b[i]` for all threads; and a store behind a variable.
const PTX: &str = "
.version 8.0
.target sm_80
.address_size 64
.visible .global .align 4 .b8 table[20];
.visible .entry copy(.param .u64 a_, .param .u64 b_)
{
    .reg .b32 %i, %v;
    .reg .b64 %a, %b;
    mov.u32 %i, %tid.x;
    ld.param.u64 %a, [a_];
    ld.param.u64 %b, [b_];
    mad.wide.u32 %a, %i, 4, %a;
    mad.wide.u32 %b, %i, 4, %b;
    ld.global.u32 %v, [%b];
    st.global.u32 [%a], %v;
    ret;
}
.visible .entry behind()
{
    .reg .b32 %v;
    .reg .b64 %a;
    mov.u64 %a, table;
    mov.u32 %v, 7;
    st.global.u32 [%a+20], %v;
    ret;
}
";

#[derive(Default)]
struct Collected(Mutex<Vec<Vec<Finding>>>);

impl FindingSink for Collected {
    fn found(&self, findings: &[Finding]) {
        self.0.lock().expect("lock").push(findings.to_vec());
    }
}

fn checked(list: &str) -> (SoftGpu, Arc<Collected>) {
    let sink = Arc::new(Collected::default());
    let gpu = SoftGpu::open(&Options {
        name: "Test GPU".to_owned(),
        compute_capability: (9, 0),
        memory_bytes: 1 << 30,
        sm_count: Some(132),
        executors: Some(2),
        pci_address: PciAddress::default(),
        pci_id: None,
        code: None,
        execution: tessera_softgpu::Execution::default(),
        check: Some(Checking {
            checks: Checks::parse(list).expect("checks"),
            sink: Arc::clone(&sink) as Arc<dyn FindingSink>,
        }),
    });
    (gpu.expect("device"), sink)
}

fn context_of(gpu: &SoftGpu) -> Arc<dyn Context> {
    gpu.create_context(ContextOptions {
        arena: (0x2000_0000_0000, 1 << 40),
        printer: Arc::new(Printed::default()),
        stack_bytes: 1024,
        heap_bytes: 8 * MIB,
        bar1: None,
    })
    .expect("context")
}

/// Runs `work` in a checked context; what was found by its end.
fn findings(list: &str, work: impl FnOnce(&Arc<dyn Context>)) -> Vec<Finding> {
    let (gpu, sink) = checked(list);
    let context = context_of(&gpu);
    work(&context);
    drop(context);
    let mut all = sink.0.lock().expect("lock");
    assert_eq!(all.len(), 1, "one context, one report");
    all.remove(0)
}

#[test]
fn an_overflow_into_the_padding_of_a_page_is_found_and_goes_on() {
    let found = findings("memory", |context| {
        let module = load(context, PTX);
        let (a, b) = (context.alloc(100, 256).expect("a"), upload(context, &[5; 32]));
        let stream = TestStream::plain(context);
        // 32 threads of 4 bytes: 28 bytes more than there are.
        stream.submit(launch(&kernel(&module, "copy"), 1, 32, &[a, b]));
        stream.synchronize().expect("no fault, as on a GPU");
        assert_eq!(read_words(context, a, 25), [5; 25]);
    });
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].kind, found[0].count), (FindingKind::OutOfBounds, 7));
    assert_eq!(found[0].thread.map(|t| t.thread), Some([25, 0, 0]));
    assert!(
        found[0]
            .note
            .contains("0 bytes after the end of the allocation of 100 bytes"),
        "{}",
        found[0].note
    );
}

#[test]
fn variables_are_known_by_name() {
    let found = findings("memory", |context| {
        let module = load(context, PTX);
        let stream = TestStream::plain(context);
        stream.submit(launch(&kernel(&module, "behind"), 1, 1, &[]));
        stream.synchronize().expect("no fault");
    });
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].note.contains("the variable `table`, 20 bytes"),
        "{}",
        found[0].note
    );
}

#[test]
fn copies_and_fills_count_as_written_and_nothing_else_does() {
    let found = findings("init", |context| {
        let module = load(context, PTX);
        let copied = kernel(&module, "copy");
        let target = context.alloc(128, 256).expect("target");
        let (fresh, filled, from_host) = (
            context.alloc(128, 256).expect("fresh"),
            context.alloc(128, 256).expect("filled"),
            upload(context, &[1; 32]),
        );
        let inside = context.alloc(128, 256).expect("inside");
        let stream = TestStream::plain(context);
        stream.submit(fill(filled, 0, 4, 32));
        stream.submit(copy(inside, from_host, 128));
        for source in [filled, from_host, inside, target] {
            stream.submit(launch(&copied, 1, 32, &[target, source]));
        }
        stream.synchronize().expect("fine");
        stream.submit(launch(&copied, 1, 32, &[target, fresh]));
        stream.synchronize().expect("fine");
    });
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].kind, found[0].count), (FindingKind::Uninitialised, 32));
}

#[test]
fn what_is_not_freed_was_leaked() {
    let found = findings("leak", |context| {
        let kept = context.alloc(4096, 256).expect("kept");
        let freed = context.alloc(4096, 256).expect("freed");
        context.free(freed).expect("free");
        assert_ne!(kept, freed);
        // The module's variables and the device's own memory are no leaks.
        load(context, PTX);
    });
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].kind, FindingKind::Leak);
    assert!(found[0].note.contains("4096 bytes"), "{}", found[0].note);
}

#[test]
fn an_access_to_what_was_freed_is_a_fault_that_says_so() {
    let found = findings("memory", |context| {
        let module = load(context, PTX);
        let (a, b) = (context.alloc(128, 256).expect("a"), upload(context, &[5; 32]));
        context.free(a).expect("free");
        let stream = TestStream::plain(context);
        stream.submit(launch(&kernel(&module, "copy"), 1, 1, &[a, b]));
        stream.synchronize().expect_err("unmapped");
    });
    assert!(found[0].note.contains("which was freed"), "{}", found[0].note);
}
