//! Matrix instructions.

use tessera_ptx::modifier::{BoolOp, Count, Fragment, Kind, Layout, Shape};
use tessera_ptx::{Flag, Inst as PtxInst, Opcode as O, Operand, Type as T};

use super::operand::class_of;
use super::{Lower, Result};
use crate::exec::alu::Class;
use crate::lir::matrix::{Elem, MOST_REGISTERS, Mma, Move, Quarters, Sum, TileMove};
use crate::lir::{Space, V, What};

/// Whether it is a matrix instruction that is executed.
pub(super) const fn executed(op: O) -> bool {
    matches!(
        op,
        O::Mma | O::Ldmatrix | O::Stmatrix | O::Movmatrix | O::WmmaLoad | O::WmmaStore | O::WmmaMma
    )
}

impl Lower<'_> {
    pub(super) fn matrix(&mut self, inst: &PtxInst) -> Result<()> {
        match inst.op {
            O::Mma => self.mma(inst),
            O::WmmaMma => self.wmma(inst),
            O::WmmaLoad | O::WmmaStore => self.move_tile(inst),
            O::Ldmatrix | O::Stmatrix => self.move_matrix(inst),
            _ => {
                let Some(operand) = inst.operands.first() else {
                    return self.refuse("no destination");
                };
                let d = self.dest(operand, Class::W32)?;
                let s = [self.arg(inst, 1, T::B32)?];
                self.emit(What::MoveMatrix, &[d], &s);
                Ok(())
            }
        }
    }

    /// The registers of a fragment that is read.
    fn fragment(&mut self, inst: &PtxInst, n: usize, ty: T) -> Result<Vec<V>> {
        let parts = self.elements(inst, n)?;
        parts.iter().map(|part| self.source(part, ty)).collect()
    }

    /// The registers of a fragment that is written; registers of their own for those that are dropped.
    fn fragment_to(&mut self, inst: &PtxInst, n: usize, class: Class) -> Result<Vec<V>> {
        let parts: Vec<Operand> = self.elements(inst, n)?.to_vec();
        parts.iter().map(|part| self.dest(part, class)).collect()
    }

    fn elem(&self, ty: Option<T>) -> Result<Elem> {
        Ok(match ty {
            Some(T::F16) => Elem::F16,
            Some(T::Bf16) => Elem::Bf16,
            Some(T::Tf32) => Elem::Tf32,
            Some(T::E4m3) => Elem::E4m3,
            Some(T::E5m2) => Elem::E5m2,
            Some(T::S8) => Elem::S8,
            Some(T::U8) => Elem::U8,
            Some(T::S4) => Elem::S4,
            Some(T::U4) => Elem::U4,
            Some(T::B1) => Elem::B1,
            Some(T::F64) => Elem::F64,
            _ => return self.refuse("factors of this type"),
        })
    }

    fn sum(&self, ty: Option<T>) -> Result<Sum> {
        Ok(match ty {
            Some(T::F32) => Sum::F32,
            Some(T::F16) => Sum::F16,
            Some(T::S32) => Sum::S32,
            Some(T::F64) => Sum::F64,
            _ => return self.refuse("sums of this type"),
        })
    }

    fn mma(&mut self, inst: &PtxInst) -> Result<()> {
        let Some(shape) = inst.shape() else {
            return self.refuse("no shape");
        };
        if inst.kind().is_some_and(|kind| kind != Kind::F8f6f4) {
            return self.refuse("factors with scales");
        }
        let (a, b) = (self.elem(inst.ty(1))?, self.elem(inst.ty(2))?);
        if a == Elem::F16 && shape.k == 4 {
            return self.quarters(inst);
        }
        let sparse = inst.has(Flag::Sp) || inst.has(Flag::SpOrdered);
        let plan = Plan::new(shape, a, sparse);
        let mut m = self.product_of(inst, plan, (a, b), (inst.ty(3), inst.ty(0)))?;
        let (pa, pb, pc, pd) = (part(a), part(b), part_of_sum(m.c), part_of_sum(m.d));
        let d = self.fragment_to(inst, 0, class_of(pd))?;
        let mut s = [
            self.fragment(inst, 1, pa)?,
            self.fragment(inst, 2, pb)?,
            self.fragment(inst, 3, pc)?,
        ];
        if sparse {
            let Some(&Operand::Int(selector)) = inst.operands.get(5) else {
                return self.refuse("no selector");
            };
            m.sparse = Some(u8::try_from(selector & 3).unwrap_or(0));
        }
        if [s[0].len(), s[1].len(), s[2].len(), d.len()] != m.registers() {
            return self.refuse("fragments of this size");
        }
        if sparse {
            let choice = self.arg(inst, 4, T::B32)?;
            s[2].push(choice);
        }
        self.emit(What::Mma(m), &d, &s.concat());
        Ok(())
    }

    fn product_of(
        &self,
        inst: &PtxInst,
        plan: Plan,
        (a, b): (Elem, Elem),
        (c, d): (Option<T>, Option<T>),
    ) -> Result<Mma> {
        let rounding = super::float::immediate(inst) & 3;
        Ok(Mma {
            tall: plan.tall,
            half: plan.half,
            wide: plan.wide,
            deep: plan.deep,
            a,
            b,
            c: self.sum(c)?,
            d: self.sum(d)?,
            clamp: inst.has(Flag::Satfinite),
            and: inst.bool_op() == Some(BoolOp::And),
            sparse: None,
            rounding: rounding.to_le_bytes()[0],
        })
    }

    /// `mma.m8n8k4` of halves.
    fn quarters(&mut self, inst: &PtxInst) -> Result<()> {
        let mut layouts = inst.layouts();
        let [a, b] = [layouts.next(), layouts.next()];
        let q = Quarters {
            a_columns: a == Some(Layout::Col),
            b_columns: b == Some(Layout::Col),
            c_half: inst.ty(3) == Some(T::F16),
            d_half: inst.ty(0) == Some(T::F16),
        };
        drop(layouts);
        let d = self.fragment_to(inst, 0, Class::W32)?;
        let s = [
            self.fragment(inst, 1, T::B32)?,
            self.fragment(inst, 2, T::B32)?,
            self.fragment(inst, 3, T::B32)?,
        ];
        let count = |half: bool| if half { 4 } else { 8 };
        if [s[0].len(), s[1].len(), s[2].len(), d.len()] != [2, 2, count(q.c_half), count(q.d_half)] {
            return self.refuse("fragments of this size");
        }
        self.emit(What::Quarters(q), &d, &s.concat());
        Ok(())
    }

    /// `wmma.mma`: fragments have the layout that [`move_tile`](Self::move_tile) gives them.
    fn wmma(&mut self, inst: &PtxInst) -> Result<()> {
        let Some(shape) = inst.shape() else {
            return self.refuse("no shape");
        };
        // Products of halves name the types of D and C only.
        let halves = inst.types().count() == 2;
        let types = if halves {
            [Some(T::F16), Some(T::F16), inst.ty(1), inst.ty(0)]
        } else {
            [inst.ty(1), inst.ty(2), inst.ty(3), inst.ty(0)]
        };
        let mut elems = (self.elem(types[0])?, self.elem(types[1])?);
        let plan = Plan::new(shape, elems.0, false);
        if plan.swapped {
            elems = (elems.1, elems.0);
        }
        let m = self.product_of(inst, plan, elems, (types[2], types[3]))?;
        let d = self.fragment_to(inst, 0, class_of(part_of_sum(m.d)))?;
        let mut a = self.fragment(inst, 1, part(elems.0))?;
        let mut b = self.fragment(inst, 2, part(elems.1))?;
        let c = self.fragment(inst, 3, part_of_sum(m.c))?;
        let [na, nb, nc, nd] = m.registers();
        if plan.swapped {
            // The columns of B as rows: blocks of a tile of 16 of them alternate.
            let deep = usize::from(plan.deep);
            let order = (0..na).map(|i| (i / (2 * deep) * 2 + i % 2) * deep + i / 2 % deep);
            let rows: Option<Vec<V>> = order.map(|i| b.get(i).copied()).collect();
            let Some(rows) = rows else {
                return self.refuse("fragments of this size");
            };
            b = std::mem::replace(&mut a, rows);
        }
        // Fragments of halves hold everything as often as fits.
        if a.len() < na || b.len() < nb || c.len() != nc || d.len() != nd {
            return self.refuse("fragments of this size");
        }
        let s = [&a[..na], &b[..nb], &c].concat();
        self.emit(What::Mma(m), &d, &s);
        Ok(())
    }

    /// `wmma.load` and `wmma.store`.
    fn move_tile(&mut self, inst: &PtxInst) -> Result<()> {
        let load = inst.op == O::WmmaLoad;
        let (Some(shape), Some(ty), Some(layout)) = (inst.shape(), inst.ty(0), inst.layouts().next()) else {
            return self.refuse("no shape");
        };
        let role = match inst.fragment() {
            Some(role) if load => role,
            _ => Fragment::D,
        };
        let factor = matches!(role, Fragment::A | Fragment::B);
        let registers = if load { 0 } else { 1 };
        let class = if ty == T::F64 { Class::W64 } else { Class::W32 };
        let parts = if load {
            self.fragment_to(inst, registers, class)?
        } else {
            let ty = if ty == T::F64 { T::B64 } else { T::B32 };
            self.fragment(inst, registers, ty)?
        };
        let mut m = if factor {
            let elem = self.elem(Some(ty))?;
            Plan::new(shape, elem, false).factor(elem, role == Fragment::A, layout)
        } else {
            Plan::new(shape, Elem::F16, false).sum(self.sum(Some(ty))?, layout)
        };
        if m.bits < 8 && !m.row_major {
            return self.refuse("this layout of elements below a byte");
        }
        m.n = u8::try_from(parts.len()).unwrap_or(u8::MAX);
        if parts.len() > MOST_REGISTERS {
            return self.refuse("fragments of this size");
        }
        m.space = self.space(inst.space())?;
        let address = self.mem_address(inst, usize::from(load))?;
        let (base, offset) = self.address(address, m.space == Space::Shared)?;
        m.offset = offset;
        let stride = if inst.operands.len() > 2 {
            self.arg(inst, 2, T::U32)?
        } else {
            let (rows, columns) = match role {
                Fragment::A => (u32::from(shape.m), u32::from(shape.k)),
                Fragment::B => (u32::from(shape.k), u32::from(shape.n)),
                _ => (u32::from(shape.m), u32::from(shape.n)),
            };
            self.imm32(if layout == Layout::Row { columns } else { rows })
        };
        if load {
            self.emit(What::LoadTile(m), &parts, &[base, stride]);
        } else {
            let s = [vec![base, stride], parts].concat();
            self.emit(What::StoreTile(m), &[], &s);
        }
        Ok(())
    }

    fn move_matrix(&mut self, inst: &PtxInst) -> Result<()> {
        let load = inst.op == O::Ldmatrix;
        if inst.ty(0) != Some(T::B16) {
            return self.refuse("matrices of elements below 16 bits");
        }
        let n = match inst.count() {
            Some(Count::X1) => 1,
            Some(Count::X2) => 2,
            Some(Count::X4) => 4,
            _ => return self.refuse("no count"),
        };
        let generic = inst.space().is_none();
        let address = self.mem_address(inst, usize::from(load))?;
        let (base, offset) = self.address(address, !generic)?;
        let m = Move {
            n,
            transposed: inst.has(Flag::Trans),
            generic,
            offset,
        };
        if load {
            let d = self.fragment_to(inst, 0, Class::W32)?;
            self.emit(What::LoadMatrix(m), &d, &[base]);
        } else {
            let mut s = vec![base];
            s.extend(self.fragment(inst, 1, T::B32)?);
            self.emit(What::StoreMatrix(m), &[], &s);
        }
        Ok(())
    }
}

