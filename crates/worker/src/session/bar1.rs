//! BAR1: the file of a session's allocations, which its guest maps to copy by itself.
//!
//! ```text
//!   first context ─▶ the device opens a file ─▶ allocations lie in it
//!   Bar1Alloc ─▶ where it lies       Bar1Open ─▶ descriptor to the guest, once
//! ```
//!
//! A guest that writes where nothing is allocated harms itself alone: no other session's memory is in the file, and the pages count
//! as its process's own.

use super::{Answer, Guest};
use crate::refusal::{Refusal, chain};
use std::sync::Arc;
use tessera_channel::ChannelError;
use tessera_device::Bar1;
use tessera_wire::messages::{Bar1Alloc, Bar1AllocReply, Bar1Open, Bar1OpenReply};

/// A session's file.
#[derive(Default)]
pub(super) enum File {
    /// No context was made yet.
    #[default]
    Unopened,
    /// The device has none to give.
    None,
    Open {
        bar1: Arc<dyn Bar1>,
        /// The guest has the descriptor.
        sent: bool,
    },
}

impl Guest {
    /// Where allocations of a new context go.
    pub(super) fn bar1(&mut self) -> Option<Arc<dyn Bar1>> {
        if matches!(self.bar1, File::Unopened) {
            self.bar1 = match self.vgpu.device.open_bar1() {
                Ok(Some(bar1)) => File::Open { bar1, sent: false },
                Ok(None) => File::None,
                Err(error) => {
                    tracing::warn!(session = self.info.id, error = %chain(&error), "no BAR1; copies go through the channel");
                    File::None
                }
            };
        }
        match &self.bar1 {
            File::Open { bar1, .. } => Some(Arc::clone(bar1)),
            File::Unopened | File::None => None,
        }
    }

    pub(super) fn bar1_open(&mut self) -> Result<Answer<Bar1Open>, ChannelError> {
        let bytes = match &mut self.bar1 {
            File::Open { sent: true, .. } => {
                return Ok(Err(Refusal::invalid("The session has its BAR1 already")));
            }
            File::Open { bar1, sent } => {
                self.channel.send_descriptor(bar1.descriptor())?;
                *sent = true;
                bar1.bytes()
            }
            File::Unopened | File::None => 0,
        };
        Ok(Ok((Bar1OpenReply { bytes }, Vec::new())))
    }

    pub(super) fn bar1_alloc(&mut self, message: &Bar1Alloc) -> Answer<Bar1Alloc> {
        let &Bar1Alloc {
            context,
            bytes,
            align,
        } = message;
        let address = self.allocate(context, bytes, align)?;
        let place = self.objects.context(context)?.device.bar1_place(address);
        let reply = Bar1AllocReply {
            address,
            offset: place.unwrap_or(0),
            placed: place.is_some().into(),
        };
        Ok((reply, Vec::new()))
    }
}
