//! Initialisers of variables: to bytes and relocations.

use super::cursor::Cursor;
use super::expr::{self, Value};
use crate::error::{Error, ErrorKind, Loc};
use crate::id::VarId;
use crate::lexer::Token;
use crate::limits;
use crate::module::{Initializer, Relocation, Symbol};
use crate::types::Type;

/// Names in an initialiser, in the order of its relocations, with their places.
pub(crate) type Names = Vec<(Box<[u8]>, Loc)>;

/// Builds the contents of one variable.
pub(crate) struct Writer {
    ty: Type,
    vector: u8,
    init: Initializer,
    /// Names of the relocations, in the same order.
    names: Names,
    /// Most bytes that may be written: an initialiser is not much larger than its text.
    most: u64,
}

/// `name`, `generic(name)`, `name + 4`.
struct Target {
    name: Box<[u8]>,
    loc: Loc,
    addend: i64,
    generic: bool,
}

impl Writer {
    pub(crate) fn new(ty: Type, vector: u8, text_len: usize) -> Self {
        let most = (text_len as u64).saturating_mul(16).saturating_add(1 << 16);
        Self {
            ty,
            vector,
            init: Initializer::default(),
            names: Vec::new(),
            most,
        }
    }

    /// The contents, and the names of the addresses in them.
    pub(crate) fn finish(self) -> (Initializer, Names) {
        (self.init, self.names)
    }

    /// Parses what follows `=`; returns the number of elements of the first dimension.
    pub(crate) fn parse(&mut self, cursor: &mut Cursor<'_>, dims: &[u64]) -> Result<u64, Error> {
        let mut all: smallvec::SmallVec<[u64; 4]> = dims.into();
        if self.vector > 1 {
            all.push(u64::from(self.vector));
        }
        self.level(cursor, &all, 0)
    }

    fn level(&mut self, cursor: &mut Cursor<'_>, dims: &[u64], offset: u64) -> Result<u64, Error> {
        let Some((count, inner)) = dims.split_first() else {
            self.element(cursor, offset)?;
            return Ok(1);
        };
        let stride = inner
            .iter()
            .fold(u64::from(self.ty.bytes()), |size, dim| size.saturating_mul(*dim));
        cursor.expect(b'{')?;
        let mut n = 0u64;
        while !cursor.at(b'}') {
            // A first dimension of 0 takes as many as there are.
            if *count != 0 && n >= *count {
                return Err(cursor.error(ErrorKind::Invalid("more initial values than elements".into())));
            }
            let at = offset.saturating_add(n.saturating_mul(stride));
            self.level(cursor, inner, at)?;
            n += 1;
            if !cursor.eat(b',')? {
                break;
            }
        }
        cursor.expect(b'}')?;
        Ok(n)
    }

    /// One element: a constant or an address.
    fn element(&mut self, cursor: &mut Cursor<'_>, offset: u64) -> Result<(), Error> {
        match cursor.token {
            Token::Int { value, .. } if cursor.peek()? == Token::Punct(b'(') => {
                self.masked(cursor, offset, value)
            }
            Token::Ident(name) if name != b"WARP_SZ" => {
                let here = cursor.clone();
                let target = address(cursor)?;
                let width = self.ty.bytes();
                if !self.ty.is_integer() || !matches!(width, 4 | 8) {
                    let message = format!("an address cannot be stored as .{}", self.ty);
                    return Err(here.error(ErrorKind::Invalid(message.into())));
                }
                self.relocate(cursor, offset, target, 0)
            }
            _ => {
                let here = cursor.clone();
                let value = expr::expression(cursor)?;
                let bits = encode(self.ty, value)
                    .map_err(|message| here.error(ErrorKind::Invalid(message.into())))?;
                self.write(&here, offset, bits)
            }
        }
    }

    /// `0xff00(address)`: one byte of an address or of a constant.
    fn masked(&mut self, cursor: &mut Cursor<'_>, offset: u64, mask: u64) -> Result<(), Error> {
        let shift = mask.trailing_zeros() & !7;
        if mask.checked_shr(shift) != Some(0xff) || self.ty.bytes() != 1 {
            return Err(cursor.error(ErrorKind::Invalid(
                "a mask selects one byte, for an element of one byte".into(),
            )));
        }
        let here = cursor.clone();
        cursor.advance()?;
        cursor.expect(b'(')?;
        if matches!(cursor.token, Token::Ident(name) if name != b"WARP_SZ") {
            let target = address(cursor)?;
            // `shift` is at most 56.
            self.relocate(&here, offset, target, shift.to_le_bytes()[0])?;
        } else {
            let value = expr::integer(cursor)?;
            self.write(&here, offset, (value >> shift) & 0xff)?;
        }
        cursor.expect(b')')
    }

