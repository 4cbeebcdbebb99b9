//! What a vGPU does now, from its worker's answers. Workers are asked when a user asks, never on a timer: an idle host stays idle.

use crate::rate::{Sample, Samples};
use tessera_client::{Process, Tiers, Usage};
use tessera_control::{SessionStatus, WorkerStatus};

pub(crate) fn usage(status: &WorkerStatus, samples: &mut Samples) -> Usage {
    let sample = Sample {
        at_ns: status.monotonic_ns,
        busy_ns: status.kernel_ns.saturating_add(status.copy_ns),
        executors: status.executors,
    };
    Usage {
        frame_buffer_used_bytes: status.frame_buffer_used,
        time_share: samples.add(sample),
        kernels: status.kernels,
        copied_bytes: status.copied_bytes,
        processes: status.sessions.iter().map(process).collect(),
        tiers: tiers(&status.tiers),
    }
}

fn tiers(counted: &tessera_control::Tiers) -> Tiers {
    Tiers {
        native: counted.native,
        cold: counted.cold,
        option: counted.option,
        processor: counted.processor,
        contended: counted.contended,
        unprofitable: counted.unprofitable,
        impossible: counted.impossible,
        changes: counted.changes,
        compiled: counted.compiled,
        compile_ns: counted.compile_ns,
        code_bytes: counted.code_bytes,
        shared: counted.shared,
        loaded: counted.loaded,
        missed: counted.missed,
    }
}

fn process(session: &SessionStatus) -> Process {
    Process {
        pid: session.pid,
        name: shown(&session.name, 64),
        frame_buffer_used_bytes: session.frame_buffer_used,
        kernels: session.kernels,
        last_fault: session.last_fault.as_deref().map(|fault| shown(fault, 300)),
    }
}

/// Text from a guest on its way to a terminal: no control characters, no novels.
fn shown(text: &str, most: usize) -> String {
    text.chars().filter(|c| !c.is_control()).take(most).collect()
}
