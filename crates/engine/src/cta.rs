//! A block: a resumable machine whose state is plain memory.
//!
//! ```text
//!          slice of a group                     all groups: done ─▶ Done
//!  ready ───────────────────▶ event ─▶ quantum: the group again, after some time the next one
//!    ▲                          ├─▶ barrier: waits, until all that are expected have arrived
//!    │                          ├─▶ deopt: state to the all-vector decoding
//!    │                          ├─▶ sync: waits for lanes of its warp
//!    └── run() ◀── Yielded ◀────┴─▶ fuel, stop flag, idle, grid barrier          fault ─▶ Fault
//! ```

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::barrier::Arrival;
use crate::cluster::{Arrived, Cluster};
use crate::deopt;
use crate::env::{Env, NextBlock};
use crate::error::Fault;
use crate::exec::control::refresh;
use crate::exec::warp::lane32;
use crate::exec::{Cx, Event, Mask, NUMBER, RawFault, Site, WARPS};
use crate::frame::{BARRIERS, Barrier, Buf, GRID_BARRIER, Group, Shared, Split, Wait};
use crate::launch::{Launch, Tier};
use crate::native::State;
use crate::{FaultKind, WARP};

/// Operations between two looks at the stop flag.
const SLICE: i64 = 2048;
/// As above while splits take turns.
const SHORT_SLICE: i64 = 512;
/// As above for machine code.
const NATIVE_SLICE: i64 = 16384;
/// Operations of machine code that count as one.
const NATIVE_SCALE: i64 = 8;
/// Slices after which the next group has its turn.
const TURN: u32 = 16;
/// Slices without any change among its splits after which a diverged group is taken to wait for itself.
const PATIENCE: u64 = 1000;
/// As above for a group that does what waiting loops do.
const SPIN_PATIENCE: u64 = 4;

/// How a call of [`Cta::run`] ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// All threads have exited.
    Done,
    /// The block stands at a safe point and wants to run on.
    Yielded(Why),
    /// The block is over.
    Fault(Box<Fault>),
}

/// Why a block yielded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Its fuel is used up.
    Fuel,
    /// The stop flag was set.
    Stop,
    /// All its threads wait at the grid-wide barrier (`cudaCGSynchronize`). Run it again when every block of the grid has said so.
    GridBarrier,
    /// It waits for something that another block or the host does (`nanosleep`, or threads that wait for each other): run others first.
    Idle,
}

/// Scratch memory of one executor thread: the translations that access sites used last. Each executor has its own.
#[derive(Debug, Default)]
pub struct Worker {
    sites: Vec<Site>,
    /// See [`Cx::lasts`].
    lasts: Vec<u64>,
    bound: u64,
    generation: u64,
    /// Some site holds a translation of one block's own memory.
    private: bool,
    native: Box<State>,
}

// SAFETY: the host pointers in sites are only used while their generation is current; see `Memory`.
unsafe impl Send for Worker {}

impl Worker {
    /// A worker.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Prepares for a block of variant `id`.
    fn bind(&mut self, id: u64, sites: usize, generation: u64) {
        if self.bound != id || self.generation != generation || self.private {
            self.sites.clear();
            self.sites.resize(sites, Site::EMPTY);
            self.lasts.resize(sites, 0);
            self.native.forget(sites, generation);
            (self.bound, self.generation, self.private) = (id, generation, false);
        }
    }
}

/// Finished blocks and their memory, to be used again by the next ones. One per executor.
#[derive(Debug, Default)]
pub struct Pool {
    bufs: Vec<Buf>,
    /// Finished blocks of one launch: the next ones of it only have to be set back to the start.
    #[allow(clippy::vec_box, reason = "blocks go in and out without being copied")]
    blocks: Vec<Box<Block>>,
}

impl Pool {
    /// Buffers kept at most.
    const KEPT: usize = 64;
    /// Finished blocks kept at most.
    const BLOCKS: usize = 8;

