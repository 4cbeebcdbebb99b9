//! Texture and surface references of modules, as programs of CUDA 11 and earlier have them.
//!
//! Setting something on a reference changes what later launches see. What was set is sent with the next launch of a kernel of the
//! module, once. A reference that was in use before waits for the work of the context first, so that earlier launches keep what they
//! were launched with:
//!
//! ```text
//!   set ─▶ changed ── launch ─▶ [in use before? wait for the context] ─▶ ImageBind in the launch's stream, waited for ─▶ in use
//! ```

use crate::array;
use crate::code::{Answer, Code};
use crate::context::{Context, Core};
use crate::current;
use crate::function;
use crate::module;
use crate::state::{self, Driver};
use crate::stream::Stream;
use crate::texture::{self, flag, resource};
use crate::types::{CUDA_ARRAY_DESCRIPTOR, CUDA_RESOURCE_DESC, CUDA_TEXTURE_DESC, Caller, Handle, c_char};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tessera_wire::messages::{ImageBind, ReferenceGet};

/// References of this process that were set since their last launch: launches look here first.
static CHANGED: AtomicUsize = AtomicUsize::new(0);

struct Settings {
    resource: Option<CUDA_RESOURCE_DESC>,
    texture: CUDA_TEXTURE_DESC,
    /// Texels of plain memory: format and channels.
    texel: (u32, u32),
    changed: bool,
    in_use: bool,
}

/// A texture or surface reference.
pub(crate) struct Reference {
    pub(crate) handle: Handle,
    core: Arc<Core>,
    /// Its place in its module's memory; 0 for one of the program's own, which no kernel sees.
    place: u64,
    surface: bool,
    settings: Mutex<Settings>,
}

impl Reference {
    fn new(handle: Handle, core: &Arc<Core>, place: u64, surface: bool) -> Self {
        Self {
            handle,
            core: Arc::clone(core),
            place,
            surface,
            settings: Mutex::new(Settings {
                resource: None,
                // What a reference has before anything is set: floats, clamped.
                texture: CUDA_TEXTURE_DESC {
                    modes: [1; 3],
                    ..CUDA_TEXTURE_DESC::default()
                },
                texel: (32, 1),
                changed: false,
                in_use: false,
            }),
        }
    }

