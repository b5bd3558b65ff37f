#include "matmul.h"

#if defined(__x86_64__)
#define RK_TARGET RK_TARGET_AVX512
#include "../lanes.h"
#include "../madd.h"
#include "matmul_offsets.h"
#include "matmul_prefetch.h"

// vpdpbusd takes unsigned times signed bytes: the weights become unsigned by adding 8 (as nibbles are stored) or 128, and the sums start
// from minus that times the sum of x.
//
// A register tile is up to ROWS rows of x by several panels. Products take 4 or 5 cycles and up to two start in each, so at least ten sums must be
// in work; broadcasts of x and loads of weights share the two loads of a cycle, so a broadcast had better serve two panels.
enum { ROWS = 12, PANELS = 4 };

RK_TARGET RK_INLINE __m512i load_bytes(const void *p) { return _mm512_loadu_si512(p); }

RK_TARGET RK_INLINE __m512 load_f16(const void *p) { return _mm512_cvtph_ps(_mm256_loadu_si256(p)); }

// Four columns of a row of x, for each row of the panel.
RK_TARGET RK_INLINE __m512i broadcast4(const int8_t *x) { return _mm512_set1_epi32(rk_columns4(x)); }

RK_TARGET RK_INLINE void store(const rk_matmul_tile *tile, int panel, int row, __m512 sum, __m512 scale) {
    const __m512 bias = tile->bias ? _mm512_loadu_ps(tile->bias + panel * RK_PANEL) : _mm512_setzero_ps();
    _mm512_storeu_ps(rk_tile_out(tile, panel, row), _mm512_fmadd_ps(sum, scale, bias));
}

RK_TARGET RK_INLINE void store_int8(const rk_matmul_tile *tile, int panel, int row, __m512 acc) {
    store(tile, panel, row, acc, _mm512_loadu_ps(rk_tile_panel(tile, RK_INT8, panel)));
}

RK_TARGET RK_INLINE void store_int16(const rk_matmul_tile *tile, int panel, int row, __m512 acc) {
    const __m512 w_scales = _mm512_loadu_ps(rk_tile_panel(tile, RK_INT8, panel));
    store(tile, panel, row, acc, _mm512_mul_ps(_mm512_set1_ps(tile->scales[row]), w_scales));
}

RK_TARGET RK_INLINE __m512 load_row_scales(const rk_matmul_tile *tile, const rk_panels panels, int p) {
    return _mm512_loadu_ps(rk_tile_panel(tile, RK_INT4, panels.first + p * panels.apart));
}

// Panel p of some, times the rows of x from `first` on. Unrolled, as the sums would else leave their registers.
RK_TARGET RK_INLINE void store_int4(const rk_matmul_tile *tile, const rk_panels panels, int p, __m512 row_scales, int first,
                                    const __m512i sums[][PANELS], const int rows) {
    const int panel = panels.first + p * panels.apart;
    const __m512 bias = tile->bias ? _mm512_loadu_ps(tile->bias + panel * RK_PANEL) : _mm512_setzero_ps();
    const float *scales = tile->scales + first;
    float *out = rk_tile_out(tile, panel, first);
    const size_t stride = tile->out_stride;
    RK_UNROLL
    for (int t = 0; t < rows; t++) {
        const __m512 scale = _mm512_mul_ps(_mm512_set1_ps(scales[t]), row_scales);
        _mm512_storeu_ps(out + stride * (size_t)t, _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[t][p]), scale, bias));
    }
}

