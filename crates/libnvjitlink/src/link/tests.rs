//! Links without a device.

use super::*;
use tessera_fatbin::builder::{NewEntry, fatbin};
use tessera_fatbin::{linked_registers, unpack_linked};

const KERNEL: &[u8] = b".version 8.0
.target sm_80
.address_size 64
.extern .func (.param .b32 r) next (.param .b32 a);
.visible .entry k(.param .u64 p)
{
    .reg .b64 %d;
    .reg .b32 %v;
    ld.param.u64 %d, [p];
    ld.global.u32 %v, [%d];
    {
        .param .b32 a;
        .param .b32 r;
        st.param.b32 [a], %v;
        call (r), next, (a);
        ld.param.b32 %v, [r];
    }
    st.global.u32 [%d], %v;
    ret;
}
\0";

const FUNCTION: &[u8] = b".version 8.0
.target sm_80
.address_size 64
.visible .func (.param .b32 r) next (.param .b32 a)
{
    .reg .b32 %v;
    ld.param.b32 %v, [a];
    add.s32 %v, %v, 1;
    st.param.b32 [r], %v;
    ret;
}
";

const LTO: &[u8] = b"\xed\x43\x4e\x7f\x01";

fn link(options: &[&str]) -> Link {
    let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
    let (link, result) = Link::new(&options);
    assert_eq!(result, Ok(()), "{}", link.error_log());
    link
}

fn names(image: &[u8]) -> Vec<&str> {
    unpack_linked(image)
        .unwrap()
        .into_iter()
        .map(|(name, _)| name)
        .collect()
}

#[test]
fn texts_that_need_each_other_are_linked_in_any_order() {
    for order in [[("k", KERNEL), ("f", FUNCTION)], [("f", FUNCTION), ("k", KERNEL)]] {
        let mut link = link(&["-arch=sm_80", "-maxrregcount=40", "-verbose"]);
        for (name, text) in order {
            assert_eq!(link.add(Some(Input::Ptx), name, text), Ok(()));
        }
        assert_eq!(link.cubin().unwrap_err(), Code::Internal);
        assert_eq!(link.complete(), Ok(()), "{}", link.error_log());
        let image = link.cubin().unwrap();
        assert_eq!(names(image), order.map(|(name, _)| name));
        assert_eq!(linked_registers(image), 40);
        assert!(
            link.info_log().contains("k: 1 kernels, 0 bytes"),
            "{}",
            link.info_log()
        );
        assert_eq!(
            (link.error_log(), link.ptx().unwrap_err()),
            ("", Code::InvalidInput)
        );
        assert_eq!(link.complete(), Err(Code::Internal));
        assert_eq!(link.add(Some(Input::Ptx), "late", FUNCTION), Err(Code::Internal));
    }
}

#[test]
fn a_result_is_an_input() {
    let mut first = link(&["-arch=sm_80", "-r"]);
    first.add(Some(Input::Any), "k", KERNEL).unwrap();
    first.complete().unwrap();
    let mut second = link(&["-arch=sm_80"]);
    second
        .add(Some(Input::Cubin), "first", first.cubin().unwrap())
        .unwrap();
    let function = fatbin(&[NewEntry::ptx(80, FUNCTION)]);
    second.add(Some(Input::Fatbin), "f", &function).unwrap();
    assert_eq!(second.complete(), Ok(()), "{}", second.error_log());
    assert_eq!(names(second.cubin().unwrap()), ["k", "f"]);
}

#[test]
fn names_that_do_not_resolve_are_told() {
    let mut open = link(&["-arch=sm_80"]);
    open.add(Some(Input::Ptx), "k.ptx", KERNEL).unwrap();
    assert_eq!(open.complete(), Err(Code::Internal));
    assert!(
        open.error_log()
            .contains("Undefined reference to 'next' in 'k.ptx'"),
        "{}",
        open.error_log()
    );
    assert_eq!(open.cubin().unwrap_err(), Code::Internal);

    let mut twice = link(&["-arch=sm_80"]);
    twice.add(Some(Input::Ptx), "a.ptx", FUNCTION).unwrap();
    twice.add(Some(Input::Ptx), "b.ptx", FUNCTION).unwrap();
    assert_eq!(twice.complete(), Err(Code::Internal));
    let words = "Multiple definition of 'next' in 'b.ptx', first defined in 'a.ptx'";
    assert!(twice.error_log().contains(words), "{}", twice.error_log());
}

