//! Pages of the program's own that the worker comes to share, and their way back.
//!
//! Memory that a program has already cannot be handed to another process; it can be replaced. A piece at a time:
//!
//! ```text
//!   private pages ── read-only ── contents written to the file ── the file mapped in their place ──▶ shared pages
//!        ▲                │ a thread that writes meanwhile faults, waits in the handler, and writes again
//!        └────────────────┴── new private pages with the file's contents, moved in their place ◀── (the way back)
//! ```
//!
//! Invariants
//! * At any time an address has the contents that the program last gave it: nothing is written between the copy and the replacement.
//! * Mappings that other processes or the kernel share, and those that can be executed, are never replaced.
//! * A forked child has the contents of the moment of the fork in pages of its own, as with any other private memory.
//!
//! What cannot be had this way: a *system call* that writes to a page while it is replaced (some microseconds) fails with `EFAULT`, and a
//! thread that cannot take a signal then, because its stack is in the page or it blocks SIGSEGV, ends the process.

mod fault;
mod maps;
mod swap;

pub use swap::{SwapError, is_shared, share, unshare};
