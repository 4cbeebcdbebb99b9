//! Whatever a guest writes into the aperture or on the control stream.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = tessera_channel::fuzz_session_bytes(bytes);
});
