//! What may be created on a GPU: the vendor's rules for time-sliced vGPUs in equal-size mode.
//!
//! Pure: the board, the type and the types already there go in, a verdict comes out. In the vendor's order:
//! 1. a MIG-backed type needs MIG mode;
//! 2. the first vGPU fixes the frame buffer size, until the last one is gone; series may mix;
//! 3. the type's maximum, the limit of time-sliced vGPUs, and the memory must not be exceeded.
//!
//! Mixed-size mode and MIG mode are not there yet, so they are off on every GPU.

use tessera_catalogue::{Board, Mode, VgpuType, catalogue};

/// Why a vGPU may not be created.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The type needs MIG mode.
    #[error(
        "{vgpu_type} is a {mode} type and MIG mode is off on the GPU (this version cannot turn it on); choose a time-sliced type"
    )]
    MigIsOff {
        /// The type.
        vgpu_type: String,
        /// Its mode.
        mode: Mode,
    },
    /// The GPU's vGPUs have another size.
    #[error(
        "{vgpu_type} has {wanted_mib} MiB, but the vGPUs on the GPU have {held_mib} MiB each and the GPU is in equal-size mode; choose a type of {held_mib} MiB, another GPU, or delete the vGPUs first"
    )]
    OtherSize {
        /// The type.
        vgpu_type: String,
        /// Its frame buffer.
        wanted_mib: u64,
        /// Frame buffer of those on the GPU.
        held_mib: u64,
    },
    /// The type's maximum is reached.
    #[error("the GPU has {held} vGPUs, as many as {vgpu_type} allows; delete one or choose another GPU")]
    MaximumReached {
        /// The type.
        vgpu_type: String,
        /// vGPUs on the GPU.
        held: usize,
    },
    /// The memory is reserved.
    #[error(
        "{vgpu_type} needs {wanted_mib} MiB of frame buffer and the GPU has {free_mib} MiB left; delete a vGPU or choose another GPU"
    )]
    NoFrameBuffer {
        /// The type.
        vgpu_type: String,
        /// Its frame buffer.
        wanted_mib: u64,
        /// What is left.
        free_mib: u64,
    },
    /// The type has a part of the frame buffer only.
    #[error(
        "{vgpu_type} has a part of the GPU's frame buffer and unified memory needs all of it; choose the largest type of the board"
    )]
    NoUnifiedMemory {
        /// The type.
        vgpu_type: String,
    },
}

impl Refusal {
    /// The reason in a few words, for tables.
    pub fn summary(&self) -> String {
        match self {
            Self::MigIsOff { .. } => "MIG mode is off".to_owned(),
            Self::OtherSize { held_mib, .. } => {
                format!("equal-size mode, the vGPUs there have {held_mib} MiB")
            }
            Self::MaximumReached { .. } => "as many as the GPU takes are there".to_owned(),
            Self::NoFrameBuffer { free_mib, .. } => format!("only {free_mib} MiB are left"),
            Self::NoUnifiedMemory { .. } => "unified memory needs the whole frame buffer".to_owned(),
        }
    }
}

/// Whether a vGPU of the type may be created on a GPU of the board that holds vGPUs of these frame buffer sizes (MiB).
///
/// # Errors
/// The first rule that is broken.
pub fn admit(board: &Board, vgpu_type: &VgpuType, held_mib: &[u64]) -> Result<(), Refusal> {
    let name = || vgpu_type.name.clone();
    let wanted_mib = vgpu_type.frame_buffer_mib();
    if vgpu_type.mode != Mode::TimeSliced {
        return Err(Refusal::MigIsOff {
            vgpu_type: name(),
            mode: vgpu_type.mode,
        });
    }
    if let Some(&held_mib) = held_mib.iter().find(|&&mib| mib != wanted_mib) {
        return Err(Refusal::OtherSize {
            vgpu_type: name(),
            wanted_mib,
            held_mib,
        });
    }
    let limit = catalogue().limits().max_non_mig_vgpus_per_physical_gpu;
    let most = vgpu_type.max_per_gpu.map_or(limit, |most| most.min(limit));
    if held_mib.len() >= usize::try_from(most).unwrap_or(usize::MAX) {
        return Err(Refusal::MaximumReached {
            vgpu_type: name(),
            held: held_mib.len(),
        });
    }
    let reserved = held_mib.iter().fold(0u64, |sum, &mib| sum.saturating_add(mib));
    let free_mib = board.vgpu_memory_mib().saturating_sub(reserved);
    if wanted_mib > free_mib {
        return Err(Refusal::NoFrameBuffer {
            vgpu_type: name(),
            wanted_mib,
            free_mib,
        });
    }
    Ok(())
}

