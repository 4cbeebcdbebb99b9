//! Text that kernels print, written to the program's standard output.
//!
//! CUDA shows it when the host synchronises or the context ends. It goes through the C library's own buffer, so that it mixes in
//! order with what the program prints; text of failed assertions goes to standard error.

use crate::context::Core;
use crate::primary;
use crate::state::{self, Driver};
use std::sync::PoisonError;
use tessera_wire::messages::PrintfDrain;

unsafe extern "C" {
    static stdout: *mut libc::FILE;
    static stderr: *mut libc::FILE;
}

fn write(text: &[u8], to_stderr: bool) {
    // SAFETY: the C library's streams are valid for the life of the process, and these functions lock them.
    unsafe {
        let stream = if to_stderr { stderr } else { stdout };
        libc::fwrite(text.as_ptr().cast(), 1, text.len(), stream);
        libc::fflush(stream);
    }
}

/// Writes out what kernels of a context have printed and nobody has seen yet.
pub(crate) fn drain(driver: &Driver, core: &Core) {
    let total = core.printed_total(driver);
    let mut printed = core.printed.lock().unwrap_or_else(PoisonError::into_inner);
    if total <= *printed {
        return;
    }
    let message = PrintfDrain { context: core.handle };
    while let Ok((reply, text)) = driver.session.call(&message, &[]) {
        write(&text, reply.to_stderr != 0);
        if reply.lost > 0 {
            tessera_guest::log(&format!(
                "{} bytes that kernels printed are lost: more than CU_LIMIT_PRINTF_FIFO_SIZE between two synchronisations",
                reply.lost
            ));
        }
        if reply.more == 0 {
            break;
        }
    }
    *printed = total;
}

extern "C" fn at_exit() {
    if let Ok(driver) = state::driver()
        && let Some(context) = primary::active(driver)
    {
        drain(driver, &context.core);
    }
}

/// Lets a program that ends without a synchronisation still show what its finished kernels printed.
pub(crate) fn drain_at_exit() {
    // SAFETY: `at_exit` has the C ABI, lives as long as the library, and catches nothing that could unwind: it does not panic.
    unsafe { libc::atexit(at_exit) };
}
