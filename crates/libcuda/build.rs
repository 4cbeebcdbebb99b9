//! Generates the exported symbols from the API table and names the library as programs look for it.

use std::path::PathBuf;

fn main() {
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libcuda.so.1");
    println!("cargo::rerun-if-changed=build.rs");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let source = tessera_api::exports().expect("the API table is consistent");
    std::fs::write(out.join("exports.rs"), source).expect("OUT_DIR is writable");
}
