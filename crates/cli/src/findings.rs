//! What the checking mode found: read from the vGPU's directory, printed, written to the report.

use crate::{args::CheckOptions, error::CliError};
use serde_json::Value;
use std::{collections::BTreeSet, fs::File, io::Read as _, path::Path};
use tessera_client::Vgpu;
use tessera_control::FINDINGS;

/// The findings of a vGPU, which can still be read when the vGPU is gone.
pub(crate) struct Findings(Option<File>);

impl Findings {
    /// Those of `vgpu`, which is checked.
    pub(crate) fn of(vgpu: &Vgpu) -> Self {
        let file = vgpu
            .guest_socket
            .parent()
            .map(|directory| directory.join(FINDINGS));
        Self(file.and_then(|path| File::open(path).ok()))
    }

    /// Prints them once the worker has ended; how many there are.
    pub(crate) fn report(self, options: &CheckOptions) -> Result<usize, CliError> {
        let mut lines = String::new();
        let mut read = |mut file: File| file.read_to_string(&mut lines).map(drop);
        let result = match self.0 {
            Some(file) => read(file),
            None => Err(std::io::ErrorKind::NotFound.into()),
        };
        result.map_err(|source| CliError::file("read", Path::new(FINDINGS), source))?;
        if let Some(path) = &options.check_report {
            std::fs::write(path, &lines).map_err(|source| CliError::file("write", path, source))?;
        }
        let (text, count) = shown(&lines);
        eprint!("{text}");
        Ok(count)
    }
}

/// The report as text, and how many findings there are.
fn shown(lines: &str) -> (String, usize) {
    let mut text = String::new();
    let (mut kernels, mut count) = (BTreeSet::new(), 0);
    for line in lines.lines() {
        let Ok(finding) = serde_json::from_str::<Value>(line) else {
            continue;
        };
        count += 1;
        let words = finding["text"].as_str().unwrap_or(line);
        text.push_str(&format!("tessera check: {words}\n"));
        if let Some(kernel) = finding["kernel"].as_str() {
            kernels.insert(kernel.to_owned());
        }
    }
    let plural = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let place = if kernels.is_empty() {
        String::new()
    } else {
        format!(" in {}", plural(kernels.len(), "kernel"))
    };
    text.push_str(&format!("tessera check: {}{place}\n", plural(count, "error")));
    (text, count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_counted_by_kernel() {
        let (text, count) = shown("");
        assert_eq!((text.as_str(), count), ("tessera check: 0 errors\n", 0));
        let lines = "{\"text\":\"race\\n    here\",\"kernel\":\"a\"}\n{\"text\":\"leak\"}\n{\"text\":\"race\",\"kernel\":\"a\"}\n";
        let (text, count) = shown(lines);
        assert_eq!(count, 3);
        assert!(text.starts_with("tessera check: race\n    here\ntessera check: leak\n"));
        assert!(text.ends_with("tessera check: 3 errors in 1 kernel\n"), "{text}");
    }
}
