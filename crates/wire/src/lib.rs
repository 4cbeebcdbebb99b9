//! Messages between guest and worker.
//!
//! The messages themselves are generated from `crates/api/messages.toml`; see [`messages`]. This module has what all of them
//! share: the header, the split of a frame into header, fixed part and tail, and the constants of fields.
//!
//! ```text
//!  request   0        4      6      8                 16             16 + fixed       length
//!            ┌────────┬──────┬──────┬─────────────────┬──────────────┬────────────────┐
//!            │ length │opcode│flags │ call            │ fixed part   │ tail           │
//!            └────────┴──────┴──────┴─────────────────┴──────────────┴────────────────┘
//!  reply     0        4      6      8                 16    20    24 24 + fixed       length
//!            ┌────────┬──────┬──────┬─────────────────┬─────┬─────┬──────────────┬────────────────┐
//!            │ length │opcode│REPLY │ call            │code │  0  │ fixed part   │ tail           │
//!            └────────┴──────┴──────┴─────────────────┴─────┴─────┴──────────────┴────────────────┘
//!                                                      code ≠ 0: no fixed part, the tail is the reason in UTF-8
//! ```
//!
//! All numbers are little endian. `length` counts every byte from the header's first on; in a ring, frames start at multiples
//! of 16, on a stream they follow each other without a gap. `call` is 0 in a posted message; otherwise its low 16 bits are the
//! reply slot plus one (0 on a stream without aperture) and the rest tells calls apart.
//!
//! Invariants: decoding never panics and never reads outside the frame; what does not decode is a [`WireError`] that says why.
#![forbid(unsafe_code)]

mod blob;
mod codes;
mod frame;

pub mod messages;

pub use blob::{
    AddressList, Image, ImageList, NameList, Parameter, ParameterList, Process, ProcessList, ProcessUse,
    TailReader, TailWriter, UseList, VgpuInfo,
};
pub use codes::CudaCode;
pub use frame::{
    HEADER_BYTES, Header, MAX_STREAM_MESSAGE_BYTES, REPLY, ReplyBody, ReplyHead, decode, decode_reply,
    encode, encode_refusal, encode_reply,
};
pub use messages::{
    Call, Capture, Class, MESSAGES, Message, MessageInfo, Opcode, Posted, Quota, Request, VERSION,
};

use thiserror::Error;

// Structs go to the wire as they lie in memory; on another byte order every field would have to be turned.
const _: () = assert!(
    cfg!(target_endian = "little"),
    "Tessera's wire format needs a little-endian machine"
);

/// First field of Hello and Welcome: `tessera` and a digit that would change with an incompatible frame.
pub const MAGIC: u64 = u64::from_le_bytes(*b"tessera1");

/// Session kinds in Hello.
pub mod kind {
    /// CUDA: gets an aperture and a host arena.
    pub const CUDA: u32 = 0;
    /// NVML: asks questions over the stream.
    pub const NVML: u32 = 1;
}

/// StreamCreate: does not synchronise with the legacy stream.
pub const STREAM_NON_BLOCKING: u32 = 1;
/// StreamCreate: is the legacy default stream of its context.
pub const STREAM_LEGACY: u32 = 2;
/// Launch: all blocks are resident at once and may meet at a grid barrier.
pub const LAUNCH_COOPERATIVE: u32 = 1;
/// Launch: blocks of a cluster in x, y and z, five bits each from here on; all 0 where the launch does not say.
pub const LAUNCH_CLUSTER_SHIFT: u32 = 8;
/// Launch: all bits that have a meaning.
pub const LAUNCH_FLAGS: u32 = LAUNCH_COOPERATIVE | 0x7fff << LAUNCH_CLUSTER_SHIFT;

/// Flags of a launch. An extent of a cluster that is larger than 31 has no place here and becomes 31, which no device takes.
#[must_use]
pub fn launch_flags(cooperative: bool, cluster: [u32; 3]) -> u32 {
    let [x, y, z] = cluster.map(|extent| extent.min(31));
    u32::from(cooperative) | (x | y << 5 | z << 10) << LAUNCH_CLUSTER_SHIFT
}

