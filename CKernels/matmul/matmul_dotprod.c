#include "matmul.h"

#if defined(__aarch64__)
#define RK_TARGET RK_TARGET_DOTPROD
#include "matmul_neon.h"

RK_TARGET RK_INLINE void int8_rows(const rk_matmul_tile *tile, int panel, int first, const int rows) {
    const float *w_scales = rk_tile_panel(tile, RK_INT8, panel);
    const int8_t *w = (const int8_t *)(w_scales + RK_PANEL);
    const int8_t *x = rk_tile_x8(tile, first);
    const float *scales = rk_tile_scales(tile, first);
    float32x4_t acc[4][4];
    for (int t = 0; t < rows; t++) {
        for (int quarter = 0; quarter < 4; quarter++) acc[t][quarter] = vdupq_n_f32(0);
    }
    for (int block = 0; block < tile->columns; block += RK_INT8_BLOCK, scales++) {
        const int end = rk_min(block + RK_INT8_BLOCK, tile->columns);
        int32x4_t sum[4][4];
        for (int t = 0; t < rows; t++) {
            for (int quarter = 0; quarter < 4; quarter++) sum[t][quarter] = vdupq_n_s32(0);
        }
        for (int k = block; k < end; k += 16) {
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
            const float scale = scales[tile->scales_stride * (size_t)t];
            for (int quarter = 0; quarter < 4; quarter++) acc[t][quarter] = add_block(acc[t][quarter], sum[t][quarter], scale);
        }
    }
    for (int t = 0; t < rows; t++) {
        for (int quarter = 0; quarter < 4; quarter++) store_int8(tile, panel, first + t, quarter, w_scales, acc[t][quarter]);
    }
}

// A group's sums of two quarters of the panel. They fit in 16 bits.
RK_TARGET RK_INLINE int16x8_t narrowed(int32x4_t a, int32x4_t b) {
    return vuzp1q_s16(vreinterpretq_s16_s32(a), vreinterpretq_s16_s32(b));
}

RK_TARGET RK_INLINE void int4_rows(const rk_matmul_tile *tile, int panel, int first, const int rows) {
    const uint8_t *blocks = rk_tile_blocks(tile, panel);
    const size_t groups = (size_t)tile->columns / RK_GROUP;
    const int8_t *x = rk_tile_x8(tile, first);
    const int32_t *starts = rk_tile_starts(tile, first);
    int32x4_t acc[2][4];
    for (int t = 0; t < rows; t++) {
        for (int quarter = 0; quarter < 4; quarter++) acc[t][quarter] = vdupq_n_s32(0);
    }
    for (size_t group = 0; group < groups; group++, x += RK_GROUP, starts++) {
        const group_data data = find_group(blocks, group);
        int32x4_t sum[2][4];
        RK_UNROLL
        for (int quarter = 0; quarter < 4; quarter++) {
            for (int t = 0; t < rows; t++) sum[t][quarter] = vdupq_n_s32(starts[rk_starts_stride(tile) * (size_t)t]);
            RK_UNROLL
            for (int half = 0; half < 2; half++) {
                int8x16_t columns[2];
                for (int t = 0; t < rows; t++) columns[t] = vld1q_s8(x + tile->x_stride * (size_t)t + 16 * half);
                const uint8_t *weights = data.weights + 128 * half + 16 * quarter;
                const uint8x16_t pair0 = vld1q_u8(weights), pair1 = vld1q_u8(weights + 64);
                const int8x16_t w0 = low_nibbles(pair0), w1 = high_nibbles(pair0);
                const int8x16_t w2 = low_nibbles(pair1), w3 = high_nibbles(pair1);
                for (int t = 0; t < rows; t++) sum[t][quarter] = vdotq_laneq_s32(sum[t][quarter], w0, columns[t], 0);
                for (int t = 0; t < rows; t++) sum[t][quarter] = vdotq_laneq_s32(sum[t][quarter], w1, columns[t], 1);
                for (int t = 0; t < rows; t++) sum[t][quarter] = vdotq_laneq_s32(sum[t][quarter], w2, columns[t], 2);
                for (int t = 0; t < rows; t++) sum[t][quarter] = vdotq_laneq_s32(sum[t][quarter], w3, columns[t], 3);
            }
        }
        RK_UNROLL
        for (int half = 0; half < 2; half++) {
            const int16x8_t scales = load_scales(data, half);
            for (int t = 0; t < rows; t++) add_group(acc[t] + 2 * half, narrowed(sum[t][2 * half], sum[t][2 * half + 1]), scales);
        }
    }
    for (int t = 0; t < rows; t++) {
        for (int quarter = 0; quarter < 4; quarter++) store_int4(tile, panel, first + t, quarter, acc[t][quarter]);
    }
}

