/* Memory of two processes: the program starts itself again, hands memory over by descriptor and by handle, and ends first. */
#include "cuda.h"
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MIB = 1 << 20, READ_WRITE = 3, DESCRIPTOR = 1, BYTES = 100000 };

static void begin(void) {
    CUcontext context;
    OK(cuInit(0));
    OK(cuDevicePrimaryCtxRetain(&context, 0));
    OK(cuCtxSetCurrent(context));
}

static CUdeviceptr map(CUmemGenericAllocationHandle memory, size_t bytes) {
    CUdeviceptr address = 0;
    CUmemAccessDesc access = {{1, 0}, READ_WRITE};
    OK(cuMemAddressReserve(&address, bytes, 0, 0, 0));
    OK(cuMemMap(address, bytes, 0, memory, 0));
    OK(cuMemSetAccess(address, bytes, &access, 1));
    return address;
}

static unsigned word(CUdeviceptr address) {
    unsigned value = 0;
    OK(cuMemcpyDtoH_v2(&value, address, 4));
    return value;
}

/* What comes down the pipe is there, or the other side is gone. */
static void receive(int from, void *to, size_t bytes) {
    if (read(from, to, bytes) != (ssize_t)bytes) {
        printf("the other process said nothing\n");
        exit(1);
    }
}

static void send_out(int to, const void *from, size_t bytes) {
    if (write(to, from, bytes) != (ssize_t)bytes) {
        printf("the other process does not listen\n");
        exit(1);
    }
}

/* Opens what the first process has made, answers in place, waits until that process has given everything up, looks again. */
static int second(int descriptor, int from, int to) {
    CUipcMemHandle handle;
    CUmemGenericAllocationHandle memory;
    CUmemAllocationProp said;
    CUdeviceptr opened = 0, again = 0, base = 0;
    size_t bytes = 0;
    char byte = 0;
    begin();
    OK(cuMemImportFromShareableHandle(&memory, (void *)(long)descriptor, DESCRIPTOR));
    OK(cuMemGetAllocationPropertiesFromHandle(&said, memory));
    TRUE(said.type == 1 && said.requestedHandleTypes == DESCRIPTOR && said.location.type == 1);
    CUdeviceptr mapped = map(memory, 2 * MIB);
    TRUE(word(mapped) == 11 && word(mapped + 2 * MIB - 4) == 11);
    receive(from, &handle, sizeof handle);
    WANT(cuIpcOpenMemHandle_v2(NULL, handle, 1), 1);
    WANT(cuIpcOpenMemHandle_v2(&opened, handle, 0), 1);
    OK(cuIpcOpenMemHandle_v2(&opened, handle, 1));
    OK(cuIpcOpenMemHandle_v2(&again, handle, 1));
    TRUE(again == opened);
    OK(cuMemGetAddressRange_v2(&base, &bytes, opened + 5));
    TRUE(base == opened && bytes == BYTES);
    TRUE(word(opened) == 22 && word(opened + BYTES - 4) == 22);
    WANT(cuMemcpyDtoH_v2(&bytes, opened + BYTES - 4, 8), 1);
    WANT(cuMemFree_v2(opened), 1);
    OK(cuMemsetD32_v2(mapped, 33, 100));
    OK(cuMemsetD32_v2(opened, 44, 100));
    OK(cuCtxSynchronize());
    send_out(to, &byte, 1);
    /* The end of the pipe: the first process has given its memory up. */
    TRUE(read(from, &byte, 1) == 0);
    TRUE(word(mapped) == 33 && word(mapped + 400) == 11);
    TRUE(word(opened) == 44 && word(opened + 400) == 22);
    OK(cuIpcCloseMemHandle(opened));
    TRUE(word(opened) == 44);
    OK(cuIpcCloseMemHandle(opened));
    WANT(cuIpcCloseMemHandle(opened), 1);
    WANT(cuMemcpyDtoH_v2(&bytes, opened, 4), 1);
    WANT(cuIpcOpenMemHandle_v2(&opened, handle, 1), 1);
    handle.reserved[9] ^= 1;
    WANT(cuIpcOpenMemHandle_v2(&opened, handle, 1), 1);
    handle.reserved[0] ^= 1;
    WANT(cuIpcOpenMemHandle_v2(&opened, handle, 1), 1);
    return failures != 0;
}

