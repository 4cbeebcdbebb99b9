// Contexts through the driver API: copies between their memories and many copies in one call, events of all their streams, attributes,
// green contexts.
#include "driver.cuh"

DRIVER(cuArray3DCreate);
DRIVER(cuArrayDestroy);
DRIVER(cuCtxDestroy);
DRIVER(cuCtxGetCurrent);
DRIVER(cuCtxSynchronize);
DRIVER(cuDeviceGetAttribute);
DRIVER(cuEventCreate);
DRIVER(cuEventDestroy);
DRIVER(cuEventQuery);
DRIVER(cuEventSynchronize);
DRIVER(cuLaunchHostFunc);
DRIVER(cuMemAlloc);
DRIVER(cuMemFree);
DRIVER(cuMemcpy);
DRIVER(cuMemcpy3DPeer);
DRIVER(cuMemcpy3DPeerAsync);
DRIVER(cuMemcpyDtoH);
DRIVER(cuMemcpyHtoD);
DRIVER(cuMemcpyPeer);
DRIVER(cuMemcpyPeerAsync);
DRIVER(cuMemsetD32Async);
DRIVER(cuStreamCopyAttributes);
DRIVER(cuStreamCreateWithPriority);
DRIVER(cuStreamDestroy);
DRIVER(cuStreamGetAttribute);
DRIVER(cuStreamQuery);
DRIVER(cuStreamSetAttribute);
DRIVER(cuStreamSynchronize);
#if CUDA_VERSION >= 12050
DRIVER(cuCtxRecordEvent);
DRIVER(cuCtxWaitEvent);
#endif
#if CUDA_VERSION >= 13000
DRIVER(cuDeviceGetDefaultMemPool);
DRIVER(cuDeviceGetHostAtomicCapabilities);
DRIVER(cuMemGetDefaultMemPool);
DRIVER(cuMemGetMemPool);
DRIVER(cuMemPoolCreate);
DRIVER(cuMemPoolDestroy);
DRIVER(cuMemSetMemPool);
DRIVER(cuMemcpy3DBatchAsync);
DRIVER(cuMemcpyBatchAsync);
#endif
#if CUDA_VERSION >= 13010
DRIVER(cuCtxFromGreenCtx);
DRIVER(cuCtxGetDevResource);
DRIVER(cuDevResourceGenerateDesc);
DRIVER(cuDevSmResourceSplit);
DRIVER(cuDevSmResourceSplitByCount);
DRIVER(cuDeviceGetDevResource);
DRIVER(cuGreenCtxCreate);
DRIVER(cuGreenCtxDestroy);
DRIVER(cuGreenCtxGetDevResource);
DRIVER(cuGreenCtxGetId);
DRIVER(cuGreenCtxRecordEvent);
DRIVER(cuGreenCtxStreamCreate);
DRIVER(cuGreenCtxWaitEvent);
DRIVER(cuStreamGetCtx_v2);
DRIVER(cuStreamGetDevResource);
DRIVER(cuStreamGetGreenCtx);
#endif
#if CUDA_VERSION >= 13020
DRIVER(cuMemcpy3DWithAttributesAsync);
DRIVER(cuMemcpyWithAttributesAsync);
#endif

// Numbers, and where they are wanted.
static std::vector<unsigned> numbers(size_t count, unsigned first) {
    std::vector<unsigned> list(count);
    for (size_t i = 0; i < count; ++i) list[i] = first + unsigned(i) * 2654435761u;
    return list;
}

static void expect(const char *what, CUdeviceptr memory, const std::vector<unsigned> &want) {
    std::vector<unsigned> got(want.size());
    OK(d_cuMemcpyDtoH(got.data(), memory, got.size() * 4));
    same(what, got, want);
}

