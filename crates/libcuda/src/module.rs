//! Modules: loading, and what they hold.

use crate::code::{Answer, Code};
use crate::context::{Context, Core};
use crate::current;
use crate::device::attribute::MANAGED_MEMORY;
use crate::function::Function;
use crate::image::{self, Image};
use crate::jit::Jit;
use crate::managed::Variables;
use crate::ranges::RangeKind;
use crate::reference::Reference;
use crate::state::{self, Driver};
use crate::types::{Caller, Handle, c_char, c_void};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use tessera_fatbin::linked_registers;
use tessera_guest::Failure;
use tessera_wire::messages::{
    FunctionGet, FunctionList, GlobalGet, LinkCheck, ModuleLoad, ModuleManaged, ModuleUnload,
};
use tessera_wire::{ImageList, NameList, PLACE_STAGING, PLACE_TAIL, ParameterList};

/// Images up to this many bytes in all travel inside the message; longer ones rest in the staging heap.
const INLINE_BYTES: usize = 64 << 10;
/// `CU_MODULE_LAZY_LOADING`: with eager loading the runtime library would load every module and fetch every kernel at its start.
const LOADING_LAZY: i32 = 2;

/// A loaded module.
pub(crate) struct Module {
    pub(crate) handle: Handle,
    pub(crate) core: Arc<Core>,
    functions: Mutex<HashMap<String, Arc<Function>>>,
    references: Mutex<HashMap<String, Arc<Reference>>>,
    /// A library's: it goes with that and not before.
    pub(crate) of_library: AtomicBool,
    /// Its managed variables, where it has any.
    variables: OnceLock<Arc<Variables>>,
}

/// Sends images in whichever way they fit; `send` gets the tail.
fn with_images<R>(
    driver: &Driver,
    images: &[Image],
    send: impl FnOnce(&[u8]) -> Result<R, Failure>,
) -> Result<R, Failure> {
    let total: usize = images.iter().map(|image| image.bytes.len()).sum();
    let mut list = ImageList::default();
    let mut inline = Vec::new();
    // Kept until the worker has answered: it reads them before that.
    let mut staged = Vec::new();
    for image in images {
        let (place, offset) = if total <= INLINE_BYTES {
            let offset = inline.len() as u64;
            inline.extend_from_slice(&image.bytes);
            (PLACE_TAIL, offset)
        } else {
            let records = driver.session.records();
            let staging = driver
                .session
                .staging()
                .allocate(image.bytes.len() as u64, records)?;
            staging.write(0, &image.bytes)?;
            let offset = staging.offset();
            staged.push(staging);
            (PLACE_STAGING, offset)
        };
        list.images.push(tessera_wire::Image {
            place,
            offset,
            bytes: image.bytes.len() as u64,
            name: &image.name,
        });
    }
    list.inline = &inline;
    send(&list.encode())
}

/// Puts the compiler's words where the program wants them, or else into the log.
fn report(jit: &Jit, what: &str, failure: &Failure) -> Code {
    if jit.takes_errors() {
        let _ = jit.fill("", &failure.reason);
    } else {
        tessera_guest::log(&format!("{what}: {failure}"));
    }
    Code(failure.code)
}

/// Compiles and links images in the worker and throws the result away; gives the compiler's log.
pub(crate) fn check_link(driver: &Driver, context: &Context, images: &[Image], jit: &Jit) -> Answer<String> {
    let message = LinkCheck {
        context: context.handle(),
        max_registers: jit.max_registers,
        flags: 0,
    };
    let (_, log) = with_images(driver, images, |tail| driver.session.call(&message, tail))
        .map_err(|failure| report(jit, "linking", &failure))?;
    Ok(String::from_utf8_lossy(&log).into_owned())
}

/// Has the worker look whether images are what this device takes, each by itself.
pub(crate) fn check_apart(driver: &Driver, context: Handle, images: &[Image], jit: &Jit) -> Answer {
    let message = LinkCheck {
        context,
        max_registers: 0,
        flags: tessera_wire::LINK_APART,
    };
    with_images(driver, images, |tail| driver.session.call(&message, tail))
        .map(drop)
        .map_err(|failure| report(jit, "linking", &failure))
}

/// The limit of registers: what this load asks for, else what the linker was told that made an image.
fn most_registers(images: &[Image], jit: &Jit) -> u32 {
    if jit.max_registers > 0 {
        return jit.max_registers;
    }
    let told = images.iter().map(|image| linked_registers(&image.bytes));
    told.filter(|&registers| registers > 0).min().unwrap_or(0)
}

