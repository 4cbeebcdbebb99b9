//! Functions of three bits, of which AVX2 has those of two.

use std::sync::OnceLock;

use iced_x86::{Code, Instruction, Register};

use super::emit::Src;
use super::{Lower, Result};

/// The truth tables of the operands.
const A: u8 = 0xf0;
const B: u8 = 0xcc;
const C: u8 = 0xaa;

/// How a table is made.
#[derive(Debug, Clone, Copy)]
enum Node {
    Zeros,
    Ones,
    A,
    B,
    C,
    Of(Gate, u8, u8),
}

#[derive(Debug, Clone, Copy)]
enum Gate {
    And,
    /// The second without the first.
    AndNot,
    Or,
    Xor,
}

impl Gate {
    const ALL: [Self; 4] = [Self::And, Self::AndNot, Self::Or, Self::Xor];

    const fn apply(self, a: u8, b: u8) -> u8 {
        match self {
            Self::And => a & b,
            Self::AndNot => !a & b,
            Self::Or => a | b,
            Self::Xor => a ^ b,
        }
    }

    const fn code(self) -> Code {
        match self {
            Self::And => Code::VEX_Vpand_ymm_ymm_ymmm256,
            Self::AndNot => Code::VEX_Vpandn_ymm_ymm_ymmm256,
            Self::Or => Code::VEX_Vpor_ymm_ymm_ymmm256,
            Self::Xor => Code::VEX_Vpxor_ymm_ymm_ymmm256,
        }
    }
}

/// The shortest way to each table, without common parts.
fn nodes() -> &'static [Node; 256] {
    static NODES: OnceLock<[Node; 256]> = OnceLock::new();
    NODES.get_or_init(|| {
        let mut cost = [u8::MAX; 256];
        let mut node = [Node::Zeros; 256];
        for (table, leaf) in [
            (0, Node::Zeros),
            (0xff, Node::Ones),
            (A, Node::A),
            (B, Node::B),
            (C, Node::C),
        ] {
            cost[usize::from(table)] = 0;
            node[usize::from(table)] = leaf;
        }
        for sum in 0..8u8 {
            for a in 0..=u8::MAX {
                for b in 0..=u8::MAX {
                    let (x, y) = (cost[usize::from(a)], cost[usize::from(b)]);
                    if x == u8::MAX || y == u8::MAX || x + y != sum {
                        continue;
                    }
                    for gate in Gate::ALL {
                        let made = usize::from(gate.apply(a, b));
                        if cost[made] > sum + 1 {
                            cost[made] = sum + 1;
                            node[made] = Node::Of(gate, a, b);
                        }
                    }
                }
            }
        }
        node
    })
}

impl Lower<'_> {
    pub(super) fn ternary(&mut self, i: &Instruction) -> Result {
        let width = if i.code() == Code::EVEX_Vpternlogd_zmm_k1z_zmm_zmmm512b32_imm8 {
            4
        } else {
            8
        };
        let mut bc = None;
        let table = i.immediate8();
        self.lanes(i, width, false, |s, h, d| match table {
            0 => s.e3(Code::VEX_Vpxor_ymm_ymm_ymmm256, d, d, d),
            0xff => s.e3(Code::VEX_Vpcmpeqd_ymm_ymm_ymmm256, d, d, d),
            _ => {
                let (a, b) = (s.reg(i, 0, h)?, s.reg(i, 1, h)?);
                let c = s.src(i, 2, h, &mut bc)?;
                let from = s.table(table, [a.into(), b.into(), c], d)?;
                match from {
                    Src::Reg(from) if from == d => Ok(()),
                    from => s.e2(Code::VEX_Vmovdqu_ymm_ymmm256, d, from),
                }
            }
        })
    }

    /// Makes a table, in `to` unless it is an operand.
    fn table(&mut self, table: u8, operands: [Src; 3], to: Register) -> Result<Src> {
        match nodes()[usize::from(table)] {
            Node::Zeros => Ok(self.all32(0)),
            Node::Ones => Ok(self.all32(u32::MAX)),
            Node::A => Ok(operands[0]),
            Node::B => Ok(operands[1]),
            Node::C => Ok(operands[2]),
            Node::Of(gate, a, b) => {
                let inner = |n: u8| matches!(nodes()[usize::from(n)], Node::Of(..));
                let t = if inner(a) && inner(b) {
                    Some(self.tmp()?)
                } else {
                    None
                };
                let b_to = t.unwrap_or(to);
                let y = self.table(b, operands, b_to)?;
                let x = self.table(a, operands, to)?;
                let (x, y) = match (x, y) {
                    (Src::Reg(x), y) => (x, y),
                    (x @ Src::Mem(_), Src::Reg(y)) if !matches!(gate, Gate::AndNot) => (y, x),
                    (x, y) => {
                        let loaded = self.tmp()?;
                        self.e2(Code::VEX_Vmovdqu_ymm_ymmm256, loaded, x)?;
                        (loaded, y)
                    }
                };
                self.e3(gate.code(), to, x, y)?;
                if let Some(t) = t {
                    self.give(t);
                }
                Ok(to.into())
            }
        }
    }
}
