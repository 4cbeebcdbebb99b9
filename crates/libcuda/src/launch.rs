//! Launches.
//!
//! Everything that CUDA reports at once is checked here, against what the board and the function say; then the launch is posted and
//! not waited for.

use crate::abi::DefaultStream;
use crate::code::{Answer, Code};
use crate::context::Context;
use crate::current;
use crate::device::attribute;
use crate::function::Function;
use crate::graph::capture;
use crate::graph::node::Work;
use crate::hostfn::{self, HostFunction};
use crate::objects::{Kind, is_kind};
use crate::occupancy;
use crate::reference;
use crate::state::{self, Driver};
use crate::stream;
use crate::types::{CUhostFn, CUlaunchConfig, Caller, Handle, c_void};
use std::sync::Arc;
use tessera_wire::messages::Launch;

/// Parameter blocks up to this many bytes are gathered on the stack.
const SMALL_BLOCK: usize = 512;
/// Largest parameter block that CUDA has.
const LARGEST_BLOCK: usize = 32_764;

/// `CU_LAUNCH_PARAM_*`: entries of `extra`.
mod extra {
    pub(super) const END: u64 = 0;
    pub(super) const BUFFER_POINTER: u64 = 1;
    pub(super) const BUFFER_SIZE: u64 = 2;
}

/// `CU_LAUNCH_ATTRIBUTE_*`
pub(crate) mod launch_attribute {
    pub(crate) const COOPERATIVE: i32 = 2;
    pub(crate) const CLUSTER_DIMENSION: i32 = 4;
    pub(crate) const SHARED_MEMORY_MODE: i32 = 18;

    /// The number of a mode in an attribute's value.
    pub(crate) fn mode(value: &[u32]) -> i32 {
        value.first().map_or(0, |mode| mode.cast_signed())
    }
}

/// Shape of a launch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) grid: [u32; 3],
    pub(crate) block: [u32; 3],
    pub(crate) shared_bytes: u32,
    pub(crate) cooperative: bool,
    /// Blocks of a cluster; all 0 where the launch does not say.
    pub(crate) cluster: [u32; 3],
    /// `CUsharedMemoryMode`; 0, the function's own, where the launch does not say.
    pub(crate) shared_mode: i32,
}

/// Where the parameters are.
#[derive(Clone, Copy)]
pub(crate) enum Parameters<'a> {
    /// As the launch functions take them.
    Given {
        pointers: Caller<Caller<c_void>>,
        extra: Caller<Caller<c_void>>,
    },
    /// A block that is laid out already.
    Block(&'a [u8]),
}

fn check_dimensions(driver: &Driver, shape: &Shape) -> Answer {
    const GRID: [i32; 3] = [
        attribute::MAX_GRID_DIM_X,
        attribute::MAX_GRID_DIM_Y,
        attribute::MAX_GRID_DIM_Z,
    ];
    const BLOCK: [i32; 3] = [
        attribute::MAX_BLOCK_DIM_X,
        attribute::MAX_BLOCK_DIM_Y,
        attribute::MAX_BLOCK_DIM_Z,
    ];
    let fits = |extents: [u32; 3], limits: [i32; 3]| {
        extents
            .iter()
            .zip(limits)
            .all(|(&extent, limit)| extent != 0 && extent <= driver.limit(limit))
    };
    if fits(shape.grid, GRID) && fits(shape.block, BLOCK) {
        Ok(())
    } else {
        Err(Code::INVALID_VALUE)
    }
}

/// Clusters are whole, and as large as board and function take.
fn check_cluster(driver: &Driver, function: &Function, shape: &Shape) -> Answer {
    if shape.cluster == [0; 3] {
        return Ok(());
    }
    let blocks = shape
        .cluster
        .iter()
        .fold(1u32, |all, &extent| all.saturating_mul(extent));
    if blocks > 1 && driver.limit(attribute::CLUSTER_LAUNCH) == 0 {
        return Err(Code::NOT_SUPPORTED);
    }
    let whole = |(&extent, &blocks): (&u32, &u32)| extent != 0 && blocks.is_multiple_of(extent);
    if blocks > function.largest_cluster(driver) || !shape.cluster.iter().zip(&shape.grid).all(whole) {
        return Err(Code::INVALID_CLUSTER_SIZE);
    }
    Ok(())
}

