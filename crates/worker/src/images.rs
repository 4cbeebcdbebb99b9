//! From the images that a guest hands over to the PTX texts that the device compiles.

use crate::refusal::Refusal;
use tessera_channel::Session;
use tessera_fatbin::{Fatbin, FatbinError, Image, best_ptx, unpack_linked};
use tessera_wire::{CudaCode, ImageList, PLACE_STAGING};

/// A PTX text with a name for messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text {
    pub(crate) name: String,
    pub(crate) text: Vec<u8>,
}

/// Copies the images of a message into private memory, at most `limit` bytes in all.
pub(crate) fn fetch(channel: &Session, tail: &[u8], limit: u64) -> Result<Vec<(String, Vec<u8>)>, Refusal> {
    let list = ImageList::decode(tail)?;
    if list.images.is_empty() {
        return Err(Refusal::invalid("No image to load"));
    }
    let mut left = limit;
    let mut images = Vec::new();
    for image in &list.images {
        left = left.checked_sub(image.bytes).ok_or_else(|| {
            Refusal::new(
                CudaCode::OutOfMemory,
                format!("The images have more than {limit} bytes"),
            )
        })?;
        let bytes = if image.place == PLACE_STAGING {
            channel
                .staging(image.offset, image.bytes)
                .map(|range| range.to_vec())
        } else {
            list.inline_bytes(image).map(<[u8]>::to_vec)
        };
        let bytes = bytes.ok_or_else(|| Refusal::invalid("Image outside of staging heap and message"))?;
        images.push((image.name.to_owned(), bytes));
    }
    Ok(images)
}

/// The PTX texts of all images that a device of this compute capability can run, at most `limit` bytes in all.
pub(crate) fn texts(
    images: &[(String, Vec<u8>)],
    capability: (u32, u32),
    limit: u64,
) -> Result<Vec<Text>, Refusal> {
    let mut collected = Collected {
        texts: Vec::new(),
        left: usize::try_from(limit).unwrap_or(usize::MAX),
        limit,
    };
    let mut left_out = None;
    for (name, bytes) in images {
        match collected.image(name, bytes, capability) {
            // Every program that links device code (`-rdc=true`) carries the compiler's device runtime, machine code with PTX for the
            // newest target only. What does refer to a unit that is left out has an undefined name, which the linker tells.
            Err(refusal) if refusal.code == CudaCode::NoBinaryForGpu && images.len() > 1 => {
                tracing::info!(name = shown(name), "unit without PTX is left out of the link");
                left_out.get_or_insert(refusal);
            }
            result => result?,
        }
    }
    if let (true, Some(refusal)) = (collected.texts.is_empty(), left_out) {
        return Err(refusal);
    }
    if collected.texts.is_empty() {
        let reason = "None of the images holds PTX, which is what this device compiles";
        return Err(Refusal::new(CudaCode::NoBinaryForGpu, reason));
    }
    Ok(collected.texts)
}

struct Collected {
    texts: Vec<Text>,
    left: usize,
    limit: u64,
}

fn shown(name: &str) -> &str {
    if name.is_empty() { "image" } else { name }
}

impl Collected {
    fn add(&mut self, name: &str, text: &[u8]) -> Result<(), Refusal> {
        // NUL padding behind the text is no part of it.
        let used = text
            .iter()
            .rposition(|&byte| byte != 0)
            .map_or(0, |last| last + 1);
        let text = text.get(..used).unwrap_or_default();
        self.left = self.left.checked_sub(text.len()).ok_or_else(|| {
            let reason = format!("Unpacked, the images have more than {} bytes", self.limit);
            Refusal::new(CudaCode::OutOfMemory, reason)
        })?;
        self.texts.push(Text {
            name: name.to_owned(),
            text: text.to_vec(),
        });
        Ok(())
    }