    /// An empty pool.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes back the memory of a block that is not going to run any more.
    pub fn recycle(&mut self, cta: Cta) {
        if cta.0.state.cluster.is_some() {
            self.take_block_apart(*cta.0);
            return;
        }
        let other = |kept: &Block| !Arc::ptr_eq(&kept.state.launch, &cta.0.state.launch);
        if self.blocks.first().is_some_and(|kept| other(kept)) || self.blocks.len() >= Self::BLOCKS {
            self.take_apart();
        }
        self.blocks.push(cta.0);
    }

    /// Lets go of all launches: their blocks become memory for those of others.
    pub fn take_apart(&mut self) {
        for block in std::mem::take(&mut self.blocks) {
            self.take_block_apart(*block);
        }
    }

    fn take_block_apart(&mut self, block: Block) {
        for group in block.groups {
            self.put(group.frame);
            self.put(group.local);
        }
        self.put(block.state.shared);
    }

    fn put(&mut self, buf: Buf) {
        if buf.capacity() != 0 && self.bufs.len() < Self::KEPT {
            self.bufs.push(buf);
        }
    }

    /// Memory with any contents.
    fn take(&mut self, len: usize) -> Buf {
        let fits = |b: &Buf| b.capacity() >= len && b.capacity() <= len.saturating_mul(2).max(4096);
        match self.bufs.iter().rposition(fits) {
            Some(at) if len != 0 => {
                let mut buf = self.bufs.swap_remove(at);
                buf.set_len(len);
                buf
            }
            _ => Buf::zeroed(len),
        }
    }
}

/// One block of a launch. A clone is an independent block in the same state.
#[derive(Debug, Clone)]
pub struct Cta(Box<Block>);

/// What is behind the pointer: blocks change hands often, and all of this stays where it is.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    groups: Vec<Group>,
    state: Shared,
    /// Group whose turn it is, and slices that it has had.
    turn: (usize, u32),
    operations: u64,
    over: Option<Exit>,
    /// Groups that came to rest one after the other without doing anything else.
    idle: usize,
}

fn lanes_mask(threads: u32) -> Mask {
    let mut mask = [0; WARPS];
    let mut left = threads;
    for word in &mut mask {
        let n = left.min(WARP);
        *word = if n == WARP { u32::MAX } else { (1 << n) - 1 };
        left -= n;
    }
    mask
}

/// The operations of a slice, and how many of them count as one.
fn quantum(native: bool, rotating: bool, fuel: i64) -> (i64, i64) {
    match (native, rotating) {
        // An operation of machine code is that of one warp, and there is one turn for all groups.
        (true, _) if fuel >= NATIVE_SCALE => {
            (fuel.saturating_mul(NATIVE_SCALE).min(NATIVE_SLICE), NATIVE_SCALE)
        }
        (true, _) => (fuel, 1),
        (false, true) => (fuel.min(SHORT_SLICE), 1),
        (false, false) => (fuel.min(SLICE), 1),
    }
}

/// Whether blocks of a launch start in the all-vector decoding.
fn starts_in_vectors(launch: &Launch, later: bool) -> bool {
    launch.build(later).variant.fast.is_none() || launch.program().contended.load(Ordering::Relaxed)
}

impl Cta {
    /// The block `block` (`%ctaid`) of a launch, before its first instruction. Its shared memory is zero.
    #[must_use]
    pub fn new(launch: &Arc<Launch>, block: [u32; 3], pool: &mut Pool) -> Self {
        if let Some(last) = pool.blocks.last()
            && Arc::ptr_eq(&last.state.launch, launch)
            && let Some(mut old) = pool.blocks.pop()
            && old.is_current()
        {
            old.restart(block);
            return Self(old);
        }
        pool.take_apart();
        // A block alone is a cluster of one, for kernels that ask.
        let alone = launch.program().analysed.kernel.cluster;
        let shared = launch.shared_bytes as usize;
        let cluster = alone.then(|| (Arc::new(Cluster::new(1, launch.threads, shared)), 0));
        Self(Box::new(Block::new(launch, block, cluster, pool)))
    }

