//! What happened, in order.

use super::{MOST_EVENTS, Store, to_sql, unsigned};
use crate::Error;
use rusqlite::{Transaction, params};
use tessera_client::{Event, EventKind};
use uuid::Uuid;

impl Store {
    /// Records something that changes nothing else; gives its sequence number.
    ///
    /// # Errors
    /// The database failed.
    pub fn record(
        &mut self,
        now_ms: u64,
        kind: EventKind,
        vgpu: Option<Uuid>,
        message: &str,
    ) -> Result<u64, Error> {
        let transaction = self.begin()?;
        let sequence = insert(&transaction, now_ms, kind, vgpu, message)?;
        transaction.commit()?;
        Ok(sequence)
    }

    /// Events after a sequence number, oldest first, at most `most`.
    ///
    /// # Errors
    /// The database failed.
    pub fn events(&mut self, after: u64, most: u32) -> Result<Vec<Event>, Error> {
        let mut statement = self.connection.prepare_cached(
            "SELECT sequence, time_ms, kind, vgpu, message FROM event WHERE sequence > ?1 ORDER BY sequence LIMIT ?2",
        )?;
        let mut rows = statement.query(params![i64::try_from(after).unwrap_or(i64::MAX), most])?;
        let mut events = Vec::new();
        while let Some(row) = rows.next()? {
            let (kind, vgpu): (String, Option<String>) = (row.get(2)?, row.get(3)?);
            let damaged = |what: &str| Error::StateDamaged {
                what: format!("`{what}` in an event"),
            };
            events.push(Event {
                sequence: unsigned(row.get(0)?, 0)?,
                time_ms: unsigned(row.get(1)?, 1)?,
                kind: parse_kind(&kind).ok_or_else(|| damaged(&kind))?,
                vgpu: vgpu
                    .map(|text| text.parse().map_err(|_| damaged(&text)))
                    .transpose()?,
                message: row.get(4)?,
            });
        }
        Ok(events)
    }
}

pub(super) fn insert(
    transaction: &Transaction<'_>,
    now_ms: u64,
    kind: EventKind,
    vgpu: Option<Uuid>,
    message: &str,
) -> Result<u64, Error> {
    transaction.execute(
        "INSERT INTO event (time_ms, kind, vgpu, message) VALUES (?1, ?2, ?3, ?4)",
        params![
            to_sql(now_ms)?,
            kind.as_str(),
            vgpu.map(|vgpu| vgpu.to_string()),
            message
        ],
    )?;
    let sequence = unsigned(transaction.last_insert_rowid(), 0)?;
    if sequence > MOST_EVENTS {
        transaction.execute(
            "DELETE FROM event WHERE sequence <= ?1",
            [to_sql(sequence - MOST_EVENTS)?],
        )?;
    }
    Ok(sequence)
}

fn parse_kind(text: &str) -> Option<EventKind> {
    let all = [
        EventKind::ManagerStarted,
        EventKind::VgpuCreated,
        EventKind::WorkerStarted,
        EventKind::WorkerTakenBack,
        EventKind::WorkerDied,
        EventKind::VgpuFailed,
        EventKind::VgpuDeleted,
    ];
    all.into_iter().find(|kind| kind.as_str() == text)
}
