//! Loads and stores.
//!
//! Every access is checked against the window of its site (or the length of shared memory) before it touches memory. What the
//! forms here do not cover, and every access that its window does not contain, goes to the handler of tier 0, which looks
//! the span up, or faults with the right lane; the site's window is read again after it.

use std::mem::offset_of;

use iced_x86::IcedError;
use iced_x86::code_asm::*;

use super::alu::Lanes;
use super::asm::Target;
use super::compile::{FRAME, Gen, MASKS, STATE, Stub, WINDOWS, disp, slot_disp};
use super::compute::{base_of, masked, masked_memory};
use super::context::{State, Window};
use super::kept::Place;
use crate::decode::Halves;
use crate::exec::alu::Class;
use crate::exec::memory::ORDERED;
use crate::exec::{FLAT, LINE, Op, POOL, SCALAR, WIDE};
use crate::lir::{Access, Inst, MemType, Space};

/// Bytes that rows look ahead: the row of 256 threads.
const AHEAD: i32 = 1024;

/// How the lanes of a chunk lie in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pattern {
    /// All at one address.
    One,
    /// One after the other.
    Row,
    /// Anywhere: an address each.
    Any,
}

/// An access with a native form.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form {
    pub(super) pattern: Pattern,
    pub(super) ty: MemType,
    pub(super) class: Class,
    /// Bytes of an element.
    pub(super) bytes: u32,
    pub(super) n: u32,
    pub(super) shared: bool,
}

/// A store of sixteen elements in a row whose operands are known.
#[derive(Clone, Copy)]
pub(super) struct RowStore {
    address: AsmMemoryOperand,
    /// Lower and upper lanes.
    values: [AsmRegisterZmm; 2],
    ty: MemType,
    mask: Option<AsmRegisterK>,
}

impl Form {
    /// The bytes that one lane accesses.
    pub(super) const fn lane(&self) -> u32 {
        self.bytes * self.n
    }

    /// The bytes that a chunk accesses in one go.
    pub(super) fn span(&self) -> u32 {
        if self.pattern == Pattern::Row {
            self.bytes * 16
        } else {
            self.lane()
        }
    }

    /// What its address is a multiple of.
    pub(super) fn align(&self) -> u32 {
        if self.pattern == Pattern::Row {
            self.bytes
        } else {
            self.lane()
        }
    }
}

const fn size(ty: MemType) -> u32 {
    match ty {
        MemType::U8 | MemType::S8 => 1,
        MemType::U16 | MemType::S16 => 2,
        MemType::B32 | MemType::S32 => 4,
        MemType::B64 => 8,
    }
}

/// Bytes from the first lane of a warp to the first one of its upper half, where they lie in a line.
pub(super) fn upper(op: &Op) -> i32 {
    op.e.cast_signed().wrapping_mul(16)
}

