//! Function headers: linkage, return parameters, parameters, directives; and the extent of the body.

use super::cursor::Cursor;
use super::module::ModuleParser;
use super::variable::{natural_align, total_size};
use crate::error::{Error, ErrorKind};
use crate::lexer::Token;
use crate::limits;
use crate::modifier::Space;
use crate::module::{BodySpan, FuncKind, Function, Linkage, Param, PtrInfo, Symbol, Tuning};
use crate::types::{Type, TypeClass};

impl ModuleParser<'_> {
    /// `.entry` or `.func`, declared or defined.
    pub(crate) fn function(&mut self, linkage: Linkage) -> Result<(), Error> {
        let kind = match self.cursor.token {
            Token::Directive(b"entry") => FuncKind::Entry,
            _ => FuncKind::Func,
        };
        self.cursor.advance()?;
        let mut tuning = Tuning::default();
        if self.cursor.eat_directive(b"attribute")? {
            tuning.unified = attributes(&mut self.cursor)?.unified;
        }
        let rets = if self.cursor.at(b'(') {
            parameters(&mut self.cursor)?
        } else {
            Vec::new()
        };
        let loc = self.cursor.loc;
        let here = self.cursor.clone();
        let name = self.cursor.ident("a function name")?;
        let params = if self.cursor.at(b'(') {
            parameters(&mut self.cursor)?
        } else {
            Vec::new()
        };
        let param_bytes = block_size(&params);
        directives(&mut self.cursor, &mut tuning)?;
        let (defined, span) = self.function_end()?;
        let text_name: Box<str> = String::from_utf8_lossy(name).into();
        let function = Function {
            name: text_name,
            kind,
            linkage,
            rets,
            params,
            param_bytes,
            tuning,
            alias_of: None,
            defined,
            loc,
            unit: self.unit,
            span,
        };
        self.declare_function(&here, name, function)
    }

    /// `;` or a body.
    fn function_end(&mut self) -> Result<(bool, BodySpan), Error> {
        if !self.cursor.at(b'{') {
            self.cursor.expect(b';')?;
            return Ok((false, BodySpan::default()));
        }
        let pos = self.cursor.lexer.pos();
        let start = self.cursor.lexer.loc_at(pos);
        let bytes = self.cursor.lexer.skip_block()?;
        self.cursor.advance()?;
        Ok((true, BodySpan { bytes, start }))
    }

    /// Enters a function, or completes an earlier declaration of the same name.
    fn declare_function(&mut self, here: &Cursor<'_>, name: &[u8], function: Function) -> Result<(), Error> {
        let Some(symbol) = self.scope.get(name).copied() else {
            let id = self.module.funcs.push(function);
            self.scope.insert(name.into(), Symbol::Func(id));
            return Ok(());
        };
        let previous_loc = match symbol {
            Symbol::Var(var) => self.module.vars[var].loc,
            Symbol::Func(func) => self.module.funcs[func].loc,
            Symbol::Local(_) | Symbol::Param(_) | Symbol::Ret(_) => here.loc,
        };
        let redeclared = || ErrorKind::Redeclared {
            name: function.name.clone(),
            previous: previous_loc,
        };
        let Symbol::Func(id) = symbol else {
            return Err(here.error(redeclared()));
        };
        let previous = &mut self.module.funcs[id];
        if previous.defined && function.defined {
            return Err(here.error(redeclared()));
        }
        if previous.kind != function.kind || !same_signature(previous, &function) {
            let message = format!("'{}' is declared differently at {previous_loc}", function.name);
            return Err(here.error(ErrorKind::Invalid(message.into())));
        }
        if function.defined {
            // `.extern` before a definition in the same text says nothing more than that it exists.
            let linkage = match (function.linkage, previous.linkage) {
                (Linkage::Static, Linkage::Extern) => Linkage::Visible,
                (Linkage::Static, other) => other,
                (new, _) => new,
            };
            *previous = Function {
                linkage,
                alias_of: previous.alias_of,
                ..function
            };
        }
        Ok(())
    }
}

