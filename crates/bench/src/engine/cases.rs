//! The kernels of `tests/bench/engine`: sizes, geometry, inputs, what is compared, and the gates of each.

/// What a buffer holds at the start.
#[derive(Clone, Copy)]
pub(super) enum Fill {
    /// Floats between 0 and 1.
    Floats,
    /// Any words.
    Words,
    /// Halves between 0 and 1.
    Halves,
    /// Zeros.
    Zeros,
}

/// How results are compared with those of native code.
#[derive(Clone, Copy)]
pub(super) enum Compare {
    /// Word by word.
    Exact,
    /// As floats, within this part of the largest.
    Near(f64),
    /// The sums of all floats, within this part.
    Sums(f64),
}

/// Largest ratio to native code that is accepted: of tier 0, of tier 1, and the one to stretch for.
#[derive(Clone, Copy)]
pub(super) struct Gate {
    pub(super) tier0: f64,
    pub(super) tier1: f64,
    pub(super) stretch: f64,
}

/// One kernel.
pub(super) struct Case {
    /// How the result page calls it.
    pub(super) title: &'static str,
    /// Name of the function in all three sources.
    pub(super) name: &'static str,
    /// There is a `simd_` version of the native code.
    pub(super) simd: bool,
    /// The last argument.
    pub(super) n: u32,
    /// Bytes of the buffers a, b, out.
    pub(super) bytes: [usize; 3],
    pub(super) fill: [Fill; 2],
    pub(super) grid: [u32; 2],
    pub(super) block: [u32; 2],
    /// Work-groups of OpenCL where they are not those of the grid.
    pub(super) opencl_grid: Option<[u32; 2]>,
    pub(super) compare: Compare,
    /// Runs that are timed together.
    pub(super) batch: u32,
    pub(super) gate: Option<Gate>,
    /// It computes rather than moves memory: counted in the mean against OpenCL.
    pub(super) compute: bool,
}

const fn gate(tier0: f64, tier1: f64, stretch: f64) -> Option<Gate> {
    Some(Gate {
        tier0,
        tier1,
        stretch,
    })
}

const BASE: Case = Case {
    title: "",
    name: "",
    simd: false,
    n: 0,
    bytes: [64; 3],
    fill: [Fill::Floats; 2],
    grid: [1, 1],
    block: [256, 1],
    opencl_grid: None,
    compare: Compare::Exact,
    batch: 1,
    gate: None,
    compute: true,
};

const M: usize = 1 << 20;

/// All kernels. The gates are those set for the engine before it was written.
pub(super) const CASES: [Case; 18] = [
    Case {
        title: "saxpy, 16 M",
        name: "saxpy",
        n: 16 << 20,
        bytes: [64 * M; 3],
        grid: [65_536, 1],
        compare: Compare::Near(1e-6),
        gate: gate(2.5, 2.3, 1.9),
        compute: false,
        ..BASE
    },
    Case {
        title: "saxpy, 64 K",
        name: "saxpy",
        n: 65_536,
        bytes: [M / 4; 3],
        grid: [256, 1],
        compare: Compare::Near(1e-6),
        batch: 100,
        gate: gate(9.0, 3.0, 2.2),
        compute: false,
        ..BASE
    },
    Case {
        title: "matrix product, naive",
        name: "matmul_naive",
        n: 512,
        bytes: [M; 3],
        grid: [32, 32],
        block: [16, 16],
        compare: Compare::Near(1e-5),
        gate: gate(6.5, 2.5, 1.7),
        ..BASE
    },
    Case {
        title: "matrix product, tiles of 16 x 16",
        batch: 2,
        name: "matmul_tiled",
        n: 512,
        bytes: [M; 3],
        grid: [32, 32],
        block: [16, 16],
        compare: Compare::Near(1e-5),
        gate: gate(6.5, 2.3, 1.8),
        ..BASE
    },
    Case {
        title: "mandelbrot",
        name: "mandel",
        simd: true,
        n: 1024,
        bytes: [64, 64, 4 * M],
        grid: [64, 64],
        block: [16, 16],
        // Contractions to fused operations differ between compilers: single pixels may.
        compare: Compare::Sums(1e-3),
        gate: gate(0.36, 0.17, 0.12),
        ..BASE
    },
    Case {
        title: "sum with shuffles, 16 M",
        batch: 4,
        name: "reduce_shfl",
        n: 16 << 20,
        bytes: [64 * M, 64, 64 * 1024],
        grid: [256, 1],
        compare: Compare::Sums(1e-4),
        gate: gate(3.5, 2.5, 2.0),
        ..BASE
    },
    Case {
        title: "sum by trees in shared memory, 4 M",
        batch: 4,
        name: "reduce_tree",
        n: 4 << 20,
        bytes: [16 * M, 64, 32_768],
        grid: [8192, 1],
        compare: Compare::Near(1e-5),
        gate: gate(30.0, 13.0, 10.0),
        ..BASE
    },
    Case {
        title: "histogram, 4 M",
        batch: 4,
        name: "histogram",
        n: 4 << 20,
        bytes: [16 * M, 64, 1024],
        fill: [Fill::Words, Fill::Zeros],
        grid: [256, 1],
        gate: gate(6.5, 4.5, 3.5),
        ..BASE
    },
    Case {
        title: "n-body, 4096",
        batch: 4,
        name: "nbody",
        simd: true,
        n: 4096,
        bytes: [65_536, 64, 65_536],
        grid: [16, 1],
        compare: Compare::Near(1e-4),
        gate: gate(1.3, 0.35, 0.33),
        ..BASE
    },
    Case {
        title: "SHA-256",
        batch: 8,
        name: "sha256",
        simd: true,
        n: 65_536,
        bytes: [64, 64, M / 4],
        grid: [256, 1],
        gate: gate(0.90, 0.16, 0.10),
        ..BASE
    },
    Case {
        title: "integer hash",
        batch: 8,
        name: "hash",
        simd: true,
        n: 1 << 18,
        bytes: [64, 64, M],
        grid: [1024, 1],
        gate: gate(0.16, 0.05, 0.05),
        ..BASE
    },
    Case {
        title: "Collatz",
        batch: 4,
        name: "collatz",
        n: 1 << 17,
        bytes: [64, 64, M / 2],
        grid: [512, 1],
        gate: gate(1.2, 0.35, 0.22),
        ..BASE
    },
    Case {
        title: "scan, 4 M",
        name: "scan",
        n: 4 << 20,
        bytes: [16 * M, 64, 16 * M],
        fill: [Fill::Words, Fill::Zeros],
        grid: [16_384, 1],
        ..BASE
    },
    Case {
        title: "transpose, 2048",
        batch: 4,
        name: "transpose",
        n: 2048,
        bytes: [16 * M, 64, 16 * M],
        grid: [128, 128],
        block: [16, 16],
        compute: false,
        ..BASE
    },
    Case {
        title: "stencil, 2048",
        batch: 4,
        name: "stencil",
        n: 2048,
        bytes: [16 * M, 64, 16 * M],
        grid: [64, 256],
        block: [32, 8],
        compare: Compare::Near(1e-5),
        compute: false,
        ..BASE
    },
    Case {
        title: "softmax, 4096 x 1024",
        name: "softmax",
        n: 1024,
        bytes: [16 * M, 64, 16 * M],
        grid: [4096, 1],
        compare: Compare::Near(1e-4),
        ..BASE
    },
    Case {
        title: "layer norm, 4096 x 1024",
        name: "layer_norm",
        n: 1024,
        bytes: [16 * M, 8192, 16 * M],
        grid: [4096, 1],
        compare: Compare::Near(1e-4),
        ..BASE
    },
    Case {
        title: "matrix product, mma.sync f16",
        batch: 2,
        name: "matmul_mma",
        n: 512,
        bytes: [M / 2, M / 2, M],
        fill: [Fill::Halves; 2],
        grid: [256, 1],
        opencl_grid: Some([1024, 1]),
        compare: Compare::Near(1e-4),
        ..BASE
    },
];