impl Module {
    /// Loads images into a context and links them. Of a library, `sibling` is a module in another context: they have their managed
    /// variables in common.
    pub(crate) fn load(
        driver: &Driver,
        context: &Context,
        images: &[Image],
        jit: &Jit,
        sibling: Option<&Self>,
    ) -> Answer<Arc<Self>> {
        let module = driver.modules.insert(|handle| {
            let message = ModuleLoad {
                context: context.handle(),
                module: handle,
                max_registers: most_registers(images, jit),
                flags: 0,
            };
            let (_, log) = with_images(driver, images, |tail| driver.session.call(&message, tail))
                .map_err(|failure| report(jit, "loading a module", &failure))?;
            jit.fill(&String::from_utf8_lossy(&log), "")?;
            Ok(Self {
                handle,
                core: Arc::clone(&context.core),
                functions: Mutex::new(HashMap::new()),
                references: Mutex::new(HashMap::new()),
                of_library: AtomicBool::new(false),
                variables: OnceLock::new(),
            })
        })?;
        context.children().modules.insert(module.handle);
        if let Err(code) = module.place_managed(driver, context, sibling) {
            unload(driver, &module)?;
            return Err(code);
        }
        Ok(module)
    }

    /// Gives the managed variables a place, where the module has any.
    fn place_managed(&self, driver: &Driver, context: &Context, sibling: Option<&Self>) -> Answer {
        // Elsewhere a module that has some does not load.
        if driver.attribute(MANAGED_MEMORY) != Some(1) {
            return Ok(());
        }
        let mut message = ModuleManaged {
            module: self.handle,
            ..ModuleManaged::default()
        };
        let (reply, _) = driver.session.call(&message, &[])?;
        if reply.bytes == 0 {
            return Ok(());
        }
        let variables = match sibling.and_then(|sibling| sibling.variables.get()) {
            Some(theirs) => {
                message.flags = tessera_wire::MANAGED_INITIALISED;
                Arc::clone(theirs)
            }
            None => Arc::new(Variables::allocate(driver, context, reply.bytes)?),
        };
        message.address = variables.address();
        driver.session.call(&message, &[])?;
        let _ = self.variables.set(variables);
        Ok(())
    }

    fn functions(&self) -> MutexGuard<'_, HashMap<String, Arc<Function>>> {
        self.functions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A kernel by name; asking twice gives the same one.
    pub(crate) fn function(&self, driver: &Driver, name: &str) -> Answer<Arc<Function>> {
        let mut functions = self.functions();
        if let Some(function) = functions.get(name) {
            return Ok(Arc::clone(function));
        }
        let function = driver.functions.insert(|handle| {
            let message = FunctionGet {
                module: self.handle,
                function: handle,
            };
            let (reply, tail) = driver
                .session
                .call(&message, name.as_bytes())
                .map_err(|failure| {
                    let code = Code::from(failure.clone());
                    if code != Code::NOT_FOUND {
                        tessera_guest::log(&format!("kernel {name}: {failure}"));
                    }
                    code
                })?;
            let parameters = ParameterList::decode(&tail).map_err(|_| Code::UNKNOWN)?;
            Function::new(driver, handle, self, name, &reply, &parameters.0)
        })?;
        functions.insert(name.to_owned(), Arc::clone(&function));
        Ok(function)
    }

    /// Names of all kernels.
    pub(crate) fn names(&self, driver: &Driver) -> Answer<Vec<String>> {
        let mut names = Vec::new();
        loop {
            let first = u32::try_from(names.len()).map_err(|_| Code::UNKNOWN)?;
            let message = FunctionList {
                module: self.handle,
                first,
                ..FunctionList::default()
            };
            let (reply, tail) = driver.session.call(&message, &[])?;
            let piece = NameList::decode(&tail).map_err(|_| Code::UNKNOWN)?;
            let empty = piece.0.is_empty();
            names.extend(piece.0);
            if empty || names.len() >= reply.total as usize {
                return Ok(names);
            }
        }
    }

    /// Texture and surface references that were asked for.
    pub(crate) fn references(&self) -> MutexGuard<'_, HashMap<String, Arc<Reference>>> {
        self.references.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Address and length of a variable.
    pub(crate) fn global(&self, driver: &Driver, name: &str) -> Answer<(u64, u64)> {
        let message = GlobalGet { module: self.handle };
        let (reply, _) = driver.session.call(&message, name.as_bytes())?;
        if driver.ranges.find(reply.address).is_none() {
            driver.ranges.insert(crate::ranges::Range {
                base: reply.address,
                bytes: reply.bytes,
                kind: RangeKind::Variable { module: self.handle },
                context: self.core.handle,
                identity: driver.next_identity(),
                bar1: None,
            });
        }
        Ok((reply.address, reply.bytes))
    }
}

/// Takes a module and its functions out of the tables; the worker knows already, or is told by the caller.
pub(crate) fn forget(driver: &Driver, handle: Handle) {
    let Ok(module) = driver.modules.remove(handle) else {
        return;
    };
    for function in std::mem::take(&mut *module.functions()).into_values() {
        let _ = driver.functions.remove(function.handle);
    }
    for reference in std::mem::take(&mut *module.references()).into_values() {
        let _ = driver.references.remove(reference.handle);
    }
    let of_module = RangeKind::Variable { module: handle };
    driver.ranges.retain(|range| range.kind != of_module);
}

/// Unloads a module.
pub(crate) fn unload(driver: &Driver, module: &Module) -> Answer {
    if let Ok(context) = driver.contexts.get(module.core.handle) {
        context.children().modules.remove(&module.handle);
    }
    forget(driver, module.handle);
    Ok(driver.session.post(
        &ModuleUnload {
            module: module.handle,
        },
        &[],
    )?)
}

