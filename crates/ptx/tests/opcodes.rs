//! Every instruction spelling of the measured programs parses and verifies with operands of the right shape, and so does
//! every row of the instruction table.

use tessera_ptx::isa::{self, Form, OperandSpec, Role, Second, TypeSpec, decode};
use tessera_ptx::modifier::Mod;
use tessera_ptx::{Opcode, Type, parse_module};

/// Registers of every size under one prefix each.
const DECLARATIONS: &str = ".reg .pred %p<9>; .reg .b16 %h<9>; .reg .b32 %r<300>; .reg .b64 %rd<300>;
.reg .b128 %q<9>; .reg .f32 %f<300>; .reg .f64 %fd<300>;";

fn register(ty: Type, at_least: bool, n: usize) -> String {
    let prefix = match (ty, ty.bits()) {
        (Type::Pred, _) => "%p",
        (Type::F32, _) => "%f",
        (Type::F64, _) => "%fd",
        (_, 0..=16) if at_least || ty.bits() == 16 => "%h",
        (_, 32) => "%r",
        (_, 64) => "%rd",
        (_, 128) => "%q",
        // Small types in places that want them exactly do not occur.
        _ => "%h",
    };
    format!("{prefix}{n}")
}

fn double(ty: Type) -> Type {
    if ty.bits() == 16 { Type::B32 } else { Type::B64 }
}

fn vector_width(mods: &[Mod]) -> usize {
    let width = mods.iter().find_map(|m| match m {
        Mod::Vec(width) => width.as_str()[1..].parse().ok(),
        _ => None,
    });
    width.unwrap_or(1)
}

/// The texts of one operand; several where the number of registers is not derived here.
fn operand(spec: &OperandSpec, mods: &[Mod], types: &[Type], count: usize, n: usize) -> String {
    let ty = match spec.ty {
        TypeSpec::Fixed(ty) => ty,
        TypeSpec::Nth(nth) => types[usize::from(nth)],
        TypeSpec::Address => Type::B64,
        TypeSpec::None | TypeSpec::AnyInteger | TypeSpec::IntegerOrPred => Type::B32,
    };
    let list = |ty: Type, count: usize| {
        let items: Vec<String> = (0..count).map(|i| register(ty, true, i)).collect();
        if count == 1 {
            items[0].clone()
        } else {
            format!("{{{}}}", items.join(", "))
        }
    };
    let double_fragment = types.first() == Some(&Type::F64);
    let text = match spec.role {
        Role::Dest | Role::Source => register(ty, false, n),
        Role::DestRelaxed | Role::SourceRelaxed => register(ty, true, n),
        Role::DestDouble | Role::SourceDouble => register(double(ty), false, n),
        Role::DestVector | Role::SourceVector => list(ty, vector_width(mods)),
        Role::PredDest | Role::Pred => format!("%p{n}"),
        Role::PredOrNot => format!("!%p{n}"),
        Role::Memory => "[%rd8+16]".to_owned(),
        Role::Constant => "1".to_owned(),
        Role::Fragment(_) => list(if double_fragment { Type::F64 } else { Type::B32 }, count),
        Role::Vector => "{%r0, %r1, %r2, %r3}".to_owned(),
        Role::Move => {
            let width = vector_width(mods);
            if width > 1 {
                format!("{0}, {0}", list(ty, width))
            } else {
                format!("{}, {}", register(ty, false, 0), register(ty, false, 1))
            }
        }
        Role::Call => "(ret), callee, (arg)".to_owned(),
        Role::Label => "L".to_owned(),
        Role::Table => "T".to_owned(),
        Role::Texture => "[texture, {%f0, %f1}]".to_owned(),
        Role::Surface => "[%rd0, {%r0, %r1}]".to_owned(),
        Role::Tensor => "[%rd0, {%r0, %r1}]".to_owned(),
        Role::Select => format!("%r{n}.b0"),
        Role::DestSelect => "%r0".to_owned(),
        Role::Any => "%rd3".to_owned(),
    };
    if spec.second == Second::None {
        text
    } else {
        format!("{text}|%p8")
    }
}

fn program(instruction: &str) -> String {
    format!(
        ".version 8.8\n.target sm_90a\n.address_size 64\n.global .texref texture;\n\
         .func (.param .b32 r) callee(.param .b32 a);\n.visible .entry k() {{\n{DECLARATIONS}\n\
         .param .b32 ret; .param .b32 arg;\nL:\nT: .branchtargets L;\n{instruction};\nret;\n}}\n"
    )
}

fn verifies(instruction: &str) -> Result<(), String> {
    let module =
        parse_module(program(instruction).into_bytes()).map_err(|e| format!("{instruction}: {e}"))?;
    let kernel = module.func_by_name("k").expect("the kernel is there");
    module
        .body(kernel)
        .map(|_| ())
        .map_err(|e| format!("{instruction}: {e}"))
}

