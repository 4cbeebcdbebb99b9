//! What the checks want to know of a kernel, worked out once, when it is first launched with them.
//!
//! Most registers are written on every path before they are read. Only those that are not, and what is computed from them, are
//! *tracked*: they have a shadow that says which lanes hold a value that nobody wrote.

use smallvec::SmallVec;

use super::origins::origins;
use super::report::AccessKind;
use crate::analysis::cfg::NONE;
use crate::analysis::live::Live;
use crate::exec::alu::Class;
use crate::lir::{AtomKind, Inst, Kernel, MemType, Order, Space, V, What};

/// An access as the checks see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) kind: AccessKind,
    pub(crate) space: Space,
    /// Bytes that a thread moves.
    pub(crate) bytes: u32,
    /// Bytes of an element.
    pub(crate) unit: u32,
    /// What the address is a multiple of.
    pub(crate) align: u32,
    pub(crate) strong: bool,
    /// A compare-and-swap.
    pub(crate) verifies: bool,
}

/// An instruction that is looked at.
#[derive(Debug, Clone)]
pub(crate) struct Looked {
    pub(crate) what: Option<What>,
    /// Index into the places of the kernel.
    pub(crate) at: u32,
    pub(crate) shape: Option<Shape>,
    /// The variable that the address was made from, or [`NONE`] (which no variable has as its number).
    pub(crate) object: Option<u32>,
    /// Results and operands by their number among the tracked registers, [`NONE`] where they are not.
    pub(crate) d: SmallVec<[u32; 2]>,
    pub(crate) s: SmallVec<[u32; 4]>,
    pub(crate) guard: u32,
    /// Lanes may come one by one.
    pub(crate) loose: bool,
}

/// What is looked at in a kernel.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) looked: Vec<Looked>,
    /// Index into `looked` by number of the instruction, [`NONE`] for those that are left alone.
    pub(crate) of_inst: Vec<u32>,
    /// How many registers are tracked.
    pub(crate) tracked: usize,
    /// Bytes that a cell of the race check covers: the smallest access, 4 at most.
    pub(crate) granule: u32,
    /// The kernel has fences or ordered accesses: atomics may pass on what was done before them.
    pub(crate) publishes: bool,
}

const fn bytes_of(ty: MemType) -> u32 {
    match ty {
        MemType::U8 | MemType::S8 => 1,
        MemType::U16 | MemType::S16 => 2,
        MemType::B32 | MemType::S32 => 4,
        MemType::B64 => 8,
    }
}

fn shape(what: &What) -> Option<Shape> {
    let of = |access: &crate::lir::Access, kind| Shape {
        kind,
        space: access.space,
        bytes: bytes_of(access.ty) * u32::from(access.n),
        unit: bytes_of(access.ty),
        align: (bytes_of(access.ty) * u32::from(access.n)) << access.align,
        strong: access.order != Order::Weak,
        verifies: false,
    };
    match what {
        What::Load(access) => Some(of(access, AccessKind::Read)),
        What::Store(access) => Some(of(access, AccessKind::Write)),
        What::Atom(atom) => Some(Shape {
            kind: AccessKind::Atomic,
            space: atom.space,
            bytes: u32::from(atom.bytes),
            unit: u32::from(atom.bytes),
            align: u32::from(atom.bytes) << atom.align,
            strong: true,
            verifies: atom.kind == AtomKind::Cas,
        }),
        _ => None,
    }
}

/// Whether an instruction hands a value on that nobody wrote, instead of being reported for it.
pub(crate) const fn hands_on(what: &What) -> bool {
    !matches!(
        what,
        What::Load(_)
            | What::Store(_)
            | What::Atom(_)
            | What::Vote(_)
            | What::Match { .. }
            | What::Redux(_)
            | What::Elect
            | What::BarWarp
            | What::Bar { .. }
            | What::Hook(_)
            | What::IsSpace(_)
    )
}

