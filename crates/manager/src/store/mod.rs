//! The state of the host in SQLite: GPUs, vGPUs, events.
//!
//! Every change is one transaction, checked inside it and durable when it returns (WAL, synchronous FULL). The sum of the frame
//! buffers in `vgpu` is what is reserved: creation inserts the row before anything else is done, deletion removes it after
//! everything else is undone.
//!
//! ```text
//!  gpu(position, uuid, board) ◀── vgpu(uuid, name, type, gpu, frame_buffer_bytes, arena, state, ...)
//!  event(sequence, time_ms, kind, vgpu, message)                          the last MOST_EVENTS
//! ```

mod events;
mod gpus;
mod schema;
mod vgpus;

pub use gpus::GpuRow;
pub(crate) use vgpus::held_mib;
pub use vgpus::{NewVgpu, VgpuRow};

use crate::Error;
use rusqlite::{Connection, TransactionBehavior};
use std::path::Path;

/// Events kept.
pub const MOST_EVENTS: u64 = 10_000;
/// Arenas of virtual addresses on a host: 1 TiB each from 0x2000_0000_0000, below where programs are mapped.
pub const MOST_ARENAS: u32 = 64;

/// The open state.
pub struct Store {
    connection: Connection,
}

impl Store {
    /// Opens the database at this path, made or brought up to date as needed.
    ///
    /// # Errors
    /// The file cannot be used, or a later version wrote it.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let mut connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        schema::migrate(&mut connection, path)?;
        Ok(Self { connection })
    }

    /// A transaction that has the database to itself from its start, so that what it reads stays true until it commits.
    fn begin(&mut self) -> Result<rusqlite::Transaction<'_>, Error> {
        Ok(self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?)
    }
}

/// A size for SQLite, whose integers are signed.
fn to_sql(bytes: u64) -> Result<i64, Error> {
    i64::try_from(bytes).map_err(|_| Error::StateDamaged {
        what: format!("{bytes} does not fit a database integer"),
    })
}

/// A column that is never negative.
fn unsigned<T: TryFrom<i64>>(value: i64, column: usize) -> rusqlite::Result<T> {
    T::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, value))
}
