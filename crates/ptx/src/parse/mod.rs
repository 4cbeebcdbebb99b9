//! The parser: module scope at once, function bodies on demand.

pub(crate) mod body;
pub(crate) mod cursor;
mod expr;
mod init;
mod inst;
mod module;
mod operand;
mod scope;
pub(crate) mod signature;
mod variable;

use std::sync::Arc;

use crate::error::Error;
use crate::lexer::Token;
use crate::module::Module;

pub(crate) use body::parse_body;
use cursor::Cursor;

/// Parses a module: directives, variables, function headers and the extents of bodies. Bodies are parsed by
/// [`Module::body`]. Trailing NUL bytes are ignored.
///
/// # Errors
/// The first error of the text at module scope.
pub fn parse_module(text: impl Into<Arc<[u8]>>) -> Result<Module, Error> {
    let module = module::parse(text.into())?;
    crate::verify::verify_module(&module)?;
    Ok(module)
}

/// `.pragma "a", "b";`
fn pragma(cursor: &mut Cursor<'_>) -> Result<Vec<Box<str>>, Error> {
    cursor.advance()?;
    let mut strings = vec![cursor.string()?];
    while cursor.eat(b',')? {
        strings.push(cursor.string()?);
    }
    cursor.expect(b';')?;
    Ok(strings)
}

/// `.section name { ... }`: debugging information, which nothing here uses.
fn section(cursor: &mut Cursor<'_>) -> Result<(), Error> {
    cursor.advance()?;
    match cursor.token {
        Token::Directive(_) | Token::Ident(_) => cursor.advance()?,
        _ => return Err(cursor.syntax("expected the name of the section")),
    }
    if !cursor.at(b'{') {
        return Err(cursor.syntax("expected '{'"));
    }
    cursor.lexer.skip_block()?;
    cursor.advance()
}
