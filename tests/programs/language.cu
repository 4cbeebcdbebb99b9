// Training steps of a small language model: embedding, layer norm, causal attention, a perceptron with GELU, cross entropy, all their
// gradients, AdamW. The CPU does the same in double precision; loss, gradients and parameters are compared after every step.
#include "check.cuh"

constexpr int VOCABULARY = 67, WIDTH = 48, HEADS = 3, HEAD = WIDTH / HEADS, HIDDEN = 4 * WIDTH, LAYERS = 2, BATCH = 3, TIME = 24, ROWS = BATCH * TIME;
constexpr int STEPS = 6, BLOCK = 128;
constexpr float EPSILON = 1e-5f, RATE = 3e-3f, BETA1 = 0.9f, BETA2 = 0.95f, DECAY = 0.1f;
// Above the rounding of gradients: those of keys' biases are zero, and their rounding alone would make whole steps.
constexpr float TINY = 1e-6f;

// ---- Parameters, one array of all

struct Norm {
    int scale, shift;
};

struct Linear {
    int weight, bias;
};

struct Layer {
    Norm before_attention, before_perceptron;
    Linear together, project, up, down;
};

struct Model {
    int tokens, places;
    Layer layers[LAYERS];
    Norm last;
    Linear head;
    int count = 0;
    int take(int n) {
        count += n;
        return count - n;
    }
    Norm norm() {
        int scale = take(WIDTH);
        return {scale, take(WIDTH)};
    }
    Linear linear(int in, int out) {
        int weight = take(in * out);
        return {weight, take(out)};
    }
    Model() {
        tokens = take(VOCABULARY * WIDTH);
        places = take(TIME * WIDTH);
        for (Layer &layer : layers)
            layer = {norm(), norm(), linear(WIDTH, 3 * WIDTH), linear(WIDTH, WIDTH), linear(WIDTH, HIDDEN), linear(HIDDEN, WIDTH)};
        last = norm();
        head = linear(WIDTH, VOCABULARY);
    }
};

// ---- Kernels

__global__ void embed(const int *text, const float *tokens, const float *places, float *out) {
    int row = blockIdx.x;
    for (int c = threadIdx.x; c < WIDTH; c += blockDim.x) out[row * WIDTH + c] = tokens[text[row] * WIDTH + c] + places[row % TIME * WIDTH + c];
}

// Tokens repeat, so that rows meet in one gradient.
__global__ void embed_back(const int *text, const float *slope, float *tokens, float *places) {
    int row = blockIdx.x;
    for (int c = threadIdx.x; c < WIDTH; c += blockDim.x) {
        atomicAdd(&tokens[text[row] * WIDTH + c], slope[row * WIDTH + c]);
        atomicAdd(&places[row % TIME * WIDTH + c], slope[row * WIDTH + c]);
    }
}

__device__ float warp_sum(float value) {
    for (int lane = 16; lane > 0; lane /= 2) value += __shfl_xor_sync(~0u, value, lane);
    return value;
}

// A warp per row.
__global__ void norm(const float *in, const float *scale, const float *shift, float *out, float *means, float *roots) {
    int row = blockIdx.x * blockDim.y + threadIdx.y, lane = threadIdx.x;
    if (row >= ROWS) return;
    const float *x = in + row * WIDTH;
    float sum = 0, squares = 0;
    for (int c = lane; c < WIDTH; c += 32) sum += x[c];
    float mean = warp_sum(sum) / WIDTH;
    for (int c = lane; c < WIDTH; c += 32) squares += (x[c] - mean) * (x[c] - mean);
    float root = rsqrtf(warp_sum(squares) / WIDTH + EPSILON);
    for (int c = lane; c < WIDTH; c += 32) out[row * WIDTH + c] = (x[c] - mean) * root * scale[c] + shift[c];
    if (lane == 0) means[row] = mean, roots[row] = root;
}

