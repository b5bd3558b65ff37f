// Rows of activations: quantized dynamically, one scale per row (token).
#ifndef RK_QUANTIZE_H
#define RK_QUANTIZE_H

#include <stddef.h>
#include <stdint.h>
#include "rk_math.h"

// The columns of packed weights and of quantized activations are padded with zeros to a multiple of this.
enum { RK_COLUMN_BLOCK = 64, RK_GROUP = 32 };

static inline int rk_padded_columns(int columns) {
    return (columns + RK_COLUMN_BLOCK - 1) / RK_COLUMN_BLOCK * RK_COLUMN_BLOCK;
}

// Quantized rows, in one or two planes. Row t has the planes t * planes + p; x[t][k] is about the sum over its planes of
// values[plane * stride + k] * scales[plane]. The second plane is what the first left over, quantized by the same rule: together they hold
// about 15 bits, and a product costs twice the arithmetic but reads the weights once.
// stride = rk_padded_columns(columns); the padding is 0.
typedef struct rk_int8_rows {
    int8_t *values;        // [count * planes][stride], 64-byte aligned, in -127 ... 127
    float *scales;         // [count * planes]: largest magnitude of the plane / 127, or 0 for a plane of zeros
    int32_t *negated_sums; // [count * planes][stride / RK_GROUP]: minus the sum of each group of 32 values
    int stride;
    int planes;            // 1 or 2; 0 counts as 1
} rk_int8_rows;

typedef struct rk_quantize_kernels {
    const char *name;
    // Quantizes one row: scale = max|x| / 127; value = x * (127 / max|x|) rounded to nearest, ties to even. x has `columns`
    // elements, values `stride`, negated_sums stride / 32. Returns the scale. A row with no finite maximum gives scale NaN, values
    // 0; a row whose maximum is below 2^-120 counts as zeros.
    float (*row)(int8_t *values, int32_t *negated_sums, const float *x, int columns, int stride);
} rk_quantize_kernels;

rk_quantize_kernels rk_quantize_kernels_for(uint32_t features);

#endif
