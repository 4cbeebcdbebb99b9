//! Tensor maps: what the 128 opaque bytes of a `CUtensorMap` hold here.
//!
//! The guest driver writes them, a program hands them to kernels without looking inside, and whoever executes a copy through a tensor
//! map reads them. The layout is Tessera's own. Numbers are little endian; codes of enumerations are those of the driver API.
//!
//! ```text
//!   0 magic  8 address  16 dims - 1 (5 × u32)  36 kind  37 type  38 rank  39 interleave  40 strides in bytes (4 × u64)
//!  72 element strides (5 × u8)  77 swizzle  78 L2 promotion  79 fill
//!  80 tiled: box (5 × u16); im2col: lower corner (3 × i16), upper corner (3 × i16), channels, pixels (u16)
//!  96 mode of wide im2col  97 zeros up to 128
//! ```
//!
//! Invariants: `decode(encode(map)) == Some(map)` for a map whose fields are in the ranges of their places; what does not start with
//! the magic or has a kind that there is not decodes to nothing.

/// Bytes of a tensor map.
pub const BYTES: usize = 128;
/// Most dimensions of a tensor.
pub const MAX_RANK: usize = 5;

const MAGIC: [u8; 8] = *b"tessmap1";
const TILED: u8 = 0;
const IM2COL: u8 = 1;
const WIDE: u8 = 2;

/// Which elements one copy takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A box of elements.
    Tiled {
        /// Elements along each dimension, innermost first.
        extent: [u16; MAX_RANK],
    },
    /// Pixels in a bounding box, as columns.
    Im2col {
        /// Offsets of the bounding box from the start of each spatial dimension, W first.
        lower: [i16; 3],
        /// Offsets of the bounding box from the end of each spatial dimension, W first.
        upper: [i16; 3],
        /// Elements of a pixel.
        channels: u16,
        /// Pixels of a column.
        pixels: u16,
    },
    /// Pixels along W only.
    Im2colWide {
        /// Offset of the bounding box from the start of W.
        lower: i16,
        /// Offset of the bounding box from the end of W.
        upper: i16,
        /// Elements of a pixel.
        channels: u16,
        /// Pixels of a column.
        pixels: u16,
        /// `CUtensorMapIm2ColWideMode`
        mode: u8,
    },
}

/// A tensor map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TensorMap {
    /// Where the tensor starts in global memory.
    pub address: u64,
    /// `CUtensorMapDataType`
    pub data_type: u8,
    /// Dimensions, 1 to 5.
    pub rank: u8,
    /// Elements along each dimension, innermost first, 1 to 2^32; 1 beyond the rank.
    pub dims: [u64; MAX_RANK],
    /// Bytes from one element to the next along dimensions 1 and up; 0 beyond the rank.
    pub strides: [u64; MAX_RANK - 1],
    /// Steps along each dimension.
    pub element_strides: [u8; MAX_RANK],
    /// `CUtensorMapInterleave`
    pub interleave: u8,
    /// `CUtensorMapSwizzle`
    pub swizzle: u8,
    /// `CUtensorMapL2promotion`
    pub promotion: u8,
    /// `CUtensorMapFloatOOBfill`
    pub fill: u8,
    /// What one copy takes.
    pub shape: Shape,
}

fn put(bytes: &mut [u8; BYTES], at: usize, field: &[u8]) {
    for (to, from) in bytes.iter_mut().skip(at).zip(field) {
        *to = *from;
    }
}

fn take<const N: usize>(bytes: &[u8; BYTES], at: usize) -> [u8; N] {
    std::array::from_fn(|index| bytes[at + index])
}