/// Whether an instruction is looked at for what it does, tracked registers or not.
const fn matters(what: &What) -> bool {
    !matches!(
        what,
        What::Alu(..)
            | What::Mma(_)
            | What::Quarters(_)
            | What::Tex(_)
            | What::Surf(_)
            | What::ImageQuery(_)
            | What::Pred(_)
            | What::Special(_)
            | What::IsSpace(_)
            | What::Sleep
            | What::Cluster { .. }
            | What::Raise(_)
            | What::Trap
            | What::ActiveMask
    )
}

/// Numbers of the registers that may hold a value that nobody wrote.
fn tracked(kernel: &Kernel, live: &Live) -> (Vec<u32>, usize) {
    let mut number = vec![NONE; kernel.vregs.len()];
    let mut count = 0;
    let mut take = |number: &mut Vec<u32>, v: V| {
        if number[v as usize] == NONE {
            number[v as usize] = count;
            count += 1;
        }
    };
    if let Some(entry) = live.live_in.first() {
        let unwritten = entry.iter().map(|i| live.shared[i]);
        for v in unwritten.filter(|v| !kernel.carriers.contains(v)) {
            take(&mut number, v);
        }
    }
    if number.iter().all(|&n| n == NONE) {
        return (number, 0);
    }
    let mut changed = true;
    while changed {
        changed = false;
        for inst in kernel.blocks.iter().flat_map(|b| &b.insts) {
            let fed = hands_on(&inst.what) && inst.s.iter().any(|&v| number[v as usize] != NONE);
            for &d in inst.d.iter().filter(|_| fed) {
                changed |= number[d as usize] == NONE;
                take(&mut number, d);
            }
        }
    }
    (number, count as usize)
}

impl Table {
    pub(crate) fn new(kernel: &Kernel, live: &Live) -> Self {
        let origins = origins(kernel);
        let (number, tracked) = tracked(kernel, live);
        let mut table = Self {
            looked: Vec::new(),
            of_inst: Vec::new(),
            tracked,
            granule: 4,
            publishes: kernel.publishes,
        };
        for block in &kernel.blocks {
            for inst in &block.insts {
                table.inst(kernel, inst, &number, |v| origins.get(&v).copied());
            }
            let operand = block.term.operand().map_or(NONE, |v| number[v as usize]);
            let mut index = NONE;
            if operand != NONE {
                index = u32::try_from(table.looked.len()).unwrap_or(NONE);
                table.looked.push(Looked {
                    what: None,
                    at: block.at,
                    shape: None,
                    object: None,
                    d: SmallVec::new(),
                    s: SmallVec::from_slice(&[operand]),
                    guard: NONE,
                    loose: false,
                });
            }
            table.of_inst.push(index);
        }
        table
    }

    fn inst(&mut self, kernel: &Kernel, inst: &Inst, number: &[u32], origin: impl Fn(V) -> Option<u32>) {
        let of = |v: &V| number[*v as usize];
        let looked = Looked {
            what: Some(inst.what),
            at: inst.at,
            shape: shape(&inst.what),
            object: inst.s.first().and_then(|&v| origin(v)),
            d: inst.d.iter().map(of).collect(),
            s: inst.s.iter().map(of).collect(),
            guard: inst.guard.map_or(NONE, |(p, _)| number[p as usize]),
            loose: kernel.loose.contains(&inst.at),
        };
        if let Some(shape) = &looked.shape {
            self.granule = self.granule.min(shape.unit);
            self.publishes |= shape.kind != AccessKind::Atomic && shape.strong;
        }
        self.publishes |= matches!(inst.what, What::Fence | What::Thread(_));
        let tracks = |list: &[u32]| list.iter().any(|&n| n != NONE);
        if !matters(&inst.what) && !tracks(&looked.d) && !tracks(&looked.s) && looked.guard == NONE {
            self.of_inst.push(NONE);
            return;
        }
        self.of_inst
            .push(u32::try_from(self.looked.len()).unwrap_or(NONE));
        self.looked.push(looked);
    }
}

/// Bytes of a value in a register of a class.
pub(crate) const fn register_bytes(class: Class) -> usize {
    match class {
        Class::W64 => 8,
        _ => 4,
    }
}
