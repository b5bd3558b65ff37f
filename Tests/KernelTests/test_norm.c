#include <math.h>
#include <stdio.h>
#include <string.h>
#include "harness.h"

enum { MAX_ROW = 4096 };

static const int row_lengths[] = {1, 2, 3, 7, 15, 16, 17, 31, 32, 33, 47, 63, 64, 65, 100, 255, 390, 1024, 2560};
// From subnormal squares to squares that overflow, and beyond.
static const float limits[] = {1e-38f, 1e-20f, 1e-3f, 1, 30, 1e4f, 1e15f, 1e30f, INFINITY, NAN};
static const float LARGEST_SQUARED = 1e15f; // of those, whose squares can be added up

#define COUNT(array) (sizeof(array) / sizeof *(array))

static float *copy(const float *values, int n) {
    float *buffer = test_alloc((size_t)n * sizeof *buffer, sizeof *buffer);
    memcpy(buffer, values, (size_t)n * sizeof *buffer);
    return buffer;
}

// A kernel of two operands, in place or not: writes y from x, both of n elements.
typedef void (*row_call)(const rk_norm_kernels *kernels, float *y, const float *x, const float *weight, const float *bias, int n);

static void call_layer_norm(const rk_norm_kernels *k, float *y, const float *x, const float *weight, const float *bias, int n) {
    k->layer_norm(y, x, weight, bias, n, 1e-5f);
}

static void call_layer_norm_add(const rk_norm_kernels *k, float *y, const float *x, const float *weight, const float *bias,
                                int n) {
    k->layer_norm_add(y, x, weight, bias, n, 1e-5f);
}

static void call_gelu(const rk_norm_kernels *k, float *y, const float *x, const float *weight, const float *bias, int n) {
    (void)weight, (void)bias;
    memmove(y, x, (size_t)n * sizeof *y);
    k->gelu(y, n);
}

// The sum is compared through the division.
static void call_softmax(const rk_norm_kernels *k, float *y, const float *x, const float *weight, const float *bias, int n) {
    (void)weight, (void)bias;
    memmove(y, x, (size_t)n * sizeof *y);
    float sum = k->softmax(y, n);
    for (int i = 0; i < n; i++) {
        y[i] /= sum;
    }
}

static const struct {
    const char *slot;
    row_call call;
} row_slots[] = {
    {"layer_norm", call_layer_norm}, {"layer_norm_add", call_layer_norm_add}, {"gelu", call_gelu}, {"softmax", call_softmax}};

static void test_row(size_t slot, const test_isa *isa, int n, test_pattern pattern, float limit) {
    const rk_norm_kernels scalar = rk_norm_kernels_for(0), kernels = rk_norm_kernels_for(isa->features);
    float values[MAX_ROW];
    test_fill_floats(values, (size_t)n, pattern, limit);
    float *x = copy(values, n);
    test_fill_floats(values, (size_t)n, TEST_RANDOM, 2);
    float *weight = copy(values, n), *expected = copy(values, n), *actual = copy(values, n);
    test_fill_floats(values, (size_t)n, TEST_RANDOM, 2);
    float *bias = copy(values, n);

    test_begin("norm", row_slots[slot].slot, isa->name, "%d elements, %s, limit %g", n, test_pattern_names[pattern], limit);
    row_slots[slot].call(&scalar, expected, x, weight, bias, n);
    row_slots[slot].call(&kernels, actual, x, weight, bias, n);
    test_equal_floats(expected, actual, (size_t)n);
    if (limit <= LARGEST_SQUARED) test_finite(expected, (size_t)n);
    test_guards(actual);

    test_begin("norm", row_slots[slot].slot, isa->name, "%d elements in place, %s, limit %g", n, test_pattern_names[pattern], limit);
    memcpy(expected, x, (size_t)n * sizeof *x);
    row_slots[slot].call(&scalar, expected, expected, weight, bias, n);
    row_slots[slot].call(&kernels, x, x, weight, bias, n);
    test_equal_floats(expected, x, (size_t)n);
    test_guards(x);

    test_free(x), test_free(weight), test_free(bias), test_free(expected), test_free(actual);
}

