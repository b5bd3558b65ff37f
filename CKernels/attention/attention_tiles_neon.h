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

// At most four elements of one or two queries and of keys of the tile, an element to each of four sums. A query's are one load, and products take
// them from its lanes: broadcasts would take the place of products.
RK_LANES_INLINE void add_elements(v4 sums[2][4], const float *tile, query_rows queries, const int count, const span *part, const int is_first) {
    v4 four[2] = {{0}, {0}};
    for (int q = 0; q < count; q++) {
        const float *query = ROW(queries, q) + part->first;
        if (part->width == 4) memcpy(&four[q], query, sizeof four[q]);
        else copy_below_16(&four[q], query, part->width, sizeof *query);
    }
    RK_UNROLL
    for (int lane = 0; lane < 4; lane++) {
        if (lane >= part->width) continue;
        v4 key;
        memcpy(&key, tile + 16 * (part->first + lane), sizeof key);
        for (int q = 0; q < count; q++) {
            const v4 x = four[q][lane] - (v4){0};
            sums[q][lane] = is_first ? x * key : __builtin_elementwise_fma(x, key, sums[q][lane]);
        }
    }
}

// Lanes first ..< first + 4 of the dots of one or two queries with keys of the tile. They start with a product where the definition adds it to 0:
// that spares the zeros, and a dot of -0 instead of 0 makes no difference to a softmax.
RK_LANES_INLINE void sum_lanes(v4 sums[2][4], const float *tile, query_rows queries, const int count, int head_size, int first) {
    for (int q = 0; q < count; q++) sums[q][0] = sums[q][1] = sums[q][2] = sums[q][3] = (v4){0};
    int i = first;
    if (i + 4 <= head_size) {
        add_elements(sums, tile, queries, count, &(span){i, 4}, 1);
        for (i += RK_LANES; i + 4 <= head_size; i += RK_LANES) add_elements(sums, tile, queries, count, &(span){i, 4}, 0);
    }
    if (i < head_size) add_elements(sums, tile, queries, count, &(span){i, head_size - i}, 0);
}

// Two queries at a time, and the lanes in the order of rk_reduce_lanes.
RK_LANES_INLINE void dots_of_tile(v4 dots[4], const float *tile, query_rows queries, const int count, int head_size) {
    for (int first = 0; first < count; first += 2, queries.first += 2 * queries.stride) {
        const int pair = rk_min(2, count - first);
        v4 by4[2][4];
        RK_UNROLL
        for (int a = 0; a < 8; a += 4) {
            v4 low[2][4], high[2][4];
            sum_lanes(low, tile, queries, pair, head_size, a);
            __asm__ volatile("" ::: "memory"); // or the compiler loads so much ahead that sums spill
            sum_lanes(high, tile, queries, pair, head_size, a + 8);
            __asm__ volatile("" ::: "memory");
            for (int q = 0; q < pair; q++) {
                for (int i = 0; i < 4; i++) by4[q][i] = a ? by4[q][i] + (low[q][i] + high[q][i]) : low[q][i] + high[q][i];
            }
        }
        for (int q = 0; q < pair; q++) dots[first + q] = (by4[q][0] + by4[q][2]) + (by4[q][1] + by4[q][3]);
    }
}

// Where the keys from number `first` on lie in a tile of bytes.
RK_INLINE int offset_in_tile(int first, int head_size) { return (void)head_size, first; }

// At most eight elements of up to four queries times those of four keys of the tile, added to their dots.
RK_LANES_INLINE void add_elements_int8(key_integers dots[4][1], const int16_t *tile, integer_rows queries, const int count, const span *part) {
    v8_short eight[4];
    for (int q = 0; q < count; q++) {
        const int16_t *query = ROW(queries, q) + part->first;
        eight[q] = (v8_short){0};
        if (part->width == 8) memcpy(&eight[q], query, sizeof eight[q]);
        else copy_below_16(&eight[q], query, part->width, sizeof *query);
    }
    RK_UNROLL
    for (int i = 0; i < 8; i++) {
        if (i >= part->width) continue;
        v4_short keys;
        memcpy(&keys, tile + 16 * (part->first + i), sizeof keys);
        for (int q = 0; q < count; q++)
            dots[q][0] += __builtin_convertvector(keys, key_integers) * __builtin_convertvector(eight[q][i] - (v4_short){0}, key_integers);
    }
}

// The dots of up to four queries with four keys of the tile.
RK_LANES_INLINE void dots_of_tile_int8(key_integers dots[4][1], const int16_t *tile, integer_rows queries, const int count, int head_size,
                                       int always_1) {
    (void)always_1; // register of keys
    for (int q = 0; q < count; q++) dots[q][0] = (key_integers){0};
    int first = 0;
    for (; first + 8 <= head_size; first += 8) add_elements_int8(dots, tile, queries, count, &(span){first, 8});
    if (first < head_size) add_elements_int8(dots, tile, queries, count, &(span){first, head_size - first});
}

