//! Operands against the instruction table.

use super::Verifier;
use crate::body::{Address, Inst, Operand, Part, Table};
use crate::error::Error;
use crate::isa::{OperandSpec, Role, Second, TypeSpec};
use crate::modifier::{Flag, Space};
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
            Role::Dest if *operand == Operand::Sink => {
                expect(may_discard(inst, spec), "cannot be discarded by this instruction")
            }
            Role::Dest => self.register(operand, self.spec_type(inst, spec)?, Size::Equal),
            Role::DestRelaxed => self.register(operand, self.spec_type(inst, spec)?, Size::AtLeast),
            Role::DestDouble => self.register(operand, double(self.spec_type(inst, spec)?)?, Size::Equal),
            Role::DestVector => self.vector(inst, operand, self.spec_type(inst, spec)?, true),
            Role::Source => self.source_spec(inst, operand, spec),
            Role::SourceRelaxed => self.source(inst, operand, self.spec_type(inst, spec)?, Size::AtLeast),
            Role::SourceDouble => {
                self.source(inst, operand, double(self.spec_type(inst, spec)?)?, Size::Equal)
            }
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
            _ => self.source(inst, operand, self.spec_type(inst, spec)?, Size::Equal),
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

    fn source(&self, inst: &Inst, operand: &Operand, ty: Type, size: Size) -> Check {
        match operand {
            Operand::Reg(_) => self.register(operand, ty, size),
            Operand::Int(_) => expect(
                !ty.is_float(),
                "is an integer constant where a floating-point value is needed",
            ),
            Operand::F32(_) | Operand::F64(_) => {
                let bits = if matches!(operand, Operand::F32(_)) {
                    Type::B32
                } else {
                    Type::B64
                };
                let fits = matches!(ty, Type::F32 | Type::F64) || ty == bits;
                expect(
                    fits,
                    &format!("is a floating-point constant where .{ty} is needed"),
                )
            }
            Operand::Special(special) => {
                let readable = inst.op == Opcode::Mov || inst.op == Opcode::Cvt && ty.is_integer();
                expect(
                    readable,
                    "is a special register, which only 'mov' and integer 'cvt' can read",
                )?;
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
                let fits = ty.is_integer() && matches!(ty.bits(), 32 | 64);
                expect(fits, "is an address, which has 32 or 64 bits")?;
                self.address_value(inst, *symbol, ty)
            }
            _ => Err("must be a register or a constant".to_owned()),
        }
    }

    /// The address of a symbol as a value: only where it is moved or converted.
    fn address_value(&self, inst: &Inst, symbol: Symbol, ty: Type) -> Check {
        self.known(symbol)?;
        let space = self.symbol_space(symbol);
        match inst.op {
            Opcode::Mov => {
                let narrow = ty.bits() < u32::from(self.module.address_bits) && space == Some(Space::Global);
                expect(!narrow, "is an address that does not fit the type")
            }
            Opcode::Cvta => {
                expect(!inst.has(Flag::To), "must be a register")?;
                expect(
                    inst.space().is_some_and(|wanted| same_space(wanted, space)),
                    "lies in another state space",
                )
            }
            Opcode::Mapa | Opcode::Getctarank => {
                expect(same_space(Space::Shared, space), "does not lie in .shared")
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
            true => self.register(operand, ty, Size::AtLeast),
            false => self.source(inst, operand, ty, Size::AtLeast),
        };
        let n = inst.vector();
        match operand {
            Operand::Vec(items) if n > 1 => {
                if items.len() != n {
                    return Err(format!("must be a vector of {n} elements"));
                }
                items
                    .iter()
                    .filter(|item| !dest || **item != Operand::Sink)
                    .try_for_each(one)
            }
            // Compilers put the one value of a surface instruction in braces.
            Operand::Vec(items) if items.len() == 1 => one(&items[0]),
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
            Operand::Sink | Operand::Int(_) | Operand::F32(_) | Operand::F64(_) => Ok(()),
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
                Some(reg) if reg.ty.is_integer() && matches!(reg.ty.bits(), 32 | 64) => {
                    let whole = matches!(inst.op, Opcode::Ld | Opcode::St | Opcode::Atom | Opcode::Red)
                        && matches!(inst.space(), None | Some(Space::Global));
                    let wide = reg.ty.bits() >= u32::from(self.module.address_bits);
                    expect(!whole || wide, "has an address register that is too narrow")
                }
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
        let actual = self.symbol_space(symbol);
        let Some(name) = actual else {
            return Err("a function is not memory".to_owned());
        };
        if same_space(wanted, actual) {
            return Ok(());
        }
        Err(format!("lies in .{name}, the instruction accesses .{wanted}"))
    }

    /// The state space of a symbol; `None` for functions.
    fn symbol_space(&self, symbol: Symbol) -> Option<Space> {
        match symbol {
            Symbol::Var(id) => self.module.vars.get(id).map(|var| var.space),
            Symbol::Local(id) => self.body.vars.get(id).map(|var| var.space),
            Symbol::Param(_) | Symbol::Ret(_) => Some(Space::Param),
            Symbol::Func(_) => None,
        }
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

    /// `mov`: between equal sizes, packing and unpacking, or element by element (`mov.v4`).
    pub(super) fn mov(&self, inst: &Inst) -> Result<(), Error> {
        let (Some(ty), [dest, source]) = (inst.ty(0), inst.operands.as_slice()) else {
            return Err(self.form_error(inst, "takes 2 operands"));
        };
        let n = inst.vector();
        let dest_check = match dest {
            Operand::Vec(items) if n > 1 => {
                self.elements(items, n, |item| self.register(item, ty, Size::Equal))
            }
            Operand::Vec(items) => self.packed(items, ty),
            _ => expect(n == 1, "must be a vector").and_then(|()| self.register(dest, ty, Size::Equal)),
        };
        dest_check.map_err(|reason| self.operand_error(inst, 0, &reason))?;
        let source_check = match source {
            Operand::Vec(items) if n > 1 => {
                self.elements(items, n, |item| self.source(inst, item, ty, Size::Equal))
            }
            Operand::Special(special) if n > 1 => expect(special.component.is_none(), "must be a vector"),
            Operand::Vec(_) if matches!(dest, Operand::Vec(_)) => {
                Err("cannot be moved to a vector".to_owned())
            }
            Operand::Vec(items) => self.packed(items, ty),
            _ => expect(n == 1, "must be a vector").and_then(|()| self.source(inst, source, ty, Size::Equal)),
        };
        source_check.map_err(|reason| self.operand_error(inst, 1, &reason))
    }

    fn elements(&self, items: &[Operand], n: usize, one: impl Fn(&Operand) -> Check) -> Check {
        if items.len() != n {
            return Err(format!("must be a vector of {n} elements"));
        }
        items
            .iter()
            .filter(|item| **item != Operand::Sink)
            .try_for_each(one)
    }

    /// The parts of a packed value.
    fn packed(&self, items: &[Operand], ty: Type) -> Check {
        expect(
            ty.class() == TypeClass::Bits,
            "is a vector, which takes a '.b' type to pack or unpack",
        )?;
        self.parts(items, ty)
    }
}

/// Whether an instruction may throw its result away with `_`.
fn may_discard(inst: &Inst, spec: &OperandSpec) -> bool {
    spec.second != Second::None
        || matches!(
            inst.op,
            Opcode::Atom | Opcode::MbarrierArrive | Opcode::MbarrierArriveDrop
        )
}

/// Whether an instruction that names a space can use a symbol of another name for it.
fn same_space(wanted: Space, actual: Option<Space>) -> bool {
    let actual = actual.unwrap_or(Space::Reg);
    match wanted {
        Space::Param | Space::ParamEntry | Space::ParamFunc => actual == Space::Param,
        Space::Shared | Space::SharedCta | Space::SharedCluster => actual == Space::Shared,
        other => other == actual,
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
    let classes = match (reg.class(), ty.class()) {
        (TypeClass::Pred, _) | (_, TypeClass::Pred) => return reg == ty,
        (TypeClass::Bits, _) | (_, TypeClass::Bits) => true,
        (TypeClass::Float, TypeClass::Float) => reg == ty,
        (TypeClass::Float, _) | (_, TypeClass::Float) => false,
        _ => true,
    };
    sizes && classes
}
