//! `cargo xtask conformance`: the clients' own test suites on a vGPU of the software GPU.
//!
//! A suite runs twice: as it is, and on a driver that executes no kernel (`TESSERA_KERNELS=skip`). About half of some suites passes even
//! there, so the score counts only the tests that do not. Tests that may not pass stand in a list with the reason; one that fails and is
//! not listed fails the command, one that passes and is listed is reported.
//!
//! ```text
//!  SUITES ─ Suite ─ run ──▶ outcomes, with kernels ────┐
//!                      └──▶ outcomes, without kernels ─┼─▶ summary ─▶ docs/results/conformance/SUITE.json ─▶ docs/conformance.md
//!  tests/conformance/SUITE.toml ──▶ listed ────────────┘             (of every suite)
//! ```
//!
//! A new suite is an entry of [`SUITES`] and a list. Where no package of a client has its tests, the user gives a checkout of its
//! repository (`--checkout`), and the page names the commit.

mod checkout;
mod crates;
mod listed;
mod outcome;
mod page;
mod pytest;
mod suites;
mod summary;

use crate::dist::{self, Layout};
use crate::host::Host;
use crate::sh;
use anyhow::{Context, Result, bail};
use checkout::Checkout;
use listed::Listed;
use outcome::Outcome;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use suites::SUITES;
use summary::Summary;

/// Options of `cargo xtask conformance`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Run these suites only (comma separated; see --list); the others' figures stay as they are
    #[arg(long, value_name = "SUITE", value_delimiter = ',')]
    only: Vec<String>,
    /// Where the repository of a client is checked out, for a suite that no package has; may be given more than once
    #[arg(long, value_name = "SUITE=DIR", value_parser = checkout::parse)]
    checkout: Vec<(String, PathBuf)>,
    /// Run only tests whose name contains this; writes nothing
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Leave out the run without kernels and take what it gave last time
    #[arg(long)]
    keep_floor: bool,
    /// Processes that share a suite
    #[arg(long, value_name = "N", default_value_t = 2)]
    processes: usize,
    /// Use target/tessera as it is instead of building it again
    #[arg(long)]
    no_build: bool,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
    /// Print the suites
    #[arg(long)]
    list: bool,
}

/// A test suite of others.
pub(crate) struct Suite {
    /// Name, also of its list.
    pub(crate) name: &'static str,
    /// What is tested and where the tests come from.
    pub(crate) about: &'static str,
    /// Board whose vGPU it runs on, and the vGPU's type.
    pub(crate) gpu: (&'static str, &'static str),
    /// Further options of `tessera vgpu create`.
    pub(crate) options: &'static [&'static str],
    /// What it has to reach, percent of the tests that count.
    pub(crate) goal: f64,
    /// The repository that has the tests, where no package has them.
    pub(crate) repository: Option<&'static str>,
    /// Version of the client under test; of tests in a checkout this does not say the commit.
    pub(crate) version: fn() -> Result<String>,
    /// Whether its tests launch kernels; where they do not, all of them count.
    pub(crate) kernels: bool,
    /// Runs it; one outcome for each test.
    pub(crate) run: fn(&Session<'_>) -> Result<Vec<Outcome>>,
}

/// One run of a suite: where, and how.
pub(crate) struct Session<'a> {
    /// The vGPU is called after this.
    pub(crate) suite: &'a Suite,
    pub(crate) host: &'a Host<'a>,
    /// An empty directory.
    pub(crate) scratch: &'a Path,
    /// Processes at a time.
    pub(crate) processes: usize,
    /// Where the suite's repository is checked out, if it has one.
    pub(crate) checkout: Option<&'a Checkout>,
    /// Only tests whose name contains this.
    pub(crate) filter: Option<&'a str>,
    /// After this a test counts as failed and its process is ended.
    pub(crate) patience: Duration,
}

/// Runs the suites and writes the page.
#[allow(clippy::print_stderr, reason = "progress, beside the figures")]
pub(crate) fn run(options: &Options) -> Result<()> {
    if options.list {
        for suite in SUITES {
            println!("{:14} {}", suite.name, suite.about);
        }
        return Ok(());
    }
    let chosen = chosen(options)?;
    let layout = if options.no_build {
        dist::layout()
    } else {
        dist::build()?
    };
    let mut summaries = Vec::new();
    let mut failed = Vec::new();
    for (suite, checkout) in chosen {
        eprintln!("== {}: {}", suite.name, suite.about);
        match run_suite(options, &layout, suite, checkout.as_ref()) {
            Ok(summary) => {
                if !report(suite, &summary) {
                    failed.push(suite.name);
                }
                summaries.push(summary);
            }
            Err(error) => {
                eprintln!("== {}: FAILED\n{error:?}", suite.name);
                failed.push(suite.name);
            }
        }
    }
    if options.json {
        println!("{}", serde_json::to_string_pretty(&summaries)?);
    }
    if options.filter.is_none() {
        page::write(SUITES)?;
    }
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}