// Adds to the gradient of the input, since a residual goes around the norm.
__global__ void norm_back(const float *in, const float *scale, const float *means, const float *roots, const float *slope, float *in_slope, float *scale_slope,
                          float *shift_slope) {
    int row = blockIdx.x * blockDim.y + threadIdx.y, lane = threadIdx.x;
    if (row >= ROWS) return;
    const float *x = in + row * WIDTH, *g = slope + row * WIDTH;
    float sum = 0, product = 0, mean = means[row], root = roots[row];
    for (int c = lane; c < WIDTH; c += 32) {
        float normal = (x[c] - mean) * root;
        sum += g[c] * scale[c];
        product += g[c] * scale[c] * normal;
        atomicAdd(&scale_slope[c], g[c] * normal);
        atomicAdd(&shift_slope[c], g[c]);
    }
    sum = warp_sum(sum) / WIDTH;
    product = warp_sum(product) / WIDTH;
    for (int c = lane; c < WIDTH; c += 32) in_slope[row * WIDTH + c] += root * (g[c] * scale[c] - sum - (x[c] - mean) * root * product);
}

// c (+)= op(a) op(b) (+ bias): rows x inner times inner x columns, by tiles in shared memory. Transposed operands lie the other way round.
template <bool TURN_A, bool TURN_B> __global__ void multiply(const float *a, const float *b, const float *bias, float *c, int rows, int inner, int columns, bool add) {
    constexpr int TILE = 16;
    __shared__ float ta[TILE][TILE + 1], tb[TILE][TILE + 1];
    int x = threadIdx.x, y = threadIdx.y, row = blockIdx.y * TILE + y, column = blockIdx.x * TILE + x;
    float sum = 0;
    for (int k = 0; k < inner; k += TILE) {
        ta[y][x] = row < rows && k + x < inner ? a[TURN_A ? (k + x) * rows + row : row * inner + k + x] : 0;
        tb[y][x] = k + y < inner && column < columns ? b[TURN_B ? column * inner + k + y : (k + y) * columns + column] : 0;
        __syncthreads();
        for (int i = 0; i < TILE; ++i) sum += ta[y][i] * tb[i][x];
        __syncthreads();
    }
    if (row >= rows || column >= columns) return;
    float *to = &c[row * columns + column];
    *to = sum + (bias ? bias[column] : 0) + (add ? *to : 0);
}

__global__ void bias_back(const float *slope, float *bias, int columns) {
    int c = blockIdx.x * blockDim.x + threadIdx.x;
    if (c >= columns) return;
    float sum = 0;
    for (int r = 0; r < ROWS; ++r) sum += slope[r * columns + c];
    bias[c] += sum;
}

// One block per query and head; threads are keys, then channels. Later places have no weight.
__global__ void attend(const float *all, float *weights, float *out) {
    __shared__ float score[32];
    int row = blockIdx.x, head = blockIdx.y, lane = threadIdx.x, place = row % TIME, first = row - place;
    const float *query = all + row * 3 * WIDTH + head * HEAD;
    float value = -INFINITY;
    if (lane <= place) {
        const float *key = all + (first + lane) * 3 * WIDTH + WIDTH + head * HEAD;
        value = 0;
        for (int c = 0; c < HEAD; ++c) value += query[c] * key[c];
        value *= rsqrtf(HEAD);
    }
    float most = value;
    for (int other = 16; other > 0; other /= 2) most = fmaxf(most, __shfl_xor_sync(~0u, most, other));
    float part = expf(value - most);
    part /= warp_sum(part);
    score[lane] = part;
    if (lane < TIME) weights[(row * HEADS + head) * TIME + lane] = part;
    __syncwarp();
    for (int c = lane; c < HEAD; c += 32) {
        float sum = 0;
        for (int k = 0; k <= place; ++k) sum += score[k] * all[(first + k) * 3 * WIDTH + 2 * WIDTH + head * HEAD + c];
        out[row * WIDTH + head * HEAD + c] = sum;
    }
}