// Copies between the memories of several contexts, in the order of the stream that they are asked of.
static void peers() {
    const size_t count = 700001, bytes = count * 4;
    CUcontext home, one, other;
    OK(d_cuCtxGetCurrent(&home));
    CUdeviceptr here, first, second;
    OK(d_cuMemAlloc(&here, bytes));
    one = context();
    OK(d_cuMemAlloc(&first, bytes));
    other = context();
    OK(d_cuMemAlloc(&second, bytes));
    OK(d_cuCtxSetCurrent(home));
    CUstream s = stream();
    auto list = numbers(count, 1);
    OK(d_cuMemcpyHtoD(first, list.data(), bytes));
    OK(d_cuMemcpyPeer(second, other, first, one, bytes));
    expect("between two others", second, list);
    OK(d_cuMemcpyPeer(here, home, second, other, bytes));
    expect("to here", here, list);
    // Nothing overtakes a function of the host, in no context, and what is behind a copy waits for it.
    Barrier barrier;
    OK(d_cuLaunchHostFunc(s, Barrier::wait, &barrier));
    OK(d_cuMemsetD32Async(here, 77, count, s));
    OK(d_cuMemcpyPeerAsync(first, one, here, home, bytes, s));
    OK(d_cuMemcpyPeerAsync(second, other, first, one, 4000, s));
    OK(d_cuMemcpyPeerAsync(second + 4000, other, first, one, 4000, s));
    OK(d_cuMemsetD32Async(here, 78, count, s));
    until([&] { return barrier.reached.load(); });
    DRIVER_EXPECT(d_cuStreamQuery(s), CUDA_ERROR_NOT_READY);
    barrier.open = true;
    OK(d_cuStreamSynchronize(s));
    expect("here", here, std::vector<unsigned>(count, 78));
    expect("first", first, std::vector<unsigned>(count, 77));
    std::fill(list.begin(), list.begin() + 2000, 77);
    expect("second", second, list);
    // One address space: the addresses say whose memory it is.
    OK(d_cuMemcpy(here, second, bytes));
    expect("by address", here, list);
    Shared pinned(1000);
    OK(d_cuMemcpy(pinned.device, second, 4000));
    EXPECT(pinned.read(0) == 77 && pinned.read(999) == 77);
    pinned.write(5, 55);
    OK(d_cuMemcpyPeer(second, other, pinned.device, home, 40));
    unsigned word = 0;
    OK(d_cuMemcpyDtoH(&word, second + 20, 4));
    EXPECT(word == 55);
    // Boxes.
    CUDA_MEMCPY3D_PEER box = {};
    box.srcMemoryType = box.dstMemoryType = CU_MEMORYTYPE_DEVICE;
    box.srcDevice = first, box.srcContext = one, box.srcPitch = 64, box.srcHeight = 10;
    box.dstDevice = second, box.dstContext = other, box.dstPitch = 40, box.dstHeight = 5;
    box.srcXInBytes = 8, box.srcY = 1, box.srcZ = 2;
    box.WidthInBytes = 32, box.Height = 4, box.Depth = 3;
    auto grid = numbers(16 * 10 * 6, 9);
    OK(d_cuMemcpyHtoD(first, grid.data(), grid.size() * 4));
    std::vector<unsigned> want(10 * 5 * 3, 5);
    for (bool async : {false, true}) {
        OK(d_cuMemsetD32Async(here, 5, want.size(), s));
        OK(d_cuMemcpyPeerAsync(second, other, here, home, want.size() * 4, s));
        OK(d_cuStreamSynchronize(s));
        OK(async ? d_cuMemcpy3DPeerAsync(&box, s) : d_cuMemcpy3DPeer(&box));
        OK(d_cuStreamSynchronize(s));
        for (int z = 0; z < 3; ++z)
            for (int y = 0; y < 4; ++y)
                for (int x = 0; x < 8; ++x) want[z * 50 + y * 10 + x] = grid[(z + 2) * 160 + (y + 1) * 16 + x + 2];
        expect("box", second, want);
    }
    // Arrays of several contexts.
    CUDA_ARRAY3D_DESCRIPTOR shape = {};
    shape.Width = 300, shape.Height = 200, shape.Depth = 2, shape.Format = CU_AD_FORMAT_UNSIGNED_INT32, shape.NumChannels = 1;
    CUarray arrays[2];
    for (int i = 0; i < 2; ++i) {
        OK(d_cuCtxSetCurrent(i ? other : one));
        OK(d_cuArray3DCreate(arrays + i, &shape));
    }
    OK(d_cuCtxSetCurrent(home));
    auto texels = numbers(300 * 200 * 2, 21);
    CUDA_MEMCPY3D_PEER planes = {};
    planes.WidthInBytes = 1200, planes.Height = 200, planes.Depth = 2;
    planes.srcMemoryType = CU_MEMORYTYPE_HOST, planes.srcHost = texels.data();
    planes.dstMemoryType = CU_MEMORYTYPE_ARRAY, planes.dstArray = arrays[0];
    OK(d_cuMemcpy3DPeer(&planes));
    planes.srcMemoryType = CU_MEMORYTYPE_ARRAY, planes.srcArray = arrays[0], planes.dstArray = arrays[1];
    OK(d_cuMemcpy3DPeerAsync(&planes, s));
    planes.srcArray = arrays[1];
    planes.dstMemoryType = CU_MEMORYTYPE_DEVICE, planes.dstDevice = first, planes.dstContext = one;
    OK(d_cuMemcpy3DPeerAsync(&planes, s));
    OK(d_cuStreamSynchronize(s));
    expect("arrays", first, texels);
    for (CUarray array : arrays) OK(d_cuArrayDestroy(array));
    box.srcContext = other;
    DRIVER_EXPECT(d_cuMemcpy3DPeer(&box), CUDA_ERROR_INVALID_VALUE);
    DRIVER_EXPECT(d_cuMemcpyPeer(second, one, first, one, 4), CUDA_ERROR_INVALID_VALUE);
    DRIVER_EXPECT(d_cuMemcpyPeer(second, other, first, nullptr, 4), CUDA_ERROR_INVALID_CONTEXT);
    DRIVER_EXPECT(d_cuMemcpyPeer(second, other, 0, one, 4), CUDA_ERROR_INVALID_VALUE);
    DRIVER_EXPECT(d_cuMemcpyPeerAsync(second, other, first, one, bytes + 4, s), CUDA_ERROR_INVALID_VALUE);
    OK(d_cuCtxDestroy(one));
    DRIVER_EXPECT(d_cuMemcpyPeer(second, other, first, one, 4), CUDA_ERROR_INVALID_CONTEXT);
    OK(d_cuCtxDestroy(other));
    OK(d_cuMemFree(here));
    OK(d_cuStreamDestroy(s));
}