impl Gen<'_> {
    /// The native form of an access.
    pub(super) fn form(&self, access: &Access, inst: &Inst, op: &Op, load: bool) -> Option<Form> {
        if op.flags & ORDERED != 0 || access.space == Space::Local {
            return None;
        }
        let values = if load { &inst.d[..] } else { inst.s.get(1..)? };
        let class = self.analysed.kernel.vregs[*values.first()? as usize].class;
        let fits = match (access.ty, class) {
            (MemType::B64, Class::W32) | (_, Class::Pred) => false,
            (MemType::B64, Class::W64) => true,
            (_, Class::W64) => load,
            (_, Class::W32) => true,
        };
        let same = values
            .iter()
            .all(|&v| self.analysed.kernel.vregs[v as usize].class == class);
        let bytes = size(access.ty);
        let n = u32::from(access.n);
        let uniform = op.a & (POOL | FLAT) != 0;
        let one =
            op.flags & SCALAR != 0 || uniform && op.flags & LINE == 0 || op.flags & LINE != 0 && op.e == 0;
        let pattern = if one && load {
            Pattern::One
        } else if op.flags & LINE != 0 && op.e == bytes && n == 1 && !one {
            Pattern::Row
        } else {
            Pattern::Any
        };
        if access.space != Space::Shared && op.flags & WIDE == 0 {
            return None;
        }
        let supported = match pattern {
            Pattern::One => load,
            Pattern::Row => true,
            // A gather reads four bytes or eight. The second half still needs the addresses where the first finds its window
            // and the second does not.
            Pattern::Any => {
                let whole = if class == Class::W64 { 8 } else { 4 };
                let targets = [op.d, op.b, op.c, op.g];
                bytes == whole && !(load && targets.iter().take(n as usize).any(|&d| d == op.a))
            }
        };
        (fits && same && supported).then_some(Form {
            pattern,
            ty: access.ty,
            class,
            bytes,
            n,
            shared: access.space == Space::Shared,
        })
    }

    pub(super) fn memory(
        &mut self,
        access: &Access,
        inst: &Inst,
        op: &Op,
        at: u32,
        load: bool,
    ) -> Result<bool, IcedError> {
        let Some(form) = self.form(access, inst, op, load) else {
            return Ok(false);
        };
        self.spans[op.site as usize] = (u64::from(form.bytes) * 16, u64::from(form.lane()));
        let base = match self.base(inst, op, &form, load) {
            Some(base) => Some(base),
            None => self.lead(inst, op, &form, (load, at))?,
        };
        if let Some(base) = base
            && load
            && self.fold(inst, op, &form, at, base)
        {
            return Ok(true);
        }
        let back = self.asm.create_label();
        // With a guard in front it is the guard's handler that runs the access.
        let slow = match base {
            Some(_) => None,
            None => Some(self.handler_stub(self.guard.unwrap_or(at), Some(at), back)),
        };
        let chunks = if op.flags & SCALAR != 0 { 1 } else { 2 };
        let joined = base.is_none() && form.pattern == Pattern::Row && self.joins(op);
        let repeats = form.pattern == Pattern::Row && self.repeats(op, inst.s[0]);
        if joined && !form.shared {
            self.spans[op.site as usize].0 *= 2;
        }
        for c in 0..chunks {
            match (base, slow) {
                (Some((base, distance)), _) => {
                    // Lanes of a uniform address share one.
                    let c = if op.flags & LINE == 0 { 0 } else { c };
                    let (at, between) = base.chunk(c);
                    self.address = self.kept_address(at)?;
                    self.distance = distance + between;
                }
                (None, Some(_)) if joined && c == 1 => self.distance = upper(op),
                (None, Some(slow)) if form.pattern == Pattern::Any => {
                    self.scattered(op, &form, c, slow, load)?;
                    continue;
                }
                (None, Some(slow)) if repeats && c == 1 => self.repeat(op, slow)?,
                (None, Some(slow)) => {
                    self.line_address(op, op.imm, c)?;
                    if joined {
                        self.follows(op, op.imm, slow)?;
                    }
                    self.host_address(op, &form, form.span() << u32::from(joined), slow)?;
                    (self.address, self.distance) = (rax, 0);
                }
                (None, None) => {}
            }
            match (load, form.pattern) {
                (true, Pattern::Row) => {
                    // A row that both halves share is read by every row of the block: it is in the cache.
                    if !(form.shared || repeats) {
                        self.prefetch()?;
                    }
                    self.load_row(op, &form, c)?;
                }
                (true, _) => self.load_one(op, &form, c)?,
                (false, _) => self.store_row(op, &form, c)?,
            }
        }
        self.bind(back)?;
        Ok(true)
    }

    /// The address of the first lane of chunk `c` in `rax`, `imm` past what the operand says.
    pub(super) fn line_address(&mut self, op: &Op, imm: i32, c: u8) -> Result<(), IcedError> {
        let step = if op.flags & LINE == 0 {
            0
        } else if op.flags & WIDE != 0 {
            8
        } else {
            4
        };
        let wide = op.flags & WIDE != 0;
        let at = slot_disp(op.a) + step * i32::from(c);
        let kept = if op.a & POOL == 0 {
            self.kept(Place::Frame(at), wide)
        } else {
            None
        };
        let at = base_of(op.a) + at;
        if wide {
            match kept {
                Some(register) => self.asm.mov(rax, super::kept::WIDE[register])?,
                None => self.asm.mov(rax, qword_ptr(at))?,
            }
            if imm != 0 {
                self.asm.add(rax, imm)?;
            }
        } else {
            match kept {
                Some(register) => self.asm.mov(eax, super::kept::NARROW[register])?,
                None => self.asm.mov(eax, dword_ptr(at))?,
            }
            if imm != 0 {
                self.asm.add(eax, imm)?;
            }
        }
        Ok(())
    }

    /// Whether the upper half of a warp is expected to go on where the lower half's row ends, so that one check is for both.
    pub(super) fn joins(&self, op: &Op) -> bool {
        self.code.halves == Halves::Follow && op.flags & LINE != 0
    }

    /// With the address of the lower half in `rax`, `imm` past what the operand says: to `slow` unless the upper half goes on where
    /// the lower one ends. Values of 32 bits may have wrapped between them.
    pub(super) fn follows(&mut self, op: &Op, imm: i32, slow: CodeLabel) -> Result<(), IcedError> {
        let between = upper(op).wrapping_sub(imm);
        let wide = op.flags & WIDE != 0;
        let at = slot_disp(op.a) + if wide { 8 } else { 4 };
        let kept = self.kept(Place::Frame(at), wide);
        let at = base_of(op.a) + at;
        if wide {
            self.asm.lea(rcx, qword_ptr(rax + between))?;
        } else {
            self.asm.lea(ecx, dword_ptr(rax + between))?;
        }
        match (kept, wide) {
            (Some(r), true) => self.asm.cmp(rcx, super::kept::WIDE[r])?,
            (Some(r), false) => self.asm.cmp(ecx, super::kept::NARROW[r])?,
            (None, true) => self.asm.cmp(rcx, qword_ptr(at))?,
            (None, false) => self.asm.cmp(ecx, dword_ptr(at))?,
        }
        self.asm.jne(slow)
    }

    /// From the address in `rax`, of so many bytes, to the host's, or to `slow`.
    pub(super) fn host_address(
        &mut self,
        op: &Op,
        form: &Form,
        span: u32,
        slow: CodeLabel,
    ) -> Result<(), IcedError> {
        let align = form.align();
        if align > 1 {
            self.asm.test(al, i32::try_from(align - 1).unwrap_or(0))?;
            self.asm.jne(slow)?;
        }
        if form.shared {
            let len = qword_ptr(STATE + disp(offset_of!(State, shared_len)));
            if op.flags & WIDE != 0 {
                // Near the end of all addresses the sum below would wrap.
                self.asm.cmp(rax, len)?;
                self.asm.jae(slow)?;
            }
            self.asm
                .lea(rcx, qword_ptr(rax + i32::try_from(span).unwrap_or(0)))?;
            self.asm.cmp(rcx, len)?;
            self.asm.ja(slow)?;
            return self
                .asm
                .add(rax, qword_ptr(STATE + disp(offset_of!(State, shared))));
        }
        let window = WINDOWS + disp(op.site as usize * size_of::<Window>());
        let limit = if form.pattern == Pattern::Row {
            offset_of!(Window, row)
        } else {
            offset_of!(Window, one)
        };
        self.asm.mov(rcx, rax)?;
        self.asm.sub(rcx, qword_ptr(window))?;
        self.asm.cmp(rcx, qword_ptr(window + disp(limit)))?;
        self.asm.jae(slow)?;
        self.asm
            .add(rax, qword_ptr(window + disp(offset_of!(Window, delta))))
    }

    /// Asks for what lies a block's rows ahead: the next block of a kernel that goes over memory once loads it, and the processor
    /// sees no pattern where a thread's own loads are further apart than pages.
    fn prefetch(&mut self) -> Result<(), IcedError> {
        self.asm
            .prefetcht1(byte_ptr(self.address + (self.distance + AHEAD)))
    }

    /// Sixteen elements from the address.
    pub(super) fn load_row(&mut self, op: &Op, form: &Form, c: u8) -> Result<(), IcedError> {
        let mask = Self::mask(op.flags, c);
        let (d, store) = self.target(op.d, form.class, c);
        let k = if store { None } else { mask };
        match d {
            Lanes::W32(d) => {
                let d = masked(d, k);
                match form.ty {
                    MemType::U8 => self.asm.vpmovzxbd(d, xmmword_ptr(self.address + self.distance))?,
                    MemType::S8 => self.asm.vpmovsxbd(d, xmmword_ptr(self.address + self.distance))?,
                    MemType::U16 => self.asm.vpmovzxwd(d, ymmword_ptr(self.address + self.distance))?,
                    MemType::S16 => self.asm.vpmovsxwd(d, ymmword_ptr(self.address + self.distance))?,
                    _ => self.asm.vmovdqu32(d, zmmword_ptr(self.address + self.distance))?,
                }
            }
            Lanes::W64(halves) => {
                for (h, d) in halves.into_iter().enumerate() {
                    let d = masked(d, self.half(k, h)?);
                    let at = self.address + (self.distance + disp(h * 8 * form.bytes as usize));
                    match form.ty {
                        MemType::U8 => self.asm.vpmovzxbq(d, qword_ptr(at))?,
                        MemType::S8 => self.asm.vpmovsxbq(d, qword_ptr(at))?,
                        MemType::U16 => self.asm.vpmovzxwq(d, xmmword_ptr(at))?,
                        MemType::S16 => self.asm.vpmovsxwq(d, xmmword_ptr(at))?,
                        MemType::B32 => self.asm.vpmovzxdq(d, ymmword_ptr(at))?,
                        MemType::S32 => self.asm.vpmovsxdq(d, ymmword_ptr(at))?,
                        MemType::B64 => self.asm.vmovdqu64(d, zmmword_ptr(at))?,
                    }
                }
            }
            Lanes::Pred(_) => {}
        }
        if store {
            self.put(op.d, form.class, c, mask)?;
        }
        Ok(())
    }

    /// One element, or several in a row for several registers, from `rax` for all lanes.
    fn load_one(&mut self, op: &Op, form: &Form, c: u8) -> Result<(), IcedError> {
        let scalar = op.flags & SCALAR != 0;
        for (i, operand) in (0..form.n).zip([op.d, op.b, op.c, op.g]) {
            let at = self.address + (self.distance + i32::try_from(i * form.bytes).unwrap_or(0));
            let wide = form.class == Class::W64;
            match form.ty {
                MemType::U8 => self.asm.movzx(ecx, byte_ptr(at))?,
                MemType::S8 if wide => self.asm.movsx(rcx, byte_ptr(at))?,
                MemType::S8 => self.asm.movsx(ecx, byte_ptr(at))?,
                MemType::U16 => self.asm.movzx(ecx, word_ptr(at))?,
                MemType::S16 if wide => self.asm.movsx(rcx, word_ptr(at))?,
                MemType::S16 => self.asm.movsx(ecx, word_ptr(at))?,
                MemType::S32 if wide => self.asm.movsxd(rcx, dword_ptr(at))?,
                MemType::B32 if wide => self.asm.mov(ecx, dword_ptr(at))?,
                MemType::B32 | MemType::S32 | MemType::B64 => {}
            }
            let mask = if scalar { None } else { Self::mask(op.flags, c) };
            let (d, store) = self.target(operand, form.class, c);
            let k = if store { None } else { mask };
            match d {
                Lanes::W32(d) if form.bytes == 4 => self.asm.vpbroadcastd(masked(d, k), dword_ptr(at))?,
                Lanes::W32(d) => self.asm.vpbroadcastd(masked(d, k), ecx)?,
                Lanes::W64([low, high]) => {
                    let k_high = self.half(k, 1)?;
                    for (d, k) in [(low, k), (high, k_high)] {
                        if form.bytes == 8 {
                            self.asm.vpbroadcastq(masked(d, k), qword_ptr(at))?;
                        } else {
                            self.asm.vpbroadcastq(masked(d, k), rcx)?;
                        }
                    }
                }
                Lanes::Pred(_) => {}
            }
            if store {
                self.put(operand, form.class, c, mask)?;
            }
        }
        Ok(())
    }

    /// Chunk `c` of a value in registers: its home; else `to`, and `zmm25` for the upper lanes of a 64-bit one.
    pub(super) fn value(
        &mut self,
        operand: u32,
        class: Class,
        c: u8,
        to: AsmRegisterZmm,
    ) -> Result<[AsmRegisterZmm; 2], IcedError> {
        match self.home(operand, c) {
            Some(Lanes::W32(d)) => return Ok([d, d]),
            Some(Lanes::W64(d)) => return Ok(d),
            _ => {}
        }
        let at = slot_disp(operand);
        let shared = operand & (POOL | FLAT) != 0;
        let base = base_of(operand);
        match (class, shared) {
            (Class::W64, true) => {
                self.asm.vpbroadcastq(to, qword_ptr(base + at))?;
                Ok([to, to])
            }
            (Class::W64, false) => {
                let at = at + 128 * i32::from(c);
                self.asm.vmovdqa64(to, zmmword_ptr(FRAME + at))?;
                self.asm.vmovdqa64(zmm25, zmmword_ptr(FRAME + (at + 64)))?;
                Ok([to, zmm25])
            }
            (_, true) => {
                self.asm.vpbroadcastd(to, dword_ptr(base + at))?;
                Ok([to, to])
            }
            (_, false) => {
                self.asm
                    .vmovdqa64(to, zmmword_ptr(FRAME + (at + 64 * i32::from(c))))?;
                Ok([to, to])
            }
        }
    }

    /// Sixteen elements to the address, of the lanes that execute.
    ///
    /// A store under a mask waits for the line of memory that it writes to, one of a whole row does not: where all lanes execute
    /// there is no mask.
    pub(super) fn store_row(&mut self, op: &Op, form: &Form, c: u8) -> Result<(), IcedError> {
        let [low, high] = self.value(op.d, form.class, c, zmm26)?;
        let k = MASKS[usize::from(c)];
        let mut store = RowStore {
            address: self.address + self.distance,
            values: [low, high],
            ty: form.ty,
            mask: Some(k),
        };
        if !form.shared {
            self.asm
                .prefetchw(byte_ptr(self.address + (self.distance + AHEAD)))?;
        }
        if form.shared || self.asm.target() != Target::Avx512 {
            return self.store_elements(&store);
        }
        let (from, back) = (self.asm.create_label(), self.asm.create_label());
        self.asm.kortestw(k, k)?;
        self.asm.jae(from)?;
        self.stubs.push(Stub::Masked { from, back, store });
        store.mask = None;
        self.store_elements(&store)?;
        self.bind(back)
    }

    /// The instructions of a store of a row.
    pub(super) fn store_elements(&mut self, store: &RowStore) -> Result<(), IcedError> {
        let (at, k, [low, high]) = (store.address, store.mask, store.values);
        match store.ty {
            MemType::U8 | MemType::S8 => self.asm.vpmovdb(masked_if(xmmword_ptr(at), k), low),
            MemType::U16 | MemType::S16 => self.asm.vpmovdw(masked_if(ymmword_ptr(at), k), low),
            MemType::B32 | MemType::S32 => self.asm.vmovdqu32(masked_if(zmmword_ptr(at), k), low),
            MemType::B64 => {
                let upper = k.map(|_| k3);
                if let Some(k) = k {
                    self.asm.kshiftrw(k3, k, 8)?;
                }
                self.asm.vmovdqu64(masked_if(zmmword_ptr(at), k), low)?;
                self.asm.vmovdqu64(masked_if(zmmword_ptr(at + 64), upper), high)
            }
        }
    }
}

/// Memory that is written under a mask, if there is one.
fn masked_if(memory: AsmMemoryOperand, k: Option<AsmRegisterK>) -> AsmMemoryOperand {
    match k {
        Some(k) => masked_memory(memory, k),
        None => memory,
    }
}