__global__ void attend_back(const float *all, const float *weights, const float *slope, float *all_slope) {
    __shared__ float score_slope[32];
    int row = blockIdx.x, head = blockIdx.y, lane = threadIdx.x, place = row % TIME, first = row - place;
    const float *g = slope + row * WIDTH + head * HEAD;
    int at = 3 * WIDTH * (first + lane) + head * HEAD;
    float weight = 0, part = 0;
    if (lane <= place) {
        weight = weights[(row * HEADS + head) * TIME + lane];
        for (int c = 0; c < HEAD; ++c) {
            part += g[c] * all[at + 2 * WIDTH + c];
            atomicAdd(&all_slope[at + 2 * WIDTH + c], weight * g[c]);
        }
    }
    float mine = weight * (part - warp_sum(weight * part)) * rsqrtf(HEAD);
    score_slope[lane] = mine;
    if (lane <= place)
        for (int c = 0; c < HEAD; ++c) atomicAdd(&all_slope[at + WIDTH + c], mine * all[row * 3 * WIDTH + head * HEAD + c]);
    __syncwarp();
    for (int c = lane; c < HEAD; c += 32) {
        float sum = 0;
        for (int k = 0; k <= place; ++k) sum += score_slope[k] * all[(first + k) * 3 * WIDTH + WIDTH + head * HEAD + c];
        atomicAdd(&all_slope[row * 3 * WIDTH + head * HEAD + c], sum);
    }
}

template <typename T> __host__ __device__ T gelu(T x) { return T(0.5) * x * (1 + erf(x * T(0.70710678118654752))); }

template <typename T> __host__ __device__ T gelu_slope(T x) {
    return T(0.5) * (1 + erf(x * T(0.70710678118654752))) + x * exp(T(-0.5) * x * x) * T(0.39894228040143268);
}

__global__ void activate(const float *in, float *out, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) out[i] = gelu(in[i]);
}

__global__ void activate_back(const float *in, float *slope, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) slope[i] *= gelu_slope(in[i]);
}

// Cross entropy of a row per warp; logits become their gradients.
__global__ void judge(float *logits, const int *next, float *loss) {
    int row = blockIdx.x * blockDim.y + threadIdx.y, lane = threadIdx.x;
    if (row >= ROWS) return;
    float *x = logits + row * VOCABULARY, most = -INFINITY, sum = 0;
    for (int c = lane; c < VOCABULARY; c += 32) most = fmaxf(most, x[c]);
    for (int other = 16; other > 0; other /= 2) most = fmaxf(most, __shfl_xor_sync(~0u, most, other));
    for (int c = lane; c < VOCABULARY; c += 32) sum += expf(x[c] - most);
    sum = warp_sum(sum);
    if (lane == 0) atomicAdd(loss, (logf(sum) + most - x[next[row]]) / ROWS);
    __syncwarp();
    for (int c = lane; c < VOCABULARY; c += 32) x[c] = (expf(x[c] - most) / sum - (c == next[row])) / ROWS;
}

__global__ void adam(float *values, const float *slopes, float *first, float *second, int n, float correct1, float correct2) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    float m = first[i] = BETA1 * first[i] + (1 - BETA1) * slopes[i], v = second[i] = BETA2 * second[i] + (1 - BETA2) * slopes[i] * slopes[i];
    values[i] -= RATE * (m / correct1 / (sqrtf(v / correct2) + TINY) + DECAY * values[i]);
}

// ---- A step on the device

struct Kept {
    Device<float> in{ROWS * WIDTH}, norm1{ROWS * WIDTH}, mean1{ROWS}, root1{ROWS}, all{ROWS * 3 * WIDTH}, weights{ROWS * HEADS * TIME}, mixed{ROWS * WIDTH},
        middle{ROWS * WIDTH}, norm2{ROWS * WIDTH}, mean2{ROWS}, root2{ROWS}, up{ROWS * HIDDEN}, active{ROWS * HIDDEN};
};

struct Trainer {
    const Model &model;
    Device<float> values, slopes, first, second, loss{1}, out{ROWS * WIDTH}, last{ROWS * WIDTH}, mean{ROWS}, root{ROWS}, logits{ROWS * VOCABULARY};
    Device<float> slope{ROWS * WIDTH}, inner{ROWS * WIDTH}, all{ROWS * 3 * WIDTH}, hidden{ROWS * HIDDEN};
    Kept kept[LAYERS];

