"""Result codes of two nvJitLink libraries, call by call: ours and the vendor's of the same version. Neither needs a device.

Every case runs in a process of its own, since some end the vendor's. What differs on purpose is listed with its reason; such a case fails
when it no longer differs.
"""

import ctypes
import os
import sys
import tempfile

CODES = (
    "SUCCESS UNRECOGNIZED_OPTION MISSING_ARCH INVALID_INPUT PTX_COMPILE NVVM_COMPILE INTERNAL THREADPOOL UNRECOGNIZED_INPUT FINALIZE"
    " NULL_INPUT INCOMPATIBLE_OPTIONS INCORRECT_INPUT_TYPE ARCH_MISMATCH OUTDATED_LIBRARY MISSING_FATBIN UNRECOGNIZED_ARCH"
    " UNSUPPORTED_ARCH LTO_NOT_ENABLED"
).split()
CUBIN, PTX, LTOIR, FATBIN, OBJECT, LIBRARY, INDEX, ANY = 1, 2, 3, 4, 5, 6, 7, 10

HEAD = b".version 8.0\n.target sm_80\n.address_size 64\n"
FUNCTION = HEAD + b""".visible .func (.param .b32 r) next (.param .b32 a)
{ .reg .b32 %v; ld.param.b32 %v, [a]; add.s32 %v, %v, 1; st.param.b32 [r], %v; ret; }\n"""
KERNEL = HEAD + b""".extern .func (.param .b32 r) next (.param .b32 a);
.visible .entry k(.param .u64 p)
{ .reg .b64 %d; .reg .b32 %v; ld.param.u64 %d, [p]; ld.global.u32 %v, [%d];
{ .param .b32 a; .param .b32 r; st.param.b32 [a], %v; call (r), next, (a); ld.param.b32 %v, [r]; }
st.global.u32 [%d], %v; ret; }\n"""
VARIABLE = HEAD + b".visible .global .align 4 .u32 v = 5;\n"
BROKEN = HEAD + b".visible .func f() { foo.u32 %r1, 3; ret; }\n"
NEWER = FUNCTION.replace(b"sm_80", b"sm_90")
SPECIFIC = FUNCTION.replace(b"sm_80", b"sm_90a")
GARBAGE = b"garbage " * 8

TWICE = "the vendor's prints the duplicate on standard output and drops one definition; ours fails"
DIFFERS = {
    "option -device-stack-protector": "the header has it, the vendor's library refuses it",
    "option -Xptxas=--nonsense": "options of the assembler mean nothing here",
    "link twice a function": TWICE,
    "link twice a variable": TWICE,
    "link open name": "the vendor's leaves a cubin with the name open",
}


def name(code):
    return CODES[code] if 0 <= code < len(CODES) else str(code)


class Link:
    def __init__(self, library, options):
        self.library, self.handle = library, ctypes.c_void_p()
        array = (ctypes.c_char_p * max(1, len(options)))(*[option.encode() for option in options])
        self.created = library.nvJitLinkCreate(ctypes.byref(self.handle), len(options), array)

    def add(self, kind, data):
        return self.library.nvJitLinkAddData(self.handle, kind, data, ctypes.c_size_t(len(data)), b"input")

    def complete(self):
        return self.library.nvJitLinkComplete(self.handle)

    def size(self, what):
        size = ctypes.c_size_t()
        return getattr(self.library, f"nvJitLinkGet{what}Size")(self.handle, ctypes.byref(size))

    def destroy(self):
        code = self.library.nvJitLinkDestroy(ctypes.byref(self.handle))
        return [code] + ([] if self.handle.value is None else [99])


def create(*options):
    return lambda library: [Link(library, options).created]


def links(options, *inputs):
    def run(library):
        link = Link(library, options)
        codes = [link.created] + [link.add(kind, data) for kind, data in inputs]
        codes += [link.complete(), link.size("LinkedCubin"), link.size("LinkedPtx"), link.size("ErrorLog"), link.size("InfoLog")]
        return codes + link.destroy()

    return run


def with_link(call):
    return lambda library: [call(library, Link(library, ["-arch=sm_80"]).handle)]


def twice(library):
    link = Link(library, ["-arch=sm_80"])
    return [link.add(PTX, FUNCTION), link.complete(), link.complete(), link.add(PTX, VARIABLE), link.size("LinkedCubin")]


def add_file(path):
    return with_link(lambda library, handle: library.nvJitLinkAddFile(handle, PTX, path))