// `next`: what many rows of x prefetch; few prefetch the weights of their own panels.
RK_TARGET RK_INLINE void int8_rows(const rk_matmul_tile *tile, const rk_panels panels, const rk_prefetch_cursor *next, const int level, int first,
                                   const int rows) {
    const char *w = (const char *)rk_tile_panel(tile, RK_INT8, panels.first) + RK_PANEL * sizeof(float);
    const size_t stream = rk_panel_bytes(RK_INT8, tile->columns) * (size_t)panels.apart;
    const int8_t *x = rk_tile_x8(tile, first);
    const int32_t *starts = rk_tile_starts(tile, first);
    const float *scales = rk_tile_scales(tile, first);
    const __m512i offset = _mm512_set1_epi8(-128);
    __m512 acc[ROWS][PANELS];
    rk_prefetch_cursor cursor = next ? *next : (rk_prefetch_cursor){w + rk_prefetch_distance(tile, panels.count, level), 64};
    if (!next) rk_prefetch_start(tile, w, stream, panels, level);
    rk_prefetch_biases(tile, panels);
    for (int t = 0; t < rows; t++) {
        for (int p = 0; p < panels.count; p++) acc[t][p] = _mm512_setzero_ps();
    }
    for (int block = 0; block < tile->columns; block += RK_INT8_BLOCK, starts++, scales++) {
        const int end = rk_min(block + RK_INT8_BLOCK, tile->columns);
        __m512i sum[ROWS][PANELS];
        RK_UNROLL
        for (int t = 0; t < rows; t++) {
            for (int p = 0; p < panels.count; p++) sum[t][p] = _mm512_set1_epi32(starts[rk_starts_stride(tile) * (size_t)t]);
        }
        for (int k = block; k < end; k += 4) {
            __m512i weights[PANELS];
            rk_prefetch_next(&cursor, stream, panels.count, level);
            for (int p = 0; p < panels.count; p++) weights[p] = _mm512_xor_si512(load_bytes(w + stream * (size_t)p + k * RK_PANEL), offset);
            RK_UNROLL
            for (int t = 0; t < rows; t++) {
                const __m512i columns = broadcast4(x + tile->x_stride * (size_t)t + k);
                for (int p = 0; p < panels.count; p++) sum[t][p] = rk_madd8_avx512(sum[t][p], weights[p], columns);
            }
        }
        RK_UNROLL
        for (int t = 0; t < rows; t++) {
            const __m512 scale = _mm512_set1_ps(scales[tile->scales_stride * (size_t)t]);
            for (int p = 0; p < panels.count; p++) acc[t][p] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[t][p]), scale, acc[t][p]);
        }
    }
    RK_UNROLL
    for (int t = 0; t < rows; t++) {
        for (int p = 0; p < panels.count; p++) store_int8(tile, panels.first + p * panels.apart, first + t, acc[t][p]);
    }
}

// Four columns of eight rows of the panel.
RK_TARGET RK_INLINE __m512i load_as_16(const char *w) { return _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)w)); }

// Four columns of a row of x, for eight rows of the panel.
RK_TARGET RK_INLINE __m512i broadcast4_16(const int16_t *x) {
    int64_t columns;
    memcpy(&columns, x, sizeof columns);
    return _mm512_set1_epi64(columns);
}

// The end of a block: two lanes for each row of the panel become a float.
RK_TARGET RK_INLINE __m512 add_block(__m512 acc, const __m512i sum[2]) {
    const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
    const __m512i total = _mm512_add_epi32(_mm512_permutex2var_epi32(sum[0], even, sum[1]), _mm512_permutex2var_epi32(sum[0], odd, sum[1]));
    return _mm512_add_ps(acc, _mm512_cvtepi32_ps(total));
}

RK_TARGET RK_INLINE void int16_rows(const rk_matmul_tile *tile, const rk_panels panels, const int level, int first, const int rows) {
    const char *w = (const char *)rk_tile_panel(tile, RK_INT8, panels.first) + RK_PANEL * sizeof(float);
    const size_t stream = rk_panel_bytes(RK_INT8, tile->columns) * (size_t)panels.apart;
    const int16_t *x = rk_tile_x16(tile, first);
    __m512 acc[ROWS][PANELS];
    rk_prefetch_start(tile, w, stream, panels, level);
    rk_prefetch_biases(tile, panels);
    for (int t = 0; t < rows; t++) {
        for (int p = 0; p < panels.count; p++) acc[t][p] = _mm512_setzero_ps();
    }
    for (int block = 0; block < tile->columns; block += RK_INT16_BLOCK) {
        const int end = rk_min(block + RK_INT16_BLOCK, tile->columns);
        __m512i sum[ROWS][PANELS][2];
        for (int t = 0; t < rows; t++) {
            for (int p = 0; p < panels.count; p++) sum[t][p][0] = sum[t][p][1] = _mm512_setzero_si512();
        }
        for (int k = block; k < end; k += 4) {
            RK_UNROLL
            for (int p = 0; p < panels.count; p++) {
                const char *columns = w + stream * (size_t)p + k * RK_PANEL;
                rk_prefetch(columns + rk_prefetch_distance(tile, panels.count, level), level);
                const __m512i weights[2] = {load_as_16(columns), load_as_16(columns + 32)};
                RK_UNROLL
                for (int t = 0; t < rows; t++) {
                    const __m512i x4 = broadcast4_16(x + tile->x_stride * (size_t)t + k);
                    for (int half = 0; half < 2; half++) sum[t][p][half] = rk_madd16_avx512(sum[t][p][half], weights[half], x4);
                }
            }
        }
        for (int t = 0; t < rows; t++) {
            for (int p = 0; p < panels.count; p++) acc[t][p] = add_block(acc[t][p], sum[t][p]);
        }
    }
    for (int t = 0; t < rows; t++) {
        for (int p = 0; p < panels.count; p++) store_int16(tile, panels.first + p * panels.apart, first + t, acc[t][p]);
    }
}

