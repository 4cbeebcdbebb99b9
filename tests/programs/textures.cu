// Textures and surfaces against the CPU: lines, flat images, boxes, stacks, cube maps, levels of detail; filtering, addressing, formats;
// copies to and from arrays; surfaces that kernels write.
#include "check.cuh"
#include <cuda_fp16.h>

// ---- the CPU's side, after the appendix on texture fetching of the programming guide ----------------------------------------------

static int wrapped(long i, int n, cudaTextureAddressMode mode) {
    if (i >= 0 && i < n) return static_cast<int>(i);
    if (mode == cudaAddressModeWrap) return static_cast<int>((i % n + n) % n);
    if (mode == cudaAddressModeClamp) return i < 0 ? 0 : n - 1;
    if (mode == cudaAddressModeMirror) {
        long r = (i % (2 * n) + 2 * n) % (2 * n);
        return static_cast<int>(r < n ? r : 2 * n - 1 - r);
    }
    return -1;
}

struct Axis {
    int at[2];
    double weight[2];
    Axis(float x, int n, bool linear, bool normalized, cudaTextureAddressMode mode) {
        if (!normalized && mode != cudaAddressModeBorder) mode = cudaAddressModeClamp;
        float near = x;
        if (normalized && mode == cudaAddressModeWrap) near = x - std::floor(x);
        if (normalized && mode == cudaAddressModeMirror) near = x - 2 * std::floor(x / 2);
        float u = normalized ? near * static_cast<float>(n) : near;
        if (!linear) {
            at[0] = wrapped(std::lround(std::floor(u)), n, mode);
            at[1] = 0;
            weight[0] = 1;
            weight[1] = 0;
            return;
        }
        double b = static_cast<double>(u) - 0.5, low = std::floor(b);
        double upper = std::floor((b - low) * 256 + 0.5) / 256;
        at[0] = wrapped(static_cast<long>(low), n, mode);
        at[1] = wrapped(static_cast<long>(low) + 1, n, mode);
        weight[0] = 1 - upper;
        weight[1] = upper;
    }
};

struct Image {
    int width, height, depth;
    std::vector<float> texels;
    float at(int x, int y, int z) const {
        if (x < 0 || y < 0 || z < 0) return 0;
        return texels[(static_cast<size_t>(z) * height + y) * width + x];
    }
    float sample(const Axis &x, const Axis &y, const Axis &z) const {
        double sum = 0;
        for (int k = 0; k < 2; ++k)
            for (int j = 0; j < 2; ++j)
                for (int i = 0; i < 2; ++i) {
                    double weight = x.weight[i] * y.weight[j] * z.weight[k];
                    if (weight > 0) sum += weight * at(x.at[i], y.at[j], z.at[k]);
                }
        return static_cast<float>(sum);
    }
    Axis slice(int z) const { return Axis(static_cast<float>(z) + 0.25f, depth, false, false, cudaAddressModeClamp); }
    Axis whole() const { return Axis(0, 1, false, false, cudaAddressModeClamp); }
};

static Image image(int width, int height, int depth, uint64_t seed) {
    Image made{width, height, depth, {}};
    Random random(seed);
    for (int i = 0; i < width * height * depth; ++i) made.texels.push_back(static_cast<float>(random.between(-4, 4)));
    return made;
}

static std::vector<float> coordinates(size_t n, double low, double high, uint64_t seed) {
    std::vector<float> all;
    Random random(seed);
    for (size_t i = 0; i < n; ++i) all.push_back(static_cast<float>(random.between(low, high)));
    return all;
}

// ---- kernels ----------------------------------------------------------------------------------------------------------------------

