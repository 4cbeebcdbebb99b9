//! The options of `ptxas`, read as the vendor's program reads them: long names after two dashes, short ones after one; a value after `=`
//! or as the next argument; the last of several values counts.
//!
//! The device compiles PTX itself when it is loaded. So an option is one of four things: it has its effect here; it steers how machine
//! code is made, and there is none to make; it would change what the code does, which cannot be handed on and is refused; or it is unknown.

use super::says::{Fatal, Says};
use std::{ffi::OsString, path::PathBuf};
use tessera_ptx::{Target, Variant};

/// What an option takes.
#[derive(Clone, Copy, PartialEq)]
enum Takes {
    Nothing,
    Value,
    /// `true` or `false`, after `=` only; neither is `true`.
    Switch,
}

/// What becomes of an option.
#[derive(Clone, Copy, PartialEq)]
enum Effect {
    Arch,
    Output,
    Registers,
    File,
    Text,
    Set(Flag),
    /// Of no meaning, since it steers how machine code is made.
    None,
    /// Refused, unless it is a switch that is off.
    Refused,
    Machine,
}

/// What is on or off.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Flag {
    Relocatable,
    Verbose,
    Help,
    Version,
    ListArch,
    NoWarnings,
    WarningsAreErrors,
    NoStackWarning,
    WarnLocal,
    /// Nothing is ever spilled.
    WarnSpills,
    WarnDouble,
}

struct Known {
    long: &'static str,
    short: &'static str,
    takes: Takes,
    effect: Effect,
}

const fn known(long: &'static str, short: &'static str, takes: Takes, effect: Effect) -> Known {
    Known {
        long,
        short,
        takes,
        effect,
    }
}

use Effect::{None as Ignored, Refused, Set};
use Takes::{Nothing, Switch, Value};

#[rustfmt::skip]
const KNOWN: &[Known] = &[
    known("gpu-name", "arch", Value, Effect::Arch),
    known("output-file", "o", Value, Effect::Output),
    known("maxrregcount", "maxrregcount", Value, Effect::Registers),
    known("options-file", "optf", Value, Effect::File),
    known("input-as-string", "ias", Value, Effect::Text),
    known("machine", "m", Value, Effect::Machine),
    known("compile-only", "c", Nothing, Set(Flag::Relocatable)),
    known("verbose", "v", Nothing, Set(Flag::Verbose)),
    known("help", "h", Nothing, Set(Flag::Help)),
    known("version", "V", Nothing, Set(Flag::Version)),
    known("list-arch", "arch-ls", Nothing, Set(Flag::ListArch)),
    known("disable-warnings", "w", Nothing, Set(Flag::NoWarnings)),
    known("warning-as-error", "Werror", Nothing, Set(Flag::WarningsAreErrors)),
    known("suppress-stack-size-warning", "suppress-stack-size-warning", Nothing, Set(Flag::NoStackWarning)),
    known("warn-on-local-memory-usage", "warn-lmem-usage", Nothing, Set(Flag::WarnLocal)),
    known("warn-on-spills", "warn-spills", Nothing, Set(Flag::WarnSpills)),
    known("warn-on-double-precision-use", "warn-double-usage", Nothing, Set(Flag::WarnDouble)),
    known("opt-level", "O", Value, Ignored),
    known("Ofast-compile", "Ofc", Value, Ignored),
    known("allow-expensive-optimizations", "allow-expensive-optimizations", Switch, Ignored),
    known("compiler-annotations", "annotate", Nothing, Ignored),
    known("def-load-cache", "dlcm", Value, Ignored),
    known("def-store-cache", "dscm", Value, Ignored),
    known("force-load-cache", "flcm", Value, Ignored),
    known("force-store-cache", "fscm", Value, Ignored),
    // The text keeps its `.loc` and `.file` lines, and its line is what errors name.
    known("generate-line-info", "lineinfo", Nothing, Ignored),
    known("device-debug", "g", Nothing, Ignored),
    known("suppress-debug-info", "suppress-debug-info", Nothing, Ignored),
    known("device-function-maxrregcount", "func-maxrregcount", Value, Ignored),
    known("disable-optimizer-constants", "disable-optimizer-consts", Nothing, Ignored),
    known("dont-merge-basicblocks", "no-bb-merge", Nothing, Ignored),
    known("enable-func-clone-sc", "enable-func-clone-sc", Switch, Ignored),
    // Products and sums are never contracted, which both values allow.
    known("fmad", "fmad", Switch, Ignored),
    known("jobserver", "jobserver", Nothing, Ignored),
    known("optimize-float-atomics", "opt-fp-atomics", Nothing, Ignored),
    known("position-independent-code", "pic", Switch, Ignored),
    known("preserve-relocs", "preserve-relocs", Nothing, Ignored),
    known("regAllocOptLevel", "regAllocOptLevel", Value, Ignored),
    known("register-usage-level", "regUsageLevel", Value, Ignored),
    known("return-at-end", "ret-end", Nothing, Ignored),
    known("split-compile", "split-compile", Value, Ignored),
    known("suppress-async-bulk-multicast-advisory-warning", "suppress-async-bulk-multicast-advisory-warning", Nothing, Ignored),
    known("suppress-double-demote-warning", "suppress-double-demote-warning", Nothing, Ignored),
    known("suppress-position-independent-code-warning", "suppress-position-independent-code-warning", Nothing, Ignored),
    known("suppress-sparse-mma-advisory-info", "suppress-sparse-mma-advisory-info", Nothing, Ignored),
    known("apply-controls", "apply-controls", Value, Refused),
    known("compile-as-tools-patch", "astoolspatch", Nothing, Refused),
    known("device-stack-protector", "device-stack-protector", Switch, Refused),
    known("entry", "e", Value, Refused),
    known("extensible-whole-program", "ewp", Nothing, Refused),
    known("legacy-bar-warp-wide-behavior", "legacy-bar-warp-wide-behavior", Nothing, Refused),
    known("make-errors-visible-at-exit", "make-errors-visible-at-exit", Nothing, Refused),
    known("maxntid", "maxntid", Value, Refused),
    known("minnctapersm", "minnctapersm", Value, Refused),
    known("override-directive-values", "override-directive-values", Nothing, Refused),
    known("sanitize", "sanitize", Value, Refused),
    known("sp-bounds-check", "sp-bounds-check", Nothing, Refused),
];

