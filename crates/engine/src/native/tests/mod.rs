//! Every native form against the lane function that it stands for, bit for bit.
//!
//! A form is assembled into a function of its own: operands come from a block of memory, go where the variant wants them
//! (registers, memory, one element, a known value), and the destination and all source registers go back to memory.

mod data;

use std::fmt::Write as _;

use iced_x86::code_asm::*;
use iced_x86::{IcedError, Register};

use super::alu::{Lanes, Source, Temps, emit, has_native};
use super::asm::{Asm, Extras, Target};
use super::code::Code;
use crate::exec::alu::{Alu, Class};
use crate::exec::isa::Level;
use data::{Random, immediates, known, specials};

const LANES: usize = 16;

/// What the assembled function works on.
#[repr(C, align(64))]
#[derive(Clone)]
struct Block {
    sources: [[u64; LANES]; 3],
    destination: [u64; LANES],
    sources_after: [[u64; LANES]; 3],
    spill: Spill,
}

/// What the registers hold that AVX2 does not have.
#[repr(C, align(64))]
#[derive(Clone)]
struct Spill([u8; super::avx2::SPILL]);

/// Where a source is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Register,
    Memory,
    Broadcast,
    Constant(u64),
}

/// How a form is used.
#[derive(Debug, Clone)]
struct Variant {
    places: Vec<Place>,
    masked: bool,
    /// The source that the destination is too, and in which half of a wider destination it lies.
    alias: Option<(usize, usize)>,
    /// Others than the target's own.
    extras: Option<Extras>,
    target: Target,
}

fn offset(i: usize) -> i32 {
    i32::try_from(i * LANES * 8).unwrap()
}

/// The register of source `i`.
fn source_register(class: Class, i: usize) -> Lanes {
    let z = [zmm0, zmm1, zmm2, zmm3, zmm4, zmm5];
    match class {
        Class::W32 => Lanes::W32(z[2 * i]),
        Class::W64 => Lanes::W64([z[2 * i], z[2 * i + 1]]),
        Class::Pred => Lanes::Pred([k2, k2, k2][i]),
    }
}

fn load(a: &mut Asm, lanes: Lanes, at: i32) -> Result<(), IcedError> {
    match lanes {
        Lanes::W32(z) => a.vmovdqu32(z, zmmword_ptr(rdi + at)),
        Lanes::W64([l, h]) => {
            a.vmovdqu64(l, zmmword_ptr(rdi + at))?;
            a.vmovdqu64(h, zmmword_ptr(rdi + (at + 64)))
        }
        Lanes::Pred(k) => a.kmovw(k, word_ptr(rdi + at)),
    }
}

fn store(a: &mut Asm, lanes: Lanes, at: i32) -> Result<(), IcedError> {
    match lanes {
        Lanes::W32(z) => a.vmovdqu32(zmmword_ptr(rdi + at), z),
        Lanes::W64([l, h]) => {
            a.vmovdqu64(zmmword_ptr(rdi + at), l)?;
            a.vmovdqu64(zmmword_ptr(rdi + (at + 64)), h)
        }
        Lanes::Pred(k) => a.kmovw(word_ptr(rdi + at), k),
    }
}

/// The destination's register: one of its own, or one that the aliased source is in.
fn destination_register(alu: Alu, variant: &Variant) -> Lanes {
    let (sources, result) = alu.signature();
    let Some((i, half)) = variant.alias else {
        return match result {
            Class::W32 => Lanes::W32(zmm6),
            Class::W64 => Lanes::W64([zmm6, zmm7]),
            Class::Pred => Lanes::Pred(k3),
        };
    };
    match (source_register(sources[i], i), result) {
        (Lanes::W32(z), Class::W64) if half == 0 => Lanes::W64([z, zmm7]),
        (Lanes::W32(z), Class::W64) => Lanes::W64([zmm6, z]),
        (Lanes::W64(z), Class::W32) => Lanes::W32(z[half]),
        (same, _) => same,
    }
}

struct Function {
    code: Code,
    entry: usize,
}

