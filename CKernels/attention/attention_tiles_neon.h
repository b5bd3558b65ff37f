// Part of attention_lanes.h, with registers of four lanes, whose elements a product can take:
// fill_tile, dots_of_tile and dots_of_tile_int8 for the keys that several queries share, share_blocks for their values in f16; of values in bytes
// add_products_of_values and put_in_order, for one query as well.

enum { KEY_INTEGERS = 1 }; // elements of a key of bytes that lie beside each other in its tile
enum { SCORED_REGISTERS = 1, BYTE_TILE_KEYS = 16 }; // whose dots are summed at once, and the keys in a tile of bytes
enum { VALUE_KEYS = 4 };   // whose values are multiplied together
// Elements that add_products_of_values takes: 64, these, or fewer at the end of a head; of several queries SHARED_STEP instead of 64.
enum { VALUE_STEP = 8, SHARED_STEP = 8 };

typedef _Float16 v8_f16 __attribute__((vector_size(16)));
typedef int8_t v8_bytes __attribute__((vector_size(8)));
typedef int16_t v8_short __attribute__((vector_size(16)));
typedef int16_t v4_short __attribute__((vector_size(8)));

// The first `n` <= 8 f16, then zeros.
RK_LANES_INLINE v8_f16 load_f16_upto(const rk_f16 *p, int n) {
    v8_f16 h = {0};
    if (__builtin_expect(n == 8, 1)) memcpy(&h, p, sizeof h);
    else copy_below_16(&h, p, n, sizeof *p);
    return h;
}

// Likewise bytes, as integers of 16 bits.
RK_LANES_INLINE v8_short load_bytes8_upto(const int8_t *p, int n) {
    v8_bytes b = {0};
    if (__builtin_expect(n == 8, 1)) memcpy(&b, p, sizeof b);
    else copy_below_16(&b, p, n, sizeof *p);
    return __builtin_convertvector(b, v8_short);
}

#define TRN1_16(x, y) __builtin_shufflevector(x, y, 0, 8, 2, 10, 4, 12, 6, 14)
#define TRN2_16(x, y) __builtin_shufflevector(x, y, 1, 9, 3, 11, 5, 13, 7, 15)
#define TRN1_32(x, y) __builtin_shufflevector(x, y, 0, 1, 8, 9, 4, 5, 12, 13)
#define TRN2_32(x, y) __builtin_shufflevector(x, y, 2, 3, 10, 11, 6, 7, 14, 15)

// Elements first ..< first + width <= first + 8 of four keys: of f16 as floats, of bytes as integers of 16 bits. They are transposed as 16 bits,
// by trn1 and trn2: a Cortex-A72 takes three times as long for a zip.
RK_LANES_INLINE void fill_elements(void *tile, int column, const void *const keys[4], const size_t size, int first, int width) {
    v8_short h[4];
    for (int k = 0; k < 4; k++) {
        if (size == sizeof(rk_f16)) h[k] = (v8_short)load_f16_upto((const rk_f16 *)keys[k] + first, width);
        else h[k] = load_bytes8_upto((const int8_t *)keys[k] + first, width);
    }
    const v8_short even[2] = {TRN1_16(h[0], h[1]), TRN1_16(h[2], h[3])}, odd[2] = {TRN2_16(h[0], h[1]), TRN2_16(h[2], h[3])};
    const v8_short t[4] = {TRN1_32(even[0], even[1]), TRN1_32(odd[0], odd[1]), TRN2_32(even[0], even[1]), TRN2_32(odd[0], odd[1])};
    RK_UNROLL
    for (int i = 0; i < 8; i++) { // t[i]: elements i and i + 4 of all of them
        if (i >= width) continue;
        const int at = 16 * (first + i) + column;
        const v8 both = __builtin_convertvector((v8_f16)t[i % 4], v8);
        if (size == sizeof(rk_f16)) memcpy((float *)tile + at, (const float *)&both + i / 4 * 4, 4 * sizeof(float));
        else memcpy((int16_t *)tile + at, (const int16_t *)&t[i % 4] + i / 4 * 4, 4 * sizeof(int16_t));
    }
}

