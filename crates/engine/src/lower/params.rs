//! Parameters that are more than cells of registers: `.reg` ones, those whose address is taken, and the stack of `alloca`.

use tessera_ptx::body::Body;
use tessera_ptx::module::Symbol;
use tessera_ptx::{Address, Inst as PtxInst, Opcode as O, Operand, Space as PtxSpace, Type as T};

use super::{Binding, Local, Lower, Result};
use crate::error::FaultKind;
use crate::exec::alu::{Alu, Class};
use crate::lir::{B, Konst, Space, Term, V, What};

/// Pieces of memory that a parameter is copied in: as wide as its place allows.
fn pieces(size: u32) -> impl Iterator<Item = (u32, u32)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let left = size.checked_sub(at).filter(|&left| left > 0)?;
        let bytes = if left >= 8 {
            8
        } else {
            1 << (31 - left.leading_zeros())
        };
        at += bytes;
        Some((at - bytes, bytes))
    })
}

const fn of_params(space: Option<PtxSpace>) -> bool {
    matches!(
        space,
        Some(PtxSpace::Param | PtxSpace::ParamEntry | PtxSpace::ParamFunc)
    )
}

/// Which parameters (and then which return values) have their address taken in a body, and whether it uses the stack.
fn memory_use(body: &Body, params: usize, rets: usize) -> (Vec<bool>, Vec<bool>, bool) {
    let (mut ins, mut outs, mut stack) = (vec![false; params], vec![false; rets], false);
    let mut note = |symbol: Symbol| {
        let (list, n) = match symbol {
            Symbol::Param(n) => (&mut ins, n),
            Symbol::Ret(n) => (&mut outs, n),
            _ => return,
        };
        if let Some(taken) = list.get_mut(n as usize) {
            *taken = true;
        }
    };
    for inst in body.insts.values() {
        stack |= matches!(inst.op, O::Alloca | O::Stackrestore);
        if inst.op == O::Call {
            // The name of a parameter hands it on by value.
            continue;
        }
        let by_name = matches!(inst.op, O::Ld | O::St) && of_params(inst.space());
        for operand in &inst.operands {
            match operand {
                Operand::Sym { symbol, .. } => note(*symbol),
                Operand::Mem(Address::Sym { symbol, .. }) if !by_name => note(*symbol),
                _ => {}
            }
        }
    }
    (ins, outs, stack)
}