    Trainer(const Model &m, const std::vector<float> &start) : model(m), values(start), slopes(start.size()), first(start.size()), second(start.size()) {
        zero(first), zero(second);
    }
    static void zero(Device<float> &what) { CHECK(cudaMemsetAsync(what.data, 0, what.count * sizeof(float))); }
    static int blocks(int n) { return (n + BLOCK - 1) / BLOCK; }
    float *value(int at) { return values.data + at; }
    float *gradient(int at) { return slopes.data + at; }

    template <bool A, bool B> static void product(const float *a, const float *b, const float *bias, float *c, int rows, int inner, int columns, bool add) {
        multiply<A, B><<<dim3((columns + 15) / 16, (rows + 15) / 16), dim3(16, 16)>>>(a, b, bias, c, rows, inner, columns, add);
    }
    void linear(Linear l, const float *in, float *to, int from, int into, bool add) {
        product<false, false>(in, value(l.weight), value(l.bias), to, ROWS, from, into, add);
    }
    void linear_back(Linear l, const float *in, const float *to_slope, float *in_slope, int from, int into) {
        product<true, false>(in, to_slope, nullptr, gradient(l.weight), from, ROWS, into, true);
        bias_back<<<blocks(into), BLOCK>>>(to_slope, gradient(l.bias), into);
        product<false, true>(to_slope, value(l.weight), nullptr, in_slope, ROWS, into, from, false);
    }
    void normal(Norm n, const float *in, Device<float> &to, Device<float> &means, Device<float> &roots) {
        norm<<<(ROWS + 3) / 4, dim3(32, 4)>>>(in, value(n.scale), value(n.shift), to.data, means.data, roots.data);
    }
    void normal_back(Norm n, const float *in, const Device<float> &means, const Device<float> &roots, const float *from) {
        norm_back<<<(ROWS + 3) / 4, dim3(32, 4)>>>(in, value(n.scale), means.data, roots.data, from, slope.data, gradient(n.scale), gradient(n.shift));
    }
    static void copy(float *to, const float *from) { CHECK(cudaMemcpyAsync(to, from, ROWS * WIDTH * sizeof(float), cudaMemcpyDeviceToDevice)); }

    void forward(const int *text) {
        embed<<<ROWS, 32>>>(text, value(model.tokens), value(model.places), kept[0].in.data);
        for (int i = 0; i < LAYERS; ++i) {
            const Layer &l = model.layers[i];
            Kept &k = kept[i];
            normal(l.before_attention, k.in.data, k.norm1, k.mean1, k.root1);
            linear(l.together, k.norm1.data, k.all.data, WIDTH, 3 * WIDTH, false);
            attend<<<dim3(ROWS, HEADS), 32>>>(k.all.data, k.weights.data, k.mixed.data);
            copy(k.middle.data, k.in.data);
            linear(l.project, k.mixed.data, k.middle.data, WIDTH, WIDTH, true);
            normal(l.before_perceptron, k.middle.data, k.norm2, k.mean2, k.root2);
            linear(l.up, k.norm2.data, k.up.data, WIDTH, HIDDEN, false);
            activate<<<blocks(ROWS * HIDDEN), BLOCK>>>(k.up.data, k.active.data, ROWS * HIDDEN);
            float *to = i + 1 < LAYERS ? kept[i + 1].in.data : out.data;
            copy(to, k.middle.data);
            linear(l.down, k.active.data, to, HIDDEN, WIDTH, true);
        }
        normal(model.last, out.data, last, mean, root);
        linear(model.head, last.data, logits.data, WIDTH, VOCABULARY, false);
    }
    void backward(const int *text, const int *next) {
        zero(slopes), zero(loss), zero(slope);
        judge<<<(ROWS + 3) / 4, dim3(32, 4)>>>(logits.data, next, loss.data);
        linear_back(model.head, last.data, logits.data, inner.data, WIDTH, VOCABULARY);
        normal_back(model.last, out.data, mean, root, inner.data);
        for (int i = LAYERS - 1; i >= 0; --i) {
            const Layer &l = model.layers[i];
            Kept &k = kept[i];
            linear_back(l.down, k.active.data, slope.data, hidden.data, HIDDEN, WIDTH);
            activate_back<<<blocks(ROWS * HIDDEN), BLOCK>>>(k.up.data, hidden.data, ROWS * HIDDEN);
            linear_back(l.up, k.norm2.data, hidden.data, inner.data, WIDTH, HIDDEN);
            normal_back(l.before_perceptron, k.middle.data, k.mean2, k.root2, inner.data);
            linear_back(l.project, k.mixed.data, slope.data, inner.data, WIDTH, WIDTH);
            zero(all);
            attend_back<<<dim3(ROWS, HEADS), 32>>>(k.all.data, k.weights.data, inner.data, all.data);
            linear_back(l.together, k.norm1.data, all.data, inner.data, WIDTH, 3 * WIDTH);
            normal_back(l.before_attention, k.in.data, k.mean1, k.root1, inner.data);
        }
        embed_back<<<ROWS, 32>>>(text, slope.data, gradient(model.tokens), gradient(model.places));
    }
    void update(int step) {
        adam<<<blocks(model.count), BLOCK>>>(values.data, slopes.data, first.data, second.data, model.count, 1 - std::pow(BETA1, step), 1 - std::pow(BETA2, step));
    }
};

