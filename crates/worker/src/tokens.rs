//! Memory that sessions of one vGPU share, by tokens that cannot be guessed.
//!
//! A token is no reference: memory lives as long as a session has a handle of it or has it mapped, and its token dies with it.

use crate::refusal::Refusal;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tessera_device::Physical;
use tessera_wire::CudaCode;

/// All tokens of a vGPU.
#[derive(Default)]
pub(crate) struct Tokens(Mutex<HashMap<[u8; 16], Weak<dyn Physical>>>);

impl Tokens {
    /// The token of this memory: the same each time. `limit` is the most that there can be.
    pub(crate) fn of(&self, memory: &Arc<dyn Physical>, limit: usize) -> Result<[u8; 16], Refusal> {
        let memory = Arc::downgrade(memory);
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((token, _)) = tokens.iter().find(|(_, other)| other.ptr_eq(&memory)) {
            return Ok(*token);
        }
        tokens.retain(|_, other| other.strong_count() > 0);
        if tokens.len() >= limit {
            return Err(Refusal::limit("shared memories", limit));
        }
        let token = random()?;
        tokens.insert(token, memory);
        Ok(token)
    }

    /// The memory of this token, if it is still there.
    pub(crate) fn memory(&self, token: &[u8; 16]) -> Option<Arc<dyn Physical>> {
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
