"""cuda.core and numba-cuda link with nvJitLink: two texts, files of the host, LTO-IR, and what cannot be linked."""

import os
import subprocess
import sys
import tempfile
import warnings

import numpy as np
import nvidia
from cuda.bindings import driver, nvjitlink
from cuda.core import Device, LaunchConfig, Linker, LinkerOptions, ObjectCode, Program, ProgramOptions, launch
from cuda.pathfinder import load_nvidia_dynamic_lib

CALLER = """
extern __device__ float twist(float x);
extern "C" __global__ void apply(float *x, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) x[i] = twist(x[i]);
}
"""
CALLED = "__device__ float table[2] = {3.0f, 0.5f}; __device__ float twist(float x) { return x * table[0] + table[1]; }"


def check(result):
    status, *values = result
    assert status == driver.CUresult.CUDA_SUCCESS, status
    return values[0] if values else None


def compiled(source, device, kind="ptx", **options):
    options = ProgramOptions(std="c++17", arch=f"compute_{device.arch}", relocatable_device_code=True, **options)
    return Program(source, code_type="c++", options=options).compile(kind)


def run(kernel, stream):
    """Launches the kernel on numbers and compares."""
    n = 1_000
    x = np.arange(n, dtype=np.float32)
    pointer = check(driver.cuMemAlloc(x.nbytes))
    check(driver.cuMemcpyHtoD(pointer, x.ctypes.data, x.nbytes))
    launch(stream, LaunchConfig(grid=8, block=128), kernel, np.uint64(int(pointer)), np.int32(n))
    stream.sync()
    got = np.empty_like(x)
    check(driver.cuMemcpyDtoH(got.ctypes.data, pointer, x.nbytes))
    check(driver.cuMemFree(pointer))
    np.testing.assert_array_equal(got, 3 * x + np.float32(0.5))


def texts(device, stream):
    """cuda.core's linker: two texts, one kernel."""
    options = LinkerOptions(arch=f"sm_{device.arch}")
    assert Linker.which_backend() == "nvJitLink", Linker.which_backend()
    linker = Linker(compiled(CALLER, device), compiled(CALLED, device), options=options)
    code = linker.link("cubin")
    run(code.get_kernel("apply"), stream)
    # The result is bytes like any other, and loads from them.
    run(ObjectCode.from_cubin(bytes(code.code)).get_kernel("apply"), stream)
    print("linked by cuda.core: two texts")


def objects(device, stream):
    """What the vendor's compiler makes of a source: an object file, and a library of it."""
    compiler = os.path.join(next(iter(nvidia.__path__)), "cu13/bin/nvcc")
    with tempfile.TemporaryDirectory() as place:
        source, made, library = (os.path.join(place, name) for name in ("called.cu", "called.o", "libcalled.a"))
        with open(source, "w") as file:
            file.write(CALLED)
        code = "arch=compute_80,code=compute_80"
        subprocess.run([compiler, "-dc", "-gencode", code, "-o", made, source], check=True)
        subprocess.run(["ar", "rcs", library, made], check=True)
        for part in (ObjectCode.from_object(made), ObjectCode.from_library(library)):
            linker = Linker(compiled(CALLER, device), part, options=LinkerOptions(arch=f"sm_{device.arch}"))
            run(linker.link("cubin").get_kernel("apply"), stream)
    print("linked by cuda.core: an object file, a library")


def open_name(device):
    """A name that nothing defines is told by its name."""
    linker = Linker(compiled(CALLER, device), options=LinkerOptions(arch=f"sm_{device.arch}"))
    try:
        linker.link("cubin")
    except Exception as error:
        assert "twist" in str(error) + linker.get_error_log(), error
    else:
        raise AssertionError("a name that nothing defines was linked")
    print("told by its name: what nothing defines")


def lto(device, stream):
    """LTO-IR goes through the vendor's library and comes back as PTX."""
    options = LinkerOptions(arch=f"sm_{device.arch}", link_time_optimization=True)
    parts = [compiled(source, device, "ltoir", link_time_optimization=True) for source in (CALLER, CALLED)]
    run(Linker(*parts, options=options).link("cubin").get_kernel("apply"), stream)
    print("linked by cuda.core: LTO-IR")


def numba():
    from numba import cuda, float32
    from numba.cuda.cudadrv.driver import _have_nvjitlink

    assert _have_nvjitlink()
    linked = cuda.CUSource("extern \"C\" __device__ int half(float *out, float x) { *out = x / 2; return 0; }")
    half = cuda.declare_device("half", float32(float32), link=linked)
    for lto in (True, False):

        @cuda.jit(lto=lto)
        def kernel(x):
            i = cuda.grid(1)
            if i < x.size:
                x[i] = half(x[i]) + 1

        x = np.arange(1_000, dtype=np.float32)
        on_device = cuda.to_device(x)
        kernel[8, 128](on_device)
        np.testing.assert_array_equal(on_device.copy_to_host(), x / 2 + 1)
        print(f"linked by numba-cuda: lto={lto}")


def main():
    found = load_nvidia_dynamic_lib("nvJitLink").abs_path
    ours = os.path.realpath(sys.argv[1])
    assert os.path.realpath(found) == ours, f"{found} was loaded, not {ours}"
    assert nvjitlink.version() >= (12, 3)
    warnings.simplefilter("ignore")
    device = Device()
    device.set_current()
    stream = device.create_stream()
    texts(device, stream)
    objects(device, stream)
    open_name(device)
    lto(device, stream)
    stream.close()
    numba()
    print("PASS nvJitLink")


if __name__ == "__main__":
    main()
