// Scenes of Gaussians drawn by gsplat: projected, assigned to tiles, blended front to back.
#include "../check.cuh"
#include <forward.cu>
#include <numeric>

constexpr int COUNT = 300, WIDTH = 72, HEIGHT = 50, TILE = 16;
constexpr float FX = 60, FY = 66, CX = 35.5f, CY = 24, NEAR = 0.5f, SCALE = 1.3f;
const dim3 IMAGE(WIDTH, HEIGHT, 1), TILES((WIDTH + TILE - 1) / TILE, (HEIGHT + TILE - 1) / TILE, 1);

using Matrix = std::vector<double>;

// Product of matrices of three columns; `turned` takes the second one's transpose.
static Matrix times(const Matrix &a, const Matrix &b, bool turned = false) {
    Matrix to(9, 0);
    for (int i = 0; i < 3; ++i)
        for (int j = 0; j < 3; ++j)
            for (int k = 0; k < 3; ++k) to[i * 3 + j] += a[i * 3 + k] * (turned ? b[j * 3 + k] : b[k * 3 + j]);
    return to;
}

template <typename T, typename F> static std::vector<float> flat(const std::vector<T> &from, F at) {
    std::vector<float> to;
    for (const T &x : from) at(x, to);
    return to;
}

int main() {
    std::vector<float> place = uniform(COUNT * 3, 1, -2, 2), size = uniform(COUNT * 3, 2, 0.02, 0.3), turn = uniform(COUNT * 4, 3, -1, 1);
    std::vector<float3> means(COUNT), scales(COUNT);
    std::vector<float4> quats(COUNT);
    // A camera that is turned and moved.
    const double c = std::cos(0.3), s = std::sin(0.3);
    const std::vector<float> view{float(c), 0, float(s), 0.1f, 0, 1, 0, -0.2f, float(-s), 0, float(c), 3, 0, 0, 0, 1};
    for (int i = 0; i < COUNT; ++i) {
        means[i] = {place[i * 3], place[i * 3 + 1], place[i * 3 + 2] * (i % 10 ? 1 : 3)};
        scales[i] = {size[i * 3], size[i * 3 + 1], size[i * 3 + 2]};
        float *q = &turn[i * 4], length = std::sqrt(q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3]);
        quats[i] = {q[0] / length, q[1] / length, q[2] / length, q[3] / length};
    }
    Device<float3> dm(means), ds(scales), dconic(std::vector<float3>(COUNT, float3{0, 0, 0}));
    Device<float4> dq(quats);
    Device<float> dview(view), dcov(std::vector<float>(COUNT * 6, 0)), ddepth(std::vector<float>(COUNT, 0)), dcomp(std::vector<float>(COUNT, 0));
    Device<float2> dxy(std::vector<float2>(COUNT, float2{0, 0}));
    Device<int> dradius(COUNT), dhits(COUNT);
    project_gaussians_forward_kernel<<<(COUNT + 255) / 256, 256>>>(COUNT, dm.data, ds.data, SCALE, dq.data, dview.data, float4{FX, FY, CX, CY}, IMAGE, TILES,
                                                                   TILE, NEAR, dcov.data, dxy.data, ddepth.data, dradius.data, dconic.data, dcomp.data, dhits.data);
    LAUNCHED();
    std::vector<int> radius = dradius.host(), hits = dhits.host(), want_radius(COUNT, 0), want_hits(COUNT, 0);
    std::vector<float2> xy = dxy.host();
    std::vector<float3> conic = dconic.host();
    std::vector<float> depth = ddepth.host();
    std::vector<double> want_cov(COUNT * 6, 0), want_xy(COUNT * 2, 0), want_depth(COUNT, 0), want_conic(COUNT * 3, 0), want_comp(COUNT, 0);
    // The tiles that a circle touches, with the numbers that the device found.
    auto box = [&](int i, int to[4]) {
        const float at[2] = {xy[i].x / TILE, xy[i].y / TILE}, reach = radius[i] / float(TILE);
        const int limit[2] = {int(TILES.x), int(TILES.y)};
        for (int k = 0; k < 2; ++k) {
            to[k] = std::min(std::max(0, int(at[k] - reach)), limit[k]);
            to[2 + k] = std::min(std::max(0, int(at[k] + reach + 1)), limit[k]);
        }
    };
    for (int i = 0; i < COUNT; ++i) {
        const float3 m = means[i];
        double p[3];
        for (int k = 0; k < 3; ++k) p[k] = double(view[k * 4]) * m.x + double(view[k * 4 + 1]) * m.y + double(view[k * 4 + 2]) * m.z + view[k * 4 + 3];
        EXPECT(std::fabs(p[2] - NEAR) > 1e-4);
        if (p[2] <= NEAR) continue;
        double w = quats[i].x, x = quats[i].y, y = quats[i].z, z = quats[i].w;
        Matrix r{1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y), 2 * (x * y + w * z), 1 - 2 * (x * x + z * z),
                 2 * (y * z - w * x),     2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)};
        const double lengths[3] = {scales[i].x * double(SCALE), scales[i].y * double(SCALE), scales[i].z * double(SCALE)};
        Matrix rs(9);
        for (int k = 0; k < 9; ++k) rs[k] = r[k] * lengths[k % 3];
        Matrix cov = times(rs, rs, true);
        const int upper[6] = {0, 1, 2, 4, 5, 8};
        for (int k = 0; k < 6; ++k) want_cov[i * 6 + k] = cov[upper[k]];
        // The slope of the projection, which is not followed far out of the image.
        double limit_x = 1.3 * 0.5 * WIDTH / FX, limit_y = 1.3 * 0.5 * HEIGHT / FY;
        double tx = p[2] * std::min(limit_x, std::max(-limit_x, p[0] / p[2])), ty = p[2] * std::min(limit_y, std::max(-limit_y, p[1] / p[2]));
        Matrix slope{FX / p[2], 0, -FX * tx / (p[2] * p[2]), 0, FY / p[2], -FY * ty / (p[2] * p[2]), 0, 0, 0};
        Matrix rotation{view[0], view[1], view[2], view[4], view[5], view[6], view[8], view[9], view[10]};
        Matrix t = times(slope, rotation), flat_cov = times(times(t, cov), t, true);
        double a = flat_cov[0] + 0.3, b = flat_cov[1], d = flat_cov[4] + 0.3, det = a * d - b * b;
        want_conic[i * 3] = d / det, want_conic[i * 3 + 1] = -b / det, want_conic[i * 3 + 2] = a / det;
        double half = 0.5 * (a + d), reach = 3 * std::sqrt(half + std::sqrt(std::max(0.1, half * half - det)));
        if (hits[i] > 0) {
            want_xy[i * 2] = p[0] / (p[2] + 1e-6) * FX + CX, want_xy[i * 2 + 1] = p[1] / (p[2] + 1e-6) * FY + CY;
            want_depth[i] = p[2];
            want_comp[i] = std::sqrt(std::max(0.0, (flat_cov[0] * flat_cov[4] - b * b) / det));
            // Just at a whole number either side may round up.
            want_radius[i] = std::fabs(reach - std::round(reach)) < 1e-3 ? radius[i] : int(std::ceil(reach));
            int at[4];
            box(i, at);
            want_hits[i] = (at[2] - at[0]) * (at[3] - at[1]);
        } else {
            // It must lie off the image.
            double sx = p[0] / p[2] * FX + CX, sy = p[1] / p[2] * FY + CY, far = std::ceil(reach) + TILE;
            EXPECT(sx + reach < 1 || sy + reach < 1 || sx - far > WIDTH - TILE || sy - far > HEIGHT - TILE);
        }
    }
    const char *kernel = "project_gaussians_forward_kernel";
    close(kernel, dcov.host(), want_cov, 1e-5);
    close(kernel, flat(xy, [](float2 v, auto &to) { to.insert(to.end(), {v.x, v.y}); }), want_xy, 1e-5);
    close(kernel, depth, want_depth, 1e-5);
    close(kernel, flat(conic, [](float3 v, auto &to) { to.insert(to.end(), {v.x, v.y, v.z}); }), want_conic, 1e-3);
    close(kernel, dcomp.host(), want_comp, 2e-3);
    exact(kernel, radius, want_radius);
    exact(kernel, hits, want_hits);

    // A key per tile and Gaussian: the tile above the bits of the depth.
    std::vector<int> ends(COUNT);
    std::partial_sum(hits.begin(), hits.end(), ends.begin());
    const int total = ends.back();
    std::vector<int64_t> keys;
    std::vector<int> ids;
    for (int i = 0; i < COUNT; ++i) {
        if (hits[i] == 0) continue;
        int at[4];
        uint32_t bits;
        std::memcpy(&bits, &depth[i], 4);
        box(i, at);
        for (int y = at[1]; y < at[3]; ++y)
            for (int x = at[0]; x < at[2]; ++x) {
                keys.push_back(int64_t(y * int(TILES.x) + x) << 32 | bits);
                ids.push_back(i);
            }
    }
    Device<int> dends(ends), dids(total);
    Device<int64_t> dkeys(total);
    map_gaussian_to_intersects<<<(COUNT + 255) / 256, 256>>>(COUNT, dxy.data, ddepth.data, dradius.data, dends.data, TILES, TILE, dkeys.data, dids.data);
    LAUNCHED();
    exact("map_gaussian_to_intersects", dkeys.host(), keys);
    exact("map_gaussian_to_intersects", dids.host(), ids);

    std::vector<int> order(total), sorted_ids(total), bins(TILES.x * TILES.y * 2, 0);
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return keys[a] < keys[b]; });
    std::vector<int64_t> sorted(total);
    for (int i = 0; i < total; ++i) {
        sorted[i] = keys[order[i]];
        sorted_ids[i] = ids[order[i]];
        int tile = int(sorted[i] >> 32);
        if (i == 0 || sorted[i - 1] >> 32 != tile) bins[tile * 2] = i;
        bins[tile * 2 + 1] = i + 1;
    }
    Device<int64_t> dsorted(sorted);
    Device<int> dbins(std::vector<int>(bins.size(), 0)), dsorted_ids(sorted_ids);
    get_tile_bin_edges<<<(total + 255) / 256, 256>>>(total, dsorted.data, reinterpret_cast<int2 *>(dbins.data));
    LAUNCHED();
    exact("get_tile_bin_edges", dbins.host(), bins);

    std::vector<float> colour = uniform(COUNT * 3, 4, 0, 1), opacity = uniform(COUNT, 5, 0.1, 1.2), back{0.2f, 0.5f, 0.9f};
    Device<float> dcolour(colour), dopacity(opacity), dback(back), dleft(WIDTH * HEIGHT), dimage(WIDTH * HEIGHT * 3);
    Device<int> dlast(WIDTH * HEIGHT);
    rasterize_forward<<<TILES, dim3(TILE, TILE)>>>(TILES, IMAGE, dsorted_ids.data, reinterpret_cast<int2 *>(dbins.data), dxy.data, dconic.data,
                                                   reinterpret_cast<float3 *>(dcolour.data), dopacity.data, dleft.data, dlast.data,
                                                   reinterpret_cast<float3 *>(dimage.data), *reinterpret_cast<float3 *>(dback.data));
    LAUNCHED();
    std::vector<float> image = dimage.host(), left = dleft.host(), got_image, got_left;
    std::vector<double> want_image, want_left;
    std::vector<int> last = dlast.host(), got_last, want_last;
    int open = 0;
    for (int pixel = 0; pixel < WIDTH * HEIGHT; ++pixel) {
        int px = pixel % WIDTH, py = pixel / WIDTH, tile = py / TILE * int(TILES.x) + px / TILE, end = 0;
        double through = 1, colours[3] = {0, 0, 0};
        // Where a decision hangs on the last bits, both sides may be right.
        bool sure = true;
        for (int i = bins[tile * 2]; i < bins[tile * 2 + 1]; ++i) {
            int g = sorted_ids[i];
            double dx = xy[g].x - (px + 0.5), dy = xy[g].y - (py + 0.5);
            double sigma = 0.5 * (conic[g].x * dx * dx + conic[g].z * dy * dy) + conic[g].y * dx * dy, alpha = std::min(0.999, opacity[g] * std::exp(-sigma));
            sure &= std::fabs(alpha * 255 - 1) > 1e-4 && std::fabs(sigma) > 1e-6;
            if (sigma < 0 || alpha < 1.0 / 255) continue;
            double next = through * (1 - alpha);
            sure &= std::fabs(next - 1e-4) > 1e-7;
            if (next <= 1e-4) break;
            for (int k = 0; k < 3; ++k) colours[k] += colour[g * 3 + k] * alpha * through;
            through = next;
            end = i;
        }
        if (!sure) {
            ++open;
            continue;
        }
        for (int k = 0; k < 3; ++k) {
            want_image.push_back(colours[k] + through * back[k]);
            got_image.push_back(image[pixel * 3 + k]);
        }
        want_left.push_back(through);
        got_left.push_back(left[pixel]);
        want_last.push_back(end);
        got_last.push_back(last[pixel]);
    }
    EXPECT(open < WIDTH * HEIGHT / 50);
    close("rasterize_forward", got_image, want_image, 1e-4);
    close("rasterize_forward", got_left, want_left, 1e-4);
    exact("rasterize_forward", got_last, want_last);
    return verdict();
}
