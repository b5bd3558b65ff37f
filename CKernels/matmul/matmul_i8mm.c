#include "matmul.h"

#if defined(__aarch64__)
#define RK_TARGET RK_TARGET_I8MM
#include "matmul_neon.h"

// smmla multiplies 2 rows of the panel by 2 rows of x, 8 columns deep. Pairs of the panel's rows are zipped once for all rows of x; an odd
// last row of x is paired with itself and stored once.

// Sums of a pair of the panel's rows [r, r+1] and a pair of x rows [t, t+1]: lanes (r, t), (r, t+1), (r+1, t), (r+1, t+1).
typedef int32x4_t square;

RK_TARGET RK_INLINE int odd_row(int pair, int rows) { return 2 * pair + 1 < rows ? 2 * pair + 1 : 2 * pair; }

// A block of columns of a panel of int8: 8 columns of its 8 pairs of rows, then the next. Between blocks a row's sums wait in `out`.
typedef struct zipped {
    int8_t weights[RK_INT8_BLOCK * RK_PANEL];
    int column, columns, last; // the first one, how many, whether they end the panel
} zipped;

RK_TARGET RK_INLINE void zip(zipped *to, const rk_matmul_tile *tile, int panel, int column) {
    to->column = column;
    to->columns = rk_min(RK_INT8_BLOCK, tile->columns - column);
    to->last = column + to->columns == tile->columns;
    const int8_t *w = (const int8_t *)rk_tile_panel(tile, RK_INT8, panel) + RK_PANEL * sizeof(float) + column * RK_PANEL;
    for (int k = 0; k < to->columns; k += 8) {
        RK_UNROLL
        for (int quarter = 0; quarter < 4; quarter++) {
            const int8x16_t near = vld1q_s8(w + k * RK_PANEL + 16 * quarter), far = vld1q_s8(w + k * RK_PANEL + 64 + 16 * quarter);
            vst1q_s8(to->weights + k * RK_PANEL + 32 * quarter, first_rows(near, far));
            vst1q_s8(to->weights + k * RK_PANEL + 32 * quarter + 16, last_rows(near, far));
        }
    }
}

RK_TARGET RK_INLINE void add_sum(const rk_matmul_tile *tile, const zipped *from, int panel, int row, int quarter, int32x4_t sum) {
    float *out = rk_tile_out(tile, panel, row) + 4 * quarter;
    const float scale = rk_tile_scales(tile, row)[from->column / RK_INT8_BLOCK];
    const float32x4_t acc = add_block(from->column ? vld1q_f32(out) : vdupq_n_f32(0), sum, scale);
    if (from->last) store_int8(tile, panel, row, quarter, rk_tile_panel(tile, RK_INT8, panel), acc);
    else vst1q_f32(out, acc);
}

// A panel by up to 3 pairs of rows of x.
RK_TARGET RK_INLINE void int8_many_rows(const rk_matmul_tile *tile, const zipped *from, int panel, int first, const int rows) {
    const size_t stride = tile->x_stride;
    const int pairs = (rows + 1) / 2, columns = from->columns;
    const int8_t *x = rk_tile_x8(tile, first) + from->column, *weights = from->weights;
    square sum[3][8];
    RK_UNROLL
    for (int p = 0; p < pairs; p++) {
        RK_UNROLL
        for (int r = 0; r < 8; r++) sum[p][r] = vdupq_n_s32(0);
    }
    for (int k = 0; k < columns; k += 8, x += 8, weights += 8 * RK_PANEL) {
        int8x16_t eight[3];
        RK_UNROLL
        for (int p = 0; p < pairs; p++) {
            eight[p] = vcombine_s8(vld1_s8(x + stride * (size_t)(2 * p)), vld1_s8(x + stride * (size_t)odd_row(p, rows)));
        }
        RK_UNROLL
        for (int r = 0; r < 8; r++) {
            const int8x16_t w = vld1q_s8(weights + 16 * r);
            for (int p = 0; p < pairs; p++) sum[p][r] = vmmlaq_s32(sum[p][r], w, eight[p]);
        }
    }
    RK_UNROLL
    for (int p = 0; p < pairs; p++) {
        RK_UNROLL
        for (int quarter = 0; quarter < 4; quarter++) {
            const square a = sum[p][2 * quarter], b = sum[p][2 * quarter + 1];
            add_sum(tile, from, panel, first + 2 * p, quarter, vuzp1q_s32(a, b));
            if (2 * p + 1 < rows) add_sum(tile, from, panel, first + 2 * p + 1, quarter, vuzp2q_s32(a, b));
        }
    }
}

// 16 columns of two rows of x: 8 columns of both, then the next 8.
RK_TARGET RK_INLINE void load_pair(int8x16_t pair[2], const int8_t *even, const int8_t *odd) {
    const int64x2_t a = vreinterpretq_s64_s8(vld1q_s8(even)), b = vreinterpretq_s64_s8(vld1q_s8(odd));
    pair[0] = vreinterpretq_s8_s64(vzip1q_s64(a, b));
    pair[1] = vreinterpretq_s8_s64(vzip2q_s64(a, b));
}

