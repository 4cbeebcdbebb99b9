//! Functions: kernels of a module that is loaded in a context.

use crate::code::{Answer, Code};
use crate::context::Core;
use crate::device::attribute as device_attribute;
use crate::launch_old::Prepared;
use crate::module::Module;
use crate::objects::{Kind, is_kind};
use crate::state::{self, Driver};
use crate::types::{Caller, Handle, c_char};
use std::ffi::CString;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use tessera_wire::Parameter;
use tessera_wire::messages::FunctionGetReply;

/// `CUfunction_attribute`
pub(crate) mod attribute {
    pub(crate) const MAX_THREADS_PER_BLOCK: i32 = 0;
    pub(crate) const SHARED_SIZE_BYTES: i32 = 1;
    pub(crate) const CONST_SIZE_BYTES: i32 = 2;
    pub(crate) const LOCAL_SIZE_BYTES: i32 = 3;
    pub(crate) const NUM_REGS: i32 = 4;
    pub(crate) const PTX_VERSION: i32 = 5;
    pub(crate) const BINARY_VERSION: i32 = 6;
    pub(crate) const CACHE_MODE_CA: i32 = 7;
    pub(crate) const MAX_DYNAMIC_SHARED_SIZE_BYTES: i32 = 8;
    pub(crate) const PREFERRED_SHARED_MEMORY_CARVEOUT: i32 = 9;
    pub(crate) const CLUSTER_FIRST: i32 = 10;
    pub(crate) const NON_PORTABLE_CLUSTER_SIZE_ALLOWED: i32 = 14;
    pub(crate) const SHARED_MEMORY_MODE: i32 = 17;
    pub(crate) const LAST: i32 = SHARED_MEMORY_MODE;
}

/// `CU_SHARED_MEMORY_MODE_*`: which bound dynamic shared memory has.
mod shared_mode {
    /// `CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES`
    pub(super) const DEFAULT: i32 = 0;
    pub(super) const REQUIRE_PORTABLE: i32 = 1;
    pub(super) const ALLOW_NON_PORTABLE: i32 = 2;
    /// The last of two (3 allows, 4 prefers) with more than the board's bound where the board has it. None of ours does, so that both
    /// allow what `ALLOW_NON_PORTABLE` does.
    pub(super) const PREFER_OVERSIZED: i32 = 4;
}

/// Blocks of a cluster that every device with clusters takes, and that the largest take.
const PORTABLE_CLUSTER: u32 = 8;
const LARGEST_CLUSTER: u32 = 16;

/// Attributes from the carve-out on, which the program may set and nothing but itself reads back.
const HINTS: usize = 9;

/// A kernel that can be launched in its context.
pub(crate) struct Function {
    pub(crate) handle: Handle,
    pub(crate) core: Arc<Core>,
    pub(crate) module: Handle,
    name: CString,
    pub(crate) parameters: Box<[Parameter]>,
    pub(crate) parameter_bytes: u32,
    info: FunctionGetReply,
    /// `CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES`
    dynamic_limit: AtomicU32,
    hints: [AtomicI32; HINTS],
    /// What the launch functions of CUDA 3 set beforehand.
    pub(crate) prepared: Mutex<Prepared>,
}

impl Function {
    pub(crate) fn new(
        driver: &Driver,
        handle: Handle,
        module: &Module,
        name: &str,
        info: &FunctionGetReply,
        parameters: &[Parameter],
    ) -> Answer<Self> {
        // The layout is used to gather parameters: it must lie inside the block.
        let inside = parameters.iter().all(|parameter| {
            parameter
                .offset
                .checked_add(parameter.size)
                .is_some_and(|end| end <= info.parameter_bytes)
        });
        if !inside {
            return Err(Code::UNKNOWN);
        }
        let limit = driver
            .limit(device_attribute::MAX_SHARED_MEMORY_PER_BLOCK)
            .saturating_sub(info.shared_bytes);
        let hints: [AtomicI32; HINTS] = Default::default();
        // -1: no preference for the carve-out.
        if let Some(carve_out) = hints.first() {
            carve_out.store(-1, Ordering::Relaxed);
        }
        Ok(Self {
            handle,
            core: Arc::clone(&module.core),
            module: module.handle,
            name: CString::new(name).map_err(|_| Code::INVALID_VALUE)?,
            parameters: parameters.into(),
            parameter_bytes: info.parameter_bytes,
            info: *info,
            dynamic_limit: AtomicU32::new(limit),
            hints,
            prepared: Mutex::new(Prepared::default()),
        })
    }

