//! What a decoding has to make of kernels so that they are fast: mistakes here give right results, slowly.

use std::sync::Arc;

use super::{Halves, Key};
use crate::analysis::shape::Threads;
use crate::exec::chain::Chain;
use crate::exec::isa::Level;
use crate::exec::{LINE, SCALAR, UNMASKED};
use crate::lir::{Space, What};
use crate::program::{Program, Symbols, compile};
use tessera_ptx::{FuncId, VarId};

struct NoSymbols;
impl Symbols for NoSymbols {
    fn variable(&self, _: VarId) -> Option<u64> {
        None
    }
    fn function(&self, _: FuncId) -> Option<u64> {
        None
    }
}

fn program(body: &str) -> Arc<Program> {
    let text = format!(
        ".version 8.5\n.target sm_90\n.address_size 64\n.visible .entry k(.param .u64 a) {{\n.reg .pred %p<20>; .reg .b32 %r<50>; \
        .reg .b64 %rd<50>; .reg .f32 %f<50>;\n{body}\n}}\n"
    );
    let module = tessera_ptx::parse_module(text.as_bytes()).unwrap_or_else(|e| panic!("{e}"));
    let entry = module.func_by_name("k").expect("the kernel");
    Arc::new(compile(&module, entry, &NoSymbols).unwrap_or_else(|e| panic!("{e}")))
}

fn key(threads: Threads) -> Key {
    Key {
        warps: 8,
        threads,
        halves: Halves::Follow,
        level: Level::best(),
        plain: false,
        check: false,
    }
}

/// Flags of the last operation of each instruction for which `pick` says yes.
fn flags(program: &Program, threads: Threads, pick: impl Fn(&What) -> bool) -> Vec<u32> {
    let variant = program.variant(key(threads));
    let code = variant.fast.as_ref().expect("a fast decoding");
    let insts = program
        .analysed
        .kernel
        .blocks
        .iter()
        .flat_map(|b| b.insts.iter().map(Some).chain([None]));
    let mut found = Vec::new();
    for (number, inst) in (0u32..).zip(insts) {
        if inst.is_some_and(|i| pick(&i.what)) {
            let last = code
                .inst_of_op
                .iter()
                .rposition(|&i| i == number)
                .expect("operations");
            found.push(code.ops[last].flags);
        }
    }
    found
}

const TILE: &str = ".shared .align 4 .b8 s[1024];
    ld.param.u64 %rd1, [a]; mov.u32 %r1, %tid.x; mov.u32 %r2, %tid.y; mov.u32 %r3, %ctaid.x; mov.u32 %r4, %ntid.x; mad.lo.s32 %r5, %r3, %r4, %r1;
    mad.lo.s32 %r6, %r2, 512, %r5; mul.wide.s32 %rd2, %r6, 4; add.s64 %rd3, %rd1, %rd2; ld.global.f32 %f1, [%rd3];
    mov.u32 %r7, s; shl.b32 %r8, %r2, 6; add.u32 %r9, %r7, %r8; shl.b32 %r10, %r1, 2; add.u32 %r11, %r9, %r10; st.shared.f32 [%r11], %f1; bar.sync 0;
    ld.shared.f32 %f2, [%r9]; ld.shared.f32 %f3, [%r11]; fma.rn.f32 %f4, %f2, %f3, %f1; st.global.f32 [%rd3], %f4; ret;";

/// Blocks of 16 x 16: rows of sixteen lanes, not gathers, though a warp has two rows.
#[test]
fn rows_of_sixteen_are_lines() {
    let memory = |w: &What| matches!(w, What::Load(a) | What::Store(a) if matches!(a.space, Space::Global | Space::Shared));
    let found = flags(&program(TILE), Threads::Rows, memory);
    assert_eq!(found.len(), 5);
    assert!(found.iter().all(|f| f & LINE != 0), "{found:x?}");
}

