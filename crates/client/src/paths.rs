//! Where a manager keeps its files.
//!
//! | | variable | as root | otherwise |
//! |---|---|---|---|
//! | state: `state.db` | `TESSERA_STATE_DIR` | `/var/lib/tessera` | `$XDG_STATE_HOME/tessera`, else `~/.local/state/tessera` |
//! | run: `manager.sock`, `vgpu/<uuid>/` | `TESSERA_RUN_DIR` | `/run/tessera` | `$XDG_RUNTIME_DIR/tessera`, else `/tmp/tessera-<uid>` |

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

/// Variable that names the state directory.
pub const STATE_DIR_VARIABLE: &str = "TESSERA_STATE_DIR";
/// Variable that names the run directory.
pub const RUN_DIR_VARIABLE: &str = "TESSERA_RUN_DIR";
/// Variable by which guest libraries find their vGPU: the path of a `guest.sock`.
pub const VGPU_SOCKET_VARIABLE: &str = "TESSERA_VGPU_SOCKET";

/// The directories of a manager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directories {
    /// What outlives a reboot.
    pub state: PathBuf,
    /// Sockets and logs of what runs.
    pub run: PathBuf,
}

impl Directories {
    /// The directories that the environment names, else the defaults for the user with this id.
    pub fn from_environment(uid: u32) -> Self {
        Self::resolve(uid, |name| {
            std::env::var_os(name).filter(|value| !value.is_empty())
        })
    }

    fn resolve(uid: u32, variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let path = |name: &str| variable(name).map(PathBuf::from);
        let default_state = || {
            if uid == 0 {
                return PathBuf::from("/var/lib/tessera");
            }
            let home = || Some(path("HOME")?.join(".local/state"));
            path("XDG_STATE_HOME")
                .or_else(home)
                .unwrap_or_else(|| PathBuf::from("/tmp"))
                .join("tessera")
        };
        let default_run = || {
            if uid == 0 {
                return PathBuf::from("/run/tessera");
            }
            let fallback = || PathBuf::from(format!("/tmp/tessera-{uid}"));
            path("XDG_RUNTIME_DIR").map_or_else(fallback, |base| base.join("tessera"))
        };
        Self {
            state: path(STATE_DIR_VARIABLE).unwrap_or_else(default_state),
            run: path(RUN_DIR_VARIABLE).unwrap_or_else(default_run),
        }
    }

    /// The API socket.
    pub fn manager_socket(&self) -> PathBuf {
        manager_socket(&self.run)
    }
}

/// The API socket in a run directory.
pub fn manager_socket(run: &Path) -> PathBuf {
    run.join("manager.sock")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(uid: u32, variables: &[(&str, &str)]) -> (String, String) {
        let found = Directories::resolve(uid, |name| {
            variables
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| OsString::from(value))
        });
        (found.state.display().to_string(), found.run.display().to_string())
    }

    #[test]
    fn defaults_and_variables() {
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(resolve(0, &[]), pair("/var/lib/tessera", "/run/tessera"));
        assert_eq!(
            resolve(0, &[(RUN_DIR_VARIABLE, "/x")]),
            pair("/var/lib/tessera", "/x")
        );
        assert_eq!(
            resolve(0, &[(STATE_DIR_VARIABLE, "/s")]),
            pair("/s", "/run/tessera")
        );
        assert_eq!(
            resolve(7, &[("HOME", "/h")]),
            pair("/h/.local/state/tessera", "/tmp/tessera-7")
        );
        let xdg = [
            ("XDG_STATE_HOME", "/xs"),
            ("XDG_RUNTIME_DIR", "/xr"),
            ("HOME", "/h"),
        ];
        assert_eq!(resolve(7, &xdg), pair("/xs/tessera", "/xr/tessera"));
    }
}