// Two quarters of the panel by up to 4 rows of x.
RK_TARGET RK_INLINE void int4_many_rows(const rk_matmul_tile *tile, const unpacked *from, int panel, int first, const int rows) {
    const size_t stride = tile->x_stride, starts_stride = rk_starts_stride(tile);
    const int groups = from->groups;
    for (int quarter = 0; quarter < 4; quarter += 2) {
        const int8_t *x = rk_tile_x8(tile, first) + from->group * RK_GROUP;
        const int32_t *starts = rk_tile_starts(tile, first) + from->group;
        int32x4_t acc[4][2];
        for (int t = 0; t < rows; t++) {
            for (int q = 0; q < 2; q++) acc[t][q] = load_acc(tile, from, panel, first + t, quarter + q);
        }
        for (int g = 0; g < groups; g++, x += RK_GROUP, starts++) {
            const int8_t *weights = from->weights + GROUP_BYTES * g + 16 * quarter;
            int32x4_t sum[4][2];
            int8x16_t columns[4][2];
            RK_UNROLL
            for (int t = 0; t < rows; t++) {
                const int32_t start = starts[starts_stride * (size_t)t];
                sum[t][0] = vdupq_n_s32(start);
                sum[t][1] = vdupq_n_s32((int32_t)opaque((uint32_t)start));
                columns[t][0] = vld1q_s8(x + stride * (size_t)t);
                columns[t][1] = vld1q_s8(x + stride * (size_t)t + 16);
            }
            RK_UNROLL
            for (int half = 0; half < 2; half++) {
                RK_UNROLL
                for (int q = 0; q < 2; q++) {
                    const int8_t *w = weights + 256 * half + 16 * q;
                    const int8x16_t w0 = vld1q_s8(w), w1 = vld1q_s8(w + 64), w2 = vld1q_s8(w + 128), w3 = vld1q_s8(w + 192);
                    for (int t = 0; t < rows; t++) sum[t][q] = vdotq_laneq_s32(sum[t][q], w0, columns[t][half], 0);
                    for (int t = 0; t < rows; t++) sum[t][q] = vdotq_laneq_s32(sum[t][q], w1, columns[t][half], 1);
                    for (int t = 0; t < rows; t++) sum[t][q] = vdotq_laneq_s32(sum[t][q], w2, columns[t][half], 2);
                    for (int t = 0; t < rows; t++) sum[t][q] = vdotq_laneq_s32(sum[t][q], w3, columns[t][half], 3);
                }
            }
            const int16x8_t scales = vld1q_s16(from->scales + RK_PANEL * g + 4 * quarter);
            for (int t = 0; t < rows; t++) add_group(acc[t], narrowed(sum[t][0], sum[t][1]), scales);
        }
        RK_UNROLL // else some of the sums are also written to memory, group by group
        for (int t = 0; t < rows; t++) {
            for (int q = 0; q < 2; q++) store_acc(tile, from, panel, first + t, quarter + q, acc[t][q]);
        }
    }
}

