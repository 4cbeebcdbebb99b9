// The Adam optimiser of dfdx, in both precisions and with every kind of weight decay.
#include "../check.cuh"
#include "../device_only.cuh"
#include <adam/adam.cu>

constexpr size_t COUNT = 5000;

template <typename T>
static void check(const char *name, void (*kernel)(AdamConfig, size_t, int, T *, T *, T *, const T *), double tolerance) {
    for (WeightDecayType decay : {None, L2, Decoupled}) {
        AdamConfig config{1e-2, 0.9, 0.99, 1e-8, decay, 0.05};
        Random random(3);
        std::vector<T> p(COUNT), m(COUNT), v(COUNT), g(COUNT);
        for (size_t i = 0; i < COUNT; ++i) {
            p[i] = static_cast<T>(random.between(-1, 1));
            m[i] = static_cast<T>(random.between(-1, 1));
            v[i] = static_cast<T>(random.between(0.01, 1));
            g[i] = static_cast<T>(random.between(-1, 1));
        }
        Device<T> dp(p), dm(m), dv(v), dg(g);
        for (int t = 1; t <= 3; ++t) {
            kernel<<<20, 256>>>(config, COUNT, t, dp.data, dm.data, dv.data, dg.data);
            LAUNCHED();
            for (size_t i = 0; i < COUNT; ++i) {
                double grad = g[i], param = p[i];
                if (decay == L2) grad += config.weight_decay * param;
                double first = m[i] * config.beta1 + grad * (1 - config.beta1);
                double second = v[i] * config.beta2 + grad * grad * (1 - config.beta2);
                double step = config.lr * first / (1 - std::pow(config.beta1, t)) /
                              (std::sqrt(second / (1 - std::pow(config.beta2, t))) + config.eps);
                if (decay == Decoupled) step += config.weight_decay * config.lr * param;
                m[i] = static_cast<T>(first);
                v[i] = static_cast<T>(second);
                p[i] = static_cast<T>(param - step);
            }
        }
        std::vector<T> got = dp.host();
        close(name, got, p, tolerance);
    }
}

int main() {
    check<float>("adam_update_f32", adam_update_f32, 2e-6);
    check<double>("adam_update_f64", adam_update_f64, 1e-7);
    return verdict();
}