/// Architectures that have a name.
pub(super) const ARCHITECTURES: [u32; 21] = [
    50, 52, 53, 60, 61, 62, 70, 72, 75, 80, 86, 87, 88, 89, 90, 100, 103, 107, 110, 120, 121,
];

/// The architecture that is assembled for where none is named.
const DEFAULT_ARCHITECTURE: u32 = 75;

/// Registers that a thread can have.
const MOST_REGISTERS: u32 = 255;

/// For what is assembled.
#[derive(Debug)]
pub(super) struct Architecture {
    /// As it was written: `sm_90a`.
    pub(super) name: String,
    /// Number and letter.
    pub(super) target: Target,
    /// `compute_90`: the text is looked at, and nothing is put out.
    pub(super) is_virtual: bool,
}

impl Architecture {
    fn parse(name: &str) -> Option<Self> {
        let (is_virtual, rest) = match name.strip_prefix("compute_") {
            Some(rest) => (true, rest),
            None => (false, name.strip_prefix("sm_")?),
        };
        let (number, variant) = match (rest.strip_suffix('a'), rest.strip_suffix('f')) {
            (Some(number), _) => (number, Variant::Specific),
            (_, Some(number)) => (number, Variant::Family),
            _ => (rest, Variant::Portable),
        };
        let first = match variant {
            Variant::Portable => 0,
            Variant::Specific => 90,
            Variant::Family => 100,
        };
        let sm = number.parse().ok()?;
        (ARCHITECTURES.contains(&sm) && sm >= first).then(|| Self {
            name: name.to_owned(),
            target: Target {
                sm,
                variant,
                ..Target::default()
            },
            is_virtual,
        })
    }
}

/// A text to be assembled.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Input {
    File(PathBuf),
    Text(String),
}

/// The command line.
#[derive(Debug)]
pub(super) struct Options {
    pub(super) inputs: Vec<Input>,
    pub(super) architecture: Architecture,
    pub(super) output: PathBuf,
    /// Registers that a thread has at most; 0: no limit.
    pub(super) max_registers: u32,
    flags: std::collections::BTreeSet<Flag>,
}

impl std::fmt::Debug for Flag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "flag {}", *self as u8)
    }
}

impl Options {
    /// Whether a flag was given.
    pub(super) fn has(&self, flag: Flag) -> bool {
        self.flags.contains(&flag)
    }

    /// Reads a command line. Warnings about it are said once it is known whether they are wanted.
    pub(super) fn parse(arguments: Vec<OsString>, says: &mut Says) -> Result<Self, Fatal> {
        let mut reader = Reader::default();
        reader.all(arguments)?;
        let Reader {
            mut options,
            warnings,
        } = reader;
        says.configure(
            options.has(Flag::NoWarnings),
            options.has(Flag::WarningsAreErrors),
        );
        if options.max_registers > MOST_REGISTERS {
            let given = std::mem::take(&mut options.max_registers);
            says.warning(&format!(
                "Too big maxrregcount value specified {given}, will be ignored"
            ));
        }
        for warning in warnings {
            says.warning(&warning);
        }
        Ok(options)
    }
}

struct Reader {
    options: Options,
    warnings: Vec<String>,
}

impl Default for Reader {
    fn default() -> Self {
        let target = Target {
            sm: DEFAULT_ARCHITECTURE,
            ..Target::default()
        };
        Self {
            options: Options {
                inputs: Vec::new(),
                architecture: Architecture {
                    name: format!("sm_{DEFAULT_ARCHITECTURE}"),
                    target,
                    is_virtual: false,
                },
                output: PathBuf::from("elf.o"),
                max_registers: 0,
                flags: std::collections::BTreeSet::new(),
            },
            warnings: Vec::new(),
        }
    }
}

