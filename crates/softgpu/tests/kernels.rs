//! Kernels on the software GPU: launches, variables, faults, preemption, printing.

mod common;

use common::*;
use std::sync::Arc;
use tessera_device::{
    Context, Device, DeviceError, Dim3, FaultKind, Launch, Module, ModuleOptions, Operation, PtxText,
    StreamOptions,
};

const PTX: &str = include_str!("kernels.ptx");

fn numbers(count: u32, factor: u32) -> Vec<u32> {
    (0..count).map(|i| i * factor).collect()
}

fn module(context: &Arc<dyn Context>) -> Arc<dyn Module> {
    load(context, PTX)
}

#[test]
fn vectors_are_added() {
    let gpu = gpu();
    let context = context(&gpu);
    let function = kernel(&module(&context), "vecadd");
    for count in [1_u32, 255, 256, 100_000] {
        let (a, b) = (
            upload(&context, &numbers(count, 3)),
            upload(&context, &numbers(count, 5)),
        );
        let c = context.alloc(u64::from(count) * 4, 256).expect("allocation");
        let stream = TestStream::plain(&context);
        stream.submit(launch(
            &function,
            count.div_ceil(256),
            256,
            &[a, b, c, u64::from(count)],
        ));
        stream.synchronize().expect("kernel");
        assert!(
            read_words(&context, c, count as usize) == numbers(count, 8),
            "{count}"
        );
        for base in [a, b, c] {
            context.free(base).expect("free");
        }
    }
    assert_eq!(gpu.counters().kernels, 4);
    assert_eq!(context.counters().kernels, 4);
    assert!(gpu.counters().kernel_ns > 0);
    gpu.check_ledger().expect("ledger");
}

#[test]
fn a_kernel_says_what_it_takes() {
    let gpu = gpu();
    let context = context(&gpu);
    let module = module(&context);
    assert!(module.function_names().contains(&"vecadd".to_owned()));
    let function = kernel(&module, "vecadd");
    let info = function.info();
    let offsets: Vec<_> = info.parameters.iter().map(|p| (p.offset, p.size)).collect();
    assert_eq!(offsets, [(0, 8), (8, 8), (16, 8), (24, 4)]);
    assert_eq!((info.parameter_bytes, info.max_threads_per_block), (28, 1024));
    assert_eq!((info.ptx_version, info.binary_version), (80, 90));
    assert_eq!(kernel(&module, "limited").info().max_threads_per_block, 64);
    assert!(matches!(
        module.function("nobody").err(),
        Some(DeviceError::NotFound(_))
    ));
}

#[test]
fn variables_are_initialised_with_values_and_addresses() {
    let gpu = gpu();
    let context = context(&gpu);
    let module = module(&context);
    let out = context.alloc(16, 256).expect("allocation");
    let stream = TestStream::plain(&context);
    let function = kernel(&module, "globals");
    stream.submit(launch(&function, 1, 4, &[out]));
    stream.synchronize().expect("kernel");
    assert_eq!(read_words(&context, out, 4), [16, 125, 10035, 1_000_045]);
    let counter = module.global("counter").expect("a variable");
    assert_eq!(counter.bytes, 4);
    assert_eq!(read_words(&context, counter.address, 1), [9]);
    // The host writes a constant, the next launch sees it.
    let weights = module.global("weights").expect("a variable");
    assert_eq!(weights.bytes, 16);
    stream.submit(copy_in(weights.address, &host_with(&[0; 16])));
    stream.submit(launch(&function, 1, 4, &[out]));
    stream.synchronize().expect("kernel");
    assert_eq!(read_words(&context, out, 4), [19, 29, 39, 49]);
    assert!(
        read(&context, module.global("zeroes").expect("a variable").address, 64)
            .iter()
            .all(|&b| b == 0)
    );
    assert!(module.global("nothing").is_none());
    assert!(
        context.free(counter.address).is_err(),
        "variables are no allocations"
    );

    let used = context.memory_used();
    drop(function);
    drop(module);
    assert!(context.memory_used() < used, "variables go with the module");
    gpu.check_ledger().expect("ledger");
}