static void test_channels(const test_isa *isa, int pixels, int channels, int gap, int swish, test_pattern pattern, float limit) {
    const rk_norm_kernels scalar = rk_norm_kernels_for(0), kernels = rk_norm_kernels_for(isa->features);
    const size_t stride = (size_t)(channels + gap), used = (size_t)(pixels - 1) * stride + (size_t)channels;
    const size_t row = (size_t)channels * sizeof(float), image = (size_t)pixels * row;
    float *x = test_alloc(used * sizeof *x, sizeof *x);
    test_fill_floats(x, used, pattern, limit);
    float *pivot = test_alloc(row, sizeof *pivot);
    memcpy(pivot, x, row);
    float *sums[2], *squares[2], *y[2];
    for (int i = 0; i < 2; i++) {
        sums[i] = test_alloc(row, sizeof(float));
        squares[i] = test_alloc(row, sizeof(float));
        y[i] = test_alloc(image, sizeof(float));
        for (int c = 0; c < channels; c++) {
            sums[i][c] = (float)c - 3;
            squares[i][c] = (float)c;
        }
    }
    test_begin("norm", "channel_sums", isa->name, "%d pixels, %d channels + %d, %s, limit %g", pixels, channels, gap,
               test_pattern_names[pattern], limit);
    scalar.channel_sums(sums[0], squares[0], x, pivot, pixels, channels, stride);
    kernels.channel_sums(sums[1], squares[1], x, pivot, pixels, channels, stride);
    test_equal_floats(sums[0], sums[1], (size_t)channels);
    test_equal_floats(squares[0], squares[1], (size_t)channels);
    if (limit <= LARGEST_SQUARED) test_finite(sums[0], (size_t)channels), test_finite(squares[0], (size_t)channels);
    test_guards(sums[1]);
    test_guards(squares[1]);

    if (gap == 0) {
        test_begin("norm", "scale_shift", isa->name, "%d pixels, %d channels, swish %d, %s, limit %g", pixels, channels, swish,
                   test_pattern_names[pattern], limit);
        scalar.scale_shift(y[0], x, sums[0], squares[0], pixels, channels, swish);
        kernels.scale_shift(y[1], x, sums[0], squares[0], pixels, channels, swish);
        test_equal_floats(y[0], y[1], (size_t)pixels * (size_t)channels);
        if (limit <= LARGEST_SQUARED) test_finite(y[0], (size_t)pixels * (size_t)channels);
        test_guards(y[1]);
        kernels.scale_shift(x, x, sums[0], squares[0], pixels, channels, swish);
        test_equal_floats(y[0], x, (size_t)pixels * (size_t)channels);
        test_guards(x);
    }
    for (int i = 0; i < 2; i++) {
        test_free(sums[i]), test_free(squares[i]), test_free(y[i]);
    }
    test_free(x), test_free(pivot);
}

typedef struct group_norm {
    uint32_t features;
    rk_group_norm norm;
    float *y;
    const float *x;
    int pixels;
    float *scratch;
} group_norm;

static void run_group_norm(void *context, rk_worker *worker) {
    group_norm *g = context;
    rk_group_norm_run(worker, g->features, &g->norm, g->y, g->x, g->pixels, g->scratch);
}

static void run_whole_group_norm(void *context, rk_worker *worker) {
    run_group_norm(context, worker);
    test_step_ended(worker);
}

