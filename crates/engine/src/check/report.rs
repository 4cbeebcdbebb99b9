//! Findings: what was found where, as text and as JSON.

use std::fmt::{self, Write};
use std::sync::Arc;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum FindingKind {
    /// An access outside of allocations, or outside of the variable that its address was made from.
    OutOfBounds,
    /// An address that is not a multiple of the size of the access.
    Misaligned,
    /// A read of memory that nobody wrote, or the use of a register that nobody wrote.
    Uninitialised,
    /// Two threads, at least one of which writes, and nothing that orders them.
    Race,
    /// A barrier that not all threads of a warp come to, or that threads come to in different ways.
    Barrier,
    /// A warp-wide instruction with a member mask that is not right.
    Members,
    /// Threads wait at barriers that can never open.
    Deadlock,
    /// `free` of what `malloc` did not give.
    InvalidFree,
    /// `free` of what was freed already.
    DoubleFree,
    /// Memory that was never freed.
    Leak,
}

impl FindingKind {
    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OutOfBounds => "out of bounds",
            Self::Misaligned => "misaligned",
            Self::Uninitialised => "uninitialised",
            Self::Race => "race",
            Self::Barrier => "divergent barrier",
            Self::Members => "member mask",
            Self::Deadlock => "deadlock",
            Self::InvalidFree => "invalid free",
            Self::DoubleFree => "double free",
            Self::Leak => "leak",
        }
    }
}

/// How memory was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AccessKind {
    /// A load.
    Read,
    /// A store.
    Write,
    /// An atomic.
    Atomic,
}

impl AccessKind {
    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Atomic => "atomic",
        }
    }
}

/// Which memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CheckSpace {
    /// Device memory.
    Global,
    /// A block's shared memory.
    Shared,
    /// A thread's local memory.
    Local,
}

impl CheckSpace {
    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Shared => "shared",
            Self::Local => "local",
        }
    }
}

/// A place in the code.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CodePlace {
    /// The kernel that was launched.
    pub kernel: Arc<str>,
    /// The function of the PTX text that holds the instruction: the kernel or one that it calls.
    pub function: Arc<str>,
    /// Line of the PTX text, counted from 1.
    pub line: u32,
    /// File and line of the source, where the PTX says it.
    pub source: Option<(Arc<str>, u32)>,
}

impl fmt::Display for CodePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "kernel `{}`", self.kernel)?;
        if self.function != self.kernel {
            write!(f, " in `{}`", self.function)?;
        }
        write!(f, ", PTX line {}", self.line)?;
        match &self.source {
            Some((file, line)) => write!(f, " ({file}:{line})"),
            None => Ok(()),
        }
    }
}

/// A thread of a launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ThreadPlace {
    /// Its block.
    pub block: [u32; 3],
    /// Its place in the block.
    pub thread: [u32; 3],
}

impl fmt::Display for ThreadPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ([bx, by, bz], [tx, ty, tz]) = (self.block, self.thread);
        write!(f, "block ({bx},{by},{bz}), thread ({tx},{ty},{tz})")
    }
}

/// The other side of a race.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherSide {
    /// What it did.
    pub access: AccessKind,
    /// Where.
    pub place: CodePlace,
    /// Who.
    pub thread: ThreadPlace,
}

/// The access that a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccessAt {
    /// What was done.
    pub access: AccessKind,
    /// In which memory.
    pub space: CheckSpace,
    /// Bytes of the access.
    pub bytes: u32,
    /// Address in that memory.
    pub address: u64,
}

/// One finding: the first thread that it was seen with, and how often it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What is wrong.
    pub kind: FindingKind,
    /// The access, where there is one.
    pub access: Option<AccessAt>,
    /// Where in the code; nothing for leaks of the host.
    pub place: Option<CodePlace>,
    /// Who.
    pub thread: Option<ThreadPlace>,
    /// The other thread of a race.
    pub other: Option<OtherSide>,
    /// The rest in words: the allocation nearby, the threads that are missing.
    pub note: String,
    /// How often.
    pub count: u64,
}

