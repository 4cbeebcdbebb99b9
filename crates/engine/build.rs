//! Names the build: machine code that is kept from one process to the next is good for the build that made it.
//!
//! Whatever can change the code of a kernel, the layout of what it works on, or what a digest of a kernel means: the sources of this
//! crate and of the one whose types it digests, the versions of all others, the compiler and its options. Collisions are
//! between versions of one program, not sought by anybody: 64 bits will do.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

fn main() {
    let mut hasher = DefaultHasher::new();
    for tree in ["src", "../arith/src", "../../Cargo.lock"] {
        // The last two are there in this workspace; elsewhere the version of the package stands for them.
        if Path::new(tree).exists() {
            println!("cargo::rerun-if-changed={tree}");
            digest(Path::new(tree), &mut hasher);
        }
    }
    println!("cargo::rerun-if-changed=build.rs");
    for name in [
        "CARGO_PKG_VERSION",
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_CFG_TARGET_FEATURE",
        "TARGET",
        "PROFILE",
        "OPT_LEVEL",
        "DEBUG",
    ] {
        (name, std::env::var_os(name)).hash(&mut hasher);
    }
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = std::process::Command::new(compiler).arg("-vV").output();
    version
        .map(|output| output.stdout)
        .unwrap_or_default()
        .hash(&mut hasher);
    println!("cargo::rustc-env=TESSERA_ENGINE_BUILD={:016x}", hasher.finish());
}

fn digest(path: &Path, hasher: &mut DefaultHasher) {
    path.hash(hasher);
    if path.is_dir() {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
        paths.sort();
        paths.iter().for_each(|path| digest(path, hasher));
    } else {
        std::fs::read(path).unwrap_or_default().hash(hasher);
    }
}
