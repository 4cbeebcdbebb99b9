//! Calls, hooks, parameters, wide types.
#![allow(missing_docs, reason = "test code")]

mod common;

use std::sync::Arc;

use common::{Device, Hooks, Table, load, params, program, run_all, run_with};
use tessera_engine::{CompileError, FaultKind, Geometry, Launch, compile};

const CALLS: &str = ".version 8.5\n.target sm_90\n.address_size 64
.func (.param .b32 r) square(.param .b32 x) { .reg .b32 %r<5>; ld.param.u32 %r1, [x]; mul.lo.u32 %r2, %r1, %r1; st.param.b32 [r], %r2; ret; }
.func (.param .align 8 .b8 r[16]) pair(.param .align 8 .b8 s[16], .param .b32 n) {
  .reg .b32 %r<5>; .reg .b64 %rd<5>; .reg .pred %p;
  ld.param.u64 %rd1, [s]; ld.param.u32 %r1, [s+8]; ld.param.u32 %r2, [n];
  setp.gt.u32 %p, %r2, 10; @%p bra BIG;
  add.u64 %rd1, %rd1, 7; st.param.b64 [r], %rd1; st.param.b32 [r+8], %r1; ret;
  BIG: st.param.b64 [r], 1; add.u32 %r1, %r1, %r2; st.param.b32 [r+8], %r1; ret;
}
.visible .entry k(.param .u64 out, .param .align 4 .b8 box[8]) {
  .reg .b32 %r<20>; .reg .b64 %rd<20>;
  ld.param.u64 %rd1, [out]; ld.param.u32 %r10, [box+4]; ld.param.u8 %r11, [box+1];
  mov.u32 %r1, %tid.x; cvt.u64.u32 %rd2, %r1;
  { .param .b32 p0; st.param.b32 [p0], %r1; .param .b32 q0; call.uni (q0), square, (p0); ld.param.b32 %r2, [q0]; }
  { .param .align 8 .b8 p0[16]; st.param.b64 [p0], %rd2; st.param.b32 [p0+8], %r2; .param .b32 p1; st.param.b32 [p1], %r1;
    .param .align 8 .b8 q0[16]; call.uni (q0), pair, (p0, p1); ld.param.b64 %rd3, [q0]; ld.param.b32 %r3, [q0+8]; }
  cvt.u32.u64 %r4, %rd3; add.u32 %r4, %r4, %r3; add.u32 %r4, %r4, %r10; add.u32 %r4, %r4, %r11;
  mul.wide.u32 %rd4, %r1, 4; add.s64 %rd4, %rd1, %rd4; st.global.u32 [%rd4], %r4; ret;
}";

#[test]
fn device_functions_with_structs_by_value() {
    let mut device = Device::default();
    let p = program(&mut device, CALLS, "k");
    let out = device.alloc(64 * 4);
    run_all(
        &device,
        &p,
        Geometry::new([1, 1, 1], [64, 1, 1]),
        &params(&[out, 0x0000_1000_0000_0300]),
    );
    for (i, got) in (0u32..).zip(device.download::<u32>(out, 64)) {
        let (first, second) = if i > 10 { (1, i * i + i) } else { (i + 7, i * i) };
        assert_eq!(got, first + second + 0x1000 + 3, "thread {i}");
    }
}

