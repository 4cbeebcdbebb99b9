//! Memory apart from addresses, within a session and between two.

mod common;

use common::{Guest, SCALE, Worker, function, load, scale};
use tessera_channel::CallError;
use tessera_wire::messages::{
    AddressFree, AddressReserve, ContextCreate, MemCreate, MemExport, MemExportReply, MemFree, MemImport,
    MemMap, MemRelease, MemSetAccess, MemUnmap, Ping,
};

const MIB: u64 = 1 << 20;
const READ_WRITE: u32 = 3;

fn code<T: std::fmt::Debug>(result: Result<T, CallError>) -> u32 {
    match result {
        Err(CallError::Refused { code, .. }) => code,
        other => panic!("not refused: {other:?}"),
    }
}

fn create(guest: &Guest, memory: u64, bytes: u64) -> Result<u64, CallError> {
    let answer = guest.client.call(&MemCreate { memory, bytes }, &[]);
    answer.map(|reply| reply.value.bytes)
}

fn reserve(guest: &Guest, bytes: u64, wanted: u64) -> u64 {
    let message = AddressReserve {
        bytes,
        align: 0,
        wanted,
    };
    guest.client.call(&message, &[]).unwrap().value.address
}

fn map(guest: &Guest, address: u64, bytes: u64, memory: u64) -> Result<u64, CallError> {
    let message = MemMap {
        address,
        bytes,
        offset: 0,
        memory,
    };
    guest.client.call(&message, &[]).map(|reply| reply.value.bytes)
}

fn access(guest: &Guest, address: u64, bytes: u64, access: u32) -> Result<u64, CallError> {
    let message = MemSetAccess {
        address,
        bytes,
        access,
        ..MemSetAccess::default()
    };
    guest.client.call(&message, &[]).map(|reply| reply.value.mappings)
}

fn unmap(guest: &Guest, address: u64, bytes: u64) -> Result<u64, CallError> {
    let answer = guest.client.call(&MemUnmap { address, bytes }, &[]);
    answer.map(|reply| reply.value.mappings)
}

fn free(guest: &Guest, address: u64, bytes: u64) -> Result<u64, CallError> {
    let answer = guest.client.call(&AddressFree { address, bytes }, &[]);
    answer.map(|reply| reply.value.bytes)
}

fn export(guest: &Guest, memory: u64, address: u64) -> Result<MemExportReply, CallError> {
    let message = MemExport {
        memory,
        context: guest.context,
        address,
    };
    guest.client.call(&message, &[]).map(|reply| reply.value)
}

fn import(guest: &Guest, memory: u64, token: [u8; 16]) -> Result<u64, CallError> {
    let answer = guest.client.call(&MemImport { memory, token }, &[]);
    answer.map(|reply| reply.value.bytes)
}

/// Maps memory where kernels and copies can use it.
fn open(guest: &Guest, memory: u64, bytes: u64) -> u64 {
    let length = bytes.next_multiple_of(2 * MIB);
    let address = reserve(guest, length, 0);
    map(guest, address, bytes, memory).unwrap();
    access(guest, address, bytes, READ_WRITE).unwrap();
    address
}

