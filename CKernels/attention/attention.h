// The instruction sets of rk_attention.h, and the walk over the keys that a query sees.
#ifndef ATTENTION_H
#define ATTENTION_H

#include "../internal.h"

extern const rk_attention_kernels rk_attention_scalar, rk_attention_avx2, rk_attention_avx512, rk_attention_neon;

// Head `head`, slot `run->first`, of the keys or values of the cache that the run names.
static inline const rk_f16 *rk_run_keys(const rk_key_value_cache *caches, const rk_key_run *run, int head, int head_size) {
    const rk_key_value_cache *cache = &caches[run->cache];
    return cache->keys + (size_t)head * cache->head_stride + (size_t)run->first * (size_t)head_size;
}

static inline const rk_f16 *rk_run_values(const rk_key_value_cache *caches, const rk_key_run *run, int head, int head_size) {
    const rk_key_value_cache *cache = &caches[run->cache];
    return cache->values + (size_t)head * cache->head_stride + (size_t)run->first * (size_t)head_size;
}

static inline int rk_run_total(const rk_key_run *runs, int run_count) {
    int keys = 0;
    for (int r = 0; r < run_count; r++) keys += runs[r].count;
    return keys;
}

// How many leading keys the four queries have in common, rounded down to a multiple of 4.
static inline int rk_shared_keys(const rk_key_run *runs, const int32_t *run_offsets) {
    int keys = 0;
    for (int r = 0;; r++) {
        const rk_key_run *first = runs + run_offsets[0] + r;
        int count = INT32_MAX, same = 1;
        for (int q = 0; q < 4; q++) {
            const rk_key_run *run = runs + run_offsets[q] + r;
            if (run == runs + run_offsets[q + 1] || run->cache != first->cache || run->first != first->first) return keys & ~3;
            same = same && run->count == first->count;
            count = rk_min(count, run->count);
        }
        keys += count;
        if (!same) return keys & ~3;
    }
}

#endif
