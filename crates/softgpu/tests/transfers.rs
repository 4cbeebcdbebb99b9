//! Memory, copies, fills, streams and events: everything that needs no kernel.

mod common;

use common::*;
use std::sync::Arc;
use tessera_device::{Device, DeviceError, FaultKind, Fill, Operation, Span2d, StreamOptions};
use tessera_softgpu::SoftGpu;

fn pattern(bytes: usize, seed: u8) -> Vec<u8> {
    (0..bytes)
        .map(|i| (i % 251) as u8 ^ (i >> 12) as u8 ^ seed)
        .collect()
}

fn settle(gpu: &SoftGpu) {
    gpu.check_ledger().expect("ledger");
}

#[test]
fn bytes_go_in_and_come_back() {
    let gpu = gpu();
    let context = context(&gpu);
    for bytes in [1_usize, 4096, 65_537, 5 << 20] {
        let data = pattern(bytes, 3);
        let a = context.alloc(bytes as u64, 256).expect("allocation");
        let b = context.alloc(bytes as u64, 256).expect("allocation");
        let stream = TestStream::plain(&context);
        let target = host(bytes);
        stream.submit(copy_in(a, &host_with(&data)));
        stream.submit(copy(b, a, bytes as u64));
        stream.submit(copy_out(&target, b));
        stream.synchronize().expect("copies");
        assert!(bytes_of(&target) == data, "{bytes} bytes");
        context.free(a).expect("free");
        stream.submit(Operation::Free { base: b });
        stream.synchronize().expect("free");
        assert_eq!(context.range_of(b), None);
    }
    assert_eq!(gpu.memory().used, 0);
    assert!(gpu.counters().copied_bytes >= 15 << 20);
    assert_eq!(gpu.counters().copied_bytes, context.counters().copied_bytes);
    settle(&gpu);
}

#[test]
fn clearing_what_was_never_touched_costs_nothing_and_clears_what_was() {
    // More than the machine that runs the tests has.
    let gpu = gpu_with(256 << 30, 2);
    let context = context(&gpu);
    let bytes = 200 << 30;
    let base = context.alloc(bytes, 256).expect("allocation");
    let stream = TestStream::plain(&context);
    let touched = base + (77 << 30) + 12_345;
    stream.submit(fill(touched, 0xff, 1, 100));
    stream.submit(fill(base, 0, 4, bytes / 4));
    stream.synchronize().expect("fills");
    assert!(read(&context, touched - 1, 102).iter().all(|&byte| byte == 0));
    context.free(base).expect("free");
    settle(&gpu);
}

#[test]
fn rows_keep_to_their_pitches() {
    let gpu = gpu();
    let context = context(&gpu);
    let base = context.alloc(64 * 100, 256).expect("allocation");
    let stream = TestStream::plain(&context);
    stream.submit(fill(base, 0xee, 1, 6400));
    let data = pattern(10 * 32, 0);
    stream.submit(Operation::CopyIn {
        destination: base + 64 + 5,
        destination_pitch: 64,
        source: host_with(&data),
        source_pitch: 32,
        span: Span2d {
            width: 20,
            height: 10,
        },
    });
    stream.submit(Operation::Fill(Fill {
        destination: base + 64 * 20,
        pattern: 0x1234,
        element_bytes: 2,
        width: 3,
        height: 4,
        pitch: 128,
    }));
    stream.synchronize().expect("work");
    let mut expected = vec![0xee_u8; 6400];
    for row in 0..10 {
        expected[64 + 5 + row * 64..][..20].copy_from_slice(&data[row * 32..][..20]);
    }
    for row in 0..4 {
        expected[64 * 20 + row * 128..][..6].copy_from_slice(&[0x34, 0x12, 0x34, 0x12, 0x34, 0x12]);
    }
    assert!(read(&context, base, 6400) == expected);
}

