// What rk_conv_kernels of floats and of integers share, by vectors; each instruction set includes this once, then winograd_floats.h,
// winograd_int16.h or both, after defining RK_TARGET, RK_WINOGRAD_ROWS, the tiles, and RK_WINOGRAD_PANELS, the panels whose products its registers
// hold, and RK_WINOGRAD_LANES, the channels that are transformed at once.
#include "../lanes.h"
#include "conv.h"

typedef float lanes __attribute__((vector_size(4 * RK_WINOGRAD_LANES)));
typedef _Float16 f16_lanes __attribute__((vector_size(2 * RK_WINOGRAD_LANES)));

RK_LANES_INLINE lanes splat(float x) { return x - (lanes){0}; }

RK_LANES_INLINE lanes fma_lanes(lanes a, lanes b, lanes c) { return __builtin_elementwise_fma(a, b, c); }

RK_LANES_INLINE lanes load(const float *p) {
    lanes v;
    memcpy(&v, p, sizeof v);
    return v;
}

RK_LANES_INLINE lanes load_f16(const rk_f16 *p) {
    f16_lanes h;
    memcpy(&h, p, sizeof h);
    return __builtin_convertvector(h, lanes);
}

RK_LANES_INLINE void store(float *p, lanes v) { memcpy(p, &v, sizeof v); }

RK_LANES_INLINE void transform_input(lanes t[6], const lanes d[6]) {
    const lanes a = fma_lanes(splat(-4), d[2], d[4]), b = fma_lanes(splat(-4), d[1], d[3]);
    const lanes c = d[4] - d[2], e = splat(2) * (d[3] - d[1]);
    t[0] = fma_lanes(splat(4), d[0], fma_lanes(splat(-5), d[2], d[4]));
    t[1] = a + b;
    t[2] = a - b;
    t[3] = c + e;
    t[4] = c - e;
    t[5] = fma_lanes(splat(4), d[1], fma_lanes(splat(-5), d[3], d[5]));
}

RK_LANES_INLINE void transform_weights(lanes t[6], const lanes g[3]) {
    const lanes s = (g[0] + g[2]) * splat(RK_SIXTH), t6 = g[1] * splat(RK_SIXTH);
    const lanes u = fma_lanes(splat(4), g[2], g[0]) * splat(RK_TWENTY_FOURTH), v = g[1] * splat(RK_TWELFTH);
    t[0] = g[0] * splat(0.25f);
    t[1] = -s - t6;
    t[2] = t6 - s;
    t[3] = u + v;
    t[4] = u - v;
    t[5] = g[2];
}

RK_LANES_INLINE void transform_output(lanes t[4], const lanes m[6]) {
    const lanes p = m[1] + m[2], q = m[1] - m[2], r = m[3] + m[4], s = m[3] - m[4];
    t[0] = (m[0] + p) + r;
    t[1] = fma_lanes(splat(2), s, q);
    t[2] = fma_lanes(splat(4), r, p);
    t[3] = fma_lanes(splat(8), s, q) + m[5];
}

RK_LANES_INLINE lanes load_weights(const void *panel, rk_type type, int at) {
    return type == RK_F32 ? load((const float *)panel + at) : load_f16((const rk_f16 *)panel + at);
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

RK_TARGET static void output(float *const out[16], const float *const added[16], const float *m, size_t stride, const float *bias) {
    for (int c = 0; c < RK_PANEL; c += RK_WINOGRAD_LANES) {
        const lanes constant = bias ? load(bias + c) : splat(0);
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
