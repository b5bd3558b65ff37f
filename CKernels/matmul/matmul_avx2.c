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

// The end of a group: 16-bit sums of two columns each (16 products of at most 15 * 127: they fit) and minus 8 times the sum of x, as nibbles
// are stored plus 8, become a float.
RK_TARGET RK_INLINE __m256 add_group(__m256 acc, __m256i sum, const int32_t *negated_sum, __m256 scales) {
    const __m256i start = _mm256_slli_epi32(load_to_all(negated_sum), 3);
    const __m256i total = _mm256_add_epi32(start, _mm256_madd_epi16(sum, _mm256_set1_epi16(1)));
    return _mm256_fmadd_ps(_mm256_cvtepi32_ps(total), scales, acc);
}

// Four columns of a panel (unsigned nibbles in bytes) times those of each row of x.
RK_TARGET RK_INLINE void add_columns(__m256i sum[][2], const __m256i w[2], const int8_t *x, size_t x_stride, const int rows) {
    RK_UNROLL
    for (int t = 0; t < rows; t++) {
        const __m256i columns = broadcast4(x + x_stride * (size_t)t);
        for (int half = 0; half < 2; half++) sum[t][half] = _mm256_add_epi16(sum[t][half], _mm256_maddubs_epi16(w[half], columns));
    }
}

// Loops over the columns of a group stay loops: unrolled, the compiler would move the loads of x together and run out of registers.
#define RK_KEEP_LOOP _Pragma("clang loop unroll(disable)")

// Few rows of x: nibbles are unpacked in registers.
RK_TARGET RK_INLINE void int4_rows(const rk_matmul_tile *tile, int panel, int first, const int rows) {
    const uint8_t *blocks = rk_tile_panel(tile, RK_INT4, panel);
    const int8_t *x = rk_tile_x8(tile, first);
    const int32_t *sums = rk_tile_sums(tile, first);
    const size_t groups = (size_t)tile->columns / RK_GROUP;
    const __m256i nibble = _mm256_set1_epi8(15);
    __m256 acc[4][2];
    for (int t = 0; t < rows; t++) acc[t][0] = acc[t][1] = _mm256_setzero_ps();
    for (size_t group = 0; group < groups; group++, x += RK_GROUP, sums++) {
        const uint8_t *block = blocks + group / 2 * 576;
        const uint8_t *w = block + 64 + group % 2 * 256;
        if (first == 0) prefetch(w, 288);
        __m256i sum[4][2];
        for (int t = 0; t < rows; t++) sum[t][0] = sum[t][1] = _mm256_setzero_si256();
        RK_KEEP_LOOP
        for (int c = 0; c < 4; c++) {
            RK_UNROLL
            for (int far = 0; far < 2; far++) {
                __m256i pairs[2] = {load_bytes(w + 64 * c), load_bytes(w + 64 * c + 32)};
                for (int half = 0; half < 2; half++) {
                    if (far) pairs[half] = _mm256_srli_epi16(pairs[half], 4);
                    pairs[half] = _mm256_and_si256(pairs[half], nibble);
                }
                add_columns(sum, pairs, x + 8 * c + 4 * far, tile->x_stride, rows);
            }
        }
        const __m256 scales[2] = {load_halves(block + group % 2 * 32), load_halves(block + group % 2 * 32 + 16)};
        RK_UNROLL
        for (int t = 0; t < rows; t++) {
            for (int half = 0; half < 2; half++)
                acc[t][half] = add_group(acc[t][half], sum[t][half], sums + groups * (size_t)t, scales[half]);
        }
    }
    for (int t = 0; t < rows; t++) {
        for (int half = 0; half < 2; half++) store_int4(tile, panel, first + t, half, acc[t][half]);
    }
}

// Some groups of a panel, as many rows of x want them: unpacked once, in the first-level cache.
enum { UNPACKED_GROUPS = 32 };
typedef struct unpacked {
    _Alignas(64) uint8_t weights[UNPACKED_GROUPS][8][64]; // by 4 columns
    float scales[UNPACKED_GROUPS][RK_PANEL];
} unpacked;

