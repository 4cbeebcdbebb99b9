//! Occupancy: how many blocks of a function fit a multiprocessor.
//!
//! The rules are those of the vendor's documentation: threads, blocks, registers (given to warps in units of 256) and shared memory
//! (with what the system reserves per block) each allow a number of blocks, and the smallest holds.

use crate::code::{Answer, Code};
use crate::device::attribute;
use crate::function::{Function, function};
use crate::state::{self, Driver};
use crate::types::{CUlaunchConfig, CUoccupancyB2DSize, Caller, Handle};

const REGISTER_UNIT: u32 = 256;
const SHARED_UNIT: u32 = 128;

/// Blocks of `threads` threads that fit one multiprocessor.
pub(crate) fn resident_blocks(
    driver: &Driver,
    function: &Function,
    threads: u32,
    dynamic_shared: u32,
) -> u32 {
    let warp = driver.limit(attribute::WARP_SIZE).max(1);
    if threads == 0
        || threads > function.max_threads()
        || threads > driver.limit(attribute::MAX_THREADS_PER_BLOCK)
    {
        return 0;
    }
    let warps = threads.div_ceil(warp);
    let most_warps = driver.limit(attribute::MAX_THREADS_PER_MULTIPROCESSOR) / warp;
    let by_threads = most_warps / warps;
    let by_blocks = driver.limit(attribute::MAX_BLOCKS_PER_MULTIPROCESSOR);
    let per_warp = function
        .registers()
        .saturating_mul(warp)
        .next_multiple_of(REGISTER_UNIT);
    let by_registers = driver
        .limit(attribute::MAX_REGISTERS_PER_MULTIPROCESSOR)
        .checked_div(per_warp)
        .map_or(u32::MAX, |fitting| fitting / warps);
    let shared = function
        .static_shared()
        .saturating_add(dynamic_shared)
        .saturating_add(driver.limit(attribute::RESERVED_SHARED_MEMORY_PER_BLOCK))
        .checked_next_multiple_of(SHARED_UNIT)
        .unwrap_or(u32::MAX);
    let by_shared = driver
        .limit(attribute::MAX_SHARED_MEMORY_PER_MULTIPROCESSOR)
        .checked_div(shared)
        .unwrap_or(u32::MAX);
    by_threads.min(by_blocks).min(by_registers).min(by_shared)
}

