//! The launch functions of CUDA 3: shape and parameters are set on the function first, then it is launched.

use crate::abi::DefaultStream;
use crate::code::{Answer, Code};
use crate::function::{self, Function};
use crate::launch::{Parameters, Shape, launch as launch_now};
use crate::types::{Caller, Handle, c_void};
use std::sync::{MutexGuard, PoisonError};

/// Largest parameter block of these functions.
const MOST_PARAMETER_BYTES: usize = 4096;

/// What was set on a function.
#[derive(Debug)]
pub(crate) struct Prepared {
    block: [u32; 3],
    shared_bytes: u32,
    parameters: Vec<u8>,
}

impl Default for Prepared {
    fn default() -> Self {
        Self {
            block: [1, 1, 1],
            shared_bytes: 0,
            parameters: Vec::new(),
        }
    }
}

fn prepared(function: &Function) -> MutexGuard<'_, Prepared> {
    function.prepared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `cuFuncSetBlockShape`
pub(crate) fn func_set_block_shape(hfunc: Handle, x: i32, y: i32, z: i32) -> Answer {
    let extent = |value: i32| {
        u32::try_from(value)
            .ok()
            .filter(|&value| value > 0)
            .ok_or(Code::INVALID_VALUE)
    };
    let block = [extent(x)?, extent(y)?, extent(z)?];
    prepared(&*function::function(hfunc)?).block = block;
    Ok(())
}

/// `cuFuncSetSharedSize`
pub(crate) fn func_set_shared_size(hfunc: Handle, bytes: u32) -> Answer {
    prepared(&*function::function(hfunc)?).shared_bytes = bytes;
    Ok(())
}

/// `cuParamSetSize`
pub(crate) fn param_set_size(hfunc: Handle, numbytes: u32) -> Answer {
    let bytes = usize::try_from(numbytes).map_err(|_| Code::INVALID_VALUE)?;
    if bytes > MOST_PARAMETER_BYTES {
        return Err(Code::INVALID_VALUE);
    }
    prepared(&*function::function(hfunc)?).parameters.resize(bytes, 0);
    Ok(())
}

fn set(hfunc: Handle, offset: i32, bytes: &[u8]) -> Answer {
    let start = usize::try_from(offset).map_err(|_| Code::INVALID_VALUE)?;
    let end = start
        .checked_add(bytes.len())
        .filter(|&end| end <= MOST_PARAMETER_BYTES)
        .ok_or(Code::INVALID_VALUE)?;
    let function = function::function(hfunc)?;
    let mut prepared = prepared(&function);
    if prepared.parameters.len() < end {
        prepared.parameters.resize(end, 0);
    }
    prepared
        .parameters
        .get_mut(start..end)
        .ok_or(Code::INVALID_VALUE)?
        .copy_from_slice(bytes);
    Ok(())
}

/// `cuParamSeti`
pub(crate) fn param_seti(hfunc: Handle, offset: i32, value: u32) -> Answer {
    set(hfunc, offset, &value.to_le_bytes())
}

/// `cuParamSetf`
pub(crate) fn param_setf(hfunc: Handle, offset: i32, value: f32) -> Answer {
    set(hfunc, offset, &value.to_le_bytes())
}

/// `cuParamSetv`
pub(crate) fn param_setv(hfunc: Handle, offset: i32, ptr: Caller<c_void>, numbytes: u32) -> Answer {
    let bytes = usize::try_from(numbytes).map_err(|_| Code::INVALID_VALUE)?;
    if bytes > MOST_PARAMETER_BYTES {
        return Err(Code::INVALID_VALUE);
    }
    set(hfunc, offset, &ptr.copy_bytes(bytes)?)
}

fn launch_prepared(default: DefaultStream, f: Handle, width: i32, height: i32, stream: Handle) -> Answer {
    let extent = |value: i32| u32::try_from(value).map_err(|_| Code::INVALID_VALUE);
    let grid = [extent(width)?, extent(height)?, 1];
    let function = function::function(f)?;
    let (shape, mut block) = {
        let prepared = prepared(&function);
        let shape = Shape {
            grid,
            block: prepared.block,
            shared_bytes: prepared.shared_bytes,
            cooperative: false,
            cluster: [0; 3],
            shared_mode: 0,
        };
        (shape, prepared.parameters.clone())
    };
    let wanted = function.parameter_bytes as usize;
    if block.len() < wanted {
        return Err(Code::INVALID_VALUE);
    }
    block.truncate(wanted);
    launch_now(default, f, &shape, stream, Parameters::Block(&block))
}

/// `cuLaunch`
pub(crate) fn launch(f: Handle) -> Answer {
    launch_prepared(DefaultStream::Legacy, f, 1, 1, 0)
}

/// `cuLaunchGrid`
pub(crate) fn launch_grid(f: Handle, grid_width: i32, grid_height: i32) -> Answer {
    launch_prepared(DefaultStream::Legacy, f, grid_width, grid_height, 0)
}

/// `cuLaunchGridAsync`
pub(crate) fn launch_grid_async(f: Handle, grid_width: i32, grid_height: i32, stream: Handle) -> Answer {
    launch_prepared(DefaultStream::Legacy, f, grid_width, grid_height, stream)
}
