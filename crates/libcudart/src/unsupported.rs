//! The functions of the runtime API that are not implemented yet, generated from `runtime-api.toml`.

use crate::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};

/// Answers for a function that is not implemented; says so once per name.
fn refuse(name: &str, said: &AtomicBool) -> i32 {
    if !said.swap(true, Ordering::Relaxed) {
        eprintln!(
            "tessera: {name} is not supported by this version of libcudart; it answers cudaErrorNotSupported"
        );
    }
    crate::thread::finish(Err(Error::NOT_SUPPORTED))
}

include!(concat!(env!("OUT_DIR"), "/unsupported.rs"));
