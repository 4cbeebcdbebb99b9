//! The list of variants with the reasons of those that are not executed, and the page made from it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

/// A variant as programs spell it.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) spelling: String,
    /// How many kernels of the survey have it.
    pub(crate) kernels: u32,
    /// Why it is not executed: the name of a reason.
    pub(crate) reason: Option<String>,
}

/// `opcodes.txt`.
pub(crate) struct List {
    /// The comments at its head.
    head: String,
    /// Reasons: name and sentence.
    reasons: BTreeMap<String, String>,
    pub(crate) rows: Vec<Row>,
}

const BEGIN: &str = "<!-- generated: what is executed -->";
const END: &str = "<!-- end of what is generated -->";

fn path(relative: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(relative)
}

fn list_file() -> PathBuf {
    path("tests/coverage/opcodes.txt")
}

fn page_file() -> PathBuf {
    path("../../docs/software-gpu.md")
}

impl List {
    pub(crate) fn read() -> Self {
        let text = std::fs::read_to_string(list_file()).expect("the list is there");
        let mut list = Self {
            head: String::new(),
            reasons: BTreeMap::new(),
            rows: Vec::new(),
        };
        for line in text.lines() {
            if line.starts_with('#') {
                let _ = writeln!(list.head, "{line}");
                continue;
            }
            if let Some((name, sentence)) = line.strip_prefix('@').and_then(|l| l.split_once(' ')) {
                list.reasons.insert(name.into(), sentence.trim().into());
                continue;
            }
            let mut words = line.split_whitespace();
            let (Some(spelling), Some(Ok(kernels))) = (words.next(), words.next().map(str::parse)) else {
                panic!("`{line}` is not a row");
            };
            let reason = words.next().map(str::to_owned);
            if let Some(reason) = &reason {
                assert!(list.reasons.contains_key(reason), "`{line}`: no such reason");
            }
            list.rows.push(Row {
                spelling: spelling.into(),
                kernels,
                reason,
            });
        }
        list
    }

    pub(crate) fn write(&self) {
        let mut text = self.head.clone();
        for (name, sentence) in &self.reasons {
            let _ = writeln!(text, "@{name} {sentence}");
        }
        for row in &self.rows {
            let reason = row.reason.as_deref().map_or(String::new(), |r| format!(" {r}"));
            let _ = writeln!(text, "{} {}{reason}", row.spelling, row.kernels);
        }
        std::fs::write(list_file(), text).expect("the list can be written");
    }

    /// The generated section of the page.
    pub(crate) fn page(&self) -> String {
        let executed = self.rows.iter().filter(|row| row.reason.is_none()).count();
        let mut page = format!(
            "Of the {} variants of instructions that a survey of 42,390 kernels of 16 sources met, {executed} are executed.\n\n\
             | instruction | variants met | executed |\n|---|--:|--:|\n",
            self.rows.len()
        );
        let mut families: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
        for row in &self.rows {
            let name = row.spelling.split('.').next().unwrap_or_default();
            let family = families.entry(name).or_default();
            family.0 += 1;
            family.1 += u32::from(row.reason.is_none());
        }
        for (name, (met, executed)) in families {
            let _ = writeln!(page, "| `{name}` | {met} | {executed} |");
        }
        page.push_str(
            "\nNot executed, and refused when the kernel is compiled, with the instruction and its line:\n\n",
        );
        for (name, sentence) in &self.reasons {
            let rows: Vec<&Row> = (self.rows.iter())
                .filter(|row| row.reason.as_ref() == Some(name))
                .collect();
            if rows.is_empty() {
                continue;
            }
            let _ = writeln!(page, "* {sentence}");
            for row in rows {
                let _ = writeln!(page, "  * `{}` ({} kernels)", row.spelling, row.kernels);
            }
        }
        page
    }
}

/// The page: before, generated, after.
fn parts() -> (String, String, String) {
    let text = std::fs::read_to_string(page_file()).expect("the page is there");
    let (before, rest) = text
        .split_once(BEGIN)
        .expect("the page has the mark of its generated part");
    let (generated, after) = rest.split_once(END).expect("the generated part has an end");
    (before.into(), generated.trim_start().into(), after.into())
}

pub(crate) fn committed_page() -> String {
    parts().1
}

pub(crate) fn write_page(page: &str) {
    let (before, _, after) = parts();
    std::fs::write(page_file(), format!("{before}{BEGIN}\n{page}{END}{after}"))
        .expect("the page can be written");
}
