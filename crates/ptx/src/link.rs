//! Linking: several modules into one.
//!
//! Names that other modules see are matched: a definition answers every declaration, a weak one gives way to a strong
//! one, of common variables the largest stays. Private names stay apart. Bodies are not touched: each is parsed later
//! with the names of its own text, which now point into the linked module.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::body::{Address, Body, Operand};
use crate::error::{Error, Loc};
use crate::id::{FuncId, Id, IdVec, UnitId, VarId};
use crate::modifier::Space;
use crate::module::{Function, Linkage, Module, SourceFile, Symbol, Unit, Variable};
use crate::parse::signature::same_signature;

/// Functions that a device carries out itself: calls of them need no definition.
pub const SUPPLIED: &[&str] = &[
    "vprintf",
    "__assertfail",
    "malloc",
    "free",
    "cudaCGGetIntrinsicHandle",
    "cudaCGSynchronize",
];

/// Functions of the CUDA device runtime that a device adds when it loads a module that calls them.
pub const DEVICE_RUNTIME: &[&str] = &["cudaGraphSetConditional"];

/// Where something is: which of the linked modules, and where in its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Position in the list given to [`link`].
    pub module: usize,
    /// Line and column.
    pub loc: Loc,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "module {}, {}", self.module + 1, self.loc)
    }
}

/// Why modules do not link.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// Two strong definitions of one name.
    #[error("'{name}' is defined twice: {first}; {second}")]
    Duplicate {
        /// The name.
        name: Box<str>,
        /// The first definition.
        first: Place,
        /// The second definition.
        second: Place,
    },
    /// A name is used and nothing defines it.
    #[error("'{name}' is used but not defined; declared in {place}")]
    Undefined {
        /// The name.
        name: Box<str>,
        /// Its declaration.
        place: Place,
    },
    /// Two modules disagree about what a name is.
    #[error("'{name}' differs in {what}: {first}; {second}")]
    Mismatch {
        /// The name.
        name: Box<str>,
        /// In what.
        what: &'static str,
        /// One declaration.
        first: Place,
        /// The other.
        second: Place,
    },
    /// 32-bit and 64-bit modules do not mix.
    #[error("module {0} has another address size than module 1")]
    AddressSize(usize),
    /// Nothing was given to link.
    #[error("no module to link")]
    Empty,
    /// A body could not be parsed while looking for uses of an undefined name.
    #[error(transparent)]
    Body(#[from] Error),
}

/// Links modules. `supplied` are the names that the device defines (`vprintf`, `malloc`, ...) and that may stay undefined.
/// Also useful for a single module, to find what it leaves undefined.
///
/// # Errors
/// [`LinkError`] names the symbol and the places.
pub fn link(modules: Vec<Module>, supplied: &[&str]) -> Result<Module, LinkError> {
    let mut linker = Linker::default();
    for (n, module) in modules.into_iter().enumerate() {
        linker.add(n, module)?;
    }
    let Linker { mut out, places, .. } = linker;
    if out.units.is_empty() {
        return Err(LinkError::Empty);
    }
    out.bodies = out.funcs.ids().map(|_| OnceLock::new()).collect();
    check_undefined(&out, &places, supplied)?;
    Ok(out)
}

#[derive(Default)]
struct Places {
    vars: Vec<Place>,
    funcs: Vec<Place>,
}

#[derive(Default)]
struct Linker {
    out: Module,
    /// Names that modules share.
    shared: HashMap<Box<str>, Symbol>,
    places: Places,
}

/// New ids by old ones.
struct Renumbering {
    vars: Vec<VarId>,
    funcs: Vec<FuncId>,
}

impl Renumbering {
    fn symbol(&self, symbol: Symbol) -> Symbol {
        match symbol {
            Symbol::Var(id) => Symbol::Var(self.vars.get(id.index()).copied().unwrap_or(id)),
            Symbol::Func(id) => Symbol::Func(self.funcs.get(id.index()).copied().unwrap_or(id)),
            other => other,
        }
    }
}

