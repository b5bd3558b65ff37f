#include "matmul.h"

#if defined(__x86_64__)
#include "../madd.h"
#define RK_TARGET RK_TARGET_AVXVNNI
#define RK_MADD16 rk_madd16_avxvnni
#include "../lanes.h"
#include "matmul_int16.h"

// As on AVX-512: the weights are made unsigned by adding 8 or 128, and the sums start from minus that times the sum of x. A panel is two
// registers of 8 rows. Sums of six rows of x by a panel are as many as there are registers for.
enum { ROWS = 6, PANELS = 4, VECTORS = 2 * PANELS };

// Several rows of x keep the hardware prefetcher from running ahead, and what it fetches ends with a page.
RK_INLINE int prefetch_distance(const rk_matmul_tile *tile, int rows) { return rows > 1 ? 8 << 10 : tile->prefetch_distance; }

RK_TARGET RK_INLINE void int8_rows(const rk_matmul_tile *tile, const rk_panels panels, int first, const int rows) {
    const char *w = (const char *)rk_tile_panel(tile, RK_INT8, panels.first) + RK_PANEL * sizeof(float);
    const size_t stream = rk_panel_bytes(RK_INT8, tile->columns) * (size_t)panels.apart;
    const int8_t *x = rk_tile_x8(tile, first);
    const int32_t *starts = rk_tile_starts(tile, first);
    const float *scales = rk_tile_scales(tile, first);
    const __m256i offset = _mm256_set1_epi8(-128);
    __m256 acc[ROWS][VECTORS];
    rk_prefetch_biases(tile, panels);
    for (int t = 0; t < rows; t++) {
        for (int v = 0; v < 2 * panels.count; v++) acc[t][v] = _mm256_setzero_ps();
    }
    for (int block = 0; block < tile->columns; block += RK_INT8_BLOCK, starts++, scales++) {
        const int end = rk_min(block + RK_INT8_BLOCK, tile->columns);
        __m256i sum[ROWS][VECTORS];
        for (int t = 0; t < rows; t++) {
            for (int v = 0; v < 2 * panels.count; v++) sum[t][v] = _mm256_set1_epi32(starts[rk_starts_stride(tile) * (size_t)t]);
        }
        for (int k = block; k < end; k += 4) {
            RK_UNROLL
            for (int p = 0; p < panels.count; p++) {
                const char *columns = w + stream * (size_t)p + k * RK_PANEL;
                rk_prefetch(columns + prefetch_distance(tile, rows), RK_PREFETCH_L1);
                const __m256i low = _mm256_xor_si256(load_bytes(columns), offset), high = _mm256_xor_si256(load_bytes(columns + 32), offset);
                RK_UNROLL
                for (int t = 0; t < rows; t++) {
                    const __m256i x4 = broadcast4(x + tile->x_stride * (size_t)t + k);
                    sum[t][2 * p] = rk_madd8_avxvnni(sum[t][2 * p], low, x4);
                    sum[t][2 * p + 1] = rk_madd8_avxvnni(sum[t][2 * p + 1], high, x4);
                }
            }
        }
        for (int t = 0; t < rows; t++) {
            for (int v = 0; v < 2 * panels.count; v++) acc[t][v] = add_block(acc[t][v], sum[t][v], scales + tile->scales_stride * (size_t)t);
        }
    }
    for (int t = 0; t < rows; t++) {
        for (int v = 0; v < 2 * panels.count; v++) {
            const int at = panels.first + v / 2 * panels.apart;
            store_int8(tile, at, first + t, v % 2, rk_tile_panel(tile, RK_INT8, at), acc[t][v]);
        }
    }
}

// A pointer to the same, of which the compiler does not know that it was read before: to keep that, registers are too few.
RK_INLINE const void *anew(const void *p) {
    __asm__("" : "+r"(p));
    return p;
}

