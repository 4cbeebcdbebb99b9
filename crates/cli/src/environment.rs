//! The environment of a guest: by which variables unmodified programs find their vGPU, our libraries and our `ptxas`.
//!
//! `tessera run` and `tessera env` both take them from here; `docs/toolchains.md` says what each client does with them.

use crate::libraries;
use std::{
    ffi::{OsStr, OsString},
    path::Path,
};
use tessera_client::paths::VGPU_SOCKET_VARIABLE;

/// What a guest needs to find.
pub(crate) struct Guest<'a> {
    /// Directory of the guest libraries.
    pub(crate) libraries: &'a Path,
    /// The vGPU's socket.
    pub(crate) socket: &'a Path,
    /// What stands for `ptxas`.
    pub(crate) ptxas: &'a Path,
    /// Whether our nvJitLink takes the place of the vendor's.
    pub(crate) nvjitlink: bool,
}

/// A variable and its value.
pub(crate) type Variable = (&'static str, OsString);

/// The variables to set where `current` gives those that are set.
pub(crate) fn variables(guest: &Guest<'_>, current: impl Fn(&str) -> Option<OsString>) -> Vec<Variable> {
    const SEARCH: &str = "LD_LIBRARY_PATH";
    const PRELOAD: &str = "LD_PRELOAD";
    let mut path = prepend(guest.libraries, current(SEARCH));
    let mut preload = None;
    if guest.nvjitlink {
        path = prepend(&guest.libraries.join(libraries::NVJITLINK), Some(path));
        // Python packages load the vendor's library by its path, unless one of that name is loaded already.
        preload = libraries::nvjitlink(guest.libraries)
            .iter()
            .fold(current(PRELOAD), |list, library| Some(prepend(library, list)));
    }
    let mut variables = vec![
        (VGPU_SOCKET_VARIABLE, guest.socket.as_os_str().to_owned()),
        (SEARCH, path),
    ];
    variables.extend(preload.map(|preload| (PRELOAD, preload)));
    // Frameworks that would compile PTX to machine code themselves are told to hand it over. Users' own settings stay.
    let switches: [(&str, &OsStr); 5] = [
        ("CUPY_COMPILE_WITH_PTX", OsStr::new("1")),
        ("CUPY_ACCELERATORS", OsStr::new("")),
        ("TRITON_LIBCUDA_PATH", guest.libraries.as_os_str()),
        ("TRITON_PTXAS_PATH", guest.ptxas.as_os_str()),
        ("TRITON_PTXAS_BLACKWELL_PATH", guest.ptxas.as_os_str()),
    ];
    let unset = switches.into_iter().filter(|(name, _)| current(name).is_none());
    variables.extend(unset.map(|(name, value)| (name, value.to_owned())));
    variables
}

/// Puts a directory or a library first in a path, where it then stands once. An empty entry in such a path means the working directory, so none
/// is made.
fn prepend(directory: &Path, path: Option<OsString>) -> OsString {
    let mut joined = directory.as_os_str().to_owned();
    let path = path.filter(|path| !path.is_empty()).unwrap_or_default();
    let others = std::env::split_paths(&path).filter(|entry| entry != directory);
    for entry in others.filter(|_| !path.is_empty()) {
        joined.push(":");
        joined.push(entry);
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guest() -> Guest<'static> {
        Guest {
            libraries: Path::new("/lib/tessera"),
            socket: Path::new("/run/guest.sock"),
            ptxas: Path::new("/lib/tessera/bin/ptxas"),
            nvjitlink: false,
        }
    }

    #[test]
    fn search_paths_get_no_empty_entry_and_name_a_directory_once() {
        let directory = Path::new("/lib/tessera");
        assert_eq!(prepend(directory, None), "/lib/tessera");
        assert_eq!(prepend(directory, Some("".into())), "/lib/tessera");
        assert_eq!(prepend(directory, Some("/a:/b".into())), "/lib/tessera:/a:/b");
        assert_eq!(
            prepend(directory, Some("/a:/lib/tessera:".into())),
            "/lib/tessera:/a:"
        );
    }

    #[test]
    fn what_users_set_stays_and_the_vgpu_changes() {
        let set = |name: &str| match name {
            "TRITON_PTXAS_PATH" => Some("/opt/ptxas".into()),
            "CUPY_ACCELERATORS" => Some("".into()),
            VGPU_SOCKET_VARIABLE => Some("/run/old.sock".into()),
            _ => None,
        };
        let variables = variables(&guest(), set);
        let names: Vec<&str> = variables.iter().map(|(name, _)| *name).collect();
        let expected = [
            VGPU_SOCKET_VARIABLE,
            "LD_LIBRARY_PATH",
            "CUPY_COMPILE_WITH_PTX",
            "TRITON_LIBCUDA_PATH",
            "TRITON_PTXAS_BLACKWELL_PATH",
        ];
        assert_eq!(names, expected);
        assert_eq!(
            variables.first().map(|(_, value)| value.as_os_str()),
            Some(OsStr::new("/run/guest.sock"))
        );
    }
    #[test]
    fn nvjitlink_is_loaded_before_the_vendors() {
        let guest = Guest {
            nvjitlink: true,
            ..guest()
        };
        let set = |name: &str| (name == "LD_PRELOAD").then(|| "/opt/mine.so".into());
        let variables = variables(&guest, set);
        let value = |wanted| {
            variables
                .iter()
                .find(|(name, _)| *name == wanted)
                .unwrap()
                .1
                .clone()
        };
        assert_eq!(value("LD_LIBRARY_PATH"), "/lib/tessera/nvjitlink:/lib/tessera");
        let preload = "/lib/tessera/nvjitlink/libnvJitLink.so.13:/lib/tessera/nvjitlink/libnvJitLink.so.12:/opt/mine.so";
        assert_eq!(value("LD_PRELOAD"), preload);
    }
}
