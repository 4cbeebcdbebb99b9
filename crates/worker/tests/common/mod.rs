//! A worker in this process and guests of it.
#![allow(dead_code)] // Each test program uses a part of it.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tessera_channel::{CallError, ChannelError, Client, ClientOptions, Completion, Progress, Records};
use tessera_control::{
    CONTROL_SOCKET, FINDINGS, GUEST_SOCKET, Request, Response, WorkerConfig, WorkerStatus,
};
use tessera_wire::messages::{
    ContextCreate, CopyIn, CopyOut, FunctionGet, Launch, MemAlloc, ModuleLoad, StreamCreate,
};
use tessera_wire::{Image, ImageList, PLACE_STAGING, PLACE_TAIL, kind};
use tessera_worker::Running;

pub(crate) fn config(directory: &Path, frame_buffer_bytes: u64) -> WorkerConfig {
    static ARENA: AtomicU32 = AtomicU32::new(0);
    WorkerConfig {
        uuid: "6d7a2b34-0000-4000-8000-000000000001".into(),
        board: "h100-pcie-80gb".into(),
        vgpu_type: "H100-20C".into(),
        device_name: "NVIDIA H100-20C".into(),
        gpu_uuid: "GPU-0".into(),
        pci_bus_id: "00000000:06:00.0".into(),
        frame_buffer_bytes,
        arena_index: ARENA.fetch_add(1, Ordering::Relaxed) % 64,
        compute_capability: None,
        executors: Some(2),
        directory: directory.to_owned(),
        check: None,
        code: None,
        tier: None,
        enable_uvm: false,
    }
}

pub(crate) struct Worker {
    directory: tempfile::TempDir,
    running: Mutex<Option<Running>>,
}

impl Worker {
    pub(crate) fn start(frame_buffer_bytes: u64) -> Self {
        Self::checking(frame_buffer_bytes, None)
    }

    /// A worker that looks for mistakes of kernels.
    pub(crate) fn checking(frame_buffer_bytes: u64, checks: Option<&str>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = WorkerConfig {
            check: checks.map(str::to_owned),
            ..config(directory.path(), frame_buffer_bytes)
        };
        let running = tessera_worker::run_unconfined(config).unwrap();
        Self {
            directory,
            running: Mutex::new(Some(running)),
        }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join(GUEST_SOCKET)
    }

    /// What the checking mode found, a line of JSON each.
    pub(crate) fn findings(&self) -> String {
        std::fs::read_to_string(self.directory.path().join(FINDINGS)).unwrap()
    }

    pub(crate) fn client(&self, kind: u32) -> Result<Client, ChannelError> {
        Client::connect(&self.socket(), &options(kind))
    }

    pub(crate) fn status(&self) -> WorkerStatus {
        let stream = UnixStream::connect(self.directory.path().join(CONTROL_SOCKET)).unwrap();
        let mut line = serde_json::to_string(&Request::Status(())).unwrap();
        line.push('\n');
        (&stream).write_all(line.as_bytes()).unwrap();
        let mut answer = String::new();
        BufReader::new(&stream).read_line(&mut answer).unwrap();
        match serde_json::from_str(&answer).unwrap() {
            Response::Status(status) => status,
            other => panic!("no status: {other:?}"),
        }
    }

    /// Waits until the status is as wanted; a test that waits too long fails with the last one.
    pub(crate) fn until(&self, wanted: impl Fn(&WorkerStatus) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let status = self.status();
            if wanted(&status) {
                return;
            }
            assert!(Instant::now() < deadline, "{status:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn stop(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(running) = running {
            running.stop();
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop();
    }
}

pub(crate) fn options(kind: u32) -> ClientOptions<'static> {
    ClientOptions {
        kind,
        program: "test",
        reserve_arena: false,
    }
}

/// A guest with one context and one stream.
pub(crate) struct Guest {
    pub(crate) client: Client,
    pub(crate) context: u64,
    pub(crate) context_completion: Completion,
    pub(crate) stream: u64,
    pub(crate) completion: Completion,
}

impl Guest {
    pub(crate) fn new(worker: &Worker) -> Self {
        Self::over(worker.client(kind::CUDA).unwrap())
    }

    pub(crate) fn over(client: Client) -> Self {
        let context_completion = client.records().unwrap().allocate().unwrap();
        let create = ContextCreate {
            handle: 1,
            token: context_completion.token,
            completion: context_completion.index,
            ..ContextCreate::default()
        };
        let reply = client.call(&create, &[]).unwrap().value;
        assert!(reply.device_base >= client.welcome().arena_base && reply.device_bytes > 0);
        let mut guest = Self {
            client,
            context: 1,
            context_completion,
            stream: 2,
            completion: context_completion,
        };
        guest.completion = guest.stream(2).1;
        guest
    }

    pub(crate) fn records(&self) -> &Records {
        self.client.records().unwrap()
    }

