//! Code for warps of a block that take turns; see [`seats`](super::seats).

use std::mem::offset_of;

use iced_x86::IcedError;
use iced_x86::code_asm::*;

use super::compile::{CX, FRAME, Gen, STATE, Stub, disp};
use super::context::{NOBODY, State};
use super::seats::{Seat, Seats};
use crate::decode::Analysed;
use crate::exec::{Cx, Event};
use crate::frame::Group;
use crate::lir::{BarRed, Inst, Konst, What};

/// No barrier of the kernel is counted by machine code.
const NO_BARRIER: u32 = u32::MAX;

/// The barrier of the whole block that is counted here: the one of the first instruction that is simple enough.
pub(super) fn barrier_of(analysed: &Analysed) -> u32 {
    let all = analysed.kernel.blocks.iter().flat_map(|b| &b.insts);
    all.filter(|i| is_simple(i))
        .find_map(|i| number(analysed, i))
        .unwrap_or(NO_BARRIER)
}

/// The number of a barrier, where the kernel's text gives one that exists.
pub(super) fn number(analysed: &Analysed, inst: &Inst) -> Option<u32> {
    match analysed.kernel.vregs[inst.s[0] as usize].konst {
        Some(Konst::Imm(id)) => u32::try_from(id).ok().filter(|id| *id < 16),
        _ => None,
    }
}

/// A barrier of all threads that reduces nothing.
pub(super) fn is_simple(inst: &Inst) -> bool {
    let plain = What::Bar {
        red: BarRed::None,
        count: false,
        arrive: false,
    };
    inst.what == plain && inst.guard.is_none()
}

/// A field of the seats as an operand.
fn seats(field: usize) -> i32 {
    disp(offset_of!(State, seats) + field)
}

