//! Module scope as text.

use super::put;
use crate::error::Error;
use crate::id::{FuncId, Id, VarId};
use crate::module::{
    FuncKind, Function, Initializer, Linkage, Module, Relocation, Symbol, Variable, Variant,
};
use crate::types::{Type, TypeClass};

/// The whole module as text. Bodies that are not parsed yet are parsed.
///
/// # Errors
/// The first error in a body.
pub fn print_module(module: &Module) -> Result<String, Error> {
    let mut out = String::new();
    preamble(&mut out, module);
    for (id, func) in module.funcs.iter() {
        if func.kind == FuncKind::Func || !func.defined {
            header(&mut out, module, id, func);
            out.push_str(";\n");
        }
    }
    for (id, var) in module.vars.iter() {
        put(&mut out, format_args!("{}", linkage(var.linkage)));
        variable(&mut out, module, var, &var_name(module, id));
    }
    // Functions before kernels, as they are declared above: so the order is the same when the text is parsed again.
    for kind in [FuncKind::Func, FuncKind::Entry] {
        for (id, func) in module
            .funcs
            .iter()
            .filter(|(_, func)| func.defined && func.kind == kind)
        {
            header(&mut out, module, id, func);
            out.push('\n');
            out.push_str(&super::print_body(module, id, module.body(id)?));
        }
    }
    for (id, func) in module.funcs.iter() {
        if let Some(target) = func.alias_of {
            put(
                &mut out,
                format_args!(
                    ".alias {}, {};\n",
                    func_name(module, id),
                    func_name(module, target)
                ),
            );
        }
    }
    Ok(out)
}

fn preamble(out: &mut String, module: &Module) {
    let target = &module.target;
    let variant = match target.variant {
        Variant::Portable => "",
        Variant::Specific => "a",
        Variant::Family => "f",
    };
    put(
        out,
        format_args!(
            ".version {}.{}\n.target sm_{}{variant}",
            module.version.0, module.version.1, target.sm
        ),
    );
    for (name, given) in [
        ("debug", target.debug),
        ("texmode_independent", target.texmode_independent),
        ("map_f64_to_f32", target.map_f64_to_f32),
    ] {
        if given {
            put(out, format_args!(", {name}"));
        }
    }
    put(out, format_args!("\n.address_size {}\n", module.address_bits));
    for file in &module.files {
        put(out, format_args!(".file {} \"{}\"\n", file.index, file.name));
    }
    for pragma in &module.pragmas {
        put(out, format_args!(".pragma \"{pragma}\";\n"));
    }
}

fn linkage(linkage: Linkage) -> &'static str {
    match linkage {
        Linkage::Static => "",
        Linkage::Visible => ".visible ",
        Linkage::Extern => ".extern ",
        Linkage::Weak => ".weak ",
        Linkage::Common => ".common ",
    }
}

fn header(out: &mut String, module: &Module, id: FuncId, func: &Function) {
    out.push_str(linkage(func.linkage));
    out.push_str(match func.kind {
        FuncKind::Entry => ".entry ",
        FuncKind::Func => ".func ",
    });
    if let Some((high, low)) = func.tuning.unified {
        put(out, format_args!(".attribute(.unified({high}, {low})) "));
    }
    if !func.rets.is_empty() {
        super::params(out, &func.rets);
        out.push(' ');
    }
    out.push_str(&func_name(module, id));
    out.push(' ');
    super::params(out, &func.params);
    super::tuning(out, &func.tuning);
}

/// The name of a function, made unique when a private one has the name of another.
pub(crate) fn func_name(module: &Module, id: FuncId) -> String {
    let func = &module.funcs[id];
    let clash = func.linkage == Linkage::Static && module.units.len() > 1 && {
        let others = module
            .funcs
            .iter()
            .filter(|(other, _)| *other != id)
            .map(|(_, other)| &other.name);
        others
            .chain(module.vars.values().map(|var| &var.name))
            .any(|name| *name == func.name)
    };
    if clash {
        format!("{}$f{}", func.name, id.index())
    } else {
        func.name.to_string()
    }
}

