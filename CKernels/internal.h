// What every kernel source shares: exact arithmetic, the attributes of the instruction sets, small helpers.
//
// Include it before defining any function: the pragma below holds to the end of the translation unit, and without it the compiler
// may fuse a * b + c on one CPU and not on another.
#ifndef RK_INTERNAL_H
#define RK_INTERNAL_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "include/ckernels.h"

#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#define RK_UNROLL _Pragma("clang loop unroll(full)")
#else
#pragma GCC optimize("fp-contract=off")
#define RK_UNROLL _Pragma("GCC unroll 32")
#endif

#define RK_INLINE static inline __attribute__((always_inline))

#if defined(__x86_64__)
#include <immintrin.h>
#define RK_TARGET_AVX2 __attribute__((target("avx2,fma,f16c")))
#define RK_TARGET_AVXVNNI __attribute__((target("avx2,fma,f16c,avxvnni")))
#define RK_TARGET_AVX512 __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vnni")))
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

#if defined(__x86_64__)

RK_TARGET_AVX2 RK_INLINE __m256 rk_exp_avx2(__m256 x) {
    x = _mm256_min_ps(_mm256_max_ps(x, _mm256_set1_ps(RK_EXP_MIN)), _mm256_set1_ps(RK_EXP_MAX));
    __m256 n = _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(RK_EXP_LOG2E)), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(RK_EXP_LN2_HIGH), x);
    r = _mm256_fnmadd_ps(n, _mm256_set1_ps(RK_EXP_LN2_LOW), r);
    __m256 p = _mm256_set1_ps(RK_EXP_C7);
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(RK_EXP_C6));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(RK_EXP_C5));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(RK_EXP_C4));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(RK_EXP_C3));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(RK_EXP_C2));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f));
    __m256i exponent = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
    return _mm256_mul_ps(p, _mm256_castsi256_ps(exponent));
}

RK_TARGET_AVX512 RK_INLINE __m512 rk_exp_avx512(__m512 x) {
    x = _mm512_min_ps(_mm512_max_ps(x, _mm512_set1_ps(RK_EXP_MIN)), _mm512_set1_ps(RK_EXP_MAX));
    __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(RK_EXP_LOG2E)), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(RK_EXP_LN2_HIGH), x);
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(RK_EXP_LN2_LOW), r);
    __m512 p = _mm512_set1_ps(RK_EXP_C7);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(RK_EXP_C6));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(RK_EXP_C5));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(RK_EXP_C4));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(RK_EXP_C3));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(RK_EXP_C2));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
    __m512i exponent = _mm512_slli_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127)), 23);
    return _mm512_mul_ps(p, _mm512_castsi512_ps(exponent));
}

#elif defined(__aarch64__)

RK_INLINE float32x4_t rk_exp_neon(float32x4_t x) {
    x = vminnmq_f32(vmaxnmq_f32(x, vdupq_n_f32(RK_EXP_MIN)), vdupq_n_f32(RK_EXP_MAX));
    float32x4_t n = vrndnq_f32(vmulq_n_f32(x, RK_EXP_LOG2E));
    float32x4_t r = vfmsq_f32(x, n, vdupq_n_f32(RK_EXP_LN2_HIGH));
    r = vfmsq_f32(r, n, vdupq_n_f32(RK_EXP_LN2_LOW));
    float32x4_t p = vdupq_n_f32(RK_EXP_C7);
    p = vfmaq_f32(vdupq_n_f32(RK_EXP_C6), p, r);
    p = vfmaq_f32(vdupq_n_f32(RK_EXP_C5), p, r);
    p = vfmaq_f32(vdupq_n_f32(RK_EXP_C4), p, r);
    p = vfmaq_f32(vdupq_n_f32(RK_EXP_C3), p, r);
    p = vfmaq_f32(vdupq_n_f32(RK_EXP_C2), p, r);
    p = vfmaq_f32(vdupq_n_f32(1.0f), p, r);
    p = vfmaq_f32(vdupq_n_f32(1.0f), p, r);
    int32x4_t exponent = vshlq_n_s32(vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127)), 23);
    return vmulq_f32(p, vreinterpretq_f32_s32(exponent));
}

#endif
#endif
