//! Faults: kind, address, thread, line; memory outside of what is mapped is not touched.
#![allow(missing_docs, reason = "test code")]

mod common;

use common::{Device, Hooks, kernel, params, program, run_with};
use tessera_engine::{Fault, FaultKind, Geometry, Launch, Options, Tier};

/// Runs `body` with `%rd1` a buffer of 64 words and `%r1` the thread, in several ways; all give the same fault.
fn fault_of(body: &str, block: [u32; 3], extra: u64) -> Fault {
    let mut found: Option<Fault> = None;
    for (warps, tier) in [(1, Tier::Interpreter), (8, Tier::Interpreter), (1, Tier::Native)] {
        for plain in [false, true] {
            let mut device = Device::default();
            let text = kernel(
                ".param .u64 a, .param .u64 b",
                &format!(
                    "ld.param.u64 %rd1, [a]; ld.param.u64 %rd2, [b]; mov.u32 %r1, %tid.x; mul.wide.u32 %rd3, %r1, 4; add.s64 %rd4, %rd1, %rd3;\n{body}"
                ),
            );
            let p = program(&mut device, &text, "k");
            let a = device.alloc(256);
            let options = Options {
                warps,
                plain,
                tier,
                ..Options::default()
            };
            let launch =
                Launch::with_options(&p, Geometry::new([1, 1, 1], block), &params(&[a, extra]), options)
                    .expect("legal");
            let mut fault = *run_with(&device, &Hooks::default(), &launch, 1000, false).expect_err("faults");
            assert_eq!(fault.line, 13, "{fault}");
            if fault.address >= a {
                fault.address -= a;
            }
            match &found {
                None => found = Some(fault),
                Some(first) => assert_eq!(*first, fault),
            }
        }
    }
    found.expect("ran")
}

#[test]
fn one_past_the_end() {
    let fault = fault_of("st.global.u32 [%rd4], %r1; ret;", [65, 1, 1], 0);
    assert_eq!(
        (fault.kind, fault.address, fault.thread),
        (FaultKind::IllegalAddress, 256, [64, 0, 0])
    );
}

#[test]
fn null_and_wild_and_wrapping() {
    for wild in [0, 8, 0xffff_ffff_ffff_fff8, 0x7fff_0000_0000, 0x2000_0000_2000] {
        let fault = fault_of("ld.global.u32 %r2, [%rd2]; ret;", [32, 1, 1], wild);
        assert_eq!(fault.kind, FaultKind::IllegalAddress);
        assert_eq!(fault.thread, [0, 0, 0]);
        let fault = fault_of("ld.u64 %rd5, [%rd2]; ret;", [32, 1, 1], wild);
        assert_eq!(fault.kind, FaultKind::IllegalAddress);
    }
}

/// The second time round the index wraps between the halves of the warp: the lower one has the address that it had before, the upper
/// one something far below it.
#[test]
fn the_upper_half_of_a_warp_is_not_where_the_lower_half_ends() {
    let body = "mov.u32 %r4, 0; mov.u32 %r2, 0; L: add.u32 %r3, %r1, %r4; mul.wide.u32 %rd5, %r3, 4; \
        add.s64 %rd6, %rd1, %rd5; st.global.u32 [%rd6], %r1; mov.u32 %r4, 0xfffffff0; \
        sub.s64 %rd1, %rd1, 0x3ffffffc0; add.u32 %r2, %r2, 1; setp.lt.u32 %p1, %r2, 2; @%p1 bra L; ret;";
    let fault = fault_of(body, [32, 1, 1], 0);
    assert_eq!(
        (fault.kind, fault.thread),
        (FaultKind::IllegalAddress, [16, 0, 0])
    );
}

