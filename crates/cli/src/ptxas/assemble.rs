//! From texts to one checked module: parse, verify every body, compare targets, link, compile every kernel as the device will.

use super::options::{Architecture, Flag, Options};
use super::says::{At, Fatal, Says};
use crate::commands::ptx::load::Places;
use std::collections::{HashMap, HashSet};
use tessera_engine::{CompileError, Resources, SUPPLIED};
use tessera_fatbin::Image;
use tessera_ptx::{FuncId, Id, LinkError, Linkage, Mod, Module, Space, Target, Type, Variant};

/// A text and what it is called.
pub(super) struct Text {
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
}

/// Checks the texts. What is wrong is said; what cannot be gone on from is returned.
pub(super) fn check(texts: &[Text], options: &Options, says: &mut Says) -> Result<(), Fatal> {
    let mut modules = Vec::new();
    for text in texts {
        if let Some(module) = parse(text, options, says) {
            modules.push(module);
        }
    }
    if says.errors > 0 || modules.is_empty() {
        return Ok(());
    }
    for module in &modules {
        compare_targets(&module.target, &options.architecture)?;
    }
    let Some(linked) = link(modules, texts, options, says)? else {
        return Ok(());
    };
    kernels(&linked, texts, options, says);
    Ok(())
}

fn parse(text: &Text, options: &Options, says: &mut Says) -> Option<Module> {
    let at = |line| {
        Some(At {
            file: &text.name,
            line,
        })
    };
    if Image::detect(&text.bytes) != Image::Ptx {
        let message = format!("Missing .version directive at start of file '{}'", text.name);
        says.fatal(at(1), &message);
        return None;
    }
    let describe = |error: &tessera_ptx::Error| match error.near() {
        "" => error.kind().to_string(),
        near => format!("{}, near '{near}'", error.kind()),
    };
    let module = match tessera_ptx::parse_module(text.bytes.as_slice()) {
        Ok(module) => module,
        Err(error) => {
            says.error(at(error.loc().line), &describe(&error));
            return None;
        }
    };
    for (id, _) in module.funcs.iter().filter(|(_, function)| function.defined) {
        match module.body(id) {
            Err(error) => says.error(at(error.loc().line), &describe(&error)),
            Ok(body) if options.has(Flag::WarnDouble) => {
                let doubles = body
                    .insts
                    .values()
                    .filter(|inst| inst.mods.contains(&Mod::Type(Type::F64)));
                for inst in doubles {
                    says.warning_at(
                        at(inst.loc.line),
                        "Program is doing double precision computations.",
                    );
                }
            }
            Ok(_) => {}
        }
    }
    Some(module)
}

/// Whether a text for one architecture runs on another.
fn compare_targets(target: &Target, architecture: &Architecture) -> Result<(), Fatal> {
    let to = &architecture.target;
    if target.sm > to.sm {
        let text = "SM version specified by .target is higher than default SM version assumed";
        return Err(Fatal(text.to_owned()));
    }
    let (fits, refusal) = match target.variant {
        Variant::Portable => (true, ""),
        Variant::Specific if target.sm == to.sm => (to.variant == Variant::Specific, ""),
        Variant::Specific => (false, "future architecture"),
        Variant::Family => (target.sm / 10 == to.sm / 10, "different SM-family architecture"),
    };
    let letter = match target.variant {
        Variant::Portable => "",
        Variant::Specific => "a",
        Variant::Family => "f",
    };
    let name = format!("sm_{}{letter}", target.sm);
    match (fits, refusal) {
        (true, _) => Ok(()),
        (false, "") => Err(Fatal(format!(
            "PTX with .target '{name}' cannot be compiled for architecture '{}'",
            architecture.name
        ))),
        (false, refusal) => Err(Fatal(format!(
            "Program with .target '{name}' cannot be compiled to {refusal}"
        ))),
    }
}

/// One module of all, with nothing undefined unless it is to be linked again.
fn link(
    modules: Vec<Module>,
    texts: &[Text],
    options: &Options,
    says: &mut Says,
) -> Result<Option<Module>, Fatal> {
    let functions = modules.iter().flat_map(|module| module.funcs.values());
    let functions: HashSet<String> = functions.map(|function| function.name.to_string()).collect();
    let variables = modules.iter().flat_map(|module| module.vars.values());
    let variables: Vec<String> = variables.map(|variable| variable.name.to_string()).collect();
    let mut supplied = SUPPLIED.to_vec();
    if options.has(Flag::Relocatable) {
        supplied.extend(functions.iter().chain(&variables).map(String::as_str));
    }
    let kind = |name: &str| {
        if functions.contains(name) {
            "function"
        } else {
            "variable"
        }
    };
    match tessera_ptx::link(modules, &supplied) {
        Ok(module) => Ok(Some(module)),
        Err(LinkError::Undefined { name, .. }) => {
            Err(Fatal(format!("Unresolved extern {} '{name}'", kind(&name))))
        }
        Err(LinkError::Duplicate { name, second, .. }) => {
            let file = texts.get(second.module).map_or("", |text| text.name.as_str());
            let at = At {
                file,
                line: second.loc.line,
            };
            says.error(
                Some(at),
                &format!("Duplicate definition of {} '{name}'", kind(&name)),
            );
            Ok(None)
        }
        Err(error) => {
            says.error(None, &error.to_string());
            Ok(None)
        }
    }
}

