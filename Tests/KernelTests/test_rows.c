// The steps of rk_rows.h against plain definitions: what is between the matrices' rows and the slots stays as it was, whatever the number of
// workers.
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "harness.h"
#pragma STDC FP_CONTRACT OFF // definitions fuse where they say fmaf, and nowhere else

enum { MAX_N = 1024, MAX_THREADS = 3, CACHES = 2 };
static const float epsilon = 1e-5f;

#define COUNT(array) (sizeof(array) / sizeof *(array))

static size_t used(rk_rows r) { return (size_t)(r.count - 1) * r.stride + (size_t)r.n; }

static float *row(rk_rows r, int t) { return r.data + (size_t)t * r.stride; }

// Rows of all magnitudes, one of zeros and one with an infinity among them; `gap` floats between them.
static rk_rows make_rows(int count, int n, int gap) {
    rk_rows r = {NULL, (size_t)(n + gap), count, n};
    r.data = test_alloc(used(r) * sizeof *r.data, sizeof *r.data);
    test_fill_floats(r.data, used(r), TEST_RANDOM, 1);
    const float limits[] = {1, 0, 1e-3f, 30, 1e-38f, 1e4f, 1};
    for (int t = 0; t < count; t++) {
        test_fill_floats(row(r, t), (size_t)n, TEST_RANDOM, limits[t % (int)COUNT(limits)]);
        if (t % (int)COUNT(limits) == 6) row(r, t)[test_random_below(n)] = INFINITY;
    }
    return r;
}

static rk_rows copy_of(rk_rows r) {
    float *data = test_alloc(used(r) * sizeof *data, sizeof *data);
    memcpy(data, r.data, used(r) * sizeof *data);
    return (rk_rows){data, r.stride, r.count, r.n};
}

static void check_rows(rk_rows expected, rk_rows actual) {
    test_equal_floats(expected.data, actual.data, used(expected));
    test_guards(actual.data);
}

static rk_layer_norm make_norm(int n) {
    float *weight = test_alloc((size_t)n * sizeof *weight, sizeof *weight), *bias = test_alloc((size_t)n * sizeof *bias, sizeof *bias);
    test_fill_floats(weight, (size_t)n, TEST_RANDOM, 2);
    test_fill_floats(bias, (size_t)n, TEST_RANDOM, 1);
    return (rk_layer_norm){weight, bias, epsilon};
}

static void free_norm(rk_layer_norm norm) { test_free((void *)norm.weight), test_free((void *)norm.bias); }

typedef enum format { NONE, INT8, INT8_OFFSET, INT8_BLOCKS, INT8_BLOCKS_OFFSET, INT16, FORMATS } format;
static const char *const format_names[FORMATS] = {
    "floats", "int8", "int8 with offsets", "int8 in blocks", "int8 in blocks with offsets", "int16"};

// Of each row.
static int scales_of(rk_integer_rows q, int columns) { return q.has_blocks ? rk_int8_blocks(columns) : 1; }

static rk_integer_rows make_integers(format f, int count, int columns) {
    rk_integer_rows q = {.stride = count % 2 ? rk_row_stride(columns) : rk_padded_columns(columns), .is_int16 = f == INT16,
                         .has_blocks = f == INT8_BLOCKS || f == INT8_BLOCKS_OFFSET};
    const size_t elements = (size_t)count * (size_t)q.stride, scales = (size_t)(count * scales_of(q, columns)) * sizeof *q.scales;
    q.values = test_alloc(elements * (f == INT16 ? sizeof(int16_t) : sizeof(int8_t)), 64);
    q.scales = test_alloc(scales, sizeof *q.scales);
    q.offsets = f == INT8_OFFSET || f == INT8_BLOCKS_OFFSET ? test_alloc(scales, sizeof *q.offsets) : NULL;
    q.starts = f == INT16 ? NULL : test_alloc(elements / RK_GROUP * sizeof *q.starts, sizeof *q.starts);
    return q;
}

