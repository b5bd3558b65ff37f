#include "conv.h"

#if defined(__x86_64__)
#define RK_TARGET RK_TARGET_AVX2
#define RK_MADD16 rk_madd16_avx2
#include "winograd_avx2.h"
#include "winograd_floats.h"

const rk_conv_kernels rk_conv_avx2 = RK_WINOGRAD_KERNELS("avx2"), rk_conv_avx2_int16 = RK_WINOGRAD_INT16_KERNELS("avx2");
#endif
