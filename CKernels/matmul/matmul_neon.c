#include "matmul.h"

#if defined(__aarch64__)
#define RK_TARGET
#include "matmul_neon.h"
#include "matmul_offsets.h"

// Weights [columns][16] of a panel from column `column` on, all of them or a block: between blocks a row's sums wait in `out`. Four
// columns of x are one load, and products take them from its lanes: broadcasts would take the place of products.
RK_INLINE void float_rows(const rk_matmul_tile *tile, const float *w, int column, int columns, int panel, int first, const int rows) {
    const float *x = tile->x + tile->x_stride * (size_t)first + column;
    float32x4_t acc[6][4];
    RK_UNROLL
    for (int t = 0; t < rows; t++) {
        RK_UNROLL
        for (int quarter = 0; quarter < 4; quarter++) {
            acc[t][quarter] = column ? vld1q_f32(rk_tile_out(tile, panel, first + t) + 4 * quarter) : vdupq_n_f32(0);
        }
    }
    int k = 0;
    for (; k + 4 <= columns; k += 4, w += 4 * RK_PANEL) {
        float32x4_t four[6];
        for (int t = 0; t < rows; t++) four[t] = vld1q_f32(x + tile->x_stride * (size_t)t + k);
        for (int quarter = 0; quarter < 4; quarter++) {
            const float *weights = w + 4 * quarter;
            const float32x4_t w0 = vld1q_f32(weights), w1 = vld1q_f32(weights + 16);
            const float32x4_t w2 = vld1q_f32(weights + 32), w3 = vld1q_f32(weights + 48);
            for (int t = 0; t < rows; t++) acc[t][quarter] = vfmaq_laneq_f32(acc[t][quarter], w0, four[t], 0);
            for (int t = 0; t < rows; t++) acc[t][quarter] = vfmaq_laneq_f32(acc[t][quarter], w1, four[t], 1);
            for (int t = 0; t < rows; t++) acc[t][quarter] = vfmaq_laneq_f32(acc[t][quarter], w2, four[t], 2);
            for (int t = 0; t < rows; t++) acc[t][quarter] = vfmaq_laneq_f32(acc[t][quarter], w3, four[t], 3);
        }
    }
    for (; k < columns; k++, w += RK_PANEL) {
        for (int quarter = 0; quarter < 4; quarter++) {
            const float32x4_t weights = vld1q_f32(w + 4 * quarter);
            for (int t = 0; t < rows; t++) {
                acc[t][quarter] = vfmaq_n_f32(acc[t][quarter], weights, x[tile->x_stride * (size_t)t + (size_t)k]);
            }
        }
    }
    const int last = column + columns == tile->columns;
    RK_UNROLL
    for (int quarter = 0; quarter < 4; quarter++) {
        const float32x4_t bias = last ? load_bias(tile, panel, quarter) : vdupq_n_f32(0);
        RK_UNROLL
        for (int t = 0; t < rows; t++) {
            const float32x4_t sum = last ? vaddq_f32(acc[t][quarter], bias) : acc[t][quarter];
            vst1q_f32(rk_tile_out(tile, panel, first + t) + 4 * quarter, sum);
        }
    }
}

// Bytes are multiplied to 16 bits, four columns of two rows at a time, added there as long as they fit, then in pairs to 32 bits.

