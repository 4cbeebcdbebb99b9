//! Sessions against the real software GPU, worker and guest in one process: the same code as between two, less the sandbox.

mod common;

use common::{Guest, SCALE, Worker, function, load, post_scale, scale};
use tessera_channel::{CallError, Carrier, ChannelError, Client, UnixCarrier};
use tessera_wire::messages::{
    ContextFault, ContextSetLimit, CopyIn, CopyOut, CopyWithin, EventCreate, EventRecord, Fill, FunctionGet,
    FunctionList, GlobalGet, HostAlloc, HostFree, Launch, Marker, MemAlloc, MemFree, MemInfo, ModuleUnload,
    Ping, PrintfDrain, QueryFaults, QueryUse, QueryVgpu, StreamCreate, StreamDestroy, StreamWaitEvent,
};
use tessera_wire::{NameList, PLACE_PINNED, PLACE_STAGING, PLACE_TAIL, ProcessList, UseList};

fn pattern(bytes: usize, seed: u8) -> Vec<u8> {
    (0..bytes)
        .map(|index| u8::try_from((index * 31 + usize::from(seed)) % 251).unwrap())
        .collect()
}

fn code<T: std::fmt::Debug>(result: Result<T, CallError>) -> u32 {
    match result {
        Err(CallError::Refused { code, .. }) => code,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn bytes_go_in_and_come_back() {
    let worker = Worker::start(64 << 20);
    let guest = Guest::new(&worker);
    let address = guest.alloc(1 << 20);
    // Through staging.
    let bytes = pattern(1 << 20, 3);
    guest.write(address, &bytes);
    assert_eq!(guest.read(address, 1 << 20), bytes);
    // With the message, two rows out of it.
    let inline = pattern(96, 9);
    let last = guest
        .client
        .post_with(&inline, |seq| CopyIn {
            stream: guest.stream,
            seq,
            destination: address + 4096,
            destination_pitch: 256,
            source: 32,
            source_pitch: 32,
            width: 16,
            height: 2,
            place: PLACE_TAIL,
            ..CopyIn::default()
        })
        .unwrap();
    assert_eq!(guest.wait(last).error_seq, 0);
    assert_eq!(guest.read(address + 4096, 16), inline[32..48]);
    assert_eq!(guest.read(address + 4096 + 256, 16), inline[64..80]);
    // Filled, 2 bytes at a time.
    let last = guest
        .client
        .post_with(&[], |seq| Fill {
            stream: guest.stream,
            seq,
            destination: address,
            pitch: 0,
            width: 100,
            height: 1,
            pattern: 0xabcd,
            element_bytes: 2,
        })
        .unwrap();
    guest.wait(last);
    assert_eq!(guest.read(address, 4), [0xcd, 0xab, 0xcd, 0xab]);
    assert_eq!(guest.read(address + 200, 2), bytes[200..202]);
}

fn copy_page(guest: &Guest, destination: u64, source: u64) -> u64 {
    let copy = |seq| CopyWithin {
        stream: guest.stream,
        seq,
        destination,
        source,
        width: 4096,
        height: 1,
        ..CopyWithin::default()
    };
    guest.client.post_with(&[], copy).unwrap()
}

#[test]
fn pinned_memory_is_one_memory_for_both() {
    let worker = Worker::start(64 << 20);
    let guest = Guest::new(&worker);
    let request = HostAlloc {
        context: guest.context,
        bytes: 10_000,
        ..HostAlloc::default()
    };
    let pinned = guest.client.call(&request, &[]).unwrap().value;
    assert_eq!(pinned.bytes, 12_288);
    let address = guest.alloc(8192);
    guest.write(address, &pattern(8192, 1));
    let copy_out = |seq| CopyOut {
        stream: guest.stream,
        seq,
        destination: pinned.address + 100,
        source: address,
        width: 8192,
        height: 1,
        place: PLACE_PINNED,
        ..CopyOut::default()
    };
    let last = guest.client.post_with(&[], copy_out).unwrap();
    assert_eq!(guest.wait(last).error_seq, 0);
    // Back by the device address of the same memory.
    let last = copy_page(&guest, address + 4096, pinned.address + 100);
    assert_eq!(guest.wait(last).error_seq, 0);
    assert_eq!(guest.read(address + 4096, 4096), pattern(8192, 1)[..4096]);
    // One byte too far.
    let beyond = |seq| CopyOut {
        destination: pinned.address + pinned.bytes - 8191,
        ..copy_out(seq)
    };
    let last = guest.client.post_with(&[], beyond).unwrap();
    let progress = guest.wait(last);
    assert_eq!((progress.error_seq, progress.error, progress.fault), (last, 1, 0));
    guest
        .client
        .post(
            &HostFree {
                address: pinned.address,
            },
            &[],
        )
        .unwrap();
    // Given out again, and clean.
    let again = guest.client.call(&request, &[]).unwrap().value;
    assert_eq!(again, pinned);
    let last = copy_page(&guest, address, again.address);
    guest.wait(last);
    assert_eq!(guest.read(address, 4096), [0; 4096]);
}

#[test]
fn the_frame_buffer_is_the_limit_and_neighbours_keep_theirs() {
    let worker = Worker::start(64 << 20);
    let first = Guest::new(&worker);
    let second = Guest::new(&worker);
    let kept = second.alloc(1 << 20);
    second.write(kept, &pattern(4096, 7));
    let mut held = Vec::new();
    let refused = loop {
        match first.try_alloc(8 << 20) {
            Ok(address) => held.push(address),
            Err(error) => break error,
        }
        assert!(held.len() <= 8, "more was given out than there is");
    };
    assert_eq!(code::<()>(Err(refused)), 2);
    assert!(held.len() >= 5, "{held:?}");
    assert_eq!(second.read(kept, 4096), pattern(4096, 7));
    let free = |guest: &Guest| guest.client.call(&MemInfo {}, &[]).unwrap().value.free;
    let before = free(&second);
    for address in held {
        first
            .client
            .post(
                &MemFree {
                    context: first.context,
                    address,
                },
                &[],
            )
            .unwrap();
    }
    first.client.call(&Ping { value: 0 }, &[]).unwrap();
    assert!(free(&second) >= before + (40 << 20));
    first.alloc(40 << 20);
}

#[test]
fn a_guest_that_goes_frees_what_it_held() {
    let worker = Worker::start(64 << 20);
    let empty = worker.status().frame_buffer_used;
    let guest = Guest::new(&worker);
    guest.alloc(32 << 20);
    let status = worker.status();
    assert_eq!(status.sessions.len(), 1);
    assert_eq!(status.sessions[0].name, "test");
    assert_eq!(status.sessions[0].pid, std::process::id());
    assert!(status.sessions[0].frame_buffer_used >= 32 << 20);
    // As the end of the process does: the socket closes, nothing is destroyed in order.
    drop(guest);
    worker.until(|status| status.sessions.is_empty() && status.frame_buffer_used == empty);
}

#[test]
fn what_was_freed_while_work_ran_is_no_leak() {
    const COUNT: u32 = 1 << 20;
    let worker = Worker::checking(64 << 20, Some("leak"));
    let guest = Guest::new(&worker);
    load(&guest, 5, SCALE).unwrap();
    function(&guest, 5, 6, "scale");
    let (used, kept) = (guest.alloc(u64::from(COUNT) * 4), guest.alloc(4096));
    // The worker frees when the kernel is done; nothing is asked of it after that.
    let last = post_scale(&guest, 6, used, 3, COUNT);
    let free = MemFree {
        context: guest.context,
        address: used,
    };
    guest.client.post(&free, &[]).unwrap();
    assert_eq!(guest.wait(last).error_seq, 0);
    drop(guest);
    worker.until(|status| status.sessions.is_empty());
    // The other one is.
    let findings = worker.findings();
    assert_eq!(findings.lines().count(), 1, "{findings}");
    assert!(findings.contains(&format!("{kept:#x}")), "{findings}");
}

#[test]
fn events_order_streams_and_tell_the_time() {
    let worker = Worker::start(64 << 20);
    let guest = Guest::new(&worker);
    let records = guest.client.records().unwrap();
    let event = records.allocate().unwrap();
    guest
        .client
        .post(
            &EventCreate {
                context: guest.context,
                event: 50,
                token: event.token,
                completion: event.index,
                ..EventCreate::default()
            },
            &[],
        )
        .unwrap();
    let (other, other_record) = guest.stream(51);
    let record = |stream| {
        let record = |seq| EventRecord {
            stream,
            seq,
            event: 50,
        };
        guest.client.post_with(&[], record).unwrap()
    };
    let first = record(guest.stream);
    let wait = |seq| StreamWaitEvent {
        stream: other,
        seq,
        event: 50,
    };
    let waited = guest.client.post_with(&[], wait).unwrap();
    records.wait(other_record, waited).unwrap();
    let before = records.wait(event, first).unwrap();
    assert!(before.value >= first && before.time > 0);
    let second = record(other);
    let after = records.wait(event, second).unwrap();
    assert!(after.value == second && after.time >= before.time);
    guest.client.post(&StreamDestroy { stream: other }, &[]).unwrap();
    records.release(other_record);
    // Unknown event: the stream's record says so, the stream goes on.
    let wrong = guest
        .client
        .post_with(&[], |seq| EventRecord {
            stream: guest.stream,
            seq,
            event: 4711,
        })
        .unwrap();
    let progress = guest.wait(wrong);
    assert_eq!((progress.error_seq, progress.error), (wrong, 400));
}

#[test]
fn nvml_sees_processes_and_use() {
    let worker = Worker::start(64 << 20);
    let guest = Guest::new(&worker);
    guest.alloc(8 << 20);
    let nvml = worker.client(tessera_wire::kind::NVML).unwrap();
    assert_eq!(nvml.vgpu().vgpu_type, "H100-20C");
    let reply = nvml.call(&QueryVgpu {}, &[]).unwrap();
    assert_eq!(reply.value.memory_total, 64 << 20);
    assert!(reply.value.memory_used >= 8 << 20);
    assert!(reply.value.gpu_utilisation <= 100);
    let processes = ProcessList::decode(&reply.tail).unwrap().0;
    assert_eq!(processes.len(), 1);
    assert_eq!(processes[0].pid, std::process::id());
    assert!(processes[0].bytes >= 8 << 20);
    let reply = nvml.call(&QueryUse {}, &[]).unwrap();
    assert!(reply.value.time_us > 0 && reply.value.gpu_utilisation <= 100);
    let used = UseList::decode(&reply.tail).unwrap().0;
    assert_eq!(used.len(), 1);
    assert_eq!(used[0].pid, std::process::id());
    assert!(used[0].kernels <= 100 && used[0].copies <= 100);
    let faults = nvml.call(&QueryFaults {}, &[]).unwrap().value;
    assert_eq!((faults.count, faults.xids), (0, 0));
    // It can only ask.
    let alloc = MemAlloc {
        context: guest.context,
        bytes: 1,
        align: 0,
    };
    assert_eq!(code(nvml.call(&alloc, &[])), 801);
}

#[test]
fn objects_of_one_session_mean_nothing_in_another() {
    let worker = Worker::start(64 << 20);
    let first = Guest::new(&worker);
    let second = worker.client(tessera_wire::kind::CUDA).unwrap();
    let alloc = MemAlloc {
        context: first.context,
        bytes: 4096,
        align: 0,
    };
    assert_eq!(code(second.call(&alloc, &[])), 201);
    let address = first.alloc(4096);
    first.write(address, &pattern(4096, 2));
    let own = Guest::new(&worker);
    // The same address, if anything is there, is its own memory: zeros.
    let theirs = own.alloc(4096);
    assert_eq!(
        theirs, address,
        "each context has the first slice of its own arena"
    );
    assert_eq!(own.read(theirs, 4096), [0; 4096]);
    assert_eq!(first.read(address, 4096), pattern(4096, 2));
}

#[test]
fn copies_to_nowhere_are_refused_or_faults_but_never_more() {
    let worker = Worker::start(64 << 20);
    let guest = Guest::new(&worker);
    let staging = guest.client.staging().unwrap().capacity();
    let copies = [
        // Past the end of the staging heap, by place and by length.
        (staging, 1, 1, 1),
        (staging - 10, 11, 1, 0),
        (u64::MAX, u64::MAX, 1, 0),
        (0, 16, u64::MAX, 16),
        // Rows that overlap.
        (0, 16, 2, 8),
    ];
    for (source, width, height, source_pitch) in copies {
        let wrong = guest
            .client
            .post_with(&[], |seq| CopyIn {
                stream: guest.stream,
                seq,
                destination: 0x1000,
                destination_pitch: source_pitch,
                source,
                source_pitch,
                width,
                height,
                place: PLACE_STAGING,
                ..CopyIn::default()
            })
            .unwrap();
        let progress = guest.wait(wrong);
        assert_eq!(
            (progress.error_seq, progress.error),
            (wrong, 1),
            "{source:#x} {width} {height}"
        );
    }
    let address = guest.alloc(4096);
    guest.write(address, &[5; 16]);
    assert_eq!(guest.read(address, 16), [5; 16]);
}

#[test]
fn a_sequence_number_that_does_not_rise_ends_the_session_only() {
    let worker = Worker::start(64 << 20);
    let bystander = Guest::new(&worker);
    let guest = Guest::new(&worker);
    guest.client.call(&Ping { value: 1 }, &[]).unwrap();
    for _ in 0..2 {
        guest
            .client
            .post(
                &Marker {
                    stream: guest.stream,
                    seq: 1 << 40,
                },
                &[],
            )
            .unwrap();
    }
    let result = guest.client.call(&Ping { value: 1 }, &[]);
    assert!(
        matches!(result, Err(CallError::Channel(ChannelError::Ended(1)))),
        "{result:?}"
    );
    bystander.client.call(&Ping { value: 2 }, &[]).unwrap();
    worker.until(|status| status.sessions.len() == 1);
}

#[test]
fn connections_that_say_nonsense_or_nothing_leave_the_worker_well() {
    let worker = Worker::start(64 << 20);
    let silent = UnixCarrier::connect(&worker.socket()).unwrap();
    for noise in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0xff; 64],
        &[16, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0],
    ] {
        let carrier = UnixCarrier::connect(&worker.socket()).unwrap();
        carrier.send(noise, &[]).unwrap();
        // Refused or cut off; not left hanging.
        let _ = carrier.receive();
    }
    let half = UnixCarrier::connect(&worker.socket()).unwrap();
    half.send(&[48, 0, 0, 0, 1, 0], &[]).unwrap();
    half.close();
    Guest::new(&worker).alloc(4096);
    assert!(silent.is_open());
}

