//! The current token and what parsers ask of it.

use std::ops::Range;

use crate::error::{Error, ErrorKind, Loc};
use crate::lexer::{Lexer, Token};
use crate::limits;
use crate::types::Type;

/// A lexer with one token of look-ahead.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'a> {
    pub(crate) lexer: Lexer<'a>,
    /// The current token.
    pub(crate) token: Token<'a>,
    /// Its bytes in the text.
    pub(crate) range: Range<usize>,
    /// Its place.
    pub(crate) loc: Loc,
    text: &'a [u8],
}

/// A remembered token, for errors that turn out later. Cheaper than a clone of the cursor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    start: usize,
    end: usize,
    loc: Loc,
}

impl<'a> Cursor<'a> {
    /// Remembers the current token.
    pub(crate) fn mark(&self) -> Mark {
        Mark {
            start: self.range.start,
            end: self.range.end,
            loc: self.loc,
        }
    }

    /// An error at a remembered token.
    pub(crate) fn error_at(&self, mark: Mark, kind: ErrorKind) -> Error {
        Error::new(
            kind,
            mark.loc,
            self.text.get(mark.start..mark.end).unwrap_or_default(),
        )
    }

    /// A syntax error at a remembered token.
    pub(crate) fn syntax_at(&self, mark: Mark, message: &str) -> Error {
        self.error_at(mark, ErrorKind::Syntax(message.into()))
    }

    /// An error at a remembered token, a name that nothing declares.
    pub(crate) fn undeclared_at(&self, mark: Mark, name: &[u8]) -> Error {
        self.error_at(mark, ErrorKind::Undeclared(String::from_utf8_lossy(name).into()))
    }

    /// A cursor on the first token of a range of `text` that begins at `loc`.
    pub(crate) fn new(text: &'a [u8], range: Range<usize>, loc: Loc) -> Result<Self, Error> {
        let lexer = Lexer::new(text, range, loc);
        let mut cursor = Self {
            lexer,
            token: Token::End,
            range: 0..0,
            loc,
            text,
        };
        cursor.advance()?;
        Ok(cursor)
    }

    /// Moves to the next token.
    pub(crate) fn advance(&mut self) -> Result<(), Error> {
        (self.token, self.range, self.loc) = self.lexer.next()?;
        Ok(())
    }

    /// The token after the current one.
    pub(crate) fn peek(&self) -> Result<Token<'a>, Error> {
        Ok(self.lexer.clone().next()?.0)
    }

    /// The text of the current token.
    pub(crate) fn near(&self) -> &'a [u8] {
        self.text.get(self.range.clone()).unwrap_or_default()
    }

    /// An error at the current token.
    pub(crate) fn error(&self, kind: ErrorKind) -> Error {
        Error::new(kind, self.loc, self.near())
    }

    /// A syntax error at the current token.
    pub(crate) fn syntax(&self, message: &str) -> Error {
        let end = if self.token == Token::End {
            " (end of text)"
        } else {
            ""
        };
        self.error(ErrorKind::Syntax(format!("{message}{end}").into()))
    }

    /// A limit that the current token exceeds.
    pub(crate) fn limit(&self, what: &'static str, limit: u64) -> Error {
        self.error(ErrorKind::Limit { what, limit })
    }

    /// Whether the current token is this punctuation.
    pub(crate) fn at(&self, punct: u8) -> bool {
        self.token == Token::Punct(punct)
    }

    /// Takes this punctuation if it is there.
    pub(crate) fn eat(&mut self, punct: u8) -> Result<bool, Error> {
        let found = self.at(punct);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    /// Takes this punctuation, which must be there.
    pub(crate) fn expect(&mut self, punct: u8) -> Result<(), Error> {
        if self.eat(punct)? {
            Ok(())
        } else {
            Err(self.syntax(&format!("expected '{}'", punct as char)))
        }
    }

    /// Takes this directive if it is there.
    pub(crate) fn eat_directive(&mut self, name: &[u8]) -> Result<bool, Error> {
        let found = self.token == Token::Directive(name);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    /// Takes an identifier, which must be there.
    pub(crate) fn ident(&mut self, what: &str) -> Result<&'a [u8], Error> {
        match self.token {
            Token::Ident(name) => {
                self.advance()?;
                Ok(name)
            }
            _ => Err(self.syntax(&format!("expected {what}"))),
        }
    }

    /// Takes a string, which must be there.
    pub(crate) fn string(&mut self) -> Result<Box<str>, Error> {
        match self.token {
            Token::Str(text) => {
                self.advance()?;
                Ok(String::from_utf8_lossy(text).into())
            }
            _ => Err(self.syntax("expected a string")),
        }
    }

    /// Takes an integer literal, which must be there.
    pub(crate) fn integer(&mut self) -> Result<u64, Error> {
        match self.token {
            Token::Int { value, .. } => {
                self.advance()?;
                Ok(value)
            }
            _ => Err(self.syntax("expected an integer")),
        }
    }

    /// Takes an integer literal of at most 32 bits.
    pub(crate) fn integer32(&mut self) -> Result<u32, Error> {
        let here = self.clone();
        let value = self.integer()?;
        u32::try_from(value).map_err(|_| here.limit("number", u64::from(u32::MAX)))
    }

    /// Takes `.align n` if it is there.
    pub(crate) fn align(&mut self) -> Result<Option<u32>, Error> {
        if !self.eat_directive(b"align")? {
            return Ok(None);
        }
        let here = self.clone();
        let value = self.integer()?;
        if !value.is_power_of_two() {
            return Err(here.error(ErrorKind::Invalid("an alignment must be a power of two".into())));
        }
        match u32::try_from(value) {
            Ok(align) if value <= limits::ALIGNMENT => Ok(Some(align)),
            _ => Err(here.limit("alignment", limits::ALIGNMENT)),
        }
    }

    /// Takes a type directive (`.u32`) if it is there.
    pub(crate) fn eat_type(&mut self) -> Result<Option<Type>, Error> {
        let found = match self.token {
            Token::Directive(name) => type_named(name),
            _ => None,
        };
        if found.is_some() {
            self.advance()?;
        }
        Ok(found)
    }

    /// Takes `.v2` or `.v4` if it is there: the number of components, else 1.
    pub(crate) fn vector_width(&mut self) -> Result<u8, Error> {
        let width = match self.token {
            Token::Directive(b"v2") => 2,
            Token::Directive(b"v4") => 4,
            _ => return Ok(1),
        };
        self.advance()?;
        Ok(width)
    }
}

/// The type with this spelling.
pub(crate) fn type_named(name: &[u8]) -> Option<Type> {
    // The types of nearly all declarations, before the long list.
    match name {
        b"b32" => Some(Type::B32),
        b"b64" => Some(Type::B64),
        b"u32" => Some(Type::U32),
        b"u64" => Some(Type::U64),
        b"f32" => Some(Type::F32),
        b"pred" => Some(Type::Pred),
        _ => Type::ALL
            .iter()
            .copied()
            .find(|ty| ty.as_str().as_bytes() == name),
    }
}
