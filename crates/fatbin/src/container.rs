//! The container: header and entries.

use crate::FatbinError;

/// First four bytes of a fatbin, little endian.
pub const MAGIC: u32 = 0xba55_ed50;

/// Bytes of the fatbin's own header, at least.
const HEADER: usize = 16;
/// Bytes of an entry's header, at least: up to and with the unpacked size.
const ENTRY_HEADER: usize = 64;
/// More than any program seen has, by far; bounds the work on hostile bytes.
const MAX_ENTRIES: usize = 4096;

const FLAG_LZ4: u64 = 0x2000;
const FLAG_ZSTD: u64 = 0x8000;
const FLAG_ARCH: u64 = 0x10_0000;
const FLAG_FAMILY: u64 = 0x20_0000;

/// What an entry holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// PTX text.
    Ptx,
    /// Machine code in an ELF file.
    Cubin,
    /// Something else, by its number.
    Other(u16),
}

/// How a payload is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// As it is.
    None,
    /// One raw LZ4 block without a frame.
    Lz4,
    /// zstd frames.
    Zstd,
}

/// Which devices an entry is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// `sm_80`: this compute capability and, for PTX, every later one.
    Plain,
    /// `sm_90a`: this compute capability only.
    ArchSpecific,
    /// `sm_100f`: this and later ones of the same major number.
    Family,
}

/// One entry of a fatbin. Borrows from the bytes; nothing is unpacked yet.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// What it holds.
    pub kind: Kind,
    /// Compute capability times ten.
    pub sm: u32,
    /// Which devices it is for.
    pub target: Target,
    /// ISA version of PTX: major, minor.
    pub version: (u16, u16),
    /// Name of the source file where the compiler recorded it, else empty.
    pub name: &'a str,
    /// How the payload is packed.
    pub compression: Compression,
    pub(crate) payload: &'a [u8],
    pub(crate) unpacked_bytes: u64,
}

/// A fatbin.
#[derive(Clone, Debug)]
pub struct Fatbin<'a> {
    entries: Vec<Entry<'a>>,
}

impl<'a> Fatbin<'a> {
    /// Reads the headers of a fatbin that starts at the first byte; bytes behind it are left alone.
    ///
    /// # Errors
    /// Wrong magic or version, sizes that reach beyond `bytes`, more than 4,096 entries.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, FatbinError> {
        let reader = Reader { bytes, base: 0 };
        let found = reader.u32(0, "magic")?;
        if found != MAGIC {
            return Err(FatbinError::Magic {
                format: "fatbin",
                found,
            });
        }
        let version = reader.u16(4, "version")?;
        if version != 1 {
            return Err(FatbinError::Version {
                format: "fatbin",
                version: u32::from(version),
            });
        }
        let header = usize::from(reader.u16(6, "header size")?);
        if header < HEADER {
            return Err(FatbinError::Field {
                offset: 6,
                what: "header size",
                value: header as u64,
            });
        }
        let mut rest = reader.span(header, reader.u64(8, "size of all entries")?, "entries")?;
        let mut entries = Vec::new();
        while !rest.bytes.is_empty() {
            if entries.len() == MAX_ENTRIES {
                return Err(FatbinError::TooManyEntries(MAX_ENTRIES));
            }
            let (entry, next) = entry(rest)?;
            entries.push(entry);
            rest = next;
        }
        Ok(Self { entries })
    }

    /// The entries, in the order of the file.
    #[must_use]
    pub fn entries(&self) -> &[Entry<'a>] {
        &self.entries
    }
}

fn entry<'a>(reader: Reader<'a>) -> Result<(Entry<'a>, Reader<'a>), FatbinError> {
    let header_bytes = reader.u32(4, "entry header size")? as usize;
    if header_bytes < ENTRY_HEADER {
        let value = header_bytes as u64;
        return Err(FatbinError::Field {
            offset: reader.base + 4,
            what: "entry header size",
            value,
        });
    }
    let header = reader.span(0, header_bytes as u64, "entry header")?;
    let stored = reader.span(header_bytes, reader.u64(8, "payload size")?, "payload")?;
    let next = header_bytes + stored.bytes.len();
    let rest = Reader {
        bytes: reader.bytes.get(next..).unwrap_or_default(),
        base: reader.base + next,
    };

    let flags = header.u64(40, "flags")?;
    let packed = u64::from(header.u32(16, "compressed size")?);
    let compression = match (packed, flags & FLAG_LZ4 != 0, flags & FLAG_ZSTD != 0) {
        (0, ..) => Compression::None,
        (_, true, false) => Compression::Lz4,
        (_, false, true) => Compression::Zstd,
        _ => {
            return Err(FatbinError::Field {
                offset: reader.base + 40,
                what: "compression flags",
                value: flags,
            });
        }
    };
    let payload = match compression {
        Compression::None => stored.bytes,
        _ => stored.span(0, packed, "compressed payload")?.bytes,
    };
    let (name_offset, name_bytes) = (header.u32(32, "name offset")?, header.u32(36, "name size")?);
    let name = if name_bytes == 0 {
        ""
    } else {
        let name = header.span(name_offset as usize, u64::from(name_bytes), "name")?;
        let text = std::str::from_utf8(name.bytes).map_err(|_| FatbinError::Name { offset: name.base })?;
        text.trim_end_matches('\0')
    };
    let entry = Entry {
        kind: match header.u16(0, "kind")? {
            1 => Kind::Ptx,
            2 => Kind::Cubin,
            other => Kind::Other(other),
        },
        sm: header.u32(28, "sm")?,
        target: match (flags & FLAG_ARCH != 0, flags & FLAG_FAMILY != 0) {
            (true, _) => Target::ArchSpecific,
            (false, true) => Target::Family,
            (false, false) => Target::Plain,
        },
        version: (header.u16(26, "major")?, header.u16(24, "minor")?),
        name,
        compression,
        payload,
        unpacked_bytes: header.u64(56, "unpacked size")?,
    };
    Ok((entry, rest))
}

/// Bytes with the offset of the first, for messages.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) base: usize,
}

impl<'a> Reader<'a> {
    fn array<const N: usize>(self, at: usize, what: &'static str) -> Result<[u8; N], FatbinError> {
        let short = FatbinError::Truncated {
            offset: self.base.saturating_add(at),
            what,
            needed: N as u64,
            left: self.bytes.len().saturating_sub(at),
        };
        self.bytes
            .get(at..)
            .and_then(|b| b.first_chunk())
            .copied()
            .ok_or(short)
    }

    pub(crate) fn u16(self, at: usize, what: &'static str) -> Result<u16, FatbinError> {
        self.array(at, what).map(u16::from_le_bytes)
    }

    pub(crate) fn u32(self, at: usize, what: &'static str) -> Result<u32, FatbinError> {
        self.array(at, what).map(u32::from_le_bytes)
    }

    pub(crate) fn u64(self, at: usize, what: &'static str) -> Result<u64, FatbinError> {
        self.array(at, what).map(u64::from_le_bytes)
    }

    pub(crate) fn span(self, at: usize, length: u64, what: &'static str) -> Result<Self, FatbinError> {
        let rest = self.bytes.get(at..).unwrap_or_default();
        let short = FatbinError::Truncated {
            offset: self.base.saturating_add(at),
            what,
            needed: length,
            left: rest.len(),
        };
        let bytes = usize::try_from(length)
            .ok()
            .and_then(|l| rest.get(..l))
            .ok_or(short)?;
        Ok(Self {
            bytes,
            base: self.base + at,
        })
    }
}
