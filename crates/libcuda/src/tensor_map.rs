//! Tensor maps. A program makes one on the host and hands its bytes to kernels; here the bounds that the documentation gives each
//! argument are checked, and [`tessera_arith::tensor_map`] has the bytes.

use crate::code::{Answer, Code};
use crate::current;
use crate::state;
use crate::types::Caller;
use std::ffi::c_void;
use tessera_arith::tensor_map::{BYTES, MAX_RANK, Shape, TensorMap};

/// `CUtensorMapDataType`
mod data_type {
    pub(super) const FLOAT16: u8 = 6;
    pub(super) const TFLOAT32_FTZ: u8 = 12;
    pub(super) const PACKED4_ALIGN8: u8 = 13;
    pub(super) const PACKED4_ALIGN16: u8 = 14;
    pub(super) const PACKED6_ALIGN16: u8 = 15;
    /// Bits of an element, by type.
    pub(super) const BITS: [u32; 16] = [8, 16, 32, 32, 64, 64, 16, 32, 64, 16, 32, 32, 32, 4, 4, 6];
}

/// `CUtensorMapInterleave`
const INTERLEAVE_NONE: u8 = 0;
const INTERLEAVE_32B: u8 = 2;
/// `CUtensorMapSwizzle`
const SWIZZLE_NONE: u8 = 0;
const SWIZZLE_32B: u8 = 1;
const SWIZZLE_64B: u8 = 2;
const SWIZZLE_128B: u8 = 3;
const SWIZZLE_128B_ATOM_32B: u8 = 4;
const SWIZZLE_128B_ATOM_64B: u8 = 6;

fn ensure(holds: bool) -> Answer {
    if holds { Ok(()) } else { Err(Code::INVALID_VALUE) }
}

/// A number in the field that holds it.
fn narrow<Wide, To: TryFrom<Wide>>(number: Wide) -> Answer<To> {
    To::try_from(number).map_err(|_| Code::INVALID_VALUE)
}

/// A value of an enumeration with `count` values.
fn one_of(value: i32, count: u8) -> Answer<u8> {
    u8::try_from(value)
        .ok()
        .filter(|code| *code < count)
        .ok_or(Code::INVALID_VALUE)
}

/// Whether elements have gaps between them in shared memory.
fn is_padded(data_type: u8) -> bool {
    matches!(data_type, data_type::PACKED4_ALIGN16 | data_type::PACKED6_ALIGN16)
}

/// The device has tensor maps. The documentation asks for an address that is a multiple of 64, which cuda.core's objects do not give theirs:
/// that is not checked.
fn begin(map: Caller<[u8; BYTES]>, least_major: u32) -> Answer {
    map.required()?;
    current::current()?;
    if state::driver()?.info().compute_capability.0 < least_major {
        return Err(Code::NOT_SUPPORTED);
    }
    Ok(())
}

fn check_address(address: u64, data_type: u8, interleave: u8) -> Answer {
    ensure(address.is_multiple_of(alignment(data_type, interleave)))
}

/// Bytes that addresses and strides are multiples of.
fn alignment(data_type: u8, interleave: u8) -> u64 {
    if interleave == INTERLEAVE_32B || is_padded(data_type) {
        32
    } else {
        16
    }
}

/// The arguments that all kinds have.
struct Common {
    data_type: i32,
    rank: u32,
    address: u64,
    dims: Caller<u64>,
    strides: Caller<u64>,
    element_strides: Caller<u32>,
    interleave: i32,
    swizzle: i32,
    promotion: i32,
    fill: i32,
}

