//! `mbarrier`: barriers that are objects in shared memory.
//!
//! A program treats the object as opaque; here it is one 64-bit word:
//!
//! ```text
//!  63      62      61 ......... 41   40   39 ....... 20   19 ...... 0
//!  phase   valid   tx-count (signed)   0    expected        pending
//! ```
//!
//! *pending*: arrivals that the current phase still waits for. *expected*: those of the next phase. *tx-count*: bytes that
//! asynchronous copies have still to bring; it may be below zero for a moment, when a copy completes before it is
//! announced. When pending and tx-count are both zero the phase is over: the phase bit flips and pending is expected again.
//! The state that an arrival returns is the object as it was just before.
//!
//! Every change is one atomic operation of the host, since blocks of a cluster reach each other's objects. An object that is not valid, a count that is
//! out of its range, and an arrival that nobody waits for end the block as an illegal instruction.

use std::sync::atomic::{AtomicU64, Ordering};

use super::isa::{Body, Isa};
use super::thread::{Bad, each, is_shared, shared_object};
use super::warp::{NO_OPERAND, lane32, lane64};
use super::{Cx, Event, Op, WARPS};

/// Largest count of arrivals, and largest magnitude of the tx-count.
const MOST: u64 = (1 << 20) - 1;
const EXPECTED: u32 = 20;
const TX: u32 = 41;
const VALID: u64 = 1 << 62;
const PHASE: u64 = 1 << 63;

/// What is done with an object. Sources: its address, then a count, state or parity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Mbarrier {
    Init,
    Inval,
    /// s: address, count of arrivals or (with `expect`) of bytes.
    Arrive {
        drop: bool,
        expect: bool,
        /// It must not end the phase.
        no_complete: bool,
    },
    ExpectTx,
    CompleteTx,
    /// s: address, state or parity; d: predicate. `gives_way`: `try_wait`, which lets others run when it has to wait.
    Wait {
        parity: bool,
        gives_way: bool,
    },
    /// `cp.async.mbarrier.arrive`: the copies before it are complete. Without `.noinc` its arrival is one that it adds itself.
    Copies {
        counted: bool,
    },
}

impl Mbarrier {
    /// A number for the immediate: kind in the low four bits, then flags.
    pub(crate) fn number(self) -> i32 {
        let flag = |on: bool, bit: i32| i32::from(on) << bit;
        match self {
            Self::Init => 0,
            Self::Inval => 1,
            Self::Arrive {
                drop,
                expect,
                no_complete,
            } => 2 | flag(drop, 4) | flag(expect, 5) | flag(no_complete, 6),
            Self::ExpectTx => 3,
            Self::CompleteTx => 4,
            Self::Wait { parity, gives_way } => 5 | flag(parity, 4) | flag(gives_way, 5),
            Self::Copies { counted } => 6 | flag(counted, 4),
        }
    }

    fn from_number(number: i32) -> Self {
        let flag = |bit: i32| number >> bit & 1 != 0;
        match number & 15 {
            0 => Self::Init,
            1 => Self::Inval,
            2 => Self::Arrive {
                drop: flag(4),
                expect: flag(5),
                no_complete: flag(6),
            },
            3 => Self::ExpectTx,
            4 => Self::CompleteTx,
            5 => Self::Wait {
                parity: flag(4),
                gives_way: flag(5),
            },
            _ => Self::Copies { counted: flag(4) },
        }
    }
}

/// The object. Operations give the new one, or nothing where they have no meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Object(u64);

impl Object {
    fn new(count: u64) -> Option<Self> {
        (1..=MOST)
            .contains(&count)
            .then_some(Self(VALID | count << EXPECTED | count))
    }

    const fn pending(self) -> u64 {
        self.0 & MOST
    }

    const fn expected(self) -> u64 {
        self.0 >> EXPECTED & MOST
    }

    const fn tx(self) -> i64 {
        (self.0 << 2).cast_signed() >> (TX + 2)
    }

