#include "conv.h"

#if defined(__x86_64__)
#include "../madd.h"
#define RK_TARGET RK_TARGET_AVXVNNI
#define RK_MADD16 rk_madd16_avxvnni
#include "winograd_avx2.h"

#if !defined(RK_AVXVNNI_AS_AVX512)
const rk_conv_kernels rk_conv_avxvnni_int16 = RK_WINOGRAD_INT16_KERNELS("avxvnni");
#endif
#endif
