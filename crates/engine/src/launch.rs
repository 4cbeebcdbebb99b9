//! A kernel bound to a geometry and to parameters.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::check::state::LaunchChecks;
use crate::cta::Block;
use crate::decode::{Code, Variant};
use crate::error::LaunchError;
use crate::exec::alu::Class;
use crate::exec::isa::Level;
use crate::frame::Buf;
use crate::lir::Konst;
use crate::program::{Program, Resources};
use crate::tiers::{Build, Later};
use crate::{MAX_SHARED_BYTES, WARP};

/// Bytes of state that a block may have: frames and local memory.
const MAX_STATE: u64 = 1 << 30;

/// Shape of a launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Geometry {
    /// Blocks in x, y, z.
    pub grid: [u32; 3],
    /// Threads of a block in x, y, z.
    pub block: [u32; 3],
    /// Dynamic shared memory in bytes.
    pub dynamic_shared: u32,
    /// `%gridid`.
    pub grid_id: u64,
    /// Address of the workspace of a cooperative launch (`%envreg1` and `%envreg2` hold its high and low half); 0 for others.
    pub grid_workspace: u64,
    /// Blocks of a cluster in x, y, z; all 0 where the launch does not say: the kernel does then, or every block is one.
    pub cluster: [u32; 3],
    /// Bytes of a thread's stack, for kernels that recurse or use `alloca`.
    pub stack: u32,
}

impl Geometry {
    /// A launch with no dynamic shared memory, no grid-wide barrier and a stack of 1 KiB.
    #[must_use]
    pub const fn new(grid: [u32; 3], block: [u32; 3]) -> Self {
        Self {
            grid,
            block,
            dynamic_shared: 0,
            grid_id: 0,
            grid_workspace: 0,
            cluster: [0; 3],
            stack: 1024,
        }
    }
}

impl Geometry {
    /// Blocks of a cluster, at least one in each dimension.
    pub(crate) fn cluster_size(&self) -> [u32; 3] {
        self.cluster.map(|c| c.max(1))
    }

    /// Blocks of a cluster.
    #[must_use]
    pub fn cluster_blocks(&self) -> u32 {
        self.cluster_size().iter().product()
    }

    /// Clusters of the grid.
    #[must_use]
    pub fn clusters(&self) -> u64 {
        let size = self.cluster_size();
        (0..3).map(|d| u64::from(self.grid[d] / size[d])).product()
    }

    /// The lowest block of a cluster; x runs fastest.
    #[must_use]
    pub fn cluster_origin(&self, number: u64) -> [u32; 3] {
        let size = self.cluster_size();
        let [x, y] = [0, 1].map(|d| u64::from(self.grid[d] / size[d]).max(1));
        let at = [number % x, number / x % y, number / x / y];
        [0, 1, 2].map(|d| u32::try_from(at[d]).unwrap_or(u32::MAX).saturating_mul(size[d]))
    }
}

/// Which engine carries a launch out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tier {
    /// The interpreter at first, machine code once the kernel has proved hot.
    #[default]
    Auto,
    /// The interpreter.
    Interpreter,
    /// Machine code, where the processor and the kernel allow it.
    Native,
}

impl FromStr for Tier {
    type Err = String;

    /// `auto`, `interpreter` or `native`.
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "interpreter" => Ok(Self::Interpreter),
            "native" => Ok(Self::Native),
            _ => Err(format!("{text:?} is no tier: auto, interpreter or native")),
        }
    }
}

/// How a launch is carried out; the default is right except in tests and measurements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Vector unit. One that the processor does not have is lowered to what it has.
    pub level: Level,
    /// Warps of a group: 1, 2, 4 or 8.
    pub warps: u32,
    /// No sharing of values between lanes.
    pub plain: bool,
    /// Look at what the kernel does and report what is wrong to [`crate::Memory::checker`]; see [`crate::check`].
    pub check: bool,
    /// Interpreter or machine code.
    pub tier: Tier,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            level: Level::best(),
            warps: 8,
            plain: false,
            check: false,
            tier: Tier::Auto,
        }
    }
}

/// A launch: a program, a geometry, parameters. Shared by its blocks.
#[derive(Debug)]
pub struct Launch {
    program: Arc<Program>,
    geometry: Geometry,
    /// How blocks start.
    build: Build,
    /// How blocks go on once the launch has proved hot.
    later: Later,
    /// Parameters, in memory aligned to 64.
    params: Buf,
    /// Constants, sixteen of each.
    pool: Buf,
    pub(crate) threads: u32,
    pub(crate) shared_bytes: u32,
    checks: Option<LaunchChecks>,
    /// Local memory of a thread: variables, then the stack.
    local_bytes: u32,
}

impl Launch {
    /// Binds a program. `params` is the parameter block as [`crate::Resources::params`] lays it out; a longer one is accepted, its tail ignored.
    ///
    /// # Errors
    /// [`LaunchError`] when geometry, parameters or shared memory do not fit the kernel.
    pub fn new(program: &Arc<Program>, geometry: Geometry, params: &[u8]) -> Result<Arc<Self>, LaunchError> {
        Self::with_options(program, geometry, params, Options::default())
    }

