#include "conv.h"

#if defined(__x86_64__)
#define RK_TARGET RK_TARGET_AVX512
#define RK_WINOGRAD_ROWS 8
#define RK_WINOGRAD_PANELS 2
#define RK_WINOGRAD_LANES 16
#include "winograd_lanes.h"

const rk_winograd_kernels rk_winograd_avx512 = RK_WINOGRAD_KERNELS("avx512");
#endif
