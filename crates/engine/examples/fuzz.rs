//! Random kernels on both tiers: `cargo run --example fuzz -p tessera-engine -- --seed 1 --count 100000`.
//!
//! Prints the seeds it tries; at the first kernel on which the tiers do not agree, that kernel, and ends with an error.
#![allow(clippy::print_stdout, reason = "a program that reports")]
#![allow(
    dead_code,
    unreachable_pub,
    clippy::cast_possible_truncation,
    clippy::print_stderr,
    reason = "shared with the tests"
)]

#[path = "../tests/common/mod.rs"]
mod common;

fn argument(name: &str, default: u64) -> u64 {
    let arguments: Vec<String> = std::env::args().collect();
    let value = arguments.iter().skip_while(|a| *a != name).nth(1);
    value.map_or(default, |v| {
        v.parse().unwrap_or_else(|_| panic!("{name} wants a number"))
    })
}

fn main() {
    let (first, count) = (argument("--seed", 1), argument("--count", 1000));
    println!("kernels of seeds {first} to {}", first + count - 1);
    for seed in first..first + count {
        // A check that a kernel trips inside the engine names its seed too.
        let checked = std::panic::catch_unwind(|| common::differ::check(seed))
            .unwrap_or_else(|_| Err(format!("seed {seed}: panicked, see above")));
        if let Err(what) = checked {
            println!("{what}");
            std::process::exit(1);
        }
        if (seed - first) % 10_000 == 9_999 {
            println!("{} agree", seed - first + 1);
        }
    }
    println!("all {count} agree");
}
