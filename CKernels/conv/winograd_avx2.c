#include "conv.h"

#if defined(__x86_64__)
#define RK_TARGET RK_TARGET_AVX2
#define RK_WINOGRAD_ROWS 6
#define RK_WINOGRAD_PANELS 1
#define RK_WINOGRAD_LANES 8
#include "winograd_lanes.h"

const rk_winograd_kernels rk_winograd_avx2 = RK_WINOGRAD_KERNELS("avx2");
#endif
