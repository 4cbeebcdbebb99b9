//! The processes that the tests start.

use serde::Deserialize as _;
use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};
use tessera_client::paths::Directories;
use tessera_control::{
    CONTROL_SOCKET, GUEST_SOCKET, Request, Response, SessionStatus, Tiers, WorkerConfig, WorkerStatus,
};
use tessera_manager::{
    CodePlace, Manager, ManagerConfig, Moment, Observer, Server, WorkerProgram, WorkersAtStop,
};

/// `manager DIRECTORY BOARD WORKER_MODE [CRASH_MOMENT]`: serves until killed; `quit` on standard input stops it with its workers.
pub(crate) fn manager(arguments: &[String]) {
    let [directory, board, mode, rest @ ..] = arguments else {
        panic!("arguments: {arguments:?}")
    };
    let directory = PathBuf::from(directory);
    let crash = rest.first().cloned();
    let observer = move |moment: Moment, _| {
        if crash.as_deref() == Some(&format!("{moment:?}")) {
            std::process::abort();
        }
    };
    let config = ManagerConfig {
        directories: Directories {
            state: directory.join("s"),
            run: directory.join("r"),
        },
        gpus: vec![board.parse().unwrap()],
        worker: WorkerProgram {
            program: std::env::current_exe().unwrap(),
            arguments: vec!["worker".to_owned(), mode.clone()],
        },
        executors: Some(2),
        check: None,
        code: CodePlace::default(),
        tier: None,
        observer: Observer(Arc::new(observer)),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let manager = match Manager::start(config).await {
            Ok(manager) => manager,
            Err(error) => {
                eprintln!("{error}");
                std::process::exit(1);
            }
        };
        let quit = async {
            let line = tokio::task::spawn_blocking(|| std::io::stdin().lines().next());
            if !matches!(line.await, Ok(Some(Ok(line))) if line == "quit") {
                std::future::pending::<()>().await;
            }
        };
        let server = Server::bind(manager.clone()).unwrap();
        let stop = {
            let manager = manager.clone();
            async move {
                quit.await;
                manager.stop(WorkersAtStop::Stop).await;
            }
        };
        server.serve(stop).await.unwrap();
    });
    std::process::exit(0); // the thread that reads standard input would keep the runtime
}

/// `worker MODE`: `good` answers, `dies` ends at once, `mute` answers no order to end.
pub(crate) fn worker(arguments: &[String]) {
    let mode = arguments.first().map_or("good", String::as_str).to_owned();
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).unwrap();
    let mut json = serde_json::Deserializer::from_str(&text);
    let Ok(config) = WorkerConfig::deserialize(&mut json) else {
        std::process::exit(9)
    };
    let once = config.directory.join("dies-next-time");
    if mode == "dies" || once.exists() {
        eprintln!("stand-in: dying as told");
        std::process::exit(7);
    }
    let _guests = UnixListener::bind(config.directory.join(GUEST_SOCKET)).unwrap();
    let control = UnixListener::bind(config.directory.join(CONTROL_SOCKET)).unwrap();
    let start = Instant::now();
    for connection in control.incoming() {
        let (config, mode) = (config.clone(), mode.clone());
        std::thread::spawn(move || serve(&connection.unwrap(), &config, &mode, start));
    }
}

fn serve(connection: &UnixStream, config: &WorkerConfig, mode: &str, start: Instant) {
    for line in BufReader::new(connection).lines() {
        let Ok(line) = line else { return };
        let response = match serde_json::from_str(&line) {
            Ok(Request::Status(())) => Response::Status(status(config, start)),
            Ok(Request::Shutdown(())) if mode == "mute" => {
                std::thread::sleep(Duration::from_secs(3600));
                return;
            }
            Ok(Request::Shutdown(())) => Response::ShuttingDown(()),
            Err(error) => Response::Error(error.to_string()),
        };
        let ends = matches!(response, Response::ShuttingDown(()));
        let mut text = serde_json::to_string(&response).unwrap();
        text.push('\n');
        let mut writer = connection;
        if writer.write_all(text.as_bytes()).is_err() {
            return;
        }
        if ends {
            std::process::exit(0);
        }
    }
}

/// Half of two executors busy, one guest.
fn status(config: &WorkerConfig, start: Instant) -> WorkerStatus {
    let elapsed = u64::try_from(start.elapsed().as_nanos()).unwrap();
    WorkerStatus {
        uuid: config.uuid.clone(),
        pid: 1, // a lie: the manager must not believe it, or it would kill that process one day
        frame_buffer_total: config.frame_buffer_bytes,
        frame_buffer_used: 1 << 30,
        kernel_ns: elapsed,
        copy_ns: 0,
        kernels: 42,
        copied_bytes: 4096,
        executors: config.executors.unwrap(),
        monotonic_ns: 5_000_000_000 + elapsed,
        sessions: vec![SessionStatus {
            pid: 4711,
            name: "train\u{1b}[2J.py".to_owned(),
            frame_buffer_used: 1 << 30,
            kernels: 42,
            last_fault: Some(format!("seen as {} at {}", config.device_name, config.pci_bus_id)),
        }],
        tiers: Tiers {
            native: 30,
            cold: 12,
            ..Tiers::default()
        },
    }
}
