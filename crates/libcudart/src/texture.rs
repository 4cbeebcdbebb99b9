//! Texture and surface objects.

use crate::abi::{DevicePtr, Handle, In, Out, device_address, pointer};
use crate::array::{self, ChannelDesc};
use crate::error::Error;
use crate::thread::context;
use std::ffi::c_void;

/// `cudaResourceType`, which `CUresourcetype` numbers alike.
const ARRAY: i32 = 0;
const MIPMAPPED_ARRAY: i32 = 1;
const LINEAR: i32 = 2;
const PITCH2D: i32 = 3;

/// `cudaResourceDesc`, as far as both versions of the runtime have it. Bytes in all of linear memory stand where the width does.
#[repr(C)]
#[derive(Clone, Copy)]
struct Resource {
    kind: i32,
    pointer: *mut c_void,
    desc: ChannelDesc,
    width: usize,
    height: usize,
    pitch: usize,
}

/// `cudaTextureDesc`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Texture {
    modes: [u32; 3],
    filter: u32,
    /// 1: integers as fractions of one.
    read: u32,
    srgb: i32,
    border: [f32; 4],
    normalized: i32,
    anisotropy: u32,
    level_filter: u32,
    level_bias: f32,
    level_clamp: [f32; 2],
    no_trilinear: i32,
    seamless: i32,
}

/// `CUDA_RESOURCE_DESC` of the driver API.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct DriverResource {
    kind: i32,
    pointer: DevicePtr,
    format: u32,
    channels: u32,
    width: usize,
    height: usize,
    pitch: usize,
    rest: [u64; 11],
    flags: u32,
}

/// `CUDA_TEXTURE_DESC` of the driver API.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct DriverTexture {
    modes: [u32; 3],
    filter: u32,
    flags: u32,
    anisotropy: u32,
    level_filter: u32,
    level_bias: f32,
    level_clamp: [f32; 2],
    border: [f32; 4],
    reserved: [i32; 12],
}

/// `cudaResourceViewDesc` as version 12 lays it out.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct View {
    format: u32,
    extent: [usize; 3],
    levels: [u32; 2],
    layers: [u32; 2],
}

/// `CUDA_RESOURCE_VIEW_DESC` of the driver API, and `cudaResourceViewDesc` of version 13.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct DriverView {
    pub(crate) first: View,
    reserved: [u32; 16],
}

const _: () = {
    assert!(size_of::<View>() == 48 && size_of::<DriverView>() == 112);
    assert!(size_of::<Resource>() == 64 && size_of::<Texture>() == 72);
    assert!(size_of::<DriverResource>() == 144 && size_of::<DriverTexture>() == 104);
};

/// `CU_TRSF_*`.
const READ_AS_INTEGER: u32 = 1;
const NORMALIZED_COORDINATES: u32 = 2;
const SRGB: u32 = 0x10;
const DISABLE_TRILINEAR: u32 = 0x20;
const SEAMLESS_CUBEMAP: u32 = 0x40;

const EMPTY: DriverResource = DriverResource {
    kind: 0,
    pointer: 0,
    format: 0,
    channels: 0,
    width: 0,
    height: 0,
    pitch: 0,
    rest: [0; 11],
    flags: 0,
};

impl Resource {
    fn driver(&self) -> Result<DriverResource, Error> {
        let mut to = DriverResource {
            kind: self.kind,
            pointer: device_address(self.pointer),
            ..EMPTY
        };
        match self.kind {
            ARRAY | MIPMAPPED_ARRAY => {}
            LINEAR | PITCH2D => {
                (to.format, to.channels) = self.desc.format()?;
                to.width = self.width;
                if self.kind == PITCH2D {
                    (to.height, to.pitch) = (self.height, self.pitch);
                }
            }
            _ => return Err(Error::INVALID_VALUE),
        }
        Ok(to)
    }

    fn of(from: &DriverResource) -> Result<Self, Error> {
        let plain = matches!(from.kind, LINEAR | PITCH2D);
        Ok(Self {
            kind: from.kind,
            pointer: pointer(from.pointer)?,
            desc: if plain {
                ChannelDesc::of(from.format, from.channels)?
            } else {
                ChannelDesc::default()
            },
            width: from.width,
            height: from.height,
            pitch: from.pitch,
        })
    }

    /// Whether channels are integers of 32 bits.
    fn has_wide_integers(&self) -> Result<bool, Error> {
        let format = match self.kind {
            ARRAY => array::shape(self.pointer)?.format,
            MIPMAPPED_ARRAY => {
                let mut level: Handle = std::ptr::null_mut();
                context()?.cuMipmappedArrayGetLevel(Out::local(&mut level), self.pointer, 0)?;
                array::shape(level)?.format
            }
            _ => self.desc.format()?.0,
        };
        Ok(matches!(format, 3 | 10))
    }
}