__global__ void line(cudaTextureObject_t t, const float *x, float *out, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) out[i] = tex1D<float>(t, x[i]);
}
__global__ void flat(cudaTextureObject_t t, const float *x, const float *y, float *out, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) out[i] = tex2D<float>(t, x[i], y[i]);
}
__global__ void box(cudaTextureObject_t t, const float *x, const float *y, const float *z, float *out, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) out[i] = tex3D<float>(t, x[i], y[i], z[i]);
}
__global__ void stack(cudaTextureObject_t t, const float *x, const float *y, float *out, int n, int layers) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) out[i] = tex2DLayered<float>(t, x[i], y[i], i % layers);
}
__global__ void lines(cudaTextureObject_t t, const float *x, float *out, int n, int layers) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) out[i] = tex1DLayered<float>(t, x[i], i % layers);
}
__global__ void cube(cudaTextureObject_t t, const float *x, const float *y, const float *z, float *out, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) out[i] = texCubemap<float>(t, x[i], y[i], z[i]);
}
__global__ void detail(cudaTextureObject_t t, const float *x, const float *y, const float *level, float *out, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) out[i] = tex2DLod<float>(t, x[i], y[i], level[i]);
}
__global__ void fetch(cudaTextureObject_t t, int4 *out, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) out[i] = tex1Dfetch<int4>(t, i - 2);
}
__global__ void colours(cudaTextureObject_t raw, cudaTextureObject_t unit, uchar4 *out, float4 *fractions, int width, int height) {
    int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height) return;
    out[y * width + x] = tex2D<uchar4>(raw, x, y);
    fractions[y * width + x] = tex2D<float4>(unit, x, y);
}
__global__ void gathered(cudaTextureObject_t t, const float *x, const float *y, float4 *out, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) out[i] = tex2Dgather<float4>(t, x[i], y[i], 0);
}
__global__ void paint(cudaSurfaceObject_t to, int width, int height) {
    int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x < width && y < height) surf2Dwrite(make_float2(static_cast<float>(x), static_cast<float>(y) * 0.5f), to, x * sizeof(float2), y);
}
__global__ void blur(cudaSurfaceObject_t from, cudaSurfaceObject_t to, int width, int height) {
    int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height) return;
    float2 sum = make_float2(0, 0);
    for (int d = -1; d <= 1; ++d) {
        float2 v = surf2Dread<float2>(from, (x + d) * static_cast<int>(sizeof(float2)), y, cudaBoundaryModeZero);
        float2 w = surf2Dread<float2>(from, x * sizeof(float2), y + d, cudaBoundaryModeClamp);
        sum.x += v.x;
        sum.y += w.y;
    }
    surf2Dwrite(sum, to, x * sizeof(float2), y);
}
__global__ void fill_box(cudaSurfaceObject_t to, int width, int height, int depth) {
    int x = threadIdx.x, y = threadIdx.y, z = blockIdx.x;
    if (x < width && y < height && z < depth) surf3Dwrite(static_cast<unsigned char>(x + 10 * y + 50 * z), to, x, y, z);
}
__global__ void fill_layers(cudaSurfaceObject_t to, int width, int height) {
    int x = threadIdx.x, y = threadIdx.y, layer = blockIdx.x;
    if (x < width && y < height) surf2DLayeredwrite(1000 * layer + 10 * y + x, to, x * sizeof(int), y, layer);
}
__global__ void outside(cudaSurfaceObject_t from, int *out) { out[threadIdx.x] = surf2Dread<int>(from, 4 * threadIdx.x, 0); }

// ---- helpers ----------------------------------------------------------------------------------------------------------------------

static cudaTextureObject_t texture(cudaResourceDesc resource, bool linear, bool normalized, cudaTextureAddressMode mode,
                                   cudaTextureReadMode read = cudaReadModeElementType) {
    cudaTextureDesc how = {};
    for (auto &axis : how.addressMode) axis = mode;
    how.filterMode = linear ? cudaFilterModeLinear : cudaFilterModePoint;
    how.mipmapFilterMode = how.filterMode;
    how.maxMipmapLevelClamp = 99;
    how.normalizedCoords = normalized;
    how.readMode = read;
    cudaTextureObject_t object = 0;
    CHECK(cudaCreateTextureObject(&object, &resource, &how, nullptr));
    EXPECT(object != 0);
    return object;
}

