#include "matmul.h"

#if defined(__x86_64__)
#define RK_TARGET RK_TARGET_AVX2
#include "matmul_lanes.h"
#include "matmul_avx2.h"

RK_TARGET RK_INLINE void int8_rows(const rk_matmul_tile *tile, int panel, int first, const int rows) {
    const float *w_scales = rk_tile_panel(tile, RK_INT8, panel);
    const int8_t *w = (const int8_t *)(w_scales + RK_PANEL);
    const int8_t *x = rk_tile_x8(tile, first);
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i sum[4][2];
    for (int t = 0; t < rows; t++) sum[t][0] = sum[t][1] = _mm256_setzero_si256();
    for (int k = 0; k < tile->columns; k += 4) {
        RK_UNROLL
        for (int half = 0; half < 2; half++) {
            // |w| times x with the sign of w: two products stay below 2^15, as |w| <= 128 and |x| <= 127.
            const __m256i weights = load_bytes(w + k * RK_PANEL + 32 * half), magnitudes = _mm256_abs_epi8(weights);
            RK_UNROLL
            for (int t = 0; t < rows; t++) {
                const __m256i columns = broadcast4(x + tile->x_stride * (size_t)t + k);
                const __m256i pairs = _mm256_maddubs_epi16(magnitudes, _mm256_sign_epi8(columns, weights));
                sum[t][half] = _mm256_add_epi32(sum[t][half], _mm256_madd_epi16(pairs, ones));
            }
        }
    }
    for (int t = 0; t < rows; t++) store_int8(tile, panel, first + t, w_scales, sum[t]);
}

RK_TARGET RK_INLINE void int4_rows(const rk_matmul_tile *tile, int panel, int first, const int rows) {
    const uint8_t *block = rk_tile_panel(tile, RK_INT4, panel);
    const int8_t *x = rk_tile_x8(tile, first);
    const int32_t *sums = rk_tile_sums(tile, first);
    const size_t groups = (size_t)tile->columns / RK_GROUP;
    const __m256i nibble = _mm256_set1_epi8(15), ones = _mm256_set1_epi16(1);
    __m256 acc[4][2];
    for (int t = 0; t < rows; t++) acc[t][0] = acc[t][1] = _mm256_setzero_ps();
    for (size_t group = 0; group < groups; group++) {
        const uint8_t *w = block + group / 2 * 576;
        const uint8_t *pairs = w + 64 + group % 2 * 256;
        __m256i sum16[4][2]; // 16 products of at most 15 * 127 each: they fit
        RK_UNROLL
        for (int c = 0; c < 4; c++) {
            RK_UNROLL
            for (int half = 0; half < 2; half++) {
                const __m256i pair = load_bytes(pairs + 64 * c + 32 * half);
                const __m256i low = _mm256_and_si256(pair, nibble), high = _mm256_and_si256(_mm256_srli_epi16(pair, 4), nibble);
                RK_UNROLL
                for (int t = 0; t < rows; t++) {
                    const int8_t *columns = x + tile->x_stride * (size_t)t + group * RK_GROUP + (size_t)c * 8;
                    const __m256i products = _mm256_add_epi16(_mm256_maddubs_epi16(low, broadcast4(columns)),
                                                              _mm256_maddubs_epi16(high, broadcast4(columns + 4)));
                    sum16[t][half] = c ? _mm256_add_epi16(sum16[t][half], products) : products;
                }
            }
        }
        RK_UNROLL
        for (int t = 0; t < rows; t++) {
            const __m256i start = _mm256_slli_epi32(_mm256_set1_epi32(sums[groups * (size_t)t + group]), 3);
            RK_UNROLL
            for (int half = 0; half < 2; half++) {
                const __m256i sum = _mm256_add_epi32(start, _mm256_madd_epi16(sum16[t][half], ones));
                acc[t][half] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), load_halves(w + group % 2 * 32 + 16 * half), acc[t][half]);
            }
        }
    }
    for (int t = 0; t < rows; t++) store_int4(tile, panel, first + t, acc[t]);
}

#define F32(n) float_rows(tile, RK_F32, panel, first, n)
#define F16(n) float_rows(tile, RK_F16, panel, first, n)
#define INT8(n) int8_rows(tile, panel, first, n)
#define INT4(n) int4_rows(tile, panel, first, n)

RK_TARGET static void f32(const rk_matmul_tile *tile) { RK_FOR_TILES(tile, 6, F32) }
RK_TARGET static void f16(const rk_matmul_tile *tile) { RK_FOR_TILES(tile, 6, F16) }
RK_TARGET static void int8(const rk_matmul_tile *tile) { RK_FOR_TILES(tile, 4, INT8) }
RK_TARGET static void int4(const rk_matmul_tile *tile) { RK_FOR_TILES(tile, 4, INT4) }

const rk_matmul_kernels rk_matmul_avx2 = {.name = "avx2", .tile = {f32, f16, int8, int4}};
#endif
