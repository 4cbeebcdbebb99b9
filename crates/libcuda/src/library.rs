//! Libraries: images that belong to no context, loaded into each one where something of them is used.
//!
//! ```text
//!   Library ──┬─ images, kept
//!             ├─ per context: Module, loaded at first use
//!             └─ Kernel by name ─ per context: Function, fetched at first use
//! ```

use crate::code::{Answer, Code};
use crate::context::Context;
use crate::current;
use crate::image::{self, Image};
use crate::jit::Jit;
use crate::kernel::Kernel;
use crate::module::{self, Module};
use crate::primary;
use crate::ranges::Range;
use crate::state::{self, Driver};
use crate::types::{Caller, Handle, c_char, c_void};
use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A library.
pub(crate) struct Library {
    pub(crate) handle: Handle,
    images: Vec<Image>,
    jit: Jit,
    modules: Mutex<HashMap<Handle, Arc<Module>>>,
    kernels: Mutex<HashMap<String, Arc<Kernel>>>,
}

impl Library {
    /// Makes a library. Where a context is current the images are compiled at once, so that what is wrong with them is said now.
    fn load(images: Vec<Image>, jit: Jit) -> Answer<Arc<Self>> {
        let driver = state::driver()?;
        let library = driver.libraries.insert(|handle| {
            Ok(Self {
                handle,
                images,
                jit,
                modules: Mutex::new(HashMap::new()),
                kernels: Mutex::new(HashMap::new()),
            })
        })?;
        if let Ok(context) = current::current() {
            match Module::load(driver, &context, &library.images, &library.jit, None) {
                Ok(module) => {
                    module.of_library.store(true, Ordering::Relaxed);
                    library.modules().insert(context.handle(), module);
                }
                Err(code) => {
                    let _ = driver.libraries.remove(library.handle);
                    return Err(code);
                }
            }
        }
        Ok(library)
    }

    fn modules(&self) -> MutexGuard<'_, HashMap<Handle, Arc<Module>>> {
        self.modules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kernels(&self) -> MutexGuard<'_, HashMap<String, Arc<Kernel>>> {
        self.kernels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The module in this context.
    pub(crate) fn module(&self, driver: &Driver, context: &Context) -> Answer<Arc<Module>> {
        let mut modules = self.modules();
        modules.retain(|_, module| module.core.check_alive().is_ok());
        if let Some(module) = modules.get(&context.handle()) {
            return Ok(Arc::clone(module));
        }
        let sibling = modules.values().next().cloned();
        let jit = self.jit.later();
        let module = Module::load(driver, context, &self.images, &jit, sibling.as_deref())?;
        module.of_library.store(true, Ordering::Relaxed);
        modules.insert(context.handle(), Arc::clone(&module));
        Ok(module)
    }

    /// The module in the current context, or in the primary one where none is current.
    fn any_module(&self) -> Answer<(&'static Driver, Arc<Module>)> {
        let driver = state::driver()?;
        let context = match current::current() {
            Ok(context) => context,
            Err(Code::INVALID_CONTEXT) => match primary::active(driver) {
                Some(context) => context,
                None => primary::retain(driver)?,
            },
            Err(code) => return Err(code),
        };
        Ok((driver, self.module(driver, &context)?))
    }

    fn kernel(self: &Arc<Self>, name: &str) -> Answer<Arc<Kernel>> {
        if let Some(kernel) = self.kernels().get(name) {
            return Ok(Arc::clone(kernel));
        }
        // Fetched, so that a name that is not there is found out now.
        let (driver, module) = self.any_module()?;
        let function = module.function(driver, name)?;
        let mut kernels = self.kernels();
        if let Some(kernel) = kernels.get(name) {
            return Ok(Arc::clone(kernel));
        }
        let kernel = driver
            .kernels
            .insert(|handle| Kernel::new(handle, self, name, function))?;
        kernels.insert(name.to_owned(), Arc::clone(&kernel));
        Ok(kernel)
    }
}

/// The library of this handle.
fn library(handle: Handle) -> Answer<Arc<Library>> {
    state::driver()?.libraries.get(handle)
}

/// `cuLibraryLoadData`. Library options say whether the image stays where it is; it is copied, so they do not matter.
#[allow(clippy::too_many_arguments)]
pub(crate) fn library_load_data(
    out: Caller<Handle>,
    code: Caller<c_void>,
    jit_options: Caller<i32>,
    jit_values: Caller<Caller<c_void>>,
    num_jit_options: u32,
    _library_options: Caller<i32>,
    _library_values: Caller<Caller<c_void>>,
    _num_library_options: u32,
) -> Answer {
    out.required()?;
    code.required()?;
    let jit = Jit::read(num_jit_options, jit_options, jit_values)?;
    let library = Library::load(image::read(code)?, jit)?;
    out.put(library.handle)
}

