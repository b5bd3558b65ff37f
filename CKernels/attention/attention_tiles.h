// Part of attention_lanes.h, with registers of eight or sixteen lanes:
// fill_tile, dots_of_tile and dots_of_tile_int8 for the keys that several queries share, share_blocks for their values.

enum { KEY_INTEGERS = 2 }; // elements of a key of bytes that lie beside each other in its tile

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

// Up to 16 bytes of all keys of a tile, 64 for each two of theirs: of f16 a float, of bytes a pair of integers.
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

// The next `count` keys of the cursor, of elements of `size` bytes; where they are fewer than 16, the last one is repeated.
RK_LANES_INLINE void fill_tile(void *tile, cursor *c, const size_t size, int count) {
    const int bytes = c->at->head_size * (int)size;
    const void *keys[16];
    tile_keys(c, keys, count);
    int from = 0;
    for (; from + 32 <= bytes; from += 32) {
        fill_part(tile, keys, from, 16, size);
        fill_part(tile, keys, from + 16, 16, size);
    }
    for (; from < bytes; from += 16) fill_part(tile, keys, from, rk_min(16, bytes - from), size);
}

// Lane `lane` of the dots of `count` queries with keys of the tile.
RK_LANES_INLINE void sum_lane(key_lanes sums[4], const float *tile, const float *queries, size_t stride, const int count, int head_size, int lane) {
    for (int q = 0; q < count; q++) sums[q] = (key_lanes){0};
    for (int i = lane; i < head_size; i += RK_LANES) {
        key_lanes key;
        memcpy(&key, tile + 16 * i, sizeof key);
        for (int q = 0; q < count; q++) sums[q] = __builtin_elementwise_fma(queries[(size_t)q * stride + (size_t)i] - (key_lanes){0}, key, sums[q]);
    }
}

// Adds the lanes of a dot in the order of rk_reduce_lanes, so that few of them wait.
RK_LANES_INLINE void dots_of_tile(key_lanes dots[4], const float *tile, const float *queries, size_t stride, const int count, int head_size) {
    RK_UNROLL
    for (int a = 0; a < 2; a++) {
        key_lanes by2[4];
        RK_UNROLL
        for (int b = 0; b < 2; b++) {
            key_lanes by4[4];
            RK_UNROLL
            for (int c = 0; c < 2; c++) {
                key_lanes low[4], high[4];
                sum_lane(low, tile, queries, stride, count, head_size, a + 2 * b + 4 * c);
                sum_lane(high, tile, queries, stride, count, head_size, a + 2 * b + 4 * c + 8);
                for (int q = 0; q < count; q++) by4[q] = c ? by4[q] + (low[q] + high[q]) : low[q] + high[q];
            }
            for (int q = 0; q < count; q++) by2[q] = b ? by2[q] + by4[q] : by4[q];
        }
        for (int q = 0; q < count; q++) dots[q] = a ? dots[q] + by2[q] : by2[q];
    }
}

// Two products for each key of the tile and query, added to its sum. A register holds pairs of elements of RK_KEY_LANES keys.
RK_LANES_INLINE void add_pairs(key_integers sums[4], const int16_t *tile, const int16_t *queries, size_t stride, const int count, int pair) {
    key_integers keys;
    memcpy(&keys, tile + 32 * pair, sizeof keys);
    RK_UNROLL
    for (int q = 0; q < count; q++) {
        int32_t x;
        memcpy(&x, queries + (size_t)q * stride + 2 * (size_t)pair, sizeof x);
        sums[q] += RK_KEY_PRODUCTS(keys, x - (key_integers){0});
    }
}

// The dots of up to four queries with keys of the tile. Two sums each, or their additions would wait for each other.
RK_LANES_INLINE void dots_of_tile_int8(key_integers dots[4], const int16_t *tile, const int16_t *queries, size_t stride, const int count,
                                       int head_size) {
    key_integers odd[4];
    for (int q = 0; q < count; q++) dots[q] = odd[q] = (key_integers){0};
    int i = 0;
    for (; i + 4 <= head_size; i += 4) {
        add_pairs(dots, tile, queries, stride, count, i / 2);
        add_pairs(odd, tile, queries, stride, count, i / 2 + 1);
    }
    for (; i < head_size; i += 2) add_pairs(dots, tile, queries, stride, count, i / 2);
    for (int q = 0; q < count; q++) dots[q] += odd[q];
}

// `blocks` times 16 elements of the head from element `first`, or one block of `width` < 16: the first `shared` values for `count` queries, not
// divided yet.
RK_LANES_INLINE void share_values(const rk_attention_head *at, size_t size, float *out, size_t out_stride, const rk_key_run *run, int shared,
                                  const float *p, size_t p_stride, const int count, int first, const int blocks, int width) {
    v16 sums[RK_VALUE_QUERIES][RK_VALUE_BLOCKS];
    const size_t step = (size_t)at->head_size * size;
    const float *end = p + shared;
    for (int q = 0; q < count; q++) {
        for (int b = 0; b < blocks; b++) sums[q][b] = v16_splat(0);
    }
    for (; p < end; run++) {
        const char *value = run_values(at, run, size);
        for (const float *run_end = p + rk_min((int)(end - p), run->count); p < run_end; p++, value += step) {
            v16 v[RK_VALUE_BLOCKS];
            for (int b = 0; b < blocks; b++) v[b] = load_value(value, first + 16 * b, width, size);
            RK_UNROLL
            for (int q = 0; q < count; q++) {
                for (int b = 0; b < blocks; b++) sums[q][b] = v16_fma(v16_splat(p[(size_t)q * p_stride]), v[b], sums[q][b]);
            }
        }
    }
    for (int q = 0; q < count; q++) {
        for (int b = 0; b < blocks; b++) v16_store_upto(out + (size_t)q * out_stride + first + 16 * b, sums[q][b], width);
    }
}

RK_LANES_INLINE void share_blocks(const rk_attention_head *at, size_t size, float *out, size_t out_stride, const rk_key_run *runs,
                                  int shared, const float *p, size_t p_stride, const int count) {
    enum { STEP = 16 * RK_VALUE_BLOCKS };
    int first = 0;
    for (; first + STEP <= at->head_size; first += STEP)
        share_values(at, size, out, out_stride, runs, shared, p, p_stride, count, first, RK_VALUE_BLOCKS, 16);
    for (; first < at->head_size; first += 16)
        share_values(at, size, out, out_stride, runs, shared, p, p_stride, count, first, 1, rk_min(16, at->head_size - first));
}