    /// The object with these counts; a phase that is over gives way to the next.
    fn with(self, pending: u64, expected: u64, tx: i64) -> Option<Self> {
        let bound = MOST.cast_signed();
        if pending > MOST || expected > MOST || !(-bound..=bound).contains(&tx) {
            return None;
        }
        let over = pending == 0 && tx == 0;
        let pending = if over { expected } else { pending };
        let phase = if over { self.0 ^ PHASE } else { self.0 } & PHASE;
        let tx = tx.cast_unsigned() << TX & !(PHASE | VALID);
        Some(Self(phase | VALID | tx | expected << EXPECTED | pending))
    }

    fn valid(self) -> Option<Self> {
        (self.0 & VALID != 0).then_some(self)
    }

    fn arrive(self, count: u64, drop: bool) -> Option<Self> {
        let pending = self.pending().checked_sub(count)?;
        let expected = self.expected().checked_sub(if drop { count } else { 0 })?;
        self.with(pending, expected, self.tx())
    }

    /// Changes the tx-count.
    fn bytes(self, by: i64) -> Option<Self> {
        self.with(self.pending(), self.expected(), self.tx().checked_add(by)?)
    }

    /// Whether the phase is another one than that of a state.
    const fn past(self, state: u64) -> bool {
        (self.0 ^ state) & PHASE != 0
    }
}

/// `complete_tx` of `bytes` on the object at `p`.
///
/// # Safety
/// `p` is eight bytes of shared memory, aligned.
pub(crate) unsafe fn complete(p: *mut u8, bytes: u64) -> Result<(), Bad> {
    // SAFETY: the caller's promise.
    let object = unsafe { AtomicU64::from_ptr(p.cast()) };
    let by = i64::try_from(bytes).unwrap_or(i64::MAX).wrapping_neg();
    let change = |old| Object(old).valid()?.bytes(by).map(|o| o.0);
    match object.fetch_update(Ordering::SeqCst, Ordering::SeqCst, change) {
        Ok(_) => Ok(()),
        Err(_) => Err(Bad::MEANINGLESS),
    }
}

/// Any `mbarrier` instruction: `d` state or predicate, `a` address, `b` count, state or parity; what in `imm`.
pub(crate) struct MbarrierOp;
impl Body for MbarrierOp {
    #[inline(always)]
    unsafe fn run<I: Isa>(cx: &mut Cx, op: *const Op) -> *const Op {
        // SAFETY: the contract of `Body`.
        unsafe { mbarrier(cx, op) }
    }
}

/// # Safety
/// As [`Body::run`].
unsafe fn mbarrier(cx: &mut Cx, op: *const Op) -> *const Op {
    // SAFETY: the decoder's slots; an operation like this is never the last one.
    unsafe {
        let o = *op;
        let what = Mbarrier::from_number(o.imm);
        let mut done = [0u32; WARPS];
        let fine = each(cx, op, |cx, lane| {
            let address = lane64(cx, o.a, lane);
            let p = AtomicU64::from_ptr(shared_object(cx, address, is_shared(&o, 0), 8)?.cast());
            if let Mbarrier::Wait { parity, .. } = what {
                let object = Object(p.load(Ordering::SeqCst)).valid().ok_or(Bad::MEANINGLESS)?;
                let state = if parity {
                    u64::from(lane32(cx, o.b, lane)) << 63
                } else {
                    lane64(cx, o.b, lane)
                };
                done[lane / 32] |= u32::from(object.past(state)) << (lane % 32);
                return Ok(());
            }
            let count = match what {
                Mbarrier::Inval | Mbarrier::Copies { .. } => 0,
                _ => u64::from(lane32(cx, o.b, lane)),
            };
            let change = |old| changed(what, old, count);
            let Ok(old) = p.fetch_update(Ordering::SeqCst, Ordering::SeqCst, change) else {
                return Err(Bad::MEANINGLESS);
            };
            if o.d != NO_OPERAND {
                *cx.destination(o.d).cast::<u64>().add(lane) = old;
            }
            Ok(())
        });
        if !fine {
            return std::ptr::null();
        }
        if let Mbarrier::Wait { gives_way, .. } = what {
            cx.set_predicate(o.d, &done);
            cx.spin = true;
            if gives_way && done != cx.mask {
                // What it waits for is for others to do.
                return cx.stop(op.add(1), Event::Idle);
            }
        }
        op.add(1)
    }
}

