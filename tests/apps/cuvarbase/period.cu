// Periods of variable stars by cuvarbase: phase dispersion and conditional entropy of light curves.
#include "../check.cuh"
#include <algorithm>
// What its Python part writes into the sources.
#define NBINS 10
#define NPHASE 12
#define NMAG 7
#define PHASE_OVERLAP 1
#define MAG_OVERLAP 1
#include <pdm.cu>
#include <ce.cu>

constexpr int COUNT = 220, FREQS = 90;

struct Curve {
    std::vector<float> t, y, w, freqs;
};

// Times and frequencies are binary fractions, so that phases are exact and both sides sort a point into the same bin.
static Curve curve() {
    Curve c;
    Random random(1);
    double total = 0;
    for (int i = 0; i < COUNT; ++i) {
        c.t.push_back(static_cast<float>(random.next() % 4096) / 64);
        c.y.push_back(static_cast<float>(std::sin(2 * M_PI * c.t[i] * 0.75) + random.between(-0.3, 0.3)));
        c.w.push_back(static_cast<float>(random.between(0.5, 2)));
        total += c.w[i];
    }
    for (float &w : c.w) w = static_cast<float>(w / total);
    for (int i = 0; i < FREQS; ++i) c.freqs.push_back(static_cast<float>(i * 4 + 3) / 256);
    return c;
}

static double fold(double t, double f) { return t * f - std::floor(t * f); }

// What is left of the variance when the curve, folded at a frequency, is explained by `mean(point)`.
template <typename F> static std::vector<double> power(const Curve &c, double variance, F prepare) {
    std::vector<double> to;
    for (float f : c.freqs) {
        auto mean = prepare(f);
        double left = 0;
        for (int j = 0; j < COUNT; ++j) left += c.w[j] * std::pow(c.y[j] - mean(j), 2);
        to.push_back(1 - left / variance);
    }
    return to;
}

static void dispersion(const Curve &c) {
    const float near = 0.05f;
    double mean = 0, variance = 0;
    for (int i = 0; i < COUNT; ++i) mean += double(c.w[i]) * c.y[i];
    for (int i = 0; i < COUNT; ++i) variance += c.w[i] * std::pow(c.y[i] - mean, 2);
    Device<float> t(c.t), y(c.y), w(c.w), freqs(c.freqs), out(FREQS);
    auto check = [&](const char *name, auto kernel, auto prepare) {
        kernel<<<(FREQS + 63) / 64, 64>>>(t.data, y.data, w.data, freqs.data, out.data, COUNT, FREQS, near, static_cast<float>(variance));
        LAUNCHED();
        close(name, out.host(), power(c, variance, prepare), 2e-5);
    };
    auto bins = [&](double f) {
        std::vector<double> sum(NBINS, 0), weight(NBINS, 0);
        for (int j = 0; j < COUNT; ++j) {
            int bin = int(fold(c.t[j], f) * NBINS) % NBINS;
            weight[bin] += c.w[j];
            sum[bin] += double(c.w[j]) * c.y[j];
        }
        for (int b = 0; b < NBINS; ++b) sum[b] = weight[b] > 0 ? sum[b] / weight[b] : 0;
        return sum;
    };
    check("pdm_binned_step", pdm_binned_step, [&](double f) {
        return [&c, f, sum = bins(f)](int j) { return sum[int(fold(c.t[j], f) * NBINS) % NBINS]; };
    });
    check("pdm_binned_linterp", pdm_binned_linterp, [&](double f) {
        return [&c, f, sum = bins(f)](int j) {
            double at = fold(c.t[j], f) * NBINS - 0.5, part = at - std::floor(at);
            int bin = (int(std::floor(at)) + NBINS) % NBINS;
            return (1 - part) * sum[bin] + part * sum[(bin + 1) % NBINS];
        };
    });
    auto around = [&](auto weigh) {
        return [&c, weigh](double f) {
            return [&c, f, weigh](int j) {
                double sum = 0, weight = 0;
                for (int k = 0; k < COUNT; ++k) {
                    double apart = fold(std::fabs(double(c.t[k]) - c.t[j]), f), by = c.w[k] * weigh(apart > 0.5 ? 1 - apart : apart);
                    sum += by * c.y[k];
                    weight += by;
                }
                return sum / weight;
            };
        };
    };
    check("pdm_binless_tophat", pdm_binless_tophat, around([=](double apart) { return apart < near ? 1.0 : 0.0; }));
    check("pdm_binless_gauss", pdm_binless_gauss, around([=](double apart) { return std::exp(-0.5 * std::pow(apart / near, 2)); }));
}

