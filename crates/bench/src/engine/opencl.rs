//! The same kernels through OpenCL, on whatever implementation runs on the processor (`POCL_MAX_PTHREAD_COUNT` sets its threads).

use super::cases::Case;
use crate::stats::ns;
use anyhow::{Context as _, Result};
use opencl3::command_queue::CommandQueue;
use opencl3::context::Context;
use opencl3::device::{CL_DEVICE_TYPE_CPU, Device, get_all_devices};
use opencl3::kernel::{ExecuteKernel, Kernel};
use opencl3::memory::{Buffer, CL_MEM_READ_WRITE};
use opencl3::program::Program;
use opencl3::types::{CL_BLOCKING, cl_int};
use std::ptr;
use std::time::Instant;

/// A device with the program built.
pub(super) struct OpenCl {
    context: Context,
    queue: CommandQueue,
    program: Program,
    /// Name and version of the implementation.
    pub(super) version: String,
}

/// One kernel with its buffers.
pub(super) struct Prepared {
    kernel: Kernel,
    buffers: [Buffer<u8>; 3],
}

impl OpenCl {
    /// The first processor device; `None` when there is no OpenCL on this machine.
    pub(super) fn open(source: &str) -> Result<Option<Self>> {
        let Ok(devices) = get_all_devices(CL_DEVICE_TYPE_CPU) else {
            return Ok(None);
        };
        let Some(&id) = devices.first() else {
            return Ok(None);
        };
        let device = Device::new(id);
        let version = format!("{} {}", device.version()?, device.name()?);
        let context = Context::from_device(&device)?;
        let queue = CommandQueue::create_default(&context, 0)?;
        let program = Program::create_and_build_from_source(&context, source, "")
            .map_err(|log| anyhow::anyhow!("the OpenCL program does not build: {log}"))?;
        Ok(Some(Self {
            context,
            queue,
            program,
            version,
        }))
    }

    pub(super) fn prepare(&self, case: &Case) -> Result<Prepared> {
        let kernel = Kernel::create(&self.program, case.name)?;
        let mut buffers = Vec::new();
        for which in 0..3 {
            let input = case.input(which);
            // SAFETY: no host pointer is given.
            let mut buffer = unsafe {
                Buffer::<u8>::create(&self.context, CL_MEM_READ_WRITE, input.len(), ptr::null_mut())?
            };
            // SAFETY: a blocking write from a live vector.
            unsafe {
                self.queue
                    .enqueue_write_buffer(&mut buffer, CL_BLOCKING, 0, &input, &[])?
            };
            buffers.push(buffer);
        }
        let buffers = <[Buffer<u8>; 3]>::try_from(buffers)
            .ok()
            .context("three buffers")?;
        Ok(Prepared { kernel, buffers })
    }

    /// Runs a kernel `case.batch` times; nanoseconds.
    pub(super) fn run(&self, case: &Case, prepared: &Prepared) -> Result<f64> {
        let n = cl_int::try_from(case.n)?;
        let groups = case.opencl_grid.unwrap_or(case.grid);
        let size = |d: usize| (groups[d] * case.block[d]) as usize;
        let start = Instant::now();
        for _ in 0..case.batch {
            let [a, b, out] = &prepared.buffers;
            // SAFETY: the arguments are those that every kernel of the program declares.
            unsafe {
                ExecuteKernel::new(&prepared.kernel)
                    .set_arg(a)
                    .set_arg(b)
                    .set_arg(out)
                    .set_arg(&n)
                    .set_global_work_sizes(&[size(0), size(1)])
                    .set_local_work_sizes(&[case.block[0] as usize, case.block[1] as usize])
                    .enqueue_nd_range(&self.queue)?;
            }
        }
        self.queue.finish()?;
        Ok(ns(start))
    }

    pub(super) fn result(&self, case: &Case, prepared: &Prepared) -> Result<Vec<u8>> {
        let mut into = vec![0u8; case.bytes[2]];
        // SAFETY: a blocking read into a live vector.
        unsafe {
            self.queue
                .enqueue_read_buffer(&prepared.buffers[2], CL_BLOCKING, 0, &mut into, &[])?
        };
        Ok(into)
    }
}
