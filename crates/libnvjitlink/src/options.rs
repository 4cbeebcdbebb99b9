//! Options of a link, with the vendor's answers to those that it does not take.
//!
//! An option is a name, or a name and a value behind `=`. What steers the generation of machine code is taken and means nothing here: the
//! device generates its own.

use crate::code::Code;
use crate::version::major;

/// What a link was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// 80 for `sm_80`.
    pub(crate) sm: u32,
    /// What follows the number: `a`, `f` or nothing.
    pub(crate) suffix: String,
    /// `compute_80`, not `sm_80`.
    pub(crate) virtual_arch: bool,
    /// Registers of a thread at most; 0: no limit.
    pub(crate) max_registers: u32,
    /// LTO-IR is taken.
    pub(crate) lto: bool,
    /// PTX is wanted, not a cubin.
    pub(crate) ptx: bool,
    /// The result is linked again later: names may stay open.
    pub(crate) relocatable: bool,
    pub(crate) verbose: bool,
    pub(crate) time: bool,
    /// As given, for the vendor's compiler.
    pub(crate) given: Vec<String>,
}

/// A failure with its line for the log.
pub(crate) type Refusal = (Code, String);

/// Options without a value that only steer code generation, by major version: the first that has them.
const PLAIN: &[(&str, u32)] = &[
    ("-g", 12),
    ("-lineinfo", 12),
    ("-optimize-unused-variables", 12),
    ("-no-cache", 12),
    ("-device-stack-protector", 12),
    ("-O0", 12),
    ("-O3", 12),
    ("-ltoir", 12),
    ("-nvvm-latest", 13),
];

/// Options with a value that only steer code generation.
const VALUED: &[&str] = &[
    "-ftz",
    "-prec-div",
    "-prec-sqrt",
    "-fma",
    "-kernels-used",
    "-variables-used",
    "-Xnvvm",
    "-split-compile",
    "-split-compile-extended",
    "-jump-table-density",
    "-Ofc",
];

/// Architectures of the newest version.
const ARCHITECTURES: &[u32] = &[75, 80, 86, 87, 88, 89, 90, 100, 103, 110, 120, 121];

/// An architecture that was given up, and so were all before the first of [`ARCHITECTURES`].
const GONE: u32 = 101;

/// The first architecture with families (`sm_100f`).
const FIRST_FAMILY: u32 = 100;

/// The last architecture of version 12, which takes any number up to it.
const LAST_OF_12: u32 = 121;

impl Options {
    /// Reads a list of options.
    pub(crate) fn read(list: &[String]) -> Result<Self, Refusal> {
        let mut options = Self {
            given: list.to_vec(),
            ..Self::default()
        };
        let mut arch = None;
        for option in list {
            options.one(option, &mut arch)?;
        }
        let Some(arch) = arch else {
            return Err((Code::MissingArch, String::new()));
        };
        options.architecture(&arch)?;
        if options.ptx && !options.lto {
            return Err((
                Code::IncompatibleOptions,
                "ERROR: -ptx requires -lto\n".to_owned(),
            ));
        }
        if options.virtual_arch && !options.ptx {
            return Err((
                Code::IncompatibleOptions,
                "ERROR: virtual arch requires -ptx\n".to_owned(),
            ));
        }
        Ok(options)
    }

    fn one(&mut self, option: &str, arch: &mut Option<String>) -> Result<(), Refusal> {
        let unknown = || {
            (
                Code::UnrecognizedOption,
                format!("unrecognized option: {option}\n"),
            )
        };
        let Some((name, value)) = option.split_once('=') else {
            match option {
                "-lto" | "-dlto" => self.lto = true,
                "-ptx" => self.ptx = true,
                "-verbose" => self.verbose = true,
                "-time" => self.time = true,
                "-r" | "-relocatable-device-code" if major() >= 13 => self.relocatable = true,
                _ if PLAIN
                    .iter()
                    .any(|&(name, since)| name == option && major() >= since) => {}
                _ => match option.strip_prefix("-O") {
                    Some(level) if !level.is_empty() => {
                        return Err((
                            Code::UnrecognizedOption,
                            format!("unsupported value of -O: {level}. Only 0 and 3 are supported.\n"),
                        ));
                    }
                    _ => return Err(unknown()),
                },
            }
            return Ok(());
        };
        let known = matches!(name, "-arch" | "-maxrregcount" | "-Xptxas") || VALUED.contains(&name);
        if !known {
            return Err(unknown());
        }
        if value.is_empty() {
            return Err(missing(option));
        }
        match name {
            "-arch" => *arch = Some(value.to_owned()),
            // What is no number is none, as with the vendor's.
            "-maxrregcount" => self.max_registers = value.parse().unwrap_or(0),
            "-Xptxas" => self.assembler(value),
            _ => {}
        }
        Ok(())
    }

