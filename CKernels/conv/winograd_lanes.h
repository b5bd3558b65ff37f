// rk_winograd_kernels by vectors; each instruction set includes this once, after defining RK_TARGET, RK_WINOGRAD_ROWS, the tiles, and
// RK_WINOGRAD_PANELS, the panels whose products its registers hold, and RK_WINOGRAD_LANES, the channels that are transformed at once.
#include "../lanes.h"
#include "../matmul/matmul.h"
#include "conv.h"

typedef float lanes __attribute__((vector_size(4 * RK_WINOGRAD_LANES)));
typedef _Float16 half_lanes __attribute__((vector_size(2 * RK_WINOGRAD_LANES)));

RK_LANES_INLINE lanes all(float x) { return x - (lanes){0}; }

RK_LANES_INLINE lanes fma_lanes(lanes a, lanes b, lanes c) { return __builtin_elementwise_fma(a, b, c); }

RK_LANES_INLINE lanes load(const float *p) {
    lanes v;
    memcpy(&v, p, sizeof v);
    return v;
}

RK_LANES_INLINE lanes load_half(const rk_f16 *p) {
    half_lanes h;
    memcpy(&h, p, sizeof h);
    return __builtin_convertvector(h, lanes);
}

RK_LANES_INLINE void store(float *p, lanes v) { memcpy(p, &v, sizeof v); }

RK_LANES_INLINE void transform_input(lanes t[6], const lanes d[6]) {
    const lanes a = fma_lanes(all(-4), d[2], d[4]), b = fma_lanes(all(-4), d[1], d[3]);
    const lanes c = d[4] - d[2], e = all(2) * (d[3] - d[1]);
    t[0] = fma_lanes(all(4), d[0], fma_lanes(all(-5), d[2], d[4]));
    t[1] = a + b;
    t[2] = a - b;
    t[3] = c + e;
    t[4] = c - e;
    t[5] = fma_lanes(all(4), d[1], fma_lanes(all(-5), d[3], d[5]));
}

RK_LANES_INLINE void transform_weights(lanes t[6], const lanes g[3]) {
    const lanes s = (g[0] + g[2]) * all(RK_SIXTH), t6 = g[1] * all(RK_SIXTH);
    const lanes u = fma_lanes(all(4), g[2], g[0]) * all(RK_TWENTY_FOURTH), v = g[1] * all(RK_TWELFTH);
    t[0] = g[0] * all(0.25f);
    t[1] = -s - t6;
    t[2] = t6 - s;
    t[3] = u + v;
    t[4] = u - v;
    t[5] = g[2];
}

RK_LANES_INLINE void transform_output(lanes t[4], const lanes m[6]) {
    const lanes p = m[1] + m[2], q = m[1] - m[2], r = m[3] + m[4], s = m[3] - m[4];
    t[0] = (m[0] + p) + r;
    t[1] = fma_lanes(all(2), s, q);
    t[2] = fma_lanes(all(4), r, p);
    t[3] = fma_lanes(all(8), s, q) + m[5];
}

RK_LANES_INLINE lanes load_weights(const void *panel, rk_type type, int at) {
    return type == RK_F32 ? load((const float *)panel + at) : load_half((const rk_f16 *)panel + at);
}

RK_LANES_INLINE void transform_panel(float *u, size_t stride, const void *panel, rk_type type, int channels, int first, int count) {
    for (int at = 0; at < count * RK_PANEL; at += RK_WINOGRAD_LANES) {
        lanes columns[3][6];
        RK_UNROLL
        for (int x = 0; x < 3; x++) {
            const int w = (x * channels + first) * RK_PANEL + at, down = 3 * channels * RK_PANEL;
            const lanes g[3] = {load_weights(panel, type, w), load_weights(panel, type, w + down), load_weights(panel, type, w + 2 * down)};
            transform_weights(columns[x], g);
        }
        RK_UNROLL
        for (int i = 0; i < 6; i++) {
            const lanes row[3] = {columns[0][i], columns[1][i], columns[2][i]};
            lanes t[6];
            transform_weights(t, row);
            RK_UNROLL
            for (int j = 0; j < 6; j++) store(u + (size_t)(6 * i + j) * stride + at, t[j]);
        }
    }
}