/// The index of a thread by the usual formula is kept once for sixteen lanes, and so is every address made from it.
#[test]
fn the_usual_index_is_affine() {
    let body = "ld.param.u64 %rd1, [a]; mov.u32 %r1, %ctaid.x; mov.u32 %r2, %ntid.x; mov.u32 %r3, %tid.x; mad.lo.s32 %r4, %r1, %r2, %r3;
        mul.wide.s32 %rd2, %r4, 4; add.s64 %rd3, %rd1, %rd2; ld.global.u32 %r5, [%rd3]; add.u32 %r6, %r5, 1; st.global.u32 [%rd3], %r6; ret;";
    let p = program(body);
    let memory = flags(&p, Threads::Linear, |w| {
        matches!(w, What::Load(_) | What::Store(_))
    });
    assert_eq!(
        memory.iter().filter(|&&f| f & LINE != 0).count(),
        2,
        "{memory:x?}"
    );
    let arithmetic = flags(&p, Threads::Linear, |w| matches!(w, What::Alu(..)));
    let vectors = arithmetic.iter().filter(|&&f| f & SCALAR == 0).count();
    assert_eq!(
        vectors, 1,
        "only the sum of what was loaded is per lane: {arithmetic:x?}"
    );
}

/// In a loop that lanes leave one by one, only what is wanted after it is written under the mask.
#[test]
fn only_what_waiting_lanes_want_is_masked() {
    let body = "ld.param.u64 %rd1, [a]; mov.u32 %r1, %tid.x; cvt.rn.f32.u32 %f1, %r1; mov.f32 %f3, 0f00000000; mov.f32 %f4, 0f00000000; mov.u32 %r7, 0;
        LOOP: mul.f32 %f5, %f3, %f3; mul.f32 %f6, %f4, %f4; add.f32 %f7, %f5, %f6; setp.gt.f32 %p1, %f7, 0f40800000; @%p1 bra DONE;
        sub.f32 %f8, %f5, %f6; add.f32 %f9, %f3, %f3; fma.rn.f32 %f4, %f9, %f4, %f1; add.f32 %f3, %f8, %f1;
        add.u32 %r7, %r7, 1; setp.lt.u32 %p2, %r7, 256; @%p2 bra LOOP;
        DONE: mul.wide.u32 %rd2, %r1, 4; add.s64 %rd3, %rd1, %rd2; st.global.u32 [%rd3], %r7; ret;";
    let p = program(body);
    let floats = |w: &What| matches!(w, What::Alu(a, _) if format!("{a:?}").ends_with("F32"));
    let found = flags(&p, Threads::Linear, floats);
    let masked = found.iter().filter(|&&f| f & (UNMASKED | SCALAR) == 0).count();
    assert!(
        found.len() >= 7 && masked == 0,
        "{masked} of {} under the mask",
        found.len()
    );
}

/// Steps and operations of the chains in a decoding.
fn chains(program: &Program, level: Level) -> Vec<(u32, u32)> {
    let variant = program.variant(Key {
        level,
        ..key(Threads::Linear)
    });
    let code = variant.fast.as_ref().expect("a fast decoding");
    let chain = level.handler::<Chain>();
    let found = code.ops.iter().filter(|op| std::ptr::fn_addr_eq(op.f, chain));
    found.map(|op| (op.g, op.c)).collect()
}

/// A hash is one operation, and what is read twice ends a chain.
#[test]
fn what_follows_one_from_the_other_is_a_chain() {
    let before = "ld.param.u64 %rd1, [a]; mov.u32 %r1, %tid.x; mul.wide.u32 %rd2, %r1, 4; add.s64 %rd3, %rd1, %rd2; ld.global.u32 %r2, [%rd3];";
    let after = "st.global.u32 [%rd3], %r9; ret;";
    let hash = "shr.u32 %r3, %r2, 16; xor.b32 %r4, %r3, %r2; mul.lo.s32 %r5, %r4, 2146121005; shr.u32 %r6, %r5, 15; xor.b32 %r9, %r5, %r6;";
    let twice = "add.u32 %r3, %r2, 1; xor.b32 %r4, %r3, 5; and.b32 %r5, %r4, 7; or.b32 %r6, %r5, 8; mul.lo.u32 %r9, %r6, %r4;";
    let level = Level::best();
    let of = |body: &str| chains(&program(&format!("{before} {body} {after}")), level);
    assert_eq!(of(hash), [(3, 5)]);
    assert_eq!(of(twice), [(2, 2), (2, 2)]);
}
