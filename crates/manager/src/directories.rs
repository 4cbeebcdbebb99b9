//! The manager's own directories: whose they are, and that no other manager uses them.

use crate::{Error, spawn::directory_of};
use rustix::fs::{FlockOperation, flock};
use std::{
    fs::{DirBuilder, File, OpenOptions},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::Path,
};
use uuid::Uuid;

/// Bytes of a unix socket's path that the system allows, the ending zero aside.
const SOCKET_PATH_LIMIT: usize = 107;

/// Makes a directory for this user alone, or checks that the one there is this user's.
pub(crate) fn prepare(path: &Path) -> Result<(), Error> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(Error::file("make the directory", path))?;
    let owner = std::fs::symlink_metadata(path)
        .map_err(Error::file("look at", path))?
        .uid();
    if owner != rustix::process::geteuid().as_raw() {
        return Err(Error::NotOurs {
            path: path.to_owned(),
        });
    }
    Ok(())
}

pub(crate) fn check_socket_path(run: &Path) -> Result<(), Error> {
    let longest = directory_of(run, Uuid::nil()).join(tessera_control::CONTROL_SOCKET);
    let length = longest.as_os_str().len();
    if length > SOCKET_PATH_LIMIT {
        return Err(Error::PathTooLong {
            path: run.to_owned(),
            length,
            limit: SOCKET_PATH_LIMIT,
        });
    }
    Ok(())
}

/// One manager per directory.
pub(crate) fn lock(directory: &Path) -> Result<File, Error> {
    let path = directory.join("manager.lock");
    let open = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path);
    let file = open.map_err(Error::file("open", &path))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::StateInUse { path }),
        Err(error) => Err(Error::file("lock", path)(error.into())),
    }
}
