// The kernels of rk_attention.h on sixteen lanes; each instruction set includes this once, after defining RK_TARGET and
// RK_SOFTMAX, the softmax of its rk_norm_kernels.
#include "../lanes.h"
#include "../norm/norm.h"
#include "attention.h"

// Walks over the keys of a query's runs.
typedef struct cursor {
    const rk_key_value_cache *caches;
    const rk_key_run *run; // the next one
    const rk_f16 *key;
    int left; // keys of the current run that are still to come
    int head, head_size;
} cursor;

RK_LANES_INLINE void open_run(cursor *c) {
    c->key = rk_run_keys(c->caches, c->run, c->head, c->head_size);
    c->left = c->run->count;
    c->run++;
}

// At key number `skipped`.
RK_LANES_INLINE cursor cursor_at(const rk_attention_head *at, const rk_key_run *runs, int skipped) {
    cursor c = {.caches = at->caches, .run = runs, .head = at->head, .head_size = at->head_size};
    if (skipped == 0) return c;
    for (; skipped > c.left; open_run(&c)) skipped -= c.left;
    c.key += (size_t)skipped * (size_t)at->head_size;
    c.left -= skipped;
    return c;
}

RK_LANES_INLINE const rk_f16 *next_key(cursor *c) {
    while (c->left == 0) open_run(c);
    const rk_f16 *key = c->key;
    c->key += c->head_size;
    c->left--;
    return key;
}

// The dots of one query with four keys: four, so that they share the joining of their lanes.
RK_LANES_INLINE v4 dots_of_keys(const float *query, const rk_f16 *const keys[4], int head_size) {
    v16 sums[4] = {{0}, {0}, {0}, {0}};
    int i = 0;
    for (; i + 16 <= head_size; i += 16) {
        const v16 q = v16_load(query + i);
        for (int k = 0; k < 4; k++) sums[k] = v16_fma(q, v16_load_half(keys[k] + i), sums[k]);
    }
    if (i < head_size) {
        const v16 q = v16_load_upto(query + i, head_size - i);
        for (int k = 0; k < 4; k++) sums[k] = v16_fma(q, v16_load_half_upto(keys[k] + i, head_size - i), sums[k]);
    }
    return v16_sum4(sums[0], sums[1], sums[2], sums[3]);
}

// The dots of four queries with one key, which is converted once; the last addition is left to v16_sum4x4.
RK_LANES_INLINE v8 dots_of_queries(const float *queries, size_t stride, const rk_f16 *key, int head_size) {
    v16 sums[4] = {{0}, {0}, {0}, {0}};
    int i = 0;
    for (; i + 16 <= head_size; i += 16) {
        const v16 k = v16_load_half(key + i);
        for (int q = 0; q < 4; q++) sums[q] = v16_fma(v16_load(queries + (size_t)q * stride + i), k, sums[q]);
    }
    if (i < head_size) {
        const v16 k = v16_load_half_upto(key + i, head_size - i);
        for (int q = 0; q < 4; q++) sums[q] = v16_fma(v16_load_upto(queries + (size_t)q * stride + i, head_size - i), k, sums[q]);
    }
    return v16_pairs4(sums[0], sums[1], sums[2], sums[3]);
}

// Scores of the keys from number `done` on, a multiple of 4, then the softmax of all. Returns its sum.
__attribute__((noinline)) RK_TARGET static float score_keys(const rk_attention_head *at, const float *query,
                                                            const rk_key_run *runs, int run_count, int done, float *scores) {
    const int count = rk_run_total(runs, run_count);
    cursor c = cursor_at(at, runs, done);
    for (int i = done; i < count; i += 4) {
        const rk_f16 *keys[4];
        for (int k = 0; k < 4; k++) keys[k] = i + k < count ? next_key(&c) : keys[k - 1];
        const v4 dots = dots_of_keys(query, keys, at->head_size) * (v4){at->scale, at->scale, at->scale, at->scale};
        memcpy(scores + i, &dots, sizeof dots);
    }
    return RK_SOFTMAX(scores, count);
}

// `blocks` times 16 elements of the head from element `first`, or one block of `width` < 16: the values of the keys from number
// `done` on, added to `out` if that is not 0; then the division by `sum`.
RK_LANES_INLINE void add_values(const rk_attention_head *at, float *out, const rk_key_run *runs, int run_count, int done,
                                const float *p, float sum, int first, int blocks, int width) {
    v16 sums[4] = {{0}, {0}, {0}, {0}};
    for (int b = 0; b < blocks && done; b++) sums[b] = v16_load_upto(out + first + 16 * b, width);
    p += done;
    for (int r = 0; r < run_count; r++) {
        const int skipped = rk_min(done, runs[r].count);
        const rk_f16 *value = rk_run_values(at->caches, &runs[r], at->head, at->head_size) + first;
        value += (size_t)skipped * (size_t)at->head_size;
        for (int s = skipped; s < runs[r].count; s++, value += at->head_size, p++)
            for (int b = 0; b < blocks; b++)
                sums[b] = v16_fma(v16_all(*p), v16_load_half_upto(value + 16 * b, width), sums[b]);
        done -= skipped;
    }
    for (int b = 0; b < blocks; b++) v16_store_upto(out + first + 16 * b, sums[b] / v16_all(sum), width);
}

