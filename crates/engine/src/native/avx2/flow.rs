//! What the instructions of the wide code read and write, and what is still wanted after each.

use std::collections::{HashMap, HashSet};

use iced_x86::{Code, FlowControl, Instruction, OpKind, Register};

use super::super::asm::Entered;

/// Halves of vector registers and mask registers: of register `z` the bits `2 * z` and `2 * z + 1`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Set {
    pub(super) halves: u64,
    pub(super) masks: u8,
}

impl Set {
    pub(super) const fn has_half(self, half: u8) -> bool {
        self.halves >> half & 1 != 0
    }

    pub(super) const fn has_mask(self, k: u8) -> bool {
        self.masks >> k & 1 != 0
    }

    const fn or(self, other: Self) -> Self {
        Self {
            halves: self.halves | other.halves,
            masks: self.masks | other.masks,
        }
    }

    const fn without(self, other: Self) -> Self {
        Self {
            halves: self.halves & !other.halves,
            masks: self.masks & !other.masks,
        }
    }
}

/// The number of a vector register of any width.
pub(super) fn vector_number(register: Register) -> Option<u8> {
    let number = if register.is_zmm() {
        register as u32 - Register::ZMM0 as u32
    } else if register.is_ymm() {
        register as u32 - Register::YMM0 as u32
    } else if register.is_xmm() {
        register as u32 - Register::XMM0 as u32
    } else {
        return None;
    };
    u8::try_from(number).ok()
}

/// The number of a mask register.
pub(super) fn mask_number(register: Register) -> Option<u8> {
    register
        .is_k()
        .then(|| u8::try_from(register as u32 - Register::K0 as u32).unwrap_or(0))
}

fn reads(register: Register) -> Set {
    let mut set = Set::default();
    if let Some(z) = vector_number(register) {
        set.halves = if register.is_zmm() { 3 } else { 1 } << (2 * z);
    } else if let Some(k) = mask_number(register) {
        set.masks = 1 << k;
    }
    set
}

fn writes(register: Register) -> Set {
    let mut set = Set::default();
    if let Some(z) = vector_number(register) {
        set.halves = 3 << (2 * z);
    } else if let Some(k) = mask_number(register) {
        set.masks = 1 << k;
    }
    set
}

/// Instructions whose first operand is read besides.
const fn reads_destination(code: Code) -> bool {
    matches!(
        code,
        Code::EVEX_Vpternlogd_zmm_k1z_zmm_zmmm512b32_imm8
            | Code::EVEX_Vpternlogq_zmm_k1z_zmm_zmmm512b64_imm8
            | Code::EVEX_Vpermi2d_zmm_k1z_zmm_zmmm512b32
            | Code::EVEX_Vfmadd213ps_zmm_k1z_zmm_zmmm512b32_er
            | Code::EVEX_Vfmadd213pd_zmm_k1z_zmm_zmmm512b64_er
            | Code::EVEX_Vfmadd231ps_zmm_k1z_zmm_zmmm512b32_er
            | Code::EVEX_Vfmadd231pd_zmm_k1z_zmm_zmmm512b64_er
            | Code::EVEX_Vfixupimmps_zmm_k1z_zmm_zmmm512b32_imm8_sae
            | Code::EVEX_Vfixupimmpd_zmm_k1z_zmm_zmmm512b64_imm8_sae
    )
}

/// Instructions that write all lanes whatever their mask is.
const fn chooses(code: Code) -> bool {
    matches!(
        code,
        Code::EVEX_Vpblendmd_zmm_k1z_zmm_zmmm512b32 | Code::EVEX_Vpblendmq_zmm_k1z_zmm_zmmm512b64
    )
}

/// Instructions that write no register operand but flags.
const fn only_reads(code: Code) -> bool {
    matches!(code, Code::VEX_Kortestw_kr_kr | Code::VEX_Kortestd_kr_kr)
}

/// All ones or all zeros whatever the operands hold.
fn forgets_operands(i: &Instruction) -> bool {
    let same =
        i.op_count() >= 3 && i.op0_register() == i.op1_register() && i.op1_register() == i.op2_register();
    match i.code() {
        Code::EVEX_Vpternlogd_zmm_k1z_zmm_zmmm512b32_imm8
        | Code::EVEX_Vpternlogq_zmm_k1z_zmm_zmmm512b64_imm8 => {
            matches!(i.immediate8(), 0 | 0xff)
        }
        Code::EVEX_Vpxord_zmm_k1z_zmm_zmmm512b32
        | Code::EVEX_Vpxorq_zmm_k1z_zmm_zmmm512b64
        | Code::VEX_Kxorw_kr_kr_kr
        | Code::VEX_Kxord_kr_kr_kr
        | Code::VEX_Kxnord_kr_kr_kr => {
            same || i.op1_register() == i.op2_register() && i.op2_kind() == OpKind::Register
        }
        _ => false,
    }
}

