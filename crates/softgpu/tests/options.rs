//! What a device and a module are told: registers at most, kernels that are left out; and modules that do not quite agree.

mod common;

use common::*;
use std::process::Command;
use tessera_device::{Context, ModuleOptions, PtxText};
use tessera_softgpu::KERNELS_VARIABLE;

/// Needs more than sixteen registers.
const WIDE: &str = ".version 8.0 .target sm_80 .address_size 64
    .visible .entry wide(.param .u64 out) LIMIT {
        .reg .b64 %d<2>; .reg .b32 %r<17>; .reg .pred %p;
        ld.param.u64 %d1, [out];
        ld.global.v4.u32 {%r1, %r2, %r3, %r4}, [%d1]; ld.global.v4.u32 {%r5, %r6, %r7, %r8}, [%d1+16];
        ld.global.v4.u32 {%r9, %r10, %r11, %r12}, [%d1+32]; ld.global.v4.u32 {%r13, %r14, %r15, %r16}, [%d1+48];
        setp.eq.u32 %p, %r1, 0; @%p bra L; add.u32 %r1, %r1, 1;
        L: st.global.v4.u32 [%d1], {%r16, %r15, %r14, %r13}; st.global.v4.u32 [%d1+16], {%r12, %r11, %r10, %r9};
        st.global.v4.u32 [%d1+32], {%r8, %r7, %r6, %r5}; st.global.v4.u32 [%d1+48], {%r4, %r3, %r2, %r1}; ret;
    }";

fn registers(context: &dyn Context, limit: &str, max_registers: Option<u32>) -> u32 {
    let ptx = WIDE.replace("LIMIT", limit);
    let text = PtxText {
        name: "wide",
        text: ptx.as_bytes(),
    };
    let loaded = context
        .load_module(&[text], &ModuleOptions { max_registers })
        .unwrap_or_else(|error| panic!("{error}"));
    kernel(&loaded.module, "wide").info().registers
}

#[test]
fn a_kernel_has_no_more_registers_than_it_may() {
    let gpu = gpu();
    let context = context(&gpu);
    let free = registers(&*context, "", None);
    assert!(free > 16, "{free}");
    assert_eq!(registers(&*context, ".maxnreg 16", None), 16);
    assert_eq!(registers(&*context, "", Some(16)), 16);
    assert_eq!(registers(&*context, ".maxnreg 20", Some(16)), 16);
    assert_eq!(registers(&*context, "", Some(200)), free);
}

/// The caller declares a result, as compilers of other languages do for C functions without one.
#[test]
fn a_function_without_the_result_that_is_declared_is_called() {
    let gpu = gpu();
    let context = context(&gpu);
    let head = ".version 8.0 .target sm_80 .address_size 64\n";
    let caller = format!(
        "{head}.extern .func (.param .b64 r) put(.param .b64 p);
.visible .entry k(.param .u64 p) {{
    .reg .b64 %d<3>; .param .b64 arg; .param .b64 ret;
    ld.param.u64 %d1, [p]; st.param.b64 [arg], %d1;
    call (ret), put, (arg);
    ld.param.b64 %d2, [ret];
    ret;
}}"
    );
    let callee = format!(
        "{head}.visible .func put(.param .b64 p) {{
    .reg .b64 %d<2>; .reg .b32 %r<2>;
    ld.param.b64 %d1, [p]; mov.u32 %r1, 42; st.global.u32 [%d1], %r1; ret;
}}"
    );
    let text = |name, text| PtxText { name, text };
    let (caller, callee) = (
        text("caller", caller.as_bytes()),
        text("callee", callee.as_bytes()),
    );
    for texts in [[caller, callee], [callee, caller]] {
        let module = context
            .load_module(&texts, &ModuleOptions::default())
            .unwrap_or_else(|error| panic!("{error}"))
            .module;
        let at = upload(&context, &[0]);
        let stream = TestStream::plain(&context);
        stream.submit(launch(&kernel(&module, "k"), 1, 1, &[at]));
        stream.synchronize().expect("kernel");
        assert_eq!(read_words(&context, at, 1), [42]);
    }
}

/// What a launch of `wide` leaves of two words.
fn left() -> Vec<u32> {
    let gpu = gpu();
    let context = context(&gpu);
    let module = load(&context, &WIDE.replace("LIMIT", ""));
    let at = upload(&context, &(1..=16).collect::<Vec<u32>>());
    let stream = TestStream::plain(&context);
    stream.submit(launch(&kernel(&module, "wide"), 1, 1, &[at]));
    stream.synchronize().expect("the launch is completed");
    read_words(&context, at, 2)
}

/// Not by itself: run by [`kernels_are_left_out_where_the_environment_says_so`].
#[test]
#[ignore = "the environment has to leave kernels out"]
fn launches_without_kernels() {
    assert_eq!(left(), [1, 2]);
}

#[test]
fn kernels_are_left_out_where_the_environment_says_so() {
    assert_eq!(left(), [16, 15]);
    let again = |value: &str| {
        let this = std::env::current_exe().expect("this test");
        Command::new(this)
            .args(["--exact", "launches_without_kernels", "--ignored"])
            .env(KERNELS_VARIABLE, value)
            .output()
            .expect("run")
    };
    let output = again("skip");
    assert!(output.status.success(), "{output:?}");
    assert!(!again("run").status.success());
    assert!(!again("some").status.success());
}
