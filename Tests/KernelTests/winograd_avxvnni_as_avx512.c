// As avxvnni_as_avx512.c, of the convolutions whose products are those of integers.
#define RK_AVXVNNI_AS_AVX512
#include "conv/winograd_avxvnni.c"

#if defined(__x86_64__)
extern const rk_conv_kernels test_winograd_avxvnni_as_avx512;
const rk_conv_kernels test_winograd_avxvnni_as_avx512 = RK_WINOGRAD_INT16_KERNELS("avxvnni*");
#endif
