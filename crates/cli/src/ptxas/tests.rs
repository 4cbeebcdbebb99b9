//! The command line: what is taken, what is refused, in which words.

use super::options::{Flag, Input, Options};
use super::says::{Fatal, Says};
use tessera_ptx::Variant;

fn parse(arguments: &[&str]) -> (Result<Options, Fatal>, Vec<String>) {
    let mut says = Says::default();
    let arguments = arguments.iter().map(Into::into).collect();
    (Options::parse(arguments, &mut says), says.lines)
}

fn good(arguments: &[&str]) -> Options {
    let (options, lines) = parse(arguments);
    assert!(lines.is_empty(), "{lines:?}");
    options.unwrap()
}

fn refusal(arguments: &[&str]) -> String {
    parse(arguments).0.unwrap_err().0
}

#[test]
fn values_stand_after_an_equals_sign_or_alone() {
    let options = good(&[
        "-lineinfo",
        "-v",
        "--gpu-name=sm_90a",
        "/t/a.ptx",
        "-o",
        "/t/a.o",
        "-O3",
        "-m64",
    ]);
    assert_eq!(options.inputs, [Input::File("/t/a.ptx".into())]);
    assert_eq!(options.output.to_str(), Some("/t/a.o"));
    assert!(options.has(Flag::Verbose) && !options.has(Flag::Relocatable));
    let target = &options.architecture.target;
    assert_eq!((target.sm, target.variant), (90, Variant::Specific));
    let options = good(&[
        "--output-file=/t/a.o",
        "--opt-level",
        "0",
        "-maxrregcount=64",
        "b.ptx",
        "a.ptx",
        "-c",
    ]);
    assert_eq!(
        options.inputs,
        [Input::File("b.ptx".into()), Input::File("a.ptx".into())]
    );
    assert_eq!(
        (options.max_registers, options.has(Flag::Relocatable)),
        (64, true)
    );
}

#[test]
fn what_frameworks_pass_is_taken() {
    // Triton's, XLA's.
    good(&[
        "-lineinfo",
        "--fmad=false",
        "-v",
        "--regAllocOptLevel=2",
        "--gpu-name=sm_80",
        "a.ptx",
        "-o",
        "a.o",
    ]);
    good(&[
        "a.ptx",
        "-o",
        "a.o",
        "-arch=sm_90a",
        "--warn-on-spills",
        "-v",
        "-c",
        "-g",
        "-suppress-debug-info",
    ]);
}

#[test]
fn long_names_have_two_dashes_and_short_ones_one() {
    assert_eq!(refusal(&["--arch=sm_80"]), "Unknown option '-arch'");
    assert_eq!(refusal(&["-gpu-name=sm_80"]), "Unknown option 'gpu-name'");
    assert_eq!(refusal(&["-Ofast"]), "Unknown option 'Ofast'");
    assert_eq!(refusal(&["a.ptx", "-o"]), "argument expected after '-o'");
}

#[test]
fn values_are_checked() {
    for name in ["sm_20", "sm_80a", "sm_90f", "sm_", "lto_90", "90"] {
        let text = format!("Value '{name}' is not defined for option 'gpu-name'");
        assert_eq!(refusal(&["-arch", name]), text);
    }
    assert_eq!(
        refusal(&["-m32"]),
        "Value '32' is not defined for option 'machine'"
    );
    assert_eq!(refusal(&["-fmad=maybe"]), "'maybe': expected true or false");
    assert_eq!(
        refusal(&["-maxrregcount=x"]),
        "Invalid value 'x' for option 'maxrregcount'"
    );
}

#[test]
fn what_would_change_the_code_is_refused() {
    for arguments in [
        &["--sanitize=memcheck"][..],
        &["-maxntid", "32"],
        &["-device-stack-protector=true"],
    ] {
        assert!(refusal(arguments).contains("is not supported"), "{arguments:?}");
    }
    good(&["-device-stack-protector=false"]);
}

#[test]
fn warnings_are_left_out_or_errors_by_an_option_that_may_come_later() {
    let many = "ptxas warning : Too big maxrregcount value specified 300, will be ignored";
    let (options, lines) = parse(&["-maxrregcount", "300"]);
    assert_eq!(
        (options.unwrap().max_registers, lines),
        (0, vec![many.to_owned()])
    );
    assert!(parse(&["-maxrregcount", "300", "-w"]).1.is_empty());
    assert_eq!(
        parse(&["-maxrregcount", "300", "-Werror"]).1,
        [many.replace("warning", "error  ")]
    );
}