static cudaResourceDesc of(cudaArray_t array) {
    cudaResourceDesc resource = {};
    resource.resType = cudaResourceTypeArray;
    resource.res.array.array = array;
    return resource;
}

static cudaArray_t filled(const Image &from, cudaExtent extent, unsigned flags) {
    cudaChannelFormatDesc format = cudaCreateChannelDesc<float>();
    cudaArray_t array;
    CHECK(cudaMalloc3DArray(&array, &format, extent, flags));
    cudaMemcpy3DParms copy = {};
    copy.srcPtr = make_cudaPitchedPtr(const_cast<float *>(from.texels.data()), from.width * sizeof(float), from.width, from.height);
    copy.dstArray = array;
    copy.extent = make_cudaExtent(from.width, from.height, from.depth);
    copy.kind = cudaMemcpyHostToDevice;
    CHECK(cudaMemcpy3D(&copy));
    return array;
}

constexpr int N = 3000;
constexpr int THREADS = 128, BLOCKS = (N + THREADS - 1) / THREADS;

struct Setting {
    bool linear, normalized;
    cudaTextureAddressMode mode;
};
static const Setting SETTINGS[] = {{false, false, cudaAddressModeClamp}, {true, false, cudaAddressModeClamp},
                                   {true, true, cudaAddressModeWrap},    {true, true, cudaAddressModeMirror},
                                   {true, true, cudaAddressModeClamp},   {true, false, cudaAddressModeBorder},
                                   {false, true, cudaAddressModeWrap}};

// ---- what is checked --------------------------------------------------------------------------------------------------------------

static void floats() {
    const int w = 37, h = 21, d = 11;
    for (const Setting &s : SETTINGS) {
        auto range = [&](int n, uint64_t seed) {
            return s.normalized ? coordinates(N, -1.7, 2.6, seed) : coordinates(N, -3, n + 3, seed);
        };
        auto xs = range(w, 1), ys = range(h, 2), zs = range(d, 3);
        Device<float> x(xs), y(ys), z(zs), out(N);
        std::vector<float> want(N);

        Image one = image(w, 1, 1, 10);
        cudaArray_t a1 = filled(Image{w, 1, 1, one.texels}, make_cudaExtent(w, 0, 0), 0);
        cudaTextureObject_t t1 = texture(of(a1), s.linear, s.normalized, s.mode);
        line<<<BLOCKS, THREADS>>>(t1, x.data, out.data, N);
        LAUNCHED();
        for (int i = 0; i < N; ++i) want[i] = one.sample(Axis(xs[i], w, s.linear, s.normalized, s.mode), one.whole(), one.whole());
        same("tex1D", out.host(), want);

        Image two = image(w, h, 1, 11);
        cudaArray_t a2 = filled(two, make_cudaExtent(w, h, 0), 0);
        cudaTextureObject_t t2 = texture(of(a2), s.linear, s.normalized, s.mode);
        flat<<<BLOCKS, THREADS>>>(t2, x.data, y.data, out.data, N);
        LAUNCHED();
        auto along = [&](float c, int n) { return Axis(c, n, s.linear, s.normalized, s.mode); };
        for (int i = 0; i < N; ++i) want[i] = two.sample(along(xs[i], w), along(ys[i], h), two.whole());
        same("tex2D", out.host(), want);

        Image three = image(w, h, d, 12);
        cudaArray_t a3 = filled(three, make_cudaExtent(w, h, d), 0);
        cudaTextureObject_t t3 = texture(of(a3), s.linear, s.normalized, s.mode);
        box<<<BLOCKS, THREADS>>>(t3, x.data, y.data, z.data, out.data, N);
        LAUNCHED();
        for (int i = 0; i < N; ++i) want[i] = three.sample(along(xs[i], w), along(ys[i], h), along(zs[i], d));
        same("tex3D", out.host(), want);

        cudaArray_t al = filled(three, make_cudaExtent(w, h, d), cudaArrayLayered);
        cudaTextureObject_t tl = texture(of(al), s.linear, s.normalized, s.mode);
        stack<<<BLOCKS, THREADS>>>(tl, x.data, y.data, out.data, N, d);
        LAUNCHED();
        for (int i = 0; i < N; ++i) want[i] = three.sample(along(xs[i], w), along(ys[i], h), three.slice(i % d));
        same("tex2DLayered", out.host(), want);

        Image rows = image(w, 1, d, 13);
        cudaArray_t ar = filled(rows, make_cudaExtent(w, 0, d), cudaArrayLayered);
        cudaTextureObject_t tr = texture(of(ar), s.linear, s.normalized, s.mode);
        lines<<<BLOCKS, THREADS>>>(tr, x.data, out.data, N, d);
        LAUNCHED();
        for (int i = 0; i < N; ++i) want[i] = rows.sample(along(xs[i], w), rows.whole(), rows.slice(i % d));
        same("tex1DLayered", out.host(), want);

        for (cudaTextureObject_t t : {t1, t2, t3, tl, tr}) CHECK(cudaDestroyTextureObject(t));
        for (cudaArray_t a : {a1, a2, a3, al, ar}) CHECK(cudaFreeArray(a));
    }
}

