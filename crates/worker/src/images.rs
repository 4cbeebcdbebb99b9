//! From the images that a guest hands over to the PTX texts that the device compiles.

use crate::refusal::Refusal;
use tessera_channel::Session;
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

/// The PTX text of every image that suits a device of this compute capability, at most `limit` bytes in all.
pub(crate) fn texts(
    images: &[(String, Vec<u8>)],
    _compute_capability: (u32, u32),
    _limit: u64,
) -> Result<Vec<Text>, Refusal> {
    images
        .iter()
        .map(|(name, bytes)| {
            let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
            Ok(Text {
                name: name.clone(),
                text: bytes.get(..end).unwrap_or_default().to_vec(),
            })
        })
        .collect()
}
