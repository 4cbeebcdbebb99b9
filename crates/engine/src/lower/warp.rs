//! What threads do together: barriers, shuffles, votes, matches; and instructions without effect here.

use tessera_ptx::modifier::{AtomOp, BoolOp, ShflMode, VoteMode};
use tessera_ptx::{Inst as PtxInst, Opcode as O, Operand, Type as T};

use super::{Lower, Result};
use crate::exec::alu::{Alu, Class};
use crate::lir::{BarRed, Redux, Shfl, V, Vote, What};

impl Lower<'_> {
    pub(super) fn warp(&mut self, inst: &PtxInst) -> Result<()> {
        self.note_alignment(inst);
        match inst.op {
            O::BarSync | O::BarrierSync | O::BarArrive | O::BarrierArrive => {
                let mut s = vec![self.arg(inst, 0, T::U32)?];
                let count = inst.operands.len() > 1;
                if count {
                    s.push(self.arg(inst, 1, T::U32)?);
                }
                let arrive = matches!(inst.op, O::BarArrive | O::BarrierArrive);
                self.emit(
                    What::Bar {
                        red: BarRed::None,
                        count,
                        arrive,
                    },
                    &[],
                    &s,
                );
                Ok(())
            }
            O::BarRed | O::BarrierRed => self.barrier_reduction(inst),
            O::BarWarp => {
                let s = [self.arg(inst, 0, T::U32)?];
                self.emit(What::BarWarp, &[], &s);
                Ok(())
            }
            O::Shfl => self.shuffle(inst),
            O::Vote => self.vote(inst),
            O::Match => {
                let ty = inst.ty(0).unwrap_or(T::B32);
                let all = inst.vote_mode() == Some(VoteMode::All);
                let (d, p) = self.dest_pair(inst, Class::W32)?;
                let mut value = self.arg(inst, 1, ty)?;
                if ty.bits() == 32 {
                    value = self.alu(Alu::Zx32To64, 0, &[value]);
                }
                let s = [value, self.arg(inst, 2, T::U32)?];
                let d: Vec<V> = [Some(d), p].into_iter().flatten().collect();
                self.emit(What::Match { all }, &d, &s);
                Ok(())
            }
            O::Redux => self.redux(inst),
            O::Elect => {
                let (d, p) = self.dest_pair(inst, Class::W32)?;
                let p = match p {
                    Some(p) => p,
                    None => self.temp(Class::Pred),
                };
                let s = [self.arg(inst, 1, T::U32)?];
                self.emit(What::Elect, &[d, p], &s);
                Ok(())
            }
            O::Activemask => {
                let Some(operand) = inst.operands.first() else {
                    return self.refuse("no destination");
                };
                let d = self.dest(operand, Class::W32)?;
                self.emit(What::ActiveMask, &[d], &[]);
                Ok(())
            }
            O::Nanosleep => {
                self.emit(What::Sleep, &[], &[]);
                Ok(())
            }
            // As the vendor's assembler has it for a program without a debugger.
            O::Brkpt => {
                self.emit(What::Trap, &[], &[]);
                Ok(())
            }
            // Events of a profiler, counts of registers, dependencies between grids that run one after the other.
            _ => Ok(()),
        }
    }

    fn barrier_reduction(&mut self, inst: &PtxInst) -> Result<()> {
        let red = match (inst.atom_op(), inst.bool_op()) {
            (Some(AtomOp::Popc), _) => BarRed::Popc,
            (_, Some(BoolOp::And)) => BarRed::And,
            (_, Some(BoolOp::Or)) => BarRed::Or,
            _ => return self.refuse("no reduction"),
        };
        let class = if red == BarRed::Popc {
            Class::W32
        } else {
            Class::Pred
        };
        let Some(operand) = inst.operands.first() else {
            return self.refuse("no destination");
        };
        let d = self.dest(operand, class)?;
        let count = inst.operands.len() > 3;
        let mut s = vec![self.arg(inst, 1, T::U32)?];
        if count {
            s.push(self.arg(inst, 2, T::U32)?);
        }
        s.push(self.arg(inst, inst.operands.len().saturating_sub(1), T::Pred)?);
        self.emit(
            What::Bar {
                red,
                count,
                arrive: false,
            },
            &[d],
            &s,
        );
        Ok(())
    }

    /// The member mask of a `.sync` form; all threads of the warp for the old forms.
    fn members(&mut self, inst: &PtxInst, n: usize) -> Result<V> {
        if inst.operands.len() > n {
            self.arg(inst, n, T::U32)
        } else {
            self.kernel.loose.insert(self.at);
            Ok(self.imm32(u32::MAX))
        }
    }

    fn shuffle(&mut self, inst: &PtxInst) -> Result<()> {
        let mode = match inst.shfl_mode() {
            Some(ShflMode::Up) => Shfl::Up,
            Some(ShflMode::Down) => Shfl::Down,
            Some(ShflMode::Bfly) => Shfl::Bfly,
            Some(ShflMode::Idx) => Shfl::Idx,
            None => return self.refuse("no mode"),
        };
        let (d, p) = self.dest_pair(inst, Class::W32)?;
        let s = [
            self.arg(inst, 1, T::B32)?,
            self.arg(inst, 2, T::U32)?,
            self.arg(inst, 3, T::U32)?,
            self.members(inst, 4)?,
        ];
        let d: Vec<V> = [Some(d), p].into_iter().flatten().collect();
        self.emit(What::Shfl(mode), &d, &s);
        Ok(())
    }

    fn vote(&mut self, inst: &PtxInst) -> Result<()> {
        let mode = match inst.vote_mode() {
            Some(VoteMode::All) => Vote::All,
            Some(VoteMode::Any) => Vote::Any,
            Some(VoteMode::Uni) => Vote::Uni,
            Some(VoteMode::Ballot) => Vote::Ballot,
            None => return self.refuse("no mode"),
        };
        let class = if mode == Vote::Ballot {
            Class::W32
        } else {
            Class::Pred
        };
        let Some(operand) = inst.operands.first() else {
            return self.refuse("no destination");
        };
        let d = self.dest(operand, class)?;
        let s = [self.arg(inst, 1, T::Pred)?, self.members(inst, 2)?];
        self.emit(What::Vote(mode), &[d], &s);
        Ok(())
    }

    fn redux(&mut self, inst: &PtxInst) -> Result<()> {
        let ty = inst.ty(0).unwrap_or(T::U32);
        let signed = ty.is_signed();
        if ty.is_float() {
            return self.refuse("redux of floating point");
        }
        let op = match (inst.atom_op(), inst.bool_op()) {
            (Some(AtomOp::Add), _) => Redux::Add,
            (Some(AtomOp::Min), _) if signed => Redux::MinS,
            (Some(AtomOp::Min), _) => Redux::MinU,
            (Some(AtomOp::Max), _) if signed => Redux::MaxS,
            (Some(AtomOp::Max), _) => Redux::MaxU,
            (Some(AtomOp::And), _) | (_, Some(BoolOp::And)) => Redux::And,
            (Some(AtomOp::Or), _) | (_, Some(BoolOp::Or)) => Redux::Or,
            (Some(AtomOp::Xor), _) | (_, Some(BoolOp::Xor)) => Redux::Xor,
            _ => return self.refuse("no operation"),
        };
        let Some(operand) = inst.operands.first() else {
            return self.refuse("no destination");
        };
        let d = match operand {
            Operand::Pair(pair) => self.dest(&pair.0, Class::W32)?,
            one => self.dest(one, Class::W32)?,
        };
        let s = [self.arg(inst, 1, ty)?, self.arg(inst, 2, T::U32)?];
        self.emit(What::Redux(op), &[d], &s);
        Ok(())
    }
}
