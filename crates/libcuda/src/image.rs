//! Module images as programs hand them over: a bare pointer whose length is written in what it points to.
//!
//! ```text
//!   0x466243b1  wrapper: version 1 ─▶ one fatbin;  version 2 ─▶ a null-terminated array of fatbins, to be linked together
//!   0xba55ed50  fatbin: 16 bytes of header, which say the length of all entries
//!   "TESSLNK1"  what cuLinkComplete made: several texts, to be linked together
//!   0x7f 'ELF'  a cubin: native code, which this device does not run
//!   text        PTX, up to its NUL
//! ```
//!
//! The worker reads the images; here only their ends are found.

use crate::code::{Answer, Code};
use crate::types::{Caller, c_void};

const WRAPPER: u32 = 0x4662_43b1;
const FATBIN: u32 = 0xba55_ed50;
const ELF: u32 = 0x464c_457f;
const FATBIN_HEADER_BYTES: usize = 16;
/// Begins the container that the linker makes; its length is the second word.
const LINKED: [u8; 8] = tessera_fatbin::LINKED_MAGIC;
/// More translation units or linker inputs than any program has; a wild array ends here.
const MOST_IMAGES: usize = 65_536;

/// Bytes of one image, still in the program's memory or owned.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
}

/// The images that `pointer` stands for, copied.
pub(crate) fn read(pointer: Caller<c_void>) -> Answer<Vec<Image>> {
    let mut list = Vec::new();
    collect(pointer, &mut list)?;
    Ok(list)
}

/// The images in bytes whose end is known: nothing is read past it.
pub(crate) fn read_checked(bytes: &[u8]) -> Answer<Vec<Image>> {
    let claimed = match bytes.get(..24) {
        Some(head) if head.starts_with(&FATBIN.to_le_bytes()) => {
            let header = u64::from(u16::from_le_bytes([head[6], head[7]]));
            u64_at(head, 8).checked_add(header).ok_or(Code::INVALID_IMAGE)?
        }
        Some(head) if head.starts_with(&LINKED) => u64_at(head, 8),
        // A wrapper is pointers, which mean nothing in a file.
        Some(head) if head.starts_with(&WRAPPER.to_le_bytes()) => return Err(Code::INVALID_IMAGE),
        Some(_) => 0,
        None => return Err(Code::INVALID_IMAGE),
    };
    if claimed > bytes.len() as u64 || !bytes.contains(&0) {
        return Err(Code::INVALID_IMAGE);
    }
    read(Caller::from_raw(bytes.as_ptr().cast_mut().cast()))
}

fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    bytes
        .get(offset..)
        .and_then(|rest| rest.first_chunk::<8>())
        .map_or(0, |word| u64::from_le_bytes(*word))
}

fn collect(pointer: Caller<c_void>, list: &mut Vec<Image>) -> Answer {
    // Byte by byte: a text may end before a word does.
    let byte = |index: usize| pointer.cast::<u8>().at(index);
    let first = byte(0)?;
    if first != 0 && is_text(first, byte(1)?) {
        list.push(Image {
            name: String::new(),
            bytes: pointer.cast::<std::ffi::c_char>().text_bytes()?,
        });
        return Ok(());
    }
    if first == 0 {
        return Err(Code::INVALID_IMAGE);
    }
    match pointer.cast::<u32>().get()? {
        WRAPPER => wrapper(pointer, list),
        FATBIN => {
            list.push(fatbin(pointer)?);
            Ok(())
        }
        ELF => {
            tessera_guest::log(
                "a module holds only native code (a cubin), which this device does not run; build it with PTX, for instance with nvcc \
                 -gencode arch=compute_80,code=compute_80",
            );
            Err(Code::NO_BINARY_FOR_GPU)
        }
        _ if pointer.cast::<[u8; 8]>().get()? == LINKED => {
            list.push(linked(pointer)?);
            Ok(())
        }
        _ => Err(Code::INVALID_IMAGE),
    }
}

/// Whether two bytes can begin a text. The magic of a fatbin begins with a letter but goes on with what is no ASCII; the linked
/// container begins with a letter that no PTX begins with.
fn is_text(first: u8, second: u8) -> bool {
    matches!(first, b'\t' | b'\n' | b'\r' | b' '..=b'~') && second.is_ascii() && first != LINKED[0]
}