    fn image(&mut self, name: &str, bytes: &[u8], capability: (u32, u32)) -> Result<(), Refusal> {
        let invalid =
            |error: FatbinError| Refusal::new(CudaCode::InvalidImage, format!("{}: {error}", shown(name)));
        match Image::detect(bytes) {
            Image::Ptx => self.add(name, bytes),
            Image::Fatbin => {
                let fatbin = Fatbin::parse(bytes).map_err(invalid)?;
                let entry = best_ptx(&fatbin, capability).map_err(|error| {
                    Refusal::new(CudaCode::NoBinaryForGpu, format!("{}: {error}", shown(name)))
                })?;
                let text = entry.bytes(self.left).map_err(invalid)?;
                self.add(if entry.name.is_empty() { name } else { entry.name }, &text)
            }
            Image::Linked => {
                for (name, text) in unpack_linked(bytes).map_err(invalid)? {
                    self.add(name, text)?;
                }
                Ok(())
            }
            Image::Cubin => Err(Refusal::new(
                CudaCode::NoBinaryForGpu,
                format!(
                    "{} is machine code (SASS), which only a GPU of its own kind runs; this device compiles PTX. Build with PTX, for \
                     instance `nvcc -gencode arch=compute_80,code=compute_80`",
                    shown(name)
                ),
            )),
            // Device libraries hold machine code; what needs them is left with an undefined name, which the linker tells.
            Image::Archive => {
                tracing::info!(name = shown(name), "library without PTX is left out of the link");
                Ok(())
            }
            Image::LtoIr => Err(Refusal::new(
                CudaCode::NoBinaryForGpu,
                format!("{} is LTO-IR, which only nvJitLink compiles", shown(name)),
            )),
            Image::Unknown => Err(Refusal::new(
                CudaCode::InvalidImage,
                format!("{} is neither PTX nor a fatbin", shown(name)),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tessera_fatbin::builder::{NewEntry, fatbin};
    use tessera_fatbin::{Compression, pack_linked};

    const OLD: &[u8] = b".version 7.0\n.target sm_80\n// old";
    const NEW: &[u8] = b".version 7.8\n.target sm_90\n// new";

    fn run(bytes: Vec<u8>, limit: u64) -> Result<Vec<Text>, Refusal> {
        texts(&[("a.cu".to_owned(), bytes)], (9, 0), limit)
    }

    #[test]
    fn every_kind_of_image_yields_its_text() {
        let plain = run([OLD, b"\0\0"].concat(), 1000).unwrap();
        assert_eq!((plain[0].name.as_str(), plain[0].text.as_slice()), ("a.cu", OLD));
        for compression in [Compression::None, Compression::Lz4, Compression::Zstd] {
            let entries = [
                NewEntry::ptx(80, OLD),
                NewEntry::ptx(90, NEW),
                NewEntry::ptx(120, OLD),
            ];
            let packed = fatbin(&entries.map(|entry| entry.packed(compression)));
            assert_eq!(run(packed, 1000).unwrap()[0].text, NEW, "{compression:?}");
        }
        let linked = pack_linked(&[("one", OLD), ("two", NEW)], 0).unwrap();
        let linked = run(linked, 1000).unwrap();
        assert_eq!((linked.len(), linked[1].name.as_str()), (2, "two"));
    }

    #[test]
    fn a_unit_without_ptx_is_left_out_of_a_link() {
        let own = ("a.cu".to_owned(), fatbin(&[NewEntry::ptx(80, OLD)]));
        let runtime = (String::new(), fatbin(&[NewEntry::ptx(121, NEW)]));
        let found = texts(&[runtime.clone(), own], (9, 0), 1000).unwrap();
        assert_eq!((found.len(), found[0].text.as_slice()), (1, OLD));
        let refused = texts(&[runtime.clone(), runtime], (9, 0), 1000).unwrap_err();
        assert_eq!(refused.code, CudaCode::NoBinaryForGpu);
    }

    #[test]
    fn what_cannot_run_is_refused_with_the_right_code() {
        let code = |bytes: Vec<u8>, limit| run(bytes, limit).unwrap_err().code;
        assert_eq!(code(b"\x7fELF....".to_vec(), 1000), CudaCode::NoBinaryForGpu);
        assert_eq!(
            code(fatbin(&[NewEntry::ptx(120, OLD)]), 1000),
            CudaCode::NoBinaryForGpu
        );
        assert_eq!(code(b"!<arch>\n".to_vec(), 1000), CudaCode::NoBinaryForGpu);
        assert_eq!(code(b"hello".to_vec(), 1000), CudaCode::InvalidImage);
        let mut cut = fatbin(&[NewEntry::ptx(80, OLD)]);
        cut.truncate(40);
        assert_eq!(code(cut, 1000), CudaCode::InvalidImage);
        assert_eq!(code(OLD.to_vec(), 10), CudaCode::OutOfMemory);
    }
}
