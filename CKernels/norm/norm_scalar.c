#include "norm.h"

typedef struct moments {
    float mean, rstd;
} moments;

static moments row_moments(const float *x, int n, float epsilon) {
    float lanes[RK_LANES] = {0};
    for (int i = 0; i < n; i++) lanes[i % RK_LANES] += x[i];
    float mean = rk_reduce_lanes(lanes) / (float)n;

    memset(lanes, 0, sizeof lanes);
    for (int i = 0; i < n; i++) lanes[i % RK_LANES] = fmaf(x[i] - mean, x[i] - mean, lanes[i % RK_LANES]);
    float variance = rk_reduce_lanes(lanes) / (float)n;
    return (moments){mean, 1.0f / sqrtf(variance + epsilon)};
}

static void layer_norm(float *y, const float *x, const float *weight, const float *bias, int n, float epsilon) {
    moments m = row_moments(x, n, epsilon);
    for (int i = 0; i < n; i++) y[i] = fmaf((x[i] - m.mean) * m.rstd, weight[i], bias[i]);
}

static void layer_norm_add(float *y, const float *x, const float *weight, const float *bias, int n, float epsilon) {
    moments m = row_moments(x, n, epsilon);
    for (int i = 0; i < n; i++) y[i] += fmaf((x[i] - m.mean) * m.rstd, weight[i], bias[i]);
}

static void gelu(float *x, int n) {
    for (int i = 0; i < n; i++) {
        float minus_2u = x[i] * fmaf(x[i] * x[i], RK_GELU_CUBIC, RK_GELU_LINEAR);
        x[i] = x[i] / (1.0f + rk_exp(minus_2u));
    }
}

static float softmax(float *x, int n) {
    float max = x[0];
    for (int i = 1; i < n; i++) max = x[i] > max ? x[i] : max;

    float lanes[RK_LANES] = {0};
    for (int i = 0; i < n; i++) {
        x[i] = rk_exp(x[i] - max);
        lanes[i % RK_LANES] += x[i];
    }
    return rk_reduce_lanes(lanes);
}

static void channel_sums(float *sums, float *squares, const float *x, const float *pivot, int pixels, int channels,
                         size_t stride) {
    for (int p = 0; p < pixels; p++, x += stride)
        for (int c = 0; c < channels; c++) {
            float d = x[c] - pivot[c];
            sums[c] += d;
            squares[c] = fmaf(d, d, squares[c]);
        }
}

static void scale_shift(float *y, const float *x, const float *scale, const float *shift, int pixels, int channels,
                        int swish) {
    for (int p = 0; p < pixels; p++, x += channels, y += channels)
        for (int c = 0; c < channels; c++) {
            float v = fmaf(x[c], scale[c], shift[c]);
            y[c] = swish ? v / (1.0f + rk_exp(-v)) : v;
        }
}

const rk_norm_kernels rk_norm_scalar = {"scalar", layer_norm, layer_norm_add, gelu, softmax, channel_sums, scale_shift};
