#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "harness.h"

enum { CACHES = 2, MAX_RUNS = 64, MAX_KEYS = 1408 };

#define COUNT(array) (sizeof(array) / sizeof *(array))

typedef enum format { F16, INT8, FORMATS } format;
static const char *const format_names[FORMATS] = {"f16", "int8"};

// The prefetch distance of keys where they are prefetched.
enum { DISTANCE = 2 << 10 };

// Caches whose last key and value, and their scales, end at forbidden memory.
typedef struct caches {
    rk_key_value_cache cache[CACHES];
} caches;

static caches make_caches(format f, int heads, int slots, int head_size, test_pattern pattern, float limit) {
    caches c;
    const size_t rows = (size_t)heads * (size_t)slots, count = rows * (size_t)head_size, size = f == F16 ? sizeof(rk_f16) : 1;
    for (int i = 0; i < CACHES; i++) {
        rk_key_value_cache *cache = &c.cache[i];
        *cache = (rk_key_value_cache){.keys = test_alloc(count * size, size), .values = test_alloc(count * size, size), .slots = (size_t)slots};
        if (f == F16) {
            test_fill_f16(cache->keys, count, pattern, limit);
            test_fill_f16(cache->values, count, TEST_RANDOM, limit);
            continue;
        }
        test_fill_bytes(cache->keys, count, pattern, -128, 127);
        test_fill_bytes(cache->values, count, TEST_RANDOM, -128, 127);
        cache->key_scales = test_alloc(rows * sizeof(float), sizeof(float));
        cache->value_scales = test_alloc(rows * sizeof(float), sizeof(float));
        for (size_t s = 0; s < rows; s++) {
            cache->key_scales[s] = fabsf(limit * test_random_float()) / 127;
            cache->value_scales[s] = fabsf(limit * test_random_float()) / 127;
        }
    }
    return c;
}

static void free_caches(caches *c) {
    for (int i = 0; i < CACHES; i++) {
        test_free(c->cache[i].keys), test_free(c->cache[i].values);
        if (rk_is_int8(c->cache)) test_free(c->cache[i].key_scales), test_free(c->cache[i].value_scales);
    }
}

// Element i of slot s of the first head.
static double key_at(const caches *c, int cache, int head_size, int s, int i) {
    const rk_key_value_cache *at = &c->cache[cache];
    if (!rk_is_int8(at)) return (double)rk_f16_to_f32(((const rk_f16 *)at->keys)[s * head_size + i]);
    return ((const int8_t *)at->keys)[s * head_size + i] * (double)at->key_scales[s];
}

static double value_at(const caches *c, int cache, int head_size, int s, int i) {
    const rk_key_value_cache *at = &c->cache[cache];
    if (!rk_is_int8(at)) return (double)rk_f16_to_f32(((const rk_f16 *)at->values)[s * head_size + i]);
    return ((const int8_t *)at->values)[s * head_size + i] * (double)at->value_scales[s];
}

// `run_count` runs of 1...longest keys in slots that ascend in each cache. Returns the number of keys.
static int make_runs(rk_key_run *runs, int run_count, int slots, int longest) {
    int next[CACHES] = {0}, keys = 0;
    for (int r = 0; r < run_count; r++) {
        int cache = test_random_below(CACHES), count = 1 + test_random_below(longest);
        if (next[cache] + count > slots) {
            next[cache] = 0;
        }
        runs[r] = (rk_key_run){cache, next[cache], count};
        next[cache] += count + test_random_below(2);
        keys += count;
    }
    return keys;
}

static void test_attend(const test_isa *isa, format f, int head_size, int run_count, int longest, test_pattern pattern, float limit) {
    const rk_attention_kernels scalar = rk_attention_kernels_for(0), kernels = rk_attention_kernels_for(isa->features);
    const int heads = 2, slots = 80;
    caches c = make_caches(f, heads, slots, head_size, pattern, limit);
    rk_key_run runs[MAX_RUNS];
    const int keys = make_runs(runs, run_count, slots, longest);
    runs[run_count - 1].first = slots - runs[run_count - 1].count;

    const size_t row = (size_t)head_size * sizeof(float), score_bytes = (size_t)(keys + 15) / 16 * 16 * sizeof(float);
    float *query = test_alloc(row, sizeof(float)), *expected = test_alloc(row, sizeof(float)), *actual = test_alloc(row, sizeof(float));
    float *scores[2] = {test_alloc(score_bytes, sizeof(float)), test_alloc(score_bytes, sizeof(float))};
    test_fill_floats(query, (size_t)head_size, pattern == TEST_ZERO ? TEST_RANDOM : pattern, limit);

    rk_attention_head at = {c.cache, heads - 1, head_size, 0.125f, 0};
    for (at.prefetch_distance = 0; at.prefetch_distance <= DISTANCE; at.prefetch_distance += DISTANCE) {
        test_begin("attention", "attend", isa->name, "%s, head size %d, %d keys in %d runs, %s, limit %g, prefetch distance %d", format_names[f],
                   head_size, keys, run_count, test_pattern_names[pattern], limit, at.prefetch_distance);
        if (at.prefetch_distance == 0) scalar.attend(&at, expected, query, runs, run_count, scores[0]);
        kernels.attend(&at, actual, query, runs, run_count, scores[1]);
        test_equal_floats(expected, actual, (size_t)head_size);
        if (isfinite(limit)) test_finite(expected, (size_t)head_size);
        const size_t integers = f == INT8 ? (size_t)(keys + 15) / 16 * 8 : 0; // in place of floats
        if (integers < (size_t)keys) test_equal_floats(scores[0] + integers, scores[1] + integers, (size_t)keys - integers);
        test_guards(actual);
        test_guards(scores[1]);
    }

    test_free(query), test_free(expected), test_free(actual), test_free(scores[0]), test_free(scores[1]);
    free_caches(&c);
}