fn to_u32(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn to_i32(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// `cuOccupancyMaxActiveBlocksPerMultiprocessor`
pub(crate) fn occupancy_max_active_blocks_per_multiprocessor(
    num_blocks: Caller<i32>,
    func: Handle,
    block_size: i32,
    dynamic_smem_size: usize,
) -> Answer {
    num_blocks.required()?;
    let threads = u32::try_from(block_size).map_err(|_| Code::INVALID_VALUE)?;
    if threads == 0 {
        return Err(Code::INVALID_VALUE);
    }
    let function = function(func)?;
    let blocks = resident_blocks(state::driver()?, &function, threads, to_u32(dynamic_smem_size));
    num_blocks.put(to_i32(blocks))
}

/// `cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags`: the flag is about a cache that this device has not.
pub(crate) fn occupancy_max_active_blocks_per_multiprocessor_with_flags(
    num_blocks: Caller<i32>,
    func: Handle,
    block_size: i32,
    dynamic_smem_size: usize,
    flags: u32,
) -> Answer {
    if flags > 1 {
        return Err(Code::INVALID_VALUE);
    }
    occupancy_max_active_blocks_per_multiprocessor(num_blocks, func, block_size, dynamic_smem_size)
}

/// `cuOccupancyAvailableDynamicSMemPerBlock`
pub(crate) fn occupancy_available_dynamic_smem_per_block(
    dynamic_smem_size: Caller<usize>,
    func: Handle,
    num_blocks: i32,
    block_size: i32,
) -> Answer {
    dynamic_smem_size.required()?;
    let driver = state::driver()?;
    let function = function(func)?;
    let blocks = u32::try_from(num_blocks)
        .ok()
        .filter(|&blocks| blocks > 0)
        .ok_or(Code::INVALID_VALUE)?;
    let threads = u32::try_from(block_size)
        .ok()
        .filter(|&threads| threads > 0)
        .ok_or(Code::INVALID_VALUE)?;
    if resident_blocks(driver, &function, threads, 0) < blocks {
        return Err(Code::INVALID_VALUE);
    }
    let share =
        driver.limit(attribute::MAX_SHARED_MEMORY_PER_MULTIPROCESSOR) / blocks / SHARED_UNIT * SHARED_UNIT;
    let taken = function
        .static_shared()
        .saturating_add(driver.limit(attribute::RESERVED_SHARED_MEMORY_PER_BLOCK));
    // More than a launch may ask for is not available, however much is there.
    let most = function.dynamic_limit();
    dynamic_smem_size.put(share.saturating_sub(taken).min(most) as usize)
}

/// Threads and shared memory of the blocks that a launch configuration asks for.
fn blocks_of(driver: &Driver, func: Handle, config: Caller<CUlaunchConfig>) -> Answer<u32> {
    let config = config.get()?;
    let function = function(func)?;
    let threads = config
        .block
        .iter()
        .try_fold(1u32, |threads, &extent| threads.checked_mul(extent))
        .ok_or(Code::INVALID_VALUE)?;
    Ok(resident_blocks(driver, &function, threads, config.shared_bytes))
}

/// `cuOccupancyMaxActiveClusters`: clusters of as many blocks as the configuration asks, of one where it does not.
pub(crate) fn occupancy_max_active_clusters(
    num_clusters: Caller<i32>,
    func: Handle,
    config: Caller<CUlaunchConfig>,
) -> Answer {
    const CLUSTER_DIMENSION: i32 = 4;
    num_clusters.required()?;
    let driver = state::driver()?;
    let blocks =
        blocks_of(driver, func, config)?.saturating_mul(driver.limit(attribute::MULTIPROCESSOR_COUNT));
    let config = config.get()?;
    let mut cluster = 1u32;
    for index in 0..config.attribute_count as usize {
        let found = config.attributes.at(index)?;
        if found.id == CLUSTER_DIMENSION {
            cluster = found
                .value
                .iter()
                .take(3)
                .fold(1, |blocks, &extent| blocks.saturating_mul(extent.max(1)));
        }
    }
    num_clusters.put(to_i32(blocks / cluster))
}

/// `cuOccupancyMaxPotentialClusterSize`
pub(crate) fn occupancy_max_potential_cluster_size(
    cluster_size: Caller<i32>,
    func: Handle,
    config: Caller<CUlaunchConfig>,
) -> Answer {
    cluster_size.required()?;
    let driver = state::driver()?;
    blocks_of(driver, func, config)?;
    let most = function(func)?.largest_cluster(driver);
    cluster_size.put(to_i32(most))
}

/// `cuOccupancyMaxPotentialBlockSize`
pub(crate) fn occupancy_max_potential_block_size(
    min_grid_size: Caller<i32>,
    block_size: Caller<i32>,
    func: Handle,
    shared_of_block: CUoccupancyB2DSize,
    dynamic_smem_size: usize,
    block_size_limit: i32,
) -> Answer {
    min_grid_size.required()?;
    block_size.required()?;
    let driver = state::driver()?;
    let function = function(func)?;
    let warp = driver.limit(attribute::WARP_SIZE).max(1);
    let mut most = function
        .max_threads()
        .min(driver.limit(attribute::MAX_THREADS_PER_BLOCK));
    if let Ok(limit) = u32::try_from(block_size_limit)
        && limit > 0
    {
        most = most.min(limit);
    }
    let (mut best_threads, mut best_blocks) = (0, 0);
    let mut threads = most;
    while threads > 0 {
        let shared = match shared_of_block {
            // SAFETY: the program gave this function to be asked for block sizes.
            Some(ask) => unsafe { ask(to_i32(threads)) },
            None => dynamic_smem_size,
        };
        let blocks = resident_blocks(driver, &function, threads, to_u32(shared));
        // Larger blocks come first, so of equals the largest stays.
        if blocks.saturating_mul(threads) > best_threads * best_blocks {
            (best_threads, best_blocks) = (threads, blocks);
        }
        threads = threads.saturating_sub(1) / warp * warp;
    }
    let grid = best_blocks.saturating_mul(driver.limit(attribute::MULTIPROCESSOR_COUNT));
    min_grid_size.put(to_i32(grid))?;
    block_size.put(to_i32(best_threads))
}

/// `cuOccupancyMaxPotentialBlockSizeWithFlags`
pub(crate) fn occupancy_max_potential_block_size_with_flags(
    min_grid_size: Caller<i32>,
    block_size: Caller<i32>,
    func: Handle,
    shared_of_block: CUoccupancyB2DSize,
    dynamic_smem_size: usize,
    block_size_limit: i32,
    flags: u32,
) -> Answer {
    if flags > 1 {
        return Err(Code::INVALID_VALUE);
    }
    occupancy_max_potential_block_size(
        min_grid_size,
        block_size,
        func,
        shared_of_block,
        dynamic_smem_size,
        block_size_limit,
    )
}
