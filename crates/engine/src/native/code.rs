//! Executable memory.
//!
//! Code is written to an anonymous file, the file is sealed against every further write, and only then mapped, for reading
//! and executing. So no mapping is ever writable and executable, not even one after the other: neither this process nor a
//! guest that found a way to write into it can change code that runs.

use std::fs::File;
use std::io::{self, Write};
use std::ptr::NonNull;

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::mm::{MapFlags, ProtFlags};

/// `MFD_EXEC`: the file may be mapped for execution where the system's default is that it may not. Linux 6.3.
const MFD_EXEC: u32 = 0x10;

/// A mapping of machine code. It stays where it is until it is dropped.
#[derive(Debug)]
pub(super) struct Code {
    at: NonNull<u8>,
    bytes: usize,
}

// SAFETY: the mapping is owned by this value and nobody can write to it.
unsafe impl Send for Code {}
// SAFETY: as above.
unsafe impl Sync for Code {}

impl Code {
    /// Maps a copy of `bytes`, which is position independent code.
    pub(super) fn new(bytes: &[u8]) -> io::Result<Self> {
        if bytes.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no code"));
        }
        let mut file = memory_file()?;
        file.write_all(bytes)?;
        let seals = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
        rustix::fs::fcntl_add_seals(&file, seals)?;
        // SAFETY: a new mapping at an address of the system's choice, of a file that can neither change nor shrink.
        let at = unsafe {
            rustix::mm::mmap(
                std::ptr::null_mut(),
                bytes.len(),
                ProtFlags::READ | ProtFlags::EXEC,
                MapFlags::SHARED,
                &file,
                0,
            )?
        };
        let at = NonNull::new(at.cast()).ok_or_else(|| io::Error::other("code mapped at address 0"))?;
        Ok(Self {
            at,
            bytes: bytes.len(),
        })
    }

    /// Address of byte `offset`, which must lie in the code.
    pub(super) fn entry(&self, offset: usize) -> *const u8 {
        assert!(
            offset < self.bytes,
            "entry {offset} of {} bytes of code",
            self.bytes
        );
        // SAFETY: it was just checked that this is inside the mapping.
        unsafe { self.at.as_ptr().add(offset) }
    }
}

impl Drop for Code {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own; whoever calls code holds the value.
        let result = unsafe { rustix::mm::munmap(self.at.as_ptr().cast(), self.bytes) };
        debug_assert!(result.is_ok(), "unmapping of code: {result:?}");
    }
}

/// An anonymous file that can be sealed and mapped for execution.
fn memory_file() -> io::Result<File> {
    let base = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let fd = rustix::fs::memfd_create("tessera-code", base | MemfdFlags::from_bits_retain(MFD_EXEC))
        // A kernel that does not know the flag has no such restriction either.
        .or_else(|_| rustix::fs::memfd_create("tessera-code", base))?;
    Ok(File::from(fd))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `mov eax, imm32; ret`
    fn constant(value: u32) -> Vec<u8> {
        let mut code = vec![0xb8];
        code.extend(value.to_le_bytes());
        code.push(0xc3);
        code
    }

    fn call(code: &Code, offset: usize) -> u32 {
        // SAFETY: the tests below put functions of this type at the offsets they call.
        let f: extern "C" fn() -> u32 = unsafe { std::mem::transmute(code.entry(offset)) };
        f()
    }

    #[test]
    fn code_runs_wherever_it_is_entered_and_by_whom() {
        let mut bytes = constant(7);
        let second = bytes.len();
        bytes.extend(constant(0xdead_beef));
        let code = Code::new(&bytes).unwrap();
        assert_eq!(call(&code, 0), 7);
        assert_eq!(
            std::thread::scope(|s| s.spawn(|| call(&code, second)).join().unwrap()),
            0xdead_beef
        );
    }

    /// The line of the process's map that holds `at`, if it is mapped.
    fn mapping(at: *const u8) -> Option<String> {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        maps.lines()
            .find(|line| {
                let (range, _) = line.split_once(' ').unwrap();
                let (from, to) = range.split_once('-').unwrap();
                let edge = |text| usize::from_str_radix(text, 16).unwrap();
                (edge(from)..edge(to)).contains(&at.addr())
            })
            .map(str::to_owned)
    }

    #[test]
    fn code_can_be_executed_but_never_written() {
        let code = Code::new(&constant(1)).unwrap();
        let line = mapping(code.entry(0)).unwrap();
        assert!(line.contains(" r-xs "), "{line}");
        // SAFETY: only asks for rights of a mapping that this test owns; the kernel must refuse.
        let made_writable = unsafe {
            rustix::mm::mprotect(
                code.at.as_ptr().cast(),
                code.bytes,
                rustix::mm::MprotectFlags::READ | rustix::mm::MprotectFlags::WRITE,
            )
        };
        assert_eq!(made_writable, Err(rustix::io::Errno::ACCESS));
        assert_eq!(call(&code, 0), 1);
    }

    #[test]
    fn dropped_code_is_unmapped() {
        // Of a size of its own: small code of another test may take its place at once.
        let code = Code::new(&vec![0xc3; 64 << 20]).unwrap();
        let (first, last) = (code.entry(0), code.entry((64 << 20) - 1));
        let whole = mapping(first).unwrap();
        assert_eq!(mapping(last).as_ref(), Some(&whole));
        drop(code);
        assert_ne!(mapping(first).as_ref(), Some(&whole));
        assert_ne!(mapping(last).as_ref(), Some(&whole));
    }

    #[test]
    #[should_panic(expected = "entry 6 of 6 bytes")]
    fn an_entry_beyond_the_code_is_refused() {
        Code::new(&constant(1)).unwrap().entry(6);
    }

    #[test]
    fn no_code_is_an_error() {
        assert_eq!(Code::new(&[]).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
