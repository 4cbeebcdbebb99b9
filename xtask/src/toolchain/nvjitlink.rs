//! Links our nvJitLink once per major version of the vendor's, and compares its names with the vendor's.
//!
//! As with the runtime library, one static library becomes one shared library per version, with its SONAME, its ELF version node and a
//! constant that tells the code which it is. They lie in a directory of their own, which is on no search path until a program asks for it
//! (`tessera run --nvjitlink`): what finds an nvJitLink may prefer it to the driver's linker.

use super::cudart::{link_shared, version_script};
use super::environment::{Environment, PYTHON, done, is_done, remove};
use crate::sh;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Major versions, and the last minor version of each whose names are exported.
const VERSIONS: [(u32, u32); 2] = [(12, 9), (13, 5)];

/// Functions of the public header.
const FUNCTIONS: [&str; 15] = [
    "nvJitLinkCreate",
    "nvJitLinkDestroy",
    "nvJitLinkAddData",
    "nvJitLinkAddFile",
    "nvJitLinkComplete",
    "nvJitLinkGetLinkedCubinSize",
    "nvJitLinkGetLinkedCubin",
    "nvJitLinkGetLinkedPtxSize",
    "nvJitLinkGetLinkedPtx",
    "nvJitLinkGetLinkedLTOIRSize",
    "nvJitLinkGetLinkedLTOIR",
    "nvJitLinkGetErrorLogSize",
    "nvJitLinkGetErrorLog",
    "nvJitLinkGetInfoLogSize",
    "nvJitLinkGetInfoLog",
];

/// Exported by the vendor's library, declared in no header.
const PRIVATE: &str = "__nvJitLinkAPI";

/// The vendor's library of each version, to compare with and to compile LTO-IR.
const NVJITLINK: Environment = Environment {
    name: "nvjitlink",
    about: "the vendor's nvJitLink",
    megabytes: 87,
    packages: &["nvidia-nvjitlink==13.5.37", "nvidia-nvjitlink-cu12==12.9.86"],
};

/// Directory of the libraries, in that of the guest libraries.
const DIRECTORY: &str = "nvjitlink";

fn name_of(major: u32) -> String {
    format!("libnvJitLink.so.{major}")
}

/// Our library of a version.
pub(super) fn ours(libraries: &Path, major: u32) -> PathBuf {
    libraries.join(DIRECTORY).join(name_of(major))
}

/// A Python with the clients and the vendor's libraries beside them, as `pip install numba-cuda[cu13]` gives it: the files of the clients'
/// own environment, linked.
pub(super) fn python() -> Result<PathBuf> {
    PYTHON.ensure()?;
    let stamp = NVJITLINK.root().join("clients");
    let wanted = PYTHON.packages.join("\n");
    if !is_done(&stamp, &wanted) {
        remove(&NVJITLINK.root())?;
        NVJITLINK.ensure()?;
        add_files(&PYTHON.libraries()?, &NVJITLINK.libraries()?)?;
        fs::create_dir_all(&stamp)?;
        done(&stamp, &wanted)?;
    }
    NVJITLINK.ensure()
}

/// Links the files of one tree into another, as far as they are not there.
fn add_files(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            add_files(&path, &target)?;
        } else if target.symlink_metadata().is_err() {
            fs::hard_link(&path, &target).with_context(|| format!("cannot link {}", path.display()))?;
        }
    }
    Ok(())
}

/// The vendor's library of a version.
fn vendors(major: u32) -> Result<PathBuf> {
    python()?;
    let directory = match major {
        12 => "nvidia/nvjitlink/lib",
        _ => "nvidia/cu13/lib",
    };
    Ok(NVJITLINK.libraries()?.join(directory).join(name_of(major)))
}

/// Names that a version exports.
fn exports(major: u32, last: u32) -> Vec<String> {
    let mut names = vec!["nvJitLinkVersion".to_owned(), "tessera_nvjitlink".to_owned()];
    // Linked LTO-IR came with version 13.
    for function in FUNCTIONS
        .iter()
        .filter(|name| major >= 13 || !name.contains("LTOIR"))
    {
        names.push((*function).to_owned());
        names.extend((0..=last).map(|minor| format!("__{function}_{major}_{minor}")));
    }
    names
}

/// Links `libtessera_libnvjitlink.a` in `built` into `libnvJitLink.so.*` in a directory of `libraries`.
pub(crate) fn link_nvjitlink(built: &Path, libraries: &Path) -> Result<()> {
    let work = tempfile::tempdir()?;
    fs::create_dir_all(libraries.join(DIRECTORY))?;
    for (major, last) in VERSIONS {
        let name = name_of(major);
        let (source, map) = (work.path().join("major.c"), work.path().join("exports.map"));
        fs::write(
            &source,
            format!(
                "__attribute__((visibility(\"hidden\"))) const unsigned tessera_nvjitlink_major = {major};\n"
            ),
        )?;
        fs::write(&map, version_script(&name, &exports(major, last))?)?;
        let archive = built.join("libtessera_libnvjitlink.a");
        link_shared(&archive, &source, &name, &map, &ours(libraries, major))?;
    }
    Ok(())
}

/// Names with their version nodes that a library exports.
fn exported(library: &Path) -> Result<BTreeSet<String>> {
    let symbols = sh::text(
        Command::new("nm")
            .args(["-D", "--defined-only", "--with-symbol-versions"])
            .arg(library),
    )?;
    Ok(symbols
        .lines()
        .filter_map(|line| line.split(' ').next_back())
        .map(str::to_owned)
        .collect())
}

/// Checks that our libraries export what the vendor's do, in the same version nodes.
pub(super) fn check_names(libraries: &Path) -> Result<()> {
    for (major, _) in VERSIONS {
        let ours = exported(&ours(libraries, major))?;
        let public = exported(&vendors(major)?)?
            .into_iter()
            .filter(|name| name.contains("nvJitLink") && !name.starts_with(PRIVATE));
        let public: BTreeSet<String> = public.collect();
        ensure!(
            public.len() > 100,
            "the vendor's library of {major} exports {} names",
            public.len()
        );
        let missing: Vec<&String> = public.difference(&ours).collect();
        ensure!(missing.is_empty(), "{} lacks {missing:?}", name_of(major));
        let more: Vec<&String> = ours
            .difference(&public)
            .filter(|name| !name.starts_with("tessera_"))
            .collect();
        ensure!(
            more.is_empty(),
            "{} has {more:?}, which the vendor's has not",
            name_of(major)
        );
        println!("  PASS  {}: the vendor's {} names", name_of(major), public.len());
    }
    Ok(())
}

/// Checks that our libraries answer as the vendor's do; the script names what differs on purpose.
pub(super) fn check_answers(libraries: &Path) -> Result<()> {
    for (major, _) in VERSIONS {
        sh::run(
            Command::new(python()?)
                .arg(sh::root().join("tests/clients/nvjitlink_answers.py"))
                .arg(ours(libraries, major))
                .arg(vendors(major)?)
                .arg(major.to_string()),
        )?;
    }
    Ok(())
}
