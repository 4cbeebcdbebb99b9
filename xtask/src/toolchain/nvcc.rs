//! The vendor's CUDA compiler.

use super::cuda12;
use super::environment::{PYTHON, done, is_done, remove, shown};
use crate::sh;
use anyhow::{Context, Result};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A compiler with the directory of the vendor's shared runtime that programs are linked against.
pub(super) struct Nvcc {
    /// Major version.
    pub(super) major: u32,
    program: PathBuf,
    runtime: PathBuf,
    flags: Vec<String>,
}

impl Nvcc {
    /// The compiler of CUDA 13.
    pub(super) fn cuda13() -> Result<Self> {
        PYTHON.ensure()?;
        let tree = PYTHON.libraries()?.join("nvidia/cu13");
        // Packages carry no unversioned links; the linker asks for one.
        let runtime = tree.join("lib");
        let link = runtime.join("libcudart.so");
        if !link.exists() {
            symlink("libcudart.so.13", &link).with_context(|| format!("cannot link {}", shown(&link)))?;
        }
        Ok(Self {
            major: 13,
            program: tree.join("bin/nvcc"),
            runtime,
            flags: Vec::new(),
        })
    }

    /// The compiler of CUDA 12, where the machine's package sources have it.
    pub(super) fn cuda12() -> Result<Option<Self>> {
        Ok(cuda12::ensure()?.map(|tree| Self {
            major: 12,
            program: tree.join("bin/nvcc"),
            runtime: tree.join("lib64"),
            // Its check of the host compiler's version is older than some hosts.
            flags: vec!["-allow-unsupported-compiler".to_owned()],
        }))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.flags);
        command
    }

    /// Compiles sources to a program that links the shared runtime and holds PTX only; an earlier result for the same sources and
    /// flags is used again. The path of the program ends with `name`.
    pub(super) fn program(&self, name: &str, sources: &[PathBuf], flags: &[&str]) -> Result<PathBuf> {
        let root = self.result(name, sources, flags)?;
        let program = root.join(name);
        if is_done(&root, "") {
            return Ok(program);
        }
        remove(&root)?;
        fs::create_dir_all(&root)?;
        let mut command = self.command();
        command
            .args(["-std=c++17", "-O2", "-gencode", &architecture(sources)?])
            .args(["-cudart", "shared", "-L"])
            .arg(&self.runtime)
            .args(flags)
            .args(sources)
            .arg("-o")
            .arg(&program);
        sh::text(&mut command)?;
        done(&root, "")?;
        Ok(program)
    }

    /// Compiles a source to a program with our runtime in it, from the archive.
    pub(super) fn relink(&self, source: &Path, archive: &Path, out: &Path) -> Result<()> {
        let sources = [source.to_path_buf()];
        let mut command = self.command();
        command
            .args([
                "-std=c++17",
                "-O2",
                "-gencode",
                &architecture(&sources)?,
                "-cudart",
                "none",
            ])
            .arg(source)
            .arg(archive)
            .args(["-lgcc_s", "-lpthread", "-ldl", "-lm", "-o"])
            .arg(out);
        sh::text(&mut command)?;
        Ok(())
    }

    /// The headers that declare the runtime API of this version.
    pub(super) fn headers(&self) -> Result<Vec<PathBuf>> {
        let header = |directory: PathBuf| directory.join("include/cuda_runtime_api.h");
        Ok(if self.major == 12 {
            let tree = self
                .program
                .parent()
                .and_then(Path::parent)
                .context("the compiler lies in a tree")?;
            ["python", "device-runtime"]
                .map(|part| header(tree.join(part).join("nvidia/cuda_runtime")))
                .into()
        } else {
            vec![header(PYTHON.libraries()?.join("nvidia/cu13"))]
        })
    }

    /// Compiles a source of others to PTX.
    pub(super) fn text(&self, source: &Path, include: &[PathBuf], out: &Path) -> Result<()> {
        let mut command = self.command();
        command.args(["-ptx", "-w", "-std=c++17", "-arch=compute_80"]);
        for directory in include {
            command.arg("-I").arg(directory);
        }
        sh::text(command.arg(source).arg("-o").arg(out))?;
        Ok(())
    }

    /// Directory for the result of a compilation, by the hash of all that goes into it.
    fn result(&self, name: &str, sources: &[PathBuf], flags: &[&str]) -> Result<PathBuf> {
        let mut hasher = DefaultHasher::new();
        (self.major, name, flags, PYTHON.packages).hash(&mut hasher);
        for source in with_headers(sources)? {
            let bytes = fs::read(&source).with_context(|| format!("cannot read {}", shown(&source)))?;
            bytes.hash(&mut hasher);
        }
        Ok(sh::cache().join(format!("programs/{:016x}", hasher.finish())))
    }
}

/// What to compile for: compute capability 8.0, or what the first source says in a line `// nvcc: compute_90`.
fn architecture(sources: &[PathBuf]) -> Result<String> {
    let text = match sources.first() {
        Some(source) => {
            fs::read_to_string(source).with_context(|| format!("cannot read {}", shown(source)))?
        }
        None => String::new(),
    };
    let named = text.lines().find_map(|line| line.strip_prefix("// nvcc: "));
    let architecture = named.unwrap_or("compute_80");
    Ok(format!("arch={architecture},code={architecture}"))
}

/// The sources and all headers of ours that they can include: those beside them, one directory up, and those of our programs.
fn with_headers(sources: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = sources.to_vec();
    let mut directories = vec![sh::root().join("tests/programs")];
    for source in sources {
        directories.extend(source.ancestors().skip(1).take(2).map(PathBuf::from));
    }
    directories.sort();
    directories.dedup();
    for directory in directories {
        for entry in fs::read_dir(&directory)? {
            let path = entry?.path();
            if path.extension().is_some_and(|e| e == "cuh" || e == "h") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Compiles a source to PTX and answers where it lies.
pub(crate) fn ptx(source: &Path) -> Result<PathBuf> {
    let nvcc = Nvcc::cuda13()?;
    let root = nvcc.result("ptx", &[source.to_path_buf()], &[])?;
    let out = root.join("module.ptx");
    if is_done(&root, "") {
        return Ok(out);
    }
    remove(&root)?;
    fs::create_dir_all(&root)?;
    let mut command = nvcc.command();
    command
        .args(["-ptx", "-std=c++17", "-arch=compute_80"])
        .arg(source)
        .arg("-o")
        .arg(&out);
    sh::text(&mut command)?;
    done(&root, "")?;
    Ok(out)
}