/// The suites to run, with what the user gave for them. One without its checkout is left out, and said to be; one that was asked for by
/// name has to have it.
#[allow(clippy::print_stderr, reason = "progress, beside the figures")]
fn chosen(options: &Options) -> Result<Vec<(&'static Suite, Option<Checkout>)>> {
    for name in options
        .only
        .iter()
        .chain(options.checkout.iter().map(|(name, _)| name))
    {
        if !SUITES.iter().any(|suite| suite.name == name) {
            bail!("no suite is called {name}; `cargo xtask conformance --list` shows them");
        }
    }
    let mut chosen = Vec::new();
    for suite in SUITES {
        let named = options.only.iter().any(|name| name == suite.name);
        if !named && !options.only.is_empty() {
            continue;
        }
        let given = options.checkout.iter().find(|(name, _)| name == suite.name);
        match (suite.repository, given) {
            (None, None) => chosen.push((suite, None)),
            (None, Some(_)) => bail!(
                "the tests of {} come with a package; it takes no checkout",
                suite.name
            ),
            (Some(_), Some((_, directory))) => chosen.push((suite, Some(Checkout::open(directory)?))),
            (Some(repository), None) => {
                let needs = format!(
                    "{} needs a checkout of {repository}: --checkout {}=DIR",
                    suite.name, suite.name
                );
                if named {
                    bail!(needs);
                }
                eprintln!("== {}: left out; {needs}", suite.name);
            }
        }
    }
    Ok(chosen)
}

/// Both runs of a suite. What they give is kept, unless it is of a part of the suite only.
fn run_suite(
    options: &Options,
    layout: &Layout,
    suite: &Suite,
    checkout: Option<&Checkout>,
) -> Result<Summary> {
    let version = match checkout {
        Some(checkout) => format!("{}, tests of {}", (suite.version)()?, checkout.commit),
        None => (suite.version)()?,
    };
    let listed = Listed::read(suite.name)?;
    let outcomes = run_once(options, layout, suite, checkout, true)?;
    let file = summary::file(suite.name);
    let floor = if !suite.kernels {
        summary::all(&outcomes)
    } else if options.keep_floor || options.filter.is_some() {
        Summary::read(suite.name)?
            .with_context(|| format!("{} does not say what passes without kernels", file.display()))?
            .floor
    } else {
        summary::floor(&outcomes, &run_once(options, layout, suite, checkout, false)?)
    };
    let summary = Summary::of(suite, version, &outcomes, floor, &listed);
    if options.filter.is_none() {
        summary.write()?;
    }
    Ok(summary)
}

/// One run on a host of its own.
#[allow(clippy::print_stderr, reason = "progress, beside the figures")]
fn run_once(
    options: &Options,
    layout: &Layout,
    suite: &Suite,
    checkout: Option<&Checkout>,
    kernels: bool,
) -> Result<Vec<Outcome>> {
    let begin = Instant::now();
    let scratch = sh::target()
        .join("conformance")
        .join(suite.name)
        .join(if kernels { "run" } else { "floor" });
    if scratch.exists() {
        fs::remove_dir_all(&scratch).with_context(|| format!("cannot remove {}", scratch.display()))?;
    }
    fs::create_dir_all(&scratch)?;
    let (board, vgpu_type) = suite.gpu;
    let variables: &[(&str, &str)] = if kernels {
        &[]
    } else {
        &[("TESSERA_KERNELS", "skip")]
    };
    let host = Host::start_with(layout, &[board], variables)?;
    let mut create = vec!["vgpu", "create", "--type", vgpu_type, "--name", suite.name];
    create.extend(suite.options);
    host.json(&create)?;
    let session = Session {
        suite,
        host: &host,
        scratch: &scratch,
        processes: options.processes.max(1),
        checkout,
        filter: options.filter.as_deref(),
        patience: Duration::from_secs(if kernels { 300 } else { 60 }),
    };
    let outcomes = (suite.run)(&session)?;
    eprintln!(
        "  {} tests {}, {:.0} s",
        outcomes.len(),
        if kernels {
            "with kernels"
        } else {
            "without kernels"
        },
        begin.elapsed().as_secs_f64()
    );
    Ok(outcomes)
}

/// Says what came out; whether the suite is as it has to be.
#[allow(clippy::print_stderr, reason = "progress, beside the figures")]
fn report(suite: &Suite, summary: &Summary) -> bool {
    for test in summary.unlisted() {
        eprintln!(
            "  FAIL  {}\n        {}",
            test.id,
            test.why.replace('\n', "\n        ")
        );
    }
    for pattern in &summary.to_be_taken_out {
        eprintln!("  listed, but passes: {pattern}");
    }
    eprintln!("  {}", summary.line());
    let good = summary.unlisted().next().is_none();
    eprintln!("== {}: {}", suite.name, if good { "ok" } else { "FAILED" });
    good
}
