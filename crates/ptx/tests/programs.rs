//! Whole programs: what the IR of a text is, directives, scopes, control flow, initialisers.

use tessera_ptx::{
    Address, Body, FuncKind, Linkage, Module, Opcode, Operand, Space, Symbol, Table, Type, Variant,
    parse_module,
};

fn parse(text: &str) -> Module {
    parse_module(text.as_bytes()).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

/// A module with one kernel `k` that has this body.
fn kernel(body: &str) -> Module {
    parse(&format!(
        ".version 8.4\n.target sm_90\n.address_size 64\n.visible .entry k(.param .u64 k_p, .param .u32 n)\n{{\n{body}\n}}\n"
    ))
}

fn body(module: &Module) -> &Body {
    let func = module.func_by_name("k").expect("k");
    module.body(func).unwrap_or_else(|e| panic!("{e}"))
}

fn succs(body: &Body) -> Vec<Vec<u32>> {
    body.blocks
        .values()
        .map(|block| block.succs.iter().map(|id| id.as_u32()).collect())
        .collect()
}

#[test]
fn a_small_kernel() {
    let module = kernel(
        "\t.reg .pred %p<2>;\n\t.reg .f32 %f<4>;\n\t.reg .b32 %r<6>;\n\t.reg .b64 %rd<5>;
        ld.param.u64 %rd1, [k_p];
        ld.param.u32 %r2, [n];
        mov.u32 %r3, %ctaid.x; mov.u32 %r4, %ntid.x; mov.u32 %r5, %tid.x;
        mad.lo.s32 %r1, %r3, %r4, %r5;
        setp.ge.s32 %p1, %r1, %r2;
        @%p1 bra $L__BB0_2;
        cvta.to.global.u64 %rd2, %rd1;
        mul.wide.s32 %rd3, %r1, 4;
        add.s64 %rd4, %rd2, %rd3;
        ld.global.f32 %f1, [%rd4+-4];
        fma.rn.f32 %f3, %f1, 0f40000000, %f1;
        st.global.f32 [%rd4], %f3;
    $L__BB0_2:
        ret;",
    );
    let (id, func) = module.entries().next().expect("a kernel");
    assert_eq!(
        (func.kind, func.linkage, func.param_bytes),
        (FuncKind::Entry, Linkage::Visible, 12)
    );
    assert_eq!((func.params[1].offset, func.params[1].size), (8, 4));
    let body = module.body(id).expect("body");
    assert_eq!(body.blocks.len(), 3);
    assert_eq!(succs(body), [vec![2, 1], vec![2], vec![]]);
    assert_eq!(&*body.blocks.values().last().expect("block").label, "$L__BB0_2");
    let load = body
        .insts
        .values()
        .find(|inst| inst.op == Opcode::Ld && inst.space() == Some(Space::Global))
        .expect("ld");
    let Operand::Mem(Address::Reg { base, offset: -4 }) = load.operands[1] else {
        panic!("{:?}", load.operands)
    };
    assert_eq!((body.reg_name(base), body.regs[base].ty), ("%rd4", Type::B64));
    let fma = body
        .insts
        .values()
        .find(|inst| inst.op == Opcode::Fma)
        .expect("fma");
    assert_eq!(
        (fma.ty(0), fma.operands[2].clone()),
        (Some(Type::F32), Operand::F32(0x4000_0000))
    );
    // Registers exist when they are mentioned: %r0, %rd0, %f0, %f2 and %p0 are not.
    assert_eq!(body.regs.len(), 1 + 2 + 5 + 4);
}

#[test]
fn scopes_shadow_and_end() {
    let module = kernel(
        ".reg .b32 %r<3>; .reg .pred p;
        mov.u32 %r1, 1;
        { .reg .b32 %r1; .reg .pred p; mov.u32 %r1, 2; setp.eq.u32 p, %r1, 2; LAB: @p bra DONE; bra LAB; DONE: }
        { .reg .b32 %r<3>; mov.u32 %r2, 3; LAB: bra DONE; DONE: }
        mov.u32 %r2, %r1;",
    );
    let body = body(&module);
    let dest = |n: usize| match &body.insts.as_slice()[n].operands[0] {
        Operand::Reg(reg) => *reg,
        other => panic!("{other:?}"),
    };
    assert_ne!(dest(0), dest(1), "the inner %r1 is another register");
    assert_ne!(dest(5), dest(7), "the inner %r2 is another register");
    let last = &body.insts.as_slice()[7];
    assert_eq!(last.operands[1], Operand::Reg(dest(0)), "the outer %r1 is back");
    let targets: Vec<u32> = body
        .insts
        .values()
        .filter(|inst| inst.op == Opcode::Bra)
        .map(|inst| match inst.operands[0] {
            Operand::Label(block) => block.as_u32(),
            _ => panic!("unresolved"),
        })
        .collect();
    assert_eq!(targets.len(), 3);
    assert_ne!(targets[0], targets[2], "labels of two scopes are two labels");
}

#[test]
fn control_never_runs_off_the_end() {
    for text in [
        "",
        "nanosleep.u32 1;",
        ".reg .pred p; @p ret;",
        ".reg .pred p; L: @p bra L;",
        "bra L; L:",
    ] {
        let module = kernel(text);
        let body = body(&module);
        let last = body.blocks.values().last().expect("a block");
        assert!(last.succs.is_empty(), "{text}");
        let inst = body.insts.values().last().expect("an instruction");
        assert!(
            inst.guard.is_none() && inst.op.is_terminator(),
            "{text}: {inst:?}"
        );
    }
}

#[test]
fn indirect_branches_and_calls() {
    let module = parse(
        ".version 8.4 .target sm_90 .address_size 64
        .func (.param .b32 r) f(.param .b32 a) { ret; }
        .visible .entry k() {
            .reg .b32 %r<4>; .reg .b64 %rd<4>;
            .param .b32 ret; .param .b32 arg;
            ts: .branchtargets L1, L2, L1;
            mov.u64 %rd1, f;
            brx.idx %r1, ts;
        L1: call (ret), %rd1, (arg), proto;
            proto: .callprototype (.param .b32 _) _ (.param .b32 _) .noreturn;
        L2: call (ret), %rd1, (arg), targets;
            targets: .calltargets f;
            call.uni (ret), f, (arg);
            call (ret), f, (7);
        }",
    );
    let body = body(&module);
    assert_eq!(succs(body), [vec![1, 2], vec![2], vec![]]);
    let Some(Table::Branch(targets)) = body.tables.values().next() else {
        panic!("table")
    };
    assert_eq!(targets.len(), 3);
    let calls: Vec<_> = body
        .insts
        .values()
        .filter(|inst| inst.op == Opcode::Call)
        .collect();
    assert!(matches!(calls[0].operands[3], Operand::Proto(_)));
    assert!(matches!(calls[1].operands[3], Operand::Table(_)));
    assert!(matches!(
        calls[2].operands[1],
        Operand::Sym {
            symbol: Symbol::Func(_),
            ..
        }
    ));
    assert!(body.protos.values().next().expect("proto").noreturn);
}

#[test]
fn parameters_are_laid_out() {
    let module = parse(
        ".version 8.4 .target sm_90 .address_size 64
        .entry k(.param .u8 a, .param .u64 .ptr .global .align 16 b, .param .align 16 .b8 c[20], .param .u16 d,
                 .param .v4 .f32 e, .param .u32 .ptr.shared f) { ret; }",
    );
    let func = &module.funcs[module.func_by_name("k").expect("k")];
    let layout: Vec<(u32, u32)> = func
        .params
        .iter()
        .map(|param| (param.offset, param.size))
        .collect();
    assert_eq!(layout, [(0, 1), (8, 8), (16, 20), (36, 2), (48, 16), (64, 4)]);
    assert_eq!(func.param_bytes, 68);
    let ptr = func.params[1].ptr.expect(".ptr");
    assert_eq!((ptr.space, ptr.align), (Some(Space::Global), 16));
    assert_eq!(func.params[5].ptr.expect(".ptr").align, 4);
}

#[test]
fn module_directives() {
    let module = parse(
        "// comment\n.version 9.1\n.target sm_100a, debug, texmode_independent\n.address_size 64\n
        .file 1 \"a.cu\", 123, 456\n.file 2 \"b.h\"\n.pragma \"nounroll\";
        .visible .entry k() .maxntid 128, 2 .reqntid 32 .minnctapersm 2 .maxnreg 64 .pragma \"nounroll\";
            .explicitcluster .reqnctapercluster 2, 1, 1 .maxclusterrank 8
        { .loc 1 10 3\n ret; .loc 2 7 1, function_name $L__info_string0, inlined_at 1 10 3\n trap;
          .pragma \"used_bytes_mask 0xff\"; exit; }
        .func g() .noreturn .abi_preserve 4 { trap; }
        .section .debug_str { $L__info_string0: .b8 95, 0 }",
    );
    assert_eq!(
        (module.version, module.target.sm, module.target.variant),
        ((9, 1), 100, Variant::Specific)
    );
    assert!(module.target.debug && module.target.texmode_independent);
    assert_eq!(module.files.len(), 2);
    assert_eq!(module.pragmas.len(), 1);
    let tuning = &module.funcs[module.func_by_name("k").expect("k")].tuning;
    assert_eq!(
        (tuning.max_ntid, tuning.req_ntid),
        (Some([128, 2, 1]), Some([32, 1, 1]))
    );
    assert_eq!(
        (tuning.min_cta_per_sm, tuning.max_regs, tuning.max_cluster_rank),
        (Some(2), Some(64), Some(8))
    );
    assert!(tuning.explicit_cluster);
    let body = body(&module);
    assert_eq!(
        body.lines
            .iter()
            .map(|line| (line.inst.as_u32(), line.line))
            .collect::<Vec<_>>(),
        [(0, 10), (1, 7)]
    );
    assert_eq!(body.pragmas.len(), 1);
    assert!(module.funcs[module.func_by_name("g").expect("g")].tuning.noreturn);
}

#[test]
fn variables_and_initialisers() {
    let module = parse(
        ".version 8.4 .target sm_90 .address_size 64
        .extern .shared .align 16 .b8 dynamic[];
        .visible .const .align 8 .f64 pi = 0d400921FB54442D18;
        .global .s32 x[3][2] = { {1,-2}, {3} };
        .global .u32 counted[] = { 2, 3, 5 + 2 };
        .global .f32 halves[4] = { 0.5, 0f3F800000, 1 };
        .global .v2 .u16 pair = { 1, 2 };
        .global .u64 self = generic(x) + 4;
        .global .u64 table[2] = { late, x };
        .global .u8 byte[2] = { 0xff00(x+8), 0xFF00(131187) };
        .global .attribute(.managed) .align 4 .b8 shared_with_host[12];
        .weak .global .u32 w; .common .global .u32 c; .align 8 .global .u32 early; .attribute(.managed) .global .u32 m;
        .global .texref t = { addr_mode_0 = clamp_to_edge, filter_mode = linear };
        .func late() { ret; }",
    );
    let var = |name: &str| &module.vars[module.var_by_name(name).unwrap_or_else(|| panic!("{name}"))];
    assert_eq!(
        (var("dynamic").size, var("dynamic").align, var("dynamic").linkage),
        (0, 16, Linkage::Extern)
    );
    let bytes = |name: &str| var(name).init.as_ref().expect("initialised").bytes.clone();
    assert_eq!(bytes("pi"), std::f64::consts::PI.to_le_bytes());
    let words = |name: &str| -> Vec<i32> {
        bytes(name)
            .chunks(4)
            .map(|chunk| i32::from_le_bytes(chunk.try_into().expect("4 bytes")))
            .collect()
    };
    assert_eq!(words("x"), [1, -2, 3], "what is not given is zero");
    assert_eq!(var("x").size, 24);
    assert_eq!((words("counted"), var("counted").size), (vec![2, 3, 7], 12));
    assert_eq!(bytes("halves"), [0.5f32, 1.0, 1.0].map(f32::to_le_bytes).concat());
    assert_eq!((bytes("pair"), var("pair").align), (vec![1, 0, 2, 0], 4));
    let relocation = var("self").init.as_ref().expect("initialised").relocations[0];
    assert_eq!(
        (relocation.addend, relocation.generic, relocation.width),
        (4, true, 8)
    );
    assert_eq!(
        relocation.target,
        Symbol::Var(module.var_by_name("x").expect("x"))
    );
    let table = &var("table").init.as_ref().expect("initialised").relocations;
    assert!(matches!(table[0].target, Symbol::Func(_)));
    assert_eq!((table[1].offset, table[1].generic), (8, false));
    let byte = var("byte").init.as_ref().expect("initialised");
    assert_eq!(
        (
            byte.relocations[0].shift,
            byte.relocations[0].addend,
            byte.relocations[0].width
        ),
        (8, 8, 1)
    );
    assert_eq!(byte.bytes, [0, 0x00]);
    assert!(var("shared_with_host").managed && var("m").managed);
    assert_eq!(var("early").align, 8);
    assert_eq!(
        (var("w").linkage, var("c").linkage),
        (Linkage::Weak, Linkage::Common)
    );
    assert_eq!(var("t").opaque_init.len(), 2);
}

#[test]
fn operand_forms() {
    let module = parse(
        ".version 8.4 .target sm_90 .address_size 64
        .global .align 16 .b32 array[8]; .global .texref tex_a; .global .surfref surf_a;
        .visible .entry k() {
            .reg .b16 %h<4>; .reg .b32 %r<9>; .reg .b64 %rd<4>; .reg .f32 %f<9>; .reg .pred %p<4>; .reg .v4 .f32 %v;
            mov.b32 %r1, {%h1, %h2};
            mov.b64 {_, %r2}, %rd1;
            mov.u64 %rd1, array+8;
            mov.u64 %rd2, array[2];
            ld.global.u32 %r3, array[1];
            ld.global.v4.f32 %v, [array];
            mov.f32 %f1, %v.y;
            shfl.sync.idx.b32 %r4|%p1, %r1, 0, 31, -1;
            setp.lt.and.s32 %p1|%p2, %r1, -(1+2), !%p3;
            tex.2d.v4.f32.f32 {%f1, %f2, %f3, %f4}, [tex_a, {%f5, %f6}];
            suld.b.1d.b32.trap %r5, [surf_a, {%r6}];
            vadd4.u32.u32.u32 %r1.b20, %r2.b7654, -%r3, %r4;
            ld.global.u32 %r7, [4096];
            mov.b64 %rd3, 0xffffffffffffffff;
            atom.global.add.u32 _, [array+4], 1;
            mov.u32 %r8, WARP_SZ;
        }",
    );
    let body = body(&module);
    let operands = |n: usize| &body.insts.as_slice()[n].operands;
    assert!(matches!(&operands(0)[1], Operand::Vec(items) if items.len() == 2));
    assert!(matches!(&operands(1)[0], Operand::Vec(items) if items[0] == Operand::Sink));
    assert!(matches!(operands(2)[1], Operand::Sym { offset: 8, .. }));
    assert!(matches!(operands(3)[1], Operand::Sym { offset: 8, .. }));
    assert!(matches!(
        operands(4)[1],
        Operand::Mem(Address::Sym { offset: 4, .. })
    ));
    assert!(matches!(&operands(5)[0], Operand::Vec(items) if items.len() == 4));
    assert!(matches!(operands(6)[1], Operand::Reg(reg) if body.reg_name(reg) == "%v.y"));
    assert!(matches!(&operands(7)[0], Operand::Pair(_)));
    assert_eq!(operands(7)[4], Operand::Int(-1));
    assert_eq!(operands(8)[2], Operand::Int(-3));
    assert!(matches!(operands(8)[3], Operand::Not(_)));
    assert!(matches!(&operands(9)[1], Operand::Bracket(items) if items.len() == 2));
    assert!(matches!(operands(11)[0], Operand::Part { negated: false, .. }));
    assert!(matches!(
        operands(11)[2],
        Operand::Part {
            negated: true,
            part: None,
            ..
        }
    ));
    assert!(matches!(operands(12)[1], Operand::Mem(Address::Abs(4096))));
    assert_eq!(operands(13)[1], Operand::Int(-1));
    assert_eq!(operands(15)[1], Operand::Int(32));
}

#[test]
fn bodies_are_parsed_when_asked_for() {
    let module = kernel("this is not PTX");
    let func = module.func_by_name("k").expect("k");
    let first = module.body(func).expect_err("not PTX");
    assert_eq!(first, module.body(func).expect_err("the same again"));
    assert_eq!(first.loc().line, 6);
}

#[test]
fn declarations_may_come_before_definitions() {
    let module = parse(
        ".version 8.4 .target sm_90 .address_size 64
        .extern .func (.param .b32 r) f(.param .b64 a);
        .func (.param .b32 r) f(.param .b64 a);
        .visible .func (.param .b32 r) f(.param .b64 b) { ret; }
        .extern .global .u32 g; .visible .global .u32 g = 4;
        .visible .func h(); .func body() { ret; } .alias h, body;",
    );
    let f = &module.funcs[module.func_by_name("f").expect("f")];
    assert_eq!(
        (f.defined, f.linkage, module.funcs.len()),
        (true, Linkage::Visible, 3)
    );
    assert_eq!(module.vars.len(), 1);
    let h = module.func_by_name("h").expect("h");
    assert_eq!(module.funcs[h].alias_of, module.func_by_name("body"));
}

#[test]
fn register_parameters() {
    let module = parse(
        ".version 8.4 .target sm_90 .address_size 64
        .func (.reg .b32 r) k(.reg .b32 a, .param .b32 b) { add.u32 r, a, 1; ret; }",
    );
    let body = body(&module);
    assert_eq!(
        (body.param_regs.len(), body.param_regs[1], body.ret_regs.len()),
        (2, None, 1)
    );
    assert_eq!(
        body.insts.as_slice()[0].operands[0],
        Operand::Reg(body.ret_regs[0].expect("in a register"))
    );
}

#[test]
fn nul_padding_is_ignored() {
    let text = b".version 8.4\n.target sm_90\n.address_size 64\n\0\0\0\0";
    assert!(parse_module(&text[..]).is_ok());
}
