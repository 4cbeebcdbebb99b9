//! The driver API as a program sees it: `libcuda.so.1` by name, functions by symbol.

use anyhow::{Context, Result, ensure};
use libloading::{Library, Symbol};
use std::ffi::{CString, c_int, c_uint, c_void};

type Code = c_int;

/// The loaded library with the functions that are measured.
pub(crate) struct Driver {
    library: Library,
}

macro_rules! call {
    ($driver:expr, $name:literal, ($($type:ty),*), ($($value:expr),*)) => {{
        // SAFETY: the signature is that of the public header for this symbol; pointers passed are live for the call.
        let code = unsafe {
            let function: Symbol<'_, unsafe extern "C" fn($($type),*) -> Code> = $driver.library.get(concat!($name, "\0").as_bytes())?;
            function($($value),*)
        };
        ensure!(code == 0, concat!($name, " returned {}"), code);
    }};
}

/// A function to be called many times without looking it up again.
pub(crate) type Launch = unsafe extern "C" fn(
    *mut c_void,
    c_uint,
    c_uint,
    c_uint,
    c_uint,
    c_uint,
    c_uint,
    c_uint,
    *mut c_void,
    *mut *mut c_void,
    *mut *mut c_void,
) -> Code;

impl Driver {
    /// Loads the library, makes a context current.
    pub(crate) fn open() -> Result<Self> {
        // SAFETY: loading runs the library's initialisers, which is what every CUDA program does.
        let library = unsafe { Library::new("libcuda.so.1") }
            .context("libcuda.so.1 is not on the library path; run inside `tessera run`")?;
        let driver = Self { library };
        let (mut device, mut context) = (0 as c_int, std::ptr::null_mut::<c_void>());
        call!(driver, "cuInit", (c_uint), (0));
        call!(driver, "cuDeviceGet", (*mut c_int, c_int), (&raw mut device, 0));
        call!(
            driver,
            "cuCtxCreate_v2",
            (*mut *mut c_void, c_uint, c_int),
            (&raw mut context, 0, device)
        );
        Ok(driver)
    }

    /// The raw symbol, for tight loops.
    pub(crate) fn raw<T: Copy>(&self, name: &str) -> Result<T> {
        let name = CString::new(name)?;
        // SAFETY: the caller names the type of the public header for this symbol.
        Ok(*unsafe { self.library.get::<T>(name.as_bytes_with_nul()) }?)
    }

    pub(crate) fn alloc(&self, bytes: usize) -> Result<u64> {
        let mut pointer = 0_u64;
        call!(
            self,
            "cuMemAlloc_v2",
            (*mut u64, usize),
            (&raw mut pointer, bytes)
        );
        Ok(pointer)
    }

    pub(crate) fn free(&self, pointer: u64) -> Result<()> {
        call!(self, "cuMemFree_v2", (u64), (pointer));
        Ok(())
    }

    pub(crate) fn host_alloc(&self, bytes: usize) -> Result<*mut u8> {
        let mut pointer = std::ptr::null_mut::<c_void>();
        call!(
            self,
            "cuMemHostAlloc",
            (*mut *mut c_void, usize, c_uint),
            (&raw mut pointer, bytes, 0)
        );
        Ok(pointer.cast())
    }

    pub(crate) fn copy_in(&self, to: u64, from: *const u8, bytes: usize) -> Result<()> {
        call!(
            self,
            "cuMemcpyHtoD_v2",
            (u64, *const u8, usize),
            (to, from, bytes)
        );
        Ok(())
    }

    pub(crate) fn copy_out(&self, to: *mut u8, from: u64, bytes: usize) -> Result<()> {
        call!(self, "cuMemcpyDtoH_v2", (*mut u8, u64, usize), (to, from, bytes));
        Ok(())
    }

    pub(crate) fn fill(&self, to: u64, word: u32, count: usize) -> Result<()> {
        call!(self, "cuMemsetD32_v2", (u64, c_uint, usize), (to, word, count));
        Ok(())
    }

    pub(crate) fn synchronize(&self) -> Result<()> {
        call!(self, "cuCtxSynchronize", (), ());
        Ok(())
    }

    /// A kernel of a PTX text.
    pub(crate) fn kernel(&self, ptx: &str, name: &str) -> Result<*mut c_void> {
        let (text, name) = (CString::new(ptx)?, CString::new(name)?);
        let (mut module, mut function) = (std::ptr::null_mut::<c_void>(), std::ptr::null_mut::<c_void>());
        call!(
            self,
            "cuModuleLoadData",
            (*mut *mut c_void, *const c_void),
            (&raw mut module, text.as_ptr().cast())
        );
        call!(
            self,
            "cuModuleGetFunction",
            (*mut *mut c_void, *mut c_void, *const std::ffi::c_char),
            (&raw mut function, module, name.as_ptr())
        );
        Ok(function)
    }

    /// What `work` does in a stream, as a graph to be launched.
    pub(crate) fn capture(&self, work: impl FnOnce(*mut c_void) -> Result<()>) -> Result<*mut c_void> {
        let (mut stream, mut graph, mut exec) = (
            std::ptr::null_mut::<c_void>(),
            std::ptr::null_mut::<c_void>(),
            std::ptr::null_mut::<c_void>(),
        );
        call!(
            self,
            "cuStreamCreate",
            (*mut *mut c_void, c_uint),
            (&raw mut stream, 0)
        );
        call!(
            self,
            "cuStreamBeginCapture_v2",
            (*mut c_void, c_uint),
            (stream, 0)
        );
        work(stream)?;
        call!(
            self,
            "cuStreamEndCapture",
            (*mut c_void, *mut *mut c_void),
            (stream, &raw mut graph)
        );
        call!(
            self,
            "cuGraphInstantiateWithFlags",
            (*mut *mut c_void, *mut c_void, u64),
            (&raw mut exec, graph, 0)
        );
        Ok(exec)
    }

    /// Launches a graph in the default stream.
    pub(crate) fn launch_graph(&self, exec: *mut c_void) -> Result<()> {
        call!(
            self,
            "cuGraphLaunch",
            (*mut c_void, *mut c_void),
            (exec, std::ptr::null_mut())
        );
        Ok(())
    }
}
