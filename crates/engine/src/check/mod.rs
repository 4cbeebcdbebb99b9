//! The checking mode: what a program does wrong although it may seem to work.
//!
//! ```text
//!  Options { check } ─▶ a decoding of its own: [Checked] operation, [Checked] operation ...
//!                                                  │
//!      info: which instructions, variables of      ▼
//!      addresses, unwritten registers    BlockState (shadow of registers, shared, local; clocks)
//!                                                  │ finding
//!  Checker (one per context) ◀─────────────────────┘
//!    allocations, shadow of global memory, findings by place ◀── the device tells of allocations and copies
//! ```
//!
//! Invariants
//! * Without `Options::check` no operation, no field of a block's hot state and no access changes.
//! * A check never changes what the program computes; only a block that could never go on is ended by it.
//! * Findings are told apart by what and where, not by thread: the first thread is kept, the rest is a count.

pub(crate) mod access;
mod allocations;
mod checker;
mod clocks;
pub(crate) mod info;
mod origins;
mod races;
mod report;
mod shadow;
pub(crate) mod state;
pub(crate) mod sync;

pub use allocations::{Allocation, Origin};
pub use checker::Checker;
pub use report::{
    AccessAt, AccessKind, CheckSpace, CodePlace, Finding, FindingKind, OtherSide, ThreadPlace, summary,
};

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(clippy::struct_excessive_bools, reason = "a set of switches")]
pub struct Checks {
    /// Accesses outside of what was allocated or declared, misaligned ones, wrong frees.
    pub memory: bool,
    /// Reads of memory and use of registers that nobody wrote.
    pub init: bool,
    /// Conflicting accesses of two threads of a block to shared memory without a barrier between them.
    pub race: bool,
    /// The same for global memory, also between blocks of a launch. Costs memory in proportion to what a kernel touches.
    pub race_global: bool,
    /// Barriers and warp-wide instructions that not all threads come to.
    pub sync: bool,
    /// Memory that is never freed.
    pub leak: bool,
}

impl Checks {
    /// Everything except races in global memory.
    #[must_use]
    pub const fn usual() -> Self {
        Self {
            memory: true,
            init: true,
            race: true,
            race_global: false,
            sync: true,
            leak: true,
        }
    }

    /// Nothing.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            memory: false,
            init: false,
            race: false,
            race_global: false,
            sync: false,
            leak: false,
        }
    }

    /// Reads a list such as `memory,race`; `all` is everything, an empty text is [`usual`](Self::usual).
    ///
    /// # Errors
    /// The name that is none.
    pub fn parse(list: &str) -> Result<Self, String> {
        let mut checks = Self::none();
        if list.trim().is_empty() {
            return Ok(Self::usual());
        }
        for name in list.split(',') {
            match name.trim() {
                "memory" => checks.memory = true,
                "init" => checks.init = true,
                "race" => checks.race = true,
                "race-global" => checks.race_global = true,
                "sync" => checks.sync = true,
                "leak" => checks.leak = true,
                "usual" => checks = checks.with(Self::usual()),
                "all" => {
                    checks = checks.with(Self {
                        race_global: true,
                        ..Self::usual()
                    });
                }
                other => {
                    return Err(format!(
                        "`{other}` is no check; there are memory, init, race, race-global, sync, leak, usual, all"
                    ));
                }
            }
        }
        Ok(checks)
    }

    const fn with(self, more: Self) -> Self {
        Self {
            memory: self.memory | more.memory,
            init: self.init | more.init,
            race: self.race | more.race,
            race_global: self.race_global | more.race_global,
            sync: self.sync | more.sync,
            leak: self.leak | more.leak,
        }
    }

    /// The names of what is on, as [`parse`](Self::parse) reads them.
    #[must_use]
    pub fn names(&self) -> String {
        let all = [
            (self.memory, "memory"),
            (self.init, "init"),
            (self.race, "race"),
            (self.race_global, "race-global"),
            (self.sync, "sync"),
            (self.leak, "leak"),
        ];
        let on: Vec<&str> = all.into_iter().filter(|c| c.0).map(|c| c.1).collect();
        on.join(",")
    }
}