    /// Of the assembler's own options, those that mean something here.
    fn assembler(&mut self, option: &str) {
        let option = option.trim_start_matches('-');
        if option == "v" || option == "verbose" {
            self.verbose = true;
        } else if let Some(("maxrregcount", value)) = option.split_once('=') {
            self.max_registers = value.parse().unwrap_or(0);
        }
    }

    fn architecture(&mut self, value: &str) -> Result<(), Refusal> {
        let option = format!("-arch={value}");
        let (number, virtual_arch) = if let Some(number) = value.strip_prefix("sm_") {
            (number, false)
        } else if let Some(number) = value.strip_prefix("compute_") {
            (number, true)
        } else {
            return Err(missing(&option));
        };
        let end = number
            .find(|letter: char| !letter.is_ascii_digit())
            .unwrap_or(number.len());
        let (digits, suffix) = number.split_at(end);
        let Ok(sm) = digits.parse::<u32>() else {
            return Err(missing(&option));
        };
        let refuse = |code, word: &str, name: &str| {
            Err((
                code,
                format!("ERROR NVJITLINK_ERROR_{name}_ARCH: {word} architecture (compute_{number})\n"),
            ))
        };
        if major() < 13 {
            if sm > LAST_OF_12 {
                return Err((Code::Internal, "ERROR 1: Start\n".to_owned()));
            }
        } else if sm < ARCHITECTURES[0] || sm == GONE || (suffix == "f" && sm < FIRST_FAMILY) {
            return refuse(Code::UnsupportedArch, "unsupported", "UNSUPPORTED");
        } else if !ARCHITECTURES.contains(&sm) {
            return refuse(Code::UnrecognizedArch, "unrecognized", "UNRECOGNIZED");
        }
        self.sm = sm;
        self.suffix = suffix.to_owned();
        self.virtual_arch = virtual_arch;
        Ok(())
    }
}

fn missing(option: &str) -> Refusal {
    (
        Code::UnrecognizedOption,
        format!("ERROR NVJITLINK_ERROR_UNRECOGNIZED_OPTION: missing option value ({option})\n"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(list: &[&str]) -> Result<Options, Refusal> {
        let list: Vec<String> = list.iter().map(|&option| option.to_owned()).collect();
        Options::read(&list)
    }

    fn code(list: &[&str]) -> Code {
        read(list).unwrap_err().0
    }

    #[test]
    fn what_is_asked_for_is_read() {
        let options = read(&[
            "-arch=sm_90a",
            "-maxrregcount=32",
            "-Xptxas=--verbose",
            "-O3",
            "-lineinfo",
            "-kernels-used=k",
        ])
        .unwrap();
        assert_eq!((options.sm, options.suffix.as_str()), (90, "a"));
        assert_eq!(options.max_registers, 32);
        assert!(options.verbose && !options.lto && !options.ptx && !options.virtual_arch);
        let options = read(&["-arch=compute_80", "-lto", "-ptx"]).unwrap();
        assert!(options.virtual_arch && options.lto && options.ptx);
        assert_eq!(
            read(&["-arch=sm_80", "-Xptxas=-maxrregcount=40"])
                .unwrap()
                .max_registers,
            40
        );
    }

    #[test]
    fn what_is_not_taken_has_its_code() {
        assert_eq!(code(&[]), Code::MissingArch);
        for list in [
            ["-arch=sm_80", "-fictitious"],
            ["-arch=sm_80", ""],
            ["-arch=sm_80", "-O1"],
            ["-arch=sm_80", "-maxrregcount"],
            ["-arch=sm_80", "-Xptxas="],
            ["-arch=sm_80", "--verbose"],
            ["-arch=sm_XX", "-lto"],
            ["-arch=80", "-lto"],
        ] {
            assert_eq!(code(&list), Code::UnrecognizedOption, "{list:?}");
        }
        assert_eq!(code(&["-arch=sm_60"]), Code::UnsupportedArch);
        assert_eq!(code(&["-arch=sm_81"]), Code::UnrecognizedArch);
        for list in [["-arch=sm_80", "-ptx"], ["-arch=compute_80", "-lto"]] {
            assert_eq!(code(&list), Code::IncompatibleOptions, "{list:?}");
        }
    }
}
