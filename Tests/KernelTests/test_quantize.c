#include <math.h>
#include <stdio.h>
#include <string.h>
#include "harness.h"

typedef struct row_buffers {
    int8_t *values;
    int32_t *starts;
    float scale, offset;
    int stride;
} row_buffers;

static row_buffers allocate(int columns) {
    row_buffers b = {.stride = rk_padded_columns(columns)};
    b.values = test_alloc((size_t)b.stride, 64);
    b.starts = test_alloc((size_t)(b.stride / RK_GROUP) * sizeof(int32_t), 4);
    return b;
}

static void release(row_buffers b) {
    test_free(b.values);
    test_free(b.starts);
}

// What the contract says of a row, whatever the kernel.
static void check_definition(const row_buffers *b, const float *x, int columns) {
    const float step = b->scale > 0 ? 0.5001f * b->scale : 0x1p-120f; // a row of smaller numbers counts as zeros
    int wrong = 0, largest = 0;
    test_expect(isfinite(b->scale) && isfinite(b->offset), "scale %g, offset %g", b->scale, b->offset);
    for (int k = 0; k < b->stride; k++) {
        int value = b->values[k], magnitude = value < 0 ? -value : value;
        largest = magnitude > largest ? magnitude : largest;
        // The difference is rounded, by half a unit in its last place.
        const double distance = k < columns ? (double)x[k] - (double)b->offset : 0;
        wrong += k < columns ? fabs(distance - (double)value * (double)b->scale) > (double)step + 0x1p-24 * fabs(distance) : value != 0;
    }
    test_expect(wrong == 0, "%d values further than half a step", wrong);
    test_expect(largest == (b->scale > 0 ? 127 : 0), "largest value %d, scale %g", largest, b->scale);
    wrong = 0;
    for (int g = 0; g < b->stride / RK_GROUP; g++) {
        int sum = 0;
        for (int k = 0; k < RK_GROUP; k++) {
            sum += b->values[g * RK_GROUP + k];
        }
        wrong += b->starts[g] != -8 * sum;
    }
    test_expect(wrong == 0, "%d starts wrong", wrong);
}

static int is_finite(const float *x, int columns) {
    int finite = 1;
    for (int k = 0; k < columns; k++) finite &= isfinite(x[k]) != 0;
    return finite;
}

// What a row gives that has no finite maximum.
static void check_nothing(float scale, const void *values, size_t bytes) {
    int zero = 1;
    for (size_t i = 0; i < bytes; i++) zero &= ((const uint8_t *)values)[i] == 0;
    test_expect(isnan(scale) && zero, "scale %g, values that are %s", scale, zero ? "0" : "not 0");
}

static void check_row16(const float *x, int columns, const char *what) {
    const int stride = rk_padded_columns(columns);
    const size_t bytes = (size_t)stride * sizeof(int16_t);
    int16_t *expected = test_alloc(bytes, 64);
    const float scale = rk_quantize_kernels_for(0).row16(expected, x, columns, stride);
    test_begin("quantize", "row16", "scalar", "%d columns, %s", columns, what);
    if (!is_finite(x, columns)) {
        check_nothing(scale, expected, bytes);
    } else {
        // Half a step, and the roundings of x * (32512 / largest) and of the scale, whose relative errors the value multiplies.
        const float step = scale > 0 ? (0.5f + 4 * 0x1p-24f * RK_INT16_LARGEST) * scale : 0x1p-112f; // a row of smaller numbers counts as zeros
        int wrong = 0, largest = 0;
        test_expect(isfinite(scale), "scale %g", scale);
        for (int k = 0; k < stride; k++) {
            const int value = expected[k], magnitude = value < 0 ? -value : value;
            largest = magnitude > largest ? magnitude : largest;
            wrong += k < columns ? fabsf(x[k] - (float)value * scale) > step : value != 0;
        }
        test_expect(wrong == 0, "%d values further than half a step", wrong);
        test_expect(largest == (scale > 0 ? RK_INT16_LARGEST : 0), "largest value %d, scale %g", largest, scale);
    }
    test_guards(expected);
    for (int isa = 1; isa < test_isa_count; isa++) {
        rk_quantize_kernels kernels = rk_quantize_kernels_for(test_isas[isa].features);
        if (kernels.row16 == rk_quantize_kernels_for(test_isas[isa - 1].features).row16) continue;
        int16_t *actual = test_alloc(bytes, 64);
        test_begin("quantize", "row16", kernels.name, "%d columns, %s", columns, what);
        const float actual_scale = kernels.row16(actual, x, columns, stride);
        test_equal_floats(&scale, &actual_scale, 1);
        test_equal_bytes(expected, actual, bytes);
        test_guards(actual);
        test_free(actual);
    }
    test_free(expected);
}

