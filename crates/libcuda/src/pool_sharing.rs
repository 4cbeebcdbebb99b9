//! Pools of two processes.
//!
//! ```text
//!   cuMemPoolExportToShareableHandle ─▶ descriptor of a sealed file ─▶ cuMemPoolImportFromShareableHandle     the pool's token
//!   cuMemPoolExportPointer ──────────▶ 64 bytes ────────────────────▶ cuMemPoolImportPointer                 the memory's and the pool's
//! ```
//!
//! The worker knows nothing of pools: what it shares is the memory of one allocation, as for `cuIpcOpenMemHandle`. The pool's token, which
//! cannot be guessed either, says that an allocation is of the pool that was imported.

use crate::code::{Answer, Code};
use crate::pool::{self, Pool};
use crate::ranges::RangeKind;
use crate::sharing::{Token, open, pack, sealed_file, token_of, unpack};
use crate::state;
use crate::types::{CUmemPoolPtrExportData, Caller, Handle, c_void};
use crate::virtual_memory::{FILE_DESCRIPTOR, OTHER_HANDLE_TYPES};
use std::os::fd::IntoRawFd;
use tessera_wire::messages::MemExport;

/// What the file of a pool and the data of an allocation begin with.
const MAGIC_POOL: [u8; 8] = *b"tessera\x03";
const MAGIC_POINTER: [u8; 8] = *b"tessera\x04";

/// A number that cannot be guessed.
pub(crate) fn random() -> Answer<Token> {
    let mut token = [0; 16];
    // SAFETY: the kernel writes at most `token.len()` bytes to it.
    let got = unsafe { libc::getrandom(token.as_mut_ptr().cast(), token.len(), 0) };
    if usize::try_from(got) == Ok(token.len()) {
        Ok(token)
    } else {
        Err(Code::OPERATING_SYSTEM)
    }
}

/// Whether a pool can be made whose handles have these types.
pub(crate) fn check_types(types: i32) -> Answer {
    match types {
        0 | FILE_DESCRIPTOR => Ok(()),
        types if types & !(FILE_DESCRIPTOR | OTHER_HANDLE_TYPES) == 0 => {
            tessera_guest::log("memory pools can be shared by descriptors only");
            Err(Code::NOT_SUPPORTED)
        }
        _ => Err(Code::INVALID_VALUE),
    }
}

/// `cuMemPoolExportToShareableHandle`
pub(crate) fn mem_pool_export_to_shareable_handle(
    handle_out: Caller<c_void>,
    handle: Handle,
    handle_type: i32,
    flags: u64,
) -> Answer {
    handle_out.required()?;
    let pool = pool::pool(handle)?;
    // Only what was asked for when the pool was created; what was imported is another's.
    if flags != 0
        || handle_type != FILE_DESCRIPTOR
        || pool.handle_types & FILE_DESCRIPTOR == 0
        || pool.imported
    {
        return Err(Code::INVALID_VALUE);
    }
    let content = pack(MAGIC_POOL, pool.token()?, 0);
    let file = sealed_file(&content).map_err(|_| Code::OPERATING_SYSTEM)?;
    handle_out.cast::<i32>().put(file.into_raw_fd())
}

/// `cuMemPoolImportFromShareableHandle`: the descriptor stays the program's.
pub(crate) fn mem_pool_import_from_shareable_handle(
    pool_out: Caller<Handle>,
    os_handle: Caller<c_void>,
    handle_type: i32,
    flags: u64,
) -> Answer {
    pool_out.required()?;
    if flags != 0 {
        return Err(Code::INVALID_VALUE);
    }
    let token = token_of(os_handle, handle_type, MAGIC_POOL)?;
    let pool = state::driver()?
        .pools
        .insert(|handle| Ok(Pool::imported(handle, token)))?;
    pool_out.put(pool.handle)
}

/// `cuMemPoolExportPointer`
pub(crate) fn mem_pool_export_pointer(out: Caller<CUmemPoolPtrExportData>, ptr: u64) -> Answer {
    out.required()?;
    let driver = state::driver()?;
    let range = driver.ranges.find(ptr).ok_or(Code::INVALID_VALUE)?;
    let RangeKind::Device { pool } = range.kind else {
        return Err(Code::INVALID_VALUE);
    };
    let pool = pool::pool(pool)?;
    if pool.handle_types & FILE_DESCRIPTOR == 0 || range.base != ptr {
        return Err(Code::INVALID_VALUE);
    }
    let message = MemExport {
        memory: 0,
        context: range.context,
        address: range.base,
    };
    let (reply, _) = driver.session.call(&message, &[])?;
    let mut data = CUmemPoolPtrExportData { bytes: [0; 64] };
    data.bytes[..32].copy_from_slice(&pack(MAGIC_POINTER, reply.token, range.bytes));
    data.bytes[32..48].copy_from_slice(&pool.token()?);
    out.put(data)
}

/// `cuMemPoolImportPointer`: of the pool that was imported, each time at new addresses. A pool is a device's, not a context's, so none
/// need be current.
pub(crate) fn mem_pool_import_pointer(
    ptr_out: Caller<u64>,
    handle: Handle,
    share_data: Caller<CUmemPoolPtrExportData>,
) -> Answer {
    ptr_out.required()?;
    let pool = pool::pool(handle)?;
    let data = share_data.get()?.bytes;
    let (head, rest) = data.split_first_chunk().ok_or(Code::INVALID_VALUE)?;
    let (token, bytes) = unpack(MAGIC_POINTER, head).ok_or(Code::INVALID_VALUE)?;
    if !pool.imported || rest.first_chunk() != Some(&pool.token()?) {
        return Err(Code::INVALID_VALUE);
    }
    let kind = RangeKind::Imported { pool: handle };
    ptr_out.put(open(state::driver()?, token, bytes, kind)?)
}
