//! Emission of operations.

mod matrix;

use super::{Analysed, Code, Halves, Key, Role, select};
use crate::analysis::cfg::NONE;
use crate::analysis::shape::{Shape, compares_lines, widened};
use crate::analysis::slots::Slots;
use crate::check::info::Table;
use crate::error::FaultKind;
use crate::exec::alu::{Alu, Class};
use crate::exec::atomics::{Fence, IsSpace, kind_number};
use crate::exec::cluster::{ClusterArrive, ClusterWait};
use crate::exec::control::{
    Bar, Branch, Exit, Guard, Jump, Label, Poll, Sleep, Switch, Trap, Widen, raised_number,
};
use crate::exec::hooks::{Call, hook_number};
use crate::exec::isa::{Body, Level};
use crate::exec::memory::{ACQUIRE, ALIGN, ORDERED, RELEASE};
use crate::exec::scalar::{Expand, ReadSpecial, pred_handler, special_number};
use crate::exec::thread::Thread;
use crate::exec::warp::{
    ActiveMaskOp, ElectOp, MatchOp, NO_OPERAND, ReduxOp, Shuffle, VoteOp, WarpBar, redux_number,
};
use crate::exec::{Handler, LINE, NEGATED, NUMBER, Op, SCALAR, UNMASKED, WIDE};
use crate::lir::{Access, Atom, B, BarRed, Inst, Konst, Order, Shfl, Space, Term, V, Vote, What};

/// Operations of straight code between two safe points at most.
const POLL_EVERY: usize = 1000;

pub(super) struct Emit<'a> {
    pub(super) a: &'a Analysed,
    pub(super) level: Level,
    /// See [`Key::joins`].
    joins: bool,
    shapes: Option<Vec<Shape>>,
    halves: Halves,
    slots: Slots,
    pub(super) ops: Vec<Op>,
    roles: Vec<Role>,
    inst_of_op: Vec<u32>,
    pub(super) op_of_inst: Vec<u32>,
    pub(super) targets: Vec<u32>,
    start: Vec<u32>,
    pub(super) guard: Option<(V, bool)>,
    pub(super) inst: u32,
    block: B,
    /// No lanes ever wait at a block before this one.
    first_wait: B,
    sites: u32,
    counted: usize,
    /// What the checks look at, in a checked decoding.
    pub(super) table: Option<&'a Table>,
}