// Few rows of x: nibbles are unpacked in registers. A group's sum fits in the low word of its 32 bits: multiplied by a scale beside a 0, it is
// added to a row's sum in one instruction.
RK_TARGET RK_INLINE void int4_rows(const rk_matmul_tile *tile, const rk_panels panels, int first, const int rows) {
    const uint8_t *blocks = rk_tile_blocks(tile, panels.first);
    const size_t stream = rk_panel_bytes(RK_INT4, tile->columns) * (size_t)panels.apart, groups = (size_t)tile->columns / RK_GROUP;
    const int8_t *x = rk_tile_x8(tile, first);
    const int32_t *starts = rk_tile_starts(tile, first);
    __m256 row_scales[VECTORS];
    __m256i acc[ROWS][VECTORS];
    rk_prefetch_biases(tile, panels);
    for (int p = 0; p < panels.count && rows > 1; p++)
        rk_prefetch(rk_tile_panel(tile, RK_INT4, panels.first + p * panels.apart), RK_PREFETCH_L1);
    for (int v = 0; v < 2 * panels.count && rows == 1; v++) row_scales[v] = load_row_scales(tile, panels.first + v / 2 * panels.apart, v % 2);
    for (int t = 0; t < rows; t++) {
        for (int v = 0; v < 2 * panels.count; v++) acc[t][v] = _mm256_setzero_si256();
    }
    for (size_t pair = 0; pair < groups; pair += 2) {
        RK_UNROLL
        for (int odd = 0; odd < 2; odd++, x += RK_GROUP, starts++) {
            __m256i sum[ROWS][VECTORS];
            for (int t = 0; t < rows; t++) {
                for (int v = 0; v < 2 * panels.count; v++) sum[t][v] = _mm256_set1_epi32(starts[rk_starts_stride(tile) * (size_t)t]);
            }
            RK_NO_UNROLL // as with AVX2
            for (int c = 0; c < 4; c++) {
                RK_UNROLL
                for (int p = 0; p < panels.count; p++) {
                    const uint8_t *columns = rk_group_weights(blocks + stream * (size_t)p, pair) + 256 * odd + 64 * c;
                    rk_prefetch(columns + prefetch_distance(tile, rows), RK_PREFETCH_L1);
                    if (rows > 1 && p > 0) x = anew(x);
                    RK_UNROLL
                    for (int high = 0; high < 2; high++) {
                        if (rows > 2 && high) columns = anew(columns);
                        const __m256i weights[2] = {nibbles(load_bytes(columns), high), nibbles(load_bytes(columns + 32), high)};
                        RK_UNROLL
                        for (int t = 0; t < rows; t++) {
                            const __m256i x4 = broadcast4(x + tile->x_stride * (size_t)t + 8 * c + 4 * high);
                            for (int half = 0; half < 2; half++) sum[t][2 * p + half] = rk_madd8_avxvnni(sum[t][2 * p + half], weights[half], x4);
                        }
                    }
                }
            }
            RK_UNROLL
            for (int v = 0; v < 2 * panels.count; v++) {
                const __m256i both = load_scales(rk_pair_scales(blocks + stream * (size_t)(v / 2), pair) + 16 * (v % 2));
                const __m256i scales = odd ? _mm256_srli_epi32(both, 16) : _mm256_and_si256(both, _mm256_set1_epi32(0xffff));
                RK_UNROLL
                for (int t = 0; t < rows; t++) acc[t][v] = rk_madd16_avxvnni(acc[t][v], sum[t][v], scales);
            }
        }
    }
    for (int v = 0; v < 2 * panels.count && rows > 1; v++) row_scales[v] = load_row_scales(tile, panels.first + v / 2 * panels.apart, v % 2);
    for (int t = 0; t < rows; t++) {
        for (int v = 0; v < 2 * panels.count; v++)
            store_int4(tile, panels.first + v / 2 * panels.apart, first + t, v % 2, row_scales[v], acc[t][v]);
    }
}

// Many rows of x.
RK_TARGET RK_INLINE v16_int madd8(v16_int sums, v16_int w, v16_int x) {
    const v8_int low = (v8_int)rk_madd8_avxvnni((__m256i)v16_low(sums), (__m256i)v16_low(w), (__m256i)v16_low(x));
    const v8_int high = (v8_int)rk_madd8_avxvnni((__m256i)v16_high(sums), (__m256i)v16_high(w), (__m256i)v16_high(x));
    return __builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}
RK_TARGET RK_INLINE v16_int madd16(v16_int sums, v16_int w, v16_int x) {
    const v8_int low = (v8_int)rk_madd16_avxvnni((__m256i)v16_low(sums), (__m256i)v16_low(w), (__m256i)v16_low(x));
    const v8_int high = (v8_int)rk_madd16_avxvnni((__m256i)v16_high(sums), (__m256i)v16_high(w), (__m256i)v16_high(x));
    return __builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}
#define RK_UNPACKED_ROWS 6
#include "matmul_unpacked.h"

#define INT8(n) RK_FOR_STREAMS(tile, (n == 1 ? 4 : n <= 3 ? 2 : 1), int8_rows, first, n)
#define INT4(n) RK_FOR_STREAMS(tile, (n == 1 ? 4 : n <= 3 ? 2 : 1), int4_rows, first, n)

RK_TARGET static void int8(const rk_matmul_tile *tile) { RK_FOR_ROWS(tile->count, 6, INT8) }
RK_TARGET static void int4(const rk_matmul_tile *tile) {
    if (tile->count > 2 * ROWS) return int4_many(tile);
    RK_FOR_ROWS(tile->count, 6, INT4)
}
RK_TARGET static void int16(const rk_matmul_tile *tile) {
    if (tile->count == 1) {
        RK_FOR_STREAMS_PREFETCH(tile, STREAMS, int16_row)
        return;
    }
    RK_FOR_TILES(tile, 6, INT16)
}

#if !defined(RK_AVXVNNI_AS_AVX512)
const rk_matmul_kernels rk_matmul_avxvnni = {.name = "avxvnni", .tile = {NULL, NULL, int8, int4}, .int16 = int16};
#endif
#endif
