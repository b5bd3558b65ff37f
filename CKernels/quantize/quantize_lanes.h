// quantize_scalar.c in sixteen lanes; RK_TARGET is the includer's.
#include "../lanes.h"
#include "quantize.h"

typedef int8_t v16_bytes __attribute__((vector_size(16)));

// The sixteen elements from k; zeros from `columns` on.
RK_LANES_INLINE v16 row_load(const float *x, int k, int columns) {
    return k < columns ? v16_load_upto(x + k, columns - k) : v16_all(0);
}

RK_LANES_INLINE v16_int row_store(int8_t *values, v16 x, v16 inverse) {
    v16_int rounded = __builtin_convertvector(__builtin_elementwise_rint(x * inverse), v16_int);
    v16_bytes bytes = __builtin_convertvector(rounded, v16_bytes);
    memcpy(values, &bytes, sizeof bytes);
    return rounded;
}

RK_TARGET static float row(int8_t *values, int32_t *negated_sums, const float *x, int columns, int stride) {
    v16_int magnitudes = {0};
    for (int k = 0; k < columns; k += RK_LANES) {
        magnitudes = __builtin_elementwise_max(magnitudes, (v16_int)row_load(x, k, columns) & 0x7fffffff);
    }
    const float largest = rk_float((uint32_t)__builtin_reduce_max(magnitudes));
    if (!(largest >= RK_QUANTIZE_SMALLEST && largest < INFINITY)) {
        memset(values, 0, (size_t)stride);
        memset(negated_sums, 0, (size_t)(stride / RK_GROUP) * sizeof *negated_sums);
        return largest < RK_QUANTIZE_SMALLEST ? 0 : NAN;
    }
    const v16 inverse = v16_all(127.0f / largest);
    for (int k = 0; k < stride; k += RK_GROUP) {
        v16_int low = row_store(values + k, row_load(x, k, columns), inverse);
        v16_int high = row_store(values + k + RK_LANES, row_load(x, k + RK_LANES, columns), inverse);
        negated_sums[k / RK_GROUP] = -__builtin_reduce_add(low + high);
    }
    return largest / 127.0f;
}
