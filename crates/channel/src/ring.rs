//! The ring: frames from the guest to the worker, one producer, one consumer.
//!
//! Head and tail count bytes since the session began and never wrap (64 bits); the place in the ring is the count modulo its
//! size. A frame starts at a multiple of 16 and never wraps round the end: where it would, a padding frame (opcode 0) fills
//! the rest and the frame starts at the beginning.
//!
//! ```text
//!        tail (worker)              head (guest)
//!          ▼                          ▼
//!  ┌───────┬───────┬─────────┬───────┬─────────────┬─────────┐
//!  │ free  │ frame │ frame   │ frame │ free        │ padding │   0 ≤ head − tail ≤ size, all multiples of 16
//!  └───────┴───────┴─────────┴───────┴─────────────┴─────────┘
//! ```
//!
//! The consumer trusts nothing: its tail is private, the head is checked against it, the first 16 bytes of a frame are read
//! once and the rest is copied once by the length in that copy. Whatever the guest writes, the outcome is a frame in private
//! memory or a [`ChannelError::Corrupt`].

use crate::layout::{AT_HEAD, AT_ROOM_BELL, AT_ROOM_WAITERS, AT_SLEEPS, AT_TAIL, Layout};
use crate::memory::{load_bytes, store_bytes};
use crate::{ChannelError, Shared, Wake};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use tessera_wire::{HEADER_BYTES, Header};
use zerocopy::{FromBytes, IntoBytes};

/// Both sides' view of the ring.
#[derive(Clone, Debug)]
struct View {
    aperture: Arc<Shared>,
    offset: usize,
    bytes: u64,
    most: u64,
}

impl View {
    fn new(aperture: Arc<Shared>, layout: &Layout) -> Result<Self, ChannelError> {
        let offset = usize::try_from(layout.ring_offset).map_err(|_| ChannelError::TooLarge("aperture"))?;
        let count = usize::try_from(layout.ring_bytes / 8).map_err(|_| ChannelError::TooLarge("aperture"))?;
        // From here on these five places are known to exist; later look-ups cannot fail.
        aperture.words(offset, count)?;
        aperture.u64_at(AT_HEAD)?;
        aperture.u64_at(AT_TAIL)?;
        aperture.u32_at(AT_SLEEPS)?;
        aperture.u32_at(AT_ROOM_BELL)?;
        aperture.u32_at(AT_ROOM_WAITERS)?;
        Ok(Self {
            aperture,
            offset,
            bytes: layout.ring_bytes,
            most: u64::from(layout.max_message_bytes),
        })
    }

    fn head(&self) -> Result<&AtomicU64, ChannelError> {
        self.aperture.u64_at(AT_HEAD)
    }

    fn tail(&self) -> Result<&AtomicU64, ChannelError> {
        self.aperture.u64_at(AT_TAIL)
    }

    fn sleeps(&self) -> Result<&AtomicU32, ChannelError> {
        self.aperture.u32_at(AT_SLEEPS)
    }

    fn room(&self) -> Result<(&AtomicU32, &AtomicU32), ChannelError> {
        Ok((
            self.aperture.u32_at(AT_ROOM_BELL)?,
            self.aperture.u32_at(AT_ROOM_WAITERS)?,
        ))
    }

    /// The words at `position`, which is a multiple of 8; `bytes` do not run over the end of the ring.
    fn words(&self, position: u64, bytes: u64) -> Result<&[AtomicU64], ChannelError> {
        let place = position & (self.bytes - 1);
        if place.saturating_add(bytes) > self.bytes {
            return Err(ChannelError::Corrupt("frame runs over the end of the ring"));
        }
        // Both fit `usize`: they are smaller than the ring, which is mapped.
        let place = usize::try_from(place).map_err(|_| ChannelError::TooLarge("ring"))?;
        let count = usize::try_from(bytes.div_ceil(8)).map_err(|_| ChannelError::TooLarge("ring"))?;
        self.aperture.words(self.offset.saturating_add(place), count)
    }