// The values of one or four keys, of which each query's probabilities are one load: products take them from its lanes.
RK_LANES_INLINE void add_shared(v8 *sums, const v8 values[4], float_rows p, const int count, const int keys) {
    RK_UNROLL
    for (int q = 0; q < count; q++) {
        v4 four = {0};
        memcpy(&four, ROW(p, q), (size_t)keys * sizeof *p.first);
        RK_UNROLL
        for (int k = 0; k < keys; k++) sums[q] = __builtin_elementwise_fma(four[k] - (v8){0}, values[k], sums[q]);
    }
}

RK_LANES_INLINE v8 load_value(const rk_f16 *value, int width) { return __builtin_convertvector(load_f16_upto(value, width), v8); }

// `part.width` <= 8 elements of the values of the keys that `count` queries share, not divided yet.
RK_LANES_INLINE void share_values(key_range keys, float_rows out, float_rows p, const int count, const span *part) {
    v8 sums[RK_VALUE_QUERIES];
    const size_t step = (size_t)keys.at->head_size;
    const float *end = p.first + keys.end;
    for (int q = 0; q < count; q++) sums[q] = (v8){0};
    for (const rk_key_run *run = keys.runs; p.first < end; run++) {
        const rk_f16 *value = (const rk_f16 *)run_values(keys.at, run, sizeof(rk_f16)) + part->first;
        const float *run_end = p.first + rk_min((int)(end - p.first), run->count);
        for (; part->width == 8 && p.first + 4 <= run_end; p.first += 4, value += 4 * step) {
            const v8 four[4] = {load_value(value, 8), load_value(value + step, 8), load_value(value + 2 * step, 8), load_value(value + 3 * step, 8)};
            add_shared(sums, four, p, count, 4);
        }
        for (; p.first < run_end; p.first++, value += step) {
            const v8 one = load_value(value, part->width);
            add_shared(sums, &one, p, count, 1);
        }
    }
    for (int q = 0; q < count; q++) {
        float *to = ROW(out, q) + part->first;
        if (part->width == 8) memcpy(to, &sums[q], sizeof sums[q]);
        else copy_below_16(to, &sums[q], part->width, sizeof *to);
    }
}

RK_LANES_INLINE void share_blocks(key_range keys, float_rows out, float_rows p, const int count) {
    const int head_size = keys.at->head_size;
    int first = 0;
    for (; first + 8 <= head_size; first += 8) share_values(keys, out, p, count, &(span){first, 8});
    RK_NO_UNROLL
    for (int q = 0; q < count && first < head_size; q++)
        share_values(keys, rows_from(out, q), rows_from(p, q), 1, &(span){first, head_size - first});
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

typedef struct weight_rows {
    const int8_t *first;
    size_t stride;
} weight_rows;

// A plane of the weights, in place of scores, from that of a key on.
RK_LANES_INLINE weight_rows weights_of(float_rows rows, int key, int plane) {
    return (weight_rows){(const int8_t *)((const int16_t *)rows.first + key / 16 * 16) + 16 * plane + key % 16, sizeof(float) * rows.stride};
}

// Of four values, those of one element beside each other.
RK_LANES_INLINE void add_products_of_values(key_integers sums[][VALUE_REGISTERS], const int8_t *const values[4], weight_rows weights,
                                            const int count, const span *part) {
    RK_UNROLL
    for (int r = 0; r < VALUE_REGISTERS; r += 2) {
        if (4 * r >= part->width) continue;
        int8x16_t v[4];
        RK_UNROLL
        for (int k = 0; k < 4; k++) {
            int8x8_t eight = {0};
            if (part->width - 4 * r >= 8) eight = vld1_s8(values[k] + part->first + 4 * r);
            else copy_below_16(&eight, values[k] + part->first + 4 * r, part->width - 4 * r, 1);
            v[k] = vcombine_s8(eight, vdup_n_s8(0));
        }
        const int16x8_t a = (int16x8_t)vzip1q_s8(v[0], v[1]), b = (int16x8_t)vzip1q_s8(v[2], v[3]);
        const int8x16_t low = (int8x16_t)vzip1q_s16(a, b), high = (int8x16_t)vzip2q_s16(a, b);
        RK_UNROLL
        for (int q = 0; q < count; q++) {
            int32x2_t w = {0};
            memcpy(&w, ROW(weights, q), sizeof(int32_t));
            sums[q][r] = (key_integers)vdotq_lane_s32((int32x4_t)sums[q][r], low, (int8x8_t)w, 0);
            sums[q][r + 1] = (key_integers)vdotq_lane_s32((int32x4_t)sums[q][r + 1], high, (int8x8_t)w, 0);
        }
    }
}
#else
// Of four values, of which each query's weights are one load: products take them from its lanes.
RK_LANES_INLINE void add_products_of_values(key_integers sums[][VALUE_REGISTERS], const int8_t *const values[4], weight_rows weights,
                                            const int count, const span *part) {
    RK_UNROLL
    for (int r = 0; r < VALUE_REGISTERS; r += 2) {
        if (4 * r >= part->width) continue;
        int16x8_t v[4];
        RK_UNROLL
        for (int k = 0; k < 4; k++) v[k] = (int16x8_t)load_bytes8_upto(values[k] + part->first + 4 * r, rk_min(8, part->width - 4 * r));
        RK_UNROLL
        for (int q = 0; q < count; q++) {
            const int16x4_t w = vld1_s16(ROW(weights, q));
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
