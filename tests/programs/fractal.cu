// Mandelbrot set, whose threads leave their loop at different times, and SHA-256, all of it 32-bit rotations and sums.
#include "check.cuh"
#include <string>

__host__ __device__ inline int escape(double cx, double cy, int limit) {
    double x = 0, y = 0;
    int i = 0;
    for (; i < limit; ++i) {
        double xx = x * x, yy = y * y;
        if (xx + yy > 4.0) break;
        y = 2.0 * x * y + cy;
        x = xx - yy + cx;
    }
    return i;
}

__global__ void mandelbrot(int *out, int width, int height, int limit) {
    int px = blockIdx.x * blockDim.x + threadIdx.x, py = blockIdx.y * blockDim.y + threadIdx.y;
    if (px >= width || py >= height) return;
    out[py * width + px] = escape(-2.0 + 3.0 * px / width, -1.5 + 3.0 * py / height, limit);
}

__constant__ uint32_t K[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
    0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
    0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
    0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
    0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
    0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

__device__ uint32_t rotate(uint32_t value, int by) { return (value >> by) | (value << (32 - by)); }

// Messages of up to 55 bytes, so that each fills one block of the algorithm. One message per thread.
__global__ void sha256(const unsigned char *messages, const int *lengths, uint32_t *digests, int n) {
    int t = blockIdx.x * blockDim.x + threadIdx.x;
    if (t >= n) return;
    const unsigned char *message = messages + 64 * t;
    int length = lengths[t];
    uint32_t w[64];
    for (int i = 0; i < 16; ++i) {
        uint32_t word = 0;
        for (int j = 0; j < 4; ++j) {
            int at = 4 * i + j;
            uint32_t byte = at < length ? message[at] : at == length ? 0x80 : 0;
            word = word << 8 | byte;
        }
        w[i] = word;
    }
    w[15] = static_cast<uint32_t>(length) * 8;
    for (int i = 16; i < 64; ++i) {
        uint32_t s0 = rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ (w[i - 15] >> 3);
        uint32_t s1 = rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ (w[i - 2] >> 10);
        w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
    uint32_t h[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19}, s[8];
    for (int i = 0; i < 8; ++i) s[i] = h[i];
    for (int i = 0; i < 64; ++i) {
        uint32_t s1 = rotate(s[4], 6) ^ rotate(s[4], 11) ^ rotate(s[4], 25);
        uint32_t choose = (s[4] & s[5]) ^ (~s[4] & s[6]);
        uint32_t t1 = s[7] + s1 + choose + K[i] + w[i];
        uint32_t s0 = rotate(s[0], 2) ^ rotate(s[0], 13) ^ rotate(s[0], 22);
        uint32_t t2 = s0 + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
        s[7] = s[6], s[6] = s[5], s[5] = s[4], s[4] = s[3] + t1, s[3] = s[2], s[2] = s[1], s[1] = s[0], s[0] = t1 + t2;
    }
    for (int i = 0; i < 8; ++i) digests[8 * t + i] = h[i] + s[i];
}

std::string hex(const uint32_t *digest) {
    char text[65];
    for (int i = 0; i < 8; ++i) std::snprintf(text + 8 * i, 9, "%08x", digest[i]);
    return text;
}

int main() {
    const int width = 203, height = 150, limit = 200;
    Device<int> image(width * height);
    mandelbrot<<<dim3((width + 15) / 16, (height + 7) / 8), dim3(16, 8)>>>(image.data, width, height, limit);
    LAUNCHED();
    std::vector<int> got = image.host();
    int different = 0;
    for (int y = 0; y < height; ++y)
        for (int x = 0; x < width; ++x)
            different += got[y * width + x] != escape(-2.0 + 3.0 * x / width, -1.5 + 3.0 * y / height, limit);
    // The compiler may contract differently for host and device, which moves a few points of the border.
    if (different > width * height / 200) fail("mandelbrot: %d of %d points differ", different, width * height);

    // Published examples, and one message repeated by many threads.
    const std::vector<std::pair<std::string, std::string>> known = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"The quick brown fox jumps over the lazy dog", "d7a8fbb307d7809469ca9abcb0082e4f8d5651e46d3cdb762d02d0bf37c9e592"}};
    const int n = 999;
    std::vector<unsigned char> messages(64 * n, 0);
    std::vector<int> lengths(n);
    for (int i = 0; i < n; ++i) {
        const std::string &text = known[i % known.size()].first;
        std::memcpy(&messages[64 * i], text.data(), text.size());
        lengths[i] = static_cast<int>(text.size());
    }
    Device<unsigned char> dmessages(messages);
    Device<int> dlengths(lengths);
    Device<uint32_t> digests(8 * n);
    sha256<<<(n + 63) / 64, 64>>>(dmessages.data, dlengths.data, digests.data, n);
    LAUNCHED();
    std::vector<uint32_t> result = digests.host();
    for (int i = 0; i < n; ++i)
        if (hex(&result[8 * i]) != known[i % known.size()].second) fail("sha256 of message %d: %s", i, hex(&result[8 * i]).c_str());
    return passed("fractal: mandelbrot, sha256");
}
