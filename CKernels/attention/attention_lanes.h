// The kernels of rk_attention.h on sixteen lanes; each instruction set includes this once, after defining RK_TARGET and
// RK_SOFTMAX, the softmax of its rk_norm_kernels.
#include "../lanes.h"
#include "../norm/norm.h"
#include "attention.h"

// Walks over the keys of all runs.
typedef struct cursor {
    const rk_key_value_cache *caches;
    const rk_key_run *run; // the next one
    const rk_f16 *key;
    int left; // keys of the current run that are still to come
    int head, head_size;
} cursor;

RK_LANES_INLINE const rk_f16 *next_key(cursor *c) {
    while (c->left == 0) {
        c->key = rk_run_keys(c->caches, c->run, c->head, c->head_size);
        c->left = c->run->count;
        c->run++;
    }
    const rk_f16 *key = c->key;
    c->key += c->head_size;
    c->left--;
    return key;
}

// The dots of four keys, so that they share the joining of their lanes.
RK_LANES_INLINE v4 dot4(const float *query, const rk_f16 *const keys[4], int head_size) {
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

// `blocks` times 16 elements of the head from element `first`, or one block of `width` < 16.
RK_LANES_INLINE void weighted_values(float *out, const float *p, float sum, const rk_key_value_cache *caches,
                                     const rk_key_run *runs, int run_count, int head, int head_size, int first, int blocks,
                                     int width) {
    v16 sums[4] = {{0}, {0}, {0}, {0}};
    for (int r = 0; r < run_count; r++) {
        const rk_f16 *value = rk_run_values(caches, &runs[r], head, head_size) + first;
        for (int s = 0; s < runs[r].count; s++, value += head_size, p++)
            for (int b = 0; b < blocks; b++)
                sums[b] = v16_fma(v16_all(*p), v16_load_half_upto(value + 16 * b, width), sums[b]);
    }
    for (int b = 0; b < blocks; b++) v16_store_upto(out + first + 16 * b, sums[b] / v16_all(sum), width);
}

RK_TARGET static void attend(float *out, const float *query, const rk_key_value_cache *caches, const rk_key_run *runs,
                             int run_count, int head, int head_size, float scale, float *scores) {
    int count = 0;
    for (int r = 0; r < run_count; r++) count += runs[r].count;

    cursor c = {.caches = caches, .run = runs, .head = head, .head_size = head_size};
    for (int i = 0; i < count; i += 4) {
        const rk_f16 *keys[4];
        for (int k = 0; k < 4; k++) keys[k] = i + k < count ? next_key(&c) : keys[k - 1];
        v4 dots = dot4(query, keys, head_size) * (v4){scale, scale, scale, scale};
        memcpy(scores + i, &dots, sizeof dots);
    }
    const float sum = RK_SOFTMAX(scores, count);

#define VALUES(blocks, width) \
    weighted_values(out, scores, sum, caches, runs, run_count, head, head_size, first, blocks, width)
    int first = 0;
    for (; first + 64 <= head_size; first += 64) VALUES(4, 16);
    for (; first + 32 <= head_size; first += 32) VALUES(2, 16);
    for (; first + 16 <= head_size; first += 16) VALUES(1, 16);
    if (first < head_size) VALUES(1, head_size - first);
#undef VALUES
}

RK_TARGET static void to_f16(rk_f16 *y, const float *x, int n) {
    for (int i = 0; i < n; i += 16) v16_store_half_upto(y + i, v16_load_upto(x + i, n - i), n - i);
}

RK_TARGET static void from_f16(float *y, const rk_f16 *x, int n) {
    for (int i = 0; i < n; i += 16) v16_store_upto(y + i, v16_load_half_upto(x + i, n - i), n - i);
}

#define RK_ATTENTION_KERNELS(name) {name, attend, to_f16, from_f16}
