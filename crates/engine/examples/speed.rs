//! Speed of the engine on a few kernels, beside the same work in plain Rust: `cargo run --release --example speed -p tessera-engine`.
//!
//! Every figure is processor time of this thread, the median of five runs. The last column is the checking mode with its usual checks, and how
//! many times slower it is than the first one.
#![allow(clippy::print_stdout, reason = "a program that prints a table")]

use std::cell::UnsafeCell;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tessera_engine::check::{Allocation, Checker, Checks};
use tessera_engine::{
    Access, Cta, Env, Exit, Geometry, HookError, Launch, Level, Memory, Options, Pool, Program, Runtime,
    Span, Symbols, ThreadView, Tier, Worker, compile,
};
use tessera_ptx::{FuncId, VarId};

const BASE: u64 = 0x2000_0000_0000;
/// Distance between allocations.
const STEP: u64 = 1 << 32;

/// Allocations at fixed distances.
struct Device(Vec<Box<[UnsafeCell<u64>]>>);

// SAFETY: the cells are only touched through raw pointers, and one thread runs.
unsafe impl Sync for Device {}

// SAFETY: allocations live as long as the device.
unsafe impl Memory for Device {
    fn lookup(&self, address: u64, _: Access) -> Option<Span> {
        let i = usize::try_from(address.checked_sub(BASE)? / STEP).ok()?;
        let a = self.0.get(i)?;
        Some(Span {
            lo: BASE + i as u64 * STEP,
            len: a.len() as u64 * 8,
            host: a.as_ptr().cast_mut().cast(),
        })
    }
    fn generation(&self) -> u64 {
        1
    }
}

/// The same for launches that are checked.
struct Watched<'a>(&'a Device, Arc<Checker>);

// SAFETY: as for the device.
unsafe impl Memory for Watched<'_> {
    fn lookup(&self, address: u64, access: Access) -> Option<Span> {
        self.0.lookup(address, access)
    }
    fn generation(&self) -> u64 {
        1
    }
    fn checker(&self) -> Option<Arc<Checker>> {
        Some(Arc::clone(&self.1))
    }
}

impl Device {
    /// Everything is known to the checks, and written.
    fn watched(&self) -> Watched<'_> {
        let checker = Checker::new(Checks::usual());
        for (i, a) in self.0.iter().enumerate() {
            checker.allocated(Allocation {
                initialised: true,
                ..Allocation::host(BASE + i as u64 * STEP, a.len() as u64 * 8)
            });
        }
        Watched(self, checker)
    }

    fn alloc(&mut self, bytes: usize) -> u64 {
        self.0
            .push((0..bytes.div_ceil(8)).map(|_| UnsafeCell::new(0)).collect());
        BASE + (self.0.len() as u64 - 1) * STEP
    }

    fn words(&mut self, address: u64) -> &mut [u32] {
        let i = usize::try_from((address - BASE) / STEP).unwrap_or(0);
        let a = &mut self.0[i];
        // SAFETY: the allocation, borrowed uniquely, as words.
        unsafe { std::slice::from_raw_parts_mut(a.as_mut_ptr().cast(), a.len() * 2) }
    }
}

struct Nothing;
impl Runtime for Nothing {
    fn vprintf(&self, _: &ThreadView<'_>, _: u64, _: u64) -> Result<i32, HookError> {
        Err(HookError::Refused)
    }
    fn assert_fail(&self, _: &ThreadView<'_>, _: u64, _: u64, _: u32, _: u64) {}
    fn malloc(&self, _: u64) -> u64 {
        0
    }
    fn free(&self, _: u64) -> Result<(), HookError> {
        Ok(())
    }
    fn clock(&self) -> u64 {
        0
    }
    fn global_timer(&self) -> u64 {
        0
    }
}

struct NoSymbols;
impl Symbols for NoSymbols {
    fn variable(&self, _: VarId) -> Option<u64> {
        None
    }
    fn function(&self, _: FuncId) -> Option<u64> {
        None
    }
}

/// Processor time of this thread.
fn cpu() -> Duration {
    let mut t = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the structure is writable.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut t) };
    Duration::new(
        u64::try_from(t.tv_sec).unwrap_or(0),
        u32::try_from(t.tv_nsec).unwrap_or(0),
    )
}

