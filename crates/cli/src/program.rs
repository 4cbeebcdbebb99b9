//! The program that `tessera run` runs: its start, its signals, its end.

use crate::{
    environment::{self, Guest},
    error::CliError,
};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    ffi::OsString,
    io::{self, IsTerminal as _},
    os::unix::process::ExitStatusExt as _,
    path::Path,
    process::{ExitCode, ExitStatus},
};
use tokio::{
    process::Child,
    signal::unix::{Signal as SignalStream, SignalKind, signal},
};

/// The signals that end a run.
pub(crate) struct Signals {
    interrupt: SignalStream,
    terminate: SignalStream,
    hang_up: SignalStream,
    quit: SignalStream,
}

impl Signals {
    /// From here on these signals do not end this process.
    pub(crate) fn catch() -> Result<Self, CliError> {
        let open =
            |kind| signal(kind).map_err(|source| CliError::file("listen for", Path::new("signals"), source));
        Ok(Self {
            interrupt: open(SignalKind::interrupt())?,
            terminate: open(SignalKind::terminate())?,
            hang_up: open(SignalKind::hangup())?,
            quit: open(SignalKind::quit())?,
        })
    }

    /// The next signal.
    pub(crate) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::INT,
            _ = self.terminate.recv() => Signal::TERM,
            _ = self.hang_up.recv() => Signal::HUP,
            _ = self.quit.recv() => Signal::QUIT,
        }
    }
}

/// Starts the program.
pub(crate) fn start(command: &[OsString], guest: &Guest<'_>) -> Result<Child, CliError> {
    let (program, arguments) = command
        .split_first()
        .ok_or_else(|| CliError::Usage("no program was given".into()))?;
    let mut command = tokio::process::Command::new(program);
    let variables = environment::variables(guest, |name| std::env::var_os(name));
    command.args(arguments).envs(variables);
    command.spawn().map_err(|source| CliError::Program {
        program: program.to_string_lossy().into_owned(),
        source,
    })
}

/// Waits for the program and passes signals on to it.
pub(crate) async fn wait(child: &mut Child, signals: &mut Signals) -> io::Result<ExitStatus> {
    // At a terminal, Ctrl-C and Ctrl-\ reach the program by themselves: it is in the same process group.
    let at_terminal = io::stdin().is_terminal();
    loop {
        let signal = tokio::select! {
            status = child.wait() => return status,
            signal = signals.next() => signal,
        };
        let reached = at_terminal && (signal == Signal::INT || signal == Signal::QUIT);
        let pid = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw);
        if let (false, Some(pid)) = (reached, pid) {
            let _ = kill_process(pid, signal); // it may just have ended; not waited for yet, so the number is still its own
        }
    }
}

/// What a shell would make of an end.
pub(crate) fn exit_code(status: ExitStatus) -> ExitCode {
    let number = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    ExitCode::from(number.and_then(|number| u8::try_from(number).ok()).unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_those_of_a_shell() {
        for (raw, code) in [(0, 0), (3 << 8, 3), (9, 137), (15, 143)] {
            let found = format!("{:?}", exit_code(ExitStatus::from_raw(raw)));
            assert_eq!(found, format!("{:?}", ExitCode::from(code)));
        }
    }
}
