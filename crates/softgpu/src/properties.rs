//! What the device says of itself.
//!
//! Limits come from the table of technical specifications per compute capability in the public CUDA C++ programming guide; board
//! facts from the catalogue. Where neither has a number (memory clock, bus width, L2 size) the attribute is 0, and what the software GPU
//! does not do is 0 too, so that programs take their other path.

use crate::options::Options;
use tessera_device::{DeviceError, Properties};
use tessera_engine::MAX_SHARED_BYTES;

/// Limits that depend on the compute capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    threads_per_sm: u32,
    blocks_per_sm: u32,
    shared_per_sm: u32,
    pub(crate) shared_per_block_optin: u32,
    shared_reserved: u32,
    /// Throughput of single to that of double precision.
    double_ratio: u32,
}

const KIB: u32 = 1024;

/// The row of a compute capability.
fn limits((major, minor): (u32, u32)) -> Option<Limits> {
    let row = |threads_per_sm, blocks_per_sm, shared_kib: u32, double_ratio| {
        // From 8.0 on the system keeps 1 KiB of each block's shared memory to itself.
        let reserved = if major >= 8 { 1 } else { 0 };
        Limits {
            threads_per_sm,
            blocks_per_sm,
            shared_per_sm: shared_kib * KIB,
            shared_per_block_optin: (shared_kib - reserved) * KIB,
            shared_reserved: reserved * KIB,
            double_ratio,
        }
    };
    Some(match (major, minor) {
        (7, 0 | 2) => row(2048, 32, 96, 2),
        (7, 5) => row(1024, 16, 64, 32),
        (8, 0) => row(2048, 32, 164, 2),
        (8, 6) => row(1536, 16, 100, 64),
        (8, 7) => row(1536, 16, 164, 64),
        (8, 9) => row(1536, 24, 100, 64),
        (9, 0) | (10, 0 | 3) => row(2048, 32, 228, 2),
        (11, 0) => row(1536, 24, 228, 64),
        (12, 0 | 1) => row(1536, 24, 100, 64),
        // Not in the public table yet: what the software GPU itself can do.
        (13..=15, 0..=9) => row(2048, 32, MAX_SHARED_BYTES / KIB + 1, 2),
        _ => return None,
    })
}

/// Largest 32-bit value, as an attribute.
const MOST: i32 = i32::MAX;

fn attribute(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(MOST)
}