#if CUDA_VERSION >= 13000
// Many copies in one call.
static void batches() {
    const size_t count = 3000;
    CUstream s = stream();
    CUdeviceptr memory;
    OK(d_cuMemAlloc(&memory, 4 * count * 4));
    Shared pinned(count);
    auto list = numbers(count, 3), back = std::vector<unsigned>(count);
    for (size_t i = 0; i < count; ++i) pinned.write(i, list[i] ^ 1);
    auto part = [&](size_t i) { return memory + i * count * 4; };
    auto host = [](void *p) { return reinterpret_cast<CUdeviceptr>(p); };
    CUdeviceptr dsts[3] = {part(0), part(1), host(back.data())}, srcs[3] = {host(list.data()), pinned.device, part(3)};
    size_t sizes[3] = {count * 4, count * 4, count * 4}, firsts[2] = {0, 2};
    CUmemcpyAttributes attributes[2] = {};
    attributes[0].srcAccessOrder = CU_MEMCPY_SRC_ACCESS_ORDER_DURING_API_CALL;
    attributes[1].srcAccessOrder = CU_MEMCPY_SRC_ACCESS_ORDER_STREAM;
    attributes[1].flags = CU_MEMCPY_FLAG_PREFER_OVERLAP_WITH_COMPUTE;
    OK(d_cuMemsetD32Async(part(3), 4, count, s));
    Barrier barrier;
    OK(d_cuLaunchHostFunc(s, Barrier::wait, &barrier));
    OK(d_cuMemcpyBatchAsync(dsts, srcs, sizes, 2, attributes, firsts, 1, s));
    // The sources are done with, though the stream has not begun.
    std::vector<unsigned> flipped = list;
    for (size_t i = 0; i < count; ++i) flipped[i] ^= 1, pinned.write(i, 0);
    std::vector<unsigned> kept = list;
    std::fill(list.begin(), list.end(), 0);
    EXPECT(!barrier.passed);
    barrier.open = true;
    OK(d_cuStreamSynchronize(s));
    expect("pageable", part(0), kept);
    expect("pinned", part(1), flipped);
    OK(d_cuMemcpyBatchAsync(dsts, srcs, sizes, 3, attributes, firsts, 2, s));
    OK(d_cuStreamSynchronize(s));
    same("back", back, std::vector<unsigned>(count, 4));
    expect("pinned again", part(1), std::vector<unsigned>(count, 0));
    DRIVER_EXPECT(d_cuMemcpyBatchAsync(dsts, srcs, sizes, 3, attributes, firsts, 4, s), CUDA_ERROR_INVALID_VALUE);
    DRIVER_EXPECT(d_cuMemcpyBatchAsync(dsts, srcs, sizes, 3, attributes, firsts, 0, s), CUDA_ERROR_INVALID_VALUE);
    DRIVER_EXPECT(d_cuMemcpyBatchAsync(dsts, srcs, sizes, 3, attributes, firsts, 2, CU_STREAM_LEGACY), CUDA_ERROR_INVALID_VALUE);
    DRIVER_EXPECT(d_cuMemcpyBatchAsync(dsts, nullptr, sizes, 3, attributes, firsts, 2, s), CUDA_ERROR_INVALID_VALUE);
    firsts[0] = 1;
    DRIVER_EXPECT(d_cuMemcpyBatchAsync(dsts, srcs, sizes, 3, attributes, firsts, 2, s), CUDA_ERROR_INVALID_VALUE);
    firsts[0] = 0, firsts[1] = 3;
    DRIVER_EXPECT(d_cuMemcpyBatchAsync(dsts, srcs, sizes, 3, attributes, firsts, 2, s), CUDA_ERROR_INVALID_VALUE);
    attributes[0].srcAccessOrder = CU_MEMCPY_SRC_ACCESS_ORDER_INVALID;
    DRIVER_EXPECT(d_cuMemcpyBatchAsync(dsts, srcs, sizes, 3, attributes, firsts, 1, s), CUDA_ERROR_INVALID_VALUE);
    // The first function of this name says which copy it was.
    using First = CUresult (*)(CUdeviceptr *, CUdeviceptr *, size_t *, size_t, CUmemcpyAttributes *, size_t *, size_t, size_t *, CUstream);
    auto first = reinterpret_cast<First>(symbol("cuMemcpyBatchAsync"));
    attributes[0].srcAccessOrder = CU_MEMCPY_SRC_ACCESS_ORDER_ANY;
    size_t which = 0;
    sizes[2] = 0, srcs[1] = memory + 4 * count * 4 - 4;
    DRIVER_EXPECT(first(dsts, srcs, sizes, 3, attributes, firsts, 1, &which, s), CUDA_ERROR_INVALID_VALUE);
    EXPECT(which == 1);
    DRIVER_EXPECT(first(dsts, srcs, sizes, 3, attributes, firsts, 9, &which, s), CUDA_ERROR_INVALID_VALUE);
    EXPECT(which == SIZE_MAX);
    // Boxes, in and out of an array of pairs.
    CUDA_ARRAY3D_DESCRIPTOR shape = {};
    shape.Width = 20, shape.Height = 10, shape.Depth = 4, shape.Format = CU_AD_FORMAT_UNSIGNED_INT32, shape.NumChannels = 2;
    CUarray array;
    OK(d_cuArray3DCreate(&array, &shape));
    auto cube = numbers(2 * 20 * 10 * 4, 8);
    std::vector<unsigned> out(2 * 8 * 6 * 2, 0);
    CUDA_MEMCPY3D_BATCH_OP op[2] = {};
    op[0].src.type = CU_MEMCPY_OPERAND_TYPE_POINTER;
    op[0].src.op.ptr.ptr = host(cube.data());
    op[0].dst.type = CU_MEMCPY_OPERAND_TYPE_ARRAY;
    op[0].dst.op.array.array = array;
    op[0].extent = {20, 10, 4};
    op[0].srcAccessOrder = CU_MEMCPY_SRC_ACCESS_ORDER_STREAM;
    OK(d_cuMemcpy3DBatchAsync(1, op, 0, s));
    op[1].src.type = CU_MEMCPY_OPERAND_TYPE_ARRAY;
    op[1].src.op.array.array = array;
    op[1].src.op.array.offset = {3, 2, 1};
    op[1].dst.type = CU_MEMCPY_OPERAND_TYPE_POINTER;
    op[1].dst.op.ptr.ptr = host(out.data());
    op[1].dst.op.ptr.rowLength = 8;
    op[1].dst.op.ptr.layerHeight = 6;
    op[1].extent = {5, 4, 2};
    op[1].srcAccessOrder = CU_MEMCPY_SRC_ACCESS_ORDER_ANY;
    OK(d_cuMemcpy3DBatchAsync(1, op + 1, 0, s));
    OK(d_cuStreamSynchronize(s));
    auto inside = [&] {
        for (int z = 0; z < 2; ++z)
            for (int y = 0; y < 6; ++y)
                for (int x = 0; x < 16; ++x) {
                    bool copied = x < 10 && y < 4;
                    unsigned want = copied ? cube[((z + 1) * 10 + y + 2) * 40 + x + 6] : 0;
                    EXPECT(out[(z * 6 + y) * 16 + x] == want);
                }
    };
    inside();
    op[1].extent.width = 18;
    DRIVER_EXPECT(d_cuMemcpy3DBatchAsync(2, op, 0, s), CUDA_ERROR_INVALID_VALUE);
    op[1].extent.width = 0;
    DRIVER_EXPECT(d_cuMemcpy3DBatchAsync(2, op, 0, s), CUDA_ERROR_INVALID_VALUE);
    op[1].extent.width = 5;
    DRIVER_EXPECT(d_cuMemcpy3DBatchAsync(2, op, 1, s), CUDA_ERROR_INVALID_VALUE);
    DRIVER_EXPECT(d_cuMemcpy3DBatchAsync(0, op, 0, s), CUDA_ERROR_INVALID_VALUE);
#if CUDA_VERSION >= 13020
    std::fill(out.begin(), out.end(), 0);
    OK(d_cuMemcpy3DWithAttributesAsync(op + 1, 0, s));
    OK(d_cuStreamSynchronize(s));
    inside();
    OK(d_cuMemcpyWithAttributesAsync(part(2), host(kept.data()), count * 4, attributes, s));
    OK(d_cuStreamSynchronize(s));
    expect("alone", part(2), kept);
    DRIVER_EXPECT(d_cuMemcpyWithAttributesAsync(part(2), part(1), count * 4, nullptr, s), CUDA_ERROR_INVALID_VALUE);
    attributes[0].flags = 2;
    DRIVER_EXPECT(d_cuMemcpyWithAttributesAsync(part(2), part(1), count * 4, attributes, s), CUDA_ERROR_INVALID_VALUE);
#endif
    OK(d_cuArrayDestroy(array));
    OK(d_cuMemFree(memory));
    OK(d_cuStreamDestroy(s));
}
#endif