    fn settings(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn plain(kind: i32, pointer: u64) -> CUDA_RESOURCE_DESC {
    CUDA_RESOURCE_DESC {
        kind,
        pointer,
        format: 0,
        channels: 0,
        width: 0,
        height: 0,
        pitch: 0,
        rest: [0; 11],
        flags: 0,
    }
}

fn get(out: Caller<Handle>, hmod: Handle, name: Caller<c_char>, surface: bool) -> Answer {
    out.required()?;
    let name = name.text()?;
    let (driver, module) = module::module(hmod)?;
    let mut references = module.references();
    if let Some(known) = references.get(&name) {
        return if known.surface == surface {
            out.put(known.handle)
        } else {
            Err(Code::NOT_FOUND)
        };
    }
    let message = ReferenceGet { module: hmod };
    let (reply, _) = driver.session.call(&message, name.as_bytes())?;
    if (reply.surface != 0) != surface {
        return Err(Code::NOT_FOUND);
    }
    let reference = driver
        .references
        .insert(|handle| Ok(Reference::new(handle, &module.core, reply.place, surface)))?;
    references.insert(name, Arc::clone(&reference));
    out.put(reference.handle)
}

/// `cuModuleGetTexRef`
pub(crate) fn module_get_tex_ref(p_tex_ref: Caller<Handle>, hmod: Handle, name: Caller<c_char>) -> Answer {
    get(p_tex_ref, hmod, name, false)
}

/// `cuTexRefCreate`: one that belongs to no module. It can be set and asked; kernels have no name for it.
pub(crate) fn tex_ref_create(p_tex_ref: Caller<Handle>) -> Answer {
    p_tex_ref.required()?;
    let driver = state::driver()?;
    let context = current::current()?;
    let reference = driver
        .references
        .insert(|handle| Ok(Reference::new(handle, &context.core, 0, false)))?;
    p_tex_ref.put(reference.handle)
}

/// `cuTexRefDestroy`: a module's go with the module.
pub(crate) fn tex_ref_destroy(h_tex_ref: Handle) -> Answer {
    let driver = state::driver()?;
    if driver.references.get(h_tex_ref)?.place != 0 {
        return Err(Code::INVALID_VALUE);
    }
    driver.references.remove(h_tex_ref).map(drop)
}

/// `cuParamSetTexRef`: a module's references are there for each of its kernels without it.
pub(crate) fn param_set_tex_ref(hfunc: Handle, tex_unit: i32, h_tex_ref: Handle) -> Answer {
    /// `CU_PARAM_TR_DEFAULT`
    const DEFAULT_UNIT: i32 = -1;
    function::function(hfunc)?;
    let reference = state::driver()?.references.get(h_tex_ref)?;
    if tex_unit != DEFAULT_UNIT || reference.surface || reference.place == 0 {
        return Err(Code::INVALID_VALUE);
    }
    Ok(())
}

/// `cuModuleGetSurfRef`
pub(crate) fn module_get_surf_ref(p_surf_ref: Caller<Handle>, hmod: Handle, name: Caller<c_char>) -> Answer {
    get(p_surf_ref, hmod, name, true)
}

/// Sends what was set on references of a module since the last launch. Called with every launch.
#[inline]
pub(crate) fn settle(driver: &Driver, context: &Context, module: Handle, stream: &Stream) -> Answer {
    if CHANGED.load(Ordering::Relaxed) == 0 {
        return Ok(());
    }
    settle_changed(driver, context, module, stream)
}

#[cold]
fn settle_changed(driver: &Driver, context: &Context, module: Handle, stream: &Stream) -> Answer {
    let Ok(module) = driver.modules.get(module) else {
        return Ok(());
    };
    let references: Vec<_> = module.references().values().cloned().collect();
    for reference in references {
        let mut settings = reference.settings();
        let (true, Some(resource)) = (settings.changed, settings.resource) else {
            continue;
        };
        if settings.in_use {
            context.synchronize()?;
        }
        let texture = (!reference.surface).then_some(settings.texture);
        let image = texture::describe(driver, &resource, texture.as_ref())?;
        let seq = stream.submit(driver, &[], |seq| ImageBind {
            stream: stream.handle(),
            seq,
            reference: reference.place,
            array: image.array,
            address: image.address,
            width: image.width,
            height: image.height,
            pitch: image.pitch,
            level: image.level,
            format: image.format,
            channels: image.channels,
            flags: image.flags,
            modes: image.modes,
            border: image.border,
            level_bias: image.level_bias,
            level_clamp: image.level_clamp,
        })?;
        // Launches in other streams must find it too.
        stream.wait(seq)?;
        (settings.changed, settings.in_use) = (false, true);
        CHANGED.fetch_sub(1, Ordering::Relaxed);
    }
    Ok(())
}

/// Changes what a reference is set to.
fn set(handle: Handle, surface: bool, change: impl FnOnce(&Driver, &mut Settings) -> Answer) -> Answer {
    let driver = state::driver()?;
    let reference = driver.references.get(handle)?;
    reference.core.check()?;
    if reference.surface != surface {
        return Err(Code::INVALID_HANDLE);
    }
    let mut settings = reference.settings();
    change(driver, &mut settings)?;
    if reference.place != 0 && !std::mem::replace(&mut settings.changed, true) {
        CHANGED.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

fn set_texture(handle: Handle, change: impl FnOnce(&mut CUDA_TEXTURE_DESC) -> Answer) -> Answer {
    set(handle, false, |_, settings| change(&mut settings.texture))
}

/// `cuTexRefSetArray`: with or without leave to override the format, it is the array's.
pub(crate) fn tex_ref_set_array(h_tex_ref: Handle, h_array: Handle, _flags: u32) -> Answer {
    set(h_tex_ref, false, |driver, settings| {
        array::array(driver, h_array)?;
        settings.resource = Some(plain(resource::ARRAY, h_array));
        Ok(())
    })
}

/// `cuTexRefSetMipmappedArray`
pub(crate) fn tex_ref_set_mipmapped_array(h_tex_ref: Handle, h_array: Handle, _flags: u32) -> Answer {
    set(h_tex_ref, false, |driver, settings| {
        array::mipmapped(driver, h_array)?;
        settings.resource = Some(plain(resource::MIPMAPPED_ARRAY, h_array));
        Ok(())
    })
}

/// `cuSurfRefSetArray`
pub(crate) fn surf_ref_set_array(h_surf_ref: Handle, h_array: Handle, _flags: u32) -> Answer {
    set(h_surf_ref, true, |driver, settings| {
        if !array::array(driver, h_array)?.is_surface() {
            return Err(Code::INVALID_VALUE);
        }
        settings.resource = Some(plain(resource::ARRAY, h_array));
        Ok(())
    })
}

/// `cuTexRefSetAddress`: any address will do, so the offset is 0.
pub(crate) fn tex_ref_set_address(
    byte_offset: Caller<usize>,
    h_tex_ref: Handle,
    dptr: u64,
    bytes: usize,
) -> Answer {
    set(h_tex_ref, false, |_, settings| {
        settings.resource = Some(CUDA_RESOURCE_DESC {
            format: settings.texel.0,
            channels: settings.texel.1,
            width: bytes,
            ..plain(resource::LINEAR, dptr)
        });
        Ok(())
    })?;
    byte_offset.put_if_wanted(0);
    Ok(())
}

/// `cuTexRefSetAddress2D`
pub(crate) fn tex_ref_set_address_2d(
    h_tex_ref: Handle,
    desc: Caller<CUDA_ARRAY_DESCRIPTOR>,
    dptr: u64,
    pitch: usize,
) -> Answer {
    let shape = desc.get()?;
    set(h_tex_ref, false, |_, settings| {
        settings.resource = Some(CUDA_RESOURCE_DESC {
            format: shape.format,
            channels: shape.channels,
            width: shape.width,
            height: shape.height,
            pitch,
            ..plain(resource::PITCH2D, dptr)
        });
        Ok(())
    })
}

/// `cuTexRefSetFormat`
pub(crate) fn tex_ref_set_format(h_tex_ref: Handle, format: u32, num_packed_components: i32) -> Answer {
    array::channel_bytes(format)?;
    let channels = u32::try_from(num_packed_components).map_err(|_| Code::INVALID_VALUE)?;
    if !matches!(channels, 1 | 2 | 4) {
        return Err(Code::INVALID_VALUE);
    }
    set(h_tex_ref, false, |_, settings| {
        settings.texel = (format, channels);
        if let Some(resource) = settings.resource.as_mut().filter(|r| r.kind == resource::LINEAR) {
            (resource.format, resource.channels) = (format, channels);
        }
        Ok(())
    })
}

/// `cuTexRefSetAddressMode`
pub(crate) fn tex_ref_set_address_mode(h_tex_ref: Handle, dim: i32, mode: u32) -> Answer {
    set_texture(h_tex_ref, |texture| {
        let axis = usize::try_from(dim).map_err(|_| Code::INVALID_VALUE)?;
        if mode > 3 {
            return Err(Code::INVALID_VALUE);
        }
        *texture.modes.get_mut(axis).ok_or(Code::INVALID_VALUE)? = mode;
        Ok(())
    })
}

fn filter(mode: u32) -> Answer<u32> {
    if mode > 1 {
        Err(Code::INVALID_VALUE)
    } else {
        Ok(mode)
    }
}

/// `cuTexRefSetFilterMode`
pub(crate) fn tex_ref_set_filter_mode(h_tex_ref: Handle, mode: u32) -> Answer {
    set_texture(h_tex_ref, |texture| {
        texture.filter = filter(mode)?;
        Ok(())
    })
}

/// `cuTexRefSetMipmapFilterMode`
pub(crate) fn tex_ref_set_mipmap_filter_mode(h_tex_ref: Handle, mode: u32) -> Answer {
    set_texture(h_tex_ref, |texture| {
        texture.level_filter = filter(mode)?;
        Ok(())
    })
}

/// `cuTexRefSetMipmapLevelBias`
pub(crate) fn tex_ref_set_mipmap_level_bias(h_tex_ref: Handle, bias: f32) -> Answer {
    set_texture(h_tex_ref, |texture| {
        texture.level_bias = bias;
        Ok(())
    })
}

/// `cuTexRefSetMipmapLevelClamp`
pub(crate) fn tex_ref_set_mipmap_level_clamp(h_tex_ref: Handle, least: f32, most: f32) -> Answer {
    set_texture(h_tex_ref, |texture| {
        texture.level_clamp = [least, most];
        Ok(())
    })
}

/// `cuTexRefSetMaxAnisotropy`: kept and not used.
pub(crate) fn tex_ref_set_max_anisotropy(h_tex_ref: Handle, max_aniso: u32) -> Answer {
    set_texture(h_tex_ref, |texture| {
        texture.anisotropy = max_aniso;
        Ok(())
    })
}

/// `cuTexRefSetBorderColor`
pub(crate) fn tex_ref_set_border_color(h_tex_ref: Handle, p_border_color: Caller<f32>) -> Answer {
    let mut colour = [0.0; 4];
    for (index, channel) in colour.iter_mut().enumerate() {
        *channel = p_border_color.at(index)?;
    }
    set_texture(h_tex_ref, |texture| {
        texture.border = colour;
        Ok(())
    })
}

/// `cuTexRefSetFlags`
pub(crate) fn tex_ref_set_flags(h_tex_ref: Handle, flags: u32) -> Answer {
    set_texture(h_tex_ref, |texture| {
        if flags & !flag::KNOWN != 0 {
            return Err(Code::INVALID_VALUE);
        }
        texture.flags = flags;
        Ok(())
    })
}

/// Looks at what a reference is set to.
fn look<T>(handle: Handle, surface: bool, see: impl FnOnce(&Settings) -> Answer<T>) -> Answer<T> {
    let reference = state::driver()?.references.get(handle)?;
    if reference.surface != surface {
        return Err(Code::INVALID_HANDLE);
    }
    see(&reference.settings())
}

fn bound(handle: Handle, surface: bool, kinds: &[i32]) -> Answer<u64> {
    look(handle, surface, |settings| match settings.resource {
        Some(resource) if kinds.contains(&resource.kind) => Ok(resource.pointer),
        _ => Err(Code::INVALID_VALUE),
    })
}

/// `cuTexRefGetAddress`
pub(crate) fn tex_ref_get_address(pdptr: Caller<u64>, h_tex_ref: Handle) -> Answer {
    pdptr.required()?;
    pdptr.put(bound(h_tex_ref, false, &[resource::LINEAR, resource::PITCH2D])?)
}

/// `cuTexRefGetArray`
pub(crate) fn tex_ref_get_array(ph_array: Caller<Handle>, h_tex_ref: Handle) -> Answer {
    ph_array.required()?;
    ph_array.put(bound(h_tex_ref, false, &[resource::ARRAY])?)
}

/// `cuTexRefGetMipmappedArray`
pub(crate) fn tex_ref_get_mipmapped_array(ph_array: Caller<Handle>, h_tex_ref: Handle) -> Answer {
    ph_array.required()?;
    ph_array.put(bound(h_tex_ref, false, &[resource::MIPMAPPED_ARRAY])?)
}

/// `cuSurfRefGetArray`
pub(crate) fn surf_ref_get_array(ph_array: Caller<Handle>, h_surf_ref: Handle) -> Answer {
    ph_array.required()?;
    ph_array.put(bound(h_surf_ref, true, &[resource::ARRAY])?)
}

/// `cuTexRefGetAddressMode`
pub(crate) fn tex_ref_get_address_mode(pam: Caller<u32>, h_tex_ref: Handle, dim: i32) -> Answer {
    pam.required()?;
    pam.put(look(h_tex_ref, false, |settings| {
        let axis = usize::try_from(dim).map_err(|_| Code::INVALID_VALUE)?;
        settings
            .texture
            .modes
            .get(axis)
            .copied()
            .ok_or(Code::INVALID_VALUE)
    })?)
}

/// `cuTexRefGetFilterMode`
pub(crate) fn tex_ref_get_filter_mode(pfm: Caller<u32>, h_tex_ref: Handle) -> Answer {
    pfm.required()?;
    pfm.put(look(h_tex_ref, false, |settings| Ok(settings.texture.filter))?)
}

/// `cuTexRefGetMipmapFilterMode`
pub(crate) fn tex_ref_get_mipmap_filter_mode(pfm: Caller<u32>, h_tex_ref: Handle) -> Answer {
    pfm.required()?;
    pfm.put(look(h_tex_ref, false, |settings| {
        Ok(settings.texture.level_filter)
    })?)
}

/// `cuTexRefGetMipmapLevelBias`
pub(crate) fn tex_ref_get_mipmap_level_bias(pbias: Caller<f32>, h_tex_ref: Handle) -> Answer {
    pbias.required()?;
    pbias.put(look(h_tex_ref, false, |settings| {
        Ok(settings.texture.level_bias)
    })?)
}

/// `cuTexRefGetMipmapLevelClamp`
pub(crate) fn tex_ref_get_mipmap_level_clamp(
    pmin: Caller<f32>,
    pmax: Caller<f32>,
    h_tex_ref: Handle,
) -> Answer {
    let [least, most] = look(h_tex_ref, false, |settings| Ok(settings.texture.level_clamp))?;
    pmin.put(least)?;
    pmax.put(most)
}

/// `cuTexRefGetMaxAnisotropy`
pub(crate) fn tex_ref_get_max_anisotropy(pmax: Caller<i32>, h_tex_ref: Handle) -> Answer {
    pmax.required()?;
    let most = look(h_tex_ref, false, |settings| Ok(settings.texture.anisotropy))?;
    pmax.put(i32::try_from(most).unwrap_or(i32::MAX))
}

/// `cuTexRefGetBorderColor`
pub(crate) fn tex_ref_get_border_color(p_border_color: Caller<f32>, h_tex_ref: Handle) -> Answer {
    p_border_color.required()?;
    let colour = look(h_tex_ref, false, |settings| Ok(settings.texture.border))?;
    for (index, channel) in colour.into_iter().enumerate() {
        p_border_color.put_at(index, channel)?;
    }
    Ok(())
}

/// `cuTexRefGetFlags`
pub(crate) fn tex_ref_get_flags(p_flags: Caller<u32>, h_tex_ref: Handle) -> Answer {
    p_flags.required()?;
    p_flags.put(look(h_tex_ref, false, |settings| Ok(settings.texture.flags))?)
}

/// `cuTexRefGetFormat`
pub(crate) fn tex_ref_get_format(
    p_format: Caller<u32>,
    p_channels: Caller<i32>,
    h_tex_ref: Handle,
) -> Answer {
    let (format, channels) = look(h_tex_ref, false, |settings| Ok(settings.texel))?;
    p_format.put_if_wanted(format);
    p_channels.put_if_wanted(i32::try_from(channels).unwrap_or(0));
    Ok(())
}