static void cubes() {
    const int side = 16;
    Image faces = image(side, side, 6, 20);
    cudaArray_t array = filled(faces, make_cudaExtent(side, side, 6), cudaArrayCubemap);
    cudaTextureObject_t t = texture(of(array), true, true, cudaAddressModeClamp);
    auto xs = coordinates(N, -1, 1, 21), ys = coordinates(N, -1, 1, 22), zs = coordinates(N, -1, 1, 23);
    Device<float> x(xs), y(ys), z(zs), out(N);
    cube<<<BLOCKS, THREADS>>>(t, x.data, y.data, z.data, out.data, N);
    LAUNCHED();
    std::vector<float> want(N);
    for (int i = 0; i < N; ++i) {
        float a = xs[i], b = ys[i], c = zs[i], m, s, v;
        int face;
        if (std::fabs(a) >= std::fabs(b) && std::fabs(a) >= std::fabs(c)) {
            face = a >= 0 ? 0 : 1, m = std::fabs(a), s = a >= 0 ? -c : c, v = -b;
        } else if (std::fabs(b) >= std::fabs(c)) {
            face = b >= 0 ? 2 : 3, m = std::fabs(b), s = a, v = b >= 0 ? c : -c;
        } else {
            face = c >= 0 ? 4 : 5, m = std::fabs(c), s = c >= 0 ? a : -a, v = -b;
        }
        float u = (s / m + 1) * 0.5f, w = (v / m + 1) * 0.5f;
        want[i] = faces.sample(Axis(u, side, true, true, cudaAddressModeClamp), Axis(w, side, true, true, cudaAddressModeClamp),
                               faces.slice(face));
    }
    same("texCubemap", out.host(), want);
    CHECK(cudaDestroyTextureObject(t));
    CHECK(cudaFreeArray(array));
}

