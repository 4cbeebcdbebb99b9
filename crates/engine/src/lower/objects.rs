//! What only reports need: source lines, the variables that addresses were made from, which barriers ask for whole warps.

use std::sync::Arc;

use tessera_ptx::modifier::Semantics;
use tessera_ptx::module::Symbol;
use tessera_ptx::{Flag, Inst as PtxInst, InstId, Opcode as O, Space as PtxSpace};

use super::{Local, Lower};
use crate::exec::alu::Class;
use crate::lir::{Konst, Object, Space, V};

const fn is_shared(space: PtxSpace) -> bool {
    matches!(space, PtxSpace::Shared | PtxSpace::SharedCta)
}

impl Lower<'_> {
    /// The source line of an instruction, as the last `.loc` before it says.
    pub(super) fn source_line(&self, number: InstId) -> Option<(Arc<str>, u32)> {
        let scope = self.scope();
        let lines = &scope.body.lines;
        let before = lines.partition_point(|l| l.inst.as_u32() <= number.as_u32());
        let loc = lines.get(before.checked_sub(1)?)?;
        let unit = self.module.funcs[scope.func].unit;
        let file = self
            .module
            .files
            .iter()
            .find(|f| f.index == loc.file && f.unit == unit)?;
        Some((Arc::from(&*file.name), loc.line))
    }

    /// Notes a variable of shared or local memory.
    pub(super) fn object(&mut self, space: Space, name: &str, offset: u32, size: u64) {
        self.kernel.objects.push(Object {
            space,
            name: Arc::from(name),
            offset,
            size: u32::try_from(size).unwrap_or(u32::MAX),
        });
    }

    /// The variable that the address of `symbol`, which is `address`, lies in.
    pub(super) fn object_of(&self, symbol: Symbol, address: u64) -> Option<u32> {
        let space = match symbol {
            Symbol::Var(id) if is_shared(self.module.vars[id].space) => Space::Shared,
            Symbol::Local(id) => match self.scope().locals.get(&id)? {
                Local::Shared(_) => Space::Shared,
                Local::Private(_) => Space::Local,
                _ => return None,
            },
            _ => return None,
        };
        let here = |o: &Object| o.space == space && u64::from(o.offset) == address && o.size != 0;
        let found = self.kernel.objects.iter().rposition(here)?;
        u32::try_from(found).ok()
    }

    /// The register of an address inside a variable. It is not shared with other constants of the same value, so that what is
    /// computed from it can be traced back.
    pub(super) fn object_konst(&mut self, class: Class, object: u32, at: u64) -> V {
        if let Some(&v) = self.object_konsts.get(&(class, object, at)) {
            return v;
        }
        let v = self.temp(class);
        self.kernel.vregs[v as usize].konst = Some(Konst::Imm(at));
        self.kernel.addresses.insert(v, object);
        self.object_konsts.insert((class, object, at), v);
        v
    }

    /// Notes an atomic that can publish what was written before it.
    pub(super) fn note_order(&mut self, inst: &PtxInst) {
        let publishes = |s| {
            matches!(
                s,
                Semantics::Acquire | Semantics::Release | Semantics::AcqRel | Semantics::Sc
            )
        };
        self.kernel.publishes |= inst.semantics().is_some_and(publishes);
    }

    /// Notes a barrier that lanes of a warp may come to one by one.
    pub(super) fn note_alignment(&mut self, inst: &PtxInst) {
        let barrier = matches!(inst.op, O::BarrierSync | O::BarrierRed | O::BarrierArrive);
        if barrier && !inst.has(Flag::Aligned) {
            self.kernel.loose.insert(self.at);
        }
    }
}