#if CUDA_VERSION >= 12050
// Events of all streams of a context, and all streams of a context that wait for an event.
static void joined() {
    Shared words(4);
    CUcontext home, made;
    OK(d_cuCtxGetCurrent(&home));
    made = context();
    CUevent event;
    OK(d_cuEventCreate(&event, CU_EVENT_DISABLE_TIMING));
    CUstream one = stream(), other = stream();
    Barrier barrier;
    OK(d_cuLaunchHostFunc(one, Barrier::wait, &barrier));
    OK(d_cuMemsetD32Async(words.device, 1, 1, one));
    OK(d_cuMemsetD32Async(words.device + 4, 1, 1, other));
    OK(d_cuCtxRecordEvent(made, event));
    OK(d_cuStreamSynchronize(other));
    until([&] { return barrier.reached.load(); });
    DRIVER_EXPECT(d_cuEventQuery(event), CUDA_ERROR_NOT_READY);
    // Work that comes after the record does not count.
    Barrier later;
    OK(d_cuLaunchHostFunc(other, Barrier::wait, &later));
    OK(d_cuCtxSetCurrent(home));
    CUstream old = stream();
    OK(d_cuCtxWaitEvent(home, event));
    CUstream young = stream();
    OK(d_cuMemsetD32Async(words.device + 8, words.read(0) + 1, 1, old));
    OK(d_cuMemsetD32Async(words.device + 12, words.read(0) + 1, 1, young));
    for (CUstream s : {old, young}) DRIVER_EXPECT(d_cuStreamQuery(s), CUDA_ERROR_NOT_READY);
    EXPECT(words.read(2) == 0 && words.read(3) == 0);
    barrier.open = true;
    OK(d_cuStreamSynchronize(old));
    OK(d_cuStreamSynchronize(young));
    OK(d_cuEventSynchronize(event));
    EXPECT(words.read(0) == 1 && words.read(1) == 1 && words.read(2) == 1 && words.read(3) == 1 && !later.passed);
    later.open = true;
    DRIVER_EXPECT(d_cuCtxRecordEvent(home, event), CUDA_ERROR_INVALID_HANDLE);
    DRIVER_EXPECT(d_cuCtxRecordEvent(nullptr, event), CUDA_ERROR_INVALID_CONTEXT);
    DRIVER_EXPECT(d_cuCtxWaitEvent(home, nullptr), CUDA_ERROR_INVALID_HANDLE);
    OK(d_cuStreamDestroy(old));
    OK(d_cuStreamDestroy(young));
    OK(d_cuCtxDestroy(made));
}
#endif

