//! BAR1: what a guest writes through its mapping the device sees, and nobody else does.

mod common;

use common::{Guest, Worker};
use std::sync::Arc;
use tessera_channel::{CallError, Shared};
use tessera_wire::messages::{Bar1Alloc, Bar1AllocReply, Fill, MemFree, MemInfo, Ping};

const MIB: u64 = 1 << 20;

fn alloc(guest: &Guest, bytes: u64) -> Bar1AllocReply {
    let message = Bar1Alloc {
        context: guest.context,
        bytes,
        align: 0,
    };
    guest.client.call(&message, &[]).unwrap().value
}

fn free(guest: &Guest, address: u64) {
    let message = MemFree {
        context: guest.context,
        address,
    };
    guest.client.post(&message, &[]).unwrap();
    // Another session is served by another thread.
    guest.client.call(&Ping::default(), &[]).unwrap();
}

fn zero(guest: &Guest, address: u64, words: u64) {
    let fill = |seq| Fill {
        stream: guest.stream,
        seq,
        destination: address,
        pitch: 0,
        width: words,
        height: 1,
        pattern: 0,
        element_bytes: 4,
    };
    let last = guest.client.post_with(&[], fill).unwrap();
    assert_eq!(guest.wait(last).error_seq, 0);
}

fn read(bar1: &Arc<Shared>, offset: u64, bytes: u64) -> Vec<u8> {
    bar1.range(offset, bytes).unwrap().to_vec()
}

fn write(bar1: &Arc<Shared>, offset: u64, bytes: &[u8]) {
    bar1.range(offset, bytes.len() as u64)
        .unwrap()
        .write(0, bytes)
        .unwrap();
}

#[test]
fn an_allocation_is_one_memory_for_both_sides() {
    let worker = Worker::start(64 * MIB);
    let guest = Guest::new(&worker);
    let before = alloc(&guest, 3 * MIB);
    let bar1 = guest
        .client
        .open_bar1()
        .unwrap()
        .expect("the software GPU has one");
    assert_eq!(bar1.len() as u64, 64 * MIB);
    let after = alloc(&guest, 5000);
    for place in [before, after] {
        assert_eq!(place.placed, 1);
        write(&bar1, place.offset + 100, b"from the guest");
        assert_eq!(guest.read(place.address + 100, 14), b"from the guest");
        guest.write(place.address + 100, b"from the worker");
        assert_eq!(read(&bar1, place.offset + 100, 15), b"from the worker");
    }
    // Zeros are not written where nothing was: what the guest wrote is something.
    let sparse = alloc(&guest, 2 * MIB);
    write(&bar1, sparse.offset + MIB, &[7]);
    zero(&guest, sparse.address, MIB / 2);
    assert_eq!(read(&bar1, sparse.offset + MIB, 1), [0]);
}

#[test]
fn it_is_given_once() {
    let worker = Worker::start(64 * MIB);
    let guest = Guest::new(&worker);
    assert!(guest.client.open_bar1().unwrap().is_some());
    let again = guest.client.open_bar1();
    assert!(
        matches!(again, Err(CallError::Refused { code: 1, .. })),
        "{again:?}"
    );
}

#[test]
fn there_is_none_where_every_access_is_checked() {
    let worker = Worker::checking(64 * MIB, Some("memory"));
    let guest = Guest::new(&worker);
    let place = alloc(&guest, MIB);
    assert_eq!((place.placed, place.offset), (0, 0));
    assert!(guest.client.open_bar1().unwrap().is_none());
}

#[test]
fn the_next_owner_finds_zeros_whatever_the_last_one_still_writes() {
    let worker = Worker::start(64 * MIB);
    let (first, second) = (Guest::new(&worker), Guest::new(&worker));
    let bar1 = first.client.open_bar1().unwrap().unwrap();
    let other = second.client.open_bar1().unwrap().unwrap();
    // All there is, so that the second must get the pages of the first.
    let place = alloc(&first, 64 * MIB);
    write(&bar1, place.offset + MIB, b"secret");
    assert!(second.client.call(&MemInfo::default(), &[]).unwrap().value.free == 0);
    free(&first, place.address);
    let next = alloc(&second, 64 * MIB);
    write(&bar1, MIB, b"too late");
    assert_eq!(second.read(next.address + MIB, 8), [0; 8]);
    assert_eq!(read(&other, MIB, 8), [0; 8]);
    // And what a session scrubbed it does not find again itself, if it stops writing there.
    free(&second, next.address);
    write(&bar1, MIB, &[0; 8]);
    let place = alloc(&first, MIB);
    assert_eq!(first.read(place.address, 8), [0; 8]);
}

#[test]
fn memory_in_several_pieces_is_not_there() {
    let worker = Worker::start(64 * MIB);
    let guest = Guest::new(&worker);
    let parts: Vec<_> = (0..64).map(|_| alloc(&guest, MIB)).collect();
    for part in parts.iter().step_by(2) {
        free(&guest, part.address);
    }
    let pieces = alloc(&guest, 8 * MIB);
    assert_eq!(pieces.placed, 0);
    guest.write(pieces.address + 3 * MIB, b"through the channel");
    assert_eq!(guest.read(pieces.address + 3 * MIB, 19), b"through the channel");
}

#[test]
fn a_guest_that_punches_holes_loses_its_own_bytes() {
    let worker = Worker::start(64 * MIB);
    let guest = Guest::new(&worker);
    let bar1 = guest.client.open_bar1().unwrap().unwrap();
    let place = alloc(&guest, MIB);
    guest.write(place.address, &[5; 4096]);
    let page = bar1.range(place.offset, 4096).unwrap();
    // SAFETY: a page of the mapping; MADV_REMOVE punches it out of the file.
    let removed = unsafe { libc::madvise(page.as_ptr().cast(), 4096, libc::MADV_REMOVE) };
    assert_eq!(removed, 0);
    assert_eq!(guest.read(place.address, 4096), [0; 4096]);
}