/// `cuLibraryLoadFromFile`
#[allow(clippy::too_many_arguments)]
pub(crate) fn library_load_from_file(
    out: Caller<Handle>,
    file_name: Caller<c_char>,
    jit_options: Caller<i32>,
    jit_values: Caller<Caller<c_void>>,
    num_jit_options: u32,
    _library_options: Caller<i32>,
    _library_values: Caller<Caller<c_void>>,
    _num_library_options: u32,
) -> Answer {
    out.required()?;
    let jit = Jit::read(num_jit_options, jit_options, jit_values)?;
    let library = Library::load(module::read_file(&file_name.text()?)?, jit)?;
    out.put(library.handle)
}

/// `cuLibraryUnload`
pub(crate) fn library_unload(handle: Handle) -> Answer {
    let driver = state::driver()?;
    let library = driver.libraries.remove(handle)?;
    for kernel in std::mem::take(&mut *library.kernels()).into_values() {
        let _ = driver.kernels.remove(kernel.handle);
    }
    let mut result = Ok(());
    for module in std::mem::take(&mut *library.modules()).into_values() {
        if module.core.check_alive().is_ok() {
            result = result.and(module::unload(driver, &module));
        }
    }
    result
}

/// `cuLibraryGetKernel`
pub(crate) fn library_get_kernel(p_kernel: Caller<Handle>, handle: Handle, name: Caller<c_char>) -> Answer {
    p_kernel.required()?;
    let name = name.text()?;
    p_kernel.put(library(handle)?.kernel(&name)?.handle)
}

/// `cuLibraryGetKernelCount`
pub(crate) fn library_get_kernel_count(count: Caller<u32>, lib: Handle) -> Answer {
    count.required()?;
    let (driver, module) = library(lib)?.any_module()?;
    count.put(u32::try_from(module.names(driver)?.len()).unwrap_or(u32::MAX))
}

/// `cuLibraryEnumerateKernels`
pub(crate) fn library_enumerate_kernels(kernels: Caller<Handle>, num_kernels: u32, lib: Handle) -> Answer {
    kernels.required()?;
    let library = library(lib)?;
    let (driver, module) = library.any_module()?;
    for (index, name) in module
        .names(driver)?
        .iter()
        .take(num_kernels as usize)
        .enumerate()
    {
        kernels.put_at(index, library.kernel(name)?.handle)?;
    }
    Ok(())
}

/// `cuLibraryGetModule`
pub(crate) fn library_get_module(p_mod: Caller<Handle>, handle: Handle) -> Answer {
    p_mod.required()?;
    let context = current::current()?;
    p_mod.put(library(handle)?.module(state::driver()?, &context)?.handle)
}

/// `cuLibraryGetGlobal`
pub(crate) fn library_get_global(
    dptr: Caller<u64>,
    bytes: Caller<usize>,
    handle: Handle,
    name: Caller<c_char>,
) -> Answer {
    let name = name.text()?;
    let context = current::current()?;
    let driver = state::driver()?;
    let (address, length) = library(handle)?.module(driver, &context)?.global(driver, &name)?;
    dptr.put_if_wanted(address);
    bytes.put_if_wanted(usize::try_from(length).unwrap_or(usize::MAX));
    Ok(())
}

/// `cuLibraryGetManaged`: a managed variable is the same in every context.
pub(crate) fn library_get_managed(
    dptr: Caller<u64>,
    bytes: Caller<usize>,
    handle: Handle,
    name: Caller<c_char>,
) -> Answer {
    let name = name.text()?;
    let (driver, module) = library(handle)?.any_module()?;
    let (address, length) = module.global(driver, &name)?;
    let range = driver.ranges.find(address);
    range.filter(Range::is_managed).ok_or(Code::NOT_FOUND)?;
    dptr.put_if_wanted(address);
    bytes.put_if_wanted(usize::try_from(length).unwrap_or(usize::MAX));
    Ok(())
}

/// `cuLibraryGetUnifiedFunction`: there are no unified function pointers.
pub(crate) fn library_get_unified_function(
    _fptr: Caller<Caller<c_void>>,
    handle: Handle,
    symbol: Caller<c_char>,
) -> Answer {
    symbol.required()?;
    library(handle)?;
    Err(Code::NOT_FOUND)
}
