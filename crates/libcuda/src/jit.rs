//! Options of the compiler and linker (`CUjit_option`): what is understood, and the log buffers that the program gave.

use crate::code::{Answer, Code};
use crate::types::{Caller, c_char, c_void};

mod option {
    pub(super) const MAX_REGISTERS: i32 = 0;
    pub(super) const WALL_TIME: i32 = 2;
    pub(super) const INFO_LOG_BUFFER: i32 = 3;
    pub(super) const INFO_LOG_BUFFER_SIZE_BYTES: i32 = 4;
    pub(super) const ERROR_LOG_BUFFER: i32 = 5;
    pub(super) const ERROR_LOG_BUFFER_SIZE_BYTES: i32 = 6;
    pub(super) const LAST: i32 = 35;
}

/// A log buffer: where, how long, and the option value that takes the length filled.
#[derive(Clone, Copy, Debug, Default)]
struct Log {
    buffer: Option<usize>,
    bytes: usize,
    filled: Option<usize>,
}

/// Options of one load or link.
#[derive(Clone, Debug, Default)]
pub(crate) struct Jit {
    pub(crate) max_registers: u32,
    info: Log,
    error: Log,
    values: Option<usize>,
}

fn low_u32(value: Caller<c_void>) -> u32 {
    // Numbers are passed in the low half of a pointer; the rest is not promised to be clear.
    u32::try_from(value.address() & 0xffff_ffff).unwrap_or(0)
}

impl Jit {
    /// Reads `count` options. The values array may be null, as cuBLAS passes it; then options have no values.
    pub(crate) fn read(count: u32, options: Caller<i32>, values: Caller<Caller<c_void>>) -> Answer<Self> {
        let mut jit = Self::default();
        if count == 0 || options.is_null() || values.is_null() {
            return if count != 0 && options.is_null() {
                Err(Code::INVALID_VALUE)
            } else {
                Ok(jit)
            };
        }
        jit.values = Some(values.as_ptr().expose_provenance());
        for index in 0..count as usize {
            let value = values.at(index)?;
            let address = Some(value.as_ptr().expose_provenance()).filter(|&address| address != 0);
            match options.at(index)? {
                option::MAX_REGISTERS => jit.max_registers = low_u32(value),
                option::INFO_LOG_BUFFER => jit.info.buffer = address,
                option::INFO_LOG_BUFFER_SIZE_BYTES => {
                    jit.info.bytes = low_u32(value) as usize;
                    jit.info.filled = Some(index);
                }
                option::ERROR_LOG_BUFFER => jit.error.buffer = address,
                option::ERROR_LOG_BUFFER_SIZE_BYTES => {
                    jit.error.bytes = low_u32(value) as usize;
                    jit.error.filled = Some(index);
                }
                option::WALL_TIME => values.put_at(index, Caller::null())?,
                // The rest steers code generation that this device has not, or gives hints.
                1..=option::LAST => {}
                _ => return Err(Code::INVALID_VALUE),
            }
        }
        // A program that reads the filled sizes without looking at the result finds nothing there.
        jit.fill("", "")?;
        Ok(jit)
    }

    /// The same options for a load after the program's call: its log buffers are its own again.
    pub(crate) fn later(&self) -> Self {
        Self {
            max_registers: self.max_registers,
            ..Self::default()
        }
    }

    /// Whether the program gave a buffer for errors.
    pub(crate) fn takes_errors(&self) -> bool {
        self.error.buffer.is_some() && self.error.bytes > 0
    }

    /// Writes the logs.
    pub(crate) fn fill(&self, info: &str, error: &str) -> Answer {
        self.fill_one(&self.info, info)?;
        self.fill_one(&self.error, error)
    }

    fn fill_one(&self, log: &Log, text: &str) -> Answer {
        let mut filled = 0;
        if let Some(buffer) = log.buffer
            && log.bytes > 0
        {
            let buffer = Caller::<c_char>::from_raw(std::ptr::with_exposed_provenance_mut(buffer));
            buffer.put_text(text, log.bytes)?;
            filled = text.len().min(log.bytes - 1);
        }
        if let (Some(index), Some(values)) = (log.filled, self.values) {
            let values = Caller::<Caller<c_void>>::from_raw(std::ptr::with_exposed_provenance_mut(values));
            values.put_at(index, Caller::from_raw(std::ptr::without_provenance_mut(filled)))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_go_to_their_buffers() {
        let mut buffer = [0x55u8; 8];
        let mut options = [
            option::ERROR_LOG_BUFFER,
            option::ERROR_LOG_BUFFER_SIZE_BYTES,
            option::MAX_REGISTERS,
        ];
        let mut values: [*mut c_void; 3] = [
            buffer.as_mut_ptr().cast(),
            std::ptr::without_provenance_mut(8),
            std::ptr::without_provenance_mut(64),
        ];
        let jit = Jit::read(
            3,
            Caller::from_raw(options.as_mut_ptr()),
            Caller::from_raw(values.as_mut_ptr().cast()),
        )
        .unwrap();
        assert_eq!(jit.max_registers, 64);
        assert!(jit.takes_errors());
        assert_eq!(values[1].addr(), 0, "cleared even before anything happened");
        jit.fill("nobody asked", "too long for it").unwrap();
        assert_eq!(&buffer, b"too lon\0");
        assert_eq!(values[1].addr(), 7);
        assert!(Jit::read(1, Caller::null(), Caller::null()).is_err());
        assert!(Jit::read(1, Caller::from_raw(options.as_mut_ptr()), Caller::null()).is_ok());
    }
}
