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

// The keys and values of one layer of one sequence, or of a prefix that sequences share: f16, or int8 with a scale for each head
// and slot. Head h, slot s, element i: keys[(h * slots + s) * head_size + i], for int8 times key_scales[h * slots + s]; values likewise.
// The caches of one call have the same format.
typedef struct rk_key_value_cache {
    void *keys; // rk_f16, or int8_t
    void *values;
    float *key_scales; // NULL for f16
    float *value_scales;
    size_t slots; // of each head
} rk_key_value_cache;

static inline int rk_is_int8(const rk_key_value_cache *caches) { return caches->key_scales != NULL; }

// The most queries that go over the keys that they share at once: of sequences with a common prefix. Of more rows, as of a picture's that are read,
// fewer go together, because each sees keys of its own.
enum { RK_QUERY_BLOCK = 48 };

static inline size_t rk_padded_head(int head_size) { return ((size_t)head_size + 15) / 16 * 16; }

// Floats of scratch that a block of queries needs behind its scores: for sixteen keys, and for all queries as integers.
static inline size_t rk_block_scratch(int head_size) { return (16 + RK_QUERY_BLOCK / 2) * rk_padded_head(head_size); }

// What the queries of one head share.
typedef struct rk_attention_head {
    const rk_key_value_cache *caches;
    int head;
    int head_size; // any number
    float scale;   // of the scores
    int prefetch_distance; // bytes, of keys; 0: no software prefetch
} rk_attention_head;

// Queries of one head. Query q lies from queries[q * query_stride]; its result and its scores likewise. Strides are in floats.
typedef struct rk_attention_block {
    float *out;
    size_t out_stride;
    const float *queries;
    size_t query_stride;
    int count;
    const rk_key_run *runs; // of query q: run_offsets[q] ..< run_offsets[q + 1]
    const int32_t *run_offsets;
    float *scores; // scratch, of each query as for `attend`
    size_t scores_stride;
} rk_attention_block;

typedef struct rk_attention_kernels {
    const char *name;
    // One query: scores s_i = scale * dot(query, key_i) over the runs in order (dot in lanes), p = softmax(s), out = sum of
    // p_i * value_i (fmaf for i ascending) divided by the sum of p. At least one key. `scores` is scratch for all visible keys,
    // rounded up to 16; `out` may not overlap the query.
    // int8: the query becomes integers q, the largest magnitude m of them the most that keeps every sum of products within 32 bits, at
    // most 32767; s_i = (float)(sum of q * key_i) * key_scale_i * (scale * largest / m), in this order. Likewise p_i * value_scale_i becomes
    // integers w, for all keys that the query sees at once, m at most 32639; out = (float)(sum of w_i * value_i) * (largest / m / sum of p).
    // The sums of integers are exact, so their order is free. w takes the place of the scores: 16 integers that of each 8.
    void (*attend)(const rk_attention_head *at, float *out, const float *query, const rk_key_run *runs, int run_count,
                   float *scores);
    // 1 to RK_QUERY_BLOCK queries, each exactly as by attend; the leading keys that all of them see are made ready for them once. Behind the scores
    // of all queries lie rk_block_scratch floats of scratch.
    void (*attend_block)(const rk_attention_head *at, const rk_attention_block *block);
    // f16 from floats, round to nearest even.
    void (*to_f16)(rk_f16 *y, const float *x, int n);
    // y = x * (127 / max|x|) rounded to nearest, ties to even; returns the scale max|x| / 127. All is 0 if max|x| is below 127 * 2^-127,
    // and the scale is NaN and y is 0 if it is not finite.
    float (*to_int8)(int8_t *y, const float *x, int n);
} rk_attention_kernels;

rk_attention_kernels rk_attention_kernels_for(uint32_t features);

// Step: attention of any number of rows, each with the queries of all heads side by side: head h of query q lies from
// queries[q * query_stride + h * head_size], its result likewise. scores: scratch, scores_stride floats for each worker; at least the keys of any
// query rounded up to 16. With RK_QUERY_BLOCK times that and rk_block_scratch more, blocks are of full size.
void rk_attention(rk_worker *worker, uint32_t features, const rk_attention_block *rows, int heads, int head_size, const rk_key_value_cache *caches);

#endif