#[test]
fn dynamic_shared_memory_and_barriers() {
    let gpu = gpu();
    let context = context(&gpu);
    let function = kernel(&module(&context), "reverse");
    let data = upload(&context, &numbers(512, 1));
    let stream = TestStream::plain(&context);
    let Operation::Launch(mut operation) = launch(&function, 1, 512, &[data]) else {
        unreachable!()
    };
    operation.dynamic_shared_bytes = 2048;
    stream.submit(Operation::Launch(operation.clone()));
    stream.synchronize().expect("kernel");
    let mut expected = numbers(512, 1);
    expected.reverse();
    assert_eq!(read_words(&context, data, 512), expected);
    operation.dynamic_shared_bytes = 228 << 10;
    let refused = stream.stream.submit(1000, Operation::Launch(operation));
    assert!(matches!(refused, Err(DeviceError::LaunchOutOfResources(_))));
}

#[test]
fn impossible_launches_are_refused_at_once() {
    let gpu = gpu();
    let (context, other) = (context(&gpu), context(&gpu));
    let module = module(&context);
    let (poke, limited) = (kernel(&module, "poke"), kernel(&module, "limited"));
    let stream = TestStream::plain(&context).stream;
    let shaped = |grid: [u32; 3], block: [u32; 3], parameters: usize| {
        Operation::Launch(Launch {
            function: Arc::clone(&poke),
            grid: Dim3 {
                x: grid[0],
                y: grid[1],
                z: grid[2],
            },
            block: Dim3 {
                x: block[0],
                y: block[1],
                z: block[2],
            },
            dynamic_shared_bytes: 0,
            parameters: vec![0; parameters].into(),
            cooperative: false,
            cluster: [0; 3],
        })
    };
    for operation in [
        shaped([0, 1, 1], [1, 1, 1], 8),
        shaped([1, 65536, 1], [1, 1, 1], 8),
        shaped([1 << 31, 1, 1], [1, 1, 1], 8),
        shaped([1, 1, 1], [0, 1, 1], 8),
        shaped([1, 1, 1], [1025, 1, 1], 8),
        shaped([1, 1, 1], [1, 1, 65], 8),
        shaped([1, 1, 1], [64, 32, 1], 8),
        shaped([1, 1, 1], [u32::MAX, u32::MAX, 64], 8),
        shaped([1, 1, 1], [1, 1, 1], 7),
        launch(&limited, 1, 65, &[]),
    ] {
        let got = stream.submit(1, operation);
        assert!(matches!(got, Err(DeviceError::InvalidValue(_))), "{got:?}");
    }
    let elsewhere = TestStream::plain(&other)
        .stream
        .submit(1, launch(&limited, 1, 1, &[]));
    assert!(matches!(elsewhere, Err(DeviceError::InvalidValue(_))));
}

#[test]
fn bad_modules_are_refused_with_a_reason() {
    let gpu = gpu();
    let context = context(&gpu);
    let attempt = |text: &str| {
        let text = PtxText {
            name: "bad.ptx",
            text: text.as_bytes(),
        };
        let Err(error) = context.load_module(&[text], &ModuleOptions::default()) else {
            panic!("loaded");
        };
        error
    };
    let error = attempt(".version 8.0\n.target sm_80\n.address_size 64\n.visible .entry k( { }\n");
    assert!(
        matches!(&error, DeviceError::InvalidPtx(text) if text.contains("bad.ptx") && text.contains("line 4")),
        "{error}"
    );
    let error = attempt(".version 8.0\n.target sm_100\n.address_size 64\n");
    assert!(matches!(error, DeviceError::NoBinaryForGpu(_)), "{error}");
    let error = attempt(".version 8.0\n.target sm_80a\n.address_size 64\n");
    assert!(matches!(error, DeviceError::NoBinaryForGpu(_)), "{error}");
    assert!(context.load_module(&[], &ModuleOptions::default()).is_err());
    assert_eq!(context.memory_used(), 0);
    gpu.check_ledger().expect("ledger");
}

