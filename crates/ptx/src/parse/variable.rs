//! Variable declarations, at module scope and in bodies.

use smallvec::SmallVec;

use super::cursor::Cursor;
use super::init;
use super::module::{ModuleParser, PendingAddress};
use crate::error::{Error, ErrorKind};
use crate::id::UnitId;
use crate::lexer::Token;
use crate::limits;
use crate::modifier::Space;
use crate::module::{Linkage, Symbol, Variable};
use crate::types::{Type, TypeClass};

/// The space of a variable directive.
pub(crate) fn space_named(name: &[u8]) -> Option<Space> {
    Some(match name {
        b"global" => Space::Global,
        b"const" => Space::Const,
        b"shared" | b"shared::cta" => Space::Shared,
        b"local" => Space::Local,
        b"param" => Space::Param,
        b"tex" => Space::Tex,
        b"reg" => Space::Reg,
        _ => return None,
    })
}

/// The alignment of an element.
pub(crate) fn natural_align(ty: Type, vector: u8) -> u32 {
    (ty.bytes() * u32::from(vector)).next_power_of_two()
}

/// The size of an array of vectors in bytes; `None` when it overflows.
pub(crate) fn total_size(ty: Type, vector: u8, dims: &[u64]) -> Option<u64> {
    let element = u64::from(ty.bytes()) * u64::from(vector);
    dims.iter().try_fold(element, |size, dim| size.checked_mul(*dim))
}

/// What the variables of one declaration share.
pub(crate) struct Head {
    pub(crate) space: Space,
    ty: Type,
    vector: u8,
    align: Option<u32>,
    managed: bool,
    unified: Option<(u64, u64)>,
}

/// Reads from the state space to the type: `.global .attribute(.managed) .align 8 .b8`.
pub(crate) fn head(cursor: &mut Cursor<'_>) -> Result<Head, Error> {
    let (mut space, mut ty, mut vector, mut align) = (None, None, 1, None);
    let mut attributes = super::signature::Attributes::default();
    while let Token::Directive(name) = cursor.token {
        match name {
            // Alignment and attributes stand behind the space or before it.
            b"align" => align = cursor.align()?,
            b"attribute" => {
                cursor.advance()?;
                attributes = super::signature::attributes(cursor)?;
            }
            b"v2" | b"v4" => vector = cursor.vector_width()?,
            _ if space.is_none() => space = Some(space_directive(cursor, name)?),
            _ => match cursor.eat_type()? {
                Some(found) => ty = Some(found),
                None => {
                    return Err(cursor.error(ErrorKind::Unknown {
                        what: "type or attribute",
                    }));
                }
            },
        }
    }
    let Some(space) = space else {
        return Err(cursor.syntax("expected a state space"));
    };
    let Some(ty) = ty else {
        return Err(cursor.syntax("expected the type of the variable"));
    };
    if ty.class() == TypeClass::Pred {
        return Err(cursor.error(ErrorKind::Invalid("a predicate can only be a register".into())));
    }
    Ok(Head {
        space,
        ty,
        vector,
        align,
        managed: attributes.managed,
        unified: attributes.unified,
    })
}

/// The state space, which the current directive must be.
fn space_directive(cursor: &mut Cursor<'_>, name: &[u8]) -> Result<Space, Error> {
    let Some(space) = space_named(name) else {
        return Err(cursor.syntax("expected a state space"));
    };
    cursor.advance()?;
    if space == Space::Const && cursor.eat(b'[')? {
        // Constant banks are a thing of the past; every bank is the one constant space.
        cursor.integer()?;
        cursor.expect(b']')?;
    }
    Ok(space)
}

/// `name[a][b]`: a variable without its initialiser.
pub(crate) fn declarator<'a>(
    cursor: &mut Cursor<'a>,
    head: &Head,
    linkage: Linkage,
    unit: UnitId,
) -> Result<(&'a [u8], Variable), Error> {
    let loc = cursor.loc;
    let name = cursor.ident("a variable name")?;
    let dims = dimensions(cursor)?;
    let size = variable_size(cursor, head, &dims)?;
    let variable = Variable {
        name: String::from_utf8_lossy(name).into(),
        space: head.space,
        ty: head.ty,
        vector: head.vector,
        dims,
        align: head.align.unwrap_or_else(|| natural_align(head.ty, head.vector)),
        size,
        linkage,
        init: None,
        opaque_init: Vec::new(),
        managed: head.managed,
        unified: head.unified,
        loc,
        unit,
    };
    Ok((name, variable))
}

fn variable_size(cursor: &Cursor<'_>, head: &Head, dims: &[u64]) -> Result<u64, Error> {
    let size = total_size(head.ty, head.vector, dims).filter(|size| *size <= limits::VARIABLE_BYTES);
    size.ok_or_else(|| cursor.limit("size of a variable", limits::VARIABLE_BYTES))
}

