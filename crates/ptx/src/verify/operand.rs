//! Operands against the instruction table.

use super::Verifier;
use crate::body::{Address, Inst, Operand, Part, Table};
use crate::error::Error;
use crate::isa::{OperandSpec, Role, Second, TypeSpec};
use crate::modifier::Space;
use crate::module::Symbol;
use crate::opcode::Opcode;
use crate::types::{Type, TypeClass};

/// How the size of a register relates to that of the type.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Size {
    Equal,
    AtLeast,
}

type Check = Result<(), String>;

impl Verifier<'_> {
    pub(super) fn operand(&self, inst: &Inst, n: usize, operand: &Operand, spec: &OperandSpec) -> Check {
        match (operand, spec.second) {
            (Operand::Pair(pair), Second::Optional | Second::Required) => {
                self.single(inst, &pair.0, spec)?;
                self.pred(&pair.1, true, false)
            }
            (Operand::Pair(_), Second::None) => Err("a second destination is not possible here".to_owned()),
            (_, Second::Required) => Err(format!("operand {} needs a second, predicate destination", n + 1)),
            (operand, _) => self.single(inst, operand, spec),
        }
    }

    fn single(&self, inst: &Inst, operand: &Operand, spec: &OperandSpec) -> Check {
        match spec.role {
            Role::Dest => self.dest(operand, self.spec_type(inst, spec)?, Size::Equal),
            Role::DestRelaxed => self.dest(operand, self.spec_type(inst, spec)?, Size::AtLeast),
            Role::DestDouble => self.dest(operand, double(self.spec_type(inst, spec)?)?, Size::Equal),
            Role::DestVector => self.vector(inst, operand, self.spec_type(inst, spec)?, true),
            Role::Source => self.source_spec(inst, operand, spec),
            Role::SourceRelaxed => self.source(operand, self.spec_type(inst, spec)?, Size::AtLeast),
            Role::SourceDouble => self.source(operand, double(self.spec_type(inst, spec)?)?, Size::Equal),
            Role::SourceVector => self.vector(inst, operand, self.spec_type(inst, spec)?, false),
            Role::PredDest => self.pred(operand, true, false),
            Role::Pred => self.pred(operand, false, false),
            Role::PredOrNot => self.pred(operand, false, true),
            Role::Memory => self.memory(inst, operand),
            Role::Constant => expect(matches!(operand, Operand::Int(_)), "must be an integer constant"),
            Role::Fragment(role) => self.fragment(inst, operand, role),
            Role::Vector => self.registers(operand),
            Role::Label => expect(
                matches!(operand, Operand::Label(_)),
                "must be a label of this function",
            ),
            Role::Table => {
                let branch = |id| matches!(self.body.tables.get(id), Some(Table::Branch(_)));
                expect(
                    matches!(operand, Operand::Table(id) if branch(*id)),
                    "must be a '.branchtargets' list",
                )
            }
            Role::Texture | Role::Surface | Role::Tensor => self.bracket(operand),
            Role::Select => self.select(operand, self.spec_type(inst, spec)?, false),
            Role::DestSelect => self.select(operand, self.spec_type(inst, spec)?, true),
            Role::Move | Role::Call | Role::Any => Ok(()),
        }
    }

    /// The type that a row gives an operand.
    fn spec_type(&self, inst: &Inst, spec: &OperandSpec) -> Result<Type, String> {
        match spec.ty {
            TypeSpec::Fixed(ty) => Ok(ty),
            TypeSpec::Nth(n) => inst
                .ty(usize::from(n))
                .ok_or_else(|| "the instruction lacks a type".to_owned()),
            TypeSpec::Address if self.module.address_bits == 32 => Ok(Type::B32),
            TypeSpec::Address => Ok(Type::B64),
            TypeSpec::None | TypeSpec::AnyInteger | TypeSpec::IntegerOrPred => Ok(Type::B32),
        }
    }

    fn source_spec(&self, inst: &Inst, operand: &Operand, spec: &OperandSpec) -> Check {
        let reg = self.reg_type(operand);
        match (spec.ty, reg) {
            (TypeSpec::IntegerOrPred, Some(Type::Pred)) => Ok(()),
            (TypeSpec::AnyInteger, Some(ty)) => expect(ty.is_integer(), "must be an integer register"),
            (TypeSpec::Address, Some(ty)) => expect(
                ty.is_integer() && matches!(ty.bits(), 32 | 64),
                "must be an address of 32 or 64 bits",
            ),
            _ => self.source(operand, self.spec_type(inst, spec)?, Size::Equal),
        }
    }

    fn dest(&self, operand: &Operand, ty: Type, size: Size) -> Check {
        match operand {
            Operand::Sink => Ok(()),
            Operand::Reg(_) => self.register(operand, ty, size),
            _ => Err("must be a register".to_owned()),
        }
    }

    fn register(&self, operand: &Operand, ty: Type, size: Size) -> Check {
        let Some(reg) = self.reg_type(operand) else {
            return Err("must be a register".to_owned());
        };
        if agrees(reg, ty, size) {
            Ok(())
        } else {
            Err(format!("is a .{reg} register where .{ty} is needed"))
        }
    }

    fn source(&self, operand: &Operand, ty: Type, size: Size) -> Check {
        match operand {
            Operand::Reg(_) => self.register(operand, ty, size),
            Operand::Int(_) => {
                let float = matches!(ty, Type::F32 | Type::F64 | Type::F32x2);
                expect(
                    !float,
                    "is an integer constant where a floating-point one is needed",
                )
            }
            Operand::F32(_) | Operand::F64(_) => {
                let same_bits = matches!(
                    (operand, ty),
                    (Operand::F32(_), Type::B32) | (Operand::F64(_), Type::B64)
                );
                expect(
                    ty.is_float() || same_bits,
                    "is a floating-point constant where an integer is needed",
                )
            }
            Operand::Special(special) => {
                expect(
                    special.component.is_some() || !special.kind.is_vector(),
                    "needs a component such as '.x'",
                )?;
                expect(
                    ty.is_integer() == (special.ty() != Type::Pred),
                    "is a special register of another kind",
                )
            }
            Operand::Sym { symbol, .. } => {
                expect(
                    ty.is_integer() && matches!(ty.bits(), 32 | 64),
                    "is an address, which has 32 or 64 bits",
                )?;
                self.known(*symbol)
            }
            _ => Err("must be a register or a constant".to_owned()),
        }
    }

    fn known(&self, symbol: Symbol) -> Check {
        let function = &self.module.funcs[self.func];
        let known = match symbol {
            Symbol::Var(id) => self.module.vars.get(id).is_some(),
            Symbol::Func(id) => self.module.funcs.get(id).is_some(),
            Symbol::Local(id) => self.body.vars.get(id).is_some(),
            Symbol::Param(n) => function.params.get(n as usize).is_some(),
            Symbol::Ret(n) => function.rets.get(n as usize).is_some(),
        };
        expect(known, "is a symbol that does not exist")
    }

    fn pred(&self, operand: &Operand, dest: bool, may_negate: bool) -> Check {
        let message = if dest {
            "must be a predicate register"
        } else {
            "must be a predicate"
        };
        match operand {
            Operand::Sink => expect(dest, message),
            Operand::Int(_) => expect(!dest, message),
            Operand::Special(special) => expect(!dest && special.ty() == Type::Pred, message),
            Operand::Not(_) => {
                expect(may_negate, "cannot be negated here")?;
                expect(self.reg_type(operand) == Some(Type::Pred), message)
            }
            _ => expect(self.reg_type(operand) == Some(Type::Pred), message),
        }
    }

    /// A register, or a vector of as many as the instruction says.
    fn vector(&self, inst: &Inst, operand: &Operand, ty: Type, dest: bool) -> Check {
        let one = |operand: &Operand| match dest {
            true => self.dest(operand, ty, Size::AtLeast),
            false => self.source(operand, ty, Size::AtLeast),
        };
        let n = inst.vector();
        match operand {
            Operand::Vec(items) if n > 1 => {
                expect(items.len() == n, &format!("must be a vector of {n} elements"))?;
                items.iter().try_for_each(one)
            }
            // `.b128` may be given as its parts.
            Operand::Vec(items) => self.parts(items, ty),
            _ if n > 1 => Err(format!("must be a vector of {n} elements")),
            _ => one(operand),
        }
    }

    /// Elements of a vector that together have the size of a type.
    fn parts(&self, items: &[Operand], ty: Type) -> Check {
        let count = u32::try_from(items.len()).unwrap_or(u32::MAX);
        let each = ty
            .bits()
            .checked_div(count)
            .filter(|each| each * count == ty.bits());
        let Some(each) = each else {
            return Err(format!("cannot have {count} parts"));
        };
        items.iter().try_for_each(|item| match item {
            Operand::Sink | Operand::Int(_) | Operand::F32(_) | Operand::F64(_) => Ok(()),
            _ => match self.reg_type(item) {
                Some(reg) if reg.bits() == each && reg != Type::Pred => Ok(()),
                Some(reg) => Err(format!("has a part of type .{reg} where {each} bits are needed")),
                None => Err("has a part that is not a register".to_owned()),
            },
        })
    }

    /// A vector of registers, or one, whatever their type.
    pub(super) fn registers(&self, operand: &Operand) -> Check {
        let one = |operand: &Operand| match operand {
            Operand::Sink | Operand::Int(_) | Operand::Special(_) => Ok(()),
            _ => expect(
                self.reg_type(operand).is_some_and(|ty| ty != Type::Pred),
                "must consist of registers",
            ),
        };
        match operand {
            Operand::Vec(items) => items.iter().try_for_each(one),
            _ => one(operand),
        }
    }

    fn memory(&self, inst: &Inst, operand: &Operand) -> Check {
        match operand {
            Operand::Mem(Address::Abs(_)) => Ok(()),
            Operand::Mem(Address::Reg { base, .. }) => match self.body.regs.get(*base) {
                Some(reg) if reg.ty.is_integer() && matches!(reg.ty.bits(), 32 | 64) => Ok(()),
                Some(reg) => Err(format!("has a .{} register as address", reg.ty)),
                None => Err("has a register that does not exist".to_owned()),
            },
            Operand::Mem(Address::Sym { symbol, .. }) => {
                self.known(*symbol)?;
                self.space(inst, *symbol)
            }
            _ => Err("must be an address in brackets".to_owned()),
        }
    }

    /// A symbol must lie in the space that a load or store names.
    fn space(&self, inst: &Inst, symbol: Symbol) -> Check {
        let (Opcode::Ld | Opcode::St | Opcode::Atom | Opcode::Red, Some(wanted)) = (inst.op, inst.space())
        else {
            return Ok(());
        };
        let actual = match symbol {
            Symbol::Var(id) => self.module.vars.get(id).map(|var| var.space),
            Symbol::Local(id) => self.body.vars.get(id).map(|var| var.space),
            Symbol::Param(_) | Symbol::Ret(_) => Some(Space::Param),
            Symbol::Func(_) => None,
        };
        let Some(actual) = actual else {
            return Err("a function is not memory".to_owned());
        };
        let fits = match wanted {
            Space::Param | Space::ParamEntry | Space::ParamFunc => actual == Space::Param,
            Space::Shared | Space::SharedCta | Space::SharedCluster => actual == Space::Shared,
            other => other == actual,
        };
        expect(
            fits,
            &format!("lies in .{actual}, the instruction accesses .{wanted}"),
        )
    }

    fn bracket(&self, operand: &Operand) -> Check {
        let Operand::Bracket(items) = operand else {
            return Err("must be a list in brackets".to_owned());
        };
        let Some((first, rest)) = items.split_first() else {
            return Err("must not be empty".to_owned());
        };
        expect(
            matches!(first, Operand::Mem(_)),
            "must begin with a name or address",
        )?;
        rest.iter().try_for_each(|item| match item {
            Operand::Sym { .. } => Ok(()),
            _ => self.registers(item),
        })
    }

    /// A video operand: a 32-bit register or a part of one.
    fn select(&self, operand: &Operand, ty: Type, dest: bool) -> Check {
        match operand {
            Operand::Int(_) => expect(!dest, "must be a register"),
            Operand::Part { part, .. } => {
                let fine = match part {
                    Some(Part::Byte(n)) => *n < 8,
                    Some(Part::Half(n)) => *n < 4,
                    Some(Part::Select { .. }) | None => true,
                };
                expect(fine, "has no such part")?;
                self.register(operand, ty, Size::Equal)
            }
            _ => self.register(operand, ty, Size::Equal),
        }
    }

    /// `mov`: between equal sizes, or packing and unpacking.
    pub(super) fn mov(&self, inst: &Inst) -> Result<(), Error> {
        let (Some(ty), [dest, source]) = (inst.ty(0), inst.operands.as_slice()) else {
            return Err(self.form_error(inst, "takes 2 operands"));
        };
        let (n, result) = match (dest, source) {
            (Operand::Vec(_), Operand::Vec(_)) => (0, Err("a vector cannot be moved to a vector".to_owned())),
            (Operand::Vec(parts), _) => match self.parts(parts, ty) {
                Ok(()) => (1, self.source(source, ty, Size::Equal)),
                error => (0, error),
            },
            (_, Operand::Vec(parts)) => match self.dest(dest, ty, Size::Equal) {
                Ok(()) => (1, self.parts(parts, ty)),
                error => (0, error),
            },
            _ => match self.dest(dest, ty, Size::Equal) {
                Ok(()) => (1, self.source(source, ty, Size::Equal)),
                error => (0, error),
            },
        };
        result.map_err(|reason| self.operand_error(inst, n, &reason))
    }
}

