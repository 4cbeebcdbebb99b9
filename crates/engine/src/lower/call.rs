//! Calls: a device function is inlined where it is called, or has blocks of its own; a function that the device supplies becomes a hook.

use tessera_ptx::module::Symbol;
use tessera_ptx::{FuncId, Inst as PtxInst, Operand, Type as T};

use super::{Binding, Local, Lower, ParamVar, Result, graph};
use crate::error::CompileError;
use crate::exec::alu::Class;
use crate::lir::{Hook, Term, V, What};

/// Functions without a body that the device supplies.
fn hook(name: &str) -> Option<Hook> {
    Some(match name {
        "vprintf" => Hook::Printf,
        "__assertfail" => Hook::AssertFail,
        "malloc" => Hook::Malloc,
        "free" => Hook::Free,
        "cudaCGGetIntrinsicHandle" => Hook::GridHandle,
        "cudaCGSynchronize" => Hook::GridSync,
        _ => return None,
    })
}

pub(super) fn operands(inst: &PtxInst, n: usize) -> &[Operand] {
    match inst.operands.get(n) {
        Some(Operand::List(list)) => list,
        _ => &[],
    }
}

impl Lower<'_> {
    pub(super) fn call(&mut self, inst: &PtxInst) -> Result<()> {
        let after = self.open_guard();
        self.call_all(inst)?;
        self.close_guard(after);
        Ok(())
    }

    /// A call by all threads that are here.
    fn call_all(&mut self, inst: &PtxInst) -> Result<()> {
        let Some(Operand::Sym {
            symbol: Symbol::Func(callee),
            ..
        }) = inst.operands.get(1)
        else {
            return self.call_indirect(inst);
        };
        let callee = graph::resolve(self.module, *callee);
        let Some(func) = self.module.funcs.get(callee) else {
            return self.refuse("no such function");
        };
        if !func.defined {
            return match hook(&func.name) {
                Some(hook) => self.call_hook(inst, hook),
                None => Err(CompileError::Undefined {
                    function: self.scope().name.to_string(),
                    name: func.name.to_string(),
                    line: self.line,
                }),
            };
        }
        if self.plan.outlined(callee) {
            return self.call_region(inst, callee);
        }
        self.inline(inst, callee)
    }

    fn inline(&mut self, inst: &PtxInst, callee: FuncId) -> Result<()> {
        let module = self.module;
        let func = &module.funcs[callee];
        let (ret_ops, arg_ops) = (operands(inst, 0), operands(inst, 2));
        if ret_ops.len() != func.rets.len() || arg_ops.len() < func.params.len() {
            return self.refuse("the number of arguments is not the function's");
        }
        let params = arg_ops
            .iter()
            .zip(&func.params)
            .map(|(op, param)| self.bind(op, Some(param.ty), param.size))
            .collect::<Result<_>>()?;
        let rets: Vec<Binding> = ret_ops
            .iter()
            .zip(&func.rets)
            .map(|(op, ret)| self.bind(op, None, ret.size))
            .collect::<Result<_>>()?;
        let after = self.new_block();
        let (from, at, line) = (self.current, self.at, self.line);
        let first = self.function(callee, params, rets.clone(), Some(after))?;
        (self.at, self.line, self.guard) = (at, line, None);
        let block = &mut self.kernel.blocks[from];
        block.at = at;
        block.term = Term::Jump(first);
        self.switch_to(after);
        // A register as the destination of the call takes the value of the variable that stood for it.
        for ((op, binding), ret) in ret_ops.iter().zip(&rets).zip(&module.funcs[callee].rets) {
            if let (Operand::Reg(reg), Binding::Var(var)) = (op, binding) {
                let d = self.register(*reg);
                for (i, start) in (0..ret.size).step_by(8).enumerate() {
                    let value = self.read_cell(*var, start, (ret.size - start).min(8))?;
                    self.assign(d + u32::try_from(i).unwrap_or(0), value);
                }
            }
        }
        Ok(())
    }

    /// A variable of a call.
    pub(super) fn new_var(&mut self, var: ParamVar) -> Binding {
        self.param_vars.push(var);
        Binding::Var(self.param_vars.len() - 1)
    }

    /// What an operand of a call gives to the callee.
    fn bind(&mut self, operand: &Operand, ty: Option<T>, size: u32) -> Result<Binding> {
        if let Operand::Sym {
            symbol: Symbol::Local(id),
            offset: 0,
        } = operand
            && let Some(Local::Param(var)) = self.scope().locals.get(id)
        {
            return Ok(Binding::Var(*var));
        }
        match operand {
            // A parameter handed through.
            Operand::Sym {
                symbol: Symbol::Param(n),
                offset: 0,
            } => match self.scope().params.get(*n as usize) {
                Some(binding) => Ok(*binding),
                None => self.refuse("no such parameter"),
            },
            Operand::Sink => Ok(Binding::Nothing),
            _ => {
                let mut cells = Vec::new();
                if let Some(ty) = ty {
                    let value = self.source(operand, ty)?;
                    // A pair of registers holds sixteen bytes.
                    for (i, start) in (0..).zip((0..size).step_by(8)) {
                        let copy = self.temp(self.class(value));
                        self.mov(copy, value + i);
                        cells.push((start, (size - start).min(8), copy));
                    }
                }
                Ok(self.new_var(ParamVar { cells, size }))
            }
        }
    }

    /// The `n`-th argument of a call as a register.
    fn argument(&mut self, inst: &PtxInst, n: usize, ty: T) -> Result<V> {
        let Some(operand) = operands(inst, 2).get(n) else {
            return self.refuse("an argument is missing");
        };
        match operand {
            Operand::Sym {
                symbol: Symbol::Local(id),
                ..
            } => match self.scope().locals.get(id) {
                Some(Local::Param(var)) => {
                    let var = *var;
                    let v = self.read_cell(var, 0, ty.bytes())?;
                    Ok(self.coerce(v, super::operand::class_of(ty)))
                }
                _ => self.refuse("this argument"),
            },
            other => self.source(other, ty),
        }
    }

    fn call_hook(&mut self, inst: &PtxInst, hook: Hook) -> Result<()> {
        self.kernel.prints |= hook == Hook::Printf;
        self.kernel.allocates |= matches!(hook, Hook::Malloc | Hook::Free);
        let types: &[T] = match hook {
            Hook::Printf => &[T::U64, T::U64],
            Hook::AssertFail => &[T::U64, T::U64, T::U32, T::U64],
            Hook::Malloc | Hook::Free => &[T::U64],
            Hook::GridHandle => &[],
            Hook::GridSync => &[],
        };
        let mut s = Vec::new();
        for (n, ty) in types.iter().enumerate() {
            s.push(self.argument(inst, n, *ty)?);
        }
        let class = match hook {
            Hook::Printf => Some((Class::W32, 4)),
            Hook::Malloc | Hook::GridHandle => Some((Class::W64, 8)),
            Hook::GridSync => Some((Class::W32, 4)),
            Hook::AssertFail | Hook::Free => None,
        };
        let mut d = Vec::new();
        if let Some((class, _)) = class {
            d.push(self.temp(class));
        }
        self.emit(What::Hook(hook), &d, &s);
        if let (Some(operand), Some((class, bytes)), Some(&value)) =
            (operands(inst, 0).first(), class, d.first())
        {
            match self.bind(operand, None, bytes)? {
                Binding::Var(var) => {
                    let cell = self.read_cell(var, 0, bytes)?;
                    let value = self.coerce(value, self.class(cell));
                    self.mov(cell, value);
                    if let Operand::Reg(reg) = operand {
                        let d = self.register(*reg);
                        self.assign(d, cell);
                    }
                }
                _ => return self.refuse("this return value"),
            }
            debug_assert!(class != Class::Pred);
        }
        Ok(())
    }
}
