#include "norm.h"

#if defined(__aarch64__)
#define RK_TARGET
#include "norm_lanes.h"

const rk_norm_kernels rk_norm_neon = RK_NORM_KERNELS("neon");
#endif