static void levels() {
    const int w = 32, h = 16, count = 5;
    cudaChannelFormatDesc format = cudaCreateChannelDesc<float>();
    cudaMipmappedArray_t array;
    CHECK(cudaMallocMipmappedArray(&array, &format, make_cudaExtent(w, h, 0), count));
    std::vector<Image> all;
    for (int l = 0; l < count; ++l) {
        cudaArray_t level;
        CHECK(cudaGetMipmappedArrayLevel(&level, array, l));
        cudaExtent extent;
        cudaChannelFormatDesc found;
        unsigned flags;
        CHECK(cudaArrayGetInfo(&found, &extent, &flags, level));
        EXPECT(extent.width == static_cast<size_t>(w >> l) && extent.height == static_cast<size_t>(h >> l));
        EXPECT(found.x == 32 && found.y == 0 && found.f == cudaChannelFormatKindFloat);
        all.push_back(image(w >> l, h >> l, 1, 30 + l));
        CHECK(cudaMemcpy2DToArray(level, 0, 0, all[l].texels.data(), (w >> l) * sizeof(float), (w >> l) * sizeof(float), h >> l,
                                  cudaMemcpyHostToDevice));
    }
    cudaResourceDesc resource = {};
    resource.resType = cudaResourceTypeMipmappedArray;
    resource.res.mipmap.mipmap = array;
    cudaTextureObject_t t = texture(resource, true, true, cudaAddressModeWrap);
    auto xs = coordinates(N, -1, 2, 41), ys = coordinates(N, -1, 2, 42), ls = coordinates(N, -0.5, 5, 43);
    Device<float> x(xs), y(ys), level(ls), out(N);
    detail<<<BLOCKS, THREADS>>>(t, x.data, y.data, level.data, out.data, N);
    LAUNCHED();
    std::vector<float> want(N);
    for (int i = 0; i < N; ++i) {
        double lod = std::fmin(std::fmax(ls[i], 0), count - 1);
        int fixed = static_cast<int>(std::floor(lod * 256 + 0.5)), low = fixed / 256;
        double upper = fixed % 256 / 256.0;
        auto at = [&](int l) {
            const Image &from = all[l];
            double sum = 0;
            Axis a(xs[i], from.width, true, true, cudaAddressModeWrap), b(ys[i], from.height, true, true, cudaAddressModeWrap);
            for (int k = 0; k < 4; ++k) sum += a.weight[k & 1] * b.weight[k >> 1] * from.at(a.at[k & 1], b.at[k >> 1], 0);
            return sum;
        };
        want[i] = static_cast<float>(upper > 0 ? at(low) * (1 - upper) + at(low + 1) * upper : at(low));
    }
    near("tex2DLod", out.host(), want, 1e-6);
    CHECK(cudaDestroyTextureObject(t));
    CHECK(cudaFreeMipmappedArray(array));
}

static void plain_memory() {
    const int n = 50;
    std::vector<int4> data;
    for (int i = 0; i < n; ++i) data.push_back(make_int4(i, -i, 2 * i, 7));
    Device<int4> memory(data), out(n + 4);
    cudaResourceDesc resource = {};
    resource.resType = cudaResourceTypeLinear;
    resource.res.linear.devPtr = memory.data;
    resource.res.linear.desc = cudaCreateChannelDesc<int4>();
    resource.res.linear.sizeInBytes = n * sizeof(int4);
    cudaTextureObject_t t = texture(resource, false, false, cudaAddressModeClamp);
    fetch<<<1, n + 4>>>(t, out.data, n + 4);
    LAUNCHED();
    std::vector<int4> got = out.host();
    for (int i = 0; i < n + 4; ++i) {
        int4 want = i >= 2 && i < n + 2 ? data[i - 2] : make_int4(0, 0, 0, 0);
        EXPECT(std::memcmp(&got[i], &want, sizeof want) == 0);
    }
    cudaResourceDesc found;
    CHECK(cudaGetTextureObjectResourceDesc(&found, t));
    EXPECT(found.resType == cudaResourceTypeLinear && found.res.linear.devPtr == memory.data);
    cudaTextureDesc how;
    CHECK(cudaGetTextureObjectTextureDesc(&how, t));
    EXPECT(how.addressMode[0] == cudaAddressModeClamp && how.readMode == cudaReadModeElementType);
    CHECK(cudaDestroyTextureObject(t));

    // Rows in plain memory, filtered.
    const int w = 25, h = 13;
    Image rows = image(w, h, 1, 50);
    float *pitched;
    size_t pitch;
    CHECK(cudaMallocPitch(&pitched, &pitch, w * sizeof(float), h));
    CHECK(cudaMemcpy2D(pitched, pitch, rows.texels.data(), w * sizeof(float), w * sizeof(float), h, cudaMemcpyHostToDevice));
    resource = {};
    resource.resType = cudaResourceTypePitch2D;
    resource.res.pitch2D.devPtr = pitched;
    resource.res.pitch2D.desc = cudaCreateChannelDesc<float>();
    resource.res.pitch2D.width = w;
    resource.res.pitch2D.height = h;
    resource.res.pitch2D.pitchInBytes = pitch;
    t = texture(resource, true, false, cudaAddressModeClamp);
    auto xs = coordinates(N, -2, w + 2, 51), ys = coordinates(N, -2, h + 2, 52);
    Device<float> x(xs), y(ys), result(N);
    flat<<<BLOCKS, THREADS>>>(t, x.data, y.data, result.data, N);
    LAUNCHED();
    std::vector<float> want(N);
    for (int i = 0; i < N; ++i)
        want[i] = rows.sample(Axis(xs[i], w, true, false, cudaAddressModeClamp), Axis(ys[i], h, true, false, cudaAddressModeClamp), rows.whole());
    same("pitched memory", result.host(), want);
    CHECK(cudaDestroyTextureObject(t));
    CHECK(cudaFree(pitched));
}