    /// Bytes from `position` to the end of the ring.
    fn contiguous(&self, position: u64) -> u64 {
        self.bytes - (position & (self.bytes - 1))
    }
}

/// The guest's end; whoever holds it exclusively may push.
#[derive(Debug)]
pub struct Producer {
    view: View,
    head: u64,
    /// The worker's tail as last seen; only ever behind the truth.
    tail: u64,
}

/// Whether a push went through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It did.
    Yes,
    /// The ring has no room for this frame now.
    Full,
}

impl Producer {
    /// The producer of an aperture that nothing was pushed to yet.
    ///
    /// # Errors
    /// The layout does not fit the aperture.
    pub fn new(aperture: Arc<Shared>, layout: &Layout) -> Result<Self, ChannelError> {
        Ok(Self {
            view: View::new(aperture, layout)?,
            head: 0,
            tail: 0,
        })
    }

    /// Pushes a frame of header, fixed part (a multiple of 8 bytes) and tail. Wakes nobody.
    ///
    /// # Errors
    /// The frame is longer than the worker takes, or the worker's tail makes no sense.
    pub fn push(&mut self, header: &Header, fixed: &[u8], tail: &[u8]) -> Result<Pushed, ChannelError> {
        let length = u64::from(header.length);
        if length > self.view.most || !fixed.len().is_multiple_of(8) {
            return Err(ChannelError::TooLarge("message"));
        }
        let padded = length.next_multiple_of(16);
        let contiguous = self.view.contiguous(self.head);
        let padding = if contiguous < padded { contiguous } else { 0 };
        let end = self.head + padding + padded;
        if end - self.tail > self.view.bytes {
            self.tail = self.view.tail()?.load(Ordering::Acquire);
            if self.tail > self.head || !self.tail.is_multiple_of(16) {
                return Err(ChannelError::Corrupt("tail of the ring"));
            }
            if end - self.tail > self.view.bytes {
                return Ok(Pushed::Full);
            }
        }
        if padding > 0 {
            let filler = Header {
                length: u32::try_from(padding).map_err(|_| ChannelError::TooLarge("ring"))?,
                ..Header::default()
            };
            store_bytes(self.view.words(self.head, 16)?, filler.as_bytes());
        }
        let words = self.view.words(self.head + padding, padded)?;
        let (first, rest) = words.split_at_checked(2).ok_or(ChannelError::TooLarge("ring"))?;
        store_bytes(first, header.as_bytes());
        store_bytes(rest, fixed);
        store_bytes(rest.get(fixed.len() / 8..).unwrap_or(&[]), tail);
        self.head = end;
        // Release: whoever sees the new head sees the frame.
        self.view.head()?.store(end, Ordering::Release);
        Ok(Pushed::Yes)
    }

    /// Wakes the worker if it sleeps; to be called after a push.
    #[inline]
    pub fn wake(&self, wake: &dyn Wake) {
        // Step 2 and 3 of the protocol in the crate's documentation.
        fence(Ordering::SeqCst);
        if let Ok(sleeps) = self.view.sleeps()
            && sleeps.load(Ordering::Relaxed) != 0
            && sleeps.swap(0, Ordering::Relaxed) != 0
        {
            wake.wake(sleeps, 1);
        }
    }

    /// Waits a moment for room: until the worker takes something or `limit` is over. Says whether the tail moved.
    ///
    /// # Errors
    /// Never for a layout that was accepted.
    pub fn wait_for_room(
        &mut self,
        wake: &dyn Wake,
        limit: std::time::Duration,
    ) -> Result<bool, ChannelError> {
        let (bell, waiters) = self.view.room()?;
        let before = bell.load(Ordering::Acquire);
        waiters.store(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if self.view.tail()?.load(Ordering::Acquire) == self.tail {
            wake.sleep(bell, before, Some(limit));
        }
        waiters.store(0, Ordering::Relaxed);
        Ok(self.view.tail()?.load(Ordering::Acquire) != self.tail)
    }
}

/// The worker's end.
#[derive(Debug)]
pub struct Consumer {
    view: View,
    tail: u64,
    /// The tail that the guest was last told.
    published: u64,
    buffer: Vec<u8>,
}

impl Consumer {
    /// The consumer of a new aperture.
    ///
    /// # Errors
    /// The layout does not fit the aperture.
    pub fn new(aperture: Arc<Shared>, layout: &Layout) -> Result<Self, ChannelError> {
        Ok(Self {
            view: View::new(aperture, layout)?,
            tail: 0,
            published: 0,
            buffer: Vec::new(),
        })
    }

