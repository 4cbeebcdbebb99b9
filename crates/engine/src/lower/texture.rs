//! Textures and surfaces: handles, coordinates, offsets, results.
//!
//! A handle is the device address of a header ([`crate::texture`]), so a texture reference of the module stands for the address
//! of its variable, and a texture object for itself.

use tessera_ptx::modifier::{AtomOp, Geometry, Mod, Query, TexComponent};
use tessera_ptx::module::Symbol;
use tessera_ptx::{Address, Flag, Inst as PtxInst, Opcode as O, Operand, Type as T};

use super::operand::class_of;
use super::{Binding, Lower, Result};
use crate::exec::alu::Class;
use crate::lir::{
    Edge, Geom, ImageQuery, Konst, Lod, Out, PredOp, SurfKind, SurfOp, SurfRed, TexOp, V, What,
};

/// Whether an instruction is lowered here.
pub(super) const fn executed(op: O) -> bool {
    matches!(
        op,
        O::Tex | O::Tld4 | O::Txq | O::Suq | O::Suld | O::Sust | O::Sured
    )
}

/// Elements of a vector operand, or the one operand.
fn parts(operand: &Operand) -> &[Operand] {
    match operand {
        Operand::Vec(parts) => parts,
        one => std::slice::from_ref(one),
    }
}

fn component(inst: &PtxInst) -> Option<u8> {
    inst.mods.iter().find_map(|m| match m {
        Mod::Component(TexComponent::R) => Some(0),
        Mod::Component(TexComponent::G) => Some(1),
        Mod::Component(TexComponent::B) => Some(2),
        Mod::Component(TexComponent::A) => Some(3),
        _ => None,
    })
}

