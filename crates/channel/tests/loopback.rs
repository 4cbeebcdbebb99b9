//! Both ends of a channel in one process, over a real socket pair, with a small server that answers pings and copies.

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use tessera_channel::{
    CallError, Carrier, ChannelError, Client, ClientOptions, LayoutOptions, Offer, Pending, Progress,
    Session, UnixCarrier,
};
use tessera_wire::messages::{HelloReply, Launch, Marker, Ping, PingReply, StreamCreate, StreamDestroy};
use tessera_wire::{CudaCode, Opcode, Request, VgpuInfo, kind};

fn offer(layout: LayoutOptions) -> Offer {
    Offer {
        welcome: HelloReply {
            arena_base: 0x2000_0000_0000,
            arena_bytes: 1 << 40,
            host_base: 0x20c0_0000_0000,
            host_bytes: 1 << 20,
            ..HelloReply::default()
        },
        layout,
        vgpu: VgpuInfo {
            name: "NVIDIA H100-20C".into(),
            attributes: vec![(75, 9), (76, 0)],
            ..VgpuInfo::default()
        },
    }
}

/// What the little server saw.
#[derive(Default)]
struct Seen {
    launches: AtomicU64,
    sum: AtomicU64,
}

/// Serves one session; a marker completes the stream in record 1, opcode by opcode.
fn serve(
    stream: UnixStream,
    layout: LayoutOptions,
    seen: &Arc<Seen>,
) -> thread::JoinHandle<Result<(), ChannelError>> {
    let seen = Arc::clone(seen);
    thread::spawn(move || {
        let carrier: Arc<dyn Carrier> = Arc::new(UnixCarrier::new(stream, false));
        let pending = Pending::receive(carrier)?;
        let (mut receiver, session) = pending.accept(&offer(layout))?;
        let watcher = Arc::clone(&session);
        let watcher = thread::spawn(move || watcher.watch(|_| Ok(())));
        let result = dispatch(&mut receiver, &session, &seen);
        if result.is_err() {
            session.end(CudaCode::InvalidValue);
        } else {
            session.close();
        }
        drop(receiver);
        watcher.join().expect("watcher");
        result
    })
}

fn dispatch(
    receiver: &mut tessera_channel::Receiver,
    session: &Arc<Session>,
    seen: &Seen,
) -> Result<(), ChannelError> {
    let mut streams = std::collections::HashMap::new();
    let mut last = 0;
    while let Some((header, request)) = receiver.receive()? {
        match request {
            Request::Ping(ping) => session.reply::<Ping>(&header, &PingReply { value: ping.value }, &[])?,
            Request::StreamCreate(create) => {
                streams.insert(create.stream, session.record(create.completion, create.token)?);
            }
            Request::StreamDestroy(destroy) => {
                streams.remove(&destroy.stream);
            }
            Request::Launch(launch, parameters) => {
                assert!(launch.seq > last, "sequence numbers rise");
                last = launch.seq;
                seen.launches.fetch_add(1, Ordering::Relaxed);
                let sum = parameters.iter().map(|&byte| u64::from(byte)).sum();
                seen.sum.fetch_add(sum, Ordering::Relaxed);
                if let Some(record) = streams.get(&launch.stream) {
                    record.complete(launch.seq);
                }
            }
            Request::Marker(marker) => {
                if let Some(record) = streams.get(&marker.stream) {
                    record.complete(marker.seq);
                }
            }
            other => session.refuse(&header, other.opcode(), CudaCode::NotSupported, "not here")?,
        }
    }
    Ok(())
}

fn options() -> ClientOptions<'static> {
    ClientOptions {
        kind: kind::CUDA,
        program: "loopback",
        reserve_arena: false,
    }
}

fn pair(layout: LayoutOptions) -> (Client, Arc<Seen>, thread::JoinHandle<Result<(), ChannelError>>) {
    let (guest, worker) = UnixStream::pair().unwrap();
    let seen = Arc::new(Seen::default());
    let server = serve(worker, layout, &seen);
    let client = Client::over(Arc::new(UnixCarrier::new(guest, false)), &options()).unwrap();
    (client, seen, server)
}

