//! Arrays, textures, surfaces.
//!
//! Arrays have handles of the guest's, like other objects. What kernels use for a texture or surface is the device's number, which
//! therefore comes back in an answer; the device keeps them and ends them with the context.

use super::objects::{ArrayObject, Kind, Object};
use super::{Answer, Guest};
use crate::refusal::{Refusal, chain};
use std::sync::Arc;
use tessera_channel::ChannelError;
use tessera_device::{
    AddressMode, ArrayOptions, ArrayPlace, ChannelFormat, ImageSource, ImageView, Operation, Sampling,
    Span2d, TexelFormat,
};
use tessera_wire::messages::{
    ArrayCreate, ArrayCreateReply, CopyArray, ImageBind, ImageCreate, ImageCreateReply, ImageDestroy,
    ReferenceGet, ReferenceGetReply,
};
use tessera_wire::{
    ALL_LEVELS, ARRAY_CUBE, ARRAY_LAYERED, CudaCode, IMAGE_LINEAR, IMAGE_LINEAR_LEVELS, IMAGE_NORMALIZED,
    IMAGE_NOTHING, IMAGE_SRGB, IMAGE_SURFACE, IMAGE_UNIT, Opcode, PLACE_ARRAY, PLACE_DEVICE, PLACE_TAIL,
};

fn texel(format: u32, channels: u32) -> Result<TexelFormat, Refusal> {
    let format = ChannelFormat::from_number(format).ok_or_else(|| {
        let reason = format!("Channels of format {format:#x}");
        Refusal::new(CudaCode::NotSupported, reason)
    })?;
    if !matches!(channels, 1 | 2 | 4) {
        return Err(Refusal::invalid(format!("Texels of {channels} channels")));
    }
    Ok(TexelFormat { format, channels })
}

fn address_mode(number: u32) -> Result<AddressMode, Refusal> {
    Ok(match number {
        0 => AddressMode::Wrap,
        1 => AddressMode::Clamp,
        2 => AddressMode::Mirror,
        3 => AddressMode::Border,
        other => return Err(Refusal::invalid(format!("Unknown address mode: {other}"))),
    })
}

impl Guest {
    pub(super) fn reference_get(&self, message: &ReferenceGet, tail: &[u8]) -> Answer<ReferenceGet> {
        let module = self.objects.module(message.module)?;
        let name = String::from_utf8_lossy(tail);
        let found = module.module.image_reference(&name).ok_or_else(|| {
            let reason = format!("The module has no texture or surface reference {name}");
            Refusal::new(CudaCode::NotFound, reason)
        })?;
        let reply = ReferenceGetReply {
            place: found.place,
            surface: u32::from(found.surface),
            ..ReferenceGetReply::default()
        };
        Ok((reply, Vec::new()))
    }

    pub(super) fn array_create(&mut self, message: &ArrayCreate) -> Answer<ArrayCreate> {
        self.settle_frees();
        self.objects
            .check_new(message.array, Kind::Array, self.vgpu.limits.arrays)?;
        if message.flags & !(ARRAY_LAYERED | ARRAY_CUBE) != 0 {
            return Err(Refusal::invalid(format!(
                "Flags {:#x} of an array",
                message.flags
            )));
        }
        let options = ArrayOptions {
            width: message.width,
            height: message.height,
            depth: message.depth,
            texel: texel(message.format, message.channels)?,
            layered: message.flags & ARRAY_LAYERED != 0,
            cube: message.flags & ARRAY_CUBE != 0,
            levels: message.levels,
        };
        let array = self
            .objects
            .context(message.context)?
            .device
            .create_array(&options)?;
        let bytes = array.bytes();
        let object = ArrayObject {
            context: message.context,
            array,
        };
        self.objects.insert(message.array, Object::Array(object));
        Ok((ArrayCreateReply { bytes }, Vec::new()))
    }