fn median(mut run: impl FnMut()) -> f64 {
    let mut times: Vec<Duration> = (0..5)
        .map(|_| {
            let start = cpu();
            run();
            cpu() - start
        })
        .collect();
    times.sort();
    times[2].as_secs_f64() * 1e3
}

fn program(params: &str, body: &str) -> Arc<Program> {
    let text = format!(
        ".version 8.5\n.target sm_90\n.address_size 64\n.visible .entry k({params}) {{\n.reg .pred %p<20>; .reg .b32 %r<6000>; \
        .reg .b64 %rd<100>; .reg .f32 %f<100>;\n{body}\n}}\n"
    );
    let module = tessera_ptx::parse_module(text.as_bytes()).unwrap_or_else(|e| panic!("{e}"));
    let entry = module.func_by_name("k").expect("the kernel");
    Arc::new(compile(&module, entry, &NoSymbols).unwrap_or_else(|e| panic!("{e}")))
}

/// Runs a launch; returns the operations executed.
fn launch(
    device: &dyn Memory,
    program: &Arc<Program>,
    geometry: Geometry,
    params: &[u64],
    options: Options,
) -> u64 {
    let params: Vec<u8> = params.iter().flat_map(|p| p.to_le_bytes()).collect();
    let launch = Launch::with_options(program, geometry, &params, options).unwrap_or_else(|e| panic!("{e}"));
    let (mut pool, mut worker, stop) = (Pool::new(), Worker::new(), AtomicBool::new(false));
    let env = Env {
        memory: device,
        runtime: &Nothing,
        stop: &stop,
        fuel: u64::MAX / 2,
        sm: 0,
        sms: 1,
        next: None,
    };
    let mut operations = 0;
    for y in 0..geometry.grid[1] {
        for x in 0..geometry.grid[0] {
            let mut cta = Cta::new(&launch, [x, y, 0], &mut pool);
            match cta.run(&mut worker, &env) {
                Exit::Done => operations += cta.operations(),
                other => panic!("{other:?}"),
            }
            pool.recycle(cta);
        }
    }
    operations
}

/// One case: the kernel in several ways, and Rust.
fn case(name: &str, device: &Device, p: &Arc<Program>, g: Geometry, params: &[u64], native: impl FnMut()) {
    let native = median(native);
    let mut first = None;
    print!("{name:<14} {native:>9.3}");
    let best = Level::best();
    for options in [
        Options {
            level: best,
            warps: 8,
            plain: false,
            check: false,
            tier: Tier::Interpreter,
        },
        Options {
            level: best,
            warps: 8,
            plain: true,
            check: false,
            tier: Tier::Interpreter,
        },
        Options {
            level: best,
            warps: 1,
            plain: false,
            check: false,
            tier: Tier::Interpreter,
        },
        Options {
            level: Level::Avx2,
            warps: 8,
            plain: false,
            check: false,
            tier: Tier::Interpreter,
        },
        Options {
            tier: Tier::Native,
            ..Options::default()
        },
        Options {
            level: Level::Avx2,
            tier: Tier::Native,
            ..Options::default()
        },
    ] {
        let mut ops = 0;
        let ms = median(|| ops = launch(device, p, g, params, options));
        print!(" {ms:>9.3} ({:>5.1} ns/op)", ms * 1e6 / ops as f64);
        if options.level == best && options.warps == 8 && !options.plain {
            print!(" {:>6.2}x", ms / native);
        }
        first.get_or_insert(ms);
    }
    let checked = Options {
        check: true,
        tier: Tier::Interpreter,
        ..Options::default()
    };
    let watched = device.watched();
    let ms = median(|| {
        launch(&watched, p, g, params, checked);
    });
    let found = watched.1.findings().len();
    assert_eq!(found, 0, "{name} has findings");
    println!(" {ms:>9.3} {:>5.1}x", ms / first.unwrap_or(ms));
}