impl Common {
    /// The map without its shape, which is the caller's to fill in.
    fn map(&self, least_rank: u32) -> Answer<TensorMap> {
        let data_type = one_of(self.data_type, 16)?;
        let interleave = one_of(self.interleave, 3)?;
        let swizzle = one_of(self.swizzle, 7)?;
        let promotion = one_of(self.promotion, 4)?;
        let fill = one_of(self.fill, 2)?;
        let least_rank = if interleave == INTERLEAVE_NONE {
            least_rank
        } else {
            3
        };
        ensure((least_rank..=5).contains(&self.rank))?;
        check_address(self.address, data_type, interleave)?;
        ensure(interleave != INTERLEAVE_32B || swizzle == SWIZZLE_32B)?;
        ensure(data_type != data_type::PACKED6_ALIGN16 || interleave == INTERLEAVE_NONE)?;
        let floating = (data_type::FLOAT16..=data_type::TFLOAT32_FTZ).contains(&data_type);
        ensure(fill == 0 || floating)?;
        let rank = self.rank as usize;
        let mut map = TensorMap {
            address: self.address,
            data_type,
            rank: narrow(self.rank)?,
            dims: [1; MAX_RANK],
            strides: [0; MAX_RANK - 1],
            element_strides: [1; MAX_RANK],
            interleave,
            swizzle,
            promotion,
            fill,
            shape: Shape::Tiled {
                extent: [1; MAX_RANK],
            },
        };
        for index in 0..rank {
            // Newer headers say 2^31, older ones 2^32: programs written to the older stay good.
            map.dims[index] = self.dims.at(index)?;
            ensure((1..=1 << 32).contains(&map.dims[index]))?;
            // The step along the innermost dimension is ignored without interleaving.
            if index > 0 || interleave != INTERLEAVE_NONE {
                let step = self.element_strides.at(index)?;
                ensure((1..=8).contains(&step))?;
                map.element_strides[index] = narrow(step)?;
            }
        }
        self.element_strides.required()?;
        let multiple = match data_type {
            data_type::PACKED4_ALIGN8 => 2,
            padded if is_padded(padded) => 128,
            _ => 1,
        };
        ensure(map.dims[0].is_multiple_of(multiple))?;
        for index in 0..rank - 1 {
            let stride = self.strides.at(index)?;
            ensure(stride < 1 << 40 && stride.is_multiple_of(alignment(data_type, interleave)))?;
            map.strides[index] = stride;
        }
        Ok(map)
    }
}

/// What the innermost `elements` of a copy have to do with the type and the swizzle.
fn check_inner(map: &TensorMap, elements: u32, wide: bool) -> Answer {
    if is_padded(map.data_type) {
        let stored = map.data_type == data_type::PACKED6_ALIGN16;
        ensure(elements == 128)?;
        // Which patterns the types with gaps have is listed; their span fits those.
        return ensure(match map.swizzle {
            SWIZZLE_128B | SWIZZLE_128B_ATOM_32B => true,
            SWIZZLE_NONE => !wide,
            SWIZZLE_64B => wide && stored,
            SWIZZLE_128B_ATOM_64B => !wide && stored,
            _ => false,
        });
    }
    if map.interleave != INTERLEAVE_NONE {
        return Ok(());
    }
    let bits = elements * data_type::BITS[usize::from(map.data_type)];
    ensure(match map.swizzle {
        SWIZZLE_NONE => true,
        SWIZZLE_32B => bits <= 32 * 8,
        SWIZZLE_64B => bits <= 64 * 8,
        _ => bits <= 128 * 8,
    })
}

/// Channels and pixels of a column. A box of no channels has no area.
fn columns(channels: u32, pixels: u32, any_pixels: bool) -> Answer<(u16, u16)> {
    ensure((1..=256).contains(&channels))?;
    if any_pixels {
        return Ok((narrow(channels)?, 0));
    }
    ensure(pixels <= 1024)?;
    Ok((narrow(channels)?, narrow(pixels)?))
}

/// Offsets of the bounding box along a dimension of `dim` elements, each within `bound` bits: the box is not empty.
fn corner(lower: i32, upper: i32, bits: u32, dim: u64) -> Answer<(i16, i16)> {
    let range = -(1 << (bits - 1))..1 << (bits - 1);
    ensure(range.contains(&lower) && range.contains(&upper))?;
    ensure(i64::try_from(dim).unwrap_or(i64::MAX) + i64::from(upper) > i64::from(lower))?;
    Ok((narrow(lower)?, narrow(upper)?))
}

