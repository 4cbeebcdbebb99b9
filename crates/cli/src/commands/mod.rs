//! The commands.

pub(crate) mod cache;
pub(crate) mod events;
pub(crate) mod gpu;
pub(crate) mod manager;
pub(crate) mod run;
pub(crate) mod types;
pub(crate) mod vgpu;

use tessera_client::{Client, paths::Directories};

/// The directories of this user's manager.
pub(crate) fn directories() -> Directories {
    Directories::from_environment(rustix::process::geteuid().as_raw())
}

/// A client of this user's manager.
pub(crate) fn client() -> Client {
    Client::new(directories().manager_socket())
}
