//! Copies with arrays, and of three axes.

use crate::abi::{DefaultStream, DevicePtr, Handle, In, device_address};
use crate::array::{self, Extent, PitchedPtr};
use crate::copy::Kind;
use crate::error::Error;
use crate::thread::context;
use std::ffi::c_void;

/// `cudaMemcpy3DParms`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Parameters {
    source_array: Handle,
    source_at: [usize; 3],
    source: PitchedPtr,
    destination_array: Handle,
    destination_at: [usize; 3],
    destination: PitchedPtr,
    extent: Extent,
    kind: i32,
}

/// One side of `CUDA_MEMCPY3D` of the driver API.
#[repr(C)]
#[derive(Clone, Copy)]
struct Side {
    x: usize,
    y: usize,
    z: usize,
    level: usize,
    kind: u32,
    host: *mut c_void,
    device: DevicePtr,
    array: Handle,
    reserved: *mut c_void,
    pitch: usize,
    height: usize,
}

/// `CUDA_MEMCPY3D` of the driver API; as `CUDA_MEMCPY3D_PEER` it has a context where a side has a reserved field.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Memcpy3d {
    source: Side,
    destination: Side,
    width: usize,
    height: usize,
    depth: usize,
}

const _: () = assert!(size_of::<Parameters>() == 160 && size_of::<Memcpy3d>() == 200);

/// `CUmemorytype`.
const HOST: u32 = 1;
const DEVICE: u32 = 2;
const ARRAY: u32 = 3;
const UNIFIED: u32 = 4;

/// Types of memory of plain source and destination.
fn types(kind: Kind) -> (u32, u32) {
    match kind {
        Kind::HostToHost => (HOST, HOST),
        Kind::HostToDevice => (HOST, DEVICE),
        Kind::DeviceToHost => (DEVICE, HOST),
        Kind::DeviceToDevice => (DEVICE, DEVICE),
        Kind::Addresses => (UNIFIED, UNIFIED),
    }
}

impl Side {
    fn plain(address: *mut c_void, kind: u32, pitch: usize, height: usize, [x, y, z]: [usize; 3]) -> Self {
        Self {
            x,
            y,
            z,
            level: 0,
            kind,
            host: address,
            device: device_address(address),
            array: std::ptr::null_mut(),
            reserved: std::ptr::null_mut(),
            pitch,
            height,
        }
    }

    fn array(array: Handle, at: [usize; 3]) -> Self {
        Self {
            array,
            ..Self::plain(std::ptr::null_mut(), ARRAY, 0, 0, at)
        }
    }
}

fn run(default: DefaultStream, copy: &Memcpy3d, stream: Option<Handle>) -> Result<(), Error> {
    let driver = context()?;
    if copy.is_empty() {
        return Ok(());
    }
    match stream {
        Some(stream) => driver.cuMemcpy3DAsync_v2(copy, default.stream(stream)),
        None if default == DefaultStream::Legacy => driver.cuMemcpy3D_v2(copy),
        None => {
            let stream = default.stream(std::ptr::null_mut());
            driver.cuMemcpy3DAsync_v2(copy, stream)?;
            driver.cuStreamSynchronize(stream)
        }
    }
}

/// The driver's description of a copy: texels of arrays become bytes.
pub(crate) fn describe(parameters: &Parameters) -> Result<Memcpy3d, Error> {
    let (source_type, destination_type) = types(Kind::new(parameters.kind)?);
    let side = |array: Handle, at: [usize; 3], plain: PitchedPtr, kind: u32| {
        if array.is_null() {
            return Ok((
                Side::plain(plain.address, kind, plain.pitch, plain.height, at),
                None,
            ));
        }
        // One of both, not neither and not both.
        if !plain.address.is_null() {
            return Err(Error::INVALID_VALUE);
        }
        let texel = array::shape(array)?.texel_bytes();
        let [x, y, z] = at;
        let x = x.checked_mul(texel).ok_or(Error::INVALID_VALUE)?;
        Ok((Side::array(array, [x, y, z]), Some(texel)))
    };
    let (source, from) = side(
        parameters.source_array,
        parameters.source_at,
        parameters.source,
        source_type,
    )?;
    let (destination, to) = side(
        parameters.destination_array,
        parameters.destination_at,
        parameters.destination,
        destination_type,
    )?;
    if let (Some(from), Some(to)) = (from, to)
        && from != to
    {
        return Err(Error::INVALID_VALUE);
    }
    let texel = from.or(to).unwrap_or(1);
    let Extent { width, height, depth } = parameters.extent;
    Ok(Memcpy3d {
        source,
        destination,
        width: width.checked_mul(texel).ok_or(Error::INVALID_VALUE)?,
        height,
        depth,
    })
}