/// The object after an instruction that changes it.
fn changed(what: Mbarrier, old: u64, count: u64) -> Option<u64> {
    if what == Mbarrier::Init {
        return Object::new(count).map(|o| o.0);
    }
    let object = Object(old).valid()?;
    let new = match what {
        Mbarrier::Inval => return Some(0),
        Mbarrier::Arrive {
            drop,
            expect,
            no_complete,
        } => {
            let announced = if expect {
                object.bytes(count.cast_signed())?
            } else {
                object
            };
            let new = announced.arrive(if expect { 1 } else { count }, drop)?;
            if no_complete && new.past(old) {
                return None;
            }
            new
        }
        Mbarrier::ExpectTx => object.bytes(count.cast_signed())?,
        Mbarrier::CompleteTx => object.bytes(-count.cast_signed())?,
        Mbarrier::Copies { counted: true } => object.arrive(1, false)?,
        // One more arrival is pending, and made.
        Mbarrier::Copies { counted: false } | Mbarrier::Init | Mbarrier::Wait { .. } => object,
    };
    Some(new.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_ends_when_all_have_arrived_and_all_bytes_are_there() {
        let start = Object::new(2).expect("two arrivals");
        assert_eq!((start.pending(), start.expected(), start.tx()), (2, 2, 0));
        let announced = start
            .bytes(1000)
            .and_then(|o| o.arrive(2, false))
            .expect("possible");
        assert!(!announced.past(start.0));
        assert_eq!((announced.pending(), announced.tx()), (0, 1000));
        let over = announced.bytes(-1000).expect("possible");
        assert!(over.past(start.0));
        assert_eq!((over.pending(), over.expected(), over.tx()), (2, 2, 0));
        assert!(over.arrive(2, false).expect("possible").past(over.0));
    }

    #[test]
    fn bytes_may_come_before_they_are_announced() {
        let early = Object::new(1).and_then(|o| o.bytes(-48)).expect("possible");
        assert_eq!((early.pending(), early.tx()), (1, -48));
        let arrived = early
            .bytes(48)
            .and_then(|o| o.arrive(1, false))
            .expect("possible");
        assert!(arrived.past(early.0));
    }

    #[test]
    fn an_arrival_that_drops_out_is_not_expected_again() {
        let one = Object::new(3).and_then(|o| o.arrive(1, true)).expect("possible");
        assert_eq!((one.pending(), one.expected()), (2, 2));
        let over = one.arrive(2, false).expect("possible");
        assert_eq!((over.pending(), over.expected()), (2, 2));
    }

    #[test]
    fn counts_out_of_range_have_no_meaning() {
        assert_eq!(Object::new(0), None);
        assert_eq!(Object::new(1 << 20), None);
        let most = Object::new(MOST).expect("the largest count");
        assert_eq!(most.arrive(MOST + 1, false), None);
        let bound = MOST.cast_signed();
        assert_eq!(most.bytes(bound).map(Object::tx), Some(bound));
        assert_eq!(most.bytes(-bound).map(Object::tx), Some(-bound));
        assert_eq!(most.bytes(bound + 1), None);
        assert_eq!(changed(Mbarrier::ExpectTx, 0, 1), None);
    }

    #[test]
    fn numbers_stand_for_instructions() {
        let bools = [false, true];
        let mut all = vec![
            Mbarrier::Init,
            Mbarrier::Inval,
            Mbarrier::ExpectTx,
            Mbarrier::CompleteTx,
        ];
        for a in bools {
            all.push(Mbarrier::Copies { counted: a });
            for b in bools {
                all.push(Mbarrier::Wait {
                    parity: a,
                    gives_way: b,
                });
                for c in bools {
                    all.push(Mbarrier::Arrive {
                        drop: a,
                        expect: b,
                        no_complete: c,
                    });
                }
            }
        }
        for op in all {
            assert_eq!(Mbarrier::from_number(op.number()), op);
        }
    }
}
