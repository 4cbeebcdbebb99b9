//! Frame buffer that a guest's process maps too.

use crate::fb::FrameBuffer;
use std::any::Any;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use tessera_device::{Bar1, DeviceError};

/// A file with the length of the frame buffer, so that an offset of the ledger is an offset of the file.
pub(crate) struct SoftBar1(Arc<FrameBuffer>);

impl SoftBar1 {
    /// A file without a page.
    pub(crate) fn new(bytes: u64) -> Result<Self, DeviceError> {
        Ok(Self(Arc::new(FrameBuffer::new(bytes)?)))
    }

    /// The file behind the trait, where it is one of a device whose own file is `own`.
    pub(crate) fn file_of(bar1: &dyn Bar1, own: &FrameBuffer) -> Result<Arc<FrameBuffer>, DeviceError> {
        bar1.as_any()
            .downcast_ref::<Self>()
            .filter(|bar1| bar1.0.bytes() == own.bytes())
            .map(|bar1| Arc::clone(&bar1.0))
            .ok_or_else(|| DeviceError::InvalidValue("BAR1 of another device".to_owned()))
    }
}

impl Bar1 for SoftBar1 {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.0.descriptor()
    }

    fn bytes(&self) -> u64 {
        self.0.bytes()
    }

    fn as_any(&self) -> &(dyn Any + Send + Sync) {
        self
    }
}
