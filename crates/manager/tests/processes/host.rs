//! A host for one test: directories, a manager process, a client.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tessera_client::{Client, ClientError, CreateVgpu, ErrorCode, Vgpu, VgpuState, paths::manager_socket};

pub(crate) struct Host {
    pub(crate) client: Client,
    pub(crate) directory: TempDir,
    manager: Option<Child>,
}

/// Runs one async test body.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

impl Host {
    /// A host with one H100 and good workers.
    pub(crate) async fn new() -> Self {
        Self::with("good", None).await
    }

    pub(crate) async fn with(mode: &str, crash: Option<&str>) -> Self {
        let directory = tempfile::Builder::new().prefix("tsr").tempdir().unwrap();
        let client = Client::new(manager_socket(&directory.path().join("r")));
        let mut host = Self {
            client,
            directory,
            manager: None,
        };
        host.start(mode, crash).await;
        host
    }

    pub(crate) fn command(directory: &Path, mode: &str, crash: Option<&str>) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .arg("manager")
            .arg(directory)
            .args(["H100", mode])
            .args(crash)
            .stdin(Stdio::piped());
        command
    }

    /// Starts the manager and waits until it answers.
    pub(crate) async fn start(&mut self, mode: &str, crash: Option<&str>) {
        assert!(self.manager.is_none());
        self.manager = Some(Self::command(self.directory.path(), mode, crash).spawn().unwrap());
        self.until("the manager answers", async |host| {
            host.client.manager().await.is_ok()
        })
        .await;
    }

    pub(crate) fn kill_manager(&mut self) {
        let mut manager = self.manager.take().unwrap();
        manager.kill().unwrap();
        manager.wait().unwrap();
    }

    /// Waits for a manager that ends by itself; gives whether it ended well.
    pub(crate) fn manager_ended(&mut self) -> bool {
        self.manager.take().unwrap().wait().unwrap().success()
    }

    pub(crate) fn tell_manager(&mut self, line: &str) {
        use std::io::Write as _;
        writeln!(self.manager.as_mut().unwrap().stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Waits for something to become true. The limit is for a broken build, not a measurement.
    pub(crate) async fn until(&self, what: &str, condition: impl AsyncFn(&Self) -> bool) {
        let start = Instant::now();
        while !condition(self).await {
            assert!(start.elapsed() < Duration::from_secs(60), "in vain: {what}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) async fn create(&self, vgpu_type: &str, name: Option<&str>) -> Result<Vgpu, ClientError> {
        let name = name.map(Into::into);
        self.client
            .create_vgpu(&CreateVgpu {
                vgpu_type: vgpu_type.into(),
                name,
                ..CreateVgpu::default()
            })
            .await
    }

    pub(crate) async fn until_running(&self, vgpu: &str) -> Vgpu {
        let running = async |host: &Self| {
            let found = host.client.vgpu(vgpu).await;
            found.is_ok_and(|vgpu| vgpu.state == VgpuState::Running && vgpu.worker_pid.is_some())
        };
        self.until("the vGPU runs", running).await;
        self.client.vgpu(vgpu).await.unwrap()
    }

    pub(crate) async fn reserved(&self) -> u64 {
        self.client
            .gpus()
            .await
            .unwrap()
            .iter()
            .map(|gpu| gpu.frame_buffer_reserved_bytes)
            .sum()
    }

    pub(crate) fn vgpu_directories(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.directory.path().join("r/vgpu"));
        entries.map_or_else(
            |_| Vec::new(),
            |entries| entries.map(|entry| entry.unwrap().path()).collect(),
        )
    }

    /// Processes of this host's workers, whoever their parent is.
    pub(crate) fn worker_processes(&self) -> Vec<u32> {
        let prefix = self.directory.path().join("r/vgpu");
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            if std::fs::read_link(entry.path().join("fd/2")).is_ok_and(|file| file.starts_with(&prefix)) {
                found.push(pid);
            }
        }
        found
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(mut manager) = self.manager.take() {
            let _ = manager.kill();
            let _ = manager.wait();
        }
        for pid in self.worker_processes() {
            kill(pid);
        }
    }
}

/// `kill -9`.
pub(crate) fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
}

/// The refusal in an error.
pub(crate) fn refusal<T: std::fmt::Debug>(result: Result<T, ClientError>) -> (ErrorCode, String) {
    match result.unwrap_err() {
        ClientError::Refused(error) => (error.code, error.message),
        other => panic!("not a refusal: {other}"),
    }
}