RK_TARGET static void weights(float *u, size_t stride, const void *panel, rk_type type, int channels, int first, int count) {
    if (type == RK_F32) transform_panel(u, stride, panel, RK_F32, channels, first, count);
    else transform_panel(u, stride, panel, RK_F16, channels, first, count);
}

RK_LANES_INLINE void transform_channels(float *v, size_t stride, const float *const pixels[RK_WINOGRAD_POSITIONS], int c, const int upsampled) {
    lanes columns[6][6];
    RK_UNROLL
    for (int x = 0; x < 6; x++) {
        lanes d[6];
        RK_UNROLL
        for (int y = 0; y < 6; y++) d[y] = load(pixels[6 * y + x] + c);
        transform_input(columns[x], d);
    }
    RK_UNROLL
    for (int i = 0; i < 6; i++) {
        lanes row[6], t[6];
        if (upsampled && i == 2) continue;
        RK_UNROLL
        for (int x = 0; x < 6; x++) row[x] = columns[x][i];
        transform_input(t, row);
        RK_UNROLL
        for (int j = 0; j < 6; j++) {
            if (!upsampled || j != 2) store(v + (size_t)(6 * i + j) * stride, t[j]);
        }
    }
}

RK_LANES_INLINE void transform_tile(float *v, size_t stride, const float *const pixels[RK_WINOGRAD_POSITIONS], int channels,
                                    const int upsampled) {
    for (int first = 0; first < channels; first += 16, v += RK_WINOGRAD_ROWS * 16) {
        for (int c = 0; c < 16; c += RK_WINOGRAD_LANES) transform_channels(v + c, stride, pixels, first + c, upsampled);
    }
}

RK_TARGET static void input(float *v, size_t stride, const float *const pixels[RK_WINOGRAD_POSITIONS], int channels, int upsampled) {
    if (upsampled) transform_tile(v, stride, pixels, channels, 1);
    else transform_tile(v, stride, pixels, channels, 0);
}

#if defined(__aarch64__)

// Four channels of a tile are one load, and products take them from its lanes: broadcasts would take the place of products. Of all sixteen
// channels unrolled, the compiler loads so much ahead that sums spill.
RK_INLINE void multiply_rows(float *m, const float *v, const float *u, const int panels, int channels, int more, const int rows) {
    (void)panels; // one
    float32x4_t acc[RK_WINOGRAD_ROWS][4];
    for (int t = 0; t < rows; t++) {
        RK_UNROLL
        for (int quarter = 0; quarter < 4; quarter++) acc[t][quarter] = more ? vld1q_f32(m + t * RK_PANEL + 4 * quarter) : vdupq_n_f32(0);
    }
    for (int c = 0; c < channels; c += 16, v += RK_WINOGRAD_ROWS * 16) {
        RK_KEEP_LOOP
        for (int k = 0; k < 16; k += 4, u += 4 * RK_PANEL) {
            float32x4_t four[RK_WINOGRAD_ROWS];
            for (int t = 0; t < rows; t++) four[t] = vld1q_f32(v + 16 * t + k);
            RK_UNROLL
            for (int quarter = 0; quarter < 4; quarter++) {
                const float *w = u + 4 * quarter;
                const float32x4_t w0 = vld1q_f32(w), w1 = vld1q_f32(w + 16), w2 = vld1q_f32(w + 32), w3 = vld1q_f32(w + 48);
                for (int t = 0; t < rows; t++) acc[t][quarter] = vfmaq_laneq_f32(acc[t][quarter], w0, four[t], 0);
                for (int t = 0; t < rows; t++) acc[t][quarter] = vfmaq_laneq_f32(acc[t][quarter], w1, four[t], 1);
                for (int t = 0; t < rows; t++) acc[t][quarter] = vfmaq_laneq_f32(acc[t][quarter], w2, four[t], 2);
                for (int t = 0; t < rows; t++) acc[t][quarter] = vfmaq_laneq_f32(acc[t][quarter], w3, four[t], 3);
            }
        }
    }
    for (int t = 0; t < rows; t++) {
        RK_UNROLL
        for (int quarter = 0; quarter < 4; quarter++) vst1q_f32(m + t * RK_PANEL + 4 * quarter, acc[t][quarter]);
    }
}