#[test]
fn shutdown_tells_the_guests() {
    let worker = Worker::start(64 << 20);
    let guest = Guest::new(&worker);
    let stuck = std::thread::scope(|scope| {
        let sleeper = scope.spawn(|| guest.records().wait(guest.completion, u64::MAX));
        worker.stop();
        sleeper.join().unwrap()
    });
    assert!(
        matches!(stuck, Err(ChannelError::Ended(4) | ChannelError::Disconnected)),
        "{stuck:?}"
    );
    let result: Result<Client, _> = worker.client(tessera_wire::kind::CUDA);
    assert!(result.is_err());
}

#[test]
fn kernels_run_and_faults_stay_with_their_context() {
    let worker = Worker::start(64 << 20);
    let guest = Guest::new(&worker);
    let neighbour = Guest::new(&worker);
    for guest in [&guest, &neighbour] {
        load(guest, 60, SCALE).unwrap();
        let get = FunctionGet {
            module: 60,
            function: 61,
        };
        let function = guest.client.call(&get, b"scale").unwrap();
        assert_eq!(function.value.parameter_bytes, 16);
        let parameters = tessera_wire::ParameterList::decode(&function.tail).unwrap().0;
        let sizes: Vec<_> = parameters
            .iter()
            .map(|parameter| (parameter.offset, parameter.size))
            .collect();
        assert_eq!(sizes, [(0, 8), (8, 4), (12, 4)]);
    }
    let get = FunctionGet {
        module: 60,
        function: 62,
    };
    assert_eq!(code(guest.client.call(&get, b"nothing")), 500);
    assert_eq!(
        code(load(
            &guest,
            63,
            ".version 7.8\n.target sm_80\n.address_size 64\nnonsense\n"
        )),
        218
    );
    assert_eq!(code(load(&guest, 63, "nonsense")), 200);

    let address = guest.alloc(4000);
    let numbers: Vec<u8> = (0..1000u32).flat_map(u32::to_le_bytes).collect();
    guest.write(address, &numbers);
    let progress = scale(&guest, 61, address, 3, 1000);
    assert_eq!((progress.error, progress.fault), (0, 0));
    let scaled: Vec<u8> = (0..1000u32)
        .flat_map(|number| (number * 3).to_le_bytes())
        .collect();
    assert_eq!(guest.read(address, 4000), scaled);

    // Into the wild: this context is poisoned for good, the neighbour does not notice.
    let kept = neighbour.alloc(4000);
    neighbour.write(kept, &numbers);
    let progress = scale(&guest, 61, 0x1000, 3, 1000);
    assert_eq!(progress.fault, 700);
    assert_eq!(guest.records().fault(guest.context_completion), 700);
    let fault = ContextFault {
        context: guest.context,
    };
    let fault = guest.client.call(&fault, &[]).unwrap();
    assert_eq!(fault.value.code, 700);
    let text = String::from_utf8(fault.tail).unwrap();
    assert!(text.contains("scale"), "{text}");
    assert_eq!(scale(&guest, 61, address, 3, 1000).fault, 700);
    assert_eq!(scale(&neighbour, 61, kept, 3, 1000).fault, 0);
    assert_eq!(neighbour.read(kept, 4000), scaled);
    let status = worker.status();
    assert!(status.kernels >= 2);
    assert!(status.sessions.iter().any(|session| session.last_fault.is_some()));
}

