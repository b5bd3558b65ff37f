// Part of attention_lanes.h, with registers of eight or sixteen lanes:
// fill_tile and dots_of_tile for the keys that several queries share, share_blocks for their values.

#define IN_QUARTERS(x, y, a, b, c, d) \
    __builtin_shufflevector(x, y, a, b, c, d, a + 4, b + 4, c + 4, d + 4, a + 8, b + 8, c + 8, d + 8, a + 12, b + 12, c + 12, d + 12)
#define QUARTERS(x, y, a, b) \
    __builtin_shufflevector(x, y, a, a + 1, a + 2, a + 3, b, b + 1, b + 2, b + 3, a + 16, a + 17, a + 18, a + 19, b + 16, b + 17, b + 18, b + 19)

// The next `count` keys of the cursor; where they are fewer than 16, the last one is repeated.
RK_LANES_INLINE void fill_tile(float *tile, cursor *c, int count) {
    const int head_size = c->at->head_size;
    const void *keys[16];
    tile_keys(c, keys, count);
    for (int first = 0; first < head_size; first += 16, tile += 16 * 16) {
        const int width = rk_min(16, head_size - first);
        v16 t[16]; // t[4 * g + i], quarter q: element 4 * q + i of the keys 4 * g ..< 4 * g + 4
        RK_UNROLL
        for (int g = 0; g < 16; g += 4) {
            v16 k[4];
            for (int i = 0; i < 4; i++) k[i] = v16_load_half_upto((const rk_f16 *)keys[g + i] + first, width);
            const v16 low[2] = {IN_QUARTERS(k[0], k[1], 0, 16, 1, 17), IN_QUARTERS(k[2], k[3], 0, 16, 1, 17)};
            const v16 high[2] = {IN_QUARTERS(k[0], k[1], 2, 18, 3, 19), IN_QUARTERS(k[2], k[3], 2, 18, 3, 19)};
            t[g] = IN_QUARTERS(low[0], low[1], 0, 1, 16, 17), t[g + 1] = IN_QUARTERS(low[0], low[1], 2, 3, 18, 19);
            t[g + 2] = IN_QUARTERS(high[0], high[1], 0, 1, 16, 17), t[g + 3] = IN_QUARTERS(high[0], high[1], 2, 3, 18, 19);
        }
        RK_UNROLL
        for (int i = 0; i < 4; i++) {
            const v16 even[2] = {QUARTERS(t[i], t[4 + i], 0, 8), QUARTERS(t[8 + i], t[12 + i], 0, 8)};
            const v16 odd[2] = {QUARTERS(t[i], t[4 + i], 4, 12), QUARTERS(t[8 + i], t[12 + i], 4, 12)};
            if (i < width) v16_store(tile + 16 * i, QUARTERS(even[0], even[1], 0, 8));
            if (4 + i < width) v16_store(tile + 16 * (4 + i), QUARTERS(odd[0], odd[1], 0, 8));
            if (8 + i < width) v16_store(tile + 16 * (8 + i), QUARTERS(even[0], even[1], 4, 12));
            if (12 + i < width) v16_store(tile + 16 * (12 + i), QUARTERS(odd[0], odd[1], 4, 12));
        }
    }
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

// Adds the lanes of a dot in the order of rk_join_lanes, so that few of them wait.
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

// `blocks` times 16 elements of the head from element `first`, or one block of `width` < 16: the first `shared` values for `count` queries, not
// divided yet.
RK_LANES_INLINE void share_values(const rk_attention_head *at, size_t size, float *out, size_t out_stride, const rk_key_run *run, int shared,
                                  const float *p, size_t p_stride, const int count, int first, const int blocks, int width) {
    v16 sums[RK_VALUE_QUERIES][RK_VALUE_BLOCKS];
    const size_t step = (size_t)at->head_size * size;
    const float *end = p + shared;
    for (int q = 0; q < count; q++) {
        for (int b = 0; b < blocks; b++) sums[q][b] = v16_all(0);
    }
    for (; p < end; run++) {
        const char *value = run_values(at, run, size);
        for (const float *run_end = p + rk_min((int)(end - p), run->count); p < run_end; p++, value += step) {
            v16 v[RK_VALUE_BLOCKS];
            for (int b = 0; b < blocks; b++) v[b] = load_value(value, first + 16 * b, width, size);
            RK_UNROLL
            for (int q = 0; q < count; q++) {
                for (int b = 0; b < blocks; b++) sums[q][b] = v16_fma(v16_all(p[(size_t)q * p_stride]), v[b], sums[q][b]);
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