fn assemble(alu: Alu, x: u32, variant: &Variant) -> Function {
    let mut a = Asm::new(variant.target).unwrap();
    if let Some(extras) = variant.extras {
        a.extras = extras;
    }
    let entry = a.mark();
    let build = |a: &mut Asm| {
        let (classes, _) = alu.signature();
        a.kmovw(k1, esi)?;
        let mut sources = Vec::new();
        for (i, (&class, &place)) in classes.iter().zip(&variant.places).enumerate() {
            let (register, disp) = (source_register(class, i), offset(i));
            sources.push(match place {
                Place::Register => {
                    load(a, register, disp)?;
                    Source::Reg(register)
                }
                Place::Memory => Source::Memory { base: rdi, disp },
                Place::Broadcast => Source::Broadcast { base: rdi, disp },
                Place::Constant(value) => Source::Constant(value),
            });
        }
        let destination = destination_register(alu, variant);
        if variant.alias.is_none() {
            load(a, destination, offset(3))?;
        } else if let Lanes::W64([l, h]) = destination {
            // The half that is no source.
            for (z, at) in [(l, offset(3)), (h, offset(3) + 64)] {
                if z == zmm6 || z == zmm7 {
                    a.vmovdqu64(z, zmmword_ptr(rdi + at))?;
                }
            }
        }
        let temps = Temps {
            zmm: [zmm16, zmm17, zmm18, zmm19, zmm20, zmm21],
            k: [k4, k5, k6],
            gpr: [rax, rcx],
        };
        let mask = variant.masked.then_some(k1);
        assert!(emit(a, alu, x, destination, mask, &sources, &temps)?);
        store(a, destination, offset(3))?;
        for (i, source) in sources.iter().enumerate() {
            if let Source::Reg(register) = *source {
                store(a, register, offset(4 + i))?;
            }
        }
        a.vzeroupper()?;
        a.ret()
    };
    build(&mut a).unwrap_or_else(|error| panic!("{alu:?} {x:#x} {variant:?}: {error}"));
    let assembled = a
        .finish()
        .unwrap_or_else(|error| panic!("{alu:?} {x:#x} {variant:?}: {error}"));
    Function {
        entry: assembled.offset(entry),
        code: Code::new(&assembled.bytes).unwrap(),
    }
}

impl Function {
    fn call(&self, block: &mut Block, mask: u16) {
        // SAFETY: the code is a function of this type; it writes inside the block only.
        unsafe {
            let f: extern "C" fn(*mut Block, u32) = std::mem::transmute(self.code.entry(self.entry));
            f(block, mask.into());
        }
    }
}

/// Puts values of a class into a part of a block.
fn put(part: &mut [u64; LANES], class: Class, values: [u64; LANES]) {
    match class {
        Class::W64 => *part = values,
        Class::W32 => {
            for (i, to) in part.iter_mut().take(8).enumerate() {
                *to = values[2 * i] | values[2 * i + 1] << 32;
            }
        }
        Class::Pred => {
            part[0] = part[0] & !0xffff | (0..LANES).map(|i| (values[i] & 1) << i).sum::<u64>();
        }
    }
}

fn get(part: &[u64; LANES], class: Class) -> [u64; LANES] {
    std::array::from_fn(|i| match class {
        Class::W64 => part[i],
        Class::W32 => part[i / 2] >> (32 * (i % 2)) & 0xffff_ffff,
        Class::Pred => part[0] >> i & 1,
    })
}

/// Sixteen lanes of operands.
type Chunk = [[u64; 3]; LANES];