#if CUDA_VERSION >= 13010
// Parts of the device's multiprocessors.
static void resources(CUdevResource parts[2]) {
    CUdevResource all, rest, again[2];
    int processors = 0;
    OK(d_cuDeviceGetAttribute(&processors, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, 0));
    OK(d_cuDeviceGetDevResource(0, &all, CU_DEV_RESOURCE_TYPE_SM));
    EXPECT(all.type == CU_DEV_RESOURCE_TYPE_SM && all.sm.smCount == unsigned(processors));
    EXPECT(all.sm.minSmPartitionSize == 8 && all.sm.smCoscheduledAlignment == 8);
    DRIVER_EXPECT(d_cuDeviceGetDevResource(0, &all, CUdevResourceType(7)), CUDA_ERROR_INVALID_RESOURCE_TYPE);
    DRIVER_EXPECT(d_cuDeviceGetDevResource(1, &all, CU_DEV_RESOURCE_TYPE_SM), CUDA_ERROR_INVALID_DEVICE);
    unsigned groups = 0;
    OK(d_cuDevSmResourceSplitByCount(nullptr, &groups, &all, nullptr, 0, 20));
    EXPECT(groups == unsigned(processors) / 24);
    groups = 2;
    OK(d_cuDevSmResourceSplitByCount(parts, &groups, &all, &rest, 0, 20));
    EXPECT(groups == 2 && parts[0].sm.smCount == 24 && parts[1].sm.smCount == 24);
    EXPECT(rest.sm.smCount == unsigned(processors) - 48);
    DRIVER_EXPECT(d_cuDevSmResourceSplitByCount(again, &groups, parts, nullptr, 0, 8), CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION);
    DRIVER_EXPECT(d_cuDevSmResourceSplitByCount(again, &groups, &all, nullptr, 4, 8), CUDA_ERROR_INVALID_VALUE);
    DRIVER_EXPECT(d_cuDevSmResourceSplitByCount(again, &groups, &all, nullptr, 0, processors + 1), CUDA_ERROR_INVALID_VALUE);
    CU_DEV_SM_RESOURCE_GROUP_PARAMS params[2] = {};
    params[0].smCount = 8;
    params[0].coscheduledSmCount = 4;
    params[1].coscheduledSmCount = 2;
    OK(d_cuDevSmResourceSplit(again, 2, &all, &rest, 0, params));
    EXPECT(again[0].sm.smCount == 8 && params[1].smCount == unsigned(processors) - 8 && rest.type == CU_DEV_RESOURCE_TYPE_INVALID);
    params[0] = {};
    params[0].smCount = 10;
    DRIVER_EXPECT(d_cuDevSmResourceSplit(again, 1, &all, &rest, 0, params), CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION);
    params[0].flags = CU_DEV_SM_RESOURCE_GROUP_BACKFILL;
    OK(d_cuDevSmResourceSplit(again, 1, &all, &rest, 0, params));
    EXPECT(again[0].sm.smCount == 10 && rest.sm.smCount == unsigned(processors) - 10);
    params[0].smCount = 9;
    DRIVER_EXPECT(d_cuDevSmResourceSplit(again, 1, &all, &rest, 0, params), CUDA_ERROR_INVALID_VALUE);
    params[0] = {};
    params[0].smCount = 8;
    params[0].coscheduledSmCount = 4;
    OK(d_cuDevSmResourceSplit(again, 2, &all, &rest, 0, params));
    CUdevResourceDesc description;
    OK(d_cuDevResourceGenerateDesc(&description, parts, 2));
    CUdevResource mixed[2] = {parts[0], again[0]};
    DRIVER_EXPECT(d_cuDevResourceGenerateDesc(&description, mixed, 2), CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION);
    mixed[1] = parts[0];
    DRIVER_EXPECT(d_cuDevResourceGenerateDesc(&description, mixed, 2), CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION);
    DRIVER_EXPECT(d_cuDevResourceGenerateDesc(&description, &rest, 1), CUDA_ERROR_INVALID_RESOURCE_TYPE);
    DRIVER_EXPECT(d_cuDevResourceGenerateDesc(&description, parts, 0), CUDA_ERROR_INVALID_VALUE);
}

