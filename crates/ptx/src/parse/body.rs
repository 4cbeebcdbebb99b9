//! Function bodies: declarations, labels, scopes, and the blocks that instructions fall into.

use std::borrow::Cow;

use smallvec::SmallVec;

use super::cursor::Cursor;
use super::scope::{Label, Name, Scopes};
use super::variable;
use crate::body::{Block, Body, DebugLine, Inst, Mods, Operand, Prototype, Reg, Table};
use crate::error::{Error, ErrorKind, Loc};
use crate::id::{BlockId, FuncId, Id, InstId, LocalId, ProtoId, RegId, TableId};
use crate::lexer::Token;
use crate::limits;
use crate::modifier::Space;
use crate::module::{Linkage, Module, Param, Symbol, Unit};
use crate::opcode::Opcode;
use crate::special::Component;
use crate::types::Type;

/// Parses one body.
pub(crate) struct BodyParser<'a> {
    pub(crate) cursor: Cursor<'a>,
    pub(crate) unit: &'a Unit,
    pub(crate) scopes: Scopes<'a>,
    pub(crate) body: Body,
    /// References to labels that are not resolved yet, with the scope they belong to.
    pub(crate) pending: Vec<PendingLabel<'a>>,
    /// Where the pending references of each open scope begin.
    pending_marks: Vec<usize>,
    /// The last instruction ends its block.
    ended: bool,
    module: &'a Module,
    func: FuncId,
}

/// A use of a label.
pub(crate) struct PendingLabel<'a> {
    pub(crate) name: Cow<'a, [u8]>,
    pub(crate) loc: Loc,
    pub(crate) place: LabelPlace,
}

/// Where a label is used.
#[derive(Clone, Copy)]
pub(crate) enum LabelPlace {
    /// An operand of an instruction.
    Operand(InstId, usize),
    /// An entry of a `.branchtargets` list.
    Entry(TableId, usize),
}

/// Parses and verifies the body of `func`.
pub(crate) fn parse_body(module: &Module, func: FuncId) -> Result<Body, Error> {
    let function = &module.funcs[func];
    if !function.defined {
        let message = format!("'{}' has no body here", function.name);
        return Err(Error::new(ErrorKind::Invalid(message.into()), function.loc, b""));
    }
    let unit = &module.units[function.unit];
    let span = &function.span;
    let mut parser = BodyParser {
        cursor: Cursor::new(&unit.text, span.bytes.clone(), span.start)?,
        unit,
        scopes: Scopes::new(span.bytes.len()),
        body: Body::default(),
        pending: Vec::new(),
        pending_marks: vec![0],
        ended: false,
        module,
        func,
    };
    parser.parameters()?;
    parser.new_block("");
    parser.statements()?;
    let body = parser.finish()?;
    crate::verify::verify_body(module, func, &body)?;
    Ok(body)
}

impl<'a> BodyParser<'a> {
    /// Declares the parameters of the function.
    fn parameters(&mut self) -> Result<(), Error> {
        let module: &'a Module = self.module;
        let function = &module.funcs[self.func];
        self.body.param_regs = self.parameter_list(&function.params, Symbol::Param)?;
        self.body.ret_regs = self.parameter_list(&function.rets, Symbol::Ret)?;
        Ok(())
    }

    fn parameter_list(
        &mut self,
        params: &'a [Param],
        symbol: fn(u32) -> Symbol,
    ) -> Result<Vec<Option<RegId>>, Error> {
        let mut regs = Vec::with_capacity(params.len());
        for (n, param) in params.iter().enumerate() {
            let reg = param
                .is_reg
                .then(|| self.new_reg(param.name.as_bytes(), param.ty));
            let value = match reg {
                Some(reg) => Name::Reg(reg),
                None => Name::Symbol(symbol(u32::try_from(n).unwrap_or(u32::MAX))),
            };
            regs.push(reg);
            if !param.name.is_empty() {
                self.declare(param.name.as_bytes(), value, param.loc)?;
            }
        }
        Ok(regs)
    }

