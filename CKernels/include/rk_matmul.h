// Matrix products: out[t][r] = bias[r] + sum over k of x[t][k] * w[r][k].
//
// Weights lie in PANELS of 16 rows, as the quantizer wrote them; one layout for x86-64 and ARM. Rows are padded with zeros
// to a multiple of 16. For a panel of rows r = 0..15:
//
//   RK_F32   [columns][16] float                           x is float
//   RK_F16   [columns][16] f16                             x is float
//   RK_INT8  16 float scales, one per row; then for every 4 columns 64 bytes: byte 4*r + j is row r, column 4*c + j, signed.
//            Columns padded to a multiple of 64.            x is rk_integer_rows, of int8 with blocks
//   RK_INT4  16 float scales, one per row; then for every 128 columns, four groups of 32, 1088 bytes: 64 scales, of row r in group g byte
//            g / 2 * 32 + 2 * r + g % 2, -127 ... 127, and 16 x 64 bytes: of the c-th 64 bytes, byte 4*r + j holds row r, column 8*c + j in its low
//            nibble and column 8*c + 4 + j in its high nibble, each plus 8 (0..15 stands for -8..7). A weight is this times both scales.
//            Columns padded to a multiple of 64; what a last half of 128 holds is not read.                x is rk_integer_rows of int8
//
// Definitions, to the bit (acc is a float, one for each output):
//   RK_F32, RK_F16  acc = 0; for k ascending: acc = fmaf(w, x, acc); out = acc + bias
//   RK_INT8         acc = 0; for each block b of RK_INT8_BLOCK columns ascending: acc = fmaf((float)i_b, x_scale_b, acc), i_b the exact integer
//                   sum of the block; out = fmaf(acc, w_scale, bias)
//     with int16 x  acc = 0; for each block b of RK_INT16_BLOCK columns ascending: acc = acc + (float)i_b, i_b the exact integer sum of the
//                   block, which fits in 32 bits; out = fmaf(acc, x_scale * w_scale, bias)
//   RK_INT4         i = the exact integer sum, over the groups g of 32 columns, of the group's scale times the group's integer sum; both that sum, at
//                   most 32 * 8 * 127, and i fit in 16 and in 32 bits; out = fmaf((float)i, x_scale * w_scale, bias)
//     rows of x with offsets: for each block b ascending: out = fmaf(x_offset_b, sum_b, out), sum_b that of the weights
#ifndef RK_MATMUL_H
#define RK_MATMUL_H

#include <stddef.h>
#include <stdint.h>
#include "rk_math.h"
#include "rk_parallel.h"
#include "rk_quantize.h"

typedef enum rk_type { RK_F32 = 0, RK_F16 = 1, RK_INT8 = 2, RK_INT4 = 3 } rk_type;

// int8 with int8 x takes at most RK_INT8_COLUMNS columns: AVX2's kernel keeps something for each block. int4 takes RK_INT4_COLUMNS, whose sum fits.
enum { RK_PANEL = 16, RK_INT16_BLOCK = 512, RK_INT8_COLUMNS = 512 * RK_INT8_BLOCK, RK_INT4_COLUMNS = 16384, RK_INT4_BLOCK = 128 };

// Bytes of one panel of 16 rows.
static inline size_t rk_panel_bytes(rk_type type, int columns) {
    const size_t exact = (size_t)columns, padded = (exact + RK_COLUMN_BLOCK - 1) / RK_COLUMN_BLOCK * RK_COLUMN_BLOCK;
    switch (type) {
    case RK_F32: return RK_PANEL * sizeof(float) * exact;
    case RK_F16: return RK_PANEL * sizeof(rk_f16) * exact;
    case RK_INT8: return RK_PANEL * sizeof(float) + RK_PANEL * padded;
    case RK_INT4: return RK_PANEL * sizeof(float) + (exact + RK_INT4_BLOCK - 1) / RK_INT4_BLOCK * (RK_PANEL * (4 + RK_INT4_BLOCK / 2));
    }
    return 0;
}