static void free_integers(rk_integer_rows q) {
    test_free(q.values), test_free(q.scales);
    if (q.offsets) test_free(q.offsets);
    if (q.starts) test_free(q.starts);
}

// Sums of sixteen lanes, as rk_math.h has them.
static float joined(float lanes[RK_LANES]) {
    for (int s = RK_LANES / 2; s > 0; s /= 2) {
        for (int j = 0; j < s; j++) lanes[j] += lanes[j + s];
    }
    return lanes[0];
}

static void plain_norm(float *y, const float *x, rk_layer_norm norm, int n) {
    float sums[RK_LANES] = {0}, squares[RK_LANES] = {0};
    for (int i = 0; i < n; i++) sums[i % RK_LANES] += x[i];
    const float mean = joined(sums) / (float)n;
    for (int i = 0; i < n; i++) squares[i % RK_LANES] = fmaf(x[i] - mean, x[i] - mean, squares[i % RK_LANES]);
    const float r = 1.0f / sqrtf(joined(squares) / (float)n + norm.epsilon);
    for (int i = 0; i < n; i++) y[i] = fmaf((x[i] - mean) * r, norm.weight[i], norm.bias[i]);
}

// Integers up to `limit` of x - *offset, which is found if there is one; a row below `smallest` counts as zeros. Returns the scale.
static float plain_integers(int *y, float *offset, const float *x, int n, float limit, float smallest) {
    float largest = 0, least = x[0], most = x[0];
    int finite = 1;
    for (int i = 0; i < n; i++) {
        least = fminf(least, x[i]), most = fmaxf(most, x[i]);
        finite = finite && isfinite(x[i]);
    }
    const float middle = offset && finite ? least / 2 + most / 2 + 0.0f : 0; // never -0
    for (int i = 0; i < n; i++) largest = fmaxf(largest, fabsf(x[i] - middle));
    const int none = !finite || largest < smallest;
    for (int i = 0; i < n; i++) y[i] = none ? 0 : (int)rintf((x[i] - middle) * (limit / largest));
    if (offset) *offset = middle;
    return !finite ? NAN : none ? 0 : largest / limit;
}

// Likewise, of those that are defined.
static int starts_of(rk_integer_rows q, int columns) { return q.has_blocks ? rk_int8_blocks(columns) : q.stride / RK_GROUP; }

static void plain_quantize(rk_integer_rows q, rk_rows x) {
    for (int t = 0; t < x.count; t++) {
        int values[MAX_N + RK_COLUMN_BLOCK] = {0};
        const size_t first = (size_t)t * (size_t)q.stride;
        const int scales = scales_of(q, x.n);
        for (int b = 0, k = 0; b < scales; b++, k += RK_INT8_BLOCK) {
            const int at = t * scales + b, n = q.has_blocks && x.n - k > RK_INT8_BLOCK ? RK_INT8_BLOCK : x.n - k;
            float *offset = q.offsets ? q.offsets + at : NULL;
            q.scales[at] = q.is_int16 ? plain_integers(values, NULL, row(x, t), n, RK_INT16_LARGEST, 0x1p-112f)
                                      : plain_integers(values + k, offset, row(x, t) + k, n, RK_INT8_LARGEST, 0x1p-120f);
        }
        for (int k = 0; k < q.stride; k++) {
            if (q.is_int16) ((int16_t *)q.values)[first + (size_t)k] = (int16_t)values[k];
            else ((int8_t *)q.values)[first + (size_t)k] = (int8_t)values[k];
        }
        const int starts = q.starts ? starts_of(q, x.n) : 0, columns = q.has_blocks ? RK_INT8_BLOCK : RK_GROUP;
        for (int s = 0; s < starts; s++) {
            int sum = 0;
            for (int k = s * columns; k < q.stride && k < (s + 1) * columns; k++) sum += values[k];
            q.starts[first / RK_GROUP + (size_t)s] = (q.has_blocks ? -128 : -8) * sum;
        }
    }
}

