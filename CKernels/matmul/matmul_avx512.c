#include "matmul.h"

#if defined(__x86_64__)
#define RK_TARGET RK_TARGET_AVX512
#include "matmul_lanes.h"
#define MADD16 _mm256_dpwssd_epi32 // two of 256 bits or one of 512 in a cycle: the same to Zen 4
#include "matmul_int16.h"

// vpdpbusd takes unsigned times signed bytes: the weights become unsigned by adding 8 (as nibbles are stored) or 128, and the sums start
// from minus that times the sum of x.

RK_TARGET RK_INLINE __m512i dot(__m512i sum, __m512i weights, const int8_t *x) {
    return _mm512_dpbusd_epi32(sum, weights, _mm512_set1_epi32(rk_columns4(x)));
}

RK_TARGET RK_INLINE __m512 load_panel_bias(const rk_matmul_tile *tile, int panel) {
    return tile->bias ? _mm512_loadu_ps(tile->bias + panel * RK_PANEL) : _mm512_setzero_ps();
}

RK_TARGET RK_INLINE void int8_rows(const rk_matmul_tile *tile, int panel, int first, const int rows) {
    const float *w_scales = rk_tile_panel(tile, RK_INT8, panel);
    const int8_t *w = (const int8_t *)(w_scales + RK_PANEL);
    const int8_t *x = rk_tile_x8(tile, first);
    const __m512i offset = _mm512_set1_epi8(-128);
    __m512i sum[8];
    for (int t = 0; t < rows; t++) sum[t] = _mm512_slli_epi32(_mm512_set1_epi32(rk_tile_sum(tile, first + t)), 7);
    for (int k = 0; k < tile->columns; k += 4) {
        const __m512i weights = _mm512_xor_si512(_mm512_loadu_si512(w + k * RK_PANEL), offset);
        RK_UNROLL
        for (int t = 0; t < rows; t++) sum[t] = dot(sum[t], weights, x + tile->x_stride * (size_t)t + k);
    }
    const __m512 bias = load_panel_bias(tile, panel), scales = _mm512_loadu_ps(w_scales);
    for (int t = 0; t < rows; t++) {
        const __m512 scale = _mm512_mul_ps(_mm512_set1_ps(tile->scales[first + t]), scales);
        _mm512_storeu_ps(rk_tile_out(tile, panel, first + t), _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[t]), scale, bias));
    }
}

RK_TARGET RK_INLINE void int4_rows(const rk_matmul_tile *tile, int panel, int first, const int rows) {
    const uint8_t *block = rk_tile_panel(tile, RK_INT4, panel);
    const int8_t *x = rk_tile_x8(tile, first);
    const int32_t *sums = rk_tile_sums(tile, first);
    const size_t groups = (size_t)tile->columns / RK_GROUP;
    const __m512i nibble = _mm512_set1_epi8(15);
    __m512 acc[8];
    for (int t = 0; t < rows; t++) acc[t] = _mm512_setzero_ps();
    for (size_t group = 0; group < groups; group++) {
        const uint8_t *w = block + group / 2 * 576;
        const __m512 scales = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(w + group % 2 * 32)));
        __m512i weights[8];
        RK_UNROLL
        for (int c = 0; c < 4; c++) {
            const __m512i pair = _mm512_loadu_si512(w + 64 + group % 2 * 256 + c * 64);
            weights[2 * c] = _mm512_and_si512(pair, nibble);
            weights[2 * c + 1] = _mm512_and_si512(_mm512_srli_epi16(pair, 4), nibble);
        }
        RK_UNROLL
        for (int t = 0; t < rows; t++) {
            __m512i sum = _mm512_slli_epi32(_mm512_set1_epi32(sums[groups * (size_t)t + group]), 3);
            RK_UNROLL
            for (int c = 0; c < 8; c++) {
                sum = dot(sum, weights[c], x + tile->x_stride * (size_t)t + group * RK_GROUP + (size_t)c * 4);
            }
            acc[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), scales, acc[t]);
        }
    }
    const __m512 bias = load_panel_bias(tile, panel);
    for (int t = 0; t < rows; t++) {
        const __m512 scale = _mm512_set1_ps(tile->scales[first + t]);
        _mm512_storeu_ps(rk_tile_out(tile, panel, first + t), _mm512_fmadd_ps(acc[t], scale, bias));
    }
}

#define F32(n) float_rows(tile, RK_F32, panel, first, n)
#define F16(n) float_rows(tile, RK_F16, panel, first, n)
#define INT8(n) int8_rows(tile, panel, first, n)
#define INT4(n) int4_rows(tile, panel, first, n)

RK_TARGET static void f32(const rk_matmul_tile *tile) { RK_FOR_TILES(tile, 8, F32) }
RK_TARGET static void f16(const rk_matmul_tile *tile) { RK_FOR_TILES(tile, 8, F16) }
RK_TARGET static void int8(const rk_matmul_tile *tile) { RK_FOR_TILES(tile, 8, INT8) }
RK_TARGET static void int4(const rk_matmul_tile *tile) { RK_FOR_TILES(tile, 8, INT4) }
RK_TARGET static void int16(const rk_matmul_tile *tile) { RK_FOR_TILES(tile, 6, INT16) }

const rk_matmul_kernels rk_matmul_avx512 = {.name = "avx512", .tile = {f32, f16, int8, int4}, .int16 = int16};
#endif