fn fatbin(pointer: Caller<c_void>) -> Answer<Image> {
    let header = pointer.cast::<u16>().at(3)?;
    let entries = pointer.cast::<u64>().at(1)?;
    let bytes = usize::try_from(entries)
        .ok()
        .filter(|_| usize::from(header) >= FATBIN_HEADER_BYTES)
        .and_then(|bytes| bytes.checked_add(usize::from(header)))
        .ok_or(Code::INVALID_IMAGE)?;
    Ok(Image {
        name: String::new(),
        bytes: pointer.copy_bytes(bytes)?,
    })
}

/// A wrapper's fields: magic, version, data, array.
fn wrapper(pointer: Caller<c_void>, list: &mut Vec<Image>) -> Answer {
    let version = pointer.cast::<u32>().at(1)?;
    let pointers = pointer.cast::<Caller<c_void>>();
    if version == 1 {
        return collect_fatbin(pointers.at(1)?, list);
    }
    if version != 2 {
        return Err(Code::INVALID_IMAGE);
    }
    let array = pointers.at(2)?.cast::<Caller<c_void>>();
    if array.is_null() {
        return collect_fatbin(pointers.at(1)?, list);
    }
    for index in 0..MOST_IMAGES {
        let unit = array.at(index)?;
        if unit.is_null() {
            return if list.is_empty() {
                Err(Code::INVALID_IMAGE)
            } else {
                Ok(())
            };
        }
        collect_fatbin(unit, list)?;
    }
    Err(Code::INVALID_IMAGE)
}

fn collect_fatbin(pointer: Caller<c_void>, list: &mut Vec<Image>) -> Answer {
    if pointer.cast::<u32>().get().map_err(|_| Code::INVALID_IMAGE)? != FATBIN {
        return Err(Code::INVALID_IMAGE);
    }
    list.push(fatbin(pointer)?);
    Ok(())
}

fn linked(pointer: Caller<c_void>) -> Answer<Image> {
    let bytes = usize::try_from(pointer.cast::<u64>().at(1)?).map_err(|_| Code::INVALID_IMAGE)?;
    Ok(Image {
        name: String::new(),
        bytes: pointer.copy_bytes(bytes)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_bytes(bytes: &[u8]) -> Answer<Vec<Image>> {
        read(Caller::from_raw(bytes.as_ptr().cast_mut().cast()))
    }

    #[test]
    fn a_linked_image_is_one_image() {
        let all = tessera_fatbin::pack_linked(&[("a", b".version 7.0"), ("b", b"")], 0).unwrap();
        assert_eq!(read_bytes(&all).unwrap()[0].bytes, all);
        let mut cut = all.clone();
        cut.truncate(all.len() - 1);
        assert_eq!(read_checked(&cut).unwrap_err(), Code::INVALID_IMAGE);
    }

    #[test]
    fn kinds_of_images_are_told_apart() {
        assert_eq!(read_bytes(b"// text\n\0").unwrap()[0].bytes, b"// text\n");
        assert_eq!(
            read_bytes(b"\x7fELF\x02\x01\x01\0").unwrap_err(),
            Code::NO_BINARY_FOR_GPU
        );
        assert_eq!(
            read_bytes(b"\x01\x02\x03\x04\x05\x06\x07\x08").unwrap_err(),
            Code::INVALID_IMAGE
        );
        assert_eq!(read_bytes(b"\0").unwrap_err(), Code::INVALID_IMAGE);
        let mut fatbin = vec![];
        fatbin.extend_from_slice(&FATBIN.to_le_bytes());
        fatbin.extend_from_slice(&[1, 0, 16, 0]);
        fatbin.extend_from_slice(&8u64.to_le_bytes());
        fatbin.extend_from_slice(&[7; 8]);
        assert_eq!(read_bytes(&fatbin).unwrap()[0].bytes, fatbin);
        assert_eq!(read(Caller::null()).unwrap_err(), Code::INVALID_VALUE);
    }
}