def cases(major, empty):
    arch = ["-arch=sm_80"]
    options = """-fictitious -O -O0 -O1 -O2 -O3 -O4 -g -G -lineinfo -maxrregcount=32 -maxrregcount=abc -maxrregcount= -maxrregcount
        -maxrregcount=-1 -ftz=1 -ftz -prec-div=0 -prec-sqrt=0 -fma=1 -fmad=1 -kernels-used=k -kernels-used= -kernels-used
        -variables-used=v -optimize-unused-variables -Xptxas=-v -Xptxas= -Xptxas -split-compile=0 -split-compile-extended=4
        -jump-table-density=50 -no-cache -device-stack-protector -time -verbose -Xnvvm=-x -lto -dlto -ptx -r
        -relocatable-device-code --verbose -cubin foo""".split()
    for option in options + [""]:
        yield f"option {option}", create(*arch, option)
    architectures = """20 35 50 60 70 72 75 76 80 80a 81 84 86 87 88 89 90 90a 90f 91 95 100 100a 100f 101 103 103f 110 110a 111 120 121
        122 130 999 XX""".split()
    for number in architectures:
        yield f"architecture {number}", create(f"-arch=sm_{number}")
    for value in ["", "80", "sm80", "SM_80", "sm_"]:
        yield f"architecture value {value}", create(f"-arch={value}")
    virtual = "-arch=compute_80"
    for several in [[], ["-lto"], [virtual], [virtual, "-ptx"], [virtual, "-lto"], [virtual, "-lto", "-ptx"], ["-arch", "sm_80"]]:
        yield f"options {several}", create(*several)

    yield "null version", lambda library: [library.nvJitLinkVersion(None, None)]
    yield "null handle's place", lambda library: [library.nvJitLinkCreate(None, 1, (ctypes.c_char_p * 1)(b"-arch=sm_80"))]
    yield "null options", lambda library: [library.nvJitLinkCreate(ctypes.byref(ctypes.c_void_p()), 0, None)]
    yield "destroy null", lambda library: [library.nvJitLinkDestroy(None), library.nvJitLinkDestroy(ctypes.byref(ctypes.c_void_p()))]
    yield "complete null", lambda library: [library.nvJitLinkComplete(None)]
    yield "add to null", lambda library: [library.nvJitLinkAddData(None, PTX, FUNCTION, ctypes.c_size_t(len(FUNCTION)), b"x")]
    yield "add nothing", with_link(lambda library, handle: library.nvJitLinkAddData(handle, PTX, FUNCTION, ctypes.c_size_t(0), b"x"))
    yield "add null", with_link(lambda library, handle: library.nvJitLinkAddData(handle, PTX, None, ctypes.c_size_t(0), b"x"))
    yield "add without a name", with_link(
        lambda library, handle: library.nvJitLinkAddData(handle, PTX, FUNCTION, ctypes.c_size_t(len(FUNCTION)), None)
    )
    getters = ["LinkedCubin", "LinkedPtx", "ErrorLog", "InfoLog"] + (["LinkedLTOIR"] if major >= 13 else [])
    for getter in getters:
        for form in (getter, getter + "Size"):
            function = f"nvJitLinkGet{form}"
            yield f"{function} to null", with_link(lambda library, handle, f=function: getattr(library, f)(handle, None))
            yield f"{function} of null", lambda library, f=function: [getattr(library, f)(None, ctypes.byref(ctypes.c_size_t()))]
        yield f"{getter} too early", lambda library, g=getter: [Link(library, arch).size(g)]
    yield "file that is not there", add_file(b"/nonexistent/file.ptx")
    yield "file without content", add_file(empty.encode())
    yield "null file", add_file(None)
    yield "complete again", twice

    def link(title, extra, *inputs):
        return f"link {title}", links(arch + extra, *inputs)

    yield link("nothing", [])
    yield link("one text", [], (PTX, FUNCTION))
    yield link("one text with its NUL", [], (PTX, FUNCTION + b"\0"))
    yield link("two texts", [], (PTX, KERNEL), (PTX, FUNCTION))
    yield link("two texts, the other order", [], (PTX, FUNCTION), (ANY, KERNEL))
    yield link("open name", [], (PTX, KERNEL))
    yield link("twice a function", [], (PTX, FUNCTION), (PTX, FUNCTION))
    yield link("twice a variable", [], (PTX, VARIABLE), (PTX, VARIABLE))
    yield link("broken", [], (PTX, BROKEN))
    yield link("newer", [], (PTX, NEWER))
    yield link("for another architecture only", [], (PTX, SPECIFIC))
    yield link("text with -lto", ["-lto"], (PTX, FUNCTION))
    yield link("text with -lto -ptx", ["-lto", "-ptx"], (PTX, FUNCTION))
    yield "link text for a virtual architecture", links([virtual, "-lto", "-ptx"], (PTX, FUNCTION))
    if major >= 13:
        yield link("relocatable", ["-r"], (PTX, KERNEL))
    for kind in (0, CUBIN, PTX, LTOIR, FATBIN, OBJECT, LIBRARY, INDEX, ANY, 99):
        yield link(f"garbage as {kind}", [], (kind, GARBAGE))
        if kind not in (PTX, ANY):
            yield link(f"text as {kind}", [], (kind, FUNCTION))
    yield link("LTO-IR that is none", ["-lto"], (LTOIR, GARBAGE))
    yield link("empty archive", [], (LIBRARY, b"!<arch>\n"))
    yield link("broken archive", [], (LIBRARY, b"!<arch>\nx"))
    yield "option -Xptxas=--nonsense", links(arch + ["-Xptxas=--nonsense"], (PTX, FUNCTION))


def outcome(path, case):
    """What a library answers, from a process of its own."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        # The vendor's library prints.
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        try:
            answer = " ".join(name(code) for code in case(ctypes.CDLL(path)))
            os.write(writer, answer.encode())
        except BaseException as error:
            os.write(writer, repr(error).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        answer = pipe.read()
    _, status = os.waitpid(pid, 0)
    return answer if status == 0 else "died"


def main(ours, vendors, major):
    same, died, wrong = 0, [], []
    empty = tempfile.NamedTemporaryFile(suffix=".ptx")
    for title, case in cases(major, empty.name):
        mine, theirs = outcome(ours, case), outcome(vendors, case)
        if mine == "died":
            wrong.append(f"{title}: ours died")
        elif theirs == "died":
            died.append(title)
        elif (mine != theirs) != (title in DIFFERS):
            wrong.append(f"{title}: ours {mine}, the vendor's {theirs}")
        else:
            same += mine == theirs
    for line in wrong:
        print(f"        {line}")
    print(f"  {'FAIL' if wrong else 'PASS'}  nvJitLink {major}: {same} answers are the vendor's, {len(DIFFERS)} differ on purpose, "
          f"{len(died)} have none since the vendor's ends its process: {', '.join(died) or '-'}")
    return 1 if wrong or same < 100 else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