#[test]
fn what_is_wrong_with_an_operation_is_said_at_once() {
    let gpu = gpu();
    let (context, other) = (context(&gpu), context(&gpu));
    let base = context.alloc(4096, 256).expect("allocation");
    let stream = TestStream::plain(&context).stream;
    let span = Span2d { width: 8, height: 3 };
    let bad = [
        Operation::CopyIn {
            destination: base,
            destination_pitch: 8,
            source: host(20),
            source_pitch: 8,
            span,
        },
        Operation::CopyIn {
            destination: base,
            destination_pitch: 4,
            source: host(24),
            source_pitch: 8,
            span,
        },
        Operation::CopyIn {
            destination: base,
            destination_pitch: u64::MAX,
            source: host(24),
            source_pitch: 8,
            span,
        },
        copy(base, u64::MAX - 4, 8),
        fill(base, 0, 3, 1),
        fill(base + 1, 0, 4, 1),
        fill(base, 0, 4, u64::MAX / 2),
    ];
    for (index, operation) in bad.into_iter().enumerate() {
        let got = stream.submit(1, operation);
        assert!(
            matches!(got, Err(DeviceError::InvalidValue(_))),
            "{index}: {got:?}"
        );
    }
    let got = stream.submit(1, Operation::Free { base: base + 8 });
    assert!(matches!(got, Err(DeviceError::NotFound(_))));
    stream
        .submit(1, Operation::Marker)
        .expect("nothing was queued before");
    let again = stream.submit(1, Operation::Marker);
    assert!(matches!(again, Err(DeviceError::InvalidValue(_))), "numbers rise");
    for align in [0, 3, 1 << 63] {
        assert!(context.alloc(1, align).is_err(), "alignment {align}");
    }
    assert!(matches!(context.alloc(0, 256), Err(DeviceError::InvalidValue(_))));
    assert!(matches!(
        context.alloc(u64::MAX, 256),
        Err(DeviceError::InvalidValue(_))
    ));
    assert!(matches!(context.free(base + 256), Err(DeviceError::NotFound(_))));
    assert!(
        matches!(other.free(base), Err(DeviceError::NotFound(_))),
        "another context's"
    );
    assert_eq!(context.fault().map(|fault| fault.kind), None);
    settle(&gpu);
}

#[test]
fn ranges_are_exact_and_allocations_apart() {
    let gpu = gpu();
    let context = context(&gpu);
    let small = context.alloc(100, 256).expect("allocation");
    let large = context.alloc(3 * MIB + 1, 1 << 22).expect("allocation");
    assert_eq!(small % 256, 0);
    assert_eq!(large % (1 << 22), 0);
    assert_eq!(context.range_of(small + 99), Some((small, 100)));
    assert_eq!(context.range_of(small + 100), None);
    assert_eq!(context.range_of(large + 3 * MIB), Some((large, 3 * MIB + 1)));
    assert_eq!(context.memory_used(), 4096 + 3 * MIB + 4096);
    assert_eq!(gpu.memory().used, context.memory_used());
    settle(&gpu);
}

#[test]
fn the_limit_is_hard_and_a_neighbour_keeps_its_memory() {
    let gpu = gpu_with(64 * MIB, 1);
    let (a, b) = (context(&gpu), context(&gpu));
    let of_b = b.alloc(16 * MIB, 256).expect("fits");
    let stream = TestStream::plain(&b);
    stream.submit(fill(of_b, 0x5a, 1, 16 * MIB));
    stream.synchronize().expect("fill");
    let mut of_a = Vec::new();
    let error = loop {
        match a.alloc(MIB, 256) {
            Ok(base) => of_a.push(base),
            Err(error) => break error,
        }
    };
    assert_eq!(of_a.len(), 48);
    match error {
        DeviceError::OutOfMemory {
            requested,
            free,
            total,
        } => assert_eq!((requested, free, total), (MIB, 0, 64 * MIB)),
        other => panic!("{other}"),
    }
    assert!(read(&b, of_b, 16 << 20).iter().all(|&byte| byte == 0x5a));
    settle(&gpu);
    drop(a);
    assert_eq!(gpu.memory().used, 16 * MIB);
    a_fresh_allocation_of_everything_reads_zero(&gpu, 48 * MIB);
}

fn a_fresh_allocation_of_everything_reads_zero(gpu: &SoftGpu, bytes: u64) {
    let context = context(gpu);
    let base = context.alloc(bytes, 256).expect("all that is free");
    let all = read(&context, base, usize::try_from(bytes).expect("small"));
    assert!(all.iter().all(|&byte| byte == 0));
    settle(gpu);
}

#[test]
fn memory_is_zero_for_its_next_owner() {
    let gpu = gpu_with(16 * MIB, 1);
    for round in 1..5_u32 {
        let context = context(&gpu);
        // Pieces of many sizes, so that pages change their neighbours.
        let bases: Vec<_> = (0..8)
            .map(|i| {
                (
                    context
                        .alloc(MIB * 2 - i * 4096 * u64::from(round), 256)
                        .expect("fits"),
                    i,
                )
            })
            .collect();
        let stream = TestStream::plain(&context);
        for &(base, i) in &bases {
            let bytes = MIB * 2 - i * 4096 * u64::from(round);
            assert!(
                read(&context, base, usize::try_from(bytes).expect("small"))
                    .iter()
                    .all(|&byte| byte == 0)
            );
            stream.submit(fill(base, 0xdead_beef, 4, bytes / 4));
        }
        stream.synchronize().expect("fills");
        if round % 2 == 0 {
            for (base, _) in bases {
                context.free(base).expect("free");
            }
        }
        settle(&gpu);
    }
    assert_eq!(gpu.memory().used, 0);
}