impl Gen<'_> {
    /// A barrier of all threads of the block: another warp goes on.
    pub(super) fn barrier(&mut self, at: u32) -> Result<bool, IcedError> {
        let (slow, behind) = (self.asm.create_label(), self.asm.create_label());
        self.asm
            .mov(rdx, qword_ptr(STATE + seats(offset_of!(Seats, current))))?;
        self.asm.mov(eax, dword_ptr(CX + disp(offset_of!(Cx, mask))))?;
        self.asm.cmp(eax, dword_ptr(rdx + disp(offset_of!(Seat, live))))?;
        self.asm.jne(slow)?;
        self.asm.cmp(
            dword_ptr(STATE + disp(offset_of!(State, next))),
            NOBODY.cast_signed(),
        )?;
        self.asm.jne(slow)?;
        for home in self.held.clone() {
            self.save(home)?;
        }
        self.asm.lea(rcx, ptr(behind))?;
        self.asm
            .mov(qword_ptr(rdx + disp(offset_of!(Seat, resume))), rcx)?;
        self.asm.mov(dword_ptr(rdx + disp(offset_of!(Seat, mask))), eax)?;
        self.asm
            .mov(dword_ptr(rdx + disp(offset_of!(Seat, pc))), at + 1)?;
        self.asm
            .mov(ecx, dword_ptr(STATE + seats(offset_of!(Seats, bit))))?;
        self.asm
            .or(dword_ptr(STATE + seats(offset_of!(Seats, arrived))), ecx)?;
        self.asm.jmp(self.rotate)?;
        self.stubs.push(Stub::Barrier { from: slow, pc: at });
        self.often = Some(behind);
        self.barriers.push(at);
        Ok(true)
    }

    /// `exit`: the lanes leave; others of the warp that wait go on, then other warps.
    pub(super) fn exit(&mut self, at: u32) -> Result<(), IcedError> {
        let leave = self.asm.create_label();
        self.asm.mov(eax, dword_ptr(CX + disp(offset_of!(Cx, mask))))?;
        self.asm.not(eax)?;
        self.asm.mov(rdx, qword_ptr(CX + disp(offset_of!(Cx, group))))?;
        self.asm
            .mov(rdi, qword_ptr(STATE + seats(offset_of!(Seats, current))))?;
        self.asm.and(dword_ptr(rdi + disp(offset_of!(Seat, live))), eax)?;
        self.asm
            .and(dword_ptr(rdx + disp(offset_of!(Group, live))), eax)?;
        self.asm
            .inc(dword_ptr(STATE + disp(offset_of!(State, progress))))?;
        self.asm.xor(ecx, ecx)?;
        self.asm
            .mov(esi, dword_ptr(STATE + disp(offset_of!(State, next))))?;
        self.asm.cmp(esi, NOBODY.cast_signed())?;
        self.asm.jne(self.take)?;
        // Lanes that wait at a barrier may want homes.
        for home in self.held.clone() {
            self.save(home)?;
        }
        // The block decides what that means for barriers, unless everybody is seated.
        self.asm
            .cmp(dword_ptr(STATE + seats(offset_of!(Seats, whole))), 0)?;
        self.asm.jne(self.rotate)?;
        self.bind(leave)?;
        self.asm.mov(dword_ptr(CX + disp(offset_of!(Cx, pc))), at)?;
        self.asm
            .mov(byte_ptr(CX + disp(offset_of!(Cx, event))), Event::Next as u32)?;
        self.asm.jmp(self.leave)
    }

    /// The routine that goes over to the next warp; the last one's homes are saved.
    pub(super) fn rotate_routine(&mut self) -> Result<(), IcedError> {
        let (some, none, gone) = (
            self.asm.create_label(),
            self.asm.create_label(),
            self.asm.create_label(),
        );
        let ready = dword_ptr(STATE + seats(offset_of!(Seats, ready)));
        let arrived = dword_ptr(STATE + seats(offset_of!(Seats, arrived)));
        self.bind(self.rotate)?;
        self.asm.mov(ecx, ready)?;
        self.asm.test(ecx, ecx)?;
        self.asm.je(none)?;
        self.bind(some)?;
        self.asm.tzcnt(eax, ecx)?;
        self.asm.blsr(edx, ecx)?;
        self.asm.mov(ready, edx)?;
        self.asm.xor(edx, ecx)?;
        self.asm
            .mov(dword_ptr(STATE + seats(offset_of!(Seats, bit))), edx)?;
        self.asm.shl(eax, size_of::<Seat>().trailing_zeros())?;
        self.asm
            .lea(rdx, qword_ptr(STATE + rax + seats(offset_of!(Seats, seat))))?;
        self.asm
            .mov(qword_ptr(STATE + seats(offset_of!(Seats, current))), rdx)?;
        self.take_seat()?;
        self.bind(none)?;
        // One that waits for another in vain goes on alone.
        let bit = dword_ptr(STATE + seats(offset_of!(Seats, parked_bit)));
        self.asm.mov(ecx, bit)?;
        self.asm.mov(bit, 0)?;
        self.asm
            .mov(qword_ptr(STATE + seats(offset_of!(Seats, parked))), 0)?;
        self.asm.test(ecx, ecx)?;
        self.asm.jne(some)?;
        // All that are left have arrived: they go on.
        self.asm.mov(ecx, arrived)?;
        self.asm.test(ecx, ecx)?;
        self.asm.je(gone)?;
        self.asm.mov(arrived, 0)?;
        self.asm.jmp(some)?;
        self.bind(gone)?;
        self.asm.vzeroupper()?;
        self.asm.mov(rdi, STATE)?;
        self.asm
            .call(qword_ptr(STATE + seats(offset_of!(Seats, finished))))?;
        self.asm.test(eax, eax)?;
        self.asm.jne(self.rotate)?;
        self.asm.jmp(self.leave)
    }

    /// Makes the warp of the seat at `rdx` the one that runs.
    fn take_seat(&mut self) -> Result<(), IcedError> {
        let seat = |field: usize| qword_ptr(rdx + disp(field));
        self.asm.mov(FRAME, seat(offset_of!(Seat, frame)))?;
        self.asm.mov(qword_ptr(CX + disp(offset_of!(Cx, frame))), FRAME)?;
        let copies = [
            (
                offset_of!(Seat, local),
                qword_ptr(CX + disp(offset_of!(Cx, local))),
            ),
            (
                offset_of!(Seat, tid),
                qword_ptr(STATE + disp(offset_of!(State, tid))),
            ),
            (
                offset_of!(Seat, group),
                qword_ptr(CX + disp(offset_of!(Cx, group))),
            ),
        ];
        for (from, to) in copies {
            self.asm.mov(rcx, seat(from))?;
            self.asm.mov(to, rcx)?;
        }
        for (from, to) in [
            (offset_of!(Seat, mask), offset_of!(Cx, mask)),
            (offset_of!(Seat, all), offset_of!(Cx, all)),
        ] {
            self.asm.mov(ecx, dword_ptr(rdx + disp(from)))?;
            self.asm.mov(dword_ptr(CX + disp(to)), ecx)?;
        }
        self.asm.mov(rax, seat(offset_of!(Seat, entry)))?;
        self.asm.jmp(seat(offset_of!(Seat, resume)))
    }
}
