// The kernels of rk_attention.h on sixteen lanes; each instruction set includes this once, after defining RK_TARGET, RK_KEY_LANES, the floats of
// a register, on x86-64 RK_ADD_PRODUCTS(sums, a, b), which adds those of pairs of integers, the sums of values that its registers hold: of
// RK_VALUE_QUERIES queries, RK_VALUE_BLOCKS times 16 elements, and RK_FEW_QUERIES, up to how many are few (prefetch_next_tile).
#include "../lanes.h"
#include "../norm/softmax_lanes.h"
#include "attention.h"

typedef int8_t v32_bytes __attribute__((vector_size(32)));
typedef int16_t v32_short __attribute__((vector_size(64)));
typedef int32_t v4_int __attribute__((vector_size(16)));

RK_LANES_INLINE v16_bytes v16_load_bytes_upto(const int8_t *p, int n) {
    v16_bytes v = {0};
    if (__builtin_expect(n >= 16, 1)) memcpy(&v, p, sizeof v);
    else copy_below_16(&v, p, n, sizeof *p);
    return v;
}

RK_LANES_INLINE v16_short v16_load_shorts_upto(const int16_t *p, int n) {
    v16_short v = {0};
    if (__builtin_expect(n >= 16, 1)) memcpy(&v, p, sizeof v);
    else copy_below_16(&v, p, n, sizeof *p);
    return v;
}

// Sums of products of integers lie in lanes of any order, because they are exact.
RK_LANES_INLINE v8_int add_products(v8_int sums, v16_short a, v16_short b) {
#if defined(__x86_64__)
    return sums + (v8_int)_mm256_madd_epi16((__m256i)a, (__m256i)b);
#else
    typedef int16_t v8_short __attribute__((vector_size(16)));
    const v8_short a0 = __builtin_shufflevector(a, a, 0, 1, 2, 3, 4, 5, 6, 7), a1 = __builtin_shufflevector(a, a, 8, 9, 10, 11, 12, 13, 14, 15);
    const v8_short b0 = __builtin_shufflevector(b, b, 0, 1, 2, 3, 4, 5, 6, 7), b1 = __builtin_shufflevector(b, b, 8, 9, 10, 11, 12, 13, 14, 15);
    sums += __builtin_convertvector(a0, v8_int) * __builtin_convertvector(b0, v8_int);
    return sums + __builtin_convertvector(a1, v8_int) * __builtin_convertvector(b1, v8_int);
#endif
}

// In each half of the register the sums of pairs of neighbouring lanes, first of a, then of b.
RK_LANES_INLINE v8_int add_pairwise(v8_int a, v8_int b) {
    return __builtin_shufflevector(a, b, 0, 2, 8, 10, 4, 6, 12, 14) + __builtin_shufflevector(a, b, 1, 3, 9, 11, 5, 7, 13, 15);
}

RK_LANES_INLINE v4_int sums_of_four(const v8_int sums[4]) {
    const v8_int s = add_pairwise(add_pairwise(sums[0], sums[1]), add_pairwise(sums[2], sums[3]));
    return __builtin_shufflevector(s, s, 0, 1, 2, 3) + __builtin_shufflevector(s, s, 4, 5, 6, 7);
}

// Of the quantization of a row whose largest magnitude this is to integers up to `limit`: see attention_scalar.c.
RK_LANES_INLINE float scale_of(float *factor, float largest, float limit) {
    const int is_finite = largest < INFINITY, is_zero = largest < limit * RK_ATTENTION_SMALLEST;
    *factor = is_finite && !is_zero ? limit / largest : 0;
    return is_zero ? 0 : is_finite ? largest / limit : NAN;
}

// Sixteen elements of x at most, times a factor of `scale_of`, as integers.
RK_LANES_INLINE v16_int quantized(const float *x, int n, float factor) {
    if (!(factor > 0)) return (v16_int){0};
    return v16_rounded(v16_load_upto(x, n) * v16_splat(factor));
}

// The keys or values of a run: of elements of one byte or two.
RK_LANES_INLINE const char *run_keys(const rk_attention_head *at, const rk_key_run *run, size_t size) {
    return (const char *)at->caches[run->cache].keys + rk_run_slot(at, run) * (size_t)at->head_size * size;
}

RK_LANES_INLINE const char *run_values(const rk_attention_head *at, const rk_key_run *run, size_t size) {
    return (const char *)at->caches[run->cache].values + rk_run_slot(at, run) * (size_t)at->head_size * size;
}