RK_INLINE void int8_rows(const rk_matmul_tile *tile, int panel, int first, const int rows) {
    const float *w_scales = rk_tile_panel(tile, RK_INT8, panel);
    const int8_t *w = (const int8_t *)(w_scales + RK_PANEL);
    const int8_t *x = rk_tile_x8(tile, first);
    const float *scales = rk_tile_scales(tile, first);
    float32x4_t acc[2][4];
    for (int t = 0; t < rows; t++) {
        for (int quarter = 0; quarter < 4; quarter++) acc[t][quarter] = vdupq_n_f32(0);
    }
    for (int block = 0; block < tile->columns; block += RK_INT8_BLOCK, scales++) {
        const int end = rk_min(block + RK_INT8_BLOCK, tile->columns);
        int32x4_t sum[2][8]; // two sums for each row of the panel
        for (int t = 0; t < rows; t++) {
            for (int i = 0; i < 8; i++) sum[t][i] = vdupq_n_s32(0);
        }
        for (int k = block; k < end; k += 8) {
            int8x16_t near[2], far[2];
            for (int t = 0; t < rows; t++) {
                near[t] = broadcast4(x + tile->x_stride * (size_t)t + k);
                far[t] = broadcast4(x + tile->x_stride * (size_t)t + k + 4);
            }
            RK_UNROLL
            for (int quarter = 0; quarter < 4; quarter++) {
                const int8x16_t w_near = vld1q_s8(w + k * RK_PANEL + 16 * quarter), w_far = vld1q_s8(w + k * RK_PANEL + 64 + 16 * quarter);
                RK_UNROLL
                for (int t = 0; t < rows; t++) { // two products of at most 128 * 127 fit in 16 bits
                    int16x8_t low = vmull_s8(vget_low_s8(w_near), vget_low_s8(near[t]));
                    int16x8_t high = vmull_high_s8(w_near, near[t]);
                    low = vmlal_s8(low, vget_low_s8(w_far), vget_low_s8(far[t]));
                    high = vmlal_high_s8(high, w_far, far[t]);
                    sum[t][2 * quarter] = vpadalq_s16(sum[t][2 * quarter], low);
                    sum[t][2 * quarter + 1] = vpadalq_s16(sum[t][2 * quarter + 1], high);
                }
            }
        }
        for (int t = 0; t < rows; t++) {
            for (int quarter = 0; quarter < 4; quarter++) {
                const int32x4_t total = vpaddq_s32(sum[t][2 * quarter], sum[t][2 * quarter + 1]);
                acc[t][quarter] = add_block(acc[t][quarter], total, scales[tile->scales_stride * (size_t)t]);
            }
        }
    }
    for (int t = 0; t < rows; t++) {
        for (int quarter = 0; quarter < 4; quarter++) store_int8(tile, panel, first + t, quarter, w_scales, acc[t][quarter]);
    }
}

// Four columns of a quarter of the panel.
RK_INLINE void add_products(int16x8_t *low, int16x8_t *high, int8x16_t w, int8x16_t x, const int first) {
    *low = first ? vmull_s8(vget_low_s8(w), vget_low_s8(x)) : vmlal_s8(*low, vget_low_s8(w), vget_low_s8(x));
    *high = first ? vmull_high_s8(w, x) : vmlal_high_s8(*high, w, x);
}

// The sums of a group's products, four lanes for each row. Their totals may wrap around: with the start they fit in 16 bits again.
RK_INLINE void add_sums(int32x4_t acc[4], const int16x8_t low[4], const int16x8_t high[4], int32_t start, const int16x8_t scales[2]) {
    RK_UNROLL
    for (int half = 0; half < 2; half++) {
        const int16x8_t *l = low + 2 * half, *h = high + 2 * half;
        const int16x8_t sum = vpaddq_s16(vpaddq_s16(l[0], h[0]), vpaddq_s16(l[1], h[1]));
        add_group(acc + 2 * half, vaddq_s16(sum, vdupq_n_s16((int16_t)start)), scales[half]);
    }
}

RK_INLINE void int4_rows(const rk_matmul_tile *tile, int panel, int first, const int rows) {
    const uint8_t *blocks = rk_tile_blocks(tile, panel);
    const int8_t *x = rk_tile_x8(tile, first);
    const int32_t *starts = rk_tile_starts(tile, first);
    const size_t groups = (size_t)tile->columns / RK_GROUP;
    int32x4_t acc[2][4];
    for (int t = 0; t < rows; t++) {
        for (int quarter = 0; quarter < 4; quarter++) acc[t][quarter] = vdupq_n_s32(0);
    }
    for (size_t group = 0; group < groups; group++, x += RK_GROUP, starts++) {
        const group_data data = find_group(blocks, group);
        int16x8_t low[2][4], high[2][4];
        RK_UNROLL
        for (int c = 0; c < 8; c++) {
            int8x16_t columns[2];
            for (int t = 0; t < rows; t++) columns[t] = broadcast4(x + tile->x_stride * (size_t)t + 4 * c);
            RK_UNROLL
            for (int quarter = 0; quarter < 4; quarter++) {
                const uint8x16_t pair = vld1q_u8(data.weights + 64 * (c / 2) + 16 * quarter);
                const int8x16_t w = c % 2 ? high_nibbles(pair) : low_nibbles(pair);
                for (int t = 0; t < rows; t++) add_products(&low[t][quarter], &high[t][quarter], w, columns[t], c == 0);
            }
        }
        const int16x8_t scales[2] = {load_scales(data, 0), load_scales(data, 1)};
        for (int t = 0; t < rows; t++) add_sums(acc[t], low[t], high[t], starts[rk_starts_stride(tile) * (size_t)t], scales);
    }
    for (int t = 0; t < rows; t++) {
        for (int quarter = 0; quarter < 4; quarter++) store_int4(tile, panel, first + t, quarter, acc[t][quarter]);
    }
}

