//! Random code with loops and branches, as it is and lowered: more values than registers, in different ones on different ways.

use iced_x86::code_asm::*;
use iced_x86::{IcedError, Register};

use super::super::asm::{Asm, Target};
use super::super::code::Code;
use super::super::compile::ZMM;
use super::super::compute::masked;
use super::SPILL;
use crate::exec::isa::Level;

/// Registers that hold values throughout.
const VALUES: usize = 24;
/// Masks of sixteen bits.
const MASKS: [AsmRegisterK; 5] = [k1, k2, k3, k4, k5];

/// What the function works on.
#[repr(C, align(64))]
#[derive(Clone)]
struct Block {
    values: [[u32; 16]; VALUES],
    masks: [u64; 8],
    spill: [u8; SPILL],
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap() % n
    }

    fn vector(&mut self) -> AsmRegisterZmm {
        ZMM[self.below(VALUES)]
    }

    fn mask(&mut self) -> AsmRegisterK {
        MASKS[self.below(MASKS.len())]
    }
}

fn lower_half(z: AsmRegisterZmm) -> AsmRegisterYmm {
    const YMM: [AsmRegisterYmm; VALUES] = [
        ymm0, ymm1, ymm2, ymm3, ymm4, ymm5, ymm6, ymm7, ymm8, ymm9, ymm10, ymm11, ymm12, ymm13, ymm14, ymm15,
        ymm16, ymm17, ymm18, ymm19, ymm20, ymm21, ymm22, ymm23,
    ];
    YMM[Register::from(z) as usize - Register::ZMM0 as usize]
}

/// One instruction.
fn instruction(a: &mut Asm, random: &mut Random) -> Result<(), IcedError> {
    let (x, y, z) = (random.vector(), random.vector(), random.vector());
    let (j, k, l) = (random.mask(), random.mask(), random.mask());
    let to = masked(x, (random.below(3) == 0).then_some(k));
    let table = u32::try_from(random.below(256)).unwrap();
    match random.below(23) {
        0 => a.vpaddd(to, y, z),
        1 => a.vpsubd(to, y, z),
        2 => a.vpxord(to, y, z),
        3 => a.vpmulld(to, y, z),
        4 => a.vpternlogd(to, y, z, table),
        5 => a.vmovdqa32(to, y),
        6 => a.vpaddq(x, y, z),
        7 => a.vpminuq(x, y, z),
        8 => a.vpcmpud(j, y, z, 1),
        9 => a.vpcmpd(j, y, z, 4),
        10 => a.vptestmd(j, y, z),
        11 => a.kandw(j, k, l),
        12 => a.korw(j, k, l),
        13 => a.kandnw(j, k, l),
        14 => a.kshiftrw(j, k, 8),
        15 => a.kunpckbw(j, k, l),
        16 => a.vpblendmd(masked(x, Some(k)), y, z),
        17 if x != y && x != z => a.vpermi2d(x, y, z),
        18 if x != z => a.vpermd(to, y, z),
        19 => a.vinserti64x4(x, y, lower_half(z), 1),
        20 => a.vpmovzxdq(x, lower_half(y)),
        21 => a.vpaddd(x, y, dword_bcst(rdi + 4 * i32::try_from(table).unwrap())),
        _ => a.vmovdqu32(x, zmmword_ptr(rdi + 64 * i32::try_from(table % 24).unwrap())),
    }
}

/// A function of a block and a number of turns.
fn function(target: Target, seed: u64) -> (Code, usize) {
    let mut random = Random(seed);
    let mut a = Asm::new(target).unwrap();
    let entry = a.mark();
    let mut build = |a: &mut Asm| {
        for (at, z) in (0i32..).zip(&ZMM[..VALUES]) {
            a.vmovdqu32(*z, zmmword_ptr(rdi + 64 * at))?;
        }
        let masks = i32::try_from(std::mem::offset_of!(Block, masks)).unwrap();
        for (at, k) in (0i32..).zip(MASKS) {
            a.kmovw(k, word_ptr(rdi + (masks + 8 * at)))?;
        }
        let mut again = a.create_label();
        a.set_label(&mut again)?;
        for _ in 0..3 {
            let (mut other, mut behind) = (a.create_label(), a.create_label());
            for _ in 0..random.below(12) {
                instruction(a, &mut random)?;
            }
            match random.below(4) {
                0 => {
                    a.kortestw(random.mask(), random.mask())?;
                    a.jae(other)?;
                }
                1 => {
                    a.kortestw(random.mask(), random.mask())?;
                    a.je(other)?;
                }
                _ => {
                    a.test(esi, 1 + i32::try_from(random.below(7)).unwrap())?;
                    a.je(other)?;
                }
            }
            for _ in 0..random.below(8) {
                instruction(a, &mut random)?;
            }
            if random.below(2) == 0 {
                a.jmp(behind)?;
            }
            a.set_label(&mut other)?;
            for _ in 0..1 + random.below(8) {
                instruction(a, &mut random)?;
            }
            a.set_label(&mut behind)?;
            instruction(a, &mut random)?;
        }
        a.dec(esi)?;
        a.jne(again)?;
        for (at, z) in (0i32..).zip(&ZMM[..VALUES]) {
            a.vmovdqu32(zmmword_ptr(rdi + 64 * at), *z)?;
        }
        for (at, k) in (0i32..).zip(MASKS) {
            a.kmovw(word_ptr(rdi + (masks + 8 * at)), k)?;
        }
        a.vzeroupper()?;
        a.ret()
    };
    build(&mut a).unwrap();
    let assembled = a.finish().unwrap_or_else(|e| panic!("seed {seed}: {e}"));
    (Code::new(&assembled.bytes).unwrap(), assembled.offset(entry))
}

#[test]
fn random_code_does_the_same_when_it_is_lowered() {
    if !Level::Avx512.detected() {
        return;
    }
    let spill = std::mem::offset_of!(Block, spill).try_into().unwrap();
    let lowered = Target::Avx2 {
        spill: (Register::RDI, spill),
    };
    for seed in 1..400u64 {
        let mut random = Random(seed << 20 | 1);
        let mut block = Block {
            values: [[0; 16]; VALUES],
            masks: [0; 8],
            spill: [0xa5; SPILL],
        };
        for lane in block.values.iter_mut().flatten() {
            *lane = u32::try_from(random.next() >> 32).unwrap();
        }
        for mask in &mut block.masks {
            *mask = [random.next() & 0xffff, 0xffff, 0][random.below(3)];
        }
        let [wanted, got] = [Target::Avx512, lowered].map(|target| {
            let (code, entry) = function(target, seed);
            let mut block = block.clone();
            // SAFETY: the code is a function of this type; it writes inside the block only.
            unsafe {
                let f: extern "C" fn(*mut Block, u32) = std::mem::transmute(code.entry(entry));
                f(&raw mut block, 9);
            }
            block
        });
        assert_eq!(wanted.values, got.values, "seed {seed}");
        assert_eq!(wanted.masks, got.masks, "seed {seed}");
    }
}
