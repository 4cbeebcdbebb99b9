//! The rows of `functions.toml`: what the project knows of each function of the driver API.
//!
//! Invariants, checked by [`functions`] while it reads the table (a broken row is an error of the build, with its name):
//! * a symbol is exported by one row only and begins with its row's name;
//! * a handler is present exactly where the class is not [`Class::Unsupported`];
//! * the plain symbols of a row, ascending by version, are `name`, `name_v2`, `name_v3` ...

use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use thiserror::Error;

/// The text of the table, for generators that want to watch or hash it.
pub const FUNCTIONS_TOML: &str = include_str!("../functions.toml");

/// What is wrong with the table.
#[derive(Debug, Error)]
pub enum TableError {
    /// The table is not the TOML that it should be.
    #[error("The table does not parse")]
    Parse(#[from] toml::de::Error),
    /// A row breaks a rule; the text says which.
    #[error("Row {function}: {problem}")]
    Row {
        /// The row.
        function: String,
        /// The rule.
        problem: String,
    },
}

/// Who answers a function.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// The guest library alone.
    Local,
    /// The worker, without an answer: the guest writes to the ring and goes on.
    Posted,
    /// The worker, and the caller waits.
    Call,
    /// Nobody yet: `CUDA_ERROR_NOT_SUPPORTED`.
    Unsupported,
}

impl Class {
    /// The word of the table.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Posted => "posted",
            Self::Call => "call",
            Self::Unsupported => "unsupported",
        }
    }
}

/// What a function may do while a stream is captured.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Capture {
    /// Legal and not recorded.
    Allowed,
    /// Recorded as a node of the graph.
    Node,
    /// Refused: it would wait, or touch the whole device.
    Forbidden,
    /// Refused, and works in the default stream: where that is the legacy one and would be ordered behind a stream that is captured,
    /// it is refused for that.
    Ordered,
    /// Refused, by the handler itself: it has an answer that comes first.
    Checked,
}

/// What the worker charges for a call.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Quota {
    /// Nothing but the ring.
    #[default]
    None,
    /// Frame buffer bytes.
    Memory,
    /// Pinned host memory.
    HostMemory,
    /// Compile time and module bytes.
    Compile,
    /// A place in an object table.
    Objects,
    /// Operations queued.
    Queue,
}

/// One exported symbol.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// As the linker sees it.
    pub symbol: String,
    /// CUDA version (1000 x major + 10 x minor) from which `cuGetProcAddress` answers with it.
    pub since: u32,
    /// The default stream of this variant is the calling thread's.
    #[serde(default)]
    pub per_thread: bool,
    /// `module::function` of the guest driver.
    #[serde(default)]
    pub handler: Option<String>,
    /// Parameters of the handler as Rust writes them.
    #[serde(default)]
    pub params: Option<String>,
    /// Whether `cuGetProcAddress` may answer with it.
    #[serde(default = "yes")]
    pub lookup: bool,
}

fn yes() -> bool {
    true
}

impl Entry {
    /// The symbol without `_ptsz` or `_ptds`: the one whose handler and parameters it shares.
    #[must_use]
    pub fn base_symbol(&self) -> &str {
        if !self.per_thread {
            return &self.symbol;
        }
        self.symbol
            .strip_suffix("_ptsz")
            .or_else(|| self.symbol.strip_suffix("_ptds"))
            .unwrap_or(&self.symbol)
    }
}

/// One function.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Function {
    /// The name that `cuGetProcAddress` knows.
    #[serde(skip)]
    pub name: String,
    /// Chapter of the driver API reference.
    pub area: String,
    /// 0 (every client needs it) to 3 (never seen).
    pub priority: u8,
    /// Who answers.
    pub class: Class,
    /// While a stream is captured.
    pub capture: Capture,
    /// What it is charged to.
    #[serde(default)]
    pub quota: Quota,
    /// Does not begin with the check of "not initialised".
    #[serde(default)]
    pub before_init: bool,
    /// Messages that it sends.
    #[serde(default)]
    pub messages: Vec<String>,
    /// Every exported symbol.
    pub entries: Vec<Entry>,
}

impl Function {
    /// The entry that answers for `entry`: itself, or for a per-thread variant the one it is named after.
    #[must_use]
    pub fn implementation<'a>(&'a self, entry: &'a Entry) -> Option<&'a Entry> {
        self.entries
            .iter()
            .find(|other| other.symbol == entry.base_symbol() && other.handler.is_some())
    }

    /// Whether `entry`, or a variant of it, has a per-thread default stream; its handler then takes the default stream.
    #[must_use]
    pub fn has_default_stream(&self, entry: &Entry) -> bool {
        self.entries
            .iter()
            .any(|other| other.per_thread && other.base_symbol() == entry.base_symbol())
    }
}

/// Reads the table. Rows come in ascending order of their names.
pub fn functions() -> Result<Vec<Function>, TableError> {
    let rows: BTreeMap<String, Function> = toml::from_str(FUNCTIONS_TOML)?;
    let mut symbols = BTreeSet::new();
    let mut table = Vec::with_capacity(rows.len());
    for (name, mut row) in rows {
        row.name = name;
        check(&row, &mut symbols).map_err(|problem| TableError::Row {
            function: row.name.clone(),
            problem,
        })?;
        table.push(row);
    }
    Ok(table)
}

fn check(row: &Function, symbols: &mut BTreeSet<String>) -> Result<(), String> {
    let mut plain: Vec<&Entry> = row.entries.iter().filter(|entry| !entry.per_thread).collect();
    plain.sort_by_key(|entry| entry.since);
    for (index, entry) in plain.iter().enumerate() {
        let expected = if index == 0 {
            row.name.clone()
        } else {
            format!("{}_v{}", row.name, index + 1)
        };
        if entry.symbol != expected {
            return Err(format!("{} should be {expected}", entry.symbol));
        }
    }
    for entry in &row.entries {
        if !symbols.insert(entry.symbol.clone()) {
            return Err(format!("{} is exported twice", entry.symbol));
        }
        if entry.handler.is_some() != entry.params.is_some() {
            return Err(format!("{}: handler and params come together", entry.symbol));
        }
        if entry.per_thread
            && !row
                .entries
                .iter()
                .any(|other| other.symbol == entry.base_symbol())
        {
            return Err(format!("{} is a variant of nothing", entry.symbol));
        }
    }
    let handled = row.entries.iter().any(|entry| entry.handler.is_some());
    if handled == (row.class == Class::Unsupported) {
        return Err(format!("class {} and handlers disagree", row.class.as_str()));
    }
    if row.priority > 3 {
        return Err(format!("priority {} is above 3", row.priority));
    }
    Ok(())
}
