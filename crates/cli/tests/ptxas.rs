//! `ptxas`: its messages, its exit codes, what it puts out. Words and forms were compared with the vendor's program of CUDA 13.5.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;
use tessera_fatbin::{linked_registers, unpack_linked};

const HEAD: &str = ".version 8.0\n.target sm_80\n.address_size 64\n";
const ONE: &str = ".visible .entry one(.param .u64 out) {\n.reg .b64 %a;\nld.param.u64 %a, [out];\nst.global.u32 [%a], 7;\nret;\n}\n";
const CALLER: &str = ".extern .func outside();\n.visible .entry caller() {\ncall outside, ();\nret;\n}\n";
const CALLED: &str = ".visible .func outside() {\nret;\n}\n";
const WAITS: &str = ".visible .entry waits() {\nwgmma.fence.sync.aligned;\nret;\n}\n";

/// A directory with files, and the program under its name.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(TempDir::new().unwrap());
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_tessera"), place.path("ptxas")).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, parts: &[&str]) {
        std::fs::write(self.path(name), parts.concat()).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(self.path("ptxas"));
        command
            .current_dir(self.0.path())
            .args(arguments)
            .output()
            .unwrap()
    }

    /// Assembles; gives what was said.
    fn good(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {said}");
        said
    }

    /// Fails; gives what was said but the last line, which is always the same.
    fn bad(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(255), "{arguments:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        let aborted = "ptxas fatal   : Ptx assembly aborted due to errors\n";
        said.strip_suffix(aborted).unwrap_or(&said).to_owned()
    }

    fn texts(&self, name: &str) -> Vec<String> {
        let packed = std::fs::read(self.path(name)).unwrap();
        let texts = unpack_linked(&packed).unwrap();
        let text = |(_, bytes): (&str, &[u8])| String::from_utf8(bytes.to_vec()).unwrap();
        texts.into_iter().map(text).collect()
    }
}

fn tessera(arguments: &[&str], file: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tessera"));
    command.args(arguments).arg(file).output().unwrap()
}

#[test]
fn tools_find_a_release() {
    let output = Place::new().run(&["--version"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("release 13.0, V13.0.0\n"), "{text}");
    assert!(output.stderr.is_empty() && output.status.success());
}

#[test]
fn what_is_put_out_is_the_text_and_loads() {
    let place = Place::new();
    place.write("a.ptx", &[HEAD, ONE, "\0"]);
    assert_eq!(place.good(&["a.ptx", "-arch=sm_90", "-o", "a.cubin"]), "");
    assert_eq!(place.texts("a.cubin"), [[HEAD, ONE].concat()]);
    let checked = tessera(&["ptx", "check"], &place.path("a.cubin"));
    assert!(checked.status.success());
    // Caches go by content: the name of the input is no part of it.
    place.write("b.ptx", &[HEAD, ONE]);
    place.good(&["b.ptx", "-arch=sm_90", "-maxrregcount", "32"]);
    assert_eq!(place.texts("elf.o"), place.texts("a.cubin"));
    let packed = std::fs::read(place.path("elf.o")).unwrap();
    assert_eq!(linked_registers(&packed), 32);
}

#[test]
fn verbose_says_what_the_engine_uses() {
    let place = Place::new();
    let shared = ".visible .entry two() {\n.shared .b8 s[48];\n.local .b8 l[20];\n.reg .b64 %a;\n.reg .b32 %b;\n\
        mov.u64 %a, s;\nld.shared.u32 %b, [%a];\nst.local.u32 [l+16], %b;\nst.shared.u32 [s+4], %b;\nret;\n}\n";
    place.write(
        "a.ptx",
        &[HEAD, ".global .b8 g[100];\n.const .b8 c[8];\n", ONE, shared],
    );
    let said = place.good(&["-v", "-warn-lmem-usage", "a.ptx", "-arch=sm_80"]);
    let mut lines = said.lines();
    assert_eq!(
        lines.next(),
        Some("ptxas warning : Local memory used for function 'two', size of stack frame: 32 bytes")
    );
    assert_eq!(
        lines.next(),
        Some("ptxas info    : 100 bytes gmem, 8 bytes cmem[3]")
    );
    for (kernel, frame, rest) in [("one", 0, ", 8 bytes cmem[0]"), ("two", 32, ", 48 bytes smem")] {
        let compiling = format!("ptxas info    : Compiling entry function '{kernel}' for 'sm_80'");
        assert_eq!(lines.next(), Some(compiling.as_str()));
        let properties = format!("ptxas info    : Function properties for {kernel}");
        assert_eq!(lines.next(), Some(properties.as_str()));
        let spills = format!("    {frame} bytes stack frame, 0 bytes spill stores, 0 bytes spill loads");
        assert_eq!(lines.next(), Some(spills.as_str()));
        let used = lines
            .next()
            .unwrap()
            .strip_prefix("ptxas info    : Used ")
            .unwrap();
        let registers = used
            .strip_suffix(rest)
            .unwrap()
            .strip_suffix(" registers")
            .unwrap();
        assert!((1..=255).contains(&registers.parse::<u32>().unwrap()), "{used}");
    }
    assert_eq!(lines.next(), None);
}

#[test]
fn errors_name_file_and_line() {
    let place = Place::new();
    place.write(
        "a.ptx",
        &[
            HEAD,
            ".visible .entry k() {\nfoo.u32 1;\nret;\n}\n",
            ".visible .entry j() {\nbra nowhere;\n}\n",
        ],
    );
    let said = place.bad(&["a.ptx", "-arch=sm_80", "-o", "a.cubin"]);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 2, "one of each function: {said}");
    assert!(lines[0].starts_with("ptxas a.ptx, line 5; error   : "), "{said}");
    assert!(lines[1].starts_with("ptxas a.ptx, line 9; error   : "), "{said}");
    assert!(!place.path("a.cubin").exists());
    place.write("b.ptx", &["no PTX"]);
    let missing = "ptxas b.ptx, line 1; fatal   : Missing .version directive at start of file 'b.ptx'\n";
    assert_eq!(place.bad(&["b.ptx"]), missing);
    assert_eq!(
        place.bad(&["c.ptx"]),
        "ptxas fatal   : Input file 'c.ptx' could not be opened\n"
    );
}

