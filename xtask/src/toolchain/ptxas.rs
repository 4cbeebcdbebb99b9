//! Our `ptxas` beside the vendor's: the same command lines on the files of `tests/ptxas`, compared in exit code, in what is said and in
//! whether there is an output. The vendor's comes with the compiler and needs no GPU.

use super::environment::PYTHON;
use crate::dist::Layout;
use crate::sh;
use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// How much of what is said has to be the same.
#[derive(Clone, Copy)]
enum Same {
    /// Every line.
    Words,
    /// Every line but its numbers, less what ours has no number for.
    Statistics,
    /// Files, lines and severities; the words about PTX are ours.
    Places,
}

#[rustfmt::skip]
const CASES: &[(Same, &str)] = &[
    (Same::Words, "one.ptx -arch=sm_80"),
    (Same::Words, "one.ptx --gpu-name sm_86 --output-file=other.o"),
    (Same::Words, "one.ptx -arch=sm_90a -lineinfo -O3 -m64 --fmad=false --regAllocOptLevel=2"),
    (Same::Words, "one.ptx -arch=compute_80"),
    (Same::Words, "-optf options one.ptx"),
    (Same::Words, "one.ptx"),
    (Same::Words, "one.ptx -arch=sm_75"),
    (Same::Words, "one.ptx -arch=sm_20"),
    (Same::Words, "one.ptx -arch="),
    (Same::Words, "one.ptx -arch"),
    (Same::Words, "one.ptx --arch=sm_80"),
    (Same::Words, "one.ptx -gpu-name=sm_80"),
    (Same::Words, "one.ptx -arch=sm_80 --frobnicate"),
    (Same::Words, "one.ptx -arch=sm_80 -frobnicate=3"),
    (Same::Words, "one.ptx -arch=sm_80 -m32"),
    (Same::Words, "one.ptx -arch=sm_80 -fmad=maybe"),
    (Same::Words, "one.ptx -arch=sm_80 -maxrregcount=many"),
    (Same::Words, "one.ptx -arch=sm_80 -maxrregcount 300 -w"),
    (Same::Words, "one.ptx -arch=sm_80 -maxrregcount 300 -Werror"),
    (Same::Words, "one.ptx -arch=sm_80 -o absent/one.o"),
    (Same::Words, "one.ptx -arch=sm_80 -o"),
    (Same::Words, "one.ptx -arch=sm_80 -warn-lmem-usage -warn-spills"),
    (Same::Words, "specific.ptx -arch=sm_90a"),
    (Same::Words, "specific.ptx -arch=sm_90"),
    (Same::Words, "specific.ptx -arch=sm_100a"),
    (Same::Words, "family.ptx -arch=sm_103"),
    (Same::Words, "family.ptx -arch=sm_120"),
    (Same::Words, "family.ptx -arch=sm_90"),
    (Same::Words, "absent.ptx -arch=sm_80"),
    (Same::Words, "text.ptx -arch=sm_80"),
    (Same::Words, "caller.ptx -arch=sm_80"),
    (Same::Words, "one.ptx recursive.ptx called.ptx -arch=sm_80"),
    (Same::Words, "recursive.ptx one.ptx specific.ptx -arch=sm_80"),
    (Same::Words, "family.ptx family.ptx -arch=sm_100f"),
    (Same::Words, "caller.ptx -arch=sm_80 -c"),
    (Same::Words, "extern.ptx -arch=sm_80 -c"),
    (Same::Words, "recursive.ptx -arch=sm_80"),
    (Same::Words, "recursive.ptx -arch=sm_80 -suppress-stack-size-warning"),
    (Same::Statistics, "one.ptx -arch=sm_80 -v"),
    (Same::Statistics, "family.ptx -arch=sm_100f -v"),
    (Same::Places, "one.ptx -arch=sm_80 -warn-double-usage"),
    (Same::Places, "wrong.ptx -arch=sm_80"),
];

