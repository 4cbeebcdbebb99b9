//! Host functions, as a guest sees them through its messages.

mod common;

use common::{Guest, Worker};
use tessera_channel::Completion;
use tessera_wire::messages::{Fill, HostCall, HostDone, StreamHost};

/// Has the guest's stream count its host functions.
fn counted(guest: &Guest) -> Completion {
    let record = guest.records().allocate().unwrap();
    let message = StreamHost {
        stream: guest.stream,
        token: record.token,
        completion: record.index,
        ..StreamHost::default()
    };
    guest.client.post(&message, &[]).unwrap();
    record
}

fn call(guest: &Guest) -> u64 {
    let stream = guest.stream;
    let message = |seq| HostCall { stream, seq };
    guest.client.post_with(&[], message).unwrap()
}

fn done(guest: &Guest) {
    let stream = guest.stream;
    guest.client.send_out_of_turn(&HostDone { stream }).unwrap();
}

fn fill(guest: &Guest, destination: u64, pattern: u32) -> u64 {
    let message = |seq| Fill {
        stream: guest.stream,
        seq,
        destination,
        pattern,
        element_bytes: 4,
        width: 1,
        height: 1,
        pitch: 4,
    };
    guest.client.post_with(&[], message).unwrap()
}

#[test]
fn host_functions_are_counted_with_their_numbers() {
    let worker = Worker::start(64 << 20);
    let guest = Guest::new(&worker);
    let record = counted(&guest);
    let memory = guest.alloc(4);
    for round in 1..=3u32 {
        let before = fill(&guest, memory, round);
        let seq = call(&guest);
        let behind = fill(&guest, memory, 100 + round);
        let said = guest.records().wait(record, round.into()).unwrap();
        assert_eq!((said.value, said.time), (round.into(), seq));
        let value = guest.records().value(guest.completion);
        assert!(value >= before && value < seq);
        done(&guest);
        assert_eq!(guest.wait(behind).error_seq, 0);
        assert_eq!(guest.read(memory, 4), (100 + round).to_le_bytes());
    }
}

#[test]
fn a_full_ring_does_not_hold_the_answer_up() {
    let worker = Worker::start(64 << 20);
    let guest = Guest::new(&worker);
    let record = counted(&guest);
    let memory = guest.alloc(4);
    call(&guest);
    let last = std::thread::scope(|scope| {
        // More than the worker takes in and the ring holds.
        let poster = scope.spawn(|| (0..60_000).map(|n| fill(&guest, memory, n)).last().unwrap());
        guest.records().wait(record, 1).unwrap();
        done(&guest);
        poster.join().unwrap()
    });
    assert_eq!(guest.wait(last).error_seq, 0);
    assert_eq!(guest.read(memory, 4), 59_999u32.to_le_bytes());
}

#[test]
fn a_guest_that_goes_in_a_host_function_leaves_nothing() {
    let worker = Worker::start(64 << 20);
    let empty = worker.status().frame_buffer_used;
    let guest = Guest::new(&worker);
    let record = counted(&guest);
    let memory = guest.alloc(32 << 20);
    call(&guest);
    for n in 0..5 {
        fill(&guest, memory, n);
        call(&guest);
    }
    guest.records().wait(record, 1).unwrap();
    drop(guest);
    worker.until(|status| status.sessions.is_empty() && status.frame_buffer_used == empty);
}

#[test]
fn a_function_of_a_stream_that_counts_none_is_none() {
    let worker = Worker::start(64 << 20);
    let guest = Guest::new(&worker);
    let seq = call(&guest);
    assert_eq!(guest.wait(seq).error_seq, 0);
    // Nobody waits for these.
    done(&guest);
    done(&guest);
    let seq = call(&guest);
    assert_eq!(guest.wait(seq).error_seq, 0);
}
