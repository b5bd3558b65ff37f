#include "conv.h"

#if defined(__aarch64__)
#define RK_TARGET
#define RK_WINOGRAD_ROWS 6
#define RK_WINOGRAD_PANELS 1
#define RK_WINOGRAD_LANES 4
#include "winograd_lanes.h"
#include "winograd_floats.h"

const rk_conv_kernels rk_conv_neon = RK_WINOGRAD_KERNELS("neon");
#endif