    /// As [`new`](Self::new), choosing how it is carried out.
    ///
    /// # Errors
    /// As there.
    pub fn with_options(
        program: &Arc<Program>,
        geometry: Geometry,
        params: &[u8],
        options: Options,
    ) -> Result<Arc<Self>, LaunchError> {
        let resources = program.resources();
        let [x, y, z] = geometry.block;
        let threads = u64::from(x)
            .saturating_mul(u64::from(y))
            .saturating_mul(u64::from(z));
        let wrong_shape = resources
            .required_block
            .is_some_and(|r| r.map(|d| d.max(1)) != geometry.block);
        let max = resources.max_threads;
        let count = u32::try_from(threads)
            .ok()
            .filter(|&t| t > 0 && t <= max && !wrong_shape);
        let Some(threads) = count else {
            return Err(LaunchError::BlockSize { threads, max });
        };
        let [gx, gy, gz] = geometry.grid;
        if gx == 0 || gy == 0 || gz == 0 || gx > 0x7fff_ffff || gy > 0xffff || gz > 0xffff {
            return Err(LaunchError::GridSize(geometry.grid));
        }
        let geometry = with_cluster(geometry, resources)?;
        let want = resources.param_bytes as usize;
        let Some(bytes) = params.get(..want) else {
            return Err(LaunchError::Parameters {
                got: params.len(),
                want,
            });
        };
        let shared = u64::from(resources.static_shared) + u64::from(geometry.dynamic_shared);
        let Some(shared_bytes) = u32::try_from(shared).ok().filter(|&s| s <= MAX_SHARED_BYTES) else {
            return Err(LaunchError::SharedSize {
                bytes: shared,
                max: MAX_SHARED_BYTES,
            });
        };
        let local_bytes = local_bytes(resources, &geometry);
        let build = Build::choose(program, threads, &geometry, options);
        let later = Later::new(&build, threads, options);
        let mut copy = Buf::zeroed(want);
        copy.bytes_mut().copy_from_slice(bytes);
        let mut launch = Self {
            program: Arc::clone(program),
            geometry,
            build,
            later,
            params: copy,
            pool: Buf::zeroed(0),
            threads,
            shared_bytes,
            checks: options.check.then(|| {
                let objects = &program.analysed.kernel.objects;
                LaunchChecks::new(objects, resources.static_shared, shared_bytes)
            }),
            local_bytes,
        };
        launch.pool = launch.constants();
        let state = launch.state_bytes(&launch.build);
        if state > MAX_STATE {
            return Err(LaunchError::State(state));
        }
        Ok(Arc::new(launch))
    }

    /// The program.
    #[must_use]
    pub fn program(&self) -> &Arc<Program> {
        &self.program
    }

    /// The engine in which its blocks start now: never [`Tier::Auto`].
    #[must_use]
    pub fn tier(&self) -> Tier {
        if self.build(self.starts_later()).native.is_some() {
            Tier::Native
        } else {
            Tier::Interpreter
        }
    }

    /// Bytes of machine code that it uses.
    #[must_use]
    pub fn code_bytes(&self) -> usize {
        let native = &self.build(self.starts_later()).native;
        native.as_ref().map_or(0, |code| code.bytes)
    }

    /// Has machine code made when the launch began in the interpreter and has proved hot meanwhile; blocks go over to it when they
    /// are next run. To be called from time to time while it runs; takes as long as the compilation when there is one, and no
    /// time otherwise. Whether there was a change.
    pub fn reconsider(&self) -> bool {
        self.is_due() && self.change_tier(false)
    }

