//! The figures of a suite, as they are kept in `docs/results/conformance/SUITE.json`.

use super::Suite;
use super::listed::{Kind, Listed};
use super::outcome::{Outcome, Verdict, matches};
use crate::sh;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::path::PathBuf;

/// A test that did not pass.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Test {
    pub(crate) id: String,
    pub(crate) verdict: Verdict,
    /// What the suite said.
    pub(crate) why: String,
    /// The list's reason and kind, for one that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) listed: Option<(Kind, String)>,
}

/// A suite and what became of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Summary {
    pub(crate) suite: String,
    pub(crate) version: String,
    pub(crate) collected: usize,
    pub(crate) passed: usize,
    /// Tests that pass where no kernel is executed; by name only those that do not, and do in the run or fail there.
    pub(crate) floor: Floor,
    /// Tests that count for the score, and how many of them passed.
    pub(crate) counted: usize,
    pub(crate) counted_passed: usize,
    pub(crate) not_passed: Vec<Test>,
    /// Patterns of the list under which every test passes.
    pub(crate) to_be_taken_out: Vec<String>,
}

/// What a run without kernels gave.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Floor {
    /// How many passed; none where the suite launches no kernels and was not run so.
    pub(crate) passed: Option<usize>,
    /// Those that did not, of those that the suite did not leave out: the tests that need a GPU that works.
    pub(crate) need_kernels: BTreeSet<String>,
}

/// What a run without kernels says of the tests of a run.
pub(crate) fn floor(outcomes: &[Outcome], without: &[Outcome]) -> Floor {
    let passed: HashSet<&str> = without
        .iter()
        .filter(|outcome| outcome.verdict == Verdict::Passed)
        .map(|outcome| outcome.id.as_str())
        .collect();
    Floor {
        passed: Some(passed.len()),
        need_kernels: outcomes
            .iter()
            .filter(|outcome| matches!(outcome.verdict, Verdict::Passed | Verdict::Failed))
            .filter(|outcome| !passed.contains(outcome.id.as_str()))
            .map(|outcome| outcome.id.clone())
            .collect(),
    }
}

/// The floor of a suite that launches no kernels: every test counts.
pub(crate) fn all(outcomes: &[Outcome]) -> Floor {
    Floor {
        passed: None,
        ..floor(outcomes, &[])
    }
}

/// Where the figures of a suite are kept.
pub(crate) fn file(suite: &str) -> PathBuf {
    sh::root().join(format!("docs/results/conformance/{suite}.json"))
}

impl Summary {
    /// Counts. A test counts for the score if it does not pass without kernels, the suite did not leave it out, and nothing that it needs
    /// is absent.
    pub(crate) fn of(
        suite: &Suite,
        version: String,
        outcomes: &[Outcome],
        floor: Floor,
        listed: &Listed,
    ) -> Self {
        let mut not_passed = Vec::new();
        let (mut passed, mut counted, mut counted_passed) = (0, 0, 0);
        for outcome in outcomes {
            let entry = listed.find(&outcome.id);
            let good = outcome.verdict == Verdict::Passed;
            passed += usize::from(good);
            if good || outcome.verdict == Verdict::Failed {
                let absent = !good && entry.is_some_and(|entry| entry.kind == Kind::Absent);
                if floor.need_kernels.contains(&outcome.id) && !absent {
                    counted += 1;
                    counted_passed += usize::from(good);
                }
            }
            if !good {
                not_passed.push(Test {
                    id: outcome.id.clone(),
                    verdict: outcome.verdict,
                    why: outcome.why.clone(),
                    listed: entry
                        .filter(|_| outcome.verdict == Verdict::Failed)
                        .map(|entry| (entry.kind, entry.reason.clone())),
                });
            }
        }
        not_passed.sort_by(|a, b| a.id.cmp(&b.id));
        let failed = |pattern: &str| {
            outcomes
                .iter()
                .any(|outcome| outcome.verdict == Verdict::Failed && matches(pattern, &outcome.id))
        };
        Self {
            suite: suite.name.to_owned(),
            version,
            collected: outcomes.len(),
            passed,
            floor,
            counted,
            counted_passed,
            not_passed,
            to_be_taken_out: listed
                .patterns()
                .filter(|pattern| !failed(pattern))
                .map(str::to_owned)
                .collect(),
        }
    }

