//! The state: reservation never over-commits, steps keep to the table, older files are read.

use proptest::prelude::*;
use std::{collections::HashSet, path::Path};
use tessera_catalogue::catalogue;
use tessera_client::{CreateVgpu, EventKind, VgpuState};
use tessera_manager::{
    Error,
    life::Step,
    store::{MOST_ARENAS, MOST_EVENTS, NewVgpu, Store, VgpuRow},
};
use uuid::Uuid;

fn open(directory: &Path, boards: &[&str]) -> Store {
    let mut store = Store::open(&directory.join("state.db")).unwrap();
    let boards: Vec<_> = boards
        .iter()
        .map(|board| catalogue().board(board).unwrap())
        .collect();
    store.declare_gpus(&boards).unwrap();
    store
}

fn request(vgpu_type: &str, name: Option<&str>) -> CreateVgpu {
    CreateVgpu {
        vgpu_type: vgpu_type.into(),
        name: name.map(Into::into),
        ..CreateVgpu::default()
    }
}

/// With unified memory or without.
fn reserve_uvm(store: &mut Store, vgpu_type: &str, enable_uvm: bool) -> Result<VgpuRow, Error> {
    let request = CreateVgpu {
        enable_uvm,
        ..request(vgpu_type, None)
    };
    store.reserve(&NewVgpu {
        uuid: Uuid::new_v4(),
        request: &request,
        gpu: None,
        now_ms: 1,
    })
}

#[test]
fn unified_memory_is_kept_and_needs_the_whole_frame_buffer() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path(), &["h100-pcie-80gb"]);
    let refused = reserve_uvm(&mut store, "H100-40C", true).unwrap_err();
    assert!(refused.to_string().contains("unified memory"), "{refused}");
    let with = reserve_uvm(&mut store, "H100-80C", true).unwrap();
    assert!(with.enable_uvm && store.vgpu(with.uuid).unwrap().enable_uvm);
    drop(store);
    let mut store = Store::open(&directory.path().join("state.db")).unwrap();
    assert!(store.vgpu(with.uuid).unwrap().enable_uvm);
}

fn reserve(store: &mut Store, vgpu_type: &str) -> Result<VgpuRow, Error> {
    let request = request(vgpu_type, None);
    store.reserve(&NewVgpu {
        uuid: Uuid::new_v4(),
        request: &request,
        gpu: None,
        now_ms: 1,
    })
}

fn delete(store: &mut Store, uuid: Uuid) {
    store.step(uuid, Step::Delete, 2, None).unwrap();
    store.remove(uuid, 3).unwrap();
}

/// What must hold whatever was done: on each GPU one size, no more bytes than it has; arenas and identities apart.
fn check_ledger(store: &mut Store) -> Result<(), TestCaseError> {
    let rows = store.vgpus().unwrap();
    for gpu in store.gpus().unwrap() {
        let on: Vec<&VgpuRow> = rows.iter().filter(|row| row.gpu == gpu.uuid).collect();
        let sum: u64 = on.iter().map(|row| row.frame_buffer_bytes).sum();
        prop_assert!(sum <= gpu.facts().unwrap().vgpu_memory_mib() << 20);
        let sizes: HashSet<u64> = on.iter().map(|row| row.frame_buffer_bytes).collect();
        prop_assert!(sizes.len() <= 1);
    }
    let arenas: HashSet<u32> = rows.iter().map(|row| row.arena).collect();
    prop_assert_eq!(arenas.len(), rows.len());
    prop_assert!(arenas.iter().all(|&arena| arena < MOST_ARENAS));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_sequence_of_creations_and_deletions_over_commits(
        steps in prop::collection::vec((0usize..8, any::<prop::sample::Index>()), 1..40)
    ) {
        let directory = tempfile::tempdir().unwrap();
        let mut store = open(directory.path(), &["H100", "H100", "T4"]);
        let types = ["H100-80C", "H100-40C", "H100-20C", "H100-16C", "H100-2-20C", "T4-8Q", "T4-16C"];
        for (kind, which) in steps {
            let rows = store.vgpus().unwrap();
            if kind == 7 && !rows.is_empty() {
                delete(&mut store, which.get(&rows).uuid);
            } else {
                let wanted = *which.get(&types);
                let _ = reserve(&mut store, wanted); // refusals are part of the game
            }
            check_ledger(&mut store)?;
        }
    }
}

