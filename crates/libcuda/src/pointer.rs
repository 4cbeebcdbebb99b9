//! What a pointer is.

use crate::code::{Answer, Code};
use crate::current;
use crate::ranges::{Range, RangeKind};
use crate::state::{self, Driver};
use crate::types::{Caller, c_void};
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// `CUpointer_attribute`
mod attribute {
    pub(super) const CONTEXT: i32 = 1;
    pub(super) const MEMORY_TYPE: i32 = 2;
    pub(super) const DEVICE_POINTER: i32 = 3;
    pub(super) const HOST_POINTER: i32 = 4;
    pub(super) const P2P_TOKENS: i32 = 5;
    pub(super) const SYNC_MEMOPS: i32 = 6;
    pub(super) const BUFFER_ID: i32 = 7;
    pub(super) const IS_MANAGED: i32 = 8;
    pub(super) const DEVICE_ORDINAL: i32 = 9;
    pub(super) const IS_LEGACY_IPC_CAPABLE: i32 = 10;
    pub(super) const RANGE_START: i32 = 11;
    pub(super) const RANGE_SIZE: i32 = 12;
    pub(super) const MAPPED: i32 = 13;
    pub(super) const ALLOWED_HANDLE_TYPES: i32 = 14;
    pub(super) const IS_RDMA_CAPABLE: i32 = 15;
    pub(super) const ACCESS_FLAGS: i32 = 16;
    pub(super) const POOL: i32 = 17;
    pub(super) const MAPPING_SIZE: i32 = 18;
    pub(super) const MAPPING_BASE: i32 = 19;
    pub(super) const MEMORY_BLOCK_ID: i32 = 20;
}

/// `CU_MEMORYTYPE_HOST` and `CU_MEMORYTYPE_DEVICE`
const TYPE_HOST: u32 = 1;
const TYPE_DEVICE: u32 = 2;
/// `CU_POINTER_ATTRIBUTE_ACCESS_FLAG_READWRITE`
const READ_WRITE: u64 = 3;

/// Identities of the allocations whose operations are to be synchronous. An identity is given once, so what is freed needs no care.
static SYNCHRONOUS: Mutex<BTreeSet<u64>> = Mutex::new(BTreeSet::new());

fn synchronous() -> MutexGuard<'static, BTreeSet<u64>> {
    SYNCHRONOUS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Value of one attribute; the width is the attribute's own.
enum Value {
    Word(u64),
    Half(u32),
    Byte(u8),
}

impl Value {
    fn put(&self, data: Caller<c_void>) -> Answer {
        match self {
            Self::Word(value) => data.cast::<u64>().put(*value),
            Self::Half(value) => data.cast::<u32>().put(*value),
            Self::Byte(value) => data.cast::<u8>().put(*value),
        }
    }
}

/// What an unknown pointer answers where several attributes are asked at once: nothing known.
fn unknown(which: i32) -> Answer<Value> {
    // The device ordinal of host memory is -2 in the real driver.
    const NO_DEVICE: u32 = (-2i32).cast_unsigned();
    Ok(match which {
        attribute::CONTEXT
        | attribute::DEVICE_POINTER
        | attribute::HOST_POINTER
        | attribute::BUFFER_ID
        | attribute::RANGE_START
        | attribute::RANGE_SIZE
        | attribute::ALLOWED_HANDLE_TYPES
        | attribute::ACCESS_FLAGS
        | attribute::POOL
        | attribute::MAPPING_SIZE
        | attribute::MAPPING_BASE
        | attribute::MEMORY_BLOCK_ID => Value::Word(0),
        attribute::MEMORY_TYPE => Value::Half(0),
        attribute::DEVICE_ORDINAL => Value::Half(NO_DEVICE),
        attribute::SYNC_MEMOPS
        | attribute::IS_MANAGED
        | attribute::IS_LEGACY_IPC_CAPABLE
        | attribute::MAPPED
        | attribute::IS_RDMA_CAPABLE => Value::Byte(0),
        _ => return Err(Code::INVALID_VALUE),
    })
}

