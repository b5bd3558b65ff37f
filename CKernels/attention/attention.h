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

#endif
