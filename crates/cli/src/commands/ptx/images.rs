//! PTX in files: texts as they are, and texts in the fatbins of programs, libraries and object files.
//!
//! A fatbin may stand anywhere in a file: after the linker there are many of them one after the other, in archives and
//! object files they stand where the format puts sections. So every place that has the magic number is tried.

use std::borrow::Cow;
use tessera_fatbin::{Entry, Fatbin, Image as Format, Kind, MAGIC, Target, best_ptx, unpack_linked};

/// Bytes that a text may have when it is unpacked.
const LIMIT: usize = 1 << 30;

/// A module and where it was found.
pub(super) struct Found<'a> {
    /// What to call it inside its file; empty for a file that is one module.
    pub(super) name: String,
    image: Image<'a>,
}

enum Image<'a> {
    /// Texts that are linked with each other.
    Texts(Vec<&'a [u8]>),
    Packed(Entry<'a>),
}

impl Found<'_> {
    /// The texts of the module, unpacked.
    pub(super) fn texts(&self) -> Result<Vec<Cow<'_, [u8]>>, String> {
        match &self.image {
            Image::Texts(texts) => Ok(texts.iter().copied().map(Cow::Borrowed).collect()),
            Image::Packed(entry) => entry
                .bytes(LIMIT)
                .map(|text| vec![text])
                .map_err(|error| error.to_string()),
        }
    }
}

/// Every module of a file; with a compute capability only those of fatbins that such a device would take.
pub(super) fn find(file: &[u8], capability: Option<(u32, u32)>) -> Result<Vec<Found<'_>>, String> {
    let whole = |texts| {
        let image = Image::Texts(texts);
        Ok(vec![Found {
            name: String::new(),
            image,
        }])
    };
    match Format::detect(file) {
        Format::Ptx => return whole(vec![file]),
        Format::Linked => {
            let texts = unpack_linked(file).map_err(|error| error.to_string())?;
            return whole(texts.into_iter().map(|(_, text)| text).collect());
        }
        // A file that says that it is one has to be one.
        Format::Fatbin => {
            Fatbin::parse(file).map_err(|error| error.to_string())?;
        }
        Format::Cubin | Format::Archive | Format::LtoIr | Format::Unknown => {}
    }
    let mut found = Vec::new();
    for at in places(file) {
        let Ok(fatbin) = Fatbin::parse(&file[at..]) else {
            continue;
        };
        let chosen = match capability {
            Some(capability) => best_ptx(&fatbin, capability).ok().into_iter().copied().collect(),
            None => fatbin.entries().to_vec(),
        };
        let texts = chosen.into_iter().filter(|entry| entry.kind == Kind::Ptx);
        found.extend(texts.map(|entry| Found {
            name: format!("{}{} at {at:#x}", target(&entry), file_name(entry.name)),
            image: Image::Packed(entry),
        }));
    }
    Ok(found)
}

fn places(file: &[u8]) -> impl Iterator<Item = usize> {
    let magic = MAGIC.to_le_bytes();
    let starts = file
        .iter()
        .enumerate()
        .filter(move |(_, byte)| **byte == magic[0]);
    starts
        .filter(move |(at, _)| file[*at..].starts_with(&magic))
        .map(|(at, _)| at)
}

fn target(entry: &Entry<'_>) -> String {
    let suffix = match entry.target {
        Target::Plain => "",
        Target::ArchSpecific => "a",
        Target::Family => "f",
    };
    format!("sm_{}{suffix}", entry.sm)
}

fn file_name(name: &str) -> String {
    if name.is_empty() {
        String::new()
    } else {
        format!(" {name}")
    }
}
