//! Constant expressions, evaluated while they are parsed.
//!
//! The operators and their precedence are those of C. Integers have 64 bits and are signed or unsigned by the rules of
//! the ISA; overflow wraps, division by zero is an error.

use super::cursor::Cursor;
use crate::error::{Error, ErrorKind};
use crate::lexer::Token;
use crate::limits;

/// The value of a constant expression.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value {
    /// 64 bits, and whether they are unsigned.
    Int {
        /// The bits.
        bits: u64,
        /// `.u64`, else `.s64`.
        unsigned: bool,
    },
    /// Double precision.
    F64(f64),
    /// A single-precision literal: its bits. It cannot be computed with.
    F32(u32),
}

impl Value {
    const fn bool(value: bool) -> Self {
        Self::Int {
            bits: value as u64,
            unsigned: false,
        }
    }
}

/// Parses a whole expression.
pub(crate) fn expression(cursor: &mut Cursor<'_>) -> Result<Value, Error> {
    ternary(cursor, 0)
}

/// Parses a sum's term (no `+` or `-` at top level) that must be an integer.
pub(crate) fn integer_term(cursor: &mut Cursor<'_>) -> Result<i64, Error> {
    let here = cursor.clone();
    match binary(cursor, precedence(Token::Punct(b'*')), 0)? {
        Value::Int { bits, .. } => Ok(bits.cast_signed()),
        _ => Err(here.syntax("expected an integer constant")),
    }
}

/// Parses `+ n - m ...` after a symbol: the sum, 0 when there is nothing.
pub(crate) fn offset(cursor: &mut Cursor<'_>) -> Result<i64, Error> {
    let mut sum = 0i64;
    loop {
        let negative = match cursor.token {
            Token::Punct(b'+') => false,
            Token::Punct(b'-') => true,
            _ => return Ok(sum),
        };
        cursor.advance()?;
        let term = integer_term(cursor)?;
        sum = if negative {
            sum.wrapping_sub(term)
        } else {
            sum.wrapping_add(term)
        };
    }
}

/// Parses an expression that must be an integer; the bits.
pub(crate) fn integer(cursor: &mut Cursor<'_>) -> Result<u64, Error> {
    let here = cursor.clone();
    match expression(cursor)? {
        Value::Int { bits, .. } => Ok(bits),
        _ => Err(here.syntax("expected an integer constant")),
    }
}

/// Whether an expression can begin with the current token.
pub(crate) fn starts(cursor: &Cursor<'_>) -> bool {
    match cursor.token {
        Token::Int { .. }
        | Token::F32(_)
        | Token::F64(_)
        | Token::Punct(b'(' | b'-' | b'+' | b'~' | b'!') => true,
        Token::Ident(name) => name == b"WARP_SZ",
        _ => false,
    }
}

fn deeper(cursor: &Cursor<'_>, depth: usize) -> Result<usize, Error> {
    // One level of parentheses is three levels of the grammar.
    if depth >= 3 * limits::NESTING {
        return Err(cursor.limit("nesting of an expression", limits::NESTING as u64));
    }
    Ok(depth + 1)
}

fn ternary(cursor: &mut Cursor<'_>, depth: usize) -> Result<Value, Error> {
    let depth = deeper(cursor, depth)?;
    let condition = binary(cursor, 1, depth)?;
    if !cursor.at(b'?') {
        return Ok(condition);
    }
    let here = cursor.clone();
    cursor.advance()?;
    let yes = ternary(cursor, depth)?;
    cursor.expect(b':')?;
    let no = ternary(cursor, depth)?;
    let Value::Int { bits, .. } = condition else {
        return Err(here.syntax("the condition of '?:' must be an integer"));
    };
    let chosen = if bits != 0 { yes } else { no };
    match (yes, no, chosen) {
        (Value::Int { unsigned: a, .. }, Value::Int { unsigned: b, .. }, Value::Int { bits, .. }) => {
            Ok(Value::Int {
                bits,
                unsigned: a || b,
            })
        }
        _ => Ok(chosen),
    }
}

/// Precedence of a binary operator, 0 for what is none.
fn precedence(token: Token<'_>) -> u8 {
    match token {
        Token::Or => 1,
        Token::And => 2,
        Token::Punct(b'|') => 3,
        Token::Punct(b'^') => 4,
        Token::Punct(b'&') => 5,
        Token::Equal | Token::NotEqual => 6,
        Token::Punct(b'<' | b'>') | Token::LessEqual | Token::GreaterEqual => 7,
        Token::Shl | Token::Shr => 8,
        Token::Punct(b'+' | b'-') => 9,
        Token::Punct(b'*' | b'/' | b'%') => 10,
        _ => 0,
    }
}

