//! Reads `runtime-api.toml` and writes an exported function for every row that is not implemented yet.
//!
//! Such a function ignores its arguments (which the C calling convention of x86-64 and AArch64 allows, all of them being
//! passed by the caller and cleaned up by the caller), says its name once on standard error and answers
//! `cudaErrorNotSupported`.

use serde::Deserialize;
use std::fmt::Write as _;
use std::path::PathBuf;

#[derive(Deserialize)]
struct Table {
    function: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    name: String,
    implemented: bool,
    per_thread: Option<String>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=runtime-api.toml");
    let table: Table = toml::from_str(&std::fs::read_to_string("runtime-api.toml")?)?;
    let mut text = String::new();
    for row in table.function.iter().filter(|row| !row.implemented) {
        let mut names = vec![row.name.clone()];
        names.extend(
            row.per_thread
                .as_ref()
                .map(|suffix| format!("{}_{suffix}", row.name)),
        );
        for name in names {
            writeln!(
                text,
                "#[unsafe(no_mangle)]\nextern \"C\" fn {name}() -> i32 {{\n    static SAID: AtomicBool = AtomicBool::new(false);\n    \
                 refuse(\"{name}\", &SAID)\n}}"
            )?;
        }
    }
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    std::fs::write(out.join("unsupported.rs"), text)?;
    Ok(())
}
