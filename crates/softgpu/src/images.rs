//! Arrays, textures, surfaces.
//!
//! An array is frame buffer with its rows in order (`tessera_engine::texture` says where each level, slice and row lies). A texture or
//! surface is a header of 128 bytes in a page of the context; its address is the handle.
//!
//! ```text
//!   Headers ─ page ─┬ header ── base ──▶ SoftArray, or plain memory
//!                   ├ header
//!                   └ (zero: nothing)  ◀── destroyed
//! ```
//!
//! Nothing here keeps an array alive for a texture: a kernel that reads one whose array was destroyed faults, as with any memory.

use crate::context::ContextCore;
use crate::holdings::Kind as Holder;
use crate::transfer::{Side, Transfer};
use std::any::Any;
use std::collections::BTreeSet;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError};
use tessera_device::{
    AddressMode, Array, ArrayOptions, ArrayPlace, ChannelFormat, DeviceError, DevicePtr, HostRange,
    ImageSource, ImageView, Sampling, Span2d, TexelFormat,
};
use tessera_engine::texture::{Extent, Format, HEADER_BYTES, Image, Kind, Sampler, Shape, Wrap};
use tessera_mmu::PAGE_BYTES;

/// Rows and handles begin where boards would have them begin.
const ARRAY_ALIGN: u64 = 512;
/// Longest axes: line, and side of flat images and boxes.
const MOST_LINE: u64 = 131_072;
const MOST_DEPTH: u64 = 16_384;
const MOST_LAYERS: u64 = 2048;

fn invalid(text: impl Into<String>) -> DeviceError {
    DeviceError::InvalidValue(text.into())
}

fn format(format: ChannelFormat) -> Format {
    match format {
        ChannelFormat::U8 => Format::U8,
        ChannelFormat::U16 => Format::U16,
        ChannelFormat::U32 => Format::U32,
        ChannelFormat::S8 => Format::S8,
        ChannelFormat::S16 => Format::S16,
        ChannelFormat::S32 => Format::S32,
        ChannelFormat::Half => Format::Half,
        ChannelFormat::Float => Format::Float,
    }
}

fn check_texel(texel: TexelFormat) -> Result<(), DeviceError> {
    if matches!(texel.channels, 1 | 2 | 4) {
        Ok(())
    } else {
        Err(invalid(format!("texels of {} channels", texel.channels)))
    }
}

/// The layout that CUDA's way of naming axes means.
fn shape(options: &ArrayOptions) -> Result<Shape, DeviceError> {
    check_texel(options.texel)?;
    let ArrayOptions {
        width,
        height,
        depth,
        layered,
        cube,
        ..
    } = *options;
    let (kind, rows, slices, most) = match (height, depth) {
        _ if cube => (Kind::Cube, height, depth, MOST_LAYERS),
        (0, 0) => (Kind::OneD, 1, 1, 1),
        (0, layers) if layered => (Kind::OneD, 1, layers, MOST_LAYERS),
        (rows, 0) => (Kind::TwoD, rows, 1, 1),
        (rows, layers) if layered => (Kind::TwoD, rows, layers, MOST_LAYERS),
        (rows, depth) => (Kind::ThreeD, rows, depth, MOST_DEPTH),
    };
    let wrong = || {
        let what = if cube { "cube map" } else { "array" };
        invalid(format!("{what} of {width} x {height} x {depth} texels"))
    };
    let flat = layered && depth == 0 || width == 0 || rows == 0 || slices == 0;
    let faces = cube && (width != height || depth % 6 != 0 || !layered && depth != 6);
    if flat || faces || width > MOST_LINE || rows > MOST_LINE || slices > most {
        return Err(wrong());
    }
    let small = |n: u64| u32::try_from(n).map_err(|_| wrong());
    let shape = Shape {
        kind,
        layered,
        extent: Extent {
            width: small(width)?,
            height: small(rows)?,
            slices: small(slices)?,
        },
        format: format(options.texel.format),
        channels: options.texel.channels,
        levels: options.levels,
        pitch: 0,
    };
    if shape.levels == 0 || shape.levels > shape.most_levels() {
        let text = format!(
            "{} levels of detail; this array can have {}",
            shape.levels,
            shape.most_levels()
        );
        return Err(invalid(text));
    }
    Ok(shape)
}

