//! A block: a resumable machine whose state is plain memory.

use std::sync::Arc;

use crate::env::Env;
use crate::error::Fault;
use crate::launch::Launch;

/// How a call of [`Cta::run`] ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// All threads have exited.
    Done,
    /// The block stands at a safe point and wants to run on.
    Yielded(Why),
    /// The block is over.
    Fault(Box<Fault>),
}

/// Why a block yielded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Its fuel is used up.
    Fuel,
    /// The stop flag was set.
    Stop,
    /// All its threads wait at the grid-wide barrier (`cudaCGSynchronize`). Run it again when every block of the grid has said so.
    GridBarrier,
    /// It waits for something that another block or the host does (`nanosleep`, or threads that spin): run others first.
    Idle,
}

/// Scratch memory of one executor thread: caches of translations, buffers. Makes nothing faster to share, so each executor has its own.
#[derive(Debug, Default)]
pub struct Worker {
    _private: (),
}

impl Worker {
    /// A worker that uses the widest vectors that this processor has.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

/// Memory of finished blocks, to be used again by the next ones. One per executor.
#[derive(Debug, Default)]
pub struct Pool {
    _private: (),
}

impl Pool {
    /// An empty pool.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes back the memory of a block that is not going to run any more.
    pub fn recycle(&mut self, cta: Cta) {
        drop(cta);
    }
}

/// One block of a launch.
#[derive(Debug)]
pub struct Cta {
    launch: Arc<Launch>,
    block: [u32; 3],
}

impl Cta {
    /// The block `block` (`%ctaid`) of a launch, before its first instruction. Its shared memory is zero.
    #[must_use]
    pub fn new(launch: &Arc<Launch>, block: [u32; 3], pool: &mut Pool) -> Self {
        let _ = pool;
        Self {
            launch: Arc::clone(launch),
            block,
        }
    }

    /// The launch that it belongs to.
    #[must_use]
    pub const fn launch(&self) -> &Arc<Launch> {
        &self.launch
    }

    /// `%ctaid`.
    #[must_use]
    pub const fn block(&self) -> [u32; 3] {
        self.block
    }

    /// Operations executed so far (one covers up to 256 threads).
    #[must_use]
    pub const fn operations(&self) -> u64 {
        0
    }

    /// Runs until the block is done, faults, or has a reason to yield. After [`Exit::Done`] and [`Exit::Fault`] a further call
    /// returns the same again.
    pub fn run(&mut self, worker: &mut Worker, env: &Env<'_>) -> Exit {
        let _ = (worker, env);
        Exit::Done
    }
}
