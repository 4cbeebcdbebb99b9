//! Makes the refused functions from `functions.txt` and sets the SONAME.

use std::fmt::Write;
use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=functions.txt");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libnvidia-ml.so.1");
    let table = std::fs::read_to_string("functions.txt").expect("functions.txt lies beside build.rs");
    let mut out = String::new();
    for line in table
        .lines()
        .filter(|l| !l.starts_with('#') && !l.trim().is_empty())
    {
        let (name, state) = line.split_once(' ').expect("a line is NAME STATE");
        match state {
            "answered" => {}
            "refused" => writeln!(
                out,
                "/// Not supported on this device.\n#[unsafe(no_mangle)]\npub extern \"C\" fn {name}() -> u32 {{\n    refuse(\"{name}\")\n}}"
            )
            .expect("writing to a string"),
            other => panic!("functions.txt: {name} has the unknown state {other}"),
        }
    }
    let directory = std::env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    std::fs::write(Path::new(&directory).join("refused.rs"), out).expect("OUT_DIR is writable");
}