// Walks over the keys of a query's runs.
typedef struct cursor {
    const rk_attention_head *at;
    const rk_key_run *run; // the next one
    const rk_key_value_cache *cache;
    size_t slot; // of the next key
    const char *key;
    size_t size;         // of an element
    ptrdiff_t to_values; // from a key to its value
    int left;            // keys of the current run that are still to come
} cursor;

RK_LANES_INLINE void open_run(cursor *c) {
    c->cache = &c->at->caches[c->run->cache];
    c->slot = rk_run_slot(c->at, c->run);
    c->key = run_keys(c->at, c->run, c->size);
    c->to_values = (const char *)c->cache->values - (const char *)c->cache->keys;
    c->left = c->run->count;
    c->run++;
}

// At key number `skipped`.
RK_LANES_INLINE cursor cursor_at(const rk_attention_head *at, size_t size, const rk_key_run *runs, int skipped) {
    cursor c = {.at = at, .run = runs, .size = size};
    if (skipped == 0) return c;
    for (; skipped > c.left; open_run(&c)) skipped -= c.left;
    c.slot += (size_t)skipped;
    c.key += (size_t)skipped * (size_t)at->head_size * size;
    c.left -= skipped;
    return c;
}

RK_LANES_INLINE const char *next_key_of_run(cursor *c) {
    const char *key = c->key;
    c->key += (size_t)c->at->head_size * c->size;
    c->slot++;
    c->left--;
    return key;
}

RK_LANES_INLINE const void *next_key(cursor *c) {
    while (c->left == 0) open_run(c);
    return next_key_of_run(c);
}

// The next `total` keys, then, where only `count` are left, the last one again; keys of bytes with their scales.
RK_LANES_INLINE void take_keys(cursor *c, const void **keys, float *scales, const int total, int count) {
    for (int k = 0; k < total; k++) {
        keys[k] = k < count ? next_key(c) : keys[k - 1];
        if (scales) scales[k] = c->cache->key_scales[c->slot - 1];
    }
}

RK_LANES_INLINE const void *next_value_of_run(cursor *c) { return next_key_of_run(c) + c->to_values; }

RK_LANES_INLINE const void *next_value(cursor *c) {
    while (c->left == 0) open_run(c);
    return next_value_of_run(c);
}

// Four keys. Prefetches their values, so that those are on their way before the last key is read, and later keys at the prefetch distance.
RK_LANES_INLINE void next_keys(cursor *c, const void *keys[4], float *scales, int count) {
    take_keys(c, keys, scales, 4, count);
    const char *first = keys[0];
    const ptrdiff_t bytes = 4 * (ptrdiff_t)c->at->head_size * (ptrdiff_t)c->size, distance = c->at->prefetch_distance;
    for (ptrdiff_t line = 0; line < bytes; line += 64) __builtin_prefetch(first + c->to_values + line);
    for (ptrdiff_t line = 0; line < bytes && distance; line += 64) __builtin_prefetch(first + distance + line);
}

// Prefetches the next tile's keys and their values, of which the queries first ..< end of `count` take their share: all at once would keep the tile's
// own loads waiting. Few queries leave a tile before memory has brought the next one: they prefetch at a longer distance as well, that and values,
// which are needed later, into L2.
RK_LANES_INLINE void prefetch_next_tile(const cursor *c, int keys, int first, int end, int count) {
    enum { L2_DISTANCE = 2 << 10 };
    const ptrdiff_t lines = keys * (ptrdiff_t)c->at->head_size * (ptrdiff_t)c->size / 64;
    for (ptrdiff_t line = lines * first / count; line < lines * end / count; line++) {
        const char *key = c->key + 64 * line;
        __builtin_prefetch(key);
        if (count <= RK_FEW_QUERIES) {
            __builtin_prefetch(key + L2_DISTANCE, 0, 2);
            __builtin_prefetch(key + c->to_values, 0, 2);
        } else {
            __builtin_prefetch(key + c->to_values);
        }
    }
}

// The dots of one query with four keys: four, so that they share the reduction of their lanes.
RK_LANES_INLINE v4 dots_of_keys_f16(const float *query, const void *const keys[4], int head_size) {
    v16 sums[4] = {{0}, {0}, {0}, {0}};
    int i = 0;
    for (; i + 16 <= head_size; i += 16) {
        const v16 q = v16_load(query + i);
        RK_UNROLL
        for (int k = 0; k < 4; k++) sums[k] = v16_fma(q, v16_load_f16((const rk_f16 *)keys[k] + i), sums[k]);
    }
    if (i < head_size) {
        const v16 q = v16_load_upto(query + i, head_size - i);
        RK_UNROLL
        for (int k = 0; k < 4; k++) sums[k] = v16_fma(q, v16_load_f16_upto((const rk_f16 *)keys[k] + i, head_size - i), sums[k]);
    }
    return v16_sum4(sums[0], sums[1], sums[2], sums[3]);
}

