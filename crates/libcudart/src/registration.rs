//! What the compiler's start-up code of a program calls, as `crt/host_runtime.h` of the toolkit declares it.

use crate::abi::{Dim3, Handle, In, Out};
use crate::registry::{add_binary, add_kernel, add_variable, place_managed, remove_binary};
use crate::thread::{CallConfiguration, context, pop_configuration, push_configuration};
use std::ffi::{c_char, c_void};

/// A fat binary of the program; the answer names it from now on.
#[unsafe(no_mangle)]
extern "C" fn __cudaRegisterFatBinary(wrapper: *const c_void) -> Handle {
    std::ptr::without_provenance_mut(add_binary(wrapper))
}

/// All its kernels and variables are registered.
#[unsafe(no_mangle)]
extern "C" fn __cudaRegisterFatBinaryEnd(_binary: Handle) {}

/// The program ends, or the shared library that holds the binary is unloaded.
#[unsafe(no_mangle)]
extern "C" fn __cudaUnregisterFatBinary(binary: Handle) {
    remove_binary(binary.addr());
}

/// A kernel, with the address of its stub.
#[unsafe(no_mangle)]
extern "C" fn __cudaRegisterFunction(
    binary: Handle,
    stub: *const c_void,
    _device_stub: *const c_char,
    name: In<c_char>,
    _thread_limit: i32,
    _thread: *mut c_void,
    _block: *mut c_void,
    _block_dim: *mut c_void,
    _grid_dim: *mut c_void,
    _warp_size: *mut i32,
) {
    if let Some(name) = name.text() {
        add_kernel(binary.addr(), stub, name);
    }
}

/// A variable, with the address of its host stand-in.
#[unsafe(no_mangle)]
extern "C" fn __cudaRegisterVar(
    binary: Handle,
    stand_in: *const c_void,
    _device_address: *const c_char,
    name: In<c_char>,
    _external: i32,
    _bytes: usize,
    _constant: i32,
    _global: i32,
) {
    if let Some(name) = name.text() {
        add_variable(binary.addr(), stand_in, name, None);
    }
}

/// A `__managed__` variable. The program keeps its address in `pointer`, and asks for it before the first use.
#[unsafe(no_mangle)]
extern "C" fn __cudaRegisterManagedVar(
    binary: Handle,
    pointer: *mut *mut c_void,
    stand_in: *const c_void,
    name: In<c_char>,
    _external: i32,
    _bytes: usize,
    _constant: i32,
    _global: i32,
) {
    if let Some(name) = name.text() {
        add_variable(binary.addr(), stand_in, name, Some(pointer.expose_provenance()));
    }
}

/// Asks for the managed variables of a binary to be ready, as the program does before it uses one; says whether they are.
#[unsafe(no_mangle)]
extern "C" fn __cudaInitModule(binary: Handle) -> c_char {
    let placed = context().and_then(|driver| place_managed(driver, binary.addr()));
    if let Err(error) = &placed {
        eprintln!(
            "tessera: __managed__ variables cannot be had: error {}",
            error.code()
        );
    }
    c_char::from(placed.is_ok())
}

/// First half of `<<<...>>>`; 0 lets the stub go on.
#[unsafe(no_mangle)]
extern "C" fn __cudaPushCallConfiguration(
    grid: Dim3,
    block: Dim3,
    shared_bytes: usize,
    stream: Handle,
) -> u32 {
    push_configuration(CallConfiguration {
        grid,
        block,
        shared_bytes,
        stream,
    });
    0
}

runtime_api! {
    /// Second half of `<<<...>>>`, from the stub of the kernel.
    fn __cudaPopCallConfiguration(grid: Out<Dim3>, block: Out<Dim3>, shared_bytes: Out<usize>, stream: Out<Handle>) {
        let configuration = pop_configuration()?;
        grid.set(configuration.grid)?;
        block.set(configuration.block)?;
        shared_bytes.set(configuration.shared_bytes)?;
        stream.set(configuration.stream)
    }
}
