// The kernels of rk_attention.h on sixteen lanes; each instruction set includes this once, after defining RK_TARGET, RK_KEY_LANES, the floats of
// a register, on x86-64 RK_ADD_PRODUCTS(sums, a, b), which adds those of pairs of integers, the sums of values that its registers hold: of
// RK_VALUE_QUERIES queries, RK_VALUE_BLOCKS times 16 elements, and RK_FEW_QUERIES, up to how many are few (prefetch_next_tile).
#include "../lanes.h"
#include "../norm/softmax_lanes.h"
#include "attention.h"

// For functions that, inlined, would cost each other registers.
#define APART __attribute__((noinline)) RK_TARGET static

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

// Of all keys of `runs`, one after the other, those with number from ..< end. Functions that are inlined take it by value; others take a pointer, as
// a copy on the stack would wait for the stores before it, and read it once, as stores of scores could change it for all that the compiler knows.
typedef struct key_range {
    const rk_attention_head *at;
    const rk_key_run *runs;
    int from, end;
} key_range;

// Elements first ..< first + width of a head. Functions take a pointer: two integers by value are packed into one on their way, and the compiler then
// sees too late that a width is constant, and leaves sums in memory.
typedef struct span {
    int first, width;
} span;

// A row for each of several queries, `stride` elements apart: scores, the weights that take their place, or results.
typedef struct float_rows {
    float *first;
    size_t stride;
} float_rows;

typedef struct query_rows {
    const float *first;
    size_t stride;
} query_rows;

// Quantized queries. Their dots with keys, times the factor of each, are scores.
typedef struct integer_rows {
    const int16_t *first;
    size_t stride;
    const float *factors;
} integer_rows;

#define ROW(rows, q) ((rows).first + (size_t)(q) * (rows).stride)

// From row q on.
RK_INLINE float_rows rows_from(float_rows rows, int q) { return (float_rows){ROW(rows, q), rows.stride}; }

// Walks over the keys of a query's runs.
typedef struct cursor {
    const rk_attention_head *at;
    const rk_key_run *run; // the next one
    const rk_key_value_cache *cache;
    size_t slot; // of the next key
    const char *key;
    size_t step;         // bytes from a key to the next one
    ptrdiff_t to_values; // from a key to its value
    int left;            // keys of the current run that are still to come
} cursor;

RK_LANES_INLINE void open_run(cursor *c) {
    c->cache = &c->at->caches[c->run->cache];
    c->slot = rk_run_slot(c->at, c->run);
    c->key = (const char *)c->cache->keys + c->slot * c->step;
    c->to_values = (const char *)c->cache->values - (const char *)c->cache->keys;
    c->left = c->run->count;
    c->run++;
}

// At the first key of the range, of elements of `size` bytes.
RK_LANES_INLINE cursor cursor_at(key_range keys, size_t size) {
    cursor c = {.at = keys.at, .run = keys.runs, .step = (size_t)keys.at->head_size * size};
    int skipped = keys.from;
    if (skipped == 0) return c;
    for (; skipped > c.left; open_run(&c)) skipped -= c.left;
    c.slot += (size_t)skipped;
    c.key += (size_t)skipped * c.step;
    c.left -= skipped;
    return c;
}

