//! Memory and semaphores of other interfaces.
//!
//! Importing them is not supported, so there are none, and every handle of one is invalid: in a stream an invalid handle, in a graph an
//! invalid value. What comes before the handle is checked as documented.

use crate::abi::DefaultStream;
use crate::code::{Answer, Code};
use crate::graph::node::Work;
use crate::state;
use crate::types::{Caller, Handle, c_void};

/// A handle of nothing; null is an invalid value.
fn none(handle: Handle) -> Answer {
    state::driver()?;
    Err(if handle == 0 {
        Code::INVALID_VALUE
    } else {
        Code::INVALID_HANDLE
    })
}

/// `cuDestroyExternalMemory`
pub(crate) fn destroy_external_memory(memory: Handle) -> Answer {
    none(memory)
}

/// `cuExternalMemoryGetMappedBuffer`
pub(crate) fn external_memory_get_mapped_buffer(
    pointer: Caller<u64>,
    memory: Handle,
    description: Caller<c_void>,
) -> Answer {
    state::driver()?;
    pointer.required()?;
    description.required()?;
    none(memory)
}

/// `cuExternalMemoryGetMappedMipmappedArray`
pub(crate) fn external_memory_get_mapped_mipmapped_array(
    array: Caller<Handle>,
    memory: Handle,
    description: Caller<c_void>,
) -> Answer {
    state::driver()?;
    array.required()?;
    description.required()?;
    none(memory)
}

/// `cuDestroyExternalSemaphore`
pub(crate) fn destroy_external_semaphore(semaphore: Handle) -> Answer {
    none(semaphore)
}

/// A list of semaphores: it is not empty, and what it names does not exist, whatever stream it is for.
fn none_of(semaphores: Caller<Handle>, params: Caller<c_void>, count: u32) -> Answer {
    state::driver()?;
    semaphores.required()?;
    params.required()?;
    if count == 0 {
        return Err(Code::INVALID_VALUE);
    }
    Err(Code::INVALID_HANDLE)
}

/// `cuSignalExternalSemaphoresAsync`
pub(crate) fn signal_external_semaphores_async(
    _default: DefaultStream,
    semaphores: Caller<Handle>,
    params: Caller<c_void>,
    count: u32,
    _stream: Handle,
) -> Answer {
    none_of(semaphores, params, count)
}

/// `cuWaitExternalSemaphoresAsync`
pub(crate) fn wait_external_semaphores_async(
    _default: DefaultStream,
    semaphores: Caller<Handle>,
    params: Caller<c_void>,
    count: u32,
    _stream: Handle,
) -> Answer {
    none_of(semaphores, params, count)
}

/// What a node of semaphores does: none can be named, so there is no such work.
pub(crate) fn work() -> Answer<Work> {
    Err(Code::INVALID_VALUE)
}
