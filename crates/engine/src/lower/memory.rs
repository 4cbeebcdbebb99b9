//! Loads, stores, atomics, fences, address spaces.

use tessera_ptx::modifier::{Mod, Semantics};
use tessera_ptx::module::Symbol;
use tessera_ptx::{Address, Flag, Inst as PtxInst, Opcode as O, Operand, Space as PtxSpace, Type as T};

use super::operand::class_of;
use super::{Binding, Local, Lower, Result};
use crate::exec::alu::{Alu, Class};
use crate::exec::wide::Wide;
use crate::lir::{Access, Konst, MemType, Order, Space, V, What};
use crate::{SHARED_WINDOW, WINDOW_BYTES};

pub(super) fn order(inst: &PtxInst) -> Order {
    // `.mmio` stands beside the ordering that it comes with.
    let ordering = inst.mods.iter().find_map(|m| match m {
        Mod::Semantics(semantics) if *semantics != Semantics::Mmio => Some(*semantics),
        _ => None,
    });
    match ordering.or(inst.semantics()) {
        None | Some(Semantics::Weak) => Order::Weak,
        Some(Semantics::Volatile | Semantics::Relaxed | Semantics::Mmio) => Order::Relaxed,
        Some(Semantics::Acquire) => Order::Acquire,
        Some(Semantics::Release) => Order::Release,
        Some(Semantics::AcqRel | Semantics::Sc) => Order::AcqRel,
    }
}

const fn mem_type(ty: T) -> MemType {
    match (ty, ty.bits()) {
        (T::S8, _) => MemType::S8,
        (T::S16, _) => MemType::S16,
        (T::S32, _) => MemType::S32,
        (_, 0..=8) => MemType::U8,
        (_, 16) => MemType::U16,
        (_, 32) => MemType::B32,
        _ => MemType::B64,
    }
}

