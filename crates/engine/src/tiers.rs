//! Which tier carries a launch out, and its change to machine code while it runs.
//!
//! ```text
//!  Launch::new ── kernel is hot, or launch so large that it will be ──▶ machine code from the start
//!       │ cold
//!       ▼
//!  interpreter ── hot while it runs ─▶ reconsider(): one caller compiles, the others go on interpreting
//!       │                                  │
//!       │ next call of Cta::run            ▼
//!       └──────────────────────────▶ later build: blocks not started start in it,
//!                                    of blocks that have started each group of up to eight warps becomes groups of one
//! ```
//!
//! Between runs a block stands at safe points, with all values in its frames. Both fast decodings have the same operations and the same
//! slots, of different lengths (looked at when the later build is made; where that is not so, only blocks not yet started
//! change). So a frame is carried over slot by slot, whatever lives in it:
//!
//! ```text
//!  eight warps   scalar  │ bases of chunks 0 1 2 3 ... 15 │      lanes  │ warp 0 │ warp 1 │ ... │ warp 7 │
//!                                    └─┬─┘ rotated                               └───┬────┘
//!  warp 1 alone  scalar  │ bases of chunks 2 3 4 ...  1 │        lanes           │ warp 1 │
//! ```
//!
//! A value that is the same in all lanes is its slot's every element, so rotating does not change it. Splits become splits of each warp
//! that has lanes in them. A block in which machine code has no place for a split, or a group that is in the all-vector decoding,
//! stays where it is until a later run.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};

use crate::analysis::cfg::NONE;
use crate::analysis::shape::Threads;
use crate::cache::Stay;
use crate::cluster::of_warp;
use crate::cta::Block;
use crate::decode::{Analysed, Code, Halves, Key, Variant};
use crate::exec::alu::Class;
use crate::exec::isa::Level;
use crate::exec::{FLAT, POOL, UNIT};
use crate::frame::{Buf, Group, Split, Wait};
use crate::launch::{Geometry, Launch, Options, Tier};
use crate::native::Compiled;
use crate::program::{Heat, Program};
use crate::{MAX_THREADS, WARP};

/// How blocks are carried out: the decodings, and machine code where that is used.
#[derive(Debug)]
pub(crate) struct Build {
    pub(crate) variant: Arc<Variant>,
    pub(crate) native: Option<Arc<Compiled>>,
    /// Coordinates of the threads, for machine code: x, y and z of 32 lanes for each warp.
    tids: Buf,
}

impl Build {
    /// How a launch begins.
    pub(crate) fn choose(program: &Program, threads: u32, geometry: &Geometry, options: Options) -> Self {
        let forced = options.tier == Tier::Native;
        let hot = || match worth(program, threads, geometry) {
            Ok(()) => Ok(()),
            Err(_) if forced => Ok(()),
            Err(why) => Err(why),
        };
        let native = able(options)
            .and_then(|()| hot())
            .and_then(|()| Self::native(program, threads, geometry.block, options, forced));
        let counts = &program.cache.counts;
        match native {
            Ok(build) => {
                counts.starts_native();
                return build;
            }
            Err(why) => counts.stays(why),
        }
        Self {
            variant: program.variant(key(threads, geometry.block, options, false)),
            native: None,
            tids: Buf::zeroed(0),
        }
    }

    /// Machine code, where there is some and it pays.
    fn native(
        program: &Program,
        threads: u32,
        block: [u32; 3],
        options: Options,
        forced: bool,
    ) -> Result<Self, Stay> {
        let options = Options { warps: 1, ..options };
        let variant = program.variant(key(threads, block, options, true));
        let code = variant.native(&program.analysed, &program.cache);
        let code = code.ok_or(Stay::Impossible)?;
        if !forced && !code.pays {
            return Err(Stay::Unprofitable);
        }
        Ok(Self {
            native: Some(Arc::clone(code)),
            tids: coordinates(threads, block),
            variant,
        })
    }

    pub(crate) fn code(&self, analysed: &Analysed, vector: bool) -> &Code {
        self.variant.code(analysed, vector)
    }

    /// The coordinates of warp `first` of a block.
    pub(crate) fn tids(&self, first: u32) -> *const u32 {
        self.tids.as_ptr().cast::<u32>().wrapping_add(first as usize * 96)
    }
}

/// What a launch may still change to.
#[derive(Debug)]
pub(crate) struct Later {
    state: AtomicU8,
    build: OnceLock<(Build, Option<Vec<Move>>)>,
    threads: u32,
    options: Options,
}

/// It may change when it is hot.
const OPEN: u8 = 0;
/// It has changed, or never will.
const SETTLED: u8 = 1;

impl Later {
    pub(crate) fn new(first: &Build, threads: u32, options: Options) -> Self {
        let open = options.tier == Tier::Auto
            && able(options).is_ok()
            && first.native.is_none()
            && first.variant.fast.is_some();
        Self {
            state: AtomicU8::new(if open { OPEN } else { SETTLED }),
            build: OnceLock::new(),
            threads,
            options,
        }
    }

    pub(crate) fn open(&self) -> bool {
        self.state.load(Ordering::Relaxed) == OPEN
    }