// Sixteen keys that several queries see lie in a tile: element i of all of them from tile[16 * i]. A register then holds an element of
// RK_KEY_LANES keys, and the sixteen lanes of a dot are registers, so that no register has to be reduced.
typedef float key_lanes __attribute__((vector_size(4 * RK_KEY_LANES)));
typedef int32_t key_integers __attribute__((vector_size(4 * RK_KEY_LANES)));

RK_LANES_INLINE key_lanes load_lanes(const float *p, int n) {
    key_lanes v = {0};
    if (__builtin_expect(n >= RK_KEY_LANES, 1)) memcpy(&v, p, sizeof v);
    else copy_below_16(&v, p, n, sizeof *p);
    return v;
}

// Stores the first min(n, RK_KEY_LANES) elements.
RK_LANES_INLINE void store_lanes(float *p, key_lanes v, int n) {
    if (__builtin_expect(n >= RK_KEY_LANES, 1)) memcpy(p, &v, sizeof v);
    else copy_below_16(p, &v, n, sizeof *p);
}

// Registers of sums of products of weights, as integers, with the values of VALUE_KEYS keys at a time: those that 64 elements of the head fill.
enum { VALUE_REGISTERS = 64 / RK_KEY_LANES };

#if defined(__aarch64__)
#include "attention_tiles_neon.h"
#else
#include "attention_tiles.h"
#endif

// Scores of the tile's keys, from scores[0].
RK_LANES_INLINE void score_tile(const rk_attention_head *at, const float *tile, const float *queries, size_t query_stride, const int count,
                                float *scores, size_t scores_stride) {
    for (int k = 0; k < 16; k += RK_KEY_LANES) {
        key_lanes dots[4];
        if (at->head_size == 64) dots_of_tile(dots, tile + k, queries, query_stride, count, 64);
        else dots_of_tile(dots, tile + k, queries, query_stride, count, at->head_size);
        for (int q = 0; q < count; q++) {
            dots[q] *= at->scale;
            memcpy(scores + (size_t)q * scores_stride + k, &dots[q], sizeof dots[q]);
        }
    }
}

// Likewise of keys and queries that are integers: of `keys`, as many as the tile holds or sixteen.
RK_LANES_INLINE void score_tile_int8(const rk_attention_head *at, const int16_t *tile, int keys, const float *scales, const int16_t *queries,
                                     size_t stride, const int count, const float *factors, float *scores, size_t scores_stride) {
    for (int k = 0; k < keys;) {
        const int registers = keys - k < SCORED_REGISTERS * RK_KEY_LANES ? 1 : SCORED_REGISTERS;
        key_integers dots[4][SCORED_REGISTERS];
        if (at->head_size == 64 && registers == SCORED_REGISTERS) dots_of_tile_int8(dots, tile, k, queries, stride, count, 64, SCORED_REGISTERS);
        else if (registers == SCORED_REGISTERS) dots_of_tile_int8(dots, tile, k, queries, stride, count, at->head_size, SCORED_REGISTERS);
        else dots_of_tile_int8(dots, tile, k, queries, stride, count, at->head_size, 1);
        for (int r = 0; r < registers; r++, k += RK_KEY_LANES) {
            key_lanes scale;
            memcpy(&scale, scales + k, sizeof scale);
            for (int q = 0; q < count; q++) {
                const key_lanes score = __builtin_convertvector(dots[q][r], key_lanes) * scale * factors[q];
                memcpy(scores + (size_t)q * scores_stride + k, &score, sizeof score);
            }
        }
    }
}

// `width` elements of four keys and of one query.
RK_LANES_INLINE void add_keys_int8(v8_int sums[4], const int16_t *query, const void *const keys[4], int first, int width) {
    const v16_short q = v16_load_shorts_upto(query + first, width);
    RK_UNROLL
    for (int k = 0; k < 4; k++)
        sums[k] = add_products(sums[k], __builtin_convertvector(v16_load_bytes_upto((const int8_t *)keys[k] + first, width), v16_short), q);
}

RK_LANES_INLINE v4 dots_of_keys_int8(const int16_t *query, const void *const keys[4], int head_size) {
    v8_int sums[4] = {{0}, {0}, {0}, {0}};
    int i = 0;
    for (; i + 16 <= head_size; i += 16) add_keys_int8(sums, query, keys, i, 16);
    if (i < head_size) add_keys_int8(sums, query, keys, i, head_size - i);
    return __builtin_convertvector(sums_of_four(sums), v4);
}

