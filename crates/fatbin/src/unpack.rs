//! Payloads, unpacked.

use crate::{Compression, Entry, FatbinError};
use std::borrow::Cow;
use std::io::Read;

impl<'a> Entry<'a> {
    /// The payload, unpacked where it is packed; NUL padding of PTX is cut off.
    ///
    /// # Errors
    /// It does not unpack, or has more than `limit` bytes when unpacked.
    pub fn bytes(&self, limit: usize) -> Result<Cow<'a, [u8]>, FatbinError> {
        let mut bytes = match self.compression {
            Compression::None => {
                self.check(self.payload.len() as u64, limit)?;
                Cow::Borrowed(self.payload)
            }
            Compression::Lz4 => Cow::Owned(self.lz4(limit)?),
            Compression::Zstd => Cow::Owned(self.zstd(limit)?),
        };
        if self.kind == crate::Kind::Ptx {
            let used = bytes.iter().rposition(|&b| b != 0).map_or(0, |last| last + 1);
            match &mut bytes {
                Cow::Borrowed(b) => *b = b.get(..used).unwrap_or(b),
                Cow::Owned(b) => b.truncate(used),
            }
        }
        Ok(bytes)
    }

    fn check(&self, bytes: u64, limit: usize) -> Result<(), FatbinError> {
        if bytes > limit as u64 {
            Err(FatbinError::TooLarge { bytes, limit })
        } else {
            Ok(())
        }
    }

    fn lz4(&self, limit: usize) -> Result<Vec<u8>, FatbinError> {
        self.check(self.unpacked_bytes, limit)?;
        // A raw block does not say its size; the header does. LZ4 expands at most 255 times, so a larger claim is a lie
        // that would only cost memory.
        let claim = self.unpacked_bytes;
        let most = (self.payload.len() as u64).saturating_mul(255).saturating_add(64);
        if claim > most {
            return Err(FatbinError::TooLarge {
                bytes: claim,
                limit: usize::try_from(most).unwrap_or(limit),
            });
        }
        let claim = usize::try_from(claim).map_err(|_| FatbinError::TooLarge { bytes: claim, limit })?;
        let failed = |reason: String| FatbinError::Compression {
            method: "LZ4",
            reason,
        };
        let bytes = lz4_flex::block::decompress(self.payload, claim).map_err(|e| failed(e.to_string()))?;
        if bytes.len() != claim {
            return Err(failed(format!("{} bytes instead of {claim}", bytes.len())));
        }
        Ok(bytes)
    }

    fn zstd(&self, limit: usize) -> Result<Vec<u8>, FatbinError> {
        self.check(self.unpacked_bytes, limit)?;
        let failed = |reason: String| FatbinError::Compression {
            method: "zstd",
            reason,
        };
        let mut source = self.payload;
        let decoder =
            ruzstd::decoding::StreamingDecoder::new(&mut source).map_err(|e| failed(e.to_string()))?;
        let mut bytes = Vec::new();
        // One byte more than allowed tells a too large payload from one that just fits.
        decoder
            .take((limit as u64).saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(|e| failed(e.to_string()))?;
        self.check(bytes.len() as u64, limit)?;
        if self.unpacked_bytes != 0 && bytes.len() as u64 != self.unpacked_bytes {
            return Err(failed(format!(
                "{} bytes instead of {}",
                bytes.len(),
                self.unpacked_bytes
            )));
        }
        Ok(bytes)
    }
}