    pub(crate) fn name(&self) -> std::borrow::Cow<'_, str> {
        self.name.to_string_lossy()
    }

    pub(crate) fn max_threads(&self) -> u32 {
        self.info.max_threads_per_block
    }

    pub(crate) fn static_shared(&self) -> u32 {
        self.info.shared_bytes
    }

    pub(crate) fn registers(&self) -> u32 {
        self.info.registers
    }

    pub(crate) fn dynamic_limit(&self) -> u32 {
        self.dynamic_limit.load(Ordering::Relaxed)
    }

    /// Dynamic shared memory that a launch in this `CUsharedMemoryMode` may have; a launch without one is in the function's own.
    pub(crate) fn largest_dynamic(&self, driver: &Driver, mode: i32) -> Answer<u32> {
        let own = || {
            self.hint(attribute::SHARED_MEMORY_MODE)
                .map_or(0, |mode| mode.load(Ordering::Relaxed))
        };
        let portable = driver.limit(device_attribute::MAX_SHARED_MEMORY_PER_BLOCK);
        let most = match if mode == shared_mode::DEFAULT { own() } else { mode } {
            shared_mode::DEFAULT => return Ok(self.dynamic_limit()),
            shared_mode::REQUIRE_PORTABLE => portable,
            shared_mode::ALLOW_NON_PORTABLE..=shared_mode::PREFER_OVERSIZED => driver
                .limit(device_attribute::MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)
                .max(portable),
            _ => return Err(Code::INVALID_VALUE),
        };
        Ok(most.saturating_sub(self.info.shared_bytes))
    }

    /// Blocks of a cluster of this function at most: one on boards without clusters, sixteen where the program says that it need not be portable.
    pub(crate) fn largest_cluster(&self, driver: &Driver) -> u32 {
        let portable = self
            .hint(attribute::NON_PORTABLE_CLUSTER_SIZE_ALLOWED)
            .is_none_or(|hint| hint.load(Ordering::Relaxed) == 0);
        match (driver.limit(device_attribute::CLUSTER_LAUNCH), portable) {
            (0, _) => 1,
            (_, true) => PORTABLE_CLUSTER,
            (_, false) => LARGEST_CLUSTER,
        }
    }

    fn hint(&self, attribute: i32) -> Option<&AtomicI32> {
        let index = attribute.checked_sub(attribute::PREFERRED_SHARED_MEMORY_CARVEOUT)?;
        self.hints.get(usize::try_from(index).ok()?)
    }

    pub(crate) fn attribute(&self, attribute: i32) -> Answer<i32> {
        let number = match attribute {
            attribute::MAX_THREADS_PER_BLOCK => self.info.max_threads_per_block,
            attribute::SHARED_SIZE_BYTES => self.info.shared_bytes,
            attribute::CONST_SIZE_BYTES => self.info.const_bytes,
            attribute::LOCAL_SIZE_BYTES => self.info.local_bytes,
            attribute::NUM_REGS => self.info.registers,
            attribute::PTX_VERSION => self.info.ptx_version,
            attribute::BINARY_VERSION => self.info.binary_version,
            attribute::CACHE_MODE_CA => 0,
            attribute::MAX_DYNAMIC_SHARED_SIZE_BYTES => self.dynamic_limit(),
            attribute::PREFERRED_SHARED_MEMORY_CARVEOUT..=attribute::LAST => {
                return Ok(self
                    .hint(attribute)
                    .map_or(0, |hint| hint.load(Ordering::Relaxed)));
            }
            _ => return Err(Code::INVALID_VALUE),
        };
        Ok(i32::try_from(number).unwrap_or(i32::MAX))
    }

    pub(crate) fn set_attribute(&self, driver: &Driver, attribute: i32, value: i32) -> Answer {
        match attribute {
            attribute::MAX_DYNAMIC_SHARED_SIZE_BYTES => {
                let wanted = u32::try_from(value).map_err(|_| Code::INVALID_VALUE)?;
                let most = driver
                    .limit(device_attribute::MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)
                    .max(driver.limit(device_attribute::MAX_SHARED_MEMORY_PER_BLOCK))
                    .saturating_sub(self.info.shared_bytes);
                if wanted > most {
                    return Err(Code::INVALID_VALUE);
                }
                self.dynamic_limit.store(wanted, Ordering::Relaxed);
                Ok(())
            }
            attribute::PREFERRED_SHARED_MEMORY_CARVEOUT if !(-1..=100).contains(&value) => {
                Err(Code::INVALID_VALUE)
            }
            attribute::SHARED_MEMORY_MODE
                if !(shared_mode::DEFAULT..=shared_mode::PREFER_OVERSIZED).contains(&value) =>
            {
                Err(Code::INVALID_VALUE)
            }
            attribute::PREFERRED_SHARED_MEMORY_CARVEOUT | attribute::CLUSTER_FIRST..=attribute::LAST => {
                if let Some(hint) = self.hint(attribute) {
                    hint.store(value, Ordering::Relaxed);
                }
                Ok(())
            }
            _ => Err(Code::INVALID_VALUE),
        }
    }

    pub(crate) fn put_name(&self, name: Caller<Caller<c_char>>) -> Answer {
        name.put(Caller::from_raw(self.name.as_ptr().cast_mut()))
    }

    /// Offset and size of a parameter; the index behind the last one is an invalid value, which is how programs count.
    pub(crate) fn put_parameter(&self, index: usize, offset: Caller<usize>, size: Caller<usize>) -> Answer {
        let parameter = self.parameters.get(index).ok_or(Code::INVALID_VALUE)?;
        offset.put(parameter.offset as usize)?;
        size.put_if_wanted(parameter.size as usize);
        Ok(())
    }
}

