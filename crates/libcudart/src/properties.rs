//! `cudaDeviceProp`: which attribute of the driver stands at which offset, in the layout of version 12 and in that of version 13.
//!
//! Offsets and attribute numbers are those of the public headers. The layout of version 11 is the beginning of that of version 12;
//! programs built against 11 reach it as plain `cudaGetDeviceProperties` of `libcudart.so.11.0`, and of `libcudart.so.12`.

use crate::abi::Out;
use crate::driver::Driver;
use crate::error::Error;
use crate::thread::check_device;
use std::ffi::c_char;

/// Bytes of the structure by version.
const SIZE_11: usize = 728;
const SIZE_12: usize = 1032;
const SIZE_13: usize = 1008;

/// Layouts of the structure.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Layout {
    V11,
    V12,
    V13,
}

/// One number of the structure.
struct Row {
    attribute: i32,
    bytes: usize,
    offset_12: Option<usize>,
    offset_13: Option<usize>,
}

const fn row(attribute: i32, bytes: usize, offset_12: Option<usize>, offset_13: Option<usize>) -> Row {
    Row {
        attribute,
        bytes,
        offset_12,
        offset_13,
    }
}

/// Offsets that are the same in all layouts.
const NAME_BYTES: usize = 256;
const UUID_AT: usize = 256;
const TOTAL_GLOBAL_MEMORY_AT: usize = 288;

