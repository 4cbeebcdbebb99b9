//! A small device for one launch: memory with exact bounds, module variables, blocks that take turns.

use std::cell::UnsafeCell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tessera_engine::check::{Allocation, Checker, Checks};
use tessera_engine::texture::{HEADER_BYTES, Image as Picture, Sampler};
use tessera_engine::{
    Access, Cta, Env, Exit, Fault, Geometry, HookError, Launch, Memory, Options, Pool, Program, Runtime,
    Span, Symbols, ThreadView, Why, Worker, compile,
};
use tessera_ptx::{FuncId, Id, Module, Space, Symbol, Type, TypeClass, VarId};

/// First address of a device memory arena; regions are this far apart and end exactly.
const BASE: u64 = 0x2000_0000_0000;
const STEP: u64 = 0x1_0000_0000;

/// Allocations, each a range of device addresses of its own.
pub(crate) struct Ram {
    /// In cells that make host addresses multiples of 16 where device addresses are.
    regions: Vec<(u64, Box<[UnsafeCell<u128>]>)>,
    /// What checked launches report to.
    pub(crate) checker: Arc<Checker>,
}

impl Default for Ram {
    fn default() -> Self {
        let all = Checks::parse("all").expect("a name of checks");
        Self {
            regions: Vec::new(),
            checker: Checker::new(all),
        }
    }
}

// SAFETY: the cells are written by kernels through raw pointers and read by this program only while none runs.
unsafe impl Sync for Ram {}

impl Ram {
    /// A region of this size; returns its address.
    pub(crate) fn allocate(&mut self, bytes: usize) -> u64 {
        let cells = (0..bytes.div_ceil(16).max(1))
            .map(|_| UnsafeCell::new(0))
            .collect();
        self.regions.push((bytes as u64, cells));
        let base = BASE + (self.regions.len() as u64 - 1) * STEP;
        self.checker.allocated(Allocation::host(base, bytes as u64));
        base
    }

    fn host(&self, address: u64) -> *mut u8 {
        let (index, offset) = ((address - BASE) / STEP, (address - BASE) % STEP);
        let (len, cells) = &self.regions[usize::try_from(index).expect("a small number")];
        assert!(offset <= *len);
        let start = UnsafeCell::raw_get(cells.as_ptr()).cast::<u8>();
        // SAFETY: the offset was just checked against the region.
        unsafe { start.add(usize::try_from(offset).expect("a small number")) }
    }

    pub(crate) fn write(&mut self, address: u64, bytes: &[u8]) {
        let to = self.host(address);
        // SAFETY: `to` points into a region that has this room (tests write whole regions) and nothing else uses it now.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
        self.checker.written(address, bytes.len() as u64);
    }

    pub(crate) fn read(&self, address: u64, bytes: usize) -> Vec<u8> {
        let mut all = vec![0; bytes];
        // SAFETY: as in `write`; no kernel runs.
        unsafe { std::ptr::copy_nonoverlapping(self.host(address), all.as_mut_ptr(), bytes) };
        all
    }
}

// SAFETY: regions live as long as the `Ram`, which outlives every launch; the generation never changes.
unsafe impl Memory for Ram {
    fn lookup(&self, address: u64, _access: Access) -> Option<Span> {
        let index = usize::try_from(address.checked_sub(BASE)? / STEP).ok()?;
        let (len, _) = self.regions.get(index)?;
        let lo = BASE + index as u64 * STEP;
        (address - lo < *len).then(|| Span {
            lo,
            len: *len,
            host: self.host(lo),
        })
    }

    fn generation(&self) -> u64 {
        1
    }

    fn checker(&self) -> Option<Arc<Checker>> {
        Some(Arc::clone(&self.checker))
    }
}

/// Hooks: no output, a clock that counts calls.
#[derive(Default)]
struct Host {
    clock: AtomicU64,
}

impl Runtime for Host {
    fn vprintf(&self, _: &ThreadView<'_>, _: u64, _: u64) -> Result<i32, HookError> {
        Err(HookError::Refused)
    }
    fn assert_fail(&self, _: &ThreadView<'_>, _: u64, _: u64, _: u32, _: u64) {}
    fn malloc(&self, _: u64) -> u64 {
        0
    }
    fn free(&self, _: u64) -> Result<(), HookError> {
        Err(HookError::Refused)
    }
    fn clock(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::Relaxed)
    }
    fn global_timer(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::Relaxed)
    }
}

