#include "quantize.h"

#if defined(__x86_64__)
#define RK_TARGET RK_TARGET_AVX512
#include "quantize_lanes.h"

const rk_quantize_kernels rk_quantize_avx512 = {.name = "avx512", .row = row, .row16 = row16};
#endif
