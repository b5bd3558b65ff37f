#include "quantize.h"

static float row(int8_t *values, int32_t *negated_sums, const float *x, int columns, int stride) {
    uint32_t largest_bits = 0; // magnitudes order as their bits do, with infinity and then NaN above all numbers
    for (int k = 0; k < columns; k++) {
        uint32_t magnitude = rk_bits(x[k]) & 0x7fffffff;
        largest_bits = magnitude > largest_bits ? magnitude : largest_bits;
    }
    const float largest = rk_float(largest_bits);
    if (!(largest >= RK_QUANTIZE_SMALLEST && largest < INFINITY)) {
        memset(values, 0, (size_t)stride);
        memset(negated_sums, 0, (size_t)(stride / RK_GROUP) * sizeof *negated_sums);
        return largest < RK_QUANTIZE_SMALLEST ? 0 : NAN;
    }
    const float inverse = 127.0f / largest;
    for (int group = 0; group < stride / RK_GROUP; group++) {
        int32_t sum = 0;
        for (int k = group * RK_GROUP; k < (group + 1) * RK_GROUP; k++) {
            values[k] = k < columns ? (int8_t)rintf(x[k] * inverse) : 0;
            sum += values[k];
        }
        negated_sums[group] = -sum;
    }
    return largest / 127.0f;
}

const rk_quantize_kernels rk_quantize_scalar = {.name = "scalar", .row = row};
