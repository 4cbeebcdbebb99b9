//! Which entry a device should run.

use crate::{Entry, Fatbin, Kind, Target};
use std::collections::BTreeSet;
use thiserror::Error;

/// No entry of the fatbin runs on the device. The text says what is inside and what would help.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "no PTX for compute capability {}.{} or lower; the image holds {}. Build with PTX for an older target, for instance `nvcc -gencode arch=compute_{}{},code=compute_{}{}`",
    capability.0, capability.1, contents, capability.0, capability.1, capability.0, capability.1
)]
pub struct NoImage {
    /// What the device reports.
    pub capability: (u32, u32),
    /// What is inside, `machine code (SASS) for sm_80, sm_90; PTX for sm_120`.
    pub contents: String,
}

/// The best PTX for a device: the highest target that the device can run. Targets with `a` need exactly the device's compute
/// capability, targets with `f` the same major number and at most its minor; of two that tie, the more specific one.
///
/// # Errors
/// [`NoImage`] where there is none.
pub fn best_ptx<'f, 'a>(fatbin: &'f Fatbin<'a>, capability: (u32, u32)) -> Result<&'f Entry<'a>, NoImage> {
    let own = capability.0.saturating_mul(10).saturating_add(capability.1);
    let runs = |entry: &&Entry<'_>| match entry.target {
        Target::Plain => entry.sm <= own,
        Target::ArchSpecific => entry.sm == own,
        Target::Family => entry.sm <= own && entry.sm / 10 == capability.0,
    };
    let specific = |entry: &Entry<'_>| match entry.target {
        Target::Plain => 0,
        Target::Family => 1,
        Target::ArchSpecific => 2,
    };
    fatbin
        .entries()
        .iter()
        .filter(|e| e.kind == Kind::Ptx)
        .filter(runs)
        .max_by_key(|e| (e.sm, specific(e)))
        .ok_or_else(|| NoImage {
            capability,
            contents: contents(fatbin),
        })
}

fn contents(fatbin: &Fatbin<'_>) -> String {
    let list = |kind: Kind| {
        let names: BTreeSet<(u32, &str)> = fatbin
            .entries()
            .iter()
            .filter(|e| e.kind == kind)
            .map(|e| {
                let suffix = match e.target {
                    Target::Plain => "",
                    Target::ArchSpecific => "a",
                    Target::Family => "f",
                };
                (e.sm, suffix)
            })
            .collect();
        names
            .iter()
            .map(|(sm, suffix)| format!("sm_{sm}{suffix}"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let (cubins, texts) = (list(Kind::Cubin), list(Kind::Ptx));
    match (cubins.is_empty(), texts.is_empty()) {
        (true, true) => "nothing".to_owned(),
        (false, true) => format!("only machine code (SASS) for {cubins}"),
        (true, false) => format!("PTX for {texts}"),
        (false, false) => format!("machine code (SASS) for {cubins} and PTX for {texts}"),
    }
}
