//! `wmma.load` and `wmma.store`: a matrix in memory, rows or columns a stride apart, and the registers of a fragment.
//!
//! All lanes name the same address and stride; those of the first one count. When the whole matrix lies in one span it is checked
//! once, otherwise every piece is, so that a fault has its address.

use std::marker::PhantomData;

use super::List;
use crate::env::Access;
use crate::error::FaultKind;
use crate::exec::isa::{Body, CHUNK, Isa, Portable};
use crate::exec::memory::{Kind, SpaceTag, addresses, refill, site_of};
use crate::exec::warp::{incomplete, lane32, lane64};
use crate::exec::{Cx, Event, NUMBER, Op, Site};
use crate::lir::matrix::MOST_REGISTERS;

/// A load: `a` address, `b` place of registers and origins in the code's table, `c` stride.
pub(crate) struct LoadTile<S>(PhantomData<S>);
/// A store, with the same operands.
pub(crate) struct StoreTile<S>(PhantomData<S>);

/// The fields of [`TileMove`](crate::lir::matrix::TileMove) that a load or store needs.
struct Tile {
    n: usize,
    bits: u64,
    per: u64,
    step: u64,
    row_major: bool,
    origin: [(u64, u64); MOST_REGISTERS],
    /// Elements between rows, or columns.
    stride: u64,
    base: u64,
}

/// Memory that an operation goes to.
struct Room {
    kind: Kind,
    site: *mut Site,
    access: Access,
    /// Host address of the matrix when all of it lies in one span.
    whole: Option<*mut u8>,
    base: u64,
}

impl Tile {
    /// # Safety
    /// `o` is a load or store of a tile, made by the decoder.
    #[inline(always)]
    unsafe fn new<I: Isa>(cx: &Cx, o: &Op, w: usize) -> Self {
        let number = o.flags >> NUMBER;
        let lane = cx.mask[w].trailing_zeros() as usize % 32;
        let mut origin = [(0, 0); MOST_REGISTERS];
        let n = (number & 15) as usize;
        // SAFETY: the caller's promise; origins follow the registers in the table.
        unsafe {
            let list = List(cx.targets.add(o.b as usize));
            for (i, origin) in origin.iter_mut().enumerate().take(n) {
                let packed = u64::from(list.get(n + i));
                *origin = (packed & 0xff, packed >> 8);
            }
            Self {
                n,
                bits: 1 << (number >> 4 & 7),
                per: u64::from(number >> 7 & 63),
                step: u64::from(number >> 13 & 63),
                row_major: number >> 19 & 1 != 0,
                origin,
                stride: u64::from(lane32(cx, o.c, w * 32 + lane)),
                base: addresses::<I>(cx, o, w * 2 + lane / CHUNK)[lane % CHUNK],
            }
        }
    }

    /// Byte where an element is.
    #[inline(always)]
    fn byte(&self, row: u64, column: u64) -> u64 {
        let element = if self.row_major {
            row * self.stride + column
        } else {
            column * self.stride + row
        };
        element * self.bits / 8
    }

    /// Bytes from the first element to the end of the last one.
    #[inline(always)]
    fn extent(&self) -> u64 {
        let all = self.origin.iter().take(self.n);
        let (rows, columns) = all.fold((0, 0), |(i, j), o| (o.0.max(i), o.1.max(j)));
        self.byte(rows + 7, columns + 3 * self.step + self.per - 1) + self.bits.div_ceil(8)
    }

    /// Calls `piece` with register, lane, shift in the register and byte in the matrix of everything that lies together.
    #[inline(always)]
    fn each(&self, mask: u32, mut piece: impl FnMut(usize, usize, u64, u64) -> bool) -> bool {
        let together = self.row_major || self.per == 1;
        for (r, &(row, column)) in self.origin.iter().enumerate().take(self.n) {
            for lane in 0..32 {
                if mask >> lane & 1 == 0 {
                    continue;
                }
                let (g, t) = (lane as u64 / 4, lane as u64 % 4);
                let (row, column) = (row + g, column + self.step * t);
                let pieces = if together { 1 } else { self.per };
                for e in 0..pieces {
                    if !piece(r, lane, e * self.bits, self.byte(row, column + e)) {
                        return false;
                    }
                }
            }
        }
        true
    }