    pub(crate) fn build(&self) -> Option<&Build> {
        self.build.get().map(|(build, _)| build)
    }

    /// Makes machine code, unless somebody else is at it. Whether the launch has changed.
    pub(crate) fn make(&self, launch: &Launch, forced: bool, fits: impl FnOnce(&Build) -> bool) -> bool {
        let program = launch.program();
        if program.contended.load(Ordering::Relaxed) || program.compiling.swap(true, Ordering::Acquire) {
            return false;
        }
        let build = self.open().then(|| {
            Build::native(
                program,
                self.threads,
                launch.geometry().block,
                self.options,
                forced,
            )
        });
        let made = build.and_then(Result::ok).filter(fits).is_some_and(|build| {
            let moves = moves(&program.analysed, launch.variant(), &build.variant);
            self.build.set((build, moves)).is_ok()
        });
        if made {
            program.cache.counts.changes();
        }
        self.state.store(SETTLED, Ordering::Relaxed);
        program.compiling.store(false, Ordering::Release);
        made
    }

    /// Carries a block over that began before the change, where it stands so that machine code can take it on.
    pub(crate) fn take_over(&self, launch: &Launch, block: &mut Block) {
        let Some((build, Some(moves))) = self.build.get() else {
            return;
        };
        let (Some(old), Some(new), Some(native)) =
            (&launch.variant().fast, &build.variant.fast, &build.native)
        else {
            return;
        };
        block.change_groups(
            |group| !group.vector && can_go_on(native, old, new, group),
            |group| apart(group, old, new, moves, launch.local_bytes()),
        );
    }
}

/// A slot of the frames of both decodings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Move {
    to: usize,
    from: usize,
    /// Bytes of the slot in the frame of one warp.
    bytes: usize,
    /// Bytes that belong to a warp, by which the slot is rotated; `None` where each warp has such a slot.
    own: Option<usize>,
}

/// How values move between frames of the two fast decodings; `None` when they are not alike enough.
fn moves(analysed: &Analysed, old: &Variant, new: &Variant) -> Option<Vec<Move>> {
    let (old, new) = (old.fast.as_ref()?, new.fast.as_ref()?);
    if old.roles != new.roles || old.inst_of_op != new.inst_of_op || old.shapes != new.shapes {
        return None;
    }
    let place = |operand: u32| (operand & !(POOL | FLAT)) as usize * UNIT;
    let mut moves = Vec::new();
    for (v, vreg) in analysed.kernel.vregs.iter().enumerate() {
        let element = if vreg.class == Class::W64 { 8 } else { 4 };
        let scalar = (old.slots.scalar[v], new.slots.scalar[v], 16, Some(2 * element));
        let vector = (old.slots.vector[v], new.slots.vector[v], 32, None);
        for (from, to, elements, own) in [scalar, vector] {
            if (from == NONE) != (to == NONE) {
                return None;
            }
            if from == NONE {
                continue;
            }
            let (bytes, own) = match (vreg.class, own) {
                (Class::Pred, _) => (32, Some(4)),
                _ => (elements * element, own),
            };
            moves.push(Move {
                to: place(to),
                from: place(from),
                bytes,
                own,
            });
        }
    }
    moves.sort_unstable();
    moves.dedup();
    // Registers that share a slot here share one there.
    let apart = moves.windows(2).all(|m| m[0].to + m[0].bytes <= m[1].to);
    apart.then_some(moves)
}

/// The operation of the other decoding that is the same one.
fn same_place(old: &Code, new: &Code, pc: u32) -> u32 {
    let inst = old.inst_of_op[pc as usize] as usize;
    new.op_of_inst[inst] + (pc - old.op_of_inst[inst])
}

/// Whether machine code can go on where each warp of the group stands: at one place anywhere, at all others where lanes wait.
fn can_go_on(native: &Compiled, old: &Code, new: &Code, group: &Group) -> bool {
    (0..group.warps as usize).all(|w| {
        let here = |s: &&Split| s.wait == Wait::None && s.mask[w] != 0;
        let lowest = group.splits.iter().filter(here).map(|s| s.pc).min();
        group.splits.iter().filter(here).all(|s| {
            let pc = same_place(old, new, s.pc);
            if Some(s.pc) == lowest {
                native.is_entry(pc)
            } else {
                native.is_place(pc)
            }
        })
    })
}

