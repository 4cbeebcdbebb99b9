//! Names inside a body: registers, variables and labels in nested scopes.
//!
//! One map holds what is visible now; entering a scope marks a log of what declarations replaced, leaving it undoes the
//! log. `%r<n>` is one entry under its prefix; the registers behind it are created when they are first mentioned.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::error::Loc;
use crate::id::{BlockId, ProtoId, RegId, TableId};
use crate::limits;
use crate::module::Symbol;
use crate::types::Type;

type Map<K, V> = HashMap<K, V, RandomState>;

/// What a name stands for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Name {
    /// A register.
    Reg(RegId),
    /// A vector register: its components are consecutive.
    Vector(RegId, u8),
    /// A variable or parameter.
    Symbol(Symbol),
}

/// What a label stands for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Label {
    Block(BlockId),
    Table(TableId),
    Proto(ProtoId),
}

#[derive(Clone, Copy, Debug)]
struct Entry<T> {
    value: T,
    depth: usize,
    loc: Loc,
}

/// Registers declared as `%r<n>`.
#[derive(Debug)]
struct Range {
    ty: Type,
    count: u64,
    /// The registers mentioned so far, by number; `None` when the numbers are too sparse for a vector.
    dense: Option<Vec<Option<RegId>>>,
}

enum Undo<'a> {
    Name(&'a [u8], Option<Entry<Name>>),
    Range(&'a [u8], Option<Entry<usize>>),
    Label(&'a [u8], Option<Entry<Label>>),
}

/// What looking up a register name gives.
pub(crate) enum Found {
    Name(Name),
    /// The n-th register of a range, which does not exist yet.
    NewReg(RangeSlot, Type),
    None,
}

/// A place in a range.
#[derive(Clone, Copy)]
pub(crate) struct RangeSlot {
    range: usize,
    number: u64,
}

/// All names that are visible at a place of a body.
pub(crate) struct Scopes<'a> {
    names: Map<&'a [u8], Entry<Name>>,
    ranges: Map<&'a [u8], Entry<usize>>,
    labels: Map<&'a [u8], Entry<Label>>,
    /// How many single names end in a digit and begin with `%`: as long as there is none, `%r1` is looked up as a
    /// member of a range only.
    single_registers: usize,
    all_ranges: Vec<Range>,
    sparse: Map<(usize, u64), RegId>,
    /// Entries that dense ranges may still take, in proportion to the text.
    budget: u64,
    undo: Vec<Undo<'a>>,
    marks: Vec<usize>,
}

impl<'a> Scopes<'a> {
    /// For a body of `text_len` bytes.
    pub(crate) fn new(text_len: usize) -> Self {
        Self {
            names: Map::default(),
            ranges: Map::default(),
            labels: Map::default(),
            single_registers: 0,
            all_ranges: Vec::new(),
            sparse: Map::default(),
            budget: (text_len as u64).saturating_mul(4).saturating_add(4096),
            undo: Vec::new(),
            marks: Vec::new(),
        }
    }

    /// How deep the current scope is.
    pub(crate) fn depth(&self) -> usize {
        self.marks.len()
    }

    /// Opens a scope; fails at the nesting limit.
    pub(crate) fn enter(&mut self) -> Result<(), ()> {
        if self.marks.len() >= limits::NESTING {
            return Err(());
        }
        self.marks.push(self.undo.len());
        Ok(())
    }

    /// Closes the innermost scope.
    pub(crate) fn leave(&mut self) {
        let mark = self.marks.pop().unwrap_or(0);
        while self.undo.len() > mark {
            match self.undo.pop() {
                Some(Undo::Name(name, old)) => {
                    if is_single_register(name) {
                        self.single_registers -= 1;
                    }
                    restore(&mut self.names, name, old);
                }
                Some(Undo::Range(name, old)) => restore(&mut self.ranges, name, old),
                Some(Undo::Label(name, old)) => restore(&mut self.labels, name, old),
                None => return,
            }
        }
    }

    /// Declares a register or variable; fails with the place of an earlier declaration in the same scope.
    pub(crate) fn declare(&mut self, name: &'a [u8], value: Name, loc: Loc) -> Result<(), Loc> {
        let depth = self.depth();
        let old = self.names.insert(name, Entry { value, depth, loc });
        if let Some(previous) = old.filter(|entry| entry.depth == depth) {
            return Err(previous.loc);
        }
        self.single_registers += usize::from(is_single_register(name));
        self.undo.push(Undo::Name(name, old));
        Ok(())
    }

    /// Declares `prefix<count>`.
    pub(crate) fn declare_range(
        &mut self,
        prefix: &'a [u8],
        ty: Type,
        count: u64,
        loc: Loc,
    ) -> Result<(), Loc> {
        let depth = self.depth();
        let dense = count <= self.budget;
        if dense {
            self.budget -= count;
        }
        self.all_ranges.push(Range {
            ty,
            count,
            dense: dense.then(Vec::new),
        });
        let old = self.ranges.insert(
            prefix,
            Entry {
                value: self.all_ranges.len() - 1,
                depth,
                loc,
            },
        );
        if let Some(previous) = old.filter(|entry| entry.depth == depth) {
            return Err(previous.loc);
        }
        self.undo.push(Undo::Range(prefix, old));
        Ok(())
    }

    /// Declares a label.
    pub(crate) fn declare_label(&mut self, name: &'a [u8], value: Label, loc: Loc) -> Result<(), Loc> {
        let depth = self.depth();
        let old = self.labels.insert(name, Entry { value, depth, loc });
        if let Some(previous) = old.filter(|entry| entry.depth == depth) {
            return Err(previous.loc);
        }
        self.undo.push(Undo::Label(name, old));
        Ok(())
    }

    /// A label of the innermost scope only.
    pub(crate) fn own_label(&self, name: &[u8]) -> Option<Label> {
        self.labels
            .get(name)
            .filter(|entry| entry.depth == self.depth())
            .map(|entry| entry.value)
    }

    /// Looks up a register or variable.
    pub(crate) fn find(&self, name: &[u8]) -> Found {
        let digits = name.iter().rev().take_while(|b| b.is_ascii_digit()).count();
        let percent = name.first() == Some(&b'%');
        let single = if digits > 0 && percent && self.single_registers == 0 {
            None
        } else {
            self.names.get(name)
        };
        if digits == 0 || self.all_ranges.is_empty() {
            return single.map_or(Found::None, |entry| Found::Name(entry.value));
        }
        let ranged = self.in_range(name, digits);
        match (single, ranged) {
            (Some(entry), Some((depth, _))) if entry.depth >= depth => Found::Name(entry.value),
            (_, Some((_, slot))) => self.at(slot),
            (Some(entry), None) => Found::Name(entry.value),
            (None, None) => Found::None,
        }
    }

    /// The range that a name ending in digits belongs to. The prefix of a range may itself end in digits.
    fn in_range(&self, name: &[u8], digits: usize) -> Option<(usize, RangeSlot)> {
        // Compilers put the boundary before the first digit; the others are tried for the sake of `%r1<4>`.
        (1..=digits.min(9)).rev().find_map(|taken| {
            let (prefix, number) = name.split_at(name.len() - taken);
            if number.len() > 1 && number.first() == Some(&b'0') {
                return None;
            }
            let entry = self.ranges.get(prefix)?;
            let number = number
                .iter()
                .fold(0u64, |sum, digit| sum * 10 + u64::from(digit - b'0'));
            let range = self.all_ranges.get(entry.value)?;
            (number < range.count).then_some((
                entry.depth,
                RangeSlot {
                    range: entry.value,
                    number,
                },
            ))
        })
    }

    fn at(&self, slot: RangeSlot) -> Found {
        let Some(range) = self.all_ranges.get(slot.range) else {
            return Found::None;
        };
        let known = match (&range.dense, usize::try_from(slot.number)) {
            (Some(dense), Ok(number)) => dense.get(number).copied().flatten(),
            _ => self.sparse.get(&(slot.range, slot.number)).copied(),
        };
        known.map_or(Found::NewReg(slot, range.ty), |reg| Found::Name(Name::Reg(reg)))
    }

    /// Remembers the register made for a place in a range.
    pub(crate) fn fill(&mut self, slot: RangeSlot, reg: RegId) {
        let dense = self
            .all_ranges
            .get_mut(slot.range)
            .and_then(|range| range.dense.as_mut());
        match (dense, usize::try_from(slot.number)) {
            (Some(dense), Ok(number)) => {
                if dense.len() <= number {
                    dense.resize(number + 1, None);
                }
                if let Some(place) = dense.get_mut(number) {
                    *place = Some(reg);
                }
            }
            _ => {
                self.sparse.insert((slot.range, slot.number), reg);
            }
        }
    }
}

fn is_single_register(name: &[u8]) -> bool {
    name.first() == Some(&b'%') && name.last().is_some_and(u8::is_ascii_digit)
}

fn restore<'a, T>(map: &mut Map<&'a [u8], T>, name: &'a [u8], old: Option<T>) {
    match old {
        Some(old) => map.insert(name, old),
        None => map.remove(name),
    };
}
