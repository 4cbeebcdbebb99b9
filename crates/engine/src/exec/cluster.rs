//! The barrier of a cluster.

use std::sync::atomic::{Ordering, fence};

use super::isa::{Body, Isa};
use super::{Cx, Event, Op};

/// `barrier.cluster.arrive`
pub(crate) struct ClusterArrive;
impl Body for ClusterArrive {
    #[inline(always)]
    unsafe fn run<I: Isa>(cx: &mut Cx, op: *const Op) -> *const Op {
        // SAFETY: block and group outlive the run and nothing else refers to them meanwhile; an arrival is never the last operation.
        unsafe {
            let (cta, group) = (&*cx.cta, &mut *cx.group);
            if let Some(cluster) = &cta.cluster {
                fence(Ordering::SeqCst);
                cluster.arrive(&mut group.arrived, &cx.mask);
            }
            op.add(1)
        }
    }
}

/// `barrier.cluster.wait`: until then the group gives way and looks again.
pub(crate) struct ClusterWait;
impl Body for ClusterWait {
    #[inline(always)]
    unsafe fn run<I: Isa>(cx: &mut Cx, op: *const Op) -> *const Op {
        // SAFETY: as above.
        let open = unsafe {
            let (cta, group) = (&*cx.cta, &*cx.group);
            (cta.cluster.as_ref()).is_none_or(|cluster| cluster.open_for(&group.arrived, &cx.mask))
        };
        if open {
            fence(Ordering::SeqCst);
            // SAFETY: a wait is never the last operation.
            return unsafe { op.add(1) };
        }
        cx.spin = true;
        cx.stop(op, Event::Idle)
    }
}
