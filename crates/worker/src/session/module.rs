//! Modules, functions, variables.
//!
//! Images are copied out of the aperture once, unpacked and compiled on the session's own dispatcher: a guest that compiles for
//! long holds up only itself.

use super::objects::{Kind, ModuleObject, Object};
use super::{Answer, Guest};
use crate::images::{self, Text};
use crate::refusal::{Refusal, cut};
use std::sync::Arc;
use std::time::Instant;
use tessera_device::{ModuleLoaded, ModuleOptions, PtxText};
use tessera_wire::messages::{
    FunctionGet, FunctionGetReply, FunctionList, FunctionListReply, GlobalGet, GlobalGetReply, LinkCheck,
    LinkCheckReply, ModuleLoad, ModuleLoadReply, ModuleManaged, ModuleManagedReply,
};
use tessera_wire::{CudaCode, LINK_APART, MANAGED_INITIALISED, NameList, Parameter, ParameterList};

fn count(items: usize) -> u32 {
    u32::try_from(items).unwrap_or(u32::MAX)
}

fn name(tail: &[u8]) -> Result<&str, Refusal> {
    std::str::from_utf8(tail).map_err(|_| Refusal::new(CudaCode::NotFound, "The name is not UTF-8"))
}

/// What the images of a message became.
struct Compiled {
    loaded: ModuleLoaded,
    log: Vec<u8>,
    /// Of all texts.
    bytes: u64,
}

fn borrowed(text: &Text) -> PtxText<'_> {
    PtxText {
        name: &text.name,
        text: &text.text,
    }
}

impl Guest {
    pub(super) fn module_load(&mut self, message: &ModuleLoad, tail: &[u8]) -> Answer<ModuleLoad> {
        self.objects
            .check_new(message.module, Kind::Module, self.vgpu.limits.modules)?;
        let compiled = self.compile(message.context, message.max_registers, tail)?;
        let loaded = compiled.loaded;
        if loaded.module.managed_bytes() > 0 && !self.vgpu.config.enable_uvm {
            let reason = "The module has managed variables, and managed memory is not enabled for this vGPU; `tessera vgpu create --enable-uvm` \
                          makes one that has it";
            return Err(Refusal::new(CudaCode::NotSupported, reason));
        }
        let reply = ModuleLoadReply {
            functions: count(loaded.module.function_names().len()),
            globals: count(loaded.module.global_names().len()),
        };
        let module = ModuleObject {
            context: message.context,
            module: loaded.module,
            bytes: compiled.bytes,
            functions: Vec::new(),
        };
        self.objects.insert(message.module, Object::Module(module));
        Ok((reply, compiled.log))
    }

    pub(super) fn link_check(&self, message: &LinkCheck, tail: &[u8]) -> Answer<LinkCheck> {
        if message.flags & !LINK_APART != 0 {
            return Err(Refusal::invalid(format!("Flags {:#x} of a link", message.flags)));
        }
        if message.flags & LINK_APART != 0 {
            let context = self.objects.context(message.context)?;
            for text in self.texts(tail)? {
                context.device.check_module(&borrowed(&text))?;
            }
            return Ok((LinkCheckReply::default(), Vec::new()));
        }
        let compiled = self.compile(message.context, message.max_registers, tail)?;
        let module = compiled.loaded.module;
        let reply = LinkCheckReply {
            functions: count(module.function_names().len()),
            globals: count(module.global_names().len()),
        };
        Ok((reply, compiled.log))
    }

    /// The texts of a message's images that this device takes.
    fn texts(&self, tail: &[u8]) -> Result<Vec<Text>, Refusal> {
        let limit = self.vgpu.limits.image_bytes;
        let images = images::fetch(&self.channel, tail, limit)?;
        let (major, minor) = self.vgpu.device.properties().compute_capability;
        images::texts(&images, (major, minor), limit).inspect_err(|refusal| {
            tracing::warn!(session = self.info.id, %refusal, "module is refused");
        })
    }

