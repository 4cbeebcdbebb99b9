//! Random kernels on both tiers: memory and all registers must end the same, run through and stopped at every safe point.
//! `cargo run --example fuzz -p tessera-engine -- --seed 1 --count 100000` does many.
#![allow(missing_docs, reason = "test code")]

mod common;

use common::differ::check;

#[test]
fn tiers_agree_on_random_kernels() {
    // TESSERA_SEEDS=n tries n kernels.
    let count = std::env::var("TESSERA_SEEDS")
        .ok()
        .and_then(|v| v.parse().ok())
        .unwrap_or(200);
    for seed in 0..count {
        // What differs names the seed.
        if let Err(what) = check(seed) {
            panic!("{what}");
        }
    }
}
