//! Reads `forms.txt` into the tables that decoding uses.
//!
//! A malformed row is left out and reported by [`Table::problems`]; a test asserts that there are none, so nothing here
//! can fail at run time.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::LazyLock;

use smallvec::SmallVec;

use super::{Choice, Form, FormId, FragmentRole, OperandSpec, Role, Second, Slot, TypeSpec};
use crate::id::{Id, IdVec};
use crate::modifier::{Mod, Shape};
use crate::opcode::Opcode;
use crate::types::Type;

const TEXT: &str = include_str!("forms.txt");

pub(crate) static TABLE: LazyLock<Table> = LazyLock::new(|| Table::read(TEXT));

/// The table and its indices.
pub(crate) struct Table {
    pub(crate) forms: IdVec<FormId, Form>,
    /// Rows of each opcode.
    by_op: HashMap<Opcode, Vec<FormId>>,
    opcodes: HashMap<&'static str, Opcode>,
    spellings: HashMap<&'static str, SmallVec<[Mod; 2]>>,
    /// Lines that could not be read.
    pub(crate) problems: Vec<String>,
}

/// Other spellings of opcodes.
const ALIASES: &[(&str, Opcode)] = &[
    ("barrier.cta.sync", Opcode::BarrierSync),
    ("barrier.cta.arrive", Opcode::BarrierArrive),
    ("barrier.cta.red", Opcode::BarrierRed),
    ("bar.cta.sync", Opcode::BarSync),
    ("bar.cta.arrive", Opcode::BarArrive),
    ("bar.cta.red", Opcode::BarRed),
];

impl Table {
    fn read(text: &'static str) -> Self {
        let mut table = Self {
            forms: IdVec::new(),
            by_op: HashMap::new(),
            opcodes: Opcode::ALL
                .iter()
                .map(|op| (op.as_str(), *op))
                .chain(ALIASES.iter().copied())
                .collect(),
            spellings: HashMap::new(),
            problems: Vec::new(),
        };
        for m in Mod::all() {
            if let Some(text) = m.as_str() {
                table.spellings.entry(text).or_default().push(m);
            }
        }
        let mut sets = HashMap::new();
        for line in text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
        {
            let read = match line.strip_prefix('@') {
                Some(set) => table.read_set(set, &mut sets),
                None => table.read_row(line, &sets),
            };
            if let Err(problem) = read {
                table.problems.push(format!("{line}: {problem}"));
            }
        }
        table
    }

    /// The rows of an opcode.
    pub(crate) fn rows(&self, op: Opcode) -> &[FormId] {
        self.by_op.get(&op).map_or(&[], Vec::as_slice)
    }

    /// The opcode with this spelling.
    pub(crate) fn opcode(&self, text: &str) -> Option<Opcode> {
        self.opcodes.get(text).copied()
    }

    /// Everything that a modifier spelling can mean.
    pub(crate) fn meanings(&self, text: &str) -> SmallVec<[Mod; 2]> {
        match parse_shape(text) {
            Some(shape) => SmallVec::from_slice(&[Mod::Shape(shape)]),
            None => self.spellings.get(text).cloned().unwrap_or_default(),
        }
    }

    fn read_set(&self, line: &'static str, sets: &mut HashMap<&'static str, Vec<Mod>>) -> Result<(), String> {
        let mut words = line.split_whitespace().peekable();
        let name = words.next().ok_or("set without a name")?;
        let category = words.next_if(|word| !word.starts_with('.'));
        let mods = words
            .map(|word| self.one_meaning(word, category))
            .collect::<Result<Vec<Mod>, String>>()?;
        sets.insert(name, mods);
        Ok(())
    }

    fn read_row(&mut self, line: &str, sets: &HashMap<&'static str, Vec<Mod>>) -> Result<(), String> {
        let (head, operands) = line
            .rsplit_once(" :")
            .or_else(|| line.rsplit_once(':'))
            .ok_or("no colon")?;
        let mut words = head.split_whitespace();
        let op = words
            .next()
            .and_then(|word| self.opcode(word))
            .ok_or("unknown opcode")?;
        let slots = words
            .map(|word| self.read_slot(word, sets))
            .collect::<Result<Vec<Slot>, String>>()?;
        let operands = operands
            .split_whitespace()
            .map(read_operand)
            .collect::<Result<Vec<OperandSpec>, String>>()?;
        let required = operands.iter().take_while(|operand| !operand.optional).count();
        let fewest = u8::try_from(required).map_err(|_| "too many operands")?;
        let id = self.forms.push(Form {
            op,
            slots,
            operands,
            fewest,
        });
        if id.index() >= usize::from(u16::MAX) {
            return Err("too many rows".to_owned());
        }
        self.by_op.entry(op).or_default().push(id);
        Ok(())
    }