impl Reader {
    fn all(&mut self, arguments: Vec<OsString>) -> Result<(), Fatal> {
        let mut rest = arguments.into_iter();
        while let Some(argument) = rest.next() {
            match argument
                .to_str()
                .filter(|text| text.starts_with('-') && text.len() > 1)
            {
                Some(option) => self.option(option, &mut rest)?,
                None => self.options.inputs.push(Input::File(argument.into())),
            }
        }
        Ok(())
    }

    fn option(&mut self, argument: &str, rest: &mut impl Iterator<Item = OsString>) -> Result<(), Fatal> {
        let (written, value) = match argument.split_once('=') {
            Some((written, value)) => (written, Some(OsString::from(value))),
            None => (argument, None),
        };
        let (known, value) = match find(written) {
            Some(known) => (known, value),
            // These two take their value without anything between: -O3, -m64.
            None => match attached(argument) {
                Some((known, attached)) => (known, Some(attached.into())),
                None => return Err(Fatal(format!("Unknown option '{}'", &written[1..]))),
            },
        };
        let value = match (known.takes, value) {
            (Value, Some(value)) => value,
            (Value, None) => rest
                .next()
                .ok_or_else(|| Fatal(format!("argument expected after '{written}'")))?,
            (Switch, value) => value.unwrap_or_else(|| "true".into()),
            (Nothing, None) => OsString::new(),
            (Nothing, Some(_)) => return Err(Fatal(format!("option '{written}' takes no value"))),
        };
        self.apply(known, value)
    }

    fn apply(&mut self, known: &Known, value: OsString) -> Result<(), Fatal> {
        let text = value.to_string_lossy().into_owned();
        if known.takes == Switch && text != "true" && text != "false" {
            return Err(Fatal(format!("'{text}': expected true or false")));
        }
        let undefined = || {
            Fatal(format!(
                "Value '{text}' is not defined for option '{}'",
                known.long
            ))
        };
        let options = &mut self.options;
        match known.effect {
            Effect::Arch => {
                options.architecture = Architecture::parse(&text).ok_or_else(undefined)?;
            }
            Effect::Output => options.output = value.into(),
            Effect::Registers => {
                // What an architecture has at least or at most is no limit of this device.
                let invalid = || Fatal(format!("Invalid value '{text}' for option 'maxrregcount'"));
                let unlimited = matches!(text.as_str(), "archmax" | "archmin");
                options.max_registers = if unlimited {
                    0
                } else {
                    text.parse().map_err(|_| invalid())?
                };
            }
            Effect::File => {
                let file = std::fs::read_to_string(&value)
                    .map_err(|_| Fatal(format!("Options file '{text}' could not be opened")))?;
                self.all(file.split_whitespace().map(OsString::from).collect())?;
            }
            Effect::Text => options.inputs.push(Input::Text(text)),
            Effect::Machine if text != "64" => return Err(undefined()),
            Set(flag) => {
                options.flags.insert(flag);
            }
            Refused if text != "false" => {
                return Err(Fatal(format!(
                    "Option '{}' is not supported: the device compiles PTX itself, and takes no such wish",
                    known.long
                )));
            }
            Effect::Machine | Ignored | Refused => {}
        }
        Ok(())
    }
}

/// The option of this name, with its dashes.
fn find(written: &str) -> Option<&'static Known> {
    match written.strip_prefix("--") {
        Some(long) => KNOWN.iter().find(|known| known.long == long),
        None => KNOWN
            .iter()
            .find(|known| written.strip_prefix('-') == Some(known.short)),
    }
}

/// An option whose value follows its letter.
fn attached(argument: &str) -> Option<(&'static Known, &str)> {
    ["O", "m"].into_iter().find_map(|letter| {
        let value = argument.strip_prefix('-')?.strip_prefix(letter)?;
        let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then_some((find(&argument[..2])?, value))
    })
}

/// The help text.
pub(super) fn help() -> String {
    let mut lines = vec![
        "Usage: ptxas [options] FILE.ptx...".to_owned(),
        String::new(),
        "Checks PTX and packs it for Tessera's driver, which compiles it when it is loaded.".to_owned(),
        "Options are those of the vendor's program:".to_owned(),
        String::new(),
    ];
    let group = |lines: &mut Vec<String>, title: &str, wanted: &dyn Fn(Effect) -> bool| {
        lines.push(title.to_owned());
        for known in KNOWN.iter().filter(|known| wanted(known.effect)) {
            let value = match known.takes {
                Nothing => "",
                Value => " <value>",
                Switch => " <true|false>",
            };
            lines.push(format!(
                "  {:60} (-{})",
                format!("--{}{value}", known.long),
                known.short
            ));
        }
        lines.push(String::new());
    };
    group(&mut lines, "With an effect:", &|effect| {
        effect != Ignored && effect != Refused
    });
    group(
        &mut lines,
        "Taken, of no effect (they steer machine code, and none is made here):",
        &|effect| effect == Ignored,
    );
    group(&mut lines, "Refused:", &|effect| effect == Refused);
    lines.join("\n")
}
