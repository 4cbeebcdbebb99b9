//! The commands.

pub(crate) mod cache;
pub(crate) mod env;
pub(crate) mod events;
pub(crate) mod gpu;
pub(crate) mod manager;
pub(crate) mod ptx;
pub(crate) mod run;
pub(crate) mod types;
pub(crate) mod vgpu;

use crate::error::CliError;
use tessera_client::{Client, Vgpu, VgpuState, paths::Directories};

/// The directories of this user's manager.
pub(crate) fn directories() -> Directories {
    Directories::from_environment(rustix::process::geteuid().as_raw())
}

/// A client of this user's manager.
pub(crate) fn client() -> Client {
    Client::new(directories().manager_socket())
}

/// A vGPU that guests can connect to; `given` is how the user called it.
pub(crate) fn running(vgpu: Vgpu, given: &str) -> Result<Vgpu, CliError> {
    if vgpu.state == VgpuState::Running {
        return Ok(vgpu);
    }
    let reason = vgpu.last_failure.as_deref().unwrap_or("wait for it to run");
    Err(CliError::NoVgpu(format!(
        "vGPU {given} is {}: {reason}",
        vgpu.state
    )))
}
