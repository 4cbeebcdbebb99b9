//! The worker: one sandboxed process per vGPU.
//!
//! It owns the device of the vGPU, serves guests on `guest.sock` and its manager on `control.sock`, and enforces every limit.
//! It trusts no guest: what a guest sends is copied once, checked, and only then used; what a guest holds lives in tables that
//! its session owns and is freed with it, however the guest ends.
//!
//! ```text
//!  start:   config ─▶ bind both sockets ─▶ sandbox, first half ─▶ open device ─▶ sandbox, second half ─▶ accept
//!  session: Hello ─▶ messages ─▶ connection or process ends, or the protocol is broken ─▶ tables dropped, frame buffer free
//!  end:     shutdown on control.sock ─▶ sessions ended with a code ─▶ exit
//! ```
//!
//! A fault of a kernel poisons its context, a defect of a handler ends its session, and only a defect of the device itself takes
//! down the process, which is one vGPU.
#![deny(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::ptr_as_ptr
)]

mod checking;
mod control;
mod error;
mod images;
mod limits;
mod memory;
mod queue;
mod refusal;
mod sandbox;
mod serve;
mod session;
mod sinks;
mod tokens;
mod vgpu;

pub use error::WorkerError;
pub use tessera_softgpu::check::Checks;
pub use tessera_softgpu::{CODE_CACHE_VARIABLE, CODE_FILE, CodeFigures, CodeFile, Tier, user_code_file};

use limits::{Arena, Limits};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use tessera_catalogue::catalogue;
use tessera_control::{CONTROL_SOCKET, GUEST_SOCKET, WorkerConfig};
use tessera_device::Device;
use tessera_softgpu::{Options, PciAddress, SoftGpu};
use vgpu::Vgpu;

/// Runs a worker in this process, sandboxed, until its manager ends it. To be called while the process has one thread.
///
/// # Errors
/// The configuration is wrong, a socket cannot be bound, the device does not open, or the sandbox cannot be entered.
pub fn run(config: WorkerConfig) -> Result<(), WorkerError> {
    let prepared = Prepared::new(&config)?;
    sandbox::enter_files()?;
    let worker = prepared.open(config)?;
    sandbox::enter_calls()?;
    worker.serve()?.wait();
    Ok(())
}

/// Runs a worker without a sandbox, beside other things in this process; for tests and benchmarks.
///
/// # Errors
/// As [`run`].
pub fn run_unconfined(config: WorkerConfig) -> Result<Running, WorkerError> {
    Prepared::new(&config)?.open(config)?.serve()
}

/// What needs rights that the sandbox takes away.
struct Prepared {
    guests: UnixListener,
    managers: UnixListener,
    options: Options,
    arena: Arena,
}

impl Prepared {
    fn new(config: &WorkerConfig) -> Result<Self, WorkerError> {
        let mut options = device_options(config)?;
        options.check = checking::checking(config)?;
        options.code = config.code.as_deref().and_then(code_file);
        if let Some(tier) = &config.tier {
            options.execution.tier = tier.parse().map_err(WorkerError::Config)?;
        }
        let arena = Arena::new(config.arena_index, config.frame_buffer_bytes).ok_or_else(|| {
            WorkerError::Config(format!(
                "arena {} has no room for a frame buffer of {} bytes",
                config.arena_index, config.frame_buffer_bytes
            ))
        })?;
        // Whoever may enter the directory may connect: the manager decides that with the directory's mode.
        let guests = serve::listen(&config.directory.join(GUEST_SOCKET), 0o666)?;
        let managers = serve::listen(&config.directory.join(CONTROL_SOCKET), 0o600)?;
        Ok(Self {
            guests,
            managers,
            options,
            arena,
        })
    }

    fn open(self, config: WorkerConfig) -> Result<Opened, WorkerError> {
        let device: Arc<dyn Device> = Arc::new(SoftGpu::open(&self.options)?);
        tracing::info!(
            uuid = config.uuid,
            name = device.properties().name,
            frame_buffer = config.frame_buffer_bytes,
            "device is open"
        );
        Ok(Opened {
            vgpu: Arc::new(Vgpu::new(config, device, Limits::default(), self.arena)),
            guests: self.guests,
            managers: self.managers,
        })
    }
}

struct Opened {
    vgpu: Arc<Vgpu>,
    guests: UnixListener,
    managers: UnixListener,
}

impl Opened {
    fn serve(self) -> Result<Running, WorkerError> {
        let (sender, shutdown) = channel();
        serve::managers(&self.vgpu, self.managers, sender)?;
        serve::guests(&self.vgpu, self.guests)?;
        Ok(Running {
            vgpu: self.vgpu,
            shutdown,
        })
    }
}

/// A worker that serves.
pub struct Running {
    vgpu: Arc<Vgpu>,
    shutdown: Receiver<()>,
}

impl Running {
    /// Waits until the manager ends the worker, then ends all sessions.
    pub fn wait(self) {
        // An error means that the thread with the control socket is gone: nobody could end the worker any more.
        let _ = self.shutdown.recv();
        self.stop();
    }

    /// Ends all sessions; no new one is accepted.
    pub fn stop(self) {
        self.vgpu.close();
        // Sessions free what they hold on their own threads; a kernel that runs is stopped by that. Waited for, but not for ever.
        for _ in 0..200 {
            if self.vgpu.session_count() == 0 {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        tracing::warn!("sessions are still busy; the worker ends all the same");
    }
}

fn device_options(config: &WorkerConfig) -> Result<Options, WorkerError> {
    let board = catalogue()
        .board(&config.board)
        .map_err(|error| WorkerError::Config(error.to_string()))?;
    let mut options = Options::for_board(
        board,
        &config.device_name,
        config.frame_buffer_bytes,
        config.compute_capability,
    );
    options.executors = Some(config.executors.unwrap_or_else(processors));
    options.pci_address = pci_address(&config.pci_bus_id).ok_or_else(|| {
        WorkerError::Config(format!(
            "PCI address {:?}; it looks like 00000000:06:00.0",
            config.pci_bus_id
        ))
    })?;
    Ok(options)
}

/// The file of machine code, opened before the sandbox, which has no files. Without one everything works, only later.
fn code_file(path: &Path) -> Option<Arc<CodeFile>> {
    match CodeFile::open(path) {
        Ok(file) => Some(Arc::new(file)),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "machine code is not kept");
            None
        }
    }
}

/// Asked before the sandbox: the answer is in files.
fn processors() -> u32 {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    u32::try_from(processors).unwrap_or(u32::MAX)
}

/// `domain:bus:device.function` in hexadecimal.
fn pci_address(text: &str) -> Option<PciAddress> {
    let mut parts = text.split([':', '.']);
    let mut next = || u32::from_str_radix(parts.next()?, 16).ok();
    let (domain, bus, device, _function) = (next()?, next()?, next()?, next()?);
    Some(PciAddress {
        domain: u16::try_from(domain).ok()?,
        bus: u8::try_from(bus).ok()?,
        device: u8::try_from(device).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pci_addresses_are_read() {
        let address = pci_address("00000000:06:1f.0").unwrap();
        assert_eq!((address.domain, address.bus, address.device), (0, 6, 0x1f));
        for wrong in ["", "06:00.0", "0000:106:00.0", "zz:06:00.0"] {
            assert!(pci_address(wrong).is_none(), "{wrong}");
        }
    }
}