impl Lower<'_> {
    /// What happens at the start of a function before its first block `first`. Returns the block to enter it by.
    pub(super) fn prologue(&mut self, first: B) -> Result<B> {
        let body = self.scope().body;
        let (params, rets) = (self.scope().params.len(), self.scope().rets.len());
        let (ins, outs, stack) = memory_use(body, params, rets);
        let registers = body.param_regs.iter().any(Option::is_some);
        let kernel = matches!(self.scope().params.first(), Some(Binding::Launch { .. }));
        let inputs = !kernel && ins.contains(&true);
        let frame = stack && self.scope().after.is_some();
        if !inputs && !outs.contains(&true) && !registers && !frame {
            return Ok(first);
        }
        let start = self.new_block();
        self.switch_to(start);
        for (n, reg) in body.param_regs.iter().enumerate() {
            if let (Some(reg), Some(&binding)) = (reg, self.scope().params.get(n)) {
                let value = self.read_binding(binding, 0, body.regs[*reg].ty.bytes().min(8))?;
                let d = self.register(*reg);
                self.assign(d, value);
            }
        }
        for n in (0..ins.len()).filter(|&n| inputs && ins[n]) {
            self.move_to_memory(n)?;
        }
        for n in (0..outs.len()).filter(|&n| outs[n]) {
            let Binding::Var(var) = self.scope().rets[n] else {
                continue;
            };
            let place = self.private("", self.param_vars[var].size, 16)?;
            let scope = self.scope_mut();
            scope.rets[n] = Binding::Memory(place);
            scope.returned.push((place, var));
        }
        if frame {
            let pointer = self.stack_pointer();
            let kept = self.temp(Class::W64);
            self.mov(kept, pointer);
            self.scope_mut().frame = Some(kept);
        }
        self.end(Term::Jump(first));
        Ok(start)
    }

    /// A parameter whose address is taken lives in local memory.
    fn move_to_memory(&mut self, n: usize) -> Result<()> {
        let binding = self.scope().params[n];
        let size = match binding {
            Binding::Var(var) => self.param_vars[var].size,
            _ => return Ok(()),
        };
        let place = self.private("", size, 16)?;
        for (at, bytes) in pieces(size) {
            let value = self.read_binding(binding, at, bytes)?;
            let (base, offset) = self.local_address(place, at)?;
            self.store_local(base, offset, bytes, value);
        }
        self.scope_mut().params[n] = Binding::Memory(place);
        Ok(())
    }

    /// What happens before a function returns.
    pub(super) fn epilogue(&mut self) -> Result<()> {
        let body = self.scope().body;
        for (n, reg) in body.ret_regs.iter().enumerate() {
            if let (Some(reg), Some(&Binding::Var(var))) = (reg, self.scope().rets.get(n)) {
                let value = self.register(*reg);
                let bytes = self.param_vars[var].size.min(8);
                self.write_cell(var, 0, bytes, value)?;
            }
        }
        for (place, var) in self.scope().returned.clone() {
            for (at, bytes) in pieces(self.param_vars[var].size) {
                let (base, offset) = self.local_address(place, at)?;
                let value = self.load_local(base, offset, bytes);
                self.write_cell(var, at, bytes, value)?;
            }
        }
        if let Some(kept) = self.scope().frame {
            let pointer = self.stack_pointer();
            self.mov(pointer, kept);
        }
        Ok(())
    }

    /// Local memory of the function that is being lowered.
    pub(super) fn private(&mut self, name: &str, size: u32, align: u32) -> Result<Local> {
        let align = align.max(1);
        let used = match &mut self.regions.frame {
            Some(frame) => {
                frame.align = frame.align.max(align);
                &mut frame.bytes
            }
            None => &mut self.kernel.local_bytes,
        };
        let at = used.checked_next_multiple_of(align);
        let Some((at, end)) = at.and_then(|at| Some((at, at.checked_add(size)?))) else {
            return self.refuse("local memory beyond 4 GiB");
        };
        *used = end;
        Ok(match self.regions.frame {
            Some(_) => Local::Framed(at),
            None => {
                self.object(Space::Local, name, at, u64::from(size));
                Local::Private(at)
            }
        })
    }

    /// Base register and offset of a byte of a local variable.
    pub(super) fn local_address(&mut self, place: Local, plus: u32) -> Result<(V, i32)> {
        match place {
            Local::Private(at) => Ok((self.imm64(u64::from(at) + u64::from(plus)), 0)),
            Local::Framed(at) => match (&self.regions.frame, i32::try_from(at.saturating_add(plus))) {
                (Some(frame), Ok(offset)) => Ok((frame.base, offset)),
                _ => self.refuse("a frame beyond 2 GiB"),
            },
            _ => self.refuse("the address of what does not lie in local memory"),
        }
    }

    /// Bytes of what a parameter stands for as a register.
    pub(super) fn read_binding(&mut self, binding: Binding, at: u32, bytes: u32) -> Result<V> {
        match binding {
            Binding::Var(var) => self.read_cell(var, at, bytes),
            Binding::Memory(place) => {
                let (base, offset) = self.local_address(place, at)?;
                Ok(self.load_local(base, offset, bytes))
            }
            Binding::Launch { offset } => {
                let class = if bytes == 8 { Class::W64 } else { Class::W32 };
                let konst = Konst::Param {
                    offset: offset.saturating_add(at),
                    bytes: u8::try_from(bytes).unwrap_or(8),
                    signed: false,
                };
                Ok(self.konst(class, konst))
            }
            Binding::Nothing => self.refuse("a value that nothing is given for"),
        }
    }

    /// The memory that an access to a parameter goes to, when it has to go through local memory.
    pub(super) fn param_memory(&self, inst: &PtxInst, address: Address) -> bool {
        if !of_params(inst.space()) {
            return false;
        }
        let scope = self.scope();
        let memory = |list: &[Binding], n: u32| matches!(list.get(n as usize), Some(Binding::Memory(_)));
        match address {
            Address::Sym {
                symbol: Symbol::Param(n),
                ..
            } => memory(&scope.params, n),
            Address::Sym {
                symbol: Symbol::Ret(n),
                ..
            } => memory(&scope.rets, n),
            // The address of a parameter of a device function is one in local memory; that of a kernel's is generic here.
            Address::Reg { .. } => scope.after.is_some() && inst.space() != Some(PtxSpace::ParamEntry),
            _ => false,
        }
    }

    /// `alloca`, `stacksave`, `stackrestore`. The stack lies in local memory behind all variables and grows upward; it ends with the
    /// limit that the context sets.
    pub(super) fn stack(&mut self, inst: &PtxInst) -> Result<()> {
        let ty = inst.ty(0).unwrap_or(T::U64);
        let after = self.open_guard();
        let pointer = self.stack_pointer();
        match inst.op {
            O::Stacksave => self.result(inst, Alu::Mov64, 0, &[pointer])?,
            O::Stackrestore => {
                let to = self.arg(inst, 0, ty)?;
                let to = self.coerce(to, Class::W64);
                self.set_stack(to);
            }
            _ => {
                let align = match inst.operands.get(2) {
                    None => 16,
                    Some(Operand::Int(n)) => match u32::try_from(*n).ok().filter(|n| n.is_power_of_two()) {
                        Some(align) => align.max(16),
                        None => return self.refuse("an alignment that is no power of two"),
                    },
                    Some(_) => return self.refuse("an alignment that is no constant"),
                };
                let size = self.arg(inst, 1, ty)?;
                let size = self.coerce(size, Class::W64);
                let end = self.konst(Class::W64, Konst::StackEnd);
                // First, so that what follows cannot wrap.
                let over = self.alu(Alu::GtU64, 0, &[size, end]);
                let fault = What::Raise(FaultKind::StackOverflow);
                self.push(fault, &[], &[], Some((over, false)));
                let (up, mask) = (self.imm64(15), self.imm64(!15));
                let base = self.aligned(pointer, align);
                let base = self.alu(Alu::Mov64, 0, &[base]);
                let top = self.alu(Alu::Add64, 0, &[base, size]);
                let top = self.alu(Alu::Add64, 0, &[top, up]);
                let top = self.alu(Alu::And64, 0, &[top, mask]);
                self.set_stack(top);
                self.result(inst, Alu::Mov64, 0, &[base])?;
            }
        }
        self.close_guard(after);
        Ok(())
    }
}
