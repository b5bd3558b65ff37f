// Sixteen floats at a time: the lanes of rk_math.h as one value.
//
// Written with the compiler's vectors, so that the instruction set is the includer's choice and its arithmetic cannot differ from
// another's: a v16 is one register of AVX-512, two of AVX2, four of NEON. Before including this, define RK_TARGET as the
// __attribute__((target(...))) of the instruction set (or as nothing); every function that touches a v16 carries it.
#ifndef LANES_H
#define LANES_H

#include "internal.h"

#pragma clang diagnostic ignored "-Wpsabi" // no v16 crosses a call: all functions that take one are inlined

#define RK_LANES_INLINE static inline __attribute__((always_inline)) RK_TARGET

typedef float v16 __attribute__((vector_size(64)));
typedef float v8 __attribute__((vector_size(32)));
typedef float v4 __attribute__((vector_size(16)));
typedef int32_t v16_int __attribute__((vector_size(64)));
typedef int32_t v8_int __attribute__((vector_size(32)));
typedef int16_t v16_short __attribute__((vector_size(32)));
typedef int8_t v16_bytes __attribute__((vector_size(16)));
typedef _Float16 v16_f16 __attribute__((vector_size(32)));

RK_LANES_INLINE v16 v16_splat(float x) { return (v16){x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x}; }

// a * b + c, rounded once.
RK_LANES_INLINE v16 v16_fma(v16 a, v16 b, v16 c) { return __builtin_elementwise_fma(a, b, c); }

RK_LANES_INLINE v16 v16_select(v16_int mask, v16 yes, v16 no) {
    return (v16)((mask & (v16_int)yes) | (~mask & (v16_int)no));
}

// The first n < 16 lanes, then `past`.
RK_LANES_INLINE v16 v16_first(v16 v, int n, float past) {
    const v16_int lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return v16_select(lane < n, v, v16_splat(past));
}

// Each lane rounded to the nearest integer, ties to even.
RK_LANES_INLINE v16_int v16_rounded(v16 x) { return __builtin_convertvector(__builtin_elementwise_rint(x), v16_int); }

// rk_exp of each lane.
RK_LANES_INLINE v16 v16_exp(v16 x) {
    x = v16_select(x > v16_splat(RK_EXP_MIN), x, v16_splat(RK_EXP_MIN));
    x = v16_select(x < v16_splat(RK_EXP_MAX), x, v16_splat(RK_EXP_MAX));
    v16 n = __builtin_elementwise_rint(x * v16_splat(RK_EXP_LOG2E));
    v16 r = v16_fma(-n, v16_splat(RK_EXP_LN2_HIGH), x);
    r = v16_fma(-n, v16_splat(RK_EXP_LN2_LOW), r);
    v16 p = v16_splat(RK_EXP_C7);
    p = v16_fma(p, r, v16_splat(RK_EXP_C6));
    p = v16_fma(p, r, v16_splat(RK_EXP_C5));
    p = v16_fma(p, r, v16_splat(RK_EXP_C4));
    p = v16_fma(p, r, v16_splat(RK_EXP_C3));
    p = v16_fma(p, r, v16_splat(RK_EXP_C2));
    p = v16_fma(p, r, v16_splat(1.0f));
    p = v16_fma(p, r, v16_splat(1.0f));
    return (v16)((v16_int)p + (__builtin_convertvector(n, v16_int) << 23)); // p is 1 or more where n is the least, -126: never a subnormal
}

RK_LANES_INLINE v16 v16_load(const float *p) {
    v16 v;
    memcpy(&v, p, sizeof v);
    return v;
}

RK_LANES_INLINE void v16_store(float *p, v16 v) { memcpy(p, &v, sizeof v); }

// Copies n < 16 elements, without the call (and the spilled registers) of a memcpy.
RK_INLINE void copy_below_16(void *to, const void *from, int n, size_t size) {
    char *t = to;
    const char *f = from;
    if (n & 8) memcpy(t, f, 8 * size), t += 8 * size, f += 8 * size;
    if (n & 4) memcpy(t, f, 4 * size), t += 4 * size, f += 4 * size;
    if (n & 2) memcpy(t, f, 2 * size), t += 2 * size, f += 2 * size;
    if (n & 1) memcpy(t, f, size);
}

// The first min(n, 16) elements, then `past`.
RK_LANES_INLINE v16 v16_load_upto_then(const float *p, int n, float past) {
    if (__builtin_expect(n >= 16, 1)) return v16_load(p);
    v16 v = v16_splat(past);
    copy_below_16(&v, p, n, sizeof *p);
    return v;
}