    fn declare(&mut self, name: &'a [u8], value: Name, loc: Loc) -> Result<(), Error> {
        self.scopes
            .declare(name, value, loc)
            .map_err(|previous| redeclared(name, loc, previous))
    }

    /// The module that the body belongs to.
    pub(crate) fn module(&self) -> &'a Module {
        self.module
    }

    /// Makes a register.
    pub(crate) fn new_reg(&mut self, name: &[u8], ty: Type) -> RegId {
        let start = u32::try_from(self.body.names.len()).unwrap_or(u32::MAX);
        self.body.names.push_str(&String::from_utf8_lossy(name));
        let end = u32::try_from(self.body.names.len()).unwrap_or(u32::MAX);
        self.body.regs.push(Reg { ty, name: start..end })
    }

    fn statements(&mut self) -> Result<(), Error> {
        loop {
            match self.cursor.token {
                Token::End => break,
                Token::Punct(b';') => self.cursor.advance()?,
                Token::Punct(b'{') => {
                    if self.scopes.enter().is_err() {
                        return Err(self.cursor.limit("nesting of '{ }'", limits::NESTING as u64));
                    }
                    self.pending_marks.push(self.pending.len());
                    self.cursor.advance()?;
                }
                Token::Punct(b'}') => {
                    if self.scopes.depth() == 0 {
                        return Err(self.cursor.syntax("'}' without '{'"));
                    }
                    self.resolve_labels();
                    self.scopes.leave();
                    self.cursor.advance()?;
                }
                Token::Directive(_) => self.directive()?,
                Token::Ident(_) if self.cursor.lexer.colon_follows() => self.label()?,
                _ => self.instruction()?,
            }
        }
        if self.scopes.depth() != 0 {
            return Err(self.cursor.syntax("expected '}'"));
        }
        Ok(())
    }

    fn directive(&mut self) -> Result<(), Error> {
        let Token::Directive(name) = self.cursor.token else {
            return Err(self.cursor.syntax("expected a directive"));
        };
        match name {
            b"reg" => self.registers(),
            b"loc" => {
                let (file, line, column) = skip_loc(&mut self.cursor)?;
                let inst = self.body.insts.next_id();
                self.body.lines.push(DebugLine {
                    inst,
                    file,
                    line,
                    column,
                });
                Ok(())
            }
            b"pragma" => {
                let inst = self.body.insts.next_id();
                let strings = super::pragma(&mut self.cursor)?;
                self.body
                    .pragmas
                    .extend(strings.into_iter().map(|text| (inst, text)));
                Ok(())
            }
            b"section" => super::section(&mut self.cursor),
            _ if variable::space_named(name).is_some() => self.variables(),
            _ => Err(self.cursor.error(ErrorKind::Unknown { what: "directive" })),
        }
    }

    /// `.reg .b32 %a, %r<10>;` and `.reg .v4 .f32 %v;`
    fn registers(&mut self) -> Result<(), Error> {
        self.cursor.advance()?;
        let vector = self.cursor.vector_width()?;
        let Some(ty) = self.cursor.eat_type()? else {
            return Err(self.cursor.syntax("expected the type of the register"));
        };
        if !ty.is_register() {
            let message = format!("a register cannot be of type .{ty}");
            return Err(self.cursor.error(ErrorKind::Invalid(message.into())));
        }
        loop {
            let loc = self.cursor.loc;
            let name = self.cursor.ident("a register name")?;
            if self.cursor.eat(b'<')? {
                self.register_range(name, ty, vector, loc)?;
            } else if vector == 1 {
                let reg = self.new_reg(name, ty);
                self.declare(name, Name::Reg(reg), loc)?;
            } else {
                let first = self.body.regs.next_id();
                for component in Component::ALL.iter().take(usize::from(vector)) {
                    let full = [name, b".", component.as_str().as_bytes()].concat();
                    self.new_reg(&full, ty);
                }
                self.declare(name, Name::Vector(first, vector), loc)?;
            }
            if !self.cursor.eat(b',')? {
                return self.cursor.expect(b';');
            }
        }
    }

    fn register_range(&mut self, prefix: &'a [u8], ty: Type, vector: u8, loc: Loc) -> Result<(), Error> {
        if vector != 1 {
            return Err(self.cursor.syntax("a range of vector registers is not possible"));
        }
        let count = self.cursor.integer()?;
        if count > limits::REGISTER_RANGE {
            return Err(self.cursor.limit("number of registers", limits::REGISTER_RANGE));
        }
        self.cursor.expect(b'>')?;
        self.scopes
            .declare_range(prefix, ty, count, loc)
            .map_err(|previous| redeclared(prefix, loc, previous))
    }

    /// Variables declared in the body.
    fn variables(&mut self) -> Result<(), Error> {
        let head = variable::head(&mut self.cursor)?;
        let unit = self.module.funcs[self.func].unit;
        loop {
            let here = self.cursor.mark();
            let (name, variable) = variable::declarator(&mut self.cursor, &head, Linkage::Static, unit)?;
            if self.cursor.at(b'=') {
                return Err(self
                    .cursor
                    .syntax("variables inside a function cannot be initialised"));
            }
            if variable.dims.first() == Some(&0)
                || !matches!(head.space, Space::Local | Space::Shared | Space::Param)
            {
                let message = format!(".{} variables of this kind belong outside functions", head.space);
                return Err(self.cursor.error_at(here, ErrorKind::Invalid(message.into())));
            }
            let loc = variable.loc;
            let id: LocalId = self.body.vars.push(variable);
            self.declare(name, Name::Symbol(Symbol::Local(id)), loc)?;
            if !self.cursor.eat(b',')? {
                return self.cursor.expect(b';');
            }
        }
    }

    /// `name:`, or `name: .branchtargets ...;` and the like.
    fn label(&mut self) -> Result<(), Error> {
        let loc = self.cursor.loc;
        let name = self.cursor.ident("a label")?;
        self.cursor.expect(b':')?;
        let label = match self.cursor.token {
            Token::Directive(b"branchtargets") => Label::Table(self.branch_targets()?),
            Token::Directive(b"calltargets") => Label::Table(self.call_targets()?),
            Token::Directive(b"callprototype") => Label::Proto(self.prototype(name)?),
            _ => Label::Block(self.new_block(&String::from_utf8_lossy(name))),
        };
        self.scopes
            .declare_label(name, label, loc)
            .map_err(|previous| redeclared(name, loc, previous))
    }

    fn branch_targets(&mut self) -> Result<TableId, Error> {
        self.cursor.advance()?;
        let table = self.body.tables.next_id();
        let mut count = 0;
        loop {
            let loc = self.cursor.loc;
            let name = self.cursor.ident("a label")?;
            if self.cursor.eat(b'<')? {
                let number = self.cursor.integer()?.min(limits::OPERANDS as u64 + 1);
                self.cursor.expect(b'>')?;
                for n in 0..number {
                    let full = [name, n.to_string().as_bytes()].concat();
                    self.table_entry(table, &mut count, Cow::Owned(full), loc)?;
                }
            } else {
                self.table_entry(table, &mut count, Cow::Borrowed(name), loc)?;
            }
            if !self.cursor.eat(b',')? {
                break;
            }
        }
        self.cursor.expect(b';')?;
        // Resolved when the scope of the labels ends.
        Ok(self
            .body
            .tables
            .push(Table::Branch(vec![BlockId::from_u32(0); count])))
    }

    fn table_entry(
        &mut self,
        table: TableId,
        count: &mut usize,
        name: Cow<'a, [u8]>,
        loc: Loc,
    ) -> Result<(), Error> {
        if *count >= limits::OPERANDS * 16 {
            return Err(self
                .cursor
                .limit("number of branch targets", limits::OPERANDS as u64 * 16));
        }
        self.pending.push(PendingLabel {
            name,
            loc,
            place: LabelPlace::Entry(table, *count),
        });
        *count += 1;
        Ok(())
    }

    fn call_targets(&mut self) -> Result<TableId, Error> {
        self.cursor.advance()?;
        let mut targets = Vec::new();
        loop {
            let here = self.cursor.mark();
            let name = self.cursor.ident("a function")?;
            match self.unit.scope.get(name) {
                Some(Symbol::Func(func)) => targets.push(*func),
                _ => return Err(self.cursor.undeclared_at(here, name)),
            }
            if !self.cursor.eat(b',')? {
                break;
            }
        }
        self.cursor.expect(b';')?;
        Ok(self.body.tables.push(Table::Call(targets)))
    }

    fn prototype(&mut self, name: &[u8]) -> Result<ProtoId, Error> {
        use super::signature::parameters;
        self.cursor.advance()?;
        let rets = if self.cursor.at(b'(') {
            parameters(&mut self.cursor)?
        } else {
            Vec::new()
        };
        self.cursor.ident("'_'")?;
        let params = if self.cursor.at(b'(') {
            parameters(&mut self.cursor)?
        } else {
            Vec::new()
        };
        let mut proto = Prototype {
            name: String::from_utf8_lossy(name).into(),
            rets,
            params,
            noreturn: false,
            abi_preserve: None,
            abi_preserve_control: None,
        };
        loop {
            if self.cursor.eat_directive(b"noreturn")? {
                proto.noreturn = true;
            } else if self.cursor.eat_directive(b"abi_preserve")? {
                proto.abi_preserve = Some(self.cursor.integer32()?);
            } else if self.cursor.eat_directive(b"abi_preserve_control")? {
                proto.abi_preserve_control = Some(self.cursor.integer32()?);
            } else {
                break;
            }
        }
        self.cursor.expect(b';')?;
        Ok(self.body.protos.push(proto))
    }

    /// Begins a block here, or gives the one that begins here already.
    fn new_block(&mut self, label: &str) -> BlockId {
        self.ended = false;
        let next = self.body.insts.next_id();
        if let Some(last) = self.body.blocks.ids().next_back() {
            let block = &mut self.body.blocks[last];
            if block.insts.0 == next {
                if block.label.is_empty() {
                    block.label = label.into();
                }
                return last;
            }
            block.insts.1 = next;
        }
        self.body.blocks.push(Block {
            label: label.into(),
            insts: (next, next),
            succs: SmallVec::new(),
        })
    }

    /// Appends an instruction.
    pub(crate) fn push_inst(&mut self, inst: Inst) {
        if self.ended {
            self.new_block("");
        }
        self.ended = inst.op.is_terminator();
        self.body.insts.push(inst);
    }

    /// The id of the instruction being parsed.
    pub(crate) fn current_inst(&self) -> InstId {
        self.body.insts.next_id()
    }

    /// Resolves references to labels of the scope that ends; the others wait for the scope around it.
    fn resolve_labels(&mut self) {
        let mark = self.pending_marks.pop().unwrap_or(0);
        let mut kept = Vec::new();
        for pending in self.pending.split_off(mark.min(self.pending.len())) {
            match self.scopes.own_label(&pending.name) {
                Some(label) => resolve(&mut self.body, pending.place, label),
                None => kept.push(pending),
            }
        }
        self.pending.append(&mut kept);
    }

    /// Ends the body: labels, implicit return, control flow.
    fn finish(mut self) -> Result<Body, Error> {
        self.resolve_labels();
        if let Some(first) = self.pending.first() {
            let name = String::from_utf8_lossy(&first.name).into();
            return Err(Error::new(ErrorKind::Undeclared(name), first.loc, &first.name));
        }
        self.implicit_return();
        let end = self.body.insts.next_id();
        if let Some(last) = self.body.blocks.ids().next_back() {
            self.body.blocks[last].insts.1 = end;
        }
        connect(&mut self.body);
        Ok(self.body)
    }

    /// Where control could run off the end, a `ret` is added: so no block falls through to nothing.
    fn implicit_return(&mut self) {
        let last = self.body.insts.ids().next_back();
        let closed = self.ended && last.is_some_and(|last| self.body.insts[last].guard.is_none());
        if !closed {
            let loc = self.cursor.loc;
            let form = crate::isa::TABLE
                .rows(Opcode::Ret)
                .first()
                .copied()
                .unwrap_or_default();
            self.push_inst(Inst {
                op: Opcode::Ret,
                mods: Mods::new(),
                guard: None,
                operands: SmallVec::new(),
                loc,
                form,
            });
        }
    }
}