    /// Whether [`reconsider`](Self::reconsider) has something to do, and nobody is doing it.
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.later.open()
            && self.program.heat.hot()
            && !self.program.compiling.load(Ordering::Relaxed)
            && !self.program.contended.load(Ordering::Relaxed)
    }

    /// As [`reconsider`](Self::reconsider), hot or not, and whether machine code pays or not; for tests and measurements.
    pub fn change_now(&self) -> bool {
        self.later.open() && self.change_tier(true)
    }

    fn change_tier(&self, forced: bool) -> bool {
        self.later
            .make(self, forced, |build| self.state_bytes(build) <= MAX_STATE)
    }

    /// Bytes of frames and local memory of a block.
    fn state_bytes(&self, build: &Build) -> u64 {
        let frame = |vector| build.code(&self.program.analysed, vector).slots.frame_bytes;
        let warps = u64::from(self.threads.div_ceil(WARP));
        frame(false).max(frame(true)) as u64 * warps.div_ceil(build.variant.key.warps as u64)
            + u64::from(self.local_bytes) * u64::from(self.threads.next_multiple_of(WARP))
    }

    /// How blocks are carried out that have changed tiers, or that have not.
    pub(crate) fn build(&self, later: bool) -> &Build {
        if later && let Some(build) = self.later.build() {
            return build;
        }
        &self.build
    }

    /// Whether there is another tier for blocks to go over to.
    pub(crate) fn has_changed(&self) -> bool {
        self.later.build().is_some()
    }

    /// Carries a block over that began in the first tier, if it can be where it stands.
    pub(crate) fn take_over(&self, block: &mut Block) {
        self.later.take_over(self, block);
    }

    /// Whether blocks start as those that have changed tiers.
    pub(crate) fn starts_later(&self) -> bool {
        self.has_changed() && !self.program.contended.load(Ordering::Relaxed)
    }

    /// The geometry.
    #[must_use]
    pub const fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// What a checked launch keeps for all its blocks.
    pub(crate) const fn checks(&self) -> Option<&LaunchChecks> {
        self.checks.as_ref()
    }

    /// The decodings that blocks start in; the only ones of a checked launch.
    pub(crate) fn variant(&self) -> &Variant {
        &self.build.variant
    }

    /// As [`variant`](Self::variant), one of the two.
    pub(crate) fn code(&self, vector: bool) -> &Code {
        self.build.code(&self.program.analysed, vector)
    }

    pub(crate) fn params(&self) -> &[u8] {
        self.params.bytes()
    }

    pub(crate) fn pool(&self) -> &[u8] {
        self.pool.bytes()
    }

    pub(crate) fn local_bytes(&self) -> usize {
        self.local_bytes as usize
    }

    /// Fills the pool: every constant sixteen times.
    fn constants(&self) -> Buf {
        let layout = &self.program.analysed.pool;
        let mut pool = Buf::zeroed(layout.bytes);
        let bytes = pool.bytes_mut();
        for &(konst, class, at) in &layout.entries {
            let value = self.constant(konst).to_le_bytes();
            let width = if class == Class::W64 { 8 } else { 4 };
            for lane in bytes[at..at + 16 * width].chunks_exact_mut(width) {
                lane.copy_from_slice(&value[..width]);
            }
        }
        pool
    }

    fn constant(&self, konst: Konst) -> u64 {
        let g = &self.geometry;
        match konst {
            Konst::Imm(value) => value,
            Konst::Param {
                offset,
                bytes,
                signed,
            } => {
                let mut raw = [0u8; 8];
                let (from, count) = (offset as usize, usize::from(bytes).min(8));
                if let Some(source) = self.params().get(from..from + count) {
                    raw[..count].copy_from_slice(source);
                }
                let value = u64::from_le_bytes(raw);
                let unused = 64 - 8 * u32::from(bytes.min(8));
                if signed {
                    ((value << unused).cast_signed() >> unused).cast_unsigned()
                } else {
                    value
                }
            }
            Konst::Ntid(c) => u64::from(g.block[usize::from(c) % 3]),
            Konst::Nctaid(c) => u64::from(g.grid[usize::from(c) % 3]),
            Konst::GridId => g.grid_id,
            Konst::GridWorkspace { high: false } => g.grid_workspace & 0xffff_ffff,
            Konst::GridWorkspace { high: true } => g.grid_workspace >> 32,
            Konst::Warps => u64::from(self.threads.div_ceil(WARP)),
            Konst::DynamicShared => u64::from(g.dynamic_shared),
            Konst::TotalShared => u64::from(self.shared_bytes),
            Konst::ClusterNctaid(c) => u64::from(g.cluster_size()[usize::from(c) % 3]),
            Konst::ClusterBlocks => u64::from(g.cluster_size().iter().product::<u32>()),
            Konst::Nclusterid(c) => {
                let c = usize::from(c) % 3;
                u64::from(g.grid[c] / g.cluster_size()[c])
            }
            Konst::ExplicitCluster => u64::from(g.cluster != [0; 3]),
            Konst::StackEnd => u64::from(self.local_bytes),
        }
    }
}

/// Local memory of a thread: variables, then the stack of kernels that take one.
fn local_bytes(resources: &Resources, geometry: &Geometry) -> u32 {
    let stack = if resources.stack {
        geometry.stack / 16 * 16
    } else {
        0
    };
    resources.local.saturating_add(stack)
}

/// The geometry with the cluster that kernel and launch agree on.
fn with_cluster(mut geometry: Geometry, resources: &Resources) -> Result<Geometry, LaunchError> {
    let wrong = || LaunchError::Cluster(geometry.cluster);
    let asked = geometry.cluster;
    if let Some(required) = resources.required_cluster {
        let required = required.map(|d| d.max(1));
        if asked != [0; 3] && asked.map(|d| d.max(1)) != required {
            return Err(wrong());
        }
        geometry.cluster = required;
    } else if asked == [0; 3] && resources.explicit_cluster {
        return Err(wrong());
    }
    let size = geometry.cluster_size();
    let blocks = size.iter().fold(1u32, |all, d| all.saturating_mul(*d));
    let whole = (0..3).all(|d| geometry.grid[d].is_multiple_of(size[d]));
    if blocks > resources.max_cluster || !whole {
        return Err(LaunchError::Cluster(size));
    }
    Ok(geometry)
}
