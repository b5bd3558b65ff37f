#include "matmul.h"

#if defined(__x86_64__)
#define RK_TARGET RK_TARGET_AVX2
#include "matmul_lanes.h"
#define MADD16(sum, w, x) _mm256_add_epi32(sum, _mm256_madd_epi16(w, x))
#include "matmul_int16.h"

RK_TARGET RK_INLINE void int8_rows(const rk_matmul_tile *tile, int panel, int first, const int rows) {
    const float *w_scales = rk_tile_panel(tile, RK_INT8, panel);
    const int8_t *w = (const int8_t *)(w_scales + RK_PANEL);
    const int8_t *x = rk_tile_x8(tile, first);
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i sum[4][2];
    for (int t = 0; t < rows; t++) sum[t][0] = sum[t][1] = _mm256_setzero_si256();
    for (int k = 0; k < tile->columns; k += 4) {
        __m256i weights[2], magnitudes[2];
        RK_UNROLL
        for (int half = 0; half < 2; half++) {
            weights[half] = load_bytes(w + k * RK_PANEL + 32 * half);
            magnitudes[half] = _mm256_abs_epi8(weights[half]);
        }
        RK_UNROLL
        for (int t = 0; t < rows; t++) {
            const __m256i columns = broadcast4(x + tile->x_stride * (size_t)t + k);
            RK_UNROLL
            for (int half = 0; half < 2; half++) {
                // |w| times x with the sign of w: two products stay below 2^15, as |w| <= 128 and |x| <= 127.
                const __m256i pairs = _mm256_maddubs_epi16(magnitudes[half], _mm256_sign_epi8(columns, weights[half]));
                sum[t][half] = _mm256_add_epi32(sum[t][half], _mm256_madd_epi16(pairs, ones));
            }
        }
    }
    for (int t = 0; t < rows; t++) {
        for (int half = 0; half < 2; half++) store_int8(tile, panel, first + t, half, w_scales, sum[t][half]);
    }
}

// One value for all lanes, by a load: a compiler that shifts the value first goes through the general registers.
RK_TARGET RK_INLINE __m256i load_to_all(const int32_t *p) {
    __m256i all = _mm256_set1_epi32(*p);
    __asm__("" : "+x"(all));
    return all;
}

// Unsigned nibbles times signed bytes, two columns to a 16-bit sum that holds a whole group.
RK_TARGET RK_INLINE void int4_rows(const rk_matmul_tile *tile, int panel, int first, const int rows) {
    const uint8_t *blocks = rk_tile_panel(tile, RK_INT4, panel);
    const int8_t *x = rk_tile_x8(tile, first);
    const int32_t *sums = rk_tile_sums(tile, first);
    const size_t groups = (size_t)tile->columns / RK_GROUP;
    const __m256i nibble = _mm256_set1_epi8(15), ones = _mm256_set1_epi16(1);
    __m256 acc[4][2];
    for (int t = 0; t < rows; t++) acc[t][0] = acc[t][1] = _mm256_setzero_ps();
    for (size_t group = 0; group < groups; group++, x += RK_GROUP, sums++) {
        const uint8_t *block = blocks + group / 2 * 576;
        const uint8_t *w = block + 64 + group % 2 * 256;
        if (first == 0) prefetch(w, 288);
        __m256i sum[4][2]; // 16 products of at most 15 * 127 each: they fit
        for (int t = 0; t < rows; t++) sum[t][0] = sum[t][1] = _mm256_setzero_si256();
        // Not unrolled: the compiler would move the loads of x together and run out of registers.
        _Pragma("clang loop unroll(disable)")
        for (int c = 0; c < 4; c++) {
            RK_UNROLL
            for (int far = 0; far < 2; far++) {
                __m256i pairs[2] = {load_bytes(w + 64 * c), load_bytes(w + 64 * c + 32)};
                for (int half = 0; half < 2; half++) {
                    if (far) pairs[half] = _mm256_srli_epi16(pairs[half], 4);
                    pairs[half] = _mm256_and_si256(pairs[half], nibble);
                }
                RK_UNROLL
                for (int t = 0; t < rows; t++) {
                    const __m256i columns = broadcast4(x + tile->x_stride * (size_t)t + 8 * c + 4 * far);
                    for (int half = 0; half < 2; half++)
                        sum[t][half] = _mm256_add_epi16(sum[t][half], _mm256_maddubs_epi16(pairs[half], columns));
                }
            }
        }
        const __m256 scales[2] = {load_halves(block + group % 2 * 32), load_halves(block + group % 2 * 32 + 16)};
        RK_UNROLL
        for (int t = 0; t < rows; t++) {
            const __m256i start = _mm256_slli_epi32(load_to_all(sums + groups * (size_t)t), 3);
            for (int half = 0; half < 2; half++) {
                const __m256i total = _mm256_add_epi32(start, _mm256_madd_epi16(sum[t][half], ones));
                acc[t][half] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(total), scales[half], acc[t][half]);
            }
        }
    }
    for (int t = 0; t < rows; t++) {
        for (int half = 0; half < 2; half++) store_int4(tile, panel, first + t, half, acc[t][half]);
    }
}

#define F32(n) float_rows(tile, RK_F32, panel, first, n)
#define F16(n) float_rows(tile, RK_F16, panel, first, n)
#define INT8(n) int8_rows(tile, panel, first, n)
#define INT4(n) int4_rows(tile, panel, first, n)

RK_TARGET static void f32(const rk_matmul_tile *tile) { RK_FOR_TILES(tile, 6, F32) }
RK_TARGET static void f16(const rk_matmul_tile *tile) { RK_FOR_TILES(tile, 6, F16) }
RK_TARGET static void int8(const rk_matmul_tile *tile) { RK_FOR_TILES(tile, 4, INT8) }
RK_TARGET static void int4(const rk_matmul_tile *tile) { RK_FOR_TILES(tile, 4, INT4) }

const rk_matmul_kernels rk_matmul_avx2 = {.name = "avx2", .tile = {f32, f16, int8, int4}, .int16 = int16};
#endif
