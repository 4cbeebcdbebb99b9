//! Finding boards and types by what people and tools call them.

use crate::{Board, Catalogue, Mode, VgpuType};

/// Why a lookup found nothing, or too much.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// No board is called that.
    #[error("no board is called `{given}`{}; `tessera gpu boards` lists all", hint(.near))]
    UnknownBoard {
        /// What was given.
        given: String,
        /// Ids of boards with similar names.
        near: Vec<String>,
    },
    /// Several boards are meant.
    #[error("`{given}` stands for several boards: {}; give one of these ids", .ids.join(", "))]
    AmbiguousBoard {
        /// What was given.
        given: String,
        /// Ids of the boards.
        ids: Vec<String>,
    },
    /// The board has no such type.
    #[error("{board} has no vGPU type `{given}`{}", hint(.near))]
    UnknownType {
        /// What was given.
        given: String,
        /// Name of the board.
        board: String,
        /// Types of the board.
        near: Vec<String>,
    },
}

fn hint(near: &[String]) -> String {
    if near.is_empty() {
        String::new()
    } else {
        format!("; it could be {}", near.join(", "))
    }
}

impl Catalogue {
    /// The board that `given` stands for: an id (`h100-pcie-80gb`), the vendor's name with or without `NVIDIA`, a prefix of type
    /// names (`H100`), the start of an id that only one board has, or words that all occur in an id (`H100 80GB`); where those
    /// fit several boards, the one whose type names begin with the first word is meant. Case does not matter.
    ///
    /// # Errors
    /// No such board, or several.
    pub fn board(&self, given: &str) -> Result<&Board, LookupError> {
        let exact = self.boards().iter().find(|board| {
            board.id.eq_ignore_ascii_case(given)
                || board.name.eq_ignore_ascii_case(given)
                || board
                    .name
                    .strip_prefix("NVIDIA ")
                    .is_some_and(|name| name.eq_ignore_ascii_case(given))
        });
        if let Some(board) = exact {
            return Ok(board);
        }
        let by_prefix = |board: &&Board| {
            board
                .prefixes
                .iter()
                .any(|prefix| prefix.eq_ignore_ascii_case(given))
        };
        let wanted = given.to_ascii_lowercase();
        let by_start = |board: &&Board| !wanted.is_empty() && board.id.starts_with(&wanted);
        let words: Vec<&str> = wanted
            .split_whitespace()
            .filter(|word| *word != "nvidia")
            .collect();
        let by_words = |board: &&Board| {
            !words.is_empty()
                && words
                    .iter()
                    .all(|word| board.id.split('-').any(|part| part == *word))
        };
        let mut found: Vec<&Board> = self.boards().iter().filter(by_prefix).collect();
        if found.is_empty() {
            found = self.boards().iter().filter(by_start).collect();
        }
        if found.is_empty() {
            found = self.boards().iter().filter(by_words).collect();
            let meant = |board: &&&Board| {
                board
                    .prefixes
                    .iter()
                    .any(|prefix| prefix.eq_ignore_ascii_case(words[0]))
            };
            if let (2.., Some(board)) = (found.len(), found.iter().find(meant)) {
                found = vec![*board];
            }
        }
        match found.as_slice() {
            [board] => Ok(board),
            [] => Err(LookupError::UnknownBoard {
                given: clip(given),
                near: self.near(&wanted),
            }),
            several => Err(LookupError::AmbiguousBoard {
                given: clip(given),
                ids: several.iter().map(|board| board.id.clone()).collect(),
            }),
        }
    }

    fn near(&self, wanted: &str) -> Vec<String> {
        let family: String = wanted.chars().take_while(char::is_ascii_alphanumeric).collect();
        let alike =
            |board: &&Board| !family.is_empty() && board.id.split('-').any(|part| part.starts_with(&family));
        self.boards()
            .iter()
            .filter(alike)
            .map(|board| board.id.clone())
            .take(8)
            .collect()
    }

    /// The board with this PCI identity. Without a subsystem, or with one the catalogue does not know, the device id must be
    /// enough to tell.
    pub fn board_by_pci(&self, device: u16, subsystem: Option<u16>) -> Option<&Board> {
        let with = |exact: bool| {
            let mut found = self.boards().iter().filter(move |board| {
                board
                    .pci_ids
                    .iter()
                    .any(|id| id.device == device && (!exact || id.subsystem == subsystem))
            });
            let first = found.next();
            if found.next().is_some() { None } else { first }
        };
        if subsystem.is_some() {
            with(true).or_else(|| with(false))
        } else {
            with(false)
        }
    }

    /// All types of that name, `H100-20C` or `NVIDIA H100-20C`, with their boards; more than one for a few `DC-` types.
    pub fn types_named<'a>(&'a self, name: &str) -> impl Iterator<Item = (&'a Board, &'a VgpuType)> {
        self.boards()
            .iter()
            .filter_map(move |board| Some((board, board.find_type(name)?)))
    }

    /// The type with the vendor's numeric id.
    pub fn type_by_id(&self, type_id: u32) -> Option<(&Board, &VgpuType)> {
        self.boards().iter().find_map(|board| {
            let found = board
                .vgpu_types
                .iter()
                .find(|vgpu_type| vgpu_type.type_id == Some(type_id))?;
            Some((board, found))
        })
    }
}

impl Board {
    fn find_type(&self, given: &str) -> Option<&VgpuType> {
        let short = given
            .strip_prefix(&self.type_name_lead)
            .map_or(given, str::trim_start);
        let id: Option<u32> = given.parse().ok();
        self.vgpu_types
            .iter()
            .find(|ty| ty.name.eq_ignore_ascii_case(short) || (id.is_some() && ty.type_id == id))
    }

    /// The type that `given` stands for: `H100-20C`, `NVIDIA H100-20C` or the vendor's numeric id.
    ///
    /// # Errors
    /// The board has no such type.
    pub fn vgpu_type(&self, given: &str) -> Result<&VgpuType, LookupError> {
        self.find_type(given).ok_or_else(|| LookupError::UnknownType {
            given: clip(given),
            board: self.name.clone(),
            near: self
                .types_of_mode(Mode::TimeSliced)
                .map(|ty| ty.name.clone())
                .take(10)
                .collect(),
        })
    }

    /// The types of one mode, in the published order.
    pub fn types_of_mode(&self, mode: Mode) -> impl Iterator<Item = &VgpuType> {
        self.vgpu_types
            .iter()
            .filter(move |vgpu_type| vgpu_type.mode == mode)
    }
}

/// What a user typed, short enough to show.
fn clip(given: &str) -> String {
    given.chars().take(80).collect()
}