RK_TARGET RK_INLINE void int16_rows(const rk_matmul_tile *tile, int panel, int first, const int rows) {
    const float *w_scales = rk_tile_panel(tile, RK_INT8, panel);
    const int8_t *w = (const int8_t *)(w_scales + RK_PANEL);
    const int16_t *x = rk_tile_x16(tile, first);
    float32x4_t acc[2][4];
    for (int t = 0; t < rows; t++) {
        for (int quarter = 0; quarter < 4; quarter++) acc[t][quarter] = vdupq_n_f32(0);
    }
    for (int block = 0; block < tile->columns; block += RK_INT16_BLOCK) {
        const int end = rk_min(block + RK_INT16_BLOCK, tile->columns);
        int32x4_t sum[4][4]; // coarse and fine of each row
        for (int p = 0; p < 2 * rows; p++) {
            for (int quarter = 0; quarter < 4; quarter++) sum[p][quarter] = vdupq_n_s32(0);
        }
        for (int k = block; k < end; k += 16) {
            int8x16_t columns[4];
            for (int t = 0; t < rows; t++) {
                const int16_t *c = x + tile->x_stride * (size_t)t + k;
                const int16x8_t x0 = vld1q_s16(c), x1 = vld1q_s16(c + 8);
                columns[2 * t] = vuzp2q_s8(vreinterpretq_s8_s16(rounded_up(x0)), vreinterpretq_s8_s16(rounded_up(x1)));
                columns[2 * t + 1] = vuzp1q_s8(vreinterpretq_s8_s16(x0), vreinterpretq_s8_s16(x1));
            }
            RK_UNROLL
            for (int quarter = 0; quarter < 4; quarter++) {
                const int8_t *weights = w + k * RK_PANEL + 16 * quarter;
                const int8x16_t w0 = vld1q_s8(weights), w1 = vld1q_s8(weights + 64);
                const int8x16_t w2 = vld1q_s8(weights + 128), w3 = vld1q_s8(weights + 192);
                for (int p = 0; p < 2 * rows; p++) sum[p][quarter] = vdotq_laneq_s32(sum[p][quarter], w0, columns[p], 0);
                for (int p = 0; p < 2 * rows; p++) sum[p][quarter] = vdotq_laneq_s32(sum[p][quarter], w1, columns[p], 1);
                for (int p = 0; p < 2 * rows; p++) sum[p][quarter] = vdotq_laneq_s32(sum[p][quarter], w2, columns[p], 2);
                for (int p = 0; p < 2 * rows; p++) sum[p][quarter] = vdotq_laneq_s32(sum[p][quarter], w3, columns[p], 3);
            }
        }
        for (int t = 0; t < rows; t++) {
            for (int quarter = 0; quarter < 4; quarter++) {
                const int32x4_t total = joined(sum[2 * t][quarter], sum[2 * t + 1][quarter]);
                acc[t][quarter] = vaddq_f32(acc[t][quarter], vcvtq_f32_s32(total));
            }
        }
    }
    for (int t = 0; t < rows; t++) {
        for (int quarter = 0; quarter < 4; quarter++) store_int16(tile, panel, first + t, quarter, w_scales, acc[t][quarter]);
    }
}

#define INT8(n) int8_rows(tile, panel, first, n)
#define INT4(n) int4_rows(tile, panel, first, n)
#define INT16(n) int16_rows(tile, panel, first, n)
#define INT4_MANY(n) int4_many_rows(tile, &from, panel, first, n)

RK_TARGET static void int8(const rk_matmul_tile *tile) { RK_FOR_TILES(tile, 4, INT8) }

RK_TARGET static void int4(const rk_matmul_tile *tile) {
    if (tile->count <= 2) {
        RK_FOR_TILES(tile, 2, INT4)
        return;
    }
    unpacked from;
    for (int panel = 0; panel < tile->panels; panel++) {
        for (int group = 0; group < tile->columns / RK_GROUP; group += UNPACKED_GROUPS) {
            unpack(&from, tile, panel, group, 0);
            RK_FOR_ROWS(tile->count, 4, INT4_MANY)
        }
    }
}

RK_TARGET static void int16(const rk_matmul_tile *tile) { RK_FOR_TILES(tile, 2, INT16) }

const rk_matmul_kernels rk_matmul_dotprod = {.name = "dotprod", .tile = {NULL, NULL, int8, int4}, .int16 = int16};
#endif
