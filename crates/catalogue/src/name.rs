//! The grammar of vGPU type names.
//!
//! ```text
//!  time-sliced   H100-20C        board "-" GB series                     board: one group of A-Z0-9, then groups of letters
//!  MIG           H100-2-20C      board "-" slices "-" GB series [attr]   board: one group of A-Z0-9; slices 1-9
//! ```
//!
//! GB 0 stands for 512 MB. The attribute selects the GPU instance's extras. Source: NVIDIA/vgpu-device-manager.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Purpose of a type: the last letter of its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Series {
    /// Application streaming.
    A,
    /// Business PC.
    B,
    /// Compute.
    C,
    /// Workstation.
    Q,
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "A",
            Self::B => "B",
            Self::C => "C",
            Self::Q => "Q",
        })
    }
}

/// What a GPU instance has besides slices: the suffix of a MIG type's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GiAttribute {
    /// `ME`, profile `+me`: media engines.
    MediaEngines,
    /// `NOME`, profile `-me`: no media engines.
    NoMediaEngines,
    /// `MEALL`, profile `+me.all`: all media engines of the GPU.
    AllMediaEngines,
    /// `GFX`, profile `+gfx`: graphics. Tools use it to choose the instance; the type's real name has no suffix.
    Graphics,
}

impl GiAttribute {
    /// Suffix in a type name.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::MediaEngines => "ME",
            Self::NoMediaEngines => "NOME",
            Self::AllMediaEngines => "MEALL",
            Self::Graphics => "GFX",
        }
    }

    /// Suffix in the name of a GPU instance profile.
    pub fn profile_suffix(self) -> &'static str {
        match self {
            Self::MediaEngines => "+me",
            Self::NoMediaEngines => "-me",
            Self::AllMediaEngines => "+me.all",
            Self::Graphics => "+gfx",
        }
    }
}

/// A type name taken apart; `Display` puts it together again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TypeName {
    /// `H100`, `RTX6000-Ada`.
    pub board: String,
    /// Compute slices; `None` for a time-sliced type.
    pub slices: Option<u8>,
    /// Frame buffer as named, GB; 0 stands for 512 MB.
    pub gb: u32,
    /// Purpose.
    pub series: Series,
    /// Extras of the GPU instance.
    pub attribute: Option<GiAttribute>,
}

impl TypeName {
    /// Frame buffer that the name says, MiB, with GB taken as GiB.
    pub fn frame_buffer_mib(&self) -> u64 {
        if self.gb == 0 {
            512
        } else {
            u64::from(self.gb) * 1024
        }
    }
}

impl fmt::Display for TypeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-", self.board)?;
        if let Some(slices) = self.slices {
            write!(f, "{slices}-")?;
        }
        write!(f, "{}{}", self.gb, self.series)?;
        f.write_str(self.attribute.map_or("", GiAttribute::suffix))
    }
}

/// Why a text is not a type name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a vGPU type name: {reason}; expected BOARD-<GB><A|B|C|Q> (H100-20C) or BOARD-SLICES-<GB><A|B|C|Q> (H100-2-20C)"
)]
pub struct NameError {
    /// What was given.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl FromStr for TypeName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        parse(text).map_err(|reason| NameError {
            text: text.chars().take(80).collect(),
            reason,
        })
    }
}

fn parse(text: &str) -> Result<TypeName, &'static str> {
    let (head, tail) = text.rsplit_once('-').ok_or("it has no `-`")?;
    let (gb, series, attribute) = parse_size(tail)?;
    let (board, slices) = match head.rsplit_once('-') {
        Some((board, digit)) if is_slice_count(digit) => {
            if board.contains('-') {
                return Err("the board of a MIG type has one group of capitals and digits");
            }
            (board, digit.parse().ok())
        }
        _ => (head, None),
    };
    let mut groups = board.split('-');
    let first = groups.next().unwrap_or_default();
    if first.is_empty()
        || !first
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
    {
        return Err("it does not start with the board in capitals and digits");
    }
    if !groups.all(|group| !group.is_empty() && group.bytes().all(|b| b.is_ascii_alphabetic())) {
        return Err("the board's later groups are not letters");
    }
    if attribute.is_some() && slices.is_none() {
        return Err("only MIG types carry ME, NOME, MEALL or GFX");
    }
    Ok(TypeName {
        board: board.to_owned(),
        slices,
        gb,
        series,
        attribute,
    })
}

fn is_slice_count(text: &str) -> bool {
    matches!(text.as_bytes(), [b'1'..=b'9'])
}

/// `20C`, `10CME`: size, series, attribute.
fn parse_size(tail: &str) -> Result<(u32, Series, Option<GiAttribute>), &'static str> {
    let end = tail.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, rest) = tail.split_at(end);
    if digits.is_empty() {
        return Err("its last group does not start with the size in GB");
    }
    if digits.len() > 1 && digits.starts_with('0') {
        return Err("its size has a leading zero");
    }
    let gb = digits.parse::<u32>().map_err(|_| "its size is too large")?;
    let mut letters = rest.chars();
    let series = match letters.next() {
        Some('A') => Series::A,
        Some('B') => Series::B,
        Some('C') => Series::C,
        Some('Q') => Series::Q,
        _ => return Err("its size is not followed by the series A, B, C or Q"),
    };
    let attribute = match letters.as_str() {
        "" => None,
        "ME" => Some(GiAttribute::MediaEngines),
        "NOME" => Some(GiAttribute::NoMediaEngines),
        "MEALL" => Some(GiAttribute::AllMediaEngines),
        "GFX" => Some(GiAttribute::Graphics),
        _ => return Err("its series is followed by something that is not ME, NOME, MEALL or GFX"),
    };
    Ok((gb, series, attribute))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_both_forms_are_taken_apart() {
        let name: TypeName = "H100-20C".parse().unwrap();
        assert_eq!(
            (name.board.as_str(), name.slices, name.gb, name.series),
            ("H100", None, 20, Series::C)
        );
        let name: TypeName = "RTX6000-Ada-48Q".parse().unwrap();
        assert_eq!(
            (name.board.as_str(), name.gb, name.series),
            ("RTX6000-Ada", 48, Series::Q)
        );
        let name: TypeName = "A100-1-10CME".parse().unwrap();
        assert_eq!(
            (name.slices, name.gb, name.attribute),
            (Some(1), 10, Some(GiAttribute::MediaEngines))
        );
        let name: TypeName = "V100-0B".parse().unwrap();
        assert_eq!((name.gb, name.frame_buffer_mib()), (0, 512));
        assert_eq!(
            "DC-4-24CGFX".parse::<TypeName>().unwrap().attribute,
            Some(GiAttribute::Graphics)
        );
    }

    #[test]
    fn other_texts_are_refused_with_the_reason() {
        for (text, reason) in [
            ("", "no `-`"),
            ("H100", "no `-`"),
            ("-20C", "start with the board"),
            ("h100-20C", "start with the board"),
            ("H100-20", "series"),
            ("H100-20D", "series"),
            ("H100-020C", "leading zero"),
            ("H100-C", "size in GB"),
            ("H100-20C ", "not ME"),
            ("H100-20CME", "only MIG"),
            ("H100-0-20C", "letters"),
            ("H100-10-20C", "letters"),
            ("RTX6000-Ada-1-48C", "one group"),
            ("H100--20C", "letters"),
            ("H100-99999999999C", "too large"),
            ("H100\u{e9}-20C", "start with the board"),
        ] {
            let error = text.parse::<TypeName>().expect_err(text);
            assert!(error.reason.contains(reason), "{text}: {error}");
        }
    }
}
