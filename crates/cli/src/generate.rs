//! Completions, manual pages and `docs/cli.md`, all from the help texts.

use crate::{args::Arguments, error::CliError, table};
use clap::{Command, CommandFactory as _};
use clap_complete::Shell;
use std::{fmt::Write as _, path::Path, process::ExitCode};

fn command() -> Command {
    let mut command = Arguments::command();
    command.build();
    command
}

pub(crate) fn completions(shell: Shell) -> Result<ExitCode, CliError> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut command(), "tessera", &mut text);
    table::print(&String::from_utf8_lossy(&text))?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn man(directory: Option<&Path>) -> Result<ExitCode, CliError> {
    match directory {
        Some(directory) => {
            std::fs::create_dir_all(directory).map_err(|source| CliError::file("make", directory, source))?;
            let failed = |source| CliError::file("write manual pages to", directory, source);
            clap_mangen::generate_to(Arguments::command(), directory).map_err(failed)?;
        }
        None => {
            let mut text = Vec::new();
            let failed = |source| CliError::file("make", Path::new("the manual page"), source);
            clap_mangen::Man::new(command())
                .render(&mut text)
                .map_err(failed)?;
            table::print(&String::from_utf8_lossy(&text))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn docs() -> Result<ExitCode, CliError> {
    table::print(&markdown())?;
    Ok(ExitCode::SUCCESS)
}

/// The help of every command, as the text of `docs/cli.md`.
pub(crate) fn markdown() -> String {
    let mut text = "# The command line\n\nThis page is the help of every command; `tessera docs` prints it and a test compares them.\n".to_owned();
    write_command(&mut text, &command(), "tessera");
    text
}

fn write_command(text: &mut String, command: &Command, name: &str) {
    let mut shown = command
        .clone()
        .term_width(100)
        .bin_name(name)
        .disable_help_subcommand(true);
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "\n## `{name}`\n\n```text\n{}\n```\n",
        shown.render_long_help().to_string().trim_end()
    );
    for sub in command
        .get_subcommands()
        .filter(|sub| !sub.is_hide_set() && sub.get_name() != "help")
    {
        write_command(text, sub, &format!("{name} {}", sub.get_name()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_holds_together() {
        Arguments::command().debug_assert();
    }

    /// To renew: `cargo run -p tessera-cli -- docs > docs/cli.md`.
    #[test]
    fn the_page_is_the_help() {
        let page = include_str!("../../../docs/cli.md");
        assert_eq!(
            page,
            markdown(),
            "docs/cli.md is not the help; see the comment on this test"
        );
    }
}
