//! Whether operands have the shape that a form asks for, types aside.

use super::{Form, OperandSpec, Role, Second};
use crate::body::Operand;

impl Form {
    /// The fewest and the most operands.
    #[must_use]
    pub fn operand_count(&self) -> (usize, usize) {
        let fewest = self
            .operands
            .iter()
            .take_while(|operand| !operand.optional)
            .count();
        (fewest, self.operands.len())
    }

    /// Whether number and kinds of operands fit. A `call` always has the right number: the parser normalises it.
    #[must_use]
    pub fn fits(&self, operands: &[Operand]) -> bool {
        if self
            .operands
            .first()
            .is_some_and(|operand| operand.role == Role::Call)
        {
            return true;
        }
        let (fewest, most) = self.expanded_count();
        let expected = self
            .operands
            .iter()
            .flat_map(|spec| std::iter::repeat_n(spec, spec.width()));
        (fewest..=most).contains(&operands.len())
            && operands
                .iter()
                .zip(expected)
                .all(|(operand, spec)| spec.fits(operand))
    }

    /// As [`operand_count`](Self::operand_count), with `mov` counted as the two operands that it has.
    #[must_use]
    pub fn expanded_count(&self) -> (usize, usize) {
        let sum = |specs: &mut dyn Iterator<Item = &OperandSpec>| specs.map(OperandSpec::width).sum();
        (
            sum(&mut self.operands.iter().take_while(|spec| !spec.optional)),
            sum(&mut self.operands.iter()),
        )
    }
}

impl OperandSpec {
    /// How many operands this stands for: two for `mov`.
    #[must_use]
    pub const fn width(&self) -> usize {
        if matches!(self.role, Role::Move) { 2 } else { 1 }
    }

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
            Role::Move => is_value(operand) || matches!(operand, O::Vec(_) | O::Sink),
            Role::Label => matches!(operand, O::Label(_) | O::Sink),
            Role::Table => matches!(operand, O::Table(_) | O::Sink),
            Role::Texture | Role::Surface | Role::Tensor => matches!(operand, O::Bracket(_)),
            Role::Select | Role::DestSelect => matches!(operand, O::Reg(_) | O::Part { .. } | O::Int(_)),
            Role::Call | Role::Any => true,
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