// Queries that see `shared` leading keys in one or more runs, and then more of their own. Zeros go over negative keys, so that dots are -0.
static void test_attend_block(const test_isa *isa, format f, int head_size, int count, int shared, int own_runs, int longest, test_pattern pattern,
                              float limit) {
    const rk_attention_kernels scalar = rk_attention_kernels_for(0), kernels = rk_attention_kernels_for(isa->features);
    const int heads = 2, slots = 80;
    caches c = make_caches(f, heads, slots, head_size, pattern == TEST_ZERO ? TEST_LOW : pattern, limit);
    rk_attention_head at = {c.cache, heads - 1, head_size, 0.3f, 0};
    const int at_end = test_random_below(2); // shared keys, as close as those that are longer for some queries let them
    rk_key_run runs[RK_QUERY_BLOCK * MAX_RUNS];
    int32_t offsets[RK_QUERY_BLOCK + 1] = {0};
    int most = 0;
    for (int q = 0; q < count; q++) {
        int n = offsets[q], keys = shared;
        if (shared > 9) {
            runs[n++] = (rk_key_run){1, 3, 9};
        }
        if (shared > 0) { // the last common run may be longer for some
            const int more = shared < 40 ? test_random_below(3) : 0, last = shared > 9 ? shared - 9 : shared;
            runs[n++] = (rk_key_run){0, at_end ? slots - last - (shared < 40 ? 2 : 0) : 0, last + more};
            keys += more;
        }
        int own = own_runs + (shared == 0 && own_runs == 0);
        keys += make_runs(runs + n, own, slots, longest);
        offsets[q + 1] = n + own;
        most = keys > most ? keys : most;
    }
    const size_t scores_stride = (size_t)(most + 15) / 16 * 16, stride = (size_t)head_size + 3;
    const size_t used = (size_t)(count - 1) * stride + (size_t)head_size;
    const size_t scratch = (size_t)count * scores_stride + rk_block_scratch(head_size);
    float *queries = test_alloc(used * sizeof(float), sizeof(float)), *scores = test_alloc(scratch * sizeof(float), sizeof(float));
    float *expected = test_alloc(used * sizeof(float), sizeof(float)), *actual = test_alloc(used * sizeof(float), sizeof(float));
    test_fill_floats(queries, used, pattern, limit);
    memset(expected, 0, used * sizeof(float));
    for (at.prefetch_distance = 0; at.prefetch_distance <= DISTANCE; at.prefetch_distance += DISTANCE) {
        test_begin("attention", "attend_block", isa->name,
                   "%s, head size %d, %d queries, %d shared keys, %d runs of up to %d, %s, limit %g, prefetch distance %d",
                   format_names[f], head_size, count, shared, own_runs, longest, test_pattern_names[pattern], limit, at.prefetch_distance);
        rk_attention_block block = {expected, stride, queries, stride, count, runs, offsets, scores, scores_stride};
        if (at.prefetch_distance == 0) scalar.attend_block(&at, &block);
        memset(actual, 0, used * sizeof(float));
        block.out = actual;
        kernels.attend_block(&at, &block);
        test_equal_floats(expected, actual, used);
        if (isfinite(limit)) test_finite(expected, used);
        test_guards(actual);
        test_guards(scores);
    }
    test_free(queries), test_free(scores), test_free(expected), test_free(actual);
    free_caches(&c);
}

static void test_conversions(const test_isa *isa, int n, float limit) {
    const rk_attention_kernels scalar = rk_attention_kernels_for(0), kernels = rk_attention_kernels_for(isa->features);
    float *x = test_alloc((size_t)n * sizeof *x, sizeof *x), scales[2];
    rk_f16 *f16[2];
    int8_t *bytes[2];
    test_fill_floats(x, (size_t)n, TEST_RANDOM, limit);
    for (int i = 0; i < 2; i++) {
        f16[i] = test_alloc((size_t)n * sizeof(rk_f16), sizeof(rk_f16));
        bytes[i] = test_alloc((size_t)n, 1);
    }
    test_begin("attention", "to_f16", isa->name, "%d elements, limit %g", n, limit);
    scalar.to_f16(f16[0], x, n);
    kernels.to_f16(f16[1], x, n);
    test_equal_bytes(f16[0], f16[1], (size_t)n * sizeof(rk_f16));
    test_guards(f16[1]);
    test_begin("attention", "to_int8", isa->name, "%d elements, limit %g", n, limit);
    scales[0] = scalar.to_int8(bytes[0], x, n);
    scales[1] = kernels.to_int8(bytes[1], x, n);
    test_equal_floats(&scales[0], &scales[1], 1);
    test_equal_bytes(bytes[0], bytes[1], (size_t)n);
    test_guards(bytes[1]);
    for (int i = 0; i < 2; i++) {
        test_free(f16[i]), test_free(bytes[i]);
    }
    test_free(x);
}

