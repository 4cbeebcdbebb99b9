//! Arrays, textures and surfaces.
//!
//! An [`Array`] is memory whose layout only its device knows. A texture or surface is an [`ImageView`] of an array or of plain memory;
//! kernels get a handle of it, or find it in a texture reference of their module.

use crate::DevicePtr;
use std::sync::Arc;

/// Type of a channel, with the numbers of `CUarray_format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChannelFormat {
    /// 8 bits, unsigned.
    U8 = 1,
    /// 16 bits, unsigned.
    U16 = 2,
    /// 32 bits, unsigned.
    U32 = 3,
    /// 8 bits, signed.
    S8 = 8,
    /// 16 bits, signed.
    S16 = 9,
    /// 32 bits, signed.
    S32 = 10,
    /// Half precision.
    Half = 16,
    /// Single precision.
    Float = 32,
}

impl ChannelFormat {
    /// The format with this number.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        [
            Self::U8,
            Self::U16,
            Self::U32,
            Self::S8,
            Self::S16,
            Self::S32,
            Self::Half,
            Self::Float,
        ]
        .into_iter()
        .find(|format| *format as u32 == number)
    }

    /// Bytes of a channel.
    #[must_use]
    pub const fn bytes(self) -> u32 {
        match self {
            Self::U8 | Self::S8 => 1,
            Self::U16 | Self::S16 | Self::Half => 2,
            Self::U32 | Self::S32 | Self::Float => 4,
        }
    }
}

/// Texels: type and number of their channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TexelFormat {
    /// Of each channel.
    pub format: ChannelFormat,
    /// 1, 2 or 4.
    pub channels: u32,
}

/// What [`crate::Context::create_array`] needs. As in CUDA, 0 is an axis that the array does not have, and the last axis of a layered
/// array counts layers, six for each cube.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ArrayOptions {
    /// Texels of a row.
    pub width: u64,
    /// Rows.
    pub height: u64,
    /// Slices, layers or faces.
    pub depth: u64,
    /// Texels.
    pub texel: TexelFormat,
    /// Slices are layers.
    pub layered: bool,
    /// Slices are faces of cubes.
    pub cube: bool,
    /// Levels of detail; 1 for an ordinary array.
    pub levels: u32,
}

/// An array. Dropping the last reference frees it at once.
pub trait Array: Send + Sync {
    /// Frame buffer that it takes, bytes.
    fn bytes(&self) -> u64;
    /// For the device that made it.
    fn as_any(self: Arc<Self>) -> Arc<dyn std::any::Any + Send + Sync>;
}

/// A place in an array.
#[derive(Clone)]
pub struct ArrayPlace {
    /// Which.
    pub array: Arc<dyn Array>,
    /// Level of detail.
    pub level: u32,
    /// Bytes from the start of a row.
    pub x: u64,
    /// Row.
    pub y: u64,
    /// Slice, layer or face.
    pub z: u64,
}

/// What lies beyond the edges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AddressMode {
    /// The image again.
    #[default]
    Wrap,
    /// The texel at the edge.
    Clamp,
    /// The image mirrored.
    Mirror,
    /// The border's colour.
    Border,
}

/// How a texture is read.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sampling {
    /// Beyond the edges, per axis.
    pub modes: [AddressMode; 3],
    /// Coordinates go from 0 to 1.
    pub normalized: bool,
    /// Linear filtering.
    pub linear: bool,
    /// Linear filtering between levels.
    pub linear_levels: bool,
    /// Integers of 8 and 16 bits become numbers of 0 to 1, or -1 to 1.
    pub unit: bool,
    /// 8-bit colours are in the sRGB encoding.
    pub srgb: bool,
    /// Of the border.
    pub border: [f32; 4],
    /// Added to the level of detail.
    pub level_bias: f32,
    /// Least and most level of detail.
    pub level_clamp: [f32; 2],
}

/// Where the texels of an image are.
#[derive(Clone)]
pub enum ImageSource {
    /// An array with all its levels.
    Array(Arc<dyn Array>),
    /// One level of an array.
    Level(Arc<dyn Array>, u32),
    /// A line in plain memory; reading beyond it gives zero.
    Linear {
        /// First byte.
        address: DevicePtr,
        /// Bytes.
        bytes: u64,
        /// Texels.
        texel: TexelFormat,
    },
    /// Rows in plain memory.
    Pitched {
        /// First byte.
        address: DevicePtr,
        /// Texels of a row.
        width: u64,
        /// Rows.
        height: u64,
        /// Bytes from row to row.
        pitch: u64,
        /// Texels.
        texel: TexelFormat,
    },
}

/// A texture or surface.
#[derive(Clone)]
pub struct ImageView {
    /// Its texels.
    pub source: ImageSource,
    /// How a texture is read; `None` makes a surface.
    pub sampling: Option<Sampling>,
}
