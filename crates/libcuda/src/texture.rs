//! Texture and surface objects.
//!
//! The number that a kernel uses comes from the device. Here it is remembered what it was made of, for those who ask.

use crate::array;
use crate::code::{Answer, Code};
use crate::context::Core;
use crate::current;
use crate::device::attribute;
use crate::state::{self, Driver};
use crate::types::{CUDA_RESOURCE_DESC, CUDA_RESOURCE_VIEW_DESC, CUDA_TEXTURE_DESC, Caller, Handle};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use tessera_wire::messages::{ImageCreate, ImageDestroy};
use tessera_wire::{
    ALL_LEVELS, IMAGE_LINEAR, IMAGE_LINEAR_LEVELS, IMAGE_NORMALIZED, IMAGE_SRGB, IMAGE_SURFACE, IMAGE_UNIT,
};

/// `CUresourcetype`
pub(crate) mod resource {
    pub(crate) const ARRAY: i32 = 0;
    pub(crate) const MIPMAPPED_ARRAY: i32 = 1;
    pub(crate) const LINEAR: i32 = 2;
    pub(crate) const PITCH2D: i32 = 3;
}

/// `CU_TRSF_*`
pub(crate) mod flag {
    pub(crate) const READ_AS_INTEGER: u32 = 1;
    pub(crate) const NORMALIZED_COORDINATES: u32 = 2;
    pub(crate) const SRGB: u32 = 0x10;
    /// A hint: filtering is exact here with it and without.
    pub(crate) const DISABLE_TRILINEAR: u32 = 0x20;
    pub(crate) const SEAMLESS_CUBEMAP: u32 = 0x40;
    pub(crate) const KNOWN: u32 =
        READ_AS_INTEGER | NORMALIZED_COORDINATES | SRGB | DISABLE_TRILINEAR | SEAMLESS_CUBEMAP;
}

/// A texture or surface object.
#[derive(Clone)]
struct Object {
    core: Arc<Core>,
    resource: CUDA_RESOURCE_DESC,
    /// None for a surface.
    texture: Option<CUDA_TEXTURE_DESC>,
}

/// All texture and surface objects of the process, by what kernels use. Addresses of different contexts differ.
#[derive(Default)]
pub(crate) struct Images(RwLock<HashMap<u64, Object>>);

impl Images {
    pub(crate) fn forget_context(&self, context: Handle) {
        self.0
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|_, object| object.core.handle != context);
    }

    fn get(&self, handle: u64, surface: bool) -> Answer<Object> {
        let table = self.0.read().unwrap_or_else(PoisonError::into_inner);
        match table.get(&handle) {
            Some(object) if object.texture.is_none() == surface => Ok(object.clone()),
            _ => Err(Code::INVALID_VALUE),
        }
    }
}

/// What the worker is told of an image. Its context is left out.
pub(crate) fn describe(
    driver: &Driver,
    resource: &CUDA_RESOURCE_DESC,
    texture: Option<&CUDA_TEXTURE_DESC>,
) -> Answer<ImageCreate> {
    let mut image = ImageCreate {
        level: ALL_LEVELS,
        format: resource.format,
        channels: resource.channels,
        address: resource.pointer,
        ..ImageCreate::default()
    };
    let mut format = resource.format;
    match resource.kind {
        resource::ARRAY => {
            let array = array::array(driver, resource.pointer)?;
            if texture.is_none() && !array.is_surface() {
                return Err(Code::INVALID_VALUE);
            }
            (image.array, image.level) = (array.root, array.level);
            format = array.shape.format;
        }
        resource::MIPMAPPED_ARRAY if texture.is_some() => {
            let array = array::mipmapped(driver, resource.pointer)?;
            image.array = array.root;
            format = array.shape.format;
        }
        resource::LINEAR if texture.is_some() => {
            array::channel_bytes(format)?;
            image.width = resource.width as u64;
        }
        resource::PITCH2D if texture.is_some() => {
            array::channel_bytes(format)?;
            if resource.height == 0 {
                return Err(Code::INVALID_VALUE);
            }
            image.width = resource.width as u64;
            image.height = resource.height as u64;
            image.pitch = resource.pitch as u64;
        }
        _ => return Err(Code::INVALID_VALUE),
    }
    match texture {
        None => image.flags = IMAGE_SURFACE,
        Some(texture) => sample(&mut image, texture, format)?,
    }
    Ok(image)
}