/// Tries a form with all its operands and with the fewest; fragments with every size until one is right.
fn try_form(spelling: &str, form: &Form, mods: &[Mod]) -> Result<(), String> {
    let types: Vec<Type> = mods
        .iter()
        .filter_map(|m| if let Mod::Type(ty) = m { Some(*ty) } else { None })
        .collect();
    // `mov.pred` is a row of its own; the type of `mov` stands for its operands.
    let fewest = form.operands.iter().take_while(|spec| !spec.optional).count();
    // A cache policy comes with its modifier, a member mask with `.sync`.
    let hinted = spelling.contains("L2::cache_hint");
    let wanted: &[usize] = match form.op {
        Opcode::Ld | Opcode::St | Opcode::Atom | Opcode::Red if hinted => &[form.operands.len()],
        Opcode::Ld | Opcode::St | Opcode::Atom | Opcode::Red => &[fewest],
        Opcode::Shfl | Opcode::Vote if spelling.contains("sync") => &[form.operands.len()],
        Opcode::Shfl | Opcode::Vote => &[fewest],
        _ => &[form.operands.len(), fewest],
    };
    for &used in wanted {
        let fragments = form
            .operands
            .iter()
            .filter(|spec| matches!(spec.role, Role::Fragment(_)))
            .count();
        let mut counts = vec![0usize; fragments];
        let outcome = try_counts(spelling, form, mods, &types, used, &mut counts, 0);
        outcome?;
    }
    Ok(())
}

const SIZES: [usize; 9] = [1, 2, 4, 8, 16, 32, 64, 128, 256];

fn try_counts(
    spelling: &str,
    form: &Form,
    mods: &[Mod],
    types: &[Type],
    used: usize,
    counts: &mut [usize],
    at: usize,
) -> Result<(), String> {
    if at < counts.len() {
        // The verifier reports the first wrong operand; so sizes are found one after the other.
        let mut last = String::new();
        for size in SIZES {
            counts[at] = size;
            match try_counts(spelling, form, mods, types, used, counts, at + 1) {
                Ok(()) => return Ok(()),
                Err(error) => last = error,
            }
            let wrong_here = last.contains(&format!("operand {} of", fragment_position(form, at) + 1));
            if !wrong_here {
                return Err(last);
            }
        }
        return Err(last);
    }
    let mut fragment = 0;
    let mut texts = Vec::new();
    for (n, spec) in form.operands.iter().take(used).enumerate() {
        let mut spec = *spec;
        if spec.role == Role::Move {
            spec.ty = TypeSpec::Nth(0);
        }
        let count = if matches!(spec.role, Role::Fragment(_)) {
            fragment += 1;
            counts[fragment - 1]
        } else {
            1
        };
        texts.push(operand(&spec, mods, types, count, n));
    }
    verifies(&format!("{spelling} {}", texts.join(", ")))
}

fn fragment_position(form: &Form, nth: usize) -> usize {
    let mut positions = form
        .operands
        .iter()
        .enumerate()
        .filter(|(_, spec)| matches!(spec.role, Role::Fragment(_)));
    positions.nth(nth).map_or(0, |(n, _)| n)
}

#[test]
fn measured_spellings_parse_and_verify() {
    let mut tried = 0;
    let mut failures = Vec::new();
    for line in include_str!("data/opcodes.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
    {
        // The one entry that is not a spelling: calls through a pointer.
        if line == "call.<indirect>" {
            let call = "call (ret), %rd0, (arg), P;\nP: .callprototype (.param .b32 _) _ (.param .b32 _)";
            failures.extend(verifies(call).err());
            tried += 1;
            continue;
        }
        let decoded = match decode(line) {
            Ok(decoded) => decoded,
            Err(error) => {
                failures.push(format!("{line}: {error}"));
                continue;
            }
        };
        assert_eq!(
            decoded.mods.len(),
            line[decoded.op.as_str().len()..].matches('.').count(),
            "{line}"
        );
        for form in &decoded.forms {
            failures.extend(try_form(line, isa::form(*form), &decoded.mods).err());
        }
        tried += 1;
    }
    assert!(failures.is_empty(), "{} failures: {failures:#?}", failures.len());
    assert_eq!(tried, 1095);
}

#[test]
fn every_row_of_the_table_parses_and_verifies() {
    let mut failures = Vec::new();
    for (_, form) in isa::forms().iter() {
        for all in [true, false] {
            let mut spelling = form.op.as_str().to_owned();
            for slot in form.slots.iter().filter(|slot| all || !slot.optional) {
                let text = match &slot.choice {
                    isa::Choice::Of(mods) => mods[0].to_string(),
                    isa::Choice::WarpgroupShape => "m64n16k16".to_owned(),
                };
                // `.unified` stands behind the address, not here.
                if text != "unified" {
                    spelling.push('.');
                    spelling.push_str(&text);
                }
            }
            match decode(&spelling) {
                Ok(decoded) => failures.extend(try_form(&spelling, form, &decoded.mods).err()),
                Err(error) => failures.push(format!("{spelling}: {error}")),
            }
        }
    }
    assert!(failures.is_empty(), "{} failures: {failures:#?}", failures.len());
}