#[test]
fn a_gpu_is_filled_and_freed() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path(), &["H100"]);
    let rows: Vec<VgpuRow> = (0..4)
        .map(|_| reserve(&mut store, "NVIDIA H100-20C").unwrap())
        .collect();
    assert!(
        rows.iter()
            .all(|row| row.state == VgpuState::Starting && row.vgpu_type == "H100-20C")
    );
    let error = reserve(&mut store, "H100-20C").unwrap_err().to_string();
    assert!(
        error.contains("GPU 0") && error.contains("as many as H100-20C allows"),
        "{error}"
    );
    let error = reserve(&mut store, "H100-40C").unwrap_err().to_string();
    assert!(
        error.contains("40960 MiB") && error.contains("20480 MiB each"),
        "{error}"
    );
    delete(&mut store, rows[1].uuid);
    let again = reserve(&mut store, "H100-20C").unwrap();
    assert_eq!(again.arena, rows[1].arena);
    for row in store.vgpus().unwrap() {
        delete(&mut store, row.uuid);
    }
    reserve(&mut store, "H100-80C").unwrap();
}

#[test]
fn the_next_gpu_is_taken_when_one_is_full() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path(), &["H100", "T4", "H100"]);
    let gpus = store.gpus().unwrap();
    assert_eq!(reserve(&mut store, "H100-80C").unwrap().gpu, gpus[0].uuid);
    assert_eq!(reserve(&mut store, "H100-80C").unwrap().gpu, gpus[2].uuid);
    assert!(matches!(
        reserve(&mut store, "H100-80C"),
        Err(Error::Refused { gpu: 0, .. })
    ));
    assert!(matches!(
        reserve(&mut store, "A100-20C"),
        Err(Error::NoGpuHasType { .. })
    ));
}

#[test]
fn a_name_is_given_once_and_looks_like_one() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path(), &["H100"]);
    let mut named = |name: &str| {
        let request = request("H100-20C", Some(name));
        store.reserve(&NewVgpu {
            uuid: Uuid::new_v4(),
            request: &request,
            gpu: None,
            now_ms: 1,
        })
    };
    named("train.a_1-b").unwrap();
    assert!(matches!(named("train.a_1-b"), Err(Error::NameTaken { .. })));
    let uuid = Uuid::new_v4()
        .to_string()
        .replace(|c: char| c.is_ascii_digit(), "a");
    for bad in ["", "1a", "-a", "a b", "a/b", "\u{e9}", &"a".repeat(64), &uuid] {
        assert!(matches!(named(bad), Err(Error::BadName { .. })), "{bad}");
    }
}

#[test]
fn arenas_run_out_with_a_clear_error() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path(), &["H100"; 5]);
    let mut made = 0;
    let error = loop {
        match reserve(&mut store, "H100-5C") {
            Ok(_) => made += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(made, MOST_ARENAS);
    assert!(matches!(error, Error::NoArena { limit: MOST_ARENAS }), "{error}");
}

#[test]
fn steps_keep_to_the_table() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path(), &["H100"]);
    let uuid = reserve(&mut store, "H100-20C").unwrap().uuid;
    assert!(
        store.remove(uuid, 1).is_err(),
        "only what is being deleted is removed"
    );
    let died = Some((EventKind::WorkerDied, "signal 9"));
    assert_eq!(
        store.step(uuid, Step::Answered, 1, None).unwrap().state,
        VgpuState::Running
    );
    let row = store.step(uuid, Step::DiedToRestart, 2, died).unwrap();
    assert_eq!(
        (row.state, row.restarts, row.last_failure.as_deref()),
        (VgpuState::Starting, 1, Some("signal 9"))
    );
    assert_eq!(
        store.step(uuid, Step::DiedForGood, 3, None).unwrap().state,
        VgpuState::Failed
    );
    assert!(store.step(uuid, Step::Answered, 4, None).is_err());
    delete(&mut store, uuid);
    assert!(matches!(store.vgpu(uuid), Err(Error::UnknownVgpu { .. })));
    let kinds: Vec<EventKind> = store
        .events(0, 10)
        .unwrap()
        .iter()
        .map(|event| event.kind)
        .collect();
    assert_eq!(
        kinds,
        [
            EventKind::VgpuCreated,
            EventKind::WorkerDied,
            EventKind::VgpuDeleted
        ]
    );
}

#[test]
fn gpus_keep_their_identity_and_cannot_go_while_in_use() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path(), &["H100", "T4"]);
    let before = store.gpus().unwrap();
    assert!(before[0].uuid.starts_with("GPU-") && before[0].uuid != before[1].uuid);
    reserve(&mut store, "T4-16C").unwrap();
    drop(store);
    let mut store = open(directory.path(), &["H100", "T4", "L4"]);
    assert_eq!(store.gpus().unwrap()[..2], before[..]);
    let l4 = catalogue().board("L4").unwrap();
    let error = store.declare_gpus(&[l4, l4]).unwrap_err().to_string();
    assert!(error.contains("GPU 1 is a t4 in the state and l4"), "{error}");
    assert_eq!(
        store.gpus().unwrap().len(),
        3,
        "a refused declaration changes nothing"
    );
    let uuid = store.vgpus().unwrap()[0].uuid;
    delete(&mut store, uuid);
    let after = store.declare_gpus(&[l4, l4]).unwrap();
    assert!(after.len() == 2 && after.iter().all(|gpu| gpu.board == "l4"));
}