/// Memory of a texture object, a line or a plane (a reference gives its offset back instead): aligned, of texels that there are, not
/// more of them than the device can index.
fn check_memory(driver: &Driver, resource: &CUDA_RESOURCE_DESC) -> Answer {
    let channel = array::channel_bytes(resource.format)?;
    if !matches!(resource.channels, 1 | 2 | 4) || resource.pointer == 0 {
        return Err(Code::INVALID_VALUE);
    }
    let limit = |number: i32| driver.limit(number).max(1) as usize;
    let texel = channel * resource.channels as usize;
    let fits = if resource.kind == resource::LINEAR {
        resource.width / texel <= limit(LINEAR_WIDTH)
    } else {
        (1..=limit(PLANE_WIDTH)).contains(&resource.width)
            && (1..=limit(PLANE_HEIGHT)).contains(&resource.height)
            && (resource.width * texel..=limit(PLANE_PITCH)).contains(&resource.pitch)
            && resource.pitch.is_multiple_of(limit(PITCH_ALIGNMENT))
    };
    let align = limit(attribute::TEXTURE_ALIGNMENT) as u64;
    if fits && resource.pointer.is_multiple_of(align) {
        Ok(())
    } else {
        Err(Code::INVALID_VALUE)
    }
}

fn sample(image: &mut ImageCreate, texture: &CUDA_TEXTURE_DESC, format: u32) -> Answer {
    if texture.flags & !flag::KNOWN != 0 || texture.filter > 1 || texture.level_filter > 1 {
        return Err(Code::INVALID_VALUE);
    }
    if texture.flags & flag::SEAMLESS_CUBEMAP != 0 {
        tessera_guest::log("seamless cube maps are not supported");
        return Err(Code::NOT_SUPPORTED);
    }
    if texture.modes.iter().any(|&mode| mode > 3) {
        return Err(Code::INVALID_VALUE);
    }
    let set = |condition: bool, bit: u32| if condition { bit } else { 0 };
    let has = |bit: u32| texture.flags & bit != 0;
    // 8 and 16 bits become fractions unless the program says otherwise; 32 bits never do.
    let narrow = matches!(format, 1 | 2 | 8 | 9);
    image.flags = set(has(flag::NORMALIZED_COORDINATES), IMAGE_NORMALIZED)
        | set(has(flag::SRGB), IMAGE_SRGB)
        | set(narrow && !has(flag::READ_AS_INTEGER), IMAGE_UNIT)
        | set(texture.filter == 1, IMAGE_LINEAR)
        | set(
            texture.level_filter == 1 && image.level == ALL_LEVELS && image.array != 0,
            IMAGE_LINEAR_LEVELS,
        );
    image.modes = texture.modes;
    image.border = texture.border.map(f32::to_bits);
    image.level_bias = texture.level_bias.to_bits();
    image.level_clamp = texture.level_clamp.map(f32::to_bits);
    Ok(())
}

fn create(out: Caller<u64>, resource: &CUDA_RESOURCE_DESC, texture: Option<CUDA_TEXTURE_DESC>) -> Answer {
    out.required()?;
    let driver = state::driver()?;
    let context = current::faultless()?;
    if matches!(resource.kind, resource::LINEAR | resource::PITCH2D) && texture.is_some() {
        check_memory(driver, resource)?;
    }
    let message = ImageCreate {
        context: context.handle(),
        ..describe(driver, resource, texture.as_ref())?
    };
    let (reply, _) = driver.session.call(&message, &[])?;
    let object = Object {
        core: Arc::clone(&context.core),
        resource: *resource,
        texture,
    };
    driver
        .images
        .0
        .write()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(reply.image, object);
    out.put(reply.image)
}

fn destroy(handle: u64, surface: bool) -> Answer {
    let driver = state::driver()?;
    let object = driver.images.get(handle, surface)?;
    // Work that still uses it is waited for, as for memory.
    if let Ok(context) = driver.contexts.get(object.core.handle) {
        context.synchronize()?;
    }
    driver
        .images
        .0
        .write()
        .unwrap_or_else(PoisonError::into_inner)
        .remove(&handle);
    let message = ImageDestroy {
        context: object.core.handle,
        image: handle,
    };
    Ok(driver.session.post(&message, &[])?)
}

