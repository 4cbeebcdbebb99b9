//! PTX: lexer, parser, typed IR, linker, verifier and printer.
//!
//! ```text
//!  text ── parse_module ─▶ Module ── link ─▶ Module
//!                            └ body(func) ─▶ Body (parsed and verified when first asked for)
//! ```
//!
//! * [`module`]: what is known without looking into bodies: variables, signatures, directives.
//! * [`body`]: registers, basic blocks, instructions. One uniform form: opcode, typed modifiers, guard, operands.
//! * [`isa`]: the instruction table, the one place that says which modifiers and operands an instruction takes.
#![forbid(unsafe_code)]

pub mod body;
mod error;
pub mod id;
pub mod isa;
mod lexer;
pub mod limits;
mod link;
pub mod modifier;
pub mod module;
mod names;
mod opcode;
mod parse;
mod print;
mod special;
mod spelled;
mod types;
pub mod verify;

pub use body::{Address, Block, Body, Guard, Inst, Operand, Part, Prototype, Reg, Table};
pub use error::{Error, ErrorKind, Loc};
pub use id::{BlockId, FuncId, Id, IdVec, InstId, LocalId, ProtoId, RegId, TableId, UnitId, VarId};
pub use link::{DEVICE_RUNTIME, LinkError, Place, SUPPLIED, link};
pub use modifier::{Flag, Mod, Space};
pub use module::{
    FuncKind, Function, Initializer, Linkage, Module, Param, PtrInfo, Relocation, SourceFile, Symbol, Target,
    Tuning, Variable, Variant,
};
pub use opcode::Opcode;
pub use parse::parse_module;
pub use print::{print_body, print_module};
pub use special::{Component, SpecialKind, SpecialReg};
pub use types::{Type, TypeClass};
