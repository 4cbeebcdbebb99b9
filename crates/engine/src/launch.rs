//! A kernel bound to a geometry and to parameters.

use std::sync::Arc;

use crate::error::LaunchError;
use crate::program::Program;

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
    /// Address of the workspace of a cooperative launch (`%envreg1` and `%envreg2` hold its low and high half); 0 for others.
    pub grid_workspace: u64,
}

impl Geometry {
    /// A launch with no dynamic shared memory and no grid-wide barrier.
    #[must_use]
    pub const fn new(grid: [u32; 3], block: [u32; 3]) -> Self {
        Self {
            grid,
            block,
            dynamic_shared: 0,
            grid_id: 0,
            grid_workspace: 0,
        }
    }
}

/// A launch: a program, a geometry, parameters. Shared by its blocks.
#[derive(Debug)]
pub struct Launch {
    program: Arc<Program>,
    geometry: Geometry,
}

impl Launch {
    /// Binds a program. `params` is the parameter block as [`crate::Resources::params`] lays it out; a longer one is accepted, its tail ignored.
    ///
    /// # Errors
    /// [`LaunchError`] when geometry, parameters or shared memory do not fit the kernel.
    pub fn new(program: &Arc<Program>, geometry: Geometry, params: &[u8]) -> Result<Arc<Self>, LaunchError> {
        let want = program.resources().param_bytes as usize;
        if params.len() < want {
            return Err(LaunchError::Parameters {
                got: params.len(),
                want,
            });
        }
        Ok(Arc::new(Self {
            program: Arc::clone(program),
            geometry,
        }))
    }

    /// The program.
    #[must_use]
    pub fn program(&self) -> &Arc<Program> {
        &self.program
    }

    /// The geometry.
    #[must_use]
    pub const fn geometry(&self) -> &Geometry {
        &self.geometry
    }
}