// Each element is at most half a step away, and zeros, numbers too small for a scale and what has no finite maximum are as promised.
static void test_to_int8(void) {
    const rk_attention_kernels kernels = rk_attention_kernels_for(0);
    float x[40];
    int8_t y[40];
    for (float limit = 1e-30f; limit < 1e30f; limit *= 1e6f) {
        test_begin("attention", "to_int8", "scalar", "accuracy, limit %g", limit);
        test_fill_floats(x, COUNT(x), TEST_RANDOM, limit);
        const float scale = kernels.to_int8(y, x, COUNT(x));
        float largest = 0;
        double worst = 0;
        for (size_t i = 0; i < COUNT(x); i++) {
            largest = fmaxf(largest, fabsf(x[i]));
            test_worst(&worst, fabs((double)x[i] - y[i] * (double)scale));
        }
        test_expect(scale == largest / 127, "scale %g of %g", scale, largest);
        test_expect(worst <= 0.50001 * (double)scale, "error %g, scale %g", worst, scale);
    }
    const float none[] = {0, -0.0f, 1e-37f, 5e-37f}, bad[] = {INFINITY, -INFINITY, NAN};
    test_begin("attention", "to_int8", "scalar", "no scale");
    test_expect(kernels.to_int8(y, none, COUNT(none)) == 0 && !y[0] && !y[1] && !y[2] && !y[3], "is not 0");
    for (size_t i = 0; i < COUNT(bad); i++) {
        const float row[3] = {1, bad[i], 2};
        test_expect(isnan(kernels.to_int8(y, row, 3)) && !y[0] && !y[1] && !y[2], "of %g is not NaN", bad[i]);
    }
}

static void test_accuracy(format f, int slots, int head_size, float limit) {
    const rk_attention_kernels kernels = rk_attention_kernels_for(0);
    caches c = make_caches(f, 1, slots, head_size, TEST_RANDOM, limit);
    const rk_key_run runs[2] = {{0, 0, slots}, {1, 0, 90}};
    float query[128], out[128], scores[MAX_KEYS];
    double exact[128] = {0}, p[MAX_KEYS], sum = 0, max = -INFINITY, worst = 0, heaviest = 0;
    const float scale = 1 / sqrtf((float)head_size);
    test_fill_floats(query, (size_t)head_size, TEST_RANDOM, limit);
    test_begin("attention", "attend", "scalar", "accuracy, %s, %d keys, head size %d, limit %g", format_names[f], slots + 90, head_size, limit);
    kernels.attend(&(rk_attention_head){c.cache, 0, head_size, scale, 0}, out, query, runs, 2, scores);

    int n = 0;
    for (int r = 0; r < 2; r++) {
        for (int s = 0; s < runs[r].count; s++, n++) {
            p[n] = 0;
            for (int i = 0; i < head_size; i++) {
                p[n] += (double)query[i] * key_at(&c, r, head_size, s, i) * (double)scale;
            }
            max = fmax(max, p[n]);
        }
    }
    n = 0;
    for (int r = 0; r < 2; r++) {
        for (int s = 0; s < runs[r].count; s++, n++) {
            p[n] = exp(p[n] - max);
            sum += p[n];
            if (f == INT8) heaviest = fmax(heaviest, p[n] * (double)c.cache[r].value_scales[s]);
            for (int i = 0; i < head_size; i++) {
                exact[i] += p[n] * value_at(&c, r, head_size, s, i);
            }
        }
    }
    for (int i = 0; i < head_size; i++) {
        test_worst(&worst, fabs((double)out[i] - exact[i] / sum));
    }
    // Rounded scores are the largest part: their magnitude times 2^-24, here as an exponent, times the values.
    const double l = (double)limit, root = sqrt((double)head_size);
    double bound = 0x1p-21 * l * (1 + l * l * root);
    // An int8 query is off by half of limit / 32767 at most in each element, so a score by that times the keys' l * head_size / root;
    // weights are off by e^(twice that), and so is the result relative to the values.
    if (f == INT8) bound += l * expm1(2 * 0.5 * l / 32767 * l * root);
    // Where keys are so many that their weights have fewer bits, each is off by half a step, and so are up to 127 of it in a sum.
    if (n > INT32_MAX / 128 / 32639) bound += n * 127 * 0.5 * heaviest / (INT32_MAX / 128 / n) / sum;
    test_expect(worst < bound, "error %g, bound %g", worst, bound);
    free_caches(&c);
}

// The sums of a long query's products with bytes are within 32 bits: where they are largest, the key that all of it points at has all the weight.
static void test_long_head(const test_isa *isa) {
    enum { SIZE = 1030, KEYS = 24 };
    caches c = make_caches(INT8, 1, KEYS, SIZE, TEST_ZERO, 1);
    float query[SIZE], out[SIZE], scores[KEYS + 8];
    int8_t *keys = c.cache[0].keys, *values = c.cache[0].values;
    for (int s = 0; s < KEYS; s++) {
        c.cache[0].key_scales[s] = c.cache[0].value_scales[s] = 1.0f / 127;
        memset(keys + s * SIZE, s == 17 ? 127 : 0, SIZE);
        memset(values + s * SIZE, s == 17 ? 127 : -127, SIZE);
    }
    test_fill_floats(query, SIZE, TEST_HIGH, 1);
    test_begin("attention", "attend", isa->name, "head size %d, the largest sums", SIZE);
    rk_attention_kernels_for(isa->features).attend(&(rk_attention_head){c.cache, 0, SIZE, 1, 0}, out, query, &(rk_key_run){0, 0, KEYS}, 1, scores);
    double worst = 0;
    for (int i = 0; i < SIZE; i++) test_worst(&worst, fabs((double)out[i] - 1));
    test_expect(worst < 1e-6, "error %g", worst);
    free_caches(&c);
}

