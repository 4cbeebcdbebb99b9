//! The API socket: who may connect, how serving ends.

use crate::{Manager, api};
use axum::serve::Listener;
use std::{
    future::Future,
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};
use tessera_client::paths::manager_socket;
use tokio::net::{UnixListener, UnixStream, unix::SocketAddr};

/// How long requests may go on after the end of serving was asked for.
const DRAIN_TIME: Duration = Duration::from_secs(1);

/// The API cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("cannot serve on {}: {source}", socket.display())]
pub struct ServerError {
    socket: PathBuf,
    source: io::Error,
}

/// The API of a manager on its socket.
pub struct Server {
    manager: Manager,
    listener: CheckedListener,
    socket: PathBuf,
}

impl Server {
    /// Opens the socket, for this user and root. The manager's lock on the run directory makes sure that a socket already there is
    /// a dead one.
    ///
    /// # Errors
    /// The socket cannot be made.
    pub fn bind(manager: Manager) -> Result<Self, ServerError> {
        let socket = manager_socket(&manager.config().directories.run);
        let listener = bind(&socket).map_err(|source| ServerError {
            socket: socket.clone(),
            source,
        })?;
        Ok(Self {
            manager,
            listener,
            socket,
        })
    }

    /// The socket's path.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Serves until the future is ready, then lets running requests finish for a moment. Removes the socket.
    ///
    /// # Errors
    /// Serving failed.
    pub async fn serve(self, end: impl Future<Output = ()> + Send + 'static) -> Result<(), ServerError> {
        let Self {
            manager,
            listener,
            socket,
        } = self;
        let (ended, mut end_seen) = tokio::sync::watch::channel(false);
        let signal = async move {
            end.await;
            ended.send_replace(true);
        };
        let serving = axum::serve(listener, api::router(manager)).with_graceful_shutdown(signal);
        let drained = async {
            let _ = end_seen.wait_for(|ended| *ended).await;
            tokio::time::sleep(DRAIN_TIME).await;
        };
        let result = tokio::select! {
            result = async { serving.await } => result,
            () = drained => Ok(()),
        };
        let _ = std::fs::remove_file(&socket);
        result.map_err(|source| ServerError { socket, source })
    }
}

fn bind(socket: &Path) -> io::Result<CheckedListener> {
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(socket)?;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600))?;
    Ok(CheckedListener {
        listener,
        own_uid: rustix::process::geteuid().as_raw(),
    })
}

/// Takes connections of this user and of root only, whatever became of the socket's permissions.
struct CheckedListener {
    listener: UnixListener,
    own_uid: u32,
}

impl Listener for CheckedListener {
    type Io = UnixStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (UnixStream, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok((stream, address)) => match stream.peer_cred() {
                    Ok(peer) if peer.uid() == self.own_uid || peer.uid() == 0 => return (stream, address),
                    Ok(peer) => tracing::warn!(uid = peer.uid(), "refused a connection of another user"),
                    Err(error) => tracing::warn!(%error, "refused a connection without credentials"),
                },
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await; // out of descriptors, most likely
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}
