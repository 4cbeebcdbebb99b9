//! What is wrong is said with its place and the offending text; nothing panics.

use proptest::prelude::*;
use tessera_ptx::{ErrorKind, Module, parse_module, print_module, verify};

const HEAD: &str = ".version 8.4\n.target sm_90\n.address_size 64\n";

/// The first error of a text, in a header or in a body.
fn error(text: &str) -> tessera_ptx::Error {
    match parse_module(text.as_bytes()) {
        Err(error) => error,
        Ok(module) => verify::verify_all(&module).expect_err(text),
    }
}

fn in_kernel(text: &str) -> String {
    format!(
        "{HEAD}.global .u32 g; .const .u32 c; .func f(.param .b32 a);\n.entry k(.param .u64 q) {{\n.reg .pred %p<4>; .reg .b16 %h<4>; .reg .b32 %r<9>; .reg .b64 %rd<9>; .reg .f32 %f<9>; .reg .u32 %u<4>; .param .b64 wide;\n{text}\n}}"
    )
}

#[test]
fn errors_have_line_column_and_text() {
    for (text, line, column, near) in [
        ("foo.bar %r1;", 7, 1, "foo.bar"),
        ("  add.f23 %f1, %f2, %f3;", 7, 3, "add.f23"),
        ("add.s32 %r1, %r2, %x;", 7, 19, "%x"),
        ("\n\n   bra NOWHERE;", 9, 8, "NOWHERE"),
        ("ld.global.u32 %r1, [%rd1;", 7, 25, ";"),
        ("add.s32 %r1, %r2", 8, 1, ""),
        ("mov.u32 %r1, 0x;", 7, 14, "0x"),
    ] {
        let error = error(&in_kernel(text));
        assert_eq!(
            (error.loc().line, error.loc().column, error.near()),
            (line, column, near),
            "{text}: {error}"
        );
    }
    let error = error(&format!("{HEAD}.visible .entri k() {{}}"));
    assert_eq!(
        error.to_string(),
        "line 4, column 10: directive is unknown, near '.entri'"
    );
}

/// Lines of a kernel and a part of what is said about them.
const ILLEGAL_INSTRUCTIONS: &[(&str, &str)] = &[
    ("ld.global %r1, [%rd1];", "is missing"),
    ("add.rn.s32 %r1, %r2, %r3;", "'.s32' does not fit"),
    ("add.s32 %r1, %r2;", "takes 3 operands, has 2"),
    ("add.s32 %r1, %r2, %r3, %r4;", "takes 3 operands, has 4"),
    (
        "add.s32 %rd1, %r2, %r3;",
        "operand 1 of 'add': is a .b64 register where .s32",
    ),
    (
        "add.s32 %r1, %f2, %r3;",
        "operand 2 of 'add': is a .f32 register where .s32",
    ),
    ("add.f32 %f1, %u1, %f2;", "is a .u32 register where .f32"),
    ("add.f32 %f1, 1, %f2;", "is an integer constant"),
    ("add.s32 %r1, 0f3F800000, %r2;", "is a floating-point constant"),
    ("setp.eq.s32 %r1, %r2, %r3;", "must be a predicate register"),
    ("@%r1 ret;", "the guard is not a predicate"),
    ("ld.global.v2.u32 %r1, [%rd1];", "must be a vector of 2"),
    (
        "ld.global.v2.u32 {%r1, %r2, %r3}, [%rd1];",
        "must be a vector of 2",
    ),
    (
        "ld.global.v8.b64 {%rd1,%rd1,%rd1,%rd1,%rd1,%rd1,%rd1,%rd1}, [%rd1];",
        "at most 32 bytes",
    ),
    ("ld.global.u32 %r1, [%f1];", "has a .f32 register as address"),
    ("ld.global.u32 %r1, [c];", "lies in .const"),
    ("ld.shared.u32 %r1, [g];", "lies in .global"),
    ("ld.param.u64 %rd1, [g];", "lies in .global"),
    ("st.global.u32 [g], {%r1, %r2};", "has a part of type .b32"),
    ("mov.b64 %rd1, {%r1, %h1};", "has a part of type .b16"),
    ("mov.b64 {%r1, %r2}, {%r3, %r4};", "cannot be moved"),
    ("bra %r1;", "'%r1' is not declared"),
    ("call f, (%rd1);", "does not fit a parameter"),
    ("call f;", "has 0 arguments, the function 1"),
    ("call f, (wide);", "has 8 bytes, the parameter 4"),
    ("call g, (%r1);", "only a function or a register"),
    ("call %rd1, (%r1);", "needs a '.callprototype'"),
    ("lop3.b32 %r1, %r2, %r3, %r4, %r5;", "must be an integer constant"),
    (
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%f1,%f2,%f3,%f4}, {%r1,%r2,%r3}, {%r1,%r2}, {%f1,%f2,%f3,%f4};",
        "must be 4 registers, is 3",
    ),
    ("mov.u32 %r1, %tid;", "needs a component"),
    ("mul.wide.s32 %r1, %r2, %r3;", "where .s64 is needed"),
    (
        "shfl.sync.idx.b32 %r1|%r2, %r1, 0, 31, -1;",
        "must be a predicate register",
    ),
    ("shfl.sync.idx.b32 %r1, %r1, 0, 31;", "takes a member mask"),
    (
        "ld.global.L2::cache_hint.u32 %r1, [%rd1];",
        "takes a cache policy",
    ),
    ("ld.global.u32 %r1, [%rd1], %rd2;", "takes a cache policy"),
    ("ld.global.u32 %r1, [%r1];", "too narrow"),
    ("add.u32 %r1, %tid.x, 1;", "only 'mov' and integer 'cvt' can read"),
    ("add.u64 %rd1, %rd2, g;", "must be a register or a constant"),
    ("cvta.shared.u64 %rd1, g;", "lies in another state space"),
    ("add.f16 %h1, %h2, 15360;", "is an integer constant"),
    ("add.u32 _, %r1, %r2;", "cannot be discarded"),
    ("add.sat.u64 %rd1, %rd2, %rd3;", "does not fit here"),
    ("L: L: ret;", "already declared"),
    (".reg .b32 %rd; .reg .b64 %rd;", "already declared"),
    ("{ ret;", "without a matching '}'"),
    (
        "ts: .branchtargets L; brx.idx %r1, L; L:",
        "must be a '.branchtargets' list",
    ),
];

