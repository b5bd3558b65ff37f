// Products of bytes with 16-bit x on 256-bit registers. The includer defines RK_TARGET and RK_MADD16, one of madd.h.
#include "../madd.h"
#include "matmul_avx2.h"

// Four columns of a row of x, for four rows of the panel.
RK_TARGET RK_INLINE __m256i broadcast4_16(const int16_t *x) {
    int64_t columns;
    memcpy(&columns, x, sizeof columns);
    return _mm256_set1_epi64x(columns);
}

// Four columns of four rows of the panel.
RK_TARGET RK_INLINE __m256i load_as_16(const int8_t *w) { return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)w)); }

// The end of a block: two lanes for each of 8 rows of the panel become a float.
RK_TARGET RK_INLINE __m256 add_block16(__m256 acc, const __m256i sum[2]) {
    const __m256i pairs = _mm256_hadd_epi32(sum[0], sum[1]); // rows 0 1 4 5 2 3 6 7
    return _mm256_add_ps(acc, _mm256_cvtepi32_ps(_mm256_permute4x64_epi64(pairs, _MM_SHUFFLE(3, 1, 2, 0))));
}

// Each pass over a panel makes `halves` of it, 8 rows each: both for few rows of x, one for many, as the registers allow.
RK_TARGET RK_INLINE void int16_rows(const rk_matmul_tile *tile, int panel, int first, const int rows) {
    const int halves = rows <= 2 ? 2 : 1;
    const float *w_scales = rk_tile_panel(tile, RK_INT8, panel);
    const int8_t *w = (const int8_t *)(w_scales + RK_PANEL);
    const int16_t *x = rk_tile_x16(tile, first);
    rk_prefetch_cursor next = rk_next_panels_cursor(tile, RK_INT8, panel, 1, first, rows, 32 * halves);
    for (int pass = 0; pass < 2; pass += halves) {
        __m256 acc[6][2];
        for (int t = 0; t < rows; t++) acc[t][0] = acc[t][1] = _mm256_setzero_ps();
        for (int block = 0; block < tile->columns; block += RK_INT16_BLOCK) {
            const int end = rk_min(block + RK_INT16_BLOCK, tile->columns);
            __m256i sum[6][4]; // two lanes for each row of the panel
            for (int t = 0; t < rows; t++) {
                for (int i = 0; i < 2 * halves; i++) sum[t][i] = _mm256_setzero_si256();
            }
            for (int k = block; k < end; k += 4) {
                const int8_t *columns = w + k * RK_PANEL + 32 * pass;
                rk_prefetch_next(&next, 0, 1, RK_PREFETCH_L1);
                __m256i weights[4];
                for (int i = 0; i < 2 * halves; i++) weights[i] = load_as_16(columns + 16 * i);
                RK_UNROLL
                for (int t = 0; t < rows; t++) {
                    const __m256i x4 = broadcast4_16(x + tile->x_stride * (size_t)t + k);
                    RK_UNROLL
                    for (int i = 0; i < 2 * halves; i++) sum[t][i] = RK_MADD16(sum[t][i], weights[i], x4);
                }
            }
            for (int t = 0; t < rows; t++) {
                for (int half = 0; half < halves; half++) acc[t][half] = add_block16(acc[t][half], sum[t] + 2 * half);
            }
        }
        for (int t = 0; t < rows; t++) {
            for (int half = 0; half < halves; half++) store_int16(tile, panel, first + t, pass + half, w_scales, acc[t][half]);
        }
    }
}

RK_TARGET RK_INLINE void int16_row(const rk_matmul_tile *tile, const rk_panels panels, const int prefetch) {
    enum { TURN = 16 }; // columns
    const float *scales = rk_tile_panel(tile, RK_INT8, panels.first);
    const size_t stream = rk_panel_bytes(RK_INT8, tile->columns) * (size_t)panels.apart;
    const char *w = (const char *)(scales + RK_PANEL);
    __m256 acc[STREAMS][2];
    rk_prefetch_biases(tile, panels);
    for (int p = 0; p < panels.count; p++) acc[p][0] = acc[p][1] = _mm256_setzero_ps();
    for (int block = 0; block < tile->columns; block += RK_INT16_BLOCK) {
        const int end = rk_min(block + RK_INT16_BLOCK, tile->columns);
        __m256i sum[STREAMS][4];
        for (int p = 0; p < panels.count; p++) {
            for (int i = 0; i < 4; i++) sum[p][i] = _mm256_setzero_si256();
        }
        for (int k = block; k < end; k += TURN) {
            RK_NO_UNROLL // one stream's sums fit into the registers
            for (int p = 0; p < panels.count; p++) {
                RK_UNROLL
                for (int line = 0; line < TURN * RK_PANEL; line += 64) {
                    if (prefetch) rk_prefetch(w + stream * (size_t)p + RK_PANEL * k + tile->prefetch_distance + line, RK_PREFETCH_L1);
                }
                RK_UNROLL
                for (int c = k; c < k + TURN; c += 4) {
                    const __m256i x4 = broadcast4_16(tile->x16 + c);
                    for (int i = 0; i < 4; i++)
                        sum[p][i] = RK_MADD16(sum[p][i], load_as_16((const int8_t *)w + stream * (size_t)p + RK_PANEL * c + 16 * i), x4);
                }
            }
        }
        for (int p = 0; p < panels.count; p++) {
            for (int half = 0; half < 2; half++) acc[p][half] = add_block16(acc[p][half], sum[p] + 2 * half);
        }
    }
    for (int p = 0; p < panels.count; p++) {
        for (int half = 0; half < 2; half++)
            store_int16(tile, panels.first + p * panels.apart, 0, half, (const float *)((const char *)scales + stream * (size_t)p), acc[p][half]);
    }
}

#define INT16(n) int16_rows(tile, panel, first, n)