const INDEX: &str =
    "mov.u32 %r1, %ctaid.x; mov.u32 %r2, %ntid.x; mov.u32 %r3, %tid.x; mad.lo.s32 %r4, %r1, %r2, %r3;";

fn saxpy(n: usize, name: &str) {
    let mut device = Device(Vec::new());
    let (x, y) = (device.alloc(n * 4), device.alloc(n * 4));
    let p = program(
        ".param .u64 x, .param .u64 y, .param .u64 n",
        &format!(
            "ld.param.u64 %rd1, [x]; ld.param.u64 %rd2, [y]; ld.param.u32 %r5, [n]; {INDEX}
            setp.ge.s32 %p1, %r4, %r5; @%p1 bra DONE; cvta.to.global.u64 %rd3, %rd1; cvta.to.global.u64 %rd4, %rd2;
            mul.wide.s32 %rd5, %r4, 4; add.s64 %rd6, %rd3, %rd5; ld.global.f32 %f1, [%rd6];
            add.s64 %rd7, %rd4, %rd5; ld.global.f32 %f2, [%rd7]; fma.rn.f32 %f3, %f1, 0f40000000, %f2; st.global.f32 [%rd7], %f3;
            DONE: ret;"
        ),
    );
    let (a, mut b) = (vec![1f32; n], vec![2f32; n]);
    let blocks = u32::try_from(n / 256).unwrap_or(1);
    case(
        name,
        &device,
        &p,
        Geometry::new([blocks, 1, 1], [256, 1, 1]),
        &[x, y, n as u64],
        || {
            for (b, a) in b.iter_mut().zip(&a) {
                *b = a.mul_add(2.0, *b);
            }
            std::hint::black_box(&mut b);
        },
    );
}

fn mandel() {
    let (w, h, limit) = (512usize, 512usize, 256u32);
    let mut device = Device(Vec::new());
    let out = device.alloc(w * h * 4);
    let p = program(
        ".param .u64 out",
        "ld.param.u64 %rd1, [out]; mov.u32 %r1, %ctaid.x; mov.u32 %r2, %ctaid.y; mov.u32 %r3, %tid.x; mov.u32 %r4, %tid.y;
        shl.b32 %r5, %r1, 4; add.u32 %r5, %r5, %r3; shl.b32 %r6, %r2, 4; add.u32 %r6, %r6, %r4;
        cvt.rn.f32.u32 %f1, %r5; cvt.rn.f32.u32 %f2, %r6; fma.rn.f32 %f1, %f1, 0f3BC00000, 0fC0000000; fma.rn.f32 %f2, %f2, 0f3B800000, 0fBF800000;
        mov.f32 %f3, 0f00000000; mov.f32 %f4, 0f00000000; mov.u32 %r7, 0;
        LOOP: mul.f32 %f5, %f3, %f3; mul.f32 %f6, %f4, %f4; add.f32 %f7, %f5, %f6; setp.gt.f32 %p1, %f7, 0f40800000; @%p1 bra DONE;
        sub.f32 %f8, %f5, %f6; add.f32 %f9, %f3, %f3; fma.rn.f32 %f4, %f9, %f4, %f2; add.f32 %f3, %f8, %f1;
        add.u32 %r7, %r7, 1; setp.lt.u32 %p2, %r7, 256; @%p2 bra LOOP;
        DONE: mad.lo.u32 %r8, %r6, 512, %r5; mul.wide.u32 %rd2, %r8, 4; add.s64 %rd3, %rd1, %rd2; st.global.u32 [%rd3], %r7; ret;",
    );
    let mut image = vec![0u32; w * h];
    let mut native = || {
        for py in 0..h {
            for px in 0..w {
                let (cx, cy) = (
                    (px as f32).mul_add(0.005_859_375, -2.0),
                    (py as f32).mul_add(0.003_906_25, -1.0),
                );
                let (mut x, mut y, mut n) = (0f32, 0f32, 0);
                while n < limit {
                    let (xx, yy) = (x * x, y * y);
                    if xx + yy > 4.0 {
                        break;
                    }
                    y = (x + x).mul_add(y, cy);
                    x = xx - yy + cx;
                    n += 1;
                }
                image[py * w + px] = n;
            }
        }
    };
    case(
        "mandel",
        &device,
        &p,
        Geometry::new([32, 32, 1], [16, 16, 1]),
        &[out],
        &mut native,
    );
    let wrong = device
        .words(out)
        .iter()
        .zip(&image)
        .filter(|(a, b)| a != b)
        .count();
    assert!(wrong == 0, "{wrong} wrong pixels");
}