/// Runs one chunk and compares.
fn check(alu: Alu, x: u32, variant: &Variant, function: &Function, chunk: &Chunk, mask: u16) {
    let (classes, result) = alu.signature();
    let mut chunk = *chunk;
    let mut block = Block {
        sources: [[0; LANES]; 3],
        destination: [0x5aa5_1234_8765_c33c; LANES],
        sources_after: [[0; LANES]; 3],
        spill: Spill([0xa5; super::avx2::SPILL]),
    };
    for (i, (&class, &place)) in classes.iter().zip(&variant.places).enumerate() {
        for lane in 0..LANES {
            match place {
                Place::Broadcast => chunk[lane][i] = chunk[0][i],
                Place::Constant(value) => {
                    chunk[lane][i] = if class == Class::W32 {
                        value & 0xffff_ffff
                    } else {
                        value
                    };
                }
                Place::Register | Place::Memory => {}
            }
        }
        put(&mut block.sources[i], class, chunk.map(|s| s[i]));
    }
    let mut before = get(&block.destination, result);
    if let Some((i, half)) = variant.alias {
        let own = block.sources[i];
        match (classes[i], result) {
            (Class::W32, Class::W64) => {
                let mut whole = block.destination;
                whole[8 * half..][..8].copy_from_slice(&own[..8]);
                before = whole;
            }
            (Class::W64, Class::W32) => {
                let mut part = [0; LANES];
                part[..8].copy_from_slice(&own[8 * half..][..8]);
                before = get(&part, Class::W32);
            }
            _ => before = get(&own, result),
        }
    }
    function.call(&mut block, mask);
    let after = get(&block.destination, result);
    for lane in 0..LANES {
        let wanted = if variant.masked && mask >> lane & 1 == 0 {
            before[lane]
        } else {
            alu.evaluate(chunk[lane], x)
        };
        let got = after[lane];
        assert!(
            got == wanted,
            "{alu:?} {x:#x} {variant:?} mask {mask:#06x} lane {lane} of {:#x?}: {got:#x}, not {wanted:#x}",
            chunk[lane]
        );
    }
    for (i, (&class, &place)) in classes.iter().zip(&variant.places).enumerate() {
        if place == Place::Register && variant.alias.is_none_or(|(alias, _)| alias != i) {
            let (before, after) = (get(&block.sources[i], class), get(&block.sources_after[i], class));
            assert_eq!(
                before, after,
                "{alu:?} {x:#x} {variant:?}: source {i} was changed"
            );
        }
    }
}

fn variants(alu: Alu, target: Target) -> Vec<Variant> {
    let (classes, result) = alu.signature();
    let n = classes.len();
    let plain = Variant {
        places: vec![Place::Register; n],
        masked: false,
        alias: None,
        extras: None,
        target,
    };
    let mut all = vec![plain.clone()];
    let fits = |place: Place, i: usize| {
        classes[i] != Class::Pred || matches!(place, Place::Register | Place::Memory)
    };
    for place in [Place::Memory, Place::Broadcast] {
        let mut everywhere = plain.clone();
        for i in (0..n).filter(|&i| fits(place, i)) {
            everywhere.places[i] = place;
            let mut one = plain.clone();
            one.places[i] = place;
            all.push(one);
        }
        all.push(everywhere);
    }
    for i in (0..n).filter(|&i| classes[i] != Class::Pred) {
        for &value in known(alu, i) {
            let mut one = plain.clone();
            one.places[i] = Place::Constant(value);
            all.push(one);
        }
    }
    for &value in known(alu, 3) {
        // Both amounts known.
        let mut both = plain.clone();
        both.places[1] = Place::Constant(value & 0xffff);
        both.places[2] = Place::Constant(value >> 16);
        all.push(both);
    }
    for i in 0..n {
        let halves = match (classes[i], result) {
            (a, b) if a == b => 1,
            (Class::W32, Class::W64) | (Class::W64, Class::W32) => 2,
            _ => 0,
        };
        for half in 0..halves {
            for place in [Place::Register, Place::Memory, Place::Broadcast] {
                let mut one = plain.clone();
                one.alias = Some((i, half));
                for j in (0..n).filter(|&j| j != i && fits(place, j)) {
                    one.places[j] = place;
                }
                all.push(one);
            }
        }
    }
    all.push(Variant {
        extras: Some(Extras::NONE),
        ..plain
    });
    let masked: Vec<_> = all
        .iter()
        .map(|variant| Variant {
            masked: true,
            ..variant.clone()
        })
        .collect();
    all.extend(masked);
    all
}

