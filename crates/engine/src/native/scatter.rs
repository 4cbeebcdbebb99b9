//! Accesses whose lanes go anywhere: gathers, scatters, atomics. All lanes of a chunk are checked before any of them accesses.

use std::mem::offset_of;

use iced_x86::code_asm::*;
use iced_x86::{Code, IcedError, Instruction, Register};

use super::alu::Lanes;
use super::compile::{CX, Gen, MASKS, STATE, WINDOWS, disp, slot_disp};
use super::compute::{base_of, masked, masked_memory};
use super::context::{State, Window};
use super::memory::{Form, Pattern};
use crate::analysis::shape::Shape;
use crate::exec::alu::Class;
use crate::exec::warp::NO_OPERAND;
use crate::exec::{Cx, LINE, Op, WIDE};
use crate::lir::{Atom, AtomKind, Inst, Space};
use tessera_arith::atomics::AtomOp;

/// Where the offsets of a chunk are: of 16 lanes, or of the lower and of the upper eight.
#[derive(Debug, Clone, Copy)]
enum Offsets {
    Narrow(AsmRegisterZmm),
    Wide([AsmRegisterZmm; 2]),
}

impl Gen<'_> {
    /// Addresses of chunk `c`: 32-bit ones in `zmm27`, 64-bit ones in `zmm27` and `zmm28`.
    fn addresses(&mut self, op: &Op, c: u8) -> Result<(), IcedError> {
        let wide = op.flags & WIDE != 0;
        let (base, at) = (base_of(op.a), slot_disp(op.a));
        let halves = if wide { 2 } else { 1 };
        for h in 0..halves {
            let to = if h == 0 { zmm27 } else { zmm28 };
            if op.flags & LINE != 0 {
                let steps = self.literal(super::compute::steps(op.e, wide, h));
                if wide {
                    self.asm
                        .vpbroadcastq(to, qword_ptr(base + (at + 8 * i32::from(c))))?;
                    self.asm.vpaddq(to, to, steps)?;
                } else {
                    self.asm
                        .vpbroadcastd(to, dword_ptr(base + (at + 4 * i32::from(c))))?;
                    self.asm.vpaddd(to, to, steps)?;
                }
            } else {
                let class = if wide { Class::W64 } else { Class::W32 };
                let from = self.value(op.a, class, c, zmm27)?[h];
                if from != to {
                    self.asm.vmovdqa64(to, from)?;
                }
            }
        }
        if op.imm != 0 {
            if wide {
                let imm = self.all64(i64::from(op.imm).cast_unsigned());
                self.asm.vpaddq(zmm27, zmm27, imm)?;
                self.asm.vpaddq(zmm28, zmm28, imm)?;
            } else {
                let imm = self.vector_of(|_| op.imm.cast_unsigned());
                self.asm.vpaddd(zmm27, zmm27, imm)?;
            }
        }
        Ok(())
    }

    fn all64(&mut self, value: u64) -> AsmMemoryOperand {
        let mut bytes = [0; 64];
        for to in bytes.chunks_exact_mut(8) {
            to.copy_from_slice(&value.to_le_bytes());
        }
        self.literal(bytes)
    }

    /// Checks the [addresses](Self::addresses) of chunk `c`; then offsets from host address `rax`.
    fn offsets(
        &mut self,
        op: &Op,
        (shared, lane): (bool, u32),
        c: u8,
        slow: CodeLabel,
    ) -> Result<Offsets, IcedError> {
        let wide = op.flags & WIDE != 0;
        let k = MASKS[usize::from(c)];
        if !wide {
            // Only the handler knows 32-bit addresses outside shared memory.
            let align = self.vector_of(|_| lane - 1);
            self.asm
                .mov(rcx, qword_ptr(STATE + disp(offset_of!(State, shared_len))))?;
            self.asm.sub(rcx, i32::try_from(lane - 1).unwrap_or(0))?;
            self.asm.jbe(slow)?;
            self.asm.vpbroadcastd(zmm26, ecx)?;
            self.asm.vpcmpud(k3, zmm27, zmm26, 1)?;
            self.asm.vptestmd(k4, zmm27, align)?;
            self.asm.kandnw(k3, k4, k3)?;
            self.asm.kandnw(k3, k3, k)?;
            self.asm.kortestw(k3, k3)?;
            self.asm.jne(slow)?;
            self.asm
                .mov(rax, qword_ptr(STATE + disp(offset_of!(State, shared))))?;
            return Ok(Offsets::Narrow(zmm27));
        }
        let align = self.all64(u64::from(lane - 1));
        if shared {
            self.asm
                .mov(rcx, qword_ptr(STATE + disp(offset_of!(State, shared_len))))?;
            self.asm.sub(rcx, i32::try_from(lane - 1).unwrap_or(0))?;
            self.asm.jbe(slow)?;
            self.asm.vpbroadcastq(zmm26, rcx)?;
        } else {
            let window = WINDOWS + disp(op.site as usize * size_of::<Window>());
            self.asm
                .vpbroadcastq(zmm26, qword_ptr(window + disp(offset_of!(Window, one))))?;
        }
        self.asm.vptestmq(k3, zmm27, align)?;
        self.asm.vptestmq(k4, zmm28, align)?;
        self.asm.kunpckbw(k5, k4, k3)?;
        if !shared {
            let window = WINDOWS + disp(op.site as usize * size_of::<Window>());
            self.asm.vpbroadcastq(zmm29, qword_ptr(window))?;
            self.asm.vpsubq(zmm27, zmm27, zmm29)?;
            self.asm.vpsubq(zmm28, zmm28, zmm29)?;
        }
        self.asm.vpcmpuq(k3, zmm27, zmm26, 1)?;
        self.asm.vpcmpuq(k4, zmm28, zmm26, 1)?;
        self.asm.kunpckbw(k3, k4, k3)?;
        self.asm.kandnw(k3, k5, k3)?;
        self.asm.kandnw(k3, k3, k)?;
        self.asm.kortestw(k3, k3)?;
        self.asm.jne(slow)?;
        if shared {
            self.asm
                .mov(rax, qword_ptr(STATE + disp(offset_of!(State, shared))))?;
        } else {
            let window = WINDOWS + disp(op.site as usize * size_of::<Window>());
            self.asm.mov(rax, qword_ptr(window))?;
            self.asm
                .add(rax, qword_ptr(window + disp(offset_of!(Window, delta))))?;
        }
        Ok(Offsets::Wide([zmm27, zmm28]))
    }

    /// A load or store of chunk `c` whose lanes go anywhere.
    pub(super) fn scattered(
        &mut self,
        op: &Op,
        form: &Form,
        c: u8,
        slow: CodeLabel,
        load: bool,
    ) -> Result<(), IcedError> {
        let k = MASKS[usize::from(c)];
        self.addresses(op, c)?;
        let done = self.asm.create_label();
        if form.n == 1 {
            self.row_after_all(op, form, c, (slow, done), load)?;
        }
        let offsets = self.offsets(op, (form.shared, form.lane()), c, slow)?;
        for (i, operand) in (0..form.n).zip([op.d, op.b, op.c, op.g]) {
            let at = i32::try_from(i * form.bytes).unwrap_or(0);
            if load {
                self.gather(operand, form, offsets, at, c)?;
            } else {
                let value = self.value(operand, form.class, c, zmm24)?;
                self.scatter(value, form, offsets, at, k)?;
            }
        }
        self.bind(done)
    }

    /// Carries out a load or store of chunk `c`, and goes to `done`, when all lanes execute and their addresses turn out to lie
    /// one after the other: that costs a fraction of what lanes that go anywhere cost.
    fn row_after_all(
        &mut self,
        op: &Op,
        form: &Form,
        c: u8,
        (slow, done): (CodeLabel, CodeLabel),
        load: bool,
    ) -> Result<(), IcedError> {
        let any = self.asm.create_label();
        let k = MASKS[usize::from(c)];
        self.asm.kortestw(k, k)?;
        self.asm.jae(any)?;
        let first = Register::XMM27;
        if op.flags & WIDE != 0 {
            let broadcast = Code::EVEX_Vpbroadcastq_zmm_k1z_xmmm64;
            for (h, (addresses, equal)) in [(zmm27, k3), (zmm28, k4)].into_iter().enumerate() {
                let steps = self.literal(super::compute::steps(form.bytes, true, h));
                self.asm
                    .add_instruction(Instruction::with2(broadcast, Register::ZMM26, first)?)?;
                self.asm.vpaddq(zmm26, zmm26, steps)?;
                self.asm.vpcmpeqq(equal, addresses, zmm26)?;
            }
            self.asm.kunpckbw(k3, k4, k3)?;
            self.asm.add_instruction(Instruction::with2(
                Code::EVEX_Vmovq_rm64_xmm,
                Register::RAX,
                first,
            )?)?;
        } else {
            let broadcast = Code::EVEX_Vpbroadcastd_zmm_k1z_xmmm32;
            let steps = self.literal(super::compute::steps(form.bytes, false, 0));
            self.asm
                .add_instruction(Instruction::with2(broadcast, Register::ZMM26, first)?)?;
            self.asm.vpaddd(zmm26, zmm26, steps)?;
            self.asm.vpcmpeqd(k3, zmm27, zmm26)?;
            self.asm.add_instruction(Instruction::with2(
                Code::EVEX_Vmovd_rm32_xmm,
                Register::EAX,
                first,
            )?)?;
        }
        self.asm.kortestw(k3, k3)?;
        self.asm.jae(any)?;
        let row = Form {
            pattern: Pattern::Row,
            ..*form
        };
        self.host_address(op, &row, row.span(), slow)?;
        (self.address, self.distance) = (rax, 0);
        if load {
            self.load_row(op, &row, c)?;
        } else {
            self.store_row(op, &row, c)?;
        }
        self.asm.jmp(done)?;
        self.bind(any)
    }

    fn gather(
        &mut self,
        operand: u32,
        form: &Form,
        offsets: Offsets,
        at: i32,
        c: u8,
    ) -> Result<(), IcedError> {
        let k = MASKS[usize::from(c)];
        // Straight into the home: lanes that do not execute stay.
        let (d, store) = self.target(operand, form.class, c);
        match (d, offsets) {
            (Lanes::W32(d), Offsets::Narrow(o)) => {
                self.asm.kmovw(k3, k)?;
                self.asm.vpgatherdd(d.k3(), dword_ptr(rax + o + at))?;
            }
            (Lanes::W32(d), Offsets::Wide([low, high])) => {
                self.asm.kmovw(k3, k)?;
                self.asm.kshiftrw(k4, k, 8)?;
                self.asm.vpgatherqd(ymm29.k3(), dword_ptr(rax + low + at))?;
                self.asm.vpgatherqd(ymm30.k4(), dword_ptr(rax + high + at))?;
                self.asm.vinserti64x4(zmm29, zmm29, ymm30, 1)?;
                self.asm.vmovdqa32(masked(d, Some(k)), zmm29)?;
            }
            (Lanes::W64(d), offsets) => {
                self.asm.kmovw(k3, k)?;
                self.asm.kshiftrw(k4, k, 8)?;
                for (h, d) in d.into_iter().enumerate() {
                    let d = masked(d, Some(if h == 0 { k3 } else { k4 }));
                    let wide = match offsets {
                        Offsets::Wide(o) => o[h],
                        Offsets::Narrow(o) => {
                            self.asm.vextracti64x4(ymm29, o, u32::try_from(h).unwrap_or(0))?;
                            self.asm.vpmovzxdq(zmm29, ymm29)?;
                            zmm29
                        }
                    };
                    self.asm.vpgatherqq(d, qword_ptr(rax + wide + at))?;
                }
            }
            (Lanes::Pred(_), _) => {}
        }
        if store {
            self.put(operand, form.class, c, Some(k))?;
        }
        Ok(())
    }

    fn scatter(
        &mut self,
        value: [AsmRegisterZmm; 2],
        form: &Form,
        offsets: Offsets,
        at: i32,
        k: AsmRegisterK,
    ) -> Result<(), IcedError> {
        self.asm.kmovw(k3, k)?;
        match (form.class, offsets) {
            (Class::W64, offsets) => {
                self.asm.kshiftrw(k4, k, 8)?;
                for h in 0..2 {
                    let wide = match offsets {
                        Offsets::Wide(o) => o[h],
                        Offsets::Narrow(o) => {
                            self.asm.vextracti64x4(ymm29, o, u32::try_from(h).unwrap_or(0))?;
                            self.asm.vpmovzxdq(zmm29, ymm29)?;
                            zmm29
                        }
                    };
                    let to = masked_memory(qword_ptr(rax + wide + at), if h == 0 { k3 } else { k4 });
                    self.asm.vpscatterqq(to, value[h])?;
                }
                Ok(())
            }
            (_, Offsets::Narrow(o)) => self.asm.vpscatterdd(dword_ptr(rax + o + at).k3(), value[0]),
            (_, Offsets::Wide([low, high])) => {
                self.asm.kshiftrw(k4, k, 8)?;
                self.asm.vextracti64x4(ymm30, value[0], 1)?;
                self.asm.vmovdqa64(zmm29, value[0])?;
                self.asm.vpscatterqd(dword_ptr(rax + low + at).k3(), ymm29)?;
                self.asm.vpscatterqd(dword_ptr(rax + high + at).k4(), ymm30)
            }
        }
    }

    /// Whether an atomic has a native form: a 32-bit sum or bit operation.
    pub(super) fn atom_form(atom: &Atom, op: &Op) -> bool {
        let simple = matches!(
            atom.kind,
            AtomKind::Int(AtomOp::Add | AtomOp::And | AtomOp::Or | AtomOp::Xor)
        );
        let operands = op.d == NO_OPERAND || matches!(atom.kind, AtomKind::Int(AtomOp::Add));
        let fits = match atom.space {
            Space::Shared => true,
            Space::Global | Space::Generic => op.flags & WIDE != 0,
            Space::Local => false,
        };
        simple && operands && fits && atom.bytes == 4
    }

    /// An atomic, lane after lane in their order.
    pub(super) fn atom(&mut self, atom: &Atom, inst: &Inst, op: &Op, at: u32) -> Result<bool, IcedError> {
        if !Self::atom_form(atom, op) || inst.guard.is_some() {
            return Ok(false);
        }
        // The handler has one access for all lanes that add to one cell; in shared memory a lane costs less than the call.
        let adds = matches!(atom.kind, AtomKind::Int(AtomOp::Add));
        if adds && atom.space != Space::Shared && self.shape(inst.s[0]) == Shape::Uniform {
            return Ok(false);
        }
        self.spans[op.site as usize] = (64, 4);
        let back = self.asm.create_label();
        let slow = self.handler_stub(at, Some(at), back);
        let shared = atom.space == Space::Shared;
        let scratch = disp(offset_of!(State, scratch));
        for c in 0..2u8 {
            let value = self.value(op.b, Class::W32, c, zmm24)?[0];
            self.asm
                .vmovdqa64(zmmword_ptr(STATE + (scratch + 256 + 64 * i32::from(c))), value)?;
            let to = scratch + 128 * i32::from(c);
            self.addresses(op, c)?;
            match self.offsets(op, (shared, 4), c, slow)? {
                Offsets::Narrow(o) => {
                    self.asm.vpmovzxdq(zmm29, ymm_of(o))?;
                    self.asm.vextracti64x4(ymm30, o, 1)?;
                    self.asm.vpmovzxdq(zmm30, ymm30)?;
                    self.asm.vmovdqa64(zmmword_ptr(STATE + to), zmm29)?;
                    self.asm.vmovdqa64(zmmword_ptr(STATE + (to + 64)), zmm30)?;
                }
                Offsets::Wide([low, high]) => {
                    self.asm.vmovdqa64(zmmword_ptr(STATE + to), low)?;
                    self.asm.vmovdqa64(zmmword_ptr(STATE + (to + 64)), high)?;
                }
            }
        }
        let done = self.asm.create_label();
        if shared && op.d == NO_OPERAND {
            self.atom_all(atom, self.constant(inst.s[1]), scratch, done)?;
        }
        self.atom_loop(atom, op, shared, scratch)?;
        self.bind(done)?;
        if op.d != NO_OPERAND {
            for c in 0..2u8 {
                self.asm
                    .vmovdqa64(zmm26, zmmword_ptr(STATE + (scratch + 256 + 64 * i32::from(c))))?;
                self.result32(op.d, c, zmm26, false)?;
            }
        }
        self.bind(back)?;
        Ok(true)
    }

    /// An atomic of all 32 lanes in memory that no other thread of the processor sees, whose result nobody wants. As
    /// [`atom_loop`](Self::atom_loop).
    fn atom_all(
        &mut self,
        atom: &Atom,
        known: Option<u64>,
        scratch: i32,
        done: CodeLabel,
    ) -> Result<(), IcedError> {
        let some = self.asm.create_label();
        self.asm.cmp(dword_ptr(CX + disp(offset_of!(Cx, mask))), -1)?;
        self.asm.jne(some)?;
        if let Some(value) = known {
            self.asm.mov(edi, super::vector::low(value))?;
        }
        for lane in 0..32 {
            self.asm.mov(rsi, qword_ptr(STATE + (scratch + 8 * lane)))?;
            if known.is_none() {
                self.asm.mov(edi, dword_ptr(STATE + (scratch + 256 + 4 * lane)))?;
            }
            let cell = dword_ptr(rax + rsi);
            match atom.kind {
                AtomKind::Int(AtomOp::And) => self.asm.and(cell, edi)?,
                AtomKind::Int(AtomOp::Or) => self.asm.or(cell, edi)?,
                AtomKind::Int(AtomOp::Xor) => self.asm.xor(cell, edi)?,
                _ => self.asm.add(cell, edi)?,
            }
        }
        self.asm.jmp(done)?;
        self.bind(some)
    }

    /// Offsets and operands are in the scratch memory, all checked; `rax` is what offsets count from.
    fn atom_loop(&mut self, atom: &Atom, op: &Op, shared: bool, scratch: i32) -> Result<(), IcedError> {
        let (again, done) = (self.asm.create_label(), self.asm.create_label());
        self.asm.mov(ecx, dword_ptr(CX + disp(offset_of!(Cx, mask))))?;
        self.asm.test(ecx, ecx)?;
        self.asm.je(done)?;
        self.bind(again)?;
        self.asm.tzcnt(edx, ecx)?;
        self.asm.mov(rsi, qword_ptr(STATE + rdx * 8 + scratch))?;
        self.asm.mov(edi, dword_ptr(STATE + rdx * 4 + (scratch + 256)))?;
        let cell = dword_ptr(rax + rsi);
        if !shared {
            let _ = self.asm.lock();
        }
        match atom.kind {
            AtomKind::Int(AtomOp::Add) if op.d != NO_OPERAND => {
                self.asm.xadd(cell, edi)?;
                self.asm.mov(dword_ptr(STATE + rdx * 4 + (scratch + 256)), edi)?;
            }
            AtomKind::Int(AtomOp::And) => self.asm.and(cell, edi)?,
            AtomKind::Int(AtomOp::Or) => self.asm.or(cell, edi)?,
            AtomKind::Int(AtomOp::Xor) => self.asm.xor(cell, edi)?,
            _ => self.asm.add(cell, edi)?,
        }
        self.asm.blsr(ecx, ecx)?;
        self.asm.jne(again)?;
        self.bind(done)
    }
}

/// The lower half of a vector register.
fn ymm_of(z: AsmRegisterZmm) -> AsmRegisterYmm {
    if z == zmm27 { ymm27 } else { ymm28 }
}
