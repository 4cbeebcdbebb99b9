//! Arrays, with and without levels of detail.
//!
//! The worker knows an array by one handle, whatever its levels; here each level that the program asks for is an object of its own
//! that names the same array and its level.

use crate::code::{Answer, Code};
use crate::context::Core;
use crate::current;
use crate::device::device;
use crate::state::{self, Driver};
use crate::types::{
    CUDA_ARRAY_DESCRIPTOR, CUDA_ARRAY_MEMORY_REQUIREMENTS, CUDA_ARRAY_SPARSE_PROPERTIES,
    CUDA_ARRAY3D_DESCRIPTOR, Caller, Handle,
};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tessera_wire::messages::{ArrayCreate, ArrayDestroy};
use tessera_wire::{ARRAY_CUBE, ARRAY_LAYERED};

/// `CUDA_ARRAY3D_*`
pub(crate) mod flag {
    pub(crate) const LAYERED: u32 = 1;
    pub(crate) const SURFACE: u32 = 2;
    pub(crate) const CUBEMAP: u32 = 4;
    pub(crate) const GATHER: u32 = 8;
    pub(crate) const SPARSE: u32 = 0x40;
    /// Those and depth textures, colour attachments, deferred mapping, video.
    pub(crate) const KNOWN: u32 = 0x1ff;
    /// Depth formats, colour attachments of graphics, sparse and deferred arrays are not served.
    pub(crate) const SERVED: u32 = LAYERED | SURFACE | CUBEMAP | GATHER;
}

/// An array, or one level of a mipmapped one.
pub(crate) struct Array {
    pub(crate) handle: Handle,
    pub(crate) core: Arc<Core>,
    /// The array as the worker knows it.
    pub(crate) root: Handle,
    pub(crate) level: u32,
    pub(crate) levels: u32,
    /// A `CUmipmappedArray`.
    pub(crate) mipmapped: bool,
    pub(crate) shape: CUDA_ARRAY3D_DESCRIPTOR,
    /// Levels that were asked for.
    views: Mutex<HashMap<u32, Handle>>,
}

/// Bytes of a channel of a `CUarray_format`, of those that arrays are made of here.
pub(crate) fn channel_bytes(format: u32) -> Answer<usize> {
    match format {
        1 | 8 => Ok(1),
        2 | 9 | 16 => Ok(2),
        3 | 10 | 32 => Ok(4),
        // Packed, normalised, compressed and planar formats.
        0x50..=0x5e | 0x91..=0x9f | 0xa1..=0xa9 | 0xb0..=0xb5 | 0xc0..=0xcb => Err(Code::NOT_SUPPORTED),
        _ => Err(Code::INVALID_VALUE),
    }
}

impl Array {
    /// Bytes of a texel.
    pub(crate) fn texel_bytes(&self) -> usize {
        channel_bytes(self.shape.format).unwrap_or(1) * self.shape.channels as usize
    }

    /// Rows and slices that copies see.
    pub(crate) fn rows(&self) -> (usize, usize) {
        (self.shape.height.max(1), self.shape.depth.max(1))
    }

    pub(crate) fn is_surface(&self) -> bool {
        self.shape.flags & flag::SURFACE != 0
    }
}

/// Flags that no driver knows, or that exclude one another or the shape. What is left of a shape the worker judges.
fn check_flags(shape: &CUDA_ARRAY3D_DESCRIPTOR) -> Answer {
    let has = |bits: u32| shape.flags & bits != 0;
    let flat = shape.height != 0 && shape.depth == 0;
    if shape.flags & !flag::KNOWN != 0
        || has(flag::GATHER) && (!flat || has(flag::SURFACE | flag::CUBEMAP))
        || has(flag::SPARSE) && (shape.height == 0 || has(flag::CUBEMAP))
    {
        return Err(Code::INVALID_VALUE);
    }
    Ok(())
}

