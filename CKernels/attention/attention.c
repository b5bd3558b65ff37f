#include "attention.h"

rk_attention_kernels rk_attention_kernels_for(uint32_t features) {
    rk_attention_kernels kernels = rk_attention_scalar;
#if defined(__x86_64__)
    if (features & RK_CPU_AVX2) kernels = rk_attention_avx2;
    if (features & RK_CPU_AVX512) kernels = rk_attention_avx512;
#elif defined(__aarch64__)
    if (features & RK_CPU_NEON) kernels = rk_attention_neon;
#endif
    (void)features;
    return kernels;
}

// A chunk is a block of queries of one head, and the blocks of a head follow each other: its keys and values stay in cache.
void rk_attention(rk_worker *worker, uint32_t features, float *out, size_t out_stride, const float *queries,
                  size_t query_stride, int count, int heads, int head_size, const rk_key_value_cache *caches,
                  const rk_key_run *runs, const int32_t *run_offsets, float *scores, size_t scores_stride) {
    const rk_attention_kernels kernels = rk_attention_kernels_for(features);
    const int block = rk_max(1, rk_min(16, count * heads / (4 * worker->count)));
    const int blocks = (count + block - 1) / block;
    const float scale = 1.0f / sqrtf((float)head_size);
    scores += (size_t)worker->index * scores_stride;

    for (int chunk; (chunk = rk_next_chunk(worker, heads * blocks)) >= 0;) {
        const int head = chunk / blocks, first = chunk % blocks * block;
        const size_t offset = (size_t)head * (size_t)head_size;
        for (int t = first; t < rk_min(first + block, count); t++)
            kernels.attend(out + (size_t)t * out_stride + offset, queries + (size_t)t * query_stride + offset, caches,
                           runs + run_offsets[t], run_offsets[t + 1] - run_offsets[t], head, head_size, scale, scores);
    }
    rk_barrier(worker);
}
