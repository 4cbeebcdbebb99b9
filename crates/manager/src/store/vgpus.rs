//! The vGPUs: reservation, steps of their life, removal.

use super::{GpuRow, MOST_ARENAS, Store, events, gpus, to_sql, unsigned};
use crate::{
    Error, admission,
    life::{self, Step},
};
use rusqlite::{Row, Transaction, params};
use tessera_catalogue::VgpuType;
use tessera_client::{ComputeCapability, CreateVgpu, EventKind, VgpuState};
use uuid::Uuid;

/// A vGPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VgpuRow {
    /// Identity.
    pub uuid: Uuid,
    /// Name of the user's choice.
    pub name: Option<String>,
    /// Type.
    pub vgpu_type: String,
    /// UUID of the GPU.
    pub gpu: String,
    /// Reserved on the GPU, bytes.
    pub frame_buffer_bytes: u64,
    /// Arena of virtual addresses.
    pub arena: u32,
    /// Where it is in its life.
    pub state: VgpuState,
    /// Compute capability to report instead of the board's.
    pub capability: Option<ComputeCapability>,
    /// Whether guests have managed memory.
    pub enable_uvm: bool,
    /// Times that a dead worker was replaced.
    pub restarts: u32,
    /// How the worker died last.
    pub last_failure: Option<String>,
    /// Time of creation, Unix milliseconds.
    pub created_at_ms: u64,
}

/// A vGPU to be.
#[derive(Clone, Debug)]
pub struct NewVgpu<'a> {
    /// Its identity, chosen by the caller.
    pub uuid: Uuid,
    /// What the user asked for; `gpu` is ignored for [`NewVgpu::gpu`].
    pub request: &'a CreateVgpu,
    /// UUID of the GPU, or any that has the type and room.
    pub gpu: Option<&'a str>,
    /// Time, Unix milliseconds.
    pub now_ms: u64,
}

const COLUMNS: &str = "uuid, name, type, gpu, frame_buffer_bytes, arena, state, capability, restarts, last_failure, created_at_ms, enable_uvm";

impl Store {
    /// All vGPUs, by GPU and age.
    ///
    /// # Errors
    /// The database failed.
    pub fn vgpus(&mut self) -> Result<Vec<VgpuRow>, Error> {
        let transaction = self.begin()?;
        vgpus(&transaction)
    }

    /// One vGPU.
    ///
    /// # Errors
    /// There is none with this UUID.
    pub fn vgpu(&mut self, uuid: Uuid) -> Result<VgpuRow, Error> {
        let transaction = self.begin()?;
        vgpu(&transaction, uuid)
    }

    /// Reserves a vGPU: checks the rules and inserts the row in one transaction. From here on its frame buffer is held.
    ///
    /// # Errors
    /// A rule forbids it; nothing was changed.
    pub fn reserve(&mut self, new: &NewVgpu<'_>) -> Result<VgpuRow, Error> {
        let transaction = self.begin()?;
        let held = vgpus(&transaction)?;
        if let Some(name) = &new.request.name {
            check_name(name)?;
            if let Some(other) = held.iter().find(|row| row.name.as_ref() == Some(name)) {
                return Err(Error::NameTaken {
                    name: name.clone(),
                    uuid: other.uuid,
                });
            }
        }
        let (gpu, vgpu_type) = choose_gpu(&gpus::gpus(&transaction)?, &held, new)?;
        let arena = (0..MOST_ARENAS).find(|arena| held.iter().all(|row| row.arena != *arena));
        let arena = arena.ok_or(Error::NoArena { limit: MOST_ARENAS })?;
        let capability = new
            .request
            .compute_capability
            .map(|capability| capability.to_string());
        transaction.execute(
            "INSERT INTO vgpu (uuid, name, type, gpu, frame_buffer_bytes, arena, state, capability, created_at_ms, enable_uvm)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'starting', ?7, ?8, ?9)",
            params![
                new.uuid.to_string(),
                new.request.name,
                vgpu_type.name,
                gpu.uuid,
                to_sql(vgpu_type.frame_buffer_bytes())?,
                arena,
                capability,
                to_sql(new.now_ms)?,
                new.request.enable_uvm
            ],
        )?;
        let message = format!(
            "vGPU {} of type {} was created on GPU {}",
            new.uuid, vgpu_type.name, gpu.position
        );
        events::insert(
            &transaction,
            new.now_ms,
            EventKind::VgpuCreated,
            Some(new.uuid),
            &message,
        )?;
        assert_ledger(&transaction, &gpu)?;
        let row = vgpu(&transaction, new.uuid)?;
        transaction.commit()?;
        Ok(row)
    }

