//! Arrays: how their texels are described, how they are made and given back; memory of three axes.

use crate::abi::{Handle, In, Out, device_address, pointer};
use crate::error::Error;
use crate::thread::context;
use std::ffi::c_void;

/// `cudaChannelFormatDesc`: bits of each channel, and what they are.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ChannelDesc {
    pub(crate) bits: [i32; 4],
    pub(crate) kind: i32,
}

/// `cudaChannelFormatKind`.
const SIGNED: i32 = 0;
const UNSIGNED: i32 = 1;
const FLOAT: i32 = 2;
/// Formats from here on are normalised, planar or compressed ones.
const NONE: i32 = 3;

/// `cudaExtent`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) depth: usize,
}

/// `cudaPitchedPtr`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct PitchedPtr {
    pub(crate) address: *mut c_void,
    pub(crate) pitch: usize,
    pub(crate) width: usize,
    pub(crate) height: usize,
}

/// `CUDA_ARRAY3D_DESCRIPTOR` of the driver API.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ArrayShape {
    pub(crate) extent: Extent,
    pub(crate) format: u32,
    pub(crate) channels: u32,
    pub(crate) flags: u32,
}

/// `CUarray_format` by kind, for 8, 16 and 32 bits.
const FORMATS: [(i32, [u32; 3]); 3] = [(SIGNED, [8, 9, 10]), (UNSIGNED, [1, 2, 3]), (FLOAT, [0, 16, 32])];

impl ChannelDesc {
    /// The driver's format and number of channels.
    pub(crate) fn format(self) -> Result<(u32, u32), Error> {
        if self.kind > NONE {
            return Err(Error::NOT_SUPPORTED);
        }
        let [first, ..] = self.bits;
        let used = self.bits.iter().take_while(|&&bits| bits != 0).count();
        let alike = self.bits.iter().take(used).all(|&bits| bits == first);
        let rest = self.bits.iter().skip(used).all(|&bits| bits == 0);
        let channels = match used {
            1 => 1,
            2 => 2,
            4 => 4,
            _ => return Err(Error::INVALID_CHANNEL_DESCRIPTOR),
        };
        let size = match first {
            8 => 0,
            16 => 1,
            32 => 2,
            _ => return Err(Error::INVALID_CHANNEL_DESCRIPTOR),
        };
        let found = FORMATS.iter().find(|(kind, _)| *kind == self.kind);
        match found.map(|(_, formats)| formats[size]) {
            Some(format) if format != 0 && alike && rest => Ok((format, channels)),
            _ => Err(Error::INVALID_CHANNEL_DESCRIPTOR),
        }
    }

    /// The description of a driver's format.
    pub(crate) fn of(format: u32, channels: u32) -> Result<Self, Error> {
        for (kind, formats) in FORMATS {
            for (one, bits) in formats.into_iter().zip([8, 16, 32]) {
                if one == format && format != 0 {
                    let mut desc = Self { bits: [0; 4], kind };
                    for slot in desc.bits.iter_mut().zip(0..channels) {
                        *slot.0 = bits;
                    }
                    return Ok(desc);
                }
            }
        }
        Err(Error::NOT_SUPPORTED)
    }
}

/// Shape of an array.
pub(crate) fn shape(array: Handle) -> Result<ArrayShape, Error> {
    let mut shape = ArrayShape::default();
    context()?.cuArray3DGetDescriptor_v2(Out::local(&mut shape), array)?;
    Ok(shape)
}

impl ArrayShape {
    fn new(desc: In<ChannelDesc>, extent: Extent, flags: u32) -> Result<Self, Error> {
        let (format, channels) = desc.get()?.format()?;
        Ok(Self {
            extent,
            format,
            channels,
            flags,
        })
    }

    /// Bytes of a texel.
    pub(crate) fn texel_bytes(&self) -> usize {
        let channel = match self.format {
            1 | 8 => 1,
            2 | 9 | 16 => 2,
            _ => 4,
        };
        channel * self.channels as usize
    }
}

/// `cudaCreateChannelDesc`
#[unsafe(no_mangle)]
extern "C" fn cudaCreateChannelDesc(x: i32, y: i32, z: i32, w: i32, kind: i32) -> ChannelDesc {
    ChannelDesc {
        bits: [x, y, z, w],
        kind,
    }
}