static void formats() {
    const int w = 19, h = 9;
    std::vector<uchar4> data;
    Random random(60);
    for (int i = 0; i < w * h; ++i) {
        uint64_t r = random.next();
        data.push_back(make_uchar4(r, r >> 8, r >> 16, r >> 24));
    }
    cudaChannelFormatDesc format = cudaCreateChannelDesc<uchar4>();
    cudaArray_t array;
    CHECK(cudaMallocArray(&array, &format, w, h, cudaArrayTextureGather));
    CHECK(cudaMemcpy2DToArray(array, 0, 0, data.data(), w * 4, w * 4, h, cudaMemcpyHostToDevice));
    cudaTextureObject_t raw = texture(of(array), false, false, cudaAddressModeClamp);
    cudaTextureObject_t unit = texture(of(array), false, false, cudaAddressModeClamp, cudaReadModeNormalizedFloat);
    Device<uchar4> out(w * h);
    Device<float4> fractions(w * h);
    colours<<<dim3(3, 2), dim3(8, 8)>>>(raw, unit, out.data, fractions.data, w, h);
    LAUNCHED();
    std::vector<uchar4> got = out.host();
    std::vector<float4> parts = fractions.host();
    for (int i = 0; i < w * h; ++i) {
        EXPECT(std::memcmp(&got[i], &data[i], 4) == 0);
        EXPECT(parts[i].x == data[i].x / 255.0f && parts[i].y == data[i].y / 255.0f && parts[i].w == data[i].w / 255.0f);
    }
    auto xs = coordinates(N, -1, w + 1, 61), ys = coordinates(N, -1, h + 1, 62);
    Device<float> x(xs), y(ys);
    Device<float4> four(N);
    gathered<<<BLOCKS, THREADS>>>(unit, x.data, y.data, four.data, N);
    LAUNCHED();
    std::vector<float4> corners = four.host();
    for (int i = 0; i < N; ++i) {
        Axis a(xs[i], w, true, false, cudaAddressModeClamp), b(ys[i], h, true, false, cudaAddressModeClamp);
        auto red = [&](int p, int q) { return data[b.at[q] * w + a.at[p]].x / 255.0f; };
        EXPECT(corners[i].x == red(0, 1) && corners[i].y == red(1, 1) && corners[i].z == red(1, 0) && corners[i].w == red(0, 0));
    }
    cudaTextureObject_t wrong = 0;
    cudaResourceDesc resource = of(array);
    cudaTextureDesc how = {};
    how.filterMode = cudaFilterModeLinear;
    EXPECT(cudaCreateTextureObject(&wrong, &resource, &how, nullptr) != cudaSuccess);
    (void)cudaGetLastError();
    CHECK(cudaDestroyTextureObject(raw));
    CHECK(cudaDestroyTextureObject(unit));
    CHECK(cudaFreeArray(array));
}