fn redeclared(name: &[u8], loc: Loc, previous: Loc) -> Error {
    Error::new(
        ErrorKind::Redeclared {
            name: String::from_utf8_lossy(name).into(),
            previous,
        },
        loc,
        name,
    )
}

/// Puts the target of a label where it is used. Whether it is of the right kind there, the verifier checks.
fn resolve(body: &mut Body, place: LabelPlace, label: Label) {
    match place {
        LabelPlace::Operand(inst, operand) => {
            let target = match label {
                Label::Block(block) => Operand::Label(block),
                Label::Table(table) => Operand::Table(table),
                Label::Proto(proto) => Operand::Proto(proto),
            };
            if let Some(slot) = body
                .insts
                .get_mut(inst)
                .and_then(|inst| inst.operands.get_mut(operand))
            {
                *slot = target;
            }
        }
        LabelPlace::Entry(table, entry) => {
            if let (Some(Table::Branch(targets)), Label::Block(block)) = (body.tables.get_mut(table), label)
                && let Some(slot) = targets.get_mut(entry)
            {
                *slot = block;
            }
        }
    }
}

/// Fills in the successors of every block.
fn connect(body: &mut Body) {
    for id in body.blocks.ids().collect::<Vec<_>>() {
        let (first, end) = body.blocks[id].insts;
        let last = (first != end)
            .then(|| body.insts.get(InstId::from_index(end.index() - 1)))
            .flatten();
        let mut succs: SmallVec<[BlockId; 2]> = SmallVec::new();
        let mut falls = true;
        if let Some(inst) = last.filter(|inst| inst.op.is_terminator()) {
            falls = inst.guard.is_some();
            for operand in &inst.operands {
                match operand {
                    Operand::Label(target) => succs.push(*target),
                    Operand::Table(table) => {
                        if let Some(Table::Branch(targets)) = body.tables.get(*table) {
                            succs.extend_from_slice(targets);
                        }
                    }
                    _ => {}
                }
            }
        }
        let next = BlockId::from_index(id.index() + 1);
        if falls && next.index() < body.blocks.len() {
            succs.retain(|target| *target != next);
            succs.push(next);
        }
        let mut seen = std::collections::HashSet::<BlockId, foldhash::fast::RandomState>::default();
        succs.retain(|target| seen.insert(*target));
        body.blocks[id].succs = succs;
    }
}

/// `.loc file line column {, function_name label {+ n}, inlined_at file line column}`: file, line, column.
pub(crate) fn skip_loc(cursor: &mut Cursor<'_>) -> Result<(u32, u32, u32), Error> {
    cursor.advance()?;
    let place = (cursor.integer32()?, cursor.integer32()?, cursor.integer32()?);
    while cursor.eat(b',')? {
        match cursor.ident("'function_name' or 'inlined_at'")? {
            b"function_name" => {
                cursor.ident("a label")?;
                super::expr::offset(cursor)?;
            }
            b"inlined_at" => {
                for _ in 0..3 {
                    cursor.integer32()?;
                }
            }
            _ => return Err(cursor.syntax("expected 'function_name' or 'inlined_at'")),
        }
    }
    Ok(place)
}