// The largest error against two passes in double. x * scale + shift cancels where the mean is many deviations from 0.
static double group_norm_error(const group_norm *g) {
    const int channels = g->norm.channels, size = channels / g->norm.groups;
    double worst = 0;
    for (int group = 0; group < g->norm.groups; group++) {
        double mean = 0, variance = 0;
        const double n = (double)g->pixels * size;
        for (int p = 0; p < g->pixels; p++) {
            for (int c = group * size; c < (group + 1) * size; c++) {
                mean += (double)g->x[p * channels + c] / n;
            }
        }
        for (int p = 0; p < g->pixels; p++) {
            for (int c = group * size; c < (group + 1) * size; c++) {
                double d = (double)g->x[p * channels + c] - mean;
                variance += d * d / n;
            }
        }
        for (int p = 0; p < g->pixels; p++) {
            for (int c = group * size; c < (group + 1) * size; c++) {
                double scale = (double)g->norm.weight[c] / sqrt(variance + (double)g->norm.epsilon);
                double v = ((double)g->x[p * channels + c] - mean) * scale + (double)g->norm.bias[c];
                test_worst(&worst, fabs((double)g->y[p * channels + c] - v) / (1 + fabs(v) + fabs(mean * scale)));
            }
        }
    }
    return worst;
}

static const float epsilon = 1e-6f;

static void test_group_norm(int pixels, int channels, int groups, float limit, float offset) {
    const size_t image = (size_t)pixels * (size_t)channels;
    float *x = test_alloc(image * sizeof *x, sizeof *x), *first = test_alloc(image * sizeof *x, sizeof *x);
    float *weight = test_alloc((size_t)channels * sizeof *x, sizeof *x), *bias = test_alloc((size_t)channels * sizeof *x, sizeof *x);
    test_fill_floats(x, image, TEST_RANDOM, limit);
    test_fill_floats(weight, (size_t)channels, TEST_RANDOM, 2);
    test_fill_floats(bias, (size_t)channels, TEST_RANDOM, 1);
    for (size_t i = 0; i < image; i++) {
        x[i] += offset;
    }
    for (int isa = 0; isa < test_isa_count; isa++) {
        for (int threads = 1; threads <= 3; threads++) {
            float *scratch = test_alloc(rk_group_norm_scratch(pixels, channels) * sizeof *x, sizeof *x);
            float *y = test_alloc(image * sizeof *x, sizeof *x);
            group_norm g = {test_isas[isa].features, {weight, bias, channels, groups, epsilon}, y, x, pixels, scratch};
            test_begin("norm", "group_norm", test_isas[isa].name, "%d pixels, %d channels, %d groups, limit %g, offset %g, %d threads",
                       pixels, channels, groups, (double)limit, (double)offset, threads);
            rk_parallel(threads, run_whole_group_norm, &g);
            if (isa == 0 && threads == 1) {
                memcpy(first, y, image * sizeof *y);
                double error = group_norm_error(&g);
                test_expect(error < 1e-6, "error %g", error);
            }
            test_equal_floats(first, y, image);
            test_guards(y);
            test_guards(scratch);
            test_free(y), test_free(scratch);
        }
    }
    test_free(x), test_free(first), test_free(weight), test_free(bias);
}