/// Compiles every kernel for what it uses.
fn kernels(module: &Module, texts: &[Text], options: &Options, says: &mut Says) {
    let files: HashMap<&str, &str> = module
        .funcs
        .values()
        .filter_map(|function| Some((&*function.name, texts.get(function.unit.index())?.name.as_str())))
        .collect();
    let mut used = Vec::new();
    let mut refused = Vec::new();
    for (id, function) in module.entries() {
        match tessera_engine::compile(module, id, &Places(module)) {
            Ok(program) => used.push((id, Some(program.resources().clone()))),
            // Linked later, with what defines it.
            Err(CompileError::Undefined { .. }) if options.has(Flag::Relocatable) => used.push((id, None)),
            Err(error) => refused.push((&*function.name, error)),
        }
    }
    // A module loads without the kernels that the device does not execute; they are refused when they are asked for. One that has no
    // other kernels is of no use.
    let useless = used.is_empty();
    for (kernel, error) in refused {
        let (at, text) = describe(kernel, &error, &files);
        if useless || !matches!(error, CompileError::Unsupported { .. }) {
            says.error(at, &text);
        } else {
            says.warning_at(at, &text);
        }
    }
    if says.errors == 0 {
        report(module, &used, options, says);
    }
}

/// Where and why a kernel cannot be executed.
fn describe<'a>(
    kernel: &str,
    error: &CompileError,
    files: &HashMap<&str, &'a str>,
) -> (Option<At<'a>>, String) {
    match error {
        CompileError::Unsupported {
            function,
            text,
            line,
            why,
        } => {
            let file = files.get(function.as_str()).copied();
            let at = file.map(|file| At { file, line: *line });
            (
                at,
                format!("Kernel '{kernel}' cannot be executed by this device: '{text}': {why}"),
            )
        }
        error => (None, error.to_string()),
    }
}

/// Says what the kernels use.
fn report(module: &Module, used: &[(FuncId, Option<Resources>)], options: &Options, says: &mut Says) {
    for (id, resources) in used {
        let name = &module.funcs[*id].name;
        let Some(resources) = resources else { continue };
        if resources.stack && !options.has(Flag::NoStackWarning) {
            says.warning(&format!(
                "Stack size for entry function '{name}' cannot be statically determined"
            ));
        }
        if resources.local > 0 && options.has(Flag::WarnLocal) {
            says.warning(&format!(
                "Local memory used for function '{name}', size of stack frame: {} bytes",
                resources.local
            ));
        }
    }
    if !options.has(Flag::Verbose) || options.architecture.is_virtual {
        return;
    }
    let bytes = |space| {
        let of = module
            .vars
            .values()
            .filter(move |variable| variable.space == space && variable.linkage != Linkage::Extern);
        of.map(|variable| variable.size).sum::<u64>()
    };
    let constant = match bytes(Space::Const) {
        0 => String::new(),
        constant => format!(", {constant} bytes cmem[3]"),
    };
    says.info(&format!("{} bytes gmem{constant}", bytes(Space::Global)));
    for (id, resources) in used {
        let name = &module.funcs[*id].name;
        let architecture = &options.architecture.name;
        says.info(&format!("Compiling entry function '{name}' for '{architecture}'"));
        let Some(resources) = resources else {
            says.info(&format!("What '{name}' uses is known when it is linked"));
            continue;
        };
        says.info(&format!("Function properties for {name}"));
        // Registers are not allocated, so none is spilled.
        says.more(&format!(
            "{} bytes stack frame, 0 bytes spill stores, 0 bytes spill loads",
            resources.local
        ));
        says.info(&usage(resources, options.max_registers));
    }
}

/// `Used N registers, ...`: the numbers that `cuFuncGetAttribute` answers.
fn usage(resources: &Resources, max_registers: u32) -> String {
    let most = if max_registers == 0 {
        u32::MAX
    } else {
        max_registers
    };
    let mut text = format!("Used {} registers", resources.registers.min(most));
    for (bytes, what) in [
        (resources.static_shared, "smem"),
        (resources.param_bytes, "cmem[0]"),
    ] {
        if bytes > 0 {
            text.push_str(&format!(", {bytes} bytes {what}"));
        }
    }
    text
}