#[test]
fn a_wild_copy_poisons_its_own_context_only() {
    let gpu = gpu();
    let (bad, good) = (context(&gpu), context(&gpu));
    let base = bad.alloc(8192, 256).expect("allocation");
    let of_good = good.alloc(8192, 256).expect("allocation");
    let (first, second) = (TestStream::plain(&bad), TestStream::plain(&bad));
    // Runs past the end of the allocation: nothing of it is written.
    first.submit(fill(base, 1, 1, 8193));
    let fault = first.synchronize().expect_err("illegal address");
    assert_eq!(fault.kind, FaultKind::IllegalAddress);
    assert_eq!(
        bad.fault().map(|fault| fault.kind),
        Some(FaultKind::IllegalAddress)
    );
    // Sticky: also for other streams, and for what is queued later.
    second.submit(copy_out(&host(16), base));
    assert_eq!(second.synchronize().expect_err("sticky").detail, fault.detail);

    assert!(good.fault().is_none());
    let stream = TestStream::plain(&good);
    stream.submit(fill(of_good, 7, 1, 8192));
    stream.synchronize().expect("the neighbour goes on");
    assert!(read(&good, of_good, 8192).iter().all(|&byte| byte == 7));
    // Memory of the poisoned context can still be given back.
    bad.free(base).expect("free");
    assert_eq!(bad.memory_used(), 0);
    settle(&gpu);
}

#[test]
fn pinned_memory_is_used_by_its_device_address() {
    let gpu = gpu();
    let context = context(&gpu);
    let pinned = host_with(&pattern(8192, 9));
    let address = 0x2080_0000_0000;
    context.map_host(address, pinned.clone(), false).expect("map");
    assert!(
        context.map_host(address + 4096, pinned.clone(), false).is_err(),
        "occupied"
    );
    assert_eq!(context.range_of(address + 8191), Some((address, 8192)));
    let base = context.alloc(8192, 256).expect("allocation");
    let stream = TestStream::plain(&context);
    stream.submit(copy(base, address, 8192));
    stream.submit(fill(address, 0x11, 1, 4096));
    stream.synchronize().expect("work");
    assert!(read(&context, base, 8192) == pattern(8192, 9));
    assert!(bytes_of(&pinned)[..4096].iter().all(|&byte| byte == 0x11));
    assert_eq!(context.memory_used(), 8192, "host memory is not frame buffer");

    let read_only = host(4096);
    context
        .map_host(address + 65536, read_only.clone(), true)
        .expect("map");
    assert!(context.free(address).is_err(), "a mapping is no allocation");
    context.unmap_host(address).expect("unmap");
    assert!(context.unmap_host(address).is_err());
    stream.submit(fill(address + 65536, 1, 1, 16));
    let fault = stream.synchronize().expect_err("read-only");
    assert_eq!(fault.kind, FaultKind::IllegalAddress);
    assert!(bytes_of(&read_only).iter().all(|&byte| byte == 0));
    // Addresses at which kernels see shared and local memory are not to be had.
    let window = tessera_engine::SHARED_WINDOW;
    assert!(context.map_host(window, host(4096), false).is_err());
    settle(&gpu);
}

#[test]
fn a_stream_waits_for_an_event_of_another() {
    let gpu = gpu();
    let context = context(&gpu);
    let bytes = 32 * MIB;
    let (a, b) = (
        context.alloc(bytes, 256).expect("allocation"),
        context.alloc(bytes, 256).expect("allocation"),
    );
    let log = Arc::default();
    let first = TestStream::new(&context, "first", &log, StreamOptions::default());
    let second = TestStream::new(&context, "second", &log, StreamOptions::default());
    let (event, records) = event(&context);
    // For an event that was never recorded, the wait passes at once.
    let passed = second.submit(Operation::WaitEvent {
        event: Arc::clone(&event),
    });
    second.wait(passed).expect("passes");
    for round in 1..4_u32 {
        first.submit(fill(a, round, 4, bytes / 4));
        let record = first.submit(Operation::RecordEvent {
            event: Arc::clone(&event),
            generation: u64::from(round),
        });
        let wait = second.submit(Operation::WaitEvent {
            event: Arc::clone(&event),
        });
        second.submit(copy(b, a, bytes));
        second.synchronize().expect("work");
        assert!(log.at("first", record) < log.at("second", wait));
        let got = read(&context, b, usize::try_from(bytes).expect("small"));
        assert!(words(&got).iter().all(|&word| word == round));
    }
    let times = [1, 2, 3].map(|generation| records.wait(generation));
    assert!(times[0] < times[1] && times[1] < times[2], "{times:?}");
}