// The next `count` keys of the cursor, of elements of `size` bytes; where they are fewer than 16, the last one is repeated.
RK_LANES_INLINE void fill_tile(void *tile, cursor *c, float *scales, const size_t size, int count, int always_0) {
    const int head_size = c->at->head_size;
    const void *keys[16];
    (void)always_0; // a tile has no more keys
    take_keys(c, keys, scales, 16, count);
    for (int k = 0; k < 16; k += 4) {
        int first = 0;
        for (; first + 8 <= head_size; first += 8) fill_elements(tile, k, keys + k, size, first, 8);
        if (first < head_size) fill_elements(tile, k, keys + k, size, first, head_size - first);
    }
}

// Elements i ..< i + width <= i + 4 of one or two queries and of keys of the tile, an element to each of four sums. A query's are one load, and
// products take them from its lanes: broadcasts would take the place of products.
RK_LANES_INLINE void add_elements(v4 sums[2][4], const float *tile, const float *queries, size_t stride, const int count, int i, int width,
                                  const int is_first) {
    v4 four[2] = {{0}, {0}};
    for (int q = 0; q < count; q++) {
        const float *query = queries + (size_t)q * stride + (size_t)i;
        if (width == 4) memcpy(&four[q], query, sizeof four[q]);
        else copy_below_16(&four[q], query, width, sizeof *query);
    }
    RK_UNROLL
    for (int lane = 0; lane < 4; lane++) {
        if (lane >= width) continue;
        v4 key;
        memcpy(&key, tile + 16 * (i + lane), sizeof key);
        for (int q = 0; q < count; q++) {
            const v4 x = four[q][lane] - (v4){0};
            sums[q][lane] = is_first ? x * key : __builtin_elementwise_fma(x, key, sums[q][lane]);
        }
    }
}

// Lanes first ..< first + 4 of the dots of one or two queries with keys of the tile. They start with a product where the definition adds it to 0:
// that spares the zeros, and a dot of -0 instead of 0 makes no difference to a softmax.
RK_LANES_INLINE void sum_lanes(v4 sums[2][4], const float *tile, const float *queries, size_t stride, const int count, int head_size, int first) {
    for (int q = 0; q < count; q++) sums[q][0] = sums[q][1] = sums[q][2] = sums[q][3] = (v4){0};
    int i = first;
    if (i + 4 <= head_size) {
        add_elements(sums, tile, queries, stride, count, i, 4, 1);
        for (i += RK_LANES; i + 4 <= head_size; i += RK_LANES) add_elements(sums, tile, queries, stride, count, i, 4, 0);
    }
    if (i < head_size) add_elements(sums, tile, queries, stride, count, i, head_size - i, 0);
}

// Two queries at a time, and the lanes in the order of rk_reduce_lanes.
RK_LANES_INLINE void dots_of_tile(v4 dots[4], const float *tile, const float *queries, size_t stride, const int count, int head_size) {
    for (int first = 0; first < count; first += 2, queries += 2 * stride) {
        const int pair = rk_min(2, count - first);
        v4 by4[2][4];
        RK_UNROLL
        for (int a = 0; a < 8; a += 4) {
            v4 low[2][4], high[2][4];
            sum_lanes(low, tile, queries, stride, pair, head_size, a);
            __asm__ volatile("" ::: "memory"); // or the compiler loads so much ahead that sums spill
            sum_lanes(high, tile, queries, stride, pair, head_size, a + 8);
            __asm__ volatile("" ::: "memory");
            for (int q = 0; q < pair; q++) {
                for (int i = 0; i < 4; i++) by4[q][i] = a ? by4[q][i] + (low[q][i] + high[q][i]) : low[q][i] + high[q][i];
            }
        }
        for (int q = 0; q < pair; q++) dots[first + q] = (by4[q][0] + by4[q][2]) + (by4[q][1] + by4[q][3]);
    }
}

