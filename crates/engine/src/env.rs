//! What a running block is given: memory, hooks, a quantum, a stop flag.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::check::Checker;

/// How memory is about to be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It will be read.
    Read,
    /// It will be written, perhaps read too. The memory marks its pages dirty now.
    Write,
}

/// A run of device addresses that are mapped for an access, with the host memory behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// First device address.
    pub lo: u64,
    /// Bytes from there. `lo + len` does not wrap.
    pub len: u64,
    /// Host address of the byte at `lo`; it differs from `lo` by a multiple of 16, so that atomic accesses are aligned in both.
    pub host: *mut u8,
}

/// The address space of a context, as the engine sees it.
///
/// Looking up is the slow path: the engine keeps the last span of every access site and asks again when an address lies
/// outside it or [`generation`](Memory::generation) has changed. It compares generations when a block starts to run and
/// at safe points.
///
/// # Safety
///
/// Until the generation changes *and* every block that runs in this address space has passed a safe point, the host
/// memory of a returned span must stay mapped: readable, and writable too when it was looked up for [`Access::Write`].
/// It must not be memory that Rust code holds references to.
pub unsafe trait Memory: Sync {
    /// The span that contains `address`, exact to the allocation; `None` when it is not mapped for `access`.
    fn lookup(&self, address: u64, access: Access) -> Option<Span>;

    /// A number that changes whenever a span once returned is no longer right.
    fn generation(&self) -> u64;

    /// What checked launches report to; without one they run unchecked.
    fn checker(&self) -> Option<Arc<Checker>> {
        None
    }
}

/// Why a hook refused; the block ends with [`crate::FaultKind::Hook`] or the kind of the memory fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookError {
    /// The hook refuses.
    Refused,
    /// The thread may not read at this generic address.
    IllegalAddress(u64),
}

/// Memory as one thread sees it.
pub trait ThreadMemory {
    /// Reads `into.len()` bytes at a generic address: global, shared or the thread's own local memory.
    ///
    /// # Errors
    /// [`HookError::IllegalAddress`] with the first address that is not mapped; `into` is then partly written.
    fn read(&self, address: u64, into: &mut [u8]) -> Result<(), HookError>;
}

/// The thread that calls a hook.
pub struct ThreadView<'a> {
    /// Its block.
    pub block: [u32; 3],
    /// Its place in the block.
    pub thread: [u32; 3],
    /// Memory as it sees it.
    pub memory: &'a dyn ThreadMemory,
}

impl ThreadView<'_> {
    /// Reads a string that ends in a zero byte (which is not returned).
    ///
    /// # Errors
    /// [`HookError::IllegalAddress`] where it runs into unmapped memory, [`HookError::Refused`] when it is longer than `max`.
    pub fn c_string(&self, address: u64, max: usize) -> Result<Vec<u8>, HookError> {
        let mut text = Vec::new();
        let mut byte = [0u8];
        while text.len() <= max {
            let at = address.wrapping_add(text.len() as u64);
            self.memory.read(at, &mut byte)?;
            if byte[0] == 0 {
                return Ok(text);
            }
            text.push(byte[0]);
        }
        Err(HookError::Refused)
    }
}

/// What a kernel asks of the device beyond memory. Every hook may be called from several executor threads at once.
pub trait Runtime: Sync {
    /// `vprintf(format, arguments)`: both are generic addresses; the arguments lie there as C would pad them in a struct,
    /// integers as 4 or 8 bytes, floating point as `f64`. Returns the value that the kernel sees (arguments printed, or negative).
    ///
    /// # Errors
    /// See [`HookError`].
    fn vprintf(&self, thread: &ThreadView<'_>, format: u64, arguments: u64) -> Result<i32, HookError>;

    /// `__assertfail(message, file, line, function, char size)`, once per failing thread. The block then ends with
    /// [`crate::FaultKind::Assert`]. Strings are generic addresses.
    fn assert_fail(&self, thread: &ThreadView<'_>, message: u64, file: u64, line: u32, function: u64);

    /// `malloc(size)` of the device heap; 0 when there is no room.
    fn malloc(&self, size: u64) -> u64;

    /// `free(address)` of the device heap; 0 is allowed.
    ///
    /// # Errors
    /// [`HookError::Refused`] when it is not a live block of the heap.
    fn free(&self, address: u64) -> Result<(), HookError>;

    /// `%clock64`: cycles of the SM's clock.
    fn clock(&self) -> u64;

    /// `%globaltimer`: nanoseconds.
    fn global_timer(&self) -> u64;
}

/// Where a block that is done finds the next one of its launch, to begin it in its own place: registers, shared memory and
/// translations of addresses are set up already.
pub trait NextBlock {
    /// Counts the block that runs as done, and claims another one (`%ctaid`). `None`: the call of [`crate::Cta::run`] ends with
    /// [`crate::Exit::Done`], for a block that has not been counted.
    fn next(&self) -> Option<[u32; 3]>;
}

/// What one call of [`crate::Cta::run`] is given.
pub struct Env<'a> {
    /// The context's address space.
    pub memory: &'a dyn Memory,
    /// The hooks.
    pub runtime: &'a dyn Runtime,
    /// Set by anyone who wants the block to stop at its next safe point (it then returns [`crate::Why::Stop`]).
    pub stop: &'a AtomicBool,
    /// Operations that the block may execute before it yields with [`crate::Why::Fuel`]. One operation covers up to 256
    /// threads; 100,000 take about 1.5 ms.
    pub fuel: u64,
    /// `%smid`.
    pub sm: u32,
    /// `%nsmid`.
    pub sms: u32,
    /// Where the next block comes from; without it, a call carries out one block.
    pub next: Option<&'a dyn NextBlock>,
}