fn create(out: Caller<Handle>, shape: CUDA_ARRAY3D_DESCRIPTOR, levels: u32, mipmapped: bool) -> Answer {
    out.required()?;
    let driver = state::driver()?;
    let context = current::faultless()?;
    check_flags(&shape)?;
    if shape.flags & !flag::SERVED != 0 {
        tessera_guest::log(&format!(
            "arrays with the flags {:#x} are not supported",
            shape.flags
        ));
        return Err(Code::NOT_SUPPORTED);
    }
    channel_bytes(shape.format)?;
    if !matches!(shape.channels, 1 | 2 | 4) {
        return Err(Code::INVALID_VALUE);
    }
    let has = |bit: u32, to: u32| if shape.flags & bit != 0 { to } else { 0 };
    let array = driver.arrays.insert(|handle| {
        let message = ArrayCreate {
            context: context.handle(),
            array: handle,
            width: shape.width as u64,
            height: shape.height as u64,
            depth: shape.depth as u64,
            format: shape.format,
            channels: shape.channels,
            levels,
            flags: has(flag::LAYERED, ARRAY_LAYERED) | has(flag::CUBEMAP, ARRAY_CUBE),
        };
        driver.session.call(&message, &[])?;
        Ok(Array {
            handle,
            core: Arc::clone(&context.core),
            root: handle,
            level: 0,
            levels,
            mipmapped,
            shape,
            views: Mutex::default(),
        })
    })?;
    context.children().arrays.insert(array.handle);
    out.put(array.handle)
}

/// The array of this handle; a mipmapped one is none.
pub(crate) fn array(driver: &Driver, handle: Handle) -> Answer<Arc<Array>> {
    let array = driver.arrays.get(handle)?;
    array.core.check()?;
    if array.mipmapped {
        return Err(Code::INVALID_HANDLE);
    }
    Ok(array)
}

/// The mipmapped array of this handle.
pub(crate) fn mipmapped(driver: &Driver, handle: Handle) -> Answer<Arc<Array>> {
    let array = driver.arrays.get(handle)?;
    array.core.check()?;
    if !array.mipmapped {
        return Err(Code::INVALID_HANDLE);
    }
    Ok(array)
}

/// `cuArrayGetMemoryRequirements`: of arrays whose memory is mapped later, which are not served.
pub(crate) fn array_get_memory_requirements(
    out: Caller<CUDA_ARRAY_MEMORY_REQUIREMENTS>,
    h_array: Handle,
    dev: i32,
) -> Answer {
    let driver = device(dev)?;
    out.required()?;
    array(driver, h_array)?;
    Err(Code::INVALID_VALUE)
}

/// `cuMipmappedArrayGetMemoryRequirements`, as [`array_get_memory_requirements`].
pub(crate) fn mipmapped_array_get_memory_requirements(
    out: Caller<CUDA_ARRAY_MEMORY_REQUIREMENTS>,
    h_array: Handle,
    dev: i32,
) -> Answer {
    let driver = device(dev)?;
    out.required()?;
    mipmapped(driver, h_array)?;
    Err(Code::INVALID_VALUE)
}

/// `cuArrayGetSparseProperties`: no array is sparse.
pub(crate) fn array_get_sparse_properties(
    out: Caller<CUDA_ARRAY_SPARSE_PROPERTIES>,
    h_array: Handle,
) -> Answer {
    out.required()?;
    array(state::driver()?, h_array)?;
    Err(Code::INVALID_VALUE)
}

/// `cuMipmappedArrayGetSparseProperties`
pub(crate) fn mipmapped_array_get_sparse_properties(
    out: Caller<CUDA_ARRAY_SPARSE_PROPERTIES>,
    h_array: Handle,
) -> Answer {
    out.required()?;
    mipmapped(state::driver()?, h_array)?;
    Err(Code::INVALID_VALUE)
}

/// `cuArrayGetPlane`: no format has several planes.
pub(crate) fn array_get_plane(out: Caller<Handle>, h_array: Handle, _plane: u32) -> Answer {
    out.required()?;
    array(state::driver()?, h_array)?;
    Err(Code::INVALID_VALUE)
}

/// `cuArrayCreate`
pub(crate) fn array_create(p_handle: Caller<Handle>, p_desc: Caller<CUDA_ARRAY_DESCRIPTOR>) -> Answer {
    let shape = p_desc.get()?;
    let shape = CUDA_ARRAY3D_DESCRIPTOR {
        width: shape.width,
        height: shape.height,
        format: shape.format,
        channels: shape.channels,
        ..CUDA_ARRAY3D_DESCRIPTOR::default()
    };
    create(p_handle, shape, 1, false)
}

/// `cuArray3DCreate`
pub(crate) fn array_3d_create(p_handle: Caller<Handle>, p_desc: Caller<CUDA_ARRAY3D_DESCRIPTOR>) -> Answer {
    create(p_handle, p_desc.get()?, 1, false)
}

