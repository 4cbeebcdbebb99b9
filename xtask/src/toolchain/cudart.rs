//! Links our runtime library once per major version of the runtime API.
//!
//! A program that the vendor's compiler built against `libcudart.so.13` names that file and asks for each function in the ELF version node
//! `libcudart.so.13`. So the same static library becomes one shared library per version, with that SONAME and that node, and with a
//! constant that tells the code which one it is. Which functions are exported comes from the table of the crate.
//!
//! The same library with that constant in it is also laid out as an archive per version, for programs that are linked again:
//! `static/VERSION/libcudart_static.a`.

use crate::sh;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Versions of the runtime API that are linked, as their libraries' names end, the newest last.
const VERSIONS: [&str; 3] = ["11.0", "12", "13"];

/// The major version.
fn major(version: &str) -> Result<u32> {
    let text = version.split('.').next().unwrap_or(version);
    text.parse().with_context(|| format!("{version} is no version"))
}

/// Links `libtessera_libcudart.a` in `built` into `libcudart.so.*` in `libraries`; `libcudart.so` points to the newest.
pub(crate) fn link_cudart(built: &Path, libraries: &Path) -> Result<()> {
    let work = tempfile::tempdir()?;
    let archive = built.join("libtessera_libcudart.a");
    for version in VERSIONS {
        let major = major(version)?;
        let name = format!("libcudart.so.{version}");
        let (source, object) = (work.path().join("major.c"), work.path().join("major.o"));
        fs::write(
            &source,
            format!("__attribute__((visibility(\"hidden\"))) const int tessera_cudart_major = {major};\n"),
        )?;
        sh::text(
            Command::new("cc")
                .args(["-c", "-fPIC", "-O2", "-o"])
                .arg(&object)
                .arg(&source),
        )?;
        let map = work.path().join("exports.map");
        let exports = exports(major)?;
        fs::write(&map, version_script(&name, &exports)?)?;
        link_shared(&archive, &object, &name, &map, &libraries.join(&name))?;
        archive_with(&archive, &object, &exports, &archive_of(libraries, version))?;
    }
    let link = libraries.join("libcudart.so");
    if !link.exists() {
        let newest = VERSIONS[VERSIONS.len() - 1];
        symlink(format!("libcudart.so.{newest}"), &link)?;
    }
    Ok(())
}

/// Makes a shared library of a whole archive and one more part, a source or an object: with this name, exporting what `map` says. A
/// library that is in use there keeps its file.
pub(super) fn link_shared(archive: &Path, part: &Path, name: &str, map: &Path, to: &Path) -> Result<()> {
    let fresh = to.with_extension("new");
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
            .arg(archive)
            .arg("-Wl,--no-whole-archive")
            .arg(part)
            .args(["-lgcc_s", "-lpthread", "-ldl", "-lm", "-lc"]),
    )?;
    fs::rename(&fresh, to).with_context(|| format!("cannot put {name} in place"))
}

/// Where the archive of a version lies.
pub(super) fn archive_of(libraries: &Path, version: &str) -> PathBuf {
    libraries.join("static").join(version).join("libcudart_static.a")
}

/// An archive of one object: all of another archive and one more object, with nothing but the exported functions to be seen, so that
/// nothing of it meets what the program has of the same name.
fn archive_with(archive: &Path, object: &Path, exports: &[String], to: &Path) -> Result<()> {
    let directory = to.parent().context("an archive lies in a directory")?;
    fs::create_dir_all(directory)?;
    let (whole, seen) = (
        object.with_file_name("cudart.o"),
        object.with_file_name("exports.txt"),
    );
    fs::write(&seen, exports.join("\n"))?;
    sh::text(
        Command::new("ld")
            .args(["-r", "--whole-archive"])
            .arg(archive)
            .arg("--no-whole-archive")
            .arg(object)
            .arg("-o")
            .arg(&whole),
    )?;
    // The standard library brings its intermediate code along, which tools with a plugin for it read in place of the code.
    let mut only = Command::new("objcopy");
    only.args(["--remove-section=.llvmbc", "--remove-section=.llvmcmd"]);
    only.arg(format!("--keep-global-symbols={}", seen.display()))
        .arg("--strip-debug");
    sh::text(only.arg(&whole))?;
    let fresh = to.with_extension("new");
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    sh::text(Command::new("ar").arg("rcs").arg(&fresh).arg(&whole))?;
    fs::rename(&fresh, to).with_context(|| format!("cannot put {} in place", to.display()))
}