/// The program's description of a copy that the driver has: bytes of arrays become texels.
pub(crate) fn parameters_of(copy: &Memcpy3d) -> Result<Parameters, Error> {
    let nowhere = PitchedPtr {
        address: std::ptr::null_mut(),
        pitch: 0,
        width: 0,
        height: 0,
    };
    let side = |side: &Side| -> Result<_, Error> {
        if side.kind == ARRAY {
            let texel = array::shape(side.array)?.texel_bytes();
            return Ok((side.array, [side.x / texel, side.y, side.z], nowhere, Some(texel)));
        }
        let address = if side.kind == HOST {
            side.host
        } else {
            crate::abi::pointer(side.device)?
        };
        // The driver keeps no width of an allocation; its rows are as wide as their pitch.
        let plain = PitchedPtr {
            address,
            pitch: side.pitch,
            width: side.pitch,
            height: side.height,
        };
        Ok((std::ptr::null_mut(), [side.x, side.y, side.z], plain, None))
    };
    let (source_array, source_at, source, from) = side(&copy.source)?;
    let (destination_array, destination_at, destination, to) = side(&copy.destination)?;
    let host = |kind: u32| kind == HOST;
    let kind = match (copy.source.kind, copy.destination.kind) {
        (UNIFIED, _) | (_, UNIFIED) => 4,
        (from, to) => i32::from(!host(from)) * 2 + i32::from(!host(to)),
    };
    Ok(Parameters {
        source_array,
        source_at,
        source,
        destination_array,
        destination_at,
        destination,
        extent: Extent {
            width: copy.width / from.or(to).unwrap_or(1),
            height: copy.height,
            depth: copy.depth,
        },
        kind,
    })
}

/// A run of bytes as a copy of one row.
pub(crate) fn run_of_bytes(
    destination: *mut c_void,
    source: *const c_void,
    bytes: usize,
    kind: i32,
) -> Result<Memcpy3d, Error> {
    let (source_type, destination_type) = types(Kind::new(kind)?);
    Ok(rows(
        Side::plain(source.cast_mut(), source_type, bytes, 1, [0; 3]),
        Side::plain(destination, destination_type, bytes, 1, [0; 3]),
        bytes,
        1,
    ))
}

/// `cudaMemcpy3DPeerParms`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct PeerParameters {
    source_array: Handle,
    source_at: [usize; 3],
    source: PitchedPtr,
    source_device: i32,
    destination_array: Handle,
    destination_at: [usize; 3],
    destination: PitchedPtr,
    destination_device: i32,
    extent: Extent,
}

const _: () = assert!(size_of::<PeerParameters>() == 168);

impl PeerParameters {
    /// The driver's description: that of a copy between devices, with the primary context of each.
    pub(crate) fn driver(&self, context: impl Fn(i32) -> Result<Handle, Error>) -> Result<Memcpy3d, Error> {
        let mut copy = describe(&Parameters {
            source_array: self.source_array,
            source_at: self.source_at,
            source: self.source,
            destination_array: self.destination_array,
            destination_at: self.destination_at,
            destination: self.destination,
            extent: self.extent,
            kind: DEVICE_TO_DEVICE,
        })?;
        copy.source.reserved = context(self.source_device)?;
        copy.destination.reserved = context(self.destination_device)?;
        Ok(copy)
    }
}

impl Memcpy3d {
    /// Whether it copies nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.width == 0 || self.height == 0 || self.depth == 0
    }
}

/// `cudaMemcpyDeviceToDevice`.
const DEVICE_TO_DEVICE: i32 = 3;

/// Rows between an array and plain memory.
fn rows(source: Side, destination: Side, width: usize, height: usize) -> Memcpy3d {
    Memcpy3d {
        source,
        destination,
        width,
        height,
        depth: 1,
    }
}

/// A rectangle of an array: place, width, height; and the bytes of the run before it.
type Rectangle = ([usize; 2], usize, usize, usize);

/// The rectangles that a run of bytes covers, which begins in a row at `x` and goes on in the next ones: place, width, height and the
/// bytes before it.
fn rectangles(row: usize, x: usize, y: usize, bytes: usize) -> Result<Vec<Rectangle>, Error> {
    if x >= row {
        return Err(Error::INVALID_VALUE);
    }
    let mut list = Vec::new();
    let first = bytes.min(row - x);
    list.push(([x, y], first, 1, 0));
    let (whole, last) = ((bytes - first) / row, (bytes - first) % row);
    if whole > 0 {
        list.push(([0, y + 1], row, whole, first));
    }
    if last > 0 {
        list.push(([0, y + 1 + whole], last, 1, bytes - last));
    }
    Ok(list)
}

