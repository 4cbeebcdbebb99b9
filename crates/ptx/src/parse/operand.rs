//! Operands.

use super::body::BodyParser;
use super::expr::{self, Value};
use super::scope::{Found, Name};
use crate::body::{Address, Operand, Part};
use crate::error::Error;
use crate::id::{Id, RegId};
use crate::lexer::Token;
use crate::limits;
use crate::special::{SpecialReg, component_named, special_named};

/// How deep braces and brackets nest in an operand: `[map, {a, b}]` inside nothing.
const DEPTH: usize = 4;

impl<'a> BodyParser<'a> {
    /// What a name stands for; a register of a range is made when it is first mentioned.
    pub(crate) fn lookup(&mut self, name: &'a [u8]) -> Option<Name> {
        match self.scopes.find(name) {
            Found::Name(found) => Some(found),
            Found::NewReg(slot, ty) => {
                let reg = self.new_reg(name, ty);
                self.scopes.fill(slot, reg);
                Some(Name::Reg(reg))
            }
            Found::None => None,
        }
    }

    /// One operand, with `|q` behind it if there is one.
    pub(crate) fn operand(&mut self, depth: usize) -> Result<Operand, Error> {
        if depth > DEPTH {
            return Err(self.cursor.limit("nesting of an operand", DEPTH as u64));
        }
        let first = match self.cursor.token {
            Token::Punct(b'[') => self.bracket(depth)?,
            Token::Punct(b'{') => Operand::Vec(self.list(b'{', b'}', depth)?),
            Token::Punct(b'!') if matches!(self.cursor.peek()?, Token::Ident(_)) => {
                self.cursor.advance()?;
                Operand::Not(self.register()?)
            }
            Token::Punct(b'-') if matches!(self.cursor.peek()?, Token::Ident(name) if name != b"WARP_SZ") => {
                self.cursor.advance()?;
                self.negated()?
            }
            _ if expr::starts(&self.cursor) => constant(expr::expression(&mut self.cursor)?),
            Token::Ident(_) => self.named()?,
            _ => return Err(self.cursor.syntax("expected an operand")),
        };
        if depth == 0 && self.cursor.eat(b'|')? {
            let second = self.operand(DEPTH)?;
            return Ok(Operand::Pair(Box::new((first, second))));
        }
        Ok(first)
    }

    /// Operands between an opening and a closing character.
    fn list(&mut self, open: u8, close: u8, depth: usize) -> Result<Box<[Operand]>, Error> {
        self.cursor.expect(open)?;
        let mut items = Vec::new();
        loop {
            if items.len() >= limits::OPERANDS {
                return Err(self
                    .cursor
                    .limit("number of vector elements", limits::OPERANDS as u64));
            }
            items.push(self.operand(depth + 1)?);
            if !self.cursor.eat(b',')? {
                break;
            }
        }
        self.cursor.expect(close)?;
        Ok(items.into())
    }

    /// A register, for places where nothing else fits.
    fn register(&mut self) -> Result<RegId, Error> {
        let here = self.cursor.mark();
        let name = self.cursor.ident("a register")?;
        match self.lookup(name) {
            Some(Name::Reg(reg)) => Ok(reg),
            Some(_) => Err(self.cursor.syntax_at(here, "expected a register")),
            None => Err(self.cursor.undeclared_at(here, name)),
        }
    }

    /// After a minus sign before a name: a negated video operand.
    fn negated(&mut self) -> Result<Operand, Error> {
        let reg = self.register()?;
        let part = self.part()?;
        Ok(Operand::Part {
            reg,
            part,
            negated: true,
        })
    }

    /// An operand that begins with a name.
    fn named(&mut self) -> Result<Operand, Error> {
        let here = self.cursor.mark();
        let name = self.cursor.ident("an operand")?;
        if name == b"_" {
            return Ok(Operand::Sink);
        }
        match self.lookup(name) {
            Some(Name::Reg(reg)) => Ok(match self.part()? {
                Some(part) => Operand::Part {
                    reg,
                    part: Some(part),
                    negated: false,
                },
                None => Operand::Reg(reg),
            }),
            Some(Name::Vector(first, count)) => self.vector(first, count),
            Some(Name::Symbol(symbol)) => self.symbol(symbol),
            None => match special_named(name) {
                Some(special) => self.special(special),
                None => match self.unit.scope.get(name).copied() {
                    Some(symbol) => self.symbol(symbol),
                    None => Err(self.cursor.undeclared_at(here, name)),
                },
            },
        }
    }

    fn special(&mut self, special: SpecialReg) -> Result<Operand, Error> {
        let mut special = special;
        if special.kind.is_vector()
            && let Token::Directive(name) = self.cursor.token
        {
            let Some(component) = component_named(name) else {
                return Err(self.cursor.syntax("expected a component like '.x'"));
            };
            special.component = Some(component);
            self.cursor.advance()?;
        }
        Ok(Operand::Special(special))
    }