// Green contexts: one memory, work of their own.
static void green() {
    CUdevResource parts[2], told;
    resources(parts);
    CUcontext primary, view[2], now;
    OK(d_cuCtxGetCurrent(&primary));
    CUgreenCtx contexts[2], of;
    CUstream streams[2], plain;
    Shared words(4);
    CUdeviceptr memory;
    OK(d_cuMemAlloc(&memory, 64));
    for (int i = 0; i < 2; ++i) {
        CUdevResourceDesc description;
        OK(d_cuDevResourceGenerateDesc(&description, parts + i, 1));
        OK(d_cuGreenCtxCreate(contexts + i, description, 0, CU_GREEN_CTX_DEFAULT_STREAM));
        OK(d_cuCtxFromGreenCtx(view + i, contexts[i]));
        OK(d_cuGreenCtxStreamCreate(streams + i, contexts[i], CU_STREAM_NON_BLOCKING, 0));
    }
    DRIVER_EXPECT(d_cuGreenCtxStreamCreate(&plain, contexts[0], CU_STREAM_DEFAULT, 0), CUDA_ERROR_INVALID_VALUE);
    DRIVER_EXPECT(d_cuCtxSetCurrent(reinterpret_cast<CUcontext>(contexts[0])), CUDA_ERROR_INVALID_CONTEXT);
    DRIVER_EXPECT(d_cuCtxFromGreenCtx(&now, reinterpret_cast<CUgreenCtx>(primary)), CUDA_ERROR_INVALID_CONTEXT);
    unsigned long long ids[2];
    for (int i = 0; i < 2; ++i) OK(d_cuGreenCtxGetId(contexts[i], ids + i));
    EXPECT(ids[0] != ids[1] && view[0] != view[1] && view[0] != primary);
    // What a context made current is, and what is made in it.
    OK(d_cuCtxSetCurrent(view[0]));
    OK(d_cuCtxGetCurrent(&now));
    EXPECT(now == view[0]);
    OK(d_cuCtxGetDevResource(now, &told, CU_DEV_RESOURCE_TYPE_SM));
    EXPECT(told.sm.smCount == 24);
    plain = stream();
    OK(d_cuStreamGetGreenCtx(plain, &of));
    EXPECT(of == contexts[0]);
    OK(d_cuStreamGetCtx_v2(plain, &now, &of));
    EXPECT(now == primary && of == contexts[0]);
    OK(d_cuStreamGetDevResource(streams[1], &told, CU_DEV_RESOURCE_TYPE_SM));
    EXPECT(told.sm.smCount == 24);
    OK(d_cuGreenCtxGetDevResource(contexts[1], &told, CU_DEV_RESOURCE_TYPE_SM));
    EXPECT(told.sm.smCount == 24);
    DRIVER_EXPECT(d_cuStreamQuery(CU_STREAM_PER_THREAD), CUDA_ERROR_INVALID_HANDLE);
    // Memory of the primary context is everybody's; work is not.
    CUevent one, other;
    OK(d_cuEventCreate(&one, CU_EVENT_DISABLE_TIMING));
    OK(d_cuEventCreate(&other, CU_EVENT_DISABLE_TIMING));
    Barrier barrier;
    OK(d_cuLaunchHostFunc(plain, Barrier::wait, &barrier));
    OK(d_cuMemsetD32Async(memory, 3, 16, plain));
    OK(d_cuMemsetD32Async(words.device, 5, 1, CU_STREAM_LEGACY));
    OK(d_cuStreamSynchronize(CU_STREAM_LEGACY));
    EXPECT(words.read(0) == 5);
    OK(d_cuGreenCtxRecordEvent(contexts[0], one));
    OK(d_cuGreenCtxRecordEvent(contexts[1], other));
    OK(d_cuEventSynchronize(other));
    DRIVER_EXPECT(d_cuEventQuery(one), CUDA_ERROR_NOT_READY);
    OK(d_cuGreenCtxWaitEvent(contexts[1], one));
    OK(d_cuMemsetD32Async(words.device + 4, 6, 1, streams[1]));
    OK(d_cuMemsetD32Async(words.device + 8, 7, 1, streams[0]));
    OK(d_cuStreamSynchronize(streams[0]));
    EXPECT(words.read(1) == 0 && words.read(2) == 7);
    DRIVER_EXPECT(d_cuStreamQuery(streams[1]), CUDA_ERROR_NOT_READY);
    until([&] { return barrier.reached.load(); });
    barrier.open = true;
    OK(d_cuCtxSetCurrent(view[1]));
    OK(d_cuCtxSynchronize());
    EXPECT(words.read(1) == 6 && barrier.passed);
    OK(d_cuCtxSetCurrent(primary));
    OK(d_cuCtxSynchronize());
    expect("memory of all", memory, std::vector<unsigned>(16, 3));
    OK(d_cuMemcpyPeer(memory + 32, view[0], memory, view[1], 4));
    // Streams outlive their green context, to be destroyed.
    OK(d_cuGreenCtxDestroy(contexts[0]));
    DRIVER_EXPECT(d_cuGreenCtxDestroy(contexts[0]), CUDA_ERROR_INVALID_CONTEXT);
    DRIVER_EXPECT(d_cuCtxSetCurrent(view[0]), CUDA_ERROR_INVALID_CONTEXT);
    DRIVER_EXPECT(d_cuStreamSynchronize(plain), CUDA_ERROR_STREAM_DETACHED);
    OK(d_cuStreamDestroy(plain));
    OK(d_cuStreamDestroy(streams[0]));
    OK(d_cuStreamSynchronize(streams[1]));
    OK(d_cuStreamDestroy(streams[1]));
    OK(d_cuGreenCtxDestroy(contexts[1]));
    OK(d_cuEventDestroy(one));
    OK(d_cuEventDestroy(other));
    OK(d_cuMemFree(memory));
}
#endif