const MORE: &str = r"
.version 7.8
.target sm_80
.address_size 64
.visible .global .align 4 .u32 flag = 5;
.visible .const .align 8 .b8 table[24];
.visible .entry endless()
{
LOOP:
  bra LOOP;
}
.visible .entry other()
{
  ret;
}
";

#[test]
fn an_endless_kernel_keeps_nobody_and_ends_with_its_guest() {
    let worker = Worker::start(64 << 20);
    let guest = Guest::new(&worker);
    let neighbour = Guest::new(&worker);
    load(&guest, 60, MORE).unwrap();
    function(&guest, 60, 61, "endless");
    // More blocks than there are executors.
    for _ in 0..3 {
        guest
            .client
            .post_with(&[], |seq| Launch {
                stream: guest.stream,
                seq,
                function: 61,
                grid: [64, 1, 1],
                block: [64, 1, 1],
                ..Launch::default()
            })
            .unwrap();
    }
    guest.alloc(16 << 20);
    load(&neighbour, 60, SCALE).unwrap();
    function(&neighbour, 60, 61, "scale");
    let address = neighbour.alloc(4000);
    neighbour.write(address, &[1; 4000]);
    assert_eq!(scale(&neighbour, 61, address, 2, 1000).fault, 0);
    assert_eq!(neighbour.read(address, 4000), [2; 4000]);
    let used = worker.status().frame_buffer_used;
    drop(guest);
    worker.until(|status| status.sessions.len() == 1 && status.frame_buffer_used + (16 << 20) <= used);
}

