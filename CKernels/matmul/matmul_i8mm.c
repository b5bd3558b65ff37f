#include "matmul.h"

#if defined(__aarch64__)
#define RK_TARGET RK_TARGET_I8MM
#include "matmul_neon.h"

// smmla multiplies 2 rows of the panel by 2 rows of x, 8 columns deep. A tile is half a panel (4 pairs of its rows) by up to 4
// pairs of rows of x; an odd last row of x is paired with itself and stored once.

// Sums of a pair of the panel's rows [r, r+1] and a pair of x rows [t, t+1]: lanes (r, t), (r, t+1), (r+1, t), (r+1, t+1).
typedef int32x4_t square;

// Rows r, r+1 (and r+2, r+3) by 8 columns, from two registers of 4 rows by 4 columns.
RK_TARGET RK_INLINE int8x16_t first_rows(int8x16_t near, int8x16_t far) {
    return vreinterpretq_s8_s32(vzip1q_s32(vreinterpretq_s32_s8(near), vreinterpretq_s32_s8(far)));
}

RK_TARGET RK_INLINE int8x16_t last_rows(int8x16_t near, int8x16_t far) {
    return vreinterpretq_s8_s32(vzip2q_s32(vreinterpretq_s32_s8(near), vreinterpretq_s32_s8(far)));
}

// The 16 columns from k of two rows of x: 8 columns of both, then the next 8.
RK_TARGET RK_INLINE void load_pair(int8x16_t pair[2], const int8_t *even, const int8_t *odd, size_t k) {
    const int64x2_t a = vreinterpretq_s64_s8(vld1q_s8(even + k)), b = vreinterpretq_s64_s8(vld1q_s8(odd + k));
    pair[0] = vreinterpretq_s8_s64(vzip1q_s64(a, b));
    pair[1] = vreinterpretq_s8_s64(vzip2q_s64(a, b));
}

RK_TARGET RK_INLINE int odd_row(int pair, int rows) { return 2 * pair + 1 < rows ? 2 * pair + 1 : 2 * pair; }

RK_TARGET RK_INLINE void int8_rows(const rk_matmul_tile *tile, int panel, int first, const int rows) {
    const float *w_scales = rk_tile_panel(tile, RK_INT8, panel);
    const int8_t *w = (const int8_t *)(w_scales + RK_PANEL);
    const int8_t *x = rk_tile_x8(tile, first);
    const int pairs = (rows + 1) / 2;
    for (int half = 0; half < 2; half++) {
        square sum[4][4];
        for (int p = 0; p < pairs; p++) {
            for (int r = 0; r < 4; r++) sum[p][r] = vdupq_n_s32(0);
        }
        for (int k = 0; k < tile->columns; k += 16) {
            int8x16_t columns[4][2];
            for (int p = 0; p < pairs; p++) {
                load_pair(columns[p], x + tile->x_stride * (size_t)(2 * p), x + tile->x_stride * (size_t)odd_row(p, rows), (size_t)k);
            }
            RK_UNROLL
            for (int eight = 0; eight < 2; eight++) {
                RK_UNROLL
                for (int quarter = 0; quarter < 2; quarter++) {
                    const int8_t *weights = w + (k + 8 * eight) * RK_PANEL + 32 * half + 16 * quarter;
                    const int8x16_t near = vld1q_s8(weights), far = vld1q_s8(weights + 64);
                    const int8x16_t w0 = first_rows(near, far), w1 = last_rows(near, far);
                    RK_UNROLL
                    for (int p = 0; p < pairs; p++) {
                        sum[p][2 * quarter] = vmmlaq_s32(sum[p][2 * quarter], w0, columns[p][eight]);
                        sum[p][2 * quarter + 1] = vmmlaq_s32(sum[p][2 * quarter + 1], w1, columns[p][eight]);
                    }
                }
            }
        }
        for (int p = 0; p < pairs; p++) {
            for (int quarter = 0; quarter < 2; quarter++) {
                const square a = sum[p][2 * quarter], b = sum[p][2 * quarter + 1];
                store_int8(tile, panel, first + 2 * p, 2 * half + quarter, w_scales, vuzp1q_s32(a, b));
                if (2 * p + 1 < rows) store_int8(tile, panel, first + 2 * p + 1, 2 * half + quarter, w_scales, vuzp2q_s32(a, b));
            }
        }
    }
}

