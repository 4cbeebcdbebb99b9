//! Graphs: many operations that are submitted as one.
//!
//! ```text
//!   Context::create_graph(nodes) ─▶ Graph ── Operation::Graph ─▶ stream:  begin ─▶ nodes, as their edges say ─▶ end = completed(seq)
//! ```
//!
//! A launch of a graph takes one place in its stream: all nodes start after what is before it, and what is behind it starts after
//! all nodes. Two launches of one graph follow each other. Only the end is reported to the stream's sink.

use crate::{DevicePtr, Operation};
use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError};

/// A node of a graph that is being created.
#[derive(Clone)]
pub struct GraphNode {
    /// What it does. Generations of recorded events are replaced by the sequence number of the launch.
    pub operation: Operation,
    /// Indices of the nodes it waits for, each smaller than its own.
    pub after: Vec<u32>,
}

/// A graph that can be launched. Implementations are downcast by their own device.
pub trait Graph: Send + Sync {
    /// For the device that made it.
    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

/// How a conditional node reads its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionKind {
    /// The first body runs once where the value is not 0, the second, if there is one, where it is 0.
    If,
    /// The body runs as long as the value is not 0.
    While,
    /// The body whose index the value is runs once; none where there is no such body.
    Switch,
}

/// A node that chooses among graphs when it is reached. It is a node of graphs only.
#[derive(Clone)]
pub struct Conditional {
    /// Where the value lies: 4 bytes of device memory.
    pub value: DevicePtr,
    /// How it is read.
    pub kind: ConditionKind,
    /// What it chooses among.
    pub bodies: Vec<Arc<dyn Graph>>,
}

/// How a value in memory is compared by [`Operation::WaitValue`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// The value is not before the given one, in circular order: `(signed)(value - given) >= 0`.
    GreaterOrEqual,
    /// Equal.
    Equal,
    /// They have a bit in common.
    And,
    /// Not all bits are set in one or the other: `~(value | given) != 0`.
    Nor,
}

impl Comparison {
    /// Whether `value`, read from memory, ends the wait for `given`. `wide`: both have 64 bits, not 32.
    #[must_use]
    pub fn holds(self, value: u64, given: u64, wide: bool) -> bool {
        let mask = if wide { u64::MAX } else { u64::from(u32::MAX) };
        let (value, given) = (value & mask, given & mask);
        match self {
            Self::GreaterOrEqual => {
                let sign = if wide { 1 << 63 } else { 1 << 31 };
                value.wrapping_sub(given) & sign == 0
            }
            Self::Equal => value == given,
            Self::And => value & given != 0,
            Self::Nor => !(value | given) & mask != 0,
        }
    }
}

/// A host function that a stream has come to. What is behind it starts when this is finished or dropped.
pub struct HostCall(Mutex<Option<Box<dyn FnOnce() + Send>>>);

impl HostCall {
    /// `finish` is called once.
    #[must_use]
    pub fn new(finish: Box<dyn FnOnce() + Send>) -> Self {
        Self(Mutex::new(Some(finish)))
    }

    /// The function has returned.
    pub fn finish(self) {
        drop(self);
    }
}

impl Drop for HostCall {
    fn drop(&mut self) {
        let finish = self.0.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(finish) = finish {
            finish();
        }
    }
}

impl std::fmt::Debug for HostCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HostCall")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparisons_are_circular_and_as_wide_as_they_say() {
        let holds = |comparison: Comparison, value, given| {
            (
                comparison.holds(value, given, false),
                comparison.holds(value, given, true),
            )
        };
        assert_eq!(holds(Comparison::GreaterOrEqual, 5, 5), (true, true));
        assert_eq!(holds(Comparison::GreaterOrEqual, 4, 5), (false, false));
        assert_eq!(holds(Comparison::GreaterOrEqual, 1, 0xffff_ffff), (true, false));
        assert_eq!(holds(Comparison::GreaterOrEqual, 1 << 32, 1), (false, true));
        assert_eq!(holds(Comparison::Equal, 1 << 32, 0), (true, false));
        assert_eq!(holds(Comparison::And, 6, 9), (false, false));
        assert_eq!(holds(Comparison::And, 6, 2), (true, true));
        assert_eq!(holds(Comparison::Nor, 0xffff_0000, 0x0000_ffff), (false, true));
        assert_eq!(holds(Comparison::Nor, 0xffff_0000, 0x0000_fffe), (true, true));
    }

    #[test]
    fn a_host_call_that_is_dropped_is_finished_once() {
        let count = Arc::new(std::sync::atomic::AtomicU32::new(0));
        for finished in [true, false] {
            let counter = Arc::clone(&count);
            let call = HostCall::new(Box::new(move || {
                counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            }));
            if finished {
                call.finish();
            } else {
                drop(call);
            }
        }
        assert_eq!(count.load(std::sync::atomic::Ordering::SeqCst), 2);
    }
}
