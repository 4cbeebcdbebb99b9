//! Modules: PTX texts, linked; their variables in frame buffer; their kernels, compiled when first asked for.

use crate::checking;
use crate::context::ContextCore;
use crate::holdings::Kind;
use std::any::Any;
use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tessera_device::{
    DeviceError, DevicePtr, Function, FunctionInfo, GlobalInfo, ImageReference, Module, ModuleLoaded,
    ModuleOptions, ParameterInfo, PtxText,
};
use tessera_engine::check::Origin;
use tessera_engine::texture::{HEADER_BYTES, Image, Sampler};
use tessera_engine::{CompileError, Program, Symbols};
use tessera_ptx::{
    FuncId, Id, LinkError, Linkage, Relocation, Space, Symbol, Type, TypeClass, VarId, Variable, Variant,
};

/// Code handles of functions (what `mov.u64 %rd, function` gives) are their numbers behind this; nothing is mapped there.
const CODE_BASE: u64 = 0x0000_0300_0000_0000;

/// Addresses of a module's symbols.
struct Layout {
    /// By number of the variable: where it lies in the module's block.
    variables: BTreeMap<VarId, u64>,
    /// Bytes of the block.
    bytes: u64,
    align: u64,
    base: DevicePtr,
    /// The same of managed variables, whose block is host memory that is given later.
    managed: BTreeMap<VarId, u64>,
    managed_bytes: u64,
    managed_base: OnceLock<DevicePtr>,
}

impl Layout {
    /// Places every variable that lives in device memory.
    fn new(module: &tessera_ptx::Module) -> Result<Self, DeviceError> {
        let mut layout = Self {
            variables: BTreeMap::new(),
            bytes: 0,
            align: 256,
            base: 0,
            managed: BTreeMap::new(),
            managed_bytes: 0,
            managed_base: OnceLock::new(),
        };
        for (id, variable) in module.vars.iter() {
            if !in_device_memory(variable) {
                continue;
            }
            let too_large = || DeviceError::InvalidPtx(format!("variable {} is too large", variable.name));
            let opaque = variable.ty.class() == TypeClass::Opaque;
            if opaque && !variable.dims.is_empty() {
                let text = format!("{}: arrays of texture references", variable.name);
                return Err(DeviceError::NotSupported(text));
            }
            let align = if opaque {
                HEADER_BYTES as u64
            } else {
                u64::from(variable.align.max(1))
            };
            let bytes = if variable.managed {
                &mut layout.managed_bytes
            } else {
                &mut layout.bytes
            };
            let at = bytes.checked_next_multiple_of(align).ok_or_else(too_large)?;
            // Every variable gets an address of its own, an empty one too.
            let size = if opaque {
                HEADER_BYTES as u64
            } else {
                variable.size.max(1)
            };
            *bytes = at.checked_add(size).ok_or_else(too_large)?;
            if variable.managed {
                layout.managed.insert(id, at);
                continue;
            }
            layout.align = layout.align.max(align);
            layout.variables.insert(id, at);
        }
        Ok(layout)
    }
}

fn in_device_memory(variable: &Variable) -> bool {
    matches!(variable.space, Space::Global | Space::Const) && variable.linkage != Linkage::Extern
}

impl Symbols for Layout {
    fn variable(&self, id: VarId) -> Option<u64> {
        match self.variables.get(&id) {
            Some(offset) => Some(self.base + offset),
            None => Some(self.managed_base.get()? + self.managed.get(&id)?),
        }
    }

    fn function(&self, id: FuncId) -> Option<u64> {
        Some(CODE_BASE + (id.index() as u64 + 1) * 16)
    }
}

/// A loaded module. Its block of variables goes with it.
pub(crate) struct SoftModule {
    context: Arc<ContextCore>,
    module: tessera_ptx::Module,
    layout: Layout,
    log_name: String,
    /// Registers of a thread at most, where the program said so.
    max_registers: Option<u32>,
    /// Kernels compiled so far.
    compiled: Mutex<BTreeMap<String, Arc<Compiled>>>,
    this: std::sync::Weak<Self>,
}

impl Drop for SoftModule {
    fn drop(&mut self) {
        if let Some(checker) = &self.context.checker {
            for (_, info) in self.globals_of(self.layout.variables.keys()) {
                checker.freed(info.address);
            }
        }
        if self.layout.base != 0
            && let Err(error) = self.context.remove(self.layout.base, Kind::Internal)
        {
            // The context was closed and has given everything back.
            tracing::trace!(%error, "variables of a module are gone already");
        }
    }
}

/// Functions of the CUDA device runtime.
const DEVICE_RUNTIME: &str = include_str!("device_runtime.ptx");

