//! Errors of this crate. Each carries where in the text it arose and the text itself.

use std::fmt;
use std::sync::Arc;

/// A place in a source text: 1-based line and column (in bytes). Line 0 means "no place".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Loc {
    /// Line, from 1.
    pub line: u32,
    /// Column in bytes, from 1.
    pub column: u32,
}

impl fmt::Display for Loc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ErrorKind {
    /// The text is not PTX at this place.
    #[error("syntax error: {0}")]
    Syntax(Box<str>),
    /// An opcode, directive or modifier that the ISA does not have.
    #[error("{what} is unknown")]
    Unknown {
        /// "instruction", "directive", "modifier", ...
        what: &'static str,
    },
    /// A name that nothing declares.
    #[error("'{0}' is not declared")]
    Undeclared(Box<str>),
    /// A name that is declared twice.
    #[error("'{name}' is already declared at {previous}")]
    Redeclared {
        /// The name.
        name: Box<str>,
        /// The first declaration.
        previous: Loc,
    },
    /// The instruction has no such form: modifiers that do not go together, missing type, ...
    #[error("illegal form of '{opcode}': {reason}")]
    Form {
        /// The mnemonic.
        opcode: &'static str,
        /// Why.
        reason: Box<str>,
    },
    /// An operand does not fit the instruction.
    #[error("operand {index} of '{opcode}': {reason}")]
    Operand {
        /// The mnemonic.
        opcode: &'static str,
        /// Which operand, from 1.
        index: usize,
        /// Why.
        reason: Box<str>,
    },
    /// The program is well formed text but breaks a rule of PTX.
    #[error("{0}")]
    Invalid(Box<str>),
    /// One of the limits of [`limits`](crate::limits) is exceeded.
    #[error("{what} exceeds the limit of {limit}")]
    Limit {
        /// What is too large or too many.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
}

/// An error in a PTX text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    inner: Arc<Inner>,
}

#[derive(Debug, PartialEq, Eq)]
struct Inner {
    kind: ErrorKind,
    loc: Loc,
    near: Box<str>,
}

impl Error {
    /// An error at `loc`; `near` is the offending text (it is cut to a readable length).
    #[must_use]
    pub fn new(kind: ErrorKind, loc: Loc, near: &[u8]) -> Self {
        const SHOWN: usize = 60;
        let cut = near.iter().take(SHOWN).copied().collect::<Vec<u8>>();
        let mut near_text: String = String::from_utf8_lossy(&cut).escape_debug().collect();
        if near.len() > SHOWN {
            near_text.push_str("...");
        }
        Self {
            inner: Arc::new(Inner {
                kind,
                loc,
                near: near_text.into(),
            }),
        }
    }

    /// What is wrong.
    #[must_use]
    pub fn kind(&self) -> &ErrorKind {
        &self.inner.kind
    }

    /// Where.
    #[must_use]
    pub fn loc(&self) -> Loc {
        self.inner.loc
    }

    /// The offending text, escaped and cut; empty at the end of the file.
    #[must_use]
    pub fn near(&self) -> &str {
        &self.inner.near
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { kind, loc, near } = &*self.inner;
        if near.is_empty() {
            write!(f, "{loc}: {kind}")
        } else {
            write!(f, "{loc}: {kind}, near '{near}'")
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.inner.kind)
    }
}
