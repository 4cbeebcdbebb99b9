//! From the spelling of an instruction to opcode, typed modifiers and matching rows.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use smallvec::SmallVec;

use super::table::TABLE;
use super::{Choice, Form, FormId};
use crate::body::Mods;
use crate::modifier::Mod;
use crate::opcode::Opcode;

/// What a spelling means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// The mnemonic.
    pub op: Opcode,
    /// The modifiers in source order.
    pub mods: Mods,
    /// The rows that have these modifiers; they differ in their operands. Never empty.
    pub forms: SmallVec<[FormId; 2]>,
}

/// Why a spelling means nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The mnemonic is not in the table.
    #[error("no such instruction")]
    UnknownOpcode,
    /// A modifier that the ISA does not have.
    #[error("no modifier '.{0}' in the ISA")]
    UnknownModifier(Box<str>),
    /// A modifier that this instruction, or this combination, does not take.
    #[error("'.{modifier}' does not fit here")]
    Misplaced {
        /// The mnemonic.
        opcode: Opcode,
        /// The modifier.
        modifier: Box<str>,
    },
    /// A modifier is missing.
    #[error("one of {choices} is missing")]
    Missing {
        /// The mnemonic.
        opcode: Opcode,
        /// What would fit.
        choices: Box<str>,
    },
}

/// Most modifiers that an instruction can have; `forms.txt` has no row near it.
const MAX_MODIFIERS: usize = 24;
/// Longest spelling that is remembered, and how many are.
const CACHED_LENGTH: usize = 160;
const CACHED_COUNT: usize = 8192;

thread_local! {
    static CACHE: RefCell<HashMap<Box<[u8]>, Rc<Decoded>, foldhash::fast::RandomState>> = RefCell::default();
}

/// Decodes with a per-thread memory: programs have millions of instructions and a few hundred spellings.
pub(crate) fn decode_cached(spelling: &[u8]) -> Result<Rc<Decoded>, DecodeError> {
    if let Some(known) = CACHE.with_borrow(|cache| cache.get(spelling).cloned()) {
        return Ok(known);
    }
    let decoded = Rc::new(decode(&String::from_utf8_lossy(spelling))?);
    CACHE.with_borrow_mut(|cache| {
        if cache.len() < CACHED_COUNT && spelling.len() <= CACHED_LENGTH {
            cache.insert(spelling.into(), Rc::clone(&decoded));
        }
    });
    Ok(decoded)
}

/// Decodes a spelling like `ld.global.nc.v2.f32`.
///
/// # Errors
/// [`DecodeError`] says which part is wrong.
pub fn decode(spelling: &str) -> Result<Decoded, DecodeError> {
    let (op, rest) = split_opcode(spelling).ok_or(DecodeError::UnknownOpcode)?;
    let words: SmallVec<[&str; 8]> = if rest.is_empty() {
        SmallVec::new()
    } else {
        rest.split('.').collect()
    };
    let mut meanings: SmallVec<[SmallVec<[Mod; 2]>; 8]> = SmallVec::new();
    for word in &words {
        let found = TABLE.meanings(word);
        if found.is_empty() || meanings.len() >= MAX_MODIFIERS {
            return Err(DecodeError::UnknownModifier((*word).into()));
        }
        meanings.push(found);
    }
    let mut decoded: Option<Decoded> = None;
    let mut best: Option<(usize, Mismatch)> = None;
    for id in TABLE.rows(op) {
        match place(&TABLE.forms[*id], &meanings) {
            Ok(mods) => match &mut decoded {
                None => {
                    decoded = Some(Decoded {
                        op,
                        mods,
                        forms: SmallVec::from_slice(&[*id]),
                    });
                }
                Some(first) if first.mods == mods => first.forms.push(*id),
                Some(_) => {}
            },
            Err((placed, mismatch)) => {
                if best.as_ref().is_none_or(|(most, _)| placed > *most) {
                    best = Some((placed, mismatch));
                }
            }
        }
    }
    decoded.ok_or_else(|| explain(op, &words, best.map(|(_, mismatch)| mismatch)))
}

/// The longest opcode that `spelling` begins with, and the modifiers after it.
fn split_opcode(spelling: &str) -> Option<(Opcode, &str)> {
    let mut ends: SmallVec<[usize; 8]> = spelling.match_indices('.').map(|(at, _)| at).take(5).collect();
    ends.push(spelling.len());
    ends.dedup();
    let found = ends
        .iter()
        .rev()
        .find_map(|end| Some((TABLE.opcode(spelling.get(..*end)?)?, *end)));
    let (op, end) = found?;
    let rest = spelling.get(end..)?;
    Some((op, rest.strip_prefix('.').unwrap_or(rest)))
}

enum Mismatch {
    /// The n-th modifier finds no slot.
    Misplaced(usize),
    /// The n-th slot of a row stays empty.
    Missing(String),
}

/// Puts each modifier into the first free slot that has it. Fails with how many found a place.
fn place(form: &Form, meanings: &[SmallVec<[Mod; 2]>]) -> Result<Mods, (usize, Mismatch)> {
    let mut used: SmallVec<[bool; 24]> = SmallVec::from_elem(false, form.slots.len());
    let mut mods = Mods::new();
    for (n, candidates) in meanings.iter().enumerate() {
        let found = form.slots.iter().zip(used.iter_mut()).find_map(|(slot, used)| {
            if *used {
                return None;
            }
            let meaning = candidates.iter().copied().find(|m| slot.choice.has(*m))?;
            *used = true;
            Some(meaning)
        });
        match found {
            Some(meaning) => mods.push(meaning),
            None => return Err((n, Mismatch::Misplaced(n))),
        }
    }
    let empty = form
        .slots
        .iter()
        .zip(&used)
        .find(|(slot, used)| !slot.optional && !**used);
    match empty {
        Some((slot, _)) => Err((meanings.len(), Mismatch::Missing(slot.choice.describe()))),
        None => Ok(mods),
    }
}

impl Choice {
    fn has(&self, m: Mod) -> bool {
        match self {
            Self::Of(mods) => mods.contains(&m),
            Self::WarpgroupShape => {
                matches!(m, Mod::Shape(s) if s.m == 64 && s.n % 8 == 0 && s.n <= 256 && s.k != 0)
            }
        }
    }

    fn describe(&self) -> String {
        match self {
            Self::Of(mods) => mods.iter().map(|m| format!(".{m}")).collect::<Vec<_>>().join(" "),
            Self::WarpgroupShape => ".m64n<N>k<K>".to_owned(),
        }
    }
}

fn explain(op: Opcode, words: &[&str], mismatch: Option<Mismatch>) -> DecodeError {
    match mismatch {
        Some(Mismatch::Misplaced(n)) => DecodeError::Misplaced {
            opcode: op,
            modifier: words.get(n).copied().unwrap_or_default().into(),
        },
        Some(Mismatch::Missing(choices)) => DecodeError::Missing {
            opcode: op,
            choices: choices.into(),
        },
        None => DecodeError::UnknownOpcode,
    }
}
