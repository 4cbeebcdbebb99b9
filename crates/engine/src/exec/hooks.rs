//! Calls of functions that the device supplies.

use super::isa::{Body, CHUNK, Isa};
use super::memory::{Kind, local_site, refill};
use super::warp::{NO_OPERAND, lane32, lane64};
use super::{Cx, Event, NUMBER, Op, Site, WARPS};
use crate::env::{Access, HookError, ThreadMemory, ThreadView};
use crate::error::FaultKind;
use crate::lir::Hook;
use crate::{LOCAL_WINDOW, WINDOW_BYTES};

/// Memory as one lane sees it.
struct LaneMemory {
    cx: *mut Cx,
    lane: usize,
}

impl ThreadMemory for LaneMemory {
    fn read(&self, address: u64, into: &mut [u8]) -> Result<(), HookError> {
        // SAFETY: a view lives only while its hook runs, and the context is not used meanwhile.
        let cx = unsafe { &mut *self.cx };
        for (i, byte) in (0u64..).zip(into) {
            let at = address.wrapping_add(i);
            let host = if at.wrapping_sub(LOCAL_WINDOW) < WINDOW_BYTES {
                local_site(cx, self.lane).at(at - LOCAL_WINDOW, 1)
            } else {
                let mut site = Site::EMPTY;
                refill(cx, Kind::Generic, &raw mut site, at, Access::Read)
                    .then(|| site.at(at, 1))
                    .flatten()
            };
            match host {
                // SAFETY: the byte lies in a span that is mapped for reading.
                Some(p) => *byte = unsafe { p.read() },
                None => return Err(HookError::IllegalAddress(at)),
            }
        }
        Ok(())
    }
}

/// Number of a hook in the flags.
pub(crate) const fn hook_number(hook: Hook) -> u32 {
    match hook {
        Hook::Printf => 0,
        Hook::AssertFail => 1,
        Hook::Malloc => 2,
        Hook::Free => 3,
        Hook::GridHandle => 4,
        Hook::GridSync => 5,
    }
}

/// A hook: arguments in `a`, `b`, `c`, `e`, result in `d`.
pub(crate) struct Call;
impl Body for Call {
    #[inline(always)]
    unsafe fn run<I: Isa>(cx: &mut Cx, op: *const Op) -> *const Op {
        // SAFETY: the contract of `Body`.
        unsafe { call(cx, op) }
    }
}

/// # Safety
/// As [`Body::run`].
#[inline(never)]
unsafe fn call(cx: &mut Cx, op: *const Op) -> *const Op {
    // SAFETY: the contract of `Body`.
    unsafe {
        let o = *op;
        let number = o.flags >> NUMBER;
        for lane in 0..cx.chunks * CHUNK {
            if cx.mask[lane / 32 % WARPS] >> (lane % 32) & 1 == 0 {
                continue;
            }
            let at = u32::try_from(lane).unwrap_or(0);
            let memory = LaneMemory {
                cx: &raw mut *cx,
                lane,
            };
            let (cta, group) = (&*cx.cta, &*cx.group);
            let view = ThreadView {
                block: cta.block,
                thread: cta.thread(group.first_thread() + at),
                memory: &memory,
            };
            let runtime = (*cx.env).runtime;
            let mut wide = None;
            let mut narrow = None;
            match number {
                0 => match runtime.vprintf(&view, lane64(cx, o.a, lane), lane64(cx, o.b, lane)) {
                    Ok(n) => narrow = Some(n.cast_unsigned()),
                    Err(error) => return refuse(cx, op, at, error),
                },
                1 => {
                    let (message, file) = (lane64(cx, o.a, lane), lane64(cx, o.b, lane));
                    runtime.assert_fail(&view, message, file, lane32(cx, o.c, lane), lane64(cx, o.e, lane));
                    return cx.fail(op, FaultKind::Assert, at, 0);
                }
                2 => wide = Some(runtime.malloc(lane64(cx, o.a, lane))),
                3 => {
                    if let Err(error) = runtime.free(lane64(cx, o.a, lane)) {
                        return refuse(cx, op, at, error);
                    }
                }
                // Any value that is not null: the barrier knows its grid.
                4 => wide = Some(1),
                _ => narrow = Some(0),
            }
            if o.d != NO_OPERAND {
                let to = cx.destination(o.d);
                if let Some(v) = wide {
                    *to.cast::<u64>().add(lane) = v;
                }
                if let Some(v) = narrow {
                    *to.cast::<u32>().add(lane) = v;
                }
            }
        }
        if number == hook_number(Hook::GridSync) {
            cx.stop(op, Event::Grid)
        } else {
            op.add(1)
        }
    }
}

fn refuse(cx: &mut Cx, op: *const Op, lane: u32, error: HookError) -> *const Op {
    match error {
        HookError::Refused => cx.fail(op, FaultKind::Hook, lane, 0),
        HookError::IllegalAddress(address) => cx.fail(op, FaultKind::IllegalAddress, lane, address),
    }
}
