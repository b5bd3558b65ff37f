// What every kernel source shares: exact arithmetic, the attributes of the instruction sets, small helpers.
//
// Include it before defining any function: the pragma below holds to the end of the translation unit, and without it the compiler
// may fuse a * b + c on one CPU and not on another.
//
// Words: panel   sixteen rows of a matrix, packed; products take some at once.
//        group   of columns, 32 with one scale (int4) or sum; in convolutions, of panels that are multiplied together.
//        tile    of registers, rows of x times panels whose sums they hold; of Winograd's transform, 4 x 4 pixels of output and the 6 x 6 under them;
//                of patches, pixels of output that a worker takes at once.
//        block   tiles of the transform, or patches, whose lines of channels lie side by side: those of a tile of registers.
//        slice   channels, or columns of a patch, that are transformed or made integers together.
//        chunk   what a worker takes of a step's work: rk_next_chunk.
//        band    the pixels under neighbouring tiles of the transform, normalized together.
#ifndef RK_INTERNAL_H
#define RK_INTERNAL_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "include/ckernels.h"

#if !defined(__clang__)
#error "The kernels are written for clang: its vector builtins, and this pragma, which others ignore."
#endif
#pragma STDC FP_CONTRACT OFF

#define RK_UNROLL _Pragma("clang loop unroll(full)")
#define RK_NO_UNROLL _Pragma("clang loop unroll(disable)")
#define RK_INLINE static inline __attribute__((always_inline))

#if defined(__x86_64__)
#include <immintrin.h>
#define RK_TARGET_AVX2 __attribute__((target("avx2,fma,f16c")))
#define RK_TARGET_AVX512 __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")))

// What of RK_CPU_TRAITS a processor has, by CPUID: its maker, the signature (leaf 1, EAX) and leaf 7's EBX.
uint32_t rk_cpu_traits(const char *vendor, uint32_t signature, uint32_t leaf7_b);
#elif defined(__aarch64__)
#include <arm_neon.h>
#define RK_TARGET_DOTPROD __attribute__((target("arch=armv8.2-a+dotprod")))
#define RK_TARGET_I8MM __attribute__((target("arch=armv8.2-a+dotprod+i8mm")))
#endif

RK_INLINE uint32_t rk_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

RK_INLINE float rk_float(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

RK_INLINE int rk_min(int a, int b) { return a < b ? a : b; }
RK_INLINE int rk_max(int a, int b) { return a > b ? a : b; }
RK_INLINE int rk_divide_up(int a, int b) { return (a + b - 1) / b; }

// Rows of the next register tile when `left` rows of x are left: tiles of equal size, none larger than `largest`.
RK_INLINE int rk_tile_rows(int left, int largest) {
    int tiles = rk_divide_up(left, largest);
    return rk_divide_up(left, tiles);
}

// Cuts `count` rows into tiles of at most `largest` and makes each a CALL(rows) with a constant number of rows, the variable `first` in scope.
// `largest` is one of the numbers that RK_CASES_ has.
#define RK_FOR_ROWS(count, largest, CALL)                                                                                        \
    for (int first = 0; first < (count);) {                                                                                      \
        const int rows = rk_tile_rows((count) - first, largest);                                                                 \
        switch (rows) { RK_CASES(largest, CALL) }                                                                                \
        first += rows;                                                                                                           \
    }

#define RK_CASES(largest, CALL) RK_CASES_UP_TO(largest, CALL)
#define RK_CASES_UP_TO(largest, CALL) RK_CASES_##largest(CALL)
#define RK_CASE(CALL, n) case n: CALL(n); break;
#define RK_CASES_2(CALL) RK_CASE(CALL, 1) RK_CASE(CALL, 2)
#define RK_CASES_4(CALL) RK_CASES_2(CALL) RK_CASE(CALL, 3) RK_CASE(CALL, 4)
#define RK_CASES_6(CALL) RK_CASES_4(CALL) RK_CASE(CALL, 5) RK_CASE(CALL, 6)
#define RK_CASES_8(CALL) RK_CASES_6(CALL) RK_CASE(CALL, 7) RK_CASE(CALL, 8)
#define RK_CASES_12(CALL) RK_CASES_8(CALL) RK_CASE(CALL, 9) RK_CASE(CALL, 10) RK_CASE(CALL, 11) RK_CASE(CALL, 12)

// rk_exp(x), the definition: x clamped to [MIN, MAX] (NaN becomes MIN), n = rint(x * LOG2E), r = x - n ln 2 in two fused steps,
// Horner with fmaf over C7 ... C0 (C7 stands at r^7), times 2^n built from exponent bits.
#define RK_EXP_MIN (-87.3365402f)
#define RK_EXP_MAX 88.3762589f
#define RK_EXP_LOG2E 1.44269504f
#define RK_EXP_LN2_HIGH 0.693359375f
#define RK_EXP_LN2_LOW (-2.12194440e-4f)
#define RK_EXP_C7 1.9875691500e-4f
#define RK_EXP_C6 1.3981999507e-3f
#define RK_EXP_C5 8.3334519073e-3f
#define RK_EXP_C4 4.1665795894e-2f
#define RK_EXP_C3 1.6666665459e-1f
#define RK_EXP_C2 5.0000001201e-1f

#endif
