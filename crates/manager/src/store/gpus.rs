//! The physical GPUs.

use super::{Store, unsigned};
use crate::Error;
use rusqlite::{Transaction, params};
use std::str::FromStr as _;
use tessera_catalogue::{Board, catalogue};
use uuid::Uuid;

/// A physical GPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpuRow {
    /// Number on the host.
    pub position: u32,
    /// `GPU-...`.
    pub uuid: String,
    /// Id of the board in the catalogue.
    pub board: String,
}

impl GpuRow {
    /// The board in the catalogue.
    ///
    /// # Errors
    /// The catalogue has lost it.
    pub fn facts(&self) -> Result<&'static Board, Error> {
        Ok(catalogue().board(&self.board)?)
    }
}

impl Store {
    /// All GPUs, by number.
    ///
    /// # Errors
    /// The database failed.
    pub fn gpus(&mut self) -> Result<Vec<GpuRow>, Error> {
        let transaction = self.begin()?;
        gpus(&transaction)
    }

    /// Makes the GPUs of the state those declared, in order. A GPU whose board stays keeps its UUID; one that changes or goes must
    /// hold no vGPU.
    ///
    /// # Errors
    /// A GPU that holds vGPUs would change.
    pub fn declare_gpus(&mut self, boards: &[&Board]) -> Result<Vec<GpuRow>, Error> {
        let transaction = self.begin()?;
        let present = gpus(&transaction)?;
        for row in &present {
            let declared = usize::try_from(row.position)
                .ok()
                .and_then(|position| boards.get(position));
            if declared.is_some_and(|board| board.id == row.board) {
                continue;
            }
            if let Some(vgpu) = first_vgpu(&transaction, &row.uuid)? {
                let now = declared.map_or_else(|| "not there".to_owned(), |board| board.id.clone());
                return Err(Error::GpuHoldsVgpus {
                    gpu: row.position,
                    was: row.board.clone(),
                    now,
                    vgpu,
                });
            }
            transaction.execute("DELETE FROM gpu WHERE uuid = ?1", [&row.uuid])?;
        }
        for (position, board) in boards.iter().enumerate() {
            let position = i64::try_from(position).unwrap_or(i64::MAX);
            transaction.execute(
                "INSERT OR IGNORE INTO gpu (position, uuid, board) VALUES (?1, ?2, ?3)",
                params![position, format!("GPU-{}", Uuid::new_v4()), board.id],
            )?;
        }
        let rows = gpus(&transaction)?;
        transaction.commit()?;
        Ok(rows)
    }
}

pub(super) fn gpus(transaction: &Transaction<'_>) -> Result<Vec<GpuRow>, Error> {
    let mut statement =
        transaction.prepare_cached("SELECT position, uuid, board FROM gpu ORDER BY position")?;
    let rows = statement.query_map([], |row| {
        Ok(GpuRow {
            position: unsigned(row.get(0)?, 0)?,
            uuid: row.get(1)?,
            board: row.get(2)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn first_vgpu(transaction: &Transaction<'_>, gpu: &str) -> Result<Option<Uuid>, Error> {
    let mut statement = transaction.prepare_cached("SELECT uuid FROM vgpu WHERE gpu = ?1 LIMIT 1")?;
    let mut rows = statement.query([gpu])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let text: String = row.get(0)?;
    let damaged = |_| Error::StateDamaged {
        what: format!("`{text}` is not a UUID"),
    };
    Uuid::from_str(&text).map(Some).map_err(damaged)
}