// Columns 8 c ..< 8 c + 4 or, if `high`, the four after them.
RK_TARGET RK_INLINE __m512i nibbles(__m512i pairs, const int high) {
    return _mm512_and_si512(high ? _mm512_srli_epi16(pairs, 4) : pairs, _mm512_set1_epi8(15));
}

// The scales of a group in the low words of lanes, zeros in the high ones: what is left of a sum there does not matter.
RK_TARGET RK_INLINE __m512i load_scales(const uint8_t *blocks, size_t group) {
    const __m512i pairs = _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)rk_pair_scales(blocks, group & ~(size_t)1)));
    return group % 2 ? _mm512_srli_epi32(pairs, 16) : _mm512_maskz_mov_epi16(0x55555555, pairs);
}

// Nibbles are unpacked in registers. `next`: what many rows of x prefetch; few prefetch the weights of their own panels. The sum of a group fits in
// 16 bits, so that one instruction multiplies it by its scale and adds it.
RK_TARGET RK_INLINE void int4_rows(const rk_matmul_tile *tile, const rk_panels panels, const rk_prefetch_group_cursor *next, const int level,
                                   int first, const int rows) {
    const uint8_t *blocks = rk_tile_blocks(tile, panels.first);
    const size_t stream = rk_panel_bytes(RK_INT4, tile->columns) * (size_t)panels.apart, groups = (size_t)tile->columns / RK_GROUP;
    const int8_t *x = rk_tile_x8(tile, first);
    const int32_t *starts = rk_tile_starts(tile, first);
    __m512i acc[ROWS][PANELS];
    const int bytes = rk_prefetch_distance(tile, panels.count, level);
    const int by_line = !next && rows * panels.count > ROWS; // sums leave no register for another address
    const rk_prefetch_group_cursor cursor = next ? *next : (rk_prefetch_group_cursor){blocks + bytes, 0, by_line ? 0 : RK_GROUP_LINES};
    if (!next) rk_prefetch_start(tile, blocks, stream, panels, level);
    rk_prefetch_biases(tile, panels);
    // One row of x reads what lies first before the rest: coming back for it would lose the hardware prefetcher. More need the registers.
    __m512 row_scales[PANELS];
    for (int p = 0; p < panels.count; p++) {
        if (rows == 1) row_scales[p] = load_row_scales(tile, panels, p);
        else rk_prefetch(rk_tile_panel(tile, RK_INT4, panels.first + p * panels.apart), RK_PREFETCH_L1);
    }
    RK_UNROLL
    for (int t = 0; t < rows; t++) {
        for (int p = 0; p < panels.count; p++) acc[t][p] = _mm512_setzero_si512();
    }
    for (size_t pair = 0; pair < groups; pair += 2) {
        RK_UNROLL
        for (size_t group = pair; group < pair + 2; group++, x += RK_GROUP, starts++) {
            __m512i sum[ROWS][PANELS];
            rk_prefetch_group(&cursor, group, stream, panels.count, level);
            for (int t = 0; t < rows; t++) {
                for (int p = 0; p < panels.count; p++) sum[t][p] = _mm512_set1_epi32(starts[rk_starts_stride(tile) * (size_t)t]);
            }
            RK_UNROLL
            for (int c = 0; c < 4; c++) {
                __m512i pairs[PANELS];
                for (int p = 0; p < panels.count; p++) {
                    const uint8_t *columns = rk_group_weights(blocks + stream * (size_t)p, group) + 64 * c;
                    if (by_line) rk_prefetch(columns + bytes, level);
                    pairs[p] = load_bytes(columns);
                }
                RK_UNROLL
                for (int high = 0; high < 2; high++) {
                    __m512i weights[PANELS];
                    for (int p = 0; p < panels.count; p++) weights[p] = nibbles(pairs[p], high);
                    RK_UNROLL
                    for (int t = 0; t < rows; t++) {
                        const __m512i columns = broadcast4(x + tile->x_stride * (size_t)t + 8 * c + 4 * high);
                        for (int p = 0; p < panels.count; p++) sum[t][p] = rk_madd8_avx512(sum[t][p], weights[p], columns);
                    }
                }
            }
            RK_UNROLL
            for (int p = 0; p < panels.count; p++) {
                const __m512i scales = load_scales(blocks + stream * (size_t)p, group);
                RK_UNROLL
                for (int t = 0; t < rows; t++) acc[t][p] = rk_madd16_avx512(acc[t][p], sum[t][p], scales);
            }
        }
    }
    RK_UNROLL
    for (int p = 0; p < panels.count; p++)
        store_int4(tile, panels, p, rows == 1 ? row_scales[p] : load_row_scales(tile, panels, p), first, acc, rows);
}