/// The type of a register of a factor.
fn part(elem: Elem) -> T {
    if elem == Elem::F64 { T::B64 } else { T::B32 }
}

/// The type of a register of a sum.
fn part_of_sum(sum: Sum) -> T {
    if sum == Sum::F64 { T::B64 } else { T::B32 }
}

/// How a shape is cut into tiles.
#[derive(Clone, Copy)]
struct Plan {
    tall: u8,
    half: bool,
    wide: u8,
    deep: u8,
    /// The product is worked out as that of the transposes: eight rows by 32 columns are 32 rows by eight.
    swapped: bool,
}

impl Plan {
    fn new(shape: Shape, elem: Elem, sparse: bool) -> Self {
        let small = |x: u16| u8::try_from(x).unwrap_or(0);
        let given = if sparse { shape.k / 2 } else { shape.k };
        let per_block = u16::try_from(elem.per_word() * 4).unwrap_or(1);
        let swapped = shape.m == 8 && shape.n > 8;
        let (rows, columns) = if swapped {
            (shape.n, 8)
        } else {
            (shape.m.into(), shape.n)
        };
        Self {
            tall: small(rows.div_ceil(16)),
            half: rows == 8,
            wide: small(columns / 8),
            deep: small(given / per_block),
            swapped,
        }
    }