#[test]
fn modules_tell_what_is_in_them() {
    let worker = Worker::start(64 << 20);
    let guest = Guest::new(&worker);
    load(&guest, 60, MORE).unwrap();
    let list = guest
        .client
        .call(
            &FunctionList {
                module: 60,
                ..FunctionList::default()
            },
            &[],
        )
        .unwrap();
    assert_eq!(list.value.total, 2);
    let mut names = NameList::decode(&list.tail).unwrap().0;
    names.sort();
    assert_eq!(names, ["endless", "other"]);
    let flag = guest
        .client
        .call(&GlobalGet { module: 60 }, b"flag")
        .unwrap()
        .value;
    assert_eq!(flag.bytes, 4);
    assert_eq!(guest.read(flag.address, 4), [5, 0, 0, 0]);
    let table = guest
        .client
        .call(&GlobalGet { module: 60 }, b"table")
        .unwrap()
        .value;
    assert_eq!(table.bytes, 24);
    assert_eq!(
        code(guest.client.call(&GlobalGet { module: 60 }, b"nothing")),
        500
    );
    // A taken handle, and one of another kind.
    assert_eq!(code(load(&guest, 60, MORE)), 1);
    assert_eq!(
        code(guest.client.call(
            &FunctionList {
                module: 2,
                ..FunctionList::default()
            },
            &[]
        )),
        400
    );
    guest.client.post(&ModuleUnload { module: 60 }, &[]).unwrap();
    assert_eq!(code(guest.client.call(&GlobalGet { module: 60 }, b"flag")), 400);
    load(&guest, 60, MORE).unwrap();
}