impl TensorMap {
    /// The bytes that hold this map.
    #[must_use]
    pub fn encode(&self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        put(&mut bytes, 0, &MAGIC);
        put(&mut bytes, 8, &self.address.to_le_bytes());
        for (index, dim) in self.dims.iter().enumerate() {
            put(
                &mut bytes,
                16 + 4 * index,
                &dim.wrapping_sub(1).to_le_bytes()[..4],
            );
        }
        put(&mut bytes, 37, &[self.data_type, self.rank, self.interleave]);
        for (index, stride) in self.strides.iter().enumerate() {
            put(&mut bytes, 40 + 8 * index, &stride.to_le_bytes());
        }
        put(&mut bytes, 72, &self.element_strides);
        put(&mut bytes, 77, &[self.swizzle, self.promotion, self.fill]);
        let mut columns =
            |kind: u8, lower: [i16; 3], upper: [i16; 3], channels: u16, pixels: u16, mode: u8| {
                bytes[36] = kind;
                for index in 0..3 {
                    put(&mut bytes, 80 + 2 * index, &lower[index].to_le_bytes());
                    put(&mut bytes, 86 + 2 * index, &upper[index].to_le_bytes());
                }
                put(&mut bytes, 92, &channels.to_le_bytes());
                put(&mut bytes, 94, &pixels.to_le_bytes());
                bytes[96] = mode;
            };
        match self.shape {
            Shape::Im2col {
                lower,
                upper,
                channels,
                pixels,
            } => columns(IM2COL, lower, upper, channels, pixels, 0),
            Shape::Im2colWide {
                lower,
                upper,
                channels,
                pixels,
                mode,
            } => {
                columns(WIDE, [lower, 0, 0], [upper, 0, 0], channels, pixels, mode);
            }
            Shape::Tiled { extent } => {
                bytes[36] = TILED;
                for (index, size) in extent.iter().enumerate() {
                    put(&mut bytes, 80 + 2 * index, &size.to_le_bytes());
                }
            }
        }
        bytes
    }

    /// The map that `bytes` hold, or nothing where they are none.
    #[must_use]
    pub fn decode(bytes: &[u8; BYTES]) -> Option<Self> {
        let half = |at: usize| u16::from_le_bytes(take(bytes, at));
        let signed = |at: usize| i16::from_le_bytes(take(bytes, at));
        let (channels, pixels) = (half(92), half(94));
        if take(bytes, 0) != MAGIC {
            return None;
        }
        let shape = match bytes[36] {
            TILED => Shape::Tiled {
                extent: std::array::from_fn(|index| half(80 + 2 * index)),
            },
            IM2COL => Shape::Im2col {
                lower: std::array::from_fn(|index| signed(80 + 2 * index)),
                upper: std::array::from_fn(|index| signed(86 + 2 * index)),
                channels,
                pixels,
            },
            WIDE => Shape::Im2colWide {
                lower: signed(80),
                upper: signed(86),
                channels,
                pixels,
                mode: bytes[96],
            },
            _ => return None,
        };
        Some(Self {
            address: u64::from_le_bytes(take(bytes, 8)),
            data_type: bytes[37],
            rank: bytes[38],
            dims: std::array::from_fn(|index| u64::from(u32::from_le_bytes(take(bytes, 16 + 4 * index))) + 1),
            strides: std::array::from_fn(|index| u64::from_le_bytes(take(bytes, 40 + 8 * index))),
            element_strides: take(bytes, 72),
            interleave: bytes[39],
            swizzle: bytes[77],
            promotion: bytes[78],
            fill: bytes[79],
            shape,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(shape: Shape) -> TensorMap {
        TensorMap {
            address: 0x7f12_3456_7890,
            data_type: 15,
            rank: 5,
            dims: [1, 2, 1 << 31, 1 << 32, 7],
            strides: [16, 32, (1 << 40) - 16, 48],
            element_strides: [1, 2, 3, 4, 8],
            interleave: 2,
            swizzle: 6,
            promotion: 3,
            fill: 1,
            shape,
        }
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        let (channels, pixels) = (256, 1024);
        for shape in [
            Shape::Tiled {
                extent: [256, 1, 2, 3, 4],
            },
            Shape::Im2col {
                lower: [-16, 15, 1],
                upper: [2, -3, 4],
                channels,
                pixels,
            },
            Shape::Im2colWide {
                lower: i16::MIN,
                upper: i16::MAX,
                channels,
                pixels,
                mode: 1,
            },
        ] {
            assert_eq!(TensorMap::decode(&map(shape).encode()), Some(map(shape)));
        }
    }

    #[test]
    fn what_is_no_map_is_not_decoded() {
        assert_eq!(TensorMap::decode(&[0; BYTES]), None);
        let mut bytes = map(Shape::Tiled { extent: [1; 5] }).encode();
        bytes[36] = 3;
        assert_eq!(TensorMap::decode(&bytes), None);
    }
}