RK_LANES_INLINE const char *next_key_of_run(cursor *c) {
    const char *key = c->key;
    c->key += c->step;
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

// Four keys. Prefetches their values, so that those are on their way before the last key is read, and later keys of the run at the prefetch distance.
RK_LANES_INLINE void next_keys(cursor *c, const void *keys[4], float *scales, int count) {
    take_keys(c, keys, scales, 4, count);
    const char *first = keys[0];
    const ptrdiff_t bytes = 4 * (ptrdiff_t)c->step, distance = c->at->prefetch_distance;
    for (ptrdiff_t line = 0; line < bytes; line += 64) __builtin_prefetch(first + c->to_values + line);
    if (!distance || c->left * (ptrdiff_t)c->step < distance) return;
    for (ptrdiff_t line = 0; line < bytes; line += 64) __builtin_prefetch(first + distance + line);
}

// Prefetches the next tile's keys and their values, of which the queries first ..< end of `count` take their share: all at once would keep the tile's
// own loads waiting. Few queries leave a tile before memory has brought the next one: they prefetch at a longer distance as well, that and values,
// which are needed later, into L2.
RK_LANES_INLINE void prefetch_next_tile(const cursor *c, int keys, int first, int end, int count) {
    enum { L2_DISTANCE = 2 << 10 };
    const ptrdiff_t lines = keys * (ptrdiff_t)c->step / 64;
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

#if !defined(RK_DOTPROD)
enum { WEIGHT_PLANES = 1 };

RK_LANES_INLINE void store_weights(int16_t *to, v16_short weights) { memcpy(to, &weights, sizeof weights); }

typedef struct weight_rows {
    const int16_t *first;
    size_t stride;
} weight_rows;

// The weights, which lie in place of scores, from that of a key on.
RK_LANES_INLINE weight_rows weights_of(float_rows rows, int key, int always_0) {
    return (weight_rows){(const int16_t *)rows.first + key + always_0, 2 * rows.stride};
}
#endif

#if defined(__aarch64__)
#include "attention_tiles_neon.h"
#else
#include "attention_tiles.h"
#endif

// Scores of the tile's keys, from the beginning of each row on.
RK_LANES_INLINE void score_tile(const rk_attention_head *at, const float *tile, query_rows queries, const int count, float_rows scores) {
    for (int k = 0; k < 16; k += RK_KEY_LANES) {
        key_lanes dots[4];
        if (at->head_size == 64) dots_of_tile(dots, tile + k, queries, count, 64);
        else dots_of_tile(dots, tile + k, queries, count, at->head_size);
        for (int q = 0; q < count; q++) {
            dots[q] *= at->scale;
            memcpy(ROW(scores, q) + k, &dots[q], sizeof dots[q]);
        }
    }
}

// Keys of bytes: sixteen, or BYTE_TILE_KEYS.
typedef struct byte_tile {
    const int16_t *elements;
    const float *scales; // of the keys
    int keys;
} byte_tile;

// Likewise of keys and queries that are integers.
RK_LANES_INLINE void score_tile_int8(const rk_attention_head *at, byte_tile tile, integer_rows queries, const int count, float_rows scores) {
    const int head_size = at->head_size;
    for (int k = 0; k < tile.keys;) {
        const int registers = tile.keys - k < SCORED_REGISTERS * RK_KEY_LANES ? 1 : SCORED_REGISTERS;
        const int16_t *keys = tile.elements + offset_in_tile(k, head_size);
        key_integers dots[4][SCORED_REGISTERS];
        if (head_size == 64 && registers == SCORED_REGISTERS) dots_of_tile_int8(dots, keys, queries, count, 64, SCORED_REGISTERS);
        else if (registers == SCORED_REGISTERS) dots_of_tile_int8(dots, keys, queries, count, head_size, SCORED_REGISTERS);
        else dots_of_tile_int8(dots, keys, queries, count, head_size, 1);
        for (int r = 0; r < registers; r++, k += RK_KEY_LANES) {
            key_lanes scale;
            memcpy(&scale, tile.scales + k, sizeof scale);
            for (int q = 0; q < count; q++) {
                const key_lanes score = __builtin_convertvector(dots[q][r], key_lanes) * scale * queries.factors[q];
                memcpy(ROW(scores, q) + k, &score, sizeof score);
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

APART float softmax_of_scores(float *scores, int count) { return softmax_of(scores, count, 1); }

// Scores of the keys of the range, `from` a multiple of 4, then the softmax of all up to its end. Returns its sum.
APART float score_keys_f16(const key_range *range, const float *query, float *scores) {
    const key_range keys = *range;
    const rk_attention_head *at = keys.at;
    cursor c = cursor_at(keys, sizeof(rk_f16));
    for (int i = keys.from; i < keys.end; i += 4) {
        const void *four[4];
        next_keys(&c, four, NULL, keys.end - i);
        const v4 dots = dots_of_keys_f16(query, four, at->head_size) * (v4){at->scale, at->scale, at->scale, at->scale};
        memcpy(scores + i, &dots, sizeof dots);
    }
    return softmax_of_scores(scores, keys.end);
}

// Likewise with a quantized query, whose factor is the scale times its own, and what `weigh` makes of the scores and returns.
APART float score_keys_int8(const key_range *range, const int16_t *query, float factor, float *scores) {
    const key_range keys = *range;
    cursor c = cursor_at(keys, sizeof(int8_t));
    for (int i = keys.from; i < keys.end; i += 4) {
        const void *four[4];
        float scales[4];
        next_keys(&c, four, scales, keys.end - i);
        const v4 score = dots_of_keys_int8(query, four, keys.at->head_size) * (v4){scales[0], scales[1], scales[2], scales[3]} * factor;
        memcpy(scores + i, &score, sizeof score);
    }
    return weigh(keys.at, scores, keys.end, keys.runs);
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

// The values of the range's keys, added to `out` if other keys are before it, then the division by `sum`. The elements are `blocks` times 16, of
// which `part` is the first, or one part of fewer.
RK_LANES_INLINE void add_values(key_range keys, float *out, const float *p, float sum, const span *part, const int blocks) {
    const size_t step = (size_t)keys.at->head_size * sizeof(rk_f16);
    const float *end = p + keys.end;
    int done = keys.from;
    v16 sums[4] = {{0}, {0}, {0}, {0}};
    out += part->first;
    for (int b = 0; b < blocks && done; b++) sums[b] = v16_load_upto(out + 16 * b, part->width);
    p += done;
    for (const rk_key_run *run = keys.runs; p < end; run++) {
        const int skipped = rk_min(done, run->count);
        const char *value = run_values(keys.at, run, sizeof(rk_f16)) + (size_t)skipped * step;
        for (int s = skipped; s < run->count; s++, value += step, p++)
            for (int b = 0; b < blocks; b++)
                sums[b] = v16_fma(v16_splat(*p), v16_load_f16_upto((const rk_f16 *)value + part->first + 16 * b, part->width), sums[b]);
        done -= skipped;
    }
    for (int b = 0; b < blocks; b++) v16_store_upto(out + 16 * b, sums[b] / v16_splat(sum), part->width);
}

APART void add_values_f16(const key_range *range, float *out, const float *p, float sum) {
    const key_range keys = *range;
    const int head_size = keys.at->head_size;
    int first = 0;
    for (; first + 64 <= head_size; first += 64) add_values(keys, out, p, sum, &(span){first, 16}, 4);
    for (; first + 32 <= head_size; first += 32) add_values(keys, out, p, sum, &(span){first, 16}, 2);
    for (; first + 16 <= head_size; first += 16) add_values(keys, out, p, sum, &(span){first, 16}, 1);
    if (first < head_size) add_values(keys, out, p, sum, &(span){first, head_size - first}, 1);
}

// Adds the products of the keys of the range, `from` a multiple of 4, with a plane of their weights, for `count` queries. Past the end weights are 0.
RK_LANES_INLINE void sum_plane(key_integers sums[][VALUE_REGISTERS], key_range keys, float_rows weights, const int plane, const int count,
                               const span *part) {
    cursor c = cursor_at(keys, sizeof(int8_t));
    const int8_t *values[VALUE_KEYS];
    for (int i = keys.from; i < keys.end; i += VALUE_KEYS) {
        for (; c.left >= VALUE_KEYS && i + VALUE_KEYS <= keys.end; i += VALUE_KEYS) {
            RK_UNROLL
            for (int k = 0; k < VALUE_KEYS; k++) values[k] = next_value_of_run(&c);
            add_products_of_values(sums, values, weights_of(weights, i, plane), count, part);
        }
        if (i >= keys.end) break;
        for (int k = 0; k < VALUE_KEYS; k++) values[k] = k < keys.end - i ? next_value(&c) : values[k - 1];
        add_products_of_values(sums, values, weights_of(weights, i, plane), count, part);
    }
}

RK_LANES_INLINE key_integers sum_before(const float *before, int r, int elements) {
    return before ? (key_integers)load_lanes(before + RK_KEY_LANES * r, elements - RK_KEY_LANES * r) : (key_integers){0};
}

// All products of those keys, added to earlier sums if there are any. A weight is its planes, one after the other as digits of eight bits.
RK_LANES_INLINE void sum_values(key_integers sums[][VALUE_REGISTERS], key_range keys, float_rows weights, float_rows before, const int count,
                                const span *part) {
    for (int q = 0; q < count; q++) {
        for (int r = 0; RK_KEY_LANES * r < part->width; r++)
            sums[q][r] = sum_before(WEIGHT_PLANES == 1 && before.first ? ROW(before, q) : NULL, r, part->width);
    }
    sum_plane(sums, keys, weights, 0, count, part);
    if (WEIGHT_PLANES == 1) return;
    for (int q = 0; q < count; q++) {
        for (int r = 0; RK_KEY_LANES * r < part->width; r++)
            sums[q][r] = sums[q][r] * 256 + sum_before(before.first ? ROW(before, q) : NULL, r, part->width);
    }
    sum_plane(sums, keys, weights, 1, count, part);
}

// What sums of integers become where all products are added; else they are kept as they are.
RK_LANES_INLINE void store_sums(float *out, key_integers sums[VALUE_REGISTERS], float factor, const int are_complete, int elements) {
    if (are_complete) put_in_order(sums, elements);
    for (int r = 0; RK_KEY_LANES * r < elements; r++) {
        const key_lanes v = are_complete ? __builtin_convertvector(sums[r], key_lanes) * factor : (key_lanes)sums[r];
        store_lanes(out + RK_KEY_LANES * r, v, elements - RK_KEY_LANES * r);
    }
}

// The products of the keys that `count` queries share, added to the sums in `out`, and what all of them become.
RK_LANES_INLINE void share_integers(key_range keys, float_rows out, float_rows weights, const float *factors, const int count, const span *part) {
    key_integers sums[RK_VALUE_QUERIES][VALUE_REGISTERS];
    out.first += part->first;
    sum_values(sums, keys, weights, out, count, part);
    RK_UNROLL
    for (int q = 0; q < count; q++) store_sums(ROW(out, q), sums[q], factors[q], 1, part->width);
}

RK_LANES_INLINE void share_blocks_int8(key_range keys, float_rows out, float_rows weights, const float *factors, const int count) {
    const int head_size = keys.at->head_size;
    int first = 0;
    for (; first + SHARED_STEP <= head_size; first += SHARED_STEP)
        share_integers(keys, out, weights, factors, count, &(span){first, SHARED_STEP});
    for (; first + VALUE_STEP <= head_size && SHARED_STEP > VALUE_STEP; first += VALUE_STEP)
        share_integers(keys, out, weights, factors, count, &(span){first, VALUE_STEP});
    RK_NO_UNROLL
    for (int q = 0; q < count && first < head_size; q++)
        share_integers(keys, rows_from(out, q), rows_from(weights, q), factors + q, 1, &(span){first, head_size - first});
}

// Those of one query with the range's keys. If these are all that it sees, they are multiplied by `factor`.
RK_LANES_INLINE void add_integers(key_range keys, float *out, float *weights, float factor, const span *part) {
    key_integers sums[1][VALUE_REGISTERS];
    sum_values(sums, keys, (float_rows){weights, 0}, (float_rows){NULL, 0}, 1, part);
    if (keys.from) store_sums(out + part->first, sums[0], factor, 0, part->width);
    else store_sums(out + part->first, sums[0], factor, 1, part->width);
}

APART void add_values_int8(const key_range *range, float *out, float *weights, float factor) {
    const key_range keys = *range;
    const int head_size = keys.at->head_size;
    int first = 0;
    for (; first + 64 <= head_size; first += 64) add_integers(keys, out, weights, factor, &(span){first, 64});
    for (; first + VALUE_STEP <= head_size; first += VALUE_STEP) add_integers(keys, out, weights, factor, &(span){first, VALUE_STEP});
    if (first < head_size) add_integers(keys, out, weights, factor, &(span){first, head_size - first});
}

RK_TARGET static void attend(const rk_attention_head *at, float *out, const float *query, const rk_key_run *runs, int run_count,
                             float *scores) {
    const key_range keys = {at, runs, 0, rk_run_total(runs, run_count)};
    if (rk_is_int8(at->caches)) {
        int16_t *integers = (int16_t *)out; // no room is as large, and nothing else is there before the scores are done
        const float factor = quantize_query(at, integers, query);
        add_values_int8(&keys, out, scores, score_keys_int8(&keys, integers, factor, scores));
    } else {
        add_values_f16(&keys, out, scores, score_keys_f16(&keys, query, scores));
    }
}

// The keys of query q of a block from number `from` on.
RK_LANES_INLINE key_range own_keys(const rk_attention_head *at, const rk_attention_block *block, int q, int from) {
    const int32_t *offsets = block->run_offsets + q;
    const rk_key_run *runs = block->runs + offsets[0];
    return (key_range){at, runs, from, rk_run_total(runs, offsets[1] - offsets[0])};
}

// The first `shared` ones, which all queries of the block see.
RK_LANES_INLINE key_range shared_keys(const rk_attention_head *at, const rk_attention_block *block, int shared) {
    return (key_range){at, block->runs + block->run_offsets[0], 0, shared};
}

RK_LANES_INLINE query_rows queries_of(const rk_attention_block *block) { return (query_rows){block->queries, block->query_stride}; }
RK_LANES_INLINE float_rows results_of(const rk_attention_block *block) { return (float_rows){block->out, block->out_stride}; }
RK_LANES_INLINE float_rows scores_of(const rk_attention_block *block) { return (float_rows){block->scores, block->scores_stride}; }

#define SCORE_TILE(n)                                                                                                            \
    prefetch_next_tile(&c, 16, first, first + n, count);                                                                         \
    score_tile(at, tile, (query_rows){ROW(queries, first), queries.stride}, n, (float_rows){ROW(scores, first) + i, scores.stride})
#define SCORE_TILE_INT8(n)                                                                                                       \
    prefetch_next_tile(&c, tile.keys, first, first + n, count);                                                                  \
    score_tile_int8(at, tile, (integer_rows){ROW(queries, first), queries.stride, queries.factors + first}, n,                   \
                    (float_rows){ROW(scores, first) + i, scores.stride})

#define SHARE_BLOCKS(n) share_blocks(keys, rows_from(out, first), rows_from(p, first), n)
#define SHARE_BLOCKS_INT8(n) share_blocks_int8(keys, rows_from(out, first), rows_from(weights, first), factors + first, n)

APART void share_keys_f16(const rk_attention_head *at, const rk_attention_block *block, int shared) {
    const int count = block->count;
    const query_rows queries = queries_of(block);
    const float_rows scores = scores_of(block);
    float *tile = ROW(scores, count);
    cursor c = cursor_at(shared_keys(at, block, shared), sizeof(rk_f16));
    for (int i = 0; i < shared; i += 16) {
        fill_tile(tile, &c, NULL, sizeof(rk_f16), rk_min(16, shared - i), 0);
        RK_FOR_ROWS(count, 4, SCORE_TILE)
    }
}

APART void share_keys_int8(const rk_attention_head *at, const rk_attention_block *block, int shared, integer_rows queries, int16_t *elements) {
    const int count = block->count;
    const float_rows scores = scores_of(block);
    cursor c = cursor_at(shared_keys(at, block, shared), sizeof(int8_t));
    float scales[BYTE_TILE_KEYS];
    byte_tile tile = {elements, scales, 0};
    for (int i = 0; i < shared; i += tile.keys) {
        tile.keys = shared - i > 16 ? BYTE_TILE_KEYS : 16;
        for (int k = 0; k < tile.keys; k += 16) fill_tile(elements, &c, scales + k, sizeof(int8_t), rk_min(16, shared - i - k), k);
        RK_FOR_ROWS(count, 4, SCORE_TILE_INT8)
    }
}

APART void share_values_f16(const rk_attention_head *at, const rk_attention_block *block, int shared) {
    const int count = block->count;
    const key_range keys = shared_keys(at, block, shared);
    const float_rows out = results_of(block), p = scores_of(block);
    RK_FOR_ROWS(count, RK_VALUE_QUERIES, SHARE_BLOCKS)
}

APART void share_values_int8(const rk_attention_head *at, const rk_attention_block *block, int shared, const float *factors) {
    const int count = block->count;
    const key_range keys = shared_keys(at, block, shared);
    const float_rows out = results_of(block), weights = scores_of(block);
    RK_FOR_ROWS(count, RK_VALUE_QUERIES, SHARE_BLOCKS_INT8)
}

// Where a result will be that another core wrote last: stores that wait for it would keep those of the next scores waiting.
RK_LANES_INLINE void prefetch_result(const rk_attention_head *at, const float *out) {
    for (int i = 0; i < at->head_size; i += 16) __builtin_prefetch(out + i, 1);
}

// Where several sequences share a prefix, the last run of a query is its own, which no cache holds: prefetched one query ahead.
RK_LANES_INLINE void prefetch_last_run(const rk_attention_head *at, size_t size, const rk_attention_block *block, int q) {
    enum { MOST = 16 }; // lines
    const rk_key_run *run = block->runs + block->run_offsets[q + 1] - 1;
    const char *keys = run_keys(at, run, size);
    const ptrdiff_t lines = (run->count * (ptrdiff_t)at->head_size * (ptrdiff_t)size + 63) / 64;
    for (ptrdiff_t line = 0; line < lines && line < MOST; line++) __builtin_prefetch(keys + 64 * line);
    const rk_key_value_cache *cache = &at->caches[run->cache];
    if (!rk_is_int8(cache)) return;
    const size_t slot = rk_run_slot(at, run);
    for (int k = 0; k < rk_min(run->count, MOST); k += 16) {
        __builtin_prefetch(cache->key_scales + slot + k);
        __builtin_prefetch(cache->value_scales + slot + k);
    }
}

// How many keys go by tiles, a multiple of 4: a tile of few keys would take as long as a full one.
RK_INLINE int tiled_keys(const rk_attention_block *block) {
    const int shared = rk_shared_keys(block->runs, block->run_offsets, block->count);
    return shared / 4 * 4 - (shared % 16 < 8 ? shared % 16 / 4 * 4 : 0);
}

// The keys that all queries see first go by tiles, then each one's others by themselves; their values likewise.
RK_LANES_INLINE void attend_block_f16(const rk_attention_head *at, const rk_attention_block *block) {
    const int count = block->count, shared = tiled_keys(block);
    const query_rows queries = queries_of(block);
    const float_rows out = results_of(block), scores = scores_of(block);
    key_range own[RK_QUERY_BLOCK];
    float sums[RK_QUERY_BLOCK];
    share_keys_f16(at, block, shared);
    for (int q = 0; q < count; q++) {
        if (q + 1 < count) prefetch_last_run(at, sizeof(rk_f16), block, q + 1);
        own[q] = own_keys(at, block, q, shared);
        sums[q] = score_keys_f16(&own[q], ROW(queries, q), ROW(scores, q));
    }
    if (shared) share_values_f16(at, block, shared);
    for (int q = 0; q < count; q++) add_values_f16(&own[q], ROW(out, q), ROW(scores, q), sums[q]);
}

// Likewise, but a query's own values are added first, as their order is free, while they and their weights are in cache.
RK_LANES_INLINE void attend_block_int8(const rk_attention_head *at, const rk_attention_block *block) {
    const int count = block->count, shared = tiled_keys(block);
    const query_rows queries = queries_of(block);
    const float_rows out = results_of(block), scores = scores_of(block);
    const size_t stride = rk_padded_head(at->head_size);
    int16_t *tile = (int16_t *)ROW(scores, count), *integers = tile + 32 * stride;
    float factors[RK_QUERY_BLOCK];
    for (int q = 0; q < count; q++) factors[q] = quantize_query(at, integers + (size_t)q * stride, ROW(queries, q));
    share_keys_int8(at, block, shared, (integer_rows){integers, stride, factors}, tile);
    for (int q = 0; q < count; q++) {
        const key_range own = own_keys(at, block, q, shared);
        if (q + 2 < count) prefetch_result(at, ROW(out, q + 2));
        if (q + 1 < count) prefetch_last_run(at, sizeof(int8_t), block, q + 1);
        factors[q] = score_keys_int8(&own, integers + (size_t)q * stride, factors[q], ROW(scores, q));
        add_values_int8(&own, ROW(out, q), ROW(scores, q), factors[q]);
    }
    if (shared) share_values_int8(at, block, shared, factors);
}

RK_TARGET static void attend_block(const rk_attention_head *at, const rk_attention_block *block) {
    if (rk_is_int8(at->caches)) attend_block_int8(at, block);
    else attend_block_f16(at, block);
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
