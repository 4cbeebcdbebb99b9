//! What running blocks ask of the device: memory, `printf`, `assert`, `malloc`, clocks.

use crate::context::ContextCore;
use crate::counters::now_ns;
use crate::holdings::Kind;
use crate::printf::{self, Arguments};
use std::sync::{Arc, PoisonError};
use tessera_device::{Fault, FaultKind};
use tessera_engine::check::Checker;
use tessera_engine::{Access, HookError, Memory, Runtime, Span, ThreadView};
use tessera_mmu::{Flags, LARGE_PAGE_BYTES};

/// Longest format string or text of an assertion, bytes.
const MOST_TEXT: usize = 64 << 10;

/// A context, as a running block sees it.
pub(crate) struct Hooks<'a>(pub(crate) &'a ContextCore);

// SAFETY: spans come from the context's page tables. Memory behind them stays mapped until the generation has changed and every
// executor has left its slot (`Memory::retire`); a block runs only between enter and leave. Frame buffer and host ranges are never
// looked at through references.
unsafe impl Memory for Hooks<'_> {
    #[inline]
    fn lookup(&self, address: u64, access: Access) -> Option<Span> {
        let span = match access {
            Access::Read => self.0.space.lookup(address)?,
            Access::Write => {
                let span = self.0.space.lookup_for_write(address)?;
                if span.flags.contains(Flags::READ_ONLY) {
                    return None;
                }
                span
            }
        };
        Some(Span {
            lo: span.base,
            len: span.bytes,
            host: span.host,
        })
    }

    #[inline]
    fn generation(&self) -> u64 {
        self.0.space.generation()
    }

    fn checker(&self) -> Option<Arc<Checker>> {
        self.0.checker.clone()
    }
}

/// The arguments of one `vprintf`.
struct Packed<'a> {
    thread: &'a ThreadView<'a>,
    base: u64,
}

impl Arguments for Packed<'_> {
    type Error = HookError;

    fn read(&self, offset: u64, size: u64) -> Result<u64, HookError> {
        let mut word = [0_u8; 8];
        let part = if size == 4 { &mut word[..4] } else { &mut word[..] };
        self.thread.memory.read(self.base.wrapping_add(offset), part)?;
        Ok(u64::from_le_bytes(word))
    }

    fn string(&self, address: u64, most: usize) -> Result<Vec<u8>, HookError> {
        let mut text = Vec::new();
        let mut byte = [0_u8];
        while text.len() < most {
            self.thread
                .memory
                .read(address.wrapping_add(text.len() as u64), &mut byte)?;
            if byte[0] == 0 {
                break;
            }
            text.push(byte[0]);
        }
        Ok(text)
    }
}

impl Runtime for Hooks<'_> {
    fn vprintf(&self, thread: &ThreadView<'_>, format: u64, arguments: u64) -> Result<i32, HookError> {
        let packed = Packed {
            thread,
            base: arguments,
        };
        let format = packed.string(format, MOST_TEXT)?;
        let (text, used) = printf::format(&format, &packed)?;
        self.0.printer.print(&text, false);
        Ok(used)
    }

    fn assert_fail(&self, thread: &ThreadView<'_>, message: u64, file: u64, line: u32, function: u64) {
        let packed = Packed { thread, base: 0 };
        let text = |address: u64| match packed.string(address, MOST_TEXT) {
            Ok(text) => String::from_utf8_lossy(&text).into_owned(),
            Err(_) => "?".to_owned(),
        };
        let ([bx, by, bz], [tx, ty, tz]) = (thread.block, thread.thread);
        let line = format!(
            "{}:{line}: {}: block: [{bx},{by},{bz}], thread: [{tx},{ty},{tz}] Assertion `{}` failed.\n",
            text(file),
            text(function),
            text(message)
        );
        self.0.printer.print(line.as_bytes(), true);
    }

    fn malloc(&self, size: u64) -> u64 {
        let reserve = |bytes| self.0.alloc(bytes, LARGE_PAGE_BYTES, Kind::Internal).ok();
        let mut heap = self.0.heap.lock().unwrap_or_else(PoisonError::into_inner);
        heap.malloc(size, reserve).unwrap_or(0)
    }

    fn free(&self, address: u64) -> Result<(), HookError> {
        let mut heap = self.0.heap.lock().unwrap_or_else(PoisonError::into_inner);
        if address == 0 || heap.free(address) {
            Ok(())
        } else {
            Err(HookError::Refused)
        }
    }

    fn clock(&self) -> u64 {
        // One cycle is one nanosecond: see attribute 13.
        now_ns()
    }

    fn global_timer(&self) -> u64 {
        now_ns()
    }
}

/// A fault of the engine, as the device reports it.
pub(crate) fn device_fault(fault: &tessera_engine::Fault) -> Fault {
    use tessera_engine::FaultKind as Engine;
    let kind = match fault.kind {
        Engine::IllegalAddress => FaultKind::IllegalAddress,
        Engine::MisalignedAddress => FaultKind::MisalignedAddress,
        Engine::Assert => FaultKind::Assert,
        Engine::InvalidPc => FaultKind::InvalidPc,
        Engine::IllegalInstruction => FaultKind::IllegalInstruction,
        _ => FaultKind::LaunchFailed,
    };
    let ([bx, by, bz], [tx, ty, tz]) = (fault.block, fault.thread);
    Fault {
        kind,
        place: format!(
            "kernel function {}, PTX line {}, block ({bx},{by},{bz}), thread ({tx},{ty},{tz})",
            fault.function, fault.line
        ),
        detail: fault.to_string(),
    }
}
