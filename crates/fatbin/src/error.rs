//! Why bytes are no fatbin.

use thiserror::Error;

/// Errors of this crate. Offsets are bytes from the start of what was given.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FatbinError {
    /// The first bytes are not those of the format.
    #[error("Not a {format}: it starts with {found:#010x}")]
    Magic {
        /// Which format was expected.
        format: &'static str,
        /// The first four bytes.
        found: u32,
    },
    /// A version of the format that is not known.
    #[error("Unknown version {version} of a {format}")]
    Version {
        /// Which format.
        format: &'static str,
        /// What it says.
        version: u32,
    },
    /// The bytes end before what they announce.
    #[error("Truncated at offset {offset}: {what} needs {needed} bytes, {left} are there")]
    Truncated {
        /// Where.
        offset: usize,
        /// What was being read.
        what: &'static str,
        /// Bytes it needs.
        needed: u64,
        /// Bytes that are there.
        left: usize,
    },
    /// A field has a value that makes no sense.
    #[error("Bad field at offset {offset}: {what} is {value}")]
    Field {
        /// Where.
        offset: usize,
        /// Which.
        what: &'static str,
        /// Its value.
        value: u64,
    },
    /// More entries than any program has.
    #[error("More than {0} entries")]
    TooManyEntries(usize),
    /// Unpacked, the entry is larger than the caller allows.
    #[error("Unpacked, the entry has {bytes} bytes or more; {limit} are allowed")]
    TooLarge {
        /// What it says or reached.
        bytes: u64,
        /// What is allowed.
        limit: usize,
    },
    /// The compressed bytes do not unpack.
    #[error("The {method} payload does not unpack: {reason}")]
    Compression {
        /// LZ4 or zstd.
        method: &'static str,
        /// What the library said.
        reason: String,
    },
    /// A name is not UTF-8.
    #[error("A name at offset {offset} is not UTF-8")]
    Name {
        /// Where.
        offset: usize,
    },
}