    /// Bytes of a piece.
    #[inline(always)]
    fn piece(&self) -> u64 {
        let together = self.row_major || self.per == 1;
        (self.bits * if together { self.per } else { 1 }).div_ceil(8)
    }
}

impl Room {
    /// # Safety
    /// `o` is a load or store of a tile, made by the decoder for this kind of memory.
    #[inline(always)]
    unsafe fn new(cx: &mut Cx, kind: Kind, o: &Op, tile: &Tile, access: Access) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            let site = site_of(cx, kind, o);
            let (base, extent) = (tile.base, tile.extent());
            let mut whole = (*site).at(base, extent);
            if whole.is_none() && refill(cx, kind, site, base, access) {
                whole = (*site).at(base, extent);
            }
            Self {
                kind,
                site,
                access,
                whole,
                base,
            }
        }
    }

    /// Host address of a piece.
    ///
    /// # Safety
    /// As [`new`](Self::new).
    #[inline(always)]
    unsafe fn at(&self, cx: &mut Cx, byte: u64, bytes: u64) -> Option<*mut u8> {
        if let Some(p) = self.whole {
            #[allow(clippy::cast_possible_truncation, reason = "inside a span of host memory")]
            return Some(p.wrapping_add(byte as usize));
        }
        let address = self.base.wrapping_add(byte);
        // SAFETY: the caller's promise.
        unsafe {
            if let Some(p) = (*self.site).at(address, bytes) {
                return Some(p);
            }
            if refill(cx, self.kind, self.site, address, self.access) {
                return (*self.site).at(address, bytes);
            }
        }
        None
    }
}

/// Ends the run at a piece that is not there.
#[cold]
fn missing(cx: &mut Cx, op: *const Op, w: usize, lane: usize, address: u64) -> bool {
    let lane = u32::try_from(w * 32 + lane).unwrap_or(0);
    cx.fail(op, FaultKind::IllegalAddress, lane, address);
    false
}

/// Whether the matrix begins at a multiple of its element; ends the run otherwise.
#[inline(always)]
fn aligned(cx: &mut Cx, op: *const Op, w: usize, tile: &Tile) -> bool {
    if tile.base.is_multiple_of(tile.bits.div_ceil(8)) {
        return true;
    }
    let lane = u32::try_from(w * 32).unwrap_or(0) + cx.mask[w].trailing_zeros();
    cx.fail(op, FaultKind::MisalignedAddress, lane, tile.base);
    false
}

impl<S: SpaceTag> Body for LoadTile<S> {
    #[inline(always)]
    unsafe fn run<I: Isa>(cx: &mut Cx, op: *const Op) -> *const Op {
        // SAFETY: the contract of `Body`; every access to memory is through a checked span.
        unsafe {
            if incomplete(cx) {
                return cx.stop(op, Event::Sync);
            }
            let o = *op;
            for w in 0..cx.chunks / 2 {
                let mask = cx.mask[w];
                if mask == 0 {
                    continue;
                }
                let tile = Tile::new::<I>(cx, &o, w);
                if !aligned(cx, op, w, &tile) {
                    return std::ptr::null();
                }
                let room = Room::new(cx, S::KIND, &o, &tile, Access::Read);
                let bytes = tile.piece();
                let mut v = [[0u64; 32]; MOST_REGISTERS];
                let fine = tile.each(mask, |r, lane, shift, byte| {
                    let Some(p) = room.at(cx, byte, bytes) else {
                        return missing(cx, op, w, lane, room.base.wrapping_add(byte));
                    };
                    let x = match bytes {
                        1 => u64::from(p.read()),
                        2 => u64::from(p.cast::<u16>().read_unaligned()),
                        4 => u64::from(p.cast::<u32>().read_unaligned()),
                        _ => p.cast::<u64>().read_unaligned(),
                    };
                    v[r][lane] |= x << shift;
                    true
                });
                if !fine {
                    return std::ptr::null();
                }
                put::<I>(cx, &o, w, &tile, &v);
            }
            op.add(1)
        }
    }
}