    /// The blocks of the cluster whose lowest block is `first`, in order of their ranks. All of them have to be run side by side: they may
    /// wait for each other. A clone of one of them is in the same cluster, with the same shared memory.
    #[must_use]
    pub fn cluster(launch: &Arc<Launch>, first: [u32; 3], pool: &mut Pool) -> Vec<Self> {
        let [x, y, z] = launch.geometry().cluster_size();
        let blocks = x * y * z;
        if blocks == 1 {
            return vec![Self::new(launch, first, pool)];
        }
        pool.take_apart();
        let shared = launch.shared_bytes as usize;
        let cluster = Arc::new(Cluster::new(blocks, launch.threads, shared));
        let place = |rank: u32| [rank % x, rank / x % y, rank / x / y];
        (0..blocks)
            .map(|rank| {
                let at = place(rank);
                let block = [first[0] + at[0], first[1] + at[1], first[2] + at[2]];
                let cluster = Some((Arc::clone(&cluster), rank));
                Self(Box::new(Block::new(launch, block, cluster, pool)))
            })
            .collect()
    }

    /// The launch that it belongs to.
    #[must_use]
    pub const fn launch(&self) -> &Arc<Launch> {
        &self.0.state.launch
    }

    /// The engine that it runs in: never [`Tier::Auto`].
    #[must_use]
    pub fn tier(&self) -> Tier {
        if self.0.state.build().native.is_some() {
            Tier::Native
        } else {
            Tier::Interpreter
        }
    }

    /// `%ctaid`.
    #[must_use]
    pub const fn block(&self) -> [u32; 3] {
        self.0.state.block
    }

    /// Operations executed so far (one covers up to 256 threads).
    #[must_use]
    pub const fn operations(&self) -> u64 {
        self.0.operations
    }

    /// Runs until the block is done, faults, or has a reason to yield. After [`Exit::Done`] and [`Exit::Fault`] a further call
    /// returns the same again.
    pub fn run(&mut self, worker: &mut Worker, env: &Env<'_>) -> Exit {
        self.0.run(worker, env)
    }
}

impl Block {
    fn new(
        launch: &Arc<Launch>,
        block: [u32; 3],
        cluster: Option<(Arc<Cluster>, u32)>,
        pool: &mut Pool,
    ) -> Self {
        let later = launch.starts_later();
        let vector = starts_in_vectors(launch, later);
        let build = launch.build(later);
        let code = build.code(&launch.program().analysed, vector);
        let per_group = u32::try_from(build.variant.key.warps).unwrap_or(1);
        let mut groups = Vec::new();
        let mut first = 0;
        while first * WARP < launch.threads {
            let threads = (launch.threads - first * WARP).min(per_group * WARP);
            let all = lanes_mask(threads);
            let warps = threads.div_ceil(WARP);
            groups.push(Group {
                frame: pool.take(code.slots.frame_bytes),
                local: pool.take(launch.local_bytes() * (warps * WARP) as usize),
                splits: vec![Split::first(all)],
                live: all,
                all,
                first_warp: first,
                warps,
                vector,
                rotating: false,
                force: false,
                progress: 0,
                clock: 0,
                seen: (0, 0),
                arrived: Arrived::default(),
            });
            first += per_group;
        }
        let own = if cluster.is_none() {
            launch.shared_bytes as usize
        } else {
            0
        };
        let shared = pool.take(own);
        let (cluster, rank) = cluster.map_or((None, 0), |(cluster, rank)| (Some(cluster), rank));
        let mut state = Shared {
            launch: Arc::clone(launch),
            later,
            block,
            shared,
            cluster,
            rank,
            barriers: Box::new([Barrier::default(); BARRIERS]),
            active: 0,
            groups: u32::try_from(groups.len()).unwrap_or(1),
            check: None,
        };
        state.clear_shared();
        Self {
            groups,
            state,
            turn: (0, 0),
            operations: 0,
            over: None,
            idle: 0,
        }
    }

    /// Whether blocks of the launch that start now start as this one did: its frames are those of that decoding and that tier.
    fn is_current(&self) -> bool {
        let later = self.state.launch.starts_later();
        let vector = starts_in_vectors(&self.state.launch, later);
        self.state.later == later && self.groups.iter().all(|g| g.vector == vector)
    }

    /// Sets a finished block of this launch back to the start, as block `block`.
    fn restart(&mut self, block: [u32; 3]) {
        for group in &mut self.groups {
            group.restart();
        }
        self.state.clear_shared();
        self.state.forget_barriers();
        self.state.block = block;
        self.state.check = None;
        self.turn = (0, 0);
        self.operations = 0;
        self.over = None;
        self.idle = 0;
    }

