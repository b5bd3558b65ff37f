#include "../include/rk_rows.h"
#include "../internal.h"

// The rows 0 ..< count that this worker takes, several at a time: where rows are short, taking one costs as much as working on it.
#define FOR_ROWS(t, worker, count) \
    for (int t, taken; (taken = rk_next_chunks(worker, count, 1, &t)) > 0;) \
        for (const int end = t + taken; t < end; t++)

// Each block is quantized as a row is.
static void quantize_blocks(const rk_quantize_kernels *kernels, const rk_integer_rows *rows, int t, const float *x, int n) {
    int8_t *const values = (int8_t *)rows->values + (size_t)t * (size_t)rows->stride;
    int32_t *const starts = rows->starts + (size_t)t * (size_t)(rows->stride / RK_GROUP);
    const int blocks = rk_int8_blocks(n), all = rk_padded_columns(n);
    for (int block = 0; block < blocks; block++) {
        const int k = block * RK_INT8_BLOCK, at = t * blocks + block;
        const int columns = rk_min(RK_INT8_BLOCK, n - k), padded = rk_min(RK_INT8_BLOCK, all - k);
        int32_t groups[RK_INT8_BLOCK / RK_GROUP], start = 0;
        rows->scales[at] = kernels->row(values + k, groups, rows->offsets ? rows->offsets + at : NULL, x + k, columns, padded);
        for (int group = 0; group < padded / RK_GROUP; group++) start += groups[group];
        starts[block] = 128 / 8 * start;
    }
    memset(values + all, 0, (size_t)(rows->stride - all));
}

static void quantize_row(const rk_quantize_kernels *kernels, const rk_integer_rows *rows, int t, const float *x, int n) {
    if (rows->has_blocks) return quantize_blocks(kernels, rows, t, x, n);
    const size_t first = (size_t)t * (size_t)rows->stride;
    float *const offset = rows->offsets ? rows->offsets + t : NULL;
    rows->scales[t] = rows->is_int16
        ? kernels->row16((int16_t *)rows->values + first, x, n, rows->stride)
        : kernels->row((int8_t *)rows->values + first, rows->starts + first / RK_GROUP, offset, x, n, rows->stride);
}

void rk_rows_norm(rk_worker *worker, uint32_t features, rk_rows y, rk_rows x, rk_layer_norm norm, const rk_integer_rows *quantized) {
    const rk_norm_kernels kernels = rk_norm_kernels_for(features);
    const rk_quantize_kernels quantize = rk_quantize_kernels_for(features);
    FOR_ROWS(t, worker, x.count) {
        float *row = y.data + (size_t)t * y.stride;
        kernels.layer_norm(row, x.data + (size_t)t * x.stride, norm.weight, norm.bias, x.n, norm.epsilon);
        if (quantized) quantize_row(&quantize, quantized, t, row, x.n);
    }
    rk_barrier(worker);
}

void rk_rows_add_norm(rk_worker *worker, uint32_t features, rk_rows y, rk_rows x, rk_rows a, rk_layer_norm inner,
                      rk_layer_norm outer, const rk_integer_rows *quantized) {
    const rk_norm_kernels kernels = rk_norm_kernels_for(features);
    const rk_quantize_kernels quantize = rk_quantize_kernels_for(features);
    FOR_ROWS(t, worker, x.count) {
        float *sum = x.data + (size_t)t * x.stride;
        float *row = y.data + (size_t)t * y.stride;
        kernels.layer_norm_add(sum, a.data + (size_t)t * a.stride, inner.weight, inner.bias, x.n, inner.epsilon);
        kernels.layer_norm(row, sum, outer.weight, outer.bias, x.n, outer.epsilon);
        if (quantized) quantize_row(&quantize, quantized, t, row, x.n);
    }
    rk_barrier(worker);
}

void rk_rows_quantize(rk_worker *worker, uint32_t features, rk_rows x, const rk_integer_rows *quantized) {
    const rk_quantize_kernels quantize = rk_quantize_kernels_for(features);
    FOR_ROWS(t, worker, x.count) {
        quantize_row(&quantize, quantized, t, x.data + (size_t)t * x.stride, x.n);
    }
    rk_barrier(worker);
}

void rk_rows_softmax(rk_worker *worker, uint32_t features, rk_rows x, float scale) {
    const rk_norm_kernels kernels = rk_norm_kernels_for(features);
    FOR_ROWS(t, worker, x.count) {
        float *row = x.data + (size_t)t * x.stride;
        for (int k = 0; k < x.n; k++) row[k] *= scale;
        const float inverse = 1.0f / kernels.softmax(row, x.n);
        for (int k = 0; k < x.n; k++) row[k] *= inverse;
    }
    rk_barrier(worker);
}

// The largest value first, in lanes that the compiler can keep in registers, then the place where it is. NaN is never larger.
static int first_largest(const float *row, int n) {
    float largest[RK_LANES];
    for (int j = 0; j < RK_LANES; j++) largest[j] = row[0];
    int k = 0;
    for (; k + RK_LANES <= n; k += RK_LANES)
        for (int j = 0; j < RK_LANES; j++) largest[j] = row[k + j] > largest[j] ? row[k + j] : largest[j];
    for (; k < n; k++) largest[0] = row[k] > largest[0] ? row[k] : largest[0];
    for (int j = 1; j < RK_LANES; j++) largest[0] = largest[j] > largest[0] ? largest[j] : largest[0];
    for (k = 0; k < n; k++)
        if (row[k] == largest[0]) return k;
    return 0; // the first is NaN
}

void rk_rows_argmax(rk_worker *worker, rk_rows x, int32_t *indices) {
    FOR_ROWS(t, worker, x.count) {
        indices[t] = first_largest(x.data + (size_t)t * x.stride, x.n);
    }
    rk_barrier(worker);
}

void rk_rows_store(rk_worker *worker, uint32_t features, rk_rows keys, rk_rows values, int head_size, const rk_key_value_cache *caches,
                   const int32_t *cache_indices, const int32_t *slots) {
    enum { BLOCK = 16 }; // rows, whose heads lie side by side in a cache: written together
    const rk_attention_kernels kernels = rk_attention_kernels_for(features);
    const int heads = keys.n / head_size, block = keys.count >= worker->count * BLOCK ? BLOCK : 1;
    for (int chunk; (chunk = rk_next_chunk(worker, rk_divide_up(keys.count, block))) >= 0;) {
        const int end = rk_min(keys.count, (chunk + 1) * block);
        for (int h = 0; h < heads; h++) {
            for (int t = chunk * block; t < end; t++) {
                const rk_key_value_cache *cache = caches + cache_indices[t];
                const size_t slot = (size_t)h * cache->slots + (size_t)slots[t], target = slot * (size_t)head_size;
                const float *key = keys.data + (size_t)t * keys.stride + (size_t)h * (size_t)head_size;
                const float *value = values.data + (size_t)t * values.stride + (size_t)h * (size_t)head_size;
                if (rk_is_int8(cache)) {
                    cache->key_scales[slot] = kernels.to_int8((int8_t *)cache->keys + target, key, head_size);
                    cache->value_scales[slot] = kernels.to_int8((int8_t *)cache->values + target, value, head_size);
                } else {
                    kernels.to_f16((rk_f16 *)cache->keys + target, key, head_size);
                    kernels.to_f16((rk_f16 *)cache->values + target, value, head_size);
                }
            }
        }
    }
    rk_barrier(worker);
}