// Many rows of x: two panels pass all of them before the next two come. Each register tile prefetches its share of those, spread over its
// groups: a burst would keep its own loads waiting.
#define PAIRED(n, panels, largest)                                                                                               \
    {                                                                                                                            \
        const rk_prefetch_group_cursor next = rk_next_panels_group_cursor(tile, panel, panels, first, largest);                  \
        int4_rows(tile, (rk_panels){panel, 1, panels}, &next, RK_PREFETCH_L1, first, n);                                         \
    }
#define PAIRS(largest, TWO, ONE)                                                                                                 \
    for (int panel = 0; panel < tile->panels; panel += 2) {                                                                      \
        if (panel + 1 < tile->panels) RK_FOR_ROWS(tile->count, largest, TWO)                                                     \
        else RK_FOR_ROWS(tile->count, largest, ONE)                                                                              \
    }

#define TWO_BY_8(n) PAIRED(n, 2, 8)
#define ONE_BY_8(n) PAIRED(n, 1, 8)
#define TWO_BY_6(n) PAIRED(n, 2, 6)
#define ONE_BY_6(n) PAIRED(n, 1, 6)

// Likewise int8, twelve rows to a register tile and spread over its columns.
#define INT8_PAIRED(n, panels)                                                                                                   \
    {                                                                                                                            \
        const rk_prefetch_cursor next = rk_next_panels_cursor(tile, RK_INT8, panel, panels, first, n, 64);                       \
        int8_rows(tile, (rk_panels){panel, 1, panels}, &next, RK_PREFETCH_L1, first, n);                                         \
    }
#define INT8_TWO(n) INT8_PAIRED(n, 2)
#define INT8_ONE(n) INT8_PAIRED(n, 1)

// More rows of x on Intel's processors, whose products and unpacking need the same two pipes (AMD's have others for it).
RK_TARGET RK_INLINE v16_int madd8(v16_int sums, v16_int w, v16_int x) {
    return (v16_int)rk_madd8_avx512((__m512i)sums, (__m512i)w, (__m512i)x);
}
RK_TARGET RK_INLINE v16_int madd16(v16_int sums, v16_int w, v16_int x) {
    return (v16_int)rk_madd16_avx512((__m512i)sums, (__m512i)w, (__m512i)x);
}
#define RK_UNPACKED_ROWS 12
#include "matmul_unpacked.h"

// The columns from ..< from + count of some panels, in floats: those of the first panel lie at w, those of each other one `stream` floats further.
typedef struct column_range {
    const float *w;
    size_t stream;
    int from, count;
} column_range;

// Rows of x by columns of `panels` panels. out holds the sums of the columns before, and takes the product when these are the last.
RK_TARGET RK_INLINE void float_columns(const rk_matmul_tile *tile, const column_range *c, int panel, const int panels, int first, const int rows) {
    const float *x = tile->x + tile->x_stride * (size_t)first + c->from;
    __m512 acc[ROWS][2];
    for (int t = 0; t < rows; t++) {
        for (int p = 0; p < panels; p++) acc[t][p] = c->from ? _mm512_loadu_ps(rk_tile_out(tile, panel + p, first + t)) : _mm512_setzero_ps();
    }
    for (int k = 0; k < c->count; k++) {
        __m512 weights[2];
        for (int p = 0; p < panels; p++) weights[p] = _mm512_loadu_ps(c->w + c->stream * (size_t)p + k * RK_PANEL);
        RK_UNROLL
        for (int t = 0; t < rows; t++) {
            const __m512 column = _mm512_set1_ps(x[tile->x_stride * (size_t)t + (size_t)k]);
            for (int p = 0; p < panels; p++) acc[t][p] = _mm512_fmadd_ps(weights[p], column, acc[t][p]);
        }
    }
    const int is_last = c->from + c->count == tile->columns;
    for (int p = 0; p < panels; p++) {
        const __m512 bias = tile->bias && is_last ? _mm512_loadu_ps(tile->bias + (panel + p) * RK_PANEL) : _mm512_setzero_ps();
        for (int t = 0; t < rows; t++) {
            const __m512 sum = is_last ? _mm512_add_ps(acc[t][p], bias) : acc[t][p];
            _mm512_storeu_ps(rk_tile_out(tile, panel + p, first + t), sum);
        }
    }
}