/// Whether two functions agree in number, sizes and alignments of what they take and return.
pub(crate) fn same_signature(a: &Function, b: &Function) -> bool {
    let same = |a: &[Param], b: &[Param]| {
        a.len() == b.len()
            && a.iter()
                .zip(b)
                .all(|(a, b)| a.size == b.size && a.elements.is_some() == b.elements.is_some())
    };
    same(&a.params, &b.params) && same(&a.rets, &b.rets)
}

/// The size of a block of parameters, whose offsets are assigned already.
pub(crate) fn block_size(params: &[Param]) -> u32 {
    params
        .last()
        .map_or(0, |last| last.offset.saturating_add(last.size))
}

/// `( parameter, ... )`
pub(crate) fn parameters(cursor: &mut Cursor<'_>) -> Result<Vec<Param>, Error> {
    let mut params: Vec<Param> = Vec::new();
    let mut names = std::collections::HashSet::<&[u8], foldhash::fast::RandomState>::default();
    cursor.expect(b'(')?;
    if cursor.eat(b')')? {
        return Ok(params);
    }
    let mut end = 0u64;
    loop {
        let (name, mut param) = parameter(cursor)?;
        if name != b"_" && !names.insert(name) {
            let previous = params
                .iter()
                .find(|p| p.name == param.name)
                .map_or(param.loc, |p| p.loc);
            return Err(Error::new(
                ErrorKind::Redeclared {
                    name: param.name,
                    previous,
                },
                param.loc,
                name,
            ));
        }
        let offset = end.next_multiple_of(u64::from(param.align));
        end = offset.saturating_add(u64::from(param.size));
        match u32::try_from(offset) {
            Ok(offset) if end <= limits::PARAM_BYTES => param.offset = offset,
            _ => return Err(cursor.limit("size of the parameters", limits::PARAM_BYTES)),
        }
        params.push(param);
        if !cursor.eat(b',')? {
            cursor.expect(b')')?;
            return Ok(params);
        }
    }
}

/// One parameter with its name.
fn parameter<'a>(cursor: &mut Cursor<'a>) -> Result<(&'a [u8], Param), Error> {
    let is_reg = match cursor.token {
        Token::Directive(b"param") => false,
        Token::Directive(b"reg") => true,
        _ => return Err(cursor.syntax("expected '.param' or '.reg'")),
    };
    cursor.advance()?;
    let (mut align, mut ty, mut vector, mut ptr) = (None, None, 1, None);
    loop {
        match cursor.token {
            Token::Directive(b"align") => align = cursor.align()?,
            Token::Directive(b"v2" | b"v4") => vector = cursor.vector_width()?,
            Token::Directive(b"ptr") => ptr = Some(pointer(cursor)?),
            Token::Directive(_) => match cursor.eat_type()? {
                Some(found) => ty = Some(found),
                None => {
                    return Err(cursor.error(ErrorKind::Unknown {
                        what: "parameter attribute",
                    }));
                }
            },
            _ => break,
        }
    }
    let Some(ty) = ty else {
        return Err(cursor.syntax("expected the type of the parameter"));
    };
    let loc = cursor.loc;
    let name = cursor.ident("a parameter name")?;
    let elements = array_length(cursor)?;
    if !is_reg && ty.class() == TypeClass::Pred || is_reg && !ty.is_register() {
        return Err(Error::new(
            ErrorKind::Invalid(format!("a parameter cannot be of type .{ty}").into()),
            loc,
            name,
        ));
    }
    let text_name = if name == b"_" {
        "".into()
    } else {
        String::from_utf8_lossy(name).into()
    };
    let size = param_size(cursor, ty, vector, elements)?;
    let align = align.unwrap_or_else(|| natural_align(ty, vector));
    let param = Param {
        name: text_name,
        ty,
        vector,
        elements,
        align,
        size,
        offset: 0,
        is_reg,
        ptr,
        loc,
    };
    Ok((name, param))
}

fn param_size(cursor: &Cursor<'_>, ty: Type, vector: u8, elements: Option<u64>) -> Result<u32, Error> {
    let dims: smallvec::SmallVec<[u64; 2]> = elements.into_iter().collect();
    let size = total_size(ty, vector, &dims).filter(|size| *size <= limits::PARAM_BYTES);
    let size = size.and_then(|size| u32::try_from(size).ok());
    size.ok_or_else(|| cursor.limit("size of the parameters", limits::PARAM_BYTES))
}

