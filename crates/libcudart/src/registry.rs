//! What the program registered before `main`: fat binaries, and kernels and variables by the addresses of their host stand-ins.
//!
//! Nothing is loaded at registration. A fat binary becomes a library of the driver when one of its kernels or variables is used first;
//! the handles are kept, since they are valid in every context.
//!
//! ```text
//!  registered ── first use ──▶ loaded (library handle) ── __cudaUnregisterFatBinary ──▶ gone
//!       └─ load fails: the error is given to every use, loading is not tried again
//! ```

use crate::abi::{DevicePtr, Handle, Out};
use crate::driver::Driver;
use crate::error::Error;
use std::collections::HashMap;
use std::ffi::{CStr, CString, c_void};
use std::sync::{Arc, LazyLock, OnceLock, PoisonError, RwLock};

/// An address kept as a number, since what it points to belongs to the driver or to the program.
type Address = usize;

/// A fat binary of the program.
pub(crate) struct Binary {
    /// Address of the wrapper that the compiler made; lives as long as the object file is loaded.
    wrapper: Address,
    library: OnceLock<Result<Address, Error>>,
}

impl Binary {
    /// The driver's library, loaded at the first call.
    fn library(&self, driver: &Driver) -> Result<Handle, Error> {
        let loaded = self.library.get_or_init(|| {
            let mut library: Handle = std::ptr::null_mut();
            let code: *const c_void = std::ptr::with_exposed_provenance(self.wrapper);
            let none = std::ptr::null_mut();
            driver.cuLibraryLoadData(
                Out::local(&mut library),
                code,
                none,
                std::ptr::null_mut(),
                0,
                none,
                std::ptr::null_mut(),
                0,
            )?;
            Ok(library.expose_provenance())
        });
        loaded.map(std::ptr::with_exposed_provenance_mut)
    }
}

/// A kernel of the program.
pub(crate) struct Kernel {
    binary: Arc<Binary>,
    name: CString,
    handle: OnceLock<Result<Address, Error>>,
}

impl Kernel {
    /// The driver's kernel.
    pub(crate) fn handle(&self, driver: &Driver) -> Result<Handle, Error> {
        let found = self.handle.get_or_init(|| {
            let library = self.binary.library(driver)?;
            let mut kernel: Handle = std::ptr::null_mut();
            driver.cuLibraryGetKernel(Out::local(&mut kernel), library, self.name.as_ptr())?;
            Ok(kernel.expose_provenance())
        });
        found.map(std::ptr::with_exposed_provenance_mut)
    }

    /// The driver's kernel, if it was asked for.
    fn known(&self) -> Option<Handle> {
        let found = self.handle.get()?.ok()?;
        Some(std::ptr::with_exposed_provenance_mut(found))
    }

    /// Its name in the module; lives as long as the registration.
    pub(crate) fn name(&self) -> &CStr {
        &self.name
    }
}

/// A variable of the program.
pub(crate) struct Variable {
    binary: Arc<Binary>,
    name: CString,
    /// Of a `__managed__` variable: where the program keeps its address, which the start-up code asks for before the first use.
    pointer: Option<Address>,
}

impl Variable {
    /// Where a managed one is, as far as the program was told.
    fn placed(&self) -> Option<Address> {
        let place = Out::<DevicePtr>::at(self.pointer?).input().get().ok()?;
        Address::try_from(place).ok().filter(|&place| place != 0)
    }

    /// Where it lies in the current context, and its size.
    pub(crate) fn range(&self, driver: &Driver) -> Result<(DevicePtr, usize), Error> {
        let library = self.binary.library(driver)?;
        let (mut address, mut bytes) = (0, 0);
        let (to_address, to_bytes) = (Out::local(&mut address), Out::local(&mut bytes));
        if self.pointer.is_some() {
            driver.cuLibraryGetManaged(to_address, to_bytes, library, self.name.as_ptr())?;
        } else {
            driver.cuLibraryGetGlobal(to_address, to_bytes, library, self.name.as_ptr())?;
        }
        Ok((address, bytes))
    }
}

#[derive(Default)]
struct Registry {
    binaries: HashMap<Address, Arc<Binary>>,
    kernels: HashMap<Address, Arc<Kernel>>,
    variables: HashMap<Address, Arc<Variable>>,
    next: Address,
}

static REGISTRY: LazyLock<RwLock<Registry>> = LazyLock::new(RwLock::default);

/// Registers a fat binary by the address of its wrapper; the answer is what later registrations name it by.
pub(crate) fn add_binary(wrapper: *const c_void) -> Address {
    let mut registry = REGISTRY.write().unwrap_or_else(PoisonError::into_inner);
    // Handles are numbers and not addresses; the program only carries them.
    registry.next += 1;
    let handle = registry.next * 16;
    let binary = Binary {
        wrapper: wrapper.expose_provenance(),
        library: OnceLock::new(),
    };
    registry.binaries.insert(handle, Arc::new(binary));
    handle
}

