//! The verifier: what is well-formed text but not a legal program.
//!
//! * [`verify_module`] looks at module scope: signatures, variables, relocations. It runs after parsing and linking.
//! * [`verify_body`] looks at one body: every operand against the instruction table, the rules of register types,
//!   arguments of calls, labels, state spaces. It runs when a body is parsed, and any later pass can run it again.
//! * [`verify_all`] does both for everything.
//!
//! Register types follow the ISA: sizes must agree (loads, stores and conversions allow wider registers); untyped bits
//! agree with everything of their size, integers with integers, floating types only with themselves. Where the ISA is
//! silent, the vendor's assembler decided: what it accepts must pass here.

mod call;
mod fragment;
mod operand;

use crate::body::{Body, Inst, Operand, Table};
use crate::error::{Error, ErrorKind, Loc};
use crate::id::{BlockId, FuncId, Id};
use crate::isa;
use crate::modifier::{CacheHint, Flag, Mod, Space};
use crate::module::{FuncKind, Linkage, Module, Symbol};
use crate::opcode::Opcode;
use crate::types::Type;

fn invalid(message: String, loc: Loc, near: &str) -> Error {
    Error::new(ErrorKind::Invalid(message.into()), loc, near.as_bytes())
}

/// Verifies module scope.
///
/// # Errors
/// The first violation.
pub fn verify_module(module: &Module) -> Result<(), Error> {
    for func in module.funcs.values() {
        if func.kind == FuncKind::Entry && !func.rets.is_empty() {
            return Err(invalid(
                format!("kernel '{}' returns a value", func.name),
                func.loc,
                &func.name,
            ));
        }
        if func.kind == FuncKind::Entry && func.params.iter().any(|param| param.is_reg) {
            return Err(invalid(
                format!("kernel '{}' has a parameter in a register", func.name),
                func.loc,
                &func.name,
            ));
        }
        if let Some(target) = func.alias_of
            && module
                .funcs
                .get(target)
                .is_none_or(|target| !crate::parse::signature::same_signature(func, target))
        {
            return Err(invalid(
                format!("alias '{}' differs from its function", func.name),
                func.loc,
                &func.name,
            ));
        }
    }
    for var in module.vars.values() {
        if !var.align.is_power_of_two() {
            return Err(invalid(
                format!("alignment of '{}' is not a power of two", var.name),
                var.loc,
                &var.name,
            ));
        }
        if var.managed && var.space != Space::Global {
            return Err(invalid(
                format!("'{}' is managed but not global", var.name),
                var.loc,
                &var.name,
            ));
        }
        verify_initializer(module, var)?;
    }
    Ok(())
}

fn verify_initializer(module: &Module, var: &crate::module::Variable) -> Result<(), Error> {
    let Some(init) = &var.init else { return Ok(()) };
    if var.linkage == Linkage::Extern || init.bytes.len() as u64 > var.size {
        return Err(invalid(
            format!("initialiser of '{}' does not fit", var.name),
            var.loc,
            &var.name,
        ));
    }
    for relocation in &init.relocations {
        let known = match relocation.target {
            Symbol::Func(func) => module.funcs.get(func).is_some(),
            Symbol::Var(id) => module
                .vars
                .get(id)
                .is_some_and(|target| matches!(target.space, Space::Global | Space::Const)),
            Symbol::Local(_) | Symbol::Param(_) | Symbol::Ret(_) => false,
        };
        let end = relocation.offset.checked_add(u64::from(relocation.width));
        if !known || end.is_none_or(|end| end > var.size) {
            let message = format!(
                "the initialiser of '{}' holds the address of something that has none",
                var.name
            );
            return Err(invalid(message, var.loc, &var.name));
        }
    }
    Ok(())
}

/// Verifies module scope and every body, parsing what is not parsed yet.
///
/// # Errors
/// The first violation.
pub fn verify_all(module: &Module) -> Result<(), Error> {
    verify_module(module)?;
    for (id, _) in module.funcs.iter().filter(|(_, func)| func.defined) {
        verify_body(module, id, module.body(id)?)?;
    }
    Ok(())
}

/// Verifies one body.
///
/// # Errors
/// The first violation, with the instruction as the offending text.
pub fn verify_body(module: &Module, func: FuncId, body: &Body) -> Result<(), Error> {
    verify_blocks(body)?;
    let verifier = Verifier { module, func, body };
    for inst in body.insts.values() {
        verifier.inst(inst)?;
    }
    Ok(())
}

