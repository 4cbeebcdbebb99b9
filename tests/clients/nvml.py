"""What nvidia-ml-py sees of the vGPU, before and while a program holds memory on it."""

import ctypes
import os

import pynvml


def things_around(handle):
    """Names, processors, the licence, and values that a vGPU does not have."""
    assert "python" in pynvml.nvmlSystemGetProcessName(os.getpid())
    near = pynvml.nvmlDeviceGetCpuAffinity(handle, 16)
    assert any(near), "near no processor"
    uuid = pynvml.nvmlDeviceGetUUID(handle)
    same = pynvml.nvmlDeviceGetHandleByUUIDV(uuid.encode(), pynvml.NVML_UUID_TYPE_ASCII)
    assert pynvml.nvmlDeviceGetUUID(same) == uuid
    assert pynvml.nvmlDeviceGetNumGpuCores(handle) > 0
    assert pynvml.nvmlDeviceGetPerformanceState(handle) == pynvml.nvmlDeviceGetPowerState(handle) == 0
    assert pynvml.nvmlDeviceGetEncoderSessions(handle) == []
    features = pynvml.nvmlDeviceGetGridLicensableFeatures_v4(handle)
    assert features.isGridLicenseSupported == 1 and features.licensableFeaturesCount == 1
    feature = features.gridLicensableFeatures[0]
    assert feature.productName == "NVIDIA Virtual Compute Server" and feature.featureState == 0, feature
    values = pynvml.nvmlDeviceGetFieldValues(handle, [pynvml.NVML_FI_DEV_ECC_CURRENT, (1, 0)])
    assert [v.nvmlReturn for v in values] == [pynvml.NVML_ERROR_NOT_SUPPORTED] * 2


FAULTY = b"""
.version 8.0
.target sm_80
.address_size 64
.visible .entry stray() { .reg .b64 %rd<2>; mov.u64 %rd1, 64; st.global.u64 [%rd1], %rd1; ret; }
.visible .entry trapped() { trap; }
"""


def faults_are_events(handle, cuda):
    """A kernel that faults is an Xid to whoever waits; a wait without one ends in time."""
    assert pynvml.nvmlDeviceGetSupportedEventTypes(handle) == pynvml.nvmlEventTypeXidCriticalError
    events = pynvml.nvmlEventSetCreate()
    try:
        pynvml.nvmlDeviceRegisterEvents(handle, pynvml.nvmlEventTypePState, events)
        raise AssertionError("changes of P-states are not reported")
    except pynvml.NVMLError_NotSupported:
        pass
    pynvml.nvmlDeviceRegisterEvents(handle, pynvml.nvmlEventTypeXidCriticalError, events)
    try:
        pynvml.nvmlEventSetWait_v2(events, 30)
        raise AssertionError("nothing has happened yet")
    except pynvml.NVMLError_Timeout:
        pass
    for name, xid, error in [(b"stray", 31, 700), (b"trapped", 13, 719)]:
        context, module, function = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_void_p()
        assert cuda.cuCtxCreate_v2(ctypes.byref(context), 0, 0) == 0
        assert cuda.cuModuleLoadData(ctypes.byref(module), FAULTY) == 0
        assert cuda.cuModuleGetFunction(ctypes.byref(function), module, name) == 0
        assert cuda.cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, None, None, None) == 0
        assert cuda.cuCtxSynchronize() == error
        event = pynvml.nvmlEventSetWait_v2(events, 10_000)
        assert (event.eventType, event.eventData) == (pynvml.nvmlEventTypeXidCriticalError, xid), event
        assert cuda.cuCtxDestroy_v2(context) == 0
    pynvml.nvmlEventSetFree(events)


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
    things_around(handle)
    faults_are_events(handle, cuda)
    pynvml.nvmlShutdown()
    print("PASS nvidia-ml-py: device, memory, processes, licence, events")


if __name__ == "__main__":
    main()