    fn run(&mut self, worker: &mut Worker, env: &Env<'_>) -> Exit {
        if let Some(over) = &self.over {
            return over.clone();
        }
        if !self.state.later && self.state.launch.has_changed() {
            Arc::clone(&self.state.launch).take_over(self);
        }
        let fuel = i64::try_from(env.fuel).unwrap_or(i64::MAX).max(1);
        let mut left = fuel;
        let exit = self.go_on(worker, env, &mut left);
        // While it runs: a long launch proves hot before its blocks end.
        let used = fuel.saturating_sub(left);
        self.state.launch.program().heat.add(used.cast_unsigned());
        exit
    }

    /// Runs while there is fuel left.
    fn go_on(&mut self, worker: &mut Worker, env: &Env<'_>, fuel: &mut i64) -> Exit {
        let variant = &self.state.build().variant;
        let (id, sites) = (variant.id, variant.sites);
        worker.bind(id, sites, env.memory.generation());
        if self.state.launch.checks().is_some() && self.state.check.is_none() {
            self.begin_checks(env);
        }
        self.idle = 0;
        let mut first = true;
        loop {
            if env.stop.load(Ordering::Relaxed) {
                return Exit::Yielded(Why::Stop);
            }
            if *fuel <= 0 {
                return Exit::Yielded(Why::Fuel);
            }
            let Some(g) = self.choose() else {
                match self.stalled() {
                    Some(Exit::Done) if *fuel > 0 && self.advance(env) => continue,
                    Some(exit) => return exit,
                    None => continue,
                }
            };
            if !first {
                worker.bind(id, sites, env.memory.generation());
            }
            first = false;
            let (g, event, used) = self.slice(g, worker, env, *fuel);
            self.leave_cluster();
            *fuel -= used;
            self.operations += used.cast_unsigned();
            if let ([group], Happened::Next) = (&self.groups[..], &event)
                && group.done()
            {
                let exit = self.finish();
                if *fuel > 0 && self.advance(env) {
                    continue;
                }
                return exit;
            }
            if let Some(exit) = self.settle(g, event) {
                if !matches!(exit, Exit::Yielded(_)) {
                    self.over = Some(exit.clone());
                }
                return exit;
            }
        }
    }

    /// The group that runs next.
    fn choose(&mut self) -> Option<usize> {
        if let [group] = &self.groups[..] {
            return group.runnable().then_some(0);
        }
        let count = self.groups.len();
        if self.turn.1 >= TURN {
            self.turn = ((self.turn.0 + 1) % count, 0);
        }
        for step in 0..count {
            let g = (self.turn.0 + step) % count;
            if self.groups[g].runnable() {
                if step != 0 {
                    self.turn = (g, 0);
                }
                self.turn.1 += 1;
                return Some(g);
            }
        }
        None
    }

    /// All threads have exited.
    fn finish(&mut self) -> Exit {
        self.over = Some(Exit::Done);
        Exit::Done
    }

    /// No group can run: all are done, or some wait for what will not come.
    fn stalled(&mut self) -> Option<Exit> {
        if self.groups.iter().all(Group::done) {
            return Some(self.finish());
        }
        for group in &mut self.groups {
            let waiting = group
                .splits
                .iter_mut()
                .filter(|s| s.wait == Wait::Sync)
                .min_by_key(|s| s.pc);
            if let Some(split) = waiting {
                // The missing lanes stand at another instruction: these go ahead without them.
                split.wait = Wait::None;
                group.force = true;
                return None;
            }
        }
        if let Some(exit) = self.deadlock() {
            self.over = Some(exit.clone());
            return Some(exit);
        }
        // Threads wait at different barriers for each other: a GPU hangs, and so does this block until it is killed.
        Some(Exit::Yielded(Why::Idle))
    }