// Each pass over a panel makes one quarter of it: 4 rows by up to 8 rows of x are what the registers hold.
RK_TARGET RK_INLINE void int4_rows(const rk_matmul_tile *tile, int panel, int first, const int rows) {
    const uint8_t *blocks = rk_tile_panel(tile, RK_INT4, panel);
    const size_t groups = (size_t)tile->columns / RK_GROUP;
    const int pairs = (rows + 1) / 2;
    for (int quarter = 0; quarter < 4; quarter++) {
        const int8_t *x = rk_tile_x8(tile, first);
        const int32_t *sums = rk_tile_sums(tile, first);
        float32x4_t acc[8];
        for (int t = 0; t < 2 * pairs; t++) acc[t] = vdupq_n_f32(0);
        for (size_t group = 0; group < groups; group++, x += RK_GROUP, sums++) {
            const uint8_t *block = blocks + group / 2 * 576 + 8 * quarter;
            const uint8_t *nibbles = blocks + group / 2 * 576 + 64 + group % 2 * 256 + 16 * quarter;
            square sum[4][2];
            RK_UNROLL
            for (int p = 0; p < pairs; p++) {
                const uint32_t even = (uint32_t)group_start(sums + groups * (size_t)(2 * p));
                const uint32_t odd = (uint32_t)group_start(sums + groups * (size_t)odd_row(p, rows));
                sum[p][0] = sum[p][1] = vreinterpretq_s32_u64(vdupq_n_u64(even | (uint64_t)odd << 32));
            }
            RK_UNROLL
            for (int half = 0; half < 2; half++) {
                int8x16_t columns[4][2];
                RK_UNROLL
                for (int p = 0; p < pairs; p++) {
                    load_pair(columns[p], x + tile->x_stride * (size_t)(2 * p), x + tile->x_stride * (size_t)odd_row(p, rows),
                              16 * (size_t)half);
                }
                RK_UNROLL
                for (int eight = 0; eight < 2; eight++) {
                    const uint8x16_t pair = vld1q_u8(nibbles + 128 * half + 64 * eight);
                    const int8x16_t near = low_nibbles(pair), far = high_nibbles(pair);
                    const int8x16_t w0 = first_rows(near, far), w1 = last_rows(near, far);
                    RK_UNROLL
                    for (int p = 0; p < pairs; p++) {
                        sum[p][0] = vmmlaq_s32(sum[p][0], w0, columns[p][eight]);
                        sum[p][1] = vmmlaq_s32(sum[p][1], w1, columns[p][eight]);
                    }
                }
            }
            const float32x4_t scales = load_halves(block + group % 2 * 32);
            RK_UNROLL
            for (int p = 0; p < pairs; p++) {
                acc[2 * p] = vfmaq_f32(acc[2 * p], group_float(vuzp1q_s32(sum[p][0], sum[p][1])), scales);
                acc[2 * p + 1] = vfmaq_f32(acc[2 * p + 1], group_float(vuzp2q_s32(sum[p][0], sum[p][1])), scales);
            }
        }
        for (int t = 0; t < rows; t++) store_int4(tile, panel, first + t, quarter, acc[t]);
    }
}

// The coarse and the fine bytes of a row of x take the place of a pair of rows.
RK_TARGET RK_INLINE int8x16_t load_coarse_and_fine(const int16_t *x) {
    const int16x8_t columns = vld1q_s16(x);
    return vcombine_s8(vshrn_n_s16(rounded_up(columns), 8), vmovn_s16(columns));
}

RK_TARGET RK_INLINE void int16_rows(const rk_matmul_tile *tile, int panel, int first, const int rows) {
    const float *w_scales = rk_tile_panel(tile, RK_INT8, panel);
    const int8_t *w = (const int8_t *)(w_scales + RK_PANEL);
    const int16_t *x = rk_tile_x16(tile, first);
    for (int half = 0; half < 2; half++) {
        float32x4_t acc[4][2];
        for (int t = 0; t < rows; t++) acc[t][0] = acc[t][1] = vdupq_n_f32(0);
        for (int block = 0; block < tile->columns; block += RK_INT16_BLOCK) {
            const int end = rk_min(block + RK_INT16_BLOCK, tile->columns);
            square sum[4][4];
            for (int t = 0; t < rows; t++) {
                for (int r = 0; r < 4; r++) sum[t][r] = vdupq_n_s32(0);
            }
            for (int k = block; k < end; k += 8) {
                int8x16_t columns[4];
                for (int t = 0; t < rows; t++) columns[t] = load_coarse_and_fine(x + tile->x_stride * (size_t)t + k);
                RK_UNROLL
                for (int quarter = 0; quarter < 2; quarter++) {
                    const int8_t *weights = w + k * RK_PANEL + 32 * half + 16 * quarter;
                    const int8x16_t near = vld1q_s8(weights), far = vld1q_s8(weights + 64);
                    const int8x16_t w0 = first_rows(near, far), w1 = last_rows(near, far);
                    RK_UNROLL
                    for (int t = 0; t < rows; t++) {
                        sum[t][2 * quarter] = vmmlaq_s32(sum[t][2 * quarter], w0, columns[t]);
                        sum[t][2 * quarter + 1] = vmmlaq_s32(sum[t][2 * quarter + 1], w1, columns[t]);
                    }
                }
            }
            for (int t = 0; t < rows; t++) {
                for (int quarter = 0; quarter < 2; quarter++) {
                    const square a = sum[t][2 * quarter], b = sum[t][2 * quarter + 1];
                    const int32x4_t total = joined(vuzp1q_s32(a, b), vuzp2q_s32(a, b));
                    acc[t][quarter] = vaddq_f32(acc[t][quarter], vcvtq_f32_s32(total));
                }
            }
        }
        for (int t = 0; t < rows; t++) {
            for (int quarter = 0; quarter < 2; quarter++) store_int16(tile, panel, first + t, 2 * half + quarter, w_scales, acc[t][quarter]);
        }
    }
}

#define INT8(n) int8_rows(tile, panel, first, n)
#define INT4(n) int4_rows(tile, panel, first, n)
#define INT16(n) int16_rows(tile, panel, first, n)

// One row of x would leave half of each product unused: dot products do it in half the instructions.

RK_TARGET static void int8(const rk_matmul_tile *tile) {
    if (tile->count == 1) return rk_matmul_dotprod.tile[RK_INT8](tile);
    RK_FOR_TILES(tile, 8, INT8)
}

RK_TARGET static void int4(const rk_matmul_tile *tile) {
    if (tile->count == 1) return rk_matmul_dotprod.tile[RK_INT4](tile);
    RK_FOR_TILES(tile, 8, INT4)
}
RK_TARGET static void int16(const rk_matmul_tile *tile) { RK_FOR_TILES(tile, 4, INT16) }

const rk_matmul_kernels rk_matmul_i8mm = {.name = "i8mm", .tile = {NULL, NULL, int8, int4}, .int16 = int16};
#endif