static void surfaces() {
    const int w = 40, h = 24;
    cudaChannelFormatDesc format = cudaCreateChannelDesc<float2>();
    cudaArray_t a, b;
    CHECK(cudaMallocArray(&a, &format, w, h, cudaArraySurfaceLoadStore));
    CHECK(cudaMallocArray(&b, &format, w, h, cudaArraySurfaceLoadStore));
    cudaResourceDesc ra = of(a), rb = of(b);
    cudaSurfaceObject_t sa, sb;
    CHECK(cudaCreateSurfaceObject(&sa, &ra));
    CHECK(cudaCreateSurfaceObject(&sb, &rb));
    dim3 blocks(5, 3), threads(8, 8);
    paint<<<blocks, threads>>>(sa, w, h);
    blur<<<blocks, threads>>>(sa, sb, w, h);
    LAUNCHED();
    std::vector<float2> got(w * h);
    CHECK(cudaMemcpy2DFromArray(got.data(), w * sizeof(float2), b, 0, 0, w * sizeof(float2), h, cudaMemcpyDeviceToHost));
    for (int y = 0; y < h; ++y)
        for (int x = 0; x < w; ++x) {
            float2 want = make_float2(0, 0);
            for (int d = -1; d <= 1; ++d) {
                if (x + d >= 0 && x + d < w) want.x += static_cast<float>(x + d);
                int row = y + d < 0 ? 0 : y + d >= h ? h - 1 : y + d;
                want.y += static_cast<float>(row) * 0.5f;
            }
            EXPECT(std::memcmp(&got[y * w + x], &want, sizeof want) == 0);
        }
    CHECK(cudaDestroySurfaceObject(sa));
    CHECK(cudaDestroySurfaceObject(sb));
    CHECK(cudaFreeArray(a));
    CHECK(cudaFreeArray(b));

    // Boxes and stacks; odd sizes, so that rows have gaps.
    const int bw = 7, bh = 5, bd = 3;
    cudaChannelFormatDesc bytes = cudaCreateChannelDesc<unsigned char>(), words = cudaCreateChannelDesc<int>();
    cudaArray_t volume, layers;
    CHECK(cudaMalloc3DArray(&volume, &bytes, make_cudaExtent(bw, bh, bd), cudaArraySurfaceLoadStore));
    CHECK(cudaMalloc3DArray(&layers, &words, make_cudaExtent(bw, bh, bd), cudaArraySurfaceLoadStore | cudaArrayLayered));
    cudaResourceDesc rv = of(volume), rl = of(layers);
    cudaSurfaceObject_t sv, sl;
    CHECK(cudaCreateSurfaceObject(&sv, &rv));
    CHECK(cudaCreateSurfaceObject(&sl, &rl));
    fill_box<<<bd, dim3(8, 8)>>>(sv, bw, bh, bd);
    fill_layers<<<bd, dim3(8, 8)>>>(sl, bw, bh);
    LAUNCHED();
    std::vector<unsigned char> small(bw * bh * bd);
    std::vector<int> large(bw * bh * bd);
    cudaMemcpy3DParms copy = {};
    copy.srcArray = volume;
    copy.dstPtr = make_cudaPitchedPtr(small.data(), bw, bw, bh);
    copy.extent = make_cudaExtent(bw, bh, bd);
    copy.kind = cudaMemcpyDeviceToHost;
    CHECK(cudaMemcpy3D(&copy));
    copy.srcArray = layers;
    copy.dstPtr = make_cudaPitchedPtr(large.data(), bw * sizeof(int), bw, bh);
    CHECK(cudaMemcpy3D(&copy));
    for (int z = 0; z < bd; ++z)
        for (int y = 0; y < bh; ++y)
            for (int x = 0; x < bw; ++x) {
                EXPECT(small[(z * bh + y) * bw + x] == static_cast<unsigned char>(x + 10 * y + 50 * z));
                EXPECT(large[(z * bh + y) * bw + x] == 1000 * z + 10 * y + x);
            }
    CHECK(cudaDestroySurfaceObject(sv));
    CHECK(cudaDestroySurfaceObject(sl));
    CHECK(cudaFreeArray(volume));
    CHECK(cudaFreeArray(layers));
}