impl Case {
    /// The first contents of buffer `which`.
    pub(super) fn input(&self, which: usize) -> Vec<u8> {
        let fill = self.fill.get(which).copied().unwrap_or(Fill::Zeros);
        let words = (self.bytes[which] / 4) as u64;
        // The high half of a multiplicative sequence: even, and the same everywhere.
        let any = |i: u64| i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let unit = |i: u64| f32::from(u16::try_from(any(i) & 0xffff).unwrap_or(0)) / 65_536.0;
        let half = |i: u64| half::f16::from_f32(unit(i)).to_bits();
        let word = |i: u64| match fill {
            Fill::Floats => unit(i).to_bits(),
            Fill::Words => u32::try_from(any(i) & 0xffff_ffff).unwrap_or(0),
            Fill::Halves => u32::from(half(i * 2)) | u32::from(half(i * 2 + 1)) << 16,
            Fill::Zeros => 0,
        };
        (0..words).flat_map(|i| word(i).to_le_bytes()).collect()
    }

    /// Whether results agree with those of native code; what differs, if not.
    pub(super) fn check(&self, got: &[u8], want: &[u8]) -> Result<(), String> {
        let float = |w: &[u8]| f64::from(f32::from_le_bytes([w[0], w[1], w[2], w[3]]));
        let words = || got.chunks_exact(4).zip(want.chunks_exact(4));
        match self.compare {
            Compare::Exact => match words().position(|(a, b)| a != b) {
                Some(at) => Err(format!("word {at} differs from native code's")),
                None => Ok(()),
            },
            Compare::Near(part) => {
                let most = want.chunks_exact(4).map(|w| float(w).abs()).fold(0.0, f64::max);
                let off = |(a, b)| {
                    let d = (float(a) - float(b)).abs();
                    d.is_nan() || d > part * most
                };
                match words().position(off) {
                    Some(at) => Err(format!(
                        "float {at} is further than {part} of {most} from native code's"
                    )),
                    None => Ok(()),
                }
            }
            Compare::Sums(part) => {
                let integers = self.name == "mandel";
                let value = |w: &[u8]| {
                    if integers {
                        f64::from(u32::from_le_bytes([w[0], w[1], w[2], w[3]]))
                    } else {
                        float(w)
                    }
                };
                let sum = |bytes: &[u8]| bytes.chunks_exact(4).map(value).sum::<f64>();
                let (a, b) = (sum(got), sum(want));
                if (a - b).abs() <= part * b.abs() {
                    Ok(())
                } else {
                    Err(format!("the sum is {a}, native code's {b}"))
                }
            }
        }
    }
}
