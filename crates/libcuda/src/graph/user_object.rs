//! User objects: something of the program's that lives as long as graphs refer to it.

use super::graph;
use crate::code::{Answer, Code};
use crate::state;
use crate::types::{CUhostFn, Caller, Handle, c_void};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// A user object.
pub(crate) struct UserObject {
    handle: Handle,
    data: Caller<c_void>,
    destroy: unsafe extern "C" fn(*mut c_void),
    references: AtomicI64,
}

/// References that a graph holds.
pub(crate) struct Held {
    object: Arc<UserObject>,
    count: i64,
}

impl Clone for Held {
    fn clone(&self) -> Self {
        self.object.references.fetch_add(self.count, Ordering::AcqRel);
        Self {
            object: Arc::clone(&self.object),
            count: self.count,
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.object.release(self.count);
    }
}

impl UserObject {
    fn release(&self, count: i64) {
        if self.references.fetch_sub(count, Ordering::AcqRel) > count {
            return;
        }
        if let Ok(driver) = state::driver() {
            let _ = driver.user_objects.remove(self.handle);
        }
        // SAFETY: the program gave this function for exactly this call, which is made once: the count does not rise from 0.
        unsafe { (self.destroy)(self.data.as_ptr()) };
    }
}

fn object(handle: Handle) -> Answer<Arc<UserObject>> {
    if handle == 0 {
        return Err(Code::INVALID_VALUE);
    }
    state::driver()?.user_objects.get(handle)
}

/// A count of references: at least one, at most what fits an `int`.
fn count(count: u32) -> Answer<i64> {
    i32::try_from(count)
        .ok()
        .filter(|&count| count > 0)
        .map(i64::from)
        .ok_or(Code::INVALID_VALUE)
}

/// `cuUserObjectCreate`
pub(crate) fn user_object_create(
    out: Caller<Handle>,
    ptr: Caller<c_void>,
    destroy: CUhostFn,
    initial: u32,
    flags: u32,
) -> Answer {
    const NO_DESTRUCTOR_SYNC: u32 = 1;
    out.required()?;
    let destroy = destroy.ok_or(Code::INVALID_VALUE)?;
    if flags != NO_DESTRUCTOR_SYNC {
        return Err(Code::INVALID_VALUE);
    }
    let references = AtomicI64::new(count(initial)?);
    let object = state::driver()?.user_objects.insert(|handle| {
        Ok(UserObject {
            handle,
            data: ptr,
            destroy,
            references,
        })
    })?;
    out.put(object.handle)
}

/// `cuUserObjectRetain`
pub(crate) fn user_object_retain(handle: Handle, more: u32) -> Answer {
    let more = count(more)?;
    object(handle)?.references.fetch_add(more, Ordering::AcqRel);
    Ok(())
}

/// `cuUserObjectRelease`
pub(crate) fn user_object_release(handle: Handle, less: u32) -> Answer {
    let less = count(less)?;
    object(handle)?.release(less);
    Ok(())
}

/// `cuGraphRetainUserObject`
pub(crate) fn graph_retain_user_object(handle: Handle, user_object: Handle, more: u32, flags: u32) -> Answer {
    const MOVE: u32 = 1;
    let graph = graph(state::driver()?, handle)?;
    let object = object(user_object)?;
    let more = count(more)?;
    if flags & !MOVE != 0 {
        return Err(Code::INVALID_VALUE);
    }
    if flags & MOVE == 0 {
        object.references.fetch_add(more, Ordering::AcqRel);
    }
    let mut body = graph.body();
    match body
        .objects
        .iter_mut()
        .find(|held| held.object.handle == user_object)
    {
        Some(held) => held.count += more,
        None => body.objects.push(Held { object, count: more }),
    }
    Ok(())
}

/// `cuGraphReleaseUserObject`
pub(crate) fn graph_release_user_object(handle: Handle, user_object: Handle, less: u32) -> Answer {
    let graph = graph(state::driver()?, handle)?;
    let object = object(user_object)?;
    let less = count(less)?;
    {
        let mut body = graph.body();
        let held = body
            .objects
            .iter_mut()
            .find(|held| held.object.handle == user_object)
            .ok_or(Code::INVALID_VALUE)?;
        if held.count < less {
            return Err(Code::INVALID_VALUE);
        }
        held.count -= less;
        body.objects.retain(|held| held.count > 0);
    }
    // The program's function is called without the graph's lock.
    object.release(less);
    Ok(())
}