static void check_integers(rk_integer_rows expected, rk_integer_rows actual, int count, int columns) {
    const size_t elements = (size_t)count * (size_t)expected.stride;
    test_equal_bytes(expected.values, actual.values, elements * (expected.is_int16 ? sizeof(int16_t) : sizeof(int8_t)));
    const size_t scales = (size_t)(count * scales_of(expected, columns)), stride = (size_t)expected.stride / RK_GROUP;
    test_equal_floats(expected.scales, actual.scales, scales);
    test_guards(actual.values);
    test_guards(actual.scales);
    if (expected.offsets) {
        test_equal_floats(expected.offsets, actual.offsets, scales);
        test_guards(actual.offsets);
    }
    if (!expected.starts) return;
    for (size_t t = 0; t < (size_t)count; t++)
        test_equal_ints(expected.starts + stride * t, actual.starts + stride * t, (size_t)starts_of(expected, columns));
    test_guards(actual.starts);
}

typedef enum which { NORM, NORM_IN_PLACE, ADD_NORM, QUANTIZE, NORM_THEN_QUANTIZE, STEPS } which;
static const char *const step_names[STEPS] = {"norm", "norm in place", "add_norm", "quantize", "norm, then quantize"};

typedef struct call {
    which step;
    uint32_t features;
    rk_rows y, x, a;
    rk_layer_norm inner, outer;
    const rk_integer_rows *quantized;
} call;

static void run_call(void *context, rk_worker *worker) {
    const call *c = context;
    switch (c->step) {
    case ADD_NORM: rk_rows_add_norm(worker, c->features, c->y, c->x, c->a, c->inner, c->outer, c->quantized); break;
    case QUANTIZE: rk_rows_quantize(worker, c->features, c->x, c->quantized); break;
    case NORM_THEN_QUANTIZE: // reads what other workers wrote
        rk_rows_norm(worker, c->features, c->y, c->x, c->outer, NULL);
        rk_rows_quantize(worker, c->features, c->y, c->quantized);
        break;
    default: rk_rows_norm(worker, c->features, c->y, c->x, c->outer, c->quantized); break;
    }
    test_step_ended(worker);
}

static void test_step(const test_isa *isa, which step, format f, int count, int n, int threads) {
    test_begin("rows", step_names[step], isa->name, "%d rows of %d to %s, %d threads", count, n, format_names[f], threads);
    rk_rows x = make_rows(count, n, 3), y = step == NORM_IN_PLACE ? x : make_rows(count, n, 5), a = make_rows(count, n, 1);
    rk_rows expected_x = copy_of(x), expected_y = step == NORM_IN_PLACE ? expected_x : copy_of(y), expected_a = copy_of(a);
    const rk_layer_norm inner = make_norm(n), outer = make_norm(n);
    rk_integer_rows expected = make_integers(f, count, n), actual = make_integers(f, count, n);
    for (int t = 0; t < count && step != QUANTIZE; t++) {
        if (step == ADD_NORM) {
            float normed[MAX_N];
            plain_norm(normed, row(a, t), inner, n);
            for (int i = 0; i < n; i++) row(expected_x, t)[i] += normed[i];
        }
        plain_norm(row(expected_y, t), row(expected_x, t), outer, n);
    }
    plain_quantize(expected, step == QUANTIZE ? expected_x : expected_y);

    call c = {step, isa->features, y, x, a, inner, outer, f == NONE ? NULL : &actual};
    rk_parallel(threads, run_call, &c);
    check_rows(expected_x, x);
    check_rows(expected_y, y);
    check_rows(expected_a, a);
    if (f != NONE) check_integers(expected, actual, count, n);

    free_integers(expected), free_integers(actual), free_norm(inner), free_norm(outer);
    if (step != NORM_IN_PLACE) test_free(y.data), test_free(expected_y.data);
    test_free(x.data), test_free(a.data), test_free(expected_x.data), test_free(expected_a.data);
}