// Packed weights, usually inside a mapped model file; 64-byte aligned.
typedef struct rk_matrix {
    const void *data;
    rk_type type;
    int rows;    // the true number, or fewer; ceil(rows / 16) panels follow each other
    int columns; // the true number
    // Where rows of x have offsets, else NULL: sums of the weights, [rk_int8_blocks(columns)][block_sums_stride], with the stride at least rows
    // rounded up to 16. A row is the product with a row of ones whose scales are 0 but for one block.
    const float *block_sums;
    size_t block_sums_stride;
} rk_matrix;

// The arguments of a kernel: `panels` consecutive panels times `count` rows of x.
typedef struct rk_matmul_tile {
    const void *weights;
    int panels;
    int columns;               // true number for f32 and f16, padded for int8 and int4
    const float *x;            // f32 and f16: [count], x_stride floats apart
    const int8_t *x8;          // int8 and int4: [count], x_stride bytes apart
    const int16_t *x16;        // int8 with int16 x: [count], x_stride elements apart
    const float *scales;       // [count], scales_stride apart
    size_t scales_stride;      // rk_int8_blocks(columns) for int8 with x8, else 1
    const int32_t *starts;     // [count], x_stride / 32 apart, with x8: of rk_integer_rows
    size_t x_stride;
    int count;                 // any number from 1; the kernel cuts it to its register tile
    const float *bias;         // [panels * 16] or NULL for 0
    float *out;                // [count][panels * 16], out_stride floats apart; padding rows are written too
    size_t out_stride;
    // How this processor reads weights from memory; x86-64 only. 0 where they come from a cache.
    int streams;               // AVX-512: panels that few rows of x take in turn, at most; 2, else 4
    int prefetch_distance;     // bytes, of weights in each stream, at most; 0: no software prefetch. With 256 bits only of one row of x
} rk_matmul_tile;

typedef void (*rk_matmul_kernel)(const rk_matmul_tile *tile);

// Offsets of the rows of x in a tile, and what they are multiplied by.
typedef struct rk_matmul_offsets {
    const float *offsets; // [count][blocks]
    const float *sums;    // [blocks] rows of [panels * 16], `stride` apart
    size_t stride;
    int blocks;
} rk_matmul_offsets;

typedef struct rk_matmul_kernels {
    const char *name;
    rk_matmul_kernel tile[4]; // by rk_type
    rk_matmul_kernel int16;   // RK_INT8 with int16 x
    void (*add_offsets)(const rk_matmul_tile *tile, const rk_matmul_offsets *offsets); // to the tile's `out`
} rk_matmul_kernels;

rk_matmul_kernels rk_matmul_kernels_for(uint32_t features);

typedef enum rk_activation { RK_NONE = 0, RK_GELU = 1 } rk_activation;

// The rows x of a product: float for RK_F32 and RK_F16 weights, integers for the others.
typedef struct rk_input {
    const float *x;
    size_t stride;     // floats between rows of x
    rk_integer_rows integers;
    int count;         // rows
} rk_input;

// Step: out[t][r] for all rows of the matrix, with bias ([rows], or NULL) and activation. out has out_stride floats a row, at least rows
// rounded up to 16, as whole panels are written.
void rk_matmul(rk_worker *worker, uint32_t features, const rk_matrix *matrix, const rk_input *input, const float *bias,
               rk_activation activation, float *out, size_t out_stride);

// Tells a worker that the product of `count` rows of x with a matrix comes, after some steps: while it waits for others it prefetches the weights
// of its own share. NULL: that nothing of the kind comes. Many rows of x are not memory-bound: nothing is prefetched.
void rk_matmul_prefetch(rk_worker *worker, const rk_matrix *matrix, int count);

// Packs float rows into RK_F32 panels: element (r, k) is source[r * row_stride + k * column_stride]. For matrices that are made at run time.
void rk_pack_f32(rk_worker *worker, float *panels, const float *source, int rows, int columns, size_t row_stride,
                 size_t column_stride);

#endif