fn binary(cursor: &mut Cursor<'_>, least: u8, depth: usize) -> Result<Value, Error> {
    let depth = deeper(cursor, depth)?;
    let mut left = unary(cursor, depth)?;
    loop {
        let operator = cursor.token;
        let level = precedence(operator);
        if level < least || level == 0 {
            return Ok(left);
        }
        let here = cursor.clone();
        cursor.advance()?;
        let right = binary(cursor, level + 1, depth)?;
        left = combine(operator, left, right)
            .map_err(|message| here.error(ErrorKind::Invalid(message.into())))?;
    }
}

fn unary(cursor: &mut Cursor<'_>, depth: usize) -> Result<Value, Error> {
    let depth = deeper(cursor, depth)?;
    match cursor.token {
        Token::Punct(operator @ (b'-' | b'+' | b'~' | b'!')) => {
            let here = cursor.clone();
            cursor.advance()?;
            let value = unary(cursor, depth)?;
            match (operator, value) {
                (b'+', value) => Ok(value),
                (b'-', Value::Int { bits, unsigned }) => Ok(Value::Int {
                    bits: bits.wrapping_neg(),
                    unsigned,
                }),
                (b'-', Value::F64(value)) => Ok(Value::F64(-value)),
                (b'-', Value::F32(bits)) => Ok(Value::F32(bits ^ 0x8000_0000)),
                (b'~', Value::Int { bits, .. }) => Ok(Value::Int {
                    bits: !bits,
                    unsigned: true,
                }),
                (b'!', Value::Int { bits, .. }) => Ok(Value::bool(bits == 0)),
                _ => Err(here.syntax("this operator takes an integer")),
            }
        }
        Token::Punct(b'(') => {
            let here = cursor.clone();
            cursor.advance()?;
            let unsigned = match cursor.token {
                Token::Directive(b"s64") => false,
                Token::Directive(b"u64") => true,
                _ => {
                    let value = ternary(cursor, depth)?;
                    cursor.expect(b')')?;
                    return Ok(value);
                }
            };
            cursor.advance()?;
            cursor.expect(b')')?;
            match unary(cursor, depth)? {
                Value::Int { bits, .. } => Ok(Value::Int { bits, unsigned }),
                _ => Err(here.syntax("only integers can be cast")),
            }
        }
        _ => literal(cursor),
    }
}

fn literal(cursor: &mut Cursor<'_>) -> Result<Value, Error> {
    let value = match cursor.token {
        Token::Int { value, unsigned } => Value::Int {
            bits: value,
            unsigned,
        },
        Token::F64(bits) => Value::F64(f64::from_bits(bits)),
        Token::F32(bits) => Value::F32(bits),
        Token::Ident(b"WARP_SZ") => Value::Int {
            bits: 32,
            unsigned: false,
        },
        _ => return Err(cursor.syntax("expected a constant")),
    };
    cursor.advance()?;
    Ok(value)
}