    /// Runs a group until something happens, machine code others after it. Returns which had it, what, and the operations used.
    fn slice(&mut self, g: usize, worker: &mut Worker, env: &Env<'_>, fuel: i64) -> (usize, Happened, i64) {
        let group = &mut self.groups[g];
        let code = self.state.code(group.vector);
        let (ops, targets) = (code.ops.as_ptr(), code.targets.as_ptr());
        let pool = self.state.launch.pool().as_ptr();
        let split = if group.rotating {
            group.take_oldest()
        } else {
            group.take_lowest()
        };
        let Some(split) = split else {
            return (g, Happened::Next, 1);
        };
        let native = self.state.build().native.as_deref();
        let native = native.filter(|_| !group.vector).map(std::ptr::from_ref);
        let (budget, scale) = quantum(native.is_some(), group.rotating, fuel);
        let shared = self.state.own_shared();
        let mut cx = Cx {
            frame: group.frame.as_ptr(),
            pool,
            ops,
            mask: split.mask,
            chunks: group.warps as usize * 2,
            full: false,
            next: 0,
            fuel: budget,
            event: Event::None,
            pc: split.pc,
            sites: worker.sites.as_mut_ptr(),
            lasts: worker.lasts.as_mut_ptr(),
            targets,
            shared,
            local: group.local.as_ptr(),
            group: &raw mut *group,
            cta: &raw mut self.state,
            env: std::ptr::from_ref(env).cast(),
            fault: RawFault::NONE,
            private_sites: false,
            spin: false,
            rotating: group.rotating,
            force: std::mem::take(&mut group.force),
            all: group.all,
        };
        refresh(&mut cx);
        let mut g = g;
        // SAFETY: `split.pc` is an operation of `code`, and every handler returns one or null. Frame, pool, sites and targets
        // are those that the code was made for. Nothing else uses group and block while the context is in use.
        unsafe {
            match native {
                Some(code) => match worker.native.run(&*code, &mut cx, &raw mut *self, g) {
                    Some(last) if last != g => {
                        g = last;
                        self.turn = (g, 0);
                    }
                    Some(_) => {}
                    // It has no place for where these lanes stand, and left values where only it and the other decoding find them.
                    None => cx.event = Event::Deopt,
                },
                None => {
                    let mut op = cx.ops.add(cx.pc as usize);
                    while !op.is_null() {
                        op = ((*op).f)(&mut cx, op);
                    }
                }
            }
        }
        worker.private |= cx.private_sites;
        let used = ((budget - cx.fuel.min(budget - 1)) / scale).max(1);
        let happened = self.happened(g, &mut cx);
        self.groups[g].clock += 1;
        (g, happened, used)
    }

    /// Whether another block of the launch may begin in the place of this one, all of whose threads have exited.
    fn may_advance(&self, env: &Env<'_>) -> bool {
        let own = self.state.cluster.is_none() && self.state.check.is_none();
        own && self.is_current() && !env.stop.load(Ordering::Relaxed)
    }

    /// Begins another block of the launch in the place of this one. False when there is none, or it has to be set up anew.
    fn advance(&mut self, env: &Env<'_>) -> bool {
        // Once it is claimed the block is taken, whatever changes meanwhile.
        let next = env
            .next
            .filter(|_| self.may_advance(env))
            .and_then(NextBlock::next);
        next.map(|block| self.restart(block)).is_some()
    }

    /// As [`advance`](Self::advance) while machine code has all groups seated: their splits stay with the seats, and of the rest
    /// only what running and leaving changes is set back.
    pub(crate) fn advance_seated(&mut self, env: &Env<'_>, generation: u64) -> bool {
        if env.memory.generation() != generation || !self.may_advance(env) {
            return false;
        }
        let Some(block) = env.next.and_then(NextBlock::next) else {
            return false;
        };
        for group in &mut self.groups {
            group.live = group.all;
        }
        self.state.clear_shared();
        self.state.forget_barriers();
        self.state.block = block;
        true
    }

    /// Tells the cluster which threads have exited.
    fn leave_cluster(&mut self) {
        let Some(cluster) = &self.state.cluster else {
            return;
        };
        for group in &mut self.groups {
            cluster.leave(&mut group.arrived, &group.all, &group.live);
        }
    }

