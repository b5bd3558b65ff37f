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
static size_t most_scores(const rk_attention_block *block) {
    int most = 0;
    for (int q = 0; q < block->count; q++) {
        const int32_t *offsets = block->run_offsets + q;
        most = rk_max(most, rk_run_total(block->runs + offsets[0], offsets[1] - offsets[0]));
    }
    return ((size_t)most + 15) / 16 * 16;
}

// The queries from number q on.
static rk_attention_block queries_from(rk_attention_block block, int q) {
    block.out += (size_t)q * block.out_stride;
    block.queries += (size_t)q * block.query_stride;
    block.run_offsets += q;
    block.count -= q;
    return block;
}

// As many queries at a time as have room in `floats` of scratch.
static void attend(const rk_attention_kernels *kernels, const rk_attention_head *at, rk_attention_block queries, size_t floats) {
    const size_t scratch = rk_block_scratch(at->head_size);
    while (queries.count > 0) {
        rk_attention_block block = queries;
        block.scores_stride = most_scores(&queries);
        const int fitting = floats < scratch ? 0 : (int)((floats - scratch) / block.scores_stride);
        block.count = rk_max(1, rk_min(queries.count, fitting));
        const int32_t *offsets = block.run_offsets;
        if (block.count > 1) kernels->attend_block(at, &block);
        else kernels->attend(at, block.out, block.queries, block.runs + offsets[0], offsets[1] - offsets[0], block.scores);
        queries = queries_from(queries, block.count);
    }
}

// A chunk is a block of queries of one head, and the blocks of a head follow each other: its keys and values stay in cache.
void rk_attention(rk_worker *worker, uint32_t features, const rk_attention_block *rows, int heads, int head_size, const rk_key_value_cache *caches) {
    enum { MANY = 16 }; // queries to a block where they are many
    const rk_attention_kernels kernels = rk_attention_kernels_for(features);
    const int block = rk_max(1, rk_min(rows->count > RK_QUERY_BLOCK ? MANY : RK_QUERY_BLOCK, rows->count * heads / (4 * worker->count)));
    const int blocks = rk_divide_up(rows->count, block);
    rk_attention_head at = {.caches = caches, .head_size = head_size, .scale = 1.0f / sqrtf((float)head_size),
                            .prefetch_distance = features & RK_CPU_PREFETCH ? 2 << 10 : 0};

    for (int chunk; (chunk = rk_next_chunk(worker, heads * blocks)) >= 0;) {
        at.head = chunk / blocks;
        const size_t offset = (size_t)at.head * (size_t)head_size;
        const int first = chunk % blocks * block;
        rk_attention_block of_head = *rows;
        of_head.out += offset;
        of_head.queries += offset;
        of_head.count = rk_min(first + block, rows->count);
        of_head.scores += (size_t)worker->index * rows->scores_stride;
        attend(&kernels, &at, queries_from(of_head, first), rows->scores_stride);
    }
    rk_barrier(worker);
}