static void test_accuracy(void) {
    const rk_norm_kernels kernels = rk_norm_kernels_for(0);
    float x[MAX_ROW], y[MAX_ROW], weight[MAX_ROW], bias[MAX_ROW];

    // Away from 0 the error is that of e^z, z = -2u rounded: about |z| 2^-23. Below -4 values are tiny, and |z| reaches 87.
    test_begin("norm", "gelu", "scalar", "accuracy on [-12, 12]");
    double relative = 0, absolute = 0;
    for (int i = -12 * 8192; i < 12 * 8192; i++) {
        float v = (float)i / 8192 + test_random_float() / 16384, result = v;
        kernels.gelu(&result, 1);
        double u = 0.7978845608028654 * ((double)v + 0.044715 * (double)v * (double)v * (double)v);
        double exact = (double)v / (1 + exp(-2 * u)), error = fabs((double)result - exact);
        test_worst(&absolute, error / fmax(1, fabs((double)v)));
        if (v > -4) {
            test_worst(&relative, error / fabs(exact));
        }
    }
    test_expect(absolute < 0x1p-22, "absolute error %g", absolute);
    test_expect(relative < 0x1p-19, "relative error %g", relative);
    float far[] = {100, 1e4f, 1e18f, -100, -1e4f, -1e18f};
    kernels.gelu(far, 6);
    test_expect(far[0] == 100 && far[1] == 1e4f && far[2] == 1e18f, "far right: %g %g %g", far[0], far[1], far[2]);
    test_expect(fabsf(far[3]) < 1e-30f && fabsf(far[4]) < 1e-30f && fabsf(far[5]) < 1e-15f, "far left: %g %g %g", far[3], far[4], far[5]);

    for (float limit = 0.1f; limit < 100; limit *= 3) {
        const int n = 389;
        test_begin("norm", "softmax", "scalar", "accuracy, %d scores below %g", n, limit);
        test_fill_floats(x, (size_t)n, TEST_RANDOM, limit);
        memcpy(y, x, sizeof x);
        double sum = 0, worst = 0, max = -INFINITY;
        float float_sum = kernels.softmax(y, n);
        for (int i = 0; i < n; i++) {
            max = fmax(max, (double)x[i]);
        }
        for (int i = 0; i < n; i++) {
            sum += exp((double)x[i] - max);
        }
        for (int i = 0; i < n; i++) {
            test_worst(&worst, fabs((double)(y[i] / float_sum) - exp((double)x[i] - max) / sum));
        }
        // x - max is rounded, so the bound grows with the scores.
        test_expect(worst < 0x1p-22 * (1 + (double)limit), "error %g", worst);
    }

    for (int offset = 0; offset < 30; offset += 10) {
        const int n = 1024;
        test_begin("norm", "layer_norm", "scalar", "accuracy, %d elements, offset %d", n, offset);
        test_fill_floats(x, (size_t)n, TEST_RANDOM, 1);
        test_fill_floats(weight, (size_t)n, TEST_RANDOM, 1);
        test_fill_floats(bias, (size_t)n, TEST_RANDOM, 1);
        double mean = 0, variance = 0, worst = 0;
        for (int i = 0; i < n; i++) {
            x[i] += (float)offset;
            mean += (double)x[i] / n;
        }
        for (int i = 0; i < n; i++) {
            variance += ((double)x[i] - mean) * ((double)x[i] - mean) / n;
        }
        kernels.layer_norm(y, x, weight, bias, n, 1e-5f);
        for (int i = 0; i < n; i++) {
            double exact = ((double)x[i] - mean) / sqrt(variance + 1e-5) * (double)weight[i] + (double)bias[i];
            test_worst(&worst, fabs((double)y[i] - exact));
        }
        test_expect(worst < 0x1p-21 * (1 + offset), "error %g", worst);
    }
}

void test_norm(void) {
    rk_norm_kernels below = rk_norm_kernels_for(0);
    for (int isa = 1; isa < test_isa_count; isa++) {
        const rk_norm_kernels kernels = rk_norm_kernels_for(test_isas[isa].features);
        if (kernels.gelu == below.gelu) {
            continue;
        }
        below = kernels;
        for (size_t n = 0; n < COUNT(row_lengths); n++) {
            for (int pattern = 0; pattern < TEST_PATTERNS; pattern++) {
                for (size_t limit = 0; limit < COUNT(limits); limit++) {
                    for (size_t slot = 0; slot < COUNT(row_slots); slot++) {
                        test_row(slot, &test_isas[isa], row_lengths[n], (test_pattern)pattern, limits[limit]);
                    }
                }
            }
        }
        for (int i = 0; i < 400; i++) {
            int channels = i % 4 ? 1 + test_random_below(80) : 16 * (1 + test_random_below(8));
            test_channels(&test_isas[isa], 1 + test_random_below(11), channels, i % 3 ? 0 : test_random_below(5), i % 2,
                          (test_pattern)(i % TEST_PATTERNS), limits[test_random_below(COUNT(limits))]);
        }
    }
    const int images[][3] = {{1, 32, 32}, {5, 32, 32}, {63, 64, 32}, {64, 6, 2}, {65, 30, 5}, {300, 96, 32}, {1000, 32, 32}};
    for (size_t i = 0; i < COUNT(images); i++) {
        test_group_norm(images[i][0], images[i][1], images[i][2], 2, i % 3 ? 0 : 50);
        test_group_norm(images[i][0], images[i][1], images[i][2], 1e-3f, 0); // variances of the size of epsilon
    }
    test_accuracy();
}