static void attributes() {
    CUstream a = stream(), b;
    OK(d_cuStreamCreateWithPriority(&b, CU_STREAM_NON_BLOCKING, -2));
    CUstreamAttrValue value = {};
    OK(d_cuStreamGetAttribute(b, CU_STREAM_ATTRIBUTE_PRIORITY, &value));
    EXPECT(value.priority == -2);
    value.priority = -4;
    OK(d_cuStreamSetAttribute(b, CU_STREAM_ATTRIBUTE_PRIORITY, &value));
    value.priority = 0;
    OK(d_cuStreamGetAttribute(b, CU_STREAM_ATTRIBUTE_PRIORITY, &value));
    EXPECT(value.priority == -4);
    OK(d_cuStreamGetAttribute(a, CU_STREAM_ATTRIBUTE_SYNCHRONIZATION_POLICY, &value));
    EXPECT(value.syncPolicy == CU_SYNC_POLICY_AUTO);
    value.syncPolicy = CU_SYNC_POLICY_YIELD;
    OK(d_cuStreamSetAttribute(a, CU_STREAM_ATTRIBUTE_SYNCHRONIZATION_POLICY, &value));
    value.memSyncDomain = CU_LAUNCH_MEM_SYNC_DOMAIN_REMOTE;
    OK(d_cuStreamSetAttribute(a, CU_STREAM_ATTRIBUTE_MEM_SYNC_DOMAIN, &value));
    OK(d_cuStreamCopyAttributes(b, a));
    OK(d_cuStreamGetAttribute(b, CU_STREAM_ATTRIBUTE_SYNCHRONIZATION_POLICY, &value));
    EXPECT(value.syncPolicy == CU_SYNC_POLICY_YIELD);
    OK(d_cuStreamGetAttribute(b, CU_STREAM_ATTRIBUTE_MEM_SYNC_DOMAIN, &value));
    EXPECT(value.memSyncDomain == CU_LAUNCH_MEM_SYNC_DOMAIN_REMOTE);
    OK(d_cuStreamGetAttribute(b, CU_STREAM_ATTRIBUTE_ACCESS_POLICY_WINDOW, &value));
    EXPECT(value.accessPolicyWindow.num_bytes == 0);
    value.accessPolicyWindow.num_bytes = size_t(1) << 40;
    DRIVER_EXPECT(d_cuStreamSetAttribute(b, CU_STREAM_ATTRIBUTE_ACCESS_POLICY_WINDOW, &value), CUDA_ERROR_INVALID_VALUE);
    value.syncPolicy = CUsynchronizationPolicy(5);
    DRIVER_EXPECT(d_cuStreamSetAttribute(b, CU_STREAM_ATTRIBUTE_SYNCHRONIZATION_POLICY, &value), CUDA_ERROR_INVALID_VALUE);
    DRIVER_EXPECT(d_cuStreamGetAttribute(b, CU_LAUNCH_ATTRIBUTE_COOPERATIVE, &value), CUDA_ERROR_INVALID_VALUE);
    DRIVER_EXPECT(d_cuStreamGetAttribute(b, CU_STREAM_ATTRIBUTE_PRIORITY, nullptr), CUDA_ERROR_INVALID_VALUE);
    OK(d_cuStreamDestroy(a));
    OK(d_cuStreamDestroy(b));
    DRIVER_EXPECT(d_cuStreamGetAttribute(a, CU_STREAM_ATTRIBUTE_PRIORITY, &value), CUDA_ERROR_CONTEXT_IS_DESTROYED);
#if CUDA_VERSION >= 13000
    CUatomicOperation operations[2] = {CU_ATOMIC_OPERATION_INTEGER_ADD, CU_ATOMIC_OPERATION_CAS};
    unsigned capabilities[2] = {7, 7};
    OK(d_cuDeviceGetHostAtomicCapabilities(capabilities, operations, 2, 0));
    EXPECT(capabilities[0] == 0 && capabilities[1] == 0);
    DRIVER_EXPECT(d_cuDeviceGetHostAtomicCapabilities(capabilities, operations, 0, 0), CUDA_ERROR_INVALID_VALUE);
    DRIVER_EXPECT(d_cuDeviceGetHostAtomicCapabilities(capabilities, operations, 2, 1), CUDA_ERROR_INVALID_DEVICE);
    CUmemoryPool of_device, of_location, own;
    CUmemLocation location = {};
    location.type = CU_MEM_LOCATION_TYPE_DEVICE;
    OK(d_cuDeviceGetDefaultMemPool(&of_device, 0));
    OK(d_cuMemGetDefaultMemPool(&of_location, &location, CU_MEM_ALLOCATION_TYPE_PINNED));
    EXPECT(of_device == of_location);
    CUmemPoolProps props = {};
    props.allocType = CU_MEM_ALLOCATION_TYPE_PINNED;
    props.location = location;
    OK(d_cuMemPoolCreate(&own, &props));
    OK(d_cuMemSetMemPool(&location, CU_MEM_ALLOCATION_TYPE_PINNED, own));
    OK(d_cuMemGetMemPool(&of_location, &location, CU_MEM_ALLOCATION_TYPE_PINNED));
    EXPECT(of_location == own);
    OK(d_cuMemPoolDestroy(own));
    DRIVER_EXPECT(d_cuMemGetMemPool(&of_location, &location, CU_MEM_ALLOCATION_TYPE_INVALID), CUDA_ERROR_INVALID_VALUE);
    location.id = 1;
    DRIVER_EXPECT(d_cuMemGetMemPool(&of_location, &location, CU_MEM_ALLOCATION_TYPE_PINNED), CUDA_ERROR_INVALID_DEVICE);
#endif
}

int main() {
    begin();
    peers();
#if CUDA_VERSION >= 13000
    batches();
#endif
#if CUDA_VERSION >= 12050
    joined();
#endif
    attributes();
#if CUDA_VERSION >= 13010
    green();
#endif
    return passed("contexts");
}
