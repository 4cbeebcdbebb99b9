//! The messages, generated from `crates/api/messages.toml`.
//!
//! Each message is a plain struct ([`Launch`], [`MemAlloc`], ...) that implements [`Message`] and either [`Posted`] or
//! [`Call`]; a call names its reply struct. [`Request`] is what a decoder yields. [`MESSAGES`] lists them all with their class,
//! quota, sizes and legality in a stream capture.

use crate::WireError;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A message's fixed part.
pub trait Message: FromBytes + IntoBytes + Immutable + KnownLayout + Copy + std::fmt::Debug {
    /// Its number.
    const OPCODE: Opcode;
    /// Most bytes of its tail; 0: no tail.
    const MAX_TAIL: usize;
}

/// A message that is not waited for.
pub trait Posted: Message {}

/// A message whose sender waits for a reply.
pub trait Call: Message {
    /// Fixed part of the reply.
    type Reply: FromBytes + IntoBytes + Immutable + KnownLayout + Copy + std::fmt::Debug + Default;
    /// Whether a reply can have a tail.
    const REPLY_HAS_TAIL: bool;
}

/// Whether the sender waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Not waited for.
    Posted,
    /// The sender waits for the reply.
    Call,
}

/// What the worker charges a message to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Quota {
    /// Nothing.
    None,
    /// Number of objects of its kind.
    Objects,
    /// Frame buffer.
    Memory,
    /// Pinned host memory.
    HostMemory,
    /// Operations queued.
    Queue,
    /// Bytes to compile.
    Compile,
}

/// What a message means while a stream is captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Capture {
    /// Does not touch the stream.
    Allowed,
    /// Becomes a node of the graph.
    Node,
    /// Not legal.
    Forbidden,
}

/// A row of [`MESSAGES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageInfo {
    /// Name of the struct.
    pub name: &'static str,
    /// Number on the wire.
    pub opcode: Opcode,
    /// Whether the sender waits.
    pub class: Class,
    /// What it is charged to.
    pub quota: Quota,
    /// What it means in a stream capture.
    pub capture: Capture,
    /// Bytes of the fixed part.
    pub fixed_bytes: usize,
    /// Most bytes of the tail.
    pub max_tail: usize,
    /// Bytes of the reply's fixed part, for a call.
    pub reply_bytes: Option<usize>,
    /// Whether the reply can have a tail.
    pub reply_has_tail: bool,
}

impl Opcode {
    /// Its row in [`MESSAGES`].
    #[must_use]
    pub fn info(self) -> &'static MessageInfo {
        // Every opcode comes from the table, so the search finds it; the first row keeps this free of a panic.
        MESSAGES
            .iter()
            .find(|row| row.opcode == self)
            .unwrap_or(&MESSAGES[0])
    }
}

/// Fixed part and tail of a message's body; the tail is checked against the table.
fn split<M: Message>(body: &[u8]) -> Result<(M, &[u8]), WireError> {
    let Ok((message, tail)) = M::read_from_prefix(body) else {
        return Err(WireError::Short {
            have: body.len(),
            need: size_of::<M>(),
        });
    };
    if tail.len() > M::MAX_TAIL {
        return Err(WireError::Tail {
            message: M::OPCODE.info().name,
            have: tail.len(),
            limit: M::MAX_TAIL,
        });
    }
    Ok((message, tail))
}

include!(concat!(env!("OUT_DIR"), "/messages.rs"));
