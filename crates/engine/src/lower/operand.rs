//! Operands: registers, constants, symbols, special registers; `mov`; variables.

use tessera_ptx::body::Address;
use tessera_ptx::module::Symbol;
use tessera_ptx::{
    Component, Inst as PtxInst, Operand, Space as PtxSpace, SpecialKind, SpecialReg, Type, VarId,
};

use super::{Binding, Local, Lower, ParamVar, Result, SharedKey};
use crate::exec::alu::{Alu, Class};
use crate::lir::{DYNAMIC, Konst, PredOp, RESERVED, Space, Special, V, What};
use crate::{MAX_SHARED_BYTES, PARAM_WINDOW};

/// Class of the register that holds a value of this type.
pub(super) fn class_of(ty: Type) -> Class {
    match ty.bits() {
        1 => Class::Pred,
        33.. => Class::W64,
        _ => Class::W32,
    }
}

/// What a symbol's address is.
pub(super) enum Place {
    /// A constant address in the space of the symbol.
    At(u64),
    /// Dynamic shared memory: known once all static variables are placed.
    DynamicShared,
    /// So many bytes from a register.
    From(V, i32),
}

impl Lower<'_> {
    /// Gives the variables of the body their places.
    pub(super) fn declare(&mut self) -> Result<()> {
        let body = self.scope().body;
        let func = self.scope().func;
        for (id, var) in body.vars.iter() {
            let place = match var.space {
                PtxSpace::Shared | PtxSpace::SharedCta if var.size == 0 => continue,
                PtxSpace::Shared | PtxSpace::SharedCta => Local::Shared(self.shared_place(
                    SharedKey::Body(func, id),
                    &var.name,
                    var.size,
                    var.align,
                )?),
                PtxSpace::Local => match u32::try_from(var.size) {
                    Ok(size) => self.private(&var.name, size, var.align)?,
                    Err(_) => return self.refuse("local memory beyond 4 GiB"),
                },
                PtxSpace::Param | PtxSpace::ParamFunc => {
                    self.param_vars.push(ParamVar {
                        cells: Vec::new(),
                        size: u32::try_from(var.size).unwrap_or(u32::MAX),
                    });
                    Local::Param(self.param_vars.len() - 1)
                }
                _ => Local::Unsupported,
            };
            self.scope_mut().locals.insert(id, place);
        }
        Ok(())
    }

    /// Offset of a static shared variable.
    fn shared_place(&mut self, key: SharedKey, name: &str, size: u64, align: u32) -> Result<u32> {
        if let Some(&at) = self.shared_vars.get(&key) {
            return Ok(at);
        }
        let align = align.max(1);
        let at = u64::from(self.kernel.static_shared).next_multiple_of(u64::from(align));
        let end = at.saturating_add(size);
        if end > u64::from(MAX_SHARED_BYTES) {
            return self.refuse(format!(
                "{end} bytes of shared memory; a block has {MAX_SHARED_BYTES}"
            ));
        }
        let at = u32::try_from(at).unwrap_or(0);
        self.kernel.static_shared = u32::try_from(end).unwrap_or(0);
        self.kernel.shared_align = self.kernel.shared_align.max(align);
        self.shared_vars.insert(key, at);
        self.object(Space::Shared, name, at, size);
        Ok(at)
    }

    /// Shared memory that the system reserves for libraries: cooperative groups keep the barriers of tiles of several warps there.
    /// Only kernels that ask for it have any, two parts of 1 KiB, and theirs counts as static.
    fn reserved_shared(&mut self, reg: SpecialReg) -> Result<V> {
        const PART: u32 = 1024;
        let all = u64::from(PART) * 2;
        let begin = self.shared_place(SharedKey::Reserved, RESERVED, all, 128)?;
        let value = match reg.kind {
            SpecialKind::ReservedSmemOffsetEnd => begin + 2 * PART,
            SpecialKind::ReservedSmemOffsetCap => 2 * PART,
            SpecialKind::ReservedSmemOffset if reg.index > 0 => begin + PART,
            _ => begin,
        };
        Ok(self.imm32(value))
    }

    /// Resolves the registers that hold the address of dynamic shared memory: it follows the static variables.
    pub(super) fn place_dynamic_shared(&mut self) {
        if self.dynamic_shared.is_empty() {
            return;
        }
        let base = self
            .kernel
            .static_shared
            .next_multiple_of(self.kernel.shared_align.max(16));
        self.kernel.static_shared = base;
        for v in std::mem::take(&mut self.dynamic_shared) {
            let vreg = &mut self.kernel.vregs[v as usize];
            if let Some(Konst::Imm(offset)) = vreg.konst {
                vreg.konst = Some(Konst::Imm(offset.wrapping_add(u64::from(base))));
            }
        }
    }

    fn module_variable(&mut self, id: VarId) -> Result<Place> {
        let module = self.module;
        let var = &module.vars[id];
        match var.space {
            PtxSpace::Shared | PtxSpace::SharedCta if var.size == 0 => {
                self.kernel.shared_align = self.kernel.shared_align.max(var.align);
                Ok(Place::DynamicShared)
            }
            PtxSpace::Shared | PtxSpace::SharedCta => Ok(Place::At(u64::from(self.shared_place(
                SharedKey::Module(id),
                &var.name,
                var.size,
                var.align,
            )?))),
            PtxSpace::Global | PtxSpace::Const => match self.symbols.variable(id) {
                Some(address) => Ok(Place::At(address)),
                None => Err(crate::error::CompileError::Undefined {
                    function: self.scope().name.to_string(),
                    name: var.name.to_string(),
                    line: self.line,
                }),
            },
            other => self.refuse(format!("the address of a variable in .{other}")),
        }
    }

    /// The address of a symbol in its own state space.
    pub(super) fn symbol(&mut self, symbol: Symbol) -> Result<Place> {
        match symbol {
            Symbol::Var(id) => self.module_variable(id),
            Symbol::Func(id) => match self.symbols.function(id) {
                Some(handle) => Ok(Place::At(handle)),
                None => self.refuse("the address of a function that has none"),
            },
            Symbol::Local(id) => match self.scope().locals.get(&id).copied() {
                Some(Local::Shared(at) | Local::Private(at)) => Ok(Place::At(u64::from(at))),
                Some(place @ Local::Framed(_)) => self.place_of(place),
                None => Ok(Place::DynamicShared),
                Some(Local::Param(_)) => self.refuse("the address of a .param variable of a call"),
                Some(Local::Unsupported) => self.refuse("a .global or .const variable inside a body"),
            },
            Symbol::Param(n) => match self.scope().params.get(n as usize) {
                Some(Binding::Launch { offset }) => Ok(Place::At(PARAM_WINDOW + u64::from(*offset))),
                Some(&Binding::Memory(place)) => self.place_of(place),
                _ => self.refuse("the address of this parameter"),
            },
            Symbol::Ret(n) => match self.scope().rets.get(n as usize) {
                Some(&Binding::Memory(place)) => self.place_of(place),
                _ => self.refuse("the address of this return parameter"),
            },
        }
    }

    fn place_of(&mut self, place: Local) -> Result<Place> {
        Ok(match place {
            Local::Private(at) => Place::At(u64::from(at)),
            _ => {
                let (base, offset) = self.local_address(place, 0)?;
                Place::From(base, offset)
            }
        })
    }

    /// A register with a symbol's address plus an offset.
    pub(super) fn address_of(&mut self, symbol: Symbol, offset: i32, class: Class) -> Result<V> {
        let offset = i64::from(offset).cast_unsigned();
        Ok(match self.symbol(symbol)? {
            Place::At(address) => {
                let at = address.wrapping_add(offset);
                let at = if class == Class::W32 { at & 0xffff_ffff } else { at };
                match self.object_of(symbol, address) {
                    Some(object) => self.object_konst(class, object, at),
                    None => self.konst(class, Konst::Imm(at)),
                }
            }
            Place::From(base, start) => {
                let plus = self.imm64(i64::from(start).cast_unsigned().wrapping_add(offset));
                let at = self.alu(Alu::Add64, 0, &[base, plus]);
                self.coerce(at, class)
            }
            Place::DynamicShared => {
                // Not interned: its value is not known yet.
                let v = self.temp(class);
                self.kernel.vregs[v as usize].konst = Some(Konst::Imm(offset));
                self.kernel.addresses.insert(v, DYNAMIC);
                self.dynamic_shared.push(v);
                v
            }
        })
    }

    /// A source operand as a register of the class of `ty`.
    pub(super) fn source(&mut self, operand: &Operand, ty: Type) -> Result<V> {
        let class = class_of(ty);
        let v = match operand {
            Operand::Reg(reg) => self.register(*reg),
            Operand::Not(reg) => {
                let v = self.register(*reg);
                self.pred(PredOp::Not, &[v])
            }
            Operand::Int(value) => self.constant(*value, ty),
            Operand::F32(bits) => self.float_constant(f64::from(f32::from_bits(*bits)), Some(*bits), ty),
            Operand::F64(bits) if ty == Type::F64 || !ty.is_float() => self.imm64(*bits),
            Operand::F64(bits) => self.float_constant(f64::from_bits(*bits), None, ty),
            Operand::Sym { symbol, offset } => self.address_of(*symbol, *offset, class)?,
            Operand::Special(special) => self.special(*special)?,
            Operand::Sink => self.konst(class, Konst::Imm(0)),
            _ => return self.refuse("an operand of this kind"),
        };
        Ok(self.coerce(v, class))
    }

    /// The `n`-th operand as a source.
    pub(super) fn arg(&mut self, inst: &PtxInst, n: usize, ty: Type) -> Result<V> {
        match inst.operands.get(n) {
            Some(operand) => self.source(operand, ty),
            None => self.refuse(format!("operand {} is missing", n + 1)),
        }
    }

    fn constant(&mut self, value: i64, ty: Type) -> V {
        let bits = value.cast_unsigned();
        if ty.is_float() {
            #[allow(
                clippy::cast_precision_loss,
                reason = "what an integer literal means where a float is wanted"
            )]
            return self.float_constant(value as f64, None, ty);
        }
        match ty.bits() {
            1 => {
                let op = if bits == 0 { PredOp::False } else { PredOp::True };
                self.pred(op, &[])
            }
            64 => self.imm64(bits),
            n => self.konst(Class::W32, Konst::Imm(bits & ((1u64 << n.min(32)) - 1))),
        }
    }

    fn float_constant(&mut self, value: f64, single: Option<u32>, ty: Type) -> V {
        #[allow(
            clippy::cast_possible_truncation,
            reason = "rounding to nearest is what PTX says"
        )]
        let narrow = single.unwrap_or_else(|| (value as f32).to_bits());
        match ty {
            Type::F64 => self.imm64(value.to_bits()),
            Type::F16 => self.imm32(u32::from(half::f16::from_f64(value).to_bits())),
            Type::Bf16 => self.imm32(u32::from(half::bf16::from_f64(value).to_bits())),
            _ => self.imm32(narrow),
        }
    }

    /// Brings a register to a class by truncation or zero extension.
    pub(super) fn coerce(&mut self, v: V, class: Class) -> V {
        match (self.class(v), class) {
            (Class::W64, Class::W32) => self.alu(Alu::Low32, 0, &[v]),
            (Class::W32, Class::W64) => self.alu(Alu::Zx32To64, 0, &[v]),
            _ => v,
        }
    }

    /// A destination: the register itself; a fresh one for `_`.
    pub(super) fn dest(&mut self, operand: &Operand, class: Class) -> Result<V> {
        match operand {
            Operand::Reg(reg) => Ok(self.register(*reg)),
            Operand::Sink => Ok(self.temp(class)),
            _ => self.refuse("a destination of this kind"),
        }
    }

    /// Destination and optional predicate destination of `d|p`.
    pub(super) fn dest_pair(&mut self, inst: &PtxInst, class: Class) -> Result<(V, Option<V>)> {
        match inst.operands.first() {
            Some(Operand::Pair(pair)) => {
                let first = self.dest(&pair.0, class)?;
                let second = match pair.1 {
                    Operand::Sink => None,
                    ref other => Some(self.dest(other, Class::Pred)?),
                };
                Ok((first, second))
            }
            Some(operand) => Ok((self.dest(operand, class)?, None)),
            None => self.refuse("no destination"),
        }
    }

    /// Writes `value` to the destination register under the guard, adapting its width.
    pub(super) fn assign(&mut self, d: V, value: V) {
        let class = self.class(d);
        let value = self.coerce(value, class);
        self.mov(d, value);
    }

    /// An arithmetic result to the first operand.
    pub(super) fn result(&mut self, inst: &PtxInst, alu: Alu, x: u32, s: &[V]) -> Result<()> {
        let class = alu.signature().1;
        let Some(operand) = inst.operands.first() else {
            return self.refuse("no destination");
        };
        let d = self.dest(operand, class)?;
        if self.class(d) == class {
            self.alu_to(d, alu, x, s);
        } else {
            let value = self.alu(alu, x, s);
            self.assign(d, value);
        }
        Ok(())
    }

    fn special(&mut self, reg: SpecialReg) -> Result<V> {
        use SpecialKind as S;
        let c = match reg.component {
            None | Some(Component::X) => 0,
            Some(Component::Y) => 1,
            Some(Component::Z) => 2,
            Some(Component::W) => return Ok(self.imm32(0)),
        };
        let special = match reg.kind {
            S::Ntid => return Ok(self.konst(Class::W32, Konst::Ntid(c))),
            S::Nctaid => return Ok(self.konst(Class::W32, Konst::Nctaid(c))),
            S::Gridid => return Ok(self.konst(Class::W64, Konst::GridId)),
            S::Nwarpid => return Ok(self.konst(Class::W32, Konst::Warps)),
            S::DynamicSmemSize => return Ok(self.konst(Class::W32, Konst::DynamicShared)),
            S::TotalSmemSize | S::AggrSmemSize => return Ok(self.konst(Class::W32, Konst::TotalShared)),
            S::Envreg if reg.index == 1 => {
                return Ok(self.konst(Class::W32, Konst::GridWorkspace { high: true }));
            }
            S::Envreg if reg.index == 2 => {
                return Ok(self.konst(Class::W32, Konst::GridWorkspace { high: false }));
            }
            S::Envreg => return Ok(self.imm32(0)),
            S::ReservedSmemOffset
            | S::ReservedSmemOffsetBegin
            | S::ReservedSmemOffsetEnd
            | S::ReservedSmemOffsetCap => return self.reserved_shared(reg),
            S::ClusterCtaid
            | S::ClusterCtarank
            | S::ClusterNctaid
            | S::ClusterNctarank
            | S::Clusterid
            | S::Nclusterid
            | S::IsExplicitCluster => return Ok(self.cluster_special(reg)),
            S::CurrentGraphExec => return Ok(self.imm64(0)),
            S::Tid => Special::Tid(c),
            S::Ctaid => Special::Ctaid(c),
            S::Laneid => Special::LaneId,
            S::Warpid => Special::WarpId,
            S::LanemaskEq => Special::LaneMaskEq,
            S::LanemaskLe => Special::LaneMaskLe,
            S::LanemaskLt => Special::LaneMaskLt,
            S::LanemaskGe => Special::LaneMaskGe,
            S::LanemaskGt => Special::LaneMaskGt,
            S::Smid => Special::Sm,
            S::Nsmid => Special::Sms,
            S::Clock | S::ClockHi | S::Clock64 => Special::Clock,
            S::Globaltimer | S::GlobaltimerLo | S::GlobaltimerHi => Special::GlobalTimer,
            // Nothing is counted; the manual leaves their values open.
            S::Pm => return Ok(self.imm32(0)),
            S::Pm64 => return Ok(self.imm64(0)),
        };
        let wide = matches!(special, Special::Clock | Special::GlobalTimer);
        let d = self.temp(if wide { Class::W64 } else { Class::W32 });
        self.push(What::Special(special), &[d], &[], None);
        Ok(match reg.kind {
            S::Clock | S::GlobaltimerLo => self.alu(Alu::Low32, 0, &[d]),
            S::ClockHi | S::GlobaltimerHi => self.alu(Alu::High32, 0, &[d]),
            _ => d,
        })
    }

    /// `mov`: values, addresses, special registers, packing and unpacking.
    pub(super) fn mov_instruction(&mut self, inst: &PtxInst) -> Result<()> {
        let Some(ty) = inst.ty(0) else {
            return self.refuse("no type");
        };
        match (inst.operands.first(), inst.operands.get(1)) {
            (Some(Operand::Vec(to)), Some(Operand::Vec(from))) if to.len() == from.len() => {
                // `mov.v2`, `mov.v4`: all sources are read before the first destination is written.
                let mut values = Vec::new();
                for source in &**from {
                    let value = self.source(source, ty)?;
                    values.push(self.copied(value));
                }
                for (d, value) in to.iter().zip(values) {
                    if !matches!(d, Operand::Sink) {
                        let d = self.dest(d, class_of(ty))?;
                        self.assign(d, value);
                    }
                }
                Ok(())
            }
            (Some(Operand::Vec(parts)), Some(source)) => {
                let total: u32 = ty.bits();
                let each = total / u32::try_from(parts.len()).unwrap_or(1).max(1);
                self.unpack(parts, source, ty, each)
            }
            (Some(d), Some(Operand::Vec(parts))) => {
                let each = ty.bits() / u32::try_from(parts.len()).unwrap_or(1).max(1);
                self.pack(d, parts, ty, each)
            }
            (Some(d), Some(source)) if ty.bits() == 128 => {
                let (Operand::Reg(d), Operand::Reg(s)) = (d, source) else {
                    return self.refuse("mov.b128 of this operand");
                };
                let (d, s) = (self.register(*d), self.register(*s));
                self.mov(d, s);
                self.mov(d + 1, s + 1);
                Ok(())
            }
            (Some(d), Some(source)) => {
                let d = self.dest(d, class_of(ty))?;
                // The address of a local or shared variable is moved in the width of the register.
                let value = self.source(source, ty)?;
                self.assign(d, value);
                Ok(())
            }
            _ => self.refuse("operands are missing"),
        }
    }

    /// A copy in a fresh register.
    fn copied(&mut self, v: V) -> V {
        match self.class(v) {
            Class::W32 => self.alu(Alu::Mov32, 0, &[v]),
            Class::W64 => self.alu(Alu::Mov64, 0, &[v]),
            Class::Pred => self.pred(PredOp::Mov, &[v]),
        }
    }

    fn unpack(&mut self, parts: &[Operand], source: &Operand, ty: Type, each: u32) -> Result<()> {
        if ty.bits() == 128 {
            let Operand::Reg(s) = source else {
                return self.refuse("mov.b128 of this operand");
            };
            let s = self.register(*s);
            if parts.len() != 2 {
                return self.refuse("unpacking 128 bits into other than two halves");
            }
            for (i, part) in (0u32..).zip(parts) {
                let d = self.dest(part, Class::W64)?;
                self.mov(d, s + i);
            }
            return Ok(());
        }
        let value = self.source(source, ty)?;
        // All parts are read before the first is written: a destination may be the source.
        let mut values = Vec::new();
        for i in 0..u32::try_from(parts.len()).unwrap_or(0) {
            values.push(self.bits_of(value, i * each, each));
        }
        for (part, v) in parts.iter().zip(values) {
            if !matches!(part, Operand::Sink) {
                let d = self.dest(part, Class::W32)?;
                self.assign(d, v);
            }
        }
        Ok(())
    }

    /// `each` (8, 16 or 32) bits of a register from bit `from`, in a 32-bit register.
    pub(super) fn bits_of(&mut self, value: V, from: u32, each: u32) -> V {
        let mut word = value;
        let mut shift = from;
        if self.class(value) == Class::W64 {
            word = self.alu(if from >= 32 { Alu::High32 } else { Alu::Low32 }, 0, &[value]);
            shift = from % 32;
        }
        match (each, shift) {
            (32, _) => word,
            (16, 0) => self.alu(Alu::Zx16, 0, &[word]),
            (16, _) => self.alu(Alu::High16, 0, &[word]),
            _ => self.alu(Alu::Byte, shift, &[word]),
        }
    }

    fn pack(&mut self, d: &Operand, parts: &[Operand], ty: Type, each: u32) -> Result<()> {
        let part_type = match each {
            8 => Type::B8,
            16 => Type::B16,
            32 => Type::B32,
            _ => Type::B64,
        };
        let mut values = Vec::new();
        for part in parts {
            values.push(self.source(part, part_type)?);
        }
        if ty.bits() == 128 {
            let Operand::Reg(d) = d else {
                return self.refuse("mov.b128 to this operand");
            };
            let d = self.register(*d);
            let &[low, high] = values.as_slice() else {
                return self.refuse("packing 128 bits of other than two halves");
            };
            self.mov(d, low);
            self.mov(d + 1, high);
            return Ok(());
        }
        let value = self.join(&values, each);
        let d = self.dest(d, class_of(ty))?;
        self.assign(d, value);
        Ok(())
    }

    /// Joins parts of `each` bits, lowest first.
    pub(super) fn join(&mut self, parts: &[V], each: u32) -> V {
        match (each, parts) {
            (_, &[one]) => one,
            (32, &[low, high]) => self.alu(Alu::Pack32, 0, &[low, high]),
            (16, &[low, high]) => self.alu(Alu::Pack16, 0, &[low, high]),
            (8, &[low, high]) => {
                let eight = self.imm32(8);
                let up = self.alu(Alu::Shl32, 0, &[high, eight]);
                let low = self.alu(Alu::Zx8, 0, &[low]);
                let both = self.alu(Alu::Or32, 0, &[low, up]);
                self.alu(Alu::Zx16, 0, &[both])
            }
            (_, parts) => {
                let (a, b) = parts.split_at(parts.len() / 2);
                let (a, b) = (a.to_vec(), b.to_vec());
                let half = each * u32::try_from(a.len()).unwrap_or(1);
                let low = self.join(&a, each);
                let high = self.join(&b, each);
                self.join(&[low, high], half)
            }
        }
    }

    /// Base register and offset of an address; symbols become constants.
    pub(super) fn address(&mut self, address: Address, shared: bool) -> Result<(V, i32)> {
        let class = if shared { Class::W32 } else { Class::W64 };
        Ok(match address {
            Address::Reg { base, offset } => (self.register(base), offset),
            Address::Sym { symbol, offset } => (self.address_of(symbol, offset, class)?, 0),
            Address::Abs(at) if class == Class::W32 => (self.konst(class, Konst::Imm(at & 0xffff_ffff)), 0),
            Address::Abs(at) => (self.imm64(at), 0),
        })
    }
}
