// The steps between the matrix products of a transformer layer, fused so that each row is touched once.
#ifndef RK_ROWS_H
#define RK_ROWS_H

#include <stddef.h>
#include <stdint.h>
#include "rk_attention.h"
#include "rk_norm.h"
#include "rk_parallel.h"
#include "rk_quantize.h"

// Rows of floats: data[t * stride + k] for t < count, k < n.
typedef struct rk_rows {
    float *data;
    size_t stride;
    int count;
    int n;
} rk_rows;

// A layer norm, of rows as long as its weight and bias.
typedef struct rk_layer_norm {
    const float *weight;
    const float *bias;
    float epsilon;
} rk_layer_norm;

// Step: y = norm(x) row by row; with `quantized` (or NULL) the rows of y as integers too. y.data may be x.data.
void rk_rows_norm(rk_worker *worker, uint32_t features, rk_rows y, rk_rows x, rk_layer_norm norm, const rk_integer_rows *quantized);

// Step: x += inner(a), then y = outer(x), then y as integers into `quantized` unless NULL: the sandwich norm, the residual
// addition and the next sublayer's norm in one pass over the row.
void rk_rows_add_norm(rk_worker *worker, uint32_t features, rk_rows y, rk_rows x, rk_rows a, rk_layer_norm inner,
                      rk_layer_norm outer, const rk_integer_rows *quantized);

// Step: the rows of x as integers.
void rk_rows_quantize(rk_worker *worker, uint32_t features, rk_rows x, const rk_integer_rows *quantized);

// Step: each row becomes softmax(scale * row).
void rk_rows_softmax(rk_worker *worker, uint32_t features, rk_rows x, float scale);

// Step: the index of the largest element of each row (the first of equals).
void rk_rows_argmax(rk_worker *worker, rk_rows x, int32_t *indices);

// Step: stores keys and values of new rows. Row t of `keys` and `values`, heads of head_size floats side by side, goes to slot slots[t] of
// caches[cache_indices[t]], in its format; see rk_key_value_cache. The caches are those that attention reads, and are written here.
void rk_rows_store(rk_worker *worker, uint32_t features, rk_rows keys, rk_rows values, int head_size, const rk_key_value_cache *caches,
                   const int32_t *cache_indices, const int32_t *slots);

#endif
