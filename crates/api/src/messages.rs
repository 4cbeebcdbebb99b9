//! The table of messages between guest and worker, and the generator of their Rust code.
//!
//! `messages.toml` beside this crate's manifest has one row per message. [`Table::load`] reads and checks it, [`emit`] turns it
//! into the source that `tessera-wire` compiles: a struct per message and reply, the `Opcode` enum, the decoder, the list of
//! all messages. Nothing about a message is written down a second time anywhere.
//!
//! ```text
//!   messages.toml ──▶ Table::parse ──▶ Table::check ──▶ emit ──▶ tessera-wire (build script) ──▶ guest, worker, fuzzer
//! ```
//!
//! Invariants that [`Table::parse`] enforces: names and opcodes are unique; opcode 0 is the ring's padding; fields leave no
//! hole at natural alignment; a struct's length is a multiple of 8 (a field `reserved` is appended where it would not be).

use serde::Deserialize;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use thiserror::Error;

/// The table, as it is in the source tree.
pub const SOURCE: &str = include_str!("../messages.toml");

/// What is wrong with a table.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MessagesError {
    /// Not TOML, or not of this shape.
    #[error("The table of messages does not parse")]
    Syntax(#[from] toml::de::Error),
    /// A rule of the table is broken.
    #[error("Message {message}: {reason}")]
    Rule {
        /// Name of the row.
        message: String,
        /// Which rule and how.
        reason: String,
    },
}

/// Whether the sender waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Not waited for.
    Posted,
    /// The sender waits for the reply.
    Call,
}

/// What the worker charges a message to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quota {
    /// Nothing.
    None,
    /// Number of objects of its kind.
    Objects,
    /// Frame buffer.
    Memory,
    /// Pinned host memory.
    HostMemory,
    /// Operations queued.
    Queue,
    /// Bytes to compile.
    Compile,
}

/// What a message means while a stream is captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Capture {
    /// Does not touch the stream.
    Allowed,
    /// Becomes a node of the graph.
    Node,
    /// Not legal.
    Forbidden,
}

/// A field: name, type, meaning.
#[derive(Clone, Debug, Deserialize)]
pub struct Field(
    /// Name.
    pub String,
    /// Rust type.
    pub String,
    /// Meaning.
    pub String,
);

/// A row of the table.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// Name of the struct.
    pub name: String,
    /// Number on the wire.
    pub opcode: u16,
    /// Whether the sender waits.
    pub class: Class,
    /// What the worker charges it to.
    pub quota: Quota,
    /// What it means in a stream capture.
    pub capture: Capture,
    /// What it does.
    pub doc: String,
    /// Fixed part.
    pub fields: Vec<Field>,
    /// Meaning of the tail; `None`: no tail.
    pub tail: Option<String>,
    /// Most bytes of the tail.
    #[serde(default)]
    pub tail_max: u32,
    /// Fixed part of the reply.
    #[serde(default)]
    pub reply: Vec<Field>,
    /// Meaning of the reply's tail.
    pub reply_tail: Option<String>,
}

/// All messages of one protocol version.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// Protocol version.
    pub version: u32,
    /// Rows in file order.
    #[serde(rename = "message")]
    pub messages: Vec<Message>,
}

/// Size and alignment of a field type, or `None` for a type that is not allowed on the wire.
fn layout(name: &str) -> Option<(u32, u32)> {
    let name = name.trim();
    if let Some(inner) = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let (element, count) = inner.split_once(';')?;
        let (size, align) = layout(element)?;
        let count: u32 = count.trim().parse().ok()?;
        return Some((size.checked_mul(count)?, align));
    }
    match name {
        "u8" => Some((1, 1)),
        "u16" => Some((2, 2)),
        "u32" | "i32" => Some((4, 4)),
        "u64" | "i64" => Some((8, 8)),
        _ => None,
    }
}

/// Length of a fixed part without `reserved`, or why it cannot be laid out.
fn fixed_bytes(fields: &[Field]) -> Result<u32, String> {
    let mut at = 0u32;
    for Field(name, kind, _) in fields {
        let (size, align) = layout(kind).ok_or_else(|| format!("field {name} has no wire type: {kind}"))?;
        if !at.is_multiple_of(align) {
            return Err(format!("field {name} leaves a hole before it at byte {at}"));
        }
        at = at
            .checked_add(size)
            .ok_or_else(|| format!("field {name} is too long"))?;
    }
    Ok(at)
}

impl Table {
    /// The project's own table.
    pub fn load() -> Result<Self, MessagesError> {
        Self::parse(SOURCE)
    }

    /// Reads and checks a table.
    pub fn parse(text: &str) -> Result<Self, MessagesError> {
        let table: Self = toml::from_str(text)?;
        table.check()?;
        Ok(table)
    }

