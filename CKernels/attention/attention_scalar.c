#include "attention.h"
#include "../norm/norm.h"

static float dot(const float *query, const rk_f16 *key, int head_size) {
    float lanes[RK_LANES] = {0};
    for (int i = 0; i < head_size; i++)
        lanes[i % RK_LANES] = fmaf(query[i], rk_f16_to_f32(key[i]), lanes[i % RK_LANES]);
    return rk_join_lanes(lanes);
}

static void attend(float *out, const float *query, const rk_key_value_cache *caches, const rk_key_run *runs, int run_count,
                   int head, int head_size, float scale, float *scores) {
    int count = 0;
    for (int r = 0; r < run_count; r++) {
        const rk_f16 *key = rk_run_keys(caches, &runs[r], head, head_size);
        for (int s = 0; s < runs[r].count; s++, key += head_size) scores[count++] = scale * dot(query, key, head_size);
    }
    float sum = rk_norm_scalar.softmax(scores, count);

    memset(out, 0, (size_t)head_size * sizeof *out);
    const float *p = scores;
    for (int r = 0; r < run_count; r++) {
        const rk_f16 *value = rk_run_values(caches, &runs[r], head, head_size);
        for (int s = 0; s < runs[r].count; s++, value += head_size, p++)
            for (int i = 0; i < head_size; i++) out[i] = fmaf(*p, rk_f16_to_f32(value[i]), out[i]);
    }
    for (int i = 0; i < head_size; i++) out[i] /= sum;
}

static void to_f16(rk_f16 *y, const float *x, int n) {
    for (int i = 0; i < n; i++) y[i] = rk_f16_from_f32(x[i]);
}

static void from_f16(float *y, const rk_f16 *x, int n) {
    for (int i = 0; i < n; i++) y[i] = rk_f16_to_f32(x[i]);
}

const rk_attention_kernels rk_attention_scalar = {"scalar", attend, to_f16, from_f16};
