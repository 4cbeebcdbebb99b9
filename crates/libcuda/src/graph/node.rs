//! What a node does, and how the parameters of the C API become that.

use super::Graph;
use super::memory::GraphMemory;
use super::params::{
    CUDA_BATCH_MEM_OP_NODE_PARAMS, CUDA_HOST_NODE_PARAMS, CUDA_KERNEL_NODE_PARAMS,
    CUDA_KERNEL_NODE_PARAMS_v1, CUDA_MEMSET_NODE_PARAMS,
};
use crate::code::{Answer, Code};
use crate::event::Event;
use crate::function::{self, Function};
use crate::launch::{self, Shape, launch_attribute};
use crate::memop;
use crate::memset::{self, Area};
use crate::objects::{Kind, is_kind};
use crate::state::Driver;
use crate::types::{CUDA_MEMCPY3D, CUhostFn, CUstreamBatchMemOpParams, Caller, Handle, c_void};
use std::collections::BTreeMap;
use std::sync::Arc;

/// `CUgraphNodeType`
pub(crate) mod kind {
    pub(crate) const KERNEL: i32 = 0;
    pub(crate) const MEMCPY: i32 = 1;
    pub(crate) const MEMSET: i32 = 2;
    pub(crate) const HOST: i32 = 3;
    pub(crate) const GRAPH: i32 = 4;
    pub(crate) const EMPTY: i32 = 5;
    pub(crate) const WAIT_EVENT: i32 = 6;
    pub(crate) const EVENT_RECORD: i32 = 7;
    pub(crate) const MEM_ALLOC: i32 = 10;
    pub(crate) const MEM_FREE: i32 = 11;
    pub(crate) const BATCH_MEM_OP: i32 = 12;
    pub(crate) const CONDITIONAL: i32 = 13;
}

/// A launch, with its own copy of the parameters.
#[derive(Clone)]
pub(crate) struct KernelWork {
    pub(crate) function: Arc<Function>,
    /// As the program named it: a function, or a kernel in a context.
    given: Handle,
    pub(crate) shape: Shape,
    pub(crate) block: Box<[u8]>,
    /// Where each parameter lies in the block, for queries.
    pointers: Box<[Caller<c_void>]>,
    /// Values of `CU_LAUNCH_ATTRIBUTE_*` that were set.
    pub(crate) attributes: BTreeMap<i32, [u32; 16]>,
}

/// A function of the program's.
#[derive(Clone, Copy)]
pub(crate) struct HostWork {
    pub(crate) function: unsafe extern "C" fn(*mut c_void),
    pub(crate) data: Caller<c_void>,
}

/// Values that are waited for and written.
pub(crate) struct ValuesWork {
    /// As the program gave them.
    pub(crate) given: Box<[CUstreamBatchMemOpParams]>,
    pub(crate) operations: Vec<memop::Operation>,
}

/// A choice among graphs.
pub(crate) struct ConditionalWork {
    pub(crate) value: Arc<GraphMemory>,
    pub(crate) kind: u32,
    pub(crate) bodies: Vec<Arc<Graph>>,
    /// The same as handles, which the program was given the address of.
    pub(crate) handles: Box<[Handle]>,
    pub(crate) context: Handle,
}

/// What a node does.
#[derive(Clone)]
pub(crate) enum Work {
    Kernel(Arc<KernelWork>),
    Memcpy(Box<CUDA_MEMCPY3D>),
    Memset(CUDA_MEMSET_NODE_PARAMS),
    Host(HostWork),
    Child(Arc<Graph>),
    Empty,
    Wait(Arc<Event>),
    Record(Arc<Event>),
    Alloc(Arc<GraphMemory>),
    Free(u64),
    Values(Arc<ValuesWork>),
    Conditional(Arc<ConditionalWork>),
}

impl Work {
    /// Whether it allocates or frees.
    pub(crate) fn is_memory(&self) -> bool {
        matches!(self, Self::Alloc(_) | Self::Free(_))
    }

    /// `CUgraphNodeType`
    pub(crate) fn kind(&self) -> i32 {
        match self {
            Self::Kernel(_) => kind::KERNEL,
            Self::Memcpy(_) => kind::MEMCPY,
            Self::Memset(_) => kind::MEMSET,
            Self::Host(_) => kind::HOST,
            Self::Child(_) => kind::GRAPH,
            Self::Empty => kind::EMPTY,
            Self::Wait(_) => kind::WAIT_EVENT,
            Self::Record(_) => kind::EVENT_RECORD,
            Self::Alloc(_) => kind::MEM_ALLOC,
            Self::Free(_) => kind::MEM_FREE,
            Self::Values(_) => kind::BATCH_MEM_OP,
            Self::Conditional(_) => kind::CONDITIONAL,
        }
    }

