//! The instruction table: which modifiers go together, and which operands an instruction takes.

/// A row of the instruction table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FormId(pub(crate) u16);