fn expect(fine: bool, message: &str) -> Check {
    if fine { Ok(()) } else { Err(message.to_owned()) }
}

fn double(ty: Type) -> Result<Type, String> {
    match ty {
        Type::U16 => Ok(Type::U32),
        Type::S16 => Ok(Type::S32),
        Type::U32 => Ok(Type::U64),
        Type::S32 => Ok(Type::S64),
        _ => Err(format!(".{ty} has no double width")),
    }
}

/// Whether a register type agrees with the type of an instruction.
fn agrees(reg: Type, ty: Type, size: Size) -> bool {
    let sizes = match size {
        Size::Equal => reg.bits() == ty.bits(),
        Size::AtLeast => reg.bits() >= ty.bits(),
    };
    // The strict floating types; the others (halves, packed and small formats) live in registers of any integer type.
    let strict = |ty| matches!(ty, Type::F32 | Type::F64);
    let classes = match (reg.class(), ty.class()) {
        (TypeClass::Pred, other) | (other, TypeClass::Pred) => return reg == ty && other == TypeClass::Pred,
        (TypeClass::Bits, _) | (_, TypeClass::Bits) => true,
        (TypeClass::Float, TypeClass::Float) => reg == ty || !strict(ty),
        (TypeClass::Float, _) => !strict(reg),
        (_, TypeClass::Float) => !strict(ty),
        _ => true,
    };
    sizes && classes
}