/// Copies a run of bytes to or from an array.
fn line(
    default: DefaultStream,
    array: Handle,
    at: [usize; 2],
    memory: *mut c_void,
    bytes: usize,
    (kind, into): (i32, bool),
    stream: Option<Handle>,
) -> Result<(), Error> {
    let (source_type, destination_type) = types(Kind::new(kind)?);
    if bytes == 0 {
        return context().map(drop);
    }
    let shape = array::shape(array)?;
    let row = shape.extent.width * shape.texel_bytes();
    for ([x, y], width, height, before) in rectangles(row, at[0], at[1], bytes)? {
        let memory = memory.wrapping_byte_add(before);
        let inside = Side::array(array, [x, y, 0]);
        let copy = if into {
            rows(
                Side::plain(memory, source_type, width, 0, [0; 3]),
                inside,
                width,
                height,
            )
        } else {
            rows(
                inside,
                Side::plain(memory, destination_type, width, 0, [0; 3]),
                width,
                height,
            )
        };
        run(default, &copy, stream)?;
    }
    Ok(())
}

/// Part of a run of bytes between two arrays, in one row of both: places, bytes.
type Part = ([[usize; 2]; 2], usize);

/// The parts of a run of bytes between two arrays.
fn common_rows(rows: [usize; 2], mut at: [[usize; 2]; 2], mut bytes: usize) -> Result<Vec<Part>, Error> {
    if rows.iter().zip(&at).any(|(row, at)| at[0] >= *row) {
        return Err(Error::INVALID_VALUE);
    }
    let mut parts = Vec::new();
    while bytes > 0 {
        let part = bytes.min(rows[0] - at[0][0]).min(rows[1] - at[1][0]);
        parts.push((at, part));
        bytes -= part;
        for (row, at) in rows.iter().zip(&mut at) {
            at[0] += part;
            if at[0] == *row {
                *at = [0, at[1] + 1];
            }
        }
    }
    Ok(parts)
}