// Then zeros: adding one to a sum that started from 0 changes no bit of it.
RK_LANES_INLINE v16 v16_load_upto(const float *p, int n) { return v16_load_upto_then(p, n, 0); }

// Stores the first min(n, 16) elements.
RK_LANES_INLINE void v16_store_upto(float *p, v16 v, int n) {
    if (__builtin_expect(n >= 16, 1)) return v16_store(p, v);
    copy_below_16(p, &v, n, sizeof *p);
}

RK_LANES_INLINE v16 v16_load_f16(const uint16_t *p) {
    v16_f16 h;
    memcpy(&h, p, sizeof h);
    return __builtin_convertvector(h, v16);
}

RK_LANES_INLINE v16 v16_load_f16_upto(const uint16_t *p, int n) {
    if (__builtin_expect(n >= 16, 1)) return v16_load_f16(p);
    v16_f16 h = {0};
    copy_below_16(&h, p, n, sizeof *p);
    return __builtin_convertvector(h, v16);
}

// f16 from floats, round to nearest even.
RK_LANES_INLINE void v16_store_f16_upto(uint16_t *p, v16 v, int n) {
    const v16_f16 h = __builtin_convertvector(v, v16_f16);
    if (__builtin_expect(n >= 16, 1)) memcpy(p, &h, sizeof h);
    else copy_below_16(p, &h, n, sizeof *p);
}

RK_LANES_INLINE v8_int v16_low(v16_int a) { return __builtin_shufflevector(a, a, 0, 1, 2, 3, 4, 5, 6, 7); }

RK_LANES_INLINE v8_int v16_high(v16_int a) { return __builtin_shufflevector(a, a, 8, 9, 10, 11, 12, 13, 14, 15); }

RK_LANES_INLINE v8 v16_low_plus_high(v16 a) {
    return __builtin_shufflevector(a, a, 0, 1, 2, 3, 4, 5, 6, 7) + __builtin_shufflevector(a, a, 8, 9, 10, 11, 12, 13, 14, 15);
}

// The sums of a, b, c, d.
RK_LANES_INLINE v4 v16_sum4(v16 a, v16 b, v16 c, v16 d) {
    v8 a8 = v16_low_plus_high(a), b8 = v16_low_plus_high(b), c8 = v16_low_plus_high(c), d8 = v16_low_plus_high(d);
    v8 ab = __builtin_shufflevector(a8, b8, 0, 1, 2, 3, 8, 9, 10, 11) + __builtin_shufflevector(a8, b8, 4, 5, 6, 7, 12, 13, 14, 15);
    v8 cd = __builtin_shufflevector(c8, d8, 0, 1, 2, 3, 8, 9, 10, 11) + __builtin_shufflevector(c8, d8, 4, 5, 6, 7, 12, 13, 14, 15);
    v8 pairs = __builtin_shufflevector(ab, cd, 0, 8, 1, 9, 4, 12, 5, 13) + __builtin_shufflevector(ab, cd, 2, 10, 3, 11, 6, 14, 7, 15);
    return __builtin_shufflevector(pairs, pairs, 0, 4, 1, 5) + __builtin_shufflevector(pairs, pairs, 2, 6, 3, 7);
}

RK_LANES_INLINE float v16_sum(v16 a) {
    v8 a8 = v16_low_plus_high(a);
    v4 a4 = __builtin_shufflevector(a8, a8, 0, 1, 2, 3) + __builtin_shufflevector(a8, a8, 4, 5, 6, 7);
    return (a4[0] + a4[2]) + (a4[1] + a4[3]);
}

RK_LANES_INLINE float v16_max(v16 a) {
    for (int s = RK_LANES / 2; s > 0; s /= 2)
        for (int j = 0; j < s; j++) a[j] = a[j] > a[j + s] ? a[j] : a[j + s];
    return a[0];
}

// Of x[i] - offset, n elements. Magnitudes order as their bits do, with infinity and then NaN above all numbers.
RK_LANES_INLINE float largest_magnitude(const float *x, int n, float offset) {
    v16_int magnitudes = {0};
    for (int i = 0; i < n; i += 16) {
        const v16 distances = v16_load_upto_then(x + i, n - i, offset) - v16_splat(offset);
        magnitudes = __builtin_elementwise_max(magnitudes, (v16_int)distances & 0x7fffffff);
    }
    return rk_float((uint32_t)__builtin_reduce_max(magnitudes));
}

#endif
