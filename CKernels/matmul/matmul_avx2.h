// What the kernels with 256-bit registers share: a panel's rows are two registers. The includer defines RK_TARGET.
#include "matmul_prefetch.h"

// Panels that one row of x takes in turn.
enum { STREAMS = 4 };

RK_TARGET RK_INLINE __m256i load_bytes(const void *p) { return _mm256_loadu_si256(p); }

RK_TARGET RK_INLINE void store_bytes(void *p, __m256i bytes) { _mm256_storeu_si256(p, bytes); }

// Four columns of a row of x, for each row of the panel.
RK_TARGET RK_INLINE __m256i broadcast4(const int8_t *x) { return _mm256_set1_epi32(rk_columns4(x)); }

// Of a line of int4: columns 8 c ..< 8 c + 4 or, if `high`, the four after them.
RK_TARGET RK_INLINE __m256i nibbles(__m256i pairs, const int high) {
    return _mm256_and_si256(high ? _mm256_srli_epi16(pairs, 4) : pairs, _mm256_set1_epi8(15));
}

RK_TARGET RK_INLINE __m256 load_bias(const rk_matmul_tile *tile, int panel, int half) {
    return tile->bias ? _mm256_loadu_ps(tile->bias + panel * RK_PANEL + 8 * half) : _mm256_setzero_ps();
}

// `half` of a panel is 8 rows.
RK_TARGET RK_INLINE void store(const rk_matmul_tile *tile, int panel, int row, int half, __m256 acc, __m256 scale) {
    _mm256_storeu_ps(rk_tile_out(tile, panel, row) + 8 * half, _mm256_fmadd_ps(acc, scale, load_bias(tile, panel, half)));
}

RK_TARGET RK_INLINE void store_int8(const rk_matmul_tile *tile, int panel, int row, int half, const float *w_scales, __m256 acc) {
    store(tile, panel, row, half, acc, _mm256_loadu_ps(w_scales + 8 * half));
}

RK_TARGET RK_INLINE void store_int16(const rk_matmul_tile *tile, int panel, int row, int half, const float *w_scales, __m256 acc) {
    store(tile, panel, row, half, acc, _mm256_mul_ps(_mm256_set1_ps(tile->scales[row]), _mm256_loadu_ps(w_scales + 8 * half)));
}

// The scales of 8 rows of an int4 panel. One row of x reads them before the blocks that follow them: the hardware prefetcher loses streams that go
// back at the end of each panel.
RK_TARGET RK_INLINE __m256 load_row_scales(const rk_matmul_tile *tile, int panel, int half) {
    return _mm256_loadu_ps((const float *)rk_tile_panel(tile, RK_INT4, panel) + 8 * half);
}

RK_TARGET RK_INLINE void store_int4(const rk_matmul_tile *tile, int panel, int row, int half, __m256 row_scales, __m256i acc) {
    store(tile, panel, row, half, _mm256_cvtepi32_ps(acc), _mm256_mul_ps(_mm256_set1_ps(tile->scales[row]), row_scales));
}

// The scales of 8 rows in an even group and the next one, as words: of each row both.
RK_TARGET RK_INLINE __m256i load_scales(const int8_t *pair_scales) { return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)pair_scales)); }

// The end of a block of int8.
RK_TARGET RK_INLINE __m256 add_block(__m256 acc, __m256i sum, const float *scale) {
    return _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), _mm256_set1_ps(*scale), acc);
}
