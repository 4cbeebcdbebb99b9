//! What kind of image bytes are.

use crate::{LINKED_MAGIC, MAGIC};

/// First bytes of LTO-IR, as `nvcc -dlto`, NVRTC and libNVVM write it.
const LTO_IR_MAGIC: [u8; 4] = [0xed, 0x43, 0x4e, 0x7f];

/// Kinds of images that programs hand to a driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Image {
    /// A fatbin.
    Fatbin,
    /// PTX text.
    Ptx,
    /// Machine code in an ELF file: nothing that a PTX device can run.
    Cubin,
    /// A library of object files, such as `libcudadevrt.a`.
    Archive,
    /// What our linker returned.
    Linked,
    /// LTO-IR: the compiler's own form, for a linker that compiles.
    LtoIr,
    /// None of these.
    Unknown,
}

impl Image {
    /// Looks at the first bytes; for PTX at the first directive, past white space and comments.
    #[must_use]
    pub fn detect(bytes: &[u8]) -> Self {
        if bytes.starts_with(&MAGIC.to_le_bytes()) {
            Self::Fatbin
        } else if bytes.starts_with(b"\x7fELF") {
            Self::Cubin
        } else if bytes.starts_with(b"!<arch>\n") {
            Self::Archive
        } else if bytes.starts_with(&LINKED_MAGIC) {
            Self::Linked
        } else if bytes.starts_with(&LTO_IR_MAGIC) {
            Self::LtoIr
        } else if first_word(bytes).starts_with(b".version") {
            Self::Ptx
        } else {
            Self::Unknown
        }
    }
}

/// The bytes from the first that is neither white space nor part of a comment.
fn first_word(mut bytes: &[u8]) -> &[u8] {
    loop {
        let start = bytes
            .iter()
            .position(|b| !b.is_ascii_whitespace())
            .unwrap_or(bytes.len());
        bytes = bytes.get(start..).unwrap_or_default();
        let end = if bytes.starts_with(b"//") {
            bytes.iter().position(|&b| b == b'\n')
        } else if bytes.starts_with(b"/*") {
            bytes.windows(2).skip(2).position(|w| w == b"*/").map(|at| at + 4)
        } else {
            return bytes;
        };
        bytes = end.and_then(|end| bytes.get(end..)).unwrap_or_default();
    }
}