typedef struct softmax {
    uint32_t features;
    rk_rows rows;
    float scale;
} softmax;

static void run_softmax(void *context, rk_worker *worker) {
    const softmax *s = context;
    rk_rows_softmax(worker, s->features, s->rows, s->scale);
    test_step_ended(worker);
}

static void check_softmax(const float *x, const float *y, int n, float scale) {
    double max = -INFINITY, magnitude = 0, sum = 0, worst = 0;
    for (int i = 0; i < n; i++) {
        max = fmax(max, (double)x[i] * (double)scale);
        if (isfinite(x[i])) magnitude = fmax(magnitude, fabs((double)x[i] * (double)scale));
    }
    for (int i = 0; i < n; i++) sum += exp((double)x[i] * (double)scale - max);
    // Of e^(s - max): both products with the scale and the difference are rounded, together by 4 times the magnitude's 2^-24, and e^ itself is off by
    // 2^-22. All that twice, in the sum as well, beside the roundings of a lane's sums, their joining, the inverse and the product.
    const double relative = 2 * (expm1(magnitude * 0x1p-22) + 0x1p-22) + (n / RK_LANES + 7) * 0x1p-24;
    for (int i = 0; i < n; i++) {
        const double exact = exp((double)x[i] * (double)scale - max) / sum;
        test_worst(&worst, fabs((double)y[i] - exact) / (exact * relative + 2e-38)); // what e^ gives at least
    }
    test_expect(worst <= 1, "error %g times the bound", worst);
}

// The same bits for every instruction set and number of threads, close to the definition.
static void test_softmax(int count, int n, float scale) {
    const rk_rows x = make_rows(count, n, 3);
    for (int t = 0; t < count; t++) { // scores, some of them forbidden
        test_fill_floats(row(x, t), (size_t)n, TEST_RANDOM, t % 3 ? 20 : 1);
        for (int i = 1; i < n && t % 2; i += 1 + test_random_below(4)) row(x, t)[i] = -INFINITY;
    }
    rk_rows first = copy_of(x);
    for (int isa = 0; isa < test_isa_count; isa++) {
        for (int threads = 1; threads <= MAX_THREADS; threads++) {
            test_begin("rows", "softmax", test_isas[isa].name, "%d rows of %d times %g, %d threads", count, n, scale, threads);
            softmax s = {test_isas[isa].features, isa == 0 && threads == 1 ? first : copy_of(x), scale};
            rk_parallel(threads, run_softmax, &s);
            if (s.rows.data == first.data) {
                for (int t = 0; t < count; t++) check_softmax(row(x, t), row(first, t), n, scale);
                for (int t = 1; t < count; t++) test_equal_floats(row(x, t) - 3, row(first, t) - 3, 3);
                test_guards(first.data);
                continue;
            }
            check_rows(first, s.rows);
            test_free(s.rows.data);
        }
    }
    test_free(x.data), test_free(first.data);
}

typedef struct argmax {
    rk_rows rows;
    int32_t *indices;
} argmax;

static void run_argmax(void *context, rk_worker *worker) {
    argmax *a = context;
    rk_rows_argmax(worker, a->rows, a->indices);
    test_step_ended(worker);
}

static void test_argmax(void) {
    const int sizes[] = {1, 2, 15, 16, 17, 100, 8193};
    for (size_t s = 0; s < COUNT(sizes); s++) {
        const int n = sizes[s], count = 12;
        const rk_rows x = make_rows(count, n, 1);
        int32_t *indices = test_alloc((size_t)count * sizeof *indices, sizeof *indices), expected[12];
        test_fill_floats(x.data, used(x), TEST_RANDOM, 1);
        for (int t = 0; t < count; t++) {
            float *r = row(x, t);
            for (int k = 0; k < n && t % 3 == 1; k++) r[k] = (float)test_random_below(3) - 2; // many equal ones, both zeros
            for (int k = 0; k < n && t % 3 == 2; k++) if (test_random_below(4) == 0) r[k] = NAN;
            if (t == 3) for (int k = 0; k < n; k++) r[k] = -INFINITY;
            int best = 0;
            for (int k = 1; k < n; k++) if (r[k] > r[best]) best = k;
            expected[t] = best;
        }
        test_begin("rows", "argmax", "any", "%d of %d", count, n);
        argmax a = {x, indices};
        rk_parallel(2, run_argmax, &a);
        test_equal_ints(expected, indices, (size_t)count);
        test_guards(indices);
        test_free(x.data), test_free(indices);
    }
}

