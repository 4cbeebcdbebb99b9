//! The exported functions.
//!
//! The header gives every function two names: the plain one and one with the version of the header, to which its inline functions
//! forward. A program compiled against any version of the same major number finds its own. A handle is a number in a table, so that a wild
//! one is refused.

use crate::abi::{In, Out, text};
use crate::code::{Code, answer};
use crate::link::{Input, Link};
use crate::version;
use std::collections::HashMap;
use std::ffi::{c_char, c_void};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

/// `nvJitLinkHandle`: opaque.
type Handle = usize;

/// Links under way.
#[derive(Default)]
struct Links {
    last: Handle,
    links: HashMap<Handle, Arc<Mutex<Link>>>,
}

static LINKS: LazyLock<Mutex<Links>> = LazyLock::new(Mutex::default);

/// Handles are as far apart as addresses of objects would be.
const STEP: Handle = 16;

fn with<T>(handle: Handle, work: impl FnOnce(&mut Link) -> Result<T, Code>) -> Result<T, Code> {
    if handle == 0 {
        return Err(Code::NullInput);
    }
    let link = {
        let links = LINKS.lock().unwrap_or_else(PoisonError::into_inner);
        links.links.get(&handle).cloned()
    };
    let link = link.ok_or(Code::InvalidInput)?;
    work(&mut link.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Bytes of a log with its NUL; an empty log has none.
fn log_bytes(log: &str) -> usize {
    if log.is_empty() { 0 } else { log.len() + 1 }
}

fn put_log(log: &str, to: Out<u8>) -> Result<(), Code> {
    let to = to.required()?;
    if log.is_empty() {
        return Ok(());
    }
    to.put_all(&[log.as_bytes(), &[0]].concat())
}

/// Writes an exported function under its plain name and those of all versions.
macro_rules! exported {
    ($($(#[$meta:meta])* fn $name:ident as $plain:literal($($argument:ident: $type:ty),*) $body:block)*) => {$(
        $(#[$meta])*
        fn $name($($argument: $type),*) -> Result<(), Code> $body

        const _: () = {
            exported!(@one $plain, $name($($argument: $type),*));
            exported!(@versions $plain, $name($($argument: $type),*),
                "12_0" "12_1" "12_2" "12_3" "12_4" "12_5" "12_6" "12_7" "12_8" "12_9"
                "13_0" "13_1" "13_2" "13_3" "13_4" "13_5");
        };
    )*};
    (@versions $plain:literal, $name:ident $arguments:tt, $($version:literal)*) => {
        $(exported!(@one concat!("__", $plain, "_", $version), $name $arguments);)*
    };
    (@one $export:expr, $name:ident($($argument:ident: $type:ty),*)) => {
        const _: () = {
            #[unsafe(export_name = $export)]
            extern "C" fn exported($($argument: $type),*) -> i32 {
                answer($name($($argument),*))
            }
        };
    };
}

exported! {
    /// Begins a link. Where the options are refused there is a handle all the same, for its log.
    fn create as "nvJitLinkCreate"(handle: Out<Handle>, count: u32, options: In<*const c_char>) {
        let handle = handle.required()?;
        if options.is_null() {
            return Err(Code::NullInput);
        }
        let options = (0..count as usize)
            .map(|index| text(options.at(index)?).ok_or(Code::NullInput))
            .collect::<Result<Vec<_>, _>>()?;
        let (link, result) = Link::new(&options);
        let number = {
            let mut links = LINKS.lock().unwrap_or_else(PoisonError::into_inner);
            links.last += STEP;
            let number = links.last;
            links.links.insert(number, Arc::new(Mutex::new(link)));
            number
        };
        handle.put(number)?;
        result
    }

    /// Ends a link and clears its handle.
    fn destroy as "nvJitLinkDestroy"(handle: Out<Handle>) {
        let number = handle.get()?;
        if number == 0 {
            return Err(Code::NullInput);
        }
        let link = LINKS.lock().unwrap_or_else(PoisonError::into_inner).links.remove(&number);
        drop(link.ok_or(Code::InvalidInput)?);
        handle.put(0)
    }

    /// Adds an input in memory.
    fn add_data as "nvJitLinkAddData"(handle: Handle, kind: i32, data: In<u8>, size: usize, name: *const c_char) {
        with(handle, |link| {
            if size == 0 {
                return Err(Code::InvalidInput);
            }
            let bytes = data.copy(size)?;
            let name = text(name).unwrap_or_else(|| "input".to_owned());
            link.add(Input::of(kind), &name, &bytes)
        })
    }

    /// Adds an input in a file.
    fn add_file as "nvJitLinkAddFile"(handle: Handle, kind: i32, path: *const c_char) {
        with(handle, |link| {
            let path = text(path).ok_or(Code::NullInput)?;
            match std::fs::read(&path) {
                Ok(bytes) if bytes.is_empty() => Err(link.tell((Code::InvalidInput, format!("bad input: {path}\n")))),
                Ok(bytes) => link.add(Input::of(kind), &path, &bytes),
                Err(_) => Err(link.tell((Code::InvalidInput, format!("no such file: {path}\n")))),
            }
        })
    }

    /// Links.
    fn complete as "nvJitLinkComplete"(handle: Handle) {
        with(handle, Link::complete)
    }

    /// Bytes of the linked image.
    fn cubin_size as "nvJitLinkGetLinkedCubinSize"(handle: Handle, size: Out<usize>) {
        let size = size.required()?;
        with(handle, |link| size.put(link.cubin()?.len()))
    }

    /// The linked image.
    fn cubin as "nvJitLinkGetLinkedCubin"(handle: Handle, to: Out<u8>) {
        let to = to.required()?;
        with(handle, |link| to.put_all(link.cubin()?))
    }

    /// Bytes of the linked PTX, with its NUL.
    fn ptx_size as "nvJitLinkGetLinkedPtxSize"(handle: Handle, size: Out<usize>) {
        let size = size.required()?;
        with(handle, |link| size.put(link.ptx()?.len()))
    }

    /// The linked PTX.
    fn ptx as "nvJitLinkGetLinkedPtx"(handle: Handle, to: Out<u8>) {
        let to = to.required()?;
        with(handle, |link| to.put_all(link.ptx()?))
    }

    /// Bytes of the linked LTO-IR.
    fn lto_ir_size as "nvJitLinkGetLinkedLTOIRSize"(handle: Handle, size: Out<usize>) {
        let size = size.required()?;
        with(handle, |link| size.put(link.lto_ir()?.len()))
    }

    /// The linked LTO-IR.
    fn lto_ir as "nvJitLinkGetLinkedLTOIR"(handle: Handle, to: Out<u8>) {
        let to = to.required()?;
        with(handle, |link| to.put_all(link.lto_ir()?))
    }

    /// Bytes of the log of errors, with its NUL.
    fn error_log_size as "nvJitLinkGetErrorLogSize"(handle: Handle, size: Out<usize>) {
        let size = size.required()?;
        with(handle, |link| size.put(log_bytes(link.error_log())))
    }

    /// The log of errors.
    fn error_log as "nvJitLinkGetErrorLog"(handle: Handle, log: Out<u8>) {
        let log = log.required()?;
        with(handle, |link| put_log(link.error_log(), log))
    }

    /// Bytes of the other log, with its NUL.
    fn info_log_size as "nvJitLinkGetInfoLogSize"(handle: Handle, size: Out<usize>) {
        let size = size.required()?;
        with(handle, |link| size.put(log_bytes(link.info_log())))
    }

    /// The other log.
    fn info_log as "nvJitLinkGetInfoLog"(handle: Handle, log: Out<u8>) {
        let log = log.required()?;
        with(handle, |link| put_log(link.info_log(), log))
    }
}

/// The version of the library. The only function without versions of its own.
#[unsafe(no_mangle)]
extern "C" fn nvJitLinkVersion(major: Out<u32>, minor: Out<u32>) -> i32 {
    let put = || {
        let (major, minor) = (major.required()?, minor.required()?);
        major.put(version::major())?;
        minor.put(version::minor())
    };
    answer(put())
}

/// Tells this library from the vendor's.
#[unsafe(no_mangle)]
extern "C" fn tessera_nvjitlink() -> *const c_void {
    std::ptr::null()
}
