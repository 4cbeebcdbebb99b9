//! What became of a test.

use serde::{Deserialize, Serialize};

/// How a test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    Passed,
    Failed,
    /// The suite itself left it out, for a reason of its own.
    Skipped,
    /// The suite itself expects it to fail.
    Expected,
}

/// A test and its end.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// Name within the suite.
    pub(crate) id: String,
    pub(crate) verdict: Verdict,
    /// Why it did not pass.
    pub(crate) why: String,
}

/// Whether `text` is as `pattern` says, in which `*` stands for any characters.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_anything() {
        assert!(matches("a.py::T::t", "a.py::T::t"));
        assert!(!matches("a.py::T::t", "a.py::T::t2"));
        assert!(matches("a.py::*", "a.py::T::t"));
        assert!(matches("*::t[*-1]", "a.py::t[x-1]"));
        assert!(!matches("*::t[*-1]", "a.py::t[x-2]"));
        assert!(!matches("ab*ba", "aba"));
        assert!(matches("*", ""));
    }
}
