// Batch norm in training mode, with a sum and ReLU in the same pass over memory, for float32 and bfloat16.
//
// A map has rows x channels elements: the images and positions of a tensor (N, C, H, W) in the memory format channels
// last. Its sums are those of chunks, added in order in float64, so that the number of threads changes no bit.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <type_traits>
#include <vector>

namespace {

struct bfloat16 {
    uint16_t bits;
};

inline float get(float value) { return value; }

inline float get(bfloat16 value) {
    const uint32_t bits = uint32_t(value.bits) << 16;
    float wide;
    std::memcpy(&wide, &bits, sizeof wide);
    return wide;
}

inline void put(float& place, float value) { place = value; }

inline void put(bfloat16& place, float value) {  // rounds to nearest, ties to even; NaN remains NaN
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    place.bits = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
}

constexpr int64_t VECTOR = 16;        // float32 numbers of the longest registers
constexpr int64_t MIN_PERIOD = 256;   // elements of an inner loop, so that its overhead is small
constexpr int64_t MIN_CHUNK = 16384;  // elements; fewer are not worth a thread
constexpr int64_t MAX_CHUNKS = 64;    // each has its own sums
constexpr int64_t ORIGIN_ROWS = 64;   // enough for a median near the mean of all rows
constexpr int64_t MAX_TERMS = 512;    // numbers that are added in float32, before float64

struct Map {
    const int64_t channels, rows, elements;
    const int threads;
    int64_t period;  // elements of whole rows, a multiple of VECTOR
    int64_t chunk, chunks;

    Map(int64_t rows, int64_t channels, int threads)
        : channels(channels), rows(rows), elements(rows * channels), threads(threads) {
        period = std::lcm(channels, VECTOR);
        period *= (MIN_PERIOD + period - 1) / period;
        const int64_t least = std::max(MIN_CHUNK, elements / MAX_CHUNKS);
        chunk = (least + period - 1) / period * period;
        chunks = (elements + chunk - 1) / chunk;
    }

    // Return a number of each channel at every place of a period.
    template <typename Number>
    std::vector<float> repeated(Number number) const {
        std::vector<float> numbers(period);
        for (int64_t i = 0; i < period; ++i) numbers[i] = i < channels ? number(i) : numbers[i - channels];
        return numbers;
    }
};

// Call visit(element, place in the period) for all elements.
template <typename Visit>
void each(const Map& map, Visit visit) {
#pragma omp parallel for num_threads(map.threads) schedule(static)
    for (int64_t number = 0; number < map.chunks; ++number) {
        const int64_t end = std::min(map.elements, (number + 1) * map.chunk);
        for (int64_t start = number * map.chunk; start < end; start += map.period) {
            const int64_t length = std::min(map.period, end - start);
#pragma omp simd
            for (int64_t i = 0; i < length; ++i) visit(start + i, i);
        }
    }
}

struct Pair {
    float first, second;
};

// Return the sums of the pairs of all elements: the first ones of each channel, then the second ones.
template <typename Visit>
std::vector<double> sums(const Map& map, Visit visit) {
    const int64_t both = 2 * map.channels;
    std::vector<double> total(map.chunks * both);
#pragma omp parallel for num_threads(map.threads) schedule(static)
    for (int64_t number = 0; number < map.chunks; ++number) {
        std::vector<float> numbers(2 * map.period);
        float *const first = numbers.data(), *const second = first + map.period;
        double *const firsts = total.data() + number * both, *const seconds = firsts + map.channels;
        const int64_t end = std::min(map.elements, (number + 1) * map.chunk);
        for (int64_t start = number * map.chunk; start < end;) {
            const int64_t pause = std::min(end, start + MAX_TERMS * map.period);
            for (; start < pause; start += map.period) {
                const int64_t length = std::min(map.period, pause - start);
#pragma omp simd
                for (int64_t i = 0; i < length; ++i) {
                    const Pair pair = visit(start + i, i);
                    first[i] += pair.first;
                    second[i] += pair.second;
                }
            }
            for (int64_t i = 0; i < map.period; i += map.channels)
                for (int64_t c = 0; c < map.channels; ++c) {
                    firsts[c] += first[i + c];
                    seconds[c] += second[i + c];
                }
            std::fill(numbers.begin(), numbers.end(), 0.0f);
        }
    }
    for (int64_t i = both; i < map.chunks * both; ++i) total[i % both] += total[i];
    total.resize(both);
    return total;
}

// Call function with std::true_type or std::false_type, so that no inner loop has a branch.
template <typename Function>
void choose(bool flag, Function function) {
    if (flag)
        function(std::true_type());
    else
        function(std::false_type());
}

// The normalisation of each channel as x * scale + shift, and what ReLU is without a branch: a floor.
struct Affine {
    std::vector<float> scale, shift;
    float floor;