    /// Puts the current split back and says what its run ended with.
    fn happened(&mut self, g: usize, cx: &mut Cx) -> Happened {
        let clock = self.groups[g].clock + 1;
        let mut park = |pc: u32, wait: Wait| {
            self.groups[g].splits.push(Split {
                pc,
                mask: cx.mask,
                wait,
                stamp: clock,
            });
        };
        match cx.event {
            Event::None | Event::Next | Event::Done => Happened::Next,
            Event::Quantum => {
                park(cx.pc, Wait::None);
                Happened::Quantum { spin: cx.spin }
            }
            Event::Idle => {
                park(cx.pc, Wait::None);
                Happened::Idle
            }
            Event::Deopt => {
                park(cx.pc, Wait::None);
                Happened::Deopt
            }
            Event::Sync => {
                park(cx.pc, Wait::Sync);
                Happened::Sync { pc: cx.pc }
            }
            Event::Grid => {
                park(cx.pc, Wait::Barrier(u8::try_from(GRID_BARRIER).unwrap_or(0)));
                Happened::Barrier(Arrival {
                    id: GRID_BARRIER,
                    mask: cx.mask,
                    ..Arrival::default()
                })
            }
            Event::Barrier => self.at_barrier(g, cx),
            Event::Fault => {
                let RawFault { kind, lane, address } = cx.fault;
                Happened::Fault(self.fault(g, cx.pc, kind, lane, address))
            }
        }
    }

    /// The current split stands at a barrier: what it asks of it.
    fn at_barrier(&mut self, g: usize, cx: &Cx) -> Happened {
        let group = &mut self.groups[g];
        let op = self.state.code(group.vector).ops[cx.pc as usize];
        let lane = cx.first_lane();
        let number = op.flags >> NUMBER;
        let (reduces, counts, arrive) = (number & 3 != 0, number & 4 != 0, number & 8 != 0);
        // SAFETY: operands of a barrier, made by the decoder.
        let (id, count, pred) = unsafe {
            let at = lane as usize;
            let count = if counts { lane32(cx, op.b, at) } else { 0 };
            let pred = if reduces { cx.predicate(op.c) } else { [0; WARPS] };
            (lane32(cx, op.a, at), count, pred)
        };
        let fits = id < 16 && count.is_multiple_of(WARP) && counts == (count != 0);
        let Some(id) = u8::try_from(id).ok().filter(|_| fits) else {
            return Happened::Fault(self.fault(g, cx.pc, FaultKind::IllegalInstruction, lane, 0));
        };
        let (pc, wait) = if arrive {
            (cx.pc + 1, Wait::None)
        } else {
            (cx.pc, Wait::Barrier(id))
        };
        group.splits.push(Split {
            pc,
            mask: cx.mask,
            wait,
            stamp: group.clock + 1,
        });
        Happened::Barrier(Arrival {
            id: usize::from(id),
            count,
            mask: cx.mask,
            pred,
            arrive,
        })
    }

    fn fault(&self, g: usize, pc: u32, kind: FaultKind, lane: u32, address: u64) -> Box<Fault> {
        let launch = &self.state.launch;
        let analysed = &launch.program().analysed;
        let code = self.state.code(self.groups[g].vector);
        let inst = code.inst_of_op.get(pc as usize).map_or(0, |&i| i as usize);
        let place = analysed
            .insts
            .get(inst)
            .and_then(|i| analysed.kernel.places.get(i.1 as usize));
        Box::new(Fault {
            kind,
            function: place.map_or_else(
                || Arc::clone(launch.program().name()),
                |p| Arc::clone(&p.function),
            ),
            line: place.map_or(0, |p| p.line),
            block: self.state.block,
            thread: self.state.thread(self.groups[g].first_thread() + lane),
            address,
        })
    }

