//! Tests that may fail, with the reason: `tests/conformance/SUITE.toml`.
//!
//! ```text
//! [[listed]]
//! kind = "absent"                           # or "open"
//! reason = "machine code is handed over"
//! tests = ["cudadrv/test_linker.py::*cubin*"]
//! ```

use super::outcome::matches;
use crate::sh;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::fs;

/// What a listed test says of us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// It needs machine code, or a library or a tool that is not there; or what it expects does not hold on any driver. It does not
    /// count.
    Absent,
    /// It is ours to mend. It counts.
    Open,
}

/// Tests with one reason.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    pub(crate) reason: String,
    /// Names, in which `*` stands for any characters.
    pub(crate) tests: Vec<String>,
}

/// The list of a suite.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listed {
    #[serde(default)]
    pub(crate) listed: Vec<Entry>,
}

impl Listed {
    /// The list of a suite; one without a file has nothing listed.
    pub(crate) fn read(suite: &str) -> Result<Self> {
        let path = sh::root().join(format!("tests/conformance/{suite}.toml"));
        if !path.exists() {
            return Ok(Self::default());
        }
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("{} is no list of tests", path.display()))
    }

    /// The entry that a test stands in.
    pub(crate) fn find(&self, id: &str) -> Option<&Entry> {
        self.listed
            .iter()
            .find(|entry| entry.tests.iter().any(|pattern| matches(pattern, id)))
    }

    /// All patterns.
    pub(crate) fn patterns(&self) -> impl Iterator<Item = &str> {
        self.listed
            .iter()
            .flat_map(|entry| entry.tests.iter().map(String::as_str))
    }
}