/// Writes the registers of a load.
///
/// # Safety
/// `o` is a load of a tile, made by the decoder.
#[inline(always)]
unsafe fn put<I: Isa>(cx: &Cx, o: &Op, w: usize, tile: &Tile, v: &[[u64; 32]; MOST_REGISTERS]) {
    // SAFETY: the caller's promise.
    unsafe {
        let list = List(cx.targets.add(o.b as usize));
        for (r, v) in v.iter().enumerate().take(tile.n) {
            let to = cx.destination(list.get(r));
            for half in 0..2 {
                let c = w * 2 + half;
                let words: [u64; CHUNK] = std::array::from_fn(|i| v[half * CHUNK + i]);
                if tile.bits == 64 {
                    I::store64(to.add(c * 128).cast(), &words, cx.chunk_mask(c));
                } else {
                    #[allow(clippy::cast_possible_truncation, reason = "registers of 32 bits")]
                    let words = words.map(|x| x as u32);
                    I::store32(to.add(c * 64).cast(), &words, cx.chunk_mask(c));
                }
            }
        }
    }
}

impl<S: SpaceTag> Body for StoreTile<S> {
    #[inline(always)]
    unsafe fn run<I: Isa>(cx: &mut Cx, op: *const Op) -> *const Op {
        // SAFETY: as in `LoadTile`.
        unsafe {
            if incomplete(cx) {
                return cx.stop(op, Event::Sync);
            }
            let o = *op;
            for w in 0..cx.chunks / 2 {
                let mask = cx.mask[w];
                if mask == 0 {
                    continue;
                }
                let tile = Tile::new::<I>(cx, &o, w);
                if !aligned(cx, op, w, &tile) {
                    return std::ptr::null();
                }
                let room = Room::new(cx, S::KIND, &o, &tile, Access::Write);
                let bytes = tile.piece();
                let list = List(cx.targets.add(o.b as usize));
                let fine = tile.each(mask, |r, lane, shift, byte| {
                    let Some(p) = room.at(cx, byte, bytes) else {
                        return missing(cx, op, w, lane, room.base.wrapping_add(byte));
                    };
                    let x = if tile.bits == 64 {
                        lane64(cx, list.get(r), w * 32 + lane)
                    } else {
                        u64::from(lane32(cx, list.get(r), w * 32 + lane)) >> shift
                    };
                    #[allow(clippy::cast_possible_truncation, reason = "the low part is what is stored")]
                    match bytes {
                        1 => p.write(x as u8),
                        2 => p.cast::<u16>().write_unaligned(x as u16),
                        4 => p.cast::<u32>().write_unaligned(x as u32),
                        _ => p.cast::<u64>().write_unaligned(x),
                    }
                    true
                });
                if !fine {
                    return std::ptr::null();
                }
            }
            op.add(1)
        }
    }
}

/// What a load or store of a tile touches: bytes of a piece; chunk, lanes and addresses of the pieces.
///
/// # Safety
/// `o` is one, made by the decoder.
pub(crate) unsafe fn pieces(cx: &Cx, o: &Op) -> (u32, Vec<(usize, u16, [u64; CHUNK])>) {
    let (mut all, mut bytes) = (Vec::new(), 0);
    for w in 0..cx.chunks / 2 {
        let mask = cx.mask[w];
        if mask == 0 {
            continue;
        }
        // SAFETY: the caller's promise; addresses are worked out without a vector unit.
        let tile = unsafe { Tile::new::<Portable>(cx, o, w) };
        bytes = u32::try_from(tile.piece()).unwrap_or(0);
        // The pieces of a register that have the same shift, by half of the warp.
        let mut found: Vec<(usize, u64, [[u64; CHUNK]; 2])> = Vec::new();
        tile.each(mask, |r, lane, shift, byte| {
            let at = found.iter().position(|f| f.0 == r && f.1 == shift);
            let at = at.unwrap_or_else(|| {
                found.push((r, shift, [[0; CHUNK]; 2]));
                found.len() - 1
            });
            found[at].2[lane / CHUNK % 2][lane % CHUNK] = tile.base.wrapping_add(byte);
            true
        });
        for (_, _, halves) in found {
            for (h, address) in halves.into_iter().enumerate() {
                let m = cx.chunk_mask(w * 2 + h);
                if m != 0 {
                    all.push((w * 2 + h, m, address));
                }
            }
        }
    }
    (bytes, all)
}