    pub(crate) fn stream(&self, handle: u64) -> (u64, Completion) {
        let completion = self.records().allocate().unwrap();
        let create = StreamCreate {
            context: self.context,
            stream: handle,
            token: completion.token,
            completion: completion.index,
            ..StreamCreate::default()
        };
        self.client.post(&create, &[]).unwrap();
        (handle, completion)
    }

    pub(crate) fn wait(&self, seq: u64) -> Progress {
        self.records().wait(self.completion, seq).unwrap()
    }

    pub(crate) fn try_alloc(&self, bytes: u64) -> Result<u64, CallError> {
        let alloc = MemAlloc {
            context: self.context,
            bytes,
            align: 0,
        };
        self.client.call(&alloc, &[]).map(|reply| reply.value.address)
    }

    pub(crate) fn alloc(&self, bytes: u64) -> u64 {
        self.try_alloc(bytes).unwrap()
    }

    pub(crate) fn write(&self, address: u64, bytes: &[u8]) {
        let staging = self
            .client
            .staging()
            .unwrap()
            .allocate(bytes.len() as u64, self.records())
            .unwrap();
        staging.write(0, bytes).unwrap();
        let last = self
            .client
            .post_with(&[], |seq| CopyIn {
                stream: self.stream,
                seq,
                destination: address,
                source: staging.offset(),
                width: bytes.len() as u64,
                height: 1,
                place: PLACE_STAGING,
                ..CopyIn::default()
            })
            .unwrap();
        let progress = self.wait(last);
        assert_eq!(
            (progress.fault, progress.error_seq == last),
            (0, false),
            "{progress:?}"
        );
    }

    pub(crate) fn read(&self, address: u64, bytes: usize) -> Vec<u8> {
        let staging = self
            .client
            .staging()
            .unwrap()
            .allocate(bytes as u64, self.records())
            .unwrap();
        let last = self
            .client
            .post_with(&[], |seq| CopyOut {
                stream: self.stream,
                seq,
                destination: staging.offset(),
                source: address,
                width: bytes as u64,
                height: 1,
                place: PLACE_STAGING,
                ..CopyOut::default()
            })
            .unwrap();
        let progress = self.wait(last);
        assert_eq!(
            (progress.fault, progress.error_seq == last),
            (0, false),
            "{progress:?}"
        );
        let mut out = vec![0; bytes];
        staging.read(0, &mut out).unwrap();
        out
    }
}

/// Multiplies numbers.
pub(crate) const SCALE: &str = r"
.version 7.8
.target sm_80
.address_size 64
.visible .entry scale(.param .u64 buffer, .param .u32 factor, .param .u32 count)
{
  .reg .pred %p;
  .reg .b32 %r<8>;
  .reg .b64 %rd<4>;
  ld.param.u64 %rd0, [buffer];
  ld.param.u32 %r0, [factor];
  ld.param.u32 %r1, [count];
  mov.u32 %r2, %ctaid.x;
  mov.u32 %r3, %ntid.x;
  mov.u32 %r4, %tid.x;
  mad.lo.s32 %r5, %r2, %r3, %r4;
  setp.ge.u32 %p, %r5, %r1;
  @%p bra DONE;
  mul.wide.u32 %rd1, %r5, 4;
  add.s64 %rd2, %rd0, %rd1;
  ld.global.u32 %r6, [%rd2];
  mul.lo.s32 %r7, %r6, %r0;
  st.global.u32 [%rd2], %r7;
DONE:
  ret;
}
";

pub(crate) fn load(guest: &Guest, module: u64, text: &str) -> Result<(), CallError> {
    let list = ImageList {
        images: vec![Image {
            place: PLACE_TAIL,
            offset: 0,
            bytes: text.len() as u64,
            name: "test.ptx",
        }],
        inline: text.as_bytes(),
    };
    let request = ModuleLoad {
        context: guest.context,
        module,
        ..ModuleLoad::default()
    };
    guest.client.call(&request, &list.encode()).map(|_| ())
}

pub(crate) fn scale(guest: &Guest, function: u64, address: u64, factor: u32, count: u32) -> Progress {
    guest.wait(post_scale(guest, function, address, factor, count))
}

/// As [`scale`], and does not wait for it.
pub(crate) fn post_scale(guest: &Guest, function: u64, address: u64, factor: u32, count: u32) -> u64 {
    let mut parameters = address.to_le_bytes().to_vec();
    parameters.extend_from_slice(&factor.to_le_bytes());
    parameters.extend_from_slice(&count.to_le_bytes());
    guest
        .client
        .post_with(&parameters, |seq| Launch {
            stream: guest.stream,
            seq,
            function,
            grid: [count.div_ceil(128), 1, 1],
            block: [128, 1, 1],
            ..Launch::default()
        })
        .unwrap()
}

pub(crate) fn function(guest: &Guest, module: u64, function: u64, name: &str) {
    let get = FunctionGet { module, function };
    guest.client.call(&get, name.as_bytes()).unwrap();
}
