//! Figures of a channel between two processes: a post, a call with the worker awake, a call with both sides asleep in between.
//!
//! `cargo run --release -p tessera-channel --example channel-bench [-- --json]`
//!
//! The worker's side answers pings and drops everything else; what a device adds is not in these figures.

use std::io::Write;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tessera_channel::{Carrier, Client, ClientOptions, LayoutOptions, Offer, Pending, UnixCarrier};
use tessera_wire::messages::{HelloReply, Launch, Marker, Ping, PingReply, StreamCreate};
use tessera_wire::{Request, VgpuInfo, kind};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn worker(stream: UnixStream) -> Outcome<()> {
    let carrier: Arc<dyn Carrier> = Arc::new(UnixCarrier::new(stream, false));
    let offer = Offer {
        welcome: HelloReply {
            host_bytes: 1 << 20,
            ..HelloReply::default()
        },
        layout: LayoutOptions::default(),
        vgpu: VgpuInfo::default(),
    };
    let (mut receiver, session) = Pending::receive(carrier)?.accept(&offer)?;
    let watcher = Arc::clone(&session);
    std::thread::spawn(move || watcher.watch(|_| Ok(())));
    let mut stream = None;
    while let Some((header, request)) = receiver.receive()? {
        match request {
            Request::Ping(ping) => session.reply::<Ping>(&header, &PingReply { value: ping.value }, &[])?,
            Request::StreamCreate(create) => stream = Some(session.record(create.completion, create.token)?),
            Request::Marker(marker) => {
                if let Some(stream) = &stream {
                    stream.complete(marker.seq);
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Times of one round in nanoseconds, one per batch.
type Samples = Vec<f64>;

/// The median and the best: on a busy machine only the best says something about the channel.
fn figures(mut samples: Samples) -> (f64, f64) {
    samples.sort_by(f64::total_cmp);
    let at = |index: usize| samples.get(index).copied().unwrap_or(f64::NAN);
    (at(samples.len() / 2), at(0))
}

/// Times `batches` batches of `count` rounds.
fn measure(batches: usize, count: u32, mut round: impl FnMut() -> Outcome<()>) -> Outcome<Samples> {
    let mut samples = Vec::new();
    for _ in 0..batches {
        let start = Instant::now();
        for _ in 0..count {
            round()?;
        }
        samples.push(start.elapsed().as_secs_f64() * 1e9 / f64::from(count));
    }
    Ok(samples)
}

fn guest(path: &std::path::Path, json: bool) -> Outcome<()> {
    let options = ClientOptions {
        kind: kind::CUDA,
        program: "channel-bench",
        reserve_arena: false,
    };
    let client = Client::connect(path, &options)?;
    let completion = client.records()?.allocate()?;
    let create = StreamCreate {
        stream: 1,
        token: completion.token,
        completion: completion.index,
        ..StreamCreate::default()
    };
    client.post(&create, &[])?;
    let parameters = [0u8; 32];
    let launch = |seq| Launch {
        stream: 1,
        seq,
        ..Launch::default()
    };
    let marker = |seq| Marker { stream: 1, seq };
    let drain = || -> Outcome<()> {
        let last = client.post_with(&[], marker)?;
        client.records()?.wait(completion, last)?;
        Ok(())
    };
    // Fewer than the ring holds, so that only the guest's side is measured.
    let mut posts = Vec::new();
    for _ in 0..200 {
        drain()?;
        posts.extend(measure(1, 2000, || {
            Ok(client.post_with(&parameters, launch).map(|_| ())?)
        })?);
    }
    let accepted = measure(5, 400_000, || {
        Ok(client.post_with(&parameters, launch).map(|_| ())?)
    })?;
    drain()?;
    let ping = || -> Outcome<()> { Ok(client.call(&Ping { value: 1 }, &[]).map(|_| ())?) };
    let call = measure(50, 2000, ping)?;
    let wait = measure(50, 2000, drain)?;
    let mut asleep = Vec::new();
    for _ in 0..200 {
        std::thread::sleep(Duration::from_millis(2));
        asleep.extend(measure(1, 1, ping)?);
    }
    let rows = [
        ("post", posts),
        ("post_sustained", accepted),
        ("call_awake", call),
        ("post_and_wait", wait),
        ("call_asleep", asleep),
    ];
    let rows = rows.map(|(name, samples)| (name, figures(samples)));
    let mut out = std::io::stdout().lock();
    if json {
        let fields: Vec<_> = rows
            .iter()
            .map(|(name, (median, best))| {
                format!("\"{name}_ns\":{{\"median\":{median:.1},\"best\":{best:.1}}}")
            })
            .collect();
        writeln!(out, "{{{}}}", fields.join(","))?;
    } else {
        writeln!(out, "{:<16} {:>12} {:>12}", "ns", "median", "best")?;
        for (name, (median, best)) in rows {
            writeln!(out, "{name:<16} {median:>12.1} {best:>12.1}")?;
        }
    }
    Ok(())
}

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let path = std::env::temp_dir().join(format!("tessera-channel-bench-{}", std::process::id()));
    match arguments.next().as_deref() {
        Some("--guest") => {
            let path = arguments.next().ok_or("--guest PATH")?;
            return guest(path.as_ref(), arguments.next().is_some());
        }
        None | Some("--json") => {}
        Some(other) => return Err(format!("unknown argument {other}").into()),
    }
    let listener = UnixListener::bind(&path)?;
    let mut command = std::process::Command::new(std::env::current_exe()?);
    command.arg("--guest").arg(&path);
    if std::env::args().any(|argument| argument == "--json") {
        command.arg("json");
    }
    let mut child = command.spawn()?;
    let (stream, _) = listener.accept()?;
    let result = worker(stream);
    std::fs::remove_file(&path)?;
    let status = child.wait()?;
    result?;
    if status.success() {
        Ok(())
    } else {
        Err("the guest's side failed".into())
    }
}
