//! Writes fatbins and the files that hold them: for tests and fuzzers of whoever reads them.

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

/// Writes an object file of the host with these sections.
#[must_use]
pub fn object_file(sections: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = vec![0; 64];
    let mut names = vec![0];
    let mut headers = vec![0; 64];
    let mut section = |name: &str, at: usize, bytes: usize| {
        let mut header = [0; 64];
        header[..4].copy_from_slice(&u32::try_from(names.len()).unwrap_or(0).to_le_bytes());
        header[24..32].copy_from_slice(&(at as u64).to_le_bytes());
        header[32..40].copy_from_slice(&(bytes as u64).to_le_bytes());
        names.extend_from_slice(name.as_bytes());
        names.push(0);
        headers.extend_from_slice(&header);
        names.clone()
    };
    for (name, bytes) in sections {
        section(name, out.len(), bytes.len());
        out.extend_from_slice(bytes);
        out.resize(out.len().next_multiple_of(8), 0);
    }
    let all_names = ".shstrtab";
    let bytes = sections.iter().map(|(name, _)| name.len() + 1).sum::<usize>() + all_names.len() + 2;
    let names = section(all_names, out.len(), bytes);
    out.extend_from_slice(&names);
    out.resize(out.len().next_multiple_of(8), 0);
    let count = u16::try_from(sections.len() + 2).unwrap_or(0);
    out[..6].copy_from_slice(b"\x7fELF\x02\x01");
    // An object for x86-64.
    out[16..20].copy_from_slice(&[1, 0, 62, 0]);
    let place = (out.len() as u64).to_le_bytes();
    out[40..48].copy_from_slice(&place);
    out[58..60].copy_from_slice(&64_u16.to_le_bytes());
    out[60..62].copy_from_slice(&count.to_le_bytes());
    out[62..64].copy_from_slice(&(count - 1).to_le_bytes());
    out.extend_from_slice(&headers);
    out
}

/// Writes an archive of files.
#[must_use]
pub fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let is_long = |name: &str| name.len() > 15;
    let mut long_names = Vec::new();
    let mut members = Vec::new();
    for (name, bytes) in files {
        let short = if is_long(name) {
            let at = long_names.len();
            long_names.extend_from_slice(format!("{name}/\n").as_bytes());
            format!("/{at}")
        } else {
            format!("{name}/")
        };
        members.push((short, *bytes));
    }
    if !long_names.is_empty() {
        members.insert(0, ("//".to_owned(), long_names.as_slice()));
    }
    let mut out = b"!<arch>\n".to_vec();
    for (name, bytes) in members {
        let header = format!(
            "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n",
            0,
            0,
            0,
            644,
            bytes.len()
        );
        out.extend_from_slice(header.as_bytes());
        out.extend_from_slice(bytes);
        if out.len() % 2 == 1 {
            out.push(b'\n');
        }
    }
    out
}