/// Attributes that are the same for every device of ours: 1-D to 3-D shapes, textures, surfaces.
const FIXED: &[(i32, i32)] = &[
    (1, 1024),    // MAX_THREADS_PER_BLOCK
    (2, 1024),    // MAX_BLOCK_DIM_X
    (3, 1024),    // MAX_BLOCK_DIM_Y
    (4, 64),      // MAX_BLOCK_DIM_Z
    (5, MOST),    // MAX_GRID_DIM_X
    (6, 65_535),  // MAX_GRID_DIM_Y
    (7, 65_535),  // MAX_GRID_DIM_Z
    (8, 49_152),  // MAX_SHARED_MEMORY_PER_BLOCK
    (9, 65_536),  // TOTAL_CONSTANT_MEMORY
    (10, 32),     // WARP_SIZE
    (11, MOST),   // MAX_PITCH
    (12, 65_536), // MAX_REGISTERS_PER_BLOCK
    // CLOCK_RATE in kHz: `%clock64` of the software GPU counts nanoseconds.
    (13, 1_000_000),
    (14, 512),         // TEXTURE_ALIGNMENT
    (15, 1),           // GPU_OVERLAP
    (17, 0),           // KERNEL_EXEC_TIMEOUT
    (18, 0),           // INTEGRATED
    (19, 1),           // CAN_MAP_HOST_MEMORY
    (20, 0),           // COMPUTE_MODE: default
    (21, 131_072),     // MAXIMUM_TEXTURE1D_WIDTH
    (22, 131_072),     // MAXIMUM_TEXTURE2D_WIDTH
    (23, 65_536),      // MAXIMUM_TEXTURE2D_HEIGHT
    (24, 16_384),      // MAXIMUM_TEXTURE3D_WIDTH
    (25, 16_384),      // MAXIMUM_TEXTURE3D_HEIGHT
    (26, 16_384),      // MAXIMUM_TEXTURE3D_DEPTH
    (27, 32_768),      // MAXIMUM_TEXTURE2D_LAYERED_WIDTH
    (28, 32_768),      // MAXIMUM_TEXTURE2D_LAYERED_HEIGHT
    (29, 2_048),       // MAXIMUM_TEXTURE2D_LAYERED_LAYERS
    (30, 512),         // SURFACE_ALIGNMENT
    (31, 1),           // CONCURRENT_KERNELS
    (32, 0),           // ECC_ENABLED
    (35, 0),           // TCC_DRIVER
    (36, 0),           // MEMORY_CLOCK_RATE: not sourced
    (37, 0),           // GLOBAL_MEMORY_BUS_WIDTH: not sourced
    (38, 0),           // L2_CACHE_SIZE: not sourced
    (41, 1),           // UNIFIED_ADDRESSING
    (42, 32_768),      // MAXIMUM_TEXTURE1D_LAYERED_WIDTH
    (43, 2_048),       // MAXIMUM_TEXTURE1D_LAYERED_LAYERS
    (44, 1),           // CAN_TEX2D_GATHER
    (45, 32_768),      // MAXIMUM_TEXTURE2D_GATHER_WIDTH
    (46, 32_768),      // MAXIMUM_TEXTURE2D_GATHER_HEIGHT
    (47, 8_192),       // MAXIMUM_TEXTURE3D_WIDTH_ALTERNATE
    (48, 8_192),       // MAXIMUM_TEXTURE3D_HEIGHT_ALTERNATE
    (49, 32_768),      // MAXIMUM_TEXTURE3D_DEPTH_ALTERNATE
    (51, 32),          // TEXTURE_PITCH_ALIGNMENT
    (52, 32_768),      // MAXIMUM_TEXTURECUBEMAP_WIDTH
    (53, 32_768),      // MAXIMUM_TEXTURECUBEMAP_LAYERED_WIDTH
    (54, 2_046),       // MAXIMUM_TEXTURECUBEMAP_LAYERED_LAYERS
    (55, 32_768),      // MAXIMUM_SURFACE1D_WIDTH
    (56, 131_072),     // MAXIMUM_SURFACE2D_WIDTH
    (57, 65_536),      // MAXIMUM_SURFACE2D_HEIGHT
    (58, 16_384),      // MAXIMUM_SURFACE3D_WIDTH
    (59, 16_384),      // MAXIMUM_SURFACE3D_HEIGHT
    (60, 16_384),      // MAXIMUM_SURFACE3D_DEPTH
    (61, 32_768),      // MAXIMUM_SURFACE1D_LAYERED_WIDTH
    (62, 2_048),       // MAXIMUM_SURFACE1D_LAYERED_LAYERS
    (63, 32_768),      // MAXIMUM_SURFACE2D_LAYERED_WIDTH
    (64, 32_768),      // MAXIMUM_SURFACE2D_LAYERED_HEIGHT
    (65, 2_048),       // MAXIMUM_SURFACE2D_LAYERED_LAYERS
    (66, 32_768),      // MAXIMUM_SURFACECUBEMAP_WIDTH
    (67, 32_768),      // MAXIMUM_SURFACECUBEMAP_LAYERED_WIDTH
    (68, 2_046),       // MAXIMUM_SURFACECUBEMAP_LAYERED_LAYERS
    (69, 268_435_456), // MAXIMUM_TEXTURE1D_LINEAR_WIDTH
    (70, 131_072),     // MAXIMUM_TEXTURE2D_LINEAR_WIDTH
    (71, 65_000),      // MAXIMUM_TEXTURE2D_LINEAR_HEIGHT
    (72, 2_097_120),   // MAXIMUM_TEXTURE2D_LINEAR_PITCH
    (73, 32_768),      // MAXIMUM_TEXTURE2D_MIPMAPPED_WIDTH
    (74, 32_768),      // MAXIMUM_TEXTURE2D_MIPMAPPED_HEIGHT
    (77, 32_768),      // MAXIMUM_TEXTURE1D_MIPMAPPED_WIDTH
    (78, 1),           // STREAM_PRIORITIES_SUPPORTED
    (79, 1),           // GLOBAL_L1_CACHE_SUPPORTED
    (80, 1),           // LOCAL_L1_CACHE_SUPPORTED
    (82, 65_536),      // MAX_REGISTERS_PER_MULTIPROCESSOR
    (83, 0),           // MANAGED_MEMORY
    (84, 0),           // MULTI_GPU_BOARD
    (85, 0),           // MULTI_GPU_BOARD_GROUP_ID
    (86, 0),           // HOST_NATIVE_ATOMIC_SUPPORTED
    (88, 0),           // PAGEABLE_MEMORY_ACCESS
    (89, 0),           // CONCURRENT_MANAGED_ACCESS
    (90, 1),           // COMPUTE_PREEMPTION_SUPPORTED
    (91, 1),           // CAN_USE_HOST_POINTER_FOR_REGISTERED_MEM
    (92, 1),           // CAN_USE_STREAM_MEM_OPS_V1
    (93, 1),           // CAN_USE_64_BIT_STREAM_MEM_OPS_V1
    (94, 1),           // CAN_USE_STREAM_WAIT_VALUE_NOR_V1
    (95, 1),           // COOPERATIVE_LAUNCH
    (96, 1),           // COOPERATIVE_MULTI_DEVICE_LAUNCH
    (98, 1),           // CAN_FLUSH_REMOTE_WRITES
    (99, 1),           // HOST_REGISTER_SUPPORTED
    (100, 0),          // PAGEABLE_MEMORY_ACCESS_USES_HOST_PAGE_TABLES
    (101, 0),          // DIRECT_MANAGED_MEM_ACCESS_FROM_HOST
    (102, 1),          // VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED
    (103, 1),          // HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED
    (104, 0),          // HANDLE_TYPE_WIN32_HANDLE_SUPPORTED
    (105, 0),          // HANDLE_TYPE_WIN32_KMT_HANDLE_SUPPORTED
    (107, 0),          // GENERIC_COMPRESSION_SUPPORTED
    (108, 0),          // MAX_PERSISTING_L2_CACHE_SIZE
    (109, 0),          // MAX_ACCESS_POLICY_WINDOW_SIZE
    (110, 0),          // GPU_DIRECT_RDMA_WITH_CUDA_VMM_SUPPORTED
    (112, 0),          // SPARSE_CUDA_ARRAY_SUPPORTED
    (113, 1),          // READ_ONLY_HOST_REGISTER_SUPPORTED
    (114, 0),          // TIMELINE_SEMAPHORE_INTEROP_SUPPORTED
    (115, 1),          // MEMORY_POOLS_SUPPORTED
    (116, 0),          // GPU_DIRECT_RDMA_SUPPORTED
    (117, 0),          // GPU_DIRECT_RDMA_FLUSH_WRITES_OPTIONS
    (118, 0),          // GPU_DIRECT_RDMA_WRITES_ORDERING
    (119, 1),          // MEMPOOL_SUPPORTED_HANDLE_TYPES
    (121, 0),          // DEFERRED_MAPPING_CUDA_ARRAY_SUPPORTED
    (122, 1),          // CAN_USE_64_BIT_STREAM_MEM_OPS
    (123, 1),          // CAN_USE_STREAM_WAIT_VALUE_NOR
    (124, 0),          // DMA_BUF_SUPPORTED
    (125, 1),          // IPC_EVENT_SUPPORTED
    (126, 1),          // MEM_SYNC_DOMAIN_COUNT
    (128, 0),          // HANDLE_TYPE_FABRIC_SUPPORTED
    (129, 0),          // UNIFIED_FUNCTION_POINTERS
    (130, 0),          // NUMA_CONFIG
    (131, -1),         // NUMA_ID
    (132, 0),          // MULTICAST_SUPPORTED
    (133, 0),          // MPS_ENABLED
    (134, -1),         // HOST_NUMA_ID
    (135, 0),          // D3D12_CIG_SUPPORTED
    (136, 0),          // MEM_DECOMPRESS_ALGORITHM_MASK
    (137, 0),          // MEM_DECOMPRESS_MAXIMUM_LENGTH
    (138, 0),          // VULKAN_CIG_SUPPORTED
    (141, 0),          // HOST_NUMA_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED
    (142, 0),          // HOST_NUMA_MEMORY_POOLS_SUPPORTED
    (143, 0),          // HOST_NUMA_MULTINODE_IPC_SUPPORTED
];