// `width` <= 8 elements of up to four queries, from element `first` on, times those of four keys of the tile, added to their dots.
RK_LANES_INLINE void add_elements_int8(key_integers dots[4][1], const int16_t *tile, const int16_t *queries, size_t stride, const int count,
                                       int first, int width) {
    v8_short eight[4];
    for (int q = 0; q < count; q++) {
        eight[q] = (v8_short){0};
        if (width == 8) memcpy(&eight[q], queries + (size_t)q * stride + first, sizeof eight[q]);
        else copy_below_16(&eight[q], queries + (size_t)q * stride + first, width, sizeof *queries);
    }
    RK_UNROLL
    for (int i = 0; i < 8; i++) {
        if (i >= width) continue;
        v4_short keys;
        memcpy(&keys, tile + 16 * (first + i), sizeof keys);
        for (int q = 0; q < count; q++)
            dots[q][0] += __builtin_convertvector(keys, key_integers) * __builtin_convertvector(eight[q][i] - (v4_short){0}, key_integers);
    }
}

// The dots of up to four queries with four keys of the tile from number `key` on: an element of all sixteen lies from tile[16 * i].
RK_LANES_INLINE void dots_of_tile_int8(key_integers dots[4][1], const int16_t *tile, int key, const int16_t *queries, size_t stride, const int count,
                                       int head_size, int always_1) {
    (void)always_1; // register of keys
    for (int q = 0; q < count; q++) dots[q][0] = (key_integers){0};
    int first = 0;
    for (; first + 8 <= head_size; first += 8) add_elements_int8(dots, tile + key, queries, stride, count, first, 8);
    if (first < head_size) add_elements_int8(dots, tile + key, queries, stride, count, first, head_size - first);
}

// The values of one or four keys, of which each query's probabilities are one load: products take them from its lanes.
RK_LANES_INLINE void add_shared(v8 *sums, const rk_f16 *value, size_t step, const float *p, size_t p_stride, const int count, int width,
                                const int keys) {
    v8 v[4];
    RK_UNROLL
    for (int k = 0; k < keys; k++) v[k] = __builtin_convertvector(load_f16_upto(value + (size_t)k * step, width), v8);
    RK_UNROLL
    for (int q = 0; q < count; q++) {
        v4 four = {0};
        memcpy(&four, p + (size_t)q * p_stride, (size_t)keys * sizeof *p);
        RK_UNROLL
        for (int k = 0; k < keys; k++) sums[q] = __builtin_elementwise_fma(four[k] - (v8){0}, v[k], sums[q]);
    }
}

// `width` <= 8 elements of the head from element `first`: the first `shared` values for `count` queries, not divided yet.
RK_LANES_INLINE void share_values(const rk_attention_head *at, float *out, size_t out_stride, const rk_key_run *run, int shared, const float *p,
                                  size_t p_stride, const int count, int first, int width) {
    v8 sums[RK_VALUE_QUERIES];
    const size_t step = (size_t)at->head_size;
    const float *end = p + shared;
    for (int q = 0; q < count; q++) sums[q] = (v8){0};
    for (; p < end; run++) {
        const rk_f16 *value = (const rk_f16 *)run_values(at, run, sizeof(rk_f16)) + first;
        const float *run_end = p + rk_min((int)(end - p), run->count);
        for (; width == 8 && p + 4 <= run_end; p += 4, value += 4 * step) add_shared(sums, value, step, p, p_stride, count, width, 4);
        for (; p < run_end; p++, value += step) add_shared(sums, value, step, p, p_stride, count, width, 1);
    }
    for (int q = 0; q < count; q++) {
        float *to = out + (size_t)q * out_stride + first;
        if (width == 8) memcpy(to, &sums[q], sizeof sums[q]);
        else copy_below_16(to, &sums[q], width, sizeof *to);
    }
}

RK_LANES_INLINE void share_blocks(const rk_attention_head *at, float *out, size_t out_stride, const rk_key_run *runs, int shared, const float *p,
                                  size_t p_stride, const int count) {
    int first = 0;
    for (; first + 8 <= at->head_size; first += 8) share_values(at, out, out_stride, runs, shared, p, p_stride, count, first, 8);
    RK_NO_UNROLL
    for (int q = 0; q < count && first < at->head_size; q++)
        share_values(at, out + (size_t)q * out_stride, 0, runs, shared, p + (size_t)q * p_stride, 0, 1, first, at->head_size - first);
}

RK_LANES_INLINE void put_in_order(key_integers sums[VALUE_REGISTERS], int elements) { (void)sums, (void)elements; }

#if defined(RK_DOTPROD)
enum { WEIGHT_PLANES = 2 };