/// Whether a vGPU of the type may have unified memory: a time-sliced one that has the whole frame buffer, or one with a GPU instance
/// of its own.
///
/// # Errors
/// It may not.
pub fn admit_unified_memory(vgpu_type: &VgpuType) -> Result<(), Refusal> {
    if vgpu_type.mode == Mode::MigBacked || vgpu_type.max_per_gpu == Some(1) {
        Ok(())
    } else {
        Err(Refusal::NoUnifiedMemory {
            vgpu_type: vgpu_type.name.clone(),
        })
    }
}

/// How many vGPUs of the type can be created one after the other, and what stops the next.
pub fn creatable(board: &Board, vgpu_type: &VgpuType, held_mib: &[u64]) -> (u32, Refusal) {
    let mut held = held_mib.to_vec();
    let mut count = 0;
    loop {
        match admit(board, vgpu_type, &held) {
            Ok(()) => {
                held.push(vgpu_type.frame_buffer_mib());
                count += 1;
            }
            Err(refusal) => return (count, refusal),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn h100() -> &'static Board {
        catalogue().board("h100-pcie-80gb").unwrap()
    }

    #[test]
    fn unified_memory_needs_the_whole_frame_buffer() {
        let allowed = |name: &str| admit_unified_memory(h100().vgpu_type(name).unwrap()).is_ok();
        assert!(allowed("H100-80C"));
        assert!(!allowed("H100-40C"));
        assert!(allowed("H100-1-10C"), "MIG-backed");
    }

    #[test]
    fn the_first_vgpu_fixes_the_size() {
        let board = h100();
        let of_20 = board.vgpu_type("H100-20C").unwrap();
        let of_40 = board.vgpu_type("H100-40C").unwrap();
        assert_eq!(admit(board, of_20, &[]), Ok(()));
        assert_eq!(admit(board, of_40, &[]), Ok(()));
        let refusal = admit(board, of_40, &[20480]).unwrap_err();
        assert!(
            matches!(
                refusal,
                Refusal::OtherSize {
                    wanted_mib: 40960,
                    held_mib: 20480,
                    ..
                }
            ),
            "{refusal}"
        );
        assert_eq!(admit(board, of_20, &[20480, 20480]), Ok(()));
    }

    #[test]
    fn series_of_one_size_mix() {
        let board = catalogue().board("l40s").unwrap();
        let compute = board.vgpu_type("L40S-24C").unwrap();
        let workstation = board.vgpu_type("L40S-24Q").unwrap();
        assert_eq!(admit(board, workstation, &[compute.frame_buffer_mib()]), Ok(()));
    }

    #[test]
    fn the_maximum_holds() {
        let board = h100();
        let of_20 = board.vgpu_type("H100-20C").unwrap();
        let refusal = admit(board, of_20, &[20480; 4]).unwrap_err();
        assert!(
            matches!(refusal, Refusal::MaximumReached { held: 4, .. }),
            "{refusal}"
        );
        assert_eq!(creatable(board, of_20, &[]).0, 4);
        assert_eq!(creatable(board, of_20, &[20480]).0, 3);
        assert_eq!(creatable(board, of_20, &[40960]).0, 0);
    }

    #[test]
    fn mig_types_are_refused_while_mig_is_off() {
        let board = h100();
        let mig = board.vgpu_type("H100-2-20C").unwrap();
        assert!(matches!(admit(board, mig, &[]), Err(Refusal::MigIsOff { .. })));
    }

    #[test]
    fn every_published_type_can_be_created_up_to_its_maximum() {
        for board in catalogue().boards() {
            for ty in board.types_of_mode(Mode::TimeSliced) {
                let (count, _) = creatable(board, ty, &[]);
                assert_eq!(Some(count), ty.max_per_gpu, "{} on {}", ty.name, board.name);
                assert!(
                    u64::from(count) * ty.frame_buffer_mib() <= board.vgpu_memory_mib(),
                    "{}",
                    ty.name
                );
            }
        }
    }
}