impl Linker {
    fn add(&mut self, n: usize, module: Module) -> Result<(), LinkError> {
        self.merge_header(n, &module)?;
        let first_unit = self.out.units.len();
        let unit = |id: UnitId| UnitId::from_index(first_unit + id.index());
        let mut map = Renumbering {
            vars: Vec::new(),
            funcs: Vec::new(),
        };
        let (vars, funcs) = (module.vars, module.funcs);
        let mut own_vars = Vec::new();
        for var in vars.values() {
            let moved = Variable {
                unit: unit(var.unit),
                ..var.clone()
            };
            let (id, taken) = self.add_variable(
                moved,
                Place {
                    module: n,
                    loc: var.loc,
                },
            )?;
            map.vars.push(id);
            own_vars.extend(taken.then_some(id));
        }
        let mut own_funcs = Vec::new();
        for func in funcs.values() {
            let moved = Function {
                unit: unit(func.unit),
                ..func.clone()
            };
            let (id, taken) = self.add_function(
                moved,
                Place {
                    module: n,
                    loc: func.loc,
                },
            )?;
            map.funcs.push(id);
            own_funcs.extend(taken.then_some(id));
        }
        self.renumber(&map, &own_vars, &own_funcs);
        for old in module.units.values() {
            let scope = old
                .scope
                .iter()
                .map(|(name, symbol)| (name.clone(), map.symbol(*symbol)))
                .collect();
            self.out.units.push(Unit {
                text: Arc::clone(&old.text),
                scope: Arc::new(scope),
            });
        }
        let files = module.files.into_iter().map(|file| SourceFile {
            unit: unit(file.unit),
            ..file
        });
        self.out.files.extend(files);
        self.out.pragmas.extend(module.pragmas);
        Ok(())
    }

    fn merge_header(&mut self, n: usize, module: &Module) -> Result<(), LinkError> {
        let out = &mut self.out;
        if out.units.is_empty() {
            out.address_bits = module.address_bits;
        } else if out.address_bits != module.address_bits {
            return Err(LinkError::AddressSize(n + 1));
        }
        out.version = out.version.max(module.version);
        if module.target.sm >= out.target.sm {
            out.target.sm = module.target.sm;
            out.target.variant = module.target.variant;
        }
        out.target.debug |= module.target.debug;
        out.target.texmode_independent |= module.target.texmode_independent;
        out.target.map_f64_to_f32 |= module.target.map_f64_to_f32;
        Ok(())
    }

    /// Points what was taken from the module added last to the new ids.
    fn renumber(&mut self, map: &Renumbering, vars: &[VarId], funcs: &[FuncId]) {
        for id in vars {
            let relocations = self.out.vars[*id]
                .init
                .iter_mut()
                .flat_map(|init| &mut init.relocations);
            for relocation in relocations {
                relocation.target = map.symbol(relocation.target);
            }
        }
        for id in funcs {
            let alias = &mut self.out.funcs[*id].alias_of;
            *alias = alias.and_then(|old| map.funcs.get(old.index()).copied());
        }
    }

    /// Adds a variable: its id, and whether the given one is now behind it.
    fn add_variable(&mut self, var: Variable, place: Place) -> Result<(VarId, bool), LinkError> {
        let known = match var.linkage {
            Linkage::Static => None,
            _ => self.shared.get(&var.name).copied(),
        };
        let Some(known) = known else {
            let shared = (var.linkage != Linkage::Static).then(|| var.name.clone());
            let id = self.out.vars.push(var);
            self.places.vars.push(place);
            if let Some(name) = shared {
                self.shared.insert(name, Symbol::Var(id));
            }
            return Ok((id, true));
        };
        let Symbol::Var(id) = known else {
            return Err(self.mismatch(&var.name, "kind", known, place));
        };
        let present = &mut self.out.vars[id];
        if present.space != var.space {
            return Err(self.mismatch(&var.name, "state space", known, place));
        }
        let align = present.align.max(var.align);
        let replace = match (present.linkage, var.linkage) {
            (_, Linkage::Extern) => false,
            (Linkage::Extern, _) => true,
            (Linkage::Common, Linkage::Common) => var.size > present.size,
            (Linkage::Visible, Linkage::Visible) => {
                let first = self.places.vars[id.index()];
                return Err(LinkError::Duplicate {
                    name: var.name,
                    first,
                    second: place,
                });
            }
            (Linkage::Weak | Linkage::Common, Linkage::Visible) | (Linkage::Common, Linkage::Weak) => true,
            _ => false,
        };
        if replace {
            *present = var;
            self.places.vars[id.index()] = place;
        }
        present.align = align;
        Ok((id, replace))
    }

    /// Adds a function: its id, and whether the given one is now behind it.
    fn add_function(&mut self, mut func: Function, place: Place) -> Result<(FuncId, bool), LinkError> {
        let exists = func.defined || func.alias_of.is_some();
        // A declaration without linkage and without a body means a function of elsewhere.
        let private = func.linkage == Linkage::Static && exists;
        let known = if private {
            None
        } else {
            self.shared.get(&func.name).copied()
        };
        let Some(known) = known else {
            let shared = (!private).then(|| func.name.clone());
            let id = self.out.funcs.push(func);
            self.places.funcs.push(place);
            if let Some(name) = shared {
                self.shared.insert(name, Symbol::Func(id));
            }
            return Ok((id, true));
        };
        let Symbol::Func(id) = known else {
            return Err(self.mismatch(&func.name, "kind", known, place));
        };
        let present = &mut self.out.funcs[id];
        agree_on_results(present, &mut func);
        if present.kind != func.kind || !same_signature(present, &func) {
            return Err(self.mismatch(&func.name, "parameters", known, place));
        }
        let present_exists = present.defined || present.alias_of.is_some();
        let replace = match (present_exists, exists) {
            (_, false) => false,
            (false, true) => true,
            (true, true) => match (present.linkage, func.linkage) {
                (Linkage::Weak, Linkage::Weak) => false,
                (Linkage::Weak, _) => true,
                (_, Linkage::Weak) => false,
                _ => {
                    let first = self.places.funcs[id.index()];
                    return Err(LinkError::Duplicate {
                        name: func.name,
                        first,
                        second: place,
                    });
                }
            },
        };
        if replace {
            *present = func;
            self.places.funcs[id.index()] = place;
        }
        Ok((id, replace))
    }