per_thread_api! {
    /// Copies a run of bytes from one array to another.
    fn cudaMemcpyArrayToArray/cudaMemcpyArrayToArray_ptds[default](
        to: Handle, to_x: usize, to_y: usize, from: Handle, from_x: usize, from_y: usize, bytes: usize, kind: i32,
    ) {
        if !matches!(Kind::new(kind)?, Kind::DeviceToDevice | Kind::Addresses) {
            return Err(Error::INVALID_MEMCPY_DIRECTION);
        }
        let (source, destination) = (array::shape(from)?, array::shape(to)?);
        let rows_of = [&source, &destination].map(|shape| shape.extent.width * shape.texel_bytes());
        for ([[x, y], [into_x, into_y]], part) in common_rows(rows_of, [[from_x, from_y], [to_x, to_y]], bytes)? {
            run(default, &rows(Side::array(from, [x, y, 0]), Side::array(to, [into_x, into_y, 0]), part, 1), None)?;
        }
        Ok(())
    }

    /// Copies a box, done when the call returns.
    fn cudaMemcpy3D/cudaMemcpy3D_ptds[default](parameters: In<Parameters>) {
        run(default, &describe(&parameters.get()?)?, None)
    }

    /// Copies a box in a stream.
    fn cudaMemcpy3DAsync/cudaMemcpy3DAsync_ptsz[default](parameters: In<Parameters>, stream: Handle) {
        run(default, &describe(&parameters.get()?)?, Some(stream))
    }

    /// Copies rows to an array.
    fn cudaMemcpy2DToArray/cudaMemcpy2DToArray_ptds[default](
        to: Handle, x: usize, y: usize, from: *mut c_void, pitch: usize, width: usize, height: usize, kind: i32,
    ) {
        let plain = Side::plain(from, types(Kind::new(kind)?).0, pitch, 0, [0; 3]);
        run(default, &rows(plain, Side::array(to, [x, y, 0]), width, height), None)
    }

    /// Copies rows to an array in a stream.
    fn cudaMemcpy2DToArrayAsync/cudaMemcpy2DToArrayAsync_ptsz[default](
        to: Handle, x: usize, y: usize, from: *mut c_void, pitch: usize, width: usize, height: usize, kind: i32, stream: Handle,
    ) {
        let plain = Side::plain(from, types(Kind::new(kind)?).0, pitch, 0, [0; 3]);
        run(default, &rows(plain, Side::array(to, [x, y, 0]), width, height), Some(stream))
    }

    /// Copies rows from an array.
    fn cudaMemcpy2DFromArray/cudaMemcpy2DFromArray_ptds[default](
        to: *mut c_void, pitch: usize, from: Handle, x: usize, y: usize, width: usize, height: usize, kind: i32,
    ) {
        let plain = Side::plain(to, types(Kind::new(kind)?).1, pitch, 0, [0; 3]);
        run(default, &rows(Side::array(from, [x, y, 0]), plain, width, height), None)
    }

    /// Copies rows from an array in a stream.
    fn cudaMemcpy2DFromArrayAsync/cudaMemcpy2DFromArrayAsync_ptsz[default](
        to: *mut c_void, pitch: usize, from: Handle, x: usize, y: usize, width: usize, height: usize, kind: i32, stream: Handle,
    ) {
        let plain = Side::plain(to, types(Kind::new(kind)?).1, pitch, 0, [0; 3]);
        run(default, &rows(Side::array(from, [x, y, 0]), plain, width, height), Some(stream))
    }

    /// Copies rows from array to array.
    fn cudaMemcpy2DArrayToArray/cudaMemcpy2DArrayToArray_ptds[default](
        to: Handle, to_x: usize, to_y: usize, from: Handle, from_x: usize, from_y: usize, width: usize, height: usize, kind: i32,
    ) {
        Kind::new(kind)?;
        let (from, to) = (Side::array(from, [from_x, from_y, 0]), Side::array(to, [to_x, to_y, 0]));
        run(default, &rows(from, to, width, height), None)
    }

    /// Copies a run of bytes to an array.
    fn cudaMemcpyToArray/cudaMemcpyToArray_ptds[default](
        to: Handle, x: usize, y: usize, from: *mut c_void, bytes: usize, kind: i32,
    ) {
        line(default, to, [x, y], from, bytes, (kind, true), None)
    }

    /// Copies a run of bytes to an array in a stream.
    fn cudaMemcpyToArrayAsync/cudaMemcpyToArrayAsync_ptsz[default](
        to: Handle, x: usize, y: usize, from: *mut c_void, bytes: usize, kind: i32, stream: Handle,
    ) {
        line(default, to, [x, y], from, bytes, (kind, true), Some(stream))
    }

    /// Copies a run of bytes from an array.
    fn cudaMemcpyFromArray/cudaMemcpyFromArray_ptds[default](
        to: *mut c_void, from: Handle, x: usize, y: usize, bytes: usize, kind: i32,
    ) {
        line(default, from, [x, y], to, bytes, (kind, false), None)
    }

    /// Copies a run of bytes from an array in a stream.
    fn cudaMemcpyFromArrayAsync/cudaMemcpyFromArrayAsync_ptsz[default](
        to: *mut c_void, from: Handle, x: usize, y: usize, bytes: usize, kind: i32, stream: Handle,
    ) {
        line(default, from, [x, y], to, bytes, (kind, false), Some(stream))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_between_arrays_is_cut_where_either_row_ends() {
        assert_eq!(
            common_rows([8, 12], [[4, 0], [0, 2]], 16),
            Ok(vec![
                ([[4, 0], [0, 2]], 4),
                ([[0, 1], [4, 2]], 8),
                ([[0, 2], [0, 3]], 4)
            ])
        );
        assert_eq!(
            common_rows([8, 8], [[8, 0], [0, 0]], 1),
            Err(Error::INVALID_VALUE)
        );
    }

    #[test]
    fn a_run_of_bytes_comes_back_as_it_was_given() {
        let (mut to, from) = ([0_u8; 16], [0_u8; 16]);
        let copy = run_of_bytes(to.as_mut_ptr().cast(), from.as_ptr().cast(), 16, 1);
        let back = copy.and_then(|copy| parameters_of(&copy));
        let seen = back.map(|back| {
            (
                back.source.address.addr(),
                back.destination.address.addr(),
                back.extent.width,
                back.kind,
            )
        });
        assert_eq!(seen, Ok((from.as_ptr().addr(), to.as_ptr().addr(), 16, 1)));
    }

    #[test]
    fn a_run_of_bytes_is_up_to_three_rectangles() {
        assert_eq!(rectangles(10, 0, 2, 10), Ok(vec![([0, 2], 10, 1, 0)]));
        assert_eq!(
            rectangles(10, 4, 1, 33),
            Ok(vec![([4, 1], 6, 1, 0), ([0, 2], 10, 2, 6), ([0, 4], 7, 1, 26)])
        );
        assert_eq!(rectangles(10, 10, 0, 1), Err(Error::INVALID_VALUE));
    }
}