// Half a panel at a time: a row's four columns go to the four lanes of its own sum.
RK_INLINE void int16_rows(const rk_matmul_tile *tile, int panel, int first, const int rows) {
    const float *w_scales = rk_tile_panel(tile, RK_INT8, panel);
    const int8_t *w = (const int8_t *)(w_scales + RK_PANEL);
    const int16_t *x = rk_tile_x16(tile, first);
    for (int half = 0; half < 2; half++) {
        float32x4_t acc[2][2];
        for (int t = 0; t < rows; t++) acc[t][0] = acc[t][1] = vdupq_n_f32(0);
        for (int block = 0; block < tile->columns; block += RK_INT16_BLOCK) {
            const int end = rk_min(block + RK_INT16_BLOCK, tile->columns);
            int32x4_t sum[2][8];
            for (int t = 0; t < rows; t++) {
                for (int r = 0; r < 8; r++) sum[t][r] = vdupq_n_s32(0);
            }
            for (int k = block; k < end; k += 4) {
                int16x8_t columns[2];
                for (int t = 0; t < rows; t++) {
                    const int16x4_t four = vld1_s16(x + tile->x_stride * (size_t)t + k);
                    columns[t] = vcombine_s16(four, four);
                }
                RK_UNROLL
                for (int quarter = 0; quarter < 2; quarter++) {
                    const int8x16_t bytes = vld1q_s8(w + k * RK_PANEL + 32 * half + 16 * quarter);
                    const int16x8_t weights[2] = {vmovl_s8(vget_low_s8(bytes)), vmovl_high_s8(bytes)};
                    RK_UNROLL
                    for (int t = 0; t < rows; t++) {
                        RK_UNROLL
                        for (int i = 0; i < 2; i++) {
                            int32x4_t *s = &sum[t][4 * quarter + 2 * i];
                            s[0] = vmlal_s16(s[0], vget_low_s16(weights[i]), vget_low_s16(columns[t]));
                            s[1] = vmlal_high_s16(s[1], weights[i], columns[t]);
                        }
                    }
                }
            }
            for (int t = 0; t < rows; t++) {
                for (int quarter = 0; quarter < 2; quarter++) {
                    const int32x4_t *s = &sum[t][4 * quarter];
                    const int32x4_t total = vpaddq_s32(vpaddq_s32(s[0], s[1]), vpaddq_s32(s[2], s[3]));
                    acc[t][quarter] = vaddq_f32(acc[t][quarter], vcvtq_f32_s32(total));
                }
            }
        }
        for (int t = 0; t < rows; t++) {
            for (int quarter = 0; quarter < 2; quarter++) store_int16(tile, panel, first + t, 2 * half + quarter, w_scales, acc[t][quarter]);
        }
    }
}

// Many rows of 16-bit x, by half as many multiplications (Winograd, 1968): of two columns
//     x1 w1 + x2 w2 = (x1 + w2) (x2 + w1) - x1 x2 - w1 w2,
// where x1 x2 is the same for all panels and w1 w2 for all rows of x. An A72 multiplies on one of two pipes and adds on both. The sums fit in
// 16 bits, as |x| <= 32512 and |w| <= 128; their products add up modulo 2^32, and what is left in the end fits.
//
// A column's partner is four after it. A block of columns at a time, the weights of a panel become 16-bit integers in L1, once for all
// rows of x: two rows of the panel by 4 columns are a register, their partners come PARTNER later, then the next two rows. From so far
// apart the compiler makes no load of two registers, which an A72 takes longer for than for two loads. x has each 4 columns twice, for the two rows.
enum { PAIRED_ROWS = 48, PARTNER = RK_INT16_BLOCK };
typedef struct paired {
    int16_t weights[16][PARTNER];
    int16_t x[PAIRED_ROWS][2 * RK_INT16_BLOCK];
    int32_t w_products[RK_PANEL]; // minus the sums of w1 w2
    int32_t x_products[PAIRED_ROWS];
    int first, column, columns;   // the first row, the block
} paired;