impl Texture {
    fn driver(&self) -> DriverTexture {
        let set = |condition: bool, bit: u32| if condition { bit } else { 0 };
        DriverTexture {
            modes: self.modes,
            filter: self.filter,
            flags: set(self.read == 0, READ_AS_INTEGER)
                | set(self.normalized != 0, NORMALIZED_COORDINATES)
                | set(self.srgb != 0, SRGB)
                | set(self.no_trilinear != 0, DISABLE_TRILINEAR)
                | set(self.seamless != 0, SEAMLESS_CUBEMAP),
            anisotropy: self.anisotropy,
            level_filter: self.level_filter,
            level_bias: self.level_bias,
            level_clamp: self.level_clamp,
            border: self.border,
            reserved: [0; 12],
        }
    }

    fn of(from: &DriverTexture) -> Self {
        let has = |bit: u32| i32::from(from.flags & bit != 0);
        Self {
            modes: from.modes,
            filter: from.filter,
            read: u32::from(from.flags & READ_AS_INTEGER == 0),
            srgb: has(SRGB),
            border: from.border,
            normalized: has(NORMALIZED_COORDINATES),
            anisotropy: from.anisotropy,
            level_filter: from.level_filter,
            level_bias: from.level_bias,
            level_clamp: from.level_clamp,
            no_trilinear: has(DISABLE_TRILINEAR),
            seamless: has(SEAMLESS_CUBEMAP),
        }
    }
}

runtime_api! {
    /// Creates a texture.
    fn cudaCreateTextureObject(object: Out<u64>, resource: In<Resource>, texture: In<Texture>, view: In<View>) {
        let object = object.required()?;
        let (resource, texture) = (resource.get()?, texture.get()?);
        if texture.read > 1 {
            return Err(Error::INVALID_VALUE);
        }
        if texture.read == 1 && resource.has_wide_integers()? {
            return Err(Error::INVALID_NORM_SETTING);
        }
        // Programs of version 12 give a view without the reserved fields at its end.
        let view = view.get().ok().map(|first| DriverView { first, reserved: [0; 16] });
        let view = view.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        context()?.cuTexObjectCreate(object, &resource.driver()?, &texture.driver(), view.cast())
    }

    /// Destroys it; nothing to do for 0.
    fn cudaDestroyTextureObject(object: u64) {
        let driver = context()?;
        if object == 0 { Ok(()) } else { driver.cuTexObjectDestroy(object) }
    }

    /// What it was made of.
    fn cudaGetTextureObjectResourceDesc(resource: Out<Resource>, object: u64) {
        let resource = resource.required()?;
        let mut found = EMPTY;
        context()?.cuTexObjectGetResourceDesc(Out::local(&mut found), object)?;
        resource.set(Resource::of(&found)?)
    }

    /// How it is read.
    fn cudaGetTextureObjectTextureDesc(texture: Out<Texture>, object: u64) {
        let texture = texture.required()?;
        let mut found = DriverTexture::default();
        context()?.cuTexObjectGetTextureDesc(Out::local(&mut found), object)?;
        texture.set(Texture::of(&found))
    }

    /// Creates a surface.
    fn cudaCreateSurfaceObject(object: Out<u64>, resource: In<Resource>) {
        let object = object.required()?;
        let resource = resource.get()?;
        if resource.kind != ARRAY {
            return Err(Error::INVALID_VALUE);
        }
        context()?.cuSurfObjectCreate(object, &resource.driver()?)
    }

    /// Destroys it; nothing to do for 0.
    fn cudaDestroySurfaceObject(object: u64) {
        let driver = context()?;
        if object == 0 { Ok(()) } else { driver.cuSurfObjectDestroy(object) }
    }

    /// What it was made of.
    fn cudaGetSurfaceObjectResourceDesc(resource: Out<Resource>, object: u64) {
        let resource = resource.required()?;
        let mut found = EMPTY;
        context()?.cuSurfObjectGetResourceDesc(Out::local(&mut found), object)?;
        resource.set(Resource::of(&found)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_come_back_as_they_went() {
        let texture = Texture {
            modes: [0, 2, 3],
            filter: 1,
            read: 1,
            srgb: 1,
            border: [1.0, 2.0, 3.0, 4.0],
            normalized: 1,
            anisotropy: 4,
            level_filter: 1,
            level_bias: 0.5,
            level_clamp: [1.0, 2.0],
            no_trilinear: 1,
            seamless: 1,
        };
        assert_eq!(Texture::of(&texture.driver()), texture);
        let plain = Texture::default();
        assert_eq!(plain.driver().flags, READ_AS_INTEGER);
        assert_eq!(Texture::of(&plain.driver()), plain);
    }
}
