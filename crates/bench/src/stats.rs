//! Timing: medians of repeated rounds, nanoseconds.

use std::time::Instant;

/// The median of `rounds` runs of `body`, which returns its own nanoseconds.
pub(crate) fn median(rounds: usize, mut body: impl FnMut() -> f64) -> f64 {
    median_of((0..rounds.max(1)).map(|_| body()).collect())
}

/// The median of some figures, of which there is at least one.
pub(crate) fn median_of(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Nanoseconds that one run of `body` takes, as the mean over `count` runs.
pub(crate) fn each(count: u32, mut body: impl FnMut()) -> f64 {
    let start = Instant::now();
    for _ in 0..count {
        body();
    }
    ns(start) / f64::from(count)
}

/// Nanoseconds since `start`.
pub(crate) fn ns(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e9
}
