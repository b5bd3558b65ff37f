#include "quantize.h"

#if defined(__x86_64__)
#define RK_TARGET RK_TARGET_AVX2
#include "quantize_lanes.h"

const rk_quantize_kernels rk_quantize_avx2 = {.name = "avx2", .row = row, .row16 = row16};
#endif