// The scales of the next sixteen values; fewer at the end of the runs, then zeros.
RK_LANES_INLINE v16 next_value_scales(const rk_attention_head *at, const rk_key_run **run, int *skipped, int left) {
    const float *scales = at->caches[(*run)->cache].value_scales + rk_run_slot(at, *run) + *skipped;
    if (__builtin_expect((*run)->count - *skipped >= 16, 1)) {
        *skipped += 16;
        return v16_load(scales);
    }
    float next[16] = {0};
    for (int i = 0; i < rk_min(16, left);) {
        for (; *skipped == (*run)->count; *skipped = 0) scales = at->caches[(++*run)->cache].value_scales + rk_run_slot(at, *run);
        const int end = i + rk_min(rk_min(16, left) - i, (*run)->count - *skipped);
        *skipped += end - i;
#pragma clang loop vectorize(disable) unroll(disable) // few, and never the same number
        for (; i < end; i++) next[i] = *scales++;
    }
    return v16_load(next);
}

// Scores become weights: their softmax times the scales of the values, and that as integers, two bytes each, in place; see attention_scalar.c. The
// last sixteen are filled up with zeros. Returns what sums of products of weights and values are to be multiplied by.
RK_LANES_INLINE float weigh(const rk_attention_head *at, float *scores, int count, const rk_key_run *run) {
    const v16 max = softmax_maximum(scores, count, 1);
    v16 sum = {0};
    v16_int magnitudes = {0};
    int skipped = 0;
    for (int i = 0; i < count; i += 16) {
        v16 p = v16_exp(v16_load(scores + i) - max);
        if (count - i < 16) p = v16_first(p, count - i, 0);
        sum += p;
        p *= next_value_scales(at, &run, &skipped, count - i);
        v16_store(scores + i, p);
        magnitudes = __builtin_elementwise_max(magnitudes, (v16_int)p & 0x7fffffff);
    }
    float factor;
    const float scale = scale_of(&factor, rk_float((uint32_t)__builtin_reduce_max(magnitudes)), (float)rk_weight_limit(count));
    for (int i = 0; i < count; i += 16) {
        const v16_short shorts = __builtin_convertvector(quantized(scores + i, 16, factor), v16_short);
        store_weights((int16_t *)scores + i, shorts);
    }
    return scale / v16_sum(sum);
}

__attribute__((noinline)) RK_TARGET static float softmax_of_scores(float *scores, int count) { return softmax_of(scores, count, 1); }

// Scores of the keys from number `done` on, a multiple of 4, then the softmax of all. Returns its sum.
__attribute__((noinline)) RK_TARGET static float score_keys_f16(const rk_attention_head *at, const float *query, const rk_key_run *runs,
                                                                int run_count, int done, float *scores) {
    const int count = rk_run_total(runs, run_count);
    cursor c = cursor_at(at, sizeof(rk_f16), runs, done);
    for (int i = done; i < count; i += 4) {
        const void *keys[4];
        next_keys(&c, keys, NULL, count - i);
        const v4 dots = dots_of_keys_f16(query, keys, at->head_size) * (v4){at->scale, at->scale, at->scale, at->scale};
        memcpy(scores + i, &dots, sizeof dots);
    }
    return softmax_of_scores(scores, count);
}

// Likewise with a quantized query, whose factor is the scale times its own, and what `weigh` makes of the scores and returns.
__attribute__((noinline)) RK_TARGET static float score_keys_int8(const rk_attention_head *at, const int16_t *query, float factor,
                                                                 const rk_key_run *runs, int run_count, int done, float *scores) {
    const int count = rk_run_total(runs, run_count);
    cursor c = cursor_at(at, sizeof(int8_t), runs, done);
    for (int i = done; i < count; i += 4) {
        const void *keys[4];
        float scales[4];
        next_keys(&c, keys, scales, count - i);
        const v4 score = dots_of_keys_int8(query, keys, at->head_size) * (v4){scales[0], scales[1], scales[2], scales[3]} * factor;
        memcpy(scores + i, &score, sizeof score);
    }
    return weigh(at, scores, count, runs);
}