/// Adds the device runtime where a module calls a function of it that nobody defines.
fn add_device_runtime(modules: &mut Vec<tessera_ptx::Module>) -> Result<(), DeviceError> {
    let runtime = tessera_ptx::parse_module(DEVICE_RUNTIME.as_bytes())
        .map_err(|error| DeviceError::InvalidPtx(format!("device runtime: {error}")))?;
    let supplied = |name: &str| runtime.funcs.iter().any(|(_, func)| *func.name == *name);
    let called = modules
        .iter()
        .flat_map(|module| module.funcs.iter())
        .any(|(_, func)| !func.defined && supplied(&func.name));
    if called {
        modules.push(runtime);
    }
    Ok(())
}

/// Parses, links, places and initialises.
pub(crate) fn load(
    context: &Arc<ContextCore>,
    texts: &[PtxText<'_>],
    options: &ModuleOptions,
) -> Result<ModuleLoaded, DeviceError> {
    if texts.is_empty() {
        return Err(DeviceError::InvalidValue("a module without a text".to_owned()));
    }
    let mut modules = texts
        .iter()
        .map(|text| parse(context, text))
        .collect::<Result<Vec<_>, _>>()?;
    if modules
        .iter()
        .any(|module| module.funcs.iter().any(|(_, func)| !func.defined))
    {
        add_device_runtime(&mut modules)?;
    }
    let module = tessera_ptx::link(modules, tessera_engine::SUPPLIED).map_err(|error| match error {
        LinkError::Body(error) => DeviceError::InvalidPtx(error.to_string()),
        _ => DeviceError::Link(error.to_string()),
    })?;
    let mut layout = Layout::new(&module)?;
    if layout.bytes > 0 {
        layout.base = context.alloc(layout.bytes, layout.align, Kind::Internal)?;
    }
    let log_name = texts.iter().map(|text| text.name).collect::<Vec<_>>().join(", ");
    let loaded = Arc::new_cyclic(|this| SoftModule {
        context: Arc::clone(context),
        module,
        layout,
        log_name,
        max_registers: options.max_registers,
        compiled: Mutex::default(),
        this: this.clone(),
    });
    if loaded.layout.managed.is_empty() {
        loaded.initialise(loaded.layout.variables.keys())?;
        loaded.tell_checker();
    }
    let log = format!(
        "{}: {} kernels, {} bytes of variables\n",
        loaded.log_name,
        loaded.module.entries().count(),
        loaded.layout.bytes
    );
    Ok(ModuleLoaded { module: loaded, log })
}

/// Parses a text with the bodies of its functions, so that what is no PTX is refused here and not when a kernel of it is asked for. What
/// is PTX and not executed is refused then: of a module the other kernels work. Linking forgets the bodies again.
pub(crate) fn parse(context: &ContextCore, text: &PtxText<'_>) -> Result<tessera_ptx::Module, DeviceError> {
    let invalid = |error: tessera_ptx::Error| DeviceError::InvalidPtx(format!("{}: {error}", text.name));
    let parsed = tessera_ptx::parse_module(text.text).map_err(invalid)?;
    check_target(context, text.name, &parsed)?;
    for (id, _) in parsed.funcs.iter().filter(|(_, func)| func.defined) {
        parsed.body(id).map_err(invalid)?;
    }
    Ok(parsed)
}

/// Newest PTX ISA that the front end knows.
const NEWEST_PTX: (u8, u8) = (9, 9);

fn check_target(context: &ContextCore, name: &str, module: &tessera_ptx::Module) -> Result<(), DeviceError> {
    if module.version > NEWEST_PTX {
        let (major, minor) = module.version;
        return Err(DeviceError::UnsupportedPtxVersion(format!(
            "{name}: .version {major}.{minor}"
        )));
    }
    let (major, minor) = context.shared.compute_capability;
    let have = major * 10 + minor;
    let target = &module.target;
    let runs = match target.variant {
        Variant::Portable => target.sm <= have,
        Variant::Specific => target.sm == have,
        Variant::Family => target.sm <= have && target.sm / 10 == have / 10,
    };
    if runs {
        return Ok(());
    }
    let suffix = match target.variant {
        Variant::Portable => "",
        Variant::Specific => "a",
        Variant::Family => "f",
    };
    let text = format!(
        "{name}: .target sm_{}{suffix}, the device is {major}.{minor}",
        target.sm
    );
    Err(DeviceError::NoBinaryForGpu(text))
}

impl SoftModule {
    /// Variables are known to the checks by name. They are initialised, to zero where they do not say otherwise.
    fn tell_checker(&self) {
        let Some(checker) = &self.context.checker else {
            return;
        };
        // Managed ones are in memory that it knows as the host's.
        for (name, info) in self.globals_of(self.layout.variables.keys()) {
            checker.allocated(checking::unseen(
                info.address,
                info.bytes,
                Origin::Variable,
                Some(name),
            ));
        }
    }

    /// Writes the initial values of variables, addresses included.
    fn initialise<'a>(&self, variables: impl Iterator<Item = &'a VarId>) -> Result<(), DeviceError> {
        for &id in variables {
            let variable = &self.module.vars[id];
            let Some(address) = self.layout.variable(id) else {
                continue;
            };
            if !variable.opaque_init.is_empty() {
                self.initialise_sampler(variable, address)?;
            }
            let Some(init) = &variable.init else { continue };
            let mut bytes = init.bytes.clone();
            for relocation in &init.relocations {
                self.relocate(variable, relocation, &mut bytes)?;
            }
            let size = usize::try_from(variable.size).unwrap_or(usize::MAX);
            bytes.truncate(size);
            let written = self.context.space.write_bytes(address, &bytes);
            written.map_err(|fault| DeviceError::InvalidValue(format!("the context was closed: {fault}")))?;
        }
        Ok(())
    }

    /// A sampler that the text describes. Textures are described by the host.
    fn initialise_sampler(&self, variable: &Variable, address: u64) -> Result<(), DeviceError> {
        if variable.ty != Type::SamplerRef {
            let text = format!("initial value of .{} {}", variable.ty, variable.name);
            return Err(DeviceError::NotSupported(text));
        }
        let sampler = Sampler::of_fields(&variable.opaque_init)
            .map_err(|field| DeviceError::InvalidPtx(format!("{}: {field}", variable.name)))?;
        let header = Image::sampler_only(sampler).encode();
        let written = self.context.space.write_bytes(address, &header);
        written.map_err(|fault| DeviceError::InvalidValue(format!("the context was closed: {fault}")))
    }

    fn relocate(
        &self,
        variable: &Variable,
        relocation: &Relocation,
        bytes: &mut Vec<u8>,
    ) -> Result<(), DeviceError> {
        let invalid =
            |what: &str| DeviceError::InvalidPtx(format!("initial value of {}: {what}", variable.name));
        let address = match relocation.target {
            Symbol::Var(id) => self.layout.variable(id).ok_or_else(|| {
                let name = &self.module.vars[id].name;
                DeviceError::Link(format!(
                    "{name}, used by the initial value of {}, is not defined",
                    variable.name
                ))
            })?,
            Symbol::Func(id) => self.layout.function(id).unwrap_or(0),
            _ => return Err(invalid("the address of something local")),
        };
        let value = address.wrapping_add_signed(relocation.addend) >> u32::from(relocation.shift).min(63);
        let width = usize::from(relocation.width).min(8);
        let from = usize::try_from(relocation.offset).map_err(|_| invalid("an address too far inside"))?;
        let end = from
            .checked_add(width)
            .ok_or_else(|| invalid("an address too far inside"))?;
        if end as u64 > variable.size {
            return Err(invalid("an address beyond its end"));
        }
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        bytes[from..end].copy_from_slice(&value.to_le_bytes()[..width]);
        Ok(())
    }

    /// Variables that the host can ask for by name.
    fn globals(&self) -> impl Iterator<Item = (&str, GlobalInfo)> {
        self.globals_of(self.layout.variables.keys().chain(self.layout.managed.keys()))
    }

    fn globals_of<'a>(
        &'a self,
        ids: impl Iterator<Item = &'a VarId>,
    ) -> impl Iterator<Item = (&'a str, GlobalInfo)> {
        ids.filter_map(|&id| {
            let variable = &self.module.vars[id];
            if variable.ty.class() == TypeClass::Opaque {
                return None;
            }
            let info = GlobalInfo {
                address: self.layout.variable(id)?,
                bytes: variable.size,
            };
            Some((&*variable.name, info))
        })
    }

    fn compile(&self, id: FuncId) -> Result<Compiled, DeviceError> {
        let code = &self.context.shared.code;
        let program = tessera_engine::compile_with(&self.module, id, &self.layout, code)
            .map_err(|error| compile_error(&error))?;
        let function = &self.module.funcs[id];
        let resources = program.resources();
        let constants = self
            .module
            .vars
            .iter()
            .filter(|(_, variable)| variable.space == Space::Const);
        let const_bytes: u64 = constants.map(|(_, variable)| variable.size).sum();
        let info = FunctionInfo {
            name: function.name.to_string(),
            parameters: resources
                .params
                .iter()
                .map(|param| ParameterInfo {
                    offset: param.offset,
                    size: param.size,
                })
                .collect(),
            parameter_bytes: resources.param_bytes,
            max_threads_per_block: resources.max_threads,
            shared_bytes: resources.static_shared,
            const_bytes: u32::try_from(const_bytes).unwrap_or(u32::MAX),
            local_bytes: resources.local,
            registers: self
                .max_registers
                .map_or(resources.registers, |most| resources.registers.min(most)),
            ptx_version: self.module.target.sm,
            binary_version: self.context.shared.compute_capability.0 * 10
                + self.context.shared.compute_capability.1,
        };
        Ok(Compiled {
            program: Arc::new(program),
            info,
        })
    }
}

