//! Processes by pidfd: no signal and no wait can hit another process that got the same number.

use rustix::{
    io::Errno,
    process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid},
};
use std::{
    fmt, io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};
use tokio::io::{Interest, unix::AsyncFd};

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// By itself.
    Exit(i32),
    /// By a signal.
    Signal(i32),
    /// It is gone; only its parent is told how, and that is not this manager.
    Unknown,
}

impl Ending {
    /// Whether the process had a say in it, so that its last words may tell why.
    pub(crate) fn is_own_doing(self) -> bool {
        match self {
            Self::Exit(_) => true,
            Self::Signal(number) => !matches!(number, 1 | 2 | 9 | 15),
            Self::Unknown => false,
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exit(code) => write!(f, "exit code {code}"),
            Self::Signal(number) => match signal_name(*number) {
                Some(name) => write!(f, "signal {number} ({name})"),
                None => write!(f, "signal {number}"),
            },
            Self::Unknown => f.write_str("cause unknown, since an earlier manager had started it"),
        }
    }
}

fn signal_name(number: i32) -> Option<&'static str> {
    Some(match number {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        15 => "SIGTERM",
        31 => "SIGSYS, a system call that the sandbox forbids",
        _ => return None,
    })
}

/// A process, dead or alive.
#[derive(Debug)]
pub(crate) struct Process {
    pid: Pid,
    pidfd: AsyncFd<OwnedFd>,
}

impl Process {
    /// The process with this number, which the caller knows to be the right one.
    pub(crate) fn open(pid: u32) -> io::Result<Self> {
        let pid = i32::try_from(pid)
            .ok()
            .and_then(Pid::from_raw)
            .ok_or(Errno::SRCH)?;
        let pidfd = pidfd_open(pid, PidfdFlags::NONBLOCK)?;
        // Deprecated because a type's descriptor could change under it; an `OwnedFd` keeps its own until it is dropped. What
        // replaces it is `unsafe`.
        #[allow(deprecated, reason = "sound for an OwnedFd, see above")]
        let pidfd = AsyncFd::with_interest(pidfd, Interest::READABLE)?;
        Ok(Self { pid, pidfd })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Waits for the end; for a child of this process also clears it away. May be called again.
    pub(crate) async fn ended(&self) -> Ending {
        if let Err(error) = self.pidfd.readable().await {
            // The reactor is going down, and the process with it.
            tracing::warn!(%error, pid = self.pid(), "cannot wait for a process");
            return Ending::Unknown;
        }
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        match waitid(WaitId::PidFd(self.pidfd.get_ref().as_fd()), options) {
            Ok(Some(status)) => match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => Ending::Exit(code),
                (_, Some(signal)) => Ending::Signal(signal),
                (None, None) => Ending::Unknown,
            },
            Ok(None) | Err(_) => Ending::Unknown,
        }
    }

    /// Ends it. A process that is gone already is not an error.
    pub(crate) fn kill(&self) -> io::Result<()> {
        match pidfd_send_signal(self.pidfd.get_ref(), Signal::KILL) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// The process whose standard output or error is this file, found in `/proc`. For a worker that an earlier manager started and
/// that does not answer. Processes of other users cannot be looked at and are passed over.
pub(crate) fn writer_of(file: &Path) -> Option<u32> {
    for entry in std::fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        let writes =
            |fd: &str| std::fs::read_link(entry.path().join("fd").join(fd)).is_ok_and(|path| path == file);
        if pid != std::process::id() && (writes("1") || writes("2")) {
            return Some(pid);
        }
    }
    None
}