/// `cuMipmappedArrayCreate`: more levels than there can be are as many as there can be.
pub(crate) fn mipmapped_array_create(
    p_handle: Caller<Handle>,
    p_desc: Caller<CUDA_ARRAY3D_DESCRIPTOR>,
    num_levels: u32,
) -> Answer {
    let shape = p_desc.get()?;
    let layers = shape.flags & (flag::LAYERED | flag::CUBEMAP) != 0;
    let depth = if layers { 0 } else { shape.depth };
    let longest = shape.width.max(shape.height).max(depth).max(1);
    create(p_handle, shape, num_levels.min(longest.ilog2() + 1), true)
}

/// Frees an array and the views of its levels. The worker waits for queued work.
fn destroy(driver: &Driver, array: &Array) -> Answer {
    driver.arrays.remove(array.handle)?;
    let views = std::mem::take(&mut *array.views.lock().unwrap_or_else(PoisonError::into_inner));
    if let Ok(context) = driver.contexts.get(array.core.handle) {
        let mut children = context.children();
        children.arrays.remove(&array.handle);
        for view in views.values() {
            children.arrays.remove(view);
        }
    }
    for view in views.into_values() {
        let _ = driver.arrays.remove(view);
    }
    Ok(driver.session.post(&ArrayDestroy { array: array.root }, &[])?)
}

/// `cuArrayDestroy`: a level of a mipmapped array goes with that.
pub(crate) fn array_destroy(h_array: Handle) -> Answer {
    let driver = state::driver()?;
    let array = array(driver, h_array)?;
    if array.root != array.handle {
        return Err(Code::INVALID_HANDLE);
    }
    destroy(driver, &array)
}

/// `cuMipmappedArrayDestroy`
pub(crate) fn mipmapped_array_destroy(h_array: Handle) -> Answer {
    let driver = state::driver()?;
    let array = mipmapped(driver, h_array)?;
    destroy(driver, &array)
}

/// `cuMipmappedArrayGetLevel`
pub(crate) fn mipmapped_array_get_level(p_level: Caller<Handle>, h_array: Handle, level: u32) -> Answer {
    p_level.required()?;
    let driver = state::driver()?;
    let whole = mipmapped(driver, h_array)?;
    if level >= whole.levels {
        return Err(Code::INVALID_VALUE);
    }
    let mut views = whole.views.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(&view) = views.get(&level) {
        return p_level.put(view);
    }
    let shrink = |texels: usize| if texels == 0 { 0 } else { (texels >> level).max(1) };
    let layers = whole.shape.flags & (flag::LAYERED | flag::CUBEMAP) != 0;
    let shape = CUDA_ARRAY3D_DESCRIPTOR {
        width: shrink(whole.shape.width),
        // The height of a stack of lines is 0 and stays so.
        height: shrink(whole.shape.height),
        depth: if layers {
            whole.shape.depth
        } else {
            shrink(whole.shape.depth)
        },
        ..whole.shape
    };
    let view = driver.arrays.insert(|handle| {
        Ok(Array {
            handle,
            core: Arc::clone(&whole.core),
            root: whole.root,
            level,
            levels: 1,
            mipmapped: false,
            shape,
            views: Mutex::default(),
        })
    })?;
    if let Ok(context) = driver.contexts.get(whole.core.handle) {
        context.children().arrays.insert(view.handle);
    }
    views.insert(level, view.handle);
    p_level.put(view.handle)
}

/// `cuArray3DGetDescriptor`
pub(crate) fn array_3d_get_descriptor(p_desc: Caller<CUDA_ARRAY3D_DESCRIPTOR>, h_array: Handle) -> Answer {
    p_desc.required()?;
    p_desc.put(array(state::driver()?, h_array)?.shape)
}

/// `cuArrayGetDescriptor`: only for what has at most two axes.
pub(crate) fn array_get_descriptor(p_desc: Caller<CUDA_ARRAY_DESCRIPTOR>, h_array: Handle) -> Answer {
    p_desc.required()?;
    let shape = array(state::driver()?, h_array)?.shape;
    p_desc.put(CUDA_ARRAY_DESCRIPTOR {
        width: shape.width,
        height: shape.height,
        format: shape.format,
        channels: shape.channels,
    })
}
