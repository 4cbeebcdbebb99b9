//! Generates the exported symbols of the guest driver and the table behind `cuGetProcAddress`, as Rust source for a build script.
//!
//! ```text
//!   functions.toml ─▶ exports() ─┬─ one `extern "C"` function per symbol
//!                                │    handler present: crate::abi::entry(name, || crate::module::handler([default stream,] ...));
//!                                │                     entry_local where the class is local;
//!                                │                     crate::graph::capture::unsafe_call(), or ordered_call(), first where captures forbid it
//!                                │    otherwise:       crate::abi::unsupported(index)
//!                                ├─ UNSUPPORTED: names of the functions by index
//!                                └─ LOOKUP: rows of cuGetProcAddress, sorted by name
//! ```
//!
//! The including crate provides `crate::abi::{entry, entry_local, entry_before_init, unsupported, DefaultStream}`,
//! `crate::graph::capture::unsafe_call`, `crate::proc_address::{Address, Row}` and the types that parameters name in `crate::types`: `Handle`, C structs, and
//! `Caller<T>`, a pointer that came from the program and is checked where it is used.

use crate::functions::{Capture, Class, Entry, Function, TableError, functions};
use std::fmt::Write as _;

/// Source text with every exported symbol; to be included in a module of its own.
pub fn exports() -> Result<String, TableError> {
    let table = functions()?;
    let mut source = String::from("// Generated from functions.toml.\nuse crate::types::*;\n");
    let mut unsupported = Vec::new();
    for function in &table {
        for entry in &function.entries {
            emit(&mut source, function, entry, &mut unsupported);
        }
    }
    let _ = writeln!(
        source,
        "pub(crate) static UNSUPPORTED: [&str; {}] = [",
        unsupported.len()
    );
    for symbol in &unsupported {
        let _ = writeln!(source, "    \"{symbol}\",");
    }
    source.push_str("];\n");
    emit_lookup(&mut source, &table);
    Ok(source)
}

/// Every exported symbol, sorted.
pub fn symbols() -> Result<Vec<String>, TableError> {
    let mut symbols: Vec<String> = functions()?
        .into_iter()
        .flat_map(|function| function.entries.into_iter().map(|entry| entry.symbol))
        .collect();
    symbols.sort();
    Ok(symbols)
}

fn emit(source: &mut String, function: &Function, entry: &Entry, unsupported: &mut Vec<String>) {
    let symbol = &entry.symbol;
    let Some((handler, params)) = function.implementation(entry).and_then(|implementation| {
        implementation
            .handler
            .as_ref()
            .zip(implementation.params.as_ref())
    }) else {
        let _ = writeln!(
            source,
            "#[unsafe(no_mangle)]\npub unsafe extern \"C\" fn {symbol}() -> i32 {{ crate::abi::unsupported({}) }}",
            unsupported.len()
        );
        unsupported.push(symbol.clone());
        return;
    };
    let default = match (function.has_default_stream(entry), entry.per_thread) {
        (false, _) => "",
        (true, false) => "crate::abi::DefaultStream::Legacy, ",
        (true, true) => "crate::abi::DefaultStream::PerThread, ",
    };
    let names: Vec<&str> = params
        .split(", ")
        .filter_map(|param| param.split_once(':').map(|(name, _)| name.trim()))
        .collect();
    let gate = if function.before_init {
        "entry_before_init"
    } else if function.class == Class::Local {
        "entry_local"
    } else {
        "entry"
    };
    let safe = match function.capture {
        Capture::Ordered if !entry.per_thread => "crate::graph::capture::ordered_call().and_then(|()| ",
        Capture::Forbidden | Capture::Ordered => "crate::graph::capture::unsafe_call().and_then(|()| ",
        Capture::Allowed | Capture::Node | Capture::Checked => "(",
    };
    let _ = writeln!(
        source,
        "#[unsafe(no_mangle)]\npub unsafe extern \"C\" fn {symbol}({params}) -> i32 {{\n    \
         crate::abi::{gate}(\"{symbol}\", || {safe}crate::{handler}({default}{})))\n}}",
        names.join(", ")
    );
}

fn emit_lookup(source: &mut String, table: &[Function]) {
    let _ = writeln!(
        source,
        "pub(crate) static LOOKUP: [crate::proc_address::Row; {}] = [",
        table.len()
    );
    for function in table {
        let list = |per_thread: bool| {
            let mut entries: Vec<&Entry> = function
                .entries
                .iter()
                .filter(|entry| entry.lookup && entry.per_thread == per_thread)
                .collect();
            entries.sort_by_key(|entry| entry.since);
            let items: Vec<String> = entries
                .iter()
                .map(|entry| {
                    format!(
                        "({}, crate::proc_address::Address({} as *const std::ffi::c_void))",
                        entry.since, entry.symbol
                    )
                })
                .collect();
            items.join(", ")
        };
        let _ = writeln!(
            source,
            "    crate::proc_address::Row {{ name: \"{}\", plain: &[{}], per_thread: &[{}] }},",
            function.name,
            list(false),
            list(true)
        );
    }
    source.push_str("];\n");
}