#[test]
fn printf_assert_and_trap() {
    let mut device = Device::default();
    let text = ".version 8.5\n.target sm_90\n.address_size 64
    .extern .func (.param .b32 r) vprintf (.param .b64 f, .param .b64 a);
    .extern .func __assertfail (.param .b64 m, .param .b64 f, .param .b32 l, .param .b64 n, .param .b64 c);
    .global .align 1 .b8 fmt[7] = {104, 105, 32, 37, 100, 10, 0};
    .visible .entry print() { .local .align 8 .b8 depot[8]; .reg .b64 %rd<9>; .reg .b32 %r<9>; .reg .pred %p;
      mov.u32 %r1, %tid.x; rem.u32 %r2, %r1, 20; setp.ne.u32 %p, %r2, 7; @%p bra DONE;
      st.local.u32 [depot], %r1; mov.u64 %rd1, depot; cvta.local.u64 %rd2, %rd1; mov.u64 %rd3, fmt; cvta.global.u64 %rd4, %rd3;
      { .param .b64 p0; st.param.b64 [p0], %rd4; .param .b64 p1; st.param.b64 [p1], %rd2; .param .b32 q; call.uni (q), vprintf, (p0, p1); ld.param.b32 %r3, [q]; }
      DONE: ret; }
    .visible .entry check() { .reg .b64 %rd<9>; .reg .b32 %r<9>; .reg .pred %p;
      mov.u32 %r1, %tid.y; setp.ne.u32 %p, %r1, 2; @%p bra DONE; mov.u64 %rd3, fmt;
      { .param .b64 p0; st.param.b64 [p0], %rd3; .param .b64 p1; st.param.b64 [p1], %rd3; .param .b32 p2; st.param.b32 [p2], 77;
        .param .b64 p3; st.param.b64 [p3], %rd3; .param .b64 p4; st.param.b64 [p4], 1; call.uni __assertfail, (p0, p1, p2, p3, p4); }
      DONE: ret; }
    .visible .entry stop() { .reg .b32 %r<9>; .reg .pred %p;
      mov.u32 %r1, %tid.x; setp.eq.u32 %p, %r1, 5;
      @%p trap;
      ret; }";
    let run = |device: &mut Device, name: &str, block: [u32; 3]| {
        let p = program(device, text, name);
        let launch = Launch::new(&p, Geometry::new([1, 1, 1], block), &[]).expect("legal");
        let hooks = Hooks::default();
        let result = run_with(device, &hooks, &launch, 1000, false);
        (hooks, result)
    };
    let (hooks, result) = run(&mut device, "print", [40, 1, 1]);
    result.expect("no fault");
    assert_eq!(
        *hooks.printed.lock().expect("lock"),
        ["hi %d\n 7 [7, 0, 0]", "hi %d\n 27 [27, 0, 0]"]
    );
    let (hooks, result) = run(&mut device, "check", [2, 4, 1]);
    let fault = result.expect_err("asserts");
    assert_eq!((fault.kind, fault.thread), (FaultKind::Assert, [0, 2, 0]));
    assert_eq!(*hooks.asserted.lock().expect("lock"), ["hi %d\n line 77"]);
    let (_, result) = run(&mut device, "stop", [40, 1, 1]);
    let fault = result.expect_err("traps");
    assert_eq!(
        (fault.kind, fault.thread, fault.line, &*fault.function),
        (FaultKind::Trap, [5, 0, 0], 19, "stop")
    );
}

#[test]
fn what_is_not_executed_is_named_with_its_line() {
    let mut device = Device::default();
    let text = ".version 8.5\n.target sm_90\n.address_size 64
    .func f() { ret; }
    .visible .entry k() {
      call f;
      ret; }
    .visible .entry t() { .reg .b32 %r<9>;
      wgmma.fence.sync.aligned;
      ret; }
    .extern .func nowhere();
    .visible .entry u() {
      call nowhere;
      ret; }";
    let (module, table) = load(&mut device, text);
    let error = |name: &str, table: &Table| {
        compile(&module, module.func_by_name(name).expect("there"), table)
            .map(Arc::new)
            .expect_err("refused")
    };
    match error("t", &table) {
        CompileError::Unsupported {
            line, text, function, ..
        } => {
            assert_eq!(
                (line, text.as_str(), function.as_str()),
                (9, "wgmma.fence.sync.aligned", "t")
            );
        }
        other => panic!("{other}"),
    }
    assert!(
        matches!(error("u", &table), CompileError::Undefined { line: 13, .. }),
        "{}",
        error("u", &table)
    );
}

/// A chain of functions deeper than what is inlined, and a tree of calls that would be a million instructions inlined.
#[test]
fn deep_and_wide_call_graphs() {
    let mut device = Device::default();
    let mut text = String::from(
        ".version 8.5\n.target sm_90\n.address_size 64
        .func (.param .b32 r) c0(.param .b32 x) { .reg .b32 %a; ld.param.u32 %a, [x]; add.u32 %a, %a, 1; st.param.b32 [r], %a; ret; }
        .func (.param .b32 r) t0(.param .b32 x) { .reg .b32 %a; ld.param.u32 %a, [x]; add.u32 %a, %a, 1; st.param.b32 [r], %a; ret; }\n",
    );
    for n in 1..100 {
        let below = n - 1;
        text += &format!(
            ".func (.param .b32 r) c{n}(.param .b32 x) {{ .reg .b32 %a, %b; ld.param.u32 %a, [x];
            call (%b), c{below}, (%a); add.u32 %b, %b, %a; st.param.b32 [r], %b; ret; }}\n"
        );
    }
    for n in 1..20 {
        let below = n - 1;
        text += &format!(
            ".func (.param .b32 r) t{n}(.param .b32 x) {{ .reg .b32 %a; .reg .pred %p; ld.param.u32 %a, [x];
            setp.lt.u32 %p, %a, {n}; call (%a), t{below}, (%a); @%p call (%a), t{below}, (%a); st.param.b32 [r], %a; ret; }}\n"
        );
    }
    text += ".visible .entry k(.param .u64 out) { .reg .b32 %r<9>; .reg .b64 %d<3>;
        ld.param.u64 %d0, [out]; mov.u32 %r0, %tid.x; call (%r1), c99, (%r0); call (%r2), t19, (%r0);
        mad.wide.u32 %d0, %r0, 8, %d0; st.global.v2.u32 [%d0], {%r1, %r2}; ret; }";
    fn tree(n: u32, x: u32) -> u32 {
        if n == 0 {
            return x + 1;
        }
        let once = tree(n - 1, x);
        if x < n { tree(n - 1, once) } else { once }
    }
    let p = program(&mut device, &text, "k");
    let out = device.alloc(64 * 8);
    run_all(&device, &p, Geometry::new([1, 1, 1], [64, 1, 1]), &params(&[out]));
    for (i, got) in (0u32..).zip(device.download::<[u32; 2]>(out, 64)) {
        assert_eq!(got, [i * 100 + 1, tree(19, i)], "thread {i}");
    }
}