fn matmul() {
    let n = 256usize;
    let mut device = Device(Vec::new());
    let (a, b, c) = (
        device.alloc(n * n * 4),
        device.alloc(n * n * 4),
        device.alloc(n * n * 4),
    );
    for (i, w) in device.words(a).iter_mut().enumerate() {
        *w = ((i % 7) as f32).to_bits();
    }
    for (i, w) in device.words(b).iter_mut().enumerate() {
        *w = ((i % 5) as f32).to_bits();
    }
    // The inner loop unrolled by sixteen, as compilers do.
    let mut inner = String::new();
    for k in 0..16 {
        inner += &format!(
            "ld.shared.f32 %f4, [%r12+{}]; ld.shared.f32 %f5, [%r14+{}]; fma.rn.f32 %f1, %f4, %f5, %f1;\n",
            k * 4,
            k * 64
        );
    }
    let p = program(
        ".param .u64 a, .param .u64 b, .param .u64 c, .param .u64 n",
        &format!(
            ".shared .align 4 .b8 ta[1024]; .shared .align 4 .b8 tb[1024];
            ld.param.u64 %rd1, [a]; ld.param.u64 %rd2, [b]; ld.param.u64 %rd3, [c]; ld.param.u32 %r1, [n];
            mov.u32 %r2, %tid.x; mov.u32 %r3, %tid.y; mov.u32 %r4, %ctaid.x; mov.u32 %r5, %ctaid.y;
            shl.b32 %r6, %r5, 4; add.u32 %r6, %r6, %r3; shl.b32 %r7, %r4, 4; add.u32 %r7, %r7, %r2; mov.u32 %r8, ta; mov.u32 %r9, tb;
            shl.b32 %r10, %r3, 6; shl.b32 %r11, %r2, 2; add.u32 %r12, %r8, %r10; add.u32 %r13, %r12, %r11; add.u32 %r14, %r9, %r11; add.u32 %r15, %r14, %r10;
            mov.f32 %f1, 0f00000000; mov.u32 %r16, 0;
            TILE: mad.lo.u32 %r17, %r6, %r1, %r16; add.u32 %r17, %r17, %r2; mul.wide.u32 %rd4, %r17, 4; add.s64 %rd4, %rd1, %rd4;
            ld.global.f32 %f2, [%rd4]; st.shared.f32 [%r13], %f2; add.u32 %r18, %r16, %r3; mad.lo.u32 %r18, %r18, %r1, %r7;
            mul.wide.u32 %rd5, %r18, 4; add.s64 %rd5, %rd2, %rd5; ld.global.f32 %f3, [%rd5]; st.shared.f32 [%r15], %f3; bar.sync 0;
            {inner}
            bar.sync 0; add.u32 %r16, %r16, 16; setp.lt.u32 %p2, %r16, %r1; @%p2 bra TILE;
            mad.lo.u32 %r24, %r6, %r1, %r7; mul.wide.u32 %rd6, %r24, 4; add.s64 %rd6, %rd3, %rd6; st.global.f32 [%rd6], %f1; ret;"
        ),
    );
    let (x, y) = (vec![1f32; n * n], vec![2f32; n * n]);
    let mut z = vec![0f32; n * n];
    let blocks = u32::try_from(n / 16).unwrap_or(1);
    case(
        "matmul tiled",
        &device,
        &p,
        Geometry::new([blocks, blocks, 1], [16, 16, 1]),
        &[a, b, c, n as u64],
        || {
            z.fill(0.0);
            for i in 0..n {
                for k in 0..n {
                    let s = x[i * n + k];
                    for (z, y) in z[i * n..(i + 1) * n].iter_mut().zip(&y[k * n..(k + 1) * n]) {
                        *z = s.mul_add(*y, *z);
                    }
                }
            }
            std::hint::black_box(&mut z);
        },
    );
}

