//! Result codes (`nvJitLinkResult`).

use crate::version::major;

/// Why a call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    UnrecognizedOption,
    MissingArch,
    InvalidInput,
    PtxCompile,
    NvvmCompile,
    Internal,
    UnrecognizedInput,
    NullInput,
    IncompatibleOptions,
    IncorrectInputType,
    UnrecognizedArch,
    UnsupportedArch,
    LtoNotEnabled,
}

/// `NVJITLINK_SUCCESS`.
const SUCCESS: i32 = 0;

impl Code {
    /// The number for the program. Version 12 has fewer codes and answers others in the place of the newer ones.
    pub(crate) fn number(self) -> i32 {
        self.number_in(major())
    }

    fn number_in(self, major: u32) -> i32 {
        let old = major < 13;
        match self {
            Self::UnrecognizedOption => 1,
            Self::MissingArch => 2,
            Self::NullInput | Self::IncompatibleOptions | Self::IncorrectInputType if old => 3,
            Self::InvalidInput => 3,
            Self::PtxCompile => 4,
            Self::NvvmCompile => 5,
            Self::UnrecognizedArch | Self::UnsupportedArch | Self::LtoNotEnabled if old => 6,
            Self::Internal => 6,
            Self::UnrecognizedInput => 8,
            Self::NullInput => 10,
            Self::IncompatibleOptions => 11,
            Self::IncorrectInputType => 12,
            Self::UnrecognizedArch => 16,
            Self::UnsupportedArch => 17,
            Self::LtoNotEnabled => 18,
        }
    }
}

/// What an exported function returns.
pub(crate) fn answer(result: Result<(), Code>) -> i32 {
    result.map_or_else(Code::number, |()| SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_12_has_no_newer_codes() {
        for code in [
            Code::NullInput,
            Code::IncompatibleOptions,
            Code::IncorrectInputType,
            Code::UnrecognizedArch,
            Code::UnsupportedArch,
            Code::LtoNotEnabled,
        ] {
            assert!(code.number_in(12) < 9 && code.number_in(13) > 9, "{code:?}");
        }
        assert_eq!(Code::UnrecognizedInput.number_in(12), 8);
    }
}