pub(crate) fn check_shape(driver: &Driver, function: &Function, shape: &Shape) -> Answer {
    check_dimensions(driver, shape)?;
    check_cluster(driver, function, shape)?;
    // Three extents of at most 2^10 or so: no overflow in 64 bits.
    let threads: u64 = shape.block.iter().map(|&extent| u64::from(extent)).product();
    // What a function was compiled for is as hard a bound as the board's.
    if threads
        > u64::from(
            driver
                .limit(attribute::MAX_THREADS_PER_BLOCK)
                .min(function.max_threads()),
        )
    {
        return Err(Code::INVALID_VALUE);
    }
    if shape.shared_bytes > function.largest_dynamic(driver, shape.shared_mode)? {
        return Err(Code::INVALID_VALUE);
    }
    if shape.cooperative {
        let resident = occupancy::resident_blocks(
            driver,
            function,
            u32::try_from(threads).unwrap_or(u32::MAX),
            shape.shared_bytes,
        );
        let blocks: u64 = shape
            .grid
            .iter()
            .fold(1u64, |blocks, &extent| blocks.saturating_mul(u64::from(extent)));
        if blocks
            > u64::from(resident).saturating_mul(u64::from(driver.limit(attribute::MULTIPROCESSOR_COUNT)))
        {
            return Err(Code::COOPERATIVE_LAUNCH_TOO_LARGE);
        }
    }
    Ok(())
}

/// Gathers a parameter block.
pub(crate) fn gather(
    function: &Function,
    pointers: Caller<Caller<c_void>>,
    extra: Caller<Caller<c_void>>,
    block: &mut [u8],
) -> Answer {
    if !extra.is_null() {
        // Both ways at once are one too many.
        if !pointers.is_null() {
            return Err(Code::INVALID_VALUE);
        }
        return gather_extra(extra, block);
    }
    if function.parameters.is_empty() {
        return Ok(());
    }
    pointers.required()?;
    for (index, parameter) in function.parameters.iter().enumerate() {
        let source = pointers.at(index)?.required()?;
        let target = block
            .get_mut(parameter.offset as usize..)
            .and_then(|rest| rest.get_mut(..parameter.size as usize))
            .ok_or(Code::UNKNOWN)?;
        // SAFETY: the program promises that its pointer leads to a value of the parameter's size; the target was just measured.
        unsafe { std::ptr::copy_nonoverlapping(source.bytes(), target.as_mut_ptr(), target.len()) };
    }
    Ok(())
}

fn gather_extra(extra: Caller<Caller<c_void>>, block: &mut [u8]) -> Answer {
    let mut buffer = None;
    let mut bytes = 0usize;
    let mut index = 0;
    loop {
        match extra.at(index)?.address() {
            extra::END => break,
            extra::BUFFER_POINTER => buffer = Some(extra.at(index + 1)?),
            extra::BUFFER_SIZE => bytes = extra.at(index + 1)?.cast::<usize>().get()?,
            _ => return Err(Code::INVALID_VALUE),
        }
        index += 2;
    }
    let buffer = buffer.ok_or(Code::INVALID_VALUE)?;
    if bytes < block.len() {
        // A block cut short leaves parameters without a value.
        return Err(Code::INVALID_VALUE);
    }
    if !block.is_empty() {
        buffer.required()?;
        // SAFETY: the program promises `bytes` readable bytes at its buffer, and the block is not longer.
        unsafe { std::ptr::copy_nonoverlapping(buffer.bytes(), block.as_mut_ptr(), block.len()) };
    }
    Ok(())
}

/// Launches in the current context.
pub(crate) fn launch(
    default: DefaultStream,
    handle: Handle,
    shape: &Shape,
    stream: Handle,
    parameters: Parameters<'_>,
) -> Answer {
    let driver = state::driver()?;
    current::with_current(|context| {
        if is_kind(handle, Kind::Kernel) {
            let function = driver.kernels.get(handle)?.function(driver, context)?;
            return post(driver, context, default, &function, shape, stream, parameters);
        }
        driver.functions.with(handle, |function| {
            post(driver, context, default, function, shape, stream, parameters)
        })?
    })
}

pub(crate) fn post(
    driver: &Driver,
    context: &Context,
    default: DefaultStream,
    function: &Arc<Function>,
    shape: &Shape,
    stream: Handle,
    parameters: Parameters<'_>,
) -> Answer {
    if function.core.handle != context.handle() {
        return Err(Code::INVALID_HANDLE);
    }
    check_shape(driver, function, shape)?;
    stream::with_stream_in(context, default, stream, |stream| {
        if stream.core.handle != context.handle() {
            return Err(Code::INVALID_HANDLE);
        }
        if capture::enter(stream)? {
            return with_block(function, parameters, |block| {
                capture::launch(driver, stream, function, *shape, block)
            });
        }
        reference::settle(driver, context, function.module, stream)?;
        let message = |seq| Launch {
            stream: stream.handle(),
            seq,
            function: function.handle,
            grid: shape.grid,
            block: shape.block,
            shared_bytes: shape.shared_bytes,
            flags: tessera_wire::launch_flags(shape.cooperative, shape.cluster),
        };
        with_block(function, parameters, |block| {
            stream.submit(driver, block, message).map(drop)
        })
    })
}