fn nbody() {
    let n = 2048usize;
    let mut device = Device(Vec::new());
    let (pos, acc) = (device.alloc(n * 16), device.alloc(n * 16));
    for (i, w) in device.words(pos).iter_mut().enumerate() {
        *w = (i as f32 * 0.37).sin().to_bits();
    }
    let p = program(
        ".param .u64 pos, .param .u64 acc, .param .u64 n",
        &format!(
            "ld.param.u64 %rd1, [pos]; ld.param.u64 %rd2, [acc]; ld.param.u32 %r5, [n]; {INDEX}
            mul.wide.u32 %rd3, %r4, 16; add.s64 %rd4, %rd1, %rd3; ld.global.v4.f32 {{%f1, %f2, %f3, %f4}}, [%rd4];
            mov.f32 %f20, 0f00000000; mov.f32 %f21, 0f00000000; mov.f32 %f22, 0f00000000; mov.u32 %r6, 0; mov.u64 %rd5, %rd1;
            LOOP: ld.global.v4.f32 {{%f5, %f6, %f7, %f8}}, [%rd5]; sub.f32 %f9, %f5, %f1; sub.f32 %f10, %f6, %f2; sub.f32 %f11, %f7, %f3;
            fma.rn.f32 %f12, %f9, %f9, 0f3C23D70A; fma.rn.f32 %f12, %f10, %f10, %f12; fma.rn.f32 %f12, %f11, %f11, %f12;
            rsqrt.approx.f32 %f13, %f12; mul.f32 %f14, %f13, %f13; mul.f32 %f14, %f14, %f13; mul.f32 %f14, %f14, %f8;
            fma.rn.f32 %f20, %f9, %f14, %f20; fma.rn.f32 %f21, %f10, %f14, %f21; fma.rn.f32 %f22, %f11, %f14, %f22;
            add.s64 %rd5, %rd5, 16; add.u32 %r6, %r6, 1; setp.lt.u32 %p1, %r6, %r5; @%p1 bra LOOP;
            add.s64 %rd6, %rd2, %rd3; st.global.v4.f32 [%rd6], {{%f20, %f21, %f22, %f13}}; ret;"
        ),
    );
    let q: Vec<[f32; 4]> = (0..n)
        .map(|i| [0, 1, 2, 3].map(|c| ((i * 4 + c) as f32 * 0.37).sin()))
        .collect();
    let mut r = vec![[0f32; 3]; n];
    let blocks = u32::try_from(n / 256).unwrap_or(1);
    case(
        "nbody",
        &device,
        &p,
        Geometry::new([blocks, 1, 1], [256, 1, 1]),
        &[pos, acc, n as u64],
        || {
            for i in 0..n {
                let mut a = [0f32; 3];
                for b in &q {
                    let d = [b[0] - q[i][0], b[1] - q[i][1], b[2] - q[i][2]];
                    let s = d[2].mul_add(d[2], d[1].mul_add(d[1], d[0].mul_add(d[0], 0.01)));
                    let inv = 1.0 / s.sqrt();
                    let f = inv * inv * inv * b[3];
                    for c in 0..3 {
                        a[c] = d[c].mul_add(f, a[c]);
                    }
                }
                r[i] = a;
            }
            std::hint::black_box(&mut r);
        },
    );
}