/// Blocks of a cluster in the flags of a launch.
#[must_use]
pub const fn launch_cluster(flags: u32) -> [u32; 3] {
    let packed = flags >> LAUNCH_CLUSTER_SHIFT;
    [packed & 31, packed >> 5 & 31, packed >> 10 & 31]
}
/// StreamValue: waits until the value is not before the given one, in circular order.
pub const VALUE_GREATER_OR_EQUAL: u32 = 0;
/// StreamValue: waits until the value is the given one.
pub const VALUE_EQUAL: u32 = 1;
/// StreamValue: waits until both have a bit in common.
pub const VALUE_AND: u32 = 2;
/// StreamValue: waits until a bit is set in neither.
pub const VALUE_NOR: u32 = 3;
/// StreamValue: writes the value.
pub const VALUE_WRITE: u32 = 4;
/// CopyIn, CopyOut, images: an offset in the staging heap.
pub const PLACE_STAGING: u32 = 0;
/// CopyIn, CopyOut: an address in the host arena.
pub const PLACE_PINNED: u32 = 1;
/// CopyIn, images: the bytes come with the message.
pub const PLACE_TAIL: u32 = 2;
/// CopyArray: a device address.
pub const PLACE_DEVICE: u32 = 3;
/// CopyArray: another array.
pub const PLACE_ARRAY: u32 = 4;
/// ArrayCreate: slices are layers.
pub const ARRAY_LAYERED: u32 = 1;
/// ArrayCreate: slices are faces of cubes.
pub const ARRAY_CUBE: u32 = 2;
/// ImageCreate, ImageBind: a surface.
pub const IMAGE_SURFACE: u32 = 1;
/// ImageCreate, ImageBind: coordinates go from 0 to 1.
pub const IMAGE_NORMALIZED: u32 = 2;
/// ImageCreate, ImageBind: linear filtering.
pub const IMAGE_LINEAR: u32 = 4;
/// ImageCreate, ImageBind: linear filtering between levels.
pub const IMAGE_LINEAR_LEVELS: u32 = 8;
/// ImageCreate, ImageBind: integers become numbers of 0 to 1, or -1 to 1.
pub const IMAGE_UNIT: u32 = 16;
/// ImageCreate, ImageBind: colours are in the sRGB encoding.
pub const IMAGE_SRGB: u32 = 32;
/// ImageBind: nothing is bound.
pub const IMAGE_NOTHING: u32 = 64;
/// ImageCreate, ImageBind: all levels of an array.
pub const ALL_LEVELS: u32 = u32::MAX;
/// HostAlloc: mapped in every context of the session.
pub const HOST_PORTABLE: u32 = 1;
/// `LinkCheck`: look at each image by itself and link nothing.
pub const LINK_APART: u32 = 1;
/// ModuleManaged: the variables have values already.
pub const MANAGED_INITIALISED: u32 = 1;
/// HostRegister: kernels cannot write there.
pub const HOST_READ_ONLY: u32 = 1;

/// Why bytes are not a message.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WireError {
    /// Fewer bytes than the frame or its fixed part needs.
    #[error("Message is too short: {have} bytes, {need} needed")]
    Short {
        /// Bytes there.
        have: usize,
        /// Bytes needed.
        need: usize,
    },
    /// The length in the header is not that of the frame, or beyond what the carrier takes.
    #[error("Message length {length} is wrong, at most {limit} here")]
    Length {
        /// As in the header.
        length: u64,
        /// What the carrier holds.
        limit: u64,
    },
    /// No message with this number.
    #[error("Unknown opcode {0}")]
    UnknownOpcode(u16),
    /// Flags that this version does not know.
    #[error("Unknown flags {flags:#x} in opcode {opcode}")]
    Flags {
        /// Of the header.
        flags: u16,
        /// Of the header.
        opcode: u16,
    },
    /// A tail where none is allowed, or one that is too long.
    #[error("Tail of {have} bytes in {message}, at most {limit} allowed")]
    Tail {
        /// Name of the message.
        message: &'static str,
        /// Bytes there.
        have: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// A call without a call number or a posted message with one.
    #[error("{message} has call number {call:#x}, which does not fit its class")]
    CallNumber {
        /// Name of the message.
        message: &'static str,
        /// Of the header.
        call: u64,
    },
    /// Not the reply that was waited for.
    #[error("Reply to another message: opcode {opcode}, call {call:#x}")]
    Reply {
        /// Of the header.
        opcode: u16,
        /// Of the header.
        call: u64,
    },
    /// The other side does not speak this protocol.
    #[error("Not a Tessera channel: magic {0:#018x}")]
    Magic(u64),
    /// A tail does not hold what it should.
    #[error("Malformed {0}")]
    Blob(&'static str),
}