/// PCI vendor of the boards.
const VENDOR: u32 = 0x10de;

/// Properties of a device, and its limits.
pub(crate) fn properties(options: &Options, executors: u32) -> Result<(Properties, Limits), DeviceError> {
    let (major, minor) = options.compute_capability;
    let limits = limits((major, minor)).ok_or_else(|| {
        DeviceError::InvalidValue(format!("compute capability {major}.{minor} is not known"))
    })?;
    let sm_count = options.sm_count.unwrap_or(executors);
    // Clusters and tensor maps belong to every device from 9.0 on; libraries pick kernels by the capability and then ask these.
    let since_hopper = i32::from(major >= 9);
    let identity = |id: Option<u16>| id.map_or(0, |id| (u32::from(id) << 16 | VENDOR).cast_signed());
    let mut attributes = FIXED.to_vec();
    attributes.extend([
        (16, attribute(sm_count)),                                   // MULTIPROCESSOR_COUNT
        (33, i32::from(options.pci_address.bus)),                    // PCI_BUS_ID
        (34, i32::from(options.pci_address.device)),                 // PCI_DEVICE_ID
        (39, attribute(limits.threads_per_sm)),                      // MAX_THREADS_PER_MULTIPROCESSOR
        (40, 2), // ASYNC_ENGINE_COUNT: both directions beside kernels
        (50, i32::from(options.pci_address.domain)), // PCI_DOMAIN_ID
        (75, attribute(major)), // COMPUTE_CAPABILITY_MAJOR
        (76, attribute(minor)), // COMPUTE_CAPABILITY_MINOR
        (81, attribute(limits.shared_per_sm)), // MAX_SHARED_MEMORY_PER_MULTIPROCESSOR
        (87, attribute(limits.double_ratio)), // SINGLE_TO_DOUBLE_PRECISION_PERF_RATIO
        (97, attribute(limits.shared_per_block_optin)), // MAX_SHARED_MEMORY_PER_BLOCK_OPTIN
        (106, attribute(limits.blocks_per_sm)), // MAX_BLOCKS_PER_MULTIPROCESSOR
        (111, attribute(limits.shared_reserved)), // RESERVED_SHARED_MEMORY_PER_BLOCK
        (120, since_hopper), // CLUSTER_LAUNCH
        (127, since_hopper), // TENSOR_MAP_ACCESS_SUPPORTED
        (139, identity(options.pci_id.map(|id| id.device))), // GPU_PCI_DEVICE_ID
        (140, identity(options.pci_id.and_then(|id| id.subsystem))), // GPU_PCI_SUBSYSTEM_ID
    ]);
    attributes.sort_unstable();
    let properties = Properties {
        name: options.name.clone(),
        compute_capability: options.compute_capability,
        memory_bytes: options.memory_bytes,
        sm_count,
        attributes,
    };
    Ok((properties, limits))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tessera_catalogue::catalogue;

    fn of(compute_capability: (u32, u32)) -> Properties {
        let board = catalogue().board("h100-pcie-80gb").expect("in the catalogue");
        let options = Options::for_board(board, "NVIDIA H100-20C", 20 << 30, Some(compute_capability));
        properties(&options, 2).expect("known").0
    }

    fn value(properties: &Properties, number: i32) -> Option<i32> {
        let found = properties.attributes.iter().find(|entry| entry.0 == number);
        found.map(|entry| entry.1)
    }

    #[test]
    fn every_attribute_that_clients_ask_has_one_value() {
        let asked = (1..=43)
            .chain(45..=91)
            .chain(95..=97)
            .chain(99..=102)
            .chain(106..=121)
            .chain([125, 129, 130, 131, 133, 134, 139, 140, 143]);
        let properties = of((9, 0));
        for number in asked {
            assert!(value(&properties, number).is_some(), "attribute {number}");
        }
        let mut numbers: Vec<_> = properties.attributes.iter().map(|entry| entry.0).collect();
        let all = numbers.len();
        numbers.dedup();
        assert_eq!(numbers.len(), all, "an attribute is listed twice");
    }

    #[test]
    fn values_fit_the_compute_capability() {
        for (capability, threads, blocks, shared, optin, clusters) in [
            ((8, 0), 2048, 32, 164 << 10, 163 << 10, 0),
            ((8, 9), 1536, 24, 100 << 10, 99 << 10, 0),
            ((9, 0), 2048, 32, 228 << 10, 227 << 10, 1),
            ((12, 0), 1536, 24, 100 << 10, 99 << 10, 1),
        ] {
            let properties = of(capability);
            let got = [39, 106, 81, 97, 120].map(|number| value(&properties, number));
            assert_eq!(
                got,
                [threads, blocks, shared, optin, clusters].map(Some),
                "{capability:?}"
            );
            assert_eq!(value(&properties, 75), Some(attribute(capability.0)));
        }
    }

    #[test]
    fn every_board_of_the_catalogue_can_be_stood_for() {
        for board in catalogue().boards() {
            let options = Options::for_board(board, &board.name, board.memory_bytes(), None);
            let (properties, limits) =
                properties(&options, 2).unwrap_or_else(|error| panic!("{}: {error}", board.id));
            assert!(properties.sm_count > 0, "{}", board.id);
            assert!(limits.shared_per_block_optin <= MAX_SHARED_BYTES);
        }
    }

    #[test]
    fn an_unknown_compute_capability_is_refused() {
        let mut options = Options::for_board(
            catalogue().board("h100-pcie-80gb").expect("in the catalogue"),
            "x",
            1 << 30,
            Some((6, 1)),
        );
        assert!(matches!(
            properties(&options, 1),
            Err(DeviceError::InvalidValue(_))
        ));
        options.compute_capability = (13, 0);
        assert!(properties(&options, 1).is_ok());
    }
}