/// The name of a variable, made unique when a private one has the name of another.
pub(crate) fn var_name(module: &Module, id: VarId) -> String {
    let var = &module.vars[id];
    let clash = var.linkage == Linkage::Static && module.units.len() > 1 && {
        let others = module
            .vars
            .iter()
            .filter(|(other, _)| *other != id)
            .map(|(_, other)| &other.name);
        others
            .chain(module.funcs.values().map(|func| &func.name))
            .any(|name| *name == var.name)
    };
    if clash {
        format!("{}$v{}", var.name, id.index())
    } else {
        var.name.to_string()
    }
}

/// A variable declaration without its linkage.
pub(crate) fn variable(out: &mut String, module: &Module, var: &Variable, name: &str) {
    put(out, format_args!(".{}", var.space));
    if var.managed {
        out.push_str(" .attribute(.managed)");
    }
    if let Some((high, low)) = var.unified {
        put(out, format_args!(" .attribute(.unified({high}, {low}))"));
    }
    if var.ty.class() != TypeClass::Opaque {
        put(out, format_args!(" .align {}", var.align));
    }
    if var.vector > 1 {
        put(out, format_args!(" .v{}", var.vector));
    }
    put(out, format_args!(" .{} {name}", var.ty));
    for dim in &var.dims {
        if *dim == 0 {
            out.push_str("[]");
        } else {
            put(out, format_args!("[{dim}]"));
        }
    }
    if let Some(init) = &var.init {
        out.push_str(" = ");
        let mut dims = var.dims.to_vec();
        if var.vector > 1 {
            dims.push(u64::from(var.vector));
        }
        initializer(out, module, var.ty, init, &dims, 0);
    }
    if !var.opaque_init.is_empty() {
        let fields: Vec<String> = var
            .opaque_init
            .iter()
            .map(|(name, value)| format!("{name} = {value}"))
            .collect();
        put(out, format_args!(" = {{ {} }}", fields.join(", ")));
    }
    out.push_str(";\n");
}

/// The elements that the initialiser reaches, nested as the dimensions are.
fn initializer(out: &mut String, module: &Module, ty: Type, init: &Initializer, dims: &[u64], offset: u64) {
    let Some((count, inner)) = dims.split_first() else {
        return element(out, module, ty, init, offset);
    };
    let stride = inner
        .iter()
        .fold(u64::from(ty.bytes()), |size, dim| size.saturating_mul(*dim));
    let end = init.bytes.len() as u64;
    out.push('{');
    for n in 0..*count {
        let at = offset.saturating_add(n.saturating_mul(stride));
        if at >= end {
            break;
        }
        if n > 0 {
            out.push(',');
        }
        initializer(out, module, ty, init, inner, at);
    }
    out.push('}');
}

fn element(out: &mut String, module: &Module, ty: Type, init: &Initializer, offset: u64) {
    let first = init
        .relocations
        .partition_point(|relocation| relocation.offset < offset);
    if let Some(relocation) = init
        .relocations
        .get(first)
        .filter(|relocation| relocation.offset == offset)
    {
        return address(out, module, relocation);
    }
    let start = usize::try_from(offset).unwrap_or(usize::MAX);
    let mut bytes = [0u8; 8];
    let width = (ty.bytes() as usize).min(8);
    for (place, byte) in bytes.iter_mut().zip(init.bytes.iter().skip(start).take(width)) {
        *place = *byte;
    }
    let bits = u64::from_le_bytes(bytes);
    match ty {
        Type::F32 => put(out, format_args!("0f{bits:08X}")),
        Type::F64 => put(out, format_args!("0d{bits:016X}")),
        _ => put(out, format_args!("{bits}")),
    }
}

fn address(out: &mut String, module: &Module, relocation: &Relocation) {
    let name = match relocation.target {
        Symbol::Var(id) => module.vars.get(id).map(|_| var_name(module, id)),
        Symbol::Func(id) => module.funcs.get(id).map(|_| func_name(module, id)),
        Symbol::Local(_) | Symbol::Param(_) | Symbol::Ret(_) => None,
    };
    let mut text = name.unwrap_or_else(|| "?".to_owned());
    if relocation.generic {
        text = format!("generic({text})");
    }
    if relocation.addend != 0 {
        text = format!("{text}{:+}", relocation.addend);
    }
    if relocation.width == 1 {
        text = format!(
            "{:#x}({text})",
            0xffu64.checked_shl(u32::from(relocation.shift)).unwrap_or(0)
        );
    }
    out.push_str(&text);
}
