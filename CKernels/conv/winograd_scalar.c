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

// The same with rows of norm 1.
static void transform_to_norms(float t[6], const float g[3]) {
    const float s = (g[0] + g[2]) * RK_ROOT_THIRD, t3 = g[1] * RK_ROOT_THIRD;
    const float u = fmaf(4, g[2], g[0]) * RK_ROOT_TWENTY_FIRST, v = g[1] * (2 * RK_ROOT_TWENTY_FIRST);
    t[0] = g[0];
    t[1] = -s - t3;
    t[2] = t3 - s;
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

// The weights that lie `at` elements after the panel, for each tap.
static void load_kernel(float g[9], const void *panel, rk_type type, int channels, size_t at) {
    for (size_t tap = 0; tap < 9; tap++) g[tap] = weight_at(panel, type, tap * (size_t)channels * RK_PANEL + at);
}

static void transform_kernel(float u[RK_WINOGRAD_POSITIONS], const float g[9], void (*transform)(float t[6], const float g[3])) {
    float columns[3][6];
    for (size_t x = 0; x < 3; x++) transform(columns[x], (float[]){g[x], g[3 + x], g[6 + x]});
    for (size_t i = 0; i < 6; i++) transform(u + 6 * i, (float[]){columns[0][i], columns[1][i], columns[2][i]});
}

static void weights(float *u, size_t stride, const void *panel, rk_type type, int channels, int first, int count) {
    for (size_t at = 0; at < (size_t)count * RK_PANEL; at++) {
        float g[9], t[RK_WINOGRAD_POSITIONS];
        load_kernel(g, panel, type, channels, (size_t)first * RK_PANEL + at);
        transform_kernel(t, g, transform_weights);
        for (size_t i = 0; i < RK_WINOGRAD_POSITIONS; i++) u[i * stride + at] = t[i];
    }
}

static void transform_pixels(float t[RK_WINOGRAD_POSITIONS], const float *const pixels[RK_WINOGRAD_POSITIONS], int c) {
    float columns[6][6];
    for (int x = 0; x < 6; x++) {
        float d[6];
        for (int y = 0; y < 6; y++) d[y] = pixels[6 * y + x][c];
        transform_input(columns[x], d);
    }
    for (int i = 0; i < 6; i++) {
        float row[6];
        for (int x = 0; x < 6; x++) row[x] = columns[x][i];
        transform_input(t + 6 * i, row);
    }
}

static int is_left_out(int position, int upsampled) { return upsampled && (position / 6 == 2 || position % 6 == 2); }

// Where channel c of tile t of a block lies, in lines of 16 or 32.
static size_t in_block(int t, int c, int line) { return (size_t)(c / line * line * BLOCK + t * line + c % line); }

static void input(float *v, size_t stride, int t, const float *const pixels[RK_WINOGRAD_POSITIONS], int channels, int upsampled) {
    for (int c = 0; c < channels; c++) {
        float values[RK_WINOGRAD_POSITIONS];
        transform_pixels(values, pixels, c);
        for (int i = 0; i < RK_WINOGRAD_POSITIONS; i++) {
            if (!is_left_out(i, upsampled)) v[(size_t)i * stride + in_block(t, c, 16)] = values[i];
        }
    }
}

static void multiply(float *m, const float *v, size_t stride, const float *u, int panels, int channels, int tiles, int more) {
    for (int t = 0; t < tiles; t++) {
        const float *block = v + (size_t)(t / BLOCK) * stride;
        for (int row = 0; row < panels * RK_PANEL; row++, m++) {
            const float *w = u + (size_t)(row / RK_PANEL * channels * RK_PANEL + row % RK_PANEL);
            float acc = more ? *m : 0;
            for (int c = 0; c < channels; c++) acc = fmaf(w[c * RK_PANEL], block[in_block(t % BLOCK, c, 16)], acc);
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

// Rounded; `otherwise` where x is no number, which the factor of its products tells.
static int16_t to_int16(float x, int16_t otherwise) { return x >= INT16_MIN && x <= INT16_MAX ? (int16_t)rintf(x) : otherwise; }

// What scales numbers to a norm, from the root of the sum of their squares.
static float scale_to(float norm, float squares, float root) { return squares > RK_INT16_LEAST ? norm / root : 0; }

static void store_int16(float *integers, size_t at, int16_t x) { memcpy((char *)integers + at * sizeof x, &x, sizeof x); }

static int32_t int16_at(const float *integers, size_t at) {
    int16_t x;
    memcpy(&x, (const char *)integers + at * sizeof x, sizeof x);
    return x;
}

static float sum_of_lanes(float lanes[RK_LANES]) {
    for (int s = RK_LANES / 2; s > 0; s /= 2) {
        for (int j = 0; j < s; j++) lanes[j] += lanes[j + s];
    }
    return lanes[0];
}

static void weights_int16(float *u, size_t stride, const void *panel, rk_type type, int channels, int first, int count) {
    for (size_t r = 0; r < RK_PANEL; r++) {
        const size_t row = (size_t)first * RK_PANEL + r;
        float g[9], total = 0, most = 0;
        for (size_t c = 0; c < (size_t)count; c++) {
            float e = 0;
            load_kernel(g, panel, type, channels, row + c * RK_PANEL);
            for (size_t tap = 0; tap < 9; tap++) e = fmaf(g[tap], g[tap], e);
            total += e;
            most = e > most ? e : most;
        }
        const float squares = 4 * most > total ? 4 * most : total, root = sqrtf(squares);
        const float scale = scale_to(RK_INT16_WEIGHT_NORM, squares, root);
        for (size_t i = 0; i < RK_WINOGRAD_POSITIONS; i++)
            u[i * stride + r] = root * (1.0f / RK_INT16_WEIGHT_NORM * (rk_winograd_norms[i / 6] * rk_winograd_norms[i % 6]));
        for (size_t c = 0; c < (size_t)count; c++) {
            float t[RK_WINOGRAD_POSITIONS];
            load_kernel(g, panel, type, channels, row + c * RK_PANEL);
            for (size_t tap = 0; tap < 9; tap++) g[tap] *= scale;
            transform_kernel(t, g, transform_to_norms);
            for (size_t i = 0; i < RK_WINOGRAD_POSITIONS; i++)
                store_int16(u + i * stride + RK_PANEL, c / 2 * 2 * RK_PANEL + 2 * r + c % 2, to_int16(t[i], 0));
        }
    }
}

static void input_int16(float *v, size_t stride, int t, const float *const pixels[RK_WINOGRAD_POSITIONS], int channels, int upsampled) {
    float values[RK_INT16_SLICE][RK_WINOGRAD_POSITIONS], lanes[RK_WINOGRAD_POSITIONS][RK_LANES] = {0};
    for (int c = 0; c < channels; c++) {
        transform_pixels(values[c], pixels, c);
        for (int i = 0; i < RK_WINOGRAD_POSITIONS; i++) lanes[i][c % RK_LANES] = fmaf(values[c][i], values[c][i], lanes[i][c % RK_LANES]);
    }
    for (int i = 0; i < RK_WINOGRAD_POSITIONS; i++) {
        if (is_left_out(i, upsampled)) continue;
        const float squares = sum_of_lanes(lanes[i]), root = sqrtf(squares), scale = scale_to(RK_INT16_X_NORM, squares, root);
        float *block = v + (size_t)i * stride;
        for (int c = 0; c < channels; c++) store_int16(block, in_block(t, c, 32), to_int16(values[c][i] * scale, INT16_MIN));
        block[channels * BLOCK / 2 + t] = root * (1.0f / RK_INT16_X_NORM);
    }
}

// A patch is not transformed, nor are its weights.
static void columns(float *u, const void *panel, rk_type type, int first, int count) {
    for (size_t r = 0; r < RK_PANEL; r++) {
        const size_t row = (size_t)first * RK_PANEL + r;
        float total = 0, most = 0;
        for (size_t c = 0; c < (size_t)count; c++) {
            const float g = weight_at(panel, type, row + c * RK_PANEL);
            total = fmaf(g, g, total);
            most = g * g > most ? g * g : most;
        }
        const float squares = 4 * most > total ? 4 * most : total, root = sqrtf(squares);
        const float scale = scale_to(RK_INT16_WEIGHT_NORM, squares, root);
        u[r] = root * (1.0f / RK_INT16_WEIGHT_NORM);
        for (size_t c = 0; c < (size_t)count; c++)
            store_int16(u + RK_PANEL, c / 2 * 2 * RK_PANEL + 2 * r + c % 2, to_int16(weight_at(panel, type, row + c * RK_PANEL) * scale, 0));
    }
}

static void patch(float *v, int t, const float *x, int columns) {
    float lanes[RK_LANES] = {0};
    for (int c = 0; c < columns; c++) lanes[c % RK_LANES] = fmaf(x[c], x[c], lanes[c % RK_LANES]);
    const float squares = sum_of_lanes(lanes), root = sqrtf(squares), scale = scale_to(RK_INT16_X_NORM, squares, root);
    for (int c = 0; c < columns; c++) store_int16(v, in_block(t, c, 32), to_int16(x[c] * scale, INT16_MIN));
    v[columns * BLOCK / 2 + t] = root * (1.0f / RK_INT16_X_NORM);
}

static void multiply_int16(float *m, const float *v, size_t stride, const float *u, int panels, int channels, int tiles, int more) {
    const size_t panel = RK_PANEL + (size_t)channels / 2 * RK_PANEL;
    for (int t = 0; t < tiles; t++) {
        const float *block = v + (size_t)(t / BLOCK) * stride, back = block[channels * BLOCK / 2 + t % BLOCK];
        for (int row = 0; row < panels * RK_PANEL; row++, m++) {
            const float *w = u + panel * (size_t)(row / RK_PANEL);
            const size_t r = (size_t)row % RK_PANEL;
            uint32_t sum = 0;
            for (size_t c = 0; c < (size_t)channels; c++)
                sum += (uint32_t)(int16_at(w + RK_PANEL, c / 2 * 2 * RK_PANEL + 2 * r + c % 2) * int16_at(block, in_block(t % BLOCK, (int)c, 32)));
            *m = fmaf((float)(int32_t)sum, w[r] * back, more ? *m : 0);
        }
    }
}

static void pixels(float *out, size_t stride, const float *added, const float *m, int panels, int count, const float *bias) {
    for (int p = 0; p < count; p++, out += stride) {
        for (int i = 0; i < panels * RK_PANEL; i++) {
            const float sum = *m++ + (bias ? bias[i] : 0);
            out[i] = added ? sum + added[(size_t)p * stride + (size_t)i] : sum;
        }
    }
}

const rk_conv_kernels rk_conv_scalar = {"scalar", BLOCK, PANELS, 0, weights, input, multiply, output, NULL, NULL, NULL};
const rk_conv_kernels rk_conv_scalar_int16 = {"scalar", BLOCK, PANELS, RK_INT16_SLICE, weights_int16, input_int16, multiply_int16, output,
                                                     columns, patch, pixels};
