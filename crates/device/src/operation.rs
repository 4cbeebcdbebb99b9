//! Work that is submitted to a stream.

use crate::{ArrayPlace, Comparison, Conditional, DevicePtr, Event, Function, Graph, HostRange, ImageView};
use std::sync::Arc;

/// Three extents or indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Dim3 {
    /// x
    pub x: u32,
    /// y
    pub y: u32,
    /// z
    pub z: u32,
}

impl Dim3 {
    /// The number of points, where it fits 64 bits.
    #[must_use]
    pub fn volume(self) -> Option<u64> {
        u64::from(self.x)
            .checked_mul(u64::from(self.y))?
            .checked_mul(u64::from(self.z))
    }
}

/// A kernel launch.
#[derive(Clone)]
pub struct Launch {
    /// What to run.
    pub function: Arc<dyn Function>,
    /// Blocks.
    pub grid: Dim3,
    /// Threads of a block.
    pub block: Dim3,
    /// Dynamic shared memory of a block, bytes.
    pub dynamic_shared_bytes: u32,
    /// The parameter block, laid out as [`crate::FunctionInfo::parameters`] says.
    pub parameters: Box<[u8]>,
    /// All blocks are resident at once and may meet at a grid barrier.
    pub cooperative: bool,
    /// Blocks of a cluster in x, y, z; all 0 where the launch leaves it to the kernel.
    pub cluster: [u32; 3],
}

/// Rows of equal width, `pitch` bytes apart.
#[derive(Clone, Copy, Debug)]
pub struct Span2d {
    /// Bytes of a row that count.
    pub width: u64,
    /// Rows.
    pub height: u64,
}

/// A fill with a pattern of 1, 2 or 4 bytes.
#[derive(Clone, Copy, Debug)]
pub struct Fill {
    /// First byte; a multiple of the element size.
    pub destination: DevicePtr,
    /// The pattern in the low bytes.
    pub pattern: u32,
    /// 1, 2 or 4.
    pub element_bytes: u8,
    /// Elements of a row.
    pub width: u64,
    /// Rows.
    pub height: u64,
    /// Bytes from row to row; ignored for one row.
    pub pitch: u64,
}

/// Work for a stream.
#[derive(Clone)]
#[non_exhaustive]
pub enum Operation {
    /// Runs a kernel.
    Launch(Launch),
    /// Host memory to device, rows `source_pitch` and `destination_pitch` apart. `source` starts at the first row.
    CopyIn {
        /// Where to.
        destination: DevicePtr,
        /// Bytes between rows at the destination.
        destination_pitch: u64,
        /// Where from.
        source: HostRange,
        /// Bytes between rows at the source.
        source_pitch: u64,
        /// Extent.
        span: Span2d,
    },
    /// Device to host memory.
    CopyOut {
        /// Where to.
        destination: HostRange,
        /// Bytes between rows at the destination.
        destination_pitch: u64,
        /// Where from.
        source: DevicePtr,
        /// Bytes between rows at the source.
        source_pitch: u64,
        /// Extent.
        span: Span2d,
    },
    /// Device to device (also from and to mapped host memory by its device address).
    Copy {
        /// Where to.
        destination: DevicePtr,
        /// Bytes between rows at the destination.
        destination_pitch: u64,
        /// Where from.
        source: DevicePtr,
        /// Bytes between rows at the source.
        source_pitch: u64,
        /// Extent.
        span: Span2d,
    },
    /// Host memory to an array.
    ArrayIn {
        /// Where to.
        destination: ArrayPlace,
        /// Where from; starts at the first row.
        source: HostRange,
        /// Bytes between rows at the source.
        source_pitch: u64,
        /// Extent.
        span: Span2d,
    },
    /// An array to host memory.
    ArrayOut {
        /// Where to; starts at the first row.
        destination: HostRange,
        /// Bytes between rows at the destination.
        destination_pitch: u64,
        /// Where from.
        source: ArrayPlace,
        /// Extent.
        span: Span2d,
    },
    /// Device memory to an array.
    ArrayFill {
        /// Where to.
        destination: ArrayPlace,
        /// Where from.
        source: DevicePtr,
        /// Bytes between rows at the source.
        source_pitch: u64,
        /// Extent.
        span: Span2d,
    },
    /// An array to device memory.
    ArrayRead {
        /// Where to.
        destination: DevicePtr,
        /// Bytes between rows at the destination.
        destination_pitch: u64,
        /// Where from.
        source: ArrayPlace,
        /// Extent.
        span: Span2d,
    },
    /// An array to an array.
    ArrayCopy {
        /// Where to.
        destination: ArrayPlace,
        /// Where from.
        source: ArrayPlace,
        /// Extent.
        span: Span2d,
    },
    /// Puts a texture or surface into a reference of a module.
    BindImage {
        /// [`crate::ImageReference::place`].
        reference: u64,
        /// What it refers to from here on; `None`: nothing.
        view: Option<ImageView>,
    },
    /// Fills memory.
    Fill(Fill),
    /// Records an event with a generation chosen by the caller, rising for each event.
    RecordEvent {
        /// The event.
        event: Arc<dyn Event>,
        /// Reported to the event's sink.
        generation: u64,
    },
    /// Later work of the stream waits for the newest record submitted before this operation; for none, it passes at once.
    WaitEvent {
        /// The event.
        event: Arc<dyn Event>,
    },
    /// Frees an allocation when the stream gets here.
    Free {
        /// Base address.
        base: DevicePtr,
    },
    /// Launches a graph.
    Graph(Arc<dyn Graph>),
    /// A node of a graph that chooses among graphs; refused in a stream.
    Conditional(Conditional),
    /// A function of the guest runs: see [`crate::StreamSink::host_call`].
    HostCall,
    /// Waits until a value in memory compares; kernels and copies of other streams, the host and [`Operation::WriteValue`] change it.
    WaitValue {
        /// Where it lies; a multiple of its size.
        address: DevicePtr,
        /// What it is compared with.
        value: u64,
        /// 8 bytes, not 4.
        wide: bool,
        /// How.
        comparison: Comparison,
    },
    /// Writes a value to memory in one piece, after everything before it is visible.
    WriteValue {
        /// Where it lies; a multiple of its size.
        address: DevicePtr,
        /// What is written.
        value: u64,
        /// 8 bytes, not 4.
        wide: bool,
    },
    /// Does nothing; completes when everything before it has.
    Marker,
}