// Queries of which each sees the same keys, three of them in a run of its own.
static void attend_all(const test_isa *isa, const caches *c, int keys, int head_size, int count, float *out, const float *queries, float *scores) {
    rk_key_run runs[2 * RK_QUERY_BLOCK];
    int32_t offsets[RK_QUERY_BLOCK + 1] = {0};
    for (int q = 0; q < count; q++) {
        runs[2 * q] = (rk_key_run){0, 0, keys - 3};
        runs[2 * q + 1] = (rk_key_run){1, keys - 3, 3};
        offsets[q + 1] = 2 * q + 2;
    }
    const rk_attention_kernels kernels = rk_attention_kernels_for(isa->features);
    const rk_attention_head at = {c->cache, 0, head_size, 1, 0};
    const size_t stride = (size_t)head_size;
    const rk_attention_block block = {out, stride, queries, stride, count, runs, offsets, scores, (size_t)(keys + 15) / 16 * 16};
    if (count == 1) kernels.attend(&at, out, queries, runs, 2, scores);
    else kernels.attend_block(&at, &block);
}

// The sums of weights' products with values are within 32 bits where they are largest: all keys have the same weight, or one key all of it.
static void test_many_keys(const test_isa *isa, int keys, int head_size, int count) {
    caches c = make_caches(INT8, 1, keys, head_size, TEST_ZERO, 1);
    const size_t elements = (size_t)(count * head_size), room = (size_t)count * (size_t)((keys + 15) / 16 * 16) + rk_block_scratch(head_size);
    float *queries = test_alloc(elements * sizeof(float), sizeof(float)), *out = test_alloc(elements * sizeof(float), sizeof(float));
    float *scores = test_alloc(room * sizeof(float), sizeof(float));
    for (int heaviest = -1; heaviest < keys; heaviest += keys / 2) {
        for (int i = 0; i < CACHES; i++) {
            for (int s = 0; s < keys; s++) {
                int8_t *key = (int8_t *)c.cache[i].keys + s * head_size, *value = (int8_t *)c.cache[i].values + s * head_size;
                c.cache[i].key_scales[s] = 1;
                c.cache[i].value_scales[s] = 1.0f / 127;
                memset(key, s == heaviest ? 127 : 0, (size_t)head_size);
                for (int e = 0; e < head_size; e++) value[e] = (heaviest < 0 || s == heaviest) == e % 2 ? 127 : -127;
            }
        }
        test_fill_floats(queries, elements, TEST_HIGH, 1);
        test_begin("attention", count > 1 ? "attend_block" : "attend", isa->name, "%d keys, head size %d, %d queries, all weight at %d", keys,
                   head_size, count, heaviest);
        attend_all(isa, &c, keys, head_size, count, out, queries, scores);
        double worst = 0;
        for (size_t i = 0; i < elements; i++) test_worst(&worst, fabs((double)out[i] - ((int)i % head_size % 2 ? 1 : -1)));
        test_expect(worst < 1e-6, "error %g", worst);
        test_guards(scores);
    }
    const float scales[] = {0, NAN, INFINITY}; // of all values, then of one
    for (size_t i = 0; i < COUNT(scales); i++) {
        test_begin("attention", count > 1 ? "attend_block" : "attend", isa->name, "%d keys, head size %d, %d queries, value scales of %g", keys,
                   head_size, count, scales[i]);
        for (int s = 0; s < keys; s++) c.cache[0].value_scales[s] = c.cache[1].value_scales[s] = i == 0 || s == keys / 2 ? scales[i] : 1;
        attend_all(isa, &c, keys, head_size, count, out, queries, scores);
        for (size_t e = 0; e < elements; e++) test_expect(i == 0 ? out[e] == 0 : isnan(out[e]), "element %zu is %g", e, out[e]);
    }
    test_free(queries), test_free(out), test_free(scores);
    free_caches(&c);
}

typedef struct step {
    uint32_t features;
    int heads, head_size;
    const rk_key_value_cache *caches;
    rk_attention_block rows;
} step;

static void run_step(void *context, rk_worker *worker) {
    const step *s = context;
    rk_attention(worker, s->features, &s->rows, s->heads, s->head_size, s->caches);
}

static void run_whole_step(void *context, rk_worker *worker) {
    run_step(context, worker);
    test_step_ended(worker);
}

typedef struct store {
    uint32_t features;
    rk_rows keys, values;
    int head_size;
    const rk_key_value_cache *caches;
    const int32_t *cache_indices, *slots;
} store;

static void run_store(void *context, rk_worker *worker) {
    store *s = context;
    rk_rows_store(worker, s->features, s->keys, s->values, s->head_size, s->caches, s->cache_indices, s->slots);
}

