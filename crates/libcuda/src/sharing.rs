//! Memory and events of two processes.
//!
//! ```text
//!   cuMemExportToShareableHandle ─▶ descriptor of a sealed file ─▶ cuMemImportFromShareableHandle     the token is in the file
//!   cuIpcGetMemHandle ───────────▶ 64 bytes ────────────────────▶ cuIpcOpenMemHandle                 the token is in the bytes
//!   cuIpcGetEventHandle ─────────▶ 64 bytes ────────────────────▶ cuIpcOpenEventHandle
//! ```
//!
//! Either way the worker makes a token for the memory and knows it again in another session of the same vGPU; to any other it means
//! nothing. The token does not keep the memory: a handle or a mapping in some process does.

use crate::code::{Answer, Code};
use crate::current;
use crate::event;
use crate::ranges::{Range, RangeKind};
use crate::state::{self, Driver};
use crate::types::{
    CUipcEventHandle, CUipcMemHandle, CUmemAllocationProp, CUmemLocation, Caller, Handle, c_void,
};
use crate::virtual_memory::{
    ACCESS_READ_WRITE, FILE_DESCRIPTOR, GRANULARITY, ON_DEVICE, OTHER_HANDLE_TYPES, PINNED, new_handle,
    reserve, settle,
};
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Write;
use std::os::fd::{FromRawFd, IntoRawFd};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tessera_wire::messages::{
    AddressFree, MemExport, MemExportReply, MemImport, MemMap, MemRelease, MemSetAccess, MemUnmap,
};

/// What a file or a handle of ours begins with.
const MAGIC: [u8; 8] = *b"tessera\x01";
/// What the handle of an event begins with.
const MAGIC_EVENT: [u8; 8] = *b"tessera\x02";
/// `CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS`: the one flag, and without it nothing can be opened.
const LAZY_PEER_ACCESS: u32 = 1;

pub(crate) type Token = [u8; 16];

/// Memory of another process that is open here.
#[derive(Clone, Copy)]
struct Opened {
    token: Token,
    references: u64,
    memory: Handle,
    mapped: u64,
    reserved: u64,
}

#[derive(Default)]
struct Books {
    /// Tokens of allocations and events of this process, which it cannot open itself.
    own: HashSet<Token>,
    /// By address.
    opened: HashMap<u64, Opened>,
}

/// Of the process.
#[derive(Default)]
pub(crate) struct Sharing(Mutex<Books>);