// Arrays as sources and destinations, large enough to go in pieces.
static void copies() {
    const int w = 700, h = 600;
    Image from = image(w, h, 1, 70);
    cudaChannelFormatDesc format = cudaCreateChannelDesc<float>();
    cudaArray_t a, b;
    CHECK(cudaMallocArray(&a, &format, w, h));
    CHECK(cudaMallocArray(&b, &format, w, h));
    size_t row = w * sizeof(float);
    cudaStream_t stream;
    CHECK(cudaStreamCreate(&stream));
    CHECK(cudaMemcpy2DToArrayAsync(a, 0, 0, from.texels.data(), row, row, h, cudaMemcpyHostToDevice, stream));
    CHECK(cudaStreamSynchronize(stream));
    CHECK(cudaMemcpy2DArrayToArray(b, 0, 0, a, 0, 0, row, h, cudaMemcpyDeviceToDevice));
    Device<float> linear(static_cast<size_t>(w) * h);
    CHECK(cudaMemcpy2DFromArray(linear.data, row, b, 0, 0, row, h, cudaMemcpyDeviceToDevice));
    same("array to memory", linear.host(), from.texels);
    std::vector<float> back(from.texels.size());
    CHECK(cudaMemcpy2DFromArray(back.data(), row, b, 0, 0, row, h, cudaMemcpyDeviceToHost));
    same("array to host", back, from.texels);
    float *pinned;
    CHECK(cudaMallocHost(&pinned, row * h));
    CHECK(cudaMemcpy2DFromArrayAsync(pinned, row, a, 0, 0, row, h, cudaMemcpyDeviceToHost, stream));
    CHECK(cudaStreamSynchronize(stream));
    EXPECT(std::memcmp(pinned, from.texels.data(), row * h) == 0);
    // A piece in the middle.
    float patch[6] = {1, 2, 3, 4, 5, 6};
    CHECK(cudaMemcpy2DToArray(a, 10 * sizeof(float), 20, patch, 3 * sizeof(float), 3 * sizeof(float), 2, cudaMemcpyHostToDevice));
    for (int i = 0; i < 6; ++i) from.texels[(20 + i / 3) * w + 10 + i % 3] = patch[i];
    CHECK(cudaMemcpy2DFromArray(back.data(), row, a, 0, 0, row, h, cudaMemcpyDefault));
    same("a piece of an array", back, from.texels);
    EXPECT(cudaMemcpy2DToArray(a, row, 0, patch, 4, 4, 1, cudaMemcpyHostToDevice) == cudaErrorInvalidValue);
    (void)cudaGetLastError();
    size_t before, after, total;
    CHECK(cudaMemGetInfo(&before, &total));
    CHECK(cudaFreeArray(a));
    CHECK(cudaFreeArray(b));
    CHECK(cudaMemGetInfo(&after, &total));
    EXPECT(after >= before + 2 * row * h);
    CHECK(cudaFreeHost(pinned));
    CHECK(cudaStreamDestroy(stream));
}

static void faults() {
    cudaChannelFormatDesc format = cudaCreateChannelDesc<int>();
    cudaArray_t array;
    CHECK(cudaMallocArray(&array, &format, 4, 4, cudaArraySurfaceLoadStore));
    cudaResourceDesc resource = of(array);
    cudaSurfaceObject_t surface;
    CHECK(cudaCreateSurfaceObject(&surface, &resource));
    Device<int> out(8);
    outside<<<1, 4>>>(surface, out.data);
    LAUNCHED();
    outside<<<1, 8>>>(surface, out.data);
    EXPECT(cudaDeviceSynchronize() == cudaErrorLaunchFailure);
}

int main() {
    floats();
    cubes();
    levels();
    plain_memory();
    formats();
    surfaces();
    copies();
    std::printf("PASS textures\n");
    std::fflush(stdout);
    // Last: it costs the context.
    faults();
    return 0;
}