// Rows stored as int8, and attention over them against attention over the floats that they were.
static void test_store(const test_isa *isa, int heads, int head_size, float limit) {
    enum { SLOTS = 200, KEYS = CACHES * SLOTS };
    caches c = make_caches(INT8, heads, SLOTS, head_size, TEST_ZERO, limit);
    const size_t stride = (size_t)(heads * head_size + 3), size = KEYS * stride * sizeof(float);
    float *keys = test_alloc(size, sizeof *keys), *values = test_alloc(size, sizeof *values), query[128], out[128], scores[KEYS];
    test_fill_floats(keys, KEYS * stride, TEST_RANDOM, limit);
    test_fill_floats(values, KEYS * stride, TEST_RANDOM, limit);
    test_fill_floats(query, (size_t)head_size, TEST_RANDOM, limit);
    int32_t slots[KEYS], cache_indices[KEYS];
    for (int t = 0; t < KEYS; t++) {
        cache_indices[t] = t % CACHES;
        slots[t] = SLOTS - 1 - t / CACHES;
    }
    store s = {isa->features, {keys, stride, KEYS, heads * head_size}, {values, stride, KEYS, heads * head_size}, head_size,
               c.cache, cache_indices, slots};
    rk_parallel(2, run_store, &s);

    const int head = heads - 1;
    const float scale = 1 / sqrtf((float)head_size);
    const rk_key_run runs[CACHES] = {{0, 0, SLOTS}, {1, 0, SLOTS}};
    rk_attention_kernels_for(isa->features).attend(&(rk_attention_head){c.cache, head, head_size, scale, 0}, out, query, runs, CACHES, scores);
    double p[KEYS], max = -INFINITY, sum = 0, exact[128] = {0}, worst = 0;
    for (int t = 0; t < KEYS; t++) {
        p[t] = 0;
        const float *key = keys + (size_t)t * stride + (size_t)(head * head_size);
        for (int i = 0; i < head_size; i++) p[t] += (double)query[i] * (double)key[i] * (double)scale;
        max = fmax(max, p[t]);
    }
    for (int t = 0; t < KEYS; t++) {
        p[t] = exp(p[t] - max);
        sum += p[t];
        for (int i = 0; i < head_size; i++) exact[i] += p[t] * (double)values[(size_t)t * stride + (size_t)(head * head_size + i)];
    }
    for (int i = 0; i < head_size; i++) test_worst(&worst, fabs((double)out[i] - exact[i] / sum));
    // A key's element is off by half a step of limit / 127, a query's by half of limit / 32767; so a score by at most d, a weight by a
    // factor between e^-2d and e^2d, a value by half a step.
    const double l = (double)limit, d = l * 0.5 * (l / 127 + l / 32767) * sqrt((double)head_size);
    const double bound = l * expm1(2 * d) + 0.5 * l / 127 + 0x1p-20 * l;
    test_begin("attention", "store", isa->name, "int8, %d heads of %d, limit %g", heads, head_size, limit);
    test_expect(worst <= bound, "error %g, bound %g", worst, bound);
    for (int i = 0; i < CACHES; i++)
        test_guards(c.cache[i].keys), test_guards(c.cache[i].values), test_guards(c.cache[i].key_scales), test_guards(c.cache[i].value_scales);
    test_free(keys), test_free(values);
    free_caches(&c);
}

// `count` queries that see these runs, by the step for every instruction set and processors of either maker, which prefetch keys or not. There
// is room for blocks of 1, 3 or all queries, by the number of threads.
static void test_step(const char *what, format f, const caches *c, const rk_key_run *runs, const int32_t *offsets, int count, int heads,
                      int head_size) {
    const rk_attention_kernels scalar = rk_attention_kernels_for(0);
    const size_t stride = (size_t)(heads * head_size + 5), used = (size_t)(count - 1) * stride + stride - 5;
    size_t most = 0;
    for (int t = 0; t < count; t++) {
        size_t sees = 0;
        for (int r = offsets[t]; r < offsets[t + 1]; r++) sees += (size_t)runs[r].count;
        most = sees > most ? sees : most;
    }
    most = (most + 15) / 16 * 16;
    float *queries = test_alloc(used * sizeof *queries, sizeof *queries), *one = test_alloc(most * sizeof *one, sizeof *one);
    float *expected = test_alloc(used * sizeof *queries, sizeof *queries), *actual = test_alloc(used * sizeof *queries, sizeof *queries);
    test_fill_floats(queries, used, TEST_RANDOM, 2);
    memset(expected, 0, used * sizeof *expected);
    test_begin("attention", "step", "scalar", "%s, %s, %d queries, %d heads of %d", format_names[f], what, count, heads, head_size);
    for (int t = 0; t < count; t++) {
        for (int h = 0; h < heads; h++) {
            const size_t at = (size_t)t * stride + (size_t)(h * head_size);
            const rk_attention_head head = {c->cache, h, head_size, 1 / sqrtf((float)head_size), 0};
            scalar.attend(&head, expected + at, queries + at, runs + offsets[t], offsets[t + 1] - offsets[t], one);
        }
    }
    rk_attention_kernels below = {0};
    for (int isa = 0; isa < test_isa_count; isa++) {
        const rk_attention_kernels kernels = rk_attention_kernels_for(test_isas[isa].features);
        if (kernels.attend == below.attend) continue;
        below = kernels;
        for (int threads = 1; threads <= 3; threads++) {
            const size_t room[] = {1, 3, RK_QUERY_BLOCK}, scores_stride = most * room[threads - 1] + (threads > 1 ? rk_block_scratch(head_size) : 0);
            const uint32_t features = test_isas[isa].features ^ (threads == 2 ? RK_CPU_PREFETCH : 0);
            float *scores = test_alloc((size_t)threads * scores_stride * sizeof *scores, sizeof *scores);
            test_begin("attention", "step", test_isas[isa].name, "%s, %s, %d queries, %d heads of %d, %d threads%s", format_names[f], what,
                       count, heads, head_size, threads, features & RK_CPU_PREFETCH ? ", prefetch" : "");
            memset(actual, 0, used * sizeof *actual);
            const rk_attention_block rows = {actual, stride, queries, stride, count, runs, offsets, scores, scores_stride};
            step s = {features, heads, head_size, c->cache, rows};
            rk_parallel(threads, run_whole_step, &s);
            test_equal_floats(expected, actual, used);
            test_guards(actual);
            test_guards(scores);
            test_free(scores);
        }
    }
    test_free(queries), test_free(one), test_free(expected), test_free(actual);
}

static void test_random_runs(format f, int count, int heads, int head_size) {
    const int slots = 60;
    caches c = make_caches(f, heads, slots, head_size, TEST_RANDOM, 2);
    rk_key_run *runs = calloc((size_t)count * 4, sizeof *runs);
    int32_t *offsets = calloc((size_t)count + 1, sizeof *offsets);
    for (int t = 0; t < count; t++) {
        int run_count = 1 + test_random_below(4);
        make_runs(runs + offsets[t], run_count, slots, 45);
        offsets[t + 1] = offsets[t] + run_count;
    }
    test_step("random runs", f, &c, runs, offsets, count, heads, head_size);
    free_caches(&c);
    free(runs);
    free(offsets);
}