#[test]
fn one_lane_of_many() {
    let fault = fault_of(
        "setp.eq.u32 %p1, %r1, 37; selp.b64 %rd5, %rd2, %rd4, %p1; atom.global.add.u32 %r2, [%rd5], 1; ret;",
        [64, 1, 1],
        0x1234_5678,
    );
    assert_eq!(
        (fault.kind, fault.address, fault.thread),
        (FaultKind::IllegalAddress, 0x1234_5678, [37, 0, 0])
    );
}

#[test]
fn misaligned() {
    let fault = fault_of("ld.global.v2.u32 {%r2, %r3}, [%rd4]; ret;", [4, 1, 1], 0);
    assert_eq!(
        (fault.kind, fault.address, fault.thread),
        (FaultKind::MisalignedAddress, 4, [1, 0, 0])
    );
    let fault = fault_of(
        "add.u64 %rd5, %rd1, 2; st.global.u32 [%rd5], %r1; ret;",
        [4, 1, 1],
        0,
    );
    assert_eq!((fault.kind, fault.address), (FaultKind::MisalignedAddress, 2));
}

/// Accesses at constant distances from one address are checked together where that is possible.
#[test]
fn one_of_several_at_constant_distances() {
    let end = "add.s64 %rd5, %rd1, 240; ld.global.u32 %r2, [%rd5]; ld.global.u32 %r3, [%rd5+8]; ld.global.u32 %r4, [%rd5+16]; ret;";
    let fault = fault_of(end, [32, 1, 1], 0);
    assert_eq!(
        (fault.kind, fault.address, fault.thread),
        (FaultKind::IllegalAddress, 256, [0, 0, 0])
    );
    let row = "ld.global.u32 %r2, [%rd4]; ld.global.u32 %r3, [%rd4+192]; add.u32 %r4, %r2, %r3; st.global.u32 [%rd4], %r4; ret;";
    let fault = fault_of(row, [32, 1, 1], 0);
    assert_eq!(
        (fault.kind, fault.address, fault.thread),
        (FaultKind::IllegalAddress, 256, [16, 0, 0])
    );
    // A multiple of 8 only without the wider one's distance from the lowest.
    let odd = "add.s64 %rd5, %rd1, 20; ld.global.u32 %r2, [%rd5]; ld.global.u32 %r3, [%rd5+-4]; ld.global.u64 %rd6, [%rd5+8]; ret;";
    let fault = fault_of(odd, [32, 1, 1], 0);
    assert_eq!(
        (fault.kind, fault.address, fault.thread),
        (FaultKind::MisalignedAddress, 28, [0, 0, 0])
    );
}

#[test]
fn shared_and_local_beyond_their_size() {
    let fault = fault_of(
        ".shared .align 4 .b8 s[64]; shl.b32 %r2, %r1, 2; st.shared.u32 [%r2], %r1; ret;",
        [32, 1, 1],
        0,
    );
    assert_eq!(
        (fault.kind, fault.address, fault.thread),
        (FaultKind::IllegalAddress, 64, [16, 0, 0])
    );
    let fault = fault_of(
        ".local .align 4 .b8 s[64]; st.local.u32 [%rd3+8], %r1; ret;",
        [32, 1, 1],
        0,
    );
    assert_eq!(
        (fault.kind, fault.thread),
        (FaultKind::IllegalAddress, [14, 0, 0])
    );
    let fault = fault_of(
        ".shared .align 4 .b8 s[64]; mov.u64 %rd5, s; cvta.shared.u64 %rd6, %rd5; add.s64 %rd6, %rd6, %rd3; st.u32 [%rd6], %r1; ret;",
        [32, 1, 1],
        0,
    );
    assert_eq!(
        (fault.kind, fault.thread),
        (FaultKind::IllegalAddress, [16, 0, 0])
    );
}

#[test]
fn a_barrier_that_does_not_exist() {
    let fault = fault_of("mov.u32 %r2, 16; bar.sync %r2; ret;", [33, 1, 1], 0);
    assert!(fault.kind == FaultKind::IllegalInstruction, "{fault}");
}
