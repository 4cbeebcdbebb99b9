//! Frame buffer apart from addresses: mapped in several places, read-only, shared between contexts, given back.

mod common;

use common::*;
use std::sync::Arc;
use tessera_device::{Context, Device, DeviceError, FaultKind, Physical, PhysicalRange};

/// In the arena of the contexts, far from where allocations begin.
const HERE: u64 = 0x2080_0000_0000;
const THERE: u64 = 0x2090_0000_0000;

fn map(
    context: &Arc<dyn Context>,
    address: u64,
    memory: &Arc<dyn Physical>,
    (offset, bytes): (u64, u64),
    read_only: bool,
) -> Result<(), DeviceError> {
    let range = PhysicalRange::new(Arc::clone(memory), offset, bytes)?;
    context.map_physical(address, &range, read_only)
}

fn write(context: &Arc<dyn Context>, address: u64, data: &[u8]) {
    let stream = TestStream::plain(context);
    stream.submit(copy_in(address, &host_with(data)));
    stream.synchronize().expect("a copy to memory that is mapped");
}

#[test]
fn one_memory_has_several_addresses_in_several_contexts() {
    let gpu = gpu();
    let (first, second) = (context(&gpu), context(&gpu));
    let memory = gpu.create_physical(4 * MIB).expect("physical memory");
    assert_eq!(gpu.memory().used, 4 * MIB);
    assert_eq!((first.memory_used(), memory.bytes()), (0, 4 * MIB));
    map(&first, HERE, &memory, (0, 4 * MIB), false).expect("whole");
    map(&first, THERE, &memory, (2 * MIB, 2 * MIB), false).expect("the second half");
    map(&second, THERE, &memory, (0, 4 * MIB), false).expect("in another context");
    write(&first, THERE + 5, b"seen everywhere");
    assert_eq!(read(&first, HERE + 2 * MIB + 5, 15), b"seen everywhere");
    assert_eq!(read(&second, THERE + 2 * MIB + 5, 15), b"seen everywhere");
    assert_eq!(first.range_of(HERE + 7), Some((HERE, 4 * MIB)));
    gpu.check_ledger().expect("ledger");
    // The handle goes, the mappings keep the memory; the last of them gives it back.
    drop(memory);
    first.unmap_physical(HERE).expect("mapped");
    first.unmap_physical(THERE).expect("mapped");
    drop(first);
    assert_eq!(read(&second, THERE + 2 * MIB + 5, 15), b"seen everywhere");
    assert_eq!(gpu.memory().used, 4 * MIB);
    gpu.check_ledger().expect("ledger");
    drop(second);
    assert_eq!(gpu.memory().used, 0);
    gpu.check_ledger().expect("ledger");
}

#[test]
fn a_mapping_that_is_gone_or_read_only_faults() {
    let gpu = gpu();
    let memory = gpu.create_physical(2 * MIB).expect("physical memory");
    let reader = context(&gpu);
    map(&reader, HERE, &memory, (0, 2 * MIB), true).expect("mapped");
    assert_eq!(read(&reader, HERE, 4), [0; 4]);
    let stream = TestStream::plain(&reader);
    stream.submit(fill(HERE, 1, 1, 16));
    let fault = stream.synchronize().expect_err("a store to read-only memory");
    assert_eq!(fault.kind, FaultKind::IllegalAddress);
    let late = context(&gpu);
    map(&late, HERE, &memory, (0, 2 * MIB), false).expect("mapped");
    late.unmap_physical(HERE).expect("mapped");
    let stream = TestStream::plain(&late);
    stream.submit(fill(HERE, 1, 1, 16));
    let fault = stream.synchronize().expect_err("a store to nothing");
    assert_eq!(fault.kind, FaultKind::IllegalAddress);
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    let gpu = gpu();
    let context = context(&gpu);
    assert!(matches!(
        gpu.create_physical(0),
        Err(DeviceError::InvalidValue(_))
    ));
    assert!(matches!(
        gpu.create_physical(MIB),
        Err(DeviceError::InvalidValue(_))
    ));
    match gpu.create_physical(2 << 30) {
        Err(DeviceError::OutOfMemory { requested, .. }) => assert_eq!(requested, 2 << 30),
        other => panic!("{:?}", other.map(|memory| memory.bytes())),
    }
    let memory = gpu.create_physical(2 * MIB).expect("physical memory");
    let refused = |result: Result<(), DeviceError>| matches!(result, Err(DeviceError::InvalidValue(_)));
    assert!(refused(map(&context, HERE, &memory, (0, 4 * MIB), false)));
    assert!(refused(map(&context, HERE, &memory, (0, 0), false)));
    assert!(refused(map(&context, HERE, &memory, (100, 4096), false)));
    assert!(refused(map(&context, HERE + 1, &memory, (0, 4096), false)));
    map(&context, HERE, &memory, (0, 2 * MIB), false).expect("mapped");
    assert!(
        refused(map(&context, HERE + MIB, &memory, (0, MIB), false)),
        "taken"
    );
    assert!(matches!(context.free(HERE), Err(DeviceError::NotFound(_))));
    assert!(matches!(
        context.unmap_physical(THERE),
        Err(DeviceError::NotFound(_))
    ));
    gpu.check_ledger().expect("ledger");
}

#[test]
fn an_allocation_that_is_shared_outlives_its_owner() {
    let gpu = gpu();
    let (owner, other) = (context(&gpu), context(&gpu));
    let base = owner.alloc(10_000, 256).expect("allocation");
    let used = owner.memory_used();
    write(&owner, base, b"kept");
    let memory = owner.share(base).expect("an allocation");
    assert!(Arc::ptr_eq(&memory, &owner.share(base).expect("once more")));
    assert!(matches!(owner.share(base + 4096), Err(DeviceError::NotFound(_))));
    assert_eq!((owner.memory_used(), gpu.memory().used), (0, used));
    gpu.check_ledger().expect("ledger");
    map(&other, THERE, &memory, (0, memory.bytes()), false).expect("mapped");
    drop(memory);
    owner.free(base).expect("still an allocation");
    drop(owner);
    assert_eq!(read(&other, THERE, 4), b"kept");
    gpu.check_ledger().expect("ledger");
    drop(other);
    assert_eq!(gpu.memory().used, 0);
}
