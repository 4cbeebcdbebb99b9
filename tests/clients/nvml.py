"""What nvidia-ml-py sees of the vGPU, before and while a program holds memory on it."""

import ctypes
import os

import pynvml


def main():
    pynvml.nvmlInit()
    assert pynvml.nvmlDeviceGetCount() == 1
    handle = pynvml.nvmlDeviceGetHandleByIndex(0)
    name = pynvml.nvmlDeviceGetName(handle)
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    print("device:", name, "| driver", pynvml.nvmlSystemGetDriverVersion(), "|", memory.total >> 20, "MiB")
    assert name.startswith("NVIDIA ")
    assert memory.free + memory.used <= memory.total and memory.total > 0
    assert pynvml.nvmlDeviceGetUUID(handle).startswith("GPU-")
    assert int(pynvml.nvmlSystemGetDriverVersion().split(".")[0]) >= 580
    utilisation = pynvml.nvmlDeviceGetUtilizationRates(handle)
    assert 0 <= utilisation.gpu <= 100

    cuda = ctypes.CDLL("libcuda.so.1")
    context, block = ctypes.c_void_p(), ctypes.c_uint64()
    assert cuda.cuInit(0) == 0
    assert cuda.cuCtxCreate_v2(ctypes.byref(context), 0, 0) == 0
    size = 256 << 20
    assert cuda.cuMemAlloc_v2(ctypes.byref(block), ctypes.c_size_t(size)) == 0
    holding = pynvml.nvmlDeviceGetMemoryInfo(handle)
    print("held by this process:", (holding.used - memory.used) >> 20, "MiB")
    assert holding.used - memory.used >= size
    processes = pynvml.nvmlDeviceGetComputeRunningProcesses(handle)
    assert os.getpid() in [process.pid for process in processes], [process.pid for process in processes]
    assert cuda.cuMemFree_v2(block) == 0
    # NVML asks the worker by another way than the driver; an answer of the driver says that the worker has come past the free.
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    assert cuda.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total)) == 0
    assert pynvml.nvmlDeviceGetMemoryInfo(handle).used < holding.used
    pynvml.nvmlShutdown()
    print("PASS nvidia-ml-py: device, memory, processes")


if __name__ == "__main__":
    main()