// Of a row with an offset: both ends of the range are as far from it as rounding lets them, so that both give a largest value.
static void check_offset(const row_buffers *b, const float *x, int columns) {
    double least = (double)x[0], most = (double)x[0];
    int low = 0, high = 0;
    for (int k = 0; k < columns; k++) {
        least = fmin(least, (double)x[k]);
        most = fmax(most, (double)x[k]);
        low |= b->values[k] == -127;
        high |= b->values[k] == 127;
    }
    const double middle = least / 2 + most / 2, bound = 0x1p-23 * fmax(fabs(least), fabs(most)) + 0x1p-148;
    test_expect(fabs((double)b->offset - middle) <= bound, "offset %g, the middle is %g", (double)b->offset, middle);
    if (b->scale > 0 && most - least > 1e4 * bound) test_expect(low && high, "values reach %s", low ? "down only" : high ? "up only" : "neither end");
}

static void check_row(const float *x, int columns, int has_offset, const char *what) {
    row_buffers expected = allocate(columns);
    float *const offset = has_offset ? &expected.offset : NULL;
    expected.scale = rk_quantize_kernels_for(0).row(expected.values, expected.starts, offset, x, columns, expected.stride);
    const char *const name = has_offset ? "row with offset" : "row";
    test_begin("quantize", name, "scalar", "%d columns, %s", columns, what);
    if (is_finite(x, columns)) {
        check_definition(&expected, x, columns);
        if (has_offset) check_offset(&expected, x, columns);
    } else {
        check_nothing(expected.scale, expected.values, (size_t)expected.stride);
        test_expect(expected.offset == 0, "offset %g", expected.offset);
    }
    test_guards(expected.values);
    test_guards(expected.starts);
    for (int isa = 1; isa < test_isa_count; isa++) {
        rk_quantize_kernels kernels = rk_quantize_kernels_for(test_isas[isa].features);
        if (kernels.row == rk_quantize_kernels_for(test_isas[isa - 1].features).row) {
            continue;
        }
        row_buffers actual = allocate(columns);
        test_begin("quantize", name, kernels.name, "%d columns, %s", columns, what);
        actual.scale = kernels.row(actual.values, actual.starts, has_offset ? &actual.offset : NULL, x, columns, actual.stride);
        test_equal_floats(&expected.scale, &actual.scale, 1);
        test_equal_floats(&expected.offset, &actual.offset, 1);
        test_equal_bytes(expected.values, actual.values, (size_t)actual.stride);
        test_equal_ints(expected.starts, actual.starts, (size_t)(actual.stride / RK_GROUP));
        test_guards(actual.values);
        test_guards(actual.starts);
        release(actual);
    }
    release(expected);
}

static void check_rows(const float *x, int columns, const char *what) {
    for (int has_offset = 0; has_offset <= 1; has_offset++) check_row(x, columns, has_offset, what);
    check_row16(x, columns, what);
}

// The least magnitudes that have a scale, and what is just below them.
static void check_least(float least, int is_int16) {
    for (int isa = 0; isa < test_isa_count; isa++) {
        const rk_quantize_kernels kernels = rk_quantize_kernels_for(test_isas[isa].features);
        for (int below = 0; below <= 1; below++) {
            const float largest = below ? nextafterf(least, 0) : least, x[2] = {largest / 4, -largest};
            int8_t bytes[RK_COLUMN_BLOCK];
            int16_t shorts[RK_COLUMN_BLOCK];
            int32_t starts[RK_COLUMN_BLOCK / RK_GROUP];
            test_begin("quantize", is_int16 ? "row16" : "row", kernels.name, "least %g, below %d", (double)least, below);
            const float scale = is_int16 ? kernels.row16(shorts, x, 2, RK_COLUMN_BLOCK) : kernels.row(bytes, starts, NULL, x, 2, RK_COLUMN_BLOCK);
            const int value = is_int16 ? shorts[1] : bytes[1], most = is_int16 ? RK_INT16_LARGEST : RK_INT8_LARGEST;
            test_expect(value == (below ? 0 : -most) && scale == (below ? 0 : largest / (float)most), "%d times %g", value, (double)scale);
        }
    }
}

