//! Random legal calls from many threads, with a model that knows what memory holds: `tessera-bench stress SEED SECONDS THREADS`.
//!
//! ```text
//!  process ─┬─ thread 0, 2, 4, … share the device's primary context
//!           └─ thread 1, 3, 5, … have a context each
//!  thread: streams (the default one, one that blocks, two that do not), events, buffers, pinned memory, a module
//!          step: one operation, chosen at random ─▶ issued to the driver, and applied to the model at once
//!          check: memory read back is what the model says; so are codes of calls that must fail
//! ```
//!
//! The model is simple because every operation on a buffer is ordered behind the last one: by its stream, or by an event that
//! the next stream waits for. What a thread does depends on its seed alone; how threads interleave does not, so a failure names its
//! seed and its last operations, and may need several runs to come again.

mod api;
mod thread;

use anyhow::{Context as _, Result, bail, ensure};
use api::Api;
use std::sync::Arc;
use std::time::{Duration, Instant};
use thread::Thread;

/// Runs threads until time is up; prints how many operations they did.
pub(crate) fn run(seed: u64, seconds: f64, threads: u64) -> Result<()> {
    let api = Arc::new(Api::load()?);
    // SAFETY: no pointer.
    ensure!(unsafe { (api.init)(0) } == 0, "cuInit fails");
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    let mut operations = 0;
    let mut failures = Vec::new();
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads)
            .map(|number| {
                let api = Arc::clone(&api);
                scope.spawn(move || one(api, seed, number, end))
            })
            .collect();
        for (number, thread) in all.into_iter().enumerate() {
            match thread.join() {
                Ok(Ok(count)) => operations += count,
                Ok(Err(error)) => failures.push(format!("thread {number}: {error:?}")),
                Err(_) => failures.push(format!("thread {number} panicked")),
            }
        }
    });
    if !failures.is_empty() {
        bail!("seed {seed}:\n{}", failures.join("\n"));
    }
    println!(
        "{}",
        serde_json::json!({ "seed": seed, "threads": threads, "operations": operations })
    );
    Ok(())
}

fn one(api: Arc<Api>, seed: u64, number: u64, end: Instant) -> Result<u64> {
    let mut thread = Thread::new(
        api,
        seed.wrapping_mul(1_000_003).wrapping_add(number),
        number.is_multiple_of(2),
    )?;
    let mut count = 0;
    while Instant::now() < end {
        thread.step().with_context(|| thread.trace())?;
        count += 1;
    }
    let trace = thread.trace();
    thread.finish().context(trace)?;
    Ok(count)
}