    /// Whether the guest has pushed something that was not popped yet. Only a hint: the guest may lie.
    #[must_use]
    pub fn has_more(&self) -> bool {
        self.view
            .head()
            .is_ok_and(|head| head.load(Ordering::Acquire) != self.tail)
    }

    /// Copies the next frame to private memory; `false`: there is none. The frame is in [`Consumer::frame`] then.
    ///
    /// # Errors
    /// The ring's contents break the rules.
    pub fn pop(&mut self, wake: &dyn Wake) -> Result<bool, ChannelError> {
        loop {
            let head = self.view.head()?.load(Ordering::Acquire);
            let available = head.wrapping_sub(self.tail);
            if available > self.view.bytes || !head.is_multiple_of(16) {
                return Err(ChannelError::Corrupt("head of the ring"));
            }
            if available == 0 {
                self.publish(wake)?;
                return Ok(false);
            }
            self.buffer.clear();
            load_bytes(self.view.words(self.tail, 16)?, HEADER_BYTES, &mut self.buffer);
            let Ok((header, _)) = Header::read_from_prefix(&self.buffer) else {
                return Err(ChannelError::Corrupt("header in the ring"));
            };
            let length = u64::from(header.length);
            let contiguous = self.view.contiguous(self.tail);
            if header.opcode == 0 {
                if length != contiguous || length > available {
                    return Err(ChannelError::Corrupt("padding in the ring"));
                }
                self.tail += length;
                continue;
            }
            let padded = length.next_multiple_of(16);
            if length < HEADER_BYTES as u64 || length > self.view.most || padded > available.min(contiguous) {
                return Err(ChannelError::Corrupt("length of a frame in the ring"));
            }
            let rest = length - HEADER_BYTES as u64;
            let rest_bytes = usize::try_from(rest).map_err(|_| ChannelError::TooLarge("message"))?;
            self.buffer.reserve(rest_bytes.saturating_add(8));
            load_bytes(
                self.view.words(self.tail + HEADER_BYTES as u64, rest)?,
                rest_bytes,
                &mut self.buffer,
            );
            self.tail += padded;
            // The guest is told now and then, so that the line with the tail does not bounce at every message.
            if self.tail - self.published >= self.view.bytes / 8 {
                self.publish(wake)?;
            }
            return Ok(true);
        }
    }

    /// The frame of the last successful [`Consumer::pop`].
    #[must_use]
    pub fn frame(&self) -> &[u8] {
        &self.buffer
    }

    fn publish(&mut self, wake: &dyn Wake) -> Result<(), ChannelError> {
        if self.published == self.tail {
            return Ok(());
        }
        self.published = self.tail;
        self.view.tail()?.store(self.tail, Ordering::Release);
        fence(Ordering::SeqCst);
        let (bell, waiters) = self.view.room()?;
        if waiters.load(Ordering::Relaxed) != 0 {
            bell.fetch_add(1, Ordering::Release);
            wake.wake(bell, 1);
        }
        Ok(())
    }