    /// A kernel node. A kernel's handle needs a context: the given one, or the current one.
    pub(crate) fn kernel(driver: &Driver, given: &CUDA_KERNEL_NODE_PARAMS) -> Answer<Self> {
        let handle = if given.first.function == 0 {
            given.kernel
        } else {
            given.first.function
        };
        if handle == 0 {
            return Err(Code::INVALID_VALUE);
        }
        let function = if given.context != 0 && is_kind(handle, Kind::Kernel) {
            let context = crate::context::context(given.context)?;
            driver.kernels.get(handle)?.function(driver, &context)?
        } else {
            function::function(handle)?
        };
        let shape = Shape {
            grid: given.first.grid,
            block: given.first.block,
            shared_bytes: given.first.shared_bytes,
            cooperative: false,
            cluster: [0; 3],
            shared_mode: 0,
        };
        let mut block = vec![0u8; function.parameter_bytes as usize];
        launch::gather(&function, given.first.pointers, given.first.extra, &mut block)?;
        KernelWork::new(driver, function, handle, shape, block).map(|work| Self::Kernel(Arc::new(work)))
    }

    pub(crate) fn kernel_v1(driver: &Driver, first: &CUDA_KERNEL_NODE_PARAMS_v1) -> Answer<Self> {
        let given = CUDA_KERNEL_NODE_PARAMS {
            first: *first,
            kernel: 0,
            context: 0,
        };
        Self::kernel(driver, &given)
    }

    /// A copy; what CUDA finds at once is found here.
    pub(crate) fn memcpy(driver: &Driver, what: &CUDA_MEMCPY3D) -> Answer<Self> {
        if what.width == 0 || what.height == 0 || what.depth == 0 {
            return Err(Code::INVALID_VALUE);
        }
        crate::copy3d::Prepared::new(driver, what)?;
        Ok(Self::Memcpy(Box::new(*what)))
    }

    /// A fill.
    pub(crate) fn memset(driver: &Driver, what: &CUDA_MEMSET_NODE_PARAMS) -> Answer<Self> {
        if !matches!(what.element_bytes, 1 | 2 | 4) || what.width == 0 || what.height == 0 {
            return Err(Code::INVALID_VALUE);
        }
        memset::check(driver, &area(what), what.element_bytes)?;
        Ok(Self::Memset(*what))
    }

    /// A host function.
    pub(crate) fn host(function: CUhostFn, data: Caller<c_void>) -> Answer<Self> {
        let function = function.ok_or(Code::INVALID_VALUE)?;
        Ok(Self::Host(HostWork { function, data }))
    }

    pub(crate) fn host_params(what: &CUDA_HOST_NODE_PARAMS) -> Answer<Self> {
        Self::host(what.function, what.data)
    }

    /// Waits for values and writes of them.
    pub(crate) fn values(driver: &Driver, given: &CUDA_BATCH_MEM_OP_NODE_PARAMS) -> Answer<Self> {
        let (count, list) = (given.count, given.operations);
        let operations = memop::operations(driver, memop::Version::Second, count, list, given.flags)?;
        let given = (0..count as usize)
            .map(|index| list.at(index))
            .collect::<Answer<Box<[_]>>>()?;
        Ok(Self::Values(Arc::new(ValuesWork { given, operations })))
    }

    /// The same of a stream's, found good.
    pub(crate) fn values_of(operations: Vec<memop::Operation>) -> Self {
        let given = operations.iter().map(|operation| operation.params()).collect();
        Self::Values(Arc::new(ValuesWork { given, operations }))
    }

    /// Events must be there and usable.
    pub(crate) fn event(driver: &Driver, handle: Handle) -> Answer<Arc<Event>> {
        if handle == 0 {
            return Err(Code::INVALID_VALUE);
        }
        let event = driver.events.get(handle)?;
        event.core.check()?;
        Ok(event)
    }

    /// Graphs that only this node had leave the table.
    pub(crate) fn forget(&self, driver: &Driver) {
        match self {
            Self::Child(graph) => {
                let _ = driver.graphs.remove(graph.handle);
            }
            Self::Conditional(conditional) => {
                for body in &conditional.bodies {
                    let _ = driver.graphs.remove(body.handle);
                }
            }
            _ => {}
        }
    }
}