typedef struct store {
    uint32_t features;
    rk_rows keys, values;
    int head_size;
    const rk_key_value_cache *caches;
    const int32_t *cache_indices, *slots;
} store;

static void run_store(void *context, rk_worker *worker) {
    const store *s = context;
    rk_rows_store(worker, s->features, s->keys, s->values, s->head_size, s->caches, s->cache_indices, s->slots);
    test_step_ended(worker);
}

// One head of one row, into an array of f16 or, with scales, of int8.
static void plain_store(void *array, float *scales, size_t slot, const float *x, int head_size) {
    int integers[MAX_N];
    const size_t first = slot * (size_t)head_size;
    if (scales) scales[slot] = plain_integers(integers, NULL, x, head_size, 127, 127 * 0x1p-127f);
    for (int i = 0; i < head_size; i++) {
        if (scales) ((int8_t *)array)[first + (size_t)i] = (int8_t)integers[i];
        else ((rk_f16 *)array)[first + (size_t)i] = rk_f16_from_f32(x[i]);
    }
}

static void *filled(size_t bytes, size_t alignment) {
    void *buffer = test_alloc(bytes, alignment);
    test_fill_bytes(buffer, bytes, TEST_RANDOM, 0, 100);
    return buffer;
}

static void *copy_of_bytes(const void *buffer, size_t bytes, size_t alignment) {
    return memcpy(test_alloc(bytes, alignment), buffer, bytes);
}

static void check_array(const void *expected, void *actual, size_t bytes) {
    test_equal_bytes(expected, actual, bytes);
    test_guards(actual);
}