impl Finding {
    /// What makes two findings the same one.
    pub(super) fn key(&self) -> Key {
        let mut places = [
            self.place.clone(),
            self.other.as_ref().map(|other| other.place.clone()),
        ];
        // A race is the same from both sides.
        places.sort();
        let distinct = if self.place.is_none() {
            self.access.map_or(0, |a| a.address)
        } else {
            0
        };
        Key {
            kind: self.kind,
            places,
            space: self.access.map(|a| a.space),
            distinct,
        }
    }

    /// One line of JSON, without the line end; `text` has the words.
    #[must_use]
    pub fn json(&self) -> String {
        let mut out = String::from("{");
        let _ = write!(out, "\"kind\":{}", quoted(self.kind.name()));
        let _ = write!(out, ",\"text\":{}", quoted(&self.to_string()));
        if let Some(a) = &self.access {
            let _ = write!(
                out,
                ",\"access\":{},\"space\":{},\"bytes\":{},\"address\":\"{:#x}\"",
                quoted(a.access.name()),
                quoted(a.space.name()),
                a.bytes,
                a.address
            );
        }
        json_place(&mut out, self.place.as_ref(), self.thread.as_ref());
        if let Some(other) = &self.other {
            let _ = write!(out, ",\"other\":{{\"access\":{}", quoted(other.access.name()));
            json_place(&mut out, Some(&other.place), Some(&other.thread));
            out.push('}');
        }
        let _ = write!(out, ",\"note\":{},\"count\":{}}}", quoted(&self.note), self.count);
        out
    }
}

fn json_place(out: &mut String, place: Option<&CodePlace>, thread: Option<&ThreadPlace>) {
    if let Some(p) = place {
        let _ = write!(
            out,
            ",\"kernel\":{},\"function\":{},\"ptx_line\":{}",
            quoted(&p.kernel),
            quoted(&p.function),
            p.line
        );
        if let Some((file, line)) = &p.source {
            let _ = write!(out, ",\"file\":{},\"line\":{line}", quoted(file));
        }
    }
    if let Some(t) = thread {
        let _ = write!(out, ",\"block\":{:?},\"thread\":{:?}", t.block, t.thread);
    }
}

/// A JSON string.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// What tells findings apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    kind: FindingKind,
    places: [Option<CodePlace>; 2],
    space: Option<CheckSpace>,
    distinct: u64,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind.name())?;
        if let Some(a) = &self.access {
            let (what, space) = (a.access.name(), a.space.name());
            let way = if a.access == AccessKind::Read {
                "from"
            } else {
                "to"
            };
            write!(
                f,
                ": {what} of {} bytes {way} {space} memory at {:#x}",
                a.bytes, a.address
            )?;
        }
        match (&self.place, &self.thread) {
            (Some(place), Some(thread)) => write!(f, "\n    {place}, {thread}")?,
            (Some(place), None) => write!(f, "\n    {place}")?,
            _ => {}
        }
        if let Some(other) = &self.other {
            let what = other.access.name();
            write!(f, "\n    and {what} by {}, {}", other.place, other.thread)?;
        }
        if !self.note.is_empty() {
            write!(f, "\n    {}", self.note)?;
        }
        if self.count > 1 {
            write!(f, "\n    {} times", self.count)?;
        }
        Ok(())
    }
}

/// The last line of a report: `3 errors in 2 kernels`.
#[must_use]
pub fn summary(findings: &[Finding]) -> String {
    let mut kernels: Vec<&str> = findings
        .iter()
        .filter_map(|f| f.place.as_ref())
        .map(|p| &*p.kernel)
        .collect();
    kernels.sort_unstable();
    kernels.dedup();
    let plural = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    if kernels.is_empty() {
        return plural(findings.len(), "error");
    }
    format!(
        "{} in {}",
        plural(findings.len(), "error"),
        plural(kernels.len(), "kernel")
    )
}
