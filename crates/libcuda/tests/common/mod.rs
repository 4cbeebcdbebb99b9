//! What the tests of the shared library share: finding it, opening it, running C programs against it.
#![allow(dead_code, reason = "every test uses a part of it")]

use std::ffi::{CString, c_void};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The shared library that cargo built beside this test.
pub(crate) fn library_path() -> PathBuf {
    let test = std::env::current_exe().expect("the test has a path");
    let deps = test.parent().expect("it lies in a directory");
    let name = "libtessera_libcuda.so";
    [
        deps.join(name),
        deps.parent().expect("deps has a parent").join(name),
    ]
    .into_iter()
    .find(|path| path.is_file())
    .expect("cargo builds the library before its tests")
}

/// The library, opened in this process.
pub(crate) struct Library(*mut c_void);

// SAFETY: a handle of the dynamic linker, which may be used from any thread.
unsafe impl Send for Library {}
// SAFETY: as above.
unsafe impl Sync for Library {}

impl Library {
    pub(crate) fn open() -> Self {
        let path =
            CString::new(library_path().into_os_string().into_encoded_bytes()).expect("a path without NUL");
        // SAFETY: opening the library runs no code of ours but constructors of the Rust runtime.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        assert!(!handle.is_null(), "the library opens");
        Self(handle)
    }

    /// The address of a symbol; null where there is none.
    pub(crate) fn symbol(&self, name: &str) -> *mut c_void {
        let name = CString::new(name).expect("a name without NUL");
        // SAFETY: the handle is open; it is never closed.
        unsafe { libc::dlsym(self.0, name.as_ptr()) }
    }
}

/// Compiles `source` with the C compiler and links it with the library, in `directory`, where the library gets its usual names.
pub(crate) fn compile(source: &Path, directory: &Path) -> PathBuf {
    for name in ["libcuda.so.1", "libcuda.so"] {
        let link = directory.join(name);
        if !link.exists() {
            std::os::unix::fs::symlink(library_path(), link).expect("a link can be made");
        }
    }
    let program = directory.join(source.file_stem().expect("a source has a name"));
    let output = Command::new("cc")
        .args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-O1", "-pthread", "-o"])
        .arg(&program)
        .arg(source)
        .arg("-L")
        .arg(directory)
        .args(["-lcuda", "-Wl,-rpath,$ORIGIN"])
        .output()
        .expect("a C compiler runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    program
}

/// Runs a program without a vGPU, unless `socket` says where one is.
pub(crate) fn run(program: &Path, arguments: &[&str], socket: Option<&Path>) -> Output {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_remove("TESSERA_VGPU_SOCKET")
        .env_remove("TESSERA_LOG");
    if let Some(socket) = socket {
        command.env("TESSERA_VGPU_SOCKET", socket);
    }
    command.output().expect("the program runs")
}
