"""cuda.core compiles C++ to PTX, launches it and copies the result back."""

import numpy as np
from cuda.core import Device, LaunchConfig, Program, ProgramOptions, launch

SOURCE = """
template <typename T> __global__ void saxpy(T a, const T *x, const T *y, T *out, size_t n) {
    for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < n; i += (size_t)gridDim.x * blockDim.x)
        out[i] = a * x[i] + y[i];
}
"""


def main():
    device = Device()
    device.set_current()
    stream = device.create_stream()
    print("device:", device.name)
    options = ProgramOptions(std="c++17", arch=f"compute_{device.arch}")
    program = Program(SOURCE, code_type="c++", options=options)
    module = program.compile("ptx", name_expressions=("saxpy<float>", "saxpy<double>"))
    for kind, name in ((np.float32, "saxpy<float>"), (np.float64, "saxpy<double>")):
        kernel = module.get_kernel(name)
        n = 10_001
        random = np.random.default_rng(3)
        x, y = random.random(n).astype(kind), random.random(n).astype(kind)
        size = n * x.itemsize
        buffers = [device.memory_resource.allocate(size, stream=stream) for _ in range(3)]
        copy_in(buffers[0], x, stream)
        copy_in(buffers[1], y, stream)
        scalar = kind(2)
        launch(stream, LaunchConfig(grid=8, block=128), kernel, scalar, buffers[0], buffers[1], buffers[2], np.uint64(n))
        got = copy_out(buffers[2], np.empty_like(x), stream)
        np.testing.assert_allclose(got, 2 * x + y, rtol=1e-6)
        for buffer in buffers:
            buffer.close(stream)
    stream.close()
    print("PASS cuda.core: two kernels from one template")


def copy_in(buffer, array, stream):
    from cuda.bindings import driver

    (status,) = driver.cuMemcpyHtoDAsync(int(buffer.handle), array.ctypes.data, array.nbytes, int(stream.handle))
    assert status == driver.CUresult.CUDA_SUCCESS, status
    stream.sync()


def copy_out(buffer, array, stream):
    from cuda.bindings import driver

    (status,) = driver.cuMemcpyDtoHAsync(array.ctypes.data, int(buffer.handle), array.nbytes, int(stream.handle))
    assert status == driver.CUresult.CUDA_SUCCESS, status
    stream.sync()
    return array


if __name__ == "__main__":
    main()