fn load_current(out: Caller<Handle>, images: &[Image], jit: &Jit) -> Answer {
    let driver = state::driver()?;
    let context = current::faultless()?;
    let module = Module::load(driver, &context, images, jit, None)?;
    out.put(module.handle)
}

/// `cuModuleLoad`
pub(crate) fn module_load(module: Caller<Handle>, fname: Caller<c_char>) -> Answer {
    module.required()?;
    let path = fname.text()?;
    if path.is_empty() {
        return Err(Code::INVALID_VALUE);
    }
    let images = read_file(&path)?;
    load_current(module, &images, &Jit::default())
}

/// The images in a file.
pub(crate) fn read_file(path: &str) -> Answer<Vec<Image>> {
    let mut bytes = std::fs::read(path).map_err(|_| Code::FILE_NOT_FOUND)?;
    // A text in a file has no NUL, and a container cut short must not be read past its end.
    bytes.extend_from_slice(&[0; 64]);
    let mut images = image::read_checked(&bytes)?;
    if let Some(first) = images.first_mut() {
        path.clone_into(&mut first.name);
    }
    Ok(images)
}

/// `cuModuleLoadData`
pub(crate) fn module_load_data(module: Caller<Handle>, image: Caller<c_void>) -> Answer {
    module_load_data_ex(module, image, 0, Caller::null(), Caller::null())
}

/// `cuModuleLoadDataEx`
pub(crate) fn module_load_data_ex(
    module: Caller<Handle>,
    image: Caller<c_void>,
    num_options: u32,
    options: Caller<i32>,
    option_values: Caller<Caller<c_void>>,
) -> Answer {
    module.required()?;
    image.required()?;
    current::faultless()?;
    let jit = Jit::read(num_options, options, option_values)?;
    load_current(module, &image::read(image)?, &jit)
}

/// `cuModuleLoadFatBinary`
pub(crate) fn module_load_fat_binary(module: Caller<Handle>, fat_cubin: Caller<c_void>) -> Answer {
    module_load_data(module, fat_cubin)
}

/// The module of this handle.
pub(crate) fn module(handle: Handle) -> Answer<(&'static Driver, Arc<Module>)> {
    let driver = state::driver()?;
    let module = driver.modules.get(handle)?;
    module.core.check()?;
    Ok((driver, module))
}

/// `cuModuleUnload`
pub(crate) fn module_unload(hmod: Handle) -> Answer {
    let driver = state::driver()?;
    let module = driver.modules.get(hmod)?;
    module.core.check_alive()?;
    if module.of_library.load(Ordering::Relaxed) {
        return Err(Code::NOT_PERMITTED);
    }
    // A fault is told; the module is gone all the same.
    let told = module.core.look();
    unload(driver, &module)?;
    told
}

/// `cuModuleGetLoadingMode`
pub(crate) fn module_get_loading_mode(mode: Caller<i32>) -> Answer {
    mode.put(LOADING_LAZY)
}

/// The name of what is looked for in a module. An empty one is no name.
fn symbol(name: Caller<c_char>) -> Answer<String> {
    let name = name.text()?;
    if name.is_empty() {
        return Err(Code::INVALID_VALUE);
    }
    Ok(name)
}

/// `cuModuleGetFunction`
pub(crate) fn module_get_function(hfunc: Caller<Handle>, hmod: Handle, name: Caller<c_char>) -> Answer {
    hfunc.required()?;
    let name = symbol(name)?;
    let (driver, module) = module(hmod)?;
    hfunc.put(module.function(driver, &name)?.handle)
}

/// `cuModuleGetFunctionCount`
pub(crate) fn module_get_function_count(count: Caller<u32>, hmod: Handle) -> Answer {
    count.required()?;
    let (driver, module) = module(hmod)?;
    count.put(u32::try_from(module.names(driver)?.len()).unwrap_or(u32::MAX))
}

/// `cuModuleEnumerateFunctions`
pub(crate) fn module_enumerate_functions(
    functions: Caller<Handle>,
    num_functions: u32,
    hmod: Handle,
) -> Answer {
    functions.required()?;
    let (driver, module) = module(hmod)?;
    for (index, name) in module
        .names(driver)?
        .iter()
        .take(num_functions as usize)
        .enumerate()
    {
        functions.put_at(index, module.function(driver, name)?.handle)?;
    }
    Ok(())
}

/// `cuModuleGetGlobal`
pub(crate) fn module_get_global(
    dptr: Caller<u64>,
    bytes: Caller<usize>,
    hmod: Handle,
    name: Caller<c_char>,
) -> Answer {
    let name = symbol(name)?;
    let (driver, module) = module(hmod)?;
    if dptr.is_null() && bytes.is_null() {
        return Err(Code::INVALID_VALUE);
    }
    let (address, length) = module.global(driver, &name)?;
    dptr.put_if_wanted(address);
    bytes.put_if_wanted(usize::try_from(length).unwrap_or(usize::MAX));
    Ok(())
}
