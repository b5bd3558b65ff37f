#include "attention.h"
#include "../norm/norm.h"

// Of the quantization of x to integers up to `limit`: its factor, 0 if all is 0, and what undoes it, NaN if there is no finite maximum.
static float scale_of(float *factor, const float *x, int n, float limit) {
    uint32_t largest_bits = 0; // magnitudes order as their bits do, with infinity and then NaN above all numbers
    for (int i = 0; i < n; i++) {
        const uint32_t magnitude = rk_bits(x[i]) & 0x7fffffff;
        largest_bits = magnitude > largest_bits ? magnitude : largest_bits;
    }
    const float largest = rk_float(largest_bits);
    const int is_finite = largest < INFINITY, is_zero = largest < limit * RK_ATTENTION_SMALLEST;
    *factor = is_finite && !is_zero ? limit / largest : 0;
    return is_zero ? 0 : is_finite ? largest / limit : NAN;
}

static float dot(const float *query, const rk_f16 *key, int head_size) {
    float lanes[RK_LANES] = {0};
    for (int i = 0; i < head_size; i++)
        lanes[i % RK_LANES] = fmaf(query[i], rk_f16_to_f32(key[i]), lanes[i % RK_LANES]);
    return rk_reduce_lanes(lanes);
}

static int32_t dot_int8(const float *query, const int8_t *key, int head_size) {
    int32_t sum = 0;
    for (int i = 0; i < head_size; i++) sum += (int32_t)query[i] * key[i];
    return sum;
}

// Integers of 16 bits in place of floats.
static float quantize_weights(float *weights, int n) {
    float factor;
    const float scale = scale_of(&factor, weights, n, (float)rk_weight_limit(n));
    for (int i = 0; i < n; i++) {
        const int16_t weight = factor > 0 ? (int16_t)rintf(weights[i] * factor) : 0;
        memcpy((char *)weights + (size_t)i * sizeof weight, &weight, sizeof weight);
    }
    return scale;
}

static void attend_f16(const rk_attention_head *at, float *out, const float *query, const rk_key_run *runs, int run_count,
                       float *scores) {
    const int head_size = at->head_size;
    int count = 0;
    for (int r = 0; r < run_count; r++) {
        const rk_f16 *key = at->caches[runs[r].cache].keys;
        key += rk_run_slot(at, &runs[r]) * (size_t)head_size;
        for (int s = 0; s < runs[r].count; s++, key += head_size) scores[count++] = at->scale * dot(query, key, head_size);
    }
    const float sum = rk_norm_scalar.softmax(scores, count);

    memset(out, 0, (size_t)head_size * sizeof *out);
    const float *p = scores;
    for (int r = 0; r < run_count; r++) {
        const rk_f16 *value = at->caches[runs[r].cache].values;
        value += rk_run_slot(at, &runs[r]) * (size_t)head_size;
        for (int s = 0; s < runs[r].count; s++, value += head_size, p++)
            for (int i = 0; i < head_size; i++) out[i] = fmaf(*p, rk_f16_to_f32(value[i]), out[i]);
    }
    for (int i = 0; i < head_size; i++) out[i] /= sum;
}

static void attend_int8(const rk_attention_head *at, float *out, const float *query, const rk_key_run *runs, int run_count,
                        float *scores) {
    const int head_size = at->head_size;
    float rounding;
    const float factor = at->scale * scale_of(&rounding, query, head_size, (float)rk_query_limit(head_size));
    for (int i = 0; i < head_size; i++) out[i] = rounding > 0 ? rintf(query[i] * rounding) : 0;
    int count = 0;
    for (int r = 0; r < run_count; r++) {
        const rk_key_value_cache *cache = &at->caches[runs[r].cache];
        const size_t slot = rk_run_slot(at, &runs[r]);
        const int8_t *key = (const int8_t *)cache->keys + slot * (size_t)head_size;
        for (int s = 0; s < runs[r].count; s++, key += head_size) {
            const float scaled = (float)dot_int8(out, key, head_size) * cache->key_scales[slot + (size_t)s];
            scores[count++] = scaled * factor;
        }
    }
    const float sum = rk_norm_scalar.softmax(scores, count);

    float *p = scores;
    for (int r = 0; r < run_count; r++) {
        const float *scales = at->caches[runs[r].cache].value_scales + rk_run_slot(at, &runs[r]);
        for (int s = 0; s < runs[r].count; s++) *p++ *= scales[s];
    }
    const float undo = quantize_weights(scores, count) / sum;

    for (int i = 0; i < head_size; i++) {
        const char *weights = (const char *)scores;
        int32_t products = 0;
        for (int r = 0; r < run_count; r++) {
            const int8_t *value = (const int8_t *)at->caches[runs[r].cache].values + rk_run_slot(at, &runs[r]) * (size_t)head_size + i;
            for (int s = 0; s < runs[r].count; s++, value += head_size, weights += sizeof(int16_t)) {
                int16_t weight;
                memcpy(&weight, weights, sizeof weight);
                products += weight * *value;
            }
        }
        out[i] = (float)products * undo;
    }
}

static void attend(const rk_attention_head *at, float *out, const float *query, const rk_key_run *runs, int run_count,
                   float *scores) {
    (rk_is_int8(at->caches) ? attend_int8 : attend_f16)(at, out, query, runs, run_count, scores);
}

static void attend_block(const rk_attention_head *at, const rk_attention_block *block) {
    const int32_t *offsets = block->run_offsets;
    for (int q = 0; q < block->count; q++)
        attend(at, block->out + (size_t)q * block->out_stride, block->queries + (size_t)q * block->query_stride, block->runs + offsets[q],
               offsets[q + 1] - offsets[q], block->scores + (size_t)q * block->scores_stride);
}

static void to_f16(rk_f16 *y, const float *x, int n) {
    for (int i = 0; i < n; i++) y[i] = rk_f16_from_f32(x[i]);
}

static float to_int8(int8_t *y, const float *x, int n) {
    float factor;
    const float scale = scale_of(&factor, x, n, 127);
    for (int i = 0; i < n; i++) y[i] = factor > 0 ? (int8_t)rintf(x[i] * factor) : 0;
    return scale;
}

const rk_attention_kernels rk_attention_scalar = {"scalar", attend, attend_block, to_f16, to_int8};
