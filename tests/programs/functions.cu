// Calls that are not inlined: recursion, function pointers in tables and as parameters, virtual functions, memory of the stack.
#include "check.cuh"

__device__ __noinline__ unsigned fibonacci(unsigned n) { return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2); }

__device__ __noinline__ unsigned ackermann(unsigned m, unsigned n) {
    if (m == 0) return n + 1;
    if (n == 0) return ackermann(m - 1, 1);
    return ackermann(m - 1, ackermann(m, n - 1));
}

__global__ void recursive(unsigned *fib, unsigned *ack) {
    fib[threadIdx.x] = fibonacci(threadIdx.x % 15);
    ack[threadIdx.x] = ackermann(threadIdx.x % 3, threadIdx.x % 5);
}

// Each thread sorts its own part, each a different one.
__device__ void quicksort(int *data, int low, int high) {
    if (low >= high) return;
    int pivot = data[(low + high) / 2], i = low, j = high;
    while (i <= j) {
        while (data[i] < pivot) ++i;
        while (data[j] > pivot) --j;
        if (i <= j) {
            int t = data[i];
            data[i++] = data[j];
            data[j--] = t;
        }
    }
    quicksort(data, low, j);
    quicksort(data, i, high);
}

__global__ void sort_parts(int *data, int each) {
    int *mine = data + (blockIdx.x * blockDim.x + threadIdx.x) * each;
    quicksort(mine, 0, each - 1);
}

// A binary operation by its number, through a table; by its address, which the host fetched.
using Operation = int (*)(int, int);
__device__ int add(int a, int b) { return a + b; }
__device__ int subtract(int a, int b) { return a - b; }
__device__ int multiply(int a, int b) { return a * b; }
__device__ int larger(int a, int b) { return a > b ? a : b; }
__device__ Operation operations[4] = {add, subtract, multiply, larger};
__device__ Operation chosen = larger;

__global__ void by_number(const int *a, const int *b, int *out) {
    int i = threadIdx.x;
    out[i] = operations[(i * 7 + i / 5) % 4](a[i], b[i]);
}

__global__ void by_address(Operation operation, const int *a, const int *b, int *out) {
    int i = threadIdx.x;
    if (i % 3 != 0) out[i] = operation(a[i], b[i]);
}

struct Shape {
    __device__ virtual ~Shape() {}
    __device__ virtual float area() const = 0;
    __device__ virtual int corners() const { return 0; }
    // Calls a virtual function of the same object.
    __device__ virtual float density() const { return static_cast<float>(corners()) / area(); }
};

struct Circle : Shape {
    float radius;
    __device__ explicit Circle(float r) : radius(r) {}
    __device__ float area() const override { return 3.0f * radius * radius; }
};

struct Box : Shape {
    float width, height;
    __device__ Box(float w, float h) : width(w), height(h) {}
    __device__ float area() const override { return width * height; }
    __device__ int corners() const override { return 4; }
};

struct Tower : Box {
    Shape *top;
    __device__ Tower(float side, Shape *t) : Box(side, side), top(t) {}
    __device__ ~Tower() override { delete top; }
    // Recursion through a virtual function.
    __device__ float area() const override { return Box::area() + (top != nullptr ? top->area() : 0.0f); }
    __device__ int corners() const override { return 4 + (top != nullptr ? top->corners() : 0); }
};

__device__ Shape *make(int kind) {
    if (kind % 4 == 0) return new Circle(static_cast<float>(kind));
    if (kind % 4 == 1) return new Box(static_cast<float>(kind), 2.0f);
    if (kind % 4 == 2) return new Tower(static_cast<float>(kind), nullptr);
    return new Tower(1.0f, make(kind - 1));
}

__global__ void shapes(float *areas, float *densities) {
    Shape *shape = make(static_cast<int>(threadIdx.x));
    areas[threadIdx.x] = shape->area();
    densities[threadIdx.x] = shape->density();
    delete shape;
}

float host_area(int kind) {
    float k = static_cast<float>(kind);
    if (kind % 4 == 0) return 3.0f * k * k;
    if (kind % 4 == 1) return k * 2.0f;
    if (kind % 4 == 2) return k * k;
    return 1.0f + host_area(kind - 1);
}

int host_corners(int kind) { return kind % 4 == 0 ? 0 : kind % 4 == 3 ? 4 + host_corners(kind - 1) : 4; }

__device__ int deep(int n, volatile int *sink) {
    volatile int own[16];
    own[n % 16] = n;
    if (n == 0) return own[0];
    int below = deep(n - 1, sink);
    *sink = below;
    return below + own[n % 16];
}