#[test]
fn memory_is_where_it_is_mapped_and_may_be_used_as_said() {
    let worker = Worker::start(64 << 20);
    let guest = Guest::new(&worker);
    load(&guest, 60, SCALE).unwrap();
    function(&guest, 60, 61, "scale");
    create(&guest, 50, 2 * MIB).unwrap();
    create(&guest, 51, 2 * MIB).unwrap();
    assert_eq!(
        worker.status().frame_buffer_used,
        worker.status().sessions[0].frame_buffer_used
    );
    let base = reserve(&guest, 8 * MIB, 0);
    // Two memories, one range: a kernel and copies go across the seam.
    assert_eq!(map(&guest, base, 2 * MIB, 50).unwrap(), 2 * MIB);
    assert_eq!(map(&guest, base + 2 * MIB, 2 * MIB, 51).unwrap(), 2 * MIB);
    assert_eq!(access(&guest, base, 4 * MIB, READ_WRITE).unwrap(), 2);
    let numbers: Vec<u8> = (0..1000_u32).flat_map(u32::to_le_bytes).collect();
    let across = base + 2 * MIB - 2000;
    guest.write(across, &numbers);
    assert_eq!(scale(&guest, 61, across, 3, 1000).fault, 0);
    let tripled: Vec<u8> = (0..1000_u32)
        .flat_map(|number| (number * 3).to_le_bytes())
        .collect();
    assert_eq!(guest.read(across, 4000), tripled);
    // The same memory, somewhere else.
    assert_eq!(unmap(&guest, base, 4 * MIB).unwrap(), 2);
    map(&guest, base + 4 * MIB, 2 * MIB, 51).unwrap();
    access(&guest, base + 4 * MIB, 2 * MIB, 1).unwrap();
    assert_eq!(guest.read(base + 4 * MIB, 2000), tripled[2000..]);
    // Read-only: a kernel that writes there faults.
    assert_eq!(scale(&guest, 61, base + 4 * MIB, 3, 8).fault, 700);
}

#[test]
fn mapped_memory_without_access_faults() {
    let worker = Worker::start(64 << 20);
    let guest = Guest::new(&worker);
    load(&guest, 60, SCALE).unwrap();
    function(&guest, 60, 61, "scale");
    create(&guest, 50, 2 * MIB).unwrap();
    let address = open(&guest, 50, 2 * MIB);
    assert_eq!(scale(&guest, 61, address, 3, 8).fault, 0);
    access(&guest, address, 2 * MIB, 0).unwrap();
    assert_eq!(scale(&guest, 61, address, 3, 8).fault, 700);
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let worker = Worker::start(64 << 20);
    let guest = Guest::new(&worker);
    assert_eq!(code(create(&guest, 50, MIB)), 1);
    assert_eq!(code(create(&guest, 50, 128 << 20)), 2);
    create(&guest, 50, 4 * MIB).unwrap();
    assert_eq!(code(create(&guest, 50, 2 * MIB)), 1, "the handle is taken");
    let base = reserve(&guest, 8 * MIB, 0);
    let wanted = base - (64 << 30);
    assert_eq!(reserve(&guest, 2 * MIB, wanted), wanted);
    let other = reserve(&guest, 2 * MIB, wanted);
    assert_ne!(other, wanted, "taken: somewhere else");
    assert_eq!(code(map(&guest, base, 6 * MIB, 50)), 1, "more than there is");
    assert_eq!(
        code(map(&guest, base + 6 * MIB, 4 * MIB, 50)),
        1,
        "beyond the range"
    );
    assert_eq!(code(map(&guest, base, 2 * MIB, 51)), 400);
    assert_eq!(code(map(&guest, 0x1000_0000, 2 * MIB, 50)), 1);
    map(&guest, base, 4 * MIB, 50).unwrap();
    assert_eq!(code(map(&guest, base + 2 * MIB, 2 * MIB, 50)), 1, "taken");
    assert_eq!(
        code(access(&guest, base, 2 * MIB, READ_WRITE)),
        1,
        "half a mapping"
    );
    assert_eq!(code(access(&guest, base, 4 * MIB, 2)), 1);
    assert_eq!(code(unmap(&guest, base, 8 * MIB)), 1, "a gap");
    assert_eq!(code(free(&guest, base, 8 * MIB)), 1, "something is mapped");
    unmap(&guest, base, 4 * MIB).unwrap();
    assert_eq!(code(free(&guest, base, 4 * MIB)), 1, "half a range");
    free(&guest, base, 8 * MIB).unwrap();
    assert_eq!(reserve(&guest, 8 * MIB, 0), base);
    assert_eq!(code(import(&guest, 70, [7; 16])), 1);
    assert_eq!(code(export(&guest, 0, base)), 500, "no allocation");
}

