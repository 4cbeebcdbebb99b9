//! `tessera env`.

use crate::{
    args::{EnvOptions, ShellSyntax},
    commands::{client, running},
    environment::{self, Guest, Variable},
    error::CliError,
    libraries, table,
};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    ffi::OsStr,
    io,
    os::unix::{fs::FileTypeExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::ExitCode,
};
use tessera_client::{Vgpu, VgpuState, paths::VGPU_SOCKET_VARIABLE};

/// What `--json` prints.
#[derive(Serialize)]
struct Environment<'a> {
    /// Socket of the vGPU.
    socket: &'a Path,
    variables: BTreeMap<&'static str, &'a str>,
}

pub(crate) async fn run(options: EnvOptions, json: bool) -> Result<ExitCode, CliError> {
    let socket = socket(&options).await?;
    let helpers = libraries::lasting()?;
    if options.nvjitlink {
        libraries::require_nvjitlink(&helpers.libraries)?;
    }
    let guest = Guest {
        libraries: &helpers.libraries,
        socket: &socket,
        ptxas: &helpers.ptxas,
        nvjitlink: options.nvjitlink,
    };
    let variables = environment::variables(&guest, |name| std::env::var_os(name));
    if let Some((program, arguments)) = options.command.split_first() {
        // Only comes back when it fails.
        let source = std::process::Command::new(program)
            .args(arguments)
            .envs(variables)
            .exec();
        return Err(CliError::Program {
            program: program.to_string_lossy().into_owned(),
            source,
        });
    }
    if json {
        let texts: Result<_, CliError> = variables.iter().map(|v| Ok((v.0, text(v)?))).collect();
        table::json(&Environment {
            socket: &socket,
            variables: texts?,
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut lines = String::new();
    for variable in &variables {
        lines.push_str(&line(options.shell, variable.0, text(variable)?));
    }
    table::print(&lines)?;
    Ok(ExitCode::SUCCESS)
}

/// The socket of the vGPU that is meant.
async fn socket(options: &EnvOptions) -> Result<PathBuf, CliError> {
    if let Some(path) = &options.socket {
        let path = std::path::absolute(path).map_err(|source| CliError::file("find", path, source))?;
        return match std::fs::metadata(&path) {
            Ok(file) if file.file_type().is_socket() => Ok(path),
            Ok(_) => Err(CliError::NoVgpu(format!("{} is not a socket", path.display()))),
            Err(error) => Err(CliError::NoVgpu(format!("{}: {error}", path.display()))),
        };
    }
    let client = client();
    if let Some(given) = &options.vgpu {
        let vgpu = running(client.vgpu(given).await?, given)?;
        return Ok(vgpu.guest_socket);
    }
    let is_socket = |path: &PathBuf| std::fs::metadata(path).is_ok_and(|file| file.file_type().is_socket());
    if let Some(path) = std::env::var_os(VGPU_SOCKET_VARIABLE)
        .map(PathBuf::from)
        .filter(is_socket)
    {
        return Ok(path);
    }
    let mut vgpus = client.vgpus(0).await?;
    vgpus.retain(|vgpu| vgpu.state == VgpuState::Running);
    match vgpus.as_slice() {
        [vgpu] => Ok(vgpu.guest_socket.clone()),
        [] => Err(CliError::NoVgpu(
            "no vGPU of this host runs; create one, as by `tessera vgpu create --type H100-20C --name train`"
                .to_owned(),
        )),
        several => Err(CliError::NoVgpu(format!(
            "{} vGPUs of this host run; choose one with --vgpu: {}",
            several.len(),
            several.iter().map(name).collect::<Vec<_>>().join(", ")
        ))),
    }
}

fn name(vgpu: &Vgpu) -> String {
    vgpu.name.clone().unwrap_or_else(|| vgpu.uuid.to_string())
}

fn text((name, value): &Variable) -> Result<&str, CliError> {
    value.to_str().ok_or_else(|| {
        let source = io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8");
        CliError::file("print", Path::new::<OsStr>(name.as_ref()), source)
    })
}

/// A line that sets a variable for the programs that a shell starts.
fn line(syntax: ShellSyntax, name: &str, value: &str) -> String {
    match syntax {
        ShellSyntax::Posix => format!("export {name}='{}'\n", value.replace('\'', r"'\''")),
        ShellSyntax::Fish => {
            let value = value.replace('\\', r"\\").replace('\'', r"\'");
            format!("set -gx {name} '{value}'\n")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_for_each_shell() {
        let value = r"/a b/it's $HOME\n";
        assert_eq!(
            line(ShellSyntax::Posix, "X", value),
            "export X='/a b/it'\\''s $HOME\\n'\n"
        );
        assert_eq!(
            line(ShellSyntax::Fish, "X", value),
            "set -gx X '/a b/it\\'s $HOME\\\\n'\n"
        );
    }
}