#else

RK_LANES_INLINE void multiply_rows(float *m, const float *v, const float *u, const int panels, int channels, int more, const int rows) {
    v16 acc[RK_WINOGRAD_ROWS * RK_WINOGRAD_PANELS];
    RK_UNROLL
    for (int i = 0; i < rows * panels; i++) acc[i] = more ? v16_load(m + i * RK_PANEL) : v16_all(0);
    for (int c = 0; c < channels; c += 16, v += RK_WINOGRAD_ROWS * 16, u += 16 * RK_PANEL) {
        RK_KEEP_LOOP
        for (int k = 0; k < 16; k++) {
            v16 w[RK_WINOGRAD_PANELS];
            for (int p = 0; p < panels; p++) w[p] = v16_load(u + (p * channels + k) * RK_PANEL);
            RK_UNROLL
            for (int t = 0; t < rows; t++) {
                for (int p = 0; p < panels; p++) acc[t * panels + p] = v16_fma(w[p], v16_all(v[16 * t + k]), acc[t * panels + p]);
            }
        }
    }
    RK_UNROLL
    for (int i = 0; i < rows * panels; i++) v16_store(m + i * RK_PANEL, acc[i]);
}

#endif

#define ONE_PANEL(n) multiply_rows(m + first * RK_PANEL, v + first * 16, u, 1, channels, more, n)
#define ALL_PANELS(n) multiply_rows(m + first * RK_WINOGRAD_PANELS * RK_PANEL, v + first * 16, u, RK_WINOGRAD_PANELS, channels, more, n)

RK_TARGET static void multiply(float *m, const float *v, size_t stride, const float *u, int panels, int channels, int tiles, int more) {
    for (int block = 0; block < tiles; block += RK_WINOGRAD_ROWS, v += stride, m += RK_WINOGRAD_ROWS * panels * RK_PANEL) {
        const int count = rk_min(RK_WINOGRAD_ROWS, tiles - block);
        if (RK_WINOGRAD_PANELS == 1 || panels == 1) RK_FOR_ROWS(count, RK_WINOGRAD_ROWS, ONE_PANEL)
        else RK_FOR_ROWS(count, RK_WINOGRAD_ROWS, ALL_PANELS)
    }
}

RK_TARGET static void output(float *const out[16], const float *const added[16], const float *m, size_t stride, const float *bias) {
    for (int c = 0; c < RK_PANEL; c += RK_WINOGRAD_LANES) {
        const lanes constant = bias ? load(bias + c) : all(0);
        lanes columns[6][4];
        RK_UNROLL
        for (int j = 0; j < 6; j++) {
            lanes d[6];
            RK_UNROLL
            for (int i = 0; i < 6; i++) d[i] = load(m + (size_t)(6 * i + j) * stride + c);
            transform_output(columns[j], d);
        }
        RK_UNROLL
        for (int y = 0; y < 4; y++) {
            lanes row[6], t[4];
            RK_UNROLL
            for (int j = 0; j < 6; j++) row[j] = columns[j][y];
            transform_output(t, row);
            RK_UNROLL
            for (int x = 0; x < 4; x++) {
                float *pixel = out[4 * y + x];
                if (!pixel) continue;
                lanes sum = t[x] + constant;
                if (added) sum += load(added[4 * y + x] + c);
                store(pixel + c, sum);
            }
        }
    }
}

#define RK_WINOGRAD_KERNELS(name) {name, RK_WINOGRAD_ROWS, RK_WINOGRAD_PANELS, weights, input, multiply, output}