    fn view(&self, message: &ImageCreate) -> Result<ImageView, Refusal> {
        let source = if message.array != 0 {
            let array = Arc::clone(&self.objects.array(message.array)?.array);
            if message.level == ALL_LEVELS {
                ImageSource::Array(array)
            } else {
                ImageSource::Level(array, message.level)
            }
        } else if message.height == 0 {
            ImageSource::Linear {
                address: message.address,
                bytes: message.width,
                texel: texel(message.format, message.channels)?,
            }
        } else {
            ImageSource::Pitched {
                address: message.address,
                width: message.width,
                height: message.height,
                pitch: message.pitch,
                texel: texel(message.format, message.channels)?,
            }
        };
        let has = |flag: u32| message.flags & flag != 0;
        let [x, y, z] = message.modes;
        let sampling = Sampling {
            modes: [address_mode(x)?, address_mode(y)?, address_mode(z)?],
            normalized: has(IMAGE_NORMALIZED),
            linear: has(IMAGE_LINEAR),
            linear_levels: has(IMAGE_LINEAR_LEVELS),
            unit: has(IMAGE_UNIT),
            srgb: has(IMAGE_SRGB),
            border: message.border.map(f32::from_bits),
            level_bias: f32::from_bits(message.level_bias),
            level_clamp: message.level_clamp.map(f32::from_bits),
        };
        Ok(ImageView {
            source,
            sampling: (!has(IMAGE_SURFACE)).then_some(sampling),
        })
    }

    pub(super) fn image_create(&self, message: &ImageCreate) -> Answer<ImageCreate> {
        let view = self.view(message)?;
        let context = self.objects.context(message.context)?;
        let image = context.device.create_image(&view)?;
        Ok((ImageCreateReply { image }, Vec::new()))
    }

    pub(super) fn image_destroy(&mut self, message: &ImageDestroy) -> Result<(), ChannelError> {
        let Ok(context) = self.objects.context(message.context) else {
            return self.stray(Opcode::ImageDestroy, "a context that does not exist");
        };
        match context.device.destroy_image(message.image) {
            Ok(()) => Ok(()),
            Err(error) => {
                tracing::debug!(session = self.info.id, error = %chain(&error), "cannot destroy an image");
                self.stray(Opcode::ImageDestroy, "a texture that does not exist")
            }
        }
    }

    pub(super) fn image_bind(&mut self, message: &ImageBind) -> Result<(), ChannelError> {
        let view = if message.flags & IMAGE_NOTHING != 0 {
            Ok(None)
        } else {
            // The two messages say the same of an image.
            self.view(&ImageCreate {
                context: 0,
                array: message.array,
                address: message.address,
                width: message.width,
                height: message.height,
                pitch: message.pitch,
                level: message.level,
                format: message.format,
                channels: message.channels,
                flags: message.flags,
                modes: message.modes,
                border: message.border,
                level_bias: message.level_bias,
                level_clamp: message.level_clamp,
            })
            .map(Some)
        };
        let operation = view.map(|view| Operation::BindImage {
            reference: message.reference,
            view,
        });
        self.submit(Opcode::ImageBind, message.stream, message.seq, operation)
    }

    pub(super) fn copy_array_operation(
        &self,
        message: &CopyArray,
        tail: &[u8],
    ) -> Result<Operation, Refusal> {
        let place = |handle: u64, level: u32, [x, y, z]: [u64; 3]| {
            let array = Arc::clone(&self.objects.array(handle)?.array);
            Ok::<_, Refusal>(ArrayPlace {
                array,
                level,
                x,
                y,
                z,
            })
        };
        let here = place(message.array, message.level, [message.x, message.y, message.z])?;
        let span = Span2d {
            width: message.width,
            height: message.height,
        };
        let (other, pitch, out) = (message.other, message.other_pitch, message.out != 0);
        if message.place == PLACE_ARRAY {
            let at = [message.other_x, message.other_y, message.other_z];
            let there = place(other, message.other_level, at)?;
            let (source, destination) = if out { (here, there) } else { (there, here) };
            return Ok(Operation::ArrayCopy {
                destination,
                source,
                span,
            });
        }
        let bytes = self.checked_extent(message.width, message.height, pitch)?;
        if bytes == 0 {
            return Ok(Operation::Marker);
        }
        let place = if self.is_registered(message.place, other, bytes) {
            PLACE_DEVICE
        } else {
            message.place
        };
        Ok(match (place, out) {
            (PLACE_DEVICE, true) => Operation::ArrayRead {
                destination: other,
                destination_pitch: pitch,
                source: here,
                span,
            },
            (PLACE_DEVICE, false) => Operation::ArrayFill {
                destination: here,
                source: other,
                source_pitch: pitch,
                span,
            },
            (place, true) => Operation::ArrayOut {
                destination: self.host_side(place, other, bytes)?,
                destination_pitch: pitch,
                source: here,
                span,
            },
            (place, false) => Operation::ArrayIn {
                destination: here,
                source: if place == PLACE_TAIL {
                    self.inside(other, bytes, tail)?
                } else {
                    self.host_side(place, other, bytes)?
                },
                source_pitch: pitch,
                span,
            },
        })
    }
}
