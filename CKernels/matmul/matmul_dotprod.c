#include "matmul.h"

#if defined(__aarch64__)
#define RK_TARGET RK_TARGET_DOTPROD
#include "matmul_neon.h"

RK_TARGET RK_INLINE void int8_rows(const rk_matmul_tile *tile, int panel, int first, const int rows) {
    const float *w_scales = rk_tile_panel(tile, RK_INT8, panel);
    const int8_t *w = (const int8_t *)(w_scales + RK_PANEL);
    const int8_t *x = rk_tile_x8(tile, first);
    int32x4_t sum[4][4];
    for (int t = 0; t < rows; t++) {
        for (int quarter = 0; quarter < 4; quarter++) sum[t][quarter] = vdupq_n_s32(0);
    }
    for (int k = 0; k < tile->columns; k += 16) {
        int8x16_t columns[4];
        for (int t = 0; t < rows; t++) columns[t] = vld1q_s8(x + tile->x_stride * (size_t)t + k);
        RK_UNROLL
        for (int quarter = 0; quarter < 4; quarter++) {
            const int8_t *weights = w + k * RK_PANEL + 16 * quarter;
            const int8x16_t w0 = vld1q_s8(weights), w1 = vld1q_s8(weights + 64);
            const int8x16_t w2 = vld1q_s8(weights + 128), w3 = vld1q_s8(weights + 192);
            for (int t = 0; t < rows; t++) sum[t][quarter] = vdotq_laneq_s32(sum[t][quarter], w0, columns[t], 0);
            for (int t = 0; t < rows; t++) sum[t][quarter] = vdotq_laneq_s32(sum[t][quarter], w1, columns[t], 1);
            for (int t = 0; t < rows; t++) sum[t][quarter] = vdotq_laneq_s32(sum[t][quarter], w2, columns[t], 2);
            for (int t = 0; t < rows; t++) sum[t][quarter] = vdotq_laneq_s32(sum[t][quarter], w3, columns[t], 3);
        }
    }
    for (int t = 0; t < rows; t++) {
        for (int quarter = 0; quarter < 4; quarter++) store_int8(tile, panel, first + t, quarter, w_scales, sum[t][quarter]);
    }
}

RK_TARGET RK_INLINE void int4_rows(const rk_matmul_tile *tile, int panel, int first, const int rows) {
    const uint8_t *block = rk_tile_panel(tile, RK_INT4, panel);
    const int8_t *x = rk_tile_x8(tile, first);
    const int32_t *sums = rk_tile_sums(tile, first);
    const size_t groups = (size_t)tile->columns / RK_GROUP;
    float32x4_t acc[4][4];
    for (int t = 0; t < rows; t++) {
        for (int quarter = 0; quarter < 4; quarter++) acc[t][quarter] = vdupq_n_f32(0);
    }
    for (size_t group = 0; group < groups; group++) {
        const uint8_t *w = block + group / 2 * 576;
        const uint8_t *pairs = w + 64 + group % 2 * 256;
        int8x16_t columns[4][2];
        for (int t = 0; t < rows; t++) {
            columns[t][0] = vld1q_s8(x + tile->x_stride * (size_t)t + group * RK_GROUP);
            columns[t][1] = vld1q_s8(x + tile->x_stride * (size_t)t + group * RK_GROUP + 16);
        }
        RK_UNROLL
        for (int quarter = 0; quarter < 4; quarter++) {
            int32x4_t sum[4];
            for (int t = 0; t < rows; t++) sum[t] = vdupq_n_s32(sums[groups * (size_t)t + group] * 8);
            RK_UNROLL
            for (int half = 0; half < 2; half++) {
                const uint8x16_t pair0 = vld1q_u8(pairs + 128 * half + 16 * quarter);
                const uint8x16_t pair1 = vld1q_u8(pairs + 128 * half + 64 + 16 * quarter);
                const int8x16_t w0 = vreinterpretq_s8_u8(vandq_u8(pair0, vdupq_n_u8(15)));
                const int8x16_t w1 = vreinterpretq_s8_u8(vshrq_n_u8(pair0, 4));
                const int8x16_t w2 = vreinterpretq_s8_u8(vandq_u8(pair1, vdupq_n_u8(15)));
                const int8x16_t w3 = vreinterpretq_s8_u8(vshrq_n_u8(pair1, 4));
                for (int t = 0; t < rows; t++) sum[t] = vdotq_laneq_s32(sum[t], w0, columns[t][half], 0);
                for (int t = 0; t < rows; t++) sum[t] = vdotq_laneq_s32(sum[t], w1, columns[t][half], 1);
                for (int t = 0; t < rows; t++) sum[t] = vdotq_laneq_s32(sum[t], w2, columns[t][half], 2);
                for (int t = 0; t < rows; t++) sum[t] = vdotq_laneq_s32(sum[t], w3, columns[t][half], 3);
            }
            const float32x4_t scales = load_halves(w + group % 2 * 32 + 8 * quarter);
            for (int t = 0; t < rows; t++) acc[t][quarter] = vfmaq_f32(acc[t][quarter], vcvtq_f32_s32(sum[t]), scales);
        }
    }
    for (int t = 0; t < rows; t++) {
        for (int quarter = 0; quarter < 4; quarter++) store_int4(tile, panel, first + t, quarter, acc[t][quarter]);
    }
}

#define INT8(n) int8_rows(tile, panel, first, n)
#define INT4(n) int4_rows(tile, panel, first, n)

RK_TARGET static void int8(const rk_matmul_tile *tile) { RK_FOR_TILES(tile, 4, INT8) }
RK_TARGET static void int4(const rk_matmul_tile *tile) { RK_FOR_TILES(tile, 4, INT4) }

const rk_matmul_kernels rk_matmul_dotprod = {.name = "dotprod", .tile = {NULL, NULL, int8, int4}};
#endif
