// The instruction sets of rk_attention.h, and where the keys that a query sees lie.
#ifndef ATTENTION_H
#define ATTENTION_H

#include "../internal.h"

extern const rk_attention_kernels rk_attention_scalar, rk_attention_avx2, rk_attention_avx512, rk_attention_neon, rk_attention_dotprod;

// The first slot of a run, counted over all heads.
static inline size_t rk_run_slot(const rk_attention_head *at, const rk_key_run *run) {
    return (size_t)at->head * at->caches[run->cache].slots + (size_t)run->first;
}

static inline int rk_run_total(const rk_key_run *runs, int run_count) {
    int keys = 0;
    for (int r = 0; r < run_count; r++) keys += runs[r].count;
    return keys;
}

// The largest magnitude of a quantized query: the sums of its products with bytes fit into 32 bits. -128 is in no cache that was computed, but can be
// in a damaged file's left text.
static inline int rk_query_limit(int head_size) { return rk_min(INT16_MAX, INT32_MAX / 128 / head_size); }

// Likewise that of a key's weight, for any values of `keys` keys. 127 * 256 + 127 is the most that is two signed bytes, for sdot.
static inline int rk_weight_limit(int keys) { return rk_min(127 * 256 + 127, INT32_MAX / 128 / keys); }

// A row whose largest magnitude is below this times the limit of its integers counts as zeros: limit / largest would be infinite.
#define RK_ATTENTION_SMALLEST 0x1p-127f

// How many leading keys `queries` queries have in common.
static inline int rk_shared_keys(const rk_key_run *runs, const int32_t *run_offsets, int queries) {
    int keys = 0;
    for (int r = 0;; r++) {
        const rk_key_run *first = runs + run_offsets[0] + r;
        int count = INT32_MAX, same = 1;
        for (int q = 0; q < queries; q++) {
            const rk_key_run *run = runs + run_offsets[q] + r;
            if (run == runs + run_offsets[q + 1] || run->cache != first->cache || run->first != first->first) return keys;
            same = same && run->count == first->count;
            count = rk_min(count, run->count);
        }
        keys += count;
        if (!same) return keys;
    }
}

#endif