// Sixteen weights are two planes of signed bytes: first those that count 256 times, then the others.
RK_LANES_INLINE void store_weights(int16_t *to, v16_short weights) {
    const v16_short high = (weights + 128) >> 8;
    const v16_bytes planes[2] = {__builtin_convertvector(high, v16_bytes), __builtin_convertvector(weights - high * 256, v16_bytes)};
    memcpy(to, planes, sizeof planes);
}

RK_LANES_INLINE const int8_t *weights_of(const int16_t *weights, int key, int plane) {
    return (const int8_t *)(weights + key / 16 * 16) + 16 * plane + key % 16;
}

// Of four values, those of one element beside each other.
RK_LANES_INLINE void add_products_of_values(key_integers sums[][VALUE_REGISTERS], const int8_t *const values[4], const int8_t *weights, size_t stride,
                                            const int count, int first, int elements) {
    RK_UNROLL
    for (int r = 0; r < VALUE_REGISTERS; r += 2) {
        if (4 * r >= elements) continue;
        int8x16_t v[4];
        RK_UNROLL
        for (int k = 0; k < 4; k++) {
            int8x8_t eight = {0};
            if (elements - 4 * r >= 8) eight = vld1_s8(values[k] + first + 4 * r);
            else copy_below_16(&eight, values[k] + first + 4 * r, elements - 4 * r, 1);
            v[k] = vcombine_s8(eight, vdup_n_s8(0));
        }
        const int16x8_t a = (int16x8_t)vzip1q_s8(v[0], v[1]), b = (int16x8_t)vzip1q_s8(v[2], v[3]);
        const int8x16_t low = (int8x16_t)vzip1q_s16(a, b), high = (int8x16_t)vzip2q_s16(a, b);
        RK_UNROLL
        for (int q = 0; q < count; q++) {
            int32x2_t w = {0};
            memcpy(&w, weights + 2 * (size_t)q * stride, sizeof(int32_t));
            sums[q][r] = (key_integers)vdotq_lane_s32((int32x4_t)sums[q][r], low, (int8x8_t)w, 0);
            sums[q][r + 1] = (key_integers)vdotq_lane_s32((int32x4_t)sums[q][r + 1], high, (int8x8_t)w, 0);
        }
    }
}
#else
enum { WEIGHT_PLANES = 1 };

RK_LANES_INLINE void store_weights(int16_t *to, v16_short weights) { memcpy(to, &weights, sizeof weights); }

RK_LANES_INLINE const int16_t *weights_of(const int16_t *weights, int key, int always_0) { return weights + key + always_0; }

// Of four values, of which each query's weights are one load: products take them from its lanes.
RK_LANES_INLINE void add_products_of_values(key_integers sums[][VALUE_REGISTERS], const int8_t *const values[4], const int16_t *weights,
                                            size_t stride, const int count, int first, int elements) {
    RK_UNROLL
    for (int r = 0; r < VALUE_REGISTERS; r += 2) {
        if (4 * r >= elements) continue;
        int16x8_t v[4];
        RK_UNROLL
        for (int k = 0; k < 4; k++) v[k] = (int16x8_t)load_bytes8_upto(values[k] + first + 4 * r, rk_min(8, elements - 4 * r));
        RK_UNROLL
        for (int q = 0; q < count; q++) {
            const int16x4_t w = vld1_s16(weights + (size_t)q * stride);
            int32x4_t low = (int32x4_t)sums[q][r], high = (int32x4_t)sums[q][r + 1];
            low = vmlal_lane_s16(low, vget_low_s16(v[0]), w, 0), high = vmlal_high_lane_s16(high, v[0], w, 0);
            low = vmlal_lane_s16(low, vget_low_s16(v[1]), w, 1), high = vmlal_high_lane_s16(high, v[1], w, 1);
            low = vmlal_lane_s16(low, vget_low_s16(v[2]), w, 2), high = vmlal_high_lane_s16(high, v[2], w, 2);
            low = vmlal_lane_s16(low, vget_low_s16(v[3]), w, 3), high = vmlal_high_lane_s16(high, v[3], w, 3);
            sums[q][r] = (key_integers)low, sums[q][r + 1] = (key_integers)high;
        }
    }
}
#endif