/// The fill's place.
pub(crate) fn area(what: &CUDA_MEMSET_NODE_PARAMS) -> Area {
    Area {
        address: what.destination,
        pitch: what.pitch,
        width: what.width,
        height: what.height,
    }
}

impl KernelWork {
    pub(crate) fn new(
        driver: &Driver,
        function: Arc<Function>,
        given: Handle,
        shape: Shape,
        block: Vec<u8>,
    ) -> Answer<Self> {
        launch::check_shape(driver, &function, &shape)?;
        let mut attributes = BTreeMap::new();
        if shape.cooperative {
            attributes.insert(launch_attribute::COOPERATIVE, value(&[1]));
        }
        if shape.cluster != [0; 3] {
            attributes.insert(launch_attribute::CLUSTER_DIMENSION, value(&shape.cluster));
        }
        if shape.shared_mode != 0 {
            let mode = shape.shared_mode.cast_unsigned();
            attributes.insert(launch_attribute::SHARED_MEMORY_MODE, value(&[mode]));
        }
        let mut work = Self {
            function,
            given,
            shape,
            block: block.into(),
            pointers: Box::default(),
            attributes,
        };
        work.point();
        Ok(work)
    }

    /// Lets the pointers lead into this block.
    fn point(&mut self) {
        let first = self.block.as_mut_ptr();
        let pointer = |offset: u32| Caller::from_raw(first.wrapping_add(offset as usize).cast());
        self.pointers = self
            .function
            .parameters
            .iter()
            .map(|parameter| pointer(parameter.offset))
            .collect();
    }

    /// The same with another shape or other attributes.
    pub(crate) fn with(
        &self,
        driver: &Driver,
        shape: Shape,
        attributes: BTreeMap<i32, [u32; 16]>,
    ) -> Answer<Self> {
        launch::check_shape(driver, &self.function, &shape)?;
        let mut work = Self {
            shape,
            attributes,
            ..self.clone()
        };
        work.point();
        Ok(work)
    }

    /// The same with the attributes of another node, as setting parameters keeps them.
    pub(crate) fn keep_attributes(&self, driver: &Driver, old: &Self) -> Answer<Self> {
        let shape = Shape {
            cooperative: old.shape.cooperative,
            cluster: old.shape.cluster,
            shared_mode: old.shape.shared_mode,
            ..self.shape
        };
        self.with(driver, shape, old.attributes.clone())
    }

    /// Sets an attribute.
    pub(crate) fn set_attribute(&self, driver: &Driver, id: i32, given: [u32; 16]) -> Answer<Self> {
        const LAST: i32 = 18;
        if !(0..=LAST).contains(&id) {
            return Err(Code::INVALID_VALUE);
        }
        let mut shape = self.shape;
        match id {
            launch_attribute::COOPERATIVE => shape.cooperative = given.first().is_some_and(|&on| on != 0),
            launch_attribute::CLUSTER_DIMENSION => {
                for (extent, &wanted) in shape.cluster.iter_mut().zip(&given) {
                    *extent = wanted;
                }
            }
            launch_attribute::SHARED_MEMORY_MODE => shape.shared_mode = launch_attribute::mode(&given),
            _ => {}
        }
        let mut attributes = self.attributes.clone();
        attributes.insert(id, given);
        self.with(driver, shape, attributes)
    }

    /// As the functions that query take them; the pointers lead to this node's own block.
    pub(crate) fn params(&self) -> CUDA_KERNEL_NODE_PARAMS {
        let is_kernel = is_kind(self.given, Kind::Kernel);
        CUDA_KERNEL_NODE_PARAMS {
            first: CUDA_KERNEL_NODE_PARAMS_v1 {
                function: if is_kernel { 0 } else { self.given },
                grid: self.shape.grid,
                block: self.shape.block,
                shared_bytes: self.shape.shared_bytes,
                pointers: if self.pointers.is_empty() {
                    Caller::null()
                } else {
                    Caller::from_raw(self.pointers.as_ptr().cast_mut())
                },
                extra: Caller::null(),
            },
            kernel: if is_kernel { self.given } else { 0 },
            context: self.function.core.handle,
        }
    }
}

/// The value of an attribute whose first numbers are these.
fn value(numbers: &[u32]) -> [u32; 16] {
    let mut value = [0; 16];
    for (slot, &number) in value.iter_mut().zip(numbers) {
        *slot = number;
    }
    value
}