#[test]
fn calls_are_answered_in_every_thread() {
    let (client, _, server) = pair(LayoutOptions::default());
    assert_eq!(client.vgpu().attributes, [(75, 9), (76, 0)]);
    thread::scope(|scope| {
        for thread in 0..4u64 {
            let client = &client;
            scope.spawn(move || {
                for round in 0..500 {
                    let value = thread << 32 | round;
                    assert_eq!(client.call(&Ping { value }, &[]).unwrap().value.value, value);
                }
            });
        }
    });
    let refused = client.call(&tessera_wire::messages::MemInfo {}, &[]);
    assert!(matches!(refused, Err(CallError::Refused { code: 801, .. })));
    drop(client);
    server.join().unwrap().unwrap();
}

#[test]
fn posts_of_many_threads_arrive_once_and_in_order() {
    // A ring much smaller than what is sent: full rings and padding at the end happen all the time.
    let layout = LayoutOptions {
        ring_bytes: 4096,
        max_message_bytes: 1024,
        ..LayoutOptions::default()
    };
    let (client, seen, server) = pair(layout);
    let completion = client.records().unwrap().allocate().unwrap();
    client
        .post(
            &StreamCreate {
                stream: 7,
                completion: completion.index,
                token: completion.token,
                ..StreamCreate::default()
            },
            &[],
        )
        .unwrap();
    let expected = AtomicU64::new(0);
    thread::scope(|scope| {
        for thread in 0..3usize {
            let (client, expected) = (&client, &expected);
            scope.spawn(move || {
                for round in 0..2000usize {
                    let parameters: Vec<u8> = (0..(round * 7 + thread * 13) % 700)
                        .map(|byte| u8::try_from(byte % 251).unwrap())
                        .collect();
                    expected.fetch_add(
                        parameters.iter().map(|&byte| u64::from(byte)).sum(),
                        Ordering::Relaxed,
                    );
                    let launch = |seq| Launch {
                        stream: 7,
                        seq,
                        ..Launch::default()
                    };
                    client.post_with(&parameters, launch).unwrap();
                }
            });
        }
    });
    let last = client.post_with(&[], |seq| Marker { stream: 7, seq }).unwrap();
    let progress = client.records().unwrap().wait(completion, last).unwrap();
    assert_eq!(progress.value, last);
    assert_eq!(seen.launches.load(Ordering::Relaxed), 6000);
    assert_eq!(seen.sum.load(Ordering::Relaxed), expected.load(Ordering::Relaxed));
    drop(client);
    server.join().unwrap().unwrap();
}

#[test]
fn records_are_reused_only_when_the_worker_is_through() {
    let layout = LayoutOptions {
        records: 3,
        ..LayoutOptions::default()
    };
    let (client, _, server) = pair(layout);
    let records = client.records().unwrap();
    let create = |handle| {
        let completion = records.allocate()?;
        client.post(
            &StreamCreate {
                stream: handle,
                completion: completion.index,
                token: completion.token,
                ..StreamCreate::default()
            },
            &[],
        )?;
        Ok::<_, ChannelError>(completion)
    };
    let first = create(1).unwrap();
    let seq = client.post_with(&[], |seq| Marker { stream: 1, seq }).unwrap();
    assert_eq!(records.wait(first, seq).unwrap().value, seq);
    let second = create(2).unwrap();
    assert_ne!(first.index, second.index);
    assert!(matches!(create(3), Err(ChannelError::Exhausted(_))));
    records.release(first);
    // Not destroyed yet as far as the worker is concerned.
    assert!(matches!(create(3), Err(ChannelError::Exhausted(_))));
    client.post(&StreamDestroy { stream: 1 }, &[]).unwrap();
    client.call(&Ping { value: 0 }, &[]).unwrap();
    let third = create(3).unwrap();
    assert_eq!(third.index, first.index);
    assert!(third.token > first.token);
    // Nothing of the first use is left in it, not even before the worker hears of the second.
    assert_eq!(records.progress(third), Progress::default());
    // Whoever still waits for the destroyed object is let go.
    records.wait(first, u64::MAX).unwrap();
    drop(client);
    server.join().unwrap().unwrap();
}