#[test]
fn ten_thousand_tiny_launches() {
    let gpu = gpu();
    let context = context(&gpu);
    let function = kernel(&module(&context), "count");
    let at = upload(&context, &[0]);
    let stream = TestStream::plain(&context);
    for _ in 0..10_000 {
        stream.submit(launch(&function, 1, 1, &[at]));
    }
    stream.synchronize().expect("kernels");
    assert_eq!(read_words(&context, at, 1), [10_000]);
    assert_eq!(gpu.counters().kernels, 10_000);
}

#[test]
fn every_thread_of_a_large_grid_counts_once() {
    let gpu = gpu();
    let context = context(&gpu);
    let function = kernel(&module(&context), "count");
    let at = upload(&context, &[0]);
    let stream = TestStream::plain(&context);
    stream.submit(launch(&function, 2000, 96, &[at]));
    stream.synchronize().expect("kernel");
    assert_eq!(read_words(&context, at, 1), [192_000]);
}

#[test]
fn a_wild_store_poisons_its_own_context_only() {
    let gpu = gpu();
    let (bad, good) = (context(&gpu), context(&gpu));
    let module_of_good = module(&good);
    let count = kernel(&module_of_good, "count");
    let at = upload(&good, &[0]);
    let stream_of_good = TestStream::plain(&good);
    for (address, kind) in [
        (0, FaultKind::IllegalAddress),
        (0x2000_dead_0000, FaultKind::IllegalAddress),
    ] {
        let bad = context(&gpu);
        let poke = kernel(&module(&bad), "poke");
        let stream = TestStream::plain(&bad);
        stream.submit(launch(&poke, 1, 1, &[address]));
        let fault = stream.synchronize().expect_err("wild");
        assert_eq!(fault.kind, kind);
        assert!(fault.place.contains("poke"), "{fault}");
        assert_eq!(bad.fault().map(|fault| fault.kind), Some(kind));
    }
    let poke = kernel(&module(&bad), "poke");
    let own = bad.alloc(4096, 256).expect("allocation");
    let stream = TestStream::plain(&bad);
    // An address of the neighbour's means nothing here: either nobody's or one's own.
    stream.submit(launch(&poke, 1, 1, &[own + 4096]));
    let fault = stream.synchronize().expect_err("past the end");
    assert_eq!(fault.kind, FaultKind::IllegalAddress);
    stream.submit(launch(&poke, 1, 1, &[own]));
    stream.synchronize().expect_err("sticky");

    stream_of_good.submit(launch(&count, 4, 32, &[at]));
    stream_of_good.synchronize().expect("the neighbour goes on");
    assert_eq!(read_words(&good, at, 1), [128]);
    gpu.check_ledger().expect("ledger");
}

#[test]
fn faults_have_their_kinds() {
    let gpu = gpu();
    let printed = Arc::new(Printed::default());
    for (name, parameters, kind) in [
        ("trap_now", vec![], FaultKind::LaunchFailed),
        ("fail", vec![], FaultKind::Assert),
        ("poke", vec![0x2000_0000_0002], FaultKind::MisalignedAddress),
    ] {
        let context = context_printing(&gpu, Arc::clone(&printed));
        let _base = context.alloc(4096, 256).expect("allocation");
        let stream = TestStream::plain(&context);
        stream.submit(launch(&kernel(&module(&context), name), 1, 1, &parameters));
        let fault = stream.synchronize().expect_err(name);
        assert_eq!(fault.kind, kind, "{name}: {fault}");
    }
    let line = "ker.cu:17: planet: block: [0,0,0], thread: [0,0,0] Assertion `x > 0` failed.\n";
    assert_eq!(*printed.0.lock().expect("lock"), [(line.to_owned(), true)]);
}

#[test]
fn kernels_print() {
    let gpu = gpu();
    let printed = Arc::new(Printed::default());
    let context = context_printing(&gpu, Arc::clone(&printed));
    let stream = TestStream::plain(&context);
    stream.submit(launch(&kernel(&module(&context), "say"), 1, 3, &[3]));
    stream.synchronize().expect("kernel");
    let mut lines: Vec<_> = printed
        .0
        .lock()
        .expect("lock")
        .iter()
        .map(|line| line.0.clone())
        .collect();
    lines.sort();
    assert_eq!(
        lines,
        [
            "thread 0 of 3: 0.00\n",
            "thread 1 of 3: 1.00\n",
            "thread 2 of 3: 2.00\n"
        ]
    );
}

