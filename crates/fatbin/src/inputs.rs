//! Inputs of a link: what a program hands to a linker becomes the PTX texts that are linked.
//!
//! ```text
//!  PTX      ─────────────────────────────▶ its text, up to a NUL
//!  fatbin   ── the best PTX for a target ─▶ its text
//!  cubin    ── made by a linker of ours ──▶ the texts in it
//!           ── native code ───────────────▶ refused
//!  object   ── of each fatbin in it ──────▶ its text
//!  library  ── of each object in it ───────▶ their texts
//!           ── the device runtime ────────▶ nothing: the device has its functions
//! ```
//!
//! `cuLinkAddData` and `nvJitLinkAddData` are both this; codes and logs are theirs.

use crate::host::{members, object_fatbins};
use crate::{Fatbin, FatbinError, Image, NoImage, best_ptx, unpack_linked};
use thiserror::Error;

/// What the program says an input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputKind {
    /// A text.
    Ptx,
    /// A fatbin.
    Fatbin,
    /// What a linker or an assembler returned.
    Cubin,
    /// An object file of the host with device code in it.
    Object,
    /// An archive of such files.
    Library,
}

/// One text to be linked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputText {
    /// What the program calls the input, or what a container calls the text.
    pub name: String,
    /// The text, without a NUL.
    pub bytes: Vec<u8>,
}

/// For whom is linked.
#[derive(Clone, Copy, Debug)]
pub struct LinkTarget {
    /// Compute capability: of the texts in a fatbin the best one for it is taken.
    pub capability: (u32, u32),
    /// Bytes that an unpacked text may have.
    pub limit: usize,
}

