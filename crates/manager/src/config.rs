//! What a manager is told at its start.

use serde::Deserialize;
use std::{
    fmt, io,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};
use tessera_catalogue::{Board, LookupError, catalogue};
use tessera_client::paths::Directories;
use uuid::Uuid;

/// A software GPU to be: `H100` or `H100=4` for four of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpuDeclaration {
    /// Id of the board.
    pub board: String,
    /// How many.
    pub count: u32,
}

/// Most GPUs of a host.
const MOST_GPUS: u32 = 64;

impl GpuDeclaration {
    fn new(board: &str, count: u32) -> Result<Self, ConfigError> {
        let board = catalogue().board(board)?.id.clone();
        if !(1..=MOST_GPUS).contains(&count) {
            return Err(ConfigError::Count { count });
        }
        Ok(Self { board, count })
    }

    /// The boards, one for each GPU.
    ///
    /// # Errors
    /// There are too many.
    pub fn expand(declarations: &[Self]) -> Result<Vec<&'static Board>, ConfigError> {
        let mut boards = Vec::new();
        for declaration in declarations {
            let board = catalogue().board(&declaration.board)?;
            boards.extend((0..declaration.count).map(|_| board));
        }
        let count = u32::try_from(boards.len()).unwrap_or(u32::MAX);
        if count > MOST_GPUS {
            Err(ConfigError::Count { count })
        } else {
            Ok(boards)
        }
    }
}

impl FromStr for GpuDeclaration {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let Some((board, count)) = text.split_once('=') else {
            return Self::new(text, 1);
        };
        let count = count.parse().map_err(|_| ConfigError::NotANumber {
            text: count.chars().take(40).collect(),
        })?;
        Self::new(board, count)
    }
}

/// The configuration file, TOML.
///
/// ```toml
/// executors = 4            # threads of each worker; without it, one per processor
///
/// [[gpu]]
/// board = "h100-pcie-80gb"
/// count = 2
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileConfig {
    /// The software GPUs.
    #[serde(default)]
    gpu: Vec<FileGpu>,
    /// Executor threads of each worker.
    pub executors: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileGpu {
    board: String,
    #[serde(default = "one")]
    count: u32,
}

fn one() -> u32 {
    1
}

impl FileConfig {
    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, or says something that does not exist.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text).map_err(|source| ConfigError::Wrong {
            path: path.to_owned(),
            source,
        })
    }

    fn parse(text: &str) -> Result<Self, Box<toml::de::Error>> {
        toml::from_str(text).map_err(Box::new)
    }

    /// The GPUs that it declares.
    ///
    /// # Errors
    /// A board is not in the catalogue.
    pub fn gpus(&self) -> Result<Vec<GpuDeclaration>, ConfigError> {
        self.gpu
            .iter()
            .map(|gpu| GpuDeclaration::new(&gpu.board, gpu.count))
            .collect()
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not what it should be.
    #[error("the configuration {} is wrong: {source}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// A board is not in the catalogue.
    #[error(transparent)]
    Board(#[from] LookupError),
    /// A count is not a number.
    #[error("`{text}` is not a number of GPUs; declare GPUs as BOARD or BOARD=COUNT, like H100 or H100=4")]
    NotANumber {
        /// What was given.
        text: String,
    },
    /// A count is out of range.
    #[error("{count} GPUs were declared; a host has 1 to {MOST_GPUS}")]
    Count {
        /// How many.
        count: u32,
    },
}

/// How workers are started. The [`tessera_control::WorkerConfig`] goes to their standard input.
#[derive(Clone, Debug)]
pub struct WorkerProgram {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
}

/// A moment between two steps of creation or deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Creation: the row is written, nothing else was done.
    Reserved,
    /// Creation: the directory is there, the worker is not.
    DirectoryMade,
    /// Creation: the worker process runs; nobody has heard from it.
    WorkerSpawned,
    /// Creation: the worker answers; the state does not say so yet.
    WorkerAnswered,
    /// Deletion: the row says so, nothing else was done.
    MarkedDeleting,
    /// Deletion: the worker is gone.
    WorkerGone,
    /// Deletion: the directory is gone, the row is not.
    DirectoryRemoved,
}

impl Moment {
    /// All moments, in order.
    pub const ALL: [Self; 7] = [
        Self::Reserved,
        Self::DirectoryMade,
        Self::WorkerSpawned,
        Self::WorkerAnswered,
        Self::MarkedDeleting,
        Self::WorkerGone,
        Self::DirectoryRemoved,
    ];
}

/// Is told each [`Moment`] as it passes. The tests of crashes end the process there.
#[derive(Clone)]
pub struct Observer(pub Arc<dyn Fn(Moment, Uuid) + Send + Sync>);

impl Default for Observer {
    fn default() -> Self {
        Self(Arc::new(|_, _| {}))
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}

/// What a manager is told at its start.
#[derive(Clone, Debug)]
pub struct ManagerConfig {
    /// Where it keeps its files.
    pub directories: Directories,
    /// GPUs to have. Empty: those of the state, or one [`ManagerConfig::DEFAULT_BOARD`] where there are none.
    pub gpus: Vec<GpuDeclaration>,
    /// How workers are started.
    pub worker: WorkerProgram,
    /// Executor threads of each worker; `None` takes one per processor.
    pub executors: Option<u32>,
    /// The checking mode of all vGPUs: which checks, as a worker reads them.
    pub check: Option<String>,
    /// Where workers keep machine code.
    pub code: CodePlace,
    /// Tier of all vGPUs, as a worker reads it; `None` chooses by kernel.
    pub tier: Option<String>,
    /// For tests.
    pub observer: Observer,
}

/// Where workers keep machine code. Whoever can write to the file can run code in every worker that reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CodePlace {
    /// In the directory of the vGPU: what a worker that fell to its guest leaves there reaches no other vGPU.
    #[default]
    PerVgpu,
    /// In one file for all vGPUs, whose guests must be those of one user.
    File(PathBuf),
    /// Nowhere.
    Off,
}

impl ManagerConfig {
    /// Board of the GPU that a manager makes up when it is told of none and remembers none.
    pub const DEFAULT_BOARD: &str = "h100-pcie-80gb";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declarations_name_board_and_count() {
        let declaration: GpuDeclaration = "H100=4".parse().unwrap();
        assert_eq!(
            declaration,
            GpuDeclaration {
                board: "h100-pcie-80gb".into(),
                count: 4
            }
        );
        assert_eq!("T4".parse::<GpuDeclaration>().unwrap().count, 1);
        for bad in ["", "H100=", "H100=0", "H100=65", "H100=x", "X9"] {
            assert!(bad.parse::<GpuDeclaration>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_file_says_where_it_is_wrong() {
        let good =
            FileConfig::parse("executors = 2\n[[gpu]]\nboard = 'H100'\ncount = 2\n[[gpu]]\nboard = 'T4'\n")
                .unwrap();
        let boards = GpuDeclaration::expand(&good.gpus().unwrap()).unwrap();
        let ids: Vec<&str> = boards.iter().map(|board| board.id.as_str()).collect();
        assert_eq!(ids, ["h100-pcie-80gb", "h100-pcie-80gb", "t4"]);
        let error = FileConfig::parse("[[gpu]]\nbord = 'H100'\n")
            .unwrap_err()
            .to_string();
        assert!(error.contains("line 2") && error.contains("bord"), "{error}");
    }
}