    /// Takes a step in the life of a vGPU and records what happened.
    ///
    /// # Errors
    /// The step does not lead anywhere from the vGPU's state.
    pub fn step(
        &mut self,
        uuid: Uuid,
        step: Step,
        now_ms: u64,
        event: Option<(EventKind, &str)>,
    ) -> Result<VgpuRow, Error> {
        let transaction = self.begin()?;
        let row = vgpu(&transaction, uuid)?;
        let Some(state) = life::next(row.state, step) else {
            let what = format!("vGPU {uuid} is {} and cannot take the step {step:?}", row.state);
            return Err(Error::StateDamaged { what });
        };
        let failure = match step {
            Step::DiedToRestart | Step::DiedForGood => event.map(|(_, message)| message),
            Step::Answered | Step::Stopped | Step::Delete => None,
        };
        transaction.execute(
            "UPDATE vgpu SET state = ?2, restarts = restarts + ?3, last_failure = coalesce(?4, last_failure)
             WHERE uuid = ?1",
            params![
                uuid.to_string(),
                state.as_str(),
                i64::from(step == Step::DiedToRestart),
                failure
            ],
        )?;
        if let Some((kind, message)) = event {
            events::insert(&transaction, now_ms, kind, Some(uuid), message)?;
        }
        let row = vgpu(&transaction, uuid)?;
        transaction.commit()?;
        Ok(row)
    }

    /// Removes a vGPU that is being deleted: the last act, which frees its frame buffer.
    ///
    /// # Errors
    /// It is not being deleted.
    pub fn remove(&mut self, uuid: Uuid, now_ms: u64) -> Result<(), Error> {
        let transaction = self.begin()?;
        let row = vgpu(&transaction, uuid)?;
        if row.state != VgpuState::Deleting {
            return Err(Error::StateDamaged {
                what: format!("vGPU {uuid} is {} and was to be removed", row.state),
            });
        }
        transaction.execute("DELETE FROM vgpu WHERE uuid = ?1", [uuid.to_string()])?;
        let message = format!("vGPU {uuid} of type {} was deleted", row.vgpu_type);
        events::insert(&transaction, now_ms, EventKind::VgpuDeleted, Some(uuid), &message)?;
        Ok(transaction.commit()?)
    }
}

/// The GPU asked for, or the first with the type and room; with several that refuse, the first one's reason is told.
fn choose_gpu(
    gpus: &[GpuRow],
    held: &[VgpuRow],
    new: &NewVgpu<'_>,
) -> Result<(GpuRow, &'static VgpuType), Error> {
    let given = &new.request.vgpu_type;
    let mut refused = None;
    let mut unknown = None;
    for gpu in gpus
        .iter()
        .filter(|gpu| new.gpu.is_none_or(|uuid| uuid == gpu.uuid))
    {
        let board = gpu.facts()?;
        let vgpu_type = match board.vgpu_type(given) {
            Ok(vgpu_type) => vgpu_type,
            Err(error) => {
                unknown.get_or_insert(error);
                continue;
            }
        };
        let unified_memory = || match new.request.enable_uvm {
            true => admission::admit_unified_memory(vgpu_type),
            false => Ok(()),
        };
        let admitted = admission::admit(board, vgpu_type, &held_mib(held, &gpu.uuid));
        match admitted.and_then(|()| unified_memory()) {
            Ok(()) => return Ok((gpu.clone(), vgpu_type)),
            Err(source) => {
                refused.get_or_insert(Error::Refused {
                    gpu: gpu.position,
                    source,
                });
            }
        }
    }
    Err(match (refused, unknown) {
        (Some(refused), _) => refused,
        (None, Some(unknown)) if new.gpu.is_some() || gpus.len() == 1 => unknown.into(),
        _ => Error::NoGpuHasType {
            given: given.chars().take(80).collect(),
        },
    })
}