// Rows go to slots of several caches in any order; all other slots keep what they have.
static void test_store(const test_isa *isa, int int8, int count, int heads, int head_size, int threads) {
    test_begin("rows", "store", isa->name, "%s, %d rows, %d heads of %d, %d threads", int8 ? "int8" : "f16", count, heads, head_size, threads);
    const int slots = count / CACHES + 3, places = CACHES * slots, n = heads * head_size;
    const size_t size = int8 ? sizeof(int8_t) : sizeof(rk_f16), of_scales = (size_t)(heads * slots) * sizeof(float);
    const size_t bytes = (size_t)(heads * slots * head_size) * size;
    rk_key_value_cache actual[CACHES], expected[CACHES];
    for (int c = 0; c < CACHES; c++) {
        actual[c] = (rk_key_value_cache){filled(bytes, size), filled(bytes, size), NULL, NULL, (size_t)slots};
        expected[c] = (rk_key_value_cache){copy_of_bytes(actual[c].keys, bytes, size), copy_of_bytes(actual[c].values, bytes, size), NULL, NULL,
                                           (size_t)slots};
        if (!int8) continue;
        actual[c].key_scales = filled(of_scales, sizeof(float)), actual[c].value_scales = filled(of_scales, sizeof(float));
        expected[c].key_scales = copy_of_bytes(actual[c].key_scales, of_scales, sizeof(float));
        expected[c].value_scales = copy_of_bytes(actual[c].value_scales, of_scales, sizeof(float));
    }
    int *order = calloc((size_t)places, sizeof *order);
    int32_t *cache_indices = test_alloc((size_t)count * sizeof *cache_indices, sizeof *cache_indices);
    int32_t *at = test_alloc((size_t)count * sizeof *at, sizeof *at);
    for (int i = 0; i < places; i++) { // a random order of all places
        const int j = test_random_below(i + 1);
        order[i] = order[j];
        order[j] = i;
    }
    rk_rows keys = make_rows(count, n, 2), values = make_rows(count, n, 7);
    for (int t = 0; t < count; t++) {
        cache_indices[t] = order[t] % CACHES;
        at[t] = order[t] / CACHES;
        const rk_key_value_cache *cache = &expected[cache_indices[t]];
        for (int h = 0; h < heads; h++) {
            const size_t slot = (size_t)(h * slots + at[t]);
            plain_store(cache->keys, cache->key_scales, slot, row(keys, t) + h * head_size, head_size);
            plain_store(cache->values, cache->value_scales, slot, row(values, t) + h * head_size, head_size);
        }
    }
    store s = {isa->features, keys, values, head_size, actual, cache_indices, at};
    rk_parallel(threads, run_store, &s);
    for (int c = 0; c < CACHES; c++) {
        check_array(expected[c].keys, actual[c].keys, bytes);
        check_array(expected[c].values, actual[c].values, bytes);
        test_free(expected[c].keys), test_free(expected[c].values), test_free(actual[c].keys), test_free(actual[c].values);
        if (!int8) continue;
        test_equal_floats(expected[c].key_scales, actual[c].key_scales, (size_t)(heads * slots));
        test_equal_floats(expected[c].value_scales, actual[c].value_scales, (size_t)(heads * slots));
        test_guards(actual[c].key_scales), test_guards(actual[c].value_scales);
        test_free(expected[c].key_scales), test_free(expected[c].value_scales);
        test_free(actual[c].key_scales), test_free(actual[c].value_scales);
    }
    test_free(keys.data), test_free(values.data), test_free(cache_indices), test_free(at);
    free(order);
}

// Whether the steps run by this instruction set what they ran by the one below.
static int is_shared(int isa) {
    const uint32_t features = test_isas[isa].features, below = isa > 0 ? test_isas[isa - 1].features : 0;
    return isa > 0 && rk_norm_kernels_for(features).layer_norm == rk_norm_kernels_for(below).layer_norm &&
           rk_quantize_kernels_for(features).row == rk_quantize_kernels_for(below).row &&
           rk_attention_kernels_for(features).to_f16 == rk_attention_kernels_for(below).to_f16;
}

void test_rows(void) {
    const int lengths[] = {1, 15, 16, 17, 64, 100, 390, MAX_N}, counts[] = {1, 2, 19};
    const int head_sizes[] = {1, 20, 64, 80, 128}, stored[] = {1, 7, 16, 33, 50};
    int turn = 0; // of the numbers of threads
    for (int isa = 0; isa < test_isa_count; isa++) {
        if (is_shared(isa)) continue;
        for (size_t n = 0; n < COUNT(lengths); n++) {
            for (size_t c = 0; c < COUNT(counts); c++) {
                for (int step = 0; step < STEPS; step++) {
                    for (int f = step >= QUANTIZE ? INT8 : NONE; f < FORMATS; f++)
                        test_step(&test_isas[isa], (which)step, (format)f, counts[c], lengths[n], 1 + turn++ % MAX_THREADS);
                }
            }
        }
        for (size_t h = 0; h < COUNT(head_sizes); h++) {
            for (size_t c = 0; c < COUNT(stored); c++) {
                for (int int8 = 0; int8 <= 1; int8++) {
                    for (int heads = 1; heads <= 3; heads += 2)
                        test_store(&test_isas[isa], int8, stored[c], heads, head_sizes[h], 1 + turn++ % MAX_THREADS);
                }
            }
        }
    }
    const float scales[] = {0.125f, 1, 7};
    for (size_t n = 0; n < COUNT(lengths); n++) {
        for (size_t s = 0; s < COUNT(scales); s++) test_softmax(9, lengths[n], scales[s]);
    }
    test_argmax();
}