    /// Sleeps until the guest wakes the worker, unless there is something in the ring or `stop` says so.
    pub fn sleep(&self, wake: &dyn Wake, stop: impl Fn() -> bool) {
        let Ok(sleeps) = self.view.sleeps() else { return };
        sleeps.store(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if !self.has_more() && !stop() {
            wake.sleep(sleeps, 1, None);
        }
        sleeps.store(0, Ordering::Relaxed);
    }

    /// Wakes a consumer that sleeps in another thread of this process; `sleep`'s `stop` must say yes by now.
    pub(crate) fn disturb(aperture: &Shared, wake: &dyn Wake) {
        if let Ok(sleeps) = aperture.u32_at(AT_SLEEPS) {
            sleeps.store(0, Ordering::SeqCst);
            wake.wake(sleeps, i32::MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FutexWake, LayoutOptions, memory};
    use proptest::prelude::*;

    fn ring() -> (Arc<Shared>, Layout) {
        let layout = Layout::new(&LayoutOptions {
            ring_bytes: 4096,
            records: 2,
            slots: 1,
            slot_bytes: 4096,
            staging_bytes: 4096,
            max_message_bytes: 1024,
        })
        .unwrap();
        let descriptor = memory::sealed_memfd(c"test", layout.total_bytes()).unwrap();
        (Shared::map(&descriptor, layout.total_bytes()).unwrap(), layout)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever is pushed and popped in whatever order: frames come out whole, once, in order; full is full.
        #[test]
        fn frames_come_out_as_they_went_in(steps in prop::collection::vec((any::<bool>(), 0usize..900), 1..300)) {
            let (aperture, layout) = ring();
            let mut producer = Producer::new(Arc::clone(&aperture), &layout).unwrap();
            let mut consumer = Consumer::new(aperture, &layout).unwrap();
            let mut expected = std::collections::VecDeque::new();
            for (number, (push, bytes)) in steps.into_iter().enumerate() {
                if push {
                    let tail: Vec<u8> = (0..bytes).map(|at| u8::try_from((at + number) % 256).unwrap()).collect();
                    let header = Header {
                        length: u32::try_from(HEADER_BYTES + 8 + bytes).unwrap(),
                        opcode: 1,
                        ..Header::default()
                    };
                    let fixed = (number as u64).to_le_bytes();
                    if producer.push(&header, &fixed, &tail).unwrap() == Pushed::Yes {
                        expected.push_back([header.as_bytes(), &fixed, &tail].concat());
                    } else {
                        prop_assert!(!expected.is_empty(), "an empty ring is not full");
                    }
                } else if consumer.pop(&FutexWake).unwrap() {
                    let wanted = expected.pop_front();
                    prop_assert_eq!(Some(consumer.frame()), wanted.as_deref());
                } else {
                    prop_assert!(expected.is_empty());
                }
            }
            while consumer.pop(&FutexWake).unwrap() {
                let wanted = expected.pop_front();
                prop_assert_eq!(Some(consumer.frame()), wanted.as_deref());
            }
            prop_assert!(expected.is_empty());
        }

        /// A head and contents of noise: an error or frames, never a panic, and always an end.
        #[test]
        fn noise_ends(head in any::<u64>(), words in prop::collection::vec(any::<u64>(), 512)) {
            let (aperture, layout) = ring();
            for (word, noise) in aperture.words(4096, 512).unwrap().iter().zip(words) {
                word.store(noise & 0x0000_0000_ffff_03f0, Ordering::Relaxed);
            }
            aperture.u64_at(AT_HEAD).unwrap().store(head & 0x1ff0, Ordering::Relaxed);
            let mut consumer = Consumer::new(aperture, &layout).unwrap();
            let mut frames = 0;
            while let Ok(true) = consumer.pop(&FutexWake) {
                frames += 1;
                prop_assert!(frames <= 256, "more frames than fit the ring");
                prop_assert!((HEADER_BYTES..=1024).contains(&consumer.frame().len()));
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let (aperture, layout) = ring();
        let mut producer = Producer::new(aperture, &layout).unwrap();
        let header = |length| Header {
            length,
            opcode: 1,
            ..Header::default()
        };
        assert!(matches!(
            producer.push(&header(1025), &[], &[0; 1009]),
            Err(ChannelError::TooLarge(_))
        ));
        assert!(producer.push(&header(20), &[0; 4], &[]).is_err());
        for _ in 0..4 {
            assert_eq!(
                producer.push(&header(1024), &[], &[0; 1008]).unwrap(),
                Pushed::Yes
            );
        }
        assert_eq!(producer.push(&header(16), &[], &[]).unwrap(), Pushed::Full);
    }
}
