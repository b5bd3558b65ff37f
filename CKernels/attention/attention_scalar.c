#include "attention.h"
#include "../norm/norm.h"

static float dot(const float *query, const rk_f16 *key, int head_size) {
    float lanes[RK_LANES] = {0};
    for (int i = 0; i < head_size; i++)
        lanes[i % RK_LANES] = fmaf(query[i], rk_f16_to_f32(key[i]), lanes[i % RK_LANES]);
    return rk_join_lanes(lanes);
}

static void attend(const rk_attention_head *at, float *out, const float *query, const rk_key_run *runs, int run_count,
                   float *scores) {
    const int head_size = at->head_size;
    int count = 0;
    for (int r = 0; r < run_count; r++) {
        const rk_f16 *key = rk_run_keys(at->caches, &runs[r], at->head, head_size);
        for (int s = 0; s < runs[r].count; s++, key += head_size) scores[count++] = at->scale * dot(query, key, head_size);
    }
    float sum = rk_norm_scalar.softmax(scores, count);

    memset(out, 0, (size_t)head_size * sizeof *out);
    const float *p = scores;
    for (int r = 0; r < run_count; r++) {
        const rk_f16 *value = rk_run_values(at->caches, &runs[r], at->head, head_size);
        for (int s = 0; s < runs[r].count; s++, value += head_size, p++)
            for (int i = 0; i < head_size; i++) out[i] = fmaf(*p, rk_f16_to_f32(value[i]), out[i]);
    }
    for (int i = 0; i < head_size; i++) out[i] /= sum;
}

static void attend4(const rk_attention_head *at, float *out, size_t out_stride, const float *queries, size_t query_stride,
                    const rk_key_run *runs, const int32_t *run_offsets, float *scores, size_t scores_stride) {
    for (int q = 0; q < 4; q++)
        attend(at, out + (size_t)q * out_stride, queries + (size_t)q * query_stride, runs + run_offsets[q],
               run_offsets[q + 1] - run_offsets[q], scores + (size_t)q * scores_stride);
}

static void to_f16(rk_f16 *y, const float *x, int n) {
    for (int i = 0; i < n; i++) y[i] = rk_f16_from_f32(x[i]);
}

static void from_f16(float *y, const rk_f16 *x, int n) {
    for (int i = 0; i < n; i++) y[i] = rk_f16_to_f32(x[i]);
}

const rk_attention_kernels rk_attention_scalar = {"scalar", attend, attend4, to_f16, from_f16};
