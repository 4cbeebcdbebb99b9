//! The manager's connection: a line of JSON in, a line of JSON out. See `tessera-control`.

use crate::vgpu::Vgpu;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use tessera_control::{MAX_LINE_BYTES, Request, Response};

/// Serves one connection until it ends.
pub(crate) fn serve(vgpu: &Arc<Vgpu>, stream: &UnixStream, shutdown: &Sender<()>) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        let most = MAX_LINE_BYTES as u64;
        match reader.by_ref().take(most).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) if line.last() != Some(&b'\n') => {
                // Cut short by the end of the connection, or too long to be one of ours.
                let _ = answer(stream, &Response::Error("Line is not complete".into()));
                return;
            }
            Ok(_) => {}
        }
        let (response, end) = match serde_json::from_slice(&line) {
            Ok(Request::Status(())) => (Response::Status(vgpu.status()), false),
            Ok(Request::Shutdown(())) => (Response::ShuttingDown(()), true),
            Err(error) => (Response::Error(format!("Not a request: {error}")), false),
        };
        if answer(stream, &response).is_err() {
            return;
        }
        if end {
            tracing::info!("the manager ends this worker");
            // The receiver is gone only when the worker ends already.
            let _ = shutdown.send(());
            return;
        }
    }
}

fn answer(mut stream: &UnixStream, response: &Response) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(response)?;
    line.push(b'\n');
    stream.write_all(&line)
}
