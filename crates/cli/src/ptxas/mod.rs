//! A `ptxas` for a device that takes PTX.
//!
//! Frameworks assemble their PTX with `ptxas` and give the result to the driver. Tessera's driver compiles PTX itself, so this program,
//! which is `tessera` under that name, checks the texts as the device will and packs them into the container that the driver's linker
//! writes too. Command line, messages and exit codes are the vendor's, since build systems and frameworks read them.
//!
//! ```text
//!  texts ─▶ parse, verify ─▶ compare targets ─▶ link (with -c: no) ─▶ compile every kernel ─▶ container with the same texts
//!             FILE, line N; error   : ...                                 -v: what it uses
//! ```
//!
//! Invariant: what is put out loads; what does not load as a whole is refused here, with its line. The output depends on the texts and
//! on `-maxrregcount` alone, not on names of files, so that caches by content work.

mod assemble;
mod options;
mod says;

use assemble::Text;
use options::{Flag, Input, Options};
use says::{Fatal, Says};
use std::{ffi::OsString, path::Path, process::ExitCode};
use tessera_fatbin::pack_linked;

/// What the vendor's program ends with when there were errors.
const FAILED: u8 = 255;

/// Callers look for the release, which decides the PTX version that they write: 13.0 is PTX ISA 9.0.
const VERSION: &str = concat!(
    "ptxas: PTX assembler of Tessera ",
    env!("CARGO_PKG_VERSION"),
    "\nCuda compilation tools, release 13.0, V13.0.0\n"
);

/// Whether this process was started under the name `ptxas`.
pub(crate) fn is_meant() -> bool {
    std::env::args_os()
        .next()
        .is_some_and(|name| Path::new(&name).file_name().is_some_and(|name| name == "ptxas"))
}

pub(crate) fn main() -> ExitCode {
    let mut says = Says::default();
    let outcome = run(std::env::args_os().skip(1).collect(), &mut says);
    if let Err(Fatal(text)) = &outcome {
        says.fatal(None, text);
    } else if says.errors > 0 {
        says.fatal(None, "Ptx assembly aborted due to errors");
    }
    for line in &says.lines {
        eprintln!("{line}");
    }
    if says.errors > 0 {
        return ExitCode::from(FAILED);
    }
    let printed = outcome.unwrap_or_default();
    crate::table::print(&printed).map_or(ExitCode::from(FAILED), |()| ExitCode::SUCCESS)
}

/// Does the work; gives what goes to standard output.
fn run(arguments: Vec<OsString>, says: &mut Says) -> Result<String, Fatal> {
    let bare = arguments.is_empty();
    let options = Options::parse(arguments, says)?;
    if bare || options.has(Flag::Help) {
        return Ok(options::help());
    }
    if options.has(Flag::Version) {
        return Ok(VERSION.to_owned());
    }
    if options.has(Flag::ListArch) {
        return Ok(options::ARCHITECTURES
            .map(|number| format!("{number}\n"))
            .concat());
    }
    if options.inputs.is_empty() {
        return Err(Fatal("No input file is given".to_owned()));
    }
    let texts = read(&options.inputs, says);
    assemble::check(&texts, &options, says)?;
    if says.errors == 0 && !options.architecture.is_virtual {
        write(&texts, &options)?;
    }
    Ok(String::new())
}

/// The texts that can be read.
fn read(inputs: &[Input], says: &mut Says) -> Vec<Text> {
    let mut texts = Vec::new();
    for input in inputs {
        let (name, bytes) = match input {
            Input::Text(text) => ("<string>".to_owned(), Ok(text.clone().into_bytes())),
            Input::File(path) => (path.display().to_string(), std::fs::read(path)),
        };
        match bytes {
            Ok(mut bytes) => {
                // Some write a C string, NUL and all.
                while bytes.last() == Some(&0) {
                    bytes.pop();
                }
                texts.push(Text { name, bytes });
            }
            Err(_) => says.fatal(None, &format!("Input file '{name}' could not be opened")),
        }
    }
    texts
}

fn write(texts: &[Text], options: &Options) -> Result<(), Fatal> {
    let named: Vec<(String, &[u8])> = texts
        .iter()
        .enumerate()
        .map(|(index, text)| (format!("input {}", index + 1), text.bytes.as_slice()))
        .collect();
    let named: Vec<(&str, &[u8])> = named
        .iter()
        .map(|(name, bytes)| (name.as_str(), *bytes))
        .collect();
    let packed = pack_linked(&named, options.max_registers).map_err(|error| Fatal(error.to_string()))?;
    std::fs::write(&options.output, packed).map_err(|_| {
        Fatal(format!(
            "Output file '{}' could not be opened",
            options.output.display()
        ))
    })
}

#[cfg(test)]
mod tests;