    fn mismatch(&self, name: &str, what: &'static str, known: Symbol, second: Place) -> LinkError {
        let first = match known {
            Symbol::Var(id) => self.places.vars.get(id.index()).copied(),
            Symbol::Func(id) => self.places.funcs.get(id.index()).copied(),
            Symbol::Local(_) | Symbol::Param(_) | Symbol::Ret(_) => None,
        };
        LinkError::Mismatch {
            name: name.into(),
            what,
            first: first.unwrap_or(second),
            second,
        }
    }
}

/// Fails when something undefined is used. Looks into bodies only when there is a suspect.
fn check_undefined(module: &Module, places: &Places, supplied: &[&str]) -> Result<(), LinkError> {
    let mut suspects: Vec<(Symbol, Box<str>, Place)> = Vec::new();
    for ((id, func), place) in module.funcs.iter().zip(&places.funcs) {
        if !func.defined && func.alias_of.is_none() && !supplied.contains(&&*func.name) {
            suspects.push((Symbol::Func(id), func.name.clone(), *place));
        }
    }
    for ((id, var), place) in module.vars.iter().zip(&places.vars) {
        // An extern array in shared memory is the dynamic part, which the launch supplies.
        let dynamic = var.space == Space::Shared && var.size == 0;
        if var.linkage == Linkage::Extern && !dynamic && !supplied.contains(&&*var.name) {
            suspects.push((Symbol::Var(id), var.name.clone(), *place));
        }
    }
    if suspects.is_empty() {
        return Ok(());
    }
    let relocations = module
        .vars
        .values()
        .filter_map(|var| var.init.as_ref())
        .flat_map(|init| &init.relocations);
    let mut used: Vec<Symbol> = relocations.map(|relocation| relocation.target).collect();
    for (id, _) in module.funcs.iter().filter(|(_, func)| func.defined) {
        uses(module.body(id)?, &mut used);
    }
    let used: std::collections::HashSet<Symbol> = used.into_iter().collect();
    match suspects.into_iter().find(|(symbol, ..)| used.contains(symbol)) {
        Some((_, name, place)) => Err(LinkError::Undefined { name, place }),
        None => Ok(()),
    }
}

/// Collects the module-scope symbols that a body mentions.
fn uses(body: &Body, out: &mut Vec<Symbol>) {
    fn visit(operand: &Operand, out: &mut Vec<Symbol>) {
        match operand {
            Operand::Sym { symbol, .. } | Operand::Mem(Address::Sym { symbol, .. }) => {
                if matches!(symbol, Symbol::Var(_) | Symbol::Func(_)) {
                    out.push(*symbol);
                }
            }
            Operand::Vec(items) | Operand::List(items) | Operand::Bracket(items) => {
                items.iter().for_each(|item| visit(item, out));
            }
            Operand::Pair(pair) => {
                visit(&pair.0, out);
                visit(&pair.1, out);
            }
            _ => {}
        }
    }
    body.insts
        .values()
        .flat_map(|inst| &inst.operands)
        .for_each(|operand| visit(operand, out));
    for table in body.tables.values() {
        if let crate::body::Table::Call(targets) = table {
            out.extend(targets.iter().map(|func| Symbol::Func(*func)));
        }
    }
}

impl Module {
    /// Forgets parsed bodies, to give back their memory; they are parsed again when asked for.
    pub fn forget_bodies(&mut self) {
        let fresh: IdVec<FuncId, _> = self.funcs.ids().map(|_| OnceLock::new()).collect();
        self.bodies = fresh;
    }
}
/// A caller may declare a result that the function does not give: C's calling convention allows it as long as nobody looks at the
/// result, and a linker of machine code does not see it. The function then gives that result, and leaves it unwritten.
fn agree_on_results(present: &mut Function, added: &mut Function) {
    let exists = |func: &Function| func.defined || func.alias_of.is_some();
    if !exists(present) && exists(added) && added.rets.is_empty() {
        added.rets.clone_from(&present.rets);
    } else if exists(present) && !exists(added) && present.rets.is_empty() {
        present.rets.clone_from(&added.rets);
    }
}
