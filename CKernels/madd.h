// Products of integers, of each instruction set of x86-64. To each 32-bit lane of `sum`, madd16 adds those of two 16-bit columns, madd8 those of four
// unsigned bytes with signed ones.
#ifndef MADD_H
#define MADD_H

#include "internal.h"

// The test program compiles AVX-VNNI's kernels a second time with the AVX-512 encoding of the same instructions, for machines without this one.
#if defined(RK_AVXVNNI_AS_AVX512)
#define RK_TARGET_AVXVNNI RK_TARGET_AVX512
#define RK_AVXVNNI_DPBUSD _mm256_dpbusd_epi32
#define RK_AVXVNNI_ENCODING "%{evex%}"
#else
#define RK_TARGET_AVXVNNI __attribute__((target("avx2,fma,f16c,avxvnni")))
#define RK_AVXVNNI_DPBUSD _mm256_dpbusd_avx_epi32
#define RK_AVXVNNI_ENCODING "%{vex%}"
#endif

RK_TARGET_AVX2 RK_INLINE __m256i rk_madd16_avx2(__m256i sum, __m256i w, __m256i x) { return _mm256_add_epi32(sum, _mm256_madd_epi16(w, x)); }

// By assembler, as the next one: told to be fast on any processor, the compiler makes two instructions of this one.
RK_TARGET_AVXVNNI RK_INLINE __m256i rk_madd16_avxvnni(__m256i sum, __m256i w, __m256i x) {
    __asm__(RK_AVXVNNI_ENCODING " vpdpwssd %2, %1, %0" : "+x"(sum) : "x"(w), "x"(x));
    return sum;
}

RK_TARGET_AVX512 RK_INLINE __m512i rk_madd16_avx512(__m512i sum, __m512i w, __m512i x) {
    __asm__("vpdpwssd %2, %1, %0" : "+v"(sum) : "v"(w), "v"(x));
    return sum;
}

RK_TARGET_AVXVNNI RK_INLINE __m256i rk_madd8_avxvnni(__m256i sum, __m256i w, __m256i x) { return RK_AVXVNNI_DPBUSD(sum, w, x); }

RK_TARGET_AVX512 RK_INLINE __m512i rk_madd8_avx512(__m512i sum, __m512i w, __m512i x) { return _mm512_dpbusd_epi32(sum, w, x); }

#endif
