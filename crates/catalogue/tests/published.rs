//! The published numbers, typed in a second time: a slip in the data files shows here.

use std::collections::BTreeMap;
use tessera_catalogue::{Architecture, Mode, Series, catalogue};

#[test]
fn boards_per_architecture() {
    let mut counts: BTreeMap<Architecture, usize> = BTreeMap::new();
    for board in catalogue().boards() {
        *counts.entry(board.architecture).or_default() += 1;
    }
    let expected = [
        (Architecture::Volta, 6),
        (Architecture::Turing, 3),
        (Architecture::Ampere, 15),
        (Architecture::Ada, 8),
        (Architecture::Hopper, 14),
        (Architecture::Blackwell, 8),
    ];
    assert_eq!(counts, BTreeMap::from(expected));
    assert_eq!(catalogue().boards().len(), 54);
}

#[test]
fn types_per_mode_and_series() {
    let count = |mode: Mode, series: Series| {
        let types = catalogue().boards().iter().flat_map(|board| &board.vgpu_types);
        types
            .filter(|ty| ty.mode == mode && ty.series() == series)
            .count()
    };
    assert_eq!(count(Mode::TimeSliced, Series::C), 281);
    assert_eq!(count(Mode::TimeSliced, Series::Q), 192);
    assert_eq!(count(Mode::MigBacked, Series::C), 180);
    assert_eq!(count(Mode::MigBacked, Series::Q), 3);
    assert_eq!(count(Mode::TimeSlicedMigBacked, Series::C), 11);
    assert_eq!(count(Mode::TimeSlicedMigBacked, Series::Q), 12);
    let all: usize = catalogue()
        .boards()
        .iter()
        .map(|board| board.vgpu_types.len())
        .sum();
    assert_eq!(all, 679);
}

/// AI Enterprise 6.2 and 7, H100 PCIe 80 GB: GB of the type, most vGPUs in equal-size and in mixed-size mode.
#[test]
fn time_sliced_maxima_of_the_h100_pcie() {
    let board = catalogue().board("h100-pcie-80gb").unwrap();
    let published: [(u32, u32, u32); 8] = [
        (80, 1, 1),
        (40, 2, 2),
        (20, 4, 4),
        (16, 5, 4),
        (10, 8, 8),
        (8, 10, 8),
        (5, 16, 16),
        (4, 20, 16),
    ];
    let found: Vec<(u32, u32, u32)> = board
        .types_of_mode(Mode::TimeSliced)
        .map(|ty| {
            (
                ty.parsed.gb,
                ty.max_per_gpu.unwrap(),
                ty.max_per_gpu_mixed_size.unwrap(),
            )
        })
        .collect();
    assert_eq!(found, published);
}

/// AI Enterprise 5.0, placement table of the 80 GB boards.
#[test]
fn placement_table_of_80_gb_boards() {
    let published: [(&str, &[u32]); 8] = [
        ("80C", &[0]),
        ("40C", &[0, 40]),
        ("20C", &[0, 20, 40, 60]),
        ("16C", &[0, 24, 40, 64]),
        ("10C", &[0, 10, 20, 30, 40, 50, 60, 70]),
        ("8C", &[0, 12, 20, 32, 40, 52, 60, 72]),
        (
            "5C",
            &[0, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60, 65, 70, 75],
        ),
        (
            "4C",
            &[0, 6, 10, 16, 20, 26, 30, 36, 40, 46, 50, 56, 60, 66, 70, 76],
        ),
    ];
    for prefix in ["H100", "H100XM", "H800", "H800XM"] {
        let board = catalogue().board(prefix).unwrap();
        for (size, ids) in published {
            let vgpu_type = board.vgpu_type(&format!("{prefix}-{size}")).unwrap();
            assert_eq!(
                vgpu_type.placement_ids_mixed_size.as_deref(),
                Some(ids),
                "{}",
                vgpu_type.name
            );
        }
    }
}

/// `nvidia-smi mig -lgip` on an H100 PCIe 80 GB: name, id, slices, memory slices, most instances, starts.
#[test]
fn gpu_instance_profiles_of_the_h100_pcie() {
    type Row = (&'static str, u32, u32, u32, u32, &'static [u32]);
    let published: [Row; 7] = [
        ("1g.10gb", 19, 1, 1, 7, &[0, 1, 2, 3, 4, 5, 6]),
        ("1g.10gb+me", 20, 1, 1, 1, &[0, 1, 2, 3, 4, 5, 6]),
        ("1g.20gb", 15, 1, 2, 4, &[0, 2, 4, 6]),
        ("2g.20gb", 14, 2, 2, 3, &[0, 2, 4]),
        ("3g.40gb", 9, 3, 4, 2, &[0, 4]),
        ("4g.40gb", 5, 4, 4, 1, &[0]),
        ("7g.80gb", 0, 7, 8, 1, &[0]),
    ];
    let board = catalogue().board("H100").unwrap();
    assert_eq!(board.mig_profiles.len(), published.len());
    for (name, id, slices, memory_slices, most, starts) in published {
        let profile = board.mig_profile(name).unwrap();
        assert_eq!(profile.gi_profile_id, Some(id), "{name}");
        assert_eq!(
            (profile.slices, profile.memory_slices, profile.max_instances),
            (slices, memory_slices, most)
        );
        assert_eq!(profile.placements.as_ref().unwrap().starts, starts, "{name}");
    }
}

/// Rows that other parts rely on, one per architecture.
#[test]
fn boards_are_what_they_are_known_as() {
    let expect = [
        ("h100-sxm5-80gb", (9, 0), Some(132), 80 << 30),
        ("a100-hgx-80gb", (8, 0), Some(108), 80 << 30),
        ("l40s", (8, 9), Some(142), 48 << 30),
        ("t4", (7, 5), Some(40), 16 << 30),
        ("v100-pcie-16gb", (7, 0), Some(80), 16 << 30),
        ("rtx-pro-6000-server", (12, 0), Some(188), 96 << 30),
    ];
    for (id, capability, sm_count, memory) in expect {
        let board = catalogue().board(id).unwrap();
        assert_eq!(board.compute_capability, Some(capability), "{id}");
        assert_eq!((board.sm_count, board.memory_bytes()), (sm_count, memory), "{id}");
    }
}

#[test]
fn limits_that_hold_for_every_board() {
    let limits = catalogue().limits();
    assert_eq!(limits.max_vgpus_per_physical_gpu, 48);
    assert_eq!(limits.max_non_mig_vgpus_per_physical_gpu, 32);
    assert_eq!(limits.max_vgpus_per_gpu_instance, 12);
    assert_eq!(limits.max_vgpus_per_vm, 16);
    assert_eq!(limits.c_series_cap_per_gpu.boards_of_48_gb, 12);
    assert!(catalogue().series(Series::C).unwrap().cuda);
    assert!(!catalogue().series(Series::B).unwrap().cuda);
    assert_eq!(
        catalogue().frame_buffer_reservation().compression_mib["T4-16C"],
        28
    );
}