/// Checks that a library exports every function that the headers of its version declare, in both forms where there are two.
/// Answers how many those are.
pub(super) fn check_exports(library: &Path, header: &Path) -> Result<usize> {
    let text = fs::read_to_string(header).with_context(|| format!("cannot read {}", header.display()))?;
    let names = declared(&text);
    ensure!(
        names.len() > 250,
        "{} declares {} functions",
        header.display(),
        names.len()
    );
    let symbols = sh::text(Command::new("nm").args(["-D", "--defined-only"]).arg(library))?;
    let exported: BTreeSet<&str> = symbols
        .lines()
        .filter_map(|line| line.split(' ').next_back())
        .map(|name| name.split('@').next().unwrap_or(name))
        .collect();
    let missing: Vec<&String> = names
        .iter()
        .filter(|name| !exported.contains(name.as_str()))
        .collect();
    ensure!(missing.is_empty(), "{} lacks {missing:?}", library.display());
    Ok(names.len())
}

/// Names of the functions that a header declares for the host, and the other names that its macros give them.
fn declared(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let word = |text: &str| -> String {
        text.chars()
            .take_while(|letter| letter.is_alphanumeric() || *letter == '_')
            .collect()
    };
    for line in text.lines() {
        if line.trim_start().starts_with("extern __host__")
            && let Some(at) = line.find(" cuda").filter(|_| line.contains('('))
        {
            let before = line.split('(').next().unwrap_or(line);
            let name = before
                .rsplit([' ', '*'])
                .find(|part| part.starts_with("cuda"))
                .unwrap_or(&line[at + 1..]);
            names.insert(word(name));
        }
        for (form, suffix) in [
            ("__CUDART_API_PTSZ(cuda", "_ptsz"),
            ("__CUDART_API_PTDS(cuda", "_ptds"),
        ] {
            if let Some((_, rest)) = line.split_once(form) {
                let name = word(rest);
                names.insert(format!("cuda{name}"));
                names.insert(format!("cuda{name}{suffix}"));
            }
        }
    }
    names
}

/// Names of all functions of the table that a version has.
fn exports(major: u32) -> Result<Vec<String>> {
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
        if row
            .get("last")
            .and_then(toml::Value::as_integer)
            .is_some_and(|last| i64::from(major) > last)
        {
            continue;
        }
        names.push(name.to_owned());
        if let Some(suffix) = row.get("per_thread").and_then(toml::Value::as_str) {
            names.push(format!("{name}_{suffix}"));
        }
    }
    Ok(names)
}

/// One version node with all functions; everything else is local to the library.
pub(super) fn version_script(node: &str, exports: &[String]) -> Result<String> {
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
        let names = exports(13)?;
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

    #[test]
    fn what_ended_with_a_version_is_not_in_later_ones() -> Result<()> {
        let has =
            |major| Ok::<_, anyhow::Error>(exports(major)?.iter().any(|name| name == "cudaBindTexture"));
        assert!(has(11)? && !has(12)? && !has(13)?);
        Ok(())
    }

    #[test]
    fn declarations_are_found_in_all_their_forms() {
        let header = "extern __host__ __cudart_builtin__ cudaError_t CUDARTAPI cudaFree(void *p);\n\
                      extern __host__ struct cudaChannelFormatDesc CUDARTAPI cudaCreateChannelDesc(int x);\n\
                      #define cudaLaunchKernel __CUDART_API_PTSZ(cudaLaunchKernel)\n";
        let names: Vec<String> = declared(header).into_iter().collect();
        assert_eq!(
            names,
            [
                "cudaCreateChannelDesc",
                "cudaFree",
                "cudaLaunchKernel",
                "cudaLaunchKernel_ptsz"
            ]
        );
    }
}