    /// Acts on what happened. `Some` ends the call of `run`.
    fn settle(&mut self, g: usize, happened: Happened) -> Option<Exit> {
        if !matches!(happened, Happened::Idle) {
            self.idle = 0;
        }
        match happened {
            Happened::Next => {
                self.recheck_barriers();
                None
            }
            Happened::Quantum { spin } => {
                if spin && self.state.build().native.is_some() {
                    // Slices of machine code are long: the one that it waits for comes next.
                    self.turn.1 = TURN;
                }
                self.watch(g, spin);
                None
            }
            Happened::Idle => {
                self.watch(g, true);
                self.idle += 1;
                self.turn.1 = TURN;
                // Splits that take turns each have one.
                let turns = |group: &Group| match group.splits.iter().filter(|s| s.wait == Wait::None).count()
                {
                    splits if group.rotating => splits,
                    splits => splits.min(1),
                };
                let runnable: usize = self.groups.iter().map(turns).sum();
                (self.idle >= runnable.max(1)).then_some(Exit::Yielded(Why::Idle))
            }
            Happened::Deopt => {
                self.deopt(g);
                None
            }
            Happened::Sync { pc } => {
                self.sync(g, pc);
                None
            }
            Happened::Barrier(arrival) => {
                let grid = arrival.id == GRID_BARRIER;
                let released = self.arrive(g, &arrival);
                if !released && !arrival.arrive && !self.groups[g].vector && self.groups[g].runnable() {
                    // Others of the group have to go on past a split that waits below them.
                    self.deopt(g);
                }
                (released && grid).then_some(Exit::Yielded(Why::GridBarrier))
            }
            Happened::Fault(fault) => Some(Exit::Fault(fault)),
        }
    }

    /// Looks whether a diverged group makes progress, and lets its splits take turns when it does not.
    fn watch(&mut self, g: usize, spin: bool) {
        let group = &mut self.groups[g];
        if group.splits.iter().filter(|s| s.wait == Wait::None).count() < 2 {
            group.rotating = false;
            group.seen = (group.clock, group.progress);
            return;
        }
        if group.progress != group.seen.1 {
            group.seen = (group.clock, group.progress);
        }
        let patience = if spin { SPIN_PATIENCE } else { PATIENCE };
        if !group.rotating && group.clock - group.seen.0 > patience {
            self.deopt(g);
            self.groups[g].rotating = true;
        }
    }

    fn deopt(&mut self, g: usize) {
        let launch = &self.state.launch;
        if !self.groups[g].vector {
            launch.program().contended.store(true, Ordering::Relaxed);
            deopt::to_vector(launch, self.state.build(), &mut self.groups[g]);
        }
    }

    /// A split misses lanes of its member mask at a warp-wide operation.
    fn sync(&mut self, g: usize, pc: u32) {
        if !self.groups[g].vector {
            self.deopt(g);
            // The same instruction, now of the other decoding; the split looks again.
            for split in &mut self.groups[g].splits {
                if split.wait == Wait::Sync {
                    split.wait = Wait::None;
                }
            }
            // The others first: the one that waits is the oldest only by its counter.
            self.groups[g].rotating = true;
            return;
        }
        let splits = &mut self.groups[g].splits;
        let here: Vec<usize> = (0..splits.len())
            .filter(|&i| splits[i].pc == pc && splits[i].wait == Wait::Sync)
            .collect();
        if here.len() > 1 {
            // All that wait here together look again.
            let mut mask = [0; WARPS];
            for &i in here.iter().rev() {
                let split = splits.swap_remove(i);
                for w in 0..WARPS {
                    mask[w] |= split.mask[w];
                }
            }
            let stamp = self.groups[g].clock;
            self.groups[g].splits.push(Split {
                pc,
                mask,
                wait: Wait::None,
                stamp,
            });
        }
    }

    /// Puts other groups in the place of each, for the later build of the launch, if `ready` says so of all.
    pub(crate) fn change_groups(
        &mut self,
        ready: impl Fn(&Group) -> bool,
        change: impl Fn(Group) -> Vec<Group>,
    ) {
        if !self.groups.iter().all(ready) {
            return;
        }
        self.groups = std::mem::take(&mut self.groups)
            .into_iter()
            .flat_map(change)
            .collect();
        self.state.groups = u32::try_from(self.groups.len()).unwrap_or(1);
        self.state.later = true;
        self.turn = (0, 0);
    }

    pub(crate) fn groups_mut(&mut self) -> (&mut Vec<Group>, &mut Shared) {
        (&mut self.groups, &mut self.state)
    }
}

/// What ended a slice, with what the block needs to act on it.
enum Happened {
    Next,
    Quantum { spin: bool },
    Idle,
    Deopt,
    Sync { pc: u32 },
    Barrier(Arrival),
    Fault(Box<Fault>),
}