RK_INLINE void pair_weights(paired *u, const rk_matmul_tile *tile, int panel) {
    const int8_t *w = (const int8_t *)rk_tile_panel(tile, RK_INT8, panel) + RK_PANEL * sizeof(float) + u->column * RK_PANEL;
    for (int quarter = 0; quarter < 4; quarter++) {
        int16_t *to = u->weights[4 * quarter];
        int32x4_t sum[4] = {vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0)};
        for (int k = 0; k < u->columns; k += 8, to += 8) {
            const int8x16_t near = vld1q_s8(w + k * RK_PANEL + 16 * quarter), far = vld1q_s8(w + (k + 4) * RK_PANEL + 16 * quarter);
            const int16x8_t wide[4] = {vmovl_s8(vget_low_s8(near)), vmovl_s8(vget_low_s8(far)), vmovl_high_s8(near), vmovl_high_s8(far)};
            RK_UNROLL
            for (int i = 0; i < 4; i++) vst1q_s16(to + PARTNER * i, wide[i]);
            RK_UNROLL
            for (int i = 0; i < 2; i++) {
                sum[2 * i] = vmlsl_s16(sum[2 * i], vget_low_s16(wide[2 * i]), vget_low_s16(wide[2 * i + 1]));
                sum[2 * i + 1] = vmlsl_high_s16(sum[2 * i + 1], wide[2 * i], wide[2 * i + 1]);
            }
        }
        vst1q_s32(u->w_products + 4 * quarter, vpaddq_s32(vpaddq_s32(sum[0], sum[1]), vpaddq_s32(sum[2], sum[3])));
    }
}

RK_INLINE void pair_x(paired *u, const rk_matmul_tile *tile, int t) {
    const int16_t *x = rk_tile_x16(tile, u->first + t) + u->column;
    int32x4_t sum = vdupq_n_s32(0);
    for (int k = 0; k < u->columns; k += 8) {
        const int16x8_t columns = vld1q_s16(x + k);
        const int16x4_t near = vget_low_s16(columns), far = vget_high_s16(columns);
        vst1q_s16(u->x[t] + 2 * k, vcombine_s16(near, near));
        vst1q_s16(u->x[t] + 2 * k + 8, vcombine_s16(far, far));
        sum = vmlsl_s16(sum, near, far);
    }
    u->x_products[t] = vaddvq_s32(sum);
}

RK_INLINE void paired_rows(const paired *u, const rk_matmul_tile *tile, int panel, int first, const int rows) {
    const float *w_scales = rk_tile_panel(tile, RK_INT8, panel);
    for (int half = 0; half < 2; half++) {
        const int16_t *w = u->weights[8 * half];
        int32x4_t sum[2][8]; // four lanes for each row of the panel
        for (int t = 0; t < rows; t++) {
            for (int r = 0; r < 8; r++) sum[t][r] = vdupq_n_s32(0);
        }
        for (int k = 0; k < u->columns; k += 8, w += 8) {
            int16x8_t x_near[2], x_far[2];
            for (int t = 0; t < rows; t++) {
                x_near[t] = vld1q_s16(u->x[first + t] + 2 * k);
                x_far[t] = vld1q_s16(u->x[first + t] + 2 * k + 8);
            }
            RK_UNROLL
            for (int pair = 0; pair < 4; pair++) {
                const int16x8_t near = vld1q_s16(w + 2 * PARTNER * pair), far = vld1q_s16(w + 2 * PARTNER * pair + PARTNER);
                RK_UNROLL
                for (int t = 0; t < rows; t++) {
                    const int16x8_t a = vaddq_s16(x_near[t], far), b = vaddq_s16(x_far[t], near);
                    sum[t][2 * pair] = vmlal_s16(sum[t][2 * pair], vget_low_s16(a), vget_low_s16(b));
                    sum[t][2 * pair + 1] = vmlal_high_s16(sum[t][2 * pair + 1], a, b);
                }
            }
        }
        for (int t = 0; t < rows; t++) {
            for (int i = 0; i < 2; i++) {
                const int quarter = 2 * half + i;
                const int32x4_t *s = &sum[t][4 * i];
                float *out = rk_tile_out(tile, panel, u->first + first + t) + 4 * quarter;
                const int32x4_t products = vaddq_s32(vdupq_n_s32(u->x_products[first + t]), vld1q_s32(u->w_products + 4 * quarter));
                const int32x4_t total = vaddq_s32(vpaddq_s32(vpaddq_s32(s[0], s[1]), vpaddq_s32(s[2], s[3])), products);
                const float32x4_t acc = vaddq_f32(u->column ? vld1q_f32(out) : vdupq_n_f32(0), vcvtq_f32_s32(total));
                if (u->column + u->columns == tile->columns) store_int16(tile, panel, u->first + first + t, quarter, w_scales, acc);
                else vst1q_f32(out, acc);
            }
        }
    }
}