#[test]
fn kernels_use_the_heap() {
    let gpu = gpu();
    let context = context(&gpu);
    let at = upload(&context, &[0]);
    let stream = TestStream::plain(&context);
    let function = kernel(&module(&context), "heap");
    stream.submit(launch(&function, 50, 32, &[at]));
    stream.synchronize().expect("kernel");
    assert_eq!(read_words(&context, at, 1), [77]);
    gpu.check_ledger().expect("ledger");
}

#[test]
fn an_endless_kernel_keeps_nobody_from_running() {
    // One executor: it must be given up by the endless kernel.
    let gpu = gpu_with(256 * MIB, 1);
    let (hog, other) = (context(&gpu), context(&gpu));
    let endless = kernel(&module(&hog), "endless");
    let stream = TestStream::plain(&hog);
    stream.submit(launch(&endless, 8, 64, &[]));
    for context in [&other, &hog] {
        let function = kernel(&module(context), "count");
        let at = upload(context, &[0]);
        let beside = TestStream::plain(context);
        beside.submit(launch(&function, 10, 32, &[at]));
        beside.synchronize().expect("runs beside the endless kernel");
        assert_eq!(read_words(context, at, 1), [320]);
    }
    assert!(gpu.counters().preemptions > 0);
    // And it can be ended from outside.
    drop(hog);
    assert_eq!(gpu.memory().used, other.memory_used());
    let fault = stream.synchronize().expect_err("its context is gone");
    assert_eq!(fault.kind, FaultKind::LaunchFailed);
    gpu.check_ledger().expect("ledger");
}

#[test]
fn a_fault_ends_the_other_kernels_of_its_context() {
    let gpu = gpu();
    let context = context(&gpu);
    let module = module(&context);
    let (one, two) = (TestStream::plain(&context), TestStream::plain(&context));
    let endless = one.submit(launch(&kernel(&module, "endless"), 4, 32, &[]));
    let queued = one.submit(launch(&kernel(&module, "trap_now"), 1, 1, &[]));
    two.submit(launch(&kernel(&module, "poke"), 1, 1, &[0]));
    let fault = two.synchronize().expect_err("wild");
    assert_eq!(fault.kind, FaultKind::IllegalAddress);
    assert_eq!(
        one.wait(endless).expect_err("stopped").kind,
        FaultKind::IllegalAddress
    );
    assert_eq!(
        one.wait(queued).expect_err("never ran").kind,
        FaultKind::IllegalAddress
    );
    drop((one, two, module));
    drop(context);
    assert_eq!(gpu.memory().used, 0);
}

#[test]
fn blocks_that_wait_for_each_other_make_progress() {
    // More blocks than executors, each waiting for the one after it.
    for executors in [1, 2] {
        let gpu = gpu_with(256 * MIB, executors);
        let context = context(&gpu);
        let function = kernel(&module(&context), "chain");
        let at = upload(&context, &[0]);
        let stream = TestStream::plain(&context);
        stream.submit(launch(&function, 12, 1, &[at]));
        stream.synchronize().expect("kernel");
        assert_eq!(read_words(&context, at, 1), [12]);
    }
}

#[test]
fn kernels_of_two_streams_run_at_the_same_time() {
    let gpu = gpu_with(256 * MIB, 1);
    let context = context(&gpu);
    let module = module(&context);
    let flag = upload(&context, &[0]);
    let out = upload(&context, &[0]);
    let options = StreamOptions {
        non_blocking: true,
        ..StreamOptions::default()
    };
    let log = Arc::default();
    let waiting = TestStream::new(&context, "waiting", &log, options);
    let setting = TestStream::new(&context, "setting", &log, options);
    let wait = waiting.submit(launch(&kernel(&module, "await"), 1, 1, &[flag, out]));
    // Set by a kernel of another stream while the first one runs.
    setting.submit(launch(&kernel(&module, "poke"), 1, 1, &[flag]));
    waiting.wait(wait).expect("kernel");
    assert_eq!(read_words(&context, out, 1), [1]);
}

