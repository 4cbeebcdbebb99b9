// Images made larger by dfdx: nearest neighbours, forwards and backwards.
#include "../check.cuh"
#include "../device_only.cuh"
#include <upscale2d/upscale2d.cu>

int main() {
    Upscale2dOp op{2, 3, 5, 11, 7, 20};
    size_t small = 2 * 3 * 5 * 7, large = 2 * 3 * 11 * 20;
    Random random(9);
    std::vector<float> in(small), grad(large), want(large), back(small, 0.0f);
    for (float &x : in) x = static_cast<float>(random.between(-1, 1));
    // Sums of small whole numbers do not depend on the order of the atomic additions.
    for (float &x : grad) x = static_cast<float>(random.next() % 64);
    for (size_t i = 0; i < large; ++i) {
        size_t w = i % 20, h = i / 20 % 11, image = i / 220;
        size_t ih = std::min<size_t>(static_cast<size_t>(5.0f / 11.0f * h), 4), iw = std::min<size_t>(static_cast<size_t>(7.0f / 20.0f * w), 6);
        want[i] = in[image * 35 + ih * 7 + iw];
        back[image * 35 + ih * 7 + iw] += grad[i];
    }
    Device<float> from(in), to(large), slope(grad), gathered(std::vector<float>(small, 0.0f));
    Device<size_t> strides(std::vector<size_t>{105, 35, 7, 1});
    nearest_upscale2d_fwd_f32<<<5, 256>>>(op, strides.data, from.data, to.data);
    LAUNCHED();
    exact("nearest_upscale2d_fwd_f32", to.host(), want);
    nearest_upscale2d_bwd_f32<<<5, 256>>>(op, strides.data, gathered.data, slope.data);
    LAUNCHED();
    exact("nearest_upscale2d_bwd_f32", gathered.host(), back);
    return verdict();
}
