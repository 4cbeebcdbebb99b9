//! Native code: `native.c`, compiled for this processor.

use super::cases::Case;
use crate::stats::ns;
use anyhow::{Context as _, Result};
use libloading::Library;
use std::ffi::c_void;
use std::time::Instant;

type Function = unsafe extern "C" fn(*const c_void, *const c_void, *mut c_void, i32, i32, i32);

/// The shared object.
pub(super) struct Native(Library);

/// Buffers of one kernel.
pub(super) struct Buffers {
    a: Vec<u8>,
    b: Vec<u8>,
    pub(super) out: Vec<u8>,
}

impl Buffers {
    pub(super) fn new(case: &Case) -> Self {
        Self {
            a: case.input(0),
            b: case.input(1),
            out: vec![0; case.bytes[2]],
        }
    }
}

/// An address that threads share. They write to parts that do not overlap.
#[derive(Clone, Copy)]
struct Shared(*mut u8);
// SAFETY: see the type.
unsafe impl Send for Shared {}

impl Native {
    pub(super) fn open(path: &str) -> Result<Self> {
        // SAFETY: our own object, without initialisers.
        let library = unsafe { Library::new(path) }.with_context(|| format!("cannot open {path}"))?;
        Ok(Self(library))
    }

    /// Runs a kernel `case.batch` times on `threads` threads; nanoseconds. `prefix`: `simd_` or nothing.
    pub(super) fn run(&self, prefix: &str, case: &Case, buffers: &mut Buffers, threads: i32) -> Result<f64> {
        let name = format!("{prefix}{}", case.name);
        // SAFETY: every function of the object has this signature.
        let function: Function = unsafe { *self.0.get(name.as_bytes())? };
        let n = i32::try_from(case.n)?;
        let start = Instant::now();
        for _ in 0..case.batch {
            let (a, b) = (Shared(buffers.a.as_mut_ptr()), Shared(buffers.b.as_mut_ptr()));
            let out = Shared(buffers.out.as_mut_ptr());
            std::thread::scope(|scope| {
                let part = move |part: i32| {
                    let (a, b, out) = (a, b, out);
                    // SAFETY: the buffers have the sizes of the case, which are those that the kernel uses.
                    unsafe { function(a.0.cast(), b.0.cast(), out.0.cast(), n, part, threads) };
                };
                for i in 1..threads {
                    scope.spawn(move || part(i));
                }
                part(0);
            });
        }
        Ok(ns(start))
    }
}