fn hash() {
    let n = 1usize << 16;
    let mut device = Device(Vec::new());
    let out = device.alloc(n * 4);
    let p = program(
        ".param .u64 out",
        &format!(
            "ld.param.u64 %rd1, [out]; {INDEX} mov.u32 %r5, %r4; mov.u32 %r6, 0;
            LOOP: shr.u32 %r7, %r5, 16; xor.b32 %r5, %r5, %r7; mul.lo.u32 %r5, %r5, 2146121005; shr.u32 %r7, %r5, 15; xor.b32 %r5, %r5, %r7;
            mul.lo.u32 %r5, %r5, -2073254261; shr.u32 %r7, %r5, 16; xor.b32 %r5, %r5, %r7;
            add.u32 %r6, %r6, 1; setp.lt.u32 %p1, %r6, 100; @%p1 bra LOOP;
            mul.wide.u32 %rd2, %r4, 4; add.s64 %rd3, %rd1, %rd2; st.global.u32 [%rd3], %r5; ret;"
        ),
    );
    let mut r = vec![0u32; n];
    case(
        "hash",
        &device,
        &p,
        Geometry::new([256, 1, 1], [256, 1, 1]),
        &[out],
        || {
            for (i, r) in (0u32..).zip(r.iter_mut()) {
                let mut h = std::hint::black_box(i);
                for _ in 0..100 {
                    h ^= h >> 16;
                    h = h.wrapping_mul(2_146_121_005);
                    h ^= h >> 15;
                    h = h.wrapping_mul(2_221_713_035);
                    h ^= h >> 16;
                }
                *r = h;
            }
            std::hint::black_box(&mut r);
        },
    );
}

fn reduce() {
    let n = 1usize << 22;
    let mut device = Device(Vec::new());
    let (x, out) = (device.alloc(n * 4), device.alloc(4));
    let mut tail = String::new();
    for by in [16, 8, 4, 2, 1] {
        tail += &format!(
            "shfl.sync.down.b32 %r20, %r19, {by}, 31, -1; mov.b32 %f2, %r20; add.f32 %f1, %f1, %f2; mov.b32 %r19, %f1;\n"
        );
    }
    let p = program(
        ".param .u64 x, .param .u64 out, .param .u64 n",
        &format!(
            "ld.param.u64 %rd1, [x]; ld.param.u64 %rd2, [out]; ld.param.u32 %r5, [n]; {INDEX} mov.u32 %r6, %nctaid.x; mul.lo.u32 %r6, %r6, %r2; mov.f32 %f1, 0f00000000;
            LOOP: setp.ge.u32 %p1, %r4, %r5; @%p1 bra DONE; mul.wide.u32 %rd3, %r4, 4; add.s64 %rd4, %rd1, %rd3; ld.global.f32 %f2, [%rd4];
            add.f32 %f1, %f1, %f2; add.u32 %r4, %r4, %r6; bra LOOP;
            DONE: mov.b32 %r19, %f1; {tail} and.b32 %r7, %r3, 31; setp.ne.u32 %p2, %r7, 0; @%p2 bra END; red.global.add.f32 [%rd2], %f1; END: ret;"
        ),
    );
    let a = vec![1f32; n];
    case(
        "reduce 4M",
        &device,
        &p,
        Geometry::new([64, 1, 1], [256, 1, 1]),
        &[x, out, n as u64],
        || {
            let mut s = [0f32; 16];
            for c in std::hint::black_box(&a).chunks_exact(16) {
                for i in 0..16 {
                    s[i] += c[i];
                }
            }
            std::hint::black_box(s);
        },
    );
}

