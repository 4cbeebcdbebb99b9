//! Kernels of libraries: names that stand for one function in each context.

use crate::code::{Answer, Code};
use crate::context::Context;
use crate::current;
use crate::device::device;
use crate::function::Function;
use crate::library::Library;
use crate::state::{self, Driver};
use crate::types::{Caller, Handle, c_char};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};

/// A kernel.
pub(crate) struct Kernel {
    pub(crate) handle: Handle,
    library: Weak<Library>,
    library_handle: Handle,
    name: String,
    /// By context; there are few.
    functions: RwLock<Vec<(Handle, Arc<Function>)>>,
    /// What `cuKernelSetAttribute` set: holds for functions in contexts to come, too.
    attributes: Mutex<BTreeMap<i32, i32>>,
}

impl Kernel {
    pub(crate) fn new(
        handle: Handle,
        library: &Arc<Library>,
        name: &str,
        first: Arc<Function>,
    ) -> Answer<Self> {
        Ok(Self {
            handle,
            library: Arc::downgrade(library),
            library_handle: library.handle,
            name: name.to_owned(),
            functions: RwLock::new(vec![(first.core.handle, first)]),
            attributes: Mutex::new(BTreeMap::new()),
        })
    }

    /// The function in this context.
    pub(crate) fn function(&self, driver: &Driver, context: &Context) -> Answer<Arc<Function>> {
        {
            let functions = self.functions.read().unwrap_or_else(PoisonError::into_inner);
            if let Some((_, function)) = functions.iter().find(|(handle, _)| *handle == context.handle()) {
                return Ok(Arc::clone(function));
            }
        }
        let library = self.library.upgrade().ok_or(Code::INVALID_HANDLE)?;
        let function = library.module(driver, context)?.function(driver, &self.name)?;
        for (&attribute, &value) in self
            .attributes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
        {
            function.set_attribute(driver, attribute, value)?;
        }
        let mut functions = self.functions.write().unwrap_or_else(PoisonError::into_inner);
        functions.retain(|(_, function)| function.core.check_alive().is_ok());
        functions.push((context.handle(), Arc::clone(&function)));
        Ok(function)
    }

    /// Any function that lives: attributes and parameters are the same in all contexts.
    fn any_function(&self) -> Answer<Arc<Function>> {
        let functions = self.functions.read().unwrap_or_else(PoisonError::into_inner);
        let alive = functions
            .iter()
            .find(|(_, function)| function.core.check_alive().is_ok());
        if let Some((_, function)) = alive {
            return Ok(Arc::clone(function));
        }
        drop(functions);
        let context = current::current()?;
        self.function(state::driver()?, &context)
    }
}

fn kernel(handle: Handle) -> Answer<Arc<Kernel>> {
    state::driver()?.kernels.get(handle)
}

/// `cuKernelGetFunction`
pub(crate) fn kernel_get_function(p_func: Caller<Handle>, handle: Handle) -> Answer {
    p_func.required()?;
    let context = current::current()?;
    p_func.put(kernel(handle)?.function(state::driver()?, &context)?.handle)
}

/// `cuKernelGetLibrary`
pub(crate) fn kernel_get_library(p_lib: Caller<Handle>, handle: Handle) -> Answer {
    p_lib.put(kernel(handle)?.library_handle)
}

/// `cuKernelGetAttribute`
pub(crate) fn kernel_get_attribute(pi: Caller<i32>, attrib: i32, handle: Handle, dev: i32) -> Answer {
    pi.required()?;
    device(dev)?;
    pi.put(kernel(handle)?.any_function()?.attribute(attrib)?)
}

/// `cuKernelSetAttribute`
pub(crate) fn kernel_set_attribute(attrib: i32, val: i32, handle: Handle, dev: i32) -> Answer {
    let driver = device(dev)?;
    let kernel = kernel(handle)?;
    kernel.any_function()?.set_attribute(driver, attrib, val)?;
    let functions = kernel.functions.read().unwrap_or_else(PoisonError::into_inner);
    for (_, function) in functions.iter() {
        function.set_attribute(driver, attrib, val)?;
    }
    kernel
        .attributes
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(attrib, val);
    Ok(())
}

/// `cuKernelSetCacheConfig`: a preference.
pub(crate) fn kernel_set_cache_config(handle: Handle, config: i32, dev: i32) -> Answer {
    device(dev)?;
    if !(0..=3).contains(&config) {
        return Err(Code::INVALID_VALUE);
    }
    kernel(handle).map(drop)
}

/// `cuKernelGetName`: the text lives as long as the kernel. No kernel at all is an invalid value here.
pub(crate) fn kernel_get_name(name: Caller<Caller<c_char>>, handle: Handle) -> Answer {
    name.required()?;
    if handle == 0 {
        return Err(Code::INVALID_VALUE);
    }
    kernel(handle)?.any_function()?.put_name(name)
}

/// `cuKernelGetParamInfo`: of the kernel as the current context has it, so there must be one.
pub(crate) fn kernel_get_param_info(
    handle: Handle,
    param_index: usize,
    param_offset: Caller<usize>,
    param_size: Caller<usize>,
) -> Answer {
    current::current()?;
    kernel(handle)?
        .any_function()?
        .put_parameter(param_index, param_offset, param_size)
}

/// `cuKernelGetParamCount`
pub(crate) fn kernel_get_param_count(handle: Handle, param_count: Caller<usize>) -> Answer {
    param_count.put(kernel(handle)?.any_function()?.parameters.len())
}