#[test]
fn a_stream_that_cannot_be_made_says_so_to_whoever_waits() {
    let worker = Worker::start(64 << 20);
    let guest = Guest::new(&worker);
    let completion = guest.records().allocate().unwrap();
    let create = StreamCreate {
        context: 4711,
        stream: 80,
        token: completion.token,
        completion: completion.index,
        ..StreamCreate::default()
    };
    guest.client.post(&create, &[]).unwrap();
    let last = guest
        .client
        .post_with(&[], |seq| Marker { stream: 80, seq })
        .unwrap();
    assert_eq!(guest.records().wait(completion, last).unwrap().fault, 201);
    guest.client.post(&StreamDestroy { stream: 80 }, &[]).unwrap();
    guest.records().release(completion);
    // The record and the handle serve again.
    let completion = loop {
        let completion = guest.records().allocate().unwrap();
        if completion.index == create.completion {
            break completion;
        }
    };
    let create = StreamCreate {
        context: guest.context,
        token: completion.token,
        ..create
    };
    guest.client.post(&create, &[]).unwrap();
    let last = guest
        .client
        .post_with(&[], |seq| Marker { stream: 80, seq })
        .unwrap();
    let progress = guest.records().wait(completion, last).unwrap();
    assert_eq!((progress.fault, progress.value), (0, last));
}

#[test]
fn limits_of_a_context_are_kept() {
    let worker = Worker::start(64 << 20);
    let guest = Guest::new(&worker);
    let set = |limit, value| {
        let message = ContextSetLimit {
            context: guest.context,
            limit,
            value,
            ..ContextSetLimit::default()
        };
        guest.client.call(&message, &[])
    };
    assert_eq!(set(0, 4096).unwrap().value.value, 4096);
    assert_eq!(set(1, 2 << 20).unwrap().value.value, 2 << 20);
    assert_eq!(set(2, 16 << 20).unwrap().value.value, 16 << 20);
    assert_eq!(code(set(2, 1 << 40)), 2);
    assert_eq!(code(set(9, 1)), 215);
    let drained = guest
        .client
        .call(
            &PrintfDrain {
                context: guest.context,
            },
            &[],
        )
        .unwrap();
    assert!(drained.tail.is_empty() && drained.value.more == 0);
}
