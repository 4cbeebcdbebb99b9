//! Atomics and reductions, of vectors and of 128 bits too, and `multimem`.
//!
//! An atomic of a vector is one atomic per element, as the ISA says: together they are not one. `multimem` goes to all members
//! of a multicast object; an ordinary address has one, so there its accesses are ordinary ones.

use tessera_ptx::modifier::AtomOp;
use tessera_ptx::{Inst as PtxInst, Opcode as O, Operand, Type as T};

use super::alu::atom_int;
use super::memory::order;
use super::operand::class_of;
use super::{Lower, Result};
use crate::exec::thread::ThreadOp;
use crate::exec::wide::Wide;
use crate::lir::{Atom, AtomKind, Order, Space, V, What};

impl Lower<'_> {
    /// What an atomic on elements of a type does. `flushes`: subnormals of `.add.f32` are zero, as on global memory.
    pub(super) fn atom_kind(&self, inst: &PtxInst, ty: T, flushes: bool) -> Result<AtomKind> {
        let Some(op) = inst.atom_op() else {
            return self.refuse("no operation");
        };
        let half = |max: bool| AtomKind::Half {
            max,
            bf16: matches!(ty, T::Bf16 | T::Bf16x2),
            packed: ty.bits() == 32,
        };
        let halves = matches!(ty, T::F16 | T::Bf16 | T::F16x2 | T::Bf16x2);
        Ok(match (op, ty) {
            (AtomOp::Cas, _) => AtomKind::Cas,
            (AtomOp::Add, T::F32) => AtomKind::AddF32 { ftz: flushes },
            (AtomOp::Add, T::F64) => AtomKind::AddF64,
            (AtomOp::Add, T::F16) => AtomKind::AddF16,
            (AtomOp::Add, T::F16x2) => AtomKind::AddF16x2,
            (AtomOp::Add, T::Bf16) => AtomKind::AddBf16,
            (AtomOp::Add, T::Bf16x2) => AtomKind::AddBf16x2,
            (AtomOp::Min, _) if halves => half(false),
            (AtomOp::Max, _) if halves => half(true),
            (_, ty) if ty.is_float() => return self.refuse("this atomic of this type"),
            (op, ty) => match atom_int(op, ty.is_signed()) {
                Some(op) => AtomKind::Int(op),
                None => return self.refuse("this atomic"),
            },
        })
    }

    pub(super) fn atom(&mut self, inst: &PtxInst) -> Result<()> {
        let Some(ty) = inst.ty(0) else {
            return self.refuse("no type");
        };
        let at = usize::from(inst.op == O::Atom);
        let kind = self.atom_kind(inst, ty, inst.space() == Some(tessera_ptx::Space::Global))?;
        if ty.bits() == 128 {
            return self.atom_wide(inst, kind);
        }
        let values = self.elements(inst, at + 1)?;
        let n = values.len();
        let mut s = Vec::new();
        for value in values {
            s.push(self.source(value, ty)?);
        }
        let second = if kind == AtomKind::Cas {
            Some(self.arg(inst, at + 2, ty)?)
        } else {
            None
        };
        let address = self.mem_address(inst, at)?;
        let (space, base, offset) = self.place_of_access(inst, inst.space(), address)?;
        let address = (base, offset);
        let atom = self.atom_of(inst, ty, space, kind);
        if at == 0 {
            self.atoms(atom, address, &s, second, &[]);
            return Ok(());
        }
        let targets = self.elements(inst, 0)?;
        let mut d: Vec<Option<V>> = Vec::new();
        for target in targets {
            d.push(match target {
                Operand::Sink => None,
                other => Some(self.dest(other, class_of(ty))?),
            });
        }
        d.resize(n, None);
        if n == 1 && d[0].is_none_or(|d| self.class(d) == class_of(ty)) {
            self.atoms(atom, address, &s, second, &d);
            return Ok(());
        }
        // No element may overwrite the address or the operand of a later one.
        let fresh: Vec<Option<V>> = d.iter().map(|d| d.map(|_| self.temp(class_of(ty)))).collect();
        self.atoms(atom, address, &s, second, &fresh);
        for (d, v) in d.into_iter().zip(fresh) {
            if let (Some(d), Some(v)) = (d, v) {
                self.assign(d, v);
            }
        }
        Ok(())
    }

    /// The first atomic of an instruction, without its place.
    fn atom_of(&self, inst: &PtxInst, ty: T, space: Space, kind: AtomKind) -> Atom {
        // Every atomic of this device is sequentially consistent, which is more than any order asks for.
        debug_assert!(order(inst) != Order::Weak || inst.semantics().is_none());
        Atom {
            space,
            kind,
            bytes: u8::try_from(ty.bytes()).unwrap_or(8),
            offset: 0,
            align: 0,
        }
    }

    /// One atomic per element; the first checks the alignment of all.
    fn atoms(
        &mut self,
        atom: Atom,
        (base, offset): (V, i32),
        values: &[V],
        second: Option<V>,
        d: &[Option<V>],
    ) {
        let align = u8::try_from(values.len().max(1).ilog2()).unwrap_or(0);
        for (i, &value) in (0i32..).zip(values) {
            let mut s = vec![base, value];
            s.extend(second);
            let d = d.get(i.cast_unsigned() as usize).copied().flatten();
            let one = Atom {
                offset: offset.wrapping_add(i * i32::from(atom.bytes)),
                align: if i == 0 { align } else { 0 },
                ..atom
            };
            self.emit(What::Atom(one), d.as_slice(), &s);
        }
    }

    fn atom_wide(&mut self, inst: &PtxInst, kind: AtomKind) -> Result<()> {
        let pair = |lower: &mut Self, n: usize| match inst.operands.get(n) {
            Some(Operand::Reg(reg)) => {
                let v = lower.register(*reg);
                Ok([v, v + 1])
            }
            _ => lower.refuse("128 bits that are not a register"),
        };
        let mut s = pair(self, 2)?.to_vec();
        let what = if kind == AtomKind::Cas {
            s.extend(pair(self, 3)?);
            Wide::Cas
        } else {
            Wide::Exch
        };
        let d = match inst.operands.first() {
            Some(Operand::Sink) => Vec::new(),
            _ => pair(self, 0)?.to_vec(),
        };
        self.wide(inst, what, 1, &d, &s)
    }

    /// An access of 128 bits at the address in operand `at`; the values are pairs.
    pub(super) fn wide(
        &mut self,
        inst: &PtxInst,
        what: Wide,
        at: usize,
        d: &[V],
        values: &[V],
    ) -> Result<()> {
        let (address, shared) = self.flat(inst, at, inst.space())?;
        let mut s = vec![address];
        s.extend(values);
        self.thread(ThreadOp::Wide(what), shared, d, &s);
        Ok(())
    }

    /// As many fresh registers, of the same classes.
    pub(super) fn fresh(&mut self, like: &[V]) -> Vec<V> {
        like.iter().map(|&v| self.temp(self.class(v))).collect()
    }

    /// A reduction of one member's value is that value.
    pub(super) fn multimem(&mut self, inst: &PtxInst) -> Result<()> {
        match inst.op {
            O::MultimemLdReduce => self.load(inst),
            O::MultimemSt => self.store(inst),
            _ => {
                debug_assert_ne!(inst.op, O::Atom);
                self.atom(inst)
            }
        }
    }
}
