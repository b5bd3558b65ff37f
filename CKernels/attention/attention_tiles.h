// Part of attention_lanes.h, with registers of eight or sixteen lanes:
// fill_tile, dots_of_tile and dots_of_tile_int8 for the keys that several queries share, share_blocks for their values in f16; of values in bytes
// add_products_of_values and put_in_order, for one query as well.

enum { KEY_INTEGERS = 2 }; // elements of a key of bytes that lie beside each other in its tile
enum { SCORED_REGISTERS = 2, BYTE_TILE_KEYS = SCORED_REGISTERS * RK_KEY_LANES }; // whose dots are summed at once, and the keys in a tile of bytes
enum { VALUE_KEYS = 2 };   // whose values are multiplied together
// Elements that add_products_of_values takes: 64, these, or fewer at the end of a head; of several queries SHARED_STEP instead of 64.
enum { VALUE_STEP = 16, SHARED_STEP = 16 * RK_VALUE_BLOCKS };

// Up to 16 bytes of sixteen keys, transposed: t[i] holds the i-th two bytes of all of them.
RK_LANES_INLINE void transpose(__m256i t[8], const void *const keys[16], ptrdiff_t from, int bytes) {
    __m256i k[8]; // keys k and k + 8
    RK_UNROLL
    for (int i = 0; i < 8; i++) {
        __m128i low = {0}, high = {0};
        if (__builtin_expect(bytes == 16, 1)) {
            memcpy(&low, (const char *)keys[i] + from, sizeof low);
            memcpy(&high, (const char *)keys[i + 8] + from, sizeof high);
        } else {
            copy_below_16(&low, (const char *)keys[i] + from, bytes, 1);
            copy_below_16(&high, (const char *)keys[i + 8] + from, bytes, 1);
        }
        k[i] = _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
    }
    __m256i two[8], four[8]; // keys beside each other
    RK_UNROLL
    for (int i = 0; i < 4; i++) {
        two[i] = _mm256_unpacklo_epi16(k[2 * i], k[2 * i + 1]);
        two[4 + i] = _mm256_unpackhi_epi16(k[2 * i], k[2 * i + 1]);
    }
    RK_UNROLL
    for (int i = 0; i < 8; i += 2) {
        four[i] = _mm256_unpacklo_epi32(two[i], two[i + 1]);
        four[i + 1] = _mm256_unpackhi_epi32(two[i], two[i + 1]);
    }
    RK_UNROLL
    for (int i = 0; i < 8; i++) {
        const __m256i a = four[i / 4 * 4 + i / 2 % 2], b = four[i / 4 * 4 + i / 2 % 2 + 2];
        t[i] = i % 2 ? _mm256_unpackhi_epi64(a, b) : _mm256_unpacklo_epi64(a, b);
    }
}

// Up to 16 bytes of sixteen keys of a tile, 64 for each two of theirs: of f16 a float, of bytes a pair of integers.
RK_LANES_INLINE void fill_part(void *tile, const void *const keys[16], ptrdiff_t from, int bytes, const size_t size) {
    __m256i t[8];
    transpose(t, keys, from, bytes);
    char *to = (char *)tile + 32 * from;
    RK_UNROLL
    for (int i = 0; i < 8; i++) {
        if (2 * i >= bytes) continue;
        const v16 floats = __builtin_convertvector((v16_f16)t[i], v16);
        const v32_short integers = __builtin_convertvector((v32_bytes)t[i], v32_short);
        if (size == sizeof(rk_f16)) memcpy(to + 64 * i, &floats, sizeof floats);
        else memcpy(to + 64 * i, &integers, sizeof integers);
    }
}

// The next `count` keys of the cursor, of elements of `size` bytes, as keys number `first`, a multiple of 16, and following of the tile; where
// they are fewer than 16, the last one is repeated. Each sixteen keys are a part of the tile.
RK_LANES_INLINE void fill_tile(void *tile, cursor *c, float *scales, const size_t size, int count, int first) {
    const int bytes = (int)c->step;
    const void *keys[16];
    take_keys(c, keys, scales, 16, count);
    char *part = (char *)tile + first * 2 * rk_divide_up(bytes, 2) * 2;
    int from = 0;
    for (; from + 32 <= bytes; from += 32) {
        fill_part(part, keys, from, 16, size);
        fill_part(part, keys, from + 16, 16, size);
    }
    for (; from < bytes; from += 16) fill_part(part, keys, from, rk_min(16, bytes - from), size);
}