__global__ void dig(int depth, int *out, int *sink) { out[threadIdx.x] = deep(depth, sink); }

unsigned host_fibonacci(unsigned n) { return n < 2 ? n : host_fibonacci(n - 1) + host_fibonacci(n - 2); }
unsigned host_ackermann(unsigned m, unsigned n) {
    return m == 0 ? n + 1 : n == 0 ? host_ackermann(m - 1, 1) : host_ackermann(m - 1, host_ackermann(m, n - 1));
}

void check_recursion() {
    const int threads = 96;
    Device<unsigned> fib(threads), ack(threads);
    recursive<<<1, threads>>>(fib.data, ack.data);
    LAUNCHED();
    std::vector<unsigned> wanted_fib, wanted_ack;
    for (unsigned i = 0; i < threads; ++i) {
        wanted_fib.push_back(host_fibonacci(i % 15));
        wanted_ack.push_back(host_ackermann(i % 3, i % 5));
    }
    same("fibonacci", fib.host(), wanted_fib);
    same("ackermann", ack.host(), wanted_ack);

    Random random(3);
    const int each = 50, parts = 128;
    std::vector<int> numbers(each * parts);
    for (auto &x : numbers) x = static_cast<int>(random.next() % 1000) - 500;
    Device<int> data(numbers);
    sort_parts<<<2, parts / 2>>>(data.data, each);
    LAUNCHED();
    for (int p = 0; p < parts; ++p)
        for (int i = 1; i < each; ++i)
            for (int j = i; j > 0 && numbers[p * each + j] < numbers[p * each + j - 1]; --j)
                std::swap(numbers[p * each + j], numbers[p * each + j - 1]);
    same("quicksort", data.host(), numbers);
}

int host_operation(int which, int a, int b) { return which == 0 ? a + b : which == 1 ? a - b : which == 2 ? a * b : a > b ? a : b; }

void check_pointers() {
    const int n = 200;
    std::vector<int> a, b, by_table, by_pointer;
    for (int i = 0; i < n; ++i) {
        a.push_back(i * 37 % 101 - 50);
        b.push_back(i * 53 % 97 - 40);
        by_table.push_back(host_operation((i * 7 + i / 5) % 4, a[i], b[i]));
        by_pointer.push_back(i % 3 != 0 ? host_operation(3, a[i], b[i]) : 0);
    }
    Device<int> da(a), db(b), out(n);
    by_number<<<1, n>>>(da.data, db.data, out.data);
    LAUNCHED();
    same("table", out.host(), by_table);
    Operation operation = nullptr;
    CHECK(cudaMemcpyFromSymbol(&operation, chosen, sizeof operation));
    EXPECT(operation != nullptr);
    CHECK(cudaMemset(out.data, 0, n * sizeof(int)));
    by_address<<<1, n>>>(operation, da.data, db.data, out.data);
    LAUNCHED();
    same("pointer", out.host(), by_pointer);
}

void check_shapes() {
    const int n = 64;
    Device<float> areas(n), densities(n);
    shapes<<<1, n>>>(areas.data, densities.data);
    LAUNCHED();
    std::vector<float> wanted_areas, wanted_densities;
    for (int i = 0; i < n; ++i) {
        wanted_areas.push_back(host_area(i));
        wanted_densities.push_back(static_cast<float>(host_corners(i)) / host_area(i));
    }
    same("areas", areas.host(), wanted_areas);
    // 0 / 0 of the circle without a radius is not the same bits everywhere.
    auto got = densities.host();
    EXPECT(std::isnan(got[0]) && std::isnan(wanted_densities[0]));
    got[0] = wanted_densities[0] = 0;
    near("densities", got, wanted_densities, 1e-6);
}

// The limit of the stack binds: what does not fit into the standard one does into a larger one.
void check_limit() {
    Device<int> out(32), sink(1);
    CHECK(cudaDeviceSetLimit(cudaLimitStackSize, 64 << 10));
    size_t limit = 0;
    CHECK(cudaDeviceGetLimit(&limit, cudaLimitStackSize));
    EXPECT(limit >= 64 << 10);
    dig<<<1, 32>>>(200, out.data, sink.data);
    LAUNCHED();
    same("deep", out.host(), std::vector<int>(32, 200 * 201 / 2));
}

int main() {
    check_recursion();
    check_pointers();
    check_shapes();
    check_limit();
    return passed("functions");
}