#define ONE_PANEL(n) float_columns(tile, c, panel, 1, first, n)
#define TWO_PANELS(n) float_columns(tile, c, panel, 2, first, n)

RK_TARGET static void float_panels(const rk_matmul_tile *tile, const column_range *c, int panel, int panels) {
    if (panels == 2) RK_FOR_ROWS(tile->count, 12, TWO_PANELS)
    else RK_FOR_ROWS(tile->count, 12, ONE_PANEL)
}

RK_TARGET static void f32(const rk_matmul_tile *tile) {
    for (int panel = 0; panel < tile->panels; panel += 2) {
        const column_range all = {.w = rk_tile_panel(tile, RK_F32, panel), .stream = (size_t)tile->columns * RK_PANEL, .count = tile->columns};
        float_panels(tile, &all, panel, rk_min(2, tile->panels - panel));
    }
}

// f16 becomes f32 in registers.
RK_TARGET RK_INLINE void f16_rows(const rk_matmul_tile *tile, const rk_panels panels, int first, const int rows) {
    const rk_f16 *w = rk_tile_panel(tile, RK_F16, panels.first);
    const size_t stream = (size_t)tile->columns * RK_PANEL * (size_t)panels.apart;
    const float *x = tile->x + tile->x_stride * (size_t)first;
    __m512 acc[ROWS][PANELS];
    rk_prefetch_start(tile, w, stream * sizeof *w, panels, RK_PREFETCH_L1);
    rk_prefetch_biases(tile, panels);
    for (int t = 0; t < rows; t++) {
        for (int p = 0; p < panels.count; p++) acc[t][p] = _mm512_setzero_ps();
    }
    for (int k = 0; k < tile->columns; k++) {
        __m512 weights[PANELS];
        for (int p = 0; p < panels.count; p++) {
            const rk_f16 *column = w + stream * (size_t)p + k * RK_PANEL;
            rk_prefetch((const char *)column + rk_prefetch_distance(tile, panels.count, RK_PREFETCH_L1), RK_PREFETCH_L1);
            weights[p] = load_f16(column);
        }
        RK_UNROLL
        for (int t = 0; t < rows; t++) {
            const __m512 column = _mm512_set1_ps(x[tile->x_stride * (size_t)t + (size_t)k]);
            for (int p = 0; p < panels.count; p++) acc[t][p] = _mm512_fmadd_ps(weights[p], column, acc[t][p]);
        }
    }
    for (int p = 0; p < panels.count; p++) {
        const int at = panels.first + p * panels.apart;
        const __m512 bias = tile->bias ? _mm512_loadu_ps(tile->bias + at * RK_PANEL) : _mm512_setzero_ps();
        for (int t = 0; t < rows; t++) _mm512_storeu_ps(rk_tile_out(tile, at, first + t), _mm512_add_ps(acc[t][p], bias));
    }
}

// Many rows of x on Intel's processors, whose conversions need the pipes of products: f16 becomes f32 in L1, once for all.
RK_TARGET static void f16_many(const rk_matmul_tile *tile) {
    enum { COLUMNS = 128 };
    float widened[2][COLUMNS * RK_PANEL];
    for (int panel = 0; panel < tile->panels; panel += 2) {
        const int panels = rk_min(2, tile->panels - panel);
        for (int from = 0; from < tile->columns; from += COLUMNS) {
            const int count = rk_min(COLUMNS, tile->columns - from);
            for (int p = 0; p < panels; p++) {
                const rk_f16 *w = (const rk_f16 *)rk_tile_panel(tile, RK_F16, panel + p) + from * RK_PANEL;
                for (int k = 0; k < count * RK_PANEL; k += RK_PANEL) _mm512_storeu_ps(widened[p] + k, load_f16(w + k));
            }
            float_panels(tile, &(column_range){.w = widened[0], .stream = COLUMNS * RK_PANEL, .from = from, .count = count}, panel, panels);
        }
    }
}