// The query as integers, a pair of them where the last one stands alone.
RK_LANES_INLINE float quantize_query(const rk_attention_head *at, int16_t *y, const float *query) {
    const int n = at->head_size;
    float factor;
    const float scale = scale_of(&factor, largest_magnitude(query, n, 0), (float)rk_query_limit(n));
    for (int i = 0; i < n; i += 16) {
        const v16_short shorts = __builtin_convertvector(quantized(query + i, n - i, factor), v16_short);
        if (n - i >= 15) memcpy(y + i, &shorts, sizeof shorts);
        else copy_below_16(y + i, &shorts, rk_divide_up(n - i, 2) * 2, sizeof *y);
    }
    return at->scale * scale;
}

// `blocks` times 16 elements of the head from element `first`, or one block of `width` < 16: the values of the keys from number
// `done` on, added to `out` if that is not 0; then the division by `sum`.
RK_LANES_INLINE void add_values(const rk_attention_head *at, float *out, const rk_key_run *runs, int run_count, int done, const float *p, float sum,
                                int first, int blocks, int width) {
    const size_t step = (size_t)at->head_size * sizeof(rk_f16);
    v16 sums[4] = {{0}, {0}, {0}, {0}};
    for (int b = 0; b < blocks && done; b++) sums[b] = v16_load_upto(out + first + 16 * b, width);
    p += done;
    for (int r = 0; r < run_count; r++) {
        const int skipped = rk_min(done, runs[r].count);
        const char *value = run_values(at, &runs[r], sizeof(rk_f16)) + (size_t)skipped * step;
        for (int s = skipped; s < runs[r].count; s++, value += step, p++)
            for (int b = 0; b < blocks; b++)
                sums[b] = v16_fma(v16_splat(*p), v16_load_f16_upto((const rk_f16 *)value + first + 16 * b, width), sums[b]);
        done -= skipped;
    }
    for (int b = 0; b < blocks; b++) v16_store_upto(out + first + 16 * b, sums[b] / v16_splat(sum), width);
}

__attribute__((noinline)) RK_TARGET static void add_values_f16(const rk_attention_head *at, float *out, const rk_key_run *runs, int run_count,
                                                               int done, const float *p, float sum) {
    int first = 0;
    for (; first + 64 <= at->head_size; first += 64) add_values(at, out, runs, run_count, done, p, sum, first, 4, 16);
    for (; first + 32 <= at->head_size; first += 32) add_values(at, out, runs, run_count, done, p, sum, first, 2, 16);
    for (; first + 16 <= at->head_size; first += 16) add_values(at, out, runs, run_count, done, p, sum, first, 1, 16);
    if (first < at->head_size) add_values(at, out, runs, run_count, done, p, sum, first, 1, at->head_size - first);
}

// Adds the products of the keys from ..< end, `from` a multiple of 4, with a plane of their weights, for `count` queries. Past the end weights are 0.
RK_LANES_INLINE void sum_plane(key_integers sums[][VALUE_REGISTERS], const rk_attention_head *at, const rk_key_run *runs, int from, int end,
                               const int16_t *weights, size_t stride, const int plane, const int count, int first, int elements) {
    cursor c = cursor_at(at, sizeof(int8_t), runs, from);
    const int8_t *values[VALUE_KEYS];
    for (int i = from; i < end; i += VALUE_KEYS) {
        for (; c.left >= VALUE_KEYS && i + VALUE_KEYS <= end; i += VALUE_KEYS) {
            RK_UNROLL
            for (int k = 0; k < VALUE_KEYS; k++) values[k] = next_value_of_run(&c);
            add_products_of_values(sums, values, weights_of(weights, i, plane), stride, count, first, elements);
        }
        if (i >= end) break;
        for (int k = 0; k < VALUE_KEYS; k++) values[k] = k < end - i ? next_value(&c) : values[k - 1];
        add_products_of_values(sums, values, weights_of(weights, i, plane), stride, count, first, elements);
    }
}

RK_LANES_INLINE key_integers sum_before(const float *before, int r, int elements) {
    return before ? (key_integers)load_lanes(before + RK_KEY_LANES * r, elements - RK_KEY_LANES * r) : (key_integers){0};
}

// All products of those keys, added to earlier sums if there are any. A weight is its planes, one after the other as digits of eight bits.
RK_LANES_INLINE void sum_values(key_integers sums[][VALUE_REGISTERS], const rk_attention_head *at, const rk_key_run *runs, int from, int end,
                                const int16_t *weights, size_t stride, const float *before, size_t before_stride, const int count, int first,
                                int elements) {
    for (int q = 0; q < count; q++) {
        for (int r = 0; RK_KEY_LANES * r < elements; r++)
            sums[q][r] = sum_before(WEIGHT_PLANES == 1 && before ? before + (size_t)q * before_stride : NULL, r, elements);
    }
    sum_plane(sums, at, runs, from, end, weights, stride, 0, count, first, elements);
    if (WEIGHT_PLANES == 1) return;
    for (int q = 0; q < count; q++) {
        for (int r = 0; RK_KEY_LANES * r < elements; r++)
            sums[q][r] = sums[q][r] * 256 + sum_before(before ? before + (size_t)q * before_stride : NULL, r, elements);
    }
    sum_plane(sums, at, runs, from, end, weights, stride, 1, count, first, elements);
}

