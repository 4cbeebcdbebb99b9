//! Registered memory, managed variables and shared events, as guests ask for them.

mod common;

use common::{Guest, SCALE, Worker, function, load, scale};
use tessera_channel::CallError;
use tessera_wire::messages::{
    ContextCreate, CopyIn, CopyOut, EventExport, EventImport, EventReached, EventRecord, EventShared,
    HostAlloc, HostCall, HostFree, HostRegister, ModuleManaged, StreamHost, StreamWaitEvent,
};
use tessera_wire::{HOST_READ_ONLY, PLACE_PINNED};

/// Where a program's memory may be.
const OWN: u64 = 0x7f12_3456_7000;
const PAGE: u64 = 4096;

fn code<T: std::fmt::Debug>(result: Result<T, CallError>) -> u32 {
    match result {
        Err(CallError::Refused { code, .. }) => code,
        other => panic!("not refused: {other:?}"),
    }
}

fn register(guest: &Guest, address: u64, bytes: u64, flags: u32) -> Result<u64, CallError> {
    let message = HostRegister {
        context: guest.context,
        address,
        bytes,
        flags,
        ..HostRegister::default()
    };
    guest.client.call(&message, &[]).map(|reply| reply.value.offset)
}

fn free(guest: &Guest, address: u64) {
    guest.client.post(&HostFree { address }, &[]).unwrap();
}

fn copy_in(guest: &Guest, destination: u64, source: u64, width: u64) -> u64 {
    let message = |seq| CopyIn {
        stream: guest.stream,
        seq,
        destination,
        source,
        width,
        height: 1,
        place: PLACE_PINNED,
        ..CopyIn::default()
    };
    guest.client.post_with(&[], message).unwrap()
}

fn copy_out(guest: &Guest, destination: u64, source: u64, width: u64) -> u64 {
    let message = |seq| CopyOut {
        stream: guest.stream,
        seq,
        destination,
        source,
        width,
        height: 1,
        place: PLACE_PINNED,
        ..CopyOut::default()
    };
    guest.client.post_with(&[], message).unwrap()
}

#[test]
fn pieces_at_the_guests_addresses_are_one_memory() {
    let worker = Worker::start(64 << 20);
    let guest = Guest::new(&worker);
    let first = register(&guest, OWN, PAGE, 0).unwrap();
    // In between, so that the next piece does not follow in the arena.
    let between = register(&guest, OWN + 16 * PAGE, PAGE, 0).unwrap();
    let second = register(&guest, OWN + PAGE, 2 * PAGE, 0).unwrap();
    assert!(first != between && second != first + PAGE);
    let bytes: Vec<u8> = (0..3 * PAGE).map(|at| u8::try_from(at % 251).unwrap()).collect();
    let memory = guest.alloc(3 * PAGE);
    guest.write(memory, &bytes);
    let last = copy_out(&guest, OWN, memory, 3 * PAGE);
    assert_eq!(guest.wait(last).error_seq, 0);
    // To the device it is memory like any other.
    assert_eq!(guest.read(OWN, bytes.len()), bytes);
    load(&guest, 50, SCALE).unwrap();
    function(&guest, 50, 51, "scale");
    guest.write(OWN + PAGE - 8, &[7, 0, 0, 0, 8, 0, 0, 0, 9, 0, 0, 0]);
    assert_eq!(scale(&guest, 51, OWN + PAGE - 8, 3, 3).fault, 0);
    let last = copy_in(&guest, memory, OWN + PAGE - 8, 12);
    assert_eq!(guest.wait(last).error_seq, 0);
    assert_eq!(guest.read(memory, 12), [21, 0, 0, 0, 24, 0, 0, 0, 27, 0, 0, 0]);
    // One byte too far, and after it is gone.
    let last = copy_in(&guest, memory, OWN + 1, 3 * PAGE);
    assert_eq!((guest.wait(last).error_seq, guest.wait(last).fault), (last, 0));
    free(&guest, OWN + PAGE);
    let last = copy_in(&guest, memory, OWN + PAGE - 8, 12);
    assert_eq!(guest.wait(last).error_seq, last);
    // Given out again, and clean.
    assert_eq!(register(&guest, OWN + PAGE, 2 * PAGE, 0).unwrap(), second);
    assert_eq!(guest.read(OWN + PAGE, 16), [0; 16]);
}

#[test]
fn a_context_that_comes_later_has_it_too() {
    let worker = Worker::start(64 << 20);
    let mut guest = Guest::new(&worker);
    register(&guest, OWN, PAGE, 0).unwrap();
    guest.write(OWN, b"there");
    let record = guest.records().allocate().unwrap();
    let create = ContextCreate {
        handle: 100,
        token: record.token,
        completion: record.index,
        ..ContextCreate::default()
    };
    guest.client.call(&create, &[]).unwrap();
    guest.context = 100;
    (guest.stream, guest.completion) = guest.stream(101);
    assert_eq!(guest.read(OWN, 5), b"there");
}

