//! Module scope: directives, variables, function headers. Bodies are only measured.

use std::sync::{Arc, OnceLock};

use super::cursor::Cursor;
use crate::error::{Error, ErrorKind, Loc};
use crate::id::{IdVec, UnitId};
use crate::lexer::Token;
use crate::limits;
use crate::module::{Linkage, Module, SourceFile, Symbol, Target, Unit, Variant};
use crate::names::NameMap;

/// Parses the text of one module.
pub(crate) struct ModuleParser<'a> {
    pub(crate) cursor: Cursor<'a>,
    pub(crate) module: Module,
    pub(crate) scope: NameMap,
    /// The unit that the text will be.
    pub(crate) unit: UnitId,
    /// Names in initialisers, resolved at the end: they may be declared later.
    pub(crate) pending: Vec<PendingAddress>,
    pub(crate) text_len: usize,
}

/// An address in an initialiser whose name is not resolved yet.
pub(crate) struct PendingAddress {
    pub(crate) var: crate::id::VarId,
    pub(crate) relocation: usize,
    pub(crate) name: Box<[u8]>,
    pub(crate) loc: Loc,
}

pub(crate) fn parse(text: Arc<[u8]>) -> Result<Module, Error> {
    let end = text.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
    let start = Loc { line: 1, column: 1 };
    if end > limits::TEXT_BYTES {
        let kind = ErrorKind::Limit {
            what: "length of the text",
            limit: limits::TEXT_BYTES as u64,
        };
        return Err(Error::new(kind, start, b""));
    }
    let unit = UnitId::from_u32(0);
    let mut parser = ModuleParser {
        cursor: Cursor::new(&text, 0..end, start)?,
        module: Module::default(),
        scope: NameMap::default(),
        unit,
        pending: Vec::new(),
        text_len: end,
    };
    parser.preamble()?;
    while parser.cursor.token != Token::End {
        parser.item()?;
    }
    parser.resolve_pending()?;
    let ModuleParser {
        mut module, scope, ..
    } = parser;
    module.bodies = module.funcs.ids().map(|_| OnceLock::new()).collect();
    module.units = IdVec::from_iter([Unit {
        text,
        scope: Arc::new(scope),
    }]);
    Ok(module)
}