__attribute__((noinline)) RK_TARGET static void add_all_values(const rk_attention_head *at, float *out, const rk_key_run *runs,
                                                               int run_count, int done, const float *p, float sum) {
    int first = 0;
    for (; first + 64 <= at->head_size; first += 64) add_values(at, out, runs, run_count, done, p, sum, first, 4, 16);
    for (; first + 32 <= at->head_size; first += 32) add_values(at, out, runs, run_count, done, p, sum, first, 2, 16);
    for (; first + 16 <= at->head_size; first += 16) add_values(at, out, runs, run_count, done, p, sum, first, 1, 16);
    if (first < at->head_size) add_values(at, out, runs, run_count, done, p, sum, first, 1, at->head_size - first);
}

RK_TARGET static void attend(const rk_attention_head *at, float *out, const float *query, const rk_key_run *runs, int run_count,
                             float *scores) {
    const float sum = score_keys(at, query, runs, run_count, 0, scores);
    add_all_values(at, out, runs, run_count, 0, scores, sum);
}

// `width` elements of the head from element `first`: the first `shared` values for four queries, not divided yet.
RK_LANES_INLINE void share_values(const rk_attention_head *at, float *out, size_t out_stride, const rk_key_run *run, int shared,
                                  const float *p, size_t p_stride, int first, int width) {
    v16 sums[4] = {{0}, {0}, {0}, {0}};
    const size_t head_size = (size_t)at->head_size;
    const float *end = p + shared;
    for (; p < end; run++) {
        const rk_f16 *value = rk_run_values(at->caches, run, at->head, at->head_size) + first;
        for (const float *run_end = p + rk_min((int)(end - p), run->count); p < run_end; p++, value += head_size) {
            const v16 v = v16_load_half_upto(value, width);
            for (int q = 0; q < 4; q++) sums[q] = v16_fma(v16_all(p[(size_t)q * p_stride]), v, sums[q]);
        }
    }
    for (int q = 0; q < 4; q++) v16_store_upto(out + (size_t)q * out_stride + first, sums[q], width);
}

// The parts of attend4 are functions of their own: inlined, they cost each other registers.
__attribute__((noinline)) RK_TARGET static void share_keys(const rk_attention_head *at, const float *queries, size_t query_stride,
                                                           const rk_key_run *runs, int shared, float *scores, size_t scores_stride) {
    cursor c = cursor_at(at, runs, 0);
    for (int i = 0; i < shared; i += 4) {
        v8 pairs[4];
        for (int k = 0; k < 4; k++) pairs[k] = dots_of_queries(queries, query_stride, next_key(&c), at->head_size);
        float dots[4][4];
        v16_store(dots[0], v16_sum4x4(pairs) * v16_all(at->scale));
        for (int q = 0; q < 4; q++) memcpy(scores + (size_t)q * scores_stride + i, dots[q], sizeof dots[q]);
    }
}

__attribute__((noinline)) RK_TARGET static void share_all_values(const rk_attention_head *at, float *out, size_t out_stride,
                                                                 const rk_key_run *runs, int shared, const float *p, size_t p_stride) {
    int first = 0;
    for (; first + 16 <= at->head_size; first += 16) share_values(at, out, out_stride, runs, shared, p, p_stride, first, 16);
    if (first < at->head_size) share_values(at, out, out_stride, runs, shared, p, p_stride, first, at->head_size - first);
}

RK_TARGET static void attend4(const rk_attention_head *at, float *out, size_t out_stride, const float *queries, size_t query_stride,
                              const rk_key_run *runs, const int32_t *run_offsets, float *scores, size_t scores_stride) {
    const int shared = rk_shared_keys(runs, run_offsets);
    if (shared) share_keys(at, queries, query_stride, runs + run_offsets[0], shared, scores, scores_stride);

    float sums[4];
    for (int q = 0; q < 4; q++)
        sums[q] = score_keys(at, queries + (size_t)q * query_stride, runs + run_offsets[q], run_offsets[q + 1] - run_offsets[q],
                             shared, scores + (size_t)q * scores_stride);

    if (shared) share_all_values(at, out, out_stride, runs + run_offsets[0], shared, scores, scores_stride);
    for (int q = 0; q < 4; q++)
        add_all_values(at, out + (size_t)q * out_stride, runs + run_offsets[q], run_offsets[q + 1] - run_offsets[q], shared,
                       scores + (size_t)q * scores_stride, sums[q]);
}

RK_TARGET static void to_f16(rk_f16 *y, const float *x, int n) {
    for (int i = 0; i < n; i += 16) v16_store_half_upto(y + i, v16_load_upto(x + i, n - i), n - i);
}

RK_TARGET static void from_f16(float *y, const rk_f16 *x, int n) {
    for (int i = 0; i < n; i += 16) v16_store_upto(y + i, v16_load_half_upto(x + i, n - i), n - i);
}

#define RK_ATTENTION_KERNELS(name) {name, attend, attend4, to_f16, from_f16}