// ---- The same on the CPU, row by row and in double precision

using Numbers = std::vector<double>;

struct Reference {
    const Model &model;
    Numbers values, slopes, first, second;
    explicit Reference(const Model &m, const std::vector<float> &start)
        : model(m), values(start.begin(), start.end()), slopes(start.size()), first(start.size()), second(start.size()) {}

    Numbers linear(Linear l, const Numbers &in, int from, int into) const {
        Numbers to(ROWS * into);
        for (int r = 0; r < ROWS; ++r)
            for (int o = 0; o < into; ++o) {
                double sum = values[l.bias + o];
                for (int i = 0; i < from; ++i) sum += in[r * from + i] * values[l.weight + i * into + o];
                to[r * into + o] = sum;
            }
        return to;
    }
    Numbers linear_back(Linear l, const Numbers &in, const Numbers &g, int from, int into) {
        Numbers back(ROWS * from);
        for (int r = 0; r < ROWS; ++r)
            for (int o = 0; o < into; ++o) {
                double slope = g[r * into + o];
                slopes[l.bias + o] += slope;
                for (int i = 0; i < from; ++i) {
                    slopes[l.weight + i * into + o] += in[r * from + i] * slope;
                    back[r * from + i] += values[l.weight + i * into + o] * slope;
                }
            }
        return back;
    }
    static void moments(const double *x, double &mean, double &deviation) {
        double sum = 0, squares = 0;
        for (int c = 0; c < WIDTH; ++c) sum += x[c], squares += x[c] * x[c];
        mean = sum / WIDTH;
        deviation = std::sqrt(squares / WIDTH - mean * mean + double(EPSILON));
    }
    Numbers normal(Norm n, const Numbers &in) const {
        Numbers to(in.size());
        for (int r = 0; r < ROWS; ++r) {
            double mean, deviation;
            moments(&in[r * WIDTH], mean, deviation);
            for (int c = 0; c < WIDTH; ++c) to[r * WIDTH + c] = (in[r * WIDTH + c] - mean) / deviation * values[n.scale + c] + values[n.shift + c];
        }
        return to;
    }
    void normal_back(Norm n, const Numbers &in, const Numbers &g, Numbers &slope) {
        for (int r = 0; r < ROWS; ++r) {
            double mean, deviation, sum = 0, product = 0;
            moments(&in[r * WIDTH], mean, deviation);
            for (int pass = 0; pass < 2; ++pass)
                for (int c = 0; c < WIDTH; ++c) {
                    double normal = (in[r * WIDTH + c] - mean) / deviation, mine = g[r * WIDTH + c], inner = mine * values[n.scale + c];
                    if (pass == 0) {
                        sum += inner / WIDTH, product += inner * normal / WIDTH;
                        slopes[n.scale + c] += mine * normal, slopes[n.shift + c] += mine;
                    } else {
                        slope[r * WIDTH + c] += (inner - sum - normal * product) / deviation;
                    }
                }
        }
    }
    // Forwards where `g` is empty, and else backwards.
    static Numbers attend(const Numbers &all, const Numbers &g) {
        Numbers to(g.empty() ? ROWS * WIDTH : ROWS * 3 * WIDTH);
        for (int row = 0; row < ROWS; ++row)
            for (int head = 0; head < HEADS; ++head) {
                int place = row % TIME, at = head * HEAD, q = row * 3 * WIDTH + at;
                double weights[TIME], parts[TIME], sum = 0, mean = 0;
                auto key = [&](int k) { return (row - place + k) * 3 * WIDTH + WIDTH + at; };
                for (int k = 0; k <= place; ++k) {
                    double score = 0;
                    for (int c = 0; c < HEAD; ++c) score += all[q + c] * all[key(k) + c];
                    sum += weights[k] = std::exp(score / std::sqrt(double(HEAD)));
                }
                for (int k = 0; k <= place; ++k) {
                    weights[k] /= sum, parts[k] = 0;
                    for (int c = 0; c < HEAD; ++c)
                        if (g.empty()) {
                            to[row * WIDTH + at + c] += weights[k] * all[key(k) + WIDTH + c];
                        } else {
                            to[key(k) + WIDTH + c] += weights[k] * g[row * WIDTH + at + c];
                            parts[k] += g[row * WIDTH + at + c] * all[key(k) + WIDTH + c];
                        }
                    mean += weights[k] * parts[k];
                }
                for (int k = 0; !g.empty() && k <= place; ++k) {
                    double slope = weights[k] * (parts[k] - mean) / std::sqrt(double(HEAD));
                    for (int c = 0; c < HEAD; ++c) to[q + c] += slope * all[key(k) + c], to[key(k) + c] += slope * all[q + c];
                }
            }
        return to;
    }
    static Numbers sum(Numbers a, const Numbers &b) {
        for (size_t i = 0; i < a.size(); ++i) a[i] += b[i];
        return a;
    }
    static double cross_entropy(Numbers &logits, const std::vector<int> &next) {
        double loss = 0;
        for (int r = 0; r < ROWS; ++r) {
            double *x = &logits[r * VOCABULARY], sum = 0;
            for (int c = 0; c < VOCABULARY; ++c) sum += std::exp(x[c]);
            loss += (std::log(sum) - x[next[r]]) / ROWS;
            for (int c = 0; c < VOCABULARY; ++c) x[c] = (std::exp(x[c]) / sum - (c == next[r])) / ROWS;
        }
        return loss;
    }
    double step(const std::vector<int> &text, const std::vector<int> &next) {
        struct {
            Numbers in, norm1, all, mixed, middle, norm2, up, active;
        } kept[LAYERS];
        Numbers x(ROWS * WIDTH);
        for (int i = 0; i < ROWS * WIDTH; ++i) {
            int row = i / WIDTH, c = i % WIDTH;
            x[i] = values[model.tokens + text[row] * WIDTH + c] + values[model.places + row % TIME * WIDTH + c];
        }
        for (int i = 0; i < LAYERS; ++i) {
            const Layer &l = model.layers[i];
            auto &k = kept[i];
            k.in = x, k.norm1 = normal(l.before_attention, x);
            k.all = linear(l.together, k.norm1, WIDTH, 3 * WIDTH), k.mixed = attend(k.all, {});
            k.middle = sum(linear(l.project, k.mixed, WIDTH, WIDTH), x), k.norm2 = normal(l.before_perceptron, k.middle);
            k.active = k.up = linear(l.up, k.norm2, WIDTH, HIDDEN);
            for (double &value : k.active) value = gelu(value);
            x = sum(linear(l.down, k.active, HIDDEN, WIDTH), k.middle);
        }
        Numbers last = normal(model.last, x), logits = linear(model.head, last, WIDTH, VOCABULARY), slope(ROWS * WIDTH);
        double loss = cross_entropy(logits, next);
        slopes.assign(slopes.size(), 0);
        normal_back(model.last, x, linear_back(model.head, last, logits, WIDTH, VOCABULARY), slope);
        for (int i = LAYERS - 1; i >= 0; --i) {
            const Layer &l = model.layers[i];
            auto &k = kept[i];
            Numbers hidden = linear_back(l.down, k.active, slope, HIDDEN, WIDTH);
            for (size_t j = 0; j < hidden.size(); ++j) hidden[j] *= gelu_slope(k.up[j]);
            normal_back(l.before_perceptron, k.middle, linear_back(l.up, k.norm2, hidden, WIDTH, HIDDEN), slope);
            Numbers all = attend(k.all, linear_back(l.project, k.mixed, slope, WIDTH, WIDTH));
            normal_back(l.before_attention, k.in, linear_back(l.together, k.norm1, all, WIDTH, 3 * WIDTH), slope);
        }
        for (int i = 0; i < ROWS * WIDTH; ++i) {
            int row = i / WIDTH, c = i % WIDTH;
            slopes[model.tokens + text[row] * WIDTH + c] += slope[i], slopes[model.places + row % TIME * WIDTH + c] += slope[i];
        }
        return loss;
    }
    void update(int step) {
        for (size_t i = 0; i < values.size(); ++i) {
            first[i] = BETA1 * first[i] + (1 - double(BETA1)) * slopes[i], second[i] = BETA2 * second[i] + (1 - double(BETA2)) * slopes[i] * slopes[i];
            double mean = first[i] / (1 - std::pow(double(BETA1), step)), square = second[i] / (1 - std::pow(double(BETA2), step));
            values[i] -= RATE * (mean / (std::sqrt(square) + TINY) + double(DECAY) * values[i]);
        }
    }
};