/// The function of a handle that may also be a kernel's, as the driver API lets programs cast one to the other.
pub(crate) fn function(handle: Handle) -> Answer<Arc<Function>> {
    let driver = state::driver()?;
    let function = if is_kind(handle, Kind::Kernel) {
        let context = crate::current::current()?;
        driver.kernels.get(handle)?.function(driver, &context)?
    } else {
        driver.functions.get(handle)?
    };
    function.core.check()?;
    Ok(function)
}

/// `cuFuncGetAttribute`
pub(crate) fn func_get_attribute(pi: Caller<i32>, attrib: i32, hfunc: Handle) -> Answer {
    pi.required()?;
    pi.put(function(hfunc)?.attribute(attrib)?)
}

/// `cuFuncSetAttribute`
pub(crate) fn func_set_attribute(hfunc: Handle, attrib: i32, value: i32) -> Answer {
    function(hfunc)?.set_attribute(state::driver()?, attrib, value)
}

/// `cuFuncSetCacheConfig`: a preference.
pub(crate) fn func_set_cache_config(hfunc: Handle, config: i32) -> Answer {
    if !(0..=3).contains(&config) {
        return Err(Code::INVALID_VALUE);
    }
    function(hfunc).map(drop)
}

/// `cuFuncSetSharedMemConfig`: without effect, as on every board since Maxwell.
pub(crate) fn func_set_shared_mem_config(hfunc: Handle, config: i32) -> Answer {
    if !(0..=2).contains(&config) {
        return Err(Code::INVALID_VALUE);
    }
    function(hfunc).map(drop)
}

/// `cuFuncGetModule`
pub(crate) fn func_get_module(hmod: Caller<Handle>, hfunc: Handle) -> Answer {
    hmod.put(function(hfunc)?.module)
}

/// `cuFuncGetName`: the text lives as long as the function. No function at all is an invalid value here, as for `cuKernelGetName`.
pub(crate) fn func_get_name(name: Caller<Caller<c_char>>, hfunc: Handle) -> Answer {
    name.required()?;
    if hfunc == 0 {
        return Err(Code::INVALID_VALUE);
    }
    function(hfunc)?.put_name(name)
}

/// `cuFuncGetParamInfo`
pub(crate) fn func_get_param_info(
    func: Handle,
    param_index: usize,
    param_offset: Caller<usize>,
    param_size: Caller<usize>,
) -> Answer {
    function(func)?.put_parameter(param_index, param_offset, param_size)
}

/// `cuFuncGetParamCount`
pub(crate) fn func_get_param_count(func: Handle, param_count: Caller<usize>) -> Answer {
    param_count.put(function(func)?.parameters.len())
}

/// `cuFuncIsLoaded`: a function that has a handle is loaded.
pub(crate) fn func_is_loaded(state: Caller<i32>, hfunc: Handle) -> Answer {
    const LOADED: i32 = 1;
    function(hfunc)?;
    state.put(LOADED)
}

/// `cuFuncLoad`
pub(crate) fn func_load(hfunc: Handle) -> Answer {
    function(hfunc).map(drop)
}
