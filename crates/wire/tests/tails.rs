//! Tails come back as they went in, and noise is an error.

use proptest::prelude::*;
use tessera_wire::{
    AddressList, Image, ImageList, NameList, PLACE_STAGING, PLACE_TAIL, Parameter, ParameterList, Process,
    ProcessList, ProcessUse, UseList, VgpuInfo,
};

#[test]
fn the_vgpu_comes_back() {
    let info = VgpuInfo {
        name: "NVIDIA H100-20C".into(),
        uuid: "u".into(),
        gpu_uuid: "g".into(),
        pci_bus_id: "00000000:06:00.0".into(),
        compute_capability: (9, 0),
        memory_bytes: 20 << 30,
        sm_count: 114,
        attributes: vec![(1, 1024), (-1, i32::MIN)],
        vgpu_type: "H100-20C".into(),
        driver_version: "580.95.05".into(),
    };
    let tail = info.encode();
    assert_eq!(VgpuInfo::decode(&tail).unwrap(), info);
    for length in 0..tail.len() {
        assert!(VgpuInfo::decode(&tail[..length]).is_err());
    }
    assert!(VgpuInfo::decode(&[tail.as_slice(), &[0]].concat()).is_err());
}

#[test]
fn images_stay_inside_the_message() {
    let image = |place, offset, bytes| Image {
        place,
        offset,
        bytes,
        name: "a.ptx",
    };
    let list = ImageList {
        images: vec![image(PLACE_TAIL, 2, 3), image(PLACE_STAGING, u64::MAX, u64::MAX)],
        inline: b"xxabc",
    };
    let tail = list.encode();
    let read = ImageList::decode(&tail).unwrap();
    assert_eq!(read, list);
    assert_eq!(read.inline_bytes(&read.images[0]), Some(&b"abc"[..]));
    for (offset, bytes) in [(3, 3), (6, 0), (u64::MAX, 1), (1, u64::MAX)] {
        let list = ImageList {
            images: vec![image(PLACE_TAIL, offset, bytes)],
            ..list.clone()
        };
        assert!(ImageList::decode(&list.encode()).is_err(), "{offset} {bytes}");
    }
    let list = ImageList {
        images: vec![image(77, 0, 0)],
        inline: b"",
    };
    assert!(ImageList::decode(&list.encode()).is_err());
    // A count that the tail cannot hold is not believed.
    assert!(ImageList::decode(&[0xff; 8]).is_err());
    assert!(NameList::decode(&[0xff, 0xff, 0xff, 0x7f, 0, 0]).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn lists_come_back(
        names in prop::collection::vec(".{0,20}", 0..8),
        numbers in prop::collection::vec((any::<u32>(), any::<u32>(), any::<u64>()), 0..8),
    ) {
        let list = NameList(names.clone());
        prop_assert_eq!(NameList::decode(&list.encode()).unwrap(), list);
        let list = ParameterList(numbers.iter().map(|&(offset, size, _)| Parameter { offset, size }).collect());
        prop_assert_eq!(ParameterList::decode(&list.encode()).unwrap(), list);
        let list = ProcessList(
            numbers.iter().zip(&names).map(|(&(pid, _, bytes), name)| Process { pid, name: name.clone(), bytes }).collect(),
        );
        prop_assert_eq!(ProcessList::decode(&list.encode()).unwrap(), list);
        let list = UseList(numbers.iter().map(|&(pid, kernels, _)| ProcessUse { pid, kernels, copies: 7 }).collect());
        prop_assert_eq!(UseList::decode(&list.encode()).unwrap(), list);
        let list = AddressList(numbers.iter().map(|&(_, _, address)| address).collect());
        prop_assert_eq!(AddressList::decode(&list.encode()).unwrap(), list);
    }

    #[test]
    fn noise_is_an_error_or_a_value(noise in prop::collection::vec(any::<u8>(), 0..100)) {
        let _ = VgpuInfo::decode(&noise);
        let _ = ImageList::decode(&noise);
        let _ = NameList::decode(&noise);
        let _ = ParameterList::decode(&noise);
        let _ = ProcessList::decode(&noise);
        let _ = UseList::decode(&noise);
        let _ = AddressList::decode(&noise);
        let _ = tessera_wire::decode(&noise);
    }
}