// Half a panel by up to 2 pairs of rows of x. Sums stay squares: their rows are sorted out once for all groups.
RK_TARGET RK_INLINE void int4_many_rows(const rk_matmul_tile *tile, const unpacked *from, int panel, int first, const int rows) {
    const size_t stride = tile->x_stride, starts_stride = rk_starts_stride(tile);
    const int groups = from->groups;
    const int pairs = (rows + 1) / 2;
    for (int half = 0; half < 2; half++) {
        const int8_t *x = rk_tile_x8(tile, first) + from->group * RK_GROUP;
        const int32_t *starts = rk_tile_starts(tile, first) + from->group;
        int32x4_t acc[2][4];
        for (int p = 0; p < pairs; p++) {
            for (int quarter = 0; quarter < 2; quarter++) {
                const int32x4_t even = load_acc(tile, from, panel, first + 2 * p, 2 * half + quarter);
                const int32x4_t odd = load_acc(tile, from, panel, first + odd_row(p, rows), 2 * half + quarter);
                acc[p][2 * quarter] = vzip1q_s32(even, odd);
                acc[p][2 * quarter + 1] = vzip2q_s32(even, odd);
            }
        }
        for (int g = 0; g < groups; g++, x += RK_GROUP, starts++) {
            const int8_t *weights = from->weights + GROUP_BYTES * g + 64 * half;
            square sum[2][4];
            int8x16_t columns[2][4];
            RK_UNROLL
            for (int p = 0; p < pairs; p++) {
                const size_t even = 2 * (size_t)p, odd = (size_t)odd_row(p, rows);
                const uint64_t low = (uint32_t)starts[starts_stride * even];
                const uint64_t high = (uint32_t)starts[starts_stride * odd];
                for (int r = 0; r < 4; r++) sum[p][r] = vreinterpretq_s32_u64(vdupq_n_u64(opaque(low | high << 32)));
                load_pair(columns[p], x + stride * even, x + stride * odd);
                load_pair(columns[p] + 2, x + stride * even + 16, x + stride * odd + 16);
            }
            RK_UNROLL
            for (int eight = 0; eight < 4; eight++) {
                RK_UNROLL
                for (int r = 0; r < 4; r++) {
                    const int8x16_t w = vld1q_s8(weights + 128 * eight + 16 * r);
                    for (int p = 0; p < pairs; p++) sum[p][r] = vmmlaq_s32(sum[p][r], w, columns[p][eight]);
                }
            }
            RK_UNROLL
            for (int r = 0; r < 4; r++) {
                const int32x4_t scales = vld1q_s32(from->pair_scales + 2 * RK_PANEL * g + 16 * half + 4 * r);
                for (int p = 0; p < pairs; p++) acc[p][r] = vmlaq_s32(acc[p][r], sum[p][r], scales);
            }
        }
        for (int p = 0; p < pairs; p++) {
            for (int quarter = 0; quarter < 2; quarter++) {
                const int32x4_t a = acc[p][2 * quarter], b = acc[p][2 * quarter + 1];
                store_acc(tile, from, panel, first + 2 * p, 2 * half + quarter, vuzp1q_s32(a, b));
                if (2 * p + 1 < rows) store_acc(tile, from, panel, first + 2 * p + 1, 2 * half + quarter, vuzp2q_s32(a, b));
            }
        }
    }
}

#define INT8_MANY(n) int8_many_rows(tile, &from, panel, first, n)
#define INT4_MANY(n) int4_many_rows(tile, &from, panel, first, n)
#define INT16(n) int16_rows(tile, panel, first, n)

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

// Zipping does not pay for one row of x, which would leave half of each product unused too, nor for two.

RK_TARGET static void int8(const rk_matmul_tile *tile) {
    if (tile->count <= 2) return rk_matmul_dotprod.tile[RK_INT8](tile);
    zipped from;
    for (int panel = 0; panel < tile->panels; panel++) {
        for (int column = 0; column < tile->columns; column += RK_INT8_BLOCK) {
            zip(&from, tile, panel, column);
            RK_FOR_ROWS(tile->count, 6, INT8_MANY)
        }
    }
}

RK_TARGET static void int4(const rk_matmul_tile *tile) {
    if (tile->count <= 2) return rk_matmul_dotprod.tile[RK_INT4](tile);
    unpacked from;
    for (int panel = 0; panel < tile->panels; panel++) {
        for (int group = 0; group < tile->columns / RK_GROUP; group += UNPACKED_GROUPS) {
            unpack(&from, tile, panel, group, 1);
            RK_FOR_ROWS(tile->count, 4, INT4_MANY)
        }
    }
}

RK_TARGET static void int16(const rk_matmul_tile *tile) { RK_FOR_TILES(tile, 4, INT16) }

const rk_matmul_kernels rk_matmul_i8mm = {.name = "i8mm", .tile = {NULL, NULL, int8, int4}, .int16 = int16};
#endif