#[test]
fn a_kernel_sees_what_the_host_writes_to_pinned_memory() {
    let gpu = gpu();
    let context = context(&gpu);
    let pinned = host(4096);
    let address = 0x2080_0000_0000;
    context.map_host(address, pinned.clone(), false).expect("map");
    let stream = TestStream::plain(&context);
    let wait = stream.submit(launch(
        &kernel(&module(&context), "await"),
        1,
        1,
        &[address, address + 8],
    ));
    assert!(!stream.is_done(wait));
    // SAFETY: the range is ours; the kernel reads it at the same time, as the guest would have it.
    unsafe { pinned.as_ptr().cast::<u32>().write_volatile(42) };
    stream.wait(wait).expect("kernel");
    assert_eq!(words(&bytes_of(&pinned)[8..12]), [42]);
}

#[test]
fn memory_is_freed_under_a_running_context() {
    let gpu = gpu_with(64 * MIB, 2);
    let context = context(&gpu);
    let module = module(&context);
    let flag = upload(&context, &[0]);
    let out = upload(&context, &[0]);
    let (stream, other) = (TestStream::plain(&context), TestStream::plain(&context));
    let wait = stream.submit(launch(&kernel(&module, "await"), 2, 32, &[flag, out]));
    // Most of the frame buffer goes round and round while the kernel runs; each time it is zero.
    for round in 1..30_u32 {
        let base = context
            .alloc(40 * MIB, 256)
            .expect("free again, and let go of by the running kernel");
        assert_eq!(read_words(&context, base + 39 * MIB, 2), [0, 0]);
        other.submit(fill(base, round, 4, 10 * MIB));
        other.synchronize().expect("fill");
        context.free(base).expect("free");
    }
    assert!(!stream.is_done(wait));
    other.submit(fill(flag, 3, 4, 1));
    stream.wait(wait).expect("kernel");
    assert_eq!(read_words(&context, out, 1), [3]);
    gpu.check_ledger().expect("ledger");
}

#[test]
fn a_module_lives_as_long_as_its_kernels_run() {
    let gpu = gpu();
    let context = context(&gpu);
    let flag = upload(&context, &[0]);
    let out = upload(&context, &[0]);
    let stream = TestStream::plain(&context);
    let used = context.memory_used();
    {
        let module = module(&context);
        stream.submit(launch(&kernel(&module, "await"), 1, 1, &[flag, out]));
        stream.submit(launch(&kernel(&module, "globals"), 1, 1, &[out]));
    }
    assert!(context.memory_used() > used, "the variables are still there");
    let other = TestStream::plain(&context);
    other.submit(fill(flag, 1, 4, 1));
    stream.synchronize().expect("kernels");
    assert_eq!(read_words(&context, out, 1), [16]);
    assert_eq!(context.memory_used(), used);
}

