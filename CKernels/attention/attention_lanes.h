// The kernels of rk_attention.h on sixteen lanes; each instruction set includes this once, after defining RK_TARGET, RK_SOFTMAX, the
// softmax of its rk_norm_kernels, RK_KEY_LANES, the floats of a register, the sums of values that its registers hold: of RK_VALUE_QUERIES
// queries, RK_VALUE_BLOCKS times 16 elements, and RK_FEW_QUERIES, up to how many are few (prefetch_next_tile).
#include "../lanes.h"
#include "../norm/norm.h"
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

// Of the quantization of x to integers up to `limit`: see attention_scalar.c.
RK_LANES_INLINE float scale_of(float *factor, const float *x, int n, float limit) {
    const float largest = largest_magnitude(x, n, 0);
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
    const char *key;
    size_t size;         // of an element
    ptrdiff_t to_values; // from a key to its value
    int left;            // keys of the current run that are still to come
} cursor;

RK_LANES_INLINE void open_run(cursor *c) {
    const rk_key_value_cache *cache = &c->at->caches[c->run->cache];
    c->key = run_keys(c->at, c->run, c->size);
    c->to_values = (const char *)cache->values - (const char *)cache->keys;
    c->left = c->run->count;
    c->run++;
}

// At key number `skipped`.
RK_LANES_INLINE cursor cursor_at(const rk_attention_head *at, size_t size, const rk_key_run *runs, int skipped) {
    cursor c = {.at = at, .run = runs, .size = size};
    if (skipped == 0) return c;
    for (; skipped > c.left; open_run(&c)) skipped -= c.left;
    c.key += (size_t)skipped * (size_t)at->head_size * size;
    c.left -= skipped;
    return c;
}

RK_LANES_INLINE const void *next_key(cursor *c) {
    while (c->left == 0) open_run(c);
    const char *key = c->key;
    c->key += (size_t)c->at->head_size * c->size;
    c->left--;
    return key;
}

// The next four keys, then, where only `count` are left, the last one again. Prefetches their values, so that those are on their way before the last
// key is read, and later keys at the prefetch distance.
RK_LANES_INLINE void next_keys(cursor *c, const void *keys[4], int count) {
    for (int k = 0; k < 4; k++) keys[k] = k < count ? next_key(c) : keys[k - 1];
    const char *first = keys[0];
    const ptrdiff_t bytes = 4 * (ptrdiff_t)c->at->head_size * (ptrdiff_t)c->size, distance = c->at->prefetch_distance;
    for (ptrdiff_t line = 0; line < bytes; line += 64) __builtin_prefetch(first + c->to_values + line);
    for (ptrdiff_t line = 0; line < bytes && distance; line += 64) __builtin_prefetch(first + distance + line);
}

// Likewise sixteen keys, without prefetch.
RK_LANES_INLINE void tile_keys(cursor *c, const void *keys[16], int count) {
    for (int k = 0; k < 16; k++) keys[k] = k < count ? next_key(c) : keys[k - 1];
}

