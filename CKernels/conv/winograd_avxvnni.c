#include "conv.h"

#if defined(__x86_64__)
// By assembler: told to be fast on any processor, the compiler makes two instructions of this one.
RK_TARGET_AVXVNNI RK_INLINE __m256i madd8(__m256i sum, __m256i w, __m256i x) {
    __asm__("%{vex%} vpdpwssd %2, %1, %0" : "+x"(sum) : "x"(w), "x"(x));
    return sum;
}

#define RK_TARGET RK_TARGET_AVXVNNI
#define RK_MADD8 madd8
#include "winograd_avx2.h"

const rk_conv_kernels rk_winograd_avxvnni_int16 = RK_WINOGRAD_INT16_KERNELS("avxvnni");
#endif
