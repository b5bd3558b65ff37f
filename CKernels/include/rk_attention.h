// Mask-aware attention: a query touches only the keys that it sees, given as runs of consecutive cache slots.
#ifndef RK_ATTENTION_H
#define RK_ATTENTION_H

#include <stddef.h>
#include <stdint.h>
#include "rk_math.h"
#include "rk_parallel.h"

// `count` consecutive slots of cache number `cache` from slot `first`. The runs of one query never overlap.
typedef struct rk_key_run {
    int32_t cache;
    int32_t first;
    int32_t count;
} rk_key_run;

// The keys and values of one layer of one sequence, or of a prefix that sequences share.
// Head h, slot s, element i: keys[h * head_stride + s * head_size + i]; values likewise.
typedef struct rk_key_value_cache {
    rk_f16 *keys;
    rk_f16 *values;
    size_t head_stride;
} rk_key_value_cache;

// What the queries of one head share.
typedef struct rk_attention_head {
    const rk_key_value_cache *caches;
    int head;
    int head_size; // any number
    float scale;   // of the scores
} rk_attention_head;

typedef struct rk_attention_kernels {
    const char *name;
    // One query: scores s_i = scale * dot(query, key_i) over the runs in order (dot in lanes), p = softmax(s), out = sum of
    // p_i * value_i (fmaf for i ascending) divided by the sum of p. At least one key. `scores` is scratch for all visible keys,
    // rounded up to 16.
    void (*attend)(const rk_attention_head *at, float *out, const float *query, const rk_key_run *runs, int run_count,
                   float *scores);
    // Four queries, each exactly as by attend; the leading keys and values that all four see are read once. Runs of query q:
    // runs[run_offsets[q] ..< run_offsets[q + 1]]; its scores from scores[q * scores_stride].
    void (*attend4)(const rk_attention_head *at, float *out, size_t out_stride, const float *queries, size_t query_stride,
                    const rk_key_run *runs, const int32_t *run_offsets, float *scores, size_t scores_stride);
    // Halves from floats, round to nearest even.
    void (*to_f16)(rk_f16 *y, const float *x, int n);
    void (*from_f16)(float *y, const rk_f16 *x, int n);
} rk_attention_kernels;

rk_attention_kernels rk_attention_kernels_for(uint32_t features);

// Step: attention of `count` queries. query t, head h: queries[t * query_stride + h * head_size]; out likewise with out_stride.
// runs[run_offsets[t] ..< run_offsets[t + 1]] are those of query t. scores: scratch, scores_stride floats for each
// worker; at least the keys of any query rounded up to 16, and with four times that all queries go by attend4.
void rk_attention(rk_worker *worker, uint32_t features, float *out, size_t out_stride, const float *queries,
                  size_t query_stride, int count, int heads, int head_size, const rk_key_value_cache *caches,
                  const rk_key_run *runs, const int32_t *run_offsets, float *scores, size_t scores_stride);

#endif