    fn check(&self) -> Result<(), MessagesError> {
        let mut names = BTreeSet::new();
        let mut opcodes = BTreeSet::from([0u16]);
        for message in &self.messages {
            let rule = |reason: String| MessagesError::Rule {
                message: message.name.clone(),
                reason,
            };
            if !names.insert(message.name.as_str()) {
                return Err(rule("the name is taken".into()));
            }
            if !opcodes.insert(message.opcode) {
                return Err(rule(format!("the opcode {} is taken", message.opcode)));
            }
            if message.tail.is_some() != (message.tail_max > 0) {
                return Err(rule("tail and tail_max go together".into()));
            }
            if message.class == Class::Posted && !(message.reply.is_empty() && message.reply_tail.is_none()) {
                return Err(rule("a posted message has no reply".into()));
            }
            fixed_bytes(&message.fields).map_err(rule)?;
            fixed_bytes(&message.reply).map_err(rule)?;
        }
        Ok(())
    }
}

/// The Rust source for a table.
#[must_use]
pub fn emit(table: &Table) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "/// Version of the protocol that this table describes.");
    let _ = writeln!(out, "pub const VERSION: u32 = {};\n", table.version);
    for message in &table.messages {
        emit_message(&mut out, message);
    }
    emit_opcode(&mut out, table);
    emit_request(&mut out, table);
    emit_list(&mut out, table);
    out
}

fn emit_struct(out: &mut String, name: &str, doc: &str, fields: &[Field]) {
    let _ = writeln!(out, "/// {doc}");
    let _ = writeln!(
        out,
        "#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ::zerocopy::FromBytes, ::zerocopy::IntoBytes, \
         ::zerocopy::Immutable, ::zerocopy::KnownLayout)]\n#[repr(C)]\npub struct {name} {{"
    );
    for Field(field, kind, meaning) in fields {
        let _ = writeln!(out, "    /// {meaning}\n    pub {field}: {kind},");
    }
    let hole = fixed_bytes(fields).map_or(0, |bytes| bytes.wrapping_neg() % 8);
    if hole > 0 {
        let _ = writeln!(
            out,
            "    /// 0; fills the struct up to a multiple of 8\n    pub reserved: [u8; {hole}],"
        );
    }
    let _ = writeln!(out, "}}\n");
}

fn emit_message(out: &mut String, message: &Message) {
    let name = &message.name;
    let class = match message.class {
        Class::Posted => "posted",
        Class::Call => "call",
    };
    let mut doc = format!("{}\n///\n/// Opcode {}, {class}.", message.doc, message.opcode);
    if let Some(tail) = &message.tail {
        let _ = write!(doc, " Tail, at most {} bytes: {tail}.", message.tail_max);
    }
    if let Some(tail) = &message.reply_tail {
        let _ = write!(doc, " Tail of the reply: {tail}.");
    }
    emit_struct(out, name, &doc, &message.fields);
    let _ = writeln!(
        out,
        "impl Message for {name} {{\n    const OPCODE: Opcode = Opcode::{name};\n    const MAX_TAIL: usize = {};\n}}\n",
        message.tail_max
    );
    match message.class {
        Class::Posted => {
            let _ = writeln!(out, "impl Posted for {name} {{}}\n");
        }
        Class::Call => {
            emit_struct(
                out,
                &format!("{name}Reply"),
                &format!("Answer to [`{name}`]."),
                &message.reply,
            );
            let _ = writeln!(
                out,
                "impl Call for {name} {{\n    type Reply = {name}Reply;\n    const REPLY_HAS_TAIL: bool = {};\n}}\n",
                message.reply_tail.is_some()
            );
        }
    }
}

fn emit_opcode(out: &mut String, table: &Table) {
    let _ = writeln!(
        out,
        "/// Number of a message on the wire.\n#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]\n\
         #[repr(u16)]\npub enum Opcode {{"
    );
    for message in &table.messages {
        let _ = writeln!(
            out,
            "    /// [`{}`](struct@{0})\n    {0} = {},",
            message.name, message.opcode
        );
    }
    let _ = writeln!(
        out,
        "}}\n\nimpl Opcode {{\n    /// The opcode with this number.\n    #[must_use]\n    #[allow(clippy::too_many_lines, reason = \"a line for each message\")]\n    pub fn from_number(number: u16) -> Option<Self> {{\n        match number {{"
    );
    for message in &table.messages {
        let _ = writeln!(
            out,
            "            {} => Some(Self::{}),",
            message.opcode, message.name
        );
    }
    let _ = writeln!(
        out,
        "            _ => None,\n        }}\n    }}\n\n    /// Number on the wire.\n    #[must_use]\n    \
         pub const fn number(self) -> u16 {{\n        self as u16\n    }}\n}}\n"
    );
}