fn combine(operator: Token<'_>, left: Value, right: Value) -> Result<Value, &'static str> {
    match (left, right) {
        (
            Value::Int {
                bits: a,
                unsigned: ua,
            },
            Value::Int {
                bits: b,
                unsigned: ub,
            },
        ) => combine_integers(operator, (a, ua), (b, ub)),
        (Value::F64(a), Value::F64(b)) => match operator {
            Token::Punct(b'+') => Ok(Value::F64(a + b)),
            Token::Punct(b'-') => Ok(Value::F64(a - b)),
            Token::Punct(b'*') => Ok(Value::F64(a * b)),
            Token::Punct(b'/') => Ok(Value::F64(a / b)),
            Token::Punct(b'<') => Ok(Value::bool(a < b)),
            Token::Punct(b'>') => Ok(Value::bool(a > b)),
            Token::LessEqual => Ok(Value::bool(a <= b)),
            Token::GreaterEqual => Ok(Value::bool(a >= b)),
            #[allow(clippy::float_cmp, reason = "the ISA's == on doubles is exact")]
            Token::Equal => Ok(Value::bool(a == b)),
            #[allow(clippy::float_cmp, reason = "the ISA's != on doubles is exact")]
            Token::NotEqual => Ok(Value::bool(a != b)),
            _ => Err("this operator takes integers"),
        },
        _ => {
            Err("integers and floating-point constants do not mix, and 0f constants cannot be computed with")
        }
    }
}

fn combine_integers(
    operator: Token<'_>,
    (a, ua): (u64, bool),
    (b, ub): (u64, bool),
) -> Result<Value, &'static str> {
    let unsigned = ua || ub;
    let int = |bits: u64| Ok(Value::Int { bits, unsigned });
    let less = if unsigned {
        a < b
    } else {
        a.cast_signed() < b.cast_signed()
    };
    match operator {
        Token::Punct(b'+') => int(a.wrapping_add(b)),
        Token::Punct(b'-') => int(a.wrapping_sub(b)),
        Token::Punct(b'*') => int(a.wrapping_mul(b)),
        Token::Punct(b'/' | b'%') if b == 0 => Err("division by zero in a constant"),
        Token::Punct(b'/') if unsigned => int(a / b),
        Token::Punct(b'/') => int(a.cast_signed().wrapping_div(b.cast_signed()).cast_unsigned()),
        Token::Punct(b'%') => Ok(Value::Int {
            bits: a % b,
            unsigned: false,
        }),
        Token::Shl => Ok(Value::Int {
            bits: if b > 63 { 0 } else { a << b },
            unsigned: ua,
        }),
        Token::Shr if ua => Ok(Value::Int {
            bits: if b > 63 { 0 } else { a >> b },
            unsigned: true,
        }),
        Token::Shr => {
            let shifted = a.cast_signed() >> b.min(63);
            Ok(Value::Int {
                bits: shifted.cast_unsigned(),
                unsigned: false,
            })
        }
        Token::Punct(b'<') => Ok(Value::bool(less)),
        Token::GreaterEqual => Ok(Value::bool(!less)),
        Token::Punct(b'>') => Ok(Value::bool(!less && a != b)),
        Token::LessEqual => Ok(Value::bool(less || a == b)),
        Token::Equal => Ok(Value::bool(a == b)),
        Token::NotEqual => Ok(Value::bool(a != b)),
        Token::Punct(b'&') => int(a & b),
        Token::Punct(b'^') => int(a ^ b),
        Token::Punct(b'|') => int(a | b),
        Token::And => Ok(Value::bool(a != 0 && b != 0)),
        Token::Or => Ok(Value::bool(a != 0 || b != 0)),
        _ => Err("not an operator"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Loc;

    fn eval(text: &str) -> Result<Value, Error> {
        let mut cursor = Cursor::new(text.as_bytes(), 0..text.len(), Loc { line: 1, column: 1 })?;
        let value = expression(&mut cursor)?;
        if cursor.token == Token::End {
            Ok(value)
        } else {
            Err(cursor.syntax("trailing"))
        }
    }

    fn signed(value: i64) -> Value {
        Value::Int {
            bits: value.cast_unsigned(),
            unsigned: false,
        }
    }

    #[test]
    fn precedence_is_that_of_c() {
        for (text, value) in [
            ("1+2*3", 7),
            ("(1+2)*3", 9),
            ("10-4-3", 3),
            ("1<<2+1", 8),
            ("7&3==3", 1),
            ("1|6^2&3", 5),
            ("-7/2", -3),
            ("-8>>1", -4),
            ("1?2:3", 2),
            ("0?2:0?3:4", 4),
            ("!5 || 2 && 0", 0),
            ("WARP_SZ-1", 31),
            ("1 < 2", 1),
        ] {
            assert_eq!(eval(text).expect(text), signed(value), "{text}");
        }
    }

    #[test]
    fn signedness_follows_the_isa() {
        assert_eq!(eval("-1 < 1U").expect("compare"), signed(0));
        assert_eq!(eval("(.s64)0xffffffffffffffff < 1").expect("cast"), signed(1));
        assert_eq!(
            eval("~0").expect("complement"),
            Value::Int {
                bits: u64::MAX,
                unsigned: true
            }
        );
        assert_eq!(
            eval("0xfabc123400000000 >> 60").expect("shift"),
            Value::Int {
                bits: 15,
                unsigned: true
            }
        );
    }

    #[test]
    fn floats_stay_floats() {
        assert_eq!(eval("1.5*2.0-1.0").expect("float"), Value::F64(2.0));
        assert_eq!(eval("-0f3F800000").expect("single"), Value::F32(0xBF80_0000));
        assert!(eval("1.0+1").is_err());
        assert!(eval("0f3F800000+1.0").is_err());
    }

    #[test]
    fn hostile_expressions_are_errors() {
        assert!(eval("1/0").is_err());
        assert!(eval("1%0").is_err());
        assert!(eval(&"(".repeat(100_000)).is_err());
        assert!(eval(&"-".repeat(100_000)).is_err());
        assert_eq!(
            eval("(-9223372036854775807-1)/-1").expect("wraps"),
            signed(i64::MIN)
        );
    }
}
