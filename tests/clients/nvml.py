"""What nvidia-ml-py sees of the vGPU, before and while a program holds memory on it."""

import ctypes
import os
import time

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


BUSY = b"""
.version 8.0
.target sm_80
.address_size 64
.visible .entry busy()
{
  .reg .pred %p; .reg .b64 %rd<3>;
  mov.u64 %rd1, %globaltimer; add.u64 %rd1, %rd1, 2000000000;
again:
  mov.u64 %rd2, %globaltimer; setp.lt.u64 %p, %rd2, %rd1; @%p bra again;
  ret;
}
"""


def soon(ask):
    """What is answered once a period has been measured in which something ran."""
    for _ in range(100):
        try:
            return ask()
        except pynvml.NVMLError_NotFound:
            time.sleep(0.02)
    raise AssertionError("nothing was measured")


def use_is_by_process(handle, cuda):
    """A process whose kernel runs has a share of the time; one that asks for what is still to come is told that there is nothing."""
    module, function = ctypes.c_void_p(), ctypes.c_void_p()
    assert cuda.cuModuleLoadData(ctypes.byref(module), BUSY) == 0
    assert cuda.cuModuleGetFunction(ctypes.byref(function), module, b"busy") == 0
    assert cuda.cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, None, None, None) == 0
    for ask in (pynvml.nvmlDeviceGetProcessUtilization, pynvml.nvmlDeviceGetProcessesUtilizationInfo):
        mine = [sample for sample in soon(lambda: ask(handle, 0)) if sample.pid == os.getpid()]
        assert len(mine) == 1 and 0 < mine[0].smUtil <= 100 and mine[0].timeStamp > 0, mine
        assert mine[0].encUtil == mine[0].decUtil == 0
        try:
            ask(handle, 1 << 63)
            raise AssertionError("a sample of the future")
        except pynvml.NVMLError_NotFound:
            pass
    kind, samples = pynvml.nvmlDeviceGetSamples(handle, pynvml.NVML_GPU_UTILIZATION_SAMPLES, 0)
    assert kind == pynvml.NVML_VALUE_TYPE_UNSIGNED_INT and len(samples) == 1
    assert 0 < samples[0].sampleValue.uiVal <= 100
    try:
        pynvml.nvmlDeviceGetSamples(handle, pynvml.NVML_TOTAL_POWER_SAMPLES, 0)
        raise AssertionError("power is not measured")
    except pynvml.NVMLError_NotSupported:
        pass
    assert cuda.cuCtxSynchronize() == 0
    assert pynvml.nvmlGpmQueryDeviceSupport(handle).isSupportedDevice == 0
    detail = pynvml.nvmlDeviceGetRunningProcessDetailList(handle, pynvml.nvmlProcessDetailList_v1, pynvml.NVML_PROCESS_MODE_COMPUTE)
    assert os.getpid() in [process.pid for process in detail]


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
    use_is_by_process(handle, cuda)
    faults_are_events(handle, cuda)
    pynvml.nvmlShutdown()
    print("PASS nvidia-ml-py: device, memory, processes, use, licence, events")


if __name__ == "__main__":
    main()