// What sums of integers become where all products are added; else they are kept as they are.
RK_LANES_INLINE void store_sums(float *out, key_integers sums[VALUE_REGISTERS], float factor, const int are_complete, int elements) {
    if (are_complete) put_in_order(sums, elements);
    for (int r = 0; RK_KEY_LANES * r < elements; r++) {
        const key_lanes v = are_complete ? __builtin_convertvector(sums[r], key_lanes) * factor : (key_lanes)sums[r];
        store_lanes(out + RK_KEY_LANES * r, v, elements - RK_KEY_LANES * r);
    }
}

// `elements` of the head from element `first`: the products of the first `shared` keys for `count` queries, added to the sums in `out`.
RK_LANES_INLINE void share_integers(const rk_attention_head *at, float *out, size_t out_stride, const rk_key_run *runs, int shared,
                                    const float *weights, size_t stride, const float *factors, const int count, int first, int elements) {
    key_integers sums[RK_VALUE_QUERIES][VALUE_REGISTERS];
    out += first;
    sum_values(sums, at, runs, 0, shared, (const int16_t *)weights, 2 * stride, out, out_stride, count, first, elements);
    for (int q = 0; q < count; q++) store_sums(out + (size_t)q * out_stride, sums[q], factors[q], 1, elements);
}

RK_LANES_INLINE void share_blocks_int8(const rk_attention_head *at, float *out, size_t out_stride, const rk_key_run *runs, int shared,
                                       const float *weights, size_t stride, const float *factors, const int count) {
    int first = 0;
    for (; first + SHARED_STEP <= at->head_size; first += SHARED_STEP)
        share_integers(at, out, out_stride, runs, shared, weights, stride, factors, count, first, SHARED_STEP);
    for (; first + VALUE_STEP <= at->head_size && SHARED_STEP > VALUE_STEP; first += VALUE_STEP)
        share_integers(at, out, out_stride, runs, shared, weights, stride, factors, count, first, VALUE_STEP);
    RK_NO_UNROLL
    for (int q = 0; q < count && first < at->head_size; q++)
        share_integers(at, out + (size_t)q * out_stride, 0, runs, shared, weights + (size_t)q * stride, 0, factors + q, 1, first,
                       at->head_size - first);
}

// Those of one query's keys from number `done` on. If that is 0 they are all, and are multiplied by `factor`.
RK_LANES_INLINE void add_integers(const rk_attention_head *at, float *out, const rk_key_run *runs, int count, int done, const float *weights,
                                  float factor, int first, int elements) {
    key_integers sums[1][VALUE_REGISTERS];
    sum_values(sums, at, runs, done, count, (const int16_t *)weights, 0, NULL, 0, 1, first, elements);
    if (done) store_sums(out + first, sums[0], factor, 0, elements);
    else store_sums(out + first, sums[0], factor, 1, elements);
}

__attribute__((noinline)) RK_TARGET static void add_values_int8(const rk_attention_head *at, float *out, const rk_key_run *runs, int run_count,
                                                                int done, const float *weights, float factor) {
    const int count = rk_run_total(runs, run_count);
    int first = 0;
    for (; first + 64 <= at->head_size; first += 64) add_integers(at, out, runs, count, done, weights, factor, first, 64);
    for (; first + VALUE_STEP <= at->head_size; first += VALUE_STEP) add_integers(at, out, runs, count, done, weights, factor, first, VALUE_STEP);
    if (first < at->head_size) add_integers(at, out, runs, count, done, weights, factor, first, at->head_size - first);
}

RK_TARGET static void attend(const rk_attention_head *at, float *out, const float *query, const rk_key_run *runs, int run_count,
                             float *scores) {
    if (rk_is_int8(at->caches)) {
        int16_t *integers = (int16_t *)out; // no room is as large, and nothing else is there before the scores are done
        const float factor = quantize_query(at, integers, query);
        add_values_int8(at, out, runs, run_count, 0, scores, score_keys_int8(at, integers, factor, runs, run_count, 0, scores));
    } else {
        add_values_f16(at, out, runs, run_count, 0, scores, score_keys_f16(at, query, runs, run_count, 0, scores));
    }
}