/// Gathers the parameter block and hands it on.
fn with_block(function: &Function, parameters: Parameters<'_>, send: impl FnOnce(&[u8]) -> Answer) -> Answer {
    let (pointers, extra) = match parameters {
        Parameters::Block(block) => return send(block),
        Parameters::Given { pointers, extra } => (pointers, extra),
    };
    let bytes = function.parameter_bytes as usize;
    if bytes <= SMALL_BLOCK {
        let mut block = [0u8; SMALL_BLOCK];
        let block = block.get_mut(..bytes).unwrap_or_default();
        gather(function, pointers, extra, block)?;
        send(block)
    } else if bytes <= LARGEST_BLOCK {
        let mut block = vec![0u8; bytes];
        gather(function, pointers, extra, &mut block)?;
        send(&block)
    } else {
        Err(Code::INVALID_VALUE)
    }
}

/// `cuLaunchKernel`
#[allow(clippy::too_many_arguments)]
pub(crate) fn launch_kernel(
    default: DefaultStream,
    f: Handle,
    grid_x: u32,
    grid_y: u32,
    grid_z: u32,
    block_x: u32,
    block_y: u32,
    block_z: u32,
    shared_bytes: u32,
    stream: Handle,
    pointers: Caller<Caller<c_void>>,
    extra: Caller<Caller<c_void>>,
) -> Answer {
    let shape = Shape {
        grid: [grid_x, grid_y, grid_z],
        block: [block_x, block_y, block_z],
        shared_bytes,
        cooperative: false,
        cluster: [0; 3],
        shared_mode: 0,
    };
    launch(default, f, &shape, stream, Parameters::Given { pointers, extra })
}

/// `cuLaunchCooperativeKernel`
#[allow(clippy::too_many_arguments)]
pub(crate) fn launch_cooperative_kernel(
    default: DefaultStream,
    f: Handle,
    grid_x: u32,
    grid_y: u32,
    grid_z: u32,
    block_x: u32,
    block_y: u32,
    block_z: u32,
    shared_bytes: u32,
    stream: Handle,
    pointers: Caller<Caller<c_void>>,
) -> Answer {
    let shape = Shape {
        grid: [grid_x, grid_y, grid_z],
        block: [block_x, block_y, block_z],
        shared_bytes,
        cooperative: true,
        cluster: [0; 3],
        shared_mode: 0,
    };
    let extra = Caller::null();
    launch(default, f, &shape, stream, Parameters::Given { pointers, extra })
}

/// `cuLaunchKernelEx`
pub(crate) fn launch_kernel_ex(
    default: DefaultStream,
    config: Caller<CUlaunchConfig>,
    f: Handle,
    pointers: Caller<Caller<c_void>>,
    extra: Caller<Caller<c_void>>,
) -> Answer {
    let config = config.get()?;
    let mut shape = Shape {
        grid: config.grid,
        block: config.block,
        shared_bytes: config.shared_bytes,
        cooperative: false,
        cluster: [0; 3],
        shared_mode: 0,
    };
    for index in 0..config.attribute_count as usize {
        let attribute = config.attributes.at(index)?;
        match attribute.id {
            launch_attribute::COOPERATIVE => {
                shape.cooperative = attribute.value.first().is_some_and(|&on| on != 0);
            }
            launch_attribute::CLUSTER_DIMENSION => {
                for (extent, &given) in shape.cluster.iter_mut().zip(&attribute.value) {
                    *extent = given;
                }
            }
            launch_attribute::SHARED_MEMORY_MODE => {
                shape.shared_mode = launch_attribute::mode(&attribute.value);
            }
            // Hints and orderings that a device may fulfil in a stricter way: priorities, programmatic serialisation, carve-outs.
            _ => {}
        }
    }
    launch(
        default,
        f,
        &shape,
        config.stream,
        Parameters::Given { pointers, extra },
    )
}

/// `cuLaunchHostFunc`
pub(crate) fn launch_host_func_v1(
    default: DefaultStream,
    stream: Handle,
    callback: CUhostFn,
    user_data: Caller<c_void>,
) -> Answer {
    let stream = stream::stream(default, stream)?;
    if capture::enter(&stream)? {
        return capture::add(state::driver()?, &stream, Work::host(callback, user_data)?);
    }
    let callback = callback.ok_or(Code::INVALID_VALUE)?;
    hostfn::launch(&stream, HostFunction::program(callback, user_data.address()))
}

/// `cuLaunchHostFunc_v2`: the mode says whether waiting for it may block or spin, which the guest decides.
pub(crate) fn launch_host_func(
    default: DefaultStream,
    stream: Handle,
    callback: CUhostFn,
    user_data: Caller<c_void>,
    _sync_mode: u32,
) -> Answer {
    launch_host_func_v1(default, stream, callback, user_data)
}
