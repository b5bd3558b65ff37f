#include "matmul.h"

#if defined(__x86_64__)
// The test program compiles this file a second time with the AVX-512 encoding of the same instruction, for machines without this one.
#if defined(RK_AVXVNNI_AS_AVX512)
#define RK_TARGET RK_TARGET_AVX512
#define DPBUSD _mm256_dpbusd_epi32
#define ENCODING "%{evex%}"
#else
#define RK_TARGET RK_TARGET_AVXVNNI
#define DPBUSD _mm256_dpbusd_avx_epi32
#define ENCODING "%{vex%}"
#endif

// By assembler: told to be fast on any processor, the compiler makes two instructions of this one.
RK_TARGET RK_INLINE __m256i madd16(__m256i sum, __m256i w, __m256i x) {
    __asm__(ENCODING " vpdpwssd %2, %1, %0" : "+x"(sum) : "x"(w), "x"(x));
    return sum;
}
#define MADD16 madd16
#include "matmul_int16.h"

// As on AVX-512: the weights are made unsigned by adding 8 or 128, and the sums start from minus that times the sum of x.

RK_TARGET RK_INLINE void int8_rows(const rk_matmul_tile *tile, int panel, int first, const int rows) {
    const float *w_scales = rk_tile_panel(tile, RK_INT8, panel);
    const int8_t *w = (const int8_t *)(w_scales + RK_PANEL);
    const int8_t *x = rk_tile_x8(tile, first);
    const __m256i offset = _mm256_set1_epi8(-128);
    __m256i sum[6][2];
    for (int t = 0; t < rows; t++) sum[t][0] = sum[t][1] = _mm256_set1_epi32(rk_tile_start(tile, first + t));
    for (int k = 0; k < tile->columns; k += 4) {
        const __m256i low = _mm256_xor_si256(load_bytes(w + k * RK_PANEL), offset);
        const __m256i high = _mm256_xor_si256(load_bytes(w + k * RK_PANEL + 32), offset);
        RK_UNROLL
        for (int t = 0; t < rows; t++) {
            const __m256i columns = broadcast4(x + tile->x_stride * (size_t)t + k);
            sum[t][0] = DPBUSD(sum[t][0], low, columns);
            sum[t][1] = DPBUSD(sum[t][1], high, columns);
        }
    }
    for (int t = 0; t < rows; t++) {
        for (int half = 0; half < 2; half++) store_int8(tile, panel, first + t, half, w_scales, sum[t][half]);
    }
}

// Two passes over a panel, 8 of its rows each: sums of 6 rows of x then fit in the registers.
RK_TARGET RK_INLINE void int4_rows(const rk_matmul_tile *tile, int panel, int first, const int rows) {
    const uint8_t *blocks = rk_tile_panel(tile, RK_INT4, panel);
    const size_t groups = (size_t)tile->columns / RK_GROUP;
    const __m256i nibble = _mm256_set1_epi8(15);
    for (int half = 0; half < 2; half++) {
        const int8_t *x = rk_tile_x8(tile, first);
        const int32_t *starts = rk_tile_starts(tile, first);
        __m256 acc[6];
        for (int t = 0; t < rows; t++) acc[t] = _mm256_setzero_ps();
        for (size_t group = 0; group < groups; group++, x += RK_GROUP, starts++) {
            const uint8_t *block = blocks + group / 2 * 576 + 16 * half;
            const uint8_t *w = blocks + group / 2 * 576 + 64 + group % 2 * 256 + 32 * half;
            __m256i sum[6];
            RK_UNROLL
            for (int t = 0; t < rows; t++) sum[t] = _mm256_set1_epi32(starts[groups * (size_t)t]);
            RK_UNROLL
            for (int c = 0; c < 4; c++) {
                const __m256i pair = load_bytes(w + 64 * c);
                const __m256i low = _mm256_and_si256(pair, nibble), high = _mm256_and_si256(_mm256_srli_epi16(pair, 4), nibble);
                RK_UNROLL
                for (int t = 0; t < rows; t++) {
                    const int8_t *columns = x + tile->x_stride * (size_t)t + c * 8;
                    sum[t] = DPBUSD(sum[t], low, broadcast4(columns));
                    sum[t] = DPBUSD(sum[t], high, broadcast4(columns + 4));
                }
            }
            const __m256 scales = load_halves(block + group % 2 * 32);
            RK_UNROLL
            for (int t = 0; t < rows; t++) acc[t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum[t]), scales, acc[t]);
        }
        for (int t = 0; t < rows; t++) store_int4(tile, panel, first + t, half, acc[t]);
    }
}

#define INT8(n) int8_rows(tile, panel, first, n)
#define INT4(n) int4_rows(tile, panel, first, n)

RK_TARGET static void int8(const rk_matmul_tile *tile) { RK_FOR_TILES(tile, 6, INT8) }
RK_TARGET static void int4(const rk_matmul_tile *tile) { RK_FOR_TILES(tile, 6, INT4) }
RK_TARGET static void int16(const rk_matmul_tile *tile) { RK_FOR_TILES(tile, 6, INT16) }

#if !defined(RK_AVXVNNI_AS_AVX512)
const rk_matmul_kernels rk_matmul_avxvnni = {.name = "avxvnni", .tile = {NULL, NULL, int8, int4}, .int16 = int16};
#endif
#endif