fn known(range: &Range, which: i32, ptr: u64) -> Answer<Value> {
    let pool = match range.kind {
        RangeKind::Device { pool } | RangeKind::Imported { pool } | RangeKind::Managed { pool } => pool,
        _ => 0,
    };
    Ok(match which {
        attribute::CONTEXT => Value::Word(range.context),
        attribute::MEMORY_TYPE => Value::Half(if range.is_host() { TYPE_HOST } else { TYPE_DEVICE }),
        attribute::DEVICE_POINTER => Value::Word(ptr),
        attribute::HOST_POINTER if range.is_in_host_arena() => Value::Word(ptr),
        attribute::HOST_POINTER => return Err(Code::INVALID_VALUE),
        attribute::IS_MANAGED => Value::Byte(u8::from(range.is_managed())),
        attribute::IS_LEGACY_IPC_CAPABLE => {
            Value::Byte(u8::from(range.kind == (RangeKind::Device { pool: 0 })))
        }
        attribute::SYNC_MEMOPS => Value::Byte(u8::from(synchronous().contains(&range.identity))),
        attribute::IS_RDMA_CAPABLE => Value::Byte(0),
        attribute::BUFFER_ID | attribute::MEMORY_BLOCK_ID => Value::Word(range.identity),
        attribute::DEVICE_ORDINAL => Value::Half(0),
        attribute::RANGE_START | attribute::MAPPING_BASE => Value::Word(range.base),
        attribute::RANGE_SIZE | attribute::MAPPING_SIZE => Value::Word(range.bytes),
        attribute::MAPPED => Value::Byte(1),
        attribute::ALLOWED_HANDLE_TYPES => match range.kind {
            RangeKind::Mapped { handle_types, .. } => Value::Word(u64::from(handle_types.cast_unsigned())),
            _ => Value::Word(0),
        },
        attribute::ACCESS_FLAGS => match range.kind {
            RangeKind::Mapped { access, .. } => Value::Word(u64::from(access.cast_unsigned())),
            _ => Value::Word(READ_WRITE),
        },
        attribute::POOL => Value::Word(pool),
        attribute::P2P_TOKENS => return Err(Code::NOT_SUPPORTED),
        _ => return Err(Code::INVALID_VALUE),
    })
}

fn look_up(driver: &Driver, ptr: u64) -> Option<Range> {
    driver.ranges.find(ptr)
}

/// `cuPointerGetAttribute`: a pointer that CUDA does not know is an invalid value. No context need be current: addresses are unified, and
/// programs ask for the context of a pointer in order to make it current.
pub(crate) fn pointer_get_attribute(data: Caller<c_void>, attribute: i32, ptr: u64) -> Answer {
    data.required()?;
    let range = look_up(state::driver()?, ptr).ok_or(Code::INVALID_VALUE)?;
    known(&range, attribute, ptr)?.put(data)
}

/// `cuPointerGetAttributes`: a pointer that CUDA does not know answers with nothing known and succeeds.
pub(crate) fn pointer_get_attributes(
    num_attributes: u32,
    attributes: Caller<i32>,
    data: Caller<Caller<c_void>>,
    ptr: u64,
) -> Answer {
    attributes.required()?;
    data.required()?;
    if num_attributes == 0 {
        return Err(Code::INVALID_VALUE);
    }
    let range = look_up(state::driver()?, ptr);
    for index in 0..num_attributes as usize {
        let which = attributes.at(index)?;
        let value = match &range {
            Some(range) => known(range, which, ptr).or_else(|_| unknown(which))?,
            None => unknown(which)?,
        };
        value.put(data.at(index)?)?;
    }
    Ok(())
}

/// `cuPointerSetAttribute`: synchronous memory operations are the only attribute that can be set. It is kept and told; every operation
/// here that the flag is about is ordered already.
pub(crate) fn pointer_set_attribute(value: Caller<c_void>, attribute: i32, ptr: u64) -> Answer {
    value.required()?;
    if attribute != attribute::SYNC_MEMOPS {
        return Err(Code::INVALID_VALUE);
    }
    current::current()?;
    let range = look_up(state::driver()?, ptr).ok_or(Code::INVALID_VALUE)?;
    if range.is_host() {
        return Err(Code::INVALID_VALUE);
    }
    if value.cast::<u32>().get()? == 0 {
        synchronous().remove(&range.identity);
    } else {
        synchronous().insert(range.identity);
    }
    Ok(())
}