/// Barriers, shuffles and hooks in functions that are called through addresses, by threads that come from several places.
#[test]
fn what_stops_inside_outlined_functions() {
    let mut device = Device::default();
    let text = ".version 8.5\n.target sm_90\n.address_size 64
    .extern .func (.param .b32 r) vprintf (.param .b64 f, .param .b64 a);
    .global .align 1 .b8 fmt[4] = {37, 100, 33, 0};
    .shared .align 4 .b32 cells[64];
    .func (.param .b32 r) turned(.param .b32 x) { .reg .b32 %a, %b, %i;
      ld.param.u32 %a, [x]; mov.u32 %i, %tid.x; shl.b32 %i, %i, 2; mov.u32 %b, cells; add.u32 %i, %i, %b; st.shared.u32 [%i], %a; bar.sync 0;
      xor.b32 %i, %i, 252; ld.shared.u32 %a, [%i]; bar.sync 0; st.param.b32 [r], %a; ret; }
    .func (.param .b32 r) crossed(.param .b32 x) { .reg .b32 %a; ld.param.u32 %a, [x];
      shfl.sync.bfly.b32 %a, %a, 1, 31, 0xffffffff; st.param.b32 [r], %a; ret; }
    .func (.param .b32 r) shown(.param .b32 x) { .local .align 4 .b8 v[4]; .reg .b32 %a; .reg .b64 %f, %l; ld.param.u32 %a, [x];
      st.local.u32 [v], %a; mov.u64 %l, v; cvta.local.u64 %l, %l; mov.u64 %f, fmt; call (%a), vprintf, (%f, %l); st.param.b32 [r], %a; ret; }
    .visible .entry k(.param .u64 out) { .reg .b32 %r<9>; .reg .b64 %d<6>; .reg .pred %p<3>;
      ld.param.u64 %d0, [out]; mov.u32 %r0, %tid.x; mov.u64 %d1, turned; mov.u64 %d2, crossed; mov.u64 %d3, shown;
      and.b32 %r1, %r0, 1; setp.eq.u32 %p0, %r1, 0; setp.eq.u32 %p1, %r0, 33;
      PROTO: .callprototype (.param .b32 _) _ (.param .b32 _);
      call (%r2), %d1, (%r0), PROTO;
      // Even and odd threads call from different places; the shuffle wants all of them.
      @%p0 bra EVEN;
      add.u32 %r3, %r2, 100; call (%r3), %d2, (%r3), PROTO; bra BOTH;
      EVEN: add.u32 %r3, %r2, 200; call (%r3), %d2, (%r3), PROTO;
      BOTH: @%p1 call (%r4), %d3, (%r3), PROTO;
      mad.wide.u32 %d0, %r0, 8, %d0; st.global.v2.u32 [%d0], {%r2, %r3}; ret; }";
    let p = program(&mut device, text, "k");
    let out = device.alloc(64 * 8);
    for fuel in [1, 100_000] {
        let launch = Launch::new(&p, Geometry::new([1, 1, 1], [64, 1, 1]), &params(&[out])).expect("legal");
        let hooks = Hooks::default();
        run_with(&device, &hooks, &launch, fuel, true).expect("no fault");
        for (i, got) in (0u32..).zip(device.download::<[u32; 2]>(out, 64)) {
            let other = 63 - (i ^ 1);
            let plus = if i % 2 == 0 { 100 } else { 200 };
            assert_eq!(got, [63 - i, other + plus], "thread {i}");
        }
        // Thread 33 has what 32 added 200 to.
        assert_eq!(*hooks.printed.lock().expect("lock"), ["%d! 231 [33, 0, 0]"]);
    }
}