impl ModuleParser<'_> {
    /// `.version`, `.target` and `.address_size`.
    fn preamble(&mut self) -> Result<(), Error> {
        if !self.cursor.eat_directive(b"version")? {
            return Err(self.cursor.syntax("a module begins with '.version'"));
        }
        self.version()?;
        if !self.cursor.eat_directive(b"target")? {
            return Err(self.cursor.syntax("'.target' must follow '.version'"));
        }
        self.target()?;
        self.module.address_bits = 32;
        if self.cursor.eat_directive(b"address_size")? {
            self.address_size()?;
        }
        Ok(())
    }

    fn version(&mut self) -> Result<(), Error> {
        // `8.4` is one token, read as a decimal fraction; the digits are what counts.
        let text = std::str::from_utf8(self.cursor.near()).unwrap_or_default();
        let parts = text
            .split_once('.')
            .and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
        let Some(version) = parts.filter(|_| matches!(self.cursor.token, Token::F64(_))) else {
            return Err(self.cursor.syntax("expected a version like 8.4"));
        };
        self.module.version = version;
        self.cursor.advance()
    }

    fn target(&mut self) -> Result<(), Error> {
        loop {
            let here = self.cursor.clone();
            let name = self.cursor.ident("a target")?;
            let target = &mut self.module.target;
            match name {
                b"debug" => target.debug = true,
                b"texmode_independent" => target.texmode_independent = true,
                b"texmode_unified" => target.texmode_independent = false,
                b"map_f64_to_f32" => target.map_f64_to_f32 = true,
                _ => {
                    let Some((sm, variant)) = architecture(name) else {
                        return Err(here.error(ErrorKind::Unknown { what: "target" }));
                    };
                    (target.sm, target.variant) = (sm, variant);
                }
            }
            if !self.cursor.eat(b',')? {
                break;
            }
        }
        if self.module.target == Target::default() {
            return Err(self.cursor.syntax("'.target' names no architecture"));
        }
        Ok(())
    }

    fn address_size(&mut self) -> Result<(), Error> {
        let here = self.cursor.clone();
        self.module.address_bits = match self.cursor.integer()? {
            32 => 32,
            64 => 64,
            _ => return Err(here.syntax("an address size is 32 or 64")),
        };
        Ok(())
    }

    /// One declaration or directive.
    fn item(&mut self) -> Result<(), Error> {
        let Token::Directive(name) = self.cursor.token else {
            return match self.cursor.token {
                Token::Punct(b';') => self.cursor.advance(),
                Token::Punct(b'@') => self.old_dwarf(),
                _ => Err(self.cursor.syntax("expected a directive")),
            };
        };
        match name {
            b"version" => {
                self.cursor.advance()?;
                self.version()
            }
            b"target" => {
                self.cursor.advance()?;
                self.target()
            }
            b"address_size" => {
                self.cursor.advance()?;
                self.address_size()
            }
            b"file" => self.file(),
            b"loc" => super::body::skip_loc(&mut self.cursor).map(|_| ()),
            b"section" => super::section(&mut self.cursor),
            b"pragma" => {
                let mut pragmas = super::pragma(&mut self.cursor)?;
                self.module.pragmas.append(&mut pragmas);
                Ok(())
            }
            b"alias" => self.alias(),
            _ => self.declaration(),
        }
    }

    /// `@@DWARF ...`, the spelling before `.section`: one line each.
    fn old_dwarf(&mut self) -> Result<(), Error> {
        self.cursor.expect(b'@')?;
        self.cursor.expect(b'@')?;
        let line = self.cursor.loc.line;
        while self.cursor.loc.line == line && self.cursor.token != Token::End {
            self.cursor.advance()?;
        }
        Ok(())
    }

    fn file(&mut self) -> Result<(), Error> {
        self.cursor.advance()?;
        let index = self.cursor.integer32()?;
        let name = self.cursor.string()?;
        while self.cursor.eat(b',')? {
            self.cursor.integer()?;
        }
        self.module.files.push(SourceFile {
            index,
            name,
            unit: self.unit,
        });
        Ok(())
    }

    fn alias(&mut self) -> Result<(), Error> {
        self.cursor.advance()?;
        let alias = self.function_name()?;
        self.cursor.expect(b',')?;
        let target = self.function_name()?;
        self.cursor.expect(b';')?;
        // An alias of an alias would need a walk at every use; the ISA asks for a defined function anyway.
        if alias == target
            || self.module.funcs[target].alias_of.is_some()
            || !self.module.funcs[target].defined
        {
            let message = "'.alias' needs a function that is defined in this module";
            return Err(self.cursor.error(ErrorKind::Invalid(message.into())));
        }
        self.module.funcs[alias].alias_of = Some(target);
        Ok(())
    }

    fn function_name(&mut self) -> Result<crate::id::FuncId, Error> {
        let here = self.cursor.clone();
        let name = self.cursor.ident("a function name")?;
        match self.scope.get(name) {
            Some(Symbol::Func(func)) => Ok(*func),
            _ => Err(here.error(ErrorKind::Undeclared(String::from_utf8_lossy(name).into()))),
        }
    }

    /// A variable or a function, with the linkage before it.
    fn declaration(&mut self) -> Result<(), Error> {
        let mut linkage = Linkage::Static;
        while let Token::Directive(name) = self.cursor.token {
            linkage = match name {
                b"visible" => Linkage::Visible,
                b"extern" => Linkage::Extern,
                b"weak" => Linkage::Weak,
                b"common" => Linkage::Common,
                _ => break,
            };
            self.cursor.advance()?;
        }
        match self.cursor.token {
            Token::Directive(b"entry" | b"func") => self.function(linkage),
            Token::Directive(b"align" | b"attribute") => self.variables(linkage),
            Token::Directive(name) if super::variable::space_named(name).is_some() => self.variables(linkage),
            Token::Directive(_) => Err(self.cursor.error(ErrorKind::Unknown { what: "directive" })),
            _ => Err(self.cursor.syntax("expected a variable or a function")),
        }
    }

    fn resolve_pending(&mut self) -> Result<(), Error> {
        for pending in std::mem::take(&mut self.pending) {
            let Some(symbol) = self.scope.get(&pending.name).copied() else {
                let name: Box<str> = String::from_utf8_lossy(&pending.name).into();
                return Err(Error::new(
                    ErrorKind::Undeclared(name),
                    pending.loc,
                    &pending.name,
                ));
            };
            let init = self.module.vars[pending.var].init.as_mut();
            if let Some(relocation) = init.and_then(|init| init.relocations.get_mut(pending.relocation)) {
                relocation.target = symbol;
            }
        }
        Ok(())
    }
}

/// Reads `sm_90a`.
fn architecture(name: &[u8]) -> Option<(u32, Variant)> {
    let text = std::str::from_utf8(name).ok()?;
    let digits = text
        .strip_prefix("sm_")
        .or_else(|| text.strip_prefix("compute_"))?;
    let (digits, variant) = match digits.as_bytes().last()? {
        b'a' => (digits.strip_suffix('a')?, Variant::Specific),
        b'f' => (digits.strip_suffix('f')?, Variant::Family),
        _ => (digits, Variant::Portable),
    };
    let plain = (2..=3).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    Some((digits.parse().ok().filter(|_| plain)?, variant))
}