impl Sharing {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Magic, token and number of bytes, as they leave the process.
pub(crate) fn pack(magic: [u8; 8], token: Token, bytes: u64) -> [u8; 32] {
    let mut packed = [0; 32];
    packed[..8].copy_from_slice(&magic);
    packed[8..24].copy_from_slice(&token);
    packed[24..].copy_from_slice(&bytes.to_le_bytes());
    packed
}

pub(crate) fn unpack(magic: [u8; 8], packed: &[u8; 32]) -> Option<(Token, u64)> {
    let (found, rest) = packed.split_first_chunk::<8>()?;
    let (token, bytes) = rest.split_first_chunk::<16>()?;
    let bytes = u64::from_le_bytes(*bytes.first_chunk()?);
    (*found == magic).then_some((*token, bytes))
}

/// A file in memory that nobody can change.
pub(crate) fn sealed_file(content: &[u8]) -> std::io::Result<File> {
    // SAFETY: the name is a C string; the result is checked.
    let descriptor = unsafe {
        libc::memfd_create(
            c"tessera-memory".as_ptr(),
            libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING,
        )
    };
    if descriptor < 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and belongs to nobody else.
    let mut file = unsafe { File::from_raw_fd(descriptor) };
    file.write_all(content)?;
    let seals = libc::F_SEAL_SEAL | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE;
    // SAFETY: the descriptor is open and the call takes a number.
    if unsafe { libc::fcntl(descriptor, libc::F_ADD_SEALS, seals) } < 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(file)
}

/// What a descriptor of the program's says, which may be any or none.
fn read_descriptor(descriptor: i32) -> Option<[u8; 32]> {
    let mut packed = [0_u8; 32];
    // SAFETY: the kernel writes at most as many bytes as there are; a bad descriptor is an error.
    let got = unsafe { libc::pread(descriptor, packed.as_mut_ptr().cast(), packed.len(), 0) };
    (usize::try_from(got) == Ok(packed.len())).then_some(packed)
}

/// `cuMemExportToShareableHandle`
pub(crate) fn mem_export_to_shareable_handle(
    shareable_handle: Caller<c_void>,
    handle: Handle,
    handle_type: i32,
    flags: u64,
) -> Answer {
    shareable_handle.required()?;
    let driver = state::driver()?;
    if flags != 0 {
        return Err(Code::INVALID_VALUE);
    }
    let memory = driver.virtual_memory.memory(handle)?;
    // Only what was asked for when the memory was created, and there only descriptors can be asked for.
    if handle_type != FILE_DESCRIPTOR || memory.properties.handle_types & FILE_DESCRIPTOR == 0 {
        return Err(Code::INVALID_VALUE);
    }
    let message = MemExport {
        memory: handle,
        ..MemExport::default()
    };
    let (reply, _) = driver.session.call(&message, &[])?;
    let file = sealed_file(&pack(MAGIC, reply.token, reply.bytes)).map_err(|_| Code::OPERATING_SYSTEM)?;
    shareable_handle.cast::<i32>().put(file.into_raw_fd())
}

/// Memory of a token, under a new handle.
fn import(driver: &Driver, token: Token) -> Answer<(Handle, u64)> {
    let memory = new_handle(driver);
    let (reply, _) = driver.session.call(&MemImport { memory, token }, &[])?;
    Ok((memory, reply.bytes))
}

/// The token in the file of a shareable handle, which must begin with `magic`.
pub(crate) fn token_of(os_handle: Caller<c_void>, handle_type: i32, magic: [u8; 8]) -> Answer<Token> {
    match handle_type {
        FILE_DESCRIPTOR => {}
        other if other > 0 && other & !OTHER_HANDLE_TYPES == 0 => return Err(Code::NOT_SUPPORTED),
        _ => return Err(Code::INVALID_VALUE),
    }
    let descriptor = i32::try_from(os_handle.address()).map_err(|_| Code::INVALID_VALUE)?;
    let packed = read_descriptor(descriptor).ok_or(Code::INVALID_VALUE)?;
    let (token, _) = unpack(magic, &packed).ok_or(Code::INVALID_VALUE)?;
    Ok(token)
}

/// `cuMemImportFromShareableHandle`: the descriptor stays the program's.
pub(crate) fn mem_import_from_shareable_handle(
    handle: Caller<Handle>,
    os_handle: Caller<c_void>,
    handle_type: i32,
) -> Answer {
    handle.required()?;
    let driver = state::driver()?;
    let token = token_of(os_handle, handle_type, MAGIC)?;
    let (memory, bytes) = import(driver, token)?;
    let properties = CUmemAllocationProp {
        kind: PINNED,
        handle_types: FILE_DESCRIPTOR,
        location: CUmemLocation {
            kind: ON_DEVICE,
            id: 0,
        },
        security: Caller::null(),
        compression: 0,
        rdma: 0,
        usage: 0,
        reserved: [0; 4],
    };
    driver.virtual_memory.enter(memory, bytes, properties);
    handle.put(memory)
}

/// `cuIpcGetMemHandle`: of the whole allocation, wherever the pointer points in it.
pub(crate) fn ipc_get_mem_handle(p_handle: Caller<CUipcMemHandle>, dptr: u64) -> Answer {
    p_handle.required()?;
    current::current()?;
    let driver = state::driver()?;
    let range = driver.ranges.find(dptr).ok_or(Code::INVALID_VALUE)?;
    // Memory of pools and mappings has handles of its own.
    if range.kind != (RangeKind::Device { pool: 0 }) {
        return Err(Code::INVALID_VALUE);
    }
    let message = MemExport {
        memory: 0,
        context: range.context,
        address: range.base,
    };
    let MemExportReply { token, .. } = driver.session.call(&message, &[])?.0;
    driver.sharing.books().own.insert(token);
    let mut handle = CUipcMemHandle { bytes: [0; 64] };
    handle.bytes[..32].copy_from_slice(&pack(MAGIC, token, range.bytes));
    p_handle.put(handle)
}

/// Maps memory at addresses of its own, for reading and writing.
fn map(driver: &Driver, memory: Handle, bytes: u64, reserved: u64) -> Answer<u64> {
    let address = reserve(driver, reserved, 0, 0)?;
    let mapping = MemMap {
        address,
        bytes,
        offset: 0,
        memory,
    };
    let access = MemSetAccess {
        address,
        bytes,
        access: ACCESS_READ_WRITE.cast_unsigned(),
        ..MemSetAccess::default()
    };
    driver.session.call(&mapping, &[])?;
    driver.session.call(&access, &[])?;
    Ok(address)
}

/// `cuIpcOpenMemHandle`: what is open already is counted, and has one address.
pub(crate) fn ipc_open_mem_handle(pdptr: Caller<u64>, handle: CUipcMemHandle, flags: u32) -> Answer {
    pdptr.required()?;
    current::current()?;
    let driver = state::driver()?;
    if flags != LAZY_PEER_ACCESS {
        return Err(Code::INVALID_VALUE);
    }
    let packed = handle.bytes.first_chunk();
    let packed = packed.and_then(|packed| unpack(MAGIC, packed));
    let (token, bytes) = packed.ok_or(Code::INVALID_VALUE)?;
    let mut books = driver.sharing.books();
    if books.own.contains(&token) {
        return Err(Code::INVALID_CONTEXT);
    }
    if let Some((&address, opened)) = books.opened.iter_mut().find(|(_, opened)| opened.token == token) {
        opened.references += 1;
        return pdptr.put(address);
    }
    let (address, opened) = enter(driver, token, bytes, RangeKind::Opened)?;
    books.opened.insert(address, opened);
    pdptr.put(address)
}

/// Maps the memory of a token at addresses of its own.
fn enter(driver: &Driver, token: Token, bytes: u64, kind: RangeKind) -> Answer<(u64, Opened)> {
    let (memory, mapped) = import(driver, token)?;
    let reserved = mapped.next_multiple_of(GRANULARITY);
    let address = match map(driver, memory, mapped, reserved) {
        Ok(address) if bytes <= mapped => address,
        other => {
            driver.session.post(&MemRelease { memory }, &[])?;
            return Err(other.err().unwrap_or(Code::INVALID_VALUE));
        }
    };
    driver.ranges.insert(Range {
        base: address,
        bytes,
        kind,
        context: 0,
        identity: driver.next_identity(),
        bar1: None,
    });
    let opened = Opened {
        token,
        references: 1,
        memory,
        mapped,
        reserved,
    };
    Ok((address, opened))
}

/// [`enter`], for [`close`].
pub(crate) fn open(driver: &Driver, token: Token, bytes: u64, kind: RangeKind) -> Answer<u64> {
    let (address, opened) = enter(driver, token, bytes, kind)?;
    driver.sharing.books().opened.insert(address, opened);
    Ok(address)
}

/// `cuIpcCloseMemHandle`: once for each time it was opened.
pub(crate) fn ipc_close_mem_handle(dptr: u64) -> Answer {
    current::current()?;
    let driver = state::driver()?;
    let range = driver.ranges.find(dptr).ok_or(Code::INVALID_VALUE)?;
    if range.kind != RangeKind::Opened {
        return Err(Code::INVALID_VALUE);
    }
    close(driver, dptr)
}

/// Takes one reference of open memory away, and with the last the mapping.
pub(crate) fn close(driver: &Driver, dptr: u64) -> Answer {
    let mut books = driver.sharing.books();
    let opened = books.opened.get_mut(&dptr).ok_or(Code::INVALID_VALUE)?;
    opened.references -= 1;
    if opened.references > 0 {
        return Ok(());
    }
    let opened = *opened;
    books.opened.remove(&dptr);
    drop(books);
    driver.ranges.take(dptr, |_| true);
    settle();
    let unmapping = MemUnmap {
        address: dptr,
        bytes: opened.mapped,
    };
    let addresses = AddressFree {
        address: dptr,
        bytes: opened.reserved,
    };
    driver.session.call(&unmapping, &[])?;
    driver.session.call(&addresses, &[])?;
    driver.session.post(
        &MemRelease {
            memory: opened.memory,
        },
        &[],
    )?;
    Ok(())
}

/// `cuIpcGetEventHandle`
pub(crate) fn ipc_get_event_handle(p_handle: Caller<CUipcEventHandle>, event: Handle) -> Answer {
    p_handle.required()?;
    let driver = state::driver()?;
    let token = event::export(event)?;
    driver.sharing.books().own.insert(token);
    let mut handle = CUipcEventHandle { bytes: [0; 64] };
    handle.bytes[..32].copy_from_slice(&pack(MAGIC_EVENT, token, 0));
    p_handle.put(handle)
}

/// `cuIpcOpenEventHandle`: an event of the current context, each time a new one.
pub(crate) fn ipc_open_event_handle(ph_event: Caller<Handle>, handle: CUipcEventHandle) -> Answer {
    ph_event.required()?;
    let context = current::current()?;
    let driver = state::driver()?;
    let packed = handle.bytes.first_chunk();
    let (token, _) = packed
        .and_then(|packed| unpack(MAGIC_EVENT, packed))
        .ok_or(Code::INVALID_VALUE)?;
    if driver.sharing.books().own.contains(&token) {
        return Err(Code::INVALID_CONTEXT);
    }
    ph_event.put(event::import(driver, &context, token)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn a_sealed_file_says_what_was_written_and_others_say_nothing() {
        let packed = pack(MAGIC, [9; 16], 1 << 40);
        let file = sealed_file(&packed).expect("a file in memory");
        assert_eq!(read_descriptor(file.as_raw_fd()), Some(packed));
        assert_eq!(unpack(MAGIC_EVENT, &packed), None);
        assert_eq!(unpack(MAGIC, &packed), Some(([9; 16], 1 << 40)));
        assert!((&file).write_all(b"more").is_err(), "sealed");
        assert_eq!(read_descriptor(-1), None);
        let other = sealed_file(b"short").expect("a file in memory");
        assert_eq!(read_descriptor(other.as_raw_fd()), None);
        assert_eq!(unpack(MAGIC, &[0; 32]), None);
    }
}
