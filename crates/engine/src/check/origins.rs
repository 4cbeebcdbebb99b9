//! Which variable an address was made from: a register gets the variable of the address constant that went into it by moves,
//! additions and subtractions. Where paths disagree nothing is claimed.

use std::collections::HashMap;

use crate::exec::alu::Alu;
use crate::lir::{Kernel, V, What};

/// What is known of a register. It only ever moves down this list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// Nothing writes it, as far as was seen.
    Unseen,
    /// A number.
    Number,
    /// An address inside this variable, or meant to be.
    Variable(u32),
    /// Could be anything.
    Mixed,
}

impl Origin {
    fn join(self, other: Self) -> Self {
        match (self, other) {
            (Self::Unseen, x) | (x, Self::Unseen) => x,
            (a, b) if a == b => a,
            _ => Self::Mixed,
        }
    }

    /// What the sum of two values is.
    const fn plus(self, other: Self) -> Self {
        match (self, other) {
            (Self::Unseen, _) | (_, Self::Unseen) => Self::Unseen,
            (Self::Number, x) | (x, Self::Number) => x,
            _ => Self::Mixed,
        }
    }

    /// What the difference of two values is.
    const fn minus(self, other: Self) -> Self {
        match (self, other) {
            (Self::Unseen, _) | (_, Self::Unseen) => Self::Unseen,
            (x, Self::Number) => x,
            // The distance of two addresses.
            (Self::Variable(_), Self::Variable(_)) => Self::Number,
            _ => Self::Mixed,
        }
    }
}

fn result(what: &What, s: &[V], of: impl Fn(V) -> Origin) -> Origin {
    let arg = |i: usize| s.get(i).map_or(Origin::Number, |&v| of(v));
    match what {
        What::Alu(alu, _) => match alu {
            Alu::Mov32 | Alu::Mov64 | Alu::Zx32To64 | Alu::Sx32To64 => arg(0),
            Alu::Add32 | Alu::Add64 => arg(0).plus(arg(1)),
            Alu::Sub32 | Alu::Sub64 => arg(0).minus(arg(1)),
            Alu::MadLo32 | Alu::MadLo64 | Alu::MadWideU32 | Alu::MadWideS32 => match (arg(0), arg(1)) {
                (Origin::Number, Origin::Number) => arg(2),
                (Origin::Unseen, _) | (_, Origin::Unseen) => Origin::Unseen,
                _ => Origin::Mixed,
            },
            Alu::Sel32 | Alu::Sel64 => arg(0).join(arg(1)),
            _ => {
                let mut all = Origin::Number;
                for i in 0..s.len() {
                    all = match arg(i) {
                        Origin::Unseen => return Origin::Unseen,
                        Origin::Number => all,
                        _ => Origin::Mixed,
                    };
                }
                all
            }
        },
        What::Special(_) => Origin::Number,
        // A loaded value may be an address as well as a number.
        _ => Origin::Mixed,
    }
}

/// The variable of each register that has one.
pub(super) fn origins(kernel: &Kernel) -> HashMap<V, u32> {
    if kernel.addresses.is_empty() {
        return HashMap::new();
    }
    let mut known = vec![Origin::Unseen; kernel.vregs.len()];
    for (v, vreg) in (0u32..).zip(&kernel.vregs) {
        if vreg.konst.is_some() {
            let variable = kernel.addresses.get(&v);
            known[v as usize] = variable.map_or(Origin::Number, |&o| Origin::Variable(o));
        }
    }
    let mut changed = true;
    while changed {
        changed = false;
        for inst in kernel.blocks.iter().flat_map(|b| &b.insts) {
            let new = result(&inst.what, &inst.s, |v| known[v as usize]);
            for &d in &inst.d {
                let joined = known[d as usize].join(new);
                changed |= joined != known[d as usize];
                known[d as usize] = joined;
            }
        }
    }
    let variable = |(v, origin): (u32, &Origin)| match origin {
        Origin::Variable(o) => Some((v, *o)),
        _ => None,
    };
    (0u32..).zip(&known).filter_map(variable).collect()
}