/// Forgets a fat binary with its kernels and variables, and unloads it.
pub(crate) fn remove_binary(handle: Address) {
    let mut registry = REGISTRY.write().unwrap_or_else(PoisonError::into_inner);
    let Some(binary) = registry.binaries.remove(&handle) else {
        return;
    };
    registry
        .kernels
        .retain(|_, kernel| !Arc::ptr_eq(&kernel.binary, &binary));
    registry
        .variables
        .retain(|_, variable| !Arc::ptr_eq(&variable.binary, &binary));
    drop(registry);
    let Some(Ok(library)) = binary.library.get() else {
        return;
    };
    if let Some(driver) = crate::driver::opened() {
        // At the end of a process the context may be gone already; there is nobody left to tell.
        let _ = driver.cuLibraryUnload(std::ptr::with_exposed_provenance_mut(*library));
    }
}

/// Registers a kernel under the address of its stub.
pub(crate) fn add_kernel(binary: Address, stub: *const c_void, name: &CStr) {
    let mut registry = REGISTRY.write().unwrap_or_else(PoisonError::into_inner);
    let Some(binary) = registry.binaries.get(&binary).cloned() else {
        return;
    };
    let kernel = Kernel {
        binary,
        name: name.to_owned(),
        handle: OnceLock::new(),
    };
    registry
        .kernels
        .insert(stub.expose_provenance(), Arc::new(kernel));
}

/// Registers a variable under the address of its host stand-in; a managed one with the place of its address.
pub(crate) fn add_variable(binary: Address, stand_in: *const c_void, name: &CStr, pointer: Option<Address>) {
    let mut registry = REGISTRY.write().unwrap_or_else(PoisonError::into_inner);
    let Some(binary) = registry.binaries.get(&binary).cloned() else {
        return;
    };
    let variable = Variable {
        binary,
        name: name.to_owned(),
        pointer,
    };
    registry.variables.insert(stand_in.addr(), Arc::new(variable));
}

/// Tells the program where the managed variables of a binary are.
pub(crate) fn place_managed(driver: &Driver, binary: Address) -> Result<(), Error> {
    let registry = REGISTRY.read().unwrap_or_else(PoisonError::into_inner);
    let Some(binary) = registry.binaries.get(&binary) else {
        return Ok(());
    };
    let of_binary = |variable: &&Arc<Variable>| Arc::ptr_eq(&variable.binary, binary);
    let managed: Vec<_> = registry.variables.values().filter(of_binary).cloned().collect();
    drop(registry);
    for variable in managed {
        let Some(pointer) = variable.pointer else { continue };
        let (address, _) = variable.range(driver)?;
        let place = Out::<DevicePtr>::at(pointer);
        place.set(address)?;
    }
    Ok(())
}

/// The kernel of a stub.
pub(crate) fn kernel(stub: *const c_void) -> Result<Arc<Kernel>, Error> {
    let registry = REGISTRY.read().unwrap_or_else(PoisonError::into_inner);
    registry
        .kernels
        .get(&stub.addr())
        .cloned()
        .ok_or(Error::INVALID_DEVICE_FUNCTION)
}

/// The stub of a kernel that the driver names: as a kernel, or as its function in the current context.
pub(crate) fn stub(driver: &Driver, handle: Handle) -> Option<Handle> {
    let registry = REGISTRY.read().unwrap_or_else(PoisonError::into_inner);
    let is_it = |kernel: Handle| {
        let mut function: Handle = std::ptr::null_mut();
        kernel == handle
            || driver
                .cuKernelGetFunction(Out::local(&mut function), kernel)
                .is_ok_and(|()| function == handle)
    };
    let (stub, _) = registry
        .kernels
        .iter()
        .find(|(_, kernel)| kernel.known().is_some_and(is_it))?;
    Some(std::ptr::with_exposed_provenance_mut(*stub))
}

/// The variable of a host stand-in. What a program has of a managed one is where it really is.
pub(crate) fn variable(symbol: *const c_void) -> Result<Arc<Variable>, Error> {
    let registry = REGISTRY.read().unwrap_or_else(PoisonError::into_inner);
    let found = registry.variables.get(&symbol.addr()).or_else(|| {
        let is_it = |variable: &&Arc<Variable>| variable.placed() == Some(symbol.addr());
        registry.variables.values().find(is_it)
    });
    found.cloned().ok_or(Error::INVALID_SYMBOL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binary_takes_its_kernels_and_variables_with_it() {
        let (wrapper, stub, stand_in) = (1_u8, 2_u8, 3_u8);
        let binary = add_binary((&raw const wrapper).cast());
        add_kernel(binary, (&raw const stub).cast(), c"kernel");
        add_variable(binary, (&raw const stand_in).cast(), c"variable", None);
        assert_eq!(
            kernel((&raw const stub).cast()).map(|kernel| kernel.name().to_owned()),
            Ok(c"kernel".to_owned())
        );
        assert!(variable((&raw const stand_in).cast()).is_ok());
        remove_binary(binary);
        assert_eq!(
            kernel((&raw const stub).cast()).map(|_| ()),
            Err(Error::INVALID_DEVICE_FUNCTION)
        );
        assert_eq!(
            variable((&raw const stand_in).cast()).map(|_| ()),
            Err(Error::INVALID_SYMBOL)
        );
    }

    #[test]
    fn a_kernel_of_an_unknown_binary_is_not_registered() {
        let stub = 0_u8;
        add_kernel(0xDEAD, (&raw const stub).cast(), c"kernel");
        assert!(kernel((&raw const stub).cast()).is_err());
    }
}