#[test]
fn illegal_instructions_are_refused() {
    let mut wrong = Vec::new();
    for (text, part) in ILLEGAL_INSTRUCTIONS {
        let error = error(&in_kernel(text));
        if !error.to_string().contains(part) {
            wrong.push(format!("{text}: {error}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Texts and a part of what is said about them.
const ILLEGAL_MODULES: &[(&str, &str)] = &[
    ("", "begins with '.version'"),
    (".version 8", "expected a version"),
    (".version 8.4\n.address_size 64", "'.target' must follow"),
    (".version 8.4 .target sm_x", "target is unknown"),
    (".version 8.4 .target sm_90 .address_size 16", "32 or 64"),
    (
        ".version 8.4 .target sm_90 .reg .b32 x;",
        "only be declared in a function",
    ),
    (
        ".version 8.4 .target sm_90 .global .u32 x; .global .u32 x;",
        "already declared",
    ),
    (
        ".version 8.4 .target sm_90 .entry k() {} .entry k() {}",
        "already declared",
    ),
    (
        ".version 8.4 .target sm_90 .entry k(.param .u32 a, .param .u32 a) {}",
        "already declared",
    ),
    (
        ".version 8.4 .target sm_90 .func f(.param .b32 a); .func f(.param .b64 a) {}",
        "declared differently",
    ),
    (
        ".version 8.4 .target sm_90 .global .u32 x[2] = {1,2,3};",
        "more initial values",
    ),
    (
        ".version 8.4 .target sm_90 .global .u32 x[];",
        "must be extern or have",
    ),
    (
        ".version 8.4 .target sm_90 .shared .u32 x = 1;",
        "can be initialised",
    ),
    (
        ".version 8.4 .target sm_90 .global .align 3 .u32 x;",
        "power of two",
    ),
    (
        ".version 8.4 .target sm_90 .global .u64 x = nothing;",
        "'nothing' is not declared",
    ),
    (
        ".version 8.4 .target sm_90 .shared .u64 y; .global .u64 x = y;",
        "address of something that has none",
    ),
    (
        ".version 8.4 .target sm_90 .global .b8 x[1099511627777];",
        "exceeds the limit",
    ),
    (
        ".version 8.4 .target sm_90 .entry k(.param .b8 x[2000000]) {}",
        "exceeds the limit",
    ),
    (
        ".version 8.4 .target sm_90 .entry k() {",
        "without a matching '}'",
    ),
    (
        ".version 8.4 .target sm_90 .func (.param .b32 r) f() .maxntid 1",
        "expected ';'",
    ),
    (
        ".version 8.4 .target sm_90 .global .pred p;",
        "only be a register",
    ),
    (
        ".version 8.4 .target sm_90 .global .u32 x = 1/0;",
        "division by zero",
    ),
];

#[test]
fn illegal_modules_are_refused() {
    for (text, part) in ILLEGAL_MODULES {
        let error = error(text);
        assert!(error.to_string().contains(part), "{text}: {error}");
    }
}

#[test]
fn limits_hold_against_hostile_texts() {
    let deep = "{".repeat(100_000) + &"}".repeat(100_000);
    let nested_vector = format!("mov.b32 %r1, {}%r2{};", "{".repeat(50_000), "}".repeat(50_000));
    let wide = format!("mov.b32 %r1, {{{}%r1}};", "%r1,".repeat(5000));
    let parentheses = format!("mov.b32 %r1, {};", "(".repeat(50_000));
    let registers = ".reg .b32 %q<99999999999>;".to_owned();
    for text in [deep, nested_vector, wide, parentheses, registers] {
        let error = error(&in_kernel(&text));
        let expected = matches!(error.kind(), ErrorKind::Limit { .. } | ErrorKind::Syntax(_));
        assert!(expected, "{error}");
    }
    let braces = format!("{HEAD}.global .u32 x[2][2] = {};", "{".repeat(100_000));
    assert!(parse_module(braces.into_bytes()).is_err());
    // Sparse numbers of a large range cost as much as the text that mentions them.
    let sparse = in_kernel(".reg .b32 %big<16777216>; mov.u32 %big16777215, %big3;");
    let module = parse_module(sparse.into_bytes()).expect("parses");
    verify::verify_all(&module).expect("verifies");
    // An initialiser cannot reach far beyond its text.
    let far = format!("{HEAD}.global .b8 x[64][1073741824] = {{{{1}},{{1}},{{1}}}};");
    assert!(matches!(error(&far).kind(), ErrorKind::Limit { .. }));
}

fn all(module: &Module) {
    if verify::verify_all(module).is_ok() {
        let text = print_module(module).expect("verified bodies print");
        let again = parse_module(text.clone().into_bytes()).unwrap_or_else(|e| panic!("{e}\n{text}"));
        verify::verify_all(&again).unwrap_or_else(|e| panic!("{e}\n{text}"));
        assert_eq!(print_module(&again).expect("prints"), text);
    }
}

const SEED: &str = include_str!("data/mixed.ptx");

#[test]
fn the_seed_is_legal() {
    let module = parse_module(SEED.as_bytes()).unwrap_or_else(|e| panic!("{e}"));
    verify::verify_all(&module).unwrap_or_else(|e| panic!("{e}"));
    all(&module);
}

#[test]
fn every_truncation_is_handled() {
    for end in 0..SEED.len() {
        if let Ok(module) = parse_module(&SEED.as_bytes()[..end]) {
            let _ = verify::verify_all(&module);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn noise_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), inside in any::<bool>()) {
        let text = if inside {
            [HEAD.as_bytes(), b".entry k() {\n", &bytes, b"\n}"].concat()
        } else {
            bytes
        };
        if let Ok(module) = parse_module(text) {
            all(&module);
        }
    }

    #[test]
    fn mutated_programs_never_panic(
        edits in proptest::collection::vec((0usize..SEED.len(), any::<u8>(), 0u8..3), 1..6),
    ) {
        let mut text = SEED.as_bytes().to_vec();
        for (at, byte, how) in edits {
            let at = at % text.len();
            match how {
                0 => text[at] = byte,
                1 => text.insert(at, byte),
                _ => { text.remove(at); }
            }
        }
        if let Ok(module) = parse_module(text) {
            all(&module);
        }
    }

    #[test]
    fn swapped_words_never_panic(swaps in proptest::collection::vec((any::<u16>(), any::<u16>()), 1..8)) {
        let mut words: Vec<&str> = SEED.split_inclusive([' ', '\n', ',']).collect();
        for (a, b) in swaps {
            let (a, b) = (usize::from(a) % words.len(), usize::from(b) % words.len());
            words.swap(a, b);
        }
        if let Ok(module) = parse_module(words.concat().into_bytes()) {
            all(&module);
        }
    }
}
