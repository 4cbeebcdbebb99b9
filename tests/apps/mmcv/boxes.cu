// Boxes of object detection: overlapping ones are suppressed, and features are pooled from the others, forwards and backwards.
#include "../check.cuh"
#define MMCV_WITH_TRT
#include <nms_cuda_kernel.cuh>
#include <roi_align_cuda_kernel.cuh>
#include <algorithm>

static void suppress() {
    constexpr int BOXES = 500, WORDS = (BOXES + 63) / 64;
    std::vector<float> boxes(BOXES * 4), corner = uniform(BOXES * 2, 1, 0, 200), size = uniform(BOXES * 2, 2, 5, 60);
    for (int i = 0; i < BOXES; ++i) {
        // Whole numbers, so that both sides compute areas exactly.
        for (int k = 0; k < 2; ++k) {
            boxes[i * 4 + k] = std::floor(corner[i * 2 + k]);
            boxes[i * 4 + 2 + k] = boxes[i * 4 + k] + std::floor(size[i * 2 + k]);
        }
    }
    const float threshold = 0.3f;
    auto overlap = [&](int a, int b) {
        const float *p = &boxes[a * 4], *q = &boxes[b * 4];
        double width = std::max(0.0f, std::min(p[2], q[2]) - std::max(p[0], q[0])), height = std::max(0.0f, std::min(p[3], q[3]) - std::max(p[1], q[1]));
        double both = width * height, all = (p[2] - p[0]) * (p[3] - p[1]) + (q[2] - q[0]) * (q[3] - q[1]) - both;
        return both > double(threshold) * all;
    };
    // Blocks below the diagonal leave their word as it was.
    std::vector<unsigned long long> want(BOXES * WORDS, 0);
    std::vector<uint8_t> keep(BOXES, 1);
    for (int a = 0; a < BOXES; ++a)
        for (int b = a + 1; b < BOXES; ++b)
            if (overlap(a, b)) {
                want[a * WORDS + b / 64] |= 1ull << b % 64;
                if (keep[a]) keep[b] = 0;
            }
    Device<float> from(boxes);
    Device<unsigned long long> mask(std::vector<unsigned long long>(BOXES * WORDS, 0));
    Device<uint8_t> kept(std::vector<uint8_t>(BOXES, 0));
    nms_cuda<<<dim3(WORDS, WORDS), threadsPerBlock>>>(BOXES, threshold, 0, from.data, mask.data);
    LAUNCHED();
    exact("nms_cuda", mask.host(), want);
    gather_keep_from_mask<<<1, std::min(WORDS, THREADS_PER_BLOCK), WORDS * sizeof(unsigned long long)>>>(reinterpret_cast<bool *>(kept.data), mask.data, BOXES);
    LAUNCHED();
    exact("gather_keep_from_mask", kept.host(), keep);
}

constexpr int IMAGES = 2, CHANNELS = 3, HEIGHT = 17, WIDTH = 23, ROIS = 9, OUT = 4, BINS = ROIS * CHANNELS * OUT * OUT;
constexpr double SCALE = 0.5;

// Calls `touch(pixel, weight)` for the four pixels around a point.
template <typename F> static void around(double y, double x, F touch) {
    if (y < -1 || y > HEIGHT || x < -1 || x > WIDTH) return;
    y = std::min(std::max(y, 0.0), HEIGHT - 1.0);
    x = std::min(std::max(x, 0.0), WIDTH - 1.0);
    int y0 = std::min(int(y), HEIGHT - 1), x0 = std::min(int(x), WIDTH - 1), y1 = std::min(y0 + 1, HEIGHT - 1), x1 = std::min(x0 + 1, WIDTH - 1);
    double v = y - y0, u = x - x0;
    touch(y0 * WIDTH + x0, (1 - v) * (1 - u));
    touch(y0 * WIDTH + x1, (1 - v) * u);
    touch(y1 * WIDTH + x0, v * (1 - u));
    touch(y1 * WIDTH + x1, v * u);
}