#[test]
fn what_is_wrong_with_an_input_is_told_when_it_is_added() {
    let broken = [FUNCTION, b".visible .func f() { foo.u32 %x, 3; ret; }\n"].concat();
    let newer = String::from_utf8_lossy(FUNCTION)
        .replace("sm_80", "sm_90")
        .into_bytes();
    let mut native = vec![0; 64];
    native[..4].copy_from_slice(b"\x7fELF");
    let object = native.clone();
    native[ELF_MACHINE..ELF_MACHINE + 2].copy_from_slice(&ELF_MACHINE_CUDA);
    let cases: [(Option<Input>, &[u8], Code); 13] = [
        (Some(Input::Ptx), &broken, Code::PtxCompile),
        (Some(Input::Ptx), &newer, Code::PtxCompile),
        (Some(Input::Ptx), b"hello", Code::IncorrectInputType),
        (Some(Input::Cubin), FUNCTION, Code::IncorrectInputType),
        (Some(Input::Index), FUNCTION, Code::IncorrectInputType),
        (Some(Input::LtoIr), FUNCTION, Code::IncorrectInputType),
        (Some(Input::Ptx), LTO, Code::IncorrectInputType),
        (Some(Input::LtoIr), LTO, Code::LtoNotEnabled),
        (Some(Input::Any), b"hello", Code::UnrecognizedInput),
        (None, FUNCTION, Code::IncorrectInputType),
        (Some(Input::Cubin), &native, Code::InvalidInput),
        (Some(Input::Object), &object, Code::InvalidInput),
        (Some(Input::Library), b"!<arch>\nx", Code::Internal),
    ];
    for (number, (input, bytes, code)) in cases.into_iter().enumerate() {
        let mut link = link(&["-arch=sm_80"]);
        assert_eq!(link.add(input, "the input", bytes), Err(code), "case {number}");
        assert!(
            link.error_log().contains("the input"),
            "case {number}: {}",
            link.error_log()
        );
        assert_eq!(link.complete(), Ok(()), "the link is as it was before");
        assert_eq!(names(link.cubin().unwrap()), ["nothing"]);
    }
}

#[test]
fn lto_needs_lto_ir_and_a_compiler_for_it() {
    let mut without = link(&["-arch=sm_80", "-lto"]);
    without.add(Some(Input::Ptx), "f", FUNCTION).unwrap();
    assert_eq!(without.complete(), Err(Code::NvvmCompile));

    let mut mixed = link(&["-arch=sm_80", "-lto", "-ptx"]);
    mixed.add(Some(Input::Ptx), "f", FUNCTION).unwrap();
    mixed.add(Some(Input::LtoIr), "k.ltoir", LTO).unwrap();
    assert_eq!(mixed.complete(), Err(Code::IncorrectInputType));
    assert_eq!(mixed.ptx().unwrap_err(), Code::Internal);

    let mut alone = link(&["-arch=sm_80", "-lto"]);
    alone.add(Some(Input::Any), "k.ltoir", LTO).unwrap();
    assert_eq!(alone.complete(), Err(Code::NvvmCompile));
    assert!(
        alone.error_log().contains("k.ltoir is LTO-IR"),
        "{}",
        alone.error_log()
    );
}

#[test]
fn options_that_are_refused_leave_a_log() {
    let (mut link, result) = Link::new(&["-arch=sm_80".to_owned(), "-nonsense".to_owned()]);
    assert_eq!(result, Err(Code::UnrecognizedOption));
    assert_eq!(link.error_log(), "unrecognized option: -nonsense\n");
    assert_eq!(link.add(Some(Input::Ptx), "f", FUNCTION), Err(Code::Internal));
    assert_eq!(link.complete(), Err(Code::Internal));
}
