//! Bodies and instructions as text.

use std::collections::HashSet;

use super::put;
use crate::body::{Address, Body, Inst, Operand, Part, Table};
use crate::id::{BlockId, FuncId, Id, InstId, RegId};
use crate::module::{Module, Symbol};

/// How registers, labels and variables of the body are called.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Names {
    /// As written: for error messages.
    Original,
    /// Unique.
    Unique,
}

struct BodyPrinter<'a> {
    module: &'a Module,
    func: FuncId,
    body: &'a Body,
    names: Names,
    /// Names of the body's variables, unique.
    locals: Vec<String>,
}

/// An instruction as written, for error messages.
pub(crate) fn inst_text(module: &Module, func: FuncId, body: &Body, inst: &Inst) -> String {
    let locals = body.vars.values().map(|var| var.name.to_string()).collect();
    let printer = BodyPrinter {
        module,
        func,
        body,
        names: Names::Original,
        locals,
    };
    let mut out = String::new();
    printer.inst(&mut out, inst);
    out
}

/// The body of a function, with its braces.
#[must_use]
pub fn print_body(module: &Module, func: FuncId, body: &Body) -> String {
    let mut used = HashSet::new();
    let function = &module.funcs[func];
    used.extend(
        function
            .params
            .iter()
            .chain(&function.rets)
            .map(|param| param.name.to_string()),
    );
    let locals = body.vars.iter().map(|(id, var)| {
        let name = var.name.to_string();
        if used.insert(name.clone()) {
            name
        } else {
            format!("$local{}", id.index())
        }
    });
    let locals = locals.collect();
    let printer = BodyPrinter {
        module,
        func,
        body,
        names: Names::Unique,
        locals,
    };
    let mut out = String::new();
    printer.whole(&mut out);
    out
}