// Lane `lane` of the dots of `count` queries with keys of the tile.
RK_LANES_INLINE void sum_lane(key_lanes sums[4], const float *tile, query_rows queries, const int count, int head_size, int lane) {
    for (int q = 0; q < count; q++) sums[q] = (key_lanes){0};
    for (int i = lane; i < head_size; i += RK_LANES) {
        key_lanes key;
        memcpy(&key, tile + 16 * i, sizeof key);
        for (int q = 0; q < count; q++) sums[q] = __builtin_elementwise_fma(ROW(queries, q)[i] - (key_lanes){0}, key, sums[q]);
    }
}

// Adds the lanes of a dot in the order of rk_reduce_lanes, so that few of them wait.
RK_LANES_INLINE void dots_of_tile(key_lanes dots[4], const float *tile, query_rows queries, const int count, int head_size) {
    RK_UNROLL
    for (int a = 0; a < 2; a++) {
        key_lanes by2[4];
        RK_UNROLL
        for (int b = 0; b < 2; b++) {
            key_lanes by4[4];
            RK_UNROLL
            for (int c = 0; c < 2; c++) {
                key_lanes low[4], high[4];
                sum_lane(low, tile, queries, count, head_size, a + 2 * b + 4 * c);
                sum_lane(high, tile, queries, count, head_size, a + 2 * b + 4 * c + 8);
                for (int q = 0; q < count; q++) by4[q] = c ? by4[q] + (low[q] + high[q]) : low[q] + high[q];
            }
            for (int q = 0; q < count; q++) by2[q] = b ? by2[q] + by4[q] : by4[q];
        }
        for (int q = 0; q < count; q++) dots[q] = a ? dots[q] + by2[q] : by2[q];
    }
}

// Integers of sixteen keys, a part of a tile.
RK_INLINE int tile_part(int head_size) { return 32 * rk_divide_up(head_size, 2); }

// Where the keys from number `first` of a tile on lie in it.
RK_INLINE int offset_in_tile(int first, int head_size) { return first / 16 * tile_part(head_size) + KEY_INTEGERS * (first % 16); }

// Two products for each key and query, of the first pair of elements of each, added to its sum. A register holds pairs of RK_KEY_LANES keys, the next
// one lies `step` further.
RK_LANES_INLINE void add_pairs(key_integers sums[4][SCORED_REGISTERS], const int16_t *pairs, size_t step, integer_rows queries, const int count,
                               const int registers) {
    key_integers keys[SCORED_REGISTERS];
    for (int r = 0; r < registers; r++) memcpy(&keys[r], pairs + (size_t)r * step, sizeof keys[r]);
    RK_UNROLL
    for (int q = 0; q < count; q++) {
        int32_t x;
        memcpy(&x, ROW(queries, q), sizeof x);
        for (int r = 0; r < registers; r++) sums[q][r] = RK_ADD_PRODUCTS(sums[q][r], keys[r], x - (key_integers){0});
    }
}

// The dots of up to four queries with keys of the tile, `registers` full of them.
RK_LANES_INLINE void dots_of_tile_int8(key_integers dots[4][SCORED_REGISTERS], const int16_t *keys, integer_rows queries, const int count,
                                       int head_size, const int registers) {
    const size_t step = RK_KEY_LANES == 16 ? (size_t)tile_part(head_size) : KEY_INTEGERS * RK_KEY_LANES;
    for (int q = 0; q < count; q++) {
        for (int r = 0; r < registers; r++) dots[q][r] = (key_integers){0};
    }
    for (int i = 0; i < head_size; i += 2) {
        const integer_rows pairs = {queries.first + i, queries.stride, queries.factors};
        add_pairs(dots, keys + 16 * i, step, pairs, count, registers);
    }
}