// The difference as a part of the largest number.
static void agree(const char *what, int step, const std::vector<float> &got, const Numbers &want, double tolerance) {
    double most = 0;
    for (double value : want) most = std::fmax(most, std::fabs(value));
    for (size_t i = 0; i < want.size(); ++i)
        if (!(std::fabs(got[i] - want[i]) <= tolerance * most)) fail("step %d: %s %zu is %.9g and should be %.9g", step, what, i, got[i], want[i]);
}

int main() {
    Model model;
    Random random(11);
    std::vector<float> start(model.count);
    for (float &value : start) value = static_cast<float>(random.between(-0.15, 0.15));
    for (const Layer &layer : model.layers)
        for (Norm n : {layer.before_attention, layer.before_perceptron, model.last}) std::fill_n(&start[n.scale], WIDTH, 1.0f);
    // Each text counts in steps of its own, so that what comes next can be learnt.
    std::vector<int> text(ROWS), next(ROWS);
    for (int row = 0; row < ROWS; ++row) {
        int stride = row / TIME * 2 + 3, begin = row / TIME * 5;
        text[row] = (begin + row % TIME * stride) % VOCABULARY, next[row] = (begin + (row % TIME + 1) * stride) % VOCABULARY;
    }
    Trainer trainer(model, start);
    Reference reference(model, start);
    Device<int> device_text(text), device_next(next);
    float before = INFINITY, initial = 0;
    for (int step = 1; step <= STEPS; ++step) {
        trainer.forward(device_text.data);
        trainer.backward(device_text.data, device_next.data);
        LAUNCHED();
        Numbers loss{reference.step(text, next)};
        agree("loss", step, trainer.loss.host(), loss, 1e-5);
        agree("gradient", step, trainer.slopes.host(), reference.slopes, 5e-5);
        trainer.update(step);
        LAUNCHED();
        reference.update(step);
        float now = trainer.loss.host()[0];
        if (!(now < before)) fail("step %d: the loss rose from %g to %g", step, before, now);
        if (step == 1) initial = now;
        before = now;
        agree("parameter", step, trainer.values.host(), reference.values, 1e-4);
    }
    if (!(before < 0.8f * initial)) fail("the loss fell from %g to %g only", initial, before);
    std::printf("%d parameters, loss %.4f to %.4f\n", model.count, initial, before);
    return passed("language");
}