/// Addresses of the variables of a module, laid out in a [`Ram`].
pub(crate) struct Image {
    variables: Vec<Option<u64>>,
}

impl Image {
    /// Allocates and initialises the variables.
    pub(crate) fn load(module: &Module, ram: &mut Ram) -> Self {
        let in_memory = |space| matches!(space, Space::Global | Space::Const);
        let variables: Vec<_> = (module.vars.iter())
            .map(|(_, v)| {
                let size = if v.ty.class() == TypeClass::Opaque {
                    HEADER_BYTES
                } else {
                    usize::try_from(v.size).expect("a small variable")
                };
                in_memory(v.space).then(|| ram.allocate(size))
            })
            .collect();
        let image = Self { variables };
        // Variables without contents are zero.
        for (id, variable) in module.vars.iter() {
            if let Some(address) = image.variable(id) {
                ram.checker.written(address, variable.size);
            }
        }
        for (id, variable) in module.vars.iter() {
            if let (Type::SamplerRef, Some(address)) = (variable.ty, image.variable(id)) {
                let sampler = Sampler::of_fields(&variable.opaque_init).expect("a sampler");
                ram.write(address, &Picture::sampler_only(sampler).encode());
            }
            let (Some(address), Some(init)) = (image.variable(id), &variable.init) else {
                continue;
            };
            let mut bytes = init.bytes.clone();
            for r in &init.relocations {
                let target = match r.target {
                    Symbol::Var(id) => image.variable(id),
                    Symbol::Func(id) => image.function(id),
                    _ => None,
                };
                let value = target
                    .expect("a symbol of this module")
                    .wrapping_add_signed(r.addend)
                    >> r.shift;
                let (at, width) = (usize::try_from(r.offset).expect("small"), usize::from(r.width));
                bytes[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
            }
            ram.write(address, &bytes);
        }
        image
    }
}

impl Symbols for Image {
    fn variable(&self, id: VarId) -> Option<u64> {
        self.variables[id.index()]
    }
    fn function(&self, id: FuncId) -> Option<u64> {
        Some(0x1000 + 16 * id.index() as u64)
    }
}

/// How a launch is carried out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    /// Vector unit, warps of a group, decoding.
    pub(crate) options: Options,
    /// Operations per turn.
    pub(crate) fuel: u64,
}

/// Compiles a kernel.
pub(crate) fn program(module: &Module, entry: &str, image: &Image) -> Result<Arc<Program>, String> {
    let id = module
        .func_by_name(entry)
        .ok_or_else(|| format!("no kernel `{entry}`"))?;
    compile(module, id, image)
        .map(Arc::new)
        .map_err(|e| e.to_string())
}

/// Runs a launch to its end, all blocks taking turns.
pub(crate) fn run(
    program: &Arc<Program>,
    geometry: Geometry,
    params: &[u8],
    ram: &Ram,
    way: Way,
) -> Result<Option<Box<Fault>>, String> {
    let launch = Launch::with_options(program, geometry, params, way.options).map_err(|e| e.to_string())?;
    let geometry = launch.geometry();
    let mut pool = Pool::new();
    let clusters = 0..geometry.clusters();
    let mut waiting: VecDeque<Cta> = clusters
        .flat_map(|c| Cta::cluster(&launch, geometry.cluster_origin(c), &mut pool))
        .collect();
    let mut workers = [Worker::new(), Worker::new()];
    let (host, stop) = (Host::default(), AtomicBool::new(false));
    let env = Env {
        memory: ram,
        runtime: &host,
        stop: &stop,
        fuel: way.fuel,
        sm: 0,
        sms: 4,
        next: None,
    };
    // A launch of these tests takes thousands of operations, not millions: more is a hang.
    let mut turns = 3_000_000u64;
    while let Some(mut cta) = waiting.pop_front() {
        workers.swap(0, 1);
        match cta.run(&mut workers[0], &env) {
            Exit::Done => pool.recycle(cta),
            Exit::Fault(fault) => return Ok(Some(fault)),
            Exit::Yielded(Why::Fuel | Why::Idle | Why::GridBarrier | Why::Stop) => waiting.push_back(cta),
        }
        turns -= 1;
        if turns == 0 {
            return Err("the launch does not end".into());
        }
    }
    Ok(None)
}
