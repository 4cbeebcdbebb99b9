//! The tables and how older states become the present one.

use crate::Error;
use rusqlite::{Connection, TransactionBehavior};
use std::path::Path;

/// Step `i` leads from version `i` to version `i + 1`. Steps are never changed once released, only added.
const STEPS: [&str; 2] = [
    "
    CREATE TABLE gpu (
        position INTEGER PRIMARY KEY CHECK (position >= 0),
        uuid TEXT NOT NULL UNIQUE,
        board TEXT NOT NULL
    ) STRICT;
    CREATE TABLE vgpu (
        uuid TEXT PRIMARY KEY,
        name TEXT UNIQUE,
        type TEXT NOT NULL,
        gpu TEXT NOT NULL REFERENCES gpu (uuid),
        frame_buffer_bytes INTEGER NOT NULL CHECK (frame_buffer_bytes > 0),
        arena INTEGER NOT NULL UNIQUE CHECK (arena >= 0),
        state TEXT NOT NULL CHECK (state IN ('starting', 'running', 'failed', 'deleting')),
        capability TEXT,
        restarts INTEGER NOT NULL DEFAULT 0,
        last_failure TEXT,
        created_at_ms INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX vgpu_by_gpu ON vgpu (gpu);
    CREATE TABLE event (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT,
        time_ms INTEGER NOT NULL,
        kind TEXT NOT NULL,
        vgpu TEXT,
        message TEXT NOT NULL
    ) STRICT;
    ",
    "ALTER TABLE vgpu ADD COLUMN enable_uvm INTEGER NOT NULL DEFAULT 0 CHECK (enable_uvm IN (0, 1));",
];

pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), Error> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let known = i64::try_from(STEPS.len()).unwrap_or(i64::MAX);
    let done = usize::try_from(found).ok().filter(|&done| done <= STEPS.len());
    let Some(done) = done else {
        return Err(Error::StateTooNew {
            path: path.to_owned(),
            found,
            known,
        });
    };
    for step in STEPS.iter().skip(done) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "user_version", known)?;
    Ok(transaction.commit()?)
}
