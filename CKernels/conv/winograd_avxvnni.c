#include "conv.h"

#if defined(__x86_64__)
// As in matmul_avxvnni.c, for the test program.
#if defined(RK_AVXVNNI_AS_AVX512)
#define RK_TARGET RK_TARGET_AVX512
#define ENCODING "%{evex%}"
#else
#define RK_TARGET RK_TARGET_AVXVNNI
#define ENCODING "%{vex%}"
#endif

// By assembler: told to be fast on any processor, the compiler makes two instructions of this one.
RK_TARGET RK_INLINE __m256i madd8(__m256i sum, __m256i w, __m256i x) {
    __asm__(ENCODING " vpdpwssd %2, %1, %0" : "+x"(sum) : "x"(w), "x"(x));
    return sum;
}

#define RK_MADD8 madd8
#include "winograd_avx2.h"

#if !defined(RK_AVXVNNI_AS_AVX512)
const rk_conv_kernels rk_conv_avxvnni_int16 = RK_WINOGRAD_INT16_KERNELS("avxvnni");
#endif
#endif
