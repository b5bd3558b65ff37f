#include "quantize.h"

static float largest_magnitude(const float *x, int columns, float offset) {
    uint32_t largest_bits = 0; // magnitudes order as their bits do, with infinity and then NaN above all numbers
    for (int k = 0; k < columns; k++) {
        uint32_t magnitude = rk_bits(x[k] - offset) & 0x7fffffff;
        largest_bits = magnitude > largest_bits ? magnitude : largest_bits;
    }
    return rk_float(largest_bits);
}

static float middle_of(const float *x, int columns) {
    float least = x[0], most = x[0];
    for (int k = 1; k < columns; k++) {
        least = x[k] < least ? x[k] : least;
        most = x[k] > most ? x[k] : most;
    }
    return rk_middle(least, most);
}

static float row(int8_t *values, int32_t *starts, float *offset, const float *x, int columns, int stride) {
    const float middle = offset ? middle_of(x, columns) : 0, largest = largest_magnitude(x, columns, middle);
    if (offset) *offset = rk_offset(middle, largest);
    if (!rk_is_quantizable(largest, RK_INT8_SMALLEST)) {
        memset(values, 0, (size_t)stride);
        memset(starts, 0, (size_t)(stride / RK_GROUP) * sizeof *starts);
        return rk_no_scale(largest, RK_INT8_SMALLEST);
    }
    const float inverse = RK_INT8_LARGEST / largest;
    for (int group = 0; group < stride / RK_GROUP; group++) {
        int32_t sum = 0;
        for (int k = group * RK_GROUP; k < (group + 1) * RK_GROUP; k++) {
            values[k] = k < columns ? (int8_t)rintf((x[k] - middle) * inverse) : 0;
            sum += values[k];
        }
        starts[group] = -8 * sum;
    }
    return largest / RK_INT8_LARGEST;
}

static float row16(int16_t *values, const float *x, int columns, int stride) {
    const float largest = largest_magnitude(x, columns, 0);
    memset(values, 0, (size_t)stride * sizeof *values);
    if (!rk_is_quantizable(largest, RK_INT16_SMALLEST)) return rk_no_scale(largest, RK_INT16_SMALLEST);
    const float inverse = RK_INT16_LARGEST / largest;
    for (int k = 0; k < columns; k++) values[k] = (int16_t)rintf(x[k] * inverse);
    return largest / RK_INT16_LARGEST;
}

const rk_quantize_kernels rk_quantize_scalar = {.name = "scalar", .row = row, .row16 = row16};