fn emit_request(out: &mut String, table: &Table) {
    let _ = writeln!(
        out,
        "/// A decoded message with its tail.\n#[derive(Clone, Copy, Debug, PartialEq)]\npub enum Request<'a> {{"
    );
    for message in &table.messages {
        let tail = if message.tail.is_some() { ", &'a [u8]" } else { "" };
        let _ = writeln!(
            out,
            "    /// [`{0}`](struct@{0})\n    {0}({0}{tail}),",
            message.name
        );
    }
    let _ = writeln!(
        out,
        "}}\n\n#[allow(clippy::too_many_lines, reason = \"a line for each message\")]\npub(crate) fn decode_body(opcode: Opcode, body: &[u8]) -> Result<Request<'_>, WireError> {{\n    Ok(match opcode {{"
    );
    for message in &table.messages {
        let name = &message.name;
        let _ = if message.tail.is_some() {
            writeln!(
                out,
                "        Opcode::{name} => {{\n            let (message, tail) = split::<{name}>(body)?;\n            \
                 Request::{name}(message, tail)\n        }}"
            )
        } else {
            writeln!(
                out,
                "        Opcode::{name} => Request::{name}(split::<{name}>(body)?.0),"
            )
        };
    }
    let _ = writeln!(
        out,
        "    }})\n}}\n\nimpl Request<'_> {{\n    /// Its opcode.\n    #[must_use]\n    #[allow(clippy::too_many_lines, reason = \"a line for each message\")]\n    pub fn opcode(&self) -> Opcode {{\n        match self {{"
    );
    for message in &table.messages {
        let _ = writeln!(out, "            Self::{}(..) => Opcode::{0},", message.name);
    }
    let _ = writeln!(out, "        }}\n    }}\n}}\n");
}

fn emit_list(out: &mut String, table: &Table) {
    let _ = writeln!(
        out,
        "/// All messages, in the order of the table.\npub const MESSAGES: &[MessageInfo] = &["
    );
    for message in &table.messages {
        let reply = match message.class {
            Class::Posted => "None".to_owned(),
            Class::Call => format!("Some(size_of::<{}Reply>())", message.name),
        };
        let name = &message.name;
        let _ = writeln!(
            out,
            "    MessageInfo {{ name: \"{name}\", opcode: Opcode::{name}, class: Class::{:?}, quota: Quota::{:?}, \
             capture: Capture::{:?}, fixed_bytes: size_of::<{name}>(), max_tail: {}, reply_bytes: {reply}, \
             reply_has_tail: {} }},",
            message.class,
            message.quota,
            message.capture,
            message.tail_max,
            message.reply_tail.is_some(),
        );
    }
    let _ = writeln!(out, "];\n");
    let _ = writeln!(
        out,
        "/// Calls `$callback!` with `(Name, opcode, class)` of every message, separated by commas.\n#[macro_export]\n\
         macro_rules! for_each_message {{\n    ($callback:ident) => {{\n        $callback! {{"
    );
    for message in &table.messages {
        let class = match message.class {
            Class::Posted => "posted",
            Class::Call => "call",
        };
        let _ = writeln!(
            out,
            "            ({}, {}, {class}),",
            message.name, message.opcode
        );
    }
    let _ = writeln!(out, "        }}\n    }};\n}}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_table_is_sound() {
        let table = Table::load().unwrap();
        assert!(table.messages.len() >= 30);
        assert!(emit(&table).contains("pub struct Launch {"));
    }

    fn broken(text: &str) -> String {
        Table::parse(text).unwrap_err().to_string()
    }

    const ROW: &str = "[[message]]\nname = \"A\"\nopcode = 1\nclass = \"posted\"\nquota = \"none\"\ncapture = \"allowed\"\ndoc = \"\"\n";

    #[test]
    fn rules_are_enforced() {
        assert!(broken("version = 1\nmessage = 3").contains("parse"));
        let twice = format!("version = 1\n{ROW}fields = []\n{ROW}fields = []\n");
        assert!(broken(&twice).contains("taken"));
        let hole = format!("version = 1\n{ROW}fields = [[\"a\", \"u32\", \"\"], [\"b\", \"u64\", \"\"]]\n");
        assert!(broken(&hole).contains("hole"));
        let kind = format!("version = 1\n{ROW}fields = [[\"a\", \"usize\", \"\"]]\n");
        assert!(broken(&kind).contains("wire type"));
        let reply = format!("version = 1\n{ROW}fields = []\nreply = [[\"a\", \"u64\", \"\"]]\n");
        assert!(broken(&reply).contains("no reply"));
        let zero = format!("version = 1\n{ROW}fields = []\n").replace("opcode = 1", "opcode = 0");
        assert!(broken(&zero).contains("opcode 0"));
        let tail = format!("version = 1\n{ROW}fields = []\ntail = \"x\"\n");
        assert!(broken(&tail).contains("tail_max"));
    }
}