#define SCORE_TILE(n)                                                                                                            \
    prefetch_next_tile(&c, 16, first, first + n, count);                                                                         \
    score_tile(at, tile, queries + (size_t)first * query_stride, query_stride, n, scores + (size_t)first * scores_stride + i, scores_stride)
#define SCORE_TILE_INT8(n)                                                                                                       \
    prefetch_next_tile(&c, keys, first, first + n, count);                                                                       \
    score_tile_int8(at, tile, keys, scales, queries + (size_t)first * query_stride, query_stride, n, factors + first,            \
                    scores + (size_t)first * scores_stride + i, scores_stride)

#define SHARE_BLOCKS(n)                                                                                                          \
    share_blocks(at, out + (size_t)first * out_stride, out_stride, runs, shared, p + (size_t)first * p_stride, p_stride, n)
#define SHARE_BLOCKS_INT8(n)                                                                                                     \
    share_blocks_int8(at, out + (size_t)first * out_stride, out_stride, runs, shared, weights + (size_t)first * stride, stride, factors + first, n)

// The parts of attend_block are functions of their own: inlined, they cost each other registers.
__attribute__((noinline)) RK_TARGET static void share_keys_f16(const rk_attention_head *at, const float *queries, size_t query_stride, int count,
                                                               const rk_key_run *runs, int shared, float *scores, size_t scores_stride,
                                                               float *tile) {
    cursor c = cursor_at(at, sizeof(rk_f16), runs, 0);
    for (int i = 0; i < shared; i += 16) {
        fill_tile(tile, &c, NULL, sizeof(rk_f16), rk_min(16, shared - i), 0);
        RK_FOR_ROWS(count, 4, SCORE_TILE)
    }
}

__attribute__((noinline)) RK_TARGET static void share_keys_int8(const rk_attention_head *at, const int16_t *queries, size_t query_stride,
                                                                const float *factors, int count, const rk_key_run *runs, int shared, float *scores,
                                                                size_t scores_stride, int16_t *tile) {
    cursor c = cursor_at(at, sizeof(int8_t), runs, 0);
    for (int i = 0, keys; i < shared; i += keys) {
        float scales[BYTE_TILE_KEYS];
        keys = shared - i > 16 ? BYTE_TILE_KEYS : 16;
        for (int k = 0; k < keys; k += 16) fill_tile(tile, &c, scales + k, sizeof(int8_t), rk_min(16, shared - i - k), k);
        RK_FOR_ROWS(count, 4, SCORE_TILE_INT8)
    }
}

__attribute__((noinline)) RK_TARGET static void share_values_f16(const rk_attention_head *at, float *out, size_t out_stride, int count,
                                                                 const rk_key_run *runs, int shared, const float *p, size_t p_stride) {
    RK_FOR_ROWS(count, RK_VALUE_QUERIES, SHARE_BLOCKS)
}

__attribute__((noinline)) RK_TARGET static void share_values_int8(const rk_attention_head *at, float *out, size_t out_stride, int count,
                                                                  const rk_key_run *runs, int shared, const float *weights, size_t stride,
                                                                  const float *factors) {
    RK_FOR_ROWS(count, RK_VALUE_QUERIES, SHARE_BLOCKS_INT8)
}

// Where a result will be that another core wrote last: stores that wait for it would keep those of the next scores waiting.
RK_LANES_INLINE void prefetch_result(const rk_attention_head *at, const float *out) {
    for (int i = 0; i < at->head_size; i += 16) __builtin_prefetch(out + i, 1);
}

// How many keys go by tiles, a multiple of 4: a tile of few keys would take as long as a full one.
RK_INLINE int tiled_keys(int shared) { return shared / 4 * 4 - (shared % 16 < 8 ? shared % 16 / 4 * 4 : 0); }

// Where several sequences share a prefix, the last run of a query is its own, which no cache holds: prefetched one query ahead.
RK_LANES_INLINE void prefetch_last_run(const rk_attention_head *at, size_t size, const rk_key_run *runs, int run_count) {
    enum { MOST = 16 }; // lines
    const rk_key_run *run = runs + run_count - 1;
    const char *keys = run_keys(at, run, size);
    const ptrdiff_t lines = (run->count * (ptrdiff_t)at->head_size * (ptrdiff_t)size + 63) / 64;
    for (ptrdiff_t line = 0; line < lines && line < MOST; line++) __builtin_prefetch(keys + 64 * line);
}

