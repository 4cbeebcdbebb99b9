//! One random kernel in several ways.

use std::sync::Arc;

use super::generator::{Generator, TABLE, WORDS};
use super::{Device, Hooks, params, program, run_changing, run_with};
use tessera_engine::{Geometry, Launch, Level, Options, Tier};

/// A random kernel and the memory that it works on.
struct Subject {
    text: String,
    threads: u32,
    device: Device,
    params: Vec<u8>,
}

impl Subject {
    fn new(seed: u64) -> Self {
        let mut generator = Generator::new(seed);
        let threads = generator.threads();
        let text = generator.module();
        let mut device = Device::default();
        let table: Vec<u32> = (0..u32::try_from(TABLE / 4).unwrap_or(0))
            .map(|i| i.wrapping_mul(2_654_435_761) ^ i << 3)
            .collect();
        let (out, table) = (
            device.alloc(2 * threads as usize * WORDS * 4),
            device.upload(&table),
        );
        Self {
            text,
            threads,
            device,
            params: params(&[out, table]),
        }
    }

    fn launch(&mut self, options: Options) -> Result<Arc<Launch>, String> {
        let p = program(&mut self.device, &self.text, "k");
        let geometry = Geometry::new([2, 1, 1], [self.threads, 1, 1]);
        Launch::with_options(&p, geometry, &self.params, options).map_err(|e| e.to_string())
    }
}

/// Runs the kernel of a seed in the reference way, and four times in the interpreter, stopped at every safe point and changed to machine
/// code at a random one. Blocks that ended there.
///
/// # Errors
/// What differs, with the kernel's text.
pub fn change_at_random(seed: u64) -> Result<u64, String> {
    let mut subject = Subject::new(seed);
    let before = subject.device.contents();
    let reference = Options {
        tier: Tier::Interpreter,
        warps: 1,
        plain: true,
        ..Options::default()
    };
    let launch = subject.launch(reference)?;
    let failed = |text: &str, what: String| format!("seed {seed}: {what}\n{text}");
    run_with(&subject.device, &Hooks::default(), &launch, 1_000_000, false)
        .map_err(|e| failed(&subject.text, e.to_string()))?;
    let expected = subject.device.contents();
    let (mut over, mut rounds) = (0, 8);
    let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for _ in 0..4 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let at = 1 + (random >> 11) % rounds;
        subject.device.restore(&before);
        let launch = subject.launch(Options::default())?;
        let went = run_changing(&subject.device, &launch, 1, at)
            .map_err(|e| failed(&subject.text, format!("{e}, changed before turn {at}")))?;
        (over, rounds) = (over + went.over, went.rounds);
        if subject.device.contents() != expected {
            let what = format!(
                "memory differs, {} threads, changed before turn {at}",
                subject.threads
            );
            return Err(failed(&subject.text, what));
        }
    }
    Ok(over)
}

/// Runs the kernel of a seed in the reference way (all-vector, one warp at a time) and in the others; what differs, if anything.
///
/// # Errors
/// What differs, with the kernel's text.
pub fn check(seed: u64) -> Result<(), String> {
    let mut generator = Generator::new(seed);
    let threads = generator.threads();
    let text = generator.module();
    let mut device = Device::default();
    let p = program(&mut device, &text, "k");
    let table: Vec<u32> = (0..u32::try_from(TABLE / 4).unwrap_or(0))
        .map(|i| i.wrapping_mul(2_654_435_761) ^ i << 3)
        .collect();
    let (out, table) = (
        device.alloc(2 * threads as usize * WORDS * 4),
        device.upload(&table),
    );
    let before = device.contents();
    let options = |tier, warps, plain| Options {
        tier,
        warps,
        plain,
        ..Options::default()
    };
    let mut ways = vec![
        (options(Tier::Interpreter, 1, true), 1_000_000, false),
        (options(Tier::Native, 1, false), 1_000_000, false),
        (options(Tier::Native, 1, false), 1, true),
        (options(Tier::Interpreter, 8, false), 1_000_000, false),
    ];
    if Level::Avx2.available() {
        let lesser = Options {
            level: Level::Avx2,
            ..options(Tier::Native, 1, false)
        };
        ways.extend([(lesser, 1_000_000, false), (lesser, 1, true)]);
    }
    let mut expected: Option<Vec<Vec<u8>>> = None;
    let mut tier = None;
    for (options, fuel, stress) in ways {
        device.restore(&before);
        let geometry = Geometry::new([2, 1, 1], [threads, 1, 1]);
        let launch =
            Launch::with_options(&p, geometry, &params(&[out, table]), options).map_err(|e| e.to_string())?;
        if options.tier == Tier::Native && *tier.get_or_insert(launch.tier()) != launch.tier() {
            return Err(format!("seed {seed}: machine code with one unit only\n{text}"));
        }
        run_with(&device, &Hooks::default(), &launch, fuel, stress)
            .map_err(|e| format!("seed {seed}: {e} with {options:?}\n{text}"))?;
        let after = device.contents();
        let Some(expected) = &expected else {
            expected = Some(after);
            continue;
        };
        for (a, (e, g)) in expected.iter().zip(&after).enumerate() {
            if let Some(at) = e.iter().zip(g).position(|(e, g)| e != g) {
                let word = at / 4;
                return Err(format!(
                    "seed {seed}: allocation {a}, thread {}, word {} differs with {options:?}, fuel {fuel}, {threads} threads\n{text}",
                    word / WORDS,
                    word % WORDS,
                ));
            }
        }
    }
    Ok(())
}
