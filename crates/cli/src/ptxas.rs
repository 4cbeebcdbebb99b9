//! A stand-in for `ptxas` that hands PTX over as it is.
//!
//! Triton compiles its PTX to machine code with `ptxas` and gives the result to the driver. Tessera's driver takes PTX, so for it the
//! right translation is none: the input file is copied to the output file. `tessera run` makes a link called `ptxas` to this program
//! and names it in `TRITON_PTXAS_PATH`.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Whether this process was started under the name `ptxas`.
pub(crate) fn is_meant() -> bool {
    std::env::args_os()
        .next()
        .is_some_and(|name| Path::new(&name).file_name().is_some_and(|name| name == "ptxas"))
}

pub(crate) fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--version") {
        // Callers look for the release, which decides the PTX version that they write: 13.0 is PTX ISA 9.0.
        let version =
            "ptxas of Tessera: hands PTX over as it is\nCuda compilation tools, release 13.0, V13.0.0\n";
        return crate::table::print(version).map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
    }
    match files(&arguments) {
        Ok((input, output)) => match std::fs::copy(&input, &output) {
            Ok(_) => ExitCode::SUCCESS,
            Err(error) => fail(&format!(
                "cannot copy {} to {}: {error}",
                input.display(),
                output.display()
            )),
        },
        Err(message) => fail(&message),
    }
}

fn fail(message: &str) -> ExitCode {
    eprintln!("ptxas of Tessera: {message}");
    ExitCode::FAILURE
}

/// The input and the output among the arguments; all others are of no meaning here.
fn files(arguments: &[OsString]) -> Result<(PathBuf, PathBuf), String> {
    let mut output = None;
    let mut input = None;
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let text = argument.to_string_lossy();
        if text == "-o" || text == "--output-file" {
            output = rest.next().map(PathBuf::from);
        } else if let Some(path) = text.strip_prefix("--output-file=") {
            output = Some(PathBuf::from(path));
        } else if text.ends_with(".ptx") && !text.starts_with('-') {
            input = Some(PathBuf::from(argument));
        }
    }
    let input = input.ok_or("no input file that ends in .ptx")?;
    Ok((input, output.ok_or("no output file: -o FILE")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<(PathBuf, PathBuf), String> {
        files(&arguments.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn input_and_output_are_found_among_options() {
        let pair = Ok((PathBuf::from("/t/a.ptx"), PathBuf::from("/t/a.o")));
        assert_eq!(
            parse(&["-lineinfo", "-v", "--gpu-name=sm_90a", "/t/a.ptx", "-o", "/t/a.o"]),
            pair
        );
        assert_eq!(parse(&["--output-file=/t/a.o", "/t/a.ptx"]), pair);
        assert!(parse(&["-o", "/t/a.o"]).is_err());
        assert!(parse(&["/t/a.ptx", "-o"]).is_err());
    }
}
