//! Fills.

use crate::abi::DefaultStream;
use crate::code::{Answer, Code};
use crate::current;
use crate::graph::capture;
use crate::graph::node::Work;
use crate::state::{self, Driver};
use crate::stream;
use crate::types::{CUDA_MEMSET_NODE_PARAMS, Handle};
use tessera_wire::messages::Fill;

/// A fill: `height` rows of `width` elements, `pitch` bytes apart.
#[derive(Clone, Copy)]
pub(crate) struct Area {
    pub(crate) address: u64,
    pub(crate) pitch: usize,
    pub(crate) width: usize,
    pub(crate) height: usize,
}

impl Area {
    fn line(address: u64, elements: usize) -> Self {
        Self {
            address,
            pitch: 0,
            width: elements,
            height: 1,
        }
    }
}

fn fill(
    default: DefaultStream,
    stream: Handle,
    area: Area,
    pattern: u32,
    element_bytes: u32,
    wait: bool,
) -> Answer {
    let driver = state::driver()?;
    current::with_current(|_| Ok(()))?;
    stream::with_stream(default, stream, |stream| {
        if area.width == 0 || area.height == 0 {
            return Ok(());
        }
        let (pitch, on_host) = check(driver, &area, element_bytes)?;
        if capture::enter(stream)? {
            if wait {
                return Err(capture::refuse(stream));
            }
            let what = CUDA_MEMSET_NODE_PARAMS {
                destination: area.address,
                pitch: area.pitch,
                value: pattern,
                element_bytes,
                width: area.width,
                height: area.height,
            };
            return capture::add(driver, stream, Work::Memset(what));
        }
        let seq = stream.submit(driver, &[], |seq| Fill {
            stream: stream.handle(),
            seq,
            destination: area.address,
            pitch,
            width: area.width as u64,
            height: area.height as u64,
            pattern,
            element_bytes,
        })?;
        // Filling device memory is asynchronous even in the functions without "Async"; pinned memory is the program's to read at once.
        if wait && on_host { stream.wait(seq) } else { Ok(()) }
    })
}

/// The pitch to use, and whether the area is pinned host memory.
pub(crate) fn check(driver: &Driver, area: &Area, element_bytes: u32) -> Answer<(u64, bool)> {
    let element = u64::from(element_bytes);
    let row = (area.width as u64)
        .checked_mul(element)
        .ok_or(Code::INVALID_VALUE)?;
    let pitch = if area.height == 1 { row } else { area.pitch as u64 };
    if pitch < row || !area.address.is_multiple_of(element) || !pitch.is_multiple_of(element) {
        return Err(Code::INVALID_VALUE);
    }
    let bytes = pitch
        .checked_mul(area.height as u64 - 1)
        .and_then(|bytes| bytes.checked_add(row))
        .ok_or(Code::INVALID_VALUE)?;
    let range = driver
        .ranges
        .covering(area.address, bytes)
        .ok_or(Code::INVALID_VALUE)?;
    Ok((pitch, range.is_host()))
}

macro_rules! fills {
    ($($line:ident, $line_async:ident, $rows:ident, $rows_async:ident: $element:ty;)*) => {$(
        /// A fill of consecutive elements.
        pub(crate) fn $line(default: DefaultStream, dst: u64, value: $element, n: usize) -> Answer {
            fill(default, 0, Area::line(dst, n), u32::from(value), size_of::<$element>() as u32, true)
        }

        /// A fill of consecutive elements in a stream.
        pub(crate) fn $line_async(default: DefaultStream, dst: u64, value: $element, n: usize, stream: Handle) -> Answer {
            fill(default, stream, Area::line(dst, n), u32::from(value), size_of::<$element>() as u32, false)
        }

        /// A fill of rows.
        pub(crate) fn $rows(default: DefaultStream, dst: u64, pitch: usize, value: $element, width: usize, height: usize) -> Answer {
            let area = Area { address: dst, pitch, width, height };
            fill(default, 0, area, u32::from(value), size_of::<$element>() as u32, true)
        }

        /// A fill of rows in a stream.
        pub(crate) fn $rows_async(
            default: DefaultStream,
            dst: u64,
            pitch: usize,
            value: $element,
            width: usize,
            height: usize,
            stream: Handle,
        ) -> Answer {
            let area = Area { address: dst, pitch, width, height };
            fill(default, stream, area, u32::from(value), size_of::<$element>() as u32, false)
        }
    )*};
}

// The sizes of the elements are 1, 2 and 4.
#[allow(clippy::cast_possible_truncation)]
mod functions {
    use super::{Answer, Area, DefaultStream, Handle, fill};
    fills! {
        memset_d8, memset_d8_async, memset_d2d8, memset_d2d8_async: u8;
        memset_d16, memset_d16_async, memset_d2d16, memset_d2d16_async: u16;
        memset_d32, memset_d32_async, memset_d2d32, memset_d2d32_async: u32;
    }
}
pub(crate) use functions::*;