#[test]
fn only_the_latest_events_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    let mut store = open(directory.path(), &["H100"]);
    store.record(1, EventKind::ManagerStarted, None, "first").unwrap();
    // As if many had been before; one by one would take a while.
    let skip = format!(
        "UPDATE sqlite_sequence SET seq = {} WHERE name = 'event'",
        MOST_EVENTS + 4
    );
    rusqlite::Connection::open(&path)
        .unwrap()
        .execute_batch(&skip)
        .unwrap();
    let sequence = store.record(2, EventKind::ManagerStarted, None, "last").unwrap();
    assert_eq!(sequence, MOST_EVENTS + 5);
    let events = store.events(0, 10).unwrap();
    assert_eq!(events.len(), 1, "the first one was dropped");
    assert_eq!(events[0].message, "last");
}

/// A state as version 1 wrote it. This text does not change when the schema does.
const VERSION_1: &str = "
    CREATE TABLE gpu (position INTEGER PRIMARY KEY CHECK (position >= 0), uuid TEXT NOT NULL UNIQUE, board TEXT NOT NULL) STRICT;
    CREATE TABLE vgpu (uuid TEXT PRIMARY KEY, name TEXT UNIQUE, type TEXT NOT NULL, gpu TEXT NOT NULL REFERENCES gpu (uuid),
        frame_buffer_bytes INTEGER NOT NULL CHECK (frame_buffer_bytes > 0), arena INTEGER NOT NULL UNIQUE CHECK (arena >= 0),
        state TEXT NOT NULL CHECK (state IN ('starting', 'running', 'failed', 'deleting')), capability TEXT,
        restarts INTEGER NOT NULL DEFAULT 0, last_failure TEXT, created_at_ms INTEGER NOT NULL) STRICT;
    CREATE INDEX vgpu_by_gpu ON vgpu (gpu);
    CREATE TABLE event (sequence INTEGER PRIMARY KEY AUTOINCREMENT, time_ms INTEGER NOT NULL, kind TEXT NOT NULL, vgpu TEXT,
        message TEXT NOT NULL) STRICT;
    PRAGMA user_version = 1;
    INSERT INTO gpu VALUES (0, 'GPU-11111111-2222-3333-4444-555555555555', 'h100-pcie-80gb');
    INSERT INTO vgpu VALUES ('0f8fad5b-d9cb-469f-a165-70867728950e', 'train', 'H100-20C',
        'GPU-11111111-2222-3333-4444-555555555555', 21474836480, 3, 'running', '12.0', 2, 'signal 9', 1000);
    INSERT INTO event VALUES (7, 1000, 'worker_died', '0f8fad5b-d9cb-469f-a165-70867728950e', 'signal 9');
";

#[test]
fn a_state_of_version_1_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    rusqlite::Connection::open(&path)
        .unwrap()
        .execute_batch(VERSION_1)
        .unwrap();
    let mut store = Store::open(&path).unwrap();
    let rows = store.vgpus().unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(
        (rows[0].name.as_deref(), rows[0].arena, rows[0].state),
        (Some("train"), 3, VgpuState::Running)
    );
    assert_eq!(rows[0].capability.unwrap().to_string(), "12.0");
    assert_eq!(rows[0].frame_buffer_bytes, 20 << 30);
    assert_eq!(store.events(0, 10).unwrap()[0].sequence, 7);
}

#[test]
fn a_state_of_a_later_version_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    rusqlite::Connection::open(&path)
        .unwrap()
        .execute_batch("PRAGMA user_version = 99")
        .unwrap();
    let error = Store::open(&path).err().unwrap();
    assert!(matches!(error, Error::StateTooNew { found: 99, .. }), "{error}");
}

#[test]
fn a_damaged_row_is_an_error_and_no_panic() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path(), &["H100"]);
    reserve(&mut store, "H100-20C").unwrap();
    let path = directory.path().join("state.db");
    rusqlite::Connection::open(&path)
        .unwrap()
        .execute_batch("UPDATE vgpu SET uuid = 'x'")
        .unwrap();
    let error = store.vgpus().unwrap_err().to_string();
    assert!(error.contains("`x` in the row of vGPU x"), "{error}");
    std::fs::write(
        directory.path().join("garbage.db"),
        b"not a database, not at all, just some text",
    )
    .unwrap();
    assert!(Store::open(&directory.path().join("garbage.db")).is_err());
}
