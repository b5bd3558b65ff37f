#include "matmul.h"

#if defined(__x86_64__)
#include "../madd.h"
#define RK_TARGET RK_TARGET_AVX2
#define RK_MADD16 rk_madd16_avx2
#include "../lanes.h"
#include "matmul_int16.h"
#include "matmul_offsets.h"

RK_LANES_INLINE v16 load_floats(const void *w, rk_type type, int k) {
    return type == RK_F32 ? v16_load((const float *)w + k * RK_PANEL) : v16_load_f16((const rk_f16 *)w + k * RK_PANEL);
}

// The columns from ..< from + count of a panel, f32 or f16, which lie at w.
typedef struct column_range {
    const void *w;
    rk_type type;
    int from, count;
    int prefetch; // w is the panel itself, and the next one comes from memory
} column_range;

RK_INLINE column_range all_columns(const rk_matmul_tile *tile, rk_type type, int panel) {
    return (column_range){.w = rk_tile_panel(tile, type, panel), .type = type, .count = tile->columns, .prefetch = 1};
}

// out holds the sums of the columns before, and takes the product when these are the last.
RK_LANES_INLINE void float_rows(const rk_matmul_tile *tile, const column_range c, int panel, int first, const int rows) {
    const float *x = tile->x + tile->x_stride * (size_t)first + c.from;
    rk_prefetch_cursor next = rk_next_panels_cursor(tile, c.type, panel, 1, first, rows, c.type == RK_F16 ? 32 : 64);
    v16 acc[6];
    for (int t = 0; t < rows; t++) acc[t] = c.from ? v16_load(rk_tile_out(tile, panel, first + t)) : v16_splat(0);
    for (int k = 0; k < c.count; k++) {
        if (c.prefetch) rk_prefetch_next(&next, 0, 1, RK_PREFETCH_L1);
        const v16 weights = load_floats(c.w, c.type, k);
        RK_UNROLL
        for (int t = 0; t < rows; t++) acc[t] = v16_fma(weights, v16_splat(x[tile->x_stride * (size_t)t + (size_t)k]), acc[t]);
    }
    const int is_last = c.from + c.count == tile->columns;
    const v16 bias = tile->bias && is_last ? v16_load(tile->bias + panel * RK_PANEL) : v16_splat(0);
    for (int t = 0; t < rows; t++) v16_store(rk_tile_out(tile, panel, first + t), is_last ? acc[t] + bias : acc[t]);
}

RK_LANES_INLINE void float_row(const rk_matmul_tile *tile, const rk_panels panels, rk_type type) {
    const char *w = rk_tile_panel(tile, type, panels.first);
    const size_t stream = rk_panel_bytes(type, tile->columns) * (size_t)panels.apart;
    v16 acc[STREAMS];
    rk_prefetch_biases(tile, panels);
    for (int p = 0; p < panels.count; p++) acc[p] = v16_splat(0);
    for (int k = 0; k < tile->columns; k++) {
        for (int p = 0; p < panels.count; p++) acc[p] = v16_fma(load_floats(w + stream * (size_t)p, type, k), v16_splat(tile->x[k]), acc[p]);
    }
    for (int p = 0; p < panels.count; p++) {
        const v16 bias = tile->bias ? v16_load(tile->bias + (panels.first + p * panels.apart) * RK_PANEL) : v16_splat(0);
        v16_store(rk_tile_out(tile, panels.first + p * panels.apart, 0), acc[p] + bias);
    }
}

RK_TARGET RK_INLINE __m256i add_pairs(__m256i sum, __m256i w, __m256i x) {
    return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(w, x), _mm256_set1_epi16(1)));
}

// |w| times x with the sign of w: two products stay below 2^15, as |w| <= 128 and |x| <= 127.
RK_TARGET RK_INLINE __m256i add_int8(__m256i sum, __m256i w, __m256i x) { return add_pairs(sum, _mm256_abs_epi8(w), _mm256_sign_epi8(x, w)); }