// `most` panels in turn, or as many as the processor likes where those are fewer.
#define IN_TURN(most, CALL, ...)                                                                                                 \
    if (most > 2 && tile->streams == 2) RK_FOR_STREAMS(tile, 2, CALL, __VA_ARGS__)                                               \
    else RK_FOR_STREAMS(tile, most, CALL, __VA_ARGS__)

#define INT8_IN_TURN(n, level) IN_TURN((n <= 6 ? 4 : 2), int8_rows, NULL, level, first, n)
#define INT16_IN_TURN(n, level) IN_TURN((n <= 3 ? 4 : n <= 6 ? 2 : 1), int16_rows, level, first, n)
#define INT4_IN_TURN(n, level) IN_TURN((n <= 4 ? 4 : n <= 8 ? 2 : 1), int4_rows, NULL, level, first, n)

#define F16(n) IN_TURN((n <= 4 ? 4 : 2), f16_rows, first, n)
#define INT8(n) INT8_IN_TURN(n, n > 2 ? RK_PREFETCH_L2 : RK_PREFETCH_L1)
#define INT16(n) INT16_IN_TURN(n, n > 3 && n < 10 ? RK_PREFETCH_L2 : RK_PREFETCH_L1)
#define INT4(n) INT4_IN_TURN(n, n != 2 && n <= RK_INT4_L2_ROWS ? RK_PREFETCH_L2 : RK_PREFETCH_L1)
#define INT8_L1(n) INT8_IN_TURN(n, RK_PREFETCH_L1)
#define INT16_L1(n) INT16_IN_TURN(n, RK_PREFETCH_L1)
#define INT4_L1(n) INT4_IN_TURN(n, RK_PREFETCH_L1)

RK_TARGET static void f16(const rk_matmul_tile *tile) { RK_FOR_ROWS(tile->count, 12, F16) }
RK_TARGET static void f16_intel(const rk_matmul_tile *tile) { tile->count > ROWS ? f16_many(tile) : f16(tile); }

RK_TARGET static void int16(const rk_matmul_tile *tile) { RK_FOR_ROWS(tile->count, 12, INT16) }
RK_TARGET static void int16_l1(const rk_matmul_tile *tile) { RK_FOR_ROWS(tile->count, 12, INT16_L1) }

RK_TARGET static void int8_l1(const rk_matmul_tile *tile) { RK_FOR_ROWS(tile->count, 12, INT8_L1) }
// Many rows by one panel: their sums and floats fit in the registers together, and L1 keeps the panel. Fewer tiles prefetch too little for that.
RK_TARGET static void int8(const rk_matmul_tile *tile) {
    enum { MANY = 2 * ROWS };
    if (tile->count <= ROWS) RK_FOR_ROWS(tile->count, 12, INT8)
    else if (tile->count < MANY) PAIRS(12, INT8_TWO, INT8_ONE)
    else RK_FOR_TILES(tile, 12, INT8_ONE)
}

// Twelve rows of int4 by one panel need as many broadcasts as products, and six by two panels leave no sum without a register.
RK_TARGET static void int4(const rk_matmul_tile *tile) {
    if (tile->count <= ROWS) RK_FOR_ROWS(tile->count, 12, INT4)
    else PAIRS(6, TWO_BY_6, ONE_BY_6)
}
RK_TARGET static void int4_l1(const rk_matmul_tile *tile) {
    if (tile->count <= ROWS) RK_FOR_ROWS(tile->count, 12, INT4_L1)
    else int4(tile);
}
RK_TARGET static void int4_intel(const rk_matmul_tile *tile) {
    enum { MOST_PAIRED = 96 };
    if (tile->count <= ROWS) int4_l1(tile);
    else if (tile->count <= MOST_PAIRED) PAIRS(8, TWO_BY_8, ONE_BY_8)
    else int4_many(tile);
}

const rk_matmul_kernels rk_matmul_avx512 = {
    .name = "avx512", .tile = {f32, f16, int8, int4}, .int16 = int16, .add_offsets = add_offsets};
const rk_matmul_kernels rk_matmul_avx512_intel = {.name = "avx512 of Intel", .tile = {NULL, f16_intel, int8_l1, int4_intel}, .int16 = int16_l1};
const rk_matmul_kernels rk_matmul_avx512_zen5 = {
    .name = "avx512 of Zen 5", .tile = {[RK_INT8] = int8_l1, [RK_INT4] = int4_l1}, .int16 = int16_l1};
#endif