// The keys that all queries see first go by tiles, then each one's others by themselves; their values likewise.
RK_LANES_INLINE void attend_block_f16(const rk_attention_head *at, float *out, size_t out_stride, const float *queries, size_t query_stride,
                                      int count, const rk_key_run *runs, const int32_t *run_offsets, float *scores, size_t scores_stride) {
    const int shared = tiled_keys(rk_shared_keys(runs, run_offsets, count));
    float sums[RK_QUERY_BLOCK];
    share_keys_f16(at, queries, query_stride, count, runs + run_offsets[0], shared, scores, scores_stride, scores + (size_t)count * scores_stride);
    for (int q = 0; q < count; q++) {
        if (q + 1 < count) prefetch_last_run(at, sizeof(rk_f16), runs + run_offsets[q + 1], run_offsets[q + 2] - run_offsets[q + 1]);
        sums[q] = score_keys_f16(at, queries + (size_t)q * query_stride, runs + run_offsets[q], run_offsets[q + 1] - run_offsets[q], shared,
                                 scores + (size_t)q * scores_stride);
    }
    if (shared) share_values_f16(at, out, out_stride, count, runs + run_offsets[0], shared, scores, scores_stride);
    for (int q = 0; q < count; q++) {
        add_values_f16(at, out + (size_t)q * out_stride, runs + run_offsets[q], run_offsets[q + 1] - run_offsets[q], shared,
                       scores + (size_t)q * scores_stride, sums[q]);
    }
}

// Likewise, but a query's own values are added first, as their order is free, while they and their weights are in cache.
RK_LANES_INLINE void attend_block_int8(const rk_attention_head *at, float *out, size_t out_stride, const float *queries, size_t query_stride,
                                       int count, const rk_key_run *runs, const int32_t *run_offsets, float *scores, size_t scores_stride) {
    const int shared = tiled_keys(rk_shared_keys(runs, run_offsets, count));
    const size_t stride = rk_padded_head(at->head_size);
    int16_t *tile = (int16_t *)(scores + (size_t)count * scores_stride), *integers = tile + 32 * stride;
    float factors[RK_QUERY_BLOCK];
    for (int q = 0; q < count; q++) factors[q] = quantize_query(at, integers + (size_t)q * stride, queries + (size_t)q * query_stride);
    share_keys_int8(at, integers, stride, factors, count, runs + run_offsets[0], shared, scores, scores_stride, tile);
    for (int q = 0; q < count; q++) {
        const rk_key_run *own = runs + run_offsets[q];
        const int run_count = run_offsets[q + 1] - run_offsets[q];
        float *weights = scores + (size_t)q * scores_stride;
        if (q + 2 < count) prefetch_result(at, out + (size_t)(q + 2) * out_stride);
        if (q + 1 < count) prefetch_last_run(at, sizeof(int8_t), own + run_count, run_offsets[q + 2] - run_offsets[q + 1]);
        factors[q] = score_keys_int8(at, integers + (size_t)q * stride, factors[q], own, run_count, shared, weights);
        add_values_int8(at, out + (size_t)q * out_stride, own, run_count, shared, weights, factors[q]);
    }
    if (shared) share_values_int8(at, out, out_stride, count, runs + run_offsets[0], shared, scores, scores_stride, factors);
}

RK_TARGET static void attend_block(const rk_attention_head *at, float *out, size_t out_stride, const float *queries, size_t query_stride,
                                   int count, const rk_key_run *runs, const int32_t *run_offsets, float *scores, size_t scores_stride) {
    if (rk_is_int8(at->caches)) attend_block_int8(at, out, out_stride, queries, query_stride, count, runs, run_offsets, scores, scores_stride);
    else attend_block_f16(at, out, out_stride, queries, query_stride, count, runs, run_offsets, scores, scores_stride);
}

RK_TARGET static void to_f16(rk_f16 *y, const float *x, int n) {
    for (int i = 0; i < n; i += 16) v16_store_f16_upto(y + i, v16_load_upto(x + i, n - i), n - i);
}

RK_TARGET static float to_int8(int8_t *y, const float *x, int n) {
    float factor;
    const float scale = scale_of(&factor, largest_magnitude(x, n, 0), 127);
    for (int i = 0; i < n; i += 16) {
        const v16_bytes bytes = __builtin_convertvector(quantized(x + i, n - i, factor), v16_bytes);
        if (n - i >= 16) memcpy(y + i, &bytes, sizeof bytes);
        else copy_below_16(y + i, &bytes, n - i, sizeof *y);
    }
    return scale;
}

#define RK_ATTENTION_KERNELS(name) {name, attend, attend_block, to_f16, to_int8}
