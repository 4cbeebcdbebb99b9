//! Instructions: guard, spelling, operands.

use std::borrow::Cow;

use smallvec::{SmallVec, smallvec};

use super::body::{BodyParser, LabelPlace, PendingLabel};
use super::scope::Name;
use crate::body::{Address, Guard, Inst, Operand};
use crate::error::{Error, ErrorKind, Loc};
use crate::isa::{DecodeError, FormId, Role, decode_cached};
use crate::lexer::Token;
use crate::limits;
use crate::modifier::{Flag, Mod};
use crate::module::Symbol;
use crate::opcode::Opcode;

type Operands = SmallVec<[Operand; 4]>;

impl<'a> BodyParser<'a> {
    /// One instruction with its semicolon.
    pub(crate) fn instruction(&mut self) -> Result<(), Error> {
        let guard = self.guard()?;
        let (start, loc) = (self.cursor.range.start, self.cursor.loc);
        if !matches!(self.cursor.token, Token::Ident(_)) {
            return Err(self.cursor.syntax("expected an instruction"));
        }
        let mut buffer = Vec::new();
        let spelling = self.cursor.lexer.spelling(start, &mut buffer)?;
        let decoded = decode_cached(spelling).map_err(|error| decode_error(&error, loc, spelling))?;
        self.cursor.advance()?;
        let mut mods = decoded.mods.clone();
        let operands = match decoded.op {
            Opcode::Call => self.call_operands()?,
            op => self.operands(op)?,
        };
        if self.cursor.eat_directive(b"unified")? {
            mods.push(Mod::Flag(Flag::Unified));
        }
        let operands = if self.cursor.at(b',') {
            self.more_operands(operands)?
        } else {
            operands
        };
        if !self.cursor.at(b';') {
            return Err(self.cursor.syntax("expected ';'"));
        }
        let form = choose(&decoded.forms, &operands);
        let operands = in_memory(form, operands);
        self.push_inst(Inst {
            op: decoded.op,
            mods,
            guard,
            operands,
            loc,
            form,
        });
        self.cursor.advance()
    }

    /// `@p` or `@!p`
    fn guard(&mut self) -> Result<Option<Guard>, Error> {
        if !self.cursor.eat(b'@')? {
            return Ok(None);
        }
        let negated = self.cursor.eat(b'!')?;
        let here = self.cursor.mark();
        let name = self.cursor.ident("a predicate")?;
        match self.lookup(name) {
            Some(Name::Reg(reg)) => Ok(Some(Guard { reg, negated })),
            Some(_) => Err(self
                .cursor
                .syntax_at(here, "a guard must be a predicate register")),
            None => Err(self.cursor.undeclared_at(here, name)),
        }
    }

    fn operands(&mut self, op: Opcode) -> Result<Operands, Error> {
        let mut operands = Operands::new();
        if self.cursor.at(b';') {
            return Ok(operands);
        }
        loop {
            let place = operands.len();
            let is_label = matches!((op, place), (Opcode::Bra, 0) | (Opcode::BrxIdx, 1));
            let operand = if is_label {
                self.label_operand(place)?
            } else {
                self.operand(0)?
            };
            self.push_operand(&mut operands, operand)?;
            if !self.cursor.eat(b',')? {
                return Ok(operands);
            }
        }
    }

    /// What follows `[a].unified`.
    fn more_operands(&mut self, mut operands: Operands) -> Result<Operands, Error> {
        while self.cursor.eat(b',')? {
            let operand = self.operand(0)?;
            self.push_operand(&mut operands, operand)?;
        }
        Ok(operands)
    }

    fn push_operand(&self, operands: &mut Operands, operand: Operand) -> Result<(), Error> {
        if operands.len() >= limits::OPERANDS {
            return Err(self.cursor.limit("number of operands", limits::OPERANDS as u64));
        }
        operands.push(operand);
        Ok(())
    }