impl BodyPrinter<'_> {
    fn whole(&self, out: &mut String) {
        out.push_str("{\n");
        let params = self
            .body
            .param_regs
            .iter()
            .chain(&self.body.ret_regs)
            .flatten()
            .collect::<HashSet<_>>();
        for (id, reg) in self.body.regs.iter().filter(|(id, _)| !params.contains(id)) {
            put(out, format_args!("\t.reg .{} {};\n", reg.ty, self.reg(id)));
        }
        for (var, name) in self.body.vars.values().zip(&self.locals) {
            super::module::variable(out, self.module, var, name);
        }
        for (n, table) in self.body.tables.values().enumerate() {
            self.table(out, n, table);
        }
        for (n, proto) in self.body.protos.values().enumerate() {
            put(out, format_args!("$P{n}: .callprototype "));
            if !proto.rets.is_empty() {
                super::params(out, &proto.rets);
            }
            out.push_str(" _ ");
            super::params(out, &proto.params);
            let tuning = crate::module::Tuning {
                noreturn: proto.noreturn,
                abi_preserve: proto.abi_preserve,
                abi_preserve_control: proto.abi_preserve_control,
                ..Default::default()
            };
            super::tuning(out, &tuning);
            out.push_str(";\n");
        }
        for id in self.body.blocks.ids() {
            self.block(out, id);
        }
        out.push_str("}\n");
    }

    fn table(&self, out: &mut String, n: usize, table: &Table) {
        let (directive, items): (_, Vec<String>) = match table {
            Table::Branch(targets) => (
                "branchtargets",
                targets.iter().map(|target| label(*target)).collect(),
            ),
            Table::Call(targets) => (
                "calltargets",
                targets
                    .iter()
                    .map(|func| self.symbol(Symbol::Func(*func)))
                    .collect(),
            ),
        };
        put(out, format_args!("$T{n}: .{directive} {};\n", items.join(", ")));
    }

    fn block(&self, out: &mut String, id: BlockId) {
        put(out, format_args!("{}:\n", label(id)));
        for (inst_id, inst) in self.body.block_insts(id) {
            self.notes(out, inst_id);
            out.push('\t');
            self.inst(out, inst);
            out.push_str(";\n");
        }
    }

    /// `.loc` and `.pragma` before an instruction.
    fn notes(&self, out: &mut String, id: InstId) {
        let first = self.body.lines.partition_point(|line| line.inst < id);
        for line in self
            .body
            .lines
            .iter()
            .skip(first)
            .take_while(|line| line.inst == id)
        {
            put(
                out,
                format_args!("\t.loc {} {} {}\n", line.file, line.line, line.column),
            );
        }
        let first = self.body.pragmas.partition_point(|(at, _)| *at < id);
        for (_, text) in self
            .body
            .pragmas
            .iter()
            .skip(first)
            .take_while(|(at, _)| *at == id)
        {
            put(out, format_args!("\t.pragma \"{text}\";\n"));
        }
    }

    fn inst(&self, out: &mut String, inst: &Inst) {
        if let Some(guard) = inst.guard {
            put(
                out,
                format_args!(
                    "@{}{} ",
                    if guard.negated { "!" } else { "" },
                    self.reg(guard.reg)
                ),
            );
        }
        out.push_str(&inst.spelling());
        let mut first = true;
        for operand in &inst.operands {
            // An empty list of a call is not written.
            if matches!(operand, Operand::List(items) if items.is_empty()) {
                continue;
            }
            out.push_str(if first { " " } else { ", " });
            first = false;
            self.operand(out, operand);
        }
    }

    fn operand(&self, out: &mut String, operand: &Operand) {
        match operand {
            Operand::Reg(reg) => out.push_str(&self.reg(*reg)),
            Operand::Not(reg) => put(out, format_args!("!{}", self.reg(*reg))),
            Operand::Int(value) => put(out, format_args!("{value}")),
            Operand::F32(bits) => put(out, format_args!("0f{bits:08X}")),
            Operand::F64(bits) => put(out, format_args!("0d{bits:016X}")),
            Operand::Sym { symbol, offset } => {
                out.push_str(&self.symbol(*symbol));
                offset_text(out, *offset);
            }
            Operand::Mem(address) => {
                out.push('[');
                self.address(out, *address);
                out.push(']');
            }
            Operand::Vec(items) => self.list(out, '{', items, '}'),
            Operand::List(items) => self.list(out, '(', items, ')'),
            Operand::Bracket(items) => self.bracket(out, items),
            Operand::Pair(pair) => {
                self.operand(out, &pair.0);
                out.push('|');
                self.operand(out, &pair.1);
            }
            Operand::Special(special) => put(out, format_args!("{special}")),
            Operand::Label(block) => match self.names {
                Names::Original => {
                    out.push_str(self.body.blocks.get(*block).map_or("?", |block| &block.label));
                }
                Names::Unique => out.push_str(&label(*block)),
            },
            Operand::Table(table) => put(out, format_args!("$T{}", table.index())),
            Operand::Proto(proto) => put(out, format_args!("$P{}", proto.index())),
            Operand::Part { reg, part, negated } => {
                put(
                    out,
                    format_args!("{}{}", if *negated { "-" } else { "" }, self.reg(*reg)),
                );
                if let Some(part) = part {
                    part_text(out, *part);
                }
            }
            Operand::Sink => out.push('_'),
        }
    }

    fn list(&self, out: &mut String, open: char, items: &[Operand], close: char) {
        out.push(open);
        for (n, item) in items.iter().enumerate() {
            if n > 0 {
                out.push_str(", ");
            }
            self.operand(out, item);
        }
        out.push(close);
    }

    fn bracket(&self, out: &mut String, items: &[Operand]) {
        out.push('[');
        for (n, item) in items.iter().enumerate() {
            if n > 0 {
                out.push_str(", ");
            }
            match item {
                Operand::Mem(address) => self.address(out, *address),
                other => self.operand(out, other),
            }
        }
        out.push(']');
    }

    fn address(&self, out: &mut String, address: Address) {
        match address {
            Address::Reg { base, offset } => {
                out.push_str(&self.reg(base));
                offset_text(out, offset);
            }
            Address::Sym { symbol, offset } => {
                out.push_str(&self.symbol(symbol));
                offset_text(out, offset);
            }
            Address::Abs(value) => put(out, format_args!("{value}")),
        }
    }

    fn reg(&self, reg: RegId) -> String {
        let in_signature = self
            .body
            .param_regs
            .iter()
            .chain(&self.body.ret_regs)
            .flatten()
            .any(|param| *param == reg);
        if self.names == Names::Original || in_signature {
            return self
                .body
                .regs
                .get(reg)
                .map_or_else(|| "?".to_owned(), |_| self.body.reg_name(reg).to_owned());
        }
        format!("%v{}", reg.index())
    }

    fn symbol(&self, symbol: Symbol) -> String {
        let function = self.module.funcs.get(self.func);
        let param = |list: Option<&Vec<crate::module::Param>>, n: u32| {
            list.and_then(|list| list.get(n as usize))
                .map(|param| param.name.to_string())
        };
        let name = match symbol {
            Symbol::Var(id) => self
                .module
                .vars
                .get(id)
                .map(|_| super::module::var_name(self.module, id)),
            Symbol::Func(id) => self
                .module
                .funcs
                .get(id)
                .map(|_| super::module::func_name(self.module, id)),
            Symbol::Local(id) => self.locals.get(id.index()).cloned(),
            Symbol::Param(n) => param(function.map(|function| &function.params), n),
            Symbol::Ret(n) => param(function.map(|function| &function.rets), n),
        };
        name.unwrap_or_else(|| "?".to_owned())
    }
}

fn label(block: BlockId) -> String {
    format!("$L{}", block.index())
}

fn offset_text(out: &mut String, offset: i32) {
    if offset != 0 {
        put(out, format_args!("{offset:+}"));
    }
}

fn part_text(out: &mut String, part: Part) {
    match part {
        Part::Byte(n) => put(out, format_args!(".b{n}")),
        Part::Half(n) => put(out, format_args!(".h{n}")),
        Part::Select { lanes, count, halves } => {
            out.push_str(if halves { ".h" } else { ".b" });
            for lane in lanes.iter().take(usize::from(count)) {
                put(out, format_args!("{lane}"));
            }
        }
    }
}
