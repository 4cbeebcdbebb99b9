//! Tables of objects by handle.
//!
//! A handle is a number that programs see as a pointer. It is never followed: it names a slot of a lock-free slab together with the
//! slot's generation, so a handle of a destroyed object, of another kind or out of thin air is found out and answered with
//! `CUDA_ERROR_INVALID_HANDLE`.
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

/// Objects of one kind.
pub(crate) struct Objects<T> {
    slab: Slab<Arc<T>, Sizes>,
    kind: Kind,
}

impl<T> Objects<T> {
    pub(crate) fn new(kind: Kind) -> Self {
        Self {
            slab: Slab::new_with_config(),
            kind,
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
        let key = self.key(handle).ok_or(Code::INVALID_HANDLE)?;
        let entry = self.slab.get(key).ok_or(Code::INVALID_HANDLE)?;
        Ok(look(&entry))
    }

    /// Takes the object out; exactly one of several racing callers gets it.
    pub(crate) fn remove(&self, handle: Handle) -> Answer<Arc<T>> {
        let object = self.get(handle)?;
        let key = self.key(handle).ok_or(Code::INVALID_HANDLE)?;
        if self.slab.remove(key) {
            Ok(object)
        } else {
            Err(Code::INVALID_HANDLE)
        }
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
        for wild in [0, 1, 2, 4, 0xdead_beef, u64::MAX, i64::MAX as u64] {
            assert_eq!(streams.get(wild), Err(Code::INVALID_HANDLE));
        }
    }
}
