// Ripser++ as a whole: the holes of clouds of points, as a filtration of simplices makes and fills them.
#include <thrust/sort.h>
// Two units that become one here: each has a `hash_map`, and one a program of its own.
#define hash_map other_hash_map
#include <phmap_interface/phmap_interface.cpp>
#undef hash_map
#define main ripser_main
#include <ripser++.cu>
#undef main
#include "../check.cuh"
#include <iterator>
#include <map>

using Bars = std::vector<std::pair<float, float>>;

// A simplex as its corners in rising order, with its diameter.
struct Simplex {
    float diameter;
    std::vector<int> corners;
    bool operator<(const Simplex &o) const {
        if (diameter != o.diameter) return diameter < o.diameter;
        return corners.size() != o.corners.size() ? corners.size() < o.corners.size() : corners < o.corners;
    }
};

// Bars of all dimensions up to `most` by the reduction of the boundary matrix over two elements, column by column.
static std::vector<Bars> reduced(const std::vector<float> &apart, int count, int most) {
    std::vector<Simplex> all;
    std::vector<int> corners;
    auto extend = [&](auto &self, float diameter, int next) -> void {
        if (!corners.empty()) all.push_back({diameter, corners});
        if (int(corners.size()) == most + 2) return;
        for (int v = next; v < count; ++v) {
            float wider = diameter;
            for (int u : corners) wider = std::max(wider, apart[u * count + v]);
            corners.push_back(v);
            self(self, wider, v + 1);
            corners.pop_back();
        }
    };
    extend(extend, 0, 0);
    std::sort(all.begin(), all.end());
    std::map<std::vector<int>, int> place;
    for (size_t i = 0; i < all.size(); ++i) place[all[i].corners] = int(i);
    std::vector<std::vector<int>> columns(all.size());
    std::vector<int> owner(all.size(), -1);
    std::vector<Bars> bars(most + 1);
    for (size_t i = 0; i < all.size(); ++i) {
        std::vector<int> column;
        for (size_t k = 0; all[i].corners.size() > 1 && k < all[i].corners.size(); ++k) {
            std::vector<int> face = all[i].corners;
            face.erase(face.begin() + k);
            column.push_back(place[face]);
        }
        std::sort(column.begin(), column.end());
        while (!column.empty() && owner[column.back()] >= 0) {
            std::vector<int> sum;
            const std::vector<int> &other = columns[owner[column.back()]];
            std::set_symmetric_difference(column.begin(), column.end(), other.begin(), other.end(), std::back_inserter(sum));
            column = sum;
        }
        if (column.empty()) continue;
        const Simplex &born = all[column.back()];
        owner[column.back()] = int(i);
        if (born.diameter < all[i].diameter) bars[born.corners.size() - 1].push_back({born.diameter, all[i].diameter});
        columns[i] = std::move(column);
    }
    return bars;
}

static std::vector<float> flat(Bars bars) {
    std::sort(bars.begin(), bars.end());
    std::vector<float> to;
    for (auto [birth, death] : bars) to.insert(to.end(), {birth, death});
    return to;
}

static void check(int count, int most, bool sparse) {
    // Two noisy circles, and something in the third dimension.
    Random random(count);
    std::vector<double> points;
    for (int i = 0; i < count; ++i) {
        double angle = random.between(0, 2 * M_PI);
        points.insert(points.end(), {std::cos(angle) + i % 2 * 2.5, std::sin(angle), random.between(-0.3, 0.3)});
    }
    std::vector<float> apart(count * count);
    for (int i = 0; i < count; ++i)
        for (int j = 0; j < count; ++j) {
            double sum = 0;
            for (int k = 0; k < 3; ++k) sum += std::pow(points[i * 3 + k] - points[j * 3 + k], 2);
            apart[i * count + j] = static_cast<float>(std::sqrt(sum));
        }
    // Given as its lower triangle, row by row.
    std::vector<float> lower;
    for (int i = 0; i < count; ++i) lower.insert(lower.end(), &apart[i * count], &apart[i * count] + i);
    std::string dim = std::to_string(most);
    std::vector<const char *> arguments{"--dim", dim.c_str(), "--format", "lower-distance"};
    // A threshold above everything, so that nothing is cut off; a sparse matrix is one with a threshold.
    if (sparse) arguments.insert(arguments.end(), {"--sparse", "--threshold", "100"});
    run_main(int(arguments.size()), const_cast<char **>(arguments.data()), lower.data(), int(lower.size()), count, count);
    std::vector<Bars> want = reduced(apart, count, most);
    // Each of these makes a part of what is read here; a wrong part is a wrong bar.
    std::vector<const char *> kernels{"populate_edges", "coboundary_findapparent_single_kernel", "init_cidx_to_diam", "gpu_insert_pivots_kernel"};
    if (sparse) kernels = {"populate_sparse_edges_preparingcount", "populate_sparse_edges_prefixsum", "coboundary_findapparent_sparse_single_kernel"};
    for (int d = 0; d <= most; ++d) {
        Bars got;
        for (const birth_death_coordinate &bar : list_of_barcodes[d])
            if (bar.birth < bar.death && bar.death < 100) got.push_back({bar.birth, bar.death});
        std::vector<float> is = flat(got), should = flat(want[d]);
        for (const char *kernel : kernels)
            exact(kernel, is, should);
    }
}

int main() {
    check(40, 1, false);
    check(16, 2, false);
    check(40, 1, true);
    return verdict();
}
