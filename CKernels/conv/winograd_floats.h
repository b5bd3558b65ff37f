// The products of Winograd's transform in floats; included after winograd_lanes.h.
#include "conv.h"

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

RK_LANES_INLINE void transform_tile(float *v, size_t stride, const float *const pixels[RK_WINOGRAD_POSITIONS], int channels,
                                    const int upsampled) {
    for (int first = 0; first < channels; first += 16, v += RK_WINOGRAD_ROWS * 16) {
        for (int c = 0; c < 16; c += RK_WINOGRAD_LANES) transform_channels(v + c, stride, pixels, first + c, upsampled);
    }
}

RK_TARGET static void input(float *v, size_t stride, int t, const float *const pixels[RK_WINOGRAD_POSITIONS], int channels, int upsampled) {
    if (upsampled) transform_tile(v + 16 * t, stride, pixels, channels, 1);
    else transform_tile(v + 16 * t, stride, pixels, channels, 0);
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
        RK_NO_UNROLL
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
    for (int i = 0; i < rows * panels; i++) acc[i] = more ? v16_load(m + i * RK_PANEL) : v16_splat(0);
    for (int c = 0; c < channels; c += 16, v += RK_WINOGRAD_ROWS * 16, u += 16 * RK_PANEL) {
        RK_NO_UNROLL
        for (int k = 0; k < 16; k++) {
            v16 w[RK_WINOGRAD_PANELS];
            for (int p = 0; p < panels; p++) w[p] = v16_load(u + (p * channels + k) * RK_PANEL);
            RK_UNROLL
            for (int t = 0; t < rows; t++) {
                for (int p = 0; p < panels; p++) acc[t * panels + p] = v16_fma(w[p], v16_splat(v[16 * t + k]), acc[t * panels + p]);
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

#define RK_WINOGRAD_KERNELS(name) {name, RK_WINOGRAD_ROWS, RK_WINOGRAD_PANELS, 0, weights, input, multiply, output, NULL, NULL, NULL}
