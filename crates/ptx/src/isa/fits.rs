//! Whether operands have the shape that a form asks for, types aside.

use super::{Form, OperandSpec, Role, Second};
use crate::body::Operand;

impl Form {
    /// The fewest and the most operands; `mov` has two, `call` is normalised by the parser.
    #[must_use]
    pub fn operand_count(&self) -> (usize, usize) {
        (usize::from(self.fewest), self.operands.len())
    }

    /// Whether number and kinds of operands fit. True for `mov` and `call`, whose operands are looked at in code.
    #[must_use]
    pub fn fits(&self, operands: &[Operand]) -> bool {
        if self
            .operands
            .first()
            .is_some_and(|operand| matches!(operand.role, Role::Call | Role::Move))
        {
            return true;
        }
        let (fewest, most) = self.operand_count();
        (fewest..=most).contains(&operands.len())
            && operands
                .iter()
                .zip(&self.operands)
                .all(|(operand, spec)| spec.fits(operand))
    }
}

impl OperandSpec {
    fn fits(&self, operand: &Operand) -> bool {
        match (operand, self.second) {
            (Operand::Pair(pair), Second::Optional | Second::Required) => self.role_fits(&pair.0),
            (Operand::Pair(_), Second::None) | (_, Second::Required) => false,
            (operand, _) => self.role_fits(operand),
        }
    }

    fn role_fits(&self, operand: &Operand) -> bool {
        use Operand as O;
        match self.role {
            Role::Dest | Role::DestRelaxed | Role::DestDouble | Role::PredDest => {
                matches!(operand, O::Reg(_) | O::Sink)
            }
            Role::DestVector | Role::Fragment(_) | Role::Vector => {
                matches!(operand, O::Reg(_) | O::Sink | O::Vec(_))
            }
            Role::Source | Role::SourceRelaxed | Role::SourceDouble => is_value(operand),
            Role::SourceVector => is_value(operand) || matches!(operand, O::Vec(_)),
            Role::Pred => matches!(operand, O::Reg(_) | O::Int(_) | O::Special(_)),
            Role::PredOrNot => matches!(operand, O::Reg(_) | O::Int(_) | O::Not(_)),
            Role::Memory => matches!(operand, O::Mem(_) | O::Sym { .. }),
            Role::Constant => matches!(operand, O::Int(_)),
            Role::Label => matches!(operand, O::Label(_) | O::Sink),
            Role::Table => matches!(operand, O::Table(_) | O::Sink),
            Role::Texture | Role::Surface | Role::Tensor => matches!(operand, O::Bracket(_)),
            Role::Select | Role::DestSelect => matches!(operand, O::Reg(_) | O::Part { .. } | O::Int(_)),
            Role::Call | Role::Move | Role::Any => true,
        }
    }
}

fn is_value(operand: &Operand) -> bool {
    use Operand as O;
    matches!(
        operand,
        O::Reg(_) | O::Int(_) | O::F32(_) | O::F64(_) | O::Sym { .. } | O::Special(_)
    )
}
