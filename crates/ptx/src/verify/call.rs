//! Calls: the argument lists against the signature.

use super::Verifier;
use crate::body::{Inst, Operand, Table};
use crate::error::Error;
use crate::id::LocalId;
use crate::modifier::Space;
use crate::module::{Param, Symbol};
use crate::types::Type;

impl Verifier<'_> {
    pub(super) fn call(&self, inst: &Inst) -> Result<(), Error> {
        let (Operand::List(rets), callee, Operand::List(args), proto) = (match inst.operands.as_slice() {
            [rets, callee, args] => (rets, callee, args, None),
            [rets, callee, args, proto] => (rets, callee, args, Some(proto)),
            _ => return Err(self.form_error(inst, "broken body: a call has three or four operands")),
        }) else {
            return Err(self.form_error(inst, "broken body: the lists of a call"));
        };
        let (want_rets, want_args) = self.signature(inst, callee, proto)?;
        self.values(inst, rets, want_rets, 0, "return values")?;
        self.values(inst, args, want_args, 2, "arguments")
    }

    /// What the callee returns and takes.
    fn signature(
        &self,
        inst: &Inst,
        callee: &Operand,
        proto: Option<&Operand>,
    ) -> Result<(&[Param], &[Param]), Error> {
        if let Operand::Sym {
            symbol: Symbol::Func(func),
            ..
        } = callee
        {
            let Some(function) = self.module.funcs.get(*func) else {
                return Err(self.operand_error(inst, 1, "is a function that does not exist"));
            };
            return Ok((&function.rets, &function.params));
        }
        let address = self
            .reg_type(callee)
            .is_some_and(|ty| ty.is_integer() && matches!(ty.bits(), 32 | 64));
        if !address {
            return Err(self.operand_error(
                inst,
                1,
                "must be a function or a register with the address of one",
            ));
        }
        let found = match proto {
            Some(Operand::Proto(id)) => self
                .body
                .protos
                .get(*id)
                .map(|proto| (&proto.rets[..], &proto.params[..])),
            Some(Operand::Table(id)) => match self.body.tables.get(*id) {
                Some(Table::Call(targets)) => targets
                    .first()
                    .and_then(|func| self.module.funcs.get(*func))
                    .map(|function| (&function.rets[..], &function.params[..])),
                _ => None,
            },
            _ => None,
        };
        found.ok_or_else(|| {
            self.form_error(
                inst,
                "an indirect call needs a '.callprototype' or '.calltargets'",
            )
        })
    }

    fn values(
        &self,
        inst: &Inst,
        given: &[Operand],
        wanted: &[Param],
        at: usize,
        what: &str,
    ) -> Result<(), Error> {
        let variadic = wanted.last().is_some_and(|param| param.elements == Some(0));
        let enough = if variadic {
            given.len() + 1 >= wanted.len()
        } else {
            given.len() == wanted.len()
        };
        if !enough {
            let reason = format!("has {} {what}, the function {}", given.len(), wanted.len());
            return Err(self.form_error(inst, &reason));
        }
        for (n, (value, param)) in given.iter().zip(wanted).enumerate() {
            let fine = self.value(value, param);
            fine.map_err(|reason| {
                self.operand_error(inst, at, &format!("{what}, number {}: {reason}", n + 1))
            })?;
        }
        Ok(())
    }

    fn value(&self, value: &Operand, param: &Param) -> Result<(), String> {
        if param.elements == Some(0) {
            return Ok(());
        }
        match value {
            Operand::Sym {
                symbol: Symbol::Local(id),
                offset: 0,
            } => self.param_variable(*id, param),
            Operand::Sym {
                symbol: Symbol::Param(n),
                offset: 0,
            } => {
                let own = self.module.funcs[self.func].params.get(*n as usize);
                own.filter(|own| own.size == param.size)
                    .map(|_| ())
                    .ok_or_else(|| "has another size".to_owned())
            }
            Operand::Reg(_) => {
                let ty = self.reg_type(value).unwrap_or(Type::Pred);
                // Small values travel in 32-bit registers too, as the ABI widens them.
                let fits = ty.bits() == param.size * 8 || (ty.bits() == 32 && param.size < 4);
                if fits && param.elements.is_none() && ty != Type::Pred {
                    Ok(())
                } else {
                    Err(format!(
                        "a .{ty} register does not fit a parameter of {} bytes",
                        param.size
                    ))
                }
            }
            Operand::Int(_) | Operand::F32(_) | Operand::F64(_) if param.elements.is_none() => Ok(()),
            Operand::Sink => Ok(()),
            _ => Err("must be a .param variable, a register or a constant".to_owned()),
        }
    }

    fn param_variable(&self, id: LocalId, param: &Param) -> Result<(), String> {
        let Some(variable) = self.body.vars.get(id) else {
            return Err("does not exist".to_owned());
        };
        if variable.space != Space::Param {
            return Err(format!(
                "'{}' lies in .{}, not in .param",
                variable.name, variable.space
            ));
        }
        let wider =
            param.elements.is_none() && variable.dims.is_empty() && variable.size == 4 && param.size < 4;
        if variable.size != u64::from(param.size) && !wider {
            return Err(format!(
                "'{}' has {} bytes, the parameter {}",
                variable.name, variable.size, param.size
            ));
        }
        Ok(())
    }
}
