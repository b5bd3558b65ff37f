// quantize_scalar.c in sixteen lanes; RK_TARGET is the includer's.
#include "../lanes.h"
#include "quantize.h"

// The sixteen elements from k, less the offset; zeros from `columns` on.
RK_LANES_INLINE v16 row_load(const float *x, int k, int columns, float offset) {
    return k < columns ? v16_load_upto_then(x + k, columns - k, offset) - v16_splat(offset) : v16_splat(0);
}

RK_LANES_INLINE v16_int row_store(int8_t *values, v16 x, v16 inverse) {
    const v16_int integers = v16_rounded(x * inverse);
    v16_bytes bytes = __builtin_convertvector(integers, v16_bytes);
    memcpy(values, &bytes, sizeof bytes);
    return integers;
}

RK_LANES_INLINE float middle_of(const float *x, int columns) {
    v16 least = v16_splat(x[0]), most = least;
    for (int k = 0; k < columns; k += RK_LANES) {
        const v16 some = v16_load_upto_then(x + k, columns - k, x[0]);
        least = __builtin_elementwise_min(least, some);
        most = __builtin_elementwise_max(most, some);
    }
    return rk_middle(__builtin_reduce_min(least), __builtin_reduce_max(most));
}

RK_TARGET static float row(int8_t *values, int32_t *starts, float *offset, const float *x, int columns, int stride) {
    const float middle = offset ? middle_of(x, columns) : 0, largest = largest_magnitude(x, columns, middle);
    if (offset) *offset = rk_offset(middle, largest);
    if (!rk_is_quantizable(largest, RK_INT8_SMALLEST)) {
        memset(values, 0, (size_t)stride);
        memset(starts, 0, (size_t)(stride / RK_GROUP) * sizeof *starts);
        return rk_no_scale(largest, RK_INT8_SMALLEST);
    }
    const v16 inverse = v16_splat(RK_INT8_LARGEST / largest);
    for (int k = 0; k < stride; k += RK_GROUP) {
        v16_int low = row_store(values + k, row_load(x, k, columns, middle), inverse);
        v16_int high = row_store(values + k + RK_LANES, row_load(x, k + RK_LANES, columns, middle), inverse);
        starts[k / RK_GROUP] = -8 * __builtin_reduce_add(low + high);
    }
    return largest / RK_INT8_LARGEST;
}

RK_TARGET static float row16(int16_t *values, const float *x, int columns, int stride) {
    const float largest = largest_magnitude(x, columns, 0);
    if (!rk_is_quantizable(largest, RK_INT16_SMALLEST)) {
        memset(values, 0, (size_t)stride * sizeof *values);
        return rk_no_scale(largest, RK_INT16_SMALLEST);
    }
    const v16 inverse = v16_splat(RK_INT16_LARGEST / largest);
    for (int k = 0; k < stride; k += RK_LANES) {
        const v16_short shorts = __builtin_convertvector(v16_rounded(row_load(x, k, columns, 0) * inverse), v16_short);
        memcpy(values + k, &shorts, sizeof shorts);
    }
    return largest / RK_INT16_LARGEST;
}