    fn read_slot(&self, word: &str, sets: &HashMap<&'static str, Vec<Mod>>) -> Result<Slot, String> {
        let optional = word.starts_with('?');
        let word = word.trim_start_matches('?');
        if word == "$wgmma" {
            return Ok(Slot {
                choice: Choice::WarpgroupShape,
                optional,
            });
        }
        let mut mods = Vec::new();
        for part in word.split('|') {
            if let Some(set) = part.strip_prefix('$') {
                mods.extend(sets.get(set).ok_or_else(|| format!("no set {set}"))?);
            } else {
                let (category, spelling) = match part.split_once('/') {
                    Some((category, spelling)) => (Some(category), spelling),
                    None => (None, part),
                };
                mods.push(self.one_meaning(spelling, category)?);
            }
        }
        Ok(Slot {
            choice: Choice::Of(mods),
            optional,
        })
    }

    /// The meaning of `.word` in a category, or the first one.
    fn one_meaning(&self, word: &str, category: Option<&str>) -> Result<Mod, String> {
        let text = word
            .strip_prefix('.')
            .ok_or_else(|| format!("{word} has no dot"))?;
        let found = self
            .meanings(text)
            .into_iter()
            .find(|m| category.is_none_or(|c| category_name(*m) == c));
        found.ok_or_else(|| format!("no modifier {word}"))
    }
}

/// The category as `forms.txt` calls it: the name of the variant of [`Mod`].
fn category_name(m: Mod) -> &'static str {
    match m {
        Mod::Type(_) => "Type",
        Mod::Rounding(_) => "Rounding",
        Mod::Space(_) => "Space",
        Mod::Vec(_) => "Vec",
        Mod::Count(_) => "Count",
        Mod::Cache(_) => "Cache",
        Mod::Hint(_) => "Hint",
        Mod::Semantics(_) => "Semantics",
        Mod::Scope(_) => "Scope",
        Mod::Cmp(_) => "Cmp",
        Mod::Bool(_) => "Bool",
        Mod::Atom(_) => "Atom",
        Mod::Vote(_) => "Vote",
        Mod::Shfl(_) => "Shfl",
        Mod::Half(_) => "Half",
        Mod::Geometry(_) => "Geometry",
        Mod::Layout(_) => "Layout",
        Mod::Fragment(_) => "Fragment",
        Mod::Test(_) => "Test",
        Mod::Prmt(_) => "Prmt",
        Mod::Query(_) => "Query",
        Mod::Field(_) => "Field",
        Mod::Tmem(_) => "Tmem",
        Mod::Kind(_) => "Kind",
        Mod::Component(_) => "Component",
        Mod::Shape(_) => "Shape",
        Mod::Flag(_) => "Flag",
    }
}

fn read_operand(word: &str) -> Result<OperandSpec, String> {
    let (word, second) = match word.split_once('|') {
        Some((first, "p?")) => (first, Second::Optional),
        Some((first, "p")) => (first, Second::Required),
        Some(_) => return Err(format!("bad pair {word}")),
        None => (word, Second::None),
    };
    let (word, optional) = match word.strip_suffix('?') {
        Some(word) => (word, true),
        None => (word, false),
    };
    let (role, ty) = match word.split_once(':') {
        Some((role, ty)) => typed_role(role, ty)?,
        None => plain_role(word)?,
    };
    Ok(OperandSpec {
        role,
        ty,
        optional,
        second,
    })
}