    Affine(const Map& map, bool relu, const float* weight, const float* bias, const float* mean, const float* invstd)
        : scale(map.repeated([=](int64_t c) { return weight[c] * invstd[c]; })),
          shift(map.repeated([=](int64_t c) { return bias[c] - mean[c] * weight[c] * invstd[c]; })),
          floor(relu ? 0 : -INFINITY) {}
};

template <typename T>
void forward(const Map& map, bool relu, const T* x, const T* added, const float* weight, const float* bias,
             float* running_mean, float* running_var, double momentum, double eps, float* statistics, T* y) {
    float *const mean = statistics, *const invstd = statistics + map.channels;
    // The variance is that of the distances to the median of some rows: those to 0 would cancel where the mean is
    // large, those to one row where it is an outlier.
    const int64_t several = std::min<int64_t>(ORIGIN_ROWS, map.rows);
    std::vector<float> some(several);
    const std::vector<float> origins = map.repeated([=, &map, &some](int64_t c) {
        for (int64_t k = 0; k < several; ++k) {
            const float value = get(x[map.rows * k / several * map.channels + c]);
            some[k] = value == value ? value : 0;  // NaN has no order
        }
        std::nth_element(some.begin(), some.begin() + several / 2, some.end());
        return some[several / 2];
    });
    const float* const origin = origins.data();
    const std::vector<double> total = sums(map, [=](int64_t element, int64_t place) {
        const float distance = get(x[element]) - origin[place];
        return Pair{distance, distance * distance};
    });
    const double rows = map.rows;
    for (int64_t c = 0; c < map.channels; ++c) {
        const double distance = total[c] / rows, average = origin[c] + distance;
        const double variance = std::max(total[map.channels + c] / rows - distance * distance, 0.0);  // NaN remains NaN
        mean[c] = average;
        invstd[c] = 1 / std::sqrt(variance + eps);
        running_mean[c] += momentum * (average - running_mean[c]);
        running_var[c] += momentum * (variance * rows / (rows - 1) - running_var[c]);
    }
    const Affine affine(map, relu, weight, bias, mean, invstd);
    const float *const scale = affine.scale.data(), *const shift = affine.shift.data(), floor = affine.floor;
    choose(added != nullptr, [=, &map](auto with_sum) {
        each(map, [=](int64_t element, int64_t place) {
            float value = get(x[element]) * scale[place] + shift[place];
            if constexpr (decltype(with_sum)::value) value += get(added[element]);
            put(y[element], value < floor ? floor : value);  // NaN remains NaN
        });
    });
}

template <typename T>
void backward(const Map& map, bool relu, const T* x, const T* y, const float* weight, const float* bias,
              const float* statistics, const T* dy, T* dsum, T* dx, float* dweight, float* dbias) {
    const float *const mean = statistics, *const invstd = statistics + map.channels;
    const Affine affine(map, relu, weight, bias, mean, invstd);
    const float *const scale = affine.scale.data(), *const shift = affine.shift.data(), floor = affine.floor;
    const std::vector<float> centers = map.repeated([=](int64_t c) { return mean[c]; });
    const float* const center = centers.data();
    choose(y != nullptr, [=, &map](auto with_y) {
        constexpr bool reads_y = decltype(with_y)::value;  // else its sign is computed again, which is faster
        const auto gradient = [=](int64_t element, int64_t place) {
            const float incoming = get(dy[element]);  // before the condition, which would not be vectorised otherwise
            float output;
            if constexpr (reads_y)
                output = get(y[element]);
            else
                output = get(x[element]) * scale[place] + shift[place];
            return output <= floor ? 0 : incoming;
        };
        const std::vector<double> total = sums(map, [=](int64_t element, int64_t place) {
            const float value = gradient(element, place);
            if constexpr (reads_y) put(dsum[element], value);
            return Pair{value, value * (get(x[element]) - center[place])};
        });
        for (int64_t c = 0; c < map.channels; ++c) {
            dbias[c] = total[c];
            dweight[c] = total[map.channels + c] * invstd[c];
        }
        const std::vector<float> slopes = map.repeated([=, &total](int64_t c) {
            return -weight[c] * std::pow(double(invstd[c]), 3) * total[map.channels + c] / map.rows;
        });
        const std::vector<float> offsets =
            map.repeated([=, &total](int64_t c) { return -weight[c] * invstd[c] * total[c] / map.rows; });
        const float *const slope = slopes.data(), *const offset = offsets.data();
        each(map, [=](int64_t element, int64_t place) {
            float value;
            if constexpr (reads_y)
                value = get(dsum[element]);
            else
                value = gradient(element, place);
            put(dx[element], scale[place] * value + slope[place] * (get(x[element]) - center[place]) + offset[place]);
        });
    });
}

}  // namespace

// y = x normalised, plus added unless that is null, then ReLU if relu is not 0. Pointers to maps are to bfloat16 or to
// float32. statistics receives the mean and the inverse standard deviation of each channel.
extern "C" void norm_forward(int is_bfloat16, int relu, int64_t rows, int64_t channels, int threads, const void* x,
                             const void* added, const float* weight, const float* bias, float* running_mean,
                             float* running_var, double momentum, double eps, float* statistics, void* y) {
    const Map map(rows, channels, threads);
    choose(is_bfloat16, [=, &map](auto is_half) {
        using T = std::conditional_t<decltype(is_half)::value, bfloat16, float>;
        forward(map, relu, static_cast<const T*>(x), static_cast<const T*>(added), weight, bias, running_mean,
                running_var, momentum, eps, statistics, static_cast<T*>(y));
    });
}

// The gradients of norm_forward for the gradient dy of its output. y is its output if both added and relu were given,
// else null; dsum, the gradient of added, is written only then, because it is dy otherwise.
extern "C" void norm_backward(int is_bfloat16, int relu, int64_t rows, int64_t channels, int threads, const void* x,
                              const void* y, const float* weight, const float* bias, const float* statistics,
                              const void* dy, void* dsum, void* dx, float* dweight, float* dbias) {
    const Map map(rows, channels, threads);
    choose(is_bfloat16, [=, &map](auto is_half) {
        using T = std::conditional_t<decltype(is_half)::value, bfloat16, float>;
        backward(map, relu, static_cast<const T*>(x), static_cast<const T*>(y), weight, bias, statistics,
                 static_cast<const T*>(dy), static_cast<T*>(dsum), static_cast<T*>(dx), dweight, dbias);
    });
}
