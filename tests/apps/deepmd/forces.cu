// Molecular dynamics of DeePMD: forces and virials from the derivatives of a network, and its activation.
#include "../check.cuh"
#define GOOGLE_CUDA 1
#include <gelu.cu>
#include <prod_force.cu>
#include <prod_virial.cu>

constexpr int FRAMES = 2, LOCAL = 30, ALL = 41, NEAR = 70;

template <typename T> static std::string named(const char *kernel) { return std::string(kernel) + (sizeof(T) == 4 ? " float" : " double"); }

template <typename T> static std::vector<T> values(size_t count, uint64_t seed) {
    std::vector<float> from = uniform(count, seed, -1, 1);
    return std::vector<T>(from.begin(), from.end());
}

// `WIDE` numbers describe a neighbour: its distance alone, or its direction too.
template <typename T, int WIDE> static void forces(double tolerance) {
    constexpr size_t PAIRS = size_t(FRAMES) * LOCAL * NEAR;
    std::vector<T> net = values<T>(PAIRS * WIDE, 1), env = values<T>(PAIRS * WIDE * 3, 2), apart = values<T>(PAIRS * 3, 3);
    std::vector<int> list(PAIRS);
    Random random(4);
    for (int &j : list) j = static_cast<int>(random.next() % (ALL + 8)) - 8;
    Device<T> dnet(net), denv(env), dapart(apart), force(size_t(FRAMES) * ALL * 3), virial(9), atoms(ALL * 9);
    Device<int> dlist(list);
    std::vector<double> center(FRAMES * ALL * 3, 0), total(9, 0), each(ALL * 9, 0);
    for (size_t pair = 0; pair < PAIRS; ++pair) {
        int i = int(pair / NEAR), frame = i / LOCAL, j = list[pair] < 0 ? -1 : list[pair];
        for (int w = 0; w < WIDE; ++w)
            for (int k = 0; k < 3; ++k) {
                double push = double(net[pair * WIDE + w]) * env[(pair * WIDE + w) * 3 + k];
                center[(frame * ALL + i % LOCAL) * 3 + k] -= push;
                if (j >= 0) center[(frame * ALL + j) * 3 + k] += push;
                if (j >= 0 && frame == 0)
                    for (int l = 0; l < 3; ++l) {
                        each[j * 9 + k * 3 + l] += push * apart[pair * 3 + l];
                        total[k * 3 + l] += push * apart[pair * 3 + l];
                    }
            }
    }
    auto push = WIDE == 4 ? deepmd::prod_force_a_gpu<T> : deepmd::prod_force_r_gpu<T>;
    auto stress = WIDE == 4 ? deepmd::prod_virial_a_gpu<T> : deepmd::prod_virial_r_gpu<T>;
    push(force.data, dnet.data, denv.data, dlist.data, LOCAL, ALL, NEAR, FRAMES);
    LAUNCHED();
    close(named<T>("force_deriv_wrt_center_atom"), force.host(), center, tolerance);
    close(named<T>(WIDE == 4 ? "force_deriv_wrt_neighbors_a" : "force_deriv_wrt_neighbors_r"), force.host(), center, tolerance);
    stress(virial.data, atoms.data, dnet.data, denv.data, dapart.data, dlist.data, LOCAL, ALL, NEAR);
    LAUNCHED();
    close(named<T>(WIDE == 4 ? "virial_deriv_wrt_neighbors_a" : "virial_deriv_wrt_neighbors_r"), atoms.host(), each, tolerance);
    close(named<T>("atom_virial_reduction"), virial.host(), total, tolerance);
}

template <typename T> static void activation(double tolerance) {
    constexpr int COUNT = 3000;
    std::vector<T> x = values<T>(COUNT, 5), dy = values<T>(COUNT, 6), dy2 = values<T>(COUNT, 7);
    for (T &v : x) v *= 5;
    Device<T> dx(x), d1(dy), d2(dy2), out(COUNT);
    std::vector<double> value(COUNT), slope(COUNT), curve(COUNT);
    for (int i = 0; i < COUNT; ++i) {
        // y = x/2 (1 + tanh u), u = s (x + a x^3), and its two derivatives.
        double s = std::sqrt(2 / M_PI), a = 0.044715, v = x[i], t = std::tanh(s * (v + a * v * v * v));
        double u1 = s * (1 + 3 * a * v * v), u2 = s * 6 * a * v, bend = 1 - t * t;
        value[i] = 0.5 * v * (1 + t);
        slope[i] = dy[i] * (0.5 * (1 + t) + 0.5 * v * bend * u1);
        curve[i] = double(dy[i]) * dy2[i] * (bend * u1 + 0.5 * v * (bend * u2 - 2 * t * bend * u1 * u1));
    }
    deepmd::gelu_gpu<T>(out.data, dx.data, COUNT);
    LAUNCHED();
    close(named<T>("gelu"), out.host(), value, tolerance);
    deepmd::gelu_grad_gpu<T>(out.data, dx.data, d1.data, COUNT);
    LAUNCHED();
    close(named<T>("gelu_grad"), out.host(), slope, tolerance);
    deepmd::gelu_grad_grad_gpu<T>(out.data, dx.data, d1.data, d2.data, COUNT);
    LAUNCHED();
    close(named<T>("gelu_grad_grad"), out.host(), curve, tolerance);
}

template <typename T> static void all(double tolerance) {
    forces<T, 4>(tolerance);
    forces<T, 1>(tolerance);
    activation<T>(tolerance);
}

int main() {
    all<float>(1e-5);
    all<double>(1e-13);
    return verdict();
}