// Prefetches the next tile's keys and their values, of which the queries first ..< end of `count` take their share: all at once would keep the tile's
// own loads waiting. Few queries leave a tile before memory has brought the next one: they prefetch at a longer distance as well, that and values,
// which are needed later, into L2.
RK_LANES_INLINE void prefetch_next_tile(const cursor *c, int first, int end, int count) {
    enum { L2_DISTANCE = 2 << 10 };
    const ptrdiff_t lines = 16 * (ptrdiff_t)c->at->head_size * (ptrdiff_t)c->size / 64;
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

RK_LANES_INLINE v16 load_value(const char *value, int first, int width, size_t size) {
    if (size == sizeof(rk_f16)) return v16_load_f16_upto((const rk_f16 *)value + first, width);
    return __builtin_convertvector(v16_load_bytes_upto((const int8_t *)value + first, width), v16);
}

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

// Likewise of keys and queries that are integers: their dots, as floats.
RK_LANES_INLINE void score_tile_int8(const rk_attention_head *at, const int16_t *tile, const int16_t *queries, size_t stride, const int count,
                                     float *scores, size_t scores_stride) {
    for (int k = 0; k < 16; k += RK_KEY_LANES) {
        key_integers dots[4];
        const int16_t *keys = tile + KEY_INTEGERS * k;
        if (at->head_size == 64) dots_of_tile_int8(dots, keys, queries, stride, count, 64);
        else dots_of_tile_int8(dots, keys, queries, stride, count, at->head_size);
        for (int q = 0; q < count; q++) {
            const key_lanes floats = __builtin_convertvector(dots[q], key_lanes);
            memcpy(scores + (size_t)q * scores_stride + k, &floats, sizeof floats);
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

// x[i] = x[i] * scale of key or value i * factor.
RK_LANES_INLINE void multiply_by_scales(const rk_attention_head *at, float *x, const rk_key_run *runs, int run_count, int is_value,
                                        float factor) {
    for (int r = 0; r < run_count; r++) {
        const rk_key_value_cache *cache = &at->caches[runs[r].cache];
        const float *scales = (is_value ? cache->value_scales : cache->key_scales) + rk_run_slot(at, &runs[r]);
        const int count = runs[r].count;
        int s = 0;
        for (; s + 16 <= count; s += 16) {
            const v16 v = v16_load(x + s) * v16_load(scales + s);
            v16_store(x + s, is_value ? v : v * v16_splat(factor));
        }
#pragma clang loop vectorize(disable) unroll(disable) // few, and never the same number
        for (; s < count; s++) x[s] = is_value ? x[s] * scales[s] : x[s] * scales[s] * factor;
        x += count;
    }
}

// Scores of the keys from number `done` on, a multiple of 4, then the softmax of all. Returns its sum.
__attribute__((noinline)) RK_TARGET static float score_keys_f16(const rk_attention_head *at, const float *query, const rk_key_run *runs,
                                                                int run_count, int done, float *scores) {
    const int count = rk_run_total(runs, run_count);
    cursor c = cursor_at(at, sizeof(rk_f16), runs, done);
    for (int i = done; i < count; i += 4) {
        const void *keys[4];
        next_keys(&c, keys, count - i);
        const v4 dots = dots_of_keys_f16(query, keys, at->head_size) * (v4){at->scale, at->scale, at->scale, at->scale};
        memcpy(scores + i, &dots, sizeof dots);
    }
    return RK_SOFTMAX(scores, count);
}

// Likewise with a quantized query, whose factor is the scale times its own; the first `done` scores are dots. In the end the
// probabilities are multiplied by the scales of the values.
__attribute__((noinline)) RK_TARGET static float score_keys_int8(const rk_attention_head *at, const int16_t *query, float factor,
                                                                 const rk_key_run *runs, int run_count, int done, float *scores) {
    const int count = rk_run_total(runs, run_count);
    cursor c = cursor_at(at, sizeof(int8_t), runs, done);
    for (int i = done; i < count; i += 4) {
        const void *keys[4];
        next_keys(&c, keys, count - i);
        const v4 dots = dots_of_keys_int8(query, keys, at->head_size);
        memcpy(scores + i, &dots, sizeof dots);
    }
    multiply_by_scales(at, scores, runs, run_count, 0, factor);
    const float sum = RK_SOFTMAX(scores, count);
    multiply_by_scales(at, scores, runs, run_count, 1, 1);
    return sum;
}

// The query as integers, a pair of them where the last one stands alone. They lie where its result will be: that is not written before the scores
// are done.
RK_LANES_INLINE float quantize_query(const rk_attention_head *at, int16_t *y, const float *query) {
    const int n = at->head_size;
    float factor;
    const float scale = scale_of(&factor, query, n, (float)rk_query_limit(n));
    for (int i = 0; i < n; i += 16) {
        const v16_short shorts = __builtin_convertvector(quantized(query + i, n - i, factor), v16_short);
        if (n - i >= 15) memcpy(y + i, &shorts, sizeof shorts);
        else copy_below_16(y + i, &shorts, rk_divide_up(n - i, 2) * 2, sizeof *y);
    }
    return at->scale * scale;
}

// `blocks` times 16 elements of the head from element `first`, or one block of `width` < 16: the values of the keys from number
// `done` on, added to `out` if that is not 0; then the division by `sum`.
RK_LANES_INLINE void add_values(const rk_attention_head *at, size_t size, float *out, const rk_key_run *runs, int run_count, int done,
                                const float *p, float sum, int first, int blocks, int width) {
    const size_t step = (size_t)at->head_size * size;
    v16 sums[4] = {{0}, {0}, {0}, {0}};
    for (int b = 0; b < blocks && done; b++) sums[b] = v16_load_upto(out + first + 16 * b, width);
    p += done;
    for (int r = 0; r < run_count; r++) {
        const int skipped = rk_min(done, runs[r].count);
        const char *value = run_values(at, &runs[r], size) + (size_t)skipped * step;
        for (int s = skipped; s < runs[r].count; s++, value += step, p++)
            for (int b = 0; b < blocks; b++)
                sums[b] = v16_fma(v16_splat(*p), load_value(value, first + 16 * b, width, size), sums[b]);
        done -= skipped;
    }
    for (int b = 0; b < blocks; b++) v16_store_upto(out + first + 16 * b, sums[b] / v16_splat(sum), width);
}

RK_LANES_INLINE void add_blocks(const rk_attention_head *at, size_t size, float *out, const rk_key_run *runs, int run_count, int done,
                                const float *p, float sum) {
    int first = 0;
    for (; first + 64 <= at->head_size; first += 64) add_values(at, size, out, runs, run_count, done, p, sum, first, 4, 16);
    for (; first + 32 <= at->head_size; first += 32) add_values(at, size, out, runs, run_count, done, p, sum, first, 2, 16);
    for (; first + 16 <= at->head_size; first += 16) add_values(at, size, out, runs, run_count, done, p, sum, first, 1, 16);
    if (first < at->head_size) add_values(at, size, out, runs, run_count, done, p, sum, first, 1, at->head_size - first);
}

__attribute__((noinline)) RK_TARGET static void add_all_values(const rk_attention_head *at, float *out, const rk_key_run *runs,
                                                               int run_count, int done, const float *p, float sum) {
    if (rk_is_int8(at->caches)) add_blocks(at, sizeof(int8_t), out, runs, run_count, done, p, sum);
    else add_blocks(at, sizeof(rk_f16), out, runs, run_count, done, p, sum);
}

RK_TARGET static void attend(const rk_attention_head *at, float *out, const float *query, const rk_key_run *runs, int run_count,
                             float *scores) {
    float sum;
    if (rk_is_int8(at->caches)) {
        const float factor = quantize_query(at, (int16_t *)out, query);
        sum = score_keys_int8(at, (const int16_t *)out, factor, runs, run_count, 0, scores);
    } else {
        sum = score_keys_f16(at, query, runs, run_count, 0, scores);
    }
    add_all_values(at, out, runs, run_count, 0, scores, sum);
}

#define SCORE_WITH(score, n)                                                                                                     \
    prefetch_next_tile(&c, first, first + n, count);                                                                             \
    score(at, tile, queries + (size_t)first * query_stride, query_stride, n, scores + (size_t)first * scores_stride + i, scores_stride)
#define SCORE_TILE(n) SCORE_WITH(score_tile, n)
#define SCORE_TILE_INT8(n) SCORE_WITH(score_tile_int8, n)

#define SHARE_BLOCKS(n)                                                                                                          \
    share_blocks(at, size, out + (size_t)first * out_stride, out_stride, runs, shared, p + (size_t)first * p_stride, p_stride, n)

// The parts of attend_block are functions of their own: inlined, they cost each other registers.
__attribute__((noinline)) RK_TARGET static void share_keys_f16(const rk_attention_head *at, const float *queries, size_t query_stride, int count,
                                                               const rk_key_run *runs, int shared, float *scores, size_t scores_stride,
                                                               float *tile) {
    cursor c = cursor_at(at, sizeof(rk_f16), runs, 0);
    for (int i = 0; i < shared; i += 16) {
        fill_tile(tile, &c, sizeof(rk_f16), rk_min(16, shared - i));
        RK_FOR_ROWS(count, 4, SCORE_TILE)
    }
}

__attribute__((noinline)) RK_TARGET static void share_keys_int8(const rk_attention_head *at, const int16_t *queries, size_t query_stride, int count,
                                                                const rk_key_run *runs, int shared, float *scores, size_t scores_stride,
                                                                int16_t *tile) {
    cursor c = cursor_at(at, sizeof(int8_t), runs, 0);
    for (int i = 0; i < shared; i += 16) {
        fill_tile(tile, &c, sizeof(int8_t), rk_min(16, shared - i));
        RK_FOR_ROWS(count, 4, SCORE_TILE_INT8)
    }
}

__attribute__((noinline)) RK_TARGET static void share_values_f16(const rk_attention_head *at, float *out, size_t out_stride, int count,
                                                                 const rk_key_run *runs, int shared, const float *p, size_t p_stride) {
    enum { size = sizeof(rk_f16) };
    RK_FOR_ROWS(count, RK_VALUE_QUERIES, SHARE_BLOCKS)
}

__attribute__((noinline)) RK_TARGET static void share_values_int8(const rk_attention_head *at, float *out, size_t out_stride, int count,
                                                                  const rk_key_run *runs, int shared, const float *p, size_t p_stride) {
    enum { size = sizeof(int8_t) };
    RK_FOR_ROWS(count, RK_VALUE_QUERIES, SHARE_BLOCKS)
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

// Scores of queries with the keys that all of them see first, by tiles, then each one's with the others. Returns how many keys were shared.
RK_TARGET RK_INLINE int score_block_f16(const rk_attention_head *at, const float *queries, size_t query_stride, int count, const rk_key_run *runs,
                                        const int32_t *run_offsets, float *scores, size_t scores_stride, float *sums) {
    const int shared = tiled_keys(rk_shared_keys(runs, run_offsets, count));
    share_keys_f16(at, queries, query_stride, count, runs + run_offsets[0], shared, scores, scores_stride, scores + (size_t)count * scores_stride);
    for (int q = 0; q < count; q++) {
        if (q + 1 < count) prefetch_last_run(at, sizeof(rk_f16), runs + run_offsets[q + 1], run_offsets[q + 2] - run_offsets[q + 1]);
        sums[q] = score_keys_f16(at, queries + (size_t)q * query_stride, runs + run_offsets[q], run_offsets[q + 1] - run_offsets[q], shared,
                                 scores + (size_t)q * scores_stride);
    }
    return shared;
}

// Likewise; `integers` takes the quantized queries.
RK_TARGET RK_INLINE int score_block_int8(const rk_attention_head *at, const float *queries, size_t query_stride, int count, const rk_key_run *runs,
                                         const int32_t *run_offsets, float *scores, size_t scores_stride, float *sums, int16_t *integers,
                                         size_t stride) {
    const int shared = tiled_keys(rk_shared_keys(runs, run_offsets, count));
    float factors[RK_QUERY_BLOCK];
    for (int q = 0; q < count; q++) factors[q] = quantize_query(at, integers + (size_t)q * stride, queries + (size_t)q * query_stride);
    share_keys_int8(at, integers, stride, count, runs + run_offsets[0], shared, scores, scores_stride,
                    (int16_t *)(scores + (size_t)count * scores_stride));
    for (int q = 0; q < count; q++) {
        if (q + 1 < count) prefetch_last_run(at, sizeof(int8_t), runs + run_offsets[q + 1], run_offsets[q + 2] - run_offsets[q + 1]);
        sums[q] = score_keys_int8(at, integers + (size_t)q * stride, factors[q], runs + run_offsets[q], run_offsets[q + 1] - run_offsets[q], shared,
                                  scores + (size_t)q * scores_stride);
    }
    return shared;
}

RK_TARGET static void attend_block(const rk_attention_head *at, float *out, size_t out_stride, const float *queries, size_t query_stride,
                                   int count, const rk_key_run *runs, const int32_t *run_offsets, float *scores, size_t scores_stride) {
    float sums[RK_QUERY_BLOCK];
    int shared;
    if (rk_is_int8(at->caches)) {
        shared = score_block_int8(at, queries, query_stride, count, runs, run_offsets, scores, scores_stride, sums, (int16_t *)out, 2 * out_stride);
        if (shared) share_values_int8(at, out, out_stride, count, runs + run_offsets[0], shared, scores, scores_stride);
    } else {
        shared = score_block_f16(at, queries, query_stride, count, runs, run_offsets, scores, scores_stride, sums);
        if (shared) share_values_f16(at, out, out_stride, count, runs + run_offsets[0], shared, scores, scores_stride);
    }
    for (int q = 0; q < count; q++) {
        add_all_values(at, out + (size_t)q * out_stride, runs + run_offsets[q], run_offsets[q + 1] - run_offsets[q], shared,
                       scores + (size_t)q * scores_stride, sums[q]);
    }
}

RK_TARGET static void to_f16(rk_f16 *y, const float *x, int n) {
    for (int i = 0; i < n; i += 16) v16_store_f16_upto(y + i, v16_load_upto(x + i, n - i), n - i);
}

RK_TARGET static float to_int8(int8_t *y, const float *x, int n) {
    float factor;
    const float scale = scale_of(&factor, x, n, 127);
    for (int i = 0; i < n; i += 16) {
        const v16_bytes bytes = __builtin_convertvector(quantized(x + i, n - i, factor), v16_bytes);
        if (n - i >= 16) memcpy(y + i, &bytes, sizeof bytes);
        else copy_below_16(y + i, &bytes, n - i, sizeof *y);
    }
    return scale;
}

#define RK_ATTENTION_KERNELS(name) {name, attend, attend_block, to_f16, to_int8}
