//! Linking: what is matched, what clashes, what stays open.

use tessera_ptx::{
    LinkError, Linkage, Module, Opcode, Operand, Symbol, link, parse_module, print_module, verify,
};

const HEAD: &str = ".version 8.4\n.target sm_80\n.address_size 64\n";

fn module(text: &str) -> Module {
    parse_module(format!("{HEAD}{text}").into_bytes()).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

fn linked(texts: &[&str]) -> Result<Module, LinkError> {
    link(texts.iter().map(|text| module(text)).collect(), &["vprintf"])
}

const MAIN: &str = ".extern .func (.param .b32 r) scale(.param .b32 a);
.extern .global .u32 total;
.global .u32 own = 1;
.visible .entry k() {
    .reg .b32 %r<3>; .param .b32 arg; .param .b32 ret;
    ld.global.u32 %r1, [total];
    ld.global.u32 %r2, [own];
    st.param.b32 [arg], %r1;
    call (ret), scale, (arg);
    ret;
}";
const PART: &str = ".global .u32 own = 2;
.visible .global .u32 total = 40;
.visible .global .u64 where = own;
.func twice() { ret; }
.visible .func (.param .b32 r) scale(.param .b32 a) { .reg .b32 %r<2>; ld.global.u32 %r1, [own]; call twice; ret; }";

#[test]
fn names_are_matched_and_private_ones_stay_apart() {
    let module = linked(&[MAIN, PART]).expect("links");
    verify::verify_all(&module).expect("verifies");
    assert_eq!(module.vars.values().filter(|var| &*var.name == "own").count(), 2);
    assert_eq!(
        module
            .funcs
            .values()
            .filter(|func| &*func.name == "scale")
            .count(),
        1
    );
    let scale = module.func_by_name("scale").expect("scale");
    assert!(module.funcs[scale].defined);
    let k = module.body(module.func_by_name("k").expect("k")).expect("body");
    let call = k
        .insts
        .values()
        .find(|inst| inst.op == Opcode::Call)
        .expect("call");
    assert_eq!(
        call.operands[1],
        Operand::Sym {
            symbol: Symbol::Func(scale),
            offset: 0
        }
    );
    // Each text sees its own `own`.
    let own = |func: &str| {
        let body = module.body(module.func_by_name(func).expect(func)).expect("body");
        let symbols =
            body.insts
                .values()
                .flat_map(|inst| &inst.operands)
                .filter_map(|operand| match operand {
                    Operand::Mem(tessera_ptx::Address::Sym {
                        symbol: Symbol::Var(id),
                        ..
                    }) => Some(*id),
                    _ => None,
                });
        symbols
            .filter(|id| &*module.vars[*id].name == "own")
            .collect::<Vec<_>>()
    };
    assert_ne!(own("k"), own("scale"));
    let pointer = &module.vars[module.var_by_name("where").expect("where")];
    assert_eq!(
        pointer.init.as_ref().expect("init").relocations[0].target,
        Symbol::Var(own("scale")[0])
    );
}

#[test]
fn a_linked_module_prints_and_parses() {
    let module = linked(&[PART, MAIN]).expect("links");
    let text = print_module(&module).expect("prints");
    let again = parse_module(text.clone().into_bytes()).unwrap_or_else(|e| panic!("{e}\n{text}"));
    verify::verify_all(&again).unwrap_or_else(|e| panic!("{e}\n{text}"));
}

#[test]
fn clashes_name_both_places() {
    let error = linked(&[".visible .func f() { ret; }", "\n.visible .func f() { ret; }"]).expect_err("twice");
    assert_eq!(
        error.to_string(),
        "'f' is defined twice: module 1, line 4, column 16; module 2, line 5, column 16"
    );
    let error = linked(&[".visible .global .u32 x = 1;", ".visible .global .u32 x = 2;"]).expect_err("twice");
    assert!(matches!(error, LinkError::Duplicate { .. }), "{error}");
    for (a, b, what) in [
        (".extern .func f();", ".visible .global .u32 f;", "kind"),
        (
            ".extern .global .u32 x;",
            ".visible .const .u32 x;",
            "state space",
        ),
        (
            ".extern .func f(.param .b32 a);",
            ".visible .func f(.param .b64 a) { ret; }",
            "parameters",
        ),
    ] {
        let error = linked(&[a, b]).expect_err(what);
        assert!(
            error.to_string().contains(&format!("differs in {what}")),
            "{error}"
        );
    }
}

#[test]
fn a_result_that_is_not_given_is_not_looked_for() {
    let caller = ".extern .func (.param .b64 r) f(.param .b32 a);
.visible .entry k() {
    .param .b32 arg; .param .b64 ret;
    st.param.b32 [arg], 1;
    call (ret), f, (arg);
    ret;
}";
    let callee = ".visible .func f(.param .b32 a) { ret; }";
    for texts in [[caller, callee], [callee, caller]] {
        let module = linked(&texts).expect("links");
        verify::verify_all(&module).expect("verifies");
    }
    // A result of another size is no agreement.
    let other = ".visible .func (.param .b32 r) f(.param .b32 a) { ret; }";
    assert!(linked(&[caller, other]).is_err());
}

#[test]
fn undefined_names_matter_when_they_are_used() {
    assert!(linked(&[".extern .func missing(); .extern .global .u32 gone;"]).is_ok());
    let error =
        linked(&[".extern .func missing();\n.visible .entry k() { call missing; ret; }"]).expect_err("used");
    assert_eq!(
        error.to_string(),
        "'missing' is used but not defined; declared in module 1, line 4, column 15"
    );
    let error =
        linked(&[".extern .global .u32 gone; .global .u64 p = gone;"]).expect_err("in an initialiser");
    assert!(matches!(error, LinkError::Undefined { .. }), "{error}");
    let printf = ".extern .func (.param .b32 r) vprintf(.param .b64 a, .param .b64 b);
        .visible .entry k() { .param .b64 a; .param .b32 r; call (r), vprintf, (a, a); ret; }";
    assert!(linked(&[printf]).is_ok(), "the device supplies it");
    let dynamic =
        ".extern .shared .align 16 .b8 s[]; .visible .entry k() { .reg .b32 r; ld.shared.b32 r, [s]; ret; }";
    let other =
        ".extern .shared .align 32 .b8 s[]; .visible .entry l() { .reg .b32 r; ld.shared.b32 r, [s]; ret; }";
    let module = linked(&[dynamic, other]).expect("the launch supplies it");
    assert_eq!(module.vars[module.var_by_name("s").expect("s")].align, 32);
}

#[test]
fn weak_and_common_give_way() {
    let weak = ".weak .func (.param .b32 r) f() { ret; } .weak .global .u32 x = 1; .common .global .u32 c;";
    let strong = ".visible .func (.param .b32 r) f() { trap; } .visible .global .u32 x = 2; .common .global .u32 c[4];";
    for order in [[weak, strong], [strong, weak], [weak, weak]] {
        let module = linked(&order).expect("links");
        let strong_given = order.contains(&strong);
        let f = module.body(module.func_by_name("f").expect("f")).expect("body");
        assert_eq!(
            f.insts.values().next().expect("inst").op,
            if strong_given { Opcode::Trap } else { Opcode::Ret }
        );
        let x = &module.vars[module.var_by_name("x").expect("x")];
        assert_eq!(
            x.init.as_ref().expect("init").bytes[0],
            if strong_given { 2 } else { 1 }
        );
        assert_eq!(
            x.linkage,
            if strong_given {
                Linkage::Visible
            } else {
                Linkage::Weak
            }
        );
        let c = &module.vars[module.var_by_name("c").expect("c")];
        assert_eq!(c.size, if strong_given { 16 } else { 4 });
    }
}

#[test]
fn headers_are_merged() {
    let newer = parse_module(&b".version 9.0\n.target sm_90a\n.address_size 64\n"[..]).expect("parses");
    let module = link(vec![module(""), newer], &[]).expect("links");
    assert_eq!((module.version, module.target.sm), ((9, 0), 90));
    let small = parse_module(&b".version 9.0\n.target sm_90\n.address_size 32\n"[..]).expect("parses");
    assert_eq!(
        link(vec![module, small], &[]).expect_err("mixed"),
        LinkError::AddressSize(2)
    );
    assert_eq!(link(Vec::new(), &[]).expect_err("nothing"), LinkError::Empty);
}

#[test]
fn linked_modules_can_be_linked_again() {
    let half = linked(&[PART]).expect("links");
    let module = link(vec![half, module(MAIN)], &[]).expect("links");
    verify::verify_all(&module).expect("verifies");
}
