//! Machine code by content: what one kernel was compiled to serves every other one that is the same.
//!
//! ```text
//!  kernel to be compiled ── digest ──▶ index of this process ──▶ found: shared
//!                                          │ not there            (weak: code goes with the last kernel that uses it)
//!                                          ▼
//!                             store, for large kernels ──▶ found: mapped
//!                                          │ not there
//!                                          ▼
//!                                       compiled ──▶ index, and store
//! ```
//!
//! The digest covers all that the code depends on: the instructions of the kernel with all that it calls, its registers and known
//! values (addresses of variables are such), how the threads of its blocks lie, the vector unit and the extensions of the
//! processor, and the build of this crate. Names and lines are not part of it.
//!
//! A store belongs to one trust domain: code that comes out of it runs with all rights of the process. Whoever passes one in
//! sees to it that nobody can put code into it who could not run code in this process anyway.

use std::collections::HashMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

use crate::decode::{Analysed, Code, Key};
use crate::lir::Kernel;
use crate::native::{self, Compiled, Parts};

/// What the code of a kernel is found by.
pub type CodeKey = [u8; 32];

/// Keeps machine code beyond this process.
pub trait CodeStore: Send + Sync + fmt::Debug {
    /// What was stored last under this key, if it is still there, whole.
    fn load(&self, key: &CodeKey) -> Option<Vec<u8>>;

    /// Keeps `code`, or does not.
    fn store(&self, key: &CodeKey, code: &[u8]);
}

impl<T: CodeStore + ?Sized> CodeStore for Arc<T> {
    fn load(&self, key: &CodeKey) -> Option<Vec<u8>> {
        T::load(self, key)
    }

    fn store(&self, key: &CodeKey, code: &[u8]) {
        T::store(self, key, code);
    }
}

/// Instructions from which on the store is asked. For a small kernel a look-up in vain and keeping it cost what a hit saves, some tens of
/// microseconds.
const STORED_INSTRUCTIONS: usize = 96;

/// The code of a process, or of a part of it, with what is counted about tiers. Shared by all programs that were compiled with it.
#[derive(Debug, Default)]
pub struct CodeCache {
    index: Mutex<HashMap<CodeKey, Weak<Compiled>>>,
    /// The store, and the instructions from which on it is asked.
    store: Option<(Box<dyn CodeStore>, usize)>,
    pub(crate) counts: Counts,
}

/// Why blocks of a launch start in the interpreter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stay {
    Cold,
    Option,
    Processor,
    Contended,
    Unprofitable,
    Impossible,
}

impl Stay {
    const ALL: [Self; 6] = [
        Self::Cold,
        Self::Option,
        Self::Processor,
        Self::Contended,
        Self::Unprofitable,
        Self::Impossible,
    ];
}

/// Counters behind [`Tiering`].
#[derive(Debug, Default)]
pub(crate) struct Counts {
    native: AtomicU64,
    stays: [AtomicU64; Stay::ALL.len()],
    changes: AtomicU64,
    compiled: AtomicU64,
    compile_ns: AtomicU64,
    code_bytes: AtomicU64,
    shared: AtomicU64,
    loaded: AtomicU64,
    missed: AtomicU64,
}

fn count(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

impl Counts {
    pub(crate) fn starts_native(&self) {
        count(&self.native, 1);
    }

    pub(crate) fn stays(&self, why: Stay) {
        count(&self.stays[why as usize], 1);
    }

    pub(crate) fn changes(&self) {
        count(&self.changes, 1);
    }
}

/// What is known of tiers: launches by where they began, code by where it came from. All count from the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tiering {
    /// Launches that began in machine code.
    pub native: u64,
    /// Launches that began in the interpreter because the kernel had not proved hot.
    pub cold: u64,
    /// Launches that the options keep in the interpreter: it was asked for, or the launch is checked.
    pub option: u64,
    /// Launches for which the processor has no vector unit that there is machine code for.
    pub processor: u64,
    /// Launches of hot kernels whose warps part for good or wait inside for each other.
    pub contended: u64,
    /// Launches of hot kernels most of whose work has no machine form.
    pub unprofitable: u64,
    /// Launches of hot kernels that cannot be compiled: too large, or with loops that have two entries.
    pub impossible: u64,
    /// Launches that changed to machine code while they ran.
    pub changes: u64,
    /// Kernels compiled, one for each way in which threads of a block can lie.
    pub compiled: u64,
    /// Time that this took, nanoseconds.
    pub compile_ns: u64,
    /// Bytes of machine code compiled or loaded.
    pub code_bytes: u64,
    /// Code found in the process.
    pub shared: u64,
    /// Code found in the store.
    pub loaded: u64,
    /// Code looked for in the store and not found.
    pub missed: u64,
}