// Minus the sums of the negative weights of `columns` columns of a panel.
RK_TARGET RK_INLINE void sum_negative(int32_t sums[RK_PANEL], const int8_t *w, int columns) {
    __m256i sum[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    for (int k = 0; k < columns; k += RK_COLUMN_BLOCK) {
        __m256i some[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()}; // 16 times two of at most 128
        for (int c = k; c < k + RK_COLUMN_BLOCK; c += 4) {
            RK_UNROLL
            for (int half = 0; half < 2; half++) {
                const __m256i negative = _mm256_min_epi8(load_bytes(w + c * RK_PANEL + 32 * half), _mm256_setzero_si256());
                some[half] = _mm256_add_epi16(some[half], _mm256_maddubs_epi16(_mm256_set1_epi8(1), negative));
            }
        }
        for (int half = 0; half < 2; half++) sum[half] = _mm256_sub_epi32(sum[half], _mm256_madd_epi16(some[half], _mm256_set1_epi16(1)));
    }
    for (int half = 0; half < 2; half++) store_bytes(sums + 8 * half, sum[half]);
}

// starts: of sum_negative() for each block, for many rows of x, or NULL. With them x is complemented where w is negative, which more pipes can do
// than change a sign: that is one less than -x, and so many |w| less in the sum. It fits all the same: twice -128 times 128 is -2^15.
RK_TARGET RK_INLINE void int8_rows(const rk_matmul_tile *tile, int panel, int first, const int rows, const int32_t starts[][RK_PANEL]) {
    const float *w_scales = rk_tile_panel(tile, RK_INT8, panel);
    const int8_t *w = (const int8_t *)(w_scales + RK_PANEL);
    const int8_t *x = rk_tile_x8(tile, first);
    const float *scales = rk_tile_scales(tile, first);
    __m256 acc[4][2];
    rk_prefetch_cursor next = rk_next_panels_cursor(tile, RK_INT8, panel, 1, first, rows, 64);
    for (int t = 0; t < rows; t++) acc[t][0] = acc[t][1] = _mm256_setzero_ps();
    for (int block = 0; block < tile->columns; block += RK_INT8_BLOCK, scales++) {
        const int end = rk_min(block + RK_INT8_BLOCK, tile->columns);
        __m256i sum[4][2];
        for (int t = 0; t < rows; t++) {
            for (int half = 0; half < 2; half++) sum[t][half] = starts ? load_bytes(*starts + 8 * half) : _mm256_setzero_si256();
        }
        if (starts) starts++;
        for (int k = block; k < end; k += 4) {
            rk_prefetch_next(&next, 0, 1, RK_PREFETCH_L1);
            __m256i weights[2], magnitudes[2], signs[2];
            RK_UNROLL
            for (int half = 0; half < 2; half++) {
                weights[half] = load_bytes(w + k * RK_PANEL + 32 * half);
                magnitudes[half] = _mm256_abs_epi8(weights[half]);
                signs[half] = _mm256_cmpgt_epi8(_mm256_setzero_si256(), weights[half]);
            }
            RK_UNROLL
            for (int t = 0; t < rows; t++) {
                const __m256i columns = broadcast4(x + tile->x_stride * (size_t)t + k);
                RK_UNROLL
                for (int half = 0; half < 2; half++) {
                    sum[t][half] = starts ? add_pairs(sum[t][half], magnitudes[half], _mm256_xor_si256(columns, signs[half]))
                                          : add_int8(sum[t][half], weights[half], columns);
                }
            }
        }
        for (int t = 0; t < rows; t++) {
            for (int half = 0; half < 2; half++) acc[t][half] = add_block(acc[t][half], sum[t][half], scales + tile->scales_stride * (size_t)t);
        }
    }
    for (int t = 0; t < rows; t++) {
        for (int half = 0; half < 2; half++) store_int8(tile, panel, first + t, half, w_scales, acc[t][half]);
    }
}

// One value for all lanes, by a load: a compiler that shifts the value first goes through the general registers.
RK_TARGET RK_INLINE __m256i load_to_all(const int32_t *p) {
    __m256i all = _mm256_set1_epi32(*p);
    __asm__("" : "+x"(all));
    return all;
}

// Where the 16-bit sums of a group start, two for each row, of half of the columns each: the even one from minus 8 times the sum of x, as nibbles
// are stored plus 8. Then it is at most 32 * 8 * 127 in the end, the other one 16 * 15 * 127, and both fit.
RK_TARGET RK_INLINE __m256i group_start(const int32_t *start) { return _mm256_and_si256(load_to_all(start), _mm256_set1_epi32(0xffff)); }

// Of the scales of a pair of groups, as words, those of one of the two, once for each of a row's sums.
RK_TARGET RK_INLINE __m256i group_scales(__m256i scales, const int odd) {
    return odd ? _mm256_blend_epi16(_mm256_srli_epi32(scales, 16), scales, 0xaa) : _mm256_blend_epi16(scales, _mm256_slli_epi32(scales, 16), 0xaa);
}

// Four columns of a panel (unsigned nibbles in bytes) times those of each row of x.
RK_TARGET RK_INLINE void add_columns(__m256i sum[][2], const __m256i w[2], const int8_t *x, size_t x_stride, const int rows) {
    RK_UNROLL
    for (int t = 0; t < rows; t++) {
        const __m256i columns = broadcast4(x + x_stride * (size_t)t);
        for (int half = 0; half < 2; half++) {
            sum[t][half] = _mm256_add_epi16(sum[t][half], _mm256_maddubs_epi16(w[half], columns));
            __asm__("" : "+x"(sum[t][half])); // else the compiler adds products to each other first, for which registers are too few
        }
    }
}

// Few rows of x: nibbles are unpacked in registers.
RK_TARGET RK_INLINE void int4_rows(const rk_matmul_tile *tile, int panel, int first, const int rows) {
    const uint8_t *blocks = rk_tile_blocks(tile, panel);
    const int8_t *x = rk_tile_x8(tile, first);
    const int32_t *starts = rk_tile_starts(tile, first);
    const size_t groups = (size_t)tile->columns / RK_GROUP;
    __m256i acc[4][2];
    rk_prefetch_cursor next = rk_next_panels_cursor(tile, RK_INT4, panel, 1, first, rows, 64);
    for (int t = 0; t < rows; t++) acc[t][0] = acc[t][1] = _mm256_setzero_si256();
    for (size_t pair = 0; pair < groups; pair += 2) {
        const int8_t *scales = rk_pair_scales(blocks, pair);
        rk_prefetch_next(&next, 0, 1, RK_PREFETCH_L1);
        RK_UNROLL
        for (int odd = 0; odd < 2; odd++, x += RK_GROUP, starts++) {
            const uint8_t *w = rk_group_weights(blocks, pair) + 256 * odd;
            __m256i sum[4][2];
            for (int t = 0; t < rows; t++) sum[t][0] = sum[t][1] = group_start(starts + rk_starts_stride(tile) * (size_t)t);
            RK_NO_UNROLL // unrolled, the compiler moves the loads of x together and runs out of registers
            for (int c = 0; c < 4; c++) {
                rk_prefetch_next(&next, 0, 1, RK_PREFETCH_L1);
                RK_UNROLL
                for (int high = 0; high < 2; high++) {
                    __m256i weights[2] = {load_bytes(w + 64 * c), load_bytes(w + 64 * c + 32)};
                    for (int half = 0; half < 2; half++) weights[half] = nibbles(weights[half], high);
                    add_columns(sum, weights, x + 8 * c + 4 * high, tile->x_stride, rows);
                }
            }
            for (int half = 0; half < 2; half++) {
                const __m256i words = group_scales(load_scales(scales + 16 * half), odd);
                RK_UNROLL
                for (int t = 0; t < rows; t++) acc[t][half] = rk_madd16_avx2(acc[t][half], sum[t][half], words);
            }
        }
    }
    for (int t = 0; t < rows; t++) {
        for (int half = 0; half < 2; half++) store_int4(tile, panel, first + t, half, load_row_scales(tile, panel, half), acc[t][half]);
    }
}

RK_TARGET RK_INLINE void int4_row(const rk_matmul_tile *tile, const rk_panels panels, const int prefetch) {
    const uint8_t *blocks = rk_tile_blocks(tile, panels.first);
    const size_t stream = rk_panel_bytes(RK_INT4, tile->columns) * (size_t)panels.apart;
    const int8_t *x = tile->x8;
    const int32_t *starts = tile->starts;
    __m256 row_scales[STREAMS][2];
    __m256i acc[STREAMS][2];
    rk_prefetch_biases(tile, panels);
    for (int p = 0; p < panels.count; p++) {
        for (int half = 0; half < 2; half++) row_scales[p][half] = load_row_scales(tile, panels.first + p * panels.apart, half);
        acc[p][0] = acc[p][1] = _mm256_setzero_si256();
    }
    for (size_t pair = 0; pair < (size_t)tile->columns / RK_GROUP; pair += 2) {
        RK_UNROLL
        for (int odd = 0; odd < 2; odd++, x += RK_GROUP, starts++) {
            const uint8_t *w = rk_group_weights(blocks, pair) + 256 * odd;
            __m256i sum[STREAMS][2];
            for (int p = 0; p < panels.count; p++) sum[p][0] = sum[p][1] = group_start(starts);
            RK_UNROLL
            for (int c = 0; c < 4; c++) {
                const __m256i low = broadcast4(x + 8 * c), high = broadcast4(x + 8 * c + 4);
                RK_UNROLL
                for (int p = 0; p < panels.count; p++) {
                    if (prefetch) rk_prefetch(w + stream * (size_t)p + 64 * c + tile->prefetch_distance, RK_PREFETCH_L1);
                    for (int half = 0; half < 2; half++) {
                        const __m256i pairs = load_bytes(w + stream * (size_t)p + 64 * c + 32 * half);
                        sum[p][half] = _mm256_add_epi16(sum[p][half], _mm256_maddubs_epi16(nibbles(pairs, 0), low));
                        sum[p][half] = _mm256_add_epi16(sum[p][half], _mm256_maddubs_epi16(nibbles(pairs, 1), high));
                    }
                }
            }
            RK_UNROLL
            for (int p = 0; p < panels.count; p++) {
                for (int half = 0; half < 2; half++) {
                    const __m256i scales = load_scales(rk_pair_scales(blocks + stream * (size_t)p, pair) + 16 * half);
                    acc[p][half] = rk_madd16_avx2(acc[p][half], sum[p][half], group_scales(scales, odd));
                }
            }
        }
    }
    for (int p = 0; p < panels.count; p++) {
        for (int half = 0; half < 2; half++) store_int4(tile, panels.first + p * panels.apart, 0, half, row_scales[p][half], acc[p][half]);
    }
}

RK_TARGET RK_INLINE void int8_row(const rk_matmul_tile *tile, const rk_panels panels, const int prefetch) {
    const float *scales = rk_tile_panel(tile, RK_INT8, panels.first);
    const size_t stream = rk_panel_bytes(RK_INT8, tile->columns) * (size_t)panels.apart;
    const char *w = (const char *)(scales + RK_PANEL);
    __m256 acc[STREAMS][2];
    rk_prefetch_biases(tile, panels);
    for (int p = 0; p < panels.count; p++) acc[p][0] = acc[p][1] = _mm256_setzero_ps();
    for (int block = 0; block < tile->columns; block += RK_INT8_BLOCK) {
        const int end = rk_min(block + RK_INT8_BLOCK, tile->columns);
        __m256i sum[STREAMS][2];
        for (int p = 0; p < panels.count; p++) sum[p][0] = sum[p][1] = _mm256_setzero_si256();
        for (int k = block; k < end; k += 4) {
            const __m256i columns = broadcast4(tile->x8 + k);
            RK_UNROLL
            for (int p = 0; p < panels.count; p++) {
                if (prefetch) rk_prefetch(w + stream * (size_t)p + RK_PANEL * k + tile->prefetch_distance, RK_PREFETCH_L1);
                for (int half = 0; half < 2; half++)
                    sum[p][half] = add_int8(sum[p][half], load_bytes(w + stream * (size_t)p + RK_PANEL * k + 32 * half), columns);
            }
        }
        for (int p = 0; p < panels.count; p++) {
            for (int half = 0; half < 2; half++) acc[p][half] = add_block(acc[p][half], sum[p][half], tile->scales + block / RK_INT8_BLOCK);
        }
    }
    for (int p = 0; p < panels.count; p++) {
        for (int half = 0; half < 2; half++)
            store_int8(tile, panels.first + p * panels.apart, 0, half, (const float *)((const char *)scales + stream * (size_t)p), acc[p][half]);
    }
}

// Many rows of x. Nibbles are unpacked once, to signed bytes in L1, and x becomes unsigned by adding 128: then the weights are the
// operand of maddubs that can be read from memory, and a product costs two instructions and a quarter of a broadcast. Sums start from minus
// 128 times the weights' sum. Two products of at most 255 * 8 fit in 16 bits; later sums may wrap, as the last one fits: it is of w times x.
// Two columns of an even group stand beside the same two of the next one, in weights and x, so that a row's two sums are those of the groups.
enum { ROWS_AT_ONCE = 96, PAIRS_AT_ONCE = 8, GROUPS_AT_ONCE = 2 * PAIRS_AT_ONCE, PANELS_AT_ONCE = 2, VECTORS = 2 * PANELS_AT_ONCE };
typedef struct unpacked {
    _Alignas(64) int8_t weights[PAIRS_AT_ONCE][16][VECTORS][32]; // by 2 columns of both groups and 8 rows of a panel
    int16_t starts[PAIRS_AT_ONCE][VECTORS][16];
    int16_t scales[PAIRS_AT_ONCE][VECTORS][16];
    uint8_t x[ROWS_AT_ONCE][GROUPS_AT_ONCE * RK_GROUP];
} unpacked;

// `count` groups of a panel from group `from` on, as the vectors `vector` and `vector` + 1.
RK_TARGET RK_INLINE void unpack(unpacked *u, int vector, const uint8_t *blocks, size_t from, size_t count) {
    for (size_t pair = 0; pair < count / 2; pair++) {
        const uint8_t *w = rk_group_weights(blocks, from + 2 * pair);
        const int8_t *scales = rk_pair_scales(blocks, from + 2 * pair);
        for (int half = 0; half < 2; half++) {
            __m256i sums = _mm256_setzero_si256(); // of 16 columns of either group
            RK_UNROLL
            for (int c = 0; c < 4; c++) {
                const __m256i even = load_bytes(w + 64 * c + 32 * half), odd = load_bytes(w + 256 + 64 * c + 32 * half);
                const __m256i both[2] = {_mm256_blend_epi16(even, _mm256_slli_epi32(odd, 16), 0xaa),
                                         _mm256_blend_epi16(_mm256_srli_epi32(even, 16), odd, 0xaa)};
                RK_UNROLL
                for (int k = 0; k < 4; k++) {
                    const __m256i weights = _mm256_sub_epi8(nibbles(both[k % 2], k / 2), _mm256_set1_epi8(8));
                    store_bytes(u->weights[pair][4 * c + k][vector + half], weights);
                    sums = _mm256_add_epi8(sums, weights);
                }
            }
            const __m256i negated = _mm256_sub_epi16(_mm256_setzero_si256(), _mm256_maddubs_epi16(_mm256_set1_epi8(1), sums));
            store_bytes(u->starts[pair][vector + half], _mm256_slli_epi16(negated, 7));
            store_bytes(u->scales[pair][vector + half], load_scales(scales + 16 * half));
        }
    }
}

RK_TARGET RK_INLINE void make_unsigned(uint8_t *y, const int8_t *x, size_t count) {
    for (size_t k = 0; k < count; k += 2 * RK_GROUP) {
        __m256i groups[2];
        for (int odd = 0; odd < 2; odd++) {
            const __m256i bytes = _mm256_xor_si256(load_bytes(x + k + RK_GROUP * odd), _mm256_set1_epi8(-128));
            groups[odd] = _mm256_permute4x64_epi64(bytes, _MM_SHUFFLE(3, 1, 2, 0));
        }
        store_bytes(y + k, _mm256_unpacklo_epi16(groups[0], groups[1]));
        store_bytes(y + k + 32, _mm256_unpackhi_epi16(groups[0], groups[1]));
    }
}

// One row of x by `vectors` of the unpacked panels, the first of which is `panel`; out holds the sums of the groups before `from`, as integers, and
// takes the product when these are the last.
RK_TARGET RK_INLINE void unpacked_row(const rk_matmul_tile *tile, const unpacked *u, int panel, size_t from, size_t count, int row, const uint8_t *x,
                                      const int vectors) {
    float *out = rk_tile_out(tile, panel, row);
    __m256i acc[VECTORS];
    for (int v = 0; v < vectors; v++) acc[v] = from ? load_bytes(out + 8 * v) : _mm256_setzero_si256();
    for (size_t pair = 0; pair < count / 2; pair++, x += 2 * RK_GROUP) {
        __m256i sum[VECTORS];
        RK_UNROLL
        for (int c = 0; c < 16; c++) {
            const __m256i columns = broadcast4((const int8_t *)x + 4 * c);
            for (int v = 0; v < vectors; v++) {
                const __m256i pairs = _mm256_maddubs_epi16(columns, load_bytes(u->weights[pair][c][v]));
                sum[v] = _mm256_add_epi16(pairs, c ? sum[v] : load_bytes(u->starts[pair][v]));
            }
        }
        for (int v = 0; v < vectors; v++) acc[v] = rk_madd16_avx2(acc[v], sum[v], load_bytes(u->scales[pair][v]));
    }
    const int is_last = from + count == (size_t)tile->columns / RK_GROUP;
    for (int v = 0; v < vectors; v++) {
        if (is_last) store_int4(tile, panel + v / 2, row, v % 2, load_row_scales(tile, panel + v / 2, v % 2), acc[v]);
        else store_bytes(out + 8 * v, acc[v]);
    }
}

#define F32(n) float_rows(tile, all_columns(tile, RK_F32, panel), panel, first, n)
#define F16(n) float_rows(tile, all_columns(tile, RK_F16, panel), panel, first, n)
#define F16_MANY(n) float_rows(tile, (column_range){.w = widened, .type = RK_F32, .from = from, .count = count}, panel, first, n)
#define INT8(n) int8_rows(tile, panel, first, n, NULL)
#define INT8_MANY(n) int8_rows(tile, panel, first, n, starts)
#define INT4(n) int4_rows(tile, panel, first, n)

RK_TARGET static void f32(const rk_matmul_tile *tile) {
    if (tile->count == 1) {
        RK_FOR_STREAMS(tile, STREAMS, float_row, RK_F32)
        return;
    }
    RK_FOR_TILES(tile, 6, F32)
}

// Conversions share the pipes of products, but for those of Zen 3 and later: with many rows of x, f16 becomes f32 in L1, once
// for all of them.
RK_TARGET static void f16(const rk_matmul_tile *tile) {
    enum { COLUMNS = 256, MANY = 24 };
    if (tile->count == 1) {
        RK_FOR_STREAMS(tile, STREAMS, float_row, RK_F16)
        return;
    }
    if (tile->count < MANY) {
        RK_FOR_TILES(tile, 6, F16)
        return;
    }
    float widened[COLUMNS * RK_PANEL];
    for (int panel = 0; panel < tile->panels; panel++) {
        for (int from = 0; from < tile->columns; from += COLUMNS) {
            const int count = rk_min(COLUMNS, tile->columns - from);
            const rk_f16 *packed = (const rk_f16 *)rk_tile_panel(tile, RK_F16, panel) + from * RK_PANEL;
            for (int k = 0; k < count; k++) v16_store(widened + k * RK_PANEL, load_floats(packed, RK_F16, k));
            RK_FOR_ROWS(tile->count, 6, F16_MANY)
        }
    }
}

RK_TARGET static void int8(const rk_matmul_tile *tile) {
    enum { MANY = 16 };
    if (tile->count == 1) {
        RK_FOR_STREAMS_PREFETCH(tile, STREAMS, int8_row)
        return;
    }
    if (tile->count < MANY) {
        RK_FOR_TILES(tile, 4, INT8)
        return;
    }
    int32_t starts[RK_INT8_COLUMNS / RK_INT8_BLOCK][RK_PANEL];
    for (int panel = 0; panel < tile->panels; panel++) {
        const int8_t *w = (const int8_t *)rk_tile_panel(tile, RK_INT8, panel) + RK_PANEL * sizeof(float);
        for (int block = 0; block < tile->columns; block += RK_INT8_BLOCK)
            sum_negative(starts[block / RK_INT8_BLOCK], w + RK_PANEL * block, rk_min(RK_INT8_BLOCK, tile->columns - block));
        RK_FOR_ROWS(tile->count, 4, INT8_MANY)
    }
}

RK_TARGET static void int4_many(const rk_matmul_tile *tile) {
    unpacked u;
    const size_t groups = (size_t)tile->columns / RK_GROUP, panel_bytes = rk_panel_bytes(RK_INT4, tile->columns);
    for (int first = 0; first < tile->count; first += ROWS_AT_ONCE) {
        const int rows = rk_min(ROWS_AT_ONCE, tile->count - first);
        for (size_t from = 0; from < groups; from += GROUPS_AT_ONCE) {
            const size_t count = groups - from < GROUPS_AT_ONCE ? groups - from : GROUPS_AT_ONCE;
            const size_t share = rk_row_share(count * RK_GROUP_BYTES, rows);
            for (int t = 0; t < rows; t++) make_unsigned(u.x[t], rk_tile_x8(tile, first + t) + from * RK_GROUP, count * RK_GROUP);
            for (int panel = 0; panel < tile->panels; panel += PANELS_AT_ONCE) {
                const int panels = rk_min(PANELS_AT_ONCE, tile->panels - panel);
                const uint8_t *next = rk_tile_blocks(tile, panel + PANELS_AT_ONCE) + from * RK_GROUP_BYTES;
                for (int p = 0; p < panels; p++) unpack(&u, 2 * p, rk_tile_blocks(tile, panel + p), from, count);
                for (int t = 0; t < rows; t++) {
                    for (int p = 0; p < panels; p++) rk_prefetch_row_shares(next + panel_bytes * (size_t)p, share, t, t + 1);
                    if (panels == PANELS_AT_ONCE) unpacked_row(tile, &u, panel, from, count, first + t, u.x[t], VECTORS);
                    else unpacked_row(tile, &u, panel, from, count, first + t, u.x[t], 2);
                }
            }
        }
    }
}

RK_TARGET static void int16(const rk_matmul_tile *tile) {
    if (tile->count == 1) {
        RK_FOR_STREAMS_PREFETCH(tile, STREAMS, int16_row)
        return;
    }
    RK_FOR_TILES(tile, 6, INT16)
}

RK_TARGET static void int4(const rk_matmul_tile *tile) {
    if (tile->count > 12) return int4_many(tile);
    if (tile->count == 1) {
        RK_FOR_STREAMS_PREFETCH(tile, STREAMS, int4_row)
        return;
    }
    RK_FOR_TILES(tile, 4, INT4)
}

const rk_matmul_kernels rk_matmul_avx2 = {
    .name = "avx2", .tile = {f32, f16, int8, int4}, .int16 = int16, .add_offsets = add_offsets};
#endif
