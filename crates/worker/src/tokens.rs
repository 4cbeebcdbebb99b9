//! What sessions of one vGPU share, memory and events, by tokens that cannot be guessed.
//!
//! A token is no reference: memory lives as long as a session has a handle of it or has it mapped, an event as long as one has a handle
//! or waits for it, and its token dies with it.

use crate::refusal::Refusal;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tessera_wire::CudaCode;

/// All tokens of a vGPU for things of one kind.
pub(crate) struct Tokens<T: ?Sized>(Mutex<HashMap<[u8; 16], Weak<T>>>);

impl<T: ?Sized> Default for Tokens<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: ?Sized> Tokens<T> {
    /// The token of this thing: the same each time. `limit` is the most that there can be.
    pub(crate) fn of(&self, thing: &Arc<T>, limit: usize) -> Result<[u8; 16], Refusal> {
        let thing = Arc::downgrade(thing);
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((token, _)) = tokens.iter().find(|(_, other)| other.ptr_eq(&thing)) {
            return Ok(*token);
        }
        tokens.retain(|_, other| other.strong_count() > 0);
        if tokens.len() >= limit {
            return Err(Refusal::limit("shared memories or events", limit));
        }
        let token = random()?;
        tokens.insert(token, thing);
        Ok(token)
    }

    /// The thing of this token, if it is still there.
    pub(crate) fn get(&self, token: &[u8; 16]) -> Option<Arc<T>> {
        let tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.get(token)?.upgrade()
    }
}

fn random() -> Result<[u8; 16], Refusal> {
    let mut token = [0_u8; 16];
    // SAFETY: the kernel writes at most `token.len()` bytes to it.
    let got = unsafe { libc::getrandom(token.as_mut_ptr().cast(), token.len(), 0) };
    if usize::try_from(got) == Ok(token.len()) {
        Ok(token)
    } else {
        let reason = "The operating system gives no random numbers";
        Err(Refusal::new(CudaCode::OperatingSystem, reason))
    }
}