#[test]
fn a_text_is_for_its_architecture_and_later_ones() {
    let place = Place::new();
    place.write("a.ptx", &[HEAD, ONE]);
    let higher =
        "ptxas fatal   : SM version specified by .target is higher than default SM version assumed\n";
    assert_eq!(place.bad(&["a.ptx"]), higher);
    for good in ["sm_80", "sm_89", "sm_90a", "sm_100f"] {
        place.good(&["a.ptx", "-arch", good]);
    }
    place.write("b.ptx", &[&HEAD.replace("sm_80", "sm_90a"), ONE]);
    place.good(&["b.ptx", "-arch=sm_90a"]);
    let other = "ptxas fatal   : PTX with .target 'sm_90a' cannot be compiled for architecture 'sm_90'\n";
    assert_eq!(place.bad(&["b.ptx", "-arch=sm_90"]), other);
    let future = "ptxas fatal   : Program with .target 'sm_90a' cannot be compiled to future architecture\n";
    assert_eq!(place.bad(&["b.ptx", "-arch=sm_100a"]), future);
    place.write("c.ptx", &[&HEAD.replace("sm_80", "sm_100f"), ONE]);
    place.good(&["c.ptx", "-arch=sm_103"]);
    let family = "ptxas fatal   : Program with .target 'sm_100f' cannot be compiled to different SM-family architecture\n";
    assert_eq!(place.bad(&["c.ptx", "-arch=sm_120"]), family);
    place.good(&["a.ptx", "-arch=compute_80", "-o", "none"]);
    assert!(
        !place.path("none").exists(),
        "a virtual architecture has no output"
    );
}

#[test]
fn several_texts_are_one_module() {
    let place = Place::new();
    place.write("a.ptx", &[HEAD, CALLER]);
    place.write("b.ptx", &[HEAD, CALLED]);
    let unresolved = "ptxas fatal   : Unresolved extern function 'outside'\n";
    assert_eq!(place.bad(&["a.ptx", "-arch=sm_80"]), unresolved);
    place.good(&["a.ptx", "b.ptx", "-arch=sm_80", "-o", "ab.cubin"]);
    assert_eq!(
        place.texts("ab.cubin"),
        [[HEAD, CALLER].concat(), [HEAD, CALLED].concat()]
    );
    assert!(
        tessera(&["ptx", "check"], &place.path("ab.cubin"))
            .status
            .success()
    );
    let said = place.good(&["-c", "-v", "a.ptx", "-arch=sm_80"]);
    assert!(
        said.ends_with("ptxas info    : What 'caller' uses is known when it is linked\n"),
        "{said}"
    );
    let twice = "ptxas b.ptx, line 4; error   : Duplicate definition of function 'outside'\n";
    assert_eq!(place.bad(&["a.ptx", "b.ptx", "b.ptx", "-arch=sm_80"]), twice);
}

#[test]
fn a_kernel_that_cannot_be_executed_is_an_error_where_there_is_no_other() {
    let place = Place::new();
    let head = HEAD.replace("sm_80", "sm_90a");
    place.write("a.ptx", &[&head, WAITS]);
    let said = place.bad(&["a.ptx", "-arch=sm_90a"]);
    assert!(
        said.starts_with(
            "ptxas a.ptx, line 5; error   : Kernel 'waits' cannot be executed by this device: 'wgmma.fence"
        ),
        "{said}"
    );
    place.write("b.ptx", &[&head, WAITS, ONE]);
    let said = place.good(&["b.ptx", "-arch=sm_90a"]);
    assert!(
        said.starts_with("ptxas b.ptx, line 5; warning : Kernel 'waits'"),
        "{said}"
    );
    assert!(
        place
            .bad(&["b.ptx", "-arch=sm_90a", "-Werror"])
            .contains("; error   : Kernel 'waits'")
    );
    assert_eq!(place.good(&["b.ptx", "-arch=sm_90a", "-w"]), "");
}

#[test]
fn options_come_from_files_and_texts_from_arguments() {
    let place = Place::new();
    place.write("options", &["-arch=sm_80 -o\nby-file.o"]);
    place.good(&["-optf", "options", "-ias", &[HEAD, ONE].concat()]);
    assert_eq!(place.texts("by-file.o"), [[HEAD, ONE].concat()]);
    let unknown = "ptxas fatal   : Unknown option 'frob'\n";
    assert_eq!(place.bad(&["-frob", "a.ptx"]), unknown);
}