/// Atomics: a histogram in shared memory, and tickets that all threads take from one counter in global memory.
fn atomics() {
    let n = 1usize << 20;
    let mut device = Device(Vec::new());
    let (x, out) = (device.alloc(n * 4), device.alloc(1024));
    let mut state = 1u32;
    let values: Vec<u32> = (0..n)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state >> 24
        })
        .collect();
    device.words(x)[..n].copy_from_slice(&values);
    let histogram = program(
        ".param .u64 x, .param .u64 out, .param .u64 n",
        &format!(
            ".shared .align 4 .b8 bins[1024]; ld.param.u64 %rd1, [x]; ld.param.u64 %rd2, [out]; ld.param.u32 %r5, [n]; {INDEX}
            mov.u32 %r6, %nctaid.x; mul.lo.u32 %r6, %r6, %r2; mov.u32 %r8, bins; shl.b32 %r9, %r3, 2; add.u32 %r10, %r8, %r9; st.shared.u32 [%r10], 0; bar.sync 0;
            LOOP: setp.ge.u32 %p1, %r4, %r5; @%p1 bra DONE; mul.wide.u32 %rd3, %r4, 4; add.s64 %rd4, %rd1, %rd3; ld.global.u32 %r11, [%rd4];
            shl.b32 %r11, %r11, 2; add.u32 %r11, %r8, %r11; atom.shared.add.u32 %r12, [%r11], 1; add.u32 %r4, %r4, %r6; bra LOOP;
            DONE: bar.sync 0; ld.shared.u32 %r13, [%r10]; mul.wide.u32 %rd5, %r3, 4; add.s64 %rd6, %rd2, %rd5; red.global.add.u32 [%rd6], %r13; ret;"
        ),
    );
    let geometry = Geometry::new([32, 1, 1], [256, 1, 1]);
    case(
        "histogram 1M",
        &device,
        &histogram,
        geometry,
        &[x, out, n as u64],
        || {
            let mut bins = [0u32; 256];
            for v in std::hint::black_box(&values) {
                bins[(*v & 255) as usize] += 1;
            }
            std::hint::black_box(bins);
        },
    );
    let tickets = program(
        ".param .u64 out",
        "ld.param.u64 %rd1, [out]; mov.u32 %r5, 0; LOOP: atom.global.add.u32 %r6, [%rd1], 1; add.u32 %r5, %r5, 1; setp.lt.u32 %p1, %r5, 16; @%p1 bra LOOP; ret;",
    );
    let counter = std::sync::atomic::AtomicU32::new(0);
    case("tickets 128K", &device, &tickets, geometry, &[out], || {
        for _ in 0..1 << 17 {
            std::hint::black_box(counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst));
        }
    });
}

fn tiny() {
    let mut device = Device(Vec::new());
    let out = device.alloc(4096);
    let body = format!(
        "ld.param.u64 %rd1, [out]; {INDEX} mul.wide.u32 %rd2, %r4, 4; add.s64 %rd3, %rd1, %rd2; st.global.u32 [%rd3], %r4; ret;"
    );
    let first = median(|| {
        for _ in 0..100 {
            let p = program(".param .u64 out", &body);
            launch(
                &device,
                &p,
                Geometry::new([1, 1, 1], [256, 1, 1]),
                &[out],
                Options::default(),
            );
        }
    });
    println!("text to result {:>9.2} us", first * 10.0);
    let p = program(".param .u64 out", &body);
    let params = out.to_le_bytes();
    let launch =
        Launch::new(&p, Geometry::new([1000, 1, 1], [256, 1, 1]), &params).unwrap_or_else(|e| panic!("{e}"));
    let (mut pool, mut worker, stop) = (Pool::new(), Worker::new(), AtomicBool::new(false));
    let env = Env {
        memory: &device,
        runtime: &Nothing,
        stop: &stop,
        fuel: 1 << 40,
        sm: 0,
        sms: 1,
        next: None,
    };
    let block = median(|| {
        for _ in 0..1000 {
            let mut cta = Cta::new(&launch, [0, 0, 0], &mut pool);
            assert_eq!(cta.run(&mut worker, &env), Exit::Done);
            pool.recycle(cta);
        }
    });
    println!("one more block {block:>9.2} us");
}

fn main() {
    // One kind alone, while it is worked on.
    if std::env::args().any(|arg| arg == "atomics") {
        return atomics();
    }
    println!(
        "{:<14} {:>9} {:>27} {:>31} {:>23} {:>23} {:>23} {:>23} {:>16}",
        "ms",
        "Rust",
        "best unit, 8 warps, ratio",
        "all-vector",
        "1 warp",
        "AVX2",
        "machine code",
        "machine code, AVX2",
        "checked"
    );
    tiny();
    saxpy(1 << 22, "saxpy 4M");
    saxpy(1 << 16, "saxpy 64K");
    mandel();
    matmul();
    nbody();
    hash();
    reduce();
    atomics();
}
