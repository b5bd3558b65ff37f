#include "norm.h"

#if defined(__x86_64__)
#define RK_TARGET RK_TARGET_AVX512
#include "norm_lanes.h"

const rk_norm_kernels rk_norm_avx512 = RK_NORM_KERNELS("avx512");
#endif
