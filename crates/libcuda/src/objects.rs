//! Tables of objects by handle.
//!
//! A handle is a number that programs see as a pointer. It is never followed: it names a slot of a lock-free slab together with the
//! slot's generation, so a handle of a destroyed object, of another kind or out of thin air is found out and answered with
//! `CUDA_ERROR_INVALID_HANDLE`; one of a stream that was destroyed a while ago, with `CUDA_ERROR_CONTEXT_IS_DESTROYED`; one of graphs
//! and of pools, with `CUDA_ERROR_INVALID_VALUE`, the only code that their functions are documented with.
//!
//! ```text
//!   63                                     5 4    0
//!   ┌───────────────────────────────────────┬──────┐
//!   │ key: generation, thread, slot         │ kind │   kind >= 3, so no handle is 0, 1 or 2, which name streams
//!   └───────────────────────────────────────┴──────┘
//! ```

use crate::code::{Answer, Code};
use crate::types::Handle;
use sharded_slab::{Config, Slab};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// What a handle names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Context = 3,
    Stream = 4,
    Event = 5,
    Module = 6,
    Function = 7,
    Library = 8,
    Kernel = 9,
    Linker = 10,
    Pool = 11,
    Array = 12,
    Reference = 13,
    Graph = 14,
    Node = 15,
    Exec = 16,
    UserObject = 17,
}

impl Kind {
    /// What a handle answers that names nothing of this kind.
    pub(crate) const fn dangling(self) -> Code {
        match self {
            Self::Graph | Self::Node | Self::Exec | Self::UserObject | Self::Pool => Code::INVALID_VALUE,
            _ => Code::INVALID_HANDLE,
        }
    }
}

/// Few, big pages, and generations wide enough that a handle does not come back in the life of a process.
#[derive(Debug)]
struct Sizes;

impl Config for Sizes {
    const MAX_PAGES: usize = 20;
    // One more than the kind takes: the uppermost bit is that of hidden handles.
    const RESERVED_BITS: usize = KIND_BITS as usize + 1;
}

pub(crate) const KIND_BITS: u32 = 5;
const KIND_MASK: u64 = (1 << KIND_BITS) - 1;

/// Handles that were destroyed last.
const REMEMBERED: usize = 1024;

/// A ring of handles, for the few that programs use once more after their object is gone.
struct Recent {
    handles: Box<[AtomicU64]>,
    next: AtomicUsize,
}

impl Recent {
    fn new() -> Self {
        Self {
            handles: (0..REMEMBERED).map(|_| AtomicU64::new(0)).collect(),
            next: AtomicUsize::new(0),
        }
    }

    fn add(&self, handle: Handle) {
        let place = self.next.fetch_add(1, Ordering::Relaxed) % REMEMBERED;
        if let Some(slot) = self.handles.get(place) {
            slot.store(handle, Ordering::Relaxed);
        }
    }

    fn has(&self, handle: Handle) -> bool {
        self.handles
            .iter()
            .any(|slot| slot.load(Ordering::Relaxed) == handle)
    }
}

/// Objects of one kind.
pub(crate) struct Objects<T> {
    slab: Slab<Arc<T>, Sizes>,
    kind: Kind,
    destroyed: Option<Recent>,
}

impl<T> Objects<T> {
    pub(crate) fn new(kind: Kind) -> Self {
        Self {
            slab: Slab::new_with_config(),
            kind,
            destroyed: None,
        }
    }

    /// Of a kind whose handles, used after their object was destroyed, answer `CUDA_ERROR_CONTEXT_IS_DESTROYED`: the real driver
    /// finds an object there that names no context any more. One that was destroyed long ago is an invalid handle again.
    pub(crate) fn remembering(kind: Kind) -> Self {
        Self {
            destroyed: Some(Recent::new()),
            ..Self::new(kind)
        }
    }

    #[cold]
    fn missing(&self, handle: Handle) -> Code {
        match &self.destroyed {
            Some(destroyed) if destroyed.has(handle) => Code::CONTEXT_IS_DESTROYED,
            _ => self.kind.dangling(),
        }
    }

