//! Frames: header, fixed part, tail. The picture is in the crate's documentation.

use crate::WireError;
use crate::messages::{Call, Class, Message, Opcode, Request, decode_body};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Flag of a reply.
pub const REPLY: u16 = 0x8000;

/// Longest message on a stream, bytes.
pub const MAX_STREAM_MESSAGE_BYTES: u32 = 16 << 20;

/// First 16 bytes of every frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Header {
    /// Bytes of the whole frame.
    pub length: u32,
    /// Number of the message; 0 is the ring's padding.
    pub opcode: u16,
    /// [`REPLY`] or 0.
    pub flags: u16,
    /// Number of the call, 0 for posted messages.
    pub call: u64,
}

/// What follows the header in a reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ReplyHead {
    /// CUDA code; 0: served.
    pub code: u32,
    /// 0
    pub reserved: u32,
}

/// Bytes of a header.
pub const HEADER_BYTES: usize = size_of::<Header>();

impl Header {
    /// The header of a message with a tail of so many bytes.
    ///
    /// # Errors
    /// The tail is longer than the table allows.
    pub fn of<M: Message>(call: u64, tail: usize) -> Result<Self, WireError> {
        if tail > M::MAX_TAIL {
            return Err(WireError::Tail {
                message: M::OPCODE.info().name,
                have: tail,
                limit: M::MAX_TAIL,
            });
        }
        Ok(Self {
            length: length(HEADER_BYTES + size_of::<M>() + tail)?,
            opcode: M::OPCODE.number(),
            flags: 0,
            call,
        })
    }

    /// The header at the start of `frame`.
    ///
    /// # Errors
    /// There are fewer than 16 bytes.
    pub fn read(frame: &[u8]) -> Result<(Self, &[u8]), WireError> {
        Self::read_from_prefix(frame).map_err(|_| WireError::Short {
            have: frame.len(),
            need: HEADER_BYTES,
        })
    }
}

fn length(bytes: usize) -> Result<u32, WireError> {
    u32::try_from(bytes)
        .ok()
        .filter(|&length| length <= MAX_STREAM_MESSAGE_BYTES)
        .ok_or(WireError::Length {
            length: bytes as u64,
            limit: u64::from(MAX_STREAM_MESSAGE_BYTES),
        })
}

/// Appends a whole request to `out`.
///
/// # Errors
/// The tail is longer than the table allows; nothing is appended.
pub fn encode<M: Message>(message: &M, call: u64, tail: &[u8], out: &mut Vec<u8>) -> Result<(), WireError> {
    let header = Header::of::<M>(call, tail.len())?;
    out.extend_from_slice(header.as_bytes());
    out.extend_from_slice(message.as_bytes());
    out.extend_from_slice(tail);
    Ok(())
}

/// Appends a whole reply to `out`.
///
/// # Errors
/// The reply is longer than any carrier takes; nothing is appended.
pub fn encode_reply<M: Call>(
    call: u64,
    reply: &M::Reply,
    tail: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), WireError> {
    let fixed = reply.as_bytes();
    reply_head(
        M::OPCODE.number(),
        call,
        0,
        fixed.len().saturating_add(tail.len()),
        out,
    )?;
    out.extend_from_slice(fixed);
    out.extend_from_slice(tail);
    Ok(())
}

/// Appends the reply to a refused call: a CUDA code other than 0 and the reason.
///
/// # Errors
/// The reason is longer than any carrier takes; nothing is appended.
pub fn encode_refusal(
    opcode: Opcode,
    call: u64,
    code: u32,
    reason: &str,
    out: &mut Vec<u8>,
) -> Result<(), WireError> {
    reply_head(opcode.number(), call, code.max(1), reason.len(), out)?;
    out.extend_from_slice(reason.as_bytes());
    Ok(())
}

fn reply_head(opcode: u16, call: u64, code: u32, body: usize, out: &mut Vec<u8>) -> Result<(), WireError> {
    let head = ReplyHead { code, reserved: 0 };
    let header = Header {
        length: length((HEADER_BYTES + size_of::<ReplyHead>()).saturating_add(body))?,
        opcode,
        flags: REPLY,
        call,
    };
    out.extend_from_slice(header.as_bytes());
    out.extend_from_slice(head.as_bytes());
    Ok(())
}

/// Decodes a request that fills `frame` exactly.
///
/// # Errors
/// The bytes are no message of this protocol.
pub fn decode(frame: &[u8]) -> Result<(Header, Request<'_>), WireError> {
    let (header, body) = Header::read(frame)?;
    if u64::from(header.length) != frame.len() as u64 {
        return Err(WireError::Length {
            length: u64::from(header.length),
            limit: frame.len() as u64,
        });
    }
    let opcode = Opcode::from_number(header.opcode).ok_or(WireError::UnknownOpcode(header.opcode))?;
    if header.flags != 0 {
        return Err(WireError::Flags {
            flags: header.flags,
            opcode: header.opcode,
        });
    }
    let info = opcode.info();
    if (info.class == Class::Call) != (header.call != 0) {
        return Err(WireError::CallNumber {
            message: info.name,
            call: header.call,
        });
    }
    Ok((header, decode_body(opcode, body)?))
}

/// What a call came to: the reply with its tail, or a CUDA code with the reason.
pub type ReplyBody<'a, R> = Result<(R, &'a [u8]), (u32, String)>;

/// Decodes the reply to call number `call` of message `M`.
///
/// # Errors
/// The bytes are not that reply.
pub fn decode_reply<M: Call>(frame: &[u8], call: u64) -> Result<ReplyBody<'_, M::Reply>, WireError> {
    let (header, body) = Header::read(frame)?;
    if u64::from(header.length) != frame.len() as u64 {
        return Err(WireError::Length {
            length: u64::from(header.length),
            limit: frame.len() as u64,
        });
    }
    if header.flags != REPLY || header.opcode != M::OPCODE.number() || header.call != call {
        return Err(WireError::Reply {
            opcode: header.opcode,
            call: header.call,
        });
    }
    let Ok((head, rest)) = ReplyHead::read_from_prefix(body) else {
        return Err(WireError::Short {
            have: body.len(),
            need: size_of::<ReplyHead>(),
        });
    };
    if head.code != 0 {
        return Ok(Err((head.code, String::from_utf8_lossy(rest).into_owned())));
    }
    let Ok((reply, tail)) = M::Reply::read_from_prefix(rest) else {
        return Err(WireError::Short {
            have: rest.len(),
            need: size_of::<M::Reply>(),
        });
    };
    if !M::REPLY_HAS_TAIL && !tail.is_empty() {
        return Err(WireError::Tail {
            message: M::OPCODE.info().name,
            have: tail.len(),
            limit: 0,
        });
    }
    Ok(Ok((reply, tail)))
}
