// quantize_scalar.c in sixteen lanes; RK_TARGET is the includer's.
#include "../lanes.h"
#include "quantize.h"

typedef int8_t v16_bytes __attribute__((vector_size(16)));
typedef int16_t v16_shorts __attribute__((vector_size(32)));

// The sixteen elements from k; zeros from `columns` on.
RK_LANES_INLINE v16 row_load(const float *x, int k, int columns) {
    return k < columns ? v16_load_upto(x + k, columns - k) : v16_all(0);
}

RK_LANES_INLINE v16_int rounded(v16 x, v16 inverse) { return __builtin_convertvector(__builtin_elementwise_rint(x * inverse), v16_int); }

RK_LANES_INLINE v16_int row_store(int8_t *values, v16 x, v16 inverse) {
    const v16_int integers = rounded(x, inverse);
    v16_bytes bytes = __builtin_convertvector(integers, v16_bytes);
    memcpy(values, &bytes, sizeof bytes);
    return integers;
}

RK_LANES_INLINE float largest_magnitude(const float *x, int columns) {
    v16_int magnitudes = {0};
    for (int k = 0; k < columns; k += RK_LANES) {
        magnitudes = __builtin_elementwise_max(magnitudes, (v16_int)row_load(x, k, columns) & 0x7fffffff);
    }
    return rk_float((uint32_t)__builtin_reduce_max(magnitudes));
}

RK_TARGET static float row(int8_t *values, int32_t *starts, const float *x, int columns, int stride) {
    const float largest = largest_magnitude(x, columns);
    if (!rk_is_quantizable(largest, RK_INT8_SMALLEST)) {
        memset(values, 0, (size_t)stride);
        memset(starts, 0, (size_t)(stride / RK_GROUP) * sizeof *starts);
        return rk_no_scale(largest, RK_INT8_SMALLEST);
    }
    const v16 inverse = v16_all(RK_INT8_LARGEST / largest);
    for (int k = 0; k < stride; k += RK_GROUP) {
        v16_int low = row_store(values + k, row_load(x, k, columns), inverse);
        v16_int high = row_store(values + k + RK_LANES, row_load(x, k + RK_LANES, columns), inverse);
        starts[k / RK_GROUP] = -8 * __builtin_reduce_add(low + high);
    }
    return largest / RK_INT8_LARGEST;
}

RK_TARGET static float row16(int16_t *values, const float *x, int columns, int stride) {
    const float largest = largest_magnitude(x, columns);
    if (!rk_is_quantizable(largest, RK_INT16_SMALLEST)) {
        memset(values, 0, (size_t)stride * sizeof *values);
        return rk_no_scale(largest, RK_INT16_SMALLEST);
    }
    const v16 inverse = v16_all(RK_INT16_LARGEST / largest);
    for (int k = 0; k < stride; k += RK_LANES) {
        const v16_shorts shorts = __builtin_convertvector(rounded(row_load(x, k, columns), inverse), v16_shorts);
        memcpy(values + k, &shorts, sizeof shorts);
    }
    return largest / RK_INT16_LARGEST;
}