/// What an instruction reads and what it wholly writes.
pub(super) fn effects(i: &Instruction) -> (Set, Set) {
    let (mut read, mut written) = (Set::default(), Set::default());
    match i.flow_control() {
        FlowControl::IndirectCall | FlowControl::Call => {
            return (
                read,
                Set {
                    halves: u64::MAX,
                    masks: u8::MAX,
                },
            );
        }
        _ => {}
    }
    if i.code() == Code::VEX_Vzeroupper {
        written.halves = u64::MAX;
        return (read, written);
    }
    let forgets = forgets_operands(i);
    for operand in 0..i.op_count() {
        match i.op_kind(operand) {
            OpKind::Register => {
                let register = i.op_register(operand);
                if operand == 0 && !only_reads(i.code()) {
                    written = written.or(writes(register));
                    let kept = i.has_op_mask()
                        && !i.zeroing_masking()
                        && vector_number(register).is_some()
                        && !chooses(i.code());
                    if kept || reads_destination(i.code()) && !forgets {
                        read = read.or(reads(register));
                    }
                } else if !forgets {
                    read = read.or(reads(register));
                }
            }
            OpKind::Memory => read = read.or(reads(i.memory_index())),
            _ => {}
        }
    }
    if i.has_op_mask() {
        read = read.or(reads(i.op_mask()));
    }
    (read, written)
}

/// The label that an instruction goes to.
pub(super) fn target(i: &Instruction) -> Option<u64> {
    matches!(
        i.flow_control(),
        FlowControl::UnconditionalBranch | FlowControl::ConditionalBranch
    )
    .then(|| i.near_branch64())
}

/// The labels whose addresses instructions take.
pub(super) fn taken(code: &[Instruction]) -> HashSet<u64> {
    code.iter()
        .filter(|i| i.code() == Code::Lea_r64_m && i.memory_base() == Register::RIP)
        .map(Instruction::memory_displacement64)
        .collect()
}

/// Whether control never goes on behind an instruction.
pub(super) fn ends(i: &Instruction) -> bool {
    matches!(
        i.flow_control(),
        FlowControl::UnconditionalBranch | FlowControl::IndirectBranch | FlowControl::Return
    )
}

/// What is known of the whole code.
pub(super) struct Flow {
    /// What is wanted after each instruction.
    pub(super) after: Vec<Set>,
    /// What is wanted before each instruction.
    pub(super) before: Vec<Set>,
    /// By vector register, the instructions that read it, in order.
    pub(super) readers: Vec<Vec<u32>>,
    /// Jumps to each label.
    pub(super) jumps: HashMap<u64, u32>,
    /// What is wanted at each label.
    pub(super) at_label: HashMap<u64, Set>,
}

impl Flow {
    /// `entered`: what can be entered from outside.
    pub(super) fn new(code: &[Instruction], entered: &[Entered]) -> Self {
        let effects: Vec<_> = code.iter().map(effects).collect();
        let mut readers = vec![Vec::new(); 32];
        let mut jumps = HashMap::new();
        for (at, (read, _)) in (0u32..).zip(&effects) {
            let mut halves = read.halves;
            while halves != 0 {
                let z = (halves.trailing_zeros() / 2) as usize;
                readers[z].push(at);
                halves &= !(3 << (2 * z));
            }
        }
        for label in code.iter().filter_map(target) {
            *jumps.entry(label).or_insert(0) += 1;
        }
        let (mut before, mut after) = (vec![Set::default(); code.len()], vec![Set::default(); code.len()]);
        let mut at_label = HashMap::<u64, Set>::new();
        // What jumps to addresses leave behind: to what runs on, and to what begins by loading.
        let (mut running, mut empty) = (Set::default(), Set::default());
        loop {
            let mut changed = false;
            let mut live = Set::default();
            for at in (0..code.len()).rev() {
                let i = &code[at];
                if ends(i) {
                    live = Set::default();
                }
                if i.flow_control() == FlowControl::IndirectBranch {
                    // The generator keeps addresses of what loads in memory, and has tables of what runs on.
                    let loads = i.op0_kind() == OpKind::Memory && i.memory_index() == Register::None;
                    live = if loads { empty } else { running };
                }
                if let Some(to) = target(i) {
                    live = live.or(at_label.get(&to).copied().unwrap_or_default());
                }
                after[at] = live;
                let (read, written) = effects[at];
                live = live.without(written).or(read);
                before[at] = live;
                if i.ip() != 0 {
                    let known = at_label.entry(i.ip()).or_default();
                    changed |= *known != live;
                    *known = live;
                }
                let outside = match entered[at] {
                    Entered::No => continue,
                    Entered::Empty => &mut empty,
                    Entered::Running => &mut running,
                };
                let all = outside.or(live);
                changed |= all != *outside;
                *outside = all;
            }
            if !changed {
                break;
            }
        }
        Self {
            after,
            before,
            readers,
            jumps,
            at_label,
        }
    }
}

/// Whether the flags that hold after instruction `at` are still read.
pub(super) fn flags_wanted(code: &[Instruction], at: usize) -> bool {
    flags_read(code, at) != 0
}

/// Those of the flags after an instruction that are read first.
pub(super) fn flags_read(code: &[Instruction], at: usize) -> u32 {
    for i in &code[at + 1..] {
        if i.rflags_read() != 0 {
            return i.rflags_read();
        }
        if i.rflags_modified() != 0 || ends(i) || i.flow_control() == FlowControl::IndirectCall {
            return 0;
        }
    }
    0
}