/// `[n]`, `[]` or nothing.
fn array_length(cursor: &mut Cursor<'_>) -> Result<Option<u64>, Error> {
    if !cursor.eat(b'[')? {
        return Ok(None);
    }
    let length = if cursor.at(b']') {
        0
    } else {
        super::expr::integer(cursor)?
    };
    cursor.expect(b']')?;
    Ok(Some(length))
}

/// `.ptr{.space}{.align n}`
fn pointer(cursor: &mut Cursor<'_>) -> Result<PtrInfo, Error> {
    cursor.advance()?;
    let space = match cursor.token {
        Token::Directive(b"global") => Some(Space::Global),
        Token::Directive(b"const") => Some(Space::Const),
        Token::Directive(b"local") => Some(Space::Local),
        Token::Directive(b"shared") => Some(Space::Shared),
        _ => None,
    };
    if space.is_some() {
        cursor.advance()?;
    }
    Ok(PtrInfo {
        space,
        align: cursor.align()?.unwrap_or(4),
    })
}

/// What `.attribute(...)` says.
#[derive(Default)]
pub(crate) struct Attributes {
    pub(crate) managed: bool,
    pub(crate) unified: Option<(u64, u64)>,
}

/// `(.managed, .unified(a, b))`
pub(crate) fn attributes(cursor: &mut Cursor<'_>) -> Result<Attributes, Error> {
    let mut out = Attributes::default();
    cursor.expect(b'(')?;
    loop {
        if cursor.eat_directive(b"managed")? {
            out.managed = true;
        } else if cursor.eat_directive(b"unified")? {
            cursor.expect(b'(')?;
            let high = cursor.integer()?;
            cursor.expect(b',')?;
            out.unified = Some((high, cursor.integer()?));
            cursor.expect(b')')?;
        } else {
            return Err(cursor.error(ErrorKind::Unknown { what: "attribute" }));
        }
        if !cursor.eat(b',')? {
            cursor.expect(b')')?;
            return Ok(out);
        }
    }
}

/// Performance directives between the header and the body.
fn directives(cursor: &mut Cursor<'_>, tuning: &mut Tuning) -> Result<(), Error> {
    while let Token::Directive(name) = cursor.token {
        if name == b"pragma" {
            tuning.pragmas.append(&mut super::pragma(cursor)?);
            continue;
        }
        let here = cursor.clone();
        cursor.advance()?;
        match name {
            b"maxntid" => tuning.max_ntid = Some(dimensions(cursor)?),
            b"reqntid" => tuning.req_ntid = Some(dimensions(cursor)?),
            b"reqnctapercluster" => tuning.req_cta_per_cluster = Some(dimensions(cursor)?),
            b"minnctapersm" => tuning.min_cta_per_sm = Some(cursor.integer32()?),
            b"maxnctapersm" => tuning.max_cta_per_sm = Some(cursor.integer32()?),
            b"maxnreg" => tuning.max_regs = Some(cursor.integer32()?),
            b"maxclusterrank" => tuning.max_cluster_rank = Some(cursor.integer32()?),
            b"abi_preserve" => tuning.abi_preserve = Some(cursor.integer32()?),
            b"abi_preserve_control" => tuning.abi_preserve_control = Some(cursor.integer32()?),
            b"noreturn" => tuning.noreturn = true,
            b"explicitcluster" => tuning.explicit_cluster = true,
            b"blocksareclusters" => tuning.blocks_are_clusters = true,
            b"attribute" => tuning.unified = attributes(cursor)?.unified,
            _ => return Err(here.error(ErrorKind::Unknown { what: "directive" })),
        }
    }
    Ok(())
}

/// `x{, y{, z}}`
fn dimensions(cursor: &mut Cursor<'_>) -> Result<[u32; 3], Error> {
    let mut out = [1; 3];
    for (n, place) in out.iter_mut().enumerate() {
        if n > 0 && !cursor.eat(b',')? {
            break;
        }
        *place = cursor.integer32()?;
    }
    Ok(out)
}
