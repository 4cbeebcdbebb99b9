//! Bytes to tokens, without copying.
//!
//! The lexer yields one token at a time and knows line and column of the token. Two things are not tokens: the
//! spelling of an instruction (`ld.global.u32`), which the parser takes whole with [`Lexer::spelling`], and a
//! function body, which [`Lexer::skip_block`] passes over without looking at more than braces, strings and comments.

use std::ops::Range;

use crate::error::{Error, ErrorKind, Loc};

/// A token. Slices are parts of the text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Token<'a> {
    /// `foo`, `%r1`, `$L__BB0_1`
    Ident(&'a [u8]),
    /// `.reg`: the part after the dot.
    Directive(&'a [u8]),
    /// An integer literal.
    Int {
        /// Its value.
        value: u64,
        /// It has the suffix `U` or does not fit into a signed 64-bit integer.
        unsigned: bool,
    },
    /// `0f3F800000`
    F32(u32),
    /// `0d3FF0000000000000` or decimal: the bits.
    F64(u64),
    /// `"text"` without the quotes.
    Str(&'a [u8]),
    /// A punctuation character.
    Punct(u8),
    /// `<<`
    Shl,
    /// `>>`
    Shr,
    /// `<=`
    LessEqual,
    /// `>=`
    GreaterEqual,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `&&`
    And,
    /// `||`
    Or,
    /// End of the text.
    End,
}

/// Reads tokens from a range of a text.
#[derive(Clone, Debug)]
pub(crate) struct Lexer<'a> {
    text: &'a [u8],
    pos: usize,
    line: u32,
    /// Byte position at which the current line begins.
    line_start: usize,
}

/// Whether an identifier may go on with this byte.
pub(crate) const fn is_follow(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_' || b == b'$'
}

const fn is_start(b: u8) -> bool {
    b.is_ascii_alphabetic() || matches!(b, b'_' | b'$' | b'%')
}

/// What a byte means to a scan over a body.
const SKIP_CLASS: [u8; 256] = {
    let mut table = [0u8; 256];
    let mut i = 0;
    let special = b"\n{}/\"";
    while i < special.len() {
        table[special[i] as usize] = 1;
        i += 1;
    }
    table
};

impl<'a> Lexer<'a> {
    /// Starts at byte `range.start`, which is at `loc`, and ends at `range.end`.
    pub(crate) fn new(text: &'a [u8], range: Range<usize>, loc: Loc) -> Self {
        let text = text.get(..range.end).unwrap_or(text);
        let line_start = range.start.wrapping_sub(loc.column.saturating_sub(1) as usize);
        Self {
            text,
            pos: range.start,
            line: loc.line,
            line_start,
        }
    }

    /// The byte position of what comes next.
    pub(crate) fn pos(&self) -> usize {
        self.pos
    }

    /// Line and column of a position on the current line.
    pub(crate) fn loc_at(&self, pos: usize) -> Loc {
        let column = pos.wrapping_sub(self.line_start).wrapping_add(1);
        Loc {
            line: self.line,
            column: u32::try_from(column).unwrap_or(u32::MAX),
        }
    }

    fn byte(&self, ahead: usize) -> Option<u8> {
        self.text.get(self.pos.checked_add(ahead)?).copied()
    }

    fn newline(&mut self) {
        self.line = self.line.saturating_add(1);
        self.line_start = self.pos;
    }

    /// Skips white space, comments and `#` lines.
    fn skip_space(&mut self) -> Result<(), Error> {
        while let Some(b) = self.byte(0) {
            match b {
                b'\n' => {
                    self.pos += 1;
                    self.newline();
                }
                b' ' | b'\t' | b'\r' | 0x0b | 0x0c | 0 => self.pos += 1,
                b'/' if self.byte(1) == Some(b'/') => self.skip_line(),
                b'/' if self.byte(1) == Some(b'*') => self.skip_comment()?,
                b'#' => self.skip_line(),
                _ => break,
            }
        }
        Ok(())
    }

    fn skip_line(&mut self) {
        let rest = self.text.get(self.pos..).unwrap_or_default();
        self.pos += rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
    }

    fn skip_comment(&mut self) -> Result<(), Error> {
        let start = (self.pos, self.loc_at(self.pos));
        self.pos += 2;
        loop {
            match self.byte(0) {
                Some(b'*') if self.byte(1) == Some(b'/') => {
                    self.pos += 2;
                    return Ok(());
                }
                Some(b'\n') => {
                    self.pos += 1;
                    self.newline();
                }
                Some(_) => self.pos += 1,
                None => return Err(self.error_at(start.1, start.0..start.0 + 2, "comment without an end")),
            }
        }
    }

    /// The next token, with its range and place.
    pub(crate) fn next(&mut self) -> Result<(Token<'a>, Range<usize>, Loc), Error> {
        self.skip_space()?;
        let start = self.pos;
        let loc = self.loc_at(start);
        let token = match self.byte(0) {
            None => Token::End,
            Some(b) if is_start(b) => {
                self.pos += 1;
                self.take_follow();
                if self.pos == start + 1 && b == b'%' {
                    Token::Punct(b'%')
                } else {
                    Token::Ident(self.slice(start))
                }
            }
            Some(b'0'..=b'9') => self.number(start, loc)?,
            Some(b'.') if self.byte(1).is_some_and(|b| b.is_ascii_digit()) && !self.is_geometry() => {
                self.number(start, loc)?
            }
            Some(b'.') if self.byte(1).is_some_and(is_follow) => {
                self.pos += 1;
                self.take_qualified();
                Token::Directive(self.slice(start + 1))
            }
            Some(b'"') => self.string(start, loc)?,
            Some(b) => self.punctuation(b),
        };
        Ok((token, start..self.pos, loc))
    }

    /// After a dot: `1d`, `2dms` and the like are modifiers, not numbers.
    fn is_geometry(&self) -> bool {
        matches!((self.byte(1), self.byte(2)), (Some(b'1'..=b'5'), Some(b'd')))
    }

    /// Whether a single colon comes next: the identifier before it is a label.
    pub(crate) fn colon_follows(&self) -> bool {
        let rest = self.text.get(self.pos..).unwrap_or_default();
        let mut rest = rest
            .iter()
            .skip_while(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n'));
        rest.next() == Some(&b':') && rest.next() != Some(&b':')
    }

    fn slice(&self, start: usize) -> &'a [u8] {
        self.text.get(start..self.pos).unwrap_or_default()
    }

    fn take_follow(&mut self) {
        while self.byte(0).is_some_and(is_follow) {
            self.pos += 1;
        }
    }

    /// Name parts joined by `::`.
    fn take_qualified(&mut self) {
        self.take_follow();
        while self.byte(0) == Some(b':') && self.byte(1) == Some(b':') && self.byte(2).is_some_and(is_follow)
        {
            self.pos += 2;
            self.take_follow();
        }
    }

    /// The spelling of an instruction whose first word, already read, begins at `start`. The modifiers normally follow
    /// without a space; where they do not, the returned spelling is put together in `buffer`.
    pub(crate) fn spelling<'b>(&mut self, start: usize, buffer: &'b mut Vec<u8>) -> Result<&'b [u8], Error>
    where
        'a: 'b,
    {
        self.take_qualified();
        self.take_modifiers();
        let end = self.pos;
        let mut ahead = self.clone();
        ahead.skip_space()?;
        if ahead.byte(0) != Some(b'.') {
            return Ok(self.text.get(start..end).unwrap_or_default());
        }
        buffer.clear();
        buffer.extend_from_slice(self.slice(start));
        while ahead.byte(0) == Some(b'.') {
            *self = ahead.clone();
            let from = self.pos;
            self.take_modifiers();
            if self.pos == from {
                return Err(self.error_at(
                    self.loc_at(from),
                    from..from + 1,
                    "a modifier must follow the dot",
                ));
            }
            buffer.extend_from_slice(self.slice(from));
            ahead = self.clone();
            ahead.skip_space()?;
        }
        Ok(buffer)
    }

    fn take_modifiers(&mut self) {
        while self.byte(0) == Some(b'.') && self.byte(1).is_some_and(is_follow) {
            self.pos += 1;
            self.take_qualified();
        }
    }

    fn string(&mut self, start: usize, loc: Loc) -> Result<Token<'a>, Error> {
        self.pos += 1;
        loop {
            match self.byte(0) {
                Some(b'"') => {
                    let text = self.slice(start + 1);
                    self.pos += 1;
                    return Ok(Token::Str(text));
                }
                Some(b'\\') if self.byte(1).is_some_and(|b| b != b'\n') => self.pos += 2,
                Some(b'\n') | None => {
                    return Err(self.error_at(loc, start..self.pos, "string without an end"));
                }
                Some(_) => self.pos += 1,
            }
        }
    }

    fn punctuation(&mut self, b: u8) -> Token<'a> {
        let pair = match (b, self.byte(1)) {
            (b'<', Some(b'<')) => Token::Shl,
            (b'>', Some(b'>')) => Token::Shr,
            (b'<', Some(b'=')) => Token::LessEqual,
            (b'>', Some(b'=')) => Token::GreaterEqual,
            (b'=', Some(b'=')) => Token::Equal,
            (b'!', Some(b'=')) => Token::NotEqual,
            (b'&', Some(b'&')) => Token::And,
            (b'|', Some(b'|')) => Token::Or,
            _ => {
                self.pos += 1;
                return Token::Punct(b);
            }
        };
        self.pos += 2;
        pair
    }

    fn number(&mut self, start: usize, loc: Loc) -> Result<Token<'a>, Error> {
        let (radix, prefix) = match (self.byte(0), self.byte(1)) {
            (Some(b'0'), Some(b'f' | b'F')) => return self.float_bits(start, loc, 8),
            (Some(b'0'), Some(b'd' | b'D')) => return self.float_bits(start, loc, 16),
            (Some(b'0'), Some(b'x' | b'X')) => (16, 2),
            (Some(b'0'), Some(b'b' | b'B')) => (2, 2),
            _ => (10, 0),
        };
        self.pos += prefix;
        let digits_start = self.pos;
        while self.byte(0).is_some_and(|b| (b as char).is_digit(radix)) {
            self.pos += 1;
        }
        if radix == 10 && self.takes_fraction() {
            return self.decimal(start, loc);
        }
        let digits = self.slice(digits_start);
        let octal = radix == 10 && digits.len() > 1 && digits.first() == Some(&b'0');
        let text = std::str::from_utf8(digits).unwrap_or_default();
        let value = u64::from_str_radix(text, if octal { 8 } else { radix });
        let suffix = matches!(self.byte(0), Some(b'U' | b'u'));
        self.pos += usize::from(suffix);
        let Ok(value) = value else {
            return Err(self.error_at(
                loc,
                start..self.pos,
                "integer literal out of range or without digits",
            ));
        };
        if self.byte(0).is_some_and(is_follow) {
            self.take_follow();
            return Err(self.error_at(loc, start..self.pos, "malformed number"));
        }
        Ok(Token::Int {
            value,
            unsigned: suffix || value > i64::MAX as u64,
        })
    }

    /// Whether a decimal literal goes on with a fraction or an exponent.
    fn takes_fraction(&self) -> bool {
        match self.byte(0) {
            Some(b'.') => true,
            Some(b'e' | b'E') => match self.byte(1) {
                Some(b'+' | b'-') => self.byte(2).is_some_and(|b| b.is_ascii_digit()),
                other => other.is_some_and(|b| b.is_ascii_digit()),
            },
            _ => false,
        }
    }

    fn decimal(&mut self, start: usize, loc: Loc) -> Result<Token<'a>, Error> {
        if self.byte(0) == Some(b'.') {
            self.pos += 1;
            while self.byte(0).is_some_and(|b| b.is_ascii_digit()) {
                self.pos += 1;
            }
        }
        if matches!(self.byte(0), Some(b'e' | b'E')) && self.takes_fraction() {
            self.pos += 2;
            while self.byte(0).is_some_and(|b| b.is_ascii_digit()) {
                self.pos += 1;
            }
        }
        let text = std::str::from_utf8(self.slice(start)).unwrap_or_default();
        match text.parse::<f64>() {
            Ok(value) => Ok(Token::F64(value.to_bits())),
            Err(_) => Err(self.error_at(loc, start..self.pos, "malformed number")),
        }
    }

    fn float_bits(&mut self, start: usize, loc: Loc, digits: usize) -> Result<Token<'a>, Error> {
        self.pos += 2;
        self.take_follow();
        let text = self.slice(start + 2);
        let value = std::str::from_utf8(text).ok().filter(|_| text.len() == digits);
        let value = value.and_then(|text| u64::from_str_radix(text, 16).ok());
        match (value, u32::try_from(value.unwrap_or(u64::MAX))) {
            (Some(_), Ok(bits)) if digits == 8 => Ok(Token::F32(bits)),
            (Some(bits), _) if digits == 16 => Ok(Token::F64(bits)),
            _ => Err(self.error_at(loc, start..self.pos, "malformed floating-point literal")),
        }
    }

    /// Passes over a block whose opening brace has been read, and returns the range between the braces.
    pub(crate) fn skip_block(&mut self) -> Result<Range<usize>, Error> {
        let start = self.pos;
        let loc = self.loc_at(start);
        let mut depth = 1usize;
        while let Some(b) = self.byte(0) {
            if SKIP_CLASS[usize::from(b)] == 0 {
                self.pos += 1;
                continue;
            }
            match b {
                b'{' => depth += 1,
                b'}' => depth -= 1,
                b'"' => {
                    let at = self.pos;
                    self.string(at, self.loc_at(at))?;
                    continue;
                }
                b'/' if self.byte(1) == Some(b'/') => {
                    self.skip_line();
                    continue;
                }
                b'/' if self.byte(1) == Some(b'*') => {
                    self.skip_comment()?;
                    continue;
                }
                _ => {}
            }
            self.pos += 1;
            if b == b'\n' {
                self.newline();
            }
            if depth == 0 {
                return Ok(start..self.pos - 1);
            }
        }
        Err(self.error_at(loc, start.saturating_sub(1)..start, "'{' without a matching '}'"))
    }

    /// A syntax error about a part of the text.
    pub(crate) fn error_at(&self, loc: Loc, range: Range<usize>, message: &str) -> Error {
        let near = self
            .text
            .get(range.start..range.end.min(self.text.len()))
            .unwrap_or_default();
        Error::new(ErrorKind::Syntax(message.into()), loc, near)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Vec<Token<'_>> {
        let mut lexer = Lexer::new(text.as_bytes(), 0..text.len(), Loc { line: 1, column: 1 });
        let mut out = Vec::new();
        loop {
            match lexer.next().expect("lexes").0 {
                Token::End => return out,
                token => out.push(token),
            }
        }
    }

    fn int(value: u64) -> Token<'static> {
        Token::Int {
            value,
            unsigned: false,
        }
    }

    #[test]
    fn literals() {
        assert_eq!(
            tokens("0 42 0x1F 010 0b101"),
            [int(0), int(42), int(31), int(8), int(5)]
        );
        assert_eq!(
            tokens("7U")[0],
            Token::Int {
                value: 7,
                unsigned: true
            }
        );
        assert_eq!(
            tokens("0xffffffffffffffff")[0],
            Token::Int {
                value: u64::MAX,
                unsigned: true
            }
        );
        assert_eq!(
            tokens("0f3F800000 0D3FF0000000000000"),
            [Token::F32(0x3f80_0000), Token::F64(1f64.to_bits())]
        );
        assert_eq!(
            tokens("1.5 .25 2e3 1.e-1"),
            [1.5, 0.25, 2e3, 0.1].map(|v: f64| Token::F64(v.to_bits()))
        );
    }

    #[test]
    fn names_and_directives() {
        assert_eq!(
            tokens("%tid.x _"),
            [Token::Ident(b"%tid"), Token::Directive(b"x"), Token::Ident(b"_")]
        );
        assert_eq!(
            tokens("$L__BB0_1:"),
            [Token::Ident(b"$L__BB0_1"), Token::Punct(b':')]
        );
        assert_eq!(
            tokens(".param::func.1d"),
            [Token::Directive(b"param::func"), Token::Directive(b"1d")]
        );
        assert_eq!(tokens("7 % 4"), [int(7), Token::Punct(b'%'), int(4)]);
    }

    #[test]
    fn comments_and_strings() {
        assert_eq!(
            tokens("a // b\n/* c\n */ \"d }\\\" e\""),
            [Token::Ident(b"a"), Token::Str(b"d }\\\" e")]
        );
    }

    #[test]
    fn positions() {
        let text = "a\n  /* x\n */ bb";
        let mut lexer = Lexer::new(text.as_bytes(), 0..text.len(), Loc { line: 1, column: 1 });
        lexer.next().expect("a");
        let (token, _, loc) = lexer.next().expect("bb");
        assert_eq!((token, loc), (Token::Ident(b"bb"), Loc { line: 3, column: 5 }));
    }

    #[test]
    fn spelling_may_be_spaced() {
        for text in [
            "ld.global.u32 %r",
            "ld .global /* */ .u32 %r",
            "ld.global\n.u32 %r",
        ] {
            let mut lexer = Lexer::new(text.as_bytes(), 0..text.len(), Loc { line: 1, column: 1 });
            lexer.next().expect("ld");
            let mut buffer = Vec::new();
            assert_eq!(
                lexer.spelling(0, &mut buffer).expect("spelling"),
                b"ld.global.u32"
            );
            assert_eq!(lexer.next().expect("%r").0, Token::Ident(b"%r"));
        }
    }

    #[test]
    fn blocks_are_skipped() {
        let text = "{ a { \"}\" } // }\n /* } */ } z";
        let mut lexer = Lexer::new(text.as_bytes(), 1..text.len(), Loc { line: 1, column: 2 });
        let range = lexer.skip_block().expect("block");
        assert_eq!(&text[range], " a { \"}\" } // }\n /* } */ ");
        assert_eq!(lexer.next().expect("z").0, Token::Ident(b"z"));
    }

    #[test]
    fn bad_tokens_are_errors() {
        for text in ["\"x", "/* x", "0x", "08", "1z", "0f123", "99999999999999999999"] {
            let mut lexer = Lexer::new(text.as_bytes(), 0..text.len(), Loc { line: 1, column: 1 });
            assert!(lexer.next().is_err(), "{text}");
        }
    }
}