typedef enum mask { ROW, COLUMN, WINDOW, TEXT, MASKS } mask;
static const char *const mask_names[MASKS] = {"row", "column", "window of 11", "text"};

// What the image query q sees, as AttentionLayout lays it out: `left` slots of text, then side * side image tokens, those of layers with the
// column mask column by column. TEXT sees all that is before it.
static int mask_runs(rk_key_run *runs, mask m, int left, int side, int q) {
    enum { REACH = 5 };
    const int row = q / side, column = q % side;
    int count = 0;
    if (m == TEXT) {
        runs[count++] = (rk_key_run){0, 0, left + q + 1};
        return count;
    }
    runs[count++] = (rk_key_run){0, 0, left};
    if (m == COLUMN) runs[count++] = (rk_key_run){0, left + column * side, row + 1};
    if (m == ROW) {
        if (row > 0) runs[count++] = (rk_key_run){0, left + q - side, side - column};
        runs[count++] = (rk_key_run){0, left + row * side, column + 1};
    }
    if (m == WINDOW) {
        const int first = column > REACH ? column - REACH : 0, last = column + REACH < side ? column + REACH : side - 1;
        for (int r = row > REACH ? row - REACH : 0; r < row; r++) runs[count++] = (rk_key_run){0, left + r * side + first, last - first + 1};
        runs[count++] = (rk_key_run){0, left + row * side + first, column - first + 1};
    }
    return count;
}

// All queries of a small picture behind some text; the last one sees the last slot.
static void test_mask(format f, mask m, int head_size) {
    enum { LEFT = 21, SIDE = 7, QUERIES = SIDE * SIDE, HEADS = 2 };
    rk_key_run runs[QUERIES * 8];
    int32_t offsets[QUERIES + 1] = {0};
    for (int t = 0; t < QUERIES; t++) offsets[t + 1] = offsets[t] + mask_runs(runs + offsets[t], m, LEFT, SIDE, t);
    caches c = make_caches(f, HEADS, LEFT + QUERIES, head_size, TEST_RANDOM, 2);
    test_step(mask_names[m], f, &c, runs, offsets, QUERIES, HEADS, head_size);
    free_caches(&c);
}

// Sequences that share a prefix, to the end of its cache, and have slots of their own in the other one.
static void test_shared(format f, int sequences, int heads, int head_size) {
    enum { SHARED = 45, OWN = 3 };
    const int slots = sequences * OWN;
    rk_key_run runs[2 * RK_QUERY_BLOCK];
    int32_t offsets[RK_QUERY_BLOCK + 1] = {0};
    for (int t = 0; t < sequences; t++) {
        runs[2 * t] = (rk_key_run){0, slots - SHARED, SHARED};
        runs[2 * t + 1] = (rk_key_run){1, OWN * t, OWN};
        offsets[t + 1] = 2 * t + 2;
    }
    caches c = make_caches(f, heads, slots, head_size, TEST_RANDOM, 2);
    test_step("shared keys", f, &c, runs, offsets, sequences, heads, head_size);
    free_caches(&c);
}

void test_attention(void) {
    const int head_sizes[] = {1, 3, 8, 15, 16, 17, 20, 32, 48, 64, 72, 80, 96, 112, 128, 130};
    const float limits[] = {1e-7f, 0.1f, 1, 8, 200, 6e4f, INFINITY, NAN};
    rk_attention_kernels below = rk_attention_kernels_for(0);
    for (int isa = 1; isa < test_isa_count; isa++) {
        const rk_attention_kernels kernels = rk_attention_kernels_for(test_isas[isa].features);
        if (kernels.attend == below.attend) {
            continue;
        }
        below = kernels;
        for (int f = 0; f < FORMATS; f++) {
            for (size_t h = 0; h < COUNT(head_sizes); h++) {
                for (size_t limit = 0; limit < COUNT(limits); limit++) {
                    for (int pattern = 0; pattern < TEST_PATTERNS; pattern++) {
                        const test_pattern fill = (test_pattern)pattern;
                        test_attend(&test_isas[isa], (format)f, head_sizes[h], 1, 1, fill, limits[limit]);
                        test_attend(&test_isas[isa], (format)f, head_sizes[h], 1, 80, fill, limits[limit]);
                        test_attend(&test_isas[isa], (format)f, head_sizes[h], 30, 1, fill, limits[limit]);
                        test_attend(&test_isas[isa], (format)f, head_sizes[h], 1 + test_random_below(12), 9, fill, limits[limit]);
                    }
                }
            }
            for (size_t h = 0; h < COUNT(head_sizes); h++) {
                for (int shared = 0; shared < 75; shared += 1 + test_random_below(3)) {
                    test_attend_block(&test_isas[isa], (format)f, head_sizes[h], 1 + test_random_below(RK_QUERY_BLOCK), shared, test_random_below(5),
                                      1 + test_random_below(20), TEST_RANDOM, 2);
                }
                for (size_t limit = 0; limit < COUNT(limits); limit++) {
                    for (int pattern = 0; pattern < TEST_PATTERNS; pattern++)
                        test_attend_block(&test_isas[isa], (format)f, head_sizes[h], 1 + test_random_below(RK_QUERY_BLOCK), 40, 1, 9,
                                          (test_pattern)pattern, limits[limit]);
                }
            }
            // So many keys' weights have fewer bits.
            for (size_t h = 0; h < COUNT(head_sizes); h++) test_attend(&test_isas[isa], (format)f, head_sizes[h], 40, 80, TEST_RANDOM, 2);
            // Beside so long a row a query's integers have fewer bits.
            test_attend(&test_isas[isa], (format)f, 1030, 1, 40, TEST_HIGH, 1);
        }
        const float ranges[] = {1e-38f, 1e-7f, 1e-5f, 1, 1e3f, 7e4f, 1e30f, INFINITY, NAN};
        for (int n = 1; n < 70; n++) {
            for (size_t range = 0; range < COUNT(ranges); range++) {
                test_conversions(&test_isas[isa], n, ranges[range]);
            }
        }
    }
    const int heads_of_models[] = {64, 80, 128};
    for (int f = 0; f < FORMATS; f++) {
        test_random_runs((format)f, 1, 3, 64);
        test_random_runs((format)f, 5, 4, 20);
        test_random_runs((format)f, 70, 2, 16);
        test_random_runs((format)f, 230, 4, 48);
        for (size_t h = 0; h < COUNT(heads_of_models); h++) {
            for (int m = 0; m < MASKS; m++) test_mask((format)f, (mask)m, heads_of_models[h]);
            test_shared((format)f, 19, 2, heads_of_models[h]);
        }
        test_shared((format)f, RK_QUERY_BLOCK, 16, 64); // with so many heads a block takes all of them
        test_shared((format)f, 33, 12, 20);
    }
    for (int isa = 0; isa < test_isa_count; isa++) {
        test_long_head(&test_isas[isa]);
        const int many[] = {16, 514, 517, 601, 1301, 4099};
        for (size_t k = 0; k < COUNT(many); k++) {
            test_many_keys(&test_isas[isa], many[k], 64, 1);
            test_many_keys(&test_isas[isa], many[k], 27, 1);
            test_many_keys(&test_isas[isa], many[k], 64, 7);
            test_many_keys(&test_isas[isa], many[k], 91, 3);
        }
        test_store(&test_isas[isa], 3, 20, 1);
        test_store(&test_isas[isa], 2, 64, 2);
        test_store(&test_isas[isa], 2, 80, 1);
        test_store(&test_isas[isa], 1, 128, 0.5f);
    }
    for (int f = 0; f < FORMATS; f++) {
        test_accuracy((format)f, 300, 64, 1);
        test_accuracy((format)f, 300, 80, 2);
        test_accuracy((format)f, 300, 128, 3);
        test_accuracy((format)f, 1300, 64, 1);
        test_accuracy((format)f, 1300, 80, 0.3f);
    }
    test_to_int8();
}