#[rustfmt::skip]
static ROWS: &[Row] = &[
    row(8, 8, Some(296), Some(296)), // sharedMemPerBlock
    row(12, 4, Some(304), Some(304)), // regsPerBlock
    row(10, 4, Some(308), Some(308)), // warpSize
    row(11, 8, Some(312), Some(312)), // memPitch
    row(1, 4, Some(320), Some(320)), // maxThreadsPerBlock
    row(2, 4, Some(324), Some(324)), // maxThreadsDim[0]
    row(3, 4, Some(328), Some(328)), // maxThreadsDim[1]
    row(4, 4, Some(332), Some(332)), // maxThreadsDim[2]
    row(5, 4, Some(336), Some(336)), // maxGridSize[0]
    row(6, 4, Some(340), Some(340)), // maxGridSize[1]
    row(7, 4, Some(344), Some(344)), // maxGridSize[2]
    row(13, 4, Some(348), None), // clockRate
    row(9, 8, Some(352), Some(352)), // totalConstMem
    row(75, 4, Some(360), Some(360)), // major
    row(76, 4, Some(364), Some(364)), // minor
    row(14, 8, Some(368), Some(368)), // textureAlignment
    row(51, 8, Some(376), Some(376)), // texturePitchAlignment
    row(15, 4, Some(384), None), // deviceOverlap
    row(16, 4, Some(388), Some(384)), // multiProcessorCount
    row(17, 4, Some(392), None), // kernelExecTimeoutEnabled
    row(18, 4, Some(396), Some(388)), // integrated
    row(19, 4, Some(400), Some(392)), // canMapHostMemory
    row(20, 4, Some(404), None), // computeMode
    row(21, 4, Some(408), Some(396)), // maxTexture1D
    row(77, 4, Some(412), Some(400)), // maxTexture1DMipmap
    row(69, 4, Some(416), None), // maxTexture1DLinear
    row(22, 4, Some(420), Some(404)), // maxTexture2D[0]
    row(23, 4, Some(424), Some(408)), // maxTexture2D[1]
    row(73, 4, Some(428), Some(412)), // maxTexture2DMipmap[0]
    row(74, 4, Some(432), Some(416)), // maxTexture2DMipmap[1]
    row(70, 4, Some(436), Some(420)), // maxTexture2DLinear[0]
    row(71, 4, Some(440), Some(424)), // maxTexture2DLinear[1]
    row(72, 4, Some(444), Some(428)), // maxTexture2DLinear[2]
    row(45, 4, Some(448), Some(432)), // maxTexture2DGather[0]
    row(46, 4, Some(452), Some(436)), // maxTexture2DGather[1]
    row(24, 4, Some(456), Some(440)), // maxTexture3D[0]
    row(25, 4, Some(460), Some(444)), // maxTexture3D[1]
    row(26, 4, Some(464), Some(448)), // maxTexture3D[2]
    row(47, 4, Some(468), Some(452)), // maxTexture3DAlt[0]
    row(48, 4, Some(472), Some(456)), // maxTexture3DAlt[1]
    row(49, 4, Some(476), Some(460)), // maxTexture3DAlt[2]
    row(52, 4, Some(480), Some(464)), // maxTextureCubemap
    row(42, 4, Some(484), Some(468)), // maxTexture1DLayered[0]
    row(43, 4, Some(488), Some(472)), // maxTexture1DLayered[1]
    row(27, 4, Some(492), Some(476)), // maxTexture2DLayered[0]
    row(28, 4, Some(496), Some(480)), // maxTexture2DLayered[1]
    row(29, 4, Some(500), Some(484)), // maxTexture2DLayered[2]
    row(53, 4, Some(504), Some(488)), // maxTextureCubemapLayered[0]
    row(54, 4, Some(508), Some(492)), // maxTextureCubemapLayered[1]
    row(55, 4, Some(512), Some(496)), // maxSurface1D
    row(56, 4, Some(516), Some(500)), // maxSurface2D[0]
    row(57, 4, Some(520), Some(504)), // maxSurface2D[1]
    row(58, 4, Some(524), Some(508)), // maxSurface3D[0]
    row(59, 4, Some(528), Some(512)), // maxSurface3D[1]
    row(60, 4, Some(532), Some(516)), // maxSurface3D[2]
    row(61, 4, Some(536), Some(520)), // maxSurface1DLayered[0]
    row(62, 4, Some(540), Some(524)), // maxSurface1DLayered[1]
    row(63, 4, Some(544), Some(528)), // maxSurface2DLayered[0]
    row(64, 4, Some(548), Some(532)), // maxSurface2DLayered[1]
    row(65, 4, Some(552), Some(536)), // maxSurface2DLayered[2]
    row(66, 4, Some(556), Some(540)), // maxSurfaceCubemap
    row(67, 4, Some(560), Some(544)), // maxSurfaceCubemapLayered[0]
    row(68, 4, Some(564), Some(548)), // maxSurfaceCubemapLayered[1]
    row(30, 8, Some(568), Some(552)), // surfaceAlignment
    row(31, 4, Some(576), Some(560)), // concurrentKernels
    row(32, 4, Some(580), Some(564)), // ECCEnabled
    row(33, 4, Some(584), Some(568)), // pciBusID
    row(34, 4, Some(588), Some(572)), // pciDeviceID
    row(50, 4, Some(592), Some(576)), // pciDomainID
    row(35, 4, Some(596), Some(580)), // tccDriver
    row(40, 4, Some(600), Some(584)), // asyncEngineCount
    row(41, 4, Some(604), Some(588)), // unifiedAddressing
    row(36, 4, Some(608), None), // memoryClockRate
    row(37, 4, Some(612), Some(592)), // memoryBusWidth
    row(38, 4, Some(616), Some(596)), // l2CacheSize
    row(108, 4, Some(620), Some(600)), // persistingL2CacheMaxSize
    row(39, 4, Some(624), Some(604)), // maxThreadsPerMultiProcessor
    row(78, 4, Some(628), Some(608)), // streamPrioritiesSupported
    row(79, 4, Some(632), Some(612)), // globalL1CacheSupported
    row(80, 4, Some(636), Some(616)), // localL1CacheSupported
    row(81, 8, Some(640), Some(624)), // sharedMemPerMultiprocessor
    row(82, 4, Some(648), Some(632)), // regsPerMultiprocessor
    row(83, 4, Some(652), Some(636)), // managedMemory
    row(84, 4, Some(656), Some(640)), // isMultiGpuBoard
    row(85, 4, Some(660), Some(644)), // multiGpuBoardGroupID
    row(86, 4, Some(664), Some(648)), // hostNativeAtomicSupported
    row(87, 4, Some(668), None), // singleToDoublePrecisionPerfRatio
    row(88, 4, Some(672), Some(652)), // pageableMemoryAccess
    row(89, 4, Some(676), Some(656)), // concurrentManagedAccess
    row(90, 4, Some(680), Some(660)), // computePreemptionSupported
    row(91, 4, Some(684), Some(664)), // canUseHostPointerForRegisteredMem
    row(95, 4, Some(688), Some(668)), // cooperativeLaunch
    row(96, 4, Some(692), None), // cooperativeMultiDeviceLaunch
    row(97, 8, Some(696), Some(672)), // sharedMemPerBlockOptin
    row(100, 4, Some(704), Some(680)), // pageableMemoryAccessUsesHostPageTables
    row(101, 4, Some(708), Some(684)), // directManagedMemAccessFromHost
    row(106, 4, Some(712), Some(688)), // maxBlocksPerMultiProcessor
    row(109, 4, Some(716), Some(692)), // accessPolicyMaxWindowSize
    row(111, 8, Some(720), Some(696)), // reservedSharedMemPerBlock
    row(99, 4, Some(728), Some(704)), // hostRegisterSupported
    row(112, 4, Some(732), Some(708)), // sparseCudaArraySupported
    row(113, 4, Some(736), Some(712)), // hostRegisterReadOnlySupported
    row(114, 4, Some(740), Some(716)), // timelineSemaphoreInteropSupported
    row(115, 4, Some(744), Some(720)), // memoryPoolsSupported
    row(116, 4, Some(748), Some(724)), // gpuDirectRDMASupported
    row(117, 4, Some(752), Some(728)), // gpuDirectRDMAFlushWritesOptions
    row(118, 4, Some(756), Some(732)), // gpuDirectRDMAWritesOrdering
    row(119, 4, Some(760), Some(736)), // memoryPoolSupportedHandleTypes
    row(121, 4, Some(764), Some(740)), // deferredMappingCudaArraySupported
    row(125, 4, Some(768), Some(744)), // ipcEventSupported
    row(120, 4, Some(772), Some(748)), // clusterLaunch
    row(129, 4, Some(776), Some(752)), // unifiedFunctionPointers
    row(130, 4, None, Some(756)), // deviceNumaConfig
    row(131, 4, None, Some(760)), // deviceNumaId
    row(133, 4, None, Some(764)), // mpsEnabled
    row(134, 4, None, Some(768)), // hostNumaId
    row(139, 4, None, Some(772)), // gpuPciDeviceID
    row(140, 4, None, Some(776)), // gpuPciSubsystemID
    row(143, 4, None, Some(780)), // hostNumaMultinodeIpcSupported
];

