//! The life of a vGPU as a table, and how often a dying worker is replaced. Pure: time is an argument.
//!
//! A worker that dies is replaced by a new one with an empty vGPU: the guests of the old one got an error and have to start again, as
//! after a GPU reset. Replacement is immediate the first time and slower each further time; after [`MOST_DEATHS`] deaths within
//! [`WINDOW_MS`] the vGPU is `failed`, since something is wrong that starting again does not cure.

use std::collections::VecDeque;
use tessera_client::VgpuState;

/// Deaths within [`WINDOW_MS`] after which a vGPU is given up.
pub const MOST_DEATHS: usize = 5;
/// How long a death counts, milliseconds.
pub const WINDOW_MS: u64 = 60_000;
/// Delay before the second replacement within the window, milliseconds; it doubles from there.
pub const FIRST_DELAY_MS: u64 = 100;

/// What happens to a vGPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The worker answers.
    Answered,
    /// The worker died; a new one follows.
    DiedToRestart,
    /// The worker died, or could not be started, once too often.
    DiedForGood,
    /// The worker was stopped together with the manager; the next manager starts a new one.
    Stopped,
    /// A user wants it gone.
    Delete,
}

impl Step {
    /// All steps.
    pub const ALL: [Self; 5] = [
        Self::Answered,
        Self::DiedToRestart,
        Self::DiedForGood,
        Self::Stopped,
        Self::Delete,
    ];
}

/// Where a step leads; `None` where it cannot happen.
pub fn next(state: VgpuState, step: Step) -> Option<VgpuState> {
    use VgpuState::{Deleting, Failed, Running, Starting};
    match (state, step) {
        (Starting, Step::Answered) => Some(Running),
        (Starting | Running, Step::DiedToRestart) => Some(Starting),
        (Starting | Running, Step::DiedForGood) => Some(Failed),
        (Starting | Running, Step::Stopped) => Some(Starting),
        (_, Step::Delete) => Some(Deleting),
        (Running | Failed | Deleting, Step::Answered)
        | (Failed | Deleting, Step::DiedToRestart | Step::DiedForGood | Step::Stopped) => None,
    }
}

/// What to do after a death.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Start a new worker after this long, milliseconds.
    Restart(u64),
    /// Give up.
    GiveUp,
}

/// The recent deaths of one vGPU's workers.
#[derive(Debug, Default)]
pub struct Deaths {
    recent: VecDeque<u64>,
}

impl Deaths {
    /// Records a death at this time (milliseconds of any clock that does not go back) and says what to do.
    pub fn record(&mut self, now_ms: u64) -> Verdict {
        self.recent.retain(|&at| now_ms.saturating_sub(at) < WINDOW_MS);
        self.recent.push_back(now_ms);
        let count = self.recent.len();
        if count >= MOST_DEATHS {
            return Verdict::GiveUp;
        }
        // count is 1 to MOST_DEATHS - 1 here
        Verdict::Restart(if count < 2 {
            0
        } else {
            FIRST_DELAY_MS << (count - 2)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use VgpuState::{Deleting, Failed, Running, Starting};

    #[test]
    fn the_whole_table() {
        let expect = |state, targets: [Option<VgpuState>; 5]| {
            for (step, target) in Step::ALL.into_iter().zip(targets) {
                assert_eq!(next(state, step), target, "{state} {step:?}");
            }
        };
        let deleting = Some(Deleting);
        expect(
            Starting,
            [
                Some(Running),
                Some(Starting),
                Some(Failed),
                Some(Starting),
                deleting,
            ],
        );
        expect(
            Running,
            [None, Some(Starting), Some(Failed), Some(Starting), deleting],
        );
        expect(Failed, [None, None, None, None, deleting]);
        expect(Deleting, [None, None, None, None, deleting]);
    }

    #[test]
    fn a_worker_that_keeps_dying_is_given_up() {
        let mut deaths = Deaths::default();
        let verdicts: Vec<Verdict> = (0..5).map(|i| deaths.record(1000 + i)).collect();
        let restart = Verdict::Restart;
        assert_eq!(
            verdicts,
            [
                restart(0),
                restart(100),
                restart(200),
                restart(400),
                Verdict::GiveUp
            ]
        );
    }

    #[test]
    fn deaths_are_forgotten() {
        let mut deaths = Deaths::default();
        for i in 0..100 {
            assert_eq!(deaths.record(i * WINDOW_MS), Verdict::Restart(0));
        }
    }
}