/// Why an input cannot be linked.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InputError {
    /// There is nothing in it.
    #[error("{0} is empty")]
    Empty(String),
    /// Machine code of a GPU.
    #[error("{0} is native code (a cubin), which this device does not run; give PTX")]
    NativeCode(String),
    /// The bytes are something else than the program says.
    #[error("{0} is not what it is said to be")]
    Kind(String),
    /// A fatbin has nothing for the target.
    #[error("{0}: {1}")]
    NoImage(String, #[source] NoImage),
    /// A container is damaged.
    #[error("{0}: {1}")]
    Broken(String, #[source] FatbinError),
}

/// The texts of one input.
///
/// # Errors
/// See [`InputError`]. What is wrong inside a text is found when texts are linked.
pub fn input_texts(
    kind: InputKind,
    name: &str,
    bytes: &[u8],
    target: LinkTarget,
) -> Result<Vec<InputText>, InputError> {
    match kind {
        InputKind::Ptx => text(name, bytes).map(|text| vec![text]),
        InputKind::Fatbin => match Image::detect(bytes) {
            Image::Fatbin => fatbin(name, bytes, target),
            Image::Linked => linked(name, bytes),
            Image::Cubin => Err(InputError::NativeCode(name.to_owned())),
            Image::Ptx => text(name, bytes).map(|text| vec![text]),
            Image::Archive | Image::LtoIr | Image::Unknown => Err(InputError::Kind(name.to_owned())),
        },
        InputKind::Cubin => match Image::detect(bytes) {
            Image::Linked => linked(name, bytes),
            _ => Err(InputError::NativeCode(name.to_owned())),
        },
        InputKind::Object => object(name, bytes, target),
        InputKind::Library => library(name, bytes, target),
    }
}

fn text(name: &str, bytes: &[u8]) -> Result<InputText, InputError> {
    // A text ends at its NUL, where it has one.
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    match bytes.get(..end) {
        Some(bytes) if !bytes.is_empty() => Ok(InputText {
            name: name.to_owned(),
            bytes: bytes.to_vec(),
        }),
        _ => Err(InputError::Empty(name.to_owned())),
    }
}

fn fatbin(name: &str, bytes: &[u8], target: LinkTarget) -> Result<Vec<InputText>, InputError> {
    let broken = |error| InputError::Broken(name.to_owned(), error);
    let fatbin = Fatbin::parse(bytes).map_err(broken)?;
    let entry =
        best_ptx(&fatbin, target.capability).map_err(|error| InputError::NoImage(name.to_owned(), error))?;
    let unpacked = entry.bytes(target.limit).map_err(broken)?;
    text(name, &unpacked).map(|text| vec![text])
}

fn linked(name: &str, bytes: &[u8]) -> Result<Vec<InputText>, InputError> {
    unpack_linked(bytes)
        .map_err(|error| InputError::Broken(name.to_owned(), error))?
        .into_iter()
        .map(|(name, bytes)| text(name, bytes))
        .collect()
}

fn object(name: &str, bytes: &[u8], target: LinkTarget) -> Result<Vec<InputText>, InputError> {
    if Image::detect(bytes) != Image::Cubin {
        return Err(InputError::Kind(name.to_owned()));
    }
    let fatbins = object_fatbins(bytes).map_err(|error| InputError::Broken(name.to_owned(), error))?;
    let texts = fatbins.into_iter().map(|bytes| fatbin(name, bytes, target));
    texts.collect::<Result<Vec<_>, _>>().map(|texts| texts.concat())
}

/// All objects of a library, whether something needs them or not. The device runtime library is a special case: every program built with
/// relocatable device code names it, few use anything of it, and what uses something that the device has not fails when names are
/// resolved.
fn library(name: &str, bytes: &[u8], target: LinkTarget) -> Result<Vec<InputText>, InputError> {
    if Image::detect(bytes) != Image::Archive {
        return Err(InputError::Kind(name.to_owned()));
    }
    if name.contains("cudadevrt") {
        return Ok(Vec::new());
    }
    let members = members(bytes).map_err(|error| InputError::Broken(name.to_owned(), error))?;
    let objects = members
        .into_iter()
        .filter(|(_, bytes)| Image::detect(bytes) == Image::Cubin);
    let texts = objects.map(|(member, bytes)| object(&format!("{name}({member})"), bytes, target));
    texts.collect::<Result<Vec<_>, _>>().map(|texts| texts.concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builder::{NewEntry, archive, fatbin, object_file};
    use crate::pack_linked;

    const TARGET: LinkTarget = LinkTarget {
        capability: (9, 0),
        limit: 1 << 20,
    };
    const TEXT: &[u8] = b".version 8.0\n.target sm_80\n";

    fn names(texts: &[InputText]) -> Vec<(&str, &[u8])> {
        texts
            .iter()
            .map(|text| (text.name.as_str(), text.bytes.as_slice()))
            .collect()
    }

    #[test]
    fn a_text_ends_at_its_nul() {
        let mut bytes = TEXT.to_vec();
        bytes.extend_from_slice(b"\0more");
        let texts = input_texts(InputKind::Ptx, "a", &bytes, TARGET).unwrap();
        assert_eq!(names(&texts), [("a", TEXT)]);
        let empty = input_texts(InputKind::Ptx, "a", b"\0", TARGET);
        assert_eq!(empty, Err(InputError::Empty("a".to_owned())));
    }

    #[test]
    fn what_a_linker_made_is_linked_again() {
        let image = pack_linked(&[("one", TEXT), ("two", TEXT)], 0).unwrap();
        for kind in [InputKind::Cubin, InputKind::Fatbin] {
            let texts = input_texts(kind, "image", &image, TARGET).unwrap();
            assert_eq!(names(&texts), [("one", TEXT), ("two", TEXT)]);
        }
        let cut = input_texts(InputKind::Cubin, "image", &image[..image.len() - 1], TARGET);
        assert!(matches!(cut, Err(InputError::Broken(..))), "{cut:?}");
    }

    #[test]
    fn of_a_fatbin_the_best_text_is_taken() {
        let newer = [TEXT, b"// newer\n"].concat();
        let bytes = fatbin(&[
            NewEntry::ptx(80, TEXT),
            NewEntry::ptx(90, &newer),
            NewEntry::ptx(100, b".version 9.0"),
        ]);
        let texts = input_texts(InputKind::Fatbin, "f", &bytes, TARGET).unwrap();
        assert_eq!(names(&texts), [("f", newer.as_slice())]);
        let older = LinkTarget {
            capability: (7, 5),
            ..TARGET
        };
        let none = input_texts(InputKind::Fatbin, "f", &bytes, older);
        assert!(matches!(none, Err(InputError::NoImage(..))), "{none:?}");
    }

    #[test]
    fn files_of_the_host_give_what_is_in_them() {
        let one = fatbin(&[NewEntry::ptx(80, TEXT)]);
        let two = [one.clone(), vec![0; 24], one.clone()].concat();
        let object = object_file(&[(".text", b"host"), ("__nv_relfatbin", &one), (".nv_fatbin", &two)]);
        let texts = input_texts(InputKind::Object, "a.o", &object, TARGET).unwrap();
        assert_eq!(names(&texts), [("a.o", TEXT); 3]);
        let host = object_file(&[(".text", b"host")]);
        assert_eq!(
            input_texts(InputKind::Object, "h.o", &host, TARGET),
            Ok(Vec::new())
        );

        let object = object_file(&[("__nv_relfatbin", &one)]);
        let long = "a_name_of_more_than_fifteen_letters.o";
        let library = archive(&[
            ("a.o", &object),
            ("h.o", &host),
            ("odd.txt", b"odd"),
            (long, &object),
        ]);
        let texts = input_texts(InputKind::Library, "l.a", &library, TARGET).unwrap();
        let long = format!("l.a({long})");
        assert_eq!(names(&texts), [("l.a(a.o)", TEXT), (long.as_str(), TEXT)]);

        for length in 0..library.len() {
            // Between members an archive may end; nowhere else.
            let cut = input_texts(InputKind::Library, "l.a", &library[..length], TARGET);
            assert!(
                cut.as_ref().map_or(true, |texts| texts.len() < 2),
                "{length}: {cut:?}"
            );
        }
        for length in 0..object.len() {
            assert!(
                input_texts(InputKind::Object, "a.o", &object[..length], TARGET).is_err(),
                "{length}"
            );
        }
    }

    #[test]
    fn what_is_no_ptx_is_refused_by_its_name() {
        for (kind, bytes) in [
            (InputKind::Cubin, b"\x7fELF".as_slice()),
            (InputKind::Fatbin, b"\x7fELF"),
            (InputKind::Object, b"hello"),
            (InputKind::Library, b"hello"),
            (InputKind::Fatbin, b"hello"),
        ] {
            let error = input_texts(kind, "it.o", bytes, TARGET).unwrap_err();
            assert!(error.to_string().starts_with("it.o is"), "{error}");
        }
        let runtime = input_texts(InputKind::Library, "/lib/libcudadevrt.a", b"!<arch>\n", TARGET);
        assert_eq!(runtime, Ok(Vec::new()));
    }
}