template <typename T> static void pool(const char *suffix, int mode, bool aligned, int sampling, double tolerance) {
    std::vector<float> image = uniform(IMAGES * CHANNELS * HEIGHT * WIDTH, 3, -1, 1), slope = uniform(BINS, 4, -1, 1);
    std::vector<T> in(image.begin(), image.end()), grad(slope.begin(), slope.end()), rois(ROIS * 5);
    std::vector<float> place = uniform(ROIS * 4, 5, 0, 1);
    for (int r = 0; r < ROIS; ++r) {
        rois[r * 5] = r % IMAGES;
        // Some reach out of the image; binary fractions are the same in both precisions.
        rois[r * 5 + 1] = std::floor(place[r * 4] * 300 - 40) / 8;
        rois[r * 5 + 2] = std::floor(place[r * 4 + 1] * 200 - 40) / 8;
        rois[r * 5 + 3] = rois[r * 5 + 1] + std::floor(place[r * 4 + 2] * 200) / 8;
        rois[r * 5 + 4] = rois[r * 5 + 2] + std::floor(place[r * 4 + 3] * 200) / 8;
    }
    std::vector<double> want(BINS), back(in.size(), 0);
    for (int i = 0; i < BINS; ++i) {
        int pw = i % OUT, ph = i / OUT % OUT, c = i / (OUT * OUT) % CHANNELS, r = i / (OUT * OUT * CHANNELS);
        double shift = aligned ? 0.5 : 0, left = rois[r * 5 + 1] * SCALE - shift, top = rois[r * 5 + 2] * SCALE - shift;
        double width = rois[r * 5 + 3] * SCALE - shift - left, height = rois[r * 5 + 4] * SCALE - shift - top;
        if (!aligned) width = std::max(width, 1.0), height = std::max(height, 1.0);
        int rows = sampling ? sampling : int(std::ceil(height / OUT)), columns = sampling ? sampling : int(std::ceil(width / OUT));
        size_t base = (size_t(rois[r * 5]) * CHANNELS + c) * HEIGHT * WIDTH;
        double sum = 0, best = -1e30, best_y = -1, best_x = -1;
        for (int iy = 0; iy < rows; ++iy)
            for (int ix = 0; ix < columns; ++ix) {
                double y = top + (ph + (iy + 0.5) / rows) * height / OUT, x = left + (pw + (ix + 0.5) / columns) * width / OUT, value = 0;
                around(y, x, [&](int at, double weight) { value += weight * in[base + at]; });
                sum += value;
                if (value > best) best = value, best_y = y, best_x = x;
                if (mode == 1) around(y, x, [&](int at, double weight) { back[base + at] += weight * grad[i] / (rows * columns); });
            }
        want[i] = mode == 1 ? sum / std::max(rows * columns, 1) : best;
        if (mode == 0 && rows * columns > 0) around(best_y, best_x, [&](int at, double weight) { back[base + at] += weight * grad[i]; });
    }
    Device<T> from(in), boxes(rois), to(BINS), ys(BINS), xs(BINS), up(grad), down(std::vector<T>(in.size(), T(0)));
    roi_align_forward_cuda_kernel<T><<<GET_BLOCKS(BINS), THREADS_PER_BLOCK>>>(BINS, from.data, boxes.data, to.data, ys.data, xs.data, OUT, OUT, T(SCALE),
                                                                             sampling, mode, aligned, CHANNELS, HEIGHT, WIDTH);
    LAUNCHED();
    close((std::string("roi_align_forward_cuda_kernel ") + suffix), to.host(), want, tolerance);
    roi_align_backward_cuda_kernel<T><<<GET_BLOCKS(BINS), THREADS_PER_BLOCK>>>(BINS, up.data, boxes.data, ys.data, xs.data, down.data, OUT, OUT, T(SCALE),
                                                                              sampling, mode, aligned, CHANNELS, HEIGHT, WIDTH);
    LAUNCHED();
    close((std::string("roi_align_backward_cuda_kernel ") + suffix), down.host(), back, tolerance);
}

int main() {
    suppress();
    for (bool aligned : {false, true})
        for (int sampling : {0, 2}) {
            pool<float>("float", 1, aligned, sampling, 2e-5);
            pool<double>("double", 1, aligned, sampling, 1e-12);
            pool<double>("double", 0, aligned, 2, 1e-12);
        }
    return verdict();
}
