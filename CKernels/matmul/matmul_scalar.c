// The definitions of rk_matmul.h.
#include "matmul.h"

static void f32(const rk_matmul_tile *tile) {
    for (int panel = 0; panel < tile->panels; panel++) {
        const float *w = rk_tile_panel(tile, RK_F32, panel);
        for (int t = 0; t < tile->count; t++) {
            const float *x = tile->x + tile->x_stride * (size_t)t;
            float *out = rk_tile_out(tile, panel, t);
            for (int r = 0; r < RK_PANEL; r++) {
                float acc = 0;
                for (int k = 0; k < tile->columns; k++) acc = fmaf(w[k * RK_PANEL + r], x[k], acc);
                out[r] = acc + (tile->bias ? tile->bias[panel * RK_PANEL + r] : 0);
            }
        }
    }
}

static void f16(const rk_matmul_tile *tile) {
    for (int panel = 0; panel < tile->panels; panel++) {
        const rk_f16 *w = rk_tile_panel(tile, RK_F16, panel);
        for (int t = 0; t < tile->count; t++) {
            const float *x = tile->x + tile->x_stride * (size_t)t;
            float *out = rk_tile_out(tile, panel, t);
            for (int r = 0; r < RK_PANEL; r++) {
                float acc = 0;
                for (int k = 0; k < tile->columns; k++) acc = fmaf(rk_f16_to_f32(w[k * RK_PANEL + r]), x[k], acc);
                out[r] = acc + (tile->bias ? tile->bias[panel * RK_PANEL + r] : 0);
            }
        }
    }
}

static void int8(const rk_matmul_tile *tile) {
    for (int panel = 0; panel < tile->panels; panel++) {
        const float *w_scales = rk_tile_panel(tile, RK_INT8, panel);
        const int8_t *w = (const int8_t *)(w_scales + RK_PANEL);
        for (int t = 0; t < tile->count; t++) {
            const int8_t *x = rk_tile_x8(tile, t);
            const float *x_scales = rk_tile_scales(tile, t);
            float *out = rk_tile_out(tile, panel, t);
            for (int r = 0; r < RK_PANEL; r++) {
                float acc = 0;
                for (int block = 0; block < tile->columns; block += RK_INT8_BLOCK) {
                    const int end = rk_min(block + RK_INT8_BLOCK, tile->columns);
                    int32_t sum = 0;
                    for (int k = block; k < end; k++) sum += w[k / 4 * 64 + 4 * r + k % 4] * x[k];
                    acc = fmaf((float)sum, x_scales[block / RK_INT8_BLOCK], acc);
                }
                out[r] = fmaf(acc, w_scales[r], tile->bias ? tile->bias[panel * RK_PANEL + r] : 0);
            }
        }
    }
}

static void int16(const rk_matmul_tile *tile) {
    for (int panel = 0; panel < tile->panels; panel++) {
        const float *w_scales = rk_tile_panel(tile, RK_INT8, panel);
        const int8_t *w = (const int8_t *)(w_scales + RK_PANEL);
        for (int t = 0; t < tile->count; t++) {
            const int16_t *x = rk_tile_x16(tile, t);
            float *out = rk_tile_out(tile, panel, t);
            for (int r = 0; r < RK_PANEL; r++) {
                float acc = 0;
                for (int block = 0; block < tile->columns; block += RK_INT16_BLOCK) {
                    const int end = rk_min(block + RK_INT16_BLOCK, tile->columns);
                    int32_t sum = 0;
                    for (int k = block; k < end; k++) sum += w[k / 4 * 64 + 4 * r + k % 4] * x[k];
                    acc += (float)sum;
                }
                out[r] = fmaf(acc, tile->scales[t] * w_scales[r], tile->bias ? tile->bias[panel * RK_PANEL + r] : 0);
            }
        }
    }
}

static void int4(const rk_matmul_tile *tile) {
    for (int panel = 0; panel < tile->panels; panel++) {
        const float *w_scales = rk_tile_panel(tile, RK_INT4, panel);
        const uint8_t *blocks = (const uint8_t *)(w_scales + RK_PANEL);
        for (int t = 0; t < tile->count; t++) {
            const int8_t *x = rk_tile_x8(tile, t);
            float *out = rk_tile_out(tile, panel, t);
            for (int r = 0; r < RK_PANEL; r++) {
                int32_t acc = 0;
                for (int group = 0; group < tile->columns / RK_GROUP; group++) {
                    const uint8_t *block = blocks + group / 4 * 1088, *w = block + 64 + group % 4 * 256 + 4 * r;
                    const int8_t scale = (int8_t)block[group % 4 / 2 * 32 + 2 * r + group % 2];
                    int32_t sum = 0;
                    for (int k = 0; k < RK_GROUP; k++) {
                        uint8_t pair = w[k / 8 * 64 + k % 4];
                        sum += ((k & 4 ? pair >> 4 : pair & 15) - 8) * x[group * RK_GROUP + k];
                    }
                    acc += scale * sum;
                }
                out[r] = fmaf((float)acc, tile->scales[t] * w_scales[r], tile->bias ? tile->bias[panel * RK_PANEL + r] : 0);
            }
        }
    }
}

static void add_offsets(const rk_matmul_tile *tile, const rk_matmul_offsets *o) {
    for (int t = 0; t < tile->count; t++) {
        float *out = rk_tile_out(tile, 0, t);
        for (int block = 0; block < o->blocks; block++) {
            const float offset = o->offsets[t * o->blocks + block], *sums = o->sums + o->stride * (size_t)block;
            for (int r = 0; r < tile->panels * RK_PANEL; r++) out[r] = fmaf(offset, sums[r], out[r]);
        }
    }
}

const rk_matmul_kernels rk_matmul_scalar = {
    .name = "scalar", .tile = {f32, f16, int8, int4}, .int16 = int16, .add_offsets = add_offsets};