impl Lower<'_> {
    pub(super) fn image(&mut self, inst: &PtxInst) -> Result<()> {
        match inst.op {
            O::Tex | O::Tld4 => self.fetch(inst),
            O::Txq | O::Suq => self.image_query(inst),
            _ => self.surface(inst),
        }
    }

    fn image_geometry(&self, inst: &PtxInst) -> Result<Geom> {
        Ok(match inst.geometry() {
            Some(Geometry::D1) => Geom::D1,
            Some(Geometry::D2) => Geom::D2,
            Some(Geometry::D3) => Geom::D3,
            Some(Geometry::A1d) => Geom::A1,
            Some(Geometry::A2d) => Geom::A2,
            Some(Geometry::Cube) => Geom::Cube,
            Some(Geometry::Acube) => Geom::ACube,
            _ => return self.refuse("images with several samples"),
        })
    }

    /// The register with the handle of a texture, sampler or surface.
    fn handle(&mut self, operand: &Operand) -> Result<V> {
        match operand {
            Operand::Mem(Address::Reg { base, offset: 0 }) | Operand::Reg(base) => {
                let v = self.register(*base);
                Ok(self.coerce(v, Class::W64))
            }
            Operand::Mem(Address::Sym { symbol, offset: 0 }) | Operand::Sym { symbol, offset: 0 } => {
                match *symbol {
                    Symbol::Param(n) => match self.scope().params.get(n as usize).copied() {
                        Some(Binding::Launch { offset }) => {
                            let konst = Konst::Param {
                                offset,
                                bytes: 8,
                                signed: false,
                            };
                            Ok(self.konst(Class::W64, konst))
                        }
                        Some(Binding::Var(var)) => self.read_cell(var, 0, 8),
                        _ => self.refuse("this parameter is a register"),
                    },
                    other => self.address_of(other, 0, Class::W64),
                }
            }
            _ => self.refuse("a handle with an offset"),
        }
    }

    /// Handles and coordinates of `[a, c]` or `[a, b, c]`: registers, and whether there is a sampler.
    fn bracket(&mut self, inst: &PtxInst, n: usize, geom: Geom, ty: T) -> Result<(Vec<V>, bool)> {
        let items: &[Operand] = match inst.operands.get(n) {
            Some(Operand::Bracket(items)) => items,
            _ => &[],
        };
        let (image, sampler, coords) = match items {
            [image, coords] => (image, None, coords),
            [image, sampler, coords] => (image, Some(sampler), coords),
            _ => return self.refuse("no coordinates"),
        };
        let mut s = vec![self.handle(image)?];
        if let Some(sampler) = sampler {
            s.push(self.handle(sampler)?);
        }
        let coords = parts(coords);
        if coords.len() < geom.operands() {
            return self.refuse("too few coordinates");
        }
        for (k, coord) in coords.iter().enumerate().take(geom.operands()) {
            let ty = if k == 0 && geom.layered() { T::U32 } else { ty };
            s.push(self.source(coord, ty)?);
        }
        Ok((s, sampler.is_some()))
    }

    fn fetch(&mut self, inst: &PtxInst) -> Result<()> {
        let (Some(to), Some(ty), Some(coord)) = (inst.operands.first(), inst.ty(0), inst.ty(1)) else {
            return self.refuse("no type");
        };
        // Whether the texels are there: all of ours are.
        let (to, resident) = match to {
            Operand::Pair(pair) => (&pair.0, Some(&pair.1)),
            one => (one, None),
        };
        let geom = self.image_geometry(inst)?;
        let ints = coord == T::S32;
        let cube = matches!(geom, Geom::Cube | Geom::ACube);
        if ints && cube {
            return self.refuse("integer coordinates of a cube map");
        }
        let lod = if inst.has(Flag::Level) {
            Lod::Level
        } else if inst.has(Flag::Grad) {
            Lod::Grad
        } else if inst.has(Flag::Base) {
            Lod::Base
        } else {
            Lod::Zero
        };
        if lod == Lod::Grad && cube {
            return self.refuse("gradients of a cube map");
        }
        let (mut s, sampler) = self.bracket(inst, 1, geom, coord)?;
        let mut next = 2;
        match lod {
            Lod::Zero | Lod::Base => {}
            Lod::Level => {
                s.push(self.arg(inst, next, coord)?);
                next += 1;
            }
            Lod::Grad => {
                for _ in 0..2 {
                    self.vector_of(inst, next, geom.axes(), T::F32, &mut s)?;
                    next += 1;
                }
            }
        }
        let offsets = self.offsets(inst, next, geom, &mut s)?;
        let d = parts(to);
        let t = TexOp {
            geom,
            ints,
            lod,
            out: match ty {
                T::F16 => Out::Half,
                T::F16x2 => Out::HalfPairs,
                _ => Out::Words,
            },
            sampler,
            offsets,
            gather: component(inst),
            results: u8::try_from(d.len()).unwrap_or(0).min(4),
        };
        self.with_results(d, Class::W32, |this, d| this.emit(What::Tex(t), d, &s))?;
        if let Some(resident) = resident {
            let d = self.dest(resident, Class::Pred)?;
            let yes = self.pred(PredOp::True, &[]);
            self.mov(d, yes);
        }
        Ok(())
    }

    /// The first `count` elements of a vector operand.
    fn vector_of(&mut self, inst: &PtxInst, n: usize, count: usize, ty: T, s: &mut Vec<V>) -> Result<()> {
        let elements = inst.operands.get(n).map(parts).unwrap_or_default();
        if elements.len() < count {
            return self.refuse(format!("operand {} has too few elements", n + 1));
        }
        for element in &elements[..count] {
            s.push(self.source(element, ty)?);
        }
        Ok(())
    }

    /// Offsets in texels, where they are given. A depth to compare with may stand in the same place.
    fn offsets(&mut self, inst: &PtxInst, n: usize, geom: Geom, s: &mut Vec<V>) -> Result<u8> {
        let Some(operand) = inst.operands.get(n) else {
            return Ok(0);
        };
        let axes = geom.axes();
        let float = match operand {
            Operand::Vec(_) | Operand::Int(_) => false,
            Operand::Reg(reg) => axes > 1 || self.scope().body.regs[*reg].ty == T::F32,
            _ => true,
        };
        if float || inst.operands.len() > n + 1 {
            return self.refuse("comparison of depths");
        }
        if matches!(geom, Geom::Cube | Geom::ACube) {
            return self.refuse("offsets in a cube map");
        }
        self.vector_of(inst, n, axes, T::S32, s)?;
        Ok(u8::try_from(axes).unwrap_or(0))
    }

    /// Emits an instruction with these destinations, by way of registers of `class` where theirs are of another.
    fn with_results(
        &mut self,
        operands: &[Operand],
        class: Class,
        emit: impl FnOnce(&mut Self, &[V]),
    ) -> Result<()> {
        let mut d = Vec::new();
        for operand in operands {
            d.push(self.dest(operand, class)?);
        }
        let own: Vec<V> = d
            .iter()
            .map(|&v| {
                if self.class(v) == class {
                    v
                } else {
                    self.temp(class)
                }
            })
            .collect();
        emit(self, &own);
        for (d, from) in d.into_iter().zip(own) {
            if d != from {
                self.assign(d, from);
            }
        }
        Ok(())
    }

    fn surface(&mut self, inst: &PtxInst) -> Result<()> {
        let Some(ty) = inst.ty(0) else {
            return self.refuse("no type");
        };
        let geom = self.image_geometry(inst)?;
        let kind = match inst.op {
            O::Suld => SurfKind::Load,
            O::Sust => SurfKind::Store,
            _ => SurfKind::Reduce,
        };
        let edge = if inst.has(Flag::Clamp) {
            Edge::Clamp
        } else if inst.has(Flag::Zero) {
            Edge::Zero
        } else {
            Edge::Trap
        };
        let signed = ty.is_signed();
        let red = match inst.atom_op() {
            Some(AtomOp::Min) if signed => SurfRed::MinS,
            Some(AtomOp::Min) => SurfRed::MinU,
            Some(AtomOp::Max) if signed => SurfRed::MaxS,
            Some(AtomOp::Max) => SurfRed::MaxU,
            Some(AtomOp::And) => SurfRed::And,
            Some(AtomOp::Or) => SurfRed::Or,
            _ => SurfRed::Add,
        };
        let load = kind == SurfKind::Load;
        let (mut s, sampler) = self.bracket(inst, usize::from(load), geom, T::S32)?;
        if sampler {
            return self.refuse("a surface with a sampler");
        }
        let values = match inst.operands.get(usize::from(!load)) {
            Some(values) => parts(values),
            None => return self.refuse("no value"),
        };
        let what = What::Surf(SurfOp {
            kind,
            geom,
            formatted: inst.has(Flag::Formatted),
            edge,
            red,
            bytes: u8::try_from(ty.bytes()).unwrap_or(8),
            n: u8::try_from(values.len()).unwrap_or(0),
        });
        if values.len() > 4 || values.len() != inst.vector() {
            return self.refuse("as many values as the vector says are needed");
        }
        if load {
            return self.with_results(values, class_of(ty), |this, d| this.emit(what, d, &s));
        }
        for value in values {
            s.push(self.source(value, ty)?);
        }
        self.emit(what, &[], &s);
        Ok(())
    }

    fn image_query(&mut self, inst: &PtxInst) -> Result<()> {
        let asked = inst.mods.iter().find_map(|m| match m {
            Mod::Query(query) => Some(*query),
            _ => None,
        });
        let query = match asked {
            Some(Query::Width) => ImageQuery::Width,
            Some(Query::Height) => ImageQuery::Height,
            Some(Query::Depth) => ImageQuery::Depth,
            Some(Query::ChannelDataType) => ImageQuery::ChannelType,
            Some(Query::ChannelOrder) => ImageQuery::ChannelOrder,
            Some(Query::NormalizedCoords) => ImageQuery::Normalized,
            Some(Query::ArraySize) => ImageQuery::ArraySize,
            Some(Query::NumMipmapLevels) => ImageQuery::Levels,
            Some(Query::NumSamples) => ImageQuery::Samples,
            Some(Query::ForceUnnormalizedCoords) => ImageQuery::ForceUnnormalized,
            Some(Query::MemoryLayout) => ImageQuery::MemoryLayout,
            Some(Query::FilterMode) => ImageQuery::Filter,
            Some(Query::AddrMode0) => ImageQuery::Wrap0,
            Some(Query::AddrMode1) => ImageQuery::Wrap1,
            Some(Query::AddrMode2) => ImageQuery::Wrap2,
            Some(Query::Level) | None => return self.refuse("no property"),
        };
        let Some(image) = inst.operands.get(1) else {
            return self.refuse("no image");
        };
        let level = if inst.has(Flag::Level) {
            self.arg(inst, 2, T::U32)?
        } else {
            self.imm32(0)
        };
        let s = [self.handle(image)?, level];
        let to = inst.operands.get(..1).unwrap_or_default();
        self.with_results(to, Class::W32, |this, d| {
            this.emit(What::ImageQuery(query), d, &s);
        })
    }
}