/// An array. Its memory goes with it.
pub(crate) struct SoftArray {
    context: Arc<ContextCore>,
    base: DevicePtr,
    shape: Shape,
}

impl SoftArray {
    pub(crate) fn new(context: &Arc<ContextCore>, options: &ArrayOptions) -> Result<Self, DeviceError> {
        let shape = shape(options)?;
        Ok(Self {
            base: context.alloc(shape.bytes(), ARRAY_ALIGN, Holder::Internal)?,
            context: Arc::clone(context),
            shape,
        })
    }
}

impl Array for SoftArray {
    fn bytes(&self) -> u64 {
        self.shape.bytes()
    }

    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

impl Drop for SoftArray {
    fn drop(&mut self) {
        if let Err(error) = self.context.remove(self.base, Holder::Internal) {
            // The context was closed and has given everything back.
            tracing::trace!(%error, "memory of an array is gone already");
        }
    }
}

fn own_array(context: &ContextCore, array: &Arc<dyn Array>) -> Result<Arc<SoftArray>, DeviceError> {
    let array: Arc<SoftArray> = Arc::clone(array)
        .as_any()
        .downcast()
        .map_err(|_| invalid("an array of another device"))?;
    if array.context.id == context.id {
        Ok(array)
    } else {
        Err(invalid("an array of another context"))
    }
}

/// The side of a copy that a place in an array is, with the distance of its rows.
pub(crate) fn side(
    context: &ContextCore,
    place: &ArrayPlace,
    span: Span2d,
) -> Result<(Side, u64), DeviceError> {
    let array = own_array(context, &place.array)?;
    if place.level >= array.shape.levels {
        return Err(invalid(format!("level {} of an array", place.level)));
    }
    let level = array.shape.level(place.level);
    let row = u64::from(level.extent.width) * u64::from(array.shape.texel_bytes());
    let inside = |from: u64, length: u64, most: u64| from.checked_add(length).is_some_and(|end| end <= most);
    if !inside(place.x, span.width, row)
        || !inside(place.y, span.height, u64::from(level.extent.height))
        || place.z >= u64::from(level.extent.slices)
    {
        let text = format!(
            "{} bytes x {} rows at ({}, {}, {}) of an array with {row} bytes x {} rows x {} slices",
            span.width, span.height, place.x, place.y, place.z, level.extent.height, level.extent.slices
        );
        return Err(invalid(text));
    }
    let offset = level.offset + place.z * level.slice() + place.y * level.pitch + place.x;
    Ok((Side::Device(array.base + offset), level.pitch))
}

fn sampler(sampling: &Sampling) -> Sampler {
    Sampler {
        wrap: sampling.modes.map(|mode| match mode {
            AddressMode::Wrap => Wrap::Wrap,
            AddressMode::Clamp => Wrap::Clamp,
            AddressMode::Mirror => Wrap::Mirror,
            AddressMode::Border => Wrap::Border,
        }),
        normalized: sampling.normalized,
        linear: sampling.linear,
        linear_levels: sampling.linear_levels,
        unit: sampling.unit,
        srgb: sampling.srgb,
        border: sampling.border,
        level_bias: sampling.level_bias,
        level_clamp: sampling.level_clamp,
    }
}

/// The shape of an image in plain memory.
fn plain(kind: Kind, width: u64, height: u64, pitch: u64, texel: TexelFormat) -> Result<Shape, DeviceError> {
    check_texel(texel)?;
    let wrong = || {
        invalid(format!(
            "image of {width} x {height} texels, rows {pitch} bytes apart"
        ))
    };
    let small = |n: u64| u32::try_from(n).ok().filter(|&n| n > 0).ok_or_else(wrong);
    Ok(Shape {
        kind,
        layered: false,
        extent: Extent {
            width: small(width)?,
            height: small(height)?,
            slices: 1,
        },
        format: format(texel.format),
        channels: texel.channels,
        levels: 1,
        pitch,
    })
}

/// What kernels see of a texture or surface.
pub(crate) fn image(context: &ContextCore, view: &ImageView) -> Result<Image, DeviceError> {
    let (base, shape) = match &view.source {
        ImageSource::Array(array) => {
            let array = own_array(context, array)?;
            (array.base, array.shape)
        }
        ImageSource::Level(array, n) => {
            let array = own_array(context, array)?;
            if *n >= array.shape.levels {
                return Err(invalid(format!("level {n} of an array")));
            }
            let level = array.shape.level(*n);
            let shape = Shape {
                extent: level.extent,
                levels: 1,
                ..array.shape
            };
            (array.base + level.offset, shape)
        }
        ImageSource::Linear {
            address,
            bytes,
            texel,
        } => {
            let width = bytes / u64::from((texel.format.bytes() * texel.channels).max(1));
            (*address, plain(Kind::Linear, width, 1, 0, *texel)?)
        }
        ImageSource::Pitched {
            address,
            width,
            height,
            pitch,
            texel,
        } => (*address, plain(Kind::TwoD, *width, *height, *pitch, *texel)?),
    };
    let image = Image {
        base,
        shape,
        sampler: view.sampling.as_ref().map(sampler).unwrap_or_default(),
        surface: view.sampling.is_none(),
    };
    check(&image)?;
    Ok(image)
}

fn check(image: &Image) -> Result<(), DeviceError> {
    let (shape, sampler) = (&image.shape, &image.sampler);
    let floats = shape.format.is_float() || sampler.unit && shape.format.has_unit();
    if image.surface && shape.kind == Kind::Linear {
        return Err(invalid("a surface of plain memory"));
    }
    if (sampler.linear || sampler.linear_levels) && !floats && shape.kind != Kind::Linear {
        return Err(invalid("linear filtering of integers"));
    }
    if sampler.unit && !floats {
        return Err(invalid("integers of 32 bits as numbers of 0 to 1"));
    }
    if shape.levels > 1 && !sampler.normalized {
        return Err(invalid("levels of detail need normalised coordinates"));
    }
    // What a kernel would not take as an image is none.
    if Image::decode(&image.encode()).is_none() {
        return Err(invalid(format!("an image of this shape: {shape:?}")));
    }
    Ok(())
}

/// A copy of a header to the place of a reference.
pub(crate) fn binding(
    context: &ContextCore,
    reference: u64,
    view: Option<&ImageView>,
) -> Result<Option<Transfer>, DeviceError> {
    let mut header = match view {
        Some(view) => image(context, view)?.encode().to_vec(),
        None => vec![0; HEADER_BYTES],
    };
    let start = NonNull::new(header.as_mut_ptr()).unwrap_or(NonNull::dangling());
    let owner = Arc::new(header);
    // SAFETY: the vector's buffer does not move when the vector does, is never touched through it again and is freed with `owner`.
    let range = unsafe { HostRange::new(start, HEADER_BYTES, owner) };
    let span = Span2d {
        width: HEADER_BYTES as u64,
        height: 1,
    };
    let pitch = span.width;
    Transfer::copy((Side::Device(reference), pitch), (Side::Host(range), pitch), span)
}

/// The headers of a context.
#[derive(Default)]
pub(crate) struct Headers(Mutex<Table>);

#[derive(Default)]
struct Table {
    free: Vec<u64>,
    live: BTreeSet<u64>,
}

fn gone(fault: impl std::fmt::Display) -> DeviceError {
    invalid(format!("the context was closed: {fault}"))
}

impl Headers {
    /// Writes a header; returns its handle.
    pub(crate) fn add(&self, context: &ContextCore, image: &Image) -> Result<u64, DeviceError> {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if table.free.is_empty() {
            let page = context.alloc(PAGE_BYTES, PAGE_BYTES, Holder::Internal)?;
            let slots = (page..page + PAGE_BYTES).step_by(HEADER_BYTES);
            table.free.extend(slots);
        }
        let handle = table.free.pop().unwrap_or(0);
        if let Err(fault) = context.space.write_bytes(handle, &image.encode()) {
            table.free.push(handle);
            return Err(gone(fault));
        }
        table.live.insert(handle);
        Ok(handle)
    }

    /// Clears a header.
    pub(crate) fn remove(&self, context: &ContextCore, handle: u64) -> Result<(), DeviceError> {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !table.live.remove(&handle) {
            return Err(DeviceError::NotFound(format!("texture or surface {handle:#x}")));
        }
        table.free.push(handle);
        context
            .space
            .write_bytes(handle, &[0; HEADER_BYTES])
            .map_err(gone)
    }
}
