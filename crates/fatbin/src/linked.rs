//! The container that our linker returns: the PTX texts that were linked, to be compiled together when they are loaded.
//!
//! ```text
//!   0  magic    8 bytes "TESSLNK1"
//!   8  bytes    u64   of the whole container
//!  16  count    u32   texts
//!  20  registers u32  of a thread at most, as the linker was told; 0: no limit
//!  24  count times:  name bytes u32 │ text bytes u32 │ name (UTF-8) │ text │ zero padding to a multiple of 8
//! ```
//! Little endian. The last digit of the magic is the version; a reader refuses others.

use crate::FatbinError;
use crate::container::Reader;

/// First bytes of the container. It starts with a `T`, as neither PTX, ELF, a fatbin nor an archive does.
pub const LINKED_MAGIC: [u8; 8] = *b"TESSLNK1";

const HEADER: usize = 24;
/// Texts in one container, at most.
const MAX_TEXTS: u32 = 4096;

/// Packs texts with their names; their kernels are to have `max_registers` registers at most, where that is not 0.
///
/// # Errors
/// [`FatbinError::TooLarge`] for a name or text of 4 GiB or more, [`FatbinError::TooManyEntries`].
pub fn pack_linked(texts: &[(&str, &[u8])], max_registers: u32) -> Result<Vec<u8>, FatbinError> {
    let count = u32::try_from(texts.len()).ok().filter(|&c| c <= MAX_TEXTS);
    let count = count.ok_or(FatbinError::TooManyEntries(MAX_TEXTS as usize))?;
    let length = |bytes: usize| {
        u32::try_from(bytes).map_err(|_| FatbinError::TooLarge {
            bytes: bytes as u64,
            limit: u32::MAX as usize,
        })
    };
    let mut out = Vec::new();
    out.extend_from_slice(&LINKED_MAGIC);
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&count.to_le_bytes());
    out.extend_from_slice(&max_registers.to_le_bytes());
    for (name, text) in texts {
        out.extend_from_slice(&length(name.len())?.to_le_bytes());
        out.extend_from_slice(&length(text.len())?.to_le_bytes());
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(text);
        out.resize(out.len().next_multiple_of(8), 0);
    }
    let total = (out.len() as u64).to_le_bytes();
    if let Some(field) = out.get_mut(8..16) {
        field.copy_from_slice(&total);
    }
    Ok(out)
}

/// The registers that kernels of a container have at most; 0 where it sets no limit, or is none.
#[must_use]
pub fn linked_registers(bytes: &[u8]) -> u32 {
    match bytes.get(..HEADER) {
        Some(header) if header.starts_with(&LINKED_MAGIC) => {
            Reader { bytes, base: 0 }.u32(20, "registers").unwrap_or(0)
        }
        _ => 0,
    }
}

/// The texts of a container with their names.
///
/// # Errors
/// Wrong magic, sizes that reach beyond `bytes`, names that are not UTF-8.
pub fn unpack_linked(bytes: &[u8]) -> Result<Vec<(&str, &[u8])>, FatbinError> {
    let reader = Reader { bytes, base: 0 };
    if !bytes.starts_with(&LINKED_MAGIC) {
        return Err(FatbinError::Magic {
            format: "linked image",
            found: reader.u32(0, "magic")?,
        });
    }
    let whole = reader.span(0, reader.u64(8, "size")?, "linked image")?;
    let count = whole.u32(16, "count")?;
    if count > MAX_TEXTS {
        return Err(FatbinError::TooManyEntries(MAX_TEXTS as usize));
    }
    let mut at = HEADER;
    let mut texts = Vec::new();
    for _ in 0..count {
        let (name_bytes, text_bytes) = (whole.u32(at, "name size")?, whole.u32(at + 4, "text size")?);
        let name = whole.span(at + 8, u64::from(name_bytes), "name")?;
        let text = whole.span(at + 8 + name.bytes.len(), u64::from(text_bytes), "text")?;
        let name_text =
            std::str::from_utf8(name.bytes).map_err(|_| FatbinError::Name { offset: name.base })?;
        texts.push((name_text, text.bytes));
        at = (at + 8 + name.bytes.len() + text.bytes.len()).next_multiple_of(8);
    }
    Ok(texts)
}