RK_INLINE void int4_many_rows(const rk_matmul_tile *tile, const unpacked *from, int panel, int first, const int rows) {
    const int8_t *x = rk_tile_x8(tile, first) + from->group * RK_GROUP;
    const int32_t *starts = rk_tile_starts(tile, first) + from->group;
    int32x4_t acc[2][4];
    for (int t = 0; t < rows; t++) {
        for (int quarter = 0; quarter < 4; quarter++) acc[t][quarter] = load_acc(tile, from, panel, first + t, quarter);
    }
    for (int g = 0; g < from->groups; g++, x += RK_GROUP, starts++) {
        int16x8_t low[2][4], high[2][4];
        RK_UNROLL
        for (int c = 0; c < 8; c++) {
            int8x16_t columns[2];
            for (int t = 0; t < rows; t++) columns[t] = broadcast4(x + tile->x_stride * (size_t)t + 4 * c);
            RK_UNROLL
            for (int quarter = 0; quarter < 4; quarter++) {
                const int8x16_t w = vld1q_s8(from->weights + GROUP_BYTES * g + 64 * c + 16 * quarter);
                for (int t = 0; t < rows; t++) add_products(&low[t][quarter], &high[t][quarter], w, columns[t], c == 0);
            }
        }
        const int16x8_t scales[2] = {vld1q_s16(from->scales + RK_PANEL * g), vld1q_s16(from->scales + RK_PANEL * g + 8)};
        for (int t = 0; t < rows; t++) add_sums(acc[t], low[t], high[t], starts[rk_starts_stride(tile) * (size_t)t], scales);
    }
    for (int t = 0; t < rows; t++) {
        for (int quarter = 0; quarter < 4; quarter++) store_acc(tile, from, panel, first + t, quarter, acc[t][quarter]);
    }
}

#define F32(n) float_rows(tile, rk_tile_panel(tile, RK_F32, panel), 0, tile->columns, panel, first, n)
#define F16(n) float_rows(tile, w, column, columns, panel, first, n)
#define INT8(n) int8_rows(tile, panel, first, n)
#define INT4(n) int4_rows(tile, panel, first, n)
#define INT16(n) int16_rows(tile, panel, first, n)
#define PAIRED(n) paired_rows(&u, tile, panel, first, n)
#define INT4_MANY(n) int4_many_rows(tile, &from, panel, first, n)

static void f32(const rk_matmul_tile *tile) { RK_FOR_TILES(tile, 6, F32) }

static void f16(const rk_matmul_tile *tile) {
    enum { COLUMNS = 128 };
    float w[COLUMNS * RK_PANEL];
    for (int panel = 0; panel < tile->panels; panel++) {
        for (int column = 0; column < tile->columns; column += COLUMNS) {
            const rk_f16 *packed = (const rk_f16 *)rk_tile_panel(tile, RK_F16, panel) + column * RK_PANEL;
            const int columns = rk_min(COLUMNS, tile->columns - column);
            for (int i = 0; i < columns * RK_PANEL; i += 4) vst1q_f32(w + i, load_f16(packed + i));
            RK_FOR_ROWS(tile->count, 6, F16)
        }
    }
}

static void int8(const rk_matmul_tile *tile) { RK_FOR_TILES(tile, 2, INT8) }

static void int4(const rk_matmul_tile *tile) {
    if (tile->count < 8) {
        RK_FOR_TILES(tile, 2, INT4)
        return;
    }
    unpacked from;
    for (int panel = 0; panel < tile->panels; panel++) {
        for (int group = 0; group < tile->columns / RK_GROUP; group += UNPACKED_GROUPS) {
            unpack(&from, tile, panel, group, 0);
            RK_FOR_ROWS(tile->count, 2, INT4_MANY)
        }
    }
}

static void int16_many(const rk_matmul_tile *tile) {
    paired u;
    for (u.first = 0; u.first < tile->count; u.first += PAIRED_ROWS) {
        const int count = rk_min(PAIRED_ROWS, tile->count - u.first);
        for (u.column = 0; u.column < tile->columns; u.column += RK_INT16_BLOCK) {
            u.columns = rk_min(RK_INT16_BLOCK, tile->columns - u.column);
            for (int t = 0; t < count; t++) pair_x(&u, tile, t);
            for (int panel = 0; panel < tile->panels; panel++) {
                pair_weights(&u, tile, panel);
                RK_FOR_ROWS(count, 2, PAIRED)
            }
        }
    }
}

static void int16(const rk_matmul_tile *tile) {
    if (tile->count >= 8) return int16_many(tile);
    RK_FOR_TILES(tile, 2, INT16)
}

const rk_matmul_kernels rk_matmul_neon = {
    .name = "neon", .tile = {f32, f16, int8, int4}, .int16 = int16, .add_offsets = add_offsets};
#endif
