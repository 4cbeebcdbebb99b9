//! Links our runtime library once per major version of the runtime API.
//!
//! A program that the vendor's compiler built against `libcudart.so.13` names that file and asks for each function in the ELF version node
//! `libcudart.so.13`. So the same static library becomes one shared library per version, with that SONAME and that node, and with a
//! constant that tells the code which one it is. Which functions are exported comes from the table of the crate.

use crate::sh;
use anyhow::{Context, Result};
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

/// Major versions of the runtime API that are linked, the newest last.
const MAJORS: [u32; 2] = [12, 13];

/// Links `libtessera_libcudart.a` in `built` into `libcudart.so.*` in `libraries`; `libcudart.so` points to the newest.
pub(crate) fn link_cudart(built: &Path, libraries: &Path) -> Result<()> {
    let work = tempfile::tempdir()?;
    let exports = exports()?;
    let archive = built.join("libtessera_libcudart.a");
    for major in MAJORS {
        let name = format!("libcudart.so.{major}");
        let source = work.path().join("major.c");
        fs::write(
            &source,
            format!("__attribute__((visibility(\"hidden\"))) const int tessera_cudart_major = {major};\n"),
        )?;
        let map = work.path().join("exports.map");
        fs::write(&map, version_script(&name, &exports)?)?;
        let fresh = libraries.join(format!("{name}.new"));
        sh::text(
            Command::new("cc")
                .args(["-shared", "-fPIC", "-O2", "-o"])
                .arg(&fresh)
                .arg(format!("-Wl,-soname,{name}"))
                .arg(format!("-Wl,--version-script={}", map.display()))
                .args([
                    "-Wl,--no-undefined-version",
                    "-Wl,-z,defs",
                    "-Wl,--gc-sections",
                    "-Wl,--whole-archive",
                ])
                .arg(&archive)
                .arg("-Wl,--no-whole-archive")
                .arg(&source)
                .args(["-lgcc_s", "-lpthread", "-ldl", "-lm", "-lc"]),
        )?;
        fs::rename(&fresh, libraries.join(&name)).with_context(|| format!("cannot put {name} in place"))?;
    }
    let link = libraries.join("libcudart.so");
    if !link.exists() {
        let newest = MAJORS[MAJORS.len() - 1];
        symlink(format!("libcudart.so.{newest}"), &link)?;
    }
    Ok(())
}

/// Names of all functions of the table.
fn exports() -> Result<Vec<String>> {
    let path = sh::root().join("crates/libcudart/runtime-api.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let table: toml::Table = toml::from_str(&text)?;
    let mut names = Vec::new();
    let rows = table
        .get("function")
        .and_then(toml::Value::as_array)
        .context("the table has no functions")?;
    for row in rows {
        let name = row
            .get("name")
            .and_then(toml::Value::as_str)
            .context("a row has no name")?;
        names.push(name.to_owned());
        if let Some(suffix) = row.get("per_thread").and_then(toml::Value::as_str) {
            names.push(format!("{name}_{suffix}"));
        }
    }
    Ok(names)
}

/// One version node with all functions; everything else is local to the library.
fn version_script(node: &str, exports: &[String]) -> Result<String> {
    let mut text = format!("{node} {{\n  global:\n");
    for name in exports {
        writeln!(text, "    {name};")?;
    }
    text.push_str("  local: *;\n};\n");
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_has_one_node_and_hides_the_rest() -> Result<()> {
        let script = version_script("libcudart.so.13", &["cudaMalloc".to_owned()])?;
        assert_eq!(
            script,
            "libcudart.so.13 {\n  global:\n    cudaMalloc;\n  local: *;\n};\n"
        );
        Ok(())
    }

    #[test]
    fn the_table_has_second_forms() -> Result<()> {
        let names = exports()?;
        for name in [
            "cudaMalloc",
            "cudaMemcpyAsync_ptsz",
            "cudaMemcpy_ptds",
            "__cudaRegisterFatBinary",
        ] {
            assert!(names.iter().any(|listed| listed == name), "{name}");
        }
        Ok(())
    }
}
