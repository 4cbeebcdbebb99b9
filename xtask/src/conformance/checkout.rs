//! A checkout of a client's repository, which the user gives where no package of the client has its tests.

use crate::sh;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A checkout that is as it was committed.
pub(crate) struct Checkout {
    pub(crate) root: PathBuf,
    /// The start of the commit's hash.
    pub(crate) commit: String,
}

impl Checkout {
    /// Looks at it. One with changes is refused: a suite counts only as its authors wrote it.
    pub(crate) fn open(directory: &Path) -> Result<Self> {
        let root = directory
            .canonicalize()
            .with_context(|| format!("cannot find {}", directory.display()))?;
        let git = |arguments: &[&str]| sh::text(Command::new("git").arg("-C").arg(&root).args(arguments));
        let commit = git(&["rev-parse", "--short=12", "HEAD"])
            .with_context(|| format!("{} is no checkout of a git repository", root.display()))?;
        let changed = git(&["status", "--porcelain", "--untracked-files=no"])?;
        if !changed.is_empty() {
            bail!("{} is not as it was committed:\n{changed}", root.display());
        }
        Ok(Self {
            root,
            commit: commit.trim().to_owned(),
        })
    }
}

/// `SUITE=DIR` of the command line.
pub(crate) fn parse(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((suite, directory)) if !suite.is_empty() && !directory.is_empty() => {
            Ok((suite.to_owned(), PathBuf::from(directory)))
        }
        _ => Err("expected SUITE=DIR".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn git(root: &Path, arguments: &[&str]) {
        let mut command = Command::new("git");
        command
            .arg("-C")
            .arg(root)
            .args(["-c", "user.name=n", "-c", "user.email=e"]);
        sh::text(command.args(arguments)).expect("git works");
    }

    #[test]
    fn a_changed_checkout_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let root = directory.path();
        assert!(Checkout::open(root).is_err(), "no repository");
        git(root, &["init", "--quiet"]);
        fs::write(root.join("test.py"), "a").expect("a file");
        git(root, &["add", "test.py"]);
        git(root, &["commit", "--quiet", "--message", "m"]);
        assert_eq!(Checkout::open(root).expect("a checkout").commit.len(), 12);
        fs::write(root.join("test.py"), "b").expect("a file");
        assert!(Checkout::open(root).is_err(), "changed");
    }

    #[test]
    fn a_suite_and_its_directory() {
        assert_eq!(parse("a=b=c"), Ok(("a".to_owned(), PathBuf::from("b=c"))));
        assert!(parse("a").is_err());
        assert!(parse("=b").is_err());
        assert!(parse("a=").is_err());
    }
}