/// What a run left.
#[derive(PartialEq, Eq)]
struct Left {
    code: Option<i32>,
    lines: Vec<String>,
    files: BTreeSet<String>,
}

/// Runs a command line in a directory of its own.
fn run(program: &Path, line: &str, same: Same) -> Result<Left> {
    let directory = tempfile::tempdir()?;
    for entry in std::fs::read_dir(sh::root().join("tests/ptxas"))? {
        let entry = entry?;
        std::fs::copy(entry.path(), directory.path().join(entry.file_name()))?;
    }
    let output = Command::new(program)
        .args(line.split_whitespace())
        .current_dir(directory.path())
        .output()
        .with_context(|| format!("cannot run {}", program.display()))?;
    let mut files = BTreeSet::new();
    for entry in std::fs::read_dir(directory.path())? {
        files.insert(entry?.file_name().to_string_lossy().into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let mut lines: Vec<String> = said.lines().filter_map(|line| seen(line, same)).collect();
    if matches!(same, Same::Places) {
        lines.sort();
        lines.dedup();
    }
    Ok(Left {
        code: output.status.code(),
        lines,
        files,
    })
}

/// What is compared of a line.
fn seen(line: &str, same: Same) -> Option<String> {
    match same {
        Same::Words => Some(line.to_owned()),
        Same::Places => Some(match line.split_once("; ") {
            Some((place, words)) => format!("{place}; {}", words.split(':').next().unwrap_or_default()),
            None => line.to_owned(),
        }),
        Same::Statistics if line.contains("Compile time") => None,
        Same::Statistics => {
            let mut kept: Vec<String> = Vec::new();
            for part in line.split(", ").filter(|part| !is_only_theirs(part)) {
                kept.push(part.chars().filter(|c| !c.is_ascii_digit()).collect());
            }
            Some(kept.join(", "))
        }
    }
}

/// Numbers that the vendor's has and ours has not: barriers, the stack of a call tree, constants of its code, parameters where there are none.
fn is_only_theirs(part: &str) -> bool {
    ["barriers", "cumulative stack size", "cmem[0]", "cmem[4]"]
        .iter()
        .any(|end| part.ends_with(end))
}

/// Compares all; every difference is printed.
pub(crate) fn ptxas(layout: &Layout) -> Result<()> {
    PYTHON.ensure()?;
    let theirs = PYTHON.libraries()?.join("nvidia/cu13/bin/ptxas");
    let ours = layout.libraries.join("bin/ptxas");
    let mut differ = 0;
    for &(same, line) in CASES {
        let (expected, found) = (run(&theirs, line, same)?, run(&ours, line, same)?);
        if expected == found {
            continue;
        }
        differ += 1;
        println!("  FAIL  ptxas {line}");
        for (whose, left) in [("vendor's", expected), ("ours", found)] {
            println!("        {whose}: {:?}, {} files", left.code, left.files.len());
            for line in left.lines {
                println!("          {line}");
            }
        }
    }
    if differ > 0 {
        bail!(
            "{differ} of {} command lines of ptxas differ from the vendor's",
            CASES.len()
        );
    }
    println!(
        "  {} command lines of ptxas are answered as by the vendor's",
        CASES.len()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_words_are_left_out_where_they_may_differ() {
        let used = "ptxas info    : Used 16 registers, used 1 barriers, 512 bytes smem, 360 bytes cmem[0]";
        let ours = "ptxas info    : Used 8 registers, 512 bytes smem, 8 bytes cmem[0]";
        assert_eq!(seen(used, Same::Statistics), seen(ours, Same::Statistics));
        assert_ne!(
            seen(used, Same::Statistics),
            seen("ptxas info    : Used 8 registers", Same::Statistics)
        );
        let (one, other) = ("ptxas a, line 3; error   : x", "ptxas a, line 3; error   : y: z");
        assert_eq!(seen(one, Same::Places), seen(other, Same::Places));
        assert_ne!(
            seen(one, Same::Places),
            seen("ptxas a, line 3; warning : x", Same::Places)
        );
    }
}