runtime_api! {
    /// Creates a line or a flat array.
    fn cudaMallocArray(array: Out<Handle>, desc: In<ChannelDesc>, width: usize, height: usize, flags: u32) {
        let array = array.required()?;
        let shape = ArrayShape::new(desc, Extent { width, height, depth: 0 }, flags)?;
        context()?.cuArray3DCreate_v2(array, &shape)
    }

    /// Creates an array of up to three axes, layered or not.
    fn cudaMalloc3DArray(array: Out<Handle>, desc: In<ChannelDesc>, extent: Extent, flags: u32) {
        let array = array.required()?;
        let shape = ArrayShape::new(desc, extent, flags)?;
        context()?.cuArray3DCreate_v2(array, &shape)
    }

    /// Creates an array with levels of detail.
    fn cudaMallocMipmappedArray(array: Out<Handle>, desc: In<ChannelDesc>, extent: Extent, levels: u32, flags: u32) {
        let array = array.required()?;
        let shape = ArrayShape::new(desc, extent, flags)?;
        context()?.cuMipmappedArrayCreate(array, &shape, levels)
    }

    /// A level of one.
    fn cudaGetMipmappedArrayLevel(level_array: Out<Handle>, array: Handle, level: u32) {
        let level_array = level_array.required()?;
        context()?.cuMipmappedArrayGetLevel(level_array, array, level)
    }

    /// Frees an array; nothing to do for null.
    fn cudaFreeArray(array: Handle) {
        let driver = context()?;
        if array.is_null() { Ok(()) } else { driver.cuArrayDestroy(array) }
    }

    /// Frees an array with levels of detail; nothing to do for null.
    fn cudaFreeMipmappedArray(array: Handle) {
        let driver = context()?;
        if array.is_null() { Ok(()) } else { driver.cuMipmappedArrayDestroy(array) }
    }

    /// What an array is.
    fn cudaArrayGetInfo(desc: Out<ChannelDesc>, extent: Out<Extent>, flags: Out<u32>, array: Handle) {
        let shape = shape(array)?;
        desc.set_if_wanted(ChannelDesc::of(shape.format, shape.channels)?);
        extent.set_if_wanted(shape.extent);
        flags.set_if_wanted(shape.flags);
        Ok(())
    }

    /// What its texels are.
    fn cudaGetChannelDesc(desc: Out<ChannelDesc>, array: Handle) {
        let desc = desc.required()?;
        let shape = shape(array)?;
        desc.set(ChannelDesc::of(shape.format, shape.channels)?)
    }

    /// Texels that a texture of linear memory can have.
    fn cudaDeviceGetTexture1DLinearMaxWidth(width: Out<usize>, desc: In<ChannelDesc>, device: i32) {
        let width = width.required()?;
        let (format, channels) = desc.get()?.format()?;
        context()?.cuDeviceGetTexture1DLinearMaxWidth(width, format, channels, device)
    }

    /// Allocates slices of rows that start at suitable addresses.
    fn cudaMalloc3D(place: Out<PitchedPtr>, extent: Extent) {
        let place = place.required()?;
        let rows = extent.height.checked_mul(extent.depth).ok_or(Error::INVALID_VALUE)?;
        let (mut address, mut pitch) = (0, 0);
        context()?.cuMemAllocPitch_v2(Out::local(&mut address), Out::local(&mut pitch), extent.width, rows, 16)?;
        place.set(PitchedPtr { address: pointer(address)?, pitch, width: extent.width, height: extent.height })
    }
}

/// Fills the left part of the rows of slices.
fn fill(to: PitchedPtr, value: i32, extent: Extent, stream: Handle) -> Result<(), Error> {
    let driver = context()?;
    let [byte, ..] = value.to_le_bytes();
    if extent.width == 0 || extent.height == 0 {
        return Ok(());
    }
    let slice = to.pitch.checked_mul(to.height).ok_or(Error::INVALID_VALUE)? as u64;
    for n in 0..extent.depth as u64 {
        let address = n
            .checked_mul(slice)
            .and_then(|offset| device_address(to.address).checked_add(offset))
            .ok_or(Error::INVALID_VALUE)?;
        driver.cuMemsetD2D8Async(address, to.pitch, byte, extent.width, extent.height, stream)?;
    }
    Ok(())
}

per_thread_api! {
    /// Fills slices of rows.
    fn cudaMemset3D/cudaMemset3D_ptds[default](to: PitchedPtr, value: i32, extent: Extent) {
        fill(to, value, extent, default.stream(std::ptr::null_mut()))
    }

    /// Fills slices of rows in a stream.
    fn cudaMemset3DAsync/cudaMemset3DAsync_ptsz[default](to: PitchedPtr, value: i32, extent: Extent, stream: Handle) {
        fill(to, value, extent, default.stream(stream))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_come_back_as_they_went() {
        for (kind, sizes) in [
            (SIGNED, &[8, 16, 32][..]),
            (UNSIGNED, &[8, 16, 32]),
            (FLOAT, &[16, 32]),
        ] {
            for &bits in sizes {
                for channels in [1, 2, 4] {
                    let mut desc = ChannelDesc { bits: [0; 4], kind };
                    desc.bits.iter_mut().take(channels).for_each(|b| *b = bits);
                    let (format, count) = desc.format().expect("a format");
                    assert_eq!(ChannelDesc::of(format, count), Ok(desc));
                }
            }
        }
        let wrong = |bits, kind| ChannelDesc { bits, kind }.format();
        assert_eq!(
            wrong([8, 8, 8, 0], UNSIGNED),
            Err(Error::INVALID_CHANNEL_DESCRIPTOR)
        );
        assert_eq!(
            wrong([8, 16, 0, 0], UNSIGNED),
            Err(Error::INVALID_CHANNEL_DESCRIPTOR)
        );
        assert_eq!(wrong([8, 0, 0, 0], FLOAT), Err(Error::INVALID_CHANNEL_DESCRIPTOR));
        assert_eq!(
            wrong([8, 0, 0, 8], SIGNED),
            Err(Error::INVALID_CHANNEL_DESCRIPTOR)
        );
        assert_eq!(wrong([8, 0, 0, 0], 5), Err(Error::NOT_SUPPORTED));
    }
}
