//! The client: one connection per request.

use crate::{ApiError, ClientError, CreateVgpu, Event, Gpu, GpuType, ManagerInfo, Vgpu};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, Response,
    body::{Bytes, Incoming},
    header,
};
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use std::path::{Path, PathBuf};
use tokio::net::UnixStream;

/// Largest answer accepted, bytes.
const MAX_ANSWER_BYTES: usize = 64 << 20;
/// Longest line of an event stream accepted, bytes.
const MAX_EVENT_BYTES: usize = 1 << 20;

/// A client of one manager. Cheap to make; holds no connection.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
}

impl Client {
    /// A client of the manager whose API socket is at this path.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self {
            socket: socket.into(),
        }
    }

    /// The manager's socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Who answers.
    ///
    /// # Errors
    /// See [`ClientError`]; so for all calls.
    pub async fn manager(&self) -> Result<ManagerInfo, ClientError> {
        self.get("/v1/manager").await
    }

    /// The physical GPUs.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn gpus(&self) -> Result<Vec<Gpu>, ClientError> {
        self.get("/v1/gpus").await
    }

    /// The types of a GPU (index or UUID).
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn types(&self, gpu: &str) -> Result<Vec<GpuType>, ClientError> {
        self.get(&format!("/v1/gpus/{}/types", encode(gpu))).await
    }

    /// All vGPUs. With `sample_ms` the manager measures time shares over that long before it answers.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn vgpus(&self, sample_ms: u32) -> Result<Vec<Vgpu>, ClientError> {
        self.get(&format!("/v1/vgpus?sample_ms={sample_ms}")).await
    }

    /// One vGPU: by UUID, unique start of one, or name.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn vgpu(&self, vgpu: &str) -> Result<Vgpu, ClientError> {
        self.get(&format!("/v1/vgpus/{}", encode(vgpu))).await
    }

    /// Creates a vGPU; returns when its worker answers.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn create_vgpu(&self, request: &CreateVgpu) -> Result<Vgpu, ClientError> {
        let body = self.encode_body(request)?;
        let response = self.send(Method::POST, "/v1/vgpus", body).await?;
        self.decode(response).await
    }

    /// Deletes a vGPU; returns when its worker is gone and its frame buffer free.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn delete_vgpu(&self, vgpu: &str) -> Result<(), ClientError> {
        let response = self
            .send(
                Method::DELETE,
                &format!("/v1/vgpus/{}", encode(vgpu)),
                Bytes::new(),
            )
            .await?;
        self.check(response).await.map(drop)
    }

    /// Events after a sequence number, oldest first.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn events(&self, after: u64) -> Result<Vec<Event>, ClientError> {
        self.get(&format!("/v1/events?after={after}")).await
    }

    /// Events after a sequence number, then those that happen.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn follow_events(&self, after: u64) -> Result<EventStream, ClientError> {
        let response = self
            .send(
                Method::GET,
                &format!("/v1/events/stream?after={after}"),
                Bytes::new(),
            )
            .await?;
        let response = self.check(response).await?;
        Ok(EventStream {
            socket: self.socket.clone(),
            body: response.into_body(),
            buffer: Vec::new(),
        })
    }

    /// The OpenAPI description.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn openapi(&self) -> Result<serde_json::Value, ClientError> {
        self.get("/openapi.json").await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let response = self.send(Method::GET, path, Bytes::new()).await?;
        self.decode(response).await
    }

    fn encode_body(&self, value: &impl Serialize) -> Result<Bytes, ClientError> {
        serde_json::to_vec(value)
            .map(Bytes::from)
            .map_err(|error| self.protocol(error.to_string()))
    }

    async fn send(&self, method: Method, path: &str, body: Bytes) -> Result<Response<Incoming>, ClientError> {
        let no_manager = |source| ClientError::NoManager {
            socket: self.socket.clone(),
            source,
        };
        let broken = |source| ClientError::Connection {
            socket: self.socket.clone(),
            source,
        };
        let stream = UnixStream::connect(&self.socket).await.map_err(no_manager)?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(broken)?;
        // Ends with the connection: when the answer was read, or dropped.
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "tessera")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| self.protocol(error.to_string()))?;
        sender.send_request(request).await.map_err(broken)
    }

    async fn check(&self, response: Response<Incoming>) -> Result<Response<Incoming>, ClientError> {
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let body = self.body(response).await?;
        match serde_json::from_slice::<ApiError>(&body) {
            Ok(error) => Err(error.into()),
            Err(_) => {
                let text: String = String::from_utf8_lossy(&body).chars().take(200).collect();
                Err(self.protocol(format!("HTTP status {status}: {text}")))
            }
        }
    }

    async fn decode<T: DeserializeOwned>(&self, response: Response<Incoming>) -> Result<T, ClientError> {
        let response = self.check(response).await?;
        let body = self.body(response).await?;
        serde_json::from_slice(&body).map_err(|error| self.protocol(error.to_string()))
    }

    async fn body(&self, response: Response<Incoming>) -> Result<Bytes, ClientError> {
        let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES);
        let collected = body
            .collect()
            .await
            .map_err(|error| self.protocol(error.to_string()))?;
        Ok(collected.to_bytes())
    }

    fn protocol(&self, what: String) -> ClientError {
        ClientError::Protocol {
            socket: self.socket.clone(),
            what,
        }
    }
}

/// Events as they happen: the stream of server-sent events, taken apart.
#[derive(Debug)]
pub struct EventStream {
    socket: PathBuf,
    body: Incoming,
    buffer: Vec<u8>,
}

impl EventStream {
    /// The next event; `None` when the manager stopped.
    ///
    /// # Errors
    /// The connection broke, or the manager sent something else.
    pub async fn next(&mut self) -> Result<Option<Event>, ClientError> {
        let protocol = |what: &str| ClientError::Protocol {
            socket: self.socket.clone(),
            what: what.to_owned(),
        };
        loop {
            while let Some(end) = self.buffer.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                // Only `data:` matters: the number and the kind are inside the event too. The rest is comments and keep-alives.
                if let Some(data) = line.strip_prefix(b"data:") {
                    return serde_json::from_slice(data)
                        .map(Some)
                        .map_err(|error| protocol(&error.to_string()));
                }
            }
            if self.buffer.len() > MAX_EVENT_BYTES {
                return Err(protocol("an event without end"));
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Ok(frame)) => self
                    .buffer
                    .extend_from_slice(frame.data_ref().map_or(&[][..], |data| data)),
                Some(Err(source)) => {
                    return Err(ClientError::Connection {
                        socket: self.socket.clone(),
                        source,
                    });
                }
            }
        }
    }
}

/// Percent-encodes a path segment; what users type goes through here.
fn encode(segment: &str) -> String {
    let mut encoded = String::with_capacity(segment.len());
    for byte in segment.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_cannot_leave_their_place() {
        assert_eq!(encode("a-b_1.c"), "a-b_1.c");
        assert_eq!(encode("../x?y z"), "..%2Fx%3Fy%20z");
    }
}
