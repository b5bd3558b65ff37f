#include "matmul.h"

#if defined(__aarch64__)
#define RK_TARGET
#include "matmul_lanes.h"
#include "matmul_neon.h"

// Bytes are multiplied to 16 bits, four columns of two rows at a time, added there as long as they fit, then in pairs to 32 bits.

RK_INLINE void int8_rows(const rk_matmul_tile *tile, int panel, int first, const int rows) {
    const float *w_scales = rk_tile_panel(tile, RK_INT8, panel);
    const int8_t *w = (const int8_t *)(w_scales + RK_PANEL);
    const int8_t *x = rk_tile_x8(tile, first);
    int32x4_t sum[2][8]; // two sums for each row of the panel
    for (int t = 0; t < rows; t++) {
        for (int i = 0; i < 8; i++) sum[t][i] = vdupq_n_s32(0);
    }
    for (int k = 0; k < tile->columns; k += 8) {
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
            store_int8(tile, panel, first + t, quarter, w_scales, vpaddq_s32(sum[t][2 * quarter], sum[t][2 * quarter + 1]));
        }
    }
}

RK_INLINE void int4_rows(const rk_matmul_tile *tile, int panel, int first, const int rows) {
    const uint8_t *block = rk_tile_panel(tile, RK_INT4, panel);
    const int8_t *x = rk_tile_x8(tile, first);
    const int32_t *sums = rk_tile_sums(tile, first);
    const size_t groups = (size_t)tile->columns / RK_GROUP;
    float32x4_t acc[2][4];
    for (int t = 0; t < rows; t++) {
        for (int quarter = 0; quarter < 4; quarter++) acc[t][quarter] = vdupq_n_f32(0);
    }
    for (size_t group = 0; group < groups; group++) {
        const uint8_t *w = block + group / 2 * 576;
        const uint8_t *pairs = w + 64 + group % 2 * 256;
        int8x16_t columns[2][8];
        int32x4_t start[2];
        for (int t = 0; t < rows; t++) {
            start[t] = vdupq_n_s32(group_start(sums + groups * (size_t)t + group));
            RK_UNROLL
            for (int c = 0; c < 8; c++) columns[t][c] = broadcast4(x + tile->x_stride * (size_t)t + group * RK_GROUP + (size_t)c * 4);
        }
        RK_UNROLL
        for (int quarter = 0; quarter < 4; quarter++) {
            int16x8_t low[2], high[2]; // sums of 8 products of at most 15 * 127 each, 16 when added in pairs: they fit
            RK_UNROLL
            for (int c = 0; c < 4; c++) {
                const uint8x16_t pair = vld1q_u8(pairs + 64 * c + 16 * quarter);
                const int8x16_t near = low_nibbles(pair), far = high_nibbles(pair);
                RK_UNROLL
                for (int t = 0; t < rows; t++) {
                    const int8x16_t x_near = columns[t][2 * c], x_far = columns[t][2 * c + 1];
                    low[t] = c ? vmlal_s8(low[t], vget_low_s8(near), vget_low_s8(x_near))
                               : vmull_s8(vget_low_s8(near), vget_low_s8(x_near));
                    high[t] = c ? vmlal_high_s8(high[t], near, x_near) : vmull_high_s8(near, x_near);
                    low[t] = vmlal_s8(low[t], vget_low_s8(far), vget_low_s8(x_far));
                    high[t] = vmlal_high_s8(high[t], far, x_far);
                }
            }
            const float32x4_t scales = load_halves(w + group % 2 * 32 + 8 * quarter);
            RK_UNROLL
            for (int t = 0; t < rows; t++) {
                const int32x4_t sum = vpadalq_s16(start[t], vpaddq_s16(low[t], high[t]));
                acc[t][quarter] = vfmaq_f32(acc[t][quarter], group_float(sum), scales);
            }
        }
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

#define F32(n) float_rows(tile, RK_F32, panel, first, n)
#define F16(n) float_rows(tile, RK_F16, panel, first, n)
#define INT8(n) int8_rows(tile, panel, first, n)
#define INT4(n) int4_rows(tile, panel, first, n)
#define INT16(n) int16_rows(tile, panel, first, n)

static void f32(const rk_matmul_tile *tile) { RK_FOR_TILES(tile, 6, F32) }
static void f16(const rk_matmul_tile *tile) { RK_FOR_TILES(tile, 6, F16) }
static void int8(const rk_matmul_tile *tile) { RK_FOR_TILES(tile, 2, INT8) }
static void int4(const rk_matmul_tile *tile) { RK_FOR_TILES(tile, 2, INT4) }
static void int16(const rk_matmul_tile *tile) { RK_FOR_TILES(tile, 2, INT16) }

const rk_matmul_kernels rk_matmul_neon = {.name = "neon", .tile = {f32, f16, int8, int4}, .int16 = int16};
#endif
