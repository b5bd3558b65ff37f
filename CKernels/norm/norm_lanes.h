// The kernels of rk_norm.h on sixteen lanes; each instruction set includes this once, after defining RK_TARGET.
#include "../lanes.h"
#include "softmax_lanes.h"
#include "norm.h"

typedef struct moments {
    v16 mean, rstd;
} moments;

RK_LANES_INLINE moments row_moments(const float *x, int n, float epsilon) {
    v16 sum = {0}, square = {0};
    for (int i = 0; i < n; i += 16) sum += v16_load_upto(x + i, n - i);
    const v16 mean = v16_splat(v16_sum(sum) / (float)n);

    int i = 0;
    for (; i + 16 <= n; i += 16) {
        v16 d = v16_load(x + i) - mean;
        square = v16_fma(d, d, square);
    }
    if (i < n) {
        float d[16] = {0};
        for (int j = 0; i + j < n; j++) d[j] = x[i + j] - mean[0];
        square = v16_fma(v16_load(d), v16_load(d), square);
    }
    return (moments){mean, v16_splat(1.0f / sqrtf(v16_sum(square) / (float)n + epsilon))};
}

RK_LANES_INLINE v16 normalized(const moments *m, const float *x, const float *weight, const float *bias, int left) {
    v16 v = (v16_load_upto(x, left) - m->mean) * m->rstd;
    return v16_fma(v, v16_load_upto(weight, left), v16_load_upto(bias, left));
}

RK_TARGET static void layer_norm(float *y, const float *x, const float *weight, const float *bias, int n, float epsilon) {
    const moments m = row_moments(x, n, epsilon);
    for (int i = 0; i < n; i += 16) v16_store_upto(y + i, normalized(&m, x + i, weight + i, bias + i, n - i), n - i);
}

RK_TARGET static void layer_norm_add(float *y, const float *x, const float *weight, const float *bias, int n, float epsilon) {
    const moments m = row_moments(x, n, epsilon);
    for (int i = 0; i < n; i += 16) {
        v16 v = normalized(&m, x + i, weight + i, bias + i, n - i);
        v16_store_upto(y + i, v16_load_upto(y + i, n - i) + v, n - i);
    }
}

RK_TARGET static void gelu(float *x, int n) {
    for (int i = 0; i < n; i += 16) {
        v16 v = v16_load_upto(x + i, n - i);
        v16 minus_2u = v * v16_fma(v * v, v16_splat(RK_GELU_CUBIC), v16_splat(RK_GELU_LINEAR));
        v16_store_upto(x + i, v / (v16_splat(1.0f) + v16_exp(minus_2u)), n - i);
    }
}

RK_TARGET static float softmax(float *x, int n) { return softmax_of(x, n, 0); }

// Four pixels for each visit to the sums.
RK_TARGET static void channel_sums(float *sums, float *squares, const float *x, const float *pivot, int pixels, int channels,
                                   size_t stride) {
    for (int p = 0; p < pixels; p += 4) {
        const int count = pixels - p < 4 ? pixels - p : 4;
        for (int c = 0; c < channels; c += 16) {
            const int left = channels - c;
            const v16 center = v16_load_upto(pivot + c, left);
            v16 sum = v16_load_upto(sums + c, left), square = v16_load_upto(squares + c, left);
            for (int q = 0; q < count; q++) {
                v16 v = v16_load_upto(x + (size_t)(p + q) * stride + c, left) - center;
                sum += v;
                square = v16_fma(v, v, square);
            }
            v16_store_upto(sums + c, sum, left);
            v16_store_upto(squares + c, square, left);
        }
    }
}

RK_TARGET static void scale_shift(float *y, const float *x, const float *scale, const float *shift, int pixels, int channels,
                                  int swish) {
    for (int p = 0; p < pixels; p++, x += channels, y += channels)
        for (int c = 0; c < channels; c += 16) {
            const int left = channels - c;
            v16 v = v16_fma(v16_load_upto(x + c, left), v16_load_upto(scale + c, left), v16_load_upto(shift + c, left));
            if (swish) v = v / (v16_splat(1.0f) + v16_exp(-v));
            v16_store_upto(y + c, v, left);
        }
}

#define RK_NORM_KERNELS(name) {name, layer_norm, layer_norm_add, gelu, softmax, channel_sums, scale_shift}