static void entropy(const Curve &c) {
    constexpr int CELLS = NPHASE * NMAG;
    std::vector<unsigned> level(COUNT), cells(FREQS * CELLS, 0);
    for (int i = 0; i < COUNT; ++i) level[i] = static_cast<unsigned>(std::min(std::max((c.y[i] + 1.3) / 2.6, 0.0), 0.999) * NMAG);
    for (int f = 0; f < FREQS; ++f)
        for (int j = 0; j < COUNT; ++j) {
            int phase = int(fold(c.t[j], c.freqs[f]) * NPHASE) % NPHASE;
            for (int p = 0; p <= PHASE_OVERLAP; ++p)
                for (int m = 0; m <= MAG_OVERLAP && m <= int(level[j]); ++m) ++cells[f * CELLS + (phase - p + NPHASE) % NPHASE * NMAG + level[j] - m];
        }
    Device<float> t(c.t), freqs(c.freqs), out(FREQS);
    Device<unsigned> y(level), bins(std::vector<unsigned>(cells.size(), 0));
    histogram_data_count<<<(COUNT * FREQS + 255) / 256, 256>>>(t.data, y.data, bins.data, freqs.data, FREQS, COUNT);
    LAUNCHED();
    exact("histogram_data_count", bins.host(), cells);

    // Of each magnitude a share of the width, and of all points.
    std::vector<float> width(NMAG), share = uniform(NMAG, 3, 0.05, 0.3);
    for (int m = 0; m < NMAG; ++m) width[m] = std::min(MAG_OVERLAP + 1, NMAG - m) / float(NMAG);
    std::vector<double> ce(FREQS), chance(FREQS);
    for (int f = 0; f < FREQS; ++f) {
        double sum = 0, total = 0;
        for (int n = 0; n < NPHASE; ++n) {
            const unsigned *cell = &cells[f * CELLS + n * NMAG];
            double column = 0;
            for (int m = 0; m < NMAG; ++m) column += cell[m];
            if (column == 0) continue;
            for (int m = 0; m < NMAG; ++m) {
                double expected = column * share[m];
                chance[f] += (cell[m] * std::log(expected) - expected - std::lgamma(cell[m] + 1.0)) / (PHASE_OVERLAP + 1);
                if (cell[m] == 0) continue;
                total += cell[m];
                sum += cell[m] * std::log(width[m] * column / cell[m]);
            }
        }
        ce[f] = sum / total;
    }
    Device<float> widths(width), shares(share);
    standard_ce<<<2, 64>>>(bins.data, FREQS, out.data);
    LAUNCHED();
    close("standard_ce", out.host(), ce, 1e-5);
    constdpdm_ce<<<2, 64>>>(bins.data, FREQS, out.data, widths.data);
    LAUNCHED();
    close("constdpdm_ce", out.host(), ce, 1e-5);
    log_prob<<<2, 64>>>(bins.data, FREQS, out.data, shares.data);
    LAUNCHED();
    close("log_prob", out.host(), chance, 1e-4);
}

// Each point is spread over magnitudes as its error says.
static void spread(const Curve &c) {
    constexpr int CELLS = NPHASE * NMAG;
    const float reach = 3;
    std::vector<float> y(COUNT), dy = uniform(COUNT, 4, 0.02, 0.1);
    for (int i = 0; i < COUNT; ++i) y[i] = static_cast<float>(std::min(std::max((c.y[i] + 1.3) / 2.6, 0.0), 0.999));
    auto below = [](double x) { return 0.5 * std::erfc(-x * std::sqrt(0.5)); };
    std::vector<double> cells(FREQS * CELLS, 0), ce(FREQS);
    for (int f = 0; f < FREQS; ++f)
        for (int j = 0; j < COUNT; ++j) {
            int phase = int(fold(c.t[j], c.freqs[f]) * NPHASE) % NPHASE;
            for (int m = 0; m < NMAG; ++m) {
                // In single precision as on the device, for the cut.
                float z = m / float(NMAG) - y[j];
                if (std::fabs(z) > reach * dy[j] && m != int(y[j] * NMAG)) continue;
                double by = below((z + (1.0 + MAG_OVERLAP) / NMAG) / dy[j]) - below(z / double(dy[j]));
                for (int p = 0; p <= PHASE_OVERLAP; ++p) cells[f * CELLS + (phase - p + NPHASE) % NPHASE * NMAG + m] += by;
            }
        }
    Device<float> t(c.t), mag(y), error(dy), bins(std::vector<float>(cells.size(), 0)), freqs(c.freqs), out(FREQS);
    histogram_data_weighted<<<(COUNT * FREQS + 255) / 256, 256>>>(t.data, mag.data, error.data, bins.data, freqs.data, FREQS, COUNT, reach);
    LAUNCHED();
    std::vector<float> got = bins.host();
    close("histogram_data_weighted", got, cells, 1e-5);
    for (int f = 0; f < FREQS; ++f) {
        double sum = 0, total = 0;
        for (int n = 0; n < NPHASE; ++n) {
            double column = 0;
            for (int m = 0; m < NMAG; ++m) column += got[f * CELLS + n * NMAG + m];
            for (int m = 0; m < NMAG; ++m) {
                double cell = got[f * CELLS + n * NMAG + m];
                total += cell;
                if (cell > 0 && column > 1e-10) sum += cell * std::log((1.0 + MAG_OVERLAP) / NMAG * column / cell);
            }
        }
        ce[f] = sum / total;
    }
    weighted_ce<<<2, 64>>>(bins.data, FREQS, out.data);
    LAUNCHED();
    close("weighted_ce", out.host(), ce, 1e-5);
}

int main() {
    Curve c = curve();
    dispersion(c);
    entropy(c);
    spread(c);
    return verdict();
}
