#include "conv.h"

#if defined(__x86_64__)
#define RK_TARGET RK_TARGET_AVX2
#define RK_MADD8(sum, w, x) _mm256_add_epi32(sum, _mm256_madd_epi16(w, x))
#include "winograd_avx2.h"
#include "winograd_floats.h"

const rk_conv_kernels rk_conv_avx2 = RK_WINOGRAD_KERNELS("avx2"), rk_conv_avx2_int16 = RK_WINOGRAD_INT16_KERNELS("avx2");
#endif