impl CodeCache {
    /// A cache with something behind it that outlives the process, for kernels that are large enough.
    #[must_use]
    pub fn with_store(store: Box<dyn CodeStore>) -> Self {
        Self::with_store_from(store, STORED_INSTRUCTIONS)
    }

    /// As [`with_store`](Self::with_store), saying how many instructions are enough; for measurements.
    #[must_use]
    pub fn with_store_from(store: Box<dyn CodeStore>, instructions: usize) -> Self {
        Self {
            store: Some((store, instructions)),
            ..Self::default()
        }
    }

    /// The counters.
    #[must_use]
    pub fn tiering(&self) -> Tiering {
        let counts = &self.counts;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let stays = |why: Stay| read(&counts.stays[why as usize]);
        Tiering {
            native: read(&counts.native),
            cold: stays(Stay::Cold),
            option: stays(Stay::Option),
            processor: stays(Stay::Processor),
            contended: stays(Stay::Contended),
            unprofitable: stays(Stay::Unprofitable),
            impossible: stays(Stay::Impossible),
            changes: read(&counts.changes),
            compiled: read(&counts.compiled),
            compile_ns: read(&counts.compile_ns),
            code_bytes: read(&counts.code_bytes),
            shared: read(&counts.shared),
            loaded: read(&counts.loaded),
            missed: read(&counts.missed),
        }
    }

    /// The machine code of a fast decoding, from wherever it is had the soonest; none where it cannot be made.
    pub(crate) fn code(&self, analysed: &Analysed, made_for: Key, code: &Code) -> Option<Arc<Compiled>> {
        let key = key(analysed, made_for);
        if let Some(found) = self.find(&key) {
            count(&self.counts.shared, 1);
            return Some(found);
        }
        let store = self.store.as_ref();
        let store = store.filter(|(_, least)| analysed.insts.len() >= *least);
        let store = store.map(|(store, _)| &**store);
        if let Some(store) = store {
            let loaded = store.load(&key);
            let parts = loaded.and_then(|bytes| Parts::decode(&bytes, code));
            if let Some(compiled) = parts.and_then(Parts::map) {
                count(&self.counts.loaded, 1);
                return Some(self.keep(key, compiled));
            }
            count(&self.counts.missed, 1);
        }
        let began = Instant::now();
        let parts = native::compile(analysed, code, made_for.level)?;
        let bytes = store.map(|_| parts.encode());
        let compiled = parts.map()?;
        let took = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        count(&self.counts.compile_ns, took);
        count(&self.counts.compiled, 1);
        let kept = self.keep(key, compiled);
        if let (Some(store), Some(bytes)) = (store, bytes) {
            store.store(&key, &bytes);
        }
        Some(kept)
    }

    fn find(&self, key: &CodeKey) -> Option<Arc<Compiled>> {
        let index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        index.get(key)?.upgrade()
    }

    fn keep(&self, key: CodeKey, compiled: Compiled) -> Arc<Compiled> {
        count(&self.counts.code_bytes, compiled.bytes as u64);
        let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        if index.len() == index.capacity() {
            index.retain(|_, code| code.strong_count() > 0);
        }
        let entry = index.entry(key).or_default();
        // Somebody else may have been as fast: one is enough.
        if let Some(first) = entry.upgrade() {
            return first;
        }
        let compiled = Arc::new(compiled);
        *entry = Arc::downgrade(&compiled);
        compiled
    }
}

/// Collects what is hashed, to be digested at once.
#[derive(Default)]
struct Collected(Vec<u8>);

impl Hasher for Collected {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}

/// Digest of what a kernel does.
pub(crate) fn content(kernel: &Kernel) -> CodeKey {
    let mut all = Collected::default();
    kernel.vregs.hash(&mut all);
    all.write_usize(kernel.blocks.len());
    for block in &kernel.blocks {
        all.write_usize(block.insts.len());
        for inst in &block.insts {
            (inst.what, &inst.d[..], &inst.s[..], inst.guard).hash(&mut all);
        }
        block.term.hash(&mut all);
    }
    *blake3::hash(&all.0).as_bytes()
}

fn key(analysed: &Analysed, made_for: Key) -> CodeKey {
    let mut all = Collected(analysed.content().to_vec());
    made_for.hash(&mut all);
    all.write_u8(native::extensions());
    all.write(env!("TESSERA_ENGINE_BUILD").as_bytes());
    *blake3::hash(&all.0).as_bytes()
}