fn compile_error(error: &CompileError) -> DeviceError {
    match error {
        CompileError::NotAnEntry(_) => DeviceError::NotFound(error.to_string()),
        CompileError::Undefined { .. } => DeviceError::Link(error.to_string()),
        CompileError::Unsupported { .. } | CompileError::TooLarge { .. } => {
            DeviceError::NotSupported(error.to_string())
        }
        _ => DeviceError::InvalidPtx(error.to_string()),
    }
}

impl Module for SoftModule {
    fn function_names(&self) -> Vec<String> {
        self.module
            .entries()
            .map(|(_, function)| function.name.to_string())
            .collect()
    }

    fn function(&self, name: &str) -> Result<Arc<dyn Function>, DeviceError> {
        let Some(this) = self.this.upgrade() else {
            return Err(DeviceError::NotFound(format!(
                "kernel {name} of a module that is going"
            )));
        };
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        let kernel = match compiled.get(name) {
            Some(kernel) => Arc::clone(kernel),
            None => {
                let found = self
                    .module
                    .entries()
                    .find(|(_, function)| &*function.name == name);
                let (id, _) = found.ok_or_else(|| DeviceError::NotFound(format!("kernel {name}")))?;
                let kernel = Arc::new(self.compile(id)?);
                compiled.insert(name.to_owned(), Arc::clone(&kernel));
                kernel
            }
        };
        Ok(Arc::new(SoftFunction {
            module: this,
            compiled: kernel,
            pace: Arc::default(),
        }))
    }

