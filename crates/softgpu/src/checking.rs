//! The checking mode of a device: what is looked for in its contexts, and who hears of it.
//!
//! Each context has a [`Checker`] of its own, which is told of every allocation, of what the host writes and copies, and by running
//! blocks of what they do. When the context closes, what was found goes to the [`FindingSink`].

use std::sync::Arc;

use tessera_engine::check::{Allocation, Checker, Checks, Finding, Origin, summary};

/// The variable that turns checks on where the options do not say anything: `TESSERA_CHECK=memory,race`, or `all`.
pub const CHECK_VARIABLE: &str = "TESSERA_CHECK";

/// Who hears of findings.
pub trait FindingSink: Send + Sync {
    /// A context closed; these are its findings, in the order in which they were first seen. There may be none.
    fn found(&self, findings: &[Finding]);
}

/// What is looked for and who hears of it.
#[derive(Clone)]
pub struct Checking {
    /// What is looked for.
    pub checks: Checks,
    /// Who hears of it.
    pub sink: Arc<dyn FindingSink>,
}

impl std::fmt::Debug for Checking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Checking({})", self.checks.names())
    }
}

impl PartialEq for Checking {
    fn eq(&self, other: &Self) -> bool {
        self.checks == other.checks && Arc::ptr_eq(&self.sink, &other.sink)
    }
}

impl Eq for Checking {}

/// Prints findings to the standard error stream.
struct ToStderr;

impl FindingSink for ToStderr {
    fn found(&self, findings: &[Finding]) {
        for finding in findings {
            eprintln!("tessera check: {finding}");
        }
        if !findings.is_empty() {
            eprintln!("tessera check: {}", summary(findings));
        }
    }
}

impl Checking {
    /// What [`CHECK_VARIABLE`] asks for; its findings go to the standard error stream. Nothing when it is not set.
    ///
    /// # Errors
    /// The name of a check that is none.
    pub fn from_environment() -> Result<Option<Self>, String> {
        match std::env::var(CHECK_VARIABLE) {
            Ok(list) => Self::to_stderr(&list).map(Some),
            Err(_) => Ok(None),
        }
    }

    fn to_stderr(list: &str) -> Result<Self, String> {
        Ok(Self {
            checks: Checks::parse(list)?,
            sink: Arc::new(ToStderr),
        })
    }
}

/// Memory that the device or the host writes without the checks seeing it: it counts as written.
pub(crate) fn unseen(base: u64, bytes: u64, origin: Origin, name: Option<&str>) -> Allocation {
    Allocation {
        origin,
        name: name.map(Arc::from),
        initialised: true,
        ..Allocation::host(base, bytes)
    }
}

/// The checker of a new context.
pub(crate) fn checker(checking: Option<&Checking>) -> Option<Arc<Checker>> {
    checking.map(|checking| Checker::new(checking.checks))
}