fn dimensions(cursor: &mut Cursor<'_>) -> Result<SmallVec<[u64; 2]>, Error> {
    let mut dims = SmallVec::new();
    while cursor.eat(b'[')? {
        if dims.len() >= limits::DIMENSIONS {
            return Err(cursor.limit("number of array dimensions", limits::DIMENSIONS as u64));
        }
        if cursor.at(b']') {
            if !dims.is_empty() {
                return Err(cursor.syntax("only the first dimension may be left out"));
            }
            dims.push(0);
        } else {
            dims.push(super::expr::integer(cursor)?);
        }
        cursor.expect(b']')?;
    }
    Ok(dims)
}

impl ModuleParser<'_> {
    /// `.global .u32 a = 1, b[4];` and the like.
    pub(crate) fn variables(&mut self, linkage: Linkage) -> Result<(), Error> {
        let head = head(&mut self.cursor)?;
        if matches!(head.space, Space::Reg | Space::Param) {
            let message = format!(".{} variables can only be declared in a function", head.space);
            return Err(self.cursor.error(ErrorKind::Invalid(message.into())));
        }
        loop {
            let here = self.cursor.clone();
            let (name, mut variable) = declarator(&mut self.cursor, &head, linkage, self.unit)?;
            let mut addresses = Vec::new();
            if self.cursor.eat(b'=')? {
                addresses = self.initializer(&here, &mut variable)?;
            } else if variable.dims.first() == Some(&0) && linkage != Linkage::Extern {
                let message = "an array without a size must be extern or have an initialiser";
                return Err(here.error(ErrorKind::Invalid(message.into())));
            }
            self.declare_variable(&here, name, variable, addresses)?;
            if !self.cursor.eat(b',')? {
                return self.cursor.expect(b';');
            }
        }
    }

    fn initializer(&mut self, here: &Cursor<'_>, variable: &mut Variable) -> Result<init::Names, Error> {
        let initial = matches!(variable.space, Space::Global | Space::Const);
        if !initial || variable.linkage == Linkage::Extern {
            let message = "only .global and .const variables that are not extern can be initialised";
            return Err(here.error(ErrorKind::Invalid(message.into())));
        }
        if variable.ty.class() == TypeClass::Opaque {
            variable.opaque_init = init::opaque(&mut self.cursor)?;
            return Ok(Vec::new());
        }
        let mut writer = init::Writer::new(variable.ty, variable.vector, self.text_len);
        let count = writer.parse(&mut self.cursor, &variable.dims)?;
        if variable.dims.first() == Some(&0) {
            variable.dims[0] = count;
            let size = total_size(variable.ty, variable.vector, &variable.dims);
            variable.size = size
                .filter(|size| *size <= limits::VARIABLE_BYTES)
                .ok_or_else(|| self.cursor.limit("size of a variable", limits::VARIABLE_BYTES))?;
        }
        let (init, addresses) = writer.finish();
        variable.init = Some(init);
        Ok(addresses)
    }

    /// Enters a variable, or completes an earlier extern declaration.
    fn declare_variable(
        &mut self,
        here: &Cursor<'_>,
        name: &[u8],
        variable: Variable,
        addresses: init::Names,
    ) -> Result<(), Error> {
        let known = self.scope.get(name).copied();
        let id = match known {
            None => {
                let id = self.module.vars.push(variable);
                self.scope.insert(name.into(), Symbol::Var(id));
                id
            }
            Some(Symbol::Var(id))
                if self.module.vars[id].linkage == Linkage::Extern || variable.linkage == Linkage::Extern =>
            {
                let previous = &mut self.module.vars[id];
                if previous.space != variable.space {
                    let message = format!(
                        "'{}' is in another state space at {}",
                        variable.name, previous.loc
                    );
                    return Err(here.error(ErrorKind::Invalid(message.into())));
                }
                if variable.linkage != Linkage::Extern {
                    let linkage = match variable.linkage {
                        Linkage::Static => Linkage::Visible,
                        other => other,
                    };
                    *previous = Variable { linkage, ..variable };
                }
                id
            }
            Some(other) => {
                let previous = match other {
                    Symbol::Func(func) => self.module.funcs[func].loc,
                    Symbol::Var(var) => self.module.vars[var].loc,
                    Symbol::Local(_) | Symbol::Param(_) | Symbol::Ret(_) => here.loc,
                };
                return Err(here.error(ErrorKind::Redeclared {
                    name: variable.name,
                    previous,
                }));
            }
        };
        for (relocation, (name, loc)) in addresses.into_iter().enumerate() {
            self.pending.push(PendingAddress {
                var: id,
                relocation,
                name,
                loc,
            });
        }
        Ok(())
    }
}
