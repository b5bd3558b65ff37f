#include "quantize.h"

#if defined(__aarch64__)
#define RK_TARGET
#include "quantize_lanes.h"

const rk_quantize_kernels rk_quantize_neon = {.name = "neon", .row = row, .row16 = row16};
#endif