/// Blocks cover the instructions in order, and targets exist.
fn verify_blocks(body: &Body) -> Result<(), Error> {
    let broken = |what: &str| invalid(format!("broken body: {what}"), Loc::default(), "");
    let mut next = 0;
    for block in body.blocks.values() {
        if block.insts.0.index() != next || block.insts.1.index() < next {
            return Err(broken("blocks do not follow each other"));
        }
        next = block.insts.1.index();
        if block
            .succs
            .iter()
            .any(|target| body.blocks.get(*target).is_none())
        {
            return Err(broken("a successor does not exist"));
        }
    }
    if next != body.insts.len() || body.blocks.is_empty() {
        return Err(broken("instructions outside blocks"));
    }
    let known = |target: &BlockId| body.blocks.get(*target).is_some();
    if body
        .tables
        .values()
        .any(|table| matches!(table, Table::Branch(targets) if !targets.iter().all(known)))
    {
        return Err(broken("a branch target does not exist"));
    }
    Ok(())
}

/// Looks at the instructions of one body.
struct Verifier<'a> {
    module: &'a Module,
    func: FuncId,
    body: &'a Body,
}

impl Verifier<'_> {
    fn inst(&self, inst: &Inst) -> Result<(), Error> {
        if let Some(guard) = inst.guard {
            let fine = self
                .body
                .regs
                .get(guard.reg)
                .is_some_and(|reg| reg.ty == Type::Pred);
            if !fine {
                return Err(self.invalid(inst, "the guard is not a predicate"));
            }
        }
        match inst.op {
            Opcode::Call => self.call(inst),
            _ => self.operands(inst),
        }
    }

    fn operands(&self, inst: &Inst) -> Result<(), Error> {
        let form = isa::form(inst.form);
        if form.op != inst.op {
            return Err(self.invalid(inst, "broken body: the form is of another instruction"));
        }
        if inst.op == Opcode::Mov && inst.ty(0) != Some(Type::Pred) {
            return self.mov(inst);
        }
        let (fewest, most) = form.operand_count();
        if !(fewest..=most).contains(&inst.operands.len()) {
            let wanted = if fewest == most {
                fewest.to_string()
            } else {
                format!("{fewest} to {most}")
            };
            return Err(self.form_error(
                inst,
                &format!("takes {wanted} operands, has {}", inst.operands.len()),
            ));
        }
        for (n, (operand, spec)) in inst.operands.iter().zip(&form.operands).enumerate() {
            self.operand(inst, n, operand, spec)
                .map_err(|reason| self.operand_error(inst, n, &reason))?;
        }
        self.whole(inst)
    }

    /// Rules that are about more than one operand, or about operands and modifiers together.
    fn whole(&self, inst: &Inst) -> Result<(), Error> {
        let (fewest, most) = isa::form(inst.form).operand_count();
        let all = inst.operands.len() == most;
        match inst.op {
            Opcode::Ld | Opcode::St | Opcode::Ldu | Opcode::Atom | Opcode::Red if fewest < most => {
                let hint = inst.mods.contains(&Mod::Hint(CacheHint::CacheHint));
                if all != hint {
                    return Err(
                        self.form_error(inst, "takes a cache policy with '.L2::cache_hint', and only then")
                    );
                }
            }
            Opcode::Shfl | Opcode::Vote if all != inst.has(Flag::Sync) => {
                return Err(self.form_error(inst, "takes a member mask with '.sync', and only then"));
            }
            _ => {}
        }
        let (Some(ty), n) = (inst.ty(0), inst.vector()) else {
            return Ok(());
        };
        let memory = matches!(inst.op, Opcode::Ld | Opcode::St | Opcode::Ldu);
        if memory && n as u64 * u64::from(ty.bytes()) > 32 {
            return Err(self.form_error(inst, "a vector access is at most 32 bytes"));
        }
        Ok(())
    }

    fn invalid(&self, inst: &Inst, message: &str) -> Error {
        invalid(message.to_owned(), inst.loc, &inst.spelling())
    }

    fn form_error(&self, inst: &Inst, reason: &str) -> Error {
        let kind = ErrorKind::Form {
            opcode: inst.op.as_str(),
            reason: reason.into(),
        };
        Error::new(kind, inst.loc, inst.spelling().as_bytes())
    }

    fn operand_error(&self, inst: &Inst, n: usize, reason: &str) -> Error {
        let kind = ErrorKind::Operand {
            opcode: inst.op.as_str(),
            index: n + 1,
            reason: reason.into(),
        };
        Error::new(
            kind,
            inst.loc,
            crate::print::inst_text(self.module, self.func, self.body, inst).as_bytes(),
        )
    }

    /// The type of a register; the id is checked, since a pass may have made the body.
    fn reg_type(&self, operand: &Operand) -> Option<Type> {
        match operand {
            Operand::Reg(reg) | Operand::Not(reg) => self.body.regs.get(*reg).map(|reg| reg.ty),
            Operand::Part { reg, .. } => self.body.regs.get(*reg).map(|reg| reg.ty),
            _ => None,
        }
    }
}
