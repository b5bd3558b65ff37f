// Rows of activations (tokens): quantized dynamically, with one scale per row or one for each block of its columns and, where they lie far to one
// side of zero, as many offsets.
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

// Elements from a row of activations to the next: an odd number of blocks, as rows that are read together would else fall on the same sets of
// a cache where their length is a power of two.
static inline int rk_row_stride(int columns) { return rk_padded_columns(columns) | RK_COLUMN_BLOCK; }

enum { RK_INT8_LARGEST = 127, RK_INT16_LARGEST = 127 * 256 };

// Columns that share a scale where a row has several; the last block may be shorter.
enum { RK_INT8_BLOCK = 256 };

static inline int rk_int8_blocks(int columns) { return (columns + RK_INT8_BLOCK - 1) / RK_INT8_BLOCK; }

// Quantized rows: x[t][k] is about values[t * stride + k] * scale + offset. stride is a multiple of RK_COLUMN_BLOCK, at least
// rk_padded_columns(columns); the padding is 0. In products it may be 0 too: then all rows have the same values and starts.
typedef struct rk_integer_rows {
    void *values;          // [count][stride], 64-byte aligned: int8_t in -127 ... 127 or, if `is_int16`, int16_t in -32512 ... 32512
    float *scales;         // [count], or [count][rk_int8_blocks(columns)] with blocks: the largest magnitude, less the offset, / 127 or 32512,
                           // or 0 where that is 0
    float *offsets;        // as many, of int8_t only: the middles of the ranges, or NULL for 0
    int32_t *starts;       // [count][stride / RK_GROUP], of int8_t only: where products start whose weights are stored or made unsigned. Minus 8
                           // times the sum of each group of 32 values or, with blocks, minus 128 times that of each block, the rest undefined
    int stride;            // elements
    int is_int16;
    int has_blocks;        // as RK_INT8 weights take int8_t; otherwise each row has one scale
} rk_integer_rows;

typedef struct rk_quantize_kernels {
    const char *name;
    // Quantizes one row: scale = max|x| / 127; value = x * (127 / max|x|) rounded to nearest, ties to even. x has `columns`
    // elements, values `stride`, starts stride / 32. Returns the scale. A row with no finite maximum gives scale NaN, values
    // 0; a row whose maximum is below 2^-120 counts as zeros.
    // With an `offset` (or NULL) that becomes min x / 2 + max x / 2, and x - offset takes the place of x; a row with no finite maximum gives 0.
    float (*row)(int8_t *values, int32_t *starts, float *offset, const float *x, int columns, int stride);
    // The same with 32512 in place of 127, and 2^-112 in place of 2^-120, and no offset.
    float (*row16)(int16_t *values, const float *x, int columns, int stride);
} rk_quantize_kernels;

rk_quantize_kernels rk_quantize_kernels_for(uint32_t features);

#endif