static void call_step(void *context) { rk_parallel(test_threads, run_step, context); }

// `count` queries that see these runs of `c`.
static void bench_runs(format f, const char *shape, int count, int heads, int head_size, const caches *c, const rk_key_run *runs,
                       const int32_t *offsets) {
    double keys = 0;
    int most = 0;
    for (int t = 0; t < count; t++) {
        int sees = 0;
        for (int r = offsets[t]; r < offsets[t + 1]; r++) sees += runs[r].count;
        keys += sees;
        most = sees > most ? sees : most;
    }
    const size_t stride = (size_t)(heads * head_size), used = stride * (size_t)count * sizeof(float);
    const size_t scores_stride = RK_QUERY_BLOCK * (size_t)((most + 15) / 16 * 16) + rk_block_scratch(head_size);
    float *queries = test_alloc(used, 64), *out = test_alloc(used, 64);
    float *scores = test_alloc((size_t)test_threads * scores_stride * sizeof(float), 64);
    test_fill_floats(queries, stride * (size_t)count, TEST_RANDOM, 1);
    double scalar = 0;
    for (int isa = 0; isa < test_isa_count; isa++) {
        const rk_attention_block rows = {out, stride, queries, stride, count, runs, offsets, scores, scores_stride};
        step s = {test_isas[isa].features, heads, head_size, c->cache, rows};
        double seconds = test_time(call_step, &s);
        test_report("attention", format_names[f], test_isas[isa].name, shape, 4e-9 * keys * heads * head_size, "GFLOP", seconds, isa ? scalar : 0);
        scalar = isa ? scalar : seconds;
    }
    test_free(queries), test_free(out), test_free(scores);
}

// A picture of the 350M model, 16 x 16 image tokens behind 64 of text; or one text query behind it.
static void bench_mask(format f, const char *shape, mask m, int count, int head_size) {
    enum { QUERIES = 256 };
    static rk_key_run runs[QUERIES * 8];
    int32_t offsets[QUERIES + 1] = {0};
    for (int t = 0; t < count; t++) offsets[t + 1] = offsets[t] + mask_runs(runs + offsets[t], m, 64, 16, count == 1 ? 257 : t);
    caches c = make_caches(f, 16, 384, head_size, TEST_RANDOM, 1);
    bench_runs(f, shape, count, 16, head_size, &c, runs, offsets);
    free_caches(&c);
}

// 48 sequences that share 322 slots and have 8 of their own.
static void bench_shared(format f) {
    enum { SEQUENCES = 48 };
    rk_key_run runs[2 * SEQUENCES];
    int32_t offsets[SEQUENCES + 1] = {0};
    for (int t = 0; t < SEQUENCES; t++) {
        runs[2 * t] = (rk_key_run){0, 0, 322};
        runs[2 * t + 1] = (rk_key_run){1, 8 * (t % 40), 8};
        offsets[t + 1] = 2 * t + 2;
    }
    caches c = make_caches(f, 16, 384, 64, TEST_RANDOM, 1);
    bench_runs(f, "48 share 322 keys, 8 more", SEQUENCES, 16, 64, &c, runs, offsets);
    free_caches(&c);
}

// The 24 layers of a token whose keys and values are in no cache, as in decoding: each call takes the next of ten sequences.
enum { LAYERS = 24, SEQUENCES = 10 };