#[test]
fn texts_are_linked() {
    let gpu = gpu();
    let context = context(&gpu);
    let head = ".version 8.0\n.target sm_80\n.address_size 64\n";
    let main = format!(
        "{head}.extern .global .align 4 .u32 value;
.extern .func (.param .b32 r) twice (.param .b32 x);
.visible .entry k(.param .u64 p) {{
    .reg .b32 %r<3>; .reg .b64 %rd<2>;
    ld.param.u64 %rd1, [p];
    ld.global.u32 %r1, [value];
    {{ .param .b32 a; st.param.b32 [a], %r1; .param .b32 b; call.uni (b), twice, (a); ld.param.b32 %r2, [b]; }}
    st.global.u32 [%rd1], %r2;
    ret;
}}"
    );
    let library = format!(
        "{head}.visible .global .align 4 .u32 value = 21;
.visible .func (.param .b32 r) twice (.param .b32 x) {{
    .reg .b32 %r<2>;
    ld.param.b32 %r1, [x];
    add.u32 %r1, %r1, %r1;
    st.param.b32 [r], %r1;
    ret;
}}"
    );
    let text = |name, text| PtxText { name, text };
    let both = [text("main", main.as_bytes()), text("library", library.as_bytes())];
    let module = context
        .load_module(&both, &ModuleOptions::default())
        .unwrap_or_else(|error| panic!("{error}"))
        .module;
    let at = upload(&context, &[0]);
    let stream = TestStream::plain(&context);
    stream.submit(launch(&kernel(&module, "k"), 1, 1, &[at]));
    stream.synchronize().expect("kernel");
    assert_eq!(read_words(&context, at, 1), [42]);

    let missing = context.load_module(&both[..1], &ModuleOptions::default());
    let Some(DeviceError::Link(why)) = missing.err() else {
        panic!("linked without its library");
    };
    assert!(why.contains("value") || why.contains("twice"), "{why}");
    let twice = context.load_module(&[both[1], both[1]], &ModuleOptions::default());
    assert!(matches!(twice.err(), Some(DeviceError::Link(_))));
}

/// Managed variables are where the host says, with their initial values; others may have their address.
#[test]
fn managed_variables_are_in_memory_of_the_host() {
    let gpu = gpu();
    let first = context(&gpu);
    let second = context(&gpu);
    let ptx = ".version 8.0\n.target sm_80\n.address_size 64
.visible .global .attribute(.managed) .align 4 .u32 count = 5;
.visible .global .attribute(.managed) .align 8 .u64 place = count;
.visible .global .align 8 .u64 plain = place;
.visible .entry k() {
    .reg .b32 %r<3>; .reg .b64 %rd<4>;
    ld.global.u64 %rd1, [plain];
    ld.global.u64 %rd2, [%rd1];
    ld.global.u32 %r1, [%rd2];
    add.u32 %r1, %r1, 1;
    st.global.u32 [count], %r1;
    ret;
}";
    let address = 0x2080_0000_0000;
    let pages = host(4096);
    let module = load(&first, ptx);
    assert_eq!(module.managed_bytes(), 16);
    assert!(
        module.function("k").is_err() && module.global("count").is_none(),
        "nowhere yet"
    );
    first.map_host(address, pages.clone(), false).expect("map");
    second.map_host(address, pages.clone(), false).expect("map");
    module.place_managed(address, true).expect("placed");
    assert!(module.place_managed(address, true).is_err(), "once");
    assert_eq!(words(&bytes_of(&pages)[..4]), [5]);
    assert_eq!(bytes_of(&pages)[8..16], address.to_le_bytes());
    let plain = module.global("plain").expect("a variable").address;
    assert_eq!(read(&first, plain, 8), (address + 8).to_le_bytes());
    assert_eq!(module.global("place").expect("a variable").address, address + 8);
    let stream = TestStream::plain(&first);
    stream.submit(launch(&kernel(&module, "k"), 1, 1, &[]));
    stream.synchronize().expect("kernel");
    assert_eq!(words(&bytes_of(&pages)[..4]), [6]);
    // The same variables in another context: they keep what they have.
    let other = load(&second, ptx);
    other.place_managed(address, false).expect("placed");
    let stream = TestStream::plain(&second);
    stream.submit(launch(&kernel(&other, "k"), 1, 1, &[]));
    stream.synchronize().expect("kernel");
    assert_eq!(words(&bytes_of(&pages)[..4]), [7]);
    let none = load(&first, ".version 8.0\n.target sm_80\n.address_size 64\n");
    assert_eq!(none.managed_bytes(), 0);
    assert!(none.place_managed(address, true).is_err());
}