void test_quantize(void) {
    const int columns[] = {1, 3, 4, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 128, 1000, 1023, 1024, 4096};
    for (size_t i = 0; i < sizeof columns / sizeof columns[0]; i++) {
        const int n = columns[i];
        float *x = test_alloc((size_t)n * sizeof(float), 4);
        for (test_pattern pattern = 0; pattern < TEST_PATTERNS; pattern++) {
            test_fill_floats(x, (size_t)n, pattern, 3.7f);
            check_rows(x, n, test_pattern_names[pattern]);
        }
        for (int side = -1; side <= 1; side += 2) {
            test_fill_floats(x, (size_t)n, TEST_RANDOM, 2);
            for (int k = 0; k < n; k++) x[k] = (float)side * (x[k] + 1.9f);
            check_rows(x, n, side < 0 ? "mostly negative" : "mostly positive");
        }
        for (int k = 0; k < n; k++) x[k] = k % 2 ? 0.0f : -0.0f;
        check_rows(x, n, "zeros of both signs");
        for (int k = 0; k < n; k++) {
            x[k] = (float)(k % 255 - 127) / 2; // exact ties where the largest magnitude is 63.5
        }
        check_rows(x, n, "ties");
        const struct {
            const char *name;
            float limit, one;
        } special[] = {{"tiny", 1e-38f, 1e-39f},     {"no finite 32512 / max", 5e-35f, -5e-35f},
                       {"just above", 2e-34f, -3e-34f},  {"huge", 3e38f, -3e38f}, {"huge, one side", 1, 3.4e38f},    {"infinite", 1, INFINITY},
                       {"minus infinite", 1, -INFINITY}, {"not a number", 1, NAN}, {"small beside large", 1e-20f, 1e20f}};
        for (size_t s = 0; s < sizeof special / sizeof special[0]; s++) {
            test_fill_floats(x, (size_t)n, TEST_RANDOM, special[s].limit);
            x[test_random_below(n)] = special[s].one;
            check_rows(x, n, special[s].name);
        }
        test_free(x);
    }
    check_least(0x1p-120f, 0);
    check_least(0x1p-112f, 1);
}

typedef struct timed_row {
    rk_quantize_kernels kernels;
    row_buffers buffers;
    const float *x;
    int columns, has_offset;
} timed_row;

static void call_row(void *context) {
    timed_row *t = context;
    float offset;
    t->kernels.row(t->buffers.values, t->buffers.starts, t->has_offset ? &offset : NULL, t->x, t->columns, t->buffers.stride);
}

void bench_quantize(void) {
    const int columns[] = {1024, 4096};
    for (size_t i = 0; i < sizeof columns / sizeof columns[0]; i++) {
        const int n = columns[i];
        float *x = test_alloc((size_t)n * sizeof(float), 64);
        test_fill_floats(x, (size_t)n, TEST_RANDOM, 1);
        row_buffers buffers = allocate(n);
        for (int has_offset = 0; has_offset <= 1; has_offset++) {
            double scalar = 0;
            for (int isa = 0; isa < test_isa_count; isa++) {
                timed_row t = {rk_quantize_kernels_for(test_isas[isa].features), buffers, x, n, has_offset};
                if (isa && t.kernels.row == rk_quantize_kernels_for(test_isas[isa - 1].features).row) {
                    continue;
                }
                char shape[32];
                snprintf(shape, sizeof shape, "%d", n);
                double seconds = test_time(call_row, &t);
                test_report("quantize", has_offset ? "row with offset" : "row", t.kernels.name, shape, (double)n * sizeof(float) * 1e-9, "GB",
                            seconds, scalar);
                scalar = isa ? scalar : seconds;
            }
        }
        release(buffers);
        test_free(x);
    }
}