typedef struct cold {
    step steps[LAYERS * SEQUENCES];
    int sequence;
} cold;

static void run_cold(void *context, rk_worker *worker) {
    cold *c = context;
    for (int l = 0; l < LAYERS; l++) run_step(&c->steps[c->sequence * LAYERS + l], worker);
}

static void call_cold(void *context) {
    cold *c = context;
    rk_parallel(test_threads, run_cold, c);
    c->sequence = (c->sequence + 1) % SEQUENCES;
}

static void bench_cold(format f) {
    enum { HEADS = 16, HEAD_SIZE = 64, SLOTS = 384, KEYS = 322 };
    const size_t size = f == F16 ? sizeof(rk_f16) : 1, rows = HEADS * SLOTS, bytes = rows * HEAD_SIZE * size;
    caches first = make_caches(f, HEADS, SLOTS, HEAD_SIZE, TEST_RANDOM, 1);
    static cold c;
    static rk_key_value_cache copies[LAYERS * SEQUENCES];
    const rk_key_run run = {0, 0, KEYS};
    const int32_t offsets[2] = {0, 1};
    float queries[HEADS * HEAD_SIZE], out[HEADS * HEAD_SIZE], *scores = test_alloc((size_t)test_threads * SLOTS * sizeof *scores, 64);
    test_fill_floats(queries, COUNT(queries), TEST_RANDOM, 1);
    for (int i = 0; i < LAYERS * SEQUENCES; i++) {
        copies[i] = (rk_key_value_cache){.keys = test_alloc(bytes, 64), .values = test_alloc(bytes, 64), .slots = SLOTS};
        memcpy(copies[i].keys, first.cache[0].keys, bytes), memcpy(copies[i].values, first.cache[0].values, bytes);
        if (f == INT8) {
            copies[i].key_scales = test_alloc(rows * sizeof(float), 64), copies[i].value_scales = test_alloc(rows * sizeof(float), 64);
            memcpy(copies[i].key_scales, first.cache[0].key_scales, rows * sizeof(float));
            memcpy(copies[i].value_scales, first.cache[0].value_scales, rows * sizeof(float));
        }
    }
    const rk_attention_block block = {out, COUNT(out), queries, COUNT(queries), 1, &run, offsets, scores, SLOTS};
    for (int isa = 1; isa < test_isa_count; isa++) {
        for (int i = 0; i < LAYERS * SEQUENCES; i++) c.steps[i] = (step){test_isas[isa].features, HEADS, HEAD_SIZE, &copies[i], block};
        const double read = 2.0 * LAYERS * HEADS * KEYS * (HEAD_SIZE * (double)size + (f == INT8 ? sizeof(float) : 0));
        test_report("attention", format_names[f], test_isas[isa].name, "24 layers, 322 keys, cold", 1e-9 * read, "GB", test_time(call_cold, &c), 0);
    }
    for (int i = 0; i < LAYERS * SEQUENCES; i++) {
        test_free(copies[i].keys), test_free(copies[i].values);
        if (f == INT8) test_free(copies[i].key_scales), test_free(copies[i].value_scales);
    }
    test_free(scores);
    free_caches(&first);
}

// Time against visible keys: one query of a picture of 32 x 32 tokens behind 64 of text, in 16 heads of 64.
static void bench_visible(format f) {
    enum { LEFT = 64, SIDE = 32, HEADS = 16, HEAD_SIZE = 64, SLOTS = LEFT + SIDE * SIDE };
    const rk_key_run none = {0, 0, 1};
    rk_key_run runs[16];
    caches c = make_caches(f, HEADS, SLOTS, HEAD_SIZE, TEST_RANDOM, 1);
    float queries[HEADS * HEAD_SIZE], out[HEADS * HEAD_SIZE], *scores = test_alloc((size_t)test_threads * SLOTS * sizeof *scores, 64);
    test_fill_floats(queries, COUNT(queries), TEST_RANDOM, 1);
    int32_t offsets[2] = {0, 1};
    const rk_attention_block rows = {out, COUNT(out), queries, COUNT(queries), 1, &none, offsets, scores, SLOTS};
    step s = {test_isas[test_isa_count - 1].features, HEADS, HEAD_SIZE, c.cache, rows};
    const double fixed = test_time(call_step, &s);
    for (int m = 0; m < MASKS; m++) {
        for (int row = 0; row < SIDE; row = row ? 2 * row + (row == 16) * -1 : 1) {
            const int q = row * SIDE + SIDE / 2;
            offsets[1] = mask_runs(runs, (mask)m, LEFT, SIDE, q);
            int keys = 0;
            for (int r = 0; r < offsets[1]; r++) keys += runs[r].count;
            s.rows.runs = runs;
            const double seconds = test_time(call_step, &s);
            printf("%-4s %-14s token %4d sees %4d keys of %4d: %7.2f us, %.2f ns for a key and head\n", format_names[f], mask_names[m], q, keys,
                   LEFT + q + 1, 1e6 * seconds, 1e9 * (seconds - fixed) / (HEADS * (keys - 1)));
        }
    }
    test_free(scores);
    free_caches(&c);
}

void bench_attention(void) {
    for (int f = 0; f < FORMATS; f++) {
        bench_mask((format)f, "text, 322 keys", TEXT, 1, 64);
        bench_mask((format)f, "256 row mask", ROW, 256, 64);
        bench_mask((format)f, "256 column mask", COLUMN, 256, 64);
        bench_mask((format)f, "256 window of 11", WINDOW, 256, 64);
        bench_mask((format)f, "256 row mask, heads of 80", ROW, 256, 80);
        bench_shared((format)f);
        bench_cold((format)f);
        bench_visible((format)f);
    }
}