/// Blocks of a cooperative launch meet twice at the grid barrier of their own making, through the workspace.
#[test]
fn blocks_of_a_cooperative_launch_are_all_resident() {
    let gpu = gpu_with(256 * MIB, 1);
    let context = context(&gpu);
    let ptx = ".version 8.0\n.target sm_80\n.address_size 64
.visible .entry meet(.param .u64 p) {
    .reg .pred %q; .reg .b32 %r<8>; .reg .b64 %rd<6>;
    ld.param.u64 %rd1, [p];
    mov.u32 %r1, %envreg1;
    mov.u32 %r2, %envreg2;
    mov.b64 %rd2, {%r2, %r1};
    mov.u32 %r3, %nctaid.x;
    atom.global.add.u32 %r4, [%rd2+4], 1;
$wait:
    ld.volatile.global.u32 %r5, [%rd2+4];
    setp.ne.u32 %q, %r5, %r3;
    @%q bra $wait;
    ld.global.u32 %r6, [%rd2];
    atom.global.add.u32 %r7, [%rd1], %r6;
    ret;
}";
    let function = kernel(&load(&context, ptx), "meet");
    let at = upload(&context, &[0]);
    let used = context.memory_used();
    let stream = TestStream::plain(&context);
    let cooperative = |blocks| {
        let Operation::Launch(mut operation) = launch(&function, blocks, 1, &[at]) else {
            unreachable!()
        };
        operation.cooperative = true;
        Operation::Launch(operation)
    };
    stream.submit(cooperative(100));
    stream.synchronize().expect("kernel");
    // Each block adds the size of the workspace, which its first word holds.
    assert_eq!(read_words(&context, at, 1), [100 * 4096]);
    let refused = stream.stream.submit(1000, cooperative(1 << 20));
    assert!(matches!(refused, Err(DeviceError::LaunchOutOfResources(_))));
    assert_eq!(context.memory_used(), used, "workspaces go with their launches");
}

/// `CU_LIMIT_STACK_SIZE` is the bound of what calls nest, and can be changed between launches.
#[test]
fn the_stack_of_a_thread_ends_where_the_context_says() {
    const DEEP: &str = ".version 8.0\n.target sm_80\n.address_size 64
        .func (.param .b32 r) count(.param .b32 n) { .reg .b32 %n, %m; .reg .pred %p;
          ld.param.u32 %n, [n]; mov.u32 %m, 0; setp.eq.u32 %p, %n, 0; @%p bra DONE;
          sub.u32 %m, %n, 1; call (%m), count, (%m); add.u32 %m, %m, %n;
          DONE: st.param.b32 [r], %m; ret; }
        .visible .entry deep(.param .u64 out, .param .u64 n) { .reg .b32 %n; .reg .b64 %t;
          ld.param.u32 %n, [n]; ld.param.u64 %t, [out]; call (%n), count, (%n); st.global.u32 [%t], %n; ret; }";
    let gpu = gpu();
    let run = |stack: u64, depth: u64| {
        let context = context(&gpu);
        let function = kernel(&load(&context, DEEP), "deep");
        let out = context.alloc(4, 256).expect("allocation");
        context.set_stack_bytes(stack);
        let stream = TestStream::plain(&context);
        stream.submit(launch(&function, 1, 1, &[out, depth]));
        stream.synchronize()?;
        Ok::<_, tessera_device::Fault>(read_words(&context, out, 1)[0])
    };
    assert_eq!(run(1024, 10).expect("fits"), 55);
    let fault = run(1024, 1000).expect_err("too deep");
    assert_eq!(fault.kind, FaultKind::StackOverflow);
    assert!(fault.place.contains("count"), "{fault:?}");
    assert_eq!(run(64 << 10, 1000).expect("fits"), 500_500);
}

