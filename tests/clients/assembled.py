"""What our `ptxas` puts out, as frameworks use it: loaded where a cubin is, and relocatable parts linked by the driver."""

import ctypes
import os
import subprocess
import tempfile
from pathlib import Path

CUDA = ctypes.CDLL("libcuda.so.1")
PTXAS = os.environ["TRITON_PTXAS_PATH"]
CUBIN = 0

HEAD = ".version 8.0\n.target sm_80\n.address_size 64\n"
KERNEL = """
.extern .func (.param .b32 result) scaled(.param .b32 value);
.visible .entry store(.param .u64 out) {
    .reg .b64 %rd<3>;
    .reg .b32 %r<3>;
    ld.param.u64 %rd1, [out];
    mov.u32 %r1, %tid.x;
    mul.wide.u32 %rd2, %r1, 4;
    add.s64 %rd1, %rd1, %rd2;
    {
        .param .b32 value;
        .param .b32 result;
        st.param.b32 [value], %r1;
        call (result), scaled, (value);
        ld.param.b32 %r2, [result];
    }
    st.global.u32 [%rd1], %r2;
    ret;
}
"""
FUNCTION = """
.visible .func (.param .b32 result) scaled(.param .b32 value) {
    .reg .b32 %r<3>;
    ld.param.b32 %r1, [value];
    mad.lo.u32 %r2, %r1, 3, 7;
    st.param.b32 [result], %r2;
    ret;
}
"""


def call(name, *arguments, expected=0):
    status = getattr(CUDA, name)(*arguments)
    assert status == expected, f"{name}: {status}"


def assemble(directory, name, *texts, options=()):
    """The output for these texts."""
    files = []
    for number, text in enumerate(texts):
        files.append(directory / f"{name}{number}.ptx")
        files[-1].write_text(HEAD + text)
    output = directory / f"{name}.cubin"
    subprocess.run([PTXAS, *options, "-arch=sm_80", *files, "-o", output], check=True)
    return output.read_bytes()


def run(image):
    """What the kernel of an image stores."""
    module, function, memory = (ctypes.c_void_p() for _ in range(3))
    call("cuModuleLoadData", ctypes.byref(module), image)
    call("cuModuleGetFunction", ctypes.byref(function), module, b"store")
    call("cuMemAlloc_v2", ctypes.byref(memory), ctypes.c_size_t(256))
    parameters = (ctypes.c_void_p * 1)(ctypes.cast(ctypes.pointer(memory), ctypes.c_void_p))
    call("cuLaunchKernel", function, 1, 1, 1, 64, 1, 1, 0, None, parameters, None)
    out = (ctypes.c_uint32 * 64)()
    call("cuMemcpyDtoH_v2", out, memory, ctypes.c_size_t(256))
    call("cuMemFree_v2", memory)
    call("cuModuleUnload", module)
    return list(out)


def linked(parts):
    """The image that the driver's linker makes of relocatable parts."""
    state, image, size = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_size_t()
    call("cuLinkCreate_v2", 0, None, None, ctypes.byref(state))
    for part in parts:
        call("cuLinkAddData_v2", state, CUBIN, part, ctypes.c_size_t(len(part)), None, 0, None, None)
    call("cuLinkComplete", state, ctypes.byref(image), ctypes.byref(size))
    copy = ctypes.string_at(image, size.value)
    call("cuLinkDestroy", state)
    return copy


def main():
    context = ctypes.c_void_p()
    call("cuInit", 0)
    call("cuDevicePrimaryCtxRetain", ctypes.byref(context), 0)
    call("cuCtxSetCurrent", context)
    expected = [3 * thread + 7 for thread in range(64)]
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        assert run(assemble(directory, "whole", KERNEL, FUNCTION)) == expected
        parts = [assemble(directory, part, text, options=["-c"]) for part, text in (("a", KERNEL), ("b", FUNCTION))]
        assert run(linked(parts)) == expected
        # A part alone is no module: what it calls is defined nowhere.
        module = ctypes.c_void_p()
        assert CUDA.cuModuleLoadData(ctypes.byref(module), parts[0]) != 0
    print("PASS ptxas: texts loaded, parts linked")


if __name__ == "__main__":
    main()
