#include "attention.h"

rk_attention_kernels rk_attention_kernels_for(uint32_t features) {
    rk_attention_kernels kernels = rk_attention_scalar;
#if defined(__x86_64__)
    if (features & RK_CPU_AVX2) kernels = rk_attention_avx2;
    if (features & RK_CPU_AVX512) kernels = rk_attention_avx512;
#elif defined(__aarch64__)
    if (features & RK_CPU_NEON) kernels = rk_attention_neon;
    if (features & RK_CPU_DOTPROD) kernels = rk_attention_dotprod;
#endif
    (void)features;
    return kernels;
}

// Floats of scores of the query that sees most keys.
static size_t most_scores(const rk_key_run *runs, const int32_t *run_offsets, int queries) {
    int most = 0;
    for (int q = 0; q < queries; q++)
        most = rk_max(most, rk_run_total(runs + run_offsets[q], run_offsets[q + 1] - run_offsets[q]));
    return ((size_t)most + 15) / 16 * 16;
}

// A chunk is a block of queries of one head, and the blocks of a head follow each other: its keys and values stay in cache.
void rk_attention(rk_worker *worker, uint32_t features, float *out, size_t out_stride, const float *queries,
                  size_t query_stride, int count, int heads, int head_size, const rk_key_value_cache *caches,
                  const rk_key_run *runs, const int32_t *run_offsets, float *scores, size_t scores_stride) {
    enum { MANY = 16 }; // queries to a block where they are many
    const rk_attention_kernels kernels = rk_attention_kernels_for(features);
    const int block = rk_max(1, rk_min(count > RK_QUERY_BLOCK ? MANY : RK_QUERY_BLOCK, count * heads / (4 * worker->count)));
    const int blocks = rk_divide_up(count, block);
    rk_attention_head at = {.caches = caches, .head_size = head_size, .scale = 1.0f / sqrtf((float)head_size),
                            .prefetch_distance = features & RK_CPU_PREFETCH ? 2 << 10 : 0};
    scores += (size_t)worker->index * scores_stride;

    for (int chunk; (chunk = rk_next_chunk(worker, heads * blocks)) >= 0;) {
        at.head = chunk / blocks;
        const size_t offset = (size_t)at.head * (size_t)head_size;
        const int first = chunk % blocks * block, end = rk_min(first + block, count);
        for (int t = first; t < end;) {
            float *o = out + (size_t)t * out_stride + offset;
            const float *q = queries + (size_t)t * query_stride + offset;
            const size_t stride = most_scores(runs, run_offsets + t, end - t), scratch = rk_block_scratch(head_size);
            const int fitting = scores_stride < scratch ? 0 : (int)((scores_stride - scratch) / stride);
            const int queries = rk_min(end - t, fitting);
            if (queries > 1) {
                kernels.attend_block(&at, o, out_stride, q, query_stride, queries, runs, run_offsets + t, scores, stride);
                t += queries;
            } else {
                kernels.attend(&at, o, q, runs + run_offsets[t], run_offsets[t + 1] - run_offsets[t], scores);
                t++;
            }
        }
    }
    rk_barrier(worker);
}