/// Blocks of a cluster read each other's shared memory, whichever executors they are on; clusters that do not fit are refused.
#[test]
fn clusters_of_a_launch() {
    const RING: &str = ".version 8.0\n.target sm_90\n.address_size 64
        .shared .align 4 .b32 box;
        .visible .entry ring(.param .u64 out) { .reg .b32 %r<9>; .reg .b64 %t; .reg .pred %p;
          ld.param.u64 %t, [out]; mov.u32 %r0, %ctaid.x; mov.u32 %r1, %cluster_ctarank; mov.u32 %r2, %cluster_nctarank;
          mov.u32 %r3, box; mov.u32 %r6, 0; st.shared.u32 [%r3], %r0;
          AGAIN: barrier.cluster.arrive; barrier.cluster.wait;
          add.u32 %r4, %r1, 1; rem.u32 %r4, %r4, %r2; mapa.shared::cluster.u32 %r5, %r3, %r4; ld.shared::cluster.u32 %r5, [%r5];
          barrier.cluster.arrive; barrier.cluster.wait;
          st.shared.u32 [%r3], %r5; add.u32 %r6, %r6, 1; setp.lt.u32 %p, %r6, 100; @%p bra AGAIN;
          mad.wide.u32 %t, %r0, 4, %t; st.global.u32 [%t], %r5; barrier.cluster.arrive; barrier.cluster.wait; ret; }";
    let gpu = gpu();
    let context = context(&gpu);
    let function = kernel(&load(&context, RING), "ring");
    let out = context.alloc(4096, 256).expect("allocation");
    for size in [1_u32, 2, 3, 8] {
        let stream = TestStream::plain(&context);
        let mut operation = launch(&function, 96, 40, &[out]);
        if let Operation::Launch(launch) = &mut operation {
            launch.cluster = [size, 1, 1];
        }
        stream.submit(operation);
        stream.synchronize().expect("kernel");
        let wanted: Vec<u32> = (0..96)
            .map(|i| i / size * size + (i % size + 100) % size)
            .collect();
        assert_eq!(read_words(&context, out, 96), wanted, "clusters of {size}");
    }
    let refused =
        |function: &Arc<dyn tessera_device::Function>, context: &Arc<dyn Context>, cluster: [u32; 3]| {
            let stream = TestStream::plain(context);
            let mut operation = launch(function, 96, 40, &[out]);
            if let Operation::Launch(launch) = &mut operation {
                launch.cluster = cluster;
            }
            stream.stream.submit(1, operation).expect_err("refused")
        };
    for cluster in [[5, 1, 1], [1, 2, 1], [32, 1, 1]] {
        let error = refused(&function, &context, cluster);
        assert!(matches!(error, DeviceError::InvalidValue(_)), "{error}");
    }
}

/// Local memory and registers start with what some earlier kernel of the same context left, never with what another context did.
#[test]
fn nothing_is_left_for_another_context() {
    const SECRET: &str = ".version 8.0\n.target sm_80\n.address_size 64
        .visible .entry leave() { .local .align 8 .b8 own[4096]; .reg .b64 %a; .reg .b32 %k; .reg .pred %p;
          mov.u64 %a, own; mov.u32 %k, 0;
          AGAIN: st.local.u64 [%a], 0x5ec7e75ec7e75ec7; add.u64 %a, %a, 8; add.u32 %k, %k, 1; setp.lt.u32 %p, %k, 512; @%p bra AGAIN; ret; }
        .visible .entry look(.param .u64 out) { .local .align 8 .b8 own[4096]; .reg .b64 %a, %t, %v, %s; .reg .b32 %k; .reg .pred %p;
          ld.param.u64 %t, [out]; mov.u64 %a, own; mov.u32 %k, 0; mov.u64 %s, 0;
          AGAIN: ld.local.u64 %v, [%a]; or.b64 %s, %s, %v; add.u64 %a, %a, 8; add.u32 %k, %k, 1; setp.lt.u32 %p, %k, 512; @%p bra AGAIN;
          st.global.u64 [%t], %s; ret; }";
    let gpu = gpu_with(1 << 30, 1);
    let look = |context: &Arc<dyn Context>, with_secret: bool| {
        let module = load(context, SECRET);
        let out = context.alloc(8, 256).expect("allocation");
        let stream = TestStream::plain(context);
        if with_secret {
            stream.submit(launch(&kernel(&module, "leave"), 1, 256, &[]));
        }
        stream.submit(launch(&kernel(&module, "look"), 1, 1, &[out]));
        stream.synchronize().expect("kernels");
        read_words(context, out, 2)
    };
    let (first, second) = (context(&gpu), context(&gpu));
    look(&first, true);
    assert_eq!(look(&second, false), [0, 0]);
}