    /// Where the registers of a factor come from; rows are those of A or the columns of B.
    fn factor(self, elem: Elem, a: bool, layout: Layout) -> TileMove {
        let per = u8::try_from(elem.per_word()).unwrap_or(0);
        let step = 4 * per;
        let deep = self.deep.max(1);
        // The factor that is cut into tiles of 16 rows.
        let tall = a && !self.swapped && !self.half;
        let count = match (a, self.swapped) {
            _ if tall => self.tall * deep * 2,
            (true, _) => deep,
            (false, true) => self.tall * 2 * deep,
            (false, false) => self.wide * deep,
        };
        let origin = std::array::from_fn(|r| {
            let r = u8::try_from(r).unwrap_or(0) % count.max(1);
            if tall {
                let (tile, rest) = (r / (2 * deep), r % (2 * deep));
                (tile * 16 + rest % 2 * 8, rest / 2 * step)
            } else {
                (r / deep * 8, r % deep * step)
            }
        });
        TileMove {
            space: Space::Generic,
            offset: 0,
            bits: elem.bits(),
            per,
            step: per,
            row_major: (layout == Layout::Row) == a,
            n: 0,
            origin,
        }
    }

    /// Where the registers of a sum come from.
    fn sum(self, sum: Sum, layout: Layout) -> TileMove {
        let count = sum.registers(self.half);
        let origin = std::array::from_fn(|r| {
            let (tile, i) = (r / count, r % count);
            let wide = usize::from(self.wide.max(1));
            let (row, column) = (tile / wide * 16, tile % wide * 8);
            let place = if sum == Sum::F16 {
                (row + i * 8, column)
            } else {
                (row + i / 2 * 8, column + i % 2)
            };
            (
                u8::try_from(place.0).unwrap_or(0),
                u8::try_from(place.1).unwrap_or(0),
            )
        });
        TileMove {
            space: Space::Generic,
            offset: 0,
            bits: match sum {
                Sum::F16 => 16,
                Sum::F64 => 64,
                Sum::F32 | Sum::S32 => 32,
            },
            per: if sum == Sum::F16 { 2 } else { 1 },
            step: 2,
            row_major: (layout == Layout::Row) != self.swapped,
            n: 0,
            origin,
        }
    }
}