/// All combinations of special values, then random ones.
fn chunks(alu: Alu, random: &mut Random, count: usize) -> Vec<Chunk> {
    let (classes, _) = alu.signature();
    let mut lanes = vec![[0u64; 3]];
    for (i, &class) in classes.iter().enumerate() {
        let values = specials(alu, class, classes.len());
        lanes = lanes
            .iter()
            .flat_map(|lane| {
                values.iter().map(move |&value| {
                    let mut lane = *lane;
                    lane[i] = value;
                    lane
                })
            })
            .collect();
    }
    // Neighbours share operands; spread them, so that a lane that leaks into another is seen.
    let step = (lanes.len() / 5 * 2 + 1) | 1;
    let mut spread: Vec<_> = (0..lanes.len()).map(|i| lanes[i * step % lanes.len()]).collect();
    if spread.len() > 1 && lanes.len() % step == 0 {
        spread = lanes;
    }
    let rest = count * LANES + (LANES - spread.len() % LANES) % LANES;
    for _ in 0..rest {
        let mut lane = [0; 3];
        for (value, &class) in lane.iter_mut().zip(classes) {
            *value = random.value(alu, class);
        }
        random.near_multiple(alu, &mut lane);
        spread.push(lane);
    }
    spread
        .chunks_exact(LANES)
        .map(|c| c.try_into().unwrap())
        .collect()
}

/// Checks an operation in every variant; most of the data goes through the plain one.
fn check_all(alu: Alu, target: Target) {
    let mut random = Random::new(alu as u64);
    let variants = variants(alu, target);
    let immediates = immediates(alu);
    let many = (6000 / immediates.len()).max(200);
    for (number, &x) in immediates.iter().enumerate() {
        if !has_native(alu, x) {
            continue;
        }
        let chunks = chunks(alu, &mut random, many);
        for (at, variant) in variants.iter().enumerate() {
            // All variants of the first immediates, a few of each of many more.
            if at > 0 && number >= 8 && (at + number) % 7 != 0 {
                continue;
            }
            let function = assemble(alu, x, variant);
            let stride = if at == 0 { 1 } else { (chunks.len() / 100).max(1) };
            for chunk in chunks.iter().skip(at % stride).step_by(stride) {
                let mask = random.mask();
                check(alu, x, variant, &function, chunk, mask);
            }
        }
    }
}

/// Splits the table among tests, so that they run side by side.
fn check_part(part: usize, parts: usize, target: Target) {
    let native = Alu::ALL
        .iter()
        .filter(|&&alu| immediates(alu).iter().any(|&x| has_native(alu, x)));
    for &alu in native.skip(part).step_by(parts) {
        check_all(alu, target);
    }
}

/// AVX2, with the spill area of a block.
fn avx2() -> Target {
    Target::Avx2 {
        spill: (
            Register::RDI,
            std::mem::offset_of!(Block, spill).try_into().unwrap(),
        ),
    }
}

macro_rules! parts {
    ($level:ident $target:expr; $($name:ident $part:literal)*) => {$(
        #[test]
        fn $name() {
            if Level::$level.detected() {
                check_part($part, 4, $target);
            }
        }
    )*};
}

parts! {
    Avx512 Target::Avx512;
    every_form_gives_the_bits_of_its_function_1 0
    every_form_gives_the_bits_of_its_function_2 1
    every_form_gives_the_bits_of_its_function_3 2
    every_form_gives_the_bits_of_its_function_4 3
}

parts! {
    Avx2 avx2();
    every_lowered_form_gives_the_bits_of_its_function_1 0
    every_lowered_form_gives_the_bits_of_its_function_2 1
    every_lowered_form_gives_the_bits_of_its_function_3 2
    every_lowered_form_gives_the_bits_of_its_function_4 3
}

/// One operation, for work on it: `ALU=FmaF32 cargo test ... one_form -- --ignored`.
#[test]
#[ignore = "for work on one form"]
fn one_form() {
    let name = std::env::var("ALU").unwrap_or_default();
    for &alu in Alu::ALL {
        let own = format!("{alu:?}");
        if own.contains(&name) && immediates(alu).iter().any(|&x| has_native(alu, x)) {
            eprintln!("{own}");
            check_all(alu, Target::Avx512);
            check_all(alu, avx2());
        }
    }
}

/// What has no native form. A form that is lost, or made, changes this list.
#[test]
fn operations_without_a_native_form() {
    let mut list = String::new();
    for &alu in Alu::ALL {
        let without = immediates(alu).iter().filter(|&&x| !has_native(alu, x)).count();
        if without != 0 {
            write!(list, "{alu:?} ").unwrap();
        }
    }
    assert_eq!(list.trim_end(), data::WITHOUT.trim_end());
}