    /// Compiles the images of a message; the log is cut to what a reply holds.
    fn compile(&self, context: u64, max_registers: u32, tail: &[u8]) -> Result<Compiled, Refusal> {
        let context = self.objects.context(context)?;
        let started = Instant::now();
        let texts = self.texts(tail)?;
        let bytes = texts.iter().map(|text| text.text.len() as u64).sum();
        let most = self.vgpu.limits.module_bytes;
        if self.objects.module_bytes().saturating_add(bytes) > most {
            let reason = format!("The modules of this session have more than {most} bytes of PTX");
            return Err(Refusal::new(CudaCode::OutOfMemory, reason));
        }
        let texts: Vec<_> = texts.iter().map(borrowed).collect();
        let options = ModuleOptions {
            max_registers: (max_registers > 0).then_some(max_registers),
        };
        let loaded = context.device.load_module(&texts, &options)?;
        tracing::debug!(
            session = self.info.id,
            texts = texts.len(),
            bytes,
            elapsed = ?started.elapsed(),
            "module compiled"
        );
        let mut log = loaded.log.clone();
        cut(&mut log, self.channel.reply_capacity() / 2);
        Ok(Compiled {
            loaded,
            log: log.into_bytes(),
            bytes,
        })
    }

    pub(super) fn module_managed(&self, message: &ModuleManaged) -> Answer<ModuleManaged> {
        let module = &self.objects.module(message.module)?.module;
        let bytes = module.managed_bytes();
        if message.address != 0 {
            if message.flags & !MANAGED_INITIALISED != 0 || !self.host.is_allocated(message.address, bytes) {
                return Err(Refusal::invalid("Managed variables outside pinned memory"));
            }
            module.place_managed(message.address, message.flags & MANAGED_INITIALISED == 0)?;
        }
        Ok((ModuleManagedReply { bytes }, Vec::new()))
    }

    pub(super) fn module_unload(&mut self, handle: u64) {
        if self.objects.remove(handle, Kind::Module).is_none() {
            tracing::debug!(session = self.info.id, handle, "no such module to unload");
        }
    }

    pub(super) fn function_get(&mut self, message: &FunctionGet, tail: &[u8]) -> Answer<FunctionGet> {
        self.objects
            .check_new(message.function, Kind::Function, self.vgpu.limits.functions)?;
        let function = self
            .objects
            .module(message.module)?
            .module
            .function(name(tail)?)?;
        let info = function.info();
        let reply = FunctionGetReply {
            parameter_bytes: info.parameter_bytes,
            max_threads_per_block: info.max_threads_per_block,
            shared_bytes: info.shared_bytes,
            const_bytes: info.const_bytes,
            local_bytes: info.local_bytes,
            registers: info.registers,
            ptx_version: info.ptx_version,
            binary_version: info.binary_version,
        };
        let parameters = info
            .parameters
            .iter()
            .map(|parameter| Parameter {
                offset: parameter.offset,
                size: parameter.size,
            })
            .collect();
        let parameters = ParameterList(parameters).encode();
        self.objects
            .insert(message.function, Object::Function(Arc::clone(&function)));
        if let Some(module) = self.objects.module_mut(message.module) {
            module.functions.push(message.function);
        }
        Ok((reply, parameters))
    }

    pub(super) fn function_list(&self, message: &FunctionList) -> Answer<FunctionList> {
        let names = self.objects.module(message.module)?.module.function_names();
        let total = count(names.len());
        // Four bytes for each length; a name longer than a whole reply cannot be told and ends the list.
        let mut room = self.channel.reply_capacity() / 2;
        let first = usize::try_from(message.first).unwrap_or(usize::MAX);
        let page = names
            .into_iter()
            .skip(first)
            .take_while(|name| {
                let fits = name.len().saturating_add(4) <= room;
                room = room.saturating_sub(name.len().saturating_add(4));
                fits
            })
            .collect();
        Ok((
            FunctionListReply {
                total,
                ..FunctionListReply::default()
            },
            NameList(page).encode(),
        ))
    }

    pub(super) fn global_get(&self, message: &GlobalGet, tail: &[u8]) -> Answer<GlobalGet> {
        let name = name(tail)?;
        let global = self
            .objects
            .module(message.module)?
            .module
            .global(name)
            .ok_or_else(|| Refusal::new(CudaCode::NotFound, format!("No variable is called {name}")))?;
        let reply = GlobalGetReply {
            address: global.address,
            bytes: global.bytes,
        };
        Ok((reply, Vec::new()))
    }
}
