//! A Tessera host for demos and tests: a manager of our own with its state in a temporary directory.

use crate::dist::Layout;
use crate::sh;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::fs::File;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A running manager with its directories. Dropping it ends the manager and its workers.
pub(crate) struct Host<'a> {
    layout: &'a Layout,
    directory: TempDir,
    manager: Option<Child>,
    boards: Vec<String>,
    variables: Vec<(String, String)>,
}

impl<'a> Host<'a> {
    /// Starts a manager with these boards as software GPUs.
    pub(crate) fn start(layout: &'a Layout, boards: &[&str]) -> Result<Self> {
        Self::start_with(layout, boards, &[])
    }

    /// As [`start`](Self::start), with these variables in the environment of the manager and so of its workers.
    pub(crate) fn start_with(
        layout: &'a Layout,
        boards: &[&str],
        variables: &[(&str, &str)],
    ) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("tessera-").tempdir()?;
        let boards = boards.iter().map(|&b| b.to_owned()).collect();
        let mut host = Self {
            layout,
            directory,
            manager: None,
            boards,
            variables: variables
                .iter()
                .map(|&(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        };
        host.start_manager()?;
        Ok(host)
    }

    /// Starts the manager where none runs, and waits until it answers.
    pub(crate) fn start_manager(&mut self) -> Result<()> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.directory.path().join("manager.log"))?;
        let mut command = self.tessera();
        command.arg("manager");
        for board in &self.boards {
            command.args(["--gpu", board]);
        }
        let child = command
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        self.manager = Some(child);
        self.wait_for("the manager to answer", || {
            Ok(self.json(&["gpu", "list"]).is_ok())
        })
    }

    /// Ends the manager with SIGKILL.
    pub(crate) fn kill_manager(&mut self) -> Result<()> {
        let mut child = self.manager.take().context("no manager runs")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// `tessera` with this host's directories.
    pub(crate) fn tessera(&self) -> Command {
        let mut command = Command::new(&self.layout.tessera);
        command
            .env("TESSERA_STATE_DIR", self.directory.path().join("state"))
            .env("TESSERA_RUN_DIR", self.directory.path().join("run"))
            .env("TESSERA_LIB_DIR", &self.layout.libraries);
        command
    }

    /// `tessera ... --json`, parsed.
    pub(crate) fn json(&self, arguments: &[&str]) -> Result<Value> {
        let text = sh::text(self.tessera().args(arguments).arg("--json"))?;
        serde_json::from_str(&text)
            .with_context(|| format!("`tessera {}` printed no JSON:\n{text}", arguments.join(" ")))
    }

    /// Creates a vGPU.
    pub(crate) fn create(&self, name: &str, vgpu_type: &str) -> Result<()> {
        self.json(&["vgpu", "create", "--type", vgpu_type, "--name", name])
            .map(|_| ())
    }

    /// Creates a vGPU with unified memory; its type must have the whole frame buffer.
    pub(crate) fn create_unified(&self, name: &str, vgpu_type: &str) -> Result<()> {
        let arguments = [
            "vgpu",
            "create",
            "--type",
            vgpu_type,
            "--name",
            name,
            "--enable-uvm",
        ];
        self.json(&arguments).map(|_| ())
    }

    /// One vGPU as `vgpu show` gives it.
    pub(crate) fn vgpu(&self, name: &str) -> Result<Value> {
        self.json(&["vgpu", "show", name])
    }

    /// A number of a vGPU by JSON pointer.
    pub(crate) fn number(&self, name: &str, pointer: &str) -> Result<u64> {
        let shown = self.vgpu(name)?;
        shown
            .pointer(pointer)
            .and_then(Value::as_u64)
            .with_context(|| format!("vGPU {name} has no {pointer}: {shown}"))
    }

    /// `tessera run --vgpu NAME -- PROGRAM`; arguments are added by the caller.
    pub(crate) fn guest(&self, name: &str, program: &std::path::Path) -> Command {
        self.guest_with(name, &[], program)
    }

    /// A program on a vGPU, with more options of `tessera run`.
    pub(crate) fn guest_with(&self, name: &str, options: &[&str], program: &std::path::Path) -> Command {
        let mut command = self.tessera();
        command.args(["run", "--vgpu", name]).args(options);
        command.arg("--").arg(program);
        command
    }

    /// `tessera env` with these options; arguments of the program are added by the caller.
    pub(crate) fn environment(&self, name: &str, options: &[&str], program: &std::path::Path) -> Command {
        let mut command = self.tessera();
        command
            .args(["env", "--vgpu", name])
            .args(options)
            .arg("--")
            .arg(program);
        command
    }

    /// The probe on a vGPU.
    pub(crate) fn probe(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = self.guest(name, &self.layout.probe);
        command.args(arguments);
        command
    }

    /// Asks again until it is so. The bound is not a promise of speed: it ends a run that hangs.
    pub(crate) fn wait_for(&self, what: &str, mut so: impl FnMut() -> Result<bool>) -> Result<()> {
        let end = Instant::now() + Duration::from_secs(30);
        while !so()? {
            if Instant::now() > end {
                bail!("waited 30 s for {what}\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// The manager's log.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("manager.log")).unwrap_or_default()
    }
}

impl Drop for Host<'_> {
    fn drop(&mut self) {
        if self.manager.is_some() {
            if let Ok(Value::Array(list)) = self.json(&["vgpu", "list"]) {
                for uuid in list.iter().filter_map(|v| v["uuid"].as_str()) {
                    // A vGPU that cannot be deleted is reported by the tests, not here.
                    let _ = sh::output(self.tessera().args(["vgpu", "delete", uuid]));
                }
            }
            let _ = self.kill_manager();
        }
    }
}