#[test]
fn death_of_the_worker_is_noticed_by_sleepers() {
    let (guest, worker) = UnixStream::pair().unwrap();
    let handle = thread::spawn(move || {
        let carrier: Arc<dyn Carrier> = Arc::new(UnixCarrier::new(worker, false));
        let pending = Pending::receive(Arc::clone(&carrier)).unwrap();
        let parts = pending.accept(&offer(LayoutOptions::default())).unwrap();
        // Takes the ping and then dies without a word.
        let mut receiver = parts.0;
        assert!(receiver.receive().unwrap().is_some());
        carrier.close();
    });
    let client = Client::over(Arc::new(UnixCarrier::new(guest, false)), &options()).unwrap();
    let result = client.call(&Ping { value: 1 }, &[]);
    assert!(
        matches!(result, Err(CallError::Channel(ChannelError::Disconnected))),
        "{result:?}"
    );
    assert!(!client.is_alive());
    let post = client.post(&StreamDestroy { stream: 1 }, &[]);
    assert!(matches!(post, Err(ChannelError::Disconnected)));
    handle.join().unwrap();
}

#[test]
fn a_broken_protocol_ends_the_session_with_a_code() {
    let (client, _, server) = pair(LayoutOptions::default());
    // A record that does not exist.
    client
        .post(
            &StreamCreate {
                stream: 1,
                completion: u32::MAX,
                ..StreamCreate::default()
            },
            &[],
        )
        .unwrap();
    let result = client.call(&Ping { value: 1 }, &[]);
    assert!(
        matches!(result, Err(CallError::Channel(ChannelError::Ended(1)))),
        "{result:?}"
    );
    assert!(matches!(server.join().unwrap(), Err(ChannelError::Corrupt(_))));
}

#[test]
fn a_session_without_aperture_works_over_the_stream() {
    let (guest, worker) = UnixStream::pair().unwrap();
    let server = serve(worker, LayoutOptions::default(), &Arc::default());
    let options = ClientOptions {
        kind: kind::NVML,
        ..options()
    };
    let client = Client::over(Arc::new(UnixCarrier::new(guest, false)), &options).unwrap();
    assert_eq!(client.call(&Ping { value: 9 }, &[]).unwrap().value.value, 9);
    assert!(matches!(client.records(), Err(ChannelError::NoAperture)));
    drop(client);
    server.join().unwrap().unwrap();
}

#[test]
fn another_version_and_noise_are_refused_with_a_reason() {
    use tessera_wire::{MAGIC, encode, messages::Hello};
    let refuse = |frame: &[u8]| {
        let (guest, worker) = UnixStream::pair().unwrap();
        let server = serve(worker, LayoutOptions::default(), &Arc::default());
        let carrier = UnixCarrier::new(guest, false);
        carrier.send(frame, &[]).unwrap();
        let reply = carrier.receive();
        let error = server.join().unwrap().unwrap_err();
        (reply, error)
    };
    let mut frame = Vec::new();
    let hello = Hello {
        magic: MAGIC,
        version_min: 900,
        version_max: 901,
        ..Hello::default()
    };
    encode(&hello, 1, b"old", &mut frame).unwrap();
    let (reply, error) = refuse(&frame);
    let Err((803, reason)) = tessera_wire::decode_reply::<Hello>(&reply.unwrap().frame, 1).unwrap() else {
        panic!("a guest of another version was let in");
    };
    assert!(reason.contains("900 to 901"), "{reason}");
    assert!(matches!(error, ChannelError::Refused { code: 803, .. }));

    frame.clear();
    let hello = Hello {
        magic: 12345,
        ..hello
    };
    encode(&hello, 1, b"", &mut frame).unwrap();
    assert!(matches!(refuse(&frame).1, ChannelError::Refused { .. }));

    frame.clear();
    encode(&Ping { value: 0 }, 1, &[], &mut frame).unwrap();
    assert!(matches!(refuse(&frame).1, ChannelError::Refused { .. }));

    // A length of 4 GiB: refused, not allocated.
    assert!(matches!(refuse(&[0xff; 16]).1, ChannelError::Wire(_)));
    assert_eq!(Opcode::from_number(0xffff), None);
}

#[test]
fn noise_never_gets_past_the_decoder() {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for _ in 0..2000 {
        let bytes: Vec<u8> = (0..next() % 300).flat_map(|_| next().to_le_bytes()).collect();
        tessera_channel::fuzz_session_bytes(&bytes);
    }
    // A sound ring: the entry decodes what is in it.
    let mut ring = 32u64.to_le_bytes().to_vec();
    tessera_wire::encode(&Marker { stream: 1, seq: 2 }, 0, &[], &mut ring).unwrap();
    assert_eq!(tessera_channel::fuzz_session_bytes(&ring), 1);
}