/// Fills the bytes of the structure in a layout.
fn fill(driver: &Driver, device: i32, layout: Layout) -> Result<Vec<u8>, Error> {
    check_device(driver, device)?;
    let size = match layout {
        Layout::V11 => SIZE_11,
        Layout::V12 => SIZE_12,
        Layout::V13 => SIZE_13,
    };
    let mut bytes = vec![0_u8; size];
    let mut name = [0_u8; NAME_BYTES];
    driver.cuDeviceGetName(name.as_mut_ptr().cast::<c_char>(), 256, device)?;
    put(&mut bytes, 0, &name);
    let mut uuid = [0_u8; 16];
    if driver.cuDeviceGetUuid_v2(Out::local(&mut uuid), device).is_ok() {
        put(&mut bytes, UUID_AT, &uuid);
    }
    let mut memory = 0_usize;
    driver.cuDeviceTotalMem_v2(Out::local(&mut memory), device)?;
    put(&mut bytes, TOTAL_GLOBAL_MEMORY_AT, &memory.to_le_bytes());
    for row in ROWS {
        let offset = if layout == Layout::V13 {
            row.offset_13
        } else {
            row.offset_12
        };
        let Some(offset) = offset else { continue };
        let mut value = 0_i32;
        // An attribute that the driver does not know stays 0, as in a program that runs on an older driver.
        if driver
            .cuDeviceGetAttribute(Out::local(&mut value), row.attribute, device)
            .is_ok()
        {
            // A size of 64 bits takes the attribute's 32 bits without their sign: limits near 2 GiB are not negative.
            let wide = u64::from(value.cast_unsigned()).to_le_bytes();
            put(&mut bytes, offset, wide.get(..row.bytes).unwrap_or(&wide));
        }
    }
    Ok(bytes)
}

/// Copies to an offset; what lies beyond the end of the layout is left out.
fn put(bytes: &mut [u8], offset: usize, value: &[u8]) {
    if let Some(place) = bytes
        .get_mut(offset..)
        .and_then(|rest| rest.get_mut(..value.len()))
    {
        place.copy_from_slice(value);
    }
}

fn answer(place: Out<u8>, device: i32, layout: Layout) -> Result<(), Error> {
    let place = place.required()?;
    let bytes = fill(crate::driver::driver()?, device, layout)?;
    // SAFETY: the program's structure has the size of its version's layout, which is what `fill` made.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), place.as_ptr(), bytes.len()) };
    Ok(())
}

runtime_api! {
    /// Properties of a device. What programs of version 12 call goes by another name; here they mean version 11's layout.
    fn cudaGetDeviceProperties(properties: Out<u8>, device: i32) {
        answer(properties, device, if crate::version::major() >= 13 { Layout::V13 } else { Layout::V11 })
    }

    /// Properties of a device, in the layout of version 12.
    fn cudaGetDeviceProperties_v2(properties: Out<u8>, device: i32) {
        answer(properties, device, if crate::version::major() >= 13 { Layout::V13 } else { Layout::V12 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_lies_inside_its_layouts() {
        for row in ROWS {
            assert!(row.bytes == 4 || row.bytes == 8);
            assert!(
                row.offset_12
                    .is_none_or(|offset| offset % row.bytes == 0 && offset + row.bytes <= SIZE_12)
            );
            assert!(
                row.offset_13
                    .is_none_or(|offset| offset % row.bytes == 0 && offset + row.bytes <= SIZE_13)
            );
        }
    }

    #[test]
    fn no_two_rows_overlap() {
        for offset in [|row: &Row| row.offset_12, |row: &Row| row.offset_13] {
            let mut used: Vec<(usize, usize)> = ROWS
                .iter()
                .filter_map(|row| offset(row).map(|start| (start, start + row.bytes)))
                .collect();
            used.sort_unstable();
            assert!(used.is_sorted_by(|one, next| one.1 <= next.0));
        }
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        let mut bytes = [0_u8; 6];
        put(&mut bytes, 0, &7_u32.to_le_bytes());
        put(&mut bytes, 4, &9_u32.to_le_bytes());
        assert_eq!(bytes, [7, 0, 0, 0, 0, 0]);
    }
}
