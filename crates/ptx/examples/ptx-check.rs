//! Parses, verifies, links and prints PTX files, and says how long each took: `ptx-check FILE...`.
#![allow(clippy::print_stdout, reason = "a command for developers")]

use std::time::Instant;

use tessera_ptx::{link, parse_module, print_module, verify};

fn main() {
    let mut failures = 0;
    for path in std::env::args().skip(1) {
        match check(&path) {
            Ok(summary) => println!("{path}: {summary}"),
            Err(error) => {
                failures += 1;
                println!("{path}: {error}");
            }
        }
    }
    std::process::exit(i32::from(failures > 0));
}

fn check(path: &str) -> Result<String, Box<dyn std::error::Error>> {
    let text = std::fs::read(path)?;
    let bytes = text.len();
    let start = Instant::now();
    let module = parse_module(text)?;
    let headers = start.elapsed();
    let start = Instant::now();
    verify::verify_all(&module)?;
    let bodies = start.elapsed();
    let mut insts = 0;
    for (id, func) in module.funcs.iter().filter(|(_, func)| func.defined) {
        insts += module
            .body(id)
            .map_err(|e| format!("{}: {e}", func.name))?
            .insts
            .len();
    }
    let printed = print_module(&module)?;
    let again = parse_module(printed.clone().into_bytes()).map_err(|e| format!("printed text: {e}"))?;
    let twice = print_module(&again).map_err(|e| format!("printed text: {e}"))?;
    if printed != twice {
        let different = printed
            .lines()
            .zip(twice.lines())
            .find(|(first, second)| first != second);
        return Err(format!("printing is not stable: {different:?}").into());
    }
    let linked = link(vec![module], &["vprintf", "malloc", "free", "__assertfail"]);
    let linked = linked.map_or_else(|error| error.to_string(), |_| "links".to_owned());
    let rate = bytes as f64 / 1e6 / headers.as_secs_f64();
    let per_inst = bodies.as_nanos() / (insts.max(1) as u128);
    Ok(format!(
        "{bytes} bytes, headers {headers:.1?} ({rate:.0} MB/s), {insts} instructions in {bodies:.1?} ({per_inst} ns each), {linked}"
    ))
}
