//! IR back to text.
//!
//! The text parses to the same program, with names of our own where scopes are flattened: registers become `%v<n>`, labels
//! `$L<n>`, and variables of a body are renamed when two have one name. Debugging sections are not printed.

mod body;
mod module;

pub(crate) use body::inst_text;
pub use body::print_body;
pub use module::print_module;

use std::fmt::Write;

use crate::module::{Param, Tuning};

/// `(.param .b32 a, ...)`
pub(crate) fn params(out: &mut String, params: &[Param]) {
    out.push('(');
    for (n, param) in params.iter().enumerate() {
        if n > 0 {
            out.push_str(", ");
        }
        one_param(out, param);
    }
    out.push(')');
}

fn one_param(out: &mut String, param: &Param) {
    out.push_str(if param.is_reg { ".reg" } else { ".param" });
    if !param.is_reg {
        put(out, format_args!(" .align {}", param.align));
    }
    if param.vector > 1 {
        put(out, format_args!(" .v{}", param.vector));
    }
    put(out, format_args!(" .{}", param.ty));
    if let Some(ptr) = param.ptr {
        out.push_str(" .ptr");
        if let Some(space) = ptr.space {
            put(out, format_args!(" .{space}"));
        }
        put(out, format_args!(" .align {}", ptr.align));
    }
    put(
        out,
        format_args!(" {}", if param.name.is_empty() { "_" } else { &param.name }),
    );
    match param.elements {
        Some(0) => out.push_str("[]"),
        Some(n) => put(out, format_args!("[{n}]")),
        None => {}
    }
}

/// The directives between header and body.
pub(crate) fn tuning(out: &mut String, tuning: &Tuning) {
    let triple = |out: &mut String, name: &str, value: Option<[u32; 3]>| {
        if let Some([x, y, z]) = value {
            put(out, format_args!(" .{name} {x}, {y}, {z}"));
        }
    };
    let single = |out: &mut String, name: &str, value: Option<u32>| {
        if let Some(value) = value {
            put(out, format_args!(" .{name} {value}"));
        }
    };
    triple(out, "maxntid", tuning.max_ntid);
    triple(out, "reqntid", tuning.req_ntid);
    triple(out, "reqnctapercluster", tuning.req_cta_per_cluster);
    single(out, "minnctapersm", tuning.min_cta_per_sm);
    single(out, "maxnctapersm", tuning.max_cta_per_sm);
    single(out, "maxnreg", tuning.max_regs);
    single(out, "maxclusterrank", tuning.max_cluster_rank);
    single(out, "abi_preserve", tuning.abi_preserve);
    single(out, "abi_preserve_control", tuning.abi_preserve_control);
    for (name, given) in [
        ("noreturn", tuning.noreturn),
        ("explicitcluster", tuning.explicit_cluster),
        ("blocksareclusters", tuning.blocks_are_clusters),
    ] {
        if given {
            put(out, format_args!(" .{name}"));
        }
    }
    for pragma in &tuning.pragmas {
        put(out, format_args!(" .pragma \"{pragma}\";"));
    }
}

/// Appends formatted text. Writing to a `String` cannot fail.
pub(crate) fn put(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(arguments);
}