// The values of the keys that `count` queries share, not divided yet. The elements are `blocks` times 16, of which `part` is the first, or one part
// of fewer.
RK_LANES_INLINE void share_values(key_range keys, float_rows out, float_rows p, const int count, const span *part, const int blocks) {
    v16 sums[RK_VALUE_QUERIES][RK_VALUE_BLOCKS];
    const float *end = p.first + keys.end;
    for (int q = 0; q < count; q++) {
        for (int b = 0; b < blocks; b++) sums[q][b] = v16_splat(0);
    }
    for (const rk_key_run *run = keys.runs; p.first < end; run++) {
        const rk_f16 *value = (const rk_f16 *)run_values(keys.at, run, sizeof(rk_f16)) + part->first;
        const float *run_end = p.first + rk_min((int)(end - p.first), run->count);
        for (; p.first < run_end; p.first++, value += keys.at->head_size) {
            v16 v[RK_VALUE_BLOCKS];
            for (int b = 0; b < blocks; b++) v[b] = v16_load_f16_upto(value + 16 * b, part->width);
            RK_UNROLL
            for (int q = 0; q < count; q++) {
                for (int b = 0; b < blocks; b++) sums[q][b] = v16_fma(v16_splat(*ROW(p, q)), v[b], sums[q][b]);
            }
        }
    }
    for (int q = 0; q < count; q++) {
        for (int b = 0; b < blocks; b++) v16_store_upto(ROW(out, q) + part->first + 16 * b, sums[q][b], part->width);
    }
}

RK_LANES_INLINE void share_blocks(key_range keys, float_rows out, float_rows p, const int count) {
    const int head_size = keys.at->head_size;
    int first = 0;
    for (; first + SHARED_STEP <= head_size; first += SHARED_STEP) share_values(keys, out, p, count, &(span){first, 16}, RK_VALUE_BLOCKS);
    for (; first < head_size; first += 16) share_values(keys, out, p, count, &(span){first, rk_min(16, head_size - first)}, 1);
}

// Elements of two values, those of the same number beside each other. Sixty-four on AVX-512 are left as unpacking within 128 bits leaves them, which
// takes half as many instructions: put_in_order makes up for it.
RK_LANES_INLINE void load_pairs(key_integers pairs[VALUE_REGISTERS], const int8_t *const values[2], const span *part) {
#if RK_KEY_LANES == 16
    if (part->width == 64) {
        const __m512i a = _mm512_loadu_si512(values[0] + part->first), b = _mm512_loadu_si512(values[1] + part->first);
        const __m512i low = _mm512_unpacklo_epi8(a, b), high = _mm512_unpackhi_epi8(a, b);
        pairs[0] = (key_integers)_mm512_cvtepi8_epi16(_mm512_castsi512_si256(low));
        pairs[1] = (key_integers)_mm512_cvtepi8_epi16(_mm512_extracti64x4_epi64(low, 1));
        pairs[2] = (key_integers)_mm512_cvtepi8_epi16(_mm512_castsi512_si256(high));
        pairs[3] = (key_integers)_mm512_cvtepi8_epi16(_mm512_extracti64x4_epi64(high, 1));
        return;
    }
#endif
    for (int i = 0; i < part->width; i += 16) {
        const __m128i a = (__m128i)v16_load_bytes_upto(values[0] + part->first + i, part->width - i);
        const __m128i b = (__m128i)v16_load_bytes_upto(values[1] + part->first + i, part->width - i);
        const __m256i low = _mm256_cvtepi8_epi16(_mm_unpacklo_epi8(a, b)), high = _mm256_cvtepi8_epi16(_mm_unpackhi_epi8(a, b));
        memcpy(&pairs[i / RK_KEY_LANES], &low, sizeof low);
        memcpy((__m256i *)&pairs[i / RK_KEY_LANES] + 1, &high, sizeof high);
    }
}

RK_LANES_INLINE void put_in_order(key_integers sums[VALUE_REGISTERS], int elements) {
#if RK_KEY_LANES == 16
    if (elements != 64) return;
    const key_integers a = sums[0], b = sums[1], c = sums[2], d = sums[3];
    sums[0] = __builtin_shufflevector(a, c, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23);
    sums[1] = __builtin_shufflevector(a, c, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
    sums[2] = __builtin_shufflevector(b, d, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23);
    sums[3] = __builtin_shufflevector(b, d, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
#else
    (void)sums, (void)elements;
#endif
}

// Of two values, of which each query's weights are a pair.
RK_LANES_INLINE void add_products_of_values(key_integers sums[][VALUE_REGISTERS], const int8_t *const values[2], weight_rows weights,
                                            const int count, const span *part) {
    key_integers pairs[VALUE_REGISTERS];
    load_pairs(pairs, values, part);
    RK_UNROLL
    for (int q = 0; q < count; q++) {
        int32_t pair;
        memcpy(&pair, ROW(weights, q), sizeof pair);
        RK_UNROLL
        for (int r = 0; r < VALUE_REGISTERS; r++) {
            if (RK_KEY_LANES * r < part->width) sums[q][r] = RK_ADD_PRODUCTS(sums[q][r], pairs[r], pair - (key_integers){0});
        }
    }
}