    fn relocate(&mut self, here: &Cursor<'_>, offset: u64, target: Target, shift: u8) -> Result<(), Error> {
        self.write(here, offset, 0)?;
        let Target {
            name,
            loc,
            addend,
            generic,
        } = target;
        self.names.push((name, loc));
        self.init.relocations.push(Relocation {
            offset,
            width: self.ty.bytes().to_le_bytes()[0],
            // Replaced when the name is resolved, at the end of the module.
            target: Symbol::Var(VarId::from_u32(u32::MAX)),
            addend,
            generic,
            shift,
        });
        Ok(())
    }

    fn write(&mut self, here: &Cursor<'_>, offset: u64, bits: u64) -> Result<(), Error> {
        let width = u64::from(self.ty.bytes()).min(8);
        let end = offset.saturating_add(width);
        let (Ok(start), Ok(end_index), true) =
            (usize::try_from(offset), usize::try_from(end), end <= self.most)
        else {
            return Err(here.limit("size of an initialiser", self.most));
        };
        if self.init.bytes.len() < end_index {
            self.init.bytes.resize(end_index, 0);
        }
        let source = bits.to_le_bytes();
        if let Some(place) = self.init.bytes.get_mut(start..end_index) {
            for (place, byte) in place.iter_mut().zip(source) {
                *place = byte;
            }
        }
        Ok(())
    }
}

/// `name + n` or `generic(name) + n`.
fn address(cursor: &mut Cursor<'_>) -> Result<Target, Error> {
    let generic = cursor.token == Token::Ident(b"generic") && cursor.peek()? == Token::Punct(b'(');
    if generic {
        cursor.advance()?;
        cursor.advance()?;
    }
    let loc = cursor.loc;
    let name = cursor.ident("a name")?.into();
    let mut addend = expr::offset(cursor)?;
    if generic {
        cursor.expect(b')')?;
        addend = addend.wrapping_add(expr::offset(cursor)?);
    }
    Ok(Target {
        name,
        loc,
        addend,
        generic,
    })
}

/// The bits of a constant as an element of type `ty`.
fn encode(ty: Type, value: Value) -> Result<u64, String> {
    match (ty, value) {
        (Type::F32, Value::F64(value)) => {
            #[allow(
                clippy::cast_possible_truncation,
                reason = "a constant is converted to the type it initialises"
            )]
            let single = value as f32;
            Ok(u64::from(single.to_bits()))
        }
        (Type::F32, Value::F32(bits)) => Ok(u64::from(bits)),
        (Type::F64, Value::F64(value)) => Ok(value.to_bits()),
        (Type::F64, Value::F32(bits)) => Ok(f64::from(f32::from_bits(bits)).to_bits()),
        (Type::F32, Value::Int { bits, unsigned }) => {
            #[allow(clippy::cast_precision_loss, reason = "the nearest float is what is meant")]
            let single = if unsigned {
                bits as f32
            } else {
                bits.cast_signed() as f32
            };
            Ok(u64::from(single.to_bits()))
        }
        (Type::F64, Value::Int { bits, unsigned }) => {
            #[allow(clippy::cast_precision_loss, reason = "the nearest float is what is meant")]
            let double = if unsigned {
                bits as f64
            } else {
                bits.cast_signed() as f64
            };
            Ok(double.to_bits())
        }
        (ty, Value::Int { bits, .. }) => Ok(bits & (u64::MAX >> (64 - ty.bits().min(64)))),
        (Type::B32, Value::F32(bits)) => Ok(u64::from(bits)),
        (Type::B64, Value::F64(value)) => Ok(value.to_bits()),
        (ty, _) => Err(format!("a floating-point constant cannot initialise .{ty}")),
    }
}

/// Fields of an opaque type, as written.
pub(crate) type Fields = Vec<(Box<str>, Box<str>)>;

/// `{ field = value, ... }` of a texture, sampler or surface reference.
pub(crate) fn opaque(cursor: &mut Cursor<'_>) -> Result<Fields, Error> {
    let mut fields = Vec::new();
    cursor.expect(b'{')?;
    while !cursor.at(b'}') {
        if fields.len() >= limits::OPERANDS {
            return Err(cursor.limit("number of fields", limits::OPERANDS as u64));
        }
        let name = String::from_utf8_lossy(cursor.ident("a field name")?).into();
        cursor.expect(b'=')?;
        let value = match cursor.token {
            Token::Ident(value) => String::from_utf8_lossy(value).into(),
            Token::Int { value, .. } => value.to_string().into(),
            _ => return Err(cursor.syntax("expected a name or a number")),
        };
        cursor.advance()?;
        fields.push((name, value));
        if !cursor.eat(b',')? {
            break;
        }
    }
    cursor.expect(b'}')?;
    Ok(fields)
}
