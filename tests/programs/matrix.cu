// Tiled matrix product and transpose, with edges that do not fill a tile.
#include "check.cuh"

constexpr int TILE = 16;

__global__ void multiply(const float *a, const float *b, float *c, int rows, int inner, int columns) {
    __shared__ float ta[TILE][TILE], tb[TILE][TILE];
    int row = blockIdx.y * TILE + threadIdx.y, column = blockIdx.x * TILE + threadIdx.x;
    float sum = 0;
    for (int tile = 0; tile < inner; tile += TILE) {
        int ka = tile + threadIdx.x, kb = tile + threadIdx.y;
        ta[threadIdx.y][threadIdx.x] = row < rows && ka < inner ? a[row * inner + ka] : 0;
        tb[threadIdx.y][threadIdx.x] = kb < inner && column < columns ? b[kb * columns + column] : 0;
        __syncthreads();
#pragma unroll
        for (int k = 0; k < TILE; ++k) sum += ta[threadIdx.y][k] * tb[k][threadIdx.x];
        __syncthreads();
    }
    if (row < rows && column < columns) c[row * columns + column] = sum;
}

// 32 x 32 tiles by 32 x 8 threads; the padding keeps columns of a tile in different banks.
__global__ void transpose(const int *in, int *out, int rows, int columns) {
    __shared__ int tile[32][33];
    int x = blockIdx.x * 32 + threadIdx.x, y = blockIdx.y * 32 + threadIdx.y;
    for (int j = 0; j < 32; j += 8)
        if (x < columns && y + j < rows) tile[threadIdx.y + j][threadIdx.x] = in[(y + j) * columns + x];
    __syncthreads();
    x = blockIdx.y * 32 + threadIdx.x;
    y = blockIdx.x * 32 + threadIdx.y;
    for (int j = 0; j < 32; j += 8)
        if (x < rows && y + j < columns) out[(y + j) * rows + x] = tile[threadIdx.x][threadIdx.y + j];
}

int main() {
    const int rows = 150, inner = 201, columns = 117;
    Random random(3);
    std::vector<float> a(rows * inner), b(inner * columns), want(rows * columns);
    for (float &value : a) value = static_cast<float>(random.between(-1, 1));
    for (float &value : b) value = static_cast<float>(random.between(-1, 1));
    for (int i = 0; i < rows; ++i)
        for (int j = 0; j < columns; ++j) {
            double sum = 0;
            for (int k = 0; k < inner; ++k) sum += static_cast<double>(a[i * inner + k]) * b[k * columns + j];
            want[i * columns + j] = static_cast<float>(sum);
        }
    Device<float> da(a), db(b), dc(rows * columns);
    dim3 grid((columns + TILE - 1) / TILE, (rows + TILE - 1) / TILE), block(TILE, TILE);
    multiply<<<grid, block>>>(da.data, db.data, dc.data, rows, inner, columns);
    LAUNCHED();
    near("matrix product", dc.host(), want, 1e-5);

    const int r = 203, c = 310;
    std::vector<int> in(r * c), turned(r * c);
    for (int i = 0; i < r; ++i)
        for (int j = 0; j < c; ++j) {
            in[i * c + j] = i * 1000 + j;
            turned[j * r + i] = in[i * c + j];
        }
    Device<int> din(in), dout(r * c);
    transpose<<<dim3((c + 31) / 32, (r + 31) / 32), dim3(32, 8)>>>(din.data, dout.data, r, c);
    LAUNCHED();
    same("transpose", dout.host(), turned);
    return passed("matrix: tiled product, transpose");
}