/// `cuTexObjectCreate`. Views that see an array as something else are not served.
pub(crate) fn tex_object_create(
    p_tex_object: Caller<u64>,
    p_resource: Caller<CUDA_RESOURCE_DESC>,
    p_texture: Caller<CUDA_TEXTURE_DESC>,
    p_view: Caller<CUDA_RESOURCE_VIEW_DESC>,
) -> Answer {
    let (resource, texture) = (p_resource.get()?, p_texture.get()?);
    if !p_view.is_null() {
        tessera_guest::log("views of texture resources are not supported");
        return Err(Code::NOT_SUPPORTED);
    }
    create(p_tex_object, &resource, Some(texture))
}

/// `cuTexObjectDestroy`
pub(crate) fn tex_object_destroy(tex_object: u64) -> Answer {
    destroy(tex_object, false)
}

/// `cuTexObjectGetResourceDesc`
pub(crate) fn tex_object_get_resource_desc(
    p_resource: Caller<CUDA_RESOURCE_DESC>,
    tex_object: u64,
) -> Answer {
    p_resource.required()?;
    p_resource.put(state::driver()?.images.get(tex_object, false)?.resource)
}

/// `cuTexObjectGetTextureDesc`
pub(crate) fn tex_object_get_texture_desc(p_texture: Caller<CUDA_TEXTURE_DESC>, tex_object: u64) -> Answer {
    p_texture.required()?;
    let object = state::driver()?.images.get(tex_object, false)?;
    p_texture.put(object.texture.unwrap_or_default())
}

/// `cuTexObjectGetResourceViewDesc`: no texture has one.
pub(crate) fn tex_object_get_resource_view_desc(
    p_view: Caller<CUDA_RESOURCE_VIEW_DESC>,
    tex_object: u64,
) -> Answer {
    p_view.required()?;
    state::driver()?.images.get(tex_object, false)?;
    Err(Code::INVALID_VALUE)
}

/// `cuSurfObjectCreate`
pub(crate) fn surf_object_create(
    p_surf_object: Caller<u64>,
    p_resource: Caller<CUDA_RESOURCE_DESC>,
) -> Answer {
    create(p_surf_object, &p_resource.get()?, None)
}

/// `cuSurfObjectDestroy`
pub(crate) fn surf_object_destroy(surf_object: u64) -> Answer {
    destroy(surf_object, true)
}

/// `cuSurfObjectGetResourceDesc`
pub(crate) fn surf_object_get_resource_desc(
    p_resource: Caller<CUDA_RESOURCE_DESC>,
    surf_object: u64,
) -> Answer {
    p_resource.required()?;
    p_resource.put(state::driver()?.images.get(surf_object, true)?.resource)
}

/// `cuDeviceGetTexture1DLinearMaxWidth`
pub(crate) fn device_get_texture_1d_linear_max_width(
    max_width: Caller<usize>,
    format: u32,
    num_channels: u32,
    dev: i32,
) -> Answer {
    max_width.required()?;
    crate::device::device(dev)?;
    let texel = array::channel_bytes(format)? * num_channels as usize;
    if !matches!(num_channels, 1 | 2 | 4) {
        return Err(Code::INVALID_VALUE);
    }
    // What attribute 69 (MAXIMUM_TEXTURE1D_LINEAR_WIDTH) says of texels of any size, and never more than 4 GiB.
    let texels = state::driver()?.limit(LINEAR_WIDTH) as usize;
    max_width.put(texels.min((4 << 30) / texel))
}

/// `CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE1D_LINEAR_WIDTH`
const LINEAR_WIDTH: i32 = 69;
/// `CU_DEVICE_ATTRIBUTE_TEXTURE_PITCH_ALIGNMENT`
const PITCH_ALIGNMENT: i32 = 51;
/// `CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE2D_LINEAR_WIDTH`, `_HEIGHT`, `_PITCH`
const PLANE_WIDTH: i32 = 70;
const PLANE_HEIGHT: i32 = 71;
const PLANE_PITCH: i32 = 72;
