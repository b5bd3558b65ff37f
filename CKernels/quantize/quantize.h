#ifndef QUANTIZE_H
#define QUANTIZE_H

#include "../internal.h"

extern const rk_quantize_kernels rk_quantize_scalar, rk_quantize_avx2, rk_quantize_avx512, rk_quantize_neon;

// A largest magnitude below this has no finite 127 / max: such a row counts as zeros.
#define RK_QUANTIZE_SMALLEST 0x1p-120f

#endif