    /// A vector register: one component of it, or all.
    fn vector(&mut self, first: RegId, count: u8) -> Result<Operand, Error> {
        let nth = |n: usize| RegId::from_index(first.index() + n);
        if let Token::Directive(name) = self.cursor.token {
            let component = component_named(name).map(|component| component as usize);
            let Some(component) = component.filter(|n| *n < usize::from(count)) else {
                return Err(self.cursor.syntax("the register has no such component"));
            };
            self.cursor.advance()?;
            return Ok(Operand::Reg(nth(component)));
        }
        Ok(Operand::Vec(
            (0..usize::from(count)).map(|n| Operand::Reg(nth(n))).collect(),
        ))
    }

    /// The address of a symbol as a value: `table`, `table+8`, `table[2]`.
    fn symbol(&mut self, symbol: crate::module::Symbol) -> Result<Operand, Error> {
        let mut sum = 0i64;
        if self.cursor.eat(b'[')? {
            let index = expr::integer(&mut self.cursor)?.cast_signed();
            self.cursor.expect(b']')?;
            sum = index.wrapping_mul(self.element_bytes(symbol));
        }
        sum = sum.wrapping_add(expr::offset(&mut self.cursor)?);
        Ok(Operand::Sym {
            symbol,
            offset: self.offset32(sum)?,
        })
    }

    /// Bytes of one element of the first dimension of an array.
    fn element_bytes(&self, symbol: crate::module::Symbol) -> i64 {
        use crate::module::Symbol;
        let variable = match symbol {
            Symbol::Var(id) => self.module().vars.get(id),
            Symbol::Local(id) => self.body.vars.get(id),
            Symbol::Func(_) | Symbol::Param(_) | Symbol::Ret(_) => None,
        };
        let Some(variable) = variable else { return 1 };
        let element = u64::from(variable.ty.bytes()) * u64::from(variable.vector);
        let inner = variable
            .dims
            .iter()
            .skip(1)
            .fold(element, |size, dim| size.saturating_mul(*dim));
        i64::try_from(inner).unwrap_or(i64::MAX)
    }

    fn offset32(&self, offset: i64) -> Result<i32, Error> {
        i32::try_from(offset).map_err(|_| self.cursor.limit("offset of an address", 0x7fff_ffff))
    }

    /// `[address]`, or `[a, b, ...]`.
    fn bracket(&mut self, depth: usize) -> Result<Operand, Error> {
        self.cursor.expect(b'[')?;
        let first = Operand::Mem(self.address()?);
        if !self.cursor.at(b',') {
            self.cursor.expect(b']')?;
            return Ok(first);
        }
        let mut items = vec![first];
        while self.cursor.eat(b',')? {
            if items.len() >= limits::OPERANDS {
                return Err(self
                    .cursor
                    .limit("number of elements in brackets", limits::OPERANDS as u64));
            }
            items.push(self.operand(depth + 1)?);
        }
        self.cursor.expect(b']')?;
        Ok(Operand::Bracket(items.into()))
    }

    fn address(&mut self) -> Result<Address, Error> {
        if expr::starts(&self.cursor) {
            return Ok(Address::Abs(expr::integer(&mut self.cursor)?));
        }
        let here = self.cursor.mark();
        match self.named()? {
            Operand::Reg(base) => {
                let offset = expr::offset(&mut self.cursor)?;
                Ok(Address::Reg {
                    base,
                    offset: self.offset32(offset)?,
                })
            }
            Operand::Sym { symbol, offset } => Ok(Address::Sym { symbol, offset }),
            _ => Err(self.cursor.syntax_at(here, "expected an address")),
        }
    }

    /// `.b2`, `.h10` and the like after a register.
    fn part(&mut self) -> Result<Option<Part>, Error> {
        let Token::Directive(name) = self.cursor.token else {
            return Ok(None);
        };
        let Some(part) = part_named(name) else {
            return Ok(None);
        };
        self.cursor.advance()?;
        Ok(Some(part))
    }
}

/// Reads `b0`, `h1`, `b7654`, `h32`.
fn part_named(name: &[u8]) -> Option<Part> {
    let (kind, digits) = name.split_first()?;
    let halves = match kind {
        b'b' => false,
        b'h' => true,
        _ => return None,
    };
    let highest = if halves { b'3' } else { b'7' };
    if digits.is_empty()
        || digits.len() > if halves { 2 } else { 4 }
        || digits.iter().any(|d| !(b'0'..=highest).contains(d))
    {
        return None;
    }
    if let [digit] = digits {
        return Some(if halves {
            Part::Half(digit - b'0')
        } else {
            Part::Byte(digit - b'0')
        });
    }
    let mut lanes = [0; 4];
    for (lane, digit) in lanes.iter_mut().zip(digits) {
        *lane = digit - b'0';
    }
    // At most four digits.
    Some(Part::Select {
        lanes,
        count: digits.len().to_le_bytes()[0],
        halves,
    })
}

fn constant(value: Value) -> Operand {
    match value {
        Value::Int { bits, .. } => Operand::Int(bits.cast_signed()),
        Value::F64(value) => Operand::F64(value.to_bits()),
        Value::F32(bits) => Operand::F32(bits),
    }
}