#[test]
fn the_legacy_stream_waits_for_blocking_streams_and_they_for_it() {
    let gpu = gpu();
    let context = context(&gpu);
    let bytes = 16 * MIB;
    let base = context.alloc(bytes, 256).expect("allocation");
    let aside = context.alloc(bytes, 256).expect("allocation");
    let log = Arc::default();
    let options = |legacy, non_blocking| StreamOptions {
        legacy,
        non_blocking,
        priority: 0,
    };
    let legacy = TestStream::new(&context, "legacy", &log, options(true, false));
    let one = TestStream::new(&context, "one", &log, options(false, false));
    let two = TestStream::new(&context, "two", &log, options(false, false));
    let free = TestStream::new(&context, "free", &log, options(false, true));
    for _ in 0..10 {
        let a = one.submit(fill(base, 1, 4, bytes / 4));
        let c = free.submit(fill(aside, 9, 4, 1));
        let l = legacy.submit(fill(base, 2, 4, bytes / 4));
        let b = two.submit(fill(base, 3, 4, 1));
        two.synchronize().expect("work");
        free.wait(c).expect("work");
        assert!(log.at("one", a) < log.at("legacy", l));
        assert!(log.at("legacy", l) < log.at("two", b));
        let got = read_words(&context, base, 4);
        assert_eq!(got, [3, 2, 2, 2]);
    }
    assert!(
        context
            .create_stream(options(true, true), Arc::new(NoSink))
            .is_err()
    );
}

struct NoSink;

impl tessera_device::StreamSink for NoSink {
    fn completed(&self, _: u64, _: Result<(), tessera_device::Fault>) {}
}

#[test]
fn many_operations_of_many_streams_complete_in_order() {
    let gpu = gpu();
    let context = context(&gpu);
    let base = context.alloc(64 * 4096, 256).expect("allocation");
    // The sink asserts the order of each stream.
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let context = &context;
            scope.spawn(move || {
                let stream = TestStream::plain(context);
                let (event, records) = event(context);
                for round in 1..=500_u32 {
                    let at = base + thread * 65536;
                    stream.submit(fill(at, round, 4, 1024));
                    stream.submit(copy(at + 8192, at, 4096));
                    stream.submit(Operation::RecordEvent {
                        event: Arc::clone(&event),
                        generation: u64::from(round),
                    });
                }
                stream.synchronize().expect("work");
                records.wait(500);
                assert_eq!(read_words(context, base + thread * 65536 + 8192, 1), [500]);
            });
        }
    });
    settle(&gpu);
}

#[test]
fn a_dropped_stream_finishes_its_work_and_a_dropped_context_gives_everything_back() {
    let gpu = gpu();
    let context = context(&gpu);
    let bytes = 64 * MIB;
    let base = context.alloc(bytes, 256).expect("allocation");
    let stream = TestStream::plain(&context);
    stream.submit(fill(base, 5, 1, bytes));
    let (event, records) = event(&context);
    stream.submit(Operation::RecordEvent { event, generation: 1 });
    drop(stream);
    records.wait(1);
    assert_eq!(read(&context, base + bytes - 1, 1), [5]);

    // Work in flight of a context that goes.
    let stream = TestStream::plain(&context);
    for _ in 0..20 {
        stream.submit(fill(base, 6, 1, bytes));
    }
    drop(context);
    assert_eq!(gpu.memory().used, 0);
    let fault = stream.synchronize().expect_err("its context is gone");
    assert_eq!(fault.kind, FaultKind::LaunchFailed);
    a_fresh_allocation_of_everything_reads_zero(&gpu, gpu.memory().total / 4);
}

#[test]
fn a_device_can_go_before_its_contexts() {
    let gpu = gpu();
    let context = context(&gpu);
    drop(gpu);
    let base = context.alloc(1 << 20, 256).expect("allocation");
    let stream = TestStream::plain(&context);
    stream.submit(fill(base, 5, 1, 1 << 20));
    stream.synchronize().expect("executors still run");
    drop(context);
    // The executors are gone; completing what is over at once needs none.
    assert!(stream.synchronize().is_err());
}

#[test]
fn arenas_are_checked() {
    let gpu = gpu();
    for arena in [
        (0, 1 << 30),
        (0x2000_0000_1000, 1 << 30),
        (0x2000_0000_0000, 0),
        (1 << 46, 1 << 47),
        (tessera_engine::SHARED_WINDOW, 1 << 30),
    ] {
        let made = gpu.create_context(tessera_device::ContextOptions {
            arena,
            printer: Arc::new(Printed::default()),
            stack_bytes: 1024,
            heap_bytes: 0,
            bar1: None,
        });
        assert!(
            matches!(made.err(), Some(DeviceError::InvalidValue(_))),
            "{arena:x?}"
        );
    }
}
