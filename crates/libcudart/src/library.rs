//! Libraries that a program loads itself.

use crate::abi::{DevicePtr, Handle, In, Out};
use crate::error::Error;
use crate::thread::context;
use std::ffi::{c_char, c_void};

/// A list of the C interface.
type List = *mut *mut c_void;

runtime_api! {
    /// Loads a library from memory.
    fn cudaLibraryLoadData(
        library: Out<Handle>, code: *const c_void, jit: *mut i32, jit_values: List, jit_count: u32, options: *mut i32, values: List,
        count: u32,
    ) {
        let library = library.required()?;
        context()?.cuLibraryLoadData(library, code, jit, jit_values, jit_count, options, values, count)
    }

    /// Loads a library from a file.
    fn cudaLibraryLoadFromFile(
        library: Out<Handle>, path: In<c_char>, jit: *mut i32, jit_values: List, jit_count: u32, options: *mut i32, values: List,
        count: u32,
    ) {
        let library = library.required()?;
        let path = path.text().ok_or(Error::INVALID_VALUE)?;
        context()?.cuLibraryLoadFromFile(library, path.as_ptr(), jit, jit_values, jit_count, options, values, count)
    }

    /// Unloads a library.
    fn cudaLibraryUnload(library: Handle) {
        context()?.cuLibraryUnload(library)
    }

    /// A kernel of a library.
    fn cudaLibraryGetKernel(kernel: Out<Handle>, library: Handle, name: In<c_char>) {
        let kernel = kernel.required()?;
        let name = name.text().ok_or(Error::INVALID_VALUE)?;
        context()?.cuLibraryGetKernel(kernel, library, name.as_ptr())
    }

    /// A variable of a library.
    fn cudaLibraryGetGlobal(address: Out<DevicePtr>, bytes: Out<usize>, library: Handle, name: In<c_char>) {
        let name = name.text().ok_or(Error::INVALID_VALUE)?;
        context()?.cuLibraryGetGlobal(address, bytes, library, name.as_ptr())
    }

    /// A managed variable of a library.
    fn cudaLibraryGetManaged(address: Out<DevicePtr>, bytes: Out<usize>, library: Handle, name: In<c_char>) {
        let name = name.text().ok_or(Error::INVALID_VALUE)?;
        context()?.cuLibraryGetManaged(address, bytes, library, name.as_ptr())
    }

    /// Number of kernels of a library.
    fn cudaLibraryGetKernelCount(count: Out<u32>, library: Handle) {
        let count = count.required()?;
        context()?.cuLibraryGetKernelCount(count, library)
    }

    /// Kernels of a library.
    fn cudaLibraryEnumerateKernels(kernels: Out<Handle>, count: u32, library: Handle) {
        let kernels = kernels.required()?;
        context()?.cuLibraryEnumerateKernels(kernels, count, library)
    }
}
