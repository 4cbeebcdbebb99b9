//! Error names and texts, and the driver's log.

use crate::code::{Answer, Code, describe};
use crate::types::{CUlogsCallback, Caller, Handle, c_char, c_void};

/// `cuGetErrorName`: works before initialisation; null and an error for what is no code.
pub(crate) fn get_error_name(error: i32, p_str: Caller<Caller<c_char>>) -> Answer {
    answer(describe(error).map(|row| row.0), p_str)
}

/// `cuGetErrorString`
pub(crate) fn get_error_string(error: i32, p_str: Caller<Caller<c_char>>) -> Answer {
    answer(describe(error).map(|row| row.1), p_str)
}

fn answer(text: Option<&'static std::ffi::CStr>, out: Caller<Caller<c_char>>) -> Answer {
    match text {
        Some(text) => out.put(Caller::from_raw(text.as_ptr().cast_mut())),
        None => {
            out.put(Caller::null())?;
            Err(Code::INVALID_VALUE)
        }
    }
}

/// `cuLogsRegisterCallback`. The driver's log stays empty: what there is to say goes to Tessera's own log, so a callback is
/// taken and never called.
pub(crate) fn logs_register_callback(
    callback_func: CUlogsCallback,
    _user_data: Caller<c_void>,
    callback: Caller<Handle>,
) -> Answer {
    const NEVER_CALLED: Handle = 0xd;
    if callback_func.is_none() {
        return Err(Code::INVALID_VALUE);
    }
    callback.put_if_wanted(NEVER_CALLED);
    Ok(())
}

/// `cuLogsUnregisterCallback`
pub(crate) fn logs_unregister_callback(_callback: Handle) -> Answer {
    Ok(())
}

/// `cuLogsCurrent`
pub(crate) fn logs_current(iterator: Caller<u32>, flags: u32) -> Answer {
    no_flags(flags)?;
    iterator.put(0)
}

/// `cuLogsDumpToFile`: an empty log makes an empty file.
pub(crate) fn logs_dump_to_file(iterator: Caller<u32>, path_to_file: Caller<c_char>, flags: u32) -> Answer {
    no_flags(flags)?;
    let path = path_to_file.text()?;
    std::fs::write(path, b"").map_err(|_| Code::OPERATING_SYSTEM)?;
    iterator.put_if_wanted(0);
    Ok(())
}

/// `cuLogsDumpToMemory`
pub(crate) fn logs_dump_to_memory(
    iterator: Caller<u32>,
    buffer: Caller<c_char>,
    size: Caller<usize>,
    flags: u32,
) -> Answer {
    no_flags(flags)?;
    if size.get()? == 0 {
        return Err(Code::INVALID_VALUE);
    }
    buffer.put(0)?;
    iterator.put_if_wanted(0);
    size.put(0)
}

fn no_flags(flags: u32) -> Answer {
    if flags == 0 {
        Ok(())
    } else {
        Err(Code::INVALID_VALUE)
    }
}
