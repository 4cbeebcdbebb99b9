//! What of the instruction table is not executed, with reasons.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use tessera_ptx::isa::{Choice, Form};

/// `manual.txt`.
pub(crate) struct Manual {
    /// The comments at its head.
    head: String,
    reasons: BTreeMap<String, String>,
    /// Beginnings of spellings of families that are not executed as a whole, with the name of the reason.
    families: Vec<(String, String)>,
    /// Spellings that are not executed, with the name of the reason.
    refused: BTreeMap<String, String>,
}

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/coverage/manual.txt")
}

/// A row as text: its mnemonic and what may stand in each slot.
pub(crate) fn text(form: &Form) -> String {
    let mut text = form.op.as_str().to_owned();
    for slot in &form.slots {
        let choices = match &slot.choice {
            Choice::Of(mods) => mods.iter().map(ToString::to_string).collect::<Vec<_>>().join("|"),
            Choice::WarpgroupShape => "shape".into(),
        };
        let _ = write!(text, " {}{choices}", if slot.optional { "?" } else { "" });
    }
    let _ = write!(text, " : {} operands", form.operands.len());
    text
}

impl Manual {
    pub(crate) fn read() -> Self {
        let mut manual = Self {
            head: String::new(),
            reasons: BTreeMap::new(),
            families: Vec::new(),
            refused: BTreeMap::new(),
        };
        let content = std::fs::read_to_string(file()).expect("the list is there");
        for line in content.lines().filter(|line| !line.is_empty()) {
            if line.starts_with('#') {
                let _ = writeln!(manual.head, "{line}");
            } else if let Some((name, sentence)) = line.strip_prefix('@').and_then(|l| l.split_once(' ')) {
                manual.reasons.insert(name.into(), sentence.into());
            } else {
                let (spelling, reason) = line.split_once(' ').expect("a spelling and a reason");
                assert!(manual.reasons.contains_key(reason), "`{line}`: no such reason");
                match spelling.strip_suffix('*') {
                    Some(family) => manual.families.push((family.into(), reason.into())),
                    None => drop(manual.refused.insert(spelling.into(), reason.into())),
                }
            }
        }
        manual
    }

    pub(crate) fn write(&self) {
        let mut text = self.head.clone();
        for (name, sentence) in &self.reasons {
            let _ = writeln!(text, "@{name} {sentence}");
        }
        for (family, reason) in &self.families {
            let _ = writeln!(text, "{family}* {reason}");
        }
        for (spelling, reason) in &self.refused {
            let _ = writeln!(text, "{spelling} {reason}");
        }
        std::fs::write(file(), text).expect("the list can be written");
    }

    /// Why a spelling is not executed, if it is listed.
    pub(crate) fn reason(&self, spelling: &str) -> Option<&str> {
        let family = self
            .families
            .iter()
            .find(|(family, _)| spelling.starts_with(family));
        let reason = self.refused.get(spelling).or(family.map(|(_, reason)| reason));
        reason.map(String::as_str)
    }

    /// Takes a spelling from the list. A family cannot lose one: it has to be written anew by hand.
    pub(crate) fn remove(&mut self, spelling: &str) {
        let known = self.refused.remove(spelling).is_some();
        assert!(
            known,
            "`{spelling}` is executed, though its family is listed as not"
        );
    }
}