RK_TARGET RK_INLINE void unpack(unpacked *u, const uint8_t *blocks, size_t first, size_t groups) {
    const __m256i nibble = _mm256_set1_epi8(15);
    for (size_t group = 0; group < groups; group++) {
        const uint8_t *block = blocks + (first + group) / 2 * 576;
        const uint8_t *w = block + 64 + (first + group) % 2 * 256;
        prefetch(w, 288);
        for (int half = 0; half < 2; half++) {
            for (int c = 0; c < 4; c++) {
                const __m256i pairs = load_bytes(w + 64 * c + 32 * half);
                store_bytes(&u->weights[group][2 * c][32 * half], _mm256_and_si256(pairs, nibble));
                store_bytes(&u->weights[group][2 * c + 1][32 * half], _mm256_and_si256(_mm256_srli_epi16(pairs, 4), nibble));
            }
            _mm256_storeu_ps(&u->scales[group][8 * half], load_halves(block + (first + group) % 2 * 32 + 16 * half));
        }
    }
}

// `count` groups from number `from`; out holds the sums of those before, and takes the product when these are the last.
RK_TARGET RK_INLINE void unpacked_rows(const rk_matmul_tile *tile, const unpacked *u, int panel, size_t from, size_t count, int first,
                                       const int rows) {
    const size_t groups = (size_t)tile->columns / RK_GROUP;
    const int8_t *x = rk_tile_x8(tile, first) + from * RK_GROUP;
    const int32_t *sums = rk_tile_sums(tile, first) + from;
    __m256 acc[6][2];
    for (int t = 0; t < rows; t++) {
        for (int half = 0; half < 2; half++)
            acc[t][half] = from ? _mm256_loadu_ps(rk_tile_out(tile, panel, first + t) + 8 * half) : _mm256_setzero_ps();
    }
    for (size_t group = 0; group < count; group++, x += RK_GROUP, sums++) {
        __m256i sum[6][2];
        for (int t = 0; t < rows; t++) sum[t][0] = sum[t][1] = _mm256_setzero_si256();
        RK_KEEP_LOOP
        for (int c = 0; c < 8; c += 2) {
            RK_UNROLL
            for (int far = 0; far < 2; far++) {
                const uint8_t *w = u->weights[group][c + far];
                add_columns(sum, (__m256i[2]){load_bytes(w), load_bytes(w + 32)}, x + 4 * (c + far), tile->x_stride, rows);
            }
        }
        RK_UNROLL
        for (int t = 0; t < rows; t++) {
            for (int half = 0; half < 2; half++)
                acc[t][half] = add_group(acc[t][half], sum[t][half], sums + groups * (size_t)t, _mm256_loadu_ps(&u->scales[group][8 * half]));
        }
    }
    for (int t = 0; t < rows; t++) {
        for (int half = 0; half < 2; half++) {
            if (from + count == groups) store_int4(tile, panel, first + t, half, acc[t][half]);
            else _mm256_storeu_ps(rk_tile_out(tile, panel, first + t) + 8 * half, acc[t][half]);
        }
    }
}

#define F32(n) float_rows(tile, RK_F32, panel, first, n)
#define F16(n) float_rows(tile, RK_F16, panel, first, n)
#define INT8(n) int8_rows(tile, panel, first, n)
#define INT4(n) int4_rows(tile, panel, first, n)
#define UNPACKED(n) unpacked_rows(tile, &u, panel, from, count, first, n)

RK_TARGET static void f32(const rk_matmul_tile *tile) { RK_FOR_TILES(tile, 6, F32) }
RK_TARGET static void f16(const rk_matmul_tile *tile) { RK_FOR_TILES(tile, 6, F16) }
RK_TARGET static void int8(const rk_matmul_tile *tile) { RK_FOR_TILES(tile, 4, INT8) }

RK_TARGET static void int4_many(const rk_matmul_tile *tile) {
    unpacked u;
    const size_t groups = (size_t)tile->columns / RK_GROUP;
    for (int panel = 0; panel < tile->panels; panel++) {
        for (size_t from = 0; from < groups; from += UNPACKED_GROUPS) {
            const size_t count = groups - from < UNPACKED_GROUPS ? groups - from : UNPACKED_GROUPS;
            unpack(&u, rk_tile_panel(tile, RK_INT4, panel), from, count);
            RK_FOR_ROWS(tile->count, 6, UNPACKED)
        }
    }
}

RK_TARGET static void int4(const rk_matmul_tile *tile) {
    if (tile->count > 12) return int4_many(tile);
    RK_FOR_TILES(tile, 4, INT4)
}

const rk_matmul_kernels rk_matmul_avx2 = {.name = "avx2", .tile = {f32, f16, int8, int4}, .int16 = int16};
#endif
