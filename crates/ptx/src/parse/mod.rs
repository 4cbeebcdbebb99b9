//! The parser.

use crate::body::Body;
use crate::error::{Error, ErrorKind, Loc};
use crate::id::FuncId;
use crate::module::Module;

pub(crate) fn parse_body(module: &Module, func: FuncId) -> Result<Body, Error> {
    let loc = module.funcs[func].loc;
    Err(Error::new(
        ErrorKind::Invalid("the parser is not built yet".into()),
        loc,
        b"",
    ))
}

/// Parses a module: headers, variables and the extents of bodies. Bodies are parsed by [`Module::body`].
///
/// # Errors
/// The first error of the text.
pub fn parse_module(text: impl Into<std::sync::Arc<[u8]>>) -> Result<Module, Error> {
    let text = text.into();
    Err(Error::new(
        ErrorKind::Invalid("the parser is not built yet".into()),
        Loc::default(),
        &text,
    ))
}
