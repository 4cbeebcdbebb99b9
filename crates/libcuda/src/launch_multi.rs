//! Cooperative launches on several devices.
//!
//! A guest has one device, and no two kernels of such a launch may share one: what is left is one cooperative launch. It runs in the
//! context of its stream, whatever context is current.

use crate::abi::{DefaultStream, STREAM_PER_THREAD};
use crate::code::{Answer, Code};
use crate::context;
use crate::launch::{self, Parameters, Shape};
use crate::objects::{Kind, is_kind};
use crate::state;
use crate::types::{CUDA_LAUNCH_PARAMS, Caller};

/// Devices of a guest.
const DEVICES: u32 = 1;
/// `CUDA_COOPERATIVE_LAUNCH_MULTI_DEVICE_NO_PRE_LAUNCH_SYNC`, `_NO_POST_LAUNCH_SYNC`: each device waits for its own stream alone, which
/// is all that one device can do.
const NO_SYNC: u32 = 3;

/// `cuLaunchCooperativeKernelMultiDevice`
pub(crate) fn launch_cooperative_kernel_multi_device(
    list: Caller<CUDA_LAUNCH_PARAMS>,
    devices: u32,
    flags: u32,
) -> Answer {
    let driver = state::driver()?;
    let one = list.required()?;
    if devices == 0 || devices > DEVICES || flags & !NO_SYNC != 0 {
        return Err(Code::INVALID_VALUE);
    }
    let one = one.get()?;
    // Documented: the streams that exist by themselves cannot be used.
    if one.stream <= STREAM_PER_THREAD {
        return Err(Code::INVALID_HANDLE);
    }
    let stream = driver.streams.get(one.stream)?;
    let context = context::context(stream.core.handle)?;
    context.core.check()?;
    let function = if is_kind(one.function, Kind::Kernel) {
        driver.kernels.get(one.function)?.function(driver, &context)?
    } else {
        driver.functions.get(one.function)?
    };
    let shape = Shape {
        grid: one.grid,
        block: one.block,
        shared_bytes: one.shared_bytes,
        cooperative: true,
        cluster: [0; 3],
        shared_mode: 0,
    };
    let parameters = Parameters::Given {
        pointers: one.pointers,
        extra: Caller::null(),
    };
    launch::post(
        driver,
        &context,
        DefaultStream::Legacy,
        &function,
        &shape,
        one.stream,
        parameters,
    )
}