typedef struct timed {
    rk_norm_kernels kernels;
    float *x, *y, *weight, *bias;
    int n, channels, slot;
    group_norm group;
} timed;

static void call_timed(void *context) {
    timed *t = context;
    switch (t->slot) {
    case 0: t->kernels.layer_norm(t->y, t->x, t->weight, t->bias, t->n, 1e-5f); break;
    case 1: t->kernels.layer_norm_add(t->y, t->x, t->weight, t->bias, t->n, 1e-5f); break;
    case 2: t->kernels.gelu(t->y, t->n); break;
    case 3: t->kernels.softmax(t->y, t->n); break;
    case 4: t->kernels.channel_sums(t->weight, t->bias, t->x, t->x, t->n / t->channels, t->channels, (size_t)t->channels); break;
    case 5: t->kernels.scale_shift(t->y, t->x, t->weight, t->bias, t->n / t->channels, t->channels, 1); break;
    default: rk_parallel(test_threads, run_group_norm, &t->group); break;
    }
}

void bench_norm(void) {
    const struct {
        const char *slot, *shape;
        int n, channels;
    } cases[] = {{"layer_norm", "1024", 1024, 1},           {"layer_norm_add", "1024", 1024, 1},
                 {"gelu", "4096", 4096, 1},                 {"softmax", "390", 390, 1},
                 {"channel_sums", "64 x 128", 64 * 128, 128}, {"scale_shift", "64 x 128, swish", 64 * 128, 128},
                 {"group_norm", "128 x 128 x 128, all cores", 128 * 128 * 128, 128}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        const size_t n = (size_t)cases[i].n;
        float *x = test_alloc(n * 4, 64), *y = test_alloc(n * 4, 64), *weight = test_alloc(n * 4, 64), *bias = test_alloc(n * 4, 64);
        float *scratch = test_alloc(rk_group_norm_scratch(cases[i].n / cases[i].channels, cases[i].channels) * 4, 64);
        test_fill_floats(x, n, TEST_RANDOM, 1);
        memcpy(y, x, n * 4);
        test_fill_floats(weight, n, TEST_RANDOM, 1);
        test_fill_floats(bias, n, TEST_RANDOM, 1);
        double scalar = 0;
        for (int isa = 0; isa < test_isa_count; isa++) {
            timed t = {.kernels = rk_norm_kernels_for(test_isas[isa].features),
                       .x = x, .y = y, .weight = weight, .bias = bias, .n = cases[i].n, .channels = cases[i].channels, .slot = (int)i,
                       .group = {test_isas[isa].features, {weight, bias, cases[i].channels, 32, epsilon}, y, x, cases[i].n / cases[i].channels,
                                 scratch}};
            double seconds = test_time(call_timed, &t);
            test_report("norm", cases[i].slot, test_isas[isa].name, cases[i].shape, (double)n * 1e-9, "Gelements", seconds, isa ? scalar : 0);
            scalar = isa ? scalar : seconds;
        }
        test_free(x), test_free(y), test_free(weight), test_free(bias), test_free(scratch);
    }
}
