//! The manager's end of a worker's control socket: one line of JSON each way, in turn.

use std::{io, path::Path, time::Duration};
use tessera_control::{CONTROL_SOCKET, MAX_LINE_BYTES, Request, Response, WorkerStatus};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
    sync::Mutex,
    time::timeout,
};

/// How long a worker may take to answer.
const ANSWER_TIME: Duration = Duration::from_secs(2);

/// A connection. After an error it is not used again: an answer that comes late would be taken for the next one's.
#[derive(Debug)]
pub(crate) struct Control {
    stream: Mutex<Option<BufReader<UnixStream>>>,
    peer: Option<u32>,
}

fn other(message: impl Into<String>) -> io::Error {
    io::Error::other(message.into())
}

impl Control {
    pub(crate) async fn connect(directory: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(directory.join(CONTROL_SOCKET)).await?;
        let peer = stream.peer_cred()?.pid().and_then(|pid| u32::try_from(pid).ok());
        Ok(Self {
            stream: Mutex::new(Some(BufReader::new(stream))),
            peer,
        })
    }

    /// Process id of the worker as the kernel noted it when the worker began to listen. What the worker says about itself is not
    /// good enough for a process that may be killed one day.
    pub(crate) fn peer(&self) -> Option<u32> {
        self.peer
    }

    pub(crate) async fn status(&self) -> io::Result<WorkerStatus> {
        match self.ask(&Request::Status(())).await? {
            Response::Status(status) => Ok(status),
            Response::Error(message) => Err(other(message)),
            Response::ShuttingDown(()) => Err(other("the worker is shutting down")),
        }
    }

    pub(crate) async fn shutdown(&self) -> io::Result<()> {
        match self.ask(&Request::Shutdown(())).await? {
            Response::ShuttingDown(()) => Ok(()),
            Response::Error(message) => Err(other(message)),
            Response::Status(_) => Err(other("the worker answered a shutdown with its status")),
        }
    }

    async fn ask(&self, request: &Request) -> io::Result<Response> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        let mut guard = self.stream.lock().await;
        let mut stream = guard
            .take()
            .ok_or_else(|| other("the connection failed earlier"))?;
        let exchange = async {
            stream.get_mut().write_all(&line).await?;
            let mut answer = Vec::new();
            // A worker is not trusted to end its lines.
            (&mut stream)
                .take(MAX_LINE_BYTES as u64)
                .read_until(b'\n', &mut answer)
                .await?;
            if answer.last() != Some(&b'\n') {
                return Err(other("the worker closed the connection or its line is too long"));
            }
            Ok(serde_json::from_slice(&answer)?)
        };
        let response = timeout(ANSWER_TIME, exchange)
            .await
            .map_err(|_| other("the worker does not answer"))??;
        *guard = Some(stream);
        Ok(response)
    }
}