#[test]
fn what_cannot_be_registered_is_refused() {
    let worker = Worker::start(64 << 20);
    let guest = Guest::new(&worker);
    let arena = guest.client.welcome().arena_base;
    for (address, bytes, flags) in [
        (0, PAGE, 0),
        (OWN + 1, PAGE, 0),
        (OWN, PAGE + 1, 0),
        (OWN, 0, 0),
        (OWN, PAGE, 2),
        (arena, PAGE, 0),
        (arena - PAGE, 2 * PAGE, 0),
        ((1 << 47) - PAGE, 2 * PAGE, 0),
        (0u64.wrapping_sub(PAGE), PAGE, 0),
        (0u64.wrapping_sub(PAGE), 2 * PAGE, 0),
    ] {
        assert_eq!(
            code(register(&guest, address, bytes, flags)),
            1,
            "{address:#x} {bytes:#x}"
        );
    }
    register(&guest, OWN, 2 * PAGE, 0).unwrap();
    register(&guest, OWN + PAGE, PAGE, 0).unwrap_err();
    let most = guest.client.welcome().host_bytes;
    assert_eq!(code(register(&guest, OWN + 4 * PAGE, most, 0)), 2);
    // Kernels cannot write to what is read-only; the copy is one, to the device.
    register(&guest, OWN + 8 * PAGE, PAGE, HOST_READ_ONLY).unwrap();
    assert_eq!(guest.read(OWN + 8 * PAGE, 8), [0; 8]);
    let memory = guest.alloc(PAGE);
    let last = copy_out(&guest, OWN + 8 * PAGE, memory, 8);
    assert_eq!(guest.wait(last).fault, 700);
}

#[test]
fn modules_with_managed_variables_need_a_vgpu_that_has_them() {
    let worker = Worker::start(64 << 20);
    let guest = Guest::new(&worker);
    let text = format!("{SCALE}.visible .global .attribute(.managed) .align 4 .u32 shared = 5;\n");
    assert_eq!(code(load(&guest, 50, &text)), 801);
    load(&guest, 51, SCALE).unwrap();
    let ask = ModuleManaged {
        module: 51,
        ..ModuleManaged::default()
    };
    assert_eq!(guest.client.call(&ask, &[]).unwrap().value.bytes, 0);
    let request = HostAlloc {
        context: guest.context,
        bytes: PAGE,
        ..HostAlloc::default()
    };
    let address = guest.client.call(&request, &[]).unwrap().value.address;
    let place = ModuleManaged { address, ..ask };
    assert_eq!(code(guest.client.call(&place, &[])), 1, "it has none");
}

fn shared(guest: &Guest, event: u64) {
    let context = guest.context;
    guest.client.post(&EventShared { context, event }, &[]).unwrap();
}

fn reached(guest: &Guest, event: u64) -> bool {
    guest
        .client
        .call(&EventReached { event }, &[])
        .unwrap()
        .value
        .reached
        != 0
}

#[test]
fn an_event_is_one_in_two_sessions() {
    let worker = Worker::start(64 << 20);
    let (one, two) = (Guest::new(&worker), Guest::new(&worker));
    shared(&one, 10);
    let token = one
        .client
        .call(&EventExport { event: 10 }, &[])
        .unwrap()
        .value
        .token;
    let import = EventImport {
        context: two.context,
        event: 20,
        token,
    };
    two.client.call(&import, &[]).unwrap();
    assert_eq!(code(two.client.call(&import, &[])), 1, "the handle is taken");
    let wrong = EventImport {
        event: 21,
        token: [7; 16],
        ..import
    };
    assert_eq!(code(two.client.call(&wrong, &[])), 400);
    assert!(reached(&one, 10) && reached(&two, 20), "never recorded");
    // Behind a host function that nobody lets go.
    let record = one.records().allocate().unwrap();
    let count = StreamHost {
        stream: one.stream,
        token: record.token,
        completion: record.index,
        ..StreamHost::default()
    };
    one.client.post(&count, &[]).unwrap();
    let stream = one.stream;
    one.client.post_with(&[], |seq| HostCall { stream, seq }).unwrap();
    let event = 10;
    one.client
        .post_with(&[], |seq| EventRecord { stream, seq, event })
        .unwrap();
    assert!(!reached(&one, 10));
    assert!(!reached(&two, 20));
    let (stream, event) = (two.stream, 20);
    let waits = two
        .client
        .post_with(&[], |seq| StreamWaitEvent { stream, seq, event })
        .unwrap();
    assert!(!reached(&two, 20));
    assert!(two.records().value(two.completion) < waits);
    // Who recorded it goes, and with it what the event stood for.
    drop(one);
    assert_eq!(two.wait(waits).error_seq, 0);
    assert!(reached(&two, 20));
}
