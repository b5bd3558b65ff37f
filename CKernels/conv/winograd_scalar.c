#include "conv.h"

enum { BLOCK = 4, PANELS = 3 };

static void transform_input(float t[6], const float d[6]) {
    const float a = fmaf(-4, d[2], d[4]), b = fmaf(-4, d[1], d[3]);
    const float c = d[4] - d[2], e = 2 * (d[3] - d[1]);
    t[0] = fmaf(4, d[0], fmaf(-5, d[2], d[4]));
    t[1] = a + b;
    t[2] = a - b;
    t[3] = c + e;
    t[4] = c - e;
    t[5] = fmaf(4, d[1], fmaf(-5, d[3], d[5]));
}

static void transform_weights(float t[6], const float g[3]) {
    const float s = (g[0] + g[2]) * RK_SIXTH, t6 = g[1] * RK_SIXTH;
    const float u = fmaf(4, g[2], g[0]) * RK_TWENTY_FOURTH, v = g[1] * RK_TWELFTH;
    t[0] = g[0] * 0.25f;
    t[1] = -s - t6;
    t[2] = t6 - s;
    t[3] = u + v;
    t[4] = u - v;
    t[5] = g[2];
}

static void transform_output(float t[4], const float m[6]) {
    const float p = m[1] + m[2], q = m[1] - m[2], r = m[3] + m[4], s = m[3] - m[4];
    t[0] = (m[0] + p) + r;
    t[1] = fmaf(2, s, q);
    t[2] = fmaf(4, r, p);
    t[3] = fmaf(8, s, q) + m[5];
}

static float weight_at(const void *panel, rk_type type, size_t at) {
    return type == RK_F32 ? ((const float *)panel)[at] : rk_f16_to_f32(((const rk_f16 *)panel)[at]);
}

static void weights(float *u, size_t stride, const void *panel, rk_type type, int channels, int first, int count) {
    const size_t step = (size_t)channels * RK_PANEL;
    for (size_t at = 0; at < (size_t)count * RK_PANEL; at++) {
        float columns[3][6];
        for (size_t x = 0; x < 3; x++) {
            const size_t from = x * step + (size_t)first * RK_PANEL + at;
            const float g[3] = {weight_at(panel, type, from), weight_at(panel, type, from + 3 * step), weight_at(panel, type, from + 6 * step)};
            transform_weights(columns[x], g);
        }
        for (size_t i = 0; i < 6; i++) {
            const float row[3] = {columns[0][i], columns[1][i], columns[2][i]};
            float t[6];
            transform_weights(t, row);
            for (size_t j = 0; j < 6; j++) u[(6 * i + j) * stride + at] = t[j];
        }
    }
}

static void input(float *v, size_t stride, const float *const pixels[RK_WINOGRAD_POSITIONS], int channels, int upsampled) {
    for (int c = 0; c < channels; c++) {
        float columns[6][6];
        for (int x = 0; x < 6; x++) {
            float d[6];
            for (int y = 0; y < 6; y++) d[y] = pixels[6 * y + x][c];
            transform_input(columns[x], d);
        }
        for (int i = 0; i < 6; i++) {
            float row[6], t[6];
            for (int x = 0; x < 6; x++) row[x] = columns[x][i];
            transform_input(t, row);
            for (int j = 0; j < 6; j++) {
                if (!upsampled || (i != 2 && j != 2)) v[(size_t)(6 * i + j) * stride + (size_t)(c / 16 * 16 * BLOCK + c % 16)] = t[j];
            }
        }
    }
}

static void multiply(float *m, const float *v, size_t stride, const float *u, int panels, int channels, int tiles, int more) {
    for (int t = 0; t < tiles; t++) {
        const float *x = v + (size_t)(t / BLOCK) * stride + (size_t)(t % BLOCK) * 16;
        for (int row = 0; row < panels * RK_PANEL; row++, m++) {
            const float *w = u + (size_t)(row / RK_PANEL * channels * RK_PANEL + row % RK_PANEL);
            float acc = more ? *m : 0;
            for (int c = 0; c < channels; c++) acc = fmaf(w[c * RK_PANEL], x[c / 16 * 16 * BLOCK + c % 16], acc);
            *m = acc;
        }
    }
}

static void output(float *const out[16], const float *const added[16], const float *m, size_t stride, const float *bias) {
    for (int c = 0; c < RK_PANEL; c++) {
        float columns[6][4];
        for (int j = 0; j < 6; j++) {
            float d[6];
            for (int i = 0; i < 6; i++) d[i] = m[(size_t)(6 * i + j) * stride + (size_t)c];
            transform_output(columns[j], d);
        }
        for (int y = 0; y < 4; y++) {
            float row[6], t[4];
            for (int j = 0; j < 6; j++) row[j] = columns[j][y];
            transform_output(t, row);
            for (int x = 0; x < 4; x++) {
                if (!out[4 * y + x]) continue;
                const float sum = t[x] + (bias ? bias[c] : 0);
                out[4 * y + x][c] = added ? sum + added[4 * y + x][c] : sum;
            }
        }
    }
}

const rk_winograd_kernels rk_winograd_scalar = {"scalar", BLOCK, PANELS, weights, input, multiply, output};