int main(int count, char **arguments) {
    if (count == 4) return second(atoi(arguments[1]), atoi(arguments[2]), atoi(arguments[3]));
    CUmemAllocationProp wish = {.type = 1, .requestedHandleTypes = DESCRIPTOR, .location = {1, 0}}, alone = wish;
    CUmemGenericAllocationHandle memory, other;
    CUdeviceptr allocation = 0, opened = 0;
    CUipcMemHandle handle, same;
    int descriptor = -1, down[2], up[2], status = -1;
    char byte;
    begin();
    int supported = 0;
    OK(cuDeviceGetAttribute(&supported, 103, 0));
    TRUE(supported == 1);
    OK(cuMemCreate(&memory, 2 * MIB, &wish, 0));
    OK(cuMemExportToShareableHandle(&descriptor, memory, DESCRIPTOR, 0));
    WANT(cuMemExportToShareableHandle(NULL, memory, DESCRIPTOR, 0), 1);
    WANT(cuMemExportToShareableHandle(&descriptor, memory, DESCRIPTOR, 1), 1);
    WANT(cuMemExportToShareableHandle(&descriptor, memory, 2, 0), 1);
    alone.requestedHandleTypes = 0;
    OK(cuMemCreate(&other, 2 * MIB, &alone, 0));
    WANT(cuMemExportToShareableHandle(&descriptor, other, DESCRIPTOR, 0), 1);
    OK(cuMemRelease(other));
    WANT(cuMemExportToShareableHandle(&descriptor, other, DESCRIPTOR, 0), 1);
    WANT(cuMemImportFromShareableHandle(&other, (void *)(long)open("/dev/null", O_RDONLY), DESCRIPTOR), 1);
    WANT(cuMemImportFromShareableHandle(&other, (void *)-1l, DESCRIPTOR), 1);
    WANT(cuMemImportFromShareableHandle(&other, (void *)(long)descriptor, 8), 801);
    /* The same process may have it twice. */
    OK(cuMemImportFromShareableHandle(&other, (void *)(long)descriptor, DESCRIPTOR));
    CUdeviceptr mapped = map(memory, 2 * MIB), twice = map(other, 2 * MIB);
    OK(cuMemsetD32_v2(twice, 11, 2 * MIB / 4));
    TRUE(word(mapped + 40) == 11);
    OK(cuMemRelease(other));
    OK(cuMemUnmap(twice, 2 * MIB));
    OK(cuMemAddressFree(twice, 2 * MIB));
    OK(cuMemAlloc_v2(&allocation, BYTES));
    OK(cuMemsetD32_v2(allocation, 22, BYTES / 4));
    OK(cuCtxSynchronize());
    WANT(cuIpcGetMemHandle(NULL, allocation), 1);
    WANT(cuIpcGetMemHandle(&handle, mapped), 1);
    WANT(cuIpcGetMemHandle(&handle, allocation + BYTES), 1);
    OK(cuIpcGetMemHandle(&handle, allocation));
    OK(cuIpcGetMemHandle(&same, allocation + 8));
    TRUE(memcmp(&handle, &same, sizeof handle) == 0);
    WANT(cuIpcOpenMemHandle_v2(&opened, handle, 1), 201);
    WANT(cuIpcCloseMemHandle(allocation), 1);
    TRUE(pipe(down) == 0 && pipe(up) == 0);
    int inherited = dup(descriptor);
    pid_t child = fork();
    if (child == 0) {
        char numbers[3][16];
        sprintf(numbers[0], "%d", inherited);
        sprintf(numbers[1], "%d", down[0]);
        sprintf(numbers[2], "%d", up[1]);
        close(down[1]);
        execl("/proc/self/exe", arguments[0], numbers[0], numbers[1], numbers[2], (char *)NULL);
        _exit(1);
    }
    send_out(down[1], &handle, sizeof handle);
    close(up[1]);
    receive(up[0], &byte, 1);
    TRUE(word(mapped) == 33 && word(mapped + 400) == 11);
    TRUE(word(allocation) == 44 && word(allocation + 400) == 22);
    OK(cuMemFree_v2(allocation));
    OK(cuMemUnmap(mapped, 2 * MIB));
    OK(cuMemRelease(memory));
    OK(cuCtxSynchronize());
    close(down[1]);
    TRUE(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    return failures != 0;
}