#[test]
fn contexts_and_reserved_addresses_share_the_arena() {
    let worker = Worker::start(64 << 20);
    let guest = Guest::new(&worker);
    let slice = 32 << 30;
    create(&guest, 50, 2 * MIB).unwrap();
    let address = open(&guest, 50, 2 * MIB);
    // All that is left but for one slice.
    let first = guest.alloc(4096) & !(slice - 1);
    let rest = (address & !(slice - 1)) - first - 2 * slice;
    let taken = reserve(&guest, rest, 0);
    assert!(taken >= first + 2 * slice && taken + rest <= address);
    let mut handle = 100;
    let mut another = || {
        handle += 1;
        let completion = guest.records().allocate().unwrap();
        let create = ContextCreate {
            handle,
            token: completion.token,
            completion: completion.index,
            ..ContextCreate::default()
        };
        guest
            .client
            .call(&create, &[])
            .map(|reply| reply.value.device_base)
    };
    assert_eq!(another().unwrap(), first + slice);
    assert_eq!(code(another()), 2, "the addresses are reserved");
    free(&guest, taken, rest).unwrap();
    another().unwrap();
}

#[test]
fn shared_memory_outlives_the_session_that_made_it() {
    let worker = Worker::start(64 << 20);
    let maker = Guest::new(&worker);
    let user = Guest::new(&worker);
    let before = worker.status().frame_buffer_used;
    create(&maker, 50, 2 * MIB).unwrap();
    let address = open(&maker, 50, 2 * MIB);
    maker.write(address, b"by token");
    let exported = export(&maker, 50, 0).unwrap();
    assert_eq!(export(&maker, 50, 0).unwrap(), exported, "one memory, one token");
    assert_eq!(import(&user, 70, exported.token).unwrap(), 2 * MIB);
    let seen = open(&user, 70, 2 * MIB);
    assert_eq!(user.read(seen, 8), b"by token");
    user.write(seen, b"answered");
    assert_eq!(maker.read(address, 8), b"answered");
    // An allocation too; its owner may free it.
    let allocation = maker.alloc(10_000);
    maker.write(allocation, b"allocated");
    let shared = export(&maker, 0, allocation).unwrap();
    assert_eq!(import(&user, 71, shared.token).unwrap(), shared.bytes);
    let opened = open(&user, 71, shared.bytes);
    let message = MemFree {
        context: maker.context,
        address: allocation,
    };
    maker.client.post(&message, &[]).unwrap();
    drop(maker);
    worker.until(|status| status.sessions.len() == 1);
    assert_eq!(user.read(seen, 8), b"answered");
    assert_eq!(user.read(opened, 9), b"allocated");
    // The last handle and the last mapping go: so do memory and token.
    for memory in [70, 71] {
        user.client.post(&MemRelease { memory }, &[]).unwrap();
    }
    assert_eq!(
        import(&user, 72, exported.token).unwrap(),
        2 * MIB,
        "it is mapped"
    );
    user.client.post(&MemRelease { memory: 72 }, &[]).unwrap();
    unmap(&user, seen, 2 * MIB).unwrap();
    unmap(&user, opened, shared.bytes).unwrap();
    user.client.call(&Ping { value: 1 }, &[]).unwrap();
    assert_eq!(code(import(&user, 72, exported.token)), 1);
    assert_eq!(code(import(&user, 72, shared.token)), 1);
    worker.until(|status| status.frame_buffer_used == before);
}

#[test]
fn a_session_that_ends_gives_everything_back() {
    let worker = Worker::start(64 << 20);
    let stays = Guest::new(&worker);
    let before = worker.status().frame_buffer_used;
    let goes = Guest::new(&worker);
    create(&goes, 50, 32 * MIB).unwrap();
    open(&goes, 50, 32 * MIB);
    create(&goes, 51, 2 * MIB).unwrap();
    assert_eq!(code(create(&stays, 50, 32 * MIB)), 2);
    drop(goes);
    worker.until(|status| status.frame_buffer_used == before);
    create(&stays, 50, 32 * MIB).unwrap();
}