/// `cuTensorMapEncodeTiled`
#[expect(clippy::too_many_arguments, reason = "the C function has them")]
pub(crate) fn tensor_map_encode_tiled(
    tensor_map: Caller<[u8; BYTES]>,
    data_type: i32,
    rank: u32,
    address: u64,
    dims: Caller<u64>,
    strides: Caller<u64>,
    box_dim: Caller<u32>,
    element_strides: Caller<u32>,
    interleave: i32,
    swizzle: i32,
    promotion: i32,
    fill: i32,
) -> Answer {
    begin(tensor_map, 9)?;
    let common = Common {
        data_type,
        rank,
        address,
        dims,
        strides,
        element_strides,
        interleave,
        swizzle,
        promotion,
        fill,
    };
    let mut map = common.map(1)?;
    let mut extent = [1; MAX_RANK];
    for (index, extent) in extent.iter_mut().enumerate().take(rank as usize) {
        let size = box_dim.at(index)?;
        ensure((1..=256).contains(&size))?;
        *extent = narrow(size)?;
    }
    let inner = u32::from(extent[0]);
    let bits = inner * data_type::BITS[usize::from(map.data_type)];
    ensure(map.interleave != INTERLEAVE_NONE || bits.is_multiple_of(16 * 8))?;
    check_inner(&map, inner, false)?;
    map.shape = Shape::Tiled { extent };
    tensor_map.put(map.encode())
}

/// `cuTensorMapEncodeIm2col`
#[expect(clippy::too_many_arguments, reason = "the C function has them")]
pub(crate) fn tensor_map_encode_im2col(
    tensor_map: Caller<[u8; BYTES]>,
    data_type: i32,
    rank: u32,
    address: u64,
    dims: Caller<u64>,
    strides: Caller<u64>,
    lower_corner: Caller<i32>,
    upper_corner: Caller<i32>,
    channels: u32,
    pixels: u32,
    element_strides: Caller<u32>,
    interleave: i32,
    swizzle: i32,
    promotion: i32,
    fill: i32,
) -> Answer {
    begin(tensor_map, 9)?;
    let common = Common {
        data_type,
        rank,
        address,
        dims,
        strides,
        element_strides,
        interleave,
        swizzle,
        promotion,
        fill,
    };
    let mut map = common.map(3)?;
    let (channels, pixels) = columns(channels, pixels, false)?;
    let (mut lower, mut upper) = ([0; 3], [0; 3]);
    let bits = match rank {
        3 => 16,
        4 => 8,
        _ => 5,
    };
    for index in 0..rank as usize - 2 {
        (lower[index], upper[index]) = corner(
            lower_corner.at(index)?,
            upper_corner.at(index)?,
            bits,
            map.dims[index + 1],
        )?;
    }
    check_inner(&map, u32::from(channels), false)?;
    map.shape = Shape::Im2col {
        lower,
        upper,
        channels,
        pixels,
    };
    tensor_map.put(map.encode())
}

/// `cuTensorMapEncodeIm2colWide`
#[expect(clippy::too_many_arguments, reason = "the C function has them")]
pub(crate) fn tensor_map_encode_im2col_wide(
    tensor_map: Caller<[u8; BYTES]>,
    data_type: i32,
    rank: u32,
    address: u64,
    dims: Caller<u64>,
    strides: Caller<u64>,
    lower: i32,
    upper: i32,
    channels: u32,
    pixels: u32,
    element_strides: Caller<u32>,
    interleave: i32,
    mode: i32,
    swizzle: i32,
    promotion: i32,
    fill: i32,
) -> Answer {
    begin(tensor_map, 10)?;
    let common = Common {
        data_type,
        rank,
        address,
        dims,
        strides,
        element_strides,
        interleave,
        swizzle,
        promotion,
        fill,
    };
    let mut map = common.map(3)?;
    let mode = one_of(mode, 2)?;
    ensure(matches!(
        map.swizzle,
        SWIZZLE_64B | SWIZZLE_128B | SWIZZLE_128B_ATOM_32B
    ))?;
    let (channels, pixels) = columns(channels, pixels, mode == 1)?;
    let (lower, upper) = corner(lower, upper, 16, map.dims[1])?;
    check_inner(&map, u32::from(channels), true)?;
    map.shape = Shape::Im2colWide {
        lower,
        upper,
        channels,
        pixels,
        mode,
    };
    tensor_map.put(map.encode())
}

/// `cuTensorMapReplaceAddress`
pub(crate) fn tensor_map_replace_address(tensor_map: Caller<[u8; BYTES]>, address: Caller<c_void>) -> Answer {
    begin(tensor_map, 9)?;
    let mut map = TensorMap::decode(&tensor_map.get()?).ok_or(Code::INVALID_VALUE)?;
    check_address(address.address(), map.data_type, map.interleave)?;
    map.address = address.address();
    tensor_map.put(map.encode())
}
