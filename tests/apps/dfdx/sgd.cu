// Gradient descent of dfdx: every kind of momentum and weight decay.
#include "../check.cuh"
#include "../device_only.cuh"
#include <sgd/sgd.cu>

constexpr size_t COUNT = 3000;

template <typename T>
static void check(const char *name, void (*kernel)(SgdConfig, size_t, T *, T *, const T *), double tolerance) {
    for (MomentumType momentum : {None, Classic, Nesterov})
        for (WeightDecayType decay : {WdNone, L2, Decoupled}) {
            SgdConfig config{0.1, momentum, 0.9, decay, 0.01};
            Random random(5);
            std::vector<T> p(COUNT), v(COUNT), g(COUNT);
            for (size_t i = 0; i < COUNT; ++i) {
                p[i] = static_cast<T>(random.between(-1, 1));
                v[i] = static_cast<T>(random.between(-1, 1));
                g[i] = static_cast<T>(random.between(-1, 1));
            }
            Device<T> dp(p), dv(v), dg(g);
            kernel<<<12, 256>>>(config, COUNT, dp.data, dv.data, dg.data);
            LAUNCHED();
            for (size_t i = 0; i < COUNT; ++i) {
                double grad = g[i] + (decay == L2 ? 0.01 * p[i] : 0), velocity = v[i];
                if (momentum != None) velocity = grad + 0.9 * velocity;
                double step = 0.1 * (momentum == None ? grad : momentum == Classic ? velocity : grad + 0.9 * velocity);
                if (decay == Decoupled) step += 0.01 * 0.1 * p[i];
                p[i] = static_cast<T>(p[i] - step);
            }
            std::vector<T> got = dp.host();
            close(name, got, p, tolerance);
        }
}

int main() {
    check<float>("sgd_update_f32", sgd_update_f32, 1e-6);
    check<double>("sgd_update_f64", sgd_update_f64, 1e-7);
    return verdict();
}