/// The warps of a group as groups of their own.
fn apart(mut group: Group, old: &Code, new: &Code, moves: &[Move], local_bytes: usize) -> Vec<Group> {
    let warps = group.warps as usize;
    for split in &mut group.splits {
        split.pc = same_place(old, new, split.pc);
    }
    let mut alone = Vec::with_capacity(warps);
    for w in 0..warps {
        let mut frame = Buf::zeroed(new.slots.frame_bytes);
        for m in moves {
            let to = &mut frame.bytes_mut()[m.to..m.to + m.bytes];
            match m.own {
                Some(own) => {
                    to.copy_from_slice(&group.frame.bytes()[m.from..m.from + m.bytes]);
                    to.rotate_left(w * own);
                }
                None => {
                    let from = m.from + w * m.bytes;
                    to.copy_from_slice(&group.frame.bytes()[from..from + m.bytes]);
                }
            }
        }
        let bytes = local_bytes * WARP as usize;
        let mut local = Buf::zeroed(bytes);
        local
            .bytes_mut()
            .copy_from_slice(&group.local.bytes()[w * bytes..(w + 1) * bytes]);
        let own = |split: &Split| Split {
            mask: of_warp(&split.mask, w),
            ..*split
        };
        alone.push(Group {
            frame,
            local,
            splits: group.splits.iter().filter(|s| s.mask[w] != 0).map(own).collect(),
            live: of_warp(&group.live, w),
            all: of_warp(&group.all, w),
            first_warp: group.first_warp + u32::try_from(w).unwrap_or(0),
            warps: 1,
            arrived: group.arrived.of_warp(w),
            ..group
        });
    }
    alone
}

/// What [`Program::make`] made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Made {
    /// Operations of the decoding that shares values between lanes; none where the kernel's control flow does not allow it.
    pub fast: Option<usize>,
    /// Operations of the decoding that shares none.
    pub vector: usize,
    /// Bytes of machine code; none where the processor or the kernel does not allow any.
    pub machine: Option<usize>,
}

impl Program {
    /// Makes all that launches with blocks of this shape may use, which they otherwise make when they first need it.
    #[must_use]
    pub fn make(&self, block: [u32; 3]) -> Made {
        let options = Options::default();
        let threads = block.iter().product();
        let of_groups = self.variant(key(threads, block, options, false));
        let machine = able(options)
            .and_then(|()| Build::native(self, threads, block, options, true))
            .ok()
            .and_then(|build| build.native)
            .map(|code| code.bytes);
        Made {
            fast: of_groups.fast.as_ref().map(|code| code.ops.len()),
            vector: of_groups.vector(&self.analysed).ops.len(),
            machine,
        }
    }

    /// Instructions of the kernel as it is carried out: calls inlined, addresses of variables resolved.
    #[must_use]
    pub fn instructions(&self) -> usize {
        self.analysed.insts.len()
    }
}

/// Whether options and processor allow machine code.
fn able(options: Options) -> Result<(), Stay> {
    if options.tier == Tier::Interpreter || options.plain || options.check {
        return Err(Stay::Option);
    }
    if options.level == Level::Portable || !options.level.available() {
        return Err(Stay::Processor);
    }
    Ok(())
}

/// Whether a launch is worth machine code: the kernel has proved hot, or so many threads run it that it will.
fn worth(program: &Program, threads: u32, geometry: &Geometry) -> Result<(), Stay> {
    let blocks: u64 = geometry.grid.iter().map(|&d| u64::from(d)).product();
    let groups = blocks.saturating_mul(u64::from(threads.div_ceil(8 * WARP)));
    let instructions = program.analysed.insts.len() as u64;
    // A launch of so many threads takes as long even if no instruction runs twice.
    let at_once = groups.saturating_mul(instructions) >= Heat::HOT;
    if !program.heat.hot() && !at_once {
        return Err(Stay::Cold);
    }
    if program.contended.load(Ordering::Relaxed) {
        return Err(Stay::Contended);
    }
    Ok(())
}

fn key(threads: u32, [x, y, z]: [u32; 3], options: Options, native: bool) -> Key {
    let needed = threads.div_ceil(WARP);
    // The interpreter is given few groups: small ones are for small blocks. Machine code works on one warp.
    let fewest = if native { 1 } else { needed.div_ceil(4) };
    let warps = match options.warps.min(needed).max(fewest) {
        0 | 1 => 1,
        2 => 2,
        3 | 4 => 4,
        _ => 8,
    };
    let level = if options.level.available() {
        options.level
    } else {
        Level::best()
    };
    let halves = match x {
        _ if x.is_multiple_of(WARP) => Halves::Follow,
        16 if y != 1 || z != 1 => Halves::Repeat,
        _ => Halves::Apart,
    };
    let threads = if y == 1 && z == 1 {
        Threads::Linear
    } else if x.is_multiple_of(16) {
        Threads::Rows
    } else {
        Threads::General
    };
    Key {
        warps,
        threads,
        halves,
        level,
        plain: options.plain || options.check,
        check: options.check,
    }
}

fn coordinates(threads: u32, block: [u32; 3]) -> Buf {
    debug_assert!(threads <= MAX_THREADS);
    let mut all = Buf::zeroed(threads.div_ceil(WARP) as usize * 96 * 4);
    let [x, y, _] = block.map(|d| d.max(1));
    let mut t = [0u32; 3];
    for (number, _) in (0usize..).zip(0..threads.next_multiple_of(WARP)) {
        for (c, value) in t.iter().enumerate() {
            let at = (number / 32 * 96 + c * 32 + number % 32) * 4;
            all.bytes_mut()[at..at + 4].copy_from_slice(&value.to_ne_bytes());
        }
        t[0] += 1;
        if t[0] == x {
            t[0] = 0;
            t[1] += 1;
        }
        if t[1] == y {
            t[1] = 0;
            t[2] += 1;
        }
    }
    all
}
