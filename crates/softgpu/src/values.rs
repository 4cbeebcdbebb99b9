//! Values in memory that streams wait for and write (`cuStreamWaitValue*`, `cuStreamWriteValue*`).
//!
//! What a stream waits for may be written by a kernel, by a copy or by the host, so nobody can announce it: an executor that has
//! nothing better to do looks again and again, ever more seldom, as it does for blocks that wait for each other.

use crate::context::ContextCore;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use tessera_device::{Comparison, DeviceError, DevicePtr, Fault, FaultKind};
use tessera_mmu::{Access, AccessFault};

/// A place of 4 or 8 bytes.
#[derive(Clone, Copy)]
pub(crate) struct Cell {
    address: DevicePtr,
    wide: bool,
}

impl Cell {
    pub(crate) fn new(address: DevicePtr, wide: bool) -> Result<Self, DeviceError> {
        let cell = Self { address, wide };
        if address.is_multiple_of(cell.bytes()) {
            return Ok(cell);
        }
        let text = format!("{address:#x} is no multiple of {} bytes", cell.bytes());
        Err(DeviceError::InvalidValue(text))
    }

    fn bytes(self) -> u64 {
        if self.wide { 8 } else { 4 }
    }

    /// Calls `act` with the place in this process's memory. The caller has entered a slot, so the page stays.
    fn visit(
        self,
        context: &ContextCore,
        access: Access,
        act: impl FnOnce(*mut u8),
    ) -> Result<(), AccessFault> {
        let span = context.space.translate(self.address, access)?;
        act(span.pointer(self.address));
        Ok(())
    }

    /// Reads the value in one piece; a fault poisons the context.
    pub(crate) fn read(self, context: &ContextCore, place: &str) -> Option<u64> {
        let mut value = 0;
        let visited = self.visit(context, Access::Read, |pointer| {
            value = if self.wide {
                // SAFETY: mapped, aligned to 8 bytes (`new`; pages are larger), and only accessed as an atomic here.
                unsafe { AtomicU64::from_ptr(pointer.cast()) }.load(Ordering::SeqCst)
            } else {
                // SAFETY: as above, with 4 bytes.
                u64::from(unsafe { AtomicU32::from_ptr(pointer.cast()) }.load(Ordering::SeqCst))
            };
        });
        poison_on(context, place, visited).then_some(value)
    }

    fn write(self, context: &ContextCore, value: u64) {
        let visited = self.visit(context, Access::Write, |pointer| {
            if self.wide {
                // SAFETY: as in `read`.
                unsafe { AtomicU64::from_ptr(pointer.cast()) }.store(value, Ordering::SeqCst);
            } else {
                #[allow(clippy::cast_possible_truncation, reason = "32 bits are asked for")]
                // SAFETY: as in `read`.
                unsafe { AtomicU32::from_ptr(pointer.cast()) }.store(value as u32, Ordering::SeqCst);
            }
        });
        poison_on(context, "write of a value", visited);
        if let Some(checker) = &context.checker {
            checker.written(self.address, self.bytes());
        }
    }
}

/// Whether it went well.
fn poison_on(context: &ContextCore, place: &str, result: Result<(), AccessFault>) -> bool {
    let Err(fault) = result else { return true };
    context.poison(Fault {
        kind: FaultKind::IllegalAddress,
        place: place.to_owned(),
        detail: fault.to_string(),
    });
    false
}

/// A wait for a value.
pub(crate) struct WaitValue {
    cell: Cell,
    value: u64,
    comparison: Comparison,
    over: AtomicBool,
}

impl WaitValue {
    pub(crate) fn new(
        address: DevicePtr,
        value: u64,
        wide: bool,
        comparison: Comparison,
    ) -> Result<Self, DeviceError> {
        Ok(Self {
            cell: Cell::new(address, wide)?,
            value,
            comparison,
            over: AtomicBool::new(false),
        })
    }

    pub(crate) fn address(&self) -> DevicePtr {
        self.cell.address
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Looks once; whether the wait is over.
    pub(crate) fn run(&self, context: &ContextCore) -> bool {
        let Some(value) = self.cell.read(context, "wait for a value") else {
            return true;
        };
        let over = self.comparison.holds(value, self.value, self.cell.wide);
        self.over.store(over, Ordering::Release);
        over
    }
}

/// A write of a value.
pub(crate) struct WriteValue {
    cell: Cell,
    value: u64,
    over: AtomicBool,
}

impl WriteValue {
    pub(crate) fn new(address: DevicePtr, value: u64, wide: bool) -> Result<Self, DeviceError> {
        Ok(Self {
            cell: Cell::new(address, wide)?,
            value,
            over: AtomicBool::new(false),
        })
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Writes, once.
    pub(crate) fn run(&self, context: &ContextCore) {
        if !self.over.load(Ordering::Acquire) {
            self.cell.write(context, self.value);
            self.over.store(true, Ordering::Release);
        }
    }
}