impl Lower<'_> {
    pub(super) fn space(&self, space: Option<PtxSpace>) -> Result<Space> {
        Ok(match space {
            None => Space::Generic,
            Some(PtxSpace::Global | PtxSpace::Const) => Space::Global,
            Some(PtxSpace::Shared | PtxSpace::SharedCta | PtxSpace::SharedCluster) => Space::Shared,
            Some(PtxSpace::Local) => Space::Local,
            // Addresses in the parameter space are generic ones here.
            Some(PtxSpace::Param | PtxSpace::ParamEntry) => Space::Generic,
            Some(other) => return self.refuse(format!("state space .{other}")),
        })
    }

    /// Where an access goes: its space, base register and offset. One to `.shared::cluster`, which may be another block's memory, is generic.
    pub(super) fn place_of_access(
        &mut self,
        inst: &PtxInst,
        space: Option<PtxSpace>,
        address: Address,
    ) -> Result<(Space, V, i32)> {
        if space == Some(PtxSpace::SharedCluster) {
            let (base, offset) = self.address(address, true)?;
            return Ok((Space::Generic, self.through_window(base), offset));
        }
        let space = if self.param_memory(inst, address) {
            Space::Local
        } else {
            self.space(space)?
        };
        let (base, offset) = self.address(address, space == Space::Shared)?;
        Ok((space, base, offset))
    }

    pub(super) fn memory(&mut self, inst: &PtxInst) -> Result<()> {
        match inst.op {
            O::Ld | O::Ldu => self.load(inst),
            O::St => self.store(inst),
            O::Atom | O::Red => {
                self.note_order(inst);
                self.atom(inst)
            }
            // Every access goes through one path to memory, so a fence between paths is one between accesses.
            O::Fence if inst.semantics() != Some(Semantics::Sc) => {
                self.emit(What::LightFence, &[], &[]);
                Ok(())
            }
            O::Membar | O::Fence | O::MembarProxy | O::FenceProxy | O::FenceMbarrierInit => {
                self.emit(What::Fence, &[], &[]);
                Ok(())
            }
            O::MultimemLdReduce | O::MultimemSt | O::MultimemRed => self.multimem(inst),
            O::Cvta => self.cvta(inst),
            O::Isspacep => {
                let Some(operand) = inst.operands.first() else {
                    return self.refuse("no destination");
                };
                let d = self.dest(operand, Class::Pred)?;
                let a = self.arg(inst, 1, T::U64)?;
                let space = match inst.space() {
                    Some(PtxSpace::Param | PtxSpace::ParamEntry) => Space::Generic,
                    // Constant memory lies in global memory here.
                    Some(PtxSpace::Const) => {
                        let no = self.pred(crate::lir::PredOp::False, &[]);
                        self.mov(d, no);
                        return Ok(());
                    }
                    other => self.space(other)?,
                };
                if space == Space::Shared && inst.space() != Some(PtxSpace::SharedCluster) {
                    return self.in_own_shared(d, a);
                }
                self.emit(What::IsSpace(space), &[d], &[a]);
                Ok(())
            }
            O::Createpolicy => {
                let Some(operand) = inst.operands.first() else {
                    return self.refuse("no destination");
                };
                let d = self.dest(operand, Class::W64)?;
                let zero = self.imm64(0);
                self.assign(d, zero);
                Ok(())
            }
            // Hints about caches.
            _ => Ok(()),
        }
    }

    /// Elements of a vector operand, or the one operand.
    pub(super) fn elements<'o>(&self, inst: &'o PtxInst, n: usize) -> Result<&'o [Operand]> {
        match inst.operands.get(n) {
            Some(Operand::Vec(parts)) => Ok(parts),
            Some(one) => Ok(std::slice::from_ref(one)),
            None => self.refuse("operands are missing"),
        }
    }

    pub(super) fn mem_address(&self, inst: &PtxInst, n: usize) -> Result<Address> {
        match inst.operands.get(n) {
            Some(Operand::Mem(address)) => Ok(*address),
            _ => self.refuse("no address"),
        }
    }

    pub(super) fn load(&mut self, inst: &PtxInst) -> Result<()> {
        let Some(ty) = inst.ty(0) else {
            return self.refuse("no type");
        };
        let address = self.mem_address(inst, 1)?;
        let parts = self.elements(inst, 0)?;
        if matches!(
            inst.space(),
            Some(PtxSpace::Param | PtxSpace::ParamEntry | PtxSpace::ParamFunc)
        ) && let Address::Sym { symbol, offset } = address
            && self.load_param(symbol, offset, ty, parts)?
        {
            return Ok(());
        }
        let (space, base, offset) = self.place_of_access(inst, inst.space(), address)?;
        if ty.bits() == 128 {
            return self.load_wide(inst, space, (base, offset), parts);
        }
        let mut d = Vec::new();
        for part in parts {
            d.push(self.dest(part, class_of(ty))?);
        }
        // All registers of one access have one class.
        let class = d.first().map_or(Class::W32, |&d| self.class(d));
        let same = d.iter().all(|&d| self.class(d) == class) && class != Class::Pred;
        let targets: Vec<V> = if same {
            d.clone()
        } else {
            d.iter().map(|_| self.temp(class_of(ty))).collect()
        };
        // Eight elements are two accesses of four. What is loaded first may not be the address of what comes second.
        let targets = if targets.len() > 4 && targets.contains(&base) {
            let fresh = self.fresh(&targets);
            self.load_parts(inst, ty, space, (base, offset), &fresh);
            for (d, t) in targets.iter().zip(fresh) {
                self.assign(*d, t);
            }
            return Ok(());
        } else {
            targets
        };
        self.load_parts(inst, ty, space, (base, offset), &targets);
        if !same {
            for (d, t) in d.into_iter().zip(targets) {
                self.assign(d, t);
            }
        }
        Ok(())
    }

    /// The accesses of a load of elements of one class: four elements each at most.
    fn load_parts(&mut self, inst: &PtxInst, ty: T, space: Space, (base, offset): (V, i32), targets: &[V]) {
        let eight = targets.len() > 4;
        for (i, part) in (0i32..).zip(targets.chunks(4)) {
            let access = Access {
                space,
                ty: mem_type(ty),
                n: u8::try_from(part.len()).unwrap_or(1),
                order: order(inst),
                offset: offset.wrapping_add(i * 4 * i32::try_from(ty.bytes()).unwrap_or(0)),
                align: u8::from(eight && i == 0),
            };
            self.emit(What::Load(access), part, &[base]);
        }
    }

    /// `ld.b128`: two halves; one access where it is ordered.
    fn load_wide(
        &mut self,
        inst: &PtxInst,
        space: Space,
        (base, offset): (V, i32),
        parts: &[Operand],
    ) -> Result<()> {
        let &[Operand::Reg(reg)] = parts else {
            return self.refuse("vectors of .b128");
        };
        let d = self.register(reg);
        if order(inst) != Order::Weak && space != Space::Local {
            return self.wide(inst, Wide::Load, 1, &[d, d + 1], &[]);
        }
        let access = Access {
            space,
            ty: MemType::B64,
            n: 2,
            order: order(inst),
            offset,
            align: 0,
        };
        self.emit(What::Load(access), &[d, d + 1], &[base]);
        Ok(())
    }

    pub(super) fn store(&mut self, inst: &PtxInst) -> Result<()> {
        let Some(ty) = inst.ty(0) else {
            return self.refuse("no type");
        };
        let address = self.mem_address(inst, 0)?;
        let parts = self.elements(inst, 1)?;
        let through_memory = self.param_memory(inst, address);
        if !through_memory && matches!(inst.space(), Some(PtxSpace::Param | PtxSpace::ParamFunc)) {
            let Address::Sym { symbol, offset } = address else {
                return self.refuse("a store to parameters through a register");
            };
            return self.store_param(symbol, offset, ty, parts);
        }
        let (space, base, offset) = self.place_of_access(inst, inst.space(), address)?;
        if ty.bits() == 128 {
            let &[Operand::Reg(reg)] = parts else {
                return self.refuse("vectors of .b128");
            };
            let v = self.register(reg);
            if order(inst) != Order::Weak && space != Space::Local {
                return self.wide(inst, Wide::Store, 0, &[], &[v, v + 1]);
            }
            self.store_parts(inst, T::B64, space, (base, offset), &[v, v + 1]);
            return Ok(());
        }
        let mut values = Vec::new();
        for part in parts {
            // A wider register gives its low bits.
            values.push(self.source(part, ty)?);
        }
        self.store_parts(inst, ty, space, (base, offset), &values);
        Ok(())
    }

    /// The accesses of a store: four elements each at most.
    fn store_parts(&mut self, inst: &PtxInst, ty: T, space: Space, (base, offset): (V, i32), values: &[V]) {
        let eight = values.len() > 4;
        for (i, part) in (0i32..).zip(values.chunks(4)) {
            let access = Access {
                space,
                ty: mem_type(ty),
                n: u8::try_from(part.len()).unwrap_or(1),
                order: order(inst),
                offset: offset.wrapping_add(i * 4 * i32::try_from(ty.bytes()).unwrap_or(0)),
                align: u8::from(eight && i == 0),
            };
            let mut s = vec![base];
            s.extend(part);
            self.emit(What::Store(access), &[], &s);
        }
    }

    /// Between generic addresses and offsets in a window. Global and constant addresses are generic ones.
    fn cvta(&mut self, inst: &PtxInst) -> Result<()> {
        let window = match self.space(inst.space())? {
            // That of a cluster is the same one.
            Space::Shared => SHARED_WINDOW,
            Space::Local => crate::LOCAL_WINDOW,
            Space::Global | Space::Generic => 0,
        };
        let a = self.arg(inst, 1, T::U64)?;
        if window == 0 {
            return self.result(inst, Alu::Mov64, 0, &[a]);
        }
        let base = self.imm64(window);
        let alu = if inst.has(Flag::To) {
            Alu::Sub64
        } else {
            Alu::Add64
        };
        debug_assert!(window >= WINDOW_BYTES);
        self.result(inst, alu, 0, &[a, base])
    }

    /// A load from a parameter by name. False when it has to go through memory.
    fn load_param(&mut self, symbol: Symbol, offset: i32, ty: T, parts: &[Operand]) -> Result<bool> {
        let bytes = ty.bytes();
        let Ok(start) = u32::try_from(offset) else {
            return self.refuse("a negative offset");
        };
        let var = match symbol {
            Symbol::Param(n) => match self.scope().params.get(n as usize).copied() {
                Some(Binding::Launch { offset: base }) => {
                    return self.load_launch_param(base.saturating_add(start), ty, parts);
                }
                Some(Binding::Var(var)) => var,
                Some(Binding::Memory(_)) => return Ok(false),
                _ => return self.refuse("this parameter is not given"),
            },
            Symbol::Local(id) => match self.scope().locals.get(&id) {
                Some(Local::Param(var)) => *var,
                _ => return Ok(false),
            },
            _ => return self.refuse("this symbol is not a parameter"),
        };
        for (i, part) in (0u32..).zip(parts) {
            let value = self.read_cell(var, start.saturating_add(i * bytes), bytes)?;
            let value = self.extended(value, ty);
            let d = self.dest(part, class_of(ty))?;
            self.assign_signed(d, value, ty);
        }
        Ok(true)
    }

    /// A value of a narrow type as a load gives it.
    fn extended(&mut self, value: V, ty: T) -> V {
        match ty {
            T::S8 => self.alu(Alu::Sx8, 0, &[value]),
            T::S16 => self.alu(Alu::Sx16, 0, &[value]),
            _ => value,
        }
    }

    fn assign_signed(&mut self, d: V, value: V, ty: T) {
        if self.class(d) == Class::W64 && self.class(value) == Class::W32 && ty.is_signed() {
            let wide = self.alu(Alu::Sx32To64, 0, &[value]);
            self.mov(d, wide);
        } else {
            self.assign(d, value);
        }
    }

    fn load_launch_param(&mut self, start: u32, ty: T, parts: &[Operand]) -> Result<bool> {
        let bytes = ty.bytes();
        if bytes > 8 {
            return Ok(false);
        }
        let limit = self.module.funcs[self.entry].param_bytes;
        for (i, part) in (0u32..).zip(parts) {
            let offset = start.saturating_add(i * bytes);
            if u64::from(offset) + u64::from(bytes) > u64::from(limit) || !offset.is_multiple_of(bytes) {
                return self.refuse("a load beyond the parameters, or not aligned");
            }
            let konst = Konst::Param {
                offset,
                bytes: u8::try_from(bytes).unwrap_or(8),
                signed: ty.is_signed(),
            };
            let value = self.konst(class_of(ty), konst);
            let d = self.dest(part, class_of(ty))?;
            self.assign_signed(d, value, ty);
        }
        Ok(true)
    }

    fn store_param(&mut self, symbol: Symbol, offset: i32, ty: T, parts: &[Operand]) -> Result<()> {
        let bytes = ty.bytes();
        let Ok(start) = u32::try_from(offset) else {
            return self.refuse("a negative offset");
        };
        let var = match symbol {
            Symbol::Ret(n) => match self.scope().rets.get(n as usize) {
                Some(Binding::Var(var)) => *var,
                _ => return self.refuse("this return parameter is a register"),
            },
            Symbol::Local(id) => match self.scope().locals.get(&id) {
                Some(Local::Param(var)) => *var,
                _ => return self.refuse("this symbol is not a parameter"),
            },
            _ => return self.refuse("a store to an input parameter"),
        };
        for (i, part) in (0u32..).zip(parts) {
            let value = self.source(part, ty)?;
            self.write_cell(var, start.saturating_add(i * bytes), bytes, value)?;
        }
        Ok(())
    }

    /// The bytes of a `.param` variable as a register; an undefined value where nothing was written.
    pub(super) fn read_cell(&mut self, var: usize, start: u32, bytes: u32) -> Result<V> {
        let cells = self.param_vars[var].cells.clone();
        if let Some(&(_, _, v)) = cells.iter().find(|c| c.0 == start && c.1 == bytes) {
            return Ok(v);
        }
        let end = start.saturating_add(bytes);
        if let Some(&(at, _, v)) = cells
            .iter()
            .find(|c| c.0 <= start && end <= c.0.saturating_add(c.1))
        {
            return Ok(self.bits_of(v, (start - at) * 8, bytes * 8));
        }
        if !cells.iter().any(|c| c.0 < end && start < c.0.saturating_add(c.1)) {
            // Nothing there yet: what is read is what a later store on another path may put there.
            let v = self.temp(if bytes == 8 { Class::W64 } else { Class::W32 });
            self.kernel.carriers.insert(v);
            self.param_vars[var].cells.push((start, bytes, v));
            return Ok(v);
        }
        if bytes == 1 || bytes > 8 {
            return self.refuse("overlapping accesses to a parameter");
        }
        let half = bytes / 2;
        let low = self.read_cell(var, start, half)?;
        let high = self.read_cell(var, start + half, half)?;
        Ok(self.join(&[low, high], half * 8))
    }

    /// Puts the low bits of a value into a part of a register.
    fn insert_part(&mut self, v: V, from: u32, bits: u32, value: V) {
        let place = self.imm32(from | bits << 8);
        if self.class(v) == Class::W64 {
            let value = self.coerce(value, Class::W64);
            let new = self.alu(Alu::Bfi64, 0, &[value, v, place]);
            self.mov(v, new);
        } else {
            let value = self.coerce(value, Class::W32);
            let new = self.alu(Alu::Bfi32, 0, &[value, v, place]);
            self.mov(v, new);
        }
    }

    pub(super) fn write_cell(&mut self, var: usize, start: u32, bytes: u32, value: V) -> Result<()> {
        let cells = self.param_vars[var].cells.clone();
        if let Some(&(_, _, v)) = cells.iter().find(|c| c.0 == start && c.1 == bytes) {
            self.mov(v, value);
            return Ok(());
        }
        let end = start.saturating_add(bytes);
        if !cells.iter().any(|c| c.0 < end && start < c.0.saturating_add(c.1)) {
            let v = self.temp(self.class(value));
            self.param_vars[var].cells.push((start, bytes, v));
            self.mov(v, value);
            return Ok(());
        }
        let around = cells
            .iter()
            .find(|c| c.0 <= start && end <= c.0.saturating_add(c.1));
        if let Some(&(at, _, v)) = around {
            self.insert_part(v, (start - at) * 8, bytes * 8, value);
            return Ok(());
        }
        if bytes == 1 {
            return self.refuse("overlapping accesses to a parameter");
        }
        let half = bytes / 2;
        for (i, at) in [(0, start), (1, start + half)] {
            let part = self.bits_of(value, i * half * 8, half * 8);
            self.write_cell(var, at, half, part)?;
        }
        Ok(())
    }
}