    /// A label, resolved when its scope ends.
    fn label_operand(&mut self, place: usize) -> Result<Operand, Error> {
        let loc = self.cursor.loc;
        let name = self.cursor.ident("a label")?;
        let place = LabelPlace::Operand(self.current_inst(), place);
        self.pending.push(PendingLabel {
            name: Cow::Borrowed(name),
            loc,
            place,
        });
        Ok(Operand::Sink)
    }

    /// `(ret), callee, (args), prototype`: return list, callee, argument list, and what an indirect call names.
    fn call_operands(&mut self) -> Result<Operands, Error> {
        let rets = if self.cursor.at(b'(') {
            let list = self.call_list()?;
            self.cursor.expect(b',')?;
            list
        } else {
            Operand::List(Box::new([]))
        };
        let callee = self.callee()?;
        let mut args = Operand::List(Box::new([]));
        let mut more = self.cursor.eat(b',')?;
        if more && self.cursor.at(b'(') {
            args = self.call_list()?;
            more = self.cursor.eat(b',')?;
        }
        let mut operands: Operands = smallvec![rets, callee, args];
        if more {
            let target = self.label_operand(3)?;
            operands.push(target);
        }
        Ok(operands)
    }

    fn call_list(&mut self) -> Result<Operand, Error> {
        self.cursor.expect(b'(')?;
        let mut items = Vec::new();
        if !self.cursor.at(b')') {
            loop {
                if items.len() >= limits::OPERANDS {
                    return Err(self.cursor.limit("number of arguments", limits::OPERANDS as u64));
                }
                items.push(self.operand(1)?);
                if !self.cursor.eat(b',')? {
                    break;
                }
            }
        }
        self.cursor.expect(b')')?;
        Ok(Operand::List(items.into()))
    }

    fn callee(&mut self) -> Result<Operand, Error> {
        let here = self.cursor.mark();
        let name = self.cursor.ident("a function")?;
        if let Some(Name::Reg(reg)) = self.lookup(name) {
            return Ok(Operand::Reg(reg));
        }
        match self.unit.scope.get(name) {
            Some(symbol @ Symbol::Func(_)) => Ok(Operand::Sym {
                symbol: *symbol,
                offset: 0,
            }),
            Some(_) => Err(self
                .cursor
                .syntax_at(here, "only a function or a register can be called")),
            None => Err(self.cursor.undeclared_at(here, name)),
        }
    }
}

/// Of several forms with the same modifiers, the one that takes as many operands; the verifier looks closer.
fn choose(forms: &[FormId], operands: &[Operand]) -> FormId {
    let first = forms.first().copied().unwrap_or_default();
    if forms.len() < 2 {
        return first;
    }
    forms
        .iter()
        .copied()
        .find(|id| crate::isa::form(*id).fits(operands))
        .unwrap_or(first)
}

/// `ld.global.u32 %r, table[1]`: a name stands for its memory where an address in brackets is expected.
fn in_memory(form: FormId, mut operands: Operands) -> Operands {
    for (operand, spec) in operands.iter_mut().zip(&crate::isa::form(form).operands) {
        if let (Operand::Sym { symbol, offset }, Role::Memory) = (&*operand, spec.role) {
            *operand = Operand::Mem(Address::Sym {
                symbol: *symbol,
                offset: *offset,
            });
        }
    }
    operands
}

fn decode_error(error: &DecodeError, loc: Loc, spelling: &[u8]) -> Error {
    let kind = match error {
        DecodeError::UnknownOpcode => ErrorKind::Unknown { what: "instruction" },
        DecodeError::UnknownModifier(_) => ErrorKind::Unknown { what: "modifier" },
        DecodeError::Misplaced { opcode, .. } | DecodeError::Missing { opcode, .. } => ErrorKind::Form {
            opcode: opcode.as_str(),
            reason: error.to_string().into(),
        },
    };
    Error::new(kind, loc, spelling)
}