pub(super) fn len32(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// A slot that an operation may use. The analyses give every register that is read or written one; should they not, the
/// first bytes of the frame, which is never smaller than a slot, keep the mistake from reaching other memory.
fn allocated(slot: u32) -> u32 {
    debug_assert_ne!(slot, NONE, "a register without a slot");
    if slot == NONE { 0 } else { slot }
}

impl<'a> Emit<'a> {
    pub(super) fn new(
        a: &'a Analysed,
        key: Key,
        shapes: Option<Vec<Shape>>,
        slots: Slots,
        table: Option<&'a Table>,
    ) -> Self {
        Self {
            a,
            level: key.level,
            joins: key.joins() && shapes.is_some(),
            halves: key.halves,
            shapes,
            slots,
            ops: Vec::new(),
            roles: Vec::new(),
            inst_of_op: Vec::new(),
            op_of_inst: Vec::new(),
            targets: Vec::new(),
            start: Vec::new(),
            guard: None,
            inst: 0,
            block: 0,
            first_wait: 0,
            sites: 0,
            counted: 0,
            table,
        }
    }

    pub(super) fn run(mut self) -> Code {
        let a = self.a;
        self.first_wait = self.first_wait();
        for (b, block) in (0u32..).zip(&a.kernel.blocks) {
            self.block = b;
            self.start.push(len32(self.ops.len()));
            for inst in &block.insts {
                self.mark();
                self.guard = inst.guard;
                self.instruction(inst);
                self.guard = None;
                self.inst += 1;
                if self.ops.len() - self.counted >= POLL_EVERY {
                    let cost = self.cost();
                    let op = Op {
                        site: cost,
                        ..self.blank::<Poll>()
                    };
                    self.push_as(op, Role::Poll);
                }
            }
            self.mark();
            self.terminator(&block.term);
            self.inst += 1;
        }
        self.patch();
        if self.joins {
            self.fuse();
        }
        let Self {
            first_wait,
            ops,
            roles,
            inst_of_op,
            op_of_inst,
            slots,
            shapes,
            halves,
            targets,
            ..
        } = self;
        Code {
            first_wait,
            ops,
            roles,
            inst_of_op,
            op_of_inst,
            slots,
            shapes,
            halves,
            targets,
        }
    }

    /// The next operation is the first of an instruction.
    fn mark(&mut self) {
        self.op_of_inst.push(len32(self.ops.len()));
    }

    /// Operations since the last safe point.
    fn cost(&mut self) -> u32 {
        let cost = self.ops.len() + 1 - self.counted;
        self.counted = self.ops.len() + 1;
        len32(cost)
    }

    pub(super) fn blank<H: Body>(&self) -> Op {
        Self::with(self.level.handler::<H>())
    }

    const fn with(f: Handler) -> Op {
        Op {
            f,
            d: NO_OPERAND,
            a: 0,
            b: 0,
            c: 0,
            e: 0,
            g: 0,
            imm: 0,
            site: 0,
            flags: 0,
        }
    }

    pub(super) fn push(&mut self, op: Op) {
        self.push_as(op, Role::Plain);
    }

    fn push_as(&mut self, op: Op, role: Role) {
        self.ops.push(op);
        self.roles.push(role);
        self.inst_of_op.push(self.inst);
    }

    /// Adds an operation, behind the guard of its instruction.
    pub(super) fn emit(&mut self, op: Op) {
        self.emit_as(op, Role::Plain);
    }

    fn emit_as(&mut self, op: Op, role: Role) {
        if let Some(looked) = self.looked_at() {
            self.push_checked(looked, op);
            return;
        }
        if let Some((p, negated)) = self.guard {
            let a = self.lanes(p);
            let guard = Op {
                a,
                flags: if negated { NEGATED } else { 0 },
                ..self.blank::<Guard>()
            };
            self.push_as(guard, Role::Guard);
        }
        self.push_as(op, role);
    }

    fn class(&self, v: V) -> Class {
        self.a.kernel.vregs[v as usize].class
    }

    pub(super) fn shape(&self, v: V) -> Shape {
        match &self.shapes {
            Some(shapes) => shapes[v as usize],
            None if self.a.kernel.vregs[v as usize].konst.is_some() => Shape::Uniform,
            None => Shape::Vector,
        }
    }

    /// A register as an operand whose lanes are read, or as a destination of lanes.
    pub(super) fn lanes(&self, v: V) -> u32 {
        if self.a.kernel.vregs[v as usize].konst.is_some() {
            return self.a.pool.operand(v);
        }
        allocated(match (self.class(v), self.shape(v)) {
            (Class::W32 | Class::W64, Shape::Uniform) => self.slots.scalar[v as usize],
            _ => self.slots.vector[v as usize],
        })
    }

    /// A register as an operand of a scalar operation.
    fn scalar(&self, v: V) -> u32 {
        if self.a.kernel.vregs[v as usize].konst.is_some() {
            return self.a.pool.operand(v);
        }
        allocated(match self.class(v) {
            Class::Pred => self.slots.vector[v as usize],
            _ => self.slots.scalar[v as usize],
        })
    }

    /// The lowest block at which lanes may wait for others: where a branch parts lanes, those that go to the lower block run first,
    /// and whoever passes a block where others wait, waits too.
    fn first_wait(&self) -> B {
        let Some(shapes) = &self.shapes else { return 0 };
        let apart = |v: V| shapes[v as usize] != Shape::Uniform;
        let waits = self.a.kernel.blocks.iter().filter_map(|block| match &block.term {
            Term::Branch {
                pred, taken, other, ..
            } if apart(*pred) && taken != other => Some(*taken.max(other)),
            Term::Switch { index, targets } if apart(*index) => {
                let least = targets.iter().min()?;
                targets.iter().filter(|t| *t != least).min().copied()
            }
            _ => None,
        });
        waits.min().unwrap_or(NONE)
    }

    /// Whether lanes that do not execute may be written too.
    fn unmasked(&self, d: &[V]) -> u32 {
        let free = self.shapes.is_some()
            && self.guard.is_none()
            && d.iter()
                .all(|&v| !self.a.live.wanted_after(v, self.block, self.first_wait));
        if free { UNMASKED } else { 0 }
    }

    fn instruction(&mut self, inst: &Inst) {
        match inst.what {
            What::Alu(alu, x) => self.alu(alu, x, inst),
            What::Pred(op) => {
                let (a, b) = (inst.s.first(), inst.s.get(1));
                let d = self.lanes(inst.d[0]);
                let operand = |v: Option<&V>| v.map_or(d, |&v| self.lanes(v));
                let op = Op {
                    d,
                    a: operand(a),
                    b: operand(b),
                    ..Self::with(pred_handler(op, self.level))
                };
                self.emit(op);
            }
            What::Special(special) => self.special(special_number(special), inst.d[0]),
            What::Load(access) => self.load(&access, inst),
            What::Store(access) => self.store(&access, inst),
            What::Atom(atom) => self.atom(&atom, inst),
            What::Thread(thread) => self.thread(thread, inst),
            What::Fence => self.simple::<Fence>(),
            What::LightFence => {
                let op = Op {
                    flags: 1 << NUMBER,
                    ..self.blank::<Fence>()
                };
                self.emit(op);
            }
            What::Sleep => self.simple::<Sleep>(),
            What::Trap => self.simple::<Trap>(),
            What::Cluster { arrive: true } => self.simple::<ClusterArrive>(),
            What::Cluster { arrive: false } => self.simple::<ClusterWait>(),
            What::Raise(kind) => self.raise(kind),
            What::IsSpace(space) => {
                let number = match space {
                    Space::Shared => 0,
                    Space::Local => 1,
                    Space::Generic => 2,
                    Space::Global => 3,
                };
                let mut op = self.addressed(self.level.handler::<IsSpace>(), inst.s[0], 0);
                op.d = self.lanes(inst.d[0]);
                op.flags |= number << NUMBER;
                self.emit(op);
            }
            What::Bar { red, count, arrive } => self.barrier(red, count, arrive, inst),
            What::Hook(hook) => {
                let arg = |i: usize| inst.s.get(i).map_or(0, |&v| self.lanes(v));
                let d = inst.d.first().map_or(NO_OPERAND, |&d| self.lanes(d));
                let (a, b, c, e) = (arg(0), arg(1), arg(2), arg(3));
                let op = Op {
                    d,
                    a,
                    b,
                    c,
                    e,
                    flags: hook_number(hook) << NUMBER,
                    ..self.blank::<Call>()
                };
                self.emit(op);
            }
            What::Mma(_)
            | What::LoadMatrix(_)
            | What::StoreMatrix(_)
            | What::MoveMatrix
            | What::Quarters(_)
            | What::LoadTile(_)
            | What::StoreTile(_) => self.matrix(inst),
            What::Tex(_) | What::Surf(_) | What::ImageQuery(_) => self.image(inst),
            _ => self.warp(inst),
        }
    }

    fn raise(&mut self, kind: FaultKind) {
        let op = Op {
            flags: raised_number(kind) << NUMBER,
            ..self.blank::<Trap>()
        };
        self.emit(op);
    }

    fn simple<H: Body>(&mut self) {
        let op = self.blank::<H>();
        self.emit(op);
    }

    fn alu(&mut self, alu: Alu, x: u32, inst: &Inst) {
        let d = inst.d[0];
        let scalar = self.shapes.is_some() && self.shape(d).stride().is_some();
        if scalar && self.class(d) != Class::Pred {
            let shape = |i: usize| inst.s.get(i).map_or(Shape::Uniform, |&v| self.shape(v));
            if let Some((i, signed)) = widened(alu, &shape) {
                let stride = self.stride(inst.s[i]);
                let flags = if signed { NEGATED } else { 0 };
                let op = Op {
                    a: self.scalar(inst.s[i]),
                    e: stride,
                    flags,
                    ..self.blank::<Widen>()
                };
                self.push_as(op, Role::Widen);
            }
        }
        if self.compare_line(alu, inst) {
            return;
        }
        let operand = |v: V| if scalar { self.scalar(v) } else { self.lanes(v) };
        let arg = |i: usize| inst.s.get(i).map_or(0, |&v| operand(v));
        let (a, b, c) = (arg(0), arg(1), arg(2));
        let flags = if scalar { SCALAR } else { self.unmasked(&inst.d) };
        let op = Op {
            d: operand(d),
            a,
            b,
            c,
            imm: x.cast_signed(),
            flags,
            ..Self::with(alu.handler(self.level))
        };
        self.emit(op);
        if scalar {
            self.expand(d);
        }
    }

    /// A comparison of values that are kept once per chunk, where that is what it is.
    fn compare_line(&mut self, alu: Alu, inst: &Inst) -> bool {
        let shape = |i: usize| inst.s.get(i).map_or(Shape::Uniform, |&v| self.shape(v));
        if !self.joins || !compares_lines(alu, &shape) {
            return false;
        }
        let Some((handler, signed)) = alu.line_handler(self.level) else {
            return false;
        };
        let [a, b] = [inst.s[0], inst.s[1]];
        let op = Op {
            d: self.lanes(inst.d[0]),
            a: self.scalar(a),
            b: self.scalar(b),
            e: self.stride(a),
            g: self.stride(b),
            flags: if signed { NEGATED } else { 0 },
            ..Self::with(handler)
        };
        self.emit(op);
        true
    }

    /// Stride of an affine register as operations have it.
    fn stride(&self, v: V) -> u32 {
        let stride = self.shape(v).stride().unwrap_or(0);
        i32::try_from(stride).unwrap_or(0).cast_unsigned()
    }

    /// Writes the lanes of an affine register that somebody reads.
    fn expand(&mut self, d: V) {
        if !matches!(self.shape(d), Shape::Affine(_)) || self.slots.vector[d as usize] == NONE {
            return;
        }
        let handler = match self.class(d) {
            Class::W64 => self.level.handler::<Expand<u64>>(),
            _ => self.level.handler::<Expand<u32>>(),
        };
        let op = Op {
            d: self.slots.vector[d as usize],
            a: self.slots.scalar[d as usize],
            e: self.stride(d),
            flags: self.unmasked(&[d]),
            ..Self::with(handler)
        };
        self.emit_as(op, Role::Expand);
    }

    fn special(&mut self, number: u32, d: V) {
        let scalar = self.shapes.is_some() && self.shape(d).stride().is_some();
        let to = if scalar { self.scalar(d) } else { self.lanes(d) };
        let flags = number << NUMBER | if scalar { SCALAR } else { 0 };
        let op = Op {
            d: to,
            flags,
            ..self.blank::<ReadSpecial>()
        };
        self.emit(op);
        if scalar {
            self.expand(d);
        }
    }

    /// An operation with an address.
    fn addressed(&self, f: Handler, address: V, offset: i32) -> Op {
        let mut op = Self::with(f);
        op.imm = offset;
        if self.class(address) == Class::W64 {
            op.flags |= WIDE;
        }
        if matches!(self.shape(address), Shape::Affine(_)) {
            op.flags |= LINE;
            op.a = self.scalar(address);
            op.e = self.stride(address);
        } else {
            op.a = self.lanes(address);
        }
        op
    }

    /// A result, if anybody reads it.
    fn wanted(&self, d: Option<&V>) -> u32 {
        d.filter(|&&d| self.a.uses[d as usize].1 != 0)
            .map_or(NO_OPERAND, |&d| self.lanes(d))
    }

    fn site(&mut self) -> u32 {
        self.sites += 1;
        self.sites - 1
    }

    fn ordered(order: Order) -> u32 {
        match order {
            Order::Weak => 0,
            Order::Relaxed => ORDERED,
            Order::Acquire => ORDERED | ACQUIRE,
            Order::Release => ORDERED | RELEASE,
            Order::AcqRel => ORDERED | ACQUIRE | RELEASE,
        }
    }

    fn load(&mut self, access: &Access, inst: &Inst) {
        let site = self.site();
        let wide = self.class(inst.d[0]) == Class::W64;
        let handler = select::load(self.level, access.space, access.ty, wide);
        let mut op = self.addressed(handler, inst.s[0], access.offset);
        let scalar = self.shapes.is_some()
            && matches!(access.space, Space::Global | Space::Shared)
            && self.shape(inst.s[0]) == Shape::Uniform
            && inst.d.iter().all(|&d| self.shape(d) == Shape::Uniform);
        let to = |i: usize| inst.d.get(i).map_or(NO_OPERAND, |&d| self.lanes(d));
        (op.d, op.b, op.c, op.g) = (to(0), to(1), to(2), to(3));
        op.site = site;
        op.flags |= u32::from(access.n) << NUMBER | Self::ordered(access.order);
        op.flags |= u32::from(access.align) << ALIGN;
        if scalar {
            op.flags |= SCALAR;
            self.emit(op);
            return;
        }
        // A vector instruction may have a destination that other instructions share between lanes.
        op.flags |= self.unmasked(&inst.d);
        self.emit(op);
    }

    fn store(&mut self, access: &Access, inst: &Inst) {
        let site = self.site();
        let wide = inst.s.get(1).is_some_and(|&v| self.class(v) == Class::W64);
        let handler = select::store(self.level, access.space, access.ty, wide);
        let mut op = self.addressed(handler, inst.s[0], access.offset);
        let from = |i: usize| inst.s.get(i).map_or(0, |&v| self.lanes(v));
        (op.d, op.b, op.c, op.g) = (from(1), from(2), from(3), from(4));
        op.site = site;
        op.flags |= u32::from(access.n) << NUMBER | Self::ordered(access.order);
        op.flags |= u32::from(access.align) << ALIGN;
        self.emit(op);
    }

    fn atom(&mut self, atom: &Atom, inst: &Inst) {
        let site = self.site();
        let handler = select::atomic(self.level, atom.space, atom.bytes);
        let mut op = self.addressed(handler, inst.s[0], atom.offset);
        op.d = self.wanted(inst.d.first());
        op.b = inst.s.get(1).map_or(0, |&v| self.lanes(v));
        op.c = inst.s.get(2).map_or(op.b, |&v| self.lanes(v));
        op.site = site;
        op.flags |= kind_number(atom.kind) << NUMBER | u32::from(atom.align) << ALIGN;
        self.emit(op);
    }

    /// Sources in `a`, `b`, `c`, `e`, `g`, a sixth one in `d`, since what has six writes no register.
    fn thread(&mut self, thread: Thread, inst: &Inst) {
        let site = self.site();
        let arg = |i: usize| inst.s.get(i).map_or(0, |&v| self.lanes(v));
        let d = inst.d.first().or(inst.s.get(5));
        let op = Op {
            d: d.map_or(NO_OPERAND, |&v| self.lanes(v)),
            a: arg(0),
            b: arg(1),
            c: arg(2),
            e: arg(3),
            g: arg(4),
            imm: match inst.d.get(1) {
                Some(&second) => self.lanes(second).cast_signed(),
                None => thread.what.number(),
            },
            site,
            flags: u32::from(thread.shared) << NUMBER | thread.what.flags(),
            f: select::thread(self.level, thread.what),
        };
        self.emit(op);
    }

    /// Whether a register is known to hold the number of a barrier.
    fn is_barrier(&self, v: V) -> bool {
        matches!(self.a.kernel.vregs[v as usize].konst, Some(Konst::Imm(0..16)))
    }

    fn barrier(&mut self, red: BarRed, count: bool, arrive: bool, inst: &Inst) {
        let number = match red {
            BarRed::None => 0,
            BarRed::Popc => 1,
            BarRed::And => 2,
            BarRed::Or => 3,
        } | u32::from(count) << 2
            | u32::from(arrive) << 3
            | u32::from(!self.is_barrier(inst.s[0])) << 4;
        let arg = |i: usize| inst.s.get(i).map_or(0, |&v| self.lanes(v));
        let op = Op {
            d: inst.d.first().map_or(NO_OPERAND, |&d| self.lanes(d)),
            a: arg(0),
            b: if count { arg(1) } else { 0 },
            c: if red == BarRed::None {
                0
            } else {
                arg(inst.s.len() - 1)
            },
            flags: number << NUMBER,
            ..self.blank::<Bar>()
        };
        self.emit(op);
    }

    fn warp(&mut self, inst: &Inst) {
        let arg = |i: usize| inst.s.get(i).map_or(0, |&v| self.lanes(v));
        let d = inst.d.first().map_or(NO_OPERAND, |&d| self.lanes(d));
        let e = inst.d.get(1).map_or(NO_OPERAND, |&d| self.lanes(d));
        let op = match inst.what {
            What::Shfl(mode) => {
                let e = self.wanted(inst.d.get(1));
                let number = match mode {
                    Shfl::Up => 0,
                    Shfl::Down => 1,
                    Shfl::Bfly => 2,
                    Shfl::Idx => 3,
                };
                let (a, b, c, g) = (arg(0), arg(1), arg(2), arg(3));
                Op {
                    d,
                    e,
                    a,
                    b,
                    c,
                    g,
                    flags: number << NUMBER,
                    ..self.blank::<Shuffle>()
                }
            }
            What::Vote(mode) => {
                let number = match mode {
                    Vote::All => 0,
                    Vote::Any => 1,
                    Vote::Uni => 2,
                    Vote::Ballot => 3,
                };
                Op {
                    d,
                    a: arg(0),
                    b: arg(1),
                    flags: number << NUMBER,
                    ..self.blank::<VoteOp>()
                }
            }
            What::Match { all } => Op {
                d,
                e,
                a: arg(0),
                b: arg(1),
                flags: u32::from(all) << NUMBER,
                ..self.blank::<MatchOp>()
            },
            What::Redux(op) => Op {
                d,
                a: arg(0),
                b: arg(1),
                flags: redux_number(op) << NUMBER,
                ..self.blank::<ReduxOp>()
            },
            What::Elect => Op {
                d,
                e,
                b: arg(0),
                ..self.blank::<ElectOp>()
            },
            What::BarWarp => Op {
                b: arg(0),
                ..self.blank::<WarpBar>()
            },
            _ => Op {
                d,
                ..self.blank::<ActiveMaskOp>()
            },
        };
        self.emit(op);
    }

    fn terminator(&mut self, term: &Term) {
        let next = self.block + 1;
        let cost = self.cost();
        let op = match term {
            Term::Jump(b) if *b == next => Op {
                site: cost,
                ..self.blank::<Label>()
            },
            Term::Jump(b) => Op {
                imm: b.cast_signed(),
                site: cost,
                ..self.blank::<Jump>()
            },
            Term::Branch {
                pred,
                negated,
                taken,
                other,
            } => Op {
                a: self.lanes(*pred),
                imm: taken.cast_signed(),
                e: *other,
                site: cost,
                flags: if *negated { NEGATED } else { 0 },
                ..self.blank::<Branch>()
            },
            Term::Switch { index, targets } => {
                let at = len32(self.targets.len());
                self.targets.extend(targets);
                let (a, e) = (self.lanes(*index), len32(targets.len()));
                Op {
                    a,
                    imm: at.cast_signed(),
                    e,
                    site: cost,
                    ..self.blank::<Switch>()
                }
            }
            Term::Exit => self.blank::<Exit>(),
        };
        self.check_terminator();
        self.push_as(op, Role::End);
    }

    /// Turns numbers of blocks into numbers of operations.
    fn patch(&mut self) {
        for (b, block) in self.a.kernel.blocks.iter().enumerate() {
            // The terminator is the last operation of the block.
            let end = self.start.get(b + 1).map_or(self.ops.len(), |&s| s as usize);
            let op = &mut self.ops[end - 1];
            match &block.term {
                Term::Jump(t) if *t as usize != b + 1 => op.imm = self.start[*t as usize].cast_signed(),
                Term::Branch { taken, other, .. } => {
                    op.imm = self.start[*taken as usize].cast_signed();
                    op.e = self.start[*other as usize];
                }
                Term::Switch { targets, .. } => {
                    let at = op.imm.cast_unsigned() as usize;
                    for (place, t) in self.targets[at..].iter_mut().zip(targets) {
                        *place = self.start[*t as usize];
                    }
                }
                _ => {}
            }
        }
    }
}