fn typed_role(role: &str, ty: &str) -> Result<(Role, TypeSpec), String> {
    if role == "frag" {
        let which = match ty {
            "a" => FragmentRole::A,
            "b" => FragmentRole::B,
            "c" => FragmentRole::C,
            "d" => FragmentRole::D,
            "x" => FragmentRole::Plain,
            _ => return Err(format!("bad fragment {ty}")),
        };
        return Ok((Role::Fragment(which), TypeSpec::None));
    }
    let spec = match ty {
        "addr" => TypeSpec::Address,
        "any" => TypeSpec::AnyInteger,
        "cpsize" => TypeSpec::IntegerOrPred,
        _ => match ty.parse::<u8>() {
            Ok(n) => TypeSpec::Nth(n),
            Err(_) => TypeSpec::Fixed(
                Type::ALL
                    .iter()
                    .copied()
                    .find(|t| t.as_str() == ty)
                    .ok_or_else(|| format!("no type {ty}"))?,
            ),
        },
    };
    let role = match role {
        "d" => Role::Dest,
        "a" => Role::Source,
        "sel" => Role::Select,
        "msel" => Role::DestSelect,
        _ => return Err(format!("bad role {role}")),
    };
    Ok((role, spec))
}

fn plain_role(word: &str) -> Result<(Role, TypeSpec), String> {
    let role = match word {
        "dp" => Role::PredDest,
        "p" => Role::Pred,
        "!p" => Role::PredOrNot,
        "m" => Role::Memory,
        "i" => Role::Constant,
        "vec" => Role::Vector,
        "mov" => Role::Move,
        "call" => Role::Call,
        "label" => Role::Label,
        "table" => Role::Table,
        "tex" => Role::Texture,
        "surf" => Role::Surface,
        "tmap" => Role::Tensor,
        "any" => Role::Any,
        _ => return numbered_role(word),
    };
    Ok((role, TypeSpec::None))
}

fn numbered_role(word: &str) -> Result<(Role, TypeSpec), String> {
    let digits = word.trim_start_matches(|c: char| !c.is_ascii_digit());
    let n = digits.parse::<u8>().map_err(|_| format!("bad operand {word}"))?;
    let role = match word.strip_suffix(digits) {
        Some("d") => Role::Dest,
        Some("x") => Role::DestRelaxed,
        Some("w") => Role::DestDouble,
        Some("dv") => Role::DestVector,
        Some("a") => Role::Source,
        Some("y") => Role::SourceRelaxed,
        Some("v") => Role::SourceDouble,
        Some("av") => Role::SourceVector,
        _ => return Err(format!("bad operand {word}")),
    };
    Ok((role, TypeSpec::Nth(n)))
}

/// Reads `m16n8k16` or `m8n8`.
pub(crate) fn parse_shape(text: &str) -> Option<Shape> {
    let rest = text.strip_prefix('m')?;
    let (m, rest) = rest.split_once('n')?;
    let (n, k) = match rest.split_once('k') {
        Some((n, k)) => (n, number(k)?),
        None => (rest, 0),
    };
    Some(Shape {
        m: u8::try_from(number(m)?).ok()?,
        n: number(n)?,
        k,
    })
}

/// A number without sign or leading zero, at most 256.
fn number(text: &str) -> Option<u16> {
    let plain = !text.is_empty()
        && text.len() <= 3
        && text.bytes().all(|b| b.is_ascii_digit())
        && !text.starts_with('0');
    let value = if plain { text.parse().ok()? } else { return None };
    Range { start: 1, end: 257 }.contains(&value).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_readable() {
        assert_eq!(TABLE.problems, Vec::<String>::new());
    }

    #[test]
    fn every_opcode_has_a_row() {
        let without: Vec<_> = Opcode::ALL
            .iter()
            .filter(|op| TABLE.rows(**op).is_empty())
            .collect();
        assert!(without.is_empty(), "{without:?}");
    }

    #[test]
    fn optional_operands_come_last() {
        for (id, form) in TABLE.forms.iter() {
            let first = form
                .operands
                .iter()
                .position(|operand| operand.optional)
                .unwrap_or(form.operands.len());
            assert!(
                form.operands[first..].iter().all(|operand| operand.optional),
                "{id:?} of {}",
                form.op
            );
        }
    }

    #[test]
    fn shapes_read_and_print() {
        for text in ["m16n8k16", "m8n8", "m64n256k8", "m16n8k256"] {
            assert_eq!(
                parse_shape(text).map(|shape| shape.to_string()).as_deref(),
                Some(text)
            );
        }
        for text in ["m", "mn", "m0n8", "m8n8k", "m8n08", "m8n8k257", "max", "m300n8"] {
            assert_eq!(parse_shape(text), None, "{text}");
        }
    }
}