/// Frame buffers of the vGPUs on a GPU, MiB.
pub(crate) fn held_mib(held: &[VgpuRow], gpu: &str) -> Vec<u64> {
    held.iter()
        .filter(|row| row.gpu == gpu)
        .map(|row| row.frame_buffer_bytes >> 20)
        .collect()
}

/// The other end of the ledger: whatever the rules above say, the sum must fit the GPU when the transaction commits.
fn assert_ledger(transaction: &Transaction<'_>, gpu: &GpuRow) -> Result<(), Error> {
    let sum: i64 = transaction.query_row(
        "SELECT coalesce(sum(frame_buffer_bytes), 0) FROM vgpu WHERE gpu = ?1",
        [&gpu.uuid],
        |row| row.get(0),
    )?;
    let board = gpu.facts()?;
    let limit = to_sql(board.vgpu_memory_mib() << 20)?;
    if sum > limit {
        let what = format!(
            "the vGPUs of GPU {} would hold {sum} bytes of {limit}",
            gpu.position
        );
        return Err(Error::StateDamaged { what });
    }
    Ok(())
}

fn check_name(name: &str) -> Result<(), Error> {
    let good = (1..=63).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        && Uuid::try_parse(name).is_err();
    if good {
        Ok(())
    } else {
        Err(Error::BadName {
            name: name.chars().take(80).collect(),
        })
    }
}

fn vgpus(transaction: &Transaction<'_>) -> Result<Vec<VgpuRow>, Error> {
    let query = format!(
        "SELECT {COLUMNS} FROM vgpu ORDER BY (SELECT position FROM gpu WHERE gpu.uuid = vgpu.gpu), created_at_ms, arena"
    );
    let mut statement = transaction.prepare_cached(&query)?;
    let rows = statement.query_map([], raw)?;
    rows.map(|row| row?.parse()).collect()
}

fn vgpu(transaction: &Transaction<'_>, uuid: Uuid) -> Result<VgpuRow, Error> {
    let query = format!("SELECT {COLUMNS} FROM vgpu WHERE uuid = ?1");
    let mut statement = transaction.prepare_cached(&query)?;
    let mut rows = statement.query_map([uuid.to_string()], raw)?;
    let row = rows.next().ok_or_else(|| Error::UnknownVgpu {
        given: uuid.to_string(),
    })?;
    row?.parse()
}

/// A row as SQLite has it.
struct RawRow {
    texts: (String, String, Option<String>),
    row: VgpuRow,
}

impl RawRow {
    fn parse(self) -> Result<VgpuRow, Error> {
        let (uuid, state, capability) = self.texts;
        let damaged = |text: &str| Error::StateDamaged {
            what: format!("`{text}` in the row of vGPU {uuid}"),
        };
        let states = [
            VgpuState::Starting,
            VgpuState::Running,
            VgpuState::Failed,
            VgpuState::Deleting,
        ];
        let found = states.into_iter().find(|known| known.as_str() == state);
        Ok(VgpuRow {
            uuid: uuid.parse().map_err(|_| damaged(&uuid))?,
            state: found.ok_or_else(|| damaged(&state))?,
            capability: capability
                .map(|text| text.parse().map_err(|_| damaged(&text)))
                .transpose()?,
            ..self.row
        })
    }
}

fn raw(row: &Row<'_>) -> rusqlite::Result<RawRow> {
    Ok(RawRow {
        texts: (row.get(0)?, row.get(6)?, row.get(7)?),
        row: VgpuRow {
            uuid: Uuid::nil(),
            name: row.get(1)?,
            vgpu_type: row.get(2)?,
            gpu: row.get(3)?,
            frame_buffer_bytes: unsigned(row.get(4)?, 4)?,
            arena: unsigned(row.get(5)?, 5)?,
            state: VgpuState::Starting,
            capability: None,
            restarts: unsigned(row.get(8)?, 8)?,
            last_failure: row.get(9)?,
            created_at_ms: unsigned(row.get(10)?, 10)?,
            enable_uvm: row.get(11)?,
        },
    })
}
