//! Writes fatbins: for tests and fuzzers of whoever reads them.

use crate::{Compression, MAGIC, Target};

/// An entry to be written.
#[derive(Clone, Debug)]
pub struct NewEntry<'a> {
    /// 1 PTX, 2 cubin.
    pub kind: u16,
    /// Compute capability times ten.
    pub sm: u32,
    /// Which devices it is for.
    pub target: Target,
    /// Name of the source file; may be empty.
    pub name: &'a str,
    /// How to pack.
    pub compression: Compression,
    /// What to pack.
    pub payload: &'a [u8],
}

impl<'a> NewEntry<'a> {
    /// Plain PTX for a target.
    #[must_use]
    pub fn ptx(sm: u32, text: &'a [u8]) -> Self {
        Self {
            kind: 1,
            sm,
            target: Target::Plain,
            name: "",
            compression: Compression::None,
            payload: text,
        }
    }

    /// The same, packed.
    #[must_use]
    pub fn packed(self, compression: Compression) -> Self {
        Self { compression, ..self }
    }
}

/// Writes a fatbin.
#[must_use]
pub fn fatbin(entries: &[NewEntry<'_>]) -> Vec<u8> {
    let mut body = Vec::new();
    for new in entries {
        entry(new, &mut body);
    }
    let mut out = Vec::new();
    out.extend_from_slice(&MAGIC.to_le_bytes());
    out.extend_from_slice(&1_u16.to_le_bytes());
    out.extend_from_slice(&16_u16.to_le_bytes());
    out.extend_from_slice(&(body.len() as u64).to_le_bytes());
    out.append(&mut body);
    out
}

fn entry(new: &NewEntry<'_>, out: &mut Vec<u8>) {
    let packed = match new.compression {
        Compression::None => None,
        Compression::Lz4 => Some(lz4_flex::block::compress(new.payload)),
        Compression::Zstd => Some(ruzstd::encoding::compress_to_vec(
            new.payload,
            ruzstd::encoding::CompressionLevel::Fastest,
        )),
    };
    let mut flags = 0x11_u64;
    flags |= match new.compression {
        Compression::None => 0,
        Compression::Lz4 => 0x2000,
        Compression::Zstd => 0x8000,
    };
    flags |= match new.target {
        Target::Plain => 0,
        Target::ArchSpecific => 0x10_0000,
        Target::Family => 0x20_0000,
    };
    let stored = packed.as_deref().unwrap_or(new.payload);
    let mut name = new.name.as_bytes().to_vec();
    name.resize(name.len().next_multiple_of(8), 0);
    let small = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
    let mut put = |bytes: &[u8]| out.extend_from_slice(bytes);
    put(&new.kind.to_le_bytes());
    put(&0x0101_u16.to_le_bytes());
    put(&small(64 + name.len()).to_le_bytes());
    put(&(stored.len().next_multiple_of(8) as u64).to_le_bytes());
    put(&small(packed.as_ref().map_or(0, Vec::len)).to_le_bytes());
    put(&0_u32.to_le_bytes());
    put(&3_u16.to_le_bytes());
    put(&8_u16.to_le_bytes());
    put(&new.sm.to_le_bytes());
    put(&if name.is_empty() { 0_u32 } else { 64 }.to_le_bytes());
    put(&small(new.name.len()).to_le_bytes());
    put(&flags.to_le_bytes());
    put(&0_u64.to_le_bytes());
    put(&(if packed.is_some() {
        new.payload.len() as u64
    } else {
        0
    })
    .to_le_bytes());
    put(&name);
    put(stored);
    put(&vec![0; stored.len().next_multiple_of(8) - stored.len()]);
}
