//! Resources of graphics interfaces.
//!
//! A vGPU for compute has no graphics: what registers a buffer or an image of OpenGL, EGL or VDPAU is not supported, so there are no
//! resources, and every handle of one is invalid. What comes before the handle is checked as documented.

use crate::abi::DefaultStream;
use crate::code::{Answer, Code};
use crate::current;
use crate::stream;
use crate::types::{Caller, Handle};

/// `CU_GRAPHICS_MAP_RESOURCE_FLAGS_WRITE_DISCARD`: the last of the flags, which exclude each other.
const LAST_FLAG: u32 = 2;

/// A list of resources and a stream: the list is not empty, and what it names does not exist.
fn none_of(default: DefaultStream, count: u32, resources: Caller<Handle>, stream: Handle) -> Answer {
    current::current()?;
    resources.required()?;
    if count == 0 {
        return Err(Code::INVALID_VALUE);
    }
    stream::with_stream(default, stream, |_| Ok(()))?;
    Err(Code::INVALID_HANDLE)
}

/// `cuGraphicsMapResources`
pub(crate) fn graphics_map_resources(
    default: DefaultStream,
    count: u32,
    resources: Caller<Handle>,
    stream: Handle,
) -> Answer {
    none_of(default, count, resources, stream)
}

/// `cuGraphicsUnmapResources`
pub(crate) fn graphics_unmap_resources(
    default: DefaultStream,
    count: u32,
    resources: Caller<Handle>,
    stream: Handle,
) -> Answer {
    none_of(default, count, resources, stream)
}

/// `cuGraphicsUnregisterResource`
pub(crate) fn graphics_unregister_resource(_resource: Handle) -> Answer {
    current::current()?;
    Err(Code::INVALID_HANDLE)
}

/// `cuGraphicsSubResourceGetMappedArray`
pub(crate) fn graphics_sub_resource_get_mapped_array(
    array: Caller<Handle>,
    _resource: Handle,
    _index: u32,
    _level: u32,
) -> Answer {
    current::current()?;
    array.required()?;
    Err(Code::INVALID_HANDLE)
}

/// `cuGraphicsResourceGetMappedMipmappedArray`
pub(crate) fn graphics_resource_get_mapped_mipmapped_array(
    array: Caller<Handle>,
    _resource: Handle,
) -> Answer {
    current::current()?;
    array.required()?;
    Err(Code::INVALID_HANDLE)
}

/// `cuGraphicsResourceGetMappedPointer_v2`
pub(crate) fn graphics_resource_get_mapped_pointer(
    pointer: Caller<u64>,
    bytes: Caller<usize>,
    _resource: Handle,
) -> Answer {
    current::current()?;
    pointer.required()?;
    bytes.required()?;
    Err(Code::INVALID_HANDLE)
}

/// `cuGraphicsResourceSetMapFlags`
pub(crate) fn graphics_resource_set_map_flags(_resource: Handle, flags: u32) -> Answer {
    current::current()?;
    if flags > LAST_FLAG {
        return Err(Code::INVALID_VALUE);
    }
    Err(Code::INVALID_HANDLE)
}
