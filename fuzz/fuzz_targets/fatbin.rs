//! Whatever bytes a guest hands over as an image: headers are read, every entry is unpacked, a choice is made.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tessera_fatbin::{Fatbin, Image, best_ptx, unpack_linked};

/// What a worker might allow, small enough that a fuzzer does not spend its time on memory.
const LIMIT: usize = 1 << 20;

fuzz_target!(|bytes: &[u8]| {
    let _ = Image::detect(bytes);
    let _ = unpack_linked(bytes);
    if let Ok(fatbin) = Fatbin::parse(bytes) {
        for entry in fatbin.entries() {
            if let Ok(payload) = entry.bytes(LIMIT) {
                assert!(payload.len() <= LIMIT);
            }
        }
        for capability in [(5, 0), (9, 0), (12, 1), (u32::MAX / 20, 9)] {
            let _ = best_ptx(&fatbin, capability);
        }
    }
});