    /// What was kept of a suite's last run.
    pub(crate) fn read(suite: &str) -> Result<Option<Self>> {
        let path = file(suite);
        if !path.exists() {
            return Ok(None);
        }
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let summary =
            serde_json::from_str(&text).with_context(|| format!("{} holds no figures", path.display()))?;
        Ok(Some(summary))
    }

    /// Keeps it.
    pub(crate) fn write(&self) -> Result<()> {
        let path = file(&self.suite);
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        fs::write(&path, serde_json::to_string_pretty(self)? + "\n")
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// How many ended so.
    pub(crate) fn count(&self, verdict: Verdict) -> usize {
        self.not_passed
            .iter()
            .filter(|test| test.verdict == verdict)
            .count()
    }

    /// Tests that failed and may not.
    pub(crate) fn unlisted(&self) -> impl Iterator<Item = &Test> {
        self.not_passed
            .iter()
            .filter(|test| test.verdict == Verdict::Failed && test.listed.is_none())
    }

    /// Percent of the tests that count.
    pub(crate) fn score(&self) -> f64 {
        percent(self.counted_passed, self.counted)
    }

    /// All of it in a line.
    pub(crate) fn line(&self) -> String {
        format!(
            "{} tests: {} passed{}, {} failed, {} left out by the suite, {} that it expects to fail; score {:.1} % ({} of {})",
            self.collected,
            self.passed,
            self.floor
                .passed
                .map_or_else(String::new, |passed| format!(" ({passed} without kernels)")),
            self.count(Verdict::Failed),
            self.count(Verdict::Skipped),
            self.count(Verdict::Expected),
            self.score(),
            self.counted_passed,
            self.counted
        )
    }
}

/// A part of a whole; of nothing, all.
fn percent(part: usize, whole: usize) -> f64 {
    if whole == 0 {
        return 100.0;
    }
    100.0 * part as f64 / whole as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(id: &str, verdict: Verdict) -> Outcome {
        Outcome {
            id: id.to_owned(),
            verdict,
            why: String::new(),
        }
    }

    fn suite() -> Suite {
        Suite {
            name: "s",
            about: "",
            gpu: ("", ""),
            options: &[],
            goal: 97.0,
            repository: None,
            version: || Ok(String::new()),
            kernels: true,
            run: |_| Ok(Vec::new()),
        }
    }

    #[test]
    fn only_tests_that_need_kernels_and_nothing_absent_count() {
        use Verdict::{Failed, Passed, Skipped};
        let run = [
            outcome("easy", Passed),
            outcome("right", Passed),
            outcome("open", Failed),
            outcome("sass", Failed),
            outcome("new", Failed),
            outcome("left out", Skipped),
        ];
        let without = [
            outcome("easy", Passed),
            outcome("right", Failed),
            outcome("open", Failed),
            outcome("left out", Skipped),
        ];
        let listed: Listed = toml::from_str(
            "[[listed]]\nkind='absent'\nreason='r'\ntests=['sa*','easy']\n[[listed]]\nkind='open'\nreason='o'\ntests=['open']",
        )
        .expect("a list");
        let summary = Summary::of(&suite(), String::new(), &run, floor(&run, &without), &listed);
        assert_eq!((summary.passed, summary.floor.passed), (2, Some(1)));
        assert_eq!((summary.counted_passed, summary.counted), (1, 3));
        assert_eq!(summary.to_be_taken_out, ["easy"]);
        let unlisted: Vec<&str> = summary.unlisted().map(|test| test.id.as_str()).collect();
        assert_eq!(unlisted, ["new"]);
    }
}