    fn global_names(&self) -> Vec<String> {
        self.globals().map(|(name, _)| name.to_owned()).collect()
    }

    fn managed_bytes(&self) -> u64 {
        self.layout.managed_bytes
    }

    fn place_managed(&self, address: DevicePtr, initialise: bool) -> Result<(), DeviceError> {
        if self.layout.managed.is_empty() || self.layout.managed_base.set(address).is_err() {
            let text = "a module without managed variables, or whose variables have a place".to_owned();
            return Err(DeviceError::InvalidValue(text));
        }
        self.initialise(self.layout.variables.keys())?;
        if initialise {
            self.initialise(self.layout.managed.keys())?;
        }
        self.tell_checker();
        Ok(())
    }

    fn image_reference(&self, name: &str) -> Option<ImageReference> {
        self.layout.variables.iter().find_map(|(&id, offset)| {
            let variable = &self.module.vars[id];
            let surface = match variable.ty {
                Type::TexRef => false,
                Type::SurfRef => true,
                _ => return None,
            };
            (&*variable.name == name).then_some(ImageReference {
                place: self.layout.base + offset,
                surface,
            })
        })
    }

    fn global(&self, name: &str) -> Option<GlobalInfo> {
        self.globals()
            .find(|global| global.0 == name)
            .map(|global| global.1)
    }
}

/// A kernel, ready to run.
struct Compiled {
    program: Arc<Program>,
    info: FunctionInfo,
}

/// A kernel of a module, which it keeps loaded.
pub(crate) struct SoftFunction {
    module: Arc<SoftModule>,
    compiled: Arc<Compiled>,
    pace: Arc<AtomicU64>,
}

impl SoftFunction {
    /// Nanoseconds that a thread of it took when it last ran, times 1024; 0 when that is not known. A guess for the next launch.
    pub(crate) const fn pace(&self) -> &Arc<AtomicU64> {
        &self.pace
    }

    pub(crate) fn program(&self) -> &Arc<Program> {
        &self.compiled.program
    }

    pub(crate) fn context_id(&self) -> u64 {
        self.module.context.id
    }
}

impl Function for SoftFunction {
    fn info(&self) -> &FunctionInfo {
        &self.compiled.info
    }

    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linkers_know_what_the_device_runtime_has() {
        let runtime = tessera_ptx::parse_module(DEVICE_RUNTIME.as_bytes()).unwrap();
        let names: Vec<&str> = runtime.funcs.values().map(|func| &*func.name).collect();
        assert_eq!(names, tessera_ptx::DEVICE_RUNTIME);
    }
}
