//! `tessera-bench engine`: the execution engine beside native code and OpenCL, kernel by kernel.
//!
//! All ways of running a kernel take turns within each round, so that what else the machine does falls on all of them; a figure is the
//! median of the rounds. Every result is compared with native code's before it is timed.

mod cases;
mod native;
mod opencl;
mod start;

pub(crate) use start::run as start;

use crate::local::Local;
use crate::stats::median_of;
use anyhow::{Context as _, Result, bail, ensure};
use cases::{CASES, Case};
use native::{Buffers, Native};
use opencl::{OpenCl, Prepared};
use std::fs;
use std::sync::Arc;
use tessera_device::{DevicePtr, Dim3, Launch};
use tessera_softgpu::{Execution, Level, Tier};

/// Rounds that are timed, after one that is not.
const ROUNDS: usize = 5;

/// What `tessera-bench engine` is given.
pub(crate) struct Arguments<'a> {
    pub(crate) threads: u32,
    /// Vector unit of the engine: `best` or `avx2`.
    pub(crate) unit: &'a str,
    pub(crate) ptx: &'a str,
    pub(crate) native: &'a str,
    pub(crate) opencl: &'a str,
    /// Only kernels whose name contains this.
    pub(crate) filter: &'a str,
}

/// A way of running kernels on the device.
struct Way {
    name: &'static str,
    local: Local,
    module: Arc<dyn tessera_device::Module>,
}

/// One kernel on one device.
struct Bound {
    launch: Launch,
    out: DevicePtr,
}

impl Way {
    fn bind(&mut self, case: &Case) -> Result<Bound> {
        let mut parameters = Vec::new();
        let mut out = 0;
        for which in 0..3 {
            let input = Arc::new(case.input(which));
            out = self.local.alloc(input.len())?;
            self.local.copy_in(out, &input)?;
            parameters.extend_from_slice(&out.to_le_bytes());
        }
        parameters.extend_from_slice(&case.n.to_le_bytes());
        let dim = |d: [u32; 2]| Dim3 {
            x: d[0],
            y: d[1],
            z: 1,
        };
        let launch = Launch {
            function: self.module.function(case.name)?,
            grid: dim(case.grid),
            block: dim(case.block),
            dynamic_shared_bytes: 0,
            parameters: parameters.into_boxed_slice(),
            cooperative: false,
            cluster: [0; 3],
        };
        Ok(Bound { launch, out })
    }
}

fn print(case: &Case, way: &str, nanoseconds: f64) {
    let gate = case.gate.map(|g| [g.tier0, g.tier1, g.stretch]);
    println!(
        "{}",
        serde_json::json!({ "kernel": case.title, "way": way, "ns": nanoseconds, "gate": gate, "compute": case.compute })
    );
}

/// Runs all kernels in all ways.
pub(crate) fn run(arguments: &Arguments<'_>) -> Result<()> {
    let text = fs::read(arguments.ptx).with_context(|| format!("cannot read {}", arguments.ptx))?;
    let native = Native::open(arguments.native)?;
    let source =
        fs::read_to_string(arguments.opencl).with_context(|| format!("cannot read {}", arguments.opencl))?;
    let opencl = OpenCl::open(&source)?;
    if let Some(opencl) = &opencl {
        println!("{}", serde_json::json!({ "opencl": opencl.version }));
    }
    let mut ways = ways(arguments, &text)?;
    for case in CASES.iter().filter(|c| c.name.contains(arguments.filter)) {
        one(case, &native, opencl.as_ref(), &mut ways, arguments.threads)
            .with_context(|| format!("kernel {}", case.title))?;
    }
    Ok(())
}

fn ways(arguments: &Arguments<'_>, text: &[u8]) -> Result<Vec<Way>> {
    let level = match arguments.unit {
        "best" => Level::best(),
        "avx2" => Level::Avx2,
        other => bail!("there is no vector unit {other}: best or avx2"),
    };
    ensure!(level.available(), "this processor does not have {level:?}");
    let mut ways = Vec::new();
    for (name, tier) in [("tier 0", Tier::Interpreter), ("tier 1", Tier::Native)] {
        let local = Local::open(2 << 30, |options| {
            options.executors = Some(arguments.threads);
            options.execution = Execution {
                level,
                tier,
                ..Execution::default()
            };
        })?;
        let module = local.module(text)?;
        ways.push(Way { name, local, module });
    }
    Ok(ways)
}

fn one(case: &Case, native: &Native, opencl: Option<&OpenCl>, ways: &mut [Way], threads: u32) -> Result<()> {
    let threads = i32::try_from(threads)?;
    let mut plain = Buffers::new(case);
    native.run("", &Case { batch: 1, ..*case }, &mut plain, 1)?;
    let want = plain.out.clone();
    let mut simd = Buffers::new(case);
    let mut prepared: Option<Prepared> = None;
    if let Some(cl) = opencl {
        let p = cl.prepare(case)?;
        cl.run(&Case { batch: 1, ..*case }, &p)?;
        case.check(&cl.result(case, &p)?, &want)
            .map_err(|e| anyhow::anyhow!("OpenCL: {e}"))?;
        prepared = Some(p);
    }
    let mut bound = Vec::new();
    for way in ways.iter_mut() {
        let b = way.bind(case)?;
        way.local.batch(&b.launch, 1)?;
        let got = way.local.copy_out(b.out, case.bytes[2])?;
        case.check(&got, &want)
            .map_err(|e| anyhow::anyhow!("{}: {e}", way.name))?;
        bound.push(b);
    }
    let mut times: Vec<(&str, Vec<f64>)> = vec![("native", Vec::new())];
    for round in 0..=ROUNDS {
        let mut figures = vec![("native", native.run("", case, &mut plain, threads)?)];
        if case.simd {
            figures.push((
                "native, by hand in vectors",
                native.run("simd_", case, &mut simd, threads)?,
            ));
        }
        if let (Some(cl), Some(p)) = (opencl, &prepared) {
            figures.push(("OpenCL", cl.run(case, p)?));
        }
        for (way, b) in ways.iter_mut().zip(&bound) {
            figures.push((way.name, way.local.batch(&b.launch, case.batch)?));
        }
        for (name, figure) in figures.into_iter().filter(|_| round > 0) {
            match times.iter_mut().find(|t| t.0 == name) {
                Some(t) => t.1.push(figure),
                None => times.push((name, vec![figure])),
            }
        }
    }
    for (name, figures) in times {
        ensure!(!figures.is_empty(), "{name} was not timed");
        print(case, name, median_of(figures) / f64::from(case.batch));
    }
    Ok(())
}