    fn key(&self, handle: Handle) -> Option<usize> {
        if handle & KIND_MASK != self.kind as u64 {
            return None;
        }
        usize::try_from(handle >> KIND_BITS).ok()
    }

    /// Makes an object that knows its handle.
    pub(crate) fn insert(&self, make: impl FnOnce(Handle) -> Answer<T>) -> Answer<Arc<T>> {
        let slot = self.slab.vacant_entry().ok_or(Code::OUT_OF_MEMORY)?;
        let handle = ((slot.key() as u64) << KIND_BITS) | self.kind as u64;
        let object = Arc::new(make(handle)?);
        slot.insert(Arc::clone(&object));
        Ok(object)
    }

    /// The object of this handle.
    pub(crate) fn get(&self, handle: Handle) -> Answer<Arc<T>> {
        self.with(handle, Arc::clone)
    }

    /// Looks at an object without counting a reference.
    pub(crate) fn with<R>(&self, handle: Handle, look: impl FnOnce(&Arc<T>) -> R) -> Answer<R> {
        let key = self.key(handle).ok_or(self.kind.dangling())?;
        let entry = self.slab.get(key).ok_or_else(|| self.missing(handle))?;
        Ok(look(&entry))
    }

    /// Takes the object out; exactly one of several racing callers gets it.
    pub(crate) fn remove(&self, handle: Handle) -> Answer<Arc<T>> {
        let object = self.get(handle)?;
        let key = self.key(handle).ok_or(self.kind.dangling())?;
        if !self.slab.remove(key) {
            return Err(self.missing(handle));
        }
        if let Some(destroyed) = &self.destroyed {
            destroyed.add(handle);
        }
        Ok(object)
    }
}

/// A handle that no table knows: of what programs never see. Its kind is none, and its uppermost bit is set.
pub(crate) fn hidden(identity: u64) -> Handle {
    1 << 63 | identity << KIND_BITS
}

/// The kind that a handle claims to be of.
pub(crate) fn is_kind(handle: Handle, kind: Kind) -> bool {
    handle & KIND_MASK == kind as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dangling_and_foreign_handles_are_refused() {
        let streams: Objects<u32> = Objects::new(Kind::Stream);
        let events: Objects<u32> = Objects::new(Kind::Event);
        let mut handle = 0;
        let object = streams
            .insert(|given| {
                handle = given;
                Ok(7)
            })
            .unwrap();
        assert_eq!(*object, 7);
        assert!(handle > 2);
        assert_eq!(streams.get(handle).map(|object| *object), Ok(7));
        assert_eq!(events.get(handle), Err(Code::INVALID_HANDLE));
        assert!(streams.remove(handle).is_ok());
        assert_eq!(streams.get(handle), Err(Code::INVALID_HANDLE));
        assert_eq!(streams.remove(handle), Err(Code::INVALID_HANDLE));
        let again = streams.insert(|given| Ok(u32::from(given == handle))).unwrap();
        assert_eq!(*again, 0, "a slot that is used again has another handle");
        let remembering: Objects<u32> = Objects::remembering(Kind::Stream);
        let mut given = Vec::new();
        for _ in 0..=REMEMBERED {
            let made = remembering.insert(|handle| {
                given.push(handle);
                Ok(1)
            });
            assert!(made.is_ok());
        }
        for &handle in &given {
            assert!(remembering.remove(handle).is_ok());
        }
        assert_eq!(remembering.get(given[0]), Err(Code::INVALID_HANDLE), "forgotten");
        assert_eq!(
            remembering.get(given[REMEMBERED]),
            Err(Code::CONTEXT_IS_DESTROYED)
        );
        assert_eq!(remembering.get(4), Err(Code::INVALID_HANDLE));
        let graphs: Objects<u32> = Objects::new(Kind::Graph);
        assert_eq!(graphs.get(handle), Err(Code::INVALID_VALUE));
        for wild in [0, 1, 2, 4, 0xdead_beef, u64::MAX, i64::MAX as u64] {
            assert_eq!(streams.get(wild), Err(Code::INVALID_HANDLE));
        }
    }
}
